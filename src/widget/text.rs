//! Every word a person reads or hears from the widget, in one place (English; other languages come here too). Numbers,
//! sizes and times are made with whole-number arithmetic: the machinery for fractions would weigh more than all the
//! words. Must never know markup.

use crate::{
    engine::{
        event::Need,
        view::{Hint, RowState, RowView, TotalView, Witness},
    },
    wire::{ErrorBody, ErrorCode, Limits},
};

/// Headline of the drop zone; with the button below it, the name of the file input.
pub(crate) const DROP_HERE: &str = "Drop files here, or choose them";
/// Headline of the drop zone where only one file is wanted.
pub(crate) const DROP_ONE_HERE: &str = "Drop a file here, or choose it";
/// The third way.
pub(crate) const PASTE: &str = "Pasting works too.";
/// Label of the checkbox.
pub(crate) const WANT_DIGEST: &str = "Have the server compute a SHA-256 checksum";
/// The button of the form without script.
pub(crate) const UPLOAD: &str = "Upload";
/// Name of the list of files.
pub(crate) const FILES: &str = "Files being uploaded";
/// Name of the bar over all files.
pub(crate) const ALL_FILES: &str = "All files";
/// Stops everything that runs.
pub(crate) const CANCEL_ALL: &str = "Cancel all";
/// Tries again what failed.
pub(crate) const RETRY_ALL: &str = "Try all again";
/// Takes what has ended off the list.
pub(crate) const CLEAR: &str = "Clear finished";
/// Stops one file.
pub(crate) const CANCEL: &str = "Cancel";
/// Takes one file off the list.
pub(crate) const REMOVE: &str = "Remove";
/// Holds everything that runs or waits.
pub(crate) const PAUSE_ALL: &str = "Pause all";
/// Lets everything that is held go on.
pub(crate) const RESUME_ALL: &str = "Resume all";
/// Holds one file.
pub(crate) const PAUSE: &str = "Pause";
/// Lets one file go on that is held.
pub(crate) const RESUME: &str = "Resume";
/// Opens the browser's dialog, for a file that was found again.
pub(crate) const PICK_AGAIN: &str = "Choose again";
/// Announced when an upload was found again that cannot go on by itself.
pub(crate) const FOUND_WITHOUT_FILE: &str = "An unfinished upload was found again and needs its file";
/// Tries one file again.
pub(crate) const RETRY: &str = "Try again";
/// Opens the line that says where the numbers come from.
pub(crate) const DETAILS: &str = "Details";
/// Headline of the list of stored files.
pub(crate) const STORED: &str = "Your files";
/// In place of that list when there are none.
pub(crate) const NONE_STORED: &str = "Nothing here yet. Files appear as soon as the server has stored them.";
/// Fetches a stored file.
pub(crate) const DOWNLOAD: &str = "Download";
/// Deletes a stored file.
pub(crate) const DELETE: &str = "Delete";
/// Beside a stored file that the server did not delete.
pub(crate) const NOT_DELETED: &str = "The server did not delete it. Please try again.";

/// An action and the file it is for, as the name of a button.
pub(crate) fn of(action: &str, file: &str) -> String {
    format!("{action} {file}")
}

/// What a person should know before picking files.
pub(crate) fn limits(limits: &Limits) -> String {
    match limits.max_file_size {
        Some(most) => format!("{PASTE} Up to {} per file.", size(most)),
        None => PASTE.to_owned(),
    }
}

/// Where a file stands, in words.
pub(crate) fn status(row: &RowView) -> String {
    match row.state {
        RowState::Rejected => "Not uploaded".to_owned(),
        RowState::Queued => "Waiting for its turn".to_owned(),
        RowState::Creating if row.sent > 0 => "Asking the server how much it has".to_owned(),
        RowState::Creating => "Starting".to_owned(),
        RowState::Sending => sending(row),
        RowState::Processing => "Received in full. The server is storing it".to_owned(),
        RowState::Waiting { seconds: Some(seconds) } => {
            format!("Trying again in {}", duration(u64::from(seconds)))
        }
        RowState::Waiting { seconds: None } => {
            "Waiting for the network. It goes on when it is back".to_owned()
        }
        RowState::Paused => "Paused".to_owned(),
        RowState::Missing { need: Need::Pick } => {
            "Found again, not finished. Choose the same file again to go on".to_owned()
        }
        RowState::Missing { need: Need::Leave } => {
            "Found again, not finished. Resume to go on; the browser may ask whether the file may be read"
                .to_owned()
        }
        RowState::Done => "Stored".to_owned(),
        RowState::Failed => "Failed".to_owned(),
        RowState::Cancelled => "Cancelled".to_owned(),
    }
}

