//! The real program with faults: it dies at every named step, each time that a client's day comes by it, and at moments
//! that look random; is started again on the same folder, and must have kept every offset that it told and told of every
//! file. A day has every protocol in it; the other clients speak tus.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use plimsoll::{
    server::{outbox::Finished, steps},
    wire::{ProgressState, Receipt, UploadAnswer},
};

use crate::{
    crash::{Program, files_below, upload},
    util::{PATIENCE, form, pattern},
};

/// How pieces of an upload are brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Tus,
    Rufh,
}

/// One request, whole: status and header of its answer, or that the program is gone.
fn ask(
    addr: SocketAddr,
    speaks: Speaks,
    request: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(head_of(speaks, request, fields, body.len()).as_bytes())?;
    // It may answer, or die, before it has read everything: then there is an answer, or none.
    let _ = stream.write_all(body);
    Answer::read(&mut stream)
}

fn tus(addr: SocketAddr, request: &str, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    ask(addr, Speaks::Tus, request, fields, body)
}

fn head_of(speaks: Speaks, request: &str, fields: &[(&str, &str)], length: usize) -> String {
    let mut fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    if speaks == Speaks::Tus {
        fields += "Tus-Resumable: 1.0.0\r\n";
    }
    if request.starts_with("PATCH") {
        fields += match speaks {
            Speaks::Tus => "Content-Type: application/offset+octet-stream\r\n",
            Speaks::Rufh => "Content-Type: application/partial-upload\r\n",
        };
    }
    format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n")
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head = String::from_utf8_lossy(&answer);
        let (head, _) = head.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(Self { status: status.ok_or(io::ErrorKind::InvalidData)?, headers })
    }

    fn offset(&self) -> Option<u64> {
        self.headers.get("upload-offset").map(|text| text.parse().unwrap())
    }
}

fn create(addr: SocketAddr, length: usize) -> io::Result<String> {
    begin(addr, &[("Upload-Length", &length.to_string())])
}

fn begin(addr: SocketAddr, fields: &[(&str, &str)]) -> io::Result<String> {
    let answer = tus(addr, "POST /files", fields, b"")?;
    assert_eq!(answer.status, 201);
    Ok(answer.headers["location"].clone())
}

fn patch(addr: SocketAddr, url: &str, offset: u64, bytes: &[u8]) -> io::Result<Answer> {
    tus(addr, &format!("PATCH {url}"), &[("Upload-Offset", &offset.to_string())], bytes)
}

fn head(addr: SocketAddr, url: &str) -> io::Result<Answer> {
    tus(addr, &format!("HEAD {url}"), &[], b"")
}

/// Somebody who wants to know of every file: keeps the events, and takes them all.
pub(crate) struct Listener {
    pub(crate) url: String,
    told: Arc<Mutex<Vec<Finished>>>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/finished", listener.local_addr().unwrap());
        let told = Arc::<Mutex<Vec<Finished>>>::default();
        let keep = Arc::clone(&told);
        // Ends with the tests: it waits for a connection that nobody makes any more.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some(finished) = Self::take(stream) {
                    keep.lock().unwrap().push(finished);
                }
            }
        });
        Self { url, told }
    }

    fn take(stream: TcpStream) -> Option<Finished> {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            // The program may die while it tells.
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let finished = serde_json::from_slice(&body).unwrap();
        let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        reader.get_mut().write_all(answer).ok()?;
        Some(finished)
    }

    /// Waits until it was told of this file; the ids of all events about it.
    pub(crate) fn events(&self, url: &str) -> HashSet<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told.lock().unwrap();
            let of_it = told.iter().filter(|finished| finished.upload.url == url);
            let events: HashSet<_> = of_it.map(|finished| finished.event_id.to_string()).collect();
            if !events.is_empty() {
                return events;
            }
            drop(told);
            assert!(Instant::now() < deadline, "nobody was told of {url}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where the files are that it was told of.
    pub(crate) fn files(&self) -> HashSet<String> {
        self.told.lock().unwrap().iter().map(|finished| finished.upload.url.clone()).collect()
    }
}

