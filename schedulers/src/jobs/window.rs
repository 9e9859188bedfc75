//! Which lines are under way, and how far the batch is.

use std::collections::{BTreeMap, HashMap};

use schemas::InferenceId;
use schemas::v1::LineCounts;

/// What bounds a [`Window`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Most inferences under way; a line that has more of them alone goes by itself.
    pub max_num_open: usize,
    /// Most lines between the first that is not over and the last that was taken.
    pub max_num_ahead: u64,
}

/// Lines between their take-up and their end.
///
/// Lines are taken in their order and end in any. Those from the first on that have all ended are *over*: a successor begins
/// after them. What it holds is bounded by its limits, whatever the length of the file.
#[derive(Debug)]
pub struct Window {
    limits: WindowLimits,
    num_taken: u64,
    num_over: u64,
    num_over_failed: u64,
    /// Lines that were taken and are not over.
    lines: BTreeMap<u64, OpenLine>,
    line_of: HashMap<InferenceId, u64>,
    num_answered: u64,
    num_failed: u64,
}

#[derive(Debug, Default)]
struct OpenLine {
    num_open: usize,
    has_failed: bool,
}

impl Window {
    /// A window after `num_over` lines that are over, of which `num_over_failed` were not answered.
    pub fn after(num_over: u64, num_over_failed: u64, limits: WindowLimits) -> Self {
        Self {
            limits,
            num_taken: num_over,
            num_over,
            num_over_failed,
            lines: BTreeMap::new(),
            line_of: HashMap::new(),
            num_answered: num_over.saturating_sub(num_over_failed),
            num_failed: num_over_failed,
        }
    }

    /// Whether another line may be taken.
    pub fn has_room(&self) -> bool {
        self.line_of.len() < self.limits.max_num_open
            && self.num_taken - self.num_over < self.limits.max_num_ahead
    }

    /// Takes the next line, which waits for these inferences; without any it is refused. Returns its number.
    pub fn take(&mut self, inferences: &[InferenceId]) -> u64 {
        self.num_taken += 1;
        let line = OpenLine { num_open: inferences.len(), has_failed: inferences.is_empty() };
        self.lines.insert(self.num_taken, line);
        self.line_of.extend(inferences.iter().map(|id| (*id, self.num_taken)));
        if inferences.is_empty() {
            self.settle(self.num_taken);
        }
        self.num_taken
    }

    /// Hears that an inference ended; false if it is none of these, or was heard of before.
    pub fn end(&mut self, inference: InferenceId, is_answered: bool) -> bool {
        let Some(number) = self.line_of.remove(&inference) else { return false };
        if let Some(line) = self.lines.get_mut(&number) {
            line.num_open -= 1;
            line.has_failed |= !is_answered;
            if line.num_open == 0 {
                self.settle(number);
            }
        }
        true
    }

    /// Whether an inference is under way.
    pub fn holds(&self, inference: InferenceId) -> bool {
        self.line_of.contains_key(&inference)
    }

    /// Inferences under way, in no order.
    pub fn open(&self) -> impl ExactSizeIterator<Item = InferenceId> {
        self.line_of.keys().copied()
    }

    /// Lines that were taken so far, those before this window included.
    pub fn num_taken(&self) -> u64 {
        self.num_taken
    }

    /// Lines that are over, and how many of these were not answered.
    pub fn over(&self) -> (u64, u64) {
        (self.num_over, self.num_over_failed)
    }

    /// What came of the lines so far, of `num_lines` in all.
    pub fn counts(&self, num_lines: u64) -> LineCounts {
        LineCounts { num_lines, num_answered: self.num_answered, num_failed: self.num_failed }
    }

