//! The pages. Each takes its data as props. Must never fetch any.

use leptos::prelude::*;

use super::words::words;
use crate::{
    island::UploadPanel,
    widget::{
        labels::{Labels, Word},
        text,
    },
    wire::{ErrorBody, Options, Receipt},
};

/// What the home page shows.
#[derive(Clone, Debug, Default)]
pub struct HomeData {
    /// How the widget is set up.
    pub options: Options,
    /// What the person has stored, newest first.
    pub uploads: Vec<Receipt>,
}

/// The widget, and one's own stored files.
#[component]
pub fn HomePage(
    /// What to show.
    data: HomeData,
) -> impl IntoView {
    let words = words(&data.options.lang);
    view! {
        <div class="site-title">
            <h1>{words.heading}</h1>
            <p>{words.promise}</p>
        </div>
        <UploadPanel options=data.options uploads=data.uploads/>
    }
}

/// Where a form without script arrives: what was stored.
#[component]
pub fn ResultsPage(
    /// What was stored, in the order it came.
    receipts: Vec<Receipt>,
    /// The language of the page.
    #[prop(optional, into)]
    lang: String,
) -> impl IntoView {
    let words = words(&lang);
    let labels = Labels::new(&Options { lang, ..Options::default() });
    let heading = match receipts.len() {
        0 => words.nothing_stored.to_owned(),
        count => labels.count(Word::AllStored, u32::try_from(count).unwrap_or(u32::MAX), &[]),
    };
    let empty = receipts.is_empty();
    view! {
        <div class="site-title"><h1>{heading}</h1></div>
        <p hidden=!empty>{words.no_such_upload}</p>
        <ul class="pl-shelf" data-pl-results="" hidden=empty>
            {receipts.into_iter().map(|receipt| result(&labels, receipt)).collect_view()}
        </ul>
        <p class="site-back"><a href="/">{words.back}</a></p>
    }
}

fn result(labels: &Labels, receipt: Receipt) -> impl IntoView + use<> {
    let Receipt { id, name, size, media_type, sha256, stored_ms, url, path, fields, .. } = receipt;
    let digest = sha256.clone().map(|sha256| {
        view! { <p class="pl-digest"><span>"SHA-256 "</span><code>{sha256}</code></p> }
    });
    let path = (!path.is_empty())
        .then(|| view! { <p class="pl-facts" data-pl-path=""><bdi>{text::plain(&path)}</bdi></p> });
    // What came along: words of the person's own browser, told as they came.
    let fields = fields.into_iter().map(|(name, value)| {
        view! { <p class="pl-facts" data-pl-field=""><bdi>{name}</bdi>": "<bdi>{value}</bdi></p> }
    });
    let fields = fields.collect_view();
    view! {
        <li
            class="pl-stored"
            data-pl-result=""
            data-id=id.to_string()
            data-name=name.clone()
            data-size=size.to_string()
            data-sha256=sha256
        >
            <div class="pl-stored-what">
                <a
                    class="pl-name"
                    data-pl-download=""
                    href=url
                    download=name.clone()
                    title=text::of(labels, Word::Download, &text::plain(&name))
                >
                    <bdi>{text::plain(&name)}</bdi>
                </a>
                <p class="pl-facts">
                    <bdi>{text::size(labels, size)}</bdi>
                    " \u{b7} "
                    <bdi>{media_type}</bdi>
                    " \u{b7} "
                    <time datetime=text::rfc3339(stored_ms)><bdi>{text::moment(labels, stored_ms, None)}</bdi></time>
                </p>
                {path}
                {fields}
                {digest}
            </div>
        </li>
    }
}

/// Why something did not work, for a person whose browser runs no script.
#[component]
pub fn ErrorPage(
    /// The reason.
    error: ErrorBody,
    /// The language of the page.
    #[prop(optional, into)]
    lang: String,
) -> impl IntoView {
    let words = words(&lang);
    let labels = Labels::new(&Options { lang, ..Options::default() });
    let again = error.retryable.then(|| view! { <p>{words.later}</p> });
    view! {
        <div class="site-title"><h1>{words.failed}</h1></div>
        <div class="site-error" data-pl-error="" data-code=error.code.as_str()>
            <p>{text::error(&labels, &error)}</p>
            {again}
        </div>
        <p class="site-back"><a href="/">{words.back}</a></p>
    }
}
