//! The pipes: what a browser does for the queue. Requests, timers, files, and the page's own events, each in a guard
//! that undoes it when dropped. Must never know a view, a word or a rule: it carries out commands and reports events.

mod again;
mod checksum;
mod clock;
mod dialect;
mod downscale;
mod files;
mod focus;
mod folders;
mod intl;
mod json;
mod list;
mod parts;
mod remember;
mod rest;
mod resume;
mod room;
mod sample;
mod xhr;

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use gloo_events::{EventListener, EventListenerOptions};
use gloo_timers::callback::{Interval, Timeout};
use js_sys::Promise;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, ClipboardEvent, DataTransfer, DragEvent, Element, EventTarget, FormData, HtmlFormElement,
    HtmlInputElement, Node, window,
};

use crate::{
    engine::{
        STALL_MS,
        command::{self, Command, Manifest, Pairs, ReadAnswer, Timer},
        event::{Candidate, Event, FileId, RequestId, Scope},
        view::Waiting,
        window::Sight,
    },
    wire::{Dialect, ErrorBody, ErrorCode, Options, ProgressId, Protocol, Receipt, UploadId, headers},
};

pub(crate) use intl::Intl;

use files::{Dropped, Files, Picked};
use folders::What;
use list::{List, Seen};
use parts::Part;
use remember::Record;
use resume::Range;
use xhr::{Answer, Outcome, Request, Sent};

/// So many files are taken in where they are picked; of more the rest in portions. Asking a file for its length takes
/// Chromium a tenth of a millisecond and more, because its other process looks at the disk.
const AT_ONCE: usize = 32;
/// So long a network that only the browser says is gone is believed to be.
const DOUBT_MS: u32 = 10_000;

/// After so long texts that could not be had are asked for again.
const TEXTS_AGAIN_MS: u32 = 5_000;

/// So long a file that is fetched from far away may take before it can be looked at, after what the queue has waited.
const FAR_MS: u32 = 60_000;

/// Carries out the commands of one queue. Dropping it aborts its requests, clears its timers and removes its
/// listeners; no event follows. A browser has one thread, so the wrapper only satisfies the framework's types.
pub(crate) struct Runtime(SendWrapper<Rc<Inner>>);

pub(crate) use web_sys::File;

impl Runtime {
    /// A runtime that reports to `deliver`, which may be called while a command is being carried out, and tells `seen`
    /// what is in sight of the list, and `waiting` of files that cannot be taken in yet.
    pub(crate) fn new(
        options: &Options,
        read: Option<ReadAnswer>,
        signs: bool,
        deliver: impl Fn(Event) + 'static,
        seen: impl Fn(Sight) + 'static,
        waiting: impl Fn(Waiting) + 'static,
    ) -> Self {
        Self(SendWrapper::new(Rc::new(Inner {
            deliver: Box::new(deliver),
            seen: Rc::new(seen),
            waiting: Box::new(waiting),
            held: rest::Held::default(),
            flights: Cell::new(0),
            waits: Cell::new(false),
            list: RefCell::default(),
            read,
            signs,
            dialect: options.dialect,
            headers: RefCell::new(options.headers.clone()),
            credentials: options.credentials,
            action: options.action.clone(),
            protocol: options.protocol,
            resumable: options.resumable.clone(),
            remembers: options.remember,
            scope: again::scope(options),
            field: options.field.clone(),
            checksum: options.checksum.clone(),
            downscale: options.downscale,
            progress: options.progress.clone(),
            dotfiles: options.dotfiles,
            thumbnails: options.thumbnails,
            thumbs: RefCell::default(),
            guards: options.guard,
            wake_lock: options.wake_lock,
            awake: RefCell::default(),
            titles: options.title,
            title: RefCell::default(),
            drop_anywhere: options.drop_anywhere,
            guard: RefCell::default(),
            form: RefCell::new(None),
            files: Files::default(),
            uploads: RefCell::default(),
            unsent: RefCell::default(),
            discards: RefCell::default(),
            remembered: RefCell::default(),
            missing: RefCell::default(),
            chosen_for: Cell::new(None),
            lots: Cell::new(0),
            outside: RefCell::default(),
            polls: RefCell::default(),
            timers: RefCell::default(),
            listeners: RefCell::default(),
            ticker: RefCell::new(None),
            later: RefCell::new(None),
            offline: Cell::new(false),
            doubt: RefCell::new(None),
            texts: RefCell::new(None),
            texts_again: RefCell::new(None),
        })))
    }

