//! Uploads in pieces, from within: what must hold whatever protocol they come by. Bodies are what the test sends,
//! when it sends it.

use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::TryStreamExt;
use plimsoll::{
    server::{
        Server,
        catalog::{Admitted, Catalog, NewPieces, PiecesState, Progressed, Terms, Words},
        outbox::{Finished, Hook},
        owner::OwnerId,
        protocol::digest::Checksum,
        resumable::{self, Append, ChunkDigest, Creation, Ends, Overflow, Protocol, Rejected, Upload},
        security::Visitor,
        store::{Checkpoint, DiskStore, Durability, StageOptions, Staging, Store},
    },
    wire::{ErrorCode, ProgressState, UploadId},
};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::util::{PATIENCE, TestServer, config, pattern, wait_for};

type Chunk = io::Result<Bytes>;

/// A body under the test's own control. Dropping the sender is a clean end; an error is a cut.
fn fed() -> (mpsc::UnboundedSender<Chunk>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    (sender, Body::from_stream(chunks))
}

fn visitor(n: u8) -> Visitor {
    Visitor { owner: OwnerId::from_bits([n; 16]), known: true, peer: None }
}

fn creation(protocol: Protocol, length: Option<u64>) -> Creation {
    Creation {
        visitor: visitor(1),
        words: Words {
            name: "name.bin".to_owned(),
            media_type: "application/x-test".to_owned(),
            ..Words::default()
        },
        protocol,
        metadata: None,
        concat: None,
        length,
        partial: false,
        progress_id: None,
        repr_digest: None,
        want_sha256: false,
    }
}

fn tus(offset: u64) -> Append {
    Append {
        visitor: visitor(1),
        offset,
        length: None,
        ends: Ends::AtLength,
        chunk_digest: ChunkDigest::None,
        overflow: Overflow::Refuse,
        body_size: None,
        progress_id: None,
    }
}

fn rufh(offset: u64, ends: Ends) -> Append {
    Append { ends, overflow: Overflow::Invalidate, ..tus(offset) }
}

/// Sends these bytes as one whole request with a length.
async fn send(server: &Arc<Server>, id: &UploadId, append: Append, bytes: &[u8]) -> Result<Upload, Rejected> {
    let append = Append { body_size: Some(bytes.len() as u64), ..append };
    resumable::append(server, id, append, Body::from(bytes.to_vec())).await
}

/// Sends what the test feeds, while the test goes on.
fn begin(
    server: &Arc<Server>,
    id: &UploadId,
    append: Append,
) -> (mpsc::UnboundedSender<Chunk>, JoinHandle<Result<Upload, Rejected>>) {
    let (sender, body) = fed();
    let (server, id) = (server.clone(), id.clone());
    (sender, tokio::spawn(async move { resumable::append(&server, &id, append, body).await }))
}

/// Waits until so many bytes of the upload have come.
async fn received(server: &Server, id: &UploadId, bytes: u64) {
    let progress_id = id.as_str().parse().unwrap();
    let owner = visitor(1).owner;
    wait_for(|| {
        let frame = server.progress().frame(&progress_id, Some(&owner));
        frame.filter(|frame| frame.received == bytes).map(drop)
    })
    .await;
}

async fn create(server: &Arc<Server>, protocol: Protocol, length: Option<u64>) -> UploadId {
    resumable::create(server, creation(protocol, length)).await.unwrap().id
}

async fn offset(server: &Arc<Server>, id: &UploadId) -> u64 {
    resumable::state(server, id, &visitor(1)).await.unwrap().offset
}

async fn stored(server: &Server, id: &UploadId) -> Vec<u8> {
    let pieces: Vec<Bytes> =
        server.store().open(id).await.unwrap().stream(0..u64::MAX).try_collect().await.unwrap();
    pieces.concat()
}

fn code(rejected: &Rejected) -> (ErrorCode, Option<u64>) {
    (rejected.refusal.code(), rejected.at)
}

#[tokio::test]
async fn a_file_in_pieces_is_the_file() {
    let test = TestServer::start().await;
    let server = &test.server;
    let whole = pattern(3_000_001);
    let length = whole.len() as u64;
    let begun = resumable::create(server, creation(Protocol::Tus, Some(length))).await.unwrap();
    assert_eq!((begun.offset, begun.length, begun.receipt), (0, Some(length), None));
    let id = begun.id;

    let first = send(server, &id, tus(0), &whole[..1_000_000]).await.unwrap();
    assert_eq!((first.offset, &first.receipt), (1_000_000, &None));
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap(), first);
    let wrong = send(server, &id, tus(0), &whole[..1_000_000]).await.unwrap_err();
    assert_eq!(code(&wrong), (ErrorCode::OffsetMismatch, Some(1_000_000)));

    let last = send(server, &id, tus(1_000_000), &whole[1_000_000..]).await.unwrap();
    let receipt = last.receipt.clone().unwrap();
    assert_eq!((last.offset, receipt.size, receipt.name.as_str()), (length, length, "name.bin"));
    assert_eq!(stored(server, &id).await, whole);
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap(), last);
    // Once more, because its answer was lost: the same end, and nothing finishes twice.
    assert_eq!(send(server, &id, tus(length), b"").await.unwrap(), last);
    assert_eq!(server.catalog().list(&visitor(1).owner, 10).await.unwrap(), [receipt]);
}

