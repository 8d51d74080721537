//! What a person reads or hears from the widget, and when: the state of a row, a list or a number, in the words of
//! `labels`. Numbers, sizes and times are made with whole-number arithmetic: the machinery for fractions would weigh
//! more than all the words. Must never know markup nor a language.

use crate::{
    engine::{
        STALL_MS,
        event::Need,
        view::{Hint, RowState, RowView, TotalView, Witness},
    },
    wire::{ErrorBody, ErrorCode, Options, limits, options::find},
};

use super::labels::{Labels, Word, base};

/// An action and the file it is for, as the name of a button.
pub(crate) fn of(labels: &Labels, action: Word, file: &str) -> String {
    labels.fill(Word::ActionFor, &[("action", &labels.text(action)), ("name", file)])
}

/// A name as it is shown. Signs that turn the text around them about would make it seem another; what is sent is the
/// name itself.
pub(crate) fn plain(name: &str) -> String {
    let turns = |sign| matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.chars().map(|sign| if turns(sign) { '\u{fffd}' } else { sign }).collect()
}

/// The folders on the way to a file, with the slash behind each; empty for a single file.
pub(crate) fn folder(path: &str) -> &str {
    let end = path.bytes().rposition(|byte| byte == b'/').map_or(0, |at| at + 1);
    path.get(..end).unwrap_or_default()
}

/// The name of a file with its folders: of several files with one name each has its own.
pub(crate) fn whole_name(row: &RowView) -> String {
    // The page may have given it another name than it has in its folder.
    plain(&[folder(&row.path), &row.name].concat())
}

/// What a person should know before picking files: the server's limit, and the page's own.
pub(crate) fn limits(labels: &Labels, options: &Options) -> String {
    let mut text = labels.text(Word::Paste);
    if let Some(most) = options.limits.max_file_size.into_iter().chain(options.max_size).min() {
        text.push(' ');
        text.push_str(&labels.fill(Word::MaxSize, &[("size", &limit(labels, most))]));
    }
    text
}

/// How large a file is, as it is sent.
pub(crate) fn weight(labels: &Labels, row: &RowView) -> String {
    let sent = size(labels, row.size);
    match row.original {
        Some(original) => {
            labels.fill(Word::Shrunk, &[("size", &sent), ("original", &size(labels, original))])
        }
        None => sent,
    }
}

/// What sends a file once more.
pub(crate) fn retry(row: &RowView) -> Word {
    let duplicate = row.error.as_ref().is_some_and(|error| error.code == ErrorCode::Duplicate);
    if duplicate { Word::KeepBoth } else { Word::Retry }
}

/// Whether nothing of it was sent, because it was refused here, or cannot be taken yet.
pub(crate) fn is_refused(row: &RowView) -> bool {
    row.state == RowState::Rejected
        || row.state == RowState::Failed && (retry(row) == Word::KeepBoth || is_no_file(row))
}

/// Whether it is none that could be sent: a folder, or what cannot be read.
pub(crate) fn is_no_file(row: &RowView) -> bool {
    row.error.as_ref().is_some_and(|error| error.code == ErrorCode::NoFile)
}

/// Where a file stands, in words.
// Never inlined, here and elsewhere: scripts/site.mjs has what only files need wait for the first, by its name.
#[inline(never)]
pub(crate) fn status(labels: &Labels, row: &RowView) -> String {
    let word = match row.state {
        _ if is_refused(row) => Word::Rejected,
        RowState::Queued => Word::Queued,
        RowState::Asking => Word::Asking,
        RowState::Creating if row.sent > 0 => Word::Asking,
        RowState::Creating => Word::Creating,
        RowState::Sending => return sending(labels, row),
        RowState::Processing => Word::Processing,
        RowState::Checking => Word::Checking,
        RowState::Waiting { seconds: Some(seconds) } => {
            return labels.fill(Word::AgainIn, &[("time", &duration(labels, u64::from(seconds)))]);
        }
        RowState::Waiting { seconds: None } => Word::Offline,
        RowState::Paused => Word::Paused,
        RowState::Missing { need: Need::Pick } => Word::MissingPick,
        RowState::Missing { need: Need::Leave } => Word::MissingLeave,
        RowState::Done if row.checked => Word::Checked,
        RowState::Done if is_taken(row) => Word::Taken,
        RowState::Done => Word::Stored,
        RowState::Failed | RowState::Rejected => Word::Failed,
        RowState::Cancelled => Word::Cancelled,
    };
    labels.text(word)
}

