//! Tokens that workers send to other api nodes, heard while a client here follows one of those nodes' inferences.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bus::{EventLog, subjects};
use futures_util::StreamExt;
use schemas::IngressId;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::{PAUSE_AFTER_FAILURE, TokenDispatcher};
use crate::error::ApiError;

/// For the broker to take a subscription.
const PATIENCE: Duration = Duration::from_secs(5);

/// The nodes whose tokens are heard now.
#[derive(Default)]
pub(crate) struct ForeignTokens {
    heard: Mutex<HashMap<IngressId, Weak<Hearing>>>,
}

/// Another node's tokens are heard until the last clone is dropped.
pub(crate) struct Hearing {
    is_open: watch::Receiver<bool>,
    _stop_on_drop: DropGuard,
}

impl TokenDispatcher {
    /// Hears the tokens that are sent to `ingress`, by one subscription for all who ask; returns when it stands.
    pub(crate) async fn hear_foreign(
        &self,
        log: &Arc<dyn EventLog>,
        ingress: &IngressId,
    ) -> Result<Arc<Hearing>, ApiError> {
        let hearing = self.hearing(log, ingress);
        let mut is_open = hearing.is_open.clone();
        let opened = tokio::time::timeout(PATIENCE, is_open.wait_for(|is_open| *is_open)).await;
        match opened {
            Ok(Ok(_)) => Ok(hearing),
            _ => Err(ApiError::unavailable("the event log cannot be reached")),
        }
    }

    fn hearing(&self, log: &Arc<dyn EventLog>, ingress: &IngressId) -> Arc<Hearing> {
        let mut heard = self.shared.foreign.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hearing) = heard.get(ingress).and_then(Weak::upgrade) {
            return hearing;
        }
        heard.retain(|_, hearing| hearing.strong_count() > 0);
        let stop = CancellationToken::new();
        let (sender, is_open) = watch::channel(false);
        let hearing = Arc::new(Hearing { is_open, _stop_on_drop: stop.clone().drop_guard() });
        heard.insert(ingress.clone(), Arc::downgrade(&hearing));
        let (dispatcher, log, pattern) = (self.clone(), Arc::clone(log), subjects::tokens_for(ingress));
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = dispatcher.route_foreign(log, pattern, sender) => {}
            }
        });
        hearing
    }

    async fn route_foreign(&self, log: Arc<dyn EventLog>, pattern: String, is_open: watch::Sender<bool>) {
        loop {
            match log.listen(pattern.clone()).await {
                Ok(mut messages) => {
                    // What was sent while nobody listened is in the stream.
                    if is_open.send_replace(true) {
                        self.suspect_all();
                    }
                    while let Some(message) = messages.next().await {
                        self.route(&message.payload);
                    }
                }
                Err(error) => warn!(%error, "cannot listen for another node's tokens, trying again"),
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}
