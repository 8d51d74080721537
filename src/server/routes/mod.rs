//! Routes, one file for each kind: a request is parsed into typed values here, and an answer is written here; what
//! happens in between is not decided here.

mod files;
mod health;
mod progress;
mod resumable;
mod upload;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{Refusal, Server, body, security};
use crate::wire::{ErrorCode, ProgressId, headers};

/// Every route that carries bytes or progress, ready to be merged into an application's own router. Server functions
/// and pages are not among them.
pub fn router(server: &Arc<Server>) -> Router {
    let files = Router::new()
        .route("/files", any(resumable::all))
        .route("/files/", any(resumable::all))
        .route("/files/{id}", any(resumable::one))
        .with_state(server.clone());
    // Outside of all doors: what they answer to tus is an answer to tus as well.
    let files = files.layer(from_fn(as_they_are));
    let files = guard(files, server).layer(from_fn_with_state(server.clone(), resumable::accompany));
    let others = Router::new()
        .route("/upload", post(upload::post_form).layer(from_fn(as_they_are)))
        .route("/progress", get(progress::nginx))
        .route("/progress/{id}", get(progress::frame))
        .route("/progress/{id}/events", get(progress::events))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(async || not_allowed())
        .with_state(server.clone());
    files.merge(guard(others, server))
}

/// Bytes are stored as they come: of a body that says it is compressed, nobody would know later that it was, and what it
/// was announced as (length, digest) would be of something else. RFC 9110, sections 8.4 and 15.5.16.
async fn as_they_are(request: Request, next: Next) -> Response {
    let codings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_coded =
        |value: &HeaderValue| !value.is_empty() && !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if request.method().is_safe() || !codings.iter().any(is_coded) {
        return next.run(request).await;
    }
    body::drain_in_background(request.into_body());
    let message = "Files are stored as they come. Send this one without a Content-Encoding.";
    let refusal = Refusal::new(ErrorCode::UnsupportedMediaType, message);
    let mut response = refusal.with_detail("Content-Encoding").into_response();
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// The refusal of a method; who answers adds those that are allowed.
fn not_allowed() -> Refusal {
    Refusal::new(ErrorCode::MethodNotAllowed, "This address does not take requests of this method.")
}

/// Puts the doors that every route of ours stands behind in front of `routes`: who asks, from which site, and the
/// headers of every answer. For an application's pages and server functions beside [`router`]'s own.
pub fn guard(routes: Router, server: &Arc<Server>) -> Router {
    let guarded = routes
        // Our own limits are typed, configurable and count as they go; axum's would cut in at 2 MB.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(server.clone(), security::identify))
        .layer(from_fn_with_state(server.clone(), security::same_origin));
    let origins = &server.config().allow_origin;
    let guarded = if origins.is_empty() { guarded } else { guarded.layer(cors(origins)) };
    guarded.layer(from_fn(security::harden))
}

/// Fields of requests that pages of other sites may send: ours, and those of tus and Resumable Uploads for HTTP.
const ASKED: [&str; 25] = [
    headers::PROGRESS_ID,
    headers::ATTEMPT,
    headers::FILE_SIZE,
    headers::WANT_REPR_DIGEST,
    headers::REPR_DIGEST,
    headers::CONTENT_DIGEST,
    headers::UPLOAD_COMPLETE,
    headers::UPLOAD_OFFSET,
    headers::UPLOAD_LENGTH,
    headers::UPLOAD_DRAFT_INTEROP_VERSION,
    headers::TUS_RESUMABLE,
    headers::UPLOAD_METADATA,
    headers::UPLOAD_DEFER_LENGTH,
    headers::UPLOAD_CONCAT,
    headers::UPLOAD_CHECKSUM,
    headers::METHOD_OVERRIDE,
    "Accept",
    "Authorization",
    "Content-Type",
    "Content-Disposition",
    "Incremental",
    "Origin",
    "X-Request-ID",
    "X-Requested-With",
    "Cache-Control",
];

/// Fields of answers that such pages may read.
const TOLD: [&str; 19] = [
    "Location",
    "Retry-After",
    "ETag",
    headers::ACCEPT_PATCH,
    headers::REPR_DIGEST,
    headers::UPLOAD_COMPLETE,
    headers::UPLOAD_OFFSET,
    headers::UPLOAD_LENGTH,
    headers::UPLOAD_LIMIT,
    headers::TUS_VERSION,
    headers::TUS_RESUMABLE,
    headers::TUS_MAX_SIZE,
    headers::TUS_EXTENSION,
    headers::TUS_CHECKSUM_ALGORITHM,
    headers::UPLOAD_METADATA,
    headers::UPLOAD_DEFER_LENGTH,
    headers::UPLOAD_CONCAT,
    headers::UPLOAD_EXPIRES,
    "Content-Disposition",
];

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let names = |names: &[&str]| -> Vec<HeaderName> {
        names.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect()
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(names(&ASKED))
        .expose_headers(names(&TOLD))
}

/// The client's id of an upload: the header first, else the query argument, as in the nginx upload progress module
/// (which does not percent-decode it either).
fn progress_id(headers: &HeaderMap, query: Option<&str>) -> Result<Option<ProgressId>, Refusal> {
    let of_header = headers.get(headers::PROGRESS_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let of_query = || query.and_then(|query| argument(query, headers::PROGRESS_ID)).map(Into::into);
    let Some(text) = of_header.or_else(of_query) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| {
        let message = "X-Progress-ID takes 8 to 64 letters, digits, - and _.";
        Refusal::new(ErrorCode::Malformed, message).caused_by(error)
    })
}

/// One argument of a raw query, not decoded.
fn argument<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_goes_before_the_query() {
        let mut headers = HeaderMap::new();
        let query = Some("a=b&X-Progress-ID=from-the-query");
        assert_eq!(progress_id(&headers, query).unwrap().unwrap().as_str(), "from-the-query");
        headers.insert("x-progress-id", "from-the-header".parse().unwrap());
        assert_eq!(progress_id(&headers, query).unwrap().unwrap().as_str(), "from-the-header");
        headers.insert("x-progress-id", "../../x".parse().unwrap());
        assert_eq!(progress_id(&headers, query).unwrap_err().code(), ErrorCode::Malformed);
        assert!(progress_id(&HeaderMap::new(), Some("y-X-Progress-ID=12345678")).unwrap().is_none());
    }
}
