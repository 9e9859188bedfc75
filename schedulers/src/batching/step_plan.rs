//! One step as data: what to compute, and what came of it.

use crate::batching::block_table::BlockId;
use crate::batching::sequence::SequenceId;
use crate::batching::state::FinishReason;

/// A sequence's share of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledSequence {
    /// The sequence.
    pub id: SequenceId,
    /// Position of its first token in this step.
    pub first_position: usize,
    /// Tokens to compute, at least 1.
    pub num_tokens: usize,
    /// How many of them, at the end, are guesses that the step verifies.
    pub num_drafts: usize,
    /// Blocks that joined its table for this step, prefix hits first.
    pub new_blocks: Vec<BlockId>,
    /// What to copy before anything is written.
    pub copy: Option<BlockCopy>,
    /// Whether the share catches up on known tokens instead of going on with the answer.
    pub is_prefill: bool,
    /// Whether the step reaches its last token, so that the next one is to be sampled.
    pub is_sampled: bool,
    /// How often it was preempted before the step; results of an earlier life are dropped.
    pub num_preemptions: u32,
}

/// A block of the prefix cache that begins as one of a sequence's own must. The copies of a step are made in the order of its
/// sequences, before it writes: the step itself may give a block that was copied to another sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCopy {
    /// What to copy.
    pub from: BlockId,
    /// Where to.
    pub to: BlockId,
}

/// What to compute in one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepPlan {
    /// The batch: running sequences in their order, then newly admitted ones.
    pub sequences: Vec<ScheduledSequence>,
    /// Sequences that lost their blocks for it.
    pub preempted: Vec<SequenceId>,
}

impl StepPlan {
    /// Tokens of the step.
    pub fn num_tokens(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.num_tokens).sum()
    }

    /// Tokens of the step that catch up on prompts.
    pub fn num_prefill_tokens(&self) -> usize {
        self.sequences.iter().filter(|sequence| sequence.is_prefill).map(|sequence| sequence.num_tokens).sum()
    }
}

/// What a step brought one of its sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    /// Keys and values; an inner chunk of a prefill.
    Computed,
    /// Keys and values, and the next tokens: the drafts that were right, and one more.
    Sampled(Vec<u32>),
    /// Nothing; the sequence ends and nothing of this step is kept.
    Failed,
}

/// What a sequence became by a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceProgress {
    /// The sequence.
    pub id: SequenceId,
    /// How many of the sampled tokens were appended; those after the end are dropped.
    pub num_appended_tokens: usize,
    /// Why it ended, if it did; it is forgotten and its blocks are free.
    pub finish: Option<FinishReason>,
}
