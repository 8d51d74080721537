//! Uploads in pieces, from within: what must hold whatever protocol they come by. Bodies are what the test sends,
//! when it sends it.

use std::{io, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::TryStreamExt;
use plimsoll::{
    server::{
        Server,
        owner::OwnerId,
        resumable::{self, Append, ChunkDigest, Creation, Ends, Overflow, Protocol, Rejected, Upload},
        security::Visitor,
        store::Store,
    },
    wire::{ErrorCode, ProgressState, UploadId},
};
use tokio::sync::mpsc;

use crate::util::{TestServer, pattern, wait_for};

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
    Visitor { owner: OwnerId::from_bits([n; 16]), known: true }
}

fn creation(protocol: Protocol, length: Option<u64>) -> Creation {
    Creation {
        visitor: visitor(1),
        name: "name.bin".to_owned(),
        media_type: "application/x-test".to_owned(),
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
