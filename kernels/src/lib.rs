//! Numbers only: the CPU kernels and the naive reference that specifies them.
