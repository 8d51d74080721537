//! A request's body, read under limits: how much, how long without a byte, how slowly at worst. Counts what comes.
//! Must never know what the bytes mean or where they go.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{Refusal, progress::Counter};
use crate::wire::{ErrorCode, limits};

/// What a body may cost.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// Bytes, with everything that is not a file.
    pub max_size: u64,
    /// Longest time without a byte while the server waits for one. Time that the server itself takes to write does
    /// not count.
    pub idle_timeout: Duration,
    /// Bytes per second at least, on average over every `rate_window` of waiting. 0: no minimum.
    pub min_rate: u64,
    /// See `min_rate`.
    pub rate_window: Duration,
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It ended early, or its connection broke.
    #[error("the body was cut")]
    Interrupted(#[source] axum::Error),
    /// Its framing is wrong (chunked coding).
    #[error("the body is not framed as HTTP has it")]
    Malformed(#[source] axum::Error),
    /// More than [`BodyLimits::max_size`] bytes, announced or sent.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// Bytes that are allowed.
        limit: u64,
    },
    /// No byte for [`BodyLimits::idle_timeout`].
    #[error("no byte came for {0:?}")]
    TimedOut(Duration),
    /// Less than [`BodyLimits::min_rate`].
    #[error("the body came more slowly than {0} bytes per second")]
    TooSlow(u64),
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let refusal = match &error {
            BodyError::Interrupted(_) => {
                Refusal::new(ErrorCode::Interrupted, "The upload was interrupted before it was complete.")
            }
            BodyError::Malformed(_) => {
                Refusal::new(ErrorCode::Malformed, "The upload is not framed as HTTP has it.")
            }
            BodyError::TooLarge { limit } => Refusal::new(
                ErrorCode::TooLarge,
                format!("The upload is larger than the server takes at once ({}).", limits::in_words(*limit)),
            )
            .with_detail(*limit),
            BodyError::TimedOut(_) => {
                Refusal::new(ErrorCode::TimedOut, "Nothing arrived for longer than the server waits.")
            }
            BodyError::TooSlow(_) => {
                Refusal::new(ErrorCode::TooSlow, "The upload arrives more slowly than the server allows.")
            }
        };
        refusal.caused_by(error)
    }
}

/// Reads one body. What is left of it when this is dropped stays with whoever lent it, to be drained.
#[derive(Debug)]
pub struct BodyReader<'a> {
    body: &'a mut Body,
    counter: &'a Counter,
    limits: BodyLimits,
    received: u64,
    trailers: Option<HeaderMap>,
    /// Looks at the clock now and then, so that not every chunk arms a timer.
    tick: Interval,
    /// Since when the server waits for the next byte. None while it does not.
    idle_since: Option<Instant>,
    /// As `idle_since`, but not from before the present window began.
    window_since: Option<Instant>,
    /// Earlier waiting in the present window.
    window_waited: Duration,
    /// Bytes in the present window.
    window_bytes: u64,
}

