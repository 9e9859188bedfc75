//! The layout of a panel: 16 rows by all columns.
//!
//! A panel of `n` groups (of 32 columns) is `n` quant tiles, then `n` scale records. That of a K type is one block after the other:
//! 8 quant tiles, 8 scale records, the block's own record, filled up to whole cache lines. Tile byte `64·(k / 4) + 4·row + k % 4` is element `k` of a row, so a 64-byte vector holds four
//! columns of all rows, as int8 dot products want them. Narrow quants are split into planes:
//! nibbles (vector `j` in the low halves of vector `j`, `j + 4` in the high halves), then single bits (5-bit types) or bit
//! pairs (6-bit types, vector `j` in bits `2·(j % 4)` of vector `j / 4`).
//! Floats are `columns × 16 rows`, in their own type.

use crate::dequantize::dequantize_row;
use crate::group::{BLOCK_SIZE, GROUP_SIZE, GROUPS_PER_BLOCK, k_factors, q6k_factor, read_quants};
use crate::lanes::NUM_LANES;
use crate::{MatrixSource, WeightType};

pub(crate) const NIBBLE_BYTES: usize = NUM_LANES * GROUP_SIZE / 2;

/// Bytes of the quants of 16 rows by 32 columns.
pub(crate) const fn tile_bytes(weight_type: WeightType) -> usize {
    match weight_type {
        WeightType::Q4_0 | WeightType::Q4_1 | WeightType::Q4K => NIBBLE_BYTES,
        WeightType::Q5_0 | WeightType::Q5_1 | WeightType::Q5K => NIBBLE_BYTES + NIBBLE_BYTES / 4,
        WeightType::Q6K => NIBBLE_BYTES + NIBBLE_BYTES / 2,
        WeightType::Q8_0 => 2 * NIBBLE_BYTES,
        WeightType::F32 => 4 * NUM_LANES * GROUP_SIZE,
        WeightType::F16 | WeightType::BF16 => 2 * NUM_LANES * GROUP_SIZE,
    }
}

/// Bytes of a scale record: f16 scales, f16 scales and offsets, or one or two int8 factors.
pub(crate) const fn record_bytes(weight_type: WeightType) -> usize {
    match weight_type {
        WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Q8_0 => 2 * NUM_LANES,
        WeightType::Q4_1 | WeightType::Q5_1 => 4 * NUM_LANES,
        WeightType::Q4K | WeightType::Q5K => NUM_LANES,
        WeightType::Q6K => 2 * NUM_LANES,
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => 0,
    }
}

/// Bytes of the block record of a K type: f16 scales, and for two types negated f16 offsets and the groups' minima, two
/// vectors of four groups by 16 rows.
pub(crate) const fn block_record_bytes(weight_type: WeightType) -> usize {
    match weight_type {
        WeightType::Q4K | WeightType::Q5K => (4 + GROUPS_PER_BLOCK) * NUM_LANES,
        WeightType::Q6K => 2 * NUM_LANES,
        _ => 0,
    }
}

/// Bytes of a block of a K type, in whole cache lines.
pub(crate) const fn block_bytes(weight_type: WeightType) -> usize {
    let groups = GROUPS_PER_BLOCK * (tile_bytes(weight_type) + record_bytes(weight_type));
    (groups + block_record_bytes(weight_type)).next_multiple_of(64)
}

/// Bytes of a panel, in whole cache lines.
pub(crate) const fn num_bytes(weight_type: WeightType, num_cols: usize) -> usize {
    match weight_type.block_size() {
        BLOCK_SIZE => num_cols / BLOCK_SIZE * block_bytes(weight_type),
        GROUP_SIZE => (num_cols / GROUP_SIZE * (tile_bytes(weight_type) + record_bytes(weight_type)))
            .next_multiple_of(64),
        _ => (num_cols * NUM_LANES * weight_type.block_bytes()).next_multiple_of(64),
    }
}

