//! Puts another model in force while the engine runs, or the same one with its bank made anew.
//!
//! ```text
//!   journal ─▶ new Replica ── nearly there: its scorer once more ─┐
//!                  └───────── every later payment to both ────────┼─▶ scorer at n ─── Swap ──▶ ScoreAgent
//!   ScoreAgent ─── Copy: what it scores, from s0 on ─▶ ring ──────┘      rest of the ring ──▶    │
//!                  ◀──────────── the former scorer, to be dropped here ──────────────────────────┘
//! ```
//!
//! The new model's cases are made from the journal, each payment by the vector that it was served with, as a start with
//! that model would make them; where search is by cells, they are laid out anew. Then it goes as with a feature set
//! ([`crate::backfill`]). The new replica takes the place of the snapshotter's.
//!
//! Invariant: the new scorer takes every payment of the journal exactly once, in order; what takes over is noted in
//! `models.jsonl` before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pinion_journal::Reader;
use pinion_publish::DecisionMark;
use pinion_runtime::control::ConductorEnd;
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::pace::Pace;
use pinion_runtime::ring::{Consumer, ring};
use pinion_schemas::records::FeatureRecord;
use pinion_score::exchange::Swap;
use pinion_score::{ScoreCommand, ScoreRetired, Scorer};

use crate::admin::{ModelName, Reply, Swapped, hash_text};
use crate::config::Config;
use crate::exchanging::{
    ANSWER_MAX, ATTEMPTS_MAX, Exchanging, Flags, INPUTS_MAX, NEAR, PAUSE, RING_LOOKS, Teller, now_ns, text,
};
use crate::feature_sets::{History, InForce};
use crate::models::{Known, ModelLog, Scoring, Step};
use crate::replica::{Followed, Follower, Replica, copy_into_fresh, scorer};
use crate::snapshotter::Snapshotting;

/// Records that the agent is left to take: each of them is scored a second time.
const LEFT_MAX: usize = 16;

/// Payments that may be scored while a new scorer is brought up to them: 5 MiB.
const COPIES_MAX: usize = 8192;

/// The conductor's end of the way to the score agent.
pub type ModelExchange = ConductorEnd<ScoreCommand, ScoreRetired>;

/// An exchange on its own thread.
pub(crate) type ModelSwap = Exchanging<Ended>;

/// What an exchange came to: the way to the agent back, and the new replica with the configuration of its model.
pub(crate) struct Ended {
    pub(crate) exchange: ModelExchange,
    /// Nobody knows which model is in force.
    pub(crate) is_unanswered: bool,
    pub(crate) outcome: Result<(Replica, Config, Swapped), String>,
}

impl ModelSwap {
    /// Begins to bring the model in the folder `model` up. `reply` gets progress.
    ///
    /// # Errors
    /// Why not, with the exchange back unless it was lost with a thread that could not be made.
    pub(crate) fn begin(
        config: &Config,
        model: &Path,
        (follower, exchange, setting): (&Follower, ModelExchange, &Snapshotting),
        (counters, reply): (&Counters, &Reply),
    ) -> Result<Self, (Option<ModelExchange>, String)> {
        let flags = Arc::new(Flags::default());
        let mut wanted = config.clone();
        wanted.score.model = model.display().to_string();
        let work = Work {
            former: config.score.model.clone(),
            config: wanted,
            followed: follower.followed().clone(),
            journal_id: setting.journal_id,
            copies_max: setting.copies_max.min(COPIES_MAX),
            configured: setting.configured_model,
            exchange,
            noted: None,
            is_unanswered: false,
            flags: flags.clone(),
            teller: Teller::new("model_swap", counters, reply),
            retries: counters.counter("model_swap.retries"),
            pace: Pace::GENTLE,
            started: Instant::now(),
        };
        let with = (reply, flags);
        Self::spawn(setting.housekeeping, "model-swap", with, move || {
            work.run_to_the_end()
        })
        .map_err(|error| (None, format!("no thread for a model: {error}")))
    }
}

