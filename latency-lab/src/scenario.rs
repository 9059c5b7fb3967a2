//! The scenarios, interleaved: each round runs all of them, so that what the machine does falls on all alike.
//!
//! ```text
//!   floors ─▶ model time ─▶ round 1: ping-pong, market…, model, payments… ─▶ round 2: … ─▶ floors ─▶ Report
//! ```
//!
//! The first is the rival: a message there and back over bare Aeron IPC, in the same duty cycle. An engine's
//! p50 beside it says what ingest, books or features and score, strategy and publish add to the bus.
//!
//! Invariant: every event of a scenario is answered by one decision, and a scenario's histogram holds the
//! latency of every answer of all rounds after the warm-up.

use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use pinion_node::bus::{AeronC, Connect, InProcess};
use pinion_node::{Config, Engine, NodeError, Pipeline};
use pinion_publish::config::WhenUnheard;
use pinion_runtime::agent::{Agent, StartError};
use pinion_runtime::clock::Clock;
use pinion_schemas::wire::Lane;
use pinion_score::ScoreError;
use pinion_transport::config::DriverThreading;
use pinion_transport::driver::DriverAgent;
use pinion_transport::in_process::InProcessBus;

use crate::fingerprint::Fingerprint;
use crate::floor::{core_round_trip, hiccups};
use crate::load::Load;
use crate::model::{self, Part};
use crate::report::{FORMAT, Floors, Percentiles, Report, ScenarioResult};
use crate::rig::{self, Measured, Transceiver, histogram};
use crate::schedule::{Arrivals, intended_times};
use crate::subject::{InHand, Node, PingPong, Threads};

/// How long answers are waited for after the last event is due; only a lost answer makes a run wait so long.
const DEADLINE_NS: u64 = 10_000_000_000;

/// Model runs timed to find the payments' rate.
const MODEL_CALLS: usize = 2_000;

/// The share of its thread's time that the model may take in the payments' scenarios.
const MODEL_SHARE: f64 = 0.5;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine; bus folder and data folder are replaced by the lab's own.
    pub config: Config,
    /// Events per second of the market's scenarios. Payments get at most what takes the model half of the time.
    pub rate: f64,
    /// Seconds of each scenario in each round, warm-up aside.
    pub seconds: f64,
    /// Rounds.
    pub rounds: usize,
    /// How the gaps between events are drawn.
    pub arrivals: Arrivals,
    /// How long the machine's interruptions are counted before and after.
    pub hiccups: Duration,
    /// Only the scenarios whose name contains this; all without it.
    pub only: Option<String>,
}

impl Options {
    /// What `pinion lab run` measures by default: 100,000 events/s, two seconds, five rounds.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            rate: 100_000.0,
            seconds: 2.0,
            rounds: 5,
            arrivals: Arrivals::Random,
            hiccups: Duration::from_millis(500),
            only: None,
        }
    }

    /// One short round: shows that everything works, its figures say nothing.
    pub fn smoke(config: Config) -> Self {
        Self {
            rate: 5_000.0,
            seconds: 0.05,
            rounds: 1,
            hiccups: Duration::from_millis(20),
            ..Self::new(config)
        }
    }
}

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A rate, duration or number of rounds that cannot be run.
    #[error("lab: {what} is {found}, expected more than 0")]
    Option {
        /// Which.
        what: &'static str,
        /// Its value.
        found: f64,
    },
    /// No scenario is asked for.
    #[error("lab: no scenario's name contains {only:?}, expected a part of one of: {names}")]
    NoScenario {
        /// What was asked for.
        only: String,
        /// All there are.
        names: String,
    },
    /// What a scenario measures could not be started.
    #[error("{scenario}: {reason}")]
    Start {
        /// The scenario.
        scenario: &'static str,
        /// Why.
        reason: StartError,
    },
    /// The engine did not start or stop.
    #[error("{scenario}: {source}")]
    Engine {
        /// The scenario.
        scenario: &'static str,
        /// Why.
        source: NodeError,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ScoreError),
    /// The engine refused events of the lab.
    #[error("{scenario}: the engine refused {rejected} events and missed {missing}, expected none")]
    Refused {
        /// The scenario.
        scenario: &'static str,
        /// Frames refused.
        rejected: u64,
        /// Frames missing.
        missing: u64,
    },
}

