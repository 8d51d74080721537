//! What whoever embeds the widget decides: one value, built from component props, island props or attributes. Must
//! never know where it came from.

use serde::{Deserialize, Serialize};

use super::Limits;

/// How the widget speaks to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Files from the threshold on as [`Self::Resumable`], smaller ones as [`Self::Form`].
    #[default]
    Auto,
    /// One `multipart/form-data` request for each file. A broken connection sends it again from its first byte.
    Form,
    /// Resumable Uploads for HTTP (the IETF's draft): a broken connection goes on at the byte the server has.
    Resumable,
    /// The same by tus 1.0, which many other servers speak.
    Tus,
}

impl Protocol {
    /// The word that is written in options, attributes and addresses.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "form" => Some(Self::Form),
            "resumable" => Some(Self::Resumable),
            "tus" => Some(Self::Tus),
            _ => None,
        }
    }
}

/// What kind of server takes the forms, and in which words it tells its count. Another server than ours cannot say
/// what it has stored: its success is shown as that and no more ([`super::Proof::Accepted`]), unless the page reads its
/// answer (`read_answer`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// A server like ours.
    #[default]
    Plimsoll,
    /// The nginx upload progress module, with any of its templates: JSON, JSONP or "java".
    Nginx,
    /// The two Django forms: djangosnippets 678, and `upload_status?key=`.
    Django,
    /// One that tells nothing while it receives.
    Plain,
}

impl Dialect {
    /// The word that is written in options and attributes.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "plimsoll" => Some(Self::Plimsoll),
            "nginx" => Some(Self::Nginx),
            "django" => Some(Self::Django),
            "plain" => Some(Self::Plain),
            _ => None,
        }
    }

    /// Whether the count at this address is asked for by a key of the page's own, the same for each of its uploads:
    /// the second of the Django forms.
    pub fn counts_by_key(self, progress: &str) -> bool {
        self == Self::Django && ["?key=", "&key="].iter().any(|key| find(progress, key).is_some())
    }
}

/// Where a part, never empty, begins in a text. The standard library's own way is quicker with long texts, and 3 KiB
/// longer in the bundle.
pub(crate) fn find(text: &str, part: &str) -> Option<usize> {
    text.as_bytes().windows(part.len()).position(|place| place == part.as_bytes())
}