#[tokio::test]
async fn an_upload_of_unknown_length_ends_where_its_sender_says() {
    let test = TestServer::start().await;
    let server = &test.server;
    let id = resumable::create(server, creation(Protocol::Rufh, None)).await.unwrap().id;
    let first = send(server, &id, rufh(0, Ends::Later), b"first, ").await.unwrap();
    assert_eq!((first.offset, first.length, &first.receipt), (7, None, &None));
    let last = send(server, &id, rufh(7, Ends::Here), b"last").await.unwrap();
    assert_eq!((last.offset, last.length), (11, Some(11)));
    assert!(last.receipt.is_some());
    assert_eq!(stored(server, &id).await, b"first, last");
    // The very last request again, and an empty one at the end.
    assert_eq!(send(server, &id, rufh(7, Ends::Here), b"last").await.unwrap(), last);
    assert_eq!(send(server, &id, rufh(11, Ends::Here), b"").await.unwrap(), last);
    let other = send(server, &id, rufh(0, Ends::Here), b"first, ").await.unwrap_err();
    assert_eq!(code(&other), (ErrorCode::OffsetMismatch, Some(11)));
}

#[tokio::test]
async fn a_client_that_vanishes_keeps_every_byte_that_arrived() {
    let test = TestServer::start().await;
    let server = &test.server;
    let whole = pattern(2_500_000);
    let id = resumable::create(server, creation(Protocol::Tus, Some(2_500_000))).await.unwrap().id;
    let (sender, body) = fed();
    for chunk in whole[..1_234_567].chunks(100_000) {
        sender.send(Ok(Bytes::copy_from_slice(chunk))).unwrap();
    }
    sender.send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
    let cut = resumable::append(server, &id, tus(0), body).await.unwrap_err();
    assert_eq!(code(&cut), (ErrorCode::Interrupted, Some(1_234_567)));
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap().offset, 1_234_567);
    send(server, &id, tus(1_234_567), &whole[1_234_567..]).await.unwrap();
    assert_eq!(stored(server, &id).await, whole);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone_with_its_bytes() {
    let test = TestServer::start().await;
    let server = &test.server;
    let id = resumable::create(server, creation(Protocol::Tus, Some(10))).await.unwrap().id;
    send(server, &id, tus(0), b"half!").await.unwrap();
    assert_eq!(test.stored_files().len(), 1);
    let strange = resumable::cancel(server, &id, &visitor(2)).await.unwrap_err();
    assert_eq!(strange.code(), ErrorCode::NotFound, "of somebody else's nothing is said");
    resumable::cancel(server, &id, &visitor(1)).await.unwrap();
    assert!(test.stored_files().is_empty());
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap_err().code(), ErrorCode::Gone);
    assert_eq!(resumable::state(server, &id, &visitor(2)).await.unwrap_err().code(), ErrorCode::NotFound);
    let late = send(server, &id, tus(5), b"late!").await.unwrap_err();
    assert_eq!(late.refusal.code(), ErrorCode::Gone);
    assert_eq!(resumable::cancel(server, &id, &visitor(1)).await.unwrap_err().code(), ErrorCode::Gone);
}

#[tokio::test]
async fn its_progress_is_seen_in_between() {
    let test = TestServer::start().await;
    let server = test.server.clone();
    let id = resumable::create(&server, creation(Protocol::Tus, Some(10))).await.unwrap().id;
    let progress_id = id.as_str().parse().unwrap();
    let owner = visitor(1).owner;
    let frame = || server.progress().frame(&progress_id, Some(&owner));
    let (sender, body) = fed();
    let task = {
        let (server, id) = (server.clone(), id.clone());
        tokio::spawn(async move { resumable::append(&server, &id, tus(0), body).await })
    };
    sender.send(Ok(Bytes::from_static(b"1234"))).unwrap();
    let seen = wait_for(|| frame().filter(|frame| frame.received == 4)).await;
    assert_eq!((seen.state, seen.size), (ProgressState::Receiving, Some(10)));
    drop(sender);
    assert_eq!(task.await.unwrap().unwrap().offset, 4);
    let paused = frame().unwrap();
    assert_eq!((paused.state, paused.received), (ProgressState::Receiving, 4));
    assert!(paused.seq > seen.seq);
    let standing = server.catalog().standing(&progress_id, Some(&owner)).await.unwrap().unwrap();
    assert_eq!((standing.state, standing.received), (ProgressState::Receiving, 4));
    send(&server, &id, tus(4), b"567890").await.unwrap();
    let done = frame().unwrap();
    assert_eq!((done.state, done.received), (ProgressState::Done, 10));
    assert!(done.seq > paused.seq);
    assert_eq!(server.catalog().outcome(&progress_id, Some(&owner)).await.unwrap(), Some(done));
}

/// The server on this folder, as after a start.
async fn open(folder: &Path) -> Arc<Server> {
    Server::open(config(folder)).await.unwrap()
}

async fn close(server: Arc<Server>) {
    server.close(Duration::ZERO).await;
}

/// A hook that keeps what it is told, and takes it only after so many times.
fn hook(refuse: usize) -> (Hook, Arc<Mutex<Vec<Finished>>>) {
    let told = Arc::<Mutex<Vec<Finished>>>::default();
    let keep = told.clone();
    let hook: Hook = Arc::new(move |finished| {
        let mut told = keep.lock().unwrap();
        told.push(finished);
        let taken = if told.len() > refuse { Ok(()) } else { Err("not now".into()) };
        Box::pin(std::future::ready(taken))
    });
    (hook, told)
}

