//! Resumable Uploads for HTTP over a real port: every rule of the draft, and what the two protocols share: races, lies
//! and hostile requests at the addresses of uploads.

use base64::{Engine, prelude::BASE64_STANDARD};
use plimsoll::wire::{ErrorCode, ProgressState, Receipt, UploadAnswer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::util::*;

fn head(request: &str, fields: &str) -> String {
    let fields: String = fields.lines().map(|line| format!("\r\n{line}")).collect();
    format!("{request} HTTP/1.1{fields}")
}

async fn send(server: &TestServer, request: &str, fields: &str, body: &[u8]) -> Answer {
    server.send(&head(request, fields), body).await
}

/// Begins an upload carefully: nothing of it comes along. Its address.
async fn create(server: &TestServer, fields: &str) -> String {
    let answer = send(server, "POST /files", &format!("Upload-Complete: ?0\n{fields}"), b"").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!((&answer.headers["upload-complete"][..], &answer.headers["upload-offset"][..]), ("?0", "0"));
    answer.headers["location"].clone()
}

fn piece(offset: u64, complete: bool) -> String {
    let complete = if complete { "?1" } else { "?0" };
    format!("Content-Type: application/partial-upload\nUpload-Offset: {offset}\nUpload-Complete: {complete}")
}

async fn append(server: &TestServer, url: &str, offset: u64, complete: bool, bytes: &[u8]) -> Answer {
    send(server, &format!("PATCH {url}"), &piece(offset, complete), bytes).await
}

/// What `HEAD` tells: offset, and whether it is whole.
async fn state(server: &TestServer, url: &str) -> (u64, bool) {
    let answer = send(server, &format!("HEAD {url}"), "", b"").await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    (answer.headers["upload-offset"].parse().unwrap(), answer.headers["upload-complete"] == "?1")
}

/// The receipt in a final answer.
fn finished(answer: &Answer) -> Receipt {
    assert_eq!(answer.headers["upload-complete"], "?1", "{answer:?}");
    answer.json::<UploadAnswer>().files.remove(0)
}

#[tokio::test]
async fn the_whole_in_one_request() {
    let server = TestServer::start().await;
    let bytes = pattern(300_000);
    let fields = "Upload-Complete: ?1\nContent-Type: image/png\n\
        Content-Disposition: inline; filename=\"x\"; filename*=UTF-8''%C3%A9.png";
    let by_post = send(&server, "POST /files", fields, &bytes).await;
    assert_eq!(by_post.status, 201, "{by_post:?}");
    let receipt = finished(&by_post);
    assert_eq!(
        (receipt.name.as_str(), receipt.media_type.as_str(), receipt.size),
        ("é.png", "image/png", 300_000)
    );
    assert_eq!(by_post.headers["location"], receipt.url);
    assert_eq!(server.get(&receipt.url).await.body, bytes);
    let by_put =
        send(&server, "PUT /files/na%20me.bin", "Upload-Complete: ?1\nUpload-Length: 300000", &bytes).await;
    assert_eq!(finished(&by_put).name, "na me.bin");
    let chunked = head("PUT /files/chunked", "Upload-Complete: ?1");
    let chunked = server.send_chunked(&chunked, &[&bytes[..7], &bytes[7..]], "").await;
    assert_eq!(server.get(&finished(&chunked).url).await.body, bytes);
    let empty = send(&server, "POST /files", "Upload-Complete: ?1", b"").await;
    assert_eq!(finished(&empty).size, 0);
    // A value of another type is no value: an ordinary PUT, and a POST that says nothing.
    let plain = send(&server, "PUT /files/plain", "Upload-Complete: 1", b"hello").await;
    assert!(plain.status == 201 && !plain.headers.contains_key("upload-complete"), "{plain:?}");
    assert_eq!(send(&server, "POST /files", "Upload-Complete: true", b"hello").await.status, 400);
}

#[tokio::test]
async fn a_file_in_pieces_comes_back_equal() {
    let server = TestServer::start().await;
    let bytes = pattern(1_000_000);
    let begun =
        send(&server, "POST /files", "Upload-Complete: ?0\nContent-Type: text/plain", &bytes[..200_000])
            .await;
    assert_eq!((begun.status, begun.headers["upload-offset"].as_str()), (201, "200000"), "{begun:?}");
    let url = begun.headers["location"].clone();
    assert!(url.starts_with("/files/"), "a path, whatever we are called: {url}");
    assert!(begun.headers["upload-limit"].contains("max-age="), "{begun:?}");
    assert_eq!(state(&server, &url).await, (200_000, false));
    let more = append(&server, &url, 200_000, false, &bytes[200_000..700_000]).await;
    assert_eq!((more.status, more.headers["upload-complete"].as_str()), (204, "?0"), "{more:?}");
    assert!(!more.headers.contains_key("location"));
    let nothing = append(&server, &url, 700_000, false, b"").await;
    assert_eq!((nothing.status, nothing.headers["upload-offset"].as_str()), (204, "700000"));
    let rest = append(&server, &url, 700_000, false, &bytes[700_000..]).await;
    assert_eq!(rest.status, 204);
    // All of it is there, and it is not whole before the client says so.
    assert_eq!(state(&server, &url).await, (1_000_000, false));
    let last = append(&server, &url, 1_000_000, true, b"").await;
    assert_eq!(last.status, 200, "{last:?}");
    let receipt = finished(&last);
    assert_eq!((receipt.url.as_str(), receipt.size), (url.as_str(), 1_000_000));
    assert_eq!(state(&server, &url).await, (1_000_000, true));
    assert_eq!(server.get(&url).await.body, bytes);
}

#[tokio::test]
async fn the_state_tells_all_that_is_known() {
    let server = TestServer::with(|config| config.limits.max_file_size = Some(1 << 20)).await;
    let url = create(&server, "Upload-Length: 10").await;
    for method in ["HEAD", "GET"] {
        let answer = send(&server, &format!("{method} {url}"), "", b"").await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.headers["upload-offset"], "0");
        assert_eq!(answer.headers["upload-complete"], "?0");
        assert_eq!(answer.headers["upload-length"], "10");
        assert!(answer.headers["upload-limit"].starts_with("max-size=1048576, max-age="), "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    // A person who looks finds no file yet.
    let person = "Accept: text/html\nSec-Fetch-Mode: navigate";
    assert_eq!(send(&server, &format!("GET {url}"), person, b"").await.status, 404);
    assert_eq!(append(&server, &url, 0, true, b"helloworld").await.status, 200);
    let whole = send(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(
        (whole.status, &whole.headers["content-length"][..]),
        (200, "10"),
        "a download as well: {whole:?}"
    );
    assert_eq!((&whole.headers["upload-length"][..], &whole.headers["upload-complete"][..]), ("10", "?1"));
    let options = send(&server, "OPTIONS /files", "", b"").await;
    assert!(options.headers["upload-limit"].starts_with("max-size=1048576, max-age="));
    assert!(options.headers["accept-patch"].contains("application/partial-upload"));
    let unlimited = TestServer::start().await;
    let options = send(&unlimited, "OPTIONS /files", "", b"").await;
    assert!(options.headers["upload-limit"].starts_with("min-size=0, max-age="), "{options:?}");
}

#[tokio::test]
async fn another_offset_is_told_the_right_one() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    for (provided, complete) in [(0, false), (4, true), (6, true), (10, true)] {
        let answer = append(&server, &url, provided, complete, b"world").await;
        // 4 + 5 and 6 + 5 say two lengths of one upload besides; either refusal is right then.
        if answer.status == 400 {
            assert_eq!(answer.error().code, ErrorCode::LengthMismatch);
            continue;
        }
        assert_eq!((answer.status, answer.error().code), (409, ErrorCode::OffsetMismatch), "{answer:?}");
        assert_eq!(
            (&answer.headers["upload-offset"][..], &answer.headers["upload-complete"][..]),
            ("5", "?0")
        );
        let problem: Value = answer.json();
        assert_eq!(
            problem["type"],
            "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
        );
        assert_eq!((&problem["expected-offset"], &problem["provided-offset"]), (&5.into(), &provided.into()));
        assert_eq!(problem["status"], 409);
        assert!(problem["title"].is_string());
    }
    let answer = append(&server, &url, 0, false, b"").await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(finished(&append(&server, &url, 5, true, b"world").await).size, 10);
    assert_eq!(server.get(&url).await.body, b"helloworld");
}

#[tokio::test]
async fn lengths_that_disagree_are_refused() {
    let server = TestServer::start().await;
    let check = |answer: &Answer| {
        assert_eq!((answer.status, answer.error().code), (400, ErrorCode::LengthMismatch), "{answer:?}");
        let problem: Value = answer.json();
        assert_eq!(
            problem["type"],
            "https://iana.org/assignments/http-problem-types#inconsistent-upload-length"
        );
    };
    check(&send(&server, "POST /files", "Upload-Complete: ?1\nUpload-Length: 6", b"hello").await);
    check(&send(&server, "POST /files", "Upload-Complete: ?1\nUpload-Length: 4", b"hello").await);
    check(&send(&server, "POST /files", "Upload-Complete: ?0\nUpload-Length: 4", b"hello").await);
    let url = create(&server, "Upload-Length: 10").await;
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    check(
        &send(&server, &format!("PATCH {url}"), &format!("{}\nUpload-Length: 11", piece(5, false)), b"")
            .await,
    );
    check(&append(&server, &url, 5, true, b"worl").await);
    assert_eq!(state(&server, &url).await, (5, false));
    assert_eq!(finished(&append(&server, &url, 5, true, b"world").await).size, 10);
}

#[tokio::test]
async fn data_beyond_the_length_ends_the_upload() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 8").await;
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    let answer =
        server.send_chunked(&head(&format!("PATCH {url}"), &piece(5, false)), &[b"wo", b"rld"], "").await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    for method in ["HEAD", "GET", "PATCH"] {
        let fields = if method == "PATCH" { piece(8, true) } else { String::new() };
        let answer = send(&server, &format!("{method} {url}"), &fields, b"").await;
        assert!([404, 410].contains(&answer.status), "{method} {answer:?}");
    }
    server.settled().await;
    wait_for(|| server.stored_files().is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_is_too_large_is_told_the_limits() {
    let server = TestServer::with(|config| config.limits.max_file_size = Some(7)).await;
    for fields in ["Upload-Complete: ?0\nUpload-Length: 8", "Upload-Complete: ?1"] {
        let answer = send(
            &server,
            "POST /files",
            fields,
            b"helloworld".get(..if fields.contains("?1") { 8 } else { 0 }).unwrap(),
        )
        .await;
        assert_eq!((answer.status, answer.error().code), (413, ErrorCode::TooLarge), "{answer:?}");
        assert!(answer.headers["upload-limit"].starts_with("max-size=7"), "{answer:?}");
    }
    let unknown = create(&server, "").await;
    let answer = append(&server, &unknown, 0, false, b"helloworld").await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.headers["upload-limit"].starts_with("max-size=7"), "{answer:?}");
}

#[tokio::test]
async fn what_was_cancelled_is_gone() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    assert_eq!(send(&server, &format!("DELETE {url}"), "", b"").await.status, 204);
    for (method, fields) in [("HEAD", String::new()), ("DELETE", String::new()), ("PATCH", piece(5, true))] {
        let answer = send(&server, &format!("{method} {url}"), &fields, b"").await;
        assert!([404, 410].contains(&answer.status), "{method} {answer:?}");
        assert!(!answer.headers.contains_key("upload-offset"), "{method} {answer:?}");
    }
    assert_eq!(server.get(&url).await.status, 404);
    server.settled().await;
    wait_for(|| server.stored_files().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_lost_final_answer_is_told_again() {
    let server = TestServer::start().await;
    let url = create(&server, "").await;
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    let first = append(&server, &url, 5, true, b"world").await;
    let receipt = finished(&first);
    for _ in 0..2 {
        let again = append(&server, &url, 10, true, b"").await;
        assert_eq!((again.status, finished(&again)), (200, receipt.clone()));
    }
    // The client does not know whether its last piece came, and sends it again.
    let again = append(&server, &url, 5, true, b"world").await;
    assert_eq!((again.status, finished(&again)), (200, receipt.clone()));
    for wrong in [append(&server, &url, 3, true, b"").await, append(&server, &url, 10, true, b"!").await] {
        assert!((400..500).contains(&wrong.status), "{wrong:?}");
    }
    assert_eq!(server.get(&url).await.body, b"helloworld");
    assert_eq!(server.stored_files().len(), 1);
}

#[tokio::test]
async fn digests_are_checked_and_told() {
    let server = TestServer::start().await;
    let digest = |bytes: &[u8]| format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(bytes)));
    let (hello, world, whole) = (digest(b"hello"), digest(b"world"), digest(b"helloworld"));
    let url = create(&server, &format!("Repr-Digest: {whole}\nWant-Repr-Digest: sha-256=1")).await;
    let request = format!("PATCH {url}");
    let with =
        |offset, complete, digest: &str| format!("{}\nContent-Digest: {digest}", piece(offset, complete));
    let differs = send(&server, &request, &with(0, false, &world), b"hello").await;
    assert_eq!((differs.status, differs.error().code), (400, ErrorCode::DigestMismatch), "{differs:?}");
    assert_eq!(differs.headers["upload-complete"], "?0");
    assert_eq!(state(&server, &url).await, (0, false));
    assert_eq!(send(&server, &request, &with(0, false, &hello), b"hello").await.status, 204);
    let last = send(&server, &request, &with(5, true, &world), b"world").await;
    assert_eq!(last.headers["repr-digest"], whole, "{last:?}");
    assert_eq!(finished(&last).size, 10);
    // An answer gets lost: who asks how far it is hears the digest as well.
    assert_eq!(send(&server, &format!("HEAD {url}"), "", b"").await.headers["repr-digest"], whole);

    // The whole is not what was announced: it was all sent, and it is no file.
    let url = create(&server, &format!("Repr-Digest: {hello}")).await;
    let wrong = append(&server, &url, 0, true, b"hellp").await;
    assert_eq!((wrong.status, wrong.error().code), (400, ErrorCode::DigestMismatch), "{wrong:?}");
    assert_eq!(wrong.headers["upload-complete"], "?1", "going on does not help: {wrong:?}");
    assert!([404, 410].contains(&send(&server, &format!("HEAD {url}"), "", b"").await.status));
    assert_eq!(server.get(&url).await.status, 404);
    let unreadable =
        send(&server, "POST /files", "Upload-Complete: ?1\nRepr-Digest: sha-256=:AA==:", b"").await;
    assert_eq!(unreadable.status, 400);
}

#[tokio::test]
async fn what_breaks_the_rules_changes_nothing() {
    let server = TestServer::start().await;
    let url = create(&server, "").await;
    let typed = "Content-Type: application/partial-upload";
    for (fields, status) in [
        (typed.to_owned(), 400),
        (format!("{typed}\nUpload-Offset: 0"), 400),
        (format!("{typed}\nUpload-Complete: ?1"), 400),
        (format!("{typed}\nUpload-Complete: ?1\nUpload-Offset: -1"), 400),
        (format!("{typed}\nUpload-Complete: 1\nUpload-Offset: 0"), 400),
        ("Upload-Complete: ?1\nUpload-Offset: 0".to_owned(), 415),
        (
            "Upload-Complete: ?1\nUpload-Offset: 0\nContent-Type: application/offset+octet-stream".to_owned(),
            415,
        ),
        (String::new(), 415),
    ] {
        let answer = send(&server, &format!("PATCH {url}"), &fields, b"hello").await;
        assert_eq!(answer.status, status, "{fields:?}: {answer:?}");
        assert_eq!(state(&server, &url).await, (0, false));
    }
    for (request, allow) in [
        (format!("POST {url}"), "OPTIONS, GET, HEAD, PUT, PATCH, DELETE"),
        ("DELETE /files".to_owned(), "OPTIONS, POST"),
        ("PUT /files/".to_owned(), "OPTIONS, POST"),
    ] {
        let answer = send(&server, &request, "", b"").await;
        assert_eq!((answer.status, answer.error().code), (405, ErrorCode::MethodNotAllowed), "{request}");
        assert_eq!(answer.headers["allow"], allow, "{request}");
    }
    let answer = send(&server, "GET /upload", "", b"").await;
    assert_eq!((answer.status, answer.error().code), (405, ErrorCode::MethodNotAllowed));
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn a_cut_piece_is_kept_as_far_as_it_came() {
    let server = TestServer::start().await;
    let bytes = pattern(1_000_000);
    for (name, reset, chunked) in [
        ("fin", false, false),
        ("rst", true, false),
        ("fin-chunked", false, true),
        ("rst-chunked", true, true),
    ] {
        let url = create(&server, &format!("X-Progress-ID: was-cut-by-{name}")).await;
        let mut raw = server.connect().await;
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 1000000" };
        let fields = format!("Host: x\n{framing}\n{}", piece(0, true));
        raw.send(head(&format!("PATCH {url}"), &fields) + "\r\n\r\n").await;
        if chunked {
            raw.send(format!("{:x}\r\n", bytes.len())).await;
        }
        raw.send(&bytes[..400_000]).await;
        // All that was sent has been read: a reset throws away what has not.
        server.frame(&format!("was-cut-by-{name}"), |frame| frame.received == 400_000).await;
        if reset {
            raw.stream.set_zero_linger().unwrap();
        }
        drop(raw);
        assert_eq!(state(&server, &url).await, (400_000, false), "{name}");
        let last = append(&server, &url, 400_000, true, &bytes[400_000..]).await;
        assert_eq!(finished(&last).size, 1_000_000, "{name}");
        assert_eq!(server.get(&url).await.body, bytes, "{name}");
    }
}

/// With 104 a client that sends all in one request knows where to go on when it is cut.
#[tokio::test]
async fn an_address_told_early_is_where_to_go_on() {
    let server = TestServer::with(|config| config.interim_responses = true).await;
    let bytes = pattern(1_000_000);
    let fields = |more: &str| format!("Host: x\nContent-Length: 1000000\nUpload-Complete: ?1{more}");
    for version in ["8", "9"] {
        let mut raw = server.connect().await;
        let versioned = fields(&format!(
            "\nUpload-Draft-Interop-Version: {version}\nX-Progress-ID: told-early-{version}"
        ));
        raw.send(head("POST /files", &versioned) + "\r\n\r\n").await;
        raw.send(&bytes[..300_000]).await;
        let early = raw.answer().await;
        assert_eq!((early.status, early.headers["upload-draft-interop-version"].as_str()), (104, version));
        assert!(early.headers["upload-limit"].contains("max-age="), "{early:?}");
        // And how much of it is durable, in the midst of the request.
        let mut durable = 0;
        while durable < 300_000 {
            let early = raw.answer().await;
            assert_eq!((early.status, early.headers.contains_key("location")), (104, false));
            let offset: u64 = early.headers["upload-offset"].parse().unwrap();
            assert!(offset > durable && offset <= 300_000, "{offset} after {durable}");
            durable = offset;
        }
        // The line is cut; or it falls silent and stays, and then the next request takes its place.
        let silent = (version == "9").then_some(raw);
        let url = &early.headers["location"];
        assert_eq!(state(&server, url).await, (300_000, false));
        if let Some(mut silent) = silent {
            assert_eq!(silent.answer().await.status, 409);
        }
        assert_eq!(finished(&append(&server, url, 300_000, true, &bytes[300_000..]).await).size, 1_000_000);
        assert_eq!(server.get(url).await.body, bytes);
    }
    // Several requests on one connection, with `100 Continue` as well: each answer is whole and in its place.
    let mut raw = server.connect().await;
    for _ in 0..3 {
        let careful = fields("\nUpload-Draft-Interop-Version: 8\nExpect: 100-continue");
        raw.send(head("PUT /files/x", &careful) + "\r\n\r\n").await;
        let mut before = [raw.answer().await, raw.answer().await];
        before.sort_by_key(|answer| answer.status);
        assert_eq!([before[0].status, before[1].status], [100, 104]);
        raw.send(&bytes).await;
        let mut answer = raw.answer().await;
        // On a slow disk it is told as well how much is durable.
        while answer.status == 104 {
            answer = raw.answer().await;
        }
        assert_eq!(answer.headers["location"], before[1].headers["location"]);
        assert_eq!(server.get(&finished(&answer).url).await.body, bytes);
    }
    // Nobody else is told: another version or none, another protocol, HTTP/1.0, a server that was not asked to.
    let silent = TestServer::start().await;
    for (server, request) in [
        (&server, head("POST /files", &fields(""))),
        (&server, head("POST /files", &fields("\nUpload-Draft-Interop-Version: 7"))),
        (&server, head("PUT /files/x", "Host: x\nContent-Length: 1000000\nUpload-Draft-Interop-Version: 8")),
        (
            &server,
            head("POST /files", &fields("\nUpload-Draft-Interop-Version: 8")).replace("HTTP/1.1", "HTTP/1.0"),
        ),
        (&silent, head("POST /files", &fields("\nUpload-Draft-Interop-Version: 8"))),
    ] {
        let mut raw = server.connect().await;
        raw.send(request.clone() + "\r\n\r\n").await;
        raw.send(&bytes).await;
        assert_eq!(raw.answer().await.status, 201, "{request}");
    }
}

/// Which drafts are spoken is a setting, and only interim responses depend on it.
#[tokio::test]
async fn interim_responses_follow_the_list_of_versions() {
    let server = TestServer::with(|config| {
        config.interim_responses = true;
        config.rufh_interop = [3, 11].into();
    })
    .await;
    for (version, is_ours) in
        [("3", true), ("11", true), ("11;x", true), ("8", false), ("9", false), ("?1", false)]
    {
        let mut raw = server.connect().await;
        let fields = format!(
            "Host: x\nUpload-Complete: ?1\nUpload-Draft-Interop-Version: {version}\nContent-Length: 5"
        );
        raw.send(head("POST /files", &fields) + "\r\n\r\n").await;
        if is_ours {
            let early = raw.answer().await;
            let echoed = early.headers["upload-draft-interop-version"].as_str();
            assert_eq!((early.status, echoed), (104, version.split(';').next().unwrap()));
        }
        raw.send("hello").await;
        let mut answer = raw.answer().await;
        // On a slow disk it is told as well how much is durable.
        while is_ours && answer.status == 104 {
            answer = raw.answer().await;
        }
        assert_eq!((answer.status, finished(&answer).size), (201, 5), "{version}");
    }
}

/// While a piece is appended its client is told how much is durable, and never another address.
#[tokio::test]
async fn a_piece_is_told_its_progress_and_no_address() {
    let server = TestServer::with(|config| config.interim_responses = true).await;
    let bytes = pattern(500_000);
    let url = create(&server, "").await;
    assert_eq!(append(&server, &url, 0, false, &bytes[..100_000]).await.status, 204);
    let mut raw = server.connect().await;
    let fields =
        format!("Host: x\n{}\nUpload-Draft-Interop-Version: 9\nContent-Length: 400000", piece(100_000, true));
    raw.send(head(&format!("PATCH {url}"), &fields) + "\r\n\r\n").await;
    raw.send(&bytes[100_000..300_000]).await;
    let mut told = 100_000;
    while told < 300_000 {
        let early = raw.answer().await;
        assert_eq!((early.status, early.headers.contains_key("location")), (104, false), "{early:?}");
        assert_eq!(early.headers["upload-draft-interop-version"], "9");
        let offset: u64 = early.headers["upload-offset"].parse().unwrap();
        assert!(offset > told && offset <= 300_000, "{offset} after {told}");
        told = offset;
    }
    raw.send(&bytes[300_000..]).await;
    let mut last = raw.answer().await;
    while last.status == 104 {
        last = raw.answer().await;
    }
    assert_eq!(finished(&last).size, 500_000);
    assert_eq!(server.get(&url).await.body, bytes);
}

/// What is larger than one request may bring is refused with the bound, told before as `max-append-size`.
#[tokio::test]
async fn a_piece_is_no_larger_than_was_told() {
    let server = TestServer::with(|config| config.limits.max_request_size = Some(10)).await;
    let url = create(&server, "Upload-Length: 20").await;
    let told = send(&server, &format!("HEAD {url}"), "", b"").await;
    assert!(told.headers["upload-limit"].contains("max-append-size=10"), "{told:?}");
    let answer = append(&server, &url, 0, false, &[7; 11]).await;
    assert_eq!((answer.status, answer.error().code), (413, ErrorCode::TooLarge), "{answer:?}");
    assert!(answer.headers["upload-limit"].contains("max-append-size=10"), "{answer:?}");
    assert_eq!(state(&server, &url).await, (0, false));
    assert_eq!(append(&server, &url, 0, false, &[7; 10]).await.status, 204);
    assert_eq!(finished(&append(&server, &url, 10, true, &[7; 10]).await).size, 20);
}

/// An address is what it is: what looks like it leads nowhere, and nobody is sent elsewhere. A word for proxies only is
/// no concern of ours.
#[tokio::test]
async fn an_upload_has_one_address() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    let fields = format!("{}\nIncremental: ?1", piece(0, false));
    assert_eq!(send(&server, &format!("PATCH {url}"), &fields, b"hello").await.status, 204);
    for address in [url.clone(), format!("{url}/"), format!("/files//{}", &url[7..]), url.to_uppercase()] {
        let answer = send(&server, &format!("HEAD {address}"), "", b"").await;
        assert!(!(300..400).contains(&answer.status), "{address}: {answer:?}");
        assert_eq!(answer.headers.contains_key("upload-offset"), address == url, "{address}: {answer:?}");
    }
    assert_eq!(finished(&append(&server, &url, 5, true, b"world").await).size, 10);
}

/// An upload begun with a cookie is its owner's, at every request.
#[tokio::test]
async fn an_upload_is_its_owners() {
    let server = TestServer::start().await;
    let mine = "Cookie: plimsoll_owner=bbbbbbbbbbbbbbbbbbbbbbbbba";
    let url = create(&server, mine).await;
    let first =
        send(&server, &format!("PATCH {url}"), &format!("{}\n{mine}", piece(0, false)), b"hello").await;
    assert_eq!(first.status, 204, "{first:?}");
    for other in ["", "Cookie: plimsoll_owner=cccccccccccccccccccccccccu"] {
        for (method, fields) in [("HEAD", ""), ("GET", ""), ("DELETE", ""), ("PATCH", &*piece(5, true))] {
            let answer = send(&server, &format!("{method} {url}"), &format!("{fields}\n{other}"), b"").await;
            assert_eq!(answer.status, 404, "{method} {other:?}: {answer:?}");
            assert!(!answer.headers.contains_key("upload-offset"), "{answer:?}");
        }
    }
    let last = send(&server, &format!("PATCH {url}"), &format!("{}\n{mine}", piece(5, true)), b"world").await;
    assert_eq!(finished(&last).size, 10);
}

/// tusd waited eight seconds for a lock; ours takes the upload over.
#[tokio::test]
async fn a_stalled_request_gives_way_to_the_next() {
    let server = TestServer::start().await;
    let bytes = pattern(300_000);
    for newcomer in ["HEAD", "GET", "PATCH", "DELETE"] {
        let url = create(&server, &format!("X-Progress-ID: stalled-{newcomer}")).await;
        let mut stalled = server.connect().await;
        let fields = format!("Host: x\nContent-Length: 300000\n{}", piece(0, true));
        stalled.send(head(&format!("PATCH {url}"), &fields) + "\r\n\r\n").await;
        stalled.send(&bytes[..100_000]).await;
        server.frame(&format!("stalled-{newcomer}"), |frame| frame.received == 100_000).await;
        match newcomer {
            "HEAD" => assert_eq!(state(&server, &url).await, (100_000, false)),
            "GET" => {
                let answer = send(&server, &format!("GET {url}"), "", b"").await;
                assert_eq!((answer.status, &*answer.headers["upload-offset"]), (204, "100000"), "{answer:?}");
            }
            "PATCH" => {
                let answer = append(&server, &url, 100_000, false, &bytes[100_000..200_000]).await;
                assert_eq!(answer.status, 204, "{answer:?}");
            }
            _ => assert_eq!(send(&server, &format!("DELETE {url}"), "", b"").await.status, 204),
        }
        // What the old one sends now never gets into the file; its connection may be closed already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stalled.stream, &pattern(200_000)).await;
        if let Some(answer) = stalled.try_answer().await {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
        if newcomer == "DELETE" {
            assert_eq!(server.get(&url).await.status, 404);
            continue;
        }
        let (at, whole) = state(&server, &url).await;
        assert_eq!((at, whole), (if newcomer == "PATCH" { 200_000 } else { 100_000 }, false));
        assert_eq!(append(&server, &url, at, true, &bytes[at as usize..]).await.status, 200);
        assert_eq!(server.get(&url).await.body, bytes);
    }
}

/// django-chunked-upload: six identical chunks at once gave three successes and a file of 2500 bytes for 1500.
#[tokio::test]
async fn of_many_at_one_offset_one_wins() {
    let server = TestServer::start().await;
    let bytes = pattern(100_000);
    let url = create(&server, "Upload-Length: 100000").await;
    let tries = (0..50).map(|_| append(&server, &url, 0, false, &bytes));
    let answers = futures_util::future::join_all(tries).await;
    let stored = answers.iter().filter(|answer| answer.status == 204).count();
    assert!(answers.iter().all(|answer| [204, 409].contains(&answer.status)), "{answers:?}");
    // A newcomer at the same offset takes over one that has not stored anything yet; whatever is answered 204 is
    // stored once.
    assert!(stored <= 1, "{stored} of them");
    let (at, _) = state(&server, &url).await;
    assert!(at <= 100_000);
    let rest = append(&server, &url, at, true, &bytes[at as usize..]).await;
    assert_eq!(finished(&rest).size, 100_000);
    assert_eq!(server.get(&url).await.body, bytes);
}

/// An offset that was told can be used, whatever was on its way when it was asked for (promise 2).
#[tokio::test]
async fn an_offset_told_in_the_midst_of_a_piece_can_be_used() {
    let server = TestServer::start().await;
    let bytes = pattern(4_000_000);
    let url = create(&server, "Upload-Length: 4000000").await;
    let mut at = 0;
    for round in 1.. {
        let request = format!("PATCH {url}");
        let fields = format!("Host: x\nContent-Length: {}\n{}", bytes.len() - at, piece(at as u64, true));
        let mut raw = server.connect().await;
        raw.send(head(&request, &fields) + "\r\n\r\n").await;
        let (mut reading, mut writing) = raw.stream.into_split();
        let rest = bytes[at..].to_vec();
        let sending = tokio::spawn(async move {
            // Cut off by the question, or at the end of the piece: either is an end of the sending.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut writing, &rest).await;
            let _ = tokio::io::AsyncReadExt::read(&mut reading, &mut [0; 1]).await;
        });
        server.frame(url.strip_prefix("/files/").unwrap(), |frame| frame.received > at as u64).await;
        let (told, whole) = state(&server, &url).await;
        assert!(told >= at as u64, "{told} after {at}");
        sending.await.unwrap();
        if whole {
            break;
        }
        at = told as usize;
        if round == 8 || at == bytes.len() {
            assert_eq!(append(&server, &url, told, true, &bytes[at..]).await.status, 200);
            break;
        }
    }
    assert_eq!(server.get(&url).await.body, bytes);
}

#[tokio::test]
async fn of_many_ends_one_is_the_end() {
    let server = TestServer::start().await;
    let url = create(&server, "").await;
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    let answers = futures_util::future::join_all((0..20).map(|_| append(&server, &url, 5, true, b""))).await;
    let receipts: Vec<_> = answers.iter().filter(|answer| answer.status == 200).map(finished).collect();
    assert!(!receipts.is_empty());
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status)), "{answers:?}");
    assert_eq!(server.get(&url).await.body, b"hello");
    assert_eq!(server.stored_files().len(), 1);
}

