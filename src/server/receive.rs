//! One request's bytes become stored files, all of them or none. Must never know HTTP's methods, the catalog or who
//! owns a file: it gets a body and gives back what was stored.
//!
//! ```text
//! body ─► reader (limits, counts) ─► parser ─► batch ─► writer task of the file ─► store
//!                                                       stage · write · settle ┆ seal
//! ```
//!
//! A writer task per file writes one batch while the next is filled, and forces what it wrote to the medium on the way
//! (see `pen.rs`). It makes its file durable as soon as the file ends, and shows it only after the whole body has ended cleanly: what fails before that moment has never been
//! seen. Chunks go from the network to the disk as they came, without being copied (promise 7: one batch being
//! filled, one waiting, one being written, and a bound over all uploads together).

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Once},
    task::Poll,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{
    Refusal,
    body::{BodyLimits, BodyReader},
    limits,
    multipart::{Boundary, Event, MultipartError, Parser, ParserLimits, PartHead, UNNAMED, display_path},
    owner::random_bits,
    pen::Pen,
    progress::Counter,
    store::{AnyStaging, AnyStore, Sealed, StageOptions, Staging, Store},
};
use crate::wire::{ErrorCode, UploadId, headers};

/// A batch goes to the writer when it has this many bytes (each batch wakes two threads, which costs as much as
/// copying a hundred kilobytes),
pub(super) const BATCH_BYTES: usize = 1024 * 1024;

/// or this many chunks,
pub(super) const BATCH_CHUNKS: usize = 64;

/// or when nothing has come for a moment and its first chunk is this old: an upload at rest holds nothing.
pub(super) const BATCH_AGE: Duration = Duration::from_millis(20);

/// What one chunk counts for at least: a short one may be a slice of a whole network buffer.
const CHUNK_COST: usize = 8 * 1024;

/// Files of one request that may be open at the same time.
const OPEN_FILES: usize = 16;

/// The space left is looked at before each file and again after this many bytes.
pub(super) const SPACE_CHECK_BYTES: u64 = 64 << 20;

/// Bytes that are asked for beyond what has come.
const ALLOWANCE_STEP: u64 = 8 << 20;

/// Files of unknown kind (RFC 7578, section 4.4, leaves the default to us).
const OCTET_STREAM: &str = "application/octet-stream";

/// The form field, before the files, that asks for digests where a page without script cannot set a header.
const DIGEST_FIELD: (&str, &str) = ("digest", "sha-256");

/// What a request may bring.
#[derive(Clone, Debug)]
pub struct ReceiveLimits {
    /// Bytes of one file.
    pub max_file_size: u64,
    /// Bytes of the whole body.
    pub max_request_size: u64,
    /// Files.
    pub max_files: usize,
    /// Parts of a form, files and fields.
    pub max_parts: usize,
    /// Bytes of one part's header.
    pub max_part_header: usize,
    /// Bytes of all fields that are not files, names and values together.
    pub max_field_bytes: usize,
    /// Longest time without a byte.
    pub idle_timeout: Duration,
    /// Bytes per second at least, on average over `rate_window`. 0: no minimum.
    pub min_rate: u64,
    /// See `min_rate`.
    pub rate_window: Duration,
    /// Bytes that the store must keep free.
    pub space_reserve: u64,
    /// The owner's word on how many bytes the request may bring.
    pub allowance: Allowance,
    /// Memory for batches, shared by all requests that were given a clone of it.
    pub buffers: Buffers,
    /// Once cancelled, a body that has not ended is given up. One that has ended is stored as if nothing had happened.
    pub stop: CancellationToken,
}

impl Default for ReceiveLimits {
    /// No limit on sizes; the bounds of DESIGN on forms; a minute without a byte; 12 MiB of batches.
    fn default() -> Self {
        let ParserLimits { max_parts, max_part_header } = ParserLimits::default();
        Self {
            max_file_size: u64::MAX,
            max_request_size: u64::MAX,
            max_files: max_parts,
            max_parts,
            max_part_header,
            max_field_bytes: 1 << 20,
            idle_timeout: Duration::from_secs(60),
            min_rate: 0,
            rate_window: Duration::from_secs(30),
            space_reserve: 0,
            allowance: Allowance::default(),
            buffers: Buffers::new(12 << 20),
            stop: CancellationToken::new(),
        }
    }
}

