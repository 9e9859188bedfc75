//! Which KV blocks each sequence holds, and which hold content that others can use.

use std::collections::HashMap;

use crate::batching::block_hash::BlockHash;
use crate::batching::block_pool::BlockPool;
use crate::batching::block_table::{BlockId, BlockTable};
use crate::batching::config::SchedulerConfig;
use crate::batching::kv_event::KvEvent;
use crate::batching::sequence::{Sequence, SequenceId};

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

    /// Cached blocks of the sequence's longest known prefix, at most `num_tokens − 1` of its tokens: the last one is
    /// always computed, for its logits.
    pub fn find_longest_prefix(&self, sequence: &mut Sequence) -> Vec<BlockId> {
        if !self.has_prefix_cache || !sequence.can_read_prefix_cache() {
            return Vec::new();
        }
        sequence.hash_full_blocks(self.block_size_tokens);
        let max_num_hits = sequence.tokens().len().saturating_sub(1) / self.block_size_tokens;
        sequence.block_hashes().iter().take(max_num_hits).map_while(|hash| self.pool.find(hash)).collect()
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
            let hash = sequence.block_hashes()[index];
            let is_new = self.pool.set_hash(BlockId(table.ids()[index]), hash);
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
        self.pool.clear_hashes();
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
