use kernels::{
    Activations, ExpertPicks, KernelError, MatrixSource, PackedMatrix, WeightType, WeightedRows,
    add_weighted_rows, gather_rows, matmul, matmul_groups, reference, route_experts,
};
use proptest::prelude::*;

use crate::numbers::{Numbers, assert_close, assert_same, pools};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn groups_have_the_bits_of_a_product_each(
        sizes in prop::collection::vec(prop::sample::select(vec![0usize, 0, 1, 2, 5, 9, 300]), 1..6),
        num_outputs in 1usize..70,
        weight_type in prop::sample::select(WeightType::ALL.to_vec()),
        seed in any::<u64>(),
    ) {
        let num_cols = 256;
        let mut numbers = Numbers::new(seed);
        let sources: Vec<Vec<u8>> =
            sizes.iter().map(|_| numbers.weights(weight_type, num_outputs * num_cols)).collect();
        let num_rows: usize = sizes.iter().sum();
        let x = numbers.floats(num_rows * num_cols);
        let ends: Vec<usize> =
            sizes.iter().scan(0, |end, size| { *end += size; Some(*end) }).collect();
        for pool in pools() {
            let weights: Vec<PackedMatrix> = sources
                .iter()
                .map(|bytes| {
                    let source = MatrixSource { weight_type, num_rows: num_outputs, num_cols, bytes };
                    PackedMatrix::pack(&[source], &pool).unwrap()
                })
                .collect();
            let mut scratch = Activations::new();
            let mut expected = vec![0.0; num_rows * num_outputs];
            for ((w, end), size) in weights.iter().zip(&ends).zip(&sizes) {
                let rows = end - size..*end;
                let x = &x[rows.start * num_cols..rows.end * num_cols];
                let out = &mut expected[rows.start * num_outputs..rows.end * num_outputs];
                matmul(&pool, x, w, out, &mut scratch).unwrap();
            }
            let mut out = vec![0.0; expected.len()];
            matmul_groups(&pool, &x, (&weights, &ends), &mut out, &mut scratch).unwrap();
            assert_same(&out, &expected, "matmul_groups");
        }
    }

    #[test]
    fn routing_is_near_the_reference_and_the_same_everywhere(
        num_rows in 1usize..20,
        num_experts in 1usize..80,
        normalizes: bool,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let num_used = 1 + numbers.below(num_experts.min(20));
        let mut scores = numbers.floats(num_rows * num_experts);
        // Some are equal.
        scores.iter_mut().for_each(|score| *score = (*score * 40.0).round() / 10.0);
        let mut first = None;
        for pool in pools() {
            let (mut experts, mut weights) = (vec![0; num_rows * num_used], vec![0.0; num_rows * num_used]);
            let picks =
                ExpertPicks { num_used, normalizes, experts: &mut experts, weights: &mut weights };
            route_experts(&pool, &scores, num_experts, picks).unwrap();
            for (row, scores) in scores.chunks_exact(num_experts).enumerate() {
                let chosen = row * num_used..(row + 1) * num_used;
                let (indexes, shares): (Vec<u32>, Vec<f32>) =
                    reference::route_experts(scores, num_used, normalizes).into_iter().unzip();
                prop_assert_eq!(&experts[chosen.clone()], &indexes);
                assert_close(&weights[chosen], &shares, 2e-6);
            }
            assert_same(&weights, first.get_or_insert(weights.clone()), "route_experts");
        }
    }

    #[test]
    fn weighted_rows_add_up_in_order_and_the_same_everywhere(
        num_rows in 0usize..40,
        num_slots in 1usize..40,
        num_terms in 0usize..5,
        num_cols in 1usize..200,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers::new(seed);
        let x = numbers.floats(num_slots * num_cols);
        let weights = numbers.floats(num_rows * num_terms);
        let rows: Vec<u32> = weights.iter().map(|_| numbers.below(num_slots) as u32).collect();
        let mut expected = vec![0.0f32; num_rows * num_cols];
        for (term, (row, weight)) in rows.iter().zip(&weights).enumerate() {
            let out = &mut expected[term / num_terms * num_cols..][..num_cols];
            for (out, x) in out.iter_mut().zip(&x[*row as usize * num_cols..]) {
                *out = weight.mul_add(*x, *out);
            }
        }
        for pool in pools() {
            let mut out = vec![7.0; expected.len()];
            let terms = WeightedRows { rows: &rows, weights: &weights, num_terms };
            add_weighted_rows(&pool, &x, terms, num_cols, &mut out).unwrap();
            assert_same(&out, &expected, "add_weighted_rows");

            let mut gathered = vec![7.0; rows.len() * num_cols];
            gather_rows(&pool, &x, &rows, num_cols, &mut gathered).unwrap();
            for (gathered, row) in gathered.chunks_exact(num_cols).zip(&rows) {
                assert_same(gathered, &x[*row as usize * num_cols..][..num_cols], "gather_rows");
            }
        }
    }
}

