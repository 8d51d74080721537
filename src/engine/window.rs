//! Which rows of a list are drawn: all of a short one; of a long one those in sight and some around them, however long
//! it is. Plain numbers in, plain numbers out. Must never know what a row shows, nor how it is drawn.
//!
//! Rows have different heights, and those of rows that were never drawn are not known: they count as the mean of the
//! first that were. What was taken for the rows above the sight turns out wrong now and then; [`Window::measure`] says
//! by how much the list must then be moved so that nobody sees it.

use std::ops::Range;

use super::event::FileId;

/// A list of up to so many rows is drawn whole.
pub const SHORT: usize = 30;
/// Rows drawn above and below those in sight, so that the keyboard always finds a next one.
const SPARE: usize = 8;
/// Never more rows than this, however tall the sight is.
const MOST: usize = 39;
/// Height of a row before any was measured, in pixels.
const GUESS: u32 = 112;
/// No rank: not in the list.
const GONE: u8 = u8::MAX;

/// What of a list is in sight, as whoever draws it has measured it. In pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// How far the list is scrolled.
    pub offset: u32,
    /// Height of the box it is scrolled in.
    pub height: u32,
    /// The rows that are drawn, and their heights; empty when they were not measured this time.
    pub measured: Vec<(FileId, u16)>,
    /// Whether other rows may be drawn now.
    pub settled: bool,
}

/// Where a row is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Rows in the list.
    pub of: usize,
    /// It is far out of sight, and drawn only because it has the keyboard's focus.
    pub away: bool,
}

/// The order of the rows, and which of them are drawn.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Rank (0 unless sorted by state) and number, sorted.
    order: Vec<(u8, FileId)>,
    by_state: bool,
    /// By number.
    facts: Vec<Fact>,
    /// Mean height of the rows that were measured first.
    mean: Option<u32>,
    range: Range<usize>,
    focused: Option<FileId>,
    offset: u32,
    height: u32,
}

#[derive(Clone, Copy, Debug)]
struct Fact {
    rank: u8,
    /// 0 when it was never measured.
    height: u16,
}

impl Window {
    /// Rows in the list.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether rows are sorted by state.
    pub fn is_by_state(&self) -> bool {
        self.by_state
    }

    /// Sorts by state and then by number, or by number alone.
    pub fn sort(&mut self, by_state: bool) {
        self.by_state = by_state;
        self.order.clear();
        // Facts are in the order of numbers already, and ranks are few: one walk for each costs no code for sorting.
        let listed = || self.facts.iter().map(|fact| fact.rank).filter(|rank| *rank != GONE);
        let last = if by_state { listed().max().unwrap_or(0) } else { 0 };
        for rank in 0..=last {
            for (number, fact) in self.facts.iter().enumerate() {
                if fact.rank == rank || (!by_state && fact.rank != GONE) {
                    self.order.push((rank, FileId(number as u32)));
                }
            }
        }
        self.range = 0..0;
    }

    /// Puts a row where its rank says, or takes it off the list. `true` when the order changed.
    pub fn put(&mut self, id: FileId, rank: Option<u8>) -> bool {
        let rank = rank.unwrap_or(GONE);
        let number = id.0 as usize;
        if self.facts.len() <= number {
            self.facts.resize(number + 1, Fact { rank: GONE, height: 0 });
        }
        let old = std::mem::replace(&mut self.facts[number].rank, rank);
        let key = |rank| (if self.by_state { rank } else { 0 }, id);
        if old == rank || (old != GONE && rank != GONE && !self.by_state) {
            return false;
        }
        if old != GONE
            && let Ok(at) = self.order.binary_search(&key(old))
        {
            self.order.remove(at);
        }
        if rank != GONE
            && let Err(at) = self.order.binary_search(&key(rank))
        {
            self.order.insert(at, key(rank));
        }
        true
    }

    /// The first row in sight, by rank and number, and its distance from the top. Nothing where everything is drawn; nor
    /// at the top of a sorted list, where what needs the person comes into sight.
    pub fn anchor(&self) -> Option<((u8, FileId), u32)> {
        if self.is_short() || (self.by_state && self.offset == 0) {
            return None;
        }
        let at = self.at(self.offset);
        Some((self.order[at], self.top(at)))
    }

    /// By how many pixels a row has moved down since then; 0 if it has gone elsewhere, where nobody is to follow it.
    pub fn moved(&self, anchor: Option<((u8, FileId), u32)>) -> i32 {
        let Some((key, top)) = anchor.filter(|_| !self.is_short()) else { return 0 };
        match self.order.binary_search(&key) {
            Ok(at) => self.top(at) as i32 - top as i32,
            Err(_) => 0,
        }
    }

