//! Starts an engine: driver, recovery, topology, threads; and stops it with nothing left inside.
//!
//! ```text
//!   start: folders ─▶ journal recovered ─▶ checkpoint ─▶ media driver ─▶ threads by plan ─▶ all started
//!   stop:  intake closed ─▶ accepted = decided, journal caught up ─▶ threads joined ─▶ checkpoint ─▶ driver stopped
//! ```
//!
//! Invariant: an [`Engine`] that exists runs all of its agents; one that could not start leaves nothing behind.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use pinion_checkpoint::Probe;
use pinion_features::set::canonical;
use pinion_features::set::file::SetError;
use pinion_features::{FeatureSet, Since};
use pinion_ingest::DeadLetters;
use pinion_journal::{
    Gate, Identity, JournalAgent, JournalError, JournalPosition, Reader, Recovery, recover,
};
use pinion_publish::{DecisionMark, Resume, WhenUnheard};
use pinion_runtime::agent::StartError;
use pinion_runtime::clock::Clock;
use pinion_runtime::composite::Composite;
use pinion_runtime::control::{self, IngestGate};
use pinion_runtime::cores::{self, Group, Plan, Role};
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::latest::{Seen, latest};
use pinion_runtime::ring::{EntryConsumer, Producer, ring};
use pinion_runtime::runner::{Runner, RunnerError, RunnerHandle, RunnerOptions};
use pinion_runtime::shutdown::stop_in_order;
use pinion_score::manifest::{ModelFolder, locate};
use pinion_score::scorer::Finding;
use pinion_strategy::StrategyError;
use pinion_transport::config::{ClientKind, DriverKind, DriverThreading};
use pinion_transport::driver::{DriverAgent, EmbeddedDriver};

use crate::accounts::{Accounts, LaneAccount};
use crate::admin::Server;
use crate::backfill::Exchange;
use crate::bus::{AeronC, AeronRs, Connect};
use crate::challengers::{self, Beside, Challenger, ChallengerError, ChallengerStart, Loaded};
use crate::checkpoints::{self, Begun, Restored};
use crate::config::Config;
use crate::feature_sets::{self, History, HistoryError, InForce, Known};
use crate::housekeeping::Housekeeping;
use crate::model_swap::ModelExchange;
use crate::models::{AtStart, Lane, ModelsError};
use crate::replica::{Followed, Follower, ReplicaError, SharedReplica, lock};
use crate::snapshotter::{Health, Snapshotter, Snapshotting};
use crate::strategies;
use crate::topology::{self, Stage, Surroundings};

/// Cells in the file of counters.
const COUNTERS_MAX: usize = 1024;

/// Commands to the feature agent, and to the score agent, that wait.
const COMMANDS_MAX: usize = 4;

/// Payments that the features may handle while a new store is brought up to them: 6 MiB.
const COPIES_MAX: usize = 32_768;

/// Transactions that the replica may be behind and still be told what the scorer found: 1.2 MiB.
const FINDINGS_MAX: usize = 4096;

/// How often a start or a stop looks whether it is done.
const LOOK: Duration = Duration::from_millis(2);

/// How often a long recovery is told of.
const TELL: Duration = Duration::from_secs(5);

