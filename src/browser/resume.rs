//! The requests of resumable uploads, in two dialects: Resumable Uploads for HTTP (the IETF's draft) and tus 1.0. Same
//! requests, other headers. Must never decide when one is sent or what follows from its answer, and never read a byte
//! of a file but the two samples that tell whether it is still the same.
//!
//! `Upload-Draft-Interop-Version` is not sent: it asks for interim answers, which no browser shows to a page.

use std::rc::Rc;

use js_sys::Date;
use web_sys::Url;

use crate::{
    engine::{
        command::{Manifest, Pairs},
        event::{Event, FileId, RequestId},
    },
    wire::{ErrorBody, ErrorCode, ProgressId, Protocol, Receipt, UploadId, headers},
};

use super::{
    Inner, ending, failed,
    files::Picked,
    json, take,
    xhr::{Answer, Outcome, Request},
};

/// A part of a file on its way to its upload.
#[derive(Clone)]
pub(super) struct Range {
    pub(super) file: FileId,
    pub(super) request: RequestId,
    pub(super) url: String,
    pub(super) progress_id: ProgressId,
    pub(super) attempt: u32,
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) headers: Pairs,
}

impl Inner {
    /// Creates an upload without content: whatever breaks later, its address is known. What the file looks like now is
    /// kept, to know it again later.
    pub(super) fn create(
        self: &Rc<Self>,
        file: FileId,
        request: RequestId,
        id: ProgressId,
        attempt: u32,
        manifest: Manifest,
    ) {
        let Some(picked) = self.files.find(file) else { return self.unsent(file, request) };
        let seen = move |inner: &Rc<Self>, picked: &Picked, seen| {
            if picked.sample.get().is_none() {
                picked.sample.set(Some(seen));
            }
            inner.create_now(file, request, picked.clone(), &id, attempt, &manifest);
        };
        self.look_at(file, request, picked, false, None, Box::new(seen));
    }

    fn create_now(
        self: &Rc<Self>,
        file: FileId,
        request: RequestId,
        picked: Picked,
        id: &ProgressId,
        attempt: u32,
        manifest: &Manifest,
    ) {
        let described = match described(manifest) {
            Ok(described) => described,
            Err(error) => {
                return (self.deliver)(Event::Failed {
                    file,
                    request,
                    error,
                    status: 0,
                    retry_after_ms: None,
                });
            }
        };
        let Some(upload) = self.speak("POST", &self.resumable, &manifest.headers) else {
            return self.unsent(file, request);
        };
        upload.header(headers::UPLOAD_LENGTH, &picked.size.to_string());
        if self.is_tus() {
            upload.header(headers::UPLOAD_METADATA, &metadata(&picked, &manifest.name, &described));
        } else {
            upload.header(headers::UPLOAD_COMPLETE, "?0");
            upload.header("Content-Disposition", &disposition(&manifest.name));
            // The same notation as in tus; structured fields could not tell two names of one spelling apart.
            if !described.is_empty() {
                upload.header(headers::UPLOAD_METADATA, &described);
            }
            if picked.digest {
                upload.header(headers::WANT_REPR_DIGEST, "sha-256=10");
            }
            let kind = picked.file.type_();
            upload.header("Content-Type", if kind.is_empty() { "application/octet-stream" } else { &kind });
        }
        self.name(&upload, id, attempt);
        let id = id.clone();
        self.dispatch(upload, request, None, None, move |inner, outcome| match outcome {
            Outcome::Answered(answer) if answer.is_success() => match answer.location() {
                // tus knows no other end than the last byte, and here there is none to come.
                Some(url) if inner.is_tus() && picked.size == 0 => {
                    Event::Accepted { file, request, receipt: receipt(&picked, &url, &id) }
                }
                Some(url) => {
                    picked.expires_ms.set(answer.expires_ms());
                    Event::Created { file, request, url }
                }
                None => failed(file, request, ErrorCode::BadAnswer, answer.status),
            },
            outcome => ending(file, request, outcome),
        });
    }

