//! How a worker learns which of its attempts were given up.
//!
//! It follows what is given up, and before it speaks after it was not heard for a while it looks.

use std::time::Duration;

use bus::{FactWriter, InferenceAddress, ReadFrom, StreamName, subjects};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use schemas::v1::envelope::Fact;
use schemas::{FactKind, InferenceId};
use tracing::warn;

use super::pulse::Pulse;
use super::{PAUSE_AFTER_FAILURE, record};

/// A worker that is not heard for longer goes on, and finds out at its next append.
const MAX_UNHEARD: Duration = Duration::from_secs(15);

/// Lets go of every attempt that is given up, for ever.
pub(crate) async fn follow_losses<F: Future<Output = ()>>(
    facts: &FactWriter,
    let_go: impl Fn(InferenceId, u32) -> F,
) {
    let log = facts.log();
    let mut from = None;
    loop {
        let followed = async {
            let start = match from {
                Some(sequence) => sequence,
                None => log.last_sequence(StreamName::Inference).await? + 1,
            };
            from = Some(start);
            let patterns = vec![subjects::all_of(FactKind::AttemptFailed)];
            log.read(StreamName::Inference, patterns, ReadFrom::Sequence(start), true).await
        };
        match followed.await {
            Ok(mut records) => {
                while let Some(Ok(record)) = records.next().await {
                    from = Some(record.sequence + 1);
                    if let Some((inference, attempt)) = given_up(&record.payload) {
                        let_go(inference, attempt).await;
                    }
                }
            }
            Err(error) => warn!(%error, "cannot follow lost attempts, trying again"),
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

fn given_up(payload: &[u8]) -> Option<(InferenceId, u32)> {
    let envelope = schemas::decode_envelope(payload).ok()?;
    let inference = envelope.inference().ok()?;
    let Some(Fact::AttemptFailed(failed)) = envelope.fact else { return None };
    Some((inference, failed.attempt))
}

impl Pulse {
    /// Returns once the worker may speak: at once if the broker hears it, otherwise after it let go of those of the `held`
    /// attempts that were given up meanwhile.
    pub(crate) async fn may_speak<F: Future<Output = ()>>(
        &self,
        held: impl FnOnce() -> Vec<(InferenceAddress, u32)>,
        let_go: impl Fn(InferenceId, u32) -> F,
    ) {
        if self.is_heard() {
            return;
        }
        let _first = self.regaining.lock().await;
        if self.is_heard() {
            return;
        }
        warn!("the broker has not heard this worker for a while");
        if tokio::time::timeout(MAX_UNHEARD, self.heard()).await.is_err() {
            warn!("the broker does not hear this worker");
        }
        let let_go = &let_go;
        let looks = held().into_iter().map(|(address, attempt)| async move {
            match record::is_given_up(self.facts(), &address, attempt).await {
                Ok(true) => let_go(address.inference, attempt).await,
                Ok(false) => {}
                Err(error) => {
                    warn!(inference = %address.inference, %error, "cannot tell whether it was given up");
                }
            }
        });
        join_all(looks).await;
    }
}
