//! Where digests are compared: a file counts as stored only when the server's is not another than the browser's.

#![cfg(test)]

use proptest::prelude::*;

use super::{
    command::{Command, Notice},
    event::{Event, FileId, Scope},
    news::UploadEvent,
    sim::{Digest, Fate, PollFate, Sim},
    tests,
    view::RowState,
};
use crate::wire::{Dialect, ErrorCode, Options, Protocol};

const MB: u64 = 1_000_000;
const BOTH: [Protocol; 2] = [Protocol::Form, Protocol::Resumable];

fn options(protocol: Protocol) -> Options {
    Options { protocol, checksum: "/checksum.js".to_owned(), ..Options::default() }
}

fn sim(protocol: Protocol, fates: &[Fate], digests: &[Digest]) -> Sim {
    Sim::new(options(protocol), fates, &[PollFate::Answered(20)]).with_page(&[]).with_digests(digests)
}

/// Uploads that were deleted on the server.
fn discarded(sim: &Sim) -> usize {
    sim.log.iter().filter(|(_, command)| matches!(command, Command::Discard { .. })).count()
}

fn is_done(sim: &Sim, id: FileId) -> bool {
    let done = Command::Notify(Notice::Done(id));
    sim.log.iter().any(|(_, command)| *command == done)
}

#[test]
fn stored_is_what_was_compared_and_is_the_same() {
    for protocol in BOTH {
        let mut sim = sim(protocol, &[Fate::Good], &[Digest::Agrees(20_000)]);
        let id = sim.add(&[10 * MB])[0];
        sim.pass(15_000);
        let row = sim.row(id);
        assert_eq!((row.state, row.percent, row.received), (RowState::Checking, 99, 10 * MB), "{protocol:?}");
        assert!(!is_done(&sim, id), "not yet");
        sim.drain();
        let row = sim.row(id);
        assert_eq!((row.state, row.percent, row.checked), (RowState::Done, 100, true));
        assert_eq!((discarded(&sim), sim.remembered()), (0, 0));
    }
}

#[test]
fn something_else_is_no_success_and_is_not_kept() {
    for protocol in BOTH {
        let mut sim = sim(protocol, &[Fate::Good], &[Digest::Differs, Digest::Agrees(1)]);
        let id = sim.add(&[10 * MB])[0];
        sim.drain();
        let row = sim.row(id);
        assert_eq!((row.state, row.checked, row.can_retry), (RowState::Failed, false, true), "{protocol:?}");
        assert_eq!(
            row.error.map(|error| (error.code, error.retryable)),
            Some((ErrorCode::DigestMismatch, false))
        );
        assert_eq!((discarded(&sim), sim.uploads(), sim.remembered()), (1, 0, 0));
        assert!(!is_done(&sim, id), "and nobody was told that it is stored");
        sim.deliver(Event::Retry(Scope::One(id)));
        sim.drain();
        assert_eq!((sim.row(id).state, sim.row(id).checked), (RowState::Done, true));
        assert_eq!(discarded(&sim), 1);
    }
}

#[test]
fn what_cannot_be_compared_is_stored_and_no_more() {
    for protocol in BOTH {
        let mut sim = sim(protocol, &[Fate::Good], &[Digest::Unknown]);
        let id = sim.add(&[10 * MB])[0];
        sim.drain();
        assert_eq!((sim.row(id).state, sim.row(id).checked), (RowState::Done, false), "{protocol:?}");
    }
}

/// The answer is lost, and what the server stored stands in a poll's answer.
#[test]
fn no_way_leads_around_the_comparison() {
    for protocol in BOTH {
        let mut sim = sim(protocol, &[Fate::Good, Fate::AnswerLost, Fate::Good], &[Digest::Differs]);
        let id = sim.add(&[10 * MB])[0];
        sim.drain();
        assert_eq!(
            sim.row(id).error.map(|error| error.code),
            Some(ErrorCode::DigestMismatch),
            "{protocol:?}"
        );
    }
}

/// What a form had stored stayed there, though it was called cancelled; uploads were always deleted.
#[test]
fn what_is_cancelled_or_removed_while_it_is_compared_is_not_kept() {
    for protocol in BOTH {
        for wish in [Event::Cancel, Event::Remove] {
            let mut sim = sim(protocol, &[Fate::Good], &[Digest::Agrees(30_000)]);
            let id = sim.add(&[10 * MB])[0];
            sim.pass(15_000);
            assert_eq!(sim.row(id).state, RowState::Checking);
            sim.deliver(wish(Scope::One(id)));
            assert_eq!((discarded(&sim), sim.uploads(), sim.remembered()), (1, 0, 0), "{protocol:?}");
        }
    }
}