    /// Takes in the heights of rows; gives by how many pixels what is in sight has moved down through that.
    pub fn measure(&mut self, measured: &[(FileId, u16)]) -> i32 {
        let anchor = self.anchor();
        let mut sum = 0;
        for (id, height) in measured {
            sum += u32::from(*height);
            if let Some(fact) = self.facts.get_mut(id.0 as usize) {
                fact.height = *height;
            }
        }
        if let Some(mean) = sum.checked_div(measured.len() as u32)
            && self.mean.is_none()
        {
            self.mean = Some(mean.max(1));
        }
        self.moved(anchor)
    }

    /// Takes in what is in sight.
    pub fn look(&mut self, offset: u32, height: u32) {
        (self.offset, self.height) = (offset, height);
    }

    /// Chooses the rows to be drawn, the one with the focus always among them. They stay as they are as long as there
    /// are some to spare on both sides.
    pub fn settle(&mut self, focused: Option<FileId>) {
        let len = self.len();
        self.focused = focused;
        if self.is_short() {
            self.range = 0..len;
            return;
        }
        let height = if self.height == 0 { 8 * GUESS } else { self.height };
        let (first, last) = (self.at(self.offset), self.at(self.offset + height));
        let around = |spare| first.saturating_sub(spare)..(last + 1 + spare).min(len);
        let near = around(SPARE / 2);
        let holds = self.range.start <= near.start && near.end <= self.range.end && self.range.end <= len;
        if !holds || self.range.len() > MOST {
            let wanted = around(SPARE);
            self.range = wanted.start..wanted.end.min(wanted.start + MOST);
        }
    }

    /// The rows to be drawn, in their order.
    pub fn shown(&self) -> Vec<(FileId, Place)> {
        let of = self.len();
        let place = |index: usize, away| (self.order[index].1, Place { index, of, away });
        let mut shown: Vec<_> = self.range.clone().map(|index| place(index, false)).collect();
        if let Some(index) = self.focused.and_then(|id| self.index(id)) {
            if index < self.range.start {
                shown.insert(0, place(index, true));
            } else if index >= self.range.end {
                shown.push(place(index, true));
            }
        }
        shown
    }

    /// The room to be left above and below the rows that are drawn.
    pub fn edges(&self) -> (u32, u32) {
        let below = self.order[self.range.end..].iter().map(|key| self.height_of(key)).sum();
        (self.top(self.range.start), below)
    }

    fn is_short(&self) -> bool {
        self.len() <= SHORT
    }

    fn index(&self, id: FileId) -> Option<usize> {
        let fact = self.facts.get(id.0 as usize)?;
        self.order.binary_search(&(if self.by_state { fact.rank } else { 0 }, id)).ok()
    }

    fn height_of(&self, (_, id): &(u8, FileId)) -> u32 {
        match self.facts[id.0 as usize].height {
            0 => self.mean.unwrap_or(GUESS),
            height => u32::from(height),
        }
    }

    fn top(&self, index: usize) -> u32 {
        self.order[..index].iter().map(|key| self.height_of(key)).sum()
    }

