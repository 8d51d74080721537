//! What a browser does beside the list, each in a script of its own that is loaded when it is needed first: the screen
//! stays on, the tab shows how far all is, rows have small pictures. Must never decide whether a page has them, and
//! never hold up what is sent: nothing depends on them, and what cannot be loaded is done without.

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlFormElement;

use crate::engine::event::{FileId, FileMeta};

use super::{
    clock,
    files::{Late, Picked},
};

/// One of these, from its beginning until it is dropped.
pub(super) struct Part(Kind);

#[derive(Clone)]
enum Kind {
    Awake,
    Title(HtmlFormElement),
    /// What finds a file outlives the last picture.
    Thumbs(HtmlFormElement, Rc<Find>),
}

type Find = Closure<dyn FnMut(u32) -> JsValue>;

/// Whether a file may have a picture.
pub(super) fn may_show(meta: &FileMeta) -> bool {
    meta.media_type.starts_with("image/") || meta.media_type.starts_with("video/")
}

impl Part {
    /// The screen stays on, where a browser can do that.
    pub(super) fn awake() -> Self {
        Self::begin(Kind::Awake)
    }

    /// Title and icon of the tab show how far the uploads of this form are.
    pub(super) fn title(form: &HtmlFormElement) -> Self {
        Self::begin(Kind::Title(form.clone()))
    }

    /// Rows of this form have small pictures; `find` gives the file of a row while it is at hand, and those that were
    /// `late`: stored before the script was there to ask for them.
    pub(super) fn thumbs(
        form: &HtmlFormElement,
        find: impl Fn(FileId) -> Option<Picked> + 'static,
        late: Rc<Late>,
    ) -> Self {
        let find =
            Find::new(move |file| find(FileId(file)).map_or(JsValue::UNDEFINED, |picked| picked.file.into()));
        let kind = Kind::Thumbs(form.clone(), Rc::new(find));
        tell(kind.clone(), true, Some(late));
        Self(kind)
    }

    fn begin(kind: Kind) -> Self {
        tell(kind.clone(), true, None);
        Self(kind)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        tell(self.0.clone(), false, None);
    }
}

/// Drops what was `late` once the script has been there.
fn tell(kind: Kind, on: bool, late: Option<Rc<Late>>) {
    clock::spawn(async move {
        let told = match &kind {
            Kind::Awake => scripts::awake(on),
            Kind::Title(form) => scripts::title(form, on),
            Kind::Thumbs(form, find) => {
                scripts::thumbs(form, on.then(|| (*find).as_ref().as_ref().unchecked_ref()))
            }
        };
        let _ = JsFuture::from(told).await;
        drop(late);
    });
}

mod scripts {
    use super::{Function, HtmlFormElement, Promise, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/awake.js")]
    extern "C" {
        pub(super) fn awake(on: bool) -> Promise;
    }

    #[wasm_bindgen(module = "/src/browser/title.js")]
    extern "C" {
        pub(super) fn title(form: &HtmlFormElement, on: bool) -> Promise;
    }

    #[wasm_bindgen(module = "/src/browser/thumbs.js")]
    extern "C" {
        pub(super) fn thumbs(form: &HtmlFormElement, find: Option<&Function>) -> Promise;
    }
}
