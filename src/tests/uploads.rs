//! Uploads over a real port: whole, cut, lying, repeated, refused. The old failures of other servers are named above
//! the tests that keep them out.

use std::time::Duration;

use plimsoll::wire::{ErrorCode, ProgressState};

use crate::util::*;

#[tokio::test]
async fn a_form_with_files_and_fields_is_stored_and_comes_back_equal() {
    let server = TestServer::start().await;
    let (first, second) = (pattern(1_000_000), pattern(3));
    let mut body = b"--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nbefore\r\n".to_vec();
    body.extend(form(
        "XX",
        &[("a", "été \u{1F6A2}.bin", &first), ("a", "empty", b""), ("b", "second", &second)],
    ));
    let answer = server.send(&form_head("XX", ""), &body).await;
    let receipts = answer.receipts();
    let told: Vec<_> = receipts.iter().map(|receipt| (receipt.name.as_str(), receipt.size)).collect();
    assert_eq!(told, [("été \u{1F6A2}.bin", 1_000_000), ("empty", 0), ("second", 3)]);
    for (receipt, bytes) in receipts.iter().zip([&first[..], b"", &second]) {
        assert_eq!(server.get(&receipt.url).await.body, bytes);
    }
    assert_eq!(server.stored_files().len(), 3);
}

#[tokio::test]
async fn the_digest_is_told_when_asked_for_in_any_of_three_ways() {
    let server = TestServer::start().await;
    // Of the three bytes "abc", as FIPS 180-2 appendix B.1 gives it.
    let abc = Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned());
    let body = form("XX", &[("file", "abc", b"abc")]);
    let by_header = server.send(&form_head("XX", "\r\nWant-Repr-Digest: sha-256=1"), &body).await;
    assert_eq!(by_header.receipts()[0].sha256, abc);
    let head = form_head("XX", "").replace("/upload", "/upload?digest=sha-256");
    assert_eq!(server.send(&head, &body).await.receipts()[0].sha256, abc);
    let mut with_field =
        b"--XX\r\nContent-Disposition: form-data; name=\"digest\"\r\n\r\nsha-256\r\n".to_vec();
    with_field.extend_from_slice(&body);
    assert_eq!(server.send(&form_head("XX", ""), &with_field).await.receipts()[0].sha256, abc);
    assert_eq!(server.send(&form_head("XX", ""), &body).await.receipts()[0].sha256, None);
}

#[tokio::test]
async fn a_raw_body_is_stored_with_and_without_a_length() {
    let server = TestServer::start().await;
    let bytes = pattern(300_000);
    let answer = server.send("PUT /files/na%20me.bin HTTP/1.1\r\nContent-Type: image/png", &bytes).await;
    assert_eq!(answer.status, 201);
    let receipt = &answer.receipts()[0];
    assert_eq!((receipt.name.as_str(), receipt.media_type.as_str()), ("na me.bin", "image/png"));
    assert_eq!(answer.headers["location"], receipt.url);
    assert_eq!(server.get(&receipt.url).await.body, bytes);

    let mut raw = server.connect().await;
    raw.send(format!("PUT /files/x HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", server.addr))
        .await;
    for piece in bytes.chunks(70_001) {
        raw.send(format!("{:x}\r\n", piece.len())).await;
        raw.send(piece).await;
        raw.send("\r\n").await;
    }
    raw.send("0\r\n\r\n").await;
    let receipt = raw.answer().await.receipts().remove(0);
    assert_eq!(server.get(&receipt.url).await.body, bytes);
}

