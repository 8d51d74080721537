//! The side door: `<plimsoll-upload>`, the widget on a page that knows nothing of Leptos. What must be JavaScript's own
//! (the class, its part in a form) is in `public/upload-widget.js`; here settings become options, the widget is
//! mounted, and what it tells becomes objects that a page can read. Must never know the server, and never decide
//! anything.

#![expect(clippy::needless_pass_by_value, reason = "what comes from JavaScript comes by value")]

mod values;

use std::any::Any;

use js_sys::{Array, Function};
use leptos::mount;
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    widget,
    wire::{Receipt, attributes},
};

/// The widget inside of one element. Freeing it takes the view away and ends what is under way.
#[wasm_bindgen]
pub struct UploadElement {
    _view: Box<dyn Any>,
}

#[wasm_bindgen]
impl UploadElement {
    /// Mounts the widget in `frame`. `settings` are names and values of attributes by turns, `home` is the folder that
    /// the script came from, and `tell` is called with the kind of each event and what there is to know of it.
    ///
    /// # Errors
    /// A list of sentences, one for each setting that cannot be read.
    #[wasm_bindgen(constructor)]
    pub fn new(
        frame: &web_sys::Element,
        settings: Vec<String>,
        home: &str,
        tell: Function,
    ) -> Result<Self, Array> {
        let pairs = settings.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        let options = attributes::options(pairs, home).map_err(|errors| -> Array {
            errors.iter().map(|error| JsValue::from_str(&error.to_string())).collect()
        })?;
        let tell = SendWrapper::new(tell);
        let on_stored = move |receipt: Receipt| {
            // What a page does with it is the page's own.
            let _ = tell.call2(
                &JsValue::NULL,
                &"stored".into(),
                &values::object(&[("receipt", values::receipt(&receipt))]),
            );
        };
        let view = mount::mount_to_renderer(frame, move || widget::upload_widget(options, on_stored));
        Ok(Self { _view: Box::new(view) })
    }
}
