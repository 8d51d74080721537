//! A machine that loses its power, as a test: what was forced to the medium is left, and of all else that was written
//! any part: nothing, everything, everything but one thing, one thing alone, or half of it. So also where the server alone
//! was killed before, and the power goes while the next one makes good what was left, or right after. That the catalog's commits
//! are on disk before anyone hears of them is SQLite's own promise: it is taken as it stands at that moment, and with
//! nothing else also as after each commit since the last thing was forced. Must never know what order the server writes
//! in: it only holds the server to what it told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::{
    Server,
    catalog::{Catalog, Words},
    config::{Config, RawConfig},
    owner::OwnerId,
    resumable::{self, Append, Creation, Ends, Protocol},
    security::{OWNER_COOKIE, Visitor},
    store::{AnyStore, DiskStore, Force, Store},
};
use crate::wire::{UploadAnswer, UploadId};

/// What a medium holds for certain, and when the power goes.
#[derive(Default)]
struct Medium {
    /// By their numbers on the volume: names come and go.
    files: HashMap<u64, Vec<u8>>,
    /// Names in each folder.
    folders: HashMap<PathBuf, Vec<Entry>>,
    /// At this many more syncs or ends of a client's request, and instead of the last of them, the power goes,
    left: usize,
    /// and in the second folder stands all that may be left of the first, each possibility in a folder of its own.
    cut: Option<(PathBuf, PathBuf)>,
    /// What had been told by then.
    told_then: Option<Told>,
    /// Bytes of the catalog's log, and what had been told, at the moment before.
    moment_before: (usize, Told),
    /// What there was at that moment, for one who is killed and not robbed of the power.
    killed: Option<Killed>,
}

/// What a server has left that was killed: a volume as the system shows it, and what of it the medium holds.
struct Killed {
    volume: TempDir,
    /// The numbers in the next two by the names that they have on the volume now.
    numbers: HashMap<PathBuf, u64>,
    files: HashMap<u64, Vec<u8>>,
    /// By their paths below the volume's.
    folders: HashMap<PathBuf, Vec<Entry>>,
    told: Told,
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

/// What clients were told.
#[derive(Clone, Default)]
struct Told {
    /// Offsets, and of what length their uploads are in the end. Not of those that are being deleted.
    offsets: BTreeMap<UploadId, (u64, usize)>,
    /// Offsets of parts that others are made of.
    parts: BTreeMap<UploadId, u64>,
    /// What was deleted.
    gone: BTreeSet<UploadId>,
}

static MEDIUM: Mutex<Option<Medium>> = Mutex::new(None);
static TOLD: Mutex<Told> =
    Mutex::new(Told { offsets: BTreeMap::new(), parts: BTreeMap::new(), gone: BTreeSet::new() });

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forces a file or a folder to the medium of this test.
fn force(file: &File, _: Force) -> io::Result<()> {
    let mut medium = lock(&MEDIUM);
    let Some(medium) = medium.as_mut() else { return Ok(()) };
    medium.pass_a_moment()?;
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

/// A client has its answer, and the power may go before anything else happens.
fn answered(change: impl FnOnce(&mut Told)) {
    change(&mut lock(&TOLD));
    if let Some(medium) = lock(&MEDIUM).as_mut() {
        medium.pass_a_moment().unwrap();
    }
}

impl Medium {
    fn pass_a_moment(&mut self) -> io::Result<()> {
        let Some((from, to)) = self.cut.clone() else { return Ok(()) };
        let told = lock(&TOLD).clone();
        self.left -= 1;
        if self.left > 0 {
            self.moment_before = (fs::read(from.join(LOG))?.len(), told);
            return Ok(());
        }
        self.cut = None;
        self.write_to(&from, &to)?;
        self.killed = Some(self.kill(&from, told.clone())?);
        self.told_then = Some(told);
        Ok(())
    }

    fn kill(&self, from: &Path, told: Told) -> io::Result<Killed> {
        let volume = somewhere();
        let mut numbers = HashMap::new();
        copy(from, volume.path(), Path::new(""), &mut numbers)?;
        let below = |path: &Path| path.strip_prefix(from).unwrap_or(path).to_owned();
        let folders = self.folders.iter().map(|(path, entries)| (below(path), entries.clone()));
        Ok(Killed { volume, numbers, files: self.files.clone(), folders: folders.collect(), told })
    }

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
            for name in [CATALOG, LOG] {
                fs::copy(from.join(name), to.join(name))?;
            }
            moment.write(from, &to)?;
        }
        // What of it was not forced by now was not forced after an earlier commit either.
        moment.kept = Kept::Nothing;
        let log = fs::read(from.join(LOG))?;
        let commits =
            commits(&log).into_iter().filter(|end| *end >= self.moment_before.0 && *end < log.len());
        for end in commits {
            let to = to.join(format!("{EARLIER}{end}"));
            fs::create_dir(&to)?;
            fs::copy(from.join(CATALOG), to.join(CATALOG))?;
            fs::write(to.join(LOG), &log[..end])?;
            moment.write(from, &to)?;
        }
        Ok(())
    }
}

