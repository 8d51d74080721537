//! What a queue wants done, and the one small trait of whoever does it. Must never know how it is done.

use std::sync::Arc;

use crate::wire::{ErrorBody, ProgressId, Receipt};

use super::{
    event::{FileId, Need, RequestId},
    news::FileInfo,
};

/// Names and values, in their order.
pub type Pairs = Vec<(String, String)>;

/// Reads an answer to a form by its status, its text and the URL it came from (redirects followed): what was stored, or
/// what is wrong.
pub type ReadAnswer = Arc<dyn Fn(u16, &str, &str) -> Result<Receipt, ErrorBody> + Send + Sync>;

/// What the server is told of a file besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its path inside the folder that was picked, with `/`; empty for a single file.
    pub path: String,
    /// Header fields of the request; no name twice.
    pub headers: Pairs,
    /// Form fields before the file, or metadata of a resumable upload; no name twice.
    pub fields: Pairs,
}

/// One thing to do. Commands are done in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Post the whole file as a form.
    SendForm {
        /// The file.
        file: FileId,
        /// The request's number; every event about it names it.
        request: RequestId,
        /// The id that the server is told, in `X-Progress-ID`.
        progress_id: ProgressId,
        /// Which try this is, in `Plimsoll-Attempt`: 1, 2, …
        attempt: u32,
        /// What goes before the bytes.
        manifest: Manifest,
    },
    /// Ask the page before the next request of a file. As long as it takes, the file holds a slot.
    Prepare {
        /// The file, as it stands.
        file: FileInfo,
        /// The question's number.
        request: RequestId,
        /// Whether the page is to be asked if the file may be sent at all. Once for each file.
        upload: bool,
        /// Whether the last request was refused for what the page had said, or not said: 401 or 403.
        again: bool,
    },
    /// Create a resumable upload on the server, without any of its bytes ("careful creation"): whatever happens
    /// later, there is an address to ask. Were the answer lost, the next try is answered with the same upload, which
    /// the server knows by its id.
    Create {
        /// The file.
        file: FileId,
        /// The request's number.
        request: RequestId,
        /// The id that the server is told, in `X-Progress-ID`.
        progress_id: ProgressId,
        /// Which try this is, in `Plimsoll-Attempt`: 1, 2, …
        attempt: u32,
        /// What the upload is created with.
        manifest: Manifest,
    },
    /// Ask the server how much of this upload it holds for good.
    AskOffset {
        /// The file.
        file: FileId,
        /// The request's number.
        request: RequestId,
        /// The upload's address, as the server told it.
        url: String,
        /// The id that the server was told.
        progress_id: ProgressId,
        /// Header fields of the request.
        headers: Pairs,
    },
    /// Append these bytes of the file to its upload. `end` is the file's length for the last of them: the upload is
    /// then to be completed.
    SendRange {
        /// The file.
        file: FileId,
        /// The request's number.
        request: RequestId,
        /// The upload's address, as the server told it.
        url: String,
        /// The id that the server is told, in `X-Progress-ID`.
        progress_id: ProgressId,
        /// Which try this is, in `Plimsoll-Attempt`: 1, 2, …
        attempt: u32,
        /// First byte: what the server has confirmed, never anything else.
        offset: u64,
        /// The byte after the last; equal to `offset` when only the completion is left.
        end: u64,
        /// Header fields of the request.
        headers: Pairs,
    },
    /// Delete this upload on the server; nobody waits for the answer.
    Discard {
        /// The upload's address, as the server told it.
        url: String,
        /// Header fields of the request: those of the last one about this upload.
        headers: Pairs,
    },
    /// Keep what is needed to go on with this upload after the page is gone.
    Remember {
        /// The file.
        file: FileId,
        /// The name it is remembered under.
        progress_id: ProgressId,
        /// The upload's address, as the server told it.
        url: String,
    },
    /// There is nothing to go on with any more.
    Unremember {
        /// The file.
        file: FileId,
        /// The name it was remembered under.
        progress_id: ProgressId,
    },
    /// Get hold of a remembered file: by asking for leave to read it, or by letting the person pick it. Given during a
    /// click, as browsers demand. Or of what the runtime could not take in.
    FetchFile {
        /// The file.
        file: FileId,
        /// What it takes.
        need: Need,
    },
    /// Tell the SHA-256 of a file, of which as much as was sent is hashed by now.
    Digest {
        /// The file.
        file: FileId,
        /// The question's number.
        request: RequestId,
    },
    /// Give this request up.
    Abort {
        /// The file.
        file: FileId,
        /// The request.
        request: RequestId,
    },
    /// Ask the server for its count of these uploads, in one request.
    Poll {
        /// The poll's number.
        poll: RequestId,
        /// The uploads.
        ids: Vec<ProgressId>,
    },
    /// Send `Event::Fired(timer)` once, after this delay; replaces the same timer if it is armed.
    Arm {
        /// Which timer.
        timer: Timer,
        /// Delay in milliseconds.
        delay_ms: u32,
    },
    /// Take this timer back; nothing happens when it is not armed.
    Disarm {
        /// Which timer.
        timer: Timer,
    },
    /// The file will not be needed again: let go of it.
    Forget {
        /// The file.
        file: FileId,
    },
    /// Something worth telling the page (the announcer, the host's callbacks).
    Notify(Notice),
}

/// The timers of a queue. Each is armed at most once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// Time for the next progress poll.
    Poll,
    /// No progress event for so long after the send: let the server's count drive the bar.
    Silent(FileId),
    /// Time for the next try.
    Retry(FileId),
    /// No byte for so long although something is due.
    Stall(FileId),
    /// What was taken off the list has been off for long enough. It may come as late as it likes.
    Undo,
}

/// Something worth telling the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// So many files were added and so many refused.
    Added {
        /// Files that entered the queue.
        accepted: u32,
        /// Files that were refused.
        rejected: u32,
    },
    /// This upload was found again, and its file is not at hand.
    Missing(FileId),
    /// This file is stored.
    Done(FileId),
    /// This file failed for good, or was refused after it had been accepted.
    Failed(FileId),
    /// Rows were taken off the list, and can be brought back.
    Removed,
    /// Nothing is left to do.
    AllEnded {
        /// Stored files, of those still listed.
        done: u32,
        /// Failed, refused or cancelled files, of those still listed.
        failed: u32,
    },
}

/// Whoever carries out commands. Contract: `execute` returns at once and never calls back into the queue before it
/// has returned; every request ends in exactly one event, `Failed`, `Aborted` or the success of its kind: `Accepted`
/// for a `SendForm`, `Created` for a `Create` (`Accepted` where nothing is to follow), `Offset` for an `AskOffset`,
/// `Accepted` (when the server says that it has the whole) or `Offset` for a `SendRange`, `Accepted` also for an
/// `AskOffset` when the answer to that says so; every `Prepare` in at most one of `Prepared`, `Declined` and `Failed`
/// (the request was not made), for a page may forget to answer; every `Digest` in exactly one `Digested`; every `Poll`
/// in exactly one of `Polled` and `PollFailed`, an abandoned one perhaps in neither; when the runtime is dropped, every
/// request is aborted, every timer cleared, and no event follows.
pub trait Runtime {
    /// Does this.
    fn execute(&self, command: Command);
}