/// Under the id of what was deleted it would be answered with that.
#[test]
fn what_was_cancelled_late_and_is_wanted_again_is_sent_anew() {
    for protocol in BOTH {
        let mut sim = sim(protocol, &[Fate::Good], &[Digest::Agrees(30_000)]);
        let id = sim.add(&[10 * MB])[0];
        sim.pass(15_000);
        sim.deliver(Event::Cancel(Scope::One(id)));
        sim.pass(1_000);
        sim.deliver(Event::Retry(Scope::One(id)));
        sim.drain();
        assert_eq!((sim.row(id).state, sim.row(id).checked), (RowState::Done, true), "{protocol:?}");
        let names = sim.log.iter().filter_map(|(_, command)| match command {
            Command::SendForm { progress_id, .. } | Command::Create { progress_id, .. } => Some(progress_id),
            _ => None,
        });
        let names: Vec<_> = names.collect();
        assert!(matches!(names[..], [first, second] if first != second), "{protocol:?}: {names:?}");
    }
}

/// A server that deletes nothing still has the form: it is asked before it is sent twice.
#[test]
fn what_was_cancelled_late_at_a_server_that_keeps_it_is_not_sent_twice() {
    let all = Options { dialect: Dialect::Django, ..options(Protocol::Form) };
    let mut sim = Sim::new(all, &[Fate::Good], &[PollFate::Answered(20)])
        .with_page(&[])
        .with_digests(&[Digest::Agrees(30_000)]);
    let id = sim.add(&[10 * MB])[0];
    sim.pass(15_000);
    assert_eq!(sim.row(id).state, RowState::Checking);
    sim.deliver(Event::Cancel(Scope::One(id)));
    sim.pass(1_000);
    sim.deliver(Event::Retry(Scope::One(id)));
    sim.drain();
    assert_eq!((sim.row(id).state, sim.row(id).checked, sim.sends(id)), (RowState::Done, true, 1));
    assert_eq!(discarded(&sim), 0);
}

#[test]
fn the_page_is_told_the_digest() {
    let mut queue = super::Queue::new(&options(Protocol::Form), 1);
    queue.listen();
    let candidate = Sim::candidate_of(1, 10);
    let file = candidate.id;
    let find = |commands: &[Command]| {
        commands.iter().find_map(|command| match command {
            Command::SendForm { request, .. } | Command::Digest { request, .. } => Some(*request),
            _ => None,
        })
    };
    let request = find(&queue.handle(Event::Added(vec![candidate]), 0)).unwrap();
    let mut receipt = Sim::receipt_of(10);
    receipt.sha256 = receipt.sha256.map(|digits| digits.to_uppercase());
    let request = find(&queue.handle(Event::Accepted { file, request, receipt }, 1)).unwrap();
    assert!(queue.take_news().iter().all(|news| !matches!(news, UploadEvent::Stored { .. })));
    let sha256 = Sim::receipt_of(10).sha256;
    queue.handle(Event::Digested { file, request, sha256: sha256.clone() }, 2);
    let told = queue.take_news().into_iter().find_map(|news| match news {
        UploadEvent::Stored { file, .. } => Some(file.sha256),
        _ => None,
    });
    assert_eq!(told, Some(sha256), "capitals are the same digits");
}

proptest! {
    #![proptest_config(tests::lives())]

    /// All eight invariants, whatever digests turn out to be.
    #[test]
    fn the_invariants_hold_where_digests_are_compared(
        steps in tests::steps(),
        fates in tests::fates(),
        poll_fates in tests::poll_fates(),
        digests in prop::collection::vec(
            prop_oneof![3 => (0_u64..5_000).prop_map(Digest::Agrees), 1 => Just(Digest::Differs), 1 => Just(Digest::Unknown)], 1..4,
        ),
        asks: bool,
        protocol in prop_oneof![Just(Protocol::Form), Just(Protocol::Auto), Just(Protocol::Resumable)],
    ) {
        let all = options(protocol);
        let progress = if asks { all.progress.clone() } else { String::new() };
        let sim = Sim::new(Options { progress, ..all }, &fates, &poll_fates).with_page(&[]).with_digests(&digests);
        tests::live_through(steps, sim);
    }
}
