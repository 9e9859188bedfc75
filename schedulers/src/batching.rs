//! From sequences to steps.
//!
//! There is no prefill phase and no decode phase: each sequence has a number of computed tokens that chases its number
//! of tokens, and a step gives every sequence a share of one token budget. Everything here is pure: no clock, no
//! randomness, no I/O. Start reading at [`scheduler`], then [`kv_cache_manager`].

pub mod scheduler;

pub mod admission;
pub mod batch_turn;
pub mod config;
pub mod error;
pub mod sequence;
pub mod state;
pub mod step_pace;
pub mod step_plan;
pub mod stop_rules;
pub mod waiting_queue;

pub mod kv_cache_manager;

pub mod block_hash;
pub mod block_pool;
pub mod block_table;
pub mod free_queue;
pub mod kv_event;

pub mod invariants;
pub mod stats;
