//! Runs requests through an engine and collects what they answer.

use std::collections::HashMap;
use std::sync::Arc;

use engine_workers::detokenizer::TokenTable;
use engine_workers::engine::Engine;
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::handle::EngineHandle;
use engine_workers::engine::output::{Finish, PromptReport, SequenceOutput};
use engine_workers::engine::output_queue::OutputReceiver;
use engine_workers::engine::request::EngineRequest;
use engine_workers::runner::ModelRunner;
use engine_workers::sampler::token_logprobs::TokenLogprobs;
use schemas::{InferenceId, SamplingParams};

use crate::fake_runner::{EOS, VOCAB_SIZE};

/// Everything one sequence answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answered {
    /// Index of the first token; above 0 if the answer was resumed.
    pub(crate) first_index: Option<usize>,
    /// Text of the tokens that the request brought along.
    pub(crate) replayed_text: String,
    pub(crate) tokens: Vec<u32>,
    pub(crate) text: String,
    /// The text as it came with each token.
    pub(crate) parts: Vec<String>,
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) prompt: Option<PromptReport>,
    pub(crate) finish: Option<Finish>,
}

/// Everything that was answered, by request number and choice.
pub(crate) type Answers = HashMap<(u64, u32), Answered>;

/// The id of the `number`-th request.
pub(crate) fn id(number: u64) -> InferenceId {
    format!("{number:032x}").parse().expect("hexadecimal digits are a UUID")
}

/// A request with default sampling, changed by `change`.
pub(crate) fn request(
    number: u64,
    prompt: &[u32],
    change: impl FnOnce(&mut SamplingParams),
) -> EngineRequest {
    let mut sampling = SamplingParams { max_tokens: Some(8), ..SamplingParams::default() };
    change(&mut sampling);
    EngineRequest::new(id(number), prompt.to_vec(), sampling)
}

/// Tokens whose texts are letters, some of them halves of a two-byte character.
pub(crate) fn token_table() -> Arc<TokenTable> {
    let tokens = (0..VOCAB_SIZE as u32).map(|token| {
        let bytes = match token {
            EOS => b"<eos>".to_vec(),
            3..=6 => vec![0xC3],
            7..=10 => vec![0xA9],
            _ => vec![b'a' + (token % 26) as u8, b'A' + (token / 26) as u8],
        };
        (bytes, token == EOS)
    });
    Arc::new(TokenTable::new(tokens, vec![EOS]))
}

/// Starts an engine with the fake vocabulary.
pub(crate) fn start(
    runner: impl ModelRunner + 'static,
    config: EngineConfig,
) -> (EngineHandle, OutputReceiver) {
    Engine::start(Box::new(runner), token_table(), config).expect("the configuration is valid")
}

/// Starts an engine for which another model drafts.
pub(crate) fn start_with_draft_model(
    runner: impl ModelRunner + 'static,
    draft: impl ModelRunner + 'static,
    config: EngineConfig,
) -> (EngineHandle, OutputReceiver) {
    Engine::start_with_draft_model(Box::new(runner), Some(Box::new(draft)), token_table(), config)
        .expect("the configuration is valid")
}

/// Reads until `num_ends` sequences have ended, or the engine has.
pub(crate) async fn collect(outputs: &mut OutputReceiver, num_ends: usize) -> Answers {
    let mut answers = Answers::new();
    let mut num_ended = 0;
    while num_ended < num_ends {
        let Some(output) = outputs.recv().await else { break };
        for replayed in output.replayed {
            let answer = answers.entry((replayed.id.uuid().as_u128() as u64, replayed.choice)).or_default();
            assert_eq!(answer, &Answered::default(), "what was known comes first");
            answer.replayed_text = replayed.text;
        }
        for sequence in output.sequences {
            num_ended += usize::from(sequence.finish.is_some());
            take(&mut answers, sequence);
        }
    }
    answers
}

/// Adds one output to what is known, and checks that it follows it.
pub(crate) fn take(answers: &mut Answers, output: SequenceOutput) {
    let number = output.id.uuid().as_u128() as u64;
    let is_first_of_inference =
        !answers.iter().any(|((other, _), answer)| *other == number && answer.first_index.is_some());
    let answer = answers.entry((number, output.choice)).or_default();
    assert_eq!(output.prompt.is_some(), is_first_of_inference, "the first output reports the prompt");
    assert!(answer.finish.is_none(), "nothing follows the end");
    let first_index = *answer.first_index.get_or_insert(output.first_token_index as usize);
    assert_eq!(
        output.first_token_index as usize,
        first_index + answer.tokens.len(),
        "indexes are contiguous"
    );
    assert_eq!(output.text_ends.len(), output.token_ids.len());
    answer.parts.extend(output.clone().into_single_tokens().into_iter().map(|single| single.text));
    answer.tokens.extend(output.token_ids);
    answer.text.push_str(&output.text);
    answer.logprobs.extend(output.logprobs);
    answer.prompt = answer.prompt.take().or(output.prompt);
    answer.finish = output.finish;
}

/// Submits all requests at once to a fresh engine and returns what they answered.
pub(crate) async fn run_all(
    runner: impl ModelRunner + 'static,
    config: EngineConfig,
    requests: &[EngineRequest],
) -> Answers {
    let (engine, mut outputs) = start(runner, config);
    let num_ends = requests.iter().map(|request| request.sampling.n as usize).sum();
    for request in requests {
        engine.submit(request.clone()).await.expect("the request is valid and there is room");
    }
    let answers = collect(&mut outputs, num_ends).await;
    assert_eq!(engine.stats().scheduler.num_free_blocks, engine.stats().scheduler.num_blocks);
    engine.shutdown().await;
    answers
}
