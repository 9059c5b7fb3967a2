//! What the scoring stage counts.

use pinion_runtime::counters::{Counter, Counters};

/// The stage's counters.
pub struct ScoreCounters {
    /// Transactions scored.
    pub scored: Counter,
    /// Labels and account updates passed on without a score.
    pub passed: Counter,
    /// Transactions that the encoder failed on, or whose embedding was not finite: passed on as degraded.
    pub degraded: Counter,
    /// Duty cycles that ended because the ring to the strategy was full.
    pub output_full: Counter,
    /// Rows of the bank.
    pub bank_rows: Counter,
}

impl ScoreCounters {
    /// Takes the stage's cells.
    pub fn new(counters: &Counters) -> Self {
        Self {
            scored: counters.counter("score.scored"),
            passed: counters.counter("score.passed"),
            degraded: counters.counter("score.degraded"),
            output_full: counters.counter("score.output_full"),
            bank_rows: counters.counter("score.bank_rows"),
        }
    }
}
