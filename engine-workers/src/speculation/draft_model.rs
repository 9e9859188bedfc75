//! Drafts from a smaller model with the same vocabulary.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use schedulers::batching::sequence::SequenceId;

use crate::runner::{LogitRows, ModelRunner, RunnerError, RunnerShape, SequenceChunk};
use crate::speculation::hit_rate::HitRate;

/// Share of right drafts that is expected of a model that was not tried on a sequence yet.
const EXPECTED_RATE: f64 = 0.75;
/// Steps without drafts after which a sequence is tried again with one.
const MAX_NUM_IDLE_STEPS: u32 = 32;
/// What a round takes, in steps of the target, until it was measured.
const EXPECTED_ROUND_COST: f64 = 0.25;
/// However slow the model is found to be, it drafts where nearly all that it says is right: whoever chose it wants so.
const MAX_ROUND_COST: f64 = 0.5;
/// Weight of the newest measurement in the running mean of a round's time.
const NEWEST: f64 = 0.2;

/// A sequence that wants drafts for the tokens after `tokens`.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) id: SequenceId,
    /// Prompt and answer so far.
    pub(crate) tokens: &'a [u32],
    /// Most drafts that are of use.
    pub(crate) max_num_drafts: usize,
    /// The least chance of being right at which the target's row for a draft pays.
    pub(crate) least_chance: f64,
}

/// What the smaller model knows of a sequence.
#[derive(Debug)]
struct DraftedSequence {
    /// The tokens whose keys and values are in the cache.
    computed: Vec<u32>,
    block_table: Vec<u32>,
    /// Length of the sequence when its latest drafts were made, and these.
    num_known_tokens: usize,
    drafts: Vec<u32>,
    rate: HitRate,
    num_idle_steps: u32,
}

/// A smaller model with a cache of its own. It computes a sequence's prompt when it drafts for it the first time, and
/// forgets sequences when it has no blocks left: those go on without drafts.
pub(crate) struct DraftModel {
    runner: Box<dyn ModelRunner>,
    shape: RunnerShape,
    free_blocks: Vec<u32>,
    sequences: HashMap<SequenceId, DraftedSequence>,
    logits: Vec<f32>,
    /// Mean time of a round: one more draft for each of the sequences.
    round: Option<Duration>,
}

impl std::fmt::Debug for DraftModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DraftModel").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// Picks the token so many places after a wish's last from the logits there.
pub(crate) type ChooseDraft<'a> = dyn FnMut(&Wish<'_>, usize, &mut [f32]) -> Option<u32> + 'a;

impl DraftModel {
    pub(crate) fn new(runner: Box<dyn ModelRunner>) -> Self {
        let shape = runner.shape();
        Self {
            runner,
            shape,
            free_blocks: (0..shape.num_blocks as u32).rev().collect(),
            sequences: HashMap::new(),
            logits: Vec::new(),
            round: None,
        }
    }

    /// Drafts for each wish, in their order; `choose(wish, offset, logits)` picks the token `offset` places after the
    /// wish's last. `step` is how long a step of the target takes, as far as that is known.
    pub(crate) fn draft(
        &mut self,
        wishes: &[Wish<'_>],
        step: Option<Duration>,
        choose: &mut ChooseDraft<'_>,
    ) -> Result<Vec<Vec<u32>>, RunnerError> {
        // Time of a round in steps of the target, shared by as many tokens as there are sequences in both.
        let round_cost = match (self.round, step) {
            (Some(round), Some(step)) => round.as_secs_f64() / step.as_secs_f64().max(1e-9),
            _ => EXPECTED_ROUND_COST,
        };
        let round_cost = round_cost.min(MAX_ROUND_COST);
        let nums_drafts: Vec<usize> = wishes.iter().map(|wish| self.num_drafts(wish, round_cost)).collect();
        let mut drafts: Vec<Vec<u32>> = vec![Vec::new(); wishes.len()];
        let longest = nums_drafts.iter().copied().max().unwrap_or(0);
        for offset in 0..longest {
            let started_at = Instant::now();
            let wanting = (0..wishes.len())
                .filter(|index| nums_drafts[*index] > offset && drafts[*index].len() == offset);
            let (indexes, num_tokens) = self.compute(wishes, wanting.collect(), &drafts)?;
            let vocab_size = self.shape.vocab_size;
            for (index, logits) in indexes.iter().zip(self.logits.chunks_exact_mut(vocab_size)) {
                drafts[*index].extend(choose(&wishes[*index], offset, logits));
            }
            if num_tokens <= 2 * indexes.len() && !indexes.is_empty() {
                let newest = started_at.elapsed();
                self.round = Some(
                    self.round.map_or(newest, |mean| mean.mul_f64(1.0 - NEWEST) + newest.mul_f64(NEWEST)),
                );
            }
        }
        for (wish, drafts) in wishes.iter().zip(&drafts) {
            if let Some(sequence) = self.sequences.get_mut(&wish.id) {
                sequence.num_known_tokens = wish.tokens.len();
                sequence.drafts.clone_from(drafts);
            }
        }
        Ok(drafts)
    }

    /// The sequence has ended.
    pub(crate) fn forget(&mut self, id: SequenceId) {
        if let Some(sequence) = self.sequences.remove(&id) {
            self.free_blocks.extend(sequence.block_table);
        }
    }

    /// How many drafts pay, by how often the latest ones were right; 0 too if they cannot be held.
    fn num_drafts(&mut self, wish: &Wish<'_>, round_cost: f64) -> usize {
        let sequence = self.sequences.entry(wish.id).or_insert_with(DraftedSequence::new);
        sequence.judge(wish.tokens);
        let rate = sequence.rate.get();
        let mut num_drafts = 0;
        let mut chance = rate;
        while num_drafts < wish.max_num_drafts && chance >= wish.least_chance + round_cost {
            num_drafts += 1;
            chance *= rate;
        }
        if num_drafts == 0 && sequence.num_idle_steps >= MAX_NUM_IDLE_STEPS {
            num_drafts = wish.max_num_drafts.min(1);
        }
        let num_positions = wish.tokens.len() + num_drafts;
        if num_drafts == 0
            || num_positions > self.shape.max_model_len_tokens
            || !self.reserve(wish.id, num_positions)
        {
            if let Some(sequence) = self.sequences.get_mut(&wish.id) {
                sequence.num_idle_steps += 1;
            }
            return 0;
        }
        num_drafts
    }

    /// Blocks for the sequence's first `num_positions` tokens; false, and it has none, if they are all taken.
    fn reserve(&mut self, id: SequenceId, num_positions: usize) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else { return false };
        let num_blocks = num_positions.div_ceil(self.shape.block_size_tokens);
        let num_new = num_blocks.saturating_sub(sequence.block_table.len());
        if num_new > self.free_blocks.len() {
            self.free_blocks.append(&mut sequence.block_table);
            sequence.computed.clear();
            return false;
        }
        sequence.block_table.extend(self.free_blocks.drain(self.free_blocks.len() - num_new..));
        sequence.num_idle_steps = 0;
        true
    }

