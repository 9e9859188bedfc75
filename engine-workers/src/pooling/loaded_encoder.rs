//! An encoder made ready to answer: its tokenizer, its engine and its card.

use std::sync::Arc;

use tracing::info;

use super::encoder::Encoder;
use super::engine::PoolingEngine;
use super::inputs::PoolingRules;
use crate::detokenizer::TokenTable;
use crate::engine::error::EngineError;
use crate::engine_fingerprint::engine_fingerprint;
use crate::grammar::compiler::GrammarCompiler;
use crate::loaded_model::{ModelLoadError, ModelLoadOptions, default_name};
use crate::model_file::encoder::EncoderFile;
use crate::tokenizer::Tokenizer;
use crate::worker::{ModelCard, ModelText, OutputFormats};

/// A running engine over an encoder.
pub struct LoadedEncoder {
    /// Its card.
    pub card: ModelCard,
    pub(super) text: Arc<ModelText>,
    pub(super) rules: PoolingRules,
    /// The engine.
    pub engine: PoolingEngine,
}

impl LoadedEncoder {
    /// Opens, packs and starts; blocks for as long as the weights take to read.
    ///
    /// # Errors
    /// [`ModelLoadError`] for whatever is missing, corrupt or not supported.
    pub fn load(options: ModelLoadOptions) -> Result<Self, ModelLoadError> {
        let path = options.path.clone();
        let file = EncoderFile::open(&path)?;
        let digest = file.digest(options.digest_cache_dir.as_deref())?;
        let tokenizer = Tokenizer::new(file.tokenizer())
            .map_err(|error| ModelLoadError::Tokenizer { path: path.clone(), error })?;
        let encoder = Encoder::load(&file, &options.runner)
            .map_err(|error| ModelLoadError::Runner { path: path.clone(), error: Box::new(error) })?;
        let (kernel_path, num_weight_bytes) = (encoder.kernel_path(), encoder.num_weight_bytes());
        info!(path = %path.display(), kernel_path, num_weight_bytes, "the model is packed");
        let card = ModelCard {
            name: options.name.unwrap_or_else(|| default_name(&path)),
            aliases: options.aliases,
            max_model_len_tokens: encoder.max_input_tokens(),
            vocab_size: encoder.config().vocab_size,
            engine_fingerprint: engine_fingerprint(file.weight_types(), kernel_path, &digest),
            model_digest: digest.to_string(),
        };
        let rules = PoolingRules {
            model: card.name.clone(),
            config: encoder.config().clone(),
            max_input_tokens: encoder.max_input_tokens(),
        };
        let engine = PoolingEngine::start(encoder, options.runner.max_num_batched_tokens)
            .map_err(EngineError::Thread)?;
        let text = Arc::new(model_text(tokenizer));
        Ok(Self { card, text, rules, engine })
    }
}

/// The text side without what only answers need.
fn model_text(tokenizer: Tokenizer) -> ModelText {
    let num_tokens = u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    let tokens = (0..num_tokens).map(|id| (tokenizer.token_bytes(id), tokenizer.is_special(id)));
    let table = Arc::new(TokenTable::new(tokens, Vec::new()));
    ModelText {
        tokenizer: Arc::new(tokenizer),
        template: None,
        tool_template: None,
        formats: OutputFormats::of_template(""),
        grammars: GrammarCompiler::new(table, None),
    }
}
