//! One request that brings files, from its announcement to its receipts: admission, receiving, the catalog's word,
//! the answer. Must never know multipart's grammar, a path on disk, or how an answer is written.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use tracing::Instrument;

use super::{
    Refusal, Server,
    body::drain_in_background,
    catalog::{Completion, NewUpload},
    multipart::Boundary,
    progress::{Announce, Begun, Counter, Outcome},
    receive::{self, Expected, FileHead, ReceiveLimits, Received},
    security::Visitor,
    state::{OpenUpload, now_ms},
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
        Ok(Admitted::Fresh { counter, open, allowance }) => {
            let span = tracing::info_span!(
                "upload",
                progress_id = arrival.progress_id.as_ref().map(ProgressId::as_str),
                attempt = arrival.attempt,
            );
            // A task of its own: when the connection breaks axum drops the handler, and what was begun must still be
            // undone in order.
            let tasks = server.tasks().clone();
            let task = async move {
                let _open = open;
                run(&server, arrival, body, &counter, allowance).await
            };
            let ended = tasks.spawn(task.instrument(span)).await;
            ended.unwrap_or_else(|fault| {
                Err(Refusal::new(ErrorCode::Internal, "The server failed at this upload.").caused_by(fault))
            })
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
    Fresh {
        counter: Counter,
        open: OpenUpload,
        /// Bytes that the owner may store besides what is stored already.
        allowance: u64,
    },
    Replay(Vec<Receipt>),
}

/// Everything that can be refused before the first byte of the body is read.
async fn admit(server: &Arc<Server>, arrival: &Arrival) -> Result<Admitted, Refusal> {
    if server.tasks().is_closed() {
        let message = "The server is shutting down. Try again in a moment.";
        return Err(Refusal::new(ErrorCode::ShuttingDown, message).retry_after(5));
    }
    server.config().limits.admit(arrival.body_size, arrival.file_size)?;
    let open = server.open_upload(&arrival.visitor.owner)?;
    let counter = match arrival.progress_id.clone() {
        None => server.progress().anonymous(),
        Some(id) => {
            let announce = Announce {
                id,
                scope: arrival.visitor.scope(),
                attempt: arrival.attempt,
                fingerprint: arrival.fingerprint,
                size: arrival.file_size,
                body_size: arrival.body_size,
            };
            match server.progress().begin(announce).await? {
                Begun::Fresh(counter) => counter,
                Begun::Replay(frame) => return Ok(Admitted::Replay(frame.receipts)),
            }
        }
    };
    // After a replay: what is stored already, and only its answer was lost, takes no more of the share.
    match allowance(server, arrival).await {
        Ok(allowance) => Ok(Admitted::Fresh { counter, open, allowance }),
        Err(refusal) => {
            counter.failed(refusal.body.clone());
            Err(refusal)
        }
    }
}

/// Bytes that the owner may store besides what is stored already.
async fn allowance(server: &Server, arrival: &Arrival) -> Result<u64, Refusal> {
    let Some(max) = server.config().limits.max_bytes_per_owner else { return Ok(u64::MAX) };
    // Nobody new owns anything, and the limit is theirs as well.
    let owned = server.catalog().owned_bytes(&arrival.visitor.owner).await?;
    let coming = arrival.file_size.or(arrival.body_size).unwrap_or(0);
    if owned.saturating_add(coming) > max {
        let message =
            format!("Your uploads would take up more than the {max} bytes you may use. Delete some.");
        return Err(Refusal::new(ErrorCode::QuotaExceeded, message).with_detail(max));
    }
    Ok(max.saturating_sub(owned))
}

/// From the first byte to the last word. Every path leads to a terminal state of the counter.
async fn run(
    server: &Arc<Server>,
    arrival: Arrival,
    mut body: Body,
    counter: &Counter,
    allowance: u64,
) -> Result<Vec<Receipt>, Refusal> {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let limits = ReceiveLimits { allowance, ..receive_limits(server) };
    let received = receive_shape(server, &arrival, &mut body, counter, &begun, &limits).await;
    let booked = match received {
        Ok(received) => book(server, received, counter).await,
        Err(refusal) => Err(refusal),
    };
    match &booked {
        Ok(receipts) => tracing::info!(files = receipts.len(), "stored"),
        Err(refusal) => {
            let outcome = counter.outcome_failed(refusal.body.clone());
            let begun = std::mem::take(&mut *begun.lock().unwrap_or_else(PoisonError::into_inner));
            forget(server, begun, outcome).await;
            // Last, so that whoever hears of the failure finds nothing left of it.
            counter.failed(refusal.body.clone());
            if refusal.status().is_client_error() && refusal.code() != ErrorCode::Superseded {
                drain_in_background(body);
            }
        }
    }
    booked
}

async fn receive_shape(
    server: &Arc<Server>,
    arrival: &Arrival,
    body: &mut Body,
    counter: &Counter,
    begun: &Arc<Mutex<Vec<UploadId>>>,
    limits: &ReceiveLimits,
) -> Result<Received, Refusal> {
    // The row comes before the bytes: after a crash it says what to clear away.
    let on_file = |id: UploadId, head: FileHead| {
        begun.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        let (catalog, owner) = (server.catalog().clone(), arrival.visitor.owner.clone());
        let FileHead { name, media_type, field } = head;
        async move { Ok(catalog.begin(NewUpload { id, owner, name, media_type, field }).await?) }
    };
    let expected = Expected { file_size: arrival.file_size, sha256: arrival.want_sha256 };
    let store = server.store();
    match &arrival.shape {
        Shape::Form { boundary } => {
            receive::receive_form(body, boundary, store, counter, limits, expected, on_file).await
        }
        Shape::Raw { name, media_type } => {
            let head = FileHead { name: name.clone(), media_type: media_type.clone(), field: String::new() };
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
    });
    let completions = completions.collect();
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
        })
        .collect();
    server.catalog().complete(completions, counter.outcome_done(receipts.clone()), Vec::new()).await?;
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
