//! The words of one widget: a table of templates with named places (`{name}`), in English unless another language is
//! at hand. Must never know when something is said (that is `text`) nor where the words of a language come from.
//!
//! A template whose wording depends on the number `{n}` has several forms, set apart by `|`. Each but the last begins
//! with the plural category (`zero:`, `one:`, `two:`, `few:` or `many:`) that it is for; the last is for all others.

use std::{borrow::Cow, sync::Arc};

use leptos::prelude::*;

use crate::wire::Options;

use super::runtime::{self, Intl};

/// A text that a view shows and keeps up to date. All such texts share one type: the bundle carries the machinery for
/// each type once.
pub(crate) type Said = Box<dyn Fn() -> String + Send + Sync>;

/// A language's own texts: keys and templates.
pub(crate) type Texts = Vec<(String, String)>;

/// The words of one widget. Clones are the same words.
#[derive(Clone)]
pub(crate) struct Labels(Arc<Set>);

struct Set {
    /// The language of the words: a language tag (BCP 47).
    lang: String,
    /// The templates, in the order of [`Word`].
    words: Vec<Cow<'static, str>>,
    /// How numbers are written there; `None` until the page has settled, and on the server: what one side renders the
    /// other must find.
    intl: Option<Intl>,
}

impl Labels {
    /// The words that these options ask for, as far as they are at hand: on the server all languages are, in the
    /// browser those that the server wrote into the page.
    pub(crate) fn new(options: &Options) -> Self {
        let lang = tag(&options.lang, !options.labels.is_empty());
        let texts = if base(&lang) == "en" { None } else { runtime::texts(base(&lang)) };
        Self::with(&lang, texts, options, false)
    }

    /// Words of this language, as [`tag`] has it: these texts and those of the options in place of English ones.
    pub(crate) fn with(lang: &str, texts: Option<Texts>, options: &Options, settled: bool) -> Self {
        let (keys, mut words): (Vec<&str>, Vec<Cow<'static, str>>) = ENGLISH
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, text)| (key, Cow::Borrowed(text)))
            .unzip();
        let spoken = texts.is_some() || base(lang) == "en" || !options.labels.is_empty();
        for (key, text) in texts.iter().flatten().chain(&options.labels) {
            if let Some(place) = keys.iter().position(|known| known == key) {
                words[place] = Cow::Owned(text.clone());
            }
        }
        let lang = if spoken && !lang.is_empty() { lang } else { "en" };
        let intl = if settled { Intl::new(lang) } else { None };
        Self(Arc::new(Set { lang: lang.to_owned(), words, intl }))
    }

    /// The words of these options for one widget; and what the server writes into the page, so that the browser finds
    /// the same words at once.
    pub(crate) fn shared(options: &Options) -> (ArcRwSignal<Self>, Option<String>) {
        let labels = Self::new(options);
        let written = runtime::write_texts(base(labels.lang()));
        (ArcRwSignal::new(labels), written)
    }

    /// The same words, with numbers and dates as the browser writes them; in this variant of their language if it is
    /// one.
    pub(crate) fn settle(&self, lang: &str) -> Self {
        let Set { lang: own, words, intl: _ } = &*self.0;
        let lang = if lang.is_empty() || base(lang) != base(own) { own } else { lang };
        Self(Arc::new(Set { lang: lang.to_owned(), words: words.clone(), intl: Intl::new(lang) }))
    }

    /// Whether numbers are written by the browser already.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.intl.is_some()
    }

    /// The language of the words, for the attribute `lang`.
    pub(crate) fn lang(&self) -> &str {
        &self.0.lang
    }

    /// The direction of the words, for the attribute `dir`.
    pub(crate) fn dir(&self) -> &'static str {
        if is_rtl(&self.0.lang) { "rtl" } else { "ltr" }
    }

    /// A text without places.
    pub(crate) fn text(&self, word: Word) -> String {
        self.fill(word, &[])
    }

    /// A text with these values in its places.
    pub(crate) fn fill(&self, word: Word, values: &[(&str, &str)]) -> String {
        self.fill_in(self.template(word), values)
    }

    /// A text that depends on a number, which stands in its place `{n}`, with these values in its other places.
    pub(crate) fn count(&self, word: Word, n: u32, values: &[(&str, &str)]) -> String {
        let number = self.number(u64::from(n));
        let values: Vec<_> = values.iter().copied().chain([("n", number.as_str())]).collect();
        let category = match &self.0.intl {
            Some(intl) => intl.category(n),
            None => runtime::category(&self.0.lang, n).to_owned(),
        };
        self.fill_in(form(self.template(word), &category), &values)
    }

    /// A whole number.
    pub(crate) fn number(&self, n: u64) -> String {
        self.0.intl.as_ref().and_then(|intl| intl.number(n)).unwrap_or_else(|| n.to_string())
    }

    /// A number with one decimal, told in tenths.
    pub(crate) fn tenths(&self, n: u64) -> String {
        self.0.intl.as_ref().and_then(|intl| intl.tenths(n)).unwrap_or_else(|| {
            [(n / 10).to_string(), self.text(Word::Decimal), (n % 10).to_string()].concat()
        })
    }

    /// A percentage.
    pub(crate) fn percent(&self, n: u8) -> String {
        let own = self.0.intl.as_ref().and_then(|intl| intl.percent(n));
        own.unwrap_or_else(|| self.fill(Word::Percent, &[("n", &n.to_string())]))
    }

    /// A moment on the reader's own clock, where the browser has words for it.
    pub(crate) fn moment(&self, ms: u64) -> Option<String> {
        self.0.intl.as_ref()?.moment(ms)
    }

    fn template(&self, word: Word) -> &str {
        self.0.words.get(word as usize).map_or("", |text| text)
    }

    /// Values that may run the other way than the text around them are set apart from it (Unicode's isolates): "600
    /// MB" never becomes "MB 600", and a name changes no order but its own.
    fn fill_in(&self, template: &str, values: &[(&str, &str)]) -> String {
        let turned = is_rtl(&self.0.lang);
        let (mut text, mut rest) = (String::new(), template);
        while let Some((before, (name, behind))) =
            rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            text.push_str(before);
            if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
                if turned || value.chars().any(runs_leftwards) {
                    text.push('\u{2068}');
                    text.push_str(value);
                    text.push('\u{2069}');
                } else {
                    text.push_str(value);
                }
            }
            rest = behind;
        }
        text.push_str(rest);
        text
    }
}

