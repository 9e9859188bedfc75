//! Requests to JetStream's management interface, repeated while the broker is away.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::failure::{self, ApiError};
use super::link::Link;
use crate::BusError;

const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Api {
    pub(super) link: Arc<Link>,
    pub(super) context: jetstream::Context,
    pub(super) patience: Duration,
}

impl Api {
    /// Calls `$JS.API.<operation>`; the inner error is JetStream's answer, never a passing one.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Result<T, ApiError>, BusError> {
        let body = serde_json::to_vec(body).map_err(|error| BusError::Refused(error.to_string()))?;
        let subject = format!("$JS.API.{operation}");
        self.patiently(|| async {
            let answer = self
                .link
                .client
                .request(subject.clone(), body.clone().into())
                .await
                .map_err(failure::lost)?;
            let value: serde_json::Value = serde_json::from_slice(&answer.payload).map_err(failure::lost)?;
            if let Some(error) = value.get("error") {
                let error = ApiError::deserialize_from(error)?;
                return if error.is_passing() { Err(error.about(operation)) } else { Ok(Err(error)) };
            }
            serde_json::from_value(value)
                .map(Ok)
                .map_err(|error| BusError::Refused(format!("{operation}: {error}")))
        })
        .await
    }

    /// Repeats `attempt` while it finds the broker unreachable and the patience lasts.
    pub(super) async fn patiently<T, F>(&self, attempt: impl Fn() -> F + Send) -> Result<T, BusError>
    where
        F: Future<Output = Result<T, BusError>> + Send,
    {
        let deadline = Instant::now() + self.patience;
        loop {
            let mut watch = self.link.watch();
            let outcome = tokio::select! {
                outcome = attempt() => outcome,
                // The answer to what was asked on the old connection will not come.
                () = watch.renewed() => Err(BusError::Unreachable("the connection broke".to_owned())),
                () = tokio::time::sleep_until(deadline) => Err(BusError::Unreachable("no answer".to_owned())),
            };
            match outcome {
                Err(BusError::Unreachable(_)) if Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await
                }
                outcome => return outcome,
            }
        }
    }
}

impl ApiError {
    fn deserialize_from(value: &serde_json::Value) -> Result<Self, BusError> {
        serde_json::from_value(value.clone()).map_err(failure::lost)
    }
}
