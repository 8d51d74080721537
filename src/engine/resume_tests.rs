//! The rules of resumable uploads, one by one. What must always hold is tried with the other properties, in `tests`.

#![cfg(test)]

use super::{
    command::{Command, Manifest, Notice, Timer},
    event::{Event, FileId, Need, RequestId, Scope},
    item::Phase,
    queue::Queue,
    sim::{Fate, PollFate, Sim},
    view::{Hint, RowState, Witness},
};
use crate::wire::{ErrorBody, ErrorCode, Options, Protocol};

const MB: u64 = 1_000_000;
const F: FileId = FileId(1);

fn resumable() -> Options {
    Options { protocol: Protocol::Resumable, ..Options::default() }
}

fn sim(fates: &[Fate]) -> Sim {
    Sim::new(resumable(), fates, &[PollFate::Answered(20)])
}

/// The ranges that were sent, and when.
fn ranges(sim: &Sim) -> Vec<(u64, u64, u64)> {
    let sends = sim.log.iter().filter_map(|(at, command)| match command {
        Command::SendRange { offset, end, .. } => Some((*at, *offset, *end)),
        _ => None,
    });
    sends.collect()
}

fn count(sim: &Sim, which: fn(&Command) -> bool) -> usize {
    sim.log.iter().filter(|(_, command)| which(command)).count()
}

fn asks(sim: &Sim) -> usize {
    count(sim, |command| matches!(command, Command::AskOffset { .. }))
}

fn created(sim: &Sim) -> usize {
    count(sim, |command| matches!(command, Command::Create { .. }))
}

#[test]
fn created_without_bytes_remembered_and_then_the_whole_is_sent() {
    let mut queue = Queue::new(&resumable(), 1);
    let candidate = Sim::candidate_of(1, 10 * MB);
    let progress_id = candidate.progress_id.clone();
    let commands = queue.handle(Event::Added(vec![candidate]), 0);
    let (request, url) = (RequestId(1), "/files/x".to_owned());
    let manifest = Manifest { name: "1.bin".to_owned(), ..Manifest::default() };
    assert_eq!(
        commands[1..],
        [
            Command::Create { file: F, request, progress_id: progress_id.clone(), attempt: 1, manifest },
            Command::Arm { timer: Timer::Stall(F), delay_ms: 10_000 },
        ]
    );
    assert_eq!(queue.row(F, 0).unwrap().state, RowState::Creating);
    let commands = queue.handle(Event::Created { file: F, request, url: url.clone() }, 30);
    assert_eq!(
        commands[..2],
        [
            Command::Remember { file: F, progress_id: progress_id.clone(), url: url.clone() },
            Command::SendRange {
                file: F,
                request: RequestId(2),
                url,
                progress_id: progress_id.clone(),
                attempt: 1,
                offset: 0,
                end: 10 * MB,
                headers: Vec::new(),
            },
        ]
    );
    assert_eq!(queue.row(F, 30).unwrap().state, RowState::Sending);
    let receipt = Sim::receipt_of(10 * MB);
    let commands = queue.handle(Event::Accepted { file: F, request: RequestId(2), receipt }, 60);
    assert!(commands.contains(&Command::Unremember { file: F, progress_id }), "{commands:?}");
    assert!(!commands.iter().any(|command| matches!(command, Command::Discard { .. })));
}

#[test]
fn the_threshold_decides() {
    let check = |protocol, size, expected: bool| {
        let mut queue = Queue::new(&Options { protocol, ..Options::default() }, 1);
        let commands = queue.handle(Event::Added(vec![Sim::candidate_of(1, size)]), 0);
        let creates = commands.iter().any(|command| matches!(command, Command::Create { .. }));
        assert_eq!(creates, expected, "{protocol:?} {size}");
        assert_eq!(queue.row(F, 0).unwrap().can_pause, expected);
    };
    check(Protocol::Auto, Options::THRESHOLD - 1, false);
    check(Protocol::Auto, Options::THRESHOLD, true);
    check(Protocol::Form, 100 * Options::THRESHOLD, false);
    check(Protocol::Resumable, 0, true);
    check(Protocol::Tus, 1, true);
}

