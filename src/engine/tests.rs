//! The queue, tried: the eight invariants over random lives (the simulator checks them after every event), the rules
//! one by one, and the view as text.

#![cfg(test)]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{
    Queue,
    command::{Command, Manifest, Notice, Timer},
    event::{Answer, Candidate, Event, FileId, Need, RequestId, Scope},
    news::UploadEvent,
    sim::{Fate, Page, PollFate, Sim},
    view::{Hint, RowState, RowView, Witness},
};
use crate::wire::{ErrorBody, ErrorCode, Limits, Options, ProgressFrame, ProgressState, Protocol};

const MB: u64 = 1_000_000;

fn forms() -> Options {
    Options { protocol: Protocol::Form, ..Options::default() }
}

// --- The eight invariants ---

#[derive(Clone, Debug)]
pub(super) enum Step {
    Reload(Vec<Option<Need>>),
    AtHand(usize),
    NotAtHand(usize, Need),
    Changed(usize, u64),
    Add(Vec<u64>),
    Portion(u32, Vec<u64>, bool),
    Wish(u8, Option<usize>),
    Pass(u64),
    Online(bool),
    Visible,
    Replay(usize),
    Spurious(u8, usize),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![Just(0), Just(1), 2_u64..100_000, Just(50 * MB)];
    let step = prop_oneof![
        3 => prop::collection::vec(size.clone(), 1..5).prop_map(Step::Add),
        2 => (0_u32..3, prop::collection::vec(size, 0..3), prop::bool::weighted(0.7))
            .prop_map(|(lot, sizes, more)| Step::Portion(lot, sizes, more)),
        4 => (0_u8..9, prop::option::weighted(0.8, 0_usize..8)).prop_map(|(wish, file)| Step::Wish(wish, file)),
        8 => prop_oneof![0_u64..500, 500_u64..5_000, Just(20_000_u64)].prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Online),
        1 => Just(Step::Visible),
        3 => (0_usize..1000).prop_map(Step::Replay),
        1 => (0_u8..6, 0_usize..8).prop_map(|(timer, file)| Step::Spurious(timer, file)),
        1 => prop::collection::vec(
            prop_oneof![Just(None), Just(Some(Need::Pick)), Just(Some(Need::Leave))], 1..4,
        ).prop_map(Step::Reload),
        1 => (0_usize..8).prop_map(Step::AtHand),
        1 => (0_usize..8, any::<bool>()).prop_map(|(file, pick)| Step::NotAtHand(file, if pick { Need::Pick } else { Need::Leave })),
        1 => (0_usize..8, 0_u64..100_000).prop_map(|(file, size)| Step::Changed(file, size)),
    ];
    prop::collection::vec(step, 1..30)
}

pub(super) fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        4 => Just(Fate::Good),
        1 => Just(Fate::Silent),
        1 => Just(Fate::Unknowable),
        2 => (0_u64..=8).prop_map(Fate::Broken),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Held),
        1 => Just(Fate::Refused),
        1 => Just(Fate::RefusedUnread),
        1 => Just(Fate::Busy),
        1 => Just(Fate::InUse),
        1 => Just(Fate::Unauthorized),
        1 => Just(Fate::Aborted),
        2 => Just(Fate::SentTwice),
        2 => Just(Fate::SentTwiceUnsaid),
        2 => (0_u64..=8).prop_map(Fate::Stalled),
        2 => (0_u64..=8).prop_map(Fate::Crash),
        1 => Just(Fate::Gone),
        1 => Just(Fate::Moved),
    ];
    prop::collection::vec(fate, 1..6)
}

pub(super) fn poll_fates() -> impl Strategy<Value = Vec<PollFate>> {
    let fate = prop_oneof![
        6 => (1_u64..1_500).prop_map(PollFate::Answered),
        2 => Just(PollFate::Fails),
        1 => Just(PollFate::Lost),
    ];
    prop::collection::vec(fate, 1..6)
}

/// Of half the lives no page is asked.
fn page() -> impl Strategy<Value = Vec<Page>> {
    let page = prop_oneof![
        4 => (0_u64..2_000).prop_map(Page::Agrees),
        1 => Just(Page::Agrees(90_000)),
        2 => Just(Page::Renames),
        1 => Just(Page::Declines),
        1 => Just(Page::Fails),
    ];
    prop_oneof![Just(Vec::new()), prop::collection::vec(page, 1..6)]
}

fn live(steps: Vec<Step>, fates: &[Fate], poll_fates: &[PollFate], page: &[Page], options: Options) -> Sim {
    live_through(steps, Sim::new(options, fates, poll_fates).with_page(page))
}

pub(super) fn live_through(steps: Vec<Step>, mut sim: Sim) -> Sim {
    for step in steps {
        match step {
            Step::Add(sizes) => drop(sim.add(&sizes)),
            Step::Portion(lot, sizes, more) => sim.portion(lot, &sizes, more),
            Step::Wish(wish, file) => {
                let scope = file.map_or(Scope::All, |file| Scope::One(sim.file(file)));
                sim.deliver(match wish {
                    0 => Event::Pause(scope),
                    1 => Event::Resume(scope),
                    2 => Event::Retry(scope),
                    3 => Event::Cancel(scope),
                    4 => Event::Start(scope),
                    5 | 6 => Event::TakeOff(scope),
                    7 => Event::Undo,
                    _ => Event::Remove(scope),
                });
            }
            Step::Pass(ms) => sim.pass(ms),
            Step::Online(true) => sim.deliver(Event::Online),
            Step::Online(false) => sim.deliver(Event::Offline),
            Step::Visible => sim.deliver(Event::Visible),
            Step::Replay(index) => sim.replay(index),
            Step::Reload(needs) => sim.reload(|file| needs[file.0 as usize % needs.len()]),
            Step::AtHand(file) => sim.bring_back(sim.file(file)),
            Step::NotAtHand(file, need) => sim.deliver(Event::NotAtHand { file: sim.file(file), need }),
            Step::Changed(file, size) => sim.change(sim.file(file), size),
            Step::Spurious(timer, file) => {
                let file = sim.file(file);
                sim.deliver(if timer == 5 {
                    Event::LetGo
                } else {
                    Event::Fired(match timer {
                        4 => Timer::Undo,
                        0 => Timer::Poll,
                        1 => Timer::Silent(file),
                        2 => Timer::Retry(file),
                        _ => Timer::Stall(file),
                    })
                });
            }
        }
    }
    sim.deliver(Event::Online);
    sim.deliver(Event::Start(Scope::All));
    sim.drain();
    sim
}

/// As many lives as `PROPTEST_CASES` says. One that fails is kept in `proptest-regressions`, which belongs into the
/// repository: from then on it is lived again in every run.
pub(super) fn lives() -> ProptestConfig {
    let asked = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() { asked } else { ProptestConfig { cases: 400, ..asked } }
}

