//! The list of picked files and the line over all of them. Must never decide anything.

use std::sync::Arc;

use leptos::prelude::*;

use crate::engine::{
    event::{Event, Scope},
    view::TotalView,
    window::SHORT,
};

use super::{
    button,
    controller::Controller,
    facts::{facts, flag},
    labels::{Word, says},
    press,
    progress_bar::{Level, ProgressBar},
    rows::Rows,
    text, truth,
};

/// Fewer rows are seen at one glance.
const SORTABLE: u32 = 8;

/// The rows that are drawn.
#[component]
pub(crate) fn FileList(
    /// Whose rows.
    controller: Controller,
) -> impl IntoView {
    let rows = controller.rows();
    let owner = Owner::current().unwrap_or_default();
    let total = controller.total();
    let frame = facts(move |tell| {
        total.with(|total| {
            tell("data-long", truth(total.listed as usize > SHORT));
            tell("hidden", flag(total.listed == 0));
        });
    });
    let name = says(&controller.labels(), Word::Files);
    let name = facts(move |tell| tell("aria-label", Some(name())));
    view! {
        // A short list is part of the page. A long one is scrolled in a frame of its own, so that what is below it
        // stays within reach.
        <div class="pl-frame" data-pl-frame="" {..frame}>
        <ul class="pl-list" part="list" data-pl-list="" {..name}>
            {move || Rows { rows: rows.get(), controller: controller.clone(), owner: owner.clone() }}
        </ul>
        </div>
    }
}

/// All files in one line, and what can be done with all of them.
#[component]
pub(crate) fn TotalLine(
    /// Whose files.
    controller: Controller,
) -> impl IntoView {
    let (total, labels, waits) = (controller.total(), controller.labels(), controller.waits());
    let drawn = controller.drawn();
    let line = {
        let (total, waits) = (total.clone(), waits.clone());
        facts(move |tell| {
            let waits = waits.with(Option::is_some);
            total.with(|total| {
                tell("data-percent", Some(total.percent.to_string()));
                tell("data-active", Some(total.active.to_string()));
                tell("data-held", Some(total.held.to_string()));
                tell("data-starting", Some(total.starting.to_string()));
                tell("data-gathering", truth(total.gathering));
                tell("data-done", Some(total.done.to_string()));
                tell("data-failed", Some(total.failed.to_string()));
                tell("data-waiting", truth(waits));
                tell("hidden", flag(total.listed == 0 && !total.offers.undo && !total.gathering));
            });
        })
    };
    let sum: Arc<dyn Fn() -> String + Send + Sync> = {
        let (drawn, labels) = (drawn.clone(), labels.clone());
        Arc::new(move || {
            labels.with(|labels| match waits.get() {
                Some(word) => labels.text(word),
                None => drawn.with(|total| text::total(labels, total)),
            })
        })
    };
    let spoken = Arc::clone(&sum);
    let by_state = RwSignal::new(false);
    let sort = {
        let (total, controller) = (total.clone(), controller.clone());
        let told = facts(move |tell| {
            tell("data-pl-action", Some("sort".to_owned()));
            tell("aria-pressed", Some(by_state.get().to_string()));
            // As long as they are sorted that can be undone.
            tell("hidden", flag(total.with(|total| total.listed < SORTABLE) && !by_state.get()));
        });
        let act = press(move || {
            let sorted = !by_state.get_untracked();
            by_state.set(sorted);
            controller.sort(sorted);
        });
        button(told, says(&labels, Word::SortByState), act)
    };
    let all =
        |action: &'static str, word: Word, offered: fn(&TotalView) -> bool, event: fn(Scope) -> Event| {
            let (total, controller) = (total.clone(), controller.clone());
            let told = facts(move |tell| {
                tell("data-pl-action", Some(action.to_owned()));
                tell("hidden", flag(!total.with(offered)));
            });
            button(told, says(&labels, word), press(move || controller.wish(event(Scope::All))))
        };
    view! {
        <div class="pl-total" part="total" data-pl-total="" {..line}>
            <p class="pl-sum" part="sum" tabindex="-1"><bdi>{move || sum()}</bdi></p>
            <div class="pl-actions">
                {sort}
                {all("retry-all", Word::RetryAll, |total| total.offers.retry, Event::Retry)}
                {all("pause-all", Word::PauseAll, |total| total.offers.pause, Event::Pause)}
                {all("resume-all", Word::ResumeAll, |total| total.offers.resume, Event::Resume)}
                {all("cancel-all", Word::CancelAll, |total| total.offers.cancel, Event::Cancel)}
                {all("clear", Word::Clear, |total| total.offers.clear, Event::TakeOff)}
                {all("undo", Word::Undo, |total| total.offers.undo, |_| Event::Undo)}
            </div>
            <ProgressBar
                name=says(&labels, Word::AllFiles)
                level=Arc::new(move || drawn.with(level))
                spoken=Box::new(move || spoken())
            />
        </div>
    }
}

fn level(total: &TotalView) -> Level {
    // Whole numbers throughout; dividing first keeps a hundred times a size within 64 bits.
    let sent = total.sent.min(total.size) / (total.size / 100).max(1);
    Level {
        percent: total.percent,
        sent_percent: (sent.min(100) as u8).max(total.percent),
        // Of what is only on its way into the list nobody knows how much it is.
        known: total.listed > 0 || !total.gathering,
    }
}
