//! From what a client sent to what the encoder computes, and from its results to the answer. Pure.

use std::collections::HashMap;

use schemas::failure;
use schemas::v1::{Failure, FailureKind, Pooled, Pooling, PoolingTask, TextPair, pooling_input::Content};

use super::encoder::EncoderInput;
use super::vector::{cosine, normalize};
use crate::model_file::encoder_config::{Dimensions, EncoderConfig, EncoderHead};
use crate::tokenizer::Tokenizer;

/// Far more than a token of any text takes.
const MAX_BYTES_PER_TOKEN: usize = 512;

/// What a request may ask of a model.
#[derive(Debug, Clone)]
pub(super) struct PoolingRules {
    pub(super) model: String,
    pub(super) config: EncoderConfig,
    pub(super) max_input_tokens: usize,
}

/// A request that is ready to be computed.
#[derive(Debug)]
pub(super) struct PreparedRequest {
    /// Each text once, even if several pairs share it.
    pub(super) inputs: Vec<EncoderInput>,
    answers: Vec<PreparedAnswer>,
    num_dimensions: Option<usize>,
}

#[derive(Debug)]
struct PreparedAnswer {
    num_tokens: u32,
    source: Source,
}

/// Which of the results make an answer.
#[derive(Debug)]
enum Source {
    Result(usize),
    Cosine(usize, usize),
}

impl PoolingRules {
    /// What the model can be asked for, in the words of announcements.
    pub(super) fn tasks(&self) -> Vec<String> {
        let tasks: &[&str] = match self.config.head {
            EncoderHead::Embed { .. } => &["embed", "score"],
            EncoderHead::Score { .. } => &["score"],
        };
        tasks.iter().map(|task| (*task).to_owned()).collect()
    }

    /// Tokenizes and checks; `endpoint` says which field names the client knows. `Err` says what to change.
    pub(super) fn prepare(
        &self,
        tokenizer: &Tokenizer,
        pooling: Pooling,
        endpoint: &str,
    ) -> Result<PreparedRequest, Failure> {
        let task = pooling.task();
        let is_embedder = matches!(self.config.head, EncoderHead::Embed { .. });
        if task == PoolingTask::Unspecified || (task == PoolingTask::Embed && !is_embedder) {
            let message = format!("model {} does not support embeddings", self.model);
            return Err(invalid("unsupported_task", message).at("model"));
        }
        let num_dimensions = match pooling.dimensions {
            0 => None,
            wanted => Some(self.check_dimensions(wanted as usize)?),
        };
        let mut texts = Texts {
            rules: self,
            tokenizer,
            max_num_tokens: pooling.truncate_prompt_tokens.map(|max| max as usize),
            inputs: Vec::new(),
            known: HashMap::new(),
        };
        let names = FieldNames { endpoint, num_inputs: pooling.inputs.len() };
        let mut answers = Vec::with_capacity(pooling.inputs.len());
        for (index, input) in pooling.inputs.into_iter().enumerate() {
            let Some(content) = input.content else {
                return Err(invalid("empty_input", "an input is empty").at(&names.document(index)));
            };
            answers.push(match (task, content) {
                (PoolingTask::Embed, Content::Text(text)) => texts.single(&text, &names.document(index))?,
                (PoolingTask::Embed, Content::TokenIds(ids)) => texts.ids(ids.ids, &names.document(index))?,
                (PoolingTask::Score, Content::Pair(pair)) if is_embedder => {
                    texts.likeness(&pair, &names, index)?
                }
                (PoolingTask::Score, Content::Pair(pair)) => texts.pair(&pair, &names.document(index))?,
                _ => {
                    let message = "embeddings take texts or token ids, scores take pairs of texts";
                    return Err(invalid("invalid_input", message).at(&names.document(index)));
                }
            });
        }
        Ok(PreparedRequest { inputs: texts.inputs, answers, num_dimensions })
    }

