//! The real program, killed without warning while every kind of client is at work, and started again on the same
//! folder, over and over. Must never know how it recovers: what was told before is compared with what is there after.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use plimsoll::server::catalog::Catalog;
use tokio::task::JoinSet;

use super::{
    client::{Client, Framing, Protocol, RESUMABLE, Standing, Target, Way},
    program::Program,
};
use crate::{steps::Listener, util::pattern};

/// How often the program is killed, unless `PLIMSOLL_KILLS` says otherwise. Each time finds every way to send at another
/// place: sixteen uploads are under way.
const KILLS: u64 = 300;

/// At most this many steps are made before it is killed: a step is a piece that was sent or an answer that came.
const STEPS: u64 = 150;

/// Bytes of the files, and how many of a hundred have them: mostly small, so that many ends come between two deaths;
/// some above the sizes at which the server writes (1 MiB) and saves (8 MiB).
const SIZES: [(usize, u64); 7] =
    [(16, 15), (500, 20), (5_000, 25), (70_000, 15), (300_000, 18), (1_100_000, 6), (8_600_000, 1)];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_keeps_what_it_told_and_shows_nothing_half_made() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("PLIMSOLL_KILLS").unwrap_or(KILLS);
    let seed = number("PLIMSOLL_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        since.as_nanos() as u64
    });
    println!("PLIMSOLL_SEED={seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let listener = Listener::start();
    let options = ["--finish-url", &listener.url];
    let mut shelf = Shelf { folder: folder.path(), answered: HashMap::new(), looked_at: HashSet::new() };
    let protocols = RESUMABLE.into_iter().chain([Protocol::Form, Protocol::Put]);
    let mut jobs: Vec<Job> = Way::all(protocols).into_iter().map(|way| Job::new(way, &mut random)).collect();
    let mut moments = 0;
    for round in 0..kills {
        if random.below(4) == 0 {
            // It may die while it makes good what its predecessor left.
            let dying = Program::spawn(folder.path(), &options);
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
            dying.kill();
        }
        let program = Arc::new(Program::with(folder.path(), "", &options));
        let when = format!("seed {seed}, round {round}");
        for job in &mut jobs {
            job.compare(program.addr, &when).await;
            if job.is_done() {
                let next = Job::new(job.way, &mut random);
                shelf.enter(std::mem::replace(job, next), &when);
            }
        }
        shelf.compare(&jobs, program.addr, &when).await;

        let steps = 1 + random.below(STEPS) as i64;
        let clock = Arc::new(Clock { left: AtomicI64::new(steps), program: program.clone() });
        let mut working = JoinSet::new();
        for mut job in jobs.drain(..) {
            let (clock, mut random) = (clock.clone(), Random(random.next()));
            working.spawn(async move {
                let mut ended = Vec::new();
                while clock.left.load(Ordering::SeqCst) > 0 {
                    job.work(&clock, &mut random).await;
                    if job.is_done() {
                        let next = Job::new(job.way, &mut random);
                        ended.push(std::mem::replace(&mut job, next));
                    }
                }
                (job, ended)
            });
        }
        for (job, whole) in working.join_all().await {
            moments += 1;
            jobs.push(job);
            // Looked at after the next start.
            whole.into_iter().for_each(|job| shelf.enter(job, &when));
        }
        assert!(program.is_dead(), "{when}: killed by its last step");
    }

    // Whatever is still under way can be brought to its end.
    let program = Arc::new(Program::with(folder.path(), "", &options));
    let clock = Arc::new(Clock { left: AtomicI64::new(i64::MAX), program: program.clone() });
    let when = format!("seed {seed}, the end");
    for mut job in jobs.drain(..) {
        job.compare(program.addr, &when).await;
        while !job.is_done() {
            job.work(&clock, &mut random).await;
        }
        job.compare(program.addr, &when).await;
        shelf.enter(job, &when);
    }
    shelf.looked_at.clear();
    shelf.compare(&[], program.addr, &when).await;
    // Of every file somebody was told, also of those whose answer was lost; each time of the same event.
    let mut events = HashMap::new();
    for id in &shelf.looked_at {
        let of_it = listener.events(&format!("/files/{id}"));
        assert_eq!(of_it.len(), 1, "{when}: {of_it:?} for {id}");
        let other = events.insert(of_it.into_iter().next(), id);
        assert_eq!(other, None, "{when}: one event for two files");
    }
    assert_eq!(listener.files().len(), events.len(), "{when}: an event for what is no file");
    println!("{} files were stored over {kills} deaths at {moments} moments", shelf.looked_at.len());
    drop(clock);
    Arc::into_inner(program).unwrap().terminate();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    assert!(catalog.unfinished(0, 100).await.unwrap().is_empty(), "seed {seed}");
    for (_, under_way) in catalog.pieces_under_way(0, u32::MAX).await.unwrap() {
        let under_way = under_way.unwrap();
        // Its creation was not told to anybody any more.
        assert_eq!(under_way.durable, 0, "seed {seed}: {under_way:?}");
    }
    catalog.close().await;
}

