//! The SHA-256 of files, computed in the browser beside their sending. Must never know what a digest is compared with.
//!
//! The work is done by `checksum.js`, which pages load only when a file is sent whose digest is to be compared; and the
//! hashing itself by a script at an address of its own (`Options::checksum`), in a worker where the browser lets one be
//! made from there, so that no byte of a file comes near this bundle (promise 4).

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use web_sys::File;

/// Hashes a file as far as this byte, from where it was. Its digest in lowercase hexadecimal digits once that is its
/// end; `None` before, and when it cannot be had.
pub(super) async fn sha256(url: &str, file: &File, upto: u64) -> Option<String> {
    part::sha256(url, file, upto as f64).await.ok()?.as_string()
}

mod part {
    use super::{File, JsValue, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/checksum.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        pub(super) async fn sha256(url: &str, file: &File, upto: f64) -> Result<JsValue, JsValue>;
    }
}