impl ReceiveLimits {
    fn body(&self) -> BodyLimits {
        BodyLimits {
            max_size: self.max_request_size,
            idle_timeout: self.idle_timeout,
            min_rate: self.min_rate,
            rate_window: self.rate_window,
        }
    }

    fn parser(&self) -> ParserLimits {
        ParserLimits { max_parts: self.max_parts, max_part_header: self.max_part_header }
    }
}

/// Asks whether all files of a request may have so many bytes together. By default they may.
#[derive(Clone, Default)]
pub struct Allowance {
    ask: Option<Arc<Ask>>,
}

type Ask = dyn Fn(u64) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> + Send + Sync;

impl Allowance {
    /// An allowance that this decides on, for totals of bytes that grow.
    pub fn new<A>(ask: impl Fn(u64) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        Self { ask: Some(Arc::new(move |bytes| Box::pin(ask(bytes)))) }
    }

    /// Asks for so many bytes in all, and for some more, so as not to ask for every chunk; tells how many were granted.
    pub(super) async fn grant(&self, bytes: u64) -> Result<u64, Refusal> {
        let Some(ask) = &self.ask else { return Ok(u64::MAX) };
        let more = bytes.saturating_add(ALLOWANCE_STEP);
        if ask(more).await.is_ok() {
            return Ok(more);
        }
        ask(bytes).await.map(|()| bytes)
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ask.is_some() { "Allowance(asked for)" } else { "Allowance(without bounds)" })
    }
}

/// Memory for batches, over all uploads. When it is used up, each upload hands on what it has and reads no more until
/// something is written: slower, not larger. Cloning gives another handle to the same memory.
#[derive(Clone)]
pub struct Buffers {
    room: Arc<Semaphore>,
    size: usize,
}

impl Buffers {
    /// Room for this many bytes.
    pub fn new(bytes: usize) -> Self {
        // The GNU allocator maps and unmaps large blocks one by one, and the kernel clears every page each time,
        // until it has seen a larger one come and go: then it keeps up to twice as much for the next buffers. Where
        // the allocator is another one this does nothing. The block is never touched, so it takes no memory.
        static SEEN: Once = Once::new();
        SEEN.call_once(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20))));
        let size = bytes.clamp(CHUNK_COST, u32::MAX as usize);
        Self { room: Arc::new(Semaphore::new(size)), size }
    }

    pub(super) fn try_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_many_owned(self.cost(bytes)).ok()
    }

    /// Waits for room. Whoever waits must have given all its batches to writers, which give room back by themselves:
    /// then nobody waits for somebody who waits.
    pub(super) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // Fails only when it is closed, which it never is.
        Arc::clone(&self.room).acquire_many_owned(self.cost(bytes)).await.ok()
    }

    fn cost(&self, bytes: usize) -> u32 {
        // The largest chunk has to fit as well, alone.
        bytes.clamp(CHUNK_COST, self.size) as u32
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffers({} of {} bytes left)", self.room.available_permits(), self.size)
    }
}

/// What the request said beforehand of what it brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Bytes of its file (`Plimsoll-File-Size`). Of several files, of all of them.
    pub file_size: Option<u64>,
    /// A digest was asked for.
    pub sha256: bool,
}

/// What a file is called, as far as its sender said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// Display name: only words, never a path, never empty.
    pub name: String,
    /// As the sender said, or `application/octet-stream`.
    pub media_type: String,
    /// The form field it came in.
    pub field: String,
    /// Its path inside the folder that was picked: only words. Empty for a single file.
    pub path: String,
}

/// One file that was received and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its name in the store.
    pub id: UploadId,
    /// As in [`FileHead`].
    pub name: String,
    /// As in [`FileHead`].
    pub media_type: String,
    /// As in [`FileHead`].
    pub field: String,
    /// As in [`FileHead`].
    pub path: String,
    /// Its size and digest.
    pub sealed: Sealed,
}

/// All that a request brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// In the order of the body. Empty when the form held no file: whether that is an error is the route's to say.
    pub files: Vec<Incoming>,
    /// The fields that are not files, in the order of the body, but for those that are meant for us.
    pub fields: Vec<(String, String)>,
}

