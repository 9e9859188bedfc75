//! The rows of `bench table`: what is measured, against whom, and what must be reached.

use serde::Serialize;

/// A model that rows are measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowModel {
    /// SmolLM2-135M-Instruct, Q4_1; peers may take the same weights in the format that suits them best.
    Smollm2,
    /// Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: the same file for all.
    QwenSmall,
    /// Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: the same file for all.
    QwenLarge,
}

impl RowModel {
    /// The file below `.jetmill/models`.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Smollm2 => "smollm2-135m-instruct-q4_1.gguf",
            Self::QwenSmall => "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            Self::QwenLarge => "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        }
    }
}

/// What one figure of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Tokens a second of one sequence after its first token: 16 prompt tokens, 128 answer tokens; the engine alone.
    Decode,
    /// 512 prompt tokens over the time to the first token; the engine alone.
    Prefill,
    /// Output tokens a second of that many streams, 256 prompt and 128 answer tokens each, from the first request to the end
    /// of the last answer.
    Streams(usize),
    /// p99 of the gaps between tokens while that many streams decode and a 256-token prompt arrives whenever an answer ends.
    /// Answers are 64 to 192 tokens long, so that their ends are spread; the streams of the first wave are not counted.
    ArrivalGaps(usize),
    /// Time to the first token of 1,032 prompt tokens of which an earlier request left 1,000 in the prefix cache.
    CachedPrefix,
    /// From the start of the process to the first token of an eight-token prompt, the file in the page cache.
    Start,
    /// Resident memory of the server and its children under 32 streams, without the weights' file size and the KV cache.
    Memory,
}

impl Workload {
    /// The unit of its figures.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Decode | Self::Prefill | Self::Streams(_) => "tok/s",
            Self::ArrivalGaps(_) | Self::CachedPrefix | Self::Start => "ms",
            Self::Memory => "MB",
        }
    }

    /// Whether a larger figure is the better one.
    #[must_use]
    pub const fn is_more_better(self) -> bool {
        matches!(self, Self::Decode | Self::Prefill | Self::Streams(_))
    }

    /// Whether the engine is called directly instead of through the platform.
    #[must_use]
    pub const fn is_engine_alone(self) -> bool {
        matches!(self, Self::Decode | Self::Prefill)
    }

    /// Sequences that a server must be able to hold at once.
    #[must_use]
    pub const fn num_streams(self) -> usize {
        match self {
            Self::Streams(num_streams) | Self::ArrivalGaps(num_streams) => num_streams,
            Self::Memory => 32,
            Self::Decode | Self::Prefill | Self::CachedPrefix | Self::Start => 1,
        }
    }

    /// Longest prompt and answer together.
    #[must_use]
    pub const fn num_context_tokens(self) -> usize {
        match self {
            Self::CachedPrefix => 1_088,
            Self::Decode | Self::Prefill | Self::Start => 576,
            Self::Streams(_) | Self::ArrivalGaps(_) | Self::Memory => 480,
        }
    }
}

/// What must be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// So many times the best peer of the same run.
    TimesBestPeer(f64),
    /// No more than this.
    AtMost(f64),
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// How the command line calls it.
    pub id: &'static str,
    /// How the table calls it.
    pub title: &'static str,
    /// Over which model.
    pub model: RowModel,
    /// What is measured.
    pub workload: Workload,
    /// What must be reached.
    pub requirement: Requirement,
    /// What is hoped for, on two Zen 4 cores.
    pub aim: Option<f64>,
}

const fn row(
    id: &'static str,
    title: &'static str,
    (model, workload): (RowModel, Workload),
    requirement: Requirement,
    aim: Option<f64>,
) -> Row {
    Row { id, title, model, workload, requirement, aim }
}

use Requirement::{AtMost, TimesBestPeer};
use RowModel::{QwenLarge, QwenSmall, Smollm2};

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    row("decode", "decode, 1 sequence", (Smollm2, Workload::Decode), TimesBestPeer(1.5), Some(280.0)),
    row("prefill", "prefill, 512 tokens", (Smollm2, Workload::Prefill), TimesBestPeer(1.2), Some(1_700.0)),
    row(
        "streams-1",
        "1 stream, 256 in / 128 out",
        (Smollm2, Workload::Streams(1)),
        TimesBestPeer(2.0),
        Some(210.0),
    ),
    row("streams-8", "8 streams", (Smollm2, Workload::Streams(8)), TimesBestPeer(2.0), Some(380.0)),
    row("streams-32", "32 streams", (Smollm2, Workload::Streams(32)), TimesBestPeer(1.5), Some(480.0)),
    row(
        "inter-token",
        "inter-token p99, 32 streams, prompts arriving",
        (Smollm2, Workload::ArrivalGaps(32)),
        AtMost(200.0),
        Some(120.0),
    ),
    row(
        "cached-prefix",
        "first token, 1,000 cached + 32 new",
        (Smollm2, Workload::CachedPrefix),
        AtMost(60.0),
        Some(40.0),
    ),
    row("qwen-0.5b-1", "Qwen2.5 0.5B, 1 stream", (QwenSmall, Workload::Streams(1)), TimesBestPeer(1.3), None),
    row(
        "qwen-0.5b-16",
        "Qwen2.5 0.5B, 16 streams",
        (QwenSmall, Workload::Streams(16)),
        TimesBestPeer(2.0),
        None,
    ),
    row("qwen-1.5b-1", "Qwen2.5 1.5B, 1 stream", (QwenLarge, Workload::Streams(1)), TimesBestPeer(1.3), None),
    row(
        "qwen-1.5b-16",
        "Qwen2.5 1.5B, 16 streams",
        (QwenLarge, Workload::Streams(16)),
        TimesBestPeer(2.0),
        None,
    ),
    row("start", "start to first token", (Smollm2, Workload::Start), AtMost(500.0), Some(300.0)),
    row("memory", "memory beyond weights and KV", (Smollm2, Workload::Memory), AtMost(150.0), None),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique() {
        let ids: BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
    }
}