fn model_name(known: &Known) -> ModelName {
    ModelName {
        name: known.name.clone(),
        version: known.version,
        hash: hash_text(known.hash),
        folder: known.folder.clone(),
    }
}

/// The new scorer on its way to the agent, and the ring through which it catches up with it.
struct Attempt {
    scorer: Box<Scorer>,
    /// The last payment that it has taken.
    sequence: u64,
    ring: Consumer<FeatureRecord>,
}

impl Attempt {
    /// Takes what the agent has scored, as far as nothing is missing in between.
    fn drain(&mut self) {
        for _ in 0..self.ring.capacity() {
            let next = self.sequence + 1;
            let is_next = |record: &&FeatureRecord| record.payment.origin.sequence <= next;
            if self.ring.peek().filter(is_next).is_none() {
                break;
            }
            if let Some(record) = self.ring.try_pop()
                && record.payment.origin.sequence == next
            {
                self.scorer.follow(&record.payment, &record.features);
                self.sequence = next;
            }
        }
    }

    /// Whether the agent can do the rest; `decided` is the last payment that has left the engine.
    fn is_ready(&self, decided: u64) -> bool {
        let is_joined = match self.ring.peek() {
            Some(record) => record.payment.origin.sequence <= self.sequence + 1,
            None => self.sequence >= decided,
        };
        is_joined && self.ring.len() <= LEFT_MAX
    }
}

/// What an attempt came to.
enum Outcome {
    /// From this payment on scores are the new model's.
    Done { first_sequence: u64 },
    /// The ring ran full; the scorer is good for another attempt.
    Overflow(Box<Scorer>, u64),
}

/// What the thread owns.
struct Work {
    /// With the new model.
    config: Config,
    /// The folder of the former one.
    former: String,
    followed: Arc<Followed>,
    journal_id: u64,
    copies_max: usize,
    /// Hash of the model that `score.model` names.
    configured: u64,
    exchange: ModelExchange,
    /// The log, and what is in it of the new model; none: it was not noted yet.
    noted: Option<(ModelLog, Scoring)>,
    /// Nobody knows whether the agent has the model.
    is_unanswered: bool,
    flags: Arc<Flags>,
    teller: Teller,
    retries: Counter,
    pace: Pace,
    started: Instant,
}

impl Work {
    fn run_to_the_end(mut self) -> Ended {
        let outcome = self.run();
        let outcome = outcome.map(|(replica, swapped)| (replica, self.config, swapped));
        Ended {
            exchange: self.exchange,
            is_unanswered: self.is_unanswered,
            outcome,
        }
    }

    fn run(&mut self) -> Result<(Replica, Swapped), String> {
        self.retries.set(0);
        while self.exchange.next_retired().is_some() {}
        self.teller.tell("load", 0, self.decided());
        let model = Known::find(&self.config.score.model).map_err(text)?;
        let former = Known::find(&self.former).map_err(text)?;
        self.config.score.model = model.folder.display().to_string();
        let sets = self.sets()?;
        let mut replica = Replica::with_cases(&self.config, &sets).map_err(text)?;
        let mut inputs = Reader::open(&self.followed.dir).map_err(text)?;
        self.read_journal(&mut replica, &mut inputs)?;
        let mut scoring = Scoring::always(model);
        if self.config.score.bank.approximate_from_rows > 0 {
            self.teller
                .tell("cluster", replica.place().sequence, self.decided());
            replica.cluster();
            scoring.clustered_behind = replica.scoring().clustered_behind;
        }
        let exchanged = self.exchange(&mut replica, &mut inputs, &scoring);
        self.note_end(exchanged.as_ref().ok().copied());
        let first_sequence = exchanged?;
        self.drop_the_ring();
        scoring.sequence = first_sequence - 1;
        replica.came_into_force(scoring.sequence);
        let swapped = Swapped {
            model: model_name(&scoring.model),
            former: model_name(&former),
            first_sequence,
            cases: replica.scorer().map_or(0, |scorer| scorer.bank().tally().rows),
            retries: self.retries.get() as u32,
            took_ms: self.started.elapsed().as_millis() as u64,
        };
        Ok((replica, swapped))
    }

