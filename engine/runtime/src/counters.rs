//! Numbers that an agent counts up and that another process reads, without either knowing of the other.
//!
//! ```text
//!   agent ──Counter::increment──▶ [ one cell, one line, one writer ] ◀──Reader── stat, top, /metrics
//! ```
//!
//! **Layout**, version 1, in 64-bit words of the machine's byte order:
//!
//! | word | holds |
//! |---|---|
//! | 0 | magic: the bytes `PINCOUNT`, first byte lowest |
//! | 1 | layout version |
//! | 2 | counters at most |
//! | 3 | process id of the writer |
//! | 4 | created, ns since the Unix epoch |
//! | 5 | counters registered |
//! | 8 | heartbeat, ns since the Unix epoch |
//! | 16 + 24 i | value of counter i, alone on its line |
//! | 24 + 24 i … 39 + 24 i | its label: up to 128 bytes of UTF-8, padded with zero bytes |
//!
//! A label is complete before word 5 counts it and never changes, so no reader sees half of one.
//!
//! **One writer per cell**: a count is a load and a store, not a locked instruction. Two threads that count on
//! the same cell lose counts. The same label gives the same cell, so that an agent which is built anew goes on
//! counting; give two agents two labels.
//!
//! Invariant: a value belongs to the label beside it for as long as the file exists.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::mapped::{Format, LINE_WORDS, MappedFileError, Region};

const FORMAT: Format = Format {
    magic: u64::from_le_bytes(*b"PINCOUNT"),
    version: 1,
    item_words: 3 * LINE_WORDS,
};
const COUNT_WORD: usize = 5;
const LABEL_WORDS: usize = 2 * LINE_WORDS;

/// The longest label, in bytes.
pub const LABEL_LEN_MAX: usize = LABEL_WORDS * size_of::<u64>();

/// The counter that counts the labels for which there was no room.
pub const REFUSED_LABEL: &str = "counters.refused";

/// The counters of one process. Clones are the same counters.
///
/// ```
/// use pinion_runtime::counters::Counters;
///
/// let counters = Counters::in_memory(16);
/// let accepted = counters.counter("ingest.accepted");
/// accepted.add(3);
/// assert_eq!(counters.value("ingest.accepted"), Some(3));
/// ```
#[derive(Clone)]
pub struct Counters {
    region: Arc<Region>,
    /// Held by the one who registers.
    registering: Arc<Mutex<()>>,
}

impl Counters {
    /// Makes the file at `path` for `counters_max` labels; a stale one is replaced.
    ///
    /// Error: the file cannot be made, or a running process writes it.
    /// Cost:  192 bytes for each; put it on tmpfs (`/dev/shm`), or write-back can stall a count.
    pub fn create(path: impl AsRef<Path>, counters_max: usize) -> Result<Self, MappedFileError> {
        Ok(Self::over(Region::create(
            path.as_ref(),
            FORMAT,
            counters_max + 1,
        )?))
    }

    /// Counters that no other process sees: tests, replay.
    pub fn in_memory(counters_max: usize) -> Self {
        Self::over(Region::in_memory(FORMAT, counters_max + 1))
    }

    fn over(region: Region) -> Self {
        let counters = Self {
            region: Arc::new(region),
            registering: Arc::default(),
        };
        counters.counter(REFUSED_LABEL);
        counters
    }

