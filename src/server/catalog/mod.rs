//! What is known of stored files: names, owners, states, and how uploads ended. One transaction makes each change
//! true, and a change told is durable. Must never know where bytes lie, nor HTTP.
//!
//! ```text
//! begin ─► receiving ──complete──► complete ──begin_delete──► deleting ──finish_delete──► (no row)
//!              └──discard──► (no row)
//! ```
//! No other way leads out of `complete` (promise 11): the statements say so, and triggers of the database as well.
//!
//! An upload that is received in pieces has a second row, which says how far it is and, after it has ended without
//! being complete, for a while that there was one:
//!
//! ```text
//! begin_pieces ─► open ──checkpoint──► sealed ──complete──► complete ──finish_delete──► cancelled
//!                   └───────end────────► failed | expired | cancelled
//! ```

#[cfg(test)]
mod conformance;
mod sqlite;

use std::{fmt, path::Path, str::FromStr, sync::Arc};

pub use super::progress::Outcome;
use super::{
    Refusal,
    owner::{OwnerId, Scope},
    store::Checkpoint,
};
use crate::wire::{ErrorBody, ErrorCode, ProgressFrame, ProgressId, Receipt, UploadId};

/// The catalog; cheap to clone. When the last clone is dropped, what was asked for is still carried out; to wait for
/// that, [`close`](Self::close).
///
/// Reads see every change whose call has returned. Changes of many callers share a commit; once its future was
/// polled, a change is carried out even if the caller goes away, and either whole or not at all.
#[derive(Clone, Debug)]
pub struct Catalog {
    books: Arc<sqlite::Sqlite>,
}

/// What a client says of a file: words, and never a path on disk (promise 6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its path inside the folder that the client picked, with `/`; empty for a single file.
    pub path: String,
    /// What the client sent along, names and values.
    pub fields: Vec<(String, String)>,
}

/// A file that is about to be received.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Its id, never used before.
    pub id: UploadId,
    /// Whose it is.
    pub owner: OwnerId,
    /// What the client says of it.
    pub words: Words,
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
    /// What came along in the same form, before the file or after it; `None` leaves what was known at the beginning.
    pub fields: Option<Vec<(String, String)>>,
}

/// What an upload in pieces is received by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// tus 1.0.
    Tus,
    /// Resumable Uploads for HTTP, of the IETF.
    Rufh,
}

impl Protocol {
    /// As the catalog spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tus => "tus",
            Self::Rufh => "rufh",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        [Self::Tus, Self::Rufh].into_iter().find(|known| known.as_str() == text).ok_or(())
    }
}

/// What is settled of an upload in pieces when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its id, never used before.
    pub id: UploadId,
    /// Whose it is.
    pub owner: OwnerId,
    /// Whether whoever knows the id may go on with it, and not its owner alone.
    pub open_to_all: bool,
    /// How it is received.
    pub protocol: Protocol,
    /// The client's description of it, as it came.
    pub metadata: Option<String>,
    /// The client's word on its parts, as it came.
    pub concat: Option<String>,
    /// A part for others to be made of, never a file by itself.
    pub is_part: bool,
    /// What its progress is asked for by.
    pub progress_id: ProgressId,
    /// The digest is wanted.
    pub want_sha256: bool,
    /// The digest that it must have, 64 lowercase hexadecimal digits.
    pub expected_sha256: Option<String>,
}

/// An upload in pieces that is about to begin.
#[derive(Clone, Debug)]
pub struct NewPieces {
    /// What is settled.
    pub terms: Terms,
    /// What the client says of it.
    pub words: Words,
    /// Bytes in all, where known.
    pub length: Option<u64>,
    /// When it may be given up, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: u64,
    /// Where it comes from: an address, or the network of one. Kept as long as it is unfinished.
    pub peer: Option<String>,
    /// What it may bring.
    pub admitted: Admitted,
    /// The parts that it is to be made of, in their order; empty for one that will be sent.
    pub joined_of: Vec<UploadId>,
    /// Most unfinished uploads that there may be with this one.
    pub max_unfinished: Option<MaxUnfinished>,
}

