//! Logged traffic through a changed setup.

use std::time::{Duration, Instant};

use anyhow::Result;
use bus::EventLog;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use guardrails::{Decision, Policy};
use schemas::InferenceId;
use schemas::v1::{CheckVerdict, Ended, Prompt};
use serde::Serialize;
use serde_json::json;

use super::change::{Change, ChangedSetup};
use super::comparison::Comparison;
use super::engine::{ReplayEngine, Replayed};
use super::recorded::{ERASED, Recorded};
use super::{NUM_AT_ONCE, recorded};
use crate::record::print_line;

/// What the checks said then and would say now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct VerdictChange {
    recorded: String,
    changed: String,
    recorded_policy_version: u64,
    changed_policy_version: u64,
}

/// What was answered then and would be answered now.
#[derive(Debug, Serialize)]
struct AnswerChange {
    #[serde(flatten)]
    comparison: Comparison,
    recorded_engine: String,
    changed_engine: String,
    recorded_texts: Vec<String>,
    changed_texts: Vec<String>,
    recorded_completion_tokens: u32,
    changed_completion_tokens: u32,
    /// In the engine: queue, prompt and answer.
    recorded_millis: f64,
    changed_millis: f64,
}

/// One inference.
#[derive(Debug, Serialize)]
struct Difference {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_answered: Option<&'static str>,
}

/// Replays all of them and prints what is different.
pub(super) async fn run(
    config: &crate::config::Config,
    log: &dyn EventLog,
    (ids, changes): (&[InferenceId], &[Change]),
    json: bool,
) -> Result<()> {
    let ChangedSetup { worker, policy } = ChangedSetup::new(config, changes)?;
    let engine = match &worker {
        Some(worker) => Some(ReplayEngine::start(worker).await?),
        None => None,
    };
    let (engine, policy) = (engine.as_ref(), policy.as_ref());
    let all = stream::iter(ids)
        .map(|id| async move { difference(engine, policy, recorded(log, *id).await?).await });
    let mut all = std::pin::pin!(all.buffered(NUM_AT_ONCE));
    let mut tally = Tally::default();
    if !json {
        print_line(&format!("{:<32}  {:<36}  {:<22}  {}", "id", "checks", "ms", "answer"));
    }
    while let Some(difference) = all.try_next().await? {
        tally.add(&difference);
        print_line(&if json { serde_json::to_string(&difference)? } else { difference.row() });
    }
    print_line(&if json { tally.to_json() } else { tally.to_string() });
    Ok(())
}

async fn difference(
    engine: Option<&ReplayEngine>,
    policy: Option<&Policy>,
    recorded: Recorded,
) -> Result<Difference> {
    if recorded.is_erased {
        let id = recorded.id.to_string();
        return Ok(Difference { id, verdict: None, answer: None, not_answered: Some(ERASED) });
    }
    let decision = policy.map(|policy| (decide(policy, &recorded), policy.version()));
    let verdict =
        decision.as_ref().map(|(decision, version)| VerdictChange::new(&recorded, decision, *version));
    let mut difference =
        Difference { id: recorded.id.to_string(), verdict, answer: None, not_answered: None };
    let Some(engine) = engine else { return Ok(difference) };
    let decision = decision.map(|(decision, _)| decision);
    difference.not_answered = match &decision {
        Some(decision) if decision.refusal.is_some() => Some("the changed checks refuse it"),
        Some(_) if recorded.was_refused() => None,
        _ => recorded.obstacle(),
    };
    if difference.not_answered.is_none() {
        let redacted: Option<Prompt> =
            decision.as_ref().and_then(|decision| decision.redacted_prompt.clone());
        let prompt = match decision {
            Some(_) => redacted.or_else(|| recorded.requested.prompt.clone()),
            None => recorded.prompt().cloned(),
        };
        let replayed = engine.run(&recorded, prompt).await?;
        let before = recorded.ended.unwrap_or_default();
        difference.answer = Some(AnswerChange::new(&before, &replayed));
    }
    Ok(difference)
}

fn decide(policy: &Policy, recorded: &Recorded) -> Decision {
    let began = Instant::now();
    let clock = || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    policy.decide(&recorded.requested.model, &guardrails::checked_prompt(&recorded.requested), clock)
}

