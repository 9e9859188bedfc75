//! `inferences`: one row for each inference, folded from its facts.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Where an inference stands; the last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, waiting for the guardrails.
    Requested,
    /// Allowed, waiting for the router.
    Admitted,
    /// Given to a deployment, waiting for a worker.
    Assigned,
    /// Being computed.
    Started,
    /// Its latest attempt was lost; the router decides what comes next.
    AttemptFailed,
    /// Over: answered.
    Completed,
    /// Over: a guardrail refused.
    Rejected,
    /// Over: nothing was left to try.
    Failed,
    /// Over: nobody wanted the answer any more.
    Cancelled,
}

impl Status {
    /// The word in SQL, JSON and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Admitted => "admitted",
            Self::Assigned => "assigned",
            Self::Started => "started",
            Self::AttemptFailed => "attempt_failed",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::Failed | Self::Cancelled)
    }
}

/// One inference as its facts so far describe it. Times are nanoseconds since the Unix epoch; what no fact has told
/// yet is `None`. What belongs to one attempt (deployment, pool, worker, seed, …) describes the latest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "inferences")]
pub struct Model {
    /// The inference id, 32 hexadecimal digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Where it stands.
    pub status: Status,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The route that was called.
    pub endpoint: Option<String>,
    /// `interactive` or `batch`.
    pub class: Option<String>,
    /// Whether the client asked for a stream.
    pub is_streaming: Option<bool>,
    /// Smaller runs earlier.
    pub priority: Option<i32>,
    /// Fingerprint of the caller's key.
    pub caller: Option<String>,
    /// The request that this inference is a part of.
    pub request_group: Option<String>,
    /// The latest attempt; 0 before the first.
    pub num_attempts: i64,
    /// The deployment of the latest attempt.
    pub deployment: Option<String>,
    /// The pool of the latest attempt.
    pub pool: Option<String>,
    /// The worker of the latest attempt.
    pub worker: Option<String>,
    /// The seed in use, in decimal: it may not fit a signed column.
    pub seed: Option<String>,
    /// Build, kernel path, model digest and quantisation.
    pub engine_fingerprint: Option<String>,
    /// Tokens of the prompt.
    pub num_prompt_tokens: Option<i64>,
    /// Tokens of all choices together.
    pub num_completion_tokens: Option<i64>,
    /// Tokens of the prompt that the prefix cache held.
    pub num_cached_prompt_tokens: Option<i64>,
    /// Tokens of thinking spans, among those of the choices.
    pub num_reasoning_tokens: Option<i64>,
    /// What it cost by the price of its time, in billionths of the currency.
    pub cost_nanos: Option<i64>,
    /// The currency.
    pub cost_currency: Option<String>,
    /// Why each choice ended, in the order of the choices, separated by commas.
    pub finish_reasons: Option<String>,
    /// A stable word for what went wrong.
    pub failure_code: Option<String>,
    /// What went wrong, in words for the client.
    pub failure_message: Option<String>,
    /// When the api accepted it; until that fact is seen, the earliest time that is known.
    pub requested_at_unix_nanos: i64,
    /// When the guardrails allowed it.
    pub admitted_at_unix_nanos: Option<i64>,
    /// When the latest attempt was given to a deployment.
    pub assigned_at_unix_nanos: Option<i64>,
    /// When a worker began the latest attempt.
    pub started_at_unix_nanos: Option<i64>,
    /// When the latest attempt was lost.
    pub attempt_failed_at_unix_nanos: Option<i64>,
    /// When its end was first asked for.
    pub cancel_requested_at_unix_nanos: Option<i64>,
    /// When it was over.
    pub ended_at_unix_nanos: Option<i64>,
    /// From the requested fact to the first token.
    pub time_to_first_token_nanos: Option<i64>,
    /// Waiting at the worker.
    pub queued_nanos: Option<i64>,
    /// Computing the prompt.
    pub prefill_nanos: Option<i64>,
    /// Computing the answer.
    pub decode_nanos: Option<i64>,
}

/// Rows stand alone: nothing is joined.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
