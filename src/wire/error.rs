//! Errors as data (promise 12): a code for programs, a sentence for a person, and whether trying again can help.
//! Must never know HTTP status codes: the server maps codes to statuses in one file of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One error as it travels, the members of an RFC 9457 problem that are ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, one sentence for a person.
    pub message: String,
    /// Whether the same request may succeed later. The client believes this over any status.
    pub retryable: bool,
    /// The number or name the sentence speaks of (a limit in bytes, a field), for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ErrorBody {
    /// An error with its code's own view of whether a retry can help.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable(), detail: None }
    }

    /// The same error with the number or name its sentence speaks of.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ErrorBody {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $retry:literal;)+) => {
        /// Every way an upload can go wrong. Closed: a client can match on all of it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl ErrorCode {
            /// Every code, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as it is written on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The code written so, if there is one.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)+ _ => None }
            }

            /// Whether the same request may succeed later, unless the error says otherwise.
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retry,)+ }
            }
        }
    };
}

codes! {
    /// The request breaks its own format (multipart, header, query).
    Malformed = "malformed", false;
    /// The body ended before it was complete, or its connection broke.
    Interrupted = "interrupted", true;
    /// The body, or one file in it, is larger than allowed.
    TooLarge = "too-large", false;
    /// More files than allowed.
    TooManyFiles = "too-many-files", false;
    /// More parts, headers or field bytes than a form may have.
    FormTooComplex = "form-too-complex", false;
    /// The kind of file is not accepted.
    TypeNotAccepted = "type-not-accepted", false;
    /// The form held no file.
    NoFile = "no-file", false;
    /// This address does not take requests of this method.
    MethodNotAllowed = "method-not-allowed", false;
    /// The request speaks a version of its protocol that the server does not.
    UnsupportedVersion = "unsupported-version", false;
    /// The content type of the request is none that this route takes.
    UnsupportedMediaType = "unsupported-media-type", false;
    /// The file's length differs from what was announced.
    LengthMismatch = "length-mismatch", false;
    /// The content of one request differs from the checksum sent with it; nothing of it was kept.
    ChecksumMismatch = "checksum-mismatch", true;
    /// The file's digest differs from what was announced; made by clients also when what the server says it stored
    /// differs from the file.
    DigestMismatch = "digest-mismatch", false;
    /// The request came from another site, without leave.
    ForbiddenOrigin = "forbidden-origin", false;
    /// One must identify oneself first.
    Unauthorized = "unauthorized", false;
    /// Not one's own.
    Forbidden = "forbidden", false;
    /// There is no such upload.
    NotFound = "not-found", false;
    /// There was such an upload; it was deleted or has expired.
    Gone = "gone", false;
    /// The progress id belongs to another upload that is still running.
    ProgressIdInUse = "progress-id-in-use", false;
    /// The upload is at another offset.
    OffsetMismatch = "offset-mismatch", true;
    /// Too many uploads are open.
    TooManyUploads = "too-many-uploads", true;
    /// The owner's share of the space is used up.
    QuotaExceeded = "quota-exceeded", false;
    /// The server has no space left.
    OutOfSpace = "out-of-space", true;
    /// Nothing arrived for longer than the server waits.
    TimedOut = "timed-out", true;
    /// The body arrives more slowly than the server allows.
    TooSlow = "too-slow", true;
    /// The person stopped the upload.
    Cancelled = "cancelled", false;
    /// A newer request for the same upload took its place.
    Superseded = "superseded", false;
    /// The server is shutting down.
    ShuttingDown = "shutting-down", true;
    /// The storage failed.
    StorageFailed = "storage-failed", true;
    /// A fault of the server.
    Internal = "internal", true;
    /// The page that the widget stands on will not have it sent. Made by clients, never sent.
    Declined = "declined", false;
    /// The same file is in the list already. Made by clients, never sent.
    Duplicate = "duplicate", false;
    /// The network failed; no answer came. Made by clients, never sent.
    Network = "network", true;
    /// The file is not the one that the upload was begun with: it has changed on the disk, or another was picked.
    /// Made by clients, never sent.
    FileChanged = "file-changed", false;
    /// An answer came that is not of this protocol. Made by clients, never sent.
    BadAnswer = "bad-answer", false;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_once_and_read_back() {
        let mut seen = std::collections::HashSet::new();
        for &code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
        assert_eq!(ErrorCode::parse("no such code"), None);
    }

    #[test]
    fn golden_json() {
        let error =
            ErrorBody::new(ErrorCode::TooLarge, "The file is larger than 10 MB.").with_detail("10000000");
        let json = r#"{"code":"too-large","message":"The file is larger than 10 MB.","retryable":false,"detail":"10000000"}"#;
        assert_eq!(serde_json::to_string(&error).unwrap(), json);
        assert_eq!(serde_json::from_str::<ErrorBody>(json).unwrap(), error);
        assert!(
            serde_json::from_str::<ErrorBody>(r#"{"code":"new","message":"","retryable":false}"#).is_err()
        );
    }
}