fn ids(told: &Mutex<Vec<Finished>>) -> HashSet<UploadId> {
    told.lock().unwrap().iter().map(|finished| finished.event_id.clone()).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// tus: a checksum of these bytes.
fn checksum_of(bytes: &[u8]) -> ChunkDigest {
    use base64::Engine as _;
    let digest = base64::prelude::BASE64_STANDARD.encode(sha256(bytes));
    ChunkDigest::Header(Checksum::parse(&format!("sha256 {digest}")).unwrap())
}

#[tokio::test]
async fn a_stalled_writer_gives_way_and_its_late_bytes_go_nowhere() {
    let test = TestServer::start().await;
    let server = &test.server;
    let whole = pattern(300_000);
    let id = create(server, Protocol::Tus, Some(300_000)).await;
    let (stalled, old) = begin(server, &id, tus(0));
    stalled.send(Ok(Bytes::copy_from_slice(&whole[..100_000]))).unwrap();
    received(server, &id, 100_000).await;
    // It would be waited for a minute.
    let asked = std::time::Instant::now();
    assert_eq!(offset(server, &id).await, 100_000, "every byte that came is kept");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let (_, refused) = (stalled.send(Ok(Bytes::from_static(b"too late"))), old.await.unwrap().unwrap_err());
    assert_eq!(code(&refused), (ErrorCode::Superseded, Some(100_000)));
    let last = send(server, &id, tus(100_000), &whole[100_000..]).await.unwrap();
    assert!(last.receipt.is_some());
    assert_eq!(stored(server, &id).await, whole);
}

#[tokio::test]
async fn of_many_at_one_offset_one_wins() {
    let test = TestServer::with(|config| config.max_open_uploads = None).await;
    let server = &test.server;
    let whole = pattern(400_000);
    for round in 0..5 {
        let id = create(server, Protocol::Tus, Some(400_000)).await;
        let all = (0..50).map(|_| {
            let (server, id, whole) = (server.clone(), id.clone(), whole.clone());
            tokio::spawn(async move { send(&server, &id, tus(0), &whole).await })
        });
        let mut won = 0;
        for one in all.collect::<Vec<_>>() {
            match one.await.unwrap() {
                Ok(upload) => {
                    assert!(upload.receipt.is_some());
                    won += 1;
                }
                Err(refused) => {
                    let code = refused.refusal.code();
                    assert!(
                        matches!(code, ErrorCode::OffsetMismatch | ErrorCode::Superseded),
                        "{round}: {refused:?}"
                    );
                }
            }
        }
        assert_eq!(won, 1, "{round}");
        assert_eq!(stored(server, &id).await, whole);
    }
    assert_eq!(server.catalog().list(&visitor(1).owner, 10).await.unwrap().len(), 5);
}

#[tokio::test]
async fn whoever_stands_elsewhere_disturbs_nobody() {
    let test = TestServer::start().await;
    let server = &test.server;
    let id = create(server, Protocol::Tus, Some(10)).await;
    let (sender, writing) = begin(server, &id, tus(0));
    sender.send(Ok(Bytes::from_static(b"12345"))).unwrap();
    received(server, &id, 5).await;
    let elsewhere = send(server, &id, tus(3), b"1234567").await.unwrap_err();
    assert_eq!(elsewhere.refusal.code(), ErrorCode::OffsetMismatch);
    sender.send(Ok(Bytes::from_static(b"67890"))).unwrap();
    drop(sender);
    assert!(writing.await.unwrap().unwrap().receipt.is_some());
    assert_eq!(stored(server, &id).await, b"1234567890");
}

#[tokio::test]
async fn cancelled_while_it_is_written_nothing_is_left() {
    let test = TestServer::start().await;
    let server = &test.server;
    let id = create(server, Protocol::Rufh, None).await;
    let (sender, writing) = begin(server, &id, rufh(0, Ends::Here));
    sender.send(Ok(Bytes::from_static(b"12345"))).unwrap();
    received(server, &id, 5).await;
    resumable::cancel(server, &id, &visitor(1)).await.unwrap();
    assert_eq!(writing.await.unwrap().unwrap_err().refusal.code(), ErrorCode::Superseded);
    assert!(test.stored_files().is_empty());
    let frame = server.progress().frame(&id.as_str().parse().unwrap(), Some(&visitor(1).owner)).unwrap();
    assert_eq!(frame.state, ProgressState::Cancelled);
    assert_eq!(server.catalog().owned_bytes(&visitor(1).owner).await.unwrap(), 0);
}

#[tokio::test]
async fn two_ends_at_once_are_one_end_and_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, told) = hook(0);
    let server = Server::open_with_hook(config(folder.path()), hook).await.unwrap();
    let mut uploads = HashSet::new();
    for _ in 0..20 {
        let id = create(&server, Protocol::Rufh, None).await;
        send(&server, &id, rufh(0, Ends::Later), b"all of it").await.unwrap();
        let (one, other) = tokio::join!(
            send(&server, &id, rufh(9, Ends::Here), b""),
            send(&server, &id, rufh(9, Ends::Here), b"")
        );
        // Both hear of the same end, or one had to let go for the other.
        let receipts: Vec<_> =
            [one, other].into_iter().filter_map(Result::ok).map(|ended| ended.receipt).collect();
        assert!(!receipts.is_empty() && receipts.iter().all(|receipt| receipt == &receipts[0]));
        uploads.insert(id);
    }
    assert_eq!(server.catalog().list(&visitor(1).owner, 100).await.unwrap().len(), 20);
    wait_for(|| (ids(&told).len() == 20).then_some(())).await;
    let files: HashSet<_> = told.lock().unwrap().iter().map(|finished| finished.upload.id.clone()).collect();
    assert_eq!(files, uploads, "one event for each");
    close(server).await;
}

