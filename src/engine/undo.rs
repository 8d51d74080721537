//! What was last taken off the list, as long as it can be brought back: until the next removal or for ten seconds.
//! Nothing rests on the ten seconds; a page that slept keeps it for longer. Only then are the files let go of, and
//! unfinished uploads given up. Must never know a button.

use super::{
    command::{Command, Notice, Timer},
    event::{Candidate, FileId, Scope},
    item::{Item, Phase, Share},
    news::{self, UploadEvent},
    queue::{Queue, Turn, Wanted},
    resume,
};

/// So long it can be undone.
const UNDO_MS: u64 = 10_000;

impl Queue {
    /// The first of what an undo would bring back.
    pub fn undoable(&self) -> Option<FileId> {
        self.removed.first().map(|item| item.id)
    }

    /// Takes off what has ended, in such a way that it can be brought back.
    pub(super) fn take_off(&mut self, scope: Scope, turn: &mut Turn) {
        let goes = |item: &Item| item.phase.has_ended() && scope.holds(item.id);
        let some = self.items.iter().any(goes);
        if some {
            self.let_go_of_removed(turn);
        }
        if scope == Scope::All {
            self.turn_lots(Wanted::Stop, if some { Wanted::Off } else { Wanted::Gone });
        }
        if !some {
            return;
        }
        let (gone, stays) = std::mem::take(&mut self.items).into_iter().partition(goes);
        (self.removed, self.items) = (gone, stays);
        for item in &mut self.removed {
            // Nothing of what has ended is armed, watched or under way.
            self.sums.replace(std::mem::take(&mut item.counted), Share::default());
            if !item.dirty {
                self.dirty.push(item.id);
            }
            if self.listening {
                self.news.push(UploadEvent::Removed { file: news::info(item) });
            }
        }
        turn.arm(Timer::Undo, UNDO_MS);
        turn.out.push(Command::Notify(Notice::Removed));
    }

    /// Brings back what was taken off, to its old places and as it was.
    pub(super) fn undo(&mut self, scope: Scope, turn: &mut Turn) {
        let (back, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.removed).into_iter().partition(|item| scope.holds(item.id));
        self.removed = gone;
        if back.is_empty() {
            return;
        }
        let late = if scope == Scope::All { std::mem::take(&mut self.late) } else { Vec::new() };
        if self.removed.is_empty() {
            self.end_undo(turn);
        }
        let mut listed = std::mem::take(&mut self.items).into_iter().peekable();
        for mut item in back {
            while let Some(before) = listed.next_if(|before| before.id < item.id) {
                self.items.push(before);
            }
            item.dirty = self.dirty.contains(&item.id);
            // Counted as it was: nothing of it was gained by coming back.
            item.counted = item.share();
            self.sums.replace(Share::default(), item.counted);
            self.items.push(item);
            let at = self.items.len() - 1;
            self.touch(at, turn);
            self.tell(at, |file, item| {
                let receipt = match &item.phase {
                    Phase::Done { receipt } => Some(receipt.clone()),
                    _ => None,
                };
                UploadEvent::Restored { file, receipt }
            });
        }
        self.items.extend(listed);
        // An undo is not announced.
        let gathered = self.gathered;
        for (candidate, refused) in late {
            self.take(candidate, refused, Wanted::Stop, turn);
        }
        self.gathered = gathered;
    }

    /// The file of an unfinished upload comes back, and the row was taken off a moment ago: it is wanted after all.
    pub(super) fn undo_for_file(&mut self, file: FileId, turn: &mut Turn) {
        if self.removed.iter().any(|item| item.id == file && item.wants_its_file()) {
            self.undo(Scope::One(file), turn);
        }
    }

    /// What was taken off stays off.
    pub(super) fn let_go_of_removed(&mut self, turn: &mut Turn) {
        if !self.removed.is_empty() {
            self.end_undo(turn);
        }
        for mut item in std::mem::take(&mut self.removed) {
            let headers = self.headers_of(&item);
            resume::give_up(&mut item, headers, turn);
            if !matches!(item.phase, Phase::Done { .. } | Phase::Rejected { .. }) {
                turn.out.push(Command::Forget { file: item.id });
            }
        }
    }

    /// There is nothing to bring back any more.
    pub(super) fn end_undo(&mut self, turn: &mut Turn) {
        turn.out.push(Command::Disarm { timer: Timer::Undo });
        for (Candidate { id, .. }, _) in std::mem::take(&mut self.late) {
            turn.out.push(Command::Forget { file: id });
        }
        self.turn_lots(Wanted::Off, Wanted::Gone);
    }

    /// What was wanted so of the rest of a lot is wanted otherwise now.
    fn turn_lots(&mut self, from: Wanted, to: Wanted) {
        for (_, wanted, _) in self.lots.iter_mut().filter(|(_, wanted, _)| *wanted == from) {
            *wanted = to;
        }
    }
}
