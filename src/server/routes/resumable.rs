//! `/files` and `/files/{id}`: uploads that are sent in pieces, by tus or by Resumable Uploads for HTTP, and whatever
//! else is done at these addresses. Which of them a request means stands in its head. Must never read a byte of a
//! body, nor know a rule of a protocol.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, RawQuery, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body::Body as _;
use tokio::time::MissedTickBehavior;

use super::{files, progress_id, upload};
use crate::{
    server::{
        Refusal, Server,
        body::drain_in_background,
        catalog::Words,
        listen::interim::Interim,
        multipart,
        protocol::{self, Dialect, fields::number, rufh, tus},
        questions,
        resumable::{self, Append, Creation, Ends, Overflow, Protocol, Rejected, Upload},
        security::{Visitor, wants_page},
        state::now_ms,
    },
    wire::{ErrorCode, ProgressId, UploadId, headers},
};

/// How often a client that understands it is told how far its request has come. As often as a checkpoint is taken.
const TELL_OFFSET: Duration = Duration::from_secs(1);

/// Methods of `/files`, for `Allow`.
const OF_ALL: &str = "OPTIONS, POST";

/// Methods of `/files/{id}`, for `Allow`.
const OF_ONE: &str = "OPTIONS, GET, HEAD, PUT, PATCH, DELETE";

