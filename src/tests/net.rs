//! The network side: every way in to one port, and clients that come slowly, stay too long, take nothing or leave in
//! the middle. Must never know how bytes are stored.

use std::{path::Path, process::Command, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use plimsoll::{
    server::{
        config::{Config, TlsFiles},
        listen::{Listener, raise_file_limit},
    },
    wire::{ErrorBody, ErrorCode, ProgressFrame, ProgressState, Receipt, UploadAnswer},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Version};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    crash::Program,
    util::{PATIENCE, Raw, TestServer, form, form_head, pattern},
};

/// A way to speak to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Http1,
    /// HTTP/2 by prior knowledge, as a proxy in front speaks it.
    Http2,
    Tls1,
    Tls2,
}

use Way::{Http1, Http2, Tls1, Tls2};

const WAYS: [Way; 4] = [Http1, Http2, Tls1, Tls2];

impl Way {
    fn is_tls(self) -> bool {
        matches!(self, Tls1 | Tls2)
    }

    fn version(self) -> Version {
        if matches!(self, Http1 | Tls1) { Version::HTTP_11 } else { Version::HTTP_2 }
    }
}

/// A server of this way, and a client that speaks it and nothing else.
struct Line {
    server: TestServer,
    client: Client,
    base: String,
    pem: Pem,
}

impl Line {
    async fn open(way: Way) -> Self {
        Self::with(way, |_| {}).await
    }