fn sending(labels: &Labels, row: &RowView) -> String {
    let word = match row.witness {
        Witness::None => Word::Sending,
        Witness::Browser => Word::SentOf,
        Witness::Server => Word::ReceivedOf,
    };
    let mut text = sizes(labels, word, row);
    push_pace(labels, &mut text, row.speed, row.seconds_left);
    text
}

fn sizes(labels: &Labels, word: Word, row: &RowView) -> String {
    let (sent, received, size) = (size(labels, row.sent), size(labels, row.received), size(labels, row.size));
    labels.fill(word, &[("sent", &sent), ("received", &received), ("size", &size)])
}

/// What goes on with a file that is held or missing.
pub(crate) fn resume(row: &RowView) -> Word {
    match row.state {
        RowState::Missing { need: Need::Pick } | RowState::Failed => Word::PickAgain,
        _ => Word::Resume,
    }
}

/// How far a file is, for the bar's spoken value.
pub(crate) fn spoken(labels: &Labels, row: &RowView) -> String {
    let status = status(labels, row);
    match row.state {
        // Here the bar has no number either.
        RowState::Processing | RowState::Checking => status,
        state if state == RowState::Sending || row.percent > 0 && !state.has_ended() => {
            labels.fill(Word::Spoken, &[("percent", &percent(labels, row.percent)), ("status", &status)])
        }
        _ => status,
    }
}

/// What a person should know while a file is under way; empty when there is nothing.
pub(crate) fn hint(labels: &Labels, row: &RowView) -> String {
    let word = match row.hint {
        Some(Hint::Found { percent: at }) => {
            return labels.fill(Word::HintFound, &[("percent", &percent(labels, at))]);
        }
        Some(Hint::Replaced) => Word::HintReplaced,
        Some(Hint::Restarting { percent: 1.. }) => Word::HintKept,
        Some(Hint::Restarting { percent: 0 }) => Word::HintAnew,
        Some(Hint::Buffered) => return sizes(labels, Word::HintBuffered, row),
        Some(Hint::Stalled) => {
            let time = duration(labels, STALL_MS / 1000);
            return labels.fill(Word::HintStalled, &[("time", &time)]);
        }
        None => return String::new(),
    };
    labels.text(word)
}

/// Whether the server has taken the file and told nothing of what it stored.
fn is_taken(row: &RowView) -> bool {
    row.receipt.as_ref().is_some_and(|receipt| !receipt.proof.is_stored())
}

/// Why a file was refused, failed or waits; empty when there is no reason.
pub(crate) fn reason(labels: &Labels, row: &RowView) -> String {
    row.error.as_ref().map(|reason| said(labels, reason, row.state)).unwrap_or_default()
}

/// As [`error`]; but what was refused here, before any server was asked, needs no words but ours.
fn said(labels: &Labels, reason: &ErrorBody, state: RowState) -> String {
    if state != RowState::Rejected || reason.code == ErrorCode::Declined {
        return error(labels, reason);
    }
    let detail = reason.detail.as_deref().unwrap_or_default();
    match detail.parse() {
        // A server says so of what is larger than the rest of one's space as well.
        Ok(most) if reason.code == ErrorCode::QuotaExceeded => {
            labels.fill(Word::ErrorOwnSpace, &[("size", &limit(labels, most))])
        }
        _ => own(labels, reason),
    }
}

