//! Moves and keeps envelopes: the event log, live tokens, objects and queries.