    async fn with(way: Way, change: impl FnOnce(&mut Config)) -> Self {
        let pem = Pem::new();
        let tls = way.is_tls().then(|| pem.files());
        let server = TestServer::with(|config| {
            config.tls = tls;
            change(config);
        })
        .await;
        let client = pem.client(way);
        let scheme = if way.is_tls() { "https" } else { "http" };
        Self { base: format!("{scheme}://localhost:{}", server.addr.port()), server, client, pem }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Waits for a frame of this upload that fits.
    async fn frame(&self, id: &str, fits: impl Fn(&ProgressFrame) -> bool) -> ProgressFrame {
        let path = format!("/progress/{id}");
        let look = async {
            loop {
                let frame: ProgressFrame = self.get(&path).await.json().await.unwrap();
                if fits(&frame) {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, look).await.expect("such a frame in time")
    }

    /// Begins a PUT whose body is what is fed to it.
    fn put(&self, name: &str) -> (mpsc::UnboundedSender<Bytes>, JoinHandle<reqwest::Result<Response>>) {
        let (feed, fed) = mpsc::unbounded_channel();
        let body = stream::unfold(fed, |mut fed: mpsc::UnboundedReceiver<Bytes>| async {
            fed.recv().await.map(|bytes| (Ok::<_, std::io::Error>(bytes), fed))
        });
        let request = self
            .request(Method::PUT, &format!("/files/{name}"))
            .header("X-Progress-ID", name)
            .body(reqwest::Body::wrap_stream(body));
        (feed, tokio::spawn(request.send()))
    }
}

/// A certificate for `localhost` that signs itself, in files.
struct Pem {
    folder: TempDir,
    client: Certificate,
}

impl Pem {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = Self::write(folder.path());
        Self { folder, client }
    }

    fn write(folder: &Path) -> Certificate {
        let CertifiedKey { cert, key_pair } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key_pair.serialize_pem()).unwrap();
        Certificate::from_pem(cert.pem().as_bytes()).unwrap()
    }

    fn renew(&mut self) {
        self.client = Self::write(self.folder.path());
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { cert: self.folder.path().join("cert.pem"), key: self.folder.path().join("key.pem") }
    }

    fn client(&self, way: Way) -> Client {
        let builder = Client::builder()
            .no_proxy()
            .resolve("localhost", "127.0.0.1:0".parse().unwrap())
            .add_root_certificate(self.client.clone());
        let builder = match way {
            Http1 | Tls1 => builder.http1_only(),
            Http2 => builder.http2_prior_knowledge(),
            // Chosen in the handshake.
            Tls2 => builder,
        };
        builder.build().unwrap()
    }
}

async fn receipt(answer: Response) -> Receipt {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    let UploadAnswer { files, .. } = serde_json::from_str(&text).unwrap();
    files.into_iter().next().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_whole_by_every_way_and_is_watched_meanwhile() {
    let bytes = pattern(5_000_000);
    for way in WAYS {
        let line = Line::open(way).await;
        let (feed, put) = line.put("watched-1");
        feed.send(Bytes::copy_from_slice(&bytes[..3_000_000])).unwrap();
        let halfway = line.frame("watched-1", |frame| frame.received == 3_000_000).await;
        assert_eq!(halfway.state, ProgressState::Receiving, "{way:?}");
        feed.send(Bytes::copy_from_slice(&bytes[3_000_000..])).unwrap();
        drop(feed);
        let answer = put.await.unwrap().unwrap();
        assert_eq!((answer.version(), answer.status()), (way.version(), StatusCode::CREATED), "{way:?}");
        let put = receipt(answer).await;
        let done = line.frame("watched-1", |frame| frame.state == ProgressState::Done).await;
        assert_eq!(done.receipts, std::slice::from_ref(&put), "{way:?}");

        let post = line
            .request(Method::POST, "/upload?digest=sha-256")
            .header("Content-Type", "multipart/form-data; boundary=XX")
            .body(form("XX", &[("file", "whole.bin", &bytes)]));
        let post = receipt(post.send().await.unwrap()).await;
        assert_eq!(post.sha256.unwrap().to_string(), sha256(&bytes), "{way:?}");
        for url in [put.url, post.url] {
            let back = line.get(&url).await;
            assert_eq!(back.version(), way.version());
            assert_eq!(back.bytes().await.unwrap(), bytes, "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_leaves_nothing_behind_by_any_way() {
    let bytes = Bytes::from(pattern(2_000_000));
    for way in WAYS {
        let line = Line::open(way).await;
        let (feed, put) = line.put("cut-short");
        feed.send(bytes.clone()).unwrap();
        line.frame("cut-short", |frame| frame.received == 2_000_000).await;
        // HTTP/1.1 closes the connection, HTTP/2 resets the stream and goes on with the others.
        put.abort();
        let failed = line.frame("cut-short", |frame| frame.state.is_terminal()).await;
        assert_eq!(failed.error.unwrap().code, ErrorCode::Interrupted, "{way:?}");
        line.server.settled().await;
        assert!(line.server.stored_files().is_empty(), "{way:?}");
        drop(feed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_torn_by_fin_or_by_reset_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let bytes = pattern(2_000_000);
    let body = form("XX", &[("file", "torn", &bytes)]);
    let heads = [form_head("XX", ""), "PUT /files/torn HTTP/1.1".to_owned()];
    for (head, body) in heads.iter().zip([&body, &bytes]) {
        for reset in [false, true] {
            let id = format!("torn-{}-{reset}", &head[..3]);
            let mut raw = server.connect().await;
            let length = body.len();
            raw.send(format!("{head}\r\nHost: x\r\nX-Progress-ID: {id}\r\nContent-Length: {length}\r\n\r\n"))
                .await;
            raw.send(&body[..1_500_000]).await;
            server.frame(&id, |frame| frame.body_received == 1_500_000).await;
            if reset {
                raw.stream.set_zero_linger().unwrap();
                drop(raw);
            } else {
                // Says that it sends no more, and goes on listening.
                raw.stream.shutdown().await.unwrap();
                ended(&mut raw.stream).await;
            }
            let failed = server.frame(&id, |frame| frame.state.is_terminal()).await;
            assert_eq!(failed.error.unwrap().code, ErrorCode::Interrupted, "{id}");
            server.settled().await;
            assert!(server.stored_files().is_empty(), "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_seen_by_a_client_that_still_sends() {
    for way in WAYS {
        let line = Line::with(way, |config| config.limits.max_file_size = Some(1_000_000)).await;
        for announced in [true, false] {
            let (path, body) = if announced {
                ("/files/large", reqwest::Body::from(pattern(20_000_000)))
            } else {
                let pieces = (0..200).map(|_| Ok::<_, std::io::Error>(Bytes::from(pattern(100_000))));
                ("/files/larger", reqwest::Body::wrap_stream(stream::iter(pieces)))
            };
            let answer = line.request(Method::PUT, path).body(body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE, "{way:?}");
            let error: ErrorBody = answer.json().await.unwrap();
            assert_eq!(error.code, ErrorCode::TooLarge, "{way:?}");
        }
        line.server.settled().await;
        assert!(line.server.stored_files().is_empty(), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_uploads_end_by_any_way_and_takes_no_new_ones() {
    for way in WAYS {
        let mut line = Line::open(way).await;
        let (feed, put) = line.put("in-flight");
        feed.send(Bytes::from(pattern(1_000_000))).unwrap();
        line.frame("in-flight", |frame| frame.received == 1_000_000).await;
        line.server.begin_stop();
        let addr = line.server.addr;
        let refused = async { while TcpStream::connect(addr).await.is_ok() {} };
        timeout(PATIENCE, refused).await.expect("the port closes");
        feed.send(Bytes::from_static(b"and the rest")).unwrap();
        drop(feed);
        assert_eq!(receipt(put.await.unwrap().unwrap()).await.size, 1_000_012, "{way:?}");
        line.server.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_cookie_is_secure_where_the_connection_is() {
    for way in WAYS {
        let line = Line::open(way).await;
        let answer = line.request(Method::PUT, "/files/a").body("x").send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie.contains("; Secure"), way.is_tls(), "{way:?}: {cookie}");
        // A page of the same origin may change something, one of another may not.
        for (origin, allowed) in [(line.base.as_str(), true), ("https://elsewhere.example", false)] {
            let put = line.request(Method::PUT, "/files/b").header("Origin", origin).body("x");
            assert_eq!(put.send().await.unwrap().status().is_success(), allowed, "{way:?} from {origin}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_in_words() {
    let (pem, other) = (Pem::new(), Pem::new());
    let TlsFiles { cert, key } = pem.files();
    let (empty, nothing) = (pem.folder.path().join("empty"), pem.folder.path().join("nothing"));
    let damaged = pem.folder.path().join("damaged");
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&damaged, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let server = TestServer::start().await;
    let check = |cert: &Path, key: &Path, words: &[&str]| {
        let tls = Some(TlsFiles { cert: cert.to_owned(), key: key.to_owned() });
        let Err(error) = Listener::open(&Config { tls, ..server.server.config().clone() }) else {
            panic!("{} with {} was taken", cert.display(), key.display());
        };
        let text = format!("{error:#}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    check(&nothing, &key, &["--tls-cert", "nothing", "cannot be read"]);
    check(&empty, &key, &["--tls-cert", "empty", "is empty"]);
    check(&key, &key, &["--tls-cert", "holds no certificate"]);
    check(&damaged, &key, &["--tls-cert", "is damaged"]);
    check(&cert, &nothing, &["--tls-key", "cannot be read"]);
    check(&cert, &cert, &["--tls-key", "holds no private key"]);
    check(&cert, &other.files().key, &["cannot be used together"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_up_at_sighup_and_a_bad_one_is_not() {
    let mut line = Line::open(Tls2).await;
    assert!(line.get("/healthz").await.status().is_success());
    let hang_up = || {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    std::fs::write(line.pem.files().key, "no key at all").unwrap();
    hang_up();
    let old = line.pem.client(Tls2);
    assert!(old.get(format!("{}/healthz", line.base)).send().await.is_ok(), "the old one still serves");

    line.pem.renew();
    hang_up();
    let url = format!("{}/healthz", line.base);
    let renewed = async {
        // Each on a connection of its own, and none that trusts the old one.
        while line.pem.client(Tls2).get(&url).send().await.is_err() {}
    };
    timeout(PATIENCE, renewed).await.expect("the new certificate is served");
}

/// The connection ends: by a clean end or a reset, but it ends. Whatever comes before is read.
async fn ended(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut read = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    let _ = end.expect("the server ends the connection");
    read
}

/// A client that sends one byte after the other until the server has had enough.
async fn drip(stream: TcpStream, bytes: &'static [u8]) {
    let (mut read, mut write) = stream.into_split();
    let drops = tokio::spawn(async move {
        for byte in bytes.iter().cycle() {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    ended(&mut read).await;
    drops.abort();
}

/// A settings frame without settings: with it a connection of HTTP/2 has begun.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_are_cut_while_others_are_served() {
    for way in [Http1, Tls2] {
        let line = Line::with(way, |config| config.header_timeout = Duration::from_millis(400)).await;
        let slow: &[&[u8]] = match way {
            Http1 => &[b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"P", b"PRI * HTTP/2.0\r\n", b""],
            // Bytes that begin a handshake: a record of 16 KiB.
            _ => &[&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc], b""],
        };
        let mut slow_ones = Vec::new();
        for begun in slow.iter().cycle().take(40) {
            let mut stream = TcpStream::connect(line.server.addr).await.unwrap();
            stream.write_all(begun).await.unwrap();
            slow_ones.push(tokio::spawn(drip(stream, if begun.is_empty() { b"" } else { b"a" })));
        }
        let good = line.request(Method::PUT, "/files/good").body(pattern(3_000_000));
        assert_eq!(receipt(good.send().await.unwrap()).await.size, 3_000_000);
        for one in slow_ones {
            one.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_is_told_to_go() {
    let line = Line::with(Http2, |config| config.header_timeout = Duration::from_millis(300)).await;
    let goaway = 7;
    // HTTP/2: before the first request; and one that begins a head it does not end (HEADERS without END_HEADERS).
    let half_a_head = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    for more in [&[][..], &half_a_head] {
        let mut stream = TcpStream::connect(line.server.addr).await.unwrap();
        stream.write_all(&[PREFACE, &SETTINGS, more].concat()).await.unwrap();
        let read = ended(&mut stream).await;
        assert!(frame_types(&read).contains(&goaway), "{read:?}");
    }
    // HTTP/1.1, between two requests.
    let mut raw = line.server.connect().await;
    raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    assert!(ended(&mut raw.stream).await.is_empty());
}

fn frame_types(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((&[a, b, c, kind, ..], _)) = bytes.split_first_chunk::<9>() {
        types.push(kind);
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        bytes = bytes.get(9 + length..).unwrap_or(&[]);
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    for way in WAYS {
        // The one place that there is becomes free only when the server ends the connection that holds it.
        let line = Line::with(way, |config| {
            config.max_connections = Some(1);
            // In case the client opens another for its second request.
            config.header_timeout = Duration::from_secs(1);
            config.limits.idle_timeout = Duration::from_secs(1);
        })
        .await;
        // More than the system and HTTP/2 keep for a client that does not read.
        let put = line.request(Method::PUT, "/files/large").body(vec![7; 48 << 20]).send().await.unwrap();
        let url = receipt(put).await.url;
        let unread = line.get(&url).await;
        let second = line.pem.client(way);
        let healthy = timeout(PATIENCE, second.get(format!("{}/healthz", line.base)).send()).await;
        assert!(healthy.expect("a place becomes free").unwrap().status().is_success(), "{way:?}");
        assert!(unread.bytes().await.is_err(), "{way:?}: the answer was cut");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_connections_wait_for_a_place() {
    let server = TestServer::with(|config| config.max_connections = Some(2)).await;
    let ask = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut raw = server.connect().await;
        raw.send(ask).await;
        assert_eq!(raw.answer().await.status, 200);
        open.push(raw);
    }
    let mut third = server.connect().await;
    third.send(ask).await;
    let waiting = tokio::spawn(async move { third.answer().await.status });
    for raw in &mut open {
        raw.send(ask).await;
        assert_eq!(raw.answer().await.status, 200);
    }
    assert!(!waiting.is_finished(), "there is no place for it");
    open.pop();
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_outlast_the_times_for_heads_and_bodies() {
    // Rest and stall are about clients: an answer that has nothing to say yet is neither.
    for way in [Http1, Http2] {
        let line = Line::with(way, |config| {
            config.header_timeout = Duration::from_millis(200);
            config.limits.idle_timeout = Duration::from_secs(3);
        })
        .await;
        let (feed, put) = line.put("patient-1");
        feed.send(Bytes::from_static(b"first")).unwrap();
        line.frame("patient-1", |frame| frame.received == 5).await;
        let mut events = line.get("/progress/patient-1/events").await;
        assert!(events.chunk().await.unwrap().is_some());
        // Far longer than a head may take.
        tokio::time::sleep(Duration::from_millis(900)).await;
        feed.send(Bytes::from_static(b" and last")).unwrap();
        drop(feed);
        assert_eq!(receipt(put.await.unwrap().unwrap()).await.size, 14, "{way:?}");
        let mut rest = String::new();
        while let Some(chunk) = timeout(PATIENCE, events.chunk()).await.unwrap().unwrap() {
            rest.push_str(&String::from_utf8_lossy(&chunk));
        }
        assert!(rest.contains("\"done\""), "{way:?}: {rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_early_keeps_its_place_between_pipelined_answers() {
    let server = TestServer::with(|config| config.interim_responses = true).await;
    let large = pattern(3_000_000);
    let stored = server.send("PUT /files/large HTTP/1.1", &large).await.receipts().remove(0).url;
    // All at once, so that answers are produced back to back: large ones that fill the line, uploads, small ones.
    let mut requests = Vec::new();
    for _ in 0..20 {
        requests.extend_from_slice(format!("GET {stored} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        requests.extend_from_slice(
            b"POST /files HTTP/1.1\r\nHost: x\r\nUpload-Complete: ?1\r\nUpload-Draft-Interop-Version: 8\r\n\
              Content-Length: 5\r\n\r\nhello",
        );
        requests.extend_from_slice(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let mut raw = server.connect().await;
    raw.send(&requests).await;
    let mut told = 0;
    for _ in 0..20 {
        let download = raw.answer().await;
        assert!(download.status == 200 && download.body == large, "{}", download.status);
        let mut answer = raw.answer().await;
        // It is not owed: an answer that is quicker goes alone.
        let mut addresses = Vec::new();
        while answer.status == 104 {
            told += 1;
            // On a slow disk it is told as well how much is durable, without an address.
            addresses.extend(answer.headers.get("location").cloned());
            answer = raw.answer().await;
        }
        assert!(addresses.iter().all(|address| *address == answer.headers["location"]), "{addresses:?}");
        assert_eq!((answer.status, answer.receipts()[0].size), (201, 5));
        assert_eq!(raw.answer().await.status, 200);
    }
    assert!(told > 0);
}

/// What a process holds in memory now, in bytes.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_uploads_that_stall_or_drip_take_little_and_hold_up_nobody() {
    raise_file_limit().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let connect = || Raw::connect(program.addr);
    let before = memory(program.pid());

    let (burst, whole) = (pattern(64 * 1024), 1 << 20);
    let mut uploads = Vec::new();
    for number in 0..1000 {
        let mut raw = connect().await;
        let head = form_head("XX", &format!("\r\nHost: x\r\nX-Progress-ID: stalled-{number:04}"));
        raw.send(format!("{head}\r\nContent-Length: {whole}\r\n\r\n")).await;
        raw.send(&form("XX", &[("file", "stalled", &burst)])[..burst.len()]).await;
        uploads.push(raw);
    }
    let mut asking = connect().await;
    for number in 0..1000 {
        let arrived = |frame: &ProgressFrame| frame.body_received == burst.len() as u64;
        asking.frame(&format!("stalled-{number:04}"), arrived).await;
    }

    // A second's worth of what goes on for minutes: every second upload drips, and a hundred pages look on.
    let pollers = (0..100).map(|number| {
        let asking = connect();
        tokio::spawn(async move {
            let mut asking = asking.await;
            for round in 0..10 {
                asking.frame(&format!("stalled-{:04}", number * 10 + round), |_| true).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    });
    let pollers: Vec<_> = pollers.collect();
    let drips = tokio::spawn(async move {
        for _ in 0..10 {
            for raw in uploads.iter_mut().step_by(2) {
                raw.send("a").await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        uploads
    });
    let good = pattern(5_000_000);
    let mut raw = connect().await;
    raw.send(format!("PUT /files/good HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", good.len())).await;
    raw.send(&good).await;
    assert_eq!(raw.answer().await.receipts()[0].size, 5_000_000);
    for poller in pollers {
        poller.await.unwrap();
    }
    let uploads = drips.await.unwrap();
    assert_eq!(uploads.len(), 1000);
    // 128 KiB for each would be one read buffer of the largest size and nothing else. It is about half in a build
    // without optimisation; `make bench` has the figure that counts.
    let grown = memory(program.pid()).saturating_sub(before);
    assert!(grown < 1000 * 128 * 1024, "{} KiB for each upload", grown / 1000 / 1024);
}