impl VerdictChange {
    fn new(recorded: &Recorded, decision: &Decision, changed_policy_version: u64) -> Self {
        let (verdicts, recorded_policy_version) = recorded.verdicts();
        Self {
            recorded: verdict_words(verdicts),
            changed: verdict_words(&decision.verdicts),
            recorded_policy_version,
            changed_policy_version,
        }
    }

    fn is_difference(&self) -> bool {
        self.recorded != self.changed
    }
}

fn verdict_words(verdicts: &[CheckVerdict]) -> String {
    match verdicts.iter().find(|verdict| !verdict.allowed) {
        Some(refusal) => format!("refused by {}", refusal.check),
        None if verdicts.iter().any(|verdict| verdict.reason == "redacted") => "redacted".to_owned(),
        None if verdicts.is_empty() => "not checked".to_owned(),
        None => "allowed".to_owned(),
    }
}

impl AnswerChange {
    fn new(before: &Ended, replayed: &Replayed) -> Self {
        let after = &replayed.ended;
        let texts = |ended: &Ended| ended.choices.iter().map(|choice| choice.text.clone()).collect();
        let num_tokens = |ended: &Ended| ended.usage.map_or(0, |usage| usage.num_completion_tokens);
        Self {
            comparison: Comparison::of(before, replayed),
            recorded_engine: before.engine_fingerprint.clone(),
            changed_engine: after.engine_fingerprint.clone(),
            recorded_texts: texts(before),
            changed_texts: texts(after),
            recorded_completion_tokens: num_tokens(before),
            changed_completion_tokens: num_tokens(after),
            recorded_millis: millis(before),
            changed_millis: if after.timings.is_some() {
                millis(after)
            } else {
                replayed.took.as_secs_f64() * 1e3
            },
        }
    }
}

fn millis(ended: &Ended) -> f64 {
    let timings = ended.timings.unwrap_or_default();
    let nanos = timings.queued_nanos + timings.prefill_nanos + timings.decode_nanos;
    Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

impl Difference {
    fn row(&self) -> String {
        let checks = match &self.verdict {
            Some(verdict) if verdict.is_difference() => format!("{} → {}", verdict.recorded, verdict.changed),
            Some(verdict) => verdict.changed.clone(),
            None => "-".to_owned(),
        };
        let (millis, answer) = match (&self.answer, self.not_answered) {
            (Some(answer), _) => (
                format!("{:.0} → {:.0}", answer.recorded_millis, answer.changed_millis),
                answer.comparison.to_string(),
            ),
            (None, Some(reason)) => ("-".to_owned(), reason.to_owned()),
            (None, None) => ("-".to_owned(), "-".to_owned()),
        };
        format!("{:<32}  {checks:<36}  {millis:<22}  {answer}", self.id)
    }
}

/// What all of them come to.
#[derive(Debug, Default)]
struct Tally {
    num: u64,
    num_other_verdicts: u64,
    num_answered: u64,
    num_other_answers: u64,
    recorded_millis: Vec<f64>,
    changed_millis: Vec<f64>,
}

impl Tally {
    fn add(&mut self, difference: &Difference) {
        self.num += 1;
        let is_other = difference.verdict.as_ref().is_some_and(VerdictChange::is_difference);
        self.num_other_verdicts += u64::from(is_other);
        if let Some(answer) = &difference.answer {
            self.num_answered += 1;
            self.num_other_answers += u64::from(answer.comparison.is_difference());
            self.recorded_millis.push(answer.recorded_millis);
            self.changed_millis.push(answer.changed_millis);
        }
    }

    fn medians(&self) -> (f64, f64) {
        let median = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        (median(&self.recorded_millis), median(&self.changed_millis))
    }

    fn to_json(&self) -> String {
        let (recorded, changed) = self.medians();
        let summary = json!({
            "num_inferences": self.num,
            "num_other_verdicts": self.num_other_verdicts,
            "num_answered": self.num_answered,
            "num_other_answers": self.num_other_answers,
            "recorded_median_millis": recorded,
            "changed_median_millis": changed,
        });
        json!({ "summary": summary }).to_string()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} inferences: the checks differ for {}", self.num, self.num_other_verdicts)?;
        if self.num_answered > 0 {
            let (recorded, changed) = self.medians();
            write!(
                f,
                "; {} were answered again, {} of them differently; median {recorded:.0} → {changed:.0} ms",
                self.num_answered, self.num_other_answers
            )?;
        }
        Ok(())
    }
}
