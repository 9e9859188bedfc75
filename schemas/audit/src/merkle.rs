//! Merkle tree hashes as in RFC 9162, section 2.1.1: SHA-256, `0x00` before a leaf, `0x01` before two nodes.

pub mod proof;

use sha2::{Digest as _, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// The node above `left` and `right`.
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The node of a leaf with this content.
pub fn leaf_hash(content: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(content).finalize().into()
}

/// A tree of which only the roots of its perfect subtrees are kept, at most 64, largest first: enough to grow it and to
/// know its root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrowingTree {
    size: u64,
    subtrees: Vec<Hash>,
}

impl GrowingTree {
    /// A tree of `size` leaves with these subtrees; `None` if there are not as many as such a tree has.
    pub fn from_subtrees(size: u64, subtrees: Vec<Hash>) -> Option<Self> {
        (subtrees.len() == size.count_ones() as usize).then_some(Self { size, subtrees })
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Adds a leaf on the right.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one of the size is a perfect subtree that the new leaf completes to one of twice its size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.subtrees.push(node);
        self.size += 1;
    }

    /// The Merkle tree hash of all leaves; of none, the hash of nothing.
    pub fn root(&self) -> Hash {
        let from_the_right = self.subtrees.iter().rev().copied();
        from_the_right
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The leaves of the reference tree of RFC 6962's implementations, and the roots of its first trees.
    pub(crate) const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    pub(crate) fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn roots_are_those_of_the_reference_tree() {
        let mut tree = GrowingTree::default();
        assert_eq!(hex(&tree.root()), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            tree.push(leaf_hash(&unhex(leaf)));
            assert_eq!(hex(&tree.root()), *root, "{} leaves", tree.size());
        }
    }

    #[test]
    fn a_tree_grows_on_from_its_subtrees() {
        let leaf = |number: u64| leaf_hash(&number.to_be_bytes());
        let mut whole = GrowingTree::default();
        for size in 0..130 {
            let mut resumed = GrowingTree::from_subtrees(size, whole.subtrees().to_vec()).unwrap();
            whole.push(leaf(size));
            resumed.push(leaf(size));
            assert_eq!(resumed, whole);
            assert_eq!(GrowingTree::from_subtrees(size + 2, whole.subtrees().to_vec()).is_some(), {
                (size + 2).count_ones() == (size + 1).count_ones()
            });
        }
    }

    proptest::proptest! {
        #[test]
        fn the_root_is_that_of_the_recursive_definition(size in 1usize..200) {
            fn root(leaves: &[Hash]) -> Hash {
                match leaves {
                    [leaf] => *leaf,
                    _ => {
                        let split = leaves.len().next_power_of_two() / 2;
                        node_hash(&root(&leaves[..split]), &root(&leaves[split..]))
                    }
                }
            }
            let leaves: Vec<Hash> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
            let mut tree = GrowingTree::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            proptest::prop_assert_eq!(tree.root(), root(&leaves));
        }
    }
}