/// The sentence of an error: the server's own, or ours where nobody said one. The server speaks English; in another
/// language ours comes first.
pub(crate) fn error(labels: &Labels, error: &ErrorBody) -> String {
    if error.message.is_empty() {
        return own(labels, error);
    }
    // A page declines in its own words.
    if base(labels.lang()) == "en" || error.code == ErrorCode::Declined {
        return error.message.clone();
    }
    labels.fill(Word::ErrorBecause, &[("sentence", &own(labels, error)), ("reason", &error.message)])
}

fn own(labels: &Labels, error: &ErrorBody) -> String {
    let detail = error.detail.as_deref().unwrap_or_default();
    labels.text(match error.code {
        ErrorCode::Network => Word::ErrorNetwork,
        ErrorCode::BadAnswer => Word::ErrorBadAnswer,
        ErrorCode::FileChanged if detail == "unreadable" => Word::ErrorUnreadable,
        ErrorCode::FileChanged => Word::ErrorChanged,
        ErrorCode::TypeNotAccepted if !detail.is_empty() => {
            return labels.fill(Word::ErrorTypes, &[("types", &kinds(labels, detail))]);
        }
        ErrorCode::TypeNotAccepted | ErrorCode::UnsupportedMediaType => Word::ErrorType,
        ErrorCode::Duplicate => Word::ErrorDuplicate,
        ErrorCode::NoFile if detail == "outside" => Word::ErrorFolder,
        ErrorCode::NoFile if detail == "empty-folder" => Word::ErrorEmptyFolder,
        ErrorCode::NoFile if detail == "unreadable" => Word::ErrorEntry,
        ErrorCode::Malformed if let Some(field) = detail.strip_prefix("field ") => {
            return labels.fill(Word::ErrorField, &[("field", field)]);
        }
        ErrorCode::TooLarge => {
            let (word, most) = match detail.strip_prefix("total ") {
                Some(most) => (Word::ErrorTotal, most),
                None => (Word::ErrorLimit, detail),
            };
            match most.parse() {
                Ok(most) => return labels.fill(word, &[("size", &limit(labels, most))]),
                Err(_) => Word::ErrorTooLarge,
            }
        }
        ErrorCode::TooManyFiles => match detail.parse() {
            Ok(most) => return labels.count(Word::ErrorNumber, most, &[]),
            Err(_) => Word::ErrorTooMany,
        },
        ErrorCode::QuotaExceeded => Word::ErrorQuota,
        ErrorCode::OutOfSpace => Word::ErrorSpace,
        ErrorCode::TooManyUploads => Word::ErrorBusy,
        ErrorCode::Unauthorized => Word::ErrorSession,
        ErrorCode::Forbidden | ErrorCode::ForbiddenOrigin => Word::ErrorForbidden,
        ErrorCode::Gone => Word::ErrorGone,
        ErrorCode::NotFound => Word::ErrorNotFound,
        ErrorCode::DigestMismatch => Word::ErrorDigest,
        ErrorCode::TimedOut | ErrorCode::TooSlow => Word::ErrorTime,
        ErrorCode::ShuttingDown => Word::ErrorDown,
        ErrorCode::Declined => Word::ErrorDeclined,
        _ => Word::ErrorOther,
    })
}

