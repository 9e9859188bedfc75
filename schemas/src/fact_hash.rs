//! What ties each fact to the one that caused it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// SHA-256 of an encoded envelope, whole: content that is kept elsewhere for its size is covered like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactHash([u8; 32]);

impl FactHash {
    /// The hash of a fact as it stands in the log.
    pub fn of(encoded_envelope: &[u8]) -> Self {
        Self(Sha256::digest(encoded_envelope).into())
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash that was written down; `None` if these are not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl FromStr for FactHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NoHash);
        }
        let mut bytes = [0; 32];
        for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let two = text.get(place..place + 2).ok_or(NoHash)?;
            *byte = u8::from_str_radix(two, 16).map_err(|_| NoHash)?;
        }
        Ok(Self(bytes))
    }
}

/// A text that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hash of 64 hexadecimal digits is needed")]
pub struct NoHash;

impl fmt::Display for FactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_sha_256_in_lower_case() {
        let empty = FactHash::of(b"");
        assert_eq!(empty.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(FactHash::from_slice(empty.as_bytes()), Some(empty));
        assert_eq!(empty.to_string().parse(), Ok(empty));
        assert_eq!("é".repeat(32).parse::<FactHash>(), Err(NoHash));
        assert_eq!(FactHash::from_slice(&[0; 31]), None);
    }
}