/// Fills panel `index`, which is all zeros, from up to 16 rows of the source. Rows that do not exist stay zero.
pub(crate) fn pack(source: &MatrixSource<'_>, index: usize, panel: &mut [u8]) {
    let row_bytes = source.bytes.len() / source.num_rows.max(1);
    let first = index * NUM_LANES;
    let num_rows = NUM_LANES.min(source.num_rows - first);
    for lane in 0..num_rows {
        let row = &source.bytes[(first + lane) * row_bytes..][..row_bytes];
        match source.weight_type.block_size() {
            BLOCK_SIZE => pack_blocks(source.weight_type, row, lane, panel),
            GROUP_SIZE => pack_groups(source.weight_type, row, lane, panel),
            _ => pack_float_row(source.weight_type.block_bytes(), row, lane, panel),
        }
    }
}

/// Reads one row of a panel back, as [`crate::dequantize`] would its source.
pub(crate) fn read_row(weight_type: WeightType, panel: &[u8], lane: usize, out: &mut [f32]) {
    let num_groups = out.len() / GROUP_SIZE;
    let mut block = [0; 4 * GROUP_SIZE];
    for (index, values) in out.chunks_mut(GROUP_SIZE).enumerate() {
        let num_bytes = if weight_type == WeightType::Q8_0 {
            let tile = &panel[index * tile_bytes(weight_type)..];
            let records = &panel[num_groups * tile_bytes(weight_type)..];
            let scale = &records[index * record_bytes(weight_type) + 2 * lane..][..2];
            block[..2].copy_from_slice(scale);
            for (j, quants) in block[2..][..GROUP_SIZE].chunks_exact_mut(4).enumerate() {
                quants.copy_from_slice(&tile[64 * j + 4 * lane..][..4]);
                quants.iter_mut().for_each(|quant| *quant ^= 0x80);
            }
            2 + GROUP_SIZE
        } else {
            let size = weight_type.block_bytes();
            let elements = panel[index * GROUP_SIZE * NUM_LANES * size..].chunks_exact(NUM_LANES * size);
            for (element, all) in block.chunks_exact_mut(size).zip(elements).take(values.len()) {
                element.copy_from_slice(&all[lane * size..][..size]);
            }
            values.len() * size
        };
        dequantize_row(weight_type, &block[..num_bytes], values);
    }
}

/// Fills a 4-bit panel with the high halves of a panel of bytes and with its scales. False if one of these is negative or not finite.
pub(crate) fn pack_high_halves(bytes: &[u8], num_cols: usize, high: &mut [u8]) -> bool {
    let num_groups = num_cols / GROUP_SIZE;
    let (tiles, records) = bytes.split_at(num_groups * tile_bytes(WeightType::Q8_0));
    let (high_tiles, high_records) = high.split_at_mut(num_groups * NIBBLE_BYTES);
    for (tile, nibbles) in tiles.chunks_exact(2 * NIBBLE_BYTES).zip(high_tiles.chunks_exact_mut(NIBBLE_BYTES))
    {
        let (low_vectors, high_vectors) = tile.split_at(NIBBLE_BYTES);
        for ((nibbles, low), high) in nibbles.iter_mut().zip(low_vectors).zip(high_vectors) {
            *nibbles = low >> 4 | high & 0xf0;
        }
    }
    let records = &records[..num_groups * record_bytes(WeightType::Q8_0)];
    high_records[..records.len()].copy_from_slice(records);
    const INFINITY: u16 = 0x7c00;
    records.as_chunks().0.iter().all(|scale| u16::from_le_bytes(*scale) < INFINITY)
}

fn pack_float_row(element_bytes: usize, row: &[u8], lane: usize, panel: &mut [u8]) {
    for (k, element) in row.chunks_exact(element_bytes).enumerate() {
        panel[(k * NUM_LANES + lane) * element_bytes..][..element_bytes].copy_from_slice(element);
    }
}

fn pack_blocks(weight_type: WeightType, row: &[u8], lane: usize, panel: &mut [u8]) {
    let groups_bytes = GROUPS_PER_BLOCK * (tile_bytes(weight_type) + record_bytes(weight_type));
    let blocks = row.chunks_exact(weight_type.block_bytes());
    for (block, place) in blocks.zip(panel.chunks_exact_mut(block_bytes(weight_type))) {
        let (groups, record) = place.split_at_mut(groups_bytes);
        pack_groups(weight_type, block, lane, groups);
        if weight_type == WeightType::Q6K {
            record[2 * lane..][..2].copy_from_slice(&block[208..210]);
            continue;
        }
        record[2 * lane..][..2].copy_from_slice(&block[..2]);
        let negated = [block[2], block[3] ^ 0x80];
        record[2 * (NUM_LANES + lane)..][..2].copy_from_slice(&negated);
        let minima = &mut record[4 * NUM_LANES..];
        for group in 0..GROUPS_PER_BLOCK {
            let [_, minimum] = k_factors(&block[4..16], group);
            minima[(group / 4 * NUM_LANES + lane) * 4 + group % 4] = minimum;
        }
    }
}