/// What a client has been told.
#[derive(Debug, Default)]
struct Told {
    /// An upload that was cancelled, and whether that was confirmed.
    cancelled: Option<(String, bool)>,
    /// Uploads in pieces, by tus and by Resumable Uploads for HTTP.
    tus: InPieces,
    rufh: InPieces,
    /// Parts, and what was made of them.
    parts: [InPieces; 2],
    joined: Option<String>,
    /// Files that came in one request, by the names that they are watched by.
    whole: HashMap<&'static str, Receipt>,
}

/// An upload in pieces, and how far it was.
#[derive(Debug, Default)]
struct InPieces {
    url: Option<String>,
    offset: u64,
}

/// Where the pieces of an upload end.
const PIECES: [usize; 3] = [400_000, 1_100_000, 1_500_000];

/// Bytes of each part that another upload is made of. Together they are more than the server reads of parts itself.
const PART: usize = 700_000;

/// Files that a client has at the end of a day: of each protocol one, and one that is made of parts.
const FILES: usize = 5;

/// The names that files of one request are watched by, and how many bytes of the whole they have.
const IN_ONE_REQUEST: [(&str, usize); 2] = [("the-form", 200_000), ("the-body", 300_000)];

/// A client's day: an upload begun and cancelled, one in three pieces by each protocol that has pieces, one made of two
/// parts, a form, a raw body. Ends early when the program does.
fn a_day(addr: SocketAddr, whole: &[u8], told: &mut Told) -> io::Result<()> {
    let cancelled = create(addr, 100_000)?;
    told.cancelled = Some((cancelled.clone(), false));
    patch(addr, &cancelled, 0, &whole[..50_000])?;
    assert_eq!(tus(addr, &format!("DELETE {cancelled}"), &[], b"")?.status, 204);
    told.cancelled = Some((cancelled, true));

    told.tus.goes_on(addr, Speaks::Tus, whole, &PIECES)?;
    told.rufh.goes_on(addr, Speaks::Rufh, whole, &PIECES)?;
    told.joined = Some(join(addr, whole, &mut told.parts)?);
    for (name, size) in IN_ONE_REQUEST {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(&in_one_request(name, &whole[..size]))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let receipt = serde_json::from_str::<UploadAnswer>(body)?.files.into_iter().next();
        told.whole.insert(name, receipt.unwrap());
    }
    Ok(())
}

impl InPieces {
    /// Goes on where it was told to be, to these ends and to the end of all. Begins it, if that was not told.
    fn goes_on(&mut self, addr: SocketAddr, speaks: Speaks, whole: &[u8], ends: &[usize]) -> io::Result<()> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None if speaks == Speaks::Tus => create(addr, whole.len())?,
            None => {
                let answer = ask(addr, speaks, "POST /files", &[("Upload-Complete", "?0")], b"")?;
                assert_eq!(answer.status, 201);
                answer.headers["location"].clone()
            }
        };
        self.url = Some(url.clone());
        for &end in ends {
            let is_last = end == whole.len();
            let fields = [
                ("Upload-Offset", &*self.offset.to_string()),
                ("Upload-Complete", if is_last { "?1" } else { "?0" }),
            ];
            // The second word is of the one protocol alone.
            let fields = if speaks == Speaks::Tus { &fields[..1] } else { &fields };
            let piece = &whole[self.offset as usize..end];
            let answer = ask(addr, speaks, &format!("PATCH {url}"), fields, piece)?;
            let status = if speaks == Speaks::Rufh && is_last { 200 } else { 204 };
            assert_eq!((answer.status, answer.offset()), (status, Some(end as u64)), "{speaks:?}");
            self.offset = end as u64;
        }
        Ok(())
    }

    /// What was told is there, and it can be brought to its end: also when all of it has come, since a finished upload
    /// answers with its end again.
    fn ends(&mut self, addr: SocketAddr, speaks: Speaks, whole: &[u8], step: &str) -> String {
        if let Some(url) = &self.url {
            let answer = ask(addr, speaks, &format!("HEAD {url}"), &[], b"").unwrap();
            assert_eq!(answer.status / 100, 2, "{step}: {speaks:?}");
            let offset = answer.offset().unwrap();
            assert!(offset >= self.offset, "{step}: {speaks:?} told {}, and now {offset}", self.offset);
            self.offset = offset;
        }
        self.goes_on(addr, speaks, whole, &[whole.len()]).unwrap();
        self.url.clone().unwrap()
    }
}

