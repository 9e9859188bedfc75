use super::MAX_ROWS_PER_BLOCK;
use super::format::Panel;
use crate::lanes::{self, Lanes};

const CACHE_LINE: usize = 64;

/// Up to so many rows, reading the weights is what takes the time, and the processor's own prefetching stops at each 4 KiB.
const MAX_ROWS_TO_PREFETCH: usize = 4;

/// Asks for what lies ahead of a group's share of a panel, if reading is what takes the time and these are the first rows that need it.
#[inline(always)]
pub(super) fn prefetch_group<V: Lanes, const NUM_ROWS: usize>(
    panel: Panel,
    (index, group_bytes): (usize, usize),
    first_row: usize,
) {
    let are_first = panel.first_lane == 0 && first_row.is_multiple_of(MAX_ROWS_PER_BLOCK);
    if NUM_ROWS <= MAX_ROWS_TO_PREFETCH && are_first {
        // Panels lie one after the other, so what follows this one is the next.
        let ahead = panel.start.wrapping_add(index * group_bytes + V::READ_AHEAD);
        for line in 0..group_bytes.div_ceil(CACHE_LINE) {
            lanes::prefetch(ahead.wrapping_add(line * CACHE_LINE));
        }
    }
}
