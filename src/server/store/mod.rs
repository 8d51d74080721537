//! Where the bytes of files live. A `Store` keeps a file in two places in turn: *staged* while it is being
//! received, *stored* once it is whole. Must never know names, owners or requests: a file here is an id and bytes.

mod disk;
mod memory;

#[cfg(test)]
mod conformance;

use std::{fmt, io, ops::Range, pin::Pin, str::FromStr};

use bytes::Bytes;
use futures_util::Stream;

#[cfg(test)]
pub(super) use disk::Force;
pub use disk::{DiskStaging, DiskStore};
pub use memory::{MemoryStaging, MemoryStore};

use super::Refusal;
use crate::wire::{ErrorCode, UploadId};

/// The bytes of a stored file, piece by piece.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A checkpoint on its way to the medium; goes on beside the writing. *Failure*: final, as for [`Staging::settle`].
pub type Checkpointing = Pin<Box<dyn Future<Output = Result<Checkpoint, StoreError>> + Send>>;

/// A place for files. Every backend passes one suite, `conformance.rs`.
///
/// Methods take `&self` and may be called from many tasks at once. Two calls for one id at the same time are the
/// caller's mistake, but neither may do more harm than an error.
pub trait Store: Send + Sync {
    /// A file on its way in.
    type Staging: Staging;

    /// Begins a file, empty, hidden from `open`.
    ///
    /// *Success*: bytes may be written. *Failure*: nothing was begun; [`StoreError::Exists`] when the id is staged
    /// or stored already, and what it names is untouched. *Dropped*: as for a dropped [`Staging`].
    fn stage(
        &self,
        id: &UploadId,
        options: StageOptions,
    ) -> impl Future<Output = Result<Self::Staging, StoreError>> + Send;

    /// Takes up a staged file again that nobody has open, as it was at this offset: what lies beyond is cut off.
    ///
    /// *Success*: bytes may be written from there on, and it is kept when dropped, whatever `options` say.
    /// *Failure*: [`StoreError::NotFound`] when it is not staged, [`StoreError::Short`] when it has fewer bytes,
    /// [`StoreError::Busy`] while an earlier staging of it is still open; it stays as it was.
    fn resume(
        &self,
        id: &UploadId,
        offset: u64,
        options: StageOptions,
    ) -> impl Future<Output = Result<Self::Staging, StoreError>> + Send;

    /// Opens the first `len` bytes of a staged file for reading, one that nobody writes to.
    ///
    /// *Failure*: [`StoreError::NotFound`] when it is not staged, [`StoreError::Short`] when it has fewer bytes.
    fn open_staged(
        &self,
        id: &UploadId,
        len: u64,
    ) -> impl Future<Output = Result<Readable, StoreError>> + Send;

    /// Opens a stored file for reading. What was opened can be read to its end even when it is removed meanwhile.
    ///
    /// *Failure*: [`StoreError::NotFound`] for an id that is not stored, staged ones included.
    fn open(&self, id: &UploadId) -> impl Future<Output = Result<Readable, StoreError>> + Send;