/// What an `accept` takes, in words: `image/*, .pdf` are images and PDF.
fn kinds(labels: &Labels, accept: &str) -> String {
    let comma = labels.text(Word::Comma);
    let mut kinds = comma.clone();
    let has_extensions = accept.split(',').any(|rule| rule.trim().starts_with('.'));
    for rule in accept.split(',').map(str::trim) {
        // What is neither an extension nor a type accepts nothing.
        if !rule.starts_with('.') && find(rule, "/").is_none() {
            continue;
        }
        let kind = match rule.split_once('/') {
            Some(("image", "*")) => labels.text(Word::Images),
            Some(("video", "*")) => labels.text(Word::Videos),
            Some(("audio", "*")) => labels.text(Word::Sounds),
            Some(("text", "*")) => labels.text(Word::Texts),
            Some((sort, "*")) => sort.to_owned(),
            // No person reads these; extensions that stand beside them say the same.
            Some((_, kind)) if find(kind, ".").is_some() && has_extensions => continue,
            Some((_, kind)) if find(kind, ".").is_some() => rule.to_owned(),
            Some((_, kind)) => {
                let kind = kind.strip_prefix("x-").unwrap_or(kind);
                kind.split('+').next().unwrap_or_default().to_ascii_uppercase()
            }
            None => rule.strip_prefix('.').unwrap_or(rule).to_ascii_uppercase(),
        };
        let part = [kind, comma.clone()].concat();
        // `.png` and `image/png` are the same to a person.
        if find(&kinds, &[comma.as_str(), &part].concat()).is_none() {
            kinds.push_str(&part);
        }
    }
    // Each part stands between two; outside there is nothing to part.
    let inner = kinds.strip_prefix(comma.as_str()).and_then(|kinds| kinds.strip_suffix(comma.as_str()));
    inner.unwrap_or_default().to_owned()
}

/// Where the numbers of a row come from.
pub(crate) fn source(labels: &Labels, row: &RowView) -> String {
    // Who only took it has not said how much that was.
    let mut text = sizes(labels, if is_taken(row) { Word::SourceSent } else { Word::Source }, row);
    let mut add = |sentence: &str| {
        text.push(' ');
        text.push_str(sentence);
    };
    // At the end there is the server's word, and nothing is counted any more.
    if row.state != RowState::Done {
        add(&labels.text(match row.witness {
            Witness::None => Word::CountedByNobody,
            Witness::Browser => Word::CountedByBrowser,
            Witness::Server => Word::CountedByServer,
        }));
    }
    if row.restarts > 0 {
        add(&labels.count(Word::BegunAgain, row.restarts, &[]));
    }
    text
}

/// The whole list in one line.
pub(crate) fn total(labels: &Labels, total: &TotalView) -> String {
    if total.listed > 0 || total.offers.undo {
        sum(labels, total)
    } else if total.gathering {
        labels.text(if total.shrinking { Word::Shrinking } else { Word::Creating })
    } else {
        // Of an empty list there is nothing to say.
        String::new()
    }
}

#[inline(never)]
fn sum(labels: &Labels, total: &TotalView) -> String {
    if total.listed == 0 && total.offers.undo {
        return labels.text(Word::Removed);
    }
    if total.active + total.held == 0 {
        return match (total.done, total.failed) {
            // What all of them are: a bar has words always.
            (0, 0) => labels.text(Word::Cancelled),
            (done, failed) => ended(labels, done, failed, total.taken > 0),
        };
    }
    let (done, received, size) =
        (labels.number(u64::from(total.done)), size(labels, total.shown), size(labels, total.size));
    let values = [("done", done.as_str()), ("received", &received), ("size", &size)];
    let word = if total.taken > 0 { Word::TotalSent } else { Word::Total };
    let mut text = labels.count(word, total.files, &values);
    if total.active > 0 {
        push_pace(labels, &mut text, total.speed, total.seconds_left);
    }
    text
}

/// Announced when files were picked.
pub(crate) fn added(labels: &Labels, accepted: u32, rejected: u32) -> String {
    let refused = |count| labels.count(Word::NotAccepted, count, &[]);
    match (accepted, rejected) {
        (0, _) => refused(rejected),
        (_, 0) => labels.count(Word::Added, accepted, &[]),
        _ => then(labels, &labels.count(Word::Added, accepted, &[]), &refused(rejected)),
    }
}

/// Announced on the way.
pub(crate) fn reached(labels: &Labels, at: u8, total: &TotalView) -> String {
    labels.count(Word::Reached, total.files, &[("percent", &percent(labels, at))])
}

