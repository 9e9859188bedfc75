//! What holds after every operation, as numbered predicates.

use std::collections::HashMap;

use thiserror::Error;

use crate::batching::block_pool::BlockContent;
use crate::batching::block_table::BlockId;
use crate::batching::scheduler::Scheduler;
use crate::batching::state::SequenceState;

/// The first invariant found broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invariant {number} ({claim}) is broken: {details}")]
pub struct BrokenInvariant {
    /// Number of the predicate.
    pub number: u8,
    /// What it claims.
    pub claim: &'static str,
    /// The values that break it.
    pub details: String,
}

type Predicate = fn(&Scheduler) -> Result<(), String>;

const INVARIANTS: [(&str, Predicate); 7] = [
    ("free and referenced blocks are all blocks", free_and_referenced_are_all),
    ("a block's references are the tables that hold it", references_are_tables),
    ("every mapped block carries its hash", mapped_blocks_carry_their_hash),
    ("a committed block is full, computed and hashed in its sequence", committed_blocks_are_computed),
    ("a running sequence holds the blocks of its computed tokens, others none", tables_cover_computed_tokens),
    ("each sequence is in exactly the list of its state", lists_match_states),
    ("running sequences and their lengths are within bounds", bounds_hold),
];

impl Scheduler {
    /// Checks every invariant; slow, for tests and for debugging in production.
    pub fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        for (number, (claim, predicate)) in (1..).zip(INVARIANTS) {
            predicate(self).map_err(|details| BrokenInvariant { number, claim, details })?;
        }
        Ok(())
    }
}

fn require(holds: bool, details: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(details()) }
}

fn free_and_referenced_are_all(scheduler: &Scheduler) -> Result<(), String> {
    let pool = scheduler.kv_cache().pool();
    let mut num_free = 0;
    for block in (0..pool.num_blocks() as u32).map(BlockId) {
        num_free += usize::from(pool.is_free(block));
        require(pool.is_free(block) == (pool.ref_count(block) == 0), || {
            format!("block {block} has {} references, free: {}", pool.ref_count(block), pool.is_free(block))
        })?;
    }
    require(num_free == pool.num_free_blocks(), || {
        format!("{num_free} blocks are linked, {} are counted", pool.num_free_blocks())
    })
}

fn references_are_tables(scheduler: &Scheduler) -> Result<(), String> {
    let mut holders = HashMap::new();
    for (_, table) in scheduler.kv_cache().tables() {
        for block in table.iter() {
            *holders.entry(block).or_insert(0_u32) += 1;
        }
    }
    let pool = scheduler.kv_cache().pool();
    for block in (0..pool.num_blocks() as u32).map(BlockId) {
        let num_holders = holders.get(&block).copied().unwrap_or(0);
        require(num_holders == pool.ref_count(block), || {
            format!("block {block} is in {num_holders} tables and has {} references", pool.ref_count(block))
        })?;
    }
    Ok(())
}

fn mapped_blocks_carry_their_hash(scheduler: &Scheduler) -> Result<(), String> {
    let pool = scheduler.kv_cache().pool();
    let mut num_mapped = 0;
    for (hash, block) in pool.hashes() {
        num_mapped += 1;
        require(pool.content(block).is_some_and(|content| content.hash == hash), || {
            format!("{hash:?} maps to block {block}, which has {:?}", pool.content(block))
        })?;
    }
    for ((parent, token), block) in pool.starts() {
        let is_start =
            |content: &BlockContent| content.parent == parent && content.tokens.first() == Some(&token);
        require(pool.content(block).is_some_and(is_start), || {
            format!("{token} after {parent:?} maps to block {block}, which has {:?}", pool.content(block))
        })?;
    }
    let num_hashed = (0..pool.num_blocks() as u32).filter(|id| pool.content(BlockId(*id)).is_some()).count();
    require(num_mapped == num_hashed, || format!("{num_hashed} blocks have a hash, {num_mapped} are mapped"))
}

