//! What is different for an upload that can go on where it was cut: it is created first, bytes are sent from what the
//! server has confirmed and from nowhere else, and after anything but a refusal the server is asked again. Must never
//! know which protocol carries it.
//!
//! | what happens | what follows |
//! |---|---|
//! | no address yet | create the upload, without bytes |
//! | the answer to that is lost | create it again, under the same id: the server answers with the same upload |
//! | an address, and no certain offset | ask for the offset |
//! | a certain offset | send all that is left, or the next slice |
//! | a broken connection, a busy server, a pause | later: ask for the offset |
//! | 409: the server is at another offset | ask for the offset, at once |
//! | 404 or 410: there is no such upload any more | create it anew, at once, and say so in the row |
//! | the same, or 403, for one that was found again | forget it, and wait for a person's word: it may be another's |
//! | nothing moved for ten seconds | give the request up and ask for the offset, at once |
//! | the file cannot be read | the end, until a person tries again: the upload is kept |
//! | any other refusal | the end: the upload is deleted on the server |
//!
//! What is displayed as received is the greater of the server's running count and what it has confirmed; only a
//! confirmed offset can take it back, and the row then says that it began again. What was sent beyond it when a
//! connection broke stays displayed as sent: the browser did hand it over.

use crate::wire::{ErrorBody, ErrorCode, ProgressFrame, ProgressState, Protocol};

use super::{
    command::{Command, Notice, Pairs, Timer},
    event::{Candidate, FileId, FileMeta, Need, RequestId},
    item::{Cause, Item, Phase, Tally, Upload, Way, percent},
    meter::{Meter, STALL_MS},
    news::UploadEvent,
    queue::{self, Queue, Turn},
};

/// The browser hands nothing on for so long: either all is well and the sockets are full, or nothing moves. The
/// server's count is then asked for more often.
pub(super) const SUSPICIOUS_MS: u64 = 1_000;
/// Between two looks at the server's count while all goes well. A stall is seen this much later at most.
pub(super) const POLL_MS: u64 = 1_000;
/// The server has everything, is not known to be at work on it, and has not answered for so long: the connection is
/// taken for dead.
const ANSWER_LOST_MS: u64 = 60_000;

impl Queue {
    /// How a file of this many bytes goes to the server.
    pub(super) fn way(&self, size: u64) -> Way {
        match self.options.protocol {
            Protocol::Form => Way::Form,
            Protocol::Auto if self.is_foreign() => Way::Form,
            Protocol::Auto if size < self.options.threshold => Way::Form,
            Protocol::Auto | Protocol::Resumable | Protocol::Tus => Way::Resumable(None),
        }
    }

    /// The next request of a resumable upload.
    pub(super) fn advance(&mut self, at: usize, turn: &mut Turn) {
        if !self.online {
            let phase = Phase::Waiting { cause: Cause::Offline, until_ms: None, error: None };
            return self.enter(at, phase, turn);
        }
        let file = self.items[at].id;
        if std::mem::take(&mut self.items[at].silent_armed) {
            turn.out.push(Command::Disarm { timer: Timer::Silent(file) });
        }
        if self.asks_first(at, turn) {
            return;
        }
        let request = self.new_request();
        let (headers, manifest) = (self.headers(at), self.manifest(at));
        let item = &mut self.items[at];
        match item.upload() {
            Some(Upload { confirmed: Some(offset), .. }) => {
                let offset = *offset;
                return self.send_range(at, request, offset, headers, turn);
            }
            Some(Upload { url, .. }) => {
                let url = url.clone();
                let progress_id = item.progress_id.clone();
                turn.out.push(Command::AskOffset { file, request, url, progress_id, headers });
            }
            None => {
                if item.tally.sent > 0 || item.tally.received > 0 {
                    item.restart(turn.now, 0);
                }
                item.tally = Tally::default();
                if std::mem::take(&mut item.named) {
                    item.progress_id = item.progress_id.successor();
                }
                let (progress_id, attempt) = (item.progress_id.clone(), u32::from(item.tries) + 1);
                turn.out.push(Command::Create { file, request, progress_id, attempt, manifest });
            }
        }
        item.tally.gain_ms = turn.now;
        item.tally.sent_gain_ms = turn.now;
        item.stall_armed = true;
        turn.arm(Timer::Stall(file), STALL_MS);
        self.enter(at, Phase::Creating { request }, turn);
    }

