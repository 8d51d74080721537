//! One `XMLHttpRequest` and its listeners, owned by one Rust value: dropping it removes the listeners and aborts the
//! request, in this order, so that nothing is heard of it again. Must never read a byte of a file (promise 4): the
//! `File` goes to the browser's own transport as it is. There is no time-out: a large file takes as long as it takes,
//! and a stall is the queue's business.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use wasm_bindgen::JsCast;
use web_sys::{Blob, EventTarget, FormData, ProgressEvent, XmlHttpRequest};

use crate::engine::in_file;

use super::clock;

/// A WebKit tells of every 8 KiB: what is handed on is at most this often, and the last value always.
const PACE_MS: u64 = 50;

/// How a request ended.
pub(super) enum Outcome {
    /// An answer came, of whatever status.
    Answered(Answer),
    /// No answer came.
    Broken,
    /// Somebody aborted it, and it was not us: some browsers do so when a connection is lost.
    Aborted,
}

/// An HTTP answer.
pub(super) struct Answer {
    xhr: XmlHttpRequest,
    /// Its status, 100 to 599.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: String,
    /// What `Retry-After` asks for, in milliseconds.
    pub(super) retry_after_ms: Option<u64>,
}

impl Answer {
    /// Whether it says that the request succeeded.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// One of its headers.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.xhr.get_response_header(name).ok().flatten()
    }

    /// What its status line says beside the number; over HTTP/2 nothing.
    pub(super) fn phrase(&self) -> String {
        self.xhr.status_text().unwrap_or_default()
    }

    /// The URL it came from, redirects followed.
    pub(super) fn url(&self) -> String {
        self.xhr.response_url()
    }
}

/// How much of a request's body the browser has handed over.
pub(super) enum Sent {
    /// So many bytes of the file.
    File(u64),
    /// The browser cannot tell.
    Unknowable,
}

/// One request. Dropping it ends it without a sound.
pub(super) struct Request {
    xhr: XmlHttpRequest,
    listeners: Vec<EventListener>,
    pace: Option<Rc<Pace>>,
    /// Ends when it is sent.
    soon: Option<Timeout>,
}

impl Drop for Request {
    fn drop(&mut self) {
        self.listeners.clear();
        if let Some(pace) = &self.pace {
            pace.trailing.take();
        }
        // An abort after the end does nothing; one that fails has nothing to end.
        let _ = self.xhr.abort();
    }
}

impl Request {
    /// A request that is not sent yet. `None` when the browser refuses the URL.
    pub(super) fn open(method: &str, url: &str) -> Option<Self> {
        let xhr = XmlHttpRequest::new().ok()?;
        xhr.open(method, url).ok()?;
        let request = Self { xhr, listeners: Vec::new(), pace: None, soon: None };
        request.header("Accept", "application/json");
        Some(request)
    }

    /// Sends cookies along to another site, and takes those it sets.
    pub(super) fn with_credentials(&self) {
        self.xhr.set_with_credentials(true);
    }

    /// Adds a header. One that the browser refuses, because the page has named what no page may set, is left out.
    pub(super) fn header(&self, name: &str, value: &str) {
        let _ = self.xhr.set_request_header(name, value);
    }

    /// Calls back with how it ended, once.
    pub(super) fn on_end(&mut self, end: impl FnOnce(Outcome) + 'static) {
        self.listen_to_end(Box::new(end));
    }

    /// One type for all that may follow: the bundle carries this once.
    fn listen_to_end(&mut self, end: Box<dyn FnOnce(Outcome)>) {
        let end = Rc::new(Cell::new(Some(end)));
        for name in ["load", "error", "abort"] {
            let (end, xhr) = (Rc::clone(&end), self.xhr.clone());
            self.listen(&self.xhr.clone(), name, move |_| {
                let outcome = match name {
                    "load" => answer(&xhr).map_or(Outcome::Broken, Outcome::Answered),
                    "abort" => Outcome::Aborted,
                    _ => Outcome::Broken,
                };
                if let Some(end) = end.take() {
                    end(outcome);
                }
            });
        }
    }

