//! Tells of ends: a signed POST to whoever asked for it, repeated until it is taken, by any node.
//!
//! The wish is a fact of its own, and a durable consumer of those facts is all the state there is: when to try again follows
//! from the time since the end. A receiver may hear of an end twice, always under the same `webhook-id`.

mod address;
mod event;
mod post;
mod signature;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, Delivery, Handled, serve_deliveries, topology};
use schemas::v1::envelope::Fact;
use schemas::v1::{Ended, WebhookRequested};
use schemas::{InferenceId, TenantId};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use event::outcome_word;

use address::WebhookUrl;
use signature::WebhookSecret;

use crate::error::ApiError;
use crate::inference_record::{InferenceRecord, StoredRequest};
use crate::state::ApiState;
use post::{Courier, PostError};

const MAX_NUM_IN_FLIGHT: usize = 64;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often an inference that runs is looked at.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Whom this node may tell, and how.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Signs for requests that name no secret; `whsec_` and base64.
    pub secret: Option<String>,
    /// Hosts that may be reached without TLS and at private addresses.
    pub allowed_hosts: Vec<String>,
    /// The pause after the first failure; later ones grow with the time since the end.
    pub first_retry: Duration,
    /// The longest pause.
    pub longest_retry: Duration,
    /// After so long a receiver that does not answer is given up.
    pub give_up_after: Duration,
    /// For one attempt.
    pub timeout: Duration,
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions")
            .field("has_secret", &self.secret.is_some())
            .field("allowed_hosts", &self.allowed_hosts)
            .finish_non_exhaustive()
    }
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            secret: None,
            allowed_hosts: Vec::new(),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(3_600),
            give_up_after: Duration::from_secs(86_400),
            timeout: Duration::from_secs(15),
        }
    }
}

/// What a client asks for, checked.
pub(crate) fn checked(
    options: &WebhookOptions,
    url: &str,
    secret: Option<&str>,
) -> Result<WebhookRequested, ApiError> {
    let target = WebhookUrl::parse(url).map_err(|message| ApiError::invalid("webhook.url", message))?;
    target.check_scheme(options).map_err(|message| ApiError::invalid("webhook.url", message))?;
    match secret.or(options.secret.as_deref()) {
        Some(text) => {
            WebhookSecret::parse(text).map_err(|message| ApiError::invalid("webhook.secret", message))?;
        }
        None => {
            let message = "webhook.secret is required: 'whsec_' and 24 to 64 bytes in base64";
            return Err(ApiError::invalid("webhook.secret", message));
        }
    }
    Ok(WebhookRequested { url: url.to_owned(), secret: secret.unwrap_or_default().to_owned() })
}

/// Delivers until `shutdown`.
pub(crate) async fn serve(state: Arc<ApiState>, shutdown: CancellationToken) {
    let courier = match Courier::new() {
        Ok(courier) => Arc::new(courier),
        Err(error) => {
            warn!(%error, "webhooks cannot be sent");
            return;
        }
    };
    loop {
        match state.log.consumer(&topology::webhook_consumer()).await {
            Ok(consumer) => {
                let (state, courier) = (Arc::clone(&state), Arc::clone(&courier));
                let handle = move |delivery: Arc<Delivery>| {
                    let (state, courier) = (Arc::clone(&state), Arc::clone(&courier));
                    async move { deliver(&state, &courier, &delivery).await }
                };
                serve_deliveries(consumer, MAX_NUM_IN_FLIGHT, shutdown, handle).await;
                return;
            }
            Err(error) => warn!(%error, "webhooks cannot be read, trying again"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
        }
    }
}

async fn deliver(state: &ApiState, courier: &Courier, delivery: &Delivery) -> Result<Handled, BusError> {
    let Some((id, tenant, wanted_at, wanted)) = read(&delivery.record.payload) else {
        return Ok(Handled::Undeliverable("not a wish for a webhook"));
    };
    let options = &state.config.webhooks;
    let now = state.facts.stamp().unix_nanos;
    let since = |at: u64| Duration::from_nanos(now.saturating_sub(at));
    let record = InferenceRecord { log: state.log.as_ref(), tenant: &tenant };
    let Some(stored) = record.request(id).await? else {
        return Ok(Handled::Undeliverable("the inference is not in the log any more"));
    };
    let Some((ended_at, ended)) = record.end(id).await? else {
        return Ok(Handled::Later((since(wanted_at) / 8).clamp(FIRST_LOOK, LONGEST_LOOK)));
    };
    match post(state, courier, &wanted, (&stored, ended_at, &ended)).await {
        Ok(()) => Ok(Handled::Done),
        Err(PostError::Gone) => Ok(Handled::Undeliverable("the receiver is gone")),
        Err(PostError::Forbidden) => Ok(Handled::Undeliverable("the receiver's address is not allowed")),
        Err(_) if since(ended_at) >= options.give_up_after => {
            Ok(Handled::Undeliverable("the receiver took nothing for too long"))
        }
        Err(error) => {
            let pause = (since(ended_at) / 2).clamp(options.first_retry, options.longest_retry);
            info!(inference = %id, %error, pause_millis = pause.as_millis() as u64, "a webhook is tried again");
            Ok(Handled::Later(pause))
        }
    }
}

fn read(payload: &[u8]) -> Option<(InferenceId, TenantId, u64, WebhookRequested)> {
    let envelope = schemas::decode_envelope(payload).ok()?;
    let (id, tenant) = (envelope.inference().ok()?, envelope.tenant().ok()?);
    match envelope.fact? {
        Fact::WebhookRequested(wanted) => Some((id, tenant, envelope.recorded_at_unix_nanos, wanted)),
        _ => None,
    }
}

async fn post(
    state: &ApiState,
    courier: &Courier,
    wanted: &WebhookRequested,
    told: (&StoredRequest, u64, &Ended),
) -> Result<(), PostError> {
    let options = &state.config.webhooks;
    let own = options.secret.as_deref().unwrap_or_default();
    let secret = if wanted.secret.is_empty() { own } else { &wanted.secret };
    let secret = WebhookSecret::parse(secret).map_err(|_| PostError::NoSecret)?;
    let target = WebhookUrl::parse(&wanted.url).map_err(|_| PostError::Forbidden)?;
    let body = event::body(told.0, told.1, told.2);
    let webhook_id = event::webhook_id(told.0);
    let timestamp = state.facts.stamp().unix_nanos / 1_000_000_000;
    let headers = secret.headers(&webhook_id, timestamp, &body);
    let sent = courier.post(&target, options, headers, body.into());
    tokio::time::timeout(options.timeout, sent).await.map_err(|_| PostError::TimedOut)?
}
