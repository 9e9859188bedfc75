//! Takes batches from the log and holds each until it is over.

use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, Delivery, FactWriter, JobLog, topology};
use schemas::IngressId;
use schemas::batch::Batch;
use schemas::v1::job_envelope::Fact;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::line_codec::LineCodec;
use super::run::BatchRun;
use super::sweeper;

const FETCH_WAIT: Duration = Duration::from_secs(30);
/// Failures that will not pass by themselves, after which a batch ends as failed.
const MAX_NUM_FAILURES_FOR_GOOD: u32 = 5;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// What bounds the work of one process.
#[derive(Debug, Clone)]
pub struct JobsOptions {
    /// Batches at once; those beyond wait in the log.
    pub max_num_batches: usize,
    /// Inferences of one batch under way at once: enough that workers always find some.
    pub max_num_inflight: usize,
    /// Most lines of a batch.
    pub max_num_lines: u64,
    /// Longest line.
    pub max_line_bytes: usize,
    /// Where tokens of batches go; nobody listens there, and a worker that takes over reads them again.
    pub ingress: IngressId,
}

impl Default for JobsOptions {
    fn default() -> Self {
        Self {
            max_num_batches: 8,
            max_num_inflight: 512,
            max_num_lines: 1_000_000,
            max_line_bytes: 8 << 20,
            ingress: IngressId::slug("batches"),
        }
    }
}

/// Runs batches until `shutdown`; those that are not over then are handed back. Any number of replicas share the work, and
/// the death of one costs the time until its batches are delivered again.
pub async fn serve(
    (jobs, facts): (JobLog, FactWriter),
    codec: Arc<dyn LineCodec>,
    options: JobsOptions,
    shutdown: CancellationToken,
) -> Result<(), BusError> {
    let consumer = jobs.log().consumer(&topology::batch_consumer()).await?;
    let slots = Arc::new(Semaphore::new(options.max_num_batches));
    let tasks = TaskTracker::new();
    tasks.spawn(sweeper::serve(jobs.clone(), shutdown.clone()));
    info!("the jobs are ready");
    loop {
        let fetch = async {
            let one_free = slots.acquire().await;
            let num_free = slots.available_permits() + 1;
            drop(one_free);
            consumer.fetch(num_free, FETCH_WAIT).await
        };
        let fetched = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            fetched = fetch => fetched,
        };
        match fetched {
            Ok(deliveries) => {
                for delivery in deliveries {
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
                    let service = Service {
                        jobs: jobs.clone(),
                        facts: facts.clone(),
                        codec: Arc::clone(&codec),
                        options: options.clone(),
                    };
                    let shutdown = shutdown.clone();
                    tasks.spawn(async move {
                        service.hold(&delivery, &shutdown).await;
                        drop(slot);
                    });
                }
            }
            Err(error) => {
                warn!(%error, "cannot fetch batches, trying again");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

struct Service {
    jobs: JobLog,
    facts: FactWriter,
    codec: Arc<dyn LineCodec>,
    options: JobsOptions,
}

impl Service {
    /// Runs the batch of a delivery to its end, and keeps the delivery meanwhile.
    async fn hold(&self, delivery: &Delivery, shutdown: &CancellationToken) {
        let sequence = delivery.record.sequence;
        let settled = tokio::select! {
            biased;
            () = shutdown.cancelled() => delivery.retry_after(Duration::ZERO).await,
            () = keep(delivery) => return,
            ran = self.run(delivery) => match ran {
                Ok(()) => delivery.ack().await,
                Err(reason) => delivery.dead_letter(reason).await,
            },
        };
        if let Err(error) = settled {
            warn!(sequence, %error, "a batch could not be settled and comes again");
        }
    }

    /// Tries until the batch is over; `Err` for what is no batch.
    async fn run(&self, delivery: &Delivery) -> Result<(), &'static str> {
        let begun = begun(delivery).ok_or("not the beginning of a batch")?;
        let mut num_failures_for_good = 0;
        loop {
            let outcome = match self.pick_up(&begun).await {
                Ok(Some(run)) if num_failures_for_good == MAX_NUM_FAILURES_FOR_GOOD => run.give_up().await,
                Ok(Some(run)) => run.run().await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            let Err(error) = outcome else { return Ok(()) };
            warn!(batch = %begun.id, %error, "a batch broke off and goes on from where it stood");
            if !error.is_retryable() && num_failures_for_good < MAX_NUM_FAILURES_FOR_GOOD {
                num_failures_for_good += 1;
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    /// The batch as the log tells it now.
    async fn pick_up(&self, begun: &Batch) -> Result<Option<BatchRun>, BusError> {
        let batch = self.jobs.batch(&begun.tenant, &begun.id).await?;
        Ok(batch.map(|batch| BatchRun {
            jobs: self.jobs.clone(),
            facts: self.facts.clone(),
            codec: Arc::clone(&self.codec),
            options: self.options.clone(),
            batch,
        }))
    }
}

/// Keeps a delivery from being handed to another.
pub(super) async fn keep(delivery: &Delivery) {
    loop {
        tokio::time::sleep(topology::POOL_ACK_WAIT / 3).await;
        if let Err(error) = delivery.progress().await {
            warn!(%error, "a batch cannot be kept");
        }
    }
}

fn begun(delivery: &Delivery) -> Option<Batch> {
    let envelope = schemas::decode_job(&delivery.record.payload).ok()?;
    match envelope.fact? {
        Fact::BatchCreated(created) => {
            Batch::begun(envelope.tenant.parse().ok()?, created, envelope.recorded_at_unix_nanos)
        }
        _ => None,
    }
}