    /// Whether everything that works on files is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.is_whole()
    }

    /// Whether files that have waited are being taken in, and more of them wait.
    pub(crate) fn has_more(&self) -> bool {
        self.0.has_more()
    }

    /// Does this after the files have been taken in that wait for it; nothing when none do.
    pub(crate) fn in_turn(&self, then: impl FnOnce() + 'static) {
        self.0.hold_as_well(Box::new(then));
    }

    /// Lets go of the files that wait for what could not be had. `false`: it is on its way, and so are they.
    pub(crate) fn drop_waiting(&self) -> bool {
        self.0.drop_waiting()
    }

    /// How many uploads may be under way at once, beside those of the other widgets on the page.
    #[inline(never)]
    pub(crate) fn room(&self) -> usize {
        room::of(&self.0)
    }

    /// So many are under way now; or none is, and some wait for room.
    #[inline(never)]
    pub(crate) fn takes(&self, flights: usize, waits: bool) {
        self.0.waits.set(waits);
        room::take(&self.0, flights);
    }

    /// Runs this to its end, beside everything else.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + 'static) {
        clock::spawn(task);
    }

    /// Takes these files.
    pub(crate) fn add(&self, files: Vec<File>) {
        self.0.add(Dropped { files, ..Dropped::default() }, None);
    }

    /// Milliseconds on a clock that never goes back.
    pub(crate) fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    /// Calls back once the page has settled: when what is being built or brought to life is in its place.
    pub(crate) fn settled(&self, then: impl FnOnce() + 'static) {
        self.0.later.replace(Some(clock::after(0, then)));
    }

    /// Begins to listen to the page around this form, and takes the files that were picked before it came alive.
    pub(crate) fn attach(&self, form: &HtmlFormElement) {
        self.0.form.replace(Some(form.clone()));
        self.0.listeners.replace(page_listeners(&self.0));
        self.0.list.replace(List::watch(form, Rc::clone(&self.0.seen)));
        self.picked();
        self.0.look_for_unfinished();
    }

    /// Takes what the form's file inputs hold, and empties them so that the same file can be picked again.
    pub(crate) fn picked(&self) {
        let mut files = Vec::new();
        for selector in ["[data-pl-input]", "[data-pl-folder]"] {
            let Some(input) = self.0.find(selector) else { continue };
            files.extend(input.files().map(|list| files::each(&list)).unwrap_or_default());
            input.set_value("");
        }
        let chosen_for = self.0.chosen_for.take();
        self.0.add(Dropped { files, ..Dropped::default() }, chosen_for);
    }

    /// The language of the page around the form, as the nearest `lang` attribute says; a shadow root is no wall.
    pub(crate) fn language(&self) -> Option<String> {
        let mut inside = self.0.form.borrow().as_ref()?.parent_element()?;
        loop {
            if let Ok(Some(spoken)) = inside.closest("[lang]") {
                return spoken.get_attribute("lang");
            }
            let host = js_sys::Reflect::get(&inside.get_root_node(), &"host".into()).ok()?;
            inside = host.dyn_into().ok()?;
        }
    }

    /// Fetches the texts of a language. Where no answer came, or only that the server is not well, it says so a while
    /// after; nothing follows when there are none.
    pub(crate) fn fetch_texts(&self, url: &str, then: impl FnOnce(Option<Vec<(String, String)>>) + 'static) {
        let Some(mut request) = Request::open("GET", url) else { return };
        let inner = Rc::downgrade(&self.0);
        request.on_end(move |outcome| match outcome {
            Outcome::Answered(answer) if answer.status < 500 => {
                if let Some(texts) = json::texts(&answer.body).filter(|_| answer.is_success()) {
                    then(Some(texts));
                }
            }
            _ => {
                if let Some(inner) = inner.upgrade() {
                    inner.texts_again.replace(Some(clock::after(TEXTS_AGAIN_MS, move || then(None))));
                }
            }
        });
        request.send(None);
        self.0.texts.replace(Some(request));
    }

    /// Something is dragged over the drop zone: whether it is files, which may then be dropped.
    pub(crate) fn dragged(&self, event: &DragEvent) -> bool {
        let takes =
            event.data_transfer().is_some_and(|data| files::carries_files(&data)) && !self.0.is_disabled();
        if takes {
            event.prevent_default();
        }
        takes
    }

    /// Whether a drag that leaves an element stays inside the drop zone. Containment, not counting: counters go
    /// wrong with every element that is added or removed on the way.
    pub(crate) fn still_inside(&self, event: &DragEvent) -> bool {
        let zone = event.current_target().and_then(|zone| zone.dyn_into::<Node>().ok());
        let entered = event.related_target().and_then(|entered| entered.dyn_into::<Node>().ok());
        zone.is_some_and(|zone| zone.contains(entered.as_ref()))
    }

    /// Something is under way, or nothing is any more: whether leaving the page would break it off.
    pub(crate) fn busy(&self, busy: bool) {
        self.0.guard.replace(busy.then(|| self.0.guard()).flatten());
        if self.0.wake_lock {
            self.0.awake.replace(busy.then(Part::awake));
        }
        // It follows by itself how that ends.
        if let Some(form) = &*self.0.form.borrow()
            && self.0.titles
            && self.0.title.borrow().is_none()
        {
            self.0.title.replace(Some(Part::title(form)));
        }
    }

    /// Takes what was dropped.
    pub(crate) fn dropped(&self, event: &DragEvent) {
        self.0.add_from(event, event.data_transfer());
    }

    /// After the page has settled: when the focus was lost with what had it, gives it to the first of `what` in the row
    /// at this place or in the one that is now the last, or else to the file input.
    pub(crate) fn keep_focus(&self, rows: &'static str, index: usize, what: &'static str) {
        self.0.keep_focus(rows, index, what);
    }

    /// Whether this part of the form, or something in it, has the focus.
    pub(crate) fn is_focused(&self, part: &str) -> bool {
        let form = self.0.form.borrow();
        let found =
            form.as_ref().and_then(|form| form.query_selector(&[part, ":focus-within"].concat()).ok()?);
        found.is_some()
    }

    /// Leaves so many pixels above and below the rows of a long list, and scrolls it down by so many.
    pub(crate) fn lay_out(&self, edges: (u32, u32), scroll: i32) {
        if let Some(list) = &*self.0.list.borrow() {
            list.lay_out(edges, scroll);
        }
    }

    /// The row that has the keyboard's focus.
    pub(crate) fn focused_row(&self) -> Option<FileId> {
        self.0.focused_row()
    }

    /// Calls back every second, or stops to.
    pub(crate) fn every_second(&self, tick: Option<impl FnMut() + 'static>) {
        self.0.ticker.replace(tick.map(|tick| Interval::new(1000, tick)));
    }
}

impl command::Runtime for Runtime {
    fn execute(&self, command: Command) {
        let inner = &self.0;
        match command {
            Command::SendForm { file, request, progress_id, attempt, manifest } => {
                inner.send_form(file, request, progress_id, attempt, manifest);
            }
            Command::Create { file, request, progress_id, attempt, manifest } => {
                inner.create(file, request, progress_id, attempt, manifest);
            }
            Command::AskOffset { file, request, url, progress_id, headers } => {
                inner.ask_offset(file, request, progress_id, &url, &headers);
            }
            Command::SendRange { file, request, url, progress_id, attempt, offset, end, headers } => {
                inner.send_range(Range { file, request, url, progress_id, attempt, offset, end, headers });
            }
            Command::Discard { url, headers } => inner.discard(url, &headers),
            Command::Remember { file, progress_id, url } => inner.remember(file, progress_id, url),
            Command::Unremember { file, progress_id } => inner.unremember(file, progress_id),
            Command::FetchFile { file, need } => inner.fetch_file(file, need),
            Command::Digest { file, request } => inner.hash(file, u64::MAX, Some(request)),
            Command::Abort { file, request } => {
                let given_up = take(&mut inner.uploads.borrow_mut(), &request);
                drop(given_up);
                take(&mut inner.unsent.borrow_mut(), &request);
                (inner.deliver)(Event::Aborted { file, request });
            }
            Command::Poll { poll, ids } => inner.poll(poll, &ids),
            Command::Arm { timer, delay_ms } => inner.arm(timer, delay_ms),
            Command::Disarm { timer } => drop(take(&mut inner.timers.borrow_mut(), &timer)),
            Command::Forget { file } => {
                inner.files.forget(file);
                take(&mut inner.outside.borrow_mut(), &file);
            }
            // Whoever has the page's ear does these.
            Command::Prepare { .. } | Command::Notify(_) => {}
        }
    }
}

/// Questions outside any queue: deleting what is stored. Dropping it abandons what is still asked.
pub(crate) struct Questions {
    asked: SendWrapper<Rc<Keyed<UploadId, Request>>>,
    later: SendWrapper<Later>,
    rest: SendWrapper<Later>,
}

