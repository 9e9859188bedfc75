//! Who listens and who answers in the memory log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{BusError, LiveMessage, LiveMessages, QueryMessage, QueryMessages, subject_pattern};

/// What a listener may lag behind before it loses messages, as in async-nats.
const MAX_NUM_UNHEARD: usize = 65_536;

/// Listeners and answerers; the closed ones are dropped when they are met.
#[derive(Default)]
pub(super) struct Live {
    listeners: Vec<(String, mpsc::Sender<LiveMessage>)>,
    /// By subject and group; the turn goes round in a group.
    answerers: HashMap<String, BTreeMap<String, Vec<mpsc::Sender<QueryMessage>>>>,
}

impl Live {
    pub(super) fn listen(&mut self, pattern: String) -> LiveMessages {
        let (sender, receiver) = mpsc::channel(MAX_NUM_UNHEARD);
        self.listeners.push((pattern, sender));
        ReceiverStream::new(receiver).boxed()
    }

    pub(super) fn hear(&mut self, subject: &str, payload: &Bytes) {
        self.listeners.retain(|(pattern, sender)| {
            if sender.is_closed() {
                return false;
            }
            if subject_pattern::is_match(pattern, subject) {
                let message = LiveMessage { subject: subject.to_owned(), payload: payload.clone() };
                if sender.try_send(message).is_err() {
                    tracing::warn!(%subject, "a slow listener lost a live message");
                }
            }
            true
        });
    }

    pub(super) fn answer(&mut self, subject: String, group: String) -> QueryMessages {
        let (sender, receiver) = mpsc::channel(MAX_NUM_UNHEARD);
        self.answerers.entry(subject).or_default().entry(group).or_default().push(sender);
        ReceiverStream::new(receiver).boxed()
    }

    /// Hands a question to one answerer of each group; the first answer counts.
    pub(super) fn ask(&mut self, query: QueryMessage) -> Result<(), BusError> {
        let QueryMessage { subject, payload, reply } = query;
        let first_reply = Arc::new(Mutex::new(Some(reply)));
        let mut num_asked = 0;
        for senders in self.answerers.get_mut(&subject).into_iter().flat_map(BTreeMap::values_mut) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                continue;
            }
            senders.rotate_left(1);
            let first_reply = Arc::clone(&first_reply);
            let reply = Box::new(move |answer| {
                let reply = first_reply.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(reply) = reply {
                    reply(answer);
                }
            });
            let query = QueryMessage { subject: subject.clone(), payload: payload.clone(), reply };
            num_asked += usize::from(senders[0].try_send(query).is_ok());
        }
        if num_asked == 0 { Err(BusError::NoResponder(subject)) } else { Ok(()) }
    }
}
