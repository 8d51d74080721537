//! What the page is asked, and its answers in our own types. The loader has made them plain: objects whose lists of
//! pairs are flat, names and values by turns. Must never know what follows from an answer.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::values::{file, object};
use crate::{
    widget::{Extra, FileInfo, Verdict},
    wire::{ErrorBody, ErrorCode, Proof, Receipt},
};

/// Whether and how a file is sent. A promise that fails refuses the file, with its own words.
pub(super) async fn before_upload(page: Function, info: FileInfo) -> Verdict {
    match ask(&page, "before-upload", &[("file", file(&info))]).await {
        Ok(answer) if answer.is_undefined() => Verdict::Send,
        Ok(answer) => match string(&answer, "refuse") {
            Some(message) => Verdict::Refuse { message },
            None => {
                let name = string(&answer, "name").unwrap_or(info.name);
                Verdict::SendAs { name, fields: pairs(&answer, "fields") }
            }
        },
        Err(thrown) => Verdict::Refuse { message: sentence(&thrown) },
    }
}

/// What goes with one request. A promise that fails has this try fail, with its own words: another may help unless it
/// says otherwise, for most of what fails here is a question to some server.
pub(super) async fn before_request(page: Function, info: FileInfo, again: bool) -> Result<Extra, ErrorBody> {
    match ask(&page, "before-request", &[("file", file(&info)), ("again", again.into())]).await {
        Ok(answer) => Ok(Extra { headers: pairs(&answer, "headers"), fields: pairs(&answer, "fields") }),
        Err(thrown) => Err(failure(&thrown, ErrorCode::Declined, true)),
    }
}

/// What an answer says, as the page reads it: an object is a receipt, anything thrown is an error. Only who tells a
/// size has said what was stored.
pub(super) fn read_answer(read: &Function, status: u16, text: &str, url: &str) -> Result<Receipt, ErrorBody> {
    let read = read.call3(&JsValue::NULL, &status.into(), &text.into(), &url.into());
    let receipt = read.map_err(|thrown| failure(&thrown, ErrorCode::Declined, false))?;
    let size = member(&receipt, "size").as_f64().filter(|size| *size >= 0.0);
    Ok(Receipt {
        id: string(&receipt, "id").and_then(|id| id.parse().ok()).unwrap_or_default(),
        name: string(&receipt, "name").unwrap_or_default(),
        size: size.unwrap_or_default() as u64,
        sha256: string(&receipt, "sha256"),
        proof: if size.is_some() { Proof::Stored } else { Proof::Accepted },
        ..Receipt::accepted(string(&receipt, "url").unwrap_or_default())
    })
}

async fn ask(page: &Function, what: &str, members: &[(&str, JsValue)]) -> Result<JsValue, JsValue> {
    let answer = page.call2(&JsValue::NULL, &what.into(), &object(members))?;
    match answer.dyn_into::<Promise>() {
        Ok(promise) => JsFuture::from(promise).await,
        Err(answer) => Ok(answer),
    }
}

/// What was thrown as the reason of a failure; whether another try can help it may say itself.
fn failure(thrown: &JsValue, code: ErrorCode, retryable: bool) -> ErrorBody {
    let retryable = member(thrown, "retryable").as_bool().unwrap_or(retryable);
    ErrorBody { retryable, ..ErrorBody::new(code, sentence(thrown)) }
}

/// What was thrown, in its own words.
fn sentence(thrown: &JsValue) -> String {
    string(thrown, "message").or_else(|| thrown.as_string()).unwrap_or_default()
}

fn pairs(answer: &JsValue, name: &str) -> Vec<(String, String)> {
    let flat = member(answer, name);
    if !Array::is_array(&flat) {
        return Vec::new();
    }
    let texts: Vec<String> = Array::from(&flat).iter().filter_map(|text| text.as_string()).collect();
    texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn string(value: &JsValue, name: &str) -> Option<String> {
    member(value, name).as_string()
}

fn member(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}
