//! One connection from its first byte to its last: which protocol it speaks, and what bounds it. Must never know a
//! route.
//!
//! HTTP/1.1, HTTP/2 by prior knowledge (RFC 9113, section 3.3) and, with a certificate, TLS with either inside, all on
//! one port.
//!
//! # What a connection may hold of our memory (promise 7)
//!
//! - **HTTP/1.1**: 8 KiB ready for what may come, and up to 120 KiB more out of [`READ_AHEAD`], which all connections
//!   share (the buffer, growing in place, may keep half as much besides).
//! - **HTTP/2**: what a client may send before a handler has taken any of it. That window must be as large as twice
//!   speed times delay or the line stands idle (twice, because half a window must be free before the client hears of
//!   it): the first connection gets 16 MiB, half for each stream, which is enough for 75 MiB/s over a delay of 50 ms
//!   there and back; each further one gets a quarter of what [`WINDOWS`] has left, but never less than the 64 KiB that
//!   the protocol begins with. So the windows of *n* connections are at most 64 MiB + *n* · 64 KiB, however many
//!   streams each has; and they hold bytes only while the disk is slower than the network. Besides, at most
//!   [`STREAMS`] requests of 16 KiB of header, and [`SEND_BUFFER`] of each answer.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Display,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, Version},
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    interim::{Between, Exchange},
    line::{LARGEST_READ, Line, Room},
    tls::{self, Tls},
};
use crate::server::{Server, security::OverTls};

/// Read buffers of HTTP/1.1 beyond the first 8 KiB of each, over all connections, in bytes.
const READ_AHEAD: usize = 8 << 20;

/// Receive windows of HTTP/2 beyond the smallest, over all connections, in bytes.
const WINDOWS: usize = 64 << 20;

/// Most of it that one connection gets.
const LARGEST_WINDOW: usize = 16 << 20;

/// What a window is at the beginning (RFC 9113, section 6.9.2), in bytes; a connection's cannot be smaller.
const SMALLEST_WINDOW: usize = 65_535;

/// Most requests at one time on one connection of HTTP/2. A page has a handful.
const STREAMS: u32 = 100;

/// Bytes of an answer that wait for the client's window, on each stream of HTTP/2.
const SEND_BUFFER: usize = 128 * 1024;

/// What every connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection that is told to go may take to say so to its client.
const FAREWELL: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Shared {
    app: Router,
    server: Arc<Server>,
    tls: Option<Arc<Tls>>,
    read_ahead: Arc<Room>,
    windows: Arc<Room>,
    leaving: CancellationToken,
    cut: CancellationToken,
}

