//! Files in a folder of the local disk. Must never know a name: every path below is made of the data folder's, of
//! fixed words and of an [`UploadId`], whose grammar holds no dot and no slash (promise 6).
//!
//! ```text
//! <data>/lock                      held while a process uses the folder
//! <data>/staging/<id>              being received
//! <data>/files/<ab>/<cd>/<id>      stored; ab and cd are the first letters of the id
//! <data>/trash/<id>                renamed here, then unlinked: a large file's end takes time
//! ```
//!
//! A stored file is made by fsync of the file, rename, fsync of its folder (and, the first time, of the folders
//! above), so that it is there whole or not at all after a power loss (promise 11). Blocking calls run on the
//! runtime's blocking threads, a bounded number of them at once: each thread costs a stack.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, IoSlice},
    ops::Range,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use rustix::{buffer::spare_capacity, io::Errno};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{
    ByteStream, Checkpoint, Checkpointing, Durability, Readable, Sealed, Source, StageOptions, Staging,
    Store, StoreError, hex,
};
use crate::{server::steps, wire::UploadId};

/// Reads and writes that run at the same time.
const MAX_QUICK: usize = 16;

/// Syncs that run at the same time: they take long, and must not keep reads and writes waiting. Several together cost
/// a journal little more than one.
const MAX_SLOW: usize = 16;

/// Files read whole for their digest at the same time: each keeps a processor busy.
const MAX_HASHING: usize = 4;

/// Bytes of a download read at once.
const READ_SIZE: usize = 256 * 1024;

/// Bytes of another file that are joined at once, between two looks at whether it is still wanted.
const JOIN_SIZE: u64 = 64 << 20;

/// Slices in one `pwritev`: well under every system's IOV_MAX.
const MAX_SLICES: usize = 256;

const STAGING: &str = "staging";
const FILES: &str = "files";
const TRASH: &str = "trash";

/// A store in a folder. Cloning gives another handle to the same store.
#[derive(Clone, Debug)]
pub struct DiskStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Forces a file or folder to the medium, or does nothing: what the durability asks for.
    sync: fn(&File, Force) -> io::Result<()>,
    /// False from the first failed sync on.
    healthy: AtomicBool,
    quick: Semaphore,
    slow: Semaphore,
    hashing: Semaphore,
    /// Staged files that are open, by whichever of their handles.
    open: Mutex<HashSet<UploadId>>,
    /// Folders under `files` whose own entry in the folder above is on the medium.
    durable_folders: Mutex<HashSet<Shard>>,
    /// The folder of staged files, open: its sync must not fail for want of a handle.
    staging: File,
    /// Two processes in one folder would sweep each other's files.
    lock: File,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Closing the file does not do it while a program is being started elsewhere in this process: until it runs, it
        // holds all our files as well.
        let _ = self.lock.unlock();
    }
}

/// How much of a file is forced to the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Force {
    /// Its bytes, and of what is said of it only what it takes to find them: fdatasync.
    Bytes,
    /// All of it: fsync.
    All,
}

/// The letters of a shard folder, one or two levels. Numbers and not paths: there are at most 2^20 of them.
type Shard = (u16, Option<u16>);

impl DiskStore {
    /// Opens the store in this folder, and makes the folder when there is none.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open.
    pub async fn open(root: &Path, durability: Durability) -> Result<Self, StoreError> {
        let sync = match durability {
            Durability::Full => |file: &File, force| match force {
                Force::Bytes => file.sync_data(),
                Force::All => file.sync_all(),
            },
            Durability::PageCache => |_: &File, _| Ok(()),
        };
        Self::open_with(root.to_owned(), sync).await
    }

    /// With another way of forcing things to the medium.
    pub(in crate::server) async fn open_with(
        root: PathBuf,
        sync: fn(&File, Force) -> io::Result<()>,
    ) -> Result<Self, StoreError> {
        blocking("opening the data folder", move || {
            for folder in [STAGING, FILES, TRASH] {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(folder))?;
            }
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(root.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Err(StoreError::InUse)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            sync(&File::open(&root)?, Force::All)?;
            let shared = Shared {
                staging: File::open(root.join(STAGING))?,
                root,
                sync,
                healthy: AtomicBool::new(true),
                quick: Semaphore::new(MAX_QUICK),
                slow: Semaphore::new(MAX_SLOW),
                hashing: Semaphore::new(MAX_HASHING),
                open: Mutex::default(),
                durable_folders: Mutex::default(),
                lock,
            };
            Ok(Ok(Self { shared: Arc::new(shared) }))
        })
        .await?
    }

