//! Unfinished uploads that outlive the page: one record each in IndexedDB, and a lock as long as a page works on it, so
//! that two pages never work on one. The lock of a page that closes or crashes goes by itself, and the next page that
//! waits for it takes over; where a browser has no locks, only when the person says so. Must never decide whether an upload is worth remembering.
//!
//! The browser keeps the file itself up to a size; beyond that, where the file was dropped and the browser has such a
//! thing, its handle, which may need the person's leave to be read; and otherwise only what the file looked like.
//! Everything fails softly: what cannot be remembered is uploaded all the same.

use std::{cell::RefCell, rc::Rc};

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, IdbDatabase, IdbObjectStore, IdbRequest, IdbTransactionMode, window};

use crate::{engine::event::FileMeta, wire::ProgressId};

const DATABASE: &str = "plimsoll";
const STORE: &str = "uploads";

/// Files up to this many bytes are kept by the browser itself, which copies them: half a gibibyte takes a second, and
/// leaves room below what browsers allow a site.
const MOST_KEPT: f64 = 536_870_912.0;

/// What is remembered of one upload.
#[derive(Clone)]
pub(super) struct Record {
    /// The name it was begun under.
    pub(super) id: ProgressId,
    /// URL that creates uploads: only a widget that uses the same goes on with it.
    pub(super) endpoint: String,
    /// The upload's address.
    pub(super) url: String,
    /// What the file was like.
    pub(super) meta: FileMeta,
    /// Whether its digest is wanted.
    pub(super) digest: bool,
    /// What its ends held.
    pub(super) sample: Option<f64>,
    /// The file itself.
    pub(super) file: Option<File>,
    /// The browser's handle of it.
    pub(super) handle: Option<JsValue>,
}

/// Writes a record, with the file itself when it is not too large.
pub(super) async fn write(record: &Record) -> Option<()> {
    let key = JsValue::from_str(record.id.as_str());
    // First without the file: copying it takes a while, and the page may go away meanwhile.
    let value = to_js(record);
    request(&store(true).await?.put_with_key(&value, &key).ok()?).await?;
    if let Some(file) = record.file.as_ref().filter(|file| file.size() <= MOST_KEPT) {
        set(&value, "file", file);
        request(&store(true).await?.put_with_key(&value, &key).ok()?).await?;
    }
    Some(())
}

/// Takes a record away.
pub(super) async fn strike(id: &ProgressId) -> Option<()> {
    request(&store(true).await?.delete(&JsValue::from_str(id.as_str())).ok()?).await?;
    Some(())
}

/// The record with this name, if there is one.
pub(super) async fn read(id: &ProgressId) -> Option<Record> {
    let key = JsValue::from_str(id.as_str());
    from_js(&request(&store(false).await?.get(&key).ok()?).await?)
}

/// All records.
pub(super) async fn all() -> Vec<Record> {
    let Some(store) = store(false).await else { return Vec::new() };
    let Ok(asked) = store.get_all() else { return Vec::new() };
    let found = request(&asked).await.unwrap_or_default();
    Array::from(&found).iter().filter_map(|value| from_js(&value)).collect()
}

async fn store(write: bool) -> Option<IdbObjectStore> {
    let opened = window()?.indexed_db().ok()??.open_with_u32(DATABASE, 1).ok()?;
    let request_ = opened.clone();
    let upgrade = Closure::once(move || {
        let database = request_.result().ok().and_then(|database| database.dyn_into::<IdbDatabase>().ok());
        database.and_then(|database| database.create_object_store(STORE).ok());
    });
    opened.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    let database: IdbDatabase = request(&opened).await?.dyn_into().ok()?;
    let mode = if write { IdbTransactionMode::Readwrite } else { IdbTransactionMode::Readonly };
    let transaction = database.transaction_with_str_and_mode(STORE, mode).ok()?;
    let store = transaction.object_store(STORE).ok();
    // Closed once the transaction is over; an open connection would only stand in the way of others.
    database.close();
    store
}

/// The result of a request, once it is there.
async fn request(request: &IdbRequest) -> Option<JsValue> {
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    });
    JsFuture::from(promise).await.ok()?;
    request.result().ok()
}

fn to_js(record: &Record) -> JsValue {
    let value: JsValue = Object::new().into();
    let text = |key, text: &str| set(&value, key, &JsValue::from_str(text));
    let number = |key, number: f64| set(&value, key, &JsValue::from_f64(number));
    text("id", record.id.as_str());
    text("endpoint", &record.endpoint);
    text("url", &record.url);
    text("name", &record.meta.name);
    text("path", &record.meta.path);
    text("type", &record.meta.media_type);
    number("size", record.meta.size as f64);
    number("modified", record.meta.modified_ms.unwrap_or_default() as f64);
    set(&value, "digest", &JsValue::from_bool(record.digest));
    if let Some(sample) = record.sample {
        number("sample", sample);
    }
    if let Some(handle) = &record.handle {
        set(&value, "handle", handle);
    }
    value
}

