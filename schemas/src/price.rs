//! What an inference costs: integers only, so that every fold of the log ends with the same sum.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::v1::{Cost, Price, Usage};

const NANOS_PER_UNIT: u64 = 1_000_000_000;
const MAX_NUM_DECIMALS: usize = 9;
/// Prices are for so many tokens.
const NUM_PRICED_TOKENS: u128 = 1_000_000;

/// An amount of some currency, in billionths of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    /// Billionths.
    pub nanos: u64,
}

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an amount like 0.15: digits, and at most nine of them behind the point")]
pub struct AmountError;

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > MAX_NUM_DECIMALS {
            return Err(AmountError);
        }
        let whole: u64 = whole.parse().map_err(|_| AmountError)?;
        let nanos: u64 = format!("{decimals:0<MAX_NUM_DECIMALS$}").parse().map_err(|_| AmountError)?;
        let nanos = whole.checked_mul(NANOS_PER_UNIT).and_then(|whole| whole.checked_add(nanos));
        nanos.map(|nanos| Self { nanos }).ok_or(AmountError)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nanos) = (self.nanos / NANOS_PER_UNIT, self.nanos % NANOS_PER_UNIT);
        match format!("{nanos:09}").trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

impl Price {
    /// `cost = (input · (prompt − cached) + cached_input · cached + output · completion) / 1,000,000`, in billionths of
    /// the currency, half of one rounded up. Tokens of thoughts are tokens of the completion.
    pub fn cost(&self, usage: &Usage) -> Cost {
        let cached = usage.num_cached_prompt_tokens.min(usage.num_prompt_tokens);
        let parts = [
            (self.input_nanos_per_million, usage.num_prompt_tokens - cached),
            (self.cached_input_nanos_per_million, cached),
            (self.output_nanos_per_million, usage.num_completion_tokens),
        ];
        // Each product has at most 96 bits.
        let sum: u128 = parts.iter().map(|(nanos, tokens)| u128::from(*nanos) * u128::from(*tokens)).sum();
        let nanos = (sum + NUM_PRICED_TOKENS / 2) / NUM_PRICED_TOKENS;
        Cost { currency: self.currency.clone(), nanos: u64::try_from(nanos).unwrap_or(u64::MAX) }
    }
}

impl Cost {
    /// The amount.
    pub const fn amount(&self) -> Amount {
        Amount { nanos: self.nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_as_decimals() {
        for (text, nanos) in
            [("0", 0), ("15", 15_000_000_000), ("0.15", 150_000_000), ("1.000000001", 1_000_000_001)]
        {
            let amount: Amount = text.parse().unwrap();
            assert_eq!((amount.nanos, amount.to_string().as_str()), (nanos, text));
        }
        assert_eq!("0.50".parse::<Amount>().unwrap().to_string(), "0.5");
        let too_many = "99999999999999999999";
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0,15", "0.0000000001", "NaN", too_many] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError), "{text}");
        }
    }

    fn check(price: [&str; 3], tokens: [u32; 3], expected: &str) {
        let [input, cached, output] = price.map(|text| text.parse::<Amount>().unwrap().nanos);
        let price = Price {
            currency: "USD".to_owned(),
            input_nanos_per_million: input,
            cached_input_nanos_per_million: cached,
            output_nanos_per_million: output,
        };
        let [num_prompt_tokens, num_cached_prompt_tokens, num_completion_tokens] = tokens;
        let usage =
            Usage { num_prompt_tokens, num_cached_prompt_tokens, num_completion_tokens, ..Usage::default() };
        assert_eq!(price.cost(&usage).amount().to_string(), expected, "{price:?} {usage:?}");
    }

    #[test]
    fn a_cost_is_exact_and_rounded_once() {
        check(["0.15", "0.075", "0.6"], [1_000_000, 0, 1_000_000], "0.75");
        check(["0.15", "0.075", "0.6"], [1_000, 400, 10], "0.000126");
        check(["0.1", "0", "0.2"], [3, 0, 0], "0.0000003");
        check(["0.0005", "0", "0"], [1, 0, 0], "0.000000001");
        check(["0.000499999", "0", "0"], [1, 0, 0], "0");
        check(["0.0003", "0", "0.0003"], [1, 0, 1], "0.000000001");
        check(["1", "0", "0"], [5, 9, 0], "0");
        check(["18446744073", "0", "18446744073"], [u32::MAX, 0, u32::MAX], "18446744073.709551615");
    }
}
