//! Inclusion and consistency proofs as in RFC 9162, sections 2.1.3 and 2.1.4, for a tree of which only the latest leaves are
//! at hand.

use super::{GrowingTree, Hash, node_hash};

/// A tree that is known by its perfect subtrees up to some leaf, and from there on leaf by leaf.
#[derive(Debug, Clone, Default)]
pub struct RecentLeaves {
    /// Everything before `leaves`.
    pub base: GrowingTree,
    /// What follows.
    pub leaves: Vec<Hash>,
}

impl RecentLeaves {
    /// Number of leaves, those of the base included.
    pub fn size(&self) -> u64 {
        self.base.size() + self.leaves.len() as u64
    }

    /// The path from a leaf to the root, lowest first; `None` for a leaf of the base or one that is not there.
    pub fn inclusion_path(&self, index: u64) -> Option<Vec<Hash>> {
        if index < self.base.size() || index >= self.size() {
            return None;
        }
        let (mut path, mut left, mut right) = (Vec::new(), 0, self.size());
        while right - left > 1 {
            let middle = left + split(right - left);
            if index < middle {
                path.push(self.node(middle, right)?);
                right = middle;
            } else {
                path.push(self.node(left, middle)?);
                left = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// What proves that this tree grew out of its base; empty if they are the same, or the base is of nothing.
    pub fn consistency_path(&self) -> Option<Vec<Hash>> {
        let old_size = self.base.size();
        if old_size == 0 || self.leaves.is_empty() {
            return Some(Vec::new());
        }
        let (mut path, mut left, mut right) = (Vec::new(), 0, self.size());
        while right != old_size {
            let middle = left + split(right - left);
            if old_size <= middle {
                path.push(self.node(middle, right)?);
                right = middle;
            } else {
                path.push(self.node(left, middle)?);
                left = middle;
            }
        }
        // The whole old tree is known to whoever verifies; a part of it is not.
        if left > 0 {
            path.push(self.node(left, right)?);
        }
        path.reverse();
        Some(path)
    }

    /// The node over the leaves from `left` to before `right`; both proofs ask only for subtrees that the base has whole.
    fn node(&self, left: u64, right: u64) -> Option<Hash> {
        let base_size = self.base.size();
        if right <= base_size {
            return self.base_subtree(left, right);
        }
        if right - left == 1 {
            return self.leaves.get(usize::try_from(left - base_size).ok()?).copied();
        }
        let middle = left + split(right - left);
        Some(node_hash(&self.node(left, middle)?, &self.node(middle, right)?))
    }

    fn base_subtree(&self, left: u64, right: u64) -> Option<Hash> {
        let mut start = 0;
        let sizes = (0..64).rev().map(|bit| 1u64 << bit).filter(|size| self.base.size() & size != 0);
        sizes.zip(self.base.subtrees()).find_map(|(size, subtree)| {
            let is_it = (start, start + size) == (left, right);
            start += size;
            is_it.then_some(*subtree)
        })
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Whether a leaf is at `index` of the tree with this size and root.
pub fn is_included(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut at, mut last) = (*leaf, index, size - 1);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// Whether the tree of the second size and root grew out of that of the first.
pub fn is_consistent(first: (u64, &Hash), second: (u64, &Hash), path: &[Hash]) -> bool {
    let ((first_size, first_root), (second_size, second_root)) = (first, second);
    if first_size == second_size {
        return path.is_empty() && first_root == second_root;
    }
    if first_size == 0 || first_size > second_size {
        return first_size == 0 && path.is_empty();
    }
    let start = first_size.is_power_of_two().then_some(*first_root);
    let mut path = start.iter().chain(path);
    let Some(seed) = path.next() else { return false };
    let (mut old, mut new, mut at, mut last) = (*seed, *seed, first_size - 1, second_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == *first_root && new == *second_root
}

#[cfg(test)]
mod tests {
    use super::super::leaf_hash;
    use super::super::tests::{LEAVES, hex, unhex};
    use super::*;

    fn tree(base_size: u64, leaves: &[Hash]) -> RecentLeaves {
        let (before, after) = leaves.split_at(base_size as usize);
        let mut base = GrowingTree::default();
        before.iter().for_each(|leaf| base.push(*leaf));
        RecentLeaves { base, leaves: after.to_vec() }
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut tree = GrowingTree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree.root()
    }

    /// The vectors of the reference implementations of RFC 6962.
    #[test]
    fn paths_are_those_of_the_reference_tree() {
        let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&unhex(leaf))).collect();
        let paths = |path: Option<Vec<Hash>>| path.unwrap().iter().map(|node| hex(node)).collect::<Vec<_>>();
        let expected = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(paths(tree(0, &leaves).inclusion_path(0)), expected);
        assert_eq!(
            paths(tree(0, &leaves[..3]).inclusion_path(2)),
            ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
        );
        assert_eq!(
            paths(tree(6, &leaves).consistency_path()),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn every_leaf_is_proven_from_every_base_and_nothing_else_is() {
        let leaves: Vec<Hash> = (0..21u64).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        for size in 1..=leaves.len() as u64 {
            let whole = &leaves[..size as usize];
            let top = root(whole);
            for base_size in 0..=size {
                let tree = tree(base_size, whole);
                for index in base_size..size {
                    let path = tree.inclusion_path(index).unwrap();
                    let leaf = &whole[index as usize];
                    assert!(
                        is_included(leaf, index, size, &path, &top),
                        "{index} of {size} from {base_size}"
                    );
                    assert!(!is_included(&[7; 32], index, size, &path, &top));
                    assert!(size == 1 || !is_included(leaf, (index + 1) % size, size, &path, &top));
                    assert!(!is_included(leaf, index, size, &[&path[..], &[[7; 32]]].concat(), &top));
                }
                assert_eq!(tree.inclusion_path(size), None);
                let old = root(&leaves[..base_size as usize]);
                let path = tree.consistency_path().unwrap();
                assert!(is_consistent((base_size, &old), (size, &top), &path), "{base_size} in {size}");
                if base_size > 0 {
                    assert!(!is_consistent((base_size, &[7; 32]), (size, &top), &path));
                    assert!(!is_consistent((base_size, &old), (size, &[7; 32]), &path));
                }
            }
        }
    }
}
