//! tus 1.0.0 over a real port: every rule of the protocol and its extensions, what real clients send, what hostile ones
//! do. The old failures of other servers are named above the tests that keep them out.

use base64::{Engine, prelude::BASE64_STANDARD};
use plimsoll::wire::{ErrorCode, ProgressState, Receipt};
use sha1::Digest;
use tokio::io::AsyncReadExt;

use crate::util::*;

const CONTENT: &str = "Content-Type: application/offset+octet-stream";

/// One request; `fields` are lines of its head.
async fn tus(server: &TestServer, request: &str, fields: &str, body: &[u8]) -> Answer {
    let answer = server.send(&tus_head(request, fields), body).await;
    assert_eq!(answer.headers["tus-resumable"], "1.0.0", "{request}: {answer:?}");
    answer
}

fn tus_head(request: &str, fields: &str) -> String {
    let fields: String = fields.lines().map(|line| format!("\r\n{line}")).collect();
    format!("{request} HTTP/1.1\r\nTus-Resumable: 1.0.0{fields}")
}

/// Begins an upload with these fields; its address.
async fn create(server: &TestServer, fields: &str) -> String {
    let answer = tus(server, "POST /files", fields, b"").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = answer.headers["location"].clone();
    assert!(url.starts_with("/files/"), "a path, whatever we are called: {url}");
    url
}

async fn patch(server: &TestServer, url: &str, offset: u64, bytes: &[u8]) -> Answer {
    tus(server, &format!("PATCH {url}"), &format!("{CONTENT}\nUpload-Offset: {offset}"), bytes).await
}

async fn offset(server: &TestServer, url: &str) -> u64 {
    let answer = tus(server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.headers["upload-offset"].parse().unwrap()
}

/// A whole upload in one piece.
async fn stored(server: &TestServer, fields: &str, bytes: &[u8]) -> String {
    let url = create(server, &format!("Upload-Length: {}\n{fields}", bytes.len())).await;
    assert_eq!(patch(server, &url, 0, bytes).await.status, 204);
    url
}

/// The receipt of a finished upload, as its progress tells it.
async fn receipt(server: &TestServer, url: &str) -> Receipt {
    let id = url.strip_prefix("/files/").unwrap();
    server.frame(id, |frame| frame.state == ProgressState::Done).await.receipts.remove(0)
}

#[tokio::test]
async fn options_tell_what_is_spoken_whatever_version_asks() {
    let server = TestServer::with(|config| config.limits.max_file_size = Some(1 << 20)).await;
    for path in ["/files", "/files/", "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        for version in ["", "\r\nTus-Resumable: 9.9.9"] {
            let answer = server.send(&format!("OPTIONS {path} HTTP/1.1{version}"), b"").await;
            assert_eq!(answer.status, 204, "{answer:?}");
            assert_eq!(answer.headers["tus-version"], "1.0.0");
            assert_eq!(answer.headers["tus-max-size"], "1048576");
            assert_eq!(answer.headers["tus-checksum-algorithm"], "sha1,sha256,md5,crc32");
            for extension in [
                "creation",
                "creation-with-upload",
                "creation-defer-length",
                "expiration",
                "checksum",
                "checksum-trailer",
                "termination",
                "concatenation",
            ] {
                assert!(
                    answer.headers["tus-extension"].split(',').any(|one| one == extension),
                    "{extension}"
                );
            }
            assert!(answer.headers["upload-limit"].starts_with("max-size=1048576, max-age="));
        }
    }
}

#[tokio::test]
async fn another_version_is_told_ours_and_nothing_is_done() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 5").await;
    for version in ["", "\r\nTus-Resumable: 0.2.2", "\r\nTus-Resumable: 1.0.1"] {
        for (request, body) in [
            ("POST /files HTTP/1.1\r\nUpload-Length: 5".to_owned(), &b""[..]),
            (format!("PATCH {url} HTTP/1.1\r\n{CONTENT}\r\nUpload-Offset: 0"), b"hello"),
        ] {
            let answer = server.send(&format!("{request}{version}"), body).await;
            assert_eq!(
                (answer.status, answer.error().code),
                (412, ErrorCode::UnsupportedVersion),
                "{answer:?}"
            );
            assert_eq!(
                (&answer.headers["tus-version"][..], &answer.headers["tus-resumable"][..]),
                ("1.0.0", "1.0.0")
            );
        }
    }
    let deletion = server.send(&format!("DELETE {url} HTTP/1.1\r\nTus-Resumable: 2.0.0"), b"").await;
    assert_eq!(deletion.status, 412);
    assert_eq!(offset(&server, &url).await, 0);
}

