//! Champion and challengers over one journal: who ranks better, who can be believed, and what has moved.
//!
//! ```text
//!   journal ─▶ transactions, labels ─▶ Rows ─┐
//!           ├▶ champion: replica ─ scores ───┼─▶ [figures]: by model, by day ─▶ text, JSON, one HTML page ([page])
//!           │              └ vectors ▶ [inputs]: drift ─┘
//!           └▶ each challenger: replica, or its own file beside the journal ─ scores ─┘
//! ```
//!
//! Start at [`compare`]; [`metrics`] has the figures' definitions.
//!
//! **Outcomes.** The last label of a transaction wins, if it came within [`Request::label_days`] of it; one that asks
//! for erasure leaves the transaction out. Without a label it is genuine once so many days have passed in the journal,
//! as in training; before that it is open, and not measured, labelled or not: frauds are known sooner than their absence.
//!
//! Invariant: every score is computed by the serving code from the journal's start, or was by a live challenger; all
//! models are measured on the same transactions.

pub mod metrics;

mod figures;
mod inputs;
mod rows;

mod chart;
pub mod page;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_features::set::file::SetError;
use pinion_journal::JournalError;
use pinion_node::challengers::file::ScoreReader;
use pinion_node::challengers::{self, DIR_NAME, name_of};
use pinion_node::config::challengers::ChallengerConfig;
use pinion_node::feature_sets::{History, HistoryError, InForce};
use pinion_node::replica::{Replica, ReplicaError};
use pinion_node::{Config, drift};
use pinion_schemas::records::{DecisionRecord, FEATURES_MAX, Score};
use pinion_schemas::wire::Lane;
use serde::Serialize;

use crate::export::ExportError;
use crate::session::Progress;
use crate::sources::{RecordedDecisions, RecordedJournal};

use self::figures::Scored;
use self::inputs::Inputs;
use self::rows::Rows;

pub use self::figures::{Figures, FiguresOfDay, Measured, SCORE_EDGES, Shift};
pub use self::inputs::InputDrift;

/// False-positive rates at which recall is told.
pub const RATES: [f64; 3] = [0.001, 0.01, 0.05];

/// Days at the beginning that inputs are compared with, where nobody says otherwise.
pub const REFERENCE_DAYS: u32 = 7;

/// Inputs between two reports of progress.
const PROGRESS_INPUTS: usize = 8192;

/// Why models could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ContestError {
    /// The journal cannot be read, or is corrupt.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log of the feature sets that served it cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Its payments cannot be read.
    #[error(transparent)]
    Payments(#[from] ExportError),
    /// The champion's feature set cannot be read.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The champion's configuration or model is refused.
    #[error(transparent)]
    Champion(#[from] ReplicaError),
    /// A challenger is refused.
    #[error("--model {model}: {reason}")]
    Challenger {
        /// As it was asked for.
        model: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A live challenger's file cannot be used.
    #[error("{}: {reason}", path.display())]
    Recorded {
        /// The file, or the folder.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
}

impl ContestError {
    /// Whether stored data is corrupt, as opposed to the rest being impossible to run.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_corruption(),
            Self::Payments(error) => error.is_corruption(),
            _ => false,
        }
    }
}

/// A model to be run beside the champion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its folder, as score.model.
    pub model: String,
    /// Its feature set, as features.set; none: the sets that served the journal.
    pub set: Option<PathBuf>,
}

/// What shall be compared.
#[derive(Clone, Debug)]
pub struct Request {
    /// The journal's folder.
    pub dir: PathBuf,
    /// Models to be run.
    pub contenders: Vec<Contender>,
    /// Whether what live challengers noted beside the journal is measured, too.
    pub with_recorded: bool,
    /// First day that is measured: midnight UTC. Unit: ns since the Unix epoch.
    pub from_ns: i64,
    /// First day that is not: midnight UTC. Unit: ns since the Unix epoch.
    pub to_ns: i64,
    /// How long after its transaction a label may come. Unit: days of event time.
    pub label_days: u32,
    /// Days at the beginning of the range that inputs are compared with.
    pub reference_days: u32,
}

impl Request {
    /// The champion alone, over all of the journal.
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            contenders: Vec::new(),
            with_recorded: false,
            from_ns: i64::MIN,
            to_ns: i64::MAX,
            label_days: crate::export::LABEL_DAYS,
            reference_days: REFERENCE_DAYS,
        }
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Contest {
    /// Transactions of the days asked for.
    pub transactions: u64,
    /// Of these, measured.
    pub measured: u64,
    /// Frauds among those.
    pub frauds: u64,
    /// Left out: erased.
    pub erased: u64,
    /// Left out: their label may still come.
    pub open: u64,
    /// Left out: a model has no score of them.
    pub unscored: u64,
    /// How long after its transaction a label may come. Unit: days.
    pub label_days: u32,
    /// Days that inputs are compared with.
    pub reference_days: u32,
    /// Recorded decisions about these transactions.
    pub decisions: u64,
    /// Of these, with the champion's score, to the last bit.
    pub decisions_same: u64,
    /// The champion, then the others as they were asked for, then the recorded ones.
    pub models: Vec<Measured>,
    /// The champion's inputs, the one that moved most first; its score among them.
    pub inputs: Vec<InputDrift>,
}

