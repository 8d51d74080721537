//! The real program, killed without warning while it receives, and started again on the same folder. What was
//! answered is there; what was not has left nothing.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use plimsoll::{
    server::catalog::Catalog,
    wire::{ProgressFrame, ProgressState, Receipt, UploadAnswer},
};

use crate::util::{PATIENCE, form, form_head, pattern};

/// The program on a free port; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Program {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::with(folder, "", &[])
    }

    /// With these faults (see `server::steps`) and options.
    pub(crate) fn with(folder: &Path, faults: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["serve", "--addr", "127.0.0.1:0", "--data"])
            .arg(folder)
            .args(options)
            .env("FAILPOINTS", faults)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().rsplit_once("http://").expect("it says where it listens").1.parse().unwrap();
        Self { child, addr }
    }

    /// Waits until it has died by itself.
    pub(crate) fn died(mut self) -> std::process::ExitStatus {
        wait_for_end(|| self.child.try_wait().unwrap())
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Sends this and nothing more; the connection stays open while the stream lives.
    pub(crate) fn begin(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// One whole request; the body of its answer.
    pub(crate) fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.begin(request);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        answer.split_off(end + 4)
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn frame(&self, id: &str) -> ProgressFrame {
        serde_json::from_slice(&self.get(&format!("/progress/{id}"))).unwrap()
    }
}

fn wait_for_end<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(std::time::Instant::now() < deadline, "it never came to pass");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn upload(id: &str, bytes: &[u8]) -> Vec<u8> {
    let body = form("XX", &[("file", id, bytes)]);
    let head = form_head("XX", &format!("\r\nHost: x\r\nConnection: close\r\nX-Progress-ID: {id}"));
    [format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
}

pub(crate) fn files_below(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

#[test]
fn killed_while_receiving_it_keeps_what_was_answered_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let stored: Receipt = {
        let program = Program::start(folder.path());
        let answer: UploadAnswer =
            serde_json::from_slice(&program.ask(&upload("answered", &pattern(50_000)))).unwrap();
        // Killed at different depths of the next upload: head only, part head only, in the middle, one byte short.
        let whole = upload("cut-short", &pattern(3_000_000));
        program.kill();
        for sent in [100, 400, 1_500_000, whole.len() - 1] {
            let program = Program::start(folder.path());
            let stream = program.begin(&whole[..sent]);
            if sent > 100_000 {
                while program.frame("cut-short").received < 1_000_000 {}
            }
            program.kill();
            drop(stream);
        }
        answer.files.into_iter().next().unwrap()
    };

    let program = Program::start(folder.path());
    assert_eq!(program.get(&stored.url), pattern(50_000));
    assert_eq!(program.frame("answered").state, ProgressState::Done, "told across restarts");
    assert_eq!(program.frame("answered").receipts, [stored]);
    assert_eq!(files_below(&folder.path().join("staging")), 0);
    assert_eq!(files_below(&folder.path().join("files")), 1);
    assert_eq!(files_below(&folder.path().join("trash")), 0);
    assert!(program.terminate().success(), "SIGTERM ends it in order");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
        assert!(catalog.unfinished(0, 100).await.unwrap().is_empty());
        catalog.close().await;
    });
}

#[test]
fn told_to_stop_it_lets_the_upload_under_way_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let addr = program.addr;
    let whole = upload("under-way", &pattern(3_000_000));
    let mut stream = program.begin(&whole[..2_000_000]);
    while program.frame("under-way").received < 1_000_000 {}
    let stopping = std::thread::spawn(|| program.terminate());
    // It takes no more connections from now on: the signal has arrived.
    while TcpStream::connect(addr).is_ok() {}
    stream.write_all(&whole[2_000_000..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(stopping.join().unwrap().success());
    let program = Program::start(folder.path());
    let frame = program.frame("under-way");
    assert_eq!(frame.state, ProgressState::Done);
    assert_eq!(program.get(&frame.receipts[0].url), pattern(3_000_000));
}
