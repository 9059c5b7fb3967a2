//! The thread of a challenger.
//!
//! It works in short slices on a core that does not spin, behind all other threads of the engine. What it cannot do is
//! counted and told; the engine goes on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinion_journal::{JournalError, Reader};
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::pace::{REST, SLICE};
use pinion_schemas::records::{PaymentRecord, Score, decision_flag, payment_kind};

use crate::housekeeping::Housekeeping;
use crate::replica::{Followed, Replica};
use crate::snapshotter::Seen;

use super::file::{Put, ScoreFile, ScoreRecord};
use super::{Loaded, path};

/// The thread's name.
const NAME: &str = "challenger";

/// How much lower than the engine's other threads it stands: `nice`.
const NICENESS: i32 = 19;

/// Inputs taken between two looks at the time.
const INPUTS_MAX: usize = 16;

/// How long it sleeps when there is nothing to do.
const PAUSE: Duration = Duration::from_millis(5);

/// Records that are written at once while there are more to come.
const FLUSH_RECORDS: usize = 1024;

/// How long a record waits to be written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// How long after a failure to write the next try is.
const RETRY: Duration = Duration::from_secs(1);

/// How long it may go on when the engine stops; what is left is scored at the next start.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// What stands beside a challenger.
pub(crate) struct Beside<'a> {
    pub(crate) followed: &'a Arc<Followed>,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) counters: &'a Counters,
    pub(crate) journal_id: u64,
}

/// A running challenger.
pub(crate) struct Challenger {
    name: String,
    flags: Arc<Flags>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Flags {
    stops: AtomicBool,
    /// It may come to the journal's end before.
    catches_up: AtomicBool,
}

impl Challenger {
    /// Starts its thread.
    ///
    /// # Errors
    /// The journal cannot be read, or the file not be made; or there is no thread.
    pub(crate) fn spawn(loaded: Loaded, beside: &Beside<'_>) -> Result<Self, ChallengerStart> {
        let name = loaded.name.clone();
        let heading = loaded.heading(beside.journal_id);
        let path = path(&beside.followed.dir, &name, &heading);
        let at = |source| ChallengerStart::Io {
            path: path.clone(),
            source,
        };
        let (file, torn_len) = ScoreFile::open(&path, heading).map_err(at)?;
        if torn_len > 0 {
            tracing::info!("{NAME} {name}: {torn_len} bytes behind the last whole record are cut off");
        }
        let flags = Arc::new(Flags::default());
        let mut worker = Worker {
            inputs: Reader::open(&beside.followed.dir)?,
            replica: loaded.replica,
            followed: beside.followed.clone(),
            out: Out {
                file,
                path,
                shown: Shown::new(beside.counters, &name),
                flushed: Instant::now(),
                failed: None,
            },
            engine: Seen::new(beside.counters),
            flags: flags.clone(),
            name: name.clone(),
        };
        let thread = beside.housekeeping.spawn(NAME, NICENESS, move || worker.run());
        Ok(Self {
            thread: Some(thread.map_err(ChallengerStart::Thread)?),
            name,
            flags,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the thread ended by itself.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Lets it come to the journal's end, for a short time. Call it when the journal is closed.
    pub(crate) fn finish(&self) {
        self.flags.catches_up.store(true, Ordering::Release);
        self.flags.stops.store(true, Ordering::Release);
    }
}

impl Drop for Challenger {
    fn drop(&mut self) {
        self.flags.stops.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("{NAME} {}: ended by a panic", self.name);
        }
    }
}

/// Why a challenger's thread could not start.
#[derive(Debug, thiserror::Error)]
pub enum ChallengerStart {
    /// Its file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system.
    #[error("no thread for a challenger: {0}")]
    Thread(io::Error),
}

/// What the thread shows.
struct Shown {
    scored: Counter,
    degraded: Counter,
    rewritten: Counter,
    lag: Counter,
    write_failures: Counter,
}

impl Shown {
    fn new(counters: &Counters, name: &str) -> Self {
        let counter = |what: &str| counters.counter(&format!("challenger.{name}.{what}"));
        Self {
            scored: counter("scored"),
            degraded: counter("degraded"),
            rewritten: counter("rewritten"),
            lag: counter("lag"),
            write_failures: counter("write_failures"),
        }
    }
}

/// The file, and how writing goes.
struct Out {
    file: ScoreFile,
    path: PathBuf,
    shown: Shown,
    flushed: Instant,
    /// When writing failed last; none: it does not.
    failed: Option<Instant>,
}

impl Out {
    fn note(&mut self, payment: &PaymentRecord, score: &Score) {
        if payment.origin.kind != payment_kind::TRANSACTION {
            return;
        }
        let put = self.file.put(ScoreRecord::new(payment, score));
        self.shown.scored.increment();
        let is_degraded = score.flags & decision_flag::DEGRADED != 0;
        self.shown.degraded.add(u64::from(is_degraded));
        self.shown.rewritten.add(u64::from(put == Put::InPlaceOfAnother));
    }

    /// Writes what waits, if it is time.
    fn flush_if_due(&mut self) {
        let is_due = match self.failed {
            Some(failed) => failed.elapsed() >= RETRY,
            None => self.file.pending() >= FLUSH_RECORDS || self.flushed.elapsed() >= FLUSH_INTERVAL,
        };
        if is_due {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.flushed = Instant::now();
        match (self.file.flush(), self.failed) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                tracing::info!(
                    "{}: can be written again; nothing is missing",
                    self.path.display()
                );
                self.failed = None;
            }
            (Err(error), before) => {
                self.shown.write_failures.increment();
                self.failed = Some(Instant::now());
                if before.is_none() {
                    tracing::warn!(
                        "{}: {error}; it is tried again, the engine goes on",
                        self.path.display()
                    );
                }
            }
        }
    }
}

/// What the thread owns.
struct Worker {
    name: String,
    replica: Replica,
    inputs: Reader,
    followed: Arc<Followed>,
    out: Out,
    engine: Seen,
    flags: Arc<Flags>,
}

impl Worker {
    fn run(&mut self) {
        while !self.flags.stops.load(Ordering::Acquire) {
            match self.follow() {
                Ok(taken) => thread::sleep(if taken < INPUTS_MAX { PAUSE } else { REST }),
                Err(error) => {
                    tracing::warn!("{NAME} {}: cannot go on: {error}; the engine does", self.name);
                    return self.out.flush();
                }
            }
        }
        if self.flags.catches_up.load(Ordering::Acquire) {
            self.catch_up();
        }
        self.out.flush();
        let left = self.out.file.unconfirmed();
        if left > 0 {
            tracing::info!(
                "{NAME} {}: stops {left} transactions before its newest score",
                self.name
            );
        }
    }

