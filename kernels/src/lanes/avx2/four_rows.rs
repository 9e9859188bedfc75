//! Four rows by a group of weights, written out.
//!
//! Most of a prompt's time goes by here. A compiler keeps sums in memory and moves others about: its steps of a prompt take 1.15 times as long.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::activations::{Biases, Factors, Quants};
use crate::lanes::{NUM_LANES, PanelGroup};

// What follows steps from row to row.
const _: () = assert!(size_of::<Quants>() == 32 && size_of::<Factors>() == 8 && size_of::<Biases>() == 12);

/// `$do` for each row.
macro_rules! for_rows {
    ($do:ident $(, $argument:tt)*) => {
        concat!($do!(0 $(, $argument)*), $do!(1 $(, $argument)*), $do!(2 $(, $argument)*), $do!(3 $(, $argument)*))
    };
}

/// Word `$j` of a row by two vectors of weights: where its sums begin.
#[rustfmt::skip]
macro_rules! first_word {
    ($row:literal, $j:literal) => {
        concat!(
            "vpbroadcastd {word}, dword ptr [{words} + 4*", $j, " + {row_bytes}*", $row, "]\n",
            "vpmaddubsw {low", $row, "}, {weights0}, {word}\n",
            "vpmaddubsw {high", $row, "}, {weights1}, {word}\n",
        )
    };
}

/// The same, added to what came before.
#[rustfmt::skip]
macro_rules! next_word {
    ($row:literal, $j:literal) => {
        concat!(
            "vpbroadcastd {word}, dword ptr [{words} + 4*", $j, " + {row_bytes}*", $row, "]\n",
            "vpmaddubsw {product}, {weights0}, {word}\n",
            "vpmaddubsw {word}, {weights1}, {word}\n",
            "vpaddw {low", $row, "}, {low", $row, "}, {product}\n",
            "vpaddw {high", $row, "}, {high", $row, "}, {word}\n",
        )
    };
}

/// Vectors `$j` and `$k`, which lie in the same bytes of a tile of nibbles, by their words of all rows.
#[rustfmt::skip]
macro_rules! two_words {
    ($word:ident, $j:literal, $k:literal) => {
        concat!(
            "vmovdqu {both0}, ymmword ptr [{tile} + 64*", $j, "]\n",
            "vmovdqu {both1}, ymmword ptr [{tile} + 64*", $j, " + 32]\n",
            "vpand {weights0}, {both0}, {mask}\n",
            "vpand {weights1}, {both1}, {mask}\n",
            for_rows!($word, $j),
            "vpsrlw {both0}, {both0}, 4\n",
            "vpsrlw {both1}, {both1}, 4\n",
            "vpand {weights0}, {both0}, {mask}\n",
            "vpand {weights1}, {both1}, {mask}\n",
            for_rows!(next_word, $k),
        )
    };
}

/// The sums of two over a group, at most `8·2·15·127`.
macro_rules! sum_pairs {
    () => {
        concat!(
            two_words!(first_word, 0, 4),
            two_words!(next_word, 1, 5),
            two_words!(next_word, 2, 6),
            two_words!(next_word, 3, 7),
        )
    };
}

/// Sums of two to sums of all; `{weights0}` is 1 in 16 bits.
#[rustfmt::skip]
macro_rules! add_up {
    ($row:literal) => {
        concat!(
            "vpmaddwd {low", $row, "}, {low", $row, "}, {weights0}\n",
            "vpmaddwd {high", $row, "}, {high", $row, "}, {weights0}\n",
        )
    };
}

#[rustfmt::skip]
macro_rules! add_bias {
    ($row:literal) => {
        concat!(
            "vpbroadcastd {word}, dword ptr [{biases} + 12*", $row, "]\n",
            "vpaddd {low", $row, "}, {low", $row, "}, {word}\n",
            "vpaddd {high", $row, "}, {high", $row, "}, {word}\n",
        )
    };
}

