//! Between the views and the queue: hands events in, has commands carried out, and redraws only the rows that
//! changed, of those that are drawn at all: nothing here walks the list for an event. Must never decide what happens
//! to a file (the queue does) nor how (the runtime does).
//!
//! Events may arrive while another is being handled: carrying out a command can make the browser call back at once.
//! They wait in a small inbox, so the queue is never entered twice.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use leptos::prelude::*;

use crate::{
    engine::{
        Queue,
        command::{Command, Notice, Runtime as _},
        event::{Event, FileId, RequestId, Scope},
        news::FileInfo,
        view::{Lack, Offers, RowState, RowView, TotalView, Waiting},
        window::{SHORT, Sight, Window},
    },
    wire::{Options, Receipt, options::find},
};

use super::{
    announcer::Announcer,
    file_row::Row,
    hooks::{Hooks, UploadEvent},
    labels::{self, Labels, Word, base},
    runtime,
    runtime::{File, Runtime},
    text,
};

/// Milliseconds that the last announcement stays after everything has ended. Then the region is empty again, so that
/// nobody finds old news in it.
const SILENCE_MS: u64 = 10_000;

/// As long as more files are under way than a short list has, their line is drawn at most this often, in milliseconds:
/// small ones end by the hundred in a second, and each picture of their sum is work that the next ones wait for.
const DRAWN_MS: u64 = 250;

/// What takes the focus over from a button that a person has pressed and that is gone.
const BUTTON: &str = "button:not([hidden])";

/// The same where nobody pressed it: something that does no harm when the press comes a moment too late.
const HARMLESS: &str = "summary, :not([hidden]) > .pl-sum";

/// The one handle that views hold. Clones are the same controller; the last one dropped ends everything.
#[derive(Clone)]
pub(crate) struct Controller(Arc<Shared>);

struct Shared {
    runtime: Runtime,
    core: Mutex<Core>,
    inbox: Mutex<Inbox<Event>>,
    rows: ArcRwSignal<Vec<Row>>,
    total: ArcRwSignal<TotalView>,
    /// The same as it was last drawn.
    drawn: ArcRwSignal<TotalView>,
    said: ArcRwSignal<String>,
    /// What is said of files that wait until they can be taken in.
    waits: ArcRwSignal<Option<Word>>,
    /// How many files wait.
    waiting: AtomicU32,
    labels: ArcRwSignal<Labels>,
    on_stored: Option<Callback<Receipt>>,
    hooks: Hooks,
    told: Mutex<Inbox<UploadEvent>>,
    /// What the page has said of words.
    options: Options,
    /// The language that was last spoken around the widget.
    spoken: Mutex<Option<String>>,
    /// The server's scheme and host; empty when they are the page's own.
    home: String,
}

/// The controller as the page around it holds it: without keeping it alive.
#[derive(Clone, Default)]
pub(crate) struct Reach(Weak<Shared>);

impl Reach {
    pub(super) fn deliver(&self, event: Event) {
        let Some(shared) = self.0.upgrade() else { return };
        if shared.runtime.has_more() {
            let reach = Self(self.0.clone());
            return shared.runtime.in_turn(move || reach.pass(event));
        }
        shared.deliver(event);
    }

    fn pass(&self, event: Event) {
        if let Some(shared) = self.0.upgrade() {
            shared.deliver(event);
        }
    }

    pub(super) fn add(&self, files: Vec<File>) {
        if let Some(shared) = self.0.upgrade() {
            shared.runtime.add(files);
        }
    }

    pub(super) fn rows(&self) -> Vec<RowView> {
        let Some(shared) = self.0.upgrade().filter(|shared| shared.runtime.is_whole()) else {
            return Vec::new();
        };
        shared.views()
    }

    pub(super) fn say(&self, word: Word) -> String {
        let shared = self.0.upgrade();
        shared.map(|shared| shared.labels.with_untracked(|labels| labels.text(word))).unwrap_or_default()
    }

    pub(super) fn speak(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.speak();
        }
    }

    pub(super) fn total(&self) -> TotalView {
        let Some(shared) = self.0.upgrade() else { return TotalView::default() };
        // With what waits: it is on its way into the list.
        let gathering = shared.total.with_untracked(|total| total.gathering);
        if shared.runtime.is_whole() { shared.sum() } else { TotalView { gathering, ..TotalView::default() } }
    }
}

struct Core {
    queue: Queue,
    window: Window,
    announcer: Announcer,
    said_ms: u64,
    drawn_ms: u64,
    ticking: bool,
}

