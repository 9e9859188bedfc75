//! Which KV blocks each sequence holds, and which hold content that others can use.

use std::collections::HashMap;

use crate::batching::block_hash::BlockHash;
use crate::batching::block_pool::{BlockContent, BlockPool};
use crate::batching::block_table::{BlockId, BlockTable};
use crate::batching::config::SchedulerConfig;
use crate::batching::kv_event::KvEvent;
use crate::batching::sequence::{Sequence, SequenceId};

/// What the prefix cache holds of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CachedPrefix {
    /// Blocks that hold its first tokens.
    pub blocks: Vec<BlockId>,
    /// A block that begins with the tokens after those, and goes on with others: to be copied.
    pub next: Option<BlockId>,
    /// How many tokens all of them hold.
    pub num_tokens: usize,
}

/// Block tables over one pool, with a prefix cache.
///
/// A block enters the prefix cache when the step that filled it is complete, never when it is only planned: a step that
/// fails leaves nothing behind that others could hit.
#[derive(Debug)]
pub struct KvCacheManager {
    pool: BlockPool,
    tables: HashMap<SequenceId, BlockTable>,
    block_size_tokens: usize,
    has_prefix_cache: bool,
    records_events: bool,
    events: Vec<KvEvent>,
}

impl KvCacheManager {
    /// All blocks free.
    pub fn new(config: &SchedulerConfig) -> Self {
        KvCacheManager {
            pool: BlockPool::new(u32::try_from(config.num_blocks).unwrap_or(u32::MAX)),
            tables: HashMap::new(),
            block_size_tokens: config.block_size_tokens,
            has_prefix_cache: config.enable_prefix_caching,
            records_events: config.records_kv_events,
            events: Vec::new(),
        }
    }

    /// The sequence's longest known prefix, at most `num_tokens − 1` of its tokens: the last one is always computed, for
    /// its logits. Full blocks are shared; after them a block that only begins alike is worth a copy.
    pub fn find_longest_prefix(&self, sequence: &mut Sequence) -> CachedPrefix {
        if !self.has_prefix_cache || !sequence.can_read_prefix_cache() {
            return CachedPrefix::default();
        }
        let size = self.block_size_tokens;
        sequence.hash_full_blocks(size);
        let max_num_tokens = sequence.tokens().len().saturating_sub(1);
        let hashes = sequence.block_hashes().iter().take(max_num_tokens / size);
        let blocks: Vec<BlockId> = hashes.map_while(|hash| self.pool.find(hash)).collect();
        let num_shared = blocks.len() * size;
        let rest = &sequence.tokens()[num_shared..max_num_tokens.min(num_shared + size)];
        let start = self.pool.find_start(sequence.parent_of(blocks.len()), rest);
        let num_copied = start.map_or(0, |(_, num_tokens)| num_tokens);
        CachedPrefix { blocks, next: start.map(|(block, _)| block), num_tokens: num_shared + num_copied }
    }

    /// Grows the sequence's table by `hits`, then by new blocks until it holds `num_tokens`, and returns the new blocks;
    /// `None`, and nothing changed, if too few blocks are free.
    pub fn allocate(&mut self, id: SequenceId, hits: &[BlockId], num_tokens: usize) -> Option<Vec<BlockId>> {
        let num_held = self.tables.get(&id).map_or(0, BlockTable::len) + hits.len();
        let num_new = num_tokens.div_ceil(self.block_size_tokens).saturating_sub(num_held);
        let num_free_hits = hits.iter().filter(|hit| self.pool.is_free(**hit)).count();
        if num_new + num_free_hits > self.pool.num_free_blocks() {
            return None;
        }
        let table = self.tables.entry(id).or_default();
        for hit in hits {
            // Hits are taken out of the free queue first, so that no new block evicts one of them.
            self.pool.share(*hit);
            table.push(*hit);
        }
        table.set_num_committed_blocks(table.num_committed_blocks().max(hits.len()));
        let mut new_blocks = Vec::with_capacity(num_new);
        for _ in 0..num_new {
            let taken = self.pool.take()?;
            if let Some(hash) = taken.evicted.filter(|_| self.records_events) {
                self.events.push(KvEvent::BlockRemoved { hash });
            }
            table.push(taken.id);
            new_blocks.push(taken.id);
        }
        Some(new_blocks)
    }

