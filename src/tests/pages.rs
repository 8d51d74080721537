//! The site over a real port: pages, server functions, what a form without script meets, and the headers around it.

use plimsoll::wire::{ErrorCode, ProgressFrame, ProgressState, Receipt};

use crate::util::*;

const BROWSER: &str = "\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\nSec-Fetch-Mode: navigate";

#[tokio::test]
async fn the_page_comes_with_a_cookie_and_a_strict_policy() {
    let server = TestServer::site().await;
    let page = server.send(&format!("GET / HTTP/1.1{BROWSER}"), b"").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let policy = &page.headers["content-security-policy"];
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(
        policy.contains("img-src 'self' blob:; media-src blob:;"),
        "pictures of what is picked, and no others: {policy}"
    );
    assert!(!policy.contains("'unsafe-inline'") && !policy.contains("'unsafe-eval'"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    let html = page.text();
    let scripts = html.matches("<script").count();
    assert_eq!(
        html.matches(&format!("nonce=\"{nonce}\"")).count(),
        scripts,
        "every script carries the nonce: {html}"
    );
    assert!(!html.contains(" style=\""), "no inline style");
    assert!(page.cookie().starts_with("plimsoll_owner="));
    let cookie = &page.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let again = server.send(&format!("GET / HTTP/1.1{BROWSER}\r\nCookie: {}", page.cookie()), b"").await;
    assert!(!again.headers.contains_key("set-cookie"), "a known visitor keeps its cookie");
}

#[tokio::test]
async fn behind_a_trusted_proxy_that_speaks_tls_the_cookie_is_secure() {
    let head = format!("GET / HTTP/1.1{BROWSER}\r\nX-Forwarded-Proto: https");
    let site = |trusted: &'static [&str]| {
        TestServer::site_with(|config| {
            config.trusted_proxies = trusted.iter().map(|net| net.parse().unwrap()).collect()
        })
    };
    let trusting = site(&["127.0.0.1"]).await;
    let cookie = trusting.send(&head, b"").await.headers["set-cookie"].clone();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    // A forwarded header that anyone may have written says nothing.
    let wary = site(&["192.0.2.0/24"]).await;
    let cookie = wary.send(&head, b"").await.headers["set-cookie"].clone();
    assert!(!cookie.contains("Secure"), "{cookie}");
}

#[tokio::test]
async fn a_form_without_script_ends_on_a_page_with_its_receipts() {
    let server = TestServer::site().await;
    let mut body = b"--XX\r\nContent-Disposition: form-data; name=\"digest\"\r\n\r\nsha-256\r\n".to_vec();
    body.extend(form("XX", &[("file", "<b>one</b>.txt", b"abc"), ("file", "two", b"2")]));
    let answer = server.send(&form_head("XX", BROWSER), &body).await;
    assert_eq!(answer.status, 303);
    let location = answer.headers["location"].clone();
    assert!(location.starts_with("/results?id="), "{location}");
    let page = server.send(&format!("GET {location} HTTP/1.1{BROWSER}"), b"").await.text();
    assert_eq!(page.matches("data-pl-result=").count(), 2, "{page}");
    assert!(page.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert!(!page.contains("<b>one</b>"), "a name is only words");
    let listed =
        server.send(&format!("GET / HTTP/1.1{BROWSER}\r\nCookie: {}", answer.cookie()), b"").await.text();
    assert_eq!(listed.matches("data-pl-upload=").count(), 2, "{listed}");
}

#[tokio::test]
async fn a_person_meets_a_page_where_a_script_meets_a_problem() {
    let server = TestServer::site().await;
    let empty = form("XX", &[("file", "", b"")]);
    let page = server.send(&form_head("XX", BROWSER), &empty).await;
    assert_eq!((page.status, page.headers["content-type"].split(';').next().unwrap()), (400, "text/html"));
    assert!(page.text().contains("data-code=\"no-file\""), "{}", page.text());
    let problem = server.send(&form_head("XX", "\r\nAccept: application/json"), &empty).await;
    assert_eq!(problem.error().code, ErrorCode::NoFile);
    let missing = server.send(&format!("GET /no/such/page HTTP/1.1{BROWSER}"), b"").await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("data-code=\"not-found\""));
}

#[tokio::test]
async fn server_functions_answer_questions() {
    let server = TestServer::site().await;
    let stored = server
        .send(&form_head("XX", "\r\nX-Progress-ID: asked-after"), &form("XX", &[("f", "n", b"n")]))
        .await;
    let cookie = stored.cookie();
    let frames: Vec<ProgressFrame> =
        server.get("/api/upload_progress?ids=asked-after,not-heard-of").await.json();
    assert_eq!(
        frames.iter().map(|frame| frame.state).collect::<Vec<_>>(),
        [ProgressState::Done, ProgressState::Unknown]
    );
    assert_eq!(server.get("/api/upload_progress?ids=bad%20id%21").await.status, 400);
    let many = vec!["12345678"; 65].join(",");
    assert_eq!(server.get(&format!("/api/upload_progress?ids={many}")).await.status, 400);

    let list = async |cookie: &str| {
        let answer = server.send(&format!("GET /api/list_uploads HTTP/1.1\r\nCookie: {cookie}"), b"").await;
        answer.json::<Vec<Receipt>>()
    };
    let receipts = list(&cookie).await;
    assert_eq!(receipts, stored.receipts());
    assert_eq!(list("none=0").await, []);

    let delete = "POST /api/delete_upload HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded";
    let body = format!("id={}", receipts[0].id);
    let foreign = format!("{delete}\r\nCookie: {cookie}\r\nOrigin: https://evil.example");
    assert_eq!(server.send(&foreign, body.as_bytes()).await.status, 403);
    let own = server.send(&format!("{delete}\r\nCookie: {cookie}"), body.as_bytes()).await;
    assert_eq!(own.status, 200, "{}", own.text());
    assert_eq!(list(&cookie).await, []);
}

#[tokio::test]
async fn the_loader_may_be_used_by_every_page_and_is_asked_for_again() {
    let public = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("public");
    let server = TestServer::serving(|_| {}, |server| plimsoll::app::serve::router(server, &public)).await;
    let loader = server.get("/upload-widget.js").await;
    assert_eq!(loader.status, 200);
    assert_eq!(loader.headers["content-type"], "text/javascript");
    assert_eq!(loader.headers["access-control-allow-origin"], "*");
    assert_eq!(loader.headers["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(loader.headers["cache-control"], "no-cache");
    let missing = server.get("/pkg/none.wasm").await;
    assert_eq!((missing.status, missing.headers["cache-control"].as_str()), (404, "no-cache"));
    let icon = server.get("/favicon.svg").await;
    assert!(!icon.headers.contains_key("access-control-allow-origin"), "nothing else is for other sites");

    let page = server.send(&format!("GET /plain.html HTTP/1.1{BROWSER}"), b"").await;
    let policy = &page.headers["content-security-policy"];
    assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"), "{policy}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("style-src"), "{policy}");
    // What a browser has kept of it goes on under the same policy, and not under that of an answer without content.
    let known =
        format!("GET /plain.html HTTP/1.1{BROWSER}\r\nIf-Modified-Since: {}", page.headers["last-modified"]);
    let kept = server.send(&known, b"").await;
    assert_eq!((kept.status, &kept.headers["content-security-policy"]), (304, policy));
    let worker = server.get("/checksum.js").await;
    assert_eq!(
        worker.headers["content-security-policy"],
        "default-src 'none'; script-src 'wasm-unsafe-eval'"
    );
    assert_eq!(worker.headers["access-control-allow-origin"], "*");
    let html = page.text();
    assert!(!html.contains("<script>") && !html.contains(" style="), "nothing inline: {html}");
}
