//! A durable consumer of the memory log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::Shared;
use super::deliveries::{Deliveries, Ready};
use crate::event_log::{ConsumerHandle, DeliveryHandle};
use crate::topology::ConsumerSpec;
use crate::{BusError, Delivery, Record};

pub(super) struct MemoryConsumer {
    shared: Arc<Shared>,
    spec: ConsumerSpec,
}

impl MemoryConsumer {
    pub(super) const fn new(shared: Arc<Shared>, spec: ConsumerSpec) -> Self {
        Self { shared, spec }
    }

    fn take(&self, max_num: usize) -> Result<Ready, BusError> {
        let now_unix_nanos = self.shared.now_unix_nanos();
        let mut state = self.shared.lock();
        let state = &mut *state;
        state.faults.check_connection()?;
        let key = (self.spec.stream, self.spec.name.clone());
        let (Some(stream), Some(deliveries)) =
            (state.streams.get_mut(&self.spec.stream), state.consumers.get_mut(&key))
        else {
            return Err(BusError::Refused(format!("no consumer '{}'", self.spec.name)));
        };
        stream.expire(now_unix_nanos);
        Ok(deliveries.take(stream, max_num, Instant::now()))
    }

    fn delivery(&self, record: Record, num_delivered: u64) -> Delivery {
        let handle = MemoryDelivery {
            shared: Arc::clone(&self.shared),
            spec: self.spec.clone(),
            sequence: record.sequence,
        };
        Delivery::new(record, num_delivered, Box::new(handle))
    }
}

#[async_trait]
impl ConsumerHandle for MemoryConsumer {
    async fn fetch(&self, max_num: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let deadline = Instant::now() + wait;
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let ready = self.take(max_num)?;
            for record in &ready.exhausted {
                let reason = format!("delivered {} times without acknowledgement", self.spec.max_deliver);
                self.shared.dead_letter(record, &self.spec, &reason)?;
            }
            if !ready.records.is_empty() || max_num == 0 || Instant::now() >= deadline {
                let deliveries =
                    ready.records.into_iter().map(|(record, count)| self.delivery(record, count));
                return Ok(deliveries.collect());
            }
            let wake_at = ready.next_due.map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }
}

struct MemoryDelivery {
    shared: Arc<Shared>,
    spec: ConsumerSpec,
    sequence: u64,
}

impl MemoryDelivery {
    fn with(&self, act: impl FnOnce(&mut Deliveries)) -> Result<(), BusError> {
        {
            let mut state = self.shared.lock();
            state.faults.check_connection()?;
            if let Some(deliveries) = state.consumers.get_mut(&(self.spec.stream, self.spec.name.clone())) {
                act(deliveries);
            }
        }
        self.shared.changed();
        Ok(())
    }
}

#[async_trait]
impl DeliveryHandle for MemoryDelivery {
    async fn ack(&self) -> Result<(), BusError> {
        self.with(|deliveries| deliveries.ack(self.sequence))
    }

    async fn retry_after(&self, delay: Duration) -> Result<(), BusError> {
        self.with(|deliveries| deliveries.reschedule(self.sequence, Instant::now() + delay))
    }

    async fn progress(&self) -> Result<(), BusError> {
        self.with(|deliveries| deliveries.reschedule(self.sequence, Instant::now() + self.spec.ack_wait))
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), BusError> {
        self.shared.dead_letter(record, &self.spec, reason)?;
        self.ack().await
    }
}