    /// The counter called `label`; a new label gets a new cell, at 0, and a known one its own.
    ///
    /// When all cells are taken, `counters.refused` grows by one and the counter returned counts where nobody
    /// sees it: check [`Counters::refused_count`] once everything is built.
    ///
    /// Bound: a label has 1 to 128 bytes and no control character, else it panics.
    /// Cost:  takes a lock and looks at every label: at start only.
    pub fn counter(&self, label: &str) -> Counter {
        assert!(
            !label.is_empty() && label.len() <= LABEL_LEN_MAX,
            "label {label:?} has 1 to 128 bytes"
        );
        assert!(
            !label.chars().any(char::is_control),
            "label {label:?} has no control character"
        );
        let _registering = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let count = count(&self.region);
        if let Some(index) = find(&self.region, label) {
            return Counter::at(&self.region, index);
        }
        if count == self.region.capacity() {
            Counter::at(&self.region, 0).increment();
            return Counter::at(&Arc::new(Region::in_memory(FORMAT, 1)), 0);
        }
        self.region
            .set_text(self.region.item(count) + LINE_WORDS, LABEL_WORDS, label);
        self.region
            .word(COUNT_WORD)
            .store(count as u64 + 1, Ordering::Release);
        Counter::at(&self.region, count)
    }

    /// The value of `label`, if it was registered.
    pub fn value(&self, label: &str) -> Option<u64> {
        value(&self.region, label)
    }

    /// Every label with its value, in the order of registration.
    pub fn list(&self) -> Vec<(String, u64)> {
        list(&self.region)
    }

    /// Labels for which there was no room.
    pub fn refused_count(&self) -> u64 {
        self.value(REFUSED_LABEL).unwrap_or_default()
    }

    /// Tells readers that the process lives. Unit: ns since the Unix epoch.
    pub fn heartbeat(&self, now_ns: i64) {
        self.region.set_heartbeat_ns(now_ns);
    }
}

/// One number. One thread counts, everybody may read.
///
/// Cost: a load and a store in a line of its own; nobody else writes there.
#[derive(Clone)]
pub struct Counter {
    region: Arc<Region>,
    word: usize,
}

impl Counter {
    fn at(region: &Arc<Region>, index: usize) -> Self {
        Self {
            region: region.clone(),
            word: region.item(index),
        }
    }

    /// Counts one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `n`; wraps at 2^64.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Sets the number, for a state rather than a count.
    #[inline]
    pub fn set(&self, value: u64) {
        self.region.set(self.word, value);
    }

    /// The number.
    #[inline]
    pub fn get(&self) -> u64 {
        self.region.get(self.word)
    }
}

/// The counters of another process.
pub struct Reader {
    region: Region,
}

impl Reader {
    /// Opens the file at `path`.
    ///
    /// Error: it is missing, of another kind or version, or too short.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MappedFileError> {
        Ok(Self {
            region: Region::open(path.as_ref(), FORMAT)?,
        })
    }

    /// Every label with its value, in the order of registration. Values go on while they are read.
    pub fn list(&self) -> Vec<(String, u64)> {
        list(&self.region)
    }

    /// The value of `label`, if it was registered.
    pub fn value(&self, label: &str) -> Option<u64> {
        value(&self.region, label)
    }

    /// The process that writes.
    pub fn pid(&self) -> u32 {
        self.region.pid()
    }

    /// When the file was made. Unit: ns since the Unix epoch.
    pub fn created_ns(&self) -> i64 {
        self.region.created_ns()
    }

    /// The writer's last [`Counters::heartbeat`]. Unit: ns since the Unix epoch; 0 before the first.
    pub fn heartbeat_ns(&self) -> i64 {
        self.region.heartbeat_ns()
    }
}

/// Labels that are complete; never more than there are items, whatever the file says.
fn count(region: &Region) -> usize {
    let count = region.word(COUNT_WORD).load(Ordering::Acquire);
    usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(region.capacity())
}

fn label(region: &Region, index: usize) -> String {
    region.text(region.item(index) + LINE_WORDS, LABEL_WORDS)
}

fn find(region: &Region, wanted: &str) -> Option<usize> {
    (0..count(region)).find(|&index| label(region, index) == wanted)
}

fn value(region: &Region, label: &str) -> Option<u64> {
    find(region, label).map(|index| region.get(region.item(index)))
}

fn list(region: &Region) -> Vec<(String, u64)> {
    (0..count(region))
        .map(|index| (label(region, index), region.get(region.item(index))))
        .collect()
}