impl From<MultipartError> for Refusal {
    fn from(error: MultipartError) -> Self {
        use MultipartError as E;
        let (code, message) = match error {
            E::NotMultipart => (ErrorCode::UnsupportedMediaType, "This address takes multipart/form-data."),
            E::TooManyParts => (ErrorCode::FormTooComplex, "The form has too many parts."),
            E::HeaderTooLarge => {
                (ErrorCode::FormTooComplex, "The header of a part of the form is too large.")
            }
            E::Truncated => (ErrorCode::Interrupted, "The upload was interrupted before it was complete."),
            E::BadBoundary
            | E::NoDelimiter
            | E::BadHeader
            | E::NoName
            | E::TransferEncoding
            | E::LongEpilogue => (ErrorCode::Malformed, "The form is not one that a browser would send."),
        };
        Refusal::new(code, message).caused_by(error)
    }
}

/// Receives a `multipart/form-data` body.
///
/// *Success*: the body ended cleanly after its closing delimiter, and every file in it is stored.
/// *Failure*: nothing of it is stored or staged; what is left unread of `body` can be drained.
/// *Dropped*: as for failure, except that a file may be left whose sealing was under way: run this in a task of its
/// own, so that no handler that goes away can tear it.
///
/// `on_file` is called with every new file and runs while the bytes come; the file is sealed only after it has
/// succeeded, and when it fails the whole request does. It is always awaited to its end before this returns.
pub async fn receive_form<F, A>(
    body: &mut Body,
    boundary: &Boundary,
    store: &AnyStore,
    counter: &Counter,
    limits: &ReceiveLimits,
    expected: Expected,
    on_file: F,
) -> Result<Received, Refusal>
where
    F: FnMut(UploadId, FileHead) -> A + Send,
    A: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let mut intake = Intake::new(body, store, counter, limits, expected, on_file)?;
    let outcome = intake.form(boundary).await;
    intake.conclude(outcome).await
}

/// Receives a body that is one file, with or without a length. Otherwise as [`receive_form`].
pub async fn receive_raw<F, A>(
    body: &mut Body,
    head: FileHead,
    store: &AnyStore,
    counter: &Counter,
    limits: &ReceiveLimits,
    expected: Expected,
    on_file: F,
) -> Result<Received, Refusal>
where
    F: FnMut(UploadId, FileHead) -> A + Send,
    A: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let mut intake = Intake::new(body, store, counter, limits, expected, on_file)?;
    let outcome = intake.raw(head).await;
    intake.conclude(outcome).await
}

/// One request being received.
struct Intake<'a, F> {
    reader: BodyReader<'a>,
    superseded: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    stopped: Pin<Box<WaitForCancellationFuture<'a>>>,
    store: &'a AnyStore,
    counter: &'a Counter,
    limits: &'a ReceiveLimits,
    expected: Expected,
    on_file: F,
    /// Every file so far, in the order of the body.
    files: Vec<File>,
    /// One task per file. Before `commit` was sent, a task that ends has failed.
    writers: JoinSet<(usize, Result<Sealed, Refusal>)>,
    open_files: Arc<Semaphore>,
    /// Bytes of all files that the owner may bring, as far as was asked.
    granted: u64,
    /// Bytes of all files so far, and of the present one.
    total: u64,
    len: u64,
    /// Chunks of the present file that its writer has not been given.
    batch: Batch,
    /// When the batch is old. Means something only while the batch is not empty.
    batch_age: Pin<Box<Sleep>>,
}

struct File {
    id: UploadId,
    head: FileHead,
    /// Until the file has ended.
    orders: Option<mpsc::Sender<Order>>,
    /// Until the request has ended. Dropped unsent: discard.
    commit: Option<oneshot::Sender<()>>,
}

enum Order {
    Write(Batch),
    /// The file is whole.
    End,
}

/// Chunks that are written together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) chunks: Vec<Bytes>,
    pub(super) bytes: usize,
    /// Its share of [`Buffers`], given back when it is written.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

enum Next {
    Chunk(Bytes),
    /// Nothing has come for a moment.
    Quiet,
    End,
}

