//! The queue: everything a widget decides, as plain Rust. `Queue::handle(event, now_ms)` takes one event and gives
//! the commands that follow from it. No clock (time is an argument), no randomness (a seed is an argument), no
//! browser, no framework, no I/O: must never name any of them. Whoever executes the commands is a
//! [`command::Runtime`]: the browser, the inert twin on the server, the terminal client, or the simulator of the
//! tests.
//!
//! | file | what it decides |
//! |---|---|
//! | `queue` | what follows from an event: slots, tries, polls, the order of things |
//! | `resume` | what is different for an upload that can go on where it was cut |
//! | `item` | what is true of one file now, and what both witnesses said of it |
//! | `admit` | which files may enter |
//! | `retry` | what is tried again, and when |
//! | `meter` | how fast, how long still |
//! | `view` | what a person is shown |
//! | `news` | what the page around is told |
//! | `undo` | what can be brought back after it was taken off, and until when |
//! | `window` | which rows of a long list are drawn |

mod admit;
mod checksum_tests;
pub mod command;
pub mod event;
mod item;
mod meter;
pub mod news;
mod page_tests;
mod queue;
mod resume;
mod resume_tests;
mod retry;
mod sim;
mod tests;
mod undo;
pub mod view;
pub mod window;

pub use item::{Cause, Phase, in_file};
pub use meter::STALL_MS;
pub use queue::Queue;
