//! What the server allows, checked once at the start, and the refusals that need nothing but a request's head. Must
//! never know how a body is read.

use std::time::Duration;

use super::{Refusal, catalog::Admitted};
use crate::wire::{self, ErrorCode};

/// Most parts, files and fields together, that a form may have. A fixed bound of the parser (promise 7).
pub const MAX_PARTS: u32 = 1000;

/// What the server allows. `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub max_file_size: Option<u64>,
    /// Largest request body, in bytes.
    pub max_request_size: Option<u64>,
    /// Most files in one request, at most [`MAX_PARTS`].
    pub max_files: u32,
    /// Most bytes that one owner may have stored.
    pub max_bytes_per_owner: Option<u64>,
    /// Bytes of the volume that uploads leave free.
    pub space_reserve: u64,
    /// Longest silence within a body.
    pub idle_timeout: Duration,
    /// Slowest body, in bytes per second.
    pub min_rate: Option<u64>,
}

impl Limits {
    /// What a person picking files is told.
    pub fn told(&self) -> wire::Limits {
        wire::Limits {
            max_file_size: self.max_file_size,
            max_request_size: self.max_request_size,
            max_files_per_request: Some(self.max_files),
            max_bytes_per_owner: self.max_bytes_per_owner,
        }
    }

    /// What is allowed to an upload that was admitted with this: no less than then.
    pub fn since(&self, admitted: &Admitted) -> Self {
        let larger = |now: Option<u64>, then: Option<u64>| Some(now?.max(then?));
        Self {
            max_file_size: larger(self.max_file_size, admitted.max_length),
            max_request_size: larger(self.max_request_size, admitted.max_request),
            ..self.clone()
        }
    }

    /// Whether a request that announces these sizes, in bytes, may be read at all.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`], with the limit in bytes as its detail.
    pub fn admit(&self, body_size: Option<u64>, file_size: Option<u64>) -> Result<(), Refusal> {
        if let Some(max) = exceeded(file_size, self.max_file_size) {
            return Err(too_large(max));
        }
        if let Some(max) = exceeded(body_size, self.max_request_size) {
            let most = wire::limits::in_words(max);
            let message =
                format!("The files sent at once are together larger than {most}, the most that is allowed.");
            return Err(Refusal::new(ErrorCode::TooLarge, message).with_detail(max));
        }
        Ok(())
    }
}

/// The refusal of a file that is larger than this many bytes, in the words in which the widget refuses it before.
pub(super) fn too_large(limit: u64) -> Refusal {
    let body = wire::limits::too_large(limit);
    Refusal::new(body.code, body.message).with_detail(limit)
}

fn exceeded(size: Option<u64>, max: Option<u64>) -> Option<u64> {
    max.filter(|max| size.is_some_and(|size| size > *max))
}

/// Units of size and how many bytes they are.
pub(super) const SIZE_UNITS: [(&str, u64); 10] = [
    ("PiB", 1 << 50),
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            max_file_size: Some(10 << 20),
            max_request_size: Some(1 << 30),
            max_files: 7,
            max_bytes_per_owner: None,
            space_reserve: 0,
            idle_timeout: Duration::from_secs(1),
            min_rate: None,
        }
    }

    #[test]
    fn what_is_announced_too_large_is_refused_with_the_limit() {
        let limits = limits();
        assert!(limits.admit(None, None).is_ok());
        assert!(limits.admit(Some(1 << 30), Some(10 << 20)).is_ok());
        let refusal = limits.admit(Some(1 << 20), Some((10 << 20) + 1)).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::TooLarge);
        assert_eq!(refusal.body.message, "The file is larger than 10.4 MB, the most that is allowed.");
        assert_eq!(refusal.body.detail.as_deref(), Some("10485760"));
        assert!(!refusal.body.retryable);
        let refusal = limits.admit(Some((1 << 30) + 1), None).unwrap_err();
        assert_eq!(refusal.body.detail.as_deref(), Some("1073741824"));
        let unlimited = Limits { max_file_size: None, max_request_size: None, ..limits };
        assert!(unlimited.admit(Some(u64::MAX), Some(u64::MAX)).is_ok());
    }

    #[test]
    fn what_was_admitted_is_never_less_than_what_is_allowed() {
        let limits = limits();
        let since = |max_length, max_request| {
            let Limits { max_file_size, max_request_size, .. } =
                limits.since(&Admitted { max_length, max_request });
            (max_file_size, max_request_size)
        };
        assert_eq!(since(Some(0), Some(0)), (Some(10 << 20), Some(1 << 30)));
        assert_eq!(since(Some(11 << 20), Some(1)), (Some(11 << 20), Some(1 << 30)));
        assert_eq!(since(None, None), (None, None));
        let unlimited = Limits { max_file_size: None, max_request_size: None, ..limits.clone() };
        let admitted = Admitted { max_length: Some(5), max_request: Some(5) };
        assert_eq!(unlimited.since(&admitted), unlimited);
    }

    #[test]
    fn a_person_is_told_the_limits_that_concern_files() {
        let told = limits().told();
        assert_eq!(told.max_file_size, Some(10 << 20));
        assert_eq!(told.max_request_size, Some(1 << 30));
        assert_eq!(told.max_files_per_request, Some(7));
        assert_eq!(told.max_bytes_per_owner, None);
    }
}
