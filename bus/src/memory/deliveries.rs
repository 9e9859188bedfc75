//! What a durable consumer of the memory log has handed out, decided without clock or I/O.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::streams::MemoryStream;
use crate::topology::ConsumerSpec;
use crate::{Backlog, Record};

/// One durable consumer's state.
pub(super) struct Deliveries {
    pub(super) spec: ConsumerSpec,
    next_sequence: u64,
    num_delivered: u64,
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
        Self { spec, next_sequence: 0, num_delivered: 0, pending: BTreeMap::new() }
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
        self.num_delivered += ready.records.len() as u64;
        ready
    }

    pub(super) fn backlog(&self, stream: &MemoryStream) -> Backlog {
        let num_waiting = stream.num_matches(self.next_sequence, &self.spec.patterns);
        Backlog { num_waiting, num_delivered: self.num_delivered }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::topology::{StreamPolicy, streams};
    use crate::{Append, Expect, StreamName};

    const ACK_WAIT: Duration = Duration::from_secs(10);
    const MAX_DELIVER: u64 = 3;
    const MAX_ACK_PENDING: u64 = 4;

    #[derive(Debug, Clone)]
    enum Operation {
        Append,
        Take(usize),
        Ack(usize),
        Retry(usize, u64),
        Wait(u64),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            Just(Operation::Append),
            (1..6_usize).prop_map(Operation::Take),
            (0..8_usize).prop_map(Operation::Ack),
            (0..8_usize, 0..15_u64).prop_map(|(index, seconds)| Operation::Retry(index, seconds)),
            (0..15_u64).prop_map(Operation::Wait),
        ]
    }

    /// What is out, with the time before which it must not come again.
    #[derive(Default)]
    struct Model {
        out: BTreeMap<u64, (Instant, u64)>,
        settled: BTreeSet<u64>,
    }

    impl Model {
        fn note(&mut self, ready: &Ready, now: Instant) {
            for record in &ready.exhausted {
                let (due, num_delivered) = self.out.remove(&record.sequence).expect("it was out");
                assert!(due <= now && num_delivered == MAX_DELIVER);
                assert!(self.settled.insert(record.sequence));
            }
            for (record, num_delivered) in &ready.records {
                let before = self.out.insert(record.sequence, (now + ACK_WAIT, *num_delivered));
                let (due, num_before) = before.unwrap_or((now, 0));
                assert!(due <= now, "{} came before its time", record.sequence);
                assert_eq!(*num_delivered, num_before + 1);
                assert!(!self.settled.contains(&record.sequence), "{} came after its end", record.sequence);
            }
            assert!(self.out.len() as u64 <= MAX_ACK_PENDING);
        }

        fn pick(&self, index: usize) -> Option<u64> {
            self.out.keys().nth(index).copied()
        }
    }

    fn append(stream: &mut MemoryStream) {
        let subject = format!("inference.requested.{}", stream.last_sequence());
        let payload = Bytes::new();
        let append =
            Append { stream: StreamName::Inference, subject, payload, expect: Expect::FirstOnSubject };
        stream.append(&append, 0).unwrap();
    }

    proptest! {
        #[test]
        fn each_record_is_delivered_until_it_is_settled_and_never_early(
            operations in prop::collection::vec(operation(), 1..200),
        ) {
            let spec = streams(&StreamPolicy::default()).remove(0);
            let mut stream = MemoryStream::new(spec);
            let mut deliveries = Deliveries::new(ConsumerSpec {
                stream: StreamName::Inference,
                name: "c".to_owned(),
                patterns: vec!["inference.>".to_owned()],
                ack_wait: ACK_WAIT,
                max_deliver: MAX_DELIVER,
                max_ack_pending: MAX_ACK_PENDING,
            });
            let mut model = Model::default();
            let mut now = Instant::now();
            for operation in operations {
                match operation {
                    Operation::Append => append(&mut stream),
                    Operation::Take(max_num) => {
                        let ready = deliveries.take(&stream, max_num, now);
                        prop_assert!(ready.records.len() <= max_num);
                        model.note(&ready, now);
                    }
                    Operation::Ack(index) => if let Some(sequence) = model.pick(index) {
                        deliveries.ack(sequence);
                        model.out.remove(&sequence);
                        model.settled.insert(sequence);
                    },
                    Operation::Retry(index, seconds) => if let Some(sequence) = model.pick(index) {
                        let due = now + Duration::from_secs(seconds);
                        deliveries.reschedule(sequence, due);
                        model.out.entry(sequence).and_modify(|(out_until, _)| *out_until = due);
                    },
                    Operation::Wait(seconds) => now += Duration::from_secs(seconds),
                }
            }
            // Left alone for long enough, everything is settled one way or the other.
            for _ in 0..=(stream.last_sequence() * (MAX_DELIVER + 1)) {
                now += ACK_WAIT * 2;
                model.note(&deliveries.take(&stream, usize::MAX, now), now);
            }
            prop_assert_eq!(model.settled, (1..=stream.last_sequence()).collect::<BTreeSet<_>>());
        }
    }
}
