//! What a page can do to its widget by itself. Must never keep the widget alive: once that is gone from the page, a
//! handle does nothing.
//!
//! ```
//! use leptos::prelude::*;
//! use plimsoll::{engine::event::Scope, widget::{UploadHandle, UploadWidget}, wire::Options};
//!
//! /// Files are picked at any time and sent with the rest of the letter.
//! #[component]
//! fn Letter() -> impl IntoView {
//!     let uploads = StoredValue::new(UploadHandle::default());
//!     let on_handle = Callback::new(move |handle| uploads.set_value(handle));
//!     let options = Options { auto_start: false, ..Options::default() };
//!     view! {
//!         <UploadWidget options on_handle/>
//!         <button on:click=move |_| uploads.with_value(|widget| widget.start(Scope::All))>"Send"</button>
//!     }
//! }
//! ```

use crate::engine::{
    event::{Event, Scope},
    view::{RowView, TotalView},
};

use super::{controller::Reach, labels::Word, runtime::File};

/// A widget, as far as the page around it may reach. Clones are the same widget; the default is none.
///
/// Buttons of the page's own, and files that it has from elsewhere: drawn, recorded, or from a picker of its own.
///
/// ```
/// use leptos::{prelude::*, web_sys::File};
/// use plimsoll::{engine::event::Scope, widget::{Hooks, UploadEvent, UploadHandle, UploadWidget}, wire::Options};
///
/// /// What is picked waits for a button; what is drawn is sent at once.
/// #[component]
/// fn Studio(drawn: Signal<Option<File>, LocalStorage>) -> impl IntoView {
///     let uploads = StoredValue::new(UploadHandle::default());
///     let on_event = move |event| {
///         // The first files may wait until all that works on files has been loaded: it is in the list from here on.
///         if let UploadEvent::Added { file } = event && file.name == "drawing.png" {
///             uploads.with_value(|widget| widget.start(Scope::One(file.id)));
///         }
///     };
///     Effect::new(move || {
///         if let Some(drawing) = drawn.get() {
///             uploads.with_value(|widget| widget.add(vec![drawing]));
///         }
///     });
///     let options = Options { auto_start: false, ..Options::default() };
///     let hooks = Hooks { on_event: Some(Callback::new(on_event)), ..Hooks::default() };
///     let all = move |what: fn(&UploadHandle, Scope)| uploads.with_value(|widget| what(widget, Scope::All));
///     view! {
///         <UploadWidget options hooks on_handle=move |handle| uploads.set_value(handle)/>
///         <button on:click=move |_| all(UploadHandle::start)>"Send"</button>
///         <button on:click=move |_| all(UploadHandle::pause)>"Hold"</button>
///         <button on:click=move |_| all(UploadHandle::resume)>"Go on"</button>
///         <button on:click=move |_| all(UploadHandle::cancel)>"Stop"</button>
///     }
/// }
///
/// // The default is none: it does nothing, as a handle does whose widget is gone.
/// let none = UploadHandle::default();
/// none.add(Vec::new());
/// none.start(Scope::All);
/// none.pause(Scope::All);
/// none.cancel(Scope::All);
/// assert!(none.rows().is_empty());
/// ```
#[derive(Clone, Default)]
pub struct UploadHandle(pub(super) Reach);

impl UploadHandle {
    /// Adds files, as if a person had picked them.
    pub fn add(&self, files: Vec<File>) {
        self.0.add(files);
    }

    /// Starts what waits for a start (`auto_start` is off).
    pub fn start(&self, scope: Scope) {
        self.0.deliver(Event::Start(scope));
    }

    /// Holds what runs or waits. A form is sent anew when it goes on, a resumable upload goes on where it was.
    pub fn pause(&self, scope: Scope) {
        self.0.deliver(Event::Pause(scope));
    }

    /// Lets what is held go on.
    pub fn resume(&self, scope: Scope) {
        self.0.deliver(Event::Resume(scope));
    }

    /// Tries again what failed or was stopped.
    pub fn retry(&self, scope: Scope) {
        self.0.deliver(Event::Retry(scope));
    }

    /// Stops what has not ended; the rows stay.
    pub fn cancel(&self, scope: Scope) {
        self.0.deliver(Event::Cancel(scope));
    }

    /// Takes a file off the list, or all that have ended.
    pub fn remove(&self, scope: Scope) {
        self.0.deliver(Event::Remove(scope));
    }

    /// What the rows show at this moment.
    pub fn rows(&self) -> Vec<RowView> {
        self.0.rows()
    }

    /// Why a form around the widget cannot be sent: as long as it is `busy`, because something in the list has not
    /// ended; else because it requires a file.
    pub fn why_not_sent(&self, busy: bool) -> String {
        self.0.say(if busy { Word::FormBusy } else { Word::FormRequires })
    }

    /// Speaks the language that is spoken around the widget now: for a page that has changed a `lang` attribute.
    pub fn speak(&self) {
        self.0.speak();
    }

    /// What the line over all files shows at this moment.
    pub fn total(&self) -> TotalView {
        self.0.total()
    }
}
