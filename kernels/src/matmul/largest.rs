//! The largest products of one row, of a matrix of bytes whose high halves lie beside it: half of the weights are read, and all of the few
//! panels that may hold the largest.
//!
//! A quant is `q = 16·h + l` with `−8 ≤ h < 8` and `0 ≤ l < 16`. With the scales `w ≥ 0` of the weights and `x` of the inputs, a group adds
//! `w·x·Σ(16·h + 7.5)·q_x + w·x·Σ(l − 7.5)·q_x` to a product; the second sum is at most `7.5·w·x·Σ|q_x|`. A product whose bound is below a
//! product that is known is not the largest. Where the bounds of a panel do not say so, the second sums of the groups with the largest
//! inputs are computed, one after the other, then all of it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::PanelKernel;
use super::format::{Format, Group, Panel, Q4_0, Q8_0};
use super::integer::IntegerKernel;
use super::pairs::{Vectors, add_products};
use super::prefetch::prefetch_group;
use crate::activations::{Activations, GroupRows, InputRows};
use crate::disjoint::Disjoint;
use crate::error::check_shape;
use crate::group::GROUP_SIZE;
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::packed_matrix::panel;
use crate::{HighHalves, KernelError, PackedMatrix, Pool, WeightType};

/// The middle of the low halves.
const CENTER: f32 = 7.5;

/// Groups whose low halves are added to the bounds of a panel before it is multiplied whole.
const MAX_REFINED_GROUPS: usize = 6;

/// Scales of inputs between which no product of finite weights is infinite and no bound loses bits to underflow.
const ORDINARY_SCALES: std::ops::RangeInclusive<f32> = 1e-18..=1e18;

/// Scratch of [`matmul_largest`]. Keeps its memory from call to call.
#[derive(Debug, Default)]
pub struct LargestScratch {
    activations: Activations,
    terms: Vec<Terms>,
    order: Vec<usize>,
}

/// What the high halves leave out of a group, in units of the weights' scale.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// `x`
    scale: f32,
    /// `7.5·x·Σq_x`
    center: f32,
    /// `7.5·x·Σ|q_x|`
    error: f32,
}

/// The largest of the products of one row, `out[n] = Σ_k x[k]·w[n,k]` as by [`crate::matmul`], bit by bit; of the others some are −∞.
/// All that equal the largest are there. False, and nothing is computed, if an input is not finite or so large or small that the bounds
/// would not hold.
///
/// `x [in]`, `out [out]`, f32. With the same number of threads the same products are −∞.
///
/// # Errors
/// `ShapeMismatch` if `x`, `out` or the high halves do not fit `w`, `BadParameter` if `w` has other weights than bytes.
///
/// Parity: bit-identical to `matmul`. Rounding is part of the bounds: for `n` groups, f32 sums of products and of bounds are off by less than
/// `(64·n + 1024)·2⁻²⁴` of a bound's own size, which is added to it (Higham 2002, 3.1).
pub fn matmul_largest(
    pool: &Pool,
    x: &[f32],
    (w, high): (&PackedMatrix, &HighHalves),
    out: &mut [f32],
    scratch: &mut LargestScratch,
) -> Result<bool, KernelError> {
    const OP: &str = "matmul_largest";
    check_shape(OP, "x", x.len(), [1, w.num_cols()])?;
    check_shape(OP, "out", out.len(), [1, w.num_rows()])?;
    check_halves(OP, w, &high.0)?;
    let LargestScratch { activations, terms, order } = scratch;
    let rows = InputRows { x, num_cols: w.num_cols(), ends: &[1] };
    let rows = activations.quantize(pool, rows, std::iter::once(WeightType::Q8_0)).groups;
    if !terms_of(rows, w.num_cols() / GROUP_SIZE, terms) {
        return Ok(false);
    }
    order.clear();
    order.extend(0..terms.len());
    order.sort_unstable_by(|a, b| terms[*b].error.total_cmp(&terms[*a].error).then(a.cmp(b)));
    order.truncate(MAX_REFINED_GROUPS);

    let largest = AtomicU32::new(ascending(f32::NEG_INFINITY));
    let out = &Disjoint::new(out);
    let product = Product { rows, terms, order, w, high: &high.0, out };
    let num_panels = w.num_rows().div_ceil(NUM_LANES);
    pool.for_each_alike(num_panels, &|panels| {
        pool.verified_isa().dispatch(Bounding { product, panels, largest: &largest });
    });
    let largest = from_ascending(largest.into_inner());
    pool.for_each_alike(num_panels, &|panels| {
        pool.verified_isa().dispatch(Choosing { product, panels, largest });
    });
    Ok(true)
}

