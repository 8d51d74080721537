//! What a screen reader is told, and when: the start, a quarter, a half, three quarters, failures and the end. Plain
//! values in, a sentence or nothing out; time is an argument. Must never know markup. One sentence at a time, and
//! seldom: a region that speaks for every file or every percent makes a page unusable.

use crate::engine::{command::Notice, view::TotalView};

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
}

impl Announcer {
    /// What to say after these notices, with the list as it stands now. `failure` gives the name of the last file
    /// in the list that was refused or failed, and why.
    pub(crate) fn say(
        &mut self,
        now_ms: u64,
        notices: &[Notice],
        total: &TotalView,
        labels: &Labels,
        failure: impl Fn() -> Option<(String, String)>,
    ) -> Option<String> {
        let text = self
            .news(now_ms, notices, total, labels, failure)
            .or_else(|| self.milestone(now_ms, total, labels))?;
        self.said_ms = now_ms;
        Some(text)
    }

    fn news(
        &mut self,
        now_ms: u64,
        notices: &[Notice],
        total: &TotalView,
        labels: &Labels,
        failure: impl Fn() -> Option<(String, String)>,
    ) -> Option<String> {
        let mut said: Vec<String> = Vec::new();
        let mut why = false;
        for notice in notices {
            match notice {
                Notice::Added { accepted, rejected } => {
                    self.quarter = total.percent / 25;
                    why |= *rejected > 0;
                    said.push(text::added(labels, *accepted, *rejected));
                }
                // A burst of failures is summed up at the end; the first of it is told at once.
                Notice::Failed(_) => why |= self.is_time(now_ms),
                // Where nothing was accepted, that has been said already.
                Notice::AllEnded { done, failed } if total.files > 0 => {
                    self.quarter = 0;
                    why |= *failed > 0;
                    said.push(text::ended(labels, *done, *failed, total.taken > 0));
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
        if why && let Some((name, reason)) = failure() {
            said.push(text::failed(labels, &name, &reason));
        }
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
    use crate::{engine::event::FileId, wire::Options};

    fn total(percent: u8, active: u32) -> TotalView {
        TotalView { files: 3, active, percent, ..TotalView::default() }
    }

    fn english() -> Labels {
        Labels::new(&Options::default())
    }

    fn failing() -> Option<(String, String)> {
        Some(("a.txt".to_owned(), "Too large.".to_owned()))
    }

    #[test]
    fn a_whole_upload() {
        let mut announcer = Announcer::default();
        let mut say = |now, notices: &[Notice], percent, active| {
            announcer.say(now, notices, &total(percent, active), &english(), failing).unwrap_or_default()
        };
        let added = Notice::Added { accepted: 3, rejected: 0 };
        assert_eq!(say(5000, &[added], 0, 3), "Uploading 3 files");
        assert_eq!(say(5100, &[], 26, 3), "", "too soon");
        assert_eq!(say(7000, &[], 27, 3), "25% of 3 files uploaded");
        assert_eq!(say(9500, &[], 28, 3), "", "said already");
        assert_eq!(say(12_000, &[], 80, 3), "75% of 3 files uploaded", "the half was passed over");
        assert_eq!(say(15_000, &[Notice::Done(FileId(1))], 81, 2), "");
        assert_eq!(say(15_100, &[Notice::AllEnded { done: 3, failed: 0 }], 100, 0), "3 files stored");
    }

    #[test]
    fn a_burst_of_failures_is_one_sentence_and_a_sum() {
        let mut announcer = Announcer::default();
        let failed = [Notice::Failed(FileId(1))];
        let said = announcer.say(5000, &failed, &total(0, 2), &english(), failing);
        assert_eq!(said.unwrap(), "a.txt: Too large.");
        assert_eq!(announcer.say(5001, &failed, &total(0, 1), &english(), failing), None);
        let last = [Notice::Failed(FileId(1)), Notice::AllEnded { done: 0, failed: 3 }];
        let said = announcer.say(5002, &last, &total(0, 0), &english(), failing);
        assert_eq!(said.unwrap(), "3 files not stored. a.txt: Too large.");
    }

    #[test]
    fn uploads_found_without_their_files_are_one_sentence() {
        let notices = [Notice::Missing(FileId(1)), Notice::Missing(FileId(2))];
        let said = Announcer::default().say(5000, &notices, &total(0, 2), &english(), failing);
        assert_eq!(said.unwrap(), "An unfinished upload was found again and needs its file");
    }

    #[test]
    fn refused_files_only() {
        let notices = [Notice::Added { accepted: 0, rejected: 1 }, Notice::AllEnded { done: 0, failed: 1 }];
        let said = Announcer::default().say(5000, &notices, &TotalView::default(), &english(), failing);
        assert_eq!(said.unwrap(), "1 file not accepted. a.txt: Too large.");
    }
}
