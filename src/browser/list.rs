//! The box of a long list, as the browser lays it out: what is in sight, how high its rows are, and the room for the
//! rows that are not drawn. Lengths are set through the style's own interface, which a strict policy allows. Must never
//! decide which rows are drawn.

use std::{cell::RefCell, rc::Rc};

use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{HtmlElement, HtmlFormElement, ResizeObserver, window};

use crate::engine::{event::FileId, window::Sight};

use super::clock;

/// Whoever hears what is in sight.
pub(super) type Seen = dyn Fn(Sight);

/// Watches the list of a widget. Dropping it stops that.
pub(super) struct List {
    place: Rc<Place>,
    observer: Option<ResizeObserver>,
    _resized: Closure<dyn FnMut()>,
    _listeners: Vec<EventListener>,
}

struct Place {
    /// What is scrolled.
    frame: HtmlElement,
    rows: HtmlElement,
    seen: Rc<Seen>,
    later: RefCell<Option<Timeout>>,
}

impl List {
    /// Begins to watch the list in this form.
    pub(super) fn watch(form: &HtmlFormElement, seen: Rc<Seen>) -> Option<Self> {
        let find = |selector| form.query_selector(selector).ok()??.dyn_into().ok();
        let place = Rc::new(Place {
            frame: find("[data-pl-frame]")?,
            rows: find("[data-pl-list]")?,
            seen,
            later: RefCell::default(),
        });
        let look = |target: &web_sys::EventTarget, name| {
            let place = Rc::clone(&place);
            EventListener::new(target, name, move |_| place.look(Vec::new(), true))
        };
        let listeners = vec![look(&place.frame, "scroll"), look(window()?.as_ref(), "resize")];
        let resized = {
            let place = Rc::downgrade(&place);
            Closure::new(move || {
                if let Some(place) = place.upgrade() {
                    place.resized();
                }
            })
        };
        let observer = ResizeObserver::new(resized.as_ref().unchecked_ref()).ok();
        if let Some(observer) = &observer {
            observer.observe(&place.rows);
        }
        Some(Self { place, observer, _resized: resized, _listeners: listeners })
    }

    /// Leaves so much room above and below the rows, and scrolls so far down.
    pub(super) fn lay_out(&self, (above, below): (u32, u32), scroll: i32) {
        let Place { frame, rows, .. } = &*self.place;
        let style = rows.style();
        for (property, length) in [("padding-block-start", above), ("padding-block-end", below)] {
            let _ = style.set_property(property, &(length.to_string() + "px"));
        }
        if scroll != 0 {
            frame.set_scroll_top(frame.scroll_top() + scroll);
        }
    }

    /// The row that holds the focus.
    pub(super) fn focused(&self) -> Option<FileId> {
        id(&self.place.rows.query_selector("[data-pl-row]:focus-within").ok()??)
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            observer.disconnect();
        }
    }
}

impl Place {
    fn look(&self, measured: Vec<(FileId, u16)>, settled: bool) {
        let pixels = |length: i32| u32::try_from(length).unwrap_or(0);
        (self.seen)(Sight {
            offset: pixels(self.frame.scroll_top()),
            height: pixels(self.frame.client_height()),
            measured,
            settled,
        });
    }

    /// Rows have come, gone or changed their height. Others are drawn only after the observer has returned: what it
    /// watches must not change again under its hands.
    fn resized(self: Rc<Self>) {
        self.look(self.measure(), false);
        let place = Rc::downgrade(&self);
        self.later.replace(Some(clock::after(0, move || {
            if let Some(place) = place.upgrade() {
                place.look(Vec::new(), true);
            }
        })));
    }

    fn measure(&self) -> Vec<(FileId, u16)> {
        let rows = self.rows.children();
        let rows = (0..rows.length()).filter_map(|index| rows.item(index)?.dyn_into::<HtmlElement>().ok());
        // A row that is drawn away from its place has another height there.
        let drawn = rows.filter(|row| !row.has_attribute("data-away"));
        drawn.filter_map(|row| Some((id(&row)?, row.offset_height() as u16))).collect()
    }
}

fn id(row: &web_sys::Element) -> Option<FileId> {
    Some(FileId(row.get_attribute("data-pl-row")?.parse().ok()?))
}
