use half::f16;

use crate::WeightType;

/// Elements that share a scale and an offset, and the step of the sum over the columns.
pub(crate) const GROUP_SIZE: usize = 32;

/// Groups of a K type that share the scale that their own factors multiply.
pub(crate) const GROUPS_PER_BLOCK: usize = 8;
/// Their elements.
pub(crate) const BLOCK_SIZE: usize = GROUPS_PER_BLOCK * GROUP_SIZE;

/// 32 neighbouring elements of a row: `value[i] = scales[i / 16]·(quants[i] − zero_point) + offset`.
///
/// Scales and offsets are exact: products of an f16 and a small integer fit an f32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Group {
    pub(crate) quants: [u8; GROUP_SIZE],
    pub(crate) scales: [f32; 2],
    pub(crate) offset: f32,
}

/// What is subtracted from the unsigned quants of a type.
pub(crate) const fn zero_point(weight_type: WeightType) -> i32 {
    match weight_type {
        WeightType::Q8_0 => 128,
        WeightType::Q4_0 => 8,
        WeightType::Q5_0 => 16,
        WeightType::Q6K => 32,
        _ => 0,
    }
}

/// Reads group `index` of a row in GGUF's layout. The type is not a float and the row holds the group.
#[inline]
pub(crate) fn read_group(weight_type: WeightType, row: &[u8], index: usize) -> Group {
    let quants = read_quants(weight_type, row, index);
    let (block, index) = block_of(weight_type, row, index);
    match weight_type {
        WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => {
            Group { quants, scales: [read_f16(block); 2], offset: 0.0 }
        }
        WeightType::Q4_1 | WeightType::Q5_1 => {
            Group { quants, scales: [read_f16(block); 2], offset: read_f16(&block[2..]) }
        }
        WeightType::Q4K | WeightType::Q5K => {
            let [scale, offset] = k_factors(&block[4..16], index);
            Group {
                quants,
                scales: [read_f16(block) * f32::from(scale); 2],
                offset: -(read_f16(&block[2..]) * f32::from(offset)),
            }
        }
        WeightType::Q6K => {
            let scale = read_f16(&block[208..]);
            let scales = std::array::from_fn(|i| scale * f32::from(q6k_factor(block, index, i)));
            Group { quants, scales, offset: 0.0 }
        }
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => no_groups(),
    }
}

/// The quants alone, without their sign.
#[inline]
pub(crate) fn read_quants(weight_type: WeightType, row: &[u8], index: usize) -> [u8; GROUP_SIZE] {
    let (block, index) = block_of(weight_type, row, index);
    match weight_type {
        WeightType::Q8_0 => std::array::from_fn(|i| block[2..34][i] ^ 0x80),
        WeightType::Q4_0 => nibbles(&block[2..]),
        WeightType::Q4_1 => nibbles(&block[4..]),
        WeightType::Q5_0 => with_fifth_bits(nibbles(&block[6..]), &block[2..]),
        WeightType::Q5_1 => with_fifth_bits(nibbles(&block[8..]), &block[4..]),
        WeightType::Q4K => k_nibbles(&block[16..], index),
        WeightType::Q5K => {
            let mut quants = k_nibbles(&block[48..], index);
            for (quant, high) in quants.iter_mut().zip(&block[16..48]) {
                *quant |= (high >> index & 1) << 4;
            }
            quants
        }
        WeightType::Q6K => q6k_quants(block, index),
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => no_groups(),
    }
}

/// The block that holds a group of a row, and the group's number in it.
#[inline]
fn block_of(weight_type: WeightType, row: &[u8], index: usize) -> (&[u8], usize) {
    let groups_per_block = (weight_type.block_size() / GROUP_SIZE).max(1);
    let start = index / groups_per_block * weight_type.block_bytes();
    (&row[start..start + weight_type.block_bytes()], index % groups_per_block)
}

fn no_groups() -> ! {
    unreachable!("float rows have no groups")
}

/// The two factors of group `index` of a `Q4K` or `Q5K` block: 6 bits for the scale and 6 for the offset.
///
/// Of the 12 bytes, the first four hold scales 0–3, the next four offsets 0–3, both in the low 6 bits; the last
/// four hold the low nibbles of scales and offsets 4–7, whose high 2 bits are on top of the first eight.
#[inline]
pub(crate) fn k_factors(factors: &[u8], index: usize) -> [u8; 2] {
    if index < 4 {
        return [factors[index] & 63, factors[index + 4] & 63];
    }
    let low = factors[index + 4];
    [low & 15 | factors[index - 4] >> 6 << 4, low >> 4 | factors[index] >> 6 << 4]
}

pub(crate) fn read_f16(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Element `i` is the low nibble of byte `i`, element `i + 16` the high one.
#[inline]
fn nibbles(bytes: &[u8]) -> [u8; GROUP_SIZE] {
    let mut quants = [0; GROUP_SIZE];
    for (i, byte) in bytes[..16].iter().enumerate() {
        quants[i] = byte & 15;
        quants[i + 16] = byte >> 4;
    }
    quants
}

/// Bit `i` of 32 is the fifth bit of element `i`.
#[inline]
fn with_fifth_bits(mut quants: [u8; GROUP_SIZE], bytes: &[u8]) -> [u8; GROUP_SIZE] {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (i, quant) in quants.iter_mut().enumerate() {
        *quant |= ((bits >> i & 1) as u8) << 4;
    }
    quants
}

/// Groups `2i` and `2i + 1` are the low and the high nibbles of the bytes `32·i..32·(i + 1)`.
#[inline]
fn k_nibbles(bytes: &[u8], index: usize) -> [u8; GROUP_SIZE] {
    let bytes = &bytes[index / 2 * 32..][..32];
    let shift = index % 2 * 4;
    std::array::from_fn(|i| bytes[i] >> shift & 15)
}

/// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 factors, an f16 scale; each half of the block takes
/// half of each: groups 0 and 1 of a half are low nibbles, 2 and 3 high ones, and group `g` has bits `2g` of the pairs.
#[inline]
fn q6k_quants(block: &[u8], index: usize) -> [u8; GROUP_SIZE] {
    let (half, quarter) = (index / 4, index % 4);
    let low = &block[half * 64 + quarter % 2 * 32..][..32];
    let high = &block[128 + half * 32..][..32];
    let shift = quarter / 2 * 4;
    std::array::from_fn(|i| low[i] >> shift & 15 | (high[i] >> (2 * quarter) & 3) << 4)
}

/// The factor of half `half` (16 elements) of group `index` of a `Q6K` block.
#[inline]
pub(crate) fn q6k_factor(block: &[u8], index: usize, half: usize) -> i8 {
    block[192 + 2 * index + half] as i8
}
