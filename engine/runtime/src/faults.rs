//! Things that went wrong in a duty cycle, each kind told once, with a count.
//!
//! ```text
//!   agent ──Fault (16 bytes)──▶ ErrorLog: one item per kind ◀──ErrorLogReader── errors, /metrics
//! ```
//!
//! A log that grows with every fault drowns the first one; this one holds for every kind how often, first
//! when, last when, and one detail of the last. Start at [`ErrorLog`]; [`FaultKind`] lists the kinds.
//!
//! **Layout**, version 1, in 64-bit words of the machine's byte order:
//!
//! | word | holds |
//! |---|---|
//! | 0 | magic: the bytes `PINFAULT`, first byte lowest |
//! | 1 | layout version |
//! | 2 | kinds |
//! | 3 | process id of the writer |
//! | 4 | created, ns since the Unix epoch |
//! | 16 + 16 i | kind i: how often |
//! | 17 + 16 i | first time, ns since the Unix epoch |
//! | 18 + 16 i | last time |
//! | 19 + 16 i | detail of the last |
//! | 24 + 16 i … 31 + 16 i | its name: up to 64 bytes of UTF-8, padded with zero bytes |
//!
//! Invariant: recording makes no heap call and never waits; any thread may record.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::mapped::{Format, LINE_WORDS, MappedFileError, Region};

mod kinds;

pub use kinds::FaultKind;

const FORMAT: Format = Format {
    magic: u64::from_le_bytes(*b"PINFAULT"),
    version: 1,
    item_words: 2 * LINE_WORDS,
};
const FIRST_WORD: usize = 1;
const LAST_WORD: usize = 2;
const DETAIL_WORD: usize = 3;
const NAME_WORD: usize = LINE_WORDS;

/// Something a duty cycle could not do. 16 bytes, no heap: safe to raise on a hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// A number that helps to find it; [`FaultKind`] says which.
    pub detail: u64,
}

const _: () = assert!(size_of::<Fault>() == 16);

impl Fault {
    /// A fault with its detail.
    pub const fn new(kind: FaultKind, detail: u64) -> Self {
        Self { kind, detail }
    }
}

/// A kind of fault that happened, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctFault {
    /// The kind's name.
    pub name: String,
    /// How often.
    pub count: u64,
    /// First time. Unit: ns since the Unix epoch.
    pub first_ns: i64,
    /// Last time. Unit: ns since the Unix epoch.
    pub last_ns: i64,
    /// Detail of the last; while faults of this kind come in, possibly of the one before.
    pub detail: u64,
}

/// The faults of one process. Clones are the same log.
///
/// ```
/// use pinion_runtime::faults::{ErrorLog, Fault, FaultKind};
///
/// let log = ErrorLog::in_memory();
/// log.record(Fault::new(FaultKind::PublisherGap, 17), 1_000);
/// log.record(Fault::new(FaultKind::PublisherGap, 3), 2_000);
/// let [gap] = &log.list()[..] else { panic!("two faults of one kind are one item") };
/// assert_eq!((gap.count, gap.first_ns, gap.last_ns, gap.detail), (2, 1_000, 2_000, 3));
/// assert_eq!(gap.name, "ingest.publisher-gap");
/// ```
#[derive(Clone)]
pub struct ErrorLog(Arc<Region>);

