//! How servers of other people are asked for their count of one upload, and what they answer: the nginx upload progress
//! module in its three templates (JSON, JSONP, "java"), and the two Django forms (djangosnippets 678; `upload_status`
//! with a key). Must never decide what follows from an answer.

use crate::wire::{
    Dialect, ErrorBody, ErrorCode, ProgressFrame, ProgressId, ProgressState, Receipt, options::find,
};

use super::json::Value;

/// The name of the id, in the query of a form's action, in the form, and in the question.
pub(super) const ID: &str = crate::wire::headers::PROGRESS_ID;

/// An address with the id in its query.
pub(super) fn with_id(url: &str, id: &ProgressId) -> String {
    let joint = if url.contains('?') { "&" } else { "?" };
    [url, joint, ID, "=", id.as_str()].concat()
}

/// Where one upload is asked about: at the place of `{id}`, after a trailing `=`, or under the customary name. A
/// Django address that names a `key` of its own is asked as it is.
pub(super) fn question(dialect: Dialect, progress: &str, id: &ProgressId) -> String {
    const PLACE: &str = "{id}";
    let mut filled = String::new();
    let mut rest = progress;
    while let Some(at) = find(rest, PLACE) {
        filled.push_str(&rest[..at]);
        filled.push_str(id.as_str());
        rest = &rest[at + PLACE.len()..];
    }
    if !filled.is_empty() {
        filled + rest
    } else if progress.ends_with('=') {
        [progress, id.as_str()].concat()
    } else if dialect.counts_by_key(progress) {
        progress.to_owned()
    } else {
        with_id(progress, id)
    }
}

/// What an answer says. `seq` is the number of the question: these servers number nothing. The counts are those of the
/// whole request; which of them are the file's the queue knows. A text that is none of theirs is `None`.
pub(super) fn frame(dialect: Dialect, text: &str, id: ProgressId, seq: u64) -> Option<ProgressFrame> {
    let mut frame = ProgressFrame { attempt: 1, seq, ..ProgressFrame::unknown(id) };
    // Whatever a template puts around the object: a callback, parentheses, single quotes, a semicolon.
    let object = text.find('{').and_then(|from| text.get(from..=text.rfind('}')?));
    let Some(object) = object else {
        // Django knows nothing of it: not yet, or not any more.
        return (text.trim() == "null").then_some(frame);
    };
    let said = Value::parse(&object.replace('\'', "\""))?;
    let number = |name| said.number(name);
    let counts = |received: Option<u64>, size: Option<u64>, mut frame: ProgressFrame| {
        frame.state = ProgressState::Receiving;
        (frame.body_received, frame.body_size) = (received?, size);
        Some(frame)
    };
    if dialect == Dialect::Django {
        return match number("uploaded") {
            None if said.text("error").is_some() => Some(frame),
            uploaded => counts(uploaded, number("length").or_else(|| number("totalsize")), frame),
        };
    }
    match said.text("state")?.as_str() {
        "starting" => {}
        "uploading" => return counts(number("received"), number("size"), frame),
        "done" => {
            frame.state = ProgressState::Done;
            frame.receipts.push(Receipt::accepted(""));
        }
        "error" => {
            frame.state = ProgressState::Failed;
            frame.error = Some(error(number("status")? as u16));
        }
        _ => return None,
    }
    Some(frame)
}

/// nginx writes 400 and 499 for a client that has gone, and 408 for one that is silent: another try can help. A
/// refusal in earnest comes as the answer itself.
fn error(status: u16) -> ErrorBody {
    let code = match status {
        400 | 408 | 499 => ErrorCode::Interrupted,
        status => super::json::code_of(status),
    };
    ErrorBody::new(code, "")
}
