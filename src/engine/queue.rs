//! What follows from an event: which file is sent next, what a failure means, when the server is asked for its count.
//! Must never know how a command is carried out, and never ask what time it is.
//!
//! A form upload cannot go on in the middle: pause, a broken connection and a retry all send the file from its first
//! byte, and the row says so by `restarts` and a hint. What is different for a resumable one stands in `resume`.
//!
//! # When the server is asked
//!
//! One poll at a time asks about all files of interest. Each file has its own next moment; the poll goes out at the
//! earliest of them.
//!
//! | the file | asked about |
//! |---|---|
//! | is sent, and the server has not spoken yet | after half a second, then every second |
//! | is sent, and the browser tells nothing | at once, then every half second |
//! | is sent, and the server has spoken | every two seconds; every second where a stall can be acted on |
//! | is handed over whole and not answered, or failed and may have been stored | from 250 ms on, growing to 5 s |
//! | was failed by the server, and its request has not ended | as before: a browser may be sending it again by itself |
//! | was refused, cancelled or expired, or has ended | never again |

use crate::wire::{
    Dialect, ErrorBody, ErrorCode, Options, ProgressFrame, ProgressState, Proof, Protocol, Receipt,
};

use super::{
    admit::{self, Accept},
    command::{Command, Manifest, Notice, Pairs, Timer},
    event::{Answer, Candidate, Event, FileId, FileMeta, Need, RequestId, Scope},
    item::{Cause, Item, Phase, Share, Tally, Way, in_file},
    meter::{Meter, STALL_MS},
    news::{self, UploadEvent},
    resume,
    retry::{self, Random},
};

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// No progress event for so long: the browser will tell nothing.
pub(super) const SILENT_MS: u64 = 1_000;
/// First question about a new try.
pub(super) const FIRST_POLL_MS: u64 = 500;
/// While the server has not heard of the try.
const UNKNOWN_POLL_MS: u64 = 1_000;
/// While the server alone can tell.
pub(super) const DRIVING_POLL_MS: u64 = 500;
/// While the browser tells as well.
const SLOW_POLL_MS: u64 = 2_000;
/// The tail begins with this gap …
pub(super) const TAIL_POLL_MS: u64 = 250;
/// … and no gap is longer than this.
const POLL_CAP_MS: u64 = 5_000;
/// The browser says it has more to send, and for so long neither it nor the server has moved: that try is lost. Firefox
/// sometimes stops for good when it sends a form again by itself after a reset; the server would end it only after its
/// own idle timeout, and a person would wait as long. A connection that is merely interrupted is given three times what
/// it takes to be called stalled, because a form begins again at its first byte.
const LOST_MS: u64 = 3 * STALL_MS;
/// A poll that was not answered for so long is given up.
const POLL_LOST_MS: u64 = 15_000;
/// So many failed polls, and none that was answered: there is no server to ask.
const POLLS_IN_VAIN: u8 = 3;
/// Most ids in one poll; those that have waited longest come first.
const POLL_IDS: usize = 64;
/// How long the server's word on a lost try is waited for; anew with each sign that it is at work on it.
const VERDICT_MS: u64 = 10_000;
/// Sent may be so far ahead of received without anybody wondering: sockets and proxies hold some megabytes.
const AHEAD_BYTES: u64 = 1 << 20;
/// What is ahead would take so long to be received: then something is holding it back. A judgement by time, because
/// four to six megabytes (eighteen were seen) lie in the sockets of a quite normal upload over HTTP/1.1.
const AHEAD_MS: u64 = 20_000;

/// The list of files of one widget and all that is decided about them.
///
/// The same options, seed and events give the same commands. Files are listed in the order of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub(super) options: Options,
    accept: Accept,
    pub(super) random: Random,
    /// Sorted by id.
    pub(super) items: Vec<Item>,
    /// Taken off, and can be brought back. Sorted by id.
    pub(super) removed: Vec<Item>,
    /// Brought meanwhile by lots that were taken off with these, and comes back with them: files, and what the runtime
    /// could not take.
    pub(super) late: Vec<(Candidate, Option<ErrorBody>)>,
    pub(super) sums: Share,
    /// Speed over all files.
    pub(super) flow: Meter,
    /// Bytes that the bars of all files have gained since the beginning.
    pub(super) flowed: u64,
    /// Files with a request under way: at most `slots`.
    flights: Vec<FileId>,
    /// The file that was stored last.
    last_stored: Option<FileId>,
    /// Requests that others on the page leave room for.
    pub(super) room: usize,
    /// Files that may start, in their order. Some may have changed their mind since: looked at when their turn comes.
    ready: VecDeque<FileId>,
    /// Files the polls ask about.
    watched: Vec<FileId>,
    pub(super) dirty: Vec<FileId>,
    /// What tells one file from another, shortened, of every file that was ever listed; sorted.
    marks: Vec<(u32, FileId)>,
    /// Lots of which more comes.
    pub(super) lots: Vec<(u32, Wanted, bool)>,
    /// Files that were accepted and refused, and not told of yet.
    pub(super) gathered: (u32, u32),
    /// Everything has ended, and that has not been told yet.
    end_untold: bool,
    next_request: u32,
    pub(super) online: bool,
    poll: Poll,
    /// Whether the page is asked before a file is sent at all, and before each request.
    consults: (bool, bool),
    pub(super) listening: bool,
    pub(super) news: Vec<UploadEvent>,
}

/// The one poll.
#[derive(Clone, Debug, Default, PartialEq)]
struct Poll {
    /// The one that was sent and not answered yet, and when.
    out: Option<(RequestId, u64)>,
    /// What its timer is armed for.
    armed_ms: Option<u64>,
    /// Not before this: the last ones failed.
    not_before_ms: u64,
    failures: u8,
    /// Whether one was ever answered.
    answered: bool,
    /// Ask again as soon as the present one is answered.
    again: bool,
}

impl Queue {
    /// An empty list. The seed makes the waits of one widget differ from another's.
    pub fn new(options: &Options, seed: u64) -> Self {
        Self {
            options: options.clone(),
            accept: Accept::parse(&options.accept),
            random: Random::new(seed),
            items: Vec::new(),
            removed: Vec::new(),
            late: Vec::new(),
            sums: Share::default(),
            flow: Meter::start(0, 0),
            flowed: 0,
            flights: Vec::new(),
            last_stored: None,
            room: usize::MAX,
            ready: VecDeque::new(),
            watched: Vec::new(),
            dirty: Vec::new(),
            marks: Vec::new(),
            lots: Vec::new(),
            gathered: (0, 0),
            end_untold: false,
            next_request: 1,
            online: true,
            poll: Poll::default(),
            consults: (false, false),
            listening: false,
            news: Vec::new(),
        }
    }

    /// From now on the page is asked: once for each file, before its first request; and right before each request.
    pub fn consult(&mut self, upload: bool, request: bool) {
        self.consults = (upload, request);
    }

    /// From now on there is room for so many requests at once: a browser has few connections to one server over HTTP/1.1,
    /// for all lists of a page, and questions for the server's count need one as well. What is under way goes on.
    pub fn share(&mut self, room: usize) {
        self.room = room;
    }

    /// Takes in one event and gives the commands that follow from it, in their order. `now_ms` is a clock that does
    /// not go back; where it begins does not matter.
    pub fn handle(&mut self, event: Event, now_ms: u64) -> Vec<Command> {
        let mut turn = Turn { now: now_ms, out: Vec::new() };
        let left = self.sums.active + self.sums.held;
        self.take_in(event, &mut turn);
        self.make_way(&mut turn);
        self.start_what_may(&mut turn);
        self.plan_poll(&mut turn);
        let Share { active, held, done, failed, rejected, cancelled, .. } = self.sums;
        // What is held ends nothing, and does not stand in the way of the end of the others.
        self.end_untold = active == 0 && (held < left || self.end_untold);
        if self.lots.is_empty() && std::mem::take(&mut self.end_untold) && !self.items.is_empty() {
            let failed = failed + rejected + cancelled;
            turn.out.push(Command::Notify(Notice::AllEnded { done, failed }));
            if self.listening {
                self.news.push(UploadEvent::Ended { done, failed });
            }
        }
        turn.out
    }