#[tokio::test]
async fn a_file_in_pieces_comes_back_equal() {
    let server = TestServer::start().await;
    let bytes = pattern(3_000_001);
    let metadata = "Upload-Metadata: filename w6kudHh0,filetype dGV4dC9wbGFpbg==,other bnVsbA==";
    let created =
        tus(&server, "POST /files/", &format!("Upload-Length: {}\n{metadata}", bytes.len()), b"").await;
    assert_eq!(created.status, 201);
    assert!(!created.headers.contains_key("upload-offset"), "none of it was in that request");
    let url = created.headers["location"].clone();
    let expires = httpdate::parse_http_date(&created.headers["upload-expires"]).unwrap();
    assert!(expires > std::time::SystemTime::now());
    let mut at = 0;
    for piece in bytes.chunks(1_000_000) {
        let answer = patch(&server, &url, at, piece).await;
        at += piece.len() as u64;
        assert_eq!((answer.status, &answer.headers["upload-offset"]), (204, &at.to_string()));
        assert_eq!(answer.headers.contains_key("upload-expires"), at < bytes.len() as u64, "{answer:?}");
        assert_eq!(offset(&server, &url).await, at);
    }
    let head = tus(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(head.headers["upload-length"], bytes.len().to_string());
    assert_eq!(format!("Upload-Metadata: {}", head.headers["upload-metadata"]), metadata);
    let got = server.get(&url).await;
    assert_eq!(got.body, bytes);
    assert_eq!(got.headers["content-type"], "text/plain");
    assert!(got.headers["content-disposition"].contains("filename*=UTF-8''%C3%A9.txt"));
    let receipt = receipt(&server, &url).await;
    assert_eq!((receipt.name.as_str(), receipt.size), ("é.txt", 3_000_001));
}

#[tokio::test]
async fn the_beginning_may_come_with_the_creation() {
    let server = TestServer::start().await;
    let bytes = pattern(100_000);
    let whole = tus(&server, "POST /files", &format!("{CONTENT}\nUpload-Length: 100000"), &bytes).await;
    assert_eq!((whole.status, whole.headers["upload-offset"].as_str()), (201, "100000"));
    assert_eq!(server.get(&whole.headers["location"]).await.body, bytes);
    let part =
        tus(&server, "POST /files", &format!("{CONTENT}\nUpload-Length: 100000"), &bytes[..30_000]).await;
    assert_eq!((part.status, part.headers["upload-offset"].as_str()), (201, "30000"));
    let url = &part.headers["location"];
    assert_eq!(patch(&server, url, 30_000, &bytes[30_000..]).await.status, 204);
    assert_eq!(server.get(url).await.body, bytes);
    // An offer of content without any.
    let none = tus(&server, "POST /files", &format!("{CONTENT}\nUpload-Length: 5"), b"").await;
    assert_eq!((none.status, none.headers["upload-offset"].as_str()), (201, "0"));

    let mut careful = server.connect().await;
    let fields = format!("Host: x\n{CONTENT}\nUpload-Length: 5\nContent-Length: 5\nExpect: 100-continue");
    careful.send(tus_head("POST /files", &fields) + "\r\n\r\n").await;
    assert_eq!(careful.answer().await.status, 100);
    careful.send("hello").await;
    let answer = careful.answer().await;
    assert_eq!((answer.status, answer.headers["upload-offset"].as_str()), (201, "5"));
}

/// tus-java-server and @tus/server take the body of any `POST` for the upload's own.
#[tokio::test]
async fn a_body_of_another_type_is_not_the_upload() {
    let server = TestServer::start().await;
    for kind in [
        "",
        "\nContent-Type: application/octet-stream",
        "\nContent-Type: multipart/form-data; boundary=x",
        "\nContent-Type: application/x-www-form-urlencoded",
    ] {
        let answer = tus(&server, "POST /files", &format!("Upload-Length: 5{kind}"), b"hello").await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(!answer.headers.contains_key("upload-offset"));
        assert_eq!(offset(&server, &answer.headers["location"]).await, 0);
    }
}

#[tokio::test]
async fn what_breaks_the_rules_changes_nothing() {
    let server = TestServer::start().await;
    for fields in [
        "",
        "Upload-Length: -5",
        "Upload-Length: x",
        "Upload-Defer-Length: 2",
        "Upload-Length: 5\nUpload-Defer-Length: 1",
        "Upload-Length: 5\nUpload-Metadata: a *",
        "Upload-Length: 5\nUpload-Metadata: a YQ==,a YQ==",
        "Upload-Concat: final;/etc/passwd",
    ] {
        let answer = tus(&server, "POST /files", fields, b"").await;
        assert_eq!((answer.status, answer.error().code), (400, ErrorCode::Malformed), "{fields:?}");
    }
    assert!(server.stored_files().is_empty());
    let url = create(&server, "Upload-Length: 10").await;
    assert_eq!(patch(&server, &url, 0, b"hello").await.status, 204);
    let request = format!("PATCH {url}");
    for (fields, status) in [
        (format!("{CONTENT}\nUpload-Offset: 4"), 409),
        (format!("{CONTENT}\nUpload-Offset: 6"), 409),
        (format!("{CONTENT}\nUpload-Offset: 10"), 409),
        (CONTENT.to_owned(), 400),
        (format!("{CONTENT}\nUpload-Offset: -5"), 400),
        (format!("{CONTENT}\nUpload-Offset: 5\nUpload-Checksum: sha512 AA=="), 400),
        (format!("{CONTENT}\nUpload-Offset: 5\nUpload-Checksum: sha1"), 400),
        ("Upload-Offset: 5".to_owned(), 415),
        ("Content-Type: application/octet-stream\nUpload-Offset: 5".to_owned(), 415),
    ] {
        let answer = tus(&server, &request, &fields, b"world").await;
        assert_eq!(answer.status, status, "{fields:?}: {answer:?}");
        if status == 409 {
            assert_eq!(answer.headers["upload-offset"], "5");
        }
        assert_eq!(offset(&server, &url).await, 5);
    }
    assert_eq!(patch(&server, &url, 5, b"world").await.status, 204);
    assert_eq!(server.get(&url).await.body, b"helloworld");
}

#[tokio::test]
async fn the_length_may_come_late_and_only_once() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Defer-Length: 1").await;
    let head = tus(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(head.headers["upload-defer-length"], "1");
    assert!(!head.headers.contains_key("upload-length"));
    assert_eq!(patch(&server, &url, 0, b"hello").await.status, 204);
    let told = async |length: u64, at: u64, bytes: &[u8]| {
        let fields = format!("{CONTENT}\nUpload-Offset: {at}\nUpload-Length: {length}");
        tus(&server, &format!("PATCH {url}"), &fields, bytes).await
    };
    // Less than there is already.
    assert!((400..500).contains(&told(4, 5, b"").await.status));
    assert_eq!(offset(&server, &url).await, 5);
    assert_eq!(told(10, 5, b"wo").await.status, 204);
    let head = tus(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!((head.headers["upload-length"].as_str(), head.headers["upload-offset"].as_str()), ("10", "7"));
    assert!(!head.headers.contains_key("upload-defer-length"));
    assert!((400..500).contains(&told(11, 7, b"rld!").await.status), "it was told before, and differently");
    assert_eq!(offset(&server, &url).await, 7);
    assert_eq!(told(10, 7, b"rld").await.status, 204);
    assert_eq!(server.get(&url).await.body, b"helloworld");
}

#[tokio::test]
async fn an_upload_of_nothing_is_whole_at_once() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 0\nUpload-Metadata: filename ZW1wdHk=").await;
    assert_eq!(receipt(&server, &url).await.name, "empty");
    let got = server.get(&url).await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    // Nothing more, and chunked coding says so only by its end.
    let mut raw = server.connect().await;
    let fields = format!("Tus-Resumable: 1.0.0\r\n{CONTENT}\r\nUpload-Offset: 0");
    let chunked =
        format!("PATCH {url} HTTP/1.1\r\nHost: x\r\n{fields}\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw.send(chunked.clone() + "0\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 204);
    raw.send(chunked + "1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 413);
}

#[tokio::test]
async fn what_nobody_goes_on_with_expires_and_files_do_not() {
    let server = TestServer::with(|config| config.max_age = std::time::Duration::from_millis(1)).await;
    let whole = server.send("PUT /files/whole HTTP/1.1", b"hello").await;
    assert_eq!(whole.status, 201, "{whole:?}");
    let url = create(&server, "Upload-Length: 10").await;
    let mut expired = tus(&server, &format!("HEAD {url}"), "", b"").await;
    while expired.status == 200 {
        expired = tus(&server, &format!("HEAD {url}"), "", b"").await;
    }
    assert_eq!(expired.status, 410, "{expired:?}");
    assert!(!expired.headers.contains_key("upload-offset"), "{expired:?}");
    assert_eq!(patch(&server, &url, 0, b"hello").await.error().code, ErrorCode::Gone);
    assert_eq!(server.get(&url).await.status, 404);
    assert_eq!(server.get(&whole.headers["location"]).await.body, b"hello");
    assert_eq!(server.stored_files().len(), 1);
}

/// tuspy without metadata sends the field empty; @tus/server refuses it with 400.
#[tokio::test]
async fn empty_metadata_is_metadata() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 5\nUpload-Metadata: ").await;
    let head = tus(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(head.headers["upload-metadata"], "");
    let none = create(&server, "Upload-Length: 5").await;
    let head = tus(&server, &format!("HEAD {none}"), "", b"").await;
    assert!(!head.headers.contains_key("upload-metadata"));
}

#[tokio::test]
async fn nothing_beyond_the_length_is_stored_told_or_not() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 8").await;
    assert_eq!(patch(&server, &url, 0, b"hello").await.status, 204);
    let by_length = patch(&server, &url, 5, b"world").await;
    assert_eq!((by_length.status, by_length.error().code), (413, ErrorCode::TooLarge), "{by_length:?}");
    assert_eq!(offset(&server, &url).await, 5);
    let head = tus_head(&format!("PATCH {url}"), &format!("{CONTENT}\nUpload-Offset: 5"));
    let by_chunks = server.send_chunked(&head, &[b"wo", b"rld"], "").await;
    assert_eq!((by_chunks.status, by_chunks.error().code), (413, ErrorCode::TooLarge), "{by_chunks:?}");
    let at = offset(&server, &url).await;
    assert!(at < 8, "what cannot be the file is not completed by it: {at}");
    assert_eq!(
        server
            .send_chunked(
                &head.replace("Offset: 5", &format!("Offset: {at}")),
                &[&b"wor"[at as usize - 5..]],
                ""
            )
            .await
            .status,
        204
    );
    assert_eq!(server.get(&url).await.body, b"hellowor");
    let late = create(&server, "Upload-Defer-Length: 1").await;
    let fields = format!("{CONTENT}\nUpload-Offset: 0\nUpload-Length: 3");
    assert_eq!(tus(&server, &format!("PATCH {late}"), &fields, b"hello").await.status, 413);
    let server = TestServer::with(|config| config.limits.max_file_size = Some(7)).await;
    assert_eq!(tus(&server, "POST /files", "Upload-Length: 8", b"").await.status, 413);
    assert_eq!(tus(&server, "POST /files", "Upload-Length: 18446744073709551615", b"").await.status, 413);
    let unknown = create(&server, "Upload-Defer-Length: 1").await;
    assert_eq!(patch(&server, &unknown, 0, b"hello").await.status, 204);
    assert_eq!(patch(&server, &unknown, 5, b"world").await.status, 413);
    assert_eq!(offset(&server, &unknown).await, 5);
}

#[tokio::test]
async fn a_piece_that_differs_from_its_checksum_is_not_kept() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    let request = format!("PATCH {url}");
    let right = BASE64_STANDARD.encode(sha1::Sha1::digest(b"hello"));
    let send = async |at: u64, checksum: &str, bytes: &[u8]| {
        let fields = format!("{CONTENT}\nUpload-Offset: {at}\nUpload-Checksum: {checksum}");
        tus(&server, &request, &fields, bytes).await
    };
    let differs = send(0, &format!("sha1 {right}"), b"hellp").await;
    assert_eq!((differs.status, differs.error().code), (460, ErrorCode::ChecksumMismatch), "{differs:?}");
    assert_eq!(offset(&server, &url).await, 0);
    // Cut short: nothing of it can be checked, so nothing of it is kept.
    let mut cut = server.connect().await;
    let fields =
        format!("Host: x\n{CONTENT}\nUpload-Offset: 0\nUpload-Checksum: sha1 {right}\nContent-Length: 5");
    cut.send(tus_head(&request, &fields) + "\r\n\r\nhel").await;
    server.frame(url.strip_prefix("/files/").unwrap(), |frame| frame.received == 3).await;
    drop(cut);
    assert_eq!(offset(&server, &url).await, 0);
    assert_eq!(send(0, &format!("sha1 {right}"), b"hello").await.status, 204);
    assert_eq!(send(5, "md5 fXkwN6B2AYZXSwKC8vQ15w==", b"world").await.status, 204, "md5 of `world`");
    assert_eq!(server.get(&url).await.body, b"helloworld");
    let with_creation = format!("{CONTENT}\nUpload-Length: 5\nUpload-Checksum: crc32 NhCmhg==");
    assert_eq!(tus(&server, "POST /files", &with_creation, b"hello").await.status, 201);
    assert_eq!(tus(&server, "POST /files", &with_creation, b"hellp").await.status, 460);
}