#[test]
fn a_cut_goes_on_from_what_the_server_confirms_and_nothing_goes_back() {
    let mut sim = sim(&[Fate::Good, Fate::Broken(5), Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.drain();
    let ranges: Vec<_> = ranges(&sim).into_iter().map(|(_, offset, end)| (offset, end)).collect();
    assert_eq!(ranges, [(0, 80 * MB), (50 * MB, 80 * MB)]);
    let row = sim.row(id);
    assert_eq!((row.state, row.restarts, asks(&sim), created(&sim)), (RowState::Done, 0, 1, 1));
}

#[test]
fn a_server_that_lost_bytes_is_believed_and_the_row_says_so() {
    let mut sim = sim(&[Fate::Good, Fate::Crash(6), Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    while ranges(&sim).len() < 2 {
        sim.pass(20);
    }
    assert_eq!(sim.row(id).hint, Some(Hint::Restarting { percent: 37 }));
    sim.drain();
    assert_eq!(ranges(&sim)[1].1, 30 * MB);
    let row = sim.row(id);
    assert_eq!((row.state, row.restarts), (RowState::Done, 1));
}

#[test]
fn pause_keeps_the_offset_and_resume_goes_on_from_it() {
    let mut sim = sim(&[Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(1_000);
    sim.deliver(Event::Pause(Scope::One(id)));
    sim.pass(60_000);
    let row = sim.row(id);
    assert_eq!((row.state, row.can_pause, row.can_resume), (RowState::Paused, false, true));
    assert_eq!(count(&sim, |command| matches!(command, Command::Discard { .. })), 0);
    sim.deliver(Event::Resume(Scope::One(id)));
    sim.drain();
    assert_eq!((ranges(&sim)[1].1, asks(&sim), sim.row(id).restarts), (30 * MB, 1, 0));
    assert_eq!(sim.row(id).state, RowState::Done);
}

/// Bytes arrive for 900 ms, then nothing: the next connection carries bytes within twelve seconds of the last one.
#[test]
fn a_stalled_connection_is_replaced_in_time() {
    for progress in [Options::default().progress, String::new()] {
        let options = Options { progress, ..resumable() };
        let mut sim =
            Sim::new(options, &[Fate::Good, Fate::Stalled(3), Fate::Good], &[PollFate::Answered(20)]);
        let id = sim.add(&[80 * MB])[0];
        sim.pass(9_900);
        assert_eq!(ranges(&sim).len(), 1, "not before ten seconds");
        sim.pass(3_000);
        let ranges = ranges(&sim);
        assert_eq!((ranges.len(), ranges[1].1), (2, 30 * MB));
        let last_byte = ranges[0].0 + 900;
        assert!(ranges[1].0 - last_byte < 12_000, "{} ms", ranges[1].0 - last_byte);
        assert_eq!(sim.row(id).hint, Some(Hint::Replaced), "and the row says why");
        sim.drain();
        assert_eq!(sim.row(id).state, RowState::Done);
    }
}

/// A proxy that takes everything before it hands anything on moves bytes: another connection would be no better.
#[test]
fn bytes_that_leave_are_no_stall() {
    let mut queue = Queue::new(&resumable(), 1);
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 100 * MB)]), 0);
    queue.handle(Event::Created { file: F, request: RequestId(1), url: "/files/x".to_owned() }, 0);
    for second in 1..=60 {
        let sent = Event::Sent { file: F, request: RequestId(2), loaded: second * MB };
        queue.handle(sent, second * 1_000);
        let commands = queue.handle(Event::Fired(Timer::Stall(F)), second * 1_000);
        assert!(!commands.iter().any(|command| matches!(command, Command::Abort { .. })), "{second} s");
    }
}

/// Storing 100 GiB may take minutes; as long as the server says that it is at work, nobody disturbs it.
#[test]
fn a_server_at_work_is_not_disturbed() {
    let mut sim = sim(&[Fate::Good, Fate::Held]);
    let id = sim.add(&[80 * MB])[0];
    sim.drain();
    assert_eq!((sim.row(id).state, ranges(&sim).len(), asks(&sim)), (RowState::Done, 1, 0));
}

#[test]
fn a_lost_answer_is_fetched_without_a_byte() {
    for progress in [Options::default().progress, String::new()] {
        let options = Options { progress, ..resumable() };
        let mut sim =
            Sim::new(options, &[Fate::Good, Fate::AnswerLost, Fate::Good], &[PollFate::Answered(20)]);
        let id = sim.add(&[80 * MB])[0];
        sim.drain();
        assert_eq!(sim.row(id).state, RowState::Done);
        assert!(ranges(&sim)[1..].iter().all(|(_, offset, end)| offset == end), "{:?}", ranges(&sim));
    }
}

#[test]
fn another_offset_is_asked_for_at_once() {
    let mut sim = sim(&[Fate::Good, Fate::Moved, Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(200);
    let ranges = ranges(&sim);
    assert_eq!((ranges.len(), ranges[1].1, asks(&sim)), (2, 10 * MB, 1));
    sim.drain();
    assert_eq!(sim.row(id).state, RowState::Done);
}

#[test]
fn an_upload_that_is_gone_begins_anew_and_says_so() {
    let mut sim = sim(&[Fate::Good, Fate::Broken(5), Fate::Gone, Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    while ranges(&sim).len() < 2 {
        sim.pass(20);
    }
    // Also once there is something to show again.
    sim.pass(1_500);
    let row = sim.row(id);
    assert_eq!(row.hint, Some(Hint::Restarting { percent: 0 }));
    assert!(row.percent > 0, "{row:?}");
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.restarts, created(&sim)), (RowState::Done, 1, 2));
    assert_eq!(ranges(&sim)[1].1, 0);
}

#[test]
fn what_is_always_gone_fails_in_the_end() {
    let mut sim = sim(&[Fate::Good, Fate::Gone]);
    let id = sim.add(&[80 * MB])[0];
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.can_retry, created(&sim)), (RowState::Failed, true, 5));
}

#[test]
fn cancel_deletes_what_the_server_has_and_a_refusal_does_too() {
    let mut one = sim(&[Fate::Good]);
    let id = one.add(&[80 * MB])[0];
    one.pass(1_000);
    one.deliver(Event::Cancel(Scope::One(id)));
    assert_eq!(count(&one, |command| matches!(command, Command::Discard { .. })), 1);
    assert_eq!(one.remembered(), 0);
    // And it can be begun again, from nothing: what the server counted of the other upload says nothing of this one.
    one.deliver(Event::Retry(Scope::One(id)));
    one.pass(850);
    let row = one.row(id);
    assert!(row.witness == Witness::Server && row.received <= 20 * MB, "{row:?}");
    let first = Sim::candidate_of(1, 0).progress_id;
    let names = one.log.iter().filter_map(|(_, command)| match command {
        Command::SendRange { progress_id, .. } => Some(progress_id.clone()),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), [first.clone(), first.successor()]);
    one.drain();
    let row = one.row(id);
    assert_eq!((row.state, row.restarts, ranges(&one)[1].1), (RowState::Done, 1, 0));

    let mut other = sim(&[Fate::Good, Fate::Refused]);
    let id = other.add(&[80 * MB])[0];
    other.drain();
    assert_eq!((other.row(id).state, other.remembered()), (RowState::Failed, 0));
    assert_eq!(count(&other, |command| matches!(command, Command::Discard { .. })), 1);
}

#[test]
fn offline_waits_and_online_goes_on_from_the_offset() {
    let mut sim = sim(&[Fate::Good, Fate::Broken(3), Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.deliver(Event::Offline);
    sim.pass(60_000);
    assert_eq!(sim.row(id).state, RowState::Waiting { seconds: None });
    sim.deliver(Event::Online);
    sim.drain();
    assert_eq!(sim.row(id).state, RowState::Done);
}

/// The server's answer arrives although the browser believes to be offline: it is taken in, and nothing is sent.
#[test]
fn an_answer_while_offline_is_kept_for_later() {
    let mut queue = Queue::new(&resumable(), 1);
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 100)]), 0);
    queue.handle(Event::Offline, 1);
    let event = Event::Created { file: F, request: RequestId(1), url: "/files/x".to_owned() };
    let commands = queue.handle(event, 2);
    assert!(matches!(commands[0], Command::Remember { .. }), "{commands:?}");
    assert!(!commands.iter().any(|command| matches!(command, Command::SendRange { .. })));
    let commands = queue.handle(Event::Online, 3);
    assert!(commands.iter().any(|command| matches!(command, Command::SendRange { offset: 0, .. })));
}