#[test]
fn a_score_that_is_no_number_makes_the_weights_of_its_token_nan() {
    for pool in pools() {
        for normalizes in [false, true] {
            let scores = [1.0, f32::NAN, 3.0, 1.0, 2.0, 3.0];
            let (mut experts, mut weights) = ([9; 4], [9.0; 4]);
            let picks = ExpertPicks { num_used: 2, normalizes, experts: &mut experts, weights: &mut weights };
            route_experts(&pool, &scores, 3, picks).unwrap();
            assert!(experts.iter().all(|expert| *expert < 3));
            assert!(weights[..2].iter().all(|weight| weight.is_nan()), "{weights:?}");
            assert!(weights[2..].iter().all(|weight| weight.is_finite()), "{weights:?}");
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let pool = &pools()[0];
    let bytes = vec![0; 4 * 8 * 32];
    let pack = |num_rows| {
        let source = MatrixSource {
            weight_type: WeightType::F32,
            num_rows,
            num_cols: 32,
            bytes: &bytes[..num_rows * 128],
        };
        PackedMatrix::pack(&[source], pool).unwrap()
    };
    let weights = [pack(4), pack(4)];
    let product = |weights: &[PackedMatrix], ends: &[usize], num_rows: usize| {
        let (x, mut out) = (vec![0.0; num_rows * 32], vec![0.0; num_rows * 4]);
        matmul_groups(pool, &x, (weights, ends), &mut out, &mut Activations::new())
    };
    let is_mismatch =
        |result: Result<(), KernelError>| matches!(result, Err(KernelError::ShapeMismatch { .. }));
    let is_out_of_range =
        |result: Result<(), KernelError>| matches!(result, Err(KernelError::OutOfRange { .. }));
    assert_eq!(product(&weights, &[1, 3], 3), Ok(()));
    assert_eq!(product(&[], &[], 0), Ok(()));
    assert!(is_mismatch(product(&weights, &[3], 3)));
    assert!(is_mismatch(product(&[pack(4), pack(8)], &[1, 3], 3)));
    assert!(is_out_of_range(product(&weights, &[2, 1], 3)));
    assert!(is_out_of_range(product(&weights, &[2, 4], 3)));

    let route = |num_used, scores: &[f32]| {
        let (mut experts, mut weights) = ([0; 2], [0.0; 2]);
        let picks = ExpertPicks { num_used, normalizes: true, experts: &mut experts, weights: &mut weights };
        route_experts(pool, scores, 3, picks)
    };
    assert_eq!(route(2, &[0.0; 3]), Ok(()));
    assert!(is_mismatch(route(1, &[0.0; 3])));
    assert!(is_mismatch(route(2, &[0.0; 4])));
    assert!(matches!(route(4, &[0.0; 3]), Err(KernelError::BadParameter { .. })));
    assert!(matches!(route(0, &[0.0; 3]), Err(KernelError::BadParameter { .. })));

    assert!(is_out_of_range(gather_rows(pool, &[0.0; 4], &[2], 2, &mut [0.0; 2])));
    assert!(is_mismatch(gather_rows(pool, &[0.0; 4], &[1], 2, &mut [0.0; 4])));
    let terms = WeightedRows { rows: &[0, 2], weights: &[1.0; 2], num_terms: 2 };
    assert!(is_out_of_range(add_weighted_rows(pool, &[0.0; 4], terms, 2, &mut [0.0; 2])));
    let terms = WeightedRows { rows: &[0, 1], weights: &[1.0; 1], num_terms: 2 };
    assert!(is_mismatch(add_weighted_rows(pool, &[0.0; 4], terms, 2, &mut [0.0; 2])));
}
