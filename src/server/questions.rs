//! Answers to the questions that routes and server functions ask. Routes carry bytes; these carry knowledge. Must
//! never know how a question travelled.

use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};

use super::{Refusal, Server, resumable::to_its_end, security::Visitor, store::Store};
use crate::wire::{ErrorCode, Limits, ProgressFrame, ProgressId, Receipt, UploadId};

/// Most ids in one poll. The widget has four uploads under way at most.
pub const MAX_IDS: usize = 64;

/// Most uploads in one list.
pub const MAX_LISTED: u32 = 1000;

/// What is known of one upload: from memory while it runs and for a while after, then from the catalog, which also
/// knows those that are sent in pieces and rest. `None` when nobody has heard of it, or it is somebody else's.
///
/// # Errors
/// When the catalog fails.
pub async fn frame(
    server: &Server,
    visitor: &Visitor,
    id: &ProgressId,
) -> Result<Option<ProgressFrame>, Refusal> {
    if let Some(frame) = frame_of(server, visitor, id).await? {
        return Ok(Some(frame));
    }
    // An upload that was given another name is still asked for by its own.
    match named(server, visitor, id).await? {
        Some(name) => {
            let frame = frame_of(server, visitor, &name).await?;
            Ok(frame.map(|frame| ProgressFrame { id: id.clone(), ..frame }))
        }
        None => Ok(None),
    }
}

async fn frame_of(
    server: &Server,
    visitor: &Visitor,
    id: &ProgressId,
) -> Result<Option<ProgressFrame>, Refusal> {
    let viewer = visitor.viewer();
    if let Some(frame) = server.progress().frame(id, viewer) {
        return Ok(Some(frame));
    }
    // Of two with one id, one after the other, the one that has not ended is the later one.
    match server.catalog().standing(id, viewer).await? {
        Some(frame) => Ok(Some(frame)),
        None => Ok(server.catalog().outcome(id, viewer).await?),
    }
}

/// The name that an upload in pieces is watched by, if `id` is its own id and that is not its name.
async fn named(server: &Server, visitor: &Visitor, id: &ProgressId) -> Result<Option<ProgressId>, Refusal> {
    let Ok(own) = id.as_str().parse::<UploadId>() else { return Ok(None) };
    let terms = server.catalog().pieces(&own).await?.map(|pieces| pieces.terms);
    let terms = terms.filter(|terms| terms.open_to_all || visitor.viewer() == Some(&terms.owner));
    Ok(terms.map(|terms| terms.progress_id).filter(|name| name != id))
}

/// What is known of several uploads: one frame for each id, in their order. `ids` are separated by commas.
///
/// # Errors
/// [`ErrorCode::Malformed`] for a text that is no id, or more than [`MAX_IDS`].
pub async fn progress(server: &Server, visitor: &Visitor, ids: &str) -> Result<Vec<ProgressFrame>, Refusal> {
    let mut frames = Vec::new();
    for text in ids.split(',').filter(|text| !text.is_empty()) {
        if frames.len() == MAX_IDS {
            let message = format!("One poll takes at most {MAX_IDS} ids.");
            return Err(Refusal::new(ErrorCode::Malformed, message).with_detail(MAX_IDS));
        }
        let id: ProgressId = text.parse().map_err(|error| {
            Refusal::new(ErrorCode::Malformed, "A progress id is 8 to 64 letters, digits, - and _.")
                .caused_by(error)
        })?;
        frames.push(frame(server, visitor, &id).await?.unwrap_or_else(|| ProgressFrame::unknown(id)));
    }
    Ok(frames)
}

/// The frames of one upload as they change, up to its end. The one that counts notices nothing of it (promise 3).
///
/// # Errors
/// When the catalog fails.
pub async fn frames(
    server: Arc<Server>,
    visitor: Visitor,
    id: ProgressId,
) -> Result<impl Stream<Item = ProgressFrame> + Send, Refusal> {
    let id = match server.progress().frame(&id, visitor.viewer()) {
        Some(_) => id,
        None => named(&server, &visitor, &id).await?.unwrap_or(id),
    };
    Ok(match server.progress().subscribe(&id, visitor.viewer()) {
        Some(watch) => {
            stream::unfold(watch, |mut watch| async { watch.next().await.map(|frame| (frame, watch)) })
                .boxed()
        }
        // It has ended long ago, or has not begun: one frame says so, and the client asks again when it likes.
        None => {
            let frame = frame(&server, &visitor, &id).await?;
            stream::iter([frame.unwrap_or_else(|| ProgressFrame::unknown(id))]).boxed()
        }
    })
}

