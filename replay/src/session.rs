//! One replay: the node's topology on the calling thread, fed from a journal, its decisions handed out.
//!
//! ```text
//!   journal ──inputs──▶ [ pipeline: ingest … publish ] ──decisions ring──▶ handler
//!                              ▲ virtual clock                 │
//!                              └──────recorded ingest stamp────┘
//! ```
//!
//! The handler empties the ring after every turn, and a full ring stops the pipeline's publish stage, so nothing
//! is lost and memory stays bounded. The clock stands at the ingest stamp of the latest decision handed out:
//! it never runs ahead of the inputs, and only stamps outside of a decision's core depend on it.
//!
//! Invariant: the agents are the node's own; only bus, clock and threads differ.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinion_features::set::canonical;
use pinion_journal::JournalError;
use pinion_node::bus::InProcess;
use pinion_node::feature_sets::InForce;
use pinion_node::models::{Known, Lane, ModelLog, ModelsError, Scoring};
use pinion_node::pipeline::Recorded;
use pinion_node::{Accounts, Config, History, HistoryError, Pipeline};
use pinion_publish::WhenUnheard;
use pinion_runtime::agent::StartError;
use pinion_runtime::clock::{Clock, VirtualClock};
use pinion_runtime::counters::Counter;
use pinion_schemas::records::DecisionRecord;
use pinion_transport::in_process::InProcessBus;

use crate::sources::{RecordedJournal, decision_of};

/// Turns without any work, while something is inside, after which a replay gives up.
const IDLE_TURNS_MAX: u32 = 10_000;

/// Turns between two reports of progress.
const PROGRESS_TURNS: u64 = 256;

/// Why a replay could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read, or is corrupt.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log of the feature sets, or of the models, that served it cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A model that scored it cannot be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// There is nothing to run.
    #[error("{}: 0 inputs, expected a journal with at least 1", dir.display())]
    NoInputs {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// A stage could not be built.
    #[error("{0}")]
    Start(StartError),
    /// The pipeline stopped working with events inside.
    #[error(
        "replay stands still with {inside} events inside after {inputs} inputs, expected all to be decided"
    )]
    StandsStill {
        /// Inputs taken.
        inputs: u64,
        /// Of these, not decided.
        inside: u64,
    },
}

impl ReplayError {
    /// Whether stored data is corrupt, as opposed to the replay not being able to run.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_corruption(),
            Self::Models(error) => error.is_corruption(),
            _ => false,
        }
    }
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Inputs taken.
    pub done: u64,
    /// Inputs in all.
    pub inputs: u64,
}

/// What a replay did.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// Inputs taken.
    pub inputs: u64,
    /// Inputs that this configuration does not accept.
    pub inputs_refused: u64,
    /// Events and decisions by lane, with the rolling hash over all decisions of each.
    pub accounts: Accounts,
    /// How long the pipeline ran.
    pub elapsed: Duration,
}

