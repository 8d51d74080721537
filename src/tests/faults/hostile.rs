//! What somebody sends who wants to break in or break it: addresses, names and heads that no honest client sends, by
//! every protocol. Each is refused or taken for words; none is a fault of the server, and nothing outside of the data
//! folder is touched. The real program. Must never know what a protocol makes of them.

use std::{collections::BTreeMap, fs, path::Path};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use super::{
    client::{Client, Head, Line, Protocol, Way},
    kills::files_below,
    program::Program,
};
use crate::util::{Answer, PATIENCE, Raw};

use Protocol::{Form, Put, Rufh, Tus};

/// The program in a folder beside a file that is none of its business.
struct Besieged {
    outer: tempfile::TempDir,
    program: Program,
    before: BTreeMap<String, Vec<u8>>,
}

impl Besieged {
    fn start() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("victim.txt"), "precious").unwrap();
        fs::create_dir_all(outer.path().join("deep/data")).unwrap();
        fs::write(outer.path().join("deep/victim.txt"), "precious too").unwrap();
        let before = outside(outer.path());
        let program = Program::start(&outer.path().join("deep/data"));
        Self { outer, program, before }
    }

    /// Sends this; what is answered, if anything.
    async fn send(&self, text: &[u8]) -> Option<Answer> {
        let mut raw = Raw::over(TcpStream::connect(self.program.addr).await.unwrap());
        raw.bodiless = text.starts_with(b"HEAD ");
        // It may have heard enough before the end.
        let _ = raw.stream.write_all(text).await;
        timeout(PATIENCE, raw.try_answer()).await.expect("an answer or an end in time")
    }

    /// One request of HTTP/1.1 with these lines in its head.
    async fn ask(&self, request: &str, fields: &[&str], body: &[u8]) -> Option<Answer> {
        let mut head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        fields.iter().for_each(|field| head.push_str(&format!("{field}\r\n")));
        if !fields.iter().any(|field| field.starts_with("Content-Length") || field.starts_with("Transfer")) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.send(&[head.as_bytes(), b"\r\n", body].concat()).await
    }

    /// As [`ask`](Self::ask), and it is no fault of the server's.
    async fn no_fault(&self, request: &str, fields: &[&str], body: &[u8]) -> Option<Answer> {
        let answer = self.ask(request, fields, body).await?;
        let what = |text: &str| text.chars().take(100).collect::<String>();
        let fields: Vec<_> = fields.iter().map(|field| what(field)).collect();
        assert!(answer.status < 500, "{} {fields:?}: {answer:?}", what(request));
        Some(answer)
    }

    /// It lives, and all there is lies where it belongs, by names of its own.
    async fn unharmed(self) {
        let client = Client::new(self.program.addr, Way::plain(Put));
        assert_eq!(client.ask(Head::new("GET", "/readyz"), b"").await.status, 200);
        assert_eq!(outside(self.outer.path()), self.before, "outside of the data folder");
        let data = self.outer.path().join("deep/data");
        for path in files_below(&data) {
            let below = path.strip_prefix(&data).unwrap().to_str().unwrap().to_owned();
            let name = below.rsplit('/').next().unwrap();
            let is_id =
                name.len() == 26 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
            let is_stored = below == format!("files/{}/{}/{name}", &name[..2], &name[2..4]);
            let is_staged = below == format!("staging/{name}");
            let is_catalog = ["lock", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"];
            assert!(is_id && (is_stored || is_staged) || is_catalog.contains(&&*below), "{below}");
        }
        self.program.terminate();
    }
}