    /// The row that lies so many pixels from the top, or the last.
    fn at(&self, offset: u32) -> usize {
        let mut top = 0;
        let at = self.order.iter().position(|key| {
            top += self.height_of(key);
            top > offset
        });
        at.unwrap_or(self.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(count: u32) -> Window {
        let mut window = Window::default();
        for number in 0..count {
            assert!(window.put(FileId(number), Some(3)));
        }
        window.settle(None);
        window
    }

    fn indexes(window: &Window) -> Vec<usize> {
        window.shown().iter().map(|(_, place)| place.index).collect()
    }

    #[test]
    fn a_short_list_is_drawn_whole() {
        let window = list(SHORT as u32);
        assert_eq!(window.shown().len(), SHORT);
        assert_eq!(window.edges(), (0, 0));
        assert_eq!(window.anchor(), None);
    }

    #[test]
    fn of_a_long_list_what_is_in_sight_and_some_around() {
        let mut window = list(10_000);
        window.look(0, 600);
        window.settle(None);
        assert_eq!(indexes(&window), (0..17).collect::<Vec<_>>());
        assert_eq!(window.edges(), (0, (10_000 - 17) * GUESS));
        window.look(5_000 * GUESS, 600);
        window.settle(None);
        assert_eq!(indexes(&window), (4992..5014).collect::<Vec<_>>());
        assert_eq!(window.edges().0, 4992 * GUESS);
        // A little further: there is still enough to spare.
        window.look(5_003 * GUESS, 600);
        window.settle(None);
        assert_eq!(indexes(&window)[0], 4992);
    }

    #[test]
    fn the_row_with_the_focus_stays() {
        let mut window = list(1000);
        for (offset, first, last) in [(500 * GUESS, Some(3), None), (0, None, Some(600))] {
            window.look(offset, 600);
            window.settle(Some(FileId(first.or(last).unwrap_or_default())));
            let shown = window.shown();
            let away: Vec<_> = shown.iter().filter(|(_, place)| place.away).map(|(id, _)| id.0).collect();
            assert_eq!(away, [first.or(last).unwrap_or_default()]);
            assert!(shown.is_sorted_by_key(|(_, place)| place.index), "in the order of the list");
        }
    }

    #[test]
    fn a_row_that_turns_out_taller_above_the_sight_moves_it_by_as_much() {
        let mut window = list(100);
        assert_eq!(window.measure(&[(FileId(0), GUESS as u16)]), 0);
        window.look(50 * GUESS + 10, 600);
        window.settle(None);
        assert_eq!(window.measure(&[(FileId(45), GUESS as u16 + 30), (FileId(52), 900)]), 30);
        let anchor = window.anchor();
        assert!(window.put(FileId(2), None));
        assert_eq!(window.moved(anchor), -(GUESS as i32));
    }

    #[test]
    fn sorted_by_state() {
        let mut window = list(5);
        window.put(FileId(3), Some(0));
        window.put(FileId(1), Some(5));
        let order = |window: &Window| window.order.iter().map(|(_, id)| id.0).collect::<Vec<_>>();
        assert_eq!(order(&window), [0, 1, 2, 3, 4]);
        window.sort(true);
        assert_eq!(order(&window), [3, 0, 2, 4, 1]);
        assert!(window.put(FileId(2), Some(5)), "it has moved");
        assert_eq!(order(&window), [3, 0, 4, 1, 2]);
        assert!(!window.put(FileId(2), Some(5)));
        window.sort(false);
        assert!(!window.put(FileId(4), Some(0)), "where it stands does not depend on its state");
        assert_eq!(order(&window), [0, 1, 2, 3, 4]);
    }

    /// Rows slid away under the finger, one with each file that was stored.
    #[test]
    fn what_is_in_sight_of_a_sorted_list_stays_there() {
        let mut window = list(100);
        window.sort(true);
        window.look(50 * GUESS, 600);
        window.settle(None);
        let moved = |window: &mut Window, id, rank| {
            let anchor = window.anchor();
            assert!(window.put(FileId(id), Some(rank)));
            window.moved(anchor)
        };
        assert_eq!(moved(&mut window, 2, 5), -(GUESS as i32), "stored");
        assert_eq!(moved(&mut window, 90, 2), GUESS as i32, "begun");
        let first = window.order[50].1.0;
        assert_eq!(moved(&mut window, first, 5), 0, "the first in sight itself");
        window.look(0, 600);
        assert_eq!(moved(&mut window, 80, 0), 0, "what has failed is to be seen");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u32, Option<u8>),
        Look(u32),
        Measure(u16),
        Sort(bool),
        Focus(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..200_u32, prop::option::weighted(0.9, 0..6_u8)).prop_map(|(id, rank)| Step::Put(id, rank)),
            2 => (0..30_000_u32).prop_map(Step::Look),
            2 => (20..400_u16).prop_map(Step::Measure),
            1 => any::<bool>().prop_map(Step::Sort),
            1 => (0..200_u32).prop_map(Step::Focus),
        ]
    }

    proptest! {
        /// Whatever happens: few rows are drawn, all that is in sight is, what has the focus is, and rows and edges
        /// together are as high as the list.
        #[test]
        fn the_laws_of_the_window(steps in prop::collection::vec(step(), 1..300)) {
            let mut window = list(150);
            let mut focused = None;
            let mut offset = 0;
            for step in steps {
                match step {
                    Step::Put(id, rank) => {
                        window.put(FileId(id), rank);
                    }
                    Step::Look(to) => offset = to,
                    Step::Measure(height) => {
                        let rows: Vec<_> = window.shown().iter().map(|(id, _)| (*id, height)).collect();
                        offset = offset.saturating_add_signed(window.measure(&rows));
                    }
                    Step::Sort(by_state) => window.sort(by_state),
                    Step::Focus(id) => focused = Some(FileId(id)),
                }
                window.look(offset, 600);
                window.settle(focused);
                let shown = window.shown();
                prop_assert!(shown.len() <= MOST + 1, "{} rows", shown.len());
                prop_assert!(shown.is_sorted_by_key(|(_, place)| place.index));
                if let Some(id) = focused.filter(|id| window.index(*id).is_some()) {
                    prop_assert!(shown.iter().any(|(drawn, _)| *drawn == id));
                }
                let drawn: u32 = window.order[window.range.clone()].iter().map(|key| window.height_of(key)).sum();
                let (before, after) = window.edges();
                prop_assert_eq!(before + drawn + after, window.top(window.len()));
                if !window.is_short() {
                    let first = window.at(offset);
                    prop_assert!(window.range.contains(&first), "{first} of {:?}", window.range);
                }
            }
        }
    }
}
