//! Which workers live, by their heartbeats: a fold without clock or I/O.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use schemas::v1::{Heartbeat, HeldAttempt};

/// A worker that was not heard for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(1_500);
/// After an outage workers need a while to be heard again.
const GRACE_AFTER_OUTAGE: Duration = Duration::from_secs(4);
/// Workers beyond are not watched; their deliveries still come again by themselves.
const MAX_NUM_WORKERS: usize = 4_096;

/// How well heartbeats could be heard for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Whatever was said was heard.
    Whole,
    /// This process was late: what was said may still wait to be heard.
    Late,
    /// The connection was down: what was said is gone, and others may have been cut off as well.
    Broken,
}

/// A worker that is gone, with what it held.
#[derive(Debug, Clone, PartialEq)]
pub struct LostWorker {
    /// Its name.
    pub worker: String,
    /// Never empty; without what another worker holds by now.
    pub held: Vec<HeldAttempt>,
}

/// All workers that were heard or announced.
#[derive(Debug, Clone, Default)]
pub struct WorkerWatch {
    workers: BTreeMap<String, WatchedWorker>,
    grace: Duration,
}

#[derive(Debug, Clone, Default)]
struct WatchedWorker {
    /// Empty until it is heard.
    incarnation: String,
    held: Vec<HeldAttempt>,
    silence: Duration,
}

impl WatchedWorker {
    fn is_silent(&self) -> bool {
        self.silence >= LOST_AFTER
    }
}

impl WorkerWatch {
    /// Takes in a heartbeat. What an earlier process of the same name held is lost at once; an earlier one that speaks
    /// after a later one is not listened to.
    pub fn hear(&mut self, heartbeat: Heartbeat) -> Option<LostWorker> {
        let Heartbeat { worker, incarnation, mut held, is_last, is_addition, .. } = heartbeat;
        if !self.workers.contains_key(&worker) && self.workers.len() >= MAX_NUM_WORKERS {
            return None;
        }
        let watched = self.workers.entry(worker.clone()).or_default();
        // Incarnations are UUIDs of version 7, which are in the order of their making.
        if incarnation < watched.incarnation {
            return None;
        }
        let is_new = incarnation > watched.incarnation;
        if is_addition && !is_new {
            let is_told =
                |known: &HeldAttempt| held.iter().any(|told| told.inference_id == known.inference_id);
            let others: Vec<HeldAttempt> =
                watched.held.iter().filter(|known| !is_told(known)).cloned().collect();
            held.extend(others);
        }
        let before = std::mem::replace(watched, WatchedWorker { incarnation, held, silence: Duration::ZERO });
        if is_last {
            self.workers.remove(&worker);
        }
        if is_new { self.lost(worker, before.held) } else { None }
    }

    /// Watches these too; those that nobody announces any more and that hold nothing are forgotten once they are silent.
    pub fn expect(&mut self, deployments: &BTreeSet<String>) {
        self.workers.retain(|worker, watched| !watched.is_silent() || deployments.contains(worker));
        for deployment in deployments {
            if self.workers.len() < MAX_NUM_WORKERS && !self.workers.contains_key(deployment) {
                self.workers.insert(deployment.clone(), WatchedWorker::default());
            }
        }
    }

    /// Time has passed; returns the workers that it made lost, each once.
    pub fn pass(&mut self, elapsed: Duration, hearing: Hearing) -> Vec<LostWorker> {
        match hearing {
            Hearing::Late => return Vec::new(),
            Hearing::Broken => {
                self.grace = GRACE_AFTER_OUTAGE;
                for watched in self.workers.values_mut().filter(|watched| !watched.is_silent()) {
                    watched.silence = Duration::ZERO;
                }
                return Vec::new();
            }
            Hearing::Whole => {}
        }
        let counted = elapsed.saturating_sub(self.grace);
        self.grace = self.grace.saturating_sub(elapsed);
        let mut newly_silent = Vec::new();
        for (worker, watched) in &mut self.workers {
            watched.silence += counted;
            if watched.is_silent() && !watched.held.is_empty() {
                newly_silent.push((worker.clone(), std::mem::take(&mut watched.held)));
            }
        }
        newly_silent.into_iter().filter_map(|(worker, held)| self.lost(worker, held)).collect()
    }

    /// For how long a worker was not heard.
    pub fn silence(&self, worker: &str) -> Duration {
        self.workers.get(worker).map_or(Duration::ZERO, |watched| watched.silence)
    }

    /// Whether a worker was not heard for too long; one that nobody knows was not.
    pub fn is_silent(&self, worker: &str) -> bool {
        self.workers.get(worker).is_none_or(WatchedWorker::is_silent)
    }

