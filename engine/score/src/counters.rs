//! What the scoring stage counts.

use pinion_runtime::counters::{Counter, Counters};
use pinion_schemas::records::{FeatureRecord, Score, decision_flag, payment_kind};

use crate::device::Searches;
use crate::scorer::Scorer;

/// The stage's counters.
pub struct ScoreCounters {
    /// Transactions scored.
    pub scored: Counter,
    /// Labels and account updates passed on without a score.
    pub passed: Counter,
    /// Transactions that the encoder failed on, or whose embedding was not finite: passed on as degraded.
    pub degraded: Counter,
    /// Transactions that ingest saw no time to score: passed on as degraded.
    pub shed: Counter,
    /// Duty cycles that ended because the ring to the strategy was full.
    pub output_full: Counter,
    /// Batches of which the follower was not told everything, because it was behind: it scores those itself.
    pub findings_left_out: Counter,
    /// Hash of the model that scores.
    pub model_hash: Counter,
    /// Models or banks that took over while the engine ran.
    pub swaps: Counter,
    /// Those that could not catch up.
    pub swaps_refused: Counter,
    /// Copies for an exchange that ended because the ring was full.
    pub copy_overflows: Counter,
    /// Rows of the bank.
    pub bank_rows: Counter,
    /// Frauds among them.
    pub bank_frauds: Counter,
    /// Cases that left the bank because of a limit: of a class, of an entity, of age, or of its rows.
    pub bank_evicted: Counter,
    /// Share of the ten nearest cases that search by cells finds, in thousandths; 0 before the first sample.
    pub bank_recall_permille: Counter,
    /// 1 while search is by cells, 0 while it is exact.
    pub bank_is_approximate: Counter,
    /// Times that recall fell below its floor, so that exact search took over.
    pub bank_recall_fell: Counter,
    /// Transactions whose neighbours a device found, proved to be the bank's.
    pub device_proved: Counter,
    /// Transactions that the bank was searched for beside a device: nothing was proved, or the device failed.
    pub device_left: Counter,
    /// Batches that the device failed on.
    pub device_failed: Counter,
    /// Transactions that wait for their label.
    pub waiting: Counter,
    /// Transactions that made room for others before their label came.
    pub forgotten: Counter,
    /// Labels that took a transaction into the bank.
    pub labels_admitted: Counter,
    /// Labels whose transaction was not drawn.
    pub labels_passed_over: Counter,
    /// Labels that reversed an earlier one.
    pub labels_reversed: Counter,
    /// Labels that said once more what was known.
    pub labels_repeated: Counter,
    /// Labels of transactions that are not known, or no more.
    pub labels_unmatched: Counter,
    /// Transactions erased by a label that asks for it.
    pub erased: Counter,
    /// Transactions taken for genuine because no label had come in time.
    pub presumed: Counter,
}

impl ScoreCounters {
    /// Takes the stage's cells.
    pub fn new(counters: &Counters) -> Self {
        Self {
            scored: counters.counter("score.scored"),
            passed: counters.counter("score.passed"),
            degraded: counters.counter("score.degraded"),
            shed: counters.counter("score.shed"),
            output_full: counters.counter("score.output_full"),
            findings_left_out: counters.counter("score.findings_left_out"),
            model_hash: counters.counter("score.model_hash"),
            swaps: counters.counter("score.swaps"),
            swaps_refused: counters.counter("score.swaps_refused"),
            copy_overflows: counters.counter("score.copy_overflows"),
            bank_rows: counters.counter("score.bank_rows"),
            bank_frauds: counters.counter("score.bank_frauds"),
            bank_evicted: counters.counter("score.bank_evicted"),
            bank_recall_permille: counters.counter("score.bank_recall_permille"),
            bank_is_approximate: counters.counter("score.bank_is_approximate"),
            bank_recall_fell: counters.counter("score.bank_recall_fell"),
            device_proved: counters.counter("score.device_proved"),
            device_left: counters.counter("score.device_left"),
            device_failed: counters.counter("score.device_failed"),
            waiting: counters.counter("score.waiting"),
            forgotten: counters.counter("score.forgotten"),
            labels_admitted: counters.counter("score.labels_admitted"),
            labels_passed_over: counters.counter("score.labels_passed_over"),
            labels_reversed: counters.counter("score.labels_reversed"),
            labels_repeated: counters.counter("score.labels_repeated"),
            labels_unmatched: counters.counter("score.labels_unmatched"),
            erased: counters.counter("score.erased"),
            presumed: counters.counter("score.presumed"),
        }
    }

    /// Counts an event that went through.
    pub fn note(&self, record: &FeatureRecord, score: &Score) {
        let is_transaction = record.payment.origin.kind == payment_kind::TRANSACTION;
        let is_shed = score.flags & decision_flag::SHED != 0;
        let is_degraded = score.flags & decision_flag::DEGRADED != 0 && !is_shed;
        self.scored.add(u64::from(is_transaction && !is_shed));
        self.passed.add(u64::from(!is_transaction));
        self.shed.add(u64::from(is_shed));
        self.degraded.add(u64::from(is_degraded));
    }

    /// Counts what a device was asked.
    pub fn add_searches(&self, searches: Searches) {
        self.device_proved.add(searches.proved);
        self.device_left.add(searches.left);
        self.device_failed.add(searches.failed);
    }

    /// Shows what the scorer counts itself, because it is state.
    pub fn show(&self, scorer: &Scorer) {
        let (bank, labels) = (scorer.bank().tally(), scorer.labels());
        self.model_hash.set(scorer.model_hash());
        self.bank_rows.set(bank.rows);
        self.bank_frauds.set(bank.frauds);
        let evicted = [
            bank.evicted_class,
            bank.evicted_entity,
            bank.evicted_age,
            bank.evicted_full,
        ];
        self.bank_evicted.set(evicted.iter().sum());
        let recall = scorer.bank().recall().unwrap_or_default();
        self.bank_recall_permille.set((recall * 1_000.0) as u64);
        self.bank_is_approximate
            .set(u64::from(scorer.bank().is_approximate()));
        self.bank_recall_fell.set(bank.recall_fell);
        self.waiting.set(labels.waiting);
        self.forgotten.set(labels.forgotten);
        self.labels_admitted.set(labels.admitted);
        self.labels_passed_over.set(labels.passed_over);
        self.labels_reversed.set(labels.reversed);
        self.labels_repeated.set(labels.repeated);
        self.labels_unmatched.set(labels.unmatched);
        self.erased.set(labels.erased);
        self.presumed.set(labels.presumed);
    }
}
