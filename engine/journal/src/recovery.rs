//! Finds out how far a journal came, and makes it fit to be continued.
//!
//! ```text
//!   lock ─▶ read every entry ─▶ torn? zero the rest, drop later segments ─▶ sync ─▶ Recovery
//!                           └─▶ damaged below the durable mark? stop, nothing is changed
//! ```
//!
//! Where intact entries stand behind the tear (bytes before them were lost with the power), the files are first
//! set aside as `<segment>.torn-1` and so on, for people; the engine never looks at those.
//!
//! Invariant: recovery removes only what follows the last intact entry and was not durable, and after it
//! everything that is left is durable. No intact entry is destroyed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pinion_schemas::records::{EntryHeader, entry_kind};
use pinion_schemas::wire::Lane;

use crate::config::JournalConfig;
use crate::error::JournalError;
use crate::format::SegmentInfo;
use crate::lock::DirectoryLock;
use crate::mapping::Mapping;
use crate::position::JournalPosition;
use crate::reader::{Reader, Tail, Tear};
use crate::segments;

/// A sequence for each lane, 0 before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSequences {
    /// Of the market lane.
    pub market: u64,
    /// Of the payment lane.
    pub payment: u64,
}

impl LaneSequences {
    /// Raises the lane's sequence to `sequence`; a lane that does not exist is passed over.
    fn raise(&mut self, lane: u8, sequence: u64) {
        let known = match Lane(lane) {
            Lane::Market => &mut self.market,
            Lane::Payment => &mut self.payment,
            _ => return,
        };
        *known = sequence.max(*known);
    }

    fn min(self, other: Self) -> Self {
        Self {
            market: self.market.min(other.market),
            payment: self.payment.min(other.payment),
        }
    }
}

/// What a journal holds, and the right to continue it.
#[derive(Debug)]
pub struct Recovery {
    /// Where the next entry goes. A reader of what was recovered ends here: see [`Reader::until`].
    pub next_position: u64,
    /// Highest `input_index` of an input.
    pub last_index: u64,
    /// Sequence of the last input of each lane.
    pub last_sequence: LaneSequences,
    /// Sequence of the last event of each lane whose decision is recorded; never beyond its input.
    pub last_decision_sequence: LaneSequences,
    /// Latest stamp of any entry. Unit: ns since the Unix epoch.
    pub last_stamp_ns: i64,
    /// Inputs recorded.
    pub inputs: u64,
    /// Decisions recorded.
    pub decisions: u64,
    /// Bytes cut off from a torn tail; never durable.
    pub truncated_len: u64,
    /// Intact entries among them, which do not count because something before them was lost. Files that hold
    /// such entries are kept in the journal's directory under names that end in `.torn-` and a number.
    pub truncated_entries: u64,
    /// Whole segments among them.
    pub truncated_segments: u64,
    pub(crate) lock: DirectoryLock,
    pub(crate) position: Arc<JournalPosition>,
    /// The segment to continue, and where; `None`: there is none yet.
    pub(crate) tail: Option<(SegmentInfo, usize)>,
    /// Entries before the next one, the journal's own included.
    pub(crate) next_entry_index: u64,
}

impl Recovery {
    /// The counters that the agent will move, for gates and for whoever shows them.
    pub fn position(&self) -> Arc<JournalPosition> {
        Arc::clone(&self.position)
    }
}

/// Locks the journal's directory, reads it, cuts off a torn tail and makes the rest durable. The lock is held by
/// the [`Recovery`] and then by the agent that continues from it.
///
/// Error: [`JournalError::Locked`] if an engine is running, [`JournalError::Corrupt`] if something durable is
///        damaged; then nothing was changed.
/// Cost:  one pass over all entries.
pub fn recover(config: &JournalConfig) -> Result<Recovery, JournalError> {
    config.validate()?;
    let dir = &config.dir;
    fs::create_dir_all(dir).map_err(JournalError::io(dir, "create the directory"))?;
    let lock = DirectoryLock::take(dir)?;

    let mut reader = Reader::open(dir)?;
    let mut tally = Tally::default();
    while let Some(entry) = reader.next()? {
        tally.add(entry.header);
    }
    repair(config, &reader)?;
    segments::sync_all(dir)?;
    Ok(tally.into_recovery(&reader, lock))
}