    fn send_range(&mut self, at: usize, request: RequestId, offset: u64, headers: Pairs, turn: &mut Turn) {
        let (can_ask, by_server) = (self.can_ask(), self.server_counts());
        let first_poll_ms = turn.now + self.random.around(queue::FIRST_POLL_MS);
        let slice = self.options.slice.unwrap_or(u64::MAX).max(1);
        let item = &mut self.items[at];
        let Some(upload) = item.upload() else { return };
        // From here on nobody knows, until the server says it again.
        upload.confirmed = None;
        let url = upload.url.clone();
        let (file, size) = (item.id, item.meta.size);
        let end = size.min(offset.saturating_add(slice));
        if matches!(item.phase, Phase::Creating { .. } | Phase::Preparing { midway: false, .. }) {
            item.meter = Meter::start(turn.now, offset);
        }
        item.attempt += 1;
        item.by_server = by_server || item.tally.seq.is_some();
        item.tally = Tally {
            loaded: offset,
            sent: item.tally.sent.max(offset),
            received: item.tally.received.max(offset),
            heard: item.tally.heard,
            seq: item.tally.seq,
            gain_ms: turn.now,
            sent_gain_ms: turn.now,
            ..Tally::default()
        };
        if std::mem::take(&mut item.found) {
            item.went_on = Some((turn.now, percent(offset, size)));
        }
        item.poll_gap_ms = queue::TAIL_POLL_MS;
        item.next_poll_ms = first_poll_ms;
        item.silent_armed = can_ask && offset < end;
        item.stall_armed = true;
        let (progress_id, attempt) = (item.progress_id.clone(), item.attempt);
        let watch_silence = item.silent_armed;
        turn.out.push(Command::SendRange { file, request, url, progress_id, attempt, offset, end, headers });
        if watch_silence {
            turn.arm(Timer::Silent(file), queue::SILENT_MS);
        }
        turn.arm(Timer::Stall(file), STALL_MS);
        self.enter(at, Phase::Sending { request }, turn);
    }

    // --- The server's answers ---

    pub(super) fn created(&mut self, at: usize, url: String, turn: &mut Turn) {
        let item = &mut self.items[at];
        if !item.is_resumable() {
            return;
        }
        item.way = Way::Resumable(Some(Upload { url: url.clone(), confirmed: Some(0), reached: 0 }));
        item.named = true;
        let progress_id = item.progress_id.clone();
        turn.out.push(Command::Remember { file: item.id, progress_id, url });
        self.advance(at, turn);
    }

    pub(super) fn offset(&mut self, at: usize, offset: u64, complete: bool, turn: &mut Turn) {
        let item = &mut self.items[at];
        let size = item.meta.size;
        let sending = matches!(item.phase, Phase::Sending { .. } | Phase::Processing { .. });
        let Some(upload) = item.upload() else { return };
        if offset > size || (complete && offset < size) {
            return self.length_differs(at, turn);
        }
        if sending && offset <= upload.reached {
            // A request that was taken and moved nothing: asked again as after a failure, and not for ever.
            let error = ErrorBody::new(ErrorCode::OffsetMismatch, "");
            return self.cut(at, error, 0, None, turn);
        }
        upload.confirmed = Some(offset);
        upload.reached = offset;
        if offset > item.best {
            item.best = offset;
            item.tries = 0;
            item.asked_again = false;
        }
        if offset < item.basis().max(item.tally.received) {
            item.restart(turn.now, offset);
            item.tally.sent = offset;
        }
        item.tally.received = offset;
        item.tally.sent = item.tally.sent.max(offset);
        self.touch(at, turn);
        self.advance(at, turn);
    }

