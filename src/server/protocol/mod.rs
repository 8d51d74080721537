//! The protocols of resumable uploads: the head of a request becomes a typed intent here, and an outcome the head of
//! an answer. Pure functions. Must never know a body, a file or the catalog.

pub mod digest;
pub mod fields;
pub mod rufh;
pub mod tus;

use std::fmt::Display;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{limits::Limits, resumable::Upload};
use crate::wire::{UploadId, headers};

/// Which protocol a request to an upload's address speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// tus 1.0.0; or a request that can only be meant as tus, but does not name a version.
    Tus,
    /// Resumable Uploads for HTTP.
    Rufh,
    /// Neither: a download, a plain `PUT`, a mistake.
    Plain,
}

/// The protocol that a request speaks. `method` is what [`method`] says.
///
/// `Tus-Resumable` decides, then `Upload-Complete`. A client of tus that leaves its version out has to be told so
/// (412), so what only tus has counts as well.
pub fn dialect(method: &Method, headers: &HeaderMap) -> Dialect {
    let has = |name: &str| headers.contains_key(name);
    if has(headers::TUS_RESUMABLE) {
        return Dialect::Tus;
    }
    let sends = *method == Method::POST || *method == Method::PATCH;
    let of_rufh = fields::boolean(headers, headers::UPLOAD_COMPLETE).is_some()
        || sends && is_content_type(headers, rufh::CONTENT_TYPE);
    if of_rufh && (sends || *method == Method::PUT) {
        return Dialect::Rufh;
    }
    let of_tus = [
        headers::UPLOAD_OFFSET,
        headers::UPLOAD_LENGTH,
        headers::UPLOAD_DEFER_LENGTH,
        headers::UPLOAD_METADATA,
        headers::UPLOAD_CONCAT,
        headers::UPLOAD_CHECKSUM,
    ];
    let meant_as_tus = is_content_type(headers, tus::CONTENT_TYPE) || of_tus.into_iter().any(has);
    if sends && meant_as_tus && !has(headers::UPLOAD_COMPLETE) { Dialect::Tus } else { Dialect::Plain }
}

/// The method that a request means: tus has clients that can send `GET` and `POST` only, and lets them name another.
pub fn method(method: &Method, headers: &HeaderMap) -> Method {
    let named =
        headers.get(headers::METHOD_OVERRIDE).filter(|_| headers.contains_key(headers::TUS_RESUMABLE));
    match named {
        // What is no method at all is one that nobody takes.
        Some(name) => Method::from_bytes(name.as_bytes()).unwrap_or(Method::CONNECT),
        None => method.clone(),
    }
}

/// What every answer to `OPTIONS` at these addresses says: what is spoken here, and what is allowed. `max_age` is how
/// long an unfinished upload is kept, in seconds.
pub fn offer(answer: &mut HeaderMap, limits: &Limits, max_age: u64) {
    put(answer, headers::TUS_VERSION, "1.0.0");
    put(answer, headers::TUS_EXTENSION, tus::EXTENSIONS);
    let algorithms = digest::Algorithm::ALL.map(digest::Algorithm::name).join(",");
    put(answer, headers::TUS_CHECKSUM_ALGORITHM, algorithms);
    if let Some(max) = limits.max_file_size {
        put(answer, headers::TUS_MAX_SIZE, max);
    }
    put(answer, headers::UPLOAD_LIMIT, rufh::limit(limits, Some(max_age)));
    put(answer, headers::ACCEPT_PATCH, format!("{}, {}", rufh::CONTENT_TYPE, tus::CONTENT_TYPE));
}

/// The address of an upload. A path only: no proxy's idea of our name gets in.
pub fn location(id: &UploadId) -> String {
    format!("/files/{id}")
}

/// When an unfinished upload will be given up, in seconds from now. `None` for one that will not.
fn seconds_left(upload: &Upload, now_ms: u64) -> Option<u64> {
    let expires_ms = upload.expires_ms.filter(|_| upload.receipt.is_none())?;
    Some(expires_ms.saturating_sub(now_ms) / 1000)
}

/// Sets a field. What cannot stand in one (no value of ours) is left out.
fn put(answer: &mut HeaderMap, name: impl AsRef<[u8]>, value: impl Display) {
    let name = HeaderName::from_bytes(name.as_ref());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value.to_string())) {
        answer.insert(name, value);
    }
}

