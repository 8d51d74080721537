//! Requests that break off, fall silent or end too early. What is sent in pieces keeps every byte that has arrived, and
//! what is one request leaves nothing; neither is ever taken for whole. Must never know a protocol's words.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use plimsoll::wire::ErrorCode;

use super::{
    client::{Client, Cut, Framing, Line, Protocol, RESUMABLE, Standing, WHOLE, Way},
    each, rest,
};
use crate::{
    steps::Listener,
    util::{TestServer, pattern, wait_for},
};

const SIZE: usize = 2_000_003;

fn at(offset: usize) -> Standing {
    Standing::At { offset: offset as u64, complete: false }
}

/// Every way to speak these protocols, with every way to break off.
fn ways_and_cuts(protocols: [Protocol; 2]) -> Vec<(Way, Cut)> {
    let ways = Way::all(protocols).into_iter();
    ways.flat_map(|way| Cut::all(way.line).iter().map(move |cut| (way, *cut))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_cut_is_kept_and_is_not_sent_again() {
    let server = TestServer::start().await;
    let addr = server.addr;
    each(ways_and_cuts(RESUMABLE), |(way, cut)| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(SIZE);
        let target = client.create(Some(SIZE as u64)).await;
        let (mut offset, mut sent) = (0, 0);
        for end in [1, 700_001, SIZE - 1] {
            let mut exchange = client.open(&target, offset as u64, (SIZE - offset) as u64).await;
            exchange.feed(&bytes[offset..end]).await;
            sent += end - offset;
            // Bytes before a FIN arrive before it; what a reset still finds on the way is lost.
            if (way.line, cut) != (Line::Http1, Cut::Fin) {
                client.received(&target, end as u64).await;
            }
            exchange.cut(cut).await;
            assert_eq!(client.standing(&target).await, at(end), "{way:?} {cut:?}");
            assert_ne!(client.fetch(&target.path).await, Some(vec![]), "{way:?}: no file yet");
            offset = end;
        }
        let answer = client.bring(&target, offset as u64, &bytes[offset..]).await;
        sent += SIZE - offset;
        assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes, "{way:?} {cut:?}");
        assert!(sent * 100 <= SIZE * 105, "{way:?} {cut:?}: {sent} bytes were sent for {SIZE}");
    })
    .await;
    server.settled().await;
    assert!(server.files_in("staging").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_request_leaves_nothing_and_comes_whole_the_second_time() {
    let server = TestServer::start().await;
    let addr = server.addr;
    each(ways_and_cuts(WHOLE), |(way, cut)| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(SIZE);
        let target = client.create(None).await;
        for end in [1, 700_001, SIZE] {
            let mut exchange = client.open(&target, 0, SIZE as u64 + 1).await;
            exchange.feed(&bytes[..end]).await;
            client.frame(&target, |frame| !frame.state.is_terminal() && frame.received == end as u64).await;
            exchange.cut(cut).await;
            let frame = client.frame(&target, |frame| frame.state.is_terminal()).await;
            assert_eq!(
                frame.error.as_ref().map(|error| error.code),
                Some(ErrorCode::Interrupted),
                "{way:?} {cut:?} {frame:?}"
            );
            assert!(frame.receipts.is_empty(), "{way:?} {cut:?}");
        }
    })
    .await;
    server.settled().await;
    assert!(server.stored_files().is_empty());

    each(Way::all(WHOLE), |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(SIZE);
        let target = client.create(None).await;
        let mut exchange = client.open(&target, 0, SIZE as u64).await;
        exchange.feed(&bytes[..SIZE / 2]).await;
        client.received(&target, SIZE as u64 / 2).await;
        exchange.cut(Cut::Reset).await;
        client.frame(&target, |frame| frame.state.is_terminal()).await;
        let answer = client.bring(&target, 0, &bytes).await;
        assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes, "{way:?}");
    })
    .await;
    server.settled().await;
    assert_eq!(server.stored_files().len(), Way::all(WHOLE).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sender_is_given_up_and_what_it_brought_is_kept() {
    let server = TestServer::with(|config| config.limits.idle_timeout = Duration::from_secs(1)).await;
    let addr = server.addr;
    // As much as goes into the connection at once: a client that a busy machine stops halfway is silent too.
    let end = 100_000;
    each(Way::all(RESUMABLE), |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(SIZE);
        let target = client.create(Some(SIZE as u64)).await;
        let mut exchange = client.open(&target, 0, SIZE as u64).await;
        exchange.feed(&bytes[..end]).await;
        // Nobody else asks for the upload: the server ends this by itself.
        let answer = exchange.answer().await.expect("the server says why");
        assert_eq!(answer.error().code, ErrorCode::TimedOut, "{way:?}");
        assert_eq!(client.standing(&target).await, at(end), "{way:?}");
        let answer = client.bring(&target, end as u64, &bytes[end..]).await;
        assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes, "{way:?}");
    })
    .await;
    let kept = server.stored_files().len();
    assert_eq!(kept, Way::all(RESUMABLE).len());
    each(Way::all(WHOLE), |way| async move {
        let client = Client::new(addr, way);
        let target = client.create(None).await;
        let mut exchange = client.open(&target, 0, SIZE as u64).await;
        exchange.feed(&pattern(end)).await;
        let answer = exchange.answer().await.expect("the server says why");
        assert_eq!(answer.error().code, ErrorCode::TimedOut, "{way:?}");
    })
    .await;
    server.settled().await;
    assert_eq!(server.stored_files().len(), kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_writer_is_replaced_and_what_it_still_brings_is_not_written() {
    let server = TestServer::start().await;
    let addr = server.addr;
    let times = Arc::<Mutex<Vec<Duration>>>::default();
    let taken = times.clone();
    each(Way::all(RESUMABLE), move |way| {
        let times = taken.clone();
        async move {
            let client = Client::new(addr, way);
            let bytes = pattern(SIZE);
            let target = client.create(Some(SIZE as u64)).await;
            let (first, second) = (700_001, 1_300_000);
            let mut stalled = client.open(&target, 0, SIZE as u64).await;
            stalled.feed(&bytes[..first]).await;
            client.received(&target, first as u64).await;

            let asked = Instant::now();
            assert_eq!(client.standing(&target).await, at(first), "{way:?}");
            let replaced_in = asked.elapsed();
            // The bound of each leaves room for a machine that does something else at this moment.
            assert!(replaced_in < Duration::from_secs(5), "{way:?}: replaced in {replaced_in:?}");
            times.lock().unwrap().push(replaced_in);

            let mut newcomer = client.open(&target, first as u64, (SIZE - first) as u64).await;
            newcomer.feed(&bytes[first..second]).await;
            client.received(&target, second as u64).await;
            // What the old connection still holds comes now, as a network would deliver it: late, and not what belongs
            // where the new one writes.
            stalled.feed(&vec![0xEE; SIZE - first]).await;
            let late = stalled.answer().await;
            assert!(late.is_none_or(|answer| answer.status >= 400), "{way:?}");
            newcomer.feed(&bytes[second..]).await;
            let answer = newcomer.end().await.unwrap();
            assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes, "{way:?}");
        }
    })
    .await;
    let mut times = times.lock().unwrap();
    times.sort();
    println!("replaced in {times:?}");
    assert!(times[times.len() / 2] < Duration::from_secs(1), "under one second: {times:?}");
}

