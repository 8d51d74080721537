//! Uploads from before this page was opened: found again, gone on with where their file is at hand, and otherwise held
//! until the person has brought it. Must never decide whether an upload is worth remembering, nor what follows when its
//! file has changed.

use std::rc::{Rc, Weak};

use wasm_bindgen_futures::spawn_local;

use crate::{
    engine::event::{Event, FileId, Need},
    wire::{ProgressId, Protocol},
};

use super::{
    Inner,
    files::Picked,
    remember::{self, Record},
    sample, take,
};

impl Inner {
    /// Finds the unfinished uploads that no other page works on, now and when such a page closes.
    pub(super) fn look_for_unfinished(self: &Rc<Self>) {
        if self.protocol == Protocol::Form {
            return;
        }
        let inner = Rc::downgrade(self);
        spawn_local(async move {
            for record in remember::all().await {
                let Some(inner) = inner.upgrade().filter(|inner| inner.resumable == record.endpoint) else {
                    continue;
                };
                spawn_local(take_over(Rc::downgrade(&inner), record.id));
            }
        });
    }

    pub(super) fn remember(self: &Rc<Self>, file: FileId, id: ProgressId, url: String) {
        let Some(picked) = self.files.find(file) else { return };
        self.remembered.borrow_mut().push((id.clone(), None));
        let record = Record {
            id,
            endpoint: self.resumable.clone(),
            url,
            meta: picked.meta(),
            digest: picked.digest,
            sample: None,
            file: Some(picked.file.clone()),
            handle: None,
        };
        let inner = Rc::downgrade(self);
        spawn_local(async move {
            let lock = remember::lock(&record.id).await;
            if !keep_lock(&inner, &record.id, lock) {
                return;
            }
            let sample = sample::of(&picked.file).await;
            let handle = picked.handle.borrow().clone();
            let record = Record { sample, handle, ..record };
            remember::write(&record).await;
            // It may have ended meanwhile.
            let wanted = inner.upgrade().is_some_and(|inner| {
                inner.remembered.borrow().iter().any(|(remembered, _)| *remembered == record.id)
            });
            if !wanted && inner.upgrade().is_some() {
                remember::strike(&record.id).await;
            }
        });
    }

    pub(super) fn unremember(self: &Rc<Self>, file: FileId, id: ProgressId) {
        take(&mut self.missing.borrow_mut(), &file);
        let lock = take(&mut self.remembered.borrow_mut(), &id);
        spawn_local(async move {
            remember::strike(&id).await;
            // Only now: whoever waits for it must find no record any more.
            drop(lock);
        });
    }

    /// The missing file that this one is, by all that is known without reading. By its name alone only where it was
    /// chosen for that one: another of the same name is a new file.
    pub(super) fn missing_like(&self, picked: &Picked, chosen_for: Option<FileId>) -> Option<FileId> {
        let meta = picked.meta();
        let missing = self.missing.borrow();
        let same = missing.iter().find(|(_, record)| {
            record.meta.name == meta.name
                && record.meta.size == meta.size
                && record.meta.modified_ms == meta.modified_ms
        });
        let named = || {
            let named = |(file, record): &&(FileId, Record)| {
                Some(*file) == chosen_for && record.meta.name == meta.name
            };
            missing.iter().find(named)
        };
        same.or_else(named).map(|(file, _)| *file)
    }

    /// A file was picked that may be a missing one.
    pub(super) fn picked_again(self: &Rc<Self>, file: FileId, picked: Picked) {
        let Some(record) = take(&mut self.missing.borrow_mut(), &file) else { return };
        let inner = Rc::downgrade(self);
        spawn_local(async move {
            let same = is_same(&record, &picked).await;
            let Some(inner) = inner.upgrade() else { return };
            let Some(same) = same else {
                // As if nobody had picked it: it cannot be read, be it the same or not.
                let wanted = inner.remembered.borrow().iter().any(|(id, _)| *id == record.id);
                if wanted {
                    inner.missing.borrow_mut().push((file, record));
                }
                return;
            };
            inner.files.put(file, picked.clone());
            if same {
                (inner.deliver)(Event::AtHand { file });
                // The next page need not ask again.
                let handle = picked.handle.borrow().clone();
                remember::write(&Record { file: Some(picked.file), handle, ..record }).await;
            } else {
                (inner.deliver)(Event::Changed { file, meta: picked.meta() });
            }
        });
    }