/// Events in their order, for one at a time to work on.
struct Inbox<T> {
    events: VecDeque<T>,
    /// Whether somebody is at work on it already; then events are only laid down.
    open: bool,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { events: VecDeque::new(), open: false }
    }
}

impl<T> Inbox<T> {
    /// The next event; when there is none, whoever asked is done.
    fn next(&mut self) -> Option<T> {
        let next = self.events.pop_front();
        self.open = next.is_some();
        next
    }
}

impl Controller {
    /// A controller with an empty list. `on_stored` hears of each stored file, once.
    pub(crate) fn new(
        options: &Options,
        labels: ArcRwSignal<Labels>,
        hooks: Hooks,
        on_stored: Option<Callback<Receipt>>,
    ) -> Self {
        let mut queue = Queue::new(options, runtime::seed());
        queue.consult(hooks.before_upload.is_some(), hooks.before_request.is_some());
        let signs = hooks.before_request.is_some();
        if hooks.on_event.is_some() {
            queue.listen();
        }
        Self(Arc::new_cyclic(|shared: &Weak<Shared>| {
            let (told, shared) = (shared.clone(), shared.clone());
            let deliver = move |event| {
                if let Some(shared) = told.upgrade() {
                    shared.deliver(event);
                }
            };
            let waits = shared.clone();
            let seen = move |sight| {
                // Of an empty list there is nothing to be seen.
                if let Some(shared) = shared.upgrade().filter(|shared| shared.runtime.is_whole()) {
                    shared.seen(&sight);
                }
            };
            let waiting = move |waiting| {
                if let Some(shared) = waits.upgrade() {
                    shared.waiting(waiting);
                }
            };
            Shared {
                runtime: Runtime::new(options, hooks.read_answer.clone(), signs, deliver, seen, waiting),
                core: Mutex::new(Core {
                    queue,
                    window: Window::default(),
                    announcer: Announcer::default(),
                    said_ms: 0,
                    drawn_ms: 0,
                    ticking: false,
                }),
                inbox: Mutex::default(),
                rows: ArcRwSignal::default(),
                total: ArcRwSignal::default(),
                drawn: ArcRwSignal::default(),
                said: ArcRwSignal::default(),
                waits: ArcRwSignal::default(),
                waiting: AtomicU32::new(0),
                labels,
                on_stored,
                hooks,
                told: Mutex::default(),
                options: options.clone(),
                spoken: Mutex::default(),
                home: origin(&options.action).to_owned(),
            }
        }))
    }

    /// The controller, for the page around it.
    pub(crate) fn reach(&self) -> Reach {
        Reach(Arc::downgrade(&self.0))
    }

    /// Carries out something that a person wants, and keeps the keyboard's place when that takes a button away.
    pub(crate) fn wish(&self, event: Event) {
        if self.0.runtime.is_whole() {
            return self.wish_now(event);
        }
        self.0.deliver(event);
        self.0.runtime.keep_focus("[data-pl-row]", 0, BUTTON);
    }

    #[inline(never)]
    fn wish_now(&self, event: Event) {
        let back = match event {
            Event::Undo => {
                // What was said is no longer true; and said again, it is to be heard again.
                self.0.said.set(String::new());
                lock(&self.0.core).queue.undoable()
            }
            _ => None,
        };
        let (rows, place) = match &event {
            Event::TakeOff(Scope::One(id))
            | Event::Cancel(Scope::One(id))
            | Event::Retry(Scope::One(id))
            | Event::Pause(Scope::One(id))
            | Event::Resume(Scope::One(id)) => ("[data-pl-row]", self.0.place(*id)),
            _ => ("[data-pl-total]", 0),
        };
        self.0.deliver(event);
        let (rows, place) = back.map_or((rows, place), |id| ("[data-pl-row]", self.0.place(id)));
        self.0.runtime.keep_focus(rows, place, BUTTON);
    }

    /// The rows that are drawn, in their order.
    pub(crate) fn rows(&self) -> ArcRwSignal<Vec<Row>> {
        self.0.rows.clone()
    }

    /// The list in figures.
    pub(crate) fn total(&self) -> ArcRwSignal<TotalView> {
        self.0.total.clone()
    }

    /// The same for words and pictures: of very many files not each change.
    pub(crate) fn drawn(&self) -> ArcRwSignal<TotalView> {
        self.0.drawn.clone()
    }

