//! The loop of every stateless service: take deliveries, handle each in a task of its own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::{BusError, Consumer, Delivery};

const FETCH_WAIT: Duration = Duration::from_secs(30);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How a handler ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// What it caused is durable: the delivery is acknowledged.
    Done,
    /// It can never succeed, for this reason, which holds no content: the delivery goes to the dead letters.
    Undeliverable(&'static str),
    /// It is too early: the delivery comes again after this long.
    Later(Duration),
}

/// Hands each delivery to `handle`, at most `max_num_in_flight` at once, until `shutdown`; then waits for those under way.
/// A handler that fails for a passing reason is called again until it succeeds; one that fails for good sends its
/// delivery to the dead letters.
pub async fn serve_deliveries<H, F>(
    consumer: Consumer,
    max_num_in_flight: usize,
    shutdown: CancellationToken,
    handle: H,
) where
    H: Fn(Arc<Delivery>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Handled, BusError>> + Send,
{
    let slots = Arc::new(Semaphore::new(max_num_in_flight));
    let tasks = TaskTracker::new();
    while let Some(deliveries) = next_deliveries(&consumer, &slots, &shutdown).await {
        for delivery in deliveries {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let handle = handle.clone();
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                settle(delivery, handle, shutdown).await;
                drop(slot);
            });
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn next_deliveries(
    consumer: &Consumer,
    slots: &Semaphore,
    shutdown: &CancellationToken,
) -> Option<Vec<Delivery>> {
    let fetch = async {
        let one_free = slots.acquire().await;
        let num_free = slots.available_permits() + 1;
        drop(one_free);
        consumer.fetch(num_free, FETCH_WAIT).await
    };
    let fetched = tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        fetched = fetch => fetched,
    };
    match fetched {
        Ok(deliveries) => Some(deliveries),
        Err(error) => {
            warn!(%error, "cannot fetch, trying again");
            tokio::select! {
                () = shutdown.cancelled() => None,
                () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => Some(Vec::new()),
            }
        }
    }
}

async fn settle<H, F>(delivery: Delivery, handle: H, shutdown: CancellationToken)
where
    H: Fn(Arc<Delivery>) -> F,
    F: Future<Output = Result<Handled, BusError>>,
{
    let delivery = Arc::new(delivery);
    let sequence = delivery.record.sequence;
    let settled = loop {
        match handle(Arc::clone(&delivery)).await {
            Ok(Handled::Done) => break delivery.ack().await,
            Ok(Handled::Undeliverable(reason)) => break delivery.dead_letter(reason).await,
            Ok(Handled::Later(delay)) => break delivery.retry_after(delay).await,
            // Waiting here keeps the slot, which is the backpressure, and does not use up the delivery's attempts.
            Err(error) if error.is_retryable() => {
                warn!(sequence, %error, "a delivery failed and is tried again");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
                }
                if let Err(error) = delivery.progress().await {
                    warn!(sequence, %error, "no progress could be told");
                }
            }
            Err(error) => break delivery.dead_letter(error.code()).await,
        }
    };
    if let Err(error) = settled {
        warn!(sequence, %error, "a delivery could not be settled and comes again");
    }
}
