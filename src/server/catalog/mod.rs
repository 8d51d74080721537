//! What is known of stored files: names, owners, states, and how uploads ended. One transaction makes each change
//! true, and a change told is durable. Must never know where bytes lie, nor HTTP.
//!
//! ```text
//! begin ─► receiving ──complete──► complete ──begin_delete──► deleting ──finish_delete──► (no row)
//!              └──discard──► (no row)
//! ```
//! No other way leads out of `complete` (promise 11): the statements say so, and triggers of the database as well.

#[cfg(test)]
mod conformance;
mod sqlite;

use std::{path::Path, sync::Arc};

pub use super::progress::Outcome;
use super::{Refusal, owner::OwnerId};
use crate::wire::{ErrorCode, ProgressFrame, ProgressId, Receipt, UploadId};

/// The catalog; cheap to clone. When the last clone is dropped, what was asked for is still carried out; to wait for
/// that, [`close`](Self::close).
///
/// Reads see every change whose call has returned. Changes of many callers share a commit; once its future was
/// polled, a change is carried out even if the caller goes away, and either whole or not at all.
#[derive(Clone, Debug)]
pub struct Catalog {
    books: Arc<sqlite::Sqlite>,
}

/// A file that is about to be received.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Its id, never used before.
    pub id: UploadId,
    /// Whose it is.
    pub owner: OwnerId,
    /// The client's name for it.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// The form field it came in; empty for a raw body.
    pub field: String,
}

/// A file that is stored: its length was checked and its bytes are durable.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Which one.
    pub id: UploadId,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of it, 64 lowercase hexadecimal digits, when it was asked for.
    pub sha256: Option<String>,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub stored_ms: u64,
}

/// A complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What its owner was told.
    pub receipt: Receipt,
    /// Whose it is.
    pub owner: OwnerId,
}

/// Where a file stands that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It was begun and neither completed nor discarded.
    Receiving,
    /// It was complete, and its deletion has begun.
    Deleting,
}

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The id is in use.
    #[error("an upload {0} exists already")]
    Exists(UploadId),
    /// The upload is not being received: it is complete already, or was discarded.
    #[error("there is no upload {0} that could be completed")]
    NotReceiving(UploadId),
    /// A number that a database cannot hold.
    #[error("{0} is too large a number")]
    TooLarge(u64),
    /// The catalog was closed.
    #[error("the catalog is closed")]
    Closed,
    /// A row does not say what it should.
    #[error("the catalog holds an unreadable row: {0}")]
    Unreadable(String),
    /// The database failed; shared by all operations of one commit.
    #[error("the catalog's database failed")]
    Database(#[from] Arc<sqlx::Error>),
    /// The database could not be brought to this version.
    #[error("the catalog's database could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            error => Self::Database(Arc::new(error)),
        }
    }
}

impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Self {
        let (code, message) = match &error {
            CatalogError::Closed => (ErrorCode::ShuttingDown, "The server is shutting down."),
            CatalogError::Database(_) => (ErrorCode::StorageFailed, "The server's catalog failed."),
            _ => (ErrorCode::Internal, "The server's catalog is at odds with itself."),
        };
        Refusal::new(code, message).caused_by(error)
    }
}

type Result<T> = std::result::Result<T, CatalogError>;

impl Catalog {
    /// Opens the catalog in this file, which is made if there is none (its folder must exist), and brings it up to
    /// date. One process at a time.
    pub async fn open(path: &Path) -> Result<Self> {
        Ok(Self { books: Arc::new(sqlite::Sqlite::open(path).await?) })
    }

    /// A catalog that is forgotten with its last clone.
    pub async fn open_in_memory() -> Result<Self> {
        Ok(Self { books: Arc::new(sqlite::Sqlite::open_in_memory().await?) })
    }

    /// Enters a file that is about to be received.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] when the id is in use.
    pub async fn begin(&self, new: NewUpload) -> Result<()> {
        self.books.begin(new).await
    }

    /// Makes all of these files complete and the outcome known, or changes nothing.
    ///
    /// # Errors
    /// [`CatalogError::NotReceiving`] when one of them is complete already, or was discarded.
    pub async fn complete(&self, done: Vec<Completion>, outcome: Option<Outcome>) -> Result<()> {
        self.books.complete(done, outcome).await
    }

    /// Forgets these files, as far as they are being received, and keeps the outcome. Others stay as they are.
    pub async fn discard(&self, ids: Vec<UploadId>, outcome: Option<Outcome>) -> Result<()> {
        self.books.discard(ids, outcome).await
    }

    /// How the upload with this progress id ended, if the viewer may know.
    pub async fn outcome(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<Option<ProgressFrame>> {
        self.books.outcome(id, viewer).await
    }

    /// The file, if it is complete.
    pub async fn find(&self, id: &UploadId) -> Result<Option<Stored>> {
        self.books.find(id).await
    }

    /// The owner's complete files, at most `limit`, newest first.
    pub async fn list(&self, owner: &OwnerId, limit: u32) -> Result<Vec<Receipt>> {
        self.books.list(owner, limit).await
    }

    /// Bytes of the owner's complete files.
    pub async fn owned_bytes(&self, owner: &OwnerId) -> Result<u64> {
        self.books.owned_bytes(owner).await
    }

    /// Marks a complete file for deletion: nobody finds it any more. `false`: there was none, and of two who ask at
    /// once only one hears `true`.
    pub async fn begin_delete(&self, id: &UploadId) -> Result<bool> {
        self.books.begin_delete(id.clone()).await
    }

    /// Forgets a file that was marked for deletion, once its bytes are gone.
    pub async fn finish_delete(&self, id: &UploadId) -> Result<()> {
        self.books.finish_delete(id.clone()).await
    }

    /// All files that are not complete, oldest first: after a start, what a crash left behind.
    pub async fn unfinished(&self) -> Result<Vec<(UploadId, Unfinished)>> {
        self.books.unfinished().await
    }

    /// Forgets how uploads ended that ended before this time, in milliseconds since 1970-01-01 UTC.
    pub async fn forget_outcomes_before(&self, ms: u64) -> Result<()> {
        self.books.forget_outcomes_before(ms).await
    }

    /// Carries out what was asked for and closes the files. Every clone is closed then, and answers
    /// [`CatalogError::Closed`].
    pub async fn close(self) {
        self.books.close().await;
    }
}
