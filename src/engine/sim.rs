//! A small world for the queue: a clock, timers, a transport that follows a script of misfortunes, and a server that
//! counts and stores, whole forms and resumable uploads. It carries out commands, brings their events back early, late,
//! twice or never, and checks the eight invariants after every single event; of resumable uploads also that no byte is
//! sent but from an offset the server has just told, that none is sent twice which the server had kept, and that a
//! file is done only when the server has completed it. Must never look inside the queue: only at commands and views.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Queue,
    command::{Command, Manifest, Timer},
    event::{Answer, Candidate, Event, FileId, FileMeta, Need, RequestId, Scope},
    news::{FileInfo, UploadEvent},
    view::{RowState, RowView, TotalView},
};
use crate::wire::{
    ErrorBody, ErrorCode, Options, ProgressFrame, ProgressId, ProgressState, Protocol, Receipt, UploadId,
};

/// How one request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives and is answered.
    Good,
    /// It arrives and is answered, and the browser never tells of progress.
    Silent,
    /// It arrives, and the browser says that it cannot tell.
    Unknowable,
    /// The connection breaks after so many eighths.
    Broken(u64),
    /// Stored; then the connection breaks before the answer.
    AnswerLost,
    /// The answer takes a minute.
    Held,
    /// Refused at once: too large.
    Refused,
    /// Refused early; the browser sees only a broken connection, the count tells the reason.
    RefusedUnread,
    /// 503, with `Retry-After: 3`.
    Busy,
    /// 409: the id is still in use.
    InUse,
    /// 401: one must sign in first, or again.
    Unauthorized,
    /// An abort nobody asked for.
    Aborted,
    /// The browser sends the body twice; its own count goes back.
    SentTwice,
    /// The browser sends the body twice; its own count goes on as if nothing had been.
    SentTwiceUnsaid,
    /// Nothing moves after so many eighths, and nobody says so. (Of a resumable upload.)
    Stalled(u64),
    /// The server dies after so many eighths and forgets what it has not told. (Of a resumable upload.)
    Crash(u64),
    /// 404: the server has given the upload up. (Of a resumable upload.)
    Gone,
    /// 409: late bytes of an earlier connection have moved the offset. (Of a resumable upload.)
    Moved,
}

/// How one poll goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollFate {
    /// Answered after so many milliseconds.
    Answered(u64),
    /// Fails.
    Fails,
    /// Is never heard of again.
    Lost,
}

/// What the page says when it is asked before a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Send it, after so many milliseconds.
    Agrees(u64),
    /// Send it under another name.
    Renames,
    /// Do not send it; said when asked about the file, and otherwise agrees.
    Declines,
    /// It could not find out what goes with the request.
    Fails,
}

/// How the digest of a file turns out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    /// The server stored just this, as the browser knows after so many milliseconds.
    Agrees(u64),
    /// The server stored something else.
    Differs,
    /// The browser cannot tell.
    Unknown,
}

pub(super) struct Sim {
    pub(super) queue: Queue,
    pub(super) now: u64,
    /// Every command, with the time it was given at.
    pub(super) log: Vec<(u64, Command)>,
    pub(super) fates: Vec<Fate>,
    pub(super) poll_fates: Vec<PollFate>,
    /// Nothing when the page is not asked.
    page: Vec<Page>,
    /// The page's answer has just come.
    answered: BTreeSet<FileId>,
    /// The page has agreed to these files.
    agreed: BTreeSet<FileId>,
    /// Questions to the page.
    questions: BTreeSet<RequestId>,
    /// How the files' digests compare with those of the server, where they are compared.
    digests: Vec<Digest>,
    /// Digests that are awaited.
    digesting: BTreeMap<FileId, RequestId>,
    /// The last request was refused for who sent it.
    unauthorized: BTreeSet<FileId>,
    /// What the page was told last of each file that is listed.
    told_of: BTreeMap<FileId, &'static str>,
    /// Lots of which more comes, and those of which nothing is wanted any more.
    lots: BTreeSet<u32>,
    stopped: BTreeSet<u32>,
    /// Of the latter, those that were taken off: such as come back with an undo, and such as never do.
    aside: BTreeSet<u32>,
    lost: BTreeSet<u32>,
    /// Files of the ones, and of the others.
    late: BTreeSet<FileId>,
    never: BTreeSet<FileId>,
    /// Files that were let go of.
    forgotten: BTreeSet<FileId>,
    options: Options,
    timers: BTreeMap<Timer, u64>,
    mail: BTreeMap<(u64, u64), Post>,
    posted: u64,
    files: BTreeMap<FileId, Candidate>,
    next_file: u32,
    flights: BTreeMap<FileId, RequestId>,
    ended: BTreeSet<RequestId>,
    polls_out: BTreeMap<RequestId, u64>,
    server: BTreeMap<ProgressId, Vec<(u64, ProgressFrame)>>,
    /// The resumable upload that an id was first sent with: it speaks of that one for ever.
    named: BTreeMap<ProgressId, String>,
    /// Resumable uploads, by their addresses.
    remotes: BTreeMap<String, Remote>,
    next_remote: u32,
    /// The addresses that creations under these ids were answered with, whether or not the answer arrived.
    created: BTreeMap<ProgressId, String>,
    /// What the server has told of the file's upload, and no byte was sent since.
    told: BTreeMap<FileId, u64>,
    /// What would be found again, and the addresses of its uploads.
    remembered: BTreeMap<FileId, (Candidate, String)>,
    seq: u64,
    /// Cancelled or removed, and not asked for again.
    gone: BTreeSet<FileId>,
    online: bool,
    shown: BTreeMap<FileId, RowView>,
    news: Vec<Event>,
    /// What was last taken off, as it was; whether it was cancelled; and what the page was told last of it.
    off: BTreeMap<FileId, Off>,
    /// What an undo has just brought back.
    back: BTreeMap<FileId, Off>,
}

#[derive(Clone, Debug)]
struct Off {
    row: RowView,
    gone: bool,
    told: Option<&'static str>,
}

/// One resumable upload on the server.
#[derive(Clone, Debug, Default)]
struct Remote {
    file: Option<FileId>,
    /// What the server holds, and whether that is the completed file, from these times on.
    points: Vec<(u64, u64, bool)>,
    /// Bytes put on the wire for it, over all requests, from these times on.
    wire: Vec<(u64, u64)>,
    /// Bytes that it held and lost again, from these times on.
    lost: Vec<(u64, u64)>,
}

impl Remote {
    fn holds(&self, now: u64) -> (u64, bool) {
        let past = self.points.iter().rfind(|(at, ..)| *at <= now);
        past.map_or((0, false), |(_, offset, complete)| (*offset, *complete))
    }

    /// Whoever sends is gone or replaced: what has not arrived never will. Whoever has everything goes on.
    fn stop(&mut self, now: u64, size: u64) {
        if self.points.iter().any(|(.., complete)| *complete) && self.holds(now).0 == size {
            return;
        }
        self.points.retain(|(at, ..)| *at <= now);
        self.wire.retain(|(at, _)| *at <= now);
        self.lost.retain(|(at, _)| *at <= now);
    }
}

