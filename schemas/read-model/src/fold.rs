//! What each fact does to its inference's row.
//!
//! Folding is idempotent and does not depend on the order of the facts: a column is either written by one fact only, or
//! decided by content (the latest attempt, the authoritative fact), and the status is computed from the other columns.
//! That makes redelivery, replays from an older checkpoint and rebuilds end in the same rows.

use schemas::v1::{
    Admitted, Assigned, AttemptFailed, Ended, Envelope, FinishReason, Outcome, RequestSummary, Requested,
    Started, WorkClass, envelope::Fact,
};

use crate::batch::Unreadable;
use crate::entity::{fact, inference};
use crate::{InferenceRow, Status};

/// Version of these rules. Tables that older rules folded are rebuilt.
pub(crate) const FOLD_VERSION: i32 = 2;

/// Longest text that a column takes; what is longer is cut, so that nobody can grow the tables by a long name.
const MAX_NUM_CHARS: usize = 1_000;

/// What one fact changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The inference's row after the fact.
    pub row: inference::Model,
    /// Where the fact stands.
    pub fact: fact::Model,
}

/// Folds the fact at `sequence` of the log into its inference's row (`None`: the first one that is known of it). Facts
/// may come in any order and more than once. `Err` says why the fact cannot be folded; it then changes nothing.
pub fn fold(
    mut row: Option<InferenceRow>,
    envelope: &Envelope,
    sequence: u64,
) -> Result<RowChange, Unreadable> {
    let (row, fact) = fold_in_place(&mut row, envelope, sequence)?;
    Ok(RowChange { row: row.clone(), fact })
}

/// [`fold`], without moving the row; `Err` leaves it as it was.
pub(crate) fn fold_in_place<'a>(
    row: &'a mut Option<InferenceRow>,
    envelope: &Envelope,
    sequence: u64,
) -> Result<(&'a InferenceRow, fact::Model), Unreadable> {
    let fact = envelope.fact.as_ref().ok_or(Unreadable::NoFact)?;
    let id = envelope.inference().map_err(|_| Unreadable::BadId)?.to_string();
    let tenant = envelope.tenant().map_err(|_| Unreadable::BadId)?.to_string();
    if row.as_ref().is_some_and(|known| known.tenant != tenant || known.id != id) {
        return Err(Unreadable::OtherTenant);
    }
    let at = signed(envelope.recorded_at_unix_nanos);
    let row = row.get_or_insert_with(|| unknown(id.clone(), tenant, at));
    if row.endpoint.is_none() {
        row.requested_at_unix_nanos = row.requested_at_unix_nanos.min(at);
    }
    match fact {
        Fact::Requested(requested) => fold_requested(row, requested, at),
        Fact::Admitted(admitted) => fold_admitted(row, admitted, at),
        Fact::Assigned(assigned) => fold_assigned(row, assigned, at),
        Fact::Started(started) => fold_started(row, started, at),
        Fact::AttemptFailed(failed) => fold_attempt_failed(row, failed, at),
        Fact::CancelRequested(_) => {
            let earliest = row.cancel_requested_at_unix_nanos.map_or(at, |known| known.min(at));
            row.cancel_requested_at_unix_nanos = Some(earliest);
        }
        // Who is told of the end does not change the inference.
        Fact::WebhookRequested(_) => {}
        Fact::Ended(ended) => fold_ended(row, ended, at),
    }
    if !row.status.is_terminal() {
        row.status = status_so_far(row);
    }
    let fact = fact::Model {
        stream_sequence: signed(sequence),
        inference_id: id,
        kind: fact.kind().as_str().to_owned(),
        attempt: i64::from(attempt_of(fact)),
        recorded_at_unix_nanos: at,
    };
    Ok((row, fact))
}

fn fold_requested(row: &mut InferenceRow, requested: &Requested, at: i64) {
    row.model = Some(column_text(&requested.model));
    row.endpoint = Some(column_text(&requested.endpoint));
    row.class = Some(class_word(requested.class()));
    row.is_streaming = Some(requested.stream);
    row.priority = Some(requested.priority);
    row.caller = non_empty(&requested.caller);
    row.request_group = non_empty(&requested.request_group);
    row.requested_at_unix_nanos = at;
}

