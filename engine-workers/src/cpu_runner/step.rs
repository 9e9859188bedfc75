//! What a step computes, checked against the runner's limits and laid out row by row.

use kernels::{AttentionRow, AttentionRows};

use super::adapter_rows::{AdapterPlan, AdapterRows};
use crate::runner::{LogitRows, RunnerError, RunnerShape, SequenceChunk};

/// The rows of a step: every token of every chunk, in the order of the chunks. Keeps its memory from step to step.
///
/// What [`Step::plan`] returned is valid: all tokens are in the vocabulary, all positions have a block that exists, and
/// no block is written by two chunks. A chunk may read blocks that another one writes in the same step, since a layer
/// writes all keys and values before it reads any.
#[derive(Debug, Default)]
pub(crate) struct Step {
    tokens: Vec<u32>,
    positions: Vec<u32>,
    rows: Vec<AttentionRow>,
    logit_rows: Vec<usize>,
    attention_of_logit_rows: Vec<AttentionRow>,
    written_blocks: Vec<u32>,
    block_tables: Vec<&'static [u32]>,
    adapters: AdapterPlan,
}

/// A planned step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepRows<'a> {
    /// The token of each row.
    pub(crate) tokens: &'a [u32],
    /// Its position in its sequence.
    pub(crate) positions: &'a [u32],
    /// Both, as attention wants it.
    pub(crate) attention: AttentionRows<'a>,
    /// The rows whose logits are asked for, ascending.
    pub(crate) logit_rows: &'a [usize],
    /// Whether of each of them the largest logits are enough.
    pub(crate) needs_largest_only: bool,
    /// The rows as attention wants them.
    pub(crate) attention_of_logit_rows: AttentionRows<'a>,
    /// The rows that an adapter corrects.
    pub(crate) adapters: AdapterRows<'a>,
}

