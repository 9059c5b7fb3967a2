//! Computes another feature set from the journal while the one in force serves, then puts it in force.
//!
//! ```text
//!   journal ─▶ new Replica ── nearly there: its store once more ─┐
//!                  └───────── every later payment to both ───────┼─▶ store at n ─── Swap ──▶ FeatureAgent
//!   FeatureAgent ─── Copy: what it applies, from s0 on ─▶ ring ──┘      rest of the ring ──▶    │
//!                  ◀──────────── the former store, to be dropped here ──────────────────────────┘
//! ```
//!
//! The journal brings the new store up to s0 − 1, the ring from there on. The agent drains what little is left and
//! swaps between two events; nothing waits for it. A ring that runs full, or an agent too busy to catch up, costs an
//! attempt, not an event. The new replica then takes the place of the snapshotter's.
//!
//! Invariant: the new store is applied every payment of the journal exactly once, in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pinion_features::set::{FeatureSet, canonical};
use pinion_features::{FeatureCommand, FeatureRetired, FeatureStore, Swap};
use pinion_journal::Reader;
use pinion_publish::DecisionMark;
use pinion_runtime::control::ConductorEnd;
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::pace::Pace;
use pinion_runtime::ring::{Consumer, ring};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord};
use pinion_score::manifest::{ModelFolder, locate};

use crate::admin::features::set_name;
use crate::admin::{Backfilled, Reply};
use crate::config::Config;
use crate::exchanging::{
    ANSWER_MAX, ATTEMPTS_MAX, Exchanging, Flags, INPUTS_MAX, NEAR, PAUSE, RING_LOOKS, Teller, now_ns, text,
};
use crate::feature_sets::{History, Known, Step};
use crate::replica::{Followed, Follower, Replica, Since, copy_into_fresh, feature_store};
use crate::snapshotter::Snapshotting;

/// The conductor's end of the way to the feature agent.
pub type Exchange = ConductorEnd<FeatureCommand, FeatureRetired>;

/// Records that the agent is left to drain.
const LEFT_MAX: usize = 64;

/// A backfill on its own thread.
pub(crate) type Backfill = Exchanging<Ended>;

/// What a backfill came to: the way to the agent back, and the new replica.
pub(crate) struct Ended {
    pub(crate) exchange: Exchange,
    pub(crate) outcome: Result<(Replica, Backfilled), String>,
}

impl Backfill {
    /// Begins to compute the set in the file `set`, over events from the day `from` on. `reply` gets progress.
    ///
    /// # Errors
    /// Why not, with the exchange back unless it was lost with a thread that could not be made.
    pub(crate) fn begin(
        config: &Config,
        (set, from): (&Path, Option<&str>),
        (follower, exchange, setting): (&Follower, Exchange, &Snapshotting),
        (counters, reply): (&Counters, &Reply),
    ) -> Result<Self, (Option<Exchange>, String)> {
        let former = follower.replica().set().clone();
        // The replica may be behind the engine.
        let watermark = counters.value("features.watermark_ns").unwrap_or_default();
        let newest_ns = follower.replica().place().event_ns.max(watermark as i64);
        let (set, from_ns) = match prepare(config, (set, from), (follower.replica(), newest_ns)) {
            Ok(prepared) => prepared,
            Err(reason) => return Err((Some(exchange), reason)),
        };
        let history = match History::read(&follower.followed().dir, setting.journal_id) {
            Ok(history) => history,
            Err(error) => return Err((Some(exchange), error.to_string())),
        };
        let flags = Arc::new(Flags::default());
        let work = Work {
            config: config.clone(),
            set,
            history,
            is_noted: false,
            is_unanswered: false,
            former,
            since: from_ns.map(|from_ns| Since {
                from_ns,
                until_sequence: u64::MAX,
            }),
            followed: follower.followed().clone(),
            exchange,
            copies_max: setting.copies_max,
            flags: flags.clone(),
            teller: Teller::new("backfill", counters, reply),
            retries: counters.counter("backfill.retries"),
            pace: Pace::GENTLE,
            started: Instant::now(),
        };
        let with = (reply, flags);
        Self::spawn(setting.housekeeping, "backfill", with, move || {
            work.run_to_the_end()
        })
        .map_err(|error| (None, format!("no thread for a backfill: {error}")))
    }
}

