//! One sequence: tokens that are computed step by step.

use std::fmt;

use crate::batching::block_hash::{BlockHash, CacheKey};
use crate::batching::error::BatchingError;
use crate::batching::state::{FinishReason, SequenceState};
use crate::batching::stop_rules::StopRules;

/// Names a sequence within one engine; an inference with `n` choices has `n` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a sequence waits for before it may be scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwaitedInput {
    /// Its grammar is being compiled.
    Grammar,
    /// Its keys and values come from another worker.
    RemoteKv,
}

/// A sequence as handed to the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSequence {
    /// Its name.
    pub id: SequenceId,
    /// The prompt, then the answer tokens that an earlier attempt already produced.
    pub tokens: Vec<u32>,
    /// How many of `tokens` are the prompt.
    pub num_prompt_tokens: usize,
    /// Lower runs earlier, under [`Policy::Priority`](crate::batching::config::Policy::Priority).
    pub priority: i32,
    /// Whether it only fills what others leave, whatever the policy.
    pub is_batch: bool,
    /// Who may share its cached blocks.
    pub cache_key: CacheKey,
    /// When it ends.
    pub stop_rules: StopRules,
    /// Most tokens it takes of one step, for sequences that need a row of logits per prompt token.
    pub max_num_step_tokens: Option<usize>,
    /// Whether it may start from cached blocks; false when every prompt token's logits are wanted.
    pub can_read_prefix_cache: bool,
    /// What it waits for; see [`Scheduler::mark_ready`](crate::batching::scheduler::Scheduler::mark_ready).
    pub awaits: Option<AwaitedInput>,
}

/// A sequence inside the scheduler.
#[derive(Debug, Clone)]
pub struct Sequence {
    id: SequenceId,
    /// Prompt and answer, then the drafts of the step in flight.
    tokens: Vec<u32>,
    num_drafts: usize,
    num_prompt_tokens: usize,
    priority: i32,
    is_batch: bool,
    arrival: u64,
    cache_key: CacheKey,
    stop_rules: StopRules,
    max_num_step_tokens: Option<usize>,
    can_read_prefix_cache: bool,
    state: SequenceState,
    num_computed_tokens: usize,
    num_cached_tokens: Option<usize>,
    num_preemptions: u32,
    block_hashes: Vec<BlockHash>,
}

impl Sequence {
    pub(super) fn new(new: NewSequence, arrival: u64) -> Self {
        Sequence {
            id: new.id,
            tokens: new.tokens,
            num_drafts: 0,
            num_prompt_tokens: new.num_prompt_tokens,
            priority: new.priority,
            is_batch: new.is_batch,
            arrival,
            cache_key: new.cache_key,
            stop_rules: new.stop_rules,
            max_num_step_tokens: new.max_num_step_tokens,
            can_read_prefix_cache: new.can_read_prefix_cache,
            state: match new.awaits {
                None => SequenceState::Waiting,
                Some(AwaitedInput::Grammar) => SequenceState::WaitingForGrammar,
                Some(AwaitedInput::RemoteKv) => SequenceState::WaitingForRemoteKv,
            },
            num_computed_tokens: 0,
            num_cached_tokens: None,
            num_preemptions: 0,
            block_hashes: Vec::new(),
        }
    }

