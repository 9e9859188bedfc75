//! From the engine's thread to whoever publishes its output.
//!
//! The engine never waits for the reader. Memory stays bounded all the same: once [`MAX_UNREAD_STEPS`] are unread, the
//! next ones are merged into the last, so that there is one entry per sequence and not per step; and the engine takes no
//! new sequence while those it holds, the ones whose end is unread included, reach
//! `max_num_seqs + max_num_queued_requests`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::engine::locked;
use crate::engine::output::{SequenceOutput, StepOutput};

/// Steps kept apart for the reader.
pub const MAX_UNREAD_STEPS: usize = 8;

#[derive(Debug, Default)]
struct Queue {
    steps: VecDeque<StepOutput>,
    num_unread_ends: usize,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

/// The engine's end.
#[derive(Debug)]
pub struct OutputSender {
    shared: Arc<Shared>,
}

/// The reader's end. Dropping it stops the engine.
#[derive(Debug)]
pub struct OutputReceiver {
    shared: Arc<Shared>,
}

/// Both ends of an empty queue.
pub fn output_queue() -> (OutputSender, OutputReceiver) {
    let shared = Arc::new(Shared::default());
    (OutputSender { shared: Arc::clone(&shared) }, OutputReceiver { shared })
}

impl OutputSender {
    /// Hands a step over without waiting; false if nobody will read it.
    pub fn push(&self, output: StepOutput) -> bool {
        {
            let mut queue = locked(&self.shared.queue);
            if queue.is_closed {
                return false;
            }
            queue.num_unread_ends += num_ends(&output);
            if queue.steps.len() < MAX_UNREAD_STEPS {
                queue.steps.push_back(output);
            } else if let Some(last) = queue.steps.back_mut() {
                merge(last, output);
            }
        }
        self.shared.changed.notify_one();
        true
    }

    /// Sequences whose end was not read yet.
    pub fn num_unread_ends(&self) -> usize {
        locked(&self.shared.queue).num_unread_ends
    }
}

impl Drop for OutputSender {
    fn drop(&mut self) {
        locked(&self.shared.queue).is_closed = true;
        self.shared.changed.notify_one();
    }
}

impl OutputReceiver {
    /// The next output; `None` once the engine has stopped and everything was read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<StepOutput> {
        loop {
            {
                let mut queue = locked(&self.shared.queue);
                if let Some(output) = pop(&mut queue) {
                    return Some(output);
                }
                if queue.is_closed {
                    return None;
                }
            }
            self.shared.changed.notified().await;
        }
    }

    /// The next output if there is one now.
    pub fn try_recv(&mut self) -> Option<StepOutput> {
        pop(&mut locked(&self.shared.queue))
    }
}

impl Drop for OutputReceiver {
    fn drop(&mut self) {
        let mut queue = locked(&self.shared.queue);
        queue.is_closed = true;
        queue.steps.clear();
    }
}

fn pop(queue: &mut Queue) -> Option<StepOutput> {
    let output = queue.steps.pop_front()?;
    queue.num_unread_ends -= num_ends(&output);
    Some(output)
}

fn num_ends(output: &StepOutput) -> usize {
    output.sequences.iter().filter(|sequence| sequence.finish.is_some()).count()
}

/// Appends `next` to the unread `last`, sequence by sequence.
fn merge(last: &mut StepOutput, next: StepOutput) {
    last.step = next.step;
    last.replayed.extend(next.replayed);
    for new in next.sequences {
        let unread = last.sequences.iter_mut().find(|old| old.id == new.id && old.choice == new.choice);
        match unread {
            // An id may come back after its end; the end stays an entry of its own.
            Some(old) if old.finish.is_none() => append(old, new),
            _ => last.sequences.push(new),
        }
    }
}

fn append(old: &mut SequenceOutput, new: SequenceOutput) {
    old.token_ids.extend(new.token_ids);
    let num_bytes = old.text.len() as u32;
    old.text_ends.extend(new.text_ends.into_iter().map(|end| num_bytes + end));
    old.text.push_str(&new.text);
    old.logprobs.extend(new.logprobs);
    old.prompt = old.prompt.take().or(new.prompt);
    old.finish = new.finish;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::output::{Finish, FinishCause, Timings, Usage};
    use schemas::InferenceId;

    fn output(step: u64, choice: u32, is_end: bool) -> StepOutput {
        let finish = is_end.then(|| Finish {
            reason: FinishCause::Length,
            usage: Usage::default(),
            timings: Timings::default(),
            is_last_of_inference: true,
        });
        let sequence = SequenceOutput {
            id: "0198c6f0a1b27c3d8e4f5061728394a5".parse::<InferenceId>().unwrap(),
            choice,
            first_token_index: step as u32,
            token_ids: vec![step as u32],
            text: step.to_string(),
            text_ends: vec![step.to_string().len() as u32],
            logprobs: Vec::new(),
            prompt: None,
            finish,
        };
        StepOutput { step, sequences: vec![sequence], ..StepOutput::default() }
    }

    #[test]
    fn a_slow_reader_gets_every_token_in_order_in_bounded_entries() {
        let (sender, mut receiver) = output_queue();
        for step in 0..1000 {
            assert!(sender.push(output(step, (step % 2) as u32, step >= 998)));
        }
        assert_eq!(sender.num_unread_ends(), 2);
        let outputs: Vec<StepOutput> = std::iter::from_fn(|| receiver.try_recv()).collect();
        assert_eq!(outputs.len(), MAX_UNREAD_STEPS);
        for choice in 0..2 {
            let entries = outputs.iter().flat_map(|o| &o.sequences).filter(|s| s.choice == choice);
            let tokens: Vec<u32> = entries.flat_map(|s| s.token_ids.clone()).collect();
            assert_eq!(tokens, (0..1000).filter(|step| step % 2 == choice).collect::<Vec<_>>());
            let entries = outputs.iter().flat_map(|o| o.sequences.clone()).filter(|s| s.choice == choice);
            for single in entries.flat_map(SequenceOutput::into_single_tokens) {
                assert_eq!(single.text, single.token_ids[0].to_string());
            }
        }
        assert_eq!(sender.num_unread_ends(), 0);
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_still_read() {
        let (sender, mut receiver) = output_queue();
        assert!(sender.push(output(1, 0, true)));
        drop(sender);
        assert_eq!(receiver.recv().await, Some(output(1, 0, true)));
        assert_eq!(receiver.recv().await, None);
    }

    #[test]
    fn nothing_is_kept_for_a_reader_that_left() {
        let (sender, receiver) = output_queue();
        drop(receiver);
        assert!(!sender.push(output(1, 0, false)));
    }
}
