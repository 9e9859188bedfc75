//! Whatever model a path holds, made ready to answer.

use crate::loaded_model::{LoadedModel, ModelLoadError, ModelLoadOptions};
use crate::model_file::encoder::is_encoder;
use crate::pooling::loaded_encoder::LoadedEncoder;
use crate::worker::ModelCard;

/// A model made ready to answer.
pub enum ServedModel {
    /// One that generates text.
    Generator(Box<LoadedModel>),
    /// One that gives vectors or scores.
    Encoder(Box<LoadedEncoder>),
}

impl ServedModel {
    /// Opens, packs and starts what the path holds; blocks for as long as the weights take to read.
    ///
    /// # Errors
    /// [`ModelLoadError`] for whatever is missing, corrupt or not supported.
    pub fn load(options: ModelLoadOptions) -> Result<Self, ModelLoadError> {
        if is_encoder(&options.path)? {
            return LoadedEncoder::load(options).map(|encoder| Self::Encoder(Box::new(encoder)));
        }
        LoadedModel::load(options).map(|model| Self::Generator(Box::new(model)))
    }

    /// Its card.
    pub fn card(&self) -> &ModelCard {
        match self {
            Self::Generator(model) => &model.card,
            Self::Encoder(encoder) => &encoder.card,
        }
    }
}
