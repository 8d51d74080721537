//! Unfinished uploads that outlive the page: one record each in IndexedDB, and a lock as long as a page works on it, so
//! that two pages never work on one. The lock of a page that closes or crashes goes by itself, and the next page that
//! waits for it takes over; where a browser has no locks, only when the person says so. Must never decide whether an
//! upload is worth remembering.
//!
//! The browser keeps the file itself up to a size; beyond that, where the file was dropped and the browser has such a
//! thing, its handle, which may need the person's leave to be read; and otherwise only what the file looked like.
//! Everything fails softly: what cannot be remembered is uploaded all the same. Files that have not begun are not
//! remembered.
//!
//! The work is done by `remember.js`, which pages load only when there is something to remember or to look for.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use web_sys::File;

use crate::{engine::event::FileMeta, wire::ProgressId};

use super::json::{field, list, number, parsed, string, truth};

/// What is remembered of one upload.
#[derive(Clone)]
pub(super) struct Record {
    /// The name it was begun under.
    pub(super) id: ProgressId,
    /// What the widget that began it does with files, and where: only one that does the same goes on with it.
    pub(super) scope: String,
    /// The upload's address.
    pub(super) url: String,
    /// What the file was like.
    pub(super) meta: FileMeta,
    /// Whether its digest is wanted.
    pub(super) digest: bool,
    /// What its ends held.
    pub(super) sample: Option<f64>,
    /// Until when the server keeps it at least, in milliseconds since 1970-01-01 UTC, as far as it has told.
    pub(super) expires_ms: Option<f64>,
    /// The file itself.
    pub(super) file: Option<File>,
    /// The browser's handle of it.
    pub(super) handle: Option<JsValue>,
}

/// Writes a record, as used just now, with the file itself where there is room for it.
pub(super) async fn write(record: &Record) {
    let text = JsValue::from_str;
    let number = |number: Option<f64>| number.map_or(JsValue::NULL, JsValue::from_f64);
    let meta = &record.meta;
    let values: Array = [
        text(record.id.as_str()),
        text(&record.scope),
        text(&record.url),
        text(&meta.name),
        text(&meta.path),
        text(&meta.media_type),
        number(Some(meta.size as f64)),
        number(meta.modified_ms.map(|modified_ms| modified_ms as f64)),
        JsValue::from_bool(record.digest),
        number(record.sample),
        number(record.expires_ms),
        record.handle.clone().unwrap_or(JsValue::NULL),
        record.file.clone().map_or(JsValue::NULL, JsValue::from),
    ]
    .into_iter()
    .collect();
    let _ = part::write(&values).await;
}

/// Takes a record away, with its file.
pub(super) async fn strike(id: &ProgressId) {
    let _ = part::strike(id.as_str()).await;
}

/// The record with this name, if there is one, with its file.
pub(super) async fn read(id: &ProgressId) -> Option<Record> {
    let value = &part::read(id.as_str()).await.ok()?;
    let exact = |key| field(value, key).as_f64();
    Some(Record {
        id: parsed(value, "id")?,
        scope: string(value, "scope")?,
        url: string(value, "url")?,
        meta: FileMeta {
            name: string(value, "name")?,
            path: string(value, "path")?,
            size: number(value, "size")?,
            original: None,
            modified_ms: number(value, "modified"),
            media_type: string(value, "type")?,
        },
        digest: truth(value, "digest").unwrap_or_default(),
        sample: exact("sample"),
        expires_ms: exact("expires"),
        file: field(value, "file").dyn_into().ok(),
        handle: Some(field(value, "handle")).filter(JsValue::is_object),
    })
}

/// Forgets what is too old, or too much; the names of what was begun in this scope.
pub(super) async fn sweep(scope: &str) -> Vec<ProgressId> {
    let kept = part::sweep(scope).await.ok().and_then(|kept| list(&kept)).unwrap_or_default();
    kept.iter().filter_map(|id| id.as_string()?.parse().ok()).collect()
}

/// A lock that is held. Dropping it lets the next one have it.
pub(super) struct Lock(Option<Function>);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = &self.0 {
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Lock {
    /// Whether it keeps other pages off. Outside of secure contexts browsers have no locks, and nobody can tell.
    pub(super) fn excludes(&self) -> bool {
        self.0.is_some()
    }
}

/// Waits until no other page works on this upload. Where a browser has no locks there is nothing to wait for, and the
/// lock excludes nobody.
pub(super) async fn lock(id: &ProgressId) -> Lock {
    Lock(part::lock(id.as_str()).await.ok().and_then(|release| release.dyn_into().ok()))
}

/// The file behind a handle. `ask` asks the person for leave where that is needed; without it, `Err` says that it is.
pub(super) async fn open(handle: &JsValue, ask: bool) -> Result<Option<File>, NeedsLeave> {
    match part::open(handle, ask).await {
        Ok(leave) if leave.is_truthy() => leave.dyn_into().map(Some).map_err(|_| NeedsLeave),
        _ => Ok(None),
    }
}

/// The person has not allowed the file to be read.
pub(super) struct NeedsLeave;

/// Calls a method that may not exist, and gives its promise. For what has no place in the bindings yet.
pub(super) fn call(object: &JsValue, method: &str, arguments: &[&JsValue]) -> Option<Promise> {
    let method: Function = Reflect::get(object, &JsValue::from_str(method)).ok()?.dyn_into().ok()?;
    let list = Array::new();
    for argument in arguments {
        list.push(argument);
    }
    method.apply(object, &list).ok()?.dyn_into().ok()
}

mod part {
    use super::{Array, JsValue, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/remember.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        pub(super) async fn write(values: &Array) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn read(id: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn strike(id: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn sweep(scope: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn lock(id: &str) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn open(handle: &JsValue, ask: bool) -> Result<JsValue, JsValue>;
    }
}