impl<'a, F, A> Intake<'a, F>
where
    F: FnMut(UploadId, FileHead) -> A + Send,
    A: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    fn new(
        body: &'a mut Body,
        store: &'a AnyStore,
        counter: &'a Counter,
        limits: &'a ReceiveLimits,
        expected: Expected,
        on_file: F,
    ) -> Result<Self, Refusal> {
        let reader = BodyReader::new(body, counter, limits.body())?;
        if expected.file_size.is_some_and(|size| size > limits.max_file_size) {
            return Err(limits::too_large(limits.max_file_size));
        }
        Ok(Self {
            reader,
            superseded: Box::pin(counter.superseded()),
            stopped: Box::pin(limits.stop.cancelled()),
            store,
            counter,
            limits,
            expected,
            on_file,
            files: Vec::new(),
            writers: JoinSet::new(),
            open_files: Arc::new(Semaphore::new(OPEN_FILES)),
            granted: 0,
            total: 0,
            len: 0,
            batch: Batch::default(),
            batch_age: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    /// Reads the whole body as a form; returns the fields.
    async fn form(&mut self, boundary: &Boundary) -> Result<Vec<(String, String)>, Refusal> {
        let mut parser = Parser::new(boundary, self.limits.parser());
        let mut fields = Vec::new();
        let mut field_bytes = 0;
        let mut path = String::new();
        let mut part = Part::None;
        loop {
            match self.next().await? {
                Next::Chunk(chunk) => parser.feed(chunk),
                Next::Quiet => self.flush().await?,
                Next::End => break,
            }
            while let Some(event) = parser.next_event()? {
                match event {
                    Event::Part(PartHead { name: field, file_name: Some(name), media_type }) => {
                        let media_type = media_type.unwrap_or_else(|| OCTET_STREAM.to_owned());
                        let head = FileHead { name, media_type, field, path: std::mem::take(&mut path) };
                        part = if head.name.is_empty() {
                            Part::PerhapsFile(head)
                        } else {
                            self.begin_file(head).await?;
                            Part::File
                        };
                    }
                    Event::Part(PartHead { name, file_name: None, .. }) => {
                        field_bytes += name.len();
                        part = Part::Field(name, Vec::new());
                    }
                    Event::Data(data) => match &mut part {
                        Part::Field(_, value) => {
                            field_bytes += data.len();
                            if field_bytes > self.limits.max_field_bytes {
                                return Err(fields_too_large(self.limits.max_field_bytes));
                            }
                            value.extend_from_slice(&data);
                        }
                        Part::File => self.data(data).await?,
                        Part::PerhapsFile(head) => {
                            let head = FileHead { name: UNNAMED.to_owned(), ..head.clone() };
                            part = Part::File;
                            self.begin_file(head).await?;
                            self.data(data).await?;
                        }
                        Part::None => {}
                    },
                    Event::PartEnd => match std::mem::replace(&mut part, Part::None) {
                        Part::File => self.end_file().await?,
                        Part::Field(name, value) => {
                            let value = String::from_utf8_lossy(&value).into_owned();
                            let (asks, algorithm) = DIGEST_FIELD;
                            self.expected.sha256 |=
                                name == asks && value.trim().eq_ignore_ascii_case(algorithm);
                            if name == headers::RELATIVE_PATH {
                                path = display_path(&value);
                            } else if name != asks && name != headers::PROGRESS_ID {
                                fields.push((name, value));
                            }
                        }
                        // A file input in which nobody picked a file.
                        Part::PerhapsFile(_) | Part::None => {}
                    },
                    Event::End => {}
                }
            }
        }
        parser.finish()?;
        // Each file is kept with all of them.
        let kept: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if field_bytes.max(kept.saturating_mul(self.files.len())) > self.limits.max_field_bytes {
            return Err(fields_too_large(self.limits.max_field_bytes));
        }
        self.check_length()?;
        Ok(fields)
    }

    /// Reads the whole body as one file.
    async fn raw(&mut self, head: FileHead) -> Result<Vec<(String, String)>, Refusal> {
        let length = self.reader.announced();
        if length.is_some_and(|length| length > self.limits.max_file_size) {
            return Err(limits::too_large(self.limits.max_file_size));
        }
        let announced = self.expected.file_size.or(length);
        if length.is_some() && announced != length {
            return Err(length_mismatch(announced, length));
        }
        self.expected.file_size = announced;
        let name = if head.name.is_empty() { UNNAMED.to_owned() } else { head.name };
        self.begin_file(FileHead { name, ..head }).await?;
        loop {
            match self.next().await? {
                Next::Chunk(chunk) => self.data(chunk).await?,
                Next::Quiet => self.flush().await?,
                Next::End => break,
            }
        }
        self.check_length()?;
        self.end_file().await?;
        Ok(Vec::new())
    }

    /// Waits for bytes, and meanwhile for whatever else may end the request.
    async fn next(&mut self) -> Result<Next, Refusal> {
        poll_fn(|cx| {
            if let Poll::Ready(chunk) = self.reader.poll_chunk(cx) {
                return Poll::Ready(Ok(chunk?.map_or(Next::End, Next::Chunk)));
            }
            if self.superseded.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(superseded()));
            }
            if self.stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(stopped()));
            }
            if let Poll::Ready(Some(ended)) = self.writers.poll_join_next(cx) {
                return Poll::Ready(Err(failure(ended)));
            }
            if !self.batch.chunks.is_empty() && self.batch_age.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Next::Quiet));
            }
            Poll::Pending
        })
        .await
    }

    async fn begin_file(&mut self, head: FileHead) -> Result<(), Refusal> {
        if self.files.len() >= self.limits.max_files {
            let max = self.limits.max_files;
            let message = format!("The request has more files than the server takes at once ({max}).");
            return Err(Refusal::new(ErrorCode::TooManyFiles, message).with_detail(max));
        }
        self.len = 0;
        let id = UploadId::from_bits(random_bits());
        // Fails only when it is closed, which it never is.
        let handle = Arc::clone(&self.open_files).acquire_owned().await.ok();
        let (orders, ordered) = mpsc::channel(1);
        let (commit, committed) = oneshot::channel();
        let writer = Writer {
            store: self.store.clone(),
            id: id.clone(),
            options: StageOptions { sha256: self.expected.sha256, keep: false },
            needed: self.expected.file_size.unwrap_or(0).saturating_sub(self.total),
            space_reserve: self.limits.space_reserve,
            orders: ordered,
            committed,
            _handle: handle,
        };
        let admission = (self.on_file)(id.clone(), head.clone());
        let index = self.files.len();
        self.writers.spawn(async move { (index, writer.run(admission).await) });
        self.files.push(File { id, head, orders: Some(orders), commit: Some(commit) });
        Ok(())
    }

    async fn data(&mut self, data: Bytes) -> Result<(), Refusal> {
        let len = data.len() as u64;
        self.len += len;
        self.total += len;
        if self.len > self.limits.max_file_size {
            return Err(limits::too_large(self.limits.max_file_size));
        }
        if self.expected.file_size.is_some_and(|announced| self.total > announced) {
            return Err(length_mismatch(self.expected.file_size, None));
        }
        if self.total > self.granted {
            self.granted = self.limits.allowance.grant(self.total).await?;
        }
        self.counter.add_file(len);

        let full = self.batch.bytes + data.len() > BATCH_BYTES || self.batch.chunks.len() >= BATCH_CHUNKS;
        if full && !self.batch.chunks.is_empty() {
            self.flush().await?;
        }
        let room = match self.limits.buffers.try_room(data.len()) {
            Some(room) => Some(room),
            None => {
                self.flush().await?;
                self.limits.buffers.room(data.len()).await
            }
        };
        if self.batch.chunks.is_empty() {
            self.batch_age.as_mut().reset(tokio::time::Instant::now() + BATCH_AGE);
        }
        self.batch.push(data, room);
        Ok(())
    }

    /// Gives the batch to the writer while the body goes on, and looks whether it still may.
    async fn flush(&mut self) -> Result<(), Refusal> {
        self.hand_over().await?;
        // Here as well as in `next`: a body that always has more to give never lets that one wait.
        if self.counter.is_superseded() {
            return Err(superseded());
        }
        if self.limits.stop.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }

    /// Gives the batch to the writer, and waits while the writer still has one waiting.
    async fn hand_over(&mut self) -> Result<(), Refusal> {
        if self.batch.chunks.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.order(Order::Write(batch)).await
    }

    async fn end_file(&mut self) -> Result<(), Refusal> {
        self.hand_over().await?;
        self.order(Order::End).await?;
        if let Some(file) = self.files.last_mut() {
            file.orders = None;
        }
        Ok(())
    }

    async fn order(&mut self, order: Order) -> Result<(), Refusal> {
        let Some(orders) = self.files.last().and_then(|file| file.orders.as_ref()) else {
            return Err(Refusal::new(ErrorCode::Internal, "The server lost track of the upload."));
        };
        if orders.send(order).await.is_ok() {
            return Ok(());
        }
        // A writer that takes no more orders has failed, and its task says how.
        match self.writers.join_next().await {
            Some(ended) => Err(failure(ended)),
            None => Err(Refusal::new(ErrorCode::Internal, "The server lost track of the upload.")),
        }
    }

    fn check_length(&self) -> Result<(), Refusal> {
        match self.expected.file_size {
            Some(announced) if announced != self.total && !self.files.is_empty() => {
                Err(length_mismatch(Some(announced), Some(self.total)))
            }
            _ => Ok(()),
        }
    }

    /// All is received, or something failed: seals every file, or removes every trace.
    async fn conclude(
        mut self,
        outcome: Result<Vec<(String, String)>, Refusal>,
    ) -> Result<Received, Refusal> {
        self.batch = Batch::default();
        let outcome = outcome.and_then(|fields| {
            // From here on nobody can take this request's place any more.
            if self.counter.processing() { Ok(fields) } else { Err(superseded()) }
        });
        let mut sealed = HashMap::new();
        let mut refusal = None;
        for file in &mut self.files {
            file.orders = None;
            match (file.commit.take(), &outcome) {
                // A writer that has gone already tells why below.
                (Some(commit), Ok(_)) => drop(commit.send(())),
                (commit, _) => drop(commit),
            }
        }
        while let Some(ended) = self.writers.join_next().await {
            match ended {
                Ok((index, Ok(file))) => drop(sealed.insert(index, file)),
                failed => drop(refusal.get_or_insert_with(|| failure(failed))),
            }
        }
        let fields = match (outcome, refusal) {
            (Ok(fields), None) => fields,
            (Err(refusal), _) | (Ok(_), Some(refusal)) => {
                for &index in sealed.keys() {
                    let id = &self.files[index].id;
                    if let Err(error) = self.store.remove(id).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(%id, error, "a file of a failed upload stays behind");
                    }
                }
                return Err(refusal);
            }
        };
        let mut files = Vec::with_capacity(self.files.len());
        for (index, File { id, head: FileHead { name, media_type, field, path }, .. }) in
            self.files.into_iter().enumerate()
        {
            if let Some(sealed) = sealed.remove(&index) {
                files.push(Incoming { id, name, media_type, field, path, sealed });
            }
        }
        Ok(Received { files, fields })
    }
}

