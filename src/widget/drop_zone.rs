//! Where files come in: a native file input that is also a drop zone. Without script it is the form's own input; with
//! script, files start as soon as they are picked. Must never open an event: it hands them on.

use leptos::{attr::custom::custom_attribute, prelude::*};

use crate::wire::{Dialect, Options};

use super::{
    controller::Controller,
    facts::{facts, flag},
    labels::{Said, Word, says},
    text, truth,
};

/// The zone, the checkbox and, for the form without script, the submit button.
#[component]
pub(crate) fn DropZone(
    /// What may be picked.
    options: Options,
    /// Where events go.
    controller: Controller,
    /// Whether the page has come alive.
    alive: RwSignal<bool>,
) -> impl IntoView {
    let over = RwSignal::new(false);
    let labels = controller.labels();
    let headline = if options.multiple { Word::DropHere } else { Word::DropOneHere };
    let limits: Said = {
        let (labels, options) = (labels.clone(), options.clone());
        Box::new(move || labels.with(|labels| text::limits(labels, &options)))
    };
    let accept = (!options.accept.is_empty()).then(|| options.accept.clone());
    let dragged = {
        let controller = controller.clone();
        move |event: web_sys::DragEvent| {
            let takes = controller.runtime().dragged(&event);
            if over.get_untracked() != takes {
                over.set(takes);
            }
        }
    };
    let left = {
        let controller = controller.clone();
        move |event: web_sys::DragEvent| {
            if !controller.runtime().still_inside(&event) {
                over.set(false);
            }
        }
    };
    let dropped = {
        let controller = controller.clone();
        move |event: web_sys::DragEvent| {
            over.set(false);
            controller.runtime().dropped(&event);
        }
    };
    let capture = (!options.capture.is_empty()).then(|| options.capture.clone());
    let folder = options.directory.then(|| {
        let controller = controller.clone();
        view! {
            // Without script a form takes files alone.
            <label class="pl-button pl-pick-folder" {..facts(move |tell| tell("hidden", flag(!alive.get())))}>
                <span>{says(&labels, Word::PickFolder)}</span>
                <input
                    type="file"
                    data-pl-folder=""
                    multiple=true
                    {..custom_attribute("webkitdirectory", "")}
                    on:change=move |_| controller.runtime().picked()
                />
            </label>
        }
    });
    let picked = move |_| controller.runtime().picked();
    let is_ours = options.dialect == Dialect::Plimsoll;

    view! {
        // Before the file: a server that reads the form as it comes must know of the wish before the bytes.
        // Another than ours knows nothing of it.
        <label class="pl-check" part="check" {..facts(move |tell| tell("hidden", flag(!is_ours)))}>
            <input type="checkbox" name="digest" value="sha-256" data-pl-digest="" disabled=!is_ours checked=options.digest || !options.checksum.is_empty()/>
            <span>{says(&labels, Word::WantDigest)}</span>
        </label>
        <div
            class="pl-drop"
            part="drop"
            data-pl-drop=""
            {..facts(move |tell| tell("data-over", truth(over.get())))}
            on:dragenter=dragged.clone()
            on:dragover=dragged
            on:dragleave=left
            on:drop=dropped
        >
            <svg class="pl-load-line" part="mark" viewBox="0 0 48 48" aria-hidden="true" focusable="false">
                <circle cx="24" cy="24" r="13"></circle>
                <path d="M3 24h42"></path>
            </svg>
            <label class="pl-pick">
                <span class="pl-headline" part="headline">{says(&labels, headline)}</span>
                <input
                    class="pl-input"
                    part="input"
                    type="file"
                    data-pl-input=""
                    name=options.field.clone()
                    multiple=options.multiple
                    accept=accept
                    capture=capture
                    on:change=picked
                />
            </label>
            {folder}
            <p class="pl-limits" part="limits">{limits}</p>
            <button
                class="pl-button pl-submit"
                type="submit"
                data-pl-submit=""
                {..facts(move |tell| tell("hidden", flag(alive.get())))}
            >
                {says(&labels, Word::Upload)}
            </button>
        </div>
    }
}
