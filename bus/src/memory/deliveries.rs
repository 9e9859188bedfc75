//! What a durable consumer of the memory log has handed out, decided without clock or I/O.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::streams::MemoryStream;
use crate::Record;
use crate::topology::ConsumerSpec;

/// One durable consumer's state.
pub(super) struct Deliveries {
    pub(super) spec: ConsumerSpec,
    next_sequence: u64,
    pending: BTreeMap<u64, Pending>,
}

struct Pending {
    num_delivered: u64,
    due: Instant,
}

/// What a fetch finds.
pub(super) struct Ready {
    /// To deliver, with the count of deliveries.
    pub(super) records: Vec<(Record, u64)>,
    /// Past their last delivery: to be given up.
    pub(super) exhausted: Vec<Record>,
    /// When the next redelivery is due.
    pub(super) next_due: Option<Instant>,
}

impl Deliveries {
    pub(super) const fn new(spec: ConsumerSpec) -> Self {
        Self { spec, next_sequence: 0, pending: BTreeMap::new() }
    }

    /// Takes up to `max_num` records: redeliveries that are due first, then new ones.
    pub(super) fn take(&mut self, stream: &MemoryStream, max_num: usize, now: Instant) -> Ready {
        let mut ready = Ready { records: Vec::new(), exhausted: Vec::new(), next_due: None };
        let due: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.due <= now)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in due {
            let Some(record) = stream.get(sequence) else {
                self.pending.remove(&sequence);
                continue;
            };
            let Some(pending) = self.pending.get_mut(&sequence) else { continue };
            if pending.num_delivered >= self.spec.max_deliver {
                self.pending.remove(&sequence);
                ready.exhausted.push(record.clone());
            } else if ready.records.len() < max_num {
                pending.num_delivered += 1;
                pending.due = now + self.spec.ack_wait;
                ready.records.push((record.clone(), pending.num_delivered));
            }
        }
        while ready.records.len() < max_num && (self.pending.len() as u64) < self.spec.max_ack_pending {
            let Some(record) = stream.next_match(self.next_sequence, &self.spec.patterns) else { break };
            self.next_sequence = record.sequence + 1;
            self.pending.insert(record.sequence, Pending { num_delivered: 1, due: now + self.spec.ack_wait });
            ready.records.push((record.clone(), 1));
        }
        ready.next_due = self.pending.values().map(|pending| pending.due).min();
        ready
    }

    pub(super) fn ack(&mut self, sequence: u64) {
        self.pending.remove(&sequence);
    }

    /// Redelivers at `due` unless it was acknowledged.
    pub(super) fn reschedule(&mut self, sequence: u64, due: Instant) {
        if let Some(pending) = self.pending.get_mut(&sequence) {
            pending.due = due;
        }
    }
}
