//! Two or fifty at one upload. One wins, and the file is the winner's, to the byte. Must never know who will win.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use plimsoll::wire::ErrorCode;
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    client::{Client, Head, Line, Protocol, RESUMABLE, Standing, Way},
    each, rest,
};
use crate::util::{Answer, TestServer, pattern};

/// Both lines of both protocols, with a length.
fn ways() -> Vec<Way> {
    let lines = [Line::Http1, Line::Http2];
    let ways =
        RESUMABLE.into_iter().flat_map(|protocol| lines.map(|line| Way { line, ..Way::plain(protocol) }));
    ways.collect()
}

fn is_done(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 204)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_that_write_at_one_offset_one_wins_and_all_of_the_file_is_its() {
    const MANY: u8 = 50;
    const SIZE: usize = 300_000;
    let server = TestServer::start().await;
    let addr = server.addr;
    each(ways(), |way| async move {
        let client = Client::new(addr, way);
        let target = client.create(Some(SIZE as u64)).await;
        let start = Arc::new(Barrier::new(usize::from(MANY)));
        let mut writers = JoinSet::new();
        for number in 0..MANY {
            let (target, start) = (target.clone(), start.clone());
            writers.spawn(async move {
                let bytes = vec![number; SIZE];
                // Not the last by its own word: what says that it is may be answered again, whoever says it.
                let mut exchange = client.try_open(&target, 0, SIZE as u64, false).await.unwrap();
                start.wait().await;
                for piece in bytes.chunks(100_000) {
                    exchange.feed(piece).await;
                }
                (number, exchange.end().await)
            });
        }
        let mut winner = None;
        while let Some(ended) = writers.join_next().await {
            let (number, answer) = ended.unwrap();
            match answer {
                Some(answer) if is_done(&answer) => {
                    assert_eq!(winner.replace(number), None, "{way:?}: a second winner");
                }
                // The connection of one who lost may end while it still sends.
                None => {}
                Some(answer) => assert_eq!(answer.status, 409, "{way:?}: {answer:?}"),
            }
        }
        let winner = winner.unwrap_or_else(|| panic!("{way:?}: nobody won"));
        client.url(&target, &client.bring(&target, SIZE as u64, b"").await);
        assert!(client.fetch(&target.path).await.unwrap() == vec![winner; SIZE], "{way:?}: {winner}");
    })
    .await;
    server.settled().await;
    assert_eq!(server.files_in("files").len(), ways().len());
    assert!(server.files_in("staging").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_deleted_while_it_is_written_is_gone() {
    const SIZE: usize = 2_000_000;
    let server = TestServer::start().await;
    let addr = server.addr;
    each(ways(), |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(SIZE);
        // While it is in the middle.
        let target = client.create(Some(SIZE as u64)).await;
        let mut writer = client.open(&target, 0, SIZE as u64).await;
        writer.feed(&bytes[..SIZE / 2]).await;
        client.received(&target, SIZE as u64 / 2).await;
        assert_eq!(client.delete(&target).await.unwrap().status, 204, "{way:?}");
        let standing = client.standing(&target).await;
        assert!(matches!(standing, Standing::Nowhere(404 | 410)), "{way:?}: {standing:?}");
        writer.feed(&bytes[SIZE / 2..]).await;
        let late = writer.end().await;
        assert!(late.is_none_or(|answer| !is_done(&answer)), "{way:?}");

        // At any moment: whoever comes first, in the end it is gone.
        for _ in 0..8 {
            let target = client.create(Some(SIZE as u64)).await;
            let writing = client.bring(&target, 0, &bytes);
            let (answer, deleted) = tokio::join!(writing, client.delete(&target));
            assert_eq!(deleted.unwrap().status, 204, "{way:?}");
            assert!(is_done(&answer) || matches!(answer.status, 404 | 409 | 410), "{way:?}: {answer:?}");
            let standing = client.standing(&target).await;
            assert!(matches!(standing, Standing::Nowhere(404 | 410)), "{way:?}: {standing:?}");
            assert_eq!(client.fetch(&target.path).await, None, "{way:?}");
        }
    })
    .await;
    server.settled().await;
    assert!(server.stored_files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_told_while_somebody_writes_can_be_used_at_once_and_never_goes_back() {
    const SIZE: usize = 4_000_000;
    let server = TestServer::start().await;
    let addr = server.addr;
    each(ways(), |way| async move {
        let client = Client::new(addr, way);
        let bytes = Arc::new(pattern(SIZE));
        let target = client.create(Some(SIZE as u64)).await;
        let (mut told, mut rounds, mut done) = (0, 0, false);
        let mut writers = JoinSet::new();
        while !done {
            rounds += 1;
            // A writer that goes on until it is ended, and one that asks in the middle of it. The next begins where
            // that was told to, whether the one before has noticed or not.
            let mut writer = client.open(&target, told, SIZE as u64 - told).await;
            let rest_of_it = bytes.clone();
            writers.spawn(async move {
                for piece in rest(&rest_of_it, told).chunks(150_000) {
                    writer.feed(piece).await;
                    tokio::task::yield_now().await;
                }
                writer.end().await
            });
            client.frame(&target, |frame| frame.received > told || frame.state.is_terminal()).await;
            match client.standing(&target).await {
                Standing::At { offset, complete } => {
                    assert!(offset >= told, "{way:?}: {offset} after {told}");
                    told = offset;
                    done = complete;
                }
                Standing::Nowhere(status) => panic!("{way:?}: {status}"),
            }
            assert!(rounds < 1000, "{way:?}: it never ends");
        }
        for answer in writers.join_all().await.into_iter().flatten().filter(|answer| !is_done(answer)) {
            assert_eq!(answer.error().code, ErrorCode::Superseded, "{way:?}");
        }
        assert!(client.fetch(&target.path).await.unwrap() == *bytes, "{way:?}, {rounds} rounds");
    })
    .await;
    server.settled().await;
    assert_eq!(server.files_in("files").len(), ways().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_the_end_is_said_it_is_one_file() {
    const SIZE: usize = 200_000;
    let server = TestServer::start().await;
    let addr = server.addr;
    each(ways(), |way| async move {
        let client = Client::new(addr, way);
        let bytes = Arc::new(pattern(SIZE));
        // Two that bring the end at the same time, then many that say it again without a byte.
        for round in 0..10 {
            let target = client.create(Some(SIZE as u64)).await;
            let (half, end) = bytes.split_at(SIZE / 2);
            let mut first = client.try_open(&target, 0, half.len() as u64, false).await.unwrap();
            first.feed(half).await;
            assert!(matches!(first.end().await.unwrap().status, 201 | 204), "{way:?}");
            let offset = half.len() as u64;
            let (one, two) =
                tokio::join!(client.bring(&target, offset, end), client.bring(&target, offset, end));
            let mut done = 0;
            for answer in [&one, &two] {
                assert!(is_done(answer) || answer.status == 409, "{way:?} {round}: {answer:?}");
                done += usize::from(is_done(answer));
            }
            assert!(done >= 1, "{way:?} {round}: {one:?} {two:?}");
            let mut again = JoinSet::new();
            for _ in 0..4 {
                let target = target.clone();
                again.spawn(async move { client.bring(&target, SIZE as u64, b"").await });
            }
            while let Some(answer) = again.join_next().await {
                client.url(&target, &answer.unwrap());
            }
            assert!(client.fetch(&target.path).await.unwrap() == *bytes, "{way:?} {round}");
        }
    })
    .await;
    server.settled().await;
    assert_eq!(server.files_in("files").len(), ways().len() * 10);
    assert!(server.files_in("staging").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pollers_never_disturb_a_writer() {
    const SIZE: usize = 3_000_000;
    let server = TestServer::start().await;
    let client = Client::new(server.addr, Way::plain(Protocol::Tus));
    let bytes = pattern(SIZE);
    let target = client.create(Some(SIZE as u64)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut pollers = JoinSet::new();
    for number in 0..8 {
        let (target, over) = (target.clone(), over.clone());
        let path = match number % 3 {
            0 => format!("/progress/{}", target.id),
            1 => format!("/progress?X-Progress-ID={}", target.id),
            _ => format!("/api/upload_progress?ids={}", target.id),
        };
        pollers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                client.ask(Head::new("GET", &path), b"").await;
            }
        });
    }
    // One request: had any of them ended it, there would be no good answer.
    let mut exchange = client.open(&target, 0, SIZE as u64).await;
    for piece in bytes.chunks(100_000) {
        exchange.feed(piece).await;
        tokio::task::yield_now().await;
    }
    let answer = exchange.end().await.unwrap();
    over.store(true, Ordering::Relaxed);
    pollers.join_all().await;
    assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes);
}