    /// Asks how much the server has.
    pub(super) fn ask_offset(
        self: &Rc<Self>,
        file: FileId,
        request: RequestId,
        id: ProgressId,
        url: &str,
        headers: &Pairs,
    ) {
        let Some(question) = self.speak("HEAD", url, headers) else { return self.unsent(file, request) };
        let url = url.to_owned();
        let of = (id.clone(), url.clone());
        self.dispatch(question, request, None, Some(of), move |inner, outcome| match outcome {
            Outcome::Answered(answer) if answer.is_success() => {
                let Some(offset) = answer.number(headers::UPLOAD_OFFSET) else {
                    return failed(file, request, ErrorCode::BadAnswer, answer.status);
                };
                // tus knows no other end than the last byte, and RUFH none without its own word for it.
                let complete = !inner.is_tus() && answer.says_complete();
                match inner.files.find(file) {
                    Some(picked) if inner.is_tus() && offset == picked.size => {
                        Event::Accepted { file, request, receipt: receipt(&picked, &url, &id) }
                    }
                    _ => Event::Offset { file, request, offset, complete },
                }
            }
            outcome => ending(file, request, outcome),
        });
    }

    /// Sends a part of a file, if it still is the file whose beginning the server has.
    pub(super) fn send_range(self: &Rc<Self>, range: Range) {
        let (file, request) = (range.file, range.request);
        let Some(picked) = self.files.find(file) else { return self.unsent(file, request) };
        let of = Some((range.progress_id.clone(), range.url.clone()));
        let seen = move |inner: &Rc<Self>, picked: &Picked, seen| match picked.sample.get() {
            Some(known) if known != seen => {
                (inner.deliver)(failed(file, request, ErrorCode::FileChanged, 0));
            }
            _ => inner.send_slice(range, picked),
        };
        self.look_at(file, request, picked, false, of, Box::new(seen));
    }

    fn send_slice(self: &Rc<Self>, range: Range, picked: &Picked) {
        let Range { file, request, url, progress_id, attempt, offset, end, headers: fields } = range;
        let slice = picked.file.slice_with_f64_and_f64(offset as f64, end as f64).ok();
        let opened = slice.as_ref().and_then(|_| self.speak("PATCH", &url, &fields));
        let (Some(slice), Some(mut upload)) = (slice, opened) else { return self.unsent(file, request) };
        let last = end == picked.size;
        upload.header(headers::UPLOAD_OFFSET, &offset.to_string());
        if self.is_tus() {
            upload.header("Content-Type", "application/offset+octet-stream");
        } else {
            upload.header("Content-Type", "application/partial-upload");
            upload.header(headers::UPLOAD_COMPLETE, if last { "?1" } else { "?0" });
        }
        self.name(&upload, &progress_id, attempt);
        self.report_sent(&mut upload, file, request, offset, end - offset);
        let (picked, of) = (picked.clone(), (progress_id.clone(), url.clone()));
        self.dispatch(upload, request, Some(&slice), Some(of), move |inner, outcome| match outcome {
            Outcome::Answered(answer) if answer.is_success() => {
                let told = answer.number(headers::UPLOAD_OFFSET);
                let complete =
                    if inner.is_tus() { told == Some(picked.size) } else { last && answer.says_complete() };
                match json::receipt_of(&answer.body) {
                    Some(receipt) if last => Event::Accepted { file, request, receipt },
                    _ if complete => {
                        Event::Accepted { file, request, receipt: receipt(&picked, &url, &progress_id) }
                    }
                    _ if last && told.is_none() => failed(file, request, ErrorCode::BadAnswer, answer.status),
                    _ => Event::Offset { file, request, offset: told.unwrap_or(end), complete: false },
                }
            }
            outcome => ending(file, request, outcome),
        });
    }

    /// Deletes an upload on the server, in a moment: Chromium puts off what is aborted, and would still say on its console
    /// what the server answers to that once its upload is gone. Nobody waits for it; what cannot be deleted expires.
    pub(super) fn discard(self: &Rc<Self>, url: String, headers: &Pairs) {
        // A receipt tells a path at the server that forms go to.
        let url = Url::new_with_base(&url, &self.action).map_or(url, |full| full.href());
        let Some(mut request) = self.speak("DELETE", &url, headers) else { return };
        let (inner, key) = (Rc::downgrade(self), url.clone());
        request.on_end(move |_| {
            if let Some(inner) = inner.upgrade() {
                let ended = take(&mut inner.discards.borrow_mut(), &key);
                drop(ended);
            }
        });
        request.send_soon();
        self.discards.borrow_mut().push((url, request));
    }

    pub(super) fn is_tus(&self) -> bool {
        self.protocol == Protocol::Tus
    }

    pub(super) fn speak(&self, method: &str, url: &str, headers: &Pairs) -> Option<Request> {
        let request = self.open(method, url, headers)?;
        if self.is_tus() {
            request.header(headers::TUS_RESUMABLE, "1.0.0");
        }
        Some(request)
    }