/// A short list of guards, each under its key.
type Keyed<K, V> = RefCell<Vec<(K, V)>>;
/// The one thing that is put off.
type Later = RefCell<Option<Timeout>>;

impl Questions {
    /// No questions yet.
    pub(crate) fn new() -> Self {
        let later = || SendWrapper::new(Later::default());
        Self { asked: SendWrapper::new(Rc::default()), later: later(), rest: later() }
    }

    /// Posts the id to the deleting form's own action, and says whether the server agreed.
    pub(crate) fn delete(&self, action: &str, id: &UploadId, done: impl FnOnce(bool) + 'static) {
        let Some(mut request) = Request::open("POST", action) else { return done(false) };
        request.header("Content-Type", "application/x-www-form-urlencoded");
        let (asked, key) = (Rc::downgrade(&self.asked), id.clone());
        request.on_end(move |outcome| {
            if let Some(asked) = asked.upgrade() {
                let ended = take(&mut asked.borrow_mut(), &key);
                drop(ended);
            }
            done(matches!(outcome, Outcome::Answered(answer) if answer.is_success()));
        });
        request.send(Some(&format!("id={id}")));
        self.asked.borrow_mut().push((id.clone(), request));
    }

    /// As [`Runtime::keep_focus`], anywhere on the page.
    pub(crate) fn keep_focus(&self, rows: &'static str, index: usize, fallback: &'static str) {
        let root = window().and_then(|window| window.document()).and_then(|page| page.document_element());
        if let Some(root) = root {
            self.later.replace(Some(focus::keep(root, rows, index, "button:not([hidden])", fallback)));
        }
    }

    /// Calls back once the page has settled, with the minutes that the reader's clock is ahead of UTC.
    pub(crate) fn settled(&self, then: impl FnOnce(i32) + 'static) {
        self.later.replace(Some(clock::after(0, move || {
            then(-(js_sys::Date::new_0().get_timezone_offset() as i32));
        })));
    }

    /// Calls back after so many milliseconds, in place of what was to be called back before.
    pub(crate) fn rest(&self, pause_ms: u32, then: impl FnOnce() + 'static) {
        self.rest.replace(Some(clock::after(pause_ms, then)));
    }
}

/// Something random for the queue's back-off.
pub(crate) fn seed() -> u64 {
    let bytes = clock::random();
    bytes.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// Takes the set-up of the first widget on the page that has not come alive yet: widgets come alive in the order of
/// the page.
pub(crate) fn setup() -> Option<(Options, Vec<Receipt>)> {
    json::setup(&take_attribute("data-pl-setup")?)
}

fn take_attribute(name: &str) -> Option<String> {
    let holder = window()?.document()?.query_selector(&["[", name, "]"].concat()).ok()??;
    let text = holder.get_attribute(name)?;
    holder.remove_attribute(name).ok()?;
    Some(text)
}

/// The texts that the server wrote into the page, of the first widget that has not come alive yet; see [`setup`].
pub(crate) fn texts(_base: &str) -> Option<Vec<(String, String)>> {
    json::texts(&take_attribute("data-pl-texts")?)
}

/// Only the server writes them.
pub(crate) fn write_texts(_base: &str) -> Option<String> {
    None
}

/// The plural category of a number in English; other languages ask [`Intl`].
pub(crate) fn category(_lang: &str, n: u32) -> &'static str {
    if n == 1 { "one" } else { "other" }
}

/// Only the server writes it.
pub(crate) fn write_setup(_options: &Options, _uploads: &[Receipt]) -> Option<String> {
    None
}

/// What is done with a file that was looked at, and with its fingerprint.
type Looked = dyn FnOnce(&Rc<Inner>, &Picked, f64);

/// Characters of a server's sentence that are shown, at most.
const MOST_SAID: usize = 200;

struct Inner {
    deliver: Box<dyn Fn(Event)>,
    seen: Rc<Seen>,
    waiting: Box<dyn Fn(Waiting)>,
    held: rest::Held,
    /// Uploads under way.
    flights: Cell<usize>,
    /// None is under way, and some wait for room.
    waits: Cell<bool>,
    list: RefCell<Option<List>>,
    read: Option<ReadAnswer>,
    dialect: Dialect,
    /// What went with the newest request about a file, and goes with questions for the server's count: whoever may
    /// upload may ask, with the token that is valid now.
    headers: RefCell<Pairs>,
    credentials: bool,
    action: String,
    field: String,
    /// Address of what computes digests; empty where none are compared.
    checksum: String,
    /// Longest side of pictures, in pixels.
    downscale: Option<u32>,
    progress: String,
    protocol: Protocol,
    resumable: String,
    /// Whether unfinished uploads outlive the page.
    remembers: bool,
    /// Whether the page has a say in the headers of each request: without it a question may be answered otherwise.
    signs: bool,
    /// Which of them are this widget's.
    scope: String,
    dotfiles: bool,
    thumbnails: bool,
    /// Once there has been an image or a video.
    thumbs: RefCell<Option<Part>>,
    guards: bool,
    wake_lock: bool,
    awake: RefCell<Option<Part>>,
    titles: bool,
    /// Once something has been under way.
    title: RefCell<Option<Part>>,
    drop_anywhere: bool,
    guard: RefCell<Option<EventListener>>,
    form: RefCell<Option<HtmlFormElement>>,
    files: Files,
    uploads: Keyed<RequestId, Request>,
    /// Requests that are about to be sent, once their file is known to be the same.
    unsent: Keyed<RequestId, Look>,
    /// Requests that the queue does not wait for.
    discards: Keyed<String, Request>,
    /// Uploads that are worth remembering, and their locks once they are held.
    remembered: Keyed<ProgressId, Option<remember::Lock>>,
    /// Uploads whose files are not at hand, or not the ones that they were begun with.
    missing: Keyed<FileId, Record>,
    /// The missing file that the person is choosing again.
    chosen_for: Cell<Option<FileId>>,
    /// Lots of files that came in portions so far.
    lots: Cell<u32>,
    /// Rows of what could not be taken in yet.
    outside: Keyed<FileId, ()>,
    polls: Keyed<(RequestId, usize), Request>,
    timers: Keyed<Timer, Timeout>,
    listeners: RefCell<Vec<EventListener>>,
    ticker: RefCell<Option<Interval>>,
    later: Later,
    /// Whether an event has told that the network is gone.
    offline: Cell<bool>,
    /// Ends when the network is tried all the same.
    doubt: Later,
    /// The texts that are being fetched.
    texts: RefCell<Option<Request>>,
    /// Ends when they are fetched again, because they could not be had.
    texts_again: Later,
}

