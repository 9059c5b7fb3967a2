//! The thread that keeps a replica beside the engine, writes checkpoints of it, and answers questions about it.
//!
//! ```text
//!   journal, publish ─▶ [Follower] ── every interval, at a mark ──▶ pinion_checkpoint::Writer
//!                            │
//!   admin, by a queue ─▶ questions ─▶ answers           backfill's thread ── new replica ──▶ taken over
//! ```
//!
//! It runs on a core that does not spin, in short slices; what a checkpoint changes is copied, and written by a thread
//! of the idle class (`writing.rs`), unless somebody asked for it and waits. What it cannot do is counted and told; the engine goes on.
//!
//! Invariant: a checkpoint is written only of a replica that stands at a mark of publish, and never while the
//! payment module is quarantined, for a restart must meet the panic again.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinion_checkpoint::{Shapes, Writer, Written};
use pinion_journal::JournalError;
use pinion_publish::DecisionMark;
use pinion_runtime::clock::Clock;
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::pace::{REST, SLICE};
use pinion_schemas::records::{decision_flag, payment_kind};
use pinion_score::manifest::{Manifest, ModelFolder, locate};

use crate::admin::{self, Answer, Checkpointed, Job, Request, Response, Standing, Status};
use crate::backfill::{Backfill, Exchange};
use crate::checkpoints::{identity, mark_of};
use crate::config::Config;
use crate::drift::Watch;
use crate::housekeeping::Housekeeping;
use crate::model_swap::{ModelExchange, ModelSwap};
use crate::replica::{Follower, Place, Replica};
use crate::writing::{Done, Errand, Writing};

/// The thread's name.
const NAME: &str = "snapshotter";

/// How much lower than the engine's other threads it stands: `nice`.
const NICENESS: i32 = 10;

/// Inputs taken between two looks at the time: each of them may have to be scored.
const INPUTS_MAX: usize = 4;

/// Payments behind the engine from which on it rests no more: a replica that falls further behind all the time would
/// make restarts longer and longer.
const LAG_MAX: u64 = 8_192;

/// How long it sleeps when there is nothing to do: how far the replica may be behind on a quiet engine.
const PAUSE: Duration = Duration::from_millis(5);

/// Requests that wait.
const JOBS_MAX: usize = 16;

/// What a snapshotter is given at its start.
pub struct Snapshotting {
    /// Time from one checkpoint to the next; none: none are written.
    pub interval: Option<Duration>,
    /// Where it runs, and what it starts.
    pub housekeeping: Housekeeping,
    /// How long it may take to come to the end when it is asked to stop.
    pub stop_max: Duration,
    /// The journal's id.
    pub journal_id: u64,
    /// Payments that wait at most for a new set's store while it catches up.
    pub copies_max: usize,
    /// The newest checkpoint, if one was restored.
    pub restored_sequence: Option<u64>,
    /// The model in force, to count the drift of its inputs.
    pub manifest: Manifest,
    /// Hash of the model that `score.model` names; it need not be in force.
    pub configured_model: u64,
}

/// The running thread.
pub struct Snapshotter {
    jobs: SyncSender<Job>,
    flags: Arc<Flags>,
    health: Arc<Mutex<Health>>,
    housekeeping: Housekeeping,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked.
#[derive(Default)]
struct Flags {
    stops: AtomicBool,
    /// With a last checkpoint.
    writes: AtomicBool,
}

/// How it goes, for whoever looks after it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// When the newest checkpoint was written or restored.
    pub written: Option<Instant>,
    /// Its sequence.
    pub sequence: Option<u64>,
    /// Checkpoints that could not be written, turns of the replica that failed.
    pub failures: u64,
    /// The last of them.
    pub failure: Option<String>,
}

