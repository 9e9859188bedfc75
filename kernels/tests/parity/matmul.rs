use kernels::{
    Activations, KernelError, MatrixSource, PackedMatrix, Pool, WeightType, dequantize, gather,
    gather_packed, matmul, reference,
};
use proptest::prelude::*;

use crate::numbers::{Numbers, assert_same, pools};

fn multiply(pool: &Pool, x: &[f32], sources: &[MatrixSource<'_>]) -> Vec<f32> {
    let w = PackedMatrix::pack(sources, pool).unwrap();
    let num_rows = x.len() / w.num_cols();
    let mut out = vec![f32::NAN; num_rows * w.num_rows()];
    matmul(pool, x, &w, &mut out, &mut Activations::new()).unwrap();
    out
}

/// Largest error of a product, in units of `‖x‖·‖w‖/√in`.
fn relative_error(x: &[f32], w: &[f32], num_cols: usize, actual: &[f32]) -> f32 {
    let norm = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
    let expected = reference::matmul(x, w, num_cols);
    let mut worst = 0.0f32;
    let mut index = 0;
    for x in x.chunks_exact(num_cols) {
        for w in w.chunks_exact(num_cols) {
            let unit = norm(x) * norm(w) / (num_cols as f32).sqrt();
            worst = worst.max((actual[index] - expected[index]).abs() / unit.max(1e-20));
            index += 1;
        }
    }
    worst
}

fn check_product(weight_type: WeightType, shape: [usize; 3], seed: u64) {
    let [num_tokens, num_features, num_blocks] = shape;
    let num_cols = num_blocks * weight_type.block_size();
    let mut numbers = Numbers::new(seed);
    let bytes = numbers.weights(weight_type, num_features * num_cols);
    let source = MatrixSource { weight_type, num_rows: num_features, num_cols, bytes: &bytes };
    let x = numbers.floats(num_tokens * num_cols);
    let pools = pools();
    let expected = multiply(&pools[0], &x, &[source]);
    let error = relative_error(&x, &reference::dequantize(weight_type, &bytes), num_cols, &expected);
    // Rounding the inputs to 8 bits costs about 0.3 % of a term, and errors add like a random walk.
    let tolerance = if weight_type.is_float() { 1e-5 * (num_cols as f32).sqrt() } else { 0.05 };
    assert!(error < tolerance, "{weight_type:?} {shape:?}: error {error}");
    for pool in &pools[1..] {
        assert_same(
            &multiply(pool, &x, &[source]),
            &expected,
            &format!("{weight_type:?} {shape:?} {pool:?}"),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn product_is_near_the_reference_and_the_same_on_every_isa_and_thread_count(
        type_index in 0..WeightType::ALL.len(),
        num_tokens in 1usize..40,
        num_features in 1usize..70,
        num_blocks in 1usize..5,
        seed in any::<u64>(),
    ) {
        let weight_type = WeightType::ALL[type_index];
        let num_blocks = if weight_type.is_float() { num_blocks * 13 } else { num_blocks };
        check_product(weight_type, [num_tokens, num_features, num_blocks], seed);
    }

    #[test]
    fn row_of_a_product_does_not_depend_on_the_other_rows(
        type_index in 0..WeightType::ALL.len(),
        num_tokens in 2usize..40,
        seed in any::<u64>(),
    ) {
        let weight_type = WeightType::ALL[type_index];
        let mut numbers = Numbers::new(seed);
        let (num_rows, num_cols) = (33, 256);
        let bytes = numbers.weights(weight_type, num_rows * num_cols);
        let source = MatrixSource { weight_type, num_rows, num_cols, bytes: &bytes };
        let x = numbers.floats(num_tokens * num_cols);
        for pool in pools() {
            let together = multiply(&pool, &x, &[source]);
            for (x, together) in x.chunks_exact(num_cols).zip(together.chunks_exact(num_rows)) {
                assert_same(&multiply(&pool, x, &[source]), together, "alone");
            }
        }
    }
}

#[test]
fn every_type_agrees_on_all_shapes_of_row_tiles() {
    for (i, weight_type) in WeightType::ALL.into_iter().enumerate() {
        for num_tokens in [1, 2, 3, 7, 8, 13, 16, 19, 23, 28, 32] {
            check_product(weight_type, [num_tokens, 20, 3], i as u64);
        }
    }
}

#[test]
fn more_rows_than_one_pass_agree() {
    for (i, weight_type) in WeightType::ALL.into_iter().enumerate() {
        check_product(weight_type, [300, 20, 2], i as u64);
    }
}

#[test]
fn panels_too_large_to_stay_beside_some_rows_agree() {
    for (i, weight_type) in WeightType::ALL.into_iter().enumerate() {
        check_product(weight_type, [35, 68, 8192 / weight_type.block_size()], i as u64);
    }
}

#[test]
fn rows_too_long_for_one_unpacking_agree() {
    for (i, weight_type) in WeightType::ALL.into_iter().enumerate() {
        check_product(weight_type, [258, 18, 2560 / weight_type.block_size()], i as u64);
    }
}

#[test]
fn extreme_quants_do_not_overflow() {
    for weight_type in WeightType::ALL.into_iter().filter(|weight_type| !weight_type.is_float()) {
        for fill in [0u8, 0x7f, 0x80, 0xff] {
            let mut block = vec![fill; weight_type.block_bytes()];
            let one = half::f16::ONE.to_le_bytes();
            match weight_type {
                WeightType::Q6K => block[208..210].copy_from_slice(&one),
                WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => block[..2].copy_from_slice(&one),
                _ => block[..4].copy_from_slice(&[one, one].concat()),
            }
            let num_cols = weight_type.block_size();
            let source = MatrixSource { weight_type, num_rows: 1, num_cols, bytes: &block };
            for sign in [1.0, -1.0] {
                // The inputs are exact in 8 bits, and so are all sums.
                let x = vec![127.0 * sign; 258 * num_cols];
                let expected = reference::matmul(&x, &reference::dequantize(weight_type, &block), num_cols);
                for pool in pools() {
                    assert_eq!(multiply(&pool, &x, &[source]), expected, "{weight_type:?} {fill}");
                }
            }
        }
    }
}

#[test]
fn stacked_sources_give_the_columns_of_each() {
    let mut numbers = Numbers::new(5);
    let num_cols = 512;
    let parts: Vec<(WeightType, usize, Vec<u8>)> = WeightType::ALL
        .into_iter()
        .enumerate()
        .map(|(i, weight_type)| {
            let num_rows = 5 + 7 * i;
            (weight_type, num_rows, numbers.weights(weight_type, num_rows * num_cols))
        })
        .collect();
    let sources: Vec<MatrixSource<'_>> = parts
        .iter()
        .map(|(weight_type, num_rows, bytes)| MatrixSource {
            weight_type: *weight_type,
            num_rows: *num_rows,
            num_cols,
            bytes,
        })
        .collect();
    let x = numbers.floats(19 * num_cols);
    for pool in pools() {
        let stacked = multiply(&pool, &x, &sources);
        let width: usize = sources.iter().map(|source| source.num_rows).sum();
        let mut first = 0;
        for source in &sources {
            let alone = multiply(&pool, &x, std::slice::from_ref(source));
            for (row, alone) in alone.chunks_exact(source.num_rows).enumerate() {
                let start = row * width + first;
                assert_same(&stacked[start..start + source.num_rows], alone, "stacked");
            }
            first += source.num_rows;
        }
    }
}

#[test]
fn non_finite_input_spoils_its_own_row_only() {
    let mut numbers = Numbers::new(9);
    let (num_rows, num_cols) = (17, 256);
    for weight_type in WeightType::ALL {
        let bytes = numbers.weights(weight_type, num_rows * num_cols);
        let source = MatrixSource { weight_type, num_rows, num_cols, bytes: &bytes };
        let clean = numbers.floats(260 * num_cols);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = clean.clone();
            x[num_cols + 77] = bad;
            for pool in pools() {
                let (expected, actual) = (multiply(&pool, &clean, &[source]), multiply(&pool, &x, &[source]));
                assert_same(&actual[..num_rows], &expected[..num_rows], "before");
                assert_same(&actual[2 * num_rows..], &expected[2 * num_rows..], "after");
                assert!(actual[num_rows..2 * num_rows].iter().all(|value| !value.is_finite()));
            }
        }
    }
}

#[test]
fn dequantized_weights_equal_the_reference() {
    let mut numbers = Numbers::new(3);
    for weight_type in WeightType::ALL {
        let bytes = numbers.weights(weight_type, 1024);
        let mut out = vec![0.0; 1024];
        dequantize(weight_type, &bytes, &mut out).unwrap();
        assert_eq!(out, reference::dequantize(weight_type, &bytes), "{weight_type:?}");
    }
}

#[test]
fn rows_read_back_from_panels_are_those_of_the_table() {
    let pool = Pool::new(2, kernels::Isa::detect()).unwrap();
    for weight_type in WeightType::ALL {
        let mut numbers = Numbers::new(9);
        let num_cols = if weight_type.is_float() { 45 } else { 2 * weight_type.block_size() };
        let bytes = numbers.weights(weight_type, 37 * num_cols);
        let table = MatrixSource { weight_type, num_rows: 37, num_cols, bytes: &bytes };
        let packed = PackedMatrix::pack(&[table], &pool).unwrap();
        let ids = [36, 0, 17, 36, 15, 16];
        let mut expected = vec![f32::NAN; ids.len() * num_cols];
        gather(&table, &ids, &mut expected).unwrap();
        let mut found = vec![f32::NAN; expected.len()];
        let outcome = gather_packed(&packed, &ids, &mut found);
        if !packed.has_whole_elements() {
            assert!(matches!(outcome, Err(KernelError::BadParameter { .. })), "{weight_type:?}");
            continue;
        }
        outcome.unwrap();
        assert_same(&found, &expected, &format!("{weight_type:?}"));
        let past_the_end = gather_packed(&packed, &[37], &mut found[..num_cols]);
        assert!(matches!(past_the_end, Err(KernelError::OutOfRange { index: 37, len: 37, .. })));
        let too_short = gather_packed(&packed, &[1], &mut found[1..num_cols]);
        assert!(matches!(too_short, Err(KernelError::ShapeMismatch { .. })));
    }
}

#[test]
fn gathered_rows_are_the_rows_of_the_table() {
    let mut numbers = Numbers::new(4);
    let (num_rows, num_cols) = (9, 256);
    let bytes = numbers.weights(WeightType::Q6K, num_rows * num_cols);
    let table = MatrixSource { weight_type: WeightType::Q6K, num_rows, num_cols, bytes: &bytes };
    let all = reference::dequantize(WeightType::Q6K, &bytes);
    let mut out = vec![0.0; 3 * num_cols];
    gather(&table, &[8, 0, 8], &mut out).unwrap();
    for (row, id) in out.chunks_exact(num_cols).zip([8, 0, 8]) {
        assert_eq!(row, &all[id * num_cols..(id + 1) * num_cols]);
    }
    let past_the_end = gather(&table, &[9], &mut out[..num_cols]);
    assert!(matches!(past_the_end, Err(KernelError::OutOfRange { index: 9, len: 9, .. })));
}

#[test]
fn bad_shapes_are_errors_that_name_both() {
    let pool = &pools()[0];
    let bytes = vec![0; 34 * 4];
    let source = |num_rows, num_cols| MatrixSource {
        weight_type: WeightType::Q8_0,
        num_rows,
        num_cols,
        bytes: &bytes,
    };
    let error = PackedMatrix::pack(&[source(4, 33)], pool).unwrap_err();
    assert_eq!(error.to_string(), "pack: rows of 33 Q8_0 elements do not divide into blocks of 32");
    let error = PackedMatrix::pack(&[source(5, 32)], pool).unwrap_err();
    assert_eq!(error.to_string(), "pack: bytes has shape [4, 34], [5, 34] is needed");
    let error = PackedMatrix::pack(&[source(4, 32), source(2, 64)], pool).unwrap_err();
    assert_eq!(error.to_string(), "pack: source has shape [2, 64], [2, 32] is needed");

    let w = PackedMatrix::pack(&[source(4, 32)], pool).unwrap();
    let mut scratch = Activations::new();
    let error = matmul(pool, &[0.0; 64], &w, &mut [0.0; 4], &mut scratch).unwrap_err();
    assert_eq!(error.to_string(), "matmul: out has shape [1, 4], [2, 4] is needed");
    let error = matmul(pool, &[0.0; 63], &w, &mut [0.0; 4], &mut scratch).unwrap_err();
    assert!(matches!(error, KernelError::ShapeMismatch { operand: "x", .. }));
    assert_eq!(matmul(pool, &[], &w, &mut [], &mut scratch), Ok(()));
}
