//! What the tokens of a model cost.

use std::fmt;

use schemas::{Amount, v1::Price};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MAX_NUM_CURRENCY_CHARS: usize = 12;

/// What is known of a model, an alias or an adapter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelConfig {
    /// Absent: nothing is said of costs.
    pub(crate) price: Option<PriceConfig>,
}

/// Prices of a million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceConfig {
    pub(crate) currency: Currency,
    pub(crate) input: Decimal,
    /// Of tokens that the prefix cache held; absent: as any other of the prompt.
    #[serde(default)]
    pub(crate) cached_input: Option<Decimal>,
    pub(crate) output: Decimal,
}

/// A currency's name: "USD".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Currency(String);

/// An amount, written as a number or as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal(Amount);

impl PriceConfig {
    /// As it is recorded.
    pub(crate) fn to_fact(&self) -> Price {
        Price {
            currency: self.currency.0.clone(),
            input_nanos_per_million: self.input.0.nanos,
            cached_input_nanos_per_million: self.cached_input.unwrap_or(self.input).0.nanos,
            output_nanos_per_million: self.output.0.nanos,
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        if is_name && text.len() <= MAX_NUM_CURRENCY_CHARS {
            Ok(Self(text))
        } else {
            Err("expected a currency like USD")
        }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Decimal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount like 0.15")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
        text.parse().map(Decimal).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Decimal, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Decimal, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest decimal that stands for the number, which is what was written.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Decimal, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_the_same_price() {
        let read = |text: &str| toml::from_str::<PriceConfig>(text).unwrap();
        let number = read("currency = \"USD\"\ninput = 0.15\noutput = 1");
        assert_eq!(number, read("currency = \"USD\"\ninput = \"0.15\"\noutput = \"1.0\""));
        let price = number.to_fact();
        assert_eq!(
            (price.input_nanos_per_million, price.output_nanos_per_million),
            (150_000_000, 1_000_000_000)
        );
        assert_eq!(price.cached_input_nanos_per_million, 150_000_000);
        for decimal in [0.1, 0.3, 0.000_000_001, 123_456.789] {
            let price = read(&format!("currency = \"USD\"\ninput = {decimal}\noutput = 0"));
            assert_eq!(price.input.0, decimal.to_string().parse().unwrap());
        }
    }
}
