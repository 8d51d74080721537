//! One file in the list: what is known of it, and what can be done about it. Must never decide anything: it shows a
//! `RowView` and hands wishes to the controller.

use std::sync::Arc;

use leptos::prelude::*;

use crate::{
    engine::{
        event::{Event, FileId, Scope},
        view::{Hint, RowState, RowView},
        window::Place,
    },
    wire::Receipt,
};

use super::{
    button,
    controller::Controller,
    facts::{Facts, Tell, facts, flag},
    labels::{Labels, Said, Word, says},
    press,
    progress_bar::{Level, ProgressBar},
    text, truth,
};

/// A row's present state, watched by its own view only.
#[derive(Clone)]
pub(crate) struct Row {
    /// The file.
    pub(crate) id: FileId,
    /// What is shown of it.
    pub(crate) view: ArcRwSignal<RowView>,
    /// The words it is shown in.
    pub(crate) labels: ArcRwSignal<Labels>,
    /// Where in the list it is.
    pub(crate) place: ArcRwSignal<Place>,
}

impl Row {
    /// What is read from the row and kept up to date. All parts share one type, however many there are: the bundle
    /// carries the machinery for each type once.
    fn worded<T: 'static>(&self, read: fn(&Labels, &RowView) -> T) -> impl Fn() -> T + Send + Sync + use<T> {
        let (view, labels) = (self.view.clone(), self.labels.clone());
        move || labels.with(|labels| view.with(|view| read(labels, view)))
    }

    /// The same for texts.
    fn says(&self, read: fn(&Labels, &RowView) -> String) -> Said {
        Box::new(self.worded(read))
    }

    /// The same for attributes.
    fn facts(&self, read: fn(&Labels, &RowView, Tell<'_>)) -> Facts {
        let (view, labels) = (self.view.clone(), self.labels.clone());
        facts(move |tell| labels.with(|labels| view.with(|view| read(labels, view, tell))))
    }

    /// The same for being hidden.
    fn hides(&self, read: fn(&RowView) -> bool) -> Facts {
        let view = self.view.clone();
        facts(move |tell| tell("hidden", flag(view.with(read))))
    }
}

/// One row.
#[component]
pub(crate) fn FileRow(
    /// The row.
    row: Row,
    /// Where wishes go.
    controller: Controller,
) -> impl IntoView {
    let words = |read: fn(&Labels, &RowView) -> String| row.says(read);
    let hides = |read: fn(&RowView) -> bool| row.hides(read);
    let (id, sort) = (row.id, row.view.with_untracked(|view| view.media_type.clone()));
    let stop = {
        let (view, controller) = (row.view.clone(), controller.clone());
        press(move || {
            let scope = Scope::One(id);
            let ended = view.with_untracked(|view| view.state.has_ended());
            controller.wish(if ended { Event::TakeOff(scope) } else { Event::Cancel(scope) });
        })
    };
    let hold = {
        let (view, controller) = (row.view.clone(), controller.clone());
        press(move || {
            let scope = Scope::One(id);
            let held = view.with_untracked(|view| view.can_resume);
            controller.wish(if held { Event::Resume(scope) } else { Event::Pause(scope) });
        })
    };
    let link = {
        let (view, home) = (row.view.clone(), controller.home());
        facts(move |tell| {
            view.with(|view| {
                tell("title", Some(text::whole_name(view)));
                // What a browser makes of it when it saves the file is the browser's own affair.
                tell("download", Some(view.name.clone()));
                tell("href", view.receipt.as_ref().and_then(|receipt| stored_at(&home, receipt)));
            });
        })
    };
    let retry = press(move || controller.wish(Event::Retry(Scope::One(id))));
    let placed = {
        let place = row.place.clone();
        facts(move |tell| {
            place.with(|place| {
                tell("data-away", truth(place.away));
                tell("aria-posinset", Some((place.index + 1).to_string()));
                tell("aria-setsize", Some(place.of.to_string()));
            });
        })
    };
    let told = row.facts(|_, row, tell| {
        tell("data-pl-row", Some(row.id.0.to_string()));
        tell("data-name", Some(row.name.clone()));
        tell("data-size", Some(row.size.to_string()));
        tell("data-state", Some(row.state.as_str().to_owned()));
        tell("data-sent", Some(row.sent.to_string()));
        tell("data-received", Some(row.received.to_string()));
        tell("data-percent", Some(row.percent.to_string()));
        tell("data-sent-percent", Some(row.sent_percent.to_string()));
        tell("data-witness", Some(row.witness.as_str().to_owned()));
        tell("data-restarts", Some(row.restarts.to_string()));
        tell("data-hint", row.hint.map(hint_word));
        tell("data-error", row.error.as_ref().map(|error| error.code.as_str().to_owned()));
    });
    let retry = button(
        row.facts(|labels, row, tell| {
            tell("data-pl-action", Some("retry".to_owned()));
            tell("aria-label", Some(text::of(labels, text::retry(row), &text::whole_name(row))));
            tell("hidden", flag(!row.can_retry));
        }),
        words(|labels, row| labels.text(text::retry(row))),
        retry,
    );
    // One button that holds and lets go on, for the same reason as the one below.
    let hold = button(
        row.facts(|labels, row, tell| {
            tell("data-pl-action", Some(hold_action(row).to_owned()));
            tell("aria-label", Some(text::of(labels, hold_word(row), &text::whole_name(row))));
            tell("hidden", flag(!row.can_pause && !row.can_resume));
        }),
        words(|labels, row| labels.text(hold_word(row))),
        hold,
    );
    // One button that first stops and then removes: it never goes away under the finger or the focus.
    let stop = button(
        row.facts(|labels, row, tell| {
            tell("data-pl-action", Some(stop_action(row).to_owned()));
            tell("aria-label", Some(text::of(labels, stop_word(row), &text::whole_name(row))));
        }),
        words(|labels, row| labels.text(stop_word(row))),
        stop,
    );

    view! {
        <li class="pl-row" part="row" {..placed} {..told}>
            // Of what sort the file is, which the style draws; the browser puts a small picture in it where it can.
            <span class="pl-icon" part="icon" data-pl-icon=sort aria-hidden="true"></span>
            <div class="pl-row-head">
                // Without an address it is no link yet, and out of the keyboard's way.
                <a class="pl-name" part="name" rel="external" {..link}>
                    // A path reads in one direction, whatever is written around it.
                    <bdi>
                        <span class="pl-folder" part="folder">{words(|_, row| text::plain(text::folder(&row.path)))}</span>
                        <bdi>{words(|_, row| text::plain(&row.name))}</bdi>
                    </bdi>
                </a>
                // A folder that could not be taken has no size.
                <bdi class="pl-size" part="size" {..hides(text::is_no_file)}>
                    {words(text::weight)}
                </bdi>
                <bdi class="pl-percent" part="percent" aria-hidden="true" {..hides(|row| !shows_percent(row))}>
                    {words(|labels, row| text::percent(labels, row.percent))}
                </bdi>
            </div>
            <ProgressBar
                name=words(|_, row| text::whole_name(row))
                level=Arc::new(row.worded(|_, row| level(row)))
                spoken=words(text::spoken)
            />
            <div class="pl-row-foot">
                <div class="pl-words">
                    <p class="pl-status" part="status" data-pl-status="">
                        <bdi>{words(text::status)}</bdi>
                    </p>
                    <p class="pl-reason" part="reason" data-pl-reason="" {..hides(|row| row.error.is_none())}>
                        <bdi>{words(text::reason)}</bdi>
                    </p>
                    <p class="pl-hint" part="hint" data-pl-hint="" {..hides(|row| row.hint.is_none())}>
                        {words(text::hint)}
                    </p>
                    // Of what was never sent there is nothing to count.
                    <details class="pl-source" {..hides(text::is_refused)}>
                        <summary>{says(&row.labels, Word::Details)}</summary>
                        <p data-pl-source="">{words(text::source)}</p>
                        <p class="pl-digest" data-pl-sha256="" {..hides(|row| digest(row).is_none())}>
                            "SHA-256 "
                            <code>{words(|_, row| digest(row).unwrap_or_default().to_owned())}</code>
                        </p>
                    </details>
                </div>
                <div class="pl-actions">{retry}{hold}{stop}</div>
            </div>
        </li>
    }
}