/// `/files`: where uploads begin.
pub(super) async fn all(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let (call, dialect, body) = Call::of(server, visitor, query, request);
    let answer = match (&call.method, dialect) {
        (&Method::OPTIONS, _) => Ok(StatusCode::NO_CONTENT.into_response()),
        (_, Dialect::Tus) if let Err(refusal) = tus::version(&call.headers) => call.refuse(refusal, body),
        (&Method::POST, Dialect::Tus) => call.create_by_tus(body).await,
        (&Method::POST, Dialect::Rufh) => call.create_by_rufh(None, body).await,
        (&Method::POST, Dialect::Plain) => {
            let message = "An upload begins here with Upload-Complete or Tus-Resumable. Forms go to /upload.";
            call.refuse(Refusal::new(ErrorCode::Malformed, message), body)
        }
        _ => Ok(call.not_allowed(OF_ALL, body)),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// `/files/{id}`: an upload on its way, or the file that it has become; and `PUT /files/{name}`.
pub(super) async fn one(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let (call, dialect, body) = Call::of(server, visitor, query, request);
    let answer = match (&call.method, dialect) {
        (&Method::OPTIONS, _) => Ok(StatusCode::NO_CONTENT.into_response()),
        (_, Dialect::Tus) if let Err(refusal) = tus::version(&call.headers) => call.refuse(refusal, body),
        (&Method::PUT, Dialect::Rufh) => match upload::name(path) {
            Ok(name) => call.create_by_rufh(Some(name), body).await,
            Err(refusal) => call.refuse(refusal, body),
        },
        (&Method::PUT, Dialect::Plain) => call.put_whole(path, body).await,
        (&Method::GET | &Method::HEAD | &Method::PATCH | &Method::DELETE, _) => match files::parse(path) {
            Ok(id) => call.at(&id, dialect, body).await,
            Err(refusal) => call.refuse(refusal, body),
        },
        _ => Ok(call.not_allowed(OF_ONE, body)),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// What answers from these addresses carry whoever writes them, a refusal at the door as well: to `OPTIONS`, what is
/// spoken here; to tus, its version; with a limit that was passed, the limits.
pub(super) async fn accompany(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let method = protocol::method(request.method(), request.headers());
    let is_tus = protocol::dialect(&method, request.headers()) == Dialect::Tus;
    let mut response = next.run(request).await;
    let (config, status) = (server.config(), response.status());
    let answer = response.headers_mut();
    if method == Method::OPTIONS {
        protocol::offer(answer, &config.limits, config.max_age.as_secs());
    } else if is_tus {
        answer.insert(headers::TUS_RESUMABLE, tus::VERSION);
        if status == StatusCode::PRECONDITION_FAILED {
            answer.insert(headers::TUS_VERSION, tus::VERSION);
        }
    } else if status == StatusCode::PAYLOAD_TOO_LARGE
        && let Ok(limit) = HeaderValue::from_str(&rufh::limit(&config.limits, None))
    {
        answer.insert(headers::UPLOAD_LIMIT, limit);
    }
    response
}

/// One request, without its body.
struct Call {
    server: Arc<Server>,
    visitor: Visitor,
    /// The one that is meant.
    method: Method,
    headers: HeaderMap,
    query: Option<String>,
    /// Where it can be answered before its body has been read.
    interim: Option<Interim>,
}

impl Call {
    fn of(
        server: Arc<Server>,
        visitor: Visitor,
        query: Option<String>,
        request: Request,
    ) -> (Self, Dialect, Body) {
        let (parts, body) = request.into_parts();
        let method = protocol::method(&parts.method, &parts.headers);
        let dialect = protocol::dialect(&method, &parts.headers);
        let interim = parts.extensions.get().cloned();
        (Self { server, visitor, method, headers: parts.headers, query, interim }, dialect, body)
    }

    /// A request at the address of one upload.
    async fn at(&self, id: &UploadId, dialect: Dialect, body: Body) -> Result<Response, Refusal> {
        match (&self.method, dialect) {
            (&Method::PATCH, Dialect::Tus) => return self.append_by_tus(id, body).await,
            (&Method::PATCH, Dialect::Rufh) => return self.append_by_rufh(id, body).await,
            (&Method::PATCH, Dialect::Plain) => {
                let message = "Pieces of an upload come as application/partial-upload.";
                let refusal = Refusal::new(ErrorCode::UnsupportedMediaType, message);
                let mut response = refusal.with_detail(rufh::CONTENT_TYPE).into_response();
                let accepted = HeaderValue::from_static(rufh::CONTENT_TYPE);
                response.headers_mut().insert(headers::ACCEPT_PATCH, accepted);
                drain_in_background(body);
                return Ok(response);
            }
            _ => {}
        }
        drain_in_background(body);
        match (&self.method, dialect) {
            (&Method::DELETE, _) => self.delete(id).await,
            (&Method::HEAD, Dialect::Tus) => {
                Ok(tus::state(&resumable::state(&self.server, id, &self.visitor).await?))
            }
            (_, Dialect::Tus) => self.download(id).await,
            _ => self.download_or_state(id).await,
        }
    }

    async fn create_by_tus(&self, body: Body) -> Result<Response, Refusal> {
        let (creation, progress_id, body_size) = match self.with_common(tus::creation(&self.headers)) {
            Ok(understood) => understood,
            Err(refusal) => return self.refuse(refusal, body),
        };
        let (metadata, length, partial, content, joined) = match creation {
            tus::Create::Sent(tus::Creation { length, metadata, partial, content }) => {
                (metadata, length, partial, content, None)
            }
            tus::Create::Joined { metadata, parts, concat } => {
                (metadata, None, false, None, Some((parts, concat)))
            }
        };
        let text = metadata.as_ref().map(|metadata| metadata.text.clone());
        let creation = Creation {
            metadata: text,
            length,
            concat: match &joined {
                Some((_, concat)) => Some(concat.clone()),
                None => partial.then(|| "partial".to_owned()),
            },
            partial,
            ..self.creation(Protocol::Tus, metadata.unwrap_or_default(), progress_id.clone())
        };
        if let Some((parts, _)) = joined {
            drain_in_background(body);
            return Ok(tus::created(&resumable::concatenate(&self.server, creation, parts).await?, false));
        }
        let upload = match self.begin(creation).await {
            Ok(upload) => upload,
            Err(refusal) => return self.refuse(refusal, body),
        };
        let Some(chunk_digest) = content else {
            // What this body is, nobody said: it does not belong to the upload.
            drain_in_background(body);
            return Ok(tus::created(&upload, false));
        };
        let append = Append {
            visitor: self.visitor.clone(),
            offset: 0,
            length: None,
            ends: Ends::AtLength,
            chunk_digest,
            overflow: Overflow::Refuse,
            body_size,
            progress_id,
        };
        match resumable::append(&self.server, &upload.id, append, body).await {
            Ok(upload) => Ok(tus::created(&upload, true)),
            Err(rejected) => Ok(self.half_begun(&upload.id, rejected, tus::rejected).await),
        }
    }

    async fn append_by_tus(&self, id: &UploadId, body: Body) -> Result<Response, Refusal> {
        let (append, progress_id, body_size) = match self.with_common(tus::append(&self.headers)) {
            Ok(understood) => understood,
            Err(refusal) => return self.refuse(refusal, body),
        };
        let append = Append {
            visitor: self.visitor.clone(),
            offset: append.offset,
            length: append.length,
            ends: Ends::AtLength,
            chunk_digest: append.digest,
            overflow: Overflow::Refuse,
            body_size,
            progress_id,
        };
        match resumable::append(&self.server, id, append, body).await {
            Ok(upload) => Ok(tus::appended(&upload)),
            Err(rejected) => Ok(tus::rejected(rejected)),
        }
    }

    async fn create_by_rufh(&self, name: Option<String>, body: Body) -> Result<Response, Refusal> {
        let (creation, progress_id, body_size) = match self.with_common(rufh::creation(&self.headers)) {
            Ok((Some(creation), progress_id, body_size)) => (creation, progress_id, body_size),
            Ok((None, ..)) => {
                let message = "Upload-Complete has to say whether this is the whole file.";
                return self.refuse(Refusal::new(ErrorCode::Malformed, message), body);
            }
            Err(refusal) => return self.refuse(refusal, body),
        };
        // The draft has no place of its own for a path or for fields.
        let metadata = match tus::metadata(&self.headers) {
            Ok(metadata) => metadata.unwrap_or_default(),
            Err(refusal) => return self.refuse(refusal, body),
        };
        let rufh::Creation { complete, length, content_digest, repr_digest, want_sha256, .. } = creation;
        let metadata = tus::Metadata {
            name: creation.name.or(name).or(metadata.name),
            media_type: creation.media_type.or(metadata.media_type),
            ..metadata
        };
        let creation = Creation {
            length,
            repr_digest,
            want_sha256,
            ..self.creation(Protocol::Rufh, metadata, progress_id.clone())
        };
        let upload = match self.begin(creation).await {
            Ok(upload) => upload,
            Err(refusal) => return self.refuse(refusal, body),
        };
        let limits = &self.server.config().limits;
        if !complete && body.is_end_stream() {
            return Ok(rufh::created(&upload, limits, now_ms()));
        }
        self.tell_address(&upload);
        let append = Append {
            visitor: self.visitor.clone(),
            offset: 0,
            length: None,
            ends: if complete { Ends::Here } else { Ends::Later },
            chunk_digest: content_digest,
            overflow: Overflow::Invalidate,
            body_size,
            progress_id,
        };
        match self.append_by_rufh_to(&upload.id, append, body).await {
            Ok(upload) => Ok(match &upload.receipt {
                Some(receipt) => rufh::finished(receipt, StatusCode::CREATED),
                None => rufh::created(&upload, limits, now_ms()),
            }),
            Err(rejected) => {
                let answer = |rejected| rufh::rejected(rejected, 0, false);
                Ok(self.half_begun(&upload.id, rejected, answer).await)
            }
        }
    }

    async fn append_by_rufh(&self, id: &UploadId, body: Body) -> Result<Response, Refusal> {
        let (append, progress_id, body_size) = match self.with_common(rufh::append(&self.headers)) {
            Ok(understood) => understood,
            Err(refusal) => return self.refuse(refusal, body),
        };
        let provided = append.offset;
        let append = Append {
            visitor: self.visitor.clone(),
            offset: append.offset,
            length: append.length,
            ends: if append.complete { Ends::Here } else { Ends::Later },
            chunk_digest: append.content_digest,
            overflow: Overflow::Invalidate,
            body_size,
            progress_id,
        };
        match self.append_by_rufh_to(id, append, body).await {
            Ok(upload) => Ok(match &upload.receipt {
                Some(receipt) => rufh::finished(receipt, StatusCode::OK),
                None => rufh::appended(&upload, &self.server.config().limits, now_ms()),
            }),
            Err(rejected) => {
                let is_whole = matches!(self.server.catalog().find(id).await, Ok(Some(_)));
                Ok(rufh::rejected(rejected, provided, is_whole))
            }
        }
    }

    /// `PUT` without a protocol: the body is the file, in this one request.
    async fn put_whole(
        self,
        path: Result<Path<String>, PathRejection>,
        body: Body,
    ) -> Result<Response, Refusal> {
        let Self { server, visitor, headers, query, .. } = self;
        upload::put_raw(server, visitor, path, query.as_deref(), &headers, body).await
    }

    async fn download(&self, id: &UploadId) -> Result<Response, Refusal> {
        files::download(&self.server, id, &self.method, &self.headers).await
    }

    /// A file; or how far it is, where it is none yet. A person who looks at such an address must not stop the
    /// upload by it.
    async fn download_or_state(&self, id: &UploadId) -> Result<Response, Refusal> {
        match self.download(id).await {
            Err(refusal) if refusal.code() == ErrorCode::NotFound && !wants_page(&self.headers) => {}
            answer => return answer,
        }
        match resumable::state(&self.server, id, &self.visitor).await {
            // It has ended this very moment.
            Ok(upload) if upload.receipt.is_some() => self.download(id).await,
            Ok(upload) => Ok(rufh::state(&upload, &self.server.config().limits, now_ms())),
            Err(refusal) if refusal.code() == ErrorCode::Gone && self.method == Method::GET => {
                Err(Refusal::new(ErrorCode::NotFound, "There is no such upload.").caused_by(refusal))
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn delete(&self, id: &UploadId) -> Result<Response, Refusal> {
        match resumable::cancel(&self.server, id, &self.visitor).await {
            Ok(()) => {}
            // None on its way: perhaps one that has arrived.
            Err(refusal) if refusal.code() == ErrorCode::NotFound => {
                questions::delete(&self.server, &self.visitor, id).await?;
            }
            Err(refusal) => return Err(refusal),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Begins an upload. A client that counts its tries may have lost the answer to an earlier one: it gets that again.
    async fn begin(&self, creation: Creation) -> Result<Upload, Refusal> {
        if self.headers.contains_key(headers::ATTEMPT) {
            resumable::create_once(&self.server, creation).await
        } else {
            resumable::create(&self.server, creation).await
        }
    }

    /// An upload of this visitor; what the protocols say differently of it is not filled in.
    fn creation(&self, protocol: Protocol, said: tus::Metadata, progress_id: Option<ProgressId>) -> Creation {
        let tus::Metadata { name, media_type, path, fields, .. } = said;
        let name = name.unwrap_or_else(|| multipart::UNNAMED.to_owned());
        let media_type = media_type.unwrap_or_else(|| upload::BINARY.to_owned());
        Creation {
            visitor: self.visitor.clone(),
            words: Words { name, media_type, path, fields },
            protocol,
            metadata: None,
            concat: None,
            length: None,
            partial: false,
            progress_id,
            repr_digest: None,
            want_sha256: false,
        }
    }

    /// The version that the client says it understands interim responses of, if they can be sent.
    fn early(&self) -> Option<(&Interim, u64)> {
        let version = rufh::interop_version(&self.headers)?;
        let is_ours = self.server.config().rufh_interop.contains(&version);
        self.interim.as_ref().filter(|_| is_ours).map(|interim| (interim, version))
    }

    /// Tells the client where it can go on, should this request be cut.
    fn tell_address(&self, upload: &resumable::Upload) {
        if let Some((interim, version)) = self.early() {
            let limits = &self.server.config().limits;
            interim.send(&rufh::supported(upload, limits, version, now_ms()));
        }
    }

    /// Appends, and tells the client meanwhile how much of it is durable: what it will not have to send again.
    async fn append_by_rufh_to(
        &self,
        id: &UploadId,
        append: Append,
        body: Body,
    ) -> Result<resumable::Upload, Rejected> {
        let mut told = append.offset;
        let mut appending = pin!(resumable::append(&self.server, id, append, body));
        let Some((interim, version)) = self.early() else { return appending.await };
        let mut tick = tokio::time::interval(TELL_OFFSET);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                appended = &mut appending => return appended,
                _ = tick.tick() => {
                    if let Ok(Some(pieces)) = self.server.catalog().pieces(id).await && pieces.durable > told {
                        told = pieces.durable;
                        interim.send(&rufh::proceeds(told, version));
                    }
                }
            }
        }
    }

    /// An upload was begun, and the content that came along was not taken. What can go on keeps its address, and the
    /// client hears of it; of what cannot, nothing is left behind.
    async fn half_begun(
        &self,
        id: &UploadId,
        rejected: Rejected,
        answer: impl FnOnce(Rejected) -> Response,
    ) -> Response {
        // Whoever took its place was told an offset, and goes on from there.
        let is_taken_over = rejected.refusal.code() == ErrorCode::Superseded;
        let can_go_on = rejected.at.is_some() && (rejected.refusal.body.retryable || is_taken_over);
        if !can_go_on && let Err(error) = resumable::cancel(&self.server, id, &self.visitor).await {
            tracing::debug!(%id, %error, "an upload that could not begin was gone already");
        }
        let mut response = answer(rejected);
        if can_go_on && let Ok(location) = HeaderValue::from_str(&protocol::location(id)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    /// What a protocol says, and what every request with a body may say: its progress id and its length in bytes.
    fn with_common<T>(
        &self,
        said: Result<T, Refusal>,
    ) -> Result<(T, Option<ProgressId>, Option<u64>), Refusal> {
        let progress_id = progress_id(&self.headers, self.query.as_deref());
        Ok((said?, progress_id?, number(&self.headers, header::CONTENT_LENGTH.as_str())?))
    }

    /// A refusal before the body is read; it is drained, so that the client gets to see why.
    fn refuse(&self, refusal: Refusal, body: Body) -> Result<Response, Refusal> {
        drain_in_background(body);
        Err(refusal)
    }

    fn not_allowed(&self, allowed: &'static str, body: Body) -> Response {
        drain_in_background(body);
        let mut response = super::not_allowed().into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        response
    }
}
