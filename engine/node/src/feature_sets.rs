//! Which feature set served which payments, kept beside the journal: `feature-sets.jsonl`.
//!
//! ```text
//!   start ───── "began": the set served from behind payment n on ────────────┐
//!   backfill ── "prepared", before the agent gets the new set ───────────────┼─▶ one line each, synced
//!            └─ "done": it serves from behind payment n on / "dropped" ──────┘
//!   next start, replay, export ◀── [History]: (n, set, since), in order
//! ```
//!
//! Each line holds the whole set, so that a journal can be run again when the files of its sets have changed. The last
//! line may be torn: nothing follows from it. A set that was prepared and neither done nor dropped is looked for in
//! the recorded decisions, which carry their set's hash.
//!
//! Invariant: journal and log together say what every vector was computed from; no checkpoint knows more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_features::set::canonical;
use pinion_features::{FeatureSet, Former, Formers, Since};
use pinion_journal::Reader;
use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::Lane;
use pinion_strategy::config_hash_under;
use serde::{Deserialize, Serialize};
use zerocopy::FromBytes as _;

use crate::config::Config;
use crate::models::{Reads, all_can_read};
use crate::notes::{self, hex};
use crate::replica::{ReplicaError, feature_store};

pub use crate::notes::HistoryError;

/// The file's name, in the journal's folder.
pub const FILE_NAME: &str = "feature-sets.jsonl";

/// What became of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// An engine started with it.
    Began,
    /// It is about to take over.
    Prepared,
    /// It took over.
    Done,
    /// It did not take over.
    Dropped,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What became of it.
    pub step: Step,
    /// The journal, as 16 hexadecimal digits.
    pub journal: String,
    /// The last payment before those that it serves; with "prepared" the last one that its store had then.
    pub sequence: u64,
    /// The set's name.
    pub name: String,
    /// The set's version.
    pub version: u32,
    /// Hash of the set in canonical form, as 16 hexadecimal digits.
    pub hash: String,
    /// Events before this leave only their names, up to `until_sequence`. Unit: ns since the Unix epoch.
    pub from_ns: Option<i64>,
    /// See `from_ns`.
    pub until_sequence: Option<u64>,
    /// When it was written. Unit: ns since the Unix epoch.
    pub written_ns: i64,
    /// The file of the set.
    pub text: String,
}

impl Change {
    /// Whether two say the same of a set.
    fn is_of(&self, set: &Known, since: Option<Since>) -> bool {
        self.hash == set.hash_text() && self.since() == since
    }

    /// What of the journal counts.
    pub fn since(&self) -> Option<Since> {
        Some(Since {
            from_ns: self.from_ns?,
            until_sequence: self.until_sequence?,
        })
    }
}

/// A set with its file.
#[derive(Clone, Debug)]
pub struct Known {
    /// The set.
    pub set: Arc<FeatureSet>,
    /// What stands in its file.
    pub text: Arc<str>,
}

impl Known {
    /// Both from the file.
    pub fn new(set: FeatureSet, text: &str) -> Self {
        Self {
            set: Arc::new(set),
            text: text.into(),
        }
    }

    fn hash_text(&self) -> String {
        hex(canonical::hash(&self.set))
    }
}

/// A set, and the payments that it serves: those behind `sequence`.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The last payment before those that it serves.
    pub sequence: u64,
    /// The set.
    pub set: Arc<FeatureSet>,
    /// What of the journal counts for it.
    pub since: Option<Since>,
}

impl InForce {
    /// One that serves all payments.
    pub fn always(set: Arc<FeatureSet>) -> Self {
        Self {
            sequence: 0,
            set,
            since: None,
        }
    }
}

