//! The shared words of Jetmill: ids, events, the inference lifecycle and sampling parameters.
