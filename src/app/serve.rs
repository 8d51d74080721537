//! Pages, server functions and the site's files as an axum router, beside the server's own routes. Must never touch a
//! body of an upload.

use std::{io::ErrorKind, path::Path, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use tower_http::services::ServeDir;

use super::{
    ErrorPage, HomeData, HomePage, ResultsPage, Shell,
    words::{language, words},
};
use crate::{
    server::{
        self, Refusal, Server, questions,
        security::{Visitor, wants_page},
    },
    wire::{ErrorBody, ErrorCode, Options, Protocol, UploadId},
};

/// The whole site: every route of the server, the pages, the server functions and the files of `site` (bundle, style,
/// icons).
pub fn router(server: &Arc<Server>, site: &Path) -> Router {
    // Rendering needs a place to run its tasks. An error means that there is one already.
    let _ = any_spawner::Executor::init_tokio();
    let site = Site { server: server.clone(), options: leptos_options(site) };
    let files = ServeDir::new(site.options.site_root.as_ref()).precompressed_br().precompressed_gzip();
    let files = move |request: Request| file(files.clone(), request);
    let pages = Router::new()
        .route("/", get(home))
        .route("/results", get(results))
        .fallback_service(Router::new().fallback(files).layer(middleware::map_response(label_files)))
        .with_state(site.clone());
    server::routes::guard(pages, server)
        .merge(server::routes::router(server))
        .merge(functions(server))
        .layer(middleware::from_fn_with_state(site, explain))
}

/// What the pages need.
#[derive(Clone)]
struct Site {
    server: Arc<Server>,
    options: LeptosOptions,
}

/// `GET /`, and `GET /?protocol=form|resumable|tus`: the same page, whose widget speaks this protocol for all files.
async fn home(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let uploads = match questions::uploads(&site.server, &visitor).await {
        Ok(uploads) => uploads,
        Err(refusal) => return refusal.into_response(),
    };
    let lang = language(query.as_deref(), request.headers());
    let query = query.unwrap_or_default();
    let asked = query.split('&').find_map(|pair| Protocol::parse(pair.strip_prefix("protocol=")?));
    let default = Options::default();
    let protocol = asked.unwrap_or(default.protocol);
    let limits = questions::limits(&site.server);
    let options = Options {
        protocol,
        lang: lang.clone(),
        limits,
        directory: true,
        drop_anywhere: true,
        title: true,
        ..default
    };
    let data = HomeData { options, uploads };
    let head = Head { status: StatusCode::OK, title: "", alive: true, lang };
    page(&site, request, head, move || view! { <HomePage data=data.clone()/> }).await
}

/// `GET /results?id=…&id=…`: what a form without scripts has stored.
async fn results(State(site): State<Site>, RawQuery(query): RawQuery, request: Request) -> Response {
    let lang = language(query.as_deref(), request.headers());
    let query = query.unwrap_or_default();
    let ids = query.split('&').filter_map(|pair| pair.strip_prefix("id=")).take(questions::MAX_IDS);
    let ids: Vec<UploadId> = ids.filter_map(|id| id.parse().ok()).collect();
    let receipts = match questions::receipts(&site.server, &ids).await {
        Ok(receipts) if receipts.is_empty() => {
            return Refusal::new(ErrorCode::NotFound, "There are no such uploads.").into_response();
        }
        Ok(receipts) => receipts,
        Err(refusal) => return refusal.into_response(),
    };
    let head = Head { status: StatusCode::OK, title: words(&lang).stored, alive: false, lang: lang.clone() };
    page(&site, request, head, move || view! { <ResultsPage receipts=receipts.clone() lang=lang.clone()/> })
        .await
}

/// The server functions, under `/api`. An application that serves functions of its own there gives `Arc<Server>` as a
/// context to its own handler instead, behind [`server::routes::guard`].
pub fn functions(server: &Arc<Server>) -> Router {
    let functions = Router::new().route("/api/{*function}", any(server_function)).with_state(server.clone());
    server::routes::guard(functions, server)
}

async fn server_function(State(server): State<Arc<Server>>, request: Request) -> Response {
    leptos_axum::handle_server_fns_with_context(move || provide_context(server.clone()), request)
        .await
        .into_response()
}

/// Answers a server function's question. A refusal keeps its status.
///
/// # Errors
/// What the answer's own author refuses; [`ErrorCode::Internal`] outside of a request.
pub(crate) async fn ask<T>(
    question: impl AsyncFnOnce(Arc<Server>, Visitor) -> Result<T, Refusal>,
) -> Result<T, ErrorBody> {
    let visitor = use_context::<Parts>().and_then(|parts| server::security::visitor(&parts));
    let (Some(server), Some(visitor)) = (use_context::<Arc<Server>>(), visitor) else {
        return Err(ErrorBody::new(ErrorCode::Internal, "This question was asked outside of a request."));
    };
    let response = use_context::<ResponseOptions>();
    if let Some(response) = &response {
        response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    question(server, visitor).await.map_err(|refusal| {
        if let Some(response) = response {
            response.set_status(refusal.status());
        }
        refusal.body
    })
}

/// Turns a refusal into a page when a person is going to look at it.
async fn explain(State(site): State<Site>, request: Request, next: Next) -> Response {
    if !wants_page(request.headers()) {
        return next.run(request).await;
    }
    let lang = language(request.uri().query(), request.headers());
    let mut blank = Request::new(Body::empty());
    *blank.uri_mut() = request.uri().clone();
    *blank.headers_mut() = HeaderMap::new();
    let response = next.run(request).await;
    let error = match response.extensions().get::<ErrorBody>() {
        Some(error) => error.clone(),
        None if response.status() == StatusCode::NOT_FOUND => {
            ErrorBody::new(ErrorCode::NotFound, "There is no such page.")
        }
        None => return response,
    };
    let (parts, _) = response.into_parts();
    let head = Head { status: parts.status, title: words(&lang).failed, alive: false, lang: lang.clone() };
    let explained = move || view! { <ErrorPage error=error.clone() lang=lang.clone()/> };
    let mut explained = page(&site, blank, head, explained).await;
    for (name, value) in &parts.headers {
        if [header::SET_COOKIE, header::RETRY_AFTER].contains(name) {
            explained.headers_mut().append(name, value.clone());
        }
    }
    explained
}

/// What differs from page to page around its content.
#[derive(Clone)]
struct Head {
    status: StatusCode,
    title: &'static str,
    /// Whether there is an island to bring to life.
    alive: bool,
    lang: String,
}

/// Renders one page in the shell, with the content security policy that names its nonce.
async fn page<V: IntoView + 'static>(
    site: &Site,
    request: Request,
    head: Head,
    content: impl Fn() -> V + Clone + Send + Sync + 'static,
) -> Response {
    let options = site.options.clone();
    let render = leptos_axum::render_app_async_with_context(
        move || {
            leptos::nonce::provide_nonce();
            set_policy(head.status);
        },
        move || {
            let content = content.clone();
            let lang = head.lang.clone();
            view! { <Shell options=options.clone() title=head.title alive=head.alive lang>{content()}</Shell> }
        },
    );
    render(request).await
}

fn set_policy(status: StatusCode) {
    let Some(response) = use_context::<ResponseOptions>() else { return };
    response.set_status(status);
    let nonce = leptos::nonce::use_nonce().map(|nonce| format!(" 'nonce-{nonce}'")).unwrap_or_default();
    // 'wasm-unsafe-eval' lets the page compile its own WebAssembly; it allows no script.
    let policy = format!(
        "default-src 'self'; script-src 'self'{nonce} 'wasm-unsafe-eval'; img-src 'self' blob:; media-src blob:; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
    }
    response.insert_header(header::VARY, HeaderValue::from_static("accept-language"));
    // The page lists one's own uploads: no cache may keep it.
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// A file of the site. A name that no file can have (too long, or with a NUL in it) is one that there is not, and no
/// fault of ours.
async fn file(mut files: ServeDir, request: Request) -> Response {
    match files.try_call(request).await {
        Ok(response) => response.into_response(),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidFilename) => {
            StatusCode::NOT_FOUND.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a file of the site cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the files of the site are told to go with.
///
/// Those under `/pkg` carry a hash of their content in their names, and nothing else does: they are kept for good, all
/// others are asked for again. They, the loader, what it hashes with and the texts may be used by pages of any origin:
/// they are the same for everyone, and what they do there is for the routes to allow (`--allow-origin`). Example pages
/// live under the strictest policy that `<plimsoll-upload>` works under.
async fn label_files(uri: Uri, mut response: Response) -> Response {
    let path = uri.path();
    let in_bundle = path.starts_with("/pkg/");
    // What a browser has kept of a file it goes on with under the headers that come with the word that it may.
    let is_there = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let mut label = |name: HeaderName, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    let forever = in_bundle && is_there;
    // The answer is one of three, as it is or compressed: a cache in between hands each to those only who can read it.
    label(header::VARY, "accept-encoding");
    label(header::CACHE_CONTROL, if forever { "public, max-age=31536000, immutable" } else { "no-cache" });
    if in_bundle || ["/upload-widget.js", "/checksum.js"].contains(&path) || path.starts_with("/labels/") {
        label(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        label(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    }
    if is_there && path.ends_with(".html") {
        label(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob:; media-src blob:; object-src 'none'; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        );
    }
    if path == "/checksum.js" {
        // A worker that runs it lives under the policy that it comes with.
        label(header::CONTENT_SECURITY_POLICY, "default-src 'none'; script-src 'wasm-unsafe-eval'");
    }
    if is_there && path.ends_with(".d.ts") {
        // By its ending it would be a video.
        label(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    }
    response
}

/// The build writes the hashes of the bundle's files here, in the site folder: program and site folder are all there
/// is to deploy.
const HASHES: &str = "plimsoll-hash.txt";

fn leptos_options(site: &Path) -> LeptosOptions {
    let root = site.to_string_lossy().into_owned();
    let hashes = std::path::absolute(site.join(HASHES)).unwrap_or_else(|_| site.join(HASHES));
    LeptosOptions::builder()
        .output_name("plimsoll")
        .site_root(root)
        .hash_files(hashes.exists())
        .hash_file(std::sync::Arc::<str>::from(hashes.to_string_lossy()))
        .build()
}
