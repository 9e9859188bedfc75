//! From the engine's output to token frames and ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::subjects;
use schemas::v1::envelope::Fact;
use schemas::v1::{AttemptFailed, FrameEntry};
use schemas::{FactKind, IngressId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::active::Active;
use super::frames::{EntryContext, entry};
use super::{Worker, locked};
use crate::engine::output::{SequenceOutput, StepOutput};
use crate::engine::output_queue::OutputReceiver;

impl Worker {
    /// Publishes each step until the engine stops; ends are written in tasks of their own, and all are awaited.
    pub(super) async fn pump(
        self: Arc<Self>,
        mut outputs: OutputReceiver,
        engine_stopped: CancellationToken,
    ) {
        let ends = TaskTracker::new();
        while let Some(output) = outputs.recv().await {
            let step = output.step;
            let (frames, finished) = self.take_in(output);
            for (ingress, entries) in frames {
                if let Err(error) = self.facts.publish_frame(&ingress, step, entries).await {
                    warn!(%ingress, step, %error, "a token frame was not published");
                }
            }
            for active in finished {
                let worker = Arc::clone(&self);
                ends.spawn(async move { worker.settle(active).await });
            }
        }
        engine_stopped.cancel();
        ends.close();
        ends.wait().await;
    }

    /// The step's frames, one per api node, and the inferences that it finished.
    fn take_in(&self, output: StepOutput) -> (HashMap<IngressId, Vec<FrameEntry>>, Vec<Active>) {
        let mut frames: HashMap<IngressId, Vec<FrameEntry>> = HashMap::new();
        let mut finished = Vec::new();
        let now_unix_nanos = self.facts.stamp().unix_nanos;
        let mut inferences = locked(&self.active);
        for sequence in output.sequences.into_iter().flat_map(SequenceOutput::into_single_tokens) {
            let id = sequence.id;
            // Absent: it was handed back, and another worker speaks for it now.
            let Some(active) = inferences.get_mut(&id) else { continue };
            let since_requested =
                Duration::from_nanos(now_unix_nanos.saturating_sub(active.summary.requested_at_unix_nanos));
            let heard =
                active.answer.push(&sequence, |id| self.text.tokenizer.token_bytes(id), since_requested);
            let is_over = heard.is_over;
            let context = EntryContext {
                attempt: active.attempt,
                engine_fingerprint: &active.engine_fingerprint,
                echo: active.echo,
                text: &self.text,
            };
            let is_lost = is_over && active.answer.retryable_failure().is_some();
            if !is_lost {
                frames
                    .entry(active.address.ingress.clone())
                    .or_default()
                    .push(entry(sequence, heard, &context));
            }
            if is_over && let Some(active) = inferences.remove(&id) {
                finished.push(active);
            }
        }
        (frames, finished)
    }

    /// Writes how an inference ended, then acknowledges its delivery and frees its slot.
    async fn settle(&self, active: Active) {
        let Active {
            address,
            attempt,
            delivery,
            assigned,
            started,
            slot,
            summary,
            answer,
            engine_fingerprint,
            ..
        } = active;
        let previous = started.await.unwrap_or_else(|error| {
            warn!(inference = %address.inference, %error, "the start was not written");
            assigned
        });
        let written = match answer.retryable_failure().cloned() {
            Some(failure) => {
                let worker = self.options.id.to_string();
                let failed = AttemptFailed {
                    attempt,
                    worker,
                    failure: Some(failure),
                    summary: Some(summary),
                    ..AttemptFailed::default()
                };
                let subject = subjects::attempt_fact(
                    FactKind::AttemptFailed,
                    &address.tenant,
                    address.inference,
                    attempt,
                );
                self.facts
                    .following(previous)
                    .append(address.inference, &address.tenant, subject, Fact::AttemptFailed(failed))
                    .await
                    .map(|_| ())
            }
            None => {
                let ended = answer.into_ended(attempt, self.options.id.as_str(), &engine_fingerprint);
                self.end(&address, previous, ended).await
            }
        };
        let settled = match written {
            Ok(()) => delivery.ack().await,
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            warn!(inference = %address.inference, %error, "an inference could not be settled and comes again");
        }
        drop(slot);
        self.left.notify_waiters();
    }
}