    fn check_dimensions(&self, wanted: usize) -> Result<usize, Failure> {
        let EncoderHead::Embed { dimensions, .. } = &self.config.head else {
            return Err(invalid("invalid_dimensions", "a score has no dimensions").at("dimensions"));
        };
        let (model, whole) = (&self.model, self.config.hidden_size);
        let expected = match dimensions {
            _ if wanted == whole => return Ok(wanted),
            Dimensions::Whole => {
                format!(
                    "model {model} was not trained to be cut (Matryoshka); leave dimensions out or set {whole}"
                )
            }
            Dimensions::Any if wanted < whole => return Ok(wanted),
            Dimensions::Any => format!("model {model} has {whole} dimensions"),
            Dimensions::Listed(listed) if listed.contains(&wanted) && wanted < whole => return Ok(wanted),
            Dimensions::Listed(listed) => format!("model {model} can have {listed:?} dimensions"),
        };
        Err(invalid("invalid_dimensions", format!("dimensions is {wanted}: {expected}")).at("dimensions"))
    }
}

impl PreparedRequest {
    /// Tokens of all answers, a text that several share counted for each.
    pub(super) fn num_tokens(&self) -> u32 {
        self.answers.iter().fold(0, |sum, answer| sum.saturating_add(answer.num_tokens))
    }

    /// The answers out of the results of `inputs`. `Err` when a result is no number.
    pub(super) fn finish(answers: Self, results: &[Vec<f32>]) -> Result<Vec<Pooled>, Failure> {
        let num_dimensions = answers.num_dimensions;
        let pooled = |answer: PreparedAnswer| {
            let values = match answer.source {
                Source::Result(index) => cut(results.get(index)?, num_dimensions),
                Source::Cosine(a, b) => vec![cosine(results.get(a)?, results.get(b)?)],
            };
            let is_finite = !values.is_empty() && values.iter().all(|value| value.is_finite());
            is_finite.then_some(Pooled { values, num_tokens: answer.num_tokens })
        };
        let not_finite =
            || failure(FailureKind::Internal, "engine_error", "the model's output is not a number");
        answers.answers.into_iter().map(pooled).collect::<Option<_>>().ok_or_else(not_finite)
    }
}

/// The leading elements, made a unit vector again.
fn cut(vector: &[f32], num_dimensions: Option<usize>) -> Vec<f32> {
    match num_dimensions.filter(|num| *num < vector.len()) {
        None => vector.to_vec(),
        Some(num) => {
            let mut vector = vector[..num].to_vec();
            normalize(&mut vector);
            vector
        }
    }
}

/// The texts of one request on their way to inputs.
struct Texts<'a> {
    rules: &'a PoolingRules,
    tokenizer: &'a Tokenizer,
    max_num_tokens: Option<usize>,
    inputs: Vec<EncoderInput>,
    known: HashMap<EncoderInput, usize>,
}

