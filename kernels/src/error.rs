use crate::{Isa, WeightType};

/// Why a kernel refused its operands. Numbers never cause an error: NaN and infinity pass through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// An operand's shape does not fit the operation.
    #[error("{op}: {operand} has shape {actual:?}, {expected:?} is needed")]
    ShapeMismatch {
        /// The operation.
        op: &'static str,
        /// The operand that does not fit.
        operand: &'static str,
        /// The shape that the other operands ask for, `[rows, columns]`.
        expected: [usize; 2],
        /// The shape that was given, `[rows, columns]`.
        actual: [usize; 2],
    },
    /// The columns of a matrix do not divide into the blocks of its type.
    #[error("{op}: rows of {num_cols} {weight_type:?} elements do not divide into blocks of {block_size}")]
    PartialBlock {
        /// The operation.
        op: &'static str,
        /// The type of the elements.
        weight_type: WeightType,
        /// Elements in a row.
        num_cols: usize,
        /// Elements in a block of the type.
        block_size: usize,
    },
    /// An index lies outside of what it indexes.
    #[error("{op}: {index_of} {index} is outside of 0..{len}")]
    OutOfRange {
        /// The operation.
        op: &'static str,
        /// What the index counts.
        index_of: &'static str,
        /// The index.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// A parameter has a value that the operation cannot work with.
    #[error("{op}: {parameter} is {value}, {rule}")]
    BadParameter {
        /// The operation.
        op: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The processor does not have the instruction set that was asked for.
    #[error("this processor has no {}", .isa.name())]
    IsaUnavailable {
        /// The instruction set.
        isa: Isa,
    },
    /// Memory could not be allocated.
    #[error("{num_bytes} bytes for {purpose} could not be allocated")]
    OutOfMemory {
        /// How much was asked for.
        num_bytes: usize,
        /// What for.
        purpose: &'static str,
    },
    /// A compute thread could not be started.
    #[error("compute thread {index} could not be started: {reason}")]
    ThreadSpawn {
        /// The thread, counted from 1; the caller is thread 0.
        index: usize,
        /// The operating system's reason.
        reason: String,
    },
}

impl KernelError {
    /// A stable name for logs and for the api's table of statuses.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ShapeMismatch { .. } => "kernel_shape_mismatch",
            Self::PartialBlock { .. } => "kernel_partial_block",
            Self::OutOfRange { .. } => "kernel_out_of_range",
            Self::BadParameter { .. } => "kernel_bad_parameter",
            Self::IsaUnavailable { .. } => "kernel_isa_unavailable",
            Self::OutOfMemory { .. } => "kernel_out_of_memory",
            Self::ThreadSpawn { .. } => "kernel_thread_spawn",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. } | Self::ThreadSpawn { .. })
    }
}

/// `Ok` if `len` elements are exactly `[rows, cols]`.
pub(crate) fn check_shape(
    op: &'static str,
    operand: &'static str,
    len: usize,
    expected: [usize; 2],
) -> Result<(), KernelError> {
    if expected[0].checked_mul(expected[1]) == Some(len) {
        return Ok(());
    }
    let cols = expected[1];
    let actual = if cols != 0 && len.is_multiple_of(cols) { [len / cols, cols] } else { [1, len] };
    Err(KernelError::ShapeMismatch { op, operand, expected, actual })
}

/// The number of rows of `cols` elements in `len` elements, or an error when they do not divide.
pub(crate) fn count_rows(
    op: &'static str,
    operand: &'static str,
    len: usize,
    cols: usize,
) -> Result<usize, KernelError> {
    if cols != 0 && len.is_multiple_of(cols) {
        return Ok(len / cols);
    }
    Err(KernelError::ShapeMismatch { op, operand, expected: [len / cols.max(1), cols], actual: [1, len] })
}
