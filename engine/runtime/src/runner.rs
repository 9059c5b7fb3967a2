//! Drives an agent on a thread of its own, pinned to a core.
//!
//! ```text
//!   spawn ──▶ thread: name ─▶ pin ─▶ real-time class ─▶ build ─▶ on_start ─▶ ┌ do_work ┐ ─▶ drain ─▶ on_close
//!                                                                            └─ idle ──┘ ▲
//!   RunnerHandle ── wait_started ─────────────────────────────────────────▶   stop ──────┘       join
//! ```
//!
//! The agent is built on its thread, so it need not be `Send`, and its memory is first touched, and so placed,
//! where it is used. Threads spawned while it is built inherit its core: use [`spawn_helper`] for those.
//!
//! After [`RunnerHandle::stop`] the agent is driven on until a cycle does no work and it says that it is
//! drained, or until [`RunnerOptions::drain_max`]; close the intake first and stop agents in the order of the
//! data path ([`crate::shutdown`]).
//!
//! Invariant: whatever an agent does, short of not returning, its handle gets an outcome: a panic is an error
//! with its message, not an abort.

use std::any::Any;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use thiserror::Error;

use crate::agent::{Agent, StartError};
use crate::clock::Clock;
use crate::counters::{Counter, Counters};
use crate::idle::{IdleStrategy, Idler};
use crate::system;

/// The highest number a core can have in the system's set of cores.
const CORE_MAX: usize = 1_023;

/// How an agent that waits for others while it drains lets them run, whatever its idle strategy.
const DRAIN_SLEEP: Duration = Duration::from_micros(50);

/// How an agent is to be driven.
#[derive(Clone)]
pub struct RunnerOptions {
    /// Name of the thread and in messages. The system shows its first 15 bytes.
    pub name: String,
    /// The core it is pinned to; `None` leaves that to the system.
    pub core: Option<usize>,
    /// What it does when there is nothing to do.
    pub idle: IdleStrategy,
    /// Priority in the real-time class `SCHED_FIFO`, 1 to 99; `None` for the ordinary class.
    pub realtime_priority: Option<u8>,
    /// How long it may drain after a stop.
    pub drain_max: Duration,
    /// Where it counts `agent.<name>.cycles`, `.work` and `.cycle_ns_max`; `None` does not count.
    pub counters: Option<Counters>,
}

impl Default for RunnerOptions {
    /// An unpinned thread called `agent` that backs off and may drain for 5 s.
    fn default() -> Self {
        Self {
            name: "agent".to_owned(),
            core: None,
            idle: IdleStrategy::BACK_OFF,
            realtime_priority: None,
            drain_max: Duration::from_secs(5),
            counters: None,
        }
    }
}

