//! A bar of two layers: sent, light, and received, solid. Drawn as a picture with widths in attributes, because a
//! strict `style-src` forbids inline styles, also in what the server renders. Must never know what is measured.

use leptos::prelude::*;

use super::labels::Said;

/// What a bar shows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// The solid layer, 0 to 100.
    pub(crate) percent: u8,
    /// The light layer, 0 to 100.
    pub(crate) sent_percent: u8,
    /// Whether there is a number at all; otherwise the bar only says that something goes on.
    pub(crate) known: bool,
    /// The same in words, for a screen reader.
    pub(crate) spoken: String,
}

/// The bar, named after what it measures.
#[component]
pub(crate) fn ProgressBar(
    /// Name for a screen reader.
    name: Said,
    /// What to show.
    level: impl Fn() -> Level + Clone + Send + Sync + 'static,
) -> impl IntoView {
    let part = |of: fn(Level) -> Option<String>| {
        let level = level.clone();
        move || of(level())
    };
    view! {
        <div
            class="pl-bar"
            part="bar"
            role="progressbar"
            aria-label=name
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=part(|level| level.known.then(|| level.percent.to_string()))
            aria-valuetext=part(|level| Some(level.spoken))
        >
            <svg class="pl-bar-art" aria-hidden="true" focusable="false">
                <rect class="pl-bar-sent" part="bar-sent" height="100%" width=part(|level| width(level.sent_percent))></rect>
                <rect class="pl-bar-received" part="bar-received" height="100%" width=part(|level| width(level.percent))></rect>
            </svg>
        </div>
    }
}

fn width(percent: u8) -> Option<String> {
    Some(format!("{percent}%"))
}
