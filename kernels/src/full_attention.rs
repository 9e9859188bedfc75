use crate::disjoint::Disjoint;
use crate::error::check_shape;
use crate::exp::exp;
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::{KernelError, Pool};

const MAX_HEAD_DIM: usize = 256;

/// Sequences packed one after the other, with the queries, keys and values of each token side by side.
#[derive(Debug, Clone, Copy)]
pub struct FullAttentionInput<'a> {
    /// `[tokens, 3, heads, head_dim]`: query, key and value heads.
    pub qkv: &'a [f32],
    /// Heads of each kind.
    pub num_heads: usize,
    /// Elements of a head, a multiple of 16 up to 256.
    pub head_dim: usize,
    /// Row where each sequence begins, ascending from 0, and behind them the number of rows.
    pub starts: &'a [usize],
}

/// Attention of every token to every token of its sequence, earlier and later ones alike.
///
/// `out[t,h] = Σ_j softmax_j(q[t,h]·k[j,h] / √head_dim)·v[j,h]` over the tokens `j` of the sequence of `t`. `qkv [tokens, 3, heads, head_dim]`,
/// `out [tokens, heads, head_dim]`, f32 row-major, all sums f32.
///
/// A score sums over the head's dimensions in order; the denominator in 16 lanes, position `j` in lane `j % 16`, then as a
/// tree; an output over the positions in order. So a row depends on its own sequence alone, not on what is packed beside it, the
/// number of threads or the instruction set.
///
/// # Errors
/// `BadParameter` if `head_dim` is not a multiple of 16 up to 256 or `starts` does not ascend from 0, `ShapeMismatch` if `qkv` or `out`
/// has other rows than `starts` says.
///
/// Parity 1e-5 against the reference. Source: Vaswani et al. 2017.
pub fn full_attention(
    pool: &Pool,
    input: &FullAttentionInput<'_>,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "full_attention";
    let bad = |parameter, value: String, rule| KernelError::BadParameter { op: OP, parameter, value, rule };
    let FullAttentionInput { qkv, num_heads, head_dim, starts } = *input;
    if head_dim == 0 || !head_dim.is_multiple_of(NUM_LANES) || head_dim > MAX_HEAD_DIM {
        return Err(bad("head_dim", head_dim.to_string(), "a multiple of 16 up to 256 is needed"));
    }
    let ascends = starts.array_windows().all(|[start, end]| start <= end);
    let (Some(0), Some(&num_rows), true) = (starts.first(), starts.last(), ascends) else {
        return Err(bad("starts", format!("{} rows", starts.len()), "rows that ascend from 0 are needed"));
    };
    check_shape(OP, "qkv", qkv.len(), [num_rows, 3 * num_heads * head_dim])?;
    check_shape(OP, "out", out.len(), [num_rows, num_heads * head_dim])?;
    let out = Disjoint::new(out);
    let num_items = (starts.len() - 1) * num_heads;
    // Enough pieces that a long sequence does not leave the other threads idle.
    let grain = (num_items / (pool.num_threads() * 6)).clamp(1, 16);
    pool.for_each(num_items, grain, &|items| {
        let mut scratch = Scratch::default();
        for item in items {
            let (sequence, head) = (item / num_heads, item % num_heads);
            let (start, end) = (starts[sequence], starts[sequence + 1]);
            let scratch = &mut scratch;
            let head = Head { input, start, num_rows: end - start, head, scratch, out: &out };
            pool.verified_isa().dispatch(head);
        }
    });
    Ok(())
}

/// Memory of a thread, reused from head to head.
#[derive(Default)]
struct Scratch {
    /// `[positions / 16][head_dim][16]`.
    keys: Vec<f32>,
    /// `[queries of a tile][positions]`: scores, then weights.
    weights: Vec<f32>,
}

/// One head of one sequence.
struct Head<'a> {
    input: &'a FullAttentionInput<'a>,
    start: usize,
    num_rows: usize,
    head: usize,
    scratch: &'a mut Scratch,
    out: &'a Disjoint<'a, f32>,
}

impl Kernel for Head<'_> {
    #[inline(always)]
    fn run<V: Lanes>(mut self, v: V) {
        self.transpose_keys();
        let mut first = 0;
        while first < self.num_rows {
            match self.num_rows - first {
                8.. => first += self.run_queries::<V, 8>(v, first),
                4.. => first += self.run_queries::<V, 4>(v, first),
                2.. => first += self.run_queries::<V, 2>(v, first),
                _ => first += self.run_queries::<V, 1>(v, first),
            }
        }
    }
}

