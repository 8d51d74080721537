//! The writer of an upload in pieces: one request's bytes, from the body to the medium. Must never know a protocol,
//! nor what becomes of an upload that is whole.
//!
//! ```text
//! body ─► chunk ─► batch ─► pen ─► {offset, CRC, epoch} in the catalog ─► durable
//! ```
//!
//! Whatever ends the request (a cut, a stall, a newcomer, the end of the server), what has arrived is written and
//! checkpointed before the writer lets go: a client that vanishes loses nothing that came. The exception is a request
//! whose bytes have to agree with a digest: it is kept whole or not at all.
//!
//! One writer at a time has an upload, by its [`Turn`]. A newcomer asks it to let go; from that very moment it takes
//! no more bytes, whatever its connection still brings.

use std::{
    collections::HashMap,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, watch},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Refusal, Server,
    body::{BodyLimits, BodyReader},
    catalog::{Catalog, Pieces, Progressed},
    limits,
    pen::{CHECKPOINT_BYTES, Fault, Pen, Running, Step, or_never},
    progress::Counter,
    protocol::digest::{ChunkDigest, Verifier},
    receive::{BATCH_AGE, BATCH_BYTES, BATCH_CHUNKS, Batch, SPACE_CHECK_BYTES},
    state::{OpenUpload, now_ms},
    store::{AnyStaging, StageOptions, Store, StoreError},
};
use crate::wire::{ErrorCode, UploadId};

/// A writer that takes no byte for so long, and saves none of those that it has, is silent.
const SILENCE: Duration = Duration::from_secs(1);

/// The rate of a body is looked at over this time.
const RATE_WINDOW: Duration = Duration::from_secs(30);

/// Who writes to which upload.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Mutex<HashMap<UploadId, Arc<Seat>>>,
}

/// One turn at an upload.
#[derive(Debug, Default)]
struct Seat {
    /// Where the upload stands in memory, and in the highest bit whether its writer was asked to let go.
    at: AtomicU64,
    /// It writes: `at` means something.
    writes: CancellationToken,
    /// It was asked to let go.
    asked: CancellationToken,
    /// It was asked to make durable what it has.
    hurried: Notify,
    /// How much is durable since it writes.
    durable: watch::Sender<u64>,
    /// It has all that it needs, and goes on to the end without anybody.
    closing: CancellationToken,
    over: CancellationToken,
}

const ASKED: u64 = 1 << 63;

/// What a newcomer wants of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// To go on at this offset. Whoever writes at another is not disturbed.
    At(u64),
    /// To go on at this offset, which is where it was durable a moment ago. Whoever writes further on makes that durable
    /// at once, so that a true offset can be told; or lets go, when silent.
    After(u64),
    /// The upload, wherever it stands.
    Any,
    /// As `Any`, but not to wait for one that is being completed.
    Glance,
}

/// Why a newcomer did not get its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Somebody writes, and at another offset.
    Elsewhere,
    /// It is being completed.
    Closing,
}

impl Seats {
    /// Waits for the upload, after asking whoever has it to let go. From then on until the turn is dropped nobody
    /// else writes to it. Cancel safe.
    pub(super) async fn turn(self: &Arc<Self>, id: &UploadId, want: Want) -> Result<Turn, NoTurn> {
        loop {
            let seat = match self.try_turn(id) {
                Ok(turn) => return Ok(turn),
                Err(seat) => seat,
            };
            tokio::select! {
                () = seat.over.cancelled() => continue,
                () = seat.writes.cancelled() => {}
            }
            match want {
                Want::Glance if seat.closing.is_cancelled() => return Err(NoTurn::Closing),
                _ if seat.closing.is_cancelled() => {}
                Want::At(offset) if !seat.ask_at(offset) => return Err(NoTurn::Elsewhere),
                Want::After(offset) if !seat.ask_at(offset) => {
                    if !seat.is_silent().await {
                        return Err(NoTurn::Elsewhere);
                    }
                    seat.ask();
                }
                Want::At(_) | Want::After(_) => {}
                Want::Any | Want::Glance => seat.ask(),
            }
            tokio::select! {
                () = seat.over.cancelled() => {}
                () = seat.closing.cancelled(), if want == Want::Glance => {}
            }
        }
    }