impl Snapshotter {
    /// Starts the thread over `follower`.
    ///
    /// # Errors
    /// There is no thread.
    pub fn spawn(
        config: &Config,
        follower: Follower,
        exchanges: Option<(Exchange, ModelExchange)>,
        setting: Snapshotting,
        (clock, counters): (&Clock, &Counters),
    ) -> io::Result<Self> {
        let (jobs, received) = sync_channel(JOBS_MAX);
        let flags = Arc::new(Flags::default());
        let health = Arc::new(Mutex::new(Health {
            written: setting.restored_sequence.map(|_| Instant::now()),
            sequence: setting.restored_sequence,
            ..Health::default()
        }));
        let (exchange, model_exchange) = exchanges.unzip();
        let mut worker = Worker {
            writing: Writing::new(writer(config, follower.replica(), setting.journal_id)),
            config: config.clone(),
            exchange,
            backfill: None,
            model_exchange,
            model_swap: None,
            last: Instant::now(),
            last_mark: None,
            jobs: received,
            flags: flags.clone(),
            health: health.clone(),
            clock: clock.clone(),
            shown: Shown::new(counters),
            swaps_refused: counters.counter("model_swap.refused"),
            drift: Watch::new(
                &config.drift,
                &setting.manifest,
                follower.replica().scorer().is_some(),
                counters,
            ),
            engine: Seen::new(counters),
            counters: counters.clone(),
            follower: Some(follower),
            setting,
        };
        let housekeeping = worker.setting.housekeeping;
        let thread = housekeeping.spawn(NAME, NICENESS, move || worker.run())?;
        Ok(Self {
            jobs,
            flags,
            health,
            housekeeping,
            thread: Some(thread),
        })
    }

    /// Where it runs.
    pub(crate) fn housekeeping(&self) -> Housekeeping {
        self.housekeeping
    }

    /// Where requests go.
    pub(crate) fn jobs(&self) -> SyncSender<Job> {
        self.jobs.clone()
    }

    /// How it goes.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the thread ended by itself.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Writes the last checkpoint and ends the thread. Call it when the journal is closed.
    pub fn finish(self) {
        self.flags.writes.store(true, Ordering::Release);
    }

    fn end(&mut self) {
        self.flags.stops.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("{NAME}: ended by a panic; the next start may have to run more of the journal");
        }
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread shows.
struct Shown {
    sequence: Counter,
    position: Counter,
    pages: Counter,
    bytes: Counter,
    write_ms: Counter,
    failures: Counter,
    lag: Counter,
}

impl Shown {
    fn new(counters: &Counters) -> Self {
        let counter = |name: &str| counters.counter(name);
        Self {
            sequence: counter("checkpoint.sequence"),
            position: counter("checkpoint.position"),
            pages: counter("checkpoint.pages"),
            bytes: counter("checkpoint.bytes"),
            write_ms: counter("checkpoint.write_ms"),
            failures: counter("checkpoint.failures"),
            lag: counter("replica.lag"),
        }
    }
}

/// What is seen of the engine itself.
pub(crate) struct Seen {
    /// Payments by what became of them at ingest; together the last sequence.
    payments: [Counter; 4],
    watermark_ns: Counter,
}

impl Seen {
    pub(crate) fn new(counters: &Counters) -> Self {
        let names = ["recorded_skipped", "recorded", "recorded_refused", "accepted"];
        Self {
            payments: names.map(|name| counters.counter(&format!("ingest.payment.{name}"))),
            watermark_ns: counters.counter("features.watermark_ns"),
        }
    }

    /// Payments that ingest has taken beyond `sequence`.
    pub(crate) fn lag_events(&self, sequence: u64) -> u64 {
        let taken: u64 = self.payments.iter().map(Counter::get).sum();
        taken.saturating_sub(sequence)
    }

