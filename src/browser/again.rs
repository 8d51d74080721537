//! Uploads from before this page was opened: found again, gone on with where their file is at hand, and otherwise held
//! until the person has brought it. Must never decide whether an upload is worth remembering, nor what follows when its
//! file has changed.

use std::{
    cell::Cell,
    rc::{Rc, Weak},
};

use js_sys::Promise;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ShadowRoot, Url, window};

use crate::{
    engine::event::{Event, FileId, FileMeta, Need},
    wire::{Options, ProgressId, Protocol},
};

use super::{
    Inner, clock,
    files::Picked,
    folders,
    remember::{self, Record},
    sample, take,
    xhr::Outcome,
};

/// What one widget does with files, and where: what another does, on this page or another, is none of its business. A
/// file that was meant for one form must not end in the next.
pub(super) fn scope(options: &Options) -> String {
    let full = |url: &str| full(url).map(|url| url.href()).unwrap_or_default();
    let dialect = if options.protocol == Protocol::Tus { "tus" } else { "rufh" };
    let page = window().map(|window| window.location());
    let page = page.and_then(|page| Some([page.pathname().ok()?, page.search().ok()?].concat()));
    [
        &full(&options.action),
        &full(&options.resumable),
        dialect,
        &options.accept,
        &page.unwrap_or_default(),
        &options.field,
    ]
    .join("\n")
}

/// An address of the page's, in full.
pub(super) fn full(url: &str) -> Option<Url> {
    let base = window()?.document()?.base_uri().ok()??;
    Url::new_with_base(url, &base).ok()
}

impl Inner {
    /// What tells this widget from all others, as the page names it.
    fn whole_scope(&self) -> String {
        let root = self.form.borrow().as_ref().map(|form| form.get_root_node());
        let host = root.and_then(|root| root.dyn_into::<ShadowRoot>().ok()).map(|shadow| shadow.host());
        let named = |name| host.as_ref()?.get_attribute(name);
        [self.scope.as_str(), &named("name").unwrap_or_default(), &named("id").unwrap_or_default()].join("\n")
    }

    /// Finds the unfinished uploads that no other page works on, now and when such a page closes.
    pub(super) fn look_for_unfinished(self: &Rc<Self>) {
        if !self.remembers || self.protocol == Protocol::Form {
            return;
        }
        let (inner, scope) = (Rc::downgrade(self), self.whole_scope());
        clock::spawn(async move {
            let found = remember::sweep(&scope).await;
            let Some(strong) = inner.upgrade().filter(|_| !found.is_empty()) else { return };
            let job = move || take_over_all(&inner, found);
            if strong.is_whole() {
                job();
            } else {
                strong.hold(0, Box::new(job));
            }
        });
    }

    pub(super) fn remember(self: &Rc<Self>, file: FileId, id: ProgressId, url: String) {
        let Some(picked) = self.files.find(file) else { return };
        self.remembered.borrow_mut().push((id.clone(), None));
        if !self.remembers {
            return;
        }
        let record = self.record(&picked, id, url);
        let inner = Rc::downgrade(self);
        clock::spawn(async move {
            let lock = remember::lock(&record.id).await;
            if !keep_lock(&inner, &record.id, lock) {
                return;
            }
            let handle = picked.handle.borrow().clone();
            let record = Record { handle, ..record };
            remember::write(&record).await;
            // It may have ended meanwhile.
            if inner.upgrade().is_some_and(|inner| !inner.is_remembered(&record.id)) {
                remember::strike(&record.id).await;
            }
        });
    }

    fn record(&self, picked: &Picked, id: ProgressId, url: String) -> Record {
        Record {
            id,
            scope: self.whole_scope(),
            url,
            meta: picked.meta(),
            digest: picked.digest,
            sample: picked.sample.get(),
            expires_ms: picked.expires_ms.get(),
            file: Some(picked.file.clone()),
            handle: picked.handle.borrow().clone(),
        }
    }

    fn is_remembered(&self, id: &ProgressId) -> bool {
        self.remembered.borrow().iter().any(|(remembered, _)| remembered == id)
    }

