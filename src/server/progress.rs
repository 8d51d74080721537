//! The received witness: how far each upload has come, told to whoever may ask. Must never know HTTP, the catalog or
//! where bytes go, and must never slow those who count (promise 3).
//!
//! A [`Counter`] is the writer's side of one try and [`Progress`] the readers' side of all. They meet in a tally of
//! atomics: a chunk costs four atomic additions and no lock, channel or await. The map's locks are taken when a try
//! begins, changes its state or ends, and when somebody looks up an id, each time for a few instructions and never
//! across an await.
//!
//! # When an id is already known in its scope
//!
//! | the upload known by that id | the newcomer | what happens |
//! |---|---|---|
//! | done | is the same request (same fingerprint), or a later try of the same upload: greater attempt, same owner, same announced file size | the old answer is replayed (promise 10) |
//! | done | an earlier try that comes late: smaller attempt, same owner, same announced file size | the same |
//! | ended otherwise | an earlier try that comes late | refused: the next one may be on its way |
//! | ended otherwise, or done and the newcomer is none of these | any | a new try begins; `seq` goes on from the old one |
//! | receiving | is the same request (a browser's silent re-send) or, with the same owner, has a greater attempt | the old try is superseded, the counts restart |
//! | processing | the same two | the newcomer waits for the end, then as above: what was received whole is not thrown away |
//! | receiving or processing | any other | refused; the running upload is untouched |
//!
//! What the memory has forgotten, or another process knew, is as well known: [`Progress::begin_after`] is told of the
//! end that the catalog has kept.
//!
//! An upload in pieces has many requests under one id. Which of them may go on is decided elsewhere, so a newer one
//! always takes the place of an older one *of the same upload*, and goes on counting where that stood; between two
//! requests the upload is *receiving* still, at the offset that is durable, and its id belongs to nobody else.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Refusal,
    owner::{OwnerId, Scope, random_bits},
};
use crate::wire::{ErrorBody, ErrorCode, ProgressFrame, ProgressId, ProgressState, Receipt, UploadId};

/// Most tries with a progress id at one time, over all owners.
const MAX_LIVE: usize = 65_536;

/// Most bytes that the ended uploads of one shard may take, roughly. The oldest are forgotten first, and are then
/// answered from the catalog.
const MAX_ENDED_BYTES: usize = 1 << 20;

const SHARDS: usize = 16;

/// How often a follower looks at the counts.
const SAMPLE: Duration = Duration::from_millis(250);

/// All uploads that can be asked about by a progress id, and the count of all that run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    books: Arc<Books>,
}

/// What a request says of itself when it begins.
#[derive(Clone, Debug)]
pub struct Announce {
    /// The client's id of the upload.
    pub id: ProgressId,
    /// Who may look at it.
    pub scope: Scope,
    /// Which try of the upload this is, 1, 2, …
    pub attempt: u32,
    /// Tells one request from another: a hash of `Content-Type` (with the boundary, which browsers draw at random)
    /// and `Content-Length`. Equal only for the very same request sent again. `None`: cannot be told.
    pub fingerprint: Option<[u8; 16]>,
    /// Bytes of files, if announced.
    pub size: Option<u64>,
    /// Bytes of the whole body, if announced.
    pub body_size: Option<u64>,
}

/// How a request with a progress id may go on.
#[derive(Debug)]
pub enum Begun {
    /// Receive it and count.
    Fresh(Counter),
    /// It was stored already, its answer was lost: answer with the receipts of this frame, and store nothing.
    Replay(ProgressFrame),
}

/// Why a request may not use its progress id now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// Another upload that is still running has the id (409).
    #[error("the progress id belongs to an upload that is still running")]
    InUse,
    /// More uploads are running than the server can keep books of (429).
    #[error("too many uploads are running")]
    TooMany,
}

impl From<BeginError> for Refusal {
    fn from(error: BeginError) -> Self {
        let (code, message) = match error {
            BeginError::InUse => {
                (ErrorCode::ProgressIdInUse, "Another upload with this progress id is still running.")
            }
            BeginError::TooMany => (ErrorCode::TooManyUploads, "The server is receiving too many uploads."),
        };
        Refusal::new(code, message).caused_by(error)
    }
}

/// A terminal frame with the scope it may be seen in: what outlives the memory of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Who may see it.
    pub scope: Scope,
    /// The terminal frame.
    pub frame: ProgressFrame,
    /// As in [`Announce`].
    pub fingerprint: Option<[u8; 16]>,
}

impl Outcome {
    /// The end as it was kept in memory.
    fn recalled(&self) -> Stage {
        let frame = self.frame.clone();
        let announce = Announce {
            id: frame.id.clone(),
            scope: self.scope.clone(),
            attempt: frame.attempt,
            fingerprint: self.fingerprint,
            size: frame.size,
            body_size: frame.body_size,
        };
        let of = Try::new(announce, frame.seq, None);
        Stage::Ended(Arc::new(End { frame, of }))
    }
}