    /// The right to have this staged file open, given back when dropped. `None`: somebody has it.
    fn claim(&self, id: &UploadId) -> Option<Claim> {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(id.clone()).then(|| Claim { shared: Arc::clone(&self.shared), id: id.clone() })
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _turn = self.shared.quick.acquire().await;
        let shared = Arc::clone(&self.shared);
        blocking(doing, move || work(&shared)).await
    }
}

impl Store for DiskStore {
    type Staging = DiskStaging;

    async fn stage(&self, id: &UploadId, options: StageOptions) -> Result<DiskStaging, StoreError> {
        let name = id.clone();
        let claim = self.claim(id).ok_or(StoreError::Exists)?;
        let file = self.run("creating a staged file", move |shared| {
            if fs::exists(shared.stored(&name))? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let mut options = OpenOptions::new();
            let file =
                options.read(true).write(true).create_new(true).mode(0o600).open(shared.staged(&name))?;
            steps::pass(steps::STAGED);
            Ok(file)
        });
        let file = file.await?;
        Ok(DiskStaging {
            shared: Arc::clone(&self.shared),
            id: id.clone(),
            len: 0,
            hashing: if options.sha256 { Hashing::Running(Sha256::new()) } else { Hashing::No },
            since: Since { at: 0, crc32c: options.keep.then_some(0) },
            durable: Arc::default(),
            state: State::Open(Arc::new(Handle { file, _claim: claim })),
            keep: options.keep,
        })
    }

    async fn resume(
        &self,
        id: &UploadId,
        offset: u64,
        options: StageOptions,
    ) -> Result<DiskStaging, StoreError> {
        let name = id.clone();
        let claim = self.claim(id).ok_or(StoreError::Busy)?;
        let file = self.run("taking up a staged file", move |shared| {
            let opened = OpenOptions::new().read(true).write(true).open(shared.staged(&name));
            let Some(file) = found(opened)? else { return Ok(Err(StoreError::NotFound)) };
            let found = file.metadata()?.len();
            if found < offset {
                return Ok(Err(StoreError::Short { found, expected: offset }));
            }
            if found > offset {
                file.set_len(offset)?;
            }
            Ok(Ok(file))
        });
        let file = file.await??;
        Ok(DiskStaging {
            shared: Arc::clone(&self.shared),
            id: id.clone(),
            len: offset,
            hashing: if options.sha256 { Hashing::AtTheEnd } else { Hashing::No },
            since: Since { at: offset, crc32c: Some(0) },
            durable: Arc::default(),
            state: State::Open(Arc::new(Handle { file, _claim: claim })),
            keep: true,
        })
    }

    async fn open_staged(&self, id: &UploadId, len: u64) -> Result<Readable, StoreError> {
        let id = id.clone();
        let opened = self.run("opening a staged file", move |shared| {
            let Some(file) = found(File::open(shared.staged(&id)))? else {
                return Ok(Err(StoreError::NotFound));
            };
            match file.metadata()?.len() {
                found if found < len => Ok(Err(StoreError::Short { found, expected: len })),
                _ => Ok(Ok(file)),
            }
        });
        let reader = DiskReader { shared: Arc::clone(&self.shared), file: Arc::new(opened.await??) };
        Ok(Readable { len, source: Source::Disk(reader) })
    }

    async fn open(&self, id: &UploadId) -> Result<Readable, StoreError> {
        let id = id.clone();
        let opened = self.run("opening a file", move |shared| match found(File::open(shared.stored(&id)))? {
            Some(file) => Ok(Some((file.metadata()?.len(), file))),
            None => Ok(None),
        });
        match opened.await? {
            Some((len, file)) => {
                let reader = DiskReader { shared: Arc::clone(&self.shared), file: Arc::new(file) };
                Ok(Readable { len, source: Source::Disk(reader) })
            }
            None => Err(StoreError::NotFound),
        }
    }

    async fn remove(&self, id: &UploadId) -> Result<(), StoreError> {
        let id = id.clone();
        let _turn = self.shared.slow.acquire().await;
        let shared = Arc::clone(&self.shared);
        blocking("removing a file", move || shared.remove(&id)).await
    }

    async fn confirm(&self, id: &UploadId) -> Result<(), StoreError> {
        let id = id.clone();
        let _turn = self.shared.slow.acquire().await;
        let shared = Arc::clone(&self.shared);
        let confirmed = blocking("storing a file", move || {
            if !fs::exists(shared.stored(&id))? {
                return Ok(Err(StoreError::NotFound));
            }
            shared.force_folder(&shared.make_folders(&id)?).map(Ok)
        });
        confirmed.await?
    }

