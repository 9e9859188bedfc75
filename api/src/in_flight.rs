//! The mailbox of one request: what the dispatcher heard for it and its client has not taken yet.
//!
//! It never blocks the dispatcher and never drops anything. While the client is slow, what comes for a choice is merged
//! into what already waits for it, so a mailbox holds at most two entries per choice, and no more bytes than the whole
//! answer, which `max_tokens` bounds. A client that stops reading is cut off by the connection's write timeout.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::InferenceId;
use schemas::v1::{Ended, Failure, FinishReason, FrameEntry};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answer_track::{AnswerTrack, Heard};
use crate::metrics::Metrics;
use crate::token_clock::TokenClock;

/// A request that waits for its inferences.
pub(crate) struct InFlight {
    /// One per prompt, in the order of the request.
    pub(crate) ids: Vec<InferenceId>,
    /// Tokens cannot be older.
    pub(crate) requested_at_unix_nanos: u64,
    state: Mutex<State>,
    arrived: Notify,
}

/// An entry that is next in its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    /// Which of the request's prompts it answers.
    pub(crate) prompt_index: usize,
    /// What came.
    pub(crate) entry: FrameEntry,
}

/// Whether an answer is whole so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// Yes.
    Whole,
    /// Something was missed just now: a repair is needed.
    GapFound,
    /// Something is missing and a repair was asked for before.
    InRepair,
}

struct State {
    answers: Vec<Answer>,
    clock: TokenClock,
    waiting: VecDeque<Arrival>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Answer {
    track: AnswerTrack,
    /// Entries beyond a gap, with their steps; empty when the answer is whole so far.
    held: Vec<(u64, FrameEntry)>,
    last_heard_at: Instant,
}

impl InFlight {
    /// A request for `num_choices` answers to each of `ids`.
    pub(crate) fn new(
        ids: Vec<InferenceId>,
        num_choices: usize,
        requested_at_unix_nanos: u64,
        metrics: Metrics,
    ) -> Self {
        let clock = TokenClock::start(metrics, ids.len(), num_choices);
        let last_heard_at = Instant::now();
        let answers = ids
            .iter()
            .map(|_| Answer { track: AnswerTrack::new(num_choices), held: Vec::new(), last_heard_at })
            .collect();
        let state = State { answers, clock, waiting: VecDeque::new(), failure: None };
        Self { ids, requested_at_unix_nanos, state: Mutex::new(state), arrived: Notify::new() }
    }

    /// Takes in a live entry.
    pub(crate) fn deliver(&self, prompt_index: usize, step: u64, entry: FrameEntry) -> Delivered {
        let delivered = self.state().deliver(prompt_index, step, entry);
        self.arrived.notify_one();
        delivered
    }

    /// Takes in the entries of a re-reading, in stream order, then what was held meanwhile.
    pub(crate) fn repair(&self, prompt_index: usize, reread: Vec<(u64, FrameEntry)>) -> Delivered {
        let delivered = self.state().repair(prompt_index, reread);
        self.arrived.notify_one();
        delivered
    }

    /// Completes an answer from its terminal fact; `InRepair` when the fact does not go on where the answer stands.
    pub(crate) fn complete(&self, prompt_index: usize, ended: &Ended) -> Delivered {
        let delivered = self.state().complete(prompt_index, ended, self.ids.get(prompt_index));
        self.arrived.notify_one();
        delivered
    }

    /// Ends the request with a failure of this node's own.
    pub(crate) fn fail(&self, failure: Failure) {
        self.state().failure.get_or_insert(failure);
        self.arrived.notify_one();
    }

    /// Inferences without an end that were last heard of before `instant`.
    pub(crate) fn silent_since(&self, instant: Instant) -> Vec<InferenceId> {
        let state = self.state();
        let is_silent = |answer: &Answer| !answer.track.has_ended() && answer.last_heard_at < instant;
        self.ids
            .iter()
            .zip(&state.answers)
            .filter(|(_, answer)| is_silent(answer))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Inferences whose end was not heard.
    pub(crate) fn open_ids(&self) -> Vec<InferenceId> {
        let state = self.state();
        let is_open = |answer: &Answer| !answer.track.has_ended();
        self.ids.iter().zip(&state.answers).filter(|(_, answer)| is_open(answer)).map(|(id, _)| *id).collect()
    }

    /// The next entry; `Err` when the request failed here. Cancel-safe. For one caller at a time.
    pub(crate) async fn next(&self) -> Result<Arrival, Failure> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state();
                if let Some(arrival) = state.waiting.pop_front() {
                    return Ok(arrival);
                }
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
            }
            arrived.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn deliver(&mut self, prompt_index: usize, step: u64, entry: FrameEntry) -> Delivered {
        let Some(answer) = self.answers.get_mut(prompt_index) else { return Delivered::Whole };
        answer.last_heard_at = Instant::now();
        if !answer.held.is_empty() {
            answer.held.push((step, entry));
            return Delivered::InRepair;
        }
        match answer.track.hear(step, entry.clone()) {
            Heard::Next(entry) => {
                self.push(Arrival { prompt_index, entry });
                Delivered::Whole
            }
            Heard::Nothing => Delivered::Whole,
            Heard::Gap => {
                answer.held.push((step, entry));
                Delivered::GapFound
            }
        }
    }

