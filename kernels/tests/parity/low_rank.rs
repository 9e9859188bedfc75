use kernels::{
    KernelError, LowRank, LowRankTerm, MatrixSource, Pool, ProductRows, WeightType, add_low_rank, reference,
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

/// Adds `terms` to `out [rows, row_stride]`, the product of `x`.
fn add(
    pool: &Pool,
    terms: &[LowRankTerm<'_>],
    (x, first_row): (&[f32], u32),
    (out, row_stride): (&mut [f32], usize),
) {
    add_low_rank(pool, terms, ProductRows { x, out, row_stride, first_row }, &mut Vec::new()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two matrices side by side with a gap between them, and two adapters of different ranks and types for either.
    #[test]
    fn low_rank_is_near_the_reference_and_a_row_does_not_depend_on_the_others(
        type_indexes in [(0..3usize, 0..3usize), (0..3usize, 0..3usize)],
        num_rows in 1usize..40,
        (num_inputs, num_outputs, ranks) in (1usize..300, [1usize..100, 1usize..100], [1usize..70, 1usize..70]),
        (margin, gap) in (0usize..20, 0usize..20),
        first_row in 0u32..5,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let x = numbers.floats(num_rows * num_inputs);
        let first_cols = [margin, margin + num_outputs[0] + gap];
        let row_stride = first_cols[1] + num_outputs[1] + margin;
        let before = numbers.floats(num_rows * row_stride);
        // Each row belongs to one of the adapters, or to none.
        let owners: Vec<usize> = (0..num_rows).map(|_| numbers.below(3)).collect();
        let mut rows = [Vec::new(), Vec::new()];
        for (row, owner) in (first_row..).zip(&owners) {
            if let Some(rows) = rows.get_mut(*owner) {
                rows.push(row);
            }
        }
        let (mut updates, mut expected) = (Vec::new(), before.clone());
        for (num_outputs, first_col) in num_outputs.into_iter().zip(first_cols) {
            for (adapter, rank) in ranks.into_iter().enumerate() {
                let (down_type, up_type) = (FLOATS[type_indexes[adapter].0], FLOATS[type_indexes[adapter].1]);
                let (down_bytes, down) = weights(down_type, rank * num_inputs, &mut numbers);
                let (up_bytes, up) = weights(up_type, num_outputs * rank, &mut numbers);
                let update = LowRank::new(
                    &source(down_type, [rank, num_inputs], &down_bytes),
                    &source(up_type, [num_outputs, rank], &up_bytes),
                    0.5,
                ).unwrap();
                let correction = reference::low_rank(&x, &down, &up, [num_inputs, rank], 0.5);
                for row in (0..num_rows).filter(|row| owners[*row] == adapter) {
                    for n in 0..num_outputs {
                        expected[row * row_stride + first_col + n] += correction[row * num_outputs + n];
                    }
                }
                updates.push((update, adapter, first_col));
            }
        }
        let terms: Vec<LowRankTerm<'_>> = updates
            .iter()
            .map(|(update, adapter, first_col)| LowRankTerm { update, rows: &rows[*adapter], first_col: *first_col })
            .collect();
        let tolerance = 2e-6 * ((num_inputs * ranks[0].max(ranks[1])) as f32).sqrt();
        let mut first = None;
        for pool in pools() {
            let mut out = before.clone();
            add(&pool, &terms, (&x, first_row), (&mut out, row_stride));
            assert_close(&out, &expected, tolerance);
            assert_same(&out, first.get_or_insert(out.clone()), "low_rank");
            let mut one_by_one = before.clone();
            for term in &terms {
                for row in term.rows {
                    let term = LowRankTerm { rows: &[*row], ..*term };
                    add(&pool, &[term], (&x, first_row), (&mut one_by_one, row_stride));
                }
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
            let terms = [LowRankTerm { update: &update, rows: &[0, 1, 2], first_col: 0 }];
            add(&pool, &terms, (x, 0), (&mut out, 5));
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
    let run = |x: &[f32], row: u32, row_stride: usize, first_cols: &[usize]| {
        let rows = [row];
        let terms: Vec<LowRankTerm<'_>> = first_cols
            .iter()
            .map(|first_col| LowRankTerm { update: &update, rows: &rows, first_col: *first_col })
            .collect();
        let product = ProductRows { x, out: &mut [0.0; 12], row_stride, first_row: 1 };
        add_low_rank(pool, &terms, product, &mut Vec::new())
    };
    assert_eq!(run(&[0.0; 16], 2, 6, &[2]), Ok(()));
    assert_eq!(run(&[0.0; 16], 2, 6, &[2, 2]), Ok(()));
    assert_eq!(run(&[0.0; 16], 2, 6, &[]), Ok(()));
    assert!(matches!(run(&[0.0; 16], 3, 6, &[2]), Err(KernelError::OutOfRange { .. })));
    assert!(matches!(run(&[0.0; 16], 0, 6, &[2]), Err(KernelError::OutOfRange { .. })));
    assert!(matches!(run(&[0.0; 16], 1, 6, &[3]), Err(KernelError::OutOfRange { .. })));
    assert!(matches!(run(&[0.0; 16], 1, 6, &[0, 1]), Err(KernelError::BadParameter { .. })));
    assert!(matches!(run(&[0.0; 16], 1, 6, &[2, 0]), Err(KernelError::BadParameter { .. })));
    assert!(matches!(run(&[0.0; 15], 1, 6, &[2]), Err(KernelError::ShapeMismatch { .. })));
    assert!(matches!(run(&[0.0; 16], 1, 7, &[2]), Err(KernelError::ShapeMismatch { .. })));
    let wider = LowRank::new(&of([2, 8]), &of([5, 2]), 1.0).unwrap();
    let terms = [&update, &wider].map(|update| LowRankTerm { update, rows: &[0], first_col: 0 });
    let product = ProductRows { x: &[0.0; 16], out: &mut [0.0; 12], row_stride: 6, first_row: 0 };
    let outcome = add_low_rank(pool, &terms, product, &mut Vec::new());
    assert!(matches!(outcome, Err(KernelError::ShapeMismatch { .. })));
}