    async fn unstage(&self, id: &UploadId) -> Result<(), StoreError> {
        let id = id.clone();
        self.run("removing a staged file", move |shared| unlink(&shared.staged(&id)).map(drop)).await
    }

    async fn staged(&self) -> Result<Vec<UploadId>, StoreError> {
        self.run("listing staged files", |shared| ids_in(&shared.root.join(STAGING))).await
    }

    async fn sweep(&self) -> Result<usize, StoreError> {
        self.run("emptying the trash", |shared| {
            let trash = shared.root.join(TRASH);
            let ids = ids_in(&trash)?;
            ids.iter().try_for_each(|id| shared.empty_trash_of(id))?;
            Ok(ids.len())
        })
        .await
    }

    async fn available_space(&self) -> Result<Option<u64>, StoreError> {
        self.run("asking for the space left", |shared| {
            let volume = rustix::fs::statvfs(&shared.root)?;
            Ok(Some(volume.f_bavail.saturating_mul(volume.f_frsize)))
        })
        .await
    }

    fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }
}

/// A file on its way to the disk.
#[derive(Debug)]
pub struct DiskStaging {
    shared: Arc<Shared>,
    id: UploadId,
    /// Bytes written, and the offset of the next write.
    len: u64,
    hashing: Hashing,
    since: Since,
    /// How far an ended checkpoint or settling has come, at least.
    durable: Arc<AtomicU64>,
    state: State,
    /// Whether it stays when this is dropped.
    keep: bool,
}

#[derive(Debug)]
enum State {
    /// Bytes may come. The handle is shared with at most one write and one sync.
    Open(Arc<Handle>),
    /// Durable and closed, still staged.
    Settled(Sealed),
    /// A write or a sync has failed, or was abandoned: the file is no longer what `len` and the hash say.
    Broken,
    /// Sealed or removed: there is no staged file any more.
    Over,
}

/// An open staged file. Blocking calls hold on to it, so that nobody takes the file up again while one still runs
/// whose caller has gone.
#[derive(Debug)]
struct Handle {
    file: File,
    _claim: Claim,
}

#[derive(Debug)]
struct Claim {
    shared: Arc<Shared>,
    id: UploadId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[derive(Debug)]
enum Hashing {
    No,
    /// Everything so far is in it.
    Running(Sha256),
    /// Of what was written before it was taken up again nothing is known: the whole file is read in the end.
    AtTheEnd,
}

/// What was written since the last checkpoint.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// Where that was.
    at: u64,
    /// CRC-32C from there on, of a file that is to be kept.
    crc32c: Option<u32>,
}

