//! Cuts off what a resuming client has already.
//!
//! A resumed answer is heard from its beginning, so that everything that depends on what came before is as it was; this tells
//! what of it the client has not seen. It is a pure fold.

use schemas::v1::{FinishReason, FrameEntry, ToolCallDelta};

use crate::position::{Position, StartingAfter};

/// What a client has of one choice.
#[derive(Debug, Clone)]
pub(crate) struct KnownPart {
    after: StartingAfter,
    heard: Position,
}

/// An entry, taken apart; a part that holds nothing is absent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    pub(crate) known: Option<FrameEntry>,
    pub(crate) new: Option<FrameEntry>,
}

/// Why a position has no place in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// It lies within a character.
    NotABoundary,
    /// The frames that tell which text came with which token are gone.
    Forgotten,
}

impl KnownPart {
    /// Nothing heard yet.
    pub(crate) fn new(after: StartingAfter) -> Self {
        Self { after, heard: Position::default() }
    }

    /// Whether the answer so far holds all that the client has.
    pub(crate) fn is_reached(&self) -> bool {
        let heard = &self.heard;
        match self.after {
            StartingAfter::Tokens(num_tokens) => heard.num_tokens >= num_tokens,
            StartingAfter::Exact(known) => {
                heard.num_tokens >= known.num_tokens
                    && heard.num_text_bytes >= known.num_text_bytes
                    && heard.num_reasoning_bytes >= known.num_reasoning_bytes
                    && heard.num_calls >= known.num_calls
                    && heard.num_argument_bytes >= known.num_argument_bytes
                    && (heard.is_finished || !known.is_finished)
            }
        }
    }

    /// Takes the next entry of the choice apart. `is_from_fact` says that it was not cut as the worker's frames were.
    pub(crate) fn split(&mut self, entry: FrameEntry, is_from_fact: bool) -> Result<Split, Misplaced> {
        let before = self.heard;
        self.heard.advance(&entry);
        let split = match self.after {
            StartingAfter::Tokens(num_tokens) => after_tokens(num_tokens, entry, is_from_fact)?,
            StartingAfter::Exact(known) => after_position(&known, &before, entry)?,
        };
        Ok(split)
    }
}

impl Split {
    fn of(known: FrameEntry, new: FrameEntry) -> Self {
        Self { known: Some(known).filter(holds_anything), new: Some(new).filter(holds_anything) }
    }
}

fn holds_anything(entry: &FrameEntry) -> bool {
    !entry.token_ids.is_empty()
        || !entry.text.is_empty()
        || !entry.reasoning.is_empty()
        || !entry.tool_calls.is_empty()
        || entry.finish_reason() != FinishReason::Unspecified
        || entry.prompt.is_some()
        || entry.end.is_some()
}

fn after_tokens(num_tokens: u32, mut entry: FrameEntry, is_from_fact: bool) -> Result<Split, Misplaced> {
    let first = entry.first_token_index;
    let end = first.saturating_add(entry.token_ids.len() as u32);
    let empty = FrameEntry { choice: entry.choice, attempt: entry.attempt, ..FrameEntry::default() };
    if first >= num_tokens {
        return Ok(Split::of(empty, entry));
    }
    let end_of_inference = entry.end.take();
    if end > num_tokens {
        if is_from_fact {
            return Err(Misplaced::Forgotten);
        }
        // No client was ever told to go on here, so the text of the whole frame is new.
        let mut known = empty;
        known.first_token_index = first;
        known.prompt = entry.prompt.take();
        take_tokens(&mut entry, (num_tokens - first) as usize, &mut known);
        entry.end = end_of_inference;
        return Ok(Split::of(known, entry));
    }
    let mut new = FrameEntry { first_token_index: end, end: end_of_inference, ..empty };
    if is_from_fact {
        // Whether the client saw the finish is not known; a second one does no harm.
        new.finish_reason = std::mem::take(&mut entry.finish_reason);
        new.stop_reason = std::mem::take(&mut entry.stop_reason);
    }
    Ok(Split::of(entry, new))
}

fn after_position(known: &Position, before: &Position, mut entry: FrameEntry) -> Result<Split, Misplaced> {
    let num_tokens = (known.num_tokens.saturating_sub(before.num_tokens) as usize).min(entry.token_ids.len());
    let mut taken = FrameEntry {
        inference_id: entry.inference_id.clone(),
        attempt: entry.attempt,
        choice: entry.choice,
        first_token_index: entry.first_token_index,
        prompt: entry.prompt.take(),
        ..FrameEntry::default()
    };
    take_tokens(&mut entry, num_tokens, &mut taken);
    taken.text = take_text(&mut entry.text, known.num_text_bytes.saturating_sub(before.num_text_bytes))?;
    let num_reasoning_bytes = known.num_reasoning_bytes.saturating_sub(before.num_reasoning_bytes);
    taken.reasoning = take_text(&mut entry.reasoning, num_reasoning_bytes)?;
    let mut num_argument_bytes = known.num_argument_bytes.saturating_sub(before.num_argument_bytes);
    for mut delta in std::mem::take(&mut entry.tool_calls) {
        let arguments = take_text(&mut delta.arguments, num_argument_bytes)?;
        num_argument_bytes -= arguments.len();
        if (delta.index as usize) >= known.num_calls {
            entry.tool_calls.push(delta);
            continue;
        }
        let (id, name) = (std::mem::take(&mut delta.id), std::mem::take(&mut delta.name));
        taken.tool_calls.push(ToolCallDelta { index: delta.index, id, name, arguments });
        if !delta.arguments.is_empty() {
            entry.tool_calls.push(delta);
        }
    }
    if known.is_finished {
        taken.finish_reason = std::mem::take(&mut entry.finish_reason);
        taken.stop_reason = std::mem::take(&mut entry.stop_reason);
    }
    if !holds_anything(&FrameEntry { prompt: None, ..taken.clone() }) {
        // A client that has nothing of the choice is told of its prompt with what is new.
        entry.prompt = taken.prompt.take();
    }
    Ok(Split::of(taken, entry))
}

