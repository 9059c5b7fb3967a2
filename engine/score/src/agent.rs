//! The stage's duty cycle.
//!
//! What waits in the ring is a batch: its vectors are encoded at once, then each event is taken in order. Nothing waits for
//! a batch to fill: one event that is there alone is scored at once.
//!
//! Invariant: every event that comes in goes out once, in order; only transactions are scored; a transaction is scored
//! with every label before it.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FeatureRecord, ScoredRecord};

use crate::config::ScoreConfig;
use crate::counters::ScoreCounters;
use crate::encoder::ROWS_MAX;
use crate::error::ScoreError;
use crate::scorer::{Finding, Scorer};

/// Scores the transactions of the payments lane, and learns from its labels.
pub struct ScoreAgent {
    input: Consumer<FeatureRecord>,
    output: Producer<ScoredRecord>,
    scorer: Scorer,
    findings: Option<Producer<Finding>>,
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
            findings: None,
            counters,
            batch_max: config.batch_max as usize,
        })
    }

    /// Tells another scorer, which follows, what was found. What finds no room is left out; nobody waits.
    pub fn with_findings(mut self, findings: Option<Producer<Finding>>) -> Self {
        self.findings = findings.filter(|_| self.scorer.gives_findings());
        self
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
            findings,
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
        let work_count = input.read_slices(room, |first, second| {
            for records in first.chunks(ROWS_MAX).chain(second.chunks(ROWS_MAX)) {
                scorer.apply_all(records, |record, score| {
                    counters.note(record, &score);
                    let scored_ns = now_ns.max(record.payment.origin.ingest_ns);
                    let is_pushed = output.push_with(|slot| {
                        slot.payment = record.payment;
                        slot.payment.origin.flags |= score.flags;
                        slot.score = score;
                        slot.score.scored_ns = scored_ns;
                        slot.features = record.features;
                    });
                    assert!(is_pushed, "the room was asked for before the batch was read");
                });
                if let Some(findings) = findings {
                    let is_told = scorer
                        .findings(records)
                        .all(|finding| findings.try_push(&finding));
                    counters.findings_left_out.add(u64::from(!is_told));
                }
            }
        });
        counters.show(scorer);
        work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}