/// Two parts, and the upload that is made of them.
fn join(addr: SocketAddr, whole: &[u8], parts: &mut [InPieces; 2]) -> io::Result<String> {
    let mut words = "final;".to_owned();
    for (part, bytes) in parts.iter_mut().zip(whole.chunks(PART)) {
        if part.url.is_none() {
            part.url =
                Some(begin(addr, &[("Upload-Length", &PART.to_string()), ("Upload-Concat", "partial")])?);
        }
        part.goes_on(addr, Speaks::Tus, bytes, &[PART])?;
        words = words + part.url.as_deref().unwrap() + " ";
    }
    begin(addr, &[("Upload-Concat", words.trim_end())])
}

fn in_one_request(name: &str, bytes: &[u8]) -> Vec<u8> {
    if name == "the-form" {
        return upload(name, bytes);
    }
    let fields = [("X-Progress-ID", name)];
    let head = head_of(Speaks::Rufh, &format!("PUT /files/{name}"), &fields, bytes.len());
    [head.as_bytes(), bytes].concat()
}

/// What must be true after the next start, whatever the step; the client goes on where it was. Files that there are.
fn the_next_day(program: &Program, listener: &Listener, whole: &[u8], mut told: Told, step: &str) -> usize {
    let addr = program.addr;
    let mut files = Vec::new();
    if let Some((url, confirmed)) = &told.cancelled {
        let answer = head(addr, url).unwrap();
        if *confirmed {
            assert!([404, 410].contains(&answer.status), "{step}: {}", answer.status);
        }
        if answer.status == 200 {
            assert_eq!(tus(addr, &format!("DELETE {url}"), &[], b"").unwrap().status, 204, "{step}");
        }
    }
    for (name, size) in IN_ONE_REQUEST {
        let frame = program.frame(name);
        if let Some(receipt) = told.whole.get(name) {
            assert_eq!(frame.receipts.first(), Some(receipt), "{step}");
        }
        // Not answered, it may be there all the same: then whole.
        files.extend(frame.receipts.into_iter().map(|receipt| (receipt.url, &whole[..size])));
    }
    files.push((told.tus.ends(addr, Speaks::Tus, whole, step), whole));
    files.push((told.rufh.ends(addr, Speaks::Rufh, whole, step), whole));
    for (part, bytes) in told.parts.iter_mut().zip(whole.chunks(PART)) {
        if part.url.is_some() {
            part.ends(addr, Speaks::Tus, bytes, step);
        }
    }
    // Asked for again, it is the one that was told, and one in any case.
    let joined = join(addr, whole, &mut told.parts).unwrap();
    assert!(told.joined.is_none_or(|told| told == joined), "{step}: {joined}");
    files.push((joined, &whole[..2 * PART]));
    for part in told.parts {
        let url = part.url.unwrap();
        assert_eq!(tus(addr, &format!("DELETE {url}"), &[], b"").unwrap().status, 204, "{step}");
    }
    for (url, bytes) in &files {
        assert!(program.get(url) == *bytes, "{step}: {url} has other bytes");
        assert_eq!(listener.events(url).len(), 1, "{step}: one event id");
    }
    files.len()
}

