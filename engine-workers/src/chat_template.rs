//! chat template.