/// Where events and decisions go, and who turns the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Rings in this process.
    InProcess,
    /// Aeron over shared memory; driver, engine and rig on one thread.
    AeronIpc,
    /// Aeron over shared memory; engine, driver and journal on their own threads.
    Engine,
    /// The same, and a checkpoint every second beside it; else there is none within a round.
    Checkpointed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PingPong,
    Model(Part),
    Decide(Lane, Way),
}

/// One line of the table.
struct Scenario {
    name: &'static str,
    kind: Kind,
    rate: f64,
}

/// The scenario that all are stated against.
pub(crate) const RIVAL: &str = "rival: Aeron IPC there and back, nothing else";

/// The scenario that payments are stated against.
pub(crate) const MODEL: &str = "model alone: encoder, bank search, vote";

fn scenarios(rate: f64, payment_rate: f64) -> Vec<Scenario> {
    let line = |name, kind, rate| Scenario { name, kind, rate };
    let market = |name, way, rate| line(name, Kind::Decide(Lane::Market, way), rate);
    let payments = |name, way| line(name, Kind::Decide(Lane::Payment, way), payment_rate);
    vec![
        line(RIVAL, Kind::PingPong, rate),
        market("market, in process, no journal", Way::InProcess, rate),
        market(
            "market, in process, no journal, ten times the rate",
            Way::InProcess,
            10.0 * rate,
        ),
        market("market, Aeron IPC, no journal", Way::AeronIpc, rate),
        market(
            "market, whole engine on threads, Aeron IPC, journal written first",
            Way::Engine,
            rate,
        ),
        line("model alone: encoder", Kind::Model(Part::Encoder), 0.0),
        line(MODEL, Kind::Model(Part::Whole), 0.0),
        payments("payments, in process, no journal", Way::InProcess),
        payments("payments, Aeron IPC, no journal", Way::AeronIpc),
        payments(
            "payments, whole engine on threads, Aeron IPC, journal written first",
            Way::Engine,
        ),
        payments(
            "payments, whole engine, a checkpoint written every second",
            Way::Checkpointed,
        ),
    ]
}

/// What the rounds of one scenario add up to.
struct Sum {
    latency_ns: Histogram<u64>,
    inside_ns: Histogram<u64>,
    frame_len: usize,
    sent: usize,
    received: usize,
    refused: u64,
}

impl Sum {
    fn new() -> Self {
        Self {
            latency_ns: histogram(),
            inside_ns: histogram(),
            frame_len: 0,
            sent: 0,
            received: 0,
            refused: 0,
        }
    }

    fn add(&mut self, frame_len: usize, measured: &Measured) {
        for (sum, measured) in [
            (&mut self.latency_ns, &measured.latency_ns),
            (&mut self.inside_ns, &measured.inside_ns),
        ] {
            sum.add(measured).expect("histograms of the same bounds add up");
        }
        self.frame_len = frame_len;
        self.sent += measured.sent;
        self.received += measured.received;
        self.refused += measured.refused;
    }
}

/// Runs the scenarios and reports. `progress` is told of each one that begins: its name, the round from 1,
/// the rounds.
///
/// Takes rounds × scenarios × seconds and about as long again to start and stop engines.
///
/// # Errors
/// An option that cannot be run, or whatever could not be started.
pub fn run(options: &Options, mut progress: impl FnMut(&str, usize, usize)) -> Result<Report, LabError> {
    check("rate", options.rate)?;
    check("seconds", options.seconds)?;
    check("rounds", options.rounds as f64)?;
    let cores = pinion_runtime::cores::available();
    let lab = Lab { options, cores };
    let environment = Fingerprint::read();
    let before = lab.floors();
    let scenarios = chosen(
        scenarios(options.rate, lab.payment_rate()?),
        options.only.as_deref(),
    )?;
    let mut sums: Vec<Sum> = scenarios.iter().map(|_| Sum::new()).collect();
    for round in 1..=options.rounds {
        for (scenario, sum) in scenarios.iter().zip(&mut sums) {
            progress(scenario.name, round, options.rounds);
            let (frame_len, measured) = lab.measure(scenario, round)?;
            sum.add(frame_len, &measured);
        }
    }
    let results = scenarios.iter().zip(&sums);
    Ok(Report {
        format: FORMAT,
        at_ns: Clock::system().now_ns(),
        environment,
        arrivals: options.arrivals.name().to_owned(),
        seconds: options.seconds,
        core: lab.spinning_core(),
        before,
        after: lab.floors(),
        scenarios: results
            .map(|(scenario, sum)| result(scenario, sum, options.rounds))
            .collect(),
    })
}