/// A look at a file before its request is sent.
struct Look {
    /// Whose it is, if it is a resumable upload: only its request is given up when nothing moves. A form's row says so.
    whose: Option<FileId>,
    /// As in [`Inner::look_at`].
    of: Option<(ProgressId, String)>,
    /// Whether the queue has waited in vain for something to move.
    late: bool,
}

impl Inner {
    /// Sends a file as a form.
    fn send_form(
        self: &Rc<Self>,
        file: FileId,
        request: RequestId,
        id: ProgressId,
        attempt: u32,
        manifest: Manifest,
    ) {
        let Some(picked) = self.files.find(file) else { return self.unsent(file, request) };
        let seen = move |inner: &Rc<Self>, picked: &Picked, _| match inner
            .prepare(picked, &id, attempt, &manifest)
        {
            Some((upload, form)) => inner.dispatch_form(file, request, upload, &form, picked.size),
            None => inner.unsent(file, request),
        };
        self.look_at(file, request, picked, true, None, Box::new(seen));
    }

    /// Goes on once the file has been looked at, if the request is still wanted then and the browser gives the file's
    /// bytes: Firefox never ends a request whose file it cannot read, and others do not say why it failed. Of an upload
    /// that is kept (`of`) the person may bring the file again.
    fn look_at(
        self: &Rc<Self>,
        file: FileId,
        request: RequestId,
        picked: Picked,
        glance: bool,
        of: Option<(ProgressId, String)>,
        then: Box<Looked>,
    ) {
        let whose = (!glance).then_some(file);
        self.unsent.borrow_mut().push((request, Look { whose, of, late: false }));
        let inner = Rc::downgrade(self);
        clock::spawn(async move {
            let seen = sample::of(&picked, glance).await;
            let Some(inner) = inner.upgrade() else { return };
            let look = take(&mut inner.unsent.borrow_mut(), &request);
            let Some(look) = look else { return };
            let Some(seen) = seen else { return inner.unread(file, request, look) };
            // Now the server has its time.
            if look.late {
                inner.arm(Timer::Stall(file), STALL_MS as u32);
            }
            then(&inner, &picked, seen);
        });
    }

    fn unread(self: &Rc<Self>, file: FileId, request: RequestId, look: Look) {
        if let Some((id, url)) = look.of {
            self.lacks(file, id, url);
        }
        (self.deliver)(resume::unreadable(file, request));
    }

