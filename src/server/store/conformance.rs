//! What every store must do, as one list of checks. A backend's tests call [`check`] on an empty store, which is
//! empty again afterwards. Must never know which backend it looks at.

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{Checkpoint, StageOptions, Staging, Store, StoreError};
use crate::wire::UploadId;

const PLAIN: StageOptions = StageOptions { sha256: false, keep: false };
const KEPT: StageOptions = StageOptions { sha256: false, keep: true };
const KEPT_HASHED: StageOptions = StageOptions { sha256: true, keep: true };
const HASHED: StageOptions = StageOptions { sha256: true, keep: false };

/// Runs all checks.
pub(super) async fn check<S: Store>(store: &S) {
    assert!(store.healthy());
    what_is_written_is_read(store).await;
    the_digest_is_that_of_the_bytes(store).await;
    an_empty_file_is_a_file(store).await;
    ranges_are_exact(store).await;
    staged_is_not_stored(store).await;
    an_id_is_used_once(store).await;
    settled_is_still_staged(store).await;
    what_is_not_sealed_goes(store).await;
    what_is_kept_is_taken_up_where_it_was(store).await;
    what_is_beyond_the_offset_is_cut_off(store).await;
    only_what_is_staged_and_long_enough_is_taken_up(store).await;
    checkpoints_follow_each_other(store).await;
    the_digest_of_a_file_in_pieces_is_that_of_the_whole(store).await;
    files_are_joined(store).await;
    what_is_kept_can_be_read_and_removed(store).await;
    removal_is_idempotent(store).await;
    what_is_open_can_be_read_to_its_end(store).await;
    space_is_told_and_comes_back(store).await;
    many_at_once(store).await;
    assert_eq!(store.staged().await.unwrap(), []);
    assert_eq!(store.sweep().await.unwrap(), 0);
}

fn id(number: u8) -> UploadId {
    UploadId::from_bits([number; 16])
}

/// Bytes that are different everywhere, so that a wrong offset shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn put<S: Store>(store: &S, id: &UploadId, bytes: &[u8]) {
    let mut staging = store.stage(id, PLAIN).await.unwrap();
    staging.write(vec![Bytes::copy_from_slice(bytes)]).await.unwrap();
    staging.seal().await.unwrap();
}

async fn read<S: Store>(store: &S, id: &UploadId, range: Range<u64>) -> Vec<u8> {
    let pieces: Vec<Bytes> = store.open(id).await.unwrap().stream(range).try_collect().await.unwrap();
    pieces.concat()
}

async fn is_absent<S: Store>(store: &S, id: &UploadId) -> bool {
    matches!(store.open(id).await, Err(StoreError::NotFound))
}

async fn what_is_written_is_read<S: Store>(store: &S) {
    let whole = pattern(1_300_001);
    let mut staging = store.stage(&id(1), PLAIN).await.unwrap();
    let bytes = Bytes::from(whole.clone());
    // Uneven pieces, an empty one, an empty list, and more pieces than fit into one system call.
    staging.write(vec![bytes.slice(..1), Bytes::new(), bytes.slice(1..70_000)]).await.unwrap();
    assert_eq!(staging.len(), 70_000);
    staging.write(Vec::new()).await.unwrap();
    staging.write((0..3000).map(|i| bytes.slice(70_000 + i * 10..70_010 + i * 10)).collect()).await.unwrap();
    staging.write(vec![bytes.slice(100_000..)]).await.unwrap();
    assert_eq!(staging.len(), whole.len() as u64);
    let sealed = staging.seal().await.unwrap();
    assert_eq!((sealed.size, sealed.sha256), (whole.len() as u64, None));
    assert_eq!(store.open(&id(1)).await.unwrap().len(), whole.len() as u64);
    assert_eq!(read(store, &id(1), 0..whole.len() as u64).await, whole);
    store.remove(&id(1)).await.unwrap();
}

