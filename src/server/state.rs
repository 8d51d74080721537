//! What every handler shares: configuration, storage, catalog, progress, and the tasks under way. Must never know a
//! request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Refusal,
    catalog::Catalog,
    cleanup,
    config::Config,
    outbox::{self, Hook, Outbox},
    owner::OwnerId,
    progress::Progress,
    receive::Buffers,
    resumable::Joins,
    store::{AnyStore, DiskStore, MemoryStore},
    writer::Seats,
};
use crate::wire::{ErrorCode, limits};

/// Of what one owner may have, so much may come from one place, whoever's it is: it costs nothing to be another owner,
/// and without a cookie everybody is a new one; but many people may sit behind one address.
pub(super) const OWNERS_OF_A_PLACE: u32 = 10;

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
    joins: Joins,
    outbox: Arc<Outbox>,
    tasks: TaskTracker,
    /// What runs beside all uploads, until the end.
    background: TaskTracker,
    stopping: CancellationToken,
    open: Mutex<Open>,
}

/// What is under way. Whoever has nothing has no entry.
#[derive(Debug, Default)]
struct Open {
    owners: HashMap<OwnerId, Share>,
    /// Uploads from each [`place`](super::security::Visitor::place).
    places: HashMap<String, u32>,
}

impl Server {
    /// Opens the data folder, makes good what a crash left behind, and starts the background work.
    ///
    /// # Errors
    /// When the folder or the catalog cannot be opened or repaired.
    pub async fn open(config: Config) -> anyhow::Result<Arc<Self>> {
        Self::on_disk(config, None).await
    }

    /// As [`Server::open`], for an application that wants to know of every complete file: at least once, each time
    /// with one and the same event id, also of those that were completed before it was started again.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn open_with_hook(config: Config, hook: Hook) -> anyhow::Result<Arc<Self>> {
        Self::on_disk(config, Some(hook)).await
    }

    async fn on_disk(config: Config, hook: Option<Hook>) -> anyhow::Result<Arc<Self>> {
        let store = AnyStore::Disk(DiskStore::open(&config.data, config.durability).await?);
        let catalog = Catalog::open(&config.data.join("catalog.sqlite")).await?;
        Self::assemble(config, store, catalog, hook).await
    }

    /// A server that keeps everything in memory, at most `capacity` bytes of files, and forgets it at the end: for an
    /// application's own tests and for trying out.
    ///
    /// # Errors
    /// When the catalog cannot be made.
    pub async fn in_memory(config: Config, capacity: u64) -> anyhow::Result<Arc<Self>> {
        let catalog = Catalog::open_in_memory().await?;
        Self::assemble(config, AnyStore::Memory(MemoryStore::new(capacity)), catalog, None).await
    }

    pub(super) async fn assemble(
        config: Config,
        store: AnyStore,
        catalog: Catalog,
        hook: Option<Hook>,
    ) -> anyhow::Result<Arc<Self>> {
        let outbox = Arc::new(Outbox::new(hook, config.finish_url.clone())?);
        let progress = Progress::new(config.progress_linger);
        let server = Arc::new(Self {
            config,
            store,
            catalog,
            progress,
            buffers: Buffers::new(BATCH_MEMORY),
            seats: Arc::default(),
            joins: Joins::default(),
            outbox,
            tasks: TaskTracker::new(),
            background: TaskTracker::new(),
            stopping: CancellationToken::new(),
            open: Mutex::default(),
        });
        cleanup::after_a_crash(&server).await?;
        let (background, stopping) = (&server.background, &server.stopping);
        background.spawn(outbox::deliver(Arc::downgrade(&server), stopping.clone()));
        background.spawn(cleanup::now_and_then(Arc::downgrade(&server), stopping.clone()));
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

    /// Who wants to know of complete files.
    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Who writes to which upload in pieces.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    /// Who makes which upload of which parts.
    pub(super) fn joins(&self) -> &Joins {
        &self.joins
    }

    /// Tasks that must have ended before the catalog closes: every receiving upload is one.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when uploads under way have to give up.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Counts one more upload of this owner, from this place, until the guard is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyUploads`], with the bound as its detail, when the owner has as many open as one may have, or
    /// when ten times as many come from the place.
    pub fn open_upload(
        self: &Arc<Self>,
        owner: &OwnerId,
        place: Option<String>,
    ) -> Result<OpenUpload, Refusal> {
        let mut open = self.shares();
        if let Some(max) = self.config.max_open_uploads {
            let of_owner = open.owners.get(owner).map_or(0, |share| share.uploads);
            let of_place = place.as_ref().and_then(|place| open.places.get(place)).copied().unwrap_or(0);
            let max_of_place = max.saturating_mul(OWNERS_OF_A_PLACE);
            let refused = |max, whose| {
                let message = format!("{max} uploads{whose} are under way already. Wait for one to end.");
                Err(Refusal::new(ErrorCode::TooManyUploads, message).with_detail(max).retry_after(5))
            };
            if of_owner >= max {
                return refused(max, "");
            }
            if of_place >= max_of_place {
                return refused(max_of_place, " from your network");
            }
        }
        Ok(self.opened(&mut open, owner, place))
    }

    /// As [`Server::open_upload`], for one that takes the place of another of the same owner, which is about to end:
    /// for a moment there may be one more than there may be.
    pub fn open_in_place_of_another(self: &Arc<Self>, owner: &OwnerId, place: Option<String>) -> OpenUpload {
        self.opened(&mut self.shares(), owner, place)
    }

    fn opened(self: &Arc<Self>, open: &mut Open, owner: &OwnerId, place: Option<String>) -> OpenUpload {
        open.owners.entry(owner.clone()).or_default().uploads += 1;
        if let Some(place) = &place {
            *open.places.entry(place.clone()).or_default() += 1;
        }
        OpenUpload { server: self.clone(), owner: owner.clone(), place, reserved: AtomicU64::new(0) }
    }

    fn shares(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Each holds the data folder while it is at work.
        self.background.close();
        self.background.wait().await;
        self.catalog.clone().close().await;
    }
}

