//! What is said of a file besides its bytes: fields and its path in a folder, by every protocol. Told in the receipt, in
//! the list, on the page of results and in the finish event, and never a path on disk (promise 6).

use plimsoll::wire::{ErrorCode, Receipt};

use crate::util::*;

/// A form of text fields, and files among them; a part with three words is a file.
fn mixed(parts: &[&[&str]]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let (head, content) = match part {
            [name, value] => (format!("name=\"{name}\""), value),
            [name, file, bytes] => (format!("name=\"{name}\"; filename=\"{file}\""), bytes),
            _ => panic!("a field has two words and a file three"),
        };
        body.extend(format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n").bytes());
    }
    body.extend(b"--XX--\r\n");
    body
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What the list and the results say of this file, to its owner.
async fn told_later(server: &TestServer, answer: &Answer) -> (Vec<Receipt>, String) {
    let cookie = answer.cookie();
    let get = async |path: &str, accept: &str| {
        server.send(&format!("GET {path} HTTP/1.1\r\nAccept: {accept}\r\nCookie: {cookie}"), b"").await
    };
    let ids: Vec<_> = answer.receipts().iter().map(|receipt| format!("id={}", receipt.id)).collect();
    let list = get("/api/list_uploads", "application/json").await.json();
    (list, get(&format!("/results?{}", ids.join("&")), "text/html").await.text())
}

#[tokio::test]
async fn fields_and_paths_of_a_form_are_told_with_each_of_its_files() {
    let server = TestServer::site().await;
    let body = mixed(&[
        &["album", "Été <b>"],
        &["relativePath", "trip/day 1/../../a.jpg"],
        &["photo", "a.jpg", "aaa"],
        // Some clients say so of a file without a folder.
        &["relativePath", "null"],
        &["photo", "b.jpg", "bb"],
        &["digest", "sha-512"],
        &["X-Progress-ID", "not-for-you"],
        &["album", "again"],
    ]);
    let answer = server.send(&form_head("XX", ""), &body).await;
    let receipts = answer.receipts();
    let paths: Vec<_> = receipts.iter().map(|receipt| receipt.path.as_str()).collect();
    assert_eq!(paths, ["trip/day 1/a.jpg", ""], "{answer:?}");
    let fields = pairs(&[("album", "Été <b>"), ("album", "again")]);
    assert!(receipts.iter().all(|receipt| receipt.fields == fields), "{receipts:?}");
    let (mut list, page) = told_later(&server, &answer).await;
    list.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(list, receipts);
    assert!(page.contains("trip/day 1/a.jpg") && page.contains("Été &lt;b&gt;"), "{page}");
    assert!(!page.contains("Été <b>"), "{page}");
}

#[tokio::test]
async fn metadata_of_uploads_in_pieces_is_told_with_the_file() {
    // `trip/a.txt`; `x`; and a key without a value.
    let said = "Upload-Metadata: filename YS50eHQ=,relativePath dHJpcC9hLnR4dA==,album eA==,private";
    let creations = [
        (
            format!("Tus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n{said}"),
            "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0",
        ),
        (
            format!(
                "Upload-Complete: ?0\r\nUpload-Length: 5\r\nContent-Disposition: inline; filename=\"a.txt\"\r\n{said}"
            ),
            "Content-Type: application/partial-upload\r\nUpload-Complete: ?1\r\nUpload-Offset: 0",
        ),
    ];
    for (creation, piece) in creations {
        let server = TestServer::site().await;
        let first = server.send("PUT /files/z HTTP/1.1", b"z").await;
        let cookie = first.cookie();
        let begun =
            server.send(&format!("POST /files HTTP/1.1\r\n{creation}\r\nCookie: {cookie}"), b"").await;
        assert_eq!(begun.status, 201, "{begun:?}");
        let url = &begun.headers["location"];
        let whole =
            server.send(&format!("PATCH {url} HTTP/1.1\r\n{piece}\r\nCookie: {cookie}"), b"whole").await;
        assert!(whole.status < 300, "{whole:?}");
        let (list, _) = told_later(&server, &first).await;
        let file = list.iter().find(|file| file.url == *url).unwrap();
        assert_eq!((file.name.as_str(), file.path.as_str()), ("a.txt", "trip/a.txt"));
        assert_eq!(file.fields, pairs(&[("album", "x"), ("private", "")]));
    }
}

#[tokio::test]
async fn what_is_no_metadata_is_refused_by_both_protocols() {
    let server = TestServer::start().await;
    for protocol in ["Tus-Resumable: 1.0.0", "Upload-Complete: ?0"] {
        let head = format!("POST /files HTTP/1.1\r\n{protocol}\r\nUpload-Length: 5\r\nUpload-Metadata: a *");
        let answer = server.send(&head, b"").await;
        assert_eq!((answer.status, answer.error().code), (400, ErrorCode::Malformed), "{answer:?}");
    }
}

/// Promise 7: what is kept does not grow with the number of files times the size of the fields.
#[tokio::test]
async fn long_fields_are_for_few_files() {
    let server = TestServer::start().await;
    let long = "x".repeat(400_000);
    let send = async |files: usize| {
        let note = ["note", long.as_str()];
        let mut parts: Vec<&[&str]> = vec![&note];
        parts.extend(std::iter::repeat_n(&["file", "a", "a"] as &[&str], files));
        server.send(&form_head("XX", ""), &mixed(&parts)).await
    };
    let two = send(2).await.receipts();
    assert_eq!(two.iter().map(|receipt| receipt.fields[0].1.len()).collect::<Vec<_>>(), [400_000; 2]);
    let three = send(3).await;
    assert_eq!((three.status, three.error().code), (400, ErrorCode::FormTooComplex));
    server.settled().await;
    assert_eq!(server.stored_files().len(), 2, "of the third form nothing");
}
