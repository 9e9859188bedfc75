//! Reading the INFERENCE stream without being stopped by a record whose claim-checked payload is gone.

use std::sync::Arc;

use bus::{BusError, EventLog, ReadFrom, Record, Records, StreamName};
use futures_util::StreamExt;

/// What stands at a place of the stream.
#[derive(Debug)]
pub(crate) enum Entry {
    Record(Record),
    /// The record is there and its payload cannot be had.
    WithoutPayload {
        sequence: u64,
    },
}

impl Entry {
    /// Its place in the stream.
    pub(crate) const fn sequence(&self) -> u64 {
        match self {
            Self::Record(record) => record.sequence,
            Self::WithoutPayload { sequence } => *sequence,
        }
    }
}

/// The stream from some sequence on, in order.
pub(crate) struct LogReader {
    log: Arc<dyn EventLog>,
    follow: bool,
    next_sequence: u64,
    /// `None` while the record that broke the reading is looked for.
    records: Option<Records>,
}

impl LogReader {
    /// Begins at `first`; with `follow` it goes on with what comes.
    pub(crate) async fn open(log: Arc<dyn EventLog>, first: u64, follow: bool) -> Result<Self, BusError> {
        let records = read(log.as_ref(), first, follow).await?;
        Ok(Self { log, follow, next_sequence: first, records: Some(records) })
    }

    /// The next entry; `None` at the end. Cancel-safe. After an `Err` the reader is of no more use.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, BusError> {
        loop {
            let found = match &mut self.records {
                Some(records) => match records.next().await {
                    Some(Ok(record)) => Some(record),
                    Some(Err(BusError::Object { .. })) => None,
                    Some(Err(error)) => return Err(error),
                    None => return Ok(None),
                },
                None => match self.log.get(StreamName::Inference, self.next_sequence).await {
                    Ok(found) => found,
                    Err(BusError::Object { .. }) => return self.step_over().await.map(Some),
                    Err(error) => return Err(error),
                },
            };
            match found {
                Some(record) => {
                    self.next_sequence = record.sequence + 1;
                    return Ok(Some(Entry::Record(record)));
                }
                None if self.records.is_some() => self.records = None,
                None if self.next_sequence < self.log.last_sequence(StreamName::Inference).await? => {
                    self.next_sequence += 1;
                }
                None => self.records = Some(read(self.log.as_ref(), self.next_sequence, self.follow).await?),
            }
        }
    }

    async fn step_over(&mut self) -> Result<Entry, BusError> {
        let sequence = self.next_sequence;
        self.records = Some(read(self.log.as_ref(), sequence + 1, self.follow).await?);
        self.next_sequence = sequence + 1;
        Ok(Entry::WithoutPayload { sequence })
    }
}

async fn read(log: &dyn EventLog, first: u64, follow: bool) -> Result<Records, BusError> {
    log.read(StreamName::Inference, Vec::new(), ReadFrom::Sequence(first), follow).await
}
