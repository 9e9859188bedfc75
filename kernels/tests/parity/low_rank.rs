use kernels::{
    KernelError, LowRank, MatrixSource, OutputColumns, Pool, SelectedRows, WeightType, add_low_rank,
    reference,
};
use proptest::prelude::*;

use crate::numbers::{Numbers, assert_close, assert_same, pools};

const FLOATS: [WeightType; 3] = [WeightType::F32, WeightType::F16, WeightType::BF16];

fn source(weight_type: WeightType, [num_rows, num_cols]: [usize; 2], bytes: &[u8]) -> MatrixSource<'_> {
    MatrixSource { weight_type, num_rows, num_cols, bytes }
}

/// Small floats of a type, as bytes and as numbers.
fn weights(weight_type: WeightType, len: usize, numbers: &mut Numbers) -> (Vec<u8>, Vec<f32>) {
    let bytes: Vec<u8> = (0..len)
        .flat_map(|_| {
            let value = numbers.float() * 0.1;
            match weight_type {
                WeightType::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
                WeightType::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            }
        })
        .collect();
    let values = reference::dequantize(weight_type, &bytes);
    (bytes, values)
}

fn add(pool: &Pool, update: &LowRank, input: SelectedRows<'_>, out: &mut [f32], place: (usize, usize)) {
    let output = OutputColumns { out, row_stride: place.0, first: place.1 };
    add_low_rank(pool, update, input, output, &mut Vec::new()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn low_rank_is_near_the_reference_and_a_row_does_not_depend_on_the_others(
        type_index in (0..3usize, 0..3usize),
        num_rows in 1usize..40,
        (num_inputs, num_outputs, rank) in (1usize..300, 1usize..100, 1usize..70),
        (margin_left, margin_right) in (0usize..20, 0usize..20),
        first_row in 0u32..5,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let (down_type, up_type) = (FLOATS[type_index.0], FLOATS[type_index.1]);
        let (down_bytes, down) = weights(down_type, rank * num_inputs, &mut numbers);
        let (up_bytes, up) = weights(up_type, num_outputs * rank, &mut numbers);
        let update = LowRank::new(
            &source(down_type, [rank, num_inputs], &down_bytes),
            &source(up_type, [num_outputs, rank], &up_bytes),
            0.5,
        ).unwrap();
        let x = numbers.floats(num_rows * num_inputs);
        let row_stride = margin_left + num_outputs + margin_right;
        let before = numbers.floats(num_rows * row_stride);
        let rows: Vec<u32> = (0..num_rows as u32).filter(|_| numbers.below(3) > 0).map(|row| first_row + row).collect();

        let correction = reference::low_rank(&x, &down, &up, [num_inputs, rank], 0.5);
        let mut expected = before.clone();
        for row in &rows {
            let row = (row - first_row) as usize;
            for n in 0..num_outputs {
                expected[row * row_stride + margin_left + n] += correction[row * num_outputs + n];
            }
        }
        let mut first = None;
        for pool in pools() {
            let mut out = before.clone();
            let input = SelectedRows { x: &x, rows: &rows, first_row };
            add(&pool, &update, input, &mut out, (row_stride, margin_left));
            assert_close(&out, &expected, 2e-6 * ((num_inputs * rank) as f32).sqrt());
            assert_same(&out, first.get_or_insert(out.clone()), "low_rank");
            let mut one_by_one = before.clone();
            for row in &rows {
                let input = SelectedRows { x: &x, rows: &[*row], first_row };
                add(&pool, &update, input, &mut one_by_one, (row_stride, margin_left));
            }
            assert_same(&one_by_one, &out, "low_rank row by row");
        }
    }
}

#[test]
fn a_row_that_is_not_finite_stays_by_itself() {
    let mut numbers = Numbers::new(5);
    let (down, up) = (numbers.weights(WeightType::F32, 3 * 7), numbers.weights(WeightType::F32, 5 * 3));
    let update =
        LowRank::new(&source(WeightType::F32, [3, 7], &down), &source(WeightType::F32, [5, 3], &up), 1.0)
            .unwrap();
    let mut x = numbers.floats(3 * 7);
    let healthy = x.clone();
    x[8] = f32::NAN;
    for pool in pools() {
        let run = |x: &[f32]| {
            let mut out = vec![1.0; 15];
            add(&pool, &update, SelectedRows { x, rows: &[0, 1, 2], first_row: 0 }, &mut out, (5, 0));
            out
        };
        let (out, expected) = (run(&x), run(&healthy));
        assert!(out[5..10].iter().all(|value| value.is_nan()));
        assert_same(
            &[&out[..5], &out[10..]].concat(),
            &[&expected[..5], &expected[10..]].concat(),
            "low_rank",
        );
    }
}

#[test]
fn bad_operands_are_refused() {
    let bytes = [0; 4 * 64];
    let of = |shape: [usize; 2]| source(WeightType::F32, shape, &bytes[..4 * shape[0] * shape[1]]);
    let quantized = source(WeightType::Q8_0, [1, 32], &bytes[..34]);
    assert!(matches!(LowRank::new(&quantized, &of([4, 1]), 1.0), Err(KernelError::BadParameter { .. })));
    assert!(matches!(LowRank::new(&of([0, 8]), &of([4, 0]), 1.0), Err(KernelError::BadParameter { .. })));
    assert!(matches!(LowRank::new(&of([2, 8]), &of([4, 3]), 1.0), Err(KernelError::ShapeMismatch { .. })));
    let cut = source(WeightType::F32, [2, 8], &bytes[..60]);
    assert!(matches!(LowRank::new(&cut, &of([4, 2]), 1.0), Err(KernelError::ShapeMismatch { .. })));

    let update = LowRank::new(&of([2, 8]), &of([4, 2]), 1.0).unwrap();
    let pool = &pools()[0];
    let run = |x: &[f32], row: u32, row_stride: usize, first: usize| {
        let output = OutputColumns { out: &mut [0.0; 12], row_stride, first };
        add_low_rank(pool, &update, SelectedRows { x, rows: &[row], first_row: 1 }, output, &mut Vec::new())
    };
    assert_eq!(run(&[0.0; 16], 2, 6, 2), Ok(()));
    assert!(matches!(run(&[0.0; 16], 3, 6, 2), Err(KernelError::OutOfRange { .. })));
    assert!(matches!(run(&[0.0; 16], 0, 6, 2), Err(KernelError::OutOfRange { .. })));
    assert!(matches!(run(&[0.0; 16], 1, 6, 3), Err(KernelError::OutOfRange { .. })));
    assert!(matches!(run(&[0.0; 15], 1, 6, 2), Err(KernelError::ShapeMismatch { .. })));
    assert!(matches!(run(&[0.0; 16], 1, 7, 2), Err(KernelError::ShapeMismatch { .. })));
}