/// `fma(sum, scale·row's scale, output)`; `{weights0}` and `{weights1}` are the scales.
#[rustfmt::skip]
macro_rules! scale {
    ($row:literal) => {
        concat!(
            "vcvtdq2ps {low", $row, "}, {low", $row, "}\n",
            "vcvtdq2ps {high", $row, "}, {high", $row, "}\n",
            "vbroadcastss {word}, dword ptr [{factors} + 8*", $row, "]\n",
            "vmulps {product}, {weights0}, {word}\n",
            "vmulps {word}, {weights1}, {word}\n",
            "vfmadd213ps {low", $row, "}, {product}, ymmword ptr [{out} + 64*", $row, "]\n",
            "vfmadd213ps {high", $row, "}, {word}, ymmword ptr [{out} + 64*", $row, " + 32]\n",
        )
    };
}

/// `fma(offset, row's scaled sum, output)`; `{both0}` and `{both1}` are the offsets.
#[rustfmt::skip]
macro_rules! offset {
    ($row:literal) => {
        concat!(
            "vbroadcastss {word}, dword ptr [{factors} + 8*", $row, " + 4]\n",
            "vfmadd231ps {low", $row, "}, {both0}, {word}\n",
            "vfmadd231ps {high", $row, "}, {both1}, {word}\n",
        )
    };
}

#[rustfmt::skip]
macro_rules! store {
    ($row:literal) => {
        concat!(
            "vmovups ymmword ptr [{out} + 64*", $row, "], {low", $row, "}\n",
            "vmovups ymmword ptr [{out} + 64*", $row, " + 32], {high", $row, "}\n",
        )
    };
}

/// Steps over a tile and the words of four rows, with registers for what they pass on, and what else they name.
macro_rules! over_tile {
    ($tile:expr, $words:expr, [$($step:expr),* $(,)?], { $($operand:tt)* }) => {
        asm!(
            $($step,)*
            tile = in(reg) $tile,
            words = in(reg) $words,
            weights0 = out(ymm_reg) _,
            weights1 = out(ymm_reg) _,
            both0 = out(ymm_reg) _,
            both1 = out(ymm_reg) _,
            word = out(ymm_reg) _,
            product = out(ymm_reg) _,
            $($operand)*
        )
    };
}

/// The steps, which end with the sums of each row as outputs, and what they name beyond the group and the sums.
macro_rules! add_group {
    ($group:ident, $out:ident, [$($step:expr),* $(,)?], { $($operand:tt)* }) => {
        over_tile!($group.tile, $group.words, [$($step,)* for_rows!(store)], {
            $($operand)*
            scales = in(reg) $group.scales,
            factors = in(reg) $group.factors,
            out = in(reg) $out.as_mut_ptr(),
            low0 = out(ymm_reg) _,
            high0 = out(ymm_reg) _,
            low1 = out(ymm_reg) _,
            high1 = out(ymm_reg) _,
            low2 = out(ymm_reg) _,
            high2 = out(ymm_reg) _,
            low3 = out(ymm_reg) _,
            high3 = out(ymm_reg) _,
            options(nostack, preserves_flags),
        })
    };
}

/// Sums of two of nibbles to sums of all.
macro_rules! sum_nibbles {
    () => {
        concat!(
            sum_pairs!(),
            "vpcmpeqw {weights0}, {weights0}, {weights0}\n",
            "vpsrlw {weights0}, {weights0}, 15\n",
            for_rows!(add_up),
        )
    };
}

macro_rules! load_scales {
    () => {
        "vcvtph2ps {weights0}, xmmword ptr [{scales}]\nvcvtph2ps {weights1}, xmmword ptr [{scales} + 16]\n"
    };
}

/// The sums of two of a tile by four rows.
///
/// # Safety
/// A tile can be read, and the group's words of four rows, `ROW_BYTES` apart.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn nibble_sums<const ROW_BYTES: usize>(
    tile: *const u8,
    words: *const i32,
) -> [[__m256i; 2]; 4] {
    let (low0, high0, low1, high1, low2, high2, low3, high3);
    // SAFETY: it reads what the caller's contract allows and writes the registers that it names.
    unsafe {
        over_tile!(tile, words, [sum_pairs!()], {
            row_bytes = const ROW_BYTES,
            mask = in(ymm_reg) _mm256_set1_epi8(15),
            low0 = out(ymm_reg) low0,
            high0 = out(ymm_reg) high0,
            low1 = out(ymm_reg) low1,
            high1 = out(ymm_reg) high1,
            low2 = out(ymm_reg) low2,
            high2 = out(ymm_reg) high2,
            low3 = out(ymm_reg) low3,
            high3 = out(ymm_reg) high3,
            options(pure, readonly, nostack, preserves_flags),
        });
    }
    [[low0, high0], [low1, high1], [low2, high2], [low3, high3]]
}