    /// The sets that served the journal, the last one in force.
    fn sets(&self) -> Result<Vec<InForce>, String> {
        let history = History::read(&self.followed.dir, self.journal_id).map_err(text)?;
        let sets = history.in_force(self.followed.end()).map_err(text)?;
        if sets.is_empty() {
            return Err("no feature set is noted beside the journal, expected one".to_owned());
        }
        Ok(sets)
    }

    /// Notes the model beside the journal before the agent gets it, so that no end of the process can lose it.
    fn note_prepared(&mut self, scoring: &Scoring, sequence: u64) -> Result<(), String> {
        if self.noted.is_none() {
            let mut log = ModelLog::read(&self.followed.dir, self.journal_id).map_err(text)?;
            let scoring = Scoring {
                sequence,
                ..scoring.clone()
            };
            log.note(Step::Prepared, &scoring, self.configured, now_ns())
                .map_err(text)?;
            self.noted = Some((log, scoring));
        }
        Ok(())
    }

    /// Notes what became of the model. If that is not known, or cannot be written, the next start finds it out.
    fn note_end(&mut self, first_sequence: Option<u64>) {
        let Some((log, scoring)) = &mut self.noted else {
            return;
        };
        if self.is_unanswered && first_sequence.is_none() {
            return;
        }
        let step = first_sequence.map_or(Step::Dropped, |_| Step::Done);
        scoring.sequence = first_sequence.map_or(scoring.sequence, |first| first - 1);
        if let Err(error) = log.note(step, scoring, self.configured, now_ns()) {
            tracing::warn!("model swap: {error}; the next start finds out what became of the model");
        }
    }

