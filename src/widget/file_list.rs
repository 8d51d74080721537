//! The list of picked files and the line over all of them. Must never decide anything.

use leptos::prelude::*;

use crate::engine::event::{Event, Scope};

use super::{
    controller::{Controller, Summary},
    file_row::{FileRow, Row},
    fresh::Fresh,
    labels::{Labels, Said, Word, says},
    press,
    progress_bar::{Level, ProgressBar},
    text,
};

/// The rows, in the order they were added.
#[component]
pub(crate) fn FileList(
    /// Whose rows.
    controller: Controller,
) -> impl IntoView {
    let rows = controller.rows();
    let (each, empty) = (rows.clone(), rows);
    let name = says(&controller.labels(), Word::Files);
    view! {
        <ul class="pl-list" data-pl-list="" aria-label=name hidden=move || empty.with(Vec::is_empty)>
            <For
                each=move || each.get()
                key=|row| row.id.0
                children=move |row: Row| {
                    let controller = controller.clone();
                    Fresh(view! { <FileRow row controller/> })
                }
            />
        </ul>
    }
}

/// All files in one line, and what can be done with all of them.
#[component]
pub(crate) fn TotalLine(
    /// Whose files.
    controller: Controller,
) -> impl IntoView {
    let (summary, labels) = (controller.summary(), controller.labels());
    let text = |read: fn(&Summary) -> Option<String>| part(&summary, read);
    let flag = |read: fn(&Summary) -> bool| part(&summary, read);
    let sum: Said = {
        let (summary, labels) = (summary.clone(), labels.clone());
        Box::new(move || labels.with(|labels| summary.with(|summary| text::total(labels, &summary.total))))
    };
    let level = {
        let (summary, labels) = (summary.clone(), labels.clone());
        move || labels.with(|labels| summary.with(|summary| level(labels, summary)))
    };
    let all = |event: fn(Scope) -> Event| {
        let controller = controller.clone();
        press(move || controller.wish(event(Scope::All)))
    };
    view! {
        <div
            class="pl-total"
            data-pl-total=""
            data-percent=text(|summary| Some(summary.total.percent.to_string()))
            data-active=text(|summary| Some(summary.total.active.to_string()))
            data-done=text(|summary| Some(summary.total.done.to_string()))
            data-failed=text(|summary| Some(summary.total.failed.to_string()))
            hidden=flag(|summary| summary.listed == 0)
        >
            <p class="pl-sum"><bdi>{sum}</bdi></p>
            <div class="pl-actions">
                <button
                    type="button"
                    class="pl-button"
                    data-pl-action="retry-all"
                    hidden=flag(|summary| !summary.can_retry)
                    on:click=all(Event::Retry)
                >
                    {says(&labels, Word::RetryAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    data-pl-action="pause-all"
                    hidden=flag(|summary| !summary.can_pause)
                    on:click=all(Event::Pause)
                >
                    {says(&labels, Word::PauseAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    data-pl-action="resume-all"
                    hidden=flag(|summary| !summary.can_resume)
                    on:click=all(Event::Resume)
                >
                    {says(&labels, Word::ResumeAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    data-pl-action="cancel-all"
                    hidden=flag(|summary| !summary.can_cancel)
                    on:click=all(Event::Cancel)
                >
                    {says(&labels, Word::CancelAll)}
                </button>
                <button
                    type="button"
                    class="pl-button"
                    data-pl-action="clear"
                    hidden=flag(|summary| !summary.can_clear)
                    on:click=all(Event::Remove)
                >
                    {says(&labels, Word::Clear)}
                </button>
            </div>
            <ProgressBar name=says(&labels, Word::AllFiles) level/>
        </div>
    }
}

fn part<T: 'static>(
    summary: &ArcRwSignal<Summary>,
    read: fn(&Summary) -> T,
) -> impl Fn() -> T + Clone + Send + Sync + use<T> {
    let summary = summary.clone();
    move || summary.with(read)
}

fn level(labels: &Labels, summary: &Summary) -> Level {
    let total = &summary.total;
    // Whole numbers throughout; dividing first keeps a hundred times a size within 64 bits.
    let sent = total.sent.min(total.size) / (total.size / 100).max(1);
    Level {
        percent: total.percent,
        sent_percent: (sent.min(100) as u8).max(total.percent),
        known: true,
        spoken: text::total(labels, total),
    }
}