fn sending(row: &RowView) -> String {
    let mut text = match row.witness {
        Witness::None => "Sending".to_owned(),
        Witness::Browser => format!("{} of {} sent", size(row.sent), size(row.size)),
        Witness::Server => format!("{} of {} received", size(row.received), size(row.size)),
    };
    push_pace(&mut text, row.speed, row.seconds_left);
    text
}

/// What goes on with a file that is held or missing.
pub(crate) fn resume(row: &RowView) -> &'static str {
    match row.state {
        RowState::Missing { need: Need::Pick } | RowState::Failed => PICK_AGAIN,
        _ => RESUME,
    }
}

/// How far a file is, for the bar's spoken value.
pub(crate) fn spoken(row: &RowView) -> String {
    match row.state {
        RowState::Sending => format!("{}, {}", percent(row.percent), status(row)),
        _ => status(row),
    }
}

/// What a person should know while a file is under way; empty when there is nothing.
pub(crate) fn hint(row: &RowView) -> String {
    let text = match row.hint {
        Some(Hint::Found { percent: at }) => return format!("Found again: going on from {}.", percent(at)),
        Some(Hint::Replaced) => "The connection stalled; trying again from what the server has.",
        Some(Hint::Restarting { percent: 1.. }) => {
            "The connection was lost; going on from what the server has kept."
        }
        Some(Hint::Buffered) => {
            "Something on the way is holding the data back; the server has not received it yet."
        }
        Some(Hint::Stalled) => "No data has arrived for ten seconds. Still trying.",
        Some(Hint::Restarting { percent: 0 }) => "The connection was lost, and the upload began again.",
        None => "",
    };
    text.to_owned()
}

/// Why a file was refused, failed or waits; empty when there is no reason.
pub(crate) fn reason(row: &RowView) -> String {
    row.error.as_ref().map(error).unwrap_or_default()
}

/// The sentence of an error: the server's own, or ours where nobody said one.
pub(crate) fn error(error: &ErrorBody) -> String {
    if !error.message.is_empty() {
        return error.message.clone();
    }
    let text = match error.code {
        ErrorCode::Network => "The connection failed; no answer came from the server.",
        ErrorCode::BadAnswer => {
            "The answer was not one of an upload server. Whether it is stored is unknown."
        }
        ErrorCode::FileChanged => {
            "This is not the file that the upload was begun with, or it has changed. It was not sent."
        }
        ErrorCode::TypeNotAccepted if error.detail.as_deref() == Some("folder") => {
            "This is a folder. Please choose the files in it."
        }
        ErrorCode::TypeNotAccepted | ErrorCode::UnsupportedMediaType => "This kind of file is not accepted.",
        ErrorCode::TooLarge => "The file is larger than the server allows.",
        ErrorCode::TooManyFiles => "These are more files than allowed.",
        ErrorCode::QuotaExceeded => "Your space on the server is used up.",
        ErrorCode::OutOfSpace => "The server has no space left.",
        ErrorCode::TooManyUploads => "The server is busy with other uploads.",
        ErrorCode::Unauthorized => "Please sign in first; the session may have ended.",
        ErrorCode::Forbidden | ErrorCode::ForbiddenOrigin => "The server does not allow this.",
        ErrorCode::Gone => "The server does not have the upload any more.",
        ErrorCode::NotFound => "There is no upload at this address.",
        ErrorCode::TimedOut | ErrorCode::TooSlow => "The server waited too long for the data.",
        ErrorCode::ShuttingDown => "The server is not available at the moment.",
        _ => "The server could not store the file.",
    };
    text.to_owned()
}

/// Where the numbers of a row come from.
pub(crate) fn source(row: &RowView) -> String {
    let driver = match row.witness {
        Witness::None => "Nobody has counted anything yet.",
        Witness::Browser => "The bar follows your browser's count; the server's is awaited.",
        Witness::Server => "The bar follows the server's count.",
    };
    let mut text = format!(
        "Sent by your browser: {}. Received by the server: {}. {driver}",
        size(row.sent),
        size(row.received)
    );
    if row.restarts > 0 {
        text.push_str(&format!(" Begun again: {}.", times(row.restarts)));
    }
    if let Some(sha256) = row.receipt.as_ref().and_then(|receipt| receipt.sha256.as_ref()) {
        text.push_str(&format!(" SHA-256: {sha256}"));
    }
    text
}