/// The most that an upload in pieces may bring, as was allowed when it began: so it stays, whatever is allowed later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Bytes in all. `None`: as many as it likes.
    pub max_length: Option<u64>,
    /// Bytes in one request. `None`: as many as it likes.
    pub max_request: Option<u64>,
}

/// Most unfinished uploads that one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxUnfinished {
    /// One owner, wherever they come from. What is open to all has none.
    pub of_owner: u32,
    /// One peer, whoever's they are: it costs nothing to be another owner.
    pub of_peer: u32,
}

/// How an upload in pieces stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// What was settled when it began.
    pub terms: Terms,
    /// What may happen to it.
    pub state: PiecesState,
    /// Bytes in all, once known.
    pub length: Option<u64>,
    /// What it may bring.
    pub admitted: Admitted,
    /// Bytes on the medium (promise 2).
    pub durable: u64,
    /// The last bytes of those, and what they must look like.
    pub checked: Checkpoint,
    /// Where the last request began that brought bytes.
    pub appended_from: u64,
    /// Which writer may write.
    pub epoch: u64,
    /// When it changed last, in milliseconds since 1970-01-01 UTC.
    pub touched_ms: u64,
    /// When it may be given up, unless it goes on before.
    pub expires_ms: u64,
    /// Why it failed.
    pub error: Option<ErrorBody>,
}

/// What may happen to an upload in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PiecesState {
    /// Bytes may come.
    Open,
    /// The last byte is durable, and its sender said that it was the last: it is to be completed.
    Sealed,
    /// It is a file.
    Complete,
    /// It will never be a file: see [`Pieces::error`].
    Failed,
    /// It was given up after its time.
    Expired,
    /// It was stopped, or deleted once it was complete.
    Cancelled,
}

impl PiecesState {
    const ALL: [Self; 6] =
        [Self::Open, Self::Sealed, Self::Complete, Self::Failed, Self::Expired, Self::Cancelled];

    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a writer wants to be true from now on.
#[derive(Clone, Debug)]
pub struct Progressed {
    /// Of which upload.
    pub id: UploadId,
    /// Which writer says so; an earlier one is not believed.
    pub epoch: u64,
    /// Bytes that are durable now. Begins where the last one ended.
    pub checkpoint: Checkpoint,
    /// Where the request began that brings them.
    pub appended_from: u64,
    /// Bytes in all, if that has come to be known.
    pub length: Option<u64>,
    /// That was all: length and durable bytes agree, and the upload is to be completed.
    pub seal: bool,
    /// It stays at least so long, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: u64,
}

/// How an upload in pieces ends without becoming a file.
#[derive(Clone, Debug)]
pub enum PiecesEnd {
    /// For this reason.
    Failed(ErrorBody),
    /// Because nobody went on with it until now, in milliseconds since 1970-01-01 UTC. Changes nothing if it may
    /// stay longer.
    Expired {
        /// The present time.
        now_ms: u64,
    },
    /// Because somebody who may has said so.
    Cancelled,
}

/// A finish event that nobody has confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Its own id, the same at every delivery.
    pub event_id: UploadId,
    /// What is delivered, JSON.
    pub event: String,
    /// How often it was tried.
    pub tries: u32,
    /// Not before this time, in milliseconds since 1970-01-01 UTC.
    pub not_before_ms: u64,
}

/// A finish event to be kept until it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishEvent {
    /// Its own id.
    pub event_id: UploadId,
    /// What will be delivered, JSON.
    pub event: String,
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

/// A file that is not complete, or why its row cannot be read.
pub type UnfinishedRow = Result<(UploadId, Unfinished)>;

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The id is in use.
    #[error("an upload {0} exists already")]
    Exists(UploadId),
    /// The upload is not being received: it is complete already, or was discarded.
    #[error("there is no upload {0} that could be completed")]
    NotReceiving(UploadId),
    /// Its owner, or its peer, has as many unfinished uploads as one may have.
    #[error("there are {max} unfinished uploads already")]
    TooManyUnfinished {
        /// As many as that.
        max: u32,
        /// It is the peer that has them.
        of_peer: bool,
    },
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
            CatalogError::TooManyUnfinished { max, of_peer } => {
                let whose = if *of_peer { " from your network" } else { "" };
                let message = format!(
                    "{max} uploads{whose} are unfinished already. Go on with one or cancel it, or wait until some \
                     expire."
                );
                return Self::new(ErrorCode::TooManyUploads, message).with_detail(max).retry_after(60);
            }
            CatalogError::Closed => (ErrorCode::ShuttingDown, "The server is shutting down."),
            CatalogError::Database(error) if is_full(error) => {
                (ErrorCode::OutOfSpace, "The server has no space left.")
            }
            CatalogError::Database(_) => (ErrorCode::StorageFailed, "The server's catalog failed."),
            _ => (ErrorCode::Internal, "The server's catalog is at odds with itself."),
        };
        Refusal::new(code, message).caused_by(error)
    }
}