/// Everything that can be set on a widget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// URL that forms are posted to.
    pub action: String,
    /// How files are sent.
    pub protocol: Protocol,
    /// URL that creates resumable uploads.
    pub resumable: String,
    /// Length in bytes from which [`Protocol::Auto`] makes an upload resumable.
    pub threshold: u64,
    /// Most bytes of one file in one request of a resumable upload, where something on the way takes no larger ones;
    /// `None` sends all that is left in one.
    pub slice: Option<u64>,
    /// Name of the form field that carries the file.
    pub field: String,
    /// Whether several files may be picked.
    pub multiple: bool,
    /// Accepted kinds, as in `<input accept>`: extensions, MIME types, wildcards. Empty accepts everything.
    pub accept: String,
    /// Most files that are stored or may be, at one time; `None` is no limit.
    pub max_files: Option<u32>,
    /// Largest file, in bytes, where the page wants less than the server allows; `None` is no limit of its own.
    pub max_size: Option<u64>,
    /// Most bytes of all files together that are stored or may be; `None` is no limit.
    pub max_total: Option<u64>,
    /// Whether a folder can be picked by a button of its own. Dropped folders are taken in any case.
    pub directory: bool,
    /// Whether files of a folder are taken whose names begin with a dot, or that lie in such a folder.
    pub dotfiles: bool,
    /// Which camera takes the picture on a phone, as in `<input capture>`: `user`, `environment`, or empty for files.
    pub capture: String,
    /// Whether files may be dropped anywhere on the page.
    pub drop_anywhere: bool,
    /// Whether rows of images and videos show small pictures of them, once there is nothing to begin sending.
    pub thumbnails: bool,
    /// Whether the browser asks before the page is left while something is sent.
    pub guard: bool,
    /// Whether the screen is kept on while something is sent, where the browser can do that.
    pub wake_lock: bool,
    /// Whether title and icon of the page's tab show how far all is: for pages that are there for uploads.
    pub title: bool,
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
    /// Address of the script that computes the SHA-256 of files in the browser: `/checksum.js` of the site folder. Each
    /// file is then hashed beside its sending, and counts as stored only when the server's digest is the same. The
    /// server is asked for its own as by `digest`; where it tells none, or the browser cannot compute one, the row
    /// says stored, and not that it was compared. Empty: nothing is computed and nothing compared.
    pub checksum: String,
    /// Longest side of pictures, in pixels: larger ones (JPEG, PNG and WebP that do not move) are made smaller in the
    /// browser before they are sent, and are then the file, with the same name and kind, that limits, tries and digests
    /// speak of. What a picture tells besides, time and place above all, is lost. One that would not become smaller in
    /// bytes, or that the browser cannot read, is sent as it is. `None` sends all pictures as they are.
    pub downscale: Option<u32>,
    /// Whether unfinished resumable uploads outlive the page: the browser keeps what it takes to go on with them, with
    /// their names, and up to half a gibibyte the file itself, until they end or two weeks after they were last
    /// worked on.
    pub remember: bool,
    /// Header fields of each request to the server, names and values. What the page says of one request
    /// (`before_request`) takes their place.
    pub headers: Vec<(String, String)>,
    /// Fields of each file, names and values: before it in its form, or metadata of its resumable upload.
    pub fields: Vec<(String, String)>,
    /// Whether cookies go along to another site, which must allow that (Fetch standard, CORS protocol).
    pub credentials: bool,
    /// Which kind of server answers at `progress`, and takes the forms.
    pub dialect: Dialect,
    /// What the server allows.
    pub limits: Limits,
    /// Language of the widget: a language tag (BCP 47). Empty: the nearest `lang` attribute around it, which the
    /// server cannot know; set it where pages are rendered there. A language without texts is English.
    pub lang: String,
    /// Folder of the texts of other languages than English, `de.json` and so on, which the browser fetches when the
    /// server has not written them into the page.
    pub languages: String,
    /// Texts in place of the widget's own, each with its key, as in `public/labels/en.json`.
    pub labels: Vec<(String, String)>,
}

impl Options {
    /// The most uploads at one time.
    pub const MAX_CONCURRENCY: u8 = 4;

    /// The distance of the server's checkpoints: of a file that is smaller, hardly ever a byte is safe on the disk
    /// before the last has arrived, so there is nothing to go on from, and a form saves two round trips.
    pub const THRESHOLD: u64 = 8 << 20;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            action: "/upload".to_owned(),
            protocol: Protocol::default(),
            resumable: "/files".to_owned(),
            threshold: Self::THRESHOLD,
            slice: None,
            field: "file".to_owned(),
            multiple: true,
            accept: String::new(),
            max_files: None,
            max_size: None,
            max_total: None,
            directory: false,
            dotfiles: true,
            capture: String::new(),
            drop_anywhere: false,
            thumbnails: true,
            guard: true,
            wake_lock: false,
            title: false,
            concurrency: 3,
            auto_start: true,
            retries: 4,
            progress: "/api/upload_progress".to_owned(),
            digest: false,
            checksum: String::new(),
            downscale: None,
            remember: true,
            headers: Vec::new(),
            fields: Vec::new(),
            credentials: false,
            dialect: Dialect::default(),
            limits: Limits::default(),
            lang: String::new(),
            languages: "/labels".to_owned(),
            labels: Vec::new(),
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

    #[test]
    fn a_protocol_is_read_as_it_is_written() {
        for protocol in [Protocol::Auto, Protocol::Form, Protocol::Resumable, Protocol::Tus] {
            let written = serde_json::to_value(protocol).unwrap();
            assert_eq!(Protocol::parse(written.as_str().unwrap()), Some(protocol));
        }
        assert_eq!(Protocol::parse("Form"), None);
        for dialect in [Dialect::Plimsoll, Dialect::Nginx, Dialect::Django, Dialect::Plain] {
            let written = serde_json::to_value(dialect).unwrap();
            assert_eq!(Dialect::parse(written.as_str().unwrap()), Some(dialect));
        }
    }
}
