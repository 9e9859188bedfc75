//! model file.
