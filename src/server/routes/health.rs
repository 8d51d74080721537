//! Whether the process lives, and whether it can do its work. Must never change anything.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::server::{Server, store::Store};

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when uploads can be taken, else 503 with the reason.
pub(super) async fn readyz(State(server): State<Arc<Server>>) -> (StatusCode, &'static str) {
    const NOT: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    if server.tasks().is_closed() {
        return (NOT, "shutting down\n");
    }
    if !server.store().healthy() {
        return (NOT, "the volume lost data at a flush: look at it and restart\n");
    }
    match server.catalog().unfinished(0, 1).await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::error!(%error, "the catalog cannot be read");
            (NOT, "the catalog cannot be read\n")
        }
    }
}
