//! Every upload, by whatever protocol and line it comes, watched through every form in which progress is told: on its
//! way, at its end, and when it ends badly. Must never know how a count is kept.

use plimsoll::wire::{ErrorCode, ProgressFrame, ProgressState};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    faults::client::{Client, Cut, Exchange, Framing, Head, Protocol, RESUMABLE, Target, Way},
    util::{Answer, PATIENCE, TestServer, pattern, wait_for},
};

use Protocol::{Form, Put, Rufh, Tus};

const SIZE: usize = 300_000;

/// Bytes that have come when it is looked at on its way.
const HALFWAY: usize = 100_000;

/// An upload that somebody watches.
struct Watched {
    client: Client,
    target: Target,
}

impl Watched {
    /// Of every way to speak every protocol one, and its request, halfway.
    async fn all(server: &TestServer, bytes: &[u8]) -> (Vec<Self>, Vec<Exchange>) {
        let (mut all, mut exchanges) = (Vec::new(), Vec::new());
        for way in Way::all([Tus, Rufh, Form, Put]) {
            let client = Client::new(server.addr, way);
            let target = client.create(Some(SIZE as u64)).await;
            let mut exchange = client.open(&target, 0, SIZE as u64).await;
            exchange.feed(&bytes[..HALFWAY]).await;
            // The form that the others are compared with.
            client.received(&target, HALFWAY as u64).await;
            all.push(Self { client, target });
            exchanges.push(exchange);
        }
        (all, exchanges)
    }

    /// Bytes of its body in all, and of those that have come what is not of the file. Of an upload in pieces the body
    /// is the upload. `None`: nobody has said how long it is.
    fn body(&self) -> Option<(usize, usize)> {
        let Way { protocol, framing, .. } = self.client.way;
        let around = self.client.body(b"").len();
        // What is around the file of a form, up to the end of the line before its bytes.
        let before = self.client.body(b"|").iter().position(|byte| *byte == b'|').unwrap();
        let is_told = RESUMABLE.contains(&protocol) || framing == Framing::Length;
        is_told.then_some((SIZE + around, before))
    }

    async fn get(&self, path: &str) -> Answer {
        self.client.ask(Head::new("GET", path), b"").await
    }

    /// What the report of the nginx module says of it, asked by the query and by the header.
    async fn nginx(&self) -> String {
        let id = &self.target.id;
        let by_query = self.get(&format!("/progress?X-Progress-ID={id}")).await.text();
        let by_header = self.client.ask(Head::new("GET", "/progress").with("X-Progress-ID", id), b"").await;
        assert_eq!(by_header.text(), by_query, "{:?}", self.client.way);
        by_query
    }

    /// What the widget is told of it.
    async fn polled(&self) -> ProgressFrame {
        let mut frames: Vec<ProgressFrame> =
            self.get(&format!("/api/upload_progress?ids={}", self.target.id)).await.json();
        assert_eq!(frames.len(), 1);
        frames.remove(0)
    }

    async fn frame(&self) -> ProgressFrame {
        self.get(&format!("/progress/{}", self.target.id)).await.json()
    }
}

/// A stream of events, as it is told.
struct Events {
    stream: TcpStream,
    told: Vec<u8>,
}

impl Events {
    async fn of(one: &Watched) -> Self {
        let mut stream = TcpStream::connect(one.client.addr).await.unwrap();
        let request = format!("GET /progress/{}/events HTTP/1.0\r\nHost: x\r\n\r\n", one.target.id);
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, told: Vec::new() }
    }

    /// The next frame; `None`: the stream has ended.
    async fn next(&mut self) -> Option<ProgressFrame> {
        loop {
            let text = String::from_utf8_lossy(&self.told).into_owned();
            if let Some((event, rest)) = text.split_once("\n\n") {
                self.told = rest.as_bytes().to_vec();
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                match data {
                    Some(data) => return Some(serde_json::from_str(data).unwrap()),
                    // A comment, which keeps the line alive.
                    None => continue,
                }
            }
            let read =
                timeout(PATIENCE, self.stream.read_buf(&mut self.told)).await.expect("in time").unwrap();
            if read == 0 {
                return None;
            }
        }
    }

    /// The last frame; the stream ends by itself.
    async fn last(&mut self) -> ProgressFrame {
        let mut last = self.next().await.expect("an event");
        while let Some(next) = self.next().await {
            assert!(next.received >= last.received && next.seq > last.seq, "{next:?} after {last:?}");
            last = next;
        }
        last
    }
}

