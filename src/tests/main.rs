//! The integration tests: the real router, real files, the rules of the house.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests say what they expect by unwrapping, their helpers too"
)]

mod books;
mod bytes;
mod crash;
mod faults;
mod files;
mod lifecycle;
mod markup;
mod net;
mod once;
mod pages;
mod rufh;
mod steps;
mod tidy;
mod tus;
mod uploads;
mod util;
mod watch;
mod words;
