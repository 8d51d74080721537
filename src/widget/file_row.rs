//! One file in the list: what is known of it, and what can be done about it. Must never decide anything: it shows a
//! `RowView` and hands wishes to the controller.

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
    controller::Controller,
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
    /// Something that is read from the row and kept up to date. All parts share one type, however many there are:
    /// the bundle carries the machinery for each type once.
    fn part<T: 'static>(&self, read: fn(&RowView) -> T) -> impl Fn() -> T + Clone + Send + Sync + use<T> {
        let view = self.view.clone();
        move || view.with(read)
    }

    /// The same for texts.
    fn says(&self, read: fn(&Labels, &RowView) -> String) -> Said {
        Box::new(self.worded(read))
    }

    /// The same for whatever holds a text.
    fn worded<T: 'static>(
        &self,
        read: fn(&Labels, &RowView) -> T,
    ) -> impl Fn() -> T + Clone + Send + Sync + use<T> {
        let (view, labels) = (self.view.clone(), self.labels.clone());
        move || labels.with(|labels| view.with(|view| read(labels, view)))
    }

    /// The same of its place.
    fn place(
        &self,
        read: fn(&Place) -> Option<String>,
    ) -> impl Fn() -> Option<String> + Clone + Send + Sync + use<> {
        let place = self.place.clone();
        move || place.with(read)
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
    let text = |read: fn(&RowView) -> Option<String>| row.part(read);
    let words = |read: fn(&Labels, &RowView) -> String| row.says(read);
    let flag = |read: fn(&RowView) -> bool| row.part(read);
    let (id, name, path) = row.view.with_untracked(|view| {
        let path = if view.path.is_empty() { view.name.clone() } else { view.path.clone() };
        (row.id, view.name.clone(), path)
    });
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
    let href = {
        let (view, home) = (row.view.clone(), controller.home());
        move || view.with(|view| stored_at(&home, view.receipt.as_ref()?))
    };
    let retry = press(move || controller.wish(Event::Retry(Scope::One(id))));

    view! {
        <li
            class="pl-row"
            part="row"
            data-pl-row=id.0.to_string()
            data-away=row.place(|place| truth(place.away))
            aria-posinset=row.place(|place| Some((place.index + 1).to_string()))
            aria-setsize=row.place(|place| Some(place.of.to_string()))
            data-name=name
            data-size=text(|row| Some(row.size.to_string()))
            data-state=text(|row| Some(row.state.as_str().to_owned()))
            data-sent=text(|row| Some(row.sent.to_string()))
            data-received=text(|row| Some(row.received.to_string()))
            data-percent=text(|row| Some(row.percent.to_string()))
            data-sent-percent=text(|row| Some(row.sent_percent.to_string()))
            data-witness=text(|row| Some(row.witness.as_str().to_owned()))
            data-restarts=text(|row| Some(row.restarts.to_string()))
            data-hint=text(|row| row.hint.map(hint_word))
            data-error=text(|row| row.error.as_ref().map(|error| error.code.as_str().to_owned()))
        >
            <div class="pl-row-head">
                // Without an address it is no link yet, and out of the keyboard's way.
                <a
                    class="pl-name"
                    part="name"
                    title=path
                    href=href
                    download=name.clone()
                    rel="external"
                >
                    <bdi>{name.clone()}</bdi>
                </a>
                // A folder that was refused has no size.
                <bdi class="pl-size" part="size" hidden=flag(|row| row.size == 0 && row.state == RowState::Rejected)>
                    {words(|labels, row| text::size(labels, row.size))}
                </bdi>
                <bdi class="pl-percent" part="percent" aria-hidden="true" hidden=flag(|row| !shows_percent(row))>
                    {words(|labels, row| text::percent(labels, row.percent))}
                </bdi>
            </div>
            <ProgressBar name=words(|_, row| row.name.clone()) level=row.worded(level)/>
            <div class="pl-row-foot">
                <div class="pl-words">
                    <p class="pl-status" part="status" data-pl-status="">
                        <bdi>{words(text::status)}</bdi>
                    </p>
                    <p class="pl-reason" part="reason" data-pl-reason="" hidden=flag(|row| row.error.is_none())>
                        <bdi>{words(text::reason)}</bdi>
                    </p>
                    <p class="pl-hint" part="hint" data-pl-hint="" hidden=flag(|row| row.hint.is_none())>
                        {words(text::hint)}
                    </p>
                    <details class="pl-source">
                        <summary>{says(&row.labels, Word::Details)}</summary>
                        <p data-pl-source="">{words(text::source)}</p>
                        <p class="pl-digest" data-pl-sha256="" hidden=flag(|row| digest(row).is_none())>
                            "SHA-256 "
                            <code>{text(digest)}</code>
                        </p>
                    </details>
                </div>
                <div class="pl-actions">
                    <button
                        type="button"
                        class="pl-button"
                        part="button"
                        data-pl-action="retry"
                        aria-label=words(|labels, row| text::of(labels, text::retry(row), &row.name))
                        hidden=flag(|row| !row.can_retry)
                        on:click=retry
                    >
                        {words(|labels, row| labels.text(text::retry(row)))}
                    </button>
                    // One button that holds and lets go on, for the same reason as the one below.
                    <button
                        type="button"
                        class="pl-button"
                        part="button"
                        data-pl-action=text(|row| Some(hold_action(row).to_owned()))
                        aria-label=words(|labels, row| text::of(labels, hold_word(row), &row.name))
                        hidden=flag(|row| !row.can_pause && !row.can_resume)
                        on:click=hold
                    >
                        {words(|labels, row| labels.text(hold_word(row)))}
                    </button>
                    // One button that first stops and then removes: it never goes away under the finger or the focus.
                    <button
                        type="button"
                        class="pl-button"
                        part="button"
                        data-pl-action=text(|row| Some(stop_action(row).to_owned()))
                        aria-label=words(|labels, row| text::of(labels, stop_word(row), &row.name))
                        on:click=stop
                    >
                        {words(|labels, row| labels.text(stop_word(row)))}
                    </button>
                </div>
            </div>
        </li>
    }
}

fn level(labels: &Labels, row: &RowView) -> Level {
    Level {
        percent: row.percent,
        sent_percent: row.sent_percent,
        known: row.state != RowState::Processing,
        spoken: text::spoken(labels, row),
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

fn digest(row: &RowView) -> Option<String> {
    row.receipt.as_ref()?.sha256.clone()
}

fn shows_percent(row: &RowView) -> bool {
    !matches!(
        row.state,
        RowState::Rejected | RowState::Queued | RowState::Processing | RowState::Missing { .. }
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
