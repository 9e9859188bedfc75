//! The mailbox of one request: what the dispatcher heard for it and its client has not taken yet.
//!
//! It never blocks the dispatcher and never drops anything. While the client is slow, what comes for a choice is merged
//! into what already waits for it, so a mailbox holds at most two entries per choice, and no more bytes than the whole
//! answer, which `max_tokens` bounds. A client that stops reading is cut off by the connection's write timeout.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::v1::{Ended, Failure, FailureKind, FinishReason, FrameEntry, Outcome};
use schemas::{InferenceId, IngressId, failure};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answer_track::{AnswerTrack, Heard};
use crate::known_part::{KnownPart, Misplaced, Split};
use crate::position::StartingAfter;
use crate::token_clock::TokenClock;

/// A request that waits for its inferences.
pub(crate) struct InFlight {
    /// One per prompt, in the order of the request.
    pub(crate) awaited: Vec<Awaited>,
    /// Whether the inferences may have begun before this request.
    is_resumed: bool,
    state: Mutex<State>,
    arrived: Notify,
}

/// An inference that a request waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) id: InferenceId,
    /// The api node that its tokens are sent to.
    pub(crate) ingress: IngressId,
    /// Tokens cannot be older.
    pub(crate) requested_at_unix_nanos: u64,
}

/// What a client that comes back has already, by answer: `prompt * n + choice`. Empty for a client that has nothing.
pub(crate) type KnownParts = Vec<KnownPart>;

/// An entry that is next in its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    /// Which of the request's prompts it answers.
    pub(crate) prompt_index: usize,
    /// What came.
    pub(crate) entry: FrameEntry,
    /// Whether the client has it already.
    pub(crate) is_known: bool,
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
    num_choices: usize,
    /// Absent when the tokens are not new.
    clock: Option<TokenClock>,
    known: KnownParts,
    waiting: VecDeque<Arrival>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Answer {
    track: AnswerTrack,
    /// Entries beyond a gap, with their steps; empty when the answer is whole so far.
    held: Vec<(u64, FrameEntry)>,
    /// The latest attempt of which an entry was found beyond a gap.
    gap_attempt: u32,
    /// Tokens up to this attempt are gone for good: a later attempt or the terminal fact goes on.
    lost_attempt: Option<u32>,
    last_heard_at: Instant,
}

impl InFlight {
    /// A request for `num_choices` answers to each prompt, which asks for them now; `clock` measures its tokens.
    pub(crate) fn new(awaited: Vec<Awaited>, num_choices: usize, clock: TokenClock) -> Self {
        Self::with(awaited, num_choices, Some(clock), KnownParts::new())
    }

    /// The same for inferences that were asked for before, of which the client has a part.
    pub(crate) fn resumed(awaited: Vec<Awaited>, num_choices: usize, after: &[StartingAfter]) -> Self {
        let known = after.iter().map(|after| KnownPart::new(*after)).collect();
        Self::with(awaited, num_choices, None, known)
    }

    fn with(awaited: Vec<Awaited>, num_choices: usize, clock: Option<TokenClock>, known: KnownParts) -> Self {
        let last_heard_at = Instant::now();
        let answer = || Answer {
            track: AnswerTrack::new(num_choices),
            held: Vec::new(),
            gap_attempt: 0,
            lost_attempt: None,
            last_heard_at,
        };
        let answers = awaited.iter().map(|_| answer()).collect();
        let is_resumed = clock.is_none();
        let state = State { answers, num_choices, clock, known, waiting: VecDeque::new(), failure: None };
        Self { awaited, is_resumed, state: Mutex::new(state), arrived: Notify::new() }
    }

    /// The inferences, in the order of the request.
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = InferenceId> {
        self.awaited.iter().map(|awaited| awaited.id)
    }

    /// Whether the inferences may have begun before this request.
    pub(crate) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Gives up the tokens that are missing: the rest of the answer comes with another attempt, or with its end.
    pub(crate) fn give_up_missing(&self, prompt_index: usize) {
        if let Some(answer) = self.state().answers.get_mut(prompt_index) {
            answer.held.clear();
            answer.lost_attempt = Some(answer.gap_attempt);
        }
    }

    /// Whether the end of one of its inferences was heard.
    pub(crate) fn has_ended(&self, prompt_index: usize) -> bool {
        self.state().answers.get(prompt_index).is_none_or(|answer| answer.track.has_ended())
    }