#[test]
fn slices_follow_each_other_and_the_last_completes() {
    let options = Options { slice: Some(30 * MB), ..resumable() };
    let mut sim = Sim::new(options, &[Fate::Good], &[PollFate::Answered(20)]);
    let id = sim.add(&[80 * MB])[0];
    sim.drain();
    let ranges: Vec<_> = ranges(&sim).into_iter().map(|(_, offset, end)| (offset, end)).collect();
    assert_eq!(ranges, [(0, 30 * MB), (30 * MB, 60 * MB), (60 * MB, 80 * MB)]);
    assert_eq!((sim.row(id).state, asks(&sim)), (RowState::Done, 0));
}

/// A server that takes slices and keeps nothing of them is not fed for ever.
#[test]
fn a_slice_that_moves_nothing_counts_as_a_failure() {
    let mut queue = Queue::new(&Options { slice: Some(10), retries: 2, ..resumable() }, 1);
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 100)]), 0);
    let mut next =
        queue.handle(Event::Created { file: F, request: RequestId(1), url: "/files/x".to_owned() }, 0);
    let (mut now, mut sends) = (0, 0);
    while let Some(command) = next.pop() {
        now += 1_000;
        let answer = |request| Event::Offset { file: F, request, offset: 0, complete: false };
        match command {
            Command::SendRange { request, .. } => {
                sends += 1;
                next = queue.handle(answer(request), now);
            }
            Command::AskOffset { request, .. } => next = queue.handle(answer(request), now),
            Command::Arm { timer: Timer::Retry(_), delay_ms } => {
                now += u64::from(delay_ms);
                next = queue.handle(Event::Fired(Timer::Retry(F)), now);
            }
            _ => {}
        }
        assert!(sends < 10);
    }
    assert!(matches!(queue.phase(F), Some(Phase::Failed { again: true, .. })), "{:?}", queue.phase(F));
    assert_eq!(sends, 3);
}