    /// The upload, if nobody has it.
    pub(super) fn vacant(self: &Arc<Self>, id: &UploadId) -> Option<Turn> {
        self.try_turn(id).ok()
    }

    fn try_turn(self: &Arc<Self>, id: &UploadId) -> Result<Turn, Arc<Seat>> {
        let mut taken = self.lock();
        if let Some(seat) = taken.get(id) {
            return Err(Arc::clone(seat));
        }
        let seat = Arc::<Seat>::default();
        taken.insert(id.clone(), Arc::clone(&seat));
        Ok(Turn { seats: Arc::clone(self), id: id.clone(), seat })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Asks it to let go, if it stands at this offset or was asked before.
    fn ask_at(&self, offset: u64) -> bool {
        let asked = self.at.compare_exchange(offset, offset | ASKED, SeqCst, SeqCst);
        self.asked_if(match asked {
            Ok(_) => true,
            Err(at) => at & ASKED != 0,
        })
    }

    /// Waits until all that it has taken by now is durable. `true`: it is over, or will not come to that and takes
    /// nothing more.
    async fn is_silent(&self) -> bool {
        let at = self.at.load(SeqCst);
        let mut durable = self.durable.subscribe();
        self.hurried.notify_one();
        tokio::select! {
            () = self.over.cancelled() => true,
            () = self.closing.cancelled() => true,
            _ = durable.wait_for(|&durable| durable >= at & !ASKED) => false,
            () = tokio::time::sleep(SILENCE) => self.at.load(SeqCst) == at,
        }
    }

    fn ask(&self) {
        self.at.fetch_or(ASKED, SeqCst);
        self.asked_if(true);
    }

    fn asked_if(&self, asked: bool) -> bool {
        if asked {
            self.asked.cancel();
        }
        asked
    }
}

/// The right to change an upload, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    seats: Arc<Seats>,
    id: UploadId,
    seat: Arc<Seat>,
}

impl Turn {
    /// From here on bytes are taken, beginning at this offset, and a newcomer may end that.
    fn begin(&self, offset: u64) {
        self.seat.durable.send_replace(offset);
        self.seat.at.store(offset, SeqCst);
        self.seat.writes.cancel();
    }

    /// Takes this many bytes more. `false`: a newcomer has asked for the upload, and they are not ours to write.
    fn take(&self, bytes: u64) -> bool {
        let taken = |at: u64| (at & ASKED == 0).then(|| at + bytes);
        self.seat.at.fetch_update(SeqCst, SeqCst, taken).is_ok()
    }

    /// So much is durable now.
    fn saved(&self, durable: u64) {
        self.seat.durable.send_replace(durable);
    }

    /// Everything has come: newcomers wait until it is stored.
    pub(super) fn close(&self) {
        self.seat.closing.cancel();
        self.seat.writes.cancel();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.id);
        self.seat.over.cancel();
    }
}

/// What one request is to do with an upload.
#[derive(Debug)]
pub(super) struct Plan {
    /// Bytes of the upload in all, where known.
    pub(super) length: Option<u64>,
    /// The most that there may be where it is not known.
    pub(super) max_length: u64,
    /// What the end of the request means.
    pub(super) ends: Ends,
    /// What its bytes must agree with.
    pub(super) chunk_digest: ChunkDigest,
    /// `Content-Length`, in bytes.
    pub(super) body_size: Option<u64>,
    /// The most bytes that the body may have.
    pub(super) max_body_size: u64,
}

/// What the clean end of a request's body means for the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The upload is whole when it has as many bytes as it should (tus).
    AtLength,
    /// It is whole (`Upload-Complete: ?1`).
    Here,
    /// It is not (`Upload-Complete: ?0`).
    Later,
}

