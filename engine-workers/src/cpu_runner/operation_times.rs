//! Where the time of a forward pass goes.

use std::time::{Duration, Instant};

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Looking up embeddings.
    Embedding,
    /// RMS norms.
    Norm,
    /// Query, key and value.
    Qkv,
    /// Rotary positions, and writing keys and values into the cache.
    RopeAndStore,
    /// Attention over the cache.
    Attention,
    /// The projection after attention.
    AttentionOutput,
    /// Choosing experts, bringing rows to them and adding up what they computed.
    Experts,
    /// Gate and up.
    GateUp,
    /// The activation between them.
    Activation,
    /// Down.
    Down,
    /// Adding to the residual stream.
    Residual,
    /// The output matrix, over the rows asked for.
    Head,
}

impl Operation {
    /// All of them, in the order of a pass.
    pub const ALL: [Self; 12] = [
        Self::Embedding,
        Self::Norm,
        Self::Qkv,
        Self::RopeAndStore,
        Self::Attention,
        Self::AttentionOutput,
        Self::Experts,
        Self::GateUp,
        Self::Activation,
        Self::Down,
        Self::Residual,
        Self::Head,
    ];
}

/// Sums of time per kind of operation.
#[derive(Debug, Clone, Default)]
pub struct OperationTimes {
    totals: [Duration; Operation::ALL.len()],
}

impl OperationTimes {
    /// The sum for one kind.
    pub fn total(&self, operation: Operation) -> Duration {
        self.totals[operation as usize]
    }

    /// The sum of everything.
    pub fn sum(&self) -> Duration {
        self.totals.iter().sum()
    }

    /// What was added since `earlier`, a clone of the same times.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut totals = self.totals;
        for (total, earlier) in totals.iter_mut().zip(&earlier.totals) {
            *total = total.saturating_sub(*earlier);
        }
        Self { totals }
    }
}

/// Adds the time since the last call to the kind that just ended.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    times: OperationTimes,
    last: Instant,
}

impl Stopwatch {
    /// Adds to `times`, which [`Stopwatch::stop`] gives back.
    pub(crate) fn start(times: OperationTimes) -> Self {
        Self { times, last: Instant::now() }
    }

    pub(crate) fn ended(&mut self, operation: Operation) {
        let now = Instant::now();
        self.times.totals[operation as usize] += now - self.last;
        self.last = now;
    }

    pub(crate) fn stop(self) -> OperationTimes {
        self.times
    }
}
