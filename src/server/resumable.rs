//! Uploads in pieces: begun, gone on with over many requests and restarts, completed once, or given up. Must never
//! know a protocol's words, nor how an answer is written.
//!
//! - An offset that is told is on the medium, and never goes back (promise 2).
//! - The same request twice is one upload (promise 10): a finished upload answers with its end again.
//! - Whole is what its sender says is whole and what has the announced length and digest; it becomes a file in one
//!   durable change (promise 11).
//!
//! An upload that was begun with the owner's cookie is its owner's alone. One begun without is open to whoever knows
//! its id, which cannot be guessed: clients other than browsers keep no cookies. This is looked at in every request,
//! and again before the upload becomes a file. Once it is one, its address is a link for others to fetch it by, and
//! only its owner deletes it: whoever has the cookie that its beginning was answered with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument;

use super::{
    Refusal, Server,
    body::{drain_a_little_in_background, drain_in_background},
    catalog::{
        Admitted, CatalogError, Completion, MaxUnfinished, NewPieces, Outcome, Pieces, PiecesEnd,
        PiecesState, Progressed, Terms, Words,
    },
    outbox::Finished,
    owner::{OwnerId, Scope, random_bits},
    progress::{Announce, Counter},
    protocol::fields::MAX_BYTES,
    security::Visitor,
    state::{OWNERS_OF_A_PLACE, now_ms},
    steps,
    store::{AnyStaging, Sealed, Staging, Store, StoreError},
    writer::{self, NoTurn, Plan, Then, Turn, Want, Written},
};
pub use super::{catalog::Protocol, protocol::digest::ChunkDigest, writer::Ends};
use crate::wire::{ErrorBody, ErrorCode, ProgressId, Receipt, UploadId};

/// What a client says of an upload that it begins in order to send it in pieces.
#[derive(Clone, Debug)]
pub struct Creation {
    /// Who begins it.
    pub visitor: Visitor,
    /// What the sender says of it. The name is never empty; without a media type it is `application/octet-stream`.
    pub words: Words,
    /// How it will be received.
    pub protocol: Protocol,
    /// tus: `Upload-Metadata` as it came, to be told again, the empty one too.
    pub metadata: Option<String>,
    /// tus: `Upload-Concat` as it came, to be told again.
    pub concat: Option<String>,
    /// Bytes, where known.
    pub length: Option<u64>,
    /// A part for others to be made of (`Upload-Concat: partial`): never a file by itself.
    pub partial: bool,
    /// What its progress is asked for by; without one, its own id.
    pub progress_id: Option<ProgressId>,
    /// The SHA-256 that the whole must have.
    pub repr_digest: Option<[u8; 32]>,
    /// The SHA-256 is to stand in the receipt.
    pub want_sha256: bool,
}

/// What a request says of the bytes that it brings.
#[derive(Clone, Debug)]
pub struct Append {
    /// Who sends it.
    pub visitor: Visitor,
    /// Where its first byte belongs: must be where the upload stands.
    pub offset: u64,
    /// Bytes of the upload in all, where this request says so.
    pub length: Option<u64>,
    /// What the end of its body means.
    pub ends: Ends,
    /// What its bytes must agree with.
    pub chunk_digest: ChunkDigest,
    /// What becomes of the upload when bytes come that lie beyond its end.
    pub overflow: Overflow,
    /// `Content-Length`, in bytes.
    pub body_size: Option<u64>,
    /// The client's own id of the upload, which it is watched by from then on: for the first request that brings bytes,
    /// of an upload that was begun without one.
    pub progress_id: Option<ProgressId>,
}

impl Append {
    /// Bytes of which a request says where they belong and what their end means, and nothing else.
    pub(super) fn bytes(visitor: Visitor, offset: u64, ends: Ends, body_size: Option<u64>) -> Self {
        // Each protocol has its own word for the end, and its own answer to what lies beyond it.
        let overflow = if ends == Ends::AtLength { Overflow::Refuse } else { Overflow::Invalidate };
        let chunk_digest = ChunkDigest::None;
        Self { visitor, offset, length: None, ends, chunk_digest, overflow, body_size, progress_id: None }
    }
}

/// What becomes of an upload when a request brings bytes that lie beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It goes on from where it was durable before they came (tus).
    Refuse,
    /// It has failed (Resumable Uploads for HTTP).
    Invalidate,
}

/// How an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// How it is received.
    pub protocol: Protocol,
    /// Bytes on the medium (promise 2).
    pub offset: u64,
    /// Bytes in all, once known.
    pub length: Option<u64>,
    /// What its owner is told, once it is complete.
    pub receipt: Option<Receipt>,
    /// As in [`Creation`].
    pub metadata: Option<String>,
    /// As in [`Creation`].
    pub concat: Option<String>,
    /// When it may be given up, in milliseconds since 1970-01-01 UTC, unless it goes on before. `None`: it is complete.
    pub expires_ms: Option<u64>,
    /// What it may bring, if more than is allowed now.
    pub admitted: Admitted,
}

/// Why a request changed nothing, or not as much as it should.
#[derive(Debug)]
pub struct Rejected {
    /// What the client hears.
    pub refusal: Refusal,
    /// Where the upload stands, on the medium, if the client may know.
    pub at: Option<u64>,
}

impl<E: Into<Refusal>> From<E> for Rejected {
    fn from(error: E) -> Self {
        Self { refusal: error.into(), at: None }
    }
}

/// Begins an upload. A tus upload of no bytes at all is complete at once.
///
/// # Errors
/// When it may not be as large, the owner's share is used up, or the progress id belongs to a running upload.
pub async fn create(server: &Arc<Server>, creation: Creation) -> Result<Upload, Refusal> {
    let asked = server.clone();
    to_its_end(server, async move {
        let _turn = turn_at_name(&asked, &creation).await;
        create_now(&asked, creation).await
    })
    .await
}

