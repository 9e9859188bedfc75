//! Whom a client asks for.

use sha2::{Digest as _, Sha256};

/// What the record knows an end user by: 32 hexadecimal digits that follow from the client's own name for them. Whoever can
/// guess the name can tell that it is this one.
pub fn end_user_fingerprint(name: &str) -> String {
    let digest = Sha256::new().chain_update("jetmill end user v1\0").chain_update(name).finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_one_name_and_hides_it() {
        let ann = end_user_fingerprint("ann");
        assert_eq!(ann, end_user_fingerprint("ann"));
        assert_ne!(ann, end_user_fingerprint("bob"));
        assert!(ann.len() == 32 && ann.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
