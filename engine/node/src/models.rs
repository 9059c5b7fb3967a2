//! Which model scored which payments, kept beside the journal: `models.jsonl`.
//!
//! ```text
//!   start ── "began": the configured model, as if it had scored from the first payment on ──┐
//!         └─ "configured": the one in force now stands in the configuration, too ───────────┤
//!   swap ─── "prepared", before the agent gets the new one ─────────────────────────────────┼─▶ one line each, synced
//!         └─ "done": it scores from behind payment n on / "dropped" ────────────────────────┘
//!   next start, replay, explain ◀── [ModelLog]: (n, model), in order
//! ```
//!
//! A model that was prepared and neither done nor dropped is looked for in the recorded decisions: each swap turns their
//! flag [`decision_flag::EXCHANGED`]. If a loss of power took the journal's end and left the log, the next start notes
//! "cut": what was swapped behind the end scores from the end on.
//!
//! A start with another model than the log expects is a deployment: the engine goes on as if that model had scored
//! from the first payment on ([`ModelLog::in_force`]). What was recorded before was scored by others all the same
//! ([`ModelLog::recorded`]).
//!
//! Invariant: journal, log and the models' folders together say what every score was computed by.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use pinion_features::FeatureSet;
use pinion_features::set::canonical;
use pinion_features::set::file::SetError;
use pinion_journal::{JournalError, Reader, Recovery};
use pinion_schemas::records::{DecisionRecord, decision_flag};
use pinion_schemas::wire::Lane as WireLane;
use pinion_score::manifest::{MANIFEST_FILE, ModelFolder, locate};
use pinion_score::{ScoreError, Successor};
use serde::{Deserialize, Serialize};
use zerocopy::FromBytes as _;

use crate::config::Config;
use crate::feature_sets::InForce;
use crate::notes::{self, HistoryError, hex};
use crate::replica::{Replica, ReplicaError};

/// The file's name, in the journal's folder.
pub const FILE_NAME: &str = "models.jsonl";

/// Inputs taken at once on the way to a place.
const INPUTS_MAX: usize = 8192;

/// Why it is not known, or cannot be had, what scored the payments.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The log cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configured model is refused.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The configured feature set cannot be read.
    #[error(transparent)]
    Set(#[from] SetError),
    /// A replica with the model is refused.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The model that scored payments is not where it was.
    #[error(
        "{}: {found}, expected the model {model}, which scores the journal's payments {} (models.jsonl)",
        model.folder.display(),
        words_of(*behind, *last)
    )]
    Gone {
        /// The model.
        model: Box<Known>,
        /// What is there.
        found: String,
        /// The last payment before those that it scores.
        behind: u64,
        /// The last of them; none: it is in force.
        last: Option<u64>,
    },
}

impl ModelsError {
    /// Whether stored data is corrupt, as opposed to the rest being impossible to run.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Journal(error) if error.is_corruption())
    }
}

fn words_of(behind: u64, last: Option<u64>) -> String {
    match last {
        Some(last) => format!("{} to {last}", behind + 1),
        None => format!("from {} on", behind + 1),
    }
}

/// What became of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// An engine started with it, as if it had scored from the first payment on.
    Began,
    /// It scores, and from now on it stands in the configuration.
    Configured,
    /// It is about to take over.
    Prepared,
    /// It took over.
    Done,
    /// It did not take over.
    Dropped,
    /// It took over behind what is left of the journal.
    Cut,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What became of it.
    pub step: Step,
    /// The journal, as 16 hexadecimal digits.
    pub journal: String,
    /// The last payment before those that it scores; with "prepared" the last one that it had then.
    pub sequence: u64,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: u32,
    /// The model's hash, as it stands in decisions, as 16 hexadecimal digits.
    pub hash: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its bank was laid out in cells anew behind this payment.
    pub clustered_behind: Option<u64>,
    /// Hash of the model that `score.model` named then.
    pub configured: String,
    /// When it was written. Unit: ns since the Unix epoch.
    pub written_ns: i64,
}

impl Change {
    fn known(&self) -> Known {
        Known {
            name: self.name.clone(),
            version: self.version,
            hash: u64::from_str_radix(&self.hash, 16).unwrap_or_default(),
            folder: self.folder.clone(),
        }
    }

