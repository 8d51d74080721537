//! `POST /upload` and `PUT /files/{name}`: requests that bring files. Must never read a byte of a body.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use sha2::{Digest, Sha256};

use super::{argument, progress_id};
use crate::{
    server::{
        Refusal, Server,
        body::drain_in_background,
        ingest::{Arrival, Shape, ingest},
        multipart::{self, Boundary},
        protocol::{digest::wants_sha256, fields::number},
        security::{Visitor, wants_page},
    },
    wire::{ErrorCode, Receipt, UploadAnswer, headers},
};

/// The media type of a file whose sender names none.
pub(super) const BINARY: &str = "application/octet-stream";

/// `POST /upload`: a form with any number of files. JSON for scripts; for a person's browser a redirect to a page
/// that shows what was stored.
pub(super) async fn post_form(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let arrival =
        form_shape(&headers).and_then(|shape| announced(shape, visitor, query.as_deref(), &headers));
    let receipts = receive(server, arrival, body).await?;
    Ok(if wants_page(&headers) {
        Redirect::to(&results_page(&receipts)).into_response()
    } else {
        answer(StatusCode::OK, receipts)
    })
}

/// `PUT /files/{name}`: the body is the file (`curl -T`), with or without a length.
pub(super) async fn put_raw(
    server: Arc<Server>,
    visitor: Visitor,
    path: Result<Path<String>, PathRejection>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let name = match name(path) {
        Ok(name) => name,
        Err(refusal) => {
            drain_in_background(body);
            return Err(refusal);
        }
    };
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let shape = Shape::Raw {
        name,
        media_type: media_type.and_then(multipart::clean_media_type).unwrap_or_else(|| BINARY.to_owned()),
    };
    let arrival = if headers.contains_key(header::CONTENT_RANGE) {
        // RFC 9110, section 14.4: a server that does not do partial PUT must say so, not store a piece as the whole.
        Err(Refusal::new(ErrorCode::Malformed, "A PUT here brings the whole file, not a range of it."))
    } else {
        announced(shape, visitor, query, headers)
    };
    let receipts = receive(server, arrival, body).await?;
    let location = receipts.first().and_then(|receipt| HeaderValue::from_str(&receipt.url).ok());
    let mut response = answer(StatusCode::CREATED, receipts);
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The name of a file in an address, as words (promise 6).
pub(super) fn name(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Path(name) = path.map_err(|rejection| {
        let message = "The name in the address is not UTF-8 text, percent-encoded.";
        Refusal::new(ErrorCode::Malformed, message).caused_by(rejection)
    })?;
    let name = multipart::display_name(&name);
    Ok(if name.is_empty() { multipart::UNNAMED.to_owned() } else { name })
}

async fn receive(
    server: Arc<Server>,
    arrival: Result<Arrival, Refusal>,
    body: Body,
) -> Result<Vec<Receipt>, Refusal> {
    match arrival {
        Ok(arrival) => ingest(server, arrival, body).await,
        Err(refusal) => {
            drain_in_background(body);
            Err(refusal)
        }
    }
}

fn form_shape(headers: &HeaderMap) -> Result<Shape, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    Ok(Shape::Form { boundary: Boundary::from_content_type(content_type)? })
}

/// Everything the head of a request says, parsed once.
fn announced(
    shape: Shape,
    visitor: Visitor,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Arrival, Refusal> {
    let body_size = number(headers, header::CONTENT_LENGTH.as_str())?;
    let file_size = number(headers, headers::FILE_SIZE)?;
    let attempt = number(headers, headers::ATTEMPT)?.unwrap_or(1);
    Ok(Arrival {
        progress_id: progress_id(headers, query)?,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX).max(1),
        fingerprint: fingerprint(&shape, headers),
        file_size: if matches!(shape, Shape::Raw { .. }) { file_size.or(body_size) } else { file_size },
        body_size,
        want_sha256: wants_sha256(headers)
            || query.and_then(|query| argument(query, "digest")) == Some("sha-256"),
        visitor,
        shape,
    })
}

/// What the very same form, sent again by the browser itself after a reset, has in common with the first and with no
/// other: its boundary is random, and it is as long. A raw body has nothing of the kind.
fn fingerprint(shape: &Shape, headers: &HeaderMap) -> Option<[u8; 16]> {
    let Shape::Form { boundary } = shape else { return None };
    let mut hash = Sha256::new();
    hash.update(boundary.as_str().as_bytes());
    hash.update([0]);
    hash.update(headers.get(header::CONTENT_LENGTH).map_or(&b""[..], HeaderValue::as_bytes));
    hash.finalize().first_chunk().copied()
}

fn answer(status: StatusCode, receipts: Vec<Receipt>) -> Response {
    let mut response = (status, Json(UploadAnswer::new(receipts))).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The page that shows these receipts: path only, so that no proxy's idea of our host gets in.
fn results_page(receipts: &[Receipt]) -> String {
    let ids: Vec<String> = receipts.iter().map(|receipt| format!("id={}", receipt.id)).collect();
    format!("/results?{}", ids.join("&"))
}