/// What this server allows.
pub fn limits(server: &Server) -> Limits {
    server.config().limits.told()
}

/// One's own stored uploads, newest first, at most [`MAX_LISTED`].
///
/// # Errors
/// When the catalog fails.
pub async fn uploads(server: &Server, visitor: &Visitor) -> Result<Vec<Receipt>, Refusal> {
    match visitor.viewer() {
        Some(owner) => Ok(server.catalog().list(owner, MAX_LISTED).await?),
        None => Ok(Vec::new()),
    }
}

/// The receipts of these uploads, as far as they exist. Whoever knows an upload's unguessable id may read it.
///
/// # Errors
/// When the catalog fails.
pub async fn receipts(server: &Server, ids: &[UploadId]) -> Result<Vec<Receipt>, Refusal> {
    let mut receipts = Vec::new();
    for id in ids {
        receipts.extend(server.catalog().find(id).await?.map(|stored| stored.receipt));
    }
    Ok(receipts)
}

/// Deletes one of one's own uploads, for good.
///
/// # Errors
/// [`ErrorCode::NotFound`] when there is none, [`ErrorCode::Forbidden`] when it is somebody else's.
pub async fn delete(server: &Arc<Server>, visitor: &Visitor, id: &UploadId) -> Result<(), Refusal> {
    let (asked, visitor, id) = (server.clone(), visitor.clone(), id.clone());
    to_its_end(server, async move { delete_to_its_end(&asked, &visitor, &id).await }).await
}

async fn delete_to_its_end(server: &Server, visitor: &Visitor, id: &UploadId) -> Result<(), Refusal> {
    let missing = || Refusal::new(ErrorCode::NotFound, "There is no such upload.");
    let stored = server.catalog().find(id).await?.ok_or_else(missing)?;
    if visitor.viewer() != Some(&stored.owner) {
        return Err(Refusal::new(ErrorCode::Forbidden, "Only whoever uploaded this file can delete it."));
    }
    // Two may ask at once: the one whose change took effect removes the bytes.
    if !server.catalog().begin_delete(id).await? {
        return Err(missing());
    }
    server.store().remove(id).await?;
    Ok(server.catalog().finish_delete(id).await?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::{
        catalog::{Completion, NewUpload, Words},
        config::{Config, RawConfig},
        owner::OwnerId,
        store::{StageOptions, Staging, StoreError},
    };

    /// A page that is left right after its button was pressed used to leave the bytes behind until the next start.
    #[tokio::test]
    async fn what_is_being_deleted_is_deleted_though_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = RawConfig { data: folder.path().to_owned(), ..RawConfig::default() };
        let server = Server::open(Config::check(config).unwrap()).await.unwrap();
        let (id, owner) = (UploadId::from_bits([7; 16]), OwnerId::random());
        let new =
            NewUpload { id: id.clone(), owner: owner.clone(), words: Words::default(), field: String::new() };
        server.catalog().begin(new).await.unwrap();
        server.store().stage(&id, StageOptions::default()).await.unwrap().seal().await.unwrap();
        let done = Completion { id: id.clone(), size: 0, sha256: None, stored_ms: 1, fields: None };
        server.catalog().complete(vec![done], None, Vec::new()).await.unwrap();

        let visitor = Visitor { owner, known: true, peer: None };
        let mut deleting = Box::pin(delete(&server, &visitor, &id));
        while server.catalog().find(&id).await.unwrap().is_some() {
            assert!(futures_util::poll!(&mut deleting).is_pending());
        }
        drop(deleting);
        server.tasks().close();
        tokio::time::timeout(Duration::from_secs(30), server.tasks().wait()).await.unwrap();
        assert!(matches!(server.store().open(&id).await, Err(StoreError::NotFound)));
        assert!(server.catalog().unfinished(0, 1).await.unwrap().is_empty());
        server.close(Duration::ZERO).await;
    }
}