#[tokio::test]
async fn a_checksum_may_come_after_the_piece() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    let send = async |at: u64, trailers: &str, bytes: &[u8]| {
        let fields = format!("{CONTENT}\nUpload-Offset: {at}\nTrailer: Upload-Checksum");
        server.send_chunked(&tus_head(&format!("PATCH {url}"), &fields), &[bytes], trailers).await
    };
    for (trailers, status) in [
        ("Upload-Checksum: crc32 NhCmhw==\r\n", 460),
        ("Upload-Checksum: sha512 NhCmhg==\r\n", 400),
        ("Upload-Checksum: crc32\r\n", 400),
        ("", 400),
    ] {
        let answer = send(0, trailers, b"hello").await;
        assert_eq!(answer.status, status, "{trailers:?}: {answer:?}");
        assert_eq!(offset(&server, &url).await, 0, "{trailers:?}");
    }
    for (at, bytes, checksum) in
        [(0, b"hello", "crc32 NhCmhg=="), (5, b"world", "sha1 fCEUM/AgcVl3Qeb/Wo6jR4mrv0M=")]
    {
        assert_eq!(send(at, &format!("Upload-Checksum: {checksum}\r\n"), bytes).await.status, 204);
    }
    assert_eq!(server.get(&url).await.body, b"helloworld");
}

