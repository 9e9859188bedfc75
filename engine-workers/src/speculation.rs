//! Speculative decoding: tokens that are likely to follow are computed in the step that verifies them.
//!
//! A step computes the row of a sequence's last token and one row per draft. Each row is sampled as it would be without
//! drafts: with the request's own rules, the answer so far and the draw of the token's index. While the sampled token is the
//! draft, the next row holds what plain decoding would have computed, bit for bit, since a row's logits depend on its
//! sequence alone; at the first other token the rest is dropped. So answers do not depend on drafts, at any temperature:
//! drafts decide only how many tokens a step brings. Leviathan et al. 2023, with a coupling by the draw instead of
//! rejection sampling. Start reading at `drafter`.

pub mod config;

pub(crate) mod drafter;

mod draft_model;
mod draft_value;
mod hit_rate;
mod ngram_index;
mod prompt_lookup;
