//! One inbox for all acknowledgements of a process, so that a message is sent in order and its answer awaited elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Client, HeaderMap, Message, Subject};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::failure;
use crate::BusError;

pub(super) struct Replies {
    client: Client,
    prefix: String,
    next_token: AtomicU64,
    waiting: Arc<Waiting>,
    _dispatch: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, oneshot::Sender<Message>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replies {
    pub(super) async fn open(client: Client) -> Result<Self, BusError> {
        let prefix = format!("{}.", client.new_inbox());
        let mut messages = client.subscribe(format!("{prefix}*")).await.map_err(failure::lost)?;
        let waiting = Arc::new(Waiting::default());
        let dispatch = {
            let waiting = Arc::clone(&waiting);
            let num_prefix_bytes = prefix.len();
            async move {
                while let Some(message) = messages.next().await {
                    let token = message.subject.get(num_prefix_bytes..).and_then(|token| token.parse().ok());
                    let waiter = token.and_then(|token: u64| waiting.lock().remove(&token));
                    // A waiter that gave up has no use for it.
                    waiter.map(|waiter| waiter.send(message).is_ok());
                }
            }
        };
        Ok(Self {
            client,
            prefix,
            next_token: AtomicU64::new(0),
            waiting,
            _dispatch: AbortOnDropHandle::new(tokio::spawn(dispatch)),
        })
    }

    /// Hands the message to the connection; returns when it stands in line there.
    pub(super) async fn send(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Reply, BusError> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(token, sender);
        let reply = Reply { token, receiver, waiting: Arc::clone(&self.waiting) };
        let inbox = format!("{}{token}", self.prefix);
        if headers.is_empty() {
            self.client.publish_with_reply(subject, inbox, payload).await
        } else {
            self.client.publish_with_reply_and_headers(subject, inbox, headers, payload).await
        }
        .map_err(failure::lost)?;
        Ok(reply)
    }
}

/// An answer to come; forgotten when dropped.
pub(super) struct Reply {
    token: u64,
    receiver: oneshot::Receiver<Message>,
    waiting: Arc<Waiting>,
}

impl Reply {
    /// The answer. Cancel-safe.
    pub(super) async fn received(&mut self) -> Result<Message, BusError> {
        (&mut self.receiver).await.map_err(|_| BusError::Unreachable("the connection is closed".to_owned()))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.token);
    }
}
