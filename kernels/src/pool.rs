use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use crate::arena::Arena;
use crate::disjoint::Disjoint;
use crate::isa::VerifiedIsa;
use crate::{Isa, KernelError};

/// Rounds of waiting (14–150 ns each) before a thread offers its core to others: longer than the gap between two operations of a step.
const MAX_SPINS: u32 = 2_000;

/// Rounds of that before it goes to sleep. Whom it waits for may have lost its core for a moment, and to be woken takes longer than to stay
/// awake; between two requests it sleeps.
const MAX_YIELDS: u32 = 1_000;

/// How long a thread has waited.
#[derive(Debug, Default)]
struct Wait {
    num_rounds: u32,
}

impl Wait {
    /// Waits for a round; false once it is time to sleep.
    #[inline]
    fn goes_on(&mut self) -> bool {
        if self.num_rounds == MAX_SPINS + MAX_YIELDS {
            return false;
        }
        self.num_rounds += 1;
        if self.num_rounds <= MAX_SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
        true
    }
}

/// Which of the threads of a [`Pool`] runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadIndex {
    /// This thread, from 0; the caller of `run` is 0.
    pub index: usize,
    /// How many threads run the same function.
    pub count: usize,
}

/// A fixed set of compute threads that run one function at a time, together with the caller.
///
/// A run allocates nothing and takes no lock that another run does not hold. Waiting threads spin for a moment, offer
/// their cores for another, and then sleep, so an idle pool costs no processor time. Results never depend on how many threads there are.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    running: Mutex<()>,
    isa: VerifiedIsa,
    arena: Arena,
}

type Job = *const (dyn Fn(ThreadIndex) + Sync);

struct Shared {
    /// Counts the runs. The job of run `n` is readable by the workers from `epoch == n` until they decrement `num_unfinished`.
    epoch: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    num_unfinished: AtomicUsize,
    caller: UnsafeCell<Option<Thread>>,
    is_caller_asleep: AtomicBool,
    asleep: Vec<AtomicBool>,
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
    is_closed: AtomicBool,
}

// SAFETY: `job` and `caller` are written by the caller of `run` only while no worker runs, and read by workers only after
// they saw the new epoch (release/acquire); the job is `Sync` and outlives the run because `run` waits.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("num_threads", &self.num_threads()).field("isa", &self.isa()).finish()
    }
}