impl Head<'_> {
    /// The head's query (0), key (1) or value (2) of a row of the sequence.
    #[inline(always)]
    fn part(&self, row: usize, kind: usize) -> &[f32] {
        let FullAttentionInput { qkv, num_heads, head_dim, .. } = *self.input;
        let start = (((self.start + row) * 3 + kind) * num_heads + self.head) * head_dim;
        &qkv[start..start + head_dim]
    }

    #[inline(always)]
    fn num_padded(&self) -> usize {
        self.num_rows.next_multiple_of(NUM_LANES)
    }

    #[inline(always)]
    fn transpose_keys(&mut self) {
        let head_dim = self.input.head_dim;
        let mut keys = std::mem::take(&mut self.scratch.keys);
        keys.clear();
        keys.resize(self.num_padded() * head_dim, 0.0);
        for row in 0..self.num_rows {
            let block = &mut keys[row / NUM_LANES * NUM_LANES * head_dim..][..NUM_LANES * head_dim];
            for (column, key) in block.as_chunks_mut::<NUM_LANES>().0.iter_mut().zip(self.part(row, 1)) {
                column[row % NUM_LANES] = *key;
            }
        }
        self.scratch.keys = keys;
        self.scratch.weights.resize(8 * self.num_padded(), 0.0);
    }

    /// Queries `first..first + N` of the sequence.
    #[inline(always)]
    fn run_queries<V: Lanes, const N: usize>(&mut self, v: V, first: usize) -> usize {
        let head_dim = self.input.head_dim;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut queries = [[0.0f32; MAX_HEAD_DIM]; N];
        for (i, scaled) in queries.iter_mut().enumerate() {
            for (scaled, q) in scaled.iter_mut().zip(self.part(first + i, 0)) {
                *scaled = q * scale;
            }
        }
        self.score::<V, N>(v, &queries);
        let num_padded = self.num_padded();
        let mut inverses = [0.0f32; N];
        for (i, inverse) in inverses.iter_mut().enumerate() {
            let weights = &mut self.scratch.weights[i * num_padded..][..num_padded];
            weights[self.num_rows..].fill(f32::NEG_INFINITY);
            *inverse = 1.0 / soften(v, weights);
        }
        self.add_values::<V, N>(v, first, &inverses);
        N
    }

    /// `weights[i][j] = Σ_d queries[i][d]·keys[d][j]`, in order of `d`.
    #[inline(always)]
    fn score<V: Lanes, const N: usize>(&mut self, v: V, queries: &[[f32; MAX_HEAD_DIM]; N]) {
        let v = v.columns();
        let num_padded = self.num_padded();
        let Scratch { keys, weights } = &mut *self.scratch;
        for (block, keys) in keys.chunks_exact(NUM_LANES * self.input.head_dim).enumerate() {
            let mut first_lane = 0;
            while first_lane < NUM_LANES {
                let mut sums = [v.splat(0.0); N];
                for (d, keys) in keys.as_chunks::<NUM_LANES>().0.iter().enumerate() {
                    // SAFETY: 16 keys, of which `WIDTH` from `first_lane` on; `d < head_dim ≤ MAX_HEAD_DIM`.
                    unsafe {
                        let keys = v.load(keys.as_ptr().add(first_lane));
                        for i in 0..N {
                            sums[i] = v.fma(v.splat(*queries[i].get_unchecked(d)), keys, sums[i]);
                        }
                    }
                }
                for (i, sum) in sums.into_iter().enumerate() {
                    let place = &mut weights[i * num_padded + block * NUM_LANES..][..NUM_LANES];
                    // SAFETY: 16 places, of which `WIDTH` from `first_lane` on.
                    unsafe { v.store(place.as_mut_ptr().add(first_lane), sum) };
                }
                first_lane += V::Columns::WIDTH;
            }
        }
    }

    /// `out[i][d] = Σ_j weights[i][j]·v[j][d] · inverse[i]`, in order of `j`.
    #[inline(always)]
    fn add_values<V: Lanes, const N: usize>(&self, v: V, first: usize, inverses: &[f32; N]) {
        let v = v.columns();
        let (head_dim, num_padded) = (self.input.head_dim, self.num_padded());
        let weights = &self.scratch.weights[..N * num_padded];
        for d in (0..head_dim).step_by(V::Columns::WIDTH) {
            let mut sums = [v.splat(0.0); N];
            for j in 0..self.num_rows {
                // SAFETY: `d + WIDTH ≤ head_dim`, since both are powers of two times 8, and `j < num_padded`.
                unsafe {
                    let value = v.load(self.part(j, 2).as_ptr().add(d));
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let weight = *weights.get_unchecked(i * num_padded + j);
                        *sum = v.fma(v.splat(weight), value, *sum);
                    }
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let row = self.start + first + i;
                let start = (row * self.input.num_heads + self.head) * head_dim + d;
                // SAFETY: no other head of another sequence has this place, and it is `WIDTH` long.
                unsafe {
                    let out = self.out.range(start..start + V::Columns::WIDTH);
                    v.store(out.as_mut_ptr(), v.mul(sum, v.splat(inverses[i])));
                }
            }
        }
    }
}

/// Turns scores into weights relative to their maximum and returns their sum.
#[inline(always)]
fn soften<V: Lanes>(v: V, weights: &mut [f32]) -> f32 {
    let weights = weights.as_chunks_mut::<NUM_LANES>().0;
    let mut max = v.splat(f32::NEG_INFINITY);
    for weight in &*weights {
        // SAFETY: a chunk is 16 elements. A NaN may get lost here, but not in the sum.
        max = v.max(max, unsafe { v.load(weight.as_ptr()) });
    }
    let max = v.splat(lanes::max(v, max));
    let mut sums = v.splat(0.0);
    for weight in weights {
        // SAFETY: as above.
        unsafe {
            let softened = exp(v, v.sub(v.load(weight.as_ptr()), max));
            sums = v.add(sums, softened);
            v.store(weight.as_mut_ptr(), softened);
        }
    }
    lanes::sum(v, sums)
}