impl Staging for DiskStaging {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        let State::Open(handle) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(StoreError::Broken);
        };
        let (offset, mut since) = (self.len, self.since);
        let mut hashing = std::mem::replace(&mut self.hashing, Hashing::No);
        let _turn = self.shared.quick.acquire().await;
        let written = blocking("writing a staged file", move || {
            let written =
                steps::attempt(steps::WRITE).and_then(|()| write_all_at(&handle.file, &chunks, offset));
            steps::pass(steps::WRITTEN);
            let len = match written {
                Ok(len) => len,
                Err(error) => {
                    // Part of it may be there, and takes room that is needed to say how far the file is.
                    handle.file.set_len(offset)?;
                    return Ok((handle, hashing, since, Err(error)));
                }
            };
            if let Hashing::Running(hasher) = &mut hashing {
                chunks.iter().for_each(|chunk| hasher.update(chunk));
            }
            if let Some(crc) = &mut since.crc32c {
                *crc = chunks.iter().fold(*crc, |crc, chunk| crc32c::crc32c_append(crc, chunk));
            }
            Ok((handle, hashing, since, Ok(len)))
        });
        let (handle, hashing, since, written) = written.await?;
        let len = match written.map_err(|error| StoreError::io("writing a staged file", error)) {
            Ok(len) => len,
            // It is what it was before.
            Err(StoreError::OutOfSpace) if self.keep => {
                self.hashing = hashing;
                self.state = State::Open(handle);
                return Err(StoreError::OutOfSpace);
            }
            Err(error) => return Err(error),
        };
        self.hashing = hashing;
        self.since = since;
        self.len += len;
        self.state = State::Open(handle);
        Ok(())
    }

    async fn join(&mut self, part: Readable) -> Result<(), StoreError> {
        let State::Open(handle) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(StoreError::Broken);
        };
        let Source::Disk(part_file) = part.source else { return Err(StoreError::Broken) };
        let mut joined = 0;
        while joined < part.len {
            let (from, to) = (Arc::clone(&part_file.file), Arc::clone(&handle));
            let (at, offset, size) = (joined, self.len + joined, (part.len - joined).min(JOIN_SIZE));
            let _turn = self.shared.slow.acquire().await;
            let copied = blocking("joining staged files", move || {
                let copied =
                    steps::attempt(steps::WRITE).and_then(|()| copy(&from, at, &to.file, offset, size));
                steps::pass(steps::WRITTEN);
                Ok(copied)
            });
            if let Err(error) = copied.await?.map_err(|error| StoreError::io("joining staged files", error)) {
                let (to, len) = (Arc::clone(&handle), self.len);
                blocking("joining staged files", move || to.file.set_len(len)).await?;
                if self.keep && matches!(error, StoreError::OutOfSpace) {
                    // It is what it was before.
                    self.state = State::Open(handle);
                }
                return Err(error);
            }
            joined += size;
        }
        if joined > 0 {
            self.len += joined;
            self.since.crc32c = None;
            if let Hashing::Running(_) = self.hashing {
                self.hashing = Hashing::AtTheEnd;
            }
        }
        self.state = State::Open(handle);
        Ok(())
    }

    fn checkpoint(&mut self) -> Checkpointing {
        let State::Open(handle) = &self.state else {
            return Box::pin(async { Err(StoreError::Broken) });
        };
        let (handle, shared, durable) =
            (Arc::clone(handle), Arc::clone(&self.shared), Arc::clone(&self.durable));
        let checkpoint =
            Checkpoint { range: self.since.at..self.len, crc32c: self.since.crc32c.unwrap_or(0) };
        let keep = self.keep;
        self.since = Since { at: self.len, crc32c: keep.then_some(0) };
        Box::pin(async move {
            let store = Arc::clone(&shared);
            let _turn = store.slow.acquire().await;
            blocking("syncing a staged file", move || {
                shared.force(&handle.file, Force::Bytes)?;
                if checkpoint.range.start == 0 && keep {
                    // Bytes without a name are lost as well.
                    shared.force(&shared.staging, Force::All)?;
                }
                durable.fetch_max(checkpoint.range.end, Ordering::SeqCst);
                Ok(checkpoint)
            })
            .await
        })
    }

    async fn settle(&mut self) -> Result<Sealed, StoreError> {
        let handle = match std::mem::replace(&mut self.state, State::Broken) {
            State::Open(handle) => handle,
            State::Settled(sealed) => {
                self.state = State::Settled(sealed.clone());
                return Ok(sealed);
            }
            State::Broken | State::Over => return Err(StoreError::Broken),
        };
        let turn = self.shared.slow.acquire().await;
        let (shared, len) = (Arc::clone(&self.shared), self.len);
        let hashing = std::mem::replace(&mut self.hashing, Hashing::No);
        let is_durable = len > 0 && self.durable.load(Ordering::SeqCst) == len;
        let handle = blocking("syncing a staged file", move || {
            if !is_durable {
                shared.force(&handle.file, Force::All)?;
            }
            match handle.file.metadata()?.len() {
                found if found == len => Ok(handle),
                found => Err(io::Error::other(format!("{len} bytes were written and {found} are there"))),
            }
        })
        .await?;
        drop(turn);
        // Reading all of a large file takes long, and others' syncs must not wait for it.
        let _turn = match hashing {
            Hashing::AtTheEnd => Some(self.shared.hashing.acquire().await),
            Hashing::No | Hashing::Running(_) => None,
        };
        let sealed = blocking("reading a staged file", move || {
            let sha256 = match hashing {
                Hashing::No => None,
                Hashing::Running(hasher) => Some(hex(&hasher.finalize())),
                Hashing::AtTheEnd => Some(hash(&handle.file, len)?),
            };
            Ok(Sealed { size: len, sha256 })
        });
        let sealed = sealed.await?;
        self.state = State::Settled(sealed.clone());
        Ok(sealed)
    }

    async fn seal(mut self) -> Result<Sealed, StoreError> {
        let sealed = self.settle().await?;
        let _turn = self.shared.slow.acquire().await;
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        blocking("storing a file", move || shared.publish(&id)).await?;
        self.state = State::Over;
        Ok(sealed)
    }

    async fn discard(mut self) {
        let _turn = self.shared.quick.acquire().await;
        self.state = State::Over;
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        let removed = blocking("discarding a staged file", move || unlink(&shared.staged(&id))).await;
        if let Err(error) = removed {
            tracing::warn!(id = %self.id, error = &error as &dyn std::error::Error, "a staged file stays behind");
        }
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl Drop for DiskStaging {
    fn drop(&mut self) {
        if self.keep || matches!(self.state, State::Over) {
            return;
        }
        // Only tasks that were torn come here; everyone else discards. A write that is still running on a blocking
        // thread writes to a file without a name, and its space goes with its handle.
        if let Err(error) = unlink(&self.shared.staged(&self.id)) {
            tracing::warn!(id = %self.id, %error, "a staged file stays behind");
        }
    }
}

impl Shared {
    fn staged(&self, id: &UploadId) -> PathBuf {
        self.root.join(STAGING).join(id.as_str())
    }

    fn stored(&self, id: &UploadId) -> PathBuf {
        let [_, _, folder] = self.folders(id);
        folder.join(id.as_str())
    }

    fn trashed(&self, id: &UploadId) -> PathBuf {
        self.root.join(TRASH).join(id.as_str())
    }

    /// The folders that lead to a stored file: `files`, `files/ab`, `files/ab/cd`.
    fn folders(&self, id: &UploadId) -> [PathBuf; 3] {
        let files = self.root.join(FILES);
        let first = files.join(&id.as_str()[..2]);
        let second = first.join(&id.as_str()[2..4]);
        [files, first, second]
    }

    /// Forces a file or folder to the medium, once: after a failure the kernel may have dropped the pages and call
    /// the next sync a success, so a failure is final and the volume is not to be trusted.
    fn force(&self, file: &File, force: Force) -> io::Result<()> {
        let forced = steps::attempt(steps::SYNC).and_then(|()| (self.sync)(file, force));
        steps::pass(steps::SYNCED);
        forced.inspect_err(|error| {
            self.healthy.store(false, Ordering::Relaxed);
            tracing::error!(%error, "the volume failed to make a file durable");
        })
    }

    fn force_folder(&self, folder: &Path) -> io::Result<()> {
        self.force(&File::open(folder)?, Force::All)
    }

    /// Staged to stored. On failure it is still staged, or, when its folder could not be made durable, nowhere.
    fn publish(&self, id: &UploadId) -> io::Result<()> {
        let stored = self.stored(id);
        // Opened now: after the rename only the sync itself may fail.
        let folder = File::open(self.make_folders(id)?)?;
        // Two ids cannot meet by chance; but a file once stored is never written over (promise 11).
        if fs::exists(&stored)? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        steps::attempt(steps::RENAME)?;
        fs::rename(self.staged(id), &stored)?;
        steps::pass(steps::RENAMED);
        self.force(&folder, Force::All).inspect_err(|_| {
            if let Err(error) = unlink(&stored) {
                tracing::error!(%id, %error, "a file that failed to be stored stays behind");
            }
        })?;
        steps::pass(steps::STORED);
        Ok(())
    }

    /// Makes sure that the folder of a stored file is there and that its name is on the medium.
    fn make_folders(&self, id: &UploadId) -> io::Result<PathBuf> {
        let [files, first, second] = self.folders(id);
        let letters = id.as_str().as_bytes();
        let outer = u16::from_be_bytes([letters[0], letters[1]]);
        let inner = u16::from_be_bytes([letters[2], letters[3]]);
        for (shard, above, folder) in
            [((outer, None), &files, &first), ((outer, Some(inner)), &first, &second)]
        {
            if self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard) {
                continue;
            }
            // Another task may have made it and not yet have synced it, so whoever comes first syncs as well.
            match fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => self.force_folder(above)?,
            }
            self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).insert(shard);
        }
        Ok(second)
    }

    fn remove(&self, id: &UploadId) -> io::Result<()> {
        unlink(&self.staged(id))?;
        match fs::rename(self.stored(id), self.trashed(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            // Also when there was nothing to rename: an earlier call may have come as far as the trash.
            _ => self.empty_trash_of(id),
        }
    }

    /// Unlinks a file that was renamed into the trash, if there is one. Before, it is forced to the medium that it has
    /// left its folder: whoever renamed it may have died before that, and once nobody looks for the file any more a loss of
    /// power must not bring it back.
    fn empty_trash_of(&self, id: &UploadId) -> io::Result<()> {
        let trashed = self.trashed(id);
        if !fs::exists(&trashed)? {
            return Ok(());
        }
        let [_, _, folder] = self.folders(id);
        match File::open(&folder) {
            Ok(folder) => self.force(&folder, Force::All)?,
            // It never was stored.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        unlink(&trashed).map(drop)
    }
}

/// Runs blocking work on a thread that may block.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| StoreError::io(doing, error)),
        Err(torn) => Err(StoreError::io(doing, io::Error::other(torn))),
    }
}

