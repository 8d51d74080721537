//! Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload, interop versions 8 and 9): what a request's head
//! says, as typed values, and what became of it, as the head of an answer. Must never know where an upload lies.

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    digest::{ChunkDigest, content_digest, repr_digest, repr_digest_field, wants_sha256},
    fields::{MAX_BYTES, MAX_INTEGER, boolean, natural, number},
    is_content_type, location, put, seconds_left,
};
use crate::{
    server::{
        Refusal,
        error::ProblemType,
        limits::Limits,
        listen::interim::Head,
        multipart,
        resumable::{Rejected, Upload},
    },
    wire::{ErrorCode, Receipt, UploadAnswer, headers},
};

/// The media type of a piece that is appended.
pub const CONTENT_TYPE: &str = "application/partial-upload";

/// A request that begins an upload: by its `Upload-Complete`, whatever its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Whether the content is the whole file, or its beginning.
    pub complete: bool,
    /// Bytes of the whole, where the request says so.
    pub length: Option<u64>,
    /// The file's name as words (promise 6).
    pub name: Option<String>,
    /// The file's media type.
    pub media_type: Option<String>,
    /// With what the content has to agree.
    pub content_digest: ChunkDigest,
    /// SHA-256 that the whole file must have.
    pub repr_digest: Option<[u8; 32]>,
    /// Whether the SHA-256 of the whole file is wanted with the final answer.
    pub want_sha256: bool,
}

/// What `PATCH` brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where its content begins.
    pub offset: u64,
    /// Whether the content is the end of the file.
    pub complete: bool,
    /// As in [`Creation`].
    pub length: Option<u64>,
    /// As in [`Creation`].
    pub content_digest: ChunkDigest,
}

/// What a request with this head begins. `None`: it is none of this protocol, since `Upload-Complete` is missing or
/// no Boolean.
///
/// # Errors
/// [`ErrorCode::LengthMismatch`] when it names two lengths, [`ErrorCode::Malformed`] for a digest that is none.
pub fn creation(headers: &HeaderMap) -> Result<Option<Creation>, Refusal> {
    let Some(complete) = boolean(headers, headers::UPLOAD_COMPLETE) else { return Ok(None) };
    let length = length(headers, 0, complete)?;
    let content_length = number(headers, header::CONTENT_LENGTH.as_str())?;
    if length.zip(content_length).is_some_and(|(length, content)| content > length) {
        return Err(inconsistent("The content is longer than the upload."));
    }
    let text = |name: header::HeaderName| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(Some(Creation {
        complete,
        length,
        name: text(header::CONTENT_DISPOSITION).and_then(|value| multipart::disposition_file_name(&value)),
        media_type: text(header::CONTENT_TYPE).and_then(|value| multipart::clean_media_type(&value)),
        content_digest: content_digest(headers)?,
        repr_digest: repr_digest(headers)?,
        want_sha256: wants_sha256(headers),
    }))
}

/// What a `PATCH` with this head brings.
///
/// # Errors
/// [`ErrorCode::UnsupportedMediaType`] when its body is no piece of an upload, [`ErrorCode::Malformed`] when it does
/// not say where it begins and whether it is the end; otherwise as [`creation`].
pub fn append(headers: &HeaderMap) -> Result<Append, Refusal> {
    if !is_content_type(headers, CONTENT_TYPE) {
        let message = "Pieces of an upload come as application/partial-upload.";
        return Err(Refusal::new(ErrorCode::UnsupportedMediaType, message).with_detail(CONTENT_TYPE));
    }
    let offset = natural(headers, headers::UPLOAD_OFFSET);
    let Some((offset, complete)) = offset.zip(boolean(headers, headers::UPLOAD_COMPLETE)) else {
        let message = "Upload-Offset and Upload-Complete have to say where this piece belongs.";
        return Err(Refusal::new(ErrorCode::Malformed, message));
    };
    let length = length(headers, offset, complete)?;
    Ok(Append { offset, complete, length, content_digest: content_digest(headers)? })
}

/// The version of the draft that a client says it speaks.
pub fn interop_version(headers: &HeaderMap) -> Option<u64> {
    natural(headers, headers::UPLOAD_DRAFT_INTEROP_VERSION)
}

/// The first interim response to a request that begins an upload: where to go on should it be cut. `version` is what
/// the client speaks.
pub fn supported(upload: &Upload, limits: &Limits, version: u64, now_ms: u64) -> Head {
    let mut head = resumption_supported(version);
    put(&mut head.fields, header::LOCATION, location(&upload.id));
    put(&mut head.fields, headers::UPLOAD_LIMIT, limit_of(upload, limits, now_ms));
    head
}

