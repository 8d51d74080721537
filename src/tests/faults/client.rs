//! One client for every way to bring a file: tus, Resumable Uploads for HTTP, a form, a raw `PUT`; with a length and in
//! chunks; by HTTP/1.1 written by hand and by HTTP/2. It sends what it is told to and breaks off where it is told to.
//! Must never know what a test expects.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, header::HeaderMap};
use hyper_util::rt::TokioIo;
use plimsoll::wire::ProgressFrame;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::util::{Answer, PATIENCE, Raw};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tus,
    Rufh,
    Form,
    Put,
}

use Protocol::{Form, Put, Rufh, Tus};

/// Those that can go on where they were cut.
pub(crate) const RESUMABLE: [Protocol; 2] = [Tus, Rufh];

/// Those that are one request.
pub(crate) const WHOLE: [Protocol; 2] = [Form, Put];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Http1,
    Http2,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    /// Chunked coding in HTTP/1.1, no `Content-Length` in HTTP/2.
    Chunked,
}

/// A way to bring a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) protocol: Protocol,
    pub(crate) line: Line,
    pub(crate) framing: Framing,
}

impl Way {
    /// HTTP/1.1 with a length.
    pub(crate) fn plain(protocol: Protocol) -> Self {
        Self { protocol, line: Line::Http1, framing: Framing::Length }
    }

    /// Every way to speak these protocols.
    pub(crate) fn all(protocols: impl IntoIterator<Item = Protocol>) -> Vec<Self> {
        let lines = [Line::Http1, Line::Http2];
        let framings = [Framing::Length, Framing::Chunked];
        let ways = protocols.into_iter().flat_map(|protocol| {
            lines.into_iter().flat_map(move |line| {
                framings.into_iter().map(move |framing| Self { protocol, line, framing })
            })
        });
        ways.collect()
    }
}

/// How an upload stands, as the server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    At {
        offset: u64,
        complete: bool,
    },
    /// With this status.
    Nowhere(u16),
}

/// An upload that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where its bytes go.
    pub(crate) path: String,
    /// What its progress is asked for by.
    pub(crate) id: String,
    /// The cookie that came with its beginning: whose it is, should it be deleted once it is whole.
    pub(crate) cookie: String,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Head {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.to_owned(), fields: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }
}

