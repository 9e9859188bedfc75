//! Which tokens a grammar allows.

use llguidance::toktrie::SimpleVob;

const BITS: usize = 32;

/// Allowed tokens, one bit each.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenMask {
    bits: SimpleVob,
    /// Only tokens that end the answer are allowed.
    is_end: bool,
}

impl TokenMask {
    /// `eos_token_ids` end the answer; they are in `bits` where the text so far is whole. Without `allows_eos` they are
    /// left out unless nothing else can follow.
    pub(super) fn new(mut bits: SimpleVob, eos_token_ids: &[u32], allows_eos: bool) -> Self {
        let num_eos = eos_token_ids.iter().filter(|id| is_set(&bits, **id)).count();
        let is_end = bits.num_set() == num_eos;
        if !allows_eos && !is_end {
            for id in eos_token_ids {
                if is_set(&bits, *id) {
                    bits.disallow_token(*id);
                }
            }
        }
        TokenMask { bits, is_end }
    }

    /// All of `num_tokens` but some.
    pub(super) fn any_but(num_tokens: usize, excluded: &[u32]) -> Self {
        Self::new(SimpleVob::alloc_ones(num_tokens), excluded, false)
    }

    /// Whether nothing but the end may follow.
    pub fn is_end(&self) -> bool {
        self.is_end
    }

    /// Whether a token may follow.
    pub fn allows(&self, token_id: u32) -> bool {
        is_set(&self.bits, token_id)
    }

    /// Excludes what is not allowed from `logits [vocab_size]`; rows beyond the vocabulary stand for nothing.
    pub fn apply(&self, logits: &mut [f32]) {
        let words = self.bits.as_slice();
        let num_masked = self.bits.len().min(logits.len());
        let (masked, padding) = logits.split_at_mut(num_masked);
        for (chunk, word) in masked.chunks_mut(BITS).zip(words) {
            match *word {
                0 => chunk.fill(f32::NEG_INFINITY),
                u32::MAX => {}
                word => {
                    for (bit, logit) in chunk.iter_mut().enumerate() {
                        if word & (1 << bit) == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
        padding.fill(f32::NEG_INFINITY);
    }
}

fn is_set(bits: &SimpleVob, token_id: u32) -> bool {
    (token_id as usize) < bits.len() && bits.is_allowed(token_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(len: usize, set: &[u32]) -> SimpleVob {
        let mut bits = SimpleVob::alloc(len);
        set.iter().for_each(|token| bits.allow_token(*token));
        bits
    }

    #[test]
    fn only_allowed_tokens_keep_their_logits() {
        for num_logits in [40, 70, 100] {
            let all: Vec<u32> = (32..64).collect();
            let set = [&[3, 31][..], &all, &[69]].concat();
            let mask = TokenMask::new(bits(70, &set), &[0], true);
            let mut logits = vec![1.0_f32; num_logits];
            mask.apply(&mut logits);
            for (token, logit) in (0..).zip(logits) {
                assert_eq!(logit == 1.0, set.contains(&token), "{token} of {num_logits}");
                assert_eq!(mask.allows(token), set.contains(&token));
            }
        }
    }

    #[test]
    fn a_preface_may_hold_anything_but_an_end() {
        let mask = TokenMask::any_but(40, &[5, 99]);
        assert!((0..40).all(|token| mask.allows(token) == (token != 5)) && !mask.is_end());
    }

    #[test]
    fn the_end_is_left_out_on_request_unless_nothing_else_follows() {
        let check = |set: &[u32], allows_eos, expected: (bool, bool)| {
            let mask = TokenMask::new(bits(40, set), &[5, 6, 99], allows_eos);
            assert_eq!((mask.is_end(), mask.allows(5)), expected, "{set:?}");
        };
        check(&[1, 5, 6], true, (false, true));
        check(&[1, 5, 6], false, (false, false));
        check(&[5, 6], false, (true, true));
        check(&[1], true, (false, false));
    }
}
