//! The walk through folders that were dropped, and through very many files. Must never decide what is done with what it
//! finds.
//!
//! The work is done by `folders.js`, which pages load only when there is such work. As long as it cannot be loaded the
//! release build has `scripts/outside.js` in its place.

use js_sys::{Array, Function};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::{File, FileSystemEntry};

/// Answers to what is told: nothing more is wanted,
pub(super) const END: f64 = -1.0;
/// or it may be at another time.
pub(super) const NOT_NOW: f64 = -2.0;

/// The reason of what cannot be looked into, because what walks could not be loaded yet.
pub(super) const OUTSIDE: &str = "outside";

/// What is told of a portion.
pub(super) enum What {
    /// Files; with their paths from the dropped folder on, that one's name first, or none where no folder was dropped.
    Found(Vec<File>),
    /// Why what lies at the one path cannot be taken: `unreadable`, `empty-folder` or [`OUTSIDE`].
    Trouble(String),
    /// It is asked whether anybody still wants what this row stands for, which is outside.
    Wanted(u32),
    /// It is asked whether what this row stands for, which was outside, is to come now.
    Row(u32),
    /// Nothing more comes of what one such row stood for.
    Over,
}

/// Hands over these files and then what these folders hold, and those that are among the files, as is told at their
/// `place`; `tell` takes each portion with its paths, and answers to a trouble with the number of its row.
pub(super) async fn walk(
    files: &[File],
    folders: &[FileSystemEntry],
    place: &JsValue,
    dotfiles: bool,
    mut tell: impl FnMut(What, Vec<String>) -> f64 + 'static,
) {
    let (files, entries): (Array, Array) = (files.iter().collect(), folders.iter().collect());
    let tell = Closure::<dyn FnMut(Array, Array, JsValue) -> f64>::new(
        move |files: Array, paths: Array, what: JsValue| {
            let what = match (what.as_f64(), what.as_string()) {
                (Some(row), _) if paths.length() == 0 => What::Wanted(row as u32),
                (Some(row), _) => What::Row(row as u32),
                (_, Some(reason)) => What::Trouble(reason),
                _ if what.is_null() => What::Over,
                _ => What::Found(files.iter().map(JsCast::unchecked_into).collect()),
            };
            tell(what, paths.iter().map(|path| path.as_string().unwrap_or_default()).collect())
        },
    );
    // What it cannot read it tells.
    let _ = part::walk(&files, &entries, place, dotfiles, tell.as_ref().unchecked_ref()).await;
}

/// Tries again to load what walks, if somebody waits for it.
pub(super) fn again() {
    part::again();
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
        pub(super) fn again();
    }
}