fn committed_blocks_are_computed(scheduler: &Scheduler) -> Result<(), String> {
    let block_size_tokens = scheduler.config().block_size_tokens;
    for (id, table) in scheduler.kv_cache().tables() {
        let sequence = scheduler.sequence(id).map_err(|error| error.to_string())?;
        for (index, block) in table.iter().enumerate() {
            let Some(content) = scheduler.kv_cache().pool().content(block) else { continue };
            require(sequence.block_hashes().get(index) == Some(&content.hash), || {
                format!("block {index} of sequence {id} has the hash of other content")
            })?;
            require((index + 1) * block_size_tokens <= sequence.num_computed_tokens(), || {
                format!(
                    "block {index} of sequence {id} is mapped with {} tokens computed",
                    sequence.num_computed_tokens()
                )
            })?;
        }
    }
    Ok(())
}

fn tables_cover_computed_tokens(scheduler: &Scheduler) -> Result<(), String> {
    let block_size_tokens = scheduler.config().block_size_tokens;
    for sequence in scheduler.sequences() {
        let num_blocks = scheduler.block_table(sequence.id()).len();
        let num_needed = match sequence.state() {
            SequenceState::Running => sequence.num_computed_tokens().div_ceil(block_size_tokens),
            _ => 0,
        };
        require(num_blocks == num_needed, || {
            format!("sequence {} holds {num_blocks} blocks and needs {num_needed}", sequence.id())
        })?;
    }
    let num_tables = scheduler.kv_cache().tables().count();
    require(num_tables == scheduler.running().len(), || {
        format!("{num_tables} tables, {} running sequences", scheduler.running().len())
    })
}

fn lists_match_states(scheduler: &Scheduler) -> Result<(), String> {
    let mut num_queued_tokens = 0;
    for sequence in scheduler.sequences() {
        let id = sequence.id();
        let is_running = scheduler.running().iter().filter(|other| **other == id).count();
        let is_waiting = scheduler.waiting().iter().filter(|other| *other == id).count();
        let expected = match sequence.state() {
            SequenceState::Running => (1, 0),
            SequenceState::Waiting | SequenceState::Preempted => (0, 1),
            SequenceState::WaitingForGrammar | SequenceState::WaitingForRemoteKv => (0, 0),
            SequenceState::Finished(_) => return Err(format!("sequence {id} is kept though it finished")),
        };
        if sequence.state() != SequenceState::Running {
            num_queued_tokens += sequence.tokens().len();
        }
        require((is_running, is_waiting) == expected, || {
            format!(
                "sequence {id} is {}, {is_running} times running and {is_waiting} times queued",
                sequence.state()
            )
        })?;
    }
    let stats = scheduler.stats();
    let num_sequences = scheduler.sequences().count();
    require(stats.num_running + stats.num_waiting == num_sequences, || {
        format!("{} running, {} waiting, {num_sequences} in all", stats.num_running, stats.num_waiting)
    })?;
    require(stats.num_waiting_tokens == num_queued_tokens, || {
        format!("{num_queued_tokens} tokens are queued, {} are counted", stats.num_waiting_tokens)
    })
}

fn bounds_hold(scheduler: &Scheduler) -> Result<(), String> {
    let config = scheduler.config();
    require(scheduler.running().len() <= config.max_num_seqs, || {
        format!("{} run, at most {} may", scheduler.running().len(), config.max_num_seqs)
    })?;
    for sequence in scheduler.sequences() {
        require(sequence.tokens().len() < config.max_sequence_tokens(), || {
            format!("sequence {} has {} tokens", sequence.id(), sequence.tokens().len())
        })?;
        require(sequence.num_computed_tokens() <= sequence.tokens_and_drafts().len(), || {
            format!("sequence {} has computed more tokens than it has", sequence.id())
        })?;
    }
    Ok(())
}
