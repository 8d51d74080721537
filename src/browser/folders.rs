//! The walk through folders that were dropped. Must never decide what is done with what it finds.
//!
//! The work is done by `folders.js`, which pages load only when a folder is dropped.

use js_sys::{Array, Function};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::{File, FileSystemEntry};

/// What a portion of a folder holds.
pub(super) struct Portion {
    /// Its files, and their paths from the dropped folder on, that one's name first.
    pub(super) files: Vec<(File, String)>,
    /// What cannot be taken: its path, and `unreadable` or `empty-folder`.
    pub(super) troubles: Vec<(String, String)>,
}

/// Walks these folders; `tell` takes each portion, and ends the walk by `false`. An error when nothing was walked at
/// all, because the page could not load what walks.
pub(super) async fn walk(
    folders: Vec<FileSystemEntry>,
    dotfiles: bool,
    mut tell: impl FnMut(Portion) -> bool + 'static,
) -> Result<(), JsValue> {
    let entries: Array = folders.iter().collect();
    let tell = Closure::<dyn FnMut(Array, Array, Array) -> bool>::new(
        move |files: Array, paths: Array, troubles: Array| {
            let word = |value: JsValue| value.as_string().unwrap_or_default();
            let files = files.iter().zip(paths.iter());
            tell(Portion {
                files: files.map(|(file, path)| (file.unchecked_into(), word(path))).collect(),
                troubles: troubles
                    .iter()
                    .map(|trouble| {
                        let trouble: Array = trouble.unchecked_into();
                        (word(trouble.get(0)), word(trouble.get(1)))
                    })
                    .collect(),
            })
        },
    );
    part::walk(&entries, dotfiles, tell.as_ref().unchecked_ref()).await.map(drop)
}

mod part {
    use super::{Array, Function, JsValue, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/folders.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        pub(super) async fn walk(
            entries: &Array,
            dotfiles: bool,
            tell: &Function,
        ) -> Result<JsValue, JsValue>;
    }
}