impl Progress {
    /// Empty books. Ended uploads are told for `linger`, and while memory lasts.
    pub fn new(linger: Duration) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let books = Books { shards, hasher: RandomState::new(), linger, live: AtomicUsize::new(0) };
        Self { books: Arc::new(books) }
    }

    /// Enters a request into the books, by the rules above. Waits only while the very same upload is being stored
    /// by an earlier request. Cancel safe: dropped before it is ready, it has changed nothing.
    pub async fn begin(&self, announce: Announce) -> Result<Begun, BeginError> {
        self.begin_after(announce, None).await
    }

    /// As [`begin`](Self::begin), by a caller who knows of an end of an earlier try in the same scope: it counts where the
    /// memory has forgotten that upload, or never knew it because the process is another one since.
    pub async fn begin_after(
        &self,
        announce: Announce,
        earlier: Option<Outcome>,
    ) -> Result<Begun, BeginError> {
        loop {
            match self.enter(&announce, earlier.as_ref())? {
                Entered::Begun(begun) => return Ok(begun),
                Entered::BeingStored(mut watch) => watch.ended().await,
            };
        }
    }

    /// Whether a request would take the place of one that is still running, or hear of its end, by the rules above.
    pub fn takes_over(&self, announce: &Announce) -> bool {
        let key = Key { scope: announce.scope.clone(), id: announce.id.clone() };
        let shard = lock(self.books.shard(&announce.id));
        shard.slots.get(&key).is_some_and(|slot| match &*slot.now.borrow() {
            Stage::Receiving(old) | Stage::Processing(old) => old.gives_way_to(announce),
            Stage::Ended(_) => false,
        })
    }

    /// Forgets a good end, for a caller who knows that nothing is left of what it tells of. What has begun since stays.
    pub fn forget(&self, announce: &Announce, told: &ProgressFrame) {
        let key = Key { scope: announce.scope.clone(), id: announce.id.clone() };
        let mut shard = lock(self.books.shard(&announce.id));
        let is_it = |slot: &Arc<Slot>| matches!(&*slot.now.borrow(), Stage::Ended(end) if end.frame == *told);
        if shard.slots.get(&key).is_some_and(is_it) {
            shard.slots.remove(&key);
        }
    }

    /// Counts an upload without a progress id: nobody can look it up.
    pub fn anonymous(&self) -> Counter {
        let announce = Announce {
            id: ProgressId::from_bits(random_bits()),
            scope: Scope::Anyone,
            attempt: 1,
            fingerprint: None,
            size: None,
            body_size: None,
        };
        let try_ = Try::new(announce, first_seq(), None);
        let slot = Slot { now: watch::Sender::new(Stage::Receiving(Arc::clone(&try_))) };
        self.counter(Arc::new(slot), try_, Visible::ToNobody)
    }

    /// Enters the next request of an upload in pieces, of which this many bytes are durable. An earlier request of the
    /// same upload has been superseded.
    ///
    /// # Errors
    /// [`BeginError::InUse`] when the id is that of another upload.
    pub fn take_up(
        &self,
        upload: &UploadId,
        announce: Announce,
        durable: u64,
    ) -> Result<Counter, BeginError> {
        let pieces = Some((upload.clone(), durable));
        let key = Key { scope: announce.scope.clone(), id: announce.id.clone() };
        let mut shard = lock(self.books.shard(&announce.id));
        let Some(slot) = shard.slots.get(&key).cloned() else {
            if self.live() >= MAX_LIVE {
                return Err(BeginError::TooMany);
            }
            let try_ = Try::new(announce, first_seq(), pieces);
            let slot = Arc::new(Slot { now: watch::Sender::new(Stage::Receiving(Arc::clone(&try_))) });
            shard.slots.insert(key, Arc::clone(&slot));
            return Ok(self.counter(slot, try_, Visible::InScope));
        };
        let stage = slot.now.borrow().clone();
        let is_same = stage.try_().pieces.as_ref().is_some_and(|(of, _)| of == upload);
        match stage {
            Stage::Ended(end) if is_same || end.frame.state.is_terminal() => {}
            Stage::Receiving(old) | Stage::Processing(old) if is_same => {
                old.leave(&self.books.live);
                old.superseded.cancel();
            }
            _ => return Err(BeginError::InUse),
        }
        let first_seq = first_seq().max(slot.frame().seq + 1000);
        let try_ = Try::new(announce, first_seq, pieces);
        slot.now.send_replace(Stage::Receiving(Arc::clone(&try_)));
        Ok(self.counter(slot, try_, Visible::InScope))
    }

    /// Where the upload stands now, if the viewer may know. `None` also for an id not heard of (yet, or any more):
    /// the catalog may still know its end.
    pub fn frame(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Option<ProgressFrame> {
        self.books.find(id, viewer).map(|slot| slot.frame())
    }

    /// Follows the upload, if the viewer may know of it.
    pub fn subscribe(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Option<Watch> {
        self.books.find(id, viewer).map(Watch::new)
    }

    /// Number of uploads being received or stored, with and without a progress id.
    pub fn live(&self) -> usize {
        self.books.live.load(SeqCst)
    }

    /// Forgets what ended longer ago than the linger.
    pub fn sweep(&self) {
        self.sweep_at(Instant::now());
    }

    fn sweep_at(&self, now: Instant) {
        for shard in &self.books.shards {
            let mut shard = lock(shard);
            for _ in 0..shard.ended.len() {
                if shard.ended.front().is_none_or(|oldest| now - oldest.at <= self.books.linger) {
                    break;
                }
                shard.forget_oldest_unless_followed(now);
            }
        }
    }

    fn enter(&self, announce: &Announce, earlier: Option<&Outcome>) -> Result<Entered, BeginError> {
        let key = Key { scope: announce.scope.clone(), id: announce.id.clone() };
        let mut shard = lock(self.books.shard(&announce.id));
        let recalled = || Some(Arc::new(Slot { now: watch::Sender::new(earlier?.recalled()) }));
        let Some(slot) = shard.slots.get(&key).cloned().or_else(recalled) else {
            if self.live() >= MAX_LIVE {
                return Err(BeginError::TooMany);
            }
            let try_ = Try::new(announce.clone(), first_seq(), None);
            let slot = Arc::new(Slot { now: watch::Sender::new(Stage::Receiving(Arc::clone(&try_))) });
            shard.slots.insert(key, Arc::clone(&slot));
            return Ok(Entered::Begun(Begun::Fresh(self.counter(slot, try_, Visible::InScope))));
        };
        // Stages change under the shard's lock only, which is held here.
        let stage = slot.now.borrow().clone();
        match stage {
            Stage::Ended(end)
                if end.frame.state == ProgressState::Done && end.of.is_what_comes_again(announce) =>
            {
                return Ok(Entered::Begun(Begun::Replay(end.frame.clone())));
            }
            // An upload in pieces between two requests.
            Stage::Ended(end) if !end.frame.state.is_terminal() => return Err(BeginError::InUse),
            Stage::Ended(end) if end.of.has_overtaken(announce) => return Err(BeginError::InUse),
            Stage::Ended(_) if self.live() >= MAX_LIVE => return Err(BeginError::TooMany),
            Stage::Ended(_) => {}
            Stage::Receiving(old) if old.gives_way_to(announce) => {
                old.leave(&self.books.live);
                old.superseded.cancel();
            }
            Stage::Processing(old) if old.gives_way_to(announce) => {
                return Ok(Entered::BeingStored(Watch::new(slot)));
            }
            Stage::Receiving(_) | Stage::Processing(_) => return Err(BeginError::InUse),
        }
        // The one who is superseded may be counting still, and be read until the next line: a wide step.
        let first_seq = first_seq().max(slot.frame().seq + 1000);
        let try_ = Try::new(announce.clone(), first_seq, None);
        slot.now.send_replace(Stage::Receiving(Arc::clone(&try_)));
        // One that was recalled is new here.
        shard.slots.insert(key, Arc::clone(&slot));
        Ok(Entered::Begun(Begun::Fresh(self.counter(slot, try_, Visible::InScope))))
    }

    fn counter(&self, slot: Arc<Slot>, try_: Arc<Try>, visible: Visible) -> Counter {
        self.books.live.fetch_add(1, SeqCst);
        Counter { try_, slot, visible, books: Arc::clone(&self.books) }
    }
}

/// The writer's side of one try. Dropped before it was told an end, it reports `failed` with
/// [`ErrorCode::Interrupted`], or a pause where its request began. Once superseded, nothing it is told reaches a reader any more.
#[derive(Debug)]
pub struct Counter {
    try_: Arc<Try>,
    slot: Arc<Slot>,
    visible: Visible,
    books: Arc<Books>,
}

impl Counter {
    /// Counts `n` bytes of the body, of whatever kind.
    pub fn add_body(&self, n: u64) {
        self.try_.tally.add_body(n);
    }

    /// Counts `n` bytes of a file.
    pub fn add_file(&self, n: u64) {
        self.try_.tally.add_file(n);
    }

    /// Everything was received; it is being checked and stored. From here on the same upload sent again waits for
    /// the end instead of taking this one's place. `false`: a newer request had taken it before, and this one must
    /// store nothing.
    pub fn processing(&self) -> bool {
        let _shard = lock(self.books.shard(&self.try_.announce.id));
        self.slot.now.send_if_modified(|stage| {
            let receiving = matches!(stage, Stage::Receiving(now) if Arc::ptr_eq(now, &self.try_));
            if receiving {
                self.try_.tally.changed();
                *stage = Stage::Processing(Arc::clone(&self.try_));
            }
            receiving
        });
        !self.is_superseded()
    }

    /// All files are stored and the catalog says so. Only then may this be called (promise 1).
    pub fn done(&self, receipts: Vec<Receipt>) {
        self.end(self.frame_done(receipts));
    }

    /// It ended without being stored: `cancelled` when its owner stopped it, `expired` when it is gone because nobody
    /// went on with it, otherwise `failed`.
    pub fn failed(&self, error: ErrorBody) {
        self.end(self.frame_failed(error));
    }

    /// The request is over and the upload, one in pieces, is not: this many bytes of it are durable, and the next
    /// request goes on from there.
    pub fn pause(&self, durable: u64) {
        let frame = self.try_.frame(ProgressState::Receiving);
        let body_received = frame.body_received.min(durable);
        self.end(ProgressFrame { seq: frame.seq + 1, received: durable, body_received, ..frame });
    }

    /// What [`Counter::done`] is going to tell, for the transaction that makes it true. `None`: anonymous.
    pub fn outcome_done(&self, receipts: Vec<Receipt>) -> Option<Outcome> {
        let scope = self.scope()?.clone();
        Some(Outcome { scope, frame: self.frame_done(receipts), fingerprint: self.try_.announce.fingerprint })
    }

    /// What [`Counter::failed`] is going to tell, to be kept. `None`: anonymous, or a newer request has taken this
    /// one's place, and its end is the one to keep.
    pub fn outcome_failed(&self, error: ErrorBody) -> Option<Outcome> {
        let scope = self.scope().filter(|_| !self.is_superseded())?.clone();
        Some(Outcome { scope, frame: self.frame_failed(error), fingerprint: self.try_.announce.fingerprint })
    }

    /// Resolves when a newer request has taken this one's place, and never otherwise. Shares nothing with readers.
    /// Cancel safe; ask once and keep the future.
    pub async fn superseded(&self) {
        self.try_.superseded.cancelled().await;
    }

    /// Whether a newer request has taken this one's place. Takes a lock: not for every chunk.
    pub fn is_superseded(&self) -> bool {
        self.try_.superseded.is_cancelled()
    }

    /// Where this try stands. One that was superseded has failed, whatever the newer one does.
    pub fn frame(&self) -> ProgressFrame {
        if self.is_superseded() {
            return self.frame_failed(ErrorBody::new(
                ErrorCode::Superseded,
                "A newer request for the same upload took its place.",
            ));
        }
        self.slot.frame()
    }

    fn scope(&self) -> Option<&Scope> {
        match self.visible {
            Visible::InScope => Some(&self.try_.announce.scope),
            Visible::ToNobody => None,
        }
    }

    fn frame_done(&self, receipts: Vec<Receipt>) -> ProgressFrame {
        let frame = self.try_.frame(ProgressState::Done);
        ProgressFrame { seq: frame.seq + 1, receipts, ..frame }
    }

    fn frame_failed(&self, error: ErrorBody) -> ProgressFrame {
        let frame = self.try_.frame(match error.code {
            ErrorCode::Cancelled => ProgressState::Cancelled,
            ErrorCode::Gone => ProgressState::Expired,
            _ => ProgressState::Failed,
        });
        ProgressFrame { seq: frame.seq + 1, error: Some(error), ..frame }
    }

    /// The first end counts; later ones, and those of a superseded try, change nothing.
    fn end(&self, frame: ProgressFrame) {
        let end = Arc::new(End { frame, of: Arc::clone(&self.try_) });
        let mut shard = lock(self.books.shard(&self.try_.announce.id));
        let ended = self.slot.now.send_if_modified(|stage| {
            let mine = !matches!(stage, Stage::Ended(_)) && Arc::ptr_eq(stage.try_(), &self.try_);
            if mine {
                *stage = Stage::Ended(Arc::clone(&end));
            }
            mine
        });
        self.try_.leave(&self.books.live);
        if let (true, Some(scope)) = (ended, self.scope()) {
            let key = Key { scope: scope.clone(), id: self.try_.announce.id.clone() };
            shard.remember(Ended { at: Instant::now(), key, bytes: memory_of(&end.frame), end });
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if self.try_.left.load(SeqCst) {
            return;
        }
        if let Some((_, durable)) = self.try_.pieces {
            self.pause(durable);
        } else {
            self.failed(ErrorBody::new(ErrorCode::Interrupted, "The upload was interrupted."));
        }
    }
}

/// One reader that follows one progress id, over all its tries, to the first end.
#[derive(Debug)]
pub struct Watch {
    slot: Arc<Slot>,
    now: watch::Receiver<Stage>,
    /// What was told last.
    told: Option<(u64, ProgressState)>,
}

impl Watch {
    fn new(slot: Arc<Slot>) -> Self {
        let now = slot.now.subscribe();
        Self { slot, now, told: None }
    }

    /// The next frame that says something new: first how things stand, then each change of state at once and counts
    /// every quarter of a second; after a terminal frame `None`. Reads a few atomics: the one who counts wakes nobody and
    /// notices nothing. Cancel safe.
    pub async fn next(&mut self) -> Option<ProgressFrame> {
        if self.told.is_some_and(|(_, state)| state.is_terminal()) {
            return None;
        }
        loop {
            self.now.mark_unchanged();
            let frame = self.slot.frame();
            if self.told != Some((frame.seq, frame.state)) {
                self.told = Some((frame.seq, frame.state));
                return Some(frame);
            }
            // The sender lives in the slot that we hold: it cannot be closed. Either way, look again.
            let _ = tokio::time::timeout(SAMPLE, self.now.changed()).await;
        }
    }

    /// Waits until the upload has ended. Cancel safe.
    pub async fn ended(&mut self) -> ProgressFrame {
        match self.now.wait_for(|stage| matches!(stage, Stage::Ended(_))).await.as_deref() {
            Ok(Stage::Ended(end)) => end.frame.clone(),
            _ => self.slot.frame(),
        }
    }
}

enum Entered {
    Begun(Begun),
    /// All of the same upload has been received and it is being stored: wait for its end, then ask again.
    BeingStored(Watch),
}

#[derive(Debug)]
enum Visible {
    InScope,
    ToNobody,
}

/// The map, its locks, and what is counted over all of it.
#[derive(Debug)]
struct Books {
    /// One lock at a time, before any slot's watch, never across an await.
    shards: Box<[Mutex<Shard>]>,
    /// Seeded at random: clients choose the ids, and must not be able to choose a shard.
    hasher: RandomState,
    linger: Duration,
    live: AtomicUsize,
}

impl Books {
    fn shard(&self, id: &ProgressId) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }

    fn find(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Option<Arc<Slot>> {
        let shard = lock(self.shard(id));
        let look = |scope| shard.slots.get(&Key { scope, id: id.clone() }).cloned();
        viewer.and_then(|owner| look(Scope::Owner(owner.clone()))).or_else(|| look(Scope::Anyone))
    }
}

#[derive(Debug, Default)]
struct Shard {
    slots: HashMap<Key, Arc<Slot>>,
    /// In the order they ended. Some may have begun anew since; their ends take memory until they leave here.
    ended: VecDeque<Ended>,
    /// The sum over `ended`.
    ended_bytes: usize,
}

impl Shard {
    fn remember(&mut self, ended: Ended) {
        self.ended_bytes += ended.bytes;
        self.ended.push_back(ended);
        while self.ended_bytes > MAX_ENDED_BYTES {
            self.forget_oldest();
        }
    }

    /// Whoever follows an upload between two of its requests must hear of the next.
    fn forget_oldest_unless_followed(&mut self, now: Instant) {
        let is_followed = |oldest: &Ended| {
            let slot = self.slots.get(&oldest.key);
            !oldest.end.frame.state.is_terminal() && slot.is_some_and(|slot| slot.now.receiver_count() > 0)
        };
        match self.ended.pop_front_if(|oldest| is_followed(oldest)) {
            Some(oldest) => self.ended.push_back(Ended { at: now, ..oldest }),
            None => self.forget_oldest(),
        }
    }

    fn forget_oldest(&mut self) {
        let Some(Ended { key, end, bytes, .. }) = self.ended.pop_front() else {
            return;
        };
        self.ended_bytes -= bytes;
        let stands =
            |slot: &Arc<Slot>| matches!(&*slot.now.borrow(), Stage::Ended(e) if Arc::ptr_eq(e, &end));
        if self.slots.get(&key).is_some_and(stands) {
            self.slots.remove(&key);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    id: ProgressId,
    scope: Scope,
}

#[derive(Debug)]
struct Ended {
    at: Instant,
    key: Key,
    end: Arc<End>,
    bytes: usize,
}

/// One progress id in one scope, over all its tries.
#[derive(Debug)]
struct Slot {
    /// Changed under the shard's lock only, a few times per upload.
    now: watch::Sender<Stage>,
}

impl Slot {
    fn frame(&self) -> ProgressFrame {
        // While the stage is borrowed it cannot change, so state and counts belong together. Counting goes on.
        match &*self.now.borrow() {
            Stage::Receiving(try_) => try_.frame(ProgressState::Receiving),
            Stage::Processing(try_) => try_.frame(ProgressState::Processing),
            Stage::Ended(end) => end.frame.clone(),
        }
    }
}

#[derive(Clone, Debug)]
enum Stage {
    Receiving(Arc<Try>),
    Processing(Arc<Try>),
    Ended(Arc<End>),
}

impl Stage {
    /// The try that it is, or was.
    fn try_(&self) -> &Arc<Try> {
        match self {
            Self::Receiving(try_) | Self::Processing(try_) => try_,
            Self::Ended(end) => &end.of,
        }
    }
}

#[derive(Debug)]
struct End {
    frame: ProgressFrame,
    of: Arc<Try>,
}

/// One request's try at an upload.
#[derive(Debug)]
struct Try {
    announce: Announce,
    /// What `seq` counts from: greater than every `seq` told before under this id.
    first_seq: u64,
    tally: Tally,
    /// Which upload in pieces this is a request of, and how many bytes of it were durable when it began.
    pieces: Option<(UploadId, u64)>,
    /// Cancelled when a newer request takes this one's place, under the shard's lock.
    superseded: CancellationToken,
    /// No longer counted as live.
    left: AtomicBool,
}

impl Try {
    fn new(announce: Announce, first_seq: u64, pieces: Option<(UploadId, u64)>) -> Arc<Self> {
        Arc::new(Self {
            announce,
            first_seq,
            tally: Tally::from(pieces.as_ref().map_or(0, |(_, durable)| *durable)),
            pieces,
            superseded: CancellationToken::new(),
            left: AtomicBool::new(false),
        })
    }

    /// Whether the newcomer, in the same scope, is this upload once more.
    fn gives_way_to(&self, newcomer: &Announce) -> bool {
        self.is_same_request(newcomer) || self.is_earlier_than(newcomer)
    }

    /// As [`Try::gives_way_to`], once this try has been stored: a later try must then be of a file that was
    /// announced with the same size, or it may be another file under an old id.
    fn is_what_comes_again(&self, newcomer: &Announce) -> bool {
        let tried_again = self.is_earlier_than(newcomer) || self.has_overtaken(newcomer);
        self.is_same_request(newcomer) || (tried_again && self.is_of_same_size(newcomer))
    }

    /// Whether the newcomer is an earlier try of the same upload that comes late: a browser may send a request again
    /// by itself after its page has gone on to the next try. Nobody waits for what it would store.
    fn has_overtaken(&self, newcomer: &Announce) -> bool {
        let earlier = matches!(newcomer.scope, Scope::Owner(_)) && newcomer.attempt < self.announce.attempt;
        earlier && self.is_of_same_size(newcomer)
    }

    fn is_of_same_size(&self, newcomer: &Announce) -> bool {
        newcomer.size.is_some() && newcomer.size == self.announce.size
    }

    fn is_same_request(&self, newcomer: &Announce) -> bool {
        newcomer.fingerprint.is_some() && newcomer.fingerprint == self.announce.fingerprint
    }

    /// Only an owner's word about attempts is taken: without a cookie, anyone who knows the id could stop an upload.
    fn is_earlier_than(&self, newcomer: &Announce) -> bool {
        matches!(newcomer.scope, Scope::Owner(_)) && newcomer.attempt > self.announce.attempt
    }

    fn frame(&self, state: ProgressState) -> ProgressFrame {
        let (changes, received, body_received) = self.tally.read();
        ProgressFrame {
            id: self.announce.id.clone(),
            attempt: self.announce.attempt,
            seq: self.first_seq + changes,
            state,
            received,
            size: self.announce.size,
            body_received,
            body_size: self.announce.body_size,
            error: None,
            receipts: Vec::new(),
        }
    }

    fn leave(&self, live: &AtomicUsize) {
        if !self.left.swap(true, SeqCst) {
            live.fetch_sub(1, SeqCst);
        }
    }
}

/// What one try has counted. The writer only ever adds, and never waits or repeats; it is the readers who do.
///
/// Each addition is made before the change is counted, and a reader takes the sums only when no change was counted
/// meanwhile. So, in the one order that all these operations have (`SeqCst`), every sum read with a greater number
/// of changes is at least as great: of two frames the one with the greater `seq` never shows less.
#[derive(Debug, Default)]
struct Tally {
    changes: AtomicU64,
    files: AtomicU64,
    body: AtomicU64,
}

impl Tally {
    fn from(bytes: u64) -> Self {
        Self { files: bytes.into(), body: bytes.into(), ..Self::default() }
    }

    fn add_file(&self, n: u64) {
        self.files.fetch_add(n, SeqCst);
        self.changed();
    }

    fn add_body(&self, n: u64) {
        self.body.fetch_add(n, SeqCst);
        self.changed();
    }

    fn changed(&self) {
        self.changes.fetch_add(1, SeqCst);
    }

    /// Changes, bytes of files, bytes of the body. Repeats only when a chunk was counted within these few loads.
    fn read(&self) -> (u64, u64, u64) {
        let mut changes = self.changes.load(SeqCst);
        loop {
            let (files, body) = (self.files.load(SeqCst), self.body.load(SeqCst));
            let after = self.changes.load(SeqCst);
            if after == changes {
                return (changes, files, body);
            }
            changes = after;
            std::hint::spin_loop();
        }
    }
}

/// Where a new try's `seq` begins: the clock's microseconds. A try counts far fewer than a million changes in a
/// second, so `seq` keeps growing for an id that was forgotten meanwhile, over a restart too, with nothing to remember.
fn first_seq() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(0)
}

/// What an ended upload takes in memory, in bytes: its texts, and a share for structures, generously.
fn memory_of(frame: &ProgressFrame) -> usize {
    let error =
        frame.error.as_ref().map_or(0, |e| e.message.len() + e.detail.as_ref().map_or(0, String::len));
    let receipt = |r: &Receipt| 256 + r.name.len() + r.media_type.len() + r.url.len();
    1024 + error + frame.receipts.iter().map(receipt).sum::<usize>()
}

/// A panic in one of these few lines would leave the books as they were before or after: they are used on.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::wire::UploadId;

    const LINGER: Duration = Duration::from_secs(300);

    fn id(text: &str) -> ProgressId {
        text.parse().unwrap()
    }

    fn owner(n: u8) -> OwnerId {
        OwnerId::from_bits([n; 16])
    }

    /// Of owner 1, unless the test says otherwise.
    fn announce(text: &str) -> Announce {
        Announce {
            id: id(text),
            scope: Scope::Owner(owner(1)),
            attempt: 1,
            fingerprint: None,
            size: Some(100),
            body_size: Some(150),
        }
    }

    fn print(n: u8) -> Option<[u8; 16]> {
        Some([n; 16])
    }

    fn receipt(name: &str) -> Receipt {
        Receipt {
            id: UploadId::from_bits([9; 16]),
            name: name.to_owned(),
            size: 100,
            media_type: "text/plain".to_owned(),
            sha256: None,
            stored_ms: 1,
            url: "/files/x".to_owned(),
            ..Receipt::default()
        }
    }

    fn error(code: ErrorCode) -> ErrorBody {
        ErrorBody::new(code, "It did not work.")
    }

    /// `begin`, where nothing has to be waited for.
    fn begin(progress: &Progress, announce: Announce) -> Result<Begun, BeginError> {
        progress.begin(announce).now_or_never().expect("begin should not have to wait")
    }

    fn fresh(progress: &Progress, announce: Announce) -> Counter {
        match begin(progress, announce) {
            Ok(Begun::Fresh(counter)) => counter,
            other => panic!("a new try was expected, not {other:?}"),
        }
    }

    fn replayed(progress: &Progress, announce: Announce) -> ProgressFrame {
        match begin(progress, announce) {
            Ok(Begun::Replay(frame)) => frame,
            other => panic!("a replay was expected, not {other:?}"),
        }
    }

    fn seen(progress: &Progress, text: &str) -> ProgressFrame {
        progress.frame(&id(text), Some(&owner(1))).expect("the owner sees the upload")
    }

    #[test]
    fn frames_tell_absolute_totals_and_seq_grows_with_each_change() {
        let progress = Progress::new(LINGER);
        let counter = fresh(&progress, announce("progress-1"));
        let mut frames = vec![seen(&progress, "progress-1")];
        counter.add_body(40);
        frames.push(seen(&progress, "progress-1"));
        counter.add_file(30);
        frames.push(seen(&progress, "progress-1"));
        assert!(counter.processing());
        frames.push(seen(&progress, "progress-1"));
        counter.done(vec![receipt("a")]);
        frames.push(seen(&progress, "progress-1"));
        assert!(frames.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{frames:#?}");
        let states: Vec<_> = frames.iter().map(|f| (f.state, f.received, f.body_received)).collect();
        use ProgressState::*;
        assert_eq!(
            states,
            [
                (Receiving, 0, 0),
                (Receiving, 0, 40),
                (Receiving, 30, 40),
                (Processing, 30, 40),
                (Done, 30, 40)
            ]
        );
        assert!(frames.iter().all(|f| (f.attempt, f.size, f.body_size) == (1, Some(100), Some(150))));
        assert_eq!(frames[4].receipts, [receipt("a")]);
    }

    #[test]
    fn a_live_id_used_twice_is_refused_and_the_first_upload_untouched() {
        for (first, second) in [(None, None), (print(1), None), (None, print(1)), (print(1), print(2))] {
            let progress = Progress::new(LINGER);
            let counter = fresh(&progress, Announce { fingerprint: first, ..announce("progress-1") });
            counter.add_body(10);
            let before = seen(&progress, "progress-1");
            let again = begin(&progress, Announce { fingerprint: second, ..announce("progress-1") });
            assert_eq!(again.unwrap_err(), BeginError::InUse);
            assert_eq!(seen(&progress, "progress-1"), before);
            assert!(!counter.is_superseded());
            counter.processing();
            let again = begin(&progress, Announce { fingerprint: second, ..announce("progress-1") });
            assert_eq!(again.unwrap_err(), BeginError::InUse);
            counter.done(Vec::new());
            assert_eq!(seen(&progress, "progress-1").state, ProgressState::Done);
        }
        assert_eq!(Refusal::from(BeginError::InUse).status(), 409);
    }

    #[test]
    fn a_silent_resend_restarts_the_count_and_the_orphan_changes_nothing_any_more() {
        let progress = Progress::new(LINGER);
        let same = Announce { fingerprint: print(1), ..announce("progress-1") };
        let orphan = fresh(&progress, same.clone());
        orphan.add_body(90);
        orphan.add_file(80);
        let before = seen(&progress, "progress-1");
        let superseded = orphan.superseded();
        let counter = fresh(&progress, same);
        assert!(superseded.now_or_never().is_some() && orphan.is_superseded());
        let after = seen(&progress, "progress-1");
        assert_eq!((after.received, after.body_received, after.attempt), (0, 0, 1));
        assert_eq!(after.state, ProgressState::Receiving);
        assert!(after.seq > before.seq);

        orphan.add_body(5);
        orphan.add_file(5);
        assert!(!orphan.processing());
        orphan.done(vec![receipt("orphan")]);
        orphan.failed(error(ErrorCode::TooLarge));
        assert_eq!(orphan.outcome_failed(error(ErrorCode::Superseded)), None);
        assert_eq!(orphan.frame().error.unwrap().code, ErrorCode::Superseded);
        drop(orphan);
        assert_eq!(seen(&progress, "progress-1"), after);
        assert!(counter.superseded().now_or_never().is_none());
        assert_eq!(progress.live(), 1);
        counter.add_file(1);
        assert_eq!(seen(&progress, "progress-1").received, 1);
    }

    #[test]
    fn a_greater_attempt_takes_over_for_the_same_owner_only() {
        let progress = Progress::new(LINGER);
        let attempt = |n| Announce { attempt: n, fingerprint: print(n as u8), ..announce("progress-1") };
        let first = fresh(&progress, attempt(1));
        let second = fresh(&progress, attempt(2));
        assert!(first.is_superseded());
        assert_eq!(seen(&progress, "progress-1").attempt, 2);
        assert_eq!(begin(&progress, attempt(1)).unwrap_err(), BeginError::InUse);
        assert_eq!(
            begin(&progress, Announce { fingerprint: None, ..attempt(2) }).unwrap_err(),
            BeginError::InUse
        );
        assert!(!second.is_superseded());

        let anyones = |n| Announce { scope: Scope::Anyone, ..attempt(n) };
        let open = fresh(&progress, anyones(1));
        assert_eq!(begin(&progress, anyones(2)).unwrap_err(), BeginError::InUse);
        assert!(!open.is_superseded());
    }

    #[test]
    fn the_same_request_after_it_was_done_is_replayed() {
        let progress = Progress::new(LINGER);
        let same = Announce { fingerprint: print(1), ..announce("progress-1") };
        fresh(&progress, same.clone()).done(vec![receipt("a")]);
        let frame = replayed(&progress, same.clone());
        assert_eq!(frame.receipts, [receipt("a")]);
        assert_eq!(frame, seen(&progress, "progress-1"));
        // A retry whose predecessor was stored, though its answer was lost: a new boundary, the same file.
        let retry = Announce { attempt: 2, fingerprint: print(2), ..same.clone() };
        assert_eq!(replayed(&progress, retry.clone()).receipts, [receipt("a")]);
        assert_eq!(progress.live(), 0);
        // Another file under an old id.
        for other in [
            Announce { fingerprint: print(2), ..same.clone() },
            Announce { fingerprint: None, ..same.clone() },
            Announce { size: Some(101), ..retry.clone() },
            Announce { size: None, ..retry },
        ] {
            let progress = Progress::new(LINGER);
            fresh(&progress, same.clone()).done(vec![receipt("a")]);
            let done = seen(&progress, "progress-1");
            let _counter = fresh(&progress, other);
            let now = seen(&progress, "progress-1");
            assert!(now.seq > done.seq && now.state == ProgressState::Receiving && now.receipts.is_empty());
        }
    }

    #[test]
    fn without_an_owner_no_later_attempt_is_believed_even_after_the_end() {
        let progress = Progress::new(LINGER);
        let first = Announce { scope: Scope::Anyone, ..announce("progress-1") };
        fresh(&progress, first.clone()).done(vec![receipt("a")]);
        fresh(&progress, Announce { attempt: 2, ..first });
    }

    /// A browser that sends a request again by itself may be slower than its page's next try: two files were stored.
    #[test]
    fn an_earlier_try_that_comes_late_stores_nothing() {
        let attempt = |n: u8| Announce { attempt: n.into(), fingerprint: print(n), ..announce("progress-1") };
        let progress = Progress::new(LINGER);
        fresh(&progress, attempt(2)).done(vec![receipt("a")]);
        assert_eq!(replayed(&progress, attempt(1)).receipts, [receipt("a")]);
        assert_eq!(seen(&progress, "progress-1").attempt, 2);

        let progress = Progress::new(LINGER);
        fresh(&progress, attempt(2)).failed(error(ErrorCode::Interrupted));
        assert_eq!(begin(&progress, attempt(1)).unwrap_err(), BeginError::InUse);
        fresh(&progress, attempt(3));

        let progress = Progress::new(LINGER);
        fresh(&progress, attempt(2)).done(vec![receipt("a")]);
        fresh(&progress, Announce { size: Some(7), ..attempt(1) });
    }

    /// The memory of another process, or of long ago, is the catalog's.
    #[tokio::test]
    async fn an_end_that_was_kept_elsewhere_counts_as_one_that_is_remembered() {
        let (first, second) = (Progress::new(LINGER), Progress::new(LINGER));
        let one = Announce { fingerprint: print(1), ..announce("progress-1") };
        let outcome = fresh(&first, one.clone()).outcome_done(vec![receipt("a")]).unwrap();
        let known = || Some(outcome.clone());
        let retry = Announce { attempt: 2, fingerprint: print(2), ..one.clone() };
        for again in [one.clone(), retry.clone()] {
            let begun = second.begin_after(again, known()).await;
            assert!(matches!(begun, Ok(Begun::Replay(frame)) if frame == outcome.frame));
        }
        assert_eq!(second.frame(&one.id, Some(&owner(1))), None, "nothing has begun");
        // Another file under the old id; and what this memory knows goes before.
        let other = Announce { size: Some(101), ..retry };
        let Ok(Begun::Fresh(counter)) = second.begin_after(other, known()).await else { panic!("a new try") };
        assert!(counter.frame().seq > outcome.frame.seq);
        assert!(matches!(second.begin_after(one.clone(), known()).await, Err(BeginError::InUse)));
        counter.done(vec![receipt("b")]);
        // An end is forgotten of which nothing is left, and no other.
        let told = seen(&second, "progress-1");
        second.forget(&one, &outcome.frame);
        assert_eq!(seen(&second, "progress-1"), told);
        second.forget(&one, &told);
        assert_eq!(second.frame(&one.id, Some(&owner(1))), None);
    }

    #[test]
    fn what_failed_is_never_replayed() {
        let progress = Progress::new(LINGER);
        let same = Announce { fingerprint: print(1), ..announce("progress-1") };
        fresh(&progress, same.clone()).failed(error(ErrorCode::TimedOut));
        let failed = seen(&progress, "progress-1");
        assert_eq!(failed.error, Some(error(ErrorCode::TimedOut)));
        let counter = fresh(&progress, same);
        let now = seen(&progress, "progress-1");
        assert!(now.seq > failed.seq && now.error.is_none());
        counter.done(Vec::new());
    }

    #[tokio::test]
    async fn sent_again_while_it_is_being_stored_it_waits_and_is_stored_once() {
        let progress = Progress::new(LINGER);
        let same = Announce { fingerprint: print(1), ..announce("progress-1") };
        let counter = fresh(&progress, same.clone());
        assert!(counter.processing());
        let mut again = Box::pin(progress.begin(same.clone()));
        assert!((&mut again).now_or_never().is_none());
        assert!(!counter.is_superseded());
        counter.done(vec![receipt("a")]);
        assert!(matches!(again.await, Ok(Begun::Replay(frame)) if frame.receipts == [receipt("a")]));

        // It failed in the end: then the one who waited is a new try.
        let same = Announce { id: id("progress-2"), ..same };
        let counter = fresh(&progress, same.clone());
        counter.processing();
        let mut again = Box::pin(progress.begin(Announce { attempt: 2, fingerprint: None, ..same }));
        assert!((&mut again).now_or_never().is_none());
        counter.failed(error(ErrorCode::OutOfSpace));
        assert!(matches!(again.await, Ok(Begun::Fresh(_))));
    }

    #[test]
    fn an_owners_ids_are_invisible_to_others_and_collide_with_nobodys() {
        let progress = Progress::new(LINGER);
        let of = |scope| Announce { scope, ..announce("progress-1") };
        let mine = fresh(&progress, of(Scope::Owner(owner(1))));
        mine.add_file(1);
        assert_eq!(progress.frame(&id("progress-1"), Some(&owner(2))), None);
        assert_eq!(progress.frame(&id("progress-1"), None), None);
        assert!(progress.subscribe(&id("progress-1"), None).is_none());
        let theirs = fresh(&progress, of(Scope::Owner(owner(2))));
        theirs.add_file(2);
        let anyones = fresh(&progress, of(Scope::Anyone));
        anyones.add_file(3);
        let received = |viewer: Option<u8>| {
            progress.frame(&id("progress-1"), viewer.map(owner).as_ref()).map(|frame| frame.received)
        };
        assert_eq!(received(Some(1)), Some(1));
        assert_eq!(received(Some(2)), Some(2));
        // Whoever knows the id, with a cookie or without.
        assert_eq!(received(Some(3)), Some(3));
        assert_eq!(received(None), Some(3));
    }

    #[test]
    fn a_counter_that_is_dropped_was_interrupted() {
        let progress = Progress::new(LINGER);
        drop(fresh(&progress, announce("progress-1")));
        let frame = seen(&progress, "progress-1");
        assert_eq!(frame.state, ProgressState::Failed);
        let error = frame.error.unwrap();
        assert!(error.code == ErrorCode::Interrupted && error.retryable);
        assert_eq!(progress.live(), 0);
    }

    #[test]
    fn the_first_end_counts_and_is_what_its_outcome_said() {
        let progress = Progress::new(LINGER);
        let counter = fresh(&progress, announce("progress-1"));
        counter.add_file(100);
        counter.processing();
        let outcome = counter.outcome_done(vec![receipt("a")]).unwrap();
        counter.done(vec![receipt("a")]);
        counter.failed(error(ErrorCode::Internal));
        counter.add_file(1);
        let frame = seen(&progress, "progress-1");
        assert_eq!(outcome, Outcome { scope: Scope::Owner(owner(1)), frame, fingerprint: None });
        drop(counter);
        assert_eq!(outcome.frame, seen(&progress, "progress-1"));

        let counter = fresh(&progress, announce("progress-2"));
        let outcome = counter.outcome_failed(error(ErrorCode::Cancelled)).unwrap();
        counter.failed(error(ErrorCode::Cancelled));
        assert_eq!(outcome.frame, seen(&progress, "progress-2"));
        assert_eq!(outcome.frame.state, ProgressState::Cancelled);
    }

    #[test]
    fn an_anonymous_upload_is_counted_and_nobody_sees_it() {
        let progress = Progress::new(LINGER);
        let counter = progress.anonymous();
        counter.add_file(3);
        assert_eq!(progress.live(), 1);
        let frame = counter.frame();
        assert_eq!((frame.received, frame.state), (3, ProgressState::Receiving));
        assert_eq!(progress.frame(&frame.id, None), None);
        assert_eq!(counter.outcome_done(Vec::new()), None);
        assert_eq!(counter.outcome_failed(error(ErrorCode::Internal)), None);
        counter.done(Vec::new());
        assert_eq!((progress.live(), progress.frame(&frame.id, None)), (0, None));
        drop(counter);
        drop(progress.anonymous());
        assert_eq!(progress.live(), 0);
    }

    #[tokio::test]
    async fn a_follower_hears_of_every_state_and_of_the_end_once() {
        let progress = Progress::new(LINGER);
        let same = Announce { fingerprint: print(1), ..announce("progress-1") };
        let first = fresh(&progress, same.clone());
        let mut watch = progress.subscribe(&id("progress-1"), Some(&owner(1))).unwrap();
        assert_eq!(watch.next().await.unwrap().state, ProgressState::Receiving);
        // Nothing new: it waits.
        assert!(watch.next().now_or_never().is_none());
        // Counts arrive with the next sample, not one by one.
        first.add_file(7);
        first.add_file(7);
        assert_eq!(watch.next().await.unwrap().received, 14);
        let counter = fresh(&progress, same);
        let frame = watch.next().now_or_never().expect("a new try is told at once").unwrap();
        assert_eq!(frame.received, 0);
        counter.processing();
        let frame = watch.next().now_or_never().expect("processing is told at once").unwrap();
        assert_eq!(frame.state, ProgressState::Processing);
        let waiting = tokio::spawn(async move { (watch.next().await, watch.next().await) });
        counter.done(vec![receipt("a")]);
        let (end, after) = waiting.await.unwrap();
        assert_eq!(end, Some(seen(&progress, "progress-1")));
        assert_eq!(after, None);
    }

    #[test]
    fn ends_are_forgotten_after_the_linger_and_what_runs_never() {
        let progress = Progress::new(LINGER);
        let running = fresh(&progress, announce("running-1"));
        fresh(&progress, announce("ended-01")).done(Vec::new());
        fresh(&progress, announce("again-01")).failed(error(ErrorCode::TimedOut));
        let again = fresh(&progress, announce("again-01"));
        let start = Instant::now();
        progress.sweep_at(start + LINGER - Duration::from_secs(1));
        assert_eq!(seen(&progress, "ended-01").state, ProgressState::Done);
        let old_seq = seen(&progress, "ended-01").seq;
        progress.sweep_at(start + LINGER + Duration::from_secs(1));
        assert_eq!(progress.frame(&id("ended-01"), Some(&owner(1))), None);
        assert_eq!(seen(&progress, "running-1").state, ProgressState::Receiving);
        assert_eq!(seen(&progress, "again-01").state, ProgressState::Receiving);
        // Whoever still polls must not take the new try for an old frame.
        let counter = fresh(&progress, announce("ended-01"));
        assert!(seen(&progress, "ended-01").seq > old_seq);
        drop((running, again, counter));
    }

    #[test]
    fn the_memory_of_ends_is_bounded_and_the_oldest_go_first() {
        let progress = Progress::new(LINGER);
        let running = fresh(&progress, announce("running-1"));
        let long = "x".repeat(10_000);
        let name = |n: u32| format!("progress-{n}");
        let many = 4 * (SHARDS * MAX_ENDED_BYTES / 10_000) as u32;
        for n in 0..many {
            fresh(&progress, announce(&name(n))).done(vec![receipt(&long)]);
            // A client that fails again and again under one id takes no more than its share either.
            fresh(&progress, announce("fails-always")).failed(error(ErrorCode::TooLarge));
        }
        let shards = progress.books.shards.iter().map(|shard| lock(shard));
        let kept: usize = shards
            .map(|shard| {
                assert!(shard.ended_bytes <= MAX_ENDED_BYTES);
                assert_eq!(shard.ended_bytes, shard.ended.iter().map(|ended| ended.bytes).sum::<usize>());
                shard.slots.len()
            })
            .sum();
        assert!(kept < many as usize / 2, "{kept} of {many}");
        assert_eq!(progress.frame(&id(&name(0)), Some(&owner(1))), None);
        assert_eq!(seen(&progress, &name(many - 1)).state, ProgressState::Done);
        assert_eq!(seen(&progress, "running-1").state, ProgressState::Receiving);
        drop(running);
    }

    #[test]
    fn more_than_the_books_can_hold_is_refused_and_may_be_tried_again() {
        let progress = Progress::new(LINGER);
        fresh(&progress, announce("ended-01")).failed(error(ErrorCode::TimedOut));
        let mut running: Vec<_> = (0..MAX_LIVE).map(|_| progress.anonymous()).collect();
        for id in ["progress-1", "ended-01"] {
            assert_eq!(begin(&progress, announce(id)).unwrap_err(), BeginError::TooMany);
        }
        assert!(Refusal::from(BeginError::TooMany).body.retryable);
        running.pop();
        fresh(&progress, announce("progress-1"));
    }

    /// Promise 3, by its structure: with every lock held that there is, counting goes on.
    #[test]
    fn counting_takes_no_lock() {
        let progress = Progress::new(LINGER);
        let counter = fresh(&progress, announce("progress-1"));
        let watch = progress.subscribe(&id("progress-1"), Some(&owner(1))).unwrap();
        let shards: Vec<_> = progress.books.shards.iter().map(|shard| lock(shard)).collect();
        // Stands in the way of whoever wants to change the state, as any reader does for an instant.
        let stage = watch.now.borrow();
        counter.add_body(2);
        counter.add_file(1);
        assert!(counter.superseded().now_or_never().is_none());
        drop(stage);
        drop(shards);
        let frame = watch.slot.frame();
        assert_eq!((frame.body_received, frame.received), (2, 1));
    }

    /// What the order of frames rests on: sums are never newer than their number of changes by more than the one
    /// addition that was under way.
    #[test]
    fn sums_belong_to_their_number_of_changes() {
        let tally = Tally::default();
        let end = 400_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..end / 2 {
                    tally.add_body(10);
                    tally.add_file(9);
                }
            });
            loop {
                let (changes, files, body) = tally.read();
                let additions = body / 10 + files / 9;
                assert!((changes..=changes + 1).contains(&additions), "{additions} after {changes}");
                if changes == end {
                    break;
                }
            }
        });
    }

    #[test]
    fn a_thousand_readers_see_counts_that_never_go_back() {
        const READERS: usize = 1000;
        const CHUNKS: u64 = 20_000;
        let progress = Progress::new(LINGER);
        let counter = fresh(&progress, announce("progress-1"));
        let seen_by_all: Mutex<Vec<ProgressFrame>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let id = id("progress-1");
                    let watches: Vec<_> =
                        (0..READERS / 8).map(|_| progress.subscribe(&id, Some(&owner(1))).unwrap()).collect();
                    let mut frames = Vec::new();
                    loop {
                        frames.extend(watches.iter().map(|watch| watch.slot.frame()));
                        let last = progress.frame(&id, Some(&owner(1))).unwrap();
                        let ended = last.state.is_terminal();
                        frames.push(last);
                        frames.dedup_by_key(|frame| (frame.seq, frame.received, frame.body_received));
                        if ended {
                            break;
                        }
                    }
                    seen_by_all.lock().unwrap().extend(frames);
                });
            }
            for _ in 0..CHUNKS {
                counter.add_body(10);
                counter.add_file(9);
            }
            counter.processing();
            counter.done(Vec::new());
        });
        let mut frames = seen_by_all.into_inner().unwrap();
        frames.sort_by_key(|frame| (frame.seq, frame.body_received, frame.received));
        for pair in frames.windows(2).filter(|pair| pair[0].seq < pair[1].seq) {
            assert!(pair[0].received <= pair[1].received && pair[0].body_received <= pair[1].body_received);
        }
        let last = frames.last().unwrap();
        assert_eq!((last.received, last.body_received), (9 * CHUNKS, 10 * CHUNKS));
        assert_eq!(last.state, ProgressState::Done);
    }
}
