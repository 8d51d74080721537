//! The rules of what a page is asked and told, and of servers that are somebody else's, one by one. What must always
//! hold is tried with the other properties, in `tests`.

#![cfg(test)]

use super::{
    Queue,
    command::{Command, Notice, Pairs, Timer},
    event::{Answer, Event, FileId, RequestId, Scope},
    news::UploadEvent,
    sim::{Fate, Page, PollFate, Sim},
    view::{RowState, Witness},
};
use crate::wire::{
    Dialect, ErrorBody, ErrorCode, Options, ProgressFrame, ProgressState, Proof, Protocol, Receipt,
};

const MB: u64 = 1_000_000;
const F: FileId = FileId(1);

fn options(protocol: Protocol) -> Options {
    Options { protocol, ..Options::default() }
}

fn sim(protocol: Protocol, fates: &[Fate], page: &[Page]) -> Sim {
    Sim::new(options(protocol), fates, &[PollFate::Answered(20)]).with_page(page)
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Whether the page was asked about the file itself, and once more, each time it was asked.
fn questions(sim: &Sim) -> Vec<(bool, bool)> {
    let asked = sim.log.iter().filter_map(|(_, command)| match command {
        Command::Prepare { upload, again, .. } => Some((*upload, *again)),
        _ => None,
    });
    asked.collect()
}

#[test]
fn a_refused_token_is_fetched_once_more_and_no_more() {
    use Fate::{Good, Unauthorized as Bad};
    for protocol in [Protocol::Form, Protocol::Resumable] {
        let mut sim = sim(protocol, &[Bad, Good], &[Page::Agrees(5)]);
        sim.fates = vec![Bad, Good, Good, Good];
        let id = sim.add(&[10 * MB])[0];
        sim.drain();
        assert_eq!(sim.row(id).state, RowState::Done);
        assert_eq!(questions(&sim)[..2], [(true, false), (false, true)]);
        assert!(questions(&sim)[2..].iter().all(|asked| *asked == (false, false)));
    }
    for protocol in [Protocol::Form, Protocol::Resumable] {
        let mut sim = sim(protocol, &[Bad], &[Page::Agrees(5)]);
        let id = sim.add(&[10 * MB])[0];
        sim.drain();
        let row = sim.row(id);
        assert_eq!((row.state, row.error.unwrap().code), (RowState::Failed, ErrorCode::Unauthorized));
        assert!(row.can_retry, "after signing in again");
        assert_eq!(questions(&sim), [(true, false), (false, true)]);
        // A person who asks for it has the right to both tries again.
        sim.deliver(Event::Retry(Scope::One(id)));
        sim.drain();
        assert_eq!(questions(&sim)[2..], [(false, false), (false, true)]);
    }
}

/// It gave what the server had refused before, and that was the end.
#[test]
fn a_page_that_could_not_fetch_a_new_token_is_asked_for_it_again() {
    for protocol in [Protocol::Form, Protocol::Resumable] {
        let mut sim = sim(protocol, &[], &[Page::Agrees(5), Page::Fails, Page::Agrees(5)]);
        sim.fates = vec![Fate::Unauthorized, Fate::Good, Fate::Good, Fate::Good];
        let id = sim.add(&[MB])[0];
        sim.drain();
        assert_eq!(sim.row(id).state, RowState::Done);
        assert_eq!(questions(&sim)[..3], [(true, false), (false, true), (false, true)]);
    }
}

/// Without a page that is asked everything stays as it was: no second try.
#[test]
fn without_a_page_a_refusal_is_the_end() {
    let mut sim = Sim::new(options(Protocol::Form), &[Fate::Unauthorized], &[PollFate::Answered(20)]);
    let id = sim.add(&[MB])[0];
    sim.drain();
    assert_eq!((sim.row(id).state, sim.sends(id)), (RowState::Failed, 1));
}

#[test]
fn a_page_that_never_answers_holds_its_own_slot_and_no_other() {
    let mut queue = Queue::new(&Options { concurrency: 2, ..options(Protocol::Form) }, 1);
    queue.consult(true, false);
    let commands = queue.handle(Event::Added((1..=3).map(|n| Sim::candidate_of(n, 10)).collect()), 0);
    let asked = |commands: &[Command]| -> Vec<_> {
        let asked = commands.iter().filter_map(|command| match command {
            Command::Prepare { file, request, upload: true, .. } => Some((file.id, *request)),
            _ => None,
        });
        asked.collect()
    };
    let first = asked(&commands);
    assert_eq!(first.iter().map(|(file, _)| file.0).collect::<Vec<_>>(), [1, 2]);
    // The second is answered and sent; the first is still being thought about, days later.
    let (file, request) = first[1];
    let answer = Answer::default();
    let commands = queue.handle(Event::Prepared { file, request, answer: answer.clone() }, 200_000_000);
    let sent = commands.iter().find_map(|command| match command {
        Command::SendForm { file, request, .. } => Some((*file, *request)),
        _ => None,
    });
    let (file, request) = sent.unwrap();
    let receipt = Sim::receipt_of(10);
    let commands = queue.handle(Event::Accepted { file, request, receipt }, 200_001_000);
    assert_eq!(asked(&commands)[0].0, FileId(3));
    // What is withdrawn frees the slot, and what is said too late is not heard.
    let (file, request) = first[0];
    let commands = queue.handle(Event::Cancel(Scope::One(file)), 200_002_000);
    assert_eq!(commands[0], Command::Abort { file, request });
    let late = queue.handle(Event::Prepared { file, request, answer }, 200_003_000);
    assert!(!late.iter().any(|command| matches!(command, Command::SendForm { .. })), "{late:?}");
    assert_eq!(queue.row(file, 200_003_000).unwrap().state, RowState::Cancelled);
}

#[test]
fn what_the_page_declines_is_rejected_with_its_words_and_the_others_go_on() {
    let mut sim = sim(Protocol::Auto, &[Fate::Good], &[Page::Declines, Page::Agrees(10)]);
    let ids = sim.add(&[MB, MB]);
    sim.drain();
    let rows: Vec<_> = ids.iter().map(|id| sim.row(*id)).collect();
    assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), [RowState::Rejected, RowState::Done]);
    let error = rows[0].error.clone().unwrap();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::Declined, "No."));
    let told = sim.log.iter().any(|(_, command)| *command == Command::Notify(Notice::Failed(ids[0])));
    assert!(told, "at once: the other goes on for long");
}

