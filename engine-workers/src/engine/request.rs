//! What the engine is asked for.

use std::sync::Arc;

use schemas::{InferenceId, InvalidParameter, SamplingLimits, SamplingParams};

use crate::detokenizer::TokenTable;
use crate::engine::thinking::ThinkingRules;
use crate::grammar::compiled::CompiledGrammar;
use crate::lora::adapter::LoraAdapter;
use crate::runner::RunnerShape;
use crate::sampler::random;

/// One inference for the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineRequest {
    /// Its id.
    pub id: InferenceId,
    /// The prompt; `truncate_prompt_tokens` is applied by the engine.
    pub prompt_token_ids: Vec<u32>,
    /// How to sample; `seed`, `bad_words` and `grammar` are taken from the fields below.
    pub sampling: SamplingParams,
    /// The seed in use.
    pub seed: u64,
    /// The bad words as token runs, from [`crate::sampler::bad_words::tokenize`].
    pub bad_words: Vec<Vec<u32>>,
    /// How its thinking is bounded, if it thinks.
    pub thinking: Option<Arc<ThinkingRules>>,
    /// Special tokens whose text is kept even where special tokens are left out: marks that the reader of the text needs.
    pub kept_special_token_ids: Arc<[u32]>,
    /// The grammar, compiled for this model.
    pub grammar: Option<CompiledGrammar>,
    /// Lower runs earlier under the priority policy.
    pub priority: i32,
    /// Whether it only fills what others leave, whatever the policy.
    pub is_batch: bool,
    /// Separates prefix caches of tenants that must not share.
    pub cache_salt: Option<String>,
    /// Answer tokens that an earlier attempt already published, by choice; shorter than `n` means none for the rest. They
    /// count as answer tokens, and the answer goes on after them as if it had never been interrupted.
    pub generated: Vec<Vec<u32>>,
    /// What corrects the model's matrices.
    pub adapter: Option<Arc<LoraAdapter>>,
}

impl EngineRequest {
    /// A request with the seed of its parameters, or else the one of its id, and nothing else.
    pub fn new(id: InferenceId, prompt_token_ids: Vec<u32>, sampling: SamplingParams) -> Self {
        EngineRequest {
            id,
            prompt_token_ids,
            seed: sampling.seed.unwrap_or_else(|| random::default_seed(id)),
            sampling,
            bad_words: Vec::new(),
            thinking: None,
            kept_special_token_ids: Arc::default(),
            grammar: None,
            priority: 0,
            is_batch: false,
            cache_salt: None,
            generated: Vec::new(),
            adapter: None,
        }
    }
}

/// What a request may ask of one engine.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    vocab_size: usize,
    num_tokens_with_text: usize,
    sampling: SamplingLimits,
    /// Longest sequence, prompt and answer together.
    pub max_model_len_tokens: usize,
}

/// A request that this engine can serve; its prompt is truncated as it asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidRequest {
    request: EngineRequest,
}

impl RequestLimits {
    /// Limits of an engine over this runner and vocabulary.
    pub fn new(shape: &RunnerShape, tokens: &TokenTable, sampling: SamplingLimits) -> Self {
        RequestLimits {
            vocab_size: shape.vocab_size,
            num_tokens_with_text: tokens.len(),
            sampling,
            max_model_len_tokens: shape.max_model_len_tokens,
        }
    }

    /// Checks every parameter against this engine; `Err` names the first at fault. Whether the prompt fits is the
    /// scheduler's to say.
    pub fn validate(&self, mut request: EngineRequest) -> Result<ValidRequest, InvalidParameter> {
        request.sampling.validate(&self.sampling)?;
        self.check_ids("prompt", request.prompt_token_ids.iter())?;
        self.check_ids("stop_token_ids", request.sampling.stop_token_ids.iter())?;
        self.check_ids("allowed_token_ids", request.sampling.allowed_token_ids.iter())?;
        self.check_ids("logit_bias", request.sampling.logit_bias.keys())?;
        self.check_ids("bad_words", request.bad_words.iter().flatten())?;
        self.check_ids("generated", request.generated.iter().flatten())?;
        if let Some(rules) = &request.thinking {
            self.check_ids("thinking", rules.forced_opening.iter().chain(&rules.closing_token_ids))?;
        }
        if request.sampling.grammar.is_some() && request.grammar.is_none() {
            let message = "the grammar was not compiled".to_owned();
            return Err(InvalidParameter { param: "grammar", message });
        }
        if request.generated.len() > request.sampling.n as usize {
            return Err(InvalidParameter {
                param: "generated",
                message: format!(
                    "generated has tokens for {} choices, n is {}",
                    request.generated.len(),
                    request.sampling.n
                ),
            });
        }
        if let Some(num_kept) = request.sampling.truncate_prompt_tokens {
            let num_dropped = request.prompt_token_ids.len().saturating_sub(num_kept as usize);
            request.prompt_token_ids.drain(..num_dropped);
        }
        Ok(ValidRequest { request })
    }

    fn check_ids<'a>(
        &self,
        param: &'static str,
        ids: impl IntoIterator<Item = &'a u32>,
    ) -> Result<(), InvalidParameter> {
        match ids.into_iter().find(|id| **id as usize >= self.vocab_size) {
            None => Ok(()),
            Some(id) => Err(InvalidParameter {
                param,
                message: format!("{param} holds the token {id}, the vocabulary has {}", self.vocab_size),
            }),
        }
    }

    /// Tokens of the vocabulary that have a text; the model may have more rows than that.
    pub fn num_tokens_with_text(&self) -> usize {
        self.num_tokens_with_text
    }
}

impl ValidRequest {
    /// The request.
    pub fn into_inner(self) -> EngineRequest {
        self.request
    }
}
