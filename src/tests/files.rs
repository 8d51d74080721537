//! What was stored, and who may see, fetch and delete it; from which sites requests are taken.

use plimsoll::wire::{ErrorCode, ProgressState};

use crate::util::*;

async fn stored(server: &TestServer, name: &str, bytes: &[u8], extra: &str) -> Answer {
    server.send(&form_head("XX", extra), &form("XX", &[("file", name, bytes)])).await
}

#[tokio::test]
async fn a_download_is_an_attachment_in_a_sandbox() {
    let server = TestServer::start().await;
    let receipt =
        stored(&server, "page <é>.html", b"<script>alert(1)</script>", "").await.receipts().remove(0);
    let got = server.get(&receipt.url).await;
    assert_eq!(got.status, 200);
    assert_eq!(
        got.headers["content-disposition"],
        "attachment; filename=\"page <_>.html\"; filename*=UTF-8''page%20%3C%C3%A9%3E.html"
    );
    assert_eq!(got.headers["x-content-type-options"], "nosniff");
    assert_eq!(got.headers["content-security-policy"], "sandbox; default-src 'none'");
    assert_eq!(got.headers["etag"], format!("\"{}\"", receipt.id));
    let again = format!("GET {} HTTP/1.1\r\nIf-None-Match: {}", receipt.url, got.headers["etag"]);
    assert_eq!(server.send(&again, b"").await.status, 304);
}

#[tokio::test]
async fn ranges_are_served_as_asked() {
    let server = TestServer::start().await;
    let bytes = pattern(100_000);
    let receipt = stored(&server, "r", &bytes, "").await.receipts().remove(0);
    let ask = async |range: &str| {
        server.send(&format!("GET {} HTTP/1.1\r\nRange: {range}", receipt.url), b"").await
    };
    let part = ask("bytes=50000-50009").await;
    assert_eq!((part.status, &part.body[..]), (206, &bytes[50_000..50_010]));
    assert_eq!(part.headers["content-range"], "bytes 50000-50009/100000");
    assert_eq!(ask("bytes=-7").await.body, bytes[99_993..]);
    let beyond = ask("bytes=100000-").await;
    assert_eq!((beyond.status, beyond.headers["content-range"].as_str()), (416, "bytes */100000"));
    // A weak tag and `*` used to count as well: RFC 9110 compares If-Range strongly.
    for if_range in [format!("W/\"{}\"", receipt.id), "*".to_owned()] {
        let head = format!("GET {} HTTP/1.1\r\nRange: bytes=0-1\r\nIf-Range: {if_range}", receipt.url);
        assert_eq!(server.send(&head, b"").await.status, 200, "{if_range}");
    }
    let stale = format!("GET {} HTTP/1.1\r\nRange: bytes=0-1\r\nIf-Range: \"other\"", receipt.url);
    assert_eq!(server.send(&stale, b"").await.status, 200);
}

#[tokio::test]
async fn only_the_owner_deletes_and_then_it_is_gone() {
    let server = TestServer::start().await;
    let answer = stored(&server, "mine", b"mine", "").await;
    let (cookie, url) = (answer.cookie(), answer.receipts().remove(0).url);
    let delete =
        async |cookie: &str| server.send(&format!("DELETE {url} HTTP/1.1\r\nCookie: {cookie}"), b"").await;
    let other = stored(&server, "other", b"other", "").await.cookie();
    assert_eq!(delete(&other).await.error().code, ErrorCode::Forbidden);
    assert_eq!(delete("plimsoll_owner=nonsense").await.error().code, ErrorCode::Forbidden);
    assert_eq!(delete(&cookie).await.status, 204);
    assert_eq!(delete(&cookie).await.status, 404);
    assert_eq!(server.get(&url).await.status, 404);
    assert_eq!(server.stored_files().len(), 1);
}