/// A page that sends its form as soon as it hears of the second sent both.
#[test]
fn where_one_file_is_wanted_the_old_one_is_gone_when_the_new_one_is_told() {
    let mut queue = Queue::new(&Options { multiple: false, ..options(Protocol::Form) }, 1);
    queue.listen();
    let mut store = |number| {
        let commands = queue.handle(Event::Added(vec![Sim::candidate_of(number, 10)]), 0);
        let sent = commands.iter().find_map(|command| match command {
            Command::SendForm { file, request, .. } => Some((*file, *request)),
            _ => None,
        });
        let (file, request) = sent.unwrap();
        queue.handle(Event::Accepted { file, request, receipt: Sim::receipt_of(10) }, 0);
        let told = queue.take_news().into_iter().filter_map(|news| match news {
            UploadEvent::Stored { file, .. } => Some(("stored", file.id.0)),
            UploadEvent::Removed { file } => Some(("removed", file.id.0)),
            UploadEvent::Ended { .. } => Some(("ended", 0)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(store(1), [("stored", 1), ("ended", 0)]);
    assert_eq!(store(2), [("removed", 1), ("stored", 2), ("ended", 0)]);
}

/// The options, then what the page said of the file, then what it said of the request.
#[test]
fn later_words_take_the_place_of_earlier_ones() {
    let options = Options {
        headers: pairs(&[("X-Site", "a"), ("Authorization", "old")]),
        fields: pairs(&[("album", "none"), ("note", "n")]),
        ..options(Protocol::Form)
    };
    let mut queue = Queue::new(&options, 1);
    queue.consult(true, true);
    let mut candidate = Sim::candidate_of(1, 10);
    candidate.meta.path = "letters/1.bin".to_owned();
    queue.handle(Event::Added(vec![candidate]), 0);
    let answer = Answer {
        name: Some("renamed".to_owned()),
        kept: Some(pairs(&[("album", "holidays")])),
        headers: pairs(&[("authorization", "new")]),
        fields: pairs(&[("csrf", "1")]),
    };
    let commands = queue.handle(Event::Prepared { file: F, request: RequestId(1), answer }, 5);
    let manifest = commands.iter().find_map(|command| match command {
        Command::SendForm { manifest, .. } => Some(manifest),
        _ => None,
    });
    let manifest = manifest.unwrap();
    assert_eq!((manifest.name.as_str(), queue.row(F, 5).unwrap().name.as_str()), ("renamed", "renamed"));
    assert_eq!(manifest.path, "letters/renamed");
    assert_eq!(manifest.headers, pairs(&[("X-Site", "a"), ("authorization", "new")]));
    assert_eq!(manifest.fields, pairs(&[("note", "n"), ("album", "holidays"), ("csrf", "1")]));
}

#[test]
fn a_page_is_told_of_everything_in_order() {
    let mut queue = Queue::new(&options(Protocol::Form), 1);
    assert!(queue.take_news().is_empty());
    queue.listen();
    let word = |event: UploadEvent| match event {
        UploadEvent::Added { .. } => "added".to_owned(),
        UploadEvent::Started { .. } => "started".to_owned(),
        UploadEvent::Progress { sent, received, .. } => format!("{sent} {received}"),
        UploadEvent::Paused { .. } => "paused".to_owned(),
        UploadEvent::Resumed { .. } => "resumed".to_owned(),
        UploadEvent::Stored { receipt, .. } => format!("stored {}", receipt.size),
        UploadEvent::Removed { file } => format!("removed {}", file.name),
        UploadEvent::Ended { done, failed } => format!("ended {done} {failed}"),
        other => format!("{other:?}"),
    };
    let (file, request) = (F, RequestId(1));
    queue.handle(Event::Added(vec![Sim::candidate_of(1, 10)]), 0);
    queue.handle(Event::Sent { file, request, loaded: 4 }, 10);
    queue.handle(Event::Pause(Scope::All), 20);
    let commands = queue.handle(Event::Resume(Scope::All), 30);
    let again = commands.iter().find_map(|command| match command {
        Command::SendForm { request, .. } => Some(*request),
        _ => None,
    });
    let (request, receipt) = (again.unwrap(), Sim::receipt_of(10));
    queue.handle(Event::Accepted { file, request, receipt }, 40);
    queue.handle(Event::Remove(Scope::All), 50);
    let told: Vec<_> = queue.take_news().into_iter().map(word).collect();
    let expected =
        ["added", "started", "4 0", "paused", "resumed", "0 0", "stored 10", "ended 1 0", "removed 1.bin"];
    assert_eq!(told, expected);
    assert!(queue.take_news().is_empty(), "each once");
}

/// A server that counts everything as arrived was believed to have stored it, and the page's refusal vanished.
#[test]
fn what_the_page_makes_of_an_answer_is_its_last_word() {
    for retryable in [false, true] {
        let mut queue = Queue::new(&options(Protocol::Form), 1);
        let (file, request) = (F, RequestId(1));
        queue.handle(Event::Added(vec![Sim::candidate_of(1, 10)]), 0);
        queue.handle(Event::Sent { file, request, loaded: 10 }, 10);
        let error = ErrorBody { retryable, ..ErrorBody::new(ErrorCode::Declined, "The site wants a title.") };
        queue.handle(Event::Failed { file, request, error, status: 200, retry_after_ms: None }, 20);
        let row = queue.row(file, 20).unwrap();
        assert_eq!(row.error.unwrap().message, "The site wants a title.");
        match retryable {
            true => assert!(matches!(row.state, RowState::Waiting { .. }), "it said that it can help"),
            false => assert_eq!((row.state, row.can_retry), (RowState::Failed, true), "a person may"),
        }
    }
}

// --- Servers of other people ---

/// A form on its way to such a server, and the poll that is out about it.
struct Foreign {
    queue: Queue,
    poll: Option<RequestId>,
    now: u64,
}

impl Foreign {
    fn new(size: u64) -> Self {
        let options =
            Options { dialect: Dialect::Nginx, progress: "/progress".to_owned(), ..options(Protocol::Auto) };
        let mut one = Self { queue: Queue::new(&options, 1), poll: None, now: 0 };
        one.handle(Event::Added(vec![Sim::candidate_of(1, size)]));
        one
    }

    fn handle(&mut self, event: Event) -> Vec<Command> {
        let commands = self.queue.handle(event, self.now);
        for command in &commands {
            if let Command::Poll { poll, .. } = command {
                self.poll = Some(*poll);
            }
        }
        commands
    }

    /// The server says this, of the whole request.
    fn says(&mut self, state: ProgressState, received: u64, size: u64) -> Vec<Command> {
        self.now += 1_000;
        if self.poll.is_none() {
            self.handle(Event::Visible);
        }
        let poll = self.poll.take().unwrap();
        let mut frame = ProgressFrame {
            attempt: 1,
            seq: u64::from(poll.0),
            state,
            body_received: received,
            body_size: Some(size),
            ..ProgressFrame::unknown(Sim::candidate_of(1, 0).progress_id)
        };
        if state == ProgressState::Done {
            frame.receipts.push(Receipt::accepted(""));
        }
        self.handle(Event::Polled { poll, frames: vec![frame] })
    }

    fn sent(&mut self, loaded: u64) {
        self.handle(Event::Sent { file: F, request: RequestId(1), loaded });
    }

    fn row(&self) -> super::view::RowView {
        self.queue.row(F, self.now).unwrap()
    }
}

#[test]
fn their_count_of_the_request_is_the_bar_of_the_file() {
    // Above our own threshold: there is nothing there that could go on.
    let mut one = Foreign::new(100 * MB);
    one.says(ProgressState::Receiving, 50 * MB + 195, 100 * MB + 195);
    let row = one.row();
    assert_eq!((row.received, row.percent, row.witness), (50 * MB, 50, Witness::Server));
    one.says(ProgressState::Receiving, 100 * MB + 195, 100 * MB + 195);
    assert_eq!((one.row().state, one.row().percent), (RowState::Processing, 99));
    // Their "done" is not the answer: what that says the page may want to read.
    one.says(ProgressState::Done, 0, 0);
    assert_eq!((one.row().state, one.row().percent), (RowState::Processing, 99));
    one.handle(Event::Accepted { file: F, request: RequestId(1), receipt: Receipt::accepted("/there") });
    let receipt = one.row().receipt.unwrap();
    assert_eq!((receipt.size, receipt.name.as_str(), receipt.url.as_str()), (100 * MB, "1.bin", "/there"));
    assert_eq!((receipt.proof, one.row().percent), (Proof::Accepted, 100));
}

/// Promise 1: of a small file nothing may ever have been told but the end.
#[test]
fn their_done_without_a_count_before_it_is_all_of_the_file() {
    let mut one = Foreign::new(100);
    one.sent(100);
    one.says(ProgressState::Done, 0, 0);
    let row = one.row();
    assert_eq!((row.state, row.received, row.percent), (RowState::Processing, 100, 99));
    one.now += 60_000;
    one.handle(Event::Visible);
    assert_eq!((one.row().state, one.row().hint), (RowState::Processing, None));
}

#[test]
fn where_one_key_stands_for_all_uploads_there_is_one_at_a_time() {
    let sent = |progress: &str| {
        let progress = progress.to_owned();
        let options =
            Options { dialect: Dialect::Django, concurrency: 3, progress, ..options(Protocol::Form) };
        let files = (1..=3).map(|id| Sim::candidate_of(id, 100)).collect();
        let commands = Queue::new(&options, 1).handle(Event::Added(files), 0);
        commands.iter().filter(|command| matches!(command, Command::SendForm { .. })).count()
    };
    assert_eq!((sent("/status?key=abc"), sent("/progress")), (1, 3));
}

/// Promise 10: their word on a lost answer is worth as much as ours.
#[test]
fn their_done_saves_a_second_upload_when_the_answer_is_lost() {
    let lost = || Event::Failed {
        file: F,
        request: RequestId(1),
        error: ErrorBody::new(ErrorCode::Network, ""),
        status: 0,
        retry_after_ms: None,
    };
    let mut one = Foreign::new(100);
    one.sent(100);
    one.says(ProgressState::Receiving, 50, 200);
    one.handle(lost());
    one.says(ProgressState::Done, 0, 0);
    if one.row().state != RowState::Done {
        // That question was from before the end.
        one.says(ProgressState::Done, 0, 0);
    }
    assert_eq!((one.row().state, one.row().receipt.unwrap().proof), (RowState::Done, Proof::Accepted));
}

/// What counts in a cache keeps its last number after the line has broken: that is no work that is still done.
#[test]
fn a_count_that_stands_still_after_a_broken_line_is_no_reason_to_wait_on() {
    let mut one = Foreign::new(100 * MB);
    one.sent(100 * MB);
    one.says(ProgressState::Receiving, 50 * MB, 100 * MB);
    one.handle(Event::Failed {
        file: F,
        request: RequestId(1),
        error: ErrorBody::new(ErrorCode::Network, ""),
        status: 0,
        retry_after_ms: None,
    });
    assert_eq!(one.row().state, RowState::Asking);
    let mut armed = 0;
    for received in [50, 50, 51, 51, 51] {
        let commands = one.says(ProgressState::Receiving, received * MB, 100 * MB);
        armed += commands
            .iter()
            .filter(|command| matches!(command, Command::Arm { timer: Timer::Retry(_), .. }))
            .count();
    }
    assert_eq!((one.row().state, armed), (RowState::Asking, 1), "it waits longer for what has grown");
}

#[test]
fn a_second_try_has_an_id_of_its_own() {
    let mut one = Foreign::new(100);
    let busy = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Internal, "") };
    one.handle(Event::Failed {
        file: F,
        request: RequestId(1),
        error: busy,
        status: 500,
        retry_after_ms: None,
    });
    let commands = one.handle(Event::Retry(Scope::One(F)));
    let id = commands.iter().find_map(|command| match command {
        Command::SendForm { progress_id, .. } => Some(progress_id.clone()),
        _ => None,
    });
    let first = Sim::candidate_of(1, 0).progress_id;
    assert_eq!(id.unwrap(), first.successor());
}

/// Where they do not count at all the bar is not left at nothing.
#[test]
fn a_server_that_never_hears_of_it_leaves_the_word_to_the_browser() {
    let mut one = Foreign::new(100 * MB);
    one.sent(40 * MB);
    for _ in 0..2 {
        one.says(ProgressState::Unknown, 0, 0);
        assert_eq!(one.row().percent, 0);
    }
    one.says(ProgressState::Unknown, 0, 0);
    assert_eq!((one.row().percent, one.row().witness), (40, Witness::Browser));
}
