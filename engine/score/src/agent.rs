//! The stage's duty cycle.
//!
//! What waits in the ring is a batch: its vectors are encoded at once, then each event is taken in order. One event that is
//! there alone is scored at once; several may wait for more, as long as the configuration says. How long an event takes at
//! present is shown to ingest, which sheds by it.
//!
//! Another model takes over between two events: see [`crate::exchange`].
//!
//! Invariant: every event that comes in goes out once, in order; only transactions are scored; a transaction is scored
//! with every label before it.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::latest::Latest;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FeatureRecord, ScoredRecord};

use crate::config::ScoreConfig;
use crate::counters::ScoreCounters;
use crate::encoder::ROWS_MAX;
use crate::error::ScoreError;
use crate::exchange::{Exchange, Exchanges};
use crate::scorer::{Finding, Scorer, is_to_be_scored};

/// The average time per transaction moves by one in so many of what the last batch took.
const SMOOTHING: u64 = 16;

/// A batch counts as at most so many times the average: the system may have taken the core away.
const OUTLIER: u64 = 4;

/// Scores the transactions of the payments lane, and learns from its labels.
pub struct ScoreAgent {
    input: Consumer<FeatureRecord>,
    output: Producer<ScoredRecord>,
    scorer: Scorer,
    findings: Option<Producer<Finding>>,
    exchange: Exchange,
    counters: ScoreCounters,
    batch_max: usize,
    batch_wait_ns: i64,
    tempo: Tempo,
}

/// How long a transaction takes, from one duty cycle with work to the next: all that is done on this core is in it.
#[derive(Default)]
struct Tempo {
    show: Option<Latest<2>>,
    /// Transactions taken to be scored since the start.
    taken: u64,
    /// Of these, in the last duty cycle.
    last: u64,
    began_ns: i64,
    /// 0: not known yet. Unit: ns.
    each_ns: u64,
}

impl ScoreAgent {
    /// An agent that serves from `scorer`, which has all cases that it begins with.
    ///
    /// # Errors
    /// [`ScoreError`] if the configuration is refused, or a device fails.
    pub fn new(
        config: &ScoreConfig,
        mut scorer: Scorer,
        input: Consumer<FeatureRecord>,
        output: Producer<ScoredRecord>,
        counters: &Counters,
    ) -> Result<Self, ScoreError> {
        config.validate()?;
        scorer.prepare()?;
        let counters = ScoreCounters::new(counters);
        counters.show(&scorer);
        Ok(Self {
            input,
            output,
            scorer,
            findings: None,
            exchange: Exchange::default(),
            counters,
            batch_max: config.batch_max as usize,
            batch_wait_ns: i64::from(config.batch_wait_us) * 1_000,
            tempo: Tempo::default(),
        })
    }

    /// Tells another scorer, which follows, what was found. What finds no room is left out; nobody waits.
    pub fn with_findings(mut self, findings: Option<Producer<Finding>>) -> Self {
        self.findings = findings;
        self
    }

    /// Lets other scorers take over.
    pub fn with_exchanges(mut self, exchanges: Exchanges) -> Self {
        self.exchange = Exchange::new(exchanges);
        self
    }

    /// What scores.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// Shows how it keeps up: transactions taken to be scored since the start, and the time that each takes at present,
    /// in nanoseconds.
    pub fn with_pressure(mut self, show: Option<Latest<2>>) -> Self {
        self.tempo.show = show;
        self
    }

    /// Whether what is there waits for more.
    fn waits(&self, now_ns: i64) -> bool {
        let is_some = (2..self.batch_max).contains(&self.input.len());
        let accepted_ns = |record: &FeatureRecord| record.payment.origin.ingest_ns;
        let is_due = |first: &FeatureRecord| now_ns - accepted_ns(first) >= self.batch_wait_ns;
        is_some && self.batch_wait_ns > 0 && !self.input.peek().is_some_and(is_due)
    }
}

impl Tempo {
    /// At the beginning of a duty cycle, before anything is taken.
    fn begin(&mut self, now_ns: i64) {
        let took_ns = u64::try_from(now_ns - self.began_ns).unwrap_or_default();
        if let Some(each_ns) = took_ns.checked_div(self.last) {
            self.each_ns = if self.each_ns == 0 {
                each_ns
            } else {
                let each_ns = each_ns.min(OUTLIER * self.each_ns);
                (self.each_ns * (SMOOTHING - 1) + each_ns).div_ceil(SMOOTHING)
            };
        }
        (self.began_ns, self.last) = (now_ns, 0);
    }

    /// At its end.
    fn end(&mut self) {
        self.taken += self.last;
        if let Some(show) = &mut self.show {
            show.set([self.taken, self.each_ns]);
        }
    }
}

impl Agent for ScoreAgent {
    fn name(&self) -> &str {
        "score"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        self.tempo.begin(now_ns);
        let commands = self.exchange.obey(&mut self.scorer, &self.counters);
        if self.input.is_empty() || self.waits(now_ns) {
            return commands;
        }
        let Self {
            input,
            output,
            scorer,
            findings,
            exchange,
            counters,
            batch_max,
            tempo,
            ..
        } = self;
        let room = output.room(*batch_max);
        if room == 0 {
            counters.output_full.increment();
        }
        let work_count = input.read_slices(room, |first, second| {
            let mut rest = [first, second];
            while let Some(records) = next_run(&mut rest, |records| exchange.run_len(scorer, records)) {
                let flag = exchange.flag();
                scorer.apply_all(records, |record, score| {
                    counters.note(record, &score);
                    tempo.last += u64::from(is_to_be_scored(&record.payment));
                    let scored_ns = now_ns.max(record.payment.origin.ingest_ns);
                    let is_pushed = output.push_with(|slot| {
                        slot.payment = record.payment;
                        slot.payment.origin.flags |= score.flags | flag;
                        slot.score = score;
                        slot.score.scored_ns = scored_ns;
                        slot.features = record.features;
                    });
                    assert!(is_pushed, "the room was asked for before the batch was read");
                });
                if let Some(findings) = findings
                    && exchange.is_settled()
                    && scorer.gives_findings()
                {
                    let is_told = scorer
                        .findings(records)
                        .all(|finding| findings.try_push(&finding));
                    counters.findings_left_out.add(u64::from(!is_told));
                }
                exchange.note(scorer, records);
            }
        });
        counters.show(scorer);
        if let Some(searches) = scorer.take_searches() {
            counters.add_searches(searches);
        }
        tempo.end();
        commands + work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}

/// The next records that one scorer takes at once; `run_len` says how many of them are its own.
fn next_run<'a>(
    rest: &mut [&'a [FeatureRecord]; 2],
    run_len: impl FnOnce(&[FeatureRecord]) -> usize,
) -> Option<&'a [FeatureRecord]> {
    let rest = rest.iter_mut().find(|rest| !rest.is_empty())?;
    let chunk = &rest[..rest.len().min(ROWS_MAX)];
    let (run, left) = rest.split_at(run_len(chunk));
    *rest = left;
    Some(run)
}
