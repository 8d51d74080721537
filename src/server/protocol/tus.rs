//! tus 1.0.0 with its extensions (<https://tus.io/protocols/resumable-upload>): what a request's head says, as typed
//! values, and what became of it, as the head of an answer. Must never know where an upload lies.

use std::time::{Duration, UNIX_EPOCH};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{
    digest::{ChunkDigest, upload_checksum},
    fields::{MAX_BYTES, number},
    is_content_type, location, put,
};
use crate::{
    server::{
        Refusal, multipart,
        resumable::{Rejected, Upload},
    },
    wire::{ErrorCode, UploadId, headers},
};

/// The one version there is.
pub const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// What `Tus-Extension` lists.
pub const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,\
    checksum-trailer,termination,concatenation";

/// The media type of bytes that belong to an upload; a body of another type never does.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// Keys of `Upload-Metadata` that mean something to us; all others are fields.
const UNDERSTOOD: [&str; 5] = ["filename", "name", "filetype", "type", headers::RELATIVE_PATH];

/// Bytes of `Upload-Metadata` at most: it is kept with the upload and told back as it came (promise 7).
const MAX_METADATA: usize = 8 * 1024;

/// Parts of one final upload at most (promise 7).
const MAX_PARTS: usize = 1000;

/// tus has padded base64; some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What `POST` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Create {
    /// An upload that will be sent.
    Sent(Creation),
    /// An upload made of others that have been sent (concatenation).
    Joined {
        /// As in [`Creation`].
        metadata: Option<Metadata>,
        /// Its parts in their order; one may come several times.
        parts: Vec<UploadId>,
        /// `Upload-Concat` as it came.
        concat: String,
    },
}

/// An upload that will be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// Bytes; `None` when they will be told later (creation-defer-length).
    pub length: Option<u64>,
    /// `None` when the request had no `Upload-Metadata`; an empty one is something else.
    pub metadata: Option<Metadata>,
    /// Whether it is to become a part of another (concatenation).
    pub partial: bool,
    /// With what the request's own content has to agree, when that is the beginning of the upload
    /// (creation-with-upload).
    pub content: Option<ChunkDigest>,
}

/// `Upload-Metadata`: the text, and what of it means something to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// As it came.
    pub text: String,
    /// The file's name as words (promise 6): `filename`, else `name`.
    pub name: Option<String>,
    /// The file's media type: `filetype`, else `type`.
    pub media_type: Option<String>,
    /// The file's path as words: `relativePath`. Empty for a single file.
    pub path: String,
    /// All other pairs.
    pub fields: Vec<(String, String)>,
}

/// What `PATCH` brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where its content begins.
    pub offset: u64,
    /// The length of the whole, when it is told only now (creation-defer-length).
    pub length: Option<u64>,
    /// With what the content has to agree.
    pub digest: ChunkDigest,
}

/// Nothing else of a request is looked at when its version is not ours.
///
/// # Errors
/// [`ErrorCode::UnsupportedVersion`].
pub fn version(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut all = headers.get_all(headers::TUS_RESUMABLE).iter();
    if all.next() == Some(&VERSION) && all.next().is_none() {
        return Ok(());
    }
    let message = "This server speaks version 1.0.0 of tus; each request names it in Tus-Resumable.";
    Err(Refusal::new(ErrorCode::UnsupportedVersion, message).with_detail("1.0.0"))
}