fn chosen(all: Vec<Scenario>, only: Option<&str>) -> Result<Vec<Scenario>, LabError> {
    let Some(only) = only else { return Ok(all) };
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
    if names.iter().all(|name| !name.contains(only)) {
        return Err(LabError::NoScenario {
            only: only.to_owned(),
            names: format!("{names:?}"),
        });
    }
    Ok(all
        .into_iter()
        .filter(|scenario| scenario.name.contains(only))
        .collect())
}

fn check(what: &'static str, found: f64) -> Result<(), LabError> {
    if found > 0.0 {
        return Ok(());
    }
    Err(LabError::Option { what, found })
}

fn result(scenario: &Scenario, sum: &Sum, rounds: usize) -> ScenarioResult {
    ScenarioResult {
        scenario: scenario.name.to_owned(),
        rate_per_s: scenario.rate,
        frame_len: sum.frame_len,
        sent: sum.sent,
        received: sum.received,
        refused: sum.refused,
        latency: Percentiles::from(&sum.latency_ns),
        inside: (!sum.inside_ns.is_empty()).then(|| Percentiles::from(&sum.inside_ns)),
        rounds,
    }
}

/// The options and the machine.
struct Lab<'a> {
    options: &'a Options,
    cores: Vec<usize>,
}

impl Lab<'_> {
    /// The core of the rig's thread where it turns everything: the last one, as an engine's hot path has.
    fn spinning_core(&self) -> usize {
        self.cores.last().copied().unwrap_or(0)
    }

    /// The core of a rig that yields beside an engine: the one that never spins.
    fn quiet_core(&self) -> usize {
        self.cores.first().copied().unwrap_or(0)
    }

    fn floors(&self) -> Floors {
        Floors {
            core_round_trip: core_round_trip(&self.cores),
            hiccups: hiccups(self.spinning_core(), self.options.hiccups),
        }
    }

    /// Payments per second, to the hundred.
    fn payment_rate(&self) -> Result<f64, LabError> {
        let config = &self.options.config.score;
        let taken = on_core(self.spinning_core(), || {
            model::measure(config, Part::Whole, MODEL_CALLS)
        })?;
        let most = MODEL_SHARE * 1e9 / taken.value_at_quantile(0.5).max(1) as f64;
        Ok(self.options.rate.min((most / 100.0).floor() * 100.0).max(100.0))
    }

    fn measure(&self, scenario: &Scenario, round: usize) -> Result<(usize, Measured), LabError> {
        let start = |reason| LabError::Start {
            scenario: scenario.name,
            reason,
        };
        let core = self.spinning_core();
        match scenario.kind {
            Kind::PingPong => on_core(core, || self.ping_pong(scenario, round)).map_err(start),
            Kind::Model(part) => {
                let config = &self.options.config.score;
                let calls = (self.options.rate * self.options.seconds / 4.0) as usize + 1;
                let taken = on_core(core, || model::measure(config, part, calls))?;
                Ok((0, of_calls(taken)))
            }
            Kind::Decide(lane, Way::InProcess) => on_core(core, || {
                let bus = InProcess(InProcessBus::new());
                let scratch = Scratch::new();
                self.in_hand(scenario, round, lane, &scratch, bus, Vec::new())
            }),
            Kind::Decide(lane, Way::AeronIpc) => on_core(core, || {
                let scratch = Scratch::new();
                let config = self.config(&scratch, DriverThreading::Invoker);
                let driver: Box<dyn Agent> = Box::new(DriverAgent::new(&config.bus));
                self.in_hand(scenario, round, lane, &scratch, AeronC(config.bus), vec![driver])
            }),
            Kind::Decide(lane, Way::Engine) => self.engine(scenario, round, lane, None),
            Kind::Decide(lane, Way::Checkpointed) => self.engine(scenario, round, lane, Some(1)),
        }
    }

    /// The engine's configuration with folders of the lab's own.
    fn config(&self, scratch: &Scratch, threading: DriverThreading) -> Config {
        let mut config = self.options.config.clone();
        config.bus.dir = scratch.bus.clone();
        config.bus.driver_threading = threading;
        config.engine.dir = scratch.data.clone();
        config.publish.when_unheard = WhenUnheard::Wait;
        config
    }

    fn ping_pong(&self, scenario: &Scenario, round: usize) -> Result<(usize, Measured), StartError> {
        let scratch = Scratch::new();
        let config = self.config(&scratch, DriverThreading::Invoker);
        let frame_len = Load::new(Lane::Market, 1).frame(0).len();
        let mut ping_pong = PingPong::start(&config.bus, frame_len)?;
        Ok((frame_len, self.open_loop(&mut ping_pong, scenario, round)))
    }

    fn in_hand<C: Connect>(
        &self,
        scenario: &Scenario,
        round: usize,
        lane: Lane,
        scratch: &Scratch,
        connect: C,
        extra: Vec<Box<dyn Agent>>,
    ) -> Result<(usize, Measured), LabError> {
        let start = |reason| LabError::Start {
            scenario: scenario.name,
            reason,
        };
        let config = self.config(scratch, DriverThreading::Invoker);
        let clock = Clock::system();
        let pipeline = Pipeline::new(&config, connect.clone(), &clock, None, extra).map_err(start)?;
        let bus = connect.connect().map_err(start)?;
        let mut node = Node::connect(InHand(pipeline), bus, &config.bus, lane, clock).map_err(start)?;
        let measured = self.open_loop(&mut node, scenario, round);
        refused(scenario, &node.accounts())?;
        Ok((node.frame_len(), measured))
    }

    /// `checkpoint_s`: checkpoints are written this often.
    fn engine(
        &self,
        scenario: &Scenario,
        round: usize,
        lane: Lane,
        checkpoint_s: Option<u32>,
    ) -> Result<(usize, Measured), LabError> {
        let failed = |source| LabError::Engine {
            scenario: scenario.name,
            source,
        };
        let scratch = Scratch::new();
        let mut config = self.config(&scratch, DriverThreading::Shared);
        config.checkpoint.interval_s = checkpoint_s.unwrap_or(config.checkpoint.interval_s);
        let engine = Engine::start(&config).map_err(failed)?;
        let (clock, counters) = (engine.clock().clone(), engine.counters().clone());
        let outcome = on_core(self.quiet_core(), || {
            let bus = AeronC(config.bus.clone()).connect()?;
            let mut node = Node::connect(Threads(counters), bus, &config.bus, lane, clock)?;
            let measured = self.open_loop(&mut node, scenario, round);
            Ok((node.frame_len(), measured))
        });
        let summary = engine.stop().map_err(failed)?;
        refused(scenario, &summary.accounts)?;
        outcome.map_err(|reason| LabError::Start {
            scenario: scenario.name,
            reason,
        })
    }

    fn open_loop(&self, transceiver: &mut impl Transceiver, scenario: &Scenario, round: usize) -> Measured {
        let count = (scenario.rate * self.options.seconds).ceil() as usize;
        let warm_up = count / 5;
        let intended = intended_times(
            self.options.arrivals,
            scenario.rate,
            warm_up + count,
            round as u64,
        );
        rig::run(transceiver, &intended, warm_up, DEADLINE_NS)
    }
}