impl Killed {
    /// The same on another volume.
    fn put_into(&self, to: &Path) -> io::Result<Medium> {
        let mut numbers = HashMap::new();
        copy(self.volume.path(), to, Path::new(""), &mut numbers)?;
        let renumbered: HashMap<u64, u64> = self
            .numbers
            .iter()
            .filter_map(|(path, number)| Some((*number, fs::metadata(to.join(path)).ok()?.ino())))
            .collect();
        // What has no name on the volume any more has one on the medium still, perhaps, and a number of nobody's.
        let renumber = |number: u64| renumbered.get(&number).copied().unwrap_or(u64::MAX - number);
        let files = self.files.iter().map(|(number, bytes)| (renumber(*number), bytes.clone()));
        let folders = self.folders.iter().map(|(path, entries)| {
            let entries = entries.iter().map(|(name, number)| (name.clone(), renumber(*number)));
            (to.join(path), entries.collect())
        });
        Ok(Medium {
            left: usize::MAX,
            files: files.collect(),
            folders: folders.collect(),
            moment_before: (fs::read(to.join(LOG))?.len(), self.told.clone()),
            ..Medium::default()
        })
    }
}

/// Copies a volume but for what only a running server needs, and notes the numbers that things had.
fn copy(from: &Path, to: &Path, below: &Path, numbers: &mut HashMap<PathBuf, u64>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, below) = (entry.file_name(), below.join(entry.file_name()));
        if name == "lock" || name == "catalog.sqlite-shm" {
            continue;
        }
        // What is gone by now was unlinked at this moment.
        let Ok(about) = entry.metadata() else { continue };
        let copied = if about.is_dir() {
            fs::create_dir(to.join(&name))?;
            copy(&entry.path(), &to.join(&name), &below, numbers)
        } else {
            fs::copy(entry.path(), to.join(&name)).map(drop)
        };
        match copied {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => {
                copied?;
                numbers.insert(below, about.ino());
            }
        }
    }
    Ok(())
}

const CATALOG: &str = "catalog.sqlite";

/// The catalog's write-ahead log.
const LOG: &str = "catalog.sqlite-wal";

/// Before the name of what may be left with the catalog as it was after an earlier commit.
const EARLIER: &str = "Earlier";