fn take_tokens(entry: &mut FrameEntry, num_tokens: usize, taken: &mut FrameEntry) {
    taken.token_ids = entry.token_ids.drain(..num_tokens).collect();
    taken.logprobs = entry.logprobs.drain(..num_tokens.min(entry.logprobs.len())).collect();
    entry.first_token_index = entry.first_token_index.saturating_add(num_tokens as u32);
}

fn take_text(text: &mut String, num_bytes: usize) -> Result<String, Misplaced> {
    let num_bytes = num_bytes.min(text.len());
    if !text.is_char_boundary(num_bytes) {
        return Err(Misplaced::NotABoundary);
    }
    Ok(text.drain(..num_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(first_token_index: u32, num_tokens: u32, text: &str) -> FrameEntry {
        FrameEntry {
            first_token_index,
            token_ids: (first_token_index..first_token_index + num_tokens).collect(),
            text: text.to_owned(),
            ..FrameEntry::default()
        }
    }

    fn finished(entry: FrameEntry) -> FrameEntry {
        FrameEntry { finish_reason: FinishReason::Stop.into(), ..entry }
    }

    /// What is new after `position`: tokens, text, and whether a finish comes.
    fn rest(position: &str, entries: Vec<FrameEntry>, is_from_fact: bool) -> Result<String, Misplaced> {
        let mut known = KnownPart::new(position.parse().unwrap());
        let mut rest = String::new();
        for entry in entries {
            if let Some(new) = known.split(entry, is_from_fact)?.new {
                let end = if new.finish_reason() == FinishReason::Stop { "$" } else { "" };
                rest.push_str(&format!("{:?}{}{end}", new.token_ids, new.text));
            }
        }
        Ok(rest)
    }

    #[test]
    fn tokens_alone_are_a_position_as_long_as_frames_tell_their_text() {
        let entries = || vec![entry(0, 1, "a"), entry(1, 2, "b"), finished(entry(3, 0, "c"))];
        let check = |position: &str, expected: &str| {
            assert_eq!(rest(position, entries(), false).as_deref(), Ok(expected), "{position}");
        };
        check("0", "[0]a[1, 2]b[]c$");
        check("1", "[1, 2]b[]c$");
        check("3", "[]c$");
        let whole = || vec![finished(entry(0, 3, "abc"))];
        assert_eq!(rest("0", whole(), true).as_deref(), Ok("[0, 1, 2]abc$"));
        assert_eq!(rest("1", whole(), true), Err(Misplaced::Forgotten));
        assert_eq!(rest("3", whole(), true).as_deref(), Ok("[]$"));
    }

    #[test]
    fn a_position_past_the_end_is_never_reached() {
        for (position, is_reached) in
            [("2", true), ("3", false), ("2-2f", true), ("2-3", false), ("3-2", false)]
        {
            let mut known = KnownPart::new(position.parse().unwrap());
            known.split(finished(entry(0, 2, "ab")), false).unwrap();
            assert_eq!(known.is_reached(), is_reached, "{position}");
        }
        assert_eq!(rest("1-1", vec![entry(0, 1, "ö")], false), Err(Misplaced::NotABoundary));
    }

    #[test]
    fn calls_go_on_within_their_arguments() {
        let delta = |index: u32, name: &str, arguments: &str| ToolCallDelta {
            index,
            id: name.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let mut known = KnownPart::new("1-0-0-1-3".parse().unwrap());
        let calls = vec![delta(0, "f", "{\"a\":1}"), delta(1, "g", "{}")];
        let split = known.split(FrameEntry { tool_calls: calls, ..entry(0, 1, "") }, true).unwrap();
        assert_eq!(split.known.unwrap().tool_calls, [delta(0, "f", "{\"a")]);
        assert_eq!(split.new.unwrap().tool_calls, [delta(0, "", "\":1}"), delta(1, "g", "{}")]);
    }

    proptest! {
        /// Wherever a client stopped, and however the answer is cut the second time, it gets each part once.
        #[test]
        fn a_resumed_answer_is_the_rest_of_it(
            texts in prop::collection::vec("[aö€]{0,3}", 1..20),
            stop in 0_usize..20,
            joins in prop::collection::vec(any::<bool>(), 20),
        ) {
            let entries: Vec<FrameEntry> =
                (0..).zip(&texts).map(|(index, text)| entry(index, 1, text)).collect();
            let mut position = Position::default();
            let stop = stop % texts.len();
            entries[..stop].iter().for_each(|entry| position.advance(entry));
            let mut recut: Vec<FrameEntry> = Vec::new();
            for (entry, joins) in entries.iter().zip(joins) {
                match recut.last_mut() {
                    Some(last) if joins => {
                        last.text.push_str(&entry.text);
                        last.token_ids.extend(&entry.token_ids);
                    }
                    _ => recut.push(entry.clone()),
                }
            }
            let mut known = KnownPart::new(StartingAfter::Exact(position));
            let (mut text, mut tokens) = (String::new(), Vec::new());
            for entry in recut {
                if let Some(new) = known.split(entry, true).unwrap().new {
                    text.push_str(&new.text);
                    tokens.extend(new.token_ids);
                }
            }
            prop_assert!(known.is_reached());
            prop_assert_eq!(text, texts[stop..].concat());
            prop_assert_eq!(tokens, (stop as u32..texts.len() as u32).collect::<Vec<_>>());
        }
    }
}