/// As [`create`], for a client that counts its tries: it may have lost the answer to an earlier one, and gets that
/// again. Of two that come at the same moment the later one waits for the other.
///
/// # Errors
/// As [`create`].
pub async fn create_once(server: &Arc<Server>, creation: Creation) -> Result<Upload, Refusal> {
    let asked = server.clone();
    to_its_end(server, async move {
        let _turn = turn_at_name(&asked, &creation).await;
        match begun_before(&asked, &creation).await? {
            Some(upload) => Ok(upload),
            None => create_now(&asked, creation).await,
        }
    })
    .await
}

/// Between the look at whether a progress id is free and its being taken nobody else may look.
async fn turn_at_name(server: &Server, creation: &Creation) -> Option<OwnedMutexGuard<()>> {
    let name = creation.progress_id.as_ref()?;
    Some(server.joins().turn(format!("name {name}")).await)
}

async fn create_now(server: &Arc<Server>, creation: Creation) -> Result<Upload, Refusal> {
    refuse_when_stopping(server)?;
    let visitor = creation.visitor.clone();
    let id = enter(server, creation, Vec::new()).await?;
    let pieces = known(server, &id, &visitor).await?;
    if pieces.length == Some(0) && pieces.terms.protocol == Protocol::Tus {
        let nothing = Append::bytes(visitor, 0, Ends::AtLength, Some(0));
        return append(server, &id, nothing, Body::empty()).await.map_err(|rejected| rejected.refusal);
    }
    told(server, pieces).await
}

/// The upload that an earlier try of this creation has begun, when its answer was lost: of the same owner, under the
/// same progress id, in the same words, and nothing of it has arrived yet (promise 10). For clients that count their
/// tries; others cannot know that they have begun it.
///
/// # Errors
/// When the catalog cannot be asked.
pub(super) async fn begun_before(
    server: &Arc<Server>,
    creation: &Creation,
) -> Result<Option<Upload>, Refusal> {
    let (Some(progress_id), Some(owner)) = (&creation.progress_id, creation.visitor.viewer()) else {
        return Ok(None);
    };
    let Some(pieces) = server.catalog().begun_by(progress_id, owner).await? else { return Ok(None) };
    let pieces = match alive(server, pieces).await {
        Ok(pieces) => pieces,
        Err(refusal) if refusal.code() == ErrorCode::Gone => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let words = server.catalog().words(&pieces.terms.id).await?;
    let terms = Terms {
        id: pieces.terms.id.clone(),
        owner: owner.clone(),
        open_to_all: false,
        protocol: creation.protocol,
        metadata: creation.metadata.clone(),
        concat: creation.concat.clone(),
        is_part: creation.partial,
        progress_id: progress_id.clone(),
        want_sha256: creation.want_sha256,
        expected_sha256: creation.repr_digest.map(|digest| super::store::hex(&digest)),
    };
    let same = pieces.terms == terms
        && pieces.length == creation.length
        && words.is_some_and(|words| words == creation.words);
    if same { told(server, pieces).await.map(Some) } else { Ok(None) }
}

/// Goes on with an upload. What the body brings is kept even when it is cut, unless it has to agree with a digest. A
/// complete upload answers with its end again when the request is one that could have completed it.
///
/// # Errors
/// With the offset from which the upload goes on, where the sender may know it.
pub async fn append(
    server: &Arc<Server>,
    id: &UploadId,
    append: Append,
    body: Body,
) -> Result<Upload, Rejected> {
    refuse_when_stopping(server)?;
    let span = tracing::info_span!("append", %id, offset = append.offset);
    let (server, id) = (server.clone(), id.clone());
    // A task of its own: when the connection breaks axum drops the handler, and what has arrived must still be kept.
    let tasks = server.tasks().clone();
    let task = async move {
        let mut body = body;
        // HTTP/2 says by the end of the stream what HTTP/1.1 says by a length of zero.
        let body_size = append.body_size.or(body.is_end_stream().then_some(0));
        let append = Append { body_size, ..append };
        let appended = run(&server, &id, append, &mut body).await;
        match appended.as_ref().map_err(|rejected| &rejected.refusal) {
            Err(refusal) if refusal.code() == ErrorCode::Superseded => {}
            Err(refusal) if refusal.code() == ErrorCode::OffsetMismatch => drain_a_little_in_background(body),
            // A browser shows our reason only if it may go on sending for a while.
            Err(refusal)
                if !refusal.status().is_client_error() && refusal.code() != ErrorCode::OutOfSpace => {}
            // And of an end that is only told again the bytes may have come again.
            Ok(_) | Err(_) => drain_in_background(body),
        }
        appended
    };
    let ended = tasks.spawn(task.instrument(span)).await;
    ended.unwrap_or_else(|fault| {
        Err(Refusal::new(ErrorCode::Internal, "The server failed at this upload.").caused_by(fault).into())
    })
}

/// How an upload stands. A request in progress is ended first, so that whoever asked can go on from the offset told.
///
/// # Errors
/// [`ErrorCode::NotFound`] for an upload never heard of and for somebody else's, [`ErrorCode::Gone`] for one that has
/// expired, failed or was cancelled.
pub async fn state(server: &Arc<Server>, id: &UploadId, visitor: &Visitor) -> Result<Upload, Refusal> {
    let (asked, id, visitor) = (server.clone(), id.clone(), visitor.clone());
    to_its_end(server, async move { look(&asked, &id, &visitor).await }).await
}

/// Goes on to its end when whoever asked is gone: hyper drops a handler with its connection, and what was begun for
/// it must not stay half done.
pub(super) async fn to_its_end<T: Send + 'static>(
    server: &Server,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let ended = server.tasks().spawn(work).await;
    ended.unwrap_or_else(|fault| {
        Err(Refusal::new(ErrorCode::Internal, "The server failed at this upload.").caused_by(fault))
    })
}

