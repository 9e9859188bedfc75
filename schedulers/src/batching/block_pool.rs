//! Every KV block of the cache: who holds it, and what it can be found by.

use std::collections::HashMap;

use crate::batching::block_hash::BlockHash;
use crate::batching::block_table::BlockId;
use crate::batching::free_queue::FreeQueue;

#[derive(Debug, Clone, Default)]
struct Block {
    ref_count: u32,
    hash: Option<BlockHash>,
}

/// Preallocated blocks. A block is free while nobody references it; a free block keeps its hash, and can be hit, until
/// it is taken.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    free: FreeQueue,
    by_hash: HashMap<BlockHash, BlockId>,
}

/// A block taken from the pool, and the content that this evicted from the prefix cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenBlock {
    /// The block.
    pub id: BlockId,
    /// What it could be found by until now.
    pub evicted: Option<BlockHash>,
}

impl BlockPool {
    /// `num_blocks` free blocks.
    pub fn new(num_blocks: u32) -> Self {
        BlockPool {
            blocks: vec![Block::default(); num_blocks as usize],
            free: FreeQueue::full(num_blocks),
            by_hash: HashMap::new(),
        }
    }

    /// Blocks in all.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks that nobody references.
    pub fn num_free_blocks(&self) -> usize {
        self.free.len()
    }

    /// How many hold `block`.
    pub fn ref_count(&self, block: BlockId) -> u32 {
        self.blocks[block.index()].ref_count
    }

    /// Whether nobody references `block`.
    pub fn is_free(&self, block: BlockId) -> bool {
        self.free.contains(block)
    }

    /// The block with this content.
    pub fn find(&self, hash: &BlockHash) -> Option<BlockId> {
        self.by_hash.get(hash).copied()
    }

    /// Takes the longest unused free block; `None` if none is free.
    pub fn take(&mut self) -> Option<TakenBlock> {
        let id = self.free.pop_front()?;
        let block = &mut self.blocks[id.index()];
        block.ref_count = 1;
        let evicted = block.hash.take();
        if let Some(hash) = evicted {
            self.by_hash.remove(&hash);
        }
        Some(TakenBlock { id, evicted })
    }

    /// Adds a reference to a block found by its hash.
    pub fn share(&mut self, block: BlockId) {
        self.free.remove(block);
        self.blocks[block.index()].ref_count += 1;
    }

    /// Gives a reference back. At zero a block that cannot be hit is the next to be taken, one that can is the last.
    pub fn release(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.index()];
        block.ref_count = block.ref_count.saturating_sub(1);
        if block.ref_count > 0 {
            return;
        }
        if block.hash.is_some() {
            self.free.push_back(id);
        } else {
            self.free.push_front(id);
        }
    }

    /// Makes a full block findable; false if its content is known by another block already. Duplicates are not merged,
    /// so that block tables only ever grow.
    pub fn set_hash(&mut self, id: BlockId, hash: BlockHash) -> bool {
        if self.by_hash.contains_key(&hash) || self.blocks[id.index()].hash.is_some() {
            return false;
        }
        self.by_hash.insert(hash, id);
        self.blocks[id.index()].hash = Some(hash);
        true
    }

    /// Forgets all hashes.
    pub fn clear_hashes(&mut self) {
        self.by_hash.clear();
        for block in &mut self.blocks {
            block.hash = None;
        }
    }

    /// What every block can be found by.
    pub fn hashes(&self) -> impl Iterator<Item = (BlockHash, BlockId)> + '_ {
        self.by_hash.iter().map(|(hash, block)| (*hash, *block))
    }

    /// Hash of `block`, if it can be hit.
    pub fn hash(&self, block: BlockId) -> Option<BlockHash> {
        self.blocks[block.index()].hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batching::block_hash::CacheKey;

    fn hash(seed: u32) -> BlockHash {
        BlockHash::of(None, &[seed], &CacheKey::default())
    }

    fn take_all(pool: &mut BlockPool) -> Vec<u32> {
        std::iter::from_fn(|| pool.take()).map(|taken| taken.id.0).collect()
    }

    #[test]
    fn unhashed_blocks_are_taken_before_hashed_ones() {
        let mut pool = BlockPool::new(3);
        assert_eq!(take_all(&mut pool), [0, 1, 2]);
        assert!(pool.set_hash(BlockId(0), hash(0)));
        for id in 0..3 {
            pool.release(BlockId(id));
        }
        assert_eq!(take_all(&mut pool), [2, 1, 0]);
    }

    #[test]
    fn a_freed_block_can_be_hit_until_it_is_taken() {
        let mut pool = BlockPool::new(2);
        let taken = pool.take().unwrap();
        pool.set_hash(taken.id, hash(1));
        pool.release(taken.id);
        assert_eq!(pool.find(&hash(1)), Some(taken.id));

        pool.share(taken.id);
        assert_eq!(pool.num_free_blocks(), 1);
        pool.release(taken.id);

        assert_eq!(pool.take(), Some(TakenBlock { id: BlockId(1), evicted: None }));
        assert_eq!(pool.take(), Some(TakenBlock { id: taken.id, evicted: Some(hash(1)) }));
        assert_eq!(pool.find(&hash(1)), None);
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn the_second_block_of_the_same_content_is_not_mapped() {
        let mut pool = BlockPool::new(2);
        pool.take();
        pool.take();
        assert!(pool.set_hash(BlockId(0), hash(1)));
        assert!(!pool.set_hash(BlockId(1), hash(1)));
        assert_eq!(pool.find(&hash(1)), Some(BlockId(0)));
    }
}
