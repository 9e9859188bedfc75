//! Every kernel against the naive reference, and every instruction set and thread count against each other, bit for bit.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its operands has failed")]

mod attention;
mod encoder;
mod experts;
mod largest;
mod low_rank;
mod matmul;
mod numbers;
mod rows;
