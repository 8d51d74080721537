//! The views of the widget, the same on the server and in the browser. A real form that uploads without any script;
//! once alive, a list with progress that is true. Must never know how bytes travel: the one place where browser and
//! server meet is `runtime`, and events are handed to it unopened.
//!
//! [`UploadWidget`] is an ordinary component for a fully hydrated app; [`crate::island`] has it with the list of stored
//! files, for pages that are otherwise plain HTML.

#![expect(
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the component macro makes public items, and components take their props by value"
)]

mod announcer;
mod controller;
mod drop_zone;
mod facts;
mod file_list;
mod file_row;
mod handle;
mod hooks;
pub(crate) mod labels;
mod progress_bar;
mod rows;
pub(crate) mod runtime;
mod stored;
pub(crate) mod text;

use leptos::prelude::*;

use crate::wire::{Options, Receipt};

use controller::Controller;
use drop_zone::DropZone;
use facts::{Facts, facts};
use file_list::{FileList, TotalLine};
use labels::{Labels, Said};
pub(crate) use stored::Shelf;

pub use handle::UploadHandle;
pub use hooks::{Answer, Extra, FileInfo, Hooks, UploadEvent, Verdict};
pub use stored::StoredUploads;

/// What an island is built from. Provided as a context on the server, which writes it into the page; read back from
/// the page in the browser, by the browser's own JSON parser.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// What the embedding page decides.
    pub options: Options,
    /// What the person has stored already, newest first.
    pub uploads: Vec<Receipt>,
}

/// The upload widget: drop zone, list, total line.
#[component]
pub fn UploadWidget(
    /// What the embedding page decides.
    #[prop(optional)]
    options: Options,
    /// Called with the receipt of each file once it is stored.
    #[prop(optional, into)]
    on_stored: Option<Callback<Receipt>>,
    /// What the page wants to be told and asked.
    #[prop(optional)]
    hooks: Hooks,
    /// Called once, with what the page can do to the widget by itself.
    #[prop(optional, into)]
    on_handle: Option<Callback<UploadHandle>>,
) -> impl IntoView {
    let (labels, written) = Labels::shared(&options);
    view! { <Form options on_stored hooks on_handle labels written/> }
}

/// The widget in these words.
#[component]
fn Form(
    options: Options,
    on_stored: Option<Callback<Receipt>>,
    hooks: Hooks,
    on_handle: Option<Callback<UploadHandle>>,
    labels: ArcRwSignal<Labels>,
    /// Texts for the browser to find.
    written: Option<String>,
) -> impl IntoView {
    let (lang, dir) = tongue(&labels);
    let controller = Controller::new(&options, labels, hooks, on_stored);
    if let Some(on_handle) = on_handle {
        on_handle.run(UploadHandle(controller.reach()));
    }
    let form = NodeRef::<leptos::html::Form>::new();
    let alive = RwSignal::new(false);
    let attached = controller.clone();
    controller.runtime().settled(move || {
        if let Some(form) = form.get_untracked() {
            attached.runtime().attach(&form);
            attached.reach().speak();
            alive.set(true);
        }
    });
    let told = facts(move |tell| {
        tell("lang", Some(lang()));
        tell("dir", Some(dir()));
        tell("data-hydrated", truth(alive.get()));
    });
    let said = controller.said();
    let action = options.action.clone();

    view! {
        <form
            node_ref=form
            class="pl-widget"
            data-plimsoll=""
            {..told}
            data-pl-texts=written
            method="post"
            enctype="multipart/form-data"
            action=action
            // Firefox would otherwise restore picked files on a reload, and they would start again.
            autocomplete="off"
            on:submit=|event| event.prevent_default()
        >
            <DropZone options controller=controller.clone() alive/>
            <TotalLine controller=controller.clone()/>
            <FileList controller/>
            <p class="pl-announcer" data-pl-announcer="" role="status" aria-live="polite">
                {move || said.get()}
            </p>
        </form>
    }
}

/// [`UploadWidget`] as a plain function, to be mounted by whoever writes no views: `tell` hears of everything, and
/// `reach` is called once with what can be done from outside.
pub fn upload_widget(
    options: Options,
    hooks: Hooks,
    tell: impl Fn(UploadEvent) + Send + Sync + 'static,
    reach: impl Fn(UploadHandle) + Send + Sync + 'static,
) -> impl IntoView {
    let hooks = Hooks { on_event: Some(Callback::new(tell)), ..hooks };
    view! { <UploadWidget options hooks on_handle=Callback::new(reach)/> }
}

/// Whether one of the widget's texts has this key, by which a page can replace it.
pub fn has_text(key: &str) -> bool {
    labels::is_key(key)
}

/// The widget of an island, in the island's words.
pub(crate) fn in_words(
    options: Options,
    on_stored: Callback<Receipt>,
    labels: ArcRwSignal<Labels>,
) -> impl IntoView {
    view! {
        <Form options on_stored=Some(on_stored) hooks=Hooks::default() on_handle=None labels written=None/>
    }
}

/// The attributes `lang` and `dir` of what is said in these words.
fn tongue(labels: &ArcRwSignal<Labels>) -> (Said, Said) {
    let (lang, dir) = (labels.clone(), labels.clone());
    (
        Box::new(move || lang.with(|labels| labels.lang().to_owned())),
        Box::new(move || dir.with(|labels| labels.dir().to_owned())),
    )
}

/// The value of a data attribute that is there or not.
fn truth(is: bool) -> Option<String> {
    is.then(|| "true".to_owned())
}

/// What a press of a button does.
type Press = Box<dyn FnMut(leptos::ev::MouseEvent)>;

/// All presses share one type, so the bundle carries the machinery of a click once.
fn press(mut act: impl FnMut() + 'static) -> Press {
    Box::new(move |_| act())
}

/// A button that does something with files, for the same reason one type: what changes about it, its words, what it
/// does.
fn button(told: Facts, words: Said, act: Press) -> impl IntoView + use<> {
    view! { <button type="button" class="pl-button" part="button" {..told} on:click=act>{words}</button> }
}
