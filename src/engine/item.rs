//! One file of the list: where it stands, and what both witnesses said of its present try. Must never know the other
//! files, nor give a command.

use crate::wire::{ErrorBody, ErrorCode, ProgressId, ProgressState, Receipt};

use super::{
    event::{Answer, Candidate, FileId, FileMeta, Need, RequestId},
    meter::Meter,
};

/// Where a file stands. Each variant holds only what is true then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for a slot, or for somebody to start it.
    Queued {
        /// Whether it may start as soon as a slot is free.
        ready: bool,
    },
    /// The page is being asked, before the next request.
    Preparing {
        /// The question.
        request: RequestId,
        /// Between two slices, with nothing wrong.
        midway: bool,
    },
    /// A resumable upload is being created, or the server asked how much of it it holds. A form upload has nothing to
    /// set up.
    Creating {
        /// The request that does it.
        request: RequestId,
    },
    /// Bytes are on their way.
    Sending {
        /// The request that carries them.
        request: RequestId,
    },
    /// All received; the answer is out.
    Processing {
        /// The request that will be answered.
        request: RequestId,
    },
    /// Nothing is under way; it goes on by itself.
    Waiting {
        /// For what.
        cause: Cause,
        /// When it goes on at the latest, in the queue's milliseconds; its timer is armed for then. `None` while
        /// offline.
        until_ms: Option<u64>,
        /// What stopped the last try, if an error did.
        error: Option<ErrorBody>,
    },
    /// The server says that it is stored, and the browser's digest of the file is awaited, to be compared with the
    /// server's. It holds no slot.
    Checking {
        /// The question for the digest.
        request: RequestId,
        /// What the server stored.
        receipt: Receipt,
    },
    /// Held by the person. A form upload begins from nothing when it is resumed, a resumable one goes on.
    Paused,
    /// Remembered from before, and its file is not at hand.
    Missing {
        /// What it takes to have it.
        need: Need,
    },
    /// Stored.
    Done {
        /// What the server stored.
        receipt: Receipt,
    },
    /// Failed for good.
    Failed {
        /// Why.
        error: ErrorBody,
        /// Whether a person may try again.
        again: bool,
    },
    /// Stopped by the person.
    Cancelled,
    /// Refused when it was picked; it never entered the queue.
    Rejected {
        /// Why.
        reason: ErrorBody,
    },
}

/// What a waiting file waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The time of the next try.
    Backoff,
    /// The network.
    Offline,
    /// The server's word on what became of a try that had handed everything over and got no answer: it may well be
    /// stored, and sending it again would make it two (promise 10).
    Verdict,
}

impl Phase {
    /// The request under way, if one is, or the question to the page. Either holds a slot.
    pub(super) fn request(&self) -> Option<RequestId> {
        match self {
            Self::Preparing { request, .. }
            | Self::Creating { request }
            | Self::Sending { request }
            | Self::Processing { request } => Some(*request),
            _ => None,
        }
    }

    /// Whether nothing more will happen by itself or by a resume.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Cancelled | Self::Rejected { .. })
    }

    /// Whether nothing happens until a person wants it.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Paused | Self::Missing { .. })
    }

    /// When its retry timer is due, if one is armed.
    pub(super) fn until_ms(&self) -> Option<u64> {
        match self {
            Self::Waiting { until_ms, .. } => *until_ms,
            _ => None,
        }
    }
}

/// How a file goes to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Whole, in one form.
    Form,
    /// In a resumable upload; `None` as long as the server has told no address for it.
    Resumable(Option<Upload>),
}

/// A resumable upload on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    /// Its address, as the server told it.
    pub(super) url: String,
    /// What the server said it holds, as long as that is certain: from its word until bytes are sent after it. Bytes
    /// are sent from here and from nowhere else.
    pub(super) confirmed: Option<u64>,
    /// What it last said.
    pub(super) reached: u64,
}