/// Promises 2, 10 and 11 at every step of an upload's life, by the program's own death there: at the first time that the
/// day comes by it, the second, the third …, until it does not come by it any more.
#[test]
fn killed_at_any_step_it_keeps_what_it_told_and_tells_of_every_file() {
    let whole = pattern(PIECES[2]);
    let listener = Listener::start();
    let options = ["--finish-url", &listener.url];
    let mut deaths = 0;
    for step in steps::ALL {
        // Events are delivered beside the requests: those of the day's files, and no others.
        let is_delivery = [steps::DELIVER, steps::DELIVERED].contains(&step);
        for times in 0.. {
            if is_delivery && times == FILES {
                break;
            }
            let before = if times == 0 { String::new() } else { format!("{times}*off->") };
            let faults = format!("{step}={before}return(die)");
            let folder = tempfile::tempdir().unwrap();
            let mut told = Told::default();
            let program = Program::with(folder.path(), &faults, &options);
            let day = a_day(program.addr, &whole, &mut told);
            if day.is_ok() && !is_delivery {
                assert!(times > 0, "{step} is never reached");
                break;
            }
            let status = program.died();
            assert!(!status.success(), "{faults}: {status:?}");
            deaths += 1;

            let program = Program::with(folder.path(), "", &options);
            let files = the_next_day(&program, &listener, &whole, told, &faults);
            assert!(program.terminate().success(), "{faults}");
            assert_eq!(files_below(&folder.path().join("staging")), 0, "{faults}");
            assert_eq!(files_below(&folder.path().join("files")), files, "{faults}: nothing half made");
            assert_eq!(files_below(&folder.path().join("trash")), 0, "{faults}");
        }
    }
    println!("{deaths} deaths at {} steps", steps::ALL.len());
    // Every file of the day comes by every step of its life, but that not all of them are begun in pieces.
    assert!(deaths > steps::ALL.len() * FILES, "{deaths}");
}

