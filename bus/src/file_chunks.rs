//! The bytes of files: chunks on literal subjects, written and read one after the other.
//!
//! A file of any size takes the memory of a few chunks. It is there for others only when its `FileCreated` says so; what a
//! writer left behind is written over by a purge and a new writer of the same file.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use schemas::{FileId, TenantId};

use crate::limits::CLAIM_CHECK_BYTES;
use crate::{Append, AppendOutcome, BusError, EventLog, Expect, ReadFrom, Records, StreamName, subjects};

/// Most bytes of a chunk: the largest record that is stored as it is.
const CHUNK_BYTES: usize = CLAIM_CHECK_BYTES;

/// The parts of a file in their order; `Err` ends it, also when a part is missing.
pub type FileBytes = BoxStream<'static, Result<Bytes, BusError>>;

/// What a writer has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its size.
    pub num_bytes: u64,
    /// Its chunks.
    pub num_chunks: u64,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub digest: String,
}

/// Writes one file from its beginning to its end.
pub struct FileWriter {
    log: Arc<dyn EventLog>,
    tenant: TenantId,
    file: FileId,
    buffer: BytesMut,
    num_bytes: u64,
    num_chunks: u64,
    digest: blake3::Hasher,
}

impl FileWriter {
    /// A writer of a file of which nothing stands, or its beginning. `Err(Object)` comes from any call once other bytes
    /// turn out to stand in their place.
    pub fn new(log: Arc<dyn EventLog>, tenant: TenantId, file: FileId) -> Self {
        let digest = blake3::Hasher::new();
        Self { log, tenant, file, buffer: BytesMut::new(), num_bytes: 0, num_chunks: 0, digest }
    }

    /// Adds bytes; whole chunks are durable when this returns.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), BusError> {
        while !bytes.is_empty() {
            let num_free = CHUNK_BYTES - self.buffer.len();
            let (part, rest) = bytes.split_at(num_free.min(bytes.len()));
            self.buffer.extend_from_slice(part);
            bytes = rest;
            if self.buffer.len() == CHUNK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes + self.buffer.len() as u64
    }

    /// Makes the rest durable.
    pub async fn finish(mut self) -> Result<WrittenFile, BusError> {
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        let digest = self.digest.finalize().to_hex().to_string();
        Ok(WrittenFile { num_bytes: self.num_bytes, num_chunks: self.num_chunks, digest })
    }

    async fn flush(&mut self) -> Result<(), BusError> {
        let chunk = self.buffer.split().freeze();
        self.digest.update(&chunk);
        self.num_bytes += chunk.len() as u64;
        let append = Append {
            stream: StreamName::Files,
            subject: subjects::file_chunk(&self.tenant, &self.file, self.num_chunks),
            payload: chunk,
            expect: Expect::FirstOnSubject,
        };
        let (subject, chunk) = (append.subject.clone(), append.payload.clone());
        if self.log.append(append).await? == AppendOutcome::AlreadyThere {
            // Another one, or this one before it was interrupted, writes the same file.
            let standing = self.log.last(StreamName::Files, subject).await?;
            if standing.is_none_or(|standing| standing.payload != chunk) {
                let reason = format!("other bytes stand at chunk {}", self.num_chunks);
                return Err(BusError::Object { name: self.file.to_string(), reason, missing: None });
            }
        }
        self.num_chunks += 1;
        Ok(())
    }
}

/// The bytes of a file of `num_chunks` chunks.
pub async fn read_file(
    log: &dyn EventLog,
    tenant: &TenantId,
    file: &FileId,
    num_chunks: u64,
) -> Result<FileBytes, BusError> {
    let patterns = vec![subjects::all_chunks_of(tenant, file)];
    let records = log.read(StreamName::Files, patterns, ReadFrom::Start, false).await?;
    let reading = Reading { records, tenant: tenant.clone(), file: file.clone(), next: 0, num_chunks };
    Ok(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next_chunk().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reading))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}

/// Removes the bytes of a file.
pub async fn purge_file(log: &dyn EventLog, tenant: &TenantId, file: &FileId) -> Result<(), BusError> {
    log.purge(StreamName::Files, subjects::all_chunks_of(tenant, file)).await
}

struct Reading {
    records: Records,
    tenant: TenantId,
    file: FileId,
    next: u64,
    num_chunks: u64,
}

impl Reading {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BusError> {
        if self.next == self.num_chunks {
            return Ok(None);
        }
        let record = self.records.next().await.transpose()?;
        let expected = subjects::file_chunk(&self.tenant, &self.file, self.next);
        self.next += 1;
        match record {
            Some(record) if record.subject == expected => Ok(Some(record.payload)),
            _ => {
                let reason = format!("chunk {} of {} is not there", self.next - 1, self.num_chunks);
                Err(BusError::Object { name: self.file.to_string(), reason, missing: None })
            }
        }
    }
}
