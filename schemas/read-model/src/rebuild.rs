//! Starting over: folds the whole log into a second set of tables while the first one serves, then swaps them.

use std::sync::Arc;
use std::time::Duration;

use bus::{EventLog, StreamName};
use sea_orm::sea_query::{Expr, ExprTrait, Query, Table};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, TransactionTrait};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::entity::{fact, inference, unreadable_fact};
use crate::fold::signed;
use crate::log_reader::LogReader;
use crate::schema::{LIVE, SHADOW};
use crate::store::{commit, write};
use crate::{Database, ReadModelError};

/// Facts a transaction: most inferences begin and end within one, so their rows are written once.
const MAX_NUM_FACTS: usize = 10_000;

/// Bytes a transaction, which bounds the memory that long prompts take.
const MAX_NUM_BYTES: usize = 16 << 20;

/// What a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildReport {
    /// Records that were folded or found unreadable.
    pub num_facts: u64,
    /// Where the tables stand now.
    pub last_sequence: u64,
    /// How long it took.
    pub took: Duration,
}

impl RebuildReport {
    /// The rate.
    pub fn facts_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let num_facts = self.num_facts as f64;
        num_facts / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Folds the log from its beginning and swaps the result in, in one transaction; the old tables serve, and are kept up
/// by projectors, until then. What the log no longer holds is carried over from the old tables. A rebuild that dies
/// leaves the old tables as they are; one that begins while another runs supersedes it.
pub async fn rebuild(log: Arc<dyn EventLog>, database: &Database) -> Result<RebuildReport, ReadModelError> {
    let began = Instant::now();
    let rebuild = Rebuild { log, database };
    let end = rebuild.log.last_sequence(StreamName::Inference).await?;
    let start = rebuild.start(end).await?;
    let (folded, num_facts) = rebuild.fold_up_to(start, end).await?;
    rebuild.index(folded).await?;
    let (swapped, num_late_facts) = rebuild.swap(folded).await?;
    let report = RebuildReport {
        num_facts: num_facts + num_late_facts,
        last_sequence: swapped.last_sequence,
        took: began.elapsed(),
    };
    tracing::info!(
        num_facts = report.num_facts,
        last_sequence = report.last_sequence,
        facts_per_second = report.facts_per_second(),
        "rebuilt the tables"
    );
    Ok(report)
}

struct Rebuild<'a> {
    log: Arc<dyn EventLog>,
    database: &'a Database,
}

