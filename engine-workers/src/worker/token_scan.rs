//! What earlier attempts published, read from the token stream: one reading for all who wait for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bus::{BusError, EventLog, ReadFrom, StreamName, subjects};
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::{FrameEntry, TokenFrame};
use schemas::{InferenceId, IngressId};
use tokio::sync::oneshot;
use tracing::warn;

use super::locked;

/// The tokens of one inference as far as they were published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Published {
    /// By choice, each without a hole from its beginning.
    pub(super) token_ids: Vec<Vec<u32>>,
    /// Absent when there are none.
    pub(super) first_published_at_unix_nanos: Option<u64>,
    /// One past the last token that was seen, by choice.
    ends: Vec<usize>,
    /// Tokens of this attempt behind a hole, with their place: what was under way when a connection broke is stored late.
    behind_hole: Vec<Vec<(usize, Vec<u32>)>>,
    attempt: u32,
}

/// Whose tokens are wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) inference: InferenceId,
    pub(super) ingress: IngressId,
    pub(super) num_choices: usize,
    /// None can be older.
    pub(super) since_unix_nanos: u64,
}

struct Question {
    wanted: Wanted,
    reply: oneshot::Sender<Result<Published, BusError>>,
}

/// Reads the token stream for one caller after another; whoever comes meanwhile is served by the next reading.
pub(super) struct TokenScan {
    log: Arc<dyn EventLog>,
    waiting: Mutex<Vec<Question>>,
    turn: tokio::sync::Mutex<()>,
}

impl Published {
    fn of(num_choices: usize) -> Self {
        Self {
            token_ids: vec![Vec::new(); num_choices],
            ends: vec![0; num_choices],
            behind_hole: vec![Vec::new(); num_choices],
            ..Self::default()
        }
    }

    /// Whether an attempt, or a later one, has brought a token.
    pub(super) fn has_token_of(&self, attempt: u32) -> bool {
        self.attempt >= attempt
    }

    /// Tokens of all choices.
    pub(super) fn num_tokens(&self) -> usize {
        self.token_ids.iter().map(Vec::len).sum()
    }

    /// Whether tokens are missing before others that were seen.
    pub(super) fn has_hole(&self) -> bool {
        self.token_ids.iter().zip(&self.ends).any(|(tokens, end)| tokens.len() < *end)
    }

    /// Takes in an entry in stream order. Later attempts go on where earlier ones ended or repeat them; what an
    /// earlier one says after a later one has begun counts for nothing.
    fn hear(&mut self, entry: &FrameEntry, published_at_unix_nanos: u64) {
        let choice = entry.choice as usize;
        if choice >= self.token_ids.len() || entry.attempt < self.attempt || entry.token_ids.is_empty() {
            return;
        }
        if entry.attempt > self.attempt {
            self.behind_hole.iter_mut().for_each(Vec::clear);
        }
        self.attempt = entry.attempt;
        self.first_published_at_unix_nanos.get_or_insert(published_at_unix_nanos);
        let (tokens, behind_hole) = (&mut self.token_ids[choice], &mut self.behind_hole[choice]);
        let first = entry.first_token_index as usize;
        self.ends[choice] = self.ends[choice].max(first + entry.token_ids.len());
        behind_hole.push((first, entry.token_ids.clone()));
        while let Some(next) = behind_hole.iter().position(|(first, _)| *first <= tokens.len()) {
            let (first, token_ids) = behind_hole.swap_remove(next);
            tokens.extend(token_ids.into_iter().skip(tokens.len() - first));
        }
    }
}