/// The stores of all `sets` but the last, which is in force: they give the payments that are taken again the vectors
/// that they had. A set is left out whose vectors one of the models could not read that score its payments; none of
/// `reads`: the configured one scores all.
///
/// # Errors
/// The configuration is too small for a set, or the model cannot be read.
pub(crate) fn formers(config: &Config, sets: &[InForce], reads: &[Reads]) -> Result<Formers, ReplicaError> {
    let Some((_, formers)) = sets.split_last().filter(|(_, formers)| !formers.is_empty()) else {
        return Ok(Formers::default());
    };
    let configured = [Reads::of(config, 0)?];
    let reads = if reads.is_empty() { &configured } else { reads };
    let stores = formers
        .iter()
        .zip(&sets[1..])
        .filter(|(former, next)| all_can_read(reads, &former.set, (former.sequence, next.sequence)))
        .map(|(former, next)| {
            Ok(Former {
                last_sequence: next.sequence,
                store: Box::new(feature_store(config, &former.set)?),
                since: former.since,
            })
        });
    stores.collect::<Result<Vec<_>, ReplicaError>>().map(Formers::new)
}

/// The log of one journal.
#[derive(Clone, Debug)]
pub struct History {
    dir: PathBuf,
    journal: String,
    changes: Vec<Change>,
}

