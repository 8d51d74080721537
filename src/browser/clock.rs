//! Time and chance as the browser has them. Must never be asked by the queue itself: both are its arguments.

use std::{cell::OnceCell, pin::Pin};

use gloo_timers::callback::Timeout;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Performance, window};

/// Milliseconds since the page began, never going back, whatever happens to the wall clock.
pub(super) fn now_ms() -> u64 {
    thread_local! {
        static CLOCK: OnceCell<Option<Performance>> = const { OnceCell::new() };
    }
    CLOCK.with(|clock| {
        let clock = clock.get_or_init(|| window().and_then(|window| window.performance()));
        clock.as_ref().map_or(0, |clock| clock.now() as u64)
    })
}

/// Calls back after so many milliseconds, unless the guard is dropped before. One type for all that may follow: the
/// bundle carries the machinery once.
pub(super) fn after(delay_ms: u32, then: impl FnOnce() + 'static) -> Timeout {
    Timeout::new(delay_ms, Box::new(then) as Box<dyn FnOnce()>)
}

/// Runs this to its end, beside everything else. One type here too.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    spawn_local(Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>);
}

/// Sixteen unguessable bytes. Where a browser has no source of chance they are all zero, and the server refuses the
/// second upload under that id.
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    if let Some(crypto) = window().and_then(|window| window.crypto().ok()) {
        let _ = crypto.get_random_values_with_u8_array(&mut bytes);
    }
    bytes
}
