//! From the engine's output to token frames and ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Delivery, InferenceAddress};
use schemas::IngressId;
use schemas::v1::{AttemptFailed, FrameEntry};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::active::{Computation, Progress};
use super::frame_outlet::FrameOutlet;
use super::frames::{EntryContext, entry};
use super::{Worker, locked, record};
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
        let mut outlet = FrameOutlet::new(self.facts.clone(), self.local_frames.clone());
        loop {
            let output = tokio::select! {
                output = outputs.recv() => output,
                () = outlet.is_due() => {
                    self.may_speak().await;
                    outlet.publish_held().await;
                    continue;
                }
            };
            let Some(output) = output else { break };
            self.may_speak().await;
            let step = output.step;
            let (frames, finished) = self.take_in(output);
            for (ingress, entries) in frames {
                outlet.send(ingress, step, entries).await;
            }
            if !finished.is_empty() {
                // An end comes after the tokens that it ends.
                outlet.publish_held().await;
            }
            for finished in finished {
                let worker = Arc::clone(&self);
                ends.spawn(async move { worker.settle(finished).await });
            }
        }
        outlet.publish_held().await;
        engine_stopped.cancel();
        ends.close();
        ends.wait().await;
    }

    /// The step's frames, one per api node, and the inferences that it finished.
    fn take_in(&self, output: StepOutput) -> (HashMap<IngressId, Vec<FrameEntry>>, Vec<Finished>) {
        let mut frames: HashMap<IngressId, Vec<FrameEntry>> = HashMap::new();
        let mut finished = Vec::new();
        let mut is_any_proven = false;
        let now_unix_nanos = self.facts.stamp().unix_nanos;
        let mut inferences = locked(&self.active);
        for replayed in output.replayed {
            let active = inferences.get_mut(&replayed.id).and_then(|active| active.computation.as_mut());
            if let Some(computation) = active {
                computation.answer.replay(&replayed);
            }
        }
        for sequence in output.sequences.into_iter().flat_map(SequenceOutput::into_single_tokens) {
            let id = sequence.id;
            // Absent: it was handed back, and another worker speaks for it now.
            let Some(active) = inferences.get_mut(&id) else { continue };
            if active.is_given_up {
                if sequence.finish.is_some_and(|finish| finish.is_last_of_inference) {
                    inferences.remove(&id);
                    self.left.notify_waiters();
                }
                continue;
            }
            let Some(computation) = &mut active.computation else { continue };
            let since_requested = now_unix_nanos.saturating_sub(computation.summary.requested_at_unix_nanos);
            let heard = computation.answer.push(
                &sequence,
                |id| self.text.tokenizer.token_bytes(id),
                Duration::from_nanos(since_requested),
            );
            let is_over = heard.is_over;
            if is_over || !sequence.token_ids.is_empty() {
                let before = std::mem::replace(&mut active.progress, Progress::Proven);
                is_any_proven |= matches!(before, Progress::Begun { .. });
            }
            let context = EntryContext {
                attempt: active.attempt,
                engine_fingerprint: &computation.engine_fingerprint,
                echo: computation.echo,
                text: &self.text,
            };
            let is_lost = is_over && computation.answer.retryable_failure().is_some();
            if !is_lost {
                let entry = entry(sequence, heard, &context);
                computation.answer.keep(&entry);
                frames.entry(active.address.ingress.clone()).or_default().push(entry);
            }
            if is_over && let Some(computation) = active.computation.take() {
                let (address, attempt) = (active.address.clone(), active.attempt);
                let delivery = Arc::clone(&active.delivery);
                finished.push(Finished { address, attempt, delivery, computation });
            }
        }
        drop(inferences);
        if is_any_proven {
            self.pulse.note_change();
        }
        (frames, finished)
    }

    /// Writes how an inference ended, then acknowledges its delivery and frees its slot.
    async fn settle(&self, finished: Finished) {
        let Finished { address, attempt, delivery, computation } = finished;
        let Computation { assigned, started, summary, history, answer, engine_fingerprint, price, .. } =
            computation;
        let previous = started.await.unwrap_or_else(|error| {
            warn!(inference = %address.inference, %error, "the start was not written");
            assigned
        });
        self.may_speak().await;
        // None: it was handed back meanwhile.
        let held = locked(&self.active)
            .get(&address.inference)
            .filter(|held| held.attempt == attempt)
            .map(|held| (held.is_given_up, Arc::clone(&held.delivery)));
        let (is_given_up, delivery) = held.unwrap_or((false, delivery));
        if is_given_up {
            return self.forget(address.inference, attempt);
        }
        let written = match answer.retryable_failure().cloned() {
            Some(failure) => {
                let failed = AttemptFailed {
                    attempt,
                    worker: self.options.id.to_string(),
                    failure: Some(failure),
                    summary: Some(summary),
                    history: Some(record::history_after_failure(history)),
                };
                let facts = self.facts.following(previous);
                record::append_attempt_failed(&facts, &address, failed).await
            }
            None => {
                let ended = answer.into_ended(attempt, self.options.id.as_str(), &engine_fingerprint);
                let ended = record::priced(ended, price.as_ref());
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
        self.forget(address.inference, attempt);
    }
}

/// An attempt that the engine is done with.
struct Finished {
    address: InferenceAddress,
    attempt: u32,
    delivery: Arc<Delivery>,
    computation: Computation,
}
