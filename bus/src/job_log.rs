//! Facts about files and batches: written onto their subjects, read back as what they tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::BoxStream;
use prost::Message as _;
use schemas::batch::Batch;
use schemas::v1::job_envelope::Fact;
use schemas::v1::{FileCreated, JobEnvelope};
use schemas::{BatchId, FileId, TenantId, WorkerId, WrittenBy};

use crate::{Append, AppendOutcome, BusError, EventLog, Expect, ReadFrom, StampSource, StreamName, subjects};

const CREATED: &str = "created";
const DELETED: &str = "deleted";
const UPLOAD: &str = "upload";
const PROGRESSED: &str = "progressed";
const CANCEL_REQUESTED: &str = "cancel_requested";
const ENDED: &str = "ended";

/// The JOBS stream in the name of one service. Clones share the log.
#[derive(Clone)]
pub struct JobLog {
    log: Arc<dyn EventLog>,
    stamps: StampSource,
    writer: Arc<str>,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFile {
    /// Its id.
    pub id: FileId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub created: FileCreated,
    /// When it was whole.
    pub created_at_unix_nanos: u64,
}

impl StoredFile {
    /// Whether its time is not over.
    fn is_kept_at(&self, now_unix_nanos: u64) -> bool {
        let expires_at = self.created.expires_at_unix_nanos;
        expires_at == 0 || now_unix_nanos < expires_at
    }
}

impl JobLog {
    /// For the service `role` in the instance `speaker`; both are recorded with every fact.
    pub fn new(log: Arc<dyn EventLog>, stamps: StampSource, role: &str, speaker: &WorkerId) -> Self {
        Self { log, stamps, writer: format!("{role}/{speaker}").into() }
    }

    /// The log behind it.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The time now, nanoseconds since the Unix epoch.
    pub fn now_unix_nanos(&self) -> u64 {
        (self.stamps)().unix_nanos
    }

    /// A fresh id with this beginning.
    pub fn fresh_name(&self, beginning: &str) -> String {
        format!("{beginning}{}", (self.stamps)().event_id)
    }

    /// Appends a fact. Progress and what is said of an upload replace what stood; every other fact has one winner. `Err(Refused)` when an id in it is
    /// malformed.
    pub async fn append(&self, tenant: &TenantId, fact: Fact) -> Result<AppendOutcome, BusError> {
        let subject = subject_of(tenant, &fact)?;
        let replaces =
            matches!(fact, Fact::BatchProgressed(_) | Fact::FileUploadBegun(_) | Fact::FileUploadEnded(_));
        let stamp = (self.stamps)();
        let by =
            WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: &self.writer };
        self.log
            .append(Append {
                stream: StreamName::Jobs,
                subject,
                payload: Bytes::from(JobEnvelope::new(&by, tenant, fact).encode_to_vec()),
                expect: if replaces { Expect::Anything } else { Expect::FirstOnSubject },
            })
            .await
    }

    /// A tenant's file, unless it was deleted or its time is over.
    pub async fn file(&self, tenant: &TenantId, file: &FileId) -> Result<Option<StoredFile>, BusError> {
        let now = self.now_unix_nanos();
        Ok(self.stored_file(tenant, file).await?.filter(|file| file.is_kept_at(now)))
    }

    /// The same, though its time may be over: its bytes stay as long as a batch reads them.
    pub async fn stored_file(
        &self,
        tenant: &TenantId,
        file: &FileId,
    ) -> Result<Option<StoredFile>, BusError> {
        let words = [CREATED, DELETED].map(|word| subjects::file_fact(tenant, file, word));
        Ok(stored_file(self.last_of(words).await?))
    }

    /// When the upload began of which nobody has heard the end.
    pub async fn upload_began_at(&self, tenant: &TenantId, file: &FileId) -> Result<Option<u64>, BusError> {
        let upload = self.last_of([subjects::file_fact(tenant, file, UPLOAD)]).await?.pop();
        let is_begun = |upload: &JobEnvelope| matches!(upload.fact, Some(Fact::FileUploadBegun(_)));
        Ok(upload.filter(is_begun).map(|upload| upload.recorded_at_unix_nanos))
    }