impl Step {
    /// Lays the chunks out and calls `run` with them.
    ///
    /// # Errors
    /// [`RunnerError::InvalidBatch`] for chunks that break the contract, and whatever `run` returns.
    pub(crate) fn plan<T>(
        &mut self,
        shape: &RunnerShape,
        chunks: &[SequenceChunk<'_>],
        run: impl FnOnce(StepRows<'_>) -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        self.tokens.clear();
        self.positions.clear();
        self.rows.clear();
        self.logit_rows.clear();
        self.attention_of_logit_rows.clear();
        self.written_blocks.clear();
        for (sequence, chunk) in chunks.iter().enumerate() {
            check_chunk(shape, sequence, chunk)?;
            self.push(sequence, chunk);
        }
        let num_tokens = self.tokens.len();
        if num_tokens > shape.max_num_batched_tokens {
            return Err(invalid(format!(
                "{num_tokens} tokens, at most {} fit",
                shape.max_num_batched_tokens
            )));
        }
        self.written_blocks.sort_unstable();
        if let Some(pair) = self.written_blocks.array_windows().find(|[block, next]| block == next) {
            return Err(invalid(format!("block {} is written by two sequences", pair[0])));
        }
        self.adapters.plan(chunks);
        let mut block_tables = shorten_lifetimes(std::mem::take(&mut self.block_tables));
        block_tables.extend(chunks.iter().map(|chunk| chunk.block_table));
        self.attention_of_logit_rows.extend(self.logit_rows.iter().map(|row| self.rows[*row]));
        let of = |rows| AttentionRows { rows, block_tables: &block_tables };
        let outcome = run(StepRows {
            tokens: &self.tokens,
            positions: &self.positions,
            attention: of(&self.rows),
            logit_rows: &self.logit_rows,
            needs_largest_only: chunks
                .iter()
                .all(|chunk| matches!(chunk.logit_rows, LogitRows::None | LogitRows::LargestOfLast)),
            attention_of_logit_rows: of(&self.attention_of_logit_rows),
            adapters: self.adapters.of(chunks),
        });
        self.block_tables = shorten_lifetimes(block_tables);
        outcome
    }

    fn push(&mut self, sequence: usize, chunk: &SequenceChunk<'_>) {
        let end = chunk.first_position + chunk.tokens.len();
        let first_row = self.tokens.len();
        self.tokens.extend_from_slice(chunk.tokens);
        for position in chunk.first_position..end {
            // The longest sequence is below 2^32, which the options hold.
            let position = position as u32;
            self.positions.push(position);
            self.rows.push(AttentionRow { sequence, position });
        }
        let last_row = self.tokens.len() - 1;
        match chunk.logit_rows {
            LogitRows::None => {}
            LogitRows::Last | LogitRows::LargestOfLast => self.logit_rows.push(last_row),
            LogitRows::All => self.logit_rows.extend(first_row..=last_row),
        }
        let block_size = super::BLOCK_SIZE_TOKENS;
        let written = chunk.first_position / block_size..end.div_ceil(block_size);
        self.written_blocks.extend_from_slice(&chunk.block_table[written]);
    }
}

fn check_chunk(shape: &RunnerShape, sequence: usize, chunk: &SequenceChunk<'_>) -> Result<(), RunnerError> {
    if chunk.tokens.is_empty() {
        return Err(invalid(format!("chunk {sequence} has no tokens")));
    }
    let end = chunk.first_position.saturating_add(chunk.tokens.len());
    if end > shape.max_model_len_tokens {
        let longest = shape.max_model_len_tokens;
        return Err(invalid(format!(
            "chunk {sequence} ends at position {end}, a sequence has at most {longest}"
        )));
    }
    let num_blocks = end.div_ceil(shape.block_size_tokens);
    let Some(blocks) = chunk.block_table.get(..num_blocks) else {
        let held = chunk.block_table.len();
        return Err(invalid(format!("chunk {sequence} needs {num_blocks} blocks, its table has {held}")));
    };
    if let Some(block) = blocks.iter().find(|block| **block as usize >= shape.num_blocks) {
        return Err(invalid(format!("chunk {sequence} uses block {block} of {}", shape.num_blocks)));
    }
    if let Some(token) = chunk.tokens.iter().find(|token| **token as usize >= shape.vocab_size) {
        return Err(invalid(format!("chunk {sequence} has token {token} of {}", shape.vocab_size)));
    }
    Ok(())
}

fn invalid(reason: String) -> RunnerError {
    RunnerError::InvalidBatch(reason)
}

/// An empty vector for borrows of any lifetime, in the memory of the old one: collecting in place reuses it.
fn shorten_lifetimes<'short>(mut tables: Vec<&[u32]>) -> Vec<&'short [u32]> {
    tables.clear();
    tables.into_iter().map(|_| -> &'short [u32] { &[] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: RunnerShape = RunnerShape {
        vocab_size: 100,
        max_model_len_tokens: 64,
        block_size_tokens: 16,
        num_blocks: 8,
        max_num_batched_tokens: 40,
    };

    fn chunk<'a>(tokens: &'a [u32], first_position: usize, block_table: &'a [u32]) -> SequenceChunk<'a> {
        SequenceChunk { tokens, first_position, block_table, logit_rows: LogitRows::Last, adapter: None }
    }

    fn check(chunks: &[SequenceChunk<'_>], expected: Result<(), &str>) {
        let outcome = Step::default().plan(&SHAPE, chunks, |_| Ok(()));
        let expected = expected.map_err(|reason| format!("invalid batch: {reason}"));
        assert_eq!(outcome.map_err(|error| error.to_string()), expected);
    }

    #[test]
    fn chunks_that_break_the_contract_are_refused_with_the_numbers() {
        check(&[chunk(&[1, 2], 15, &[7, 0])], Ok(()));
        check(&[chunk(&[], 0, &[1])], Err("chunk 0 has no tokens"));
        check(&[chunk(&[1, 2], 15, &[7])], Err("chunk 0 needs 2 blocks, its table has 1"));
        check(&[chunk(&[1], 0, &[8])], Err("chunk 0 uses block 8 of 8"));
        check(&[chunk(&[100], 0, &[1])], Err("chunk 0 has token 100 of 100"));
        check(&[chunk(&[1], 64, &[0; 9])], Err("chunk 0 ends at position 65, a sequence has at most 64"));
        check(
            &[chunk(&[1], usize::MAX, &[0])],
            Err(&format!("chunk 0 ends at position {}, a sequence has at most 64", usize::MAX)),
        );
        check(&[chunk(&[1; 41], 0, &[0, 1, 2])], Err("41 tokens, at most 40 fit"));
        check(&[chunk(&[1], 0, &[3]), chunk(&[1], 5, &[3])], Err("block 3 is written by two sequences"));
        check(&[chunk(&[1], 3, &[3]), chunk(&[1], 16, &[3, 4])], Ok(()));
    }

    #[test]
    fn rows_follow_the_chunks() {
        let chunks = [
            SequenceChunk { logit_rows: LogitRows::None, ..chunk(&[5, 6], 3, &[1]) },
            SequenceChunk { logit_rows: LogitRows::All, ..chunk(&[7, 8], 0, &[2]) },
            chunk(&[9, 10], 20, &[4, 3]),
        ];
        let mut step = Step::default();
        for _ in 0..2 {
            step.plan(&SHAPE, &chunks, |rows| {
                assert_eq!(rows.tokens, [5, 6, 7, 8, 9, 10]);
                assert_eq!(rows.positions, [3, 4, 0, 1, 20, 21]);
                assert_eq!(rows.logit_rows, [2, 3, 5]);
                let row = AttentionRow { sequence: 2, position: 20 };
                assert_eq!(rows.attention.rows[4], row);
                let of_logit_rows = [2, 3, 5].map(|row| rows.attention.rows[row]);
                assert_eq!(rows.attention_of_logit_rows.rows, of_logit_rows);
                assert_eq!(rows.attention_of_logit_rows.block_tables, rows.attention.block_tables);
                assert_eq!(rows.attention.block_tables, [&[1][..], &[2], &[4, 3]]);
                Ok(())
            })
            .unwrap();
        }
    }

    #[test]
    fn block_tables_keep_their_memory() {
        let mut tables: Vec<&[u32]> = Vec::with_capacity(33);
        let address = tables.as_ptr().addr();
        for _ in 0..3 {
            tables = shorten_lifetimes(tables);
            assert_eq!((tables.as_ptr().addr(), tables.capacity()), (address, 33));
            tables.push(&[1]);
        }
    }
}
