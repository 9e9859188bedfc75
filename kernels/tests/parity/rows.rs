use kernels::{
    Activation, HeadRows, KernelError, RopeScaling, RopeStyle, RopeTable, add, add_bias, gate_mul, reference,
    rms_norm, rms_norm_heads, rope, sigmoid,
};
use proptest::prelude::*;

use crate::numbers::{Numbers, assert_close, assert_same, pools};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rms_norm_is_near_the_reference_and_the_same_everywhere(
        num_rows in 1usize..300,
        num_cols in 1usize..700,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let (x, weight) = (numbers.floats(num_rows * num_cols), numbers.floats(num_cols));
        let expected = reference::rms_norm(&x, &weight, 1e-5);
        let mut first = None;
        for pool in pools() {
            let mut out = vec![0.0; x.len()];
            rms_norm(&pool, &x, &weight, 1e-5, &mut out).unwrap();
            assert_close(&out, &expected, 3e-5);
            assert_same(&out, first.get_or_insert(out.clone()), "rms_norm");
        }
    }

    #[test]
    fn gate_mul_is_near_the_reference_and_the_same_everywhere(
        num_rows in 1usize..50,
        num_features in 1usize..500,
        is_silu: bool,
        seed in any::<u64>(),
    ) {
        let activation = if is_silu { Activation::Silu } else { Activation::GeluTanh };
        let mut numbers = Numbers::new(seed);
        let mut gate_up = numbers.floats(num_rows * 2 * num_features);
        gate_up.iter_mut().for_each(|value| *value *= 8.0);
        let expected = reference::gate_mul(activation, &gate_up, num_features);
        let mut first = None;
        for pool in pools() {
            let mut out = vec![0.0; expected.len()];
            gate_mul(&pool, activation, &gate_up, num_features, &mut out).unwrap();
            assert_close(&out, &expected, 5e-5);
            assert_same(&out, first.get_or_insert(out.clone()), "gate_mul");
        }
    }

    #[test]
    fn rms_norm_of_heads_is_that_of_rows_and_leaves_the_rest(
        num_rows in 1usize..40,
        num_heads in 1usize..5,
        head_dim in 1usize..130,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let (first, rest) = (numbers.below(4), numbers.below(4));
        let heads = HeadRows { row_stride: first + num_heads * head_dim + rest, first, num_heads, head_dim };
        let (x, weight) = (numbers.floats(num_rows * heads.row_stride), numbers.floats(head_dim));
        for pool in pools() {
            let mut given = x.clone();
            rms_norm_heads(&pool, &mut given, heads, &weight, 1e-6).unwrap();
            for (given, row) in given.chunks_exact(heads.row_stride).zip(x.chunks_exact(heads.row_stride)) {
                let end = heads.row_stride - rest;
                let mut expected = vec![0.0; num_heads * head_dim];
                rms_norm(&pool, &row[first..end], &weight, 1e-6, &mut expected).unwrap();
                assert_same(given, &[&row[..first], &expected, &row[end..]].concat(), "rms_norm_heads");
            }
        }
    }

    #[test]
    fn sigmoid_is_near_the_exact_value_and_the_same_everywhere(len in 0usize..50, seed in any::<u64>()) {
        let mut x = Numbers::new(seed).floats(len);
        x.iter_mut().for_each(|value| *value *= 30.0);
        let expected: Vec<f32> = x.iter().map(|x| (1.0 / (1.0 + f64::from(-x).exp())) as f32).collect();
        let mut first = None;
        for pool in pools() {
            let mut out = x.clone();
            sigmoid(&pool, &mut out);
            assert_close(&out, &expected, 1e-6);
            assert_same(&out, first.get_or_insert(out.clone()), "sigmoid");
        }
    }

    #[test]
    fn rope_is_near_the_reference_and_the_same_everywhere(
        num_rows in 1usize..40,
        num_heads in 1usize..5,
        half_dims in 1usize..20,
        is_interleaved: bool,
        seed in any::<u64>(),
    ) {
        let style = if is_interleaved { RopeStyle::Interleaved } else { RopeStyle::Halves };
        let mut numbers = Numbers::new(seed);
        let head_dim = 2 * half_dims + numbers.below(3);
        let first = numbers.below(4);
        let row_stride = first + num_heads * head_dim + numbers.below(4);
        let heads = HeadRows { row_stride, first, num_heads, head_dim };
        let x = numbers.floats(num_rows * row_stride);
        let positions: Vec<u32> = (0..num_rows).map(|_| numbers.below(200) as u32).collect();
        let table = RopeTable::new(2 * half_dims, 1e4, &RopeScaling::None, style, 200).unwrap();
        let mut expected = x.clone();
        for (row, position) in expected.chunks_exact_mut(row_stride).zip(&positions) {
            for head in row[first..first + num_heads * head_dim].chunks_exact_mut(head_dim) {
                head.copy_from_slice(&reference::rope(head, 2 * half_dims, 1e4, style, *position));
            }
        }
        let mut before = None;
        for pool in pools() {
            let mut out = x.clone();
            rope(&pool, &mut out, heads, &positions, &table).unwrap();
            assert_close(&out, &expected, 2e-6);
            assert_same(&out, before.get_or_insert(out.clone()), "rope");
        }
    }
}

