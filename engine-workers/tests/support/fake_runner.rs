//! A runner whose logits are a function of the token prefix, read back through the block table from a fake paged cache:
//! any mistake in blocks, positions or schedules changes the tokens.

use std::ops::Range;
use std::sync::mpsc;

use engine_workers::runner::{Interrupt, LogitRows, ModelRunner, RunnerError, RunnerShape, SequenceChunk};

/// Size of the vocabulary.
pub(crate) const VOCAB_SIZE: usize = 64;
/// End of sequence.
pub(crate) const EOS: u32 = 1;
/// A token in a prompt after which the logits are not numbers.
pub(crate) const POISON: u32 = 2;

const UNWRITTEN: u32 = u32::MAX;

/// What the runner does in a step besides computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Reports a device failure.
    Fail,
    /// Panics.
    Panic,
}

/// The runner.
#[derive(Debug)]
pub(crate) struct FakeRunner {
    shape: RunnerShape,
    cache: Vec<u32>,
    step: u64,
    mishap: Option<(u64, Mishap)>,
    permits: Option<mpsc::Receiver<()>>,
    patience: Option<(Range<u64>, mpsc::Sender<()>)>,
    /// Added to the logit of one token, another after each.
    opinion: f32,
}

/// The token that most often follows `token`: they go round in circles of seven, so that answers repeat themselves.
fn successor(token: u32) -> u32 {
    let first = 11 + token.saturating_sub(11) / 7 * 7;
    let num_tokens = 7.min(VOCAB_SIZE as u32 - first);
    first + (token.max(first) - first + 1) % num_tokens
}

/// Logits after `prefix`: often the last token's successor is the best, and every one depends on the whole.
pub(crate) fn logits_after(prefix: impl Iterator<Item = u32>) -> Vec<f32> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let (mut is_poisoned, mut last) = (false, 0);
    for token in prefix {
        last = token;
        is_poisoned |= token == POISON;
        state = (state ^ u64::from(token)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let logit = |id: u64| {
        let mut x = state ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x >> 40) as f32 / (1_u64 << 24) as f32) * 8.0 - 4.0
    };
    let mut logits: Vec<f32> = (0..VOCAB_SIZE as u64).map(logit).collect();
    if !state.is_multiple_of(5) {
        logits[successor(last) as usize] += 9.0;
    }
    // Rarely sampled: answers are long enough to be preempted, and the poison comes with prompts only.
    logits[EOS as usize] -= 3.0;
    logits[POISON as usize] = f32::NEG_INFINITY;
    if is_poisoned {
        logits[7] = f32::NAN;
    }
    logits
}

impl FakeRunner {
    /// An empty cache.
    pub(crate) fn new(num_blocks: usize, block_size_tokens: usize, max_num_batched_tokens: usize) -> Self {
        FakeRunner {
            shape: RunnerShape {
                vocab_size: VOCAB_SIZE,
                max_model_len_tokens: 160,
                block_size_tokens,
                num_blocks,
                max_num_batched_tokens,
            },
            cache: vec![UNWRITTEN; num_blocks * block_size_tokens],
            step: 0,
            mishap: None,
            permits: None,
            patience: None,
            opinion: 0.0,
        }
    }

    /// Another model of the same vocabulary, which agrees less the larger its opinion is.
    pub(crate) fn with_opinion(mut self, opinion: f32) -> Self {
        self.opinion = opinion;
        self
    }

    /// The `step`-th step (from 1) goes wrong.
    pub(crate) fn with_mishap(mut self, step: u64, mishap: Mishap) -> Self {
        self.mishap = Some((step, mishap));
        self
    }

    /// Each step waits for a permit, until the sender is dropped.
    pub(crate) fn with_permits(mut self, permits: mpsc::Receiver<()>) -> Self {
        self.permits = Some(permits);
        self
    }

    /// Each of these steps (from 1) that can be interrupted leaves rubbish in the cache, says that it waits, and waits until
    /// it is.
    pub(crate) fn with_patience(mut self, steps: Range<u64>, waits: mpsc::Sender<()>) -> Self {
        self.patience = Some((steps, waits));
        self
    }

    fn slot(&self, chunk: &SequenceChunk<'_>, position: usize) -> Result<usize, RunnerError> {
        let size = self.shape.block_size_tokens;
        let block = chunk.block_table.get(position / size).copied().map(|block| block as usize);
        match block.filter(|block| *block < self.shape.num_blocks) {
            Some(block) => Ok(block * size + position % size),
            None => Err(RunnerError::InvalidBatch(format!("position {position} has no block"))),
        }
    }