/// Why an engine could not start, run or stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The folder of the engine cannot be used.
    #[error("engine.dir {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the engine cannot be mapped.
    #[error("{what}: {reason}")]
    File {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The journal cannot be used, or is corrupt.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No layout of agents on cores.
    #[error("{0}")]
    Cores(String),
    /// The log of feature sets cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The model in force cannot be used.
    #[error(transparent)]
    Models(Box<ModelsError>),
    /// The feature set cannot be used.
    #[error("features.set: {0}")]
    FeatureSet(#[from] SetError),
    /// The copy of the payment lane that checkpoints are made of could not be made.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// A challenger is refused.
    #[error(transparent)]
    Challenger(#[from] ChallengerError),
    /// A challenger is sound, and cannot run.
    #[error(transparent)]
    ChallengerStart(#[from] ChallengerStart),
    /// The payment module cannot be made.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The media driver did not start or stop.
    #[error(transparent)]
    Driver(#[from] pinion_transport::DriverError),
    /// A thread did not start, run or stop.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// The journal failed; the gate let nothing out any more.
    #[error("{0}")]
    JournalFailed(pinion_journal::Failure),
    /// Recovery does not go on.
    #[error(
        "recovery stands at {done} of {inputs} recorded inputs for {} ms, expected it to go on (engine.start_ms_max)",
        waited.as_millis()
    )]
    RecoveryStands {
        /// Inputs recorded.
        inputs: u64,
        /// Inputs taken again so far.
        done: u64,
        /// The limit.
        waited: Duration,
    },
    /// An agent ended by itself while the engine ran.
    #[error("agent {name} ended by itself")]
    AgentEnded {
        /// Its thread.
        name: String,
    },
    /// What was accepted was not decided in time.
    #[error(
        "{left} events were still inside {} ms after the intake was closed (engine.drain_ms_max), expected none{hint}; \
         they are in the journal",
        waited.as_millis()
    )]
    NotDrained {
        /// Events accepted and not decided.
        left: u64,
        /// The limit.
        waited: Duration,
        /// What may be the reason.
        hint: &'static str,
        /// The accounts at that moment.
        accounts: Box<Accounts>,
    },
    /// The control plane's event loop failed.
    #[error("control plane: {0}")]
    ControlPlane(std::io::Error),
    /// An actor kept the engine after the control plane had ended.
    #[error("control plane: an actor still holds the engine")]
    StillHeld,
}

impl From<ModelsError> for NodeError {
    fn from(error: ModelsError) -> Self {
        Self::Models(Box::new(error))
    }
}

impl NodeError {
    /// Whether stored data is corrupt, as opposed to the engine not being able to run.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_corruption(),
            Self::Models(error) => error.is_corruption(),
            _ => false,
        }
    }
}

/// What recovery found at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Inputs that were in the journal.
    pub inputs: u64,
    /// Of these, inputs that were run through the stages again: all that the checkpoint did not hold.
    pub run: u64,
    /// Bytes of a torn tail that were cut off.
    pub truncated_len: u64,
    /// The checkpoint that was found, if one could be used.
    pub restored: Option<Restored>,
    /// What of the journal counts for the configured feature set, as the log beside the journal says.
    pub since: Option<Since>,
    /// From the end of recovery to the last recorded input decided.
    pub took: Duration,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(restored) = &self.restored {
            write!(f, "{restored}, ")?;
        }
        if let Some(since) = self.since {
            let from = jiff::Timestamp::from_nanosecond(since.from_ns.into()).unwrap_or_default();
            write!(
                f,
                "payments before {from:.0} up to sequence {} leave only their names ({}), ",
                since.until_sequence,
                feature_sets::FILE_NAME
            )?;
        }
        let (run, took) = (self.run, self.took.as_millis());
        write!(f, "ran {run} inputs of the journal in {took} ms")
    }
}

/// What an engine did, told after it has stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Events and decisions by lane.
    pub accounts: Accounts,
    /// The journal's written position. Unit: bytes.
    pub written_position: u64,
    /// The journal's durable position. Unit: bytes.
    pub durable_position: u64,
    /// How long the stop took.
    pub took: Duration,
}

/// A running engine.
pub struct Engine {
    config: Config,
    /// Hash of the model that `score.model` named at the start; the one in force may be another.
    configured_model: u64,
    runners: Vec<RunnerHandle>,
    driver: Option<EmbeddedDriver>,
    intake: IngestGate,
    journal: Arc<JournalPosition>,
    snapshotter: Option<Snapshotter>,
    challengers: Vec<Challenger>,
    admin: Option<Server>,
    recovered: Recovered,
    plan: Plan,
    clock: Clock,
    counters: Counters,
    faults: ErrorLog,
}

impl Engine {
    /// Starts an engine and waits until every agent has started and recovery is done. The program must call
    /// [`pinion_checkpoint::probe_main`] before anything else.
    ///
    /// # Errors
    /// What could not be started; whatever had started is stopped again.
    pub fn start(config: &Config) -> Result<Self, NodeError> {
        Self::start_by(config, &Probe::default())
    }

