//! What must hold after all blows: the answers, the log and the tables agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bus::{EventLog as _, JetStreamLog, JetStreamOptions, ReadFrom, SealedLog, StreamName};
use futures_util::TryStreamExt as _;
use read_model::{Database, InferenceFilter, InferenceRow};
use schemas::v1::envelope::Fact;
use schemas::v1::{Ended, Outcome};

use crate::answer::{Answer, Way};
use crate::site::Site;

/// For the tables to follow the log.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
/// Findings that are told one by one.
const MAX_TOLD: usize = 20;

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    findings: Vec<String>,
    num_answers: usize,
    num_resumed: usize,
    num_in_background: usize,
    num_lines: usize,
    num_files: usize,
    num_inferences: usize,
    num_later_attempts: usize,
    num_rows: usize,
}

/// What the log holds of one inference.
#[derive(Debug, Default)]
struct Life {
    num_requested: usize,
    ends: Vec<Ended>,
}

impl Verdict {
    /// Compares each client's text with that of the undisturbed run.
    pub(crate) fn of_answers(answers: &[Answer], expected: &[Answer]) -> Self {
        let mut verdict = Self { num_answers: answers.len(), ..Self::default() };
        verdict.num_resumed = answers.iter().filter(|answer| answer.num_resumptions > 0).count();
        let num_by = |way: Way| answers.iter().filter(|answer| answer.way == way).count();
        verdict.num_in_background = num_by(Way::Background);
        verdict.num_lines = num_by(Way::Line);
        if answers.is_empty() {
            verdict.find("no client got an answer".to_owned());
        }
        for answer in answers {
            let right = &expected[answer.question];
            if let Some(failure) = &answer.failure {
                verdict.find(format!("{}: {failure}", answer.id));
            } else if answer.text != right.text {
                verdict.find(format!(
                    "{}: the text differs from the undisturbed one after {} of {} bytes ({} resumptions)",
                    answer.id,
                    common_bytes(&answer.text, &right.text),
                    right.text.len(),
                    answer.num_resumptions
                ));
            } else if (answer.num_tokens, &answer.finish_reason) != (right.num_tokens, &right.finish_reason) {
                verdict.find(format!(
                    "{}: {} tokens and finish reason {:?} instead of {} and {:?}",
                    answer.id, answer.num_tokens, answer.finish_reason, right.num_tokens, right.finish_reason
                ));
            }
        }
        verdict
    }

    /// Reads the log and the tables: one end for each inference, equal to what its client got and to its row.
    pub(crate) async fn check_record(
        &mut self,
        site: &mut Site,
        answers: &[Answer],
        expected: &[Answer],
    ) -> Result<()> {
        let mut options = JetStreamOptions::new(site.broker_url(), "chaos");
        options.keeps_existing_streams = true;
        let log = SealedLog::open(Arc::new(JetStreamLog::connect(options).await?), None).await?;
        let lives = self.read_lives(&log).await?;
        self.check_files(&log).await?;
        log.close().await?;
        self.num_inferences = lives.len();
        for (id, life) in &lives {
            if life.num_requested != 1 || life.ends.len() != 1 {
                self.find(format!("{id}: {} requested and {} ended", life.num_requested, life.ends.len()));
            }
        }
        for answer in answers.iter().chain(expected).filter(|answer| answer.failure.is_none()) {
            let end = lives.get(&answer.id).and_then(|life| life.ends.first());
            let Some(end) = end else {
                self.find(format!("{}: its client has an answer of which the log knows nothing", answer.id));
                continue;
            };
            let choice = end.choices.first().cloned().unwrap_or_default();
            let usage = end.usage.unwrap_or_default();
            if end.outcome() != Outcome::Completed || choice.text != answer.text {
                self.find(format!(
                    "{}: the log's end ({:?}) is not what its client got",
                    answer.id,
                    end.outcome()
                ));
            }
            if u64::from(usage.num_completion_tokens) != answer.num_tokens
                || choice.token_ids.len() as u64 != answer.num_tokens
            {
                self.find(format!(
                    "{}: {} tokens in the log, {} in its usage, {} told to the client",
                    answer.id,
                    choice.token_ids.len(),
                    usage.num_completion_tokens,
                    answer.num_tokens
                ));
            }
        }
        let ids: BTreeSet<&String> = answers.iter().chain(expected).map(|answer| &answer.id).collect();
        for id in lives.keys().filter(|id| !ids.contains(id)) {
            self.find(format!("{id}: nobody asked for it"));
        }
        self.check_rows(site.database_url(), &lives).await
    }