#[tokio::test]
async fn what_was_ended_is_gone() {
    let server = TestServer::start().await;
    let unfinished = create(&server, "Upload-Length: 10").await;
    assert_eq!(patch(&server, &unfinished, 0, b"hello").await.status, 204);
    let begun = tus(&server, "POST /files", "Upload-Length: 5", b"").await;
    let (finished, owner) = (begun.headers["location"].clone(), format!("Cookie: {}", begun.cookie()));
    assert_eq!(patch(&server, &finished, 0, b"hello").await.status, 204);
    for (url, who) in [(unfinished, ""), (finished, owner.as_str())] {
        assert_eq!(tus(&server, &format!("DELETE {url}"), who, b"").await.status, 204, "{url}");
        for method in ["HEAD", "DELETE"] {
            let answer = tus(&server, &format!("{method} {url}"), "", b"").await;
            assert!([404, 410].contains(&answer.status), "{method} {answer:?}");
            assert!(!answer.headers.contains_key("upload-offset"), "{method} {answer:?}");
        }
        let answer = patch(&server, &url, 5, b"world").await;
        assert!([404, 410].contains(&answer.status), "{answer:?}");
        // One client takes no other status for it.
        assert_eq!(server.get(&url).await.status, 404);
        assert_eq!(tus(&server, &format!("GET {url}"), "", b"").await.status, 404);
    }
    server.settled().await;
    wait_for(|| server.stored_files().is_empty().then_some(())).await;
}

/// The address of what was begun without a cookie is, once it is whole, the link that is handed around.
#[tokio::test]
async fn who_has_the_link_to_a_file_cannot_delete_it() {
    let server = TestServer::start().await;
    let begun = tus(&server, "POST /files", "Upload-Length: 5", b"").await;
    let url = begun.headers["location"].clone();
    assert_eq!(patch(&server, &url, 0, b"hello").await.status, 204);
    let other = server.send("PUT /files/other HTTP/1.1", b"other").await.cookie();
    for who in ["".to_owned(), format!("Cookie: {other}")] {
        let refused = tus(&server, &format!("DELETE {url}"), &who, b"").await;
        assert_eq!((refused.status, refused.error().code), (403, ErrorCode::Forbidden));
        assert!(refused.error().message.contains("cookie"), "{refused:?}");
        assert_eq!(server.send(&format!("DELETE {url} HTTP/1.1"), b"").await.status, 403);
    }
    assert_eq!(server.get(&url).await.body, b"hello");
    let owner = format!("Cookie: {}", begun.cookie());
    assert_eq!(tus(&server, &format!("DELETE {url}"), &owner, b"").await.status, 204);
    assert_eq!(server.get(&url).await.status, 404);
}

