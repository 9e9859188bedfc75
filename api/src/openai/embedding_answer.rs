//! The answer of `/v1/embeddings`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::v1::{Ended, Pooled};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openai::embedding_request::EncodingFormat;

/// One vector per input.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingAnswer {
    id: String,
    object: &'static str,
    created: u64,
    data: Vec<Embedding>,
    model: String,
    usage: PoolingUsage,
}

/// The vector of one input.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// A vector as it was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// Token counts; nothing is generated.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct PoolingUsage {
    prompt_tokens: u32,
    total_tokens: u32,
}

impl PoolingUsage {
    pub(crate) fn of(ended: &Ended) -> Self {
        let num_tokens = ended.usage.unwrap_or_default().num_prompt_tokens;
        Self { prompt_tokens: num_tokens, total_tokens: num_tokens }
    }
}

impl EmbeddingAnswer {
    pub(crate) fn new(id: String, created: u64, model: String, ended: Ended, format: EncodingFormat) -> Self {
        let usage = PoolingUsage::of(&ended);
        let embedding = |(index, pooled): (usize, Pooled)| Embedding {
            object: "embedding",
            index,
            embedding: Vector::new(pooled.values, format),
        };
        let data = ended.pooled.into_iter().enumerate().map(embedding).collect();
        Self { id: format!("embd-{id}"), object: "list", created, data, model, usage }
    }
}

impl Vector {
    fn new(values: Vec<f32>, format: EncodingFormat) -> Self {
        match format {
            EncodingFormat::Float => Self::Float(values),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}
