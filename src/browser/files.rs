//! The files a person picked, under the numbers the queue knows them by. Must never read a byte of one.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use js_sys::{Promise, Reflect};
use wasm_bindgen::JsValue;
use web_sys::{DataTransfer, DataTransferItem, DataTransferItemList, File, FileList, FileSystemEntry};

use crate::{
    engine::event::{Candidate, FileId, FileMeta},
    wire::ProgressId,
};

use super::{clock, remember};

/// A picked file and what was asked for when it was picked.
#[derive(Clone)]
pub(super) struct Picked {
    /// The browser's own handle.
    pub(super) file: File,
    /// Its length in bytes when it was picked: Chromium looks at the disk each time it is asked for it, and the page
    /// stands still meanwhile.
    pub(super) size: u64,
    /// Length in bytes of the picture that it was made from, if it was made smaller.
    pub(super) original: Option<u64>,
    /// Whether the SHA-256 of what is stored is wanted.
    pub(super) digest: bool,
    /// Its path inside the folder that was picked, with `/`; empty for a single file.
    pub(super) path: String,
    /// What its ends held when its upload was begun; `None` until that is known.
    pub(super) sample: Rc<Cell<Option<f64>>>,
    /// Until when the server keeps its upload, in milliseconds since 1970-01-01 UTC, as far as it has told.
    pub(super) expires_ms: Rc<Cell<Option<f64>>>,
    /// The handle that came with a drop, where a browser has such a thing.
    pub(super) handle: Rc<RefCell<Option<JsValue>>>,
}

/// All files that may still be needed. A file's number is its place.
#[derive(Default)]
pub(super) struct Files {
    places: RefCell<Vec<Option<Picked>>>,
    late: RefCell<Weak<Late>>,
}

/// What was let go of while somebody had still to ask for it.
pub(super) type Late = RefCell<Vec<(FileId, Picked)>>;

impl Picked {
    /// A file, and whether its digest is wanted.
    pub(super) fn new(file: File, digest: bool) -> Self {
        let (path, size) = (relative_path(&file), file.size() as u64);
        Self {
            file,
            size,
            original: None,
            digest,
            path,
            sample: Rc::default(),
            expires_ms: Rc::default(),
            handle: Rc::default(),
        }
    }

    /// What is known of it without reading it.
    pub(super) fn meta(&self) -> FileMeta {
        FileMeta {
            name: self.file.name(),
            path: self.path.clone(),
            size: self.size,
            original: self.original,
            modified_ms: Some(self.file.last_modified() as u64),
            media_type: self.file.type_(),
        }
    }
}

impl Files {
    /// Takes a file in.
    pub(super) fn take(&self, picked: Picked) -> Candidate {
        self.keep(picked.meta(), Some(picked), random_id())
    }

    /// Gives a number to a file that was begun before this page was opened, whether it is at hand or not.
    pub(super) fn take_again(&self, meta: FileMeta, picked: Option<Picked>, id: ProgressId) -> Candidate {
        self.keep(meta, picked, id)
    }

    /// Puts a file in the place of one that was not at hand.
    pub(super) fn put(&self, id: FileId, picked: Picked) {
        if let Some(place) = self.places.borrow_mut().get_mut(id.0 as usize) {
            *place = Some(picked);
        }
    }

    /// Gives a number to something that cannot be taken.
    pub(super) fn name_only(&self, path: String) -> Candidate {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let meta =
            FileMeta { name, path, size: 0, original: None, modified_ms: None, media_type: String::new() };
        self.keep(meta, None, random_id())
    }

    /// The file with this number.
    pub(super) fn find(&self, id: FileId) -> Option<Picked> {
        self.places.borrow().get(id.0 as usize).cloned().flatten()
    }

    /// Lets go of a file.
    pub(super) fn forget(&self, id: FileId) {
        let gone = self.places.borrow_mut().get_mut(id.0 as usize).and_then(Option::take);
        if let Some(gone) = gone
            && let Some(late) = self.late.borrow().upgrade()
        {
            late.borrow_mut().push((id, gone));
        }
    }

    /// What is let go of from now on is put in here too, until this is dropped.
    pub(super) fn late(&self) -> Rc<Late> {
        let late = Rc::default();
        self.late.replace(Rc::downgrade(&late));
        late
    }

