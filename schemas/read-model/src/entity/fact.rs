//! `inference_facts`: where in the log each fact of an inference stands.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One fact's place in the log; its content is fetched from there by the sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "inference_facts")]
pub struct Model {
    /// Position in the INFERENCE stream.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stream_sequence: i64,
    /// The inference it is about.
    pub inference_id: String,
    /// The word of the fact: `requested`, `admitted`, …
    pub kind: String,
    /// The attempt it is about; 0 when it is about none.
    pub attempt: i64,
    /// When it was written, nanoseconds since the Unix epoch.
    pub recorded_at_unix_nanos: i64,
}

/// Rows stand alone: nothing is joined.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