/// Announced when a file was refused or failed; its name is as it is shown.
pub(crate) fn failed(labels: &Labels, name: &str, reason: &str) -> String {
    labels.fill(Word::FileFailed, &[("name", name), ("reason", reason)])
}

/// Announced, and shown, when nothing is left to do. Where a server has `taken` files and not said what it stored, no
/// more is said than that they were sent.
pub(crate) fn ended(labels: &Labels, done: u32, failed: u32, taken: bool) -> String {
    let (all, some) =
        if taken { (Word::AllSent, Word::SomeSent) } else { (Word::AllStored, Word::SomeStored) };
    match (done, failed) {
        (0, 0) => String::new(),
        (_, 0) => labels.count(all, done, &[]),
        (0, _) => labels.count(Word::NoneStored, failed, &[]),
        _ => labels.count(some, done, &[("failed", &labels.number(u64::from(failed)))]),
    }
}

/// One announcement behind another.
pub(crate) fn then(labels: &Labels, first: &str, second: &str) -> String {
    labels.fill(Word::Then, &[("first", first), ("second", second)])
}

/// A percentage.
pub(crate) fn percent(labels: &Labels, percent: u8) -> String {
    labels.percent(percent)
}

/// A size in bytes, in the largest unit that leaves a whole number, with one decimal below 100 where there is one.
pub(crate) fn size(labels: &Labels, bytes: u64) -> String {
    let (mut unit, mut steps) = (1_u64, 0);
    // 999.95 MB would be written as 1000 MB: that is 1.0 GB. A number of bytes is never rounded.
    while steps < 6 && (bytes / unit > 999 || (bytes / unit == 999 && bytes % unit >= unit.div_ceil(2))) {
        (unit, steps) = (unit * 1000, steps + 1);
    }
    let whole = bytes / unit;
    // Rounded to the nearest tenth; units are at least 1000, so this cannot overflow.
    let tenths = if unit == 1 { 0 } else { whole * 10 + (bytes % unit + unit / 20) / (unit / 10) };
    let number = if bytes.is_multiple_of(unit) {
        labels.number(whole)
    } else if tenths < 1000 {
        labels.tenths(tenths)
    } else {
        labels.number(whole + u64::from(bytes % unit >= unit / 2))
    };
    let units = labels.text(Word::Units);
    let name = units.split(' ').nth(steps).unwrap_or_default();
    labels.fill(Word::Size, &[("n", &number), ("unit", name)])
}

/// The most that a file may have: as the server tells it.
fn limit(labels: &Labels, bytes: u64) -> String {
    size(labels, limits::cut(bytes))
}

/// A time span, in the two largest units that matter.
pub(crate) fn duration(labels: &Labels, seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let (word, d, h, min, s) = match () {
        () if minutes < 1 => (Word::Seconds, 0, 0, 0, seconds),
        () if minutes < 10 => (Word::MinutesSeconds, 0, 0, minutes, seconds % 60),
        () if hours < 1 => (Word::Minutes, 0, 0, minutes, 0),
        () if days < 1 => (Word::HoursMinutes, 0, hours, minutes % 60, 0),
        () => (Word::DaysHours, days, hours % 24, 0, 0),
    };
    let [d, h, min, s] = [d, h, min, s].map(|number| labels.number(number));
    labels.fill(word, &[("d", &d), ("h", &h), ("min", &min), ("s", &s)])
}