/// A model with its scores.
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) model_hash: u64,
    /// Of each row; not a number: none.
    pub(crate) scores: Vec<f32>,
}

/// Runs champion and challengers over the journal and measures them.
///
/// # Errors
/// The journal is damaged, or a model, a set or a file is refused.
///
/// Cost: three passes over the journal and one for each model through features and scorer; memory: the payments lane's
///       once, 32 bytes per transaction and 4 for each model.
pub fn compare(
    config: &Config,
    request: &Request,
    mut progress: impl FnMut(Progress),
) -> Result<Contest, ContestError> {
    let journal = RecordedJournal::open(&request.dir)?;
    let served = served(config, &journal)?;
    let rows = Rows::read(config, request, served.last())?;
    let mut run = Run {
        journal: &journal,
        rows: &rows,
        passes: request.contenders.len() as u64 + 1,
        pass: 0,
        progress: &mut progress,
    };
    let (champion, tally, inputs) = champion(config, request, &served, &mut run)?;
    let mut entrants = vec![champion];
    for contender in &request.contenders {
        entrants.push(challenger(config, contender, &served, &mut run)?);
    }
    if request.with_recorded {
        entrants.extend(recorded(&request.dir, &journal, &rows)?);
    }
    let scored = Scored::new(&rows, &entrants, request.label_days);
    let counts = scored.counts();
    Ok(Contest {
        transactions: rows.len() as u64,
        measured: counts.measured,
        frauds: counts.frauds,
        erased: counts.erased,
        open: counts.open,
        unscored: counts.unscored,
        label_days: request.label_days,
        reference_days: request.reference_days,
        decisions: tally.seen,
        decisions_same: tally.same,
        models: scored.models(),
        inputs,
    })
}

/// The sets that served the journal: of the log beside it, or the configured one.
fn served(config: &Config, journal: &RecordedJournal) -> Result<Vec<InForce>, ContestError> {
    let mut sets = match History::of_journal(journal.dir())? {
        Some(history) => history.in_force(journal.survey().end_position)?,
        None => Vec::new(),
    };
    if sets.is_empty() {
        sets.push(InForce::always(Arc::new(config.features.load_set()?)));
    }
    Ok(sets)
}

/// What every model is run over.
struct Run<'a> {
    journal: &'a RecordedJournal,
    rows: &'a Rows,
    passes: u64,
    pass: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    /// Runs a replica to the journal's end; each row goes to `handle`.
    fn replica(
        &mut self,
        replica: &mut Replica,
        mut handle: impl FnMut(usize, &[f32; FEATURES_MAX], &Score),
    ) -> Result<(), ContestError> {
        let mut inputs = self.journal.reader()?;
        let (total, mut done, mut row) = (self.journal.survey().inputs, 0, 0);
        loop {
            let taken = replica.run_scored(
                &mut inputs,
                u64::MAX,
                PROGRESS_INPUTS,
                |payment, vector, score| {
                    if self.rows.sequence(row) == Some(payment.origin.sequence) {
                        handle(row, vector, score);
                        row += 1;
                    }
                },
            )?;
            done += taken as u64;
            (self.progress)(Progress {
                done: self.pass * total + done,
                inputs: self.passes * total,
            });
            if taken < PROGRESS_INPUTS {
                self.pass += 1;
                return Ok(());
            }
        }
    }
}

/// Recorded decisions that were compared.
#[derive(Default)]
struct Tally {
    seen: u64,
    same: u64,
}

/// The recorded decisions, to be asked for in order.
struct Decided {
    decisions: RecordedDecisions,
    next: Option<DecisionRecord>,
    tally: Tally,
}

impl Decided {
    fn compare(&mut self, sequence: u64, score: &Score) -> Result<(), JournalError> {
        while self.next.is_some_and(|next| next.sequence < sequence) {
            self.next = self.decisions.next_decision()?;
        }
        if let Some(decision) = self.next.filter(|next| next.sequence == sequence) {
            let is_same =
                decision.model_hash == score.model_hash && decision.score.to_bits() == score.score.to_bits();
            self.tally.seen += 1;
            self.tally.same += u64::from(is_same);
        }
        Ok(())
    }
}

