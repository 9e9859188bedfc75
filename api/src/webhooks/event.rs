//! What a webhook says: that an inference has ended, and how. Whoever wants the answer asks for it.

use schemas::v1::{Ended, Outcome};
use serde::Serialize;

use crate::inference_record::StoredRequest;
use crate::openai::usage::Usage;

#[derive(Serialize)]
struct Event<'a> {
    id: String,
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: u64,
    data: EventData<'a>,
}

#[derive(Serialize)]
struct EventData<'a> {
    id: String,
    object: &'static str,
    status: &'static str,
    endpoint: &'a str,
    model: &'a str,
    created_at: u64,
    ended_at: u64,
    usage: Option<Usage>,
    error_code: Option<&'a str>,
}

/// How an inference ended, in one word.
pub(crate) const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Rejected => "rejected",
        Outcome::Cancelled => "cancelled",
        Outcome::Failed | Outcome::Unspecified => "failed",
    }
}

/// What the receiver knows a repetition by.
pub(super) fn webhook_id(stored: &StoredRequest) -> String {
    format!("msg_{}", stored.id)
}

/// The body; the same for every attempt.
pub(super) fn body(stored: &StoredRequest, ended_at_unix_nanos: u64, ended: &Ended) -> String {
    let seconds = |unix_nanos: u64| unix_nanos / 1_000_000_000;
    let outcome = ended.outcome();
    let event = Event {
        id: webhook_id(stored),
        object: "event",
        kind: match outcome {
            Outcome::Completed => "inference.completed",
            Outcome::Rejected => "inference.rejected",
            Outcome::Cancelled => "inference.cancelled",
            Outcome::Failed | Outcome::Unspecified => "inference.failed",
        },
        created_at: seconds(ended_at_unix_nanos),
        data: EventData {
            id: stored.id.to_string(),
            object: "inference",
            status: outcome_word(outcome),
            endpoint: &stored.requested.endpoint,
            model: &stored.requested.model,
            created_at: seconds(stored.at_unix_nanos),
            ended_at: seconds(ended_at_unix_nanos),
            usage: ended.usage.map(Usage::from),
            error_code: ended.failure.as_ref().map(|failure| failure.code.as_str()),
        },
    };
    serde_json::to_string(&event).unwrap_or_default()
}