/// An interim response to a request that brings a piece: so many bytes will not have to be sent again. Without an
/// address, which only the first one may tell.
pub fn proceeds(offset: u64, version: u64) -> Head {
    let mut head = resumption_supported(version);
    put(&mut head.fields, headers::UPLOAD_OFFSET, offset);
    head
}

fn resumption_supported(version: u64) -> Head {
    let mut fields = HeaderMap::new();
    put(&mut fields, headers::UPLOAD_DRAFT_INTEROP_VERSION, version);
    Head { status: 104, reason: "Upload Resumption Supported", fields }
}

/// The answer to a request that began an upload whose end is still to come.
pub fn created(upload: &Upload, limits: &Limits, now_ms: u64) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    put(response.headers_mut(), header::LOCATION, location(&upload.id));
    tell(response.headers_mut(), upload, limits, now_ms);
    response
}

/// The answer to a piece that was stored and is not the last.
pub fn appended(upload: &Upload, limits: &Limits, now_ms: u64) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    tell(response.headers_mut(), upload, limits, now_ms);
    response
}

/// The answer to `HEAD` and `GET` at an upload whose end is still to come.
pub fn state(upload: &Upload, limits: &Limits, now_ms: u64) -> Response {
    let mut response = appended(upload, limits, now_ms);
    if let Some(length) = upload.length {
        put(response.headers_mut(), headers::UPLOAD_LENGTH, length);
    }
    response
}

/// The final answer: that of `POST` and `PUT` (201), and of the piece that was the last (200). The same each time it
/// is asked for (promise 10).
pub fn finished(receipt: &Receipt, status: StatusCode) -> Response {
    let mut response = (status, Json(UploadAnswer::new(vec![receipt.clone()]))).into_response();
    let answer = response.headers_mut();
    put(answer, header::LOCATION, &receipt.url);
    if let Some((name, value)) = receipt.sha256.as_deref().and_then(repr_digest_field) {
        put(answer, name, value);
    }
    whole(answer, receipt);
    response
}

/// What is said of an upload that is whole, besides what is said of a file. Not for caches: in another answer from
/// this address it may have been a part.
pub fn whole(answer: &mut HeaderMap, receipt: &Receipt) {
    put(answer, headers::UPLOAD_COMPLETE, "?1");
    put(answer, headers::UPLOAD_OFFSET, receipt.size);
    put(answer, headers::UPLOAD_LENGTH, receipt.size);
    put(answer, header::CACHE_CONTROL, "no-store");
}

/// The answer to a piece that was not stored, or not whole. `provided` is where the piece begins; `is_whole`, whether
/// the upload has its end already.
pub fn rejected(rejected: Rejected, provided: u64, is_whole: bool) -> Response {
    let Rejected { mut refusal, at } = rejected;
    refusal = match (refusal.code(), at) {
        (ErrorCode::OffsetMismatch, Some(expected)) => {
            refusal.of_type(ProblemType::MismatchingUploadOffset { expected, provided })
        }
        (ErrorCode::LengthMismatch, _) => refusal.of_type(ProblemType::InconsistentUploadLength),
        _ => refusal,
    };
    // All of it came and the whole is not what was announced: going on would not help.
    let is_processed = refusal.code() == ErrorCode::DigestMismatch;
    if refusal.code() == ErrorCode::ChecksumMismatch {
        // The number 460 is tus's own. Sending the same piece again can help, unlike for a whole file.
        refusal.body.code = ErrorCode::DigestMismatch;
    }
    let mut response = refusal.into_response();
    let answer = response.headers_mut();
    put(answer, headers::UPLOAD_COMPLETE, if is_processed || is_whole { "?1" } else { "?0" });
    if let Some(at) = at {
        put(answer, headers::UPLOAD_OFFSET, at);
    }
    response
}

/// `Upload-Limit`. `max_age` in seconds. Without a limit on the size it says so by the smallest one.
pub fn limit(limits: &Limits, max_age: Option<u64>) -> String {
    let mut members = match limits.max_file_size {
        Some(max) => vec![("max-size", max)],
        None => vec![("min-size", 0)],
    };
    members.extend(limits.max_request_size.map(|max| ("max-append-size", max)));
    members.extend(max_age.map(|seconds| ("max-age", seconds)));
    let members: Vec<_> =
        members.into_iter().map(|(key, value)| format!("{key}={}", value.min(MAX_INTEGER))).collect();
    members.join(", ")
}

