//! No more room, by the kernel's word: on a real volume that fills while uploads arrive and on which the catalog lies
//! too, where the machine lets us have one; and everywhere by the size that the process may give its files. Must never
//! know how the server notices.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Resource;

use super::{
    client::{Client, Framing, Line, Protocol, RESUMABLE, Standing, Way},
    program::Program,
};
use crate::util::{Answer, pattern};

/// The program, and what bounds its room.
struct Cramped {
    program: Program,
    /// Its folder on a small volume. `None`: it is the size of a file that is bounded, wherever it lies.
    volume: Option<PathBuf>,
}

impl Cramped {
    /// A file, and of a volume the rest, is too small for a large upload and not for what the catalog has to write.
    fn narrow(&self) {
        match &self.volume {
            Some(folder) => fill(folder, 3_000_000),
            // The catalog's log is folded in when it has 4 MiB.
            None => self.program.limit(Resource::Fsize, Some(6 << 20)),
        }
    }

    /// Not a byte is left, not even for the catalog.
    fn shut(&self) {
        match &self.volume {
            Some(folder) => fill(folder, 0),
            None => self.program.limit(Resource::Fsize, Some(0)),
        }
    }

    fn widen(&self) {
        match &self.volume {
            Some(folder) => fs::remove_file(folder.join("filler")).unwrap(),
            None => self.program.limit(Resource::Fsize, None),
        }
    }
}

/// A file that takes all the room but this.
fn fill(folder: &Path, leave: u64) {
    let volume = rustix::fs::statvfs(folder).unwrap();
    let free = volume.f_bavail * volume.f_frsize;
    fs::write(folder.join("filler"), vec![1; usize::try_from(free - leave).unwrap()]).unwrap();
}

fn is_out_of_space(answer: &Answer) -> bool {
    answer.status == 507
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_volume_it_says_so_keeps_what_it_told_and_goes_on_when_there_is_room() {
    const ROOM: u64 = 24 << 20;
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::start_in_little_room(folder.path(), ROOM) else {
        println!("not tried: no file system of our own here (unshare, tmpfs); the next test needs none");
        return;
    };
    let volume = Some(program.inside(folder.path()));
    goes_on_when_there_is_room(Cramped { program, volume }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_largest_size_of_a_file_it_says_so_keeps_what_it_told_and_goes_on_when_it_may_be_larger() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    goes_on_when_there_is_room(Cramped { program, volume: None }).await;
}

async fn goes_on_when_there_is_room(cramped: Cramped) {
    let program = &cramped.program;
    let small = pattern(400_000);
    let large = pattern(9_000_000);
    for line in [Line::Http1, Line::Http2] {
        for framing in [Framing::Length, Framing::Chunked] {
            for protocol in RESUMABLE {
                let way = Way { protocol, line, framing };
                let client = Client::new(program.addr, way);
                let other = Client::new(program.addr, Way::plain(protocol));
                // Two under way: one has what it told, the other will not find room.
                let bystander = other.create(Some(small.len() as u64)).await;
                let mut first = other.try_open(&bystander, 0, 300_000, false).await.unwrap();
                first.feed(&small[..300_000]).await;
                assert_eq!(first.end().await.unwrap().status / 100, 2, "{way:?}");
                let target = client.create(Some(large.len() as u64)).await;

                cramped.narrow();
                let mut exchange = client.open(&target, 0, large.len() as u64).await;
                exchange.feed(&large).await;
                let answer = exchange.end().await.expect("it says why");
                assert!(is_out_of_space(&answer), "{way:?}: {answer:?}");
                // Nothing that came to the disk need be sent again.
                let told: u64 = answer.headers["upload-offset"].parse().unwrap();
                assert!(told < large.len() as u64, "{way:?}: {told}");

                // Nobody else is hurt: what the other was told still holds.
                let standing = other.standing(&bystander).await;
                assert_eq!(standing, Standing::At { offset: 300_000, complete: false }, "{way:?}");

                cramped.widen();
                cramped.shut();
                for (client, target, at) in [(client, &target, told), (other, &bystander, 300_000)] {
                    let answer = client.bring(target, at, &large[..50_000]).await;
                    // SQLite tells only of a volume that it is full.
                    let says_why = cramped.volume.is_none() || is_out_of_space(&answer);
                    assert!(says_why && answer.status >= 500, "{way:?}: {answer:?}");
                    assert_eq!(answer.headers["upload-offset"], at.to_string(), "{way:?}");
                }

                cramped.widen();
                let answer = other.bring(&bystander, 300_000, &small[300_000..]).await;
                assert!(other.fetch(&other.url(&bystander, &answer)).await.unwrap() == small, "{way:?}");
                let Standing::At { offset, complete: false } = client.standing(&target).await else {
                    panic!("{way:?}: it cannot go on");
                };
                assert!(offset >= told, "{way:?}: {offset} after {told}");
                let answer = client.bring(&target, offset, super::rest(&large, offset)).await;
                assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == large, "{way:?}");
                for (client, target) in [(other, bystander), (client, target)] {
                    assert_eq!(client.delete(&target).await.unwrap().status, 204, "{way:?}");
                }
            }
        }
    }
    for protocol in [Protocol::Form, Protocol::Put] {
        let client = Client::new(program.addr, Way::plain(protocol));
        let target = client.create(None).await;
        cramped.narrow();
        let answer = client.bring(&target, 0, &large).await;
        assert!(is_out_of_space(&answer), "{protocol:?}: {answer:?}");
        cramped.widen();
        let target = client.create(None).await;
        let answer = client.bring(&target, 0, &large).await;
        assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == large, "{protocol:?}");
    }
    cramped.program.terminate();
}