impl<'a> BodyReader<'a> {
    /// A reader at the beginning of a body.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] when the announced length alone says so.
    pub fn new(body: &'a mut Body, counter: &'a Counter, limits: BodyLimits) -> Result<Self, BodyError> {
        if body.size_hint().lower() > limits.max_size {
            return Err(BodyError::TooLarge { limit: limits.max_size });
        }
        let shortest = limits.idle_timeout.min(limits.rate_window);
        let every = (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut tick = tokio::time::interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            body,
            counter,
            limits,
            received: 0,
            trailers: None,
            tick,
            idle_since: None,
            window_since: None,
            window_waited: Duration::ZERO,
            window_bytes: 0,
        })
    }

    /// The body's length, when the request announced one.
    pub fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The fields that came after the bytes, once the body has ended.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The next bytes, never none of them; `None` at the clean end of the body.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            match Pin::new(&mut *self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(self.received(data).map(Some)),
                    Ok(_) => {}
                    // Kept for whoever announced that they would say something.
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(sort(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending => return self.wait(cx).map(Err),
            }
        }
    }

    fn received(&mut self, data: Bytes) -> Result<Bytes, BodyError> {
        let len = data.len() as u64;
        self.received += len;
        if self.received > self.limits.max_size {
            return Err(BodyError::TooLarge { limit: self.limits.max_size });
        }
        self.counter.add_body(len);
        self.window_bytes += len;
        self.idle_since = None;
        if let Some(since) = self.window_since.take() {
            self.window_waited += since.elapsed();
        }
        Ok(data)
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        if self.idle_since.is_none() {
            let now = Instant::now();
            (self.idle_since, self.window_since) = (Some(now), Some(now));
        }
        while self.tick.poll_tick(cx).is_ready() {
            let waited = |since: Option<Instant>| since.map_or(Duration::ZERO, |since| since.elapsed());
            if waited(self.idle_since) >= self.limits.idle_timeout {
                return Poll::Ready(BodyError::TimedOut(self.limits.idle_timeout));
            }
            let window = self.window_waited + waited(self.window_since);
            if window >= self.limits.rate_window {
                let due = window.as_secs_f64() * self.limits.min_rate as f64;
                if (self.window_bytes as f64) < due {
                    return Poll::Ready(BodyError::TooSlow(self.limits.min_rate));
                }
                self.window_bytes = 0;
                self.window_waited = Duration::ZERO;
                self.window_since = Some(Instant::now());
            }
        }
        Poll::Pending
    }
}

/// Bytes of a refused body that are read and thrown away, so that a browser gets to see the reason.
const DRAIN_BYTES: u64 = 512 << 20;

/// Bytes that are read of a body that comes to the wrong place.
const LITTLE_BYTES: u64 = 1 << 20;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// Drains a refused body while its answer is already on the way.
pub fn drain_in_background(mut body: Body) {
    tokio::spawn(async move { drain(&mut body, DRAIN_BYTES, DRAIN_TIME).await });
}

/// The same for an answer whose reason nobody needs to see: some clients send a whole file again by themselves after a
/// cut, from where it began before, and a browser hears the refusal only when it may send no more.
pub fn drain_a_little_in_background(mut body: Body) {
    tokio::spawn(async move { drain(&mut body, LITTLE_BYTES, DRAIN_TIME).await });
}

