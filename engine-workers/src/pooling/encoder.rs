//! An encoder on the processor: token ids in, one vector or score per input out.

use kernels::{Isa, KernelError, Pool};

use super::forward::Forward;
use super::vector::{normalize, pool, sigmoid};
use super::weights::{EncoderWeights, ScoreHead};
use crate::cpu_runner::error::LoadError;
use crate::cpu_runner::kernel_path;
use crate::cpu_runner::options::CpuRunnerOptions;
use crate::model_file::encoder::EncoderFile;
use crate::model_file::encoder_config::{EncoderConfig, EncoderHead, TokenPooling};

/// One input: a text, or a pair of texts one after the other. Not empty, within the model's vocabulary and length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncoderInput {
    /// The tokens, special ones included.
    pub token_ids: Vec<u32>,
    /// Where the second text of a pair begins; the number of tokens when there is one text.
    pub second_start: usize,
}

/// An encoder whose weights are packed in memory, with its compute threads.
///
/// The result of an input is a function of that input alone: bit for bit the same whatever shares its batch, however many
/// threads run and on every instruction set.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    pool: Pool,
    weights: EncoderWeights,
    head: Head,
    forward: Forward,
    max_input_tokens: usize,
}

#[derive(Debug)]
enum Head {
    Embed { pooling: TokenPooling, is_normalized: bool },
    Score { layers: ScoreHead, has_sigmoid: bool },
}

impl Encoder {
    /// Packs the weights. Of the options the threads, the instruction set and the longest input matter.
    ///
    /// # Errors
    /// [`LoadError`] if an option is out of range or a tensor cannot be used.
    pub fn load(file: &EncoderFile, options: &CpuRunnerOptions) -> Result<Self, LoadError> {
        options.check()?;
        let config = file.config().clone();
        let pool = Pool::new(options.num_threads, options.isa.unwrap_or_else(Isa::detect))?;
        let weights = EncoderWeights::load(file, &pool)?;
        let head = match config.head {
            EncoderHead::Embed { pooling, is_normalized, .. } => Head::Embed { pooling, is_normalized },
            EncoderHead::Score { has_sigmoid } => {
                Head::Score { layers: ScoreHead::load(file, &pool)?, has_sigmoid }
            }
        };
        let forward = Forward::new(&config);
        let max_input_tokens = options
            .max_model_len_tokens
            .map_or(config.max_input_tokens, |max| max.min(config.max_input_tokens));
        Ok(Self { config, pool, weights, head, forward, max_input_tokens })
    }

    /// The numbers that define it.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Most tokens of one input.
    pub fn max_input_tokens(&self) -> usize {
        self.max_input_tokens
    }

    /// Bytes of the packed matrices.
    pub fn num_weight_bytes(&self) -> usize {
        self.weights.num_bytes()
    }

    /// The path that the kernels take, for the fingerprint.
    pub fn kernel_path(&self) -> &'static str {
        kernel_path(self.pool.isa())
    }

    /// One vector per input, or a vector of one score.
    ///
    /// # Errors
    /// [`KernelError`] for an input outside of the vocabulary, the positions or the token types.
    pub fn encode(&mut self, inputs: &[&EncoderInput]) -> Result<Vec<Vec<f32>>, KernelError> {
        let Self { config, pool: threads, weights, head, forward, .. } = self;
        if let Some(input) = inputs.iter().find(|input| input.token_ids.is_empty()) {
            let (op, operand) = ("encode", "input");
            let (expected, actual) = ([1, 1], [1, input.token_ids.len()]);
            return Err(KernelError::ShapeMismatch { op, operand, expected, actual });
        }
        forward.run(threads, weights, inputs)?;
        match head {
            Head::Score { layers, has_sigmoid } => {
                let scores = forward.scores(threads, layers)?;
                Ok(scores.into_iter().map(|x| vec![if *has_sigmoid { sigmoid(x) } else { x }]).collect())
            }
            Head::Embed { pooling, is_normalized } => Ok((0..inputs.len())
                .map(|index| {
                    let mut vector = pool(forward.rows(index), config.hidden_size, *pooling);
                    if *is_normalized {
                        normalize(&mut vector);
                    }
                    vector
                })
                .collect()),
        }
    }
}