    /// Its name.
    pub fn id(&self) -> SequenceId {
        self.id
    }

    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - self.num_drafts]
    }

    /// Prompt and answer so far, then the drafts of the step in flight.
    pub fn tokens_and_drafts(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of the prompt.
    pub fn num_prompt_tokens(&self) -> usize {
        self.num_prompt_tokens
    }

    /// Tokens of the answer so far.
    pub fn num_output_tokens(&self) -> usize {
        self.tokens().len() - self.num_prompt_tokens
    }

    /// Tokens whose keys and values are in the cache, those of the step in flight and its drafts included.
    pub fn num_computed_tokens(&self) -> usize {
        self.num_computed_tokens
    }

    /// Tokens that its first admission found in the prefix cache; `None` before it.
    pub fn num_cached_tokens(&self) -> Option<usize> {
        self.num_cached_tokens
    }

    /// How often it lost its blocks.
    pub fn num_preemptions(&self) -> u32 {
        self.num_preemptions
    }

    /// Where it is in its life.
    pub fn state(&self) -> SequenceState {
        self.state
    }

    /// Lower runs earlier under the priority policy.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// Whether it only fills what others leave.
    pub fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// The order of addition.
    pub fn arrival(&self) -> u64 {
        self.arrival
    }

    /// Hashes of its leading full blocks, as far as `hash_full_blocks` came.
    pub fn block_hashes(&self) -> &[BlockHash] {
        &self.block_hashes
    }

    /// What the block before the one at `index` is found by; before the first, the hash of no tokens.
    pub(super) fn parent_of(&self, index: usize) -> BlockHash {
        let parent = index.checked_sub(1).and_then(|parent| self.block_hashes.get(parent));
        parent.copied().unwrap_or_else(|| BlockHash::of(None, &[], &self.cache_key))
    }

    /// Who may share its cached blocks.
    pub fn cache_key(&self) -> &CacheKey {
        &self.cache_key
    }

    pub(super) fn can_read_prefix_cache(&self) -> bool {
        self.can_read_prefix_cache
    }

    /// Tokens that wait to be computed, as far as one step may take them.
    pub(super) fn num_wanted_tokens(&self) -> usize {
        self.capped(self.tokens().len() - self.num_computed_tokens)
    }

    /// Whether it has more to compute than the one token that its answer goes on from.
    pub(super) fn is_prefilling(&self) -> bool {
        self.tokens().len() - self.num_computed_tokens > 1
    }

    /// `num_tokens` within what the sequence takes of one step.
    pub(super) fn capped(&self, num_tokens: usize) -> usize {
        num_tokens.min(self.max_num_step_tokens.unwrap_or(usize::MAX))
    }

    pub(super) fn become_state(&mut self, next: SequenceState) -> Result<(), BatchingError> {
        self.state = self.state.become_state(next)?;
        Ok(())
    }

    /// Running from `num_cached_tokens` on.
    pub(super) fn admit(&mut self, num_cached_tokens: usize) -> Result<(), BatchingError> {
        self.become_state(SequenceState::Running)?;
        self.num_computed_tokens = num_cached_tokens;
        self.num_cached_tokens.get_or_insert(num_cached_tokens);
        Ok(())
    }

    /// Back to nothing computed; the tokens of the answer stay, drafts don't.
    pub(super) fn preempt(&mut self) -> Result<(), BatchingError> {
        self.become_state(SequenceState::Preempted)?;
        self.tokens.truncate(self.tokens.len() - self.num_drafts);
        self.num_drafts = 0;
        self.num_computed_tokens = 0;
        self.num_preemptions += 1;
        Ok(())
    }

    pub(super) fn advance(&mut self, num_tokens: usize) {
        self.num_computed_tokens += num_tokens;
    }

    /// Back to `first_position`, where the step in flight began; its drafts are gone.
    pub(super) fn retreat(&mut self, first_position: usize) {
        self.settle_drafts(0);
        self.num_computed_tokens = first_position;
    }

    /// Tokens that the answer can still have, from 1 on while it goes on.
    pub(super) fn max_num_more_tokens(&self, max_sequence_tokens: usize) -> usize {
        let max_num_tokens = self.stop_rules.max_tokens.saturating_sub(self.num_output_tokens());
        max_num_tokens.min(max_sequence_tokens.saturating_sub(self.tokens().len()))
    }

    /// Takes drafts into the step in flight.
    pub(super) fn add_drafts(&mut self, drafts: &[u32]) {
        self.tokens.extend_from_slice(drafts);
        self.num_drafts += drafts.len();
        self.num_computed_tokens += drafts.len();
    }

    /// Whether `sampled` are leading drafts and one more token, as the verification of drafts brings them.
    pub(super) fn follows_drafts(&self, sampled: &[u32]) -> bool {
        let drafts = &self.tokens[self.tokens.len() - self.num_drafts..];
        sampled.split_last().is_none_or(|(_, accepted)| drafts.starts_with(accepted))
    }

    /// Takes all drafts out; of their keys and values the first `num_accepted` stay.
    pub(super) fn settle_drafts(&mut self, num_accepted: usize) {
        self.num_computed_tokens -= self.num_drafts - num_accepted.min(self.num_drafts);
        self.tokens.truncate(self.tokens.len() - self.num_drafts);
        self.num_drafts = 0;
    }

    /// Appends one answer token and says whether the sequence ends with it.
    pub(super) fn append(&mut self, token: u32, max_sequence_tokens: usize) -> Option<FinishReason> {
        self.tokens.push(token);
        self.stop_rules
            .finish_reason(token, self.num_output_tokens())
            .or((self.tokens.len() >= max_sequence_tokens).then_some(FinishReason::Length))
    }

    /// Extends [`Sequence::block_hashes`] over every full block of its tokens.
    pub(super) fn hash_full_blocks(&mut self, block_size_tokens: usize) {
        let num_hashed_tokens = self.block_hashes.len() * block_size_tokens;
        let num_tokens = self.tokens.len() - self.num_drafts;
        for block_tokens in self.tokens[num_hashed_tokens..num_tokens].chunks_exact(block_size_tokens) {
            let hash = BlockHash::of(self.block_hashes.last(), block_tokens, &self.cache_key);
            self.block_hashes.push(hash);
        }
    }
}
