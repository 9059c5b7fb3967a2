//! The payments of a journal or of a file, as the engine's intake takes them.
//!
//! ```text
//!   journal ── recorded input ──────────────┐
//!   file ── event ── encoded as a frame ────┴─▶ ByHand: verified, numbered, dense ids ─▶ PaymentRecord
//! ```
//!
//! Invariant: both give the records that the engine would have made of the same events; read again, the same.

use std::path::{Path, PathBuf};

use pinion_ingest::{ByHand, IngestConfig};
use pinion_journal::{Entry, Reader};
use pinion_schemas::encode::{Encoder, Event, Stamp};
use pinion_schemas::records::{EntryHeader, PaymentRecord, entry_kind};
use pinion_schemas::wire::Lane;

use crate::import::EventSource;

use super::ExportError;

/// Where rows come from, for whoever finds their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The journal, if they come from one.
    pub journal: Option<JournalPart>,
}

/// The part of a journal that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPart {
    /// Names the journal.
    pub id: u64,
    /// Position of the first entry that was applied. Unit: bytes.
    pub from_position: u64,
    /// Position after the last one. Unit: bytes.
    pub to_position: u64,
}

/// Accepted payments, which can be read from their beginning again.
pub trait Payments {
    /// Begins again at the first one. What a pass did not reach is not there in the next.
    ///
    /// # Errors
    /// The source cannot be opened any more.
    fn restart(&mut self) -> Result<(), ExportError>;

    /// The next one, `None` at the end.
    ///
    /// # Errors
    /// The source cannot be read on, or is damaged.
    fn next_payment(&mut self) -> Result<Option<PaymentRecord>, ExportError>;

    /// Payment events of this pass so far that ingest does not take.
    fn refused(&self) -> u64;

    /// Events to be read in one pass, if that is known.
    fn len_hint(&self) -> Option<u64>;

    /// The source in words for people.
    fn describe(&self) -> String;

    /// What a file's metadata says of it. Known after the first pass.
    fn provenance(&self) -> Provenance;
}

/// The payments of a journal. An engine may be writing it: the first pass sets the end.
pub struct JournalPayments {
    dir: PathBuf,
    ingest: IngestConfig,
    reader: Reader,
    by_hand: ByHand,
    part: JournalPart,
    config_hashes: Vec<u64>,
    refused: u64,
}

impl JournalPayments {
    /// Opens the journal in `dir`. `ingest` is the section under which it was written: tables that were full
    /// have forgotten the same names then.
    ///
    /// # Errors
    /// The folder cannot be read, the first segment is damaged, or a size is out of its range.
    pub fn open(dir: &Path, ingest: &IngestConfig) -> Result<Self, ExportError> {
        Ok(Self {
            dir: dir.to_path_buf(),
            ingest: ingest.clone(),
            reader: Reader::open(dir)?,
            by_hand: ByHand::new(ingest)?,
            part: JournalPart {
                to_position: u64::MAX,
                ..JournalPart::default()
            },
            config_hashes: Vec::new(),
            refused: 0,
        })
    }

    /// Hashes of the configurations that the part was written under, each time that it changed.
    pub fn config_hashes(&self) -> &[u64] {
        &self.config_hashes
    }

    fn note_segment(&mut self) {
        if let Some(segment) = self.reader.segment() {
            self.part.id = segment.journal_id;
            if self.config_hashes.last() != Some(&segment.config_hash) {
                self.config_hashes.push(segment.config_hash);
            }
        }
    }
}

impl Payments for JournalPayments {
    fn restart(&mut self) -> Result<(), ExportError> {
        self.part.to_position = self.reader.position();
        self.reader = Reader::open(&self.dir)?.until(self.part.to_position);
        self.by_hand = ByHand::new(&self.ingest)?;
        self.config_hashes.clear();
        self.refused = 0;
        Ok(())
    }

    fn next_payment(&mut self) -> Result<Option<PaymentRecord>, ExportError> {
        while let Some(entry) = self.reader.next_input()? {
            if entry.header.lane != Lane::Payment.0 {
                continue;
            }
            let taken = self.by_hand.take(&entry);
            self.note_segment();
            match taken {
                None => self.refused += 1,
                payment => return Ok(payment),
            }
        }
        Ok(None)
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!("journal {}", self.dir.display())
    }

    fn provenance(&self) -> Provenance {
        Provenance {
            journal: Some(self.part),
        }
    }
}

/// The payments of a source of events; its market events are passed over.
pub struct EventPayments {
    source: Box<dyn EventSource>,
    again: Option<Box<dyn EventSource>>,
    ingest: IngestConfig,
    by_hand: ByHand,
    encoder: Encoder,
    sequence: u64,
    refused: u64,
}

impl EventPayments {
    /// Reads `source`, and then `again`, which is the same source opened a second time.
    ///
    /// # Errors
    /// A size of `ingest` is out of its range.
    pub fn new(
        source: Box<dyn EventSource>,
        again: Box<dyn EventSource>,
        ingest: &IngestConfig,
    ) -> Result<Self, ExportError> {
        Ok(Self {
            again: Some(again),
            ..Self::once(source, ingest)?
        })
    }

    /// Reads `source`; it cannot be read again.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn once(source: Box<dyn EventSource>, ingest: &IngestConfig) -> Result<Self, ExportError> {
        Ok(Self {
            source,
            again: None,
            ingest: ingest.clone(),
            by_hand: ByHand::new(ingest)?,
            encoder: Encoder::new(),
            sequence: 0,
            refused: 0,
        })
    }

    /// Hands one event to ingest as the entry that the journal would have of it.
    fn take(&mut self, event: &Event) -> Option<PaymentRecord> {
        self.sequence += 1;
        let stamp = Stamp {
            publisher_id: 1,
            session: 1,
            sequence: self.sequence,
            flags: 0,
        };
        let header = EntryHeader {
            input_index: self.sequence,
            sequence: self.sequence,
            stamp_ns: event.event_ns(),
            kind: entry_kind::INPUT,
            lane: Lane::Payment.0,
            ..EntryHeader::default()
        };
        self.by_hand.take(&Entry {
            position: 0,
            header: &header,
            payload: self.encoder.encode(&stamp, event),
        })
    }
}

impl Payments for EventPayments {
    fn restart(&mut self) -> Result<(), ExportError> {
        let source_name = self.describe();
        self.source = self.again.take().ok_or(ExportError::Changed { source_name })?;
        self.by_hand = ByHand::new(&self.ingest)?;
        (self.sequence, self.refused) = (0, 0);
        Ok(())
    }

    fn next_payment(&mut self) -> Result<Option<PaymentRecord>, ExportError> {
        while let Some(event) = self.source.next()? {
            if !is_payment(&event.event) {
                continue;
            }
            match self.take(&event.event) {
                None => self.refused += 1,
                payment => return Ok(payment),
            }
        }
        Ok(None)
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn len_hint(&self) -> Option<u64> {
        self.source.len_hint()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn provenance(&self) -> Provenance {
        Provenance::default()
    }
}

fn is_payment(event: &Event) -> bool {
    matches!(
        event,
        Event::Transaction(_) | Event::Label(_) | Event::AccountUpdate(_)
    )
}
