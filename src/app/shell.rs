//! The HTML document around every page. Must never know which page it holds.

use leptos::prelude::*;
use leptos_meta::HashedStylesheet;

use super::words::words;
use crate::widget::labels::is_rtl;

/// The whole document. Scripts are loaded only where a page has an island; they carry the nonce of the response
/// ([`leptos::nonce::provide_nonce`]), so a strict content security policy lets them run.
#[component]
pub fn Shell(
    /// Where the bundle lies.
    options: LeptosOptions,
    /// Title of the page, without the name of the site.
    #[prop(into)]
    title: String,
    /// Whether the page has an island to bring to life.
    #[prop(optional)]
    alive: bool,
    /// The language of the page.
    #[prop(optional, into)]
    lang: String,
    /// The page.
    children: Children,
) -> impl IntoView {
    let words = words(&lang);
    let lang = if lang.is_empty() { "en".to_owned() } else { lang };
    let dir = if is_rtl(&lang) { "rtl" } else { "ltr" };
    let title = if title.is_empty() { "Plimsoll".to_owned() } else { format!("{title} \u{b7} Plimsoll") };
    let scripts = alive.then(|| view! { <HydrationScripts options=options.clone() islands=true/> });
    let reload = alive.then(|| view! { <AutoReload options=options.clone()/> });
    view! {
        <!DOCTYPE html>
        <html lang=lang dir=dir>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="description" content=words.description/>
                <title>{title}</title>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <HashedStylesheet options=options.clone() id="leptos"/>
                {reload}
                {scripts}
            </head>
            <body>
                <header class="site-head">
                    <a class="site-name" href="/">
                        <svg class="site-mark" viewBox="0 0 48 48" aria-hidden="true" focusable="false">
                            <circle cx="24" cy="24" r="13"></circle>
                            <path d="M3 24h42"></path>
                        </svg>
                        "Plimsoll"
                    </a>
                </header>
                <main class="site-main">{children()}</main>
                <footer class="site-foot">
                    <p>{words.footer}</p>
                </footer>
            </body>
        </html>
    }
}