/// Leptos' own example and tus-java-server 2.0.0 report a cut upload as complete.
#[tokio::test]
async fn a_cut_body_is_never_a_file_and_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let whole = form("XX", &[("file", "cut", &pattern(500_000))]);
    for (kept, length) in
        [(100_000, Some(whole.len())), (100_000, None), (whole.len() - 4, Some(whole.len()))]
    {
        let id = format!("cut-{kept}-{}", length.is_some());
        let mut raw = server.connect().await;
        let framing =
            length.map_or("Transfer-Encoding: chunked".to_owned(), |n| format!("Content-Length: {n}"));
        raw.send(form_head("XX", &format!("\r\nHost: x\r\nX-Progress-ID: {id}\r\n{framing}\r\n\r\n"))).await;
        match length {
            Some(_) => raw.send(&whole[..kept]).await,
            None => {
                raw.send(format!("{kept:x}\r\n")).await;
                raw.send(&whole[..kept]).await;
            }
        }
        drop(raw);
        let frame = server.frame(&id, |frame| frame.state.is_terminal()).await;
        assert_eq!(frame.state, ProgressState::Failed);
        assert_eq!(frame.error.unwrap().code, ErrorCode::Interrupted);
        server.settled().await;
        assert_eq!(server.stored_files(), [] as [std::path::PathBuf; 0]);
        assert!(server.server.catalog().unfinished(0, 100).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_form_without_its_closing_delimiter_is_refused() {
    let server = TestServer::start().await;
    let whole = form("XX", &[("file", "open", &pattern(70_000))]);
    let answer = server.send(&form_head("XX", ""), &whole[..whole.len() - 8]).await;
    assert_eq!((answer.status, answer.error().code), (400, ErrorCode::Interrupted));
    server.settled().await;
    assert!(server.stored_files().is_empty());
}

#[tokio::test]
async fn one_bad_file_undoes_the_whole_form() {
    let server = TestServer::with(|config| config.limits.max_file_size = Some(1000)).await;
    let body = form("XX", &[("file", "good", &pattern(10)), ("file", "large", &pattern(1001))]);
    let answer = server.send(&form_head("XX", ""), &body).await;
    assert_eq!((answer.status, answer.error().code), (413, ErrorCode::TooLarge));
    server.settled().await;
    assert!(server.stored_files().is_empty());
}

#[tokio::test]
async fn a_form_without_a_file_says_so() {
    let server = TestServer::start().await;
    let empty_input = form("XX", &[("file", "", b"")]);
    let answer = server.send(&form_head("XX", ""), &empty_input).await;
    assert_eq!((answer.status, answer.error().code), (400, ErrorCode::NoFile));
    let wrong = server.send("POST /upload HTTP/1.1\r\nContent-Type: text/plain", b"x").await;
    assert_eq!((wrong.status, wrong.error().code), (415, ErrorCode::UnsupportedMediaType));
}

/// Firefox shows a refusal only if it may send its body meanwhile, and sends it a second time otherwise.
#[tokio::test]
async fn a_refusal_before_the_body_is_told_and_the_body_is_drained() {
    let server = TestServer::with(|config| config.limits.max_request_size = Some(100_000)).await;
    let mut raw = server.connect().await;
    let body = form("XX", &[("file", "large", &pattern(4_000_000))]);
    raw.send(form_head("XX", &format!("\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()))).await;
    // The whole body is taken, though the answer stands since its head was read.
    raw.send(&body).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.error().code), (413, ErrorCode::TooLarge));
    assert!(!answer.error().retryable);
    assert!(server.stored_files().is_empty());
}

/// The nginx module fails the running upload when its id is used again; two others count into one number.
#[tokio::test]
async fn a_live_id_used_again_is_refused_and_the_first_upload_untouched() {
    let server = TestServer::start().await;
    let bytes = pattern(400_000);
    let body = form("first", &[("file", "first", &bytes)]);
    let mut first = server.connect().await;
    let extra = format!("\r\nHost: x\r\nX-Progress-ID: used-twice\r\nContent-Length: {}\r\n\r\n", body.len());
    first.send(form_head("first", &extra)).await;
    first.send(&body[..200_000]).await;
    let before = server.frame("used-twice", |frame| frame.body_received == 200_000).await;

    let other = form("second", &[("file", "second", b"!")]);
    let second = server.send(&form_head("second", "\r\nX-Progress-ID: used-twice"), &other).await;
    assert_eq!((second.status, second.error().code), (409, ErrorCode::ProgressIdInUse));
    assert_eq!(server.frame("used-twice", |_| true).await, before);

    first.send(&body[200_000..]).await;
    let receipts = first.answer().await.receipts();
    assert_eq!(server.get(&receipts[0].url).await.body, bytes);
    assert_eq!(server.stored_files().len(), 1);
}

/// Chromium and Firefox send a POST again by themselves after a reset: same bytes, same boundary, no script knows.
#[tokio::test]
async fn the_same_request_sent_again_by_the_browser_is_one_upload() {
    let server = TestServer::start().await;
    let bytes = pattern(400_000);
    let body = form("WebKitBoundaryX", &[("file", "once", &bytes)]);
    let extra = format!("\r\nHost: x\r\nX-Progress-ID: sent-again\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut first = server.connect().await;
    first.send(form_head("WebKitBoundaryX", &extra)).await;
    first.send(&body[..300_000]).await;
    let before = server.frame("sent-again", |frame| frame.body_received == 300_000).await;

    // The first connection is still open: the server has not noticed anything.
    let mut again = server.connect().await;
    again.send(form_head("WebKitBoundaryX", &extra)).await;
    again.send(&body[..50_000]).await;
    let restarted = server.frame("sent-again", |frame| frame.body_received == 50_000).await;
    assert!(restarted.seq > before.seq && restarted.attempt == before.attempt);
    again.send(&body[50_000..]).await;
    let receipts = again.answer().await.receipts();
    server.settled().await;
    assert_eq!(server.get(&receipts[0].url).await.body, bytes);
    assert_eq!(server.stored_files().len(), 1);

    // And a third time, because the answer was lost: the same answer, no second file.
    let mut third = server.connect().await;
    third.send(form_head("WebKitBoundaryX", &extra)).await;
    third.send(&body).await;
    assert_eq!(third.answer().await.receipts(), receipts);
    assert_eq!(server.stored_files().len(), 1);
}

/// What failed is begun anew under its old id, and never answered with what another try had stored.
#[tokio::test]
async fn a_file_that_was_not_as_long_as_announced_comes_again_and_is_stored() {
    let server = TestServer::start().await;
    let cookie = server.send("PUT /files/z HTTP/1.1", b"z").await.cookie();
    let id = "not-as-long";
    let send = async |attempt: u32, announced: Option<usize>, bytes: &[u8], by_form: bool| {
        let announced = announced.map_or(String::new(), |size| format!("\r\nPlimsoll-File-Size: {size}"));
        // Each form has a boundary of its own, as browsers draw them.
        let boundary = format!("XX{attempt}");
        let (head, body) = if by_form {
            (form_head(&boundary, ""), form(&boundary, &[("file", "a", bytes)]))
        } else {
            ("PUT /files/a HTTP/1.1".to_owned(), bytes.to_vec())
        };
        let fields = format!("\r\nCookie: {cookie}\r\nX-Progress-ID: {id}\r\nPlimsoll-Attempt: {attempt}");
        server.send(&format!("{head}{fields}{announced}"), &body).await
    };
    for (by_form, first) in [(true, 1), (false, 11)] {
        let whole = pattern(1000 + first as usize);
        let size = whole.len();
        let longer = [&whole[..], b"x"].concat();
        for (attempt, bytes) in [(first, &whole[1..]), (first + 1, &longer[..])] {
            let wrong = send(attempt, Some(size), bytes, by_form).await;
            assert_eq!((wrong.status, wrong.error().code), (400, ErrorCode::LengthMismatch), "{wrong:?}");
        }
        let right = send(first + 2, Some(size), &whole, by_form).await.receipts();
        assert_eq!(server.get(&right[0].url).await.body, whole);
        // Its answer was lost: the same file. Announced with another length, or with none, it is another.
        assert_eq!(send(first + 3, Some(size), &whole, by_form).await.receipts(), right);
        for (attempt, announced, bytes) in
            [(first + 4, Some(size - 1), &whole[1..]), (first + 5, None, &b"new"[..])]
        {
            let other = send(attempt, announced, bytes, by_form).await.receipts();
            assert_eq!(server.get(&other[0].url).await.body, bytes);
        }
    }
    server.settled().await;
    assert_eq!(server.stored_files().len(), 1 + 2 * 3);
}

/// Whoever deleted a file and sends it again, under its old id, used to be told that it is there.
#[tokio::test]
async fn what_was_deleted_and_comes_again_is_stored_again() {
    let server = TestServer::start().await;
    let cookie = server.send("PUT /files/z HTTP/1.1", b"z").await.cookie();
    let send = async |attempt: u32| {
        let head = format!(
            "PUT /files/a HTTP/1.1\r\nCookie: {cookie}\r\nX-Progress-ID: sent-and-gone\r\nPlimsoll-Attempt: {attempt}"
        );
        server.send(&head, b"hello").await.receipts().remove(0)
    };
    let first = send(1).await;
    assert_eq!(send(2).await, first);
    let deletion = format!("DELETE {} HTTP/1.1\r\nCookie: {cookie}", first.url);
    assert_eq!(server.send(&deletion, b"").await.status, 204);
    let second = send(3).await;
    assert_ne!(second.url, first.url);
    assert_eq!(server.get(&second.url).await.body, b"hello");
    assert_eq!(send(4).await, second);
    assert_eq!(server.stored_files().len(), 2);
}

#[tokio::test]
async fn limits_of_time_are_told_apart() {
    let server = TestServer::with(|config| config.limits.idle_timeout = Duration::from_millis(300)).await;
    let mut raw = server.connect().await;
    raw.send(form_head(
        "XX",
        "\r\nHost: x\r\nX-Progress-ID: stalled-1\r\nContent-Length: 5000\r\n\r\n--XX\r\n",
    ))
    .await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.error().code), (408, ErrorCode::TimedOut));
    assert!(answer.error().retryable);
    let nginx = server.get("/progress?X-Progress-ID=stalled-1").await.text();
    assert_eq!(nginx, "{ \"state\" : \"error\", \"status\" : 408 }\r\n");
}

#[tokio::test]
async fn a_request_whose_head_never_ends_is_cut() {
    let server = TestServer::with(|config| config.header_timeout = Duration::from_millis(300)).await;
    let mut raw = server.connect().await;
    raw.send("POST /upload HTTP/1.1\r\nHost: x\r\n").await;
    let ended =
        tokio::time::timeout(PATIENCE, raw.try_answer()).await.expect("the server does not wait for ever");
    assert!(ended.is_none_or(|answer| answer.status == 408));
}

#[tokio::test]
async fn a_stop_lets_uploads_under_way_end_and_takes_no_new_ones() {
    let mut server = TestServer::start().await;
    let bytes = pattern(200_000);
    let body = form("XX", &[("file", "last", &bytes)]);
    let mut raw = server.connect().await;
    let extra = format!("\r\nHost: x\r\nX-Progress-ID: under-way\r\nContent-Length: {}\r\n\r\n", body.len());
    raw.send(form_head("XX", &extra)).await;
    raw.send(&body[..100_000]).await;
    server.frame("under-way", |frame| frame.body_received == 100_000).await;
    server.begin_stop();
    wait_for(|| server.server.tasks().is_closed().then_some(())).await;
    raw.send(&body[100_000..]).await;
    assert_eq!(raw.answer().await.receipts()[0].size, 200_000);
    server.stopped().await;
    assert_eq!(server.stored_files().len(), 1);
}

#[tokio::test]
async fn a_stop_gives_up_what_does_not_end_within_its_grace() {
    let mut server = TestServer::with(|config| config.shutdown_grace = Duration::from_millis(100)).await;
    let mut raw = server.connect().await;
    raw.send(form_head("XX", "\r\nHost: x\r\nX-Progress-ID: too-late\r\nContent-Length: 500000\r\n\r\n"))
        .await;
    raw.send(&form("XX", &[("file", "late", &pattern(100_000))])[..100_000]).await;
    server.frame("too-late", |frame| frame.body_received == 100_000).await;
    server.begin_stop();
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.error().code), (503, ErrorCode::ShuttingDown));
    server.stopped().await;
    assert!(server.stored_files().is_empty());
}

