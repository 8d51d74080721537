//! What the integration tests share: the real router on a real port with a real data folder, and a client that speaks
//! HTTP/1.1 byte by byte, because the interesting clients are those that misbehave. Must never know a single test.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use plimsoll::{
    cli::{Cli, Command},
    server::{self, Server, config::Config},
    wire::{ErrorBody, ProgressFrame, Receipt, UploadAnswer},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// The program's own defaults, for this folder.
pub(crate) fn config(folder: &Path) -> Config {
    let folder = folder.to_str().unwrap();
    let Command::Serve(raw) =
        Cli::parse_from(["plimsoll", "serve", "--addr", "127.0.0.1:0", "--data", folder]).command;
    Config::check(*raw).unwrap()
}

/// How long anything may take before a test gives up waiting for it. A bound on hanging, not a measurement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The real router, served on a free port of the loopback.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Arc<Server>,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with some settings of its own.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::serving(change, server::router).await
    }

    /// The whole site: pages and server functions too.
    pub(crate) async fn site() -> Self {
        Self::site_with(|_| {}).await
    }

    /// The whole site with some settings of its own.
    pub(crate) async fn site_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::serving(change, |server| plimsoll::app::serve::router(server, Path::new("no-site-built"))).await
    }

    pub(crate) async fn serving(
        change: impl FnOnce(&mut Config),
        router: impl FnOnce(&Arc<Server>) -> axum::Router,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let listener = server::listen::Listener::open(&config).unwrap();
        let server = Server::open(config).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = router(&server);
        let serving = server::listen::serve(listener, app, server.clone(), async move {
            let _ = stopped.await;
        });
        let served = Some(tokio::spawn(serving));
        Self { addr, server, folder, stop: Some(stop), served }
    }

    /// Asks the server to stop, as SIGTERM does; [`Self::stopped`] waits until it has.
    pub(crate) fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(crate) async fn stopped(&mut self) {
        tokio::time::timeout(PATIENCE, self.served.take().unwrap()).await.expect("the server stops").unwrap();
    }

    pub(crate) async fn connect(&self) -> Raw {
        Raw::connect(self.addr).await
    }

    /// One whole request on a connection of its own.
    pub(crate) async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut raw = self.connect().await;
        raw.send(format!("{head}\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", self.addr, body.len())).await;
        raw.bodiless = head.starts_with("HEAD ");
        raw.send(body).await;
        raw.answer().await
    }

    /// As [`Self::send`], in chunked coding, with these trailer fields, each with its line end.
    pub(crate) async fn send_chunked(&self, head: &str, pieces: &[&[u8]], trailers: &str) -> Answer {
        let mut raw = self.connect().await;
        raw.send(format!("{head}\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", self.addr)).await;
        for piece in pieces {
            raw.send(format!("{:x}\r\n", piece.len())).await;
            raw.send(piece).await;
            raw.send("\r\n").await;
        }
        raw.send(format!("0\r\n{trailers}\r\n")).await;
        raw.answer().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1"), b"").await
    }

    /// Waits until no upload is under way.
    pub(crate) async fn settled(&self) {
        wait_for(|| self.server.tasks().is_empty().then_some(())).await;
    }

    /// Every regular file below the data folder that holds bytes of uploads.
    pub(crate) fn stored_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for area in ["staging", "files", "trash"] {
            collect(&self.folder.path().join(area), &mut files);
        }
        files
    }

    /// Waits for a frame of this upload that fits.
    pub(crate) async fn frame(&self, id: &str, fits: impl Fn(&ProgressFrame) -> bool) -> ProgressFrame {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let frame: ProgressFrame = self.get(&format!("/progress/{id}")).await.json();
            if fits(&frame) {
                return frame;
            }
            assert!(tokio::time::Instant::now() < deadline, "no such frame in time; the last: {frame:?}");
            tokio::task::yield_now().await;
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), files)
        } else {
            files.push(entry.path())
        }
    }
}

/// Looks again and again until there is something to see; gives the other tasks their turn in between.
pub(crate) async fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A connection under the test's own control.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
    /// The request was `HEAD`: the length in its answer is that of a body which does not come.
    pub(crate) bodiless: bool,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new(), bodiless: false }
    }

    /// Waits for a frame of this upload that fits, asking on this connection.
    pub(crate) async fn frame(&mut self, id: &str, fits: impl Fn(&ProgressFrame) -> bool) -> ProgressFrame {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.send(format!("GET /progress/{id} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            let frame: ProgressFrame = self.answer().await.json();
            if fits(&frame) {
                return frame;
            }
            assert!(tokio::time::Instant::now() < deadline, "no such frame in time; the last: {frame:?}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Reads one answer with a known or chunked length, or none if the connection ends first.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..head_end).collect()).unwrap();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = Vec::new();
        if self.bodiless {
            // Nothing to read.
        } else if let Some(length) = headers.get("content-length") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length {
                self.more().await?;
            }
            body = self.read.drain(..length).collect();
        } else if headers.contains_key("transfer-encoding") {
            loop {
                let line_end = loop {
                    if let Some(at) = find(&self.read, b"\r\n") {
                        break at;
                    }
                    self.more().await?;
                };
                let size =
                    usize::from_str_radix(std::str::from_utf8(&self.read[..line_end]).unwrap(), 16).unwrap();
                while self.read.len() < line_end + 2 + size + 2 {
                    self.more().await?;
                }
                body.extend_from_slice(&self.read[line_end + 2..line_end + 2 + size]);
                self.read.drain(..line_end + 2 + size + 2);
                if size == 0 {
                    break;
                }
            }
        }
        Some(Answer { status, headers, body })
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.try_answer())
            .await
            .expect("an answer in time")
            .expect("an answer")
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 65_536];
        let read = self.stream.read(&mut buffer).await.ok()?;
        self.read.extend_from_slice(&buffer[..read]);
        (read > 0).then_some(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// One HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem document's own members.
    pub(crate) fn error(&self) -> ErrorBody {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        self.json()
    }

    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self.json::<UploadAnswer>().files
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The cookie that the answer sets, as a request sends it back.
    pub(crate) fn cookie(&self) -> String {
        self.headers["set-cookie"].split(';').next().unwrap().to_owned()
    }
}

/// A form of files (field, name, bytes) with this boundary, whole with its closing delimiter.
pub(crate) fn form(boundary: &str, files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, name, bytes) in files {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// The head of a form's request, without the length and the end of the head.
pub(crate) fn form_head(boundary: &str, extra: &str) -> String {
    format!("POST /upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary={boundary}{extra}")
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