/// What is to be uploaded, and what the server has told of it.
struct Job {
    way: Way,
    bytes: Arc<Vec<u8>>,
    /// An upload that the server has told of.
    target: Option<Target>,
    /// The greatest offset that it has told.
    told: u64,
    /// Where it has told that the file is.
    url: Option<String>,
}

impl Job {
    fn new(way: Way, random: &mut Random) -> Self {
        let mut dice = random.below(SIZES.iter().map(|(_, many)| many).sum());
        let fits = |(_, many): &&(usize, u64)| {
            let fits = dice < *many;
            dice = dice.saturating_sub(*many);
            fits
        };
        let mut bytes = pattern(SIZES.iter().find(fits).unwrap().0);
        // No two are the same.
        bytes[..8].copy_from_slice(&random.next().to_le_bytes());
        Self { way, bytes: Arc::new(bytes), target: None, told: 0, url: None }
    }

    fn is_done(&self) -> bool {
        self.url.is_some()
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// After a start: what was told is there.
    async fn compare(&mut self, addr: SocketAddr, when: &str) {
        let client = Client::new(addr, self.way);
        let what = format!("{when}: {:?} of {} bytes, told {}", self.way, self.size(), self.told);
        if RESUMABLE.contains(&self.way.protocol)
            && let Some(target) = &self.target
        {
            match client.standing(target).await {
                Standing::At { offset, complete } => {
                    assert!((self.told..=self.size()).contains(&offset), "{what}: {offset} now");
                    assert!(complete || !self.is_done(), "{what}: it was complete");
                    self.told = offset;
                    if complete {
                        self.url = Some(target.path.clone());
                    } else {
                        assert!(client.fetch(&target.path).await.is_none(), "{what}: half of it is shown");
                    }
                }
                Standing::Nowhere(status) => panic!("{what}: {status}"),
            }
        }
        if let Some(url) = &self.url {
            let stored = client.fetch(url).await.unwrap_or_else(|| panic!("{what}: its file is gone"));
            assert!(stored == *self.bytes, "{what}: other bytes");
        }
    }

    /// Goes on with it until it is whole or the server does not answer any more.
    async fn work(&mut self, clock: &Clock, random: &mut Random) -> Option<()> {
        let client = Client::new(clock.program.addr, self.way);
        // A form or a raw body that nobody has answered begins anew, as another upload.
        if !RESUMABLE.contains(&self.way.protocol) {
            self.target = None;
        }
        if self.target.is_none() {
            let length = (self.way.framing == Framing::Length || self.way.protocol == Protocol::Tus)
                .then_some(self.size());
            self.target = client.try_create(length).await;
            clock.step();
        } else if let Standing::At { offset, complete } = client.try_standing(self.target.as_ref()?).await? {
            clock.step();
            self.told = self.told.max(offset);
            if complete {
                self.url = self.target.as_ref().map(|target| target.path.clone());
                return Some(());
            }
        }
        let target = self.target.clone()?;
        while !self.is_done() {
            let rest = &self.bytes[self.told as usize..];
            let is_whole = !RESUMABLE.contains(&self.way.protocol) || random.below(3) > 0;
            let piece = if is_whole { rest } else { &rest[..random.below(rest.len() as u64 + 1) as usize] };
            let last = piece.len() == rest.len();
            let mut exchange = client.try_open(&target, self.told, piece.len() as u64, last).await?;
            let step = (piece.len() / (1 + random.below(8) as usize)).clamp(1_000, 400_000);
            for bytes in piece.chunks(step) {
                exchange.feed(bytes).await;
                clock.step();
                tokio::task::yield_now().await;
            }
            let answer = exchange.end().await?;
            clock.step();
            if last {
                self.url = Some(client.url(&target, &answer));
            } else {
                assert!(matches!(answer.status, 201 | 204), "{:?}: {answer:?}", self.way);
            }
            if RESUMABLE.contains(&self.way.protocol) {
                self.told += piece.len() as u64;
            }
        }
        Some(())
    }
}

/// The stored files, as they were told and as they lie in the folder.
struct Shelf<'a> {
    folder: &'a Path,
    /// Ids of those that the server has told of, and what they must hold.
    answered: HashMap<String, Arc<Vec<u8>>>,
    /// Ids of all that were found whole: no need to read them after every start.
    looked_at: HashSet<String>,
}

