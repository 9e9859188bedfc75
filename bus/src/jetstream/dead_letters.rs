//! Moves records whose deliveries are exhausted into the dead letters, on the broker's word.

use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::JetStreamLog;
use crate::topology::ConsumerSpec;
use crate::{Append, BusError, DeadLetter, Delivery, EventLog, Expect, StreamName};

/// Where the broker tells it; DEAD_LETTERS captures these, so nothing is missed while no handler runs.
pub(super) const ADVISORIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.INFERENCE.>";

const FETCH_WAIT: Duration = Duration::from_secs(30);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
const BATCH: usize = 32;

#[derive(Deserialize)]
struct Advisory {
    consumer: String,
    stream_seq: u64,
    deliveries: u64,
}

impl JetStreamLog {
    /// Stores what exhausted its deliveries in the dead letters, until `shutdown`. Any number of processes may run it.
    pub async fn run_dead_letter_handler(&self, shutdown: CancellationToken) -> Result<(), BusError> {
        let spec = ConsumerSpec {
            stream: StreamName::DeadLetters,
            name: "dead-letter-handler".to_owned(),
            patterns: vec![ADVISORIES.to_owned()],
            ack_wait: Duration::from_secs(30),
            max_deliver: 1_000,
            max_ack_pending: 1_000,
        };
        let consumer = self.consumer(&spec).await?;
        loop {
            let fetched = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                fetched = consumer.fetch(BATCH, FETCH_WAIT) => fetched,
            };
            let moved = match fetched {
                Ok(deliveries) => self.bury_all(&deliveries).await,
                Err(error) => Err(error),
            };
            if let Err(error) = moved {
                tracing::warn!(%error, "dead letters wait");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    async fn bury_all(&self, deliveries: &[Delivery]) -> Result<(), BusError> {
        for delivery in deliveries {
            match serde_json::from_slice::<Advisory>(&delivery.record.payload) {
                Ok(advisory) => self.bury(&advisory).await?,
                Err(error) => tracing::warn!(%error, "an advisory that cannot be read is dropped"),
            }
            delivery.ack().await?;
        }
        Ok(())
    }

    async fn bury(&self, advisory: &Advisory) -> Result<(), BusError> {
        let stream = StreamName::Inference;
        let sequence = advisory.stream_seq;
        let Some(record) = self.get(stream, sequence).await? else {
            tracing::warn!(sequence, consumer = %advisory.consumer, "an exhausted record has aged away");
            return Ok(());
        };
        tracing::warn!(sequence, consumer = %advisory.consumer, "a record goes to the dead letters");
        let letter = DeadLetter {
            stream: stream.as_str().to_owned(),
            sequence,
            subject: record.subject,
            consumer: advisory.consumer.clone(),
            reason: format!("delivered {} times without acknowledgement", advisory.deliveries),
            payload: record.payload,
        };
        self.append(Append {
            stream: StreamName::DeadLetters,
            subject: DeadLetter::subject_of(stream, &advisory.consumer, sequence),
            payload: letter.encode(),
            expect: Expect::FirstOnSubject,
        })
        .await
        .map(drop)
    }
}
