//! The stage's duty cycle.
//!
//! Invariant: every event that comes in goes out once, in order; only transactions are scored.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FeatureRecord, Score, ScoredRecord, decision_flag, payment_kind};

use crate::config::ScoreConfig;
use crate::counters::ScoreCounters;
use crate::error::ScoreError;
use crate::scorer::Scorer;

/// Scores the transactions of the payments lane.
pub struct ScoreAgent {
    input: Consumer<FeatureRecord>,
    output: Producer<ScoredRecord>,
    scorer: Scorer,
    counters: ScoreCounters,
    batch_max: usize,
}

impl ScoreAgent {
    /// An agent with its model loaded and warm. `hash_of_first`: see [`Scorer::load`].
    ///
    /// # Errors
    /// [`ScoreError`] if the configuration, the model or the library is refused.
    pub fn new(
        config: &ScoreConfig,
        hash_of_first: impl Fn(usize) -> Option<u64>,
        input: Consumer<FeatureRecord>,
        output: Producer<ScoredRecord>,
        counters: &Counters,
    ) -> Result<Self, ScoreError> {
        config.validate()?;
        let counters = ScoreCounters::new(counters);
        let scorer = Scorer::load(config, hash_of_first)?;
        counters.bank_rows.set(scorer.bank().len() as u64);
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
        input.read_batch(room, |record| {
            let score = score_event(scorer, counters, record, now_ns);
            let pushed = output.push_with(|slot| {
                slot.payment = record.payment;
                slot.payment.origin.flags |= score.flags;
                slot.score = score;
                slot.features = record.features;
            });
            assert!(pushed, "the room was asked for before the batch was read");
        })
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}

fn score_event(scorer: &mut Scorer, counters: &ScoreCounters, record: &FeatureRecord, now_ns: i64) -> Score {
    let scored_ns = now_ns.max(record.payment.origin.ingest_ns);
    if record.payment.origin.kind != payment_kind::TRANSACTION {
        counters.passed.increment();
        return Score {
            scored_ns,
            ..Score::default()
        };
    }
    counters.scored.increment();
    let score = scorer.score(&record.features);
    if score.flags & decision_flag::DEGRADED != 0 {
        counters.degraded.increment();
    }
    Score { scored_ns, ..score }
}
