//! The tables as SQL, by name, so that a rebuild can make them a second time under other names.
//!
//! A new column comes with a migration that adds it, empty, and with another version of the fold: the next projector
//! then folds the log again, and what the log no longer holds stays.

use sea_orm::sea_query::{
    ColumnDef, Index, IndexCreateStatement, IndexOrder, IntoIden, Table, TableCreateStatement,
};
use sea_orm::{DbBackend, EntityName, Iterable};

use crate::entity::{checkpoint, fact, inference, unreadable_fact};

/// Names of one set of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tables {
    /// The row of `projection_checkpoints` that says how far this set has come.
    pub(crate) projection: &'static str,
    pub(crate) inferences: &'static str,
    pub(crate) facts: &'static str,
    pub(crate) unreadable: &'static str,
}

/// What queries read.
pub(crate) const LIVE: Tables = Tables {
    projection: "inferences",
    inferences: "inferences",
    facts: "inference_facts",
    unreadable: "unreadable_facts",
};

/// What a rebuild fills.
pub(crate) const SHADOW: Tables = Tables {
    projection: "inferences_rebuild",
    inferences: "inferences_rebuild",
    facts: "inference_facts_rebuild",
    unreadable: "unreadable_facts_rebuild",
};

impl Tables {
    /// The tables without their indexes.
    pub(crate) fn create(&self, backend: DbBackend) -> [TableCreateStatement; 3] {
        [inferences(self.inferences), facts(self.facts, backend), unreadable(self.unreadable, backend)]
    }

    /// The indexes. Their names are global and SQLite cannot rename one, hence the generation in each.
    pub(crate) fn create_indexes(&self, generation: i64) -> Vec<IndexCreateStatement> {
        use inference::Column;
        let newest_first = |name: &str, by: Option<Column>| {
            let mut index = Index::create();
            index.name(format!("inferences_{name}_{generation}")).table(self.inferences);
            if let Some(column) = by {
                index.col(column);
            }
            index
                .col((Column::RequestedAtUnixNanos, IndexOrder::Desc))
                .col((Column::Id, IndexOrder::Desc))
                .take()
        };
        let by_end = Index::create()
            .name(format!("inferences_by_end_{generation}"))
            .table(self.inferences)
            .col(Column::EndedAtUnixNanos)
            .take();
        let by_inference = Index::create()
            .name(format!("inference_facts_by_inference_{generation}"))
            .table(self.facts)
            .col(fact::Column::InferenceId)
            .col(fact::Column::StreamSequence)
            .take();
        vec![
            newest_first("by_time", None),
            newest_first("by_tenant", Some(Column::Tenant)),
            newest_first("by_status", Some(Column::Status)),
            newest_first("by_model", Some(Column::Model)),
            by_end,
            by_inference,
        ]
    }

    /// Each table of this set beside the one of the other set that holds the same.
    pub(crate) const fn beside(&self, other: &Self) -> [(&'static str, &'static str); 3] {
        [(self.inferences, other.inferences), (self.facts, other.facts), (self.unreadable, other.unreadable)]
    }
}

/// `projection_checkpoints`, the one table that a rebuild keeps.
pub(crate) fn checkpoints() -> TableCreateStatement {
    use checkpoint::Column;
    Table::create()
        .table(checkpoint::Entity.table_name())
        .col(ColumnDef::new(Column::Projection).string_len(64).not_null().primary_key())
        .col(ColumnDef::new(Column::LastSequence).big_integer().not_null())
        .col(ColumnDef::new(Column::Version).integer().not_null())
        .col(ColumnDef::new(Column::Generation).big_integer().not_null())
        .take()
}

fn inferences(name: &'static str) -> TableCreateStatement {
    use inference::Column;
    let mut table = Table::create();
    table.table(name);
    for column in Column::iter() {
        table.col(inference_column(column));
    }
    table
}

/// A column of `inferences`.
pub(crate) fn inference_column(column: inference::Column) -> ColumnDef {
    use inference::Column;
    let mut definition = ColumnDef::new(column);
    match column {
        Column::Id => definition.string_len(32).not_null().primary_key(),
        Column::Tenant => definition.string_len(64).not_null(),
        Column::Status => definition.string_len(16).not_null(),
        Column::Model
        | Column::Endpoint
        | Column::Class
        | Column::Caller
        | Column::RequestGroup
        | Column::Deployment
        | Column::Pool
        | Column::Worker
        | Column::Seed
        | Column::EngineFingerprint
        | Column::CostCurrency
        | Column::FinishReasons
        | Column::FailureCode
        | Column::FailureMessage => definition.text(),
        Column::IsStreaming => definition.boolean(),
        Column::Priority => definition.integer(),
        Column::NumAttempts | Column::RequestedAtUnixNanos => definition.big_integer().not_null(),
        Column::NumPromptTokens
        | Column::NumCompletionTokens
        | Column::NumCachedPromptTokens
        | Column::NumReasoningTokens
        | Column::CostNanos
        | Column::AdmittedAtUnixNanos
        | Column::AssignedAtUnixNanos
        | Column::StartedAtUnixNanos
        | Column::AttemptFailedAtUnixNanos
        | Column::CancelRequestedAtUnixNanos
        | Column::EndedAtUnixNanos
        | Column::TimeToFirstTokenNanos
        | Column::QueuedNanos
        | Column::PrefillNanos
        | Column::DecodeNanos => definition.big_integer(),
    };
    definition
}

fn facts(name: &'static str, backend: DbBackend) -> TableCreateStatement {
    use fact::Column;
    Table::create()
        .table(name)
        .col(sequence_key(Column::StreamSequence, backend))
        .col(ColumnDef::new(Column::InferenceId).string_len(32).not_null())
        .col(ColumnDef::new(Column::Kind).string_len(32).not_null())
        .col(ColumnDef::new(Column::Attempt).big_integer().not_null())
        .col(ColumnDef::new(Column::RecordedAtUnixNanos).big_integer().not_null())
        .take()
}

fn unreadable(name: &'static str, backend: DbBackend) -> TableCreateStatement {
    use unreadable_fact::Column;
    Table::create()
        .table(name)
        .col(sequence_key(Column::StreamSequence, backend))
        .col(ColumnDef::new(Column::Subject).text().not_null())
        .col(ColumnDef::new(Column::Reason).text().not_null())
        .col(ColumnDef::new(Column::StoredAtUnixNanos).big_integer().not_null())
        .take()
}

/// SQLite keeps a table in the order of a key only when its type is spelled "integer", which has 64 bits there.
fn sequence_key(column: impl IntoIden, backend: DbBackend) -> ColumnDef {
    let mut key = ColumnDef::new(column);
    match backend {
        DbBackend::Sqlite => key.integer(),
        _ => key.big_integer(),
    };
    key.not_null().primary_key().take()
}