    /// The last word of each kind on every tenant's files, in the order of the log.
    pub async fn file_facts(&self) -> Result<BoxStream<'static, Result<JobEnvelope, BusError>>, BusError> {
        let patterns = vec![subjects::all_files()];
        let records = self.log.read(StreamName::Jobs, patterns, ReadFrom::LastPerSubject, false).await?;
        let facts = records.filter_map(async |record| match record {
            Ok(record) => decoded(&record.payload).map(Ok),
            Err(error) => Some(Err(error)),
        });
        Ok(facts.boxed())
    }

    /// Every file of a tenant that is there, in the order of their ids.
    pub async fn files(&self, tenant: &TenantId) -> Result<Vec<StoredFile>, BusError> {
        let facts = self.all_of(subjects::all_files_of(tenant)).await?;
        let now = self.now_unix_nanos();
        Ok(facts.into_values().filter_map(stored_file).filter(|file| file.is_kept_at(now)).collect())
    }

    /// A tenant's batch.
    pub async fn batch(&self, tenant: &TenantId, batch: &BatchId) -> Result<Option<Batch>, BusError> {
        let words = [CREATED, PROGRESSED, CANCEL_REQUESTED, ENDED]
            .map(|word| subjects::batch_fact(tenant, batch, word));
        Ok(Batch::fold(self.last_of(words).await?))
    }

    /// Every batch of a tenant, in the order of their ids.
    pub async fn batches(&self, tenant: &TenantId) -> Result<Vec<Batch>, BusError> {
        let facts = self.all_of(subjects::all_batches_of(tenant)).await?;
        Ok(facts.into_values().filter_map(Batch::fold).collect())
    }

    async fn last_of<const N: usize>(&self, subjects: [String; N]) -> Result<Vec<JobEnvelope>, BusError> {
        let read = subjects.map(|subject| self.log.last(StreamName::Jobs, subject));
        let records = try_join_all(read).await?;
        Ok(records.into_iter().flatten().filter_map(|record| decoded(&record.payload)).collect())
    }

    /// Facts by what they are about.
    async fn all_of(&self, pattern: String) -> Result<BTreeMap<String, Vec<JobEnvelope>>, BusError> {
        let mut records =
            self.log.read(StreamName::Jobs, vec![pattern], ReadFrom::LastPerSubject, false).await?;
        let mut facts: BTreeMap<String, Vec<JobEnvelope>> = BTreeMap::new();
        while let Some(record) = records.next().await {
            let record = record?;
            let Some(id) = record.subject.split('.').nth(3) else { continue };
            facts.entry(id.to_owned()).or_default().extend(decoded(&record.payload));
        }
        Ok(facts)
    }
}

fn subject_of(tenant: &TenantId, fact: &Fact) -> Result<String, BusError> {
    let of_file = |file: &str, word| Ok(subjects::file_fact(tenant, &file.parse().map_err(malformed)?, word));
    let of_batch =
        |batch: &str, word| Ok(subjects::batch_fact(tenant, &batch.parse().map_err(malformed)?, word));
    match fact {
        Fact::FileCreated(fact) => of_file(&fact.file, CREATED),
        Fact::FileDeleted(fact) => of_file(&fact.file, DELETED),
        Fact::FileUploadBegun(fact) => of_file(&fact.file, UPLOAD),
        Fact::FileUploadEnded(fact) => of_file(&fact.file, UPLOAD),
        Fact::BatchCreated(fact) => of_batch(&fact.batch, CREATED),
        Fact::BatchProgressed(fact) => of_batch(&fact.batch, PROGRESSED),
        Fact::BatchCancelRequested(fact) => of_batch(&fact.batch, CANCEL_REQUESTED),
        Fact::BatchEnded(fact) => of_batch(&fact.batch, ENDED),
    }
}

fn malformed(error: schemas::IdError) -> BusError {
    BusError::Refused(error.to_string())
}

fn decoded(payload: &[u8]) -> Option<JobEnvelope> {
    schemas::decode_job(payload)
        .inspect_err(|error| tracing::warn!(%error, "a fact about jobs cannot be read and is passed over"))
        .ok()
}

fn stored_file(facts: Vec<JobEnvelope>) -> Option<StoredFile> {
    let mut found = None;
    for envelope in facts {
        match envelope.fact? {
            Fact::FileCreated(created) => {
                found = Some(StoredFile {
                    id: created.file.parse().ok()?,
                    tenant: envelope.tenant.parse().ok()?,
                    created,
                    created_at_unix_nanos: envelope.recorded_at_unix_nanos,
                });
            }
            Fact::FileDeleted(_) => return None,
            _ => {}
        }
    }
    found
}
