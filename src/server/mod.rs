//! The cellar: the axum server that receives, stores and reports. Must never know the widget, the queue or Leptos.

pub mod body;
pub mod catalog;
mod cleanup;
pub mod config;
pub mod error;
mod ingest;
pub mod limits;
pub mod listen;
pub mod multipart;
pub mod outbox;
pub mod owner;
mod pen;
#[cfg(test)]
mod power_loss;
pub mod progress;
pub mod protocol;
pub mod questions;
pub mod receive;
pub mod resumable;
pub mod routes;
pub mod security;
mod state;
pub mod steps;
pub mod store;
mod writer;

pub use error::Refusal;
pub use routes::router;
pub use state::Server;
