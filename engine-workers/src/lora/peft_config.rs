//! `adapter_config.json` as PEFT writes it.

use serde::Deserialize;
use serde_json::Value;

use super::error::LoraError;

/// What decides the numbers; what would change them and is not supported is refused.
#[derive(Debug, Deserialize)]
pub(super) struct PeftConfig {
    r: usize,
    lora_alpha: f64,
    peft_type: Option<String>,
    bias: Option<String>,
    use_rslora: Option<bool>,
    use_dora: Option<bool>,
    lora_bias: Option<bool>,
    fan_in_fan_out: Option<bool>,
    modules_to_save: Option<Value>,
    rank_pattern: Option<Value>,
    alpha_pattern: Option<Value>,
    layer_replication: Option<Value>,
    trainable_token_indices: Option<Value>,
    target_parameters: Option<Value>,
}

impl PeftConfig {
    /// The rank of every pair, within the bound.
    pub(super) fn rank(&self, max_rank: usize) -> Result<usize, LoraError> {
        if (1..=max_rank).contains(&self.r) {
            return Ok(self.r);
        }
        Err(refused("r", self.r.to_string(), format!("at most {max_rank} is allowed here, and at least 1")))
    }

    /// What the product of a pair is multiplied by: `alpha / r`, or `alpha / √r` (Kalajdzievski 2023).
    pub(super) fn scale(&self) -> Result<f32, LoraError> {
        let rank = self.r as f64;
        let divisor = if self.use_rslora == Some(true) { rank.sqrt() } else { rank };
        let scale = (self.lora_alpha / divisor) as f32;
        if scale.is_finite() {
            return Ok(scale);
        }
        Err(refused("lora_alpha", self.lora_alpha.to_string(), "a finite number is needed"))
    }

    /// `Err` names the first feature that is not supported.
    pub(super) fn check(&self) -> Result<(), LoraError> {
        if let Some(kind) = self.peft_type.as_deref().filter(|kind| *kind != "LORA") {
            return Err(refused("peft_type", shown(kind), "only LORA is supported"));
        }
        if let Some(bias) = self.bias.as_deref().filter(|bias| *bias != "none") {
            return Err(refused("bias", shown(bias), "only none is supported"));
        }
        let flags = [
            ("use_dora", self.use_dora),
            ("lora_bias", self.lora_bias),
            ("fan_in_fan_out", self.fan_in_fan_out),
        ];
        if let Some((key, _)) = flags.into_iter().find(|(_, flag)| *flag == Some(true)) {
            return Err(refused(key, "true".to_owned(), "which is not supported"));
        }
        let features = [
            ("modules_to_save", &self.modules_to_save),
            ("rank_pattern", &self.rank_pattern),
            ("alpha_pattern", &self.alpha_pattern),
            ("layer_replication", &self.layer_replication),
            ("trainable_token_indices", &self.trainable_token_indices),
            ("target_parameters", &self.target_parameters),
        ];
        match features.into_iter().find(|(_, value)| value.as_ref().is_some_and(|value| !is_empty(value))) {
            Some((key, _)) => Err(refused(key, "set".to_owned(), "which is not supported")),
            None => Ok(()),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

fn refused(key: &'static str, value: String, expected: impl Into<String>) -> LoraError {
    LoraError::Config { key, value, expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(more: Value) -> PeftConfig {
        let mut config =
            json!({"r": 8, "lora_alpha": 16, "peft_type": "LORA", "bias": "none", "rank_pattern": {}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    fn check(more: Value, expected: &str) {
        let config = config(more);
        let outcome = config.check().and_then(|()| config.rank(64)).and_then(|_| config.scale());
        let message = outcome.map_or_else(|error| error.to_string(), |scale| scale.to_string());
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_its_key() {
        check(json!({"modules_to_save": null, "use_dora": false}), "2");
        check(json!({"use_rslora": true, "r": 16}), "4");
        check(json!({"use_dora": true}), "`use_dora` is true");
        check(json!({"bias": "all"}), "`bias` is \"all\"");
        check(json!({"modules_to_save": ["lm_head"]}), "`modules_to_save` is set");
        check(json!({"rank_pattern": {"q_proj": 4}}), "`rank_pattern` is set");
        check(json!({"peft_type": "IA3"}), "`peft_type` is \"IA3\"");
        check(json!({"r": 65}), "`r` is 65, at most 64");
        check(json!({"r": 0}), "`r` is 0");
        check(json!({"lora_alpha": 1e300}), "`lora_alpha`");
    }
}
