//! Inferences whose clients nobody holds any more, and those whose time is over.
//!
//! While an api node lives it cancels what its clients left. When it is gone, whoever computes for it asks whether a client
//! came back to another node, and cancels what nobody waits for once the grace of the request is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, InferenceAddress, StreamName, subjects};
use bytes::Bytes;
use schemas::v1::envelope::Fact;
use schemas::v1::{CancelRequested, Requested, WorkClass};
use schemas::{FactKind, InferenceId, IngressId};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Worker, locked};

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For an api node to say that it lives.
const PATIENCE: Duration = Duration::from_secs(1);
/// A node that has just started may not answer yet.
const MIN_GRACE: Duration = Duration::from_secs(4);

/// For whom an inference is computed, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientTerms {
    /// How long it goes on without a client; absent: as long as it takes.
    grace: Option<Duration>,
    /// 0: never.
    deadline_unix_nanos: u64,
}

impl ClientTerms {
    pub(super) fn of(requested: &Requested) -> Self {
        let is_waited_for =
            !requested.background && requested.class() != WorkClass::Batch && requested.grace_nanos > 0;
        let grace = Duration::from_nanos(requested.grace_nanos).max(MIN_GRACE);
        Self { grace: is_waited_for.then_some(grace), deadline_unix_nanos: requested.deadline_unix_nanos }
    }

    fn is_overdue(&self, now_unix_nanos: u64) -> bool {
        self.deadline_unix_nanos != 0 && self.deadline_unix_nanos <= now_unix_nanos
    }

    fn is_over_after(&self, silence: Duration) -> bool {
        self.grace.is_some_and(|grace| silence >= grace)
    }
}

impl Worker {
    /// Asks for the cancellation of what nobody waits for, until it is dropped.
    pub(super) async fn watch_clients(self: Arc<Self>) {
        let mut silent_since: HashMap<IngressId, Instant> = HashMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now_unix_nanos = self.facts.stamp().unix_nanos;
            let mut by_ingress: HashMap<IngressId, Vec<(InferenceAddress, ClientTerms)>> = HashMap::new();
            for (address, terms) in self.held_for_clients() {
                if terms.is_overdue(now_unix_nanos) {
                    self.ask_to_cancel(&address, "timeout").await;
                } else if terms.grace.is_some() {
                    by_ingress.entry(address.ingress.clone()).or_default().push((address, terms));
                }
            }
            silent_since.retain(|ingress, _| by_ingress.contains_key(ingress));
            for (ingress, held) in by_ingress {
                if !self.is_gone(&ingress).await {
                    silent_since.remove(&ingress);
                    continue;
                }
                let silence = silent_since.entry(ingress).or_insert_with(Instant::now).elapsed();
                for (address, _) in held.into_iter().filter(|(_, terms)| terms.is_over_after(silence)) {
                    if !self.is_awaited(address.inference).await {
                        self.ask_to_cancel(&address, "client_gone").await;
                    }
                }
            }
        }
    }

    fn held_for_clients(&self) -> Vec<(InferenceAddress, ClientTerms)> {
        locked(&self.active).values().map(|active| (active.address.clone(), active.client)).collect()
    }

    async fn is_gone(&self, ingress: &IngressId) -> bool {
        self.is_unanswered(subjects::ingress_alive(ingress), Bytes::new()).await
    }

    async fn is_awaited(&self, inference: InferenceId) -> bool {
        !self.is_unanswered(subjects::awaited(), Bytes::from(inference.to_string())).await
    }

    /// Whether the broker was there and nobody else.
    async fn is_unanswered(&self, subject: String, question: Bytes) -> bool {
        match self.facts.log().ask(subject, question, PATIENCE).await {
            Err(BusError::NoResponder(_) | BusError::TimedOut { .. }) => self.facts.log().is_connected(),
            Ok(_) => false,
            Err(error) => {
                debug!(%error, "api nodes cannot be asked");
                false
            }
        }
    }

    async fn ask_to_cancel(&self, address: &InferenceAddress, reason: &str) {
        let append = async {
            let requested = subjects::fact(FactKind::Requested, &address.tenant, address.inference);
            let Some(requested) = self.facts.log().last(StreamName::Inference, requested).await? else {
                return Ok(());
            };
            let subject = subjects::fact(FactKind::CancelRequested, &address.tenant, address.inference);
            let fact = Fact::CancelRequested(CancelRequested { reason: reason.to_owned() });
            let facts = self.facts.following(requested.hash());
            facts.append(address.inference, &address.tenant, subject, fact).await.map(drop)
        };
        let appended: Result<(), BusError> = append.await;
        if let Err(error) = appended {
            warn!(inference = %address.inference, %error, "a cancellation could not be appended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(requested: Requested, silence_seconds: u64, expected: bool) {
        let terms = ClientTerms::of(&requested);
        assert_eq!(terms.is_over_after(Duration::from_secs(silence_seconds)), expected, "{requested:?}");
    }

    #[test]
    fn only_what_a_client_waits_for_can_be_abandoned() {
        let grace = |seconds: u64| Requested { grace_nanos: seconds * 1_000_000_000, ..Requested::default() };
        check(grace(10), 9, false);
        check(grace(10), 10, true);
        check(grace(1), 3, false);
        check(grace(0), 1_000, false);
        check(Requested { background: true, ..grace(10) }, 1_000, false);
        check(Requested { class: WorkClass::Batch.into(), ..grace(10) }, 1_000, false);
    }

    #[test]
    fn a_deadline_is_kept_if_there_is_one() {
        let terms =
            |deadline_unix_nanos| ClientTerms::of(&Requested { deadline_unix_nanos, ..Requested::default() });
        assert!(terms(5).is_overdue(5) && !terms(5).is_overdue(4) && !terms(0).is_overdue(u64::MAX));
    }
}