fn pack_groups(weight_type: WeightType, row: &[u8], lane: usize, panel: &mut [u8]) {
    let num_groups = row.len() / weight_type.block_bytes() * weight_type.block_size() / GROUP_SIZE;
    let (tiles, records) = panel.split_at_mut(num_groups * tile_bytes(weight_type));
    for index in 0..num_groups {
        let quants = read_quants(weight_type, row, index);
        pack_quants(
            weight_type,
            &quants,
            lane,
            &mut tiles[index * tile_bytes(weight_type)..][..tile_bytes(weight_type)],
        );
        let block = &row[index * GROUP_SIZE / weight_type.block_size() * weight_type.block_bytes()..];
        let record = &mut records[index * record_bytes(weight_type)..];
        pack_scales(weight_type, block, index, [lane, NUM_LANES + lane], record);
    }
}

#[inline]
fn pack_quants(weight_type: WeightType, quants: &[u8; GROUP_SIZE], lane: usize, tile: &mut [u8]) {
    if weight_type == WeightType::Q8_0 {
        for (vector, quants) in tile.chunks_exact_mut(64).zip(quants.as_chunks::<4>().0) {
            vector[4 * lane..][..4].copy_from_slice(quants);
        }
        return;
    }
    let (nibbles, high_bits) = tile.split_at_mut(NIBBLE_BYTES);
    let halves: [u8; GROUP_SIZE / 2] = std::array::from_fn(|k| quants[k] & 15 | (quants[k + 16] & 15) << 4);
    for (vector, halves) in nibbles.chunks_exact_mut(64).zip(halves.as_chunks::<4>().0) {
        vector[4 * lane..][..4].copy_from_slice(halves);
    }
    match weight_type {
        WeightType::Q5_0 | WeightType::Q5_1 | WeightType::Q5K => {
            for (mask, quants) in high_bits.chunks_exact_mut(8).zip(quants.as_chunks::<4>().0) {
                let mut bits = 0;
                for (i, quant) in quants.iter().enumerate() {
                    bits |= (quant >> 4) << i;
                }
                mask[lane / 2] |= bits << (lane % 2 * 4);
            }
        }
        WeightType::Q6K => {
            for (vector, quants) in high_bits.chunks_exact_mut(64).zip(quants.as_chunks::<16>().0) {
                let pairs: [u8; 4] = std::array::from_fn(|i| {
                    quants[i] >> 4
                        | quants[i + 4] >> 4 << 2
                        | quants[i + 8] >> 4 << 4
                        | quants[i + 12] >> 4 << 6
                });
                vector[4 * lane..][..4].copy_from_slice(&pairs);
            }
        }
        _ => {}
    }
}

/// Writes a row's scales of group `index`; `block` starts with the block that holds the group, `slots` are the row's places.
fn pack_scales(weight_type: WeightType, block: &[u8], index: usize, slots: [usize; 2], record: &mut [u8]) {
    match weight_type {
        WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Q8_0 => {
            record[2 * slots[0]..][..2].copy_from_slice(&block[..2]);
        }
        WeightType::Q4_1 | WeightType::Q5_1 => {
            record[2 * slots[0]..][..2].copy_from_slice(&block[..2]);
            record[2 * slots[1]..][..2].copy_from_slice(&block[2..4]);
        }
        WeightType::Q4K | WeightType::Q5K => {
            [record[slots[0]], _] = k_factors(&block[4..16], index % GROUPS_PER_BLOCK);
        }
        WeightType::Q6K => {
            for (half, slot) in slots.into_iter().enumerate() {
                record[slot] = q6k_factor(block, index % GROUPS_PER_BLOCK, half) as u8;
            }
        }
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => {}
    }
}