    fn lost(&self, worker: String, mut held: Vec<HeldAttempt>) -> Option<LostWorker> {
        let elsewhere: HashSet<(&str, u32)> = self
            .workers
            .values()
            .filter(|watched| !watched.is_silent())
            .flat_map(|watched| &watched.held)
            .map(|held| (held.inference_id.as_str(), held.attempt))
            .collect();
        held.retain(|held| !elsewhere.contains(&(held.inference_id.as_str(), held.attempt)));
        (!held.is_empty()).then_some(LostWorker { worker, held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn beat(worker: &str, incarnation: &str, held: &[(&str, u32)]) -> Heartbeat {
        let held = held.iter().map(|(inference_id, attempt)| HeldAttempt {
            inference_id: (*inference_id).to_owned(),
            attempt: *attempt,
            ..HeldAttempt::default()
        });
        Heartbeat {
            worker: worker.to_owned(),
            incarnation: incarnation.to_owned(),
            held: held.collect(),
            ..Heartbeat::default()
        }
    }

    /// Lets time pass tick by tick; every worker that is lost, with what it held and after how many ticks.
    fn pass(
        watch: &mut WorkerWatch,
        num_ticks: usize,
        hearing: Hearing,
    ) -> Vec<(usize, String, Vec<String>)> {
        let mut lost = Vec::new();
        for tick in 1..=num_ticks {
            for LostWorker { worker, held } in watch.pass(TICK, hearing) {
                lost.push((tick, worker, held.into_iter().map(|held| held.inference_id).collect()));
            }
        }
        lost
    }

    fn lost(tick: usize, worker: &str, held: &[&str]) -> (usize, String, Vec<String>) {
        (tick, worker.to_owned(), held.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn a_worker_that_falls_silent_is_lost_once() {
        let mut watch = WorkerWatch::default();
        assert_eq!(watch.hear(beat("a", "1", &[("x", 1), ("y", 2)])), None);
        assert_eq!(watch.hear(beat("b", "1", &[])), None);
        assert_eq!(pass(&mut watch, 60, Hearing::Whole), [lost(15, "a", &["x", "y"])]);
        assert!(watch.is_silent("a") && watch.is_silent("b") && watch.is_silent("unknown"));
        watch.hear(beat("a", "1", &[]));
        assert!(!watch.is_silent("a"));
    }

    #[test]
    fn heartbeats_keep_a_worker() {
        let mut watch = WorkerWatch::default();
        for _ in 0..20 {
            watch.hear(beat("a", "1", &[("x", 1)]));
            assert_eq!(pass(&mut watch, 10, Hearing::Whole), []);
        }
    }

    #[test]
    fn what_was_not_heard_for_reasons_of_our_own_is_no_silence() {
        let mut watch = WorkerWatch::default();
        watch.hear(beat("a", "1", &[("x", 1)]));
        assert_eq!(pass(&mut watch, 14, Hearing::Whole), []);
        assert_eq!(pass(&mut watch, 100, Hearing::Late), []);
        assert_eq!(pass(&mut watch, 1, Hearing::Broken), []);
        assert_eq!(pass(&mut watch, 100, Hearing::Whole), [lost(55, "a", &["x"])]);
    }

    #[test]
    fn a_new_process_of_the_same_name_has_not_what_the_old_one_held() {
        let mut watch = WorkerWatch::default();
        watch.hear(beat("a", "1", &[("x", 1)]));
        let found = watch.hear(beat("a", "2", &[])).unwrap();
        assert_eq!((found.worker.as_str(), found.held[0].inference_id.as_str()), ("a", "x"));
        assert_eq!(watch.hear(beat("a", "1", &[("x", 1)])), None, "the old one speaks late");
        assert_eq!(pass(&mut watch, 60, Hearing::Whole), []);
    }

    #[test]
    fn what_a_worker_begins_is_held_beside_what_it_said_before() {
        let mut watch = WorkerWatch::default();
        let adds = |held| Heartbeat { is_addition: true, ..beat("a", "1", held) };
        watch.hear(beat("a", "1", &[("x", 1), ("y", 1)]));
        assert_eq!(watch.hear(adds(&[("y", 2)])), None);
        assert_eq!(watch.hear(adds(&[("z", 1)])), None);
        assert_eq!(pass(&mut watch, 15, Hearing::Whole), [lost(15, "a", &["z", "y", "x"])]);
        watch.hear(adds(&[("z", 2)]));
        let later = Heartbeat { is_addition: true, ..beat("a", "2", &[("v", 1)]) };
        assert_eq!(
            watch.hear(later).unwrap().held[0].inference_id,
            "z",
            "a later process begins with nothing"
        );
        watch.hear(beat("a", "2", &[]));
        assert_eq!(pass(&mut watch, 60, Hearing::Whole), []);
    }

    #[test]
    fn what_another_worker_holds_by_now_is_not_lost() {
        let mut watch = WorkerWatch::default();
        watch.hear(beat("a", "1", &[("x", 1), ("y", 1)]));
        pass(&mut watch, 5, Hearing::Whole);
        watch.hear(beat("b", "1", &[("x", 1), ("y", 2)]));
        assert_eq!(pass(&mut watch, 12, Hearing::Whole), [lost(10, "a", &["y"])]);
    }

    #[test]
    fn a_worker_that_ends_in_order_is_not_lost() {
        let mut watch = WorkerWatch::default();
        watch.hear(beat("a", "1", &[("x", 1)]));
        watch.hear(Heartbeat { is_last: true, ..beat("a", "1", &[]) });
        assert_eq!(pass(&mut watch, 60, Hearing::Whole), []);
    }

    #[test]
    fn announced_workers_that_were_never_heard_fall_silent_and_old_ones_are_forgotten() {
        let mut watch = WorkerWatch::default();
        let announced = BTreeSet::from(["a".to_owned()]);
        watch.hear(beat("b", "1", &[]));
        watch.expect(&announced);
        assert!(!watch.is_silent("a"));
        pass(&mut watch, 20, Hearing::Whole);
        watch.expect(&announced);
        assert_eq!(watch.workers.keys().collect::<Vec<_>>(), ["a"]);
        assert!(watch.is_silent("a"));
    }
}