/// A client that always goes the same way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    pub(crate) way: Way,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr, way: Way) -> Self {
        Self { addr, way }
    }

    /// Begins an upload of this many bytes; `None`: the server is not told. What is one request has no beginning
    /// before it.
    pub(crate) async fn create(&self, length: Option<u64>) -> Target {
        self.try_create(length).await.expect("an upload is begun")
    }

    /// As [`create`](Self::create), for servers that may be gone.
    pub(crate) async fn try_create(&self, length: Option<u64>) -> Option<Target> {
        let head = match self.way.protocol {
            Tus => {
                let head = Head::new("POST", "/files")
                    .with("Tus-Resumable", "1.0.0")
                    .with("Upload-Metadata", &format!("filename {}", BASE64_STANDARD.encode("file.bin")));
                match length {
                    Some(length) => head.with("Upload-Length", &length),
                    None => head.with("Upload-Defer-Length", "1"),
                }
            }
            Rufh => {
                let head = Head::new("POST", "/files")
                    .with("Upload-Complete", "?0")
                    .with("Content-Disposition", "attachment; filename=\"file.bin\"");
                match length {
                    Some(length) => head.with("Upload-Length", &length),
                    None => head,
                }
            }
            Form => {
                return Some(Target { path: "/upload".to_owned(), id: unique(), cookie: String::new() });
            }
            Put => {
                return Some(Target {
                    path: "/files/file.bin".to_owned(),
                    id: unique(),
                    cookie: String::new(),
                });
            }
        };
        let answer = self.try_ask(head, b"").await?;
        assert_eq!(answer.status, 201, "{:?}: {answer:?}", self.way);
        let path = answer.headers["location"].clone();
        let id = path.rsplit('/').next().unwrap_or_default().to_owned();
        Some(Target { path, id, cookie: answer.cookie() })
    }

    /// The head of the request that brings what begins at `offset`. `last`: it brings the end of the file.
    pub(crate) fn head(&self, target: &Target, offset: u64, last: bool) -> Head {
        match self.way.protocol {
            Tus => Head::new("PATCH", &target.path)
                .with("Tus-Resumable", "1.0.0")
                .with("Content-Type", "application/offset+octet-stream")
                .with("Upload-Offset", &offset),
            Rufh => Head::new("PATCH", &target.path)
                .with("Content-Type", "application/partial-upload")
                .with("Upload-Offset", &offset)
                .with("Upload-Complete", if last { "?1" } else { "?0" }),
            Form => Head::new("POST", &target.path)
                .with("Content-Type", &format!("multipart/form-data; boundary={BOUNDARY}"))
                .with("X-Progress-ID", &target.id),
            Put => Head::new("PUT", &target.path)
                .with("Content-Type", "application/octet-stream")
                .with("X-Progress-ID", &target.id),
        }
    }

    /// The body of a request that brings these bytes: for a form with what it has around them.
    pub(crate) fn body(&self, bytes: &[u8]) -> Vec<u8> {
        let (prefix, suffix) = self.around();
        [prefix.as_bytes(), bytes, suffix.as_bytes()].concat()
    }

    fn around(&self) -> (String, String) {
        match self.way.protocol {
            Form => (format!("--{BOUNDARY}\r\n{PART}"), format!("\r\n--{BOUNDARY}--\r\n")),
            _ => Default::default(),
        }
    }

    /// Begins to bring the bytes from `offset` on, which are `size`, and among them the end of the file.
    pub(crate) async fn open(&self, target: &Target, offset: u64, size: u64) -> Exchange {
        self.try_open(target, offset, size, true).await.expect("the server takes the connection")
    }

    /// As [`open`](Self::open), for servers that may be gone, and for pieces that are not the last.
    pub(crate) async fn try_open(
        &self,
        target: &Target,
        offset: u64,
        size: u64,
        last: bool,
    ) -> Option<Exchange> {
        let (prefix, suffix) = self.around();
        let size = (prefix.len() + suffix.len()) as u64 + size;
        let length = (self.way.framing == Framing::Length).then_some(size);
        let mut exchange = self.try_begin(self.head(target, offset, last), length).await?;
        exchange.suffix = suffix.into_bytes();
        exchange.feed(prefix.as_bytes()).await;
        Some(exchange)
    }

    /// Begins a request; without a `length` its body ends where it ends.
    pub(crate) async fn begin(&self, head: Head, length: Option<u64>) -> Exchange {
        self.try_begin(head, length).await.expect("the server takes the connection")
    }

    async fn try_begin(&self, head: Head, length: Option<u64>) -> Option<Exchange> {
        let stream = TcpStream::connect(self.addr).await.ok()?;
        let line = match self.way.line {
            Line::Http1 => Connection::One(One::begin(stream, self.addr, &head, length).await),
            Line::Http2 => Connection::Two(Two::begin(stream, self.addr, head, length).await?),
        };
        Some(Exchange { line, suffix: Vec::new() })
    }

    /// One whole request.
    pub(crate) async fn ask(&self, head: Head, body: &[u8]) -> Answer {
        let what = format!("{head:?}");
        self.try_ask(head, body).await.unwrap_or_else(|| panic!("no answer to {what}"))
    }

    pub(crate) async fn try_ask(&self, head: Head, body: &[u8]) -> Option<Answer> {
        let mut exchange = self.try_begin(head, Some(body.len() as u64)).await?;
        exchange.feed(body).await;
        exchange.end().await
    }

    /// Brings these bytes, the end of the file among them.
    pub(crate) async fn bring(&self, target: &Target, offset: u64, bytes: &[u8]) -> Answer {
        let mut exchange = self.open(target, offset, bytes.len() as u64).await;
        exchange.feed(bytes).await;
        exchange.end().await.expect("an answer")
    }

    /// Asks how an upload stands.
    pub(crate) async fn standing(&self, target: &Target) -> Standing {
        self.try_standing(target).await.expect("an answer")
    }

    pub(crate) async fn try_standing(&self, target: &Target) -> Option<Standing> {
        let head = Head::new("HEAD", &target.path);
        let tus = self.way.protocol == Tus;
        let head = if tus { head.with("Tus-Resumable", "1.0.0") } else { head };
        let answer = self.try_ask(head, b"").await?;
        let Some(offset) = answer.headers.get("upload-offset") else {
            assert!(matches!(answer.status, 404 | 410), "{answer:?}");
            return Some(Standing::Nowhere(answer.status));
        };
        let offset: u64 = offset.parse().unwrap();
        let complete = if tus {
            answer.headers.get("upload-length") == answer.headers.get("upload-offset")
        } else {
            answer.headers["upload-complete"] == "?1"
        };
        Some(Standing::At { offset, complete })
    }

    pub(crate) async fn delete(&self, target: &Target) -> Option<Answer> {
        let head = Head::new("DELETE", &target.path).with("Cookie", &target.cookie);
        self.try_ask(if self.way.protocol == Tus { head.with("Tus-Resumable", "1.0.0") } else { head }, b"")
            .await
    }

    /// Where a file can be fetched that this answer says is stored.
    pub(crate) fn url(&self, target: &Target, answer: &Answer) -> String {
        match self.way.protocol {
            Tus => {
                assert_eq!(answer.status, 204, "{answer:?}");
                target.path.clone()
            }
            Rufh => {
                assert_eq!((answer.status, &*answer.headers["upload-complete"]), (200, "?1"), "{answer:?}");
                target.path.clone()
            }
            Form | Put => answer.receipts().into_iter().next().expect("a receipt").url,
        }
    }

    /// Waits for a frame of this upload that fits.
    pub(crate) async fn frame(
        &self,
        target: &Target,
        fits: impl Fn(&ProgressFrame) -> bool,
    ) -> ProgressFrame {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame: ProgressFrame =
                self.ask(Head::new("GET", &format!("/progress/{}", target.id)), b"").await.json();
            if fits(&frame) {
                return frame;
            }
            assert!(Instant::now() < deadline, "{:?}: no such frame in time; the last: {frame:?}", self.way);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Waits until the server has counted this many bytes of the file.
    pub(crate) async fn received(&self, target: &Target, bytes: u64) {
        self.frame(target, |frame| frame.received == bytes).await;
    }

    /// What the server gives out at this address, if it gives out a file.
    pub(crate) async fn fetch(&self, url: &str) -> Option<Vec<u8>> {
        let answer = self.ask(Head::new("GET", url), b"").await;
        (answer.status == 200).then_some(answer.body)
    }
}

