//! The widget and the list of stored files as an island: alive by themselves in a page of plain HTML. Only the bundle
//! for such pages carries it. Must never know how a file travels, nor what is in a list: the widget does.

use leptos::prelude::*;

use crate::{
    widget::{Setup, Shelf, in_words, labels::Labels, runtime},
    wire::{Options, Receipt},
};

/// The widget and the list of stored files, alive by themselves in a page of plain HTML. Its set-up is the [`Setup`]
/// in the context; use [`UploadPanel`] where that is at hand as values.
#[island]
pub fn UploadIsland() -> impl IntoView {
    let (options, uploads) = runtime::setup().unwrap_or_default();
    let written = runtime::write_setup(&options, &uploads);
    let (labels, texts) = Labels::shared(&options);
    let uploads = RwSignal::new(uploads);
    let on_stored = Callback::new(move |receipt: Receipt| {
        uploads.update(|list| {
            list.retain(|present| present.id != receipt.id);
            list.insert(0, receipt);
        });
    });
    view! {
        <div class="pl-root" data-pl-setup=written data-pl-texts=texts>
            {in_words(options, on_stored, labels.clone())}
            <Shelf uploads labels/>
        </div>
    }
}

/// Renders [`UploadIsland`] with this set-up, on the server.
#[component]
pub fn UploadPanel(
    /// What the embedding page decides.
    options: Options,
    /// What the person has stored already, newest first.
    uploads: Vec<Receipt>,
) -> impl IntoView {
    provide_context(Setup { options, uploads });
    // Erased: the page around it need not carry the type of everything inside.
    view! { <UploadIsland/> }.into_any()
}