#[tokio::test]
async fn a_chunk_that_differs_from_its_digest_is_not_there() {
    let test = TestServer::start().await;
    let server = &test.server;
    let whole = pattern(1_500_000);
    let id = create(server, Protocol::Tus, Some(1_500_000)).await;
    send(server, &id, tus(0), &whole[..1000]).await.unwrap();
    let with = |chunk_digest| Append { chunk_digest, ..tus(1000) };
    let wrong = send(server, &id, with(checksum_of(b"another")), &whole[1000..]).await.unwrap_err();
    assert_eq!(code(&wrong), (ErrorCode::ChecksumMismatch, Some(1000)));
    assert_eq!(offset(server, &id).await, 1000);
    let staged = &test.stored_files()[0];
    assert_eq!(std::fs::metadata(staged).unwrap().len(), 1000, "its space is given back");
    // Cut short: whether it would have agreed nobody knows.
    let (sender, writing) = begin(server, &id, with(checksum_of(&whole[1000..])));
    sender.send(Ok(Bytes::copy_from_slice(&whole[1000..700_000]))).unwrap();
    sender.send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
    assert_eq!(code(&writing.await.unwrap().unwrap_err()), (ErrorCode::Interrupted, Some(1000)));
    // A trailer that never comes.
    let lost = send(server, &id, with(ChunkDigest::Trailer), &whole[1000..]).await.unwrap_err();
    assert_eq!(code(&lost), (ErrorCode::Malformed, Some(1000)));
    let right = send(server, &id, with(checksum_of(&whole[1000..])), &whole[1000..]).await.unwrap();
    assert!(right.receipt.is_some());
    assert_eq!(stored(server, &id).await, whole);
}

#[tokio::test]
async fn a_file_that_differs_from_its_digest_never_is_one() {
    let test = TestServer::start().await;
    let server = &test.server;
    let announced =
        |bytes: &[u8]| Creation { repr_digest: Some(sha256(bytes)), ..creation(Protocol::Rufh, None) };
    let id = resumable::create(server, announced(b"the file")).await.unwrap().id;
    send(server, &id, rufh(0, Ends::Later), b"another ").await.unwrap();
    let refused = send(server, &id, rufh(8, Ends::Here), b"file").await.unwrap_err();
    assert_eq!(refused.refusal.code(), ErrorCode::DigestMismatch);
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap_err().code(), ErrorCode::Gone);
    assert!(test.stored_files().is_empty());
    let id = resumable::create(server, announced(b"the file")).await.unwrap().id;
    send(server, &id, rufh(0, Ends::Later), b"the ").await.unwrap();
    let receipt = send(server, &id, rufh(4, Ends::Here), b"file").await.unwrap().receipt.unwrap();
    let digest: String = sha256(b"the file").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(receipt.sha256, Some(digest));
}

#[tokio::test]
async fn nothing_lies_beyond_the_length() {
    let test = TestServer::start().await;
    let server = &test.server;
    let id = create(server, Protocol::Tus, Some(10)).await;
    send(server, &id, tus(0), b"1234").await.unwrap();
    // Announced, and found out on the way.
    let announced = send(server, &id, tus(4), b"567890+").await.unwrap_err();
    assert_eq!(code(&announced), (ErrorCode::TooLarge, Some(4)));
    let (sender, writing) = begin(server, &id, tus(4));
    sender.send(Ok(Bytes::from_static(b"567890"))).unwrap();
    received(server, &id, 10).await;
    sender.send(Ok(Bytes::from_static(b"+"))).unwrap();
    assert_eq!(code(&writing.await.unwrap().unwrap_err()), (ErrorCode::TooLarge, Some(4)));
    let upload = resumable::state(server, &id, &visitor(1)).await.unwrap();
    assert_eq!((upload.offset, &upload.receipt), (4, &None));
    assert_eq!(std::fs::read(&test.stored_files()[0]).unwrap(), b"1234");
    assert!(send(server, &id, tus(4), b"567890").await.unwrap().receipt.is_some());

    let id = create(server, Protocol::Rufh, Some(10)).await;
    send(server, &id, rufh(0, Ends::Later), b"1234").await.unwrap();
    let (sender, writing) = begin(server, &id, rufh(4, Ends::Later));
    sender.send(Ok(Bytes::from_static(b"567890+"))).unwrap();
    assert_eq!(writing.await.unwrap().unwrap_err().refusal.code(), ErrorCode::TooLarge);
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap_err().code(), ErrorCode::Gone);
}

#[tokio::test]
async fn lengths_agree_or_the_request_is_refused() {
    let test = TestServer::with(|config| config.limits.max_file_size = Some(1000)).await;
    let server = &test.server;
    let large = resumable::create(server, creation(Protocol::Tus, Some(1001))).await.unwrap_err();
    assert_eq!(large.code(), ErrorCode::TooLarge);
    let id = create(server, Protocol::Rufh, None).await;
    let says = |offset, ends, length| Append { length: Some(length), ..rufh(offset, ends) };
    send(server, &id, rufh(0, Ends::Later), b"12345").await.unwrap();
    for (append, why) in [
        (says(5, Ends::Later, 4), ErrorCode::LengthMismatch),
        (says(5, Ends::Here, 9), ErrorCode::LengthMismatch),
        (says(5, Ends::Later, 1001), ErrorCode::TooLarge),
    ] {
        let refused = send(server, &id, append, b"678").await.unwrap_err();
        assert_eq!(code(&refused), (why, Some(5)));
    }
    // Known late, and fixed from then on.
    assert_eq!(send(server, &id, says(5, Ends::Later, 10), b"").await.unwrap().length, Some(10));
    let other = send(server, &id, says(5, Ends::Later, 11), b"").await.unwrap_err();
    assert_eq!(code(&other), (ErrorCode::LengthMismatch, Some(5)));
    let early = send(server, &id, rufh(5, Ends::Here), b"678").await.unwrap_err();
    assert_eq!(code(&early), (ErrorCode::LengthMismatch, Some(5)));
    // The same without a length of the body: found out at its end, and no file.
    let (sender, writing) = begin(server, &id, rufh(5, Ends::Here));
    sender.send(Ok(Bytes::from_static(b"678"))).unwrap();
    drop(sender);
    assert_eq!(code(&writing.await.unwrap().unwrap_err()), (ErrorCode::LengthMismatch, Some(8)));
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap().receipt, None);
    assert!(send(server, &id, rufh(8, Ends::Here), b"90").await.unwrap().receipt.is_some());
    let id = create(server, Protocol::Tus, None).await;
    let (sender, writing) = begin(server, &id, tus(0));
    sender.send(Ok(pattern(1001).into())).unwrap();
    assert_eq!(writing.await.unwrap().unwrap_err().refusal.code(), ErrorCode::TooLarge);
}

