//! Making good what a crash left behind, and forgetting what has had its time. Touches unfinished uploads only: a
//! complete one is out of its reach in the catalog's own queries (promise 11).

use std::{sync::Weak, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Server,
    catalog::{Catalog, Unfinished},
    state::now_ms,
    store::{AnyStore, Store},
};

/// How often records that have had their time are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// Before the first request: an upload that was being received is gone with its connection, so its bytes go too; a
/// deletion that had begun is finished; staged bytes without a row are swept.
///
/// # Errors
/// When storage or catalog fail: serving on top of that would only hide it.
pub(super) async fn after_a_crash(store: &AnyStore, catalog: &Catalog) -> anyhow::Result<()> {
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
    let staged = store.staged().await?;
    for id in &staged {
        store.remove(id).await?;
    }
    let swept = store.sweep().await? + staged.len();
    if count > 0 || swept > 0 {
        tracing::info!(unfinished = count, swept, "made good what the last run left behind");
    }
    Ok(())
}

/// As long as the server lives: lets go of progress records whose time has passed.
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
        let age_ms = u64::try_from(server.config().max_age.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = server.catalog().forget_outcomes_before(now_ms().saturating_sub(age_ms)).await {
            tracing::warn!(%error, "old progress records could not be forgotten; trying again later");
        }
    }
}
