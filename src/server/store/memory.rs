//! Files in memory, with a bound: for tests and for servers that keep nothing. Must never know a path.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use sha2::{Digest, Sha256};

use super::{
    ByteStream, Checkpoint, Checkpointing, Readable, Sealed, Source, StageOptions, Staging, Store,
    StoreError, hex,
};
use crate::wire::UploadId;

/// A store in memory. Cloning gives another handle to the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes that fit.
    capacity: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Never more than the capacity: the lengths of all files, staged and stored.
    used: u64,
    files: HashMap<UploadId, Entry>,
}

#[derive(Debug)]
enum Entry {
    /// Its bytes are in the staging; here is only how many there are.
    Staged(u64),
    /// Staged, and nobody has it open.
    Kept(BytesMut),
    Stored(Bytes),
}

impl MemoryStore {
    /// An empty store for this many bytes.
    pub fn new(capacity: u64) -> Self {
        Self { shared: Arc::new(Shared { capacity, held: Mutex::default() }) }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change below is whole before anything can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn remove(&mut self, id: &UploadId) {
        self.used -= match self.files.remove(id) {
            Some(Entry::Staged(len)) => len,
            Some(Entry::Kept(bytes)) => bytes.len() as u64,
            Some(Entry::Stored(bytes)) => bytes.len() as u64,
            None => 0,
        };
    }
}

impl Store for MemoryStore {
    type Staging = MemoryStaging;

    async fn stage(&self, id: &UploadId, options: StageOptions) -> Result<MemoryStaging, StoreError> {
        let mut held = self.shared.held();
        if held.files.contains_key(id) {
            return Err(StoreError::Exists);
        }
        held.files.insert(id.clone(), Entry::Staged(0));
        Ok(MemoryStaging {
            shared: Arc::clone(&self.shared),
            id: id.clone(),
            bytes: BytesMut::new(),
            checkpointed: 0,
            sha256: options.sha256,
            keep: options.keep,
            state: State::Open,
        })
    }

    async fn resume(
        &self,
        id: &UploadId,
        offset: u64,
        options: StageOptions,
    ) -> Result<MemoryStaging, StoreError> {
        let mut held = self.shared.held();
        let found = match held.files.get(id) {
            Some(Entry::Kept(bytes)) => bytes.len() as u64,
            Some(Entry::Staged(_)) => return Err(StoreError::Busy),
            _ => return Err(StoreError::NotFound),
        };
        if found < offset {
            return Err(StoreError::Short { found, expected: offset });
        }
        let Some(Entry::Kept(mut bytes)) = held.files.insert(id.clone(), Entry::Staged(offset)) else {
            return Err(StoreError::NotFound);
        };
        held.used -= found - offset;
        bytes.truncate(usize::try_from(offset).unwrap_or(usize::MAX));
        Ok(MemoryStaging {
            shared: Arc::clone(&self.shared),
            id: id.clone(),
            checkpointed: bytes.len(),
            bytes,
            sha256: options.sha256,
            keep: true,
            state: State::Open,
        })
    }

    async fn open_staged(&self, id: &UploadId, len: u64) -> Result<Readable, StoreError> {
        match self.shared.held().files.get(id) {
            Some(Entry::Kept(bytes)) if bytes.len() as u64 >= len => {
                let bytes = Bytes::copy_from_slice(&bytes[..usize::try_from(len).unwrap_or(usize::MAX)]);
                Ok(Readable { len, source: Source::Memory(bytes) })
            }
            Some(Entry::Kept(bytes)) => Err(StoreError::Short { found: bytes.len() as u64, expected: len }),
            Some(Entry::Staged(_)) => Err(StoreError::Busy),
            _ => Err(StoreError::NotFound),
        }
    }

    async fn open(&self, id: &UploadId) -> Result<Readable, StoreError> {
        match self.shared.held().files.get(id) {
            Some(Entry::Stored(bytes)) => {
                Ok(Readable { len: bytes.len() as u64, source: Source::Memory(bytes.clone()) })
            }
            _ => Err(StoreError::NotFound),
        }
    }

    async fn remove(&self, id: &UploadId) -> Result<(), StoreError> {
        self.shared.held().remove(id);
        Ok(())
    }

    async fn confirm(&self, id: &UploadId) -> Result<(), StoreError> {
        self.open(id).await.map(drop)
    }

    async fn unstage(&self, id: &UploadId) -> Result<(), StoreError> {
        let mut held = self.shared.held();
        if let Some(Entry::Staged(_) | Entry::Kept(_)) = held.files.get(id) {
            held.remove(id);
        }
        Ok(())
    }

    async fn staged(&self) -> Result<Vec<UploadId>, StoreError> {
        let held = self.shared.held();
        let staged =
            held.files.iter().filter(|(_, entry)| matches!(entry, Entry::Staged(_) | Entry::Kept(_)));
        Ok(staged.map(|(id, _)| id.clone()).collect())
    }

    async fn sweep(&self) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn available_space(&self) -> Result<Option<u64>, StoreError> {
        Ok(Some(self.shared.capacity - self.shared.held().used))
    }

