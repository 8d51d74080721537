//! What the widget tells, as JavaScript's own values. Must never know who asks.

use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;

use crate::wire::Receipt;

/// An object with these members; what is `undefined` is not there.
pub(super) fn object(members: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_undefined()) {
        // Only a frozen object refuses a member.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

/// A number that JavaScript can hold: exact up to 2⁵³.
pub(super) fn number(number: u64) -> JsValue {
    JsValue::from_f64(number as f64)
}

/// A receipt, with the names that the server's JSON has.
pub(super) fn receipt(receipt: &Receipt) -> JsValue {
    object(&[
        ("id", receipt.id.as_str().into()),
        ("name", receipt.name.as_str().into()),
        ("size", number(receipt.size)),
        ("media_type", receipt.media_type.as_str().into()),
        ("sha256", receipt.sha256.as_deref().map_or(JsValue::UNDEFINED, JsValue::from_str)),
        ("stored_ms", number(receipt.stored_ms)),
        ("url", receipt.url.as_str().into()),
    ])
}
