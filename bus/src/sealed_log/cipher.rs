//! AES-256-GCM with a key that is used for few messages, each under a random nonce.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::BusError;

pub(crate) const KEY_BYTES: usize = 32;

/// Seals and opens.
pub(crate) struct Cipher(LessSafeKey);

/// What was sealed.
pub(crate) struct SealedBytes {
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) ciphertext: Vec<u8>,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], BusError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| BusError::Refused("the system gives no randomness".to_owned()))?;
    Ok(bytes)
}

impl Cipher {
    /// `None` if these are not 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new).map(Self)
    }

    /// Seals `plain`; `about` is authenticated with it and must be told again to open it.
    pub(crate) fn seal(&self, plain: &[u8], about: &str) -> Result<SealedBytes, BusError> {
        let nonce = random()?;
        let mut ciphertext = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        ciphertext.extend_from_slice(plain);
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(about.as_bytes()),
                &mut ciphertext,
            )
            .map_err(|_| BusError::Refused("content is too long to be sealed".to_owned()))?;
        Ok(SealedBytes { nonce, ciphertext })
    }

    /// What was sealed; `None` if it was another key, or anything was changed.
    pub(crate) fn open(&self, nonce: &[u8], mut ciphertext: Vec<u8>, about: &str) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let num_bytes = self.0.open_in_place(nonce, Aad::from(about.as_bytes()), &mut ciphertext).ok()?.len();
        ciphertext.truncate(num_bytes);
        Some(ciphertext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_is_opened() {
        let cipher = Cipher::new(&[7; KEY_BYTES]).unwrap();
        let SealedBytes { nonce, ciphertext } = cipher.seal(b"hush", "a").unwrap();
        assert_eq!(cipher.open(&nonce, ciphertext.clone(), "a").unwrap(), b"hush");
        assert!(cipher.open(&nonce, ciphertext.clone(), "b").is_none());
        assert!(cipher.open(&nonce[1..], ciphertext.clone(), "a").is_none());
        let other = Cipher::new(&[8; KEY_BYTES]).unwrap();
        assert!(other.open(&nonce, ciphertext.clone(), "a").is_none());
        let mut changed = ciphertext;
        changed[0] ^= 1;
        assert!(cipher.open(&nonce, changed, "a").is_none());
        assert!(Cipher::new(&[7; 31]).is_none());
        assert!(!format!("{cipher:?}").contains('7'));
    }
}
