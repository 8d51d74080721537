//! What a page may want to be told and asked by its widget. Must never decide what follows from an answer: the queue
//! does.
//!
//! ```
//! use leptos::prelude::*;
//! use plimsoll::widget::{Extra, FileInfo, Hooks, UploadEvent, UploadWidget, Verdict};
//!
//! /// Asks the application's own server for a token; stands for whatever takes its time.
//! async fn token(again: bool) -> String {
//!     if again { "a new one".to_owned() } else { "one that may have aged".to_owned() }
//! }
//!
//! #[component]
//! fn Letterbox() -> impl IntoView {
//!     let hooks = Hooks {
//!         on_event: Some(Callback::new(|event| {
//!             if let UploadEvent::Stored { file, receipt } = event {
//!                 leptos::logging::log!("{} lies at {}", file.name, receipt.url);
//!             }
//!         })),
//!         ..Hooks::default()
//!     }
//!     .before_upload(|file: FileInfo| async move {
//!         if file.name.ends_with(".exe") {
//!             return Verdict::Refuse { message: "No programs, please.".to_owned() };
//!         }
//!         let name = file.name.to_lowercase();
//!         Verdict::SendAs { name, fields: vec![("album".to_owned(), "holidays".to_owned())] }
//!     })
//!     .before_request(|_file, again| async move {
//!         let headers = vec![("Authorization".to_owned(), format!("Bearer {}", token(again).await))];
//!         Ok(Extra { headers, ..Extra::default() })
//!     });
//!     view! { <UploadWidget hooks/> }
//! }
//! ```
//!
//! With checksums, which the browser computes beside the sending; `checksum.js` lies in the site folder:
//!
//! ```
//! use leptos::prelude::*;
//! use plimsoll::{widget::{Hooks, UploadEvent, UploadWidget}, wire::Options};
//!
//! #[component]
//! fn Archive() -> impl IntoView {
//!     let options = Options { checksum: "/checksum.js".to_owned(), digest: true, ..Options::default() };
//!     let on_event = Callback::new(|event| {
//!         // Had they differed, this would be `Failed` with `ErrorCode::DigestMismatch`.
//!         if let UploadEvent::Stored { file, receipt } = event {
//!             leptos::logging::log!("here {:?}, there {:?}", file.sha256, receipt.sha256);
//!         }
//!     });
//!     view! { <UploadWidget options hooks=Hooks { on_event: Some(on_event), ..Hooks::default() }/> }
//! }
//! ```

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use leptos::prelude::Callback;

use crate::{
    engine::{
        command::{Pairs, ReadAnswer},
        event::{self, Event, RequestId},
    },
    wire::{ErrorBody, ErrorCode, Receipt},
};

pub use crate::engine::news::{FileInfo, UploadEvent};

/// An answer that may take its time. A browser has one thread, so it need not be `Send`.
pub type Answer<T> = Pin<Box<dyn Future<Output = T>>>;

/// Whether and how a file is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it is.
    Send,
    /// Under another name, and with these fields besides those of the options.
    SendAs {
        /// The name.
        name: String,
        /// Form fields before the file, or metadata of a resumable upload.
        fields: Pairs,
    },
    /// Not at all.
    Refuse {
        /// Why, in words for the person.
        message: String,
    },
}

/// What goes with one request. Takes the place of what the options say under the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Header fields.
    pub headers: Pairs,
    /// Form fields before the file, or metadata when a resumable upload is created; of no effect on later requests.
    pub fields: Pairs,
}

type BeforeUpload = Arc<dyn Fn(FileInfo) -> Answer<Verdict> + Send + Sync>;
type BeforeRequest = Arc<dyn Fn(FileInfo, bool) -> Answer<Result<Extra, ErrorBody>> + Send + Sync>;