    fn healthy(&self) -> bool {
        true
    }
}

/// A file on its way into memory.
#[derive(Debug)]
pub struct MemoryStaging {
    shared: Arc<Shared>,
    id: UploadId,
    bytes: BytesMut,
    /// Where the last checkpoint was.
    checkpointed: usize,
    sha256: bool,
    keep: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Settled,
    Broken,
    /// Sealed: what the id names is no longer ours to remove.
    Over,
}

impl Staging for MemoryStaging {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        if self.state != State::Open {
            self.state = State::Broken;
            return Err(StoreError::Broken);
        }
        let more: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        {
            let mut held = self.shared.held();
            let fits = self.shared.capacity - held.used >= more;
            match held.files.get_mut(&self.id) {
                Some(Entry::Staged(len)) if fits => *len += more,
                Some(Entry::Staged(_)) => {
                    if !self.keep {
                        self.state = State::Broken;
                    }
                    return Err(StoreError::OutOfSpace);
                }
                _ => {
                    self.state = State::Broken;
                    return Err(StoreError::NotFound);
                }
            }
            held.used += more;
        }
        // Copied, because a small slice may keep a large network buffer alive.
        for chunk in &chunks {
            self.bytes.extend_from_slice(chunk);
        }
        Ok(())
    }

    async fn join(&mut self, part: Readable) -> Result<(), StoreError> {
        let Source::Memory(bytes) = part.source else { return Err(StoreError::Broken) };
        self.write(vec![bytes]).await
    }

    fn checkpoint(&mut self) -> Checkpointing {
        if self.state != State::Open {
            return Box::pin(async { Err(StoreError::Broken) });
        }
        let range = self.checkpointed as u64..self.len();
        let crc32c = if self.keep { crc32c::crc32c(&self.bytes[self.checkpointed..]) } else { 0 };
        self.checkpointed = self.bytes.len();
        Box::pin(async move { Ok(Checkpoint { range, crc32c }) })
    }

    async fn settle(&mut self) -> Result<Sealed, StoreError> {
        match self.state {
            State::Open | State::Settled => {
                self.state = State::Settled;
                let sha256 = self.sha256.then(|| hex(&Sha256::digest(&self.bytes)));
                Ok(Sealed { size: self.len(), sha256 })
            }
            State::Broken | State::Over => Err(StoreError::Broken),
        }
    }

    async fn seal(mut self) -> Result<Sealed, StoreError> {
        let sealed = self.settle().await?;
        let bytes = std::mem::take(&mut self.bytes).freeze();
        match self.shared.held().files.get_mut(&self.id) {
            Some(entry @ Entry::Staged(_)) => *entry = Entry::Stored(bytes),
            _ => return Err(StoreError::NotFound),
        }
        self.state = State::Over;
        Ok(sealed)
    }

    async fn discard(mut self) {
        self.keep = false;
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Drop for MemoryStaging {
    fn drop(&mut self) {
        if self.state == State::Over {
            return;
        }
        let mut held = self.shared.held();
        match held.files.get_mut(&self.id) {
            Some(entry @ Entry::Staged(_)) if self.keep => {
                *entry = Entry::Kept(std::mem::take(&mut self.bytes))
            }
            Some(Entry::Staged(_)) => held.remove(&self.id),
            // Removed meanwhile, and perhaps begun anew by somebody else.
            _ => {}
        }
    }
}

/// The bytes of `range`, in one piece: they are in memory anyway.
pub(super) fn stream(bytes: &Bytes, range: Range<u64>) -> ByteStream {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let piece = bytes.slice(at(range.start)..at(range.end).max(at(range.start)));
    let pieces = (!piece.is_empty()).then_some(Ok::<_, io::Error>(piece));
    Box::pin(stream::iter(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::store::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::check(&MemoryStore::new(64 << 20)).await;
    }

    #[tokio::test]
    async fn the_bound_holds_and_space_comes_back() {
        let store = MemoryStore::new(10);
        let (one, two) = (UploadId::from_bits([1; 16]), UploadId::from_bits([2; 16]));
        let mut first = store.stage(&one, StageOptions::default()).await.unwrap();
        first.write(vec![Bytes::from_static(b"12345678")]).await.unwrap();
        let mut second = store.stage(&two, StageOptions::default()).await.unwrap();
        let full = second.write(vec![Bytes::from_static(b"123")]).await;
        assert!(matches!(full, Err(StoreError::OutOfSpace)));
        assert!(matches!(second.seal().await, Err(StoreError::Broken)));
        let kept = StageOptions { keep: true, ..StageOptions::default() };
        let mut third = store.stage(&two, kept).await.unwrap();
        third.write(vec![Bytes::from_static(b"1")]).await.unwrap();
        assert!(matches!(third.write(vec![Bytes::from_static(b"23")]).await, Err(StoreError::OutOfSpace)));
        assert_eq!(third.checkpoint().await.unwrap().range, 0..1, "it is what it was before");
        first.discard().await;
        third.write(vec![Bytes::from_static(b"23")]).await.unwrap();
        assert_eq!(third.seal().await.unwrap().size, 3);
        store.remove(&two).await.unwrap();
        assert_eq!(store.available_space().await.unwrap(), Some(10));
    }
}
