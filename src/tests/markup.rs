//! The pages as the server renders them: a form that works without any script, one live region, and nothing that a
//! client named can become markup.

use leptos::prelude::*;
use plimsoll::{
    app::{ErrorPage, HomeData, HomePage, ResultsPage, Shell},
    widget::UploadWidget,
    wire::{ErrorBody, ErrorCode, Limits, Options, Receipt, UploadId},
};

const HOSTILE: &str = "\"><script>alert('1')</script>&amp;\u{202e}gnp.exe";

fn html<V: IntoView>(view: impl FnOnce() -> V) -> String {
    Owner::new().with(|| view().to_html())
}

fn receipt(number: u8, name: &str, sha256: Option<String>) -> Receipt {
    let id = UploadId::from_bits([number; 16]);
    Receipt {
        url: format!("/files/{id}"),
        id,
        name: name.to_owned(),
        size: 1_234_567,
        media_type: "image/png".to_owned(),
        sha256,
        stored_ms: 1_700_000_000_000,
        ..Receipt::default()
    }
}

fn home(uploads: Vec<Receipt>) -> String {
    let options = Options {
        limits: Limits { max_file_size: Some(10_000_000_000), ..Limits::default() },
        ..Options::default()
    };
    html(|| view! { <HomePage data=HomeData { options, uploads }/> })
}

/// The start tags of a document that carry this attribute.
fn tags<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    html.split('<')
        .filter_map(|piece| piece.split_once('>').map(|(tag, _)| tag))
        .filter(|tag| tag.split([' ', '=']).any(|word| word == attribute))
        .collect()
}

#[test]
fn the_form_works_without_script() {
    let html = home(Vec::new());
    let [form] = tags(&html, "data-plimsoll")[..] else { panic!("{html}") };
    for part in ["form ", "method=\"post\"", "enctype=\"multipart/form-data\"", "action=\"/upload\""] {
        assert!(form.contains(part), "{form}");
    }
    assert!(!form.contains("data-hydrated"), "{form}");
    let [input] = tags(&html, "data-pl-input")[..] else { panic!("{html}") };
    assert!(input.contains("type=\"file\"") && input.contains("name=\"file\""), "{input}");
    assert!(input.contains("multiple"), "{input}");
    let [submit] = tags(&html, "data-pl-submit")[..] else { panic!("{html}") };
    assert!(submit.contains("type=\"submit\"") && !submit.contains("hidden"), "{submit}");
    let digest = html.find("name=\"digest\"").expect("the checkbox");
    assert!(digest < html.find("data-pl-input").expect("the input"), "the wish must come before the bytes");
    assert!(html.contains("Up to 10 GB per file."), "{html}");
    // The label holds the input, so it names it without an id that a second widget would repeat.
    let label = html.find("<label class=\"pl-pick\"").expect("the label");
    let end = label + html[label..].find("</label>").expect("its end");
    assert!((label..end).contains(&html.find("data-pl-input").expect("the input")));
}

#[test]
fn one_live_region_empty_at_rest() {
    let html = home(vec![receipt(1, "a.png", None)]);
    let [region] = tags(&html, "data-pl-announcer")[..] else { panic!("{html}") };
    assert!(region.contains("role=\"status\"") && region.contains("aria-live=\"polite\""), "{region}");
    assert_eq!(html.matches("aria-live").count(), 1);
    assert_eq!(html.matches("role=\"status\"").count(), 1);
    let content = &html[html.find(region).expect("the region") + region.len() + 1..];
    assert!(content.trim_start_matches([' ', '\n']).starts_with("</p>"), "{content}");
}

#[test]
fn nothing_inline() {
    let html = home(vec![receipt(1, "a.png", Some("0".repeat(64)))]);
    assert!(!html.contains("style="), "{html}");
    assert!(!html.contains(" onclick") && !html.contains("<script"), "{html}");
}

#[test]
fn stored_files_are_listed_with_plain_forms() {
    let digest = "ab".repeat(32);
    let html = home(vec![receipt(2, "new.png", Some(digest.clone())), receipt(1, "old.png", None)]);
    let rows = tags(&html, "data-pl-upload");
    let [new, old] = rows[..] else { panic!("{html}") };
    assert!(new.contains("data-name=\"new.png\"") && new.contains("data-size=\"1234567\""), "{new}");
    assert!(new.contains(&format!("data-sha256=\"{digest}\"")), "{new}");
    assert!(old.contains("data-name=\"old.png\"") && !old.contains("data-sha256"), "{old}");
    assert_eq!(tags(&html, "data-pl-delete").len(), 2);
    assert_eq!(html.matches("action=\"/api/delete_upload\"").count(), 2);
    let [link, _] = tags(&html, "data-pl-download")[..] else { panic!("{html}") };
    assert!(link.contains(&format!("href=\"/files/{}\"", UploadId::from_bits([2; 16]))), "{link}");
    assert!(html.contains("14 Nov 2023, 22:13 UTC"), "{html}");
}

#[test]
fn names_are_only_words() {
    let stored = receipt(1, HOSTILE, None);
    let results = vec![stored.clone()];
    let pages = [
        home(vec![stored]),
        html(|| view! { <ResultsPage receipts=results/> }),
        html(|| view! { <ErrorPage error=ErrorBody::new(ErrorCode::Malformed, HOSTILE)/> }),
        html(
            || view! { <UploadWidget options=Options { action: HOSTILE.to_owned(), ..Options::default() }/> },
        ),
    ];
    for page in pages {
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains(HOSTILE), "{page}");
    }
}

#[test]
fn the_same_data_is_the_same_html() {
    let uploads = vec![receipt(1, "a.png", None)];
    assert_eq!(home(uploads.clone()), home(uploads));
}

#[test]
fn results_say_what_was_stored() {
    let digest = "cd".repeat(32);
    let receipts = vec![receipt(1, "a.png", Some(digest.clone())), receipt(2, "b.png", None)];
    let html = html(|| view! { <ResultsPage receipts/> });
    let [first, second] = tags(&html, "data-pl-result")[..] else { panic!("{html}") };
    assert!(first.contains("data-name=\"a.png\"") && first.contains(&digest), "{first}");
    assert!(second.contains("data-name=\"b.png\""), "{second}");
    assert!(html.contains("2 files stored") && html.contains("href=\"/\""), "{html}");
}

#[test]
fn an_error_says_why() {
    let html =
        html(|| view! { <ErrorPage error=ErrorBody::new(ErrorCode::TooLarge, "Larger than 10 MB.")/> });
    let [error] = tags(&html, "data-pl-error")[..] else { panic!("{html}") };
    assert!(error.contains("data-code=\"too-large\""), "{error}");
    assert!(html.contains("Larger than 10 MB.") && !html.contains("Trying again"), "{html}");
}

#[test]
fn scripts_only_where_something_comes_alive() {
    let page = |alive| {
        let options = LeptosOptions::builder().output_name("plimsoll").build();
        html(move || view! { <Shell options title="A page" alive><p>"text"</p></Shell> })
    };
    let (still, alive) = (page(false), page(true));
    assert!(still.starts_with("<!DOCTYPE html>"), "{still}");
    assert!(!still.contains("<script") && alive.contains("<script type=\"module\""), "{alive}");
    assert!(still.contains("<title>A page \u{b7} Plimsoll</title>"), "{still}");
    assert!(still.contains("<p>text</p>") && still.contains("rel=\"stylesheet\""), "{still}");
}