proptest! {
    #![proptest_config(lives())]

    /// All eight, whatever happens.
    #[test]
    fn the_invariants_hold(
        steps in steps(),
        fates in fates(),
        poll_fates in poll_fates(),
        page in page(),
        concurrency in 0_u8..6,
        retries in 0_u8..4,
        asks: bool,
        auto_start: bool,
        protocol in prop_oneof![Just(Protocol::Form), Just(Protocol::Auto), Just(Protocol::Resumable), Just(Protocol::Tus)],
        slice in prop::option::weighted(0.3, prop_oneof![1_000_u64..100_000_000, Just(8 * MB)]),
    ) {
        let progress = if asks { forms().progress } else { String::new() };
        let slice = slice.map(|slice| slice.max(2 * MB));
        let options =
            Options { concurrency, retries, progress, auto_start, protocol, slice, ..Options::default() };
        live(steps, &fates, &poll_fates, &page, options);
    }

    /// The same where the page wants few files, or one.
    #[test]
    fn the_invariants_hold_within_limits(
        steps in steps(),
        fates in fates(),
        page in page(),
        protocol in prop_oneof![Just(Protocol::Form), Just(Protocol::Resumable)],
        multiple: bool,
        max_files in prop::option::of(1_u32..4),
        max_total in prop::option::of(prop_oneof![Just(100_000_u64), Just(120 * MB)]),
    ) {
        let options = Options { protocol, multiple, max_files, max_total, ..Options::default() };
        live(steps, &fates, &[PollFate::Answered(20)], &page, options);
    }

    /// Whatever misfortunes come, as long as the last try of each is good and nobody interferes, all ends well; and
    /// what was stored once is not sent again (promise 10).
    #[test]
    fn what_can_be_stored_is_stored_once(
        bad in prop::collection::vec(prop_oneof![
            (0_u64..8).prop_map(Fate::Broken), Just(Fate::Busy), Just(Fate::InUse), Just(Fate::Aborted),
        ], 0..4),
        good in prop_oneof![Just(Fate::Good), Just(Fate::AnswerLost), Just(Fate::SentTwice), Just(Fate::Silent)],
        size in prop_oneof![1_u64..1000, Just(50 * MB)],
    ) {
        let fates: Vec<_> = bad.iter().copied().chain([good]).collect();
        let mut sim = Sim::new(forms(), &fates, &[PollFate::Answered(20)]);
        let id = sim.add(&[size])[0];
        sim.drain();
        prop_assert_eq!(sim.row(id).state, RowState::Done);
        prop_assert_eq!(sim.sends(id), fates.len());
    }

    /// The same of a resumable upload, which also survives servers that crash, forget and stall, and pages that are
    /// loaded anew in the middle of it. That no kept byte is sent twice the simulator checks.
    #[test]
    fn what_can_be_resumed_is_stored(
        bad in prop::collection::vec(prop_oneof![
            (0_u64..=8).prop_map(Fate::Broken), (0_u64..=8).prop_map(Fate::Crash), (0_u64..=8).prop_map(Fate::Stalled),
            Just(Fate::Busy), Just(Fate::InUse), Just(Fate::Aborted), Just(Fate::AnswerLost), Just(Fate::Moved),
            Just(Fate::Gone),
        ], 0..5),
        reload_after in prop::option::of(0_u64..20_000),
        asks: bool,
        slice in prop::option::weighted(0.3, 6 * MB..60 * MB),
    ) {
        let progress = if asks { forms().progress } else { String::new() };
        let options = Options { protocol: Protocol::Resumable, slice, progress, ..Options::default() };
        let mut sim = Sim::new(options, &[bad, vec![Fate::Good; 200]].concat(), &[PollFate::Answered(20)]);
        let id = sim.add(&[50 * MB])[0];
        if let Some(after) = reload_after {
            sim.pass(after);
            let found = sim.remembered() == 1;
            sim.reload(|_| None);
            if !found {
                // Either it was over already, or the server had told no address yet: then there is nothing to find.
                prop_assert_eq!(sim.queue.rows().count(), 0);
                return Ok(());
            }
        }
        sim.drain();
        if reload_after.is_some() && sim.row(id).error.is_some_and(|error| error.code == ErrorCode::Gone) {
            // Found again, and the server had forgotten it: a person decides.
            prop_assert_eq!(sim.remembered(), 0);
            sim.deliver(Event::Retry(Scope::One(id)));
            sim.drain();
        }
        prop_assert_eq!(sim.row(id).state, RowState::Done);
        prop_assert_eq!(sim.remembered(), 0);
    }

    /// Equal lives: the seed and the events decide everything.
    #[test]
    fn the_same_events_give_the_same_commands(steps in steps(), fates in fates(), poll_fates in poll_fates()) {
        let one = live(steps.clone(), &fates, &poll_fates, &[], Options::default());
        let two = live(steps, &fates, &poll_fates, &[], Options::default());
        prop_assert_eq!(one.log, two.log);
        prop_assert_eq!(one.queue, two.queue);
    }
}

/// A life that once changed a row unsaid: while a file waited for its next try, a poll told that the server was still
/// at work on the one before.
#[test]
fn news_of_the_try_before_is_shown_when_it_comes() {
    let steps = vec![
        Step::Reload(vec![None]),
        Step::Add(vec![1, 0, 50 * MB, 0]),
        Step::Visible,
        Step::Pass(1_960),
        Step::Wish(8, Some(2)),
        Step::Replay(160),
    ];
    let polls = [PollFate::Answered(873), PollFate::Answered(1_270), PollFate::Answered(1)];
    live(steps, &[Fate::AnswerLost, Fate::Stalled(0), Fate::Held], &polls, &[], Options::default());
}

// --- The rules, one by one ---

/// A queue with one file, whose polls are answered by hand.
struct One {
    queue: Queue,
    /// The poll that is out.
    asked: Option<RequestId>,
}

impl One {
    fn handle(&mut self, event: Event, now: u64) -> Vec<Command> {
        let commands = self.queue.handle(event, now);
        for command in &commands {
            if let Command::Poll { poll, .. } = command {
                self.asked = Some(*poll);
            }
        }
        commands
    }

    fn row(&self, id: FileId, now: u64) -> Option<RowView> {
        self.queue.row(id, now)
    }
}

/// One file of this size, whose first request is number 1, and what was commanded at the start.
fn sending(options: &Options, size: u64) -> (One, Vec<Command>) {
    let mut one = One { queue: Queue::new(options, 1), asked: None };
    let commands = one.handle(Event::Added(vec![Sim::candidate_of(1, size)]), 0);
    (one, commands)
}

const F: FileId = FileId(1);
const R: RequestId = RequestId(1);

/// What goes with the first file when nobody says anything of it.
fn named() -> Manifest {
    Manifest { name: "1.bin".to_owned(), ..Manifest::default() }
}

fn sent(loaded: u64) -> Event {
    Event::Sent { file: F, request: R, loaded }
}

fn failed(code: ErrorCode, status: u16) -> Event {
    let error = ErrorBody::new(code, "");
    Event::Failed { file: F, request: R, error, status, retry_after_ms: None }
}

fn frame(seq: u64, state: ProgressState, received: u64) -> ProgressFrame {
    let id = Sim::candidate_of(1, 0).progress_id;
    ProgressFrame { attempt: 1, seq, state, received, ..ProgressFrame::unknown(id) }
}

/// Answers the poll that is out, or one sent now, with these frames.
fn poll(one: &mut One, now: u64, frames: Vec<ProgressFrame>) -> Vec<Command> {
    if one.asked.is_none() {
        one.handle(Event::Visible, now);
    }
    let poll = one.asked.take().expect("a poll is due");
    one.handle(Event::Polled { poll, frames }, now)
}

#[test]
fn a_file_is_sent_as_soon_as_it_is_picked() {
    let (one, commands) = sending(&forms(), 10 * MB);
    let progress_id = Sim::candidate_of(1, 0).progress_id;
    assert_eq!(
        commands[..4],
        [
            Command::Notify(Notice::Added { accepted: 1, rejected: 0 }),
            Command::SendForm { file: F, request: R, progress_id, attempt: 1, manifest: named() },
            Command::Arm { timer: Timer::Silent(F), delay_ms: 1_000 },
            Command::Arm { timer: Timer::Stall(F), delay_ms: 10_000 },
        ]
    );
    assert!(matches!(commands[4..], [Command::Arm { timer: Timer::Poll, .. }]), "{commands:?}");
    assert_eq!(one.row(F, 0).unwrap().state, RowState::Sending);
}

/// What follows from each end of the first try.
#[test]
fn ends_and_what_follows() {
    use RowState::*;
    let check = |code, status, expected: RowState, can_retry: bool| {
        let (mut one, _) = sending(&forms(), 10);
        one.handle(failed(code, status), 5);
        let row = one.row(F, 5).unwrap();
        let waits = matches!((row.state, expected), (Waiting { seconds: Some(_) }, Waiting { .. }));
        assert!(row.state == expected || waits, "{code} {status}: {row:?}");
        assert_eq!(row.can_retry, can_retry, "{code} {status}");
    };
    let waiting = Waiting { seconds: None };
    check(ErrorCode::Network, 0, waiting, true);
    check(ErrorCode::ShuttingDown, 503, waiting, true);
    check(ErrorCode::TooManyUploads, 429, waiting, true);
    check(ErrorCode::ProgressIdInUse, 409, waiting, true);
    check(ErrorCode::BadAnswer, 502, waiting, true);
    check(ErrorCode::TooLarge, 413, Failed, false);
    check(ErrorCode::Malformed, 400, Failed, false);
    check(ErrorCode::TypeNotAccepted, 415, Failed, false);
    check(ErrorCode::Unauthorized, 401, Failed, true);
    check(ErrorCode::BadAnswer, 404, Failed, true);
}

#[test]
fn retries_are_bounded_and_then_the_person_is_asked() {
    let mut sim = Sim::new(forms(), &[Fate::Broken(2)], &[PollFate::Answered(20)]);
    let id = sim.add(&[MB])[0];
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.can_retry), (RowState::Failed, true));
    assert_eq!(sim.sends(id), 5, "one try and four more");
    sim.fates = vec![Fate::Good];
    sim.deliver(Event::Retry(Scope::One(id)));
    sim.drain();
    assert_eq!(sim.row(id).state, RowState::Done);
    let attempts = sim.log.iter().filter_map(|(_, command)| match command {
        Command::SendForm { attempt, .. } => Some(*attempt),
        _ => None,
    });
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