/// One file of the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) id: FileId,
    pub(super) progress_id: ProgressId,
    /// Whether a resumable upload has been created that bears this id: the server's count under it stays that one's.
    pub(super) named: bool,
    pub(super) meta: FileMeta,
    pub(super) phase: Phase,
    pub(super) way: Way,
    /// Number of the present try, or of the last; 0 before the first. Never goes back.
    pub(super) attempt: u32,
    /// Failed tries since a person last asked for one.
    pub(super) tries: u8,
    /// The most that a server ever confirmed of it: only more than this makes failed tries forgotten, so that a server
    /// which loses what it had cannot be fed for ever.
    pub(super) best: u64,
    /// How often what is displayed went back.
    pub(super) restarts: u32,
    /// When it last did, and to which percentage.
    pub(super) restarted: Option<(u64, u8)>,
    /// Whether the runtime has the file; without it no try makes sense.
    pub(super) at_hand: bool,
    /// Name and path that it was picked with, where the page has given it another name.
    pub(super) picked: Option<(String, String)>,
    /// Whether it was found again and has not gone on yet.
    pub(super) found: bool,
    /// What the file was like that its upload on the server was begun with, while another is in its place: only a
    /// person gives the upload up, or brings that file back.
    pub(super) begun: Option<FileMeta>,
    /// When it went on after it was found again, and at which percentage.
    pub(super) went_on: Option<(u64, u8)>,
    /// When a connection on which nothing moved was last replaced.
    pub(super) replaced_ms: Option<u64>,
    /// Whether the page has agreed to it.
    pub(super) admitted: bool,
    /// Whether the page's answer is there and its request is not sent yet.
    pub(super) prepared: bool,
    /// What the page said last.
    pub(super) answer: Answer,
    /// Whether the last request was refused for what the page had said.
    pub(super) refused: bool,
    /// Whether the page was asked once more after a refusal, and nothing has been gained since.
    pub(super) asked_again: bool,
    /// Whether it was told that this file has started.
    pub(super) started: bool,
    /// SHA-256 of the file, 64 lowercase hexadecimal digits, once the browser has told it.
    pub(super) sha256: Option<String>,
    /// What the two witnesses said of this try.
    pub(super) tally: Tally,
    /// Whether the bar shows the server's count. Otherwise nobody can be asked, and it shows the browser's.
    pub(super) by_server: bool,
    pub(super) meter: Meter,
    /// The percentage displayed. Grows only, but when `restarts` does.
    pub(super) shown: u8,
    /// The last try had handed everything over and nobody knows what became of it.
    pub(super) fate_unknown: bool,
    /// Polls from this number on were sent after the last try had ended; set while their answers are wanted.
    pub(super) asking: Option<RequestId>,
    /// The next poll's distance while the tail is polled, in milliseconds.
    pub(super) poll_gap_ms: u64,
    /// When it should be asked about again.
    pub(super) next_poll_ms: u64,
    pub(super) silent_armed: bool,
    pub(super) stall_armed: bool,
    /// Already on the list of those to be drawn anew.
    pub(super) dirty: bool,
    /// Already on the list of those the polls ask about.
    pub(super) watched: bool,
    /// What the sums hold of it.
    pub(super) counted: Share,
}

/// What the two witnesses said of one try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// The browser's last word, at most the file's size.
    pub(super) loaded: u64,
    /// Displayed as sent: what the browser said, or the server proved. `received <= sent <= size`.
    pub(super) sent: u64,
    /// Displayed as received.
    pub(super) received: u64,
    /// Whether the browser said anything.
    pub(super) heard: bool,
    /// The browser is silent or cannot tell: the server's count alone drives the bar.
    pub(super) unseen: bool,
    /// The newest frame of this try; `None` before the first.
    pub(super) seq: Option<u64>,
    /// What that frame said.
    pub(super) state: Option<ProgressState>,
    /// So often the server of somebody else said that it has not heard of this try.
    pub(super) unheard: u8,
    /// Why the server says this try failed.
    pub(super) error: Option<ErrorBody>,
    /// When the bytes that the bar shows last grew.
    pub(super) gain_ms: u64,
    /// When the browser's count last grew.
    pub(super) sent_gain_ms: u64,
    /// When the server last said anything of this file, new or not.
    pub(super) told_ms: Option<u64>,
    /// Since when sent has been too far ahead of received.
    pub(super) ahead_since_ms: Option<u64>,
    /// The server's count went back and the browser's has not: when it does, that is the same restart.
    pub(super) browser_may_go_back: bool,
    /// The browser's count went back and the server's, this high, has not: frames as high as this are old news.
    pub(super) old_received: Option<u64>,
}