#[tokio::test]
async fn a_truncated_end_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, told) = hook(0);
    let server = Server::open_with_hook(config(folder.path()), hook).await.unwrap();
    for (protocol, append) in [(Protocol::Tus, tus(0)), (Protocol::Rufh, rufh(0, Ends::Here))] {
        for length in [Some(10), None] {
            let id = create(&server, protocol, length).await;
            let (sender, writing) = begin(&server, &id, Append { body_size: length, ..append.clone() });
            sender.send(Ok(Bytes::from_static(b"12345"))).unwrap();
            sender.send(Err(io::ErrorKind::UnexpectedEof.into())).unwrap();
            assert_eq!(code(&writing.await.unwrap().unwrap_err()), (ErrorCode::Interrupted, Some(5)));
            let upload = resumable::state(&server, &id, &visitor(1)).await.unwrap();
            assert_eq!((upload.offset, upload.receipt), (5, None));
        }
    }
    assert!(server.catalog().list(&visitor(1).owner, 10).await.unwrap().is_empty());
    // An event that comes after all that could have come.
    let id = create(&server, Protocol::Rufh, None).await;
    send(&server, &id, rufh(0, Ends::Here), b"whole").await.unwrap();
    wait_for(|| (!told.lock().unwrap().is_empty()).then_some(())).await;
    assert_eq!(told.lock().unwrap()[0].upload.id, id);
    close(server).await;
}

#[tokio::test]
async fn silence_ends_a_request_and_keeps_what_came() {
    let test = TestServer::with(|config| config.limits.idle_timeout = Duration::from_millis(100)).await;
    let server = &test.server;
    let id = create(server, Protocol::Tus, Some(10)).await;
    let (sender, writing) = begin(server, &id, tus(0));
    sender.send(Ok(Bytes::from_static(b"12345"))).unwrap();
    let silent = tokio::time::timeout(PATIENCE, writing).await.unwrap().unwrap().unwrap_err();
    assert_eq!(code(&silent), (ErrorCode::TimedOut, Some(5)));
    assert!(send(server, &id, tus(5), b"67890").await.unwrap().receipt.is_some());
}

#[tokio::test]
async fn the_end_of_the_server_keeps_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let whole = pattern(3_000_000);
    let (id, done) = {
        let server = open(folder.path()).await;
        let id = create(&server, Protocol::Tus, Some(3_000_000)).await;
        let (sender, writing) = begin(&server, &id, tus(0));
        for chunk in whole[..2_000_000].chunks(70_000) {
            sender.send(Ok(Bytes::copy_from_slice(chunk))).unwrap();
        }
        received(&server, &id, 2_000_000).await;
        let done = create(&server, Protocol::Tus, Some(4)).await;
        send(&server, &done, tus(0), b"done").await.unwrap();
        close(server).await;
        let stopped = writing.await.unwrap().unwrap_err();
        assert_eq!(code(&stopped), (ErrorCode::ShuttingDown, Some(2_000_000)));
        (id, done)
    };
    let server = open(folder.path()).await;
    assert_eq!(offset(&server, &id).await, 2_000_000);
    assert!(send(&server, &id, tus(2_000_000), &whole[2_000_000..]).await.unwrap().receipt.is_some());
    assert_eq!(stored(&server, &id).await, whole);
    // The answer of before, once more (promise 10).
    assert!(send(&server, &done, tus(4), b"").await.unwrap().receipt.is_some());
    close(server).await;
}

/// What a start makes of staged bytes: of six uploads at 5 bytes each.
#[tokio::test]
async fn a_start_goes_back_to_the_last_checkpoint_and_trusts_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let staging = folder.path().join("staging");
    let mut uploads = Vec::new();
    {
        let server = open(folder.path()).await;
        for _ in 0..6 {
            let id = create(&server, Protocol::Tus, Some(10)).await;
            send(&server, &id, tus(0), b"123").await.unwrap();
            send(&server, &id, tus(3), b"45").await.unwrap();
            uploads.push(id);
        }
        close(server).await;
    }
    let path = |n: usize| staging.join(uploads[n].as_str());
    std::fs::write(path(1), b"12345 and what no checkpoint knows").unwrap();
    std::fs::write(path(2), b"1234").unwrap();
    std::fs::remove_file(path(3)).unwrap();
    std::fs::write(path(4), b"123x5").unwrap();
    std::fs::write(staging.join(UploadId::from_bits([9; 16]).as_str()), b"nobody knows it").unwrap();

    let server = open(folder.path()).await;
    for n in [0, 1, 5] {
        assert_eq!(offset(&server, &uploads[n]).await, 5, "{n}");
        assert_eq!(std::fs::read(path(n)).unwrap(), b"12345", "{n}");
    }
    for n in [2, 3, 4] {
        let gone = resumable::state(&server, &uploads[n], &visitor(1)).await.unwrap_err();
        assert_eq!(gone.code(), ErrorCode::Gone, "{n}");
        let pieces = server.catalog().pieces(&uploads[n]).await.unwrap().unwrap();
        assert_eq!((pieces.state, pieces.durable), (PiecesState::Failed, 5), "{n}");
    }
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 3);
    assert!(send(&server, &uploads[1], tus(5), b"67890").await.unwrap().receipt.is_some());
    assert_eq!(stored(&server, &uploads[1]).await, b"1234567890");
    close(server).await;
}