/// Reads and checks what was asked for.
fn prepare(
    config: &Config,
    (file, from): (&Path, Option<&str>),
    (former, newest_ns): (&Replica, i64),
) -> Result<(Known, Option<i64>), String> {
    let (set, text) = FeatureSet::load_with_text(file).map_err(|error| error.to_string())?;
    let from_ns = from.map(|text| from_ns(text, newest_ns)).transpose()?;
    check_model(config, &set, former.set())?;
    Ok((Known::new(set, &text), from_ns))
}

/// Start of the day `text`, unless nothing of what the engine knows would count from there on.
fn from_ns(text: &str, newest_ns: i64) -> Result<i64, String> {
    let from_ns = day_ns(text)?;
    if newest_ns > 0 && from_ns <= newest_ns {
        return Ok(from_ns);
    }
    let newest = jiff::Timestamp::from_nanosecond(newest_ns.into()).unwrap_or_default();
    let expected = if newest_ns > 0 {
        format!("a day up to that of the newest event, {newest:.0}")
    } else {
        "none while there is no payment".to_owned()
    };
    Err(format!("from is \"{text}\", expected {expected}"))
}

/// Start of the day `text`, UTC. Unit: ns since the Unix epoch.
fn day_ns(text: &str) -> Result<i64, String> {
    let refused = |_| format!("from is \"{text}\", expected a day such as \"2026-01-31\"");
    let day: jiff::civil::Date = text.parse().map_err(refused)?;
    let start = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(refused)?;
    let start_ns = start.timestamp().as_nanosecond();
    i64::try_from(start_ns).map_err(|_| format!("from is \"{text}\", expected a day from 1678 to 2262"))
}

/// The model in force reads the first places of the vector: they must stay what they are.
fn check_model(config: &Config, set: &FeatureSet, former: &FeatureSet) -> Result<(), String> {
    let model = locate(Path::new(&config.score.model)).and_then(|folder| ModelFolder::open(&folder));
    let slots = model.map_err(|error| error.to_string())?.manifest.features.len();
    if canonical::hash_of_first(set, slots) == canonical::hash_of_first(former, slots) {
        return Ok(());
    }
    let (lines, expected) = (canonical::slot_lines(set), canonical::slot_lines(former));
    let place = (0..slots).find(|&slot| lines.get(slot) != expected.get(slot));
    let line = |lines: &[String]| {
        place
            .and_then(|slot| lines.get(slot).cloned())
            .unwrap_or_default()
    };
    Err(format!(
        "slot {} of {} version {} is \"{}\", expected \"{}\": the model in force reads the first {slots} slots \
         (append features at the end)",
        place.unwrap_or_default(),
        set.name,
        set.version,
        line(&lines),
        line(&expected)
    ))
}

/// The new store on its way to the agent.
struct Store {
    store: Box<FeatureStore>,
    /// The last payment applied to it.
    sequence: u64,
    since: Option<Since>,
}

impl Store {
    /// Applies a payment unless it was applied before.
    fn apply(&mut self, record: &PaymentRecord) {
        if record.origin.sequence > self.sequence {
            let shaped = self.since.map_or(*record, |since| since.shape(record));
            self.store.apply(&shaped, &mut [0.0; FEATURES_MAX]);
            self.sequence = record.origin.sequence;
        }
    }
}

/// A store that catches up with the agent through a ring.
struct Attempt {
    store: Store,
    ring: Consumer<PaymentRecord>,
}

impl Attempt {
    /// Applies what the agent has applied, as far as nothing is missing in between.
    fn drain(&mut self) {
        for _ in 0..self.ring.capacity() {
            let next = self.store.sequence + 1;
            let is_next = |record: &&PaymentRecord| record.origin.sequence <= next;
            if self.ring.peek().filter(is_next).is_none() {
                break;
            }
            if let Some(record) = self.ring.try_pop() {
                self.store.apply(&record);
            }
        }
    }

    /// Whether the agent can do the rest; `decided` is the last payment that has left the engine.
    fn is_ready(&self, decided: u64) -> bool {
        let sequence = self.store.sequence;
        let is_joined = match self.ring.peek() {
            Some(record) => record.origin.sequence <= sequence + 1,
            None => sequence >= decided,
        };
        is_joined && self.ring.len() <= LEFT_MAX
    }
}