#[test]
fn more_than_the_file_has_is_another_file() {
    for (offset, complete) in [(101, false), (50, true)] {
        let mut queue = Queue::new(&resumable(), 1);
        let candidate = Sim::candidate_of(1, 100);
        queue.handle(Event::Found { candidate, url: "/files/x".to_owned(), need: None }, 0);
        let answer = Event::Offset { file: F, request: RequestId(1), offset, complete };
        let commands = queue.handle(answer, 5);
        assert!(
            commands.contains(&Command::Discard { url: "/files/x".to_owned(), headers: Vec::new() }),
            "{commands:?}"
        );
        let row = queue.row(F, 5).unwrap();
        assert_eq!((row.state, row.error.unwrap().code), (RowState::Failed, ErrorCode::LengthMismatch));
    }
}

#[test]
fn found_again_it_goes_on_by_itself_and_says_from_where() {
    let mut sim = sim(&[Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(1_600);
    sim.reload(|_| None);
    sim.pass(40);
    let row = sim.row(id);
    assert_eq!((row.state, row.hint), (RowState::Sending, Some(Hint::Found { percent: 62 })));
    assert_eq!((row.received, row.percent, ranges(&sim)[1].1), (50 * MB, 62, 50 * MB));
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.restarts, sim.remembered()), (RowState::Done, 0, 0));
}

