//! The protocols of resumable uploads: the head of a request becomes a typed intent here, and an outcome the head of
//! an answer. Pure functions. Must never know a body, a file or the catalog.

pub mod digest;
pub mod fields;
pub mod rufh;
pub mod tus;

use axum::http::{HeaderMap, Method, header};

use crate::wire::headers;

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

/// Whether the request's content is of this type, whatever its parameters.
fn is_content_type(headers: &HeaderMap, expected: &str) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

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
