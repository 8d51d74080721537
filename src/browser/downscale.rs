//! Pictures that are made smaller before they are sent. Must never know what is done with them.
//!
//! The work is done by `downscale.js`, which pages load only when a picture is picked that may have to be made smaller.

use std::rc::Rc;

use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use web_sys::File;

use super::files::Picked;

/// Whether it is of a kind that browsers read and write: anything else is sent as it is, what moves above all.
pub(super) fn may_shrink(file: &File) -> bool {
    matches!(file.type_().as_str(), "image/jpeg" | "image/png" | "image/webp")
}

/// The same picture with no side longer than so many pixels, under the same name and time; the file as it is where it is
/// small enough, would not become smaller, or cannot be read as a picture.
pub(super) async fn shrink(picked: Picked, side: u32) -> Picked {
    let made = part::shrink(&picked.file, side).await.ok().and_then(|made| made.dyn_into::<File>().ok());
    match made {
        // A handle leads to the file that it was made from.
        Some(file) => {
            let (size, original) = (file.size() as u64, Some(picked.size));
            Picked { file, size, original, handle: Rc::default(), ..picked }
        }
        None => picked,
    }
}

mod part {
    use super::{File, JsValue, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/downscale.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        pub(super) async fn shrink(file: &File, side: u32) -> Result<JsValue, JsValue>;
    }
}
