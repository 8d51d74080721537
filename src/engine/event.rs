//! The closed list of everything that can happen to a queue. Must never know who reports it.

use crate::wire::{ErrorBody, ProgressFrame, ProgressId, Receipt};

use super::command::{Pairs, Timer};

/// One file in one widget: counts up, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// One request in one widget: counts up, never used twice. An event that names another request than the file's
/// present one is late news and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// What is known of a file before a byte of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// Its name, without folders.
    pub name: String,
    /// Its path inside the folder that was picked, with `/`; empty when a single file was picked.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Length in bytes of the file that it was made from, where it was made smaller before it is sent.
    pub original: Option<u64>,
    /// Last change, milliseconds since 1970-01-01 UTC, where known.
    pub modified_ms: Option<u64>,
    /// Media type as the browser guesses it; may be empty.
    pub media_type: String,
}

/// A file that a person picked, under the names the runtime gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The runtime keeps the file itself under this number.
    pub id: FileId,
    /// Random and unguessable, made by the runtime; all tries of this file use it, but for one that creates a
    /// resumable upload in the place of another: that has this id's successor.
    pub progress_id: ProgressId,
    /// What is known of it.
    pub meta: FileMeta,
}

/// One file or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This file.
    One(FileId),
    /// Every file in the list that the wish makes sense for.
    All,
}

impl Scope {
    /// Whether this file is meant.
    pub(super) fn holds(self, id: FileId) -> bool {
        self == Self::All || self == Self::One(id)
    }
}

/// What stands between us and a file that was picked before this page was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The person must pick the same file again.
    Pick,
    /// The browser has it, and the person must allow it to be read again.
    Leave,
}

/// What the page wants done with a file's next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The name to send it under from now on.
    pub name: Option<String>,
    /// Fields that go with it from now on.
    pub kept: Option<Pairs>,
    /// Header fields of this request.
    pub headers: Pairs,
    /// Fields of this request, if it takes any.
    pub fields: Pairs,
}

/// Everything that can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Files were picked, dropped, pasted or adopted.
    Added(Vec<Candidate>),
    /// A lot of files comes in portions: a folder is walked, or there are very many. Whatever comes before the lot is
    /// whole is announced as one, and what is wanted of all files is wanted of those of the lot that are still to come.
    Gathering {
        /// The lot: counts up, never used twice.
        lot: u32,
        /// Its next files.
        found: Vec<Candidate>,
        /// Whether more of it comes.
        more: bool,
        /// Whether pictures of it are made smaller first.
        smaller: bool,
    },
    /// The runtime itself cannot take this one (an empty folder, an unreadable file): it is listed as rejected with this
    /// reason, after what was added before, and never enters the queue. Where another try can help it is listed as failed:
    /// the runtime removes it when it has got what it stood for, and is told to fetch it when the person wants that.
    Refused {
        /// What was picked.
        candidate: Candidate,
        /// Why it cannot be taken.
        error: ErrorBody,
    },
    /// An upload that was begun before this page was opened has been found again.
    Found {
        /// Its file, under the progress id it was begun with.
        candidate: Candidate,
        /// The upload's address on the server.
        url: String,
        /// What stands between us and the file; `None` when it is at hand.
        need: Option<Need>,
    },
    /// The file of a remembered upload is at hand again, and is the same.
    AtHand {
        /// The file.
        file: FileId,
    },
    /// The file of a remembered upload could not be had as was thought: this is what it takes now.
    NotAtHand {
        /// The file.
        file: FileId,
        /// What it takes.
        need: Need,
    },
    /// The file is not the one that its upload was begun with. What is there now is kept in its place.
    Changed {
        /// The file.
        file: FileId,
        /// What is there now.
        meta: FileMeta,
    },
    /// Start what waits for a start (`auto_start` is off).
    Start(Scope),
    /// Hold; a running request is given up.
    Pause(Scope),
    /// Go on after a pause; for a file that needs leave to be read or has to be picked again, ask for that.
    Resume(Scope),
    /// Try again what failed or was cancelled.
    Retry(Scope),
    /// Stop and do not try again; the row stays.
    Cancel(Scope),
    /// Take off the list for good; `All` takes off what has ended.
    Remove(Scope),
    /// Take what has ended off the list. Until the next time, or for a while, it can be brought back.
    TakeOff(Scope),
    /// Bring back what was last taken off.
    Undo,
    /// What was taken off stays off: the page goes away.
    LetGo,
    /// The page has been asked: send it, in this way.
    Prepared {
        /// The file.
        file: FileId,
        /// The question's number.
        request: RequestId,
        /// What the page said.
        answer: Answer,
    },
    /// The page has been asked: do not send it.
    Declined {
        /// The file.
        file: FileId,
        /// The question's number.
        request: RequestId,
        /// Why.
        error: ErrorBody,
    },
    /// The file's digest, as the browser computed it.
    Digested {
        /// The file.
        file: FileId,
        /// The question it answers.
        request: RequestId,
        /// SHA-256, 64 lowercase hexadecimal digits; `None` when it cannot be had.
        sha256: Option<String>,
    },
    /// The browser handed over this many bytes of the file in all (not of the request body).
    Sent {
        /// The file.
        file: FileId,
        /// The request that carries it.
        request: RequestId,
        /// Bytes of the file handed over so far; may go back when the browser sends again by itself.
        loaded: u64,
    },
    /// The browser says it cannot tell how much it sent (`lengthComputable` is false).
    SentUnknowable {
        /// The file.
        file: FileId,
        /// The request that carries it.
        request: RequestId,
    },
    /// The resumable upload has been created; the server holds nothing of the file yet.
    Created {
        /// The file.
        file: FileId,
        /// The request that created it.
        request: RequestId,
        /// The upload's address, in whatever form the server told it.
        url: String,
    },
    /// The server has said how much of the upload it holds for good: asked for it, or after a slice of the file.
    Offset {
        /// The file.
        file: FileId,
        /// The request it answers.
        request: RequestId,
        /// Bytes, from the first on.
        offset: u64,
        /// Whether the server takes the upload for complete.
        complete: bool,
    },
    /// The server's final answer: the file is stored.
    Accepted {
        /// The file.
        file: FileId,
        /// The request it answers.
        request: RequestId,
        /// What was stored.
        receipt: Receipt,
    },
    /// The request ended without success.
    Failed {
        /// The file.
        file: FileId,
        /// The request that failed.
        request: RequestId,
        /// Why: the server's own words, or `network` when no answer came.
        error: ErrorBody,
        /// HTTP status of the answer; 0 when none came.
        status: u16,
        /// What `Retry-After` asked for, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The request ended because somebody aborted it: we ourselves, or the browser unasked.
    Aborted {
        /// The file.
        file: FileId,
        /// The request that was aborted.
        request: RequestId,
    },
    /// A progress poll was answered.
    Polled {
        /// Which poll.
        poll: RequestId,
        /// One frame for each id that was asked for.
        frames: Vec<ProgressFrame>,
    },
    /// A progress poll failed: no answer, or none that could be read.
    PollFailed {
        /// Which poll.
        poll: RequestId,
    },
    /// A timer that was armed has come due.
    Fired(Timer),
    /// The browser is online again.
    Online,
    /// The browser lost the network.
    Offline,
    /// The page became visible again; timers may have slept.
    Visible,
    /// There may be room for more requests; see [`Queue::share`](super::Queue::share).
    Room,
}