/// What the entries add up to.
#[derive(Debug, Default)]
struct Tally {
    last_index: u64,
    last_sequence: LaneSequences,
    last_decision_sequence: LaneSequences,
    last_stamp_ns: i64,
    inputs: u64,
    decisions: u64,
}

impl Tally {
    fn add(&mut self, header: &EntryHeader) {
        self.last_stamp_ns = self.last_stamp_ns.max(header.stamp_ns);
        match header.kind {
            entry_kind::INPUT => {
                self.inputs += 1;
                self.last_index = self.last_index.max(header.input_index);
                self.last_sequence.raise(header.lane, header.sequence);
            }
            entry_kind::DECISION => {
                self.decisions += 1;
                self.last_decision_sequence.raise(header.lane, header.sequence);
            }
            _ => {}
        }
    }

    fn into_recovery(self, reader: &Reader, lock: DirectoryLock) -> Recovery {
        let tear = torn(reader);
        Recovery {
            next_position: reader.position(),
            last_index: self.last_index,
            last_sequence: self.last_sequence,
            last_decision_sequence: self.last_decision_sequence.min(self.last_sequence),
            last_stamp_ns: self.last_stamp_ns,
            inputs: self.inputs,
            decisions: self.decisions,
            truncated_len: tear.map_or(0, |tear| tear.len),
            truncated_entries: tear.map_or(0, |tear| tear.entries_after),
            truncated_segments: tear.map_or(0, |tear| tear.segments_after),
            lock,
            position: Arc::new(JournalPosition::starting_at(reader.position(), self.last_index)),
            tail: reader.segment().map(|segment| (*segment, reader.offset())),
            next_entry_index: reader.entry_index(),
        }
    }
}

fn torn(reader: &Reader) -> Option<Tear> {
    match reader.tail() {
        Tail::Clean => None,
        Tail::Torn(tear) => Some(tear),
    }
}

/// Removes prepared segments and what is torn: later segments first, so that an interruption leaves a tail that
/// is still torn.
fn repair(config: &JournalConfig, reader: &Reader) -> Result<(), JournalError> {
    let dir = &config.dir;
    let tear = torn(reader);
    let keeps_copies = tear.is_some_and(|tear| tear.entries_after > 0);
    let last_id = reader.segment().map_or(0, |segment| segment.segment_id);
    for id in segments::list(dir)?.into_iter().rev().filter(|&id| id > last_id) {
        if keeps_copies {
            tell_of_copy(&segments::set_aside(dir, id)?);
        } else {
            segments::remove(dir, id)?;
        }
    }
    if let Some(tear) = tear.filter(|tear| tear.segment_id == last_id) {
        if keeps_copies {
            tell_of_copy(&segments::copy_aside(dir, last_id)?);
        }
        zero_tail(config, &tear)?;
    }
    if let Some(Tear {
        position,
        segment_id,
        len,
        entries_after,
        ..
    }) = tear
    {
        tracing::warn!(
            position,
            segment_id,
            len,
            entries_after,
            "journal: torn tail cut off, it was not durable"
        );
    }
    Ok(())
}

fn tell_of_copy(path: &Path) {
    tracing::warn!(path = %path.display(), "journal: intact entries behind a tear are kept aside");
}

/// Overwrites the torn tail of its segment with zeros.
fn zero_tail(config: &JournalConfig, tear: &Tear) -> Result<(), JournalError> {
    let path = segments::path(&config.dir, tear.segment_id);
    let end = {
        let bytes = Mapping::open(&path)?;
        crate::format::data_end(&bytes, tear.offset as usize) as u64
    };
    let file = segments::open_to_repair(&path)?;
    segments::write_zeros(&file, tear.offset, end, || ())
        .and_then(|()| file.sync_all())
        .map_err(JournalError::io(&path, "zero the torn tail"))
}