    fn standing(&self, place: Place) -> Standing {
        let newest_ns = self.watermark_ns.get() as i64;
        Standing {
            sequence: place.sequence,
            event_ns: place.event_ns,
            lag_events: self.lag_events(place.sequence),
            lag_ns: newest_ns.saturating_sub(place.event_ns).max(0),
        }
    }
}

/// What the thread owns.
struct Worker {
    config: Config,
    /// None: following failed for good.
    follower: Option<Follower>,
    writing: Writing,
    exchange: Option<Exchange>,
    backfill: Option<Backfill>,
    model_exchange: Option<ModelExchange>,
    model_swap: Option<ModelSwap>,
    /// When the last checkpoint was tried.
    last: Instant,
    /// Where the last one was written.
    last_mark: Option<DecisionMark>,
    setting: Snapshotting,
    jobs: Receiver<Job>,
    flags: Arc<Flags>,
    health: Arc<Mutex<Health>>,
    clock: Clock,
    shown: Shown,
    /// Exchanges of a model that were asked for and came to nothing.
    swaps_refused: Counter,
    /// None: it is not counted.
    drift: Option<Watch>,
    engine: Seen,
    counters: Counters,
}

impl Worker {
    fn run(&mut self) {
        let mut pause = Duration::ZERO;
        while !self.flags.stops.load(Ordering::Acquire) {
            match self.jobs.recv_timeout(pause) {
                Ok(job) => self.answer(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let taken = self.follow();
            self.look_at_backfill();
            self.look_at_model_swap();
            self.write_if_due();
            pause = self.pause_after(taken);
        }
        self.finish();
    }

    /// Lets the replica go on for a slice. Returns the inputs that it took last: less than [`INPUTS_MAX`] if there are
    /// no more.
    fn follow(&mut self) -> usize {
        let begun = Instant::now();
        loop {
            let Some(follower) = &mut self.follower else {
                return 0;
            };
            let (backfill, model_swap) = (&self.backfill, &self.model_swap);
            let is_held = || is_swapping(backfill.as_ref(), model_swap.as_ref());
            let turned = match &mut self.drift {
                None => follower.turn(INPUTS_MAX, is_held),
                Some(drift) => follower.turn_scored(INPUTS_MAX, is_held, |payment, vector, score| {
                    let has_score = score.flags & decision_flag::DEGRADED == 0;
                    if payment.origin.kind == payment_kind::TRANSACTION && has_score {
                        drift.take(vector, score.score);
                    }
                }),
            };
            let taken = match turned {
                Ok(taken) => taken,
                Err(error) => {
                    self.stop_following(&error);
                    return 0;
                }
            };
            if taken < INPUTS_MAX || begun.elapsed() >= SLICE {
                let sequence = follower.replica().place().sequence;
                self.shown.lag.set(self.engine.lag_events(sequence));
                return taken;
            }
        }
    }

    /// How long to sleep after a turn that took so many inputs.
    fn pause_after(&self, taken: usize) -> Duration {
        match taken {
            _ if self.shown.lag.get() > LAG_MAX => Duration::ZERO,
            INPUTS_MAX => REST,
            _ => PAUSE,
        }
    }

    fn stop_following(&mut self, error: &JournalError) {
        self.follower = None;
        self.note_failure(format!("the replica cannot go on: {error}"));
    }

    fn note_failure(&self, failure: String) {
        self.shown.failures.increment();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.failures += 1;
        health.failure = Some(failure);
    }

    /// Takes back the writer, and sends it away again when a checkpoint is due.
    fn write_if_due(&mut self) {
        self.collect();
        let is_due = self
            .setting
            .interval
            .is_some_and(|interval| self.last.elapsed() >= interval);
        if is_due && let Some(mark) = self.mark() {
            if self.last_mark == Some(mark) {
                self.last = Instant::now();
                self.note_written(mark);
            } else {
                self.begin_write(mark, true);
            }
        }
    }

    /// Notes what came of the writer's errand, if it is through.
    fn collect(&mut self) -> Option<Result<Checkpointed, String>> {
        let done = self.writing.collect()?;
        self.note(done)
    }

    /// Where a checkpoint can be written now.
    fn mark(&self) -> Option<DecisionMark> {
        let mark = self.follower.as_ref()?.mark()?;
        let is_quarantined = self.counters.value("strategy.payments.quarantined") == Some(1);
        let is_swapping = is_swapping(self.backfill.as_ref(), self.model_swap.as_ref());
        (!is_quarantined && !is_swapping).then_some(mark)
    }

    /// Sends the writer away: to open its store, if it is not open, else with a checkpoint of the replica as it is.
    /// Nothing happens while it is away.
    fn begin_write(&mut self, mark: DecisionMark, gives_way: bool) {
        let (Some(follower), Some(writer)) = (&self.follower, self.writing.here()) else {
            return;
        };
        let replica = follower.replica();
        let at = mark_of(replica.place(), mark, self.clock.now_ns());
        let errand = match writer.prepare(replica, at) {
            Some(prepared) => {
                self.last = Instant::now();
                Errand::Commit(Box::new(prepared), mark)
            }
            None => Errand::Open(Shapes::of(replica)),
        };
        if let Err(error) = self.writing.begin(errand, gives_way) {
            self.note_failure(format!("no thread to write it: {error}"));
        }
    }

    /// `None`: the store was opened.
    fn note(&mut self, done: Done) -> Option<Result<Checkpointed, String>> {
        match done {
            Done::Opened => None,
            Done::Written(written, mark) => {
                self.last_mark = Some(mark);
                self.note_written(mark);
                Some(Ok(self.show(&written)))
            }
            Done::Failed(message) => {
                // The next one is tried when it is due.
                self.last = Instant::now();
                self.note_failure(message.clone());
                Some(Err(message))
            }
        }
    }

    fn note_written(&self, mark: DecisionMark) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.written = Some(Instant::now());
        health.sequence = Some(mark.sequence);
    }

    fn show(&self, written: &Written) -> Checkpointed {
        let mark = written.manifest.mark;
        let took = written.hash_took + written.write_took;
        let checkpointed = Checkpointed {
            sequence: mark.sequence,
            position: mark.position,
            pages: written.pages,
            bytes: written.bytes,
            took_ms: took.as_millis() as u64,
        };
        self.shown.sequence.set(checkpointed.sequence);
        self.shown.position.set(checkpointed.position);
        self.shown.pages.set(checkpointed.pages);
        self.shown.bytes.set(checkpointed.bytes);
        self.shown.write_ms.set(checkpointed.took_ms);
        if let Some(Err(error)) = &written.snapshot {
            self.note_failure(error.to_string());
        }
        checkpointed
    }

    /// Ends what would take over; comes to the end of what was decided and writes it, if that is wanted. Takes no longer than a
    /// few times the limit of a stop: a checkpoint that is not through by then is given up.
    fn finish(&mut self) {
        self.end_exchanges();
        if let Some(done) = self.writing.wait(self.setting.stop_max) {
            self.note(done);
        }
        if !self.flags.writes.load(Ordering::Acquire) || self.setting.interval.is_none() {
            return;
        }
        self.come_to_the_end();
        match self.mark() {
            Some(mark) if self.last_mark != Some(mark) => {
                if let Err(error) = self.write_last(mark) {
                    tracing::warn!("checkpoint: the last one was not written: {error}");
                }
            }
            Some(_) => {}
            None => tracing::warn!("checkpoint: the last one was not written: the replica is at no mark"),
        }
    }

    fn write_last(&mut self, mark: DecisionMark) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let Some(writer) = self.writing.here() else {
                return Err("the one before is still being written".to_owned());
            };
            writer.set_gentle(false);
            self.begin_write(mark, false);
            let left = self.setting.stop_max.saturating_sub(started.elapsed());
            let Some(done) = self.writing.wait(left) else {
                return Err(format!(
                    "it took longer than {} ms",
                    started.elapsed().as_millis()
                ));
            };
            if let Some(outcome) = self.note(done) {
                return outcome.map(|_| ());
            }
        }
    }

