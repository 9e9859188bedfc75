//! Lines into the log, and ends out of it, until the batch has no more of either.

use std::time::Duration;

use bus::{AppendOutcome, BusError, StoredFile, subjects};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use schemas::v1::envelope::Fact;
use schemas::v1::{BatchOutcome, Requested, WorkClass};
use schemas::{FactKind, InferenceId};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use super::ends::{Ends, end_of, ended_in, is_answered};
use super::input::{Input, InputLine};
use super::line_codec::Unread;
use super::line_place::LinePlace;
use super::models::Models;
use super::run::BatchRun;
use super::window::{Window, WindowLimits};

/// How often progress is written down, and a request to cancel is looked for.
const TICK: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// Lines taken in a row, before anything else is heard: a file of bad lines must not keep the clock out.
const MAX_NUM_TAKEN: usize = 256;
/// Lines that are being appended at once.
const MAX_NUM_APPENDS: usize = 64;
/// Lines taken ahead of the first that is not over, for each that is under way.
const NUM_AHEAD_PER_OPEN: u64 = 16;

/// Whether each of a line's inferences is known to be answered or not; those that are under way are left out.
type Appended = Vec<(InferenceId, bool)>;

/// Where the next line comes from.
struct Intake {
    input: Input,
    /// A line that waits for its model, and since when.
    held: Option<(InputLine, Instant)>,
    models: Models,
    began: Instant,
    is_over: bool,
}

/// What a line brings.
enum Taken {
    Asks(Vec<Requested>),
    Refused,
}

