//! A thousand uploads that stall or drip, by every protocol and both lines, and pages that look on: what each takes of
//! the program's memory is bounded, and nobody else is held up. Must never know where the memory goes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use plimsoll::server::listen::raise_file_limit;
use tokio::{net::TcpStream, time::MissedTickBehavior};

use super::{
    client::{Client, Exchange, Framing, Line, Protocol, Standing, Target, Way},
    program::Program,
};
use crate::util::{Raw, pattern};

use Protocol::{Form, Put, Rufh, Tus};

/// Uploads of each protocol.
const EACH: usize = 250;

/// One in so many comes by HTTP/2, on a connection of its own, which is the most that it can take.
const BY_HTTP2: usize = 5;

/// Bytes of each that have come when it stalls: as many as HTTP/1.1 reads ahead at most, and half as many again.
const BURST: usize = 96 * 1024;

const SIZE: u64 = 1 << 20;

/// Bytes that each may take, connection and all. A read buffer of the largest size alone is 128 KiB; by HTTP/2 there is
/// a window besides, which holds nothing as long as the disk keeps up. It is about half in a build without optimisation;
/// `make bench` has the figure that counts.
const MEMORY: u64 = 128 * 1024;

/// The most memory that a process has ever held, in bytes.
fn most_memory(pid: u32) -> u64 {
    let status = PathBuf::from(format!("/proc/{pid}/status"));
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

struct Stalled {
    client: Client,
    target: Target,
    exchange: Exchange,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_stall_or_drip_take_little_and_hold_up_nobody() {
    raise_file_limit().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let patient = ["--max-unfinished", "none", "--min-rate", "none", "--idle-timeout", "1h"];
    let program = Program::with(folder.path(), "", &patient);
    let addr = program.addr;
    let before = most_memory(program.pid());

    let burst = pattern(BURST);
    let mut stalled = Vec::new();
    for number in 0..EACH {
        for protocol in [Tus, Rufh, Form, Put] {
            let line = if number % BY_HTTP2 == 0 { Line::Http2 } else { Line::Http1 };
            let client = Client::new(addr, Way { protocol, line, framing: Framing::Length });
            let target = client.create(Some(SIZE)).await;
            let mut exchange = client.open(&target, 0, SIZE).await;
            exchange.feed(&burst).await;
            stalled.push(Stalled { client, target, exchange });
        }
    }
    let mut asking = Raw::over(TcpStream::connect(addr).await.unwrap());
    for one in &stalled {
        asking.frame(&one.target.id, |frame| frame.received == BURST as u64).await;
    }

    // Some seconds of what goes on for minutes: every second one drips, and a hundred pages ask ten times a second.
    let ids: Vec<_> = stalled.iter().map(|one| one.target.id.clone()).collect();
    let pollers: Vec<_> = ids
        .chunks(ids.len() / 100)
        .map(|watched| {
            let watched = watched.to_vec();
            tokio::spawn(async move {
                let mut asking = Raw::over(TcpStream::connect(addr).await.unwrap());
                let mut tick = tokio::time::interval(Duration::from_millis(100));
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for round in 0..20 {
                    tick.tick().await;
                    asking
                        .frame(&watched[round % watched.len()], |frame| frame.received >= BURST as u64)
                        .await;
                }
            })
        })
        .collect();
    let drips = tokio::spawn(async move {
        for drop in 0..10 {
            for one in stalled.iter_mut().step_by(2) {
                one.exchange.feed(&[drop]).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stalled
    });
    let good = pattern(5_000_000);
    let mut starts = Vec::new();
    for protocol in [Tus, Rufh, Form, Put] {
        for line in [Line::Http1, Line::Http2] {
            let client = Client::new(addr, Way { line, ..Way::plain(protocol) });
            let asked = Instant::now();
            let target = client.create(Some(good.len() as u64)).await;
            let mut exchange = client.open(&target, 0, good.len() as u64).await;
            let (first, rest) = good.split_at(1000);
            exchange.feed(first).await;
            client.received(&target, first.len() as u64).await;
            starts.push(asked.elapsed());
            exchange.feed(rest).await;
            let answer = exchange.end().await.unwrap();
            assert!(
                client.fetch(&client.url(&target, &answer)).await.as_ref() == Some(&good),
                "{protocol:?}"
            );
        }
    }
    starts.sort();
    println!("a good one starts after {starts:?}");
    // The bound of each leaves room for a machine that does something else at this moment.
    assert!(starts[starts.len() / 2] < Duration::from_secs(1), "within a second: {starts:?}");
    assert!(starts[starts.len() - 1] < Duration::from_secs(5), "{starts:?}");
    for poller in pollers {
        poller.await.unwrap();
    }
    let stalled = drips.await.unwrap();
    let grown = most_memory(program.pid()).saturating_sub(before);
    let of_each = grown / stalled.len() as u64;
    println!("{} KiB for each", of_each / 1024);
    assert!(of_each < MEMORY, "{} KiB for each", of_each / 1024);

    // Not one of them was given up meanwhile: what it has is there, whoever asks.
    for (number, one) in stalled.into_iter().enumerate().step_by(EACH / 5 + 1) {
        let came = BURST as u64 + if number % 2 == 0 { 10 } else { 0 };
        if matches!(one.client.way.protocol, Tus | Rufh) {
            let at = Standing::At { offset: came, complete: false };
            assert_eq!(one.client.standing(&one.target).await, at, "{:?}", one.client.way);
        } else {
            one.client.received(&one.target, came).await;
        }
        drop(one.exchange);
    }
}