    /// Whether payments behind its sequence are the model's.
    fn takes_over(&self) -> bool {
        matches!(self.step, Step::Began | Step::Done | Step::Cut)
    }
}

/// A model with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its hash, as it stands in decisions.
    pub hash: u64,
    /// Its folder.
    pub folder: PathBuf,
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} version {} (hash {})",
            self.name,
            self.version,
            hex(self.hash)
        )
    }
}

impl Known {
    /// The model that `configured` names, as [`locate`] finds it.
    ///
    /// # Errors
    /// It is nowhere, or its folder is damaged.
    pub fn find(configured: &str) -> Result<Self, ScoreError> {
        let folder = locate(Path::new(configured))?;
        let model = ModelFolder::open(&folder)?;
        Ok(Self {
            name: model.manifest.name.clone(),
            version: model.manifest.version,
            hash: model.hash,
            folder: folder.canonicalize().unwrap_or(folder),
        })
    }

    /// `config` with this model: where it was, or where the configured one is.
    fn config(&self, config: &Config) -> Result<Config, String> {
        let mut found = String::new();
        for place in [&self.folder.display().to_string(), &config.score.model] {
            let said = match Self::find(place) {
                Ok(known) if known.hash == self.hash => {
                    let mut config = config.clone();
                    config.score.model = known.folder.display().to_string();
                    return Ok(config);
                }
                Ok(known) => format!("the model there is {known}"),
                Err(_) if !Path::new(place).join(MANIFEST_FILE).is_file() => format!("no {MANIFEST_FILE}"),
                Err(error) => error.to_string(),
            };
            if found.is_empty() {
                found = said;
            }
        }
        Err(found)
    }
}

/// A model, and the payments that it scores: those behind `sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoring {
    /// The last payment before those that it scores.
    pub sequence: u64,
    /// The model.
    pub model: Known,
    /// Its bank was laid out in cells anew behind this payment.
    pub clustered_behind: Option<u64>,
}

impl Scoring {
    /// One that scores all payments.
    pub fn always(model: Known) -> Self {
        Self {
            sequence: 0,
            model,
            clustered_behind: None,
        }
    }

    /// `config` with its model; `last` is the last payment that it scores.
    ///
    /// # Errors
    /// [`ModelsError::Gone`].
    pub fn config(&self, config: &Config, last: Option<u64>) -> Result<Config, ModelsError> {
        self.model.config(config).map_err(|found| ModelsError::Gone {
            model: Box::new(self.model.clone()),
            found,
            behind: self.sequence,
            last,
        })
    }
}

/// Which vectors a model reads, and from where on it is given any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    behind: u64,
    slots: usize,
    feature_set_hash: u64,
}

impl Reads {
    /// What the configured model reads, of all payments.
    pub(crate) fn of(config: &Config, behind: u64) -> Result<Self, ScoreError> {
        let folder = ModelFolder::open(&locate(Path::new(&config.score.model))?)?;
        Ok(Self {
            behind,
            slots: folder.manifest.features.len(),
            feature_set_hash: folder.feature_set_hash,
        })
    }

    fn can_read(&self, set: &FeatureSet) -> bool {
        canonical::hash_of_first(set, self.slots) == Some(self.feature_set_hash)
    }
}

/// Whether each of the models that score payments behind `behind` up to `last` can read the vectors of `set`.
pub(crate) fn all_can_read(reads: &[Reads], set: &FeatureSet, (behind, last): (u64, u64)) -> bool {
    let next = reads.iter().skip(1).map(|next| next.behind).chain([u64::MAX]);
    let mut those = reads
        .iter()
        .zip(next)
        .filter(|(model, until)| model.behind < last && *until > behind);
    those.all(|(model, _)| model.can_read(set))
}

/// The models of a payment lane: who scores first, and who takes over where.
#[derive(Default)]
pub struct Lane {
    /// None: the configured one.
    pub(crate) first: Option<Box<Config>>,
    pub(crate) successors: VecDeque<Successor>,
    /// None: what the configured one reads.
    pub(crate) reads: Vec<Reads>,
    /// Whether there was an odd number of exchanges before the first payment that the lane takes.
    pub(crate) is_odd: bool,
}

