//! Ids that follow from a batch: whoever works on it comes to the same ones.

use schemas::v1::BatchPlace;
use schemas::{BatchId, FileId, InferenceId, TenantId};
use uuid::Builder;

/// A prompt of a line of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePlace<'a> {
    /// Whose batch.
    pub tenant: &'a TenantId,
    /// Which.
    pub batch: &'a BatchId,
    /// From 1.
    pub line_number: u64,
    /// From 0.
    pub prompt_index: u32,
}

/// The files that a batch writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultFile {
    /// Its answers.
    Output,
    /// The lines that have none.
    Errors,
}

impl LinePlace<'_> {
    /// The id of its inference.
    pub fn inference_id(&self) -> InferenceId {
        let mut hasher = blake3::Hasher::new_derive_key("jetmill inference of a batch v1");
        for name in [self.tenant.as_str(), self.batch.as_str()] {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        hasher.update(&self.line_number.to_le_bytes());
        hasher.update(&self.prompt_index.to_le_bytes());
        InferenceId::new(uuid_of(hasher.finalize().as_bytes()))
    }

    /// The same as the fact says it.
    pub fn to_fact(self, num_prompts: usize) -> BatchPlace {
        BatchPlace {
            batch: self.batch.to_string(),
            line_number: self.line_number,
            prompt_index: self.prompt_index,
            num_prompts: u32::try_from(num_prompts).unwrap_or(u32::MAX),
        }
    }
}

impl ResultFile {
    /// The id of the batch's file.
    pub fn id(self, tenant: &TenantId, batch: &BatchId) -> FileId {
        let context = match self {
            Self::Output => "jetmill output of a batch v1",
            Self::Errors => "jetmill errors of a batch v1",
        };
        let digest = blake3::derive_key(context, format!("{tenant}.{batch}").as_bytes());
        FileId::slug(&format!("file-{}", uuid_of(&digest).simple()))
    }

    /// What its client sees as its name.
    pub fn filename(self, batch: &BatchId) -> String {
        match self {
            Self::Output => format!("{batch}_output.jsonl"),
            Self::Errors => format!("{batch}_error.jsonl"),
        }
    }
}

/// Version 8: made by a rule of our own.
fn uuid_of(digest: &[u8; 32]) -> uuid::Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_place_has_an_id_of_its_own_and_always_the_same() {
        let mut ids = HashSet::new();
        for tenant in ["a", "ab"] {
            for batch in ["b", "c"] {
                let (tenant, batch) = (TenantId::slug(tenant), BatchId::slug(batch));
                for line_number in [1, 2, 1 << 40] {
                    for prompt_index in [0, 1] {
                        let place = LinePlace { tenant: &tenant, batch: &batch, line_number, prompt_index };
                        assert_eq!(place.inference_id(), place.inference_id());
                        assert!(ids.insert(place.inference_id()));
                    }
                }
            }
        }
        let (tenant, batch) = (TenantId::slug("a"), BatchId::slug("b"));
        assert_ne!(ResultFile::Output.id(&tenant, &batch), ResultFile::Errors.id(&tenant, &batch));
    }
}
