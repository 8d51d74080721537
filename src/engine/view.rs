//! What a person is shown: plain values, ready to be drawn, the same for every kind of face. Must never know words
//! of a language or markup.

use crate::wire::{ErrorBody, Receipt};

use super::{
    Queue,
    event::{FileId, Need},
    item::{Cause, Item, Phase, percent},
    meter::STALL_MS,
};

/// So long it is said that the bytes began again.
const RESTARTING_MS: u64 = 5_000;

/// So long it is said that a connection was replaced.
const REPLACED_MS: u64 = 5_000;

/// So long it is said that an upload was found again, and where it went on.
const FOUND_MS: u64 = 10_000;

/// Sent must be too far ahead for so long before it is said.
const BUFFERED_MS: u64 = 5_000;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowView {
    /// The file.
    pub id: FileId,
    /// Its name.
    pub name: String,
    /// Its path inside a picked folder; empty for a single file.
    pub path: String,
    /// Its media type (RFC 6838), as the browser guesses by the name; empty when it does not.
    pub media_type: String,
    /// Length in bytes, as it is sent.
    pub size: u64,
    /// Length in bytes before it was made smaller, where it was.
    pub original: Option<u64>,
    /// Where it stands.
    pub state: RowState,
    /// Bytes handed over by the browser, at most `size`.
    pub sent: u64,
    /// Bytes counted by the server, at most `sent` or, where the browser tells nothing, at most `size`.
    pub received: u64,
    /// What the solid bar shows, 0 to 100. 100 only when the file is stored (promise 1).
    pub percent: u8,
    /// What the light bar shows, 0 to 100.
    pub sent_percent: u8,
    /// Received bytes per second, once there is enough to tell from.
    pub speed: Option<u64>,
    /// Seconds left, by received bytes, once there is enough to tell from; never 0.
    pub seconds_left: Option<u64>,
    /// Which witness drives the bar.
    pub witness: Witness,
    /// Something a person should know while it runs.
    pub hint: Option<Hint>,
    /// How often the bytes had to start again from nothing.
    pub restarts: u32,
    /// Why it was refused, failed, or waits.
    pub error: Option<ErrorBody>,
    /// What the server stored.
    pub receipt: Option<Receipt>,
    /// Whether what the server stored was compared with the file, by the digests of both, and is the same.
    pub checked: bool,
    /// Whether a stop makes sense now.
    pub can_cancel: bool,
    /// Whether another try makes sense now.
    pub can_retry: bool,
    /// Whether it can be held without losing what was sent.
    pub can_pause: bool,
    /// Whether it can be asked to go on: it is held, or its file must be picked again.
    pub can_resume: bool,
}

/// Where a row stands, for words and colours. The engine's own phase holds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowState {
    /// Refused before sending.
    Rejected,
    /// Waits for a free slot or for a start.
    Queued,
    /// The upload is being set up (resumable uploads), or the page is being asked.
    Creating,
    /// Bytes are on their way.
    Sending,
    /// The server has everything and has not answered yet.
    Processing,
    /// The server says that it is stored, and that is being compared with the file.
    Checking,
    /// Waits for the next try; seconds left until then, or offline.
    Waiting {
        /// Seconds until the next try; `None` while offline.
        seconds: Option<u32>,
    },
    /// The last try ended without an answer, and the server is asked what became of it.
    Asking,
    /// Held by the person.
    Paused,
    /// Found again from before this page was opened; its file is not at hand.
    Missing {
        /// What it takes to have it.
        need: Need,
    },
    /// Stored.
    Done,
    /// Failed for good.
    Failed,
    /// Stopped by the person.
    Cancelled,
}

impl RowState {
    /// One lowercase word, for data attributes, classes and tests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Queued => "queued",
            Self::Creating => "creating",
            Self::Sending => "sending",
            Self::Processing => "processing",
            Self::Checking => "checking",
            Self::Waiting { .. } | Self::Asking => "waiting",
            Self::Paused => "paused",
            Self::Missing { .. } => "missing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen by itself.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Rejected | Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// Who says how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Witness {
    /// Nobody yet.
    None,
    /// The browser: bytes handed over.
    Browser,
    /// The server: bytes counted.
    Server,
}

impl Witness {
    /// One lowercase word, for the data attribute `data-witness`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Browser => "browser",
            Self::Server => "server",
        }
    }
}

/// Something a person should know while an upload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// Sent has run far ahead of received and stays there: something between is holding the bytes.
    Buffered,
    /// No byte has arrived for ten seconds although some are due.
    Stalled,
    /// The bytes had to go back.
    Restarting {
        /// Where they went on from, 0 to 99; 0 for the beginning.
        percent: u8,
    },
    /// Nothing moved for ten seconds, and another connection has taken over.
    Replaced,
    /// An upload from before this page was opened goes on.
    Found {
        /// Where it went on, 0 to 99.
        percent: u8,
    },
}