    /// As [`Self::start`], with another program to open the checkpoints.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_by(config: &Config, probe: &Probe) -> Result<Self, NodeError> {
        match config.bus.client {
            ClientKind::C => Self::start_on(config, probe, AeronC(config.bus.clone())),
            ClientKind::AeronRs => Self::start_on(config, probe, AeronRs(config.bus.clone())),
        }
    }

    /// As [`Self::start_by`], on a bus of the caller's choice.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on<C: Connect>(config: &Config, probe: &Probe, connect: C) -> Result<Self, NodeError> {
        let folder = &config.engine.dir;
        std::fs::create_dir_all(folder).map_err(|source| NodeError::Folder {
            path: folder.clone(),
            source,
        })?;
        let plan = plan(config)?;
        let (set, text) = FeatureSet::load_with_text(&config.features.locate_set()?)?;
        let set = Known::new(set, &text);
        let recovery = recover(&config.journal())?;
        let sets = sets_in_force(config, &set, &recovery)?;
        let now_ns = Clock::system().now_ns();
        let models = AtStart::of(config, (checkpoints::journal_id(config)?, &recovery), now_ns)?;
        let config = &models.config;
        let challengers = challengers::load(config, &sets)?;
        let begun = checkpoints::begin(config, (&sets, models.in_force()), &recovery, probe)?;
        let found = Found {
            plan,
            set,
            sets,
            models,
            recovery,
            begun,
            challengers,
        };
        Self::assemble(found, connect)
    }

    fn assemble<C: Connect>(found: Found, connect: C) -> Result<Self, NodeError> {
        let Found {
            plan,
            set,
            sets,
            models,
            recovery,
            begun,
            challengers,
        } = found;
        let config = &models.config;
        let clock = Clock::system();
        let (counters, faults, dead_letters) = open_files(config)?;
        let in_force = sets.last().expect("one set is in force").clone();
        let (journal, recorded) = (recovery.position(), recorded(config, &recovery)?);
        let beginning = Beginning::of(config, begun, &recovery)?;
        let recovered = beginning.recovered_with(in_force.since);
        let lane = beginning.models(&models, &sets, &recovery)?;
        let driver = start_driver(config, &plan)?;
        let (progress, seen) = latest(beginning.resume.payment.mark.words());
        let (sets_end, features) = control::channel(COMMANDS_MAX);
        let (models_end, scores) = control::channel(COMMANDS_MAX);
        let surroundings = Surroundings {
            connect,
            recorded,
            begin: beginning.live(),
            set: set.set.clone(),
            sets,
            features: Some(features),
            models: lane,
            scores: Some(scores),
            resume: beginning.resume,
            findings: beginning.findings(config),
            progress: Some(progress),
            gate: Gate::new(config.journal.gate, journal.clone()),
            dead_letters,
            journals_inputs: true,
            started_ns: clock.now_ns(),
            counters: counters.clone(),
            faults: faults.clone(),
        };
        let topology = topology::build(config, surroundings);
        let mut stages = topology.stages;
        let entries = topology.inputs.into_iter().chain([topology.decisions]).collect();
        stages.push(
            Housekeeping::of(&plan)
                .run(|| journal_stage(config, recovery, entries, &clock, &counters, &faults))?,
        );
        note_began(&models, &set, &in_force, clock.now_ns())?;
        stages.extend(driver_stage(config));
        let runners = spawn(config, &plan, stages, &clock, &counters)?;
        let mut engine = Self {
            config: config.clone(),
            configured_model: models.configured(),
            runners,
            driver,
            intake: topology.intake,
            journal,
            snapshotter: None,
            challengers: Vec::new(),
            admin: None,
            recovered,
            plan,
            clock,
            counters,
            faults,
        };
        engine.come_up((beginning, challengers), seen, (sets_end, models_end))?;
        Ok(engine)
    }

    /// Waits until the agents are there, starts what follows them, and waits until recovery is done.
    fn come_up(
        &mut self,
        (beginning, challengers): (Beginning, Vec<Loaded>),
        progress: Seen<3>,
        exchanges: (Exchange, ModelExchange),
    ) -> Result<(), NodeError> {
        let started = Instant::now();
        self.wait_started(started)?;
        let followed = Arc::new(Followed {
            dir: self.config.journal().dir,
            journal: self.journal.clone(),
            fsync: self.config.journal.fsync,
            progress,
        });
        self.start_snapshotter(beginning, followed.clone(), exchanges)?;
        self.start_challengers(challengers, &followed)?;
        self.wait_recovered()?;
        self.recovered.took = started.elapsed();
        let passed = self.counters.value("ingest.payment.recorded_skipped");
        self.recovered.run = self.recovered.inputs - passed.unwrap_or_default();
        tracing::info!("{}", self.recovered);
        Ok(())
    }

    /// Starts the thread that follows the engine, and the socket that it answers on. The agents hold nothing of
    /// the replica any more.
    fn start_snapshotter(
        &mut self,
        beginning: Beginning,
        followed: Arc<Followed>,
        exchanges: (Exchange, ModelExchange),
    ) -> Result<(), NodeError> {
        let config = &self.config;
        let section = config.checkpoint();
        let Some(journal_id) = checkpoints::journal_id(config)? else {
            return Ok(());
        };
        let replica = Arc::into_inner(beginning.replica).ok_or(NodeError::StillHeld)?;
        let replica = replica.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(follower) = Follower::new(replica, beginning.mark, followed)? else {
            return Err(NodeError::File {
                what: "checkpoint",
                reason: "its position is no end of an entry of the journal".to_owned(),
            });
        };
        let model = locate(Path::new(&config.score.model)).and_then(|folder| ModelFolder::open(&folder));
        let setting = Snapshotting {
            manifest: model.map_err(ReplicaError::from)?.manifest,
            interval: section
                .enabled
                .then(|| Duration::from_secs(section.interval_s.into())),
            housekeeping: Housekeeping::of(&self.plan),
            stop_max: Duration::from_millis(config.engine.drain_ms_max),
            journal_id,
            configured_model: self.configured_model,
            copies_max: COPIES_MAX,
            restored_sequence: self.recovered.restored.as_ref().map(|restored| restored.sequence),
        };
        let file = |what, error: &std::io::Error| NodeError::File {
            what,
            reason: error.to_string(),
        };
        let restored = self.counters.counter("checkpoint.restored");
        restored.set(setting.restored_sequence.unwrap_or_default());
        let around = (&self.clock, &self.counters);
        let snapshotter = Snapshotter::spawn(config, follower, Some(exchanges), setting, around)
            .map_err(|error| file("snapshotter", &error))?;
        let admin = Server::start(&config.engine.dir, &snapshotter);
        self.admin = Some(admin.map_err(|error| file("control socket", &error))?);
        self.snapshotter = Some(snapshotter);
        Ok(())
    }

    fn start_challengers(
        &mut self,
        challengers: Vec<Loaded>,
        followed: &Arc<Followed>,
    ) -> Result<(), NodeError> {
        let Some(journal_id) = checkpoints::journal_id(&self.config)? else {
            return Ok(());
        };
        let beside = Beside {
            followed,
            housekeeping: Housekeeping::of(&self.plan),
            counters: &self.counters,
            journal_id,
        };
        for loaded in challengers {
            self.challengers.push(Challenger::spawn(loaded, &beside)?);
        }
        Ok(())
    }

    /// Waits until every agent has started.
    fn wait_started(&self, started: Instant) -> Result<(), NodeError> {
        let limit = Duration::from_millis(self.config.engine.start_ms_max);
        for runner in &self.runners {
            runner.wait_started(limit.saturating_sub(started.elapsed()))?;
        }
        Ok(())
    }

    /// Waits until what was recorded has been decided again.
    fn wait_recovered(&self) -> Result<(), NodeError> {
        let limit = Duration::from_millis(self.config.engine.start_ms_max);
        let inputs = self.recovered.inputs;
        let (mut last, mut told) = ((0, Instant::now()), Instant::now());
        loop {
            let is_reading = self.counters.value("ingest.recovering") == Some(1);
            let lanes = self.accounts().lanes();
            if !is_reading && lanes.iter().all(LaneAccount::has_decided_recorded) {
                return Ok(());
            }
            if let Some(name) = self.dead_agent() {
                return Err(NodeError::AgentEnded { name });
            }
            let done = lanes.iter().map(LaneAccount::recorded_taken).sum();
            let step = done + lanes.iter().map(|lane| lane.decided).sum::<u64>();
            if last.0 != step {
                last = (step, Instant::now());
            } else if last.1.elapsed() > limit {
                let waited = limit;
                return Err(NodeError::RecoveryStands { inputs, done, waited });
            }
            if told.elapsed() > TELL {
                tracing::info!("recovery: {done} of {inputs} recorded inputs");
                told = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its error log.
    pub fn faults(&self) -> &ErrorLog {
        &self.faults
    }

    /// Which agent runs where.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What recovery found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// How checkpoints go; none: the engine writes none.
    pub fn checkpoints(&self) -> Option<Health> {
        self.snapshotter.as_ref().map(Snapshotter::health)
    }

    /// Whether the thread that follows the engine ended by itself.
    pub fn has_lost_its_snapshotter(&self) -> bool {
        self.snapshotter.as_ref().is_some_and(Snapshotter::is_finished)
    }

    /// Challengers whose thread ended by itself.
    pub fn lost_challengers(&self) -> impl Iterator<Item = &str> {
        let lost = self
            .challengers
            .iter()
            .filter(|challenger| challenger.is_finished());
        lost.map(Challenger::name)
    }

    /// Events and decisions so far.
    pub fn accounts(&self) -> Accounts {
        Accounts::of(&self.counters.list())
    }

    /// The thread of an agent that has ended by itself, if one has.
    pub fn dead_agent(&self) -> Option<String> {
        self.runners
            .iter()
            .find(|runner| runner.is_finished())
            .map(|runner| runner.name().to_owned())
    }

    /// Why the journal stopped, if it did.
    pub fn journal_failure(&self) -> Option<pinion_journal::Failure> {
        self.journal.failure()
    }

    /// Closes the intake, waits until everything accepted is decided and journaled, and stops every thread.
    ///
    /// # Errors
    /// [`NodeError::NotDrained`], or what an agent or the driver failed with; everything is stopped all the
    /// same.
    pub fn stop(self) -> Result<Summary, NodeError> {
        let started = Instant::now();
        self.intake.close();
        let drained = self.drain();
        drop(self.admin);
        let each_max = Duration::from_millis(self.config.engine.drain_ms_max);
        let stopped = stop_in_order(self.runners, each_max);
        let accounts = Accounts::of(&self.counters.list());
        let outcome = stopped.into_iter().try_for_each(|runner| runner.outcome);
        // All at once, and while the last checkpoint is written.
        self.challengers.iter().for_each(Challenger::finish);
        if let Some(snapshotter) = self.snapshotter {
            snapshotter.finish();
        }
        drop(self.challengers);
        let driver = self.driver.map_or(Ok(()), EmbeddedDriver::stop);
        drained?;
        outcome?;
        driver?;
        Ok(Summary {
            accounts,
            written_position: self.journal.written_position(),
            durable_position: self.journal.durable_position(),
            took: started.elapsed(),
        })
    }

    fn drain(&self) -> Result<(), NodeError> {
        let waited = Duration::from_millis(self.config.engine.drain_ms_max);
        let started = Instant::now();
        loop {
            let accounts = self.accounts();
            let left = accounts.inside();
            if left == 0 || self.dead_agent().is_some() {
                return Ok(());
            }
            if let Some(failure) = self.journal_failure() {
                return Err(NodeError::JournalFailed(failure));
            }
            if started.elapsed() > waited {
                let waits = self.config.publish.when_unheard == WhenUnheard::Wait;
                let hint = if waits {
                    " (publish.when_unheard is \"wait\": nobody listens)"
                } else {
                    ""
                };
                let accounts = Box::new(accounts);
                return Err(NodeError::NotDrained {
                    left,
                    waited,
                    hint,
                    accounts,
                });
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The files that an engine writes beside its journal.
fn open_files(config: &Config) -> Result<(Counters, ErrorLog, DeadLetters), NodeError> {
    let file = |what, error: &dyn fmt::Display| NodeError::File {
        what,
        reason: error.to_string(),
    };
    let counters = Counters::create(config.engine.counters_path(), COUNTERS_MAX)
        .map_err(|error| file("counters", &error))?;
    let faults =
        ErrorLog::create(config.engine.error_log_path()).map_err(|error| file("error log", &error))?;
    let dead_letters =
        DeadLetters::open(&config.dead_letters()).map_err(|error| file("dead letters", &error))?;
    Ok((counters, faults, dead_letters))
}

/// What is known before anything is built.
struct Found {
    plan: Plan,
    set: Known,
    /// The sets that served what is recorded, and last the one in force.
    sets: Vec<InForce>,
    models: AtStart,
    recovery: Recovery,
    begun: Begun,
    challengers: Vec<Loaded>,
}

/// What the lanes begin with.
struct Beginning {
    replica: SharedReplica,
    /// How far decisions had come where the replica is.
    mark: DecisionMark,
    resume: Resume,
    recovered: Recovered,
}

impl Beginning {
    /// The live lane begins where the replica is only if its module misses nothing by it.
    fn of(config: &Config, begun: Begun, recovery: &Recovery) -> Result<Self, NodeError> {
        let Begun {
            replica,
            mark,
            mut restored,
        } = begun;
        let mut resume = Resume::from(recovery);
        if let Some(restored) = &mut restored {
            restored.is_live = strategies::payments(&config.strategy)?.is_stateless();
            if restored.is_live {
                resume.payment.mark = mark;
            } else {
                tracing::info!(
                    "strategy.payments.module \"{}\" keeps a state: it is shown everything that is recorded",
                    config.strategy.payments.module
                );
            }
        }
        let recovered = Recovered {
            inputs: recovery.last_index,
            truncated_len: recovery.truncated_len,
            restored,
            ..Recovered::default()
        };
        Ok(Self {
            replica: Arc::new(Mutex::new(replica)),
            mark,
            resume,
            recovered,
        })
    }

    /// What the live lane begins with.
    fn live(&self) -> Option<SharedReplica> {
        let is_live = self
            .recovered
            .restored
            .as_ref()
            .is_some_and(|restored| restored.is_live);
        is_live.then(|| self.replica.clone())
    }

    fn recovered_with(&self, since: Option<Since>) -> Recovered {
        Recovered {
            since,
            ..self.recovered.clone()
        }
    }

    /// The way by which the replica is told what the engine's scorer found, if it knows cases.
    fn findings(&self, config: &Config) -> Option<Producer<Finding>> {
        config.checkpoint().enabled.then(|| {
            let (findings, found) = ring(FINDINGS_MAX);
            lock(&self.replica).set_findings(found);
            findings
        })
    }

    /// The models of the live lane: where it begins with the replica, the one in force alone.
    fn models(&self, models: &AtStart, sets: &[InForce], recovery: &Recovery) -> Result<Lane, NodeError> {
        let lane = if self.live().is_some() || models.scorings.len() == 1 {
            Lane::default()
        } else {
            let dir = models.config.journal().dir;
            let open = || Ok(Reader::open(&dir)?.until(recovery.next_position));
            Lane::prepare(&models.config, (sets, &models.scorings), open)?
        };
        Ok(lane.with_parity(models.is_odd))
    }
}

/// The layout of `config` on the cores there are.
///
/// # Errors
/// [`NodeError::Cores`] with the thread or role that cannot be placed.
pub fn plan(config: &Config) -> Result<Plan, NodeError> {
    let layout = config.cores.layout().map_err(NodeError::Cores)?;
    cores::plan(&layout, &config.cores.cores()).map_err(|error| NodeError::Cores(error.to_string()))
}

/// Starts the driver's own thread on the core that the plan gives to the driver: a thread starts where the one
/// that starts it may run.
fn start_driver(config: &Config, plan: &Plan) -> Result<Option<EmbeddedDriver>, NodeError> {
    let is_own_thread = config.bus.driver_threading == DriverThreading::Shared;
    if config.bus.driver != DriverKind::Embedded || !is_own_thread {
        return Ok(None);
    }
    let core = plan.group_of(Role::Driver).and_then(|group| group.core);
    let bus = config.bus.clone();
    let starter = std::thread::spawn(move || {
        if let Some(id) = core {
            // A driver on another core is slower, not wrong.
            let _ = core_affinity::set_for_current(CoreId { id });
        }
        EmbeddedDriver::start(&bus)
    });
    let outcome = starter
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok(Some(outcome?))
}

/// The driver as an agent, if the configuration wants it in a duty cycle.
fn driver_stage(config: &Config) -> Option<Stage> {
    let wanted =
        config.bus.driver == DriverKind::Embedded && config.bus.driver_threading == DriverThreading::Invoker;
    let bus = config.bus.clone();
    wanted.then(|| Stage::new(Role::Driver, move || Ok(DriverAgent::new(&bus))))
}

/// The sets that served the journal, and last the configured one; says what became of changes that were under way.
fn sets_in_force(config: &Config, set: &Known, recovery: &Recovery) -> Result<Vec<InForce>, NodeError> {
    let mut in_force = InForce {
        sequence: recovery.last_decision_sequence.payment,
        ..InForce::always(set.set.clone())
    };
    let Some(journal_id) = checkpoints::journal_id(config)? else {
        return Ok(vec![in_force]);
    };
    let mut history = History::read(&config.journal().dir, journal_id)?;
    history.settle(recovery.next_position, Clock::system().now_ns())?;
    let hash = canonical::hash(&set.set);
    in_force.since = history.since_of(hash).flatten();
    let mut sets = history.in_force(recovery.next_position)?;
    match sets.last() {
        Some(newest) if canonical::hash(&newest.set) != hash => tracing::warn!(
            "features.set is {} version {} ({hash:016x}); the journal was last served by {} version {} ({:016x}), which \
             is in force no more",
            set.set.name,
            set.set.version,
            newest.set.name,
            newest.set.version,
            canonical::hash(&newest.set)
        ),
        Some(newest) if newest.since == in_force.since => return Ok(sets),
        _ => {}
    }
    sets.retain(|former| former.sequence < in_force.sequence);
    sets.push(in_force);
    Ok(sets)
}

/// Notes beside the journal, which has its first segment now, what serves from here on.
fn note_began(models: &AtStart, set: &Known, in_force: &InForce, now_ns: i64) -> Result<(), NodeError> {
    let config = &models.config;
    if let Some(journal_id) = checkpoints::journal_id(config)? {
        let mut history = History::read(&config.journal().dir, journal_id)?;
        history.began(set, in_force.since, (in_force.sequence, now_ns))?;
        models.note_began(journal_id, now_ns)?;
    }
    Ok(())
}

/// The inputs of a journal that is not empty.
fn recorded(config: &Config, recovery: &Recovery) -> Result<Option<Reader>, NodeError> {
    if recovery.last_index == 0 {
        return Ok(None);
    }
    Ok(Some(
        Reader::open(&config.journal().dir)?.until(recovery.next_position),
    ))
}

/// The journal's agent is built on a housekeeping thread, and moved: its helpers inherit the core and the
/// scheduling class of the thread that builds it.
fn journal_stage(
    config: &Config,
    recovery: Recovery,
    entries: Vec<EntryConsumer>,
    clock: &Clock,
    counters: &Counters,
    faults: &ErrorLog,
) -> Result<Stage, NodeError> {
    let identity = Identity {
        config_hash: config.decision_hash(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        started_ns: clock.now_ns(),
    };
    let agent = JournalAgent::new(&config.journal(), recovery, entries, &identity, counters, faults)?;
    Ok(Stage::new(Role::Journal, move || Ok(agent)))
}

/// One thread per group of the plan.
fn spawn(
    config: &Config,
    plan: &Plan,
    mut stages: Vec<Stage>,
    clock: &Clock,
    counters: &Counters,
) -> Result<Vec<RunnerHandle>, NodeError> {
    let mut runners = Vec::new();
    for group in &plan.groups {
        let (mine, others): (Vec<_>, Vec<_>) = stages
            .into_iter()
            .partition(|stage| group.roles.contains(&stage.role));
        stages = others;
        if !mine.is_empty() {
            runners.push(spawn_group(config, group, mine, clock, counters)?);
        }
    }
    Ok(runners)
}

fn spawn_group(
    config: &Config,
    group: &Group,
    stages: Vec<Stage>,
    clock: &Clock,
    counters: &Counters,
) -> Result<RunnerHandle, NodeError> {
    let options = RunnerOptions {
        name: group.name.clone(),
        core: group.core,
        idle: group.idle,
        realtime_priority: group.realtime_priority,
        drain_max: Duration::from_millis(config.engine.drain_ms_max),
        counters: Some(counters.clone()),
    };
    let (name, composite_clock) = (group.name.clone(), clock.clone());
    let build = move || -> Result<Composite, StartError> {
        let agents = stages
            .into_iter()
            .map(|stage| (stage.build)())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Composite::new(name, agents, composite_clock))
    };
    Ok(Runner::spawn(options, clock.clone(), build)?)
}