/// @tus/server 2.4.2 deleted a file outside its folder through an encoded slash.
#[tokio::test]
async fn hostile_names_are_only_words() {
    let server = TestServer::start().await;
    let victim = server.folder.path().join("victim.txt");
    std::fs::write(&victim, "precious").unwrap();
    for path in
        ["..%2fvictim.txt", "..%2f..%2fvictim.txt", "%2e%2e%2fvictim.txt", "victim.txt%00", "catalog.sqlite"]
    {
        for method in ["GET", "DELETE"] {
            let answer = server.send(&format!("{method} /files/{path} HTTP/1.1"), b"").await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        }
        let put = server.send(&format!("PUT /files/{path} HTTP/1.1"), b"new").await;
        let name = put.receipts().remove(0).name;
        assert!(!name.contains(['/', '\\', '\0']), "{name:?}");
    }
    let form_name = stored(&server, "../../../victim.txt", b"new", "").await.receipts().remove(0).name;
    assert_eq!(form_name, "victim.txt");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

#[tokio::test]
async fn requests_from_pages_of_other_sites_are_refused() {
    let allowed = "https://friend.example";
    let server = TestServer::with(|config| config.allow_origin = vec![allowed.parse().unwrap()]).await;
    let check = async |extra: &str| stored(&server, "x", b"x", extra).await.status;
    assert_eq!(check("\r\nOrigin: https://evil.example").await, 403);
    assert_eq!(check("\r\nOrigin: null").await, 403);
    assert_eq!(check("\r\nSec-Fetch-Site: cross-site\r\nOrigin: https://evil.example").await, 403);
    assert_eq!(check("\r\nSec-Fetch-Site: same-site").await, 403);
    assert_eq!(check(&format!("\r\nOrigin: http://{}", server.addr)).await, 200);
    assert_eq!(check("\r\nSec-Fetch-Site: same-origin").await, 200);
    assert_eq!(check(&format!("\r\nSec-Fetch-Site: cross-site\r\nOrigin: {allowed}")).await, 200);
    let preflight = format!(
        "OPTIONS /upload HTTP/1.1\r\nOrigin: {allowed}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: x-progress-id"
    );
    let answer = server.send(&preflight, b"").await;
    assert_eq!(answer.headers["access-control-allow-origin"], allowed);
    assert!(answer.headers["access-control-allow-headers"].to_lowercase().contains("x-progress-id"));
    let stranger = preflight.replace("friend", "evil");
    assert!(!server.send(&stranger, b"").await.headers.contains_key("access-control-allow-origin"));
}

/// The nginx module's ids are global and its records flip; ours belong to whoever sent the cookie.
#[tokio::test]
async fn progress_is_its_owners_own() {
    let server = TestServer::start().await;
    let cookie = stored(&server, "a", b"a", "").await.cookie();
    let extra = format!("\r\nCookie: {cookie}\r\nX-Progress-ID: private-id");
    stored(&server, "b", b"b", &extra).await.receipts();
    let ask = async |extra: &str| {
        let answer = server.send(&format!("GET /progress/private-id HTTP/1.1{extra}"), b"").await;
        answer.json::<plimsoll::wire::ProgressFrame>().state
    };
    assert_eq!(ask(&format!("\r\nCookie: {cookie}")).await, ProgressState::Done);
    assert_eq!(ask("").await, ProgressState::Unknown);
    // Without a cookie the unguessable id is what one knows it by, as with the module.
    stored(&server, "c", b"c", "\r\nX-Progress-ID: bearer-id").await.receipts();
    let open = server.get("/progress?X-Progress-ID=bearer-id").await;
    assert_eq!(open.text(), "{ \"state\" : \"done\" }\r\n");
}

#[tokio::test]
async fn the_report_of_the_nginx_module_word_for_word() {
    let server = TestServer::start().await;
    let unknown = server.get("/progress?X-Progress-ID=never-heard-of").await;
    assert_eq!((unknown.status, unknown.text().as_str()), (200, "{ \"state\" : \"starting\" }\r\n"));
    assert_eq!(unknown.headers["expires"], "Thu, 01 Jan 1970 00:00:01 GMT");
    assert_eq!(unknown.headers["cache-control"], "no-cache");
    assert_eq!(unknown.headers["content-type"], "application/json");
    assert_eq!(server.get("/progress").await.status, 404);
    assert_eq!(server.send("POST /progress HTTP/1.1\r\nX-Progress-ID: abcdefgh", b"").await.status, 405);

    let body = form("XX", &[("file", "f", &pattern(3_000_000))]);
    let mut raw = server.connect().await;
    let extra = format!("\r\nHost: x\r\nX-Progress-ID: under-way\r\nContent-Length: {}\r\n\r\n", body.len());
    raw.send(form_head("XX", &extra)).await;
    raw.send(&body[..1_245_184]).await;
    server.frame("under-way", |frame| frame.body_received == 1_245_184).await;
    let by_header = server.send("GET /progress HTTP/1.1\r\nx-progress-id: under-way", b"").await;
    let expected =
        format!("{{ \"state\" : \"uploading\", \"received\" : 1245184, \"size\" : {} }}\r\n", body.len());
    assert_eq!(by_header.text(), expected);
    raw.send(&body[1_245_184..]).await;
    raw.answer().await.receipts();
    assert_eq!(server.get("/progress?X-Progress-ID=under-way").await.text(), "{ \"state\" : \"done\" }\r\n");
}

#[tokio::test]
async fn events_lead_up_to_the_end() {
    let server = TestServer::start().await;
    let body = form("XX", &[("file", "f", &pattern(200_000))]);
    let mut raw = server.connect().await;
    let extra = format!("\r\nHost: x\r\nX-Progress-ID: watched-id\r\nContent-Length: {}\r\n\r\n", body.len());
    raw.send(form_head("XX", &extra)).await;
    raw.send(&body[..100_000]).await;
    server.frame("watched-id", |frame| frame.body_received == 100_000).await;
    let mut watcher = server.connect().await;
    watcher.send("GET /progress/watched-id/events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.send(&body[100_000..]).await;
    raw.answer().await.receipts();
    // The stream ends by itself with the terminal frame.
    let events = watcher.answer().await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    let frames: Vec<plimsoll::wire::ProgressFrame> = events
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    assert!(frames.windows(2).all(|pair| pair[0].seq < pair[1].seq || pair[1].state.is_terminal()));
    let last = frames.last().unwrap();
    assert_eq!((last.state, last.receipts.len()), (ProgressState::Done, 1));
}

#[tokio::test]
async fn the_process_says_how_it_is() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn of_two_who_delete_at_once_one_does() {
    let server = TestServer::start().await;
    let answer = stored(&server, "once", b"once", "").await;
    let (cookie, url) = (answer.cookie(), answer.receipts().remove(0).url);
    let head = format!("DELETE {url} HTTP/1.1\r\nCookie: {cookie}");
    let (first, second) = tokio::join!(server.send(&head, b""), server.send(&head, b""));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404]);
    assert!(server.stored_files().is_empty());
}

