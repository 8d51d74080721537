//! The files a person picked, under the numbers the queue knows them by. Must never read a byte of one.

use std::cell::RefCell;

use wasm_bindgen::JsValue;
use web_sys::{DataTransfer, File, FileList};

use crate::{
    engine::event::{Candidate, FileId, FileMeta},
    wire::ProgressId,
};

use super::clock;

/// A picked file and what was asked for when it was picked.
#[derive(Clone)]
pub(super) struct Picked {
    /// The browser's own handle.
    pub(super) file: File,
    /// Whether the SHA-256 of what is stored is wanted.
    pub(super) digest: bool,
}

/// All files that may still be needed. A file's number is its place.
#[derive(Default)]
pub(super) struct Files(RefCell<Vec<Option<Picked>>>);

impl Files {
    /// Takes a file in.
    pub(super) fn take(&self, file: File, digest: bool) -> Candidate {
        let meta = FileMeta {
            name: file.name(),
            path: relative_path(&file),
            size: file.size() as u64,
            modified_ms: Some(file.last_modified() as u64),
            media_type: file.type_(),
        };
        self.keep(meta, Some(Picked { file, digest }))
    }

    /// Gives a number to something that cannot be taken.
    pub(super) fn name_only(&self, name: String) -> Candidate {
        let meta =
            FileMeta { name, path: String::new(), size: 0, modified_ms: None, media_type: String::new() };
        self.keep(meta, None)
    }

    /// The file with this number.
    pub(super) fn find(&self, id: FileId) -> Option<Picked> {
        self.0.borrow().get(id.0 as usize).cloned().flatten()
    }

    /// Lets go of a file.
    pub(super) fn forget(&self, id: FileId) {
        if let Some(place) = self.0.borrow_mut().get_mut(id.0 as usize) {
            *place = None;
        }
    }

    fn keep(&self, meta: FileMeta, picked: Option<Picked>) -> Candidate {
        let mut places = self.0.borrow_mut();
        let id = FileId(places.len() as u32);
        places.push(picked);
        Candidate { id, progress_id: ProgressId::from_bits(clock::random()), meta }
    }
}

/// What was dropped or pasted: files, and the names of folders.
#[derive(Default)]
pub(super) struct Dropped {
    /// The files.
    pub(super) files: Vec<File>,
    /// Folders, which a list of files shows as bogus files of a few bytes.
    pub(super) folders: Vec<String>,
}

/// Whether a drag or the clipboard carries files at all.
pub(super) fn carries_files(data: &DataTransfer) -> bool {
    data.types().iter().any(|kind| kind.as_string().as_deref() == Some("Files"))
}

/// Everything in a drop. Must be called before the event is over: browsers empty it then.
pub(super) fn dropped(data: &DataTransfer) -> Dropped {
    let mut found = Dropped::default();
    let items = data.items();
    for index in 0..items.length() {
        let Some(item) = items.get(index).filter(|item| item.kind() == "file") else { continue };
        let entry = item.webkit_get_as_entry().ok().flatten();
        if let Some(folder) = entry.filter(|entry| entry.is_directory()) {
            found.folders.push(folder.name());
        } else if let Ok(Some(file)) = item.get_as_file() {
            found.files.push(file);
        }
    }
    if found.files.is_empty() && found.folders.is_empty() {
        found.files = data.files().map(|list| each(&list)).unwrap_or_default();
    }
    found
}

/// The files of a list.
pub(super) fn each(list: &FileList) -> Vec<File> {
    (0..list.length()).filter_map(|index| list.get(index)).collect()
}

/// Path inside a picked folder, as the browser tells it; empty for a single file.
fn relative_path(file: &File) -> String {
    let path = js_sys::Reflect::get(file.as_ref(), &JsValue::from_str("webkitRelativePath"));
    path.ok().and_then(|path| path.as_string()).unwrap_or_default()
}
