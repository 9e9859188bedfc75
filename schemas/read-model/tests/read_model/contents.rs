//! What the tables hold, read through the queries alone.

use std::collections::BTreeMap;

use read_model::{Database, FactRow, InferenceFilter, InferenceRow, UnreadableFactRow};

/// Everything that the tables hold.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) rows: BTreeMap<String, InferenceRow>,
    pub(crate) facts: Vec<FactRow>,
    pub(crate) unreadable: Vec<UnreadableFactRow>,
    pub(crate) last_sequence: u64,
}

/// Everything, page by page.
pub(crate) async fn contents(database: &Database) -> Contents {
    let mut rows = BTreeMap::new();
    let mut filter = InferenceFilter { limit: Some(7), ..InferenceFilter::default() };
    loop {
        let page = database.inferences(&filter).await.unwrap();
        rows.extend(page.inferences.into_iter().map(|row| (row.id.clone(), row)));
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            break;
        }
    }
    let mut facts = Vec::new();
    for id in rows.keys() {
        facts.extend(database.facts_of(id.parse().unwrap()).await.unwrap());
    }
    facts.sort_by_key(|fact| fact.stream_sequence);
    let last_sequence = database.checkpoint().await.unwrap().last_sequence;
    let unreadable = database.unreadable_facts(1_000).await.unwrap();
    Contents { rows, facts, unreadable, last_sequence }
}
