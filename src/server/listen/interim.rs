//! Interim responses (RFC 9110, section 15.2) over HTTP/1.1, which hyper's server does not send: heads that go out
//! between what hyper writes. Must never know what they say.
//!
//! Why nothing can get mixed up: hyper flushes a connection only when it has written all that it had to write, so
//! that is the one moment in which a head of ours begins; once begun it is finished before another byte of hyper's;
//! and a request's turn ends when its handler does, before hyper has the response. What comes too late is dropped:
//! interim responses are never owed. Over HTTP/2 there is no such place, and none are sent.

use std::{
    fmt::Write,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use axum::http::HeaderMap;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of heads that may wait to be written. More are dropped (promise 7).
const MOST_WAITING: usize = 4 * 1024;

/// The head of an interim response.
#[derive(Clone, Debug)]
pub struct Head {
    /// From 102 to 199; 100 is hyper's own.
    pub status: u16,
    /// What the status is called.
    pub reason: &'static str,
    /// The fields, ASCII all of them.
    pub fields: HeaderMap,
}

/// The way from a handler to its client before the response. Among the extensions of requests that have one.
#[derive(Clone)]
pub struct Interim {
    exchange: Arc<Exchange>,
    turn: u64,
}

impl Interim {
    /// Sends a head as soon as possible; nothing at all if the response is on its way already.
    pub fn send(&self, Head { status, reason, fields }: &Head) {
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in fields {
            // None of ours; see `Head`.
            let Ok(value) = value.to_str() else { return };
            // Writing to a string does not fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut state = self.exchange.lock();
        if state.open == Some(self.turn) && state.waiting.len() + head.len() <= MOST_WAITING {
            state.waiting.extend_from_slice(head.as_bytes());
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }
}

/// What the handlers of one connection, one after the other, have to say before their responses.
#[derive(Default)]
pub(super) struct Exchange(Mutex<State>);

#[derive(Default)]
struct State {
    turns: u64,
    /// The request whose handler runs.
    open: Option<u64>,
    /// Whole heads.
    waiting: Vec<u8>,
    /// The connection's task.
    waker: Option<Waker>,
}

impl Exchange {
    /// A request's turn begins.
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        let mut state = self.lock();
        state.turns += 1;
        state.open = Some(state.turns);
        state.waiting.clear();
        Turn(Interim { exchange: self.clone(), turn: state.turns })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as this lives, interim responses of one request may be sent.
pub(super) struct Turn(Interim);

impl Turn {
    pub(super) fn interim(&self) -> Interim {
        self.0.clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.exchange.lock();
        if state.open == Some(self.0.turn) {
            state.open = None;
            state.waiting.clear();
        }
    }
}

/// A connection under hyper's HTTP/1.1, on which interim responses can be sent if there is an [`Exchange`].
pub(super) struct Between<S> {
    io: S,
    exchange: Option<Arc<Exchange>>,
    /// What is left of heads that have begun.
    sending: Bytes,
}

impl<S: AsyncWrite + Unpin> Between<S> {
    pub(super) fn new(io: S, exchange: Option<Arc<Exchange>>) -> Self {
        Self { io, exchange, sending: Bytes::new() }
    }

    /// Finishes what has begun.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sending.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.sending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// What waits, or else a note of whom to wake.
    fn take(&self, cx: &Context<'_>) -> Bytes {
        let Some(exchange) = &self.exchange else { return Bytes::new() };
        let mut state = exchange.lock();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        std::mem::take(&mut state.waiting).into()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Between<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Between<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        self.sending = self.take(cx);
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn soon() -> Head {
        let location = (axum::http::header::LOCATION, HeaderValue::from_static("/x"));
        Head { status: 104, reason: "Soon", fields: HeaderMap::from_iter([location]) }
    }

    #[tokio::test]
    async fn a_head_begins_only_where_all_is_flushed() {
        let (mut client, served) = tokio::io::duplex(10_000);
        let exchange = Arc::<Exchange>::default();
        let mut line = Between::new(served, Some(exchange.clone()));
        let turn = exchange.begin();
        line.write_all(b"half of ").await.unwrap();
        turn.interim().send(&soon());
        line.write_all(b"a message;").await.unwrap();
        line.flush().await.unwrap();
        line.write_all(b"the next").await.unwrap();
        drop(turn);
        line.shutdown().await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "half of a message;HTTP/1.1 104 Soon\r\nlocation: /x\r\n\r\nthe next");
    }

    #[tokio::test]
    async fn a_head_that_has_begun_is_finished_first() {
        let (mut client, served) = tokio::io::duplex(10);
        let exchange = Arc::<Exchange>::default();
        let mut line = Between::new(served, Some(exchange.clone()));
        exchange.begin().0.send(&soon());
        let turn = exchange.begin();
        turn.interim().send(&soon());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut line).poll_flush(&mut cx).is_pending(), "ten bytes fit");
        drop(turn);
        let writing = async {
            line.write_all(b"response").await.unwrap();
            line.shutdown().await.unwrap();
        };
        let mut all = String::new();
        let (read, ()) = tokio::join!(client.read_to_string(&mut all), writing);
        read.unwrap();
        assert_eq!(all, "HTTP/1.1 104 Soon\r\nlocation: /x\r\n\r\nresponse");
    }

    #[test]
    fn nothing_waits_out_of_turn_or_without_bound() {
        let exchange = Arc::<Exchange>::default();
        let first = exchange.begin();
        let early = first.interim();
        drop(first);
        let second = exchange.begin();
        early.send(&soon());
        assert!(exchange.lock().waiting.is_empty());
        for _ in 0..1000 {
            second.interim().send(&soon());
        }
        let waiting = exchange.lock().waiting.len();
        assert!((1..=MOST_WAITING).contains(&waiting), "{waiting}");
        drop(second);
        assert!(exchange.lock().waiting.is_empty());
    }
}
