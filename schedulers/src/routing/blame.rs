//! Who is to blame for the loss of a worker.
//!
//! Most workers die for reasons of their own, and whatever they held goes on elsewhere. A request that brings workers down
//! does so before it has brought a token in that attempt: what it does to the next worker, it does again when it goes on.
//! So only an attempt without a token can be to blame, and it is blamed when there was no other. Where there were several,
//! each of them begins in smaller company the next time, down to none, until the one that is to blame is alone.

use schemas::v1::AttemptHistory;

/// By how much the company shrinks in which several suspects begin again.
const DIVISOR: usize = 8;

/// How far an attempt had come when its worker was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It was not begun.
    Nothing,
    /// It was begun and had brought no token.
    Beginning {
        /// How many attempts on the worker had not, itself included; `None` when nobody knows. Then it was alone if it had
        /// to begin alone.
        num_unproven: Option<usize>,
    },
    /// It had brought a token.
    Token,
}

/// The history of an attempt's inference after the loss of its worker.
pub fn history_after_loss(history: AttemptHistory, reached: Reached) -> AttemptHistory {
    let num_workers_lost = history.num_workers_lost + 1;
    let num_unproven = match reached {
        // What it is suspected of stands.
        Reached::Nothing => return AttemptHistory { num_workers_lost, ..history },
        Reached::Token => {
            return AttemptHistory { num_workers_lost, num_blamed: 0, max_num_unproven: 0, ..history };
        }
        Reached::Beginning { num_unproven } => num_unproven,
    };
    let was_alone = num_unproven.map_or(history.max_num_unproven == 1, |num_unproven| num_unproven == 1);
    let max_num_unproven = num_unproven.map_or(1, |num_unproven| (num_unproven / DIVISOR).max(1));
    AttemptHistory {
        num_workers_lost,
        num_blamed: history.num_blamed + u32::from(was_alone),
        max_num_unproven: u32::try_from(max_num_unproven).unwrap_or(u32::MAX),
        ..history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(num_workers_lost: u32, num_blamed: u32, max_num_unproven: u32) -> AttemptHistory {
        AttemptHistory { num_failures: 1, num_workers_lost, num_blamed, max_num_unproven }
    }

    fn check(before: AttemptHistory, reached: Reached, expected: AttemptHistory) {
        assert_eq!(history_after_loss(before, reached), expected);
    }

    const fn beside(num_unproven: usize) -> Reached {
        Reached::Beginning { num_unproven: Some(num_unproven) }
    }

    #[test]
    fn only_an_attempt_that_was_alone_without_a_token_is_blamed() {
        check(history(0, 0, 0), beside(1), history(1, 1, 1));
        check(history(1, 1, 1), beside(1), history(2, 2, 1));
        check(history(0, 0, 0), beside(100), history(1, 0, 12));
        check(history(1, 0, 12), beside(12), history(2, 0, 1));
        check(history(2, 2, 1), Reached::Token, history(3, 0, 0));
    }

    #[test]
    fn what_was_not_begun_is_neither_blamed_nor_cleared() {
        check(history(0, 0, 0), Reached::Nothing, history(1, 0, 0));
        check(history(2, 2, 1), Reached::Nothing, history(3, 2, 1));
    }

    #[test]
    fn where_nobody_knows_its_company_it_must_have_begun_alone() {
        let unknown = Reached::Beginning { num_unproven: None };
        check(history(0, 0, 0), unknown, history(1, 0, 1));
        check(history(1, 0, 1), unknown, history(2, 1, 1));
        check(history(1, 0, 12), unknown, history(2, 0, 1));
    }
}
