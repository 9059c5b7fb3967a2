//! A journal small enough to roll over often, driven by hand.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::Path;

use pinion_journal::{
    FsyncPolicy, Identity, JournalAgent, JournalConfig, JournalError, Reader, Tail, recover,
};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::ring::{EntryProducer, entry_ring};
use pinion_schemas::records::{EntryHeader, entry_kind};

pub(crate) const MARKET: u8 = 1;
pub(crate) const PAYMENT: u8 = 2;

/// An entry as a test remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: u8,
    pub(crate) lane: u8,
    pub(crate) input_index: u64,
    pub(crate) payload: Vec<u8>,
}

impl Item {
    pub(crate) fn header(&self) -> EntryHeader {
        EntryHeader {
            kind: self.kind,
            lane: self.lane,
            input_index: self.input_index,
            sequence: self.input_index,
            stamp_ns: self.input_index as i64,
            ..EntryHeader::default()
        }
    }
}

/// Input number `index`: its payload tells of it, and its length varies.
pub(crate) fn input(index: u64) -> Item {
    let len = (index as usize * 37) % 300;
    let payload = (0..len).map(|place| (index as usize + place) as u8).collect();
    Item {
        kind: entry_kind::INPUT,
        lane: PAYMENT,
        input_index: index,
        payload,
    }
}

pub(crate) fn config(dir: &Path, fsync: FsyncPolicy) -> JournalConfig {
    JournalConfig {
        dir: dir.to_owned(),
        fsync,
        fsync_interval_ms: 60_000,
        segment_len: 16_384,
        batch_len_max: 8192,
        payload_len_max: 1024,
        ..JournalConfig::default()
    }
}

/// An agent with the other ends of its rings.
pub(crate) struct Session {
    pub(crate) inputs: EntryProducer,
    pub(crate) decisions: EntryProducer,
    pub(crate) journal: JournalAgent,
    pub(crate) counters: Counters,
    pub(crate) faults: ErrorLog,
}

impl Session {
    pub(crate) fn start(config: &JournalConfig) -> Self {
        Self::start_as(
            config,
            &Identity {
                config_hash: 7,
                build: "test".to_owned(),
                started_ns: 1,
            },
        )
    }

    pub(crate) fn start_as(config: &JournalConfig, identity: &Identity) -> Self {
        Self::try_start(config, identity).unwrap()
    }

    pub(crate) fn try_start(config: &JournalConfig, identity: &Identity) -> Result<Self, JournalError> {
        let recovery = recover(config)?;
        let (inputs, inputs_end) = entry_ring(1024);
        let (decisions, decisions_end) = entry_ring(1024);
        let (counters, faults) = (Counters::in_memory(16), ErrorLog::in_memory());
        let rings = vec![inputs_end, decisions_end];
        let journal = JournalAgent::new(config, recovery, rings, identity, &counters, &faults)?;
        Ok(Self {
            inputs,
            decisions,
            journal,
            counters,
            faults,
        })
    }

    /// Puts one entry on its ring and drives the journal until it is written.
    pub(crate) fn write(&mut self, item: &Item) {
        let ring = if item.kind == entry_kind::DECISION {
            &mut self.decisions
        } else {
            &mut self.inputs
        };
        assert!(ring.try_write(&item.header(), &item.payload));
        while !self.journal.is_drained() {
            self.journal.do_work(1);
            std::thread::yield_now();
        }
    }

    pub(crate) fn write_all(&mut self, items: &[Item]) {
        items.iter().for_each(|item| self.write(item));
    }

    pub(crate) fn close(mut self) {
        self.journal.on_close();
        assert_eq!(self.journal.position().failure(), None);
    }
}

/// Writes `items` in one session; `closes` or dies.
pub(crate) fn record(config: &JournalConfig, items: &[Item], closes: bool) {
    let mut session = Session::start(config);
    session.write_all(items);
    if closes {
        session.close();
    }
}

/// Everything that can be read, and how it ends.
pub(crate) fn read_all(dir: &Path) -> Result<(Vec<Item>, Tail), JournalError> {
    let mut reader = Reader::open(dir)?;
    let mut items = Vec::new();
    while let Some(entry) = reader.next()? {
        items.push(Item {
            kind: entry.header.kind,
            lane: entry.header.lane,
            input_index: entry.header.input_index,
            payload: entry.payload.to_vec(),
        });
    }
    Ok((items, reader.tail()))
}

/// Segment files in order.
pub(crate) fn segment_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    files.sort();
    files
}
