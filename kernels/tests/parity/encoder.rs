use kernels::{FullAttentionInput, KernelError, LayerNorm, full_attention, gelu, layer_norm, reference};
use proptest::prelude::*;

use crate::numbers::{Numbers, assert_close, assert_same, pools};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn layer_norm_is_near_the_reference_and_the_same_everywhere(
        num_rows in 1usize..200,
        num_cols in 2usize..700,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let (x, weight) = (numbers.floats(num_rows * num_cols), numbers.floats(num_cols));
        let bias = numbers.floats(num_cols);
        let expected = reference::layer_norm(&x, &weight, &bias, 1e-3);
        let mut first = None;
        for pool in pools() {
            let mut out = x.clone();
            layer_norm(&pool, LayerNorm { weight: &weight, bias: &bias, eps: 1e-3 }, &mut out).unwrap();
            assert_close(&out, &expected, 5e-5);
            assert_same(&out, first.get_or_insert(out.clone()), "layer_norm");
        }
    }

    #[test]
    fn gelu_is_near_the_reference_and_the_same_everywhere(len in 1usize..20_000, seed in any::<u64>()) {
        let mut numbers = Numbers::new(seed);
        let x: Vec<f32> = numbers.floats(len).into_iter().map(|x| x * 8.0).collect();
        let expected = reference::gelu(&x);
        let mut first = None;
        for pool in pools() {
            let mut out = x.clone();
            gelu(&pool, &mut out);
            assert_close(&out, &expected, 3e-6);
            assert_same(&out, first.get_or_insert(out.clone()), "gelu");
        }
    }

    #[test]
    fn a_packed_sequence_attends_as_it_does_alone_and_near_the_reference(
        num_heads in 1usize..4,
        head_chunks in 1usize..6,
        lens in prop::collection::vec(0usize..70, 1..6),
        seed in any::<u64>(),
    ) {
        let head_dim = 16 * head_chunks;
        let mut starts = vec![0];
        for len in &lens {
            starts.push(starts[starts.len() - 1] + len);
        }
        let num_rows = starts[lens.len()];
        let row_size = num_heads * head_dim;
        let qkv: Vec<f32> =
            Numbers::new(seed).floats(3 * num_rows * row_size).into_iter().map(|x| x * 2.0).collect();
        let input = FullAttentionInput { qkv: &qkv, num_heads, head_dim, starts: &starts };
        let expected = reference::full_attention(&input);
        let mut first = None;
        for pool in pools() {
            let mut out = vec![f32::NAN; num_rows * row_size];
            full_attention(&pool, &input, &mut out).unwrap();
            assert_close(&out, &expected, 1e-5);
            assert_same(&out, first.get_or_insert(out.clone()), "packed");
            for range in starts.array_windows().map(|[start, end]| *start..*end) {
                let qkv = &qkv[3 * range.start * row_size..3 * range.end * row_size];
                let alone = FullAttentionInput { qkv, starts: &[0, range.len()], ..input };
                let mut alone_out = vec![f32::NAN; range.len() * row_size];
                full_attention(&pool, &alone, &mut alone_out).unwrap();
                assert_same(&alone_out, &out[range.start * row_size..range.end * row_size], "alone");
            }
        }
    }
}

#[test]
fn a_number_that_is_none_stays_in_its_sequence() {
    let mut qkv = Numbers::new(3).floats(3 * 10 * 16);
    qkv[3 * 16 * 7 + 5] = f32::NAN;
    for pool in pools() {
        let mut out = vec![0.0; 10 * 16];
        let input = FullAttentionInput { qkv: &qkv, num_heads: 1, head_dim: 16, starts: &[0, 6, 10] };
        full_attention(&pool, &input, &mut out).unwrap();
        assert!(out[..6 * 16].iter().all(|value| value.is_finite()));
        assert!(out[7 * 16..8 * 16].iter().all(|value| value.is_nan()));
        let mut x = [f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY];
        gelu(&pool, &mut x);
        assert!(x[0].is_nan() && x[1] > 0.8 && x[2].is_nan() && x[3].is_nan());
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let pool = &pools()[0];
    let check = |num_heads, head_dim, starts: &[usize], num_rows: usize| {
        let qkv = vec![0.0; num_rows * 3 * num_heads * head_dim];
        let input = FullAttentionInput { qkv: &qkv, num_heads, head_dim, starts };
        full_attention(pool, &input, &mut vec![0.0; num_rows * num_heads * head_dim])
    };
    assert_eq!(check(2, 16, &[0, 3], 3), Ok(()));
    assert_eq!(check(2, 16, &[0], 0), Ok(()));
    for (head_dim, starts) in
        [(8, &[0, 3][..]), (0, &[0, 3]), (272, &[0, 3]), (16, &[]), (16, &[1, 3]), (16, &[0, 3, 2])]
    {
        assert!(matches!(check(1, head_dim, starts, 3), Err(KernelError::BadParameter { .. })));
    }
    assert!(matches!(check(1, 16, &[0, 4], 3), Err(KernelError::ShapeMismatch { .. })));
    let norm = LayerNorm { weight: &[1.0; 4], bias: &[0.0; 3], eps: 1.0 };
    assert!(matches!(layer_norm(pool, norm, &mut [0.0; 4]), Err(KernelError::ShapeMismatch { .. })));
    let norm = LayerNorm { weight: &[1.0; 3], bias: &[0.0; 3], eps: 1.0 };
    assert!(matches!(layer_norm(pool, norm, &mut [0.0; 4]), Err(KernelError::ShapeMismatch { .. })));
    let norm = LayerNorm { weight: &[], bias: &[], eps: 1.0 };
    assert!(matches!(layer_norm(pool, norm, &mut [0.0; 4]), Err(KernelError::ShapeMismatch { .. })));
}