    /// Takes in a live entry.
    pub(crate) fn deliver(&self, prompt_index: usize, step: u64, entry: FrameEntry) -> Delivered {
        let delivered = self.state().deliver(prompt_index, step, entry);
        self.arrived.notify_one();
        delivered
    }

    /// Takes in the entries of a re-reading, and what was held meanwhile.
    pub(crate) fn repair(&self, prompt_index: usize, reread: Vec<(u64, FrameEntry)>) -> Delivered {
        let delivered = self.state().repair(prompt_index, reread);
        self.arrived.notify_one();
        delivered
    }

    /// Completes an answer from its terminal fact; `InRepair` when the fact does not go on where the answer stands.
    pub(crate) fn complete(&self, prompt_index: usize, ended: &Ended) -> Delivered {
        let Some(awaited) = self.awaited.get(prompt_index) else { return Delivered::Whole };
        let delivered = self.state().complete(prompt_index, ended, awaited.id);
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
        self.ids().zip(&state.answers).filter(|(_, answer)| is_silent(answer)).map(|(id, _)| id).collect()
    }

    /// Inferences whose end was not heard.
    pub(crate) fn open_ids(&self) -> Vec<InferenceId> {
        let state = self.state();
        let is_open = |answer: &Answer| !answer.track.has_ended();
        self.ids().zip(&state.answers).filter(|(_, answer)| is_open(answer)).map(|(id, _)| id).collect()
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
        if let Some(lost) = answer.lost_attempt {
            if entry.attempt <= lost {
                // Its terminal fact is looked up as soon as it is told of.
                return if entry.end.is_some() { Delivered::GapFound } else { Delivered::Whole };
            }
            answer.lost_attempt = None;
        }
        let was_whole = answer.held.is_empty();
        let heard = match &entry.end {
            // Nothing is told of an end before what it ends.
            Some(_) if !was_whole => Heard::Gap,
            _ => answer.track.hear(step, entry.clone()),
        };
        match heard {
            Heard::Next(entry) => {
                self.push(prompt_index, entry, false);
                // It may be the one that was missing: what was under way when a connection broke comes late.
                if was_whole { Delivered::Whole } else { self.repair(prompt_index, Vec::new()) }
            }
            Heard::Nothing if was_whole => Delivered::Whole,
            Heard::Nothing => Delivered::InRepair,
            Heard::Gap => {
                answer.gap_attempt = answer.gap_attempt.max(entry.attempt);
                answer.held.push((step, entry));
                if was_whole { Delivered::GapFound } else { Delivered::InRepair }
            }
        }
    }

    fn repair(&mut self, prompt_index: usize, reread: Vec<(u64, FrameEntry)>) -> Delivered {
        let Some(answer) = self.answers.get_mut(prompt_index) else { return Delivered::Whole };
        let next = answer.hear_all(reread);
        let is_whole = answer.held.is_empty() && answer.lost_attempt.is_none();
        for entry in next {
            self.push(prompt_index, entry, false);
        }
        if is_whole { Delivered::Whole } else { Delivered::InRepair }
    }

    fn complete(&mut self, prompt_index: usize, ended: &Ended, id: InferenceId) -> Delivered {
        let Some(answer) = self.answers.get_mut(prompt_index) else { return Delivered::Whole };
        let Some(rest) = answer.track.rest_from(&id.to_string(), ended) else { return Delivered::InRepair };
        answer.held.clear();
        answer.lost_attempt = None;
        let next: Vec<FrameEntry> = rest
            .into_iter()
            .filter_map(|entry| match answer.track.hear(0, entry) {
                Heard::Next(entry) => Some(entry),
                Heard::Nothing | Heard::Gap => None,
            })
            .collect();
        for entry in next {
            self.push(prompt_index, entry, true);
        }
        Delivered::Whole
    }

    fn push(&mut self, prompt_index: usize, entry: FrameEntry, is_from_fact: bool) {
        if let Some(clock) = &mut self.clock {
            clock.measure(prompt_index, &entry);
        }
        if entry.end.as_ref().is_some_and(|end| end.outcome() == Outcome::Completed)
            && !self.has_reached_known(prompt_index)
        {
            self.failure.get_or_insert_with(past_the_end);
            return;
        }
        if self.failure.is_some() {
            return;
        }
        let first = prompt_index * self.num_choices;
        let split = match self.known.get_mut(first + entry.choice as usize) {
            Some(known) => known.split(entry, is_from_fact),
            None => Ok(Split { known: None, new: Some(entry) }),
        };
        match split {
            Ok(Split { known, new }) => {
                let known = known.map(|entry| Arrival { prompt_index, entry, is_known: true });
                let new = new.map(|entry| Arrival { prompt_index, entry, is_known: false });
                known.into_iter().chain(new).for_each(|arrival| self.enqueue(arrival));
            }
            Err(misplaced) => {
                self.failure.get_or_insert_with(|| misplaced_position(misplaced));
            }
        }
    }