    fn repair(&mut self, prompt_index: usize, reread: Vec<(u64, FrameEntry)>) -> Delivered {
        let Some(answer) = self.answers.get_mut(prompt_index) else { return Delivered::Whole };
        let held = std::mem::take(&mut answer.held);
        let mut next = Vec::new();
        for (step, entry) in reread {
            match answer.track.hear(step, entry) {
                Heard::Next(entry) => next.push(entry),
                Heard::Nothing => {}
                Heard::Gap => break,
            }
        }
        let mut still_held = Vec::new();
        for (step, entry) in held {
            if !still_held.is_empty() {
                still_held.push((step, entry));
                continue;
            }
            match answer.track.hear(step, entry.clone()) {
                Heard::Next(entry) => next.push(entry),
                Heard::Nothing => {}
                Heard::Gap => still_held.push((step, entry)),
            }
        }
        answer.held = still_held;
        let delivered = if answer.held.is_empty() { Delivered::Whole } else { Delivered::InRepair };
        for entry in next {
            self.push(Arrival { prompt_index, entry });
        }
        delivered
    }

    fn complete(&mut self, prompt_index: usize, ended: &Ended, id: Option<&InferenceId>) -> Delivered {
        let (Some(answer), Some(id)) = (self.answers.get_mut(prompt_index), id) else {
            return Delivered::Whole;
        };
        let Some(rest) = answer.track.rest_from(&id.to_string(), ended) else { return Delivered::InRepair };
        answer.held.clear();
        let next: Vec<FrameEntry> = rest
            .into_iter()
            .filter_map(|entry| match answer.track.hear(0, entry) {
                Heard::Next(entry) => Some(entry),
                Heard::Nothing | Heard::Gap => None,
            })
            .collect();
        for entry in next {
            self.push(Arrival { prompt_index, entry });
        }
        Delivered::Whole
    }

    fn push(&mut self, arrival: Arrival) {
        self.clock.measure(arrival.prompt_index, &arrival.entry);
        let is_same_choice = |waiting: &&mut Arrival| {
            waiting.prompt_index == arrival.prompt_index && waiting.entry.choice == arrival.entry.choice
        };
        // An end stays an entry of its own, so that it is the last of its inference.
        let earlier =
            self.waiting.iter_mut().rev().find(is_same_choice).filter(|_| arrival.entry.end.is_none());
        match earlier {
            Some(earlier) => merge(&mut earlier.entry, arrival.entry),
            None => self.waiting.push_back(arrival),
        }
    }
}

fn merge(earlier: &mut FrameEntry, later: FrameEntry) {
    if earlier.token_ids.is_empty() {
        earlier.first_token_index = later.first_token_index;
    }
    earlier.attempt = later.attempt;
    if later.finish_reason() != FinishReason::Unspecified {
        earlier.finish_reason = later.finish_reason;
        earlier.stop_reason = later.stop_reason;
    }
    earlier.token_ids.extend(later.token_ids);
    earlier.text.push_str(&later.text);
    earlier.reasoning.push_str(&later.reasoning);
    for delta in later.tool_calls {
        match earlier.tool_calls.last_mut() {
            Some(last) if last.index == delta.index => last.arguments.push_str(&delta.arguments),
            _ => earlier.tool_calls.push(delta),
        }
    }
    earlier.logprobs.extend(later.logprobs);
    earlier.prompt = earlier.prompt.take().or(later.prompt);
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{End, Outcome};

    fn entry(choice: u32, first_token_index: u32, text: &str) -> FrameEntry {
        FrameEntry {
            attempt: 1,
            choice,
            first_token_index,
            token_ids: vec![first_token_index],
            text: text.to_owned(),
            ..FrameEntry::default()
        }
    }

    fn in_flight(num_choices: usize) -> InFlight {
        InFlight::new(vec![InferenceId::new(uuid::Uuid::nil())], num_choices, 0, Metrics::new(Vec::new()))
    }

    #[tokio::test]
    async fn what_waits_is_merged_and_the_end_comes_last() {
        let request = in_flight(2);
        let finish =
            |choice| FrameEntry { finish_reason: FinishReason::Stop.into(), ..entry(choice, 2, "c") };
        let end = End { outcome: Outcome::Completed.into(), ..End::default() };
        for entry in [
            entry(0, 0, "a"),
            entry(1, 0, "x"),
            entry(0, 1, "b"),
            entry(1, 1, "y"),
            finish(0),
            finish(1),
            FrameEntry { attempt: 1, end: Some(end), ..FrameEntry::default() },
        ] {
            assert_eq!(request.deliver(0, 0, entry), Delivered::Whole);
        }
        let texts = [request.next().await.unwrap().entry, request.next().await.unwrap().entry];
        assert_eq!(texts.each_ref().map(|entry| entry.text.as_str()), ["abc", "xyc"]);
        assert_eq!(texts[0].token_ids, [0, 1, 2]);
        assert!(request.next().await.unwrap().entry.end.is_some());
    }

    #[tokio::test]
    async fn a_gap_is_closed_before_what_lies_beyond_it_is_handed_out() {
        let request = in_flight(1);
        assert_eq!(request.deliver(0, 1, entry(0, 0, "a")), Delivered::Whole);
        assert_eq!(request.deliver(0, 3, entry(0, 2, "c")), Delivered::GapFound);
        assert_eq!(request.deliver(0, 4, entry(0, 3, "d")), Delivered::InRepair);
        assert_eq!(request.next().await.unwrap().entry.text, "a");
        let short = vec![(1, entry(0, 0, "a"))];
        assert_eq!(request.repair(0, short), Delivered::InRepair);
        let whole = vec![(1, entry(0, 0, "a")), (2, entry(0, 1, "b")), (3, entry(0, 2, "c"))];
        assert_eq!(request.repair(0, whole), Delivered::Whole);
        assert_eq!(request.next().await.unwrap().entry.text, "bcd");
    }

    #[tokio::test]
    async fn a_failure_comes_after_what_was_heard() {
        let request = in_flight(1);
        request.deliver(0, 1, entry(0, 0, "a"));
        request.fail(Failure::default());
        assert_eq!(request.next().await.unwrap().entry.text, "a");
        assert!(request.next().await.is_err());
    }
}