/// Uppy sends a refused file four times.
#[test]
fn a_refused_file_is_sent_once() {
    for fate in [Fate::Refused, Fate::RefusedUnread] {
        let mut sim = Sim::new(forms(), &[fate], &[PollFate::Answered(20)]);
        let id = sim.add(&[MB])[0];
        sim.drain();
        let row = sim.row(id);
        assert_eq!((sim.sends(id), row.state, row.can_retry), (1, RowState::Failed, false), "{fate:?}");
        assert_eq!(row.error.unwrap().message, "The file is larger than 1 byte.", "{fate:?}");
    }
}

#[test]
fn retry_after_is_waited_for() {
    let mut sim = Sim::new(forms(), &[Fate::Busy, Fate::Good], &[PollFate::Answered(20)]);
    let id = sim.add(&[MB])[0];
    sim.drain();
    let times: Vec<_> =
        sim.log.iter().filter(|(_, c)| matches!(c, Command::SendForm { .. })).map(|(at, _)| *at).collect();
    assert!(times[1] - times[0] >= 3_050, "{times:?}");
    assert_eq!(sim.row(id).state, RowState::Done);
}

/// Promise 10: the answer is lost, the file is stored; the count says so, and it is not sent again.
#[test]
fn a_lost_answer_is_asked_for_before_another_send() {
    for retries in [0, 4] {
        let options = Options { retries, ..forms() };
        let mut sim = Sim::new(options, &[Fate::AnswerLost], &[PollFate::Answered(20)]);
        let id = sim.add(&[50 * MB])[0];
        sim.drain();
        assert_eq!((sim.sends(id), sim.row(id).state), (1, RowState::Done), "{retries} retries");
    }
}

/// And so it is when the person holds or stops it in the wrong moment.
#[test]
fn what_was_stored_while_it_was_stopped_is_not_sent_again() {
    for (stop, go) in
        [(Event::Pause as fn(_) -> _, Event::Resume as fn(_) -> _), (Event::Cancel, Event::Retry)]
    {
        let mut sim = Sim::good();
        let id = sim.add(&[50 * MB])[0];
        // All handed over, and all but the last poll's news received.
        sim.pass(2_395);
        assert_eq!(sim.row(id).state, RowState::Sending);
        sim.pass(10);
        sim.deliver(stop(Scope::One(id)));
        sim.pass(5_000);
        sim.deliver(go(Scope::One(id)));
        sim.drain();
        assert_eq!((sim.sends(id), sim.row(id).state), (1, RowState::Done));
    }
}

#[test]
fn offline_burns_no_try_and_online_goes_on_at_once() {
    let (mut one, _) = sending(&Options { retries: 1, ..forms() }, 10);
    for round in 0..5 {
        let now = 1_000 * round;
        one.handle(Event::Offline, now);
        let request = RequestId(u32::try_from(round).unwrap() + 1);
        let error = ErrorBody::new(ErrorCode::Network, "");
        one.handle(Event::Failed { file: F, request, error, status: 0, retry_after_ms: None }, now);
        assert_eq!(one.row(F, now).unwrap().state, RowState::Waiting { seconds: None });
        let commands = one.handle(Event::Online, now + 1);
        assert!(commands.iter().any(|c| matches!(c, Command::SendForm { .. })), "{round}: {commands:?}");
    }
}

/// It was told to wait for its turn, which could not come.
#[test]
fn what_is_queued_while_offline_waits_for_the_network_and_says_so() {
    let mut queue = Queue::new(&Options { concurrency: 1, ..forms() }, 1);
    let states = |queue: &Queue| [2, 3].map(|id| queue.row(FileId(id), 0).unwrap().state);
    let added = |ids: &[u32]| Event::Added(ids.iter().map(|id| Sim::candidate_of(*id, 1_000)).collect());
    queue.handle(added(&[1, 2]), 0);
    assert_eq!(queue.row(FileId(2), 0).unwrap().state, RowState::Queued);
    queue.take_dirty();
    queue.handle(Event::Offline, 0);
    assert_eq!(queue.take_dirty(), [FileId(2)], "its row is drawn again");
    queue.handle(added(&[3]), 0);
    queue.take_dirty();
    assert_eq!(states(&queue), [RowState::Waiting { seconds: None }; 2]);
    assert_eq!(queue.total(0).active, 3);
    queue.handle(Event::Online, 0);
    assert_eq!(queue.take_dirty(), [FileId(2), FileId(3)]);
    assert_eq!(states(&queue), [RowState::Queued; 2]);
}

// --- The two witnesses ---

#[test]
fn the_bar_shows_what_was_received_and_waits_at_99() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(100), 100);
    let row = one.row(F, 100).unwrap();
    assert_eq!(
        (row.percent, row.sent_percent, row.state, row.witness),
        (0, 100, RowState::Sending, Witness::Browser)
    );
    poll(&mut one, 600, vec![frame(1, ProgressState::Receiving, 40)]);
    let row = one.row(F, 600).unwrap();
    assert_eq!(
        (row.percent, row.received, row.state, row.witness),
        (40, 40, RowState::Sending, Witness::Server)
    );
    poll(&mut one, 1_600, vec![frame(2, ProgressState::Receiving, 100)]);
    let row = one.row(F, 1_600).unwrap();
    assert_eq!((row.percent, row.state), (99, RowState::Processing));
}

#[test]
fn without_a_count_the_browser_is_believed_up_to_99() {
    let options = Options { progress: String::new(), ..forms() };
    let (mut one, commands) = sending(&options, 100);
    assert!(
        !commands.iter().any(|c| matches!(c, Command::Arm { timer: Timer::Poll | Timer::Silent(_), .. }))
    );
    one.handle(sent(55), 100);
    assert_eq!(one.row(F, 100).unwrap().percent, 55);
    let commands = one.handle(sent(100), 200);
    assert_eq!(commands, [Command::Disarm { timer: Timer::Stall(F) }]);
    let row = one.row(F, 200).unwrap();
    assert_eq!((row.percent, row.received, row.state), (99, 0, RowState::Processing));
}

#[test]
fn a_count_that_cannot_be_had_is_done_without() {
    let mut sim = Sim::new(forms(), &[Fate::Held], &[PollFate::Fails]);
    let id = sim.add(&[50 * MB])[0];
    sim.pass(1_500);
    assert_eq!((sim.row(id).percent, sim.row(id).sent_percent), (0, 75));
    sim.pass(20_000);
    let row = sim.row(id);
    assert_eq!((row.percent, row.state, row.witness), (99, RowState::Processing, Witness::Browser));
    sim.drain();
    assert_eq!(sim.row(id).state, RowState::Done);
}

#[test]
fn old_and_foreign_frames_count_for_nothing() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(90), 100);
    poll(&mut one, 1_000, vec![frame(7, ProgressState::Receiving, 50)]);
    let before = one.row(F, 9_000);
    let foreign = "somebody-else".parse().unwrap();
    poll(
        &mut one,
        9_000,
        vec![
            frame(7, ProgressState::Receiving, 60),
            frame(3, ProgressState::Receiving, 20),
            ProgressFrame { attempt: 2, ..frame(9, ProgressState::Failed, 99) },
            ProgressFrame { attempt: 0, ..frame(9, ProgressState::Unknown, 0) },
            ProgressFrame { id: foreign, ..frame(9, ProgressState::Receiving, 99) },
        ],
    );
    assert_eq!(one.row(F, 9_000), before);
}

#[test]
fn a_done_frame_ends_the_file_and_its_request() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(100), 100);
    let done = ProgressFrame { receipts: vec![Sim::receipt_of(100)], ..frame(5, ProgressState::Done, 100) };
    let commands = poll(&mut one, 1_000, vec![done]);
    assert!(commands.contains(&Command::Abort { file: F, request: R }), "{commands:?}");
    assert!(commands.contains(&Command::Notify(Notice::AllEnded { done: 1, failed: 0 })));
    assert!(commands.contains(&Command::Disarm { timer: Timer::Poll }), "at rest no polls: {commands:?}");
    let row = one.row(F, 1_000).unwrap();
    assert_eq!((row.state, row.percent), (RowState::Done, 100));
}

