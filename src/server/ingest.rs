//! One request that brings files, from its announcement to its receipts: admission, receiving, the catalog's word,
//! the answer. Must never know multipart's grammar, a path on disk, or how an answer is written.
//!
//! A form and a raw `PUT` have the life of an upload in pieces (see `resumable.rs`), without the part of it in which
//! that rests: a row before the first byte; the same pen, store and steps; the same one change in the catalog that makes
//! a file complete and writes down its event; the same recovery. Their own is what tells a lost answer again: the books
//! of `progress.rs`, since the request itself has no address. What they do not have is an offset to go on from, on
//! purpose: HTTP gives their sender no way to send the rest of such a body, so bytes of one that was cut could only ever
//! be thrown away. They go with the request, and after the death of the process at its next start.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use tracing::Instrument;

use super::{
    Refusal, Server,
    body::drain_in_background,
    catalog::{CatalogError, Completion, NewUpload, Words},
    multipart::Boundary,
    outbox::Finished,
    progress::{Announce, BeginError, Begun, Counter, Outcome},
    receive::{self, Allowance, Expected, FileHead, ReceiveLimits, Received},
    resumable,
    security::Visitor,
    state::{OpenUpload, now_ms},
    steps,
    store::Store,
};
use crate::wire::{ErrorCode, ProgressId, Receipt, UploadId};

/// How the files lie in the body.
pub(super) enum Shape {
    /// `multipart/form-data` with this boundary.
    Form {
        /// The boundary, as the content type says it.
        boundary: Boundary,
    },
    /// The body is the file.
    Raw {
        /// The client's name for it.
        name: String,
        /// Its media type.
        media_type: String,
    },
}

/// What a request says of itself before its body is read.
pub(super) struct Arrival {
    /// How the files lie in the body.
    pub(super) shape: Shape,
    /// Who sends them.
    pub(super) visitor: Visitor,
    /// The client's own id of this upload, if any.
    pub(super) progress_id: Option<ProgressId>,
    /// Which try this is, from 1.
    pub(super) attempt: u32,
    /// What only the very same request, sent again by the browser itself, has in common with this one.
    pub(super) fingerprint: Option<[u8; 16]>,
    /// Bytes of the one file, where the client says so.
    pub(super) file_size: Option<u64>,
    /// `Content-Length`, in bytes.
    pub(super) body_size: Option<u64>,
    /// Whether the digest is wanted.
    pub(super) want_sha256: bool,
}

/// Receives, stores and books everything the request brings. The receipts are true from the moment they are
/// returned: every byte is durable and the catalog says so (promises 1 and 11).
///
/// # Errors
/// Any refusal: then nothing of the request is kept.
pub(super) async fn ingest(
    server: Arc<Server>,
    arrival: Arrival,
    body: Body,
) -> Result<Vec<Receipt>, Refusal> {
    match admit(&server, &arrival).await {
        Ok(Admitted::Fresh { counter, open }) => {
            let span = tracing::info_span!(
                "upload",
                progress_id = arrival.progress_id.as_ref().map(ProgressId::as_str),
                attempt = arrival.attempt,
            );
            // A task of its own: when the connection breaks axum drops the handler, and what was begun must still be
            // undone in order.
            let tasks = server.tasks().clone();
            let task = run_or_undo(server, arrival, body, Arc::new(counter), Arc::new(open));
            let ended = tasks.spawn(task.instrument(span)).await;
            ended.unwrap_or_else(|fault| Err(torn(fault)))
        }
        // The same request once more, because its answer was lost: the same answer (promise 10).
        Ok(Admitted::Replay(receipts)) => {
            drain_in_background(body);
            Ok(receipts)
        }
        // A browser shows our reason only if it may go on sending for a while.
        Err(refusal) => {
            drain_in_background(body);
            Err(refusal)
        }
    }
}

enum Admitted {
    Fresh { counter: Counter, open: OpenUpload },
    Replay(Vec<Receipt>),
}

