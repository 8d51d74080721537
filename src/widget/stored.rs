//! One's own stored files: what the server holds, newest first, with a link to fetch and a button to delete each.
//! Works as plain forms without script. Must never know how a file came to be stored.

use leptos::prelude::*;

use crate::wire::{Options, Receipt, UploadId};

use super::{
    labels::{Labels, Said, Word, says},
    press,
    runtime::Questions,
    text, tongue,
};

/// Files that are shown, newest first, as long as nobody asks for all; more only when the server has shown more.
const SHOWN: usize = 50;
/// Milliseconds that the list stays as it is drawn while nobody wants it otherwise: small files come by the hundred in a
/// second, and drawing each of them by itself was a fifth of all the work of the page.
const PAUSE_MS: u32 = 500;
/// As long as more come in each pause the next one is twice as long, up to this: most of what would be drawn is out of
/// the list again before anybody has read it.
const LONGEST_MS: u32 = 2000;
/// Where the deleting form is sent.
const DELETE_ACTION: &str = "/api/delete_upload";

/// The list, kept up to date by whoever holds the signal.
#[component]
pub fn StoredUploads(
    /// The stored files, newest first. Changes that come fast are shown together, twice in a second, and less often when they go
    /// on for long.
    uploads: RwSignal<Vec<Receipt>>,
    /// Language of the texts; see [`Options::lang`], but the page around is not asked.
    #[prop(optional, into)]
    lang: String,
) -> impl IntoView {
    let (labels, written) = Labels::shared(&Options { lang, ..Options::default() });
    view! { <div data-pl-texts=written><Shelf uploads labels/></div> }
}

/// The list in these words.
#[component]
pub(crate) fn Shelf(uploads: RwSignal<Vec<Receipt>>, labels: ArcRwSignal<Labels>) -> impl IntoView {
    let (lang, dir) = tongue(&labels);
    let questions = StoredValue::new(Questions::new());
    let refused = RwSignal::new(None::<UploadId>);
    // Hydration must find what the server wrote, which is in UTC; the reader's own time comes right after.
    let offset_min = RwSignal::new(None::<i32>);
    let own = labels.clone();
    questions.with_value(|questions| {
        questions.settled(move |offset| {
            if !own.with_untracked(Labels::is_settled) {
                own.update(|labels| *labels = labels.settle(""));
            }
            offset_min.set(Some(offset));
        });
    });

    let shown = RwSignal::new(uploads.with_untracked(Vec::len).max(SHOWN));
    let pace = Pace::new();
    let drawn = move || {
        let (keeps, shown) = (pace.keeps(questions), shown.get());
        uploads.with(|list| {
            if !keeps {
                pace.drawn.set_value(list.iter().take(shown).cloned().collect());
            }
        });
        pace.drawn.get_value()
    };
    let show_all = says(&labels, Word::ShowAll);
    let hides = move || uploads.with(Vec::len) > shown.get();

    view! {
        <section
            class="pl-uploads"
            data-pl-uploads=""
            lang=lang
            dir=dir
            aria-labelledby="pl-uploads-title"
        >
            <h2 class="pl-uploads-title" id="pl-uploads-title" tabindex="-1">{says(&labels, Word::YourFiles)}</h2>
            <p class="pl-none" hidden=move || uploads.with(|list| !list.is_empty())>{says(&labels, Word::NoFiles)}</p>
            <ul class="pl-shelf" hidden=move || uploads.with(Vec::is_empty)>
                <For
                    each=drawn
                    key=|receipt| receipt.id.clone()
                    children=move |receipt: Receipt| view! {
                        <StoredUpload receipt uploads pace refused offset_min questions labels=labels.clone()/>
                    }
                />
            </ul>
            <button
                type="button"
                class="pl-button pl-all"
                data-pl-all=""
                hidden=move || !hides()
                on:click=press(move || {
                    pace.hurry();
                    shown.set(usize::MAX);
                })
            >
                {show_all}
            </button>
        </section>
    }
}

/// How often the list is drawn.
#[derive(Clone, Copy)]
struct Pace {
    /// What is drawn.
    drawn: StoredValue<Vec<Receipt>>,
    now: StoredValue<Now>,
    /// Milliseconds.
    pause: StoredValue<u32>,
    goes_on: RwSignal<()>,
}

/// What is to be done with a change of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    /// Drawn as the server wrote it.
    Begins,
    /// Drawn at once.
    IsFree,
    /// Kept for later.
    Rests,
    /// One has been kept already.
    IsBehind,
}

impl Pace {
    fn new() -> Self {
        let (drawn, now) = (StoredValue::default(), StoredValue::new(Now::Begins));
        Self { drawn, now, pause: StoredValue::new(PAUSE_MS), goes_on: RwSignal::new(()) }
    }

