//! What the server allows, told to the widget so that a person hears of a limit before anything is sent. Must never
//! know how a limit is enforced.

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_json() {
        let limits = Limits { max_file_size: Some(10), ..Limits::default() };
        let json = r#"{"max_file_size":10,"max_request_size":null,"max_files_per_request":null,"max_bytes_per_owner":null}"#;
        assert_eq!(serde_json::to_string(&limits).unwrap(), json);
        assert_eq!(serde_json::from_str::<Limits>(json).unwrap(), limits);
        assert!(serde_json::from_str::<Limits>(r#"{"max_file_size":-1}"#).is_err());
    }
}
