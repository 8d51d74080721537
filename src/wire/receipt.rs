//! What the server says once a file is stored, and only then (promise 1). Must never know the path it lies at.

use serde::{Deserialize, Serialize};

use super::UploadId;

/// One stored file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The server's name for it.
    pub id: UploadId,
    /// The client's name for it: words for a person, never a path.
    pub name: String,
    /// Length in bytes, as stored.
    pub size: u64,
    /// The media type the client gave, or `application/octet-stream`.
    pub media_type: String,
    /// SHA-256 of what is stored, 64 lowercase hexadecimal digits, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was stored, milliseconds since 1970-01-01 UTC.
    pub stored_ms: u64,
    /// Path of the URL it can be fetched from and deleted at. Empty where the server told none.
    pub url: String,
    /// Its path inside the folder that the client picked, with `/`: words for a person, never a path here. Empty for a
    /// single file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What the client sent along: the text fields before it in its form, or the metadata of its upload, names and
    /// values in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
    /// What the server's word stands for.
    #[serde(default, skip_serializing_if = "Proof::is_stored")]
    pub proof: Proof,
}

/// What a server's word for a file stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// It is stored, in this length: the server has said so.
    #[default]
    Stored,
    /// The server answered with success and told nothing of what it stored: length and name are those of the file that
    /// was sent. What other servers' answers are worth, unless the page reads them.
    Accepted,
}

impl Proof {
    /// Whether the server has said what it stored.
    pub fn is_stored(&self) -> bool {
        *self == Self::Stored
    }
}

impl Receipt {
    /// For an answer that says that a file was taken, and no more. Name, length and kind are filled in from the file;
    /// the URL is the one the answer told, or empty.
    pub fn accepted(url: impl Into<String>) -> Self {
        Self { url: url.into(), proof: Proof::Accepted, ..Self::default() }
    }
}

/// The JSON answer to a form: `success`, `url` and `files` are what Fine Uploader, Uppy and jQuery File Upload look
/// for; their other members are ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadAnswer {
    /// Always true: a failure is a problem document instead.
    pub success: bool,
    /// Path of the URL of the first file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The stored files, in the order they came.
    pub files: Vec<Receipt>,
}

impl UploadAnswer {
    /// The answer for these files.
    pub fn new(files: Vec<Receipt>) -> Self {
        Self { success: true, url: files.first().map(|file| file.url.clone()), files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_json() {
        let receipt = Receipt {
            id: UploadId::from_bits([0; 16]),
            name: "été <&>\".txt".to_owned(),
            size: 6,
            media_type: "text/plain".to_owned(),
            sha256: None,
            stored_ms: 1_700_000_000_000,
            url: "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
            ..Receipt::default()
        };
        let json = concat!(
            r#"{"success":true,"url":"/files/aaaaaaaaaaaaaaaaaaaaaaaaaa","files":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaa","#,
            r#""name":"été <&>\".txt","size":6,"media_type":"text/plain","stored_ms":1700000000000,"#,
            r#""url":"/files/aaaaaaaaaaaaaaaaaaaaaaaaaa"}]}"#
        );
        let answer = UploadAnswer::new(vec![receipt]);
        assert_eq!(serde_json::to_string(&answer).unwrap(), json);
        assert_eq!(serde_json::from_str::<UploadAnswer>(json).unwrap(), answer);
    }
}
