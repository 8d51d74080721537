//! The pen that every upload is written with, however it comes: batches go to a staged file one after another, and
//! beside that checkpoints to the medium. Must never know where the bytes come from, nor what a checkpoint is told to.
//!
//! ```text
//! batch ─► write ─► fdatasync ─► {offset, CRC} ─► durable
//!   └ fills while the one before is written; both go on beside a checkpoint
//! ```
//!
//! Of an upload in pieces each checkpoint is committed to the catalog, under the epoch of the one who writes, and then
//! told. A file of a form or of a raw PUT is told of only when it is whole, so its checkpoints go no further than the
//! medium: they keep what is left to force at the end as small as that of an upload in pieces. Its id is drawn for one
//! request and never written to by another: that is its fence, where an upload in pieces has its epoch.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep};

use super::{
    Refusal,
    receive::Batch,
    store::{AnyStaging, Checkpoint, Sealed, Staging, StoreError},
};

/// A checkpoint is taken after this many bytes,
pub(super) const CHECKPOINT_BYTES: u64 = 8 << 20;

/// or when the first byte since the last one is this old.
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);

/// Something that runs beside its owner, and can be waited for again and again.
pub(super) type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why writing had to stop.
#[derive(Debug)]
pub(super) enum Fault {
    /// A write failed. What was durable before still is.
    Write(StoreError),
    /// A sync failed. That is final.
    Sync(StoreError),
    /// The catalog did not take the checkpoint.
    Books(Refusal),
    /// It knows of another writer, or of an end of the upload.
    Superseded(Refusal),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Write(error) | Fault::Sync(error) => error.into(),
            Fault::Books(refusal) | Fault::Superseded(refusal) => refusal,
        }
    }
}

/// What has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A write: the next batch can be written.
    Written,
    /// A checkpoint: [`Pen::durable`] is greater.
    Saved,
    /// The time in which nothing was due: one may be now.
    Aged,
}

/// A staged file being written.
pub(super) struct Pen {
    /// Away while it writes.
    staging: Option<AnyStaging>,
    writing: Option<Running<(AnyStaging, Result<(), StoreError>)>>,
    saving: Option<Running<Result<u64, Fault>>>,
    /// Up to where the last checkpoint was asked for.
    asked_for: u64,
    durable: u64,
    /// When a checkpoint is due. Means something only while something was written since the last.
    age: Pin<Box<Sleep>>,
}

impl Pen {
    /// All that was staged before is durable.
    pub(super) fn new(staging: AnyStaging) -> Self {
        let len = staging.len();
        Self {
            staging: Some(staging),
            writing: None,
            saving: None,
            asked_for: len,
            durable: len,
            age: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Bytes on the medium, whose checkpoint is where it belongs.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Bytes written, unless a write is under way.
    pub(super) fn len(&self) -> Option<u64> {
        self.staging.as_ref().map(Staging::len)
    }

    /// Bytes written that no checkpoint was asked for, unless a write is under way.
    pub(super) fn unsaved(&self) -> u64 {
        self.len().map_or(0, |len| len - self.asked_for)
    }

    /// Whether the next checkpoint has to be asked for now.
    pub(super) fn is_due(&self) -> bool {
        let unsaved = self.unsaved();
        self.saving.is_none() && (unsaved >= CHECKPOINT_BYTES || unsaved > 0 && self.age.is_elapsed())
    }

    /// Whether there is anything that a checkpoint could be asked for now.
    pub(super) fn can_save(&self) -> bool {
        self.saving.is_none() && self.unsaved() > 0
    }

    /// Whether a batch can be written now.
    pub(super) fn is_free(&self) -> bool {
        self.staging.is_some()
    }

    /// Begins to write, if it [is free](Self::is_free); if not, the batch is lost.
    pub(super) fn write(&mut self, batch: Batch) {
        let Some(mut staging) = self.staging.take() else { return };
        if staging.len() == self.asked_for {
            self.age.as_mut().reset(Instant::now() + CHECKPOINT_AGE);
        }
        let Batch { chunks, room, .. } = batch;
        self.writing = Some(Box::pin(async move {
            let written = staging.write(chunks).await;
            drop(room);
            (staging, written)
        }));
    }

    /// Begins a checkpoint of all that is written, if no write is under way. It is the upload's once `commit` has done
    /// with it what has to be done.
    pub(super) fn save<C>(&mut self, commit: impl FnOnce(Checkpoint) -> C + Send + 'static)
    where
        C: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let Some(staging) = &mut self.staging else { return };
        let checkpointing = staging.checkpoint();
        self.asked_for = staging.len();
        self.saving = Some(Box::pin(async move {
            let checkpoint = checkpointing.await.map_err(Fault::Sync)?;
            let end = checkpoint.range.end;
            commit(checkpoint).await.map(|()| end)
        }));
    }

    /// What ends next; never, as long as there is nothing to wait for. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Step, Fault> {
        let waits = self.saving.is_none() && self.unsaved() > 0 && !self.age.is_elapsed();
        tokio::select! {
            biased;
            (staging, written) = or_never(&mut self.writing) => {
                self.writing = None;
                self.staging = Some(staging);
                written.map(|()| Step::Written).map_err(Fault::Write)
            }
            saved = or_never(&mut self.saving) => {
                self.saving = None;
                self.durable = saved?;
                Ok(Step::Saved)
            }
            () = self.age.as_mut(), if waits => Ok(Step::Aged),
        }
    }

    /// Waits for what is under way.
    pub(super) async fn rest(&mut self) -> Result<(), Fault> {
        while self.writing.is_some() || self.saving.is_some() {
            self.next().await?;
        }
        Ok(())
    }

    /// The staged file back, once nothing is under way any more; whatever fails by then has told nobody anything.
    pub(super) async fn put_down(&mut self) -> Option<AnyStaging> {
        while self.rest().await.is_err() {}
        self.staging.take()
    }

    /// Makes durable what is left to, as [`Staging::settle`].
    pub(super) async fn settle(&mut self) -> Result<Sealed, Fault> {
        self.rest().await?;
        match &mut self.staging {
            Some(staging) => staging.settle().await.map_err(Fault::Sync),
            None => Err(Fault::Write(StoreError::Broken)),
        }
    }
}

/// The end of what runs, or for ever.
pub(super) async fn or_never<T>(running: &mut Option<Running<T>>) -> T {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}