impl ErrorLog {
    /// Makes the file at `path`; a stale one is replaced.
    ///
    /// Error: the file cannot be made, or a running process writes it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, MappedFileError> {
        Ok(Self::over(Region::create(
            path.as_ref(),
            FORMAT,
            FaultKind::ALL.len(),
        )?))
    }

    /// A log that no other process sees: tests, replay.
    pub fn in_memory() -> Self {
        Self::over(Region::in_memory(FORMAT, FaultKind::ALL.len()))
    }

    fn over(region: Region) -> Self {
        for kind in FaultKind::ALL {
            region.set_text(region.item(*kind as usize) + NAME_WORD, LINE_WORDS, kind.name());
        }
        Self(Arc::new(region))
    }

    /// Records one fault. Unit: `now_ns` is ns since the Unix epoch.
    ///
    /// Cost: four words of one line, two of them by locked instructions; no heap call.
    pub fn record(&self, fault: Fault, now_ns: i64) {
        let item = self.0.item(fault.kind as usize);
        self.0.set(item + DETAIL_WORD, fault.detail);
        self.0.set(item + LAST_WORD, now_ns as u64);
        let first = self.0.word(item + FIRST_WORD);
        // Only the first one finds 0 there; that a later one does not is no error.
        let _ = first.compare_exchange(0, now_ns as u64, Ordering::Relaxed, Ordering::Relaxed);
        self.0.word(item).fetch_add(1, Ordering::Release);
    }

    /// How often `kind` happened.
    pub fn count(&self, kind: FaultKind) -> u64 {
        self.0.get(self.0.item(kind as usize))
    }

    /// The kinds that happened, in the order of [`FaultKind::ALL`].
    pub fn list(&self) -> Vec<DistinctFault> {
        list(&self.0)
    }
}

/// The faults of another process.
pub struct ErrorLogReader(Region);

impl ErrorLogReader {
    /// Opens the file at `path`.
    ///
    /// Error: it is missing, of another kind or version, or too short.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MappedFileError> {
        Ok(Self(Region::open(path.as_ref(), FORMAT)?))
    }

    /// The kinds that happened, in the order that the writer knows them.
    pub fn list(&self) -> Vec<DistinctFault> {
        list(&self.0)
    }

    /// The process that writes.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }
}

fn list(region: &Region) -> Vec<DistinctFault> {
    (0..region.capacity())
        .filter_map(|index| read(region, region.item(index)))
        .collect()
}

/// One kind, if it happened.
fn read(region: &Region, item: usize) -> Option<DistinctFault> {
    let count = region.word(item).load(Ordering::Acquire);
    (count > 0).then(|| DistinctFault {
        name: region.text(item + NAME_WORD, LINE_WORDS),
        count,
        first_ns: region.get(item + FIRST_WORD) as i64,
        last_ns: region.get(item + LAST_WORD) as i64,
        detail: region.get(item + DETAIL_WORD),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_is_listed_with_its_own_figures() {
        let log = ErrorLog::in_memory();
        for (place, kind) in FaultKind::ALL.iter().enumerate() {
            for _ in 0..=place {
                log.record(Fault::new(*kind, place as u64), 10 + place as i64);
            }
        }
        let listed = log.list();
        assert_eq!(listed.len(), FaultKind::ALL.len());
        for (place, (fault, kind)) in listed.iter().zip(FaultKind::ALL).enumerate() {
            assert_eq!(fault.name, kind.name());
            assert_eq!(fault.count, place as u64 + 1);
            assert_eq!(fault.detail, place as u64);
            assert_eq!(log.count(*kind), place as u64 + 1);
        }
    }

    #[test]
    fn kinds_are_numbered_in_order_and_named_apart() {
        let names: HashSet<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), FaultKind::ALL.len());
        for (place, kind) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place);
            assert!(
                kind.name().len() <= LINE_WORDS * 8,
                "{} is too long for its place",
                kind.name()
            );
            assert!(kind.name().contains('.'), "{} does not say where", kind.name());
        }
    }

    #[test]
    fn faults_of_many_threads_are_all_counted() {
        let log = ErrorLog::in_memory();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = log.clone();
                scope.spawn(move || {
                    (0..1_000).for_each(|now| log.record(Fault::new(FaultKind::RingFull, thread), now + 1));
                });
            }
        });
        assert_eq!(log.count(FaultKind::RingFull), 4_000);
        assert_eq!(log.list()[0].first_ns.min(1_000), log.list()[0].first_ns);
    }
}