#[derive(Clone, Debug)]
enum Post {
    Event(Event),
    /// Answer this poll with what the server knew when it was asked.
    Answer(RequestId, Vec<ProgressFrame>),
}

impl Sim {
    pub(super) fn new(options: Options, fates: &[Fate], poll_fates: &[PollFate]) -> Self {
        Self {
            queue: Queue::new(&options, 7),
            now: 1_000,
            log: Vec::new(),
            fates: fates.to_vec(),
            poll_fates: poll_fates.to_vec(),
            page: Vec::new(),
            answered: BTreeSet::new(),
            agreed: BTreeSet::new(),
            questions: BTreeSet::new(),
            digests: Vec::new(),
            digesting: BTreeMap::new(),
            unauthorized: BTreeSet::new(),
            told_of: BTreeMap::new(),
            lots: BTreeSet::new(),
            stopped: BTreeSet::new(),
            aside: BTreeSet::new(),
            lost: BTreeSet::new(),
            late: BTreeSet::new(),
            never: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            options,
            timers: BTreeMap::new(),
            mail: BTreeMap::new(),
            posted: 0,
            files: BTreeMap::new(),
            next_file: 1,
            flights: BTreeMap::new(),
            ended: BTreeSet::new(),
            polls_out: BTreeMap::new(),
            server: BTreeMap::new(),
            named: BTreeMap::new(),
            remotes: BTreeMap::new(),
            next_remote: 1,
            created: BTreeMap::new(),
            told: BTreeMap::new(),
            remembered: BTreeMap::new(),
            seq: 0,
            gone: BTreeSet::new(),
            online: true,
            shown: BTreeMap::new(),
            news: Vec::new(),
            off: BTreeMap::new(),
            back: BTreeMap::new(),
        }
    }

    /// The same with a page that is told of everything, and asked before each request where it has answers.
    pub(super) fn with_page(mut self, page: &[Page]) -> Self {
        self.page = page.to_vec();
        self.meet_page();
        self
    }

    /// The same where digests are compared, with these outcomes in turn.
    pub(super) fn with_digests(mut self, digests: &[Digest]) -> Self {
        self.digests = digests.to_vec();
        self
    }

    fn meet_page(&mut self) {
        self.queue.listen();
        self.queue.consult(!self.page.is_empty(), !self.page.is_empty());
    }

    /// A sim in which all goes well.
    pub(super) fn good() -> Self {
        let options = Options { protocol: Protocol::Form, ..Options::default() };
        Self::new(options, &[Fate::Good], &[PollFate::Answered(20)])
    }

    /// Picks files of these sizes.
    pub(super) fn add(&mut self, sizes: &[u64]) -> Vec<FileId> {
        let candidates: Vec<_> = sizes.iter().map(|size| self.candidate(*size)).collect();
        let ids = candidates.iter().map(|candidate| candidate.id).collect();
        self.deliver(Event::Added(candidates));
        ids
    }

    /// Brings the next files of a lot.
    pub(super) fn portion(&mut self, lot: u32, sizes: &[u64], more: bool) {
        let found: Vec<_> = sizes.iter().map(|size| self.candidate(*size)).collect();
        // Cancelled before they were listed.
        if self.stopped.contains(&lot) {
            self.gone.extend(found.iter().map(|candidate| candidate.id));
        }
        if self.aside.contains(&lot) {
            self.late.extend(found.iter().map(|candidate| candidate.id));
        } else if self.lost.contains(&lot) {
            self.never.extend(found.iter().map(|candidate| candidate.id));
        }
        if more {
            self.lots.insert(lot);
        } else {
            for lots in [&mut self.lots, &mut self.stopped, &mut self.aside, &mut self.lost] {
                lots.remove(&lot);
            }
        }
        self.deliver(Event::Gathering { lot, found, more, smaller: false });
    }

    fn candidate(&mut self, size: u64) -> Candidate {
        let candidate = Self::candidate_of(self.next_file, size);
        self.next_file += 1;
        self.files.insert(candidate.id, candidate.clone());
        candidate
    }

    /// The file of this number.
    pub(super) fn candidate_of(number: u32, size: u64) -> Candidate {
        let mut bits = [0; 16];
        bits[..4].copy_from_slice(&number.to_be_bytes());
        Candidate {
            id: FileId(number),
            progress_id: ProgressId::from_bits(bits),
            meta: FileMeta {
                name: format!("{number}.bin"),
                path: String::new(),
                size,
                original: None,
                modified_ms: None,
                media_type: String::new(),
            },
        }
    }

    pub(super) fn row(&self, id: FileId) -> RowView {
        self.queue.row(id, self.now).unwrap()
    }

    /// Files whose commands or rows can be spoken of.
    pub(super) fn file(&self, index: usize) -> FileId {
        FileId(1 + index as u32 % self.next_file.max(2).saturating_sub(1))
    }

    /// Brings past news of the transport again.
    pub(super) fn replay(&mut self, index: usize) {
        if !self.news.is_empty() {
            let event = self.news[index % self.news.len()].clone();
            self.deliver(event);
        }
    }