    /// Calls back with what has been handed over of a file of this many bytes, at most twenty times a second. The
    /// last value is never swallowed. Nothing may depend on the end of the upload being told: under a service worker
    /// no browser tells anything.
    pub(super) fn on_sent(&mut self, size: u64, sent: impl Fn(Sent) + 'static) {
        let Ok(upload) = self.xhr.upload() else { return };
        let pace = Rc::new(Pace {
            sent: Box::new(sent),
            told_ms: Cell::new(0),
            latest: Cell::new(0),
            trailing: RefCell::new(None),
        });
        self.pace = Some(Rc::clone(&pace));
        self.listen(&upload, "progress", move |event| {
            let event: &ProgressEvent = event.unchecked_ref();
            if event.length_computable() {
                pace.heard(in_file(event.loaded() as u64, event.total() as u64, size), size);
            } else {
                (pace.sent)(Sent::Unknowable);
            }
        });
    }

    /// Sends a form. Falls silent when the browser refuses it at once: it then reports an error by itself.
    pub(super) fn send_form(&self, form: &FormData) {
        let _ = self.xhr.send_with_opt_form_data(Some(form));
    }

    /// Sends a part of a file, as it is.
    pub(super) fn send_blob(&self, blob: &Blob) {
        let _ = self.xhr.send_with_opt_blob(Some(blob));
    }

    /// Sends a text, or nothing.
    pub(super) fn send(&self, body: Option<&str>) {
        let _ = self.xhr.send_with_opt_str(body);
    }

    /// Sends nothing, after what is under way in the page now.
    pub(super) fn send_soon(&mut self) {
        let xhr = self.xhr.clone();
        self.soon = Some(clock::after(0, move || {
            let _ = xhr.send();
        }));
    }

    fn listen(
        &mut self,
        target: &EventTarget,
        name: &'static str,
        heard: impl FnMut(&web_sys::Event) + 'static,
    ) {
        self.listeners.push(EventListener::new(target, name, heard));
    }
}

/// Keeps the newest number and hands it on in time.
struct Pace {
    sent: Box<dyn Fn(Sent)>,
    told_ms: Cell<u64>,
    latest: Cell<u64>,
    trailing: RefCell<Option<Timeout>>,
}

impl Pace {
    fn heard(self: &Rc<Self>, loaded: u64, size: u64) {
        self.latest.set(loaded);
        let since = clock::now_ms().saturating_sub(self.told_ms.get());
        if since >= PACE_MS || loaded == size {
            self.tell();
        } else if self.trailing.borrow().is_none() {
            let pace = Rc::downgrade(self);
            let timeout = clock::after((PACE_MS - since) as u32, move || {
                if let Some(pace) = pace.upgrade() {
                    pace.tell();
                }
            });
            self.trailing.replace(Some(timeout));
        }
    }

    fn tell(&self) {
        self.trailing.take();
        self.told_ms.set(clock::now_ms());
        (self.sent)(Sent::File(self.latest.get()));
    }
}

fn answer(xhr: &XmlHttpRequest) -> Option<Answer> {
    let status = xhr.status().ok().filter(|status| *status != 0)?;
    // Of another origin's answer a browser shows few headers, and complains of the question.
    let refused = status >= 400;
    let retry_after = refused.then(|| xhr.get_response_header("Retry-After").ok().flatten()).flatten();
    Some(Answer {
        xhr: xhr.clone(),
        status,
        body: xhr.response_text().ok().flatten().unwrap_or_default(),
        retry_after_ms: retry_after.and_then(|text| retry_after_ms(&text)),
    })
}

/// RFC 9110, section 10.2.3: a number of seconds, or a date.
fn retry_after_ms(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(u64::from(seconds) * 1000);
    }
    let left = js_sys::Date::parse(text) - js_sys::Date::now();
    (left > 0.0).then_some(left as u64)
}