#[tokio::test]
async fn a_download_under_way_ends_whole_though_the_file_is_deleted() {
    let server = TestServer::start().await;
    // More than all the buffers between: the server has not read it to its end when it is deleted.
    let bytes = pattern(64 << 20);
    let answer = stored(&server, "going", &bytes, "").await;
    let (cookie, url) = (answer.cookie(), answer.receipts().remove(0).url);
    let mut download = server.connect().await;
    download.send(format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    download.stream.readable().await.unwrap();
    let delete = format!("DELETE {url} HTTP/1.1\r\nCookie: {cookie}");
    assert_eq!(server.send(&delete, b"").await.status, 204);
    let got = download.answer().await;
    assert!(got.body == bytes, "{} bytes of {}", got.body.len(), bytes.len());
}

#[tokio::test]
async fn a_full_volume_is_said_and_nothing_is_kept() {
    let server = TestServer::with(|config| config.limits.space_reserve = u64::MAX).await;
    let answer = stored(&server, "no room", &pattern(100_000), "\r\nX-Progress-ID: no-room-1").await;
    assert_eq!((answer.status, answer.error().code), (507, ErrorCode::OutOfSpace));
    assert!(answer.error().retryable, "room may come back");
    server.settled().await;
    assert!(server.stored_files().is_empty());
    let nginx = server.get("/progress?X-Progress-ID=no-room-1").await.text();
    assert_eq!(nginx, "{ \"state\" : \"error\", \"status\" : 507 }\r\n");
}
