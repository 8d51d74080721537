//! The network side: every way in to one port, and clients that come slowly, stay too long, take nothing or leave in
//! the middle. Must never know how bytes are stored.

use std::{path::Path, process::Command, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use plimsoll::{
    server::{
        config::{Config, TlsFiles},
        listen::Listener,
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

use crate::util::{PATIENCE, TestServer, form, form_head, pattern};

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
        let (feed, body) = fed();
        let request =
            self.request(Method::PUT, &format!("/files/{name}")).header("X-Progress-ID", name).body(body);
        (feed, tokio::spawn(request.send()))
    }
}

/// A body that is what is fed to it.
fn fed() -> (mpsc::UnboundedSender<Bytes>, reqwest::Body) {
    let (feed, fed) = mpsc::unbounded_channel();
    let body = stream::unfold(fed, |mut fed: mpsc::UnboundedReceiver<Bytes>| async {
        fed.recv().await.map(|bytes| (Ok::<_, std::io::Error>(bytes), fed))
    });
    (feed, reqwest::Body::wrap_stream(body))
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

/// What a connection of HTTP/2 lets its client send before any of it was taken, in bytes.
#[derive(Debug)]
struct Announced {
    /// On one stream (SETTINGS_INITIAL_WINDOW_SIZE).
    stream: u64,
    /// On all together: 65 535, and what WINDOW_UPDATE adds.
    connection: u64,
    /// Streams at one time (SETTINGS_MAX_CONCURRENT_STREAMS).
    streams: u64,
}

/// Begins a connection and reads what the server says first.
async fn announced(server: &TestServer) -> (TcpStream, Announced) {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&[PREFACE, &SETTINGS].concat()).await.unwrap();
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
    let mut announced = Announced { stream: 65_535, connection: 65_535, streams: u64::MAX };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    // What comes after the answer to our settings comes before the answer to what we say then.
    loop {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("a frame in time").unwrap();
        let mut payload = vec![0; number(&head[..3]) as usize];
        timeout(PATIENCE, stream.read_exact(&mut payload)).await.expect("a frame in time").unwrap();
        match (head[3], head[4]) {
            (4, 1) => stream.write_all(&ping).await.unwrap(),
            (6, 1) => return (stream, announced),
            (4, _) => {
                for setting in payload.chunks(6) {
                    match number(&setting[..2]) {
                        3 => announced.streams = number(&setting[2..]),
                        4 => announced.stream = number(&setting[2..]),
                        _ => {}
                    }
                }
            }
            (8, _) if head[5..] == [0; 4] => announced.connection += number(&payload),
            _ => {}
        }
    }
}

/// One upload can fill a fast line, and all the windows together stay within bounds.
#[tokio::test(flavor = "multi_thread")]
async fn windows_are_wide_for_few_connections_and_bounded_for_many() {
    const MIB: u64 = 1 << 20;
    let server = TestServer::start().await;
    // Twice 75 MiB a second over 50 ms there and back.
    let of_one = 150 * MIB / 20;
    let (alone, window) = announced(&server).await;
    assert!(window.stream >= of_one && window.connection >= of_one, "{window:?}");
    assert!(window.streams <= 100, "{window:?}");

    let mut open = vec![alone];
    let (mut all, mut last) = (window.connection, window.connection);
    for number in 2..=100 {
        let (stream, window) = announced(&server).await;
        assert!(window.connection <= last, "{number}: {window:?} after {last}");
        assert!(window.stream >= 65_535 && window.stream <= window.connection, "{number}: {window:?}");
        (all, last) = (all + window.connection, window.connection);
        assert!(all <= 64 * MIB + number * 65_536, "{number} connections may be sent {all} bytes");
        open.push(stream);
    }
    assert!(last < 128 * 1024, "the last of a hundred: {last}");
    // The smallest window is no bound on what goes through it.
    let line = Line {
        client: Pem::new().client(Http2),
        base: format!("http://{}", server.addr),
        pem: Pem::new(),
        server,
    };
    let bytes = pattern(5_000_000);
    let put =
        receipt(line.request(Method::PUT, "/files/narrow").body(bytes.clone()).send().await.unwrap()).await;
    assert!(line.get(&put.url).await.bytes().await.unwrap() == bytes);
    // Those who leave give theirs back.
    drop(open);
    let wide = async { while announced(&line.server).await.1.connection < of_one {} };
    timeout(PATIENCE, wide).await.expect("the windows come back");
}

/// Whatever is under it, an upload in pieces goes on where it was cut, and a silent request gives way to the next. Where
/// interim responses can be sent they may be, and where not nobody misses them.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_pieces_goes_on_by_any_way() {
    let bytes = pattern(2_000_000);
    for (way, interim) in WAYS.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let line = Line::with(way, |config| config.interim_responses = interim).await;
        for tus in [true, false] {
            let what = format!("{way:?}, tus: {tus}, interim responses: {interim}");
            let request = |method, path: &str| {
                let (name, value) =
                    if tus { ("Tus-Resumable", "1.0.0") } else { ("Upload-Draft-Interop-Version", "9") };
                line.request(method, path).header(name, value)
            };
            let post = request(Method::POST, "/files").header("Upload-Length", bytes.len());
            let post = if tus { post } else { post.header("Upload-Complete", "?0") };
            let begun = post.send().await.unwrap();
            assert_eq!((begun.version(), begun.status()), (way.version(), StatusCode::CREATED), "{what}");
            let url = begun.headers()["location"].to_str().unwrap().to_owned();
            let id = url.strip_prefix("/files/").expect("a path, whatever the scheme is").to_owned();
            let patch = |from: usize, body| {
                let patch = request(Method::PATCH, &url).header("Upload-Offset", from).body(body);
                if tus {
                    patch.header("Content-Type", "application/offset+octet-stream")
                } else {
                    patch.header("Content-Type", "application/partial-upload").header("Upload-Complete", "?1")
                }
            };
            let standing = async || -> usize {
                let head = request(Method::HEAD, &url).send().await.unwrap();
                assert_eq!((head.version(), head.status().is_success()), (way.version(), true), "{what}");
                head.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
            };
            let begin = |from| {
                let (feed, body) = fed();
                (feed, tokio::spawn(patch(from, body).send()))
            };
            // Cut: the connection of HTTP/1.1, the stream of HTTP/2.
            let (feed, cut) = begin(0);
            feed.send(Bytes::copy_from_slice(&bytes[..700_001])).unwrap();
            line.frame(&id, |frame| frame.received == 700_001).await;
            cut.abort();
            assert_eq!(standing().await, 700_001, "{what}");
            // Silent: it ends when the next one asks, and what it says then is not heard.
            let (feed, silent) = begin(700_001);
            feed.send(Bytes::copy_from_slice(&bytes[700_001..1_300_000])).unwrap();
            line.frame(&id, |frame| frame.received == 1_300_000).await;
            assert_eq!(standing().await, 1_300_000, "{what}");
            let _ = feed.send(Bytes::from(vec![0xEE; 100_000]));
            let late = silent.await.unwrap();
            assert!(late.is_err() || late.is_ok_and(|late| late.status() == StatusCode::CONFLICT), "{what}");
            let last = patch(1_300_000, bytes[1_300_000..].to_vec().into()).send().await.unwrap();
            assert!(last.status().is_success(), "{what}: {last:?}");
            assert!(line.get(&url).await.bytes().await.unwrap() == bytes, "{what}");
        }
    }
}