    /// Whether nothing has moved because this file is still being looked at: it may have to be fetched from far away
    /// first, and that is no server that stalls. One that does not come at all cannot be read.
    fn is_far(self: &Rc<Self>, file: FileId) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        let Some(at) = unsent.iter().position(|(_, look)| look.whose == Some(file)) else { return false };
        if std::mem::replace(&mut unsent[at].1.late, true) {
            let (request, look) = unsent.swap_remove(at);
            drop(unsent);
            self.unread(file, request, look);
        } else {
            drop(unsent);
            self.arm(Timer::Stall(file), FAR_MS);
        }
        true
    }

    fn dispatch_form(
        self: &Rc<Self>,
        file: FileId,
        request: RequestId,
        mut upload: Request,
        form: &FormData,
        size: u64,
    ) {
        self.report_sent(&mut upload, file, request, 0, size);
        let inner = Rc::downgrade(self);
        upload.on_end(move |outcome| {
            if let Some(inner) = inner.upgrade() {
                let ended = take(&mut inner.uploads.borrow_mut(), &request);
                let event = inner.form_ending(file, request, outcome);
                // Only now: it takes what else there is to know of the answer with it.
                drop(ended);
                inner.report(event, None);
            }
        });
        upload.send_form(form);
        self.uploads.borrow_mut().push((request, upload));
    }

    /// Reports how a request ended. No answer may mean that the file could not be read; `of` as in [`Self::look_at`]. And
    /// a page that was opened without the network is not told that it is offline: its first request finds that out.
    fn report(self: &Rc<Self>, event: Event, of: Option<(ProgressId, String)>) {
        if let Event::Failed { file, request, error, .. } = &event
            && error.code == ErrorCode::Network
            && let Some(picked) = self.files.find(*file)
        {
            let (file, request) = (*file, *request);
            let seen = move |inner: &Rc<Self>, _: &Picked, _| {
                (inner.deliver)(event);
                inner.look_for_network();
            };
            return self.look_at(file, request, picked, true, of, Box::new(seen));
        }
        (self.deliver)(event);
    }

    /// Takes the browser's word that there is no network, once a request has failed. Where no event has told so, none
    /// may tell of its return: on a machine that is its own server a browser says so for ever.
    fn look_for_network(self: &Rc<Self>) {
        if self.offline.get() || window().is_none_or(|window| window.navigator().on_line()) {
            return;
        }
        (self.deliver)(Event::Offline);
        let inner = Rc::downgrade(self);
        self.doubt.replace(Some(clock::after(DOUBT_MS, move || tell(&inner, Event::Online))));
    }

    /// Reports what is handed over of a body that carries so many bytes of a file from an offset on.
    fn report_sent(
        self: &Rc<Self>,
        upload: &mut Request,
        file: FileId,
        request: RequestId,
        offset: u64,
        size: u64,
    ) {
        let inner = Rc::downgrade(self);
        upload.on_sent(size, move |sent| {
            if let Some(inner) = inner.upgrade() {
                (inner.deliver)(match sent {
                    Sent::File(loaded) => {
                        if !inner.checksum.is_empty() {
                            inner.hash(file, offset + loaded, None);
                        }
                        Event::Sent { file, request, loaded: offset + loaded }
                    }
                    Sent::Unknowable => Event::SentUnknowable { file, request },
                });
            }
        });
    }

    /// Hashes a file as far as this byte: as far as it was sent, so that it keeps pace with the sending and stops with it.
    /// Whoever asks for its digest is told it.
    fn hash(self: &Rc<Self>, file: FileId, upto: u64, asked: Option<RequestId>) {
        let picked = self.files.find(file).filter(|picked| picked.digest);
        let (inner, url) = (Rc::downgrade(self), self.checksum.clone());
        clock::spawn(async move {
            let sha256 = match picked {
                Some(picked) => checksum::sha256(&url, &picked.file, upto).await,
                None => None,
            };
            if let Some(request) = asked {
                tell(&inner, Event::Digested { file, request, sha256 });
            }
        });
    }

    /// Sends a request of a resumable upload and reports what its end means; `of` as in [`Self::report`].
    fn dispatch(
        self: &Rc<Self>,
        mut upload: Request,
        request: RequestId,
        body: Option<&Blob>,
        of: Option<(ProgressId, String)>,
        meaning: impl FnOnce(&Inner, Outcome) -> Event + 'static,
    ) {
        let inner = Rc::downgrade(self);
        upload.on_end(move |outcome| {
            if let Some(inner) = inner.upgrade() {
                let ended = take(&mut inner.uploads.borrow_mut(), &request);
                let event = meaning(&inner, outcome);
                drop(ended);
                inner.report(event, of);
            }
        });
        match body {
            Some(body) => upload.send_blob(body),
            None => upload.send(None),
        }
        self.uploads.borrow_mut().push((request, upload));
    }

    /// Everything for one upload but the send. `None` when the browser refuses the URL.
    fn prepare(
        &self,
        Picked { file, size, digest, .. }: &Picked,
        id: &ProgressId,
        attempt: u32,
        manifest: &Manifest,
    ) -> Option<(Request, FormData)> {
        let form = FormData::new().ok()?;
        // All of them before the file: the server must know before the bytes come.
        let text = |name: &str, value: &str| form.append_with_str(name, value).ok();
        if *digest && self.dialect == Dialect::Plimsoll {
            text("digest", "sha-256")?;
        }
        if !manifest.path.is_empty() {
            text(headers::RELATIVE_PATH, &manifest.path)?;
        }
        for (name, value) in &manifest.fields {
            text(name, value)?;
        }
        let counted = matches!(self.dialect, Dialect::Nginx | Dialect::Django) && !self.progress.is_empty();
        let upload = if counted {
            text(dialect::ID, id.as_str())?;
            self.open("POST", &dialect::with_id(&self.action, id), &manifest.headers)?
        } else {
            self.open("POST", &self.action, &manifest.headers)?
        };
        form.append_with_blob_and_filename(&self.field, file, &manifest.name).ok()?;
        // A server of somebody else, on another site, would have to allow each of these by name.
        if self.dialect == Dialect::Plimsoll {
            upload.header(headers::PROGRESS_ID, id.as_str());
            upload.header(headers::ATTEMPT, &attempt.to_string());
            upload.header(headers::FILE_SIZE, &size.to_string());
        }
        Some((upload, form))
    }

    /// A request with what the page wants to go with it.
    fn open(&self, method: &str, url: &str, headers: &Pairs) -> Option<Request> {
        let request = Request::open(method, url)?;
        if self.credentials {
            request.with_credentials();
        }
        for (name, value) in headers {
            request.header(name, value);
        }
        if !matches!(method, "GET" | "DELETE") {
            self.headers.replace(headers.clone());
        }
        Some(request)
    }

    /// How the end of a form's request is reported.
    fn form_ending(&self, file: FileId, request: RequestId, outcome: Outcome) -> Event {
        let Outcome::Answered(answer) = &outcome else { return ending(file, request, outcome) };
        let read = match &self.read {
            Some(read) => read(answer.status, &answer.body, &answer.url()),
            None if !answer.is_success() => return ending(file, request, outcome),
            None => match json::first_receipt(&answer.body) {
                Some(receipt) => Ok(receipt),
                None if self.leads_back(&answer.url()) => {
                    return failed(file, request, ErrorCode::Unauthorized, 401);
                }
                None if self.dialect == Dialect::Plimsoll => return ending(file, request, outcome),
                None => Ok(Receipt::accepted("")),
            },
        };
        match read {
            Ok(mut receipt) => {
                if receipt.stored_ms == 0 {
                    receipt.stored_ms = js_sys::Date::now() as u64;
                }
                Event::Accepted { file, request, receipt }
            }
            Err(error) => {
                let (status, retry_after_ms) = (answer.status, answer.retry_after_ms);
                Event::Failed { file, request, error, status, retry_after_ms }
            }
        }
    }

    /// Whether a form's request was led to a page that will send people back to where it went, as pages do where one
    /// signs in: the address of the form stands in the query of theirs. Their status of success is their own.
    fn leads_back(&self, arrived: &str) -> bool {
        let Some((page, query)) = arrived.split_once('?') else { return false };
        let Some(asked) = again::full(&self.action) else { return false };
        let (path, href) = (asked.pathname(), asked.href());
        let address = href.split(['?', '#']).next().unwrap_or_default();
        let query = js_sys::decode_uri_component(query).map(String::from).unwrap_or_default();
        page != address
            && query.split('&').filter_map(|pair| pair.split_once('=')).any(|(_, back)| {
                let rest = back.strip_prefix(address).or_else(|| back.strip_prefix(&path));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
            })
    }

    fn poll(self: &Rc<Self>, poll: RequestId, ids: &[ProgressId]) {
        if self.dialect != Dialect::Plimsoll {
            return self.poll_each(poll, ids);
        }
        let mut url = self.progress.clone();
        for (index, id) in ids.iter().enumerate() {
            url.push_str(match index {
                0 if url.contains('?') => "&ids=",
                0 => "?ids=",
                _ => ",",
            });
            url.push_str(id.as_str());
        }
        self.question((poll, 0), &url, move |inner, answer| {
            (inner.deliver)(match answer.and_then(|text| json::frames(&text)) {
                Some(frames) => Event::Polled { poll, frames },
                None => Event::PollFailed { poll },
            });
        });
    }

    /// Servers of other people are asked about one upload at a time; the poll is answered when all are.
    fn poll_each(self: &Rc<Self>, poll: RequestId, ids: &[ProgressId]) {
        let frames: Rc<RefCell<Vec<_>>> = Rc::default();
        let out = Rc::new(Cell::new(ids.len()));
        for (place, id) in ids.iter().enumerate() {
            let (frames, out, id) = (Rc::clone(&frames), Rc::clone(&out), id.clone());
            self.question(
                (poll, place),
                &dialect::question(self.dialect, &self.progress, &id),
                move |inner, answer| {
                    let frame =
                        answer.and_then(|text| dialect::frame(inner.dialect, &text, id, u64::from(poll.0)));
                    frames.borrow_mut().extend(frame);
                    out.set(out.get() - 1);
                    if out.get() == 0 {
                        let frames = frames.take();
                        (inner.deliver)(match frames.is_empty() {
                            false => Event::Polled { poll, frames },
                            true => Event::PollFailed { poll },
                        });
                    }
                },
            );
        }
    }

    /// Asks for a text; `None` when there is no answer, or none of success.
    fn question(
        self: &Rc<Self>,
        key: (RequestId, usize),
        url: &str,
        told: impl FnOnce(&Inner, Option<String>) + 'static,
    ) {
        let Some(mut request) = self.open("GET", url, &self.headers.borrow()) else {
            return told(self, None);
        };
        let inner = Rc::downgrade(self);
        request.on_end(move |outcome| {
            let Some(inner) = inner.upgrade() else { return };
            let ended = take(&mut inner.polls.borrow_mut(), &key);
            drop(ended);
            told(
                &inner,
                match outcome {
                    Outcome::Answered(answer) if answer.is_success() => Some(answer.body),
                    _ => None,
                },
            );
        });
        request.send(None);
        self.polls.borrow_mut().push((key, request));
    }

    fn arm(self: &Rc<Self>, timer: Timer, delay_ms: u32) {
        let inner = Rc::downgrade(self);
        let timeout = clock::after(delay_ms, move || {
            if let Some(inner) = inner.upgrade() {
                let due = take(&mut inner.timers.borrow_mut(), &timer);
                drop(due);
                match timer {
                    // A button is not taken away from whoever is on it.
                    Timer::Undo if inner.is_on("[data-pl-action=undo]:focus") => inner.arm(timer, delay_ms),
                    Timer::Stall(file) if inner.is_far(file) => {}
                    _ => (inner.deliver)(Event::Fired(timer)),
                }
            }
        });
        let mut timers = self.timers.borrow_mut();
        drop(take(&mut timers, &timer));
        timers.push((timer, timeout));
    }

    /// Takes files in, as soon as that is possible; `chosen_for` is the missing file that one of them was chosen for.
    fn add(self: &Rc<Self>, dropped: Dropped, chosen_for: Option<FileId>) {
        if self.takes_files() {
            return self.add_now(dropped, chosen_for);
        }
        let files = dropped.files.len() + dropped.folders.len();
        if files > 0 {
            let inner = Rc::downgrade(self);
            let job = move || {
                if let Some(inner) = inner.upgrade() {
                    inner.add_now(dropped, chosen_for);
                }
            };
            self.hold(files, Box::new(job));
        }
    }

    #[inline(never)]
    fn add_now(self: &Rc<Self>, mut dropped: Dropped, chosen_for: Option<FileId>) {
        self.catch_up();
        if !self.dotfiles {
            dropped.files.retain(|file| !has_dot(&files::relative_path(file)));
        }
        let how = (self.wants_digest(), chosen_for);
        let paths = self.in_place_of(chosen_for, &mut dropped.files);
        // What may be a folder is not taken in before that is known.
        let at_once = if dropped.place.is_undefined() { AT_ONCE } else { 0 };
        let rest = dropped.files.split_off(dropped.files.len().min(at_once));
        let first = std::mem::replace(&mut dropped.files, rest);
        let handles = std::mem::take(&mut dropped.handles);
        let (found, pictures) = self.take_in(first, paths, handles, how);
        let gathers = !dropped.is_empty();
        if !gathers && pictures.is_empty() {
            return self.added(found, None);
        }
        let lot = Lot::begin(self);
        self.shrink(pictures, chosen_for, &lot);
        self.added(found, Some(&lot));
        if gathers {
            self.gather(dropped, how, lot);
        }
    }

    /// The file that was chosen again for one of which nothing is kept comes first and has its path, and the row of
    /// that goes away: what is there now is another file to every rule, and to the page. Others are new ones beside it.
    fn in_place_of(&self, chosen_for: Option<FileId>, files: &mut [File]) -> Vec<String> {
        if let Some(file) = chosen_for.filter(|file| self.missing(*file).is_none())
            && let Some(old) = self.files.find(file)
            && let Some(at) = files.iter().position(|new| new.name() == old.file.name())
        {
            files.swap(0, at);
            (self.deliver)(Event::Remove(Scope::One(file)));
            return vec![old.path];
        }
        Vec::new()
    }

    /// Gives files their numbers, but for those that are missing ones, and for pictures that are to be made smaller
    /// first, which come second. The first of the files may bring other paths than their own, and their handles.
    fn take_in(
        self: &Rc<Self>,
        files: Vec<File>,
        paths: Vec<String>,
        handles: Vec<Option<Promise>>,
        (digest, chosen_for): (bool, Option<FileId>),
    ) -> (Vec<Candidate>, Vec<Picked>) {
        let (mut paths, mut handles) = (paths.into_iter(), handles.into_iter());
        let (mut found, mut pictures) = (Vec::new(), Vec::new());
        for file in files {
            let mut picked = Picked::new(file, digest);
            if let Some(path) = paths.next() {
                picked.path = path;
            }
            if let Some(promise) = handles.next().flatten() {
                let handle = Rc::clone(&picked.handle);
                clock::spawn(async move {
                    handle.replace(JsFuture::from(promise).await.ok());
                });
            }
            if self.shrinks(&picked) {
                pictures.push(picked);
                continue;
            }
            match self.missing_like(&picked, chosen_for) {
                Some(file) => self.picked_again(file, picked),
                None => found.push(self.files.take(picked)),
            }
        }
        (found, pictures)
    }

    /// Takes in the rest of a lot, and what folders hold, portion by portion, so that the page lives on between them.
    fn gather(self: &Rc<Self>, rest: Dropped, how: (bool, Option<FileId>), lot: Rc<Lot>) {
        let (inner, dotfiles) = (Rc::downgrade(self), self.dotfiles);
        let mut lot = Some(lot);
        // Walks through what was outside.
        let mut walks = 0_u32;
        let tell = move |what, paths: Vec<String>| {
            let Some(inner) = inner.upgrade() else { return folders::END };
            match what {
                What::Found(files) => {
                    let now = lot.get_or_insert_with(|| Lot::begin(&inner));
                    let (found, pictures) = inner.take_in(files, paths, Vec::new(), how);
                    inner.shrink(pictures, how.1, now);
                    inner.added(found, Some(now));
                    0.0
                }
                What::Trouble(reason) => {
                    if reason == folders::OUTSIDE {
                        // Nothing more comes before it can be had.
                        lot = None;
                    }
                    paths.into_iter().next().map_or(0.0, |path| inner.refuse(path, &reason))
                }
                What::Wanted(row) if inner.is_outside(FileId(row)) => folders::NOT_NOW,
                What::Wanted(_) => folders::END,
                What::Row(row) => {
                    // There is a lot before the row goes: nobody is to hear that nothing is under way.
                    inner.added(Vec::new(), Some(lot.get_or_insert_with(|| Lot::begin(&inner))));
                    let answer = inner.comes_in(FileId(row));
                    if answer >= 0.0 {
                        walks += 1;
                    } else if walks == 0 {
                        lot = None;
                    }
                    answer
                }
                What::Over => {
                    walks -= 1;
                    if walks == 0 {
                        lot = None;
                    }
                    0.0
                }
            }
        };
        clock::spawn(async move {
            let Dropped { files, folders, place, .. } = rest;
            folders::walk(&files, &folders, &place, dotfiles, tell).await;
        });
    }

    /// What this row stands for can be had now: whether it is wanted. The row goes away then.
    fn comes_in(&self, file: FileId) -> f64 {
        if !self.is_outside(file) {
            return folders::END;
        }
        let focused = self.focused_row() == Some(file);
        (self.deliver)(Event::Remove(Scope::One(file)));
        if focused {
            self.keep_focus("[data-pl-total]", 0, ".pl-sum");
        }
        // The queue lets go only of what is listed. What was taken off may be brought back.
        if self.is_outside(file) { folders::NOT_NOW } else { 0.0 }
    }

    /// As [`Runtime::keep_focus`].
    fn keep_focus(&self, rows: &'static str, index: usize, what: &'static str) {
        if let Some(form) = self.form.borrow().clone() {
            self.later.replace(Some(focus::keep(form.into(), rows, index, what, "[data-pl-input]")));
        }
    }

    /// The row that has the keyboard's focus.
    fn focused_row(&self) -> Option<FileId> {
        self.list.borrow().as_ref()?.focused()
    }

    /// Whether this row stands for what could not be taken in yet.
    fn is_outside(&self, file: FileId) -> bool {
        self.outside.borrow().iter().any(|(outside, ())| *outside == file)
    }

    /// Tells of files that were taken in: of all that were picked, or of the next ones of a lot.
    fn added(self: &Rc<Self>, found: Vec<Candidate>, lot: Option<&Lot>) {
        let pictures = found.iter().any(|candidate| parts::may_show(&candidate.meta));
        match lot {
            Some(lot) => (self.deliver)(Event::Gathering {
                lot: lot.number,
                found,
                more: true,
                smaller: lot.smaller.get(),
            }),
            None if found.is_empty() => {}
            None => (self.deliver)(Event::Added(found)),
        }
        // What can be sent at once is on its way.
        if pictures {
            self.show_pictures();
        }
    }

    /// Shows small pictures from now on, if that is wanted.
    fn show_pictures(self: &Rc<Self>) {
        if let Some(form) = &*self.form.borrow()
            && self.thumbnails
            && self.thumbs.borrow().is_none()
        {
            let inner = Rc::downgrade(self);
            let find = move |file| inner.upgrade()?.files.find_late(file);
            self.thumbs.replace(Some(Part::thumbs(form, find, self.files.late())));
        }
    }

    fn shrinks(&self, picked: &Picked) -> bool {
        self.downscale.is_some() && downscale::may_shrink(&picked.file)
    }

    /// Takes pictures of a lot in, each as soon as it has been made smaller, and none at once: from then on that is the
    /// file, for limits, for tries and for what is remembered.
    fn shrink(self: &Rc<Self>, pictures: Vec<Picked>, chosen_for: Option<FileId>, lot: &Rc<Lot>) {
        let Some(side) = self.downscale.filter(|_| !pictures.is_empty()) else { return };
        lot.smaller.set(true);
        let (inner, lot) = (Rc::downgrade(self), Rc::clone(lot));
        clock::spawn(async move {
            for picked in pictures {
                let picked = downscale::shrink(picked, side).await;
                let Some(inner) = inner.upgrade() else { return };
                match inner.missing_like(&picked, chosen_for) {
                    Some(file) => inner.picked_again(file, picked),
                    None => inner.added(vec![inner.files.take(picked)], Some(&lot)),
                }
            }
        });
    }

    /// Lists something that cannot be taken, and tells its number. No sentence: the face of the widget has one for these.
    fn refuse(&self, path: String, reason: &str) -> f64 {
        let candidate = self.files.name_only(path);
        let row = candidate.id;
        let mut error = ErrorBody::new(ErrorCode::NoFile, "").with_detail(reason);
        error.retryable = reason == folders::OUTSIDE;
        if error.retryable {
            self.outside.borrow_mut().push((row, ()));
        }
        (self.deliver)(Event::Refused { candidate, error });
        f64::from(row.0)
    }

    /// Asks the person who is about to leave the page.
    fn guard(&self) -> Option<EventListener> {
        self.guards.then_some(())?;
        Some(active(window()?.as_ref(), "beforeunload", |event| {
            event.prevent_default();
            // What older browsers look at.
            let _ = js_sys::Reflect::set(event, &"returnValue".into(), &true.into());
        }))
    }

    /// Takes what an event carries, all of it before the event is over.
    fn add_from(self: &Rc<Self>, event: &web_sys::Event, data: Option<DataTransfer>) {
        if self.is_disabled() {
            return;
        }
        let dropped = data.map(|data| files::dropped(&data)).unwrap_or_default();
        if !dropped.is_empty() {
            event.prevent_default();
            self.add(dropped, None);
        }
    }

    /// Shows that what is dragged over the page may be dropped.
    fn mark(&self, over: bool) {
        let zone = self.form.borrow().as_ref().and_then(|form| form.query_selector("[data-pl-drop]").ok()?);
        if let Some(zone) = zone {
            let _ = zone.toggle_attribute_with_force("data-page-over", over);
        }
    }

    /// Whether something in the form is like this now.
    fn is_on(&self, selector: &str) -> bool {
        let form = self.form.borrow();
        form.as_ref().is_some_and(|form| matches!(form.query_selector(selector), Ok(Some(_))))
    }

    /// Whether the page takes no files now: its input is disabled, by whatever is around it.
    fn is_disabled(&self) -> bool {
        self.is_on("[data-pl-input]:disabled")
    }

    fn input(&self) -> Option<HtmlInputElement> {
        self.find("[data-pl-input]")
    }

    fn wants_digest(&self) -> bool {
        self.find("[data-pl-digest]").is_some_and(|checkbox| checkbox.checked())
    }

    fn find(&self, selector: &str) -> Option<HtmlInputElement> {
        let form = self.form.borrow();
        form.as_ref()?.query_selector(selector).ok()??.dyn_into().ok()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        room::freed(self);
    }
}