#[tokio::test]
async fn parts_become_one_file() {
    let server = TestServer::start().await;
    let one = stored(&server, "Upload-Concat: partial", b"hello ").await;
    let two = stored(&server, "Upload-Concat: partial", b"world").await;
    let head = tus(&server, &format!("HEAD {one}"), "", b"").await;
    assert_eq!(head.headers["upload-concat"], "partial");
    let concat = format!("final;{one} http://{}{two} {one}", server.addr);
    let fields = format!("Upload-Concat: {concat}\nUpload-Metadata: filename YS50eHQ=");
    let url = create(&server, &fields).await;
    assert_eq!(server.get(&url).await.body, b"hello worldhello ");
    assert_eq!(receipt(&server, &url).await.name, "a.txt");
    let head = tus(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(head.headers["upload-concat"], concat, "as it came");
    assert_eq!((&head.headers["upload-length"][..], &head.headers["upload-offset"][..]), ("17", "17"));
    for at in [0, 17] {
        let answer = patch(&server, &url, at, b"").await;
        assert_eq!((answer.status, answer.error().code), (403, ErrorCode::Forbidden), "{answer:?}");
    }
    assert_eq!(patch(&server, &url, 17, b"more").await.status, 403);
    // Parts may be used again, and in another order; what is said of them is not said of the whole.
    let named = stored(&server, "Upload-Concat: partial\nUpload-Metadata: filename YS50eHQ=", b"!").await;
    let again = create(&server, &format!("Upload-Concat: final;{two} {one} {named}")).await;
    assert_eq!(server.get(&again).await.body, b"worldhello !");
    assert_ne!(receipt(&server, &again).await.name, "a.txt");
    let head = tus(&server, &format!("HEAD {again}"), "", b"").await;
    assert!(!head.headers.contains_key("upload-metadata"), "{head:?}");
    // A part is no file, and the whole has no length but theirs.
    assert_ne!(server.get(&one).await.status, 200);
    let longer = format!("Upload-Concat: final;{one} {two}\nUpload-Length: 12");
    assert_eq!(tus(&server, "POST /files", &longer, b"").await.status, 400);
    assert_eq!(server.get(&url).await.body, b"hello worldhello ");
}

#[tokio::test]
async fn parts_that_are_none_are_refused() {
    let server = TestServer::start().await;
    let part = stored(&server, "Upload-Concat: partial", b"hello").await;
    let open = create(&server, "Upload-Length: 5\nUpload-Concat: partial").await;
    let owned = server
        .send(
            &tus_head(
                "POST /files",
                "Upload-Length: 0\nUpload-Concat: partial\nCookie: plimsoll_owner=bbbbbbbbbbbbbbbbbbbbbbbbba",
            ),
            b"",
        )
        .await;
    assert_eq!(owned.status, 201, "{owned:?}");
    let owned = &owned.headers["location"];
    for urls in [
        open.clone(),
        format!("{part} {open}"),
        "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
        owned.clone(),
        "/files/..%2fcatalog.sqlite".to_owned(),
        "/files/../catalog.sqlite".to_owned(),
        "/../catalog.sqlite".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://127.0.0.1:1/secret".to_owned(),
    ] {
        let answer = tus(&server, "POST /files", &format!("Upload-Concat: final;{urls}"), b"").await;
        assert!([400, 403, 404, 409].contains(&answer.status), "{urls}: {answer:?}");
    }
}

#[tokio::test]
async fn a_method_may_be_named_in_a_field() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 5").await;
    let over = |method: &str, fields: &str| format!("X-HTTP-Method-Override: {method}\n{fields}");
    let request = format!("POST {url}");
    let head = tus(&server, &request, &over("HEAD", ""), b"").await;
    assert_eq!((head.status, head.headers["upload-offset"].as_str()), (200, "0"));
    let fields = over("PATCH", &format!("{CONTENT}\nUpload-Offset: 0"));
    assert_eq!(tus(&server, &request, &fields, b"hello").await.status, 204);
    assert_eq!(server.get(&url).await.body, b"hello");
    assert_eq!(tus(&server, &request, &over("BREW", ""), b"").await.status, 405);
    let request = format!("POST {}", create(&server, "Upload-Length: 5").await);
    assert_eq!(tus(&server, &request, &over("DELETE", ""), b"").await.status, 204);
    let gone = tus(&server, &request, &over("HEAD", ""), b"").await;
    assert!([404, 410].contains(&gone.status), "{gone:?}");
    // A page of another site must not get past the door by it.
    let evil = over("DELETE", "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example");
    let other = create(&server, "Upload-Length: 5").await;
    let answer = tus(&server, &format!("GET {other}"), &evil, b"").await;
    assert_eq!((answer.status, answer.error().code), (403, ErrorCode::ForbiddenOrigin));
    assert_eq!(offset(&server, &other).await, 0);
}

/// django-chunked-upload finished an upload as often as it was asked to.
#[tokio::test]
async fn the_end_said_again_is_the_same_end() {
    let server = TestServer::start().await;
    let url = stored(&server, "", b"hello").await;
    let first = receipt(&server, &url).await;
    for _ in 0..3 {
        let answer = patch(&server, &url, 5, b"").await;
        assert_eq!((answer.status, answer.headers["upload-offset"].as_str()), (204, "5"), "{answer:?}");
    }
    assert_eq!(receipt(&server, &url).await, first);
    let more = patch(&server, &url, 5, b"more").await;
    assert!((400..500).contains(&more.status), "{more:?}");
    assert_eq!(server.get(&url).await.body, b"hello");
    assert_eq!(server.stored_files().len(), 1);
}

