//! A machine that loses its power, as a test: what was forced to the medium is left, and of all else that was written
//! any part: nothing, everything, everything but one thing, one thing alone, or half of it. The
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

use axum::{body::Body, http::Request};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::{
    Server,
    catalog::Catalog,
    config::{Config, RawConfig},
    owner::OwnerId,
    protocol::digest::ChunkDigest,
    resumable::{self, Append, Creation, Ends, Overflow, Protocol},
    security::{OWNER_COOKIE, Visitor},
    store::{AnyStore, DiskStore, Force, Store},
};
use crate::wire::UploadId;

/// What a medium holds for certain, and when the power goes.
#[derive(Default)]
struct Medium {
    /// By their numbers on the volume: names come and go.
    files: HashMap<u64, Vec<u8>>,
    /// Names in each folder.
    folders: HashMap<PathBuf, Vec<Entry>>,
    /// At this many more syncs, and instead of the last of them, the power goes,
    left: usize,
    /// and in the second folder stands all that may be left of the first, each possibility in a folder of its own.
    cut: Option<(PathBuf, PathBuf)>,
    /// What had been told by then.
    told_then: Option<Told>,
}

/// Something that was written and not forced.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Loose {
    /// The bytes of this file since they were forced last.
    Bytes(u64),
    /// This name in this folder, for this file or folder.
    Named(PathBuf, Entry),
    /// That this name is gone from this folder.
    Unnamed(PathBuf, Entry),
}

/// A name, and the number on the volume of what has it.
type Entry = (OsString, u64);

/// What of it has come to the medium by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Nothing,
    Everything,
    Only(usize),
    AllBut(usize),
    /// Everything, but of this one only the second half.
    Torn(usize),
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
        medium.folders.insert(path.clone(), entries(&path)?);
    } else {
        medium.files.insert(about.ino(), fs::read(&path)?);
    }
    Ok(())
}

/// What a folder holds; of the outermost only the folders, since the catalog answers for itself.
fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let is_outermost = folder.join("catalog.sqlite").exists() || folder.join("lock").exists();
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What is gone by now was unlinked, and nobody waits for that to be forced.
        if let Ok(about) = entry.metadata()
            && (about.is_dir() || !is_outermost)
        {
            entries.push((entry.file_name(), about.ino()));
        }
    }
    Ok(entries)
}

impl Medium {
    /// Nobody forces anything while this runs: what the catalog says here was forced before.
    fn write_to(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut moment =
            Moment { medium: self, loose: Vec::new(), files: HashMap::new(), kept: Kept::Nothing };
        moment.look(from)?;
        let each = 0..moment.loose.len();
        let each = each.flat_map(|one| [Kept::Only(one), Kept::AllBut(one), Kept::Torn(one)]);
        for kept in [Kept::Nothing, Kept::Everything].into_iter().chain(each) {
            if matches!(kept, Kept::Torn(one) if !matches!(moment.loose[one], Loose::Bytes(_))) {
                continue;
            }
            moment.kept = kept;
            let to = to.join(format!("{kept:?}"));
            fs::create_dir(&to)?;
            for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
                fs::copy(from.join(name), to.join(name))?;
            }
            moment.write(from, &to)?;
        }
        Ok(())
    }
}

/// A volume as the system shows it, beside what the medium holds.
struct Moment<'a> {
    medium: &'a Medium,
    loose: Vec<Loose>,
    /// As in [`Medium`].
    files: HashMap<u64, Vec<u8>>,
    kept: Kept,
}

impl Moment<'_> {
    fn forced(&self, folder: &Path) -> Vec<Entry> {
        self.medium.folders.get(folder).cloned().unwrap_or_default()
    }

    fn forced_bytes(&self, file: u64) -> &[u8] {
        self.medium.files.get(&file).map_or(&[], Vec::as_slice)
    }

    /// Notes what is not forced, in this folder and below.
    fn look(&mut self, folder: &Path) -> io::Result<()> {
        let (forced, now) = (self.forced(folder), entries(folder)?);
        let unnamed = forced.iter().filter(|entry| !now.contains(entry));
        self.loose.extend(unnamed.map(|entry| Loose::Unnamed(folder.to_owned(), entry.clone())));
        for entry in now {
            let path = folder.join(&entry.0);
            let number = entry.1;
            if !forced.contains(&entry) {
                self.loose.push(Loose::Named(folder.to_owned(), entry));
            }
            if path.is_dir() {
                self.look(&path)?;
            } else if let Ok(bytes) = fs::read(&path) {
                if bytes != self.forced_bytes(number) {
                    self.loose.push(Loose::Bytes(number));
                }
                self.files.insert(number, bytes);
            }
        }
        Ok(())
    }

    fn is_kept(&self, one: &Loose) -> bool {
        self.loose.iter().position(|other| other == one).is_some_and(|at| match self.kept {
            Kept::Nothing => false,
            Kept::Everything | Kept::Torn(_) => true,
            Kept::Only(only) => at == only,
            Kept::AllBut(but) => at != but,
        })
    }

    /// Writes what the medium holds of the folder.
    fn write(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut entries = self.forced(from);
        for one in self.loose.iter().filter(|one| self.is_kept(one)) {
            match one {
                Loose::Named(folder, entry) if folder == from => entries.push(entry.clone()),
                Loose::Unnamed(folder, entry) if folder == from => {
                    // A file system renames in one step: what has another name now never was without any.
                    let new_name = |other: &&Loose| matches!(other, Loose::Named(_, new) if new.1 == entry.1);
                    if self.loose.iter().find(new_name).is_none_or(|new_name| self.is_kept(new_name)) {
                        entries.retain(|kept| kept != entry);
                    }
                }
                _ => {}
            }
        }
        for (name, number) in entries {
            if from.join(&name).is_dir() {
                fs::create_dir(to.join(&name))?;
                self.write(&from.join(&name), &to.join(&name))?;
            } else {
                fs::write(to.join(name), self.bytes(number))?;
            }
        }
        Ok(())
    }

    fn bytes(&self, file: u64) -> Vec<u8> {
        let forced = self.forced_bytes(file);
        let one = Loose::Bytes(file);
        let Some(now) = self.files.get(&file).filter(|_| self.is_kept(&one)) else { return forced.to_vec() };
        let mut bytes = now.clone();
        if matches!(self.kept, Kept::Torn(torn) if self.loose[torn] == one) {
            let half = forced.len() + now.len().saturating_sub(forced.len()) / 2;
            bytes[forced.len().min(half)..half].fill(0);
        }
        bytes
    }
}