/// Which wishes about all files make sense now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// A file can be held.
    pub pause: bool,
    /// A file is held.
    pub resume: bool,
    /// A file can be stopped.
    pub cancel: bool,
    /// A file can be tried again.
    pub retry: bool,
    /// A file has ended and can be taken off.
    pub clear: bool,
    /// Something was taken off and can be brought back.
    pub undo: bool,
}

/// The whole list in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TotalView {
    /// Rows in the list, the refused and the cancelled ones too.
    pub listed: u32,
    /// What can be done with all of them.
    pub offers: Offers,
    /// Whether a row counts seconds, and so changes with time alone.
    pub counts_down: bool,
    /// Files in the list that were not refused or cancelled.
    pub files: u32,
    /// Of these, stored.
    pub done: u32,
    /// Of these, taken by a server that does not say what it stored.
    pub taken: u32,
    /// Of these, failed; and the refused ones.
    pub failed: u32,
    /// Files that are queued, running or waiting.
    pub active: u32,
    /// Of these, about to be sent: set up, asked about, or without a byte on its way. No work that can wait belongs
    /// before theirs.
    pub starting: u32,
    /// Whether more files are on their way into the list.
    pub gathering: bool,
    /// Whether pictures are among these that are made smaller first.
    pub shrinking: bool,
    /// Files that nothing happens to until a person wants it: paused ones, and those whose file is missing.
    pub held: u32,
    /// Bytes of all files counted here.
    pub size: u64,
    /// Bytes handed over.
    pub sent: u64,
    /// Bytes counted by the server.
    pub received: u64,
    /// Bytes that the bar shows: of files that no server counts, those handed over.
    pub shown: u64,
    /// 0 to 100; 100 only when every file counted is stored.
    pub percent: u8,
    /// Received bytes per second over all files.
    pub speed: Option<u64>,
    /// Seconds left over all files; never 0.
    pub seconds_left: Option<u64>,
}

/// Files that were handed over before everything that works on files was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many; none waits any more when it is 0.
    pub files: u32,
    /// Why what they wait for could not be had. It is tried again.
    pub failed: Option<Lack>,
}

/// Why something that the page itself needs could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There seems to be no network.
    Offline,
    /// The server did not answer, or not well.
    Down,
    /// The server does not have it any more: since the page was opened, it has been replaced by another.
    Outdated,
}

impl TotalView {
    /// Whether something is under way, or on its way into the list.
    pub fn is_busy(&self) -> bool {
        self.active > 0 || self.gathering
    }
}

impl Queue {
    /// What the row of a file shows at this moment; `None` when it is not listed. What depends on time alone, a
    /// countdown for one, is as of `now_ms`.
    pub fn row(&self, id: FileId, now_ms: u64) -> Option<RowView> {
        let item = &self.items[self.find(id)?];
        let basis = item.basis();
        let size = item.meta.size;
        let done = matches!(item.phase, Phase::Done { .. });
        let sending = matches!(item.phase, Phase::Sending { .. } | Phase::Preparing { midway: true, .. });
        let meter = sending.then_some(&item.meter);
        Some(RowView {
            id,
            name: item.meta.name.clone(),
            path: item.meta.path.clone(),
            media_type: item.meta.media_type.clone(),
            size,
            original: item.meta.original,
            state: match item.phase {
                // A free slot would not help it.
                Phase::Queued { ready: true } if !self.online => RowState::Waiting { seconds: None },
                _ => state(&item.phase, now_ms),
            },
            sent: item.tally.sent,
            received: item.tally.received,
            percent: item.percent(basis),
            sent_percent: if done || (size > 0 && item.tally.sent == size) {
                100
            } else {
                percent(item.tally.sent, size)
            },
            speed: meter.and_then(|meter| meter.speed(now_ms)),
            seconds_left: meter.and_then(|meter| meter.seconds_left(now_ms, size - basis)),
            witness: witness(item),
            hint: hint(item, now_ms),
            restarts: item.restarts,
            error: match &item.phase {
                Phase::Waiting { error, .. } => error.clone(),
                Phase::Failed { error, .. } | Phase::Rejected { reason: error } => Some(error.clone()),
                _ => None,
            },
            receipt: match &item.phase {
                Phase::Done { receipt } => Some(receipt.clone()),
                _ => None,
            },
            checked: match &item.phase {
                // Had they differed it would not be done.
                Phase::Done { receipt } => item.sha256.is_some() && receipt.sha256.is_some(),
                _ => false,
            },
            can_cancel: !item.phase.has_ended(),
            can_retry: item.can_retry(),
            can_pause: item.can_pause(),
            can_resume: item.phase.is_held() || item.can_be_chosen(),
        })
    }

    /// Where the row of a file stands when rows are sorted by state; `None` when it is not listed.
    pub fn rank(&self, id: FileId) -> Option<u8> {
        Some(match self.items[self.find(id)?].phase {
            Phase::Rejected { .. } | Phase::Failed { .. } => 0,
            Phase::Missing { .. } | Phase::Paused => 1,
            Phase::Preparing { .. }
            | Phase::Creating { .. }
            | Phase::Sending { .. }
            | Phase::Processing { .. }
            | Phase::Checking { .. }
            | Phase::Waiting { .. } => 2,
            Phase::Queued { .. } => 3,
            Phase::Cancelled => 4,
            Phase::Done { .. } => 5,
        })
    }

