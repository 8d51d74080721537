//! The catalog in SQLite: one writer task that shares commits among callers, and readers with connections of their
//! own. Write-ahead log with `synchronous = FULL`: a commit is on disk before anyone hears of it (promises 2 and 11).
//! Must never know what a caller is up to. The statements keep to SQL that other databases speak as well.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    Row, SqlSafeStr, SqliteConnection, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteQueryResult, SqliteRow,
        SqliteSynchronous,
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Admitted, CatalogError, Completion, FinishEvent, MaxUnfinished, NewPieces, NewUpload, Outcome, Pieces,
    PiecesEnd, PiecesState, Progressed, Result, Stored, Terms, Undelivered, Unfinished, UnfinishedRow, Words,
};
use crate::{
    server::{
        owner::{OwnerId, Scope},
        steps,
        store::Checkpoint,
    },
    wire::{ErrorBody, ProgressFrame, ProgressId, ProgressState, Receipt, UploadId},
};

/// Every step from an empty database to this version, in order. A step that was ever released never changes.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "books", include_str!("migrations/0001_books.sql")),
    (2, "pieces", include_str!("migrations/0002_pieces.sql")),
    (3, "words", include_str!("migrations/0003_words.sql")),
    (4, "peers", include_str!("migrations/0004_peers.sql")),
    (5, "admitted", include_str!("migrations/0005_admitted.sql")),
    (6, "again", include_str!("migrations/0006_again.sql")),
];

/// Most operations in one commit: enough to share one flush of the disk among many, few enough that none waits long.
const BATCH: usize = 128;

/// Operations that may wait for the writer; after that, callers wait to be let in.
const QUEUE: usize = 1024;

const READERS: u32 = 4;