impl Texts<'_> {
    fn single(&mut self, text: &str, param: &str) -> Result<PreparedAnswer, Failure> {
        let input = self.encode(text, None, param)?;
        Ok(self.add(input))
    }

    fn pair(&mut self, pair: &TextPair, param: &str) -> Result<PreparedAnswer, Failure> {
        let input = self.encode(&pair.query, Some(&pair.document), param)?;
        Ok(self.add(input))
    }

    fn likeness(
        &mut self,
        pair: &TextPair,
        names: &FieldNames<'_>,
        index: usize,
    ) -> Result<PreparedAnswer, Failure> {
        let query = self.encode(&pair.query, None, &names.query(index))?;
        let document = self.encode(&pair.document, None, &names.document(index))?;
        let num_tokens = num_tokens(&query).saturating_add(num_tokens(&document));
        let source = Source::Cosine(self.index_of(query), self.index_of(document));
        Ok(PreparedAnswer { num_tokens, source })
    }

    fn ids(&mut self, mut token_ids: Vec<u32>, param: &str) -> Result<PreparedAnswer, Failure> {
        if let Some(max) = self.max_num_tokens {
            token_ids.truncate(max);
        }
        let vocab_size = self.rules.config.vocab_size;
        if let Some(id) = token_ids.iter().find(|id| **id as usize >= vocab_size) {
            let message = format!("{param} holds token {id}, the vocabulary has {vocab_size} tokens");
            return Err(invalid("invalid_token", message).at(param));
        }
        let input = EncoderInput { second_start: token_ids.len(), token_ids };
        self.check_length(&input, param)?;
        Ok(self.add(input))
    }

    fn encode(&self, text: &str, second: Option<&str>, param: &str) -> Result<EncoderInput, Failure> {
        let text = self.readable(text, param)?;
        let second = second.map(|second| self.readable(second, param)).transpose()?;
        let framed = self
            .tokenizer
            .encode_framed(text, second, self.max_num_tokens)
            .map_err(|error| invalid(error.code(), error.to_string()).at(param))?;
        let has_types = self.rules.config.num_token_types > 1;
        let second_start = if has_types { framed.second_start } else { framed.token_ids.len() };
        let input = EncoderInput { token_ids: framed.token_ids, second_start };
        self.check_length(&input, param)?;
        Ok(input)
    }

    /// What is looked at of a text: reading it takes time by the byte, however few tokens are kept.
    fn readable<'t>(&self, text: &'t str, param: &str) -> Result<&'t str, Failure> {
        let max_num_tokens = self.rules.max_input_tokens;
        let max_num_bytes = max_num_tokens.saturating_mul(MAX_BYTES_PER_TOKEN);
        if text.len() <= max_num_bytes {
            Ok(text)
        } else if self.max_num_tokens.is_some() {
            Ok(&text[..text.floor_char_boundary(max_num_bytes)])
        } else {
            let message = format!(
                "{param} has {} bytes, the model takes at most {max_num_tokens} tokens: shorten it, or set truncate_prompt_tokens",
                text.len()
            );
            Err(invalid("context_length_exceeded", message).at(param))
        }
    }

    fn check_length(&self, input: &EncoderInput, param: &str) -> Result<(), Failure> {
        let (num, max) = (input.token_ids.len(), self.rules.max_input_tokens);
        if num == 0 {
            return Err(invalid("empty_input", format!("{param} has no tokens")).at(param));
        }
        if num > max {
            let message = format!(
                "{param} has {num} tokens, the model takes at most {max}: shorten it, or set truncate_prompt_tokens"
            );
            return Err(invalid("context_length_exceeded", message).at(param));
        }
        Ok(())
    }

    fn add(&mut self, input: EncoderInput) -> PreparedAnswer {
        PreparedAnswer { num_tokens: num_tokens(&input), source: Source::Result(self.index_of(input)) }
    }

    fn index_of(&mut self, input: EncoderInput) -> usize {
        if let Some(index) = self.known.get(&input) {
            return *index;
        }
        self.known.insert(input.clone(), self.inputs.len());
        self.inputs.push(input);
        self.inputs.len() - 1
    }
}

fn num_tokens(input: &EncoderInput) -> u32 {
    u32::try_from(input.token_ids.len()).unwrap_or(u32::MAX)
}

fn invalid(code: &str, message: impl Into<String>) -> Failure {
    failure(FailureKind::InvalidRequest, code, message)
}

/// What the client calls the fields.
struct FieldNames<'a> {
    endpoint: &'a str,
    num_inputs: usize,
}

impl FieldNames<'_> {
    fn document(&self, index: usize) -> String {
        if self.endpoint.ends_with("/rerank") {
            return format!("documents.{index}");
        }
        self.numbered(if self.endpoint.ends_with("/score") { "text_2" } else { "input" }, index)
    }

    fn query(&self, index: usize) -> String {
        if self.endpoint.ends_with("/rerank") { "query".to_owned() } else { self.numbered("text_1", index) }
    }

    fn numbered(&self, name: &str, index: usize) -> String {
        if self.num_inputs == 1 { name.to_owned() } else { format!("{name}.{index}") }
    }
}
