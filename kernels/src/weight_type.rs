/// How the elements of a weight matrix are stored, with GGUF's block layouts.
///
/// Source: the GGUF specification and the block structures of ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    BF16,
    /// 32 × int8 and an f16 scale: `d·q`.
    Q8_0,
    /// 32 × 4 bits and an f16 scale: `d·(q − 8)`.
    Q4_0,
    /// 32 × 4 bits, an f16 scale and an f16 offset: `d·q + m`.
    Q4_1,
    /// 32 × 5 bits and an f16 scale: `d·(q − 16)`.
    Q5_0,
    /// 32 × 5 bits, an f16 scale and an f16 offset: `d·q + m`.
    Q5_1,
    /// 256 × 4 bits, f16 scale and offset, 8 groups with 6-bit factors: `d·sc·q − dmin·m`.
    Q4K,
    /// 256 × 5 bits, f16 scale and offset, 8 groups with 6-bit factors: `d·sc·q − dmin·m`.
    Q5K,
    /// 256 × 6 bits, an f16 scale, 16 groups with int8 factors: `d·sc·(q − 32)`.
    Q6K,
}

impl WeightType {
    /// All types, for tables and tests.
    pub const ALL: [WeightType; 11] = [
        WeightType::F32,
        WeightType::F16,
        WeightType::BF16,
        WeightType::Q8_0,
        WeightType::Q4_0,
        WeightType::Q4_1,
        WeightType::Q5_0,
        WeightType::Q5_1,
        WeightType::Q4K,
        WeightType::Q5K,
        WeightType::Q6K,
    ];

    /// The name, as in a file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
        }
    }

    /// Elements in a block.
    pub const fn block_size(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes in a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes in a row of `num_cols` elements, or `None` if they do not divide into blocks.
    pub const fn row_bytes(self, num_cols: usize) -> Option<usize> {
        if !num_cols.is_multiple_of(self.block_size()) {
            return None;
        }
        (num_cols / self.block_size()).checked_mul(self.block_bytes())
    }

    /// Whether an element lies in bytes of its own, so that [`crate::gather_packed`] reads rows of a packed matrix back.
    pub const fn has_whole_elements(self) -> bool {
        matches!(self, Self::Q8_0 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// Whether the elements are floating-point numbers, which are multiplied without quantisation.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }
}