/// How long to wait for another process that looks into the file, such as a backup.
const BUSY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Sqlite {
    /// `None` once closed.
    writer: Mutex<Option<mpsc::Sender<Asked>>>,
    /// Ends when every sender is gone and all that was asked for is done.
    writing: Mutex<Option<JoinHandle<()>>>,
    reads: SqlitePool,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let writes = pool(1).connect_with(options.clone()).await?;
        migrator().run(&writes).await?;
        // Not opened read-only: whichever connection closes last has to fold the log in.
        let reads = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self::start(writes, reads))
    }

    pub(super) async fn open_in_memory() -> Result<Self> {
        // Each connection to `:memory:` is a database of its own, so there is one for all, and it never rests.
        let writes =
            pool(1).connect_with(SqliteConnectOptions::new().in_memory(true).foreign_keys(true)).await?;
        migrator().run(&writes).await?;
        Ok(Self::start(writes.clone(), writes))
    }

    fn start(writes: SqlitePool, reads: SqlitePool) -> Self {
        let (writer, asked) = mpsc::channel(QUEUE);
        let writing = tokio::spawn(write(writes, asked));
        Self { writer: Mutex::new(Some(writer)), writing: Mutex::new(Some(writing)), reads }
    }

    pub(super) async fn begin(&self, new: NewUpload) -> Result<()> {
        self.ask(Operation::Begin { new }).await.map(drop)
    }

    pub(super) async fn complete(
        &self,
        done: Vec<Completion>,
        outcome: Option<Outcome>,
        events: Vec<FinishEvent>,
    ) -> Result<()> {
        self.ask(Operation::Complete { done, outcome, events }).await.map(drop)
    }

    pub(super) async fn begin_pieces(&self, new: NewPieces) -> Result<()> {
        self.ask(Operation::BeginPieces { new: Box::new(new) }).await.map(drop)
    }

    pub(super) async fn take_up(&self, id: &UploadId) -> Result<Option<Pieces>> {
        match self.ask(Operation::TakeUp { id: id.clone() }).await? {
            0 => Ok(None),
            _ => self.pieces(id).await,
        }
    }

    pub(super) async fn checkpoint(&self, progressed: Progressed) -> Result<bool> {
        self.ask(Operation::Checkpoint { progressed }).await.map(|rows| rows > 0)
    }

    pub(super) async fn end_pieces(
        &self,
        id: UploadId,
        end: PiecesEnd,
        outcome: Option<Outcome>,
    ) -> Result<bool> {
        self.ask(Operation::EndPieces { id, end, outcome }).await.map(|rows| rows > 0)
    }

    pub(super) async fn delivered(&self, event_id: UploadId) -> Result<()> {
        self.ask(Operation::Delivered { event_id }).await.map(drop)
    }

    pub(super) async fn deliver_later(&self, event_id: UploadId, not_before_ms: u64) -> Result<()> {
        self.ask(Operation::DeliverLater { event_id, not_before_ms }).await.map(drop)
    }

    pub(super) async fn pieces(&self, id: &UploadId) -> Result<Option<Pieces>> {
        let row = sqlx::query("SELECT * FROM resumables WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.reads)
            .await?;
        row.as_ref().map(pieces).transpose()
    }

    pub(super) async fn pieces_under_way(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Result<Pieces>)>> {
        let rows = sqlx::query(
            "SELECT uploads.number, resumables.* FROM uploads JOIN resumables ON resumables.id = uploads.id
             WHERE uploads.state <> 'complete' AND uploads.state = 'receiving' AND uploads.number > $1
                AND resumables.state IN ('open', 'sealed')
             ORDER BY uploads.number LIMIT $2",
        )
        .bind(signed(after)?)
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        rows.iter().map(|row| Ok((unsigned(row, "number")?, pieces(row)))).collect()
    }

    pub(super) async fn is_under_way(&self, id: &UploadId) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM resumables WHERE id = $1 AND state IN ('open', 'sealed')")
            .bind(id.as_str())
            .fetch_optional(&self.reads)
            .await?;
        Ok(row.is_some())
    }

    pub(super) async fn pieces_expired(
        &self,
        now_ms: u64,
        after: Option<&(u64, String)>,
        limit: u32,
    ) -> Result<Vec<(u64, String)>> {
        let (after_ms, after_id) = after.map_or((0, ""), |(ms, id)| (*ms, id.as_str()));
        let rows = sqlx::query(
            "SELECT id, expires_ms FROM resumables
             WHERE state = 'open' AND expires_ms <= $1 AND expires_ms >= $2 AND (expires_ms > $2 OR id > $3)
             ORDER BY expires_ms, id LIMIT $4",
        )
        .bind(signed(now_ms)?)
        .bind(signed(after_ms)?)
        .bind(after_id)
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        rows.iter().map(|row| Ok((unsigned(row, "expires_ms")?, row.try_get("id")?))).collect()
    }

    pub(super) async fn standing(
        &self,
        id: &ProgressId,
        viewer: Option<&OwnerId>,
    ) -> Result<Option<ProgressFrame>> {
        let Some(row) = self.row_named(id, viewer).await? else {
            return Ok(None);
        };
        let sealed = matches!(row.try_get("state")?, "sealed");
        let (durable, length) = (unsigned(&row, "durable")?, unsigned_or_none(&row, "length")?);
        Ok(Some(ProgressFrame {
            attempt: 1,
            // As the memory counts: microseconds, and this moment is after all that was counted before it.
            seq: (unsigned(&row, "touched_ms")? + 1) * 1000,
            state: if sealed { ProgressState::Processing } else { ProgressState::Receiving },
            received: durable,
            size: length,
            body_received: durable,
            body_size: length,
            ..ProgressFrame::unknown(id.clone())
        }))
    }

    pub(super) async fn named(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<Option<Pieces>> {
        self.row_named(id, viewer).await?.as_ref().map(pieces).transpose()
    }

    /// One's own comes before what anyone may see.
    async fn row_named(&self, id: &ProgressId, viewer: Option<&OwnerId>) -> Result<Option<SqliteRow>> {
        let row = sqlx::query(
            "SELECT * FROM resumables
             WHERE progress_id = $1 AND state IN ('open', 'sealed') AND (open_to_all = 1 OR owner = $2)
             ORDER BY open_to_all LIMIT 1",
        );
        let row = row.bind(id.as_str()).bind(viewer.map_or(ANYONE, OwnerId::as_str));
        Ok(row.fetch_optional(&self.reads).await?)
    }

    pub(super) async fn begun_by(&self, id: &ProgressId, owner: &OwnerId) -> Result<Option<Pieces>> {
        let row = sqlx::query(
            "SELECT * FROM resumables
             WHERE progress_id = $1 AND state IN ('open', 'sealed') AND owner = $2
             AND open_to_all = 0 AND state = 'open' AND durable = 0",
        )
        .bind(id.as_str())
        .bind(owner.as_str())
        .fetch_optional(&self.reads)
        .await?;
        row.as_ref().map(pieces).transpose()
    }

    pub(super) async fn joined(
        &self,
        parts: &[UploadId],
        metadata: Option<&str>,
        owner: Option<&OwnerId>,
    ) -> Result<Option<UploadId>> {
        let row = sqlx::query(
            "SELECT id FROM resumables
             WHERE joined_of = $1 AND metadata IS $2 AND state IN ('sealed', 'complete')
                AND (owner = $3 AND open_to_all = 0 OR $3 = '' AND open_to_all = 1) LIMIT 1",
        )
        .bind(in_order(parts))
        .bind(metadata)
        .bind(owner.map_or(ANYONE, OwnerId::as_str))
        .fetch_optional(&self.reads)
        .await?;
        row.as_ref().map(upload_id).transpose()
    }

    pub(super) async fn name_progress(&self, id: UploadId, progress_id: ProgressId) -> Result<bool> {
        self.ask(Operation::NameProgress { id, progress_id }).await.map(|rows| rows > 0)
    }

    pub(super) async fn words(&self, id: &UploadId) -> Result<Option<Words>> {
        let row = sqlx::query("SELECT name, media_type, path, fields FROM uploads WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.reads)
            .await?;
        row.as_ref().map(words).transpose()
    }

    pub(super) async fn undelivered(&self, now_ms: u64, limit: u32) -> Result<Vec<Undelivered>> {
        let rows = sqlx::query(
            "SELECT event_id, event, tries, not_before_ms FROM outbox WHERE not_before_ms <= $1
             ORDER BY not_before_ms, number LIMIT $2",
        )
        .bind(signed(now_ms)?)
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        let events = rows.iter().map(|row| {
            Ok(Undelivered {
                event_id: row.try_get::<&str, _>("event_id")?.parse().map_err(unreadable)?,
                event: row.try_get("event")?,
                tries: u32::try_from(row.try_get::<i64, _>("tries")?).map_err(unreadable)?,
                not_before_ms: unsigned(row, "not_before_ms")?,
            })
        });
        events.collect()
    }

    pub(super) async fn next_delivery(&self) -> Result<Option<u64>> {
        let row = sqlx::query("SELECT MIN(not_before_ms) AS due FROM outbox").fetch_one(&self.reads).await?;
        unsigned_or_none(&row, "due")
    }

    pub(super) async fn discard(&self, ids: Vec<UploadId>, outcome: Option<Outcome>) -> Result<()> {
        if ids.is_empty() && outcome.is_none() {
            return Ok(());
        }
        self.ask(Operation::Discard { ids, outcome }).await.map(drop)
    }

    pub(super) async fn begin_delete(&self, id: UploadId) -> Result<bool> {
        self.ask(Operation::BeginDelete { id }).await.map(|rows| rows > 0)
    }

    pub(super) async fn finish_delete(&self, id: UploadId) -> Result<()> {
        self.ask(Operation::FinishDelete { id }).await.map(drop)
    }

    pub(super) async fn forget_outcomes_before(&self, ms: u64) -> Result<()> {
        self.ask(Operation::ForgetOutcomes { before_ms: ms }).await.map(drop)
    }

    pub(super) async fn outcome(
        &self,
        id: &ProgressId,
        viewer: Option<&OwnerId>,
    ) -> Result<Option<ProgressFrame>> {
        let own = viewer.map_or(ANYONE, OwnerId::as_str);
        // The empty scope sorts first: one's own comes before what anyone may see.
        let row = sqlx::query(
            "SELECT frame FROM outcomes WHERE progress_id = $1 AND scope IN ($2, $3) ORDER BY scope DESC LIMIT 1",
        )
        .bind(id.as_str())
        .bind(own)
        .bind(ANYONE)
        .fetch_optional(&self.reads)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let json: String = row.try_get("frame")?;
        serde_json::from_str(&json).map(Some).map_err(unreadable)
    }

    pub(super) async fn ended(
        &self,
        id: &ProgressId,
        scope: &Scope,
        known_since_ms: u64,
    ) -> Result<Option<Outcome>> {
        let statement = sqlx::query(
            "SELECT frame, CASE WHEN ended_ms >= $3 THEN fingerprint END AS fingerprint FROM outcomes
             WHERE scope = $1 AND progress_id = $2",
        );
        let statement = statement.bind(spelled(scope)).bind(id.as_str()).bind(signed(known_since_ms)?);
        let row = statement.fetch_optional(&self.reads).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let json: String = row.try_get("frame")?;
        let fingerprint: Option<Vec<u8>> = row.try_get("fingerprint")?;
        Ok(Some(Outcome {
            scope: scope.clone(),
            frame: serde_json::from_str(&json).map_err(unreadable)?,
            fingerprint: fingerprint.and_then(|bytes| bytes.try_into().ok()),
        }))
    }

    pub(super) async fn find(&self, id: &UploadId) -> Result<Option<Stored>> {
        let row = sqlx::query(
            "SELECT id, owner, name, media_type, path, fields, size, sha256, stored_ms FROM uploads
             WHERE id = $1 AND state = 'complete'",
        )
        .bind(id.as_str())
        .fetch_optional(&self.reads)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let owner: String = row.try_get("owner")?;
        Ok(Some(Stored { receipt: receipt(&row)?, owner: owner.parse().map_err(unreadable)? }))
    }

    pub(super) async fn list(&self, owner: &OwnerId, limit: u32) -> Result<Vec<Receipt>> {
        let rows = sqlx::query(
            "SELECT id, name, media_type, path, fields, size, sha256, stored_ms FROM uploads
             WHERE owner = $1 AND state = 'complete' ORDER BY stored_ms DESC, number DESC LIMIT $2",
        )
        .bind(owner.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        // One that makes no sense hides none of the others.
        let receipts = rows.iter().map(receipt).filter(|receipt| match receipt {
            Err(CatalogError::Unreadable(what)) => {
                tracing::warn!(what, "an upload is left out of its owner's list: its row cannot be read");
                false
            }
            _ => true,
        });
        receipts.collect()
    }

    pub(super) async fn owned_bytes(&self, owner: &OwnerId) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COALESCE((SELECT SUM(size) FROM uploads WHERE owner = $1 AND state = 'complete'), 0)
                  + COALESCE((SELECT SUM(COALESCE(length, durable)) FROM resumables
                               WHERE owner = $2 AND state IN ('open', 'sealed')), 0) AS bytes",
        )
        .bind(owner.as_str())
        .bind(owner.as_str())
        .fetch_one(&self.reads)
        .await?;
        unsigned(&row, "bytes")
    }

    pub(super) async fn unfinished(&self, after: u64, limit: u32) -> Result<Vec<(u64, UnfinishedRow)>> {
        let rows = sqlx::query(
            "SELECT number, id, state FROM uploads
             WHERE number > $1 AND state <> 'complete' AND (state = 'deleting'
                OR NOT EXISTS (SELECT 1 FROM resumables WHERE resumables.id = uploads.id))
             ORDER BY number LIMIT $2",
        )
        .bind(signed(after)?)
        .bind(i64::from(limit))
        .fetch_all(&self.reads)
        .await?;
        let unfinished = |row| {
            let state = match SqliteRow::try_get(row, "state")? {
                "receiving" => Unfinished::Receiving,
                "deleting" => Unfinished::Deleting,
                other => return Err(unreadable(format!("state {other:?}"))),
            };
            Ok((upload_id(row)?, state))
        };
        rows.iter().map(|row| Ok((unsigned(row, "number")?, unfinished(row)))).collect()
    }

    pub(super) async fn close(&self) {
        drop(self.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writing) = writing
            && let Err(error) = writing.await
        {
            tracing::error!(%error, "the catalog's writer failed");
        }
        self.reads.close().await;
    }

    /// Hands an operation to the writer and waits for its commit. Number of rows that it changed.
    async fn ask(&self, operation: Operation) -> Result<u64> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (reply, answer) = oneshot::channel();
        let asked = Asked { operation, reply };
        writer.ok_or(CatalogError::Closed)?.send(asked).await.map_err(|_| CatalogError::Closed)?;
        answer.await.map_err(|_| CatalogError::Closed)?
    }
}