#[test]
fn a_failed_frame_leaves_the_end_to_the_request() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(50), 100);
    let error = Some(ErrorBody::new(ErrorCode::TooLarge, "Too large."));
    let commands =
        poll(&mut one, 1_000, vec![ProgressFrame { error, ..frame(5, ProgressState::Failed, 40) }]);
    assert_eq!(one.row(F, 1_000).unwrap().state, RowState::Sending);
    assert!(commands.contains(&Command::Disarm { timer: Timer::Poll }), "{commands:?}");
    one.handle(failed(ErrorCode::Network, 0), 1_100);
    let row = one.row(F, 1_100).unwrap();
    assert_eq!((row.state, row.error.unwrap().message.as_str()), (RowState::Failed, "Too large."));
}

#[test]
fn a_receipt_of_another_length_is_no_success() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(Event::Accepted { file: F, request: R, receipt: Sim::receipt_of(99) }, 5);
    let row = one.row(F, 5).unwrap();
    assert_eq!((row.state, row.error.unwrap().code), (RowState::Failed, ErrorCode::LengthMismatch));
}

/// Firefox: `loaded` goes back when a cut POST is sent again.
#[test]
fn the_browser_begins_again_and_it_is_said_once() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(80), 100);
    poll(&mut one, 1_000, vec![frame(1, ProgressState::Receiving, 70)]);
    one.handle(sent(30), 1_100);
    let row = one.row(F, 1_100).unwrap();
    assert_eq!(
        (row.sent, row.received, row.percent, row.restarts, row.hint),
        (30, 0, 0, 1, Some(Hint::Restarting { percent: 0 }))
    );
    // The server has not noticed yet, then it has.
    poll(&mut one, 3_500, vec![frame(2, ProgressState::Receiving, 71)]);
    assert_eq!(one.row(F, 3_500).unwrap().received, 0);
    poll(&mut one, 6_000, vec![frame(3, ProgressState::Receiving, 20)]);
    let row = one.row(F, 6_100).unwrap();
    assert_eq!((row.sent, row.received, row.restarts, row.hint), (30, 20, 1, None));
}

/// Chromium sends a cut POST again as well, and its `loaded` never goes back: only the server's count tells.
#[test]
fn the_server_counts_anew_and_it_is_said_once() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(100), 100);
    poll(&mut one, 1_000, vec![frame(1, ProgressState::Receiving, 70)]);
    poll(&mut one, 2_000, vec![frame(2, ProgressState::Receiving, 10)]);
    let row = one.row(F, 2_000).unwrap();
    assert_eq!((row.sent, row.received, row.percent, row.restarts), (10, 10, 10, 1));
    // Where the browser's count follows, that is the same restart.
    one.handle(sent(30), 2_100);
    assert_eq!(one.row(F, 2_100).unwrap().restarts, 1);
    assert_eq!(one.row(F, 2_100).unwrap().sent, 30);
    one.handle(sent(20), 2_200);
    assert_eq!(one.row(F, 2_200).unwrap().restarts, 2);
}

/// WebKit counts to 31.3 MB of 20 MB when it sends twice.
#[test]
fn more_than_everything_is_everything() {
    let (mut one, _) = sending(&forms(), 20 * MB);
    one.handle(sent(31 * MB), 100);
    assert_eq!(one.row(F, 100).unwrap().sent, 20 * MB);
}

// --- Polls ---

#[test]
fn after_a_silent_second_the_server_drives_the_bar() {
    let mut sim = Sim::new(forms(), &[Fate::Silent], &[PollFate::Answered(20)]);
    let id = sim.add(&[50 * MB])[0];
    let start = sim.now;
    sim.pass(2_300);
    let row = sim.row(id);
    assert_eq!(row.witness, Witness::Server);
    assert!(row.received >= 25 * MB && row.sent == row.received, "{row:?}");
    assert!(sim.polls().contains(&(start + 1_000)), "at once: {:?}", sim.polls());
    assert!(sim.polls().len() >= 4, "{:?}", sim.polls());
    sim.drain();
}

#[test]
fn slowly_on_the_way_and_quickly_at_the_tail() {
    let mut sim = Sim::new(forms(), &[Fate::Held], &[PollFate::Answered(0)]);
    let start = sim.now;
    let id = sim.add(&[50 * MB])[0];
    sim.pass(40_000);
    assert_eq!(sim.row(id).state, RowState::Processing);
    let polls: Vec<_> = sim.polls().iter().map(|at| at - start).collect();
    let tail = 300 * 6 + 20 * 8;
    let (before, after): (Vec<u64>, Vec<u64>) = polls.into_iter().partition(|at| *at < tail);
    assert!(before.len() <= 3, "{before:?}");
    assert!(after[0] - tail <= 313, "{after:?}");
    let gaps: Vec<_> = after.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (180..=5_000).contains(gap)), "{gaps:?}");
    assert!(*gaps.last().unwrap() >= 3_000 && gaps[0] < 500, "it slows down: {gaps:?}");
    sim.drain();
}

#[test]
fn one_poll_asks_about_all() {
    let mut sim = Sim::new(Options { concurrency: 4, ..forms() }, &[Fate::Held], &[PollFate::Answered(20)]);
    sim.add(&[MB; 6]);
    sim.pass(5_000);
    let most = sim.log.iter().filter_map(|(_, command)| match command {
        Command::Poll { ids, .. } => Some(ids.len()),
        _ => None,
    });
    assert_eq!(most.max(), Some(4));
    sim.drain();
}

#[test]
fn coming_back_to_the_page_asks_at_once() {
    let mut sim = Sim::new(forms(), &[Fate::Held], &[PollFate::Answered(20)]);
    sim.add(&[50 * MB]);
    sim.pass(30_000);
    let count = sim.polls().len();
    sim.deliver(Event::Visible);
    assert!(sim.polls().len() == count + 1 && sim.polls().last() == Some(&sim.now));
    sim.drain();
}

#[test]
fn failing_polls_back_off_and_a_lost_one_wedges_nothing() {
    let mut sim = Sim::new(forms(), &[Fate::Held], &[PollFate::Fails]);
    sim.add(&[50 * MB]);
    sim.pass(60_000);
    assert!((8..25).contains(&sim.polls().len()), "{:?}", sim.polls());
    let mut sim = Sim::new(forms(), &[Fate::Held], &[PollFate::Lost, PollFate::Answered(20)]);
    let id = sim.add(&[50 * MB])[0];
    sim.pass(30_000);
    assert_eq!(sim.row(id).witness, Witness::Server);
    sim.drain();
}

// --- Hints ---

#[test]
fn a_stall_is_said_after_ten_seconds_and_unsaid_by_the_next_byte() {
    let (mut one, _) = sending(&forms(), 100);
    one.handle(sent(50), 100);
    poll(&mut one, 1_000, vec![frame(1, ProgressState::Receiving, 50)]);
    one.queue.take_dirty();
    one.handle(Event::Fired(Timer::Stall(F)), 10_000);
    assert_eq!(one.row(F, 10_000).unwrap().hint, None);
    one.handle(Event::Fired(Timer::Stall(F)), 11_000);
    assert_eq!(one.row(F, 11_000).unwrap().hint, Some(Hint::Stalled));
    assert_eq!(one.queue.take_dirty(), [F], "and the row is drawn");
    poll(&mut one, 12_000, vec![frame(2, ProgressState::Receiving, 51)]);
    assert_eq!(one.row(F, 12_000).unwrap().hint, None);
}

/// Firefox 140 to 153, when it sends a form again by itself after a reset, sometimes stops in the middle for good.
#[test]
fn a_try_in_which_nothing_moves_any_more_is_given_up_and_tried_again() {
    let stalled = |told: Vec<Event>| {
        let (mut one, _) = sending(&forms(), 100);
        for event in told {
            one.handle(event, 1_000);
        }
        poll(&mut one, 2_000, vec![frame(1, ProgressState::Receiving, 50)]);
        (one.handle(Event::Fired(Timer::Stall(F)), 12_000), one)
    };
    let (commands, mut one) = stalled(vec![sent(60)]);
    assert_eq!(one.row(F, 12_000).unwrap().hint, Some(Hint::Stalled));
    assert!(commands.contains(&Command::Arm { timer: Timer::Stall(F), delay_ms: 20_000 }), "{commands:?}");
    let commands = one.handle(Event::Fired(Timer::Stall(F)), 32_000);
    assert_eq!(commands[0], Command::Abort { file: F, request: R });
    assert!(matches!(one.row(F, 32_000).unwrap().state, RowState::Waiting { .. }), "{commands:?}");

    // Everything was handed over, or the browser tells nothing: the bytes may lie in a proxy, and time is its own.
    for told in [vec![sent(100)], vec![], vec![sent(60), Event::SentUnknowable { file: F, request: R }]] {
        let (commands, one) = stalled(told);
        assert_eq!(one.row(F, 12_000).unwrap().hint, Some(Hint::Stalled));
        assert!(
            !commands.iter().any(|c| matches!(c, Command::Arm { timer: Timer::Stall(_), .. })),
            "{commands:?}"
        );
    }
}