    async fn read_lives(&mut self, log: &SealedLog) -> Result<BTreeMap<String, Life>> {
        let mut lives: BTreeMap<String, Life> = BTreeMap::new();
        let mut records = log.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false).await?;
        while let Some(record) = records.try_next().await? {
            let envelope = schemas::decode_envelope(&record.payload)?;
            let life = lives.entry(envelope.inference_id).or_default();
            match envelope.fact {
                Some(Fact::Requested(_)) => life.num_requested += 1,
                Some(Fact::Assigned(assigned)) if assigned.attempt > 1 => self.num_later_attempts += 1,
                Some(Fact::Ended(ended)) => life.ends.push(ended),
                _ => {}
            }
        }
        Ok(lives)
    }

    /// Every chunk belongs to a file of which the log knows, and every batch is over.
    async fn check_files(&mut self, log: &SealedLog) -> Result<()> {
        let mut files = BTreeSet::new();
        let mut batches: BTreeMap<String, bool> = BTreeMap::new();
        let mut facts = log.read(StreamName::Jobs, Vec::new(), ReadFrom::Start, false).await?;
        while let Some(record) = facts.try_next().await? {
            match record.subject.split('.').collect::<Vec<_>>()[..] {
                [_, "file", _, id, ..] => drop(files.insert(id.to_owned())),
                [_, "batch", _, id, word, ..] => {
                    *batches.entry(id.to_owned()).or_default() |= word == "ended";
                }
                _ => {}
            }
        }
        for (batch, _) in batches.iter().filter(|(_, has_ended)| !**has_ended) {
            self.find(format!("batch {batch} is not over"));
        }
        let mut chunks = log.read(StreamName::Files, Vec::new(), ReadFrom::Start, false).await?;
        while let Some(record) = chunks.try_next().await? {
            let file = record.subject.split('.').nth(2).unwrap_or_default();
            if !files.contains(file) {
                self.find(format!("{}: a chunk of a file that nobody knows", record.subject));
            }
        }
        self.num_files = files.len();
        Ok(())
    }

    /// Each end has its row, and each row its end, with the same usage.
    async fn check_rows(&mut self, database_url: &str, lives: &BTreeMap<String, Life>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let rows = loop {
            // The last blow may have been the database's.
            let rows = all_rows(database_url).await;
            let num_ended =
                |rows: &[InferenceRow]| rows.iter().filter(|row| row.ended_at_unix_nanos.is_some()).count();
            if rows.as_ref().is_ok_and(|rows| num_ended(rows) >= lives.len()) || Instant::now() > deadline {
                break rows?;
            }
            tokio::time::sleep(POLL).await;
        };
        self.num_rows = rows.len();
        if rows.len() != lives.len() {
            self.find(format!("{} rows for {} inferences", rows.len(), lives.len()));
        }
        for row in rows {
            let end = lives.get(&row.id).and_then(|life| life.ends.first());
            let usage = end.and_then(|end| end.usage).unwrap_or_default();
            let in_log = (Some(usage.num_prompt_tokens.into()), Some(usage.num_completion_tokens.into()));
            if (row.num_prompt_tokens, row.num_completion_tokens) != in_log {
                self.find(format!(
                    "{}: the row has usage {:?}, the log {in_log:?}",
                    row.id,
                    (row.num_prompt_tokens, row.num_completion_tokens)
                ));
            }
        }
        Ok(())
    }

    /// No process ends unless it is struck or asked to.
    pub(crate) fn check_processes(&mut self, ended_alone: &[String]) {
        for name in ended_alone {
            self.find(format!("{name} ended by itself"));
        }
    }

    /// Nobody leaves a consumer behind.
    pub(crate) fn check_consumers(&mut self, before: usize, after: usize) {
        if after > before {
            self.find(format!("{after} consumers at the broker, {before} before"));
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: String) {
        self.findings.push(finding);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} answers, of which {} came over more than one connection, {} in the background and {} as lines of batches; \
             {} inferences in the log, {} later attempts, {} rows, {} files",
            self.num_answers,
            self.num_resumed,
            self.num_in_background,
            self.num_lines,
            self.num_inferences,
            self.num_later_attempts,
            self.num_rows,
            self.num_files
        )?;
        for finding in self.findings.iter().take(MAX_TOLD) {
            writeln!(f, "- {finding}")?;
        }
        match self.findings.len() {
            0 => write!(f, "nothing lost, doubled or changed"),
            count => write!(f, "{count} findings"),
        }
    }
}

async fn all_rows(database_url: &str) -> Result<Vec<InferenceRow>> {
    let database = Database::connect(database_url).await?;
    let mut filter = InferenceFilter { limit: Some(1_000), ..InferenceFilter::default() };
    let mut rows = Vec::new();
    loop {
        let page = database.inferences(&filter).await?;
        rows.extend(page.inferences);
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            database.close().await?;
            return Ok(rows);
        }
    }
}

fn common_bytes(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, num_tokens: u64) -> Answer {
        Answer { id: "a".to_owned(), text: text.to_owned(), num_tokens, ..Answer::default() }
    }

    fn check(given: Answer, findings: usize) {
        let verdict = Verdict::of_answers(&[given], &[answer("the sea", 2)]);
        assert_eq!(verdict.findings.len(), findings, "{verdict}");
    }

    #[test]
    fn every_kind_of_wrong_answer_is_found() {
        check(answer("the sea", 2), 0);
        check(answer("the the sea", 2), 1);
        check(answer("the", 2), 1);
        check(answer("the sea", 3), 1);
        check(Answer { finish_reason: "stop".to_owned(), ..answer("the sea", 2) }, 1);
        check(Answer { failure: Some("gone".to_owned()), ..answer("the sea", 2) }, 1);
        assert!(!Verdict::of_answers(&[], &[]).is_clean());
    }

    #[test]
    fn a_process_that_ends_by_itself_is_found() {
        let mut verdict = Verdict::default();
        verdict.check_processes(&[]);
        assert!(verdict.is_clean());
        verdict.check_processes(&["projector-1".to_owned()]);
        assert!(!verdict.is_clean());
    }

    #[test]
    fn a_consumer_that_stays_is_found() {
        let mut verdict = Verdict::default();
        verdict.check_consumers(7, 7);
        assert!(verdict.is_clean());
        verdict.check_consumers(7, 8);
        assert!(!verdict.is_clean());
    }
}
