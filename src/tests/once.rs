//! The same creation twice is one upload (promise 10), for clients that count their tries: by every protocol that begins
//! an upload before it is sent.

use plimsoll::wire::ErrorCode;

use crate::util::*;

const RUFH: &str = "Upload-Complete: ?0\r\nUpload-Length: 10\r\nContent-Disposition: inline; filename=\"a\"";
const TUS: &str = "Tus-Resumable: 1.0.0\r\nUpload-Length: 10\r\nUpload-Metadata: filename YQ==";

async fn begin(server: &TestServer, cookie: &str, fields: &str) -> Answer {
    let head = format!("POST /files HTTP/1.1\r\n{fields}\r\nX-Progress-ID: the-lost-one\r\nCookie: {cookie}");
    server.send(&head, b"").await
}

async fn uploads(server: &TestServer) -> usize {
    server.server.catalog().pieces_under_way(0, u32::MAX).await.unwrap().len()
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_answered_with_the_same_upload() {
    for fields in [RUFH, TUS] {
        let server = TestServer::start().await;
        let owner = async || server.send("PUT /files/a HTTP/1.1", b"a").await.cookie();
        let (cookie, other) = (owner().await, owner().await);
        let tried = |attempt: u32| format!("{fields}\r\nPlimsoll-Attempt: {attempt}");
        let first = begin(&server, &cookie, &tried(1)).await;
        assert_eq!(first.status, 201, "{first:?}");
        let url = first.headers["location"].clone();
        let second = begin(&server, &cookie, &tried(2)).await;
        assert_eq!((second.status, &second.headers["location"]), (201, &url), "{second:?}");
        assert_eq!(uploads(&server).await, 1);

        // Another's id of the same name is another id.
        let others = begin(&server, &other, &tried(2)).await;
        assert_eq!(others.status, 201, "{others:?}");
        assert_ne!(others.headers["location"], url);
        // In other words it is another upload; and who does not count tries cannot mean the one there is.
        let longer = begin(&server, &cookie, &tried(2).replace("Length: 10", "Length: 11")).await;
        let renamed =
            begin(&server, &cookie, &tried(2).replace("\"a\"", "\"b\"").replace("YQ==", "Yg==")).await;
        let uncounted = begin(&server, &cookie, fields).await;
        for refused in [longer, renamed, uncounted] {
            assert_eq!(
                (refused.status, refused.error().code),
                (409, ErrorCode::ProgressIdInUse),
                "{refused:?}"
            );
        }

        // Once something of it is there it is not the one whose answer was lost.
        let piece = if fields == TUS {
            "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0"
        } else {
            "Content-Type: application/partial-upload\r\nUpload-Complete: ?0\r\nUpload-Offset: 0"
        };
        let head = format!("PATCH {url} HTTP/1.1\r\n{piece}\r\nCookie: {cookie}");
        let sent = server.send(&head, b"12345").await;
        assert_eq!((sent.status, &sent.headers["upload-offset"][..]), (204, "5"), "{sent:?}");
        assert_eq!(begin(&server, &cookie, &tried(3)).await.status, 409);
    }
}

/// Without the cookie nobody can be told from anybody else.
#[tokio::test]
async fn what_a_stranger_began_is_nobodys_to_find() {
    let server = TestServer::start().await;
    let fields = format!("{RUFH}\r\nPlimsoll-Attempt: 1");
    let stranger = async || {
        let head = format!("POST /files HTTP/1.1\r\n{fields}\r\nX-Progress-ID: the-lost-one");
        server.send(&head, b"").await
    };
    assert_eq!(stranger().await.status, 201);
    assert_eq!(stranger().await.status, 409);
}
