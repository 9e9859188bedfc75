//! From sequences to steps.
