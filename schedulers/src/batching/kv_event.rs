//! What a cache-aware router may want to know of the prefix cache.

use crate::batching::block_hash::BlockHash;

/// A change of the prefix cache, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvEvent {
    /// A full block can be hit from now on.
    BlockStored {
        /// Its hash.
        hash: BlockHash,
        /// Hash of the block before it.
        parent: Option<BlockHash>,
        /// Its tokens.
        tokens: Vec<u32>,
        /// Adapter it was computed with.
        adapter: Option<String>,
    },
    /// A block was taken for something else.
    BlockRemoved {
        /// Its hash.
        hash: BlockHash,
    },
    /// No block can be hit any more.
    AllBlocksCleared,
}
