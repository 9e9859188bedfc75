//! The content hash of a full KV block.

use std::fmt;

/// What besides tokens decides whether two sequences may share a cached block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheKey {
    /// Tenants that must not share cache get different salts.
    pub salt: Option<String>,
    /// Digest of the adapter (LoRA) that the keys and values were computed with.
    pub adapter: Option<String>,
}

/// `h_i = blake3(h_{i-1}, extra, tokens of block i)`: collision-resistant, because tenants share the pool and a
/// collision would show one tenant's context to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockHash(pub [u8; 32]);

impl BlockHash {
    /// Hash of a full block after `parent`. The salt enters through the first block, and through it all later ones.
    pub fn of(parent: Option<&BlockHash>, block_tokens: &[u32], key: &CacheKey) -> Self {
        let mut hasher = blake3::Hasher::new();
        match parent {
            Some(parent) => {
                hasher.update(&[1]);
                hasher.update(&parent.0);
            }
            None => {
                hasher.update(&[0]);
                update_optional(&mut hasher, key.salt.as_deref());
            }
        }
        update_optional(&mut hasher, key.adapter.as_deref());
        for token in block_tokens {
            hasher.update(&token.to_le_bytes());
        }
        BlockHash(*hasher.finalize().as_bytes())
    }
}

/// Presence and length come first, so that no two inputs run together into the same bytes.
fn update_optional(hasher: &mut blake3::Hasher, text: Option<&str>) {
    match text {
        Some(text) => {
            hasher.update(&[1]);
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        None => {
            hasher.update(&[0]);
        }
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "BlockHash({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(salt: Option<&str>, adapter: Option<&str>) -> CacheKey {
        CacheKey { salt: salt.map(str::to_owned), adapter: adapter.map(str::to_owned) }
    }

    #[test]
    fn every_part_of_the_input_changes_the_hash() {
        let plain = BlockHash::of(None, &[1, 2], &key(None, None));
        let all = [
            plain,
            BlockHash::of(None, &[1, 3], &key(None, None)),
            BlockHash::of(None, &[1, 2], &key(Some("a"), None)),
            BlockHash::of(None, &[1, 2], &key(Some(""), None)),
            BlockHash::of(None, &[1, 2], &key(None, Some("a"))),
            BlockHash::of(None, &[1, 2], &key(Some("a"), Some("a"))),
            BlockHash::of(Some(&plain), &[1, 2], &key(None, None)),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn the_salt_reaches_later_blocks_through_the_chain() {
        let later = |salt| {
            let first = BlockHash::of(None, &[1, 2], &key(salt, None));
            BlockHash::of(Some(&first), &[3, 4], &key(salt, None))
        };
        assert_ne!(later(None), later(Some("tenant")));
        assert_eq!(later(Some("tenant")), later(Some("tenant")));
    }
}
