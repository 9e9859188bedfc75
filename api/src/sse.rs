//! An answer as server-sent events.
//!
//! Each event carries one choice's part and the id `<inference>:<choice>:<position>`. When a request has 2 to 64 choices,
//! `:<position of every choice, joined by dots>` follows, so that the last id a client saw says all that a resumption needs;
//! [`crate::position`] says what a position is.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderValue, header};

use crate::error::ApiError;
use crate::in_flight::Arrival;
use crate::openai::answer::Answers;
use crate::position;
use crate::running::Running;
use crate::state::ApiState;

/// Entries that are ready are sent together, up to this many.
const MAX_NUM_ENTRIES_AT_ONCE: usize = 64;
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// An answer on its way. It is dropped when the client leaves.
struct EventStream {
    state: Arc<ApiState>,
    running: Running,
    answers: Answers,
    first: Option<Arrival>,
    is_over: bool,
    /// The connection is to break: the answer goes on, and its client finds it at another node.
    breaks_off: bool,
}

/// The answer as a stream of events. Headers are held back until the first entry, for as long as the configuration says,
/// so that an early failure has its own status; `Err` is such a failure.
pub(crate) async fn respond(
    state: &Arc<ApiState>,
    mut running: Running,
    mut answers: Answers,
) -> Result<Response, ApiError> {
    let first_new = first_new(&mut running, &mut answers);
    let first = match tokio::time::timeout(state.config.timeouts.header_hold, first_new).await {
        Ok(arrival) => Some(arrival?),
        Err(_) => None,
    };
    let events =
        EventStream { state: Arc::clone(state), running, answers, first, is_over: false, breaks_off: false };
    let body = stream::unfold(events, |mut events| async move {
        let bytes = events.next_bytes().await?;
        Some((bytes, events))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Reverse proxies would gather the events otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The first entry that the client has not. Cancel-safe.
async fn first_new(running: &mut Running, answers: &mut Answers) -> Result<Arrival, ApiError> {
    loop {
        let arrival = running.next().await?;
        if !arrival.is_known {
            return Ok(arrival);
        }
        answers.skip(arrival.prompt_index, &arrival.entry);
    }
}

impl EventStream {
    /// What is to be sent next; `None` at the end.
    async fn next_bytes(&mut self) -> Option<Result<Bytes, io::Error>> {
        if std::mem::take(&mut self.breaks_off) {
            return Some(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.is_over {
            return None;
        }
        let mut text = String::new();
        let keep_alive = self.state.config.timeouts.keep_alive;
        // Not every entry holds something that a client sees.
        while text.is_empty() {
            let next = match self.first.take() {
                Some(first) => Ok(first),
                None => match tokio::time::timeout(keep_alive, self.running.next()).await {
                    Ok(next) => next,
                    Err(_) => return Some(Ok(Bytes::from_static(KEEP_ALIVE))),
                },
            };
            if let Err(error) = self.write_all_ready(next, &mut text) {
                self.is_over = true;
                if matches!(error, ApiError::Unavailable { .. }) && !self.state.config.cancels_at_shutdown {
                    self.breaks_off = true;
                    // Nothing at all would be sent as a chunk that ends the body.
                    text.push_str(": the node stops\n\n");
                } else {
                    write_error(&error, &mut text);
                }
            }
        }
        Some(Ok(text.into()))
    }

    fn write_all_ready(
        &mut self,
        next: Result<Arrival, ApiError>,
        text: &mut String,
    ) -> Result<(), ApiError> {
        self.write(&next?, text)?;
        for _ in 1..MAX_NUM_ENTRIES_AT_ONCE {
            if self.running.has_ended() {
                return self.write_end(text);
            }
            match self.running.next().now_or_never() {
                Some(next) => self.write(&next?, text)?,
                None => return Ok(()),
            }
        }
        if self.running.has_ended() { self.write_end(text) } else { Ok(()) }
    }

    fn write(
        &mut self,
        Arrival { prompt_index, entry, is_known }: &Arrival,
        text: &mut String,
    ) -> Result<(), ApiError> {
        if *is_known {
            self.answers.skip(*prompt_index, entry);
            return Ok(());
        }
        let Some(chunk) = self.answers.next_chunk(*prompt_index, entry)? else { return Ok(()) };
        text.push_str("id: ");
        text.push_str(&self.event_id(*prompt_index, entry.choice));
        text.push_str("\ndata: ");
        text.push_str(&chunk);
        text.push_str("\n\n");
        Ok(())
    }

    fn write_end(&mut self, text: &mut String) -> Result<(), ApiError> {
        self.is_over = true;
        if let Some(chunk) = self.answers.to_usage_chunk()? {
            text.push_str("data: ");
            text.push_str(&chunk);
            text.push_str("\n\n");
        }
        text.push_str(DONE);
        Ok(())
    }

    fn event_id(&self, prompt_index: usize, choice: u32) -> String {
        let index = prompt_index * self.answers.head.num_choices + choice as usize;
        let inference = self.running.id(prompt_index).map(|id| id.to_string()).unwrap_or_default();
        position::event_id(&inference, choice, index, &self.answers.positions())
    }
}

/// Headers are gone, so the status cannot say it: clients read the error from an event, and no end mark follows.
fn write_error(error: &ApiError, text: &mut String) {
    if let Ok(body) = serde_json::to_string(&error.body()) {
        text.push_str("data: ");
        text.push_str(&body);
        text.push_str("\n\n");
    }
}