impl Replayed {
    /// Inputs per second.
    pub fn events_per_second(&self) -> f64 {
        self.inputs as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Runs the journal in `journal_dir` and hands every decision with an action to `handle`, each lane's in order.
///
/// # Errors
/// The journal is damaged or empty, or a stage of the configuration cannot be built.
///
/// Cost: one pass over the journal, then the pipeline's own; memory as the configuration's tables.
pub fn replay_to_decisions(
    config: &Config,
    journal_dir: &Path,
    mut handle: impl FnMut(&DecisionRecord),
    progress: impl FnMut(Progress),
) -> Result<Replayed, ReplayError> {
    let journal = RecordedJournal::open(journal_dir)?;
    let handle = |record: &DecisionRecord| {
        handle(record);
        Ok(())
    };
    Session::new(config, &journal)?.run(handle, progress)
}

/// A pipeline with a journal before it and a virtual clock.
pub struct Session {
    pipeline: Pipeline,
    clock: VirtualClock,
    inputs: u64,
    watch: Watch,
}

impl Session {
    /// Builds the pipeline of `config` over the inputs of `journal`.
    ///
    /// # Errors
    /// The journal is empty, or a stage cannot be built.
    pub fn new(config: &Config, journal: &RecordedJournal) -> Result<Self, ReplayError> {
        let survey = journal.survey();
        if survey.inputs == 0 {
            return Err(ReplayError::NoInputs {
                dir: journal.dir().to_path_buf(),
            });
        }
        let mut config = config.clone();
        // The scores are the same, and a running engine's GPU stays its own.
        config.score = config.score.on_cpu();
        // Nobody listens to a replay: what waits for a listener would wait for ever.
        config.publish.when_unheard = WhenUnheard::Drop;
        let (clock, virtual_clock) = Clock::manual(survey.first_stamp_ns);
        let bus = InProcess(InProcessBus::new());
        let recorded = Some(recorded(&config, journal)?);
        let pipeline =
            Pipeline::over(&config, bus, &clock, recorded, Vec::new()).map_err(ReplayError::Start)?;
        let watch = Watch::new(&pipeline);
        Ok(Self {
            pipeline,
            clock: virtual_clock,
            inputs: survey.inputs,
            watch,
        })
    }

    /// Runs to the end. An error of `handle` ends it.
    ///
    /// # Errors
    /// That of `handle`, or [`ReplayError::StandsStill`].
    pub fn run(
        mut self,
        mut handle: impl FnMut(&DecisionRecord) -> Result<(), JournalError>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Replayed, ReplayError> {
        let started = Instant::now();
        let mut idle_turns = 0;
        for turn in 1_u64.. {
            let work = self.turn(&mut handle)?;
            if turn.is_multiple_of(PROGRESS_TURNS) {
                progress(Progress {
                    done: self.watch.inputs(),
                    inputs: self.inputs,
                });
            }
            if work > 0 {
                idle_turns = 0;
                continue;
            }
            let inside = self.pipeline.accounts().inside();
            if self.watch.has_read_all() && inside == 0 {
                break;
            }
            idle_turns += 1;
            if idle_turns == IDLE_TURNS_MAX {
                return Err(ReplayError::StandsStill {
                    inputs: self.watch.inputs(),
                    inside,
                });
            }
        }
        let inputs = self.watch.inputs();
        progress(Progress {
            done: inputs,
            inputs: self.inputs,
        });
        Ok(Replayed {
            inputs,
            inputs_refused: self.watch.refused(),
            accounts: self.pipeline.accounts(),
            elapsed: started.elapsed(),
        })
    }

    /// One duty cycle of every agent, and everything that it decided. Returns the work done.
    fn turn(
        &mut self,
        handle: &mut impl FnMut(&DecisionRecord) -> Result<(), JournalError>,
    ) -> Result<usize, JournalError> {
        let mut outcome = Ok(());
        let mut stamp_ns = 0;
        let work = self.pipeline.turn();
        let taken = self.pipeline.decisions().read_while(usize::MAX, |_, payload| {
            let record = decision_of(payload);
            stamp_ns = record.ingest_ns.max(stamp_ns);
            outcome = handle(&record);
            outcome.is_ok()
        });
        self.clock.set(stamp_ns);
        outcome.map(|()| work + taken)
    }
}

/// The journal with what served it.
fn recorded(config: &Config, journal: &RecordedJournal) -> Result<Recorded, ReplayError> {
    let sets = sets_in_force(config, journal)?;
    Ok(Recorded {
        inputs: journal.reader()?,
        models: models(config, journal, &sets)?,
        sets,
    })
}

/// The models that scored the journal, if the configured one was in force there and the configured set served it; else
/// none: the configured one is tried.
fn models(config: &Config, journal: &RecordedJournal, sets: &[InForce]) -> Result<Lane, ReplayError> {
    let Some(log) = ModelLog::of_journal(journal.dir())?.filter(|_| !sets.is_empty()) else {
        return Ok(Lane::default());
    };
    let configured = Known::find(&config.score.model).map_err(ModelsError::from)?;
    let scorings = log.recorded(journal.survey().end_position)?;
    let is_configured = |scoring: &Scoring| scoring.model.hash == configured.hash;
    if !log.knows(configured.hash) || (scorings.len() == 1 && scorings.iter().all(is_configured)) {
        return Ok(Lane::default());
    }
    Ok(Lane::prepare(config, (sets, &scorings), || journal.reader())?)
}

/// The sets that served the journal, if the configured one is among them; else none: the configured one is tried.
fn sets_in_force(config: &Config, journal: &RecordedJournal) -> Result<Vec<InForce>, ReplayError> {
    let Some(history) = History::of_journal(journal.dir())? else {
        return Ok(Vec::new());
    };
    let set = config
        .features
        .load_set()
        .map_err(|error| ReplayError::Start(error.into()))?;
    match history.since_of(canonical::hash(&set)) {
        Some(_) => Ok(history.in_force(journal.survey().end_position)?),
        None => Ok(Vec::new()),
    }
}

/// The counters that a session looks at each turn.
struct Watch {
    recovering: Counter,
    recorded: [Counter; 2],
    refused: [Counter; 2],
}

impl Watch {
    fn new(pipeline: &Pipeline) -> Self {
        let counter = |name: &str| pipeline.counters().counter(&format!("ingest.{name}"));
        Self {
            recovering: counter("recovering"),
            recorded: ["market.recorded", "payment.recorded"].map(counter),
            refused: ["market.recorded_refused", "payment.recorded_refused"].map(counter),
        }
    }

    fn inputs(&self) -> u64 {
        self.recorded.iter().map(Counter::get).sum::<u64>() + self.refused()
    }

    fn refused(&self) -> u64 {
        self.refused.iter().map(Counter::get).sum()
    }

    fn has_read_all(&self) -> bool {
        self.recovering.get() == 0
    }
}