impl Lane {
    /// The models of a lane that takes the journal's payments from the first one on. `open` begins to read it anew;
    /// `sets` served it. Neither may be empty.
    ///
    /// # Errors
    /// A model is refused, or gone; the journal cannot be read.
    ///
    /// Cost: one pass over the journal through features and scorer for each model that takes over, up to there. Only the
    ///       first and the last have a GPU, if there is one.
    pub fn prepare(
        config: &Config,
        (sets, scorings): (&[InForce], &[Scoring]),
        open: impl Fn() -> Result<Reader, JournalError>,
    ) -> Result<Self, ModelsError> {
        let mut lane = Self::default();
        let last = scorings.iter().skip(1).map(|next| Some(next.sequence));
        for (index, (scoring, last)) in scorings.iter().zip(last.chain([None])).enumerate() {
            let config = scoring.config(config, last)?;
            lane.reads.push(Reads::of(&config, scoring.sequence)?);
            if index == 0 {
                lane.first = Some(Box::new(config));
            } else {
                tracing::info!(
                    "{} took over behind payment {}: its cases are made from the journal",
                    scoring.model,
                    scoring.sequence
                );
                let mut successor = successor(&config, sets, scoring, open()?)?;
                if last.is_none() {
                    successor.scorer.serve(&config.score)?;
                }
                lane.successors.push_back(successor);
            }
        }
        Ok(lane)
    }

    /// Says how many exchanges there were in all.
    pub(crate) fn with_parity(mut self, is_odd: bool) -> Self {
        self.is_odd = is_odd ^ (self.successors.len() % 2 == 1);
        self
    }
}

/// A scorer as it was when it took over.
fn successor(
    config: &Config,
    sets: &[InForce],
    scoring: &Scoring,
    mut inputs: Reader,
) -> Result<Successor, ModelsError> {
    let of_then = |set: &&InForce| set.sequence == 0 || set.sequence < scoring.sequence;
    let sets: Vec<InForce> = sets.iter().filter(of_then).cloned().collect();
    let mut replica = Replica::with_cases(config, &sets)?;
    replica.set_scoring(scoring);
    while replica.place().sequence < scoring.sequence {
        let taken = replica.run(&mut inputs, scoring.sequence, INPUTS_MAX, |_, _| ())?;
        if taken == 0 {
            break;
        }
    }
    let scorer = replica.into_scorer().expect("it knows the cases");
    let sequence = scoring.sequence;
    Ok(Successor { sequence, scorer })
}

/// The log of one journal.
#[derive(Clone, Debug)]
pub struct ModelLog {
    dir: PathBuf,
    journal: String,
    changes: Vec<Change>,
}

impl ModelLog {
    /// Reads the log of the journal `journal_id` in `dir`; one that is not there is empty. Records of another journal
    /// are passed over.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged before its last line.
    pub fn read(dir: &Path, journal_id: u64) -> Result<Self, HistoryError> {
        let journal = hex(journal_id);
        let mut changes: Vec<Change> = notes::read(&dir.join(FILE_NAME))?;
        changes.retain(|change| change.journal == journal);
        Ok(Self {
            dir: dir.to_path_buf(),
            journal,
            changes,
        })
    }

    /// As [`Self::read`], of the journal in `dir`. `None`: it has no segment, or there is no record.
    ///
    /// # Errors
    /// As [`Self::read`], and the journal's first segment cannot be read.
    pub fn of_journal(dir: &Path) -> Result<Option<Self>, HistoryError> {
        let Some(segment) = Reader::open(dir)?.segment().copied() else {
            return Ok(None);
        };
        let log = Self::read(dir, segment.journal_id)?;
        Ok((!log.changes.is_empty()).then_some(log))
    }

    /// Its records, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Says what became of each model that was prepared, from the decisions below `end_position`, and of one that took
    /// over behind the last payment, and writes it down.
    ///
    /// # Errors
    /// The journal cannot be read, or the log not be written.
    pub fn settle(
        &mut self,
        (end_position, last_sequence): (u64, u64),
        now_ns: i64,
    ) -> Result<(), HistoryError> {
        for index in self.open_ones() {
            let first = self.first_decision(index, end_position)?;
            let change = Change {
                step: first.map_or(Step::Dropped, |_| Step::Done),
                sequence: first.map_or(self.changes[index].sequence, |first| first - 1),
                written_ns: now_ns,
                ..self.changes[index].clone()
            };
            self.append(change)?;
        }
        let newest = self.changes.iter().rev().find(|change| change.takes_over());
        let beyond = newest.filter(|newest| newest.step != Step::Began && newest.sequence > last_sequence);
        if let Some(beyond) = beyond.cloned() {
            self.append(Change {
                step: Step::Cut,
                sequence: last_sequence,
                written_ns: now_ns,
                ..beyond
            })?;
        }
        Ok(())
    }