/// Everything that can be refused before the first byte of the body is read.
async fn admit(server: &Arc<Server>, arrival: &Arrival) -> Result<Admitted, Refusal> {
    if server.tasks().is_closed() {
        let message = "The server is shutting down. Try again in a moment.";
        return Err(Refusal::new(ErrorCode::ShuttingDown, message).retry_after(5));
    }
    server.config().limits.admit(arrival.body_size, arrival.file_size)?;
    let announce = arrival.progress_id.clone().map(|id| Announce {
        id,
        scope: arrival.visitor.scope(),
        attempt: arrival.attempt,
        fingerprint: arrival.fingerprint,
        size: arrival.file_size,
        body_size: arrival.body_size,
    });
    let (owner, place) = (&arrival.visitor.owner, arrival.visitor.place());
    let open = match server.open_upload(owner, place.clone()) {
        // A browser that sends its request again by itself, while the first is still counted.
        Err(_) if announce.as_ref().is_some_and(|announce| server.progress().takes_over(announce)) => {
            server.open_in_place_of_another(owner, place)
        }
        open => open?,
    };
    let counter = match announce {
        None => server.progress().anonymous(),
        Some(announce) => match begin(server, arrival, announce).await? {
            Begun::Fresh(counter) => counter,
            Begun::Replay(frame) => return Ok(Admitted::Replay(frame.receipts)),
        },
    };
    // After a replay: what is stored already, and only its answer was lost, takes no more of the share.
    match open.reserve(arrival.file_size.or(arrival.body_size).unwrap_or(0)).await {
        Ok(()) => Ok(Admitted::Fresh { counter, open }),
        Err(refusal) => {
            counter.failed(refusal.body.clone());
            Err(refusal)
        }
    }
}

/// Enters the request into the books, also under the id of an upload in pieces whose time is over. Another process, or
/// this one some time ago, may have stored it already.
async fn begin(server: &Arc<Server>, arrival: &Arrival, announce: Announce) -> Result<Begun, Refusal> {
    // A browser sends again at once, and who counts tries may take longer.
    let linger = u64::try_from(server.config().progress_linger.as_millis()).unwrap_or(u64::MAX);
    let known_since_ms = now_ms().saturating_sub(linger);
    let earlier = match server.catalog().ended(&announce.id, &announce.scope, known_since_ms).await {
        // What cannot be read any more is no reason to take no file under this id.
        Err(CatalogError::Unreadable(_)) => None,
        earlier => earlier?,
    };
    let begun = match server.progress().begin_after(announce.clone(), earlier.clone()).await {
        Err(BeginError::InUse)
            if resumable::expire_named(server, &announce.id, arrival.visitor.viewer()).await? =>
        {
            server.progress().begin_after(announce.clone(), earlier).await?
        }
        begun => begun?,
    };
    match begun {
        // Its files were deleted since: whoever sends them again wants them again.
        Begun::Replay(frame) if is_gone(server, &frame.receipts).await? => {
            server.progress().forget(&announce, &frame);
            Ok(server.progress().begin(announce).await?)
        }
        begun => Ok(begun),
    }
}