/// Whether the request's content is of this type, whatever its parameters.
fn is_content_type(headers: &HeaderMap, expected: &str) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::Response;

    use super::*;
    use crate::{
        server::{catalog::Admitted, resumable::Protocol},
        wire::Receipt,
    };

    /// An upload of five bytes of which none has come; it is given up on 2023-11-14 at 22:13:20 GMT.
    pub(super) fn unfinished() -> Upload {
        Upload {
            id: UploadId::from_bits([0; 16]),
            protocol: Protocol::Tus,
            offset: 0,
            length: Some(5),
            receipt: None,
            metadata: None,
            concat: None,
            expires_ms: Some(1_700_000_000_000),
            admitted: Admitted { max_length: Some(5), max_request: Some(5) },
        }
    }

    /// The same when `hello` has come.
    pub(super) fn finished() -> Upload {
        let id = unfinished().id;
        let receipt = Receipt {
            url: location(&id),
            id,
            name: "hello.txt".to_owned(),
            size: 5,
            media_type: "text/plain".to_owned(),
            sha256: Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned()),
            stored_ms: 0,
            ..Receipt::default()
        };
        Upload { offset: 5, receipt: Some(receipt), ..unfinished() }
    }

    pub(super) fn limits(max_file_size: Option<u64>, max_request_size: Option<u64>) -> Limits {
        Limits {
            max_file_size,
            max_request_size,
            max_files: 1,
            max_bytes_per_owner: None,
            space_reserve: 0,
            idle_timeout: Duration::from_secs(1),
            min_rate: None,
        }
    }

    /// The status and the fields of an answer in their alphabetical order, one in each line.
    pub(super) fn response_fields(response: &Response) -> String {
        let fields = response.headers().iter();
        let mut lines: Vec<_> =
            fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.insert(0, response.status().as_u16().to_string());
        lines.join("\n")
    }

    #[test]
    fn options_tell_of_both_protocols() {
        let mut answer = HeaderMap::new();
        offer(&mut answer, &limits(Some(100), None), 60);
        assert_eq!(answer["tus-version"], "1.0.0");
        assert_eq!(answer["tus-max-size"], "100");
        assert_eq!(answer["tus-checksum-algorithm"], "sha1,sha256,md5,crc32");
        assert_eq!(
            answer["tus-extension"],
            "creation,creation-with-upload,creation-defer-length,expiration,checksum,checksum-trailer,\
             termination,concatenation"
        );
        assert_eq!(answer["upload-limit"], "max-size=100, max-age=60");
        assert_eq!(answer["accept-patch"], "application/partial-upload, application/offset+octet-stream");
        let mut answer = HeaderMap::new();
        offer(&mut answer, &limits(None, None), 60);
        assert!(!answer.contains_key("tus-max-size"));
    }

    /// The fields of a request's head, one in each line.
    pub(super) fn head(lines: &str) -> HeaderMap {
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
        };
        lines.lines().filter(|line| !line.is_empty()).map(field).collect()
    }

    #[test]
    fn protocols_are_told_apart() {
        use Dialect::*;
        for (method, fields, expected) in [
            ("POST", "Tus-Resumable: 1.0.0\nUpload-Length: 5", Tus),
            ("POST", "Tus-Resumable: 9", Tus),
            ("HEAD", "Tus-Resumable: 1.0.0", Tus),
            ("GET", "Tus-Resumable: 1.0.0", Tus),
            ("DELETE", "Tus-Resumable: 1.0.0", Tus),
            ("POST", "Tus-Resumable: 1.0.0\nUpload-Complete: ?1", Tus),
            ("POST", "Upload-Length: 5", Tus),
            ("POST", "Upload-Defer-Length: 1", Tus),
            ("PATCH", "Upload-Offset: 5\nContent-Type: application/offset+octet-stream", Tus),
            ("PATCH", "Content-Type: application/offset+octet-stream", Tus),
            ("POST", "Upload-Complete: ?1", Rufh),
            ("POST", "Upload-Complete: ?0\nUpload-Length: 5", Rufh),
            ("PUT", "Upload-Complete: ?1", Rufh),
            ("PATCH", "Upload-Complete: ?1\nUpload-Offset: 5", Rufh),
            ("PATCH", "Content-Type: application/partial-upload", Rufh),
            ("PATCH", "Content-Type: application/partial-upload\nUpload-Offset: 5", Rufh),
            ("PATCH", "Upload-Complete: ?0\nContent-Type: application/offset+octet-stream", Rufh),
            ("POST", "", Plain),
            ("POST", "Content-Type: multipart/form-data; boundary=x", Plain),
            ("POST", "Upload-Complete: yes\nUpload-Length: 5", Plain),
            ("PUT", "", Plain),
            ("PUT", "Upload-Complete: 1", Plain),
            ("PUT", "Upload-Length: 5", Plain),
            ("PATCH", "", Plain),
            ("HEAD", "", Plain),
            ("GET", "Upload-Complete: ?1", Plain),
            ("DELETE", "", Plain),
        ] {
            assert_eq!(dialect(&method.parse().unwrap(), &head(fields)), expected, "{method} {fields:?}");
        }
    }

    proptest::proptest! {
        /// Whatever stands in a head, it is understood or refused, and nothing of it gets further than its grammar.
        #[test]
        fn any_head_is_understood_or_refused(
            lines in proptest::collection::vec((0..12usize, "[ -~\u{e0}-\u{ff}]{0,40}|[?0-9;,=: -]{0,12}"), 0..8),
        ) {
            const NAMES: [&str; 12] = [
                headers::UPLOAD_COMPLETE, headers::UPLOAD_OFFSET, headers::UPLOAD_LENGTH,
                headers::UPLOAD_DEFER_LENGTH, headers::UPLOAD_METADATA, headers::UPLOAD_CONCAT,
                headers::UPLOAD_CHECKSUM, headers::CONTENT_DIGEST, headers::REPR_DIGEST, headers::TUS_RESUMABLE,
                "Content-Disposition", "Content-Length",
            ];
            let mut head = HeaderMap::new();
            for (name, value) in &lines {
                let name = HeaderName::from_bytes(NAMES[*name].as_bytes()).unwrap();
                head.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            for kind in ["", tus::CONTENT_TYPE, rufh::CONTENT_TYPE] {
                head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                let words = |name: &Option<String>| {
                    name.as_ref().is_none_or(|name| !name.is_empty() && !name.contains(['/', '\\', '\0', '\n']))
                };
                if let Ok(tus::Create::Sent(creation)) = tus::creation(&head) {
                    proptest::prop_assert!(creation.length.is_none_or(|length| length <= fields::MAX_BYTES));
                    proptest::prop_assert!(creation.metadata.is_none_or(|metadata| words(&metadata.name)));
                }
                if let Ok(Some(creation)) = rufh::creation(&head) {
                    proptest::prop_assert!(creation.length.is_none_or(|length| length <= fields::MAX_BYTES));
                    proptest::prop_assert!(words(&creation.name));
                }
                if let Ok(append) = tus::append(&head) {
                    proptest::prop_assert!(append.offset <= fields::MAX_BYTES);
                }
                if let Ok(append) = rufh::append(&head) {
                    proptest::prop_assert!(append.offset <= fields::MAX_INTEGER);
                }
            }
        }
    }

    #[test]
    fn tus_may_name_another_method() {
        let check = |actual: Method, fields: &str| method(&actual, &head(fields));
        let tus = "Tus-Resumable: 1.0.0\nX-HTTP-Method-Override: ";
        assert_eq!(check(Method::POST, &format!("{tus}PATCH")), Method::PATCH);
        assert_eq!(check(Method::POST, &format!("{tus}DELETE")), Method::DELETE);
        assert_eq!(check(Method::GET, &format!("{tus}HEAD")), Method::HEAD);
        assert_eq!(check(Method::POST, tus), Method::CONNECT);
        assert_eq!(check(Method::POST, &format!("{tus}a b")), Method::CONNECT);
        assert_eq!(check(Method::POST, "X-HTTP-Method-Override: DELETE"), Method::POST);
        assert_eq!(check(Method::POST, "Tus-Resumable: 1.0.0"), Method::POST);
    }
}