/// The whole list in one line.
pub(crate) fn total(total: &TotalView) -> String {
    let mut text = if total.active + total.held == 0 {
        ended(total.done, total.failed)
    } else {
        format!(
            "{} of {} stored \u{b7} {} of {}",
            total.done,
            files(total.files),
            size(total.received),
            size(total.size)
        )
    };
    if total.active > 0 {
        push_pace(&mut text, total.speed, total.seconds_left);
    }
    text
}

/// Announced when files were picked.
pub(crate) fn added(accepted: u32, rejected: u32) -> String {
    match (accepted, rejected) {
        (0, _) => format!("{} not accepted", files(rejected)),
        (_, 0) => format!("Uploading {}", files(accepted)),
        _ => format!("Uploading {}; {} not accepted", files(accepted), files(rejected)),
    }
}

/// Announced on the way.
pub(crate) fn reached(percent: u8, total: &TotalView) -> String {
    format!("{percent}% of {} uploaded", files(total.files))
}

/// Announced when a file was refused or failed.
pub(crate) fn failed(name: &str, reason: &str) -> String {
    format!("{name}: {reason}")
}

/// Announced, and shown, when nothing is left to do.
pub(crate) fn ended(done: u32, failed: u32) -> String {
    match (done, failed) {
        (0, 0) => String::new(),
        (_, 0) => format!("{} stored", files(done)),
        (0, _) => format!("{} not stored", files(failed)),
        _ => format!("{} stored, {failed} not", files(done)),
    }
}

/// A percentage.
pub(crate) fn percent(percent: u8) -> String {
    format!("{percent}%")
}

/// A size in bytes, in the largest unit that leaves a whole number, with one decimal below 100 where there is one.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut unit, mut name) = (1000_u64, UNITS[0]);
    for larger in &UNITS[1..] {
        // 999.95 MB would be written as 1000 MB: that is 1.0 GB.
        if bytes / unit < 999 || (bytes / unit == 999 && bytes % unit < unit / 2) {
            break;
        }
        (unit, name) = (unit * 1000, larger);
    }
    let whole = bytes / unit;
    if bytes.is_multiple_of(unit) {
        return format!("{whole} {name}");
    }
    // Rounded to the nearest tenth; units are at least 1000, so this cannot overflow.
    let tenths = whole * 10 + (bytes % unit + unit / 20) / (unit / 10);
    if tenths < 1000 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", whole + u64::from(bytes % unit >= unit / 2))
    }
}

/// A time span, in the two largest units that matter.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if seconds < 60 => format!("{seconds} s"),
        () if minutes < 10 => format!("{minutes} min {} s", seconds % 60),
        () if hours < 1 => format!("{minutes} min"),
        () if days < 1 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// A moment, `stored_ms` milliseconds since 1970 UTC, on a clock that is so many minutes ahead of UTC, or in UTC.
pub(crate) fn moment(stored_ms: u64, offset_min: Option<i32>) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let minutes = stored_ms / 60_000;
    let there = minutes.saturating_add_signed(i64::from(offset_min.unwrap_or(0)));
    let (year, month, day) = civil(there / 1440);
    let month = MONTHS.get(month.saturating_sub(1) as usize).unwrap_or(&"");
    let (hour, minute) = (there / 60 % 24, there % 60);
    let zone = if offset_min.is_none() { " UTC" } else { "" };
    format!("{day} {month} {year}, {hour:02}:{minute:02}{zone}")
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

fn push_pace(text: &mut String, speed: Option<u64>, seconds_left: Option<u64>) {
    if let Some(speed) = speed {
        text.push_str(&format!(" \u{b7} {}/s", size(speed)));
    }
    if let Some(seconds) = seconds_left {
        text.push_str(&format!(" \u{b7} {} left", duration(seconds)));
    }
}

fn files(count: u32) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(size(bytes), text, "{bytes}");
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
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn moments() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(4_107_542_399_000), "2100-02-28T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00Z");
        assert_eq!(moment(1_700_000_000_000, None), "14 Nov 2023, 22:13 UTC");
        assert_eq!(moment(1_700_000_000_000, Some(120)), "15 Nov 2023, 00:13");
        assert_eq!(moment(1_700_000_000_000, Some(-720)), "14 Nov 2023, 10:13");
    }

    #[test]
    fn a_code_without_a_sentence_has_ours() {
        for &code in ErrorCode::ALL {
            assert!(error(&ErrorBody::new(code, "")).ends_with('.'), "{code}");
        }
        assert_eq!(error(&ErrorBody::new(ErrorCode::Network, "Own words.")), "Own words.");
    }
}