/// The limits of one upload: what it was admitted with is within them, whatever is admitted now.
fn limit_of(upload: &Upload, limits: &Limits, now_ms: u64) -> String {
    let limits = limits.since(&upload.admitted);
    let max_file_size = limits.max_file_size.map(|max| max.max(upload.length.unwrap_or(0)));
    limit(&Limits { max_file_size, ..limits }, seconds_left(upload, now_ms))
}

fn tell(answer: &mut HeaderMap, upload: &Upload, limits: &Limits, now_ms: u64) {
    put(answer, headers::UPLOAD_COMPLETE, "?0");
    put(answer, headers::UPLOAD_OFFSET, upload.offset);
    put(answer, headers::UPLOAD_LIMIT, limit_of(upload, limits, now_ms));
    put(answer, header::CACHE_CONTROL, "no-store");
}

/// The length of the whole, by `Upload-Length` or by a content that is known to be the rest. Both must agree.
fn length(headers: &HeaderMap, offset: u64, complete: bool) -> Result<Option<u64>, Refusal> {
    let told = natural(headers, headers::UPLOAD_LENGTH);
    let content = number(headers, header::CONTENT_LENGTH.as_str())?.filter(|_| complete);
    let rest = content.map(|content| offset.saturating_add(content));
    if rest.is_some_and(|end| end > MAX_BYTES) {
        return Err(inconsistent("The content is longer than any upload can be."));
    }
    match (told, rest) {
        (Some(told), Some(rest)) if told != rest => {
            Err(inconsistent("Upload-Length and Content-Length say different lengths of the upload."))
        }
        (told, rest) => Ok(told.or(rest)),
    }
}

