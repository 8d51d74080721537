//! What the server says, from JSON to the types of `wire`: parsed by the browser's own parser, whose code costs the
//! page nothing. Must never know where a text came from; a text that is not what it should be is `None`.

use std::str::FromStr;

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use crate::wire::{
    Dialect, ErrorBody, ErrorCode, Limits, Options, ProgressFrame, ProgressState, Proof, Protocol, Receipt,
};

/// The first stored file of an answer to a form.
pub(super) fn first_receipt(text: &str) -> Option<Receipt> {
    let files = field(&JSON::parse(text).ok()?, "files");
    receipt(&list(&files)?.get(0))
}

/// The receipt in the answer that ends a resumable upload: as for a form, or alone.
pub(super) fn receipt_of(text: &str) -> Option<Receipt> {
    first_receipt(text).or_else(|| receipt(&JSON::parse(text).ok()?))
}

/// The frames of an answer to a progress poll. One that cannot be read is left out: it means "not yet".
pub(super) fn frames(text: &str) -> Option<Vec<ProgressFrame>> {
    let answer = JSON::parse(text).ok()?;
    Some(list(&answer)?.iter().filter_map(|value| frame(&value)).collect())
}

/// The error in a problem document (RFC 9457 with our members, or what other servers write instead). Where the
/// server gave no sentence the message is empty; where it gave no code of ours the status stands for it.
pub(super) fn problem(text: &str, status: u16) -> ErrorBody {
    let value = JSON::parse(text).unwrap_or(JsValue::UNDEFINED);
    error_body(&value).unwrap_or_else(|| {
        let said = ["message", "detail", "error", "title"].iter().find_map(|key| string(&value, key));
        let said = said.or_else(|| value.as_string());
        ErrorBody::new(code_of(status), said.unwrap_or_default())
    })
}

/// The set-up of a widget as the server wrote it into the page.
pub(super) fn setup(text: &str) -> Option<(Options, Vec<Receipt>)> {
    let value = JSON::parse(text).ok()?;
    let uploads = list(&field(&value, "uploads"))?.iter().filter_map(|value| receipt(&value)).collect();
    Some((options(&field(&value, "options")), uploads))
}

/// The texts of a language: an object of keys and texts.
pub(super) fn texts(text: &str) -> Option<Vec<(String, String)>> {
    let value: Object = JSON::parse(text).ok()?.dyn_into().ok()?;
    Some(pairs(&Object::entries(&value)))
}

fn options(value: &JsValue) -> Options {
    let default = Options::default();
    let limits = field(value, "limits");
    Options {
        action: string(value, "action").unwrap_or(default.action),
        protocol: string(value, "protocol")
            .and_then(|word| Protocol::parse(&word))
            .unwrap_or(default.protocol),
        resumable: string(value, "resumable").unwrap_or(default.resumable),
        threshold: number(value, "threshold").unwrap_or(default.threshold),
        slice: number(value, "slice"),
        field: string(value, "field").unwrap_or(default.field),
        multiple: truth(value, "multiple").unwrap_or(default.multiple),
        accept: string(value, "accept").unwrap_or(default.accept),
        max_files: small(value, "max_files"),
        concurrency: small(value, "concurrency").unwrap_or(default.concurrency),
        auto_start: truth(value, "auto_start").unwrap_or(default.auto_start),
        retries: small(value, "retries").unwrap_or(default.retries),
        progress: string(value, "progress").unwrap_or(default.progress),
        digest: truth(value, "digest").unwrap_or(default.digest),
        checksum: string(value, "checksum").unwrap_or(default.checksum),
        downscale: small(value, "downscale"),
        remember: truth(value, "remember").unwrap_or(default.remember),
        headers: pairs(&field(value, "headers")),
        fields: pairs(&field(value, "fields")),
        credentials: truth(value, "credentials").unwrap_or(default.credentials),
        directory: truth(value, "directory").unwrap_or(default.directory),
        dotfiles: truth(value, "dotfiles").unwrap_or(default.dotfiles),
        capture: string(value, "capture").unwrap_or(default.capture),
        drop_anywhere: truth(value, "drop_anywhere").unwrap_or(default.drop_anywhere),
        max_size: number(value, "max_size"),
        max_total: number(value, "max_total"),
        thumbnails: truth(value, "thumbnails").unwrap_or(default.thumbnails),
        guard: truth(value, "guard").unwrap_or(default.guard),
        wake_lock: truth(value, "wake_lock").unwrap_or(default.wake_lock),
        title: truth(value, "title").unwrap_or(default.title),
        dialect: string(value, "dialect").and_then(|word| Dialect::parse(&word)).unwrap_or(default.dialect),
        limits: Limits {
            max_file_size: number(&limits, "max_file_size"),
            max_request_size: number(&limits, "max_request_size"),
            max_files_per_request: small(&limits, "max_files_per_request"),
            max_bytes_per_owner: number(&limits, "max_bytes_per_owner"),
        },
        lang: string(value, "lang").unwrap_or(default.lang),
        languages: string(value, "languages").unwrap_or(default.languages),
        labels: pairs(&field(value, "labels")),
    }
}

