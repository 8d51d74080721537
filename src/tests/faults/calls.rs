//! Calls that the operating system refuses: to write, to make durable, to rename, to open. Each sinks the upload that it
//! was made for at most, and what was told before still holds. The real program, and where it can be brought to refuse,
//! the real kernel: by limits of the process. Must never know in what order the server calls.

use std::path::Path;

use rustix::process::Resource;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    client::{Client, Head, Protocol, RESUMABLE, Standing, Target, Way},
    kills::files_below,
    program::Program,
    rest,
};
use crate::util::{Answer, Raw, pattern};

use Protocol::{Form, Put, Rufh, Tus};

const SIZE: usize = 300_000;

/// How far an upload had come before.
const HALFWAY: u64 = 100_000;

fn at(offset: u64) -> Standing {
    Standing::At { offset, complete: false }
}

/// An upload by tus that has come this far, to be looked after when another has met with its fault.
struct Bystander {
    target: Target,
    bytes: Vec<u8>,
}

impl Bystander {
    async fn begin(program: &Program) -> Self {
        let bytes = pattern(SIZE + 1);
        let client = Client::new(program.addr, Way::plain(Tus));
        Self { target: begun(client, &bytes).await, bytes }
    }

    async fn ends_well(self, program: &Program, what: &str) {
        let client = Client::new(program.addr, Way::plain(Tus));
        assert_eq!(client.standing(&self.target).await, at(HALFWAY), "{what}: the other one");
        let answer = client.bring(&self.target, HALFWAY, rest(&self.bytes, HALFWAY)).await;
        let stored = client.fetch(&client.url(&self.target, &answer)).await;
        assert!(stored.as_ref() == Some(&self.bytes), "{what}: the other one");
    }
}

/// An upload of these bytes, of which the first are told to be durable.
async fn begun(client: Client, bytes: &[u8]) -> Target {
    let target = client.create(Some(bytes.len() as u64)).await;
    if RESUMABLE.contains(&client.way.protocol) {
        let mut first = client.try_open(&target, 0, HALFWAY, false).await.unwrap();
        first.feed(&bytes[..HALFWAY as usize]).await;
        assert_eq!(first.end().await.unwrap().status / 100, 2);
    }
    target
}

/// How many files lie in this area of the data folder.
fn count(folder: &Path, area: &str) -> usize {
    files_below(&folder.join(area)).len()
}

async fn readiness(program: &Program) -> u16 {
    Client::new(program.addr, Way::plain(Put)).ask(Head::new("GET", "/readyz"), b"").await.status
}

fn offset_of(answer: &Answer) -> Option<u64> {
    answer.headers.get("upload-offset").map(|text| text.parse().unwrap())
}

