//! `projection_checkpoints`: how far each projection has come.

use sea_orm::entity::prelude::*;

/// One projection's place in the log.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "projection_checkpoints")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub projection: String,
    /// The last stream sequence that is folded in.
    pub last_sequence: i64,
    /// The rules that folded it.
    pub version: i32,
    /// Grows with each rebuild.
    pub generation: i64,
}

/// Rows stand alone: nothing is joined.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