fn refused(scenario: &Scenario, accounts: &pinion_node::Accounts) -> Result<(), LabError> {
    let rejected = accounts.market.rejected + accounts.payments.rejected;
    let missing = accounts.market.missing + accounts.payments.missing;
    if rejected + missing == 0 {
        return Ok(());
    }
    Err(LabError::Refused {
        scenario: scenario.name,
        rejected,
        missing,
    })
}

/// Calls one after the other: each is sent and answered.
fn of_calls(taken: Histogram<u64>) -> Measured {
    let calls = taken.len() as usize;
    Measured {
        latency_ns: taken,
        inside_ns: histogram(),
        sent: calls,
        received: calls,
        elapsed_ns: 0,
        refused: 0,
    }
}

/// Runs `work` on a thread of its own, pinned to `core`.
fn on_core<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            core_affinity::set_for_current(core_affinity::CoreId { id: core });
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Folders for one engine, removed when it is done.
struct Scratch {
    bus: PathBuf,
    data: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let shared = PathBuf::from("/dev/shm");
        let temporary = std::env::temp_dir();
        let name = format!("pinion-lab-{}", std::process::id());
        Self {
            bus: if shared.is_dir() {
                shared
            } else {
                temporary.clone()
            }
            .join(&name),
            data: temporary.join(name + "-data"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for folder in [&self.bus, &self.data] {
            // Left over only costs room; it is not there if the scenario did not need it.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
