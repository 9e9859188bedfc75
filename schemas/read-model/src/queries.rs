//! Questions about the tables.

use schemas::{InferenceId, TenantId};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};

use crate::entity::inference::{Column, Entity};
use crate::entity::{fact, unreadable_fact};
use crate::fold::signed;
use crate::page::Cursor;
use crate::{Database, FactRow, InferencePage, InferenceRow, ReadModelError, Status, UnreadableFactRow};

/// Most rows of one page.
const MAX_NUM_ROWS: u64 = 1_000;

/// Which inferences to list; what is `None` does not narrow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InferenceFilter {
    /// Only this tenant's.
    pub tenant: Option<String>,
    /// Only those that stand here.
    pub status: Option<Status>,
    /// Only those that asked for this model.
    pub model: Option<String>,
    /// Only those requested at this time or later, nanoseconds since the Unix epoch.
    pub since_unix_nanos: Option<u64>,
    /// Most rows; 100 when absent, 1,000 at most.
    pub limit: Option<u64>,
    /// Where an earlier page ended.
    pub cursor: Option<Cursor>,
}

/// How many inferences stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCount {
    /// Where.
    pub status: Status,
    /// How many.
    pub num_inferences: u64,
}

/// Whose usage, ended when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageFilter {
    /// Only this tenant's.
    pub tenant: Option<String>,
    /// Ended at this time or later, nanoseconds since the Unix epoch.
    pub from_unix_nanos: Option<u64>,
    /// Ended before this time, nanoseconds since the Unix epoch.
    pub to_unix_nanos: Option<u64>,
}

/// What the inferences of one model that are over used, and what they cost in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// The model; `None` where no fact told.
    pub model: Option<String>,
    /// Inferences that are over, whatever their outcome.
    pub num_inferences: u64,
    /// Tokens of their prompts.
    pub num_prompt_tokens: u64,
    /// Tokens of their answers.
    pub num_completion_tokens: u64,
    /// Tokens of their prompts that the prefix cache held.
    pub num_cached_prompt_tokens: u64,
    /// Tokens of their thinking spans, among those of their answers.
    pub num_reasoning_tokens: u64,
    /// What they cost, in billionths of the currency.
    pub cost_nanos: u64,
    /// The currency; `None` for those that had no price.
    pub cost_currency: Option<String>,
}

impl Database {
    /// Inferences, newest first.
    pub async fn inferences(&self, filter: &InferenceFilter) -> Result<InferencePage, ReadModelError> {
        let num_rows = filter.limit.unwrap_or(100).clamp(1, MAX_NUM_ROWS);
        let mut select = Entity::find().order_by_desc(Column::RequestedAtUnixNanos).order_by_desc(Column::Id);
        if let Some(tenant) = &filter.tenant {
            select = select.filter(Column::Tenant.eq(tenant));
        }
        if let Some(status) = filter.status {
            select = select.filter(Column::Status.eq(status));
        }
        if let Some(model) = &filter.model {
            select = select.filter(Column::Model.eq(model));
        }
        if let Some(since) = filter.since_unix_nanos {
            select = select.filter(Column::RequestedAtUnixNanos.gte(signed(since)));
        }
        if let Some(cursor) = &filter.cursor {
            let (at, id) = (cursor.requested_at_unix_nanos, cursor.id.as_str());
            let is_older = Column::RequestedAtUnixNanos.lt(at);
            let is_behind = Column::RequestedAtUnixNanos.eq(at).and(Column::Id.lt(id));
            select = select.filter(Column::RequestedAtUnixNanos.lte(at)).filter(is_older.or(is_behind));
        }
        let mut inferences =
            select.limit(num_rows + 1).all(&self.connection).await.map_err(|error| self.failed(&error))?;
        let has_more = inferences.len() as u64 > num_rows;
        inferences.truncate(usize::try_from(num_rows).unwrap_or(usize::MAX));
        let next_cursor = inferences.last().filter(|_| has_more).map(Cursor::behind);
        Ok(InferencePage { inferences, next_cursor })
    }

    /// One inference.
    pub async fn inference(&self, id: InferenceId) -> Result<Option<InferenceRow>, ReadModelError> {
        let row = Entity::find_by_id(id.to_string()).one(&self.connection).await;
        row.map_err(|error| self.failed(&error))
    }

    /// Where in the log the facts of one inference stand, in stream order.
    pub async fn facts_of(&self, id: InferenceId) -> Result<Vec<FactRow>, ReadModelError> {
        let facts = fact::Entity::find()
            .filter(fact::Column::InferenceId.eq(id.to_string()))
            .order_by_asc(fact::Column::StreamSequence)
            .all(&self.connection)
            .await;
        facts.map_err(|error| self.failed(&error))
    }

