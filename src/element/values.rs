//! What the widget tells, as JavaScript's own values. Must never know who asks.

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::JsValue;

use crate::{
    engine::view::RowView,
    widget::{FileInfo, UploadEvent},
    wire::{ErrorBody, Receipt, UploadId},
};

/// An event's name, and what it tells.
#[inline(never)]
pub(super) fn event(event: &UploadEvent) -> (&'static str, JsValue) {
    let of = |info: &FileInfo| object(&[("file", file(info))]);
    match event {
        UploadEvent::Waiting { files } => waiting(*files),
        UploadEvent::Added { file } => ("added", of(file)),
        UploadEvent::Started { file } => ("started", of(file)),
        UploadEvent::Paused { file } => ("paused", of(file)),
        UploadEvent::Resumed { file } => ("resumed", of(file)),
        UploadEvent::Cancelled { file } => ("cancelled", of(file)),
        UploadEvent::Removed { file } => ("removed", of(file)),
        UploadEvent::Restored { file: info, receipt: stored } => {
            let stored = stored.as_ref().map_or(JsValue::NULL, receipt);
            ("restored", object(&[("file", file(info)), ("receipt", stored)]))
        }
        UploadEvent::Rejected { file: info, error } => ("rejected", with_error(info, error)),
        UploadEvent::Failed { file: info, error } => ("failed", with_error(info, error)),
        UploadEvent::Progress { file: info, sent, received } => {
            let members = [("file", file(info)), ("sent", number(*sent)), ("received", number(*received))];
            ("progress", object(&members))
        }
        UploadEvent::Stored { file: info, receipt: stored } => {
            ("stored", object(&[("file", file(info)), ("receipt", receipt(stored))]))
        }
        UploadEvent::Ended { done, failed } => {
            ("ended", object(&[("done", (*done).into()), ("failed", (*failed).into())]))
        }
    }
}

/// Of files that cannot be taken in yet: told before that which works on files is there.
pub(super) fn waiting(files: u32) -> (&'static str, JsValue) {
    ("waiting", object(&[("files", files.into())]))
}

/// A file, as it is told of.
pub(super) fn file(file: &FileInfo) -> JsValue {
    object(&[
        ("id", file.id.0.into()),
        ("name", text(&file.name)),
        ("path", text(&file.path)),
        ("size", number(file.size)),
        ("originalSize", file.original.map_or(JsValue::UNDEFINED, number)),
        ("type", text(&file.media_type)),
        ("sha256", maybe(file.sha256.as_deref())),
    ])
}

/// What a row shows.
#[inline(never)]
pub(super) fn row(row: &RowView) -> JsValue {
    object(&[
        ("id", row.id.0.into()),
        ("name", text(&row.name)),
        ("path", text(&row.path)),
        ("size", number(row.size)),
        ("state", text(row.state.as_str())),
        ("sent", number(row.sent)),
        ("received", number(row.received)),
        ("percent", row.percent.into()),
        ("error", row.error.as_ref().map_or(JsValue::UNDEFINED, error)),
        ("receipt", row.receipt.as_ref().map_or(JsValue::UNDEFINED, receipt)),
    ])
}

/// An object with these members; what is `undefined` is not there.
pub(super) fn object(members: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_undefined()) {
        // Only a frozen object refuses a member.
        let _ = Reflect::set(&object, &text(name), value);
    }
    object.into()
}

fn with_error(info: &FileInfo, reason: &ErrorBody) -> JsValue {
    object(&[("file", file(info)), ("error", error(reason))])
}

fn error(error: &ErrorBody) -> JsValue {
    object(&[
        ("code", text(error.code.as_str())),
        ("message", text(&error.message)),
        ("retryable", error.retryable.into()),
        ("detail", maybe(error.detail.as_deref())),
    ])
}

/// A receipt, with the names that the server's JSON has. One of another server has no id of ours.
fn receipt(receipt: &Receipt) -> JsValue {
    let has_id = receipt.proof.is_stored() && receipt.id != UploadId::default();
    let fields: Array =
        receipt.fields.iter().map(|(name, value)| Array::of2(&text(name), &text(value))).collect();
    object(&[
        ("id", maybe(has_id.then(|| receipt.id.as_str()))),
        ("name", text(&receipt.name)),
        ("path", text(&receipt.path)),
        ("size", number(receipt.size)),
        ("media_type", text(&receipt.media_type)),
        ("sha256", maybe(receipt.sha256.as_deref())),
        ("stored_ms", number(receipt.stored_ms)),
        ("url", text(&receipt.url)),
        ("fields", fields.into()),
        ("proof", text(if receipt.proof.is_stored() { "stored" } else { "accepted" })),
    ])
}

/// A number that JavaScript can hold: exact up to 2⁵³.
fn number(number: u64) -> JsValue {
    JsValue::from_f64(number as f64)
}

fn text(text: &str) -> JsValue {
    JsValue::from_str(text)
}

fn maybe(text: Option<&str>) -> JsValue {
    text.map_or(JsValue::UNDEFINED, JsValue::from_str)
}
