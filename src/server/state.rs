//! What every handler shares: configuration, storage, catalog, progress, and the tasks under way. Must never know a
//! request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Refusal,
    catalog::Catalog,
    cleanup,
    config::Config,
    owner::OwnerId,
    progress::Progress,
    receive::Buffers,
    store::{AnyStore, DiskStore, MemoryStore},
    writer::Seats,
};
use crate::wire::ErrorCode;

/// Memory for batches on their way to the store, over all uploads, in bytes. Beyond it uploads go on in smaller steps.
const BATCH_MEMORY: usize = 8 << 20;

/// The server behind every route; cheap to share.
pub struct Server {
    config: Config,
    store: AnyStore,
    catalog: Catalog,
    progress: Progress,
    buffers: Buffers,
    seats: Arc<Seats>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Uploads under way for each owner; an owner without any has no entry.
    open: Mutex<HashMap<OwnerId, u32>>,
}

impl Server {
    /// Opens the data folder, makes good what a crash left behind, and starts the background work.
    ///
    /// # Errors
    /// When the folder or the catalog cannot be opened or repaired.
    pub async fn open(config: Config) -> anyhow::Result<Arc<Self>> {
        let store = AnyStore::Disk(DiskStore::open(&config.data, config.durability).await?);
        let catalog = Catalog::open(&config.data.join("catalog.sqlite")).await?;
        Self::assemble(config, store, catalog).await
    }

    /// A server that keeps everything in memory, at most `capacity` bytes of files, and forgets it at the end: for an
    /// application's own tests and for trying out.
    ///
    /// # Errors
    /// When the catalog cannot be made.
    pub async fn in_memory(config: Config, capacity: u64) -> anyhow::Result<Arc<Self>> {
        let catalog = Catalog::open_in_memory().await?;
        Self::assemble(config, AnyStore::Memory(MemoryStore::new(capacity)), catalog).await
    }

    async fn assemble(config: Config, store: AnyStore, catalog: Catalog) -> anyhow::Result<Arc<Self>> {
        cleanup::after_a_crash(&store, &catalog).await?;
        let progress = Progress::new(config.progress_linger);
        let server = Arc::new(Self {
            config,
            store,
            catalog,
            progress,
            buffers: Buffers::new(BATCH_MEMORY),
            seats: Arc::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            open: Mutex::default(),
        });
        tokio::spawn(cleanup::now_and_then(Arc::downgrade(&server), server.stopping.clone()));
        Ok(server)
    }

    /// The checked configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the bytes lie.
    pub fn store(&self) -> &AnyStore {
        &self.store
    }

    /// What is known of them.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What is arriving now.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Memory for bytes on their way to the store.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Who writes to which upload in pieces.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    /// Tasks that must have ended before the catalog closes: every receiving upload is one.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when uploads under way have to give up.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Counts one more upload of this owner until the guard is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyUploads`] when the owner has as many open as one may have.
    pub fn open_upload(self: &Arc<Self>, owner: &OwnerId) -> Result<OpenUpload, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(owner.clone()).or_default();
        if let Some(max) = self.config.max_open_uploads.filter(|&max| *count >= max) {
            let message = format!("{max} uploads are under way already. Wait for one to end.");
            return Err(Refusal::new(ErrorCode::TooManyUploads, message).with_detail(max).retry_after(5));
        }
        *count += 1;
        Ok(OpenUpload { server: self.clone(), owner: owner.clone() })
    }

    /// Lets the uploads under way end, or gives them up when `grace` has passed; then closes the catalog. After this
    /// nothing of ours runs any more.
    pub async fn close(&self, grace: std::time::Duration) {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.stopping.cancel();
            // Each flushes at most one batch and discards what it staged: this ends soon.
            self.tasks.wait().await;
        }
        self.stopping.cancel();
        self.catalog.clone().close().await;
    }
}

/// One upload under way, counted against its owner's share until dropped.
pub struct OpenUpload {
    server: Arc<Server>,
    owner: OwnerId,
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        let mut open = self.server.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.owner);
            }
        }
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
