//! A bar of two layers: sent, light, and received, solid. Drawn as a picture with widths in attributes, because a
//! strict `style-src` forbids inline styles, also in what the server renders. Must never know what is measured.

use std::sync::Arc;

use leptos::prelude::*;

use super::{
    facts::{Facts, facts},
    labels::Said,
};

/// What a bar shows at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// The solid layer, 0 to 100.
    pub(crate) percent: u8,
    /// The light layer, 0 to 100.
    pub(crate) sent_percent: u8,
    /// Whether there is a number at all; otherwise the bar only says that something goes on.
    pub(crate) known: bool,
}

/// The bar, named after what it measures.
#[component]
pub(crate) fn ProgressBar(
    /// Name for a screen reader.
    name: Said,
    /// What to show.
    level: Arc<dyn Fn() -> Level + Send + Sync>,
    /// The same in words, for a screen reader.
    spoken: Said,
) -> impl IntoView {
    let drawn = |of: fn(&Level) -> u8| -> Facts {
        let level = Arc::clone(&level);
        facts(move |tell| tell("width", Some(of(&level()).to_string() + "%")))
    };
    let (sent, received) = (drawn(|level| level.sent_percent), drawn(|level| level.percent));
    let told = facts(move |tell| {
        let level = level();
        tell("aria-label", Some(name()));
        tell("aria-valuenow", level.known.then(|| level.percent.to_string()));
        tell("aria-valuetext", Some(spoken()));
    });
    view! {
        <div class="pl-bar" part="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" {..told}>
            <svg class="pl-bar-art" aria-hidden="true" focusable="false">
                <rect class="pl-bar-sent" part="bar-sent" height="100%" {..sent}></rect>
                <rect class="pl-bar-received" part="bar-received" height="100%" {..received}></rect>
            </svg>
        </div>
    }
}