    /// How many inferences stand where, of one tenant or of all; a status without any is left out.
    pub async fn counts_by_status(
        &self,
        tenant: Option<&TenantId>,
    ) -> Result<Vec<StatusCount>, ReadModelError> {
        let select = Query::select()
            .column(Column::Status)
            .expr_as(Expr::col(Column::Id).count(), "num_inferences")
            .from(Entity)
            .and_where_option(tenant.map(|tenant| Expr::col(Column::Tenant).eq(tenant.as_str())))
            .group_by_col(Column::Status)
            .order_by(Column::Status, sea_orm::Order::Asc)
            .take();
        #[derive(FromQueryResult)]
        struct Counted {
            status: Status,
            num_inferences: i64,
        }
        let counted: Vec<Counted> = self.rows_of(&select).await?;
        let count =
            |row: Counted| StatusCount { status: row.status, num_inferences: unsigned(row.num_inferences) };
        Ok(counted.into_iter().map(count).collect())
    }

    /// What was used, by model and currency, sorted by both.
    pub async fn usage_by_model(&self, filter: &UsageFilter) -> Result<Vec<ModelUsage>, ReadModelError> {
        let ended_at = || Expr::col(Column::EndedAtUnixNanos);
        let sum = |column: Column| Expr::col(column).sum().if_null(0).cast_as("bigint");
        let select = Query::select()
            .column(Column::Model)
            .expr_as(Expr::col(Column::Id).count(), "num_inferences")
            .expr_as(sum(Column::NumPromptTokens), "num_prompt_tokens")
            .expr_as(sum(Column::NumCompletionTokens), "num_completion_tokens")
            .expr_as(sum(Column::NumCachedPromptTokens), "num_cached_prompt_tokens")
            .expr_as(sum(Column::NumReasoningTokens), "num_reasoning_tokens")
            .expr_as(sum(Column::CostNanos), "cost_nanos")
            .column(Column::CostCurrency)
            .from(Entity)
            .and_where(ended_at().is_not_null())
            .and_where_option(filter.tenant.as_ref().map(|tenant| Expr::col(Column::Tenant).eq(tenant)))
            .and_where_option(filter.from_unix_nanos.map(|from| ended_at().gte(signed(from))))
            .and_where_option(filter.to_unix_nanos.map(|to| ended_at().lt(signed(to))))
            .group_by_col(Column::Model)
            .group_by_col(Column::CostCurrency)
            .take();
        #[derive(FromQueryResult)]
        struct Summed {
            model: Option<String>,
            num_inferences: i64,
            num_prompt_tokens: i64,
            num_completion_tokens: i64,
            num_cached_prompt_tokens: i64,
            num_reasoning_tokens: i64,
            cost_nanos: i64,
            cost_currency: Option<String>,
        }
        let summed: Vec<Summed> = self.rows_of(&select).await?;
        let usage = |row: Summed| ModelUsage {
            model: row.model,
            num_inferences: unsigned(row.num_inferences),
            num_prompt_tokens: unsigned(row.num_prompt_tokens),
            num_completion_tokens: unsigned(row.num_completion_tokens),
            num_cached_prompt_tokens: unsigned(row.num_cached_prompt_tokens),
            num_reasoning_tokens: unsigned(row.num_reasoning_tokens),
            cost_nanos: unsigned(row.cost_nanos),
            cost_currency: row.cost_currency,
        };
        let mut usages: Vec<_> = summed.into_iter().map(usage).collect();
        // The databases collate differently.
        usages.sort_by(|a, b| (&a.model, &a.cost_currency).cmp(&(&b.model, &b.cost_currency)));
        Ok(usages)
    }

    /// Records of the log that were skipped, the newest first.
    pub async fn unreadable_facts(&self, limit: u64) -> Result<Vec<UnreadableFactRow>, ReadModelError> {
        let rows = unreadable_fact::Entity::find()
            .order_by_desc(unreadable_fact::Column::StreamSequence)
            .limit(limit.clamp(1, MAX_NUM_ROWS))
            .all(&self.connection)
            .await;
        rows.map_err(|error| self.failed(&error))
    }

    async fn rows_of<T: FromQueryResult>(&self, select: &SelectStatement) -> Result<Vec<T>, ReadModelError> {
        let read = async {
            let rows = self.connection.query_all(select).await?;
            rows.iter().map(|row| T::from_query_result(row, "")).collect::<Result<Vec<_>, DbErr>>()
        };
        read.await.map_err(|error| self.failed(&error))
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