async fn is_gone(server: &Server, receipts: &[Receipt]) -> Result<bool, Refusal> {
    for receipt in receipts {
        if server.catalog().find(&receipt.id).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// [`run`], and when it is torn (a fault of the server: a panic) takes back what it had begun.
async fn run_or_undo(
    server: Arc<Server>,
    arrival: Arrival,
    body: Body,
    counter: Arc<Counter>,
    open: Arc<OpenUpload>,
) -> Result<Vec<Receipt>, Refusal> {
    let begun: BegunFiles = Arc::default();
    let running = {
        let (server, begun, counter) = (server.clone(), begun.clone(), counter.clone());
        let open = open.clone();
        tokio::spawn(
            async move { run(&server, arrival, body, &counter, open, &begun).await }.in_current_span(),
        )
    };
    match running.await {
        Ok(ended) => ended,
        Err(fault) => {
            let refusal = torn(fault);
            tracing::error!(error = &refusal as &dyn std::error::Error, "an upload was torn");
            undo(&server, &refusal, &counter, &begun).await;
            Err(refusal)
        }
    }
}

/// The files that a request has entered into the catalog.
type BegunFiles = Arc<Mutex<Vec<UploadId>>>;

fn torn(fault: tokio::task::JoinError) -> Refusal {
    Refusal::new(ErrorCode::Internal, "The server failed at this upload.").caused_by(fault)
}

/// From the first byte to the last word. Every path leads to a terminal state of the counter.
async fn run(
    server: &Arc<Server>,
    arrival: Arrival,
    mut body: Body,
    counter: &Counter,
    open: Arc<OpenUpload>,
    begun: &BegunFiles,
) -> Result<Vec<Receipt>, Refusal> {
    let announced = arrival.file_size.or(arrival.body_size).unwrap_or(0);
    let allowance = Allowance::new(move |bytes: u64| {
        let open = open.clone();
        async move { open.reserve(bytes.max(announced)).await }
    });
    let limits = ReceiveLimits { allowance, ..receive_limits(server) };
    let received = receive_shape(server, &arrival, &mut body, counter, begun, &limits).await;
    steps::pass(steps::RECEIVED);
    let booked = match received {
        Ok(received) => book(server, received, counter).await,
        Err(refusal) => Err(refusal),
    };
    match &booked {
        Ok(receipts) => tracing::info!(files = receipts.len(), "stored"),
        Err(refusal) => {
            undo(server, refusal, counter, begun).await;
            let is_to_be_read = refusal.status().is_client_error() || refusal.code() == ErrorCode::OutOfSpace;
            if is_to_be_read && refusal.code() != ErrorCode::Superseded {
                drain_in_background(body);
            }
        }
    }
    booked
}

/// Takes back what a request has begun that is refused now.
async fn undo(server: &Server, refusal: &Refusal, counter: &Counter, begun: &BegunFiles) {
    let outcome = counter.outcome_failed(refusal.body.clone());
    let begun = std::mem::take(&mut *begun.lock().unwrap_or_else(PoisonError::into_inner));
    forget(server, begun, outcome).await;
    // Last, so that whoever hears of the failure finds nothing left of it.
    counter.failed(refusal.body.clone());
}

async fn receive_shape(
    server: &Arc<Server>,
    arrival: &Arrival,
    body: &mut Body,
    counter: &Counter,
    begun: &BegunFiles,
    limits: &ReceiveLimits,
) -> Result<Received, Refusal> {
    // The row comes before the bytes: after a crash it says what to clear away.
    let on_file = |id: UploadId, head: FileHead| {
        begun.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        let (catalog, owner) = (server.catalog().clone(), arrival.visitor.owner.clone());
        let FileHead { name, media_type, field, path } = head;
        let words = Words { name, media_type, path, fields: Vec::new() };
        async move { Ok(catalog.begin(NewUpload { id, owner, words, field }).await?) }
    };
    let expected = Expected { file_size: arrival.file_size, sha256: arrival.want_sha256 };
    let store = server.store();
    match &arrival.shape {
        Shape::Form { boundary } => {
            receive::receive_form(body, boundary, store, counter, limits, expected, on_file).await
        }
        Shape::Raw { name, media_type } => {
            let (name, media_type) = (name.clone(), media_type.clone());
            let head = FileHead { name, media_type, field: String::new(), path: String::new() };
            receive::receive_raw(body, head, store, counter, limits, expected, on_file).await
        }
    }
}

fn receive_limits(server: &Server) -> ReceiveLimits {
    let limits = &server.config().limits;
    ReceiveLimits {
        max_file_size: limits.max_file_size.unwrap_or(u64::MAX),
        max_request_size: limits.max_request_size.unwrap_or(u64::MAX),
        max_files: limits.max_files as usize,
        idle_timeout: limits.idle_timeout,
        min_rate: limits.min_rate.unwrap_or(0),
        space_reserve: limits.space_reserve,
        buffers: server.buffers().clone(),
        // Told, not torn: a file half sealed could come to light after its row was taken back.
        stop: server.stopping().clone(),
        ..ReceiveLimits::default()
    }
}

/// The one durable change that makes the files complete, all of them together.
async fn book(server: &Server, received: Received, counter: &Counter) -> Result<Vec<Receipt>, Refusal> {
    if received.files.is_empty() {
        return Err(Refusal::new(ErrorCode::NoFile, "The form held no file. Choose one first."));
    }
    let stored_ms = now_ms();
    let completions = received.files.iter().map(|file| Completion {
        id: file.id.clone(),
        size: file.sealed.size,
        sha256: file.sealed.sha256.clone(),
        stored_ms,
        fields: Some(received.fields.clone()),
    });
    let completions = completions.collect();
    let names: Vec<String> = received.files.iter().map(|file| file.field.clone()).collect();
    let receipts: Vec<Receipt> = received
        .files
        .into_iter()
        .map(|file| Receipt {
            url: format!("/files/{}", file.id),
            id: file.id,
            name: file.name,
            size: file.sealed.size,
            media_type: file.media_type,
            sha256: file.sealed.sha256,
            stored_ms,
            path: file.path,
            fields: received.fields.clone(),
            ..Receipt::default()
        })
        .collect();
    let finished = receipts.iter().zip(names).map(|(receipt, field)| Finished {
        field: Some(field).filter(|field| !field.is_empty()),
        ..Finished::new(receipt.clone())
    });
    let events = server.outbox().events(finished);
    server.catalog().complete(completions, counter.outcome_done(receipts.clone()), events).await?;
    server.outbox().wake();
    counter.done(receipts.clone());
    Ok(receipts)
}

/// Takes back what a refused request began. What fails here is made good at the next start.
async fn forget(server: &Server, begun: Vec<UploadId>, outcome: Option<Outcome>) {
    for id in &begun {
        if let Err(error) = server.store().remove(id).await {
            tracing::warn!(%id, %error, "bytes of a refused upload could not be removed yet");
            return;
        }
    }
    if let Err(error) = server.catalog().discard(begun, outcome).await {
        tracing::warn!(%error, "a refused upload could not be taken off the catalog yet");
    }
}