    /// What the server counts of a request that is under way.
    pub(super) fn count(&mut self, at: usize, frame: ProgressFrame, turn: &mut Turn) {
        let item = &mut self.items[at];
        if frame.state == ProgressState::Processing {
            // It is at work on what it has: no reason to give the request up, however long it takes.
            item.tally.gain_ms = turn.now;
        }
        if frame.state == ProgressState::Unknown || item.tally.seq.is_some_and(|seq| frame.seq <= seq) {
            return;
        }
        if frame.state == ProgressState::Done {
            if let Some(receipt) = queue::receipt(item, frame.receipts) {
                self.give_up_request(at, turn);
                self.stored(at, receipt, turn);
            }
            return;
        }
        let size = item.meta.size;
        let received = frame.received.min(size);
        item.by_server = true;
        let tally = &mut item.tally;
        tally.seq = Some(frame.seq);
        tally.state = Some(frame.state);
        tally.error = frame.error;
        if received > tally.received {
            tally.received = received;
            tally.sent = tally.sent.max(received);
            tally.gain_ms = turn.now;
        }
        item.meter.sample(turn.now, item.tally.received);
        let whole = item.tally.received == size && size > 0 && item.tally.loaded == size;
        if (frame.state == ProgressState::Processing || whole) && matches!(item.phase, Phase::Sending { .. })
        {
            self.processing(at, turn);
        }
        self.gained(at, turn);
    }

    // --- What goes wrong ---

    /// After a request that ended without success; `error.retryable` says whether trying again can help.
    pub(super) fn cut(
        &mut self,
        at: usize,
        error: ErrorBody,
        status: u16,
        retry_after_ms: Option<u64>,
        turn: &mut Turn,
    ) {
        let retries = self.options.retries;
        let item = &mut self.items[at];
        let exists = item.upload().is_some();
        if let Some(upload) = item.upload() {
            upload.confirmed = None;
        }
        let gone = matches!(status, 404 | 410) || matches!(error.code, ErrorCode::NotFound | ErrorCode::Gone);
        // Found again on a browser that another person may use by now: what nobody asked for is not sent.
        if exists && item.found && (gone || status == 403) {
            item.found = false;
            forget(item, turn);
            let error = ErrorBody::new(ErrorCode::Gone, "");
            return self.enter(at, Phase::Failed { error, again: true }, turn);
        }
        let in_use = error.code == ErrorCode::ProgressIdInUse;
        if in_use && !exists {
            // By an upload that is not known to be this one: the next try bears another id.
            item.named = true;
        }
        let elsewhere = status == 409 && !in_use;
        if exists && (gone || elsewhere) {
            if gone {
                forget(item, turn);
            }
            item.tries = item.tries.saturating_add(1);
            if item.tries <= retries {
                return self.advance(at, turn);
            }
            let error = ErrorBody { retryable: true, ..error };
            return self.settle(at, error, retry_after_ms, turn);
        }
        if error.retryable && (self.online || error.code != ErrorCode::Network) {
            item.tries = item.tries.saturating_add(1);
        }
        self.settle(at, error, retry_after_ms, turn);
    }

    /// Nothing has moved for too long. The connection is given up; another takes over from what the server has.
    pub(super) fn stalled(&mut self, at: usize, turn: &mut Turn) {
        let retries = self.options.retries;
        self.give_up_request(at, turn);
        let item = &mut self.items[at];
        let sending = !matches!(item.phase, Phase::Creating { .. });
        item.replaced_ms = Some(turn.now);
        if self.online {
            item.tries = item.tries.saturating_add(1);
        }
        if sending && item.tries <= retries {
            self.advance(at, turn);
        } else {
            // Not even a question is answered: that is no connection that stalled.
            self.settle(at, ErrorBody::new(ErrorCode::Network, ""), None, turn);
        }
    }

    /// The server stored, or holds, something of another length: nothing to go on with.
    pub(super) fn length_differs(&mut self, at: usize, turn: &mut Turn) {
        self.give_up_upload(at, turn);
        let text = "The server stored another length than the file has. It may have changed meanwhile.";
        let error = ErrorBody::new(ErrorCode::LengthMismatch, text);
        self.enter(at, Phase::Failed { error, again: true }, turn);
    }

    pub(super) fn give_up_upload(&mut self, at: usize, turn: &mut Turn) {
        let headers = self.headers(at);
        give_up(&mut self.items[at], headers, turn);
    }

    /// After a new phase was entered: an upload that nobody will go on with is not kept, here or there.
    pub(super) fn let_go(&mut self, at: usize, turn: &mut Turn) {
        let item = &mut self.items[at];
        if matches!(item.phase, Phase::Done { .. }) {
            if item.upload().is_some() {
                forget(item, turn);
            }
        } else if matches!(
            item.phase,
            Phase::Cancelled | Phase::Rejected { .. } | Phase::Failed { again: false, .. }
        ) {
            self.give_up_upload(at, turn);
        }
    }