async fn look(server: &Arc<Server>, id: &UploadId, visitor: &Visitor) -> Result<Upload, Refusal> {
    let pieces = alive(server, known(server, id, visitor).await?).await?;
    if pieces.state == PiecesState::Complete {
        return told(server, pieces).await;
    }
    // Whoever reads that a tus upload is at its length takes it for complete.
    let want = if pieces.terms.protocol == Protocol::Tus { Want::Any } else { Want::Glance };
    let turn = match server.seats().turn(id, want).await {
        Ok(turn) => turn,
        Err(NoTurn::Closing | NoTurn::Elsewhere) => {
            return told(server, alive(server, known(server, id, visitor).await?).await?).await;
        }
    };
    let pieces = alive(server, known(server, id, visitor).await?).await?;
    if pieces.state == PiecesState::Sealed {
        return complete_sealed(server, &turn, &pieces).await;
    }
    told(server, pieces).await
}

/// Ends an upload for good: one under way is given up, a complete one deleted.
///
/// # Errors
/// As [`state`]; [`ErrorCode::Forbidden`] for one that is complete and not this visitor's, however it was begun.
pub async fn cancel(server: &Arc<Server>, id: &UploadId, visitor: &Visitor) -> Result<(), Refusal> {
    let (asked, id, visitor) = (server.clone(), id.clone(), visitor.clone());
    to_its_end(server, async move { give_up(&asked, &id, &visitor).await }).await
}

async fn give_up(server: &Arc<Server>, id: &UploadId, visitor: &Visitor) -> Result<(), Refusal> {
    let pieces = alive(server, known(server, id, visitor).await?).await?;
    may_delete(&pieces, visitor)?;
    let Ok(turn) = server.seats().turn(id, Want::Any).await else { return Err(gone()) };
    let mut pieces = alive(server, known(server, id, visitor).await?).await?;
    if pieces.state == PiecesState::Sealed {
        complete_sealed(server, &turn, &pieces).await?;
        pieces = known(server, id, visitor).await?;
    }
    may_delete(&pieces, visitor)?;
    if pieces.state == PiecesState::Complete {
        // Two may ask at once: the one whose change took effect removes the bytes.
        if !server.catalog().begin_delete(id).await? {
            return Err(gone());
        }
        server.store().remove(id).await?;
        return Ok(server.catalog().finish_delete(id).await?);
    }
    let counter = count(server, &pieces);
    let error = ErrorBody::new(ErrorCode::Cancelled, "The upload was stopped.");
    end(server, id, PiecesEnd::Cancelled, counter.outcome_failed(error.clone())).await?;
    counter.failed(error);
    Ok(())
}

/// What is complete is deleted by its owner alone: the address of an upload that anybody could go on with is a link to
/// the file by then, and goes from hand to hand.
fn may_delete(pieces: &Pieces, visitor: &Visitor) -> Result<(), Refusal> {
    if pieces.state != PiecesState::Complete || visitor.viewer() == Some(&pieces.terms.owner) {
        return Ok(());
    }
    let message = "This file is complete. Only whoever uploaded it can delete it, with the cookie that came with the \
                   answer when the upload was begun.";
    Err(Refusal::new(ErrorCode::Forbidden, message))
}

/// Makes a new upload of parts that are whole, in this order; each may be used again.
///
/// The same parts in the same order, with the same metadata and from the same owner, are the same request: whoever lost
/// the answer to it hears of the upload that it has made (promise 10), as long as that is there.
///
/// # Errors
/// [`ErrorCode::NotFound`] and [`ErrorCode::Gone`] for parts as for uploads; [`ErrorCode::Malformed`] for one that is
/// no part or not whole; and before anything is copied, what an upload of that length is refused for.
pub async fn concatenate(
    server: &Arc<Server>,
    creation: Creation,
    parts: Vec<UploadId>,
) -> Result<Upload, Refusal> {
    refuse_when_stopping(server)?;
    let asked = server.clone();
    to_its_end(server, async move { join(&asked, creation, &parts).await }).await
}

async fn join(server: &Arc<Server>, creation: Creation, parts: &[UploadId]) -> Result<Upload, Refusal> {
    let viewer = creation.visitor.viewer().cloned();
    // The first to ask is perhaps still at it; nobody waits for it but who wants the very same.
    let what = format!("{viewer:?} {parts:?} {:?}", creation.metadata);
    let _turn = server.joins().turn(what).await;
    if let Some(made) = server.catalog().joined(parts, creation.metadata.as_deref(), viewer.as_ref()).await? {
        return look(server, &made, &creation.visitor).await;
    }
    let found = whole_parts(server, &creation.visitor, parts).await?;
    join_found(server, creation, parts, found).await
}

/// The parts with their lengths, if all are there and whole.
async fn whole_parts(
    server: &Arc<Server>,
    visitor: &Visitor,
    parts: &[UploadId],
) -> Result<Vec<(UploadId, u64)>, Refusal> {
    let mut found = Vec::with_capacity(parts.len());
    for id in parts {
        let part = alive(server, known(server, id, visitor).await?).await?;
        if !part.terms.is_part {
            return Err(Refusal::new(
                ErrorCode::Malformed,
                "This upload is no part for others to be made of.",
            ));
        }
        if part.length != Some(part.durable) {
            return Err(Refusal::new(ErrorCode::Malformed, "A part of this upload is not whole yet."));
        }
        found.push((id.clone(), part.durable));
    }
    Ok(found)
}

