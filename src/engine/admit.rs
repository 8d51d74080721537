//! Which files may enter the queue: by kind, size and number. Every refusal is an [`ErrorBody`] with a sentence for a
//! person. Must never look into a file.

use crate::wire::{ErrorBody, ErrorCode, Options, limits};

use super::{event::FileMeta, item::Way};

/// What `accept` says, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accept {
    /// Empty: everything is accepted. All in lower case.
    rules: Vec<Rule>,
    /// As it was written, for the sentence.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// The name ends so; with the dot.
    Extension(String),
    /// The media type is this.
    Exactly(String),
    /// The media type begins so; with the slash.
    Begins(String),
}

impl Accept {
    /// Reads an `accept` as `<input accept>` writes it. What is no extension and no media type is left out; `*` and
    /// `*/*` accept everything.
    pub(super) fn parse(text: &str) -> Self {
        let words = text.split(',').map(|word| word.trim().to_ascii_lowercase());
        let mut rules = Vec::new();
        for word in words {
            if word == "*" || word == "*/*" || word == ".*" {
                rules.clear();
                break;
            } else if word.starts_with('.') && word.len() > 1 {
                rules.push(Rule::Extension(word));
            } else if let Some(kind) = word.strip_suffix('*').filter(|kind| kind.ends_with('/')) {
                rules.push(Rule::Begins(kind.to_owned()));
            } else if word.contains('/') {
                rules.push(Rule::Exactly(word));
            }
        }
        Self { rules, text: text.trim().to_owned() }
    }

    fn takes(&self, meta: &FileMeta) -> bool {
        let name = meta.name.to_ascii_lowercase();
        let whole = meta.media_type.to_ascii_lowercase();
        // Parameters (`; charset=utf-8`) say nothing of the kind.
        let kind = whole.split(';').next().unwrap_or_default().trim();
        self.rules.is_empty()
            || self.rules.iter().any(|rule| match rule {
                Rule::Extension(end) => name.ends_with(end.as_str()),
                Rule::Exactly(exactly) => kind == exactly,
                Rule::Begins(start) => kind.starts_with(start.as_str()),
            })
    }
}

/// Whether one more file fits in a list that holds `listed` files, `open` of them not ended.
pub(super) fn number(options: &Options, listed: u32, open: u32) -> Result<(), ErrorBody> {
    let refuse = |limit: u32| {
        let files = if limit == 1 { "file" } else { "files" };
        let limit = limit.to_string();
        let text = ["Only ", &limit, " ", files, " can be uploaded here at one time."].concat();
        Err(ErrorBody::new(ErrorCode::TooManyFiles, text).with_detail(limit))
    };
    match options.max_files {
        _ if !options.multiple && open >= 1 => refuse(1),
        Some(limit) if listed >= limit => refuse(limit),
        _ => Ok(()),
    }
}

/// Whether this file is of a kind that is accepted.
pub(super) fn kind(accept: &Accept, meta: &FileMeta) -> Result<(), ErrorBody> {
    if accept.takes(meta) {
        return Ok(());
    }
    let text = ["This kind of file is not accepted. Accepted: ", &accept.text, "."].concat();
    Err(ErrorBody::new(ErrorCode::TypeNotAccepted, text).with_detail(accept.text.clone()))
}

/// Whether the server will take a file of this length, which goes to it in this way. What a form weighs besides its file
/// the server has to judge.
pub(super) fn size(options: &Options, size: u64, way: &Way) -> Result<(), ErrorBody> {
    let limits = &options.limits;
    if let Some(limit) = limits.max_file_size.filter(|limit| size > *limit) {
        return Err(limits::too_large(limit));
    }
    let at_once = match way {
        Way::Form => size,
        Way::Resumable(_) => options.slice.unwrap_or(size).min(size),
    };
    if let Some(limit) = limits.max_request_size.filter(|limit| at_once > *limit) {
        return Err(limits::too_large(limit));
    }
    if let Some(limit) = limits.max_bytes_per_owner.filter(|limit| size > *limit) {
        let text =
            ["The file is larger than all the space you have (", &limits::in_words(limit), ")."].concat();
        return Err(ErrorBody::new(ErrorCode::QuotaExceeded, text).with_detail(limit.to_string()));
    }
    Ok(())
}