#[tokio::test]
async fn too_many_open_uploads_of_one_owner_are_refused_and_may_be_tried_again() {
    let server = TestServer::with(|config| config.max_open_uploads = Some(1)).await;
    let cookie = server.send(&form_head("XX", ""), &form("XX", &[("file", "a", b"a")])).await.cookie();
    let mut raw = server.connect().await;
    let extra = format!(
        "\r\nHost: x\r\nCookie: {cookie}\r\nX-Progress-ID: the-first\r\nContent-Length: 9000\r\n\r\n--"
    );
    raw.send(form_head("XX", &extra)).await;
    wait_for(|| (server.server.progress().live() == 1).then_some(())).await;
    let body = form("YY", &[("file", "b", b"b")]);
    let second = server.send(&form_head("YY", &format!("\r\nCookie: {cookie}")), &body).await;
    assert_eq!((second.status, second.error().code), (429, ErrorCode::TooManyUploads));
    assert!(second.error().retryable && second.headers.contains_key("retry-after"));
    drop(raw);
    server.settled().await;
    assert_eq!(server.send(&form_head("YY", &format!("\r\nCookie: {cookie}")), &body).await.status, 200);
}

/// Without a cookie everybody used to be an owner of their own, without end.
#[tokio::test]
async fn too_many_open_uploads_from_one_address_are_refused_with_a_cookie_and_without() {
    let server = TestServer::with(|config| config.max_open_uploads = Some(1)).await;
    let tus = "POST /files HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9000";
    let mut under_way = Vec::new();
    for number in 0..10 {
        let head = match number % 3 {
            0 => form_head("XX", ""),
            1 => "PUT /files/a HTTP/1.1".to_owned(),
            _ => {
                let url = server.send(tus, b"").await.headers["location"].clone();
                let kind = "Content-Type: application/offset+octet-stream";
                format!("PATCH {url} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n{kind}")
            }
        };
        let mut raw = server.connect().await;
        raw.send(format!("{head}\r\nHost: x\r\nContent-Length: 9000\r\n\r\n--")).await;
        under_way.push(raw);
        wait_for(|| (server.server.progress().live() == under_way.len()).then_some(())).await;
    }
    let owner = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
    for cookie in [String::new(), format!("\r\nCookie: plimsoll_owner={owner}")] {
        let refused = server.send(&format!("PUT /files/a HTTP/1.1{cookie}"), b"hello").await;
        assert_eq!((refused.status, refused.error().code), (429, ErrorCode::TooManyUploads), "{cookie}");
        assert_eq!(refused.error().detail.as_deref(), Some("10"));
        assert!(refused.headers.contains_key("retry-after"));
    }
    // Begun it may be, and gone on with when there is room.
    let url = server.send(tus, b"").await.headers["location"].clone();
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream"
    );
    assert_eq!(server.send(&head, b"hello").await.status, 429);
    drop(under_way.pop());
    wait_for(|| (server.server.progress().live() == under_way.len()).then_some(())).await;
    // The count is given back a moment after the progress is.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while server.send("PUT /files/a HTTP/1.1", b"hello").await.status == 429 {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