    /// The newest record of the model in force.
    pub fn newest(&self) -> Option<&Change> {
        let is_of_it = |change: &&Change| change.takes_over() || change.step == Step::Configured;
        self.changes.iter().rev().find(is_of_it)
    }

    /// Whether the log knows a model.
    pub fn knows(&self, hash: u64) -> bool {
        let hash = hex(hash);
        self.changes
            .iter()
            .any(|change| change.takes_over() && change.hash == hash)
    }

    /// Whether scorers were exchanged an odd number of times.
    pub fn is_odd(&self) -> bool {
        is_odd(&self.changes)
    }

    /// Appends a record about a model; `configured` is the hash of the one that `score.model` names.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn note(
        &mut self,
        step: Step,
        scoring: &Scoring,
        configured: u64,
        now_ns: i64,
    ) -> Result<(), HistoryError> {
        let Known {
            name,
            version,
            hash,
            folder,
        } = scoring.model.clone();
        self.append(Change {
            step,
            journal: self.journal.clone(),
            sequence: scoring.sequence,
            name,
            version,
            hash: hex(hash),
            folder,
            clustered_behind: scoring.clustered_behind,
            configured: hex(configured),
            written_ns: now_ns,
        })
    }

    /// The models that an engine scores the payments up to `end_position` with when it takes them again, in order: since
    /// the last deployment. The first one scores from the first payment on.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn in_force(&self, end_position: u64) -> Result<Vec<Scoring>, HistoryError> {
        let began = |change: &Change| change.step == Step::Began;
        self.behind(self.changes.iter().rposition(began).unwrap_or(0), end_position)
    }

    /// The models that scored what is recorded up to `end_position`, in order. The first one scores from the first
    /// payment on.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn recorded(&self, end_position: u64) -> Result<Vec<Scoring>, HistoryError> {
        self.behind(0, end_position)
    }

    fn behind(&self, first_index: usize, end_position: u64) -> Result<Vec<Scoring>, HistoryError> {
        let mut scorings: Vec<Scoring> = Vec::new();
        let open_ones = self.open_ones();
        for (index, change) in self.changes.iter().enumerate().skip(first_index) {
            let sequence = match change.step {
                Step::Prepared if open_ones.contains(&index) => {
                    self.first_decision(index, end_position)?.map(|first| first - 1)
                }
                _ => change.takes_over().then_some(change.sequence),
            };
            let Some(sequence) = sequence else { continue };
            // Of two that begin at one place the later one scores.
            scorings.retain(|earlier| earlier.sequence < sequence);
            scorings.push(Scoring {
                sequence,
                model: change.known(),
                clustered_behind: change.clustered_behind,
            });
        }
        if let Some(first) = scorings.first_mut() {
            first.sequence = 0;
        }
        Ok(scorings)
    }

    /// Records of models that were prepared and of which no later record says what became of them.
    fn open_ones(&self) -> Vec<usize> {
        let is_open = |&index: &usize| {
            let prepared = &self.changes[index];
            let mut later = self.changes[index + 1..].iter();
            let answers = |change: &Change| {
                matches!(change.step, Step::Done | Step::Dropped)
                    && change.hash == prepared.hash
                    && change.clustered_behind == prepared.clustered_behind
            };
            prepared.step == Step::Prepared && !later.any(answers)
        };
        (0..self.changes.len()).filter(is_open).collect()
    }

    /// The first payment behind a model's preparation whose recorded decision was made after one more exchange than
    /// there had been.
    fn first_decision(&self, index: usize, end_position: u64) -> Result<Option<u64>, HistoryError> {
        let was_odd = is_odd(&self.changes[..index]);
        let mut reader = Reader::open(&self.dir)?.until(end_position);
        while let Some(entry) = reader.next_decision()? {
            let header = *entry.header;
            if header.lane != WireLane::Payment.0 || header.sequence <= self.changes[index].sequence {
                continue;
            }
            let Ok(decision) = DecisionRecord::read_from_bytes(entry.payload) else {
                continue;
            };
            if (decision.run_flags & decision_flag::EXCHANGED != 0) != was_odd {
                return Ok(Some(header.sequence));
            }
        }
        Ok(None)
    }

    fn append(&mut self, change: Change) -> Result<(), HistoryError> {
        notes::append(&self.dir.join(FILE_NAME), &change)?;
        self.changes.push(change);
        Ok(())
    }
}