/// Sockets hold 4 to 6 MB over HTTP/1.1, and 18 MB were seen: that is no proxy.
#[test]
fn full_sockets_are_not_called_a_proxy() {
    for (rate, lead) in [(MB, 6 * MB), (20 * MB, 18 * MB), (500_000, 5 * MB)] {
        let size = 100 * rate;
        let (mut one, _) = sending(&forms(), size);
        for second in 1..=60 {
            let received = rate * second;
            one.handle(sent(received + lead), second * 1_000);
            let now = second * 1_000 + 1;
            if second % 3 == 0 {
                poll(&mut one, now, vec![frame(second, ProgressState::Receiving, received)]);
            }
            assert_eq!(one.row(F, now).unwrap().hint, None, "{rate} {lead} after {second} s");
        }
    }
}

#[test]
fn a_proxy_that_collects_is_named() {
    let (mut one, _) = sending(&forms(), 400 * MB);
    for second in 1..=9 {
        one.handle(sent(second * 10 * MB), second * 1_000);
        if second % 2 == 0 {
            // The server has not heard of it.
            poll(
                &mut one,
                second * 1_000 + 1,
                vec![ProgressFrame::unknown(Sim::candidate_of(1, 0).progress_id)],
            );
        }
    }
    let row = one.row(F, 9_002).unwrap();
    assert_eq!((row.hint, row.percent, row.state), (Some(Hint::Buffered), 0, RowState::Sending));
}

/// Over HTTP/1.1 the questions may find no connection: then nobody knows what the server has.
#[test]
fn of_a_server_that_is_not_heard_nothing_is_said() {
    let (mut one, _) = sending(&forms(), 400 * MB);
    for second in 1..=60 {
        one.handle(sent(second * MB), second * 1_000);
        assert_eq!(one.row(F, second * 1_000 + 1).unwrap().hint, None, "{second} s");
    }
    assert_eq!(one.row(F, 70_001).unwrap().hint, Some(Hint::Stalled), "now the browser sends nothing either");
}

/// The row is drawn when that becomes true, and not only if something else happens then.
#[test]
fn a_stall_is_drawn_where_the_browser_had_the_last_word() {
    let (mut one, _) = sending(&forms(), 100);
    poll(&mut one, 1_000, vec![frame(1, ProgressState::Receiving, 50)]);
    one.handle(sent(60), 5_000);
    let commands = one.handle(Event::Fired(Timer::Stall(F)), 10_000);
    assert!(commands.contains(&Command::Arm { timer: Timer::Stall(F), delay_ms: 5_000 }), "{commands:?}");
    one.queue.take_dirty();
    one.handle(Event::Fired(Timer::Stall(F)), 15_000);
    assert_eq!(one.queue.take_dirty(), [F]);
    assert_eq!(one.row(F, 15_000).unwrap().hint, Some(Hint::Stalled));
}

// --- Coming and going ---

/// Cancelled and failed ones do not count, and others have come into their places.
#[test]
fn limits_hold_for_what_is_tried_again() {
    let options = Options { max_files: Some(2), max_total: Some(1000), ..forms() };
    let mut sim = Sim::new(options, &[Fate::Good], &[PollFate::Answered(20)]);
    let old = sim.add(&[400, 400]);
    sim.deliver(Event::Cancel(Scope::All));
    let new = sim.add(&[400, 500]);
    sim.deliver(Event::Retry(Scope::All));
    sim.drain();
    let done = |id: &FileId| sim.row(*id).state == RowState::Done;
    assert!(new.iter().all(done) && !old.iter().any(done));
    for id in &old {
        let row = sim.row(*id);
        assert_eq!((row.state, row.can_retry), (RowState::Failed, true));
        assert_eq!(row.error.unwrap().code, ErrorCode::TooLarge, "900 bytes are there already");
    }
    sim.deliver(Event::Remove(Scope::One(new[1])));
    sim.deliver(Event::Retry(Scope::One(old[0])));
    sim.drain();
    assert_eq!(sim.row(old[0]).state, RowState::Done);
    sim.deliver(Event::Retry(Scope::One(old[1])));
    assert_eq!(sim.row(old[1]).error.unwrap().code, ErrorCode::TooLarge);
}

#[test]
fn where_one_file_is_wanted_the_last_takes_the_place_of_what_was_stored() {
    let options = Options { multiple: false, max_files: Some(1), max_total: Some(600), ..forms() };
    let mut sim = Sim::new(options, &[Fate::Good], &[PollFate::Answered(20)]);
    let stored = |sim: &Sim| -> Vec<_> {
        sim.queue.rows().filter(|id| sim.row(*id).state == RowState::Done).collect()
    };
    let first = sim.add(&[400]);
    let second = sim.add(&[400]);
    assert_eq!(sim.row(second[0]).error.unwrap().code, ErrorCode::TooManyFiles, "the first is under way");
    sim.drain();
    let third = sim.add(&[500]);
    assert_eq!(stored(&sim), first, "until the next is stored");
    sim.drain();
    assert_eq!(stored(&sim), third);
    // By its own button, and back when another has come; and one that was given up and tried again.
    sim.deliver(Event::TakeOff(Scope::One(third[0])));
    let fourth = sim.add(&[300]);
    sim.drain();
    sim.deliver(Event::Undo);
    assert_eq!(stored(&sim), fourth);
    let fifth = sim.add(&[200]);
    sim.deliver(Event::Cancel(Scope::All));
    let sixth = sim.add(&[100]);
    sim.drain();
    assert_eq!(stored(&sim), sixth);
    // What was never stored can be brought back, whatever is stored beside it.
    sim.deliver(Event::TakeOff(Scope::One(fifth[0])));
    assert!(sim.queue.total(sim.now).offers.undo);
    sim.deliver(Event::Undo);
    sim.deliver(Event::Retry(Scope::One(fifth[0])));
    sim.drain();
    assert_eq!(stored(&sim), fifth);
}

/// A tag for one file sent two ids, and an undo could exceed every limit.
#[test]
fn what_was_stored_and_taken_off_does_not_come_back_over_a_limit() {
    for limit in [
        Options { max_files: Some(2), ..forms() },
        Options { max_total: Some(900), ..forms() },
        Options { multiple: false, ..forms() },
    ] {
        let one = !limit.multiple;
        let fates = [Fate::Good, Fate::Refused];
        let mut sim = Sim::new(limit, &fates, &[PollFate::Answered(20)]);
        let old = sim.add(&[400])[0];
        sim.drain();
        let fallen = sim.add(&[400])[0];
        sim.drain();
        assert_eq!(sim.row(fallen).state, RowState::Failed);
        sim.deliver(Event::TakeOff(Scope::All));
        sim.fates = vec![Fate::Good; 4];
        let new = sim.add(if one { &[300] } else { &[300, 300] });
        if one {
            assert_eq!(sim.queue.undoable(), Some(old), "as long as nothing else is stored");
        }
        // Not so long that nothing can be undone any more.
        while new.iter().any(|id| sim.row(*id).state != RowState::Done) {
            sim.pass(20);
        }
        // What was never stored takes no room.
        assert_eq!(sim.queue.undoable(), Some(fallen));
        sim.deliver(Event::Undo);
        assert!(sim.queue.row(old, sim.now).is_none() && sim.queue.row(fallen, sim.now).is_some());
        sim.deliver(Event::TakeOff(Scope::All));
        sim.deliver(Event::Undo);
        assert!(sim.queue.row(fallen, sim.now).is_some(), "where nothing has come there is room");
    }
}

#[test]
fn after_everything_was_removed_nothing_can_be_brought_back() {
    let mut sim = Sim::good();
    sim.add(&[MB]);
    sim.drain();
    sim.deliver(Event::TakeOff(Scope::All));
    assert!(sim.queue.total(sim.now).offers.undo);
    sim.deliver(Event::Remove(Scope::All));
    assert!(!sim.queue.total(sim.now).offers.undo);
    sim.deliver(Event::Undo);
    assert_eq!(sim.queue.rows().count(), 0);
}