fn check_halves(op: &'static str, w: &PackedMatrix, high: &PackedMatrix) -> Result<(), KernelError> {
    let [expected, actual] = [w, high].map(|matrix| [matrix.num_rows(), matrix.num_cols()]);
    if expected != actual {
        return Err(KernelError::ShapeMismatch { op, operand: "high", expected, actual });
    }
    if matches!(w.sections[..], [section] if section.weight_type == WeightType::Q8_0) {
        return Ok(());
    }
    let value = format!("{:?}", w.sections.first().map(|section| section.weight_type));
    Err(KernelError::BadParameter { op, parameter: "w", value, rule: "Q8_0 throughout is needed" })
}

/// False if a scale is not [`ORDINARY_SCALES`].
fn terms_of(rows: GroupRows<'_>, num_groups: usize, terms: &mut Vec<Terms>) -> bool {
    terms.clear();
    let place = rows.place(0, num_groups);
    for index in 0..num_groups {
        let at = place.first + index * place.stride;
        let (scale, scaled_sum) = (rows.factors[at].scale, rows.factors[at].scaled_sum);
        if scale != 0.0 && !ORDINARY_SCALES.contains(&scale) {
            return false;
        }
        let quants: [i8; GROUP_SIZE] = bytemuck::cast(rows.quants[at].0);
        let magnitudes: i32 = quants.iter().map(|quant| i32::from(quant.unsigned_abs())).sum();
        terms.push(Terms { scale, center: CENTER * scaled_sum, error: CENTER * scale * magnitudes as f32 });
    }
    true
}

/// Numbers that compare like the floats, none of which is NaN.
fn ascending(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_sign_negative() { !bits } else { bits | 1 << 31 }
}

fn from_ascending(number: u32) -> f32 {
    f32::from_bits(if number >> 31 == 1 { number & !(1 << 31) } else { !number })
}

#[derive(Clone, Copy)]
struct Product<'a> {
    rows: GroupRows<'a>,
    terms: &'a [Terms],
    /// Groups, those with the largest errors first.
    order: &'a [usize],
    w: &'a PackedMatrix,
    high: &'a PackedMatrix,
    out: &'a Disjoint<'a, f32>,
}

/// Writes the bounds of some panels, and multiplies the panel whole that seems to hold their largest product.
struct Bounding<'a> {
    product: Product<'a>,
    panels: std::ops::Range<usize>,
    /// The largest product that is known, [`ascending`].
    largest: &'a AtomicU32,
}

impl Kernel for Bounding<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let product = self.product;
        let (mut seems_largest, mut its_panel) = (f32::NEG_INFINITY, self.panels.start);
        for index in self.panels {
            let (products, bounds) = product.bounds(v, index);
            if reaches(&products, seems_largest) {
                seems_largest = products.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                its_panel = index;
            }
            let out = product.outputs(index);
            out.copy_from_slice(&bounds[..out.len()]);
        }
        let whole = product.whole(v, its_panel);
        let num_outputs = product.outputs(its_panel).len();
        let largest = whole[..num_outputs].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.largest.fetch_max(ascending(largest), Ordering::Relaxed);
    }
}

/// Turns the bounds of some panels into products or −∞.
struct Choosing<'a> {
    product: Product<'a>,
    panels: std::ops::Range<usize>,
    /// A product of the row.
    largest: f32,
}

