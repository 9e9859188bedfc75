//! Proofs about single records and between checkpoints, made from the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::{EventLog, ReadFrom};
use schemas::v1::CheckpointSigned;

use crate::AuditError;
use crate::checkpoint;
use crate::checkpoint_log::CheckpointLog;
use crate::leaf::Leaf;
use crate::merkle::proof::{RecentLeaves, is_included};
use crate::merkle::{GrowingTree, Hash};
use crate::stored_records::StoredRecords;

/// That a record stands in the log that was signed.
#[derive(Debug, Clone, PartialEq)]
pub struct InclusionProof {
    /// The record.
    pub leaf: Leaf,
    /// Its place among the leaves.
    pub leaf_index: u64,
    /// From the leaf to the root, lowest first.
    pub path: Vec<Hash>,
    /// The first checkpoint that covers it.
    pub checkpoint: CheckpointSigned,
}

impl InclusionProof {
    /// Whether the path leads to the root; whether that was signed is another question.
    pub fn holds(&self) -> bool {
        let root = <Hash>::try_from(self.checkpoint.root_hash.as_slice());
        let size = self.checkpoint.tree_size;
        root.is_ok_and(|root| is_included(&self.leaf.hash(), self.leaf_index, size, &self.path, &root))
    }
}

/// That the newest checkpoint goes on from an older one.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsistencyProof {
    /// The older one.
    pub since: CheckpointSigned,
    /// The newest one.
    pub newest: CheckpointSigned,
    /// As RFC 9162 has it.
    pub path: Vec<Hash>,
}

/// Proves each record that a checkpoint covers; those that none covers yet, or that are gone, are left out. Reads what was
/// logged between the checkpoints around them.
pub async fn prove_inclusion(
    log: &Arc<dyn EventLog>,
    sequences: &[u64],
) -> Result<BTreeMap<u64, InclusionProof>, AuditError> {
    let checkpoints = CheckpointLog::new(Arc::clone(log));
    let mut proofs = BTreeMap::new();
    let mut stretch: Option<Stretch> = None;
    for &sequence in sequences {
        if !stretch.as_ref().is_some_and(|stretch| stretch.covers(sequence)) {
            stretch = Stretch::read(log.as_ref(), &checkpoints, sequence).await?;
        }
        let proof = stretch.as_ref().and_then(|stretch| stretch.prove(sequence));
        proofs.extend(proof.map(|proof| (sequence, proof)));
    }
    Ok(proofs)
}

/// Proves that the newest checkpoint goes on from the one of this number; `None` if there is no such one.
pub async fn prove_consistency(
    log: &Arc<dyn EventLog>,
    since: u64,
) -> Result<Option<ConsistencyProof>, AuditError> {
    let checkpoints = CheckpointLog::new(Arc::clone(log));
    let (Some(since), Some(newest)) = (checkpoints.get(since).await?, checkpoints.newest().await?) else {
        return Ok(None);
    };
    let base = checkpoint::believed(&since)?;
    let leaves = leaves_between(log.as_ref(), since.last_sequence, newest.last_sequence).await?;
    let refused = AuditError::Checkpoint {
        number: newest.number,
        reason: "the records since the older one are not those of its tree, or have aged away",
    };
    let tree = RecentLeaves { base, leaves: leaves.iter().map(Leaf::hash).collect() };
    if tree.size() != newest.tree_size {
        return Err(refused);
    }
    let path = tree.consistency_path().ok_or(refused)?;
    Ok(Some(ConsistencyProof { since, newest, path }))
}

/// The records that one checkpoint signed beyond the one before it.
struct Stretch {
    after_sequence: u64,
    checkpoint: CheckpointSigned,
    leaves: Vec<Leaf>,
    tree: RecentLeaves,
}

impl Stretch {
    async fn read(
        log: &dyn EventLog,
        checkpoints: &CheckpointLog,
        sequence: u64,
    ) -> Result<Option<Self>, AuditError> {
        let before = checkpoints.last_before(sequence).await?;
        let number = before.as_ref().map_or(0, |before| before.number) + 1;
        let Some(checkpoint) = checkpoints.get(number).await? else { return Ok(None) };
        let base = before.as_ref().map_or_else(|| Ok(GrowingTree::default()), checkpoint::believed)?;
        let after_sequence = before.map_or(0, |before| before.last_sequence);
        let leaves = leaves_between(log, after_sequence, checkpoint.last_sequence).await?;
        let tree = RecentLeaves { base, leaves: leaves.iter().map(Leaf::hash).collect() };
        Ok(Some(Self { after_sequence, checkpoint, leaves, tree }))
    }

    fn covers(&self, sequence: u64) -> bool {
        (self.after_sequence + 1..=self.checkpoint.last_sequence).contains(&sequence)
    }

    fn prove(&self, sequence: u64) -> Option<InclusionProof> {
        let place = self.leaves.iter().position(|leaf| leaf.sequence == sequence)?;
        let leaf_index = self.tree.base.size() + place as u64;
        let path = self.tree.inclusion_path(leaf_index)?;
        let checkpoint = self.checkpoint.clone();
        let proof = InclusionProof { leaf: self.leaves[place], leaf_index, path, checkpoint };
        proof.holds().then_some(proof)
    }
}

async fn leaves_between(log: &dyn EventLog, after: u64, last: u64) -> Result<Vec<Leaf>, AuditError> {
    if last <= after {
        return Ok(Vec::new());
    }
    let from = ReadFrom::Sequence(after + 1);
    let mut records = StoredRecords::open(log, from).await?;
    let mut leaves = Vec::new();
    while leaves.last().is_none_or(|leaf: &Leaf| leaf.sequence < last)
        && let Some(record) = records.next().await?
    {
        leaves.push(record.leaf());
    }
    Ok(leaves)
}