    /// The agent gives the ring back after the former scorer; if it takes its time, the next exchange drops it.
    fn drop_the_ring(&mut self) {
        for _ in 0..RING_LOOKS {
            if self.exchange.next_retired().is_some() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Takes the journal up to shortly before its end.
    fn read_journal(&mut self, replica: &mut Replica, inputs: &mut Reader) -> Result<(), String> {
        let mut turns_near = 0;
        loop {
            let taken = self.follow(inputs, |inputs| {
                replica.run(inputs, u64::MAX, INPUTS_MAX, |_, _| ())
            })?;
            let (done, of) = (replica.place().sequence, self.decided());
            self.teller.tell("journal", done, of);
            if of.saturating_sub(done) <= NEAR {
                turns_near += 1;
                // Cells are laid out over all that is in the journal, unless that grows as fast as it is read.
                if taken < INPUTS_MAX || turns_near * INPUTS_MAX as u64 > NEAR {
                    return Ok(());
                }
            }
        }
    }

    /// Attempts until the agent runs the new scorer. Returns the first payment whose score is the new model's.
    fn exchange(
        &mut self,
        replica: &mut Replica,
        inputs: &mut Reader,
        scoring: &Scoring,
    ) -> Result<u64, String> {
        self.teller.tell("copy", replica.place().sequence, self.decided());
        let mut copy = scorer(&self.config, replica.set()).map_err(text)?;
        copy_into_fresh(
            replica.scorer().expect("it knows the cases"),
            copy.as_mut(),
            self.pace,
        );
        let mut sequence = replica.place().sequence;
        for _ in 0..ATTEMPTS_MAX {
            while sequence + NEAR < self.decided() {
                sequence = self.follow_both(replica, inputs, (copy.as_mut(), sequence))?;
            }
            let (copies, ring) = ring(self.copies_max);
            self.send(ScoreCommand::Copy(copies))?;
            let attempt = Attempt {
                scorer: copy,
                sequence,
                ring,
            };
            match self.attempt(replica, inputs, scoring, attempt)? {
                Outcome::Done { first_sequence } => return Ok(first_sequence),
                Outcome::Overflow(again, further) => (copy, sequence) = (again, further),
            }
            self.retries.increment();
        }
        Err(format!(
            "the engine was faster than the new model in {ATTEMPTS_MAX} attempts; the former one stays in force"
        ))
    }

    fn attempt(
        &mut self,
        replica: &mut Replica,
        inputs: &mut Reader,
        scoring: &Scoring,
        mut attempt: Attempt,
    ) -> Result<Outcome, String> {
        attempt.scorer.prepare().map_err(text)?;
        loop {
            let place = (attempt.scorer.as_mut(), attempt.sequence);
            attempt.sequence = self.follow_both(replica, inputs, place)?;
            attempt.drain();
            self.teller.tell("catch up", attempt.sequence, self.decided());
            if let Some(ScoreRetired::Copy(_)) = self.exchange.next_retired() {
                return Ok(Outcome::Overflow(attempt.scorer, attempt.sequence));
            }
            if !attempt.is_ready(self.decided()) {
                continue;
            }
            self.teller.tell("swap", attempt.sequence, self.decided());
            self.note_prepared(scoring, attempt.sequence)?;
            match self.swap(attempt)? {
                Ok(first_sequence) => return Ok(Outcome::Done { first_sequence }),
                Err((again, true)) => return Ok(Outcome::Overflow(again.scorer, again.sequence)),
                Err((again, false)) => attempt = again,
            }
        }
    }

    /// Lets replica and scorer take what the journal has. Returns how far the scorer is.
    fn follow_both(
        &mut self,
        replica: &mut Replica,
        inputs: &mut Reader,
        (scorer, sequence): (&mut Scorer, u64),
    ) -> Result<u64, String> {
        self.follow(inputs, |inputs| {
            replica.run_served(inputs, INPUTS_MAX, |record, served| {
                if record.origin.sequence > sequence {
                    scorer.follow(record, served);
                }
            })
        })?;
        // Payments that this configuration does not accept have a sequence, too.
        Ok(sequence.max(replica.place().sequence))
    }

    /// Takes what the journal has. Returns the inputs taken.
    fn follow<E: ToString>(
        &mut self,
        inputs: &mut Reader,
        take: impl FnOnce(&mut Reader) -> Result<usize, E>,
    ) -> Result<usize, String> {
        self.flags.check()?;
        inputs.set_end(self.followed.end());
        let taken = take(inputs).map_err(text)?;
        if taken < INPUTS_MAX {
            std::thread::sleep(PAUSE);
        }
        self.pace.step();
        Ok(taken)
    }

    /// Hands the scorer to the agent. Returns the first payment whose score is the new model's, or the attempt back and
    /// whether its ring ran full.
    fn swap(&mut self, attempt: Attempt) -> Result<Result<u64, (Attempt, bool)>, String> {
        self.flags.is_swapping.store(true, Ordering::Release);
        self.send(ScoreCommand::Swap(Box::new(Swap {
            scorer: *attempt.scorer,
            next_sequence: attempt.sequence + 1,
            catch_up: attempt.ring,
        })))?;
        let (started, mut has_overflowed) = (Instant::now(), false);
        loop {
            match self.exchange.next_retired() {
                Some(ScoreRetired::Swap {
                    is_done: true,
                    sequence,
                    ..
                }) => return Ok(Ok(sequence + 1)),
                Some(ScoreRetired::Swap { swap, .. }) => {
                    self.flags.is_swapping.store(false, Ordering::Release);
                    let Swap {
                        scorer,
                        next_sequence,
                        catch_up: ring,
                    } = *swap;
                    let attempt = Attempt {
                        scorer: Box::new(scorer),
                        sequence: next_sequence - 1,
                        ring,
                    };
                    return Ok(Err((attempt, has_overflowed)));
                }
                Some(ScoreRetired::Copy(_)) => has_overflowed = true,
                None if self.exchange.is_abandoned() || started.elapsed() > ANSWER_MAX => {
                    self.is_unanswered = true;
                    return Err("the score agent does not answer".to_owned());
                }
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    fn send(&mut self, command: ScoreCommand) -> Result<(), String> {
        let sent = self.exchange.send(command);
        sent.map_err(|_| "the score agent takes no commands".to_owned())
    }

    /// The last payment that publish has let out.
    fn decided(&self) -> u64 {
        DecisionMark::from_words(self.followed.progress.get()).sequence
    }
}