/// Adds the products of four rows with a group of weights to the outputs.
///
/// # Safety
/// All that the group points to can be read, for four rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn add_nibbles<const HAS_OFFSETS: bool>(
    group: PanelGroup,
    out: &mut [[f32; NUM_LANES]; 4],
) {
    let mask = _mm256_set1_epi8(15);
    // SAFETY: they read what the caller's contract allows, and write the outputs and the registers that they name.
    unsafe {
        if HAS_OFFSETS {
            add_group!(
                group,
                out,
                [
                    sum_nibbles!(),
                    load_scales!(),
                    "vcvtph2ps {both0}, xmmword ptr [{scales} + 32]",
                    "vcvtph2ps {both1}, xmmword ptr [{scales} + 48]",
                    for_rows!(scale),
                    for_rows!(offset),
                ],
                { row_bytes = const size_of::<Quants>(), mask = in(ymm_reg) mask, }
            );
        } else {
            add_group!(
                group,
                out,
                [sum_nibbles!(), for_rows!(add_bias), load_scales!(), for_rows!(scale)],
                { row_bytes = const size_of::<Quants>(), mask = in(ymm_reg) mask, biases = in(reg) group.biases, }
            );
        }
    }
}

/// Word `$j` of a row by two vectors of bytes. Pairs of full unsigned bytes would overflow 16 bits, but `|w| ≤ 128` times `±a`, `|a| ≤ 127`,
/// does not.
#[rustfmt::skip]
macro_rules! byte_word {
    ($row:literal, $j:literal, $then:ident) => {
        concat!(
            "vpbroadcastd {word}, dword ptr [{words} + 4*", $j, " + 32*", $row, "]\n",
            "vpsignb {product}, {word}, {both0}\n",
            "vpsignb {word}, {word}, {both1}\n",
            "vpmaddubsw {product}, {weights0}, {product}\n",
            "vpmaddubsw {word}, {weights1}, {word}\n",
            $then!($row),
        )
    };
}

#[rustfmt::skip]
macro_rules! first_fours {
    ($row:literal) => {
        concat!(
            "vpmaddwd {low", $row, "}, {product}, {ones}\n",
            "vpmaddwd {high", $row, "}, {word}, {ones}\n",
        )
    };
}

#[rustfmt::skip]
macro_rules! next_fours {
    ($row:literal) => {
        concat!(
            "vpmaddwd {product}, {product}, {ones}\n",
            "vpmaddwd {word}, {word}, {ones}\n",
            "vpaddd {low", $row, "}, {low", $row, "}, {product}\n",
            "vpaddd {high", $row, "}, {high", $row, "}, {word}\n",
        )
    };
}

/// Vectors `$j` of a tile of bytes by its words of all rows; `{both0}` and `{both1}` are the weights with their sign.
#[rustfmt::skip]
macro_rules! bytes {
    ($fours:ident, $j:literal) => {
        concat!(
            "vpxor {both0}, {flip}, ymmword ptr [{tile} + 64*", $j, "]\n",
            "vpxor {both1}, {flip}, ymmword ptr [{tile} + 64*", $j, " + 32]\n",
            "vpabsb {weights0}, {both0}\n",
            "vpabsb {weights1}, {both1}\n",
            for_rows!(byte_word, $j, $fours),
        )
    };
}

/// Adds the products of four rows with a group of bytes, each reduced by 128, to the outputs.
///
/// # Safety
/// As [`add_nibbles`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn add_bytes(group: PanelGroup, out: &mut [[f32; NUM_LANES]; 4]) {
    // SAFETY: it reads what the caller's contract allows, and writes the outputs and the registers that it names.
    unsafe {
        add_group!(
            group,
            out,
            [
                bytes!(first_fours, 0),
                bytes!(next_fours, 1),
                bytes!(next_fours, 2),
                bytes!(next_fours, 3),
                bytes!(next_fours, 4),
                bytes!(next_fours, 5),
                bytes!(next_fours, 6),
                bytes!(next_fours, 7),
                load_scales!(),
                for_rows!(scale),
            ],
            { flip = in(ymm_reg) _mm256_set1_epi8(-128), ones = in(ymm_reg) _mm256_set1_epi16(1), }
        );
    }
}
