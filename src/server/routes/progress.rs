//! How far an upload is, in every form it is asked for. Must never disturb an upload: it reads, and that is all.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt};

use super::progress_id;
use crate::{
    server::{Refusal, Server, error, questions, security::Visitor},
    wire::{ErrorCode, ProgressFrame, ProgressId, ProgressState},
};

/// `GET /progress`, word for word as the nginx upload progress module's `upload_progress_json_output` answers.
///
/// One difference, on purpose: an upload whose length is not known (chunked coding) is `starting` until it has
/// ended, since this format cannot say "so many of an unknown number".
pub(super) async fn nginx(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let frame = match progress_id(&headers, query.as_deref()) {
        Ok(Some(id)) => questions::frame(&server, &visitor, &id).await?,
        Ok(None) => return Ok(StatusCode::NOT_FOUND.into_response()),
        // The module answers `starting` for any id it does not know, and it knows none that is not one.
        Err(_) => None,
    };
    let mut response = nginx_json(frame.as_ref()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:01 GMT"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn nginx_json(frame: Option<&ProgressFrame>) -> String {
    let starting = "{ \"state\" : \"starting\" }\r\n".to_owned();
    let Some(frame) = frame else { return starting };
    match (frame.state, frame.body_size) {
        (ProgressState::Unknown, _) => starting,
        (ProgressState::Receiving | ProgressState::Processing, None) => starting,
        (ProgressState::Receiving | ProgressState::Processing, Some(size)) => {
            let received = frame.body_received.min(size);
            format!("{{ \"state\" : \"uploading\", \"received\" : {received}, \"size\" : {size} }}\r\n")
        }
        (ProgressState::Done, _) => "{ \"state\" : \"done\" }\r\n".to_owned(),
        (ProgressState::Failed | ProgressState::Cancelled | ProgressState::Expired, _) => {
            let status =
                frame.error.as_ref().map_or(StatusCode::BAD_REQUEST, |error| error::status(error.code));
            format!("{{ \"state\" : \"error\", \"status\" : {} }}\r\n", status.as_u16())
        }
    }
}

/// `GET /progress/{id}`: one [`ProgressFrame`]. An id nobody has heard of is `unknown`, not an error: it may be on
/// its way.
pub(super) async fn frame(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let id = parse(path)?;
    let frame = questions::frame(&server, &visitor, &id).await?;
    let frame = frame.unwrap_or_else(|| ProgressFrame::unknown(id));
    let mut response = Json(frame).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /progress/{id}/events`: the same frames as server-sent events, ending with the terminal one.
pub(super) async fn events(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let frames = questions::frames(server, visitor, parse(path)?).await?;
    let events = frames.map(|frame| {
        let event = Event::default().id(frame.seq.to_string());
        // A frame is plain data and always has a JSON form; a comment keeps the stream whole if ever not.
        Ok(event.json_data(&frame).unwrap_or_else(|_| Event::default().comment("unreadable")))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn parse(path: Result<Path<String>, PathRejection>) -> Result<ProgressId, Refusal> {
    let malformed = Refusal::new(ErrorCode::Malformed, "A progress id is 8 to 64 letters, digits, - and _.");
    match path.map(|Path(id)| id.parse()) {
        Ok(Ok(id)) => Ok(id),
        Ok(Err(error)) => Err(malformed.caused_by(error)),
        Err(rejection) => Err(malformed.caused_by(rejection)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorBody;

    #[test]
    fn the_words_of_the_nginx_module() {
        let id: ProgressId = "abcdefgh".parse().unwrap();
        let check = |state, body_received, body_size, error: Option<ErrorCode>| {
            let error = error.map(|code| ErrorBody::new(code, ""));
            let frame = ProgressFrame {
                state,
                body_received,
                body_size,
                error,
                ..ProgressFrame::unknown(id.clone())
            };
            nginx_json(Some(&frame))
        };
        use ProgressState::*;
        assert_eq!(nginx_json(None), "{ \"state\" : \"starting\" }\r\n");
        assert_eq!(
            check(Receiving, 1_245_184, Some(3_000_195), None),
            "{ \"state\" : \"uploading\", \"received\" : 1245184, \"size\" : 3000195 }\r\n"
        );
        assert_eq!(check(Receiving, 5, None, None), "{ \"state\" : \"starting\" }\r\n");
        assert_eq!(check(Done, 9, Some(9), None), "{ \"state\" : \"done\" }\r\n");
        let too_large = "{ \"state\" : \"error\", \"status\" : 413 }\r\n";
        assert_eq!(check(Failed, 0, Some(9), Some(ErrorCode::TooLarge)), too_large);
        let aborted = "{ \"state\" : \"error\", \"status\" : 400 }\r\n";
        assert_eq!(check(Failed, 3, Some(9), Some(ErrorCode::Interrupted)), aborted);
        let stalled = "{ \"state\" : \"error\", \"status\" : 408 }\r\n";
        assert_eq!(check(Failed, 3, Some(9), Some(ErrorCode::TimedOut)), stalled);
    }
}
