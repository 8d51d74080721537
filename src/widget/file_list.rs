//! The list of picked files and the line over all of them. Must never decide anything.

use leptos::prelude::*;

use crate::engine::{
    event::{Event, Scope},
    view::TotalView,
    window::SHORT,
};

use super::{
    controller::Controller,
    labels::{Labels, Said, Word, says},
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
    let (short, empty) = (total.clone(), total);
    let name = says(&controller.labels(), Word::Files);
    view! {
        // A short list is part of the page. A long one is scrolled in a frame of its own, so that what is below it
        // stays within reach.
        <div
            class="pl-frame"
            data-pl-frame=""
            data-long=move || truth(short.with(|total| total.listed as usize > SHORT))
            hidden=move || empty.with(|total| total.listed == 0)
        >
        <ul class="pl-list" part="list" data-pl-list="" aria-label=name>
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
    let (total, labels) = (controller.total(), controller.labels());
    let text = |read: fn(&TotalView) -> Option<String>| part(&total, read);
    let flag = |read: fn(&TotalView) -> bool| part(&total, read);
    let sum: Said = {
        let (total, labels) = (total.clone(), labels.clone());
        Box::new(move || labels.with(|labels| total.with(|total| text::total(labels, total))))
    };
    let level = {
        let (total, labels) = (total.clone(), labels.clone());
        move || labels.with(|labels| total.with(|total| level(labels, total)))
    };
    let by_state = RwSignal::new(false);
    let sort = {
        let controller = controller.clone();
        press(move || {
            let sorted = !by_state.get_untracked();
            by_state.set(sorted);
            controller.sort(sorted);
        })
    };
    let all = |event: fn(Scope) -> Event| {
        let controller = controller.clone();
        press(move || controller.wish(event(Scope::All)))
    };
    view! {
        <div
            class="pl-total"
            part="total"
            data-pl-total=""
            data-percent=text(|total| Some(total.percent.to_string()))
            data-active=text(|total| Some(total.active.to_string()))
            data-done=text(|total| Some(total.done.to_string()))
            data-failed=text(|total| Some(total.failed.to_string()))
            hidden=flag(|total| total.listed == 0 && !total.offers.undo)
        >
            <p class="pl-sum" part="sum" tabindex="-1"><bdi>{sum}</bdi></p>
            <div class="pl-actions">
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="sort"
                    aria-pressed=move || if by_state.get() { "true" } else { "false" }
                    hidden=flag(|total| total.listed < SORTABLE)
                    on:click=sort
                >
                    {says(&labels, Word::SortByState)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="retry-all"
                    hidden=flag(|total| !total.offers.retry)
                    on:click=all(Event::Retry)
                >
                    {says(&labels, Word::RetryAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="pause-all"
                    hidden=flag(|total| !total.offers.pause)
                    on:click=all(Event::Pause)
                >
                    {says(&labels, Word::PauseAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="resume-all"
                    hidden=flag(|total| !total.offers.resume)
                    on:click=all(Event::Resume)
                >
                    {says(&labels, Word::ResumeAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="cancel-all"
                    hidden=flag(|total| !total.offers.cancel)
                    on:click=all(Event::Cancel)
                >
                    {says(&labels, Word::CancelAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="clear"
                    hidden=flag(|total| !total.offers.clear)
                    on:click=all(Event::TakeOff)
                >
                    {says(&labels, Word::Clear)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    part="button"
                    data-pl-action="undo"
                    hidden=flag(|total| !total.offers.undo)
                    on:click=all(|_| Event::Undo)
                >
                    {says(&labels, Word::Undo)}
                </button>
            </div>
            <ProgressBar name=says(&labels, Word::AllFiles) level/>
        </div>
    }
}

fn part<T: 'static>(
    total: &ArcRwSignal<TotalView>,
    read: fn(&TotalView) -> T,
) -> impl Fn() -> T + Clone + Send + Sync + use<T> {
    let total = total.clone();
    move || total.with(read)
}

fn level(labels: &Labels, total: &TotalView) -> Level {
    // Whole numbers throughout; dividing first keeps a hundred times a size within 64 bits.
    let sent = total.sent.min(total.size) / (total.size / 100).max(1);
    Level {
        percent: total.percent,
        sent_percent: (sent.min(100) as u8).max(total.percent),
        known: true,
        spoken: text::total(labels, total),
    }
}
