//! Removes the bytes that no file needs any more: of uploads that died, and of files whose time is over.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bus::{Append, BusError, Delivery, Expect, JobLog, StreamName, subjects, topology};
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::batch::Batch;
use schemas::v1::job_envelope::Fact;
use schemas::v1::{FileDeleted, FileUploadEnded, JobEnvelope};
use schemas::{FileId, TenantId};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::service::keep;

const FETCH_WAIT: Duration = Duration::from_secs(30);
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Twice what an upload may take.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(86_400);
/// Files of one round; the others come with the next.
const MAX_NUM_SWEPT: usize = 1_000;

/// Sweeps now and then until `shutdown`. Replicas wait for a delivery that one of them holds, and that another one gets after its
/// death; sweeping twice does no harm.
pub(super) async fn serve(jobs: JobLog, shutdown: CancellationToken) {
    loop {
        let turn = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            turn = next_turn(&jobs) => turn,
        };
        match turn {
            Ok(Some(delivery)) => tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    if let Err(error) = delivery.retry_after(Duration::ZERO).await {
                        warn!(%error, "the sweeping could not be handed on, and is after a while");
                    }
                    return;
                }
                () = keep(&delivery) => {}
                () = sweep_forever(&jobs) => {}
            },
            Ok(None) => {}
            Err(error) => {
                warn!(%error, "cannot wait for the turn to sweep, trying again");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn next_turn(jobs: &JobLog) -> Result<Option<Delivery>, BusError> {
    let append = Append {
        stream: StreamName::Jobs,
        subject: subjects::sweeper(),
        payload: Bytes::from_static(b"whoever holds this sweeps"),
        expect: Expect::FirstOnSubject,
    };
    jobs.log().append(append).await?;
    let consumer = jobs.log().consumer(&topology::sweeper_consumer()).await?;
    Ok(consumer.fetch(1, FETCH_WAIT).await?.into_iter().next())
}

async fn sweep_forever(jobs: &JobLog) {
    loop {
        match sweep(jobs).await {
            Ok(0) => {}
            Ok(num_swept) => info!(num_swept, "bytes of files that are over were removed"),
            Err(error) => warn!(%error, "a sweep broke off"),
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// One round; returns of how many files it removed the bytes.
async fn sweep(jobs: &JobLog) -> Result<usize, BusError> {
    let now = jobs.now_unix_nanos();
    let mut leftovers = Leftovers::default();
    let mut facts = jobs.file_facts().await?;
    while let Some(envelope) = facts.next().await {
        leftovers.note(envelope?, now);
    }
    let mut num_swept = 0;
    let mut batches: BTreeMap<TenantId, Vec<Batch>> = BTreeMap::new();
    for ((tenant, file), leftover) in leftovers.0.into_iter().take(MAX_NUM_SWEPT) {
        let (Ok(tenant), Ok(file)) = (tenant.parse::<TenantId>(), file.parse::<FileId>()) else { continue };
        let is_there = jobs.file(&tenant, &file).await?.is_some();
        if !is_there {
            if leftover.is_expired {
                if !batches.contains_key(&tenant) {
                    batches.insert(tenant.clone(), jobs.batches(&tenant).await?);
                }
                let of_tenant = batches.get(&tenant).into_iter().flatten();
                let mut readers = of_tenant.filter(|batch| batch.input_file == file);
                if readers.any(|batch| !batch.status().is_final()) {
                    continue;
                }
            }
            // Its client may have come back meanwhile.
            let began_at = jobs.upload_began_at(&tenant, &file).await?;
            if began_at.is_some_and(|at| !is_given_up(at, now)) {
                continue;
            }
            bus::purge_file(jobs.log().as_ref(), &tenant, &file).await?;
            num_swept += 1;
        }
        let name = file.to_string();
        if leftover.is_expired {
            jobs.append(&tenant, Fact::FileDeleted(FileDeleted { file: name.clone() })).await?;
        }
        if leftover.is_dead_upload {
            jobs.append(&tenant, Fact::FileUploadEnded(FileUploadEnded { file: name })).await?;
        }
    }
    Ok(num_swept)
}

fn is_given_up(began_at_unix_nanos: u64, now_unix_nanos: u64) -> bool {
    let waited = Duration::from_nanos(now_unix_nanos.saturating_sub(began_at_unix_nanos));
    waited > UPLOAD_PATIENCE
}

/// Files of which bytes may stand that nobody needs, by tenant and name. It holds no file that is whole and kept.
#[derive(Debug, Default)]
struct Leftovers(HashMap<(String, String), Leftover>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Leftover {
    is_dead_upload: bool,
    is_expired: bool,
}

impl Leftovers {
    /// Takes the next fact about any file, in the order of the log.
    fn note(&mut self, envelope: JobEnvelope, now_unix_nanos: u64) {
        let JobEnvelope { tenant, recorded_at_unix_nanos, fact, .. } = envelope;
        match fact {
            Some(Fact::FileUploadBegun(begun)) if is_given_up(recorded_at_unix_nanos, now_unix_nanos) => {
                self.0.entry((tenant, begun.file)).or_default().is_dead_upload = true;
            }
            Some(Fact::FileCreated(created))
                if (1..=now_unix_nanos).contains(&created.expires_at_unix_nanos) =>
            {
                self.0.entry((tenant, created.file)).or_default().is_expired = true;
            }
            Some(Fact::FileDeleted(deleted)) => {
                let key = (tenant, deleted.file);
                if let Some(leftover) = self.0.get_mut(&key) {
                    leftover.is_expired = false;
                    if !leftover.is_dead_upload {
                        self.0.remove(&key);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::{EventLog, FileWriter, MemoryLog, ReadFrom, Stamp, StampSource};
    use schemas::v1::{BatchCreated, BatchEnded, FileCreated, FileUploadBegun};
    use schemas::{EventId, WorkerId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use uuid::Uuid;

    const DAY: u64 = 86_400_000_000_000;

    struct Site {
        log: Arc<dyn EventLog>,
        jobs: JobLog,
        now: Arc<AtomicU64>,
        tenant: TenantId,
    }

    impl Site {
        fn new() -> Self {
            let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
            let now = Arc::new(AtomicU64::new(DAY));
            let (clock, counter) = (Arc::clone(&now), AtomicU64::new(1));
            let stamps: StampSource = Arc::new(move || {
                let event_id = EventId::new(Uuid::from_u128(counter.fetch_add(1, Ordering::Relaxed).into()));
                Stamp { event_id, unix_nanos: clock.load(Ordering::Relaxed) }
            });
            let jobs = JobLog::new(Arc::clone(&log), stamps, "jobs", &WorkerId::slug("one"));
            Self { log, jobs, now, tenant: TenantId::slug("t") }
        }

        async fn say(&self, fact: Fact) {
            self.jobs.append(&self.tenant, fact).await.unwrap();
        }

        /// An upload that has begun and written its bytes.
        async fn begin(&self, name: &str) {
            self.say(Fact::FileUploadBegun(FileUploadBegun { file: name.to_owned() })).await;
            let mut writer = FileWriter::new(Arc::clone(&self.log), self.tenant.clone(), FileId::slug(name));
            writer.write(b"bytes").await.unwrap();
            writer.finish().await.unwrap();
        }

        async fn create(&self, name: &str, expires_at_unix_nanos: u64) {
            self.begin(name).await;
            let created = FileCreated {
                file: name.to_owned(),
                num_chunks: 1,
                expires_at_unix_nanos,
                ..FileCreated::default()
            };
            self.say(Fact::FileCreated(created)).await;
            self.say(Fact::FileUploadEnded(FileUploadEnded { file: name.to_owned() })).await;
        }

        /// Names of the files of which bytes stand.
        async fn stored(&self) -> Vec<String> {
            let chunks = self.log.read(StreamName::Files, Vec::new(), ReadFrom::Start, false).await.unwrap();
            let names = chunks.map(|chunk| chunk.unwrap().subject.split('.').nth(2).unwrap().to_owned());
            names.collect().await
        }

        async fn check(&self, num_swept: usize, stored: &[&str]) {
            assert_eq!(sweep(&self.jobs).await.unwrap(), num_swept);
            assert_eq!(self.stored().await, stored);
        }
    }

    #[tokio::test]
    async fn an_upload_that_died_leaves_nothing_after_a_day() {
        let site = Site::new();
        site.begin("dead").await;
        site.create("whole", 0).await;
        // The end of its upload was never said.
        site.say(Fact::FileUploadBegun(FileUploadBegun { file: "whole".to_owned() })).await;
        site.check(0, &["dead", "whole"]).await;
        site.now.fetch_add(DAY + 1, Ordering::Relaxed);
        site.begin("fresh").await;
        site.check(1, &["whole", "fresh"]).await;
        site.check(0, &["whole", "fresh"]).await;
        assert!(site.jobs.file(&site.tenant, &FileId::slug("whole")).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_a_client_sent_again_for_a_file_that_was_deleted_goes_too() {
        let site = Site::new();
        site.create("file", 0).await;
        bus::purge_file(site.log.as_ref(), &site.tenant, &FileId::slug("file")).await.unwrap();
        site.say(Fact::FileDeleted(FileDeleted { file: "file".to_owned() })).await;
        site.begin("file").await;
        site.check(0, &["file"]).await;
        site.now.fetch_add(DAY + 1, Ordering::Relaxed);
        site.check(1, &[]).await;
    }

    #[tokio::test]
    async fn a_file_whose_time_is_over_is_deleted_once_no_batch_reads_it() {
        let site = Site::new();
        site.create("kept", 9 * DAY).await;
        site.create("over", DAY + 10).await;
        site.create("read", DAY + 10).await;
        let (batch, input_file) = ("batch_1".to_owned(), "read".to_owned());
        site.say(Fact::BatchCreated(BatchCreated { batch: batch.clone(), input_file, ..Default::default() }))
            .await;
        site.check(0, &["kept", "over", "read"]).await;
        site.now.fetch_add(10, Ordering::Relaxed);
        site.check(1, &["kept", "read"]).await;
        site.say(Fact::BatchEnded(BatchEnded { batch, ..Default::default() })).await;
        site.check(1, &["kept"]).await;
        site.check(0, &["kept"]).await;
    }
}