/// What a `POST` with this head asks for.
///
/// # Errors
/// [`ErrorCode::Malformed`] for a head that breaks the rules of tus.
pub fn creation(headers: &HeaderMap) -> Result<Create, Refusal> {
    let metadata = metadata(headers)?;
    let length = length(headers)?;
    let deferred = match headers.get(headers::UPLOAD_DEFER_LENGTH) {
        None => false,
        Some(value) if value == "1" => true,
        Some(_) => return malformed("Upload-Defer-Length takes 1 and nothing else."),
    };
    let has_content = is_content_type(headers, CONTENT_TYPE);
    let partial = match one(headers, headers::UPLOAD_CONCAT)? {
        None => false,
        Some("partial") => true,
        Some(concat) => {
            let Some(urls) = concat.strip_prefix("final;") else {
                return malformed(
                    "Upload-Concat is neither `partial` nor `final;` with the addresses of parts.",
                );
            };
            let is_empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
                && !headers.contains_key(header::TRANSFER_ENCODING);
            if length.is_some() || deferred || has_content && !is_empty {
                return malformed(
                    "A final upload has the length and the content of its parts, and none else.",
                );
            }
            return Ok(Create::Joined { metadata, parts: parts(urls)?, concat: concat.to_owned() });
        }
    };
    if length.is_some() == deferred {
        return malformed("Either Upload-Length or Upload-Defer-Length has to be told.");
    }
    let content = if has_content { Some(upload_checksum(headers)?) } else { None };
    Ok(Create::Sent(Creation { length, metadata, partial, content }))
}

/// What a `PATCH` with this head brings.
///
/// # Errors
/// [`ErrorCode::UnsupportedMediaType`] when its body is no part of an upload, [`ErrorCode::Malformed`] for a head
/// that breaks the rules.
pub fn append(headers: &HeaderMap) -> Result<Append, Refusal> {
    if !is_content_type(headers, CONTENT_TYPE) {
        let message = "Pieces of an upload come as application/offset+octet-stream.";
        return Err(Refusal::new(ErrorCode::UnsupportedMediaType, message).with_detail(CONTENT_TYPE));
    }
    let Some(offset) = number(headers, headers::UPLOAD_OFFSET)?.filter(|&offset| offset <= MAX_BYTES) else {
        return malformed("Upload-Offset has to say where this piece begins.");
    };
    Ok(Append { offset, length: length(headers)?, digest: upload_checksum(headers)? })
}

/// `Upload-Length`, unless no file can be as large.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    match number(headers, headers::UPLOAD_LENGTH)? {
        Some(length) if length > MAX_BYTES => {
            Err(Refusal::new(ErrorCode::TooLarge, "No file can be as large.").with_detail(MAX_BYTES))
        }
        length => Ok(length),
    }
}

/// The answer to a request that began an upload. `with_content`: its own content was the upload's beginning.
pub fn created(upload: &Upload, with_content: bool) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    let answer = response.headers_mut();
    put(answer, header::LOCATION, location(&upload.id));
    if with_content {
        put(answer, headers::UPLOAD_OFFSET, upload.offset);
    }
    expires(answer, upload);
    response
}

/// The answer to a piece that was stored.
pub fn appended(upload: &Upload) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    put(answer, headers::UPLOAD_OFFSET, upload.offset);
    expires(answer, upload);
    response
}

/// The answer to `HEAD`. 200, since one client takes no other.
pub fn state(upload: &Upload) -> Response {
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    put(answer, headers::UPLOAD_OFFSET, upload.offset);
    match upload.length {
        Some(length) => put(answer, headers::UPLOAD_LENGTH, length),
        None => put(answer, headers::UPLOAD_DEFER_LENGTH, 1),
    }
    for (name, value) in
        [(headers::UPLOAD_METADATA, &upload.metadata), (headers::UPLOAD_CONCAT, &upload.concat)]
    {
        if let Some(value) = value {
            put(answer, name, value);
        }
    }
    put(answer, header::CACHE_CONTROL, "no-store");
    response
}

/// The answer to a piece that was not stored, or not whole.
pub fn rejected(rejected: Rejected) -> Response {
    let Rejected { refusal, at } = rejected;
    let mut response = refusal.into_response();
    if let Some(at) = at {
        put(response.headers_mut(), headers::UPLOAD_OFFSET, at);
    }
    response
}

fn expires(answer: &mut HeaderMap, upload: &Upload) {
    if let Some(ms) = upload.expires_ms.filter(|_| upload.receipt.is_none()) {
        // No later than it is: the date has whole seconds.
        let at = UNIX_EPOCH + Duration::from_secs(ms / 1000);
        put(answer, headers::UPLOAD_EXPIRES, httpdate::fmt_http_date(at));
    }
}