/// An owner with as many uploads under way as may be, whose browser sends one of them again by itself, used to be
/// refused: the newcomer was counted before the one whose place it takes.
#[tokio::test]
async fn who_sends_again_takes_the_place_of_the_first_in_the_count_as_well() {
    let server = TestServer::with(|config| config.max_open_uploads = Some(1)).await;
    let cookie = server.send(&form_head("XX", ""), &form("XX", &[("file", "a", b"a")])).await.cookie();
    let body = form("ZZ", &[("file", "again", &pattern(9000))]);
    let head = form_head("ZZ", &format!("\r\nCookie: {cookie}\r\nX-Progress-ID: the-first"));
    let mut first = server.connect().await;
    first.send(format!("{head}\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    first.send(&body[..5000]).await;
    wait_for(|| (server.server.progress().live() == 1).then_some(())).await;
    let again = server.send(&head, &body).await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(first.answer().await.error().code, ErrorCode::Superseded);
    server.settled().await;
    assert_eq!(server.stored_files().len(), 2);
}

/// The owner's share used to be looked at only when a request began: several at once could pass it together.
#[tokio::test]
async fn uploads_at_one_time_share_what_their_owner_may_have() {
    let server = TestServer::with(|config| config.limits.max_bytes_per_owner = Some(1000)).await;
    let cookie = server.send("PUT /files/x HTTP/1.1", b"x").await.cookie();
    let head = |name: &str| format!("PUT /files/{name} HTTP/1.1\r\nCookie: {cookie}");
    let mut first = server.connect().await;
    let named = format!("{}\r\nX-Progress-ID: the-first\r\nHost: x", head("first"));
    first.send(format!("{named}\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n")).await;
    first.send(&pattern(600)).await;
    // Counted, and so set aside before.
    let owner = cookie.split_once('=').unwrap().1.parse().unwrap();
    let frame = || server.server.progress().frame(&"the-first".parse().unwrap(), Some(&owner));
    wait_for(|| frame().filter(|frame| frame.received == 600)).await;
    let second = server.send(&head("second"), &pattern(500)).await;
    assert_eq!((second.status, second.error().code), (413, ErrorCode::QuotaExceeded));
    first.send("\r\n0\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 201);
    assert_eq!(server.send(&head("third"), &pattern(399)).await.status, 201);
    assert_eq!(server.send(&head("fourth"), b"x").await.status, 413);
}

/// The limit used to hold for announced sizes and known owners only: a chunked body, or one without our cookie, could
/// fill the volume.
#[tokio::test]
async fn the_share_of_one_owner_holds_for_strangers_and_for_bodies_without_a_length() {
    let server = TestServer::with(|config| config.limits.max_bytes_per_owner = Some(1000)).await;
    let stranger = server.send("PUT /files/x HTTP/1.1", &pattern(1001)).await;
    assert_eq!((stranger.status, stranger.error().code), (413, ErrorCode::QuotaExceeded));
    let first = server.send("PUT /files/x HTTP/1.1", &pattern(900)).await;
    assert_eq!(first.status, 201);

    let mut raw = server.connect().await;
    let head = format!(
        "PUT /files/y HTTP/1.1\r\nHost: x\r\nCookie: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        first.cookie()
    );
    raw.send(head).await;
    // 101 bytes, and no end: it is the count that refuses them.
    raw.send("65\r\n").await;
    raw.send(&pattern(101)).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.error().code), (413, ErrorCode::QuotaExceeded));
    drop(raw);
    server.settled().await;
    assert_eq!(server.stored_files().len(), 1);
}

/// The answer used to be plain text without a code, and the body was not drained.
#[tokio::test]
async fn a_name_that_is_no_text_is_refused_like_everything_else() {
    let server = TestServer::start().await;
    let answer = server.send("PUT /files/%ff HTTP/1.1", &pattern(3_000_000)).await;
    assert_eq!((answer.status, answer.error().code), (400, ErrorCode::Malformed));
    let cases = [
        ("/files/%ff", 404, ErrorCode::NotFound),
        ("/progress/%ff", 400, ErrorCode::Malformed),
        ("/progress/%ff/events", 400, ErrorCode::Malformed),
    ];
    for (path, status, code) in cases {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.error().code), (status, code), "{path}");
    }
}