    pub(super) fn fetch_file(self: &Rc<Self>, file: FileId, need: Need) {
        let record = self
            .missing
            .borrow()
            .iter()
            .find(|(missing, _)| *missing == file)
            .map(|(_, record)| record.clone());
        if need == Need::Leave
            && let Some((kept, digest)) =
                record.as_ref().and_then(|record| Some((record.file.clone()?, record.digest)))
        {
            return self.picked_again(file, Picked::new(kept, digest));
        }
        let handle = record.and_then(|record| record.handle.map(|handle| (handle, record.digest)));
        match handle.filter(|_| need == Need::Leave) {
            Some((handle, digest)) => {
                let inner = Rc::downgrade(self);
                spawn_local(async move {
                    // A refusal leaves everything as it is: the person may press the button again.
                    if let Ok(Some(opened)) = remember::open(&handle, true).await
                        && let Some(inner) = inner.upgrade()
                    {
                        let picked = Picked::new(opened, digest);
                        picked.handle.replace(Some(handle));
                        inner.picked_again(file, picked);
                    }
                });
            }
            None => {
                if let Some(input) = self.input() {
                    self.chosen_for.set(Some(file));
                    input.click();
                }
            }
        }
    }
}

/// Waits until nobody else works on an upload and, if it is still unfinished then, hands it to the queue.
async fn take_over(inner: Weak<Inner>, id: ProgressId) {
    // A page that has forgotten it, or begun it, holds the lock already.
    let mine = |inner: &Inner| inner.remembered.borrow().iter().any(|(remembered, _)| *remembered == id);
    match inner.upgrade() {
        Some(inner) if !mine(&inner) => inner.remembered.borrow_mut().push((id.clone(), None)),
        _ => return,
    }
    let lock = remember::lock(&id).await;
    let excludes = lock.excludes();
    if !keep_lock(&inner, &id, lock) {
        return;
    }
    let Some(record) = remember::read(&id).await else {
        if let Some(inner) = inner.upgrade() {
            let lock = take(&mut inner.remembered.borrow_mut(), &id);
            drop(lock);
        }
        return;
    };
    let (mut found, mut need) = at_hand(&record).await;
    let mut same = true;
    // What the browser kept is a copy: it cannot have changed.
    if let Some(picked) = found.as_ref().filter(|_| record.file.is_none()) {
        match is_same(&record, picked).await {
            Some(told) => same = told,
            None => (found, need) = (None, Some(Need::Pick)),
        }
    }
    let Some(inner) = inner.upgrade() else { return };
    if !excludes && same && need.is_none() {
        // Another page may be at work on it: the person knows, and goes on with it by a click.
        (found, need) = (None, Some(Need::Leave));
    }
    let at_hand = found.clone().filter(|_| same);
    if let Some(picked) = &at_hand {
        picked.sample.set(record.sample);
    }
    let candidate = inner.files.take_again(record.meta.clone(), at_hand, id);
    let file = candidate.id;
    let need = if same { need } else { Some(Need::Pick) };
    if need.is_some() && same {
        inner.missing.borrow_mut().push((file, record.clone()));
    }
    (inner.deliver)(Event::Found { candidate, url: record.url, need });
    if let Some(picked) = found.filter(|_| !same) {
        let meta = picked.meta();
        inner.files.put(file, picked);
        (inner.deliver)(Event::Changed { file, meta });
    }
}

/// The file of a record as far as the browser gives it without asking anybody, and what it takes otherwise.
async fn at_hand(record: &Record) -> (Option<Picked>, Option<Need>) {
    if let Some(file) = &record.file {
        return (Some(Picked::new(file.clone(), record.digest)), None);
    }
    let Some(handle) = &record.handle else { return (None, Some(Need::Pick)) };
    match remember::open(handle, false).await {
        Ok(Some(file)) => {
            let picked = Picked::new(file, record.digest);
            picked.handle.replace(Some(handle.clone()));
            (Some(picked), None)
        }
        Ok(None) => (None, Some(Need::Pick)),
        Err(remember::NeedsLeave) => (None, Some(Need::Leave)),
    }
}

/// Whether this is the file that the upload was begun with: by name, length and time, and by what its ends hold.
/// `None` when it cannot be read now.
async fn is_same(record: &Record, picked: &Picked) -> Option<bool> {
    let meta = picked.meta();
    let alike = meta.name == record.meta.name
        && meta.size == record.meta.size
        && meta.modified_ms == record.meta.modified_ms;
    if !alike {
        return Some(false);
    }
    let sample = sample::of(&picked.file).await?;
    picked.sample.set(Some(sample));
    Some(record.sample.is_none_or(|known| known == sample))
}

/// Keeps a lock as long as the upload is worth it. `false` when it is not any more.
fn keep_lock(inner: &Weak<Inner>, id: &ProgressId, lock: remember::Lock) -> bool {
    let Some(inner) = inner.upgrade() else { return false };
    let mut remembered = inner.remembered.borrow_mut();
    match remembered.iter_mut().find(|(remembered, _)| remembered == id) {
        Some((_, place)) => {
            *place = Some(lock);
            true
        }
        None => false,
    }
}
