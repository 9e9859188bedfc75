//! Decisions: which deployment answers an inference ([`routing`]), which sequences run in the next step ([`batching`]).
//!
//! Deciding code is pure: clock, randomness and ids come in as arguments. Only service loops may touch the bus.

pub mod batching;
pub mod routing;