/// By all that can be seen of it, the upload is no file.
async fn is_no_file(client: &Client, target: &super::client::Target, what: &str) {
    let way = client.way;
    let frame = client.frame(target, |_| true).await;
    assert!(frame.receipts.is_empty(), "{way:?} {what}: {frame:?}");
    if RESUMABLE.contains(&way.protocol) {
        let standing = client.standing(target).await;
        assert!(!matches!(standing, Standing::At { complete: true, .. }), "{way:?} {what}");
        let fetched = client.fetch(&target.path).await;
        assert_eq!(fetched.map(|bytes| bytes.len()), None, "{way:?} {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_ends_too_early_is_never_whole() {
    let listener = Listener::start();
    let finish_url = Some(listener.url.clone());
    let server = TestServer::with(|config| config.finish_url = finish_url).await;
    let addr = server.addr;
    let protocols = [Protocol::Tus, Protocol::Rufh, Protocol::Form, Protocol::Put];
    each(Way::all(protocols), |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(50_000);
        let length = bytes.len() as u64;
        // A body that was announced longer than it is: cut, by every means, one byte before its end.
        for cut in Cut::all(way.line) {
            let target = client.create(Some(length)).await;
            let mut exchange = client.open(&target, 0, length).await;
            exchange.feed(&bytes[..49_999]).await;
            client.received(&target, 49_999).await;
            exchange.cut(*cut).await;
            is_no_file(&client, &target, "cut").await;
        }
        if (way.line, way.framing) == (Line::Http2, Framing::Length) {
            // The end that HTTP/2 has for a body, before there is as much of it as was announced (RFC 9113, section
            // 8.1.1).
            let target = client.create(Some(length)).await;
            let mut exchange = client.open(&target, 0, length).await;
            exchange.feed(&bytes[..49_999]).await;
            client.received(&target, 49_999).await;
            let answer = exchange.end_as_it_is(None).await;
            assert!(answer.is_none_or(|answer| answer.status / 100 != 2), "{way:?}");
            is_no_file(&client, &target, "ended early").await;
        }
        // The upload was announced longer, and its last request ends cleanly before.
        if RESUMABLE.contains(&way.protocol) {
            let target = client.create(Some(length)).await;
            let answer = client.bring(&target, 0, &bytes[..49_999]).await;
            match way.protocol {
                Protocol::Tus => {
                    assert_eq!((answer.status, &*answer.headers["upload-offset"]), (204, "49999"))
                }
                _ => assert_eq!(answer.error().code, ErrorCode::LengthMismatch, "{way:?}"),
            }
            is_no_file(&client, &target, "short").await;
        }
        if way.protocol == Protocol::Form {
            // HTTP says that the body is whole, the form does not.
            let target = client.create(None).await;
            let head = client.head(&target, 0, true);
            let part =
                b"--faults\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc";
            for body in [&part[..], &[&part[..], b"\r\n--faults"].concat()] {
                let length = (way.framing == Framing::Length).then_some(body.len() as u64);
                let mut exchange = client.begin(head.clone(), length).await;
                exchange.feed(body).await;
                let answer = exchange.end_as_it_is(None).await.unwrap();
                assert_eq!(answer.status / 100, 4, "{way:?}: {answer:?}");
                is_no_file(&client, &target, "without a delimiter").await;
            }
        }
    })
    .await;
    server.settled().await;
    assert!(server.files_in("files").is_empty());
    // Events come in the order of what they tell of: this one after all that there could have been.
    let client = Client::new(addr, Way::plain(Protocol::Put));
    let target = client.create(None).await;
    let url = client.url(&target, &client.bring(&target, 0, b"whole").await);
    wait_for(|| (!listener.files().is_empty()).then_some(())).await;
    assert_eq!(listener.files(), [url].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bytes_but_not_the_end_of_the_body_is_not_whole_by_its_senders_word() {
    let server = TestServer::start().await;
    let addr = server.addr;
    // Without a length in the request's head the end of the body is a word of its own, and it does not come.
    let chunked = |way: &Way| way.framing == Framing::Chunked;
    let ways = Way::all([Protocol::Rufh, Protocol::Form, Protocol::Put]);
    each(ways.into_iter().filter(chunked), |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(50_000);
        for (cut, length) in Cut::all(way.line).iter().flat_map(|cut| [(*cut, None), (*cut, Some(50_000))]) {
            let target = client.create(length).await;
            let mut exchange = client.open(&target, 0, 50_000).await;
            exchange.feed(&bytes).await;
            client.received(&target, 50_000).await;
            exchange.cut(cut).await;
            is_no_file(&client, &target, "without an end").await;
            if way.protocol == Protocol::Rufh {
                assert_eq!(client.standing(&target).await, at(50_000), "{way:?}");
                // An empty last request is what is missing.
                let answer = client.bring(&target, 50_000, b"").await;
                assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes, "{way:?}");
            }
        }
    })
    .await;

    // In tus the length is the sender's word. Whoever asks is told that all is there, takes that for the end, and must
    // find the file.
    let ways = Way::all([Protocol::Tus]).into_iter().filter(chunked);
    each(ways, |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(50_000);
        for cut in Cut::all(way.line) {
            let target = client.create(Some(50_000)).await;
            let mut exchange = client.open(&target, 0, 50_000).await;
            exchange.feed(&bytes).await;
            client.received(&target, 50_000).await;
            exchange.cut(*cut).await;
            match client.standing(&target).await {
                Standing::At { offset, complete: false } => {
                    let answer = client.bring(&target, offset, rest(&bytes, offset)).await;
                    client.url(&target, &answer);
                }
                standing => assert_eq!(standing, Standing::At { offset: 50_000, complete: true }),
            }
            assert!(client.fetch(&target.path).await.as_ref() == Some(&bytes), "{way:?} {cut:?}");
        }
    })
    .await;
}
