//! Receiving, whole: real bodies into real folders. What must be there afterwards, and what must not.

use std::{
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
        Refusal,
        body::drain,
        multipart::Boundary,
        owner::{OwnerId, Scope},
        progress::{Announce, Begun, Counter, Progress},
        receive::{Buffers, Expected, FileHead, ReceiveLimits, Received, receive_form, receive_raw},
        store::{AnyStore, DiskStore, Durability, MemoryStore, Store},
    },
    wire::{ErrorCode, ProgressId, ProgressState, UploadId},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

const BOUNDARY: &str = "----plimsoll-test";

type Chunk = io::Result<Bytes>;

/// A body that is what the test sends, when it sends it. Dropping the sender is a clean end.
fn fed() -> (mpsc::UnboundedSender<Chunk>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    (sender, Body::from_stream(chunks))
}

/// A body of these chunks and then this end.
fn body_of(chunks: impl IntoIterator<Item = Vec<u8>>, cut: Option<io::ErrorKind>) -> Body {
    let (sender, body) = fed();
    for chunk in chunks {
        sender.send(Ok(chunk.into())).unwrap();
    }
    if let Some(kind) = cut {
        sender.send(Err(kind.into())).unwrap();
    }
    body
}

fn file_part(field: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn field_part(name: &str, value: &str) -> Vec<u8> {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
}

fn end() -> Vec<u8> {
    format!("--{BOUNDARY}--\r\n").into_bytes()
}

/// Bytes that are different everywhere, so that a lost or doubled chunk shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A store in a folder of its own, and everything a request needs beside its body.
struct Bench {
    root: tempfile::TempDir,
    store: AnyStore,
    progress: Progress,
    limits: ReceiveLimits,
    expected: Expected,
    /// What `on_file` was called with.
    called: Arc<Mutex<Vec<(UploadId, FileHead)>>>,
}

impl Bench {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = AnyStore::Disk(DiskStore::open(root.path(), Durability::Full).await.unwrap());
        Self {
            root,
            store,
            progress: Progress::new(Duration::from_secs(60)),
            limits: ReceiveLimits::default(),
            expected: Expected::default(),
            called: Arc::default(),
        }
    }

    async fn form(&self, body: &mut Body, counter: &Counter) -> Result<Received, Refusal> {
        let called = Arc::clone(&self.called);
        let boundary = Boundary::new(BOUNDARY).unwrap();
        let on_file = move |id, head| {
            called.lock().unwrap().push((id, head));
            std::future::ready(Ok(()))
        };
        receive_form(body, &boundary, &self.store, counter, &self.limits, self.expected, on_file).await
    }

    async fn raw(&self, body: &mut Body, counter: &Counter) -> Result<Received, Refusal> {
        let head = FileHead {
            name: "raw.bin".to_owned(),
            media_type: "application/x-raw".to_owned(),
            field: String::new(),
            path: String::new(),
        };
        let on_file = |_, _| std::future::ready(Ok(()));
        receive_raw(body, head, &self.store, counter, &self.limits, self.expected, on_file).await
    }

    /// Receives the parts as a form, in one chunk each.
    async fn post(&self, parts: impl IntoIterator<Item = Vec<u8>>) -> Result<Received, Refusal> {
        self.form(&mut body_of(parts, None), &self.progress.anonymous()).await
    }

    async fn stored(&self, id: &UploadId) -> Vec<u8> {
        let pieces: Vec<Bytes> =
            self.store.open(id).await.unwrap().stream(0..u64::MAX).try_collect().await.unwrap();
        pieces.concat()
    }

    fn assert_nothing_left(&self, when: &str) {
        assert_eq!(files_below(self.root.path()), [""; 0], "{when}");
    }
}

/// Every file below the data folder but the lock.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Waits for something that other tasks bring about and that nobody announces.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "{what}");
}