struct Asked {
    operation: Operation,
    /// The caller may be gone: the operation is carried out all the same.
    reply: oneshot::Sender<Result<u64>>,
}

enum Operation {
    Begin { new: NewUpload },
    BeginPieces { new: Box<NewPieces> },
    TakeUp { id: UploadId },
    NameProgress { id: UploadId, progress_id: ProgressId },
    Checkpoint { progressed: Progressed },
    EndPieces { id: UploadId, end: PiecesEnd, outcome: Option<Outcome> },
    Complete { done: Vec<Completion>, outcome: Option<Outcome>, events: Vec<FinishEvent> },
    Discard { ids: Vec<UploadId>, outcome: Option<Outcome> },
    BeginDelete { id: UploadId },
    FinishDelete { id: UploadId },
    ForgetOutcomes { before_ms: u64 },
    Delivered { event_id: UploadId },
    DeliverLater { event_id: UploadId, not_before_ms: u64 },
}

impl Operation {
    fn step(&self) -> Step {
        match self {
            Self::Begin { .. } | Self::BeginPieces { .. } => Step(None, Some(steps::BEGUN)),
            Self::TakeUp { .. } => Step(None, Some(steps::TAKEN_UP)),
            Self::Checkpoint { progressed } if progressed.seal => {
                Step(Some(steps::CHECKPOINT), Some(steps::SEALED))
            }
            Self::Checkpoint { .. } => Step(Some(steps::CHECKPOINT), Some(steps::CHECKPOINTED)),
            Self::Complete { .. } => Step(Some(steps::COMPLETE), Some(steps::COMPLETED)),
            _ => Step(None, None),
        }
    }
}

/// What is reached before a commit and after it.
struct Step(Option<&'static str>, Option<&'static str>);

impl Step {
    fn before(self) {
        self.0.into_iter().for_each(steps::pass);
    }

    fn after(self) {
        self.1.into_iter().for_each(steps::pass);
    }
}