async fn join_found(
    server: &Arc<Server>,
    creation: Creation,
    parts: &[UploadId],
    found: Vec<(UploadId, u64)>,
) -> Result<Upload, Refusal> {
    let length = found.iter().try_fold(0u64, |sum, (_, length)| sum.checked_add(*length));
    let length = length.filter(|&length| length <= MAX_BYTES);
    let length =
        length.ok_or_else(|| Refusal::new(ErrorCode::TooLarge, "The parts are too large together."))?;
    server.config().limits.admit(None, Some(length))?;
    writer::check_space(server, length).await?;
    let visitor = creation.visitor.clone();
    let turn = turn_at_name(server, &creation).await;
    let creation = Creation { length: Some(length), partial: false, ..creation };
    let id = enter(server, creation, parts.to_vec()).await?;
    drop(turn);
    let made = make_of_parts(server, &id, visitor.clone(), &found, length).await;
    let Err(refusal) = made else { return made };
    if let Err(error) = end(server, &id, PiecesEnd::Cancelled, None).await {
        tracing::warn!(%id, %error, "an upload that could not be made of its parts stays until it expires");
    }
    // One may have been given up meanwhile, and then it is that which the client has to know.
    whole_parts(server, &visitor, parts).await?;
    Err(refusal)
}

/// Bytes of an upload made of parts that go through this process: with them its end is checked after a crash like that
/// of any other.
const READ_OF_PARTS: u64 = 1 << 20;

async fn make_of_parts(
    server: &Arc<Server>,
    id: &UploadId,
    visitor: Visitor,
    parts: &[(UploadId, u64)],
    length: u64,
) -> Result<Upload, Refusal> {
    let joined = length.saturating_sub(READ_OF_PARTS);
    if joined > 0 {
        tokio::select! {
            done = put_together(server, id, parts, joined) => done?,
            () = server.stopping().cancelled() => return Err(stopping()),
        }
    }
    let append = Append::bytes(visitor, joined, Ends::AtLength, Some(length - joined));
    let mut body = rest_of_parts(server.clone(), parts, joined);
    run_on(server, id, append, &mut body, true).await.map_err(|rejected| rejected.refusal)
}

/// The first so many bytes of the parts, from file to file.
async fn put_together(
    server: &Arc<Server>,
    id: &UploadId,
    parts: &[(UploadId, u64)],
    bytes: u64,
) -> Result<(), Refusal> {
    let Some(_turn) = server.seats().vacant(id) else { return Err(gone()) };
    let pieces = server.catalog().take_up(id).await?.ok_or_else(gone)?;
    let mut staging = writer::open(server, &pieces).await?;
    let mut left = bytes;
    for (part, length) in parts {
        let wanted = left.min(*length);
        if wanted > 0 {
            staging.join(server.store().open_staged(part, wanted).await?).await?;
        }
        left -= wanted;
    }
    let progressed = Progressed {
        id: id.clone(),
        epoch: pieces.epoch,
        checkpoint: staging.checkpoint().await?,
        appended_from: 0,
        length: None,
        seal: false,
        expires_ms: expires_ms(server),
    };
    if server.catalog().checkpoint(progressed).await? { Ok(()) } else { Err(gone()) }
}

/// The bytes of whole parts, one after the other, without the first so many.
fn rest_of_parts(server: Arc<Server>, parts: &[(UploadId, u64)], without: u64) -> Body {
    let mut before = without;
    let mut rest = Vec::new();
    for (id, length) in parts {
        let skipped = before.min(*length);
        before -= skipped;
        if skipped < *length {
            rest.push(Ok::<_, StoreError>((id.clone(), skipped..*length)));
        }
    }
    let streams = futures_util::stream::iter(rest).and_then(move |(id, range)| {
        let server = server.clone();
        async move {
            let readable = server.store().open_staged(&id, range.end).await?;
            Ok(readable
                .stream(range)
                .map_err(|error| StoreError::Io { doing: "reading a part", source: error }))
        }
    });
    Body::from_stream(streams.try_flatten())
}