const BOUNDARY: &str = "faults";

const PART: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"file.bin\"\r\n\r\n";

/// A progress id that no other upload of this run has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("faulty-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How a request breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection is reset.
    Reset,
    /// The client's side of the connection is closed.
    Fin,
    /// The stream is reset; HTTP/2 only.
    Stream,
}

impl Cut {
    pub(crate) fn all(line: Line) -> &'static [Self] {
        match line {
            Line::Http1 => &[Self::Reset, Self::Fin],
            Line::Http2 => &[Self::Reset, Self::Fin, Self::Stream],
        }
    }
}

/// A request whose body comes when it is fed. While it is held and not fed, its connection is silent.
pub(crate) struct Exchange {
    line: Connection,
    /// What a form has after its file.
    suffix: Vec<u8>,
}

enum Connection {
    One(One),
    Two(Two),
}

impl Exchange {
    /// Sends these bytes of the body. Whether the server takes them shows in its answer.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) {
        match &mut self.line {
            Connection::One(one) => one.feed(bytes).await,
            Connection::Two(two) => two.feed(Frame::data(Bytes::copy_from_slice(bytes))),
        }
    }

    /// Ends the body, and waits for the answer. `None`: the connection ended before there was one.
    pub(crate) async fn end(mut self) -> Option<Answer> {
        let suffix = std::mem::take(&mut self.suffix);
        self.feed(&suffix).await;
        self.end_as_it_is(None).await
    }

    /// As [`end`](Self::end), but a form without its end, and with this field after the body.
    pub(crate) async fn end_as_it_is(mut self, trailer: Option<(&'static str, &str)>) -> Option<Answer> {
        match &mut self.line {
            Connection::One(one) => one.finish(trailer).await,
            Connection::Two(two) => two.finish(trailer),
        }
        self.answer().await
    }

    /// Waits for the answer, without an end of the body. `None`: the connection ended before there was one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let answer = async {
            match &mut self.line {
                Connection::One(one) => one.answer().await,
                Connection::Two(two) => two.answer().await,
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer or an end in time")
    }

    /// Breaks off, and waits until the server has noticed, as far as it lets that be seen.
    pub(crate) async fn cut(mut self, cut: Cut) {
        match (&mut self.line, cut) {
            (Connection::One(one), Cut::Reset) => one.raw.stream.set_zero_linger().unwrap(),
            (Connection::One(one), _) => {
                // The server may be the first to close.
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut one.raw.stream).await;
                while self.answer().await.is_some() {}
            }
            (Connection::Two(two), Cut::Reset) => {
                let stream = TcpStream::from_std(two.twin.try_clone().unwrap()).unwrap();
                stream.set_zero_linger().unwrap();
                two.tasks.stop().await;
                // The last handle to the socket, and now it closes.
                drop((stream, self));
            }
            (Connection::Two(two), Cut::Fin) => {
                let _ = two.twin.shutdown(std::net::Shutdown::Write);
                timeout(PATIENCE, &mut two.connection).await.expect("the server closes").unwrap();
            }
            (Connection::Two(two), Cut::Stream) => {
                let _ = two.feed.take().expect("a body under way").send(Err(Broken));
                assert!(two.answer().await.is_none());
            }
        }
    }
}