/// `Upload-Metadata`: pairs of a key and a value in base64, separated by commas; the value may be missing. Keys are
/// ASCII without spaces, not empty, and come once. The field may be empty (tuspy sends it so).
///
/// # Errors
/// [`ErrorCode::Malformed`] for one that is not written so.
pub fn metadata(headers: &HeaderMap) -> Result<Option<Metadata>, Refusal> {
    let Some(text) = one(headers, headers::UPLOAD_METADATA)? else { return Ok(None) };
    if text.len() > MAX_METADATA {
        let message = format!("Upload-Metadata has more than the {MAX_METADATA} bytes that are kept.");
        return Err(Refusal::new(ErrorCode::Malformed, message).with_detail(MAX_METADATA));
    }
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for pair in text.split(',').filter(|_| !text.trim().is_empty()) {
        let (key, encoded) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return malformed("A key of Upload-Metadata is ASCII without spaces, and not empty.");
        }
        if pairs.iter().any(|(earlier, _)| *earlier == key) {
            return malformed("A key of Upload-Metadata comes twice.");
        }
        let Ok(value) = BASE64.decode(encoded.trim()) else {
            return malformed("A value of Upload-Metadata is not base64.");
        };
        pairs.push((key, String::from_utf8_lossy(&value).into_owned()));
    }
    let value = |keys: [&str; 2], clean: fn(&str) -> Option<String>| {
        keys.into_iter().find_map(|key| clean(&pairs.iter().find(|(other, _)| *other == key)?.1))
    };
    Ok(Some(Metadata {
        text: text.to_owned(),
        name: value(["filename", "name"], |name| {
            Some(multipart::display_name(name)).filter(|name| !name.is_empty())
        }),
        media_type: value(["filetype", "type"], multipart::clean_media_type),
        path: value([headers::RELATIVE_PATH; 2], |path| Some(multipart::display_path(path)))
            .unwrap_or_default(),
        fields: pairs
            .iter()
            .filter(|(key, _)| !UNDERSTOOD.contains(key))
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    }))
}

/// The parts that a final upload names, as addresses of uploads of ours: paths, or whole URLs. What host such a URL
/// names is of no interest: it is never fetched, the unguessable id at its end is looked up here, and behind a proxy
/// we may not know the name that clients call us by.
fn parts(urls: &str) -> Result<Vec<UploadId>, Refusal> {
    let parts: Option<Vec<UploadId>> =
        urls.split(' ').filter(|url| !url.is_empty()).take(MAX_PARTS + 1).map(part).collect();
    match parts {
        Some(parts) if parts.is_empty() => malformed("Upload-Concat names no parts."),
        Some(parts) if parts.len() > MAX_PARTS => malformed("Upload-Concat names too many parts."),
        Some(parts) => Ok(parts),
        None => malformed("Upload-Concat names something that is no upload of this server."),
    }
}

fn part(url: &str) -> Option<UploadId> {
    let path = match url.split_once("://") {
        Some(("http" | "https", rest)) => &rest[rest.find('/')?..],
        Some(_) => return None,
        None => url,
    };
    path.strip_prefix("/files/")?.parse().ok()
}

/// A field that comes at most once, as text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => malformed(format!("{name} holds something other than ASCII.")),
        },
        (Some(_), Some(_)) => malformed(format!("{name} comes twice.")),
    }
}

