//! Answers whether a client waits for an inference at this node, so that nobody cancels what somebody came back for.

use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, EventLog, QueryMessage, subjects};
use bytes::Bytes;
use futures_util::StreamExt;
use schemas::InferenceId;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::state::ApiState;
use crate::token_dispatcher::TokenDispatcher;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// For the nodes to speak up.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers until `shutdown`.
pub(crate) async fn answer(state: Arc<ApiState>, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        never = async { tokio::join!(answer_for_inferences(&state), answer_for_node(&state)) } => match never {},
    }
}

async fn answer_for_inferences(state: &ApiState) -> std::convert::Infallible {
    let dispatcher = &state.dispatcher;
    serve(state, subjects::awaited(), |question| speak_up(dispatcher, question)).await
}

async fn answer_for_node(state: &ApiState) -> std::convert::Infallible {
    let subject = subjects::ingress_alive(&state.config.ingress);
    serve(state, subject, |question| (question.reply)(Bytes::new())).await
}

async fn serve(state: &ApiState, subject: String, answer: impl Fn(QueryMessage)) -> std::convert::Infallible {
    loop {
        // A group of its own, so that every node hears every question.
        match state.log.answer(subject.clone(), state.config.ingress.to_string()).await {
            Ok(mut questions) => {
                while let Some(question) = questions.next().await {
                    answer(question);
                }
            }
            Err(error) => warn!(%error, "cannot hear who asks for clients, trying again"),
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

/// Only a node that holds a client answers; the others leave the asker to its timeout.
fn speak_up(dispatcher: &TokenDispatcher, question: QueryMessage) {
    let id = std::str::from_utf8(&question.payload).ok().and_then(|id| id.parse::<InferenceId>().ok());
    if id.is_some_and(|id| dispatcher.is_awaited(id)) {
        (question.reply)(Bytes::new());
    }
}

/// Whether any node holds a client that waits for the inference.
pub(crate) async fn is_awaited_anywhere(log: &dyn EventLog, id: InferenceId) -> Result<bool, BusError> {
    match log.ask(subjects::awaited(), Bytes::from(id.to_string()), PATIENCE).await {
        Ok(_) => Ok(true),
        Err(BusError::NoResponder(_) | BusError::TimedOut { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