/// What has become of a request's bytes.
#[derive(Debug)]
pub(super) struct Written {
    /// Bytes of the upload on the medium (promise 2).
    pub(super) durable: u64,
    pub(super) then: Then,
}

/// See [`Written`].
#[derive(Debug)]
pub(super) enum Then {
    /// The upload is sealed, and here it is: to be completed.
    Whole(AnyStaging),
    /// All of the request is durable, and more is to come.
    More,
    /// The request failed; the upload goes on from what is durable.
    Refused(Refusal),
    /// There were bytes beyond the end of the upload. None of them is kept.
    Overflow(Refusal),
    /// The upload cannot go on: what was on the medium is not to be trusted any more.
    Lost(Refusal),
}

/// Receives one request's body into an upload that is open, as the writer that `pieces` names. When this returns,
/// nothing of it runs any more.
pub(super) async fn write(
    server: &Server,
    turn: &Turn,
    pieces: &Pieces,
    plan: &Plan,
    counter: &Counter,
    share: &OpenUpload,
    body: &mut Body,
) -> Written {
    let refused = |refusal| Written { durable: pieces.durable, then: Then::Refused(refusal) };
    if let Err(refusal) = check_space(server, plan.body_size.unwrap_or(0)).await {
        return refused(refusal);
    }
    let staging = match open(server, pieces).await {
        Ok(staging) => staging,
        Err(error @ (StoreError::NotFound | StoreError::Short { .. })) => {
            return Written { durable: pieces.durable, then: Then::Lost(error.into()) };
        }
        Err(error) => return refused(error.into()),
    };
    let reader = match BodyReader::new(body, counter, body_limits(server, plan)) {
        Ok(reader) => reader,
        Err(error) => return refused(error.into()),
    };
    turn.begin(pieces.durable);
    Writer {
        server,
        turn,
        pieces,
        plan,
        counter,
        share,
        granted: if plan.length.is_some() { u64::MAX } else { pieces.durable },
        len: pieces.durable,
        pen: Pen::new(staging),
        batch: Batch::default(),
        flush: false,
        hurried: false,
        waiting: None,
        batch_age: Box::pin(tokio::time::sleep(Duration::ZERO)),
        unchecked_space: 0,
    }
    .run(reader)
    .await
}

/// The staged file, as the catalog knows it.
pub(super) async fn open(server: &Server, pieces: &Pieces) -> Result<AnyStaging, StoreError> {
    let (store, terms) = (server.store(), &pieces.terms);
    let sha256 = terms.want_sha256 || terms.expected_sha256.is_some();
    let options = StageOptions { sha256, keep: true };
    match store.resume(&terms.id, pieces.durable, options).await {
        // The row comes before the file.
        Err(StoreError::NotFound) if pieces.durable == 0 => store.stage(&terms.id, options).await,
        opened => opened,
    }
}

/// Whether the store has room for this many bytes more.
pub(super) async fn check_space(server: &Server, bytes: u64) -> Result<(), Refusal> {
    let reserve = server.config().limits.space_reserve;
    if reserve == 0 && bytes == 0 {
        return Ok(());
    }
    match server.store().available_space().await? {
        Some(space) if space < reserve.saturating_add(bytes) => Err(StoreError::OutOfSpace.into()),
        _ => Ok(()),
    }
}

fn body_limits(server: &Server, plan: &Plan) -> BodyLimits {
    let limits = &server.config().limits;
    BodyLimits {
        max_size: plan.max_body_size,
        idle_timeout: limits.idle_timeout,
        min_rate: limits.min_rate.unwrap_or(0),
        rate_window: RATE_WINDOW,
    }
}

/// How the body came to its end.
enum Ending {
    Clean,
    /// The upload can go on after it.
    Cut(Refusal),
    /// More bytes than the upload has.
    Overflow,
    Fault(Fault),
}