fn code(result: Result<Received, Refusal>) -> ErrorCode {
    match result {
        Ok(received) => panic!("stored, but must be refused: {received:?}"),
        Err(refusal) => refusal.code(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_files_and_fields_is_stored_as_it_was_sent() {
    let bench = Bench::new().await;
    let (large, small) = (pattern(3_000_017), pattern(5));
    let body = [
        field_part("before", "first"),
        file_part("files", "C:\\x\\groß.txt", &large),
        field_part("files", "a field of the same name"),
        file_part("files", "empty", b""),
        file_part("other", "small", &small),
        field_part("after", "last"),
        end(),
    ]
    .concat();
    let counter = bench.progress.anonymous();
    // Chunks of a size that has nothing to do with anything in the body.
    let mut chunked = body_of(body.chunks(10_007).map(<[u8]>::to_vec), None);
    let received = bench.form(&mut chunked, &counter).await.unwrap();

    let fields: Vec<_> =
        received.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(fields, [("before", "first"), ("files", "a field of the same name"), ("after", "last")]);
    let names: Vec<_> = received.files.iter().map(|file| (file.field.as_str(), file.name.as_str())).collect();
    assert_eq!(names, [("files", "groß.txt"), ("files", "empty"), ("other", "small")]);
    for (file, bytes) in received.files.iter().zip([&large[..], b"", &small]) {
        assert_eq!(file.media_type, "text/plain");
        assert_eq!((file.sealed.size, &file.sealed.sha256), (bytes.len() as u64, &None));
        assert_eq!(bench.stored(&file.id).await, bytes);
    }
    let called: Vec<_> = bench.called.lock().unwrap().iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(called, received.files.iter().map(|file| file.id.clone()).collect::<Vec<_>>());
    assert_eq!(files_below(bench.root.path()).len(), 3);
    let frame = counter.frame();
    assert_eq!((frame.received, frame.body_received), (3_000_022, body.len() as u64));
}

#[tokio::test]
async fn digests_are_computed_when_the_request_or_the_form_asks() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut bench = Bench::new().await;
    let asked = field_part("digest", "sha-256");
    let received = bench
        .post([file_part("f", "a", b"abc"), asked.clone(), file_part("f", "b", b"abc"), end()])
        .await
        .unwrap();
    let digests: Vec<_> = received.files.into_iter().map(|file| file.sealed.sha256).collect();
    assert_eq!(digests, [None, Some(abc.to_owned())]);

    bench.expected.sha256 = true;
    let received = bench.post([file_part("f", "a", b"abc"), end()]).await.unwrap();
    assert_eq!(received.files[0].sealed.sha256.as_deref(), Some(abc));
    let received = bench.raw(&mut Body::from("abc"), &bench.progress.anonymous()).await.unwrap();
    assert_eq!(received.files[0].sealed.sha256.as_deref(), Some(abc));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_anywhere_leaves_nothing_behind() {
    let bench = Bench::new().await;
    let body = [file_part("f", "one", &pattern(300)), file_part("f", "two", &pattern(300)), end()].concat();
    let last = body.len() - 2;
    for at in (0..last).step_by(7).chain([last - 1]) {
        // A connection that breaks, and a body that ends without its closing delimiter.
        for cut in [Some(io::ErrorKind::UnexpectedEof), None] {
            let mut body = body_of([body[..at].to_vec()], cut);
            let result = bench.form(&mut body, &bench.progress.anonymous()).await;
            assert_eq!(code(result), ErrorCode::Interrupted, "cut at {at}, {cut:?}");
            bench.assert_nothing_left(&format!("cut at {at}, {cut:?}"));
        }
    }
    // Cut after its closing delimiter: it was whole by its own word, but the request was not.
    let mut broken = body_of([body.clone()], Some(io::ErrorKind::ConnectionReset));
    assert_eq!(code(bench.form(&mut broken, &bench.progress.anonymous()).await), ErrorCode::Interrupted);
    bench.assert_nothing_left("cut in the epilogue");
    assert_eq!(bench.post([body]).await.unwrap().files.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_upload_stops_and_leaves_nothing_behind() {
    let bench = Arc::new(Bench::new().await);
    let owner = OwnerId::random();
    let announce = |attempt| Announce {
        id: ProgressId::from_bits([7; 16]),
        scope: Scope::Owner(owner.clone()),
        attempt,
        fingerprint: None,
        size: None,
        body_size: None,
    };
    let Ok(Begun::Fresh(first)) = bench.progress.begin(announce(1)).await else { panic!("a new id") };
    let (sender, mut body) = fed();
    sender.send(Ok(file_part("f", "whole", &pattern(1000)).into())).unwrap();
    sender.send(Ok(file_part("f", "half", &pattern(100_000))[..50_000].to_vec().into())).unwrap();
    let running = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.form(&mut body, &first).await })
    };
    eventually("both files are staged", || files_below(bench.root.path()).len() == 2).await;

    let Ok(Begun::Fresh(second)) = bench.progress.begin(announce(2)).await else { panic!("a later try") };
    assert_eq!(code(running.await.unwrap()), ErrorCode::Superseded);
    bench.assert_nothing_left("superseded");
    drop(sender);
    let mut again = body_of([file_part("f", "whole", b"again"), end()], None);
    assert_eq!(bench.form(&mut again, &second).await.unwrap().files.len(), 1);
}

/// A stop used to drop the whole receiving future, a file half sealed with it: its rename could land after its row
/// had been taken back, and no start ever found it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_up_a_body_under_way_and_stores_one_that_has_ended() {
    for ended in [false, true] {
        let mut bench = Bench::new().await;
        let stop = CancellationToken::new();
        bench.limits.stop = stop.clone();
        let bench = Arc::new(bench);
        let (sender, mut body) = fed();
        let mut sender = Some(sender);
        let send = |bytes: Vec<u8>| sender.as_ref().map(|sender| sender.send(Ok(bytes.into())));
        send(file_part("f", "whole", &pattern(1000)));
        let id = ProgressId::from_bits([8; 16]);
        let announce = Announce {
            id: id.clone(),
            scope: Scope::Anyone,
            attempt: 1,
            fingerprint: None,
            size: None,
            body_size: None,
        };
        let Ok(Begun::Fresh(counter)) = bench.progress.begin(announce).await else { panic!("a new id") };
        // The row of the file is being written while everything else has come, until the test lets it.
        let (release, released) = oneshot::channel::<()>();
        let mut released = Some(released);
        let running = {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                let boundary = Boundary::new(BOUNDARY).unwrap();
                let on_file = move |_, _| {
                    let released = released.take().unwrap();
                    async move {
                        released.await.unwrap();
                        Ok(())
                    }
                };
                let (store, limits) = (&bench.store, &bench.limits);
                receive_form(&mut body, &boundary, store, &counter, limits, bench.expected, on_file).await
            })
        };
        eventually("it is staged", || files_below(bench.root.path()).len() == 1).await;
        if ended {
            send(end());
            drop(sender.take());
            // Told at the moment when nothing more can come: the counts are complete and the body is at its end.
            eventually("all is received", || {
                bench.progress.frame(&id, None).is_some_and(|frame| frame.state == ProgressState::Processing)
            })
            .await;
        }
        stop.cancel();
        release.send(()).unwrap();
        let result = running.await.unwrap();
        if ended {
            assert_eq!(bench.stored(&result.unwrap().files[0].id).await, pattern(1000));
        } else {
            assert_eq!(code(result), ErrorCode::ShuttingDown);
            bench.assert_nothing_left("stopped");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_task_leaves_nothing_behind() {
    let bench = Arc::new(Bench::new().await);
    let (sender, mut body) = fed();
    sender.send(Ok(file_part("f", "whole", &pattern(1000)).into())).unwrap();
    sender.send(Ok(file_part("f", "half", &pattern(100_000))[..50_000].to_vec().into())).unwrap();
    let running = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.form(&mut body, &bench.progress.anonymous()).await })
    };
    eventually("both files are staged", || files_below(bench.root.path()).len() == 2).await;
    running.abort();
    assert!(running.await.is_err_and(|error| error.is_cancelled()));
    eventually("the writers are gone", || files_below(bench.root.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_seen_only_after_the_clean_end_of_the_body() {
    let bench = Arc::new(Bench::new().await);
    let (sender, mut body) = fed();
    sender.send(Ok([file_part("f", "a", &pattern(1000)), end()].concat().into())).unwrap();
    let running = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.form(&mut body, &bench.progress.anonymous()).await })
    };
    let staged = || files_below(&bench.root.path().join("staging"));
    eventually("it is written", || {
        staged().first().is_some_and(|path| std::fs::metadata(path).is_ok_and(|file| file.len() == 1000))
    })
    .await;
    assert_eq!(files_below(&bench.root.path().join("files")), [""; 0]);
    drop(sender);
    let received = running.await.unwrap().unwrap();
    assert_eq!(bench.stored(&received.files[0].id).await, pattern(1000));
    assert_eq!(staged(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_at_rest_has_written_what_it_got() {
    let bench = Arc::new(Bench::new().await);
    let (sender, mut body) = fed();
    sender.send(Ok(Bytes::from(pattern(777)))).unwrap();
    let running = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.raw(&mut body, &bench.progress.anonymous()).await })
    };
    eventually("777 bytes are in the file", || {
        let staged = files_below(bench.root.path());
        staged.first().is_some_and(|path| std::fs::metadata(path).is_ok_and(|file| file.len() == 777))
    })
    .await;
    drop(sender);
    assert_eq!(running.await.unwrap().unwrap().files[0].sealed.size, 777);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_admitted_takes_the_request_with_it() {
    let bench = Arc::new(Bench::new().await);
    for slow in [false, true] {
        // The body never ends by itself: only the refusal can end the request.
        let (sender, mut body) = fed();
        sender.send(Ok(file_part("f", "good", &pattern(1000)).into())).unwrap();
        sender.send(Ok(file_part("f", "bad", &pattern(1000)).into())).unwrap();
        let on_file = move |_, head: FileHead| async move {
            if slow {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match head.name.as_str() {
                "bad" => Err(Refusal::new(ErrorCode::QuotaExceeded, "Your share is used up.")),
                _ => Ok(()),
            }
        };
        let counter = bench.progress.anonymous();
        let boundary = Boundary::new(BOUNDARY).unwrap();
        let result = receive_form(
            &mut body,
            &boundary,
            &bench.store,
            &counter,
            &bench.limits,
            Expected::default(),
            on_file,
        )
        .await;
        assert_eq!(code(result), ErrorCode::QuotaExceeded, "slow: {slow}");
        bench.assert_nothing_left("not admitted");
        drop(sender);
    }
}

#[tokio::test]
async fn the_admission_is_awaited_to_its_end_even_when_the_upload_fails() {
    let bench = Bench::new().await;
    let finished = Arc::new(Mutex::new(false));
    let on_file = {
        let finished = Arc::clone(&finished);
        move |_, _| {
            let finished = Arc::clone(&finished);
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                *finished.lock().unwrap() = true;
                Ok(())
            }
        }
    };
    let mut body = body_of([file_part("f", "a", b"half")], None);
    let boundary = Boundary::new(BOUNDARY).unwrap();
    let counter = bench.progress.anonymous();
    let result = receive_form(
        &mut body,
        &boundary,
        &bench.store,
        &counter,
        &bench.limits,
        Expected::default(),
        on_file,
    )
    .await;
    assert_eq!(code(result), ErrorCode::Interrupted);
    assert!(*finished.lock().unwrap());
}

