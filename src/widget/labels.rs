//! The words of one widget: a table of templates with named places (`{name}`), in English unless others were given.
//! Must never know when something is said (that is `text`) nor where the words of a language come from.
//!
//! A template whose wording depends on the number `{n}` has several forms, set apart by `|`. Each but the last begins
//! with the plural category (`zero:`, `one:`, `two:`, `few:` or `many:`) that it is for; the last is for all others.

use std::{borrow::Cow, sync::Arc};

use leptos::prelude::*;

use crate::wire::Options;

/// A text that a view shows and keeps up to date. All such texts share one type: the bundle carries the machinery for
/// each type once.
pub(crate) type Said = Box<dyn Fn() -> String + Send + Sync>;

/// The words of one widget. Clones are the same words.
#[derive(Clone, Debug)]
pub(crate) struct Labels(Arc<Set>);

#[derive(Debug)]
struct Set {
    /// The templates, in the order of [`Word`].
    words: Vec<Cow<'static, str>>,
}

impl Labels {
    /// The words that these options ask for.
    pub(crate) fn new(options: &Options) -> Self {
        let (keys, mut words): (Vec<&str>, Vec<Cow<'static, str>>) = ENGLISH
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, text)| (key, text.into()))
            .unzip();
        for (key, text) in &options.labels {
            if let Some(place) = keys.iter().position(|known| known == key) {
                words[place] = text.clone().into();
            }
        }
        Self(Arc::new(Set { words }))
    }

    /// The words of the island that this is a part of, or else of these options: a widget and the list of stored
    /// files beside it say the same.
    pub(crate) fn here(options: &Options) -> ArcRwSignal<Self> {
        use_context().unwrap_or_else(|| ArcRwSignal::new(Self::new(options)))
    }

    /// A text without places.
    pub(crate) fn text(&self, word: Word) -> String {
        self.fill(word, &[])
    }

    /// A text with these values in its places.
    pub(crate) fn fill(&self, word: Word, values: &[(&str, &str)]) -> String {
        fill(self.template(word), values)
    }

    /// A text that depends on a number, which stands in its place `{n}`, with these values in its other places.
    pub(crate) fn count(&self, word: Word, n: u32, values: &[(&str, &str)]) -> String {
        let number = n.to_string();
        let values: Vec<_> = values.iter().copied().chain([("n", number.as_str())]).collect();
        fill(form(self.template(word), if n == 1 { "one" } else { "other" }), &values)
    }

    fn template(&self, word: Word) -> &str {
        self.0.words.get(word as usize).map_or("", |text| text)
    }
}

/// A text that stays what it is until the words change.
pub(crate) fn says(labels: &ArcRwSignal<Labels>, word: Word) -> Said {
    let labels = labels.clone();
    Box::new(move || labels.with(|labels| labels.text(word)))
}

/// The form of a template for a plural category: its own, or else the last.
fn form<'a>(template: &'a str, category: &str) -> &'a str {
    let mut last = template;
    for form in template.split('|') {
        match form.split_once(':') {
            Some((name, own)) if name == category => return own,
            _ => last = form,
        }
    }
    last
}

fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, (name, behind))) =
        rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
    {
        text.push_str(before);
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            text.push_str(value);
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $text:literal;)+) => {
        /// Everything that is said. The table's keys are the names by which a page replaces a text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Word { $($(#[$doc])* $name,)+ }

        /// One line for each word, in the same order: its key, `=`, its template.
        const ENGLISH: &str = concat!($($key, "=", $text, "\n",)+);

        #[cfg(test)]
        const ALL: &[Word] = &[$(Word::$name,)+];
    };
}

