//! What the server allows, told to the widget so that a person hears of a limit before anything is sent, and the words
//! for it, which are the same on both sides. Must never know how a limit is enforced.

use serde::{Deserialize, Serialize};

use super::{ErrorBody, ErrorCode};

/// The limits that concern a person picking files. `None` means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest file, in bytes.
    pub max_file_size: Option<u64>,
    /// Largest request body, in bytes.
    pub max_request_size: Option<u64>,
    /// Most files in one request.
    pub max_files_per_request: Option<u32>,
    /// Most bytes that one owner may have stored.
    pub max_bytes_per_owner: Option<u64>,
}

/// Why a file that is larger than this many bytes is refused, whoever says it first.
pub fn too_large(limit: u64) -> ErrorBody {
    let text = ["The file is larger than ", &in_words(limit), ", the most that is allowed."].concat();
    ErrorBody::new(ErrorCode::TooLarge, text).with_detail(limit.to_string())
}

/// A limit in bytes for a person who reads English: `10 MB`, `1.5 GB`, `999 B`. As [`cut`].
pub fn in_words(bytes: u64) -> String {
    let bytes = cut(bytes);
    let mut unit = 1_000_000_000_000_000_000;
    for name in ["EB", "PB", "TB", "GB", "MB", "kB"] {
        if bytes >= unit {
            let (whole, tenth) = ((bytes / unit).to_string(), (bytes % unit * 10 / unit).to_string());
            let tenth = if tenth == "0" { [""; 2] } else { [".", tenth.as_str()] };
            return [whole.as_str(), tenth[0], tenth[1], " ", name].concat();
        }
        unit /= 1000;
    }
    [&bytes.to_string(), " B"].concat()
}

/// A limit as it is told, in bytes: three digits of it, cut and not rounded, so that none looks larger than it is.
pub fn cut(bytes: u64) -> u64 {
    let mut unit = 1;
    while bytes / unit >= 1000 {
        unit *= 1000;
    }
    let step = if unit > 1 && bytes / unit < 100 { unit / 10 } else { unit };
    bytes - bytes % step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_limits_are_never_larger_than_they_are() {
        for (bytes, words) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1024, "1 kB"),
            (1_999_999, "1.9 MB"),
            (10 << 20, "10.4 MB"),
            (100 << 20, "104 MB"),
            (999_999_999, "999 MB"),
            (5_000_000_000, "5 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(in_words(bytes), words);
            assert!(cut(bytes) <= bytes);
        }
        let error = too_large(1_000_000);
        assert_eq!(error.message, "The file is larger than 1 MB, the most that is allowed.");
        assert_eq!((error.code, error.detail.as_deref()), (ErrorCode::TooLarge, Some("1000000")));
    }

    #[test]
    fn golden_json() {
        let limits = Limits { max_file_size: Some(10), ..Limits::default() };
        let json = r#"{"max_file_size":10,"max_request_size":null,"max_files_per_request":null,"max_bytes_per_owner":null}"#;
        assert_eq!(serde_json::to_string(&limits).unwrap(), json);
        assert_eq!(serde_json::from_str::<Limits>(json).unwrap(), limits);
        assert!(serde_json::from_str::<Limits>(r#"{"max_file_size":-1}"#).is_err());
    }
}
