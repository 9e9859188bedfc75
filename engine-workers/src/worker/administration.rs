//! What the api asks of one worker by name: adapters, sleep and wake. The answer to a command holds the sequence of the
//! announcement that follows from it, so that the asker can wait until it has heard it.

use std::sync::Arc;

use bus::{BusError, QueryMessage, subjects};
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use schemas::failure;
use schemas::v1::{Failure, FailureKind};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::warn;

use super::questions::{error_body, read};
use super::{PAUSE_AFTER_FAILURE, Worker};
use crate::lora::registry::{AdapterRegistry, RegistryError};

const MAX_NUM_IN_FLIGHT: usize = 16;

#[derive(Debug, Clone, Copy)]
enum Request {
    LoadLora,
    UnloadLora,
    Sleep,
    Wake,
    IsSleeping,
}

impl Request {
    const ALL: [Self; 5] = [Self::LoadLora, Self::UnloadLora, Self::Sleep, Self::Wake, Self::IsSleeping];

    const fn name(self) -> &'static str {
        match self {
            Self::LoadLora => "load_lora",
            Self::UnloadLora => "unload_lora",
            Self::Sleep => "sleep",
            Self::Wake => "wake",
            Self::IsSleeping => "is_sleeping",
        }
    }
}

#[derive(Debug, Deserialize)]
struct LoadLora {
    lora_name: String,
    lora_path: String,
    #[serde(default)]
    load_inplace: bool,
}

#[derive(Debug, Deserialize)]
struct UnloadLora {
    lora_name: String,
}

impl Worker {
    /// Answers until it is aborted.
    pub(super) async fn hear_administration(self: Arc<Self>) {
        loop {
            if let Err(error) = Arc::clone(&self).serve_administration().await {
                warn!(%error, "cannot hear administration, trying again");
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    async fn serve_administration(self: Arc<Self>) -> Result<(), BusError> {
        let mut all = Vec::new();
        for request in Request::ALL {
            let subject = subjects::worker_query(&self.options.id, request.name());
            let questions = self.facts.log().answer(subject, self.options.id.to_string()).await?;
            all.push(questions.map(move |question| (request, question)).boxed());
        }
        let mut all = select_all(all);
        let slots = Arc::new(Semaphore::new(MAX_NUM_IN_FLIGHT));
        while let Some((request, question)) = all.next().await {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let worker = Arc::clone(&self);
            tokio::spawn(async move {
                worker.administer(request, question).await;
                drop(slot);
            });
        }
        Ok(())
    }

    async fn administer(&self, request: Request, question: QueryMessage) {
        let announced = match request {
            Request::LoadLora => self.load_adapter(&question.payload).await,
            Request::UnloadLora => self.unload_adapter(&question.payload).await,
            Request::Sleep => self.fall_asleep(false).await,
            Request::Wake => self.wake().await,
            Request::IsSleeping => {
                let answer = json!({ "is_sleeping": self.wakefulness.is_asleep() });
                return (question.reply)(answer.to_string().into());
            }
        };
        let answer: Value = match announced {
            Ok(sequence) => json!({ "sequence": sequence }),
            Err(failure) => error_body(&failure),
        };
        (question.reply)(answer.to_string().into());
    }

    async fn load_adapter(&self, question: &[u8]) -> Result<u64, Failure> {
        let LoadLora { lora_name, lora_path, load_inplace } = read(question)?;
        let adapters = self.adapters()?;
        let load = move || adapters.load_allowed(&lora_name, &lora_path, load_inplace);
        let loaded = tokio::task::spawn_blocking(load).await;
        loaded.map_err(|error| internal(error.to_string()))?.map_err(|error| refusal(&error))?;
        self.announce().await.map_err(|error| internal(error.to_string()))
    }

    /// New sequences are refused at once; the answer comes when the last one that uses the adapter has ended.
    async fn unload_adapter(&self, question: &[u8]) -> Result<u64, Failure> {
        let UnloadLora { lora_name } = read(question)?;
        let freed = self.adapters()?.unload(&lora_name).map_err(|error| refusal(&error))?;
        let sequence = self.announce().await.map_err(|error| internal(error.to_string()))?;
        freed.cancelled().await;
        Ok(sequence)
    }

    fn adapters(&self) -> Result<Arc<AdapterRegistry>, Failure> {
        self.adapters.clone().ok_or_else(|| refusal(&RegistryError::NotEnabled))
    }
}

fn internal(message: String) -> Failure {
    failure(FailureKind::Internal, "administration_failed", message)
}

fn refusal(error: &RegistryError) -> Failure {
    let kind = match error {
        RegistryError::NotFound(_) | RegistryError::PathNotAllowed => FailureKind::NotFound,
        error if error.is_retryable() => FailureKind::Overloaded,
        _ => FailureKind::InvalidRequest,
    };
    failure(kind, error.code(), error.to_string()).at(error.param())
}
