//! Finish events: who wants to know is told of every complete file at least once, each time with the same event id
//! (promise 11). An event is written in the transaction that makes its file complete, and stays in the catalog until
//! it was taken. When nobody wants to know, none is written. Must never know how a file came.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Server,
    catalog::{FinishEvent, Undelivered},
    owner::random_bits,
    state::now_ms,
    steps,
};
use crate::wire::{Receipt, UploadId};

/// Deliveries at one time.
const AT_ONCE: usize = 8;

/// Events that are looked at together.
const BATCH: u32 = 64;

/// How long one delivery may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause after the first failure; it doubles each time,
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A file is complete. The body of the `POST` to `--finish-url`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The same whenever this event is delivered: whoever has seen it before has nothing to do.
    pub event_id: UploadId,
    /// What its owner was told.
    pub upload: Receipt,
    /// How it came: `tus`, `rufh`, or nothing for a form or a plain `PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The form field it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The client's description of it, as it came (`Upload-Metadata` of tus).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

impl Finished {
    /// An event of its own for this file.
    pub(super) fn new(upload: Receipt) -> Self {
        let event_id = UploadId::from_bits(random_bits());
        Self { event_id, upload, protocol: None, field: None, metadata: None }
    }
}

/// What an application does with a finish event. `Err`: it comes again, later.
pub type Hook = Arc<dyn Fn(Finished) -> Taken + Send + Sync>;

/// See [`Hook`].
pub type Taken = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// Who wants to know.
pub(super) struct Outbox {
    hook: Option<Hook>,
    url: Option<(String, reqwest::Client)>,
    /// Something was written.
    wake: Notify,
}

impl Outbox {
    /// # Errors
    /// When the system's part of TLS cannot be set up.
    pub(super) fn new(hook: Option<Hook>, url: Option<String>) -> reqwest::Result<Self> {
        let client = || {
            let redirects = reqwest::redirect::Policy::none();
            let agent = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));
            reqwest::Client::builder().redirect(redirects).timeout(PATIENCE).user_agent(agent).build()
        };
        let url = url.map(|url| Ok((url, client()?))).transpose()?;
        Ok(Self { hook, url, wake: Notify::new() })
    }

    /// The events to write with the completion of these files.
    pub(super) fn events(&self, files: impl IntoIterator<Item = Finished>) -> Vec<FinishEvent> {
        if self.hook.is_none() && self.url.is_none() {
            return Vec::new();
        }
        let written = files.into_iter().filter_map(|finished| {
            let event = serde_json::to_string(&finished).ok()?;
            Some(FinishEvent { event_id: finished.event_id, event })
        });
        written.collect()
    }

    /// Events were written.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    async fn deliver(&self, event: &Undelivered) -> Result<(), NotTaken> {
        steps::pass(steps::DELIVER);
        if let Some(hook) = &self.hook {
            let finished = serde_json::from_str(&event.event)?;
            let taken = tokio::time::timeout(PATIENCE, hook(finished)).await;
            taken.map_err(|_| NotTaken::TooLate)?.map_err(NotTaken::Hook)?;
        }
        if let Some((url, client)) = &self.url {
            let post = client.post(url).header("content-type", "application/json").body(event.event.clone());
            let status = post.send().await?.status();
            if !status.is_success() {
                return Err(NotTaken::Status(status.as_u16()));
            }
        }
        steps::pass(steps::DELIVERED);
        Ok(())
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox(hook: {}, url: {})", self.hook.is_some(), self.url.is_some())
    }
}

#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("nobody answered within {PATIENCE:?}")]
    TooLate,
    #[error("the application did not take it: {0}")]
    Hook(#[source] Box<dyn Error + Send + Sync>),
    #[error("the answer had status {0}")]
    Status(u16),
    #[error("the request failed: {0}")]
    Network(#[from] reqwest::Error),
    #[error("the event cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// As long as the server lives: delivers what is due, what the last run has left first.
pub(super) async fn deliver(server: Weak<Server>, stopping: CancellationToken) {
    let rounds = async {
        while let Some(server) = server.upgrade() {
            let pause = round(&server).await;
            let outbox = server.outbox().clone();
            drop(server);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = outbox.wake.notified() => {}
            }
        }
    };
    // What is under way when the server stops was perhaps delivered, and comes again after the next start.
    tokio::select! {
        () = rounds => {}
        () = stopping.cancelled() => {}
    }
}

/// Tries everything that is due once; tells when to look again.
async fn round(server: &Server) -> Duration {
    let (catalog, outbox) = (server.catalog(), server.outbox());
    let tried = async {
        let due = catalog.undelivered(now_ms(), BATCH).await?;
        let full = due.len() == BATCH as usize;
        let told = futures_util::stream::iter(due)
            .map(|event| async move {
                let told = match outbox.deliver(&event).await {
                    Ok(()) => catalog.delivered(&event.event_id).await,
                    Err(error) => {
                        let pause = pause_after(event.tries);
                        tracing::warn!(
                            event_id = %event.event_id, tries = event.tries + 1, %error,
                            "a finish event was not taken; it comes again in {pause:?}"
                        );
                        let later = now_ms().saturating_add(pause.as_millis() as u64);
                        catalog.deliver_later(&event.event_id, later).await
                    }
                };
                told.inspect_err(|error| {
                    tracing::warn!(%error, "the catalog does not know of a delivery: it comes again");
                })
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        // What cannot be written down stays due: without a pause it would be delivered as fast as it can.
        for told in told {
            told?;
        }
        let next = if full { Some(0) } else { catalog.next_delivery().await? };
        Ok::<_, super::catalog::CatalogError>(next)
    };
    match tried.await {
        Ok(None) => LONGEST_PAUSE,
        Ok(Some(due_ms)) => Duration::from_millis(due_ms.saturating_sub(now_ms())).min(LONGEST_PAUSE),
        Err(error) => {
            tracing::warn!(%error, "finish events cannot be looked up or ticked off; trying again later");
            LONGEST_PAUSE
        }
    }
}

fn pause_after(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1u32.checked_shl(tries).unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause_after(0), Duration::from_millis(500));
        assert_eq!(pause_after(3), Duration::from_secs(4));
        assert!((0..200).all(|tries| pause_after(tries) <= pause_after(tries + 1)));
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn golden_json() {
        let id = UploadId::from_bits([7; 16]);
        let upload = Receipt {
            id: id.clone(),
            name: "a.txt".to_owned(),
            size: 3,
            media_type: "text/plain".to_owned(),
            sha256: None,
            stored_ms: 5,
            url: format!("/files/{id}"),
            ..Receipt::default()
        };
        let finished = Finished { protocol: Some("tus".to_owned()), ..Finished::new(upload) };
        let json = serde_json::to_value(&finished).unwrap();
        assert_eq!(json["event_id"], finished.event_id.as_str());
        assert_eq!((&json["upload"]["size"], &json["upload"]["name"]), (&3.into(), &"a.txt".into()));
        assert_eq!((&json["protocol"], json.get("field")), (&"tus".into(), None));
        assert_eq!(serde_json::from_value::<Finished>(json).unwrap(), finished);
    }
}
