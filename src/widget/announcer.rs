//! What a screen reader is told, and when: the start, a quarter, a half, three quarters, failures and the end. Plain
//! values in, a sentence or nothing out; time is an argument. Must never know markup. One sentence at a time, and
//! seldom: a region that speaks for every file or every percent makes a page unusable.

use crate::engine::{command::Notice, event::FileId, view::TotalView};

use super::{
    labels::{Labels, Word},
    text,
};

/// Milliseconds between two announcements, but for the start and the end.
const PAUSE_MS: u64 = 2000;

/// Decides what is announced.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    said_ms: u64,
    quarter: u8,
    /// The file that was last refused or failed since there last was nothing to do.
    fallen: Option<FileId>,
    /// Whether that has not been told yet.
    owes: bool,
    /// The last of the refused ones that are known of: files are numbered as they come.
    refused: Option<FileId>,
}

impl Announcer {
    /// What to say after these notices, with the list as it stands now. `refused` gives the last file of the list that was
    /// refused, and `failure` the name of a file and why it was refused or failed; nothing when it did not, or does no more.
    pub(crate) fn say(
        &mut self,
        now_ms: u64,
        notices: &[Notice],
        total: &TotalView,
        labels: &Labels,
        refused: impl Fn() -> Option<FileId>,
        failure: impl Fn(FileId) -> Option<(String, String)>,
    ) -> Option<String> {
        let text = self
            .news(now_ms, notices, total, labels, refused, failure)
            .or_else(|| self.milestone(now_ms, total, labels))?;
        self.said_ms = now_ms;
        Some(text)
    }

    /// Whether something is to be told yet, as soon as it is time.
    pub(crate) fn owes(&self) -> bool {
        self.owes
    }

    fn news(
        &mut self,
        now_ms: u64,
        notices: &[Notice],
        total: &TotalView,
        labels: &Labels,
        refused: impl Fn() -> Option<FileId>,
        failure: impl Fn(FileId) -> Option<(String, String)>,
    ) -> Option<String> {
        let mut said: Vec<String> = Vec::new();
        let (mut failed, mut sums_up) = (false, false);
        for notice in notices {
            match notice {
                Notice::Added { accepted, rejected } => {
                    self.quarter = total.percent / 25;
                    sums_up |= *rejected > 0;
                    said.push(text::added(labels, *accepted, *rejected));
                }
                // Of a burst the first is told at once, and the last after the pause; a sum comes at the end.
                Notice::Failed(id) => {
                    failed = true;
                    self.fallen = Some(*id);
                    self.owes = true;
                }
                // The same as is shown. Where nothing was accepted, that has been said already.
                Notice::AllEnded { .. } if total.files > 0 => {
                    self.quarter = 0;
                    sums_up |= total.failed > 0;
                    said.push(text::ended(labels, total.done, total.failed, total.taken > 0));
                }
                Notice::Missing(_) => {
                    let sentence = labels.text(Word::FoundWithoutFile);
                    if !said.contains(&sentence) {
                        said.push(sentence);
                    }
                }
                Notice::Removed => said.push(labels.text(Word::Removed)),
                Notice::AllEnded { .. } | Notice::Done(_) => {}
            }
        }
        // What is refused has no notice of its own; and what was refused before is no news.
        if sums_up {
            let last = refused();
            if last > self.refused {
                self.refused = last;
                self.fallen = if failed { self.fallen } else { last };
            }
        }
        if let Some(id) = self.fallen.filter(|_| sums_up || self.owes && self.is_time(now_ms)) {
            self.owes = false;
            if let Some((name, reason)) = failure(id) {
                said.push(text::failed(labels, &name, &reason));
            }
        }
        if !total.is_busy() && !self.owes {
            self.fallen = None;
        }
        said.retain(|sentence| !sentence.is_empty());
        said.into_iter().reduce(|first, second| text::then(labels, &first, &second))
    }

    fn milestone(&mut self, now_ms: u64, total: &TotalView, labels: &Labels) -> Option<String> {
        let quarter = total.percent / 25;
        if total.active == 0 || quarter <= self.quarter || quarter > 3 || !self.is_time(now_ms) {
            return None;
        }
        self.quarter = quarter;
        Some(text::reached(labels, quarter * 25, total))
    }

