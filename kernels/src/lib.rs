//! Numbers only: the CPU kernels and the naive reference that specifies them.
//!
//! Owns matrix products over quantised weights, normalisation, rotary positions, attention over a paged cache, and the pool of
//! threads they run on. Must not know ids, requests, models, async or the bus.
//!
//! Every output row is a pure function of its input row: sums run in a fixed order, so the bits do not depend on what
//! else is in the batch, on the number of threads or on the instruction set ([`Isa`]). Start reading at
//! [`mod@reference`], which says what each operation means; then `lanes`, over which each kernel is written once; then
//! [`matmul`], where the time goes.

#[expect(unsafe_code, reason = "vector loads and stores, rows given to threads")]
mod activations;
mod add;
#[expect(unsafe_code, reason = "owns raw memory")]
mod arena;
mod dequantize;
#[expect(unsafe_code, reason = "lends one slice to several threads")]
mod disjoint;
mod error;
mod exp;
mod finite;
#[expect(unsafe_code, reason = "vector loads and stores")]
mod full_attention;
#[expect(unsafe_code, reason = "vector loads and stores")]
mod gate_mul;
mod gather;
mod gather_rows;
#[expect(unsafe_code, reason = "vector loads and stores")]
mod gelu;
mod group;
mod isa;
#[expect(unsafe_code, reason = "vector stores")]
mod kv_cache;
#[expect(unsafe_code, reason = "intrinsics")]
mod lanes;
#[expect(unsafe_code, reason = "vector loads")]
mod layer_norm;
#[expect(unsafe_code, reason = "vector loads from panels")]
mod low_rank;
#[expect(unsafe_code, reason = "vector loads from panels")]
mod matmul;
#[expect(unsafe_code, reason = "panels in raw memory")]
mod packed_matrix;
#[expect(unsafe_code, reason = "asks the system for pages")]
mod page_backing;
#[expect(unsafe_code, reason = "vector loads and stores")]
mod paged_attention;
#[expect(unsafe_code, reason = "lends a closure to threads")]
mod pool;
pub mod reference;
#[expect(unsafe_code, reason = "vector loads")]
mod rms_norm;
mod rope;
mod rope_table;
#[expect(unsafe_code, reason = "vector loads and stores")]
mod route_experts;
#[expect(unsafe_code, reason = "vector loads and stores")]
mod sigmoid;
mod weight_type;
#[expect(unsafe_code, reason = "owns raw memory")]
mod zeros;

pub use activations::Activations;
pub use add::{add, add_bias};
pub use dequantize::dequantize;
pub use error::KernelError;
pub use finite::first_non_finite_row;
pub use full_attention::{FullAttentionInput, full_attention};
pub use gate_mul::{Activation, gate_mul};
pub use gather::{gather, gather_packed};
pub use gather_rows::{WeightedRows, add_weighted_rows, gather_rows};
pub use gelu::gelu;
pub use isa::Isa;
pub use kv_cache::{CacheShape, KvCache, KvRows};
pub use layer_norm::{LayerNorm, layer_norm};
pub use low_rank::{LowRank, LowRankTerm, ProductRows, add_low_rank};
pub use matmul::{LargestScratch, matmul, matmul_groups, matmul_largest};
pub use packed_matrix::{HighHalves, MatrixSource, PackedMatrix};
pub use paged_attention::{AttentionInput, AttentionRow, AttentionRows, paged_attention};
pub use pool::{Pool, ThreadIndex};
pub use rms_norm::{rms_norm, rms_norm_heads};
pub use rope::{HeadRows, rope};
pub use rope_table::{RopeScaling, RopeStyle, RopeTable};
pub use route_experts::{ExpertPicks, route_experts};
pub use sigmoid::sigmoid;
pub use weight_type::WeightType;
