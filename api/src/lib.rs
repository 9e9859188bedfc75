//! HTTP in, events out, tokens back as server-sent events.