/// Why an agent does not run, or how it ended.
#[derive(Clone, Debug, Error)]
pub enum RunnerError {
    /// The name cannot be a thread's.
    #[error("agent name {name:?} has a zero byte or is empty, expected a name")]
    Name {
        /// The name.
        name: String,
    },
    /// The system gives no thread.
    #[error("agent {name}: no thread: {source}")]
    Thread {
        /// The agent.
        name: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The thread could not be pinned.
    #[error(
        "agent {name}: cannot be pinned to core {core}, expected a core that this process may use: {available:?}"
    )]
    Core {
        /// The agent.
        name: String,
        /// The core.
        core: usize,
        /// The cores that were open to the thread.
        available: Vec<usize>,
    },
    /// The real-time class was refused.
    #[error(
        "agent {name}: real-time priority {priority} was refused: {source}, expected CAP_SYS_NICE or an rtprio \
         limit (ulimit -r) of at least {priority}, and 1 to 99"
    )]
    Realtime {
        /// The agent.
        name: String,
        /// The priority.
        priority: u8,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The agent could not be built or refused to start.
    #[error("agent {name}: did not start: {source}")]
    Start {
        /// The agent.
        name: String,
        /// What it said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The agent has not started yet.
    #[error("agent {name}: not started after {waited:?}")]
    StartTimeout {
        /// The agent.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The agent panicked. Its `on_close` was not called.
    #[error("agent {name}: panicked: {message}")]
    Panic {
        /// The agent.
        name: String,
        /// What it said.
        message: String,
    },
    /// The agent still had work when its time to drain was over. It was closed all the same.
    #[error("agent {name}: not drained {waited:?} after the stop")]
    NotDrained {
        /// The agent.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The agent does not return from its duty cycle; its thread was left behind.
    #[error("agent {name}: still running {waited:?} after the stop")]
    Stuck {
        /// The agent.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// Starts agents on threads.
pub struct Runner;

impl Runner {
    /// Starts a thread that builds an agent and drives it. Returns at once: see [`RunnerHandle::wait_started`].
    ///
    /// Error: the name is none, or the system gives no thread; all else comes by the handle.
    pub fn spawn<A: Agent>(
        options: RunnerOptions,
        clock: Clock,
        build: impl FnOnce() -> Result<A, StartError> + Send + 'static,
    ) -> Result<RunnerHandle, RunnerError> {
        let name = options.name.clone();
        if name.is_empty() || name.contains('\0') {
            return Err(RunnerError::Name { name });
        }
        let shared = Arc::new(Shared::default());
        let for_thread = shared.clone();
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || for_thread.end(contain(&options, &clock, &for_thread, build)))
            .map_err(|source| RunnerError::Thread {
                name: name.clone(),
                source: Arc::new(source),
            })?;
        Ok(RunnerHandle {
            name,
            shared,
            thread: Some(thread),
        })
    }
}

/// Spawns a thread that helps an agent off the hot path: it may run on every core the process may use, in the
/// ordinary class, wherever the agent is pinned.
pub fn spawn_helper<R: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<R>> {
    thread::Builder::new().name(name.into()).spawn(move || {
        // A helper that stays on the agent's core is slow, not wrong.
        let _ = system::unpin();
        work()
    })
}

/// Makes the calling thread, and those that it spawns, give way to all others for good (`SCHED_IDLE`).
///
/// # Errors
/// The system refuses it; the thread is as it was.
pub fn give_way() -> io::Result<()> {
    system::set_idle_class()
}

/// An agent on its thread. Dropping the handle asks it to stop and does not wait.
pub struct RunnerHandle {
    name: String,
    shared: Arc<Shared>,
    /// Present until joined.
    thread: Option<JoinHandle<()>>,
}

impl RunnerHandle {
    /// The agent's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the agent has started.
    ///
    /// Error: it could not, or `timeout` went by; then it goes on starting.
    pub fn wait_started(&self, timeout: Duration) -> Result<(), RunnerError> {
        match self
            .shared
            .wait(timeout, |phase| !matches!(phase, Phase::Starting))
        {
            Phase::Starting => Err(RunnerError::StartTimeout {
                name: self.name.clone(),
                waited: timeout,
            }),
            Phase::Running => Ok(()),
            Phase::Ended(outcome) => outcome,
        }
    }

    /// Asks the agent to drain and end, and wakes it if it sleeps.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Whether the agent has ended, by itself or by a stop.
    pub fn is_finished(&self) -> bool {
        matches!(*self.shared.phase(), Phase::Ended(_))
    }

    /// Waits until the agent has ended. It does not ask it to: see [`RunnerHandle::stop`].
    ///
    /// Error: it could not start, it panicked, or it was not drained in time.
    pub fn join(self) -> Result<(), RunnerError> {
        self.join_within(Duration::MAX)
    }

    /// As [`RunnerHandle::join`], for `timeout` at most; then the thread is left behind.
    pub fn join_within(self, timeout: Duration) -> Result<(), RunnerError> {
        match self
            .shared
            .wait(timeout, |phase| matches!(phase, Phase::Ended(_)))
        {
            Phase::Ended(outcome) => outcome,
            _ => Err(RunnerError::Stuck {
                name: self.name.clone(),
                waited: timeout,
            }),
        }
    }
}

impl Drop for RunnerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How far an agent has come.
#[derive(Clone)]
enum Phase {
    Starting,
    Running,
    Ended(Result<(), RunnerError>),
}

/// What the thread and its handle both see.
struct Shared {
    stop: AtomicBool,
    phase: Mutex<Phase>,
    changed: Condvar,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            stop: AtomicBool::new(false),
            phase: Mutex::new(Phase::Starting),
            changed: Condvar::new(),
        }
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn start(&self) {
        self.set(Phase::Running);
    }

    fn end(&self, outcome: Result<(), RunnerError>) {
        self.set(Phase::Ended(outcome));
    }

    fn set(&self, phase: Phase) {
        *self.phase() = phase;
        self.changed.notify_all();
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the phase is one that `is_reached` accepts, and returns the phase it found last.
    fn wait(&self, timeout: Duration, is_reached: impl Fn(&Phase) -> bool) -> Phase {
        let waited = self
            .changed
            .wait_timeout_while(self.phase(), timeout, |phase| !is_reached(phase));
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// The life of the thread, with a panic turned into an error.
fn contain<A: Agent>(
    options: &RunnerOptions,
    clock: &Clock,
    shared: &Shared,
    build: impl FnOnce() -> Result<A, StartError>,
) -> Result<(), RunnerError> {
    // What the closure leaves half done is dropped with it: agents share rings, and those hold after a panic.
    catch_unwind(AssertUnwindSafe(|| live(options, clock, shared, build))).unwrap_or_else(|panic| {
        Err(RunnerError::Panic {
            name: options.name.clone(),
            message: panic_message(&*panic),
        })
    })
}

/// The life of the thread.
fn live<A: Agent>(
    options: &RunnerOptions,
    clock: &Clock,
    shared: &Shared,
    build: impl FnOnce() -> Result<A, StartError>,
) -> Result<(), RunnerError> {
    place(options)?;
    let mut agent = build()
        .and_then(|mut agent| agent.on_start().map(|()| agent))
        .map_err(|error| RunnerError::Start {
            name: options.name.clone(),
            source: error.into_inner().into(),
        })?;
    shared.start();
    let mut duty = DutyCycle::new(options, clock.clone());
    while !shared.is_stopped() {
        duty.run(&mut agent);
    }
    let is_drained = drain(&mut duty, &mut agent, options.drain_max);
    agent.on_close();
    if is_drained {
        return Ok(());
    }
    Err(RunnerError::NotDrained {
        name: options.name.clone(),
        waited: options.drain_max,
    })
}

/// Puts the calling thread where the options say.
fn place(options: &RunnerOptions) -> Result<(), RunnerError> {
    if let Some(core) = options.core {
        pin(core, &options.name)?;
    }
    let Some(priority) = options.realtime_priority else {
        return Ok(());
    };
    system::set_realtime(priority).map_err(|source| RunnerError::Realtime {
        name: options.name.clone(),
        priority,
        source: Arc::new(source),
    })
}

/// Pins the calling thread and looks whether it is.
fn pin(core: usize, name: &str) -> Result<(), RunnerError> {
    let available = open_cores();
    let is_pinned = core <= CORE_MAX && core_affinity::set_for_current(CoreId { id: core });
    if is_pinned && open_cores() == [core] {
        return Ok(());
    }
    Err(RunnerError::Core {
        name: name.to_owned(),
        core,
        available,
    })
}

/// The cores that the calling thread may run on.
pub(crate) fn open_cores() -> Vec<usize> {
    core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id)
        .collect()
}

/// Drives the agent until it has nothing left. Returns whether that was so in time.
fn drain(duty: &mut DutyCycle, agent: &mut impl Agent, drain_max: Duration) -> bool {
    let begin = Instant::now();
    loop {
        let work_count = duty.cycle(agent);
        if work_count == 0 && agent.is_drained() {
            return true;
        }
        if begin.elapsed() > drain_max {
            return false;
        }
        if work_count == 0 {
            thread::sleep(DRAIN_SLEEP);
        }
    }
}

/// One cycle after the other: read the clock, work, count, idle.
struct DutyCycle {
    clock: Clock,
    idler: Idler,
    counters: Option<CycleCounters>,
}

impl DutyCycle {
    fn new(options: &RunnerOptions, clock: Clock) -> Self {
        let counters = options
            .counters
            .as_ref()
            .map(|counters| CycleCounters::new(counters, &options.name));
        Self {
            clock,
            idler: Idler::new(options.idle),
            counters,
        }
    }

    /// One cycle and what follows it.
    #[inline]
    fn run(&mut self, agent: &mut impl Agent) {
        let work_count = self.cycle(agent);
        self.idler.idle(work_count);
    }

    /// One cycle. Returns its work count.
    #[inline]
    fn cycle(&mut self, agent: &mut impl Agent) -> usize {
        let now_ns = self.clock.now_ns();
        let work_count = agent.do_work(now_ns);
        if let Some(counters) = &self.counters {
            counters.count(work_count, || self.clock.now_ns() - now_ns);
        }
        work_count
    }
}

/// Signs of life of one agent.
struct CycleCounters {
    cycles: Counter,
    work: Counter,
    cycle_ns_max: Counter,
}

impl CycleCounters {
    fn new(counters: &Counters, name: &str) -> Self {
        let counter = |what: &str| counters.counter(&format!("agent.{name}.{what}"));
        Self {
            cycles: counter("cycles"),
            work: counter("work"),
            cycle_ns_max: counter("cycle_ns_max"),
        }
    }

    /// Counts one cycle; its length is taken only when it did work.
    #[inline]
    fn count(&self, work_count: usize, cycle_ns: impl FnOnce() -> i64) {
        self.cycles.increment();
        if work_count > 0 {
            self.work.add(work_count as u64);
            let cycle_ns = cycle_ns().max(0) as u64;
            if cycle_ns > self.cycle_ns_max.get() {
                self.cycle_ns_max.set(cycle_ns);
            }
        }
    }
}

/// What a panic said, if it said it in words.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