fn level(row: &RowView) -> Level {
    Level {
        percent: row.percent,
        sent_percent: row.sent_percent,
        known: !matches!(row.state, RowState::Processing | RowState::Checking),
    }
}

/// Where a stored file is fetched: the path that our kind of server told, at `home`. What another one told may lead
/// anywhere.
fn stored_at(home: &str, receipt: &Receipt) -> Option<String> {
    if !receipt.proof.is_stored() {
        return None;
    }
    let path = receipt.url.strip_prefix('/').filter(|path| !path.starts_with(['/', '\\']))?;
    Some([home, "/", path].concat())
}

fn digest(row: &RowView) -> Option<&str> {
    row.receipt.as_ref()?.sha256.as_deref()
}

fn shows_percent(row: &RowView) -> bool {
    !matches!(
        row.state,
        RowState::Rejected
            | RowState::Queued
            | RowState::Processing
            | RowState::Checking
            | RowState::Missing { .. }
    )
}

fn hold_action(row: &RowView) -> &'static str {
    if row.can_resume { "resume" } else { "pause" }
}

fn hold_word(row: &RowView) -> Word {
    if row.can_resume { text::resume(row) } else { Word::Pause }
}

fn stop_action(row: &RowView) -> &'static str {
    if row.state.has_ended() { "remove" } else { "cancel" }
}

fn stop_word(row: &RowView) -> Word {
    if row.state.has_ended() { Word::Remove } else { Word::Cancel }
}

fn hint_word(hint: Hint) -> String {
    match hint {
        Hint::Buffered => "buffered",
        Hint::Stalled => "stalled",
        Hint::Restarting { .. } => "restarting",
        Hint::Replaced => "replaced",
        Hint::Found { .. } => "found",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Proof;

    fn link(home: &str, url: &str, proof: Proof) -> Option<String> {
        stored_at(home, &Receipt { url: url.to_owned(), proof, ..Receipt::default() })
    }

    #[test]
    fn a_stored_file_is_linked_and_nothing_else() {
        assert_eq!(link("", "/files/1", Proof::Stored).as_deref(), Some("/files/1"));
        let elsewhere = link("https://files.example", "/files/1", Proof::Stored);
        assert_eq!(elsewhere.as_deref(), Some("https://files.example/files/1"));
        assert_eq!(link("", "/files/1", Proof::Accepted), None, "another server may have put it anywhere");
        for url in [
            "",
            "files/1",
            "//elsewhere.example/1",
            "/\\elsewhere.example/1",
            "javascript:alert(1)",
            "https://a.b/1",
        ] {
            assert_eq!(link("", url, Proof::Stored), None, "{url}");
        }
    }
}
