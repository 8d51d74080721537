//! The twin of the browser for the server and for native tests: it takes the same calls and does nothing, because on
//! the server nothing happens between rendering a page and sending it. Must never start anything.

use leptos::prelude::use_context;

use crate::{
    engine::{
        command,
        event::{Event, FileId},
        window::Sight,
    },
    widget::Setup,
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
        _deliver: impl Fn(Event) + 'static,
        _seen: impl Fn(Sight) + 'static,
    ) -> Self {
        Self
    }

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
    pub(crate) fn keep_focus(&self, _rows: &'static str, _index: usize) {}

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
}

/// Nothing random is needed where nothing is sent.
pub(crate) fn seed() -> u64 {
    0
}

/// What whoever renders the page has provided.
pub(crate) fn setup() -> Option<(Options, Vec<Receipt>)> {
    use_context::<Setup>().map(|setup| (setup.options, setup.uploads))
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
