use crate::KernelError;
#[cfg(target_arch = "aarch64")]
use crate::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2, Avx512, Lanes as _};
use crate::lanes::{Kernel, Portable};

/// The instruction set that the kernels run on. All give the same bits; they differ in speed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, on every processor.
    Portable,
    /// aarch64 with NEON and its int8 dot products (DotProd).
    Neon,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and its int8 dot products (VNNI).
    Avx512Vnni,
    /// The same with the int8 products of the matrix unit (AMX), where the system lets the process use it.
    AmxInt8,
}

impl Isa {
    const ALL: [Isa; 5] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512Vnni, Isa::AmxInt8];

    /// The fastest instruction set of this processor.
    pub fn detect() -> Isa {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    /// Every instruction set of this processor, slowest first.
    pub fn available() -> Vec<Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The name for logs and fingerprints.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon-dotprod",
            Isa::Avx2 => "avx2",
            Isa::Avx512Vnni => "avx512-vnni",
            Isa::AmxInt8 => "amx-int8",
        }
    }

    fn is_available(self) -> bool {
        VerifiedIsa::new(self).is_ok()
    }
}

/// An instruction set that this processor has, with the proof of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum VerifiedIsa {
    Portable(Portable),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl VerifiedIsa {
    pub(crate) fn new(isa: Isa) -> Result<Self, KernelError> {
        let verified = match isa {
            Isa::Portable => Some(Self::Portable(Portable)),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::detect().map(Self::Neon),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::AmxInt8 => Avx512::detect_with_tile_unit().map(Self::Avx512),
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon => None,
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512Vnni | Isa::AmxInt8 => None,
        };
        verified.ok_or(KernelError::IsaUnavailable { isa })
    }

    pub(crate) fn isa(self) -> Isa {
        match self {
            Self::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => Isa::Neon,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) if lanes.tile_unit().is_some() => Isa::AmxInt8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Isa::Avx512Vnni,
        }
    }

    /// Runs the kernel, compiled for this instruction set.
    #[inline]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) {
        match self {
            Self::Portable(lanes) => kernel.run(lanes),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(lanes) => lanes.dispatch(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.dispatch(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) => lanes.dispatch(kernel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detected_isa_is_the_last_of_the_available() {
        assert_eq!(Isa::available().last().copied(), Some(Isa::detect()));
        assert_eq!(Isa::available().first().copied(), Some(Isa::Portable));
    }

    #[test]
    fn every_available_isa_can_be_verified() {
        for isa in Isa::available() {
            assert_eq!(VerifiedIsa::new(isa).unwrap().isa(), isa);
        }
    }
}