fn malformed<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(ErrorCode::Malformed, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::protocol::tests::{finished, head, response_fields, unfinished};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "77777777777777777777777774";

    fn create(fields: &str) -> Result<Create, ErrorCode> {
        creation(&head(fields)).map_err(|refusal| refusal.code())
    }

    fn sent(fields: &str) -> Creation {
        match create(fields) {
            Ok(Create::Sent(creation)) => creation,
            other => panic!("{fields:?}: {other:?}"),
        }
    }

    #[test]
    fn one_version_and_no_other() {
        let check = |fields: &str| version(&head(fields)).map_err(|refusal| refusal.code());
        assert_eq!(check("Tus-Resumable: 1.0.0"), Ok(()));
        for wrong in [
            "",
            "Tus-Resumable: 0.2.2",
            "Tus-Resumable: 1.0.0, 1.0.0",
            "Tus-Resumable: 1",
            "Tus-Resumable:",
            "Tus-Resumable: 1.0.0\nTus-Resumable: 1.0.0",
        ] {
            assert_eq!(check(wrong), Err(ErrorCode::UnsupportedVersion), "{wrong:?}");
        }
    }

    #[test]
    fn a_creation_tells_the_length_or_that_it_will() {
        assert_eq!(sent("Upload-Length: 5"), Creation { length: Some(5), ..Creation::default() });
        assert_eq!(sent("Upload-Length: 0").length, Some(0));
        assert_eq!(sent("Upload-Length: 9223372036854775807").length, Some(MAX_BYTES));
        for large in ["9223372036854775808", "18446744073709551615"] {
            assert_eq!(create(&format!("Upload-Length: {large}")), Err(ErrorCode::TooLarge));
        }
        assert_eq!(sent("Upload-Defer-Length: 1"), Creation::default());
        for wrong in [
            "",
            "Upload-Length: -1",
            "Upload-Length: five",
            "Upload-Length:",
            "Upload-Length: 1.0",
            "Upload-Length: 18446744073709551616",
            "Upload-Length: 5\nUpload-Length: 5",
            "Upload-Length: 5\nUpload-Defer-Length: 1",
            "Upload-Defer-Length: 0",
            "Upload-Defer-Length: 2",
            "Upload-Defer-Length: true",
            "Upload-Length: 5\nUpload-Defer-Length: 0",
        ] {
            assert_eq!(create(wrong), Err(ErrorCode::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_body_of_the_right_type_belongs_to_the_upload() {
        let content = |fields: &str| sent(&format!("Upload-Length: 5\n{fields}")).content;
        let yes = Some(ChunkDigest::None);
        assert_eq!(content("Content-Type: application/offset+octet-stream\nContent-Length: 5"), yes);
        assert_eq!(content("Content-Type: Application/Offset+Octet-Stream; x=y"), yes);
        assert_eq!(
            content("Content-Type: application/offset+octet-stream\nTrailer: Upload-Checksum"),
            Some(ChunkDigest::Trailer)
        );
        let checked =
            content("Content-Type: application/offset+octet-stream\nUpload-Checksum: crc32 NhCmhg==");
        assert!(matches!(checked, Some(ChunkDigest::Header(..))));
        for other in [
            "",
            "Content-Length: 5",
            "Content-Type: application/octet-stream\nContent-Length: 5",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Type: application/offset",
        ] {
            assert_eq!(content(other), None, "{other:?}");
        }
        let wrong =
            "Upload-Length: 5\nContent-Type: application/offset+octet-stream\nUpload-Checksum: md4 AA==";
        assert_eq!(create(wrong), Err(ErrorCode::Malformed));
    }

    #[test]
    fn metadata_is_kept_as_it_came_and_understood_where_it_can_be() {
        let check =
            |text: &str| sent(&format!("Upload-Length: 5\nUpload-Metadata: {text}")).metadata.unwrap();
        let uppy = "relativePath bnVsbA==,name w6kudHh0,type dGV4dC9wbGFpbg==,filename w6kudHh0";
        let expected = Metadata {
            text: uppy.to_owned(),
            name: Some("é.txt".to_owned()),
            media_type: Some("text/plain".to_owned()),
            ..Metadata::default()
        };
        assert_eq!(check(uppy), expected);
        // `a/../b/c.txt`, `x`, and a key without a value.
        let more = check("relativePath YS8uLi9iL2MudHh0,album eA==,private");
        assert_eq!(more.path, "a/b/c.txt");
        let fields = [("album", "x"), ("private", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(more.fields, fields);
        assert_eq!(check(""), Metadata::default());
        assert_eq!(sent("Upload-Length: 5").metadata, None);
        assert_eq!(check("is_confidential,filename YS50eHQ").name.as_deref(), Some("a.txt"));
        assert_eq!(check("filename").name, None);
        assert_eq!(check("filename ,name Yg==").name.as_deref(), Some("b"));
        // `../../etc/passwd`, `..`, NUL, and what is not UTF-8.
        assert_eq!(check("filename Li4vLi4vZXRjL3Bhc3N3ZA==").name.as_deref(), Some("passwd"));
        assert_eq!(check("filename Li4=").name, None);
        assert_eq!(check("filename AA==").name, None);
        assert_eq!(check("filename /w==").name.as_deref(), Some("\u{fffd}"));
        assert_eq!(check("filetype bm8gdHlwZQ==").media_type, None);
        assert_eq!(check("a YQ==, b Yg==").text, "a YQ==, b Yg==");
        let long = "k ".to_owned() + &"A".repeat(MAX_METADATA);
        for wrong in ["a YQ==,a YQ==", "a YQ==,", ",", "a *", "a b c", "é YQ==", "a A", long.as_str()] {
            let fields = format!("Upload-Length: 5\nUpload-Metadata: {wrong}");
            assert_eq!(create(&fields), Err(ErrorCode::Malformed), "{wrong:?}");
        }
        let twice = "Upload-Length: 5\nUpload-Metadata: a YQ==\nUpload-Metadata: b Yg==";
        assert_eq!(create(twice), Err(ErrorCode::Malformed));
    }

    #[test]
    fn parts_are_uploads_of_ours() {
        assert!(sent("Upload-Length: 5\nUpload-Concat: partial").partial);
        let joined = |urls: &str| match create(&format!("Upload-Concat: final;{urls}")) {
            Ok(Create::Joined { parts, concat, metadata: None }) => {
                assert_eq!(concat, format!("final;{urls}"));
                Ok(parts.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            Err(code) => Err(code),
            other => panic!("{other:?}"),
        };
        assert_eq!(joined(&format!("/files/{A} /files/{B}")).unwrap(), [A, B]);
        assert_eq!(joined(&format!("/files/{A} /files/{A}")).unwrap(), [A, A]);
        assert_eq!(joined(&format!("https://host:1/files/{A} http://host/files/{B}")).unwrap(), [A, B]);
        let many = vec![format!("/files/{A}"); MAX_PARTS + 1].join(" ");
        for wrong in [
            "",
            " ",
            "/files/",
            "/files/../catalog.sqlite",
            "/files/..%2fcatalog",
            &format!("files/{A}"),
            &format!("/other/{A}"),
            &format!("//host/files/{A}"),
            &format!("/files/{A}/"),
            &format!("/files/{A}?x"),
            &format!("/files/{A}#x"),
            &format!("/files/%61{}", &A[1..]),
            &format!("/files/x/../{A}"),
            &format!("file:///files/{A}"),
            &format!("https://{A}"),
            &format!("https://host/x?/files/{A}"),
            &format!("/files/{A},/files/{B}"),
            &format!("/files/{A} /etc/passwd"),
            &many,
        ] {
            assert_eq!(joined(wrong), Err(ErrorCode::Malformed), "{wrong:?}");
        }
        let ours = format!("Upload-Concat: final;/files/{A}");
        let content = "Content-Type: application/offset+octet-stream";
        for fields in [
            format!("{ours}\nUpload-Length: 5"),
            format!("{ours}\nUpload-Defer-Length: 1"),
            format!("{ours}\n{content}\nContent-Length: 5"),
            format!("{ours}\n{content}\nTransfer-Encoding: chunked"),
            format!("{ours}\n{ours}"),
            "Upload-Concat: Partial\nUpload-Length: 5".to_owned(),
            "Upload-Concat: final\nUpload-Length: 5".to_owned(),
            "Upload-Concat:\nUpload-Length: 5".to_owned(),
            "Upload-Concat: partial".to_owned(),
        ] {
            assert_eq!(create(&fields), Err(ErrorCode::Malformed), "{fields:?}");
        }
        assert!(create(&format!("{ours}\n{content}\nContent-Length: 0")).is_ok());
    }

    #[test]
    fn answers_say_what_tus_wants_to_hear() {
        let fields = |response: &Response| response_fields(response);
        let new = unfinished();
        assert_eq!(
            fields(&created(&new, false)),
            format!("201\nlocation: /files/{A}\nupload-expires: Tue, 14 Nov 2023 22:13:20 GMT")
        );
        let written = Upload { offset: 5, ..new };
        assert_eq!(
            fields(&created(&written, true)),
            format!(
                "201\nlocation: /files/{A}\nupload-expires: Tue, 14 Nov 2023 22:13:20 GMT\nupload-offset: 5"
            )
        );
        assert_eq!(
            fields(&appended(&written)),
            "204\nupload-expires: Tue, 14 Nov 2023 22:13:20 GMT\nupload-offset: 5"
        );
        // What is finished does not expire.
        let whole = finished();
        assert_eq!(fields(&appended(&whole)), "204\nupload-offset: 5");
        assert_eq!(fields(&created(&whole, false)), format!("201\nlocation: /files/{A}"));
        assert_eq!(
            fields(&state(&whole)),
            "200\ncache-control: no-store\nupload-length: 5\nupload-offset: 5"
        );
        let told = Upload {
            length: None,
            metadata: Some(String::new()),
            concat: Some("partial".to_owned()),
            ..written
        };
        assert_eq!(
            fields(&state(&told)),
            "200\ncache-control: no-store\nupload-concat: partial\nupload-defer-length: 1\nupload-metadata: \n\
             upload-offset: 5"
        );
    }

    #[test]
    fn a_rejected_piece_is_told_where_the_upload_stands() {
        let check = |code, at| {
            let response = rejected(Rejected { refusal: Refusal::new(code, "No."), at });
            let offset =
                response.headers().get("upload-offset").map(|value| value.to_str().unwrap().to_owned());
            (response.status().as_u16(), offset)
        };
        assert_eq!(check(ErrorCode::OffsetMismatch, Some(7)), (409, Some("7".to_owned())));
        assert_eq!(check(ErrorCode::ChecksumMismatch, Some(0)), (460, Some("0".to_owned())));
        assert_eq!(check(ErrorCode::TooLarge, Some(0)), (413, Some("0".to_owned())));
        assert_eq!(check(ErrorCode::OutOfSpace, Some(9)), (507, Some("9".to_owned())));
        assert_eq!(check(ErrorCode::Gone, None), (410, None));
        assert_eq!(check(ErrorCode::NotFound, None), (404, None));
    }

    #[test]
    fn a_piece_says_where_it_begins() {
        let check = |fields: &str| append(&head(fields)).map_err(|refusal| refusal.code());
        let typed = |fields: &str| check(&format!("Content-Type: application/offset+octet-stream\n{fields}"));
        let plain = Append { offset: 7, length: None, digest: ChunkDigest::None };
        assert_eq!(typed("Upload-Offset: 7"), Ok(plain.clone()));
        assert_eq!(typed("Upload-Offset: 7\nUpload-Length: 9"), Ok(Append { length: Some(9), ..plain }));
        assert_eq!(typed("Upload-Offset: 0\nTrailer: upload-checksum").unwrap().digest, ChunkDigest::Trailer);
        for wrong in [
            "",
            "Upload-Offset: -1",
            "Upload-Offset: 9223372036854775808",
            "Upload-Offset: x",
            "Upload-Offset: 1\nUpload-Length: x",
            "Upload-Offset: 1\nUpload-Offset: 1",
            "Upload-Offset: 0\nUpload-Checksum: sha1",
        ] {
            assert_eq!(typed(wrong), Err(ErrorCode::Malformed), "{wrong:?}");
        }
        for wrong in [
            "Upload-Offset: 7",
            "Upload-Offset: 7\nContent-Type: application/partial-upload",
            "Upload-Offset: 7\nContent-Type:",
        ] {
            assert_eq!(check(wrong), Err(ErrorCode::UnsupportedMediaType), "{wrong:?}");
        }
    }
}