/// Files that come in portions, and are one lot to the queue: what is wanted of all files is wanted of all of them. Whoever
/// still has some to bring holds it, and its end is told when nobody does any more.
struct Lot {
    inner: Weak<Inner>,
    number: u32,
    /// Whether there have been pictures in it that are made smaller.
    smaller: Cell<bool>,
}

impl Lot {
    fn begin(inner: &Rc<Inner>) -> Rc<Self> {
        let number = inner.lots.get();
        inner.lots.set(number + 1);
        Rc::new(Self { inner: Rc::downgrade(inner), number, smaller: Cell::new(false) })
    }
}

impl Drop for Lot {
    fn drop(&mut self) {
        let (lot, found) = (self.number, Vec::new());
        tell(&self.inner, Event::Gathering { lot, found, more: false, smaller: false });
    }
}

/// Whether a file of a folder, or a folder on the way to it, has a name that begins with a dot. The folder itself was
/// chosen by its name.
fn has_dot(path: &str) -> bool {
    path.split('/').skip(1).any(|name| name.starts_with('.'))
}

fn failed(file: FileId, request: RequestId, code: ErrorCode, status: u16) -> Event {
    Event::Failed { file, request, error: ErrorBody::new(code, ""), status, retry_after_ms: None }
}

/// How the end of a request is reported.
fn ending(file: FileId, request: RequestId, outcome: Outcome) -> Event {
    let failed =
        |error, status, retry_after_ms| Event::Failed { file, request, error, status, retry_after_ms };
    match outcome {
        Outcome::Aborted => Event::Aborted { file, request },
        Outcome::Broken => failed(ErrorBody::new(ErrorCode::Network, ""), 0, None),
        Outcome::Answered(answer) if answer.is_success() => match json::first_receipt(&answer.body) {
            Some(receipt) => Event::Accepted { file, request, receipt },
            // Whatever took it, it was not a server of ours: nothing says that the file is stored.
            None => failed(ErrorBody::new(ErrorCode::BadAnswer, ""), answer.status, None),
        },
        Outcome::Answered(answer) => failed(refusal(&answer), answer.status, answer.retry_after_ms),
    }
}