words! {
    /// Headline of the drop zone; with the button below it, the name of the file input.
    DropHere = "drop-here", "Drop files here, or choose them";
    /// The same where only one file is wanted.
    DropOneHere = "drop-one-here", "Drop a file here, or choose it";
    /// The button for a folder.
    PickFolder = "pick-folder", "Choose a folder";
    /// The third way in.
    Paste = "paste", "Pasting works too.";
    /// What a person should know before picking files.
    MaxSize = "max-size", "Up to {size} per file.";
    /// Label of the checkbox.
    WantDigest = "want-digest", "Have the server compute a SHA-256 checksum";
    /// The button of the form without script.
    Upload = "upload", "Upload";
    /// Name of the list of files.
    Files = "files", "Files being uploaded";
    /// Shows all stored files, where there are very many.
    ShowAll = "show-all", "Show all";
    /// Name of the bar over all files.
    AllFiles = "all-files", "All files";
    /// Tries again what failed.
    RetryAll = "retry-all", "Try all again";
    /// Holds everything that runs or waits.
    PauseAll = "pause-all", "Pause all";
    /// Lets everything that is held go on.
    ResumeAll = "resume-all", "Resume all";
    /// Stops everything that runs.
    CancelAll = "cancel-all", "Cancel all";
    /// Takes what has ended off the list.
    Clear = "clear", "Clear finished";
    /// Tries one file again.
    Retry = "retry", "Try again";
    /// Sends a file that is in the list already.
    KeepBoth = "keep-both", "Upload it too";
    /// Holds one file.
    Pause = "pause", "Pause";
    /// Lets one file go on that is held.
    Resume = "resume", "Resume";
    /// Opens the browser's dialog, for a file that was found again.
    PickAgain = "pick-again", "Choose again";
    /// Stops one file.
    Cancel = "cancel", "Cancel";
    /// Takes one file off the list.
    Remove = "remove", "Remove";
    /// Opens the line that says where the numbers come from.
    Details = "details", "Details";
    /// An action and the file it is for, as the name of a button.
    ActionFor = "action-for", "{action} {name}";

    Rejected = "rejected", "Not uploaded";
    Queued = "queued", "Waiting for its turn";
    Creating = "creating", "Starting";
    Asking = "asking", "Asking the server how much it has";
    Sending = "sending", "Sending";
    SentOf = "sent-of", "{sent} of {size} sent";
    ReceivedOf = "received-of", "{received} of {size} received";
    Processing = "processing", "Received in full. The server is storing it";
    AgainIn = "again-in", "Trying again in {time}";
    Offline = "offline", "Waiting for the network. It goes on when it is back";
    Paused = "paused", "Paused";
    MissingPick = "missing-pick", "Found again, not finished. Choose the same file again to go on";
    MissingLeave = "missing-leave", "Found again, not finished. Resume to go on; the browser may ask whether the file may be read";
    Stored = "stored", "Stored";
    Taken = "taken", "Sent; the server took it and does not say what it stored";
    Failed = "failed", "Failed";
    Cancelled = "cancelled", "Cancelled";
    /// A percentage and where a file stands, for a screen reader.
    Spoken = "spoken", "{percent}, {status}";

    HintFound = "hint-found", "Found again: going on from {percent}.";
    HintReplaced = "hint-replaced", "The connection stalled; trying again from what the server has.";
    HintKept = "hint-kept", "The connection was lost; going on from what the server has kept.";
    HintAnew = "hint-anew", "The connection was lost, and the upload began again.";
    HintBuffered = "hint-buffered", "Something on the way is holding the data back; the server has not received it yet.";
    HintStalled = "hint-stalled", "No data has arrived for ten seconds. Still trying.";

    ErrorNetwork = "error-network", "The connection failed; no answer came from the server.";
    ErrorBadAnswer = "error-bad-answer", "The answer was not one of an upload server. Whether it is stored is unknown.";
    ErrorChanged = "error-changed", "This is not the file that the upload was begun with, or it has changed. It was not sent.";
    ErrorUnreadable = "error-unreadable", "The file cannot be read: its disk is away, or it has changed. What was sent of it is kept. Try again when it is there, or choose it again.";
    ErrorFolder = "error-folder", "This is a folder. Please choose the files in it.";
    ErrorEmptyFolder = "error-empty-folder", "This folder is empty.";
    ErrorEntry = "error-entry", "This cannot be read: perhaps you may not, or it is gone.";
    ErrorDuplicate = "error-duplicate", "The same file is in the list already.";
    ErrorType = "error-type", "This kind of file is not accepted.";
    ErrorTooLarge = "error-too-large", "The file is larger than the server allows.";
    ErrorTooMany = "error-too-many", "These are more files than allowed.";
    ErrorQuota = "error-quota", "Your space on the server is used up.";
    ErrorSpace = "error-space", "The server has no space left.";
    ErrorBusy = "error-busy", "The server is busy with other uploads.";
    ErrorSession = "error-session", "Please sign in first; the session may have ended.";
    ErrorForbidden = "error-forbidden", "The server does not allow this.";
    ErrorGone = "error-gone", "The server does not have the upload any more.";
    ErrorNotFound = "error-not-found", "There is no upload at this address.";
    ErrorTime = "error-time", "The server waited too long for the data.";
    ErrorDown = "error-down", "The server is not available at the moment.";
    ErrorDeclined = "error-declined", "This page does not send this file.";
    ErrorOther = "error-other", "The server could not store the file.";

    Source = "source", "Sent by your browser: {sent}. Received by the server: {received}.";
    CountedByNobody = "counted-by-nobody", "Nobody has counted anything yet.";
    CountedByBrowser = "counted-by-browser", "The bar follows your browser's count; the server's is awaited.";
    CountedByServer = "counted-by-server", "The bar follows the server's count.";
    BegunAgain = "begun-again", "one:Begun again once.|Begun again {n} times.";

    /// The whole list in one line, while something is under way.
    Total = "total", "one:{done} of {n} file stored \u{b7} {received} of {size}|{done} of {n} files stored \u{b7} {received} of {size}";
    Added = "added", "one:Uploading {n} file|Uploading {n} files";
    NotAccepted = "not-accepted", "one:{n} file not accepted|{n} files not accepted";
    Reached = "reached", "one:{percent} of {n} file uploaded|{percent} of {n} files uploaded";
    FoundWithoutFile = "found-without-file", "An unfinished upload was found again and needs its file";
    FileFailed = "file-failed", "{name}: {reason}";
    AllStored = "all-stored", "one:{n} file stored|{n} files stored";
    NoneStored = "none-stored", "one:{n} file not stored|{n} files not stored";
    SomeStored = "some-stored", "one:{n} file stored, {failed} not|{n} files stored, {failed} not";
    /// Two sentences that are announced as one.
    Then = "then", "{first}. {second}";

    /// Headline of the list of stored files.
    YourFiles = "your-files", "Your files";
    /// In place of that list when there are none.
    NoFiles = "no-files", "Nothing here yet. Files appear as soon as the server has stored them.";
    Download = "download", "Download";
    Delete = "delete", "Delete";
    NotDeleted = "not-deleted", "The server did not delete it. Please try again.";

    /// The sign between the whole and the tenths.
    Decimal = "decimal", ".";
    Percent = "percent", "{n}%";
    /// Units of size, each a thousand times the one before.
    Units = "units", "B kB MB GB TB PB EB";
    Size = "size", "{n} {unit}";
    /// So much in each second.
    Speed = "speed", "{size}/s";
    TimeLeft = "time-left", "{time} left";
    Seconds = "seconds", "{s} s";
    Minutes = "minutes", "{min} min";
    MinutesSeconds = "minutes-seconds", "{min} min {s} s";
    HoursMinutes = "hours-minutes", "{h} h {min} min";
    DaysHours = "days-hours", "{d} d {h} h";
    Months = "months", "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    Moment = "moment", "{day} {month} {year}, {time}";
    MomentUtc = "moment-utc", "{day} {month} {year}, {time} UTC";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, text: &str) -> Labels {
        Labels::new(&Options { labels: vec![(key.to_owned(), text.to_owned())], ..Options::default() })
    }

    #[test]
    fn every_word_has_its_line() {
        let labels = with("no such word", "");
        assert_eq!(labels.0.words.len(), ALL.len());
        assert_eq!(labels.text(Word::DropHere), "Drop files here, or choose them");
        assert_eq!(labels.text(Word::NotDeleted), "The server did not delete it. Please try again.");
        assert_eq!(labels.template(Word::MomentUtc), "{day} {month} {year}, {time} UTC");
        let keys: Vec<_> = ENGLISH.lines().map(|line| line.split_once('=').expect("a key").0).collect();
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len(), "no key twice");
    }

    #[test]
    fn places_are_filled() {
        let labels = with("spoken", "{status} ({percent}) {unknown}{");
        let said = labels.fill(Word::Spoken, &[("percent", "5%"), ("status", "{percent}")]);
        assert_eq!(said, "{percent} (5%) {", "what was filled in is not looked at again");
    }

    #[test]
    fn forms_are_chosen_by_number() {
        let labels = with("not-accepted", "zero:none|one:a: {n}|b: {n}");
        for (n, said) in [(0, "b: 0"), (1, "a: 1"), (2, "b: 2")] {
            assert_eq!(labels.count(Word::NotAccepted, n, &[]), said);
        }
        assert_eq!(form("few:a|many:b|c", "many"), "b");
        assert_eq!(with("added", "always {n}").count(Word::Added, 1, &[]), "always 1");
    }
}