/// What the present part is.
enum Part {
    None,
    Field(String, Vec<u8>),
    File,
    /// A file input with an empty name: no file, unless bytes follow.
    PerhapsFile(FileHead),
}

impl Batch {
    pub(super) fn push(&mut self, chunk: Bytes, room: Option<OwnedSemaphorePermit>) {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        match (&mut self.room, room) {
            (Some(all), Some(more)) => all.merge(more),
            (none, more @ Some(_)) => *none = more,
            (_, None) => {}
        }
    }
}

/// The writer of one file: a task of its own, which ends with the file sealed or without a trace of it.
struct Writer {
    store: AnyStore,
    id: UploadId,
    options: StageOptions,
    /// Bytes that will come, as far as one knows.
    needed: u64,
    space_reserve: u64,
    orders: mpsc::Receiver<Order>,
    committed: oneshot::Receiver<()>,
    /// Held while the file is open.
    _handle: Option<OwnedSemaphorePermit>,
}

impl Writer {
    async fn run(
        mut self,
        admission: impl Future<Output = Result<(), Refusal>> + Send + 'static,
    ) -> Result<Sealed, Refusal> {
        // In a task, so that it goes on while a write is awaited, and is not torn when a write fails.
        let mut admission = Admission::Pending(tokio::spawn(admission));
        let landed = self.land(&mut admission).await;
        // Whoever writes down the failure does it after what `on_file` has written down.
        let admitted = admission.verdict().await;
        let staging = match (landed, admitted) {
            (Ok(staging), Ok(())) => staging,
            (Ok(staging), Err(refusal)) => {
                staging.discard().await;
                return Err(refusal);
            }
            (Err(refusal), _) => return Err(refusal),
        };
        self._handle = None;
        if (&mut self.committed).await.is_err() {
            staging.discard().await;
            return Err(abandoned());
        }
        Ok(staging.seal().await?)
    }

