//! The numbers that define an encoder, from `config.json` and the files that sentence-transformers puts beside it.

use std::path::Path;

use serde::Deserialize;

use super::error::ModelFileError;
use super::hugging_face_config::read_json;

/// The `model_type`s that are encoders.
pub(crate) const ENCODER_TYPES: [&str; 1] = ["bert"];

const MAX_DIMENSION: usize = 1 << 24;

/// The numbers that define an encoder. They are consistent: heads divide the width evenly, nothing is zero.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_layers: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Width of the feed-forward layer.
    pub ffn_size: usize,
    /// Rows of the table of words.
    pub vocab_size: usize,
    /// Rows of the table of positions.
    pub num_positions: usize,
    /// Rows of the table of token types.
    pub num_token_types: usize,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f32,
    /// Longest input that the model was made for, special tokens included; at most `num_positions`.
    pub max_input_tokens: usize,
    /// What becomes of the last layer's output.
    pub head: EncoderHead,
}

/// What becomes of the last layer's output.
#[derive(Debug, Clone, PartialEq)]
pub enum EncoderHead {
    /// One vector per text.
    Embed {
        /// How a text's tokens become one vector.
        pooling: TokenPooling,
        /// Whether the vector gets the length 1.
        is_normalized: bool,
        /// Which lengths of it may be asked for.
        dimensions: Dimensions,
    },
    /// One score per pair of texts: the first token through a tanh layer and one output.
    Score {
        /// Whether the output goes through the logistic function.
        has_sigmoid: bool,
    },
}

/// How a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPooling {
    /// The first token's.
    First,
    /// The last token's.
    Last,
    /// The mean of all.
    Mean,
}

/// Which leading parts of a vector mean something by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimensions {
    /// Only the whole.
    Whole,
    /// Any part: the model was trained for it (Matryoshka).
    Any,
    /// These lengths.
    Listed(Vec<usize>),
}

impl EncoderConfig {
    /// Elements of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }
}