impl Shared {
    pub(super) fn new(app: Router, server: Arc<Server>, tls: Option<Arc<Tls>>) -> Self {
        Self {
            app,
            server,
            tls,
            read_ahead: Arc::new(Room::new(READ_AHEAD)),
            windows: Arc::new(Room::new(WINDOWS)),
            leaving: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Every connection ends after the requests that it has.
    pub(super) fn leave(&self) {
        self.leaving.cancel();
    }

    /// Every connection ends now.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        // Answers are small and awaited: no waiting for more to send. Without it the connection works as well.
        let _ = stream.set_nodelay(true);
        let ended = tokio::select! {
            ended = self.speak(stream, peer) => ended,
            () = self.cut.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            // Clients go away all the time; what it meant for an upload is logged by the upload itself.
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    async fn speak(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), Ended> {
        let patience = self.server.config().limits.idle_timeout;
        let Some(tls) = &self.tls else {
            let mut stream = stream;
            let Some((begun, speaks)) = self.soon(begin(&mut stream)).await? else { return Ok(()) };
            let line = Line::new(stream, patience).begun_with(begun);
            let from = Peer { addr: peer, tls: None };
            return match speaks {
                Speaks::Http1 => self.http1(line, from).await,
                Speaks::Http2 => Box::pin(self.http2(line, from)).await,
            };
        };
        let Some(stream) = self.soon(Box::pin(tls.acceptor().accept(stream))).await? else { return Ok(()) };
        let chosen = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
        let line = Line::new(stream, patience);
        let from = Peer { addr: peer, tls: Some(OverTls) };
        // In boxes, so that the commonest connection is not as large as the largest.
        if chosen { Box::pin(self.http2(line, from)).await } else { Box::pin(self.http1(line, from)).await }
    }

    /// What comes before the first request must come as soon as a request's head; `None` when the server stops first.
    async fn soon<T>(&self, first: impl Future<Output = io::Result<T>>) -> Result<Option<T>, Ended> {
        tokio::select! {
            done = timeout(self.server.config().header_timeout, first) => match done {
                Ok(done) => Ok(Some(done?)),
                Err(_) => Err(Ended("nothing came in time".to_owned())),
            },
            () = self.leaving.cancelled() => Ok(None),
        }
    }

    async fn http1<S>(&self, line: Line<S>, from: Peer) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let line = line.reading_ahead(self.read_ahead.clone());
        let app = self.app.clone();
        let exchange = self.server.config().interim_responses.then(Arc::<Exchange>::default);
        let line = Between::new(line, exchange.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            // Clients of HTTP/1.0 know no interim responses (RFC 9110, section 15.2).
            let exchange = exchange.as_ref().filter(|_| request.version() == Version::HTTP_11);
            let turn = exchange.map(Exchange::begin);
            if let Some(turn) = &turn {
                request.extensions_mut().insert(turn.interim());
            }
            let answer = answer(app.clone(), request, from);
            async move {
                let answered = answer.await;
                drop(turn);
                answered
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.server.config().header_timeout)
            .max_buf_size(LARGEST_READ)
            .serve_connection(TokioIo::new(line), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            () = self.leaving.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        Ok(connection.await?)
    }

    async fn http2<S>(&self, line: Line<S>, from: Peer) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let window = Window::from(&self.windows);
        let activity = Arc::new(Activity::new());
        let (app, served) = (self.app.clone(), activity.clone());
        let service = service_fn(move |request| {
            let (answer, serving) = (answer(app.clone(), request, from), Serving::new(served.clone()));
            async move { Ok::<_, Infallible>(answer.await?.map(|body| Watched { body, serving })) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_connection_window_size(window.of_connection())
            .initial_stream_window_size(window.of_stream())
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(SEND_BUFFER)
            .serve_connection(TokioIo::new(line), service);
        self.attend(pin!(connection), &activity).await
    }

    /// Drives a connection of HTTP/2, and ends it when it rests for too long or its client takes no answers: hyper
    /// has no clock for either.
    async fn attend<C>(&self, mut connection: Pin<&mut C>, activity: &Activity) -> Result<(), Ended>
    where
        C: GracefulConnection,
        C::Error: Display,
    {
        let config = self.server.config();
        let (rest, patience) = (config.header_timeout, config.limits.idle_timeout);
        let every = (rest.min(patience) / 4).clamp(Duration::from_millis(5), Duration::from_secs(5));
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaves = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended.map_err(Ended::because),
                () = self.leaving.cancelled(), if leaves.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    leaves = Some(Instant::now());
                }
                _ = tick.tick() => {
                    if activity.is_stalled_for(patience) {
                        return Err(Ended("the client took nothing of its answer".to_owned()));
                    }
                    match leaves {
                        None if activity.rests_for(rest) => {
                            connection.as_mut().graceful_shutdown();
                            leaves = Some(Instant::now());
                        }
                        Some(since) if since.elapsed() >= FAREWELL && activity.rests_for(FAREWELL) => {
                            return Err(Ended("the client stayed without a request".to_owned()));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Why a connection ended, in words for the log.
#[derive(Debug)]
struct Ended(String);

impl Ended {
    fn because(error: impl Display) -> Self {
        Self(error.to_string())
    }
}

impl Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::because(error)
    }
}

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Peer {
    addr: SocketAddr,
    tls: Option<OverTls>,
}

async fn answer(
    app: Router,
    mut request: Request<Incoming>,
    from: Peer,
) -> Result<Response<Body>, Infallible> {
    if !request.body().is_end_stream() {
        own_head(&mut request);
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(from.addr));
    if let Some(over_tls) = from.tls {
        request.extensions_mut().insert(over_tls);
    }
    Ok(app.oneshot(request).await.unwrap_or_else(|never| match never {}))
}

/// Every field of a head is a slice of the buffer that it was read in, and holds all 8 KiB of it for as long as the
/// upload takes. Copied, a few hundred bytes do.
fn own_head<B>(request: &mut Request<B>) {
    for value in request.headers_mut().values_mut() {
        let sensitive = value.is_sensitive();
        // It was a value before.
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(sensitive);
            *value = copy;
        }
    }
    if let Ok(copy) = request.uri().to_string().parse() {
        *request.uri_mut() = copy;
    }
}

enum Speaks {
    Http1,
    Http2,
}

/// Reads until it is clear which protocol is spoken: as a rule one byte is enough. Also gives back what it has read.
async fn begin(stream: &mut TcpStream) -> io::Result<(Bytes, Speaks)> {
    let mut first = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < first.len() {
        let read = stream.read(&mut first[filled..]).await?;
        filled += read;
        // A connection that ends here is HTTP/1.1's to end.
        if read == 0 || first[..filled] != PREFACE[..filled] {
            return Ok((Bytes::copy_from_slice(&first[..filled]), Speaks::Http1));
        }
    }
    Ok((Bytes::from_static(PREFACE), Speaks::Http2))
}

/// A connection's share of [`WINDOWS`], given back when it ends.
struct Window {
    room: Arc<Room>,
    share: usize,
}

impl Window {
    fn from(room: &Arc<Room>) -> Self {
        Self { room: room.clone(), share: room.take_share(LARGEST_WINDOW) }
    }

    fn of_connection(&self) -> u32 {
        self.share.max(SMALLEST_WINDOW) as u32
    }

    /// Half of the connection's: a stream whose handler does not read leaves room for the others.
    fn of_stream(&self) -> u32 {
        (self.share / 2).max(SMALLEST_WINDOW) as u32
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.room.give(self.share);
    }
}

/// What a connection of HTTP/2 is doing.
struct Activity(Mutex<Doing>);

struct Doing {
    /// Each request being served and, while its client has bytes of the answer to take, since when.
    requests: HashMap<u64, Option<Instant>>,
    /// When the last of them ended.
    rests_since: Instant,
}

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Doing { requests: HashMap::new(), rests_since: Instant::now() }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Doing) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether no request has been served for so long: neither between two nor before the first.
    fn rests_for(&self, time: Duration) -> bool {
        self.with(|doing| doing.requests.is_empty() && doing.rests_since.elapsed() >= time)
    }

    /// Whether some answer has waited for its client for so long.
    fn is_stalled_for(&self, time: Duration) -> bool {
        let waits = |since: &Option<Instant>| since.is_some_and(|since| since.elapsed() >= time);
        self.with(|doing| doing.requests.values().any(waits))
    }
}

/// One request of an [`Activity`], from its head to the last of its answer.
struct Serving {
    activity: Arc<Activity>,
    number: u64,
}

impl Serving {
    fn new(activity: Arc<Activity>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        activity.with(|doing| doing.requests.insert(number, None));
        Self { activity, number }
    }

    fn waits_for_client(&self, since: Option<Instant>) {
        self.activity.with(|doing| doing.requests.insert(self.number, since));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.activity.with(|doing| {
            doing.requests.remove(&self.number);
            doing.rests_since = Instant::now();
        });
    }
}

/// An answer's body that tells whose turn it is: hyper asks for more of it only when the client has taken what there
/// was.
struct Watched {
    body: Body,
    serving: Serving,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.serving.waits_for_client(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_its_own_says_the_same() {
        for uri in ["/upload?X-Progress-ID=a%2Fb", "http://example.org:3000/files/x", "*"] {
            let raw = b"caf\xc3\xa9 \xff".as_slice();
            let request = Request::put(uri).header("x-raw", raw).header("twice", "1").header("twice", "2");
            let mut request = request.body(()).unwrap();
            let before = (request.uri().clone(), request.headers().clone());
            own_head(&mut request);
            assert_eq!((request.uri(), request.headers()), (&before.0, &before.1));
            assert_ne!(request.headers()["twice"].as_bytes().as_ptr(), before.1["twice"].as_bytes().as_ptr());
        }
    }
}
