//! What all differences come to, in memory that does not grow with their number.

use std::collections::BTreeMap;
use std::fmt;

use schemas::Amount;
use schemas::v1::Cost;
use serde_json::{Value, json};

use super::difference::{Difference, VerdictChange};
use super::routes::RouteChange;

/// Durations fall into classes, each so much longer than the one before.
const CLASS_RATIO: f64 = 1.01;

#[derive(Debug, Default)]
pub(super) struct Tally {
    num: u64,
    num_other_verdicts: u64,
    num_other_routes: u64,
    num_answered: u64,
    num_other_answers: u64,
    num_not_answered: u64,
    recorded_millis: Millis,
    changed_millis: Millis,
    /// Recorded and changed, by currency, in billionths.
    costs: BTreeMap<String, (u128, u128)>,
}

/// How many took how long, to one percent.
#[derive(Debug, Default)]
struct Millis {
    counts: BTreeMap<i32, u64>,
}

impl Millis {
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a duration is small")]
    fn add(&mut self, millis: f64) {
        let class = (millis.max(1e-3).ln() / CLASS_RATIO.ln()).round() as i32;
        *self.counts.entry(class).or_default() += 1;
    }

    fn median(&self) -> f64 {
        let half = self.counts.values().sum::<u64>() / 2;
        let mut num_below = 0;
        let class = self.counts.iter().find(|(_, count)| {
            num_below += **count;
            num_below > half
        });
        class.map_or(0.0, |(class, _)| CLASS_RATIO.powi(*class))
    }
}

impl Tally {
    pub(super) fn add(&mut self, difference: &Difference) {
        self.num += 1;
        let is_other = difference.verdict.as_ref().is_some_and(VerdictChange::is_difference);
        self.num_other_verdicts += u64::from(is_other);
        self.num_other_routes += u64::from(difference.routes.iter().any(RouteChange::is_difference));
        self.num_not_answered += u64::from(difference.not_answered.is_some());
        if let Some(answer) = &difference.answer {
            self.num_answered += 1;
            self.num_other_answers += u64::from(answer.comparison.is_difference());
            self.recorded_millis.add(answer.recorded_millis);
            self.changed_millis.add(answer.changed_millis);
        }
        if let Some(cost) = &difference.cost {
            let mut add = |cost: &Cost, is_changed: bool| {
                let (recorded, changed) = self.costs.entry(cost.currency.clone()).or_default();
                *if is_changed { changed } else { recorded } += u128::from(cost.nanos);
            };
            cost.recorded.iter().for_each(|cost| add(cost, false));
            cost.changed.iter().for_each(|cost| add(cost, true));
        }
    }

    pub(super) fn to_json(&self) -> String {
        let cost = |(currency, (recorded, changed)): (&String, &(u128, u128))| {
            (currency.clone(), json!({ "recorded": shown(*recorded), "changed": shown(*changed) }))
        };
        let costs: serde_json::Map<String, Value> = self.costs.iter().map(cost).collect();
        let summary = json!({
            "num_inferences": self.num,
            "num_other_verdicts": self.num_other_verdicts,
            "num_other_routes": self.num_other_routes,
            "num_answered": self.num_answered,
            "num_other_answers": self.num_other_answers,
            "num_not_answered": self.num_not_answered,
            "recorded_median_millis": self.recorded_millis.median(),
            "changed_median_millis": self.changed_millis.median(),
            "costs": costs,
        });
        json!({ "summary": summary }).to_string()
    }
}

fn shown(nanos: u128) -> String {
    Amount { nanos: u64::try_from(nanos).unwrap_or(u64::MAX) }.to_string()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { num, num_other_verdicts, num_other_routes, .. } = self;
        write!(
            f,
            "{num} inferences: the checks differ for {num_other_verdicts}, the routes for {num_other_routes}"
        )?;
        if self.num_answered > 0 {
            write!(
                f,
                "; {} were answered again, {} of them differently; median {:.0} → {:.0} ms",
                self.num_answered,
                self.num_other_answers,
                self.recorded_millis.median(),
                self.changed_millis.median(),
            )?;
        }
        for (currency, (recorded, changed)) in &self.costs {
            write!(f, "; cost {} → {} {currency}", shown(*recorded), shown(*changed))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_right_to_one_percent() {
        let mut millis = Millis::default();
        assert_eq!(millis.median(), 0.0);
        (1..=999).for_each(|number| millis.add(f64::from(number)));
        assert!((millis.median() / 500.0 - 1.0).abs() < 0.01, "{}", millis.median());
        assert!(millis.counts.len() < 700, "{}", millis.counts.len());
        millis.add(0.0);
    }
}