    /// The browser does not give the bytes of this file any more: the person may pick it again.
    pub(super) fn lacks(&self, file: FileId, id: ProgressId, url: String) {
        let known = self.missing.borrow().iter().any(|(missing, _)| *missing == file);
        if let Some(picked) = self.files.find(file).filter(|_| !known) {
            let record = self.record(&picked, id, url);
            self.missing.borrow_mut().push((file, record));
        }
    }

    pub(super) fn unremember(self: &Rc<Self>, file: FileId, id: ProgressId) {
        take(&mut self.missing.borrow_mut(), &file);
        self.unremember_unseen(id);
    }

    fn unremember_unseen(&self, id: ProgressId) {
        let lock = take(&mut self.remembered.borrow_mut(), &id);
        clock::spawn(async move {
            remember::strike(&id).await;
            // Only now: whoever waits for it must find no record any more.
            drop(lock);
        });
    }

    /// The missing file that this one is, by all that is known without reading. By its name alone, or under another,
    /// only where it was chosen for that one: others are new files.
    pub(super) fn missing_like(&self, picked: &Picked, chosen_for: Option<FileId>) -> Option<FileId> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            return None;
        }
        let meta = picked.meta();
        let same = missing.iter().find(|(_, record)| record.meta.name == meta.name && alike(record, &meta));
        let chosen = || {
            missing.iter().find(|(file, record)| {
                Some(*file) == chosen_for && (record.meta.name == meta.name || alike(record, &meta))
            })
        };
        same.or_else(chosen).map(|(file, _)| *file)
    }

    /// A file was picked that may be a missing one.
    pub(super) fn picked_again(self: &Rc<Self>, file: FileId, picked: Picked) {
        let record = self.missing(file);
        let Some(record) = record else { return };
        let inner = Rc::downgrade(self);
        clock::spawn(async move {
            let same = is_same(&record, &picked).await;
            let Some(inner) = inner.upgrade().filter(|inner| inner.is_remembered(&record.id)) else { return };
            let Some(same) = same else {
                // It cannot be read, be it the same or not.
                return (inner.deliver)(Event::NotAtHand { file, need: Need::Pick });
            };
            inner.files.put(file, picked.clone());
            if !same {
                // The right one may still come.
                return (inner.deliver)(Event::Changed { file, meta: picked.meta() });
            }
            take(&mut inner.missing.borrow_mut(), &file);
            (inner.deliver)(Event::AtHand { file });
            // The next page need not ask again.
            if inner.remembers && inner.is_remembered(&record.id) {
                let handle = picked.handle.borrow().clone();
                remember::write(&Record { file: Some(picked.file), handle, ..record }).await;
            }
        });
    }

    /// What is known of a missing file, if it is one.
    pub(super) fn missing(&self, file: FileId) -> Option<Record> {
        let missing = self.missing.borrow();
        missing.iter().find(|(missing, _)| *missing == file).map(|(_, record)| record.clone())
    }

    pub(super) fn fetch_file(self: &Rc<Self>, file: FileId, need: Need) {
        if self.is_outside(file) {
            return folders::again();
        }
        if let Some(record) = self.missing(file).filter(|_| need == Need::Leave) {
            if let Some(kept) = record.file {
                return self.picked_again(file, Picked::new(kept, record.digest));
            }
            if let Some(handle) = record.handle {
                return self.ask_for_leave(file, handle, record.digest);
            }
        }
        if let Some(input) = self.input() {
            self.chosen_for.set(Some(file));
            input.click();
        }
    }

    fn ask_for_leave(self: &Rc<Self>, file: FileId, handle: JsValue, digest: bool) {
        let inner = Rc::downgrade(self);
        clock::spawn(async move {
            let opened = remember::open(&handle, true).await;
            let Some(inner) = inner.upgrade() else { return };
            if let Ok(Some(opened)) = opened {
                let picked = Picked::new(opened, digest);
                picked.handle.replace(Some(handle));
                inner.picked_again(file, picked);
            } else {
                // Refused, or the file has moved: only the person knows where it is.
                (inner.deliver)(Event::NotAtHand { file, need: Need::Pick });
            }
        });
    }

    /// What the server says of an upload to whoever is here now: a status, 0 where no answer came, and until when it
    /// keeps it.
    async fn ask_after(self: Rc<Self>, url: &str) -> (u16, Option<f64>) {
        let headers = self.headers.borrow().clone();
        let Some(mut request) = self.speak("HEAD", url, &headers) else { return (0, None) };
        let said = Rc::new(Cell::new((0, None)));
        let answered = Promise::new(&mut |resolve, _| {
            let (inner, said, key) = (Rc::downgrade(&self), Rc::clone(&said), url.to_owned());
            request.on_end(move |outcome| {
                if let Outcome::Answered(answer) = outcome {
                    said.set((answer.status, answer.expires_ms()));
                }
                if let Some(inner) = inner.upgrade() {
                    let ended = take(&mut inner.discards.borrow_mut(), &key);
                    drop(ended);
                }
                let _ = resolve.call0(&JsValue::UNDEFINED);
            });
        });
        request.send(None);
        self.discards.borrow_mut().push((url.to_owned(), request));
        // A page that goes away takes the request with it.
        drop(self);
        let _ = JsFuture::from(answered).await;
        said.get()
    }

    /// Leaves an upload to whoever may know of it.
    fn leave(&self, id: &ProgressId) {
        let lock = take(&mut self.remembered.borrow_mut(), id);
        drop(lock);
    }
}