/// Writes all of it at this offset, with as few calls as the system allows; tells how many bytes that were.
fn write_all_at(file: &File, chunks: &[Bytes], offset: u64) -> io::Result<u64> {
    let mut at = offset;
    for group in chunks.chunks(MAX_SLICES) {
        let mut slices: Vec<IoSlice<'_>> =
            group.iter().filter(|chunk| !chunk.is_empty()).map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, at) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(at - offset)
}

/// Copies so many bytes from one file to another, each at its place.
fn copy(from: &File, mut at: u64, to: &File, mut offset: u64, size: u64) -> io::Result<()> {
    let end = at + size;
    // The system need not copy at all where files can share their blocks.
    while at < end {
        match copy_within(from, &mut at, to, &mut offset, end) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It cannot, of these files or at all.
            Err(error) if matches!(error.raw_os_error(), Some(code) if CANNOT_COPY.contains(&code)) => break,
            Err(error) => return Err(error),
        }
    }
    let mut buffer = vec![0; if at < end { READ_SIZE } else { 0 }];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_SIZE);
        let read = match from.read_at(&mut buffer[..wanted], at) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        to.write_all_at(&buffer[..read], offset)?;
        at += read as u64;
        offset += read as u64;
    }
    Ok(())
}

/// What the system says when it does not copy from file to file: across volumes, on some of them, or ever.
const CANNOT_COPY: [i32; 4] = [
    Errno::XDEV.raw_os_error(),
    Errno::NOSYS.raw_os_error(),
    Errno::OPNOTSUPP.raw_os_error(),
    Errno::INVAL.raw_os_error(),
];