    /// The files in the list, in the order of their rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = FileId> + '_ {
        self.items.iter().map(|item| item.id)
    }

    /// The files whose rows changed since the last call, new and removed ones among them, each once. What a row says
    /// of time alone (a countdown, a sinking speed) changes without standing here.
    pub fn take_dirty(&mut self) -> Vec<FileId> {
        for id in &self.dirty {
            if let Ok(at) = self.items.binary_search_by_key(id, |item| item.id) {
                self.items[at].dirty = false;
            }
        }
        std::mem::take(&mut self.dirty)
    }

    /// Where a file stands, if it is listed.
    pub fn phase(&self, id: FileId) -> Option<&Phase> {
        self.find(id).map(|at| &self.items[at].phase)
    }

    /// Whether the server can be asked for its count: the bar then shows what it received, and nothing else.
    pub(super) fn server_counts(&self) -> bool {
        self.can_ask() && (self.poll.answered || self.poll.failures < POLLS_IN_VAIN)
    }

    /// Whether a file may start, and none is under way.
    pub fn waits(&self) -> bool {
        self.online && self.flights.is_empty() && !self.ready.is_empty()
    }

    /// How many files have a request under way, or are about to.
    pub fn flights(&self) -> usize {
        self.flights.len()
    }

    /// Whether a request is under way.
    pub(super) fn is_sending(&self) -> bool {
        !self.flights.is_empty()
    }

    pub(super) fn can_ask(&self) -> bool {
        let asked = match self.options.dialect {
            Dialect::Plimsoll => true,
            // These count forms.
            Dialect::Nginx | Dialect::Django => {
                matches!(self.options.protocol, Protocol::Auto | Protocol::Form)
            }
            Dialect::Plain => false,
        };
        asked && !self.options.progress.is_empty()
    }

    /// Whether the server is one of somebody else, who numbers neither tries nor answers.
    pub(super) fn is_foreign(&self) -> bool {
        self.options.dialect != Dialect::Plimsoll
    }

    /// Whether a lot is not whole yet.
    pub(super) fn is_gathering(&self) -> bool {
        !self.lots.is_empty()
    }

    /// Whether pictures of one are made smaller first.
    pub(super) fn is_shrinking(&self) -> bool {
        self.lots.iter().any(|(.., smaller)| *smaller)
    }

    pub(super) fn find(&self, id: FileId) -> Option<usize> {
        self.items.binary_search_by_key(&id, |item| item.id).ok()
    }

    /// The file that this request works for now; late news about any other finds nothing.
    pub(super) fn current(&self, id: FileId, request: RequestId) -> Option<usize> {
        self.find(id).filter(|at| self.items[*at].phase.request() == Some(request))
    }

    /// As [`Self::current`], for the question to the page.
    fn asked(&self, file: FileId, request: RequestId) -> Option<usize> {
        self.current(file, request).filter(|at| matches!(self.items[*at].phase, Phase::Preparing { .. }))
    }

    fn take_in(&mut self, event: Event, turn: &mut Turn) {
        for (_, wanted, _) in &mut self.lots {
            *wanted = wanted.after(&event);
        }
        match event {
            Event::Added(candidates) => self.add(candidates, Wanted::AsEver, turn),
            Event::Gathering { lot, found, more, smaller } => {
                let known = self.lots.iter().position(|(known, ..)| *known == lot);
                let wanted = known.map_or(Wanted::AsEver, |at| self.lots.swap_remove(at).1);
                if more {
                    self.lots.push((lot, wanted, smaller));
                }
                self.add(found, wanted, turn);
            }
            Event::Refused { candidate, error } => {
                // It does not say of which lot it is: it is not listed where none of them is.
                let wanted = self.lots.iter().map(|(_, wanted, _)| *wanted).min().unwrap_or(Wanted::AsEver);
                self.take(candidate, Some(error), wanted, turn);
                self.announce(turn);
            }
            Event::Found { candidate, url, need } => self.found(candidate, url, need, turn),
            Event::AtHand { file } => {
                self.undo_for_file(file, turn);
                self.at_hand(file, turn);
            }
            Event::NotAtHand { file, need } => self.not_at_hand(file, need, turn),
            Event::Changed { file, meta } => {
                self.undo_for_file(file, turn);
                self.changed(file, meta, turn);
            }
            Event::Start(scope) => {
                for at in self.scope(scope) {
                    if self.items[at].phase == (Phase::Queued { ready: false }) {
                        self.enter(at, Phase::Queued { ready: true }, turn);
                    }
                }
            }
            Event::Pause(scope) => self.scope(scope).for_each(|at| self.pause(at, turn)),
            Event::Resume(scope) => {
                for at in self.scope(scope) {
                    match self.items[at].phase {
                        Phase::Paused => self.go_on(at, turn),
                        // One question at a time: a person answers them.
                        Phase::Missing { need } if scope != Scope::All => {
                            turn.out.push(Command::FetchFile { file: self.items[at].id, need });
                        }
                        Phase::Failed { .. } if scope != Scope::All && self.items[at].can_be_chosen() => {
                            turn.out.push(Command::FetchFile { file: self.items[at].id, need: Need::Pick });
                        }
                        _ => {}
                    }
                }
            }
            Event::Retry(scope) => {
                for at in self.scope(scope) {
                    // A second copy is wanted by name only.
                    if scope != Scope::All || !self.items[at].is_duplicate() {
                        self.try_again(at, turn);
                    }
                }
            }
            Event::Cancel(scope) => {
                for at in self.scope(scope) {
                    if !self.items[at].phase.has_ended() {
                        self.cancel(at, turn);
                    }
                }
            }
            Event::Remove(scope) => {
                if scope == Scope::All {
                    // What was taken off a moment ago is gone for good as well.
                    self.let_go_of_removed(turn);
                }
                self.remove(scope, turn);
            }
            Event::TakeOff(scope) => self.take_off(scope, turn),
            Event::Undo => self.undo(Scope::All, turn),
            Event::LetGo => self.let_go_of_removed(turn),
            Event::Prepared { file, request, answer } => {
                if let Some(at) = self.asked(file, request) {
                    self.prepared(at, answer, turn);
                }
            }
            Event::Declined { file, request, error } => {
                if let Some(at) = self.asked(file, request) {
                    self.refuse(at, error, turn);
                }
            }
            Event::Digested { file, request, sha256 } => self.digested(file, request, sha256, turn),
            Event::Sent { file, request, loaded } => {
                if let Some(at) = self.current(file, request) {
                    self.sent(at, loaded, turn);
                }
            }
            Event::SentUnknowable { file, request } => {
                if let Some(at) = self.current(file, request) {
                    self.unseen(at, turn);
                }
            }
            Event::Created { file, request, url } => {
                if let Some(at) = self.current(file, request) {
                    self.created(at, url, turn);
                }
            }
            Event::Offset { file, request, offset, complete } => {
                if let Some(at) = self.current(file, request) {
                    self.offset(at, offset, complete, turn);
                }
            }
            Event::Accepted { file, request, receipt } => {
                if let Some(at) = self.current(file, request) {
                    self.accepted(at, receipt, turn);
                }
            }
            Event::Failed { file, request, error, status, retry_after_ms } => {
                if let Some(at) = self.current(file, request) {
                    self.failed(at, error, status, retry_after_ms, turn);
                }
            }
            Event::Aborted { file, request } => {
                // We forget a request when we abort it ourselves: this one nobody asked for.
                if let Some(at) = self.current(file, request) {
                    self.failed(at, ErrorBody::new(ErrorCode::Network, ""), 0, None, turn);
                }
            }
            Event::Polled { poll, frames } => self.polled(poll, frames, turn),
            Event::PollFailed { poll } => {
                if self.poll.out.is_some_and(|(out, _)| out == poll) {
                    self.poll_failed(turn);
                }
            }
            Event::Fired(timer) => self.fired(timer, turn),
            Event::Online => self.set_online(turn),
            Event::Offline => self.set_offline(turn),
            Event::Visible => {
                match self.poll.out {
                    // It slept as well, and nobody may be there to answer it.
                    Some((_, sent_ms)) if turn.now.saturating_sub(sent_ms) >= POLL_LOST_MS => {
                        self.poll.out = None;
                    }
                    Some(_) => self.poll.again = true,
                    None => {}
                }
                self.poll.not_before_ms = turn.now;
                self.ask_about_all(turn);
            }
            // What is ready starts after every event.
            Event::Room => {}
        }
    }

    fn scope(&self, scope: Scope) -> std::ops::Range<usize> {
        match scope {
            Scope::All => 0..self.items.len(),
            Scope::One(id) => self.find(id).map_or(0..0, |at| at..at + 1),
        }
    }

    // --- Files come and go ---

    fn add(&mut self, candidates: Vec<Candidate>, wanted: Wanted, turn: &mut Turn) {
        for candidate in candidates {
            self.take(candidate, None, wanted, turn);
        }
        self.announce(turn);
    }

    /// Lists what has come, or what the runtime could not take for this reason, if it is to be listed.
    pub(super) fn take(
        &mut self,
        candidate: Candidate,
        refused: Option<ErrorBody>,
        wanted: Wanted,
        turn: &mut Turn,
    ) {
        // A number that is listed already is the same file told twice.
        if self.find(candidate.id).is_some() {
            return;
        }
        let phase = match (refused, wanted) {
            (refused, Wanted::Off) => return self.late.push((candidate, refused)),
            (_, Wanted::Gone) => return turn.out.push(Command::Forget { file: candidate.id }),
            (Some(error), _) if error.retryable => Phase::Failed { error, again: true },
            (Some(reason), _) => Phase::Rejected { reason },
            (None, _) => match self.admit(&candidate) {
                Ok(()) if self.is_listed(&candidate.meta) => {
                    Phase::Failed { error: ErrorBody::new(ErrorCode::Duplicate, ""), again: true }
                }
                Ok(()) => match wanted {
                    Wanted::Hold => Phase::Paused,
                    Wanted::Stop => Phase::Cancelled,
                    _ => Phase::Queued { ready: self.options.auto_start || wanted == Wanted::Go },
                },
                Err(reason) => Phase::Rejected { reason },
            },
        };
        match &phase {
            // Of what is tried again by itself it is only said why it waits.
            Phase::Failed { error, .. } if error.retryable => {}
            Phase::Failed { .. } | Phase::Rejected { .. } => self.gathered.1 += 1,
            _ => self.gathered.0 += 1,
        }
        self.list(candidate, phase, turn);
    }

    /// Where one file is wanted, what is stored last takes the place of what was stored before, as in a file input. What
    /// was stored and taken off does not come back where others have its place by now.
    fn make_way(&mut self, turn: &mut Turn) {
        let is_stored = |item: &Item| matches!(item.phase, Phase::Done { .. });
        if !self.options.multiple && self.sums.done > 1 {
            let last = self.last_stored;
            let old = |item: &&Item| is_stored(item) && Some(item.id) != last;
            let old: Vec<FileId> = self.items.iter().filter(old).map(|item| item.id).collect();
            // Nobody is to hear of the new one and find the old one beside it.
            let told = self.news.pop_if(|news| matches!(news, UploadEvent::Stored { .. }));
            for id in old {
                self.remove(Scope::One(id), turn);
            }
            self.news.extend(told);
        }
        if !self.removed.is_empty() {
            let back = self.removed.iter().filter(|item| is_stored(item));
            let (count, size) = back.fold((0, 0), |(count, size), item| (count + 1, size + item.meta.size));
            let Share { active, held, done, size: listed, fallen, .. } = self.sums;
            let fits = match self.options.multiple {
                true => {
                    let Options { max_files, max_total, .. } = self.options;
                    max_files.is_none_or(|most| active + held + done + count <= most)
                        && max_total.is_none_or(|most| listed - fallen + size <= most)
                }
                false => done == 0,
            };
            if count > 0 && !fits {
                self.removed.retain(|item| !is_stored(item));
                if self.removed.is_empty() {
                    self.end_undo(turn);
                }
            }
        }
    }

    /// Tells what was added, unless more is coming.
    fn announce(&mut self, turn: &mut Turn) {
        if self.lots.is_empty() && self.gathered != (0, 0) {
            let (accepted, rejected) = std::mem::take(&mut self.gathered);
            turn.out.push(Command::Notify(Notice::Added { accepted, rejected }));
        }
    }

    /// Whether the same file, by its path, name, length and time, is in the list and has not ended. One that has ended
    /// is picked again for a reason.
    fn is_listed(&self, meta: &FileMeta) -> bool {
        let mark = mark(meta);
        let first = self.marks.partition_point(|(known, _)| *known < mark);
        let like = self.marks[first..].iter().take_while(|(known, _)| *known == mark);
        let mut like = like.filter_map(|(_, id)| self.find(*id)).map(|at| &self.items[at]);
        like.any(|item| item.is_of(meta) && !item.phase.has_ended())
    }

    fn admit(&self, candidate: &Candidate) -> Result<(), ErrorBody> {
        admit::kind(&self.accept, &candidate.meta)?;
        admit::size(&self.options, candidate.meta.size, &self.way(candidate.meta.size))?;
        self.fits(candidate.meta.size)
    }

    /// Whether there is room for a file of this length beside those that are stored or may be.
    fn fits(&self, size: u64) -> Result<(), ErrorBody> {
        let Share { active, held, done, size: listed, fallen, .. } = self.sums;
        if self.options.multiple {
            admit::own_size(&self.options, listed - fallen, size)?;
            return admit::number(&self.options, active + held + done, active);
        }
        // What is stored makes way for it.
        admit::own_size(&self.options, 0, size)?;
        admit::number(&self.options, active + held, active)
    }

    pub(super) fn list(&mut self, candidate: Candidate, phase: Phase, turn: &mut Turn) {
        self.mark(&candidate);
        let at = self.items.partition_point(|item| item.id < candidate.id);
        let way = self.way(candidate.meta.size);
        self.items.insert(at, Item::new(candidate, Phase::Queued { ready: false }, way));
        if !matches!(phase, Phase::Rejected { .. }) {
            self.tell(at, |file, _| UploadEvent::Added { file });
        }
        self.enter(at, phase, turn);
    }

    /// Notes what the same file would be known by.
    pub(super) fn mark(&mut self, candidate: &Candidate) {
        let mark = (mark(&candidate.meta), candidate.id);
        self.marks.insert(self.marks.partition_point(|known| *known < mark), mark);
    }

    /// It was accepted, and is refused after all. Of those that are refused when they come only the sum is told.
    fn refuse(&mut self, at: usize, reason: ErrorBody, turn: &mut Turn) {
        self.enter(at, Phase::Rejected { reason }, turn);
        turn.out.push(Command::Notify(Notice::Failed(self.items[at].id)));
    }

    fn remove(&mut self, scope: Scope, turn: &mut Turn) {
        let range = self.scope(scope);
        for at in range.clone() {
            let ended = self.items[at].phase.has_ended();
            if ended || scope != Scope::All {
                // Through the same door as a cancel, so that nothing of it stays armed, watched or counted.
                let forgotten = matches!(self.items[at].phase, Phase::Done { .. } | Phase::Rejected { .. });
                self.cancel(at, turn);
                self.tell(at, |file, _| UploadEvent::Removed { file });
                let item = &mut self.items[at];
                if !forgotten {
                    turn.out.push(Command::Forget { file: item.id });
                }
                self.sums.replace(std::mem::take(&mut item.counted), Share::default());
            }
        }
        // Gone are those that count for nothing at all; every listed file counts as something.
        let goes = |item: &Item| item.counted == Share::default();
        match scope {
            Scope::All => self.items.retain(|item| !goes(item)),
            Scope::One(_) if range.len() == 1 => drop(self.items.remove(range.start)),
            Scope::One(_) => {}
        }
    }

    // --- What a person wants ---

    fn pause(&mut self, at: usize, turn: &mut Turn) {
        match self.items[at].phase {
            // The server has everything: there is nothing to hold any more.
            Phase::Processing { .. } | Phase::Checking { .. } | Phase::Paused | Phase::Missing { .. } => {}
            Phase::Queued { .. }
            | Phase::Preparing { .. }
            | Phase::Creating { .. }
            | Phase::Sending { .. }
            | Phase::Waiting { .. } => {
                self.give_up_request(at, turn);
                self.enter(at, Phase::Paused, turn);
            }
            Phase::Done { .. } | Phase::Failed { .. } | Phase::Cancelled | Phase::Rejected { .. } => {}
        }
    }

    fn cancel(&mut self, at: usize, turn: &mut Turn) {
        self.give_up_request(at, turn);
        // A form that is only compared any more is stored; an upload is given up with its phase.
        if let Phase::Checking { receipt, .. } = &self.items[at].phase
            && !self.items[at].is_resumable()
            && !self.is_foreign()
        {
            let url = receipt.url.clone();
            self.unstore(at, url, turn);
        }
        self.enter(at, Phase::Cancelled, turn);
    }

    fn try_again(&mut self, at: usize, turn: &mut Turn) {
        match self.items[at].phase {
            _ if self.items[at].stands_outside() => {
                turn.out.push(Command::FetchFile { file: self.items[at].id, need: Need::Leave });
            }
            Phase::Failed { again: true, .. } | Phase::Cancelled if self.items[at].at_hand => {
                // Others may have its place by now. What waits for its file still does.
                if !self.items[at].wants_its_file()
                    && let Err(error) = self.fits(self.items[at].meta.size)
                {
                    return self.enter(at, Phase::Failed { error, again: true }, turn);
                }
                self.items[at].tries = 0;
                self.items[at].asked_again = false;
                self.begin_anew_if_changed(at, turn);
                self.go_on(at, turn);
            }
            Phase::Waiting { cause: Cause::Backoff, .. } => self.go_on(at, turn),
            _ => {}
        }
    }

    /// Towards the next try: at once, or after the server has said what became of the last.
    pub(super) fn go_on(&mut self, at: usize, turn: &mut Turn) {
        if !self.items[at].fate_unknown {
            self.enter(at, Phase::Queued { ready: true }, turn);
        } else if self.online {
            self.await_verdict(at, None, turn);
        } else {
            self.enter(at, Phase::Waiting { cause: Cause::Offline, until_ms: None, error: None }, turn);
        }
    }

    /// Aborts the request under way, if there is one.
    pub(super) fn give_up_request(&mut self, at: usize, turn: &mut Turn) {
        let can_ask = self.can_ask();
        let item = &mut self.items[at];
        if let Some(request) = item.phase.request() {
            // What became of a resumable one its own offset will say; and before the page has answered nothing is sent.
            let sent = !matches!(item.phase, Phase::Preparing { .. });
            item.fate_unknown = can_ask && sent && !item.is_resumable() && may_be_stored(item);
            turn.out.push(Command::Abort { file: item.id, request });
        }
    }

    // --- A try and its end ---

    pub(super) fn start_what_may(&mut self, turn: &mut Turn) {
        let slots = match self.options.dialect.counts_by_key(&self.options.progress) {
            // Two at once would share one count.
            true => 1,
            false => usize::from(self.options.concurrency.clamp(1, Options::MAX_CONCURRENCY)),
        };
        let slots = slots.min(self.room);
        while self.online && self.flights.len() < slots {
            let Some(id) = self.ready.pop_front() else { return };
            if let Some(at) = self.find(id)
                && self.items[at].phase == (Phase::Queued { ready: true })
            {
                self.start(at, turn);
            }
        }
    }

    fn start(&mut self, at: usize, turn: &mut Turn) {
        if self.flights.is_empty() {
            self.flow = Meter::start(turn.now, self.flowed);
        }
        match self.items[at].way {
            Way::Form => self.send_form(at, turn),
            Way::Resumable(_) => self.advance(at, turn),
        }
    }

    /// Asks the page before the next request, if it wants to be asked. `true`: the request waits for its answer.
    pub(super) fn asks_first(&mut self, at: usize, turn: &mut Turn) -> bool {
        let (upload, each) = self.consults;
        let item = &mut self.items[at];
        if std::mem::take(&mut item.prepared) {
            return false;
        }
        // What was found again has been agreed to before.
        let upload = upload && !item.admitted && item.upload().is_none();
        if !upload && !each {
            return false;
        }
        let again = item.refused;
        let midway = matches!(item.phase, Phase::Sending { .. } | Phase::Processing { .. }) && !again;
        let file = news::info(item);
        let request = self.new_request();
        turn.out.push(Command::Prepare { file, request, upload, again });
        self.enter(at, Phase::Preparing { request, midway }, turn);
        true
    }

    fn prepared(&mut self, at: usize, mut answer: Answer, turn: &mut Turn) {
        let item = &mut self.items[at];
        item.admitted = true;
        // Only now: a page that could not answer is asked for the same once more.
        item.refused = false;
        // A name has no folders, and a path ends with the name; without one it stays as it is.
        let name = answer.name.take();
        let name = name.as_deref().and_then(|name| name.rsplit('/').next()).filter(|name| !name.is_empty());
        if let Some(name) = name {
            item.picked.get_or_insert_with(|| (item.meta.name.clone(), item.meta.path.clone()));
            if let Some(at) = item.meta.path.rfind('/') {
                item.meta.path.truncate(at + 1);
                item.meta.path.push_str(name);
            }
            name.clone_into(&mut item.meta.name);
        }
        answer.kept = answer.kept.take().or_else(|| item.answer.kept.take());
        item.answer = answer;
        if !self.online {
            // By then its answer may be too old.
            let phase = Phase::Waiting { cause: Cause::Offline, until_ms: None, error: None };
            return self.enter(at, phase, turn);
        }
        item.prepared = true;
        match item.way {
            Way::Form => self.send_form(at, turn),
            Way::Resumable(_) => self.advance(at, turn),
        }
    }

    /// The header fields of the next request: later ones take the place of earlier ones of the same name.
    pub(super) fn headers(&self, at: usize) -> Pairs {
        self.headers_of(&self.items[at])
    }

    pub(super) fn headers_of(&self, item: &Item) -> Pairs {
        let mut headers = self.options.headers.clone();
        put(&mut headers, &item.answer.headers);
        headers
    }

    /// What the server is told of a file.
    pub(super) fn manifest(&self, at: usize) -> Manifest {
        let item = &self.items[at];
        let mut fields = self.options.fields.clone();
        if let Some(kept) = &item.answer.kept {
            put(&mut fields, kept);
        }
        put(&mut fields, &item.answer.fields);
        let (name, path) = (item.meta.name.clone(), item.meta.path.clone());
        Manifest { name, path, headers: self.headers(at), fields }
    }

    fn send_form(&mut self, at: usize, turn: &mut Turn) {
        if self.asks_first(at, turn) {
            return;
        }
        let request = self.new_request();
        let manifest = self.manifest(at);
        let (can_ask, by_server, foreign) = (self.can_ask(), self.server_counts(), self.is_foreign());
        let first_poll_ms = turn.now + self.random.around(FIRST_POLL_MS);
        let item = &mut self.items[at];
        if item.tally.sent > 0 {
            item.restart(turn.now, 0);
        }
        item.attempt += 1;
        if foreign && item.attempt > 1 {
            // There an id stands for one request: sent again under the same, it would be told the first one's end.
            item.progress_id = item.progress_id.successor();
        }
        item.tally = Tally { gain_ms: turn.now, sent_gain_ms: turn.now, ..Tally::default() };
        item.meter = Meter::start(turn.now, 0);
        item.by_server = by_server;
        item.shown = 0;
        item.fate_unknown = false;
        item.poll_gap_ms = TAIL_POLL_MS;
        item.next_poll_ms = first_poll_ms;
        item.silent_armed = can_ask;
        item.stall_armed = true;
        let file = item.id;
        turn.out.push(Command::SendForm {
            file,
            request,
            progress_id: item.progress_id.clone(),
            attempt: item.attempt,
            manifest,
        });
        if can_ask {
            turn.arm(Timer::Silent(file), SILENT_MS);
        }
        turn.arm(Timer::Stall(file), STALL_MS);
        self.enter(at, Phase::Sending { request }, turn);
    }

    pub(super) fn new_request(&mut self) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        request
    }

    fn accepted(&mut self, at: usize, receipt: Receipt, turn: &mut Turn) {
        let receipt = filled_in(&self.items[at], receipt);
        if receipt.size == self.items[at].meta.size {
            self.stored(at, receipt, turn);
        } else {
            self.length_differs(at, turn);
        }
    }

    /// The server says that it is stored. Where digests are compared that counts only once they were.
    pub(super) fn stored(&mut self, at: usize, receipt: Receipt, turn: &mut Turn) {
        if self.options.checksum.is_empty() {
            return self.enter(at, Phase::Done { receipt }, turn);
        }
        let (request, can_ask) = (self.new_request(), self.can_ask());
        let item = &mut self.items[at];
        // Cancelled now, at a server that deletes nothing, and wanted again later it is not to be sent twice.
        item.fate_unknown = can_ask && !item.is_resumable();
        turn.out.push(Command::Digest { file: item.id, request });
        self.enter(at, Phase::Checking { request, receipt }, turn);
    }

    /// A digest that cannot be had, here or there, refutes nothing.
    fn digested(&mut self, file: FileId, request: RequestId, sha256: Option<String>, turn: &mut Turn) {
        let Some(at) = self.find(file) else { return };
        let receipt = match &self.items[at].phase {
            Phase::Checking { request: asked, receipt } if *asked == request => receipt.clone(),
            _ => return,
        };
        let differs = match (&sha256, &receipt.sha256) {
            (Some(here), Some(there)) => !here.eq_ignore_ascii_case(there),
            _ => false,
        };
        self.items[at].sha256 = sha256;
        if !differs {
            return self.enter(at, Phase::Done { receipt }, turn);
        }
        // What is not the file is not left lying there under its name.
        if self.items[at].is_resumable() {
            self.give_up_upload(at, turn);
        } else {
            self.unstore(at, receipt.url, turn);
        }
        self.items[at].fate_unknown = false;
        let error = ErrorBody::new(ErrorCode::DigestMismatch, "");
        self.enter(at, Phase::Failed { error, again: true }, turn);
    }

    /// Has what a form stored deleted, where the server is one that does so.
    fn unstore(&mut self, at: usize, url: String, turn: &mut Turn) {
        if !self.is_foreign() {
            turn.out.push(Command::Discard { url, headers: self.headers(at) });
        }
        // Sent again under the same id it would be answered with what was stored under that.
        let item = &mut self.items[at];
        item.progress_id = item.progress_id.successor();
        item.fate_unknown = false;
    }

    fn failed(
        &mut self,
        at: usize,
        error: ErrorBody,
        status: u16,
        retry_after_ms: Option<u64>,
        turn: &mut Turn,
    ) {
        let can_ask = self.can_ask();
        let item = &mut self.items[at];
        // A refusal that the browser could not read, because the connection broke over it, stands in the frame.
        let error = match item.tally.error.take() {
            Some(said) if status == 0 && !said.retryable => said,
            _ => error,
        };
        // From here on the error itself says whether trying again can help.
        let mut error = ErrorBody { retryable: retry::can_help(&error, status), ..error };
        if self.consults.1 && matches!(status, 401 | 403) {
            if self.online && !std::mem::replace(&mut item.asked_again, true) {
                // What the page gives its requests may have aged: it is asked for it once more.
                item.refused = true;
                if let Some(upload) = item.upload() {
                    upload.confirmed = None;
                }
                return match item.way {
                    Way::Form => self.send_form(at, turn),
                    Way::Resumable(_) => self.advance(at, turn),
                };
            }
            // A server that has no words for it means what the other status means.
            if error.message.is_empty() {
                error.code = ErrorCode::Unauthorized;
            }
        }
        let item = &mut self.items[at];
        if item.is_resumable() {
            return self.cut(at, error, status, retry_after_ms, turn);
        }
        // Nobody of the upload's own server answered: what became of the bytes is not known.
        let no_word = match status {
            0 => error.code == ErrorCode::Network,
            200..=299 => error.code == ErrorCode::BadAnswer,
            status => matches!(status, 502 | 504),
        };
        item.fate_unknown = can_ask && no_word && may_be_stored(item);
        if error.retryable && (self.online || error.code != ErrorCode::Network) {
            item.tries = item.tries.saturating_add(1);
        }
        if item.fate_unknown && self.online {
            self.await_verdict(at, Some(error), turn);
        } else {
            self.settle(at, error, retry_after_ms, turn);
        }
        let phase = &self.items[at].phase;
        if can_ask && no_word && matches!(phase, Phase::Waiting { cause: Cause::Backoff, .. }) {
            // The wait is there anyway: perhaps the server has a reason against another try.
            self.ask_from_now(at, turn);
            self.touch(at, turn);
        }
    }

    /// After a try that is known not to have stored the file: wait for the next one, or fail for good.
    pub(super) fn settle(
        &mut self,
        at: usize,
        error: ErrorBody,
        retry_after_ms: Option<u64>,
        turn: &mut Turn,
    ) {
        let tries = self.items[at].tries;
        // A file that cannot be read only a person can bring back.
        let over = tries > self.options.retries || error.code == ErrorCode::FileChanged;
        let phase = if !error.retryable || over {
            let again = retry::may_be_asked(&error);
            Phase::Failed { error, again }
        } else if !self.online {
            Phase::Waiting { cause: Cause::Offline, until_ms: None, error: Some(error) }
        } else {
            let delay_ms = retry::delay_ms(tries, retry_after_ms, &mut self.random);
            Phase::Waiting { cause: Cause::Backoff, until_ms: Some(turn.now + delay_ms), error: Some(error) }
        };
        self.enter(at, phase, turn);
    }

    fn await_verdict(&mut self, at: usize, error: Option<ErrorBody>, turn: &mut Turn) {
        let until_ms = Some(turn.now + VERDICT_MS);
        self.ask_from_now(at, turn);
        self.enter(at, Phase::Waiting { cause: Cause::Verdict, until_ms, error }, turn);
    }

    fn ask_from_now(&mut self, at: usize, turn: &Turn) {
        let next_poll_ms = turn.now + self.random.around(TAIL_POLL_MS);
        let item = &mut self.items[at];
        item.asking = Some(RequestId(self.next_request));
        item.poll_gap_ms = TAIL_POLL_MS;
        item.next_poll_ms = next_poll_ms;
    }

    /// The lost try is known not to have been stored, or nobody will ever say: on as if it had simply failed.
    fn verdict_over(&mut self, at: usize, turn: &mut Turn) {
        let item = &mut self.items[at];
        item.fate_unknown = false;
        item.asking = None;
        match &mut item.phase {
            Phase::Waiting { cause: Cause::Verdict, error, .. } => match error.take() {
                Some(error) => self.settle(at, error, None, turn),
                None => self.enter(at, Phase::Queued { ready: true }, turn),
            },
            _ => self.touch(at, turn),
        }
    }

    // --- The browser's word ---

    fn sent(&mut self, at: usize, loaded: u64, turn: &mut Turn) {
        let tail_poll_ms = turn.now + self.random.around(TAIL_POLL_MS);
        let item = &mut self.items[at];
        let size = item.meta.size;
        let loaded = loaded.min(size);
        if std::mem::take(&mut item.silent_armed) {
            turn.out.push(Command::Disarm { timer: Timer::Silent(item.id) });
        }
        let resumable = item.is_resumable();
        let tally = &mut item.tally;
        let was_whole = tally.heard && tally.loaded == size;
        // Bytes that the server has confirmed are not sent again: nothing of a resumable upload goes back by itself.
        let back = loaded < tally.loaded && !resumable;
        tally.heard = true;
        tally.unseen = false;
        let gained = loaded > tally.loaded;
        tally.loaded = if resumable { tally.loaded.max(loaded) } else { loaded };
        if back && !std::mem::take(&mut tally.browser_may_go_back) {
            tally.old_received = Some(tally.received).filter(|received| *received > 0);
            tally.received = 0;
            tally.sent = loaded;
            item.restart(turn.now, 0);
        } else {
            tally.sent = tally.sent.max(loaded);
            if gained {
                tally.sent_gain_ms = turn.now;
            }
        }
        if loaded == size && !was_whole {
            item.poll_gap_ms = TAIL_POLL_MS;
            item.next_poll_ms = item.next_poll_ms.min(tail_poll_ms);
        }
        let by_server = item.by_server;
        if !by_server {
            if gained {
                item.tally.gain_ms = turn.now;
            }
            item.meter.sample(turn.now, item.tally.sent);
        }
        let processing = matches!(item.phase, Phase::Processing { .. });
        if back && processing {
            self.back_to_sending(at, turn);
        } else if !by_server && loaded == size && !processing {
            self.processing(at, turn);
        }
        self.gained(at, turn);
    }

    fn unseen(&mut self, at: usize, turn: &mut Turn) {
        let item = &mut self.items[at];
        if std::mem::replace(&mut item.tally.unseen, true) {
            return;
        }
        if std::mem::take(&mut item.silent_armed) {
            turn.out.push(Command::Disarm { timer: Timer::Silent(item.id) });
        }
        item.next_poll_ms = turn.now;
        self.touch(at, turn);
    }

    pub(super) fn processing(&mut self, at: usize, turn: &mut Turn) {
        if let Phase::Sending { request } = self.items[at].phase {
            self.enter(at, Phase::Processing { request }, turn);
        }
    }

    fn back_to_sending(&mut self, at: usize, turn: &mut Turn) {
        if let Some(request) = self.items[at].phase.request() {
            self.enter(at, Phase::Sending { request }, turn);
        }
    }

    /// After either count moved: is a stall over, is sent too far ahead?
    pub(super) fn gained(&mut self, at: usize, turn: &mut Turn) {
        let item = &mut self.items[at];
        let sending = matches!(item.phase, Phase::Sending { .. });
        if sending && !item.stall_armed {
            item.stall_armed = true;
            turn.arm(Timer::Stall(item.id), STALL_MS);
        }
        // Of a resumable upload the present request counts: what an earlier one had sent is not on its way.
        let handed_over = if item.is_resumable() { item.tally.loaded } else { item.tally.sent };
        let ahead = handed_over.saturating_sub(item.tally.received);
        let speed = item.meter.speed(turn.now).unwrap_or(0);
        let far = ahead > AHEAD_BYTES && ahead.saturating_mul(1000) > speed.saturating_mul(AHEAD_MS);
        let since_ms = item.tally.ahead_since_ms.unwrap_or(turn.now);
        item.tally.ahead_since_ms = far.then_some(since_ms);
        self.touch(at, turn);
    }

    // --- The server's word ---

    fn polled(&mut self, poll: RequestId, frames: Vec<ProgressFrame>, turn: &mut Turn) {
        if self.poll.out.is_none_or(|(out, _)| out != poll) {
            return;
        }
        let first = !self.server_counts();
        self.poll.out = None;
        self.poll.failures = 0;
        self.poll.answered = true;
        if first {
            self.witnesses_changed(turn);
        }
        let foreign = self.is_foreign();
        for mut frame in frames {
            let asked = self
                .watched
                .iter()
                .copied()
                .find(|id| self.find(*id).is_some_and(|at| self.items[at].progress_id == frame.id));
            if let Some(at) = asked.and_then(|id| self.find(id)) {
                if foreign {
                    self.translate(at, &mut frame, turn);
                }
                if let Some(request) = self.items[at].phase.request() {
                    let resumable = self.items[at].is_resumable();
                    // What was asked before the present request began says nothing of it.
                    if !resumable || poll > request {
                        self.items[at].tally.told_ms = Some(turn.now);
                        if resumable {
                            self.count(at, frame, turn);
                        } else {
                            self.frame(at, frame, turn);
                        }
                        self.touch(at, turn);
                    }
                } else {
                    self.verdict(at, poll, frame, turn);
                }
            }
        }
        for place in 0..self.watched.len() {
            let Some(at) = self.find(self.watched[place]) else { continue };
            let gap_ms = self.poll_gap(at, turn);
            self.items[at].next_poll_ms = turn.now + gap_ms;
        }
        if std::mem::take(&mut self.poll.again) {
            self.ask_about_all(turn);
        }
    }

    /// Makes a frame of somebody else's count one of ours: the id is the try's own, and the counts are those of the
    /// whole request.
    fn translate(&mut self, at: usize, frame: &mut ProgressFrame, turn: &mut Turn) {
        let item = &mut self.items[at];
        let size = item.meta.size;
        frame.attempt = item.attempt;
        frame.received = in_file(frame.body_received, frame.body_size.unwrap_or(size), size);
        if frame.state != ProgressState::Unknown || item.tally.seq.is_some() {
            return;
        }
        item.tally.unheard = item.tally.unheard.saturating_add(1);
        if item.tally.unheard == POLLS_IN_VAIN && item.by_server {
            // These say "not yet" for ever where they do not count at all: then the browser's word is all there is.
            item.by_server = false;
            let whole = item.tally.heard && item.tally.loaded == size;
            if whole {
                self.processing(at, turn);
            }
            self.touch(at, turn);
        }
    }

    /// What the server says of a try that is under way.
    fn frame(&mut self, at: usize, mut frame: ProgressFrame, turn: &mut Turn) {
        let foreign = self.is_foreign();
        let item = &mut self.items[at];
        if frame.attempt != item.attempt
            || frame.state == ProgressState::Unknown
            || item.tally.seq.is_some_and(|seq| frame.seq <= seq)
        {
            return;
        }
        if frame.state == ProgressState::Done {
            // Without a receipt that fits there is nothing to show for it: the answer itself will tell.
            if let Some(receipt) = receipt(item, frame.receipts).filter(|receipt| receipt.proof.is_stored()) {
                self.give_up_request(at, turn);
                return self.stored(at, receipt, turn);
            }
            if !foreign {
                return;
            }
            // Who only counts has seen all of it go by.
            frame.state = ProgressState::Processing;
            frame.received = item.meta.size;
        }
        let size = item.meta.size;
        let received = frame.received.min(size);
        let tally = &mut item.tally;
        if let Some(old) = tally.old_received {
            // The browser has begun again and the server has not seen it yet.
            if received >= old && received > tally.loaded {
                return;
            }
            tally.old_received = None;
        }
        item.by_server = true;
        tally.seq = Some(frame.seq);
        tally.state = Some(frame.state);
        tally.error = frame.error;
        if received < tally.received {
            tally.browser_may_go_back = tally.loaded > received;
            tally.received = received;
            tally.sent = received;
            item.restart(turn.now, 0);
            if matches!(item.phase, Phase::Processing { .. }) {
                self.back_to_sending(at, turn);
            }
        } else {
            if received > tally.received {
                tally.gain_ms = turn.now;
            }
            tally.received = received;
            tally.sent = tally.sent.max(received);
        }
        let item = &mut self.items[at];
        item.meter.sample(turn.now, received);
        let whole = received == size && (size > 0 || item.tally.heard);
        let processing =
            frame.state == ProgressState::Processing || (frame.state == ProgressState::Receiving && whole);
        if processing && matches!(item.phase, Phase::Sending { .. }) {
            self.processing(at, turn);
        }
        self.gained(at, turn);
    }

    /// What the server says of a try whose request has ended without an answer.
    fn verdict(&mut self, at: usize, poll: RequestId, frame: ProgressFrame, turn: &mut Turn) {
        let foreign = self.is_foreign();
        let item = &self.items[at];
        // An answer to a question from before the end says nothing of the end.
        if item.asking.is_none_or(|from| poll < from) {
            return;
        }
        let fresh = item.tally.seq.is_none_or(|seq| frame.seq >= seq);
        if frame.state == ProgressState::Unknown || frame.attempt < item.attempt {
            return self.verdict_over(at, turn);
        }
        if frame.attempt != item.attempt || !fresh {
            return;
        }
        match frame.state {
            ProgressState::Done => {
                if let Some(receipt) = receipt(item, frame.receipts) {
                    self.stored(at, receipt, turn);
                }
            }
            ProgressState::Failed => match frame.error.filter(|error| !error.retryable) {
                Some(error) => {
                    let again = retry::may_be_asked(&error);
                    self.enter(at, Phase::Failed { error, again }, turn);
                }
                None => self.verdict_over(at, turn),
            },
            ProgressState::Receiving | ProgressState::Processing => {
                // It is at work on it: the verdict comes later.
                let received = frame.received.min(item.meta.size);
                // Who only counts numbers nothing, and may say the same of a broken line for as long as it remembers it.
                let news = match foreign {
                    true => received > item.tally.received,
                    false => item.tally.seq.is_none_or(|seq| frame.seq > seq),
                };
                // With nothing left to come it may well be at work.
                let whole = foreign && received == item.meta.size;
                let tally = &mut self.items[at].tally;
                tally.seq = Some(frame.seq);
                if news && foreign {
                    tally.received = received;
                    tally.sent = tally.sent.max(received);
                }
                self.touch(at, turn);
                if (news || whole || frame.state == ProgressState::Processing)
                    && let Phase::Waiting { cause: Cause::Verdict, error, .. } = &mut self.items[at].phase
                {
                    let (error, until_ms) = (error.take(), Some(turn.now + VERDICT_MS));
                    self.enter(at, Phase::Waiting { cause: Cause::Verdict, until_ms, error }, turn);
                }
            }
            ProgressState::Cancelled | ProgressState::Expired | ProgressState::Unknown => {
                self.verdict_over(at, turn);
            }
        }
    }

    // --- Polls ---

    fn poll_gap(&mut self, at: usize, turn: &Turn) -> u64 {
        let item = &mut self.items[at];
        let tally = &item.tally;
        let failed = tally.state.is_some_and(ProgressState::is_terminal);
        let tail = item.all_handed_over() || item.asking.is_some() || failed;
        let gap_ms = if tail {
            let gap_ms = item.poll_gap_ms;
            item.poll_gap_ms = (gap_ms + gap_ms / 2).min(POLL_CAP_MS);
            gap_ms
        } else if tally.unseen {
            DRIVING_POLL_MS
        } else if tally.seq.is_none() {
            UNKNOWN_POLL_MS
        } else if item.is_resumable() && turn.now >= tally.sent_gain_ms + resume::SUSPICIOUS_MS {
            DRIVING_POLL_MS
        } else if item.is_resumable() {
            resume::POLL_MS
        } else {
            SLOW_POLL_MS
        };
        self.random.around(gap_ms).min(POLL_CAP_MS)
    }

    fn ask_about_all(&mut self, turn: &Turn) {
        for place in 0..self.watched.len() {
            if let Some(at) = self.find(self.watched[place]) {
                self.items[at].next_poll_ms = turn.now;
            }
        }
    }

    fn poll_failed(&mut self, turn: &mut Turn) {
        self.poll.out = None;
        self.poll.failures = self.poll.failures.saturating_add(1);
        let longest = (DRIVING_POLL_MS << self.poll.failures.min(8)).min(POLL_CAP_MS);
        self.poll.not_before_ms = turn.now + self.random.around(longest).min(POLL_CAP_MS);
        if !self.server_counts() {
            self.witnesses_changed(turn);
        }
    }

    /// Whether there is a server to ask has changed: so do the bars of what is under way.
    fn witnesses_changed(&mut self, turn: &mut Turn) {
        let server_counts = self.server_counts();
        for place in 0..self.flights.len() {
            let Some(at) = self.find(self.flights[place]) else { continue };
            let item = &mut self.items[at];
            item.by_server = server_counts || item.tally.seq.is_some();
            let whole = item.tally.heard && item.tally.loaded == item.meta.size;
            if whole && !item.by_server {
                self.processing(at, turn);
            }
            self.touch(at, turn);
        }
    }

    /// Sends the next poll when it is due, or arms its timer.
    fn plan_poll(&mut self, turn: &mut Turn) {
        let asked = self.watched.iter().filter_map(|id| self.find(*id));
        let due = asked.map(|at| self.items[at].next_poll_ms).min().filter(|_| self.online);
        let Some(mut due) = due.map(|due| due.max(self.poll.not_before_ms)) else {
            if self.poll.armed_ms.take().is_some() {
                turn.out.push(Command::Disarm { timer: Timer::Poll });
            }
            return;
        };
        if let Some((_, sent_ms)) = self.poll.out {
            due = sent_ms + POLL_LOST_MS;
            if due <= turn.now {
                self.poll_failed(turn);
                due = self.poll.not_before_ms;
            }
        }
        if due <= turn.now {
            self.send_poll(turn);
            due = turn.now + POLL_LOST_MS;
        }
        // A timer that comes too early is armed again then: that costs less than moving it each time.
        if self.poll.armed_ms.is_none_or(|armed| due < armed) {
            self.poll.armed_ms = Some(due);
            turn.arm(Timer::Poll, due - turn.now);
        }
    }

    fn send_poll(&mut self, turn: &mut Turn) {
        let mut asked: Vec<usize> = self.watched.iter().filter_map(|id| self.find(*id)).collect();
        if asked.len() > POLL_IDS {
            // A heap and not a sort: this much less code goes to every page.
            let due = asked
                .iter()
                .enumerate()
                .map(|(place, at)| Reverse((self.items[*at].next_poll_ms, place, *at)));
            let mut due: BinaryHeap<_> = due.collect();
            asked = std::iter::from_fn(|| due.pop()).take(POLL_IDS).map(|Reverse((.., at))| at).collect();
        }
        let ids = asked.iter().map(|at| self.items[*at].progress_id.clone()).collect();
        let poll = self.new_request();
        self.poll.out = Some((poll, turn.now));
        turn.out.push(Command::Poll { poll, ids });
    }

    // --- Timers and the network ---

    fn fired(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Poll => self.poll.armed_ms = None,
            Timer::Undo => self.let_go_of_removed(turn),
            Timer::Silent(file) => {
                if let Some(at) = self.find(file)
                    && std::mem::take(&mut self.items[at].silent_armed)
                {
                    self.unseen(at, turn);
                }
            }
            Timer::Stall(file) => {
                let Some(at) = self.find(file) else { return };
                let item = &mut self.items[at];
                if std::mem::take(&mut item.stall_armed) {
                    let moved_ms = item.tally.gain_ms.max(item.tally.sent_gain_ms);
                    let due = resume::stalled_from(item).unwrap_or(moved_ms + STALL_MS);
                    if due > turn.now {
                        item.stall_armed = true;
                        turn.arm(Timer::Stall(file), due - turn.now);
                    } else if item.is_resumable() {
                        return self.stalled(at, turn);
                    } else if let Some(lost_ms) = lost_from(item) {
                        if lost_ms <= turn.now {
                            self.give_up_request(at, turn);
                            return self.failed(at, ErrorBody::new(ErrorCode::Network, ""), 0, None, turn);
                        }
                        item.stall_armed = true;
                        turn.arm(Timer::Stall(file), lost_ms - turn.now);
                    }
                    self.touch(at, turn);
                }
            }
            Timer::Retry(file) => {
                let Some(at) = self.find(file) else { return };
                let Phase::Waiting { cause, until_ms: Some(until_ms), .. } = self.items[at].phase else {
                    return;
                };
                if until_ms > turn.now {
                    // Timers of browsers may come a little early.
                    turn.arm(timer, until_ms - turn.now);
                } else if cause == Cause::Verdict {
                    self.verdict_over(at, turn);
                } else {
                    self.enter(at, Phase::Queued { ready: true }, turn);
                }
            }
        }
    }

    fn set_offline(&mut self, turn: &mut Turn) {
        self.online = false;
        self.touch_queued(turn);
        for at in 0..self.items.len() {
            let item = &mut self.items[at];
            if let Phase::Waiting { cause: Cause::Backoff | Cause::Verdict, error, .. } = &mut item.phase {
                let error = error.take();
                if error.as_ref().is_some_and(|error| error.code == ErrorCode::Network) {
                    // The failure that told of it was no try of the server's.
                    item.tries = item.tries.saturating_sub(1);
                }
                self.enter(at, Phase::Waiting { cause: Cause::Offline, until_ms: None, error }, turn);
            }
        }
    }

    fn set_online(&mut self, turn: &mut Turn) {
        if std::mem::replace(&mut self.online, true) {
            return;
        }
        self.poll.not_before_ms = turn.now;
        self.ask_about_all(turn);
        self.touch_queued(turn);
        for at in 0..self.items.len() {
            if matches!(self.items[at].phase, Phase::Waiting { cause: Cause::Offline, .. }) {
                self.go_on(at, turn);
            }
        }
    }

    /// What waits for its turn waits for the network now, or does so no longer.
    fn touch_queued(&mut self, turn: &Turn) {
        for at in 0..self.items.len() {
            if self.items[at].phase == (Phase::Queued { ready: true }) {
                self.touch(at, turn);
            }
        }
    }

    // --- The one door between phases ---

    /// Leaves the old phase with all that was armed for it, and enters the new one.
    pub(super) fn enter(&mut self, at: usize, phase: Phase, turn: &mut Turn) {
        let item = &mut self.items[at];
        let id = item.id;
        let old = std::mem::replace(&mut item.phase, phase);
        let (was, is) = (old.request().is_some(), item.phase.request().is_some());
        if is && !was {
            self.flights.push(id);
        } else if was && !is {
            self.flights.retain(|flight| *flight != id);
        }
        let flies = matches!(item.phase, Phase::Sending { .. } | Phase::Processing { .. });
        if !flies && std::mem::take(&mut item.silent_armed) {
            turn.out.push(Command::Disarm { timer: Timer::Silent(id) });
        }
        let due = match item.phase {
            Phase::Sending { .. } => true,
            Phase::Creating { .. } | Phase::Processing { .. } => item.is_resumable(),
            _ => false,
        };
        if !due && std::mem::take(&mut item.stall_armed) {
            turn.out.push(Command::Disarm { timer: Timer::Stall(id) });
        }
        match (old.until_ms(), item.phase.until_ms()) {
            (Some(_), None) => turn.out.push(Command::Disarm { timer: Timer::Retry(id) }),
            (_, Some(until_ms)) => turn.arm(Timer::Retry(id), until_ms.saturating_sub(turn.now)),
            (None, None) => {}
        }
        match &item.phase {
            Phase::Queued { ready: true } => match old {
                // It has had its turn once: it need not wait for all the others.
                Phase::Waiting { .. } => self.ready.push_front(id),
                _ => self.ready.push_back(id),
            },
            Phase::Checking { .. } => {
                item.tally.sent = item.meta.size;
                item.tally.received = item.meta.size;
            }
            Phase::Done { .. } => {
                self.last_stored = Some(id);
                let size = item.meta.size;
                item.tally.sent = size;
                item.tally.received = size;
                item.fate_unknown = false;
                turn.out.push(Command::Forget { file: id });
                turn.out.push(Command::Notify(Notice::Done(id)));
            }
            Phase::Failed { .. } => turn.out.push(Command::Notify(Notice::Failed(id))),
            Phase::Rejected { .. } => turn.out.push(Command::Forget { file: id }),
            _ => {}
        }
        if !matches!(item.phase, Phase::Waiting { cause: Cause::Backoff | Cause::Verdict, .. }) {
            item.asking = None;
        }
        self.let_go(at, turn);
        self.tell_phase(at, &old);
        self.touch(at, turn);
    }

    /// After anything about a file changed: draw it anew, count it anew, and see whether polls should ask about it.
    pub(super) fn touch(&mut self, at: usize, turn: &Turn) {
        let can_ask = self.can_ask();
        let item = &mut self.items[at];
        if !std::mem::replace(&mut item.dirty, true) {
            self.dirty.push(item.id);
        }
        let share = item.share();
        item.shown = item.percent(share.basis).min(99);
        let gained = share.basis.saturating_sub(item.counted.basis);
        let counts = (share.sent, share.received) != (item.counted.sent, item.counted.received);
        self.sums.replace(std::mem::replace(&mut item.counted, share), share);
        if gained > 0 {
            self.flowed += gained;
            self.flow.sample(turn.now, self.flowed);
        }
        if counts {
            self.tell_progress(at);
        }
        let item = &mut self.items[at];
        let watch = can_ask && wants_polls(item);
        if watch != std::mem::replace(&mut item.watched, watch) {
            let id = item.id;
            if watch {
                self.watched.push(id);
            } else {
                self.watched.retain(|watched| *watched != id);
            }
        }
    }
}