/// Every file that is not the server's.
fn outside(outer: &Path) -> BTreeMap<String, Vec<u8>> {
    let data = outer.join("deep/data");
    let files = files_below(outer).into_iter().filter(|path| !path.starts_with(&data));
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Ways out of a folder, and what is no text.
const WAYS_OUT: [&str; 18] = [
    "..%2fvictim.txt",
    "..%2F..%2Fvictim.txt",
    "%2e%2e%2f%2e%2e%2fvictim.txt",
    "..%5c..%5cvictim.txt",
    "%252e%252e%252fvictim.txt",
    "..%c0%afvictim.txt",
    "%2fetc%2fpasswd",
    "file:%2f%2f%2fetc%2fpasswd",
    "..",
    "%2e",
    "%00",
    "victim.txt%00.png",
    "%ff%fe",
    "catalog.sqlite",
    "lock",
    "aaaaaaaaaaaaaaaaaaaaaaaaaa%0d%0aX-Evil:%20yes",
    "aaaaaaaaaaaaaaaaaaaaaaaaaa%2f..%2f..%2fvictim.txt",
    "CON",
];

const TUS: &str = "Tus-Resumable: 1.0.0";
const TUS_PIECE: &str = "Content-Type: application/offset+octet-stream";
const RUFH_PIECE: &str = "Content-Type: application/partial-upload";

#[tokio::test(flavor = "multi_thread")]
async fn no_address_leads_out_of_the_folder() {
    let server = Besieged::start();
    let long = "a".repeat(7_000);
    for id in WAYS_OUT.into_iter().chain([&*long]) {
        for place in ["/files/", "/progress/", "/files/../", "/files//"] {
            let path = format!("{place}{id}");
            for (method, fields) in [
                ("GET", &[][..]),
                ("HEAD", &[]),
                ("DELETE", &[]),
                ("PATCH", &[RUFH_PIECE, "Upload-Offset: 0", "Upload-Complete: ?1"]),
                ("PATCH", &[TUS, TUS_PIECE, "Upload-Offset: 0"]),
                ("POST", &[TUS, TUS_PIECE, "Upload-Offset: 0", "X-HTTP-Method-Override: PATCH"]),
                ("POST", &[TUS, "X-HTTP-Method-Override: DELETE"]),
                ("HEAD", &[TUS]),
                ("DELETE", &[TUS]),
            ] {
                let body: &[u8] = if fields.is_empty() { b"" } else { b"evil" };
                let answer = server.no_fault(&format!("{method} {path}"), fields, body).await;
                let refused = answer.is_none_or(|answer| {
                    assert!(!answer.headers.contains_key("x-evil"));
                    (400..500).contains(&answer.status)
                });
                assert!(refused, "{method} {place}{id}");
            }
        }
        // Here it is a name, which is only words.
        for fields in [&["Upload-Complete: ?1"][..], &[]] {
            server.no_fault(&format!("PUT /files/{id}"), fields, b"evil").await;
        }
        // And here the name of a progress.
        for request in
            ["POST /upload", "POST /files", "PUT /files/x", "GET /progress", "GET /api/upload_progress"]
        {
            server
                .no_fault(&format!("{request}?X-Progress-ID={id}&ids={id}"), &["Upload-Complete: ?1"], b"")
                .await;
        }
    }
    server.unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_is_a_path() {
    let server = Besieged::start();
    let long = format!("{}.txt", "é".repeat(3_000));
    let names = [
        "../../victim.txt",
        "/etc/passwd",
        "..\\..\\victim.txt",
        "C:\\victim.txt",
        "a\0b",
        "..",
        ".",
        "",
        "\u{202e}gpj.exe",
        "con",
        "x\u{7f}\u{85}",
        "%2e%2e%2fvictim.txt",
        &long,
    ];
    for name in names {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let raw = format!("attachment; filename=\"{}\"", name.replace(['\0', '\u{7f}', '\u{85}'], "_"));
        let extended = format!("attachment; filename*=UTF-8''{encoded}");
        let in_base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, name);
        for disposition in [&raw, &extended] {
            let field = format!("Content-Disposition: {disposition}");
            server.no_fault("POST /files", &["Upload-Complete: ?1", &field], b"new").await;
            server.no_fault("PUT /files/x", &[&field], b"new").await;
        }
        // Inside of a form there is nobody before us who would refuse a NUL.
        let raw = format!("attachment; filename=\"{name}\"");
        for disposition in [&raw, &extended] {
            let part = disposition.replace("attachment", "form-data; name=\"../../victim.txt\"");
            let body = format!("--x\r\nContent-Disposition: {part}\r\n\r\nnew\r\n--x--\r\n");
            let form = "Content-Type: multipart/form-data; boundary=x";
            server.no_fault("POST /upload", &[form], body.as_bytes()).await;
        }
        let metadata = format!("Upload-Metadata: filename {in_base64},filetype {in_base64}");
        server.no_fault("POST /files", &[TUS, "Upload-Length: 3", TUS_PIECE, &metadata], b"new").await;
    }
    let stored = files_below(&server.outer.path().join("deep/data/files"));
    assert!(stored.len() >= names.len() * 4, "most are taken for words: {}", stored.len());
    for path in stored {
        let id = path.file_name().unwrap().to_str().unwrap();
        let got = server.no_fault(&format!("GET /files/{id}"), &[], b"").await.unwrap();
        // Made without a cookie, they are nobody's to list and everybody's to fetch.
        assert_eq!((got.status, &*got.body), (200, &b"new"[..]), "{got:?}");
        let told = &got.headers["content-disposition"];
        assert!(!told.contains(['/', '\\', '\0', '\u{202e}', '\u{7f}']), "{told}");
    }
    server.unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_head_is_a_fault() {
    let server = Besieged::start();
    let huge = "A".repeat(60_000);
    let larger = "A".repeat(1_000_000);
    let kinds: [(&str, &[&str], &[u8]); 4] = [
        ("POST /files", &[TUS, "Upload-Length: 5", TUS_PIECE], b"hello"),
        ("POST /files", &["Upload-Complete: ?1"], b"hello"),
        (
            "POST /upload",
            &["Content-Type: multipart/form-data; boundary=x"],
            b"--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\nhello\r\n--x--\r\n",
        ),
        ("PUT /files/name", &[], b"hello"),
    ];
    let field = |name: &str, value: &str| format!("{name}: {value}");
    let mut evil = Vec::new();
    for name in [
        "Upload-Length",
        "Upload-Offset",
        "Upload-Defer-Length",
        "Upload-Complete",
        "Upload-Metadata",
        "Upload-Concat",
        "Upload-Checksum",
        "Upload-Draft-Interop-Version",
        "Content-Digest",
        "Repr-Digest",
        "Want-Repr-Digest",
        "Content-Disposition",
        "Content-Type",
        "Content-Range",
        "Content-Encoding",
        "X-Progress-ID",
        "X-HTTP-Method-Override",
        "Tus-Resumable",
        "Cookie",
        "Expect",
        "Trailer",
        "Range",
        "If-None-Match",
        "Origin",
        "Sec-Fetch-Site",
        "Access-Control-Request-Method",
    ] {
        for value in [
            "",
            " ",
            "\u{e9}\u{ff}",
            "a\0b",
            "-1",
            "18446744073709551616",
            "1e3",
            "?0;x=\"",
            ",,,;;;",
            "../../x",
            &huge,
        ] {
            evil.push(field(name, value));
        }
    }
    evil.extend([field("Upload-Metadata", &larger), field("X-Anything", &larger), field("Bad Name", "x")]);
    evil.push(field("Upload-Metadata", &vec!["a YQ=="; 5_000].join(",")));
    evil.push(field(
        "Upload-Concat",
        &format!("final;{}", "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa ".repeat(1_000)),
    ));
    for url in
        ["http://127.0.0.1:1/files/x", "//evil.example/files/x", "/../victim.txt", "file:///etc/passwd"]
    {
        evil.push(field("Upload-Concat", &format!("final;{url}")));
    }
    let all = kinds.map(|(request, fields, body)| {
        let (server, evil) = (&server, &evil);
        async move {
            for evil in evil {
                server.no_fault(request, &[fields, &[evil.as_str()]].concat(), body).await;
                // In place of what the request says itself.
                let name = evil.split(':').next().unwrap();
                let others: Vec<_> =
                    fields.iter().copied().filter(|field| !field.starts_with(name)).collect();
                if others.len() < fields.len() {
                    server.no_fault(request, &[&others[..], &[evil.as_str()]].concat(), body).await;
                }
            }
        }
    });
    futures_util::future::join_all(all).await;
    server.unharmed().await;
}

/// Who frames a request in two ways may mean two requests: whatever is believed, what is kept is one of the two, and
/// what comes after it is not taken for a request of somebody else's (RFC 9112, section 6.1).
#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_of_one_request_are_no_two_requests() {
    let server = Besieged::start();
    let inner = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (request, fields) in [
        ("POST /files", format!("{TUS}\r\nUpload-Length: 5\r\n{TUS_PIECE}")),
        ("POST /files", "Upload-Complete: ?1".to_owned()),
        ("POST /upload", "Content-Type: multipart/form-data; boundary=x".to_owned()),
        ("PUT /files/name", "Content-Type: text/plain".to_owned()),
    ] {
        for framing in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: -5",
            "Content-Length: +5",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding : chunked",
        ] {
            let text =
                format!("{request} HTTP/1.1\r\nHost: x\r\n{fields}\r\n{framing}\r\n\r\n0\r\n\r\n{inner}");
            let mut raw = Raw::over(TcpStream::connect(server.program.addr).await.unwrap());
            let _ = raw.stream.write_all(text.as_bytes()).await;
            let mut answers = Vec::new();
            while let Some(answer) = timeout(PATIENCE, raw.try_answer()).await.expect("an answer or an end") {
                assert!(answer.status < 500, "{request} {framing}: {answer:?}");
                answers.push(answer.status);
            }
            // A proxy in front may have believed the length, and sent on the rest for another client.
            let is_two = framing.contains("Content-Length") && framing.contains("Transfer-Encoding");
            assert!(!is_two || answers.len() <= 1, "{request} {framing}: {answers:?}");
        }
    }
    server.unharmed().await;
}

/// What a proxy would say of a client is believed of a proxy that we know, and of nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed_to_be_a_proxy() {
    let server = Besieged::start();
    for protocol in [Tus, Rufh, Form, Put] {
        for line in [Line::Http1, Line::Http2] {
            let client = Client::new(server.program.addr, Way { line, ..Way::plain(protocol) });
            let target = client.create(Some(5)).await;
            let mut head = client.head(&target, 0, true);
            for (name, value) in [
                ("X-Forwarded-Host", "evil.example"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-For", "203.0.113.9"),
                ("X-Forwarded-Prefix", "/evil.example"),
                ("X-Original-URL", "/evil.example"),
                ("X-Rewrite-URL", "/evil.example"),
                ("Forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
            ] {
                head = head.with(name, value);
            }
            let answer = client.ask(head, &client.body(b"hello")).await;
            assert_eq!(client.fetch(&client.url(&target, &answer)).await.unwrap(), b"hello");
            let told = format!("{:?} {}", answer.headers, answer.text());
            assert!(!told.contains("evil.example") && !told.contains("; Secure"), "{protocol:?}: {told}");
        }
    }
    server.unharmed().await;
}