async fn server(folder: &Path) -> Arc<Server> {
    let config = Config::check(RawConfig { data: folder.to_owned(), ..RawConfig::default() }).unwrap();
    let store = DiskStore::open_with(folder.to_owned(), force).await.unwrap();
    let catalog = Catalog::open(&folder.join("catalog.sqlite")).await.unwrap();
    Server::assemble(config, AnyStore::Disk(store), catalog, None).await.unwrap()
}

fn visitor() -> Visitor {
    Visitor { owner: OwnerId::from_bits([1; 16]), known: true, peer: None }
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

/// Stores these bytes in one request.
async fn put(server: &Arc<Server>, bytes: &[u8]) {
    let request = Request::put("/files/a")
        .header("cookie", format!("{OWNER_COOKIE}={}", visitor().owner))
        .body(Body::from(bytes.to_vec()));
    let answer = super::router(server).oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap();
    let id = location.rsplit('/').next().unwrap().parse().unwrap();
    lock(&TOLD).insert(id, bytes.len() as u64);
}

/// What was told is there, every file is whole, and what is none yet can be brought to its end.
async fn compare(folder: &Path, told: &Told, whole: &[u8], what: &str) {
    let server = server(folder).await;
    let receipts = server.catalog().list(&visitor().owner, 100).await.unwrap();
    for receipt in &receipts {
        let stored = stored(&server, &receipt.id).await;
        assert!(stored == whole[..receipt.size as usize], "{what}: {receipt:?} has {} bytes", stored.len());
    }
    for (id, told) in told {
        if receipts.iter().any(|receipt| receipt.id == *id && receipt.size == *told) {
            continue;
        }
        let upload = resumable::state(&server, id, &visitor()).await;
        let upload = upload.unwrap_or_else(|refusal| panic!("{what}: told {told}, and now {refusal:?}"));
        assert!(upload.offset >= *told, "{what}: told {told}, and now {}", upload.offset);
        let length = upload.length.unwrap() as usize;
        append(&server, id, upload.offset, &whole[upload.offset as usize..length]).await;
        assert!(stored(&server, id).await == whole[..length], "{what}");
    }
    server.close(std::time::Duration::ZERO).await;
}

async fn stored(server: &Server, id: &UploadId) -> Vec<u8> {
    let readable = server.store().open(id).await.unwrap();
    let pieces: Vec<Bytes> = readable.stream(0..u64::MAX).try_collect().await.unwrap();
    pieces.concat()
}

/// Promises 2 and 11. The power goes before the 1st, 2nd, 3rd … thing is forced to the medium, until there are no more.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_of_power_every_told_byte_is_there() {
    let whole = pattern(600_000);
    let (mut cuts, mut ways) = (0, 0);
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
        let mut at = append(&running, &one, 0, &whole[..100_000]).await;
        append(&running, &other, 0, &whole[..100_000]).await;
        at = append(&running, &one, at, &whole[at as usize..300_000]).await;
        append(&running, &one, at, &whole[at as usize..]).await;
        put(&running, &whole[..50_000]).await;
        running.close(std::time::Duration::ZERO).await;
        let Some(told) = lock(&MEDIUM).take().and_then(|medium| medium.told_then) else { break };

        let (told, whole) = (Arc::new(told), Arc::new(whole.clone()));
        let mut comparing = JoinSet::new();
        for left in fs::read_dir(&to).unwrap() {
            let (left, told, whole) = (left.unwrap(), told.clone(), whole.clone());
            let what = format!("cut {cuts}, kept {:?}", left.file_name());
            comparing.spawn(async move { compare(&left.path(), &told, &whole, &what).await });
            ways += 1;
        }
        comparing.join_all().await;
        cuts += 1;
    }
    println!("{cuts} moments, {ways} ways in which they may end");
    // Each of the four appends forces its bytes, two of them a new name, and each of the two files its final name.
    assert!(cuts >= 8, "{cuts}");
}
