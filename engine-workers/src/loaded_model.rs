//! A model made ready to answer: its text side, its runner and its card.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tracing::info;

use crate::chat_template::error::TemplateError;
use crate::chat_template::{ChatTemplate, SpecialTokenTexts};
use crate::cpu_runner::CpuRunner;
use crate::cpu_runner::error::LoadError;
use crate::cpu_runner::options::CpuRunnerOptions;
use crate::detokenizer::TokenTable;
use crate::engine::Engine;
use crate::engine::config::EngineConfig;
use crate::engine::error::EngineError;
use crate::engine::handle::EngineHandle;
use crate::engine::output_queue::OutputReceiver;
use crate::engine_fingerprint::engine_fingerprint;
use crate::grammar::compiler::GrammarCompiler;
use crate::model_file::ModelFile;
use crate::model_file::config::ModelConfig;
use crate::model_file::error::ModelFileError;
use crate::output_parser::reasoning::ReasoningFormat;
use crate::output_parser::tool_call_format::ToolCallFormat;
use crate::runner::ModelRunner as _;
use crate::runner_source::{RunnerSource, load_draft};
use crate::speculation::config::SpeculativeMethod;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::error::TokenizerError;
use crate::worker::{ModelCard, ModelText, OutputFormats};

/// Why a model cannot be served.
#[derive(Debug, Error)]
pub enum ModelLoadError {
    /// Its file.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// Its tokenizer.
    #[error("{path}: {error}", path = path.display())]
    Tokenizer {
        /// The model.
        path: PathBuf,
        /// What is wrong.
        error: TokenizerError,
    },
    /// Its chat template.
    #[error("{path}: {error}", path = path.display())]
    Template {
        /// The model.
        path: PathBuf,
        /// What is wrong.
        error: TemplateError,
    },
    /// Its weights or its cache.
    #[error("{path}: {error}", path = path.display())]
    Runner {
        /// The model.
        path: PathBuf,
        /// What is wrong.
        error: Box<LoadError>,
    },
    /// Its files are not those that were loaded before.
    #[error("{path}: the model's files have changed since they were loaded", path = path.display())]
    Changed {
        /// The model.
        path: PathBuf,
    },
    /// The model that is to draft for it has another vocabulary.
    #[error("{path} cannot draft: its token {token_id} is not that of {target}", path = path.display(), target = target.display())]
    DraftVocabulary {
        /// The draft model.
        path: PathBuf,
        /// The model it is to draft for.
        target: PathBuf,
        /// The first token that differs.
        token_id: u32,
    },
    /// The engine over it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ModelLoadError {
    /// A stable name for the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(_) => "model_file",
            Self::Tokenizer { .. } => "tokenizer",
            Self::Template { .. } => "chat_template",
            Self::Runner { error, .. } => error.code(),
            Self::Changed { .. } => "model_changed",
            Self::DraftVocabulary { .. } => "draft_vocabulary",
            Self::Engine(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Runner { error, .. } if error.is_retryable())
    }
}

/// What to load and how.
#[derive(Debug, Clone)]
pub struct ModelLoadOptions {
    /// A GGUF file or a Hugging Face directory.
    pub path: PathBuf,
    /// The name that clients ask for; absent: the name of the file or directory.
    pub name: Option<String>,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// How its answers are to be read.
    pub formats: FormatOptions,
    /// Threads and memory.
    pub runner: CpuRunnerOptions,
    /// The batch.
    pub engine: EngineConfig,
    /// Where digests of unchanged files are remembered.
    pub digest_cache_dir: Option<PathBuf>,
}

/// How a model's answers are to be read where its chat template does not show it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FormatOptions {
    /// How it writes calls of tools; absent: as its chat template shows.
    pub tool_calls: Option<ToolCallFormat>,
    /// How it marks its thinking; absent: as its chat template shows.
    pub reasoning: Option<ReasoningFormat>,
}

/// A running engine over a model.
pub struct LoadedModel {
    /// Its card.
    pub card: ModelCard,
    /// The numbers that define it.
    pub config: ModelConfig,
    /// Where its weights can be loaded from again.
    pub source: RunnerSource,
    /// Its tokenizer and templates.
    pub text: Arc<ModelText>,
    /// The engine.
    pub engine: EngineHandle,
    /// What the engine says.
    pub outputs: OutputReceiver,
    /// Memory of its packed weights; a step reads nearly all of them.
    pub num_weight_bytes: usize,
    /// What a step with one greedy token reads of them.
    pub num_greedy_weight_bytes: usize,
}