#[cfg(target_os = "linux")]
fn copy_within(from: &File, at: &mut u64, to: &File, offset: &mut u64, end: u64) -> io::Result<usize> {
    let size = usize::try_from(end - *at).unwrap_or(usize::MAX);
    Ok(rustix::fs::copy_file_range(from, Some(at), to, Some(offset), size)?)
}

#[cfg(not(target_os = "linux"))]
fn copy_within(_: &File, _: &mut u64, _: &File, _: &mut u64, _: u64) -> io::Result<usize> {
    Err(Errno::NOSYS.into())
}

/// A stored file being read.
#[derive(Debug)]
pub(super) struct DiskReader {
    shared: Arc<Shared>,
    file: Arc<File>,
}

impl DiskReader {
    /// The bytes of `range`, read on blocking threads straight into the buffers that are handed out.
    pub(super) fn stream(self, range: Range<u64>) -> ByteStream {
        Box::pin(stream::try_unfold((self, range), |(reader, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let (file, at) = (Arc::clone(&reader.file), range.start);
            let want = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(READ_SIZE);
            let turn = reader.shared.quick.acquire().await;
            let read = tokio::task::spawn_blocking(move || read_at(&file, at, want));
            let piece = read.await.map_err(io::Error::other)??;
            drop(turn);
            let next = at + piece.len() as u64..range.end;
            Ok(Some((piece, (reader, next))))
        }))
    }
}

fn read_at(file: &File, at: u64, want: usize) -> io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(want);
    loop {
        match rustix::io::pread(file, spare_capacity(&mut buffer), at) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                buffer.truncate(want);
                return Ok(buffer.into());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `None` for a file that is not there.
fn found(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// SHA-256 of the first `len` bytes, in hexadecimal.
fn hash(file: &File, len: u64) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(usize::MAX).min(READ_SIZE);
        let piece = read_at(file, at, want)?;
        hasher.update(&piece);
        at += piece.len() as u64;
    }
    Ok(hex(&hasher.finalize()))
}