    /// Sorts the rows by state, what needs the person first, or as they were added.
    #[inline(never)]
    pub(crate) fn sort(&self, by_state: bool) {
        let core = &mut *lock(&self.0.core);
        core.window.sort(by_state);
        core.window.settle(self.0.runtime.focused_row());
        self.0.show(core, self.0.runtime.now_ms());
        self.0.runtime.lay_out(core.window.edges(), 0);
    }

    /// What is said of files that wait until they can be taken in.
    pub(crate) fn waits(&self) -> ArcRwSignal<Option<Word>> {
        self.0.waits.clone()
    }

    /// What is announced.
    pub(crate) fn said(&self) -> ArcRwSignal<String> {
        self.0.said.clone()
    }

    /// The words of this widget.
    pub(crate) fn labels(&self) -> ArcRwSignal<Labels> {
        self.0.labels.clone()
    }

    /// Where the paths lie that the server tells.
    pub(crate) fn home(&self) -> String {
        self.0.home.clone()
    }

    /// The browser's side, for events that are handed on unopened.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }
}

// What is never inlined is only needed when there is a file, and waits for the first: by its name (scripts/site.mjs).
impl Shared {
    #[inline(never)]
    fn views(&self) -> Vec<RowView> {
        let (now_ms, core) = (self.runtime.now_ms(), lock(&self.core));
        core.queue.rows().filter_map(|id| core.queue.row(id, now_ms)).collect()
    }

    #[inline(never)]
    fn sum(&self) -> TotalView {
        lock(&self.core).queue.total(self.runtime.now_ms())
    }

    /// Files wait until they can be taken in, or none does any more.
    fn waiting(&self, Waiting { files, failed }: Waiting) {
        let total = match files {
            0 if self.runtime.is_whole() => self.sum(),
            0 => TotalView::default(),
            _ => {
                let offers = Offers { cancel: true, ..Offers::default() };
                TotalView { gathering: true, offers, ..TotalView::default() }
            }
        };
        let word = match failed {
            None => Word::Creating,
            Some(Lack::Offline) => Word::Offline,
            Some(Lack::Down) => Word::ErrorDown,
            Some(Lack::Outdated) => Word::ErrorOutdated,
        };
        let (before, now) = (self.waits.get_untracked(), (files > 0).then_some(word));
        if before != now {
            self.waits.set(now);
            let text = |word| self.labels.with_untracked(|labels| labels.text(word));
            let is_said = |word| self.said.with_untracked(|said| *said == text(word));
            if let Some(word) = now.filter(|_| failed.is_some()) {
                self.said.set(text(word));
            } else if before.is_some_and(is_said) {
                self.said.set(String::new());
            }
        }
        if self.total.with_untracked(|old| *old != total) {
            self.runtime.busy(total.is_busy());
            self.drawn.set(total.clone());
            self.total.set(total);
        }
        if self.waiting.swap(files, Relaxed) != files
            && let Some(on_event) = self.hooks.on_event
        {
            on_event.run(UploadEvent::Waiting { files });
        }
    }

    /// Has the words of this widget follow the page around its form, with numbers as the browser writes them; fetches
    /// the texts that are not at hand.
    fn speak(self: &Arc<Self>) {
        let (labels, options) = (&self.labels, &self.options);
        let lang = self.language();
        if lock(&self.spoken).replace(lang.clone()).as_ref() == Some(&lang) {
            return;
        }
        labels.update(|labels| *labels = labels.settle(&lang));
        let base = base(&lang);
        if labels.with_untracked(|labels| labels::base(labels.lang()) == base) {
            return;
        }
        if !labels::LANGUAGES.contains(&base) {
            return labels.set(Labels::with(&lang, None, options, true));
        }
        let url = [&options.languages, "/", base, ".json"].concat();
        let shared = Arc::downgrade(self);
        self.runtime.fetch_texts(&url, move |texts| {
            let Some(shared) = shared.upgrade() else { return };
            if texts.is_none() {
                *lock(&shared.spoken) = None;
                shared.speak();
            } else if shared.language() == lang {
                // Otherwise another language is spoken by now.
                shared.labels.set(Labels::with(&lang, texts, &shared.options, true));
            }
        });
    }

    /// The language that is asked for, or else spoken around the widget; empty when nobody says.
    fn language(&self) -> String {
        let asked = Some(self.options.lang.clone()).filter(|lang| !lang.is_empty());
        let lang = asked.or_else(|| self.runtime.language()).unwrap_or_default();
        labels::tag(&lang, !self.options.labels.is_empty())
    }

