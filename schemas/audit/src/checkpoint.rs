//! A signed root: making and believing one.

use schemas::v1::CheckpointSigned;

use crate::AuditError;
use crate::keys::{PublicKey, SigningKey, to_hex};
use crate::merkle::{GrowingTree, Hash};

/// Which checkpoint, and up to where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) number: u64,
    pub(crate) last_sequence: u64,
    pub(crate) signed_at_unix_nanos: u64,
}

/// The text that is signed; the protocol file says the same.
fn text(position: &Position, tree_size: u64, root: &[u8]) -> String {
    format!(
        "jetmill.checkpoint.v1\n{}\n{tree_size}\n{}\n{}\n{}\n",
        position.number,
        position.last_sequence,
        position.signed_at_unix_nanos,
        to_hex(root)
    )
}

/// Signs the tree as it stands.
pub(crate) fn sign(tree: &GrowingTree, position: &Position, key: &SigningKey) -> CheckpointSigned {
    let root = tree.root();
    CheckpointSigned {
        number: position.number,
        tree_size: tree.size(),
        last_sequence: position.last_sequence,
        signed_at_unix_nanos: position.signed_at_unix_nanos,
        root_hash: root.to_vec(),
        signature: key.sign(&text(position, tree.size(), &root)).to_vec(),
        public_key: key.public_key().as_bytes().to_vec(),
        subtrees: tree.subtrees().iter().map(|subtree| subtree.to_vec()).collect(),
    }
}

/// Whether `key` signed it.
pub(crate) fn is_signed_by(checkpoint: &CheckpointSigned, key: &PublicKey) -> bool {
    let position = Position {
        number: checkpoint.number,
        last_sequence: checkpoint.last_sequence,
        signed_at_unix_nanos: checkpoint.signed_at_unix_nanos,
    };
    key.verifies(&text(&position, checkpoint.tree_size, &checkpoint.root_hash), &checkpoint.signature)
}

/// The tree that it vouches for; `None` if its subtrees are not those of its root.
pub(crate) fn tree_of(checkpoint: &CheckpointSigned) -> Option<GrowingTree> {
    let subtrees: Option<Vec<Hash>> =
        checkpoint.subtrees.iter().map(|subtree| subtree.as_slice().try_into().ok()).collect();
    let tree = GrowingTree::from_subtrees(checkpoint.tree_size, subtrees?)?;
    (tree.root().as_slice() == checkpoint.root_hash).then_some(tree)
}

/// The tree of a checkpoint that the log holds, which must be signed by the key that it names.
pub(crate) fn believed(checkpoint: &CheckpointSigned) -> Result<GrowingTree, AuditError> {
    let refused = |reason| AuditError::Checkpoint { number: checkpoint.number, reason };
    let key = PublicKey::from_slice(&checkpoint.public_key).ok_or_else(|| refused("it names no key"))?;
    if !is_signed_by(checkpoint, &key) {
        return Err(refused("its signature is not its key's"));
    }
    tree_of(checkpoint).ok_or_else(|| refused("its subtrees are not those of its root"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf_hash;

    #[test]
    fn every_signed_field_is_covered_and_the_tree_comes_back() {
        let key = SigningKey::new(&[1; 32]);
        let mut tree = GrowingTree::default();
        (0..11u8).for_each(|leaf| tree.push(leaf_hash(&[leaf])));
        let position = Position { number: 3, last_sequence: 14, signed_at_unix_nanos: 99 };
        let signed = sign(&tree, &position, &key);
        assert!(is_signed_by(&signed, &key.public_key()));
        assert_eq!(believed(&signed).unwrap(), tree);
        let changes: [fn(&mut CheckpointSigned); 6] = [
            |it| it.number += 1,
            |it| it.tree_size += 1,
            |it| it.last_sequence += 1,
            |it| it.signed_at_unix_nanos += 1,
            |it| it.root_hash[0] ^= 1,
            |it| it.signature[0] ^= 1,
        ];
        for change in changes {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!is_signed_by(&changed, &key.public_key()));
        }
        let mut changed = signed;
        changed.subtrees[1][0] ^= 1;
        assert!(believed(&changed).is_err());
    }
}