    /// Goes on for a slice. Returns the inputs taken last: less than [`INPUTS_MAX`] if there are no more, or no room.
    fn follow(&mut self) -> Result<usize, JournalError> {
        let begun = Instant::now();
        self.inputs.set_end(self.followed.end());
        let taken = loop {
            let taken = self.step()?;
            if taken < INPUTS_MAX || begun.elapsed() >= SLICE {
                break taken;
            }
        };
        let lag = self.engine.lag_events(self.replica.place().sequence);
        self.out.shown.lag.set(lag);
        self.out.flush_if_due();
        Ok(taken)
    }

    fn step(&mut self) -> Result<usize, JournalError> {
        if !self.out.file.has_room(INPUTS_MAX) {
            return Ok(0);
        }
        let out = &mut self.out;
        self.replica
            .run_scored(&mut self.inputs, u64::MAX, INPUTS_MAX, |payment, _, score| {
                out.note(payment, score);
            })
    }

    fn catch_up(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < CATCH_UP_MAX {
            match self.follow() {
                Ok(taken) if taken == INPUTS_MAX => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challengers::file::Heading;
    use crate::challengers::file::tests::Scarce;

    #[test]
    fn full_disk_is_counted_at_each_try_and_what_was_said_still_waits() {
        let counters = Counters::in_memory(8);
        let (disk, is_full) = Scarce::full();
        let mut out = Out {
            file: ScoreFile::on(Box::new(disk), Heading::new(1, 2, (3, 4))),
            path: PathBuf::from("a.scores"),
            shown: Shown::new(&counters, "a"),
            flushed: Instant::now(),
            failed: None,
        };
        let mut payment = PaymentRecord::default();
        payment.origin.kind = payment_kind::TRANSACTION;
        payment.origin.sequence = 1;
        out.note(&payment, &Score::default());
        out.flush();
        out.flush();
        assert_eq!(counters.value("challenger.a.write_failures"), Some(2));
        assert_eq!(counters.value("challenger.a.scored"), Some(1));
        assert_eq!((out.file.pending(), out.failed.is_some()), (1, true));
        is_full.store(false, Ordering::Relaxed);
        out.flush();
        assert_eq!((out.file.pending(), out.failed.is_some()), (0, false));
        assert_eq!(counters.value("challenger.a.write_failures"), Some(2));
    }
}