    fn deliver(self: &Arc<Self>, event: Event) {
        if self.runtime.is_whole() {
            return self.deliver_now(event);
        }
        // What cannot be taken in has no row to be cancelled in.
        if event == Event::Cancel(Scope::All) && self.runtime.drop_waiting() {
            return;
        }
        let shared = Arc::downgrade(self);
        self.runtime.in_turn(move || Reach(shared).pass(event));
    }

    #[inline(never)]
    fn deliver_now(self: &Arc<Self>, event: Event) {
        {
            let mut inbox = lock(&self.inbox);
            inbox.events.push_back(event);
            if inbox.open {
                return;
            }
            inbox.open = true;
        }
        let mut notices = Vec::new();
        loop {
            let next = lock(&self.inbox).next();
            let Some(event) = next else { break };
            let commands = {
                let queue = &mut lock(&self.core).queue;
                queue.share(self.runtime.room());
                let commands = queue.handle(event, self.runtime.now_ms());
                self.runtime.takes(queue.flights(), queue.waits());
                lock(&self.told).events.extend(queue.take_news());
                commands
            };
            for command in commands {
                match command {
                    Command::Notify(notice) => notices.push(notice),
                    Command::Prepare { file, request, upload, again } => {
                        self.ask(file, request, upload, again);
                    }
                    command => self.runtime.execute(command),
                }
            }
        }
        self.redraw(&notices);
        self.tell();
    }

    /// Puts the page's questions to it. Whatever becomes of the file meanwhile, the queue knows a late answer.
    fn ask(self: &Arc<Self>, file: FileInfo, request: RequestId, upload: bool, again: bool) {
        let shared = Arc::downgrade(self);
        let asked = self.hooks.clone().ask(file, request, upload, again);
        self.runtime.run(async move { Reach(shared).deliver(asked.await) });
    }

    /// Tells the page what has happened, outside of every lock and in order: it may want more at once.
    fn tell(&self) {
        let Some(on_event) = self.hooks.on_event else { return };
        if std::mem::replace(&mut lock(&self.told).open, true) {
            return;
        }
        loop {
            let next = lock(&self.told).next();
            let Some(event) = next else { return };
            on_event.run(event);
        }
    }

    #[inline(never)]
    fn redraw(self: &Arc<Self>, notices: &[Notice]) {
        let now_ms = self.runtime.now_ms();
        let mut stored = Vec::new();
        {
            let core = &mut *lock(&self.core);
            let dirty = core.queue.take_dirty();
            let anchor = core.window.anchor();
            let mut moved = false;
            for id in &dirty {
                moved |= core.window.put(*id, core.queue.rank(*id));
            }
            if moved {
                let scroll = core.window.moved(anchor);
                core.window.settle(self.runtime.focused_row());
                self.show(core, now_ms);
                self.runtime.lay_out(core.window.edges(), scroll);
            }
            self.refresh(core, now_ms, |row| dirty.contains(&row.id));
            for notice in notices {
                if let Notice::Done(id) = notice {
                    stored.extend(core.queue.row(*id, now_ms).and_then(|row| row.receipt));
                }
            }
            self.sum_up(core, notices, now_ms);
        }
        if let Some(on_stored) = &self.on_stored {
            for receipt in stored {
                on_stored.run(receipt);
            }
        }
    }

    /// The browser has laid the list out, or somebody scrolls it.
    #[inline(never)]
    fn seen(self: &Arc<Self>, sight: &Sight) {
        let core = &mut *lock(&self.core);
        core.window.look(sight.offset, sight.height);
        let scroll = core.window.measure(&sight.measured);
        if sight.settled {
            core.window.settle(self.runtime.focused_row());
            self.show(core, self.runtime.now_ms());
        }
        if sight.settled || !sight.measured.is_empty() {
            self.runtime.lay_out(core.window.edges(), scroll);
        }
    }

    /// Draws the rows of the window: those that are drawn already stay, with all that a person has opened in them.
    fn show(&self, core: &Core, now_ms: u64) {
        let mut rows = Vec::new();
        let mut same = true;
        self.rows.with_untracked(|old| {
            for (id, place) in core.window.shown() {
                same &= old.get(rows.len()).is_some_and(|row| row.id == id);
                if let Some(row) = old.iter().find(|row| row.id == id) {
                    if row.place.with_untracked(|old| *old != place) {
                        row.place.set(place);
                    }
                    rows.push(row.clone());
                } else if let Some(view) = core.queue.row(id, now_ms) {
                    let (view, place) = (ArcRwSignal::new(view), ArcRwSignal::new(place));
                    let labels = self.labels.clone();
                    rows.push(Row { id, view, labels, place });
                }
            }
            same &= old.len() == rows.len();
        });
        if !same {
            let focused = self.runtime.focused_row();
            self.rows.set(rows);
            // A row that is moved loses the focus, and one that goes away by itself takes it along.
            if let Some(id) = focused {
                let (rows, place) = match core.queue.phase(id) {
                    Some(_) => ("[data-pl-row]", self.place(id)),
                    None => ("[data-pl-total]", 0),
                };
                self.runtime.keep_focus(rows, place, HARMLESS);
            }
        }
    }