/// Two uploads halfway by one run of the program, and a run after it in which the first call of this step fails.
async fn after_a_fault(
    folder: &Path,
    protocol: Protocol,
    fault: &str,
    bytes: &[u8],
) -> (Program, Bystander, Client, Target) {
    let program = Program::start(folder);
    let other = Bystander::begin(&program).await;
    let target = begun(Client::new(program.addr, Way::plain(protocol)), bytes).await;
    program.terminate();
    let program = Program::with(folder, fault, &[]);
    let client = Client::new(program.addr, Way::plain(protocol));
    (program, other, client, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_outlives_a_write_and_a_name_that_fail() {
    let bytes = pattern(SIZE);
    for (step, how, status) in
        [("write", "", 500), ("write", "(full)", 507), ("rename", "", 500), ("rename", "(full)", 507)]
    {
        for protocol in [Tus, Rufh, Form, Put] {
            let what = format!("{protocol:?}: {step} {how}");
            let folder = tempfile::tempdir().unwrap();
            let fault = format!("{step}=1*return{how}->off");
            let (program, other, client, target) =
                after_a_fault(folder.path(), protocol, &fault, &bytes).await;
            let from = if RESUMABLE.contains(&protocol) { HALFWAY } else { 0 };
            let failed = client.bring(&target, from, rest(&bytes, from)).await;
            assert_eq!(failed.status, status, "{what}: {failed:?}");
            assert_ne!(failed.headers.get("upload-complete").map(String::as_str), Some("?1"), "{what}");
            let url = if RESUMABLE.contains(&protocol) {
                // At the name all bytes are durable, and whoever asks next brings it about.
                let told = if step == "write" { HALFWAY } else { SIZE as u64 };
                assert_eq!(offset_of(&failed), Some(told), "{what}: {failed:?}");
                if step == "write" {
                    assert_eq!(client.standing(&target).await, at(told), "{what}");
                    let answer = client.bring(&target, told, rest(&bytes, told)).await;
                    client.url(&target, &answer)
                } else {
                    let whole = Standing::At { offset: told, complete: true };
                    assert_eq!(client.standing(&target).await, whole, "{what}");
                    target.path.clone()
                }
            } else {
                // The other's, and nothing else.
                assert_eq!(
                    (count(folder.path(), "staging"), count(folder.path(), "files")),
                    (1, 0),
                    "{what}"
                );
                let target = client.create(None).await;
                client.url(&target, &client.bring(&target, 0, &bytes).await)
            };
            assert!(client.fetch(&url).await.as_ref() == Some(&bytes), "{what}");
            assert_eq!(readiness(&program).await, 200, "{what}: nothing was lost");
            other.ends_well(&program, &what).await;
            program.terminate();
            assert_eq!((count(folder.path(), "staging"), count(folder.path(), "files")), (0, 2), "{what}");
        }
    }
}

/// The 1st, the 2nd, the 3rd … thing cannot be made durable, until there are no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_durable_is_never_a_file_and_marks_the_volume() {
    let bytes = pattern(SIZE);
    for protocol in [Tus, Rufh, Form, Put] {
        let mut failures = 0;
        loop {
            let what = format!("{protocol:?}, after {failures}");
            let folder = tempfile::tempdir().unwrap();
            let before = if failures == 0 { String::new() } else { format!("{failures}*off->") };
            let fault = format!("sync={before}1*return->off");
            let (program, other, client, target) =
                after_a_fault(folder.path(), protocol, &fault, &bytes).await;
            let is_resumable = RESUMABLE.contains(&protocol);
            let from = if is_resumable { HALFWAY } else { 0 };
            let answer = client.bring(&target, from, rest(&bytes, from)).await;
            if answer.status / 100 == 2 {
                assert!(client.fetch(&client.url(&target, &answer)).await.as_ref() == Some(&bytes), "{what}");
                break;
            }
            failures += 1;
            assert_eq!((answer.status, offset_of(&answer)), (500, None), "{what}: {answer:?}");
            assert_eq!(readiness(&program).await, 503, "{what}");
            if is_resumable {
                assert_eq!(client.standing(&target).await, Standing::Nowhere(410), "{what}");
                assert_eq!(client.fetch(&target.path).await, None, "{what}");
            }
            let frame = client.frame(&target, |frame| frame.state.is_terminal()).await;
            assert!(frame.receipts.is_empty(), "{what}: {frame:?}");
            other.ends_well(&program, &what).await;
            program.terminate();
            assert_eq!((count(folder.path(), "staging"), count(folder.path(), "files")), (0, 1), "{what}");

            // It has failed for good; whether the volume can be trusted again a person has decided.
            let program = Program::start(folder.path());
            assert_eq!(readiness(&program).await, 200, "{what}");
            if is_resumable {
                let client = Client::new(program.addr, client.way);
                assert_eq!(client.standing(&target).await, Standing::Nowhere(410), "{what}");
            }
            program.terminate();
        }
        // Its bytes, the folders that lead to it, its name.
        assert_eq!(failures, 4, "{protocol:?}");
    }
}

/// A connection that the server has taken already.
async fn taken(program: &Program) -> Raw {
    let mut raw = Raw::over(TcpStream::connect(program.addr).await.unwrap());
    raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    raw
}

/// A whole request on it.
async fn ask(raw: &mut Raw, head: Head, body: &[u8]) -> Answer {
    let mut text =
        format!("{} {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", head.method, head.path, body.len());
    head.fields.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    raw.bodiless = head.method == "HEAD";
    raw.send([text.as_bytes(), b"\r\n", body].concat()).await;
    raw.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_handles_it_refuses_keeps_what_it_told_and_goes_on_when_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = pattern(20_000);
    let program = Program::start(folder.path());
    let client = |protocol| Client::new(program.addr, Way::plain(protocol));
    let mut begun = Vec::new();
    for protocol in [Tus, Rufh, Form, Put] {
        let target = client(protocol).create(Some(bytes.len() as u64)).await;
        if RESUMABLE.contains(&protocol) {
            let mut first = client(protocol).try_open(&target, 0, 10_000, false).await.unwrap();
            first.feed(&bytes[..10_000]).await;
            assert_eq!(first.end().await.unwrap().status / 100, 2);
        }
        begun.push((protocol, target, taken(&program).await));
    }
    // These have their file open already, and lack it only at the end.
    let mut running = Vec::new();
    for protocol in RESUMABLE {
        let target = client(protocol).create(Some(bytes.len() as u64)).await;
        let mut exchange = client(protocol).open(&target, 0, bytes.len() as u64).await;
        exchange.feed(&bytes[..10_000]).await;
        client(protocol).received(&target, 10_000).await;
        running.push((client(protocol), target, exchange));
    }
    let stored = client(Put).bring(&client(Put).create(None).await, 0, b"stored").await.receipts().remove(0);
    let mut reading = taken(&program).await;

    program.limit(Resource::Nofile, Some(0));
    assert_eq!(ask(&mut reading, Head::new("GET", "/healthz"), b"").await.status, 200, "it lives");
    assert_eq!(ask(&mut reading, Head::new("GET", &stored.url), b"").await.status, 500);
    // More clients than it can take wait; they are not turned away.
    let mut waiting = TcpStream::connect(program.addr).await.unwrap();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    for (protocol, target, raw) in &mut begun {
        let from = if RESUMABLE.contains(protocol) { 10_000 } else { 0 };
        let head = client(*protocol).head(target, from, true);
        let body = client(*protocol).body(rest(&bytes, from));
        let refused = ask(raw, head, &body).await;
        assert_eq!(refused.status, 500, "{protocol:?}: {refused:?}");
        assert_eq!(offset_of(&refused).unwrap_or(0), from, "{protocol:?}: {refused:?}");
    }
    let mut ended = Vec::new();
    for (client, target, mut exchange) in running {
        exchange.feed(&bytes[10_000..]).await;
        let answer = exchange.end().await.unwrap();
        assert_eq!(answer.status, 500, "{:?}: {answer:?}", client.way);
        assert_eq!(offset_of(&answer), Some(bytes.len() as u64), "{:?}: {answer:?}", client.way);
        ended.push((client, target));
    }

    program.limit(Resource::Nofile, None);
    assert_eq!(Raw::over(waiting).answer().await.status, 200);
    for (client, target) in ended {
        let whole = Standing::At { offset: bytes.len() as u64, complete: true };
        assert_eq!(client.standing(&target).await, whole, "{:?}", client.way);
        assert!(client.fetch(&target.path).await.as_ref() == Some(&bytes), "{:?}", client.way);
    }
    for (protocol, target, _) in begun {
        let client = client(protocol);
        let (target, from) = if RESUMABLE.contains(&protocol) {
            assert_eq!(client.standing(&target).await, at(10_000), "{protocol:?}");
            (target, 10_000)
        } else {
            (client.create(None).await, 0)
        };
        let answer = client.bring(&target, from, rest(&bytes, from)).await;
        assert!(client.fetch(&client.url(&target, &answer)).await.as_ref() == Some(&bytes), "{protocol:?}");
    }
    assert_eq!(readiness(&program).await, 200);
    program.terminate();
    assert_eq!((count(folder.path(), "staging"), count(folder.path(), "files")), (0, 7));
}