    /// Computes what the sequences of these wishes have not computed yet, drafts included, within one step. The wishes
    /// that came to their last token, whose logits are there, and the tokens of the step.
    fn compute(
        &mut self,
        wishes: &[Wish<'_>],
        indexes: Vec<usize>,
        drafts: &[Vec<u32>],
    ) -> Result<(Vec<usize>, usize), RunnerError> {
        let mut budget = self.shape.max_num_batched_tokens;
        let mut shares = Vec::with_capacity(indexes.len());
        for index in indexes {
            let wish = &wishes[index];
            let Some(sequence) = self.sequences.get_mut(&wish.id) else { continue };
            let first_position = sequence.computed.len();
            let missing = wish.tokens.iter().chain(&drafts[index]).skip(first_position).copied();
            let num_missing = wish.tokens.len() + drafts[index].len() - first_position;
            sequence.computed.extend(missing.take(budget));
            let num_tokens = num_missing.min(budget);
            budget -= num_tokens;
            if num_tokens > 0 {
                shares.push((index, first_position, num_tokens == num_missing));
            }
        }
        let mut chunks = Vec::with_capacity(shares.len());
        for (index, first_position, is_last) in &shares {
            let Some(sequence) = self.sequences.get(&wishes[*index].id) else { continue };
            chunks.push(SequenceChunk {
                tokens: &sequence.computed[*first_position..],
                first_position: *first_position,
                block_table: &sequence.block_table,
                logit_rows: if *is_last { LogitRows::Last } else { LogitRows::None },
                // It guesses for sequences with an adapter too, only worse.
                adapter: None,
            });
        }
        let num_tokens = self.shape.max_num_batched_tokens - budget;
        if !chunks.is_empty() {
            self.runner.forward(&chunks, &mut self.logits)?;
        }
        Ok((shares.into_iter().filter(|share| share.2).map(|share| share.0).collect(), num_tokens))
    }
}

impl DraftedSequence {
    fn new() -> Self {
        Self {
            computed: Vec::new(),
            block_table: Vec::new(),
            num_known_tokens: 0,
            drafts: Vec::new(),
            rate: HitRate::expected(EXPECTED_RATE),
            num_idle_steps: 0,
        }
    }

    /// Compares the latest drafts with what came, up to the first miss, and forgets what was computed of wrong ones. The
    /// last token is always computed again, for its logits.
    fn judge(&mut self, tokens: &[u32]) {
        let came = tokens.get(self.num_known_tokens..).unwrap_or_default();
        for (draft, token) in self.drafts.iter().zip(came) {
            self.rate.add(draft == token);
            if draft != token {
                break;
            }
        }
        self.drafts.clear();
        let first = self.num_known_tokens.min(self.computed.len()).min(tokens.len());
        let num_same =
            self.computed[first..].iter().zip(&tokens[first..]).take_while(|(a, b)| a == b).count();
        self.computed.truncate((first + num_same).min(tokens.len().saturating_sub(1)));
    }
}