    fn has_reached_known(&self, prompt_index: usize) -> bool {
        let first = prompt_index * self.num_choices;
        self.known.iter().skip(first).take(self.num_choices).all(KnownPart::is_reached)
    }

    fn enqueue(&mut self, arrival: Arrival) {
        let is_same_choice = |waiting: &&mut Arrival| {
            waiting.prompt_index == arrival.prompt_index && waiting.entry.choice == arrival.entry.choice
        };
        // An end stays an entry of its own, so that it is the last of its inference.
        let earlier = self
            .waiting
            .iter_mut()
            .rev()
            .find(is_same_choice)
            .filter(|earlier| arrival.entry.end.is_none() && earlier.is_known == arrival.is_known);
        match earlier {
            Some(earlier) => merge(&mut earlier.entry, arrival.entry),
            None => self.waiting.push_back(arrival),
        }
    }
}

impl Answer {
    /// Hears what was read again and what is held, in whichever order it goes on; what does not yet go on is held, if it was.
    fn hear_all(&mut self, reread: Vec<(u64, FrameEntry)>) -> Vec<FrameEntry> {
        let held = std::mem::take(&mut self.held).into_iter().map(|held| (held, true));
        let mut unheard: Vec<_> = reread.into_iter().map(|reread| (reread, false)).chain(held).collect();
        let mut next = Vec::new();
        loop {
            let num_before = unheard.len();
            let mut beyond = Vec::new();
            for ((step, entry), was_held) in unheard {
                // Nothing is told of an end before what it ends.
                let heard = match &entry.end {
                    Some(_) if !beyond.is_empty() => Heard::Gap,
                    _ => self.track.hear(step, entry.clone()),
                };
                match heard {
                    Heard::Next(entry) => {
                        self.lost_attempt = None;
                        next.push(entry);
                    }
                    Heard::Nothing => {}
                    Heard::Gap => beyond.push(((step, entry), was_held)),
                }
            }
            unheard = beyond;
            if unheard.is_empty() || unheard.len() == num_before {
                break;
            }
        }
        for ((step, entry), was_held) in unheard {
            self.gap_attempt = self.gap_attempt.max(entry.attempt);
            if was_held {
                self.held.push((step, entry));
            }
        }
        next
    }
}

fn past_the_end() -> Failure {
    let message = "the position lies past the end of the answer";
    failure(FailureKind::InvalidRequest, "position_past_end", message).at("starting_after")
}

