//! What has been heard of one inference's answer: the rules that make it one gapless stream without duplicates.
//!
//! Live messages may be missed and, while a gap is repaired, heard twice. Token indexes say which: the tokens of a
//! choice are contiguous from 0 in every attempt, and a later attempt goes on where the earlier one ended or repeats it
//! token for token. This is a pure fold, without clock or I/O.

use schemas::v1::{
    Choice, End, Ended, FinishReason, FrameEntry, Outcome, PromptReport, ToolCall, ToolCallDelta,
};

/// What an entry means for the answer so far.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one call; a box would cost an allocation per token"
)]
pub(crate) enum Heard {
    /// It goes on where the answer stands; what was known of it already is taken out.
    Next(FrameEntry),
    /// All of it was known, or it belongs to an attempt that is over.
    Nothing,
    /// Something before it was missed.
    Gap,
}

/// The answer to one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerTrack {
    attempt: u32,
    choices: Vec<ChoiceTrack>,
    has_prompt: bool,
    has_ended: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ChoiceTrack {
    next_token_index: u32,
    num_text_bytes: usize,
    num_reasoning_bytes: usize,
    /// Bytes of each call's arguments, for the calls that have begun.
    num_argument_bytes: Vec<usize>,
    /// The engine step of the last entry, to tell apart entries that hold text without tokens.
    last_step: u64,
    is_finished: bool,
}

impl AnswerTrack {
    /// Nothing heard of `num_choices` choices.
    pub(crate) fn new(num_choices: usize) -> Self {
        Self {
            attempt: 0,
            choices: vec![ChoiceTrack::default(); num_choices],
            has_prompt: false,
            has_ended: false,
        }
    }

    /// Whether nothing can follow.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Takes in an entry that step `step` of its sender holds; after [`Heard::Gap`] nothing has changed.
    pub(crate) fn hear(&mut self, step: u64, mut entry: FrameEntry) -> Heard {
        let is_outdated = entry.attempt < self.attempt;
        // The writer of the terminal fact speaks last, whichever attempt it knew of.
        if self.has_ended || (is_outdated && entry.end.is_none()) {
            return Heard::Nothing;
        }
        if self.choices.is_empty() && entry.end.is_some() {
            // Vectors come with the terminal fact alone, so its end is all there is to hear.
            self.note(step, &entry);
            return Heard::Next(entry);
        }
        let Some(choice) = self.choices.get(entry.choice as usize) else { return Heard::Nothing };
        let Some(end_index) = entry.first_token_index.checked_add(entry.token_ids.len() as u32) else {
            return Heard::Gap;
        };
        let is_bare_end = holds_no_answer(&entry) && entry.end.is_some();
        if !is_bare_end && entry.first_token_index > choice.next_token_index {
            return Heard::Gap;
        }
        if !entry.token_ids.is_empty() && entry.first_token_index < choice.next_token_index {
            // The text of an entry cannot be split between its tokens, so only a whole entry can be known already.
            if end_index > choice.next_token_index {
                return Heard::Gap;
            }
            strip_answer(&mut entry);
        }
        let is_known_step = step != 0 && step <= choice.last_step && entry.attempt == self.attempt;
        if choice.is_finished || (entry.token_ids.is_empty() && is_known_step) {
            strip_answer(&mut entry);
        }
        if choice.is_finished {
            entry.finish_reason = FinishReason::Unspecified.into();
            entry.stop_reason.clear();
        }
        if self.has_prompt {
            entry.prompt = None;
        }
        if let Some(end) = &entry.end
            && end.outcome() == Outcome::Completed
            && !self.would_be_whole(&entry)
        {
            return Heard::Gap;
        }
        if is_empty(&entry) {
            return Heard::Nothing;
        }
        self.note(step, &entry);
        Heard::Next(entry)
    }

    /// What the terminal fact adds to the answer so far, choice by choice and then the end; `None` when the fact does
    /// not go on where the answer stands.
    pub(crate) fn rest_from(&self, inference_id: &str, ended: &Ended) -> Option<Vec<FrameEntry>> {
        if self.has_ended {
            return Some(Vec::new());
        }
        let mut rest = Vec::new();
        for choice in &ended.choices {
            let known = self.choices.get(choice.index as usize)?;
            if !known.is_finished {
                rest.push(known.rest_of(inference_id, ended.attempt, choice)?);
            }
        }
        if let Some(first) = rest.first_mut().filter(|_| !self.has_prompt) {
            first.prompt = Some(prompt_report(ended));
        }
        rest.push(FrameEntry {
            inference_id: inference_id.to_owned(),
            attempt: ended.attempt,
            end: Some(End {
                outcome: ended.outcome,
                usage: ended.usage,
                failure: ended.failure.clone(),
                timings: ended.timings,
            }),
            ..FrameEntry::default()
        });
        Some(rest)
    }

