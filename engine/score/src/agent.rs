//! The stage's duty cycle.
//!
//! Invariant: every event that comes in goes out once, in order; only transactions are scored; a transaction is scored
//! with every label before it.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FeatureRecord, Score, ScoredRecord, decision_flag, payment_kind};

use crate::config::ScoreConfig;
use crate::counters::ScoreCounters;
use crate::error::ScoreError;
use crate::scorer::Scorer;

/// Scores the transactions of the payments lane, and learns from its labels.
pub struct ScoreAgent {
    input: Consumer<FeatureRecord>,
    output: Producer<ScoredRecord>,
    scorer: Scorer,
    counters: ScoreCounters,
    batch_max: usize,
}

impl ScoreAgent {
    /// An agent that serves from `scorer`.
    ///
    /// # Errors
    /// [`ScoreError`] if the configuration is refused.
    pub fn new(
        config: &ScoreConfig,
        scorer: Scorer,
        input: Consumer<FeatureRecord>,
        output: Producer<ScoredRecord>,
        counters: &Counters,
    ) -> Result<Self, ScoreError> {
        config.validate()?;
        let counters = ScoreCounters::new(counters);
        counters.show(&scorer);
        Ok(Self {
            input,
            output,
            scorer,
            counters,
            batch_max: config.batch_max as usize,
        })
    }
}

impl Agent for ScoreAgent {
    fn name(&self) -> &str {
        "score"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        let Self {
            input,
            output,
            scorer,
            counters,
            batch_max,
        } = self;
        if input.is_empty() {
            return 0;
        }
        let room = output.room(*batch_max);
        if room == 0 {
            counters.output_full.increment();
        }
        let work_count = input.read_batch(room, |record| {
            let score = score_event(scorer, counters, record, now_ns);
            let pushed = output.push_with(|slot| {
                slot.payment = record.payment;
                slot.payment.origin.flags |= score.flags;
                slot.score = score;
                slot.features = record.features;
            });
            assert!(pushed, "the room was asked for before the batch was read");
        });
        counters.show(scorer);
        work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}

fn score_event(scorer: &mut Scorer, counters: &ScoreCounters, record: &FeatureRecord, now_ns: i64) -> Score {
    let scored_ns = now_ns.max(record.payment.origin.ingest_ns);
    let score = scorer.apply(&record.payment, &record.features);
    let is_transaction = record.payment.origin.kind == payment_kind::TRANSACTION;
    counters.scored.add(u64::from(is_transaction));
    counters.passed.add(u64::from(!is_transaction));
    counters
        .degraded
        .add(u64::from(score.flags & decision_flag::DEGRADED != 0));
    Score { scored_ns, ..score }
}