/// What an attempt came to.
enum Outcome {
    /// From this payment on vectors are the new set's.
    Done { first_sequence: u64 },
    /// The ring ran full; the store is good for another attempt.
    Overflow(Store),
}

/// What the thread owns.
struct Work {
    config: Config,
    set: Known,
    /// Which sets served, beside the journal.
    history: History,
    /// The set was noted as prepared.
    is_noted: bool,
    /// Nobody knows whether the agent has the set.
    is_unanswered: bool,
    former: Arc<FeatureSet>,
    since: Option<Since>,
    followed: Arc<Followed>,
    exchange: Exchange,
    copies_max: usize,
    flags: Arc<Flags>,
    teller: Teller,
    retries: Counter,
    pace: Pace,
    started: Instant,
}

impl Work {
    fn run_to_the_end(mut self) -> Ended {
        let outcome = self.run();
        Ended {
            exchange: self.exchange,
            outcome,
        }
    }

    fn run(&mut self) -> Result<(Replica, Backfilled), String> {
        self.retries.set(0);
        while self.exchange.next_retired().is_some() {}
        let mut replica = Replica::new(&self.config, self.set.set.clone()).map_err(text)?;
        replica.set_since(self.since);
        let mut inputs = Reader::open(&self.followed.dir).map_err(text)?;
        self.read_journal(&mut replica, &mut inputs)?;
        self.teller.tell("copy", replica.place().sequence, self.decided());
        let mut store = Store {
            store: Box::new(feature_store(&self.config, &self.set.set).map_err(text)?),
            sequence: replica.place().sequence,
            since: self.since,
        };
        copy_into_fresh(replica.store(), store.store.as_mut(), self.pace);
        let exchanged = self.exchange(&mut replica, &mut inputs, store);
        self.note_end(exchanged.as_ref().ok().copied(), &replica);
        let first_sequence = exchanged?;
        self.drop_the_ring();
        let backfilled = Backfilled {
            set: set_name(&self.set.set),
            former: set_name(&self.former),
            first_sequence,
            // What the agent applied after the replica's last came live, and counts.
            payments: replica.counted() + first_sequence - 1 - replica.place().sequence,
            retries: self.retries.get() as u32,
            took_ms: self.started.elapsed().as_millis() as u64,
        };
        Ok((replica, backfilled))
    }

    /// Notes the set beside the journal before the agent gets it, so that no end of the process can lose it.
    fn note_prepared(&mut self, sequence: u64) -> Result<(), String> {
        if !self.is_noted {
            let place = (sequence, now_ns());
            let noted = self.history.note(Step::Prepared, (&self.set, self.since), place);
            noted.map_err(text)?;
            self.is_noted = true;
        }
        Ok(())
    }

    /// Notes what became of the set. If that is not known, or cannot be written, the next start finds it out.
    fn note_end(&mut self, first_sequence: Option<u64>, replica: &Replica) {
        if !self.is_noted || (self.is_unanswered && first_sequence.is_none()) {
            return;
        }
        let step = first_sequence.map_or(Step::Dropped, |_| Step::Done);
        let sequence = first_sequence.map_or(replica.place().sequence, |first| first - 1);
        let noted = self
            .history
            .note(step, (&self.set, self.since), (sequence, now_ns()));
        if let Err(error) = noted {
            tracing::warn!("backfill: {error}; the next start finds out what became of the set");
        }
    }