    /// Makes durable that a file is stored: of one found so after the end of a process that may not have come as far.
    ///
    /// *Success*: as of [`Staging::seal`]. *Failure*: [`StoreError::NotFound`] when it is not stored; any other is
    /// final if the store is not healthy after it. *Dropped*: as for failure.
    fn confirm(&self, id: &UploadId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a file, staged or stored, and its space. Idempotent: an id that is not there is removed already.
    ///
    /// *Success*: it is gone, and stays gone after a power loss when the store is durable. *Failure*: it may be
    /// there or not; try again. *Dropped*: as for failure.
    fn remove(&self, id: &UploadId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes what is staged of this id, and nothing else: a file that is stored stays, also where a loss of power has
    /// left it with both its names. Idempotent.
    fn unstage(&self, id: &UploadId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The ids of everything staged. At start-up these are what a crash has left.
    fn staged(&self) -> impl Future<Output = Result<Vec<UploadId>, StoreError>> + Send;

    /// Finishes the removals that a crash has interrupted; tells how many there were.
    fn sweep(&self) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Bytes that can still be written, if the store can tell.
    fn available_space(&self) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send;

    /// False once the store has failed to make something durable: what the machine holds in memory and what is on
    /// the medium may differ from then on, until an operator has looked.
    fn healthy(&self) -> bool;
}

/// A file on its way in: written from its beginning to its end, then sealed or discarded.
///
/// *Dropped* without either: removed, as if discarded, in the calling thread; unless it was to be kept
/// ([`StageOptions::keep`]), then it stays staged, and [`Store::resume`] takes it up again.
pub trait Staging: Send {
    /// Appends these chunks.
    ///
    /// *Success*: they count in `len`. *Failure or dropped*: nobody knows how much was written; nothing but
    /// `discard` and drop makes sense any more, and everything else fails. Only a file that is to be kept, and for
    /// which there is no more space, is as it was before, and can be checkpointed.
    fn write(&mut self, chunks: Vec<Bytes>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Appends all of what was opened, without its passing through this process where the system can do that. The
    /// checkpoint after it knows no CRC of its bytes, and says 0.
    ///
    /// *Success*, *failure*, *dropped*: as for [`write`](Self::write).
    fn join(&mut self, part: Readable) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes durable what was written since the last checkpoint, or since it was taken up, while writing goes on.
    /// One at a time: the next is asked for when this one has ended. A failure is final: it is never tried again,
    /// because a second try may succeed without the bytes being safe.
    fn checkpoint(&mut self) -> Checkpointing;

    /// Makes what was written durable and lets go of open handles, without showing the file; tells what will be
    /// sealed. No write may follow. A failure is final, as for a checkpoint.
    fn settle(&mut self) -> impl Future<Output = Result<Sealed, StoreError>> + Send;

    /// Settles if that was not done, then turns the staged file into a stored one, in one step that cannot be seen
    /// half done.
    ///
    /// *Success*: `open` finds it, and a durable store finds it after a power loss. *Failure*: not stored; staged at
    /// most when it was to be kept. *Dropped*: either staged and swept at the next start, or stored: remove it.
    fn seal(self) -> impl Future<Output = Result<Sealed, StoreError>> + Send;

    /// Removes it, and its space. A failure is logged; the next start sweeps what is left.
    fn discard(self) -> impl Future<Output = ()> + Send;

    /// Bytes written so far.
    fn len(&self) -> u64;

    /// Whether nothing was written yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What to do while a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageOptions {
    /// Compute the SHA-256 of the bytes on their way. Of a file that was taken up again it is computed at the end, by
    /// reading it.
    pub sha256: bool,
    /// Leave it staged when the staging is dropped.
    pub keep: bool,
}

/// Bytes of a staged file that are durable since a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// From the last checkpoint to this one, in bytes. Everything before is durable as well.
    pub range: Range<u64>,
    /// CRC-32C of these bytes. 0 when there are none, when some of them were joined from another file, or when the file
    /// is not one to be kept.
    pub crc32c: u32,
}

/// A file that is whole and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of the bytes in lower-case hexadecimal, when it was asked for.
    pub sha256: Option<String>,
}

/// A stored file, opened.
#[derive(Debug)]
pub struct Readable {
    len: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Disk(disk::DiskReader),
    Memory(Bytes),
}

impl Readable {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of `range`, which is cut to the file's length. The stream fails, and does not just end, when the
    /// file turns out shorter.
    pub fn stream(self, range: Range<u64>) -> ByteStream {
        let range = range.start.min(self.len)..range.end.min(self.len);
        match self.source {
            Source::Disk(reader) => reader.stream(range),
            Source::Memory(bytes) => memory::stream(&bytes, range),
        }
    }
}

/// Of what an offset that a sender is told, and "stored", are true (promises 2 and 11).
///
/// Either way all that was told survives the death of the process at any moment. They differ when the machine dies.
///
/// The difference is the wait for the medium: a sync for each checkpoint (8 MiB or one second, taken beside the
/// writing), and syncs of the bytes, the name and the catalog at the end of a file, which nothing else hides: a small
/// file consists of little else. How much that is belongs to the disk; `make bench` prints both side by side, for large
/// and for small files, and the README what it printed last.
///
/// Choose [`PageCache`](Self::PageCache) where what is uploaded can be had again, or where the volume is safe by itself
/// (a cache with a battery, a replica that acknowledges); otherwise stay with [`Full`](Self::Full).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Of the medium: what was told survives the loss of power.
    #[default]
    Full,
    /// Of the system's memory: after a loss of power a file may lack, without a sign, what had not been written yet.
    PageCache,
}

impl Durability {
    /// As options spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::PageCache => "page-cache",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Full, Self::PageCache]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or(UnknownDurability)
    }
}

/// A durability that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the durability is `full` or `page-cache`")]
pub struct UnknownDurability;

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium, the quota or the store's own bound is used up, or a file may not be as large.
    #[error("no space left in the store")]
    OutOfSpace,
    /// The id is not stored.
    #[error("no such file in the store")]
    NotFound,
    /// The id is taken.
    #[error("the id is in use in the store")]
    Exists,
    /// Another process uses the same folder.
    #[error("the data folder is in use by another process")]
    InUse,
    /// A staged file has fewer bytes than were told to be durable.
    #[error("a staged file has {found} bytes instead of {expected}")]
    Short {
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be there.
        expected: u64,
    },
    /// A staged file is still open.
    #[error("the staged file is still open")]
    Busy,
    /// A staging whose last write did not end, or that was settled, was written or sealed.
    #[error("the staged file is in no state for this")]
    Broken,
    /// Everything else.
    #[error("{doing} failed")]
    Io {
        /// What the store was doing.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Sorts what the system said.
    fn io(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::OutOfSpace
            }
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Io { doing, source },
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let (code, message) = match &error {
            StoreError::OutOfSpace => (ErrorCode::OutOfSpace, "The server has no space left for this file."),
            StoreError::NotFound => (ErrorCode::NotFound, "There is no such file."),
            StoreError::Exists
            | StoreError::InUse
            | StoreError::Short { .. }
            | StoreError::Busy
            | StoreError::Broken
            | StoreError::Io { .. } => (ErrorCode::StorageFailed, "The server could not store the file."),
        };
        Refusal::new(code, message).caused_by(error)
    }
}

