//! An orderly end: somebody asks for it, the intake closes, the agents drain one after the other.
//!
//! ```text
//!   SIGTERM ─▶ Signal ─▶ IngestGate closes ─▶ stop ingest, join ─▶ stop book, join ─▶ … ─▶ stop journal, join
//! ```
//!
//! Invariant: an agent is stopped only when those that feed it have ended, so what was accepted comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::runner::{RunnerError, RunnerHandle};

/// How often a waiting thread looks; a signal handler may do no more than set a flag.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A request to end. Clones are the same request.
///
/// ```
/// use pinion_runtime::shutdown::Signal;
/// use std::time::Duration;
///
/// let signal = Signal::new();
/// assert!(!signal.wait(Duration::ZERO));
/// signal.clone().set();
/// assert!(signal.wait(Duration::MAX));
/// ```
#[derive(Clone, Default)]
pub struct Signal(Arc<AtomicBool>);

impl Signal {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// The flag itself, for a signal handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Waits until somebody asks, for `timeout` at most. Returns whether somebody did.
    pub fn wait(&self, timeout: Duration) -> bool {
        let begin = Instant::now();
        while !self.is_set() {
            let Some(left) = timeout.checked_sub(begin.elapsed()) else {
                break;
            };
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
        self.is_set()
    }
}

/// How one agent ended.
#[derive(Debug)]
pub struct Stopped {
    /// The agent.
    pub name: String,
    /// Its outcome.
    pub outcome: Result<(), RunnerError>,
    /// From the request to the end.
    pub took: Duration,
}

/// Stops `runners` one after the other, in the order of the data path, each once it is drained.
///
/// One that panicked, is stuck for `each_max`, or does not drain holds up the others no further.
pub fn stop_in_order(runners: Vec<RunnerHandle>, each_max: Duration) -> Vec<Stopped> {
    runners.into_iter().map(|runner| stop(runner, each_max)).collect()
}

fn stop(runner: RunnerHandle, timeout: Duration) -> Stopped {
    let begin = Instant::now();
    let name = runner.name().to_owned();
    runner.stop();
    let outcome = runner.join_within(timeout);
    Stopped {
        name,
        outcome,
        took: begin.elapsed(),
    }
}