/// Killed between two steps of the end: sealed in the catalog and not yet stored; stored and not yet complete.
#[tokio::test]
async fn an_end_that_was_interrupted_is_made_good() {
    for is_stored in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let id = UploadId::from_bits([7; 16]);
        {
            let store = DiskStore::open(folder.path(), Durability::Full).await.unwrap();
            let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
            let terms = Terms {
                id: id.clone(),
                owner: visitor(1).owner,
                open_to_all: false,
                protocol: Protocol::Tus,
                metadata: Some("words".to_owned()),
                concat: None,
                is_part: false,
                progress_id: id.as_str().parse().unwrap(),
                want_sha256: true,
                expected_sha256: None,
            };
            let words =
                Words { name: "a".to_owned(), media_type: "text/plain".to_owned(), ..Words::default() };
            let new = NewPieces {
                terms,
                words,
                length: Some(5),
                expires_ms: u64::MAX >> 1,
                peer: None,
                admitted: Admitted::default(),
                joined_of: Vec::new(),
                max_unfinished: None,
            };
            catalog.begin_pieces(new).await.unwrap();
            let epoch = catalog.take_up(&id).await.unwrap().unwrap().epoch;
            let mut staging = store.stage(&id, StageOptions { sha256: false, keep: true }).await.unwrap();
            staging.write(vec![Bytes::from_static(b"whole")]).await.unwrap();
            let checkpoint: Checkpoint = staging.checkpoint().await.unwrap();
            let progressed = Progressed {
                id: id.clone(),
                epoch,
                checkpoint,
                appended_from: 0,
                length: Some(5),
                seal: true,
                expires_ms: 0,
            };
            assert!(catalog.checkpoint(progressed).await.unwrap());
            if is_stored {
                staging.seal().await.unwrap();
            }
            catalog.close().await;
        }
        let (hook, told) = hook(1);
        let server = Server::open_with_hook(config(folder.path()), hook).await.unwrap();
        let upload = resumable::state(&server, &id, &visitor(1)).await.unwrap();
        let receipt = upload.receipt.unwrap();
        assert_eq!((receipt.size, upload.offset), (5, 5), "{is_stored}");
        assert!(receipt.sha256.is_some(), "{is_stored}");
        assert_eq!(stored(&server, &id).await, b"whole");
        // Refused once, it comes again: at least once, with one id.
        wait_for(|| (told.lock().unwrap().len() >= 2).then_some(())).await;
        assert_eq!(ids(&told).len(), 1, "{is_stored}");
        let finished = told.lock().unwrap()[0].clone();
        assert_eq!((finished.upload, finished.metadata.as_deref()), (receipt, Some("words")));
        close(server).await;
    }
}

#[tokio::test]
async fn an_event_that_nobody_took_comes_again_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let (never, refused) = hook(usize::MAX);
    let id = {
        let server = Server::open_with_hook(config(folder.path()), never).await.unwrap();
        let id = create(&server, Protocol::Tus, Some(4)).await;
        send(&server, &id, tus(0), b"file").await.unwrap();
        wait_for(|| (!refused.lock().unwrap().is_empty()).then_some(())).await;
        close(server).await;
        id
    };
    let (hook, told) = hook(0);
    let server = Server::open_with_hook(config(folder.path()), hook).await.unwrap();
    wait_for(|| (!told.lock().unwrap().is_empty()).then_some(())).await;
    assert_eq!(told.lock().unwrap()[0].upload.id, id);
    assert_eq!(ids(&told), ids(&refused));
    wait_for_async(async || server.catalog().next_delivery().await.unwrap().is_none()).await;
    close(server).await;
    // Nobody wants to know: nothing is kept.
    let server = open(folder.path()).await;
    let id = create(&server, Protocol::Tus, Some(4)).await;
    send(&server, &id, tus(0), b"file").await.unwrap();
    assert_eq!(server.catalog().next_delivery().await.unwrap(), None);
    close(server).await;
}

