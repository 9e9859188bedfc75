//! What the rows came to: medians over the rounds, the best peer, the ratio, and whether it is enough.

use serde::Serialize;

use crate::row::{Requirement, Row};
use crate::row_sample::median;
use crate::table::Table;

/// One target's figures for a row.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The target and its format.
    pub name: String,
    /// Whether it is one of ours.
    pub is_ours: bool,
    /// One figure for each round that went well.
    pub samples: Vec<f64>,
    /// Why other rounds did not.
    pub failures: Vec<String>,
}

/// A row with the figures of all targets.
#[derive(Debug, Clone, Serialize)]
pub struct RowReport {
    /// As on the command line.
    pub id: &'static str,
    /// As in the table.
    pub title: &'static str,
    /// Of all figures.
    pub unit: &'static str,
    /// Whether a larger figure is the better one.
    pub is_more_better: bool,
    /// What must be reached.
    pub requirement: Requirement,
    /// What is hoped for.
    pub aim: Option<f64>,
    /// Ours first.
    pub standings: Vec<Standing>,
    /// Peers that could not take part, and why.
    pub absent: Vec<String>,
}

/// Whether a row is reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The requirement holds.
    Met,
    /// It does not.
    NotMet,
    /// There is no figure of ours, or no peer to compare with.
    Unknown,
}

impl Standing {
    /// Adds the figure of a round, or why there is none.
    pub fn take(&mut self, sample: Result<f64, String>) {
        match sample {
            Ok(sample) => self.samples.push(sample),
            Err(cause) => self.failures.push(cause),
        }
    }

    /// The median over the rounds; `None` when no round went well.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        median(self.samples.clone())
    }

    fn cell(&self) -> String {
        let Some(middle) = self.median() else { return "failed".to_owned() };
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = if self.samples.len() > 1 {
            format!(" [{}–{}]", figure(least), figure(most))
        } else {
            String::new()
        };
        format!("{}{range}", figure(middle))
    }
}

impl RowReport {
    /// A report without figures yet.
    #[must_use]
    pub fn new(row: &Row, absent: Vec<String>) -> Self {
        Self {
            id: row.id,
            title: row.title,
            unit: row.workload.unit(),
            is_more_better: row.workload.is_more_better(),
            requirement: row.requirement,
            aim: row.aim,
            standings: Vec::new(),
            absent,
        }
    }

    fn ours(&self) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.is_ours)
    }

    /// The peer with the best median.
    #[must_use]
    pub fn best_peer(&self) -> Option<&Standing> {
        let peers = self.standings.iter().filter(|standing| !standing.is_ours);
        peers
            .filter_map(|standing| standing.median().map(|middle| (standing, middle)))
            .reduce(|best, next| if self.is_better(next.1, best.1) { next } else { best })
            .map(|(standing, _)| standing)
    }

    /// How many times better ours is than the best peer, whichever way the figure counts.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (ours, peer) = (self.ours()?.median()?, self.best_peer()?.median()?);
        Some(if self.is_more_better { ours / peer } else { peer / ours })
    }

    /// Whether the requirement holds.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let holds = match self.requirement {
            Requirement::TimesBestPeer(times) => self.ratio().map(|ratio| ratio >= times),
            Requirement::AtMost(most) => self.ours().and_then(Standing::median).map(|ours| ours <= most),
        };
        match holds {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::NotMet,
            None => Verdict::Unknown,
        }
    }

    fn reaches_aim(&self) -> bool {
        let ours = self.ours().and_then(Standing::median);
        ours.zip(self.aim).is_some_and(|(ours, aim)| ours == aim || self.is_better(ours, aim))
    }

    fn is_better(&self, one: f64, other: f64) -> bool {
        if self.is_more_better { one > other } else { one < other }
    }
}

/// The table of the requirements.
#[must_use]
pub fn summary(reports: &[RowReport]) -> Table {
    let mut table =
        Table::new(["workload", "unit", "ours", "best peer", "ratio", "at least", "aim", "reached"]);
    for report in reports {
        let best = report.best_peer();
        let required = match report.requirement {
            Requirement::TimesBestPeer(times) => format!("{times} ×"),
            Requirement::AtMost(most) => format!("≤ {}", figure(most)),
        };
        let reached = match report.verdict() {
            Verdict::Met if report.reaches_aim() => "yes, the aim too",
            Verdict::Met => "yes",
            Verdict::NotMet => "no",
            Verdict::Unknown => "unknown",
        };
        table.row([
            report.title.to_owned(),
            report.unit.to_owned(),
            report.ours().map_or_else(|| "–".to_owned(), Standing::cell),
            best.map_or_else(|| "–".to_owned(), |best| format!("{} ({})", best.cell(), best.name)),
            report.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            required,
            report.aim.map_or_else(|| "–".to_owned(), figure),
            reached.to_owned(),
        ]);
    }
    table
}

/// Every target of every row.
#[must_use]
pub fn details(reports: &[RowReport]) -> Table {
    let mut table = Table::new(["workload", "target", "median [range]", "unit", "failed rounds"]);
    for report in reports {
        for standing in &report.standings {
            table.row([
                report.title.to_owned(),
                standing.name.clone(),
                standing.cell(),
                report.unit.to_owned(),
                standing.failures.len().to_string(),
            ]);
        }
    }
    table
}

/// Three digits that count.
fn figure(value: f64) -> String {
    if value.abs() < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ROWS;

    fn standing(name: &str, is_ours: bool, samples: &[f64]) -> Standing {
        Standing { name: name.to_owned(), is_ours, samples: samples.to_vec(), failures: Vec::new() }
    }

    fn report(id: &str, standings: Vec<Standing>) -> RowReport {
        let row = ROWS.iter().find(|row| row.id == id).unwrap();
        RowReport { standings, ..RowReport::new(row, Vec::new()) }
    }

    #[test]
    fn a_ratio_is_to_the_median_of_the_best_peer() {
        let peers = [standing("slow", false, &[50.0]), standing("fast", false, &[90.0, 100.0, 400.0])];
        let ours = standing("ours", true, &[160.0, 150.0, 10.0]);
        let report = report("decode", [vec![ours], peers.to_vec()].concat());
        assert_eq!(report.best_peer().unwrap().name, "fast");
        assert_eq!(report.ratio(), Some(1.5));
        assert_eq!(report.verdict(), Verdict::Met);
    }

    #[test]
    fn fewer_milliseconds_are_better() {
        let peers = [standing("slow", false, &[300.0]), standing("fast", false, &[120.0])];
        let report =
            report("cached-prefix", [vec![standing("ours", true, &[80.0])], peers.to_vec()].concat());
        assert_eq!(report.ratio(), Some(1.5));
        assert_eq!(report.verdict(), Verdict::NotMet);
    }

    #[test]
    fn nothing_is_reached_without_a_figure_or_a_peer() {
        let ours = standing("ours", true, &[200.0]);
        assert_eq!(report("decode", vec![ours.clone()]).verdict(), Verdict::Unknown);
        let failed = standing("peer", false, &[]);
        assert_eq!(report("decode", vec![ours, failed.clone()]).verdict(), Verdict::Unknown);
        assert_eq!(report("memory", vec![failed]).verdict(), Verdict::Unknown);
    }

    #[test]
    fn the_summary_names_the_peer_and_what_is_asked_for() {
        let standings = vec![standing("ours", true, &[300.0]), standing("llama.cpp Q4_0", false, &[100.0])];
        let text = summary(&[report("decode", standings)]).to_string();
        for part in ["300", "100 (llama.cpp Q4_0)", "3.00", "1.5 ×", "yes, the aim too"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