#[test]
fn residual_and_bias_are_added() {
    for pool in pools() {
        let mut out = vec![1.0, 2.0, 3.0, 4.0];
        add(&pool, &[10.0, 20.0, 30.0, 40.0], &mut out).unwrap();
        add_bias(&pool, &[100.0, 200.0], &mut out).unwrap();
        assert_eq!(out, [111.0, 222.0, 133.0, 244.0]);
        let mut long = vec![1.0; 200_001];
        add(&pool, &vec![1.0; 200_001], &mut long).unwrap();
        assert!(long.iter().all(|&value| value == 2.0));
    }
}

#[test]
fn bad_shapes_are_refused() {
    let pool = &pools()[0];
    let is_mismatch =
        |result: Result<(), KernelError>| matches!(result, Err(KernelError::ShapeMismatch { .. }));
    assert!(is_mismatch(add(pool, &[0.0; 3], &mut [0.0; 4])));
    assert!(is_mismatch(add_bias(pool, &[0.0; 3], &mut [0.0; 4])));
    assert!(is_mismatch(add_bias(pool, &[], &mut [0.0; 4])));
    assert!(is_mismatch(rms_norm(pool, &[0.0; 4], &[0.0; 3], 1e-5, &mut [0.0; 4])));
    assert!(is_mismatch(rms_norm(pool, &[0.0; 4], &[], 1e-5, &mut [0.0; 4])));
    assert!(is_mismatch(rms_norm(pool, &[0.0; 6], &[0.0; 3], 1e-5, &mut [0.0; 3])));
    assert!(is_mismatch(rms_norm_heads(pool, &mut [0.0; 8], HeadRows::dense(2, 4), &[1.0; 3], 1e-5)));
    assert!(is_mismatch(rms_norm_heads(pool, &mut [0.0; 7], HeadRows::dense(2, 4), &[1.0; 4], 1e-5)));
    assert!(is_mismatch(gate_mul(pool, Activation::Silu, &[0.0; 6], 2, &mut [0.0; 4])));
    assert!(is_mismatch(gate_mul(pool, Activation::Silu, &[0.0; 6], 0, &mut [0.0; 4])));

    let table = RopeTable::new(4, 1e4, &RopeScaling::None, RopeStyle::Halves, 10).unwrap();
    let heads = HeadRows::dense(2, 4);
    assert_eq!(rope(pool, &mut [0.0; 16], heads, &[0, 9], &table), Ok(()));
    assert!(is_mismatch(rope(pool, &mut [0.0; 16], heads, &[0], &table)));
    assert!(is_mismatch(rope(pool, &mut [0.0; 16], HeadRows { first: 1, ..heads }, &[0, 0], &table)));
    assert!(is_mismatch(rope(pool, &mut [0.0; 16], HeadRows::dense(4, 2), &[0, 0], &table)));
    let past_the_end = rope(pool, &mut [0.0; 16], heads, &[0, 10], &table);
    assert!(matches!(past_the_end, Err(KernelError::OutOfRange { index: 10, len: 10, .. })));
}

#[test]
fn non_finite_input_does_not_stop_a_kernel() {
    for pool in pools() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
        let mut out = [0.0; 4];
        rms_norm(&pool, &x, &[1.0; 4], 1e-5, &mut out).unwrap();
        assert!(out.iter().all(|value| value.is_nan()));
        let mut out = [0.0; 2];
        gate_mul(&pool, Activation::Silu, &x, 2, &mut out).unwrap();
        assert!(out[0].is_nan() && out[1] == f32::INFINITY);
    }
}