#[tokio::test]
async fn every_upload_can_be_watched() {
    let server = TestServer::start().await;
    let by_creation = create(&server, "Upload-Length: 10\nX-Progress-ID: at-creation").await;
    patch(&server, &by_creation, 0, b"hello").await;
    let own = by_creation.strip_prefix("/files/").unwrap();
    assert_eq!(server.frame("at-creation", |frame| frame.received == 5).await.size, Some(10));
    patch(&server, &by_creation, 5, b"world").await;
    assert_eq!(
        server.frame("at-creation", |frame| frame.state.is_terminal()).await.receipts[0].id.as_str(),
        own
    );

    let unnamed = create(&server, "Upload-Length: 10").await;
    let id = unnamed.strip_prefix("/files/").unwrap();
    patch(&server, &unnamed, 0, b"hello").await;
    assert_eq!(server.frame(id, |frame| frame.received == 5).await.size, Some(10));
    let nginx = server.get(&format!("/progress?X-Progress-ID={id}")).await.text();
    assert!(nginx.starts_with("{ \"state\" : \"uploading\", \"received\" : 5"), "{nginx}");
    patch(&server, &unnamed, 5, b"world").await;
    let frame = server.frame(id, |frame| frame.state.is_terminal()).await;
    assert_eq!((frame.state, frame.received), (ProgressState::Done, 10));
    assert_eq!(
        server.get(&format!("/progress?X-Progress-ID={id}")).await.text(),
        "{ \"state\" : \"done\" }\r\n"
    );
    let events = server.get(&format!("/progress/{id}/events")).await.text();
    assert!(events.contains("\"state\":\"done\""), "{events}");

    let late = create(&server, "Upload-Length: 5").await;
    let fields = format!("{CONTENT}\nUpload-Offset: 0\nX-Progress-ID: on-the-patch");
    assert_eq!(tus(&server, &format!("PATCH {late}"), &fields, b"hello").await.status, 204);
    let frame = server.frame("on-the-patch", |frame| frame.state.is_terminal()).await;
    assert_eq!((frame.state, frame.receipts[0].url.as_str()), (ProgressState::Done, late.as_str()));
}

#[tokio::test]
async fn an_upload_is_its_owners() {
    let server = TestServer::start().await;
    let mine = "Cookie: plimsoll_owner=bbbbbbbbbbbbbbbbbbbbbbbbba";
    let url = create(&server, &format!("Upload-Length: 5\n{mine}")).await;
    let patch = |cookie: &str| format!("{CONTENT}\nUpload-Offset: 0\n{cookie}");
    for other in ["", "Cookie: plimsoll_owner=cccccccccccccccccccccccccu", "Cookie: plimsoll_owner=x"] {
        assert_eq!(tus(&server, &format!("HEAD {url}"), other, b"").await.status, 404, "{other}");
        assert_eq!(
            tus(&server, &format!("PATCH {url}"), &patch(other), b"hello").await.status,
            404,
            "{other}"
        );
        assert_eq!(tus(&server, &format!("DELETE {url}"), other, b"").await.status, 404, "{other}");
    }
    assert_eq!(tus(&server, &format!("PATCH {url}"), &patch(mine), b"hello").await.status, 204);
    let other = "Cookie: plimsoll_owner=cccccccccccccccccccccccccu";
    assert!([403, 404].contains(&tus(&server, &format!("DELETE {url}"), other, b"").await.status));
    assert_eq!(tus(&server, &format!("DELETE {url}"), mine, b"").await.status, 204);
}

#[tokio::test]
async fn pages_of_allowed_sites_may_speak_it() {
    let server =
        TestServer::with(|config| config.allow_origin = vec!["https://page.example".parse().unwrap()]).await;
    let preflight = "OPTIONS /files HTTP/1.1\r\nOrigin: https://page.example\r\nAccess-Control-Request-Method: PATCH\
        \r\nAccess-Control-Request-Headers: tus-resumable,upload-offset";
    let answer = server.send(preflight, b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://page.example");
    let list = |name: &str| -> Vec<String> {
        answer.headers[name].split(',').map(|one| one.trim().to_ascii_lowercase()).collect()
    };
    for method in ["post", "head", "patch", "delete", "options", "get", "put"] {
        assert!(list("access-control-allow-methods").iter().any(|one| one == method), "{method}");
    }
    for field in [
        "authorization",
        "content-type",
        "origin",
        "x-requested-with",
        "x-request-id",
        "x-http-method-override",
        "upload-length",
        "upload-offset",
        "tus-resumable",
        "upload-metadata",
        "upload-defer-length",
        "upload-concat",
        "upload-checksum",
        "upload-complete",
        "content-digest",
        "repr-digest",
        "x-progress-id",
    ] {
        assert!(list("access-control-allow-headers").iter().any(|one| one == field), "{field}");
    }
    // The door for other sites does not hide what is spoken.
    assert_eq!(answer.headers["tus-version"], "1.0.0");
    let fields = "Upload-Length: 5\nOrigin: https://page.example\nSec-Fetch-Site: cross-site";
    let created = tus(&server, "POST /files", fields, b"").await;
    assert_eq!(created.status, 201);
    let exposed = created.headers["access-control-expose-headers"].to_ascii_lowercase();
    for field in [
        "upload-offset",
        "location",
        "upload-length",
        "tus-version",
        "tus-resumable",
        "tus-max-size",
        "tus-extension",
        "tus-checksum-algorithm",
        "upload-metadata",
        "upload-defer-length",
        "upload-concat",
        "upload-expires",
        "upload-complete",
        "upload-limit",
    ] {
        assert!(exposed.split(',').any(|one| one.trim() == field), "{field}");
    }
    let evil = fields.replace("page", "evil");
    assert_eq!(tus(&server, "POST /files", &evil, b"").await.status, 403);
}

#[tokio::test]
async fn too_many_unfinished_uploads_are_refused_until_one_has_ended() {
    let server = TestServer::with(|config| config.max_unfinished = Some(2)).await;
    let first = tus(&server, "POST /files", "Upload-Length: 5\r\n", b"").await;
    let (own, one) = (format!("Cookie: {}\r\n", first.cookie()), first.headers["location"].clone());
    // Whoever has a cookie has a share of one's own; the first is in it, since its answer gave the cookie.
    let another = create(&server, &format!("Upload-Length: 5\r\n{own}")).await;
    let refused = tus(&server, "POST /files", &format!("Upload-Length: 5\r\n{own}"), b"").await;
    assert_eq!((refused.status, refused.error().code), (429, ErrorCode::TooManyUploads));
    assert_eq!(refused.error().detail.as_deref(), Some("2"));
    assert!(refused.headers.contains_key("retry-after"));
    // The other protocol shares it.
    let head = format!("POST /files HTTP/1.1\r\nUpload-Complete: ?0\r\n{own}");
    assert_eq!(server.send(head.trim_end(), b"").await.status, 429);
    // One that is whole makes room, and so does one that is given up.
    assert_eq!(patch(&server, &one, 0, b"hello").await.status, 204);
    let third = create(&server, &format!("Upload-Length: 5\r\n{own}")).await;
    assert_eq!(tus(&server, &format!("DELETE {another}"), &own, b"").await.status, 204);
    assert_eq!(tus(&server, &format!("DELETE {third}"), &own, b"").await.status, 204);
    // Whoever has none shares with all of the same address.
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(create(&server, "Upload-Length: 5\r\n").await);
    }
    for cookie in ["", &own] {
        let refused = tus(&server, "POST /files", &format!("Upload-Length: 5\r\n{cookie}"), b"").await;
        assert_eq!((refused.status, refused.error().detail.as_deref()), (429, Some("20")), "{cookie:?}");
    }
    assert_eq!(tus(&server, &format!("DELETE {}", all[7]), "", b"").await.status, 204);
    create(&server, "Upload-Length: 5\r\n").await;
}

