//! The duty cycle: conduct the bus, let out what the gate covers, answer what was refused.
//!
//! Invariant: the lanes take turns in being first, and one that waits never holds up the other.

use pinion_journal::Gate;
use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::latest::Latest;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{Consumer, EntryProducer};
use pinion_schemas::hash;
use pinion_schemas::records::{DecisionRecord, RejectRecord};
use pinion_transport::Bus;

use crate::config::PublishConfig;
use crate::counters::PublishCounters;
use crate::error::PublishError;
use crate::lane::{LaneState, Resume};
use crate::outlet::{Engine, Outlet, Sender};

/// The rings and shared things that publish is handed at start.
pub struct Ports {
    /// Decisions of the market lane.
    pub market: Consumer<DecisionRecord>,
    /// Decisions of the payment lane.
    pub payments: Consumer<DecisionRecord>,
    /// Refused frames, from ingest.
    pub rejects: Consumer<RejectRecord>,
    /// Decisions, to the journal; none: nothing is journaled.
    pub journal: Option<EntryProducer>,
    /// Says which inputs are safe.
    pub gate: Gate,
    /// Names of the instruments.
    pub instruments: NameTable,
    /// What goes wrong.
    pub faults: ErrorLog,
    /// Shows how far the payment lane came, as [`crate::DecisionMark::words`]; none: nobody looks.
    pub progress: Option<Latest<3>>,
}

/// The rolling hashes over every decision so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Of the market lane.
    pub market: u64,
    /// Of the payment lane.
    pub payment: u64,
}

impl Hashes {
    /// Both in one number.
    #[must_use]
    pub fn combined(self) -> u64 {
        hash::combine(self.market, self.payment)
    }
}

/// Lets decisions out. Build it on its own thread.
pub struct PublishAgent<B: Bus> {
    market: (Consumer<DecisionRecord>, LaneState),
    payments: (Consumer<DecisionRecord>, LaneState),
    rejects: Consumer<RejectRecord>,
    sender: Sender<B>,
    batch_max: usize,
    payments_first: bool,
    progress: Option<Latest<3>>,
}

impl<B: Bus> PublishAgent<B> {
    /// Takes all memory. `resume` is what the journal knew of either lane at the start.
    ///
    /// # Errors
    /// A value of `config` is out of its range, or the journal's ring is too small for a decision.
    pub fn new(
        config: &PublishConfig,
        engine: Engine,
        outlet: Outlet<B>,
        ports: Ports,
        resume: Resume,
        counters: &Counters,
    ) -> Result<Self, PublishError> {
        config.validate()?;
        check_journal(ports.journal.as_ref())?;
        let stalled_after_ns = i64::from(config.stalled_after_ms) * 1_000_000;
        let lane = |name, resume| LaneState::new(name, resume, stalled_after_ns, counters);
        Ok(Self {
            market: (ports.market, lane("market", resume.market)),
            payments: (ports.payments, lane("payment", resume.payment)),
            rejects: ports.rejects,
            sender: Sender {
                outlet,
                engine,
                gate: ports.gate,
                journal: ports.journal,
                instruments: ports.instruments,
                when_unheard: config.when_unheard,
                faults: ports.faults,
                counters: PublishCounters::new(counters),
                sequence: 0,
            },
            batch_max: config.batch_max as usize,
            payments_first: false,
            progress: ports.progress,
        })
    }

    /// The rolling hashes over every decision taken so far. Other threads read the counters
    /// `publish.market.decision_hash` and `publish.payment.decision_hash`.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        Hashes {
            market: self.market.1.hash(),
            payment: self.payments.1.hash(),
        }
    }

    fn let_out(&mut self, now_ns: i64) -> usize {
        self.payments_first = !self.payments_first;
        let lanes = if self.payments_first {
            [&mut self.payments, &mut self.market]
        } else {
            [&mut self.market, &mut self.payments]
        };
        let mut settled = 0;
        for (input, lane) in lanes {
            let count = input.read_while(self.batch_max, |record| self.sender.settle(lane, record, now_ns));
            if count > 0 {
                lane.show_hash();
            }
            settled += count;
        }
        self.show_progress(settled);
        settled
    }

    /// The mark is shown after the journal's ring has the decisions that it covers.
    fn show_progress(&mut self, settled: usize) {
        if let Some(progress) = self.progress.as_mut().filter(|_| settled > 0) {
            progress.set(self.payments.1.mark().words());
        }
    }

    fn answer_refused(&mut self, now_ns: i64) -> usize {
        self.rejects
            .read_while(self.batch_max, |record| self.sender.answer(record, now_ns))
    }
}

impl<B: Bus> Agent for PublishAgent<B> {
    fn name(&self) -> &str {
        "publish"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        let conducted = self.sender.outlet.bus.do_work(now_ns);
        self.sender.counters.set_health(self.sender.outlet.bus.health());
        conducted + self.let_out(now_ns) + self.answer_refused(now_ns)
    }

    fn is_drained(&self) -> bool {
        self.market.0.is_empty() && self.payments.0.is_empty() && self.rejects.is_empty()
    }
}

fn check_journal(journal: Option<&EntryProducer>) -> Result<(), PublishError> {
    let expected = size_of::<DecisionRecord>();
    match journal.map(EntryProducer::payload_len_max) {
        Some(found) if found < expected => Err(PublishError::JournalRing { found, expected }),
        _ => Ok(()),
    }
}