#[test]
fn no_more_is_sent_at_once_than_there_is_room_for() {
    let mut sim = Sim::new(Options { concurrency: 3, ..forms() }, &[Fate::Held], &[PollFate::Answered(20)]);
    sim.queue.share(1);
    let ids = sim.add(&[MB, MB, MB]);
    let sending = |sim: &Sim| ids.iter().filter(|id| sim.row(**id).state == RowState::Sending).count();
    assert_eq!(sending(&sim), 1);
    sim.queue.share(2);
    sim.deliver(Event::Room);
    assert_eq!(sending(&sim), 2);
    sim.queue.share(0);
    sim.deliver(Event::Room);
    assert_eq!(sending(&sim), 2, "what is under way goes on");
}

#[test]
fn refused_files_are_listed_with_their_reason_and_never_sent() {
    let options = Options {
        max_files: Some(2),
        limits: Limits { max_file_size: Some(10 * MB), ..Limits::default() },
        ..forms()
    };
    let mut sim = Sim::new(options, &[Fate::Good], &[PollFate::Answered(20)]);
    let ids = sim.add(&[MB, 11 * MB, MB, MB]);
    let states: Vec<_> = ids.iter().map(|id| sim.row(*id).state).collect();
    assert_eq!(states, [RowState::Sending, RowState::Rejected, RowState::Sending, RowState::Rejected]);
    assert_eq!(sim.log[0].1, Command::Forget { file: ids[1] });
    let failed = |command: &Command| matches!(command, Command::Notify(Notice::Failed(_)));
    assert!(!sim.log.iter().any(|(_, command)| failed(command)), "the sum is told");
    sim.drain();
    let total = sim.queue.total(sim.now);
    assert_eq!((total.files, total.done, total.failed, total.percent), (2, 2, 2, 100));
    assert!(sim.log.iter().any(|(_, c)| *c == Command::Notify(Notice::AllEnded { done: 2, failed: 2 })));
    sim.deliver(Event::Remove(Scope::All));
    assert_eq!(sim.queue.rows().count(), 0);
}

#[test]
fn a_removed_row_is_told_of_and_its_request_given_up() {
    let (mut one, _) = sending(&forms(), 100);
    one.queue.take_dirty();
    let commands = one.handle(Event::Remove(Scope::One(F)), 5);
    assert_eq!(commands[0], Command::Abort { file: F, request: R });
    assert!(commands.contains(&Command::Forget { file: F }));
    assert_eq!((one.queue.take_dirty(), one.row(F, 5)), (vec![F], None));
}

// --- Undo ---

/// A stored, a refused, a failed and a cancelled file, and one that is on its way.
fn of_all_sorts() -> (Sim, Vec<FileId>) {
    let options = Options {
        retries: 0,
        limits: Limits { max_file_size: Some(10 * MB), ..Limits::default() },
        concurrency: 1,
        ..forms()
    };
    let fates = [Fate::Good, Fate::Broken(3), Fate::Good, Fate::Good, Fate::Good];
    let mut sim = Sim::new(options, &fates, &[PollFate::Answered(20)]).with_page(&[]);
    let mut ids = sim.add(&[MB, 11 * MB, 2 * MB]);
    sim.drain();
    ids.extend(sim.add(&[3 * MB]));
    sim.deliver(Event::Cancel(Scope::One(ids[3])));
    sim.pass(1);
    ids.extend(sim.add(&[4 * MB]));
    sim.pass(500);
    let states: Vec<_> = ids.iter().map(|id| sim.row(*id).state).collect();
    let (done, failed, gone) = (RowState::Done, RowState::Failed, RowState::Cancelled);
    assert_eq!(states, [done, RowState::Rejected, failed, gone, RowState::Sending]);
    (sim, ids)
}

fn forgets(sim: &Sim) -> Vec<FileId> {
    let forgotten = sim.log.iter().filter_map(|(_, command)| match command {
        Command::Forget { file } => Some(*file),
        _ => None,
    });
    forgotten.collect()
}

#[test]
fn an_undo_brings_all_back_in_place_and_as_it_was() {
    let (mut sim, ids) = of_all_sorts();
    let (rows, total, told) = (sim.queue.clone(), sim.queue.total(sim.now), sim.log.len());
    sim.deliver(Event::TakeOff(Scope::All));
    assert_eq!(sim.queue.rows().collect::<Vec<_>>(), ids[4..], "what runs stays");
    assert!(sim.queue.total(sim.now).offers.undo && !total.offers.undo);
    assert_eq!(sim.queue.undoable(), Some(ids[0]));
    let removed = sim.log.iter().filter(|(_, command)| *command == Command::Notify(Notice::Removed));
    assert_eq!(removed.count(), 1, "told once, however many they are");
    sim.deliver(Event::Undo);
    assert_eq!(sim.queue.rows().collect::<Vec<_>>(), ids);
    assert!(ids.iter().all(|id| sim.queue.row(*id, sim.now) == rows.row(*id, sim.now)));
    assert_eq!(sim.queue.total(sim.now), total, "nothing counts as gained");
    let ended = |(_, command): &(u64, Command)| {
        matches!(command, Command::Forget { .. } | Command::Notify(Notice::AllEnded { .. } | Notice::Done(_)))
    };
    assert!(!sim.log[told..].iter().any(ended), "{:?}", &sim.log[told..]);
    sim.deliver(Event::Undo);
    sim.deliver(Event::Retry(Scope::One(ids[2])));
    sim.drain();
    assert_eq!(sim.row(ids[2]).state, RowState::Done, "its file was not forgotten");
}

#[test]
fn after_ten_seconds_or_the_next_removal_or_with_the_page_it_is_final() {
    let (mut sim, ids) = of_all_sorts();
    let before = forgets(&sim);
    let new = |sim: &Sim| forgets(sim)[before.len()..].to_vec();
    sim.deliver(Event::TakeOff(Scope::One(ids[2])));
    sim.deliver(Event::TakeOff(Scope::One(ids[4])));
    assert_eq!(sim.queue.undoable(), Some(ids[2]), "what runs is not taken off");
    assert_eq!(new(&sim), []);
    sim.deliver(Event::TakeOff(Scope::One(ids[3])));
    assert_eq!(new(&sim), [ids[2]], "the next removal");
    sim.pass(9_999);
    assert_eq!((new(&sim).contains(&ids[3]), sim.queue.undoable()), (false, Some(ids[3])));
    sim.pass(1);
    assert!(new(&sim).contains(&ids[3]), "ten seconds");
    sim.deliver(Event::Undo);
    assert!(sim.queue.row(ids[3], sim.now).is_none() && !sim.queue.total(sim.now).offers.undo);
    sim.deliver(Event::TakeOff(Scope::One(ids[0])));
    sim.deliver(Event::LetGo);
    assert_eq!(sim.queue.undoable(), None, "the page goes away");
    sim.drain();
}

/// A thousand files: what an event costs does not grow with the list.
#[test]
fn a_thousand_files_come_through() {
    let mut queue = Queue::new(&forms(), 1);
    let mut next = queue.handle(Event::Added((1..=1000).map(|id| Sim::candidate_of(id, 1_000)).collect()), 0);
    let mut ended = 0;
    let mut now = 0;
    while let Some(command) = next.iter().position(|c| matches!(c, Command::SendForm { .. })) {
        let Command::SendForm { file, request, .. } = next.swap_remove(command) else { unreachable!() };
        now += 10;
        next.extend(queue.handle(Event::Accepted { file, request, receipt: Sim::receipt_of(1_000) }, now));
        ended += 1;
    }
    assert_eq!((ended, queue.total(now).done, queue.total(now).percent), (1000, 1000, 100));
}

// --- The view, as text ---

fn text(sim: &Sim) -> String {
    let mut text = String::new();
    for id in sim.queue.rows() {
        let row = sim.row(id);
        let state = match row.state {
            RowState::Waiting { seconds } => format!("waiting {seconds:?}"),
            state => state.as_str().to_owned(),
        };
        write!(text, "{} {state} {}% of {}, sent {}%", row.name, row.percent, row.size, row.sent_percent)
            .unwrap();
        write!(text, ", by {}", row.witness.as_str()).unwrap();
        if let Some(speed) = row.speed {
            write!(text, ", {speed}/s").unwrap();
        }
        if let Some(left) = row.seconds_left {
            write!(text, ", {left} s left").unwrap();
        }
        if row.restarts > 0 {
            write!(text, ", restarted {}", row.restarts).unwrap();
        }
        if let Some(hint) = row.hint {
            write!(text, ", {hint:?}").unwrap();
        }
        if let Some(error) = row.error {
            write!(text, ", {}", error.code).unwrap();
        }
        text.push('\n');
    }
    let total = sim.queue.total(sim.now);
    write!(
        text,
        "{} files, {} done, {} failed, {} active, ",
        total.files, total.done, total.failed, total.active
    )
    .unwrap();
    if total.held > 0 {
        write!(text, "{} held, ", total.held).unwrap();
    }
    write!(text, "{}% of {}", total.percent, total.size).unwrap();
    text
}

