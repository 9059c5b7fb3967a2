//! What every exchange in a running engine has: a thread that nobody waits for, what its owner may ask of it, and how it
//! tells how far it is.
//!
//! ```text
//!   snapshotter ── begin, cancel, is it swapping? ──▶ [Exchanging] ── thread: crate::backfill, crate::model_swap
//!   whoever asked ◀── progress ── [Teller] ◀─────────────┘
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinion_runtime::counters::{Counter, Counters};

use crate::admin::{Progress, Reply, Response};
use crate::housekeeping::Housekeeping;

/// How much lower than the engine's other threads it stands: `nice`.
const NICENESS: i32 = 19;

/// Inputs taken between two looks around.
pub(crate) const INPUTS_MAX: usize = 64;

/// Payments behind the engine that count as nearly there.
pub(crate) const NEAR: u64 = 8192;

/// Attempts before it is given up.
pub(crate) const ATTEMPTS_MAX: u32 = 64;

/// How long it sleeps when it waits for the engine.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// Looks for the ring that comes back after a swap, a pause apart.
pub(crate) const RING_LOOKS: u32 = 100;

/// How long the agent may take to answer a command.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// An exchange on its own thread, which comes to a `T`.
pub(crate) struct Exchanging<T> {
    thread: JoinHandle<T>,
    reply: Reply,
    flags: Arc<Flags>,
}

/// What the thread and its owner tell each other.
#[derive(Default)]
pub(crate) struct Flags {
    /// The engine stops.
    pub(crate) is_cancelled: AtomicBool,
    /// From here on what was before may be out of force.
    pub(crate) is_swapping: AtomicBool,
}

impl Flags {
    /// Refuses to go on when the engine stops.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.is_cancelled.load(Ordering::Acquire) {
            return Err("the engine stops".to_owned());
        }
        Ok(())
    }
}

impl<T: Send + 'static> Exchanging<T> {
    /// Begins with `work` on a thread of the name `name`; both ends have the `flags`.
    ///
    /// # Errors
    /// No thread could be made.
    pub(crate) fn spawn(
        housekeeping: Housekeeping,
        name: &'static str,
        (reply, flags): (&Reply, Arc<Flags>),
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self {
            thread: housekeeping.spawn(name, NICENESS, work)?,
            reply: reply.clone(),
            flags,
        })
    }

    /// Whether what was in force before may be so no more: its replica is not to be written and goes no further.
    pub(crate) fn is_swapping(&self) -> bool {
        self.flags.is_swapping.load(Ordering::Acquire)
    }

    /// Whether it is through.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks it to give up.
    pub(crate) fn cancel(&self) {
        self.flags.is_cancelled.store(true, Ordering::Release);
    }

    /// Waits for its end; whoever asked for it is told by the caller. `None`: it panicked.
    pub(crate) fn end(self) -> (Option<T>, Reply) {
        (self.thread.join().ok(), self.reply)
    }
}

/// Tells how far it is, not too often.
pub(crate) struct Teller {
    reply: Reply,
    told: Option<(Instant, &'static str)>,
    done: Counter,
    of: Counter,
}

impl Teller {
    /// One that answers `reply`, and shows it in the counters of `what`.
    pub(crate) fn new(what: &str, counters: &Counters, reply: &Reply) -> Self {
        Self {
            reply: reply.clone(),
            told: None,
            done: counters.counter(&format!("{what}.done")),
            of: counters.counter(&format!("{what}.of")),
        }
    }

    pub(crate) fn tell(&mut self, phase: &'static str, done: u64, of: u64) {
        let is_due = |(told, last): (Instant, &str)| last != phase || told.elapsed() >= PROGRESS_INTERVAL;
        if !self.told.is_none_or(is_due) {
            return;
        }
        self.told = Some((Instant::now(), phase));
        self.done.set(done);
        self.of.set(of.max(done));
        // Whoever asked may be gone; what was asked for is put in force all the same.
        self.reply.send(Response::Progress(Progress {
            phase: phase.to_owned(),
            done,
            of: of.max(done),
        }));
    }
}

/// Unit: ns since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// An error as it is told.
pub(crate) fn text(error: impl ToString) -> String {
    error.to_string()
}
