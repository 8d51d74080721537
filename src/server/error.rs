//! Refusals: errors that are responses. The one file of the server that names status codes. Must never know a route.

use std::error::Error;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::wire::{ErrorBody, ErrorCode};

/// An error as the client hears it (promises 9 and 12), with its cause for the log. A 5xx tells the client little;
/// its source is logged when it becomes a response.
#[derive(Debug)]
pub struct Refusal {
    /// What the client is told.
    pub body: ErrorBody,
    source: Option<Box<dyn Error + Send + Sync>>,
    retry_after_s: Option<u32>,
    problem: Option<ProblemType>,
}

/// Problem types of others (RFC 9457, section 3.1.1), with the members that they have besides ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum ProblemType {
    /// Of Resumable Uploads for HTTP: a piece begins elsewhere than where the upload ends.
    #[serde(rename = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset")]
    MismatchingUploadOffset {
        /// Where the upload ends, in bytes.
        #[serde(rename = "expected-offset")]
        expected: u64,
        /// Where the piece begins, in bytes.
        #[serde(rename = "provided-offset")]
        provided: u64,
    },
    /// Of Resumable Uploads for HTTP: two lengths of one upload.
    #[serde(rename = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length")]
    InconsistentUploadLength,
}

impl Refusal {
    /// A refusal with a sentence for a person.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { body: ErrorBody::new(code, message), source: None, retry_after_s: None, problem: None }
    }

    /// The same refusal with the number or name that its sentence speaks of.
    pub fn with_detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.body.detail = Some(detail.to_string());
        self
    }

    /// The same refusal with its cause, for the log.
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same refusal, with the number of seconds after which a retry makes sense.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The same refusal as a problem of this type.
    pub fn of_type(mut self, problem: ProblemType) -> Self {
        self.problem = Some(problem);
        self
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> ErrorCode {
        self.body.code
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        status(self.body.code)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.body.code, self.body.message)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// The status that stands for a code.
pub fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as C;
    match code {
        C::Malformed
        | C::Interrupted
        | C::FormTooComplex
        | C::NoFile
        | C::LengthMismatch
        | C::DigestMismatch => StatusCode::BAD_REQUEST,
        C::Cancelled | C::Declined | C::Duplicate | C::Network | C::FileChanged | C::BadAnswer => {
            StatusCode::BAD_REQUEST
        }
        C::Unauthorized => StatusCode::UNAUTHORIZED,
        C::Forbidden | C::ForbiddenOrigin => StatusCode::FORBIDDEN,
        C::NotFound => StatusCode::NOT_FOUND,
        C::TimedOut | C::TooSlow => StatusCode::REQUEST_TIMEOUT,
        C::ProgressIdInUse | C::OffsetMismatch | C::Superseded => StatusCode::CONFLICT,
        C::Gone => StatusCode::GONE,
        C::TooLarge | C::TooManyFiles | C::QuotaExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        C::UnsupportedMediaType | C::TypeNotAccepted => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        C::TooManyUploads => StatusCode::TOO_MANY_REQUESTS,
        C::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        C::UnsupportedVersion => StatusCode::PRECONDITION_FAILED,
        // tus has a number of its own, which no registry knows.
        C::ChecksumMismatch => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
        C::StorageFailed | C::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        C::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        C::OutOfSpace => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// A problem document of RFC 9457; without a type of its own it is of the default, `about:blank`. `code`, `message`
/// and `retryable` are our extension members; `detail` is the number or name that the message speaks of.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(flatten)]
    problem: Option<ProblemType>,
    title: &'a str,
    status: u16,
    #[serde(flatten)]
    body: &'a ErrorBody,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(code = %self.body.code, source = ?self.source, "{}", self.body.message);
        } else {
            tracing::info!(code = %self.body.code, source = ?self.source, "refused: {}", self.body.message);
        }
        let problem = Problem {
            problem: self.problem,
            // 460 has no reason of its own.
            title: status.canonical_reason().unwrap_or("Checksum Mismatch"),
            status: status.as_u16(),
            body: &self.body,
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Whoever renders pages can make one of this for a person.
        response.extensions_mut().insert(self.body);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status() {
        for &code in ErrorCode::ALL {
            let status = status(code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
        }
    }

    #[test]
    fn a_problem_of_another_type_has_the_members_of_both() {
        let problem = |refusal: &Refusal| {
            let problem =
                Problem { problem: refusal.problem, title: "Conflict", status: 409, body: &refusal.body };
            serde_json::to_string(&problem).unwrap()
        };
        let plain = Refusal::new(ErrorCode::OffsetMismatch, "No.");
        let ours =
            r#""title":"Conflict","status":409,"code":"offset-mismatch","message":"No.","retryable":true}"#;
        assert_eq!(problem(&plain), format!("{{{ours}"));
        let typed = plain.of_type(ProblemType::MismatchingUploadOffset { expected: 5, provided: 7 });
        let theirs = r#"{"type":"https://iana.org/assignments/http-problem-types#mismatching-upload-offset","expected-offset":5,"provided-offset":7,"#;
        assert_eq!(problem(&typed), format!("{theirs}{ours}"));
    }

    #[test]
    fn a_fault_tells_the_client_nothing_of_its_source() {
        let refusal = Refusal::new(ErrorCode::StorageFailed, "The file could not be stored.")
            .caused_by(std::io::Error::other("/secret/path"));
        assert!(refusal.source().is_some());
        assert!(!serde_json::to_string(&refusal.body).unwrap().contains("secret"));
    }
}
