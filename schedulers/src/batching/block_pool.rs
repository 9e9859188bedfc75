//! Every KV block of the cache: who holds it, and what it can be found by.

use std::collections::HashMap;

use crate::batching::block_hash::BlockHash;
use crate::batching::block_table::BlockId;
use crate::batching::free_queue::FreeQueue;

#[derive(Debug, Clone, Default)]
struct Block {
    ref_count: u32,
    content: Option<BlockContent>,
}

/// What a full block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockContent {
    /// What the block is found by.
    pub hash: BlockHash,
    /// What the block before it is found by; of a first block, the hash of no tokens.
    pub parent: BlockHash,
    /// The tokens of its positions.
    pub tokens: Vec<u32>,
}

impl BlockContent {
    /// What the block is found by where only its beginning is wanted.
    fn start(&self) -> Option<(BlockHash, u32)> {
        self.tokens.first().map(|token| (self.parent, *token))
    }
}

/// Preallocated blocks. A block is free while nobody references it; a free block keeps its content, and can be hit, until
/// it is taken.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    free: FreeQueue,
    by_hash: HashMap<BlockHash, BlockId>,
    /// Of the blocks that begin alike, the one that was filled last: it is the last of them to be taken.
    by_start: HashMap<(BlockHash, u32), BlockId>,
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
            by_start: HashMap::new(),
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

    /// A block after `parent` that begins as `tokens` do, and how many of them it has.
    pub fn find_start(&self, parent: BlockHash, tokens: &[u32]) -> Option<(BlockId, usize)> {
        let id = *self.by_start.get(&(parent, *tokens.first()?))?;
        let content = self.blocks[id.index()].content.as_ref()?;
        let num_alike =
            content.tokens.iter().zip(tokens).take_while(|(known, wanted)| known == wanted).count();
        Some((id, num_alike))
    }

    /// Takes the longest unused free block; `None` if none is free.
    pub fn take(&mut self) -> Option<TakenBlock> {
        let id = self.free.pop_front()?;
        let block = &mut self.blocks[id.index()];
        block.ref_count = 1;
        let content = block.content.take();
        if let Some(content) = &content {
            self.by_hash.remove(&content.hash);
            if let Some(start) = content.start().filter(|start| self.by_start.get(start) == Some(&id)) {
                self.by_start.remove(&start);
            }
        }
        Some(TakenBlock { id, evicted: content.map(|content| content.hash) })
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
        if block.content.is_some() {
            self.free.push_back(id);
        } else {
            self.free.push_front(id);
        }
    }

    /// Makes a full block findable; false if its content is known by another block already. Duplicates are not merged,
    /// so that block tables only ever grow.
    pub fn set_content(&mut self, id: BlockId, content: BlockContent) -> bool {
        if self.by_hash.contains_key(&content.hash) || self.blocks[id.index()].content.is_some() {
            return false;
        }
        self.by_hash.insert(content.hash, id);
        if let Some(start) = content.start() {
            self.by_start.insert(start, id);
        }
        self.blocks[id.index()].content = Some(content);
        true
    }

    /// Forgets all content.
    pub fn clear_contents(&mut self) {
        self.by_hash.clear();
        self.by_start.clear();
        for block in &mut self.blocks {
            block.content = None;
        }
    }

    /// What every block can be found by.
    pub fn hashes(&self) -> impl Iterator<Item = (BlockHash, BlockId)> + '_ {
        self.by_hash.iter().map(|(hash, block)| (*hash, *block))
    }

    /// What every block can be found by where only its beginning is wanted.
    pub fn starts(&self) -> impl Iterator<Item = ((BlockHash, u32), BlockId)> + '_ {
        self.by_start.iter().map(|(start, block)| (*start, *block))
    }

    /// What `block` holds, if it can be hit.
    pub fn content(&self, block: BlockId) -> Option<&BlockContent> {
        self.blocks[block.index()].content.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batching::block_hash::CacheKey;

    fn hash(seed: u32) -> BlockHash {
        BlockHash::of(None, &[seed], &CacheKey::default())
    }

    fn content(tokens: &[u32]) -> BlockContent {
        let key = CacheKey::default();
        BlockContent {
            hash: BlockHash::of(None, tokens, &key),
            parent: BlockHash::of(None, &[], &key),
            tokens: tokens.to_vec(),
        }
    }

    fn take_all(pool: &mut BlockPool) -> Vec<u32> {
        std::iter::from_fn(|| pool.take()).map(|taken| taken.id.0).collect()
    }

    #[test]
    fn unhashed_blocks_are_taken_before_hashed_ones() {
        let mut pool = BlockPool::new(3);
        assert_eq!(take_all(&mut pool), [0, 1, 2]);
        assert!(pool.set_content(BlockId(0), content(&[0])));
        for id in 0..3 {
            pool.release(BlockId(id));
        }
        assert_eq!(take_all(&mut pool), [2, 1, 0]);
    }

    #[test]
    fn a_freed_block_can_be_hit_until_it_is_taken() {
        let mut pool = BlockPool::new(2);
        let taken = pool.take().unwrap();
        pool.set_content(taken.id, content(&[1]));
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
        assert!(pool.set_content(BlockId(0), content(&[1])));
        assert!(!pool.set_content(BlockId(1), content(&[1])));
        assert_eq!(pool.find(&hash(1)), Some(BlockId(0)));
    }

    #[test]
    fn a_beginning_is_found_in_the_block_that_was_filled_last_until_it_is_taken() {
        let mut pool = BlockPool::new(3);
        for tokens in [[1, 2, 3], [1, 2, 4], [5, 6, 7]] {
            let taken = pool.take().unwrap();
            assert!(pool.set_content(taken.id, content(&tokens)));
        }
        let root = content(&[]).hash;
        assert_eq!(pool.find_start(root, &[1, 2, 3]), Some((BlockId(1), 2)));
        assert_eq!(pool.find_start(root, &[5, 6, 7, 8]), Some((BlockId(2), 3)));
        assert_eq!(pool.find_start(root, &[2]), None);
        assert_eq!(pool.find_start(root, &[]), None);
        assert_eq!(pool.find_start(hash(1), &[1]), None, "elsewhere");
        for block in [1, 0, 2] {
            pool.release(BlockId(block));
        }
        pool.take();
        assert_eq!(pool.find_start(root, &[1, 2]), None);
        pool.take();
        assert_eq!(pool.find_start(root, &[5]), Some((BlockId(2), 1)), "another one's was left alone");
        pool.clear_contents();
        assert_eq!(pool.find_start(root, &[5]), None);
    }
}
