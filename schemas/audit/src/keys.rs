//! The key that signs checkpoints, and the one that verifies them.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _};

use crate::AuditError;

/// Signs checkpoints; never shown.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// The key of these 32 random bytes.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The key in a file: 64 hexadecimal digits. A file that is missing is made of `fresh_seed`, for its owner alone to read;
    /// of several processes that make it at once, all take the first one's.
    pub fn load_or_create(path: &Path, fresh_seed: &[u8; 32]) -> Result<Self, AuditError> {
        let failed = |error| AuditError::File { path: path.to_owned(), error };
        if !path.exists() {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir).map_err(failed)?;
            }
            create(path, fresh_seed).map_err(failed)?;
        }
        Self::load(path)
    }

    /// The key in a file that exists.
    pub fn load(path: &Path) -> Result<Self, AuditError> {
        let text =
            fs::read_to_string(path).map_err(|error| AuditError::File { path: path.to_owned(), error })?;
        let seed = from_hex(text.trim()).ok_or_else(|| AuditError::Key {
            what: path.display().to_string(),
            expected: "a key of 64 hexadecimal digits",
        })?;
        Ok(Self::new(&seed))
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, text: &str) -> [u8; 64] {
        self.0.sign(text.as_bytes()).to_bytes()
    }
}

/// The whole key appears under its name at once, so that nobody reads half of it.
fn create(path: &Path, seed: &[u8; 32]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    writeln!(file, "{}", to_hex(seed))?;
    file.sync_all()?;
    let linked = match fs::hard_link(&fresh, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    linked.and(fs::remove_file(&fresh))
}

/// Verifies checkpoints. Its text is 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(text.as_bytes(), &signature).is_ok())
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        ed25519_dalek::VerifyingKey::try_from(bytes).ok().map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(self.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text).and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| AuditError::Key {
            what: "the public key".to_owned(),
            expected: "an Ed25519 key of 64 hexadecimal digits",
        })
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/audit.key");
        let first = SigningKey::load_or_create(&path, &[7; 32]).unwrap();
        let second = SigningKey::load_or_create(&path, &[8; 32]).unwrap();
        assert_eq!(first.public_key(), second.public_key());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(!format!("{first:?}").contains("07"));
    }

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        let seed = from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::new(&seed);
        let text = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.public_key().to_string(), text);
        assert_eq!(text.parse::<PublicKey>().unwrap(), key.public_key());
        let signature = key.sign("");
        assert!(
            to_hex(&signature)
                .starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
        );
        assert!(key.public_key().verifies("", &signature));
        assert!(!key.public_key().verifies("x", &signature));
        assert!("d75a98".parse::<PublicKey>().is_err());
        assert!("é".repeat(32).parse::<PublicKey>().is_err());
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = SigningKey::load_or_create(file.path(), &[7; 32]).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