/// Why an answer refuses, as far as it says so: in a problem document, or in a text for people. A page with markup is
/// for people who see it whole, what repeats its own status says nothing, and in what a broken server writes there is
/// nothing for whom it is shown to.
fn refusal(answer: &Answer) -> ErrorBody {
    let mut error = json::problem(&answer.body, answer.status);
    let is_text = || answer.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain"));
    if error.message.is_empty() && answer.status < 500 && is_text() {
        let text = answer.body.trim();
        if text != answer.phrase() {
            text.clone_into(&mut error.message);
        }
    }
    if let Some((end, _)) = error.message.char_indices().nth(MOST_SAID) {
        error.message.truncate(end);
        error.message.push('\u{2026}');
    }
    error
}

/// What the page itself has to tell.
fn page_listeners(inner: &Rc<Inner>) -> Vec<EventListener> {
    let mut listeners = Vec::new();
    let Some(window) = window() else { return listeners };
    let Some(document) = window.document() else { return listeners };

    let plain = [("online", Event::Online), ("offline", Event::Offline), ("pagehide", Event::LetGo)];
    for (name, event) in plain {
        let inner = Rc::downgrade(inner);
        listeners.push(EventListener::new(&window, name, move |_| {
            if let Some(inner) = inner.upgrade() {
                inner.page_tells(event.clone());
            }
        }));
    }
    // The dialog was closed without a choice: what is picked next is picked for itself.
    // It is heard at the form: it does not leave a shadow root.
    let cancelled = Rc::downgrade(inner);
    if let Some(form) = &*inner.form.borrow() {
        listeners.extend(rest::signs(form));
        listeners.push(EventListener::new(form, "cancel", move |_| {
            if let Some(inner) = cancelled.upgrade() {
                inner.chosen_for.set(None);
            }
        }));
    }
    let (page, told) = (document.clone(), Rc::downgrade(inner));
    listeners.push(EventListener::new(&document, "visibilitychange", move |_| {
        if let Some(inner) = told.upgrade().filter(|_| !page.hidden()) {
            inner.page_tells(Event::Visible);
        }
    }));

    let pasted = Rc::downgrade(inner);
    listeners.push(active(&document, "paste", move |event| {
        let Some(inner) = pasted.upgrade().filter(|_| !event.default_prevented()) else { return };
        let data = event.unchecked_ref::<ClipboardEvent>().clipboard_data();
        let has_text = || data.as_ref().is_some_and(|data| data.types().includes(&"text/plain".into(), 0));
        // A picture alone is nothing to a text field.
        let is_theirs = is_at(event, EDITED) || (is_at(event, TEXT) && has_text());
        if !is_theirs {
            inner.add_from(event, data);
        }
    }));
    for name in ["dragover", "dragleave", "drop"] {
        if inner.drop_anywhere {
            let inner = Rc::downgrade(inner);
            listeners.push(active(&document, name, move |event| {
                let Some(inner) = inner.upgrade() else { return };
                let event = event.unchecked_ref::<DragEvent>();
                let files = event.data_transfer().filter(|data| {
                    files::carries_files(data)
                        && !inner.is_disabled()
                        && !is_at(event, FILES)
                        && !is_at(event, EDITED)
                });
                // It has left when there is nothing that it has entered.
                let over = name == "dragover" || (name == "dragleave" && event.related_target().is_some());
                inner.mark(over && files.is_some());
                if let Some(data) = files.filter(|_| name != "dragleave" && !event.default_prevented()) {
                    event.prevent_default();
                    if name == "drop" {
                        inner.add_from(event, Some(data));
                    }
                }
            }));
        }
        // A file dropped beside the zone would replace the page, and every running upload with it. Heard after the
        // document: another widget may want what is dropped anywhere.
        listeners.push(active(&window, name, move |event| {
            let event = event.unchecked_ref::<DragEvent>();
            if let Some(data) = event.data_transfer().filter(files::carries_files)
                && name != "dragleave"
                && !event.default_prevented()
                && !is_at(event, FILES)
                // Where a drop is refused here, an editor would not hear of it.
                && !(name == "dragover" && is_at(event, EDITED))
            {
                event.prevent_default();
                data.set_drop_effect("none");
            }
        }));
    }
    listeners
}