    /// The file with this number, and also one that was let go of meanwhile.
    pub(super) fn find_late(&self, id: FileId) -> Option<Picked> {
        self.find(id).or_else(|| {
            let late = self.late.borrow().upgrade()?;
            let late = late.borrow();
            late.iter().find(|(gone, _)| *gone == id).map(|(_, picked)| picked.clone())
        })
    }

    fn keep(&self, meta: FileMeta, picked: Option<Picked>, progress_id: ProgressId) -> Candidate {
        let mut places = self.places.borrow_mut();
        let id = FileId(places.len() as u32);
        places.push(picked);
        Candidate { id, progress_id, meta }
    }
}

fn random_id() -> ProgressId {
    ProgressId::from_bits(clock::random())
}

/// What was dropped or pasted: files and folders.
#[derive(Default)]
pub(super) struct Dropped {
    /// The files.
    pub(super) files: Vec<File>,
    /// For each of the first files, the promise of its handle, if the browser makes one.
    pub(super) handles: Vec<Option<Promise>>,
    /// Folders, which a list of files shows as bogus files of a few bytes.
    pub(super) folders: Vec<FileSystemEntry>,
    /// Where all of it lies, if there may be folders among `files`: what is one is told there. Else it is undefined.
    pub(super) place: JsValue,
}

impl Dropped {
    /// Nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }
}

/// Whether a drag or the clipboard carries files at all.
pub(super) fn carries_files(data: &DataTransfer) -> bool {
    data.types().iter().any(|kind| kind.as_string().as_deref() == Some("Files"))
}

/// Of so many files at most each is asked by itself whether it is a folder, and for its handle: that is worth having of
/// a very large file, and of many files few are.
const FEW: usize = super::AT_ONCE;

/// Everything in a drop. Must be called before the event is over: browsers empty it then.
pub(super) fn dropped(data: &DataTransfer) -> Dropped {
    let mut found = Dropped::default();
    let (items, mut kept) = (data.items(), Vec::new());
    let listed = data.files().map(|list| each(&list)).unwrap_or_default();
    if listed.len() > FEW
        && let Some(place) = place(&items)
    {
        return Dropped { files: listed, place, ..found };
    }
    for index in 0..items.length() {
        let Some(item) = items.get(index).filter(|item| item.kind() == "file") else { continue };
        if let Some(folder) = entry(&item).filter(|entry| entry.is_directory()) {
            found.folders.push(folder);
        } else if let Ok(Some(file)) = item.get_as_file() {
            found.files.push(file);
            kept.push(item);
        }
    }
    // After all the entries, for which Chromium's other process is waited for: it would be at work on the handles, and
    // each entry then takes it twenty times as long.
    if listed.len() <= FEW {
        found.handles = kept.iter().map(|item| remember::call(item, "getAsFileSystemHandle", &[])).collect();
    }
    if found.is_empty() {
        found.files = listed;
    }
    found
}

/// Where all that was dropped lies, in browsers that have one place for it, as Chromium has. There each entry is waited
/// for, half a millisecond in which the page stands still; this place can be looked through afterwards. In others each
/// has a place of its own, or none.
fn place(items: &DataTransferItemList) -> Option<JsValue> {
    let mut files =
        (0..items.length()).filter_map(|index| items.get(index)).filter(|item| item.kind() == "file");
    let place_of =
        |item| Reflect::get(entry(&item)?.as_ref(), &"filesystem".into()).ok().filter(JsValue::is_object);
    let (first, last) = (place_of(files.next()?)?, place_of(files.next_back()?)?);
    (first == last).then_some(first)
}

fn entry(item: &DataTransferItem) -> Option<FileSystemEntry> {
    item.webkit_get_as_entry().ok().flatten()
}

/// The files of a list.
pub(super) fn each(list: &FileList) -> Vec<File> {
    (0..list.length()).filter_map(|index| list.get(index)).collect()
}

/// Path inside a picked folder, as the browser tells it; empty for a single file.
pub(super) fn relative_path(file: &File) -> String {
    let path = Reflect::get(file.as_ref(), &JsValue::from_str("webkitRelativePath"));
    path.ok().and_then(|path| path.as_string()).unwrap_or_default()
}
