//! A volume without room: a real one, that fills while uploads arrive and on which the catalog lies too. Where the
//! machine does not let us have one, this says so and shows nothing; that a write fails for want of space is provoked
//! elsewhere as well, by name. Must never know what takes the room.

use std::{fs, path::Path};

use super::{
    client::{Client, Framing, Line, Protocol, RESUMABLE, Standing, Way},
    program::Program,
};
use crate::util::{Answer, pattern};

const ROOM: u64 = 24 << 20;

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
async fn without_room_it_says_so_keeps_what_it_told_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::start_in_little_room(folder.path(), ROOM) else {
        println!("not tried: no file system of our own here (unshare, tmpfs)");
        return;
    };
    let inside = program.inside(folder.path());
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

                fill(&inside, 3_000_000);
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

                // Not a byte is left, not even for the catalog.
                fs::remove_file(inside.join("filler")).unwrap();
                fill(&inside, 0);
                for (client, target, at) in [(client, &target, told), (other, &bystander, 300_000)] {
                    let answer = client.bring(target, at, &large[..50_000]).await;
                    assert!(is_out_of_space(&answer), "{way:?}: {answer:?}");
                    assert_eq!(answer.headers["upload-offset"], at.to_string(), "{way:?}");
                }

                fs::remove_file(inside.join("filler")).unwrap();
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
        fill(&inside, 3_000_000);
        let answer = client.bring(&target, 0, &large).await;
        assert!(is_out_of_space(&answer), "{protocol:?}: {answer:?}");
        fs::remove_file(inside.join("filler")).unwrap();
        let target = client.create(None).await;
        let answer = client.bring(&target, 0, &large).await;
        assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == large, "{protocol:?}");
    }
    program.terminate();
}
