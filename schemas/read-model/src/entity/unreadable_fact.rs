//! `unreadable_facts`: records of the log that were skipped, and why.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// A record that could not be folded. The log still holds it, at its sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "unreadable_facts")]
pub struct Model {
    /// Position in the INFERENCE stream.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stream_sequence: i64,
    /// The subject it was written on; empty when the record itself could not be had.
    pub subject: String,
    /// Why it was skipped, in words that hold no content.
    pub reason: String,
    /// When the stream stored it, nanoseconds since the Unix epoch; 0 when the record itself could not be had.
    pub stored_at_unix_nanos: i64,
}

/// Rows stand alone: nothing is joined.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
