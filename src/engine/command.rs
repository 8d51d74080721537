//! What a queue wants done, and the one small trait of whoever does it. Must never know how it is done.

use crate::wire::ProgressId;

use super::event::{FileId, RequestId};

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
    /// This file is stored.
    Done(FileId),
    /// This file failed for good.
    Failed(FileId),
    /// Nothing is left to do.
    AllEnded {
        /// Stored files, of those still listed.
        done: u32,
        /// Failed, refused or cancelled files, of those still listed.
        failed: u32,
    },
}

/// Whoever carries out commands. Contract: `execute` returns at once and never calls back into the queue before it
/// has returned; every `SendForm` ends in exactly one of `Accepted`, `Failed` and `Aborted`; every `Poll` in exactly
/// one of `Polled` and `PollFailed`, an abandoned one perhaps in neither; when the runtime is dropped, every request
/// is aborted, every timer cleared, and no event follows.
pub trait Runtime {
    /// Does this.
    fn execute(&self, command: Command);
}