/// The writer: takes what has come in while the last commit was under way, and commits it together.
async fn write(pool: SqlitePool, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        batch.iter().for_each(|asked| asked.operation.step().before());
        let results = match commit(&pool, &batch).await {
            Ok(done) => done.into_iter().map(Done::answer).collect(),
            // One that cannot be carried out must not sink the others.
            Err(Failure::Operation(_)) if batch.len() > 1 => each_alone(&pool, &batch).await,
            Err(Failure::Operation(error)) => vec![Err(error)],
            // The disk has failed all of them; trying again what could not be flushed would only hide that.
            Err(Failure::Commit(error)) => batch.iter().map(|_| Err(Arc::clone(&error).into())).collect(),
        };
        for (Asked { reply, operation }, result) in batch.drain(..).zip(results) {
            operation.step().after();
            let _ = reply.send(result);
        }
    }
    pool.close().await;
}

async fn each_alone(pool: &SqlitePool, batch: &[Asked]) -> Vec<Result<u64>> {
    let mut results = Vec::with_capacity(batch.len());
    for asked in batch {
        results.push(match commit(pool, std::slice::from_ref(asked)).await {
            Ok(done) => done.into_iter().map(Done::answer).sum(),
            Err(Failure::Operation(error)) => Err(error),
            Err(Failure::Commit(error)) => Err(error.into()),
        });
    }
    results
}

enum Failure {
    /// One of the operations cannot be carried out.
    Operation(CatalogError),
    /// The transaction could not begin or end.
    Commit(Arc<sqlx::Error>),
}

/// What an operation has come to. That it was refused by a bound is no failure: the others of its commit stand.
enum Done {
    /// So many rows were changed.
    Changed(u64),
    /// Nothing was: see [`CatalogError::TooManyUnfinished`].
    Refused { max: u32, of_peer: bool },
}

impl Done {
    fn answer(self) -> Result<u64> {
        match self {
            Self::Changed(rows) => Ok(rows),
            Self::Refused { max, of_peer } => Err(CatalogError::TooManyUnfinished { max, of_peer }),
        }
    }
}

/// All of these in one transaction, or none. What has come of each.
async fn commit(pool: &SqlitePool, batch: &[Asked]) -> std::result::Result<Vec<Done>, Failure> {
    let mut books = pool.acquire().await.map_err(|error| Failure::Commit(Arc::new(error)))?;
    let committed = transact(&mut books, batch).await;
    if committed.is_err() {
        // SQLite has rolled back by itself if the volume was full or failed, and calls this an error. A transaction of
        // sqlx believes that error, counts itself as open and so stands in the way of every later one.
        if let Err(error) = sqlx::query("ROLLBACK").execute(&mut *books).await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }
    committed
}

async fn transact(books: &mut SqliteConnection, batch: &[Asked]) -> std::result::Result<Vec<Done>, Failure> {
    let failed = |error| Failure::Commit(Arc::new(error));
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *books).await.map_err(failed)?;
    let mut all = Vec::with_capacity(batch.len());
    for Asked { operation, .. } in batch {
        all.push(carry_out(books, operation).await.map_err(Failure::Operation)?);
    }
    sqlx::query("COMMIT").execute(books).await.map_err(failed)?;
    Ok(all)
}

async fn carry_out(books: &mut SqliteConnection, operation: &Operation) -> Result<Done> {
    let rows = match operation {
        Operation::BeginPieces { new } => return begin_pieces(books, new).await,
        Operation::Begin { new } => begin(books, new).await,
        Operation::TakeUp { id } => {
            let statement =
                sqlx::query("UPDATE resumables SET epoch = epoch + 1 WHERE id = $1 AND state = 'open'");
            Ok(statement.bind(id.as_str()).execute(books).await?.rows_affected())
        }
        Operation::NameProgress { id, progress_id } => {
            let statement = sqlx::query(
                "UPDATE resumables SET progress_id = $1
                 WHERE id = $2 AND progress_id = $2 AND state = 'open' AND durable = 0",
            );
            let statement = statement.bind(progress_id.as_str()).bind(id.as_str());
            Ok(statement.execute(books).await?.rows_affected())
        }
        Operation::Checkpoint { progressed } => checkpoint(books, progressed).await,
        Operation::EndPieces { id, end, outcome } => {
            let rows = end_pieces(books, id, end).await?;
            if rows > 0 {
                keep(books, outcome.as_ref()).await?;
            }
            Ok(rows)
        }
        Operation::Delivered { event_id } => {
            let statement = sqlx::query("DELETE FROM outbox WHERE event_id = $1");
            Ok(statement.bind(event_id.as_str()).execute(books).await?.rows_affected())
        }
        Operation::DeliverLater { event_id, not_before_ms } => {
            let statement =
                sqlx::query("UPDATE outbox SET tries = tries + 1, not_before_ms = $1 WHERE event_id = $2");
            let statement = statement.bind(signed(*not_before_ms)?).bind(event_id.as_str());
            Ok(statement.execute(books).await?.rows_affected())
        }
        Operation::Complete { done, outcome, events } => {
            for completion in done {
                complete(books, completion).await?;
            }
            keep(books, outcome.as_ref()).await?;
            for FinishEvent { event_id, event } in events {
                let statement = sqlx::query(
                    "INSERT INTO outbox (event_id, event, tries, not_before_ms) VALUES ($1, $2, 0, 0)",
                );
                statement.bind(event_id.as_str()).bind(event).execute(&mut *books).await?;
            }
            Ok(done.len() as u64)
        }
        Operation::Discard { ids, outcome } => {
            let mut rows = 0;
            for id in ids {
                let statement = sqlx::query(
                    "DELETE FROM uploads WHERE id = $1 AND state = 'receiving'
                        AND NOT EXISTS (SELECT 1 FROM resumables WHERE resumables.id = uploads.id)",
                );
                rows += statement.bind(id.as_str()).execute(&mut *books).await?.rows_affected();
            }
            keep(books, outcome.as_ref()).await?;
            Ok(rows)
        }
        Operation::BeginDelete { id } => {
            let statement =
                sqlx::query("UPDATE uploads SET state = 'deleting' WHERE id = $1 AND state = 'complete'");
            Ok(statement.bind(id.as_str()).execute(books).await?.rows_affected())
        }
        Operation::FinishDelete { id } => {
            let statement = sqlx::query("DELETE FROM uploads WHERE id = $1 AND state = 'deleting'");
            let rows = statement.bind(id.as_str()).execute(&mut *books).await?.rows_affected();
            if rows > 0 {
                let statement = sqlx::query(
                    "UPDATE resumables SET state = 'cancelled', touched_ms = $1
                     WHERE id = $2 AND state = 'complete'",
                );
                statement.bind(signed(now_ms())?).bind(id.as_str()).execute(books).await?;
            }
            Ok(rows)
        }
        Operation::ForgetOutcomes { before_ms } => {
            let statement = sqlx::query(
                "DELETE FROM resumables WHERE state IN ('failed', 'expired', 'cancelled') AND touched_ms < $1",
            );
            let pieces = statement.bind(signed(*before_ms)?).execute(&mut *books).await?.rows_affected();
            let statement = sqlx::query("DELETE FROM outcomes WHERE ended_ms < $1");
            Ok(pieces + statement.bind(signed(*before_ms)?).execute(books).await?.rows_affected())
        }
    };
    rows.map(Done::Changed)
}

