//! A recorded journal as the source of a replay: looked through once, then read by whoever needs a part of it.
//!
//! ```text
//!   journal ──one pass──▶ [Survey]: inputs, end, configurations, torn or closed
//!      ├──▶ inputs, both lanes, in order ──▶ ingest
//!      └──▶ decisions of one lane, in order ──▶ compared with the replayed ones (one reader for each lane)
//! ```
//!
//! Each reader passes over what is not its own, so memory stays bounded however far the lanes are apart.
//!
//! Invariant: after a survey that found no damage, every reader ends at the same position, also when an engine
//! goes on writing.

use std::path::{Path, PathBuf};

use pinion_journal::{JournalError, Reader, Tail};
use pinion_schemas::records::{DecisionRecord, entry_kind};
use pinion_schemas::wire::Lane;
use zerocopy::FromBytes as _;

/// A configuration that a part of the journal was written under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenUnder {
    /// Hash of every key that can change a decision.
    pub config_hash: u64,
    /// The first segment written under it.
    pub segment_id: u64,
    /// Position of that segment's first entry.
    pub position: u64,
}

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Inputs of both lanes.
    pub inputs: u64,
    /// Decisions of both lanes; only those with an action are recorded.
    pub decisions: u64,
    /// Position after the last intact entry. Unit: bytes.
    pub end_position: u64,
    /// What stands behind it.
    pub tail: Tail,
    /// The journal ends with the mark of an orderly close.
    pub is_closed: bool,
    /// When the first input was accepted. Unit: ns since the Unix epoch.
    pub first_stamp_ns: i64,
    /// Configurations in the order of the segments, each time that it changed.
    pub configurations: Vec<WrittenUnder>,
}

/// A journal that was looked through and found sound.
#[derive(Clone, Debug)]
pub struct RecordedJournal {
    dir: PathBuf,
    survey: Survey,
}

impl RecordedJournal {
    /// Looks through the journal in `dir`.
    ///
    /// # Errors
    /// The directory cannot be read, a segment is missing, or something durable is damaged.
    ///
    /// Cost: one pass over all entries.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let mut reader = Reader::open(dir)?;
        let mut survey = Survey::default();
        while let Some(entry) = reader.next()? {
            match entry.header.kind {
                entry_kind::INPUT if survey.inputs == 0 => {
                    survey.first_stamp_ns = entry.header.stamp_ns;
                    survey.inputs = 1;
                }
                entry_kind::INPUT => survey.inputs += 1,
                entry_kind::DECISION => survey.decisions += 1,
                _ => {}
            }
            survey.note_configuration(&reader);
        }
        survey.end_position = reader.position();
        survey.tail = reader.tail();
        survey.is_closed = reader.is_closed();
        Ok(Self {
            dir: dir.to_path_buf(),
            survey,
        })
    }

    /// What it holds.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads everything again, up to the end that the survey found.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reader(&self) -> Result<Reader, JournalError> {
        Ok(Reader::open(&self.dir)?.until(self.survey.end_position))
    }

    /// Reads the recorded decisions of `lane`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn decisions(&self, lane: Lane) -> Result<RecordedDecisions, JournalError> {
        Ok(RecordedDecisions {
            reader: self.reader()?,
            lane,
        })
    }
}

impl Survey {
    fn note_configuration(&mut self, reader: &Reader) {
        let Some(segment) = reader.segment() else { return };
        let is_known = |last: &WrittenUnder| last.config_hash == segment.config_hash;
        if !self.configurations.last().is_some_and(is_known) {
            self.configurations.push(WrittenUnder {
                config_hash: segment.config_hash,
                segment_id: segment.segment_id,
                position: segment.start_position,
            });
        }
    }
}

/// The recorded decisions of one lane, in the order in which they were recorded.
pub struct RecordedDecisions {
    reader: Reader,
    lane: Lane,
}

impl RecordedDecisions {
    /// The next one, or `None` at the end.
    ///
    /// # Errors
    /// The journal changed since it was looked through.
    pub fn next_decision(&mut self) -> Result<Option<DecisionRecord>, JournalError> {
        while let Some(entry) = self.reader.next_decision()? {
            if entry.header.lane == self.lane.0 {
                return Ok(Some(decision_of(entry.payload)));
            }
        }
        Ok(None)
    }
}

/// The decision that is the payload of an entry; a payload of another length reads as one that equals none.
pub(crate) fn decision_of(payload: &[u8]) -> DecisionRecord {
    DecisionRecord::read_from_bytes(payload).unwrap_or_default()
}
