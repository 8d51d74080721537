//! The part of the bundle that pages fetch with the first file, or with the first sign that one is coming: in it is all
//! that works on files. What comes before it waits here, in order, and nothing of it is lost. Must never know what
//! becomes of what waits.
//!
//! Functions of that part are called by nobody before it is here: whoever could, asks [`Inner::is_whole`] first. The
//! build cuts the bundle by the functions' names (`scripts/site.mjs`), which is why the first of them are never inlined.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
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
    jobs: RefCell<Vec<Box<dyn FnOnce()>>>,
    /// How many files wait among them.
    files: Cell<u32>,
    /// Asks whoever leaves the page with files that wait.
    guard: RefCell<Option<EventListener>>,
    /// Whether the browser has said that the network is gone.
    offline: Cell<bool>,
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
    /// Whether what works on files is here, and nothing waits for it any more.
    pub(super) fn is_whole(&self) -> bool {
        WHOLE.get() && self.held.jobs.borrow().is_empty()
    }

    /// Does this after all that waits already, as soon as the bundle is whole. So many files wait with it.
    pub(super) fn hold(self: &Rc<Self>, files: usize, job: Box<dyn FnOnce()>) {
        let held = &self.held;
        let first = held.jobs.borrow().is_empty();
        held.jobs.borrow_mut().push(job);
        if first {
            let (inner, failed) = (Rc::downgrade(self), Rc::downgrade(self));
            clock::spawn(async move {
                let failed = Closure::<dyn FnMut(bool)>::new(move |gone| {
                    if let Some(inner) = failed.upgrade() {
                        let online = window().is_none_or(|window| window.navigator().on_line());
                        inner.tell_waiting(Some(match (gone, online) {
                            (true, _) => Lack::Outdated,
                            (false, true) => Lack::Down,
                            (false, false) => Lack::Offline,
                        }));
                    }
                });
                // It comes, however long that takes.
                let _ = JsFuture::from(script::rest(Some(&failed))).await;
                WHOLE.set(true);
                if let Some(inner) = inner.upgrade() {
                    inner.let_go();
                }
            });
        }
        if files > 0 {
            held.files.set(held.files.get() + u32::try_from(files).unwrap_or(u32::MAX));
            held.guard.replace(self.guard());
            self.tell_waiting(None);
        }
    }

    /// Does this in its turn, if anything waits at all: about an empty list there is nothing to be said.
    pub(super) fn hold_as_well(&self, job: Box<dyn FnOnce()>) {
        let mut jobs = self.held.jobs.borrow_mut();
        if !jobs.is_empty() {
            jobs.push(job);
        }
    }

    /// The page tells something of itself. Of what it told before there was a list only one thing matters then: whether
    /// the network is gone.
    pub(super) fn page_tells(self: &Rc<Self>, event: Event) {
        if self.is_whole() {
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

    fn let_go(self: &Rc<Self>) {
        for job in self.held.jobs.take() {
            job();
        }
        self.held.guard.take();
        if self.held.files.take() > 0 {
            self.tell_waiting(None);
        }
    }

    fn tell_waiting(&self, failed: Option<Lack>) {
        let files = self.held.files.get();
        if files > 0 || failed.is_none() {
            (self.waiting)(Waiting { files, failed });
        }
    }
}

mod script {
    use super::{Closure, Promise, wasm_bindgen};

    #[wasm_bindgen(module = "/src/browser/rest.js")]
    extern "C" {
        pub(super) fn rest(failed: Option<&Closure<dyn FnMut(bool)>>) -> Promise;
    }
}