/// What takes dropped files by itself.
const FILES: &str = "input[type=file]:enabled";
/// What takes pasted text.
const TEXT: &str = "textarea,input:not([type=file],[type=checkbox],[type=radio],[type=button],[type=submit])";
/// What is edited as a whole, pictures and all.
const EDITED: &str = "[contenteditable]:not([contenteditable=false])";

/// Whether an event happens at such an element or in one, wherever in shadow roots that is.
fn is_at(event: &web_sys::Event, selector: &str) -> bool {
    let at = event.composed_path().get(0).dyn_into::<Element>();
    at.is_ok_and(|at| matches!(at.closest(selector), Ok(Some(_))))
}

fn tell(inner: &Weak<Inner>, event: Event) {
    if let Some(inner) = inner.upgrade() {
        (inner.deliver)(event);
    }
}

/// A listener that may prevent the default.
fn active(
    target: &EventTarget,
    name: &'static str,
    heard: impl FnMut(&web_sys::Event) + 'static,
) -> EventListener {
    EventListener::new_with_options(target, name, EventListenerOptions::enable_prevent_default(), heard)
}

/// Takes the value with this key out of a short list. It is dropped by the caller, outside any borrow of the list.
fn take<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: &K) -> Option<V> {
    let place = list.iter().position(|(present, _)| present == key)?;
    Some(list.swap_remove(place).1)
}
