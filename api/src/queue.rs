//! What waits for the workers of one pool, over all nodes: what the log counted last, and what this node knows since.

use std::collections::VecDeque;
use std::time::Duration;

use bus::Backlog;
use tokio::time::Instant;

use crate::retry_after::retry_after;

/// An older count says nothing any more: this node then goes by its own requests alone.
const MAX_COUNT_AGE: Duration = Duration::from_secs(5);
const NUM_DRAINS_REMEMBERED: usize = 30;

/// One pool's queue, decided without clock or I/O.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Requests of this node that no worker has said a word to.
    num_own: u64,
    count: Option<Count>,
    drains: VecDeque<Drain>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    backlog: Backlog,
    num_own: u64,
    at: Instant,
}

/// What workers took between two counts, the first of which found something waiting: otherwise it would tell how little was
/// asked, and not how much can be done.
#[derive(Debug, Clone, Copy)]
struct Drain {
    num: u64,
    time: Duration,
}

impl Queue {
    /// Takes in what the log counts at `now`; `None` where no worker has ever been.
    pub(crate) fn count(&mut self, backlog: Option<Backlog>, now: Instant) {
        let count = backlog.map(|backlog| Count { backlog, num_own: self.num_own, at: now });
        if let (Some(before), Some(count)) = (self.count, count)
            && before.backlog.num_waiting > 0
            && now.duration_since(before.at) <= MAX_COUNT_AGE
        {
            // It is less when the consumer was made anew.
            let num = count.backlog.num_delivered.saturating_sub(before.backlog.num_delivered);
            self.drains.push_back(Drain { num, time: now.duration_since(before.at) });
            let num_too_many = self.drains.len().saturating_sub(NUM_DRAINS_REMEMBERED);
            self.drains.drain(..num_too_many);
        }
        self.count = count;
    }

    /// This node asks for `num` more.
    pub(crate) fn enter(&mut self, num: u64) {
        self.num_own += num;
    }

    /// A worker has begun `num` of this node's, or nobody waits for them any more.
    pub(crate) fn leave(&mut self, num: u64) {
        self.num_own = self.num_own.saturating_sub(num);
    }

    /// Whether this node has nothing in it.
    pub(crate) fn is_left(&self) -> bool {
        self.num_own == 0
    }

    /// How many wait.
    pub(crate) fn num_waiting(&self, now: Instant) -> u64 {
        match self.count.filter(|count| now.duration_since(count.at) <= MAX_COUNT_AGE) {
            Some(count) => (count.backlog.num_waiting + self.num_own).saturating_sub(count.num_own),
            None => self.num_own,
        }
    }

    /// Whether `num` more may wait where `max_num` may; otherwise when they should come back. Any number may where none
    /// waits.
    pub(crate) fn check_room(&self, num: u64, max_num: u64, now: Instant) -> Result<(), Duration> {
        let num_waiting = self.num_waiting(now);
        let num_too_many = (num_waiting + num).saturating_sub(max_num);
        if num_waiting == 0 || num_too_many == 0 {
            return Ok(());
        }
        let num_gone = self.drains.iter().map(|drain| drain.num).sum();
        let window = self.drains.iter().map(|drain| drain.time).sum();
        Err(retry_after(num_too_many, num_gone, window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backlog(num_waiting: u64, num_delivered: u64) -> Option<Backlog> {
        Some(Backlog { num_waiting, num_delivered })
    }

    /// A queue that was counted once a second.
    fn counted(backlogs: &[(u64, u64)]) -> (Queue, Instant) {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        for (num_waiting, num_delivered) in backlogs {
            now += SECOND;
            queue.count(backlog(*num_waiting, *num_delivered), now);
        }
        (queue, now)
    }

    fn check(backlogs: &[(u64, u64)], num: u64, max_num: u64, expected_seconds: Option<u64>) {
        let (queue, now) = counted(backlogs);
        let found = queue.check_room(num, max_num, now).err();
        assert_eq!(found.map(|wait| wait.as_secs()), expected_seconds, "{backlogs:?} {num} {max_num}");
    }

    #[test]
    fn there_is_room_up_to_the_limit() {
        check(&[], 1, 1, None);
        check(&[(3, 0)], 1, 4, None);
        check(&[(4, 0)], 1, 4, Some(5));
        check(&[(3, 0)], 2, 4, Some(5));
        check(&[(0, 0)], 9, 4, None);
    }

    #[test]
    fn the_wait_follows_what_all_workers_take() {
        let falling = [(100, 0), (80, 20), (60, 40)];
        check(&falling, 1, 60, Some(1));
        check(&falling, 1, 10, Some(3));
        check(&falling, 100, 60, Some(5));
        // Nothing waited, so that nothing is known of how much they could have taken.
        check(&[(0, 0), (0, 1), (0, 2), (50, 2), (40, 12)], 1, 20, Some(3));
        // Nobody takes anything.
        check(&[(9, 4); 21], 1, 9, Some(20));
        // The consumer was made anew.
        check(&[(9, 50), (9, 1)], 1, 9, Some(5));
    }

    #[test]
    fn what_a_node_asks_for_counts_at_once_and_once() {
        let (mut queue, mut now) = counted(&[(5, 0)]);
        queue.enter(3);
        assert_eq!(queue.num_waiting(now), 8);
        now += SECOND;
        queue.count(backlog(8, 0), now);
        assert_eq!(queue.num_waiting(now), 8);
        queue.leave(2);
        assert_eq!(queue.num_waiting(now), 6);
        queue.leave(1);
        assert!(queue.is_left());
    }

    #[test]
    fn without_a_count_a_node_goes_by_its_own_requests() {
        let (mut queue, now) = counted(&[(1_000, 0)]);
        queue.enter(2);
        assert_eq!(queue.num_waiting(now + MAX_COUNT_AGE), 1_002);
        assert_eq!(queue.num_waiting(now + MAX_COUNT_AGE + SECOND), 2);
        queue.count(None, now);
        assert_eq!(queue.num_waiting(now), 2);
    }
}