fn inconsistent(message: &str) -> Refusal {
    Refusal::new(ErrorCode::LengthMismatch, message).of_type(ProblemType::InconsistentUploadLength)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::protocol::tests::{
        finished as finished_upload, head, limits, response_fields, unfinished,
    };

    fn create(fields: &str) -> Result<Option<Creation>, ErrorCode> {
        creation(&head(fields)).map_err(|refusal| refusal.code())
    }

    fn begun(fields: &str) -> Creation {
        create(fields).unwrap().unwrap()
    }

    #[test]
    fn upload_complete_alone_begins_an_upload() {
        let plain = Creation {
            complete: false,
            length: None,
            name: None,
            media_type: None,
            content_digest: ChunkDigest::None,
            repr_digest: None,
            want_sha256: false,
        };
        assert_eq!(begun("Upload-Complete: ?0"), plain);
        assert_eq!(begun("Upload-Complete: ?1;x=y"), Creation { complete: true, ..plain });
        for none in [
            "",
            "Upload-Complete: 1",
            "Upload-Complete: true",
            "Upload-Complete: ?1, ?1",
            "Upload-Complete: ?0\nUpload-Complete: ?1",
            "Upload-Complete:",
            "Upload-Length: 5",
        ] {
            assert_eq!(create(none), Ok(None), "{none:?}");
        }
    }

    #[test]
    fn all_that_is_said_of_the_length_agrees() {
        let length = |fields: &str| create(fields).map(|creation| creation.unwrap().length);
        assert_eq!(length("Upload-Complete: ?1\nContent-Length: 5"), Ok(Some(5)));
        assert_eq!(length("Upload-Complete: ?1\nContent-Length: 5\nUpload-Length: 5"), Ok(Some(5)));
        assert_eq!(length("Upload-Complete: ?1\nUpload-Length: 5;x"), Ok(Some(5)));
        assert_eq!(length("Upload-Complete: ?1\nContent-Length: 0"), Ok(Some(0)));
        assert_eq!(length("Upload-Complete: ?1"), Ok(None));
        // The content is a beginning: it says nothing of the end, but cannot go beyond it.
        assert_eq!(length("Upload-Complete: ?0\nContent-Length: 5"), Ok(None));
        assert_eq!(length("Upload-Complete: ?0\nContent-Length: 5\nUpload-Length: 9"), Ok(Some(9)));
        assert_eq!(length("Upload-Complete: ?0\nContent-Length: 9\nUpload-Length: 9"), Ok(Some(9)));
        for ignored in ["-1", "x", "9.0", "?1", "1000000000000000", "", "9, 9"] {
            assert_eq!(
                length(&format!("Upload-Complete: ?0\nUpload-Length: {ignored}")),
                Ok(None),
                "{ignored}"
            );
        }
        for inconsistent in [
            "Upload-Complete: ?1\nContent-Length: 5\nUpload-Length: 6",
            "Upload-Complete: ?1\nContent-Length: 6\nUpload-Length: 5",
            "Upload-Complete: ?0\nContent-Length: 6\nUpload-Length: 5",
        ] {
            assert_eq!(length(inconsistent), Err(ErrorCode::LengthMismatch), "{inconsistent:?}");
        }
    }

    #[test]
    fn what_the_file_is_called() {
        let check = |fields: &str| {
            let creation = begun(&format!("Upload-Complete: ?0\n{fields}"));
            (creation.name, creation.media_type)
        };
        let fields = "Content-Type: image/jpeg\n\
            Content-Disposition: inline; filename=\"file name.jpg\"; filename*=UTF-8''caf%C3%A9.jpg";
        assert_eq!(check(fields), (Some("café.jpg".to_owned()), Some("image/jpeg".to_owned())));
        assert_eq!(check("Content-Disposition: inline; filename=\"../../x\"").0.as_deref(), Some("x"));
        assert_eq!(check("Content-Disposition: inline"), (None, None));
        assert_eq!(check("Content-Type: nonsense"), (None, None));
    }

    #[test]
    fn digests_are_understood() {
        let hello = ":LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        let creation = begun(&format!(
            "Upload-Complete: ?1\nContent-Digest: sha-256={hello}\nRepr-Digest: sha-256={hello}\n\
             Want-Repr-Digest: sha-256=5"
        ));
        assert!(matches!(creation.content_digest, ChunkDigest::Header(..)));
        assert_eq!(creation.repr_digest.unwrap()[..2], [0x2c, 0xf2]);
        assert!(creation.want_sha256);
        for wrong in ["Content-Digest: sha-256=:AA==:", "Repr-Digest: sha-256=:AA==:"] {
            assert_eq!(
                create(&format!("Upload-Complete: ?1\n{wrong}")),
                Err(ErrorCode::Malformed),
                "{wrong}"
            );
        }
    }

    #[test]
    fn answers_say_how_far_it_is() {
        let limits = limits(Some(100), None);
        let now_ms = 1_700_000_000_000 - 3_600_500;
        let limit = "upload-limit: max-size=100, max-age=3600";
        let new = unfinished();
        assert_eq!(
            response_fields(&created(&new, &limits, now_ms)),
            format!(
                "201\ncache-control: no-store\nlocation: /files/{}\nupload-complete: ?0\n{limit}\nupload-offset: 0",
                new.id
            )
        );
        assert_eq!(
            response_fields(&appended(&new, &limits, now_ms)),
            format!("204\ncache-control: no-store\nupload-complete: ?0\n{limit}\nupload-offset: 0")
        );
        assert_eq!(
            response_fields(&state(&new, &limits, now_ms)),
            format!(
                "204\ncache-control: no-store\nupload-complete: ?0\nupload-length: 5\n{limit}\nupload-offset: 0"
            )
        );
        let Head { status, fields, .. } = supported(&new, &limits, 8, now_ms);
        assert_eq!(
            (status, fields.len(), &fields["upload-draft-interop-version"]),
            (104, 3, &"8".parse().unwrap())
        );
        assert_eq!(fields["location"], location(&new.id));
        assert_eq!(fields["upload-limit"], "max-size=100, max-age=3600");
        let fields = proceeds(3, 9).fields;
        assert_eq!((fields.len(), &fields["upload-offset"]), (2, &"3".parse().unwrap()));
        let unknown = Upload { length: None, ..new };
        assert!(!state(&unknown, &limits, now_ms).headers().contains_key("upload-length"));
        // Its time is over and nobody has cleared it away yet.
        assert!(response_fields(&state(&unknown, &limits, u64::MAX)).contains("max-age=0"));

        let receipt = finished_upload().receipt.unwrap();
        assert_eq!(
            response_fields(&finished(&receipt, StatusCode::OK)),
            format!(
                "200\ncache-control: no-store\ncontent-type: application/json\nlocation: {}\n\
                 repr-digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:\n\
                 upload-complete: ?1\nupload-length: 5\nupload-offset: 5",
                receipt.url
            )
        );
    }

    #[test]
    fn limits_are_a_dictionary() {
        assert_eq!(limit(&limits(None, None), None), "min-size=0");
        assert_eq!(limit(&limits(None, None), Some(60)), "min-size=0, max-age=60");
        assert_eq!(limit(&limits(Some(10), Some(20)), Some(0)), "max-size=10, max-append-size=20, max-age=0");
        let largest = "max-size=999999999999999, max-age=999999999999999";
        assert_eq!(limit(&limits(Some(u64::MAX), None), Some(u64::MAX)), largest);
    }

    #[test]
    fn a_rejected_piece_is_told_what_to_do() {
        let check = |code, at, is_whole| {
            let rejected = Rejected { refusal: Refusal::new(code, "No."), at };
            response_fields(&super::rejected(rejected, 7, is_whole))
                .replace("cache-control: no-store\ncontent-type: application/problem+json\n", "")
        };
        use ErrorCode as C;
        assert_eq!(check(C::OffsetMismatch, Some(5), false), "409\nupload-complete: ?0\nupload-offset: 5");
        assert_eq!(check(C::OffsetMismatch, Some(5), true), "409\nupload-complete: ?1\nupload-offset: 5");
        assert_eq!(check(C::ChecksumMismatch, Some(5), false), "400\nupload-complete: ?0\nupload-offset: 5");
        assert_eq!(check(C::DigestMismatch, None, false), "400\nupload-complete: ?1");
        assert_eq!(check(C::LengthMismatch, None, false), "400\nupload-complete: ?0");
        assert_eq!(check(C::OutOfSpace, Some(5), false), "507\nupload-complete: ?0\nupload-offset: 5");
        assert_eq!(check(C::Gone, None, false), "410\nupload-complete: ?0");
    }

    #[test]
    fn a_piece_says_where_it_belongs() {
        let check = |fields: &str| append(&head(fields)).map_err(|refusal| refusal.code());
        let typed = |fields: &str| check(&format!("Content-Type: application/partial-upload\n{fields}"));
        let plain = Append { offset: 7, complete: false, length: None, content_digest: ChunkDigest::None };
        assert_eq!(typed("Upload-Offset: 7\nUpload-Complete: ?0\nContent-Length: 3"), Ok(plain.clone()));
        let last = Append { complete: true, length: Some(10), ..plain.clone() };
        assert_eq!(typed("Upload-Offset: 7\nUpload-Complete: ?1\nContent-Length: 3"), Ok(last.clone()));
        assert_eq!(
            typed("Upload-Offset: 7\nUpload-Complete: ?1\nContent-Length: 3\nUpload-Length: 10"),
            Ok(last.clone())
        );
        assert_eq!(typed("Upload-Offset: 7\nUpload-Complete: ?1"), Ok(Append { length: None, ..last }));
        assert_eq!(
            typed("Upload-Offset: 7\nUpload-Complete: ?0\nUpload-Length: 8\nContent-Length: 3"),
            // That is for the upload to notice: it has to fail by it.
            Ok(Append { length: Some(8), ..plain })
        );
        for wrong in [
            "",
            "Upload-Offset: 7",
            "Upload-Complete: ?0",
            "Upload-Offset: -7\nUpload-Complete: ?0",
            "Upload-Offset: 7.0\nUpload-Complete: ?0",
            "Upload-Offset: 7\nUpload-Complete: 0",
            "Upload-Offset: 7\nUpload-Offset: 7\nUpload-Complete: ?0",
            "Upload-Offset: 7\nUpload-Complete: ?0\nContent-Digest: sha-256=:AA==:",
        ] {
            assert_eq!(typed(wrong), Err(ErrorCode::Malformed), "{wrong:?}");
        }
        for inconsistent in [
            "Upload-Offset: 7\nUpload-Complete: ?1\nContent-Length: 3\nUpload-Length: 11",
            "Upload-Offset: 7\nUpload-Complete: ?1\nContent-Length: 18446744073709551615",
        ] {
            assert_eq!(typed(inconsistent), Err(ErrorCode::LengthMismatch), "{inconsistent:?}");
        }
        for wrong in
            ["", "Content-Type: application/octet-stream", "Content-Type: application/offset+octet-stream"]
        {
            let fields = format!("{wrong}\nUpload-Offset: 7\nUpload-Complete: ?0");
            assert_eq!(check(&fields), Err(ErrorCode::UnsupportedMediaType), "{wrong:?}");
        }
    }
}