/// The uploads on their way, as every form tells of them; and the events of each, which go on.
async fn halfway(uploads: &[Watched]) -> Vec<Events> {
    let mut events = Vec::new();
    for one in uploads {
        let way = one.client.way;
        let frame = one.frame().await;
        let told = (frame.state, frame.received, frame.size);
        // The size of the one file is known where its sender says it, and where it is the whole of the body.
        let size = match (way.protocol, way.framing) {
            (Form, _) | (Put, Framing::Chunked) => None,
            _ => Some(SIZE as u64),
        };
        assert_eq!(told, (ProgressState::Receiving, HALFWAY as u64, size), "{way:?}");
        assert_eq!(one.polled().await, frame, "{way:?}");
        let mut its_events = Events::of(one).await;
        assert_eq!(its_events.next().await.as_ref(), Some(&frame), "{way:?}");
        events.push(its_events);
        let nginx = match one.body() {
            Some((size, before)) => {
                let received = HALFWAY + before;
                format!("{{ \"state\" : \"uploading\", \"received\" : {received}, \"size\" : {size} }}\r\n")
            }
            // As with the module: of a body without a length only the end is told.
            None => "{ \"state\" : \"starting\" }\r\n".to_owned(),
        };
        assert_eq!(one.nginx().await, nginx, "{way:?}");
    }
    // The widget asks for all of its uploads at once.
    let ids: Vec<_> = uploads.iter().map(|one| one.target.id.as_str()).collect();
    let frames: Vec<ProgressFrame> =
        uploads[0].get(&format!("/api/upload_progress?ids={}", ids.join(","))).await.json();
    let told: Vec<_> = frames.iter().map(|frame| (frame.id.as_str(), frame.received)).collect();
    assert_eq!(told, ids.iter().map(|id| (*id, HALFWAY as u64)).collect::<Vec<_>>());
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upload_is_watched_to_its_end_through_every_form() {
    let server = TestServer::site().await;
    let bytes = pattern(SIZE);
    let (uploads, exchanges) = Watched::all(&server, &bytes).await;
    let events = halfway(&uploads).await;
    for ((one, mut exchange), mut events) in uploads.iter().zip(exchanges).zip(events) {
        let way = one.client.way;
        exchange.feed(&bytes[HALFWAY..]).await;
        let url = one.client.url(&one.target, &exchange.end().await.expect("an answer"));
        // Whoever asks after the answer hears of the end, in every form.
        let frame = one.frame().await;
        assert_eq!((frame.state, frame.received), (ProgressState::Done, SIZE as u64), "{way:?}");
        assert_eq!(frame.receipts.iter().map(|receipt| &receipt.url).collect::<Vec<_>>(), [&url], "{way:?}");
        assert_eq!(one.polled().await, frame, "{way:?}");
        assert_eq!(one.nginx().await, "{ \"state\" : \"done\" }\r\n", "{way:?}");
        assert_eq!(events.last().await, frame, "{way:?}");
        // Who comes late hears it as well.
        assert_eq!(Events::of(one).await.last().await, frame, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_end_is_told_through_every_form() {
    let server = TestServer::site().await;
    let (uploads, exchanges) = Watched::all(&server, &pattern(SIZE)).await;
    let events = halfway(&uploads).await;
    for ((one, exchange), mut events) in uploads.iter().zip(exchanges).zip(events) {
        let Watched { client, target } = one;
        let way = client.way;
        // What goes on after a cut ends badly when it is given up.
        let (state, code) = if RESUMABLE.contains(&way.protocol) {
            assert_eq!(client.delete(target).await.unwrap().status, 204, "{way:?}");
            (ProgressState::Cancelled, ErrorCode::Cancelled)
        } else {
            (ProgressState::Failed, ErrorCode::Interrupted)
        };
        exchange.cut(Cut::Reset).await;
        let frame = client.frame(target, |frame| frame.state.is_terminal()).await;
        assert_eq!((frame.state, frame.receipts.len()), (state, 0), "{way:?}");
        assert_eq!(frame.error.as_ref().map(|error| error.code), Some(code), "{way:?}");
        assert_eq!(one.polled().await, frame, "{way:?}");
        assert_eq!(one.nginx().await, "{ \"state\" : \"error\", \"status\" : 400 }\r\n", "{way:?}");
        assert_eq!(events.last().await, frame, "{way:?}");
    }
    wait_for(|| server.stored_files().is_empty().then_some(())).await;
}