fn misplaced_position(misplaced: Misplaced) -> Failure {
    let message = match misplaced {
        Misplaced::NotABoundary => "the position lies within a character of the answer",
        Misplaced::Forgotten => {
            "which text came with this token is not known any more; send the whole id of the last event, or start at 0"
        }
    };
    failure(FailureKind::InvalidRequest, "position_not_found", message).at("starting_after")
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
    use crate::metrics::Metrics;
    use schemas::v1::{Choice, End};

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

    fn awaited() -> Awaited {
        let id = InferenceId::new(uuid::Uuid::nil());
        Awaited { id, ingress: IngressId::slug("api-1"), requested_at_unix_nanos: 0 }
    }

    fn in_flight(num_choices: usize) -> InFlight {
        let clock = TokenClock::start(Metrics::new(Vec::new()), 1, num_choices);
        InFlight::new(vec![awaited()], num_choices, clock)
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
    async fn entries_that_come_late_are_put_where_they_belong() {
        let end = || FrameEntry {
            attempt: 1,
            end: Some(End { outcome: Outcome::Completed.into(), ..End::default() }),
            ..FrameEntry::default()
        };
        let finish = || FrameEntry { finish_reason: FinishReason::Stop.into(), ..entry(0, 5, "f") };
        let text = async |request: &InFlight| {
            let text = request.next().await.unwrap().entry.text;
            assert!(request.next().await.unwrap().entry.end.is_some());
            text
        };
        let order = [(3, "d"), (0, "a"), (4, "e"), (2, "c"), (1, "b")];
        let live = in_flight(1);
        for (index, text) in order {
            live.deliver(0, u64::from(index) + 1, entry(0, index, text));
        }
        live.deliver(0, 6, finish());
        assert_eq!(live.deliver(0, 0, end()), Delivered::Whole);
        assert_eq!(text(&live).await, "abcdef");
        // The same order as the stream holds it.
        let reread = in_flight(1);
        assert_eq!(reread.deliver(0, 6, finish()), Delivered::GapFound);
        assert_eq!(reread.deliver(0, 0, end()), Delivered::InRepair);
        let entries = order.map(|(index, text)| (u64::from(index) + 1, entry(0, index, text)));
        assert_eq!(reread.repair(0, entries.to_vec()), Delivered::Whole);
        assert_eq!(text(&reread).await, "abcdef");
    }

    #[tokio::test]
    async fn another_attempt_brings_what_an_earlier_one_lost() {
        let again = |index, text| FrameEntry { attempt: 2, ..entry(0, index, text) };
        for is_given_up in [false, true] {
            let request = in_flight(1);
            request.deliver(0, 1, entry(0, 0, "a"));
            assert_eq!(request.deliver(0, 3, entry(0, 2, "c")), Delivered::GapFound);
            if is_given_up {
                request.give_up_missing(0);
                assert_eq!(request.deliver(0, 4, entry(0, 3, "d")), Delivered::Whole);
            }
            assert_eq!(request.deliver(0, 1, again(1, "b")), Delivered::Whole);
            assert_eq!(request.deliver(0, 2, again(2, "c")), Delivered::Whole);
            assert_eq!(request.deliver(0, 4, entry(0, 3, "d")), Delivered::Whole);
            assert_eq!(request.next().await.unwrap().entry.text, "abc");
        }
    }

    #[tokio::test]
    async fn a_failure_comes_after_what_was_heard() {
        let request = in_flight(1);
        request.deliver(0, 1, entry(0, 0, "a"));
        request.fail(Failure::default());
        assert_eq!(request.next().await.unwrap().entry.text, "a");
        assert!(request.next().await.is_err());
    }

    #[tokio::test]
    async fn what_a_client_has_is_handed_out_apart_from_what_is_new() {
        let after = ["2-2".parse().unwrap()];
        let request = InFlight::resumed(vec![awaited()], 1, &after);
        for (index, text) in (0..).zip(["a", "b", "c", "d"]) {
            request.deliver(0, u64::from(index) + 1, entry(0, index, text));
        }
        let (known, new) = (request.next().await.unwrap(), request.next().await.unwrap());
        assert_eq!((known.entry.text.as_str(), known.is_known), ("ab", true));
        assert_eq!((new.entry.text.as_str(), new.is_known), ("cd", false));
    }

    #[tokio::test]
    async fn an_answer_whose_tokens_are_gone_goes_on_with_its_end() {
        let request = InFlight::resumed(vec![awaited()], 1, &["1-1".parse().unwrap()]);
        assert_eq!(request.deliver(0, 9, entry(0, 5, "f")), Delivered::GapFound);
        request.give_up_missing(0);
        assert_eq!(request.deliver(0, 10, entry(0, 6, "g")), Delivered::Whole);
        let end = FrameEntry { end: Some(End::default()), ..FrameEntry::default() };
        assert_eq!(request.deliver(0, 0, end), Delivered::GapFound);
        let choice = Choice {
            text: "abcdefg".to_owned(),
            token_ids: (0..7).collect(),
            finish_reason: FinishReason::Stop.into(),
            ..Choice::default()
        };
        let ended = Ended { outcome: Outcome::Completed.into(), choices: vec![choice], ..Ended::default() };
        assert_eq!(request.complete(0, &ended), Delivered::Whole);
        let texts = [request.next().await.unwrap().entry.text, request.next().await.unwrap().entry.text];
        assert_eq!(texts, ["a", "bcdefg"]);
        assert!(request.next().await.unwrap().entry.end.is_some());
    }

    #[tokio::test]
    async fn a_position_past_the_end_is_a_failure() {
        let request = InFlight::resumed(vec![awaited()], 1, &["9".parse().unwrap()]);
        request.deliver(0, 1, FrameEntry { finish_reason: FinishReason::Stop.into(), ..entry(0, 0, "a") });
        let end = End { outcome: Outcome::Completed.into(), ..End::default() };
        request.deliver(0, 0, FrameEntry { attempt: 1, end: Some(end), ..FrameEntry::default() });
        assert!(request.next().await.unwrap().is_known);
        assert_eq!(request.next().await.unwrap_err().code, "position_past_end");
    }
}