fn champion(
    config: &Config,
    request: &Request,
    served: &[InForce],
    run: &mut Run<'_>,
) -> Result<(Entrant, Tally, Vec<InputDrift>), ContestError> {
    let mut replica = Replica::with_cases(config, served)?;
    let scorer = replica.scorer().expect("it knows the cases");
    let (name, model_hash) = (name_and_version(&scorer.model()), scorer.model_hash());
    let slots = scorer.deviations(&[0.0; FEATURES_MAX]).len();
    let mut names = replica.set().slot_names();
    names.truncate(slots);
    let mut inputs = Inputs::new(names, run.rows.first_day(), request.reference_days);
    let mut decisions = run.journal.decisions(Lane::Payment)?;
    let mut decided = Decided {
        next: decisions.next_decision()?,
        decisions,
        tally: Tally::default(),
    };
    let (mut scores, mut outcome) = (Vec::with_capacity(run.rows.len()), Ok(()));
    let rows = run.rows;
    run.replica(&mut replica, |row, vector, score| {
        scores.push(score.score);
        inputs.take(rows.day(row), &vector[..slots], score.score);
        if outcome.is_ok() {
            outcome = decided.compare(rows.sequence(row).unwrap_or_default(), score);
        }
    })?;
    outcome?;
    let entrant = Entrant {
        name,
        model_hash,
        scores,
    };
    Ok((entrant, decided.tally, inputs.finish()))
}

fn name_and_version((name, version): &(String, u32)) -> String {
    format!("{name} version {version}")
}

fn challenger(
    config: &Config,
    contender: &Contender,
    served: &[InForce],
    run: &mut Run<'_>,
) -> Result<Entrant, ContestError> {
    let refused = |reason: String| ContestError::Challenger {
        model: contender.model.clone(),
        reason,
    };
    let own = ChallengerConfig {
        name: "challenger".to_owned(),
        model: contender.model.clone(),
        set: contender.set.clone(),
        backend: None,
    };
    let loaded = challengers::replica(config, served, &own);
    let mut replica = loaded.map_err(|error| refused(error.reason()))?;
    let scorer = replica.scorer().expect("it knows the cases");
    let (mut name, model_hash) = (name_and_version(&scorer.model()), scorer.model_hash());
    if contender.set.is_some() {
        name += &format!(" on {}", replica.set().name);
    }
    let mut scores = Vec::with_capacity(run.rows.len());
    run.replica(&mut replica, |_, _, score| scores.push(score.score))?;
    Ok(Entrant {
        name,
        model_hash,
        scores,
    })
}

/// What live challengers noted of this journal, in the order of their files' names.
fn recorded(dir: &Path, journal: &RecordedJournal, rows: &Rows) -> Result<Vec<Entrant>, ContestError> {
    let folder = dir.join(DIR_NAME);
    let unusable = |path: &Path, reason: String| ContestError::Recorded {
        path: path.to_path_buf(),
        reason,
    };
    let listed = std::fs::read_dir(&folder).map_err(|error| unusable(&folder, error.to_string()))?;
    let mut paths: Vec<PathBuf> = listed
        .map(|item| item.map(|item| item.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&folder, error.to_string()))?;
    paths.retain(|path| name_of(path).is_some());
    paths.sort();
    let journal_id = journal.reader()?.segment().map(|segment| segment.journal_id);
    let mut entrants = Vec::new();
    for path in paths {
        let failed = |error: std::io::Error| unusable(&path, error.to_string());
        let Some(reader) = ScoreReader::open(&path).map_err(failed)? else {
            return Err(unusable(
                &path,
                "its heading is damaged, expected a challenger's file".to_owned(),
            ));
        };
        if Some(reader.heading().journal_id) == journal_id {
            entrants.push(read_scores(&path, reader, rows).map_err(failed)?);
        }
    }
    Ok(entrants)
}

fn read_scores(path: &Path, mut reader: ScoreReader, rows: &Rows) -> std::io::Result<Entrant> {
    let mut scores = vec![f32::NAN; rows.len()];
    let mut row = 0;
    while let Some(record) = reader.next_record()? {
        while rows
            .sequence(row)
            .is_some_and(|sequence| sequence < record.sequence)
        {
            row += 1;
        }
        if rows.sequence(row) == Some(record.sequence) {
            scores[row] = record.score;
        }
    }
    Ok(Entrant {
        name: format!("{} (live)", name_of(path).unwrap_or_default()),
        model_hash: reader.heading().model_hash,
        scores,
    })
}

/// What a stability index means.
pub fn drift_words(index: f64) -> &'static str {
    match index {
        _ if index >= drift::LARGE => "large",
        _ if index >= drift::SLIGHT => "slight",
        _ => "none",
    }
}
