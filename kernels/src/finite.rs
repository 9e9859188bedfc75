use crate::group::read_f16;
use crate::{MatrixSource, Pool, WeightType};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The lowest row of a matrix that holds a NaN or an infinity: as an element, or as a scale or an offset of a quantised block.
///
/// `None` also for a matrix whose bytes are not whole rows; packing refuses it.
pub fn first_non_finite_row(source: &MatrixSource<'_>, pool: &Pool) -> Option<usize> {
    let row_bytes = source.weight_type.row_bytes(source.num_cols).filter(|row_bytes| *row_bytes > 0)?;
    let lowest = AtomicUsize::new(usize::MAX);
    let num_rows = source.num_rows.min(source.bytes.len() / row_bytes);
    pool.for_each(num_rows, 262_144 / row_bytes + 1, &|rows| {
        for row in rows {
            if !is_finite(source.weight_type, &source.bytes[row * row_bytes..(row + 1) * row_bytes]) {
                lowest.fetch_min(row, Ordering::Relaxed);
                break;
            }
        }
    });
    Some(lowest.into_inner()).filter(|row| *row != usize::MAX)
}

/// No early exit within a row, so that loops over floats become vector code.
fn is_finite(weight_type: WeightType, row: &[u8]) -> bool {
    const F32_EXPONENT: u32 = 0x7f80_0000;
    const F16_EXPONENT: u16 = 0x7c00;
    const BF16_EXPONENT: u16 = 0x7f80;
    let is_below = |exponent: u16| {
        let halves = row.as_chunks::<2>().0.iter();
        halves.fold(true, |all, half| all & (u16::from_le_bytes(*half) & exponent != exponent))
    };
    // Where the f16 scale, and the f16 offset if there is one, lie in a block.
    let scales: &[usize] = match weight_type {
        WeightType::F32 => {
            let words = row.as_chunks::<4>().0.iter();
            return words
                .fold(true, |all, word| all & (u32::from_le_bytes(*word) & F32_EXPONENT != F32_EXPONENT));
        }
        WeightType::F16 => return is_below(F16_EXPONENT),
        WeightType::BF16 => return is_below(BF16_EXPONENT),
        WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => &[0],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4K | WeightType::Q5K => &[0, 2],
        WeightType::Q6K => &[208],
    };
    row.chunks_exact(weight_type.block_bytes())
        .all(|block| scales.iter().all(|at| read_f16(&block[*at..]).is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn a_scale_or_element_that_is_not_finite_is_found_in_every_type() {
        let pool = Pool::new(2, Isa::Portable).unwrap();
        for weight_type in WeightType::ALL {
            let (num_rows, num_cols) = (7, 512);
            let row_bytes = weight_type.row_bytes(num_cols).unwrap();
            let check = |bytes: &[u8], expected| {
                let source = MatrixSource { weight_type, num_rows, num_cols, bytes };
                assert_eq!(first_non_finite_row(&source, &pool), expected, "{weight_type:?}");
            };
            let mut bytes = vec![0x11; num_rows * row_bytes];
            check(&bytes, None);
            // The most significant bytes of a NaN in the last block of a row.
            let block = 4 * row_bytes - weight_type.block_bytes();
            let (at, bad): (usize, &[u8]) = match weight_type {
                WeightType::F32 => (2, &[0xc0, 0x7f]),
                WeightType::BF16 => (0, &[0x80, 0xff]),
                WeightType::Q6K => (208, &[0x00, 0x7e]),
                _ => (0, &[0x00, 0xfc]),
            };
            bytes[block + at..block + at + 2].copy_from_slice(bad);
            check(&bytes, Some(3));
            if matches!(weight_type, WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4K | WeightType::Q5K)
            {
                bytes[block..block + 4].copy_from_slice(&[0x11, 0x11, 0x00, 0x7c]);
                check(&bytes, Some(3));
            }
        }
    }
}
