use half::f16;
use kernels::{
    Activations, HighHalves, KernelError, LargestScratch, MatrixSource, PackedMatrix, Pool, WeightType,
    matmul, matmul_largest,
};
use proptest::prelude::*;

use crate::numbers::{Numbers, pools};

fn pack(pool: &Pool, bytes: &[u8], num_cols: usize) -> PackedMatrix {
    let num_rows = bytes.len() / (num_cols / 32 * 34);
    PackedMatrix::pack(&[MatrixSource { weight_type: WeightType::Q8_0, num_rows, num_cols, bytes }], pool)
        .unwrap()
}

/// Checks them against all products and returns how many were computed.
#[track_caller]
fn check_largest(bytes: &[u8], x: &[f32]) -> usize {
    let mut num_computed = 0;
    let mut scratch = LargestScratch::default();
    for pool in pools() {
        let w = pack(&pool, bytes, x.len());
        let high = HighHalves::of(&w, &pool).unwrap().unwrap();
        let mut expected = vec![f32::NAN; w.num_rows()];
        matmul(&pool, x, &w, &mut expected, &mut Activations::new()).unwrap();
        let largest = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut found = vec![f32::NAN; w.num_rows()];
        assert!(matmul_largest(&pool, x, (&w, &high), &mut found, &mut scratch).unwrap());
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let is_left_out = *found == f32::NEG_INFINITY && *expected < largest;
            assert!(
                is_left_out || found.to_bits() == expected.to_bits(),
                "{pool:?}: {index} is {found}, not {expected}; the largest is {largest}"
            );
        }
        num_computed = found.iter().filter(|product| product.is_finite()).count();
    }
    num_computed
}

/// Any quants, with scales from 0 on.
fn positive_weights(numbers: &mut Numbers, num_elements: usize) -> Vec<u8> {
    let mut bytes = numbers.weights(WeightType::Q8_0, num_elements);
    bytes.chunks_exact_mut(34).for_each(|block| block[1] &= 0x7f);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn largest_products_are_those_of_the_whole_product(
        num_rows in 1usize..900,
        num_groups in 1usize..40,
        spread in 0i32..24,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let num_cols = 32 * num_groups;
        let bytes = positive_weights(&mut numbers, num_rows * num_cols);
        let x: Vec<f32> =
            numbers.floats(num_cols).iter().map(|x| x * 2f32.powi(numbers.below(2 * spread as usize + 1) as i32 - spread)).collect();
        check_largest(&bytes, &x);
    }

    #[test]
    fn near_ties_are_told_apart(num_rows in 2usize..200, num_groups in 1usize..20, seed in any::<u64>()) {
        let mut numbers = Numbers::new(seed);
        let num_cols = 32 * num_groups;
        let row = positive_weights(&mut numbers, num_cols);
        let mut bytes = row.repeat(num_rows);
        // Rows differ by one step of one quant, if at all.
        for row in bytes.chunks_exact_mut(row.len()) {
            let block = numbers.below(num_groups);
            row[34 * block + 2 + numbers.below(32)] ^= numbers.below(2) as u8;
        }
        check_largest(&bytes, &numbers.floats(num_cols));
    }
}

#[test]
fn equal_rows_are_all_there() {
    let mut numbers = Numbers::new(3);
    let row = positive_weights(&mut numbers, 576);
    assert_eq!(check_largest(&row.repeat(77), &numbers.floats(576)), 77);
    assert_eq!(check_largest(&row.repeat(77), &[0.0; 576]), 77);
}

#[test]
fn rows_that_cannot_be_the_largest_are_left_out() {
    let mut numbers = Numbers::new(4);
    let x = numbers.floats(576);
    let mut bytes = positive_weights(&mut numbers, 4096 * 576);
    // One row points where the input does.
    for (block, x) in bytes[34 * 18 * 1234..].chunks_exact_mut(34).zip(x.chunks_exact(32)) {
        block[..2].copy_from_slice(&f16::from_f32(0.01).to_le_bytes());
        for (quant, x) in block[2..].iter_mut().zip(x) {
            *quant = (x * 84.0) as i8 as u8;
        }
    }
    assert_eq!(check_largest(&bytes, &x), 16);
}

#[test]
fn extreme_quants_and_scales_are_bounded() {
    for fill in [0u8, 0x0f, 0x7f, 0x80, 0x8f, 0xff] {
        for scale in [f16::ONE, f16::MAX, f16::from_bits(1)] {
            let mut block = [fill; 34];
            block[..2].copy_from_slice(&scale.to_le_bytes());
            let mut bytes = block.repeat(18 * 33);
            bytes[34 * 18 * 20 + 5] ^= 1;
            for x in [127.0, -127.0, 1e19, -1e-15] {
                check_largest(&bytes, &[x; 576]);
            }
        }
    }
}

#[test]
fn what_has_no_bounds_is_refused() {
    let mut numbers = Numbers::new(5);
    let bytes = positive_weights(&mut numbers, 20 * 64);
    for pool in pools() {
        let w = pack(&pool, &bytes, 64);
        let high = HighHalves::of(&w, &pool).unwrap().unwrap();
        let (mut out, mut scratch) = (vec![7.0; 20], LargestScratch::default());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e-25] {
            let mut x = vec![1.0; 64];
            x[32..].fill(bad);
            assert!(!matmul_largest(&pool, &x, (&w, &high), &mut out, &mut scratch).unwrap());
            assert_eq!(out, [7.0; 20]);
        }
        for (x, out) in [(vec![1.0; 32], &mut out[..]), (vec![1.0; 64], &mut [0.0; 19][..])] {
            let outcome = matmul_largest(&pool, &x, (&w, &high), out, &mut scratch);
            assert!(matches!(outcome, Err(KernelError::ShapeMismatch { .. })));
        }
        let turned = pack(&pool, &bytes, 32);
        let other = vec![0; 20 * 64 * 4];
        let source = MatrixSource { weight_type: WeightType::F32, num_rows: 20, num_cols: 64, bytes: &other };
        let other = PackedMatrix::pack(&[source], &pool).unwrap();
        let x = [1.0; 64];
        let outcome = matmul_largest(&pool, &x[..32], (&turned, &high), &mut [0.0; 40], &mut scratch);
        assert!(matches!(outcome, Err(KernelError::ShapeMismatch { operand: "high", .. })));
        let outcome = matmul_largest(&pool, &x, (&other, &high), &mut out, &mut scratch);
        assert!(matches!(outcome, Err(KernelError::BadParameter { parameter: "w", .. })));
        for scale in [-f16::ONE, f16::NAN, f16::INFINITY] {
            let mut bytes = bytes.clone();
            bytes[34 * 39..][..2].copy_from_slice(&scale.to_le_bytes());
            assert!(HighHalves::of(&pack(&pool, &bytes, 64), &pool).unwrap().is_none());
        }
        let source = MatrixSource { weight_type: WeightType::F32, num_rows: 1, num_cols: 1, bytes: &[0; 4] };
        assert!(HighHalves::of(&PackedMatrix::pack(&[source], &pool).unwrap(), &pool).unwrap().is_none());
    }
}