/// A text that stays what it is until the words change.
pub(crate) fn says(labels: &ArcRwSignal<Labels>, word: Word) -> Said {
    let labels = labels.clone();
    Box::new(move || labels.with(|labels| labels.text(word)))
}

/// Whether a text has this key.
pub(super) fn is_key(key: &str) -> bool {
    ENGLISH.lines().any(|line| line.split_once('=').is_some_and(|(known, _)| known == key))
}

/// The languages that there are texts of besides English.
pub(crate) const LANGUAGES: [&str; 6] = ["ar", "de", "es", "fr", "ja", "zh"];

/// The language itself, without script and region; English where none is named.
pub(crate) fn base(lang: &str) -> &str {
    match lang.split('-').next() {
        Some("") | None => "en",
        Some(base) => base,
    }
}

/// What words in this language are marked as. Tags know no capitals: a language that we have words of, which all have two
/// letters, is written in small ones. And our Chinese is written in simplified characters: marked as that of Taiwan it would
/// be drawn, and read out, as what it is not. A page with words of its `own` knows how they are written.
pub(crate) fn tag(lang: &str, own: bool) -> String {
    let begins = |tag: &str| lang.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    if !own && ["zh-hant", "zh-tw", "zh-hk", "zh-mo"].into_iter().any(begins) {
        return "zh-Hans".to_owned();
    }
    let mut lang = lang.to_owned();
    if let Some(language) = lang.get_mut(..2) {
        language.make_ascii_lowercase();
    }
    lang
}

/// Whether it is written from right to left.
pub(crate) fn is_rtl(lang: &str) -> bool {
    matches!(base(lang), "ar" | "ckb" | "dv" | "fa" | "he" | "ps" | "sd" | "ug" | "ur" | "yi")
}

