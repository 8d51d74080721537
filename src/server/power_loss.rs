//! A machine that loses its power, as a test: of all that was written only what was forced to the medium is left. The
//! catalog is taken as it stands at that moment: that its commits are on disk before anyone hears of them is SQLite's
//! own promise. Must never know what order the server writes in: it only holds the server to what it told.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{
    Server,
    catalog::Catalog,
    config::{Config, RawConfig},
    owner::OwnerId,
    protocol::digest::ChunkDigest,
    resumable::{self, Append, Creation, Ends, Overflow, Protocol},
    security::Visitor,
    store::{AnyStore, DiskStore, Force, Store},
};
use crate::wire::UploadId;

/// What a medium holds for certain, and when the power goes.
#[derive(Default)]
struct Medium {
    /// By their numbers on the volume: names come and go.
    files: HashMap<u64, Vec<u8>>,
    /// Names in each folder.
    folders: HashMap<PathBuf, Vec<(OsString, u64)>>,
    /// At this many more syncs, and instead of the last of them, the power goes,
    left: usize,
    /// and this folder becomes what is left of the first.
    cut: Option<(PathBuf, PathBuf)>,
    /// What had been told by then.
    told_then: Option<Told>,
}

/// Offsets that clients were told, and of what length their uploads are.
type Told = BTreeMap<UploadId, u64>;

static MEDIUM: Mutex<Option<Medium>> = Mutex::new(None);
static TOLD: Mutex<Told> = Mutex::new(BTreeMap::new());

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forces a file or a folder to the medium of this test.
fn force(file: &File, _: Force) -> io::Result<()> {
    let mut medium = lock(&MEDIUM);
    let Some(medium) = medium.as_mut() else { return Ok(()) };
    medium.left = medium.left.saturating_sub(1);
    if medium.left == 0
        && let Some((from, to)) = medium.cut.take()
    {
        medium.told_then = Some(lock(&TOLD).clone());
        medium.write_to(&from, &to)?;
    }
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let about = file.metadata()?;
    if about.is_dir() {
        let entries = fs::read_dir(&path)?.map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), entry.metadata()?.ino()))
        });
        let entries = entries.collect::<io::Result<_>>()?;
        medium.folders.insert(path, entries);
    } else {
        medium.files.insert(about.ino(), fs::read(&path)?);
    }
    Ok(())
}

impl Medium {
    /// Nobody forces anything while this runs: what the catalog says here was forced before.
    fn write_to(&self, from: &Path, to: &Path) -> io::Result<()> {
        for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
            fs::copy(from.join(name), to.join(name))?;
        }
        for (folder, entries) in &self.folders {
            let Ok(below) = folder.strip_prefix(from) else { continue };
            fs::create_dir_all(to.join(below))?;
            for (name, number) in entries {
                let is_folder = fs::metadata(folder.join(name)).is_ok_and(|about| about.is_dir());
                if !is_folder && below != Path::new("") {
                    let bytes = self.files.get(number).map_or(&[][..], Vec::as_slice);
                    fs::write(to.join(below).join(name), bytes)?;
                }
            }
        }
        Ok(())
    }
}

async fn server(folder: &Path) -> Arc<Server> {
    let config = Config::check(RawConfig { data: folder.to_owned(), ..RawConfig::default() }).unwrap();
    let store = DiskStore::open_with(folder.to_owned(), force).await.unwrap();
    let catalog = Catalog::open(&folder.join("catalog.sqlite")).await.unwrap();
    Server::assemble(config, AnyStore::Disk(store), catalog, None).await.unwrap()
}

fn visitor() -> Visitor {
    Visitor { owner: OwnerId::from_bits([1; 16]), known: true }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn create(server: &Arc<Server>, length: usize) -> UploadId {
    let creation = Creation {
        visitor: visitor(),
        name: "a".to_owned(),
        media_type: "text/plain".to_owned(),
        protocol: Protocol::Tus,
        metadata: None,
        concat: None,
        length: Some(length as u64),
        partial: false,
        progress_id: None,
        repr_digest: None,
        want_sha256: false,
    };
    let id = resumable::create(server, creation).await.unwrap().id;
    lock(&TOLD).insert(id.clone(), 0);
    id
}

/// Sends these bytes in chunks; the offset told.
async fn append(server: &Arc<Server>, id: &UploadId, offset: u64, bytes: &[u8]) -> u64 {
    let append = Append {
        visitor: visitor(),
        offset,
        length: None,
        ends: Ends::AtLength,
        chunk_digest: ChunkDigest::None,
        overflow: Overflow::Refuse,
        body_size: Some(bytes.len() as u64),
        progress_id: None,
    };
    let chunks: Vec<_> =
        bytes.chunks(60_000).map(|chunk| Ok::<_, io::Error>(Bytes::copy_from_slice(chunk))).collect();
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let upload = resumable::append(server, id, append, body).await.unwrap();
    lock(&TOLD).insert(id.clone(), upload.offset);
    upload.offset
}

/// Promises 2 and 11. The power goes before the 1st, 2nd, 3rd … thing is forced to the medium, until there are no more.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_of_power_every_told_byte_is_there() {
    let whole = pattern(2_000_000);
    let mut cuts = 0;
    loop {
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // As the system itself names them.
        let (from, to) = (fs::canonicalize(before.path()).unwrap(), after.path().to_owned());
        lock(&TOLD).clear();
        *lock(&MEDIUM) = Some(Medium { left: usize::MAX, ..Medium::default() });
        let running = server(&from).await;
        if let Some(medium) = lock(&MEDIUM).as_mut() {
            (medium.left, medium.cut) = (cuts + 1, Some((from.clone(), to.clone())));
        }
        let (one, other) = (create(&running, whole.len()).await, create(&running, 100_000).await);
        let mut at = append(&running, &one, 0, &whole[..300_000]).await;
        append(&running, &other, 0, &whole[..100_000]).await;
        at = append(&running, &one, at, &whole[at as usize..1_000_000]).await;
        append(&running, &one, at, &whole[at as usize..]).await;
        running.close(std::time::Duration::ZERO).await;
        let Some(told) = lock(&MEDIUM).take().and_then(|medium| medium.told_then) else { break };

        let again = server(&to).await;
        for (id, told) in told {
            let upload = resumable::state(&again, &id, &visitor()).await.unwrap();
            assert!(upload.offset >= told, "cut {cuts}: told {told}, and now {}", upload.offset);
            let length = upload.length.unwrap() as usize;
            append(&again, &id, upload.offset, &whole[upload.offset as usize..length]).await;
            let readable = again.store().open(&id).await.unwrap();
            let pieces: Vec<Bytes> = readable.stream(0..u64::MAX).try_collect().await.unwrap();
            assert!(pieces.concat() == whole[..length], "cut {cuts}");
        }
        again.close(std::time::Duration::ZERO).await;
        cuts += 1;
    }
    // Each of the four appends forces its bytes, two of them a new name, and each of the two files its final name.
    assert!(cuts >= 8, "{cuts}");
}
