//! The sequences that wait to run.

use std::collections::BTreeSet;

use crate::batching::config::Policy;
use crate::batching::sequence::{Sequence, SequenceId};

/// Order of service: those of batches after all others, and among equals under fcfs the order of arrival, under priority
/// (priority, arrival). A preempted sequence arrived before all of its kind that never ran, so its place is at their front
/// without further bookkeeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceOrder {
    is_batch: bool,
    priority: i32,
    arrival: u64,
}

impl ServiceOrder {
    /// Where `sequence` stands under `policy`; lower is earlier.
    pub fn of(sequence: &Sequence, policy: Policy) -> Self {
        let priority = match policy {
            Policy::Fcfs => 0,
            Policy::Priority => sequence.priority(),
        };
        ServiceOrder { is_batch: sequence.is_batch(), priority, arrival: sequence.arrival() }
    }
}

/// Sequences that are ready to run, in their order of service, and the number of tokens they bring.
#[derive(Debug, Default)]
pub struct WaitingQueue {
    ready: BTreeSet<(ServiceOrder, SequenceId)>,
    num_tokens: usize,
}

impl WaitingQueue {
    /// Queues `sequence`.
    pub fn insert(&mut self, sequence: &Sequence, policy: Policy) {
        if self.ready.insert((ServiceOrder::of(sequence, policy), sequence.id())) {
            self.num_tokens += sequence.tokens().len();
        }
    }

    /// Takes `sequence` out; false if it was not queued.
    pub fn remove(&mut self, sequence: &Sequence, policy: Policy) -> bool {
        let was_queued = self.ready.remove(&(ServiceOrder::of(sequence, policy), sequence.id()));
        if was_queued {
            self.num_tokens -= sequence.tokens().len();
        }
        was_queued
    }

    /// The next to run.
    pub fn head(&self) -> Option<SequenceId> {
        self.ready.first().map(|(_, id)| *id)
    }

    /// Queued sequences of batches, in their order of service.
    pub fn of_batches(&self) -> impl Iterator<Item = SequenceId> + '_ {
        let first = ServiceOrder { is_batch: true, priority: i32::MIN, arrival: 0 };
        self.ready.range((first, SequenceId(0))..).map(|(_, id)| *id)
    }

    /// Queued sequences.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Tokens of all queued sequences.
    pub fn num_tokens(&self) -> usize {
        self.num_tokens
    }

    /// Queued sequences in their order of service.
    pub fn iter(&self) -> impl Iterator<Item = SequenceId> + '_ {
        self.ready.iter().map(|(_, id)| *id)
    }
}
