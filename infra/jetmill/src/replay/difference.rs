//! What one inference was, and what it would be in the changed setup.

use std::time::Duration;

use guardrails::Decision;
use schemas::v1::{CheckVerdict, Cost, Ended, Price, Usage};
use serde::Serialize;

use super::comparison::Comparison;
use super::engine::Replayed;
use super::recorded::Recorded;
use super::routes::RouteChange;

/// One inference; what the setup does not change is absent.
#[derive(Debug, Default, Serialize)]
pub(super) struct Difference {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<VerdictChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) routes: Vec<RouteChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<AnswerChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<CostChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_answered: Option<String>,
}

/// What the checks said then and would say now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct VerdictChange {
    recorded: String,
    changed: String,
    recorded_policy_version: u64,
    changed_policy_version: u64,
}

/// What was answered then and would be answered now.
#[derive(Debug, Serialize)]
pub(super) struct AnswerChange {
    #[serde(flatten)]
    pub(super) comparison: Comparison,
    recorded_engine: String,
    changed_engine: String,
    recorded_texts: Vec<String>,
    changed_texts: Vec<String>,
    recorded_completion_tokens: u32,
    changed_completion_tokens: u32,
    /// In the engine: queue, prompt and answer.
    pub(super) recorded_millis: f64,
    pub(super) changed_millis: f64,
}

/// What it cost and would cost; none where there was or would be no price or no answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CostChange {
    #[serde(serialize_with = "amount")]
    pub(super) recorded: Option<Cost>,
    #[serde(serialize_with = "amount")]
    pub(super) changed: Option<Cost>,
}

impl VerdictChange {
    pub(super) fn new(recorded: &Recorded, decision: &Decision, changed_policy_version: u64) -> Self {
        let (verdicts, recorded_policy_version) = recorded.verdicts();
        Self {
            recorded: verdict_words(verdicts),
            changed: verdict_words(&decision.verdicts),
            recorded_policy_version,
            changed_policy_version,
        }
    }

    pub(super) fn is_difference(&self) -> bool {
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
    pub(super) fn new(before: &Ended, replayed: &Replayed) -> Self {
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

impl CostChange {
    /// `usage` is what would be used at `price`. What a cache holds depends on the traffic around a request and not on the
    /// setup, so that as many tokens count as cached as did then.
    pub(super) fn new(before: &Ended, price: Option<&Price>, usage: Option<Usage>) -> Option<Self> {
        let was_cached = before.usage.map_or(0, |usage| usage.num_cached_prompt_tokens);
        let usage = usage.map(|usage| Usage {
            num_cached_prompt_tokens: was_cached.min(usage.num_prompt_tokens),
            ..usage
        });
        let changed = price.zip(usage).map(|(price, usage)| price.cost(&usage));
        let change = Self { recorded: before.cost.clone(), changed };
        (change.recorded.is_some() || change.changed.is_some()).then_some(change)
    }

    fn words(&self) -> String {
        let words = |cost: &Option<Cost>| {
            cost.as_ref()
                .map_or_else(|| "none".to_owned(), |cost| format!("{} {}", cost.amount(), cost.currency))
        };
        if self.recorded == self.changed {
            words(&self.recorded)
        } else {
            format!("{} → {}", words(&self.recorded), words(&self.changed))
        }
    }
}

fn amount<S: serde::Serializer>(cost: &Option<Cost>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        amount: String,
        currency: &'a str,
    }
    let shown = |cost: &Cost| (cost.amount().to_string(), cost.currency.clone());
    let shown = cost.as_ref().map(shown);
    let shown = shown.as_ref().map(|(amount, currency)| Shown { amount: amount.clone(), currency });
    shown.serialize(serializer)
}

impl Difference {
    /// The heads of [`Difference::row`]'s columns.
    pub(super) fn heads() -> String {
        let heads = ["id", "checks", "route", "ms", "cost", "answer"];
        Self::columns(heads.map(str::to_owned))
    }

    pub(super) fn row(&self) -> String {
        let none = || "-".to_owned();
        let checks = match &self.verdict {
            Some(verdict) if verdict.is_difference() => format!("{} → {}", verdict.recorded, verdict.changed),
            Some(verdict) => verdict.changed.clone(),
            None => none(),
        };
        let routes: Vec<String> = self.routes.iter().map(RouteChange::words).collect();
        let routes = if routes.is_empty() { none() } else { routes.join(", ") };
        let cost = self.cost.as_ref().map_or_else(none, CostChange::words);
        let (millis, answer) = match (&self.answer, &self.not_answered) {
            (Some(answer), _) => (
                format!("{:.0} → {:.0}", answer.recorded_millis, answer.changed_millis),
                answer.comparison.to_string(),
            ),
            (None, Some(reason)) => (none(), reason.clone()),
            (None, None) => (none(), none()),
        };
        Self::columns([self.id.clone(), checks, routes, millis, cost, answer])
    }

    fn columns([id, checks, routes, millis, cost, answer]: [String; 6]) -> String {
        format!("{id:<32}  {checks:<36}  {routes:<24}  {millis:<14}  {cost:<34}  {answer}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_compared_with_the_tokens_that_were_cached_then() {
        let usage = |num_prompt_tokens, num_cached_prompt_tokens| Usage {
            num_prompt_tokens,
            num_cached_prompt_tokens,
            ..Usage::default()
        };
        let price = |input_nanos_per_million| Price {
            currency: "USD".to_owned(),
            input_nanos_per_million,
            ..Price::default()
        };
        let before = Ended {
            cost: Some(price(1_000_000).cost(&usage(10, 4))),
            usage: Some(usage(10, 4)),
            ..Ended::default()
        };
        let changed = |price: &Price, usage| CostChange::new(&before, Some(price), Some(usage)).unwrap();
        assert_eq!(changed(&price(1_000_000), usage(10, 9)).words(), "0.000000006 USD");
        assert_eq!(changed(&price(2_000_000), usage(3, 0)).words(), "0.000000006 USD → 0 USD");
        let refused = CostChange::new(&before, Some(&price(1)), None).unwrap();
        assert_eq!(refused.words(), "0.000000006 USD → none");
        assert_eq!(CostChange::new(&Ended::default(), None, Some(usage(1, 0))), None);
        let json = serde_json::to_value(&refused).unwrap();
        assert_eq!(json["recorded"]["amount"], "0.000000006");
        assert!(json["changed"].is_null());
    }
}