    fn would_be_whole(&self, last: &FrameEntry) -> bool {
        let is_finishing =
            |index: usize| index == last.choice as usize && last.finish_reason() != FinishReason::Unspecified;
        self.choices.iter().enumerate().all(|(index, choice)| choice.is_finished || is_finishing(index))
    }

    fn note(&mut self, step: u64, entry: &FrameEntry) {
        self.attempt = self.attempt.max(entry.attempt);
        self.has_prompt |= entry.prompt.is_some();
        self.has_ended |= entry.end.is_some();
        if let Some(choice) = self.choices.get_mut(entry.choice as usize) {
            choice.next_token_index += entry.token_ids.len() as u32;
            choice.num_text_bytes += entry.text.len();
            choice.num_reasoning_bytes += entry.reasoning.len();
            for delta in &entry.tool_calls {
                choice.note_call(delta);
            }
            choice.last_step = step;
            choice.is_finished |= entry.finish_reason() != FinishReason::Unspecified;
        }
    }
}

impl ChoiceTrack {
    fn rest_of(&self, inference_id: &str, attempt: u32, choice: &Choice) -> Option<FrameEntry> {
        let token_ids = choice.token_ids.get(self.next_token_index as usize..)?;
        let text = choice.text.get(self.num_text_bytes..)?;
        let reasoning = choice.reasoning.get(self.num_reasoning_bytes..)?;
        Some(FrameEntry {
            inference_id: inference_id.to_owned(),
            attempt,
            choice: choice.index,
            first_token_index: self.next_token_index,
            token_ids: token_ids.to_vec(),
            text: text.to_owned(),
            reasoning: reasoning.to_owned(),
            tool_calls: self.rest_of_calls(&choice.tool_calls)?,
            logprobs: choice.logprobs.get(self.next_token_index as usize..).unwrap_or_default().to_vec(),
            finish_reason: choice.finish_reason,
            stop_reason: choice.stop_reason.clone(),
            ..FrameEntry::default()
        })
    }
}

impl ChoiceTrack {
    fn note_call(&mut self, delta: &ToolCallDelta) {
        match self.num_argument_bytes.get_mut(delta.index as usize) {
            Some(num_bytes) => *num_bytes += delta.arguments.len(),
            // Calls begin in the order of their indexes.
            None => self.num_argument_bytes.push(delta.arguments.len()),
        }
    }

    fn rest_of_calls(&self, calls: &[ToolCall]) -> Option<Vec<ToolCallDelta>> {
        if calls.len() < self.num_argument_bytes.len() {
            return None;
        }
        let mut rest = Vec::new();
        for (index, call) in (0..).zip(calls) {
            let num_known_bytes = self.num_argument_bytes.get(index as usize);
            let arguments = call.arguments.get(num_known_bytes.copied().unwrap_or(0)..)?.to_owned();
            let (id, name) = match num_known_bytes {
                Some(_) if arguments.is_empty() => continue,
                Some(_) => (String::new(), String::new()),
                None => (call.id.clone(), call.name.clone()),
            };
            rest.push(ToolCallDelta { index, id, name, arguments });
        }
        Some(rest)
    }
}

/// What the terminal fact tells of the prompt.
fn prompt_report(ended: &Ended) -> PromptReport {
    if let Some(prompt) = &ended.prompt {
        return prompt.clone();
    }
    let usage = ended.usage.unwrap_or_default();
    PromptReport {
        num_prompt_tokens: usage.num_prompt_tokens,
        num_cached_prompt_tokens: usage.num_cached_prompt_tokens,
        engine_fingerprint: ended.engine_fingerprint.clone(),
        ..PromptReport::default()
    }
}

/// Whether an entry adds nothing to its choice but, perhaps, the end.
fn holds_no_answer(entry: &FrameEntry) -> bool {
    entry.token_ids.is_empty()
        && entry.text.is_empty()
        && entry.reasoning.is_empty()
        && entry.tool_calls.is_empty()
}

fn strip_answer(entry: &mut FrameEntry) {
    entry.token_ids.clear();
    entry.text.clear();
    entry.reasoning.clear();
    entry.tool_calls.clear();
    entry.logprobs.clear();
}

