//! The order in which free blocks are taken.

use crate::batching::block_table::BlockId;

#[derive(Debug, Clone, Copy, Default)]
struct Links {
    previous: Option<BlockId>,
    next: Option<BlockId>,
    is_linked: bool,
}

/// A doubly linked list threaded through the blocks: a block leaves the middle in O(1) when it is hit again.
#[derive(Debug)]
pub struct FreeQueue {
    links: Vec<Links>,
    head: Option<BlockId>,
    tail: Option<BlockId>,
    len: usize,
}

impl FreeQueue {
    /// All of `num_blocks` blocks, in the order of their ids.
    pub fn full(num_blocks: u32) -> Self {
        let mut queue =
            FreeQueue { links: vec![Links::default(); num_blocks as usize], head: None, tail: None, len: 0 };
        for id in 0..num_blocks {
            queue.push_back(BlockId(id));
        }
        queue
    }

    /// Free blocks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no block is free.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `block` is free.
    pub fn contains(&self, block: BlockId) -> bool {
        self.links[block.index()].is_linked
    }

    /// The next block to take: the longest unused one.
    pub fn pop_front(&mut self) -> Option<BlockId> {
        let head = self.head?;
        self.remove(head);
        Some(head)
    }

    /// Makes `block` the next to be taken. A block that is linked already stays where it is.
    pub fn push_front(&mut self, block: BlockId) {
        if self.contains(block) {
            return;
        }
        self.links[block.index()] = Links { previous: None, next: self.head, is_linked: true };
        match self.head {
            Some(old) => self.links[old.index()].previous = Some(block),
            None => self.tail = Some(block),
        }
        self.head = Some(block);
        self.len += 1;
    }

    /// Makes `block` the last to be taken. A block that is linked already stays where it is.
    pub fn push_back(&mut self, block: BlockId) {
        if self.contains(block) {
            return;
        }
        self.links[block.index()] = Links { previous: self.tail, next: None, is_linked: true };
        match self.tail {
            Some(old) => self.links[old.index()].next = Some(block),
            None => self.head = Some(block),
        }
        self.tail = Some(block);
        self.len += 1;
    }

    /// Unlinks `block`, wherever it is; false if it was not free.
    pub fn remove(&mut self, block: BlockId) -> bool {
        let Links { previous, next, is_linked } = std::mem::take(&mut self.links[block.index()]);
        if !is_linked {
            return false;
        }
        match previous {
            Some(previous) => self.links[previous.index()].next = next,
            None => self.head = next,
        }
        match next {
            Some(next) => self.links[next.index()].previous = previous,
            None => self.tail = previous,
        }
        self.len -= 1;
        true
    }

    /// Free blocks, next to be taken first.
    pub fn iter(&self) -> impl Iterator<Item = BlockId> + '_ {
        std::iter::successors(self.head, |block| self.links[block.index()].next)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_deque(operations in prop::collection::vec((0_u8..4, 0_u32..8), 0..200)) {
            let mut queue = FreeQueue::full(8);
            let mut model: VecDeque<BlockId> = (0..8).map(BlockId).collect();
            for (operation, id) in operations {
                let block = BlockId(id);
                match operation {
                    0 => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                    1 => {
                        let was_free = model.contains(&block);
                        model.retain(|other| *other != block);
                        prop_assert_eq!(queue.remove(block), was_free);
                    }
                    2 => {
                        queue.push_front(block);
                        if !model.contains(&block) { model.push_front(block); }
                    }
                    _ => {
                        queue.push_back(block);
                        if !model.contains(&block) { model.push_back(block); }
                    }
                }
                prop_assert_eq!(queue.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