#[test]
fn a_life_as_text() {
    let options = Options { concurrency: 2, ..forms() };
    let mut sim =
        Sim::new(options, &[Fate::Good, Fate::Broken(6), Fate::Busy, Fate::Good], &[PollFate::Answered(20)]);
    insta::assert_snapshot!(text(&sim), @"0 files, 0 done, 0 failed, 0 active, 0% of 0");
    sim.add(&[8 * MB, 4 * MB, 0]);
    insta::assert_snapshot!(text(&sim), @r"
    1.bin sending 0% of 8000000, sent 0%, by none
    2.bin sending 0% of 4000000, sent 0%, by none
    3.bin queued 0% of 0, sent 0%, by none
    3 files, 0 done, 0 failed, 3 active, 0% of 12000000
    ");
    sim.pass(1_700);
    insta::assert_snapshot!(text(&sim), @r"
    1.bin sending 12% of 8000000, sent 87%, by server
    2.bin sending 12% of 4000000, sent 75%, by server
    3.bin queued 0% of 0, sent 0%, by none
    3 files, 0 done, 0 failed, 3 active, 12% of 12000000
    ");
    sim.pass(300);
    insta::assert_snapshot!(text(&sim), @r"
    1.bin sending 12% of 8000000, sent 100%, by server
    2.bin waiting Some(1) 12% of 4000000, sent 75%, by server, network
    3.bin waiting Some(4) 0% of 0, sent 0%, by none, shutting-down
    3 files, 0 done, 0 failed, 3 active, 12% of 12000000
    ");
    sim.deliver(Event::Pause(Scope::One(FileId(1))));
    insta::assert_snapshot!(text(&sim), @r"
    1.bin paused 12% of 8000000, sent 100%, by server
    2.bin waiting Some(1) 12% of 4000000, sent 75%, by server, network
    3.bin waiting Some(4) 0% of 0, sent 0%, by none, shutting-down
    3 files, 0 done, 0 failed, 2 active, 1 held, 12% of 12000000
    ");
    sim.deliver(Event::Resume(Scope::One(FileId(1))));
    sim.drain();
    insta::assert_snapshot!(text(&sim), @r"
    1.bin done 100% of 8000000, sent 100%, by server, restarted 1
    2.bin done 100% of 4000000, sent 100%, by server, restarted 1
    3.bin done 100% of 0, sent 100%, by server
    3 files, 3 done, 0 failed, 0 active, 100% of 12000000
    ");
}

// --- Files come in ---

fn notices(commands: &[Command]) -> Vec<Notice> {
    let told = commands.iter().filter_map(|command| match command {
        Command::Notify(notice) => Some(notice.clone()),
        _ => None,
    });
    told.collect()
}

#[test]
fn the_same_file_twice_is_said_and_sent_only_when_it_is_wanted() {
    let mut queue = Queue::new(&forms(), 1);
    let twin = |number| {
        let mut candidate = Sim::candidate_of(number, 100);
        candidate.meta = Sim::candidate_of(1, 100).meta;
        candidate
    };
    let sends = |commands: &[Command], id| {
        commands
            .iter()
            .any(|command| matches!(command, Command::SendForm { file, .. } if *file == FileId(id)))
    };
    assert!(sends(&queue.handle(Event::Added(vec![twin(1)]), 0), 1));
    let mut elsewhere = twin(2);
    elsewhere.meta.path = "folder/1.bin".to_owned();
    let mut later = twin(3);
    later.meta.modified_ms = Some(1);
    assert!(sends(&queue.handle(Event::Added(vec![elsewhere, later, twin(4)]), 0), 3), "others they are");
    let row = queue.row(FileId(4), 0).unwrap();
    assert_eq!((row.state, row.error.unwrap().code), (RowState::Failed, ErrorCode::Duplicate));
    assert!(row.can_retry && !queue.total(0).offers.retry, "by name only");
    queue.handle(Event::Cancel(Scope::One(FileId(2))), 0);
    assert!(!sends(&queue.handle(Event::Retry(Scope::All), 0), 4));
    queue.handle(Event::Cancel(Scope::One(FileId(2))), 0);
    assert!(sends(&queue.handle(Event::Retry(Scope::One(FileId(4))), 0), 4));
    queue.handle(Event::Cancel(Scope::All), 0);
    assert!(
        sends(&queue.handle(Event::Added(vec![twin(5)]), 0), 5),
        "what has ended is picked again for a reason"
    );
}

/// Both were sent a second time, unsaid: the one under its new name, the other because it was begun on another page.
#[test]
fn the_same_file_is_known_under_a_new_name_and_when_it_was_found_again() {
    let same = |number, of: &Candidate| Candidate { meta: of.meta.clone(), ..Sim::candidate_of(number, 100) };
    let duplicate = |queue: &Queue, number| {
        queue
            .row(FileId(number), 0)
            .and_then(|row| row.error)
            .is_some_and(|error| error.code == ErrorCode::Duplicate)
    };
    let mut queue = Queue::new(&forms(), 1);
    queue.consult(true, false);
    let mut first = Sim::candidate_of(1, 100);
    first.meta.path = "letters/1.bin".to_owned();
    let again = same(2, &first);
    queue.handle(Event::Added(vec![first]), 0);
    let answer = Answer { name: Some("new.bin".to_owned()), ..Answer::default() };
    queue.handle(Event::Prepared { file: F, request: RequestId(1), answer }, 0);
    assert_eq!(queue.row(F, 0).unwrap().path, "letters/new.bin");
    queue.handle(Event::Added(vec![again]), 0);
    assert!(duplicate(&queue, 2));
    let mut named = Sim::candidate_of(3, 100);
    named.meta.name = "new.bin".to_owned();
    queue.handle(Event::Added(vec![named]), 0);
    assert!(!duplicate(&queue, 3), "another that is called so is another");

    let mut queue = Queue::new(&Options::default(), 1);
    let found = Sim::candidate_of(1, 100);
    let again = same(2, &found);
    queue.handle(Event::Found { candidate: found, url: "/files/x".to_owned(), need: None }, 0);
    queue.handle(Event::Added(vec![again]), 0);
    assert!(duplicate(&queue, 2));
}

/// A browser that cannot read a file says no more than that the connection failed, and it was tried again in vain.
#[test]
fn a_file_that_cannot_be_read_waits_for_a_person() {
    let (mut one, _) = sending(&forms(), 100);
    let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::FileChanged, "") };
    let event = Event::Failed { file: F, request: R, error, status: 0, retry_after_ms: None };
    let commands = one.handle(event, 10);
    assert!(
        !commands.iter().any(|command| matches!(command, Command::Arm { .. } | Command::SendForm { .. }))
    );
    let row = one.row(F, 10).unwrap();
    assert_eq!((row.state, row.can_retry, row.can_resume), (RowState::Failed, true, true));
    // Or chosen again: of a form nothing is kept, and whatever comes is another file.
    let commands = one.handle(Event::Resume(Scope::One(F)), 15);
    assert_eq!(commands, [Command::FetchFile { file: F, need: Need::Pick }]);
    assert_eq!(one.handle(Event::Resume(Scope::All), 16), [], "a person answers one question at a time");
    let commands = one.handle(Event::Retry(Scope::One(F)), 20);
    assert!(commands.iter().any(|command| matches!(command, Command::SendForm { .. })), "{commands:?}");
}

#[test]
fn what_a_walk_finds_is_told_once_when_it_is_over() {
    let mut queue = Queue::new(&forms(), 1);
    queue.handle(portion(1, &[], true), 0);
    queue.handle(portion(2, &[], true), 0);
    assert_eq!(notices(&queue.handle(portion(2, &[1], true), 0)), []);
    queue.handle(portion(1, &[], false), 0);
    let refused = Event::Refused {
        candidate: Sim::candidate_of(2, 0),
        error: ErrorBody::new(ErrorCode::NoFile, "").with_detail("empty-folder"),
    };
    assert_eq!(notices(&queue.handle(refused, 0)), []);
    assert_eq!(notices(&queue.handle(Event::Cancel(Scope::All), 0)), [], "more may come");
    assert!(queue.total(0).gathering && !queue.total(0).shrinking);
    queue.handle(Event::Gathering { lot: 3, found: Vec::new(), more: true, smaller: true }, 0);
    assert!(queue.total(0).shrinking);
    queue.handle(portion(3, &[], false), 0);
    assert!(!queue.total(0).shrinking);
    let told = notices(&queue.handle(portion(2, &[], false), 0));
    let added = Notice::Added { accepted: 1, rejected: 1 };
    assert_eq!(told, [added, Notice::AllEnded { done: 0, failed: 2 }]);
    assert_eq!(notices(&queue.handle(portion(2, &[], false), 0)), [], "nor twice");
    assert!(!queue.total(0).gathering);
}

#[test]
fn what_could_not_be_taken_in_is_fetched_when_it_is_wanted() {
    let mut queue = Queue::new(&forms(), 1);
    let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::NoFile, "").with_detail("outside") };
    let told = notices(&queue.handle(Event::Refused { candidate: Sim::candidate_of(1, 0), error }, 0));
    assert!(told.contains(&Notice::Failed(FileId(1))), "{told:?}");
    let fetch = Command::FetchFile { file: FileId(1), need: Need::Leave };
    for scope in [Scope::One(FileId(1)), Scope::All] {
        assert!(queue.row(FileId(1), 0).is_some_and(|row| row.can_retry));
        assert_eq!(queue.handle(Event::Retry(scope), 0), std::slice::from_ref(&fetch));
    }
    queue.handle(Event::TakeOff(Scope::All), 0);
    assert_eq!(queue.handle(Event::Retry(Scope::One(FileId(1))), 0), [], "nobody wants it any more");
    assert_eq!(
        queue.handle(Event::Remove(Scope::One(FileId(1))), 0),
        [],
        "and it is not let go of: it may come back"
    );
    queue.handle(Event::Undo, 0);
    assert_eq!(queue.handle(Event::Retry(Scope::One(FileId(1))), 0), [fetch]);
    let gone = queue.handle(Event::Remove(Scope::One(FileId(1))), 0);
    assert_eq!(gone, [Command::Forget { file: FileId(1) }]);
}

/// The next files of a lot, by their numbers.
fn portion(lot: u32, numbers: &[u32], more: bool) -> Event {
    let found = numbers.iter().map(|number| Sim::candidate_of(*number, 10)).collect();
    Event::Gathering { lot, found, more, smaller: false }
}

/// A lot of which one file is in the list, the others come after these wishes about all files: the states of the first
/// and of a later one, and the requests that were sent.
fn wished_for(auto_start: bool, wishes: &[Event]) -> (Option<RowState>, Option<RowState>, usize) {
    let options = Options { auto_start, ..forms() };
    let mut queue = Queue::new(&options, 1);
    let mut commands = queue.handle(portion(1, &[1], true), 0);
    for wish in wishes {
        commands.extend(queue.handle(wish.clone(), 0));
    }
    commands.extend(queue.handle(portion(1, &[2], true), 0));
    commands.extend(queue.handle(portion(1, &[], false), 0));
    let sent = commands.iter().filter(|command| matches!(command, Command::SendForm { .. })).count();
    let state = |number| queue.row(FileId(number), 0).map(|row| row.state);
    (state(1), state(2), sent)
}

#[test]
fn what_is_wanted_of_all_holds_for_what_is_still_to_come() {
    use RowState::*;
    let (pause, resume, start) =
        (Event::Pause(Scope::All), Event::Resume(Scope::All), Event::Start(Scope::All));
    let (cancel, retry, clear) =
        (Event::Cancel(Scope::All), Event::Retry(Scope::All), Event::TakeOff(Scope::All));
    let check = |auto_start, wishes: &[&Event], first: Option<RowState>, sent| {
        let wishes: Vec<_> = wishes.iter().copied().cloned().collect();
        let (one, two, sends) = wished_for(auto_start, &wishes);
        assert_eq!((one, two, sends), (first, first, sent), "{auto_start} {wishes:?}");
    };
    check(true, &[], Some(Sending), 2);
    check(false, &[], Some(Queued), 0);
    check(false, &[&start], Some(Sending), 2);
    check(true, &[&pause], Some(Paused), 1);
    check(false, &[&pause, &resume], Some(Sending), 2);
    check(true, &[&cancel], Some(Cancelled), 1);
    check(false, &[&start, &pause, &cancel, &start], Some(Cancelled), 1);
    check(false, &[&cancel, &retry], Some(Sending), 2);
    check(true, &[&cancel, &clear], None, 1);
    check(true, &[&cancel, &clear, &Event::Undo], Some(Cancelled), 1);
    check(true, &[&cancel, &Event::Remove(Scope::All)], None, 1);
    // What is wanted of one is wanted of that one.
    let (one, two, _) = wished_for(true, &[Event::Cancel(Scope::One(FileId(1)))]);
    assert_eq!((one, two), (Some(Cancelled), Some(Sending)));
}

/// A folder that is cancelled and taken off while it is still walked: of what was found until the undo nothing came back,
/// and what was refused meanwhile was listed all the same.
#[test]
fn an_undo_brings_back_what_a_lot_has_brought_meanwhile() {
    let empty = |number| Event::Refused {
        candidate: Sim::candidate_of(number, 0),
        error: ErrorBody::new(ErrorCode::NoFile, "").with_detail("empty-folder"),
    };
    let cleared = || {
        let mut queue = Queue::new(&forms(), 1);
        queue.handle(portion(1, &[1], true), 0);
        queue.handle(Event::Cancel(Scope::All), 0);
        queue.handle(Event::TakeOff(Scope::All), 0);
        let mut told = queue.handle(portion(1, &[4, 2], true), 0);
        told.extend(queue.handle(empty(3), 0));
        assert_eq!((queue.rows().count(), told), (0, vec![]), "and nothing is let go of");
        queue
    };
    let states = |queue: &Queue| {
        let state = |id: FileId| (id.0, queue.row(id, 0).unwrap().state);
        queue.rows().map(state).collect::<Vec<_>>()
    };
    use RowState::{Cancelled, Rejected};
    let mut queue = cleared();
    queue.handle(portion(1, &[5], false), 0);
    queue.listen();
    let told = queue.handle(Event::Undo, 0);
    assert_eq!(notices(&told), [], "an undo is not announced");
    let all = [(1, Cancelled), (2, Cancelled), (3, Rejected), (4, Cancelled), (5, Cancelled)];
    assert_eq!(states(&queue), all);
    let added = |news: &UploadEvent| matches!(news, UploadEvent::Added { .. });
    assert_eq!(queue.take_news().iter().filter(|news| added(news)).count(), 3, "the page hears of them now");

    // Once it cannot be undone it is for good, also where another undo brings others back.
    let forget = |number| Command::Forget { file: FileId(number) };
    for end in [Event::LetGo, Event::Fired(Timer::Undo), Event::Remove(Scope::All)] {
        let mut queue = cleared();
        let gone = queue.handle(end, 0);
        assert!([1, 2, 3, 4].iter().all(|number| gone.contains(&forget(*number))), "{gone:?}");
        queue.handle(Event::Added(vec![Sim::candidate_of(5, 10)]), 0);
        queue.handle(Event::Cancel(Scope::All), 0);
        queue.handle(Event::TakeOff(Scope::All), 0);
        assert_eq!(queue.handle(portion(1, &[6], true), 0), [forget(6)]);
        assert_eq!(queue.handle(empty(7), 0), [forget(7)]);
        queue.handle(Event::Undo, 0);
        queue.handle(portion(1, &[8], false), 0);
        assert_eq!(states(&queue), [(5, Cancelled)]);
    }

    // What is refused while another lot is wanted may be of that one.
    let mut queue = cleared();
    queue.handle(portion(2, &[], true), 0);
    queue.handle(empty(5), 0);
    assert_eq!(states(&queue), [(5, Rejected)]);
}

#[test]
fn a_wish_is_none_of_the_lots_that_begin_after_it() {
    let mut queue = Queue::new(&forms(), 1);
    queue.handle(portion(1, &[1], true), 0);
    queue.handle(Event::Cancel(Scope::All), 0);
    queue.handle(portion(2, &[2], true), 0);
    queue.handle(Event::Added(vec![Sim::candidate_of(3, 10)]), 0);
    queue.handle(portion(1, &[4], false), 0);
    let states: Vec<_> = queue.rows().map(|id| queue.row(id, 0).unwrap().state).collect();
    assert_eq!(states, [RowState::Cancelled, RowState::Sending, RowState::Sending, RowState::Cancelled]);
}