async fn begin(books: &mut SqliteConnection, new: &NewUpload) -> Result<u64> {
    let statement = sqlx::query(
        "INSERT INTO uploads (id, owner, state, name, media_type, field, created_ms, path, fields)
         VALUES ($1, $2, 'receiving', $3, $4, $5, $6, $7, $8)",
    );
    let Words { name, media_type, path, fields } = &new.words;
    let statement = statement
        .bind(new.id.as_str())
        .bind(new.owner.as_str())
        .bind(name)
        .bind(media_type)
        .bind(&new.field)
        .bind(signed(now_ms())?)
        .bind(path)
        .bind(serde_json::to_string(fields).map_err(unreadable)?);
    inserted(statement.execute(books).await, &new.id)
}

async fn begin_pieces(books: &mut SqliteConnection, new: &NewPieces) -> Result<Done> {
    let NewPieces { terms, words, length, expires_ms, peer, admitted, joined_of, max_unfinished } = new;
    if let Some(max) = max_unfinished
        && let Some((max, of_peer)) = passed(books, terms, peer.as_deref(), *max).await?
    {
        return Ok(Done::Refused { max, of_peer });
    }
    let upload = NewUpload {
        id: terms.id.clone(),
        owner: terms.owner.clone(),
        words: words.clone(),
        field: String::new(),
    };
    begin(books, &upload).await?;
    let statement = sqlx::query(
        "INSERT INTO resumables (id, owner, open_to_all, state, protocol, metadata, concat, is_part, progress_id,
             want_sha256, expected_sha256, length, durable, checked_from, crc32c, appended_from, epoch, touched_ms,
             expires_ms, peer, max_length, max_request, joined_of)
         VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 0, 0, 0, $12, $13, $14, $15, $16, $17)",
    );
    let statement = statement
        .bind(terms.id.as_str())
        .bind(terms.owner.as_str())
        .bind(i64::from(terms.open_to_all))
        .bind(terms.protocol.as_str())
        .bind(&terms.metadata)
        .bind(&terms.concat)
        .bind(i64::from(terms.is_part))
        .bind(terms.progress_id.as_str())
        .bind(i64::from(terms.want_sha256))
        .bind(&terms.expected_sha256)
        .bind(length.map(signed).transpose()?)
        .bind(signed(now_ms())?)
        .bind(signed(*expires_ms)?)
        .bind(peer)
        .bind(bound(admitted.max_length))
        .bind(bound(admitted.max_request))
        .bind(Some(in_order(joined_of)).filter(|parts| !parts.is_empty()));
    inserted(statement.execute(books).await, &terms.id).map(Done::Changed)
}

/// The bound, with whether it is that of a peer, that one more upload would pass.
async fn passed(
    books: &mut SqliteConnection,
    terms: &Terms,
    peer: Option<&str>,
    max: MaxUnfinished,
) -> Result<Option<(u32, bool)>> {
    // Counted up to the bound only, along an index.
    if !terms.open_to_all {
        let of_owner = sqlx::query(
            "SELECT COUNT(*) AS many FROM (SELECT 1 FROM resumables
              WHERE state IN ('open', 'sealed') AND owner = $1 LIMIT $2)",
        );
        let of_owner = of_owner.bind(terms.owner.as_str()).bind(i64::from(max.of_owner));
        if unsigned(&of_owner.fetch_one(&mut *books).await?, "many")? >= u64::from(max.of_owner) {
            return Ok(Some((max.of_owner, false)));
        }
    }
    // Where it is not told where requests come from, only those that nobody owns are one peer's.
    if peer.is_none() && !terms.open_to_all {
        return Ok(None);
    }
    let of_peer = sqlx::query(
        "SELECT COUNT(*) AS many FROM (SELECT 1 FROM resumables
          WHERE state IN ('open', 'sealed') AND peer IS $1 LIMIT $2)",
    );
    let of_peer = of_peer.bind(peer).bind(i64::from(max.of_peer)).fetch_one(books).await?;
    Ok((unsigned(&of_peer, "many")? >= u64::from(max.of_peer)).then_some((max.of_peer, true)))
}

