//! The queues of all pools: counted in the log once a second, for all requests together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::{BusError, EventLog, topology};
use futures_util::future::join_all;
use schemas::PoolName;
use schemas::v1::WorkClass;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::deployments::Deployments;
use crate::error::ApiError;
use crate::queue::Queue;

const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What interactive requests wait for, by pool. Batches and what runs in the background wait elsewhere. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    by_pool: Arc<Mutex<BTreeMap<PoolName, Queue>>>,
    max_num: usize,
}

/// A request's place in its queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace {
    queues: Queues,
    pool: PoolName,
    num: u64,
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        if let Some(queue) = self.queues.lock().get_mut(&self.pool) {
            queue.leave(self.num);
        }
    }
}

impl Queues {
    /// Queues of `max_num` inferences each.
    pub(crate) fn new(max_num: usize) -> Self {
        Self { by_pool: Arc::default(), max_num }
    }

    /// Lines up for `num` inferences, or says when to come back.
    pub(crate) fn enter(&self, pool: PoolName, num: usize) -> Result<QueuePlace, ApiError> {
        let num = num as u64;
        {
            let mut by_pool = self.lock();
            let queue = by_pool.entry(pool.clone()).or_default();
            queue
                .check_room(num, self.max_num as u64, Instant::now())
                .map_err(|retry_after| ApiError::QueueFull { max_num: self.max_num, retry_after })?;
            queue.enter(num);
        }
        Ok(QueuePlace { queues: self.clone(), pool, num })
    }

    /// How many wait for each pool.
    pub(crate) fn num_waiting(&self) -> Vec<(PoolName, u64)> {
        let now = Instant::now();
        self.lock().iter().map(|(pool, queue)| (pool.clone(), queue.num_waiting(now))).collect()
    }

    /// Counts until `shutdown`. While the log cannot be asked, what was counted last holds for a while.
    pub(crate) async fn follow(
        &self,
        log: Arc<dyn EventLog>,
        deployments: Deployments,
        shutdown: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(COUNT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news = deployments.news();
        let mut was_failing = false;
        loop {
            let counted = async {
                // A node that has just learnt of a pool must not take its queue for empty.
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = news.changed() => {}
                }
                self.count(log.as_ref(), deployments.pools()).await
            };
            let counted = tokio::select! {
                () = shutdown.cancelled() => return,
                counted = counted => counted,
            };
            let is_failing = counted.is_err();
            match counted {
                Err(error) if !was_failing => warn!(%error, "what waits for workers cannot be counted"),
                Ok(()) if was_failing => info!("what waits for workers is counted again"),
                _ => {}
            }
            was_failing = is_failing;
        }
    }

    async fn count(&self, log: &dyn EventLog, pools: BTreeSet<PoolName>) -> Result<(), BusError> {
        let backlogs = pools.iter().map(|pool| async move {
            let consumer = topology::pool_consumer(pool, WorkClass::Interactive);
            log.backlog(&consumer).await
        });
        let backlogs = join_all(backlogs).await;
        let now = Instant::now();
        let mut by_pool = self.lock();
        by_pool.retain(|pool, queue| pools.contains(pool) || !queue.is_left());
        let mut counted = Ok(());
        for (pool, backlog) in pools.into_iter().zip(backlogs) {
            match backlog {
                Ok(backlog) => by_pool.entry(pool).or_default().count(backlog, now),
                Err(error) => counted = Err(error),
            }
        }
        counted
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PoolName, Queue>> {
        self.by_pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
