//! What the record commands print about a site.

use serde_json::Value;

use crate::site::Site;
use crate::wait::until;

const STATUSES_AT_THE_END: [&str; 4] = ["completed", "rejected", "failed", "cancelled"];

fn parse_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const KINDS: [&str; 8] = [
    "requested",
    "admitted",
    "assigned",
    "started",
    "attempt_failed",
    "cancel_requested",
    "webhook_requested",
    "ended",
];

/// The word for a fact.
pub(crate) fn kind_of(fact: &Value) -> &'static str {
    KINDS.into_iter().find(|kind| fact.get(kind).is_some()).unwrap()
}

/// The terminal fact; fails unless there is exactly one and it is the last.
pub(crate) fn end_of(facts: &[Value]) -> &Value {
    let kinds: Vec<_> = facts.iter().map(kind_of).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "ended").count(), 1, "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"ended"), "{kinds:?}");
    &facts.last().unwrap()["ended"]
}

impl Site {
    /// Whole facts of one inference, in the order of the log. Needs a running broker.
    pub(crate) async fn facts(&self, arguments: &[&str], id: &str) -> Vec<Value> {
        parse_lines(&self.print("events", &[&[id, "--json"], arguments].concat()).await)
    }

    /// All rows, newest first.
    pub(crate) async fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        parse_lines(&self.print("inferences", &[&["--json", "--limit", "1000"], arguments].concat()).await)
    }

    /// The rows once there are at least so many and all have ended.
    pub(crate) async fn rows_at_the_end(&self, arguments: &[&str], num_rows: usize) -> Vec<Value> {
        until("every inference has ended", async || {
            let rows = self.rows(arguments).await;
            let all_ended =
                rows.iter().all(|row| STATUSES_AT_THE_END.contains(&row["status"].as_str().unwrap()));
            (rows.len() >= num_rows && all_ended).then_some(rows)
        })
        .await
    }
}