impl Rebuild<'_> {
    /// Makes empty shadow tables, which whoever rebuilt before loses.
    async fn start(&self, end: u64) -> Result<Checkpoint, ReadModelError> {
        let mut reader = LogReader::open(Arc::clone(&self.log), 1, false).await?;
        let oldest = reader.next().await?.map_or(end + 1, |entry| entry.sequence());
        let begin = async {
            let transaction = self.database.connection.begin().await?;
            let before = Checkpoint::lock(&transaction, &SHADOW).await?;
            let live = Checkpoint::load(&transaction, &LIVE).await?;
            let start = Checkpoint::at_start(Ord::max(before.generation, live.generation) + 1);
            before.advance(&transaction, &SHADOW, start).await?;
            drop_shadow(&transaction).await?;
            for table in SHADOW.create(transaction.get_database_backend()) {
                transaction.execute(&table).await?;
            }
            if oldest > 1 {
                carry_over(&transaction, oldest).await?;
            }
            transaction.commit().await?;
            Ok(start)
        };
        begin.await.map_err(|error| self.database.failed(&error))
    }

    /// Reads and decodes the next batch while the database takes the last one.
    async fn fold_up_to(&self, start: Checkpoint, end: u64) -> Result<(Checkpoint, u64), ReadModelError> {
        let (sender, mut batches) = mpsc::channel(1);
        let reading = self.read_batches(start.last_sequence + 1, end, sender);
        let writing = async {
            let (mut checkpoint, mut num_facts) = (start, 0);
            while let Some(batch) = batches.recv().await {
                let committed = commit(&self.database.connection, &SHADOW, checkpoint, &batch).await;
                let moved = committed.map_err(|error| self.database.failed(&error))?;
                checkpoint = moved.ok_or(ReadModelError::RebuildSuperseded)?;
                num_facts += batch.len() as u64;
            }
            Ok((checkpoint, num_facts))
        };
        let ((), folded) = tokio::try_join!(reading, writing)?;
        Ok(folded)
    }

    async fn read_batches(
        &self,
        first: u64,
        last: u64,
        batches: mpsc::Sender<Batch>,
    ) -> Result<(), ReadModelError> {
        if first > last {
            return Ok(());
        }
        let mut reader = LogReader::open(Arc::clone(&self.log), first, false).await?;
        let mut batch = Batch::default();
        while let Some(entry) = reader.next().await? {
            if entry.sequence() > last {
                break;
            }
            batch.push(entry);
            if batch.len() >= MAX_NUM_FACTS || batch.num_bytes() >= MAX_NUM_BYTES {
                // Nobody receives when the writing failed, which then tells of it.
                if batches.send(std::mem::take(&mut batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if batch.len() > 0 {
            batches.send(batch).await.ok();
        }
        Ok(())
    }

    /// Indexes are made once the rows are in: far cheaper than keeping them up row by row.
    async fn index(&self, folded: Checkpoint) -> Result<(), ReadModelError> {
        let index = async {
            let transaction = self.database.connection.begin().await?;
            if Checkpoint::lock(&transaction, &SHADOW).await? != folded {
                return Ok(false);
            }
            for index in SHADOW.create_indexes(folded.generation) {
                transaction.execute(&index).await?;
            }
            transaction.commit().await?;
            Ok(true)
        };
        match index.await.map_err(|error| self.database.failed(&error))? {
            true => Ok(()),
            false => Err(ReadModelError::RebuildSuperseded),
        }
    }

    /// Folds what came meanwhile, then gives the shadow tables the names of the live ones.
    async fn swap(&self, folded: Checkpoint) -> Result<(Checkpoint, u64), ReadModelError> {
        let failed = |error: DbErr| self.database.failed(&error);
        // Most of what came meanwhile is folded before the live tables are held.
        let end = self.log.last_sequence(StreamName::Inference).await?;
        let (folded, mut num_facts) = self.fold_up_to(folded, end).await?;

        let transaction = self.database.connection.begin().await.map_err(failed)?;
        if Checkpoint::lock(&transaction, &SHADOW).await.map_err(failed)? != folded {
            return Err(ReadModelError::RebuildSuperseded);
        }
        let live = Checkpoint::lock(&transaction, &LIVE).await.map_err(failed)?;
        let mut last_sequence = folded.last_sequence;
        // Rows never go back: what the live tables know by now, the new ones must know too.
        let known = Ord::min(live.last_sequence, self.log.last_sequence(StreamName::Inference).await?);
        if known > last_sequence {
            let (sender, mut batches) = mpsc::channel(1);
            let reading = self.read_batches(last_sequence + 1, known, sender);
            let writing = async {
                while let Some(batch) = batches.recv().await {
                    write(&transaction, &SHADOW, &batch).await.map_err(failed)?;
                    last_sequence = batch.last_sequence().unwrap_or(last_sequence);
                    num_facts += batch.len() as u64;
                }
                Ok(())
            };
            tokio::try_join!(reading, writing)?;
        }
        let swapped = folded.moved_to(last_sequence);
        let exchange = async {
            for (shadow, live) in SHADOW.beside(&LIVE) {
                transaction.execute(Table::drop().table(live)).await?;
                transaction.execute(Table::rename().table(shadow, live)).await?;
            }
            live.advance(&transaction, &LIVE, swapped).await?;
            transaction.commit().await
        };
        exchange.await.map_err(failed)?;
        Ok((swapped, num_facts))
    }
}

async fn drop_shadow(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    for (shadow, _) in SHADOW.beside(&LIVE) {
        transaction.execute(Table::drop().table(shadow).if_exists()).await?;
    }
    Ok(())
}

/// Copies what facts before `oldest`, the log's first record, told. Folding the rest over it is idempotent.
async fn carry_over(transaction: &DatabaseTransaction, oldest: u64) -> Result<(), DbErr> {
    let oldest = signed(oldest);
    let forgotten = Query::select()
        .column(fact::Column::InferenceId)
        .from(LIVE.facts)
        .and_where(Expr::col(fact::Column::StreamSequence).lt(oldest))
        .take();
    let of_forgotten = Expr::col(inference::Column::Id).in_subquery(forgotten);
    let early_facts = Expr::col(fact::Column::StreamSequence).lt(oldest);
    let early_unreadable = Expr::col(unreadable_fact::Column::StreamSequence).lt(oldest);
    copy::<inference::Column>(transaction, LIVE.inferences, SHADOW.inferences, of_forgotten).await?;
    copy::<fact::Column>(transaction, LIVE.facts, SHADOW.facts, early_facts).await?;
    copy::<unreadable_fact::Column>(transaction, LIVE.unreadable, SHADOW.unreadable, early_unreadable).await
}

async fn copy<C: ColumnTrait>(
    transaction: &DatabaseTransaction,
    from: &'static str,
    to: &'static str,
    condition: Expr,
) -> Result<(), DbErr> {
    let rows = Query::select().columns(C::iter()).from(from).and_where(condition).take();
    let mut insert = Query::insert();
    insert.into_table(to).columns(C::iter());
    insert.select_from(rows).map_err(|error| DbErr::Custom(error.to_string()))?;
    transaction.execute(&insert).await?;
    Ok(())
}