/// Unlinks a file; tells whether there was one.
fn unlink(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The ids among the names in a folder. What is no id is not ours, and is left alone.
fn ids_in(folder: &Path) -> io::Result<Vec<UploadId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder)? {
        ids.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::store::conformance;

    fn id(number: u8) -> UploadId {
        UploadId::from_bits([number; 16])
    }

    /// Every file and folder below, relative, sorted; without the lock.
    fn tree(root: &Path) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else if path.file_name().unwrap() != "lock" {
                    found.push(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(root, root, &mut found);
        found.sort();
        found
    }

    async fn store_file(
        store: &DiskStore,
        id: &UploadId,
        bytes: &'static [u8],
    ) -> Result<Sealed, StoreError> {
        let mut staging = store.stage(id, StageOptions { sha256: true, keep: false }).await?;
        staging.write(vec![Bytes::from_static(bytes)]).await?;
        staging.seal().await
    }

    #[tokio::test]
    async fn conforms_with_either_durability() {
        for durability in [Durability::Full, Durability::PageCache] {
            let root = tempfile::tempdir().unwrap();
            conformance::check(&DiskStore::open(root.path(), durability).await.unwrap()).await;
            assert_eq!(tree(root.path()), [""; 0], "{durability}");
        }
    }

    #[tokio::test]
    async fn files_lie_where_the_layout_says() {
        let root = tempfile::tempdir().unwrap();
        let store = DiskStore::open(root.path(), Durability::Full).await.unwrap();
        let staging = store.stage(&id(1), StageOptions::default()).await.unwrap();
        assert_eq!(tree(root.path()), [format!("staging/{}", id(1))]);
        staging.seal().await.unwrap();
        assert_eq!(tree(root.path()), [format!("files/ae/aq/{}", id(1))]);
        store.remove(&id(1)).await.unwrap();
        assert_eq!(tree(root.path()), [""; 0]);
    }

    #[tokio::test]
    async fn a_failed_sync_is_final_and_marks_the_volume() {
        use std::sync::atomic::AtomicUsize;
        static SYNCS_LEFT: AtomicUsize = AtomicUsize::new(0);
        static FAILURES: AtomicUsize = AtomicUsize::new(0);
        fn failing(_: &File, _: Force) -> io::Result<()> {
            let left =
                SYNCS_LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map(drop).map_err(|_| {
                FAILURES.fetch_add(1, Ordering::SeqCst);
                io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
            })
        }
        // The first sync is that of the data folder; then come the file, two folders above, the folder of the file.
        for good in 1..=4 {
            let root = tempfile::tempdir().unwrap();
            SYNCS_LEFT.store(good, Ordering::SeqCst);
            FAILURES.store(0, Ordering::SeqCst);
            let store = DiskStore::open_with(root.path().to_owned(), failing).await.unwrap();
            assert!(store.healthy());
            let sealed = store_file(&store, &id(1), b"never safe").await;
            assert!(matches!(sealed, Err(StoreError::Io { .. })), "after {good}: {sealed:?}");
            assert_eq!(FAILURES.load(Ordering::SeqCst), 1, "after {good}: tried again");
            assert!(!store.healthy());
            assert_eq!(tree(root.path()), [""; 0], "after {good}");
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_is_found_and_swept() {
        let root = tempfile::tempdir().unwrap();
        let store = DiskStore::open(root.path(), Durability::Full).await.unwrap();
        store_file(&store, &id(3), b"whole").await.unwrap();
        drop(store);
        fs::write(root.path().join(STAGING).join(id(1).as_str()), "half").unwrap();
        fs::write(root.path().join(TRASH).join(id(2).as_str()), "deleted").unwrap();
        fs::write(root.path().join(STAGING).join("README"), "not ours").unwrap();

        let store = DiskStore::open(root.path(), Durability::Full).await.unwrap();
        assert_eq!(store.staged().await.unwrap(), [id(1)]);
        store.remove(&id(1)).await.unwrap();
        assert_eq!(store.sweep().await.unwrap(), 1);
        assert_eq!(tree(root.path()), [format!("files/am/bq/{}", id(3)), "staging/README".to_owned()]);
        assert_eq!(store.open(&id(3)).await.unwrap().len(), 5);
    }

    /// The old name used to take the file along when it was swept.
    #[tokio::test]
    async fn a_file_with_both_its_names_loses_the_first() {
        let root = tempfile::tempdir().unwrap();
        let store = DiskStore::open(root.path(), Durability::Full).await.unwrap();
        store_file(&store, &id(1), b"whole").await.unwrap();
        fs::hard_link(store.shared.stored(&id(1)), store.shared.staged(&id(1))).unwrap();
        assert_eq!(store.staged().await.unwrap(), [id(1)]);
        store.unstage(&id(1)).await.unwrap();
        assert_eq!(store.staged().await.unwrap(), []);
        assert_eq!(store.open(&id(1)).await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let first = DiskStore::open(root.path(), Durability::PageCache).await.unwrap();
        let second = DiskStore::open(root.path(), Durability::PageCache).await;
        assert!(matches!(second, Err(StoreError::InUse)));
        // As a program has it that is just being started.
        let _copy = first.shared.lock.try_clone().unwrap();
        drop(first);
        DiskStore::open(root.path(), Durability::PageCache).await.unwrap();
    }

    #[tokio::test]
    async fn a_removal_that_got_stuck_in_the_trash_is_finished() {
        let root = tempfile::tempdir().unwrap();
        let store = DiskStore::open(root.path(), Durability::Full).await.unwrap();
        fs::write(root.path().join(TRASH).join(id(9).as_str()), "half removed").unwrap();
        store.remove(&id(9)).await.unwrap();
        assert_eq!(tree(root.path()), [""; 0]);
    }

    /// A process that died between the renaming and its sync left a name on the medium that nobody looked for any more:
    /// after a loss of power the file was back, without a row in the catalog.
    #[tokio::test]
    async fn a_removal_that_another_process_began_is_forced_to_the_medium() {
        static FORCED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
        fn force(file: &File, _: Force) -> io::Result<()> {
            use std::os::fd::AsRawFd as _;
            let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
            let trash = path.join("../../..").join(TRASH);
            // What is unlinked before is lost from sight, and with it the need to sync.
            if fs::read_dir(trash).is_ok_and(|mut trash| trash.next().is_some()) {
                FORCED.lock().unwrap().push(path);
            }
            Ok(())
        }
        let root = tempfile::tempdir().unwrap();
        for is_swept in [false, true] {
            let store = DiskStore::open_with(fs::canonicalize(root.path()).unwrap(), force).await.unwrap();
            store_file(&store, &id(1), b"whole").await.unwrap();
            fs::rename(store.shared.stored(&id(1)), store.shared.trashed(&id(1))).unwrap();
            let [_, _, folder] = store.shared.folders(&id(1));
            drop(store);
            let store = DiskStore::open_with(fs::canonicalize(root.path()).unwrap(), force).await.unwrap();
            FORCED.lock().unwrap().clear();
            if is_swept {
                assert_eq!(store.sweep().await.unwrap(), 1);
            } else {
                store.remove(&id(1)).await.unwrap();
            }
            assert_eq!(*FORCED.lock().unwrap(), [folder]);
            assert_eq!(tree(root.path()), [""; 0]);
        }
    }

    #[test]
    fn more_slices_than_one_call_takes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let chunks: Vec<Bytes> = (0..3 * MAX_SLICES).map(|i| Bytes::from(vec![i as u8; i % 5])).collect();
        let whole = chunks.concat();
        assert_eq!(write_all_at(file.as_file(), &chunks, 7).unwrap(), whole.len() as u64);
        assert_eq!(fs::read(file.path()).unwrap()[7..], whole);
    }

    #[test]
    fn copied_by_the_system_or_by_hand_it_is_the_same() {
        let (from, to) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let bytes: Vec<u8> = (0..3 * READ_SIZE + 7).map(|i| (i * 7 % 251) as u8).collect();
        fs::write(from.path(), &bytes).unwrap();
        fs::write(to.path(), b"before").unwrap();
        copy(from.as_file(), 5, to.as_file(), 6, bytes.len() as u64 - 5).unwrap();
        assert_eq!(fs::read(to.path()).unwrap(), [b"before", &bytes[5..]].concat());
        let short = copy(from.as_file(), 0, to.as_file(), 0, bytes.len() as u64 + 1).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
        // The system does not copy out of a pipe, nor out of what it makes up as it is read.
        let made_up = File::open("/proc/self/status").unwrap();
        to.as_file().set_len(0).unwrap();
        copy(&made_up, 0, to.as_file(), 0, 6).unwrap();
        assert_eq!(fs::read(to.path()).unwrap(), b"Name:\t");
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        use futures_util::TryStreamExt as _;
        let root = tempfile::tempdir().unwrap();
        let store = DiskStore::open(root.path(), Durability::PageCache).await.unwrap();
        store_file(&store, &id(1), b"123456").await.unwrap();
        let opened = store.open(&id(1)).await.unwrap();
        OpenOptions::new().write(true).open(store.shared.stored(&id(1))).unwrap().set_len(5).unwrap();
        let read: io::Result<Vec<Bytes>> = opened.stream(0..6).try_collect().await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
