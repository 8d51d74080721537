//! How many uploads the widgets of a page may have under way together. Over HTTP/1.1 a browser has six connections to one
//! server, and gives them to whoever comes first: where all of them carry uploads, no question for the server's count is
//! answered any more. Must never know what is sent.

use std::{
    cell::RefCell,
    ptr,
    rc::{Rc, Weak},
};

use crate::engine::event::Event;

use super::{Inner, clock, tell};

/// Shared evenly by the widgets that send.
const SHARED: usize = 4;
/// Never more than these: a widget that comes late begins before the others have given way. One is left for questions.
const MOST: usize = 5;

thread_local! {
    /// The widgets of the page that have had something to send: first whoever has waited longest for room.
    static WIDGETS: RefCell<Vec<Weak<Inner>>> = const { RefCell::new(Vec::new()) };
}

/// How many uploads this widget may have under way, beside those of the others.
pub(super) fn of(inner: &Rc<Inner>) -> usize {
    let (others, someone_waits) = WIDGETS.with_borrow(|widgets| {
        let others = widgets.iter().filter_map(Weak::upgrade).filter(|other| !Rc::ptr_eq(other, inner));
        let (mut flights, mut someone_waits) = (Vec::new(), false);
        for other in others {
            someone_waits |= other.waits.get();
            if other.flights.get() > 0 {
                flights.push(other.flights.get());
            }
        }
        (flights, someone_waits)
    });
    match others.len() {
        // Who has none waits for nobody: of several that wait, the first that hears of room has it. Of the others what
        // ends makes room, and is not followed by another.
        _ if someone_waits && inner.flights.get() > 0 => inner.flights.get() - 1,
        // Its own options bound it.
        0 => usize::MAX,
        sharing => (SHARED / (sharing + 1)).max(1).min(MOST.saturating_sub(others.iter().sum())),
    }
}

/// This widget has so many under way now, or waits for room.
pub(super) fn take(inner: &Rc<Inner>, flights: usize) {
    let before = inner.flights.replace(flights);
    if flights > 0 || inner.waits.get() {
        WIDGETS.with_borrow_mut(|widgets| {
            if !widgets.iter().any(|widget| is(widget, inner)) {
                widgets.push(Rc::downgrade(inner));
            }
        });
    }
    if flights < before {
        freed(inner);
    }
}

/// Others may wait for what this widget has no more need of.
pub(super) fn freed(inner: &Inner) {
    let others = WIDGETS.with_borrow_mut(|widgets| {
        widgets.retain(|widget| widget.strong_count() > 0);
        let own = widgets.iter().position(|widget| is(widget, inner)).map(|at| widgets.remove(at));
        let others = widgets.clone();
        // It has had its turn: the next room is for those that wait already.
        widgets.extend(own);
        others
    });
    if !others.is_empty() {
        clock::spawn(async move {
            for other in others {
                tell(&other, Event::Room);
            }
        });
    }
}

fn is(widget: &Weak<Inner>, inner: &Inner) -> bool {
    ptr::eq(widget.as_ptr(), inner)
}
