//! Requests that say of their bytes what is not true: longer than the upload, shorter, other bytes than their digest's.
//! Nothing of them is kept, nothing lies beyond the end, and the upload stands where it stood. Must never know how a
//! digest is computed by the server.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use plimsoll::wire::ErrorCode;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{
    client::{Client, Cut, Framing, Line, Protocol, RESUMABLE, Standing, Target, Way},
    each,
};
use crate::util::{Answer, TestServer, pattern};

use Protocol::{Rufh, Tus};

fn at(offset: usize) -> Standing {
    Standing::At { offset: offset as u64, complete: false }
}

/// An upload of all these bytes, with the first of them brought.
async fn begun(client: &Client, bytes: &[u8], offset: usize) -> Target {
    let target = client.create(Some(bytes.len() as u64)).await;
    let mut exchange = client.try_open(&target, 0, offset as u64, false).await.unwrap();
    exchange.feed(&bytes[..offset]).await;
    let answer = exchange.end().await.unwrap();
    assert!(matches!(answer.status, 201 | 204), "{answer:?}");
    target
}

/// Brings the rest honestly.
async fn ends_well(client: &Client, target: &Target, bytes: &[u8], offset: usize) {
    let answer = client.bring(target, offset as u64, &bytes[offset..]).await;
    let stored = client.fetch(&client.url(target, &answer)).await;
    assert!(stored.as_deref() == Some(bytes), "{:?}", client.way);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_lies_beyond_the_end_of_an_upload() {
    let server = TestServer::start().await;
    let addr = server.addr;
    let folder = server.folder.path().to_owned();
    each(Way::all(RESUMABLE), move |way| {
        let folder = folder.clone();
        async move {
            let client = Client::new(addr, way);
            let bytes = pattern(300_000);
            let offset = 100_000;
            for (beyond, pieces) in [(1, 1), (1, 40), (20_000_000, 40)] {
                let what = format!("{way:?}: {beyond} bytes beyond, in {pieces} pieces");
                let target = begun(&client, &bytes, offset).await;
                let too_much = [&bytes[offset..], &vec![0xEE; beyond][..]].concat();
                let mut exchange = client.open(&target, offset as u64, too_much.len() as u64).await;
                for piece in too_much.chunks(too_much.len().div_ceil(pieces)) {
                    exchange.feed(piece).await;
                }
                // A client that goes on sending regardless may miss the answer, not the consequence.
                if let Some(answer) = exchange.end().await {
                    assert_eq!(answer.status / 100, 4, "{what}: {answer:?}");
                }
                let on_disk = std::fs::metadata(folder.join("staging").join(&target.id));
                assert!(on_disk.map_or(0, |file| file.len()) <= bytes.len() as u64, "{what}");
                match (way.protocol, client.standing(&target).await) {
                    // "The upload resource is invalidated", and only that.
                    (Rufh, standing) if way.framing == Framing::Chunked => {
                        assert!(matches!(standing, Standing::Nowhere(_)), "{what}: {standing:?}");
                    }
                    // Two lengths that do not agree are seen before a byte is: it stands as it stood, or is no more.
                    (Rufh, Standing::Nowhere(_)) => {}
                    (_, standing) => {
                        assert_eq!(standing, at(offset), "{what}");
                        ends_well(&client, &target, &bytes, offset).await;
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_not_what_its_digest_says_is_discarded() {
    let server = TestServer::start().await;
    let addr = server.addr;
    each(Way::all(RESUMABLE), |way| async move {
        let client = Client::new(addr, way);
        // Larger than what is saved at once meanwhile.
        for size in [50_000, 12_000_000] {
            let bytes = pattern(size);
            let offset = 10_000;
            let (good, mut bad) = (&bytes[offset..], bytes[offset..].to_vec());
            *bad.last_mut().unwrap() ^= 1;
            let target = begun(&client, &bytes, offset).await;
            let digests = match way.protocol {
                Tus => vec![
                    ("Upload-Checksum", format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(good)))),
                    ("Upload-Checksum", format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(good)))),
                    ("Upload-Checksum", format!("md5 {}", BASE64_STANDARD.encode(md5::Md5::digest(good)))),
                ],
                _ => vec![(
                    "Content-Digest",
                    format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(good))),
                )],
            };
            let length = (way.framing == Framing::Length).then_some(good.len() as u64);
            // One of them is enough where it takes long.
            let tried = if size > 1_000_000 { 1 } else { digests.len() };
            for (name, digest) in &digests[..tried] {
                let head = client.head(&target, offset as u64, true).with(name, digest);
                let mut exchange = client.begin(head.clone(), length).await;
                exchange.feed(&bad).await;
                discarded(&client, &target, exchange.end().await, offset, digest).await;
                // Cut in the middle it cannot agree with anything.
                let mut exchange = client.begin(head, length).await;
                exchange.feed(&good[..good.len() / 2]).await;
                client.received(&target, (offset + good.len() / 2) as u64).await;
                exchange.cut(Cut::Reset).await;
                assert_eq!(client.standing(&target).await, at(offset), "{way:?} {digest}, cut");
            }
            if (way.protocol, way.framing) == (Tus, Framing::Chunked) {
                // The digest comes after the bytes.
                let head = client.head(&target, offset as u64, true).with("Trailer", "Upload-Checksum");
                for lie in [Some(digests[0].1.as_str()), Some("sha1 x"), None] {
                    let mut exchange = client.begin(head.clone(), None).await;
                    exchange.feed(if lie.is_none() { good } else { &bad }).await;
                    let answer = exchange.end_as_it_is(lie.map(|lie| ("Upload-Checksum", lie))).await;
                    discarded(&client, &target, answer, offset, "trailer").await;
                }
                let mut exchange = client.begin(head, None).await;
                exchange.feed(good).await;
                let answer = exchange.end_as_it_is(Some(("Upload-Checksum", &digests[0].1))).await;
                client.url(&target, &answer.unwrap());
            } else {
                let (name, digest) = &digests[0];
                let head = client.head(&target, offset as u64, true).with(name, digest);
                let mut exchange = client.begin(head, length).await;
                exchange.feed(good).await;
                client.url(&target, &exchange.end().await.unwrap());
            }
            assert!(client.fetch(&target.path).await.unwrap() == bytes, "{way:?}");
        }
    })
    .await;
}

async fn discarded(client: &Client, target: &Target, answer: Option<Answer>, offset: usize, what: &str) {
    let way = client.way;
    let answer = answer.unwrap_or_else(|| panic!("{way:?} {what}: no answer"));
    // tus has a status of its own for it; a digest that cannot be read is another mistake.
    assert!(matches!(answer.status, 400 | 460), "{way:?} {what}: {answer:?}");
    assert_eq!(client.standing(target).await, at(offset), "{way:?} {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_was_announced_is_not_stored() {
    let server = TestServer::start().await;
    let addr = server.addr;
    let lines = [Line::Http1, Line::Http2];
    each(lines.map(|line| Way { line, ..Way::plain(Rufh) }), |way| async move {
        let client = Client::new(addr, way);
        let bytes = pattern(500_000);
        let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(&bytes)));
        for honest in [true, false] {
            let head = super::client::Head::new("POST", "/files")
                .with("Upload-Complete", "?0")
                .with("Upload-Length", &bytes.len())
                .with("Repr-Digest", &digest);
            let location = client.ask(head, b"").await.headers["location"].clone();
            let id = location.rsplit('/').next().unwrap().to_owned();
            let target = Target { path: location, id, cookie: String::new() };
            let mut sent = bytes.clone();
            sent[250_000] ^= u8::from(!honest);
            // In two pieces: neither alone shows it.
            let mut first = client.try_open(&target, 0, 300_000, false).await.unwrap();
            first.feed(&sent[..300_000]).await;
            first.end().await.unwrap();
            let answer = client.bring(&target, 300_000, &sent[300_000..]).await;
            if honest {
                assert!(client.fetch(&client.url(&target, &answer)).await.unwrap() == bytes, "{way:?}");
            } else {
                assert_eq!(answer.error().code, ErrorCode::DigestMismatch, "{way:?}");
                assert!(matches!(client.standing(&target).await, Standing::Nowhere(_)), "{way:?}");
                assert_eq!(client.fetch(&target.path).await, None, "{way:?}");
            }
        }
    })
    .await;
    server.settled().await;
    assert_eq!((server.files_in("files").len(), server.files_in("staging").len()), (2, 0));
}