impl Kernel for Choosing<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        for index in self.panels {
            let out = self.product.outputs(index);
            if reaches(out, self.largest) && self.product.may_reach(v, index, out, self.largest) {
                let whole = self.product.whole(v, index);
                out.copy_from_slice(&whole[..out.len()]);
            } else {
                out.fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// Without an early exit, so that it becomes vector code.
#[inline(always)]
fn reaches(products: &[f32], largest: f32) -> bool {
    products.iter().fold(false, |any, product| any | (*product >= largest))
}

impl<'a> Product<'a> {
    #[inline(always)]
    fn num_groups(&self) -> usize {
        self.terms.len()
    }

    /// The outputs of a panel.
    #[inline(always)]
    fn outputs(&self, index: usize) -> &'a mut [f32] {
        let start = index * NUM_LANES;
        // SAFETY: a panel's outputs are touched by the thread alone that has the panel, and never twice at once.
        unsafe { self.out.range(start..self.w.num_rows().min(start + NUM_LANES)) }
    }

    /// About the products of a panel, and what none of them exceeds.
    #[inline(always)]
    fn bounds<V: Lanes>(&self, v: V, panel_index: usize) -> ([f32; NUM_LANES], [f32; NUM_LANES]) {
        let num_groups = self.num_groups();
        let panel =
            Panel { start: self.high.panel(&self.high.sections[0], panel_index), num_groups, first_lane: 0 };
        let group_bytes = panel::num_bytes(Q4_0::WEIGHT_TYPE, self.high.num_cols()) / num_groups.max(1);
        let place = self.rows.place(0, num_groups);
        let rounding = 1.0 + (num_groups + 16) as f32 / (1 << 18) as f32;
        let (mut products, mut errors) = (v.splat(0.0), v.splat(0.0));
        for (index, terms) in self.terms.iter().enumerate() {
            prefetch_group::<V, 1>(panel, (index, group_bytes), 0);
            let at = place.first + index * place.stride;
            let (quants, biases) = (&self.rows.quants[at], &self.rows.biases[at]);
            let mut sums = [v.splat_i32(Q4_0::bias(biases, V::U8_BIAS))];
            // SAFETY: the group is within the panel.
            let (group, scales) =
                unsafe { (Group::<Q4_0>::new(panel, index), Q4_0::scales(v, panel, index).scales) };
            if V::HAS_PAIRS {
                let ones = v.splat_i32(0x0001_0001);
                add_products::<V, 1, 8>(v, &mut sums, (group, Q4_0::MAX_QUANT), |_| &quants.0, ones);
            } else {
                for_each!(8, |j| {
                    sums[0] = v.dot4_u7(sums[0], group.get(v, j), quants.0[j]);
                });
            }
            products = v.fma(v.to_f32(sums[0]), v.mul(scales, v.splat(16.0 * terms.scale)), products);
            products = v.fma(scales, v.splat(terms.center), products);
            errors = v.fma(scales, v.splat(rounding * terms.error), errors);
        }
        let mut out = ([0.0; NUM_LANES], [0.0; NUM_LANES]);
        // SAFETY: both arrays have 16 elements.
        unsafe {
            v.store(out.0.as_mut_ptr(), products);
            v.store(out.1.as_mut_ptr(), v.add(products, errors));
        }
        out
    }

    /// Whether a bound still reaches the largest product once the low halves of some groups are known.
    #[inline(always)]
    fn may_reach<V: Lanes>(&self, v: V, panel_index: usize, bounds: &[f32], largest: f32) -> bool {
        let num_groups = self.num_groups();
        let panel =
            Panel { start: self.w.panel(&self.w.sections[0], panel_index), num_groups, first_lane: 0 };
        let place = self.rows.place(0, num_groups);
        let mut refined = [f32::NEG_INFINITY; NUM_LANES];
        refined[..bounds.len()].copy_from_slice(bounds);
        for &index in self.order {
            let (quants, terms) = (&self.rows.quants[place.first + index * place.stride], &self.terms[index]);
            let mut sum = v.splat_i32(0);
            // SAFETY: the group is within the panel, and the array has 16 elements.
            unsafe {
                let group = Group::<Q8_0>::new(panel, index);
                for_each!(8, |j| {
                    let low = v.and(group.get(v, j), v.splat_i32(0x0f0f_0f0f));
                    sum = v.dot4_u7(sum, low, quants.0[j]);
                });
                let scales = Q8_0::scales(v, panel, index).scales;
                let bounds = v.load(refined.as_ptr());
                let bounds = v.fma(v.to_f32(sum), v.mul(scales, v.splat(terms.scale)), bounds);
                let bounds = v.fma(scales, v.splat(-(terms.center + terms.error)), bounds);
                v.store(refined.as_mut_ptr(), bounds);
            }
            if !reaches(&refined, largest) {
                return false;
            }
        }
        true
    }

    /// The products of a panel.
    #[inline(always)]
    fn whole<V: Lanes>(&self, v: V, index: usize) -> [f32; NUM_LANES] {
        let mut out = [[0.0; NUM_LANES]];
        let kernel = IntegerKernel::<Q8_0>::new(self.rows, self.num_groups() * GROUP_SIZE);
        // SAFETY: the panel is one of bytes and of these columns, and the row exists.
        unsafe { kernel.run(v, self.w.panel(&self.w.sections[0], index), 0, &mut out) };
        out[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascending_numbers_compare_like_floats() {
        let floats = [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-40, 0.0, 1e-40, 1.0, f32::MAX, f32::INFINITY];
        assert!(floats.map(ascending).is_sorted());
        assert_eq!(floats.map(|x| from_ascending(ascending(x))), floats);
    }
}
