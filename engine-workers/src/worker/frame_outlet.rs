//! Where token frames go: through the broker at once, or to an api node of this process at once and into the log in groups.

use std::collections::HashMap;
use std::time::Duration;

use bus::{FactWriter, LocalFrames};
use schemas::IngressId;
use schemas::v1::FrameEntry;
use tokio::time::Instant;
use tracing::warn;

/// What the log may lag behind a client of this process; a killed process computes so much again.
const MAX_LAG: Duration = Duration::from_millis(50);
/// With so many entries held the log gets them before they are due.
const MAX_NUM_HELD: usize = 512;

/// Sends frames in the order of their steps.
pub(super) struct FrameOutlet {
    facts: FactWriter,
    local: LocalFrames,
    held: HashMap<IngressId, Held>,
    due_at: Option<Instant>,
}

/// What a node of this process has heard and the log does not have yet.
#[derive(Default)]
struct Held {
    last_step: u64,
    entries: Vec<FrameEntry>,
}

impl FrameOutlet {
    pub(super) fn new(facts: FactWriter, local: LocalFrames) -> Self {
        Self { facts, local, held: HashMap::new(), due_at: None }
    }

    /// Sends a step's entries to their node.
    pub(super) async fn send(&mut self, ingress: IngressId, step: u64, mut entries: Vec<FrameEntry>) {
        let is_heard = self.local.deliver(&ingress, step, &entries);
        // The log shows at once that an answer has begun: other workers judge by it.
        let may_wait = is_heard && entries.iter().all(|entry| entry.prompt.is_none());
        if !may_wait && !self.held.contains_key(&ingress) {
            return self.publish(&ingress, step, entries).await;
        }
        for entry in &mut entries {
            entry.step = step;
        }
        let held = self.held.entry(ingress).or_default();
        held.last_step = step;
        held.entries.append(&mut entries);
        if !may_wait || held.entries.len() >= MAX_NUM_HELD {
            self.publish_held().await;
        } else if self.due_at.is_none() {
            self.due_at = Some(Instant::now() + MAX_LAG);
        }
    }

    /// Returns when something was held for long enough. Cancel-safe.
    pub(super) async fn is_due(&self) {
        match self.due_at {
            Some(due_at) => tokio::time::sleep_until(due_at).await,
            None => std::future::pending().await,
        }
    }

    /// Leaves nothing held.
    pub(super) async fn publish_held(&mut self) {
        self.due_at = None;
        for (ingress, Held { last_step, entries }) in std::mem::take(&mut self.held) {
            self.publish(&ingress, last_step, entries).await;
        }
    }

    async fn publish(&self, ingress: &IngressId, step: u64, entries: Vec<FrameEntry>) {
        if let Err(error) = self.facts.publish_frame(ingress, step, entries).await {
            warn!(%ingress, step, %error, "a token frame was not published");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bus::{EventLog, MemoryLog, ReadFrom, Stamp, StreamName, subjects};
    use futures_util::TryStreamExt as _;
    use prost::Message as _;
    use schemas::v1::{PromptReport, TokenFrame};
    use schemas::{EventId, WorkerId};

    use super::*;

    struct Bench {
        log: MemoryLog,
        frames: LocalFrames,
        outlet: FrameOutlet,
    }

    fn node() -> IngressId {
        IngressId::slug("api-1")
    }

    fn entry(first_token_index: u32) -> FrameEntry {
        let prompt = (first_token_index == 0).then(PromptReport::default);
        FrameEntry { first_token_index, token_ids: vec![7], prompt, ..FrameEntry::default() }
    }

    impl Bench {
        fn new() -> Self {
            let log = MemoryLog::new();
            let stamps = Arc::new(|| Stamp { event_id: EventId::new(uuid::Uuid::nil()), unix_nanos: 1 });
            let facts = FactWriter::new(Arc::new(log.clone()), stamps, "worker", WorkerId::slug("worker-1"));
            let frames = LocalFrames::default();
            Self { log, outlet: FrameOutlet::new(facts, frames.clone()), frames }
        }

        async fn say(&mut self, step: u64, first_token_index: u32) {
            self.outlet.send(node(), step, vec![entry(first_token_index)]).await;
        }

        /// The step of each frame in the log, with the steps and indexes of its entries.
        async fn logged(&self) -> Vec<(u64, Vec<(u64, u32)>)> {
            let patterns = vec![subjects::tokens_for(&node())];
            let records = self.log.read(StreamName::Tokens, patterns, ReadFrom::Start, false).await.unwrap();
            let records: Vec<_> = records.try_collect().await.unwrap();
            let frames = records.iter().map(|record| TokenFrame::decode(record.payload.clone()).unwrap());
            frames
                .map(|frame| {
                    let entries = frame.entries.iter().map(|entry| (entry.step, entry.first_token_index));
                    (frame.step, entries.collect())
                })
                .collect()
        }
    }

    #[tokio::test]
    async fn a_node_elsewhere_gets_each_step_at_once() {
        let mut bench = Bench::new();
        for step in 0..3 {
            bench.say(u64::from(step) + 10, step).await;
        }
        assert_eq!(bench.logged().await, [(10, vec![(0, 0)]), (11, vec![(0, 1)]), (12, vec![(0, 2)])]);
    }

    #[tokio::test]
    async fn a_node_here_hears_each_step_and_the_log_gets_the_first_at_once_and_the_others_together() {
        let mut bench = Bench::new();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        let _listening = bench.frames.listen(node(), move |step, entries| {
            sink.lock().unwrap().push((step, entries[0].first_token_index));
        });
        for step in 0..4 {
            bench.say(u64::from(step) + 10, step).await;
            assert_eq!(heard.lock().unwrap().last(), Some(&(u64::from(step) + 10, step)));
        }
        assert_eq!(bench.logged().await, [(10, vec![(0, 0)])]);
        bench.outlet.is_due().await;
        bench.outlet.publish_held().await;
        let rest = (13, vec![(11, 1), (12, 2), (13, 3)]);
        assert_eq!(bench.logged().await[1..], [rest]);
        assert!(bench.outlet.due_at.is_none(), "nothing is held");
    }

    #[tokio::test]
    async fn the_log_keeps_the_order_when_another_answer_begins_or_the_node_leaves() {
        let mut bench = Bench::new();
        let listening = bench.frames.listen(node(), |_, _| {});
        bench.say(10, 1).await;
        bench.say(11, 0).await;
        assert_eq!(bench.logged().await, [(11, vec![(10, 1), (11, 0)])]);
        bench.say(12, 2).await;
        drop(listening);
        bench.say(13, 3).await;
        assert_eq!(bench.logged().await[1..], [(13, vec![(12, 2), (13, 3)])]);
    }

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let mut bench = Bench::new();
        let _listening = bench.frames.listen(node(), |_, _| {});
        for step in 1..=MAX_NUM_HELD as u32 {
            assert!(bench.logged().await.is_empty());
            bench.say(u64::from(step), step).await;
        }
        assert_eq!(bench.logged().await.len(), 1);
    }
}