/// Letters of the scripts that are written from right to left, and the signs that change the direction of others.
fn runs_leftwards(letter: char) -> bool {
    matches!(letter,
        '\u{590}'..='\u{8ff}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
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
    /// The button that puts what needs the person first.
    SortByState = "sort-by-state", "Sort by state";
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
    /// Brings back what was last taken off the list.
    Undo = "undo", "Undo";
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

    /// Of a picture that was made smaller before it is sent.
    Shrunk = "shrunk", "{size}, made smaller from {original}";
    Rejected = "rejected", "Not uploaded";
    Queued = "queued", "Waiting for its turn";
    Creating = "creating", "Starting";
    /// Pictures, before there is a row of any.
    Shrinking = "shrinking", "Making pictures smaller";
    Asking = "asking", "Asking the server how much it has";
    Sending = "sending", "Sending";
    SentOf = "sent-of", "{sent} of {size} sent";
    ReceivedOf = "received-of", "{received} of {size} received";
    Processing = "processing", "Received in full. The server is storing it";
    Checking = "checking", "The server has stored it. Comparing that with the file";
    AgainIn = "again-in", "Trying again in {time}";
    Offline = "offline", "Offline. Goes on when the network is back";
    Paused = "paused", "Paused";
    MissingPick = "missing-pick", "Found again, not finished. Choose the same file again to go on";
    MissingLeave = "missing-leave", "Found again, not finished. Resume to go on; the browser may ask whether the file may be read";
    Stored = "stored", "Stored";
    /// The digests of what the server stored and of the file were compared.
    Checked = "checked", "Stored, and checked: the server has exactly this file";
    Taken = "taken", "Sent; the server took it and does not say what it stored";
    Failed = "failed", "Failed";
    Cancelled = "cancelled", "Cancelled";
    /// A percentage and where a file stands, for a screen reader.
    Spoken = "spoken", "{percent}, {status}";

    HintFound = "hint-found", "Found again: going on from {percent}.";
    HintReplaced = "hint-replaced", "The connection stalled; trying again from what the server has.";
    HintKept = "hint-kept", "The connection was lost; going on from what the server has kept.";
    HintAnew = "hint-anew", "The connection was lost, and the upload began again.";
    HintBuffered = "hint-buffered", "Sent {sent}; the server has {received} of {size}. Something on the way is holding the rest back.";
    HintStalled = "hint-stalled", "No data has arrived for {time}. Still trying.";

    ErrorNetwork = "error-network", "The connection failed; no answer came from the server.";
    ErrorBadAnswer = "error-bad-answer", "The answer did not come from an upload server. It is not known whether the file is stored.";
    ErrorChanged = "error-changed", "This is not the file that the upload was begun with, or it has changed. Nothing more was sent.";
    ErrorUnreadable = "error-unreadable", "The file cannot be read: its disk is not connected, you may not have permission, or it has changed. Try again when it can be read, or choose it again.";
    ErrorFolder = "error-folder", "The part of this page that opens folders could not be loaded. It will be tried again.";
    ErrorEmptyFolder = "error-empty-folder", "This folder is empty.";
    ErrorEntry = "error-entry", "This cannot be read: you may not have permission, or it is no longer there.";
    ErrorField = "error-field", "The field \u{201c}{field}\u{201d} cannot be sent: its name may have only plain Latin letters, digits and signs, and no spaces or commas.";
    ErrorDuplicate = "error-duplicate", "The same file is in the list already.";
    ErrorType = "error-type", "This kind of file is not accepted.";
    ErrorTypes = "error-types", "This kind of file is not accepted. Accepted: {types}.";
    /// Kinds of files that are accepted, in a list.
    Images = "images", "images";
    Videos = "videos", "videos";
    Sounds = "sounds", "audio";
    Texts = "texts", "text";
    /// Between the parts of a list.
    Comma = "comma", ", ";
    ErrorTooLarge = "error-too-large", "The file is larger than allowed.";
    ErrorLimit = "error-limit", "The file is larger than {size}, the most that is allowed.";
    ErrorTotal = "error-total", "All files together may be at most {size}.";
    ErrorNumber = "error-number", "one:Only {n} file can be uploaded here at one time.|Only {n} files can be uploaded here at one time.";
    ErrorTooMany = "error-too-many", "These are more files than allowed.";
    ErrorQuota = "error-quota", "You do not have enough space left on the server.";
    /// Of a file that was refused here.
    ErrorOwnSpace = "error-own-space", "The file is larger than all the space you have ({size}).";
    ErrorSpace = "error-space", "The server has no space left.";
    ErrorBusy = "error-busy", "The server is busy with other uploads.";
    ErrorSession = "error-session", "Not signed in, or the session has ended. Please sign in and try again.";
    ErrorForbidden = "error-forbidden", "The server does not allow this.";
    ErrorGone = "error-gone", "The server does not have the upload any more.";
    ErrorNotFound = "error-not-found", "There is no upload at this address.";
    ErrorDigest = "error-digest", "What arrived at the server is not what the file holds: their checksums differ. Please try again.";
    ErrorTime = "error-time", "The server waited too long for the data.";
    ErrorDown = "error-down", "The server is not available at the moment.";
    ErrorOutdated = "error-outdated", "This page is out of date. Reload it, then choose the files again.";
    ErrorDeclined = "error-declined", "This page does not send this file.";
    ErrorOther = "error-other", "The server could not store the file.";
    /// Our own sentence, where the server's is in another language.
    ErrorBecause = "error-because", "{sentence} ({reason})";

    Source = "source", "Sent by your browser: {sent}. Received by the server: {received}.";
    /// The same, where a server took it and told no size.
    SourceSent = "source-sent", "Sent by your browser: {sent}.";
    CountedByNobody = "counted-by-nobody", "Nobody has counted anything yet.";
    CountedByBrowser = "counted-by-browser", "The bar follows your browser's count; the server's is awaited.";
    CountedByServer = "counted-by-server", "The bar follows the server's count.";
    BegunAgain = "begun-again", "one:Begun again once.|Begun again {n} times.";

    /// The whole list in one line, while something is under way.
    Total = "total", "one:{done} of {n} file stored \u{b7} {received} of {size}|{done} of {n} files stored \u{b7} {received} of {size}";
    /// The same, where a server takes files and does not say what it stored.
    TotalSent = "total-sent", "one:{done} of {n} file sent \u{b7} {received} of {size}|{done} of {n} files sent \u{b7} {received} of {size}";
    Added = "added", "one:Uploading {n} file|Uploading {n} files";
    NotAccepted = "not-accepted", "one:{n} file not accepted|{n} files not accepted";
    Reached = "reached", "one:{percent} of {n} file uploaded|{percent} of {n} files uploaded";
    FoundWithoutFile = "found-without-file", "An unfinished upload was found again and needs its file";
    /// Announced, and shown where nothing else is left, after rows were taken off the list.
    Removed = "removed", "Removed. This can be undone";
    FileFailed = "file-failed", "{name}: {reason}";
    AllStored = "all-stored", "one:{n} file stored|{n} files stored";
    NoneStored = "none-stored", "one:{n} file not stored|{n} files not stored";
    SomeStored = "some-stored", "one:{n} file stored, {failed} not|{n} files stored, {failed} not";
    AllSent = "all-sent", "one:{n} file sent|{n} files sent";
    SomeSent = "some-sent", "one:{n} file sent, {failed} failed|{n} files sent, {failed} failed";
    /// Two sentences that are announced as one.
    Then = "then", "{first}. {second}";

    /// Why a form around the widget cannot be sent.
    FormRequires = "form-requires", "Choose a file.";
    FormBusy = "form-busy", "Some files are not stored yet. Wait for them, or remove them.";

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
    use std::collections::{BTreeMap, BTreeSet};

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
    fn what_runs_the_other_way_is_set_apart() {
        let arabic = Labels::new(&Options { lang: "ar-EG".to_owned(), ..Options::default() });
        assert_eq!((arabic.lang(), arabic.dir()), ("ar-EG", "rtl"));
        let said = arabic.fill(Word::MaxSize, &[("size", "600 MB")]);
        assert!(said.contains("\u{2068}600 MB\u{2069}"), "{said}");
        let english = Labels::new(&Options::default());
        assert_eq!((english.lang(), english.dir()), ("en", "ltr"));
        let named = |name| english.fill(Word::ActionFor, &[("action", "Cancel"), ("name", name)]);
        assert_eq!(named("a.txt"), "Cancel a.txt");
        assert_eq!(named("\u{202e}txt.a"), "Cancel \u{2068}\u{202e}txt.a\u{2069}");
    }

    fn english() -> BTreeMap<&'static str, &'static str> {
        ENGLISH.lines().map(|line| line.split_once('=').expect("a key")).collect()
    }

    /// The forms of a template by their categories; the last is `other`.
    fn forms(template: &str) -> BTreeMap<&str, &str> {
        let mut forms: Vec<_> = template.split('|').collect();
        let last = forms.pop().expect("a form");
        let categories = forms.into_iter().map(|form| form.split_once(':').expect("a category"));
        categories.chain([("other", last)]).collect()
    }

    fn places(form: &str) -> BTreeSet<&str> {
        form.split('{').skip(1).map(|after| after.split_once('}').expect("the end of a place").0).collect()
    }

    #[test]
    fn the_english_table_is_published() {
        let json = include_str!("../../public/labels/en.json");
        let published: BTreeMap<&str, String> = serde_json::from_str(json).expect("JSON");
        let keys: Vec<_> = json.lines().filter_map(|line| line.split('"').nth(1)).collect();
        let own: Vec<_> = ENGLISH.lines().filter_map(|line| line.split('=').next()).collect();
        assert_eq!(keys, own, "in the order of the table");
        for (key, text) in english() {
            assert_eq!(published[key], text, "{key}");
        }
    }

    #[test]
    fn every_language_says_everything() {
        for lang in LANGUAGES {
            let texts: BTreeMap<_, _> = runtime::texts(lang).expect(lang).into_iter().collect();
            let keys: Vec<_> = texts.keys().map(String::as_str).collect();
            assert_eq!(keys, english().into_keys().collect::<Vec<_>>(), "{lang}");
            let needed: BTreeSet<_> =
                (0..=110).chain([1_000_000]).map(|n| runtime::category(lang, n)).collect();
            for (key, english) in english() {
                let text = &texts[key];
                let counts = forms(english).len() > 1;
                let forms = if counts { forms(text) } else { [("other", text.as_str())].into() };
                let categories: BTreeSet<_> = forms.keys().copied().collect();
                assert_eq!(
                    categories,
                    if counts { needed.clone() } else { ["other"].into() },
                    "{lang} {key}"
                );
                let wanted = places(english.rsplit('|').next().expect("a form"));
                for (category, form) in forms {
                    let mut found = places(form);
                    // "Two files" may be one word.
                    if ["zero", "one", "two"].contains(&category) && wanted.contains("n") {
                        found.insert("n");
                    }
                    assert!(found.is_subset(&wanted), "{lang} {key}: {form}");
                    // Of none there is nothing to tell.
                    assert!(category == "zero" || found == wanted, "{lang} {key}: {form}");
                    assert!(!form.trim().is_empty() && !form.contains("  "), "{lang} {key}: {form}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_left_in_english() {
        // Signs and units that other languages write the same.
        const SAME: &[&str] = &[
            "spoken",
            "error-because",
            "file-failed",
            "then",
            "comma",
            "decimal",
            "percent",
            "units",
            "size",
            "speed",
        ];
        let words = |text: &str| -> BTreeSet<String> {
            let outside = text.split('{').map(|part| part.rsplit('}').next().unwrap_or(part));
            let letters = |word: &str| word.len() > 3 && word.is_ascii();
            let words = outside.flat_map(|part| part.split(|letter: char| !letter.is_alphanumeric()));
            words.filter(|word| letters(word)).map(str::to_lowercase).collect()
        };
        for lang in LANGUAGES {
            for (key, text) in runtime::texts(lang).expect(lang) {
                let english = english()[key.as_str()];
                let alike =
                    matches!((lang, key.as_str()), ("de", "details" | "minutes-seconds") | ("fr", "images"));
                let measures = ["second", "minute", "hour", "day", "moment", "month"];
                if SAME.contains(&key.as_str()) || alike || measures.iter().any(|m| key.starts_with(m)) {
                    continue;
                }
                assert_ne!(text, english, "{lang} {key}");
                let left: Vec<_> = words(&text).intersection(&words(english)).cloned().collect();
                // German, French or Spanish as well.
                let shared = [
                    "audio", "browser", "moment", "offline", "page", "rest", "server", "session", "upload",
                    "uploads", "videos",
                ];
                let left: Vec<_> = left.into_iter().filter(|word| !shared.contains(&word.as_str())).collect();
                assert!(left.is_empty(), "{lang} {key}: {left:?} in {text}");
            }
        }
    }

    #[test]
    fn plurals_of_the_languages() {
        for (lang, categories) in [
            ("en", "other one other other other other other other"),
            ("de-CH", "other one other other other other other other"),
            ("fr", "one one other other other other other many"),
            ("es", "other one other other other other other many"),
            ("ar", "zero one two few many other few other"),
            ("ja", "other other other other other other other other"),
        ] {
            let told = [0, 1, 2, 3, 11, 100, 103, 1_000_000].map(|n| runtime::category(lang, n));
            assert_eq!(told.join(" "), categories, "{lang}");
        }
        let arabic = Labels::new(&Options { lang: "ar".to_owned(), ..Options::default() });
        assert_eq!(arabic.count(Word::AllStored, 2, &[]), "حُفظ ملفان");
        assert_eq!(arabic.count(Word::AllStored, 3, &[]), "حُفظت \u{2068}3\u{2069} ملفات");
        let french = Labels::new(&Options { lang: "fr-CA".to_owned(), ..Options::default() });
        assert_eq!(french.count(Word::AllStored, 0, &[]), "0 fichier enregistré");
    }

    #[test]
    fn a_page_may_bring_a_language_of_its_own() {
        let options = |lang: &str, labels: &[(&str, &str)]| Options {
            lang: lang.to_owned(),
            labels: labels.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
            ..Options::default()
        };
        let czech = Labels::new(&options("cs", &[("cancel", "Zrušit")]));
        assert_eq!((czech.lang(), czech.text(Word::Cancel).as_str()), ("cs", "Zrušit"));
        assert_eq!(Labels::new(&options("cs", &[])).lang(), "en", "what is said is English");
        let german = Labels::new(&options("de", &[("cancel", "Weg damit")]));
        assert_eq!(german.text(Word::Cancel), "Weg damit");
        assert_eq!(german.text(Word::Remove), "Entfernen");
    }

    /// `lang="DE"` was English, and simplified characters were marked as Chinese of Taiwan, and drawn as that.
    #[test]
    fn words_are_marked_as_what_they_are() {
        let words = |lang: &str, own: &[(String, String)]| {
            Labels::new(&Options { lang: lang.to_owned(), labels: own.to_vec(), ..Options::default() })
        };
        for (asked, marked) in [
            ("DE", "de"),
            ("De-CH", "de-CH"),
            ("EN-GB", "en-GB"),
            ("", "en"),
            ("é", "en"),
            ("zh-TW", "zh-Hans"),
            ("ZH-hk", "zh-Hans"),
            ("zh-MO", "zh-Hans"),
            ("zh-Hant", "zh-Hans"),
            ("zh-Hant-TW", "zh-Hans"),
            ("zh", "zh"),
            ("zh-CN", "zh-CN"),
            ("zh-Hans-HK", "zh-Hans-HK"),
            ("de-TW", "de-TW"),
        ] {
            assert_eq!(words(asked, &[]).lang(), marked, "{asked}");
        }
        assert_eq!(words("DE", &[]).text(Word::Cancel), "Abbrechen");
        let own = words("zh-TW", &[("cancel".to_owned(), "取消上傳".to_owned())]);
        assert_eq!(own.lang(), "zh-TW");
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
