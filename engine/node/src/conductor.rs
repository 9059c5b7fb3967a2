//! The control plane: actors on one unpinned thread that look after the agents.
//!
//! ```text
//!   SIGTERM, Ctrl-C ─▶ [Conductor] ─ stop ─▶ engine drains          agents
//!                          ▲  looks after ───────────────────────────▶ │ alive?
//!   [Custodian] ── age and failures of checkpoints, to the counters and the log ◀── snapshotter
//!   [Telemetry] ── clock re-anchored, heartbeat, faults to the log ◀───┘ counters, error log
//! ```
//!
//! Invariant: nothing on a pinned core waits for an actor, and an actor never touches what an agent owns.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler, Message, System};
use pinion_runtime::clock::{Clock, DriftCounters};
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::shutdown::Signal;

use crate::launch::{Engine, NodeError, Summary};

/// How often the conductor looks for a signal.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

/// A checkpoint that is older than so many intervals is late.
const LATE_INTERVALS: u64 = 5;

/// How often it is told that there is still no media driver.
const BUS_INTERVAL: Duration = Duration::from_secs(10);

/// Runs `engine` until `signal` is set or one of its agents ends, then drains and stops it.
///
/// # Errors
/// What went wrong while running or stopping; the engine is stopped in any case.
pub fn conduct(engine: Engine, signal: &Signal) -> Result<Summary, NodeError> {
    let interval = Duration::from_millis(engine.config().engine.conductor_interval_ms);
    let telemetry = Telemetry {
        clock: engine.clock().clone(),
        counters: engine.counters().clone(),
        drift: DriftCounters::new(engine.counters()),
        faults: engine.faults().clone(),
        told: BTreeMap::new(),
        bus: BusWatch {
            aeron_dir: engine.config().bus.aeron_dir(),
            is_up: true,
            told: None,
        },
        interval,
    };
    let age_s = engine.counters().counter("checkpoint.age_s");
    let engine = Arc::new(engine);
    let custodian = Custodian {
        engine: engine.clone(),
        age_s,
        told_failures: 0,
        told_lost: 0,
        is_late: false,
        is_lost: false,
        since: Instant::now(),
        interval,
    };
    let dead_agent = Arc::new(Mutex::new(None));
    let conductor = Conductor {
        engine: engine.clone(),
        signal: signal.clone(),
        dead_agent: dead_agent.clone(),
    };
    let system = System::new();
    system.block_on(async {
        telemetry.start();
        custodian.start();
        conductor.start();
    });
    system.run().map_err(NodeError::ControlPlane)?;
    let engine = Arc::into_inner(engine).ok_or(NodeError::StillHeld)?;
    let summary = engine.stop()?;
    let dead_agent = dead_agent
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    match dead_agent {
        Some(name) => Err(NodeError::AgentEnded { name }),
        None => Ok(summary),
    }
}

/// Looks for signals and for agents that ended.
struct Conductor {
    engine: Arc<Engine>,
    signal: Signal,
    dead_agent: Arc<Mutex<Option<String>>>,
}

/// Asks an actor to look now.
struct Look;

impl Message for Look {
    type Result = ();
}

impl Actor for Conductor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(SIGNAL_INTERVAL, |_, context| context.notify(Look));
    }
}

impl Handler<Look> for Conductor {
    type Result = ();

    fn handle(&mut self, _: Look, _: &mut Self::Context) {
        let dead = self.engine.dead_agent();
        if let Some(name) = &dead {
            tracing::error!("agent {name} has ended by itself; stopping");
        }
        let journal_failed = self.engine.journal_failure().is_some();
        if dead.is_some() || journal_failed || self.signal.is_set() {
            *self
                .dead_agent
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = dead;
            System::current().stop();
        }
    }
}

/// Looks after the checkpoints: how old the newest is, and what went wrong; and after the challengers.
struct Custodian {
    engine: Arc<Engine>,
    age_s: Counter,
    told_failures: u64,
    /// Challengers of which it was told that they ended.
    told_lost: usize,
    is_late: bool,
    is_lost: bool,
    since: Instant,
    interval: Duration,
}

