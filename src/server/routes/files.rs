//! `GET` and `HEAD /files/{id}`: what was stored. A download is never shown as a page of this site: it is
//! an attachment, not sniffed, and sandboxed (promise 6, DESIGN 6 Security).

use std::ops::RangeInclusive;

use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    server::{
        Refusal, Server,
        protocol::{digest::repr_digest_field, rufh},
        store::Store,
    },
    wire::{ErrorCode, Receipt, UploadId},
};

/// `GET` and `HEAD /files/{id}`: the file, whole or one range of it (RFC 9110, section 14).
pub(super) async fn download(
    server: &Server,
    id: &UploadId,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let stored = server.catalog().find(id).await?;
    let receipt =
        stored.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no such upload."))?.receipt;
    // What is stored never changes, so its id is a strong validator.
    let etag = format!("\"{id}\"");
    let mut response = if matches_etag(headers, header::IF_NONE_MATCH, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let range = if may_be_partial(headers, &etag) { range(headers, receipt.size) } else { Range::Whole };
        body(server, &receipt, range, method == Method::HEAD).await?
    };
    let out = response.headers_mut();
    let mut put = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.insert(name, value);
        }
    };
    put(header::ETAG, &etag);
    put(header::LAST_MODIFIED, &httpdate::fmt_http_date(stored_at(&receipt)));
    put(header::ACCEPT_RANGES, "bytes");
    // Asked again each time, by its ETag: a file that was deleted must not live on in a cache.
    put(header::CACHE_CONTROL, "private, no-cache");
    put(header::CONTENT_DISPOSITION, &disposition(&receipt.name));
    put(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    if let Some((name, value)) = receipt.sha256.as_deref().and_then(repr_digest_field) {
        put(name, &value);
    }
    if method == Method::HEAD {
        // Who has sent it asks for more than who fetches it.
        rufh::whole(out, &receipt);
    }
    Ok(response)
}

/// The id that an address names.
pub(super) fn parse(path: Result<Path<String>, PathRejection>) -> Result<UploadId, Refusal> {
    let missing = Refusal::new(ErrorCode::NotFound, "There is no such upload.");
    match path.map(|Path(id)| id.parse()) {
        Ok(Ok(id)) => Ok(id),
        Ok(Err(error)) => Err(missing.caused_by(error)),
        Err(rejection) => Err(missing.caused_by(rejection)),
    }
}

fn stored_at(receipt: &Receipt) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_millis(receipt.stored_ms)
}

async fn body(server: &Server, receipt: &Receipt, range: Range, head: bool) -> Result<Response, Refusal> {
    let (status, bytes) = match range {
        Range::Whole => (StatusCode::OK, 0..receipt.size),
        Range::Part(part) => (StatusCode::PARTIAL_CONTENT, *part.start()..*part.end() + 1),
        Range::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", receipt.size)) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            return Ok(response);
        }
    };
    let length = bytes.end - bytes.start;
    let mut builder = Response::builder().status(status).header(header::CONTENT_LENGTH, length);
    if status == StatusCode::PARTIAL_CONTENT {
        let value = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, receipt.size);
        builder = builder.header(header::CONTENT_RANGE, value);
    }
    let media_type = HeaderValue::from_str(&receipt.media_type);
    let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    builder = builder.header(header::CONTENT_TYPE, media_type);
    let body = if head {
        Body::empty()
    } else {
        Body::from_stream(server.store().open(&receipt.id).await?.stream(bytes))
    };
    builder
        .body(body)
        .map_err(|error| Refusal::new(ErrorCode::Internal, "The file cannot be sent.").caused_by(error))
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part(RangeInclusive<u64>),
    Unsatisfiable,
}

/// The one range asked for. What is not a single byte range is ignored, as RFC 9110 section 14.2 allows.
fn range(headers: &HeaderMap, size: u64) -> Range {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Range::Whole;
    };
    let Some(spec) = text.strip_prefix("bytes=").map(str::trim) else { return Range::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Range::Whole };
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let part = match (first, last) {
        ("", last) => match number(last) {
            Some(0) => return Range::Unsatisfiable,
            Some(suffix) => size.saturating_sub(suffix)..=size.wrapping_sub(1),
            None => return Range::Whole,
        },
        (first, "") => match number(first) {
            Some(first) => first..=size.wrapping_sub(1),
            None => return Range::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..=last.min(size.wrapping_sub(1)),
            _ => return Range::Whole,
        },
    };
    if size == 0 || *part.start() >= size { Range::Unsatisfiable } else { Range::Part(part) }
}

fn may_be_partial(headers: &HeaderMap, etag: &str) -> bool {
    // The strong comparison (RFC 9110, section 13.1.5): one tag, and neither a weak one nor a date.
    headers.get(header::IF_RANGE).is_none_or(|value| value == etag)
}

fn matches_etag(headers: &HeaderMap, name: header::HeaderName, etag: &str) -> bool {
    let Some(text) = headers.get(name).and_then(|value| value.to_str().ok()) else { return false };
    text.split(',').any(|one| one.trim() == "*" || one.trim().trim_start_matches("W/") == etag)
}

/// `Content-Disposition` of RFC 6266: an ASCII name for old clients, and the true name in RFC 8187's encoding.
fn disposition(name: &str) -> String {
    /// `attr-char` of RFC 8187, section 3.2.1.
    const ATTR: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'#')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b'-')
        .remove(b'.')
        .remove(b'^')
        .remove(b'_')
        .remove(b'`')
        .remove(b'|')
        .remove(b'~');
    let plain = |c: char| {
        if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%') || c == ' ' { c } else { '_' }
    };
    let ascii: String = name.chars().map(plain).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_or_the_whole() {
        let check = |text: &'static str, size| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(text));
            range(&headers, size)
        };
        assert_eq!(check("bytes=0-0", 10), Range::Part(0..=0));
        assert_eq!(check("bytes=3-", 10), Range::Part(3..=9));
        assert_eq!(check("bytes=-3", 10), Range::Part(7..=9));
        assert_eq!(check("bytes=-30", 10), Range::Part(0..=9));
        assert_eq!(check("bytes=3-99", 10), Range::Part(3..=9));
        for unsatisfiable in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(check(unsatisfiable, 10), Range::Unsatisfiable, "{unsatisfiable}");
        }
        assert_eq!(check("bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(check("bytes=-5", 0), Range::Unsatisfiable);
        for ignored in
            ["bytes=5-3", "bytes=0-1,3-4", "lines=0-1", "bytes=x-y", "bytes=", "bytes=1", "bytes=+1-2"]
        {
            assert_eq!(check(ignored, 10), Range::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let check = |name: &str| disposition(name);
        assert_eq!(check("a.txt"), "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt");
        assert_eq!(
            check("x\"; filename=evil.exe"),
            "attachment; filename=\"x_; filename=evil.exe\"; filename*=UTF-8''x%22%3B%20filename%3Devil.exe"
        );
        assert_eq!(check("é\r\n/"), "attachment; filename=\"____\"; filename*=UTF-8''%C3%A9%0D%0A%2F");
    }
}
