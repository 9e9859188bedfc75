//! Projectors that tests start, wait for and stop.

use std::sync::Arc;
use std::time::Duration;

use bus::EventLog;
use read_model::{Database, Progress, Projector, ProjectorSettings, ReadModelError, Role};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::recorded_log::RecordedLog;

/// A projector that runs until it is stopped.
pub(crate) struct RunningProjector {
    progress: watch::Receiver<Progress>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ReadModelError>>,
}

impl RunningProjector {
    pub(crate) fn start(log: Arc<dyn EventLog>, database: &Database) -> Self {
        let settings = ProjectorSettings {
            max_num_facts: 17,
            max_wait: Duration::from_millis(1),
            takeover_after: Duration::from_millis(50),
            min_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(20),
            ..ProjectorSettings::default()
        };
        let projector = Projector::new(log, database.clone(), settings);
        let shutdown = CancellationToken::new();
        let progress = projector.progress();
        let task = tokio::spawn(projector.drive(shutdown.clone()));
        Self { progress, shutdown, task }
    }

    pub(crate) async fn until(&mut self, is_reached: impl FnMut(&Progress) -> bool) {
        let reached = tokio::time::timeout(Duration::from_secs(60), self.progress.wait_for(is_reached)).await;
        reached.expect("the projector comes so far").expect("the projector runs");
    }

    pub(crate) async fn until_sequence(&mut self, sequence: u64) {
        self.until(|progress| progress.last_sequence >= sequence).await;
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn role(&self) -> Role {
        self.progress.borrow().role
    }
}

/// Runs a projector until it has folded what the log holds.
pub(crate) async fn project(log: &RecordedLog, database: &Database) {
    let mut projector = RunningProjector::start(log.shared(), database);
    projector.until_sequence(log.end().await).await;
    projector.stop().await;
}