/// It expired, or belongs to whoever was signed in before: nothing is sent unless the person who is here asks for it.
#[test]
fn found_again_and_not_known_to_the_server_it_is_not_sent_unasked() {
    for (status, code) in [(404, ErrorCode::NotFound), (410, ErrorCode::Gone), (403, ErrorCode::Forbidden)] {
        let mut queue = Queue::new(&resumable(), 1);
        let candidate = Sim::candidate_of(1, 100);
        let progress_id = candidate.progress_id.clone();
        queue.handle(Event::Found { candidate, url: "/files/x".to_owned(), need: None }, 0);
        let error = ErrorBody::new(code, "");
        let failed = Event::Failed { file: F, request: RequestId(1), error, status, retry_after_ms: None };
        let commands = queue.handle(failed, 5);
        assert!(commands.contains(&Command::Unremember { file: F, progress_id }), "{commands:?}");
        let asks = |command: &Command| matches!(command, Command::Create { .. } | Command::Discard { .. });
        assert!(!commands.iter().any(asks), "{commands:?}");
        let row = queue.row(F, 5).unwrap();
        assert_eq!((row.state, row.can_retry), (RowState::Failed, true));
        assert_eq!(row.error.unwrap().code, ErrorCode::Gone);
        let commands = queue.handle(Event::Retry(Scope::One(F)), 9);
        assert!(commands.iter().any(|command| matches!(command, Command::Create { .. })), "{commands:?}");
    }
}

#[test]
fn a_file_that_is_not_at_hand_is_waited_for_and_fetched_on_a_click() {
    let mut sim = sim(&[Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(1_600);
    sim.reload(|_| Some(Need::Pick));
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.can_resume), (RowState::Missing { need: Need::Pick }, true));
    assert!(sim.log.iter().any(|(_, command)| *command == Command::Notify(Notice::Missing(id))));
    // "Resume all" opens no dialogs; the row's own button does.
    sim.deliver(Event::Resume(Scope::All));
    assert_eq!(count(&sim, |command| matches!(command, Command::FetchFile { .. })), 0);
    sim.deliver(Event::Resume(Scope::One(id)));
    assert_eq!(sim.log.last().unwrap().1, Command::FetchFile { file: id, need: Need::Pick });
    sim.deliver(Event::AtHand { file: id });
    sim.drain();
    assert_eq!((sim.row(id).state, ranges(&sim)[1].1), (RowState::Done, 50 * MB));
}

#[test]
fn a_changed_file_is_told_and_not_sent_unless_the_person_wants_it() {
    let mut sim = sim(&[Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(1_600);
    sim.reload(|_| Some(Need::Leave));
    sim.change(id, 70 * MB);
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.can_retry, row.size), (RowState::Failed, true, 70 * MB));
    assert_eq!(row.error.unwrap().code, ErrorCode::FileChanged);
    // What was begun is kept until the person decides.
    let discards = |sim: &Sim| count(sim, |command| matches!(command, Command::Discard { .. }));
    assert_eq!((ranges(&sim).len(), sim.remembered(), discards(&sim)), (1, 1, 0));
    let mut removed = Queue::clone(&sim.queue);
    let commands = removed.handle(Event::Remove(Scope::One(id)), sim.now);
    assert!(commands.iter().any(|command| matches!(command, Command::Discard { .. })), "{commands:?}");
    // Taken off with an undo, it is kept until that is over; and its own file, picked again, brings it back.
    sim.deliver(Event::TakeOff(Scope::One(id)));
    assert_eq!((sim.remembered(), discards(&sim)), (1, 0));
    let mut over = Queue::clone(&sim.queue);
    let commands = over.handle(Event::Fired(Timer::Undo), sim.now + 10_000);
    assert!(commands.iter().any(|command| matches!(command, Command::Discard { .. })), "{commands:?}");
    let mut again = Queue::clone(&sim.queue);
    again.handle(Event::AtHand { file: id }, sim.now);
    let row = again.row(id, sim.now).unwrap();
    assert_eq!((row.state, row.size), (RowState::Creating, 80 * MB));
    sim.deliver(Event::Undo);
    sim.deliver(Event::Retry(Scope::One(id)));
    assert_eq!(discards(&sim), 1);
    sim.drain();
    assert_eq!(sim.remembered(), 0);
    assert_eq!((sim.row(id).state, ranges(&sim)[1]), (RowState::Done, (ranges(&sim)[1].0, 0, 70 * MB)));
}

