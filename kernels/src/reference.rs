//! What every operation means: naive, sequential, in f64 where it sums. The parity tests compare the kernels with it.
//!
//! Nothing here is shared with the kernels, the decoding of block layouts included.