/// A request of HTTP/1.1.
struct One {
    raw: Raw,
    is_chunked: bool,
}

impl One {
    async fn begin(stream: TcpStream, addr: SocketAddr, head: &Head, length: Option<u64>) -> Self {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {addr}\r\n", head.method, head.path);
        for (name, value) in &head.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&match length {
            Some(length) => format!("Content-Length: {length}\r\n\r\n"),
            None => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        });
        let mut one = Self { raw: Raw::over(stream), is_chunked: length.is_none() };
        one.raw.bodiless = head.method == "HEAD";
        one.write(text.as_bytes()).await;
        one
    }

    /// A server that has ended the connection has told why, or is gone: both show when the answer is read.
    async fn write(&mut self, bytes: &[u8]) {
        let writing = tokio::io::AsyncWriteExt::write_all(&mut self.raw.stream, bytes);
        let _ = timeout(PATIENCE, writing).await.expect("the server reads");
    }

    async fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.is_chunked {
            self.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await;
        } else {
            self.write(bytes).await;
        }
    }

    async fn finish(&mut self, trailer: Option<(&'static str, &str)>) {
        if self.is_chunked {
            let trailer = trailer.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
            self.write(format!("0\r\n{trailer}\r\n").as_bytes()).await;
        } else {
            assert!(trailer.is_none(), "a body with a length has nothing after it");
        }
    }

    async fn answer(&mut self) -> Option<Answer> {
        self.raw.try_answer().await
    }
}

/// The client gives up in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the body is given up")]
struct Broken;

type Piece = Result<Frame<Bytes>, Broken>;

/// A request of HTTP/2, on a connection of its own.
struct Two {
    feed: Option<mpsc::UnboundedSender<Piece>>,
    answer: JoinHandle<Option<Option<Answer>>>,
    connection: JoinHandle<Option<()>>,
    tasks: Tasks,
    /// Another handle to the connection's socket.
    twin: std::net::TcpStream,
}

impl Two {
    async fn begin(stream: TcpStream, addr: SocketAddr, head: Head, length: Option<u64>) -> Option<Self> {
        let stream = stream.into_std().unwrap();
        let twin = stream.try_clone().unwrap();
        let io = TokioIo::new(TcpStream::from_std(stream).unwrap());
        let tasks = Tasks::default();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(tasks.clone(), io).await.ok()?;
        let connection = tasks.spawn(async {
            // That it has ended is all there is to know.
            let _ = connection.await;
        });
        let mut request =
            hyper::Request::builder().method(head.method).uri(format!("http://{addr}{}", head.path));
        for (name, value) in head.fields {
            request = request.header(name, value);
        }
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let (feed, fed) = mpsc::unbounded_channel();
        let body: Pin<Box<dyn Stream<Item = Piece> + Send>> =
            Box::pin(stream::unfold(fed, |mut fed: mpsc::UnboundedReceiver<_>| async {
                fed.recv().await.map(|frame| (frame, fed))
            }));
        let request = request.body(StreamBody::new(body)).unwrap();
        let answer = tasks.spawn(async move {
            let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
            let headers = parts.headers.iter();
            let headers = headers.map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let headers = headers.collect();
            let body = body.collect().await.ok()?.to_bytes().to_vec();
            Some(Answer { status: parts.status.as_u16(), headers, body })
        });
        Some(Self { feed: Some(feed), answer, connection, tasks, twin })
    }

    fn feed(&self, frame: Frame<Bytes>) {
        if let Some(feed) = &self.feed {
            // As in HTTP/1.1, an end shows in the answer.
            let _ = feed.send(Ok(frame));
        }
    }

    fn finish(&mut self, trailer: Option<(&'static str, &str)>) {
        if let Some((name, value)) = trailer {
            let fields = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            self.feed(Frame::trailers(fields));
        }
        self.feed = None;
    }

    async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()??
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        self.tasks.stopped.cancel();
    }
}

/// All that runs for one connection. The library's own tasks would otherwise outlive it, and end a body in good order
/// that was to be cut.
#[derive(Clone, Debug, Default)]
struct Tasks {
    tracker: TaskTracker,
    stopped: CancellationToken,
}

impl Tasks {
    fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tracker.spawn(self.stopped.clone().run_until_cancelled_owned(task))
    }

    async fn stop(&self) {
        self.stopped.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
