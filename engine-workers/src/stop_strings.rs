//! stop strings.