/// Where the commits of a write-ahead log end (SQLite's file format, section 4.1): a header, then frames of a page each,
/// of which the last of a commit names the size of the database.
fn commits(log: &[u8]) -> Vec<usize> {
    const HEADER: usize = 32;
    const FRAME: usize = 24;
    let number = |at: usize| u32::from_be_bytes([log[at], log[at + 1], log[at + 2], log[at + 3]]);
    if log.len() < HEADER {
        return Vec::new();
    }
    let frame = FRAME + number(8) as usize;
    let frames = (HEADER..).step_by(frame).take_while(|at| at + frame <= log.len());
    frames.filter(|at| number(at + 4) > 0).map(|at| at + frame).collect()
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
            // What was only cut shorter has nothing that could be missing.
            let half = (forced.len() + now.len().saturating_sub(forced.len()) / 2).min(now.len());
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

/// Begins an upload that will have this length; only tus says so now.
async fn create(server: &Arc<Server>, protocol: Protocol, length: usize, partial: bool) -> UploadId {
    let creation = Creation {
        visitor: visitor(),
        words: Words { name: "a".to_owned(), media_type: "text/plain".to_owned(), ..Words::default() },
        protocol,
        metadata: None,
        concat: partial.then(|| "partial".to_owned()),
        length: (protocol == Protocol::Tus).then_some(length as u64),
        partial,
        progress_id: None,
        repr_digest: None,
        want_sha256: false,
    };
    let id = resumable::create(server, creation).await.unwrap().id;
    answered(|told| {
        if partial {
            told.parts.insert(id.clone(), 0);
        } else {
            told.offsets.insert(id.clone(), (0, length));
        }
    });
    id
}

/// Sends these bytes in chunks; the offset told.
async fn append(server: &Arc<Server>, id: &UploadId, ends: Ends, offset: u64, bytes: &[u8]) -> u64 {
    let append = Append::bytes(visitor(), offset, ends, Some(bytes.len() as u64));
    let chunks: Vec<_> =
        bytes.chunks(60_000).map(|chunk| Ok::<_, io::Error>(Bytes::copy_from_slice(chunk))).collect();
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let upload = resumable::append(server, id, append, body).await.unwrap();
    answered(|told| {
        let offsets = told.offsets.get_mut(id).map(|(offset, _)| offset);
        if let Some(offset) = offsets.or(told.parts.get_mut(id)) {
            *offset = upload.offset;
        }
    });
    upload.offset
}

/// A request in which whole files come.
async fn ask(server: &Arc<Server>, method: &str, path: &str, media_type: &str, body: Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("cookie", format!("{OWNER_COOKIE}={}", visitor().owner))
        .header("content-type", media_type)
        .body(Body::from(body));
    let answer = super::router(server).oneshot(request.unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{method} {path}: {answer:?}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let files = if body.is_empty() {
        Vec::new()
    } else {
        serde_json::from_slice::<UploadAnswer>(&body).unwrap().files
    };
    answered(|told| {
        told.offsets.extend(files.into_iter().map(|file| (file.id, (file.size, file.size as usize))));
    });
}

/// Deletes a file, or gives an upload up.
async fn delete(server: &Arc<Server>, id: &UploadId) {
    lock(&TOLD).offsets.remove(id);
    resumable::cancel(server, id, &visitor()).await.unwrap();
    answered(|told| {
        told.gone.insert(id.clone());
    });
}

/// One of everything that clients do.
async fn a_day(server: &Arc<Server>, whole: &[u8]) {
    use Ends::{AtLength, Here, Later};
    let one = create(server, Protocol::Tus, whole.len(), false).await;
    let other = create(server, Protocol::Tus, 100_000, false).await;
    let mut at = append(server, &one, AtLength, 0, &whole[..100_000]).await;
    append(server, &other, AtLength, 0, &whole[..100_000]).await;
    at = append(server, &one, AtLength, at, &whole[at as usize..200_000]).await;
    append(server, &one, AtLength, at, &whole[at as usize..]).await;

    let third = create(server, Protocol::Rufh, 150_000, false).await;
    at = append(server, &third, Later, 0, &whole[..80_000]).await;
    append(server, &third, Here, at, &whole[at as usize..150_000]).await;

    ask(server, "PUT", "/files/a", "text/plain", whole[..50_000].to_vec()).await;
    let mut form = Vec::new();
    for size in [30_000, 70_000] {
        let head = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        form.extend_from_slice(&[head.as_bytes(), &whole[..size], b"\r\n"].concat());
    }
    form.extend_from_slice(b"--x--\r\n");
    ask(server, "POST", "/upload", "multipart/form-data; boundary=x", form).await;

    let mut parts = Vec::new();
    for range in [0..40_000, 40_000..90_000] {
        let id = create(server, Protocol::Tus, range.len(), true).await;
        append(server, &id, AtLength, 0, &whole[range]).await;
        parts.push(id);
    }
    let creation = Creation {
        visitor: visitor(),
        words: Words { name: "a".to_owned(), media_type: "text/plain".to_owned(), ..Words::default() },
        protocol: Protocol::Tus,
        metadata: None,
        concat: Some(format!("final;/files/{} /files/{}", parts[0], parts[1])),
        length: None,
        partial: false,
        progress_id: None,
        repr_digest: None,
        want_sha256: false,
    };
    let joined = resumable::concatenate(server, creation, parts).await.unwrap();
    answered(|told| {
        told.offsets.insert(joined.id, (joined.offset, 90_000));
    });

    let given_up = create(server, Protocol::Tus, 100_000, false).await;
    append(server, &given_up, AtLength, 0, &whole[..60_000]).await;
    // Last of all: the number of what was deleted may be given to another file.
    delete(server, &other).await;
    delete(server, &given_up).await;
}

/// What was told is there, every file is whole, and what is none yet can be brought to its end.
async fn compare(folder: &Path, told: &Told, whole: &[u8], what: &str) {
    let server = server(folder).await;
    let receipts = server.catalog().list(&visitor().owner, 100).await.unwrap();
    let mut kept = BTreeSet::new();
    for outer in files_in(&folder.join("files")) {
        for inner in files_in(&outer) {
            kept.extend(files_in(&inner).iter().map(|path| path.file_name().unwrap().to_owned()));
        }
    }
    let of_receipts: BTreeSet<OsString> = receipts.iter().map(|receipt| receipt.id.as_str().into()).collect();
    assert_eq!(kept, of_receipts, "{what}: files, and files that anybody knows of");
    assert!(files_in(&folder.join("trash")).is_empty(), "{what}: space that is not free");
    for receipt in &receipts {
        let stored = stored(&server, &receipt.id).await;
        assert!(stored == whole[..receipt.size as usize], "{what}: {receipt:?} has {} bytes", stored.len());
    }
    for (id, told) in &told.parts {
        let upload = resumable::state(&server, id, &visitor()).await;
        let upload = upload.unwrap_or_else(|refusal| panic!("{what}: told {told}, and now {refusal:?}"));
        assert!(upload.offset >= *told, "{what}: told {told}, and now {}", upload.offset);
    }
    for id in &told.gone {
        let upload = resumable::state(&server, id, &visitor()).await;
        assert!(upload.is_err() && receipts.iter().all(|receipt| receipt.id != *id), "{what}: {upload:?}");
        assert!(server.store().open(id).await.is_err(), "{what}: {id} was deleted, and is there");
    }
    for (id, (told, length)) in &told.offsets {
        if receipts.iter().any(|receipt| receipt.id == *id && receipt.size == *told) {
            continue;
        }
        let upload = resumable::state(&server, id, &visitor()).await;
        let upload = upload.unwrap_or_else(|refusal| panic!("{what}: told {told}, and now {refusal:?}"));
        assert!(upload.offset >= *told, "{what}: told {told}, and now {}", upload.offset);
        let ends = if upload.protocol == Protocol::Tus { Ends::AtLength } else { Ends::Here };
        append(&server, id, ends, upload.offset, &whole[upload.offset as usize..*length]).await;
        assert!(stored(&server, id).await == whole[..*length], "{what}");
    }
    server.close(std::time::Duration::ZERO).await;
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

async fn stored(server: &Server, id: &UploadId) -> Vec<u8> {
    let readable = server.store().open(id).await.unwrap();
    let pieces: Vec<Bytes> = readable.stream(0..u64::MAX).try_collect().await.unwrap();
    pieces.concat()
}

/// A folder in memory where there is such: what would be left on the medium is kept by ourselves, and no disk has to
/// keep up with thousands of syncs.
fn somewhere() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Compares each way in which a moment may have ended.
async fn compare_all(to: &Path, medium: Medium, whole: &Arc<Vec<u8>>, what: &str) -> (u32, u32) {
    let (mut ways, mut earlier) = (0, 0);
    let told = Arc::new(medium.told_then.unwrap_or_default());
    let told_before = Arc::new(medium.moment_before.1);
    let mut comparing = JoinSet::new();
    for left in fs::read_dir(to).unwrap() {
        let (left, whole) = (left.unwrap(), whole.clone());
        let is_earlier = left.file_name().to_string_lossy().starts_with(EARLIER);
        let told = if is_earlier { told_before.clone() } else { told.clone() };
        let what = format!("{what}, kept {:?}", left.file_name());
        comparing.spawn(async move { compare(&left.path(), &told, &whole, &what).await });
        ways += 1;
        earlier += u32::from(is_earlier);
    }
    comparing.join_all().await;
    (ways, earlier)
}

/// A server on what one that was killed has left, until it has made it good; and then the power goes. Moments and ways.
async fn restart(killed: &Killed, whole: &Arc<Vec<u8>>, what: &str) -> (usize, u32) {
    let (mut cuts, mut ways) = (0, 0);
    loop {
        let (before, after) = (somewhere(), somewhere());
        let (from, to) = (fs::canonicalize(before.path()).unwrap(), after.path().to_owned());
        *lock(&TOLD) = killed.told.clone();
        *lock(&MEDIUM) = Some(killed.put_into(&from).unwrap());
        let store = DiskStore::open_with(from.clone(), force).await.unwrap();
        let catalog = Catalog::open(&from.join(CATALOG)).await.unwrap();
        if let Some(medium) = lock(&MEDIUM).as_mut() {
            (medium.left, medium.cut) = (cuts + 1, Some((from.clone(), to.clone())));
        }
        let config = Config::check(RawConfig { data: from, ..RawConfig::default() }).unwrap();
        let running = Server::assemble(config, AnyStore::Disk(store), catalog, None).await.unwrap();
        // All is made good, and nothing else has happened.
        answered(|_| {});
        let medium = lock(&MEDIUM).take().unwrap();
        running.close(std::time::Duration::ZERO).await;
        if medium.told_then.is_none() {
            return (cuts, ways);
        }
        ways += compare_all(&to, medium, whole, &format!("{what}, cut {cuts} of the next server")).await.0;
        cuts += 1;
    }
}

/// Promises 2 and 11. The power goes before the 1st, 2nd, 3rd … thing is forced to the medium or after an answer, until
/// there are no more; or at each of these moments the server is killed, and the power goes likewise while the next one
/// starts.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_of_power_every_told_byte_is_there() {
    let whole = Arc::new(pattern(300_000));
    let (mut cuts, mut ways, mut earlier) = (0, 0, 0);
    let (mut cuts_later, mut ways_later) = (0, 0);
    loop {
        let (before, after) = (somewhere(), somewhere());
        // As the system itself names them.
        let (from, to) = (fs::canonicalize(before.path()).unwrap(), after.path().to_owned());
        *lock(&TOLD) = Told::default();
        *lock(&MEDIUM) = Some(Medium { left: usize::MAX, ..Medium::default() });
        let running = server(&from).await;
        if let Some(medium) = lock(&MEDIUM).as_mut() {
            (medium.left, medium.cut) = (cuts + 1, Some((from.clone(), to.clone())));
        }
        a_day(&running, &whole).await;
        running.close(std::time::Duration::ZERO).await;
        let Some(mut medium) = lock(&MEDIUM).take() else { break };
        let Some(killed) = medium.killed.take() else { break };
        let what = format!("cut {cuts}");
        let (more, more_earlier) = compare_all(&to, medium, &whole, &what).await;
        (ways, earlier) = (ways + more, earlier + more_earlier);
        let (more_cuts, more) = restart(&killed, &whole, &what).await;
        (cuts_later, ways_later) = (cuts_later + more_cuts, ways_later + more);
        cuts += 1;
    }
    println!("{cuts} moments, {ways} ways in which they may end, {earlier} of them with an earlier catalog");
    println!("after a kill at each of them {cuts_later} moments of the next server, {ways_later} ways");
    assert!(earlier > 0, "the log of the catalog was not understood");
    // Each of ten requests that bring bytes forces them, most of them a new name, and each of seven files its final
    // one; and there are eighteen answers.
    assert!(cuts >= 10 + 7 + 18, "{cuts}");
    // The next server comes at least to the end of its start each time, and some of them force something before.
    assert!(cuts_later > cuts, "{cuts_later}");
}