/// Whether the page wants a file of this length, beside so many bytes that are in the list already.
pub(super) fn own_size(options: &Options, listed: u64, size: u64) -> Result<(), ErrorBody> {
    if let Some(limit) = options.max_size.filter(|limit| size > *limit) {
        return Err(limits::too_large(limit));
    }
    if let Some(limit) = options.max_total.filter(|limit| listed.saturating_add(size) > *limit) {
        let text = ["All files together may be at most ", &limits::in_words(limit), "."].concat();
        // Not a limit of this one: whoever has words of their own must be able to tell.
        return Err(
            ErrorBody::new(ErrorCode::TooLarge, text).with_detail(["total ", &limit.to_string()].concat())
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Queue,
            event::{Event, FileId},
            sim::Sim,
            view::RowState,
        },
        *,
    };
    use crate::wire::Limits;

    fn meta(name: &str, media_type: &str) -> FileMeta {
        FileMeta {
            name: name.to_owned(),
            path: String::new(),
            size: 1,
            original: None,
            modified_ms: None,
            media_type: media_type.to_owned(),
        }
    }

    #[test]
    fn kinds() {
        for (accept, name, media_type, expected) in [
            ("", "a", "", true),
            (" , ,", "a", "", true),
            ("*/*", "a", "", true),
            (".pdf, *", "a", "", true),
            (".pdf", "A.PDF", "", true),
            (".PDF", "a.pdf", "", true),
            (".pdf", "pdf", "", false),
            (".pdf", "a.pdf.exe", "application/pdf", false),
            (".tar.gz", "x.tar.gz", "", true),
            ("image/*", "x", "image/png", true),
            ("image/*", "x", "IMAGE/PNG", true),
            ("image/*", "x.png", "", false),
            ("image/*", "x", "imagery/png", false),
            ("text/plain", "x", "text/plain;charset=utf-8", true),
            ("text/plain", "x", "text/plainer", false),
            ("image/png,.txt", "x.txt", "text/plain", true),
            ("image/png,.txt", "x.gif", "image/gif", false),
        ] {
            let found = kind(&Accept::parse(accept), &meta(name, media_type)).is_ok();
            assert_eq!(found, expected, "{accept:?} {name:?} {media_type:?}");
        }
        let error = kind(&Accept::parse(".pdf, .txt"), &meta("a.gif", "image/gif")).unwrap_err();
        assert_eq!(error.message, "This kind of file is not accepted. Accepted: .pdf, .txt.");
        assert_eq!((error.code, error.retryable), (ErrorCode::TypeNotAccepted, false));
    }

    #[test]
    fn sizes() {
        let limits = Limits {
            max_file_size: Some(10_000_000),
            max_request_size: Some(20 << 20),
            max_bytes_per_owner: Some(5_000),
            ..Limits::default()
        };
        let size = |limits: &Limits, bytes| {
            super::size(&Options { limits: limits.clone(), ..Options::default() }, bytes, &Way::Form)
        };
        let error = size(&limits, 12_345_678).unwrap_err();
        assert_eq!(error.message, "The file is larger than 10 MB, the most that is allowed.");
        assert_eq!(error.detail.as_deref(), Some("10000000"));
        assert_eq!(size(&limits, 10_000_000).unwrap_err().code, ErrorCode::QuotaExceeded);
        assert_eq!(size(&limits, 5_000), Ok(()));
        let request = Limits { max_request_size: Some(20 << 20), ..Limits::default() };
        assert!(size(&request, (20 << 20) + 1).unwrap_err().message.contains(" 20.9 MB,"));
        assert_eq!(size(&Limits::default(), u64::MAX), Ok(()));
    }

    /// It was taken for a limit of each file, in however many requests that is sent.
    #[test]
    fn the_limit_of_a_request_is_none_of_a_file_that_is_sent_in_slices() {
        let limits = Limits { max_request_size: Some(1000), ..Limits::default() };
        let sliced = |slice, bytes, way: &Way| {
            size(&Options { slice, limits: limits.clone(), ..Options::default() }, bytes, way).is_ok()
        };
        let whole = Way::Resumable(None);
        assert!(sliced(None, 1000, &whole) && !sliced(None, 1001, &whole), "all in one request");
        assert!(sliced(Some(1000), u64::MAX, &whole) && sliced(Some(2000), 1000, &whole));
        assert!(!sliced(Some(1001), 1001, &whole));
        assert!(!sliced(Some(1000), 1001, &Way::Form), "of a form there are no slices");
        let mut queue = Queue::new(&Options { slice: Some(1000), limits, ..Options::default() }, 1);
        let files = [Options::THRESHOLD, 2000].into_iter().zip(1..);
        let files = files.map(|(bytes, number)| Sim::candidate_of(number, bytes)).collect();
        queue.handle(Event::Added(files), 0);
        let refused = |number| queue.row(FileId(number), 0).unwrap().state == RowState::Rejected;
        assert!(!refused(1) && refused(2), "by the way that each goes");
    }

    #[test]
    fn what_the_page_itself_wants() {
        let options = Options { max_size: Some(10_000), max_total: Some(25_000), ..Options::default() };
        assert_eq!(own_size(&options, 0, 10_000), Ok(()));
        let error = own_size(&options, 0, 10_001).unwrap_err();
        assert_eq!(error.message, "The file is larger than 10 kB, the most that is allowed.");
        assert_eq!(own_size(&options, 15_000, 10_000), Ok(()));
        let error = own_size(&options, 15_001, 10_000).unwrap_err();
        assert_eq!(error.message, "All files together may be at most 25 kB.");
        assert_eq!((error.code, error.retryable), (ErrorCode::TooLarge, false));
    }

    #[test]
    fn numbers() {
        let one = Options { multiple: false, ..Options::default() };
        assert_eq!(number(&one, 5, 0), Ok(()));
        assert!(number(&one, 1, 1).unwrap_err().message.contains("Only 1 file can"));
        let three = Options { max_files: Some(3), ..Options::default() };
        assert_eq!(number(&three, 2, 2), Ok(()));
        assert!(number(&three, 3, 0).unwrap_err().message.contains("Only 3 files can"));
    }
}