/// Whether the database has no room left on its volume (SQLITE_FULL).
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "13")
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

    /// Makes all of these files complete, the outcome known and the events due, or changes nothing.
    ///
    /// # Errors
    /// [`CatalogError::NotReceiving`] when one of them is complete already, was discarded, or is not whole.
    pub async fn complete(
        &self,
        done: Vec<Completion>,
        outcome: Option<Outcome>,
        events: Vec<FinishEvent>,
    ) -> Result<()> {
        self.books.complete(done, outcome, events).await
    }

    /// Enters an upload that is about to be received in pieces.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] when the id is in use, [`CatalogError::TooManyUnfinished`] when there would be more than
    /// [`NewPieces::max_unfinished`].
    pub async fn begin_pieces(&self, new: NewPieces) -> Result<()> {
        self.books.begin_pieces(new).await
    }

    /// How this upload in pieces stands, also after its end.
    pub async fn pieces(&self, id: &UploadId) -> Result<Option<Pieces>> {
        self.books.pieces(id).await
    }

    /// Makes the caller the one writer of an open upload: its [`Pieces::epoch`] is greater than every one before.
    /// `None`: it is not open.
    pub async fn take_up(&self, id: &UploadId) -> Result<Option<Pieces>> {
        self.books.take_up(id).await
    }

    /// Makes what a writer says true. `false`: it is not the writer any more, or the upload not open; nothing has
    /// changed.
    pub async fn checkpoint(&self, progressed: Progressed) -> Result<bool> {
        self.books.checkpoint(progressed).await
    }

    /// Ends an upload in pieces that is not to become a file; one that is sealed can only fail. Its bytes are the
    /// caller's to remove. `false`: it had ended before, or is not that far; nothing has changed.
    pub async fn end_pieces(&self, id: &UploadId, end: PiecesEnd, outcome: Option<Outcome>) -> Result<bool> {
        self.books.end_pieces(id.clone(), end, outcome).await
    }

    /// Uploads in pieces that are open or sealed, at most `limit`, oldest first, each with its number; beginning after
    /// this number. One whose row cannot be read is told as that.
    pub async fn pieces_under_way(&self, after: u64, limit: u32) -> Result<Vec<(u64, Result<Pieces>)>> {
        self.books.pieces_under_way(after, limit).await
    }

    /// Whether there is an upload in pieces of this id that is open or sealed, whatever else its row says.
    pub async fn is_under_way(&self, id: &UploadId) -> Result<bool> {
        self.books.is_under_way(id).await
    }

    /// Open uploads in pieces whose time was over at this moment, in milliseconds since 1970-01-01 UTC: at most `limit`
    /// of them with the end of their time, in the order of that; beginning after this one. Their ids as they stand in
    /// the database: of one that makes no sense nothing but that can be said.
    pub async fn pieces_expired(
        &self,
        now_ms: u64,
        after: Option<&(u64, String)>,
        limit: u32,
    ) -> Result<Vec<(u64, String)>> {
        self.books.pieces_expired(now_ms, after, limit).await
    }

    /// How far the upload in pieces with this progress id is, if the viewer may know and it has not ended.
    pub async fn standing(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<Option<ProgressFrame>> {
        self.books.standing(id, viewer).await
    }

    /// The upload of which [`standing`](Self::standing) tells.
    pub async fn named(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<Option<Pieces>> {
        self.books.named(id, viewer).await
    }

    /// The open upload in pieces that this owner has begun, for nobody else, under this progress id, if nothing of it
    /// has arrived yet.
    pub async fn begun_by(&self, id: &ProgressId, owner: &OwnerId) -> Result<Option<Pieces>> {
        self.books.begun_by(id, owner).await
    }

    /// The upload that was made of these parts in this order, with these words: of this owner; or, without one, of those
    /// that are open to all. `None` when there is none that is complete or about to be.
    pub async fn joined(
        &self,
        parts: &[UploadId],
        metadata: Option<&str>,
        owner: Option<&OwnerId>,
    ) -> Result<Option<UploadId>> {
        self.books.joined(parts, metadata, owner).await
    }

    /// Has an open upload in pieces, of which nothing has come, watched by another id than its own. `false`: it is not
    /// such a one, or has another already.
    pub async fn name_progress(&self, id: &UploadId, progress_id: &ProgressId) -> Result<bool> {
        self.books.name_progress(id.clone(), progress_id.clone()).await
    }

    /// What the client says of an upload, whatever its state.
    pub async fn words(&self, id: &UploadId) -> Result<Option<Words>> {
        self.books.words(id).await
    }

    /// Events that are due at this time, in milliseconds since 1970-01-01 UTC, at most `limit`, oldest first.
    pub async fn undelivered(&self, now_ms: u64, limit: u32) -> Result<Vec<Undelivered>> {
        self.books.undelivered(now_ms, limit).await
    }

    /// When the next event is due, in milliseconds since 1970-01-01 UTC.
    pub async fn next_delivery(&self) -> Result<Option<u64>> {
        self.books.next_delivery().await
    }

    /// An event was delivered: it is due no more.
    pub async fn delivered(&self, event_id: &UploadId) -> Result<()> {
        self.books.delivered(event_id.clone()).await
    }

    /// An event could not be delivered: it is due again at this time, in milliseconds since 1970-01-01 UTC.
    pub async fn deliver_later(&self, event_id: &UploadId, not_before_ms: u64) -> Result<()> {
        self.books.deliver_later(event_id.clone(), not_before_ms).await
    }

    /// Forgets these files, as far as they are being received in one go, and keeps the outcome. Others stay as they
    /// are.
    pub async fn discard(&self, ids: Vec<UploadId>, outcome: Option<Outcome>) -> Result<()> {
        self.books.discard(ids, outcome).await
    }

    /// How the upload with this progress id ended, if the viewer may know.
    pub async fn outcome(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<Option<ProgressFrame>> {
        self.books.outcome(id, viewer).await
    }

    /// How the last try with this progress id in just this scope ended. By its fingerprint it is known again only if it
    /// ended since then, in milliseconds since 1970-01-01 UTC.
    pub async fn ended(
        &self,
        id: &ProgressId,
        scope: &Scope,
        known_since_ms: u64,
    ) -> Result<Option<Outcome>> {
        self.books.ended(id, scope, known_since_ms).await
    }

    /// The file, if it is complete.
    pub async fn find(&self, id: &UploadId) -> Result<Option<Stored>> {
        self.books.find(id).await
    }

    /// The owner's complete files, at most `limit`, newest first.
    pub async fn list(&self, owner: &OwnerId, limit: u32) -> Result<Vec<Receipt>> {
        self.books.list(owner, limit).await
    }

    /// Bytes of the owner's complete files, and of those under way in pieces: all that they will have, where that is
    /// known.
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

    /// Files that are not complete and do not come in pieces, at most `limit`, oldest first, each with its number;
    /// beginning after this number: after a start, what a crash left behind. One whose row cannot be read is told as
    /// that.
    pub async fn unfinished(&self, after: u64, limit: u32) -> Result<Vec<(u64, UnfinishedRow)>> {
        self.books.unfinished(after, limit).await
    }

    /// Forgets how uploads ended that ended before this time, in milliseconds since 1970-01-01 UTC, and that there
    /// were those in pieces that were never complete.
    pub async fn forget_outcomes_before(&self, ms: u64) -> Result<()> {
        self.books.forget_outcomes_before(ms).await
    }

    /// Carries out what was asked for and closes the files. Every clone is closed then, and answers
    /// [`CatalogError::Closed`].
    pub async fn close(self) {
        self.books.close().await;
    }
}