/// The store that the configuration chose. Cloning gives another handle to the same store.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// A folder.
    Disk(DiskStore),
    /// Memory: for tests, and for servers that hand on and keep nothing.
    Memory(MemoryStore),
}

/// The staging of [`AnyStore`].
#[derive(Debug)]
pub enum AnyStaging {
    /// In a folder.
    Disk(DiskStaging),
    /// In memory.
    Memory(MemoryStaging),
}

macro_rules! each {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self {
            Self::Disk($inner) => $call,
            Self::Memory($inner) => $call,
        }
    };
}

impl Store for AnyStore {
    type Staging = AnyStaging;

    async fn stage(&self, id: &UploadId, options: StageOptions) -> Result<AnyStaging, StoreError> {
        match self {
            Self::Disk(store) => store.stage(id, options).await.map(AnyStaging::Disk),
            Self::Memory(store) => store.stage(id, options).await.map(AnyStaging::Memory),
        }
    }

    async fn resume(
        &self,
        id: &UploadId,
        offset: u64,
        options: StageOptions,
    ) -> Result<AnyStaging, StoreError> {
        match self {
            Self::Disk(store) => store.resume(id, offset, options).await.map(AnyStaging::Disk),
            Self::Memory(store) => store.resume(id, offset, options).await.map(AnyStaging::Memory),
        }
    }

    async fn open_staged(&self, id: &UploadId, len: u64) -> Result<Readable, StoreError> {
        each!(self, store => store.open_staged(id, len).await)
    }

    async fn open(&self, id: &UploadId) -> Result<Readable, StoreError> {
        each!(self, store => store.open(id).await)
    }

    async fn remove(&self, id: &UploadId) -> Result<(), StoreError> {
        each!(self, store => store.remove(id).await)
    }

    async fn confirm(&self, id: &UploadId) -> Result<(), StoreError> {
        each!(self, store => store.confirm(id).await)
    }

    async fn unstage(&self, id: &UploadId) -> Result<(), StoreError> {
        each!(self, store => store.unstage(id).await)
    }

    async fn staged(&self) -> Result<Vec<UploadId>, StoreError> {
        each!(self, store => store.staged().await)
    }

    async fn sweep(&self) -> Result<usize, StoreError> {
        each!(self, store => store.sweep().await)
    }

    async fn available_space(&self) -> Result<Option<u64>, StoreError> {
        each!(self, store => store.available_space().await)
    }

    fn healthy(&self) -> bool {
        each!(self, store => store.healthy())
    }
}

impl Staging for AnyStaging {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        each!(self, staging => staging.write(chunks).await)
    }

    async fn join(&mut self, part: Readable) -> Result<(), StoreError> {
        each!(self, staging => staging.join(part).await)
    }

    fn checkpoint(&mut self) -> Checkpointing {
        each!(self, staging => staging.checkpoint())
    }

    async fn settle(&mut self) -> Result<Sealed, StoreError> {
        each!(self, staging => staging.settle().await)
    }

    async fn seal(self) -> Result<Sealed, StoreError> {
        each!(self, staging => staging.seal().await)
    }

    async fn discard(self) {
        each!(self, staging => staging.discard().await)
    }

    fn len(&self) -> u64 {
        each!(self, staging => staging.len())
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_read_as_it_is_written() {
        for durability in [Durability::Full, Durability::PageCache] {
            assert_eq!(durability.to_string().parse(), Ok(durability));
        }
        assert_eq!("Full".parse::<Durability>(), Err(UnknownDurability));
    }

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_from_other_faults() {
        let code =
            |errno: i32| Refusal::from(StoreError::io("writing", io::Error::from_raw_os_error(errno))).code();
        assert_eq!(code(rustix::io::Errno::NOSPC.raw_os_error()), ErrorCode::OutOfSpace);
        assert_eq!(code(rustix::io::Errno::DQUOT.raw_os_error()), ErrorCode::OutOfSpace);
        assert_eq!(code(rustix::io::Errno::IO.raw_os_error()), ErrorCode::StorageFailed);
    }
}