/// What one owner has under way.
#[derive(Debug, Default)]
struct Share {
    uploads: u32,
    /// Bytes on their way that the catalog does not count yet.
    reserved: u64,
    /// One at a time sets bytes aside, or one that will be refused could sink another by what it asked for.
    reserving: Arc<tokio::sync::Mutex<()>>,
}

/// One upload under way, counted against its owner's share until dropped.
pub struct OpenUpload {
    server: Arc<Server>,
    owner: OwnerId,
    place: Option<String>,
    reserved: AtomicU64,
}

impl OpenUpload {
    /// Sets aside so many bytes of the owner's share, in all and instead of what was set aside before, for what this
    /// upload brings and the catalog does not count yet. Of several uploads that would be too much together, the later
    /// ones are refused; no more is set aside then than before.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`].
    pub async fn reserve(&self, bytes: u64) -> Result<(), Refusal> {
        let Some(max) = self.server.config.limits.max_bytes_per_owner else { return Ok(()) };
        let reserving = self.server.shares().owners.entry(self.owner.clone()).or_default().reserving.clone();
        let _turn = reserving.lock().await;
        let before = self.reserved.load(Ordering::SeqCst);
        // First set aside, then looked at what is stored: an upload that is completed meanwhile is counted twice
        // rather than not at all.
        let reserved = self.set_aside(bytes);
        let owned = self.server.catalog.owned_bytes(&self.owner).await;
        if owned.as_ref().is_ok_and(|owned| owned.saturating_add(reserved) <= max) {
            return Ok(());
        }
        self.set_aside(before.min(bytes));
        owned?;
        let most = limits::in_words(max);
        let message = format!("Your uploads would take up more than the {most} you may use. Delete some.");
        Err(Refusal::new(ErrorCode::QuotaExceeded, message).with_detail(max))
    }

    /// What the owner has set aside in all afterwards.
    fn set_aside(&self, bytes: u64) -> u64 {
        let mut open = self.server.shares();
        let before = self.reserved.swap(bytes, Ordering::SeqCst);
        let share = open.owners.entry(self.owner.clone()).or_default();
        share.reserved = (share.reserved - before).saturating_add(bytes);
        share.reserved
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        let mut open = self.server.shares();
        if let Some(share) = open.owners.get_mut(&self.owner) {
            share.uploads -= 1;
            share.reserved -= self.reserved.load(Ordering::SeqCst);
            if share.uploads == 0 {
                open.owners.remove(&self.owner);
            }
        }
        if let Some(place) = &self.place
            && let Some(uploads) = open.places.get_mut(place)
        {
            *uploads -= 1;
            if *uploads == 0 {
                open.places.remove(place);
            }
        }
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
