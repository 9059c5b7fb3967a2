//! The journal's agent: takes entries out of the rings and has them written.
//!
//! ```text
//!   do_work:  roll over if due ─▶ inputs: up to half a batch ─▶ decisions: the rest ─▶ one pwrite
//! ```
//!
//! Every cycle writes what it finds, so a batch is as long as the last write was slow. While the next segment
//! is not ready nothing is taken: the rings fill up and push back.
//!
//! Invariant: once an entry has left a ring it is written in the same cycle or the journal has failed.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::{ErrorLog, Fault, FaultKind};
use pinion_runtime::ring::EntryConsumer;

use crate::config::JournalConfig;
use crate::counters::JournalCounters;
use crate::error::{Failure, FailureKind, JournalError};
use crate::position::JournalPosition;
use crate::recovery::Recovery;
use crate::writer::{Identity, Writer};

/// How long the closing journal sleeps between two looks for its next segment.
const CLOSE_PAUSE: Duration = Duration::from_millis(1);

/// Writes the journal. One per directory.
pub struct JournalAgent {
    writer: Writer,
    inputs: Vec<EntryConsumer>,
    counters: JournalCounters,
    faults: ErrorLog,
    /// A roll-over waits for its segment.
    is_waiting: bool,
    /// The failure was reported.
    is_stopped: bool,
    is_closed: bool,
    /// The last cycle's time.
    now_ns: i64,
}

impl JournalAgent {
    /// Continues the journal that was recovered.
    ///
    /// `inputs` are one or two rings, read in their order: inputs first, then decisions. Each may fill an equal
    /// share of a batch and what those before it have left.
    ///
    /// Make it on a thread that is not pinned, then move it to its own: the helper threads it starts inherit
    /// core and scheduling class.
    ///
    /// Error: the last segment cannot be opened or the first one not be made.
    /// Cost:  takes all memory; a new segment is filled with zeros and synced.
    pub fn new(
        config: &JournalConfig,
        recovery: Recovery,
        inputs: Vec<EntryConsumer>,
        identity: &Identity,
        counters: &Counters,
        faults: &ErrorLog,
    ) -> Result<Self, JournalError> {
        config.validate()?;
        // An entry fits into half of a batch, not into less: see `JournalConfig::validate`.
        assert!(inputs.len() <= 2, "{} rings, expected one or two", inputs.len());
        let agent = Self {
            writer: Writer::open(config, recovery, identity)?,
            inputs,
            counters: JournalCounters::new(counters),
            faults: faults.clone(),
            is_waiting: false,
            is_stopped: false,
            is_closed: false,
            now_ns: identity.started_ns,
        };
        agent.show_progress();
        Ok(agent)
    }

    /// The journal's progress, for gates.
    pub fn position(&self) -> Arc<JournalPosition> {
        Arc::clone(self.writer.progress())
    }

    /// One cycle of a journal that has not failed.
    fn cycle(&mut self) -> Result<usize, Failure> {
        if self.writer.is_full() && !self.roll()? {
            return Ok(0);
        }
        let count = self.fill();
        if count > 0 {
            self.writer.flush()?;
            self.counters.entries.add(count as u64);
            self.counters.batches.increment();
        }
        Ok(count)
    }

    /// Takes entries from the rings into the batch.
    fn fill(&mut self) -> usize {
        let Self { writer, inputs, .. } = self;
        let share = writer.batch_len_max() / inputs.len().max(1);
        let mut count = 0;
        for (input, place) in inputs.iter_mut().zip(1..) {
            let limit = share * place;
            count += input.read_while(usize::MAX, |header, payload| {
                writer.try_append(header, payload, limit)
            });
            if writer.is_full() {
                break;
            }
        }
        count
    }

    /// Goes on to the next segment, or reports once that it is late.
    fn roll(&mut self) -> Result<bool, Failure> {
        let has_rolled = self.writer.roll(self.now_ns)?;
        if !has_rolled && !self.is_waiting {
            self.counters.segment_waits.increment();
            self.faults.record(
                Fault::new(FaultKind::JournalSegmentLate, self.writer.position()),
                self.now_ns,
            );
        }
        self.is_waiting = !has_rolled;
        Ok(has_rolled)
    }

    /// Runs a cycle and stops for good if it, or a helper thread, fails.
    fn cycle_or_stop(&mut self) -> usize {
        if self.is_stopped {
            return 0;
        }
        let result = match self.writer.progress().failure() {
            Some(failure) => Err(failure),
            None => self.cycle(),
        };
        result.unwrap_or_else(|failure| {
            self.stop(failure);
            0
        })
    }

    fn stop(&mut self, failure: Failure) {
        self.writer.progress().fail(failure);
        self.is_stopped = true;
        self.counters.failed.set(1);
        let kind = match failure.kind {
            FailureKind::Write | FailureKind::Prepare => FaultKind::JournalWrite,
            FailureKind::Sync => FaultKind::JournalSync,
        };
        self.faults.record(
            Fault::new(kind, u64::from(failure.os_error.unsigned_abs())),
            self.now_ns,
        );
    }

    fn show_progress(&self) {
        let progress = self.writer.progress();
        self.counters.segment.set(self.writer.segment_id());
        self.counters.written_position.set(progress.written_position());
        self.counters.durable_position.set(progress.durable_position());
    }

    /// Writes what is left in the rings; waits for segments.
    fn write_rest(&mut self) {
        while !self.is_drained() {
            if self.cycle_or_stop() == 0 && self.is_waiting {
                thread::sleep(CLOSE_PAUSE);
            }
        }
    }
}

impl Agent for JournalAgent {
    fn name(&self) -> &str {
        "journal"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        self.now_ns = now_ns;
        let count = self.cycle_or_stop();
        self.show_progress();
        count
    }

    /// A journal that has failed is drained: what waits will not be written.
    fn is_drained(&self) -> bool {
        self.is_stopped || self.inputs.iter().all(EntryConsumer::is_empty)
    }

    /// Writes what is left in the rings and makes everything durable, whatever the policy.
    fn on_close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.write_rest();
        match self.writer.close() {
            Ok(()) => tracing::info!(
                position = self.writer.position(),
                "journal: closed, everything is durable"
            ),
            Err(failure) => {
                if !self.is_stopped {
                    self.stop(failure);
                }
                tracing::error!(%failure, "journal: closed after a failure");
            }
        }
        self.show_progress();
    }
}