impl TokenScan {
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// What was published of an inference.
    pub(super) async fn published(&self, wanted: Wanted) -> Result<Published, BusError> {
        let (reply, mut answer) = oneshot::channel();
        locked(&self.waiting).push(Question { wanted, reply });
        let turn = self.turn.lock().await;
        if let Ok(answer) = answer.try_recv() {
            return answer;
        }
        let questions = std::mem::take(&mut *locked(&self.waiting));
        let found = self.read(&questions).await;
        for Question { wanted, reply } in questions {
            let published = match &found {
                Ok(found) => Ok(found.get(&wanted.inference).cloned().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            // Whoever asked may have been dropped.
            drop(reply.send(published));
        }
        drop(turn);
        answer.try_recv().unwrap_or_else(|_| Err(BusError::Unreachable("nobody read the tokens".to_owned())))
    }

    async fn read(&self, questions: &[Question]) -> Result<HashMap<InferenceId, Published>, BusError> {
        let mut found: HashMap<InferenceId, Published> = questions
            .iter()
            .map(|question| (question.wanted.inference, Published::of(question.wanted.num_choices)))
            .collect();
        let mut patterns: Vec<String> =
            questions.iter().map(|question| subjects::tokens_for(&question.wanted.ingress)).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let since = questions.iter().map(|question| question.wanted.since_unix_nanos).min();
        let from = ReadFrom::UnixNanos(since.unwrap_or_default());
        let mut records = self.log.read(StreamName::Tokens, patterns, from, false).await?;
        while let Some(record) = records.next().await {
            match TokenFrame::decode(record?.payload) {
                Ok(frame) => {
                    for entry in &frame.entries {
                        let published = entry.inference_id.parse().ok().and_then(|id| found.get_mut(&id));
                        if let Some(published) = published {
                            published.hear(entry, frame.published_at_unix_nanos);
                        }
                    }
                }
                Err(error) => warn!(%error, "a token frame cannot be read"),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entries: &[(u32, u32, u32, &[u32])], expected: &[&[u32]], has_hole: bool) {
        let mut published = Published::of(expected.len());
        for (attempt, choice, first_token_index, token_ids) in entries {
            let entry = FrameEntry {
                attempt: *attempt,
                choice: *choice,
                first_token_index: *first_token_index,
                token_ids: token_ids.to_vec(),
                ..FrameEntry::default()
            };
            published.hear(&entry, 7);
        }
        assert_eq!(published.token_ids, expected, "{entries:?}");
        assert_eq!(published.has_hole(), has_hole, "{entries:?}");
        assert_eq!(published.num_tokens(), expected.iter().map(|tokens| tokens.len()).sum::<usize>());
    }

    #[test]
    fn tokens_are_joined_over_attempts_and_repetitions() {
        check(&[], &[&[]], false);
        check(&[(1, 0, 0, &[5, 6]), (1, 0, 2, &[7])], &[&[5, 6, 7]], false);
        check(
            &[(1, 0, 0, &[5]), (1, 1, 0, &[8]), (2, 0, 1, &[6]), (2, 1, 1, &[9])],
            &[&[5, 6], &[8, 9]],
            false,
        );
        check(&[(1, 0, 0, &[5, 6]), (2, 0, 0, &[5, 6, 7]), (2, 0, 1, &[6])], &[&[5, 6, 7]], false);
    }

    #[test]
    fn what_is_stored_late_fills_its_hole() {
        let late: &[(u32, u32, u32, &[u32])] =
            &[(1, 0, 2, &[7]), (1, 0, 1, &[6]), (1, 0, 3, &[8]), (1, 0, 0, &[5])];
        check(late, &[&[5, 6, 7, 8]], false);
        check(&late[..3], &[&[]], true);
        // Another engine may go on with other tokens than the one that left the hole.
        check(&[(1, 0, 0, &[5]), (1, 0, 2, &[7]), (2, 0, 1, &[9])], &[&[5, 9]], true);
    }

    #[test]
    fn what_a_lost_worker_says_late_counts_for_nothing() {
        check(&[(1, 0, 0, &[5]), (2, 0, 1, &[6]), (1, 0, 1, &[0]), (1, 0, 2, &[0])], &[&[5, 6]], false);
    }

    #[test]
    fn a_hole_ends_what_is_known() {
        check(&[(1, 0, 0, &[5]), (1, 0, 2, &[7])], &[&[5]], true);
        check(&[(1, 0, 3, &[5])], &[&[]], true);
        check(&[(1, 0, 2, &[7]), (2, 0, 0, &[5]), (2, 0, 1, &[6, 7])], &[&[5, 6, 7]], false);
        check(&[(1, 9, 0, &[5])], &[&[]], false);
    }
}
