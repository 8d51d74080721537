//! Making good what a crash left behind, and giving up or forgetting what has had its time. Touches unfinished uploads
//! only: a complete one is out of its reach in the catalog's own queries (promise 11).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::{
    Refusal, Server,
    catalog::{CatalogError, Pieces, PiecesEnd, PiecesState, Unfinished},
    resumable,
    state::now_ms,
    store::{StageOptions, Store, StoreError},
};
use crate::wire::{ErrorBody, ErrorCode, UploadId};

/// How often records that have had their time are looked for, unless they have less time than that.
const EVERY: Duration = Duration::from_secs(60);

/// The least of it.
const NOT_OFTENER: Duration = Duration::from_millis(250);

/// Rows that are read together: nothing here holds all of them at once.
const BATCH: u32 = 256;

/// Uploads in pieces that are looked at together after a start.
const AT_ONCE: usize = 8;

/// Before the first request. An upload that came in one request is gone with its connection, so its bytes go too; a
/// deletion that had begun is finished. An upload in pieces goes back to its last checkpoint, or, when what is there is
/// not what was told, has failed; one that was sealed becomes a file. A row that cannot be read stays as it is, one in
/// pieces until its time is over, and holds up no other. Staged bytes without a row are swept.
///
/// # Errors
/// When storage or catalog fail: serving on top of that would only hide it.
pub(super) async fn after_a_crash(server: &Arc<Server>) -> anyhow::Result<()> {
    let (store, catalog) = (server.store(), server.catalog());
    let (mut unfinished, mut last) = (0, 0);
    loop {
        let batch = catalog.unfinished(last, BATCH).await?;
        let Some((number, _)) = batch.last() else { break };
        last = *number;
        for (number, row) in batch {
            let (id, state) = match row {
                Ok(row) => row,
                Err(error) => {
                    tracing::error!(number, %error, "an upload stays as it is: its row cannot be read");
                    continue;
                }
            };
            unfinished += 1;
            // Bytes first, row last: a crash in between leaves the row that says what is still to do.
            store.remove(&id).await?;
            match state {
                Unfinished::Receiving => catalog.discard(vec![id], None).await?,
                Unfinished::Deleting => catalog.finish_delete(&id).await?,
            }
        }
    }
    let (mut in_pieces, mut failed, mut last) = (0, 0, 0);
    loop {
        let batch = catalog.pieces_under_way(last, BATCH).await?;
        let Some((number, _)) = batch.last() else { break };
        last = *number;
        in_pieces += batch.len();
        let recovered = futures_util::stream::iter(batch).map(|(number, pieces)| async move {
            match pieces {
                Ok(pieces) => recover(server, &pieces).await.map(|goes_on| usize::from(!goes_on)),
                Err(error) => {
                    tracing::error!(number, %error, "an upload stays as it is until its time is over");
                    Ok(1)
                }
            }
        });
        let recovered = recovered.buffer_unordered(AT_ONCE);
        failed += recovered.try_fold(0, |sum, failed| async move { Ok(sum + failed) }).await?;
    }
    let mut swept = store.sweep().await?;
    for id in store.staged().await? {
        if !catalog.is_under_way(&id).await? {
            store.unstage(&id).await?;
            swept += 1;
        }
    }
    if unfinished > 0 || swept > 0 || in_pieces > 0 {
        tracing::info!(unfinished, swept, in_pieces, failed, "made good what the last run left behind");
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
        resumable::end(server, id, PiecesEnd::Failed(error), None).await?;
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
    let Some(max_age) = server.upgrade().map(|server| server.config().max_age) else { return };
    let mut ticks = tokio::time::interval((max_age / 4).clamp(NOT_OFTENER, EVERY));
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
        // Those who ask how an upload ended get some time to, however short the age.
        let age_ms = u64::try_from(max_age.max(EVERY).as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = server.catalog().forget_outcomes_before(now_ms().saturating_sub(age_ms)).await {
            tracing::warn!(%error, "old progress records could not be forgotten; trying again later");
        }
    }
}

/// Gives up uploads in pieces that nobody has gone on with in time. One that somebody is at is left alone, and one that
/// cannot be given up now holds up no other.
async fn expire(server: &Arc<Server>) -> Result<(), Refusal> {
    let now_ms = now_ms();
    let mut last = None;
    loop {
        let batch = server.catalog().pieces_expired(now_ms, last.as_ref(), BATCH).await?;
        for (_, id) in &batch {
            if server.stopping().is_cancelled() {
                return Ok(());
            }
            let Ok(id) = &id.parse() else {
                // There are no bytes of such a name, and no request that could ask for it.
                tracing::debug!(id, "an upload that cannot be one is left alone");
                continue;
            };
            match expire_one(server, id).await {
                Ok(true) => tracing::info!(%id, "nobody went on with it in time: given up"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%id, %error, "cannot be given up now; trying again later"),
            }
        }
        last = batch.last().cloned();
        if last.is_none() {
            return Ok(());
        }
    }
}

async fn expire_one(server: &Arc<Server>, id: &UploadId) -> Result<bool, Refusal> {
    match server.catalog().pieces(id).await {
        Ok(Some(pieces)) => resumable::expire(server, &pieces).await,
        Ok(None) => Ok(false),
        Err(CatalogError::Unreadable(_)) => resumable::expire_unread(server, id).await,
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        fs::{self, File},
        io,
        os::fd::AsRawFd,
        path::PathBuf,
        sync::{Mutex, PoisonError},
    };

    use axum::body::Body;
    use sqlx::{Connection as _, Row as _, SqliteConnection};

    use super::*;
    use crate::server::{
        catalog::{Catalog, Words},
        config::{Config, RawConfig},
        owner::OwnerId,
        resumable::{Append, Creation, Ends, Protocol},
        security::Visitor,
        store::{AnyStore, DiskStore, Force},
    };
    use crate::wire::ProgressId;

    fn visitor() -> Visitor {
        Visitor { owner: OwnerId::from_bits([1; 16]), known: true, peer: None }
    }

    fn config(folder: &std::path::Path, max_age: &str) -> RawConfig {
        let (data, max_age) = (folder.to_owned(), max_age.to_owned());
        RawConfig { data, max_age, space_reserve: "none".to_owned(), ..RawConfig::default() }
    }

    async fn open(folder: &std::path::Path, max_age: &str) -> Arc<Server> {
        Server::open(Config::check(config(folder, max_age)).unwrap()).await.unwrap()
    }

    /// An upload of ten bytes.
    fn creation() -> Creation {
        Creation {
            visitor: visitor(),
            words: Words { name: "half".to_owned(), media_type: "text/plain".to_owned(), ..Words::default() },
            protocol: Protocol::Tus,
            metadata: None,
            concat: None,
            length: Some(10),
            partial: false,
            progress_id: None,
            repr_digest: None,
            want_sha256: false,
        }
    }

    /// An upload of ten bytes of which five have come.
    async fn half_an_upload(server: &Arc<Server>) -> UploadId {
        let id = resumable::create(server, creation()).await.unwrap().id;
        append_five(server, &id, 0).await;
        id
    }

    async fn append_five(server: &Arc<Server>, id: &UploadId, offset: u64) {
        let append = Append::bytes(visitor(), offset, Ends::AtLength, Some(5));
        let appended = resumable::append(server, id, append, Body::from("hello")).await;
        assert_eq!(appended.unwrap().offset, offset + 5);
    }

    async fn books(folder: &std::path::Path) -> SqliteConnection {
        SqliteConnection::connect(folder.join("catalog.sqlite").to_str().unwrap()).await.unwrap()
    }

    async fn states(folder: &std::path::Path) -> Vec<String> {
        let mut books = books(folder).await;
        let rows = sqlx::query("SELECT state FROM resumables ORDER BY id").fetch_all(&mut books);
        rows.await.unwrap().iter().map(|row| row.get("state")).collect()
    }

    /// One row that made no sense used to keep the server from starting, and every later upload from expiring.
    #[tokio::test]
    async fn a_row_that_cannot_be_read_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        let unreadable = half_an_upload(&server).await;
        let mut others = Vec::new();
        for _ in 0..3 {
            others.push(half_an_upload(&server).await);
        }
        server.close(Duration::ZERO).await;
        drop(server);
        let statement = sqlx::query("UPDATE resumables SET protocol = 'pigeon' WHERE id = $1");
        statement.bind(unreadable.as_str()).execute(&mut books(folder.path()).await).await.unwrap();

        let server = open(folder.path(), "1h").await;
        for id in &others {
            assert_eq!(resumable::state(&server, id, &visitor()).await.unwrap().offset, 5);
        }
        assert!(server.catalog().pieces(&unreadable).await.is_err());
        let staged = server.store().staged().await.unwrap();
        assert!(staged.contains(&unreadable), "what is not understood is not thrown away before its time");
        server.close(Duration::ZERO).await;
        drop(server);
        let statement = "UPDATE resumables SET expires_ms = 1";
        sqlx::query(statement).execute(&mut books(folder.path()).await).await.unwrap();

        let server = open(folder.path(), "1h").await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        // One that the server itself is giving up at this very moment is left to it.
        while states(folder.path()).await != ["expired"; 4]
            || !server.store().staged().await.unwrap().is_empty()
        {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", states(folder.path()).await);
            expire(&server).await.unwrap();
        }
        server.close(Duration::ZERO).await;
    }

    /// A name in the catalog that is none used to keep the server from starting; one of an upload in pieces every later
    /// upload from expiring; and one of a file its owner from seeing the others.
    #[tokio::test]
    async fn a_name_that_is_none_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        for _ in 0..3 {
            half_an_upload(&server).await;
        }
        let whole = resumable::create(&server, creation()).await.unwrap().id;
        append_five(&server, &whole, 0).await;
        append_five(&server, &whole, 5).await;
        server.close(Duration::ZERO).await;
        drop(server);
        let mut books = books(folder.path()).await;
        for (number, state) in [(91, "receiving"), (92, "deleting"), (93, "complete"), (94, "receiving")] {
            let (size, stored) = if state == "receiving" { ("NULL", "NULL") } else { ("1", "1") };
            // The last of them is one that can be read, and that a crash left behind.
            let id = if number == 94 { OwnerId::random().to_string() } else { format!("../{number}") };
            let statement = format!(
                "INSERT INTO uploads (number, id, owner, state, name, media_type, field, size, created_ms, stored_ms)
                 VALUES ({number}, '{id}', '{}', '{state}', 'a', 'text/plain', '', {size}, 1, {stored})",
                visitor().owner
            );
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut books).await.unwrap();
        }
        let one = "(SELECT id FROM resumables WHERE state = 'open' LIMIT 1)";
        for statement in [
            "DROP TRIGGER complete_does_not_change".to_owned(),
            format!("UPDATE uploads SET id = 'none' WHERE id = {one}"),
            format!("UPDATE resumables SET id = 'none' WHERE id = {one}"),
            "UPDATE resumables SET expires_ms = 1 WHERE state = 'open'".to_owned(),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut books).await.unwrap();
        }

        let server = open(folder.path(), "1h").await;
        let left = server.catalog().unfinished(0, 100).await.unwrap();
        assert!(matches!(left[..], [(91, Err(_)), (92, Err(_))]), "{left:?}");
        let listed = server.catalog().list(&visitor().owner, 100).await.unwrap();
        assert_eq!(listed.iter().map(|receipt| &receipt.id).collect::<Vec<_>>(), [&whole]);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let mut seen = states(folder.path()).await;
        seen.sort();
        while seen != ["complete", "expired", "expired", "open"] {
            assert!(tokio::time::Instant::now() < deadline, "{seen:?}");
            expire(&server).await.unwrap();
            seen = states(folder.path()).await;
            seen.sort();
        }
        server.close(Duration::ZERO).await;
    }

    /// More than are read at once, of which some are being written to.
    #[tokio::test]
    async fn all_that_had_their_time_expire_but_those_somebody_is_at() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        let mut ids = Vec::new();
        for _ in 0..2 * BATCH + 9 {
            ids.push(half_an_upload(&server).await);
        }
        let statement = "UPDATE resumables SET expires_ms = 1";
        sqlx::query(statement).execute(&mut books(folder.path()).await).await.unwrap();
        let turns: Vec<_> = ids[..300].iter().map(|id| server.seats().vacant(id).unwrap()).collect();
        expire(&server).await.unwrap();
        assert_eq!(server.store().staged().await.unwrap().len(), 300);
        drop(turns);
        expire(&server).await.unwrap();
        assert!(server.store().staged().await.unwrap().is_empty());
        assert!(states(folder.path()).await.iter().all(|state| state == "expired"));
        server.close(Duration::ZERO).await;
    }

    /// Files and folders that were forced to the medium, by their paths.
    static FORCED: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

    fn force(file: &File, _: Force) -> io::Result<()> {
        if let Some(forced) = FORCED.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            forced.insert(fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?);
        }
        Ok(())
    }

    /// A server that was killed between giving a file its final name and forcing that to the medium used to call the
    /// file complete when it came back; a loss of power could then still take the name away.
    #[tokio::test]
    async fn a_name_that_a_killed_process_gave_is_forced_to_the_medium() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let server = open(&root, "1h").await;
        let id = half_an_upload(&server).await;
        server.close(Duration::ZERO).await;
        drop(server);
        let sealed = "UPDATE resumables SET state = 'sealed', length = 5";
        sqlx::query(sealed).execute(&mut books(&root).await).await.unwrap();
        let outer = root.join("files").join(&id.as_str()[..2]);
        let inner = outer.join(&id.as_str()[2..4]);
        fs::create_dir_all(&inner).unwrap();
        fs::rename(root.join("staging").join(id.as_str()), inner.join(id.as_str())).unwrap();

        let store = DiskStore::open_with(root.clone(), force).await.unwrap();
        let catalog = Catalog::open(&root.join("catalog.sqlite")).await.unwrap();
        *FORCED.lock().unwrap() = Some(HashSet::new());
        let config = Config::check(config(&root, "1h")).unwrap();
        let server = Server::assemble(config, AnyStore::Disk(store), catalog, None).await.unwrap();
        let forced = FORCED.lock().unwrap().take().unwrap();
        assert_eq!(states(&root).await, ["complete"]);
        for above in [root.join("files"), outer, inner] {
            assert!(forced.contains(&above), "{above:?} of {forced:?}");
        }
        server.close(Duration::ZERO).await;
    }

    /// An upload that was admitted could not go on after a restart with a smaller limit.
    #[tokio::test]
    async fn what_was_admitted_may_come_to_its_end_whatever_is_admitted_now() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        let id = half_an_upload(&server).await;
        server.close(Duration::ZERO).await;
        drop(server);
        let smaller = RawConfig { max_file_size: "7".to_owned(), ..config(folder.path(), "1h") };
        let server = Server::open(Config::check(smaller).unwrap()).await.unwrap();
        assert_eq!(resumable::create(&server, creation()).await.unwrap_err().code(), ErrorCode::TooLarge);
        append_five(&server, &id, 5).await;
        assert_eq!(states(folder.path()).await, ["complete"]);
        server.close(Duration::ZERO).await;
    }

    /// One whose length was not known when it began used to fail by the first byte beyond the smaller limit; and one of any
    /// kind, by a request that was larger than requests may be now.
    #[tokio::test]
    async fn what_was_admitted_without_a_length_may_be_as_large_as_was_allowed_then() {
        let folder = tempfile::tempdir().unwrap();
        let limits = |max_file_size: &str, max_request_size: &str| RawConfig {
            max_file_size: max_file_size.to_owned(),
            max_request_size: max_request_size.to_owned(),
            ..config(folder.path(), "1h")
        };
        let open = async |limits| Server::open(Config::check(limits).unwrap()).await.unwrap();
        let bring = async |server: &Arc<Server>, id: &UploadId, offset, ends, bytes: &'static str| {
            let append = Append::bytes(visitor(), offset, ends, Some(bytes.len() as u64));
            let done = resumable::append(server, id, append, Body::from(bytes)).await;
            done.map_err(|rejected| rejected.refusal.code())
        };
        let unknown = Creation { protocol: Protocol::Rufh, length: None, ..creation() };
        let server = open(limits("12", "none")).await;
        let id = resumable::create(&server, unknown.clone()).await.unwrap().id;
        let too_large = resumable::create(&server, unknown.clone()).await.unwrap().id;
        for id in [&id, &too_large] {
            assert_eq!(bring(&server, id, 0, Ends::Later, "hello").await.unwrap().offset, 5);
        }
        server.close(Duration::ZERO).await;
        drop(server);

        let server = open(limits("4", "4")).await;
        let upload = resumable::state(&server, &id, &visitor()).await.unwrap();
        assert_eq!((upload.admitted.max_length, upload.admitted.max_request), (Some(12), None));
        let whole = bring(&server, &id, 5, Ends::Here, "and more").await;
        assert_eq!(whole.map(|upload| upload.receipt.is_some()), Err(ErrorCode::TooLarge), "13 of 12 bytes");
        let whole = bring(&server, &id, 5, Ends::Here, "as many").await.unwrap();
        assert_eq!(whole.receipt.unwrap().size, 12);
        // Without a length of the request either it is seen by the byte that is too much.
        let append = Append::bytes(visitor(), 5, Ends::Later, None);
        let stream = futures_util::stream::iter(["as ", "many ", "!"].map(Ok::<_, io::Error>));
        let refused = resumable::append(&server, &too_large, append, Body::from_stream(stream)).await;
        assert_eq!(refused.unwrap_err().refusal.code(), ErrorCode::TooLarge);
        // What begins now has what is allowed now.
        let new = resumable::create(&server, unknown).await.unwrap().id;
        assert_eq!(bring(&server, &new, 0, Ends::Later, "hello").await, Err(ErrorCode::TooLarge));
        bring(&server, &new, 0, Ends::Later, "one").await.unwrap();
        assert_eq!(bring(&server, &new, 3, Ends::Here, "two").await, Err(ErrorCode::TooLarge));
        server.close(Duration::ZERO).await;
    }

    /// A creation that was asked for again after its upload's time was over used to be told of that one.
    #[tokio::test]
    async fn a_creation_asked_for_again_too_late_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        let creation = Creation { progress_id: Some("asked-again".parse().unwrap()), ..creation() };
        let id = resumable::create(&server, creation.clone()).await.unwrap().id;
        assert_eq!(resumable::begun_before(&server, &creation).await.unwrap().unwrap().id, id);
        let statement = "UPDATE resumables SET expires_ms = 1";
        sqlx::query(statement).execute(&mut books(folder.path()).await).await.unwrap();
        assert_eq!(resumable::begun_before(&server, &creation).await.unwrap(), None);
        assert_ne!(resumable::create(&server, creation).await.unwrap().id, id);
        server.close(Duration::ZERO).await;
    }

    /// The name of an upload whose time was over used to be taken until somebody looked for such uploads: a minute.
    #[tokio::test]
    async fn the_name_of_an_upload_whose_time_is_over_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        let name: ProgressId = "asked-again".parse().unwrap();
        let creation = Creation { progress_id: Some(name.clone()), ..creation() };
        let id = resumable::create(&server, creation.clone()).await.unwrap().id;
        append_five(&server, &id, 0).await;
        let in_use = resumable::create(&server, creation.clone()).await.unwrap_err();
        assert_eq!(in_use.code(), ErrorCode::ProgressIdInUse);
        let statement = "UPDATE resumables SET expires_ms = 1 WHERE state = 'open'";
        sqlx::query(statement).execute(&mut books(folder.path()).await).await.unwrap();
        let next = resumable::create(&server, creation).await.unwrap().id;
        append_five(&server, &next, 0).await;
        assert_eq!(server.progress().frame(&name, visitor().viewer()).unwrap().received, 5);
        // A form takes it as well.
        let put = || {
            let cookie = format!("{}={}", crate::server::security::OWNER_COOKIE, visitor().owner);
            let request = axum::http::Request::put("/files/a").header("cookie", cookie);
            let request = request.header("x-progress-id", name.as_str()).body(Body::from("hello")).unwrap();
            tower::ServiceExt::oneshot(crate::server::router(&server), request)
        };
        assert_eq!(put().await.unwrap().status(), 409);
        sqlx::query(statement).execute(&mut books(folder.path()).await).await.unwrap();
        assert_eq!(put().await.unwrap().status(), 201);
        server.close(Duration::ZERO).await;
    }

    /// Two tries of one creation, the second sent because the first seemed lost, used to make two uploads when they
    /// came at the same moment.
    #[tokio::test(flavor = "multi_thread")]
    async fn one_creation_that_comes_many_times_at_once_makes_one_upload() {
        let folder = tempfile::tempdir().unwrap();
        let server = open(folder.path(), "1h").await;
        for name in ["at-once-1", "at-once-2", "at-once-3"] {
            let creation = Creation { progress_id: Some(name.parse().unwrap()), ..creation() };
            let tries = (0..16).map(|_| {
                let (server, creation) = (server.clone(), creation.clone());
                tokio::spawn(async move { resumable::create_once(&server, creation).await.unwrap().id })
            });
            let ids = futures_util::future::join_all(tries).await;
            let ids: HashSet<_> = ids.into_iter().map(Result::unwrap).collect();
            assert_eq!(ids.len(), 1, "{ids:?}");
            // Who does not count tries has no claim to an upload of that name.
            let tries = (0..4).map(|_| resumable::create(&server, creation.clone()));
            for again in futures_util::future::join_all(tries).await {
                assert_eq!(again.unwrap_err().code(), ErrorCode::ProgressIdInUse);
            }
        }
        assert_eq!(states(folder.path()).await.len(), 3);
        let creation = Creation { progress_id: Some("at-once-4".parse().unwrap()), ..creation() };
        let tries = (0..16).map(|_| resumable::create(&server, creation.clone()));
        let begun = futures_util::future::join_all(tries).await;
        assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 1);
        server.close(Duration::ZERO).await;
    }
}
