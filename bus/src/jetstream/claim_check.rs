//! Large payloads: the object store keeps them, and a stub with name, size and digest goes into the stream.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use bytes::Bytes;
use schemas::FactHash;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use super::api::Api;
use super::failure;
use super::sender::Outgoing;
use crate::BusError;

/// The object's name.
const OBJECT: &str = "Jetmill-Object";
/// Its size in bytes.
const OBJECT_BYTES: &str = "Jetmill-Object-Bytes";
/// Its SHA-256 in hexadecimal, which is the record's hash.
const OBJECT_DIGEST: &str = "Jetmill-Object-Sha256";

/// Payloads that are loaded or stored at once; with the largest record this bounds the memory.
const MAX_NUM_TRANSFERS: usize = 8;

pub(super) struct ClaimCheck {
    api: Arc<Api>,
    store: ObjectStore,
    transfers: Semaphore,
}

impl ClaimCheck {
    pub(super) const fn new(api: Arc<Api>, store: ObjectStore) -> Self {
        Self { api, store, transfers: Semaphore::const_new(MAX_NUM_TRANSFERS) }
    }

    /// Stores the payload under `name`; what it returns carries the stub.
    pub(super) async fn check_in(
        &self,
        outgoing: Outgoing,
        name: &str,
        payload: &Bytes,
    ) -> Result<Outgoing, BusError> {
        let _transfer = self.transfers.acquire().await.map_err(failure::lost)?;
        self.api
            .patiently(|| async {
                let mut reader: &[u8] = payload;
                self.store.put(name, &mut reader).await.map(drop).map_err(|error| put_error(&error))
            })
            .await?;
        Ok(outgoing
            .with_header(OBJECT, name)
            .with_header(OBJECT_BYTES, &payload.len().to_string())
            .with_header(OBJECT_DIGEST, &FactHash::of(payload).to_string()))
    }

    /// Drops an object whose stub was refused; one that stays behind ages away.
    pub(super) async fn discard(&self, name: &str) {
        if let Err(error) = self.store.delete(name).await {
            tracing::debug!(%error, object = name, "an unused object stays until it ages away");
        }
    }

    /// The payload that a stub stands for, or the payload itself.
    pub(super) async fn resolve(
        &self,
        headers: Option<&HeaderMap>,
        payload: Bytes,
    ) -> Result<Bytes, BusError> {
        let Some((headers, name)) =
            headers.and_then(|headers| Some((headers, headers.get(OBJECT)?.as_str())))
        else {
            return Ok(payload);
        };
        let broken = |reason: &str| object_error(name, reason);
        let number = headers.get(OBJECT_BYTES).and_then(|bytes| bytes.as_str().parse().ok());
        let num_bytes: usize = number.ok_or_else(|| broken("a stub without its size"))?;
        let digest = headers.get(OBJECT_DIGEST).ok_or_else(|| broken("a stub without its digest"))?;
        let _transfer = self.transfers.acquire().await.map_err(failure::lost)?;
        let bytes = self.api.patiently(|| self.load(name, num_bytes)).await?;
        if FactHash::of(&bytes).to_string() != digest.as_str() {
            return Err(broken("its digest does not match"));
        }
        Ok(bytes)
    }

    async fn load(&self, name: &str, num_bytes: usize) -> Result<Bytes, BusError> {
        let mut object = self.store.get(name).await.map_err(|error| match error.kind() {
            GetErrorKind::NotFound => object_error(name, "it is not (or no longer) there"),
            _ => failure::lost(error),
        })?;
        let mut bytes = Vec::with_capacity(num_bytes.min(crate::DEFAULT_MAX_RECORD_BYTES));
        object.read_to_end(&mut bytes).await.map_err(failure::lost)?;
        Ok(bytes.into())
    }
}

fn object_error(name: &str, reason: &str) -> BusError {
    BusError::Object { name: name.to_owned(), reason: reason.to_owned(), missing: None }
}

/// The hash of the bytes that a stub stands for.
pub(super) fn hash_of_object(headers: Option<&HeaderMap>) -> Option<FactHash> {
    headers?.get(OBJECT_DIGEST)?.as_str().parse().ok()
}

/// The client wraps the stream's refusal in text, of which only the broker's words for "full" are told apart.
fn put_error(error: &async_nats::jetstream::object_store::PutError) -> BusError {
    let text = error.to_string();
    let is_full = ["maximum bytes exceeded", "insufficient", "resource limits", "no space", "store failed"]
        .iter()
        .any(|words| text.contains(words));
    if is_full { BusError::Full("OBJECTS".to_owned()) } else { BusError::Unreachable(text) }
}