#[inline(never)]
fn take_over_all(inner: &Weak<Inner>, found: Vec<ProgressId>) {
    if let Some(inner) = inner.upgrade() {
        inner.catch_up();
    }
    for id in found {
        clock::spawn(take_over(inner.clone(), id));
    }
}

/// Waits until nobody else works on an upload and, if it is still unfinished then, hands it to the queue.
async fn take_over(inner: Weak<Inner>, id: ProgressId) {
    // A page that has forgotten it, or begun it, holds the lock already.
    match inner.upgrade() {
        Some(inner) if !inner.is_remembered(&id) => inner.remembered.borrow_mut().push((id.clone(), None)),
        _ => return,
    }
    let lock = remember::lock(&id).await;
    let excludes = lock.excludes();
    if !keep_lock(&inner, &id, lock) {
        return;
    }
    let record = remember::read(&id).await;
    let Some(strong) = inner.upgrade() else { return };
    let Some(mut record) = record else { return strong.leave(&id) };
    // Another person may sit here by now: not even the name is shown to whom the server does not know as its owner.
    let (status, expires_ms) = strong.ask_after(&record.url).await;
    record.expires_ms = expires_ms.or(record.expires_ms);
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
    match status {
        // Asked without what shows who is here: the queue will ask again, with it.
        _ if inner.signs => {}
        // Gone, and there is nothing here that could be sent anew.
        404 => return inner.unremember_unseen(id),
        410 if need.is_some() => return inner.unremember_unseen(id),
        401 | 403 => return inner.leave(&id),
        _ => {}
    }
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
    if need.is_some() {
        inner.missing.borrow_mut().push((file, record.clone()));
    }
    (inner.deliver)(Event::Found { candidate, url: record.url.clone(), need });
    if super::parts::may_show(&record.meta) {
        inner.show_pictures();
    }
    if let Some(picked) = found.filter(|_| !same) {
        let meta = picked.meta();
        inner.files.put(file, picked);
        (inner.deliver)(Event::Changed { file, meta });
    }
    if inner.is_remembered(&record.id) {
        remember::write(&record).await;
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

/// Whether this is the file that the upload was begun with: by length and time, and by what its ends hold. `None` when
/// it cannot be read now.
async fn is_same(record: &Record, picked: &Picked) -> Option<bool> {
    if !alike(record, &picked.meta()) {
        return Some(false);
    }
    let sample = sample::of(picked, false).await?;
    picked.sample.set(Some(sample));
    Some(record.sample.is_none_or(|known| known == sample))
}

fn alike(record: &Record, meta: &FileMeta) -> bool {
    record.meta.size == meta.size && record.meta.modified_ms == meta.modified_ms
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