#[tokio::test]
async fn limits_hold_and_what_is_refused_leaves_nothing_behind() {
    let mut bench = Bench::new().await;
    bench.limits.max_file_size = 100;
    bench.limits.max_files = 2;
    bench.limits.max_field_bytes = 50;
    bench.limits.max_request_size = 10_000;
    let files = |sizes: &[usize]| {
        let parts = sizes.iter().map(|&size| file_part("f", "n", &pattern(size)));
        parts.chain([end()]).collect::<Vec<_>>()
    };
    let long_name = field_part(&"n".repeat(60), "");
    let cases = [
        ("one file too large", files(&[100, 101]), ErrorCode::TooLarge),
        ("one file too many", files(&[1, 1, 1]), ErrorCode::TooManyFiles),
        (
            "a field too large",
            vec![file_part("f", "n", b"x"), field_part("a", &"v".repeat(50)), end()],
            ErrorCode::FormTooComplex,
        ),
        ("a name too large", vec![file_part("f", "n", b"x"), long_name, end()], ErrorCode::FormTooComplex),
        ("a body too large", vec![file_part("f", "n", b"x"), end(), vec![b' '; 10_000]], ErrorCode::TooLarge),
        (
            "a part without a name",
            vec![file_part("f", "n", b"x"), b"--".to_vec(), BOUNDARY.into(), b"\r\n\r\n\r\n".to_vec(), end()],
            ErrorCode::Malformed,
        ),
    ];
    for (what, parts, expected) in cases {
        assert_eq!(code(bench.post(parts).await), expected, "{what}");
        bench.assert_nothing_left(what);
    }
    assert_eq!(bench.post(files(&[100, 0])).await.unwrap().files.len(), 2);
}