    fn come_to_the_end(&mut self) {
        let started = Instant::now();
        while started.elapsed() < self.setting.stop_max {
            let taken = self.follow();
            let Some(follower) = &self.follower else { return };
            let is_at_end = follower.replica().place().sequence >= follower.decided_sequence();
            if taken == 0 && (is_at_end || follower.followed().journal.has_failed()) {
                return;
            }
            if taken == 0 {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Ends whatever is under way to take over.
    fn end_exchanges(&mut self) {
        self.backfill.iter().for_each(Backfill::cancel);
        self.model_swap.iter().for_each(ModelSwap::cancel);
        while self.backfill.is_some() || self.model_swap.is_some() {
            self.look_at_backfill();
            self.look_at_model_swap();
            std::thread::sleep(PAUSE);
        }
    }

    fn answer(&mut self, job: Job) {
        let Job { request, reply } = job;
        let outcome = match request {
            Request::FeaturesGet { entity, as_of_ns } => self
                .with_replica(|replica, standing| admin::features::get(replica, standing, &entity, as_of_ns))
                .map(Answer::Features),
            Request::FeaturesDigest => self
                .with_replica(|replica, standing| Ok(admin::features::digest(replica, standing)))
                .map(Answer::Digest),
            Request::Checkpoint => self.write_now().map(Answer::Checkpoint),
            Request::Status => self.status().map(Answer::Status),
            Request::FeaturesBackfill { set, from } => {
                match self.begin_backfill(&set, from.as_deref(), &reply) {
                    // It answers when it is through.
                    Ok(()) => return,
                    Err(reason) => Err(reason),
                }
            }
            Request::ModelSwap { model } => match self.begin_model_swap(&model, &reply) {
                Ok(()) => return,
                Err(reason) => {
                    self.swaps_refused.increment();
                    tracing::warn!("model swap: {reason}");
                    Err(reason)
                }
            },
        };
        reply.end(outcome.map_or_else(Response::Error, Response::Result));
    }

    fn with_replica<T>(
        &self,
        ask: impl FnOnce(&Replica, Standing) -> Result<T, String>,
    ) -> Result<T, String> {
        match &self.follower {
            Some(follower) => ask(
                follower.replica(),
                self.engine.standing(follower.replica().place()),
            ),
            None => {
                let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
                Err(health.failure.clone().unwrap_or_default())
            }
        }
    }

    /// Brings the replica to what is decided now, or further, and writes it there.
    fn write_now(&mut self) -> Result<Checkpointed, String> {
        if self.setting.interval.is_none() {
            return Err("checkpoint.enabled is false, expected true".to_owned());
        }
        let started = Instant::now();
        let wanted = self.follower.as_ref().map_or(0, Follower::decided_sequence);
        loop {
            match self.collect() {
                Some(Ok(written)) if written.sequence >= wanted => return Ok(written),
                Some(Err(reason)) => return Err(reason),
                _ => {}
            }
            let taken = self.follow();
            if let Some(mark) = self.mark().filter(|mark| mark.sequence >= wanted) {
                // Somebody waits for it.
                self.begin_write(mark, false);
            }
            if self.follower.is_none() || started.elapsed() > self.setting.stop_max {
                return Err(format!(
                    "no checkpoint of payment {wanted} in {} ms; it is written when it can be",
                    started.elapsed().as_millis()
                ));
            }
            std::thread::sleep(self.pause_after(taken));
        }
    }

    fn status(&self) -> Result<Status, String> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (set, replica) =
            self.with_replica(|replica, standing| Ok((admin::features::set_name(replica.set()), standing)))?;
        Ok(Status {
            set,
            replica,
            checkpoint_sequence: health.sequence,
            checkpoint_age_s: health.written.map(|written| written.elapsed().as_secs()),
            checkpoint_failures: health.failures,
            checkpoint_error: health.failure,
            is_backfilling: self.backfill.is_some(),
            is_swapping_model: self.model_swap.is_some(),
        })
    }

    fn begin_backfill(&mut self, set: &Path, from: Option<&str>, reply: &admin::Reply) -> Result<(), String> {
        let Some(follower) = &self.follower else {
            return Err("there is no replica".to_owned());
        };
        self.check_idle()?;
        let Some(exchange) = self.exchange.take() else {
            return Err("this engine cannot exchange its feature set".to_owned());
        };
        let (what, with) = ((set, from), (follower, exchange, &self.setting));
        match Backfill::begin(&self.config, what, with, (&self.counters, reply)) {
            Ok(backfill) => {
                self.backfill = Some(backfill);
                Ok(())
            }
            Err((exchange, reason)) => {
                self.exchange = exchange;
                Err(reason)
            }
        }
    }

    /// One exchange at a time: each needs to know what is in force.
    fn check_idle(&self) -> Result<(), String> {
        let under_way = match (&self.backfill, &self.model_swap) {
            (Some(_), _) => "a backfill",
            (_, Some(_)) => "the exchange of a model",
            _ => return Ok(()),
        };
        Err(format!("{under_way} is under way, expected none"))
    }

    fn begin_model_swap(&mut self, model: &Path, reply: &admin::Reply) -> Result<(), String> {
        let Some(follower) = &self.follower else {
            return Err("there is no replica".to_owned());
        };
        self.check_idle()?;
        let Some(exchange) = self.model_exchange.take() else {
            return Err("this engine cannot exchange its model".to_owned());
        };
        let with = (follower, exchange, &self.setting);
        match ModelSwap::begin(&self.config, model, with, (&self.counters, reply)) {
            Ok(model_swap) => {
                self.model_swap = Some(model_swap);
                Ok(())
            }
            Err((exchange, reason)) => {
                self.model_exchange = exchange;
                Err(reason)
            }
        }
    }

    /// Takes over what the exchange of a model has made, once it is through.
    fn look_at_model_swap(&mut self) {
        let Some(model_swap) = self.model_swap.take_if(|swap| swap.is_finished()) else {
            return;
        };
        let (ended, reply) = model_swap.end();
        let outcome = match ended {
            Some(ended) => {
                self.model_exchange = Some(ended.exchange);
                if ended.is_unanswered {
                    self.follower = None;
                    self.note_failure("nobody knows which model is in force".to_owned());
                }
                ended.outcome
            }
            None => Err("the exchange of the model panicked".to_owned()),
        };
        let taken_over = outcome.and_then(|(replica, config, swapped)| {
            self.config = config;
            self.take_over(replica, swapped.first_sequence - 1)?;
            self.watch_drift();
            Ok(swapped)
        });
        match &taken_over {
            Ok(swapped) => tracing::info!(
                "model {} version {} ({}) is in force from payment {} on",
                swapped.model.name,
                swapped.model.version,
                swapped.model.hash,
                swapped.first_sequence
            ),
            Err(reason) => {
                self.swaps_refused.increment();
                tracing::warn!("model swap: {reason}");
            }
        }
        let answer = taken_over.map(Answer::Swapped);
        reply.end(answer.map_or_else(Response::Error, Response::Result));
    }

    /// Counts the drift of the inputs of the model that is in force now.
    fn watch_drift(&mut self) {
        let Some(follower) = &self.follower else { return };
        let folder =
            locate(Path::new(&self.config.score.model)).and_then(|folder| ModelFolder::open(&folder));
        match folder {
            Ok(folder) => {
                let has_scores = follower.replica().scorer().is_some();
                let section = &self.config.drift;
                self.drift = Watch::new(section, &folder.manifest, has_scores, &self.counters);
            }
            Err(error) => self.note_failure(format!("drift: {error}")),
        }
    }

    /// Takes over what a backfill has made, once it is through.
    fn look_at_backfill(&mut self) {
        let Some(backfill) = self.backfill.take_if(|backfill| backfill.is_finished()) else {
            return;
        };
        let (ended, reply) = backfill.end();
        let outcome = match ended {
            Some(ended) => {
                self.exchange = Some(ended.exchange);
                ended.outcome
            }
            None => Err("the backfill panicked".to_owned()),
        };
        let taken_over = outcome.and_then(|(replica, backfilled)| {
            self.take_over(replica, backfilled.first_sequence - 1)?;
            Ok(backfilled)
        });
        match &taken_over {
            Ok(backfilled) => tracing::info!(
                "feature set {} version {} ({}) is in force from payment {} on",
                backfilled.set.name,
                backfilled.set.version,
                backfilled.set.hash,
                backfilled.first_sequence
            ),
            Err(reason) => tracing::warn!("backfill: {reason}"),
        }
        let answer = taken_over.map(Answer::Backfilled);
        reply.end(answer.map_or_else(Response::Error, Response::Result));
    }

    /// Goes on with the replica of another set or model, which is in force from behind the payment `sequence`.
    fn take_over(&mut self, replica: Replica, sequence: u64) -> Result<(), String> {
        let Some(follower) = self.follower.take() else {
            return Err("there is no replica to take the place of".to_owned());
        };
        match follower.with(replica, sequence, self.setting.stop_max) {
            Ok(Some(follower)) => {
                let writer = writer(&self.config, follower.replica(), self.setting.journal_id);
                self.follower = Some(follower);
                self.writing.succeed(writer);
                self.last_mark = None;
                Ok(())
            }
            Ok(None) => {
                let reason = "the new replica does not come to where it took over";
                self.note_failure(reason.to_owned());
                Err(reason.to_owned())
            }
            Err(error) => {
                self.stop_following(&error);
                Err(error.to_string())
            }
        }
    }
}

/// Whether what the replica is of may be out of force already.
fn is_swapping(backfill: Option<&Backfill>, model_swap: Option<&ModelSwap>) -> bool {
    backfill.is_some_and(Backfill::is_swapping) || model_swap.is_some_and(ModelSwap::is_swapping)
}

/// A writer for checkpoints of `replica`, beside a running engine.
fn writer(config: &Config, replica: &Replica, journal_id: u64) -> Writer {
    let mut writer = Writer::new(&config.checkpoint(), &identity(config, replica, journal_id));
    writer.set_gentle(true);
    writer
}
