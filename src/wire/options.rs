//! What whoever embeds the widget decides: one value, built from component props, island props or attributes. Must
//! never know where it came from.

use serde::{Deserialize, Serialize};

use super::Limits;

/// How the widget speaks to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// One `multipart/form-data` request for each file.
    #[default]
    Form,
}

/// Everything that can be set on a widget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// URL that the files are posted to.
    pub action: String,
    /// How they are sent.
    pub protocol: Protocol,
    /// Name of the form field that carries the file.
    pub field: String,
    /// Whether several files may be picked.
    pub multiple: bool,
    /// Accepted kinds, as in `<input accept>`: extensions, MIME types, wildcards. Empty accepts everything.
    pub accept: String,
    /// Most files in the list at one time; `None` is no limit.
    pub max_files: Option<u32>,
    /// Uploads at one time, 1 to 4: over HTTP/1.1 a browser opens six connections to a server, and a progress poll
    /// must always find one.
    pub concurrency: u8,
    /// Whether sending starts as soon as files are picked.
    pub auto_start: bool,
    /// How often a failed request is tried again before the person is asked, when trying again can help.
    pub retries: u8,
    /// URL of the server function that tells the server's own count. Empty: there is none, and the bar can show
    /// only what was sent until the answer comes.
    pub progress: String,
    /// Whether the server is asked for the SHA-256 of what it stored.
    pub digest: bool,
    /// What the server allows.
    pub limits: Limits,
}

impl Options {
    /// The most uploads at one time.
    pub const MAX_CONCURRENCY: u8 = 4;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            action: "/upload".to_owned(),
            protocol: Protocol::default(),
            field: "file".to_owned(),
            multiple: true,
            accept: String::new(),
            max_files: None,
            concurrency: 3,
            auto_start: true,
            retries: 4,
            progress: "/api/upload_progress".to_owned(),
            digest: false,
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default() {
        let options: Options = serde_json::from_str(r#"{"action":"/elsewhere","digest":true}"#).unwrap();
        assert_eq!(options, Options { action: "/elsewhere".to_owned(), digest: true, ..Options::default() });
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
        assert!(serde_json::from_str::<Options>(r#"{"protocol":"carrier pigeon"}"#).is_err());
    }
}