    /// Stages, writes and settles the file. On failure nothing is staged.
    async fn land(&mut self, admission: &mut Admission) -> Result<AnyStaging, Refusal> {
        self.check_space(self.needed).await?;
        let mut pen = Pen::new(self.store.stage(&self.id, self.options).await?);
        let filled = self.fill(&mut pen, admission).await;
        match (filled, pen.put_down().await) {
            (Ok(()), Some(staging)) => Ok(staging),
            (Err(refusal), staging) => {
                if let Some(staging) = staging {
                    staging.discard().await;
                }
                Err(refusal)
            }
            (Ok(()), None) => Err(abandoned()),
        }
    }

    async fn fill(&mut self, pen: &mut Pen, admission: &mut Admission) -> Result<(), Refusal> {
        let mut unchecked = 0;
        loop {
            if pen.is_due() {
                pen.save(async |_| Ok(()));
            }
            let order = tokio::select! {
                biased;
                refused = admission.refused() => return Err(refused),
                step = pen.next() => {
                    step?;
                    continue;
                }
                order = self.orders.recv(), if pen.is_free() => order,
            };
            match order {
                Some(Order::Write(batch)) => {
                    unchecked += batch.bytes as u64;
                    if unchecked >= SPACE_CHECK_BYTES {
                        unchecked = 0;
                        self.check_space(batch.bytes as u64).await?;
                    }
                    pen.write(batch);
                }
                Some(Order::End) => {
                    pen.settle().await?;
                    return Ok(());
                }
                None => return Err(abandoned()),
            }
        }
    }