impl Custodian {
    /// Tells once when the newest checkpoint is much older than it should be, and once when it is not any more.
    fn look_at_age(&mut self, written: Option<Instant>) {
        let age_s = written.unwrap_or(self.since).elapsed().as_secs();
        self.age_s.set(age_s);
        let section = &self.engine.config().checkpoint;
        let is_late = section.enabled && age_s > LATE_INTERVALS * u64::from(section.interval_s);
        if is_late && !self.is_late {
            let newest = match written {
                Some(_) => format!("the newest is {age_s} s old"),
                None => format!("none was written since the start {age_s} s ago"),
            };
            tracing::warn!(
                "checkpoint: {newest}, expected one every {} s (checkpoint.interval_s)",
                section.interval_s
            );
        } else if self.is_late && !is_late {
            tracing::info!("checkpoint: written again");
        }
        self.is_late = is_late;
    }
}

impl Custodian {
    fn look_at_challengers(&mut self) {
        let lost: Vec<&str> = self.engine.lost_challengers().collect();
        if lost.len() > self.told_lost {
            tracing::error!(
                "challengers: {} ended; they score nothing more until the next start",
                lost.join(", ")
            );
        }
        self.told_lost = lost.len();
    }
}

impl Actor for Custodian {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.interval, |_, context| context.notify(Look));
    }
}

impl Handler<Look> for Custodian {
    type Result = ();

    fn handle(&mut self, _: Look, _: &mut Self::Context) {
        self.look_at_challengers();
        let Some(health) = self.engine.checkpoints() else {
            return;
        };
        self.look_at_age(health.written);
        if health.failures > self.told_failures {
            tracing::warn!(
                "checkpoint: {} failures, the last one: {}; the engine goes on, a restart takes longer",
                health.failures,
                health.failure.unwrap_or_default()
            );
            self.told_failures = health.failures;
        }
        if self.engine.has_lost_its_snapshotter() && !self.is_lost {
            tracing::error!(
                "checkpoint: the snapshotter has ended by itself; no more checkpoints are written"
            );
            self.is_lost = true;
        }
    }
}

/// Keeps the clock at UTC and tells people what agents noted down.
struct Telemetry {
    clock: Clock,
    counters: Counters,
    drift: DriftCounters,
    faults: ErrorLog,
    told: BTreeMap<String, u64>,
    bus: BusWatch,
    interval: Duration,
}

/// Tells when there is no media driver, and when there is one again.
struct BusWatch {
    aeron_dir: PathBuf,
    is_up: bool,
    told: Option<Instant>,
}

impl BusWatch {
    fn look(&mut self, counters: &Counters) {
        let was_up = std::mem::replace(&mut self.is_up, counters.value("ingest.bus.up") == Some(1));
        let is_due = self.told.is_none_or(|told| told.elapsed() >= BUS_INTERVAL);
        if !self.is_up && (was_up || is_due) {
            self.told = Some(Instant::now());
            tracing::warn!(
                "no media driver lives in {}; nothing comes in until one does",
                self.aeron_dir.display()
            );
        } else if self.is_up && !was_up {
            tracing::info!("a media driver lives in {}", self.aeron_dir.display());
        }
    }
}

impl Actor for Telemetry {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.interval, |_, context| context.notify(Look));
    }
}

impl Handler<Look> for Telemetry {
    type Result = ();

    fn handle(&mut self, _: Look, _: &mut Self::Context) {
        self.drift.set(&self.clock.reanchor());
        self.counters.heartbeat(self.clock.now_ns());
        self.bus.look(&self.counters);
        for fault in self.faults.list() {
            let told = self.told.entry(fault.name.clone()).or_default();
            if fault.count > *told {
                let new = fault.count - *told;
                tracing::warn!(
                    "{}: {new} more, {} in all, last detail {}",
                    fault.name,
                    fault.count,
                    fault.detail
                );
                *told = fault.count;
            }
        }
    }
}
