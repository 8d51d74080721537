//! The side door: `<plimsoll-upload>`, the widget on a page that knows nothing of Leptos. What must be JavaScript's own
//! (the class, its part in a form) is in `public/upload-widget.js`; here settings become options, the widget is
//! mounted, and what it tells and asks goes to the page and back. Must never know the server, and never decide
//! anything.

#![expect(clippy::needless_pass_by_value, reason = "what comes from JavaScript comes by value")]

mod questions;
mod values;

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use js_sys::{Array, Function};
use leptos::mount;
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    engine::event::{FileId, Scope},
    widget::{self, Hooks, UploadEvent, UploadHandle},
    wire::attributes,
};

/// The widget inside of one element. Freeing it takes the view away and ends what is under way.
#[wasm_bindgen]
pub struct UploadElement {
    handle: UploadHandle,
    _view: Box<dyn Any>,
}

#[wasm_bindgen]
impl UploadElement {
    /// Mounts the widget in `frame`. `settings` are names and values of attributes by turns, `home` is the folder that
    /// the script came from. `page` is called with the kind of each event and what there is to know of it, and with
    /// the questions `before-upload` and, where `asks` says so, `before-request`, which it answers at once or with a
    /// promise; it is told of keys of texts that there are none of (`wrong`). `read` reads the answers of another server
    /// than ours.
    ///
    /// # Errors
    /// A list of sentences, one for each setting that cannot be read.
    #[wasm_bindgen(constructor)]
    pub fn new(
        frame: &web_sys::Element,
        settings: Vec<String>,
        home: &str,
        page: Function,
        asks: bool,
        read: Option<Function>,
    ) -> Result<Self, Array> {
        let pairs = settings.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        let options = attributes::options(pairs, home).map_err(|errors| -> Array {
            errors.iter().map(|error| JsValue::from_str(&error.to_string())).collect()
        })?;
        // The other texts hold: what one release says, the next may say no more.
        for (key, _) in &options.labels {
            if !widget::has_text(key) {
                let _ = page.call2(&JsValue::NULL, &"wrong".into(), &key.into());
            }
        }
        let page = SendWrapper::new(page);
        let asked = page.clone();
        let mut hooks =
            Hooks::default().before_upload(move |file| questions::before_upload((*asked).clone(), file));
        if asks {
            let asked = page.clone();
            hooks = hooks
                .before_request(move |file, again| questions::before_request((*asked).clone(), file, again));
        }
        if let Some(read) = read {
            let read = SendWrapper::new(read);
            hooks =
                hooks.read_answer(move |status, text, url| questions::read_answer(&read, status, text, url));
        }
        let tell = move |event| {
            let (kind, detail) = match event {
                UploadEvent::Waiting { files } => values::waiting(files),
                event => values::event(&event),
            };
            // What a page's own listeners throw is reported by the browser, to the page.
            let _ = page.call2(&JsValue::NULL, &kind.into(), &detail);
        };
        let reached = Arc::new(OnceLock::new());
        let place = Arc::clone(&reached);
        let view = mount::mount_to_renderer(frame, move || {
            widget::upload_widget(options, hooks, tell, move |handle| drop(place.set(handle)))
        });
        Ok(Self { handle: reached.get().cloned().unwrap_or_default(), _view: Box::new(view) })
    }

    /// What a page can do to one file, or to all: `start`, `pause`, `resume`, `retry`, `cancel`, `remove`. `false` when
    /// it is none of these.
    pub fn act(&self, what: &str, id: Option<u32>) -> bool {
        let scope = id.map_or(Scope::All, |id| Scope::One(FileId(id)));
        match what {
            "start" => self.handle.start(scope),
            "pause" => self.handle.pause(scope),
            "resume" => self.handle.resume(scope),
            "retry" => self.handle.retry(scope),
            "cancel" => self.handle.cancel(scope),
            "remove" => self.handle.remove(scope),
            _ => return false,
        }
        true
    }

    /// What the rows show at this moment.
    pub fn files(&self) -> Array {
        self.handle.rows().iter().map(values::row).collect()
    }

    /// The language around the element has changed.
    pub fn speak(&self) {
        self.handle.speak();
    }

    /// Whether something in the list has not ended.
    pub fn busy(&self) -> bool {
        let total = self.handle.total();
        total.is_busy() || total.held > 0
    }

    /// Why a form cannot be sent: without files that it requires, or before what is in the list has ended.
    pub fn why(&self, busy: bool) -> String {
        self.handle.why_not_sent(busy)
    }
}
