//! What every database must do. Each test gets the address of an empty one.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use read_model::{Database, InferenceFilter, Projector, ReadModelError, Role, Status, UsageFilter, rebuild};
use schemas::v1::{Envelope, Outcome};
use tokio_util::sync::CancellationToken;

use crate::contents::contents;
use crate::fold_properties::fold_all;
use crate::lives::{EPOCH, Life, any_history};
use crate::recorded_log::RecordedLog;
use crate::running_projector::{RunningProjector, project};

/// A history that is the same in each run.
pub(crate) fn history(max_num_lives: u32) -> Vec<Envelope> {
    any_history(max_num_lives).new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

fn num_facts(history: &[Envelope]) -> u64 {
    history.len() as u64
}

pub(crate) async fn projected_rows_equal_folded_facts(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(60);
    let log = RecordedLog::of(&history).await;
    project(&log, &database).await;

    let found = contents(&database).await;
    assert_eq!(found.rows, fold_all(&history));
    let sequences: Vec<_> = found.facts.iter().map(|fact| fact.stream_sequence as u64).collect();
    assert_eq!(sequences, (1..=num_facts(&history)).collect::<Vec<_>>());
    assert_eq!(found.last_sequence, num_facts(&history));
    assert_eq!(found.unreadable, []);
}

pub(crate) async fn a_projector_goes_on_where_another_stopped(url: &str) {
    let history = history(40);
    let (first, second) = history.split_at(history.len() / 2);
    let log = RecordedLog::of(first).await;
    project(&log, &Database::connect(url).await.unwrap()).await;
    log.record(second).await;
    let database = Database::connect(url).await.unwrap();
    project(&log, &database).await;
    assert_eq!(contents(&database).await.rows, fold_all(&history));
}

pub(crate) async fn rival_projectors_do_not_double(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(90);
    let log = RecordedLog::new();
    let mut rivals: Vec<_> = (0..3).map(|_| RunningProjector::start(log.shared(), &database)).collect();
    for piece in history.chunks(10) {
        log.record(piece).await;
        tokio::task::yield_now().await;
    }
    for rival in &mut rivals {
        rival.until_sequence(num_facts(&history)).await;
    }
    let found = contents(&database).await;
    assert_eq!(found.rows, fold_all(&history));
    assert_eq!(found.facts.len(), history.len());
    for rival in rivals {
        rival.stop().await;
    }
}

pub(crate) async fn a_projector_that_stands_by_takes_over(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(90);
    let log = RecordedLog::new();
    let mut pieces = history.chunks(8);
    let (mut one, mut other) =
        (RunningProjector::start(log.shared(), &database), RunningProjector::start(log.shared(), &database));
    let stands_by = |rival: &RunningProjector| rival.role() == Role::StandingBy;
    while !stands_by(&one) && !stands_by(&other) {
        log.record(pieces.next().expect("a race before the history ends")).await;
        let end = log.end().await;
        one.until_sequence(end).await;
        other.until_sequence(end).await;
    }
    let (leading, mut standing_by) = if stands_by(&one) { (other, one) } else { (one, other) };
    leading.stop().await;
    for piece in pieces {
        log.record(piece).await;
    }
    assert!(
        log.end().await > database.checkpoint().await.unwrap().last_sequence,
        "nothing was left to take over"
    );
    standing_by.until_sequence(num_facts(&history)).await;
    assert_eq!(standing_by.role(), Role::Leading);
    standing_by.stop().await;
    assert_eq!(contents(&database).await.rows, fold_all(&history));
}

pub(crate) async fn what_cannot_be_folded_is_noted_and_skipped(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let lives = [Life::completed(1), Life::completed(2)];
    let log = RecordedLog::of(&lives[0].facts()).await;
    let garbage =
        log.record_bytes("inference.requested.acme.x".to_owned(), b"a secret prompt".as_slice().into()).await;
    let mut stranger = Life { tenant: "globex", ..Life::completed(1) }.facts().remove(0);
    stranger.event_id = "f".repeat(32);
    log.record(&[stranger]).await;
    let lost = log.end().await + 1;
    log.lose_payload_of(lost);
    log.record(&lives[1].facts()).await;
    project(&log, &database).await;

    let found = contents(&database).await;
    let noted: Vec<_> =
        found.unreadable.iter().map(|row| (row.stream_sequence as u64, row.reason.as_str())).collect();
    let expected = [
        (lost, "its payload is missing from the object store, or damaged"),
        (garbage + 1, "the inference belongs to another tenant"),
        (garbage, "the bytes are no envelope"),
    ];
    assert_eq!(noted, expected);
    let foldable = [&lives[0].facts()[..], &lives[1].facts()[1..]].concat();
    assert_eq!(found.rows, fold_all(&foldable));
    assert_eq!(found.last_sequence, log.end().await);

    rebuild(log.shared(), &database).await.unwrap();
    assert_eq!(contents(&database).await, found);
}

pub(crate) async fn a_rebuild_ends_with_the_same_rows(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(80);
    let log = RecordedLog::of(&history).await;
    project(&log, &database).await;
    let before = contents(&database).await;
    for _ in 0..2 {
        let report = rebuild(log.shared(), &database).await.unwrap();
        assert_eq!((report.num_facts, report.last_sequence), (num_facts(&history), num_facts(&history)));
        assert_eq!(contents(&database).await, before);
    }
    let more = Life::completed(10_000).facts();
    log.record(&more).await;
    project(&log, &database).await;
    assert_eq!(contents(&database).await.rows, fold_all(history.iter().chain(&more)));
}

pub(crate) async fn a_rebuild_repairs_tables_that_never_saw_the_log(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(30);
    let log = RecordedLog::of(&history).await;
    rebuild(log.shared(), &database).await.unwrap();
    assert_eq!(contents(&database).await.rows, fold_all(&history));
}

pub(crate) async fn a_rebuild_under_load_loses_nothing(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(90);
    let (first, second) = history.split_at(history.len() / 2);
    let log = RecordedLog::of(first).await;
    let mut projector = RunningProjector::start(log.shared(), &database);
    projector.until_sequence(1).await;
    let (report, ()) = tokio::join!(rebuild(log.shared(), &database), async {
        for piece in second.chunks(3) {
            log.record(piece).await;
            tokio::task::yield_now().await;
        }
    });
    assert!(report.unwrap().last_sequence >= num_facts(first));
    projector.until_sequence(num_facts(&history)).await;
    let found = contents(&database).await;
    assert_eq!(found.rows, fold_all(&history));
    assert_eq!(found.facts.len(), history.len());
    projector.stop().await;
}

pub(crate) async fn of_two_rebuilds_at_once_the_tables_come_out_right(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(60);
    let log = RecordedLog::of(&history).await;
    let (one, other) = tokio::join!(rebuild(log.shared(), &database), rebuild(log.shared(), &database));
    assert!(one.is_ok() || other.is_ok(), "{one:?}, {other:?}");
    for result in [one, other] {
        assert!(matches!(result, Ok(_) | Err(ReadModelError::RebuildSuperseded)), "{result:?}");
    }
    assert_eq!(contents(&database).await.rows, fold_all(&history));
}

pub(crate) async fn a_rebuild_keeps_what_the_log_forgot(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(50);
    let log = RecordedLog::of(&history).await;
    project(&log, &database).await;
    let before = contents(&database).await;
    log.forget_before(num_facts(&history) / 2);
    rebuild(log.shared(), &database).await.unwrap();
    assert_eq!(contents(&database).await, before);
    log.forget_before(num_facts(&history) + 1);
    rebuild(log.shared(), &database).await.unwrap();
    let emptied = contents(&database).await;
    assert_eq!((emptied.rows, emptied.facts), (before.rows, before.facts));
}

pub(crate) async fn tables_of_another_log_are_refused(url: &str) {
    let database = Database::connect(url).await.unwrap();
    project(&RecordedLog::of(&history(20)).await, &database).await;
    let folded = database.checkpoint().await.unwrap().last_sequence;
    let other = RecordedLog::of(&Life::completed(1).facts()).await;
    let refused = Projector::run(other.shared(), database.clone(), CancellationToken::new()).await;
    assert_eq!(refused, Err(ReadModelError::AnotherLog { checkpoint: folded, log: other.end().await }));
    rebuild(other.shared(), &database).await.unwrap();
    project(&other, &database).await;
    assert_eq!(contents(&database).await.rows.len(), 1);
}

pub(crate) async fn a_broker_that_was_away_is_waited_for(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let history = history(40);
    let log = RecordedLog::of(&history).await;
    log.memory.set_faults(|faults| faults.is_disconnected = true);
    let mut projector = RunningProjector::start(log.shared(), &database);
    projector.until(|progress| progress.role == Role::Waiting).await;
    log.memory.set_faults(|faults| faults.is_disconnected = false);
    projector.until_sequence(num_facts(&history)).await;
    projector.stop().await;
    assert_eq!(contents(&database).await.rows, fold_all(&history));
}

pub(crate) async fn many_processes_may_migrate_at_once(url: &str) {
    let mut starting: Vec<_> = Vec::new();
    for _ in 0..8 {
        let url = url.to_owned();
        starting.push(tokio::spawn(async move { Database::connect(&url).await }));
    }
    for started in starting {
        let database = started.await.unwrap().unwrap();
        assert_eq!(database.checkpoint().await.unwrap().last_sequence, 0);
        database.ping().await.unwrap();
    }
}

pub(crate) async fn listings_filter_and_page_newest_first(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let lives: Vec<_> = (0..25)
        .map(|number| Life {
            tenant: if number % 2 == 0 { "acme" } else { "globex" },
            model: if number % 3 == 0 { "smol" } else { "qwen" },
            outcome: [Some(Outcome::Completed), Some(Outcome::Rejected), None][number as usize % 3],
            ..Life::completed(number)
        })
        .collect();
    let facts: Vec<_> = lives.iter().flat_map(Life::facts).collect();
    project(&RecordedLog::of(&facts).await, &database).await;

    let check = async |filter: InferenceFilter, expected: Vec<u32>| {
        let page = database.inferences(&filter).await.unwrap();
        let found: Vec<_> = page.inferences.iter().map(|row| row.id.clone()).collect();
        let expected: Vec<_> =
            expected.iter().map(|number| lives[*number as usize].id().to_string()).collect();
        assert_eq!(found, expected, "{filter:?}");
        page.next_cursor
    };
    let all = InferenceFilter::default();
    let of_tenant = InferenceFilter { tenant: Some("globex".to_owned()), ..all.clone() };
    assert_eq!(check(all.clone(), (0..25).rev().collect()).await, None);
    check(of_tenant.clone(), (0..25).rev().filter(|n| n % 2 == 1).collect()).await;
    let rejected = InferenceFilter { status: Some(Status::Rejected), ..of_tenant };
    check(rejected, (0..25).rev().filter(|n| n % 2 == 1 && n % 3 == 1).collect()).await;
    let of_model = InferenceFilter { model: Some("smol".to_owned()), ..all.clone() };
    check(of_model, (0..25).rev().filter(|n| n % 3 == 0).collect()).await;
    let since = InferenceFilter { since_unix_nanos: Some(lives[20].requested_at()), ..all.clone() };
    check(since, (20..25).rev().collect()).await;

    let first = InferenceFilter { limit: Some(10), ..all };
    let cursor = check(first.clone(), (15..25).rev().collect()).await;
    let cursor = check(InferenceFilter { cursor, ..first.clone() }, (5..15).rev().collect()).await;
    let cursor = check(InferenceFilter { cursor, ..first }, (0..5).rev().collect()).await;
    assert_eq!(cursor, None);

    assert_eq!(database.inference(lives[3].id()).await.unwrap().unwrap().model.as_deref(), Some("smol"));
    assert_eq!(database.inference(Life::completed(99).id()).await.unwrap(), None);
}

pub(crate) async fn counts_and_usage_add_up(url: &str) {
    let database = Database::connect(url).await.unwrap();
    let life = |number, model, outcome| Life { model, outcome, ..Life::completed(number) };
    let lives = [
        life(1, "smol", Some(Outcome::Completed)),
        life(2, "smol", Some(Outcome::Completed)),
        life(3, "qwen", Some(Outcome::Rejected)),
        life(4, "qwen", Some(Outcome::Completed)),
        life(5, "qwen", None),
        Life { tenant: "globex", ..life(6, "qwen", Some(Outcome::Completed)) },
    ];
    let facts: Vec<_> = lives.iter().flat_map(Life::facts).collect();
    project(&RecordedLog::of(&facts).await, &database).await;

    let acme = "acme".parse().unwrap();
    let counts = async |tenant| {
        let counts = database.counts_by_status(tenant).await.unwrap();
        counts.iter().map(|count| (count.status, count.num_inferences)).collect::<Vec<_>>()
    };
    assert_eq!(counts(None).await, [(Status::Completed, 4), (Status::Rejected, 1), (Status::Started, 1)]);
    assert_eq!(
        counts(Some(&acme)).await,
        [(Status::Completed, 3), (Status::Rejected, 1), (Status::Started, 1)]
    );

    let usage = async |filter: UsageFilter| {
        let usage = database.usage_by_model(&filter).await.unwrap();
        serde_json::to_value(usage).unwrap()
    };
    let row = |model: &str,
               num_inferences: u64,
               num_prompt_tokens: u64,
               num_completion_tokens: u64,
               num_cached: u64,
               cost_nanos: u64,
               currency: Option<&str>| {
        serde_json::json!({
            "model": model,
            "num_inferences": num_inferences,
            "num_prompt_tokens": num_prompt_tokens,
            "num_completion_tokens": num_completion_tokens,
            "num_cached_prompt_tokens": num_cached,
            "num_reasoning_tokens": 0,
            "cost_nanos": cost_nanos,
            "cost_currency": currency,
        })
    };
    let everything = UsageFilter::default();
    let all =
        serde_json::json!([row("qwen", 3, 22, 10, 8, 0, None), row("smol", 2, 22, 3, 8, 3_000, Some("USD"))]);
    assert_eq!(usage(everything.clone()).await, all);
    let of_acme = UsageFilter { tenant: Some("acme".to_owned()), ..everything };
    let early = UsageFilter {
        from_unix_nanos: Some(EPOCH),
        to_unix_nanos: Some(lives[3].requested_at()),
        ..of_acme.clone()
    };
    let of_early =
        serde_json::json!([row("qwen", 1, 0, 0, 0, 0, None), row("smol", 2, 22, 3, 8, 3_000, Some("USD"))]);
    assert_eq!(usage(early).await, of_early);
    let late = UsageFilter { from_unix_nanos: Some(lives[3].requested_at()), ..of_acme };
    assert_eq!(usage(late).await, serde_json::json!([row("qwen", 1, 11, 4, 4, 0, None)]));
}

/// Calls a macro with the name of every test of the suite.
macro_rules! for_each_test {
    ($with:ident) => {
        $with! {
            projected_rows_equal_folded_facts
            a_projector_goes_on_where_another_stopped
            rival_projectors_do_not_double
            a_projector_that_stands_by_takes_over
            what_cannot_be_folded_is_noted_and_skipped
            a_rebuild_ends_with_the_same_rows
            a_rebuild_repairs_tables_that_never_saw_the_log
            a_rebuild_under_load_loses_nothing
            of_two_rebuilds_at_once_the_tables_come_out_right
            a_rebuild_keeps_what_the_log_forgot
            tables_of_another_log_are_refused
            a_broker_that_was_away_is_waited_for
            many_processes_may_migrate_at_once
            listings_filter_and_page_newest_first
            counts_and_usage_add_up
        }
    };
}
pub(crate) use for_each_test;