/// What one file adds to the sums of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) active: u32,
    pub(super) held: u32,
    pub(super) done: u32,
    /// Of these, files of which nobody has said what is stored.
    pub(super) taken: u32,
    pub(super) failed: u32,
    pub(super) rejected: u32,
    pub(super) cancelled: u32,
    /// Files that can be held.
    pub(super) pausable: u32,
    /// Files that are held.
    pub(super) paused: u32,
    /// Files that can be tried again.
    pub(super) retryable: u32,
    /// Files whose rows count seconds.
    pub(super) counting: u32,
    /// Files that hold a slot and wait to be sent.
    pub(super) starting: u32,
    pub(super) size: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Bytes that the bar shows.
    pub(super) basis: u64,
    /// Bytes still to come of the files that are not held.
    pub(super) rest: u64,
    /// Bytes of the files that failed: they take no room.
    pub(super) fallen: u64,
}

impl Item {
    /// A file in this phase, with nothing sent.
    pub(super) fn new(candidate: Candidate, phase: Phase, way: Way) -> Self {
        Self {
            id: candidate.id,
            progress_id: candidate.progress_id,
            named: false,
            meta: candidate.meta,
            phase,
            way,
            attempt: 0,
            tries: 0,
            best: 0,
            restarts: 0,
            restarted: None,
            at_hand: true,
            picked: None,
            found: false,
            begun: None,
            went_on: None,
            replaced_ms: None,
            admitted: false,
            prepared: false,
            answer: Answer::default(),
            refused: false,
            asked_again: false,
            started: false,
            sha256: None,
            tally: Tally::default(),
            by_server: false,
            meter: Meter::start(0, 0),
            shown: 0,
            fate_unknown: false,
            asking: None,
            poll_gap_ms: 0,
            next_poll_ms: 0,
            silent_armed: false,
            stall_armed: false,
            dirty: false,
            watched: false,
            counted: Share::default(),
        }
    }

    /// Whether it was picked as this file, by path, name, length, time and kind.
    pub(super) fn is_of(&self, meta: &FileMeta) -> bool {
        let mut own = self.meta.clone();
        if let Some((name, path)) = &self.picked {
            own.name.clone_from(name);
            own.path.clone_from(path);
        }
        own == *meta
    }

    /// Whether it can go on where it was cut.
    pub(super) fn is_resumable(&self) -> bool {
        matches!(self.way, Way::Resumable(_))
    }

    /// Whether the file that its upload was begun with is wanted back: it cannot be read, or is another by now.
    pub(super) fn wants_its_file(&self) -> bool {
        matches!(self.way, Way::Resumable(Some(_))) && self.can_be_chosen()
    }

    /// Whether the person may choose its file again: it cannot be read, or is another by now. Where nothing is kept on
    /// the server it is a new file then, and the runtime takes this one off.
    pub(super) fn can_be_chosen(&self) -> bool {
        let changed = |error: &ErrorBody| error.code == ErrorCode::FileChanged;
        matches!(&self.phase, Phase::Failed { error, again: true } if changed(error))
    }

    /// Whether it can be held without losing what was sent.
    pub(super) fn can_pause(&self) -> bool {
        self.is_resumable()
            && matches!(
                self.phase,
                Phase::Queued { .. }
                    | Phase::Preparing { .. }
                    | Phase::Creating { .. }
                    | Phase::Sending { .. }
                    | Phase::Waiting { .. }
            )
    }