/// The wrong one was picked: the right one is taken as long as the other was not sent.
#[test]
fn after_a_wrong_file_the_right_one_is_still_wanted() {
    let mut sim = sim(&[Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(1_600);
    sim.reload(|_| Some(Need::Pick));
    for size in [70 * MB, 90 * MB] {
        sim.change(id, size);
        let row = sim.row(id);
        assert_eq!((row.state, row.can_retry, row.can_resume), (RowState::Failed, true, true));
        assert_eq!((row.error.unwrap().code, row.size), (ErrorCode::FileChanged, size));
        sim.deliver(Event::Resume(Scope::One(id)));
        assert_eq!(sim.log.last().unwrap().1, Command::FetchFile { file: id, need: Need::Pick });
    }
    sim.bring_back(id);
    sim.drain();
    let row = sim.row(id);
    assert_eq!((row.state, row.size, row.restarts), (RowState::Done, 80 * MB, 0));
    assert_eq!((ranges(&sim)[1].1, created(&sim)), (50 * MB, 1), "it went on");
}

#[test]
fn where_leave_is_refused_the_file_can_be_picked() {
    let mut sim = sim(&[Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.pass(1_600);
    sim.reload(|_| Some(Need::Leave));
    sim.deliver(Event::Resume(Scope::One(id)));
    assert_eq!(sim.log.last().unwrap().1, Command::FetchFile { file: id, need: Need::Leave });
    sim.deliver(Event::NotAtHand { file: id, need: Need::Pick });
    assert_eq!(sim.row(id).state, RowState::Missing { need: Need::Pick });
    sim.deliver(Event::Resume(Scope::One(id)));
    assert_eq!(sim.log.last().unwrap().1, Command::FetchFile { file: id, need: Need::Pick });
    sim.bring_back(id);
    sim.drain();
    assert_eq!(sim.row(id).state, RowState::Done);
}

/// The server has made an upload, and nobody here knows its address: the next try is answered with the same one.
#[test]
fn a_creation_whose_answer_is_lost_is_one_upload() {
    let mut sim = sim(&[Fate::AnswerLost, Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.drain();
    let ids: Vec<_> = sim
        .log
        .iter()
        .filter_map(|(_, command)| match command {
            Command::Create { progress_id, attempt, .. } => Some((progress_id.clone(), *attempt)),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!((&ids[0].0, ids[0].1, ids[1].1), (&ids[1].0, 1, 2));
    assert_eq!((sim.row(id).state, sim.uploads()), (RowState::Done, 1));
}

/// It may be an upload of somebody else, or one that the server cannot tell from another: not asked for ever.
#[test]
fn an_id_that_is_in_use_is_not_insisted_on() {
    let mut sim = sim(&[Fate::InUse, Fate::Good, Fate::Good]);
    let id = sim.add(&[80 * MB])[0];
    sim.drain();
    let ids: Vec<_> = sim
        .log
        .iter()
        .filter_map(|(_, command)| match command {
            Command::Create { progress_id, .. } => Some(progress_id),
            _ => None,
        })
        .collect();
    assert_eq!((ids.len(), ids[0] == ids[1]), (2, false));
    assert_eq!(sim.row(id).state, RowState::Done);
}

/// Held files end nothing, and keep nobody from the end of the others.
#[test]
fn what_is_held_stands_in_nobodys_way() {
    let mut sim =
        Sim::new(Options { multiple: false, ..resumable() }, &[Fate::Good], &[PollFate::Answered(20)]);
    let held = sim.add(&[80 * MB])[0];
    sim.pass(1_600);
    let ends = |sim: &Sim| count(sim, |command| matches!(command, Command::Notify(Notice::AllEnded { .. })));
    sim.deliver(Event::Pause(Scope::All));
    let total = sim.queue.total(sim.now);
    assert_eq!((total.files, total.active, total.held, ends(&sim)), (1, 0, 1, 0));
    let other = sim.add(&[MB])[0];
    assert_ne!(sim.row(other).state, RowState::Rejected, "one at a time, and none is under way");
    sim.drain();
    assert_eq!((sim.row(other).state, sim.row(held).state), (RowState::Done, RowState::Paused));
    assert_eq!(ends(&sim), 1);
    let total = sim.queue.total(sim.now);
    assert_eq!((total.files, total.done, total.held, total.percent < 100), (2, 1, 1, true));
    sim.deliver(Event::Cancel(Scope::One(held)));
    assert_eq!(ends(&sim), 2);
}

/// It changed while this page was open: what it was cannot be read any more.
#[test]
fn a_file_that_changes_under_way_fails_for_good() {
    let mut queue = Queue::new(&resumable(), 1);
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 100)]), 0);
    let request = RequestId(1);
    queue.handle(Event::Created { file: F, request, url: "/files/x".to_owned() }, 0);
    let error = ErrorBody::new(ErrorCode::FileChanged, "");
    let event = Event::Failed { file: F, request: RequestId(2), error, status: 0, retry_after_ms: None };
    let commands = queue.handle(event, 5);
    assert!(
        commands.contains(&Command::Discard { url: "/files/x".to_owned(), headers: Vec::new() }),
        "{commands:?}"
    );
    let row = queue.row(F, 5).unwrap();
    assert_eq!((row.state, row.can_retry), (RowState::Failed, false));
}

/// Its disk was unplugged: what the server has is kept until it is there again.
#[test]
fn a_file_that_cannot_be_read_keeps_its_upload() {
    let mut queue = Queue::new(&resumable(), 1);
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 100)]), 0);
    let (request, url) = (RequestId(1), "/files/x".to_owned());
    queue.handle(Event::Created { file: F, request, url: url.clone() }, 0);
    let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::FileChanged, "It is away.") };
    let unreadable = error.clone();
    let event = Event::Failed { file: F, request: RequestId(2), error, status: 0, retry_after_ms: None };
    let commands = queue.handle(event, 5);
    let lost = |command: &Command| matches!(command, Command::Discard { .. } | Command::Unremember { .. });
    assert!(!commands.iter().any(lost), "{commands:?}");
    let row = queue.row(F, 5).unwrap();
    assert_eq!((row.state, row.can_retry), (RowState::Failed, true));
    let commands = queue.handle(Event::Retry(Scope::One(F)), 9);
    let asks = |command: &Command| matches!(command, Command::AskOffset { url: asked, .. } if *asked == url);
    assert!(commands.iter().any(asks), "{commands:?}");
    // Some browsers never read a file again that has changed once: it can be picked anew.
    queue.handle(
        Event::Failed { file: F, request: RequestId(3), error: unreadable, status: 0, retry_after_ms: None },
        12,
    );
    assert!(queue.row(F, 12).unwrap().can_resume);
    let commands = queue.handle(Event::Resume(Scope::One(F)), 15);
    assert_eq!(commands, [Command::FetchFile { file: F, need: Need::Pick }]);
    let commands = queue.handle(Event::AtHand { file: F }, 20);
    assert!(commands.iter().any(asks), "{commands:?}");
}