    /// Brings the rows that are drawn up to date.
    fn refresh(&self, core: &Core, now_ms: u64, which: impl Fn(&Row) -> bool) {
        self.rows.with_untracked(|rows| {
            for row in rows.iter().filter(|row| which(row)) {
                if let Some(view) = core.queue.row(row.id, now_ms)
                    && row.view.with_untracked(|old| *old != view)
                {
                    let takes_button = row.view.with_untracked(|old| takes_button(old, &view));
                    if takes_button && self.runtime.focused_row() == Some(row.id) {
                        self.runtime.keep_focus("[data-pl-row]", self.place(row.id), HARMLESS);
                    }
                    row.view.set(view);
                }
            }
        });
    }

    fn sum_up(self: &Arc<Self>, core: &mut Core, notices: &[Notice], now_ms: u64) {
        let total = core.queue.total(now_ms);
        let (queue, labels) = (&core.queue, self.labels.get_untracked());
        let failure = |id| {
            let view = queue.row(id, now_ms).filter(|row| row.state.has_ended() && row.error.is_some())?;
            Some((text::whole_name(&view), text::reason(&labels, &view)))
        };
        let refused = || queue.last_refused();
        if let Some(mut text) = core.announcer.say(now_ms, notices, &total, &labels, refused, failure) {
            core.said_ms = now_ms;
            // The same once more is no change, and would not be heard.
            if self.said.with_untracked(|said| *said == text) {
                text.push('\u{a0}');
            }
            self.said.set(text);
        } else if total.active == 0 && now_ms >= core.said_ms + SILENCE_MS {
            self.said.maybe_update(|said| {
                let old = !said.is_empty();
                said.clear();
                old
            });
        }
        let speaks = self.said.with_untracked(|said| !said.is_empty());
        let rests = total.active as usize > SHORT && now_ms < core.drawn_ms + DRAWN_MS;
        let behind = self.drawn.with_untracked(|drawn| *drawn != total);
        if behind && !rests {
            core.drawn_ms = now_ms;
            self.drawn.set(total.clone());
        }
        let owes = core.announcer.owes() || (behind && rests);
        self.tick(core, total.counts_down || owes || (speaks && total.active == 0));
        let (changed, busy) =
            self.total.with_untracked(|old| (*old != total, old.is_busy() != total.is_busy()));
        if busy {
            self.runtime.busy(total.is_busy());
        }
        if changed {
            if self.runtime.is_focused("[data-pl-total]") {
                self.runtime.keep_focus("[data-pl-total]", 0, HARMLESS);
            }
            self.total.set(total);
        }
    }

    /// A seconds hand, only while something on the page counts seconds: at rest there are no timers.
    fn tick(self: &Arc<Self>, core: &mut Core, wanted: bool) {
        if core.ticking == wanted {
            return;
        }
        core.ticking = wanted;
        let shared = Arc::downgrade(self);
        self.runtime.every_second(wanted.then_some(move || {
            if let Some(shared) = shared.upgrade() {
                shared.second_passed();
            }
        }));
    }

    fn second_passed(self: &Arc<Self>) {
        let waits =
            |row: &Row| row.view.with_untracked(|view| matches!(view.state, RowState::Waiting { .. }));
        self.refresh(&lock(&self.core), self.runtime.now_ms(), waits);
        self.redraw(&[]);
    }

    fn place(&self, id: FileId) -> usize {
        self.rows.with_untracked(|rows| rows.iter().position(|row| row.id == id).unwrap_or(rows.len()))
    }
}

/// Whether a button of a row goes away.
fn takes_button(old: &RowView, new: &RowView) -> bool {
    let holds = |row: &RowView| row.can_pause || row.can_resume;
    (old.can_retry && !new.can_retry) || (holds(old) && !holds(new))
}

/// The scheme and host of an address that has them.
fn origin(url: &str) -> &str {
    let Some(host) = find(url, "://").map(|at| at + 3) else { return "" };
    &url[..url[host..].find(['/', '?', '#']).map_or(url.len(), |end| host + end)]
}

/// A panic elsewhere must not take the list away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