    /// The person wants the file as it is now.
    pub(super) fn begin_anew_if_changed(&mut self, at: usize, turn: &mut Turn) {
        if self.items[at].begun.take().is_some() {
            self.items[at].found = false;
            self.give_up_upload(at, turn);
        }
    }

    // --- Found again ---

    pub(super) fn found(&mut self, candidate: Candidate, url: String, need: Option<Need>, turn: &mut Turn) {
        if self.find(candidate.id).is_some() {
            return;
        }
        let id = candidate.id;
        let phase = match need {
            None => Phase::Queued { ready: true },
            Some(need) => Phase::Missing { need },
        };
        let way = Way::Resumable(Some(Upload { url, confirmed: None, reached: 0 }));
        self.mark(&candidate);
        let at = self.items.partition_point(|item| item.id < id);
        let mut item = Item::new(candidate, Phase::Queued { ready: false }, way);
        item.found = true;
        item.named = true;
        item.at_hand = need.is_none();
        self.items.insert(at, item);
        self.tell(at, |file, _| UploadEvent::Added { file });
        self.enter(at, phase, turn);
        turn.out.push(Command::Notify(match need {
            None => Notice::Added { accepted: 1, rejected: 0 },
            Some(_) => Notice::Missing(id),
        }));
    }

    pub(super) fn at_hand(&mut self, file: FileId, turn: &mut Turn) {
        if let Some(at) = self.lacking(file) {
            let item = &mut self.items[at];
            item.at_hand = true;
            item.tries = 0;
            if let Some(meta) = item.begun.take() {
                item.meta = meta;
            }
            self.go_on(at, turn);
        }
    }

    pub(super) fn not_at_hand(&mut self, file: FileId, need: Need, turn: &mut Turn) {
        if let Some(at) = self.lacking(file)
            && matches!(self.items[at].phase, Phase::Missing { .. })
        {
            self.enter(at, Phase::Missing { need }, turn);
            turn.out.push(Command::Notify(Notice::Missing(file)));
        }
    }

    /// The upload that waits for its file, if this is one.
    fn lacking(&self, file: FileId) -> Option<usize> {
        let lacks = |item: &Item| matches!(item.phase, Phase::Missing { .. }) || item.wants_its_file();
        self.find(file).filter(|at| lacks(&self.items[*at]))
    }

    /// Not the file that was begun. The person decides: the upload is kept until the new one is wanted, or the row is
    /// taken off the list.
    pub(super) fn changed(&mut self, file: FileId, meta: FileMeta, turn: &mut Turn) {
        if let Some(at) = self.lacking(file) {
            let item = &mut self.items[at];
            item.at_hand = true;
            if item.tally.sent > 0 {
                // What was sent was sent of another file.
                item.restart(turn.now, 0);
            }
            item.tally = Tally::default();
            let known = std::mem::replace(&mut item.meta, meta);
            item.begun.get_or_insert(known);
            item.best = 0;
            let error = ErrorBody::new(ErrorCode::FileChanged, "");
            self.enter(at, Phase::Failed { error, again: true }, turn);
        }
    }
}

/// When a resumable upload counts as stalled unless something moves until then; `None` for others.
pub(super) fn stalled_from(item: &Item) -> Option<u64> {
    // Bytes that still leave the browser go somewhere, if only into a proxy: only when nothing moves at all is a new
    // connection better than the old one.
    let moved_ms = item.tally.gain_ms.max(item.tally.sent_gain_ms);
    let patience_ms = match item.phase {
        Phase::Processing { .. } => ANSWER_LOST_MS,
        _ => STALL_MS,
    };
    item.is_resumable().then_some(moved_ms + patience_ms)
}

/// Gives up what the server holds of it, if it holds something.
pub(super) fn give_up(item: &mut Item, headers: Pairs, turn: &mut Turn) {
    if let Some(upload) = item.upload() {
        turn.out.push(Command::Discard { url: upload.url.clone(), headers });
        forget(item, turn);
    }
}

fn forget(item: &mut Item, turn: &mut Turn) {
    item.way = Way::Resumable(None);
    turn.out.push(Command::Unremember { file: item.id, progress_id: item.progress_id.clone() });
}
