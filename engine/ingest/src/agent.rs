//! The duty cycle: conduct the bus, feed what was recorded, then poll both streams.
//!
//! Invariant: no more frames are polled than every ring behind has room for, so nothing that was polled is
//! ever dropped; the bus holds back the rest.

use pinion_journal::Reader;
use pinion_runtime::agent::Agent;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::state::State;
use pinion_schemas::wire::Lane;
use pinion_transport::{Bus, Health, Link, Subscription as _};

use crate::accept::{Acceptor, Ports};
use crate::config::IngestConfig;
use crate::error::IngestError;

/// The bus and the streams on it that an agent takes frames from.
pub struct Intake<B: Bus> {
    /// Market frames, if this node takes any.
    pub market: Option<B::Subscription>,
    /// Payment frames, if this node takes any.
    pub payments: Option<B::Subscription>,
    /// The bus of both; conducted in the agent's duty cycle. It is dropped last.
    pub bus: B,
}

/// Takes frames off the bus and hands records to the lanes. Build it on its own thread.
pub struct IngestAgent<B: Bus> {
    intake: Intake<B>,
    acceptor: Acceptor,
    /// What is left of the journal; none once all of it was fed.
    recorded: Option<Reader>,
    gate: IngestGate,
    batch_max: usize,
    payments_first: bool,
    counters: AgentCounters,
}

struct AgentCounters {
    /// 1 while recorded inputs are fed, else 0.
    recovering: Counter,
    bus_up: Counter,
    bus_reconnects: Counter,
    bus_driver_lost: Counter,
}

impl<B: Bus> IngestAgent<B> {
    /// Takes all memory. `recorded` is what the journal holds: it is fed before anything is polled, by the
    /// same way, with its recorded numbers and stamps, and not journaled again.
    ///
    /// # Errors
    /// A value of `config` is out of its range, or a ring is too small for one frame.
    pub fn new(
        config: &IngestConfig,
        intake: Intake<B>,
        ports: Ports,
        recorded: Option<Reader>,
        counters: &Counters,
    ) -> Result<Self, IngestError> {
        let gate = ports.gate.clone();
        let mut acceptor = Acceptor::new(config, ports, counters)?;
        acceptor.prefault();
        let counters = AgentCounters::new(counters);
        counters.recovering.set(u64::from(recorded.is_some()));
        Ok(Self {
            intake,
            acceptor,
            recorded,
            gate,
            batch_max: config.batch_max as usize,
            payments_first: false,
            counters,
        })
    }

    /// Whether recorded inputs are still being fed. Other threads read the counter `ingest.recovering`.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recorded.is_some()
    }

    /// What the payment lane knows: its ids, its publishers, how far it came.
    #[must_use]
    pub fn payments_state(&self) -> &dyn State {
        self.acceptor.payments()
    }

    /// The same, to be filled with what was read under a configuration of the same
    /// [`IngestConfig::payments_layout`], before the first duty cycle; then [`Self::resume_payments`].
    pub fn payments_state_mut(&mut self) -> &mut dyn State {
        self.acceptor.payments_mut()
    }

    /// Goes on behind the state that was filled in: recorded payments up to `sequence` are counted and passed over,
    /// everything else goes as after a run over all that is recorded. Market inputs are all run.
    ///
    /// Panics: if `sequence` is not that of the last payment in the state.
    pub fn resume_payments(&mut self, sequence: u64) {
        self.acceptor.resume_payments(sequence);
    }

    /// Feeds up to a batch of recorded inputs.
    fn feed(&mut self) -> usize {
        let Some(recorded) = &mut self.recorded else {
            return 0;
        };
        for fed in 0..self.batch_max {
            if !self.acceptor.has_room_for_recorded() {
                return fed;
            }
            match recorded.next_input() {
                Ok(Some(entry)) => self.acceptor.take_recorded(&entry),
                Ok(None) => {
                    self.end_recovery();
                    return fed + 1;
                }
                // Recovery has read this very journal a moment ago.
                Err(error) => panic!("recorded inputs cannot be read: {error}"),
            }
        }
        self.batch_max
    }

    fn end_recovery(&mut self) {
        self.recorded = None;
        self.acceptor.end_recovery();
        self.counters.recovering.set(0);
    }

    fn poll(&mut self, now_ns: i64) -> usize {
        self.payments_first = !self.payments_first;
        let lanes = if self.payments_first {
            [Lane::Payment, Lane::Market]
        } else {
            [Lane::Market, Lane::Payment]
        };
        lanes.into_iter().map(|lane| self.poll_lane(lane, now_ns)).sum()
    }

    fn poll_lane(&mut self, lane: Lane, now_ns: i64) -> usize {
        let stream = if lane == Lane::Market {
            &mut self.intake.market
        } else {
            &mut self.intake.payments
        };
        let Some(stream) = stream else { return 0 };
        match self.acceptor.room(lane, self.batch_max) {
            0 => 0,
            room => stream.poll(room, |frame| self.acceptor.take_live(lane, frame, now_ns)),
        }
    }
}

impl<B: Bus> Agent for IngestAgent<B> {
    fn name(&self) -> &str {
        "ingest"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        let conducted = self.intake.bus.do_work(now_ns);
        self.counters.set_health(self.intake.bus.health());
        if !self.gate.is_open() {
            return conducted;
        }
        let taken = if self.is_recovering() {
            self.feed()
        } else {
            self.poll(now_ns)
        };
        conducted + taken
    }
}

impl AgentCounters {
    fn new(counters: &Counters) -> Self {
        Self {
            recovering: counters.counter("ingest.recovering"),
            bus_up: counters.counter("ingest.bus.up"),
            bus_reconnects: counters.counter("ingest.bus.reconnects"),
            bus_driver_lost: counters.counter("ingest.bus.driver_lost"),
        }
    }

    fn set_health(&self, health: Health) {
        self.bus_up.set(u64::from(health.link == Link::Up));
        self.bus_reconnects.set(health.reconnect_count);
        self.bus_driver_lost.set(health.lost_count);
    }
}
