//! A connection's bytes, under two bounds that the protocol above does not keep: how much memory is held ready for
//! what may come, and how long an answer waits for its client to take it. Must never know a protocol.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// What hyper holds ready on every connection, and the first size it reads in.
const FIRST_READ: usize = 8 * 1024;

/// Most bytes that a connection reads ahead of its handler, and so the largest piece a body arrives in. Large enough
/// that a system call is worth its price.
pub(super) const LARGEST_READ: usize = 128 * 1024;

/// Bytes that must have come before a connection reads in larger pieces: with fewer to come it would gain nothing.
const EARNED: usize = 256 * 1024;

/// Memory that connections share: each takes what it can get and gives it back when it is done.
pub(super) struct Room(AtomicUsize);

impl Room {
    /// Room for this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes all of it or nothing.
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Takes a quarter of what is left, and at most so much: whoever comes first gets much, whoever comes later still
    /// gets something.
    pub(super) fn take_share(&self, most: usize) -> usize {
        let share = |left: usize| (left / 4).min(most);
        let less = |left: usize| Some(left - share(left));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        before.map_or(0, share)
    }

    pub(super) fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A connection as the protocol above it sees it.
pub(super) struct Line<S> {
    io: S,
    /// What was read already to tell the protocols apart; comes first.
    begun: Bytes,
    reading: Option<Reading>,
    /// Longest time that a write may wait. See [`Line::poll_patience`].
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Line<S> {
    pub(super) fn new(io: S, patience: Duration) -> Self {
        Self { io, begun: Bytes::new(), reading: None, patience, waiting: None }
    }

    /// The same connection with these bytes back at its beginning.
    pub(super) fn begun_with(self, bytes: Bytes) -> Self {
        Self { begun: bytes, ..self }
    }

    /// The same connection, under hyper's HTTP/1.1, which reads ahead as far as `room` allows.
    pub(super) fn reading_ahead(self, room: Arc<Room>) -> Self {
        Self { reading: Some(Reading { so_far: 0, next: FIRST_READ, shrinking: false, room }), ..self }
    }

    /// An answer that waits for its client longer than this ends the connection, or readers that take nothing would
    /// hold file handles and buffers for ever. The clock runs only while the system takes no byte, and begins anew
    /// whenever it takes one, however slow the client is.
    fn poll_patience<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took nothing of its answer")))
    }
}

/// How hyper sizes its read buffer, which it holds while it waits for bytes that may never come: the next size is
/// twice the last when a read filled it, and half after two reads that needed less. A thousand uploads that stall
/// after a burst would hold a thousand large buffers. So a read that would double the size is cut short by one byte
/// when there is no room for the larger one, or when little has come yet: slower, not larger (promise 7).
struct Reading {
    /// Bytes that have come so far.
    so_far: usize,
    /// The size that hyper holds ready.
    next: usize,
    /// One read has needed less.
    shrinking: bool,
    /// Where everything beyond [`FIRST_READ`] is taken from.
    room: Arc<Room>,
}

impl Reading {
    /// Most bytes to read now, and the room taken for the larger buffer that hyper would make after them.
    fn most(&self) -> (usize, usize) {
        let larger = (2 * self.next).min(LARGEST_READ) - self.next;
        let may_grow = self.so_far >= EARNED && self.room.take(larger);
        if larger == 0 || may_grow { (usize::MAX, larger) } else { (self.next - 1, 0) }
    }

    /// After a read of so many bytes.
    fn done(&mut self, bytes: usize, taken: usize) {
        self.so_far = self.so_far.saturating_add(bytes);
        if bytes >= self.next {
            self.next += taken;
            self.shrinking = false;
            return;
        }
        self.room.give(taken);
        let smaller = self.next / 2;
        if bytes >= smaller {
            self.shrinking = false;
        } else if !self.shrinking {
            self.shrinking = true;
        } else {
            self.shrinking = false;
            let smaller = smaller.max(FIRST_READ);
            self.room.give(self.next - smaller);
            self.next = smaller;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.room.give(self.next - FIRST_READ);
    }
}

impl<S: AsyncRead + Unpin> Line<S> {
    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return self.poll_read_more(cx, buf, most);
        }
        let bytes = self.begun.len().min(buf.remaining()).min(most);
        buf.put_slice(&self.begun[..bytes]);
        self.begun.advance(bytes);
        // And what follows in one piece with it, or hyper would make its first buffer twice as large.
        match self.poll_read_more(cx, buf, most - bytes) {
            Poll::Pending => Poll::Ready(Ok(())),
            read => read,
        }
    }