fn frame(value: &JsValue) -> Option<ProgressFrame> {
    Some(ProgressFrame {
        id: parsed(value, "id")?,
        attempt: small(value, "attempt")?,
        seq: number(value, "seq")?,
        state: match string(value, "state")?.as_str() {
            "unknown" => ProgressState::Unknown,
            "receiving" => ProgressState::Receiving,
            "processing" => ProgressState::Processing,
            "done" => ProgressState::Done,
            "failed" => ProgressState::Failed,
            "cancelled" => ProgressState::Cancelled,
            "expired" => ProgressState::Expired,
            _ => return None,
        },
        received: number(value, "received")?,
        size: number(value, "size"),
        body_received: number(value, "body_received").unwrap_or_default(),
        body_size: number(value, "body_size"),
        error: error_body(&field(value, "error")),
        receipts: list(&field(value, "receipts"))
            .map(|files| files.iter().filter_map(|value| receipt(&value)).collect())
            .unwrap_or_default(),
    })
}

fn receipt(value: &JsValue) -> Option<Receipt> {
    Some(Receipt {
        id: parsed(value, "id")?,
        name: string(value, "name")?,
        size: number(value, "size")?,
        media_type: string(value, "media_type").unwrap_or_default(),
        sha256: string(value, "sha256"),
        stored_ms: number(value, "stored_ms").unwrap_or_default(),
        url: string(value, "url")?,
        path: string(value, "path").unwrap_or_default(),
        fields: pairs(&field(value, "fields")),
        // Whoever writes a receipt has stored something.
        proof: Proof::Stored,
    })
}

fn error_body(value: &JsValue) -> Option<ErrorBody> {
    let code = ErrorCode::parse(&string(value, "code")?)?;
    Some(ErrorBody {
        code,
        message: string(value, "message").unwrap_or_default(),
        retryable: truth(value, "retryable").unwrap_or_else(|| code.retryable()),
        detail: string(value, "detail"),
    })
}

/// The code that comes nearest to what a status says, for answers of proxies and other servers.
pub(super) fn code_of(status: u16) -> ErrorCode {
    match status {
        401 => ErrorCode::Unauthorized,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        408 => ErrorCode::TimedOut,
        410 => ErrorCode::Gone,
        413 => ErrorCode::TooLarge,
        415 => ErrorCode::UnsupportedMediaType,
        423 | 425 | 429 => ErrorCode::TooManyUploads,
        503 => ErrorCode::ShuttingDown,
        507 => ErrorCode::OutOfSpace,
        400..=499 => ErrorCode::Malformed,
        500..=599 => ErrorCode::Internal,
        _ => ErrorCode::BadAnswer,
    }
}

/// Some object, for the few who read what others than we write.
pub(super) struct Value(JsValue);

impl Value {
    /// The object that is written so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        JSON::parse(text).ok().map(Self)
    }

    /// A member that is a whole number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        number(&self.0, key)
    }

    /// A member that is a text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        string(&self.0, key)
    }
}

pub(super) fn field(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

pub(super) fn list(value: &JsValue) -> Option<Array> {
    Array::is_array(value).then(|| Array::from(value))
}

/// A list of pairs of texts; what is none is left out.
fn pairs(value: &JsValue) -> Vec<(String, String)> {
    let pair = |value: JsValue| {
        let pair = list(&value)?;
        Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
    };
    list(value).map(|list| list.iter().filter_map(pair).collect()).unwrap_or_default()
}

pub(super) fn string(value: &JsValue, key: &str) -> Option<String> {
    field(value, key).as_string()
}

pub(super) fn parsed<T: FromStr>(value: &JsValue, key: &str) -> Option<T> {
    string(value, key)?.parse().ok()
}

/// A whole number that is not negative. JSON numbers are exact up to 2⁵³, nine petabytes.
pub(super) fn number(value: &JsValue, key: &str) -> Option<u64> {
    field(value, key).as_f64().filter(|number| *number >= 0.0).map(|number| number as u64)
}

fn small<T: TryFrom<u64>>(value: &JsValue, key: &str) -> Option<T> {
    number(value, key)?.try_into().ok()
}

pub(super) fn truth(value: &JsValue, key: &str) -> Option<bool> {
    field(value, key).as_bool()
}