/// Promise 10. Killed right before its files were booked or right after, and before anybody heard of it: what comes again
/// is one upload, also for the next program. A form used to be stored twice, and so was a body.
#[test]
fn killed_before_its_answer_was_heard_what_comes_again_is_the_same_file() {
    let whole = pattern(100_000);
    let cookie = ("Cookie", "plimsoll_owner=bbbbbbbbbbbbbbbbbbbbbbbbba");
    let counted = |attempt: usize, request: &str, kind: &str, body: &[u8]| {
        let (attempt, size) = (attempt.to_string(), whole.len().to_string());
        let fields = [
            cookie,
            ("Content-Type", kind),
            ("X-Progress-ID", "counted-tries"),
            ("Plimsoll-Attempt", &attempt),
            ("Plimsoll-File-Size", &size),
        ];
        [head_of(Speaks::Rufh, request, &fields, body.len()).as_bytes(), body].concat()
    };
    // A browser sends the very same again by itself; a page with another boundary, and counts.
    let by_browser = |_: usize| upload("the-form", &whole);
    let by_page = |attempt: usize| {
        let boundary = format!("XX{attempt}");
        let kind = format!("multipart/form-data; boundary={boundary}");
        counted(attempt, "POST /upload", &kind, &form(&boundary, &[("file", "a", &whole)]))
    };
    let as_body = |attempt: usize| counted(attempt, "PUT /files/a", "text/plain", &whole);
    let listener = Listener::start();
    let options = ["--finish-url", &listener.url];
    let ways: [&dyn Fn(usize) -> Vec<u8>; 3] = [&by_browser, &by_page, &as_body];
    for (number, way) in ways.into_iter().enumerate() {
        for step in [steps::COMPLETE, steps::COMPLETED] {
            let what = format!("{number}, {step}");
            let folder = tempfile::tempdir().unwrap();
            let program = Program::with(folder.path(), &format!("{step}=return(die)"), &options);
            let mut unheard = Vec::new();
            // It may end by a reset: no answer either.
            let _ = program.begin(&way(1)).read_to_end(&mut unheard);
            assert!(unheard.is_empty(), "{what}");
            program.died();
            let mut told = Vec::new();
            for attempt in [2, 4] {
                let program = Program::with(folder.path(), "", &options);
                for attempt in [attempt, attempt + 1] {
                    let answer: UploadAnswer = serde_json::from_slice(&program.ask(&way(attempt))).unwrap();
                    told.extend(answer.files);
                }
                assert!(program.get(&told[0].url) == whole, "{what}");
                assert!(program.terminate().success());
            }
            assert!(told.iter().all(|receipt| *receipt == told[0]), "{what}: {told:?}");
            assert_eq!(files_below(&folder.path().join("files")), 1, "{what}");
            assert_eq!(listener.events(&told[0].url).len(), 1, "{what}");
        }
    }
    assert_eq!(listener.files().len(), 2 * 3, "one event for each");
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Killed after any number of bytes, again and again: what was told is there each time, and the file in the end is
/// the file. `PLIMSOLL_KILLS` says how often, `PLIMSOLL_DICE` where the dice begin.
#[test]
fn killed_at_any_moment_no_told_byte_is_lost() {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let kills = number("PLIMSOLL_KILLS", 40);
    let mut dice = Dice(number("PLIMSOLL_DICE", 1));
    let folder = tempfile::tempdir().unwrap();
    let whole = pattern(12_000_000);
    let mut upload: Option<String> = None;
    let (mut told, mut files) = (0, 0);
    for round in 0..kills {
        let program = Program::start(folder.path());
        let url = match upload.take() {
            Some(url) => url,
            None => {
                told = 0;
                create(program.addr, whole.len()).unwrap()
            }
        };
        let answer = head(program.addr, &url).unwrap();
        let offset = answer.offset().unwrap_or_else(|| panic!("{round}: {}", answer.status));
        assert!(offset >= told, "{round}: told {told}, and now {offset}");
        let mut at = offset;
        // Some pieces that are answered, then one that is not.
        for _ in 0..dice.below(4) {
            let end = (at + dice.below(600_000)).min(whole.len() as u64);
            let answer = patch(program.addr, &url, at, &whole[at as usize..end as usize]).unwrap();
            assert_eq!((answer.status, answer.offset()), (204, Some(end)), "{round}");
            at = end;
        }
        told = at;
        if told == whole.len() as u64 {
            assert_eq!(program.get(&url), whole, "{round}");
            files += 1;
            program.kill();
            continue;
        }
        let rest = &whole[at as usize..];
        let fields = [("Upload-Offset", &*at.to_string())];
        let request = head_of(Speaks::Tus, &format!("PATCH {url}"), &fields, rest.len());
        let mut stream = program.begin(request.as_bytes());
        let sent = dice.below(3_000_000).min(rest.len() as u64);
        stream.write_all(&rest[..sent as usize]).unwrap();
        // At any stage of what the program does with them.
        let received = at + dice.below(sent + 1);
        let id = url.rsplit_once('/').unwrap().1.to_owned();
        let deadline = Instant::now() + PATIENCE;
        while program.frame(&id).received < received {
            assert!(Instant::now() < deadline, "{round}: {received} bytes never came");
        }
        program.kill();
        upload = Some(url);
    }
    let program = Program::start(folder.path());
    if let Some(url) = upload {
        let offset = head(program.addr, &url).unwrap().offset().unwrap();
        assert!(offset >= told);
        assert_eq!(patch(program.addr, &url, offset, &whole[offset as usize..]).unwrap().status, 204);
        assert_eq!(program.get(&url), whole);
        files += 1;
    }
    assert_eq!(files_below(&folder.path().join("files")), files);
    assert_eq!(files_below(&folder.path().join("staging")), 0);
}

/// A full disk: 507 with the offset, and what was written before is kept; others go on, and so does this one when
/// there is room again.
#[test]
fn without_room_it_says_where_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = pattern(5_000_000);
    // Few enough bytes that each of the first pieces is one write.
    let program = Program::with(folder.path(), "write=3*off->1*return(full)->off", &[]);
    let (one, other) = (create(program.addr, whole.len()).unwrap(), create(program.addr, 6).unwrap());
    assert_eq!(patch(program.addr, &one, 0, &whole[..2000]).unwrap().offset(), Some(2000));
    assert_eq!(patch(program.addr, &other, 0, b"oth").unwrap().offset(), Some(3));
    // At least three writes, of which the second fails.
    let full = patch(program.addr, &one, 2000, &whole[2000..]).unwrap();
    let at = full.offset().unwrap();
    assert_eq!(full.status, 507);
    assert!((2001..4_000_000).contains(&at), "{at}");
    assert_eq!(patch(program.addr, &other, 3, b"ers").unwrap().offset(), Some(6));
    assert_eq!(head(program.addr, &one).unwrap().offset(), Some(at));
    assert_eq!(patch(program.addr, &one, at, &whole[at as usize..]).unwrap().status, 204);
    assert_eq!(program.get(&one), whole);
    assert_eq!(program.get(&other), b"others");
}

