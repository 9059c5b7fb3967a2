//! What became known of transactions, kept by the day of the transaction until that day is written.
//!
//! ```text
//!   first pass:   label ─▶ held, up to HELD_MAX ──full──▶ a file per day, in a folder of its own
//!   second pass:  first row of a day ─▶ the day's labels, sorted ─▶ outcome of each row ─▶ day closed: counted
//! ```
//!
//! Invariant: however many labels there are, no more than [`HELD_MAX`] and those of the days being written are in
//! memory.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pinion_schemas::ids::Id;
use pinion_schemas::records::PaymentRecord;
use pinion_schemas::wire::Verdict;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::import::time::DAY_NS;

use super::{ExportError, day_of};

/// Labels held in memory in the first pass: 64 MiB.
pub const HELD_MAX: usize = 1 << 20;

/// What is known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it was a fraud.
    pub is_fraud: bool,
    /// Whether it is to be learnt from no more, whatever else is known.
    pub is_erased: bool,
    /// When the label that says so became known. Unit: ns since the Unix epoch.
    pub known_ns: i64,
}

/// One label, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Label {
    transaction_id: Id,
    verdict: u8,
    is_found: u8,
    reserved: [u8; 2],
    transaction_ns: i64,
    sequence: u64,
    known_ns: i64,
}

const LABEL_LEN: usize = size_of::<Label>();
const _: () = assert!(LABEL_LEN == 64, "the module's documentation says 64 bytes");

impl Label {
    fn key(&self) -> (Id, i64, u64) {
        (self.transaction_id, self.transaction_ns, self.sequence)
    }
}

/// The labels of the days that are exported.
pub(crate) struct DayLabels {
    held: BTreeMap<i64, Vec<Label>>,
    held_count: usize,
    held_max: usize,
    spill: Spill,
    /// Of the days being written; sorted.
    open: BTreeMap<i64, Vec<Label>>,
    taken: u64,
    found: u64,
}

impl DayLabels {
    /// Nothing yet. If need be, files are made in a folder in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::with_held_max(folder, HELD_MAX)
    }

    fn with_held_max(folder: &Path, held_max: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            held_count: 0,
            held_max,
            spill: Spill::new(folder),
            open: BTreeMap::new(),
            taken: 0,
            found: 0,
        }
    }

    /// Keeps what a label says.
    pub(crate) fn take(&mut self, payment: &PaymentRecord) -> Result<(), ExportError> {
        let label = Label {
            transaction_id: payment.transaction_id,
            verdict: payment.verdict,
            is_found: 0,
            reserved: [0; 2],
            transaction_ns: payment.transaction_ns,
            sequence: payment.origin.sequence,
            known_ns: payment.origin.event_ns,
        };
        let day = label.transaction_ns.div_euclid(DAY_NS);
        self.held.entry(day).or_default().push(label);
        self.taken += 1;
        self.held_count += 1;
        if self.held_count >= self.held_max {
            self.spill.append(&self.held)?;
            self.held.clear();
            self.held_count = 0;
        }
        Ok(())
    }

    /// What became known of a transaction after it came.
    pub(crate) fn outcome_of(&mut self, payment: &PaymentRecord) -> Result<Option<Outcome>, ExportError> {
        let day = day_of(payment);
        if !self.open.contains_key(&day) {
            let labels = self.load(day)?;
            self.open.insert(day, labels);
        }
        let labels = self.open.get_mut(&day).map_or(&mut [][..], Vec::as_mut_slice);
        let (id, time_ns) = (payment.transaction_id, payment.origin.event_ns);
        let first = labels.partition_point(|label| label.key() <= (id, time_ns, payment.origin.sequence));
        let own = labels[first..]
            .iter_mut()
            .take_while(|label| (label.transaction_id, label.transaction_ns) == (id, time_ns));
        let mut outcome = None;
        for label in own {
            label.is_found = 1;
            let was_erased = outcome.is_some_and(|outcome: Outcome| outcome.is_erased);
            outcome = Some(Outcome {
                is_fraud: label.verdict == Verdict::Fraud.0,
                is_erased: was_erased || label.verdict == Verdict::Erased.0,
                known_ns: label.known_ns,
            });
        }
        Ok(outcome)
    }

    /// No row of this day will come any more.
    pub(crate) fn close(&mut self, day: i64) {
        let labels = self.open.remove(&day).unwrap_or_default();
        self.found += labels.iter().map(|label| u64::from(label.is_found)).sum::<u64>();
    }

    /// Labels that found a row and that did not, of the days closed.
    pub(crate) fn tally(&self) -> (u64, u64) {
        (self.found, self.taken - self.found)
    }

    fn load(&mut self, day: i64) -> Result<Vec<Label>, ExportError> {
        let mut labels = self.spill.take(day)?;
        labels.extend(self.held.remove(&day).unwrap_or_default());
        labels.sort_unstable_by_key(Label::key);
        Ok(labels)
    }
}