    async fn check_space(&self, needed: u64) -> Result<(), Refusal> {
        if self.space_reserve == 0 && needed == 0 {
            return Ok(());
        }
        match self.store.available_space().await? {
            Some(space) if space < self.space_reserve.saturating_add(needed) => {
                Err(Refusal::new(ErrorCode::OutOfSpace, "The server has no space left for this file."))
            }
            _ => Ok(()),
        }
    }
}

/// What `on_file` says of a file.
enum Admission {
    Pending(tokio::task::JoinHandle<Result<(), Refusal>>),
    Granted,
    /// It was refused, and the refusal was handed on.
    Refused,
}

impl Admission {
    /// Resolves when the file is refused, and never otherwise. Cancel safe.
    async fn refused(&mut self) -> Refusal {
        match self.verdict().await {
            Ok(()) => std::future::pending().await,
            Err(refusal) => refusal,
        }
    }

    /// Waits for the verdict. Cancel safe. A refusal is told once.
    async fn verdict(&mut self) -> Result<(), Refusal> {
        match self {
            Self::Pending(task) => {
                let verdict = task.await.unwrap_or_else(|torn| Err(internal(torn)));
                *self = if verdict.is_ok() { Self::Granted } else { Self::Refused };
                verdict
            }
            Self::Granted => Ok(()),
            Self::Refused => Err(abandoned()),
        }
    }
}

/// Why a writer ended that should not have.
fn failure(ended: Result<(usize, Result<Sealed, Refusal>), tokio::task::JoinError>) -> Refusal {
    match ended {
        Ok((_, Err(refusal))) => refusal,
        Ok((_, Ok(_))) => Refusal::new(ErrorCode::Internal, "The server lost track of the upload."),
        Err(torn) => internal(torn),
    }
}

fn internal(torn: tokio::task::JoinError) -> Refusal {
    Refusal::new(ErrorCode::Internal, "The server failed while it received the file.").caused_by(torn)
}

/// What a writer says that was told to give up. The cause is known to whoever told it, and is what the client hears.
fn abandoned() -> Refusal {
    Refusal::new(ErrorCode::Interrupted, "The upload was given up.")
}

fn superseded() -> Refusal {
    Refusal::new(ErrorCode::Superseded, "A newer request for the same upload took its place.")
}