/// A moment, `stored_ms` milliseconds since 1970 UTC, on a clock that is so many minutes ahead of UTC, or in UTC.
pub(crate) fn moment(labels: &Labels, stored_ms: u64, offset_min: Option<i32>) -> String {
    if offset_min.is_some()
        && let Some(text) = labels.moment(stored_ms)
    {
        return text;
    }
    let minutes = stored_ms / 60_000;
    let there = minutes.saturating_add_signed(i64::from(offset_min.unwrap_or(0)));
    let (year, month, day) = civil(there / 1440);
    let months = labels.text(Word::Months);
    let month = months.split(' ').nth(month.saturating_sub(1) as usize).unwrap_or_default();
    let (year, day) = (year.to_string(), day.to_string());
    let time = format!("{:02}:{:02}", there / 60 % 24, there % 60);
    let word = if offset_min.is_none() { Word::MomentUtc } else { Word::Moment };
    labels.fill(word, &[("year", &year), ("month", month), ("day", &day), ("time", &time)])
}

/// The same moment for programs: RFC 3339, in UTC.
pub(crate) fn rfc3339(stored_ms: u64) -> String {
    let seconds = stored_ms / 1000;
    let (year, month, day) = civil(seconds / 86400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month (1 to 12) and day (1 to 31) of so many days after 1 January 1970. Years are counted from March, so
/// that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn push_pace(labels: &Labels, text: &mut String, speed: Option<u64>, seconds_left: Option<u64>) {
    let speed = speed.map(|speed| labels.fill(Word::Speed, &[("size", &size(labels, speed))]));
    let left =
        seconds_left.map(|seconds| labels.fill(Word::TimeLeft, &[("time", &duration(labels, seconds))]));
    for part in speed.into_iter().chain(left) {
        text.push_str(" \u{b7} ");
        text.push_str(&part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{
            Queue,
            event::{Candidate, Event, FileId, FileMeta},
        },
        wire::Limits,
    };

    fn english() -> Labels {
        Labels::new(&Options::default())
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (10_000_000_000, "10 GB"),
            (1 << 30, "1.1 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(&english(), bytes), text, "{bytes}");
        }
    }

    #[test]
    fn durations() {
        for (seconds, text) in [
            (1, "1 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (599, "9 min 59 s"),
            (600, "10 min"),
            (3599, "59 min"),
            (5000, "1 h 23 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(&english(), seconds), text);
        }
    }

    #[test]
    fn moments() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(4_107_542_399_000), "2100-02-28T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00Z");
        assert_eq!(moment(&english(), 1_700_000_000_000, None), "14 Nov 2023, 22:13 UTC");
        assert_eq!(moment(&english(), 1_700_000_000_000, Some(120)), "15 Nov 2023, 00:13");
        assert_eq!(moment(&english(), 1_700_000_000_000, Some(-720)), "14 Nov 2023, 10:13");
    }

    #[test]
    fn the_narrower_limit_is_told() {
        let told = |server, page| {
            let limits = Limits { max_file_size: server, ..Limits::default() };
            super::limits(&english(), &Options { limits, max_size: page, ..Options::default() })
        };
        assert_eq!(told(None, None), "Pasting works too.");
        assert_eq!(told(Some(2000), None), "Pasting works too. Up to 2 kB per file.");
        assert_eq!(told(None, Some(3000)), "Pasting works too. Up to 3 kB per file.");
        assert_eq!(told(Some(2000), Some(1000)), "Pasting works too. Up to 1 kB per file.");
    }

    #[test]
    fn what_nobody_called_stored_is_not_called_so() {
        let list = |active, taken| TotalView {
            listed: 3,
            files: 3,
            done: 2,
            taken,
            active,
            size: 3000,
            received: 0,
            shown: 2500,
            ..TotalView::default()
        };
        let said = |active, taken| total(&english(), &list(active, taken));
        assert_eq!(said(1, 0), "2 of 3 files stored \u{b7} 2.5 kB of 3 kB");
        assert_eq!(said(1, 1), "2 of 3 files sent \u{b7} 2.5 kB of 3 kB", "as many bytes as the bar shows");
        assert_eq!(said(0, 0), "2 files stored");
        assert_eq!(said(0, 2), "2 files sent");
        assert_eq!(ended(&english(), 2, 1, true), "2 files sent, 1 failed");
        assert_eq!(ended(&english(), 0, 1, true), "1 file not stored");
    }

    #[test]
    fn kinds_of_files_in_words() {
        let refused = |lang: &str, accept: &str| {
            let reason =
                ErrorBody::new(ErrorCode::TypeNotAccepted, "As the queue says it.").with_detail(accept);
            let labels = Labels::new(&Options { lang: lang.to_owned(), ..Options::default() });
            said(&labels, &reason, RowState::Rejected)
        };
        let accepted = |accept| {
            let said = refused("en", accept);
            said.strip_prefix("This kind of file is not accepted. Accepted: ").unwrap_or_default().to_owned()
        };
        assert_eq!(accepted("image/*,.pdf"), "images, PDF.");
        assert_eq!(accepted(" video/* , audio/*, text/*, font/*"), "videos, audio, text, font.");
        assert_eq!(
            accepted("application/pdf, .pdf, application/x-tar, .tar.gz, .Png"),
            "PDF, TAR, TAR.GZ, PNG."
        );
        assert_eq!(accepted("image/*,,.pdf,"), "images, PDF.");
        assert_eq!(accepted("pdf, image/svg+xml"), "SVG.");
        assert_eq!(accepted("application/vnd.oasis.opendocument.text, .odt"), "ODT.");
        assert_eq!(
            accepted("application/vnd.oasis.opendocument.text"),
            "application/vnd.oasis.opendocument.text."
        );
        assert!(refused("ar", "image/*,.pdf").contains("صور، PDF"));
        assert!(refused("ja", "image/*,.pdf").contains("画像、PDF"));
    }

    #[test]
    fn names_are_what_they_seem() {
        assert_eq!(plain("a\u{202e}gpj.exe\u{2069}\u{61c}é"), "a\u{fffd}gpj.exe\u{fffd}\u{fffd}é");
        assert_eq!(plain("عطلة 日本.txt"), "عطلة 日本.txt");
        for (path, way) in
            [("", ""), ("a.txt", ""), ("dir/a.txt", "dir/"), ("é/b/c.txt", "é/b/"), ("dir/", "dir/")]
        {
            assert_eq!(folder(path), way, "{path}");
        }
    }

    fn row(state: RowState, percent: u8) -> RowView {
        RowView {
            id: FileId(1),
            name: "a.bin".to_owned(),
            path: String::new(),
            media_type: String::new(),
            size: 1000,
            original: None,
            state,
            sent: 430,
            received: 430,
            percent,
            sent_percent: percent,
            speed: None,
            seconds_left: None,
            witness: Witness::Server,
            hint: None,
            restarts: 0,
            error: None,
            receipt: None,
            checked: false,
            can_cancel: true,
            can_retry: false,
            can_pause: false,
            can_resume: false,
        }
    }

    /// Of all that was not just being sent it was not said how far it is.
    #[test]
    fn how_far_a_file_is_can_be_heard() {
        for (state, percent, said) in [
            (RowState::Paused, 43, "43%, Paused"),
            (RowState::Paused, 0, "Paused"),
            (RowState::Queued, 0, "Waiting for its turn"),
            (RowState::Waiting { seconds: Some(3) }, 43, "43%, Trying again in 3 s"),
            (RowState::Waiting { seconds: None }, 43, "43%, Offline. Goes on when the network is back"),
            (
                RowState::Missing { need: Need::Pick },
                43,
                "43%, Found again, not finished. Choose the same file again to go on",
            ),
            (RowState::Creating, 43, "43%, Asking the server how much it has"),
            (RowState::Sending, 0, "0%, 430 B of 1 kB received"),
            (RowState::Sending, 43, "43%, 430 B of 1 kB received"),
            // There the bar itself has no number.
            (RowState::Processing, 99, "Received in full. The server is storing it"),
            (RowState::Done, 100, "Stored"),
            (RowState::Failed, 43, "Failed"),
            (RowState::Cancelled, 43, "Cancelled"),
        ] {
            assert_eq!(spoken(&english(), &row(state, percent)), said, "{state:?}");
        }
        let cancelled = TotalView { listed: 2, ..TotalView::default() };
        assert_eq!(total(&english(), &cancelled), "Cancelled", "a bar is never without words");
    }

    /// In English a page's own words for what is refused here were not used.
    #[test]
    fn what_is_refused_here_is_said_in_the_words_of_the_page() {
        let refused = |options: &Options, error: &ErrorBody| {
            let error = Some(error.clone());
            reason(&Labels::new(options), &RowView { error, ..row(RowState::Rejected, 0) })
        };
        let labels = vec![("error-limit".to_owned(), "No more than {size}!".to_owned())];
        let own = Options { labels, ..Options::default() };
        assert_eq!(refused(&own, &limits::too_large(1_000_000)), "No more than 1 MB!");
        let declined = ErrorBody::new(ErrorCode::Declined, "No programs, please.");
        assert_eq!(refused(&own, &declined), "No programs, please.");
        // What another side says of the same stays as it says it.
        let failed = RowView { error: Some(limits::too_large(1_000_000)), ..row(RowState::Failed, 0) };
        assert_eq!(reason(&Labels::new(&own), &failed), limits::too_large(1_000_000).message);
    }

    /// "Your space is used up" was said of one that was empty.
    #[test]
    fn more_than_all_of_ones_space_is_said_as_that() {
        let error = ErrorBody::new(ErrorCode::QuotaExceeded, "As a server says it.").with_detail("5000000");
        let said = |lang: &str, state| {
            let labels = Labels::new(&Options { lang: lang.to_owned(), ..Options::default() });
            said(&labels, &error, state)
        };
        let here = "The file is larger than all the space you have (5 MB).";
        assert_eq!(said("en", RowState::Rejected), here);
        let here = "Die Datei ist größer als Ihr gesamter Speicherplatz (5\u{a0}MB).";
        assert_eq!(said("de", RowState::Rejected), here);
        assert!(
            said("de", RowState::Failed).starts_with("Ihr Speicherplatz auf dem Server reicht nicht aus.")
        );
    }

    /// What a page is told of a refusal, and what a server says of the same, are the words that are shown.
    #[test]
    fn limits_are_told_in_the_same_words_by_all() {
        let file = |number, size| Candidate {
            id: FileId(number),
            progress_id: format!("refused-{number}").parse().unwrap(),
            meta: FileMeta {
                name: number.to_string(),
                path: String::new(),
                size,
                original: None,
                modified_ms: None,
                media_type: String::new(),
            },
        };
        let same = |options: &Options, size| {
            let mut queue = Queue::new(options, 1);
            queue.handle(Event::Added((1..=6).map(|number| file(number, size)).collect()), 0);
            let row = queue.row(FileId(6), 0).unwrap();
            assert_eq!(row.state, RowState::Rejected);
            assert_eq!(reason(&english(), &row), row.error.unwrap().message);
        };
        for most in [0, 1, 999, 1000, 1_999_999, 10 << 20, 5_000_000_000, u64::MAX - 1] {
            let server = |limits| Options { limits, ..Options::default() };
            same(&server(Limits { max_file_size: Some(most), ..Limits::default() }), most + 1);
            same(&server(Limits { max_bytes_per_owner: Some(most), ..Limits::default() }), most + 1);
            same(&Options { max_total: Some(most), ..Options::default() }, most + 1);
        }
        for most in [1, 5] {
            same(&Options { max_files: Some(most), ..Options::default() }, 10);
        }
    }

    #[test]
    fn a_code_without_a_sentence_has_ours() {
        for &code in ErrorCode::ALL {
            assert!(error(&english(), &ErrorBody::new(code, "")).ends_with('.'), "{code}");
        }
        assert_eq!(error(&english(), &ErrorBody::new(ErrorCode::Network, "Own words.")), "Own words.");
    }
}