/// One turn for each thing that is wanted, one after the other.
#[derive(Debug, Default)]
pub(super) struct Joins {
    wanted: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Joins {
    async fn turn(&self, what: String) -> OwnedMutexGuard<()> {
        let turn = {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.retain(|_, turn| turn.strong_count() > 0);
            let waiting = wanted.get(&what).and_then(Weak::upgrade);
            waiting.unwrap_or_else(|| {
                let turn = Arc::default();
                wanted.insert(what, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

fn stopping() -> Refusal {
    let message = "The server is shutting down. Try again in a moment.";
    Refusal::new(ErrorCode::ShuttingDown, message).retry_after(5)
}

fn refuse_when_stopping(server: &Server) -> Result<(), Refusal> {
    if server.tasks().is_closed() { Err(stopping()) } else { Ok(()) }
}

/// Enters a new upload into the catalog.
async fn enter(
    server: &Arc<Server>,
    creation: Creation,
    joined_of: Vec<UploadId>,
) -> Result<UploadId, Refusal> {
    let limits = &server.config().limits;
    limits.admit(None, creation.length)?;
    let owner = creation.visitor.owner.clone();
    // Until the catalog counts it.
    let open = server.open_in_place_of_another(&owner, None);
    open.reserve(creation.length.unwrap_or(0)).await?;
    let id = UploadId::from_bits(random_bits());
    let progress_id = match creation.progress_id {
        Some(alias) if is_in_use(server, &alias, creation.visitor.viewer()).await? => {
            let message = "Another upload with this progress id is still running.";
            return Err(Refusal::new(ErrorCode::ProgressIdInUse, message));
        }
        Some(alias) => alias,
        None => own_progress_id(&id),
    };
    let terms = Terms {
        id: id.clone(),
        owner,
        open_to_all: !creation.visitor.known,
        protocol: creation.protocol,
        metadata: creation.metadata,
        concat: creation.concat,
        is_part: creation.partial,
        progress_id,
        want_sha256: creation.want_sha256,
        expected_sha256: creation.repr_digest.map(|digest| super::store::hex(&digest)),
    };
    let new = NewPieces {
        terms,
        words: creation.words,
        length: creation.length,
        expires_ms: expires_ms(server),
        peer: creation.visitor.place(),
        admitted: Admitted {
            max_length: limits.max_file_size,
            // What is made of parts comes from ourselves.
            max_request: limits.max_request_size.filter(|_| joined_of.is_empty()),
        },
        joined_of,
        max_unfinished: server
            .config()
            .max_unfinished
            .map(|max| MaxUnfinished { of_owner: max, of_peer: max.saturating_mul(OWNERS_OF_A_PLACE) }),
    };
    server.catalog().begin_pieces(new).await?;
    Ok(id)
}

/// Whether another upload that this visitor could see has the id and is not over.
async fn is_in_use(server: &Arc<Server>, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<bool, Refusal> {
    loop {
        let frame = server.progress().frame(id, viewer);
        let standing = server.catalog().standing(id, viewer).await?;
        let in_use = frame.or(standing).is_some_and(|frame| !frame.state.is_terminal());
        if !in_use || !expire_named(server, id, viewer).await? {
            return Ok(in_use);
        }
    }
}

/// Gives up the upload with this progress id if its time is over and nobody is at it: whoever wants the id need not wait
/// until somebody looks for such uploads. Whether there was one.
pub(super) async fn expire_named(
    server: &Arc<Server>,
    id: &ProgressId,
    viewer: Option<&OwnerId>,
) -> Result<bool, Refusal> {
    match server.catalog().named(id, viewer).await {
        Ok(Some(pieces)) if pieces.state == PiecesState::Open && pieces.expires_ms <= now_ms() => {
            expire(server, &pieces).await
        }
        Ok(_) | Err(CatalogError::Unreadable(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A name of the client's own, told with the first bytes: the upload is watched by it to its end. One that comes later,
/// or is another's, is none: of two names for one count, one would stand still.
async fn take_name(server: &Arc<Server>, pieces: &mut Pieces, name: ProgressId, viewer: Option<&OwnerId>) {
    let terms = &mut pieces.terms;
    let is_watched_already = server.progress().frame(&terms.progress_id, viewer).is_some();
    if pieces.durable > 0 || is_watched_already || terms.progress_id != own_progress_id(&terms.id) {
        return;
    }
    let taken = match is_in_use(server, &name, viewer).await {
        Ok(false) => server.catalog().name_progress(&terms.id, &name).await.map_err(Refusal::from),
        taken => taken.map(|is_in_use| !is_in_use),
    };
    match taken {
        Ok(true) => terms.progress_id = name,
        Ok(false) => {}
        // It goes on under its own.
        Err(error) => tracing::warn!(id = %terms.id, %error, "the name of an upload could not be taken"),
    }
}

/// An upload's own id as the id of its progress: the grammar of the one is within that of the other.
fn own_progress_id(id: &UploadId) -> ProgressId {
    id.as_str().parse().unwrap_or_else(|_| ProgressId::from_bits(random_bits()))
}

fn expires_ms(server: &Server) -> u64 {
    now_ms().saturating_add(u64::try_from(server.config().max_age.as_millis()).unwrap_or(u64::MAX))
}

/// The upload, if there ever was one that this visitor may know of.
async fn known(server: &Server, id: &UploadId, visitor: &Visitor) -> Result<Pieces, Refusal> {
    let pieces = server.catalog().pieces(id).await?;
    pieces
        .filter(|pieces| may(&pieces.terms, visitor.viewer()))
        .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no such upload."))
}

fn may(terms: &Terms, viewer: Option<&OwnerId>) -> bool {
    terms.open_to_all || viewer == Some(&terms.owner)
}

/// The upload, unless it has ended without being complete. One whose time is over ends here.
async fn alive(server: &Arc<Server>, pieces: Pieces) -> Result<Pieces, Refusal> {
    match pieces.state {
        PiecesState::Open if pieces.expires_ms <= now_ms() => {
            if expire(server, &pieces).await? {
                Err(gone())
            } else {
                Ok(pieces)
            }
        }
        PiecesState::Open | PiecesState::Sealed | PiecesState::Complete => Ok(pieces),
        PiecesState::Failed | PiecesState::Expired | PiecesState::Cancelled => {
            let reason = pieces.error.map_or_else(String::new, |error| format!(" {}", error.message));
            Err(Refusal::new(ErrorCode::Gone, format!("This upload cannot go on any more.{reason}")))
        }
    }
}

fn gone() -> Refusal {
    Refusal::new(ErrorCode::Gone, "This upload cannot go on any more.")
}

/// Gives up an upload whose time is over, unless somebody is at it. Whether it was given up.
pub(super) async fn expire(server: &Arc<Server>, pieces: &Pieces) -> Result<bool, Refusal> {
    let Some(_turn) = server.seats().vacant(&pieces.terms.id) else { return Ok(false) };
    let counter = count(server, pieces);
    let error = ErrorBody::new(ErrorCode::Gone, "Nobody went on with the upload in time.");
    let outcome = counter.outcome_failed(error.clone());
    let expired = end(server, &pieces.terms.id, PiecesEnd::Expired { now_ms: now_ms() }, outcome).await?;
    if expired {
        counter.failed(error);
    }
    Ok(expired)
}

/// The same for one of which nothing more can be read than that its time is over.
pub(super) async fn expire_unread(server: &Arc<Server>, id: &UploadId) -> Result<bool, Refusal> {
    let Some(_turn) = server.seats().vacant(id) else { return Ok(false) };
    end(server, id, PiecesEnd::Expired { now_ms: now_ms() }, None).await
}

/// Ends an upload that will not be complete: first for everybody, then its bytes. Whether it was this call that did.
pub(super) async fn end(
    server: &Server,
    id: &UploadId,
    end: PiecesEnd,
    outcome: Option<Outcome>,
) -> Result<bool, Refusal> {
    let ended = server.catalog().end_pieces(id, end, outcome).await?;
    steps::pass(steps::ENDED);
    // What cannot be removed now is swept at the next start: no row asks for it any more.
    if ended && let Err(error) = server.store().remove(id).await {
        tracing::warn!(%id, %error, "bytes of an upload that has ended could not be removed yet");
    }
    Ok(ended)
}

async fn told(server: &Server, pieces: Pieces) -> Result<Upload, Refusal> {
    let receipt = match pieces.state {
        PiecesState::Complete => {
            let stored = server.catalog().find(&pieces.terms.id).await?;
            // Being deleted.
            Some(stored.ok_or_else(gone)?.receipt)
        }
        _ => None,
    };
    Ok(Upload {
        id: pieces.terms.id,
        protocol: pieces.terms.protocol,
        offset: pieces.durable,
        length: pieces.length,
        expires_ms: receipt.is_none().then_some(pieces.expires_ms),
        receipt,
        metadata: pieces.terms.metadata,
        concat: pieces.terms.concat,
        admitted: pieces.admitted,
    })
}

async fn run(
    server: &Arc<Server>,
    id: &UploadId,
    append: Append,
    body: &mut Body,
) -> Result<Upload, Rejected> {
    run_on(server, id, append, body, false).await
}

/// One request, from its first look at the upload to its answer. `made_of_parts`: by the server itself.
async fn run_on(
    server: &Arc<Server>,
    id: &UploadId,
    append: Append,
    body: &mut Body,
    made_of_parts: bool,
) -> Result<Upload, Rejected> {
    let visitor = &append.visitor;
    let pieces = alive(server, known(server, id, visitor).await?).await?;
    let is_final = pieces.terms.concat.is_some() && !pieces.terms.is_part;
    if is_final && !made_of_parts {
        return Err(Refusal::new(ErrorCode::Forbidden, "An upload made of parts takes no bytes.").into());
    }
    if pieces.state == PiecesState::Complete {
        let patience = server.config().limits.idle_timeout;
        let body_size = match append.body_size {
            None if append.offset == pieces.durable => tokio::time::timeout(patience, ends_at_once(body))
                .await
                .ok()
                .and_then(|ends| ends.then_some(0)),
            said => said,
        };
        return replay(server, pieces, &Append { body_size, ..append }).await;
    }
    let want =
        if append.offset == pieces.durable { Want::After(append.offset) } else { Want::At(append.offset) };
    let turn = match server.seats().turn(id, want).await {
        Ok(turn) => turn,
        Err(NoTurn::Elsewhere | NoTurn::Closing) => {
            let pieces = alive(server, known(server, id, visitor).await?).await?;
            return Err(mismatch(&append, pieces.durable));
        }
    };
    let taken_up = server.catalog().take_up(id).await;
    let mut pieces =
        match taken_up.map_err(|error| Rejected { refusal: error.into(), at: Some(pieces.durable) })? {
            Some(pieces) => pieces,
            None => {
                let pieces = alive(server, known(server, id, visitor).await?).await?;
                if pieces.state == PiecesState::Sealed {
                    complete_sealed(server, &turn, &pieces).await?;
                }
                let pieces = alive(server, known(server, id, visitor).await?).await?;
                return replay(server, pieces, &append).await;
            }
        };
    if pieces.durable != append.offset {
        return Err(mismatch(&append, pieces.durable));
    }
    let durable = pieces.durable;
    let at = |refusal| Rejected { refusal, at: Some(durable) };
    let plan = plan(server, &pieces, &append).map_err(at)?;
    let open = server.open_upload(&pieces.terms.owner, append.visitor.place()).map_err(at)?;
    if let (Some(length), None) = (plan.length, pieces.length) {
        open.reserve(length - pieces.durable).await.map_err(at)?;
    }
    if let Some(name) = append.progress_id.clone() {
        take_name(server, &mut pieces, name, append.visitor.viewer()).await;
    }
    let counter = count(server, &pieces);
    if let (Some(length), Some(size)) = (plan.length, plan.body_size)
        && append.offset.saturating_add(size) > length
    {
        let written =
            Written { durable: pieces.durable, then: Then::Overflow(writer::beyond_the_end(&plan)) };
        return conclude(server, &turn, &pieces, &append, &counter, written).await;
    }
    let written = writer::write(server, &turn, &pieces, &plan, &counter, &open, body).await;
    steps::pass(steps::RECEIVED);
    conclude(server, &turn, &pieces, &append, &counter, written).await
}

fn mismatch(append: &Append, at: u64) -> Rejected {
    let message = if append.offset == at {
        "Another request is writing to this upload. Ask where it stands, which ends that request.".to_owned()
    } else {
        format!("The upload stands at {at} bytes, not at {}.", append.offset)
    };
    let refusal = Refusal::new(ErrorCode::OffsetMismatch, message).with_detail(at);
    Rejected { refusal, at: Some(at) }
}

/// Whether a body brings nothing: with chunked coding only its end says so.
async fn ends_at_once(body: &mut Body) -> bool {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
            _ => return false,
        }
    }
    true
}

/// The end of a complete upload once more, for a request that could have brought it about (promise 10).
async fn replay(server: &Server, pieces: Pieces, append: &Append) -> Result<Upload, Rejected> {
    let size = pieces.durable;
    let is_empty_at_the_end = append.offset == size && append.body_size == Some(0);
    let is_the_last_again = append.ends == Ends::Here
        && append.offset == pieces.appended_from
        && append.body_size == Some(size - pieces.appended_from);
    let at_the_end = append.ends == Ends::Here && append.offset == size && append.body_size.is_none();
    if append.length.is_some_and(|length| length != size) {
        let refusal = writer::inconsistent_length(append.length, size);
        return Err(Rejected { refusal, at: Some(size) });
    }
    if is_empty_at_the_end || is_the_last_again || at_the_end {
        return Ok(told(server, pieces).await?);
    }
    if append.offset == size {
        let message = format!("The upload has {size} bytes, and more came.");
        let refusal = Refusal::new(ErrorCode::TooLarge, message).with_detail(size);
        return Err(Rejected { refusal, at: Some(size) });
    }
    Err(mismatch(append, size))
}

/// What the request is to do, if all that is said of the upload's length agrees.
fn plan(server: &Server, pieces: &Pieces, append: &Append) -> Result<Plan, Refusal> {
    // What was admitted once stays so, whatever is admitted now.
    let limits = server.config().limits.since(&pieces.admitted);
    let end = append.body_size.map(|size| append.offset.saturating_add(size));
    let said = [pieces.length, append.length, end.filter(|_| append.ends == Ends::Here)];
    let length = said.into_iter().flatten().next();
    if let Some(other) = said.into_iter().flatten().find(|&other| Some(other) != length) {
        return Err(writer::inconsistent_length(length, other));
    }
    if let Some(length) = length {
        if length < pieces.durable {
            return Err(writer::inconsistent_length(Some(length), pieces.durable));
        }
        if pieces.length.is_none() {
            limits.admit(None, Some(length))?;
        }
    }
    // What comes in one request, and where that ends; before anybody looks for room for it.
    limits.admit(append.body_size, if length.is_none() { end } else { None })?;
    Ok(Plan {
        length,
        max_length: limits.max_file_size.unwrap_or(u64::MAX),
        ends: append.ends,
        chunk_digest: append.chunk_digest.clone(),
        body_size: append.body_size,
        max_body_size: limits.max_request_size.unwrap_or(u64::MAX),
    })
}

/// Counts one request. When its id belongs to somebody else, or there are too many, nobody sees the count: an upload
/// does not fail for that.
fn count(server: &Server, pieces: &Pieces) -> Counter {
    let terms = &pieces.terms;
    let announce = Announce {
        id: terms.progress_id.clone(),
        scope: if terms.open_to_all { Scope::Anyone } else { Scope::Owner(terms.owner.clone()) },
        attempt: 1,
        fingerprint: None,
        size: pieces.length,
        body_size: pieces.length,
    };
    let counter = server.progress().take_up(&terms.id, announce, pieces.durable);
    counter.unwrap_or_else(|_| server.progress().anonymous())
}

/// What becomes of the upload now that the request is over. Every path leads to an end or a pause of the counter.
async fn conclude(
    server: &Arc<Server>,
    turn: &Turn,
    pieces: &Pieces,
    append: &Append,
    counter: &Counter,
    written: Written,
) -> Result<Upload, Rejected> {
    let durable = written.durable;
    let refused = |refusal| {
        counter.pause(durable);
        Err(Rejected { refusal, at: Some(durable) })
    };
    match written.then {
        Then::Whole(staging) => {
            turn.close();
            // Once more, now that it is about to become a file: nothing that was settled can have changed.
            if !may(&pieces.terms, append.visitor.viewer()) {
                return refused(Refusal::new(ErrorCode::NotFound, "There is no such upload."));
            }
            become_a_file(server, pieces, durable, staging, counter).await
        }
        Then::More => {
            counter.pause(durable);
            Ok(told(server, known(server, &pieces.terms.id, &append.visitor).await?).await?)
        }
        Then::Refused(refusal) => refused(refusal),
        Then::Overflow(refusal) if append.overflow == Overflow::Refuse => refused(refusal),
        Then::Overflow(refusal) | Then::Lost(refusal) => {
            fail(server, pieces, counter, &refusal).await;
            Err(refusal.into())
        }
    }
}

/// The upload has failed, for good.
async fn fail(server: &Server, pieces: &Pieces, counter: &Counter, refusal: &Refusal) {
    let error = ErrorBody { retryable: false, ..refusal.body.clone() };
    let outcome = counter.outcome_failed(error.clone());
    if let Err(error) = end(server, &pieces.terms.id, PiecesEnd::Failed(error.clone()), outcome).await {
        tracing::error!(id = %pieces.terms.id, %error, "an upload has failed, and the catalog does not know");
    }
    counter.failed(error);
}

/// Turns a sealed upload of so many bytes into a file: digest, store, catalog. Where it has failed for good no offset
/// is told.
async fn become_a_file(
    server: &Arc<Server>,
    pieces: &Pieces,
    durable: u64,
    mut staging: AnyStaging,
    counter: &Counter,
) -> Result<Upload, Rejected> {
    let at = |refusal| Rejected { refusal, at: Some(durable) };
    let sealed = match staging.settle().await {
        Ok(sealed) => sealed,
        Err(error) => {
            let refusal = error.into();
            fail(server, pieces, counter, &refusal).await;
            return Err(refusal.into());
        }
    };
    if let Some(refusal) = differs(pieces, &sealed) {
        staging.discard().await;
        fail(server, pieces, counter, &refusal).await;
        return Err(refusal.into());
    }
    match staging.seal().await {
        Ok(sealed) => book(server, pieces, sealed, counter).await.map_err(at),
        // As long as nothing failed to be made durable it is staged still, or stored by a request before this one, and
        // whoever asks next completes it.
        Err(error @ (StoreError::OutOfSpace | StoreError::Exists | StoreError::Io { .. }))
            if server.store().healthy() =>
        {
            counter.pause(durable);
            Err(at(error.into()))
        }
        Err(error) => {
            let refusal = error.into();
            fail(server, pieces, counter, &refusal).await;
            Err(refusal.into())
        }
    }
}

fn differs(pieces: &Pieces, sealed: &Sealed) -> Option<Refusal> {
    let expected = pieces.terms.expected_sha256.as_ref()?;
    (sealed.sha256.as_ref() != Some(expected)).then(|| {
        Refusal::new(ErrorCode::DigestMismatch, "The file that came is not the one that was announced.")
    })
}

/// The one durable change that makes the upload a file.
async fn book(
    server: &Arc<Server>,
    pieces: &Pieces,
    sealed: Sealed,
    counter: &Counter,
) -> Result<Upload, Refusal> {
    let id = &pieces.terms.id;
    let words = server.catalog().words(id).await?;
    let Words { name, media_type, path, fields } = words.ok_or_else(gone)?;
    let Sealed { size, sha256 } = sealed;
    let receipt = Receipt {
        id: id.clone(),
        name,
        size,
        media_type,
        sha256: sha256.clone(),
        stored_ms: now_ms(),
        url: format!("/files/{id}"),
        path,
        fields,
        ..Receipt::default()
    };
    let completion = Completion { id: id.clone(), size, sha256, stored_ms: receipt.stored_ms, fields: None };
    let outcome = counter.outcome_done(vec![receipt.clone()]);
    let finished = Finished {
        protocol: Some(pieces.terms.protocol.to_string()),
        metadata: pieces.terms.metadata.clone(),
        ..Finished::new(receipt.clone())
    };
    let events = server.outbox().events([finished]);
    server.catalog().complete(vec![completion], outcome, events).await?;
    server.outbox().wake();
    counter.done(vec![receipt.clone()]);
    tracing::info!(%id, size, "stored");
    Ok(Upload {
        id: id.clone(),
        protocol: pieces.terms.protocol,
        offset: size,
        length: Some(size),
        receipt: Some(receipt),
        metadata: pieces.terms.metadata.clone(),
        concat: pieces.terms.concat.clone(),
        expires_ms: None,
        admitted: pieces.admitted,
    })
}

/// Completes an upload that was sealed when something came in between: a crash, or a full disk.
pub(super) async fn complete_sealed(
    server: &Arc<Server>,
    turn: &Turn,
    pieces: &Pieces,
) -> Result<Upload, Refusal> {
    turn.close();
    let counter = count(server, pieces);
    counter.processing();
    // The store may have it already. Where the names of files are not kept as a whole, it may then be staged as well.
    match stored(server, pieces).await {
        // Whoever gave it that name may have died before the name was on the medium.
        Ok(Some(sealed)) => {
            return match server.store().confirm(&pieces.terms.id).await {
                Ok(()) => book(server, pieces, sealed, &counter).await,
                Err(error) if server.store().healthy() => {
                    counter.pause(pieces.durable);
                    Err(error.into())
                }
                Err(error) => {
                    let refusal = error.into();
                    fail(server, pieces, &counter, &refusal).await;
                    Err(refusal)
                }
            };
        }
        Ok(None) => {}
        Err(refusal) => {
            counter.pause(pieces.durable);
            return Err(refusal);
        }
    }
    match writer::open(server, pieces).await {
        Ok(staging) => {
            let stored = become_a_file(server, pieces, pieces.durable, staging, &counter).await;
            stored.map_err(|rejected| rejected.refusal)
        }
        Err(error @ (StoreError::NotFound | StoreError::Short { .. })) => {
            let refusal = error.into();
            fail(server, pieces, &counter, &refusal).await;
            Err(refusal)
        }
        Err(error) => {
            counter.pause(pieces.durable);
            Err(error.into())
        }
    }
}

/// What the store holds of an upload that became a file there, and not yet in the catalog.
async fn stored(server: &Server, pieces: &Pieces) -> Result<Option<Sealed>, Refusal> {
    let readable = match server.store().open(&pieces.terms.id).await {
        Ok(readable) => readable,
        Err(StoreError::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let size = readable.len();
    if size != pieces.durable {
        return Err(StoreError::Short { found: size, expected: pieces.durable }.into());
    }
    if !pieces.terms.want_sha256 && pieces.terms.expected_sha256.is_none() {
        return Ok(Some(Sealed { size, sha256: None }));
    }
    let hashing = readable.stream(0..size).try_fold(Sha256::new(), |mut hasher, piece: Bytes| async move {
        hasher.update(&piece);
        Ok(hasher)
    });
    let hasher = hashing.await.map_err(|source| StoreError::Io { doing: "reading a stored file", source })?;
    Ok(Some(Sealed { size, sha256: Some(super::store::hex(&hasher.finalize())) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::{Config, RawConfig};

    fn creation() -> Creation {
        Creation {
            visitor: Visitor { owner: OwnerId::from_bits([1; 16]), known: true, peer: None },
            words: Words { name: "a".to_owned(), media_type: "text/plain".to_owned(), ..Words::default() },
            protocol: Protocol::Tus,
            metadata: None,
            concat: None,
            length: None,
            partial: false,
            progress_id: None,
            repr_digest: None,
            want_sha256: false,
        }
    }

    /// It used to be called an interrupted request, or a file that never was.
    #[tokio::test]
    async fn a_part_that_is_given_up_while_it_is_joined_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        let config = Config::check(RawConfig { data, ..RawConfig::default() }).unwrap();
        let server = Server::open(config).await.unwrap();
        let visitor = creation().visitor;
        // Copied by the system, or read by this process: see READ_OF_PARTS.
        for size in [READ_OF_PARTS + 10, 10] {
            let mut parts = Vec::new();
            for _ in 0..2 {
                let part = Creation { partial: true, length: Some(size), ..creation() };
                let id = create(&server, part).await.unwrap().id;
                let append = Append::bytes(visitor.clone(), 0, Ends::AtLength, Some(size));
                super::append(&server, &id, append, Body::from(vec![7; size as usize])).await.unwrap();
                parts.push(id);
            }
            let found = whole_parts(&server, &visitor, &parts).await.unwrap();
            cancel(&server, &parts[1], &visitor).await.unwrap();
            let words = Creation { concat: Some("final;…".to_owned()), ..creation() };
            let refused = join_found(&server, words, &parts, found).await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::Gone, "{size}: {refused:?}");
            assert_eq!(
                server.store().staged().await.unwrap(),
                parts[..1],
                "nothing is left of what was begun"
            );
            cancel(&server, &parts[0], &visitor).await.unwrap();
        }
        server.close(std::time::Duration::ZERO).await;
    }
}