impl LoadedModel {
    /// Opens, packs and starts; blocks for as long as the weights take to read.
    pub fn load(options: ModelLoadOptions) -> Result<Self, ModelLoadError> {
        let path = options.path.clone();
        let file = ModelFile::open(&path)?;
        // Hashing reads the whole file, which the packing of the weights then finds in memory.
        let digest = file.digest(options.digest_cache_dir.as_deref())?;
        let tokenizer = Tokenizer::new(file.tokenizer())
            .map_err(|error| ModelLoadError::Tokenizer { path: path.clone(), error })?;
        let table = Arc::new(token_table(&tokenizer, &file));
        let mut text = model_text(&file, &path, (Arc::new(tokenizer), &table))?;
        text.formats.tool_calls = options.formats.tool_calls.unwrap_or(text.formats.tool_calls);
        text.formats.reasoning = options.formats.reasoning.or(text.formats.reasoning);
        let text = Arc::new(text);
        let runner = CpuRunner::load(&file, &options.runner)
            .map_err(|error| ModelLoadError::Runner { path: path.clone(), error: Box::new(error) })?;
        let shape = runner.shape();
        let kernel_path = runner.kernel_path();
        let num_weight_bytes = runner.num_weight_bytes();
        let num_greedy_weight_bytes = runner.num_greedy_weight_bytes();
        info!(path = %path.display(), kernel_path, num_weight_bytes, "the model is packed");
        let draft = match options.engine.speculative.as_ref().map(|config| &config.method) {
            Some(SpeculativeMethod::Draft { model }) => Some(model.clone()),
            _ => None,
        };
        let draft_runner = match &draft {
            Some(model) => {
                let file = ModelFile::open(model)?;
                check_vocabularies((&path, &text.tokenizer), (model, &file))?;
                Some(load_draft(&runner, model, &file, &options.runner)?)
            }
            None => None,
        };
        let (engine, outputs) =
            Engine::start_with_draft_model(Box::new(runner), draft_runner, table, options.engine)?;
        let card = ModelCard {
            name: options.name.unwrap_or_else(|| default_name(&path)),
            aliases: options.aliases,
            max_model_len_tokens: shape.max_model_len_tokens,
            vocab_size: shape.vocab_size,
            engine_fingerprint: engine_fingerprint(file.weight_types(), kernel_path, &digest),
            model_digest: digest.to_string(),
        };
        let (digest, options, digest_cache_dir) =
            (digest.to_string(), options.runner, options.digest_cache_dir);
        let source = RunnerSource { path, options, digest, digest_cache_dir, draft };
        let config = file.config().clone();
        Ok(Self { card, config, source, text, engine, outputs, num_weight_bytes, num_greedy_weight_bytes })
    }
}

/// Both must give the same text to every token that both have.
fn check_vocabularies(
    (target, target_tokens): (&Path, &Tokenizer),
    (path, file): (&Path, &ModelFile),
) -> Result<(), ModelLoadError> {
    let tokens = Tokenizer::new(file.tokenizer())
        .map_err(|error| ModelLoadError::Tokenizer { path: path.to_owned(), error })?;
    let num_tokens = tokens.vocab_size().min(target_tokens.vocab_size());
    let differs = |id: &u32| tokens.token_bytes(*id) != target_tokens.token_bytes(*id);
    match (0..u32::try_from(num_tokens).unwrap_or(u32::MAX)).find(differs) {
        None => Ok(()),
        Some(token_id) => Err(ModelLoadError::DraftVocabulary {
            path: path.to_owned(),
            target: target.to_owned(),
            token_id,
        }),
    }
}

fn model_text(
    file: &ModelFile,
    path: &Path,
    (tokenizer, table): (Arc<Tokenizer>, &Arc<TokenTable>),
) -> Result<ModelText, ModelLoadError> {
    let special = file.special_token_ids();
    let text_of = |id: Option<u32>| id.map(|id| tokenizer.decode(&[id], false)).unwrap_or_default();
    let special_texts = || SpecialTokenTexts {
        bos: text_of(special.bos),
        eos: text_of(special.eos.first().copied()),
        unk: text_of(special.unk),
        pad: text_of(special.pad),
    };
    let compile = |source: Option<&str>| {
        source
            .map(|source| ChatTemplate::new(source, special_texts()))
            .transpose()
            .map_err(|error| ModelLoadError::Template { path: path.to_owned(), error })
    };
    let template = compile(file.templates().select(false))?;
    let tool_template = compile(file.templates().select(true))?;
    let formats = OutputFormats::of_template(file.templates().select(true).unwrap_or_default());
    let grammars = GrammarCompiler::new(Arc::clone(table), Some(Arc::clone(&tokenizer)));
    Ok(ModelText { tokenizer, template, tool_template, formats, grammars })
}

fn token_table(tokenizer: &Tokenizer, file: &ModelFile) -> TokenTable {
    let num_tokens = u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    let tokens = (0..num_tokens).map(|id| (tokenizer.token_bytes(id), tokenizer.is_special(id)));
    TokenTable::new(tokens, file.special_token_ids().eos.clone())
}

/// The name of a directory, or of a file without its extension.
pub(crate) fn default_name(path: &Path) -> String {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
