//! Writing a batch's changes: few statements, always of the same few sizes, so that the driver's cache of prepared
//! statements hits.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, Iterable, ModelTrait,
    Statement, TransactionTrait,
};

use crate::InferenceRow;
use crate::batch::{Batch, Changes};
use crate::checkpoint::Checkpoint;
use crate::entity::{fact, inference, unreadable_fact};
use crate::schema::Tables;

/// Rows a statement, largest first. 128 rows of the widest table are 4,608 parameters; SQLite takes 32,766.
const NUM_ROWS_PER_STATEMENT: [usize; 4] = [128, 32, 8, 1];

/// Keys a lookup.
const NUM_KEYS_PER_STATEMENT: usize = 128;

/// Folds a batch into the tables and moves their checkpoint, in one transaction. `None` when somebody else moved it
/// first; nothing is changed then.
pub(crate) async fn commit(
    connection: &DatabaseConnection,
    tables: &Tables,
    from: Checkpoint,
    batch: &Batch,
) -> Result<Option<Checkpoint>, DbErr> {
    let to = from.moved_to(batch.last_sequence().unwrap_or(from.last_sequence));
    let transaction = connection.begin().await?;
    if !from.advance(&transaction, tables, to).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    write(&transaction, tables, batch).await?;
    transaction.commit().await?;
    Ok(Some(to))
}

/// Folds a batch into a set of tables. The caller's transaction holds the checkpoint.
pub(crate) async fn write(
    connection: &impl ConnectionTrait,
    tables: &Tables,
    batch: &Batch,
) -> Result<(), DbErr> {
    let rows = load(connection, tables, &batch.inference_ids()).await?;
    let Changes { rows, facts, unreadable } = batch.fold(rows);
    insert::<inference::Entity>(connection, tables.inferences, &rows, inference::Column::Id).await?;
    insert::<fact::Entity>(connection, tables.facts, &facts, fact::Column::StreamSequence).await?;
    insert::<unreadable_fact::Entity>(
        connection,
        tables.unreadable,
        &unreadable,
        unreadable_fact::Column::StreamSequence,
    )
    .await
}

async fn load(
    connection: &impl ConnectionTrait,
    tables: &Tables,
    ids: &BTreeSet<String>,
) -> Result<Vec<InferenceRow>, DbErr> {
    let ids: Vec<&String> = ids.iter().collect();
    let mut rows = Vec::new();
    for chunk in ids.chunks(NUM_KEYS_PER_STATEMENT) {
        // The last key again and again makes every statement the same.
        let last = chunk.last().into_iter().cycle();
        let keys = chunk.iter().chain(last).take(NUM_KEYS_PER_STATEMENT).map(|id| id.as_str());
        let select = Query::select()
            .columns(inference::Column::iter())
            .from(tables.inferences)
            .and_where(Expr::col(inference::Column::Id).is_in(keys))
            .take();
        for row in connection.query_all(&select).await? {
            rows.push(InferenceRow::from_query_result(&row, "")?);
        }
    }
    Ok(rows)
}

/// Inserts rows; one that stands already is overwritten.
async fn insert<E: EntityTrait>(
    connection: &impl ConnectionTrait,
    table: &'static str,
    rows: &[E::Model],
    key: E::Column,
) -> Result<(), DbErr> {
    let overwrite = OnConflict::column(key).update_columns(E::Column::iter()).to_owned();
    let mut rest = rows;
    for num_rows in NUM_ROWS_PER_STATEMENT {
        let (full, remainder) = rest.split_at(rest.len() - rest.len() % num_rows);
        let mut chunks = full.chunks(num_rows);
        if let Some(first) = chunks.next() {
            let mut insert = Query::insert();
            insert.into_table(table).columns(E::Column::iter()).on_conflict(overwrite.clone());
            for row in first {
                let values = E::Column::iter().map(|column| Expr::val(row.get(column)));
                insert.values(values).map_err(|error| DbErr::Custom(error.to_string()))?;
            }
            let statement = connection.get_database_backend().build(&insert);
            let sql = statement.sql.clone();
            connection.execute_raw(statement).await?;
            for chunk in chunks {
                // Building the same text again would cost more than sending it.
                let values = chunk.iter().flat_map(|row| E::Column::iter().map(|column| row.get(column)));
                let again = Statement::from_sql_and_values(connection.get_database_backend(), &sql, values);
                connection.execute_raw(again).await?;
            }
        }
        rest = remainder;
    }
    Ok(())
}