/// What a person wants of the files of a lot that are still to come, by what was wanted of all files meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// Nothing was said.
    AsEver,
    /// To be sent, without a start of their own.
    Go,
    /// Paused.
    Hold,
    /// Cancelled.
    Stop,
    /// Cancelled and off the list, and come back with what was taken off.
    Off,
    /// Cancelled and off the list for good: they are not even listed.
    Gone,
}

impl Wanted {
    /// What is wanted after this event.
    fn after(self, event: &Event) -> Self {
        match (event, self) {
            (Event::Start(Scope::All), Self::AsEver)
            | (Event::Resume(Scope::All), Self::Hold)
            | (Event::Retry(Scope::All), Self::Stop) => Self::Go,
            (Event::Pause(Scope::All), Self::AsEver | Self::Go) => Self::Hold,
            (Event::Cancel(Scope::All), Self::AsEver | Self::Go | Self::Hold) => Self::Stop,
            (Event::Remove(Scope::All), Self::Stop) => Self::Gone,
            (Event::Undo, Self::Off) => Self::Stop,
            _ => self,
        }
    }
}

/// Puts these pairs in, in the place of those of the same name.
fn put(pairs: &mut Pairs, more: &Pairs) {
    for (name, value) in more {
        pairs.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        pairs.push((name.clone(), value.clone()));
    }
}