/// A sync that failed is never tried again: its upload has failed for good, and the volume is not to be trusted.
#[test]
fn after_a_failed_sync_the_upload_is_gone_and_the_volume_marked() {
    let folder = tempfile::tempdir().unwrap();
    let whole = pattern(300_000);
    let program = Program::start(folder.path());
    let url = create(program.addr, 300_000).unwrap();
    assert_eq!(patch(program.addr, &url, 0, &whole[..100_000]).unwrap().offset(), Some(100_000));
    program.kill();
    let program = Program::with(folder.path(), "sync=return", &[]);
    let failed = patch(program.addr, &url, 100_000, &whole[100_000..]).unwrap();
    assert_eq!((failed.status, failed.offset()), (500, None));
    let gone = head(program.addr, &url).unwrap();
    assert_eq!((gone.status, gone.offset()), (410, None));
    let mut stream = program.begin(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(Answer::read(&mut stream).unwrap().status, 503);
    program.kill();
    let program = Program::start(folder.path());
    assert_eq!(head(program.addr, &url).unwrap().status, 410);
    assert_eq!(files_below(&folder.path().join("files")), 0);
    assert_eq!(files_below(&folder.path().join("staging")), 0);
}

/// A fault of our own, a panic: nothing of a form is left, an upload in pieces goes on, and the server with it.
#[test]
fn a_panic_sinks_one_request_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let whole = pattern(200_000);
    let program = Program::with(folder.path(), "received=1*panic->off", &[]);
    let answer = program.ask(&upload("the-first", &whole));
    assert!(String::from_utf8_lossy(&answer).contains("internal"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(program.frame("the-first").state, ProgressState::Failed);
    assert_eq!(
        (files_below(&folder.path().join("files")), files_below(&folder.path().join("staging"))),
        (0, 0)
    );
    let answer: UploadAnswer = serde_json::from_slice(&program.ask(&upload("the-second", &whole))).unwrap();
    assert_eq!(program.get(&answer.files[0].url), whole);
    program.kill();

    let program = Program::with(folder.path(), "received=1*panic->off", &[]);
    let url = create(program.addr, 200_000).unwrap();
    assert_eq!(patch(program.addr, &url, 0, &whole[..150_000]).unwrap().status, 500);
    assert_eq!(head(program.addr, &url).unwrap().offset(), Some(150_000));
    assert_eq!(patch(program.addr, &url, 150_000, &whole[150_000..]).unwrap().status, 204);
    assert_eq!(program.get(&url), whole);
    assert!(program.terminate().success());
    assert_eq!(files_below(&folder.path().join("staging")), 0);
}