impl Shelf<'_> {
    /// Notes what was answered. Whether it is there and whole is looked at with all the others.
    fn enter(&mut self, job: Job, when: &str) {
        let id = id_of(job.url.as_deref().unwrap()).to_owned();
        let other = self.answered.insert(id, job.bytes);
        assert!(other.is_none(), "{when}: one file for two uploads, {:?}", job.url);
    }

    /// What lies in the folder is what is known, and all that is stored is whole.
    async fn compare(&mut self, jobs: &[Job], addr: SocketAddr, when: &str) {
        let client = Client::new(addr, Way::plain(Protocol::Put));
        let mut stored = HashSet::new();
        // Whole forms and bodies whose answer was lost are stored too, and only those.
        for path in files_below(&self.folder.join("files")) {
            let id = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !self.looked_at.contains(&id) {
                let bytes = std::fs::read(&path).unwrap();
                let shown = client.fetch(&format!("/files/{id}")).await;
                assert!(shown.as_ref() == Some(&bytes), "{when}: {id} is stored, and nobody can have it");
                if let Some(sent) = self.answered.get(&id) {
                    assert!(bytes == **sent, "{when}: {id} has other bytes than were sent");
                }
                let is_whole = SIZES.iter().any(|(size, _)| *size == bytes.len());
                assert!(is_whole, "{when}: {id} has {} bytes", bytes.len());
                assert!(bytes[8..] == pattern(bytes.len())[8..], "{when}: {id} has other bytes");
                self.looked_at.insert(id.clone());
            }
            stored.insert(id);
        }
        let told = self.answered.keys().chain(&self.looked_at);
        let missing: Vec<_> = told.filter(|id| !stored.contains(*id)).collect();
        assert!(missing.is_empty(), "{when}: {missing:?} are not stored any more");
        let under_way: Vec<&str> = jobs.iter().filter_map(|job| Some(&*job.target.as_ref()?.id)).collect();
        for path in files_below(&self.folder.join("staging")) {
            let id = path.file_name().unwrap().to_str().unwrap();
            // Empty: of an upload whose beginning was not told to anybody any more.
            let is_known = under_way.contains(&id) || path.metadata().unwrap().len() == 0;
            assert!(is_known, "{when}: {id} is staged, and nobody goes on with it");
        }
        assert!(files_below(&self.folder.join("trash")).is_empty(), "{when}");
    }
}

fn id_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// The regular files in this folder and below.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Counts steps, and kills the program at the last.
struct Clock {
    left: AtomicI64,
    program: Arc<Program>,
}

impl Clock {
    fn step(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.program.kill();
        }
    }
}

/// Numbers that look like chance and can be had again (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than this, and not less than nothing.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