fn fold_admitted(row: &mut InferenceRow, admitted: &Admitted, at: i64) {
    row.admitted_at_unix_nanos = Some(at);
    fold_summary(row, admitted.summary.as_ref());
}

fn fold_assigned(row: &mut InferenceRow, assigned: &Assigned, at: i64) {
    fold_summary(row, assigned.summary.as_ref());
    if is_latest_attempt(row, assigned.attempt) {
        row.assigned_at_unix_nanos = Some(at);
        row.deployment = non_empty(&assigned.deployment);
        row.pool = non_empty(&assigned.pool);
    }
}

fn fold_started(row: &mut InferenceRow, started: &Started, at: i64) {
    if is_latest_attempt(row, started.attempt) {
        row.started_at_unix_nanos = Some(at);
        row.worker = non_empty(&started.worker);
        row.seed = Some(started.seed.to_string());
        row.engine_fingerprint = non_empty(&started.engine_fingerprint);
        // The usage of the terminal fact is authoritative, and is what num_completion_tokens tells of.
        if row.num_completion_tokens.is_none() {
            row.num_prompt_tokens = Some(i64::from(started.num_prompt_tokens));
        }
    }
}

fn fold_attempt_failed(row: &mut InferenceRow, failed: &AttemptFailed, at: i64) {
    fold_summary(row, failed.summary.as_ref());
    if is_latest_attempt(row, failed.attempt) {
        row.attempt_failed_at_unix_nanos = Some(at);
    }
}

/// The terminal fact. There is one per inference; should the log hold a second one, the first that was recorded counts.
fn fold_ended(row: &mut InferenceRow, ended: &Ended, at: i64) {
    let is_latest = is_latest_attempt(row, ended.attempt);
    if row.ended_at_unix_nanos.is_some_and(|known| known <= at) {
        return;
    }
    row.ended_at_unix_nanos = Some(at);
    row.status = match ended.outcome() {
        Outcome::Completed => Status::Completed,
        Outcome::Rejected => Status::Rejected,
        Outcome::Cancelled => Status::Cancelled,
        Outcome::Failed | Outcome::Unspecified => Status::Failed,
    };
    // The started fact is authoritative; an inference may end before it starts.
    if is_latest && row.started_at_unix_nanos.is_none() {
        row.worker = non_empty(&ended.worker);
        row.engine_fingerprint = non_empty(&ended.engine_fingerprint);
    }
    if let Some(usage) = &ended.usage {
        row.num_prompt_tokens = Some(i64::from(usage.num_prompt_tokens));
        row.num_completion_tokens = Some(i64::from(usage.num_completion_tokens));
        row.num_cached_prompt_tokens = Some(i64::from(usage.num_cached_prompt_tokens));
        row.num_reasoning_tokens = Some(i64::from(usage.num_reasoning_tokens));
    }
    // Whatever its attempts, an inference has one end, and so one cost.
    row.cost_nanos = ended.cost.as_ref().map(|cost| signed(cost.nanos));
    row.cost_currency = ended.cost.as_ref().map(|cost| column_text(&cost.currency));
    row.finish_reasons = finish_reasons(ended);
    row.failure_code = ended.failure.as_ref().map(|failure| column_text(&failure.code));
    row.failure_message = ended.failure.as_ref().map(|failure| column_text(&failure.message));
    if let Some(timings) = &ended.timings {
        row.time_to_first_token_nanos = Some(signed(timings.time_to_first_token_nanos));
        row.queued_nanos = Some(signed(timings.queued_nanos));
        row.prefill_nanos = Some(signed(timings.prefill_nanos));
        row.decode_nanos = Some(signed(timings.decode_nanos));
    }
}

/// What later facts repeat of the request; it stands in until the requested fact is seen, or when the log no longer holds it.
fn fold_summary(row: &mut InferenceRow, summary: Option<&RequestSummary>) {
    let Some(summary) = summary.filter(|_| row.endpoint.is_none()) else { return };
    row.model = Some(column_text(&summary.model));
    row.class = Some(class_word(summary.class()));
    row.priority = Some(summary.priority);
    if summary.requested_at_unix_nanos > 0 {
        row.requested_at_unix_nanos =
            row.requested_at_unix_nanos.min(signed(summary.requested_at_unix_nanos));
    }
}