    fn is_time(&self, now_ms: u64) -> bool {
        now_ms >= self.said_ms + PAUSE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Options;

    /// A list, and what is heard of it.
    #[derive(Default)]
    struct Heard {
        announcer: Announcer,
        total: TotalView,
        /// What is listed as refused and as failed, by number.
        refused: Vec<u32>,
        failed: Vec<u32>,
    }

    impl Heard {
        /// With so many files that are sent, and so many stored.
        fn list(&mut self, active: u32, done: u32) {
            let failed = (self.refused.len() + self.failed.len()) as u32;
            let files = active + done + self.failed.len() as u32;
            self.total = TotalView { files, active, done, failed, ..TotalView::default() };
        }

        fn say(&mut self, now_ms: u64, notices: &[Notice]) -> String {
            let Self { announcer, total, refused, failed } = self;
            let last = || refused.last().map(|id| FileId(*id));
            let failure = |FileId(id)| {
                (refused.contains(&id) || failed.contains(&id))
                    .then(|| (format!("{id}.txt"), "Too large.".to_owned()))
            };
            let labels = Labels::new(&Options::default());
            announcer.say(now_ms, notices, total, &labels, last, failure).unwrap_or_default()
        }
    }

    fn added(accepted: u32, rejected: u32) -> Notice {
        Notice::Added { accepted, rejected }
    }

    fn failed(id: u32) -> Notice {
        Notice::Failed(FileId(id))
    }

    /// Its own counts are for pages; a person hears what is seen.
    const ENDED: Notice = Notice::AllEnded { done: 7, failed: 7 };

    #[test]
    fn a_whole_upload() {
        let mut heard = Heard::default();
        let mut say = |now, notices: &[Notice], percent, active, done| {
            heard.list(active, done);
            heard.total.percent = percent;
            heard.say(now, notices)
        };
        assert_eq!(say(5000, &[added(3, 0)], 0, 3, 0), "Uploading 3 files");
        assert_eq!(say(5100, &[], 26, 3, 0), "", "too soon");
        assert_eq!(say(7000, &[], 27, 3, 0), "25% of 3 files uploaded");
        assert_eq!(say(9500, &[], 28, 3, 0), "", "said already");
        assert_eq!(say(12_000, &[], 80, 3, 0), "75% of 3 files uploaded", "the half was passed over");
        assert_eq!(say(15_000, &[Notice::Done(FileId(1))], 81, 2, 1), "");
        assert_eq!(say(15_100, &[ENDED], 100, 0, 3), "3 files stored");
    }

    #[test]
    fn a_burst_of_failures_is_one_sentence_and_a_sum() {
        let mut heard = Heard { failed: vec![1, 2, 3], ..Heard::default() };
        heard.list(1, 0);
        assert_eq!(heard.say(5000, &[failed(1)]), "1.txt: Too large.");
        assert_eq!(heard.say(5001, &[failed(3)]), "");
        heard.list(0, 0);
        assert_eq!(heard.say(5002, &[failed(2), ENDED]), "3 files not stored. 2.txt: Too large.");
        assert!(!heard.announcer.owes(), "said with the sum");
    }

    /// One that came within two seconds of the start was never heard of before the end.
    #[test]
    fn a_failure_that_comes_too_soon_is_told_after_the_pause() {
        let mut heard = Heard::default();
        heard.list(3, 0);
        heard.say(5000, &[added(3, 0)]);
        heard.failed = vec![1, 2];
        heard.list(1, 0);
        assert_eq!(heard.say(5500, &[failed(1)]), "");
        assert_eq!(heard.say(5600, &[failed(2)]), "");
        assert!(heard.announcer.owes(), "something has to call again");
        assert_eq!(heard.say(6900, &[]), "");
        assert_eq!(heard.say(7000, &[]), "2.txt: Too large.", "the last of them");
        assert!(!heard.announcer.owes());
        assert_eq!(heard.say(9900, &[]), "", "once");
        // What was tried again meanwhile has not failed.
        assert_eq!(heard.say(10_000, &[failed(1)]), "1.txt: Too large.");
        heard.say(10_100, &[failed(2)]);
        heard.failed = vec![1];
        assert_eq!(heard.say(13_000, &[]), "");
        assert!(!heard.announcer.owes());
    }

    /// The last one in the list was named, whichever it was that failed.
    #[test]
    fn what_is_named_is_what_has_failed() {
        let mut heard = Heard { refused: vec![9], ..Heard::default() };
        heard.list(2, 0);
        assert_eq!(
            heard.say(5000, &[added(2, 1)]),
            "Uploading 2 files. 1 file not accepted. 9.txt: Too large."
        );
        heard.failed = vec![3];
        heard.list(1, 0);
        assert_eq!(heard.say(20_000, &[failed(3)]), "3.txt: Too large.");
        heard.list(0, 1);
        assert_eq!(
            heard.say(30_000, &[ENDED]),
            "1 file stored, 2 not. 3.txt: Too large.",
            "the last in this round"
        );
    }

    /// Each end told of it again.
    #[test]
    fn an_old_refusal_is_no_news() {
        let mut heard = Heard { refused: vec![1], ..Heard::default() };
        heard.list(0, 0);
        assert_eq!(heard.say(5000, &[added(0, 1), ENDED]), "1 file not accepted. 1.txt: Too large.");
        heard.list(1, 0);
        assert_eq!(heard.say(10_000, &[added(1, 0)]), "Uploading 1 file");
        heard.list(0, 1);
        assert_eq!(heard.say(20_000, &[ENDED]), "1 file stored, 1 not", "as it is shown");
        // What the page declines after it was accepted has no notice.
        heard.list(1, 1);
        heard.say(30_000, &[added(1, 0)]);
        heard.refused = vec![1, 2];
        heard.list(0, 1);
        assert_eq!(heard.say(40_000, &[ENDED]), "1 file stored, 2 not. 2.txt: Too large.");
        heard.refused = vec![1];
        heard.list(0, 2);
        assert_eq!(heard.say(50_000, &[ENDED]), "2 files stored, 1 not", "the newer one was taken off");
    }

    /// It was told as one that could not be stored.
    #[test]
    fn what_a_person_has_cancelled_has_not_failed() {
        let mut heard = Heard::default();
        heard.list(0, 1);
        assert_eq!(heard.say(5000, &[ENDED]), "1 file stored");
        heard.list(0, 0);
        heard.total = TotalView { files: 1, held: 1, ..TotalView::default() };
        assert_eq!(heard.say(8000, &[ENDED]), "", "one of two that are held");
    }

    #[test]
    fn uploads_found_without_their_files_are_one_sentence() {
        let notices = [Notice::Missing(FileId(1)), Notice::Missing(FileId(2))];
        let said = Heard::default().say(5000, &notices);
        assert_eq!(said, "An unfinished upload was found again and needs its file");
    }
}
