//! Making good what a crash left behind, and giving up or forgetting what has had its time. Touches unfinished uploads
//! only: a complete one is out of its reach in the catalog's own queries (promise 11).

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::{
    Refusal, Server,
    catalog::{Pieces, PiecesEnd, PiecesState, Unfinished},
    resumable,
    state::now_ms,
    store::{StageOptions, Store, StoreError},
};
use crate::wire::{ErrorBody, ErrorCode};

/// How often records that have had their time are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// Uploads in pieces that are looked at together after a start.
const AT_ONCE: usize = 8;

/// Before the first request. An upload that came in one request is gone with its connection, so its bytes go too; a
/// deletion that had begun is finished. An upload in pieces goes back to its last checkpoint, or, when what is there is
/// not what was told, has failed; one that was sealed becomes a file. Staged bytes without a row are swept.
///
/// # Errors
/// When storage or catalog fail: serving on top of that would only hide it.
pub(super) async fn after_a_crash(server: &Arc<Server>) -> anyhow::Result<()> {
    let (store, catalog) = (server.store(), server.catalog());
    let unfinished = catalog.unfinished().await?;
    let count = unfinished.len();
    for (id, state) in unfinished {
        // Bytes first, row last: a crash in between leaves the row that says what is still to do.
        store.remove(&id).await?;
        match state {
            Unfinished::Receiving => catalog.discard(vec![id], None).await?,
            Unfinished::Deleting => catalog.finish_delete(&id).await?,
        }
    }
    let under_way = catalog.pieces_under_way().await?;
    let kept: HashSet<_> = under_way.iter().map(|pieces| pieces.terms.id.clone()).collect();
    let recovered = futures_util::stream::iter(under_way)
        .map(|pieces| async move { recover(server, &pieces).await.map(|goes_on| usize::from(!goes_on)) });
    let failed =
        recovered.buffer_unordered(AT_ONCE).try_fold(0, |sum, failed| async move { Ok(sum + failed) });
    let failed = failed.await?;
    let mut swept = store.sweep().await?;
    for id in store.staged().await?.into_iter().filter(|id| !kept.contains(id)) {
        store.unstage(&id).await?;
        swept += 1;
    }
    if count > 0 || swept > 0 || !kept.is_empty() {
        tracing::info!(
            unfinished = count,
            swept,
            in_pieces = kept.len(),
            failed,
            "made good what the last run left behind"
        );
    }
    Ok(())
}

/// Brings one upload in pieces to where the catalog says it is. `false`: it has failed.
async fn recover(server: &Arc<Server>, pieces: &Pieces) -> Result<bool, Refusal> {
    let id = &pieces.terms.id;
    let Some(turn) = server.seats().vacant(id) else { return Ok(true) };
    let is_made_of_parts = pieces.terms.concat.is_some() && !pieces.terms.is_part;
    let trusted = match pieces.state {
        PiecesState::Open if is_made_of_parts => {
            Err("The server was stopped while it put the parts together.")
        }
        PiecesState::Sealed => match is_what_was_told(server, pieces).await {
            // The store may have it already.
            Err(StoreError::NotFound) => Ok(()),
            told => checked(told),
        },
        _ if pieces.durable == 0 => Ok(()),
        _ => checked(is_what_was_told(server, pieces).await),
    };
    if let Err(why) = trusted {
        tracing::error!(%id, durable = pieces.durable, why, "an upload cannot go on");
        let error = ErrorBody { retryable: false, ..ErrorBody::new(ErrorCode::StorageFailed, why) };
        resumable::end(server, pieces, PiecesEnd::Failed(error), None).await?;
        return Ok(false);
    }
    if pieces.state == PiecesState::Sealed {
        // One that fails has ended; one for which there is no room waits for whoever asks next.
        return Ok(resumable::complete_sealed(server, &turn, pieces).await.is_ok());
    }
    // Cuts off what was written after the last checkpoint.
    match server.store().resume(id, pieces.durable, StageOptions::default()).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound) if pieces.durable == 0 => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn checked(told: Result<bool, StoreError>) -> Result<(), &'static str> {
    match told {
        Ok(true) => Ok(()),
        Ok(false) => Err("What the server has of this upload is not what it was sent."),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "bytes told to be durable cannot be read"
            );
            Err("The server has lost bytes of this upload.")
        }
    }
}

/// Whether the bytes of the last checkpoint are there and are those that came.
async fn is_what_was_told(server: &Server, pieces: &Pieces) -> Result<bool, StoreError> {
    let readable = server.store().open_staged(&pieces.terms.id, pieces.durable).await?;
    let checked = &pieces.checked;
    let crc = readable
        .stream(checked.range.clone())
        .try_fold(0, |crc, piece: Bytes| async move { Ok(crc32c::crc32c_append(crc, &piece)) });
    let crc = crc.await.map_err(|source| StoreError::Io { doing: "reading a staged file", source })?;
    Ok(crc == checked.crc32c)
}

/// As long as the server lives: gives up uploads whose time is over, and lets go of records whose time has passed.
pub(super) async fn now_and_then(server: Weak<Server>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopping.cancelled() => return,
        }
        let Some(server) = server.upgrade() else { return };
        server.progress().sweep();
        if let Err(error) = expire(&server).await {
            tracing::warn!(%error, "uploads whose time is over could not be given up; trying again later");
        }
        let age_ms = u64::try_from(server.config().max_age.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = server.catalog().forget_outcomes_before(now_ms().saturating_sub(age_ms)).await {
            tracing::warn!(%error, "old progress records could not be forgotten; trying again later");
        }
    }
}

/// Gives up uploads in pieces that nobody has gone on with in time. One that somebody is at is left alone.
async fn expire(server: &Arc<Server>) -> Result<(), Refusal> {
    for id in server.catalog().pieces_expired(now_ms()).await? {
        let Some(pieces) = server.catalog().pieces(&id).await? else { continue };
        if resumable::expire(server, &pieces).await? {
            tracing::info!(%id, "nobody went on with it in time: given up");
        }
    }
    Ok(())
}