    /// Says by which id the server's own count is asked for, and which try it is. Where nobody is asked the headers
    /// would only make a foreign server refuse the request.
    fn name(&self, request: &Request, id: &ProgressId, attempt: u32) {
        if !self.progress.is_empty() {
            request.header(headers::PROGRESS_ID, id.as_str());
            request.header(headers::ATTEMPT, &attempt.to_string());
        }
    }

    pub(super) fn unsent(&self, file: FileId, request: RequestId) {
        (self.deliver)(failed(file, request, ErrorCode::Network, 0));
    }
}

/// Browsers do not tell a file that has changed from one whose disk or share is away.
pub(super) fn unreadable(file: FileId, request: RequestId) -> Event {
    // No sentence: the face of the widget has one for this.
    let error = ErrorBody::new(ErrorCode::FileChanged, "").with_detail("unreadable");
    let error = ErrorBody { retryable: true, ..error };
    Event::Failed { file, request, error, status: 0, retry_after_ms: None }
}

impl Answer {
    /// The address in `Location`, in full.
    fn location(&self) -> Option<String> {
        let location = self.header("Location")?;
        Url::new_with_base(&location, &self.url()).ok().map(|url| url.href())
    }

    /// A header that is a whole number.
    fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    /// Until when the server keeps the upload, in milliseconds since 1970-01-01 UTC: tus tells a date, RUFH seconds.
    pub(super) fn expires_ms(&self) -> Option<f64> {
        if let Some(date) = self.header(headers::UPLOAD_EXPIRES) {
            return Some(Date::parse(&date)).filter(|date| date.is_finite());
        }
        let limit = self.header(headers::UPLOAD_LIMIT)?;
        let age = limit.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?;
        Some(Date::now() + 1000.0 * age.parse::<u32>().map(f64::from).ok()?)
    }

    fn says_complete(&self) -> bool {
        self.header(headers::UPLOAD_COMPLETE).is_some_and(|value| value.trim() == "?1")
    }
}

/// What is known of a stored file whose server gave no receipt of ours.
fn receipt(picked: &Picked, url: &str, id: &ProgressId) -> Receipt {
    let path = Url::new(url).map_or_else(|_| url.to_owned(), |url| url.pathname());
    let last = path.rsplit('/').next().unwrap_or_default();
    // A server of somebody else names uploads in its own way: our own random name stands for it then.
    let named: Option<UploadId> = last.parse().ok();
    let ours = named.is_some();
    Receipt {
        id: named.or_else(|| id.as_str().parse().ok()).unwrap_or_else(|| UploadId::from_bits([0; 16])),
        name: picked.file.name(),
        size: picked.size,
        media_type: picked.file.type_(),
        sha256: None,
        stored_ms: Date::now() as u64,
        url: if ours { path } else { url.to_owned() },
        ..Receipt::default()
    }
}

/// RFC 6266 with the extended notation of RFC 8187 only: one spelling for all names.
fn disposition(name: &str) -> String {
    let mut text = "inline; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    text
}

/// `Upload-Metadata` of tus: keys, and values in base64.
fn metadata(picked: &Picked, name: &str, described: &str) -> String {
    let mut text = String::new();
    push(&mut text, "filename", name);
    let kind = picked.file.type_();
    if !kind.is_empty() {
        push(&mut text, "filetype", &kind);
    }
    if !described.is_empty() {
        text.push(',');
        text.push_str(described);
    }
    text
}

/// The path and the fields in the notation of `Upload-Metadata`. A field whose name it has no place for is not left
/// out in silence: the file would be stored without what the page wants to be known of it.
fn described(manifest: &Manifest) -> Result<String, ErrorBody> {
    let mut text = String::new();
    if !manifest.path.is_empty() {
        push(&mut text, headers::RELATIVE_PATH, &manifest.path);
    }
    for (name, value) in &manifest.fields {
        if name.is_empty() || !name.bytes().all(|letter| letter.is_ascii_graphic() && letter != b',') {
            // No sentence: the face of the widget has one for this.
            return Err(ErrorBody::new(ErrorCode::Malformed, "").with_detail(["field ", name].concat()));
        }
        push(&mut text, name, value);
    }
    Ok(text)
}

/// One pair. A key may stand without a value, which is an empty one.
fn push(text: &mut String, key: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(key);
    if !value.is_empty() {
        text.push(' ');
        text.push_str(&base64(value.as_bytes()));
    }
}

/// RFC 4648, section 4. The browser's own takes no text beyond Latin-1.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