/// A folder with a file of labels per day; it is made when it is needed and removed at the end.
struct Spill {
    dir: PathBuf,
    is_made: bool,
}

impl Spill {
    fn new(folder: &Path) -> Self {
        Self {
            dir: folder.join(format!(".pinion-labels-{}", std::process::id())),
            is_made: false,
        }
    }

    fn path(&self, day: i64) -> PathBuf {
        self.dir.join(format!("{day}.labels"))
    }

    fn append(&mut self, days: &BTreeMap<i64, Vec<Label>>) -> Result<(), ExportError> {
        if !self.is_made {
            self.make().map_err(ExportError::write(&self.dir))?;
        }
        for (day, labels) in days {
            let path = self.path(*day);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            file.and_then(|mut file| file.write_all(labels.as_bytes()))
                .map_err(ExportError::write(&path))?;
        }
        Ok(())
    }

    /// Begins empty: what a process of the same number may have left is not ours.
    fn make(&mut self) -> io::Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)?;
        }
        fs::create_dir_all(&self.dir)?;
        self.is_made = true;
        Ok(())
    }

    fn take(&self, day: i64) -> Result<Vec<Label>, ExportError> {
        let path = self.path(day);
        if !self.is_made || !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = fs::read(&path).map_err(ExportError::write(&path))?;
        let labels = bytes.chunks_exact(LABEL_LEN);
        Ok(labels
            .filter_map(|label| Label::read_from_bytes(label).ok())
            .collect())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if self.is_made {
            // What cannot be removed is a hidden folder with a telling name.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(number: u32, sequence: u64, verdict: Verdict) -> PaymentRecord {
        let mut payment = PaymentRecord {
            transaction_id: Id::new(&number.to_string()).unwrap(),
            transaction_ns: i64::from(number % 3) * DAY_NS,
            verdict: verdict.0,
            ..PaymentRecord::default()
        };
        payment.origin.sequence = sequence;
        payment.origin.event_ns = sequence as i64;
        payment
    }

    fn outcomes(held_max: usize) -> (Vec<Option<Outcome>>, (u64, u64)) {
        let folder = tempfile::tempdir().unwrap();
        let mut labels = DayLabels::with_held_max(folder.path(), held_max);
        for number in 0..100 {
            labels
                .take(&label(number % 60, u64::from(100 + number), Verdict::Fraud))
                .unwrap();
        }
        labels.take(&label(7, 300, Verdict::Genuine)).unwrap();
        labels.take(&label(8, 1, Verdict::Fraud)).unwrap();
        let outcomes = (0..70).map(|number| {
            let mut payment = label(number, 50, Verdict::None);
            payment.origin.event_ns = payment.transaction_ns;
            labels.outcome_of(&payment).unwrap()
        });
        let outcomes = outcomes.collect();
        (0..3).for_each(|day| labels.close(day));
        let tally = labels.tally();
        drop(labels);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
        (outcomes, tally)
    }

    #[test]
    fn labels_that_went_to_files_are_found_as_those_in_memory() {
        let (in_memory, tally) = outcomes(HELD_MAX);
        let known = |is_fraud, known_ns| {
            Some(Outcome {
                is_fraud,
                is_erased: false,
                known_ns,
            })
        };
        assert_eq!(in_memory[0], known(true, 160), "the last one wins");
        assert_eq!(in_memory[7], known(false, 300), "genuine takes back");
        assert_eq!(in_memory[50], known(true, 150));
        assert_eq!(in_memory[65], None);
        assert_eq!(tally, (101, 1), "one came before its transaction");
        [1, 2, 7, 50]
            .into_iter()
            .for_each(|held_max| assert_eq!(outcomes(held_max), (in_memory.clone(), tally)));
    }
}
