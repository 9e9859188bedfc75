//! Folding, without any database.

use std::collections::BTreeMap;

use proptest::prelude::*;
use read_model::{InferenceRow, RowChange, Status, Unreadable, fold};
use schemas::v1::envelope::Fact;
use schemas::v1::{Ended, Envelope, Outcome};

use crate::lives::{EPOCH, Life, any_history, any_life};

/// The rows that a history folds into, by id.
pub(crate) fn fold_all<'a>(
    history: impl IntoIterator<Item = &'a Envelope>,
) -> BTreeMap<String, InferenceRow> {
    fold_over(BTreeMap::new(), history)
}

fn fold_over<'a>(
    mut rows: BTreeMap<String, InferenceRow>,
    history: impl IntoIterator<Item = &'a Envelope>,
) -> BTreeMap<String, InferenceRow> {
    for envelope in history {
        let known = rows.remove(&envelope.inference_id);
        let RowChange { row, fact } = fold(known, envelope, 7).expect("a fact that can be folded");
        assert_eq!((fact.stream_sequence, &fact.inference_id), (7, &row.id));
        rows.insert(row.id.clone(), row);
    }
    rows
}

proptest! {
    #[test]
    fn redelivered_facts_change_nothing(history in any_history(4), again in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let once = fold_all(&history);
        let redelivered = again.iter().map(|index| &history[index.index(history.len())]);
        prop_assert_eq!(fold_over(once.clone(), redelivered), once.clone());
        prop_assert_eq!(fold_over(once.clone(), &history), once);
    }

    #[test]
    fn the_order_of_facts_does_not_matter(
        (history, shuffled) in any_life(1).prop_flat_map(|life| (Just(life.facts()), Just(life.facts()).prop_shuffle()))
    ) {
        prop_assert_eq!(fold_all(&history), fold_all(&shuffled));
    }

    #[test]
    fn folding_in_pieces_equals_folding_in_one_go(history in any_history(4), cut in any::<prop::sample::Index>()) {
        let (first, second) = history.split_at(cut.index(history.len()));
        prop_assert_eq!(fold_over(fold_all(first), second), fold_all(&history));
    }

    #[test]
    fn a_trimmed_life_needs_no_beginning(life in any_life(1), cut in any::<prop::sample::Index>()) {
        let facts = life.facts();
        let rest = &facts[cut.index(facts.len())..];
        let (whole, trimmed) = (fold_all(&facts), fold_all(rest));
        let (whole, trimmed) = (whole.values().next().unwrap(), trimmed.values().next().unwrap());
        prop_assert_eq!(whole.ended_at_unix_nanos, trimmed.ended_at_unix_nanos);
        prop_assert_eq!(whole.num_completion_tokens, trimmed.num_completion_tokens);
        prop_assert!(!whole.status.is_terminal() || whole.status == trimmed.status);
    }
}

fn check(life: &Life, num_facts: usize, expected: Status) {
    let facts = life.facts();
    let rows = fold_all(&facts[..num_facts.min(facts.len())]);
    assert_eq!(rows[&life.id().to_string()].status, expected, "{life:?} after {num_facts} facts");
}

#[test]
fn the_status_follows_the_life() {
    let life = Life { num_lost_attempts: 1, ..Life::completed(1) };
    let expected = [
        Status::Requested,
        Status::Admitted,
        Status::Assigned,
        Status::Started,
        Status::AttemptFailed,
        Status::Assigned,
        Status::Started,
        Status::Completed,
    ];
    for (num_facts, expected) in (1..).zip(expected) {
        check(&life, num_facts, expected);
    }
    for (outcome, expected) in [
        (Outcome::Rejected, Status::Rejected),
        (Outcome::Failed, Status::Failed),
        (Outcome::Cancelled, Status::Cancelled),
    ] {
        check(&Life { outcome: Some(outcome), ..Life::completed(1) }, usize::MAX, expected);
    }
}

#[test]
fn a_completed_row_tells_the_latest_attempt_and_the_usage() {
    let life = Life { num_lost_attempts: 1, ..Life::completed(42) };
    let row = fold_all(&life.facts()).into_values().next().unwrap();
    let json = serde_json::to_value(&row).unwrap();
    let requested_at = life.requested_at();
    let expected = serde_json::json!({
        "id": "0198c6f000007000800000000000002a",
        "tenant": "acme",
        "status": "completed",
        "model": "smol",
        "endpoint": "/v1/chat/completions",
        "class": "interactive",
        "is_streaming": true,
        "priority": 3,
        "caller": "fp",
        "request_group": null,
        "num_attempts": 2,
        "deployment": "deployment-2",
        "pool": "smol",
        "worker": "worker-2",
        "seed": "18446744073709551573",
        "engine_fingerprint": "jetmill-0.1.0-avx512-2",
        "num_prompt_tokens": 11,
        "num_completion_tokens": 42,
        "num_cached_prompt_tokens": 4,
        "num_reasoning_tokens": 0,
        "cost_nanos": 42_000,
        "cost_currency": "USD",
        "finish_reasons": "stop,length",
        "failure_code": null,
        "failure_message": null,
        "requested_at_unix_nanos": requested_at,
        "admitted_at_unix_nanos": requested_at + 1_000,
        "assigned_at_unix_nanos": requested_at + 5_000,
        "started_at_unix_nanos": requested_at + 6_000,
        "attempt_failed_at_unix_nanos": null,
        "cancel_requested_at_unix_nanos": null,
        "ended_at_unix_nanos": requested_at + 7_000,
        "time_to_first_token_nanos": 4_000,
        "queued_nanos": 1_000,
        "prefill_nanos": 2_000,
        "decode_nanos": 3_000,
    });
    assert_eq!(json, expected);
    assert!(requested_at > EPOCH);
}

#[test]
fn a_second_end_does_not_replace_the_first() {
    let life = Life::completed(1);
    let mut facts = life.facts();
    facts.push(life.envelope(
        60,
        Fact::Ended(Ended { outcome: Outcome::Cancelled.into(), attempt: 1, ..Ended::default() }),
    ));
    assert_eq!(fold_all(&facts).into_values().next().unwrap().status, Status::Completed);
}

#[test]
fn another_tenant_cannot_touch_a_row() {
    let mine = Life::completed(1);
    let row = fold_all(&mine.facts()).into_values().next();
    let stranger = Life { tenant: "globex", ..mine };
    for fact in stranger.facts() {
        assert_eq!(fold(row.clone(), &fact, 9), Err(Unreadable::OtherTenant));
    }
}

#[test]
fn long_and_odd_texts_fit_their_columns() {
    let life = Life { outcome: Some(Outcome::Failed), ..Life::completed(1) };
    let mut facts = life.facts();
    if let Some(Fact::Requested(requested)) = &mut facts[0].fact {
        requested.model = format!("a\0{}", "ü".repeat(5_000));
    }
    let row = fold_all(&facts).into_values().next().unwrap();
    let model = row.model.unwrap();
    assert!(model.starts_with("a\u{fffd}ü"), "{model}");
    assert_eq!(model.chars().count(), 1_000);
    assert_eq!(row.failure_message.as_deref(), Some("no\u{fffd} way"));
}