    /// The agent gives the ring back after the former store; if it takes its time, the next backfill drops it.
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
        loop {
            self.flags.check()?;
            inputs.set_end(self.followed.end());
            let taken = replica
                .run(inputs, u64::MAX, INPUTS_MAX, |_, _| ())
                .map_err(text)?;
            let (done, of) = (replica.place().sequence, self.decided());
            self.teller.tell("journal", done, of);
            if of.saturating_sub(done) <= NEAR {
                return Ok(());
            }
            if taken == 0 {
                std::thread::sleep(PAUSE);
            }
            self.pace.step();
        }
    }

    /// Attempts until the agent runs the new store. Returns the first payment whose vector is the new set's.
    fn exchange(
        &mut self,
        replica: &mut Replica,
        inputs: &mut Reader,
        mut store: Store,
    ) -> Result<u64, String> {
        for _ in 0..ATTEMPTS_MAX {
            while store.sequence + NEAR < self.decided() {
                self.follow(replica, inputs, &mut store)?;
            }
            let (copies, ring) = ring(self.copies_max);
            self.send(FeatureCommand::Copy(copies))?;
            match self.attempt(replica, inputs, Attempt { store, ring })? {
                Outcome::Done { first_sequence } => return Ok(first_sequence),
                Outcome::Overflow(again) => store = again,
            }
            self.retries.increment();
        }
        Err(format!(
            "the engine was faster than the new store in {ATTEMPTS_MAX} attempts; the former set stays in force"
        ))
    }

    fn attempt(
        &mut self,
        replica: &mut Replica,
        inputs: &mut Reader,
        mut attempt: Attempt,
    ) -> Result<Outcome, String> {
        loop {
            self.follow(replica, inputs, &mut attempt.store)?;
            attempt.drain();
            self.teller
                .tell("catch up", attempt.store.sequence, self.decided());
            if let Some(FeatureRetired::Copy(_)) = self.exchange.next_retired() {
                return Ok(Outcome::Overflow(attempt.store));
            }
            if !attempt.is_ready(self.decided()) {
                continue;
            }
            self.teller.tell("swap", attempt.store.sequence, self.decided());
            // What the agent applies from here on counts whatever its time.
            let since = self
                .since
                .as_mut()
                .filter(|since| since.until_sequence == u64::MAX);
            if let Some(since) = since {
                since.until_sequence = attempt.store.sequence;
                replica.set_since(Some(*since));
                attempt.store.since = Some(*since);
            }
            self.note_prepared(attempt.store.sequence)?;
            match self.swap(attempt)? {
                Ok(first_sequence) => return Ok(Outcome::Done { first_sequence }),
                Err((again, true)) => return Ok(Outcome::Overflow(again.store)),
                Err((again, false)) => attempt = again,
            }
        }
    }

    /// Lets replica and store take what the journal has.
    fn follow(
        &mut self,
        replica: &mut Replica,
        inputs: &mut Reader,
        store: &mut Store,
    ) -> Result<(), String> {
        self.flags.check()?;
        inputs.set_end(self.followed.end());
        let taken = replica.run(inputs, u64::MAX, INPUTS_MAX, |record, _| store.apply(record));
        // Payments that this configuration does not accept have a sequence, too.
        store.sequence = store.sequence.max(replica.place().sequence);
        if taken.map_err(text)? < INPUTS_MAX {
            std::thread::sleep(PAUSE);
        }
        self.pace.step();
        Ok(())
    }

    /// Hands the store to the agent. Returns the first payment whose vector is the new set's, or the attempt back
    /// and whether its ring ran full.
    fn swap(&mut self, attempt: Attempt) -> Result<Result<u64, (Attempt, bool)>, String> {
        self.flags.is_swapping.store(true, Ordering::Release);
        let since = attempt.store.since;
        self.send(FeatureCommand::Swap(Box::new(Swap {
            store: *attempt.store.store,
            next_sequence: attempt.store.sequence + 1,
            catch_up: attempt.ring,
        })))?;
        let (started, mut has_overflowed) = (Instant::now(), false);
        loop {
            match self.exchange.next_retired() {
                Some(FeatureRetired::Swap {
                    is_done: true,
                    sequence,
                    ..
                }) => return Ok(Ok(sequence + 1)),
                Some(FeatureRetired::Swap { swap, .. }) => {
                    self.flags.is_swapping.store(false, Ordering::Release);
                    let Swap {
                        store,
                        next_sequence,
                        catch_up,
                    } = *swap;
                    let store = Store {
                        store: Box::new(store),
                        sequence: next_sequence - 1,
                        since,
                    };
                    return Ok(Err((
                        Attempt {
                            store,
                            ring: catch_up,
                        },
                        has_overflowed,
                    )));
                }
                Some(FeatureRetired::Copy(_)) => has_overflowed = true,
                None if self.exchange.is_abandoned() || started.elapsed() > ANSWER_MAX => {
                    self.is_unanswered = true;
                    return Err("the feature agent does not answer".to_owned());
                }
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    fn send(&mut self, command: FeatureCommand) -> Result<(), String> {
        let sent = self.exchange.send(command);
        sent.map_err(|_| "the feature agent takes no commands".to_owned())
    }

    /// The last payment that publish has let out.
    fn decided(&self) -> u64 {
        DecisionMark::from_words(self.followed.progress.get()).sequence
    }
}