/// Whether a fact of this attempt describes the latest one. A newer attempt forgets what was known of the one before.
fn is_latest_attempt(row: &mut InferenceRow, attempt: u32) -> bool {
    let attempt = i64::from(attempt);
    if attempt > row.num_attempts {
        row.num_attempts = attempt;
        row.deployment = None;
        row.pool = None;
        row.worker = None;
        row.seed = None;
        row.engine_fingerprint = None;
        row.assigned_at_unix_nanos = None;
        row.started_at_unix_nanos = None;
        row.attempt_failed_at_unix_nanos = None;
        if row.num_completion_tokens.is_none() {
            row.num_prompt_tokens = None;
        }
    }
    attempt == row.num_attempts
}

const fn status_so_far(row: &InferenceRow) -> Status {
    if row.attempt_failed_at_unix_nanos.is_some() {
        Status::AttemptFailed
    } else if row.started_at_unix_nanos.is_some() {
        Status::Started
    } else if row.assigned_at_unix_nanos.is_some() {
        Status::Assigned
    } else if row.admitted_at_unix_nanos.is_some() {
        Status::Admitted
    } else {
        Status::Requested
    }
}

const fn attempt_of(fact: &Fact) -> u32 {
    match fact {
        Fact::Assigned(assigned) => assigned.attempt,
        Fact::Started(started) => started.attempt,
        Fact::AttemptFailed(failed) => failed.attempt,
        Fact::Ended(ended) => ended.attempt,
        Fact::Requested(_) | Fact::Admitted(_) | Fact::CancelRequested(_) | Fact::WebhookRequested(_) => 0,
    }
}

fn finish_reasons(ended: &Ended) -> Option<String> {
    let mut choices: Vec<_> = ended.choices.iter().collect();
    choices.sort_by_key(|choice| choice.index);
    let words: Vec<_> = choices.iter().map(|choice| finish_word(choice.finish_reason())).collect();
    (!words.is_empty()).then(|| column_text(&words.join(",")))
}

const fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Unspecified => "unknown",
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
        FinishReason::Error => "error",
        FinishReason::ToolCalls => "tool_calls",
    }
}

fn class_word(class: WorkClass) -> String {
    match class {
        WorkClass::Batch => "batch",
        WorkClass::Interactive | WorkClass::Unspecified => "interactive",
    }
    .to_owned()
}

/// What a text column takes everywhere: PostgreSQL refuses NUL.
fn column_text(text: &str) -> String {
    text.chars()
        .take(MAX_NUM_CHARS)
        .map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| column_text(text))
}

/// SQL has no unsigned column; for a time, the year 2262 is the limit.
pub(crate) fn signed(unsigned: u64) -> i64 {
    i64::try_from(unsigned).unwrap_or(i64::MAX)
}

fn unknown(id: String, tenant: String, at: i64) -> InferenceRow {
    InferenceRow {
        id,
        tenant,
        status: Status::Requested,
        model: None,
        endpoint: None,
        class: None,
        is_streaming: None,
        priority: None,
        caller: None,
        request_group: None,
        num_attempts: 0,
        deployment: None,
        pool: None,
        worker: None,
        seed: None,
        engine_fingerprint: None,
        num_prompt_tokens: None,
        num_completion_tokens: None,
        num_cached_prompt_tokens: None,
        num_reasoning_tokens: None,
        cost_nanos: None,
        cost_currency: None,
        finish_reasons: None,
        failure_code: None,
        failure_message: None,
        requested_at_unix_nanos: at,
        admitted_at_unix_nanos: None,
        assigned_at_unix_nanos: None,
        started_at_unix_nanos: None,
        attempt_failed_at_unix_nanos: None,
        cancel_requested_at_unix_nanos: None,
        ended_at_unix_nanos: None,
        time_to_first_token_nanos: None,
        queued_nanos: None,
        prefill_nanos: None,
        decode_nanos: None,
    }
}