fn from_js(value: &JsValue) -> Option<Record> {
    let text = |key| get(value, key).as_string();
    let number = |key| get(value, key).as_f64();
    Some(Record {
        id: text("id")?.parse().ok()?,
        endpoint: text("endpoint")?,
        url: text("url")?,
        meta: FileMeta {
            name: text("name")?,
            path: text("path")?,
            size: number("size")? as u64,
            modified_ms: number("modified").map(|modified| modified as u64),
            media_type: text("type")?,
        },
        digest: get(value, "digest").as_bool().unwrap_or_default(),
        sample: number("sample"),
        file: get(value, "file").dyn_into().ok(),
        handle: Some(get(value, "handle")).filter(JsValue::is_object),
    })
}

/// A lock that is held. Dropping it lets the next one have it.
pub(super) struct Lock {
    release: Option<Function>,
    /// The lock lasts as long as the promise that this gives, so it must live as long.
    _granted: Option<Closure<dyn FnMut() -> Promise>>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Lock {
    /// Whether it keeps other pages off. Outside of secure contexts browsers have no locks, and nobody can tell.
    pub(super) fn excludes(&self) -> bool {
        self.release.is_some()
    }
}

/// Waits until no other page works on this upload. Where a browser has no locks there is nothing to wait for, and the
/// lock excludes nobody.
pub(super) async fn lock(id: &ProgressId) -> Lock {
    let free = Lock { release: None, _granted: None };
    let Some(window) = window() else { return free };
    let locks = get(&window.navigator(), "locks");
    if !locks.is_object() {
        return free;
    }
    let release: Rc<RefCell<Option<Function>>> = Rc::default();
    let mut granted_now = None;
    let granted = Promise::new(&mut |resolve, _| granted_now = Some(resolve));
    let kept = Rc::clone(&release);
    let callback = Closure::new(move || {
        let held = Promise::new(&mut |resolve, _| {
            kept.borrow_mut().replace(resolve);
        });
        if let Some(granted) = &granted_now {
            let _ = granted.call0(&JsValue::UNDEFINED);
        }
        held
    });
    let name = JsValue::from_str(&format!("{DATABASE}-{id}"));
    let Some(over) = call(&locks, "request", &[&name, callback.as_ref()]) else { return free };
    // A lock that ends in an error (the page is going away) is of no interest, and must not be shouted about.
    wasm_bindgen_futures::spawn_local(async move {
        let _ = JsFuture::from(over).await;
    });
    let _ = JsFuture::from(granted).await;
    let release = release.take();
    Lock { release, _granted: Some(callback) }
}

/// The file behind a handle. `ask` asks the person for leave where that is needed; without it, `Err` says that it is.
pub(super) async fn open(handle: &JsValue, ask: bool) -> Result<Option<File>, NeedsLeave> {
    let mode: JsValue = Object::new().into();
    set(&mode, "mode", &JsValue::from_str("read"));
    let method = if ask { "requestPermission" } else { "queryPermission" };
    let leave = match call(handle, method, &[&mode]) {
        Some(asked) => JsFuture::from(asked).await.ok().and_then(|leave| leave.as_string()),
        None => None,
    };
    match leave.as_deref() {
        Some("granted") => {}
        Some("prompt") => return Err(NeedsLeave),
        _ if ask => return Err(NeedsLeave),
        _ => return Ok(None),
    }
    let Some(file) = call(handle, "getFile", &[]) else { return Ok(None) };
    Ok(JsFuture::from(file).await.ok().and_then(|file| file.dyn_into().ok()))
}

/// The person has not allowed the file to be read.
pub(super) struct NeedsLeave;

/// Calls a method that may not exist, and gives its promise. For what has no place in the bindings yet.
pub(super) fn call(object: &JsValue, method: &str, arguments: &[&JsValue]) -> Option<Promise> {
    let method: Function = get(object, method).dyn_into().ok()?;
    let list = Array::new();
    for argument in arguments {
        list.push(argument);
    }
    method.apply(object, &list).ok()?.dyn_into().ok()
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

fn set(object: &JsValue, key: &str, value: &JsValue) {
    let _ = Reflect::set(object, &JsValue::from_str(key), value);
}