impl Pool {
    /// Starts `num_threads − 1` threads; the caller of [`Pool::run`] is the first.
    ///
    /// # Errors
    /// `BadParameter` for no threads, `IsaUnavailable` if the processor does not have `isa`, `ThreadSpawn` if the
    /// system refuses a thread.
    pub fn new(num_threads: usize, isa: Isa) -> Result<Self, KernelError> {
        if num_threads == 0 {
            return Err(KernelError::BadParameter {
                op: "pool",
                parameter: "num_threads",
                value: num_threads.to_string(),
                rule: "at least 1 is needed",
            });
        }
        let isa = VerifiedIsa::new(isa)?;
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            num_unfinished: AtomicUsize::new(0),
            caller: UnsafeCell::new(None),
            is_caller_asleep: AtomicBool::new(false),
            asleep: (1..num_threads).map(|_| AtomicBool::new(false)).collect(),
            panic: Mutex::new(None),
            is_closed: AtomicBool::new(false),
        });
        let mut pool =
            Self { shared, threads: Vec::new(), running: Mutex::new(()), isa, arena: Arena::default() };
        for index in 1..num_threads {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new()
                .name(format!("compute-{index}"))
                .spawn(move || work(&shared, ThreadIndex { index, count: num_threads }))
                .map_err(|error| KernelError::ThreadSpawn { index, reason: error.to_string() })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Calls `f` once on every thread, at the same time, and returns when all are done.
    ///
    /// Calls from several threads wait for each other; a call from inside `f` would wait for itself. A panic in `f`
    /// goes on in the caller, after all threads have stopped.
    pub fn run(&self, f: &(dyn Fn(ThreadIndex) + Sync)) {
        let count = self.num_threads();
        if count == 1 {
            f(ThreadIndex { index: 0, count });
            return;
        }
        let _exclusive = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes, and this function does not return before all workers are done with `f`.
        let job: Job = unsafe { std::mem::transmute::<*const (dyn Fn(ThreadIndex) + Sync + '_), Job>(f) };
        // SAFETY: no worker runs (the last run has ended), so nobody else reads or writes the cells.
        unsafe {
            *shared.job.get() = Some(job);
            *shared.caller.get() = Some(std::thread::current());
        }
        shared.num_unfinished.store(count - 1, Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        for (thread, asleep) in self.threads.iter().zip(&shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                thread.thread().unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| f(ThreadIndex { index: 0, count })));
        shared.wait_for_workers();
        let theirs = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = own.err().or(theirs) {
            resume_unwind(payload);
        }
    }

    /// Calls `f` for each of `0..num_items`, spread over the threads as they become free, `grain` items at a time.
    /// Which thread runs an item must not matter.
    pub(crate) fn for_each(&self, num_items: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
        let grain = grain.max(1);
        if self.num_threads() == 1 || num_items <= grain {
            if num_items > 0 {
                f(0..num_items);
            }
            return;
        }
        let next = AtomicUsize::new(0);
        self.run(&|_| {
            loop {
                let start = next.fetch_add(grain, Ordering::Relaxed);
                if start >= num_items {
                    break;
                }
                f(start..num_items.min(start + grain));
            }
        });
    }

    /// Calls `f` for each of `0..num_items` of equal work: a thread's fair share of what is left at a time, so that threads read far
    /// without a break and yet end together, even if one of them loses its core for a while.
    pub(crate) fn for_each_alike(&self, num_items: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
        let num_threads = self.num_threads();
        if num_threads == 1 || num_items <= 1 {
            if num_items > 0 {
                f(0..num_items);
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let end_of_piece = |start: usize| start + (num_items - start).div_ceil(num_threads);
        self.run(&|_| {
            while let Ok(start) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |start| {
                (start < num_items).then(|| end_of_piece(start))
            }) {
                f(start..end_of_piece(start));
            }
        });
    }

    /// Calls `f` for pieces of about `grain` rows with the rows' numbers and their part of `out [rows, row_len]`.
    pub(crate) fn for_each_row<T: Send>(
        &self,
        out: &mut [T],
        row_len: usize,
        grain: usize,
        f: &(dyn Fn(Range<usize>, &mut [T]) + Sync),
    ) {
        let num_rows = out.len() / row_len.max(1);
        let out = Disjoint::new(out);
        self.for_each(num_rows, grain, &|rows| {
            // SAFETY: `for_each` visits each row once.
            let piece = unsafe { out.range(rows.start * row_len..rows.end * row_len) };
            f(rows, piece);
        });
    }

    /// How many threads work, the caller included.
    pub fn num_threads(&self) -> usize {
        self.shared.asleep.len() + 1
    }

    /// The instruction set that the kernels of this pool run on.
    pub fn isa(&self) -> Isa {
        self.isa.isa()
    }

    pub(crate) fn verified_isa(&self) -> VerifiedIsa {
        self.isa
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A worker catches the panics of its jobs, so there is no result to look at.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn wait_for_workers(&self) {
        let mut wait = Wait::default();
        while self.num_unfinished.load(Ordering::Acquire) != 0 {
            if wait.goes_on() {
                continue;
            }
            self.is_caller_asleep.store(true, Ordering::SeqCst);
            if self.num_unfinished.load(Ordering::SeqCst) != 0 {
                std::thread::park();
            }
            self.is_caller_asleep.store(false, Ordering::SeqCst);
        }
    }

    /// Returns the next epoch after `seen`.
    fn wait_for_job(&self, worker: usize, seen: usize) -> usize {
        let mut wait = Wait::default();
        loop {
            let epoch = self.epoch.load(Ordering::Acquire);
            if epoch != seen {
                return epoch;
            }
            if wait.goes_on() {
                continue;
            }
            // Either the caller sees that this thread sleeps, or this thread sees the new epoch.
            self.asleep[worker].store(true, Ordering::SeqCst);
            if self.epoch.load(Ordering::SeqCst) == seen {
                std::thread::park();
            }
            self.asleep[worker].store(false, Ordering::SeqCst);
        }
    }
}

fn work(shared: &Shared, thread: ThreadIndex) {
    let mut epoch = 0;
    loop {
        epoch = shared.wait_for_job(thread.index - 1, epoch);
        if shared.is_closed.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the epoch has changed, so the caller has written both and waits for this worker.
        let (job, caller) = unsafe { ((*shared.job.get()), (*shared.caller.get()).clone()) };
        if let Some(job) = job {
            // SAFETY: the caller keeps the function alive until `num_unfinished` is zero.
            let job = unsafe { &*job };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(thread))) {
                *shared.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
            }
        }
        let was_last = shared.num_unfinished.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last
            && shared.is_caller_asleep.load(Ordering::SeqCst)
            && let Some(caller) = caller
        {
            caller.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_runs_once_per_run() {
        let pool = Pool::new(3, Isa::Portable).unwrap();
        let counts: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        for run in 1..=500 {
            pool.run(&|thread| {
                assert_eq!(thread.count, 3);
                counts[thread.index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == run));
        }
    }

    #[test]
    fn every_item_is_visited_once() {
        let pool = Pool::new(2, Isa::Portable).unwrap();
        for (num_items, grain) in [(0, 1), (1, 1), (7, 2), (100, 7), (5, 100)] {
            let counts: Vec<AtomicUsize> = (0..num_items).map(|_| AtomicUsize::new(0)).collect();
            pool.for_each(num_items, grain, &|range| {
                for item in range {
                    counts[item].fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn every_item_of_equal_work_is_visited_once() {
        for num_threads in 1..=3 {
            let pool = Pool::new(num_threads, Isa::Portable).unwrap();
            for num_items in [0, 1, 2, 7, 100, 1_000] {
                let counts: Vec<AtomicUsize> = (0..num_items).map(|_| AtomicUsize::new(0)).collect();
                pool.for_each_alike(num_items, &|range| {
                    for item in range {
                        counts[item].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn panic_of_a_worker_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2, Isa::Portable).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(&|thread| {
                if thread.index == 1 {
                    resume_unwind(Box::new("planned"));
                }
            });
        }));
        assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"planned"));
        let count = AtomicUsize::new(0);
        pool.run(&|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 2);
    }

    #[test]
    fn runs_from_several_threads_take_turns() {
        let pool = Pool::new(2, Isa::Portable).unwrap();
        let (inside, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.run(&|_| {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                            total.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 600);
    }

    #[test]
    fn no_threads_are_refused() {
        assert!(matches!(Pool::new(0, Isa::Portable), Err(KernelError::BadParameter { .. })));
    }
}