/// The only field that says what kind of model it is.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelTypeJson {
    pub(crate) model_type: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ConfigJson {
    #[serde(default)]
    architectures: Vec<String>,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_matryoshka: bool,
    matryoshka_dimensions: Option<Vec<usize>>,
    sentence_transformers: Option<CrossEncoderJson>,
    sbert_ce_default_activation_function: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CrossEncoderJson {
    activation_fn: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ModuleJson {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct PoolingJson {
    pooling_mode: Option<String>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Debug, Deserialize)]
struct SentenceBertJson {
    max_seq_length: Option<usize>,
}

/// Reads everything but the weights.
pub(crate) fn read(directory: &Path) -> Result<EncoderConfig, ModelFileError> {
    let path = directory.join("config.json");
    let Some(json) = read_json::<ConfigJson>(&path)? else {
        return Err(ModelFileError::NotAModel { path: directory.to_owned() });
    };
    json.check(&path)?;
    let sentence: Option<SentenceBertJson> = read_json(&directory.join("sentence_bert_config.json"))?;
    let max_seq_length =
        sentence.and_then(|json| json.max_seq_length).unwrap_or(json.max_position_embeddings);
    let is_classifier = json.architectures.iter().any(|name| name.ends_with("ForSequenceClassification"));
    let head = if is_classifier { json.score_head(&path)? } else { json.embed_head(directory)? };
    Ok(EncoderConfig {
        hidden_size: json.hidden_size,
        num_layers: json.num_hidden_layers,
        num_heads: json.num_attention_heads,
        ffn_size: json.intermediate_size,
        vocab_size: json.vocab_size,
        num_positions: json.max_position_embeddings,
        num_token_types: json.type_vocab_size,
        layer_norm_eps: json.layer_norm_eps,
        max_input_tokens: max_seq_length.clamp(1, json.max_position_embeddings),
        head,
    })
}

impl ConfigJson {
    fn check(&self, path: &Path) -> Result<(), ModelFileError> {
        let dimensions = [
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((key, value)) =
            dimensions.into_iter().find(|(_, value)| !(1..=MAX_DIMENSION).contains(value))
        {
            return Err(invalid(path, key, value.to_string(), "1 to 16777216"));
        }
        let heads = self.num_attention_heads;
        let head_dim = self.hidden_size / heads;
        if !self.hidden_size.is_multiple_of(heads) || !head_dim.is_multiple_of(16) || head_dim > 256 {
            let expected = "hidden_size in heads of a multiple of 16 elements, at most 256";
            return Err(invalid(path, "num_attention_heads", heads.to_string(), expected));
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps.is_finite()) {
            return Err(invalid(
                path,
                "layer_norm_eps",
                self.layer_norm_eps.to_string(),
                "a positive number",
            ));
        }
        if self.hidden_act != "gelu" {
            return Err(invalid(path, "hidden_act", self.hidden_act.clone(), "gelu"));
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => Ok(()),
            Some(kind) => Err(invalid(path, "position_embedding_type", kind.to_owned(), "absolute")),
        }
    }

    fn score_head(&self, path: &Path) -> Result<EncoderHead, ModelFileError> {
        let named = self.sentence_transformers.as_ref().and_then(|json| json.activation_fn.as_deref());
        let activation = named.or(self.sbert_ce_default_activation_function.as_deref());
        let has_sigmoid = match activation.map(last_segment) {
            None | Some("Sigmoid") => true,
            Some("Identity") => false,
            Some(_) => {
                let value = activation.unwrap_or_default().to_owned();
                return Err(invalid(
                    path,
                    "sentence_transformers.activation_fn",
                    value,
                    "Sigmoid or Identity",
                ));
            }
        };
        Ok(EncoderHead::Score { has_sigmoid })
    }

    fn embed_head(&self, directory: &Path) -> Result<EncoderHead, ModelFileError> {
        let dimensions = match &self.matryoshka_dimensions {
            Some(listed) => Dimensions::Listed(listed.clone()),
            None if self.is_matryoshka => Dimensions::Any,
            None => Dimensions::Whole,
        };
        let modules_path = directory.join("modules.json");
        // Without modules a model gets the mean and unit length, as sentence-transformers gives it.
        let Some(modules) = read_json::<Vec<ModuleJson>>(&modules_path)? else {
            let pooling = TokenPooling::Mean;
            return Ok(EncoderHead::Embed { pooling, is_normalized: true, dimensions });
        };
        let (mut pooling, mut is_normalized) = (TokenPooling::Mean, false);
        for module in &modules {
            match last_segment(&module.kind) {
                "Transformer" if module.path.is_empty() => {}
                "Pooling" => pooling = read_pooling(directory, &modules_path, &module.path)?,
                "Normalize" => is_normalized = true,
                _ => {
                    let expected = "a Transformer at the top, a Pooling or a Normalize";
                    let value = format!("{} at {:?}", module.kind, module.path);
                    return Err(invalid(&modules_path, "type", value, expected));
                }
            }
        }
        Ok(EncoderHead::Embed { pooling, is_normalized, dimensions })
    }
}

fn read_pooling(directory: &Path, modules: &Path, folder: &str) -> Result<TokenPooling, ModelFileError> {
    // A name with a path in it could make this process read files outside the model.
    if Path::new(folder).file_name() != Some(folder.as_ref()) {
        return Err(invalid(modules, "path", format!("{folder:?}"), "the name of a folder beside it"));
    }
    let path = directory.join(folder).join("config.json");
    let Some(json) = read_json::<PoolingJson>(&path)? else {
        return Err(ModelFileError::MissingKey { path, key: "pooling_mode".to_owned() });
    };
    json.pooling(&path)
}

impl PoolingJson {
    fn pooling(&self, path: &Path) -> Result<TokenPooling, ModelFileError> {
        let flags = [
            ("cls", self.pooling_mode_cls_token),
            ("mean", self.pooling_mode_mean_tokens),
            ("lasttoken", self.pooling_mode_lasttoken),
            ("max", self.pooling_mode_max_tokens),
            ("mean_sqrt_len_tokens", self.pooling_mode_mean_sqrt_len_tokens),
            ("weightedmean", self.pooling_mode_weightedmean_tokens),
        ];
        let flagged = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(mode, _)| mode);
        let modes: Vec<&str> =
            self.pooling_mode.as_deref().map_or_else(|| flagged.collect(), |mode| vec![mode]);
        match modes[..] {
            ["cls"] => Ok(TokenPooling::First),
            ["mean"] => Ok(TokenPooling::Mean),
            ["lasttoken"] => Ok(TokenPooling::Last),
            _ => Err(invalid(path, "pooling_mode", format!("{modes:?}"), "one of cls, mean and lasttoken")),
        }
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

fn invalid(path: &Path, key: &str, value: String, expected: &str) -> ModelFileError {
    ModelFileError::InvalidKey {
        path: path.to_owned(),
        key: key.to_owned(),
        value,
        expected: expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(changes: Value, files: &[(&str, Value)], expected: Result<EncoderHead, &str>) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = json!({
            "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 96, "vocab_size": 10, "max_position_embeddings": 32,
            "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        for (name, json) in files.iter().cloned().chain([("config.json", config)]) {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, json.to_string()).unwrap();
        }
        let found = read(directory.path()).map(|config| config.head).map_err(|error| error.to_string());
        match (&found, &expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            _ => panic!("{found:?} is not {expected:?}"),
        }
    }

    fn embed(pooling: TokenPooling, is_normalized: bool) -> Result<EncoderHead, &'static str> {
        Ok(EncoderHead::Embed { pooling, is_normalized, dimensions: Dimensions::Whole })
    }

    fn modules(kinds: &[(&str, &str)]) -> Value {
        kinds.iter().map(|(kind, path)| json!({"path": path, "type": format!("x.models.{kind}")})).collect()
    }

    #[test]
    fn the_neighbours_say_what_becomes_of_the_output() {
        check(json!({}), &[], embed(TokenPooling::Mean, true));
        let plain = modules(&[("Transformer", ""), ("Pooling", "1_Pooling")]);
        let whole = modules(&[("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]);
        let cls = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false});
        let files = [("modules.json", plain.clone()), ("1_Pooling/config.json", cls.clone())];
        check(json!({}), &files, embed(TokenPooling::First, false));
        let last = json!({"pooling_mode": "lasttoken"});
        check(
            json!({}),
            &[("modules.json", whole), ("1_Pooling/config.json", last)],
            embed(TokenPooling::Last, true),
        );
        let two = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true});
        let files = [("modules.json", plain.clone()), ("1_Pooling/config.json", two)];
        check(json!({}), &files, Err("one of cls, mean and lasttoken"));
        check(json!({}), &[("modules.json", plain)], Err("`pooling_mode` is missing"));
        check(json!({}), &[("modules.json", modules(&[("Dense", "2_Dense")]))], Err("x.models.Dense"));
        check(json!({}), &[("modules.json", modules(&[("Pooling", "../x")]))], Err("the name of a folder"));
    }

    #[test]
    fn a_classifier_of_one_label_scores() {
        let classifier = |more: Value| {
            let mut config = json!({"architectures": ["BertForSequenceClassification"]});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            config
        };
        check(classifier(json!({})), &[], Ok(EncoderHead::Score { has_sigmoid: true }));
        let identity =
            json!({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}});
        check(classifier(identity), &[], Ok(EncoderHead::Score { has_sigmoid: false }));
        let odd = json!({"sbert_ce_default_activation_function": "torch.nn.ReLU"});
        check(classifier(odd), &[], Err("Sigmoid or Identity"));
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        check(json!({"num_attention_heads": 3}), &[], Err("num_attention_heads"));
        check(json!({"num_attention_heads": 8}), &[], Err("multiple of 16"));
        check(json!({"hidden_size": 0}), &[], Err("hidden_size"));
        check(json!({"hidden_act": "relu"}), &[], Err("expected gelu"));
        check(json!({"layer_norm_eps": 0.0}), &[], Err("layer_norm_eps"));
        check(json!({"position_embedding_type": "relative_key"}), &[], Err("absolute"));
    }
}