    /// Whether it was not sent because the same file is in the list already.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(&self.phase, Phase::Failed { error, .. } if error.code == ErrorCode::Duplicate)
    }

    /// Whether the runtime could not take it in, and may at another time.
    pub(super) fn stands_outside(&self) -> bool {
        let outside = |error: &ErrorBody| error.code == ErrorCode::NoFile && error.retryable;
        self.attempt == 0 && matches!(&self.phase, Phase::Failed { error, .. } if outside(error))
    }

    /// Whether another try makes sense now.
    pub(super) fn can_retry(&self) -> bool {
        self.at_hand
            && matches!(
                self.phase,
                Phase::Failed { again: true, .. }
                    | Phase::Cancelled
                    | Phase::Waiting { cause: Cause::Backoff, .. }
            )
    }

    /// Its upload on the server, if it has one to go on with.
    pub(super) fn upload(&mut self) -> Option<&mut Upload> {
        match &mut self.way {
            Way::Resumable(upload) => upload.as_mut(),
            Way::Form => None,
        }
    }

    /// Whether the browser has handed everything over, or the server has counted everything.
    pub(super) fn all_handed_over(&self) -> bool {
        let Tally { loaded, received, heard, .. } = self.tally;
        let size = self.meta.size;
        (heard && loaded == size) || (size > 0 && received == size)
    }

    /// Bytes that the solid bar stands for.
    pub(super) fn basis(&self) -> u64 {
        match self.phase {
            Phase::Done { .. } => self.meta.size,
            _ if self.by_server => self.tally.received,
            _ => self.tally.sent,
        }
    }

    /// 0 to 100 by these bytes; 100 only when stored (promise 1), and never less than was displayed before.
    pub(super) fn percent(&self, basis: u64) -> u8 {
        if matches!(self.phase, Phase::Done { .. }) {
            100
        } else {
            percent(basis, self.meta.size).max(self.shown)
        }
    }

    /// The bytes go back to as many as were kept: from here on the display may.
    pub(super) fn restart(&mut self, now_ms: u64, kept: u64) {
        self.restarts += 1;
        self.restarted = Some((now_ms, percent(kept, self.meta.size)));
        self.shown = 0;
        self.tally.ahead_since_ms = None;
        self.tally.gain_ms = now_ms;
        self.tally.sent_gain_ms = now_ms;
        self.meter = Meter::start(now_ms, 0);
    }

    /// Whether it has its turn, and nothing of it is on its way.
    fn is_starting(&self) -> bool {
        match self.phase {
            Phase::Preparing { midway: false, .. } | Phase::Creating { .. } => true,
            Phase::Preparing { .. } | Phase::Sending { .. } => {
                self.meta.size > 0 && self.tally.sent.max(self.tally.received) == 0
            }
            _ => false,
        }
    }

    /// What it adds to the sums.
    pub(super) fn share(&self) -> Share {
        let one = |yes: bool| u32::from(yes);
        let phase = &self.phase;
        let mut share = Share {
            active: one(!phase.has_ended() && !phase.is_held()),
            held: one(phase.is_held()),
            done: one(matches!(phase, Phase::Done { .. })),
            taken: one(matches!(phase, Phase::Done { receipt } if !receipt.proof.is_stored())),
            failed: one(matches!(phase, Phase::Failed { .. })),
            rejected: one(matches!(phase, Phase::Rejected { .. })),
            cancelled: one(matches!(phase, Phase::Cancelled)),
            pausable: one(self.can_pause()),
            paused: one(matches!(phase, Phase::Paused)),
            retryable: one(self.can_retry() && !self.is_duplicate()),
            counting: one(matches!(phase, Phase::Waiting { cause: Cause::Backoff, until_ms: Some(_), .. })),
            starting: one(self.is_starting()),
            ..Share::default()
        };
        if share.rejected + share.cancelled == 0 {
            share.size = self.meta.size;
            share.sent = self.tally.sent;
            share.received = self.tally.received;
            share.basis = self.basis();
            if share.active == 1 {
                share.rest = self.meta.size - share.basis;
            }
            if share.failed == 1 {
                share.fallen = self.meta.size;
            }
        }
        share
    }
}

/// What a multipart form may weigh besides its file, in bytes: boundaries, part headers, the other fields.
const MOST_FRAMING: u64 = 16 * 1024;

/// Bytes of a file of this size among `loaded` bytes of the body that carries it. The file's own size rules; the
/// body's total is known to be wrong on some systems and serves only to tell how much of the body is not file.
pub fn in_file(loaded: u64, total: u64, size: u64) -> u64 {
    if loaded >= total {
        return loaded.min(size);
    }
    let framing = total.saturating_sub(size);
    let framing = if framing <= MOST_FRAMING { framing } else { 0 };
    loaded.saturating_sub(framing).min(size)
}

/// Whole percent, rounded down and at most 99.
pub(super) fn percent(bytes: u64, size: u64) -> u8 {
    let percent = bytes.saturating_mul(100).checked_div(size).unwrap_or(0);
    percent.min(99) as u8
}

impl Share {
    /// Takes the old share out and the new one in.
    pub(super) fn replace(&mut self, old: Self, new: Self) {
        macro_rules! each {
            ($($field:ident)+) => { $(self.$field = self.$field.wrapping_sub(old.$field).wrapping_add(new.$field);)+ };
        }
        each!(active held done taken failed rejected cancelled pausable paused retryable counting starting);
        each!(size sent received basis rest fallen);
    }
}