    fn write(&mut self, chunks: &[SequenceChunk<'_>]) -> Result<(), RunnerError> {
        let mut written = vec![false; self.cache.len()];
        for chunk in chunks {
            for (position, token) in (chunk.first_position..).zip(chunk.tokens) {
                let slot = self.slot(chunk, position)?;
                if std::mem::replace(&mut written[slot], true) {
                    return Err(RunnerError::InvalidBatch(format!("slot {slot} is written twice")));
                }
                self.cache[slot] = *token;
            }
        }
        Ok(())
    }

    fn prefix(&self, chunk: &SequenceChunk<'_>, last: usize) -> Result<Vec<u32>, RunnerError> {
        (0..=last)
            .map(|position| match self.cache[self.slot(chunk, position)?] {
                UNWRITTEN => {
                    Err(RunnerError::InvalidBatch(format!("position {position} was never computed")))
                }
                token => Ok(token),
            })
            .collect()
    }
}

impl ModelRunner for FakeRunner {
    fn shape(&self) -> RunnerShape {
        self.shape
    }

    fn copy_block(&mut self, from: u32, to: u32) -> Result<(), RunnerError> {
        let size = self.shape.block_size_tokens;
        let from = from as usize * size;
        self.cache.copy_within(from..from + size, to as usize * size);
        Ok(())
    }

    fn forward(&mut self, chunks: &[SequenceChunk<'_>], logits: &mut Vec<f32>) -> Result<(), RunnerError> {
        if let Some(permits) = &self.permits
            && permits.recv().is_err()
        {
            self.permits = None;
        }
        self.step += 1;
        match self.mishap {
            Some((step, Mishap::Fail)) if step == self.step => {
                return Err(RunnerError::Device("out of order".to_owned()));
            }
            Some((step, Mishap::Panic)) if step == self.step => {
                panic!("the fake runner panics in step {step}")
            }
            _ => {}
        }
        let num_tokens: usize = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
        if num_tokens > self.shape.max_num_batched_tokens
            || chunks.iter().any(|chunk| chunk.tokens.is_empty())
        {
            return Err(RunnerError::InvalidBatch(format!("{num_tokens} tokens in {} chunks", chunks.len())));
        }
        self.write(chunks)?;
        logits.clear();
        for chunk in chunks {
            let end = chunk.first_position + chunk.tokens.len();
            let rows = match chunk.logit_rows {
                LogitRows::None => end..end,
                LogitRows::Last | LogitRows::LargestOfLast => end - 1..end,
                LogitRows::All => chunk.first_position..end,
            };
            for position in rows {
                let prefix = self.prefix(chunk, position)?;
                let favourite = prefix.last().map_or(0, |last| 11 + *last as usize * 5 % 50);
                let row = logits.len();
                logits.extend(logits_after(prefix.into_iter()));
                logits[row + favourite] += self.opinion;
                if chunk.logit_rows == LogitRows::LargestOfLast {
                    keep_largest(&mut logits[row..]);
                }
            }
        }
        Ok(())
    }

    fn forward_unless(
        &mut self,
        chunks: &[SequenceChunk<'_>],
        logits: &mut Vec<f32>,
        interrupt: &Interrupt,
    ) -> Result<(), RunnerError> {
        let is_patient = |(steps, _): &&(Range<u64>, _)| steps.contains(&(self.step + 1));
        let waits = self.patience.as_ref().filter(is_patient).map(|(_, waits)| waits.clone());
        let Some(waits) = waits else { return self.forward(chunks, logits) };
        self.step += 1;
        for chunk in chunks {
            for position in chunk.first_position..chunk.first_position + chunk.tokens.len() {
                let slot = self.slot(chunk, position)?;
                self.cache[slot] = POISON;
            }
        }
        waits.send(()).map_err(|_| RunnerError::Device("nobody listens".to_owned()))?;
        while !interrupt.is_raised() {
            std::thread::yield_now();
        }
        Err(RunnerError::Interrupted)
    }

    fn kernel_path(&self) -> &'static str {
        "fake"
    }
}

/// All that the engine may count on where it asks for no more.
fn keep_largest(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for logit in logits.iter_mut().filter(|logit| **logit < largest) {
        *logit = f32::NEG_INFINITY;
    }
}