    /// Whether what is drawn stays as it is; whoever asks is called again when it need not any more.
    fn keeps(self, questions: StoredValue<Questions>) -> bool {
        self.goes_on.track();
        let (next, stays) = match self.now.get_value() {
            Now::Begins => (Now::IsFree, false),
            Now::IsFree => (Now::Rests, false),
            Now::Rests | Now::IsBehind => (Now::IsBehind, true),
        };
        self.now.set_value(next);
        if next == Now::Rests {
            questions.with_value(|questions| questions.rest(self.pause.get_value(), move || self.go_on()));
        }
        stays
    }

    fn go_on(self) {
        let is_behind = self.now.get_value() == Now::IsBehind;
        self.pause
            .update_value(|pause| *pause = if is_behind { LONGEST_MS.min(*pause * 2) } else { PAUSE_MS });
        self.hurry();
        if is_behind {
            self.goes_on.set(());
        }
    }

    /// Has the next change drawn at once: somebody waits for it.
    fn hurry(self) {
        self.now.set_value(Now::IsFree);
    }
}

#[component]
fn StoredUpload(
    receipt: Receipt,
    uploads: RwSignal<Vec<Receipt>>,
    pace: Pace,
    refused: RwSignal<Option<UploadId>>,
    offset_min: RwSignal<Option<i32>>,
    questions: StoredValue<Questions>,
    labels: ArcRwSignal<Labels>,
) -> impl IntoView {
    let Receipt { id, name, path, size, media_type, sha256, stored_ms, url, .. } = receipt;
    let folder = text::plain(text::folder(&path));
    let shown = text::plain(&name);
    let whole = [folder.as_str(), &shown].concat();
    let (asked, mine) = (id.clone(), id.clone());
    let reason = NodeRef::<leptos::html::P>::new();
    // A page has one live region, and it is the widget's: a reason that has the focus is read out as well. Whoever is
    // elsewhere by then stays there.
    let read_out = move |_| {
        // The row may have gone meanwhile, and with it what is known of it.
        let Some(reason) = reason.try_get_untracked().flatten() else { return };
        let at = reason.owner_document().and_then(|page| page.active_element());
        let row = "[data-pl-upload]";
        if at.is_none_or(|at| at.tag_name() == "BODY" || at.closest(row) == reason.closest(row)) {
            let _ = reason.focus();
        }
    };
    let delete = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let id = asked.clone();
        questions.with_value(|asked| {
            let key = id.clone();
            asked.delete(DELETE_ACTION, &key, move |deleted| {
                if !deleted {
                    refused.set(Some(id));
                    return questions.with_value(|questions| questions.settled(read_out));
                }
                let place = uploads.with_untracked(|list| list.iter().position(|receipt| receipt.id == id));
                if let Some(place) = place {
                    pace.hurry();
                    uploads.update(|list| drop(list.remove(place)));
                    questions.with_value(|questions| {
                        questions.keep_focus("[data-pl-upload]", place, "#pl-uploads-title");
                    });
                }
            });
        });
    };
    let words = |read: fn(&Labels, &str) -> String, name: String| -> Said {
        let labels = labels.clone();
        Box::new(move || labels.with(|labels| read(labels, &name)))
    };
    let facts: (Said, Said) = {
        let (labels, times) = (labels.clone(), labels.clone());
        (
            Box::new(move || labels.with(|labels| text::size(labels, size))),
            Box::new(move || times.with(|labels| text::moment(labels, stored_ms, offset_min.get()))),
        )
    };
    let digest = sha256.clone().map(|sha256| {
        view! { <p class="pl-digest"><span>"SHA-256 "</span><code>{sha256}</code></p> }
    });

    view! {
        <li
            class="pl-stored"
            data-pl-upload=""
            data-id=id.to_string()
            data-name=name
            data-size=size.to_string()
            data-sha256=sha256
        >
            <div class="pl-stored-what">
                <a
                    class="pl-name"
                    data-pl-download=""
                    href=url
                    download=name.clone()
                    rel="external"
                    title=words(|labels, name| text::of(labels, Word::Download, name), whole.clone())
                >
                    <bdi>
                        {(!folder.is_empty()).then(|| view! { <span class="pl-folder">{folder}</span> })}
                        <bdi>{shown}</bdi>
                    </bdi>
                </a>
                <p class="pl-facts">
                    <bdi>{facts.0}</bdi>
                    " \u{b7} "
                    <bdi>{media_type}</bdi>
                    " \u{b7} "
                    <time datetime=text::rfc3339(stored_ms)>
                        <bdi>{facts.1}</bdi>
                    </time>
                </p>
                {digest}
                <p
                    node_ref=reason
                    class="pl-reason"
                    data-pl-refused=""
                    tabindex="-1"
                    hidden=move || refused.get().as_ref() != Some(&mine)
                >
                    {says(&labels, Word::NotDeleted)}
                </p>
            </div>
            <form method="post" action=DELETE_ACTION on:submit=delete>
                <input type="hidden" name="id" value=id.to_string()/>
                <button class="pl-button" type="submit" data-pl-delete="" aria-label=words(|labels, name| text::of(labels, Word::Delete, name), whole)>
                    {says(&labels, Word::Delete)}
                </button>
            </form>
        </li>
    }
}