fn stopped() -> Refusal {
    Refusal::new(ErrorCode::ShuttingDown, "The server is shutting down. Try again in a moment.")
}

fn fields_too_large(limit: usize) -> Refusal {
    Refusal::new(ErrorCode::FormTooComplex, "The form has more text than the server takes.")
        .with_detail(limit)
}

fn length_mismatch(announced: Option<u64>, found: Option<u64>) -> Refusal {
    let announced = announced.map_or_else(|| "another number of".to_owned(), |bytes| bytes.to_string());
    let found = found.map_or_else(|| "more".to_owned(), |bytes| bytes.to_string());
    Refusal::new(ErrorCode::LengthMismatch, format!("{announced} bytes were announced, and {found} came."))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io,
        sync::atomic::{AtomicU64, Ordering::SeqCst},
    };

    use futures_util::TryStreamExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::server::{
        progress::Progress,
        store::{DiskStore, Force},
    };

    /// How far the only file of this test was forced to the medium.
    static FORCED: AtomicU64 = AtomicU64::new(0);

    fn force(file: &File, force: Force) -> io::Result<()> {
        if force == Force::Bytes {
            FORCED.fetch_max(file.metadata()?.len(), SeqCst);
        }
        Ok(())
    }

    async fn until(what: &str, come: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !come() {
            assert!(tokio::time::Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// All of a form's file used to be forced to the medium at its end, while the sender waited.
    #[tokio::test]
    async fn what_has_come_is_forced_to_the_medium_while_more_is_to_come() {
        const ENOUGH: u64 = 9 << 20;
        let folder = tempfile::tempdir().unwrap();
        let store = AnyStore::Disk(DiskStore::open_with(folder.path().to_owned(), force).await.unwrap());
        let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        for (before, after) in [("", ""), (head, "\r\n--b--\r\n")] {
            FORCED.store(0, SeqCst);
            let (feed, mut fed) = mpsc::unbounded_channel::<io::Result<Bytes>>();
            let mut body = Body::from_stream(futures_util::stream::poll_fn(move |cx| fed.poll_recv(cx)));
            let receiving = {
                let (store, is_form) = (store.clone(), !before.is_empty());
                tokio::spawn(async move {
                    let counter = Progress::new(Duration::from_secs(1)).anonymous();
                    let limits = ReceiveLimits::default();
                    let admit = |_, _| async { Ok(()) };
                    let expected = Expected::default();
                    if is_form {
                        let boundary =
                            Boundary::from_content_type(b"multipart/form-data; boundary=b").unwrap();
                        receive_form(&mut body, &boundary, &store, &counter, &limits, expected, admit).await
                    } else {
                        let head = FileHead {
                            name: "a".to_owned(),
                            media_type: OCTET_STREAM.to_owned(),
                            field: String::new(),
                            path: String::new(),
                        };
                        receive_raw(&mut body, head, &store, &counter, &limits, expected, admit).await
                    }
                })
            };
            let piece = Bytes::from(vec![7; 64 * 1024]);
            feed.send(Ok(Bytes::from(before))).unwrap();
            for _ in 0..ENOUGH / piece.len() as u64 {
                feed.send(Ok(piece.clone())).unwrap();
            }
            until("forced after so many bytes", || {
                FORCED.load(SeqCst) >= super::super::pen::CHECKPOINT_BYTES
            })
            .await;
            // And the rest of it after some time, though nothing more comes.
            until("forced after some time", || FORCED.load(SeqCst) == ENOUGH).await;
            assert!(!receiving.is_finished());
            feed.send(Ok(Bytes::from_static(b"last"))).unwrap();
            feed.send(Ok(Bytes::from(after))).unwrap();
            drop(feed);
            let file = receiving.await.unwrap().unwrap().files.remove(0);
            assert_eq!(file.sealed.size, ENOUGH + 4);
            let pieces: Vec<Bytes> =
                store.open(&file.id).await.unwrap().stream(0..u64::MAX).try_collect().await.unwrap();
            let stored = pieces.concat();
            assert!(stored.ends_with(b"\x07last") && stored[..ENOUGH as usize].iter().all(|&byte| byte == 7));
            store.remove(&file.id).await.unwrap();
        }
    }
}