#[tokio::test]
async fn the_rest_of_a_refused_body_can_be_drained() {
    let mut bench = Bench::new().await;
    bench.limits.max_file_size = 10;
    let mut body = body_of([file_part("f", "n", b"more than ten bytes"), vec![b'x'; 5000], end()], None);
    assert_eq!(code(bench.form(&mut body, &bench.progress.anonymous()).await), ErrorCode::TooLarge);
    assert!(drain(&mut body, 10_000, Duration::from_secs(30)).await);
}

#[tokio::test]
async fn an_announced_length_must_be_kept() {
    let mut bench = Bench::new().await;
    let ten = || [file_part("f", "n", b"0123456789"), end()];
    for (announced, outcome) in [(9, Err(())), (10, Ok(1)), (11, Err(()))] {
        bench.expected.file_size = Some(announced);
        let files = bench.post(ten()).await.map(|received| received.files.len()).map_err(|refusal| {
            assert_eq!(refusal.code(), ErrorCode::LengthMismatch);
            bench.assert_nothing_left("a lie about the length");
        });
        assert_eq!(files, outcome, "announced {announced}");
        if announced == 10 {
            let id = bench.called.lock().unwrap().last().unwrap().0.clone();
            bench.store.remove(&id).await.unwrap();
        }
    }
    bench.expected.file_size = Some(11);
    let short = bench.raw(&mut Body::from("0123456789"), &bench.progress.anonymous()).await;
    assert_eq!(code(short), ErrorCode::LengthMismatch);
    bench.limits.max_file_size = 10;
    assert_eq!(code(bench.post(ten()).await), ErrorCode::TooLarge, "refused by its word alone");
    assert_eq!(bench.called.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn raw_bodies_with_and_without_a_length() {
    let mut bench = Bench::new().await;
    let bytes = pattern(700_001);
    let with = bench.raw(&mut Body::from(bytes.clone()), &bench.progress.anonymous()).await.unwrap();
    let chunks = bytes.chunks(9_999).map(<[u8]>::to_vec);
    let without = bench.raw(&mut body_of(chunks, None), &bench.progress.anonymous()).await.unwrap();
    for received in [with, without] {
        assert_eq!((received.files[0].name.as_str(), received.files.len()), ("raw.bin", 1));
        assert_eq!(bench.stored(&received.files[0].id).await, bytes);
        bench.store.remove(&received.files[0].id).await.unwrap();
    }
    let empty = bench.raw(&mut Body::empty(), &bench.progress.anonymous()).await.unwrap();
    assert_eq!(empty.files[0].sealed.size, 0);
    bench.store.remove(&empty.files[0].id).await.unwrap();

    let mut cut = body_of([bytes[..1000].to_vec()], Some(io::ErrorKind::UnexpectedEof));
    assert_eq!(code(bench.raw(&mut cut, &bench.progress.anonymous()).await), ErrorCode::Interrupted);
    bench.limits.max_file_size = 500;
    let mut long = body_of([vec![0; 300], vec![0; 300]], None);
    assert_eq!(code(bench.raw(&mut long, &bench.progress.anonymous()).await), ErrorCode::TooLarge);
    assert_eq!(
        code(bench.raw(&mut Body::from(bytes), &bench.progress.anonymous()).await),
        ErrorCode::TooLarge
    );
    bench.assert_nothing_left("cut and refused");
}

#[tokio::test]
async fn an_input_without_a_file_is_no_file_and_a_file_without_a_name_is_one() {
    let bench = Bench::new().await;
    let received = bench.post([file_part("f", "", b""), field_part("x", "y"), end()]).await.unwrap();
    assert_eq!((received.files.len(), received.fields.len()), (0, 1));
    bench.assert_nothing_left("no file");
    let received = bench.post([file_part("f", "", b"bytes"), end()]).await.unwrap();
    assert_eq!(received.files[0].name, "unnamed");
    assert_eq!(bench.stored(&received.files[0].id).await, b"bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_more_files_than_may_be_open_keeps_their_order() {
    let bench = Bench::new().await;
    let parts = (0..150).map(|n| file_part("f", &n.to_string(), n.to_string().as_bytes()));
    let received = bench.post(parts.chain([end()])).await.unwrap();
    assert_eq!(received.files.len(), 150);
    for (n, file) in received.files.iter().enumerate() {
        assert_eq!(file.name, n.to_string());
        assert_eq!(bench.stored(&file.id).await, n.to_string().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_little_room_for_batches_all_uploads_go_on() {
    let mut bench = Bench::new().await;
    bench.limits.buffers = Buffers::new(20_000);
    let (bench, bytes) = (&bench, &pattern(400_000));
    // Some chunks are larger than all the room there is.
    let uploads = [3_000, 8_192, 19_999, 50_000].repeat(3).into_iter().map(|size| async move {
        let mut body = body_of(bytes.chunks(size).map(<[u8]>::to_vec), None);
        bench.raw(&mut body, &bench.progress.anonymous()).await.unwrap()
    });
    for received in futures_util::future::join_all(uploads).await {
        assert_eq!(&bench.stored(&received.files[0].id).await, bytes);
    }
    assert_eq!(format!("{:?}", bench.limits.buffers), "Buffers(20000 of 20000 bytes left)");
}

#[tokio::test]
async fn no_space_is_told_as_such_and_leaves_nothing_behind() {
    let mut bench = Bench::new().await;
    bench.limits.space_reserve = u64::MAX / 2;
    assert_eq!(code(bench.post([file_part("f", "n", b"x"), end()]).await), ErrorCode::OutOfSpace);
    bench.assert_nothing_left("under the reserve");

    let memory = MemoryStore::new(1000);
    bench.store = AnyStore::Memory(memory.clone());
    bench.limits.space_reserve = 0;
    let parts = [file_part("f", "fits", &pattern(900)), file_part("f", "does not", &pattern(200)), end()];
    assert_eq!(code(bench.post(parts).await), ErrorCode::OutOfSpace);
    assert_eq!(memory.available_space().await.unwrap(), Some(1000));
    bench.limits.space_reserve = 200;
    bench.expected.file_size = Some(900);
    let announced = bench.post([file_part("f", "n", &pattern(900)), end()]).await;
    assert_eq!(code(announced), ErrorCode::OutOfSpace, "refused by its word alone");
}

#[tokio::test]
async fn a_body_that_stops_times_out_and_leaves_nothing_behind() {
    let mut bench = Bench::new().await;
    bench.limits.idle_timeout = Duration::from_millis(30);
    let (sender, mut body) = fed();
    sender.send(Ok(file_part("f", "n", &pattern(1000)).into())).unwrap();
    assert_eq!(code(bench.form(&mut body, &bench.progress.anonymous()).await), ErrorCode::TimedOut);
    bench.assert_nothing_left("timed out");
    drop(sender);
}