    fn settle(&mut self, number: u64) {
        let has_failed = self.lines.get(&number).is_some_and(|line| line.has_failed);
        *(if has_failed { &mut self.num_failed } else { &mut self.num_answered }) += 1;
        while let Some(first) = self.lines.first_entry()
            && first.get().num_open == 0
        {
            self.num_over += 1;
            self.num_over_failed += u64::from(first.get().has_failed);
            first.remove();
        }
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        assert_eq!(self.num_taken - self.num_over, self.lines.len() as u64);
        let num_open: usize = self.lines.values().map(|line| line.num_open).sum();
        assert_eq!(num_open, self.line_of.len());
        let num_settled = self.lines.values().filter(|line| line.num_open == 0).count() as u64;
        assert_eq!(self.num_answered + self.num_failed, self.num_over + num_settled);
        assert!(self.lines.first_key_value().is_none_or(|(_, line)| line.num_open > 0));
        assert!(self.num_over_failed <= self.num_over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const LIMITS: WindowLimits = WindowLimits { max_num_open: 4, max_num_ahead: 6 };

    fn id(number: u64) -> InferenceId {
        InferenceId::new(Uuid::from_u128(u128::from(number)))
    }

    #[test]
    fn lines_are_over_when_all_before_them_have_ended() {
        let mut window = Window::after(10, 2, LIMITS);
        assert_eq!(window.take(&[id(1)]), 11);
        assert_eq!(window.take(&[id(2), id(3)]), 12);
        assert_eq!(window.take(&[]), 13);
        assert_eq!(window.over(), (10, 2));
        assert!(window.end(id(2), true) && window.end(id(3), false));
        assert_eq!(window.over(), (10, 2));
        assert!(window.end(id(1), true));
        assert_eq!(window.over(), (13, 4));
        assert_eq!(window.counts(20), LineCounts { num_lines: 20, num_answered: 9, num_failed: 4 });
        assert!(!window.end(id(1), true), "an end counts once");
    }

    #[test]
    fn a_slow_line_lets_the_others_run_only_so_far_ahead() {
        let mut window = Window::after(0, 0, LIMITS);
        window.take(&[id(1)]);
        for _ in 0..5 {
            assert!(window.has_room());
            window.take(&[]);
        }
        assert!(!window.has_room());
        window.end(id(1), true);
        assert!(window.has_room());
        (2..6).for_each(|number| {
            window.take(&[id(number)]);
        });
        assert!(!window.has_room());
    }

    proptest! {
        /// However lines are taken and end, and wherever a successor goes on, each counts once.
        #[test]
        fn every_line_counts_once(operations in prop::collection::vec((0_u8..4, any::<u8>(), any::<bool>()), 1..200)) {
            let mut window = Window::after(0, 0, LIMITS);
            let mut truth: BTreeMap<u64, bool> = BTreeMap::new();
            let mut open: Vec<(u64, InferenceId)> = Vec::new();
            let mut next = 0;
            for (operation, pick, is_answered) in operations {
                match operation {
                    0 | 1 if window.has_room() => {
                        let ids: Vec<_> = (0..pick % 3).map(|_| { next += 1; id(next) }).collect();
                        let number = window.take(&ids);
                        prop_assert!(truth.insert(number, !ids.is_empty()).is_none());
                        open.extend(ids.into_iter().map(|id| (number, id)));
                    }
                    2 if !open.is_empty() => {
                        let (number, id) = open.swap_remove(usize::from(pick) % open.len());
                        prop_assert!(window.end(id, is_answered));
                        if !is_answered {
                            truth.insert(number, false);
                        }
                    }
                    3 if pick < 16 => {
                        let (num_over, num_over_failed) = window.over();
                        window = Window::after(num_over, num_over_failed, LIMITS);
                        truth.retain(|number, _| *number <= num_over);
                        open.clear();
                    }
                    _ => {}
                }
                window.check_invariants();
            }
            for (_, id) in open.drain(..) {
                window.end(id, true);
            }
            window.check_invariants();
            let num_failed = truth.values().filter(|is_answered| !**is_answered).count() as u64;
            prop_assert_eq!(window.over(), (truth.len() as u64, num_failed));
            prop_assert_eq!(window.open().len(), 0);
        }
    }
}
