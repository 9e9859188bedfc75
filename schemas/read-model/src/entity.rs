//! The tables as sea-orm sees them.

pub(crate) mod checkpoint;
pub(crate) mod fact;
pub(crate) mod inference;
pub(crate) mod unreadable_fact;
