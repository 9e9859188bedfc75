//! The key that wraps the keys of content, from its file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use bus::WrappingKey;

use crate::config::Config;

/// The configured key; none if the keys of content are kept as they are.
pub(crate) fn wrapping_key(config: &Config) -> Result<Option<WrappingKey>> {
    let path = config.encryption.master_key_file.as_deref();
    path.map(|path| read(path).with_context(|| format!("encryption.master_key_file {}", path.display())))
        .transpose()
}

fn read(path: &Path) -> Result<WrappingKey> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("others may read it: its mode is {:o} and must be 600", mode & 0o777);
    }
    let text = fs::read_to_string(path)?;
    let key =
        key_of(text.trim()).context("expected 64 hexadecimal digits, as from `openssl rand -hex 32`")?;
    WrappingKey::new(&key).context("this is no key")
}

fn key_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, mode: u32, expected: Result<(), &str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        match (read(file.path()), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => {
                let error = error.to_string();
                assert!(error.contains(part) && !error.contains("ab12"), "{error}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn a_key_is_64_digits_that_only_its_owner_reads() {
        let key = "ab12".repeat(16);
        check(&format!("{key}\n"), 0o600, Ok(()));
        check(&key, 0o644, Err("644"));
        check("ab12", 0o600, Err("64 hexadecimal digits"));
        check(&"é".repeat(32), 0o600, Err("64 hexadecimal digits"));
    }
}