#[tokio::test]
async fn an_end_and_a_cancellation_agree() {
    let server = TestServer::start().await;
    for _ in 0..20 {
        let url = create(&server, "").await;
        assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
        let request = format!("DELETE {url}");
        let (end, deletion) =
            tokio::join!(append(&server, &url, 5, true, b"world"), send(&server, &request, "", b""));
        assert!(end.status < 500 && deletion.status < 500, "{end:?} {deletion:?}");
        let got = server.get(&url).await;
        match got.status {
            200 => assert_eq!((end.status, got.body.as_slice()), (200, &b"helloworld"[..]), "{deletion:?}"),
            404 => assert_eq!(deletion.status, 204, "{end:?}"),
            _ => panic!("{got:?}"),
        }
    }
}

/// @tus/server 2.4.2 deleted a file outside its folder through an encoded slash.
#[tokio::test]
async fn hostile_requests_reach_nothing() {
    let server = TestServer::start().await;
    let victim = server.folder.path().join("victim.txt");
    std::fs::write(&victim, "precious").unwrap();
    let before = tree(server.folder.path().parent().unwrap(), server.folder.path());
    let ids = [
        "..%2fvictim.txt",
        "..%2f..%2fvictim.txt",
        "%2e%2e%2fvictim.txt",
        "victim.txt%00",
        "%00",
        "%ff%fe",
        "..",
        "%2e%2e",
        "catalog.sqlite",
        "aaaaaaaaaaaaaaaaaaaaaaaaa%2f",
        "AAAAAAAAAAAAAAAAAAAAAAAAAA",
        "aaaaaaaaaaaaaaaaaaaaaaaaab",
        &"a".repeat(5000),
        "aaaaaaaaaaaaaaaaaaaaaaaaaa%0d%0aX:%20y",
    ];
    let content = "Content-Type: application/offset+octet-stream\nUpload-Offset: 0";
    for id in ids {
        for (method, fields) in [
            ("GET", String::new()),
            ("HEAD", String::new()),
            ("DELETE", String::new()),
            ("PATCH", piece(0, true)),
            ("HEAD", "Tus-Resumable: 1.0.0".to_owned()),
            ("DELETE", "Tus-Resumable: 1.0.0".to_owned()),
            ("PATCH", format!("Tus-Resumable: 1.0.0\n{content}")),
            ("POST", format!("Tus-Resumable: 1.0.0\nX-HTTP-Method-Override: PATCH\n{content}")),
        ] {
            let body: &[u8] = if ["PATCH", "POST"].contains(&method) { b"evil" } else { b"" };
            let answer = send(&server, &format!("{method} /files/{id}"), &fields, body).await;
            assert!((400..500).contains(&answer.status), "{method} {id} {fields:?}: {answer:?}");
        }
    }
    let b64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let names = [
        "../../../victim.txt",
        "/etc/passwd",
        "..\\..\\victim.txt",
        "a\0b",
        "..",
        "\u{202e}gpj.exe",
        "con\r\nX: y",
    ];
    for name in names {
        let fields = format!(
            "Tus-Resumable: 1.0.0\nUpload-Length: 0\nUpload-Metadata: filename {}",
            b64(name.as_bytes())
        );
        let answer = send(&server, "POST /files", &fields, b"").await;
        assert_eq!(answer.status, 201, "{name:?}: {answer:?}");
        let got = server.get(&answer.headers["location"]).await;
        let disposition = &got.headers["content-disposition"];
        assert!(got.status == 200 && !disposition.contains(['/', '\\', '\0']), "{name:?}: {disposition}");
        assert!(!got.headers.contains_key("x"));
    }
    for name in ["../x", "..%2f..%2fvictim.txt", "%00"] {
        let fields = format!("Upload-Complete: ?1\nContent-Disposition: inline; filename=\"{name}\"");
        let name = finished(&send(&server, "POST /files", &fields, b"new").await).name;
        assert!(!name.contains(['/', '\\', '\0']), "{name:?}");
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(
        tree(server.folder.path().parent().unwrap(), server.folder.path()),
        before,
        "outside of the data folder"
    );
}

/// Names of ours beside the folder, where a path that climbs out of it would lead.
fn tree(parent: &std::path::Path, folder: &std::path::Path) -> Vec<String> {
    let names = ["victim.txt", "catalog.sqlite", "evil", "x"];
    names
        .into_iter()
        .filter(|name| parent.join(name).exists() && parent != folder)
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn hostile_heads_are_refused_and_never_a_fault() {
    let server = TestServer::start().await;
    let url = create(&server, "").await;
    // Both framings at once: RFC 9112, section 6.1. Whatever is believed, the other one says nothing.
    for request in [
        head(&format!("PATCH {url}"), &piece(0, false)),
        head(
            "POST /files",
            "Tus-Resumable: 1.0.0\nUpload-Length: 5\nContent-Type: application/offset+octet-stream",
        ),
        head("PUT /files/x", "Upload-Complete: ?1"),
    ] {
        let mut raw = server.connect().await;
        raw.send(format!("{request}\r\nHost: x\r\nContent-Length: 1000\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        let answer = raw.answer().await;
        assert!(answer.status < 500, "{request}: {answer:?}");
        if answer.status < 300 {
            let at = answer.headers.get("upload-offset").map_or("5", String::as_str);
            assert_eq!(at, "5", "{request}: {answer:?}");
        }
    }
    // Forwarded headers of nobody that we trust lead nowhere.
    let forwarded = "X-Forwarded-Host: evil.example\nX-Forwarded-Proto: https\nForwarded: host=evil.example\n\
        X-Forwarded-Prefix: /evil\nX-Original-URL: /evil\nHost: evil.example";
    for fields in ["Upload-Complete: ?0", "Tus-Resumable: 1.0.0\nUpload-Length: 5"] {
        let answer = send(&server, "POST /files", &format!("{fields}\n{forwarded}"), b"").await;
        // Two hosts may be refused as such.
        if answer.status == 201 {
            assert!(answer.headers["location"].starts_with("/files/"), "{answer:?}");
            assert!(!answer.headers.values().any(|value| value.contains("evil")), "{answer:?}");
        }
        assert!(answer.status < 500, "{answer:?}");
    }
    for fields in [
        "Upload-Complete: ?1\nContent-Type: \u{1}",
        "Upload-Complete: ?0\nUpload-Length: 999999999999999",
        "Upload-Complete: ?0\nX-Progress-ID: ../../x",
        "Upload-Complete: ?0\nContent-Disposition: inline; filename=\"",
        "Upload-Complete: ?0\nContent-Digest: sha-256",
        "Tus-Resumable: 1.0.0\nUpload-Length: 9223372036854775807",
        "Tus-Resumable: 1.0.0\nUpload-Length: 9223372036854775808",
        "Tus-Resumable: 1.0.0\nUpload-Length: 18446744073709551615",
        "Tus-Resumable: 1.0.0\nUpload-Length: 5\nUpload-Metadata: \u{fc} YQ==",
    ] {
        let answer = send(&server, "POST /files", fields, b"").await;
        assert!(answer.status < 500, "{fields:?}: {answer:?}");
    }
    let huge = format!("Tus-Resumable: 1.0.0\nUpload-Length: 5\nUpload-Metadata: a {}", "A".repeat(60_000));
    assert!((400..500).contains(&send(&server, "POST /files", &huge, b"").await.status));
}

#[tokio::test]
async fn every_upload_can_be_watched() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    let id = url.strip_prefix("/files/").unwrap();
    let begun = server.frame(id, |_| true).await;
    assert_eq!((begun.state, begun.received, begun.size), (ProgressState::Receiving, 0, Some(10)));
    assert_eq!(append(&server, &url, 0, false, b"hello").await.status, 204);
    assert_eq!(server.frame(id, |frame| frame.received == 5).await.size, Some(10));
    assert_eq!(append(&server, &url, 5, true, b"world").await.status, 200);
    let frame = server.frame(id, |frame| frame.state.is_terminal()).await;
    assert_eq!((frame.state, frame.receipts[0].url.as_str()), (ProgressState::Done, url.as_str()));
    let cancelled = create(&server, "X-Progress-ID: to-be-cancelled").await;
    assert_eq!(send(&server, &format!("DELETE {cancelled}"), "", b"").await.status, 204);
    assert_eq!(
        server.frame("to-be-cancelled", |frame| frame.state.is_terminal()).await.state,
        ProgressState::Cancelled
    );
}
