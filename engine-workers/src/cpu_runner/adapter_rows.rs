//! Which rows of a step belong to which adapter.

use std::ops::Range;

use kernels::{KernelError, LowRankTerm, Pool, ProductRows, add_low_rank};
use smallvec::SmallVec;

use crate::lora::adapter::LoraTarget;
use crate::runner::{LogitRows, SequenceChunk};

/// The rows of each adapter of a step. Keeps its memory from step to step; a step without adapters costs nothing.
#[derive(Debug, Default)]
pub(crate) struct AdapterPlan {
    groups: Vec<Group>,
    rows: Vec<u32>,
    logit_rows: Vec<u32>,
}

/// All rows of one adapter.
#[derive(Debug, Clone, Default)]
struct Group {
    /// A chunk that names the adapter.
    chunk: usize,
    /// Where its rows are in `rows`.
    rows: Range<usize>,
    /// Where its rows are in `logit_rows`, counted among the rows that have logits.
    logit_rows: Range<usize>,
}

impl AdapterPlan {
    /// Groups the rows of `chunks`; equal references are one adapter.
    pub(crate) fn plan(&mut self, chunks: &[SequenceChunk<'_>]) {
        self.groups.clear();
        self.rows.clear();
        self.logit_rows.clear();
        for (index, chunk) in chunks.iter().enumerate() {
            let is_known = |other: &SequenceChunk<'_>| is_same(other, chunk);
            if chunk.adapter.is_some() && !chunks[..index].iter().any(is_known) {
                self.push_group(index, chunks);
            }
        }
    }

    fn push_group(&mut self, chunk: usize, chunks: &[SequenceChunk<'_>]) {
        let (first, first_logit) = (self.rows.len(), self.logit_rows.len());
        let (mut row, mut logit_row) = (0, 0);
        for other in chunks {
            // A step has at most 2^16 rows, which the options hold.
            let num_rows = other.tokens.len() as u32;
            let num_logit_rows = match other.logit_rows {
                LogitRows::None => 0,
                LogitRows::Last | LogitRows::LargestOfLast => 1,
                LogitRows::All => num_rows,
            };
            if is_same(other, &chunks[chunk]) {
                self.rows.extend(row..row + num_rows);
                self.logit_rows.extend(logit_row..logit_row + num_logit_rows);
            }
            row += num_rows;
            logit_row += num_logit_rows;
        }
        let (rows, logit_rows) = (first..self.rows.len(), first_logit..self.logit_rows.len());
        self.groups.push(Group { chunk, rows, logit_rows });
    }

    /// The plan together with the chunks that it was made of.
    pub(crate) fn of<'a>(&'a self, chunks: &'a [SequenceChunk<'a>]) -> AdapterRows<'a> {
        AdapterRows { plan: self, chunks, has_logit_rows_only: false }
    }
}

fn is_same(a: &SequenceChunk<'_>, b: &SequenceChunk<'_>) -> bool {
    matches!((a.adapter, b.adapter), (Some(a), Some(b)) if std::ptr::eq(a, b))
}

/// A planned step's adapters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdapterRows<'a> {
    plan: &'a AdapterPlan,
    chunks: &'a [SequenceChunk<'a>],
    has_logit_rows_only: bool,
}

/// A product that was computed, and what it was computed from.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    /// Whole rows of inputs.
    pub(crate) x: &'a [f32],
    /// The numbers of these rows in the step.
    pub(crate) rows: Range<usize>,
    /// Whole rows of `row_stride`.
    pub(crate) out: &'a mut [f32],
    /// Elements from one row of `out` to the next.
    pub(crate) row_stride: usize,
    /// The matrices side by side that it is a product of, and the first column of each, ascending.
    pub(crate) targets: &'a [(LoraTarget, usize)],
}

impl<'a> AdapterRows<'a> {
    /// The same, counted among the rows that have logits.
    pub(crate) fn of_logit_rows(self) -> Self {
        Self { has_logit_rows_only: true, ..self }
    }

    /// Adds each adapter's corrections of a layer's matrices to the rows of its sequences. A row is touched by its own adapter
    /// only, so the others of the step do not matter to it.
    pub(crate) fn correct(
        &self,
        pool: &Pool,
        layer: usize,
        product: Product<'_>,
        scratch: &mut Vec<f32>,
    ) -> Result<(), KernelError> {
        let Product { x, rows, out, row_stride, targets } = product;
        // Allocates nothing for up to eight adapters.
        let mut terms = SmallVec::<[LowRankTerm<'_>; 24]>::new();
        for &(target, first_col) in targets {
            terms.extend(self.plan.groups.iter().filter_map(|group| {
                let adapter = self.chunks.get(group.chunk).and_then(|chunk| chunk.adapter)?;
                let update = adapter.update(layer, target)?;
                Some(LowRankTerm { update, rows: self.rows_of(group, &rows), first_col })
            }));
        }
        add_low_rank(pool, &terms, ProductRows { x, out, row_stride, first_row: rows.start as u32 }, scratch)
    }

    /// The group's rows within a range of the step's. They are ascending.
    fn rows_of(&self, group: &Group, within: &Range<usize>) -> &'a [u32] {
        let rows = match self.has_logit_rows_only {
            true => &self.plan.logit_rows[group.logit_rows.clone()],
            false => &self.plan.rows[group.rows.clone()],
        };
        let start = rows.partition_point(|row| (*row as usize) < within.start);
        let end = rows.partition_point(|row| (*row as usize) < within.end);
        &rows[start..end]
    }
}
