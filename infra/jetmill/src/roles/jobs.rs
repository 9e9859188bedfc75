//! The jobs: batches from the log, with the api's knowledge of what their lines mean.

use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use api::{BatchLines, BatchOutcome, UnreadLine};
use bus::JobLog;
use schedulers::jobs::{self, JobsOptions, LineCodec, Row, Unread};
use schemas::batch::EndedInference;
use schemas::v1::Requested;
use tokio_util::sync::CancellationToken;

use super::api_settings;
use crate::config::Config;
use crate::instance::{self, Journal};

/// The api's shapes for the jobs.
struct ApiLines(BatchLines);

impl LineCodec for ApiLines {
    fn custom_id(&self, line: &[u8]) -> Option<String> {
        api::custom_id_of(line)
    }

    fn read(&self, number: u64, line: &[u8], endpoint: &str) -> Result<Vec<Requested>, Unread> {
        self.0.read(number, line, endpoint).map_err(|unread| match unread {
            UnreadLine::Refused(outcome) => Unread::Refused(row(outcome)),
            UnreadLine::UnknownModel { model, outcome } => Unread::UnknownModel { model, row: row(outcome) },
        })
    }

    fn answer(&self, number: u64, line: &[u8], inferences: Vec<EndedInference>) -> Row {
        row(self.0.answer(number, line, inferences))
    }

    fn refuse(&self, number: u64, line: Option<&[u8]>, code: &'static str, message: &str) -> Row {
        row(self.0.refuse(number, line, code, message))
    }
}

fn row(outcome: BatchOutcome) -> Row {
    Row { text: outcome.line, is_answered: outcome.is_answered }
}

pub(super) fn jobs_role(
    config: &Config,
    journal: &Journal,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let name = instance::name();
    let facts = journal.fact_writer("jobs", &name);
    let job_log = JobLog::new(Arc::clone(&journal.log), instance::stamps(), "jobs", &name);
    let settings = api_settings(config, journal);
    let lines = BatchLines::new(settings.limits, settings.prices);
    let options = JobsOptions {
        max_num_batches: config.jobs.max_num_batches.get(),
        max_num_inflight: config.jobs.max_num_inflight_requests.get(),
        max_num_lines: config.jobs.max_num_lines.get(),
        max_line_bytes: config.api.max_body_bytes.get(),
        ..JobsOptions::default()
    };
    let log = Arc::clone(&journal.log);
    async move {
        let stop_following = CancellationToken::new();
        let _stop_on_drop = stop_following.clone().drop_guard();
        let following = lines.clone();
        let follower = tokio::spawn(async move { following.follow(log, stop_following).await });
        let served = jobs::serve((job_log, facts), Arc::new(ApiLines(lines)), options, shutdown).await;
        follower.abort();
        Ok(served?)
    }
}
