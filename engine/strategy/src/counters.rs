//! What a strategy stage counts.

use pinion_runtime::counters::{Counter, Counters};

/// The counters of one lane's strategy stage.
pub struct StrategyCounters {
    /// Events shown to the module, or decided without it.
    pub events: Counter,
    /// Answers that asked for something.
    pub answers: Counter,
    /// Decisions by the fallback, because the module is quarantined or its answer was not valid.
    pub fallbacks: Counter,
    /// Panics of the module; the first one quarantines it.
    pub panics: Counter,
    /// Answers that were not valid.
    pub invalid_answers: Counter,
    /// 1 while the module is quarantined.
    pub quarantined: Counter,
    /// Duty cycles that ended because the ring to publish was full.
    pub output_full: Counter,
}

impl StrategyCounters {
    /// Takes the cells of `lane`, "market" or "payments".
    pub fn new(counters: &Counters, lane: &str) -> Self {
        let counter = |name: &str| counters.counter(&format!("strategy.{lane}.{name}"));
        Self {
            events: counter("events"),
            answers: counter("answers"),
            fallbacks: counter("fallbacks"),
            panics: counter("panics"),
            invalid_answers: counter("invalid_answers"),
            quarantined: counter("quarantined"),
            output_full: counter("output_full"),
        }
    }
}