async fn wait_for_async(look: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !look().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_upload_is_made_of_parts() {
    let test = TestServer::start().await;
    let server = &test.server;
    let part = |length| Creation { partial: true, ..creation(Protocol::Tus, Some(length)) };
    let (first, second) = (pattern(600_000), b"second".to_vec());
    let one = resumable::create(server, part(600_000)).await.unwrap().id;
    let two = resumable::create(server, part(6)).await.unwrap().id;
    let whole = send(server, &one, tus(0), &first).await.unwrap();
    assert_eq!((whole.offset, whole.receipt), (600_000, None), "a part is no file");
    let words = |parts: &[&UploadId]| {
        parts.iter().fold("final;".to_owned(), |words, id| format!("{words}/files/{id} "))
    };
    let made_of = |parts: &[&UploadId]| {
        let words = Some(words(parts));
        let parts = parts.iter().map(|&id| id.clone()).collect();
        resumable::concatenate(server, Creation { concat: words, ..creation(Protocol::Tus, None) }, parts)
    };
    let early = made_of(&[&one, &two]).await.unwrap_err();
    assert_eq!(early.code(), ErrorCode::Malformed, "not whole yet");
    send(server, &two, tus(0), &second).await.unwrap();
    assert_eq!(send(server, &two, tus(6), b"").await.unwrap().offset, 6);
    let file = create(server, Protocol::Tus, Some(1)).await;
    assert_eq!(made_of(&[&one, &file]).await.unwrap_err().code(), ErrorCode::Malformed, "no part");
    let unknown = UploadId::from_bits([3; 16]);
    assert_eq!(made_of(&[&unknown]).await.unwrap_err().code(), ErrorCode::NotFound);
    // Used again and repeated.
    for parts in [&[&one, &two, &two][..], &[&two], &[]] {
        let made = made_of(parts).await.unwrap();
        let expected: Vec<u8> =
            parts.iter().flat_map(|&id| if id == &one { first.clone() } else { second.clone() }).collect();
        assert_eq!(stored(server, &made.id).await, expected);
        assert_eq!(made.concat, Some(words(parts)));
        assert_eq!(made.receipt.unwrap().size, expected.len() as u64);
        let more = send(server, &made.id, tus(expected.len() as u64), b"more").await.unwrap_err();
        assert_eq!(more.refusal.code(), ErrorCode::Forbidden);
    }
    assert_eq!(server.catalog().list(&visitor(1).owner, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn nobody_waits_for_an_unfinished_upload_for_ever_and_a_file_has_no_age() {
    let test = TestServer::with(|config| config.max_age = Duration::from_millis(300)).await;
    let server = &test.server;
    let file = create(server, Protocol::Tus, Some(4)).await;
    let receipt = send(server, &file, tus(0), b"file").await.unwrap().receipt;
    let id = create(server, Protocol::Tus, Some(10)).await;
    let upload = send(server, &id, tus(0), b"12345").await.unwrap();
    assert!(upload.expires_ms.is_some());
    wait_for_async(async || resumable::state(server, &id, &visitor(1)).await.is_err()).await;
    assert_eq!(resumable::state(server, &id, &visitor(1)).await.unwrap_err().code(), ErrorCode::Gone);
    let late = send(server, &id, tus(5), b"67890").await.unwrap_err();
    assert_eq!(late.refusal.code(), ErrorCode::Gone);
    let frame = server.progress().frame(&id.as_str().parse().unwrap(), Some(&visitor(1).owner)).unwrap();
    assert_eq!(frame.state, ProgressState::Expired);
    let upload = resumable::state(server, &file, &visitor(1)).await.unwrap();
    assert_eq!((upload.receipt, upload.expires_ms), (receipt, None));
    assert_eq!(stored(server, &file).await, b"file");
    assert_eq!(test.stored_files().len(), 1);
}

/// Promise 12, and issue "a full disk": the offset is told, others go on, and so does this one when there is room.
#[tokio::test]
async fn without_room_an_upload_waits_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.space_reserve = 0;
    let server = Server::in_memory(config, 1_000_000).await.unwrap();
    let filler = create(&server, Protocol::Tus, Some(700_000)).await;
    send(&server, &filler, tus(0), &pattern(600_000)).await.unwrap();
    let whole = pattern(800_000);
    let id = create(&server, Protocol::Tus, Some(800_000)).await;
    send(&server, &id, tus(0), &whole[..300_000]).await.unwrap();
    let (sender, writing) = begin(&server, &id, tus(300_000));
    for chunk in whole[300_000..].chunks(50_000) {
        let _ = sender.send(Ok(Bytes::copy_from_slice(chunk)));
    }
    let full = writing.await.unwrap().unwrap_err();
    assert_eq!(full.refusal.code(), ErrorCode::OutOfSpace);
    let at = full.at.unwrap();
    assert!((300_000..=400_000).contains(&at), "{at}");
    assert_eq!(offset(&server, &id).await, at);
    // Announced, it is refused before a byte is read.
    let announced = send(&server, &id, tus(at), &whole[at as usize..]).await.unwrap_err();
    assert_eq!(code(&announced), (ErrorCode::OutOfSpace, Some(at)));
    assert_eq!(offset(&server, &filler).await, 600_000, "others are where they were");
    resumable::cancel(&server, &filler, &visitor(1)).await.unwrap();
    assert!(send(&server, &id, tus(at), &whole[at as usize..]).await.unwrap().receipt.is_some());
    assert_eq!(stored(&server, &id).await, whole);
    close(server).await;
}

#[tokio::test]
async fn uploads_under_way_share_what_their_owner_may_have() {
    let test = TestServer::with(|config| config.limits.max_bytes_per_owner = Some(1000)).await;
    let server = &test.server;
    let id = create(server, Protocol::Tus, Some(600)).await;
    let second = resumable::create(server, creation(Protocol::Tus, Some(500))).await.unwrap_err();
    assert_eq!(second.code(), ErrorCode::QuotaExceeded);
    // Of unknown length: as far as there is room, which two of them share.
    let (one, other) =
        (create(server, Protocol::Rufh, None).await, create(server, Protocol::Rufh, None).await);
    let (sender, writing) = begin(server, &one, rufh(0, Ends::Here));
    sender.send(Ok(pattern(300).into())).unwrap();
    received(server, &one, 300).await;
    let much = send(server, &other, rufh(0, Ends::Later), &pattern(101)).await;
    let much = much.unwrap_err();
    assert_eq!(much.refusal.code(), ErrorCode::QuotaExceeded);
    drop(sender);
    assert!(writing.await.unwrap().unwrap().receipt.is_some());
    assert!(send(server, &id, tus(0), &pattern(600)).await.unwrap().receipt.is_some());
    assert_eq!(resumable::state(server, &one, &visitor(1)).await.unwrap().offset, 300);
}

#[tokio::test]
async fn without_the_cookie_whoever_knows_the_id_goes_on() {
    let test = TestServer::start().await;
    let server = &test.server;
    let stranger = |n| Visitor { known: false, ..visitor(n) };
    let open = Creation { visitor: stranger(1), ..creation(Protocol::Tus, Some(10)) };
    let id = resumable::create(server, open).await.unwrap().id;
    let by = |visitor, offset| Append { visitor, ..tus(offset) };
    send(server, &id, by(stranger(2), 0), b"12345").await.unwrap();
    let last = send(server, &id, by(visitor(3), 5), b"67890").await.unwrap();
    assert!(last.receipt.is_some());
    assert_eq!(server.catalog().find(&id).await.unwrap().unwrap().owner, visitor(1).owner);
    // With it, nobody else does, with or without a cookie of their own.
    let id = create(server, Protocol::Tus, Some(10)).await;
    for visitor in [visitor(2), stranger(1)] {
        let refused = send(server, &id, by(visitor.clone(), 0), b"12345").await.unwrap_err();
        assert_eq!(code(&refused), (ErrorCode::NotFound, None));
        assert_eq!(resumable::state(server, &id, &visitor).await.unwrap_err().code(), ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn a_name_of_ones_own_is_watched_by_and_is_nobody_elses() {
    let test = TestServer::start().await;
    let server = &test.server;
    let named = |n| {
        let progress_id = Some("my-own-name".parse().unwrap());
        Creation { progress_id, visitor: visitor(n), ..creation(Protocol::Tus, Some(10)) }
    };
    let id = resumable::create(server, named(1)).await.unwrap().id;
    let again = resumable::create(server, named(1)).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::ProgressIdInUse);
    resumable::create(server, named(2)).await.unwrap();
    send(server, &id, tus(0), b"1234567890").await.unwrap();
    let frame = server.progress().frame(&"my-own-name".parse().unwrap(), Some(&visitor(1).owner)).unwrap();
    assert_eq!((frame.state, frame.receipts[0].id.clone()), (ProgressState::Done, id));
    resumable::create(server, named(1)).await.unwrap();
}

/// Nobody asks for it: it is found and given up in the background.
#[tokio::test]
async fn what_nobody_goes_on_with_is_swept_and_files_are_not() {
    let test = TestServer::with(|config| config.max_age = Duration::from_millis(300)).await;
    let whole = resumable::create(&test.server, creation(Protocol::Tus, Some(5))).await.unwrap().id;
    send(&test.server, &whole, tus(0), b"hello").await.unwrap();
    let left = resumable::create(&test.server, creation(Protocol::Tus, Some(10))).await.unwrap().id;
    send(&test.server, &left, tus(0), b"hello").await.unwrap();
    // The catalog itself: whoever asks the server would expire it by asking.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while test
        .server
        .catalog()
        .pieces(&left)
        .await
        .unwrap()
        .is_some_and(|pieces| pieces.state == PiecesState::Open)
    {
        assert!(tokio::time::Instant::now() < deadline, "it was never swept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    wait_for(|| (test.stored_files().len() == 1).then_some(())).await;
    let upload = resumable::state(&test.server, &whole, &visitor(1)).await.unwrap();
    assert_eq!((upload.offset, upload.receipt.is_some()), (5, true));
}

/// It used to be told that it stood elsewhere, and with that the very offset it had asked to go on from.
#[tokio::test]
async fn who_goes_on_where_it_was_durable_is_told_where_a_silent_writer_has_come_to() {
    let test = TestServer::start().await;
    let server = &test.server;
    let whole = pattern(60_000);
    let id = create(server, Protocol::Rufh, Some(60_000)).await;
    let (sender, silent) = begin(server, &id, rufh(0, Ends::Here));
    sender.send(Ok(Bytes::copy_from_slice(&whole[..40_000]))).unwrap();
    received(server, &id, 40_000).await;
    let refused = send(server, &id, rufh(0, Ends::Here), &whole).await.unwrap_err();
    assert_eq!(code(&refused), (ErrorCode::OffsetMismatch, Some(40_000)));
    assert!(!silent.is_finished(), "who may still be alive is left alone");
    let last = send(server, &id, rufh(40_000, Ends::Here), &whole[40_000..]).await.unwrap();
    assert!(last.receipt.is_some());
    let gone = silent.await.unwrap().unwrap_err();
    assert_eq!(gone.refusal.code(), ErrorCode::Superseded);
    assert_eq!(stored(server, &id).await, whole);
}

/// A piece that has to agree with a digest is kept whole or not at all: a writer that has stopped in the middle of one
/// has nothing to tell, and lets go.
#[tokio::test]
async fn a_silent_writer_that_can_keep_nothing_gives_way() {
    let test = TestServer::start().await;
    let server = &test.server;
    let whole = pattern(60_000);
    let id = create(server, Protocol::Tus, Some(60_000)).await;
    let checked = Append { chunk_digest: checksum_of(&whole), ..tus(0) };
    let (sender, silent) = begin(server, &id, checked.clone());
    sender.send(Ok(Bytes::copy_from_slice(&whole[..40_000]))).unwrap();
    received(server, &id, 40_000).await;
    assert!(send(server, &id, checked, &whole).await.unwrap().receipt.is_some());
    assert_eq!(silent.await.unwrap().unwrap_err().refusal.code(), ErrorCode::Superseded);
    assert_eq!(stored(server, &id).await, whole);
}
