//! Keeps the keyboard's place when the element that had it goes away. Must never move a focus that is not lost.

use gloo_timers::callback::Timeout;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, ShadowRoot};

use super::clock;

/// After the page has settled: when nothing has the focus, gives it to the first of `what` in the row at this place
/// among `rows`, or in the last row, or else to `fallback`. Dropping the guard cancels it.
pub(super) fn keep(
    root: Element,
    rows: &'static str,
    index: usize,
    what: &'static str,
    fallback: &'static str,
) -> Timeout {
    clock::after(0, move || {
        if is_lost(&root) {
            let target =
                row(&root, rows, index).and_then(|row| first(&row, what)).or_else(|| first(&root, fallback));
            if let Some(target) = target {
                let _ = target.focus();
            }
        }
    })
}

fn is_lost(root: &Element) -> bool {
    let Some(document) = root.owner_document() else { return false };
    // From outside of a shadow root all that is focused inside of it is its host.
    let inside =
        root.get_root_node().dyn_into::<ShadowRoot>().ok().and_then(|shadow| shadow.active_element());
    let active = inside.or_else(|| document.active_element());
    active.is_none_or(|active| active.tag_name() == "BODY" || active.has_attribute("hidden"))
}

fn row(root: &Element, rows: &str, index: usize) -> Option<Element> {
    let rows = root.query_selector_all(rows).ok()?;
    let last = rows.length().checked_sub(1)?;
    rows.item(last.min(index as u32))?.dyn_into().ok()
}

fn first(root: &Element, selector: &str) -> Option<HtmlElement> {
    root.query_selector(selector).ok()??.dyn_into().ok()
}
