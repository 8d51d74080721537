//! The walk through folders that were dropped, and through very many files. Must never decide what is done with what it
//! finds.
//!
//! The work is done by `folders.js`, which pages load only when there is such work.

use js_sys::{Array, Function};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::{File, FileSystemEntry};

/// What comes at one time.
pub(super) struct Portion {
    /// Files.
    pub(super) files: Vec<File>,
    /// Their paths from the dropped folder on, that one's name first; none where no folder was dropped.
    pub(super) paths: Vec<String>,
    /// What cannot be taken: its path, and `unreadable` or `empty-folder`.
    pub(super) troubles: Vec<(String, String)>,
}

/// Hands over these files and then what these folders hold, and those that are among the files, as is told at their
/// `place`; `tell` takes each portion, and ends the walk by `false`. An error when nothing was told at all, because the
/// page could not load what walks.
pub(super) async fn walk(
    files: &[File],
    folders: &[FileSystemEntry],
    place: &JsValue,
    dotfiles: bool,
    mut tell: impl FnMut(Portion) -> bool + 'static,
) -> Result<(), JsValue> {
    let (files, entries): (Array, Array) = (files.iter().collect(), folders.iter().collect());
    let tell = Closure::<dyn FnMut(Array, Array, Array) -> bool>::new(
        move |files: Array, paths: Array, troubles: Array| {
            let word = |value: JsValue| value.as_string().unwrap_or_default();
            tell(Portion {
                files: files.iter().map(JsCast::unchecked_into).collect(),
                paths: paths.iter().map(word).collect(),
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
    part::walk(&files, &entries, place, dotfiles, tell.as_ref().unchecked_ref()).await.map(drop)
}

mod part {
    use super::{Array, Function, JsValue, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/folders.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        pub(super) async fn walk(
            files: &Array,
            entries: &Array,
            place: &JsValue,
            dotfiles: bool,
            tell: &Function,
        ) -> Result<JsValue, JsValue>;
    }
}