    fn poll_read_more(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() <= most {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let bytes = part.filled().len();
        buf.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (most, taken) = this.reading.as_ref().map_or((usize::MAX, 0), Reading::most);
        let before = buf.filled().len();
        let read = this.poll_read_some(cx, buf, most);
        if let Some(reading) = &mut this.reading {
            match read {
                Poll::Ready(Ok(())) => reading.done(buf.filled().len() - before, taken),
                _ => reading.room.give(taken),
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.poll_patience(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.poll_patience(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.poll_patience(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.poll_patience(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use http_body_util::{BodyExt, Empty};
    use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// Notes how much memory is held ready whenever something is read.
    struct Probe(Line<DuplexStream>, Arc<Mutex<Vec<usize>>>);

    impl AsyncRead for Probe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1.lock().unwrap().push(buf.remaining());
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Probe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// What hyper holds ready, from read to read, while a body of `bytes` comes as fast as it is taken.
    async fn held(room: usize, bytes: usize) -> Vec<usize> {
        let (mut client, served) = tokio::io::duplex(1 << 20);
        let room = Arc::new(Room::new(room));
        let before = room.0.load(Ordering::Relaxed);
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let line = Line::new(served, Duration::from_secs(60)).reading_ahead(room.clone());
        let service = service_fn(|request: Request<Incoming>| async {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame.unwrap();
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(None).keep_alive(false).max_buf_size(LARGEST_READ);
        let connection = builder.serve_connection(TokioIo::new(Probe(line, sizes.clone())), service);
        let sent = async {
            let head = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(&vec![7; bytes]).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        };
        let (served, ()) = tokio::join!(connection, sent);
        served.unwrap();
        assert_eq!(room.0.load(Ordering::Relaxed), before, "all is given back");
        let sizes = sizes.lock().unwrap();
        sizes.clone()
    }

    #[tokio::test]
    async fn hyper_holds_no_more_than_there_is_room_for() {
        // If hyper sized its buffer by another rule than `Reading` follows, these would be others.
        for (room, largest) in [
            (0, FIRST_READ),
            (8_191, FIRST_READ),
            (8_192, 16 << 10),
            (60_000, 64 << 10),
            (1 << 20, LARGEST_READ),
        ] {
            let held = held(room, 3 << 20).await.into_iter().max().unwrap();
            // A buffer that grows in place may keep what it had besides.
            assert!((largest..2 * largest).contains(&held), "room for {room}: {held}");
        }
    }

    #[test]
    fn shares_become_smaller_and_are_given_back() {
        let room = Room::new(8_000);
        assert_eq!(room.take_share(700), 700);
        assert_eq!(room.take_share(5_000), 1_825);
        assert_eq!(room.take_share(5_000), 1_368);
        room.give(700 + 1_825 + 1_368);
        assert_eq!(room.take_share(5_000), 2_000);
        assert!(room.take(6_000) && !room.take(1));
        assert_eq!(room.take_share(5_000), 0);
    }

    #[tokio::test]
    async fn an_answer_waits_for_its_client_only_so_long() {
        let (_client, served) = tokio::io::duplex(100);
        let mut line = Line::new(served, Duration::from_millis(20));
        let error = line.write_all(&[7; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn whatever_is_taken_of_an_answer_begins_the_time_anew() {
        let (mut client, served) = tokio::io::duplex(100);
        let mut line = Line::new(served, Duration::from_secs(60));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..3 {
            assert!(Pin::new(&mut line).poll_write(&mut cx, &[7; 100]).is_ready());
            assert!(line.waiting.is_none());
            assert!(Pin::new(&mut line).poll_write(&mut cx, &[7; 100]).is_pending());
            assert!(line.waiting.is_some());
            client.read_exact(&mut [0; 100]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_read_already_comes_first() {
        let (mut client, served) = tokio::io::duplex(100);
        client.write_all(b" and the rest").await.unwrap();
        drop(client);
        let line =
            Line::new(served, Duration::from_secs(60)).begun_with(Bytes::from_static(b"the beginning"));
        let mut line = line.reading_ahead(Arc::new(Room::new(0)));
        let mut read = String::new();
        line.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "the beginning and the rest");
    }
}