/// One stream of events tells of all of an upload's pieces, and of the rest between them.
#[tokio::test]
async fn events_go_on_from_one_piece_to_the_next() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    let id = url.strip_prefix("/files/").unwrap();
    assert_eq!(patch(&server, &url, 0, b"first").await.status, 204);
    let mut events = server.connect().await;
    events.send(format!("GET /progress/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let mut told = String::new();
    let mut until = async |words: &str| {
        let mut piece = vec![0; 4096];
        while !told.contains(words) {
            let read = tokio::time::timeout(PATIENCE, events.stream.read(&mut piece)).await.expect("in time");
            let read = read.unwrap();
            assert!(read > 0, "the stream has ended: {told}");
            told.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        told.clone()
    };
    let before = until("\"received\":5").await;
    assert!(!before.contains("\"done\""), "{before}");
    assert_eq!(patch(&server, &url, 5, b"and").await.status, 204);
    let between = until("\"received\":8").await;
    assert!(between.contains("\"receiving\"") && !between.contains("\"done\""), "{between}");
    assert_eq!(patch(&server, &url, 8, b"on").await.status, 204);
    let whole = until("\"done\"").await;
    // Absolute numbers, which never go back.
    let counts: Vec<u64> = whole
        .split("\"received\":")
        .skip(1)
        .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(counts.is_sorted() && counts.last() == Some(&10), "{counts:?}");
}

/// A final upload whose answer was lost and that is asked for again used to make a second file.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_parts_asked_for_again_are_one_file() {
    let server = TestServer::start().await;
    let begun = tus(&server, "POST /files", "Upload-Length: 3000000\nUpload-Concat: partial", b"").await;
    let cookie = format!("Cookie: {}", begun.cookie());
    let bytes = pattern(3_000_000);
    assert_eq!(patch(&server, &begun.headers["location"], 0, &bytes).await.status, 204);
    let (one, two) =
        (begun.headers["location"].clone(), stored(&server, "Upload-Concat: partial", b"end").await);
    for who in ["", cookie.as_str()] {
        let fields = format!("Upload-Concat: final;{one} {two}\nUpload-Metadata: filename YQ==\n{who}");
        // At the same time, and one after the other.
        let ask = async || tus(&server, "POST /files", &fields, b"").await;
        let (first, second, third) = tokio::join!(ask(), ask(), ask());
        let url = first.headers["location"].clone();
        for again in [first, second, third, ask().await] {
            assert_eq!((again.status, &again.headers["location"]), (201, &url), "{again:?}");
        }
        assert_eq!(server.get(&url).await.body, [bytes.as_slice(), b"end"].concat());
        // Other words, another order: something else.
        for other in [
            format!("Upload-Concat: final;{two} {one}\nUpload-Metadata: filename YQ==\n{who}"),
            format!("Upload-Concat: final;{one} {two}\nUpload-Metadata: filename Yg==\n{who}"),
            format!("Upload-Concat: final;{one} {two}\n{who}"),
        ] {
            assert_ne!(create(&server, &other).await, url, "{other}");
        }
    }
    assert_eq!(server.stored_files().len(), 2 + 2 * 4, "two parts, and four files of each");
    // What has been deleted is made anew.
    let fields = format!("Upload-Concat: final;{one} {two}\n{cookie}");
    let url = create(&server, &fields).await;
    assert_eq!(tus(&server, &format!("DELETE {url}"), &cookie, b"").await.status, 204);
    assert_ne!(create(&server, &fields).await, url);
}

/// The same parts by other names of the same addresses used to be another file.
#[tokio::test]
async fn the_same_parts_by_whole_addresses_are_the_same_file() {
    let server = TestServer::start().await;
    let one = stored(&server, "Upload-Concat: partial", b"one").await;
    let two = stored(&server, "Upload-Concat: partial", b"two").await;
    let first = format!("final;{one} {two}");
    let url = create(&server, &format!("Upload-Concat: {first}")).await;
    for again in [
        format!("final;http://{0}{one} http://{0}{two}", server.addr),
        format!("final;https://files.example{one} {two}"),
        format!("final;{one}  {two} "),
    ] {
        assert_eq!(create(&server, &format!("Upload-Concat: {again}")).await, url, "{again}");
    }
    assert_ne!(create(&server, &format!("Upload-Concat: final;{two} {one}")).await, url);
    let head = tus(&server, &format!("HEAD {url}"), "", b"").await;
    assert_eq!(head.headers["upload-concat"], first, "as it came first");
}

/// What parts are together used to be held against the bound of one request.
#[tokio::test]
async fn parts_may_be_more_together_than_one_request_may_bring() {
    let server = TestServer::with(|config| config.limits.max_request_size = Some(1000)).await;
    let one = stored(&server, "Upload-Concat: partial", &pattern(900)).await;
    let url = create(&server, &format!("Upload-Concat: final;{one} {one}")).await;
    assert_eq!(server.get(&url).await.body, [pattern(900), pattern(900)].concat());
}

/// Parts may come again and again: what they are together is bounded before a byte of it is written.
#[tokio::test]
async fn parts_that_are_too_much_together_are_refused_before_they_are_copied() {
    let server = TestServer::with(|config| {
        config.limits.max_file_size = Some(5_000_000);
        config.limits.max_bytes_per_owner = Some(4_500_000);
    })
    .await;
    let begun = tus(&server, "POST /files", "Upload-Length: 2000000\nUpload-Concat: partial", b"").await;
    let (part, cookie) = (begun.headers["location"].clone(), format!("Cookie: {}", begun.cookie()));
    assert_eq!(patch(&server, &part, 0, &pattern(2_000_000)).await.status, 204);
    for (times, code) in
        [(1000, ErrorCode::TooLarge), (3, ErrorCode::TooLarge), (2, ErrorCode::QuotaExceeded)]
    {
        let parts = vec![part.as_str(); times].join(" ");
        let refused =
            tus(&server, "POST /files", &format!("Upload-Concat: final;{parts}\n{cookie}"), b"").await;
        assert_eq!((refused.status, refused.error().code), (413, code), "{times}");
    }
    assert_eq!(server.stored_files().len(), 1);
    create(&server, &format!("Upload-Concat: final;{part}\n{cookie}")).await;
}

/// A length that no server has room for is too large, and not a reason to try again later.
#[tokio::test]
async fn an_absurd_length_is_too_large_before_it_is_without_room() {
    let server = TestServer::with(|config| config.limits.max_file_size = Some(1 << 40)).await;
    let absurd = i64::MAX;
    for (head, fields) in
        [("POST", "Upload-Defer-Length: 1".to_owned()), ("PATCH", "Upload-Offset: 0".to_owned())]
    {
        let url = match head {
            "PATCH" => create(&server, "Upload-Defer-Length: 1").await,
            _ => "/files".to_owned(),
        };
        let mut raw = server.connect().await;
        let head = tus_head(&format!("{head} {url}"), &format!("{CONTENT}\n{fields}"));
        raw.send(format!("{head}\r\nHost: x\r\nContent-Length: {absurd}\r\n\r\n")).await;
        let refused = raw.answer().await;
        assert_eq!((refused.status, refused.error().code), (413, ErrorCode::TooLarge), "{refused:?}");
    }
}

/// A name that came with the first piece used to leave the upload's own id "receiving" for ever.
#[tokio::test]
async fn an_upload_is_watched_by_its_name_and_by_its_own_id_to_the_end() {
    let server = TestServer::start().await;
    let url = create(&server, "Upload-Length: 10").await;
    let own = url.strip_prefix("/files/").unwrap();
    let named =
        |name: &str, offset: u64| format!("{CONTENT}\nUpload-Offset: {offset}\nX-Progress-ID: {name}");
    let request = format!("PATCH {url}");
    assert_eq!(tus(&server, &request, &named("first-name", 0), b"first").await.status, 204);
    for id in ["first-name", own] {
        let frame = server.frame(id, |frame| frame.state == ProgressState::Receiving).await;
        assert_eq!((frame.received, frame.id.as_str()), (5, id));
    }
    // One name for an upload.
    assert_eq!(tus(&server, &request, &named("second-name", 5), b"and last").await.status, 413);
    assert_eq!(tus(&server, &request, &named("second-name", 5), b" last").await.status, 204);
    for id in ["first-name", own] {
        let frame = server.frame(id, |frame| frame.state == ProgressState::Done).await;
        assert_eq!((frame.received, frame.id.as_str()), (10, id));
    }
    server.frame("second-name", |frame| frame.state == ProgressState::Unknown).await;
    // Another's running upload keeps its name.
    let other = create(&server, "Upload-Length: 10\nX-Progress-ID: other-name").await;
    let third = create(&server, "Upload-Length: 5").await;
    assert_eq!(tus(&server, &format!("PATCH {third}"), &named("other-name", 0), b"third").await.status, 204);
    server.frame(third.strip_prefix("/files/").unwrap(), |frame| frame.state == ProgressState::Done).await;
    assert_eq!(patch(&server, &other, 0, b"0123456789").await.status, 204);
    assert_eq!(server.frame("other-name", |frame| frame.state == ProgressState::Done).await.received, 10);
}