impl History {
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
        let history = Self::read(dir, segment.journal_id)?;
        Ok((!history.changes.is_empty()).then_some(history))
    }

    /// Its records, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Says what became of each set that was prepared, from the decisions below `end_position`, and writes it down.
    ///
    /// # Errors
    /// The journal cannot be read, or the log not be written.
    pub fn settle(&mut self, end_position: u64, now_ns: i64) -> Result<(), HistoryError> {
        for index in self.open_ones() {
            let first = self.first_decision(index, end_position)?;
            let change = Change {
                step: if first.is_some() {
                    Step::Done
                } else {
                    Step::Dropped
                },
                sequence: first.map_or(self.changes[index].sequence, |first| first - 1),
                written_ns: now_ns,
                ..self.changes[index].clone()
            };
            self.append(change)?;
        }
        Ok(())
    }

    /// What of the journal counts for a set, and whether the log knows it.
    pub fn since_of(&self, set_hash: u64) -> Option<Option<Since>> {
        let hash = hex(set_hash);
        let served =
            |change: &&Change| matches!(change.step, Step::Began | Step::Done) && change.hash == hash;
        self.changes.iter().rev().find(served).map(Change::since)
    }

    /// The newest set that served.
    pub fn newest(&self) -> Option<&Change> {
        let served = |change: &&Change| matches!(change.step, Step::Began | Step::Done);
        self.changes.iter().rev().find(served)
    }

    /// Notes that an engine starts with `set`, unless the log says so already.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn began(
        &mut self,
        set: &Known,
        since: Option<Since>,
        (sequence, now_ns): (u64, i64),
    ) -> Result<(), HistoryError> {
        if self.newest().is_some_and(|newest| newest.is_of(set, since)) {
            return Ok(());
        }
        self.note(Step::Began, (set, since), (sequence, now_ns))
    }

    /// Appends a record about `set`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn note(
        &mut self,
        step: Step,
        (set, since): (&Known, Option<Since>),
        (sequence, now_ns): (u64, i64),
    ) -> Result<(), HistoryError> {
        self.append(Change {
            step,
            journal: self.journal.clone(),
            sequence,
            name: set.set.name.clone(),
            version: set.set.version,
            hash: set.hash_text(),
            from_ns: since.map(|since| since.from_ns),
            until_sequence: since.map(|since| since.until_sequence),
            written_ns: now_ns,
            text: set.text.to_string(),
        })
    }

    /// The sets that served the payments up to `end_position` of the journal, in order. The first one serves from the
    /// first payment on.
    ///
    /// # Errors
    /// The journal cannot be read, or the text of a set not be understood.
    pub fn in_force(&self, end_position: u64) -> Result<Vec<InForce>, HistoryError> {
        let mut sets: Vec<InForce> = Vec::new();
        let open_ones = self.open_ones();
        for (index, change) in self.changes.iter().enumerate() {
            let sequence = match change.step {
                Step::Began | Step::Done => Some(change.sequence),
                Step::Prepared if open_ones.contains(&index) => {
                    self.first_decision(index, end_position)?.map(|first| first - 1)
                }
                Step::Prepared | Step::Dropped => None,
            };
            let Some(sequence) = sequence else { continue };
            let set = FeatureSet::parse(&change.text).map_err(|findings| HistoryError::Damaged {
                path: self.dir.join(FILE_NAME),
                line: index + 1,
                found: findings.first().map(ToString::to_string).unwrap_or_default(),
            })?;
            // Of two that begin at one place the later one serves.
            sets.retain(|earlier| earlier.sequence < sequence);
            sets.push(InForce {
                sequence,
                set: Arc::new(set),
                since: change.since(),
            });
        }
        if let Some(first) = sets.first_mut() {
            first.sequence = 0;
        }
        Ok(sets)
    }

    /// Records of sets that were prepared and of which no later record says what became of them.
    fn open_ones(&self) -> Vec<usize> {
        let is_open = |&index: &usize| {
            let prepared = &self.changes[index];
            let mut later = self.changes[index + 1..].iter();
            let answers = |change: &Change| {
                matches!(change.step, Step::Done | Step::Dropped)
                    && change.hash == prepared.hash
                    && change.since() == prepared.since()
            };
            prepared.step == Step::Prepared && !later.any(answers)
        };
        (0..self.changes.len()).filter(is_open).collect()
    }

    /// The first payment behind a set's preparation whose recorded decision carries its hash.
    fn first_decision(&self, index: usize, end_position: u64) -> Result<Option<u64>, HistoryError> {
        let prepared = &self.changes[index];
        let hash = u64::from_str_radix(&prepared.hash, 16).unwrap_or_default();
        let mut reader = Reader::open(&self.dir)?.until(end_position);
        while let Some(entry) = reader.next_decision()? {
            let header = *entry.header;
            if header.lane != Lane::Payment.0 || header.sequence <= prepared.sequence {
                continue;
            }
            let Ok(decision) = DecisionRecord::read_from_bytes(entry.payload) else {
                continue;
            };
            let under = reader
                .segment()
                .map(|segment| config_hash_under(segment.config_hash, Some(hash)));
            if under == Some(decision.config_hash) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"s\"\nversion = 1\n[[feature]]\nname = \"a\"\ntransform = \"hour\"\n";

    fn known() -> Known {
        Known::new(FeatureSet::parse(TEXT).unwrap(), TEXT)
    }

    fn filled(dir: &Path) -> History {
        let mut history = History::read(dir, 7).unwrap();
        let since = Some(Since {
            from_ns: 5,
            until_sequence: 10,
        });
        history.began(&known(), None, (0, 1)).unwrap();
        history.began(&known(), None, (3, 2)).unwrap();
        history.note(Step::Prepared, (&known(), since), (10, 3)).unwrap();
        history.note(Step::Done, (&known(), since), (12, 4)).unwrap();
        history
    }

    #[test]
    fn what_was_written_is_read_again_and_another_journals_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let written = filled(dir.path());
        let read = History::read(dir.path(), 7).unwrap();
        assert_eq!(read.changes(), written.changes());
        assert_eq!(read.changes().len(), 3, "the second start said nothing new");
        assert!(History::read(dir.path(), 8).unwrap().changes().is_empty());
        let sets = read.in_force(u64::MAX).unwrap();
        let places: Vec<u64> = sets.iter().map(|set| set.sequence).collect();
        assert_eq!(places, [0, 12]);
        assert_eq!(sets[1].since.unwrap().until_sequence, 10);
        let hash = canonical::hash(&known().set);
        assert_eq!(read.since_of(hash).unwrap(), sets[1].since);
        assert_eq!(read.since_of(hash + 1), None);
    }

    #[test]
    fn torn_last_line_is_left_out_and_cut_off_and_a_damaged_one_before_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let path = dir.path().join(FILE_NAME);
        let bytes = std::fs::read(&path).unwrap();
        for cut in [1, 20, 200] {
            std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            let mut history = History::read(dir.path(), 7).unwrap();
            assert_eq!(history.changes().len(), 2, "{cut}");
            history.note(Step::Dropped, (&known(), None), (12, 5)).unwrap();
            assert_eq!(History::read(dir.path(), 7).unwrap().changes().len(), 3, "{cut}");
        }
        let mut damaged = bytes.clone();
        damaged[60] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let error = History::read(dir.path(), 7).unwrap_err().to_string();
        assert!(error.contains("feature-sets.jsonl:1: "), "{error}");
    }
}
