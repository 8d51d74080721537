//! The site: one document, three pages. Plain HTML made on the server; only the island inside comes alive. Must never
//! know where its data comes from (routes fetch it) nor anything of the browser.

#![expect(
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the component macro makes public items, and components take their props by value"
)]

mod pages;
pub mod serve;
mod shell;
mod words;

pub use pages::{ErrorPage, HomeData, HomePage, ResultsPage};
pub use shell::Shell;
