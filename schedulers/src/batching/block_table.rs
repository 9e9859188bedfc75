//! Blocks by id, and the blocks of one sequence.

use std::fmt;

/// Names a KV block: an index into the runner's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

impl BlockId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The blocks of one sequence, in the order of its positions. It grows until it is freed as a whole; only blocks that were
/// taken for drafts may leave before, from its end.
#[derive(Debug, Clone, Default)]
pub struct BlockTable {
    ids: Vec<u32>,
    /// Leading blocks that were offered to the prefix cache.
    num_committed_blocks: usize,
}

impl BlockTable {
    /// Block ids as a runner takes them.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Blocks held.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no block is held.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Blocks in the order of positions.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = BlockId> + '_ {
        self.ids.iter().copied().map(BlockId)
    }

    pub(super) fn push(&mut self, block: BlockId) {
        self.ids.push(block.0);
    }

    pub(super) fn pop(&mut self) -> Option<BlockId> {
        self.ids.pop().map(BlockId)
    }

    pub(super) fn num_committed_blocks(&self) -> usize {
        self.num_committed_blocks
    }

    pub(super) fn set_num_committed_blocks(&mut self, num_blocks: usize) {
        self.num_committed_blocks = num_blocks;
    }
}