fn is_odd(changes: &[Change]) -> bool {
    let done = changes.iter().filter(|change| change.step == Step::Done);
    done.count() % 2 == 1
}

/// The models of an engine that starts.
pub(crate) struct AtStart {
    /// With the model in force.
    pub(crate) config: Config,
    /// The models that score what is recorded, and last the one in force.
    pub(crate) scorings: Vec<Scoring>,
    /// Whether there was an odd number of exchanges.
    pub(crate) is_odd: bool,
    /// Hash of the model that `score.model` names.
    configured: u64,
    /// What is to be noted when the engine has started.
    note: Option<(Step, Scoring)>,
}

impl AtStart {
    /// Goes by the log beside the journal, in which it says what became of exchanges that were under way.
    ///
    /// # Errors
    /// The log or the journal cannot be used, or the model in force is gone or damaged.
    pub(crate) fn of(
        config: &Config,
        (journal_id, recovery): (Option<u64>, &Recovery),
        now_ns: i64,
    ) -> Result<Self, ModelsError> {
        let configured = Known::find(&config.score.model)?;
        let last = (recovery.next_position, recovery.last_sequence.payment);
        let deployed = Scoring {
            sequence: recovery.last_decision_sequence.payment,
            ..Scoring::always(configured.clone())
        };
        let mut start = Self {
            config: config.clone(),
            scorings: vec![Scoring::always(configured.clone())],
            is_odd: false,
            configured: configured.hash,
            note: Some((Step::Began, deployed)),
        };
        let Some(journal_id) = journal_id else {
            return Ok(start);
        };
        let mut log = ModelLog::read(&config.journal().dir, journal_id)?;
        log.settle(last, now_ns)?;
        start.is_odd = log.is_odd();
        let Some(newest) = log.newest() else {
            return Ok(start);
        };
        let scorings = log.in_force(recovery.next_position)?;
        let in_force = scorings.last().expect("the newest one is in force");
        let is_as_before = newest.configured == hex(configured.hash);
        if newest.hash == hex(configured.hash) {
            let at = |scoring: &Scoring| (Step::Configured, scoring.clone());
            start.note = (!is_as_before).then(|| at(in_force));
        } else if is_as_before && config.engine.keeps_swapped_model {
            tracing::warn!(
                "score.model is {configured}, and was so when {} was swapped in behind payment {}: the latter goes on \
                 (to keep it, have score.model = \"{}\"; to be rid of it, swap again, or start once with \
                 engine.keeps_swapped_model = false)",
                in_force.model,
                in_force.sequence,
                in_force.model.folder.display()
            );
            start.config = in_force.config(config, None)?;
            start.note = None;
        } else {
            tracing::warn!(
                "score.model is {configured}; the journal was last scored by {}, which is in force no more",
                newest.known()
            );
            return Ok(start);
        }
        start.scorings = scorings;
        Ok(start)
    }

    /// The one in force.
    pub(crate) fn in_force(&self) -> &Scoring {
        self.scorings.last().expect("one model is in force")
    }

    /// Hash of the model that `score.model` names.
    pub(crate) fn configured(&self) -> u64 {
        self.configured
    }

    /// Notes beside the journal, which has its first segment now, what scores from here on.
    pub(crate) fn note_began(&self, journal_id: u64, now_ns: i64) -> Result<(), HistoryError> {
        let Some((step, scoring)) = &self.note else {
            return Ok(());
        };
        let mut log = ModelLog::read(&self.config.journal().dir, journal_id)?;
        log.note(*step, scoring, self.configured, now_ns)
    }
}
