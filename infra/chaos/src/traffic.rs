//! The clients: most stream, some ask in the background, some hand in batches.

use std::sync::Arc;

use anyhow::{Result, bail};
use futures_util::future::join_all;
use rand::Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::caller::Caller;
use crate::question::Question;
use crate::{background, batches};

/// Clients that ask in the background, one after the other.
const NUM_BACKGROUND: usize = 4;
/// Clients that hand in one batch after the other.
const NUM_BATCHES: usize = 2;

/// Each question's answer while nothing is disturbed.
pub(crate) async fn undisturbed(urls: &[String], questions: &[Question]) -> Result<Vec<Answer>> {
    let ask = |index: usize| async move {
        let key = format!("undisturbed-{index}");
        Caller::new(urls.to_vec(), index as u64).ask(index, &questions[index], &key).await
    };
    let answers = join_all((0..questions.len()).map(ask)).await;
    if let Some(failure) = answers.iter().find_map(|answer| answer.failure.as_ref()) {
        bail!("an undisturbed answer failed: {failure}");
    }
    Ok(answers)
}

/// Clients that ask one question after the other.
#[derive(Debug)]
pub(crate) struct Traffic {
    clients: Vec<JoinHandle<Vec<Answer>>>,
    stop: CancellationToken,
}

impl Traffic {
    pub(crate) fn start(urls: Vec<String>, questions: Vec<Question>, num_streams: usize, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let questions = Arc::new(questions);
        let number_of_all = num_streams + NUM_BACKGROUND + NUM_BATCHES;
        let client = |number: usize| {
            let (questions, stopped) = (Arc::clone(&questions), stop.clone());
            let mut caller = Caller::new(urls.clone(), seed ^ number as u64);
            tokio::spawn(async move {
                let mut answers: Vec<Answer> = Vec::new();
                for round in 0.. {
                    if stopped.is_cancelled() {
                        break;
                    }
                    let key = format!("client-{number}-{round}");
                    if number < NUM_BATCHES {
                        answers.extend(batches::ask(&mut caller, &questions, &key).await);
                        continue;
                    }
                    let index = caller.random.random_range(0..questions.len());
                    let question = &questions[index];
                    answers.push(if number < NUM_BATCHES + NUM_BACKGROUND {
                        background::ask(&mut caller, index, question, &key).await
                    } else {
                        caller.ask(index, question, &key).await
                    });
                }
                answers
            })
        };
        Self { clients: (0..number_of_all).map(client).collect(), stop }
    }

    /// Lets every client have the answer that it waits for.
    pub(crate) async fn finish(self) -> Vec<Answer> {
        self.stop.cancel();
        let answers = join_all(self.clients).await;
        answers.into_iter().flat_map(Result::unwrap_or_default).collect()
    }
}