    /// The last file of the list that was refused.
    pub fn last_refused(&self) -> Option<FileId> {
        let refused = |item: &&Item| matches!(item.phase, Phase::Rejected { .. }) || item.is_duplicate();
        self.items.iter().rev().find(refused).map(|item| item.id)
    }

    /// What the line under the list shows at this moment. Costs the same however long the list is.
    pub fn total(&self, now_ms: u64) -> TotalView {
        let sums = &self.sums;
        let files = sums.active + sums.held + sums.done + sums.failed;
        let flow = self.is_sending().then_some(&self.flow);
        let ended = sums.done + sums.failed + sums.rejected + sums.cancelled;
        TotalView {
            listed: sums.active + sums.held + ended,
            offers: Offers {
                pause: sums.pausable > 0,
                resume: sums.paused > 0,
                cancel: sums.active + sums.held > 0,
                retry: sums.retryable > 0,
                clear: ended > 0,
                undo: !self.removed.is_empty(),
            },
            counts_down: sums.counting > 0,
            files,
            done: sums.done,
            taken: sums.taken,
            failed: sums.failed + sums.rejected,
            active: sums.active,
            starting: sums.starting,
            gathering: self.is_gathering(),
            shrinking: self.is_shrinking(),
            held: sums.held,
            size: sums.size,
            sent: sums.sent,
            received: sums.received,
            shown: sums.basis,
            percent: match files {
                0 => 0,
                _ if sums.done == files => 100,
                // Empty files alone have no bytes to go by.
                _ if sums.size == 0 => percent(u64::from(sums.done), u64::from(files)),
                _ => percent(sums.basis, sums.size),
            },
            speed: flow.and_then(|flow| flow.speed(now_ms)),
            seconds_left: flow.and_then(|flow| flow.seconds_left(now_ms, sums.rest)),
        }
    }
}

fn state(phase: &Phase, now_ms: u64) -> RowState {
    match phase {
        Phase::Rejected { .. } => RowState::Rejected,
        Phase::Queued { .. } => RowState::Queued,
        Phase::Preparing { midway: false, .. } | Phase::Creating { .. } => RowState::Creating,
        Phase::Preparing { midway: true, .. } | Phase::Sending { .. } => RowState::Sending,
        Phase::Processing { .. } => RowState::Processing,
        Phase::Checking { .. } => RowState::Checking,
        // How long that takes is up to the server: no seconds are counted.
        Phase::Waiting { cause: Cause::Verdict, .. } => RowState::Asking,
        Phase::Waiting { until_ms, .. } => {
            let seconds = until_ms.map(|until_ms| until_ms.saturating_sub(now_ms).div_ceil(1000));
            RowState::Waiting { seconds: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)) }
        }
        Phase::Paused => RowState::Paused,
        Phase::Missing { need } => RowState::Missing { need: *need },
        Phase::Done { .. } => RowState::Done,
        Phase::Failed { .. } => RowState::Failed,
        Phase::Cancelled => RowState::Cancelled,
    }
}

fn witness(item: &Item) -> Witness {
    if item.tally.seq.is_some() {
        Witness::Server
    } else if item.tally.heard {
        Witness::Browser
    } else {
        Witness::None
    }
}

fn hint(item: &Item, now_ms: u64) -> Option<Hint> {
    item.phase.request()?;
    let since = |then_ms: u64| now_ms.saturating_sub(then_ms);
    if let Some((then_ms, percent)) = item.restarted
        && since(then_ms) < RESTARTING_MS
    {
        return Some(Hint::Restarting { percent });
    }
    if item.replaced_ms.is_some_and(|then_ms| since(then_ms) < REPLACED_MS) {
        return Some(Hint::Replaced);
    }
    if let Some((then_ms, percent)) = item.went_on
        && since(then_ms) < FOUND_MS
    {
        return Some(Hint::Found { percent });
    }
    if !matches!(item.phase, Phase::Sending { .. }) {
        return None;
    }
    let tally = &item.tally;
    // Bytes that still leave the browser go somewhere; when none do, nothing moves at all.
    if since(tally.gain_ms.max(tally.sent_gain_ms)) >= STALL_MS {
        return Some(Hint::Stalled);
    }
    // What a silent server has is not known, however long it says nothing: only its own word makes these true.
    let lasts = |then_ms: u64, ms| tally.told_ms.is_some_and(|told_ms| told_ms.saturating_sub(then_ms) >= ms);
    if tally.ahead_since_ms.is_some_and(|then_ms| lasts(then_ms, BUFFERED_MS)) {
        return Some(Hint::Buffered);
    }
    lasts(tally.gain_ms, STALL_MS).then_some(Hint::Stalled)
}