fn inserted(done: sqlx::Result<SqliteQueryResult>, id: &UploadId) -> Result<u64> {
    match done {
        Ok(done) => Ok(done.rows_affected()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(CatalogError::Exists(id.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn checkpoint(books: &mut SqliteConnection, progressed: &Progressed) -> Result<u64> {
    let Checkpoint { range, crc32c } = &progressed.checkpoint;
    let brings_bytes = !range.is_empty();
    // Without new bytes the last checkpoint that brought some is still the one to look at after a crash.
    let statement = sqlx::query(
        "UPDATE resumables SET durable = $1,
             checked_from = CASE WHEN $2 THEN $3 ELSE checked_from END,
             crc32c = CASE WHEN $2 THEN $4 ELSE crc32c END,
             appended_from = CASE WHEN $2 THEN $5 ELSE appended_from END,
             length = COALESCE($6, length), state = CASE WHEN $7 THEN 'sealed' ELSE state END,
             touched_ms = $8, expires_ms = CASE WHEN $9 > expires_ms THEN $9 ELSE expires_ms END
         WHERE id = $10 AND epoch = $11 AND state = 'open' AND durable = $12",
    );
    let statement = statement
        .bind(signed(range.end)?)
        .bind(brings_bytes)
        .bind(signed(range.start)?)
        .bind(i64::from(*crc32c))
        .bind(signed(progressed.appended_from)?)
        .bind(progressed.length.map(signed).transpose()?)
        .bind(progressed.seal)
        .bind(signed(now_ms())?)
        .bind(signed(progressed.expires_ms)?)
        .bind(progressed.id.as_str())
        .bind(signed(progressed.epoch)?)
        .bind(signed(range.start)?);
    Ok(statement.execute(books).await?.rows_affected())
}

async fn end_pieces(books: &mut SqliteConnection, id: &UploadId, end: &PiecesEnd) -> Result<u64> {
    // A sealed upload is on its way to being a file, and that can only fail.
    let (state, error, expired_by) = match end {
        PiecesEnd::Failed(error) => (PiecesState::Failed, Some(error), u64::MAX >> 1),
        PiecesEnd::Expired { now_ms } => (PiecesState::Expired, None, *now_ms),
        PiecesEnd::Cancelled => (PiecesState::Cancelled, None, u64::MAX >> 1),
    };
    let error = error.map(serde_json::to_string).transpose().map_err(unreadable)?;
    let statement = sqlx::query(
        "UPDATE resumables SET state = $1, error = $2, touched_ms = $3
         WHERE id = $4 AND (state = 'open' OR (state = 'sealed' AND $5)) AND expires_ms <= $6",
    );
    let statement = statement
        .bind(state.as_str())
        .bind(error)
        .bind(signed(now_ms())?)
        .bind(id.as_str())
        .bind(state == PiecesState::Failed)
        .bind(signed(expired_by)?);
    let rows = statement.execute(&mut *books).await?.rows_affected();
    if rows > 0 {
        let statement = sqlx::query("DELETE FROM uploads WHERE id = $1 AND state = 'receiving'");
        statement.bind(id.as_str()).execute(books).await?;
    }
    Ok(rows)
}

async fn complete(books: &mut SqliteConnection, done: &Completion) -> Result<()> {
    let statement = sqlx::query(
        "UPDATE uploads SET state = 'complete', size = $1, sha256 = $2, stored_ms = $3,
             fields = COALESCE($5, fields)
         WHERE id = $4 AND state = 'receiving'",
    );
    let fields = done.fields.as_ref().map(serde_json::to_string).transpose().map_err(unreadable)?;
    let statement = statement
        .bind(signed(done.size)?)
        .bind(&done.sha256)
        .bind(signed(done.stored_ms)?)
        .bind(done.id.as_str())
        .bind(fields);
    let not_receiving = || CatalogError::NotReceiving(done.id.clone());
    match statement.execute(&mut *books).await {
        Ok(changed) if changed.rows_affected() == 1 => {}
        Ok(_) => return Err(not_receiving()),
        // A trigger's word: it comes in pieces and is not whole.
        Err(sqlx::Error::Database(error)) if error.message().contains("not whole") => {
            return Err(not_receiving());
        }
        Err(error) => return Err(error.into()),
    }
    let statement = sqlx::query(
        "UPDATE resumables SET state = 'complete', touched_ms = $1 WHERE id = $2 AND state = 'sealed'",
    );
    statement.bind(signed(now_ms())?).bind(done.id.as_str()).execute(books).await?;
    Ok(())
}

/// Keeps how an upload ended, unless a later end of the same id is kept already.
async fn keep(books: &mut SqliteConnection, outcome: Option<&Outcome>) -> Result<()> {
    let Some(Outcome { scope, frame, fingerprint }) = outcome else {
        return Ok(());
    };
    let json = serde_json::to_string(frame).map_err(unreadable)?;
    let statement = sqlx::query(
        "INSERT INTO outcomes (scope, progress_id, seq, frame, ended_ms, fingerprint) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (scope, progress_id) DO UPDATE
         SET seq = excluded.seq, frame = excluded.frame, ended_ms = excluded.ended_ms,
             fingerprint = excluded.fingerprint
         WHERE excluded.seq >= outcomes.seq",
    );
    let statement = statement
        .bind(spelled(scope))
        .bind(frame.id.as_str())
        .bind(signed(frame.seq)?)
        .bind(json)
        .bind(signed(now_ms())?)
        .bind(fingerprint.map(|bytes| bytes.to_vec()));
    statement.execute(books).await?;
    Ok(())
}

/// How the scope of outcomes that anyone may see is written: no owner is spelled so.
const ANYONE: &str = "";

fn spelled(scope: &Scope) -> &str {
    match scope {
        Scope::Owner(owner) => owner.as_str(),
        Scope::Anyone => ANYONE,
    }
}

fn migrator() -> Migrator {
    migrator_to(i64::MAX)
}

fn migrator_to(last: i64) -> Migrator {
    let migrations =
        MIGRATIONS.iter().filter(|(version, ..)| *version <= last).map(|&(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
    Migrator::with_migrations(migrations.collect())
}

/// Connections are few and kept: opening one costs more than anything that is asked of it.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn receipt(row: &SqliteRow) -> Result<Receipt> {
    let id = upload_id(row)?;
    let Words { name, media_type, path, fields } = words(row)?;
    Ok(Receipt {
        url: format!("/files/{id}"),
        id,
        name,
        size: unsigned(row, "size")?,
        media_type,
        path,
        fields,
        sha256: row.try_get("sha256")?,
        stored_ms: unsigned(row, "stored_ms")?,
        ..Receipt::default()
    })
}

fn words(row: &SqliteRow) -> Result<Words> {
    Ok(Words {
        name: row.try_get("name")?,
        media_type: row.try_get("media_type")?,
        path: row.try_get("path")?,
        fields: serde_json::from_str(row.try_get("fields")?).map_err(unreadable)?,
    })
}

fn pieces(row: &SqliteRow) -> Result<Pieces> {
    let state: &str = row.try_get("state")?;
    let known = PiecesState::ALL.into_iter().find(|known| known.as_str() == state);
    let flag = |column: &str| -> Result<bool> { Ok(row.try_get::<i64, _>(column)? != 0) };
    let protocol: &str = row.try_get("protocol")?;
    let terms = Terms {
        id: upload_id(row)?,
        owner: row.try_get::<&str, _>("owner")?.parse().map_err(unreadable)?,
        open_to_all: flag("open_to_all")?,
        protocol: protocol.parse().map_err(|()| unreadable(format!("protocol {protocol:?}")))?,
        metadata: row.try_get("metadata")?,
        concat: row.try_get("concat")?,
        is_part: flag("is_part")?,
        progress_id: row.try_get::<&str, _>("progress_id")?.parse().map_err(unreadable)?,
        want_sha256: flag("want_sha256")?,
        expected_sha256: row.try_get("expected_sha256")?,
    };
    let durable = unsigned(row, "durable")?;
    let error: Option<String> = row.try_get("error")?;
    Ok(Pieces {
        terms,
        state: known.ok_or_else(|| unreadable(format!("state {state:?}")))?,
        length: unsigned_or_none(row, "length")?,
        admitted: Admitted {
            max_length: bound_of(row, "max_length")?,
            max_request: bound_of(row, "max_request")?,
        },
        durable,
        checked: Checkpoint {
            range: unsigned(row, "checked_from")?..durable,
            crc32c: u32::try_from(row.try_get::<i64, _>("crc32c")?).map_err(unreadable)?,
        },
        appended_from: unsigned(row, "appended_from")?,
        epoch: unsigned(row, "epoch")?,
        touched_ms: unsigned(row, "touched_ms")?,
        expires_ms: unsigned(row, "expires_ms")?,
        error: error.map(|json| serde_json::from_str::<ErrorBody>(&json)).transpose().map_err(unreadable)?,
    })
}

/// As the catalog writes what has no bound.
const BOUNDLESS: i64 = i64::MAX;

fn bound(bytes: Option<u64>) -> i64 {
    bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(BOUNDLESS)
}

fn bound_of(row: &SqliteRow, column: &str) -> Result<Option<u64>> {
    unsigned(row, column).map(|bytes| Some(bytes).filter(|&bytes| bytes != BOUNDLESS.unsigned_abs()))
}

/// How the catalog writes of what an upload is made.
fn in_order(parts: &[UploadId]) -> String {
    parts.iter().map(UploadId::as_str).collect::<Vec<_>>().join(" ")
}

fn upload_id(row: &SqliteRow) -> Result<UploadId> {
    row.try_get::<&str, _>("id")?.parse().map_err(unreadable)
}

fn unsigned(row: &SqliteRow, column: &str) -> Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(unreadable)
}

fn unsigned_or_none(row: &SqliteRow, column: &str) -> Result<Option<u64>> {
    row.try_get::<Option<i64>, _>(column)?.map(u64::try_from).transpose().map_err(unreadable)
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| CatalogError::TooLarge(number))
}

fn unreadable(what: impl std::fmt::Display) -> CatalogError {
    CatalogError::Unreadable(what.to_string())
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{
        super::{
            Catalog,
            conformance::{self, done, id, new, outcome, owner},
        },
        *,
    };
    use crate::wire::ProgressState;

    #[tokio::test]
    async fn in_a_file_it_does_what_every_catalog_must() {
        let folder = TempDir::new().unwrap();
        let opened = std::sync::atomic::AtomicU32::new(0);
        conformance::run(async || {
            let n = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Catalog::open(&folder.path().join(format!("{n}.sqlite"))).await.unwrap()
        })
        .await;
    }

    #[tokio::test]
    async fn in_memory_it_does_what_every_catalog_must() {
        conformance::run(async || Catalog::open_in_memory().await.unwrap()).await;
    }

    #[tokio::test]
    async fn everything_told_is_there_after_it_was_dropped_and_opened_again() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = Catalog::open(&path).await.unwrap();
        for n in 1..=3 {
            catalog.begin(new(n, 1)).await.unwrap();
        }
        let ended = outcome(Scope::Owner(owner(1)), 7, ProgressState::Done);
        catalog.complete(vec![done(1, 5), done(2, 6)], Some(ended.clone()), Vec::new()).await.unwrap();
        assert!(catalog.begin_delete(&id(2)).await.unwrap());
        let before = catalog.find(&id(1)).await.unwrap();
        drop(catalog);

        let catalog = Catalog::open(&path).await.unwrap();
        assert_eq!(catalog.find(&id(1)).await.unwrap(), before);
        let left = [(id(2), Unfinished::Deleting), (id(3), Unfinished::Receiving)];
        assert_eq!(conformance::unfinished(&catalog).await, left);
        assert_eq!(
            catalog.outcome(&ended.frame.id, Some(&owner(1))).await.unwrap(),
            Some(ended.frame.clone())
        );
        assert_eq!(catalog.outcome(&ended.frame.id, None).await.unwrap(), None);
        catalog.close().await;

        // Closed in order, nothing but the one file is left, as soon as what was only dropped has gone as well.
        let files = || {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
            files.collect::<Vec<_>>()
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while files() != ["catalog.sqlite"] {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", files());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let catalog = Catalog::open(&path).await.unwrap();
        assert_eq!(catalog.find(&id(1)).await.unwrap(), before);
        catalog.close().await;
    }

    #[tokio::test]
    async fn a_commit_is_on_disk_before_anyone_hears_of_it() {
        let folder = TempDir::new().unwrap();
        let books = Sqlite::open(&folder.path().join("catalog.sqlite")).await.unwrap();
        let pragma = async |name| {
            let row =
                sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {name}"))).fetch_one(&books.reads).await;
            row.unwrap()
        };
        assert_eq!(pragma("journal_mode").await.get::<String, _>(0), "wal");
        // 2 is FULL. Connections of both pools are made with the same options.
        assert_eq!(pragma("synchronous").await.get::<i64, _>(0), 2);
        books.close().await;
    }

    /// Promise 11, for statements that nobody has written yet.
    #[tokio::test]
    async fn the_database_itself_keeps_complete_uploads() {
        let catalog = Catalog::open_in_memory().await.unwrap();
        for n in 1..=2 {
            catalog.begin(new(n, 1)).await.unwrap();
        }
        catalog.complete(vec![done(1, 5), done(2, 6)], None, Vec::new()).await.unwrap();
        assert!(catalog.begin_delete(&id(2)).await.unwrap());
        let database = catalog.books.reads.clone();
        for statement in [
            "DELETE FROM uploads",
            "DELETE FROM uploads WHERE state = 'complete'",
            "UPDATE uploads SET size = 1",
            "UPDATE uploads SET sha256 = 'x' WHERE state = 'complete'",
            "UPDATE uploads SET owner = 'x'",
            "UPDATE uploads SET id = 'x' WHERE state = 'complete'",
            "UPDATE uploads SET state = 'receiving', size = NULL, stored_ms = NULL",
            "UPDATE uploads SET state = 'deleting', name = 'x'",
            "UPDATE uploads SET state = 'complete' WHERE state = 'deleting'",
        ] {
            let error = sqlx::query(statement).execute(&database).await.expect_err(statement);
            assert!(error.to_string().contains("a complete upload cannot"), "{statement}: {error}");
        }
        assert_eq!(catalog.find(&id(1)).await.unwrap().unwrap().receipt.size, 5);
        assert_eq!(conformance::unfinished(&catalog).await, [(id(2), Unfinished::Deleting)]);
    }

    /// Promises 2 and 11, for statements that nobody has written yet.
    #[tokio::test]
    async fn the_database_itself_keeps_offsets_and_ends() {
        let catalog = Catalog::open_in_memory().await.unwrap();
        let whole = |n: u8, length| NewPieces {
            terms: Terms {
                id: id(n),
                owner: owner(1),
                open_to_all: true,
                protocol: super::super::Protocol::Rufh,
                metadata: None,
                concat: None,
                is_part: false,
                progress_id: id(n).as_str().parse().unwrap(),
                want_sha256: false,
                expected_sha256: None,
            },
            words: Words::default(),
            length,
            expires_ms: 0,
            peer: None,
            admitted: Admitted::default(),
            joined_of: Vec::new(),
            max_unfinished: None,
        };
        for n in 1..=3 {
            catalog.begin_pieces(whole(n, Some(5))).await.unwrap();
            catalog.take_up(&id(n)).await.unwrap().unwrap();
            let progressed = Progressed {
                id: id(n),
                epoch: 1,
                checkpoint: Checkpoint { range: 0..5, crc32c: 0 },
                appended_from: 0,
                length: None,
                seal: n == 1,
                expires_ms: 0,
            };
            assert!(catalog.checkpoint(progressed).await.unwrap());
        }
        catalog.complete(vec![done(1, 5)], None, Vec::new()).await.unwrap();
        assert!(catalog.end_pieces(&id(3), PiecesEnd::Cancelled, None).await.unwrap());
        let database = catalog.books.reads.clone();
        for statement in [
            "UPDATE resumables SET durable = 4, checked_from = 0, appended_from = 0 WHERE state = 'open'",
            "UPDATE resumables SET epoch = 0 WHERE state = 'open'",
            "UPDATE resumables SET state = 'complete' WHERE state = 'open'",
            "UPDATE resumables SET state = 'open' WHERE state = 'cancelled'",
            "UPDATE resumables SET state = 'failed' WHERE state = 'complete'",
            "UPDATE resumables SET state = 'cancelled' WHERE state = 'complete'",
            "DELETE FROM resumables WHERE state = 'complete'",
            "DELETE FROM resumables WHERE state = 'open'",
            "UPDATE uploads SET state = 'complete', size = 5, stored_ms = 1 WHERE state = 'receiving'",
        ] {
            let error = sqlx::query(statement).execute(&database).await.expect_err(statement);
            assert!(error.to_string().contains("cannot"), "{statement}: {error}");
        }
        assert_eq!(catalog.find(&id(1)).await.unwrap().unwrap().receipt.size, 5);
    }

    /// A catalog of the first version, with what was in it, is brought to this one.
    #[tokio::test]
    async fn an_older_catalog_is_brought_up_to_date() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let old = pool(1).connect_with(options).await.unwrap();
        migrator_to(1).run(&old).await.unwrap();
        let statement =
            "INSERT INTO uploads (id, owner, state, name, media_type, field, size, created_ms, stored_ms)
                         VALUES ($1, $2, 'complete', 'old', 'text/plain', '', 3, 1, 1)";
        let insert =
            sqlx::query(statement).bind(id(1).as_str().to_owned()).bind(owner(1).as_str().to_owned());
        insert.execute(&old).await.unwrap();
        // And one of the fourth, with what was made of parts.
        migrator_to(4).run(&old).await.unwrap();
        for (n, urls) in [(2, "/files/a /files/b"), (3, "http://x/files/a /files/c")] {
            let statement = sqlx::query(
                "INSERT INTO resumables (id, owner, open_to_all, state, protocol, concat, is_part, progress_id,
                     want_sha256, length, durable, checked_from, crc32c, appended_from, epoch, touched_ms, expires_ms)
                 VALUES ($1, $2, 1, 'complete', 'tus', 'final;' || $3, 0, $1, 0, 3, 3, 0, 0, 0, 1, 1, 1)",
            );
            let statement = statement.bind(id(n).to_string()).bind(owner(1).to_string()).bind(urls);
            statement.execute(&old).await.unwrap();
        }
        old.close().await;
        let catalog = Catalog::open(&path).await.unwrap();
        assert_eq!(catalog.find(&id(1)).await.unwrap().unwrap().receipt.name, "old");
        assert!(catalog.pieces_under_way(0, 1).await.unwrap().is_empty());
        let nothing = Admitted { max_length: Some(0), max_request: Some(0) };
        assert_eq!(catalog.pieces(&id(2)).await.unwrap().unwrap().admitted, nothing);
        let joined_of = async |n: u8| {
            let row = sqlx::query("SELECT joined_of FROM resumables WHERE id = $1").bind(id(n).to_string());
            row.fetch_one(&catalog.books.reads).await.unwrap().get::<Option<String>, _>(0)
        };
        assert_eq!(joined_of(2).await.as_deref(), Some("a b"));
        assert_eq!(joined_of(3).await, None);
        catalog.close().await;
    }

    /// The writer takes what waits in one go: a commit costs a flush of the disk.
    #[tokio::test]
    async fn operations_that_wait_share_a_commit() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = Catalog::open(&path).await.unwrap();
        let log = path.with_extension("sqlite-wal");
        let logged = || std::fs::metadata(&log).unwrap().len();
        let before = logged();
        let begins = (0..100).map(|n| catalog.begin(new(n, 1)));
        for result in futures_util::future::join_all(begins).await {
            result.unwrap();
        }
        // Alone, each would log every page it changes: one of the table and one of each index.
        let grown = logged() - before;
        assert!(grown < 100 * 4096, "{grown} bytes for 100 operations");
        catalog.close().await;
    }

    #[tokio::test]
    async fn what_is_no_catalog_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("catalog.sqlite");
        std::fs::write(
            &path,
            "not a database, but something else that somebody may want to keep".repeat(100),
        )
        .unwrap();
        assert!(Catalog::open(&path).await.is_err());
        assert!(Catalog::open(&folder.path().join("missing/catalog.sqlite")).await.is_err());
    }
}