impl BatchRun {
    /// Has every line answered that is not over. Returns how the batch ends.
    pub(super) async fn answer_lines(&mut self, file: &StoredFile) -> Result<BatchOutcome, BusError> {
        let mut ends = Ends::open(self.log(), &self.batch.tenant).await?;
        let (num_over, num_over_failed) = self.over();
        let max_num_open = self.options.max_num_inflight;
        let max_num_ahead = max_num_open as u64 * NUM_AHEAD_PER_OPEN;
        let mut window =
            Window::after(num_over, num_over_failed, WindowLimits { max_num_open, max_num_ahead });
        let mut input =
            Input::open(self.log().as_ref(), file, &self.codec, self.options.max_line_bytes).await?;
        input.skip(num_over).await?;
        let models = Models::default();
        let mut intake = Intake { input, held: None, models, began: Instant::now(), is_over: false };
        let mut appends = FuturesUnordered::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.wants_stop().await?;
        while stop.is_none() {
            let mut num_taken = 0;
            while num_taken < MAX_NUM_TAKEN
                && window.has_room()
                && appends.len() < MAX_NUM_APPENDS
                && let Some(taken) = self.next_line(&mut intake).await?
            {
                appends.extend(self.take(&mut window, taken));
                num_taken += 1;
            }
            if intake.is_over && window.open().len() == 0 {
                break;
            }
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    self.write_progress(&window).await?;
                    stop = self.wants_stop().await?;
                }
                Some(appended) = appends.next() => Self::note(&mut window, appended?),
                ended = ends.next() => {
                    let (id, record) = ended?;
                    if window.holds(id) && let Some(ended) = ended_in(&record) {
                        window.end(id, is_answered(&ended));
                    }
                }
                () = tokio::task::yield_now(), if num_taken == MAX_NUM_TAKEN => {}
            }
        }
        while let Some(appended) = appends.next().await {
            Self::note(&mut window, appended?);
        }
        drop(appends);
        if stop.is_some() {
            self.cancel_open(&mut window, &mut ends).await?;
        }
        self.write_progress(&window).await?;
        Ok(stop.unwrap_or(BatchOutcome::Completed))
    }

    /// Why the batch goes no further, if so.
    async fn wants_stop(&mut self) -> Result<Option<BatchOutcome>, BusError> {
        if self.jobs.now_unix_nanos() >= self.batch.created.expires_at_unix_nanos {
            return Ok(Some(BatchOutcome::Expired));
        }
        let batch = self.jobs.batch(&self.batch.tenant, &self.batch.id).await?;
        let is_cancelled = batch.is_some_and(|batch| batch.cancel_requested_at_unix_nanos.is_some());
        Ok(is_cancelled.then_some(BatchOutcome::Cancelled))
    }

    /// The next line; `None` at the end of the file, or while a line waits for its model.
    async fn next_line(&self, intake: &mut Intake) -> Result<Option<Taken>, BusError> {
        if intake.is_over {
            return Ok(None);
        }
        let (line, held_since) = match intake.held.take() {
            Some(held) => held,
            None => match intake.input.next().await? {
                Some(line) => (line, Instant::now()),
                None => {
                    intake.is_over = true;
                    return Ok(None);
                }
            },
        };
        let Ok(bytes) = &line.content else { return Ok(Some(Taken::Refused)) };
        match self.codec.read(line.number, bytes, &self.batch.created.endpoint) {
            Ok(requests) => {
                if let Some(first) = requests.first() {
                    intake.models.found(&first.model);
                }
                Ok(Some(Taken::Asks(requests)))
            }
            Err(Unread::Refused(_)) => Ok(Some(Taken::Refused)),
            Err(Unread::UnknownModel { model, .. }) => {
                let waits = intake.models.should_wait(&model, held_since.elapsed(), intake.began.elapsed());
                if waits {
                    intake.held = Some((line, held_since));
                    return Ok(None);
                }
                Ok(Some(Taken::Refused))
            }
        }
    }

    /// Takes a line up; what it asks for is appended by the future.
    fn take(
        &self,
        window: &mut Window,
        taken: Taken,
    ) -> Option<BoxFuture<'static, Result<Appended, BusError>>> {
        let Taken::Asks(requests) = taken else {
            window.take(&[]);
            return None;
        };
        let line_number = window.num_taken() + 1;
        let num_prompts = requests.len();
        let (tenant, batch) = (&self.batch.tenant, &self.batch.id);
        let places = (0..).map(|prompt_index| LinePlace { tenant, batch, line_number, prompt_index });
        let requests: Vec<_> = places
            .zip(requests)
            .map(|(place, requested)| {
                let requested = Requested {
                    class: WorkClass::Batch.into(),
                    ingress: self.options.ingress.to_string(),
                    caller: self.batch.created.caller.clone(),
                    background: true,
                    batch_place: Some(place.to_fact(num_prompts)),
                    ..requested
                };
                (place.inference_id(), requested)
            })
            .collect();
        let ids: Vec<_> = requests.iter().map(|(id, _)| *id).collect();
        window.take(&ids);
        let facts = self.facts.clone();
        let tenant = tenant.clone();
        Some(Box::pin(async move {
            let mut appended = Vec::new();
            for (id, requested) in requests {
                let subject = subjects::fact(FactKind::Requested, &tenant, id);
                let payload = facts.encode(id, &tenant, Fact::Requested(requested));
                let outcome = loop {
                    match facts.append_encoded(subject.clone(), payload.clone()).await {
                        Err(error) if error.is_retryable() => {
                            warn!(inference = %id, %error, "a line could not be appended and is tried again");
                            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                        }
                        outcome => break outcome,
                    }
                };
                match outcome {
                    Ok(AppendOutcome::Stored { .. }) => {}
                    // Whoever had the batch before asked for it, and it may have ended since.
                    Ok(AppendOutcome::AlreadyThere) => {
                        let ended = end_of(facts.log().as_ref(), &tenant, id).await?;
                        appended.extend(ended.map(|ended| (id, is_answered(&ended))));
                    }
                    Err(error) => {
                        warn!(inference = %id, %error, "a line cannot be appended");
                        appended.push((id, false));
                    }
                }
            }
            Ok(appended)
        }))
    }

    fn note(window: &mut Window, appended: Appended) {
        for (id, is_answered) in appended {
            window.end(id, is_answered);
        }
    }
}