struct Writer<'a> {
    server: &'a Server,
    turn: &'a Turn,
    pieces: &'a Pieces,
    plan: &'a Plan,
    counter: &'a Counter,
    share: &'a OpenUpload,
    /// Up to where the owner's share was found to reach.
    granted: u64,
    /// Bytes of the upload taken so far.
    len: u64,
    pen: Pen,
    /// Chunks that the pen has not been given yet.
    batch: Batch,
    /// The batch is to be written as it is.
    flush: bool,
    /// All that has come is to be saved at once.
    hurried: bool,
    /// A chunk for which there is no room yet.
    waiting: Option<Running<(Bytes, Option<OwnedSemaphorePermit>)>>,
    /// When the batch is old. Means something only while it is not empty.
    batch_age: Pin<Box<Sleep>>,
    /// Bytes since the space left was looked at.
    unchecked_space: u64,
}

impl Writer<'_> {
    async fn run(mut self, mut reader: BodyReader<'_>) -> Written {
        let mut checking = self.plan.chunk_digest.verifier();
        let ending = self.pump(&mut reader, &mut checking).await;
        let whole_or_nothing = self.whole_or_nothing();
        let then = match ending {
            Ending::Fault(fault) => self.after(fault).await,
            Ending::Overflow => {
                self.give_up().await;
                Then::Overflow(beyond_the_end(self.plan))
            }
            Ending::Cut(refusal) if whole_or_nothing => {
                self.give_up().await;
                Then::Refused(refusal)
            }
            // In tus an upload is whole when all of its bytes are there, however the request ended that brought the
            // last: whoever asks next reads it from the offset.
            Ending::Cut(_) if self.plan.ends == Ends::AtLength && self.plan.length == Some(self.len) => {
                self.conclude().await
            }
            Ending::Cut(refusal) => match self.save_all(false).await {
                Ok(()) => Then::Refused(refusal),
                Err(fault) => self.after(fault).await,
            },
            Ending::Clean => match checking.map_or(Ok(()), |checking| checking.finish(reader.trailers())) {
                Ok(()) => self.conclude().await,
                Err(refusal) => {
                    self.give_up().await;
                    Then::Refused(refusal)
                }
            },
        };
        Written { durable: self.pen.durable(), then }
    }

    /// Nothing of the request is told before all of it has come.
    fn whole_or_nothing(&self) -> bool {
        self.plan.chunk_digest != ChunkDigest::None
    }

    /// Reads, writes and checkpoints until the body is over or something ends it. May leave a batch, a write and a
    /// checkpoint under way.
    async fn pump(&mut self, reader: &mut BodyReader<'_>, checking: &mut Option<Verifier>) -> Ending {
        let mut asked = pin!(self.turn.seat.asked.cancelled());
        let mut stopping = pin!(self.server.stopping().cancelled());
        loop {
            self.start();
            let may_read = self.waiting.is_none() && !self.flush;
            tokio::select! {
                biased;
                step = self.pen.next() => match step {
                    Ok(Step::Written | Step::Aged) => {}
                    Ok(Step::Saved) => self.is_counted().await,
                    Err(fault) => return Ending::Fault(fault),
                },
                () = &mut asked => return Ending::Cut(superseded()),
                () = &mut stopping => return Ending::Cut(stopped()),
                () = self.turn.seat.hurried.notified() => self.hurried = true,
                (chunk, room) = or_never(&mut self.waiting) => {
                    self.waiting = None;
                    self.push(chunk, room);
                }
                chunk = std::future::poll_fn(|cx| reader.poll_chunk(cx)), if may_read => {
                    let chunk = match chunk {
                        Ok(Some(chunk)) => chunk,
                        Ok(None) => return Ending::Clean,
                        Err(error) => return Ending::Cut(error.into()),
                    };
                    let bytes = chunk.len() as u64;
                    if self.len + bytes > self.plan.length.unwrap_or(self.plan.max_length) {
                        return Ending::Overflow;
                    }
                    if !self.turn.take(bytes) {
                        return Ending::Cut(superseded());
                    }
                    self.len += bytes;
                    self.counter.add_file(bytes);
                    if let Some(checking) = checking {
                        checking.update(&chunk);
                    }
                    if self.len > self.granted
                        && let Err(refusal) = self.grant().await
                    {
                        // These bytes have no share, or many small requests would add up to what one may not bring.
                        self.len -= bytes;
                        return Ending::Cut(refusal);
                    }
                    self.unchecked_space += bytes;
                    if self.unchecked_space >= SPACE_CHECK_BYTES {
                        self.unchecked_space = 0;
                        if let Err(refusal) = check_space(self.server, bytes).await {
                            self.push(chunk, None);
                            return Ending::Cut(refusal);
                        }
                    }
                    let buffers = self.server.buffers();
                    match buffers.try_room(chunk.len()) {
                        Some(room) => self.push(chunk, Some(room)),
                        // Whoever waits for room has given all its batches away: see `Buffers::room`.
                        None => {
                            self.flush = !self.batch.chunks.is_empty();
                            let (buffers, bytes) = (buffers.clone(), chunk.len());
                            self.waiting = Some(Box::pin(async move { (chunk, buffers.room(bytes).await) }));
                        }
                    }
                }
                () = self.batch_age.as_mut(), if !self.batch.chunks.is_empty() && !self.flush => self.flush = true,
            }
        }
    }

    /// From the first checkpoint on, the catalog counts an upload by its length where that is known.
    async fn is_counted(&mut self) {
        self.turn.saved(self.pen.durable());
        if self.plan.length.is_some() {
            // Less than before, or nothing, is never too much.
            let _ = self.share.reserve(0).await;
        }
    }

    /// Sets aside what the catalog does not count yet, and some more, so as not to ask for every chunk.
    async fn grant(&mut self) -> Result<(), Refusal> {
        let uncounted = self.len - self.pen.durable();
        let step = uncounted.saturating_add(CHECKPOINT_BYTES);
        if self.share.reserve(step).await.is_ok() {
            self.granted = self.len.saturating_add(CHECKPOINT_BYTES);
            return Ok(());
        }
        self.share.reserve(uncounted).await
    }

    fn push(&mut self, chunk: Bytes, room: Option<OwnedSemaphorePermit>) {
        if self.batch.chunks.is_empty() {
            self.batch_age.as_mut().reset(tokio::time::Instant::now() + BATCH_AGE);
        }
        self.batch.push(chunk, room);
        self.flush |= self.batch.bytes >= BATCH_BYTES || self.batch.chunks.len() >= BATCH_CHUNKS;
    }

    /// Not at the very end: whether the body has more bytes than it should is not known there.
    fn may_save(&self) -> bool {
        !self.whole_or_nothing() && self.pen.len() != self.plan.length
    }

    /// Starts the checkpoint and the write that are due and can begin.
    fn start(&mut self) {
        self.hurried &= !self.whole_or_nothing();
        self.flush |= self.hurried && !self.batch.chunks.is_empty();
        let is_due = self.pen.is_due() || self.hurried && !self.flush && self.pen.can_save();
        if is_due && self.may_save() {
            self.hurried = false;
            self.save(false);
        }
        if self.flush && self.pen.is_free() {
            self.flush = false;
            self.pen.write(std::mem::take(&mut self.batch));
        }
    }

    /// Begins a checkpoint of all that is written.
    fn save(&mut self, seal: bool) {
        let max_age = self.server.config().max_age;
        let (catalog, id, epoch) = (self.server.catalog().clone(), self.turn.id.clone(), self.pieces.epoch);
        let (appended_from, length) = (self.pieces.durable, self.plan.length);
        self.pen.save(move |checkpoint| async move {
            let length = if seal { Some(checkpoint.range.end) } else { length };
            let expires_ms = now_ms().saturating_add(u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX));
            commit(&catalog, Progressed { id, epoch, checkpoint, appended_from, length, seal, expires_ms })
                .await
        });
    }

    /// Waits for what is under way.
    async fn settle(&mut self) -> Result<(), Fault> {
        let before = self.pen.durable();
        self.pen.rest().await?;
        if self.pen.durable() > before {
            self.is_counted().await;
        }
        Ok(())
    }

    /// Writes and saves all that has come; seals the upload as well, if so asked.
    async fn save_all(&mut self, seal: bool) -> Result<(), Fault> {
        self.settle().await?;
        if let Some(waiting) = self.waiting.take() {
            if !self.batch.chunks.is_empty() {
                self.flush = true;
                self.start();
                self.settle().await?;
            }
            let (chunk, room) = waiting.await;
            self.push(chunk, room);
        }
        if !self.batch.chunks.is_empty() {
            self.flush = true;
            self.start();
            self.settle().await?;
        }
        if self.pen.unsaved() > 0 || seal || self.plan.length != self.pieces.length {
            self.save(seal);
            self.settle().await?;
        }
        Ok(())
    }

    async fn save_what_is_written(&mut self) -> Result<(), Fault> {
        self.settle().await?;
        if self.pen.unsaved() > 0 {
            self.save(false);
            self.settle().await?;
        }
        Ok(())
    }

    /// The body has ended cleanly and is what it should be.
    async fn conclude(&mut self) -> Then {
        let is_at_its_length = self.plan.length == Some(self.len);
        let whole = match self.plan.ends {
            Ends::AtLength => is_at_its_length && !self.pieces.terms.is_part,
            Ends::Here => is_at_its_length || self.plan.length.is_none(),
            Ends::Later => false,
        };
        if whole {
            self.counter.processing();
            self.turn.close();
        }
        if let Err(fault) = self.save_all(whole).await {
            return self.after(fault).await;
        }
        match self.pen.put_down().await {
            Some(staging) if whole => Then::Whole(staging),
            _ if self.plan.ends == Ends::Here => {
                Then::Refused(inconsistent_length(self.plan.length, self.len))
            }
            _ => Then::More,
        }
    }

    /// Forgets what has come since the last checkpoint, and gives its space back.
    async fn give_up(&mut self) {
        self.batch = Batch::default();
        self.waiting = None;
        drop(self.pen.put_down().await);
        let durable = self.pen.durable();
        if let Err(error) = self.server.store().resume(&self.turn.id, durable, StageOptions::default()).await
        {
            tracing::debug!(id = %self.turn.id, %error, "discarded bytes stay until the upload goes on");
        }
    }

    async fn after(&mut self, mut fault: Fault) -> Then {
        // What was written before is there, and may be told.
        if matches!(fault, Fault::Write(StoreError::OutOfSpace))
            && !self.whole_or_nothing()
            && let Err(worse) = self.save_what_is_written().await
        {
            fault = worse;
        }
        self.give_up().await;
        match fault {
            Fault::Write(error) => Then::Refused(error.into()),
            Fault::Sync(error) => Then::Lost(error.into()),
            Fault::Books(refusal) => Then::Refused(refusal),
            Fault::Superseded(refusal) => Then::Refused(refusal),
        }
    }
}

async fn commit(catalog: &Catalog, progressed: Progressed) -> Result<(), Fault> {
    match catalog.checkpoint(progressed).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::Superseded(superseded())),
        Err(error) => Err(Fault::Books(error.into())),
    }
}

fn superseded() -> Refusal {
    Refusal::new(ErrorCode::Superseded, "A newer request for the same upload took its place.")
}

fn stopped() -> Refusal {
    Refusal::new(ErrorCode::ShuttingDown, "The server is shutting down. Try again in a moment.")
}

/// The refusal of bytes beyond the end of an upload.
pub(super) fn beyond_the_end(plan: &Plan) -> Refusal {
    match plan.length {
        Some(length) => {
            let message = format!("The upload has {length} bytes, and more came.");
            Refusal::new(ErrorCode::TooLarge, message).with_detail(length)
        }
        None => limits::too_large(plan.max_length),
    }
}

/// The refusal of an end that is not where it was announced.
pub(super) fn inconsistent_length(announced: Option<u64>, found: u64) -> Refusal {
    let announced = announced.map_or_else(|| "another number of".to_owned(), |bytes| bytes.to_string());
    let message = format!("{announced} bytes were announced, and {found} came.");
    Refusal::new(ErrorCode::LengthMismatch, message)
}