/// Reads what is left of a refused body and throws it away, within these bounds; tells whether the end came. A
/// server that answers and closes instead resets the connection, and the browser then shows no reason.
pub async fn drain(body: &mut Body, max_bytes: u64, max_time: Duration) -> bool {
    let read = async {
        let mut left = max_bytes;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(len) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    tokio::time::timeout(max_time, read).await.unwrap_or(false)
}

/// Tells a body that is wrong from one that was cut: trying the wrong one again cannot help.
fn sort(error: axum::Error) -> BodyError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        {
            return BodyError::Malformed(error);
        }
        cause = inner.source();
    }
    BodyError::Interrupted(error)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::server::progress::Progress;

    type Fed = mpsc::UnboundedSender<io::Result<Bytes>>;

    fn fed_body() -> (Fed, Body) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let chunks = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        (sender, Body::from_stream(chunks))
    }

    fn counter() -> Counter {
        Progress::new(Duration::from_secs(1)).anonymous()
    }

    fn limits() -> BodyLimits {
        BodyLimits {
            max_size: 100,
            idle_timeout: Duration::from_secs(60),
            min_rate: 0,
            rate_window: Duration::from_secs(60),
        }
    }

    async fn read(body: &mut Body, counter: &Counter, limits: BodyLimits) -> Result<usize, BodyError> {
        let mut reader = BodyReader::new(body, counter, limits)?;
        let mut read = 0;
        while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await? {
            assert!(!chunk.is_empty());
            read += chunk.len();
        }
        Ok(read)
    }

    #[tokio::test]
    async fn counts_what_comes_and_takes_what_fits() {
        let (sender, mut body) = fed_body();
        for chunk in [&b"12345"[..], b"", b"67890"] {
            sender.send(Ok(Bytes::from_static(chunk))).unwrap();
        }
        drop(sender);
        let counter = counter();
        assert_eq!(read(&mut body, &counter, BodyLimits { max_size: 10, ..limits() }).await.unwrap(), 10);
        assert_eq!(counter.frame().body_received, 10);
    }

    #[tokio::test]
    async fn too_large_by_its_word_or_by_its_deed() {
        let refused = |result| matches!(result, Err(BodyError::TooLarge { limit: 4 }));
        let tight = BodyLimits { max_size: 4, ..limits() };
        let counter = counter();
        let mut announced = Body::from("12345");
        assert!(refused(read(&mut announced, &counter, tight.clone()).await));
        assert_eq!(counter.frame().body_received, 0, "refused before it was read");
        let (sender, mut body) = fed_body();
        sender.send(Ok(Bytes::from_static(b"123"))).unwrap();
        sender.send(Ok(Bytes::from_static(b"45"))).unwrap();
        assert!(refused(read(&mut body, &counter, tight).await));
    }

    #[tokio::test]
    async fn a_silent_body_times_out() {
        let (sender, mut body) = fed_body();
        sender.send(Ok(Bytes::from_static(b"first"))).unwrap();
        let short = BodyLimits { idle_timeout: Duration::from_millis(30), ..limits() };
        assert!(matches!(read(&mut body, &counter(), short).await, Err(BodyError::TimedOut(_))));
    }

    #[tokio::test]
    async fn a_dripping_body_is_too_slow_and_a_steady_one_is_not() {
        let drip = |bytes: &'static [u8], times: usize| {
            let chunks = stream::unfold(0, move |n| async move {
                tokio::time::sleep(Duration::from_millis(4)).await;
                (n < times).then(|| (Ok::<_, io::Error>(Bytes::from_static(bytes)), n + 1))
            });
            Body::from_stream(chunks)
        };
        let limits = BodyLimits {
            max_size: u64::MAX,
            min_rate: 2_000,
            rate_window: Duration::from_millis(60),
            ..limits()
        };
        // 250 bytes a second at most, whatever the machine does; and 25 kB a second unless it stands still.
        let slow = read(&mut drip(b".", 10_000), &counter(), limits.clone()).await;
        assert!(matches!(slow, Err(BodyError::TooSlow(2_000))), "{slow:?}");
        let steady = BodyLimits { min_rate: 50, ..limits };
        assert_eq!(read(&mut drip(&[b'.'; 100], 60), &counter(), steady).await.unwrap(), 6_000);
    }

    #[tokio::test]
    async fn a_cut_body_is_told_from_a_wrong_one() {
        for (kind, malformed) in [
            (io::ErrorKind::ConnectionReset, false),
            (io::ErrorKind::UnexpectedEof, false),
            (io::ErrorKind::InvalidInput, true),
        ] {
            let (sender, mut body) = fed_body();
            sender.send(Err(kind.into())).unwrap();
            let error = read(&mut body, &counter(), limits()).await.unwrap_err();
            assert_eq!(matches!(error, BodyError::Malformed(_)), malformed, "{error:?}");
            assert_eq!(Refusal::from(error).body.retryable, !malformed);
        }
    }

    #[tokio::test]
    async fn draining_is_bounded_in_bytes_and_in_time() {
        let long = Duration::from_secs(60);
        let (sender, mut body) = fed_body();
        sender.send(Ok(Bytes::from_static(b"12345"))).unwrap();
        drop(sender);
        assert!(drain(&mut body, 5, long).await);

        let (sender, mut body) = fed_body();
        sender.send(Ok(Bytes::from_static(b"12345"))).unwrap();
        assert!(!drain(&mut body, 4, long).await, "too many bytes");

        let (_sender, mut body) = fed_body();
        assert!(!drain(&mut body, 4, Duration::from_millis(5)).await, "too long");
        // Announced as too many: drained up to the bound all the same, or a browser would be cut at once.
        assert!(!drain(&mut Body::from("12345"), 4, long).await);
    }
}