/// There was no room to try it again, and it forgot that it waits for its file: that was swallowed when it came.
#[test]
fn a_try_that_there_is_no_room_for_does_not_forget_the_file() {
    let options = Options { max_files: Some(1), ..resumable() };
    let mut queue = Queue::new(&options, 1);
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 100)]), 0);
    queue.handle(Event::Created { file: F, request: RequestId(1), url: "/files/x".to_owned() }, 0);
    let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::FileChanged, "") };
    let event = Event::Failed { file: F, request: RequestId(2), error, status: 0, retry_after_ms: None };
    queue.handle(event, 5);
    queue.handle(Event::Added(vec![Sim::candidate_of(2, 100)]), 6);
    queue.handle(Event::Retry(Scope::All), 7);
    let commands = queue.handle(Event::AtHand { file: F }, 8);
    assert_eq!(queue.row(F, 8).unwrap().error, None, "{commands:?}");
}

/// A tus server of somebody else: nobody counts, and its confirmed offsets are all that is known.
#[test]
fn without_a_count_the_confirmed_offset_is_shown() {
    let options = Options { protocol: Protocol::Tus, progress: String::new(), ..Options::default() };
    let mut sim = Sim::new(options, &[Fate::Good, Fate::Broken(5), Fate::Good], &[PollFate::Fails]);
    let id = sim.add(&[80 * MB])[0];
    while ranges(&sim).len() < 2 {
        sim.pass(20);
    }
    let row = sim.row(id);
    assert_eq!((row.received, row.percent, row.restarts), (50 * MB, 62, 0));
    sim.drain();
    assert_eq!((sim.row(id).state, sim.row(id).witness), (RowState::Done, Witness::Browser));
    assert!(sim.polls().is_empty());
}
