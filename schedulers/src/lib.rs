//! Decisions: which deployment answers an inference ([`routing`]), which sequences run in the next step ([`batching`]),
//! which lines of a batch are under way ([`jobs`]).
//!
//! Deciding code is pure: clock, randomness and ids come in as arguments. Only service loops may touch the bus.

pub mod batching;
pub mod jobs;
pub mod routing;
