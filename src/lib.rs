//! Plimsoll: file uploads on the web whose progress is true.
//!
//! # Code map
//!
//! Rooms are split by what they are allowed to know; `src/tests/tidy.rs` keeps the law.
//!
//! | room | what it is | what it must never know |
//! |---|---|---|
//! | [`wire`] | what crosses a boundary: ids, limits, options, progress, errors, receipts | anything else of ours |
//! | [`engine`] | the queue, plain Rust | browser, framework, clock, I/O |
//! | `widget` | the views, the same on both sides | the browser, but in `widget/runtime.rs` |
//! | [`island`] | the widget and the stored files, alive by themselves in a plain page | how a file travels |
//! | `browser` | the pipes: requests, timers, files, page events (browser only) | views, words, rules |
//! | `api` | server functions: questions, never bytes | how they are answered |
//! | `element` | `<plimsoll-upload>`, for pages without Leptos (our own bundle only) | the server |
//! | `app` | the site: the document and its pages (server only) | the browser |
//! | `cli` | the command line | what it sets in motion |
//! | `server` | the axum server: routes, progress, storage, catalog | Leptos, the queue, the widget |
//!
//! # In an application of one's own
//!
//! Two cargo features: `ssr` (the default) for the server, `hydrate` for the application's own bundle. The router
//! merges into any axum application; it brings its own doors (owner cookie, same-origin rule, headers) and needs
//! nothing around it:
//!
//! ```no_run
//! use axum::Router;
//! use plimsoll::{app, server::{self, Server, config::{Config, RawConfig}}};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let config = Config::check(RawConfig { data: "./uploads".into(), ..RawConfig::default() })?;
//! let server = Server::open(config).await?;
//! let application: Router = Router::new()
//!     .merge(server::router(&server))         // POST /upload, /files/…, /progress/…
//!     .merge(app::serve::functions(&server)); // /api/…: the server functions that the widget asks
//! // Serve it as you like; then let uploads under way end:
//! server.close(std::time::Duration::from_secs(30)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The widget is an ordinary component:
//!
//! ```
//! use leptos::prelude::*;
//! use plimsoll::{widget::UploadWidget, wire::{Options, Receipt}};
//!
//! #[component]
//! fn Attachments() -> impl IntoView {
//!     let options = Options { accept: "image/*,.pdf".to_owned(), digest: true, ..Options::default() };
//!     let on_stored = |receipt: Receipt| leptos::logging::log!("{} lies at {}", receipt.name, receipt.url);
//!     view! { <UploadWidget options on_stored=Callback::new(on_stored)/> }
//! }
//! ```
//!
//! On a page of islands, as our own site is one, use [`island::UploadPanel`], which brings the list of stored files
//! along. The style sheet is `style/widget.css`, themed by its custom properties `--plimsoll-*`.

// The type of a view is as deep as its markup.
#![recursion_limit = "256"]

#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub mod api;
#[cfg(feature = "ssr")]
pub mod app;
#[cfg(feature = "hydrate")]
mod browser;
#[cfg(feature = "ssr")]
pub mod cli;
#[cfg(feature = "tag")]
mod element;
pub mod engine;
// The bundle that is for the tag alone leaves it out.
#[cfg(any(feature = "ssr", feature = "pages", all(feature = "hydrate", not(feature = "tag"))))]
pub mod island;
#[cfg(feature = "ssr")]
pub mod server;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub mod widget;
pub mod wire;

/// Brings the islands of the page to life. Called once by the page's own script, when the bundle has loaded.
#[cfg(feature = "pages")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
}

// A small one: what runs here for as long as a page is open asks for little, and seldom.
#[cfg(all(any(feature = "pages", feature = "tag"), target_arch = "wasm32"))]
#[global_allocator]
static MEMORY: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