async fn the_digest_is_that_of_the_bytes<S: Store>(store: &S) {
    // FIPS 180-2, appendix B.1 and B.2, and the empty message.
    let cases: [(&[&'static str], &str); 3] = [
        (&["a", "b", "c"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            &["abcdbcdecdefdefgefghfghighijhijk", "ijkljklmklmnlmnomnopnopq"],
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (&[], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ];
    for (pieces, digest) in cases {
        let mut staging = store.stage(&id(2), HASHED).await.unwrap();
        for piece in pieces {
            staging.write(vec![Bytes::from_static(piece.as_bytes())]).await.unwrap();
        }
        assert_eq!(staging.seal().await.unwrap().sha256.as_deref(), Some(digest));
        store.remove(&id(2)).await.unwrap();
    }
}

async fn an_empty_file_is_a_file<S: Store>(store: &S) {
    let sealed = store.stage(&id(3), PLAIN).await.unwrap().seal().await.unwrap();
    assert_eq!(sealed.size, 0);
    assert!(store.open(&id(3)).await.unwrap().is_empty());
    assert_eq!(read(store, &id(3), 0..10).await, b"");
    store.remove(&id(3)).await.unwrap();
}

async fn ranges_are_exact<S: Store>(store: &S) {
    let whole = pattern(600_000);
    put(store, &id(4), &whole).await;
    let end = whole.len() as u64;
    for range in [0..1, 1..2, 5..5, 262_143..262_145, 100..524_289, end - 1..end, 0..end] {
        let expected = &whole[range.start as usize..range.end as usize];
        assert_eq!(read(store, &id(4), range.clone()).await, expected, "{range:?}");
    }
    assert_eq!(read(store, &id(4), end - 2..u64::MAX).await, whole[whole.len() - 2..]);
    assert_eq!(read(store, &id(4), end..u64::MAX).await, b"");
    assert_eq!(read(store, &id(4), u64::MAX - 1..u64::MAX).await, b"");
    store.remove(&id(4)).await.unwrap();
}

async fn staged_is_not_stored<S: Store>(store: &S) {
    let mut staging = store.stage(&id(5), PLAIN).await.unwrap();
    staging.write(vec![Bytes::from_static(b"half")]).await.unwrap();
    assert!(is_absent(store, &id(5)).await);
    assert_eq!(store.staged().await.unwrap(), [id(5)]);
    assert!(matches!(store.confirm(&id(5)).await, Err(StoreError::NotFound)));
    staging.seal().await.unwrap();
    store.confirm(&id(5)).await.unwrap();
    assert_eq!(store.staged().await.unwrap(), []);
    assert_eq!(read(store, &id(5), 0..4).await, b"half");
    store.remove(&id(5)).await.unwrap();
}

async fn an_id_is_used_once<S: Store>(store: &S) {
    let mut first = store.stage(&id(6), PLAIN).await.unwrap();
    first.write(vec![Bytes::from_static(b"first")]).await.unwrap();
    assert!(matches!(store.stage(&id(6), PLAIN).await, Err(StoreError::Exists)));
    first.seal().await.unwrap();
    assert!(matches!(store.stage(&id(6), PLAIN).await, Err(StoreError::Exists)));
    assert_eq!(read(store, &id(6), 0..5).await, b"first");
    store.remove(&id(6)).await.unwrap();
    put(store, &id(6), b"second").await;
    assert_eq!(read(store, &id(6), 0..9).await, b"second");
    store.remove(&id(6)).await.unwrap();
}

async fn settled_is_still_staged<S: Store>(store: &S) {
    let mut staging = store.stage(&id(7), HASHED).await.unwrap();
    staging.write(vec![Bytes::from_static(b"abc")]).await.unwrap();
    staging.settle().await.unwrap();
    staging.settle().await.unwrap();
    assert!(is_absent(store, &id(7)).await);
    assert_eq!(store.staged().await.unwrap(), [id(7)]);
    let sealed = staging.seal().await.unwrap();
    assert_eq!(sealed.size, 3);
    assert!(sealed.sha256.is_some_and(|digest| digest.starts_with("ba7816bf")));

    let mut settled = store.stage(&id(8), PLAIN).await.unwrap();
    settled.settle().await.unwrap();
    let late = settled.write(vec![Bytes::from_static(b"late")]).await;
    assert!(matches!(late, Err(StoreError::Broken)));
    assert!(matches!(settled.seal().await, Err(StoreError::Broken)));
    assert!(is_absent(store, &id(8)).await);
    store.remove(&id(7)).await.unwrap();
}

async fn what_is_not_sealed_goes<S: Store>(store: &S) {
    let before = store.available_space().await.unwrap();
    for settle in [false, true] {
        let mut discarded = store.stage(&id(9), PLAIN).await.unwrap();
        let mut dropped = store.stage(&id(10), PLAIN).await.unwrap();
        discarded.write(vec![Bytes::from_static(b"half")]).await.unwrap();
        dropped.write(vec![Bytes::from_static(b"half")]).await.unwrap();
        if settle {
            discarded.settle().await.unwrap();
            dropped.settle().await.unwrap();
        }
        discarded.discard().await;
        drop(dropped);
        assert_eq!(store.staged().await.unwrap(), []);
        assert!(is_absent(store, &id(9)).await && is_absent(store, &id(10)).await);
    }
    // Of a store that others share only that it still answers can be said; ours alone is exact.
    assert_eq!(store.available_space().await.unwrap().is_some(), before.is_some());
}

async fn what_is_kept_is_taken_up_where_it_was<S: Store>(store: &S) {
    let whole = pattern(700_000);
    let bytes = Bytes::from(whole.clone());
    let mut staging = store.stage(&id(14), KEPT).await.unwrap();
    staging.write(vec![bytes.slice(..300_000)]).await.unwrap();
    staging.checkpoint().await.unwrap();
    drop(staging);
    assert!(is_absent(store, &id(14)).await);
    assert_eq!(store.staged().await.unwrap(), [id(14)]);
    assert!(matches!(store.stage(&id(14), KEPT).await, Err(StoreError::Exists)));
    let mut staging = store.resume(&id(14), 300_000, KEPT).await.unwrap();
    assert_eq!(staging.len(), 300_000);
    assert!(matches!(store.resume(&id(14), 300_000, KEPT).await, Err(StoreError::Busy)), "one at a time");
    staging.write(vec![bytes.slice(300_000..300_001), bytes.slice(300_001..)]).await.unwrap();
    assert_eq!(staging.seal().await.unwrap().size, whole.len() as u64);
    assert_eq!(read(store, &id(14), 0..u64::MAX).await, whole);
    assert_eq!(store.staged().await.unwrap(), []);
    store.remove(&id(14)).await.unwrap();
}

async fn what_is_beyond_the_offset_is_cut_off<S: Store>(store: &S) {
    let mut staging = store.stage(&id(15), KEPT).await.unwrap();
    staging.write(vec![Bytes::from_static(b"good and bad")]).await.unwrap();
    drop(staging);
    let mut staging = store.resume(&id(15), 4, PLAIN).await.unwrap();
    staging.write(vec![Bytes::from_static(b"!")]).await.unwrap();
    drop(staging);
    let staging = store.resume(&id(15), 5, KEPT).await.unwrap();
    assert_eq!(staging.seal().await.unwrap().size, 5);
    assert_eq!(read(store, &id(15), 0..u64::MAX).await, b"good!");
    store.remove(&id(15)).await.unwrap();
}

async fn only_what_is_staged_and_long_enough_is_taken_up<S: Store>(store: &S) {
    assert!(matches!(store.resume(&id(16), 0, KEPT).await, Err(StoreError::NotFound)));
    let mut staging = store.stage(&id(16), KEPT).await.unwrap();
    staging.write(vec![Bytes::from_static(b"four")]).await.unwrap();
    drop(staging);
    let short = store.resume(&id(16), 5, KEPT).await;
    assert!(matches!(short, Err(StoreError::Short { found: 4, expected: 5 })));
    assert!(matches!(store.open_staged(&id(16), 5).await, Err(StoreError::Short { found: 4, expected: 5 })));
    // It is still what it was.
    let staging = store.resume(&id(16), 4, KEPT).await.unwrap();
    staging.seal().await.unwrap();
    assert!(matches!(store.resume(&id(16), 0, KEPT).await, Err(StoreError::NotFound)));
    assert!(matches!(store.open_staged(&id(16), 0).await, Err(StoreError::NotFound)));
    assert_eq!(read(store, &id(16), 0..9).await, b"four");
    store.remove(&id(16)).await.unwrap();
}

async fn checkpoints_follow_each_other<S: Store>(store: &S) {
    let whole = Bytes::from(pattern(400_000));
    let mut staging = store.stage(&id(17), KEPT).await.unwrap();
    assert_eq!(staging.checkpoint().await.unwrap(), Checkpoint { range: 0..0, crc32c: 0 });
    staging.write(vec![whole.slice(..100_000), whole.slice(100_000..150_000)]).await.unwrap();
    let under_way = staging.checkpoint();
    // Beside the writing, and of what was written before it was asked for.
    staging.write(vec![whole.slice(150_000..200_000)]).await.unwrap();
    let crc32c = |range: Range<usize>| crc32c::crc32c(&whole[range]);
    let first = Checkpoint { range: 0..150_000, crc32c: crc32c(0..150_000) };
    assert_eq!(under_way.await.unwrap(), first);
    let second = Checkpoint { range: 150_000..200_000, crc32c: crc32c(150_000..200_000) };
    assert_eq!(staging.checkpoint().await.unwrap(), second);
    drop(staging);
    let mut staging = store.resume(&id(17), 200_000, KEPT).await.unwrap();
    staging.write(vec![whole.slice(200_000..)]).await.unwrap();
    let third = Checkpoint { range: 200_000..400_000, crc32c: crc32c(200_000..400_000) };
    assert_eq!(staging.checkpoint().await.unwrap(), third);
    staging.settle().await.unwrap();
    assert!(matches!(staging.checkpoint().await, Err(StoreError::Broken)));
    staging.discard().await;
}

async fn the_digest_of_a_file_in_pieces_is_that_of_the_whole<S: Store>(store: &S) {
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut staging = store.stage(&id(18), KEPT_HASHED).await.unwrap();
    for (at, piece) in ["a", "b", "c"].into_iter().enumerate() {
        staging.write(vec![Bytes::from_static(piece.as_bytes())]).await.unwrap();
        drop(staging);
        staging = store.resume(&id(18), at as u64 + 1, KEPT_HASHED).await.unwrap();
    }
    assert_eq!(staging.settle().await.unwrap().sha256.as_deref(), Some(abc));
    assert_eq!(staging.seal().await.unwrap().sha256.as_deref(), Some(abc));
    store.remove(&id(18)).await.unwrap();
}

async fn files_are_joined<S: Store>(store: &S) {
    let whole = pattern(700_000);
    let (first, second) = whole.split_at(500_000);
    for (part, bytes) in [(id(50), first), (id(51), second)] {
        let mut staging = store.stage(&part, KEPT).await.unwrap();
        staging.write(vec![Bytes::copy_from_slice(bytes)]).await.unwrap();
        staging.checkpoint().await.unwrap();
    }
    let all_of = async |part: u8, len: usize| store.open_staged(&id(part), len as u64).await.unwrap();
    for options in [KEPT, HASHED] {
        let mut staging = store.stage(&id(52), options).await.unwrap();
        staging.write(vec![Bytes::from_static(b"before")]).await.unwrap();
        staging.join(all_of(50, first.len()).await).await.unwrap();
        staging.join(all_of(51, 0).await).await.unwrap();
        staging.join(all_of(51, 9).await).await.unwrap();
        assert_eq!(staging.len(), 6 + 500_000 + 9);
        assert_eq!(staging.checkpoint().await.unwrap().range, 0..500_015);
        staging.write(vec![Bytes::copy_from_slice(&second[9..])]).await.unwrap();
        let checkpoint = staging.checkpoint().await.unwrap();
        let crc32c = if options.keep { crc32c::crc32c(&second[9..]) } else { 0 };
        assert_eq!(checkpoint, Checkpoint { range: 500_015..700_006, crc32c });
        let expected = [b"before", whole.as_slice()].concat();
        let digest = options.sha256.then(|| super::hex(&<sha2::Sha256 as sha2::Digest>::digest(&expected)));
        assert_eq!(staging.seal().await.unwrap().sha256, digest);
        assert_eq!(read(store, &id(52), 0..u64::MAX).await, expected);
        store.remove(&id(52)).await.unwrap();
    }
    // The parts are what they were.
    let left: Vec<Bytes> = all_of(50, first.len()).await.stream(0..u64::MAX).try_collect().await.unwrap();
    assert_eq!(left.concat(), first);
    for part in [50, 51] {
        store.remove(&id(part)).await.unwrap();
    }
}

async fn what_is_kept_can_be_read_and_removed<S: Store>(store: &S) {
    let whole = pattern(500_000);
    let mut staging = store.stage(&id(19), KEPT).await.unwrap();
    staging.write(vec![Bytes::from(whole.clone())]).await.unwrap();
    drop(staging);
    let readable = store.open_staged(&id(19), 400_000).await.unwrap();
    let pieces: Vec<Bytes> = readable.stream(100..u64::MAX).try_collect().await.unwrap();
    assert_eq!(pieces.concat(), whole[100..400_000]);
    store.remove(&id(19)).await.unwrap();
    assert_eq!(store.staged().await.unwrap(), []);
    drop(store.stage(&id(19), KEPT).await.unwrap());
    put(store, &id(20), b"stored").await;
    for id in [id(19), id(19), id(20)] {
        store.unstage(&id).await.unwrap();
    }
    assert_eq!(store.staged().await.unwrap(), []);
    assert_eq!(read(store, &id(20), 0..9).await, b"stored", "only what is staged");
    store.remove(&id(20)).await.unwrap();
    let discarded = store.stage(&id(19), KEPT).await.unwrap();
    discarded.discard().await;
    assert_eq!(store.staged().await.unwrap(), [], "discarded is discarded, kept or not");
}

async fn removal_is_idempotent<S: Store>(store: &S) {
    store.remove(&id(11)).await.unwrap();
    put(store, &id(11), b"gone").await;
    put(store, &id(12), b"stays").await;
    store.remove(&id(11)).await.unwrap();
    store.remove(&id(11)).await.unwrap();
    assert!(is_absent(store, &id(11)).await);
    assert_eq!(read(store, &id(12), 0..5).await, b"stays");
    store.remove(&id(12)).await.unwrap();
}

async fn what_is_open_can_be_read_to_its_end<S: Store>(store: &S) {
    let whole = pattern(900_000);
    put(store, &id(13), &whole).await;
    let mut reading = store.open(&id(13)).await.unwrap().stream(0..u64::MAX);
    let first = reading.try_next().await.unwrap().unwrap();
    store.remove(&id(13)).await.unwrap();
    let rest: Vec<Bytes> = reading.try_collect().await.unwrap();
    assert_eq!([first.to_vec(), rest.concat()].concat(), whole);
    assert!(is_absent(store, &id(13)).await);
}

async fn space_is_told_and_comes_back<S: Store>(store: &S) {
    if let Some(space) = store.available_space().await.unwrap() {
        assert!(space > 4 << 20, "the checks need some room");
    }
}

async fn many_at_once<S: Store>(store: &S) {
    let one = async |number: u8| {
        let bytes = pattern(10_000 + usize::from(number));
        let mut staging = store.stage(&id(number), PLAIN).await.unwrap();
        for piece in bytes.chunks(999) {
            staging.write(vec![Bytes::copy_from_slice(piece)]).await.unwrap();
        }
        staging.seal().await.unwrap();
        assert_eq!(read(store, &id(number), 0..u64::MAX).await, bytes);
        store.remove(&id(number)).await.unwrap();
    };
    futures_util::future::join_all((100..180).map(one)).await;
}