/// The share was looked at before the books: an upload that had filled it was refused when it came again because its
/// answer was lost (promise 10).
#[tokio::test]
async fn an_upload_that_fills_the_share_is_replayed_when_its_answer_was_lost() {
    let server = TestServer::with(|config| config.limits.max_bytes_per_owner = Some(1000)).await;
    let cookie = server.send("PUT /files/x HTTP/1.1", b"x").await.cookie();
    let body = form("XX", &[("file", "most", &pattern(700))]);
    let head = form_head("XX", &format!("\r\nCookie: {cookie}\r\nX-Progress-ID: most-of-it"));
    let first = server.send(&head, &body).await.receipts();
    assert_eq!(server.send(&head, &body).await.receipts(), first);
    assert_eq!(server.stored_files().len(), 2);
}

/// What is compressed on its way would be stored as it came, and nobody would know.
#[tokio::test]
async fn a_body_with_a_content_coding_is_refused_by_every_way() {
    let server = TestServer::start().await;
    let form = form("b", &[("file", "a", b"hello")]);
    let ways = [
        (form_head("b", ""), form.as_slice()),
        ("PUT /files/a HTTP/1.1".to_owned(), b"hello"),
        ("POST /files HTTP/1.1\r\nUpload-Complete: ?1".to_owned(), b"hello"),
        ("POST /files HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5".to_owned(), b""),
    ];
    for (head, body) in &ways {
        for coding in ["gzip", "GZIP, br", "aws-chunked"] {
            let refused = server.send(&format!("{head}\r\nContent-Encoding: {coding}"), body).await;
            assert_eq!(
                (refused.status, refused.error().code),
                (415, ErrorCode::UnsupportedMediaType),
                "{head}"
            );
            assert_eq!(refused.headers["accept-encoding"], "identity");
        }
        for none in ["identity", ""] {
            let taken = server.send(&format!("{head}\r\nContent-Encoding: {none}"), body).await;
            assert!((200..300).contains(&taken.status), "{head}: {taken:?}");
        }
    }
}