    /// Lets this much time pass, with all that falls due in it.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.step(due);
        }
        self.now = end;
    }

    /// Lets time pass until nothing is left to happen.
    pub(super) fn drain(&mut self) {
        for _ in 0..100_000 {
            match self.next_due() {
                Some(due) => self.step(due),
                None => break,
            }
        }
        assert!(self.next_due().is_none(), "it never comes to rest: {:?} {:?}", self.timers, self.mail);
        // (8) At rest no timers (there are none left), no requests, no polls.
        assert!(self.flights.is_empty(), "(5) never ended: {:?}", self.flights);
        for id in self.remembered.keys() {
            assert!(self.queue.row(*id, self.now).is_some(), "remembered, and taken off for good: {id:?}");
        }
        for id in self.queue.rows() {
            let state = self.row(id).state;
            let held = matches!(state, RowState::Paused | RowState::Missing { .. });
            assert!(state.has_ended() || held, "at rest, and {state:?}");
        }
    }

    fn next_due(&self) -> Option<u64> {
        let timer = self.timers.values().min();
        let mail = self.mail.keys().next().map(|key| &key.0);
        timer.into_iter().chain(mail).min().copied()
    }

    fn step(&mut self, due: u64) {
        self.now = self.now.max(due);
        if let Some(timer) = self.timers.iter().find(|(_, at)| **at == due).map(|(timer, _)| *timer) {
            self.deliver(Event::Fired(timer));
        } else if let Some((_, post)) = self.mail.pop_first() {
            match post {
                Post::Event(event) => self.deliver(event),
                Post::Answer(poll, frames) => self.deliver(Event::Polled { poll, frames }),
            }
        }
    }

    fn post(&mut self, delay: u64, post: Post) {
        self.posted += 1;
        self.mail.insert((self.now + delay, self.posted), post);
    }

    /// Hands one event in, carries the commands out, and checks what must always hold.
    pub(super) fn deliver(&mut self, event: Event) {
        match &event {
            Event::Online => self.online = true,
            Event::Offline => self.online = false,
            // Fired is not armed, be it early.
            Event::Fired(timer) => {
                self.timers.remove(timer);
                if *timer == Timer::Undo {
                    self.off.clear();
                }
            }
            Event::Retry(scope) | Event::Resume(scope) | Event::Start(scope) => {
                if *scope == Scope::All && matches!(event, Event::Retry(_)) {
                    self.stopped = &self.aside | &self.lost;
                }
                self.wanted(*scope);
            }
            Event::Cancel(scope) => {
                if *scope == Scope::All {
                    self.stopped.clone_from(&self.lots);
                }
                self.leave(|row| in_scope(*scope, row.id) && !row.state.has_ended());
            }
            Event::Remove(Scope::One(id)) => self.leave(|row| row.id == *id),
            Event::Remove(Scope::All) => {
                self.leave(|row| row.state.has_ended());
                self.off.clear();
                self.lost.clone_from(&self.stopped);
                self.aside.clear();
            }
            Event::TakeOff(scope) => self.lay_aside(*scope),
            Event::Undo => {
                self.back = std::mem::take(&mut self.off);
                self.aside.clear();
            }
            Event::LetGo => self.off.clear(),
            Event::AtHand { file } | Event::Changed { file, .. } if self.lacks_its_file(*file) => {
                self.back = self.off.remove_entry(file).into_iter().collect();
            }
            _ => {}
        }
        let undone = matches!(event, Event::Undo);
        let late = if undone { std::mem::take(&mut self.late) } else { BTreeSet::new() };
        self.lose_what_stays_off();
        let named = named(&event);
        let current = named.is_none_or(|(file, request)| self.flights.get(&file) == Some(&request));
        if let (Some((file, request)), true) = (named, current)
            && matches!(
                event,
                Event::Accepted { .. }
                    | Event::Failed { .. }
                    | Event::Aborted { .. }
                    | Event::Prepared { .. }
                    | Event::Declined { .. }
                    | Event::Created { .. }
                    | Event::Offset { .. }
            )
        {
            let unanswered = match &event {
                Event::Failed { error, .. } => error.code == ErrorCode::Declined,
                event => matches!(event, Event::Aborted { .. }),
            };
            if !unanswered {
                self.unauthorized.remove(&file);
            }
            match event {
                Event::Prepared { .. } => {
                    self.answered.insert(file);
                    self.agreed.insert(file);
                }
                Event::Failed { status: 401, .. } => drop(self.unauthorized.insert(file)),
                Event::Created { .. } => drop(self.told.insert(file, 0)),
                Event::Offset { offset, .. } => drop(self.told.insert(file, offset)),
                _ => {}
            }
            // (5) Every send ends exactly once.
            self.flights.remove(&file);
            assert!(self.ended.insert(request), "(5) ended twice: {request:?}");
        }
        if let Event::Digested { file, request, .. } = &event
            && self.digesting.get(file) == Some(request)
        {
            self.digesting.remove(file);
        }
        if let Event::Polled { poll, .. } | Event::PollFailed { poll } = &event {
            self.polls_out.remove(poll);
        }
        if named.is_some()
            || matches!(
                event,
                Event::Polled { .. } | Event::PollFailed { .. } | Event::Fired(_) | Event::Digested { .. }
            )
        {
            self.news.push(event.clone());
        }
        self.queue.take_dirty();
        let before = self.queue.clone();
        let seen = event.clone();
        let commands = self.queue.handle(event, self.now);
        if !current {
            // (2) Late news changes nothing: it does what an event does that concerns nobody.
            let mut other = before.clone();
            let nothing = other.handle(Event::Fired(Timer::Retry(FileId(u32::MAX))), self.now);
            assert_eq!((&commands, &self.queue), (&nothing, &other), "(2) {seen:?}");
        }
        let dirty: BTreeSet<_> = self.queue.clone().take_dirty().into_iter().collect();
        for id in self.files.keys() {
            let (old, new) = (before.row(*id, self.now), self.queue.row(*id, self.now));
            assert!(old == new || dirty.contains(id), "changed unsaid by {seen:?}: {old:?} {new:?}");
        }
        for (id, off) in &self.back {
            if undone {
                assert_eq!(self.queue.row(*id, self.now).as_ref(), Some(&off.row), "not as it was");
            }
            if !off.gone {
                self.gone.remove(id);
            }
        }
        for id in late {
            let row = self.queue.row(id, self.now);
            assert!(row.is_some_and(|row| row.state.has_ended()), "not as the others of its lot: {id:?}");
        }
        for command in commands {
            self.execute(command);
        }
        self.answered.clear();
        for event in self.queue.take_news() {
            self.hear(event);
        }
        let back = std::mem::take(&mut self.back);
        assert!(back.is_empty() || !self.queue.listening, "brought back unsaid: {back:?}");
        self.check(&seen);
    }

    /// What the page is told must make sense to one who knows nothing else.
    fn hear(&mut self, event: UploadEvent) {
        let (file, word, after): (_, _, &[&str]) = match event {
            UploadEvent::Added { file } => (file, "added", &[""]),
            UploadEvent::Rejected { file, .. } => {
                // A page may decline at the second asking: what failed or was cancelled before it agreed is asked about
                // again.
                (file, "rejected", &["", "added", "paused", "resumed", "failed", "cancelled"])
            }
            UploadEvent::Started { file } => (file, "started", &["added", "resumed", "failed", "cancelled"]),
            UploadEvent::Progress { file, .. } => {
                (file, "progress", &["added", "started", "progress", "resumed", "failed", "cancelled"])
            }
            UploadEvent::Stored { file, receipt } => {
                assert_eq!(receipt.size, file.size);
                // What was cancelled after it had been sent, and is wanted again, is stored without another start.
                (
                    file,
                    "stored",
                    &["started", "progress", "paused", "resumed", "added", "failed", "cancelled"],
                )
            }
            UploadEvent::Failed { file, .. } => {
                (file, "failed", &["added", "started", "progress", "resumed", "failed", "cancelled"])
            }
            UploadEvent::Paused { file } => {
                (file, "paused", &["added", "started", "progress", "resumed", "failed", "cancelled"])
            }
            UploadEvent::Resumed { file } => (file, "resumed", &["paused"]),
            UploadEvent::Cancelled { file } => (
                file,
                "cancelled",
                &["added", "started", "progress", "paused", "resumed", "failed", "cancelled"],
            ),
            UploadEvent::Removed { file } => {
                let last = self.told_of.remove(&file.id);
                let ended = ["rejected", "stored", "failed", "cancelled"];
                assert!(last.is_some_and(|last| ended.contains(&last)), "removed after {last:?}");
                return;
            }
            UploadEvent::Restored { file, receipt } => {
                let off = self.back.remove(&file.id).unwrap();
                assert_eq!(off.row.receipt, receipt);
                let last = off.told.unwrap();
                assert_eq!(self.told_of.insert(file.id, last), None, "restored, and never removed");
                return;
            }
            UploadEvent::Waiting { files } => panic!("{files} wait, which no queue makes them do"),
            UploadEvent::Ended { .. } => {
                assert!(self.lots.is_empty(), "ended, and more comes");
                let held = |state| matches!(state, RowState::Paused | RowState::Missing { .. });
                let mut states = self.queue.rows().map(|id| self.row(id).state);
                let over = states.all(|state| state.has_ended() || held(state));
                return assert!(over, "ended, and something runs");
            }
        };
        let last = self.told_of.insert(file.id, word).unwrap_or_default();
        assert!(after.contains(&last), "{word} after {last:?} of {file:?}");
    }

    fn leave(&mut self, which: impl Fn(&RowView) -> bool) {
        let rows: Vec<_> = self.queue.rows().map(|id| self.row(id)).collect();
        self.gone.extend(rows.iter().filter(|row| which(row)).map(|row| row.id));
    }

    fn lay_aside(&mut self, scope: Scope) {
        let rows = self.queue.rows().map(|id| self.row(id));
        let off = rows.filter(|row| in_scope(scope, row.id) && row.state.has_ended()).map(|row| {
            let (gone, told) = (self.gone.contains(&row.id), self.told_of.get(&row.id).copied());
            (row.id, Off { row, gone, told })
        });
        let off: BTreeMap<_, _> = off.collect();
        let some = !off.is_empty();
        if some {
            self.off.clear();
            self.lose_what_stays_off();
            self.gone.extend(off.keys());
            self.off = off;
        }
        if scope == Scope::All {
            // Where nothing was taken off with it there is nothing that it could come back with.
            let taken = &(&self.stopped - &self.aside) - &self.lost;
            let lots = if some { &mut self.aside } else { &mut self.lost };
            lots.extend(taken);
        }
    }

    /// What cannot be brought back any more never comes, nor does what its lots have still to bring.
    fn lose_what_stays_off(&mut self) {
        if self.off.is_empty() {
            self.lost.append(&mut self.aside);
            self.never.append(&mut self.late);
        }
    }

    fn wanted(&mut self, scope: Scope) {
        let wanted = |id: &FileId| in_scope(scope, *id) && self.queue.row(*id, self.now).is_some();
        let back: Vec<_> = self.gone.iter().copied().filter(wanted).collect();
        for id in back {
            self.gone.remove(&id);
        }
    }

    fn check(&mut self, event: &Event) {
        let slots = usize::from(self.options.concurrency.clamp(1, 4)).min(self.queue.room);
        let mut sums = TotalView { gathering: !self.lots.is_empty(), ..TotalView::default() };
        // Bytes of what is stored or may be.
        let mut standing = 0;
        let ids: Vec<_> = self.queue.rows().collect();
        for id in &ids {
            let row = self.row(*id);
            assert!(row.received <= row.sent && row.sent <= row.size, "(3) {row:?}");
            assert_eq!(row.percent == 100, row.state == RowState::Done, "(4) {row:?}");
            assert!(row.seconds_left != Some(0), "{row:?}");
            assert_eq!(row.receipt.is_some(), row.state == RowState::Done, "{row:?}");
            if let Some(old) = self.shown.get(id) {
                let back = row.sent < old.sent || row.received < old.received || row.percent < old.percent;
                assert!(row.restarts >= old.restarts);
                assert!(
                    !back || row.restarts > old.restarts,
                    "(3) back, unsaid, by {event:?}: {old:?} {row:?}"
                );
            }
            match row.state {
                RowState::Queued if self.options.auto_start => {
                    assert!(
                        !self.online || self.flights.len() >= slots,
                        "(7) waits though a slot is free: {row:?}"
                    );
                }
                RowState::Waiting { seconds: Some(_) } | RowState::Asking => {
                    assert!(self.timers.contains_key(&Timer::Retry(*id)), "(7) no timer: {row:?}");
                }
                RowState::Waiting { seconds: None } => assert!(!self.online, "(7) {row:?}"),
                RowState::Creating | RowState::Sending | RowState::Processing => {
                    assert!(self.flights.contains_key(id), "{row:?}");
                }
                RowState::Checking => {
                    assert!(self.digesting.contains_key(id), "nobody is asked: {row:?}");
                    assert!(!self.flights.contains_key(id), "it holds a slot: {row:?}");
                }
                _ => {}
            }
            if row.state == RowState::Done {
                self.check_done(*id);
            }
            let forgotten = matches!(row.state, RowState::Done | RowState::Cancelled | RowState::Rejected);
            assert!(!forgotten || !self.remembered.contains_key(id), "remembered for nothing: {row:?}");
            match row.state {
                RowState::Rejected => sums.failed += 1,
                RowState::Cancelled => {}
                state => {
                    sums.files += 1;
                    sums.done += u32::from(state == RowState::Done);
                    sums.taken +=
                        u32::from(row.receipt.as_ref().is_some_and(|receipt| !receipt.proof.is_stored()));
                    sums.failed += u32::from(state == RowState::Failed);
                    let held = matches!(state, RowState::Paused | RowState::Missing { .. });
                    sums.held += u32::from(held);
                    sums.active += u32::from(!state.has_ended() && !held);
                    sums.size += row.size;
                    standing += if state == RowState::Failed { 0 } else { row.size };
                    sums.sent += row.sent;
                    sums.received += row.received;
                }
            }
            sums.listed += 1;
            sums.offers.pause |= row.can_pause;
            sums.offers.resume |= row.state == RowState::Paused;
            sums.offers.cancel |= row.can_cancel;
            sums.offers.retry |= row.can_retry;
            sums.offers.clear |= row.state.has_ended();
            let unmoved = row.state == RowState::Sending && row.size > 0 && row.sent.max(row.received) == 0;
            sums.starting += u32::from(unmoved || row.state == RowState::Creating);
            sums.counts_down |= matches!(row.state, RowState::Waiting { seconds: Some(_) });
            self.shown.insert(*id, row);
        }
        self.shown.retain(|id, _| ids.binary_search(id).is_ok());
        // What was stored does not come back where others have taken its place.
        let back: Vec<_> =
            self.off.values().filter(|off| off.row.receipt.is_some()).map(|off| off.row.size).collect();
        let room = &self.options;
        let (count, bytes) = (back.len() as u32, back.iter().sum::<u64>());
        let open = sums.active + sums.held + sums.done;
        let fits = match room.multiple {
            true => {
                room.max_files.is_none_or(|most| open + count <= most)
                    && room.max_total.is_none_or(|most| standing + bytes <= most)
            }
            false => sums.done == 0,
        };
        if !fits {
            self.off.retain(|_, off| off.row.receipt.is_none());
            self.lose_what_stays_off();
        }
        let listed = |id: &&FileId| ids.binary_search(id).is_ok();
        let none = self.late.iter().chain(&self.never).find(listed);
        assert_eq!(none, None, "listed, and taken off with its lot");
        assert!(self.never.is_subset(&self.forgotten), "kept for nothing: {:?}", self.never);
        assert!(self.late.is_disjoint(&self.forgotten), "it can come back: {:?}", self.late);
        sums.offers.undo = !self.off.is_empty();
        let total = self.queue.total(self.now);
        assert_eq!(total.percent == 100, sums.files > 0 && sums.done == sums.files, "(4) {total:?}");
        assert_ne!(total.seconds_left, Some(0));
        let plain = TotalView { percent: 0, shown: 0, speed: None, seconds_left: None, ..total };
        assert_eq!(plain, sums, "the sums are the rows' sums");
        assert_eq!(
            self.timers.contains_key(&Timer::Undo),
            sums.offers.undo,
            "armed as long as it can be undone"
        );
        if sums.active == 0 {
            let armed = self.timers.keys().find(|timer| **timer != Timer::Undo);
            assert!(armed.is_none(), "(8) at rest, and armed: {:?}", self.timers);
        }
        for timer in self.timers.keys() {
            if let Timer::Retry(id) | Timer::Silent(id) | Timer::Stall(id) = timer {
                assert!(!self.gone.contains(id), "(6) {timer:?} after the end");
                assert!(ids.binary_search(id).is_ok(), "(6) {timer:?} of nobody");
            }
        }
    }

    /// Done only by the server's own end; and no byte was sent twice that the server had kept.
    fn check_done(&self, id: FileId) {
        let mine = self.remotes.values().filter(|remote| remote.file == Some(id));
        let Some(remote) = mine.max_by_key(|remote| remote.holds(self.now)) else { return };
        let size = self.files[&id].meta.size;
        assert_eq!(remote.holds(self.now), (size, true), "done, and the server has not said so");
        let sum = |list: &[(u64, u64)]| list.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let (wire, lost) = (sum(&remote.wire), sum(&remote.lost));
        assert!(wire <= size + lost, "{wire} bytes sent for {size}, {lost} lost by the server");
    }

    fn execute(&mut self, command: Command) {
        self.log.push((self.now, command.clone()));
        let about = match &command {
            Command::SendForm { file, .. }
            | Command::Create { file, .. }
            | Command::AskOffset { file, .. }
            | Command::SendRange { file, .. }
            | Command::Prepare { file: FileInfo { id: file, .. }, .. }
            | Command::Digest { file, .. }
            | Command::Remember { file, .. }
            | Command::FetchFile { file, .. } => Some(*file),
            Command::Arm { timer: Timer::Retry(file) | Timer::Silent(file) | Timer::Stall(file), .. } => {
                Some(*file)
            }
            _ => None,
        };
        assert!(about.is_none_or(|file| !self.gone.contains(&file)), "(6) {command:?}");
        if let (
            false,
            Command::SendForm { file, .. }
            | Command::Create { file, .. }
            | Command::AskOffset { file, .. }
            | Command::SendRange { file, .. },
        ) = (self.page.is_empty(), &command)
        {
            assert!(self.answered.remove(file), "the page was not asked right before {command:?}");
        }
        match command {
            Command::SendForm { file, request, progress_id, attempt, manifest } => {
                self.take_off(file, request);
                self.check_manifest(file, &manifest);
                self.send(file, request, &progress_id, attempt);
            }
            Command::Create { file, request, progress_id, attempt, manifest } => {
                assert!(attempt > 0, "tries are counted from one");
                self.take_off(file, request);
                self.check_manifest(file, &manifest);
                self.create(file, request, progress_id);
            }
            Command::Prepare { file, request, upload, again } => {
                self.take_off(file.id, request);
                self.put_to_page(file.id, request, upload, again);
            }
            Command::Digest { file, request } => self.digest(file, request),
            Command::AskOffset { file, request, url, .. } => {
                self.take_off(file, request);
                self.ask_offset(file, request, &url);
            }
            Command::SendRange { file, request, url, progress_id, offset, end, .. } => {
                assert_eq!(self.told.remove(&file), Some(offset), "sent from what the server has not told");
                self.take_off(file, request);
                self.send_range(file, request, &url, &progress_id, offset..end);
            }
            Command::Discard { url, .. } => drop(self.remotes.remove(&url)),
            Command::Remember { file, progress_id, url } => {
                let candidate = Candidate { progress_id, ..self.files[&file].clone() };
                self.files.insert(file, candidate.clone());
                self.remembered.insert(file, (candidate, url));
            }
            Command::Unremember { file, progress_id } => {
                let forgotten = self.remembered.remove(&file).map(|(candidate, _)| candidate.progress_id);
                assert_eq!(forgotten, Some(progress_id), "forgotten twice, or under another name");
            }
            Command::Abort { file, request } => {
                assert_eq!(self.flights.remove(&file), Some(request), "(5) aborts what is not there");
                assert!(self.ended.insert(request), "(5) ended twice: {request:?}");
                self.mail.retain(
                    |_, post| !matches!(post, Post::Event(event) if named(event) == Some((file, request))),
                );
                self.post(0, Post::Event(Event::Aborted { file, request }));
                if !self.questions.remove(&request) {
                    self.cut(file);
                    self.stop(file);
                }
            }
            Command::Poll { poll, ids } => self.ask(poll, &ids),
            Command::Arm { timer, delay_ms } => {
                self.timers.insert(timer, self.now + u64::from(delay_ms));
            }
            Command::Disarm { timer } => drop(self.timers.remove(&timer)),
            Command::Forget { file } => drop(self.forgotten.insert(file)),
            Command::FetchFile { .. } | Command::Notify(_) => {}
        }
    }

    /// Goes with the file only what the page has agreed to, under the name that it wants.
    fn check_manifest(&self, file: FileId, manifest: &Manifest) {
        assert!(self.page.is_empty() || self.agreed.contains(&file), "the page was not asked about {file:?}");
        assert_eq!(manifest.name, self.row(file).name);
    }

    fn put_to_page(&mut self, file: FileId, request: RequestId, upload: bool, again: bool) {
        assert!(!upload || !self.agreed.contains(&file), "asked about twice: {file:?}");
        assert!(!again || self.unauthorized.contains(&file), "again, and nobody refused");
        self.questions.insert(request);
        let page = cycle(&mut self.page).unwrap_or(Page::Agrees(0));
        let agrees = |answer| Event::Prepared { file, request, answer };
        let (after, event) = match page {
            Page::Agrees(after) => (after, agrees(Answer::default())),
            Page::Renames => {
                (1, agrees(Answer { name: Some(format!("{}.renamed", file.0)), ..Answer::default() }))
            }
            Page::Declines if upload => {
                (5, Event::Declined { file, request, error: ErrorBody::new(ErrorCode::Declined, "No.") })
            }
            Page::Declines => (5, agrees(Answer::default())),
            Page::Fails => {
                let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Declined, "Not now.") };
                (5, Event::Failed { file, request, error, status: 0, retry_after_ms: None })
            }
        };
        self.post(after, Post::Event(event));
    }

    fn digest(&mut self, file: FileId, request: RequestId) {
        assert!(!self.digests.is_empty(), "asked for a digest that nobody wants");
        self.digesting.insert(file, request);
        let (after, sha256) = match cycle(&mut self.digests).unwrap_or(Digest::Unknown) {
            Digest::Agrees(after) => (after, Some(Self::SHA256.to_owned())),
            Digest::Differs => (3, Some("0".repeat(64))),
            Digest::Unknown => (3, None),
        };
        self.post(after, Post::Event(Event::Digested { file, request, sha256 }));
    }

    fn take_off(&mut self, file: FileId, request: RequestId) {
        assert!(self.online, "sent while offline");
        assert!(self.flights.insert(file, request).is_none(), "(5) sent twice at one time");
        let slots = usize::from(self.options.concurrency.clamp(1, 4));
        assert!(self.flights.len() <= slots, "(1) {} of {slots}", self.flights.len());
    }

    fn ask(&mut self, poll: RequestId, ids: &[ProgressId]) {
        assert!(!self.options.progress.is_empty(), "polls, and nobody to ask");
        assert!(!ids.is_empty(), "a poll about nobody");
        // One at a time; one that nobody answers is given up after a while.
        self.polls_out.retain(|_, sent| *sent + 10_000 > self.now);
        assert!(self.polls_out.is_empty(), "two polls at one time");
        self.polls_out.insert(poll, self.now);
        let frames: Vec<_> = ids.iter().map(|id| self.known(id)).collect();
        let fate = cycle(&mut self.poll_fates).unwrap_or(PollFate::Answered(20));
        match fate {
            PollFate::Answered(after) if self.online => self.post(after, Post::Answer(poll, frames)),
            PollFate::Lost => {}
            _ => self.post(10, Post::Event(Event::PollFailed { poll })),
        }
    }

    /// What the server says now.
    fn known(&self, id: &ProgressId) -> ProgressFrame {
        let mut points = self.server.get(id).into_iter().flatten();
        points
            .rfind(|(at, _)| *at <= self.now)
            .map_or_else(|| ProgressFrame::unknown(id.clone()), |(_, frame)| frame.clone())
    }

    /// The client is gone: what has not arrived never will. Whoever has everything goes on.
    fn cut(&mut self, file: FileId) {
        let candidate = &self.files[&file];
        let id = candidate.progress_id.clone();
        let now = self.known(&id);
        let whole = now.received == candidate.meta.size || now.state.is_terminal();
        if let Some(points) = self.server.get_mut(&id)
            && !whole
        {
            points.retain(|(at, _)| *at <= self.now);
            if now.state != ProgressState::Unknown {
                self.seq += 1;
                let error = Some(ErrorBody::new(ErrorCode::Interrupted, "cut"));
                points.push((
                    self.now,
                    ProgressFrame { seq: self.seq, state: ProgressState::Failed, error, ..now },
                ));
            }
        }
    }

    fn send(&mut self, file: FileId, request: RequestId, id: &ProgressId, attempt: u32) {
        let size = self.files[&file].meta.size;
        let fate = match cycle(&mut self.fates).unwrap_or(Fate::Good) {
            // What only a resumable upload can meet is a broken connection here.
            Fate::Stalled(eighths) | Fate::Crash(eighths) => Fate::Broken(eighths),
            Fate::Gone | Fate::Moved => Fate::Broken(0),
            fate => fate,
        };
        let event = Post::Event;
        // The server counts an eighth each 300 ms; the browser runs two eighths ahead.
        let quiet = matches!(fate, Fate::Silent | Fate::Unknowable);
        let reaches = match fate {
            Fate::Broken(eighths) => eighths.min(8),
            Fate::Refused | Fate::Busy | Fate::InUse | Fate::Unauthorized => 0,
            Fate::RefusedUnread | Fate::Aborted => 2,
            _ => 8,
        };
        if fate == Fate::Unknowable {
            self.post(50, event(Event::SentUnknowable { file, request }));
        }
        for eighth in 1..=reaches {
            if !quiet {
                let early = 300 * eighth.saturating_sub(2) + 20 * eighth;
                self.post(early, event(Event::Sent { file, request, loaded: size * eighth / 8 }));
            }
            self.count(id, attempt, 300 * eighth, ProgressState::Receiving, size * eighth / 8, None, vec![]);
        }
        let mut end = 300 * reaches + 50;
        if matches!(fate, Fate::SentTwice | Fate::SentTwiceUnsaid) {
            for eighth in 1..=8 {
                if fate == Fate::SentTwice {
                    self.post(
                        end + 310 * eighth,
                        event(Event::Sent { file, request, loaded: size * eighth / 8 }),
                    );
                }
                self.count(
                    id,
                    attempt,
                    end + 300 * eighth,
                    ProgressState::Receiving,
                    size * eighth / 8,
                    None,
                    vec![],
                );
            }
            end += 300 * 8 + 50;
        }
        let failed = |error: ErrorBody, status, retry_after_ms| {
            event(Event::Failed { file, request, error, status, retry_after_ms })
        };
        let network = || failed(ErrorBody::new(ErrorCode::Network, ""), 0, None);
        let interrupted = || ErrorBody::new(ErrorCode::Interrupted, "cut");
        let refused = || ErrorBody::new(ErrorCode::TooLarge, "The file is larger than 1 byte.");
        let receipt = self.receipt(file);
        match fate {
            Fate::Good
            | Fate::Silent
            | Fate::Unknowable
            | Fate::SentTwice
            | Fate::SentTwiceUnsaid
            | Fate::Held => {
                let wait = if fate == Fate::Held { 60_000 } else { 400 };
                self.count(id, attempt, end, ProgressState::Processing, size, None, vec![]);
                self.count(id, attempt, end + wait, ProgressState::Done, size, None, vec![receipt.clone()]);
                self.post(end + wait + 5, event(Event::Accepted { file, request, receipt }));
            }
            Fate::AnswerLost => {
                self.post(end, network());
                self.count(id, attempt, end, ProgressState::Processing, size, None, vec![]);
                self.count(id, attempt, end + 2_000, ProgressState::Done, size, None, vec![receipt]);
            }
            Fate::Broken(_) => {
                self.post(end, network());
                let received = size * reaches / 8;
                self.count(id, attempt, end, ProgressState::Failed, received, Some(interrupted()), vec![]);
            }
            Fate::RefusedUnread => {
                self.post(end, network());
                self.count(id, attempt, end - 10, ProgressState::Failed, size / 4, Some(refused()), vec![]);
            }
            Fate::Refused => self.post(end, failed(refused(), 413, None)),
            Fate::Busy => {
                let error = ErrorBody::new(ErrorCode::ShuttingDown, "Busy.");
                self.post(end, failed(error, 503, Some(3_000)));
            }
            Fate::InUse => {
                let error = ErrorBody::new(ErrorCode::ProgressIdInUse, "In use.");
                self.post(end, failed(error, 409, None));
            }
            Fate::Unauthorized => {
                self.post(end, failed(ErrorBody::new(ErrorCode::Unauthorized, ""), 401, None));
            }
            Fate::Aborted => {
                self.post(end, event(Event::Aborted { file, request }));
                self.count(id, attempt, end, ProgressState::Failed, size / 4, Some(interrupted()), vec![]);
            }
            Fate::Stalled(_) | Fate::Crash(_) | Fate::Gone | Fate::Moved => unreachable!("taken as broken"),
        }
    }

    // --- Resumable uploads ---

    /// The file's sender is gone.
    fn stop(&mut self, file: FileId) {
        let size = self.files[&file].meta.size;
        for remote in self.remotes.values_mut().filter(|remote| remote.file == Some(file)) {
            remote.stop(self.now, size);
        }
        let id = self.files[&file].progress_id.clone();
        let whole = self.known(&id).received == size;
        if let Some(points) = self.server.get_mut(&id)
            && !whole
        {
            points.retain(|(at, _)| *at <= self.now);
        }
    }

    fn create(&mut self, file: FileId, request: RequestId, id: ProgressId) {
        let fate = cycle(&mut self.fates).unwrap_or(Fate::Good);
        if fate != Fate::AnswerLost && self.fails(file, request, fate, 30) {
            return;
        }
        // The same request twice is one upload, as long as nothing of it has arrived (promise 10).
        let known = self.created.get(&id).filter(|url| {
            self.remotes.get(*url).is_some_and(|remote| {
                assert_eq!(remote.file, Some(file), "an id of another file");
                remote.holds(self.now) == (0, false)
            })
        });
        let url = known.cloned().unwrap_or_else(|| {
            let url = format!("/files/{}", self.next_remote);
            self.next_remote += 1;
            url
        });
        self.created.insert(id, url.clone());
        let remote = Remote { file: Some(file), ..Remote::default() };
        self.remotes.entry(url.clone()).or_insert(remote);
        if fate != Fate::AnswerLost || !self.fails(file, request, fate, 30) {
            self.post(30, Post::Event(Event::Created { file, request, url }));
        }
    }

    fn ask_offset(&mut self, file: FileId, request: RequestId, url: &str) {
        self.stop(file);
        let fate = cycle(&mut self.fates).unwrap_or(Fate::Good);
        if fate == Fate::Gone {
            self.remotes.remove(url);
        }
        let Some(remote) = self.remotes.get(url) else { return self.gone(file, request) };
        let (offset, complete) = remote.holds(self.now);
        if !self.fails(file, request, fate, 30) {
            self.post(30, Post::Event(Event::Offset { file, request, offset, complete }));
        }
    }

    fn gone(&mut self, file: FileId, request: RequestId) {
        let error = ErrorBody::new(ErrorCode::NotFound, "");
        let event = Event::Failed { file, request, error, status: 404, retry_after_ms: None };
        self.post(20, Post::Event(event));
    }

    /// Whether a request without a body fails by this fate.
    fn fails(&mut self, file: FileId, request: RequestId, fate: Fate, after: u64) -> bool {
        let failed = |code, status, retry_after_ms| {
            let error = ErrorBody::new(code, "");
            Event::Failed { file, request, error, status, retry_after_ms }
        };
        let event = match fate {
            Fate::Broken(_) | Fate::AnswerLost | Fate::Crash(_) => failed(ErrorCode::Network, 0, None),
            Fate::Aborted => Event::Aborted { file, request },
            Fate::Busy => failed(ErrorCode::ShuttingDown, 503, Some(3_000)),
            Fate::InUse => failed(ErrorCode::ProgressIdInUse, 409, None),
            Fate::Unauthorized => failed(ErrorCode::Unauthorized, 401, None),
            Fate::Refused | Fate::RefusedUnread => failed(ErrorCode::TooLarge, 413, None),
            Fate::Stalled(_) | Fate::Held => return true,
            _ => return false,
        };
        self.post(after, Post::Event(event));
        true
    }

    fn send_range(
        &mut self,
        file: FileId,
        request: RequestId,
        url: &str,
        id: &ProgressId,
        range: std::ops::Range<u64>,
    ) {
        self.stop(file);
        let named = self.named.entry(id.clone()).or_insert_with(|| url.to_owned());
        assert_eq!(named, url, "the count under this id is another upload's: {id}");
        let size = self.files[&file].meta.size;
        let fate = cycle(&mut self.fates).unwrap_or(Fate::Good);
        if fate == Fate::Gone {
            self.remotes.remove(url);
        }
        let now = self.now;
        let Some(remote) = self.remotes.get_mut(url) else { return self.gone(file, request) };
        let (held, _) = remote.holds(now);
        let completion = remote.points.iter().find(|(.., complete)| *complete).map(|(at, ..)| *at);
        if fate == Fate::Moved && held < range.end && completion.is_none() {
            remote.points.push((now, held + (range.end - held).div_ceil(8), false));
        }
        let receipt = self.receipt(file);
        let failed = |code, status, retry_after_ms| {
            let error = ErrorBody::new(code, "The server says so.");
            Post::Event(Event::Failed { file, request, error, status, retry_after_ms })
        };
        let Some(remote) = self.remotes.get_mut(url) else { return };
        if let Some(completed) = completion {
            // The last request repeated: the stored answer, once there is one.
            return self.post(
                completed.max(now) - now + 20,
                Post::Event(Event::Accepted { file, request, receipt }),
            );
        }
        if remote.holds(now).0 != range.start {
            return self.post(20, failed(ErrorCode::OffsetMismatch, 409, None));
        }
        let length = range.end - range.start;
        let reaches = match fate {
            Fate::Broken(eighths) | Fate::Stalled(eighths) | Fate::Crash(eighths) => eighths.min(8),
            Fate::Refused | Fate::Busy | Fate::InUse | Fate::Unauthorized => 0,
            Fate::RefusedUnread | Fate::Aborted => 2,
            _ => 8,
        };
        let last = range.end == size;
        let whole = reaches == 8;
        for eighth in 1..=reaches {
            let (at, offset) = (now + 300 * eighth, range.start + length * eighth / 8);
            remote.points.push((at, offset, false));
            remote.wire.push((at, length * eighth / 8 - length * (eighth - 1) / 8));
        }
        let end = 300 * reaches + 50;
        let wait = if fate == Fate::Held { 60_000 } else { 400 };
        if let Fate::Crash(_) = fate {
            let arrived = length * reaches / 8;
            remote.points.push((now + end, range.start + arrived / 2, false));
            remote.lost.push((now + end, arrived - arrived / 2));
        } else if last && whole && !matches!(fate, Fate::Broken(_) | Fate::Stalled(_)) {
            remote.points.push((now + end + wait, size, true));
        }
        for eighth in 1..=reaches {
            let loaded = range.start + length * eighth / 8;
            if !matches!(fate, Fate::Silent | Fate::Unknowable) {
                let early = 300 * eighth.saturating_sub(2) + 20 * eighth;
                self.post(early, Post::Event(Event::Sent { file, request, loaded }));
            }
            self.count(id, 1, 300 * eighth, ProgressState::Receiving, loaded, None, vec![]);
        }
        if fate == Fate::Unknowable {
            self.post(50, Post::Event(Event::SentUnknowable { file, request }));
        }
        let network = failed(ErrorCode::Network, 0, None);
        match fate {
            Fate::Stalled(_) => {}
            Fate::Broken(_) | Fate::Crash(_) => self.post(end, network),
            Fate::Aborted => self.post(end, Post::Event(Event::Aborted { file, request })),
            Fate::Refused => self.post(end, failed(ErrorCode::TooLarge, 413, None)),
            Fate::RefusedUnread => {
                let refused = Some(ErrorBody::new(ErrorCode::TooLarge, "The file is larger than 1 byte."));
                self.count(id, 1, end - 10, ProgressState::Failed, range.start, refused, vec![]);
                self.post(end, network);
            }
            Fate::Busy => self.post(end, failed(ErrorCode::ShuttingDown, 503, Some(3_000))),
            Fate::InUse => self.post(end, failed(ErrorCode::ProgressIdInUse, 409, None)),
            Fate::Unauthorized => self.post(end, failed(ErrorCode::Unauthorized, 401, None)),
            Fate::AnswerLost | Fate::SentTwice | Fate::SentTwiceUnsaid if !last => self.post(end, network),
            _ if !last => {
                let event = Event::Offset { file, request, offset: range.end, complete: false };
                self.post(end + 5, Post::Event(event));
            }
            _ => {
                self.count(id, 1, end, ProgressState::Processing, size, None, vec![]);
                self.count(id, 1, end + wait, ProgressState::Done, size, None, vec![receipt.clone()]);
                match fate {
                    Fate::AnswerLost => self.post(end, network),
                    // The browser's second body finds the offset moved by its first.
                    Fate::SentTwice | Fate::SentTwiceUnsaid => {
                        self.post(end, failed(ErrorCode::OffsetMismatch, 409, None));
                    }
                    _ => self.post(end + wait + 5, Post::Event(Event::Accepted { file, request, receipt })),
                }
            }
        }
    }

    /// The page is loaded anew: only the server and what was remembered outlive it.
    pub(super) fn reload(&mut self, need: impl Fn(FileId) -> Option<Need>) {
        for file in self.flights.keys().copied().collect::<Vec<_>>() {
            self.cut(file);
            self.stop(file);
        }
        let listens = self.queue.listening;
        self.queue = Queue::new(&self.options, 11);
        self.timers.clear();
        self.mail.clear();
        self.flights.clear();
        self.ended.clear();
        self.polls_out.clear();
        self.told.clear();
        self.gone.clear();
        self.off.clear();
        self.shown.clear();
        self.news.clear();
        self.agreed.clear();
        self.questions.clear();
        self.digesting.clear();
        self.unauthorized.clear();
        self.told_of.clear();
        self.lots.clear();
        self.stopped.clear();
        self.aside.clear();
        self.lost.clear();
        self.late.clear();
        self.never.clear();
        self.forgotten.clear();
        if listens {
            self.meet_page();
        }
        if !self.online {
            self.deliver(Event::Offline);
        }
        for (file, (candidate, url)) in self.remembered.clone() {
            self.files.insert(file, candidate.clone());
            self.deliver(Event::Found { candidate, url, need: need(file) });
        }
    }

    /// The file of an upload that was begun with it is brought back.
    pub(super) fn bring_back(&mut self, file: FileId) {
        if let Some((candidate, _)) = self.remembered.get(&file).filter(|_| self.lacks_its_file(file)) {
            self.files.insert(file, candidate.clone());
        }
        self.deliver(Event::AtHand { file });
    }

    fn lacks_its_file(&self, file: FileId) -> bool {
        let changed =
            |row: &RowView| row.error.as_ref().is_some_and(|error| error.code == ErrorCode::FileChanged);
        let off = || self.off.get(&file).map(|off| off.row.clone());
        let row = self.queue.row(file, self.now).or_else(off);
        row.is_some_and(|row| {
            matches!(row.state, RowState::Missing { .. }) || (row.can_resume && changed(&row))
        })
    }

    /// Another file is found in the place of one that is missing.
    pub(super) fn change(&mut self, file: FileId, size: u64) {
        let lacks = self.lacks_its_file(file);
        if let Some(candidate) = self.files.get_mut(&file)
            && lacks
        {
            candidate.meta.size = size;
            let meta = candidate.meta.clone();
            self.deliver(Event::Changed { file, meta });
        }
    }

    /// Uploads that the server has, whole or not.
    pub(super) fn uploads(&self) -> usize {
        self.remotes.len()
    }

    /// What would be found again after a reload.
    pub(super) fn remembered(&self) -> usize {
        self.remembered.len()
    }

    #[expect(clippy::too_many_arguments, reason = "a frame has so many members")]
    fn count(
        &mut self,
        id: &ProgressId,
        attempt: u32,
        after: u64,
        state: ProgressState,
        received: u64,
        error: Option<ErrorBody>,
        receipts: Vec<Receipt>,
    ) {
        self.seq += 1;
        let frame = ProgressFrame {
            attempt,
            seq: self.seq,
            state,
            received,
            error,
            receipts,
            ..ProgressFrame::unknown(id.clone())
        };
        let points = self.server.entry(id.clone()).or_default();
        let at = self.now + after;
        // A newer try takes the place of an older one that still runs.
        points.retain(|(due, old)| old.attempt == attempt || *due <= self.now);
        points.push((at, frame));
    }

    fn receipt(&self, file: FileId) -> Receipt {
        Self::receipt_of(self.files[&file].meta.size)
    }

    /// The digest that every receipt tells.
    const SHA256: &str = "5f78c33274e43fa9de5659265c1d917e25c03722dcb0b8d27db8d5feaa813953";

    /// A receipt for so many bytes.
    pub(super) fn receipt_of(size: u64) -> Receipt {
        Receipt {
            id: UploadId::from_bits([0; 16]),
            name: "x.bin".to_owned(),
            size,
            media_type: String::new(),
            sha256: Some(Self::SHA256.to_owned()),
            stored_ms: 0,
            url: "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
            ..Receipt::default()
        }
    }

    /// How often this file was sent.
    pub(super) fn sends(&self, id: FileId) -> usize {
        self.log
            .iter()
            .filter(|(_, command)| matches!(command, Command::SendForm { file, .. } if *file == id))
            .count()
    }

    /// When polls went out.
    pub(super) fn polls(&self) -> Vec<u64> {
        let polls = self.log.iter().filter(|(_, command)| matches!(command, Command::Poll { .. }));
        polls.map(|(at, _)| *at).collect()
    }
}

fn in_scope(scope: Scope, id: FileId) -> bool {
    scope == Scope::All || scope == Scope::One(id)
}

/// The file and request that an event speaks of.
fn named(event: &Event) -> Option<(FileId, RequestId)> {
    match event {
        Event::Sent { file, request, .. }
        | Event::SentUnknowable { file, request }
        | Event::Prepared { file, request, .. }
        | Event::Declined { file, request, .. }
        | Event::Created { file, request, .. }
        | Event::Offset { file, request, .. }
        | Event::Accepted { file, request, .. }
        | Event::Failed { file, request, .. }
        | Event::Aborted { file, request } => Some((*file, *request)),
        _ => None,
    }
}

fn cycle<T: Copy>(list: &mut [T]) -> Option<T> {
    list.rotate_left(1.min(list.len()));
    list.last().copied()
}