/// What a page wants to be told and asked. All of it happens in the browser only; while a question is out, its file
/// holds one of the slots, and pausing, cancelling or removing the file withdraws the question.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Told of everything that happens, once each, in order.
    pub on_event: Option<Callback<UploadEvent>>,
    /// Asked once for each file, before its first request; again only where that request was not made, because
    /// `before_request` failed. Not asked about an upload that was begun before the page was opened.
    pub before_upload: Option<BeforeUpload>,
    /// Asked right before each request about a file (not before questions for the server's count, which go with the
    /// headers of the newest such request); and once more, with `true`, when the server refused one with 401 or 403, or
    /// led it to where one signs in. That request is then made again; refused once more, the file fails.
    ///
    /// With an error the request is not made, and this try has failed for that reason: where the error is `retryable`
    /// the next one comes by itself, as after a connection that broke.
    pub before_request: Option<BeforeRequest>,
    /// Reads the answer to a form, by its status, its text and the URL it came from (redirects followed), where the
    /// server is another than ours: what was stored, or what is wrong. [`Receipt::accepted`] is for an answer that says
    /// no more than that the file was taken.
    ///
    /// Without it every status of success (200 to 299) counts as that, as HTTP means it (RFC 9110, section 15.3); pages
    /// too, for form views answer with one, or send on to one (303). Only a page with the form's own address in its
    /// query, to send people back there (`/login/?next=/upload`), counts as not signed in. A view that answers 200 with
    /// the form once more when it refuses, or whose sign-in page knows no way back, can be understood by this only.
    ///
    /// Not asked about resumable uploads: their protocols say by headers what the server has, and an answer without
    /// these headers is an error whatever its text.
    pub read_answer: Option<ReadAnswer>,
}

impl Hooks {
    /// With this asked once for each file.
    #[must_use]
    pub fn before_upload<F>(mut self, ask: impl Fn(FileInfo) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Verdict> + 'static,
    {
        self.before_upload = Some(Arc::new(move |file| Box::pin(ask(file))));
        self
    }

    /// With this asked before each request.
    #[must_use]
    pub fn before_request<F>(mut self, ask: impl Fn(FileInfo, bool) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Extra, ErrorBody>> + 'static,
    {
        self.before_request = Some(Arc::new(move |file, again| Box::pin(ask(file, again))));
        self
    }

    /// With this reading the answers to forms.
    ///
    /// A view that tells where it put the file, and shows its form once more when it wants another one:
    ///
    /// ```
    /// use plimsoll::{widget::Hooks, wire::{ErrorBody, ErrorCode, Receipt}};
    ///
    /// let hooks = Hooks::default().read_answer(|status, text, url| {
    ///     // Where answers are read here, nobody else looks for the page where one signs in.
    ///     if url.contains("/login/") {
    ///         return Err(ErrorBody::new(ErrorCode::Unauthorized, "Please sign in, and try again."));
    ///     }
    ///     match (status, text.strip_prefix("put at ")) {
    ///         // It does not say how long the file is there, so this is not called stored, but taken.
    ///         (200, Some(place)) => Ok(Receipt::accepted(place)),
    ///         (200, None) => Err(ErrorBody::new(ErrorCode::Declined, "Only photos of boats, please.")),
    ///         _ => Err(ErrorBody::new(ErrorCode::Internal, "The photos are closed.")),
    ///     }
    /// });
    ///
    /// // The widget asks in the browser; here it is asked by hand.
    /// let read = hooks.read_answer.unwrap();
    /// let at = "https://site.example/photos/";
    /// assert_eq!(read(200, "put at /photos/7", at), Ok(Receipt::accepted("/photos/7")));
    /// assert_eq!(read(200, "<form>", at).unwrap_err().code, ErrorCode::Declined);
    /// assert!(!read(200, "<form>", "https://site.example/login/?next=/photos/").unwrap_err().retryable);
    /// assert!(read(502, "", at).unwrap_err().retryable);
    /// ```
    #[must_use]
    pub fn read_answer(
        mut self,
        read: impl Fn(u16, &str, &str) -> Result<Receipt, ErrorBody> + Send + Sync + 'static,
    ) -> Self {
        self.read_answer = Some(Arc::new(read));
        self
    }

    /// Puts the questions before a request, one after the other.
    pub(crate) async fn ask(
        self,
        mut file: FileInfo,
        request: RequestId,
        upload: bool,
        again: bool,
    ) -> Event {
        let id = file.id;
        let mut answer = event::Answer::default();
        if let Some(ask) = self.before_upload.filter(|_| upload) {
            match ask(file.clone()).await {
                Verdict::Send => {}
                Verdict::SendAs { name, fields } => {
                    file.name.clone_from(&name);
                    answer.name = Some(name);
                    answer.kept = Some(fields);
                }
                Verdict::Refuse { message } => {
                    let error = ErrorBody::new(ErrorCode::Declined, message);
                    return Event::Declined { file: id, request, error };
                }
            }
        }
        if let Some(ask) = self.before_request {
            match ask(file, again).await {
                Ok(Extra { headers, fields }) => {
                    answer.headers = headers;
                    answer.fields = fields;
                }
                Err(error) => {
                    return Event::Failed { file: id, request, error, status: 0, retry_after_ms: None };
                }
            }
        }
        Event::Prepared { file: id, request, answer }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
