//! The part of the bundle that pages fetch with the first file, or with the first sign that one is coming: in it is all
//! that works on files. What comes before it waits here, in order, and nothing of it is lost. Must never know what
//! becomes of what waits.
//!
//! Functions of that part are called by nobody before it is here: whoever could, asks [`Inner::is_whole`] first, or
//! belongs to a row, of which there is none before. The build cuts the bundle by the functions' names
//! (`scripts/site.mjs`), which is why the first of them are never inlined.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use gloo_events::EventListener;
use js_sys::Promise;
use wasm_bindgen::{closure::Closure, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{EventTarget, window};

use crate::engine::{
    event::Event,
    view::{Lack, Waiting},
};

use super::{Inner, clock};

/// What a person does at a widget before there is a file.
const SIGNS: [&str; 4] = ["pointerover", "focusin", "touchstart", "dragenter"];

thread_local! {
    /// Whether the bundle is whole: it is so for every widget of the page.
    static WHOLE: Cell<bool> = const { Cell::new(false) };
}

/// What one widget has put off.
#[derive(Default)]
pub(super) struct Held {
    jobs: RefCell<Vec<Job>>,
    /// Whether what has waited is being done.
    working_off: Cell<bool>,
    /// Whether somebody waits for the rest already.
    loading: Cell<bool>,
    /// Why it could not be had yet.
    lack: Cell<Option<Lack>>,
    /// Whether the browser has said that the network is gone.
    offline: Cell<bool>,
}

/// Something that is done as soon as the bundle is whole.
struct Job {
    /// How many files wait with it.
    files: usize,
    run: Box<dyn FnOnce()>,
}

/// Listens for the first sign of a file.
pub(super) fn signs(form: &EventTarget) -> Vec<EventListener> {
    SIGNS.map(|sign| EventListener::new(form, sign, |_| soon())).into()
}

/// A file may be coming.
fn soon() {
    if !WHOLE.get() {
        let _ = script::rest(None);
    }
}

impl Inner {
    /// Whether what works on files is here, and nothing waits for it any more but its turn.
    pub(super) fn is_whole(&self) -> bool {
        WHOLE.get() && (self.held.working_off.get() || self.held.jobs.borrow().is_empty())
    }

    /// Whether files can be taken in now: a page that hears of the first of those that have waited and has more gets
    /// ahead of none.
    pub(super) fn takes_files(&self) -> bool {
        self.is_whole() && !self.held.working_off.get()
    }

    /// Whether files that have waited are being taken in, and more of them wait: what a page wants when it hears of one
    /// has its turn after the others.
    pub(super) fn has_more(&self) -> bool {
        self.held.working_off.get() && !self.held.jobs.borrow().is_empty()
    }

    /// Does this after all that waits already, as soon as the bundle is whole. So many files wait with it.
    pub(super) fn hold(self: &Rc<Self>, files: usize, run: Box<dyn FnOnce()>) {
        self.held.jobs.borrow_mut().push(Job { files, run });
        if self.held.working_off.get() {
            return;
        }
        if !self.held.loading.replace(true) {
            clock::spawn(load(Rc::downgrade(self)));
        }
        if files > 0 {
            self.tell_waiting();
        }
    }

    /// Does this in its turn, if anything waits at all: about an empty list there is nothing to be said.
    pub(super) fn hold_as_well(&self, run: Box<dyn FnOnce()>) {
        let mut jobs = self.held.jobs.borrow_mut();
        if !jobs.is_empty() {
            jobs.push(Job { files: 0, run });
        }
    }

    /// Lets go of the files that wait for what could not be had. `false`: it is on its way, and so are they.
    pub(super) fn drop_waiting(&self) -> bool {
        let stuck = self.held.lack.get().is_some();
        if stuck {
            self.held.jobs.borrow_mut().retain(|job| job.files == 0);
            self.tell_waiting();
        }
        stuck
    }

    /// The page tells something of itself. Of what it told before there was a list only one thing matters then: whether
    /// the network is gone.
    pub(super) fn page_tells(self: &Rc<Self>, event: Event) {
        match event {
            Event::Offline => self.offline.set(true),
            Event::Online => self.offline.set(false),
            _ => {}
        }
        // What was only supposed is known by now.
        if matches!(event, Event::Offline | Event::Online) {
            self.doubt.take();
        }
        if self.is_whole() {
            // Another widget may have made the bundle whole; what this one was told before is older than this.
            match event {
                Event::Online => self.held.offline.set(false),
                _ => self.catch_up(),
            }
            (self.deliver)(event);
        } else if self.held.jobs.borrow().is_empty() {
            match event {
                Event::Offline => self.held.offline.set(true),
                Event::Online => self.held.offline.set(false),
                _ => {}
            }
        } else {
            let inner = Rc::downgrade(self);
            self.hold_as_well(Box::new(move || super::tell(&inner, event)));
        }
    }

    /// Tells the queue what it does not know yet. To be called before the first file is taken in.
    pub(super) fn catch_up(&self) {
        if self.held.offline.take() {
            (self.deliver)(Event::Offline);
        }
    }

    fn let_go(&self) {
        self.held.lack.set(None);
        let files = self.held.jobs.borrow().iter().any(|job| job.files > 0);
        self.held.working_off.set(true);
        while !self.held.jobs.borrow().is_empty() {
            let job = self.held.jobs.borrow_mut().remove(0);
            (job.run)();
        }
        self.held.working_off.set(false);
        if files {
            self.tell_waiting();
        }
    }

    fn tell_waiting(&self) {
        let files = self.held.jobs.borrow().iter().map(|job| job.files).sum::<usize>();
        (self.waiting)(Waiting { files: files.try_into().unwrap_or(u32::MAX), failed: self.held.lack.get() });
    }

    /// What is waited for could not be had. `true`: somebody waits for it still.
    fn missed(&self, gone: bool) -> bool {
        let online = window().is_none_or(|window| window.navigator().on_line());
        self.held.lack.set(Some(match (gone, online) {
            (true, _) => Lack::Outdated,
            (false, true) => Lack::Down,
            (false, false) => Lack::Offline,
        }));
        let (waits, files) = {
            let jobs = self.held.jobs.borrow();
            (!jobs.is_empty(), jobs.iter().any(|job| job.files > 0))
        };
        if files {
            self.tell_waiting();
        }
        waits
    }
}

/// Waits until the bundle is whole, however long that takes, and has done then what waits for it.
async fn load(inner: Weak<Inner>) {
    let told = inner.clone();
    let failed = Closure::<dyn FnMut(bool) -> bool>::new(move |gone| {
        told.upgrade().is_some_and(|inner| inner.missed(gone))
    });
    loop {
        let whole = JsFuture::from(script::rest(Some(&failed))).await.is_ok_and(|whole| whole.is_truthy());
        if whole {
            WHOLE.set(true);
        }
        let Some(inner) = inner.upgrade() else { return };
        if whole {
            inner.let_go();
        }
        // Something may have come after the last that was waited for had gone.
        if inner.held.jobs.borrow().is_empty() {
            return inner.held.loading.set(false);
        }
    }
}

mod script {
    use super::{Closure, Promise, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/rest.js")]
    extern "C" {
        pub(super) fn rest(failed: Option<&Closure<dyn FnMut(bool) -> bool>>) -> Promise;
    }
}