    /// Offers the sequence's full blocks among its first `num_verified_tokens` to the prefix cache.
    pub fn commit(&mut self, sequence: &mut Sequence, num_verified_tokens: usize) {
        if !self.has_prefix_cache {
            return;
        }
        let Some(table) = self.tables.get_mut(&sequence.id()) else { return };
        let num_full = num_verified_tokens / self.block_size_tokens;
        let num_committed = table.num_committed_blocks();
        if num_full <= num_committed {
            return;
        }
        sequence.hash_full_blocks(self.block_size_tokens);
        for index in num_committed..num_full {
            let first = index * self.block_size_tokens;
            let content = BlockContent {
                hash: sequence.block_hashes()[index],
                parent: sequence.parent_of(index),
                tokens: sequence.tokens()[first..first + self.block_size_tokens].to_vec(),
            };
            let is_new = self.pool.set_content(BlockId(table.ids()[index]), content);
            if is_new && self.records_events {
                self.events.push(stored(sequence, index, self.block_size_tokens));
            }
        }
        table.set_num_committed_blocks(num_full);
    }

    /// Tokens that the sequence's table could hold with every free block added.
    pub fn max_num_tokens(&self, id: SequenceId) -> usize {
        let num_held = self.tables.get(&id).map_or(0, BlockTable::len);
        (num_held + self.pool.num_free_blocks()) * self.block_size_tokens
    }

    /// Gives back the last blocks of the sequence, past its first `num_tokens` tokens: those of drafts that were wrong.
    pub fn shrink(&mut self, id: SequenceId, num_tokens: usize) {
        let Some(table) = self.tables.get_mut(&id) else { return };
        let num_needed = num_tokens.div_ceil(self.block_size_tokens).max(table.num_committed_blocks());
        while table.len() > num_needed
            && let Some(block) = table.pop()
        {
            self.pool.release(block);
        }
    }

    /// Gives all blocks of the sequence back, the last first, so that tails are evicted before heads.
    pub fn free(&mut self, id: SequenceId) {
        if let Some(table) = self.tables.remove(&id) {
            for block in table.iter().rev() {
                self.pool.release(block);
            }
        }
    }

    /// Blocks of the sequence in the order of its positions; empty if it holds none.
    pub fn block_table(&self, id: SequenceId) -> &[u32] {
        self.tables.get(&id).map_or(&[], BlockTable::ids)
    }

    /// Forgets all cached content; false, and nothing changed, while a sequence holds blocks.
    pub fn clear_prefix_cache(&mut self) -> bool {
        if !self.tables.is_empty() {
            return false;
        }
        self.pool.clear_contents();
        if self.records_events {
            self.events.push(KvEvent::AllBlocksCleared);
        }
        true
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> Vec<KvEvent> {
        std::mem::take(&mut self.events)
    }

    /// The blocks.
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// All block tables, in no order.
    pub fn tables(&self) -> impl Iterator<Item = (SequenceId, &BlockTable)> {
        self.tables.iter().map(|(id, table)| (*id, table))
    }
}

fn stored(sequence: &Sequence, index: usize, block_size_tokens: usize) -> KvEvent {
    let hashes: &[BlockHash] = sequence.block_hashes();
    let first = index * block_size_tokens;
    KvEvent::BlockStored {
        hash: hashes[index],
        parent: index.checked_sub(1).map(|parent| hashes[parent]),
        tokens: sequence.tokens()[first..first + block_size_tokens].to_vec(),
        adapter: sequence.cache_key().adapter.clone(),
    }
}
