//! Staying listed: a worker that was taken for lost and lives announces itself anew.

use bus::{BusError, FactWriter, ReadFrom, Record, StreamName, subjects};
use futures_util::StreamExt as _;
use schemas::v1::control_envelope::Fact;
use schemas::{DeploymentId, WorkerId};
use tracing::{info, warn};

use super::PAUSE_AFTER_FAILURE;

/// Calls `announce` whenever the worker's deployment was withdrawn, until it is dropped.
pub(crate) async fn keep_listed<F: Future<Output = Result<u64, BusError>>>(
    facts: &FactWriter,
    worker: &WorkerId,
    announce: impl Fn() -> F,
) {
    let subject = subjects::control_deployment(&DeploymentId::slug(worker.as_str()));
    loop {
        let patterns = vec![subject.clone()];
        match facts.log().read(StreamName::Control, patterns, ReadFrom::LastPerSubject, true).await {
            Ok(mut records) => {
                while let Some(Ok(record)) = records.next().await {
                    if !is_withdrawal(&record) {
                        continue;
                    }
                    info!(%worker, "the deployment was withdrawn while its worker lives, announcing it anew");
                    if let Err(error) = announce().await {
                        warn!(%error, "the deployment could not be announced anew, trying again");
                        break;
                    }
                }
            }
            Err(error) => warn!(%error, "cannot follow the own deployment, trying again"),
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

fn is_withdrawal(record: &Record) -> bool {
    let fact = schemas::decode_control(&record.payload).ok().and_then(|envelope| envelope.fact);
    matches!(fact, Some(Fact::DeploymentWithdrawn(_)))
}