/// What tells one file from another, in 32 bits (FNV-1a).
fn mark(meta: &FileMeta) -> u32 {
    let numbers = [meta.size, meta.modified_ms.unwrap_or_default()];
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    let bytes = meta.path.bytes().chain(meta.name.bytes()).chain(numbers);
    bytes.fold(0x811c_9dc5, |mark, byte| (mark ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Whether the polls should ask about this file.
fn wants_polls(item: &Item) -> bool {
    match item.phase {
        // The server is being asked already, or is not asked for anything; it counts nothing meanwhile.
        Phase::Preparing { .. } | Phase::Creating { .. } => return false,
        _ if item.phase.request().is_none() => return item.asking.is_some(),
        _ => {}
    }
    // A failure that may be tried again does not end a request: a browser may be sending it anew by itself.
    match item.tally.state {
        Some(ProgressState::Failed) => item.tally.error.as_ref().is_none_or(|error| error.retryable),
        Some(state) => !state.is_terminal(),
        None => true,
    }
}

/// From when on the present try is lost if nothing moves. `None`: nobody can tell. A browser that tells nothing may be
/// feeding a proxy that keeps everything to itself.
fn lost_from(item: &Item) -> Option<u64> {
    let tally = &item.tally;
    let more = tally.heard && !tally.unseen && tally.loaded < item.meta.size;
    more.then(|| tally.gain_ms.max(tally.sent_gain_ms) + LOST_MS)
}

/// Whether a request that ends now without an answer may nevertheless have stored the file.
fn may_be_stored(item: &Item) -> bool {
    let failed = item.tally.state.is_some_and(ProgressState::is_terminal);
    !failed && (item.all_handed_over() || item.tally.unseen)
}

/// The receipt that speaks of this file.
pub(super) fn receipt(item: &Item, receipts: Vec<Receipt>) -> Option<Receipt> {
    receipts
        .into_iter()
        .map(|receipt| filled_in(item, receipt))
        .find(|receipt| receipt.size == item.meta.size)
}

/// A receipt that says no more than "taken" speaks of what was sent.
fn filled_in(item: &Item, receipt: Receipt) -> Receipt {
    let Receipt { url, stored_ms, proof: Proof::Accepted, .. } = receipt else { return receipt };
    Receipt {
        id: item.progress_id.as_str().parse().unwrap_or_default(),
        name: item.meta.name.clone(),
        size: item.meta.size,
        media_type: item.meta.media_type.clone(),
        url,
        stored_ms,
        path: item.meta.path.clone(),
        proof: Proof::Accepted,
        ..Receipt::default()
    }
}

/// One call of [`Queue::handle`].
pub(super) struct Turn {
    pub(super) now: u64,
    pub(super) out: Vec<Command>,
}

impl Turn {
    pub(super) fn arm(&mut self, timer: Timer, delay_ms: u64) {
        let delay_ms = u32::try_from(delay_ms).unwrap_or(u32::MAX);
        self.out.push(Command::Arm { timer, delay_ms });
    }
}