fn is_empty(entry: &FrameEntry) -> bool {
    holds_no_answer(entry)
        && entry.finish_reason() == FinishReason::Unspecified
        && entry.prompt.is_none()
        && entry.end.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(attempt: u32, first_token_index: u32, tokens: &[u32]) -> FrameEntry {
        FrameEntry {
            attempt,
            first_token_index,
            token_ids: tokens.to_vec(),
            text: tokens.iter().map(|token| format!("<{token}>")).collect(),
            ..FrameEntry::default()
        }
    }

    fn finish(first_token_index: u32) -> FrameEntry {
        FrameEntry { finish_reason: FinishReason::Stop.into(), ..entry(1, first_token_index, &[]) }
    }

    fn end(outcome: Outcome) -> FrameEntry {
        let end = End { outcome: outcome.into(), ..End::default() };
        FrameEntry { attempt: 1, end: Some(end), ..FrameEntry::default() }
    }

    #[derive(Debug, PartialEq, Clone, Copy)]
    enum Kind {
        Next,
        Nothing,
        Gap,
    }

    fn check(entries: Vec<FrameEntry>, expected: &[Kind]) {
        let mut track = AnswerTrack::new(1);
        let found: Vec<Kind> = entries
            .into_iter()
            .enumerate()
            .map(|(step, entry)| match track.hear(step as u64 + 1, entry) {
                Heard::Next(_) => Kind::Next,
                Heard::Nothing => Kind::Nothing,
                Heard::Gap => Kind::Gap,
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn tokens_are_taken_once_and_in_order() {
        use Kind::{Gap, Next, Nothing};
        check(vec![entry(1, 0, &[7]), entry(1, 1, &[8, 9]), entry(1, 3, &[1])], &[Next, Next, Next]);
        check(vec![entry(1, 0, &[7]), entry(1, 0, &[7])], &[Next, Nothing]);
        check(vec![entry(1, 0, &[7]), entry(1, 2, &[9])], &[Next, Gap]);
        check(vec![entry(1, 0, &[7, 8]), entry(1, 1, &[8, 9])], &[Next, Gap]);
    }

    #[test]
    fn an_attempt_that_is_over_is_not_heard() {
        use Kind::{Next, Nothing};
        check(vec![entry(1, 0, &[7]), entry(2, 1, &[8]), entry(1, 2, &[9])], &[Next, Next, Nothing]);
        check(vec![entry(1, 0, &[7]), entry(2, 0, &[7]), entry(2, 1, &[8])], &[Next, Nothing, Next]);
    }

    #[test]
    fn an_answer_ends_when_every_choice_is_finished() {
        use Kind::{Gap, Next, Nothing};
        check(vec![entry(1, 0, &[7]), finish(1), end(Outcome::Completed)], &[Next, Next, Next]);
        check(vec![entry(1, 0, &[7]), end(Outcome::Completed)], &[Next, Gap]);
        check(vec![entry(1, 0, &[7]), end(Outcome::Failed), entry(1, 1, &[8])], &[Next, Next, Nothing]);
        check(vec![end(Outcome::Rejected)], &[Next]);
    }

    #[test]
    fn an_answer_without_choices_is_its_end_alone() {
        let mut track = AnswerTrack::new(0);
        assert_eq!(track.hear(1, entry(1, 0, &[7])), Heard::Nothing);
        assert!(matches!(track.hear(0, end(Outcome::Completed)), Heard::Next(_)) && track.has_ended());
        assert_eq!(track.hear(0, end(Outcome::Completed)), Heard::Nothing);
        let track = AnswerTrack::new(0);
        let ended = Ended { outcome: Outcome::Completed.into(), ..Ended::default() };
        assert_eq!(track.rest_from("x", &ended).map(|rest| rest.len()), Some(1));
    }

    #[test]
    fn the_terminal_fact_completes_what_was_heard() {
        let mut track = AnswerTrack::new(1);
        assert!(matches!(track.hear(1, entry(1, 0, &[7])), Heard::Next(_)));
        let choice = Choice {
            text: "<7><8>".to_owned(),
            token_ids: vec![7, 8],
            finish_reason: FinishReason::Stop.into(),
            ..Choice::default()
        };
        let ended = Ended {
            outcome: Outcome::Completed.into(),
            attempt: 1,
            choices: vec![choice],
            ..Ended::default()
        };
        let rest = track.rest_from("x", &ended).unwrap();
        assert_eq!((rest[0].text.as_str(), rest[0].token_ids.as_slice()), ("<8>", [8].as_slice()));
        for entry in rest {
            assert!(matches!(track.hear(0, entry), Heard::Next(_)));
        }
        assert!(track.has_ended());
    }

    fn delta(index: u32, name: &str, arguments: &str) -> ToolCallDelta {
        let id = if name.is_empty() { String::new() } else { format!("call_{index}") };
        ToolCallDelta { index, id, name: name.to_owned(), arguments: arguments.to_owned() }
    }

    /// What is heard of thoughts and calls up to any point, and the rest by the terminal fact, is the whole answer.
    #[test]
    fn the_terminal_fact_completes_thoughts_and_calls() {
        let entries = [
            FrameEntry { text: String::new(), reasoning: "hm".to_owned(), ..entry(1, 0, &[1]) },
            FrameEntry { text: "a".to_owned(), reasoning: ".".to_owned(), ..entry(1, 1, &[2]) },
            FrameEntry { text: String::new(), tool_calls: vec![delta(0, "f", "{")], ..entry(1, 2, &[3]) },
            FrameEntry { tool_calls: vec![delta(0, "", "}"), delta(1, "g", "")], ..entry(1, 3, &[]) },
            FrameEntry { text: String::new(), tool_calls: vec![delta(1, "", "{}")], ..entry(1, 3, &[4]) },
        ];
        let call = |id: &str, name: &str, arguments: &str| ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let calls = vec![call("call_0", "f", "{}"), call("call_1", "g", "{}")];
        let choice = Choice {
            text: "a".to_owned(),
            reasoning: "hm.".to_owned(),
            tool_calls: calls.clone(),
            token_ids: vec![1, 2, 3, 4],
            finish_reason: FinishReason::ToolCalls.into(),
            ..Choice::default()
        };
        let ended = Ended { attempt: 1, choices: vec![choice], ..Ended::default() };
        for num_heard in 0..=entries.len() {
            let mut track = AnswerTrack::new(1);
            let mut heard = Vec::new();
            for (step, entry) in entries[..num_heard].iter().enumerate() {
                // Every entry comes twice.
                for _ in 0..2 {
                    if let Heard::Next(entry) = track.hear(step as u64 + 1, entry.clone()) {
                        heard.push(entry);
                    }
                }
            }
            heard.extend(track.rest_from("x", &ended).unwrap());
            let (mut text, mut reasoning, mut found) = (String::new(), String::new(), Vec::<ToolCall>::new());
            for entry in heard {
                text.push_str(&entry.text);
                reasoning.push_str(&entry.reasoning);
                for delta in entry.tool_calls {
                    match found.get_mut(delta.index as usize) {
                        Some(call) => call.arguments.push_str(&delta.arguments),
                        None => found.push(call(&delta.id, &delta.name, &delta.arguments)),
                    }
                }
            }
            assert_eq!((text.as_str(), reasoning.as_str()), ("a", "hm."), "after {num_heard}");
            assert_eq!(found, calls, "after {num_heard}");
        }
    }

    proptest! {
        /// Whatever is lost and repeated live, hearing the whole stream again from its start completes the answer.
        #[test]
        fn loss_and_repair_give_the_same_answer(
            sizes in prop::collection::vec(0_usize..4, 1..40),
            losses in prop::collection::vec(any::<bool>(), 40),
        ) {
            let mut sent = Vec::new();
            let mut next = 0_u32;
            for size in sizes {
                let tokens: Vec<u32> = (next..next + size as u32).collect();
                let mut sent_entry = entry(1, next, &tokens);
                if size == 0 {
                    // Text that became certain without a token.
                    sent_entry.text = format!("held back at {next};");
                }
                next += size as u32;
                sent.push(sent_entry);
            }
            sent.push(finish(next));
            sent.push(end(Outcome::Completed));
            let whole: String = sent.iter().map(|entry| entry.text.as_str()).collect();

            let mut track = AnswerTrack::new(1);
            let mut text = String::new();
            let mut tokens: Vec<u32> = Vec::new();
            let mut hear = |track: &mut AnswerTrack, step: usize, entry: &FrameEntry| {
                let heard = track.hear(step as u64 + 1, entry.clone());
                if let Heard::Next(next) = &heard {
                    text.push_str(&next.text);
                    tokens.extend(&next.token_ids);
                }
                heard
            };
            for (step, entry) in sent.iter().enumerate() {
                let is_lost = losses[step % losses.len()];
                // After a gap nothing more is taken live: what comes is held until the repair.
                if is_lost || hear(&mut track, step, entry) == Heard::Gap {
                    break;
                }
            }
            for (step, entry) in sent.iter().enumerate() {
                prop_assert_ne!(hear(&mut track, step, entry), Heard::Gap);
            }
            prop_assert!(track.has_ended());
            prop_assert_eq!(text, whole);
            prop_assert_eq!(tokens, (0..next).collect::<Vec<u32>>());
        }
    }
}
