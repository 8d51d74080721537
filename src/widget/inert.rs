//! The twin of the browser for the server and for native tests: it takes the same calls and does nothing, because on
//! the server nothing happens between rendering a page and sending it. Must never start anything.

use std::collections::BTreeMap;

use leptos::prelude::use_context;

use crate::{
    engine::{
        command,
        event::{Event, FileId},
        view::Waiting,
        window::Sight,
    },
    widget::{
        Setup,
        labels::{Texts, base},
    },
    wire::{Options, Receipt, UploadId},
};

pub(crate) use web_sys::File;

/// Carries out nothing.
pub(crate) struct Runtime;

impl Runtime {
    /// A runtime that delivers no event.
    pub(crate) fn new(
        _options: &Options,
        _read: Option<command::ReadAnswer>,
        _signs: bool,
        _deliver: impl Fn(Event) + 'static,
        _seen: impl Fn(Sight) + 'static,
        _waiting: impl Fn(Waiting) + 'static,
    ) -> Self {
        Self
    }

    /// Nothing is missing here.
    pub(crate) fn is_whole(&self) -> bool {
        true
    }

    /// No file waits here.
    pub(crate) fn has_more(&self) -> bool {
        false
    }

    /// Nothing waits here.
    pub(crate) fn in_turn(&self, _then: impl FnOnce() + 'static) {}

    /// No file waits here.
    pub(crate) fn drop_waiting(&self) -> bool {
        false
    }

    /// Nothing is sent.
    pub(crate) fn room(&self) -> usize {
        0
    }

    /// Nothing is under way.
    pub(crate) fn takes(&self, _flights: usize, _waits: bool) {}

    /// Nobody is asked here.
    pub(crate) fn run(&self, _task: impl Future<Output = ()> + 'static) {}

    /// There are no files here.
    pub(crate) fn add(&self, _files: Vec<File>) {}

    /// Time stands still.
    pub(crate) fn now_ms(&self) -> u64 {
        0
    }

    /// The page is only being written.
    pub(crate) fn settled(&self, _then: impl FnOnce() + 'static) {}

    /// There is no page to listen to.
    pub(crate) fn attach(&self, _form: &web_sys::HtmlFormElement) {}

    /// Nobody picks files here.
    pub(crate) fn picked(&self) {}

    /// The page around is not known.
    pub(crate) fn language(&self) -> Option<String> {
        None
    }

    /// All languages are at hand.
    pub(crate) fn fetch_texts(&self, _url: &str, _then: impl FnOnce(Option<Texts>) + 'static) {}

    /// Nobody drags here.
    pub(crate) fn dragged(&self, _event: &web_sys::DragEvent) -> bool {
        false
    }

    /// Nobody drags here.
    pub(crate) fn still_inside(&self, _event: &web_sys::DragEvent) -> bool {
        false
    }

    /// Nobody drops here.
    pub(crate) fn dropped(&self, _event: &web_sys::DragEvent) {}

    /// Nothing has the focus.
    pub(crate) fn keep_focus(&self, _rows: &'static str, _index: usize, _what: &'static str) {}

    /// Nothing has the focus.
    pub(crate) fn is_focused(&self, _part: &str) -> bool {
        false
    }

    /// There is no list to lay out.
    pub(crate) fn lay_out(&self, _edges: (u32, u32), _scroll: i32) {}

    /// Nothing has the focus.
    pub(crate) fn focused_row(&self) -> Option<FileId> {
        None
    }

    /// Nobody leaves the page while it is being written.
    pub(crate) fn busy(&self, _busy: bool) {}

    /// Time stands still.
    pub(crate) fn every_second(&self, _tick: Option<impl FnMut() + 'static>) {}
}

impl command::Runtime for Runtime {
    fn execute(&self, _command: command::Command) {}
}

/// Asks nothing.
pub(crate) struct Questions;

impl Questions {
    /// Nobody to ask.
    pub(crate) fn new() -> Self {
        Self
    }

    /// The server deletes by itself when the plain form is sent.
    pub(crate) fn delete(&self, _action: &str, _id: &UploadId, _done: impl FnOnce(bool) + 'static) {}

    /// Nothing has the focus.
    pub(crate) fn keep_focus(&self, _rows: &'static str, _index: usize, _fallback: &'static str) {}

    /// The server does not know where the reader is.
    pub(crate) fn settled(&self, _then: impl FnOnce(i32) + 'static) {}

    /// A page is written once.
    pub(crate) fn rest(&self, _pause_ms: u32, _then: impl FnOnce() + 'static) {}
}

/// Nothing random is needed where nothing is sent.
pub(crate) fn seed() -> u64 {
    0
}

/// What whoever renders the page has provided.
pub(crate) fn setup() -> Option<(Options, Vec<Receipt>)> {
    use_context::<Setup>().map(|setup| (setup.options, setup.uploads))
}

/// The server writes numbers with its own arithmetic: it has no formats.
pub(crate) enum Intl {}

impl Intl {
    /// There is none.
    pub(crate) fn new(_lang: &str) -> Option<Self> {
        None
    }

    /// Nothing to say.
    pub(crate) fn category(&self, _n: u32) -> String {
        match *self {}
    }

    /// Nothing to say.
    pub(crate) fn number(&self, _n: u64) -> Option<String> {
        match *self {}
    }

    /// Nothing to say.
    pub(crate) fn tenths(&self, _n: u64) -> Option<String> {
        match *self {}
    }

    /// Nothing to say.
    pub(crate) fn percent(&self, _n: u8) -> Option<String> {
        match *self {}
    }

    /// Nothing to say.
    pub(crate) fn moment(&self, _ms: u64) -> Option<String> {
        match *self {}
    }
}

/// The texts of a language, if it is one of ours.
pub(crate) fn texts(base: &str) -> Option<Texts> {
    let (_, json) = LANGUAGES.iter().find(|(name, _)| *name == base)?;
    let texts: BTreeMap<String, String> = serde_json::from_str(json).ok()?;
    Some(texts.into_iter().collect())
}

/// The same as the browser will read them.
pub(crate) fn write_texts(base: &str) -> Option<String> {
    serde_json::to_string(&texts(base)?.into_iter().collect::<BTreeMap<_, _>>()).ok()
}

const LANGUAGES: [(&str, &str); 6] = [
    ("ar", include_str!("../../public/labels/ar.json")),
    ("de", include_str!("../../public/labels/de.json")),
    ("es", include_str!("../../public/labels/es.json")),
    ("fr", include_str!("../../public/labels/fr.json")),
    ("ja", include_str!("../../public/labels/ja.json")),
    ("zh", include_str!("../../public/labels/zh.json")),
];

/// The plural category of a whole number (Unicode's CLDR): `zero`, `one`, `two`, `few`, `many` or `other`.
pub(crate) fn category(lang: &str, n: u32) -> &'static str {
    match (base(lang), n) {
        ("ja" | "zh", _) => "other",
        ("ar", 0) => "zero",
        ("fr", 0) | (_, 1) => "one",
        ("ar", 2) => "two",
        ("ar", n) if (3..=10).contains(&(n % 100)) => "few",
        ("ar", n) if (11..=99).contains(&(n % 100)) => "many",
        ("fr" | "es", n) if n != 0 && n % 1_000_000 == 0 => "many",
        _ => "other",
    }
}

/// The set-up as the browser will read it.
pub(crate) fn write_setup(options: &Options, uploads: &[Receipt]) -> Option<String> {
    #[derive(serde::Serialize)]
    struct Written<'a> {
        options: &'a Options,
        uploads: &'a [Receipt],
    }
    serde_json::to_string(&Written { options, uploads }).ok()
}
