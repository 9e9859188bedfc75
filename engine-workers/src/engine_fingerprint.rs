//! What names an engine exactly enough that two of one name answer with the same tokens.

use std::collections::BTreeMap;

use kernels::WeightType;

use crate::model_file::digest::ModelDigest;

/// Digest of the sources of the engine, the kernels and the batching scheduler.
const BUILD: &str = env!("JETMILL_ENGINE_BUILD");

/// `jetmill-<version>+<build>-<kernel path>-<quantisation>-<model digest>`; digests are shortened to 32 and 48 bits.
///
/// `tensors` are the types of the weights with their bytes.
pub fn engine_fingerprint(
    tensors: impl Iterator<Item = (WeightType, usize)>,
    kernel_path: &str,
    digest: &ModelDigest,
) -> String {
    let digest = digest.to_string();
    let digest = digest.rsplit(':').next().and_then(|hex| hex.get(..12)).unwrap_or("unknown");
    let (version, quantisation) = (env!("CARGO_PKG_VERSION"), quantisation(tensors));
    format!("jetmill-{version}+{BUILD}-{kernel_path}-{quantisation}-{digest}")
}

/// The type that most bytes of the weights have, with a `+` if there are others beside f32.
fn quantisation(tensors: impl Iterator<Item = (WeightType, usize)>) -> String {
    let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
    for (ty, num_bytes) in tensors {
        *bytes.entry(ty.name()).or_default() += num_bytes;
    }
    let most = bytes.iter().max_by_key(|(_, num_bytes)| **num_bytes).map_or("none", |(name, _)| *name);
    let is_mixed = bytes.keys().any(|name| *name != most && *name != WeightType::F32.name());
    format!("{most}{}", if is_mixed { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tensors: &[(WeightType, usize)], expected: &str) {
        assert_eq!(quantisation(tensors.iter().copied()), expected);
    }

    #[test]
    fn the_type_of_most_bytes_names_the_quantisation() {
        check(&[(WeightType::F32, 9)], "f32");
        check(&[(WeightType::F32, 9), (WeightType::Q4_1, 90)], "q4_1");
        check(&[(WeightType::Q8_0, 40), (WeightType::Q4K, 90), (WeightType::Q8_0, 60)], "q8_0+");
        check(&[], "none");
    }

    #[test]
    fn the_build_is_a_digest() {
        assert!(BUILD.len() == 8 && BUILD.bytes().all(|byte| byte.is_ascii_hexdigit()), "{BUILD}");
    }
}
