//! What a challenger said of each transaction, in a file that only grows: `<name>-<identity>.scores`.
//!
//! ```text
//!   | heading, 64 bytes | record, 40 bytes | record | …  | torn: cut off at the next start
//!        checksum ──seed──▶ checksum of each record
//! ```
//!
//! A challenger knows nothing at its start: it runs the journal from the beginning, and what it says again is compared
//! with what is there. The first record that differs is cut off with all behind it: the journal was shorter after a
//! crash than the file, or another machine computes other bits.
//!
//! Invariant: the file is what one run over the journal would write, as far as it goes: no gap, nothing twice.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use pinion_schemas::records::{PaymentRecord, Score};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ends the name of every such file.
pub const SUFFIX: &str = ".scores";

/// The first bytes of the file.
const MAGIC: [u8; 8] = *b"PINSHADE";
const VERSION: u32 = 1;

/// Records that wait to be written at most: 160 KiB.
const PENDING_MAX: usize = 4096;

/// Whose scores a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Heading {
    magic: [u8; 8],
    version: u32,
    record_len: u32,
    /// The journal.
    pub journal_id: u64,
    /// Hash of all that can change a score: model, feature sets, configuration, journal.
    pub identity: u64,
    /// The model's hash.
    pub model_hash: u64,
    /// Hash of the feature set that is in force.
    pub set_hash: u64,
    reserved: [u32; 3],
    checksum: u32,
}

const HEADING_LEN: usize = size_of::<Heading>();
const _: () = assert!(HEADING_LEN == 64);

impl Heading {
    /// Of a file for these.
    pub fn new(journal_id: u64, identity: u64, (model_hash, set_hash): (u64, u64)) -> Self {
        let mut heading = Self {
            magic: MAGIC,
            version: VERSION,
            record_len: RECORD_LEN as u32,
            journal_id,
            identity,
            model_hash,
            set_hash,
            ..Self::default()
        };
        heading.checksum = heading.expected_checksum();
        heading
    }

    fn expected_checksum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[..HEADING_LEN - size_of::<u32>()])
    }

    fn is_whole(&self) -> bool {
        self.magic == MAGIC
            && (self.version, self.record_len) == (VERSION, RECORD_LEN as u32)
            && self.checksum == self.expected_checksum()
    }
}

/// What was said of one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScoreRecord {
    /// Place of the transaction in the payments lane, from 1.
    pub sequence: u64,
    /// When it happened. Unit: ns since the Unix epoch.
    pub event_ns: i64,
    /// The model's hash.
    pub model_hash: u64,
    /// The score, 0 to 1.
    pub score: f32,
    /// Share of fraud among the neighbours' votes, 0 to 1.
    pub fraud_share: f32,
    /// Bits of [`pinion_schemas::records::decision_flag`].
    pub flags: u32,
    checksum: u32,
}

const RECORD_LEN: usize = size_of::<ScoreRecord>();
const _: () = assert!(RECORD_LEN == 40, "the module's documentation says 40");

impl ScoreRecord {
    /// Of a transaction and what was said of it.
    pub(crate) fn new(payment: &PaymentRecord, score: &Score) -> Self {
        Self {
            sequence: payment.origin.sequence,
            event_ns: payment.origin.event_ns,
            model_hash: score.model_hash,
            score: score.score,
            fraud_share: score.fraud_share,
            flags: score.flags.into(),
            checksum: 0,
        }
    }

    fn expected_checksum(&self, heading: &Heading) -> u32 {
        crc32c::crc32c_append(
            heading.checksum,
            &self.as_bytes()[..RECORD_LEN - size_of::<u32>()],
        )
    }

    fn sealed(mut self, heading: &Heading) -> Self {
        self.checksum = self.expected_checksum(heading);
        self
    }
}

/// Reads a file from its first record to the first that is not whole.
pub struct ScoreReader {
    file: BufReader<File>,
    heading: Heading,
    last_sequence: u64,
}

impl ScoreReader {
    /// Opens the file at `path`. `None`: its heading is not whole.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut file = BufReader::new(File::open(path)?);
        let mut heading = Heading::default();
        let is_read = read_whole(&mut file, heading.as_mut_bytes())?;
        Ok((is_read && heading.is_whole()).then_some(Self {
            file,
            heading,
            last_sequence: 0,
        }))
    }

    /// Whose scores they are.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The next record; `None` where no whole one follows.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next_record(&mut self) -> io::Result<Option<ScoreRecord>> {
        let mut record = ScoreRecord::default();
        if !read_whole(&mut self.file, record.as_mut_bytes())?
            || record.checksum != record.expected_checksum(&self.heading)
            || record.sequence <= self.last_sequence
        {
            return Ok(None);
        }
        self.last_sequence = record.sequence;
        Ok(Some(record))
    }
}

/// Fills `bytes`; false at the end of the file.
fn read_whole(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Where bytes go.
pub(crate) trait Storage: Send {
    /// Writes all of `bytes` at `offset`; what is written of them is not known after an error.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts off what is behind `len`.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was there.
    Known,
    /// It is new.
    New,
    /// Another one was there, and is cut off with all behind it.
    InPlaceOfAnother,
}

/// A challenger's own file.
pub(crate) struct ScoreFile {
    storage: Box<dyn Storage>,
    heading: Heading,
    /// Whole records that are in the file and count.
    stored: u64,
    /// Of these, how many were said again.
    confirmed: u64,
    /// Reads those that were not.
    recorded: Option<ScoreReader>,
    /// There are bytes behind the records that count.
    is_too_long: bool,
    has_heading: bool,
    pending: Vec<ScoreRecord>,
}

impl ScoreFile {
    /// Opens or makes the file at `path`. Returns the bytes at its end that are no whole record, too.
    ///
    /// # Errors
    /// It can be neither read nor made.
    pub(crate) fn open(path: &Path, heading: Heading) -> io::Result<(Self, u64)> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let storage = options.open(path)?;
        let found_len = storage.metadata()?.len();
        let is_ours = |reader: &ScoreReader| *reader.heading() == heading;
        let mut stored = 0;
        if let Some(mut reader) = ScoreReader::open(path)?.filter(is_ours) {
            while reader.next_record()?.is_some() {
                stored += 1;
            }
        }
        let recorded = ScoreReader::open(path)?.filter(is_ours);
        let has_heading = recorded.is_some();
        let whole_len = if has_heading { end_of(stored) } else { 0 };
        let mut file = Self::on(Box::new(storage), heading);
        file.stored = stored;
        file.recorded = recorded.filter(|_| stored > 0);
        file.is_too_long = found_len > whole_len;
        file.has_heading = has_heading;
        Ok((file, found_len - whole_len))
    }

    /// An empty one.
    pub(super) fn on(storage: Box<dyn Storage>, heading: Heading) -> Self {
        Self {
            storage,
            heading,
            stored: 0,
            confirmed: 0,
            recorded: None,
            is_too_long: false,
            has_heading: false,
            pending: Vec::with_capacity(PENDING_MAX),
        }
    }

    /// Whether `count` records more may come.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.pending.len() + count <= PENDING_MAX
    }

    /// Records that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Records in the file that were not said again yet.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.stored - self.confirmed
    }

    /// Takes the next record: compares it with what is there, or keeps it to be written.
    pub(crate) fn put(&mut self, record: ScoreRecord) -> Put {
        let record = record.sealed(&self.heading);
        let mut put = Put::New;
        if let Some(recorded) = &mut self.recorded {
            // What cannot be read is as good as another one.
            if recorded.next_record().ok().flatten().as_ref() == Some(&record) {
                self.confirmed += 1;
                if self.confirmed == self.stored {
                    self.recorded = None;
                }
                return Put::Known;
            }
            self.recorded = None;
            self.stored = self.confirmed;
            self.is_too_long = true;
            put = Put::InPlaceOfAnother;
        }
        self.pending.push(record);
        put
    }

    /// Writes what waits. After an error all of it still waits, and the file ends with a whole record once a later
    /// call succeeds.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.has_heading {
            self.storage.cut(0)?;
            self.storage.write_at(self.heading.as_bytes(), 0)?;
            (self.has_heading, self.is_too_long) = (true, false);
        }
        if self.is_too_long {
            self.storage.cut(end_of(self.stored))?;
            self.is_too_long = false;
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        // If only a part of it is written, the next try writes over that.
        self.storage
            .write_at(self.pending.as_bytes(), end_of(self.stored))?;
        self.stored += self.pending.len() as u64;
        self.confirmed = self.stored;
        self.pending.clear();
        Ok(())
    }
}

/// Where the record after `count` begins. Unit: bytes.
fn end_of(count: u64) -> u64 {
    HEADING_LEN as u64 + count * RECORD_LEN as u64
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    fn heading() -> Heading {
        Heading::new(1, 2, (3, 4))
    }

    fn record(sequence: u64) -> ScoreRecord {
        ScoreRecord {
            sequence,
            event_ns: sequence as i64 * 10,
            model_hash: 3,
            score: sequence as f32 / 1000.0,
            ..ScoreRecord::default()
        }
    }

    fn read(path: &Path) -> Vec<u64> {
        let mut reader = ScoreReader::open(path).unwrap().unwrap();
        let mut sequences = Vec::new();
        while let Some(found) = reader.next_record().unwrap() {
            let expected = record(found.sequence);
            assert_eq!((found.event_ns, found.score), (expected.event_ns, expected.score));
            sequences.push(found.sequence);
        }
        sequences
    }

    /// Puts the records of `sequences` and writes them. Returns how many were known, new, and in place of others.
    fn put(path: &Path, sequences: impl Iterator<Item = u64>) -> ([u32; 3], u64) {
        let (mut file, torn_len) = ScoreFile::open(path, heading()).unwrap();
        let mut counts = [0; 3];
        for sequence in sequences {
            counts[file.put(record(sequence)) as usize] += 1;
        }
        file.flush().unwrap();
        (counts, torn_len)
    }

    #[test]
    fn second_run_goes_on_where_the_first_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/a.scores");
        assert_eq!(put(&path, 1..=50), ([0, 50, 0], 0));
        assert_eq!(put(&path, 1..=80), ([50, 30, 0], 0));
        assert_eq!(read(&path), (1..=80).collect::<Vec<_>>());
        assert_eq!(put(&path, 1..=10), ([10, 0, 0], 0), "a run that ends early");
        assert_eq!(read(&path), (1..=80).collect::<Vec<_>>(), "leaves what is there");
    }

    #[test]
    fn torn_tail_is_cut_off_wherever_it_tears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.scores");
        put(&path, 1..=5);
        let bytes = std::fs::read(&path).unwrap();
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let whole = len.saturating_sub(HEADING_LEN) / RECORD_LEN;
            let (counts, torn_len) = put(&path, 1..=5);
            assert_eq!(counts, [whole as u32, 5 - whole as u32, 0], "{len}");
            let expected = if len < HEADING_LEN {
                len
            } else {
                len - HEADING_LEN - whole * RECORD_LEN
            };
            assert_eq!(torn_len, expected as u64, "{len}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{len}");
        }
    }

    #[test]
    fn damage_in_the_middle_ends_what_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.scores");
        put(&path, 1..=5);
        let bytes = std::fs::read(&path).unwrap();
        for at in HEADING_LEN..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let whole = (at - HEADING_LEN) / RECORD_LEN;
            assert_eq!(read(&path).len(), whole, "{at}");
            assert_eq!(put(&path, 1..=5).0, [whole as u32, 5 - whole as u32, 0], "{at}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{at}");
        }
    }

    #[test]
    fn what_the_journal_does_not_give_again_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.scores");
        put(&path, 1..=50);
        assert_eq!(put(&path, (1..=20).chain(22..=30)), ([20, 8, 1], 0));
        assert_eq!(read(&path), (1..=20).chain(22..=30).collect::<Vec<_>>());
    }

    #[test]
    fn file_of_another_identity_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.scores");
        put(&path, 1..=50);
        let (mut file, _) = ScoreFile::open(&path, Heading::new(1, 9, (3, 4))).unwrap();
        assert_eq!(file.put(record(7)), Put::New);
        file.flush().unwrap();
        assert_eq!(read(&path), [7]);
    }

    /// Writes a third of what it is given and says that the disk is full, while it is.
    pub(crate) struct Scarce {
        bytes: Arc<Mutex<Vec<u8>>>,
        is_full: Arc<AtomicBool>,
    }

    impl Scarce {
        /// An empty and full one, and whether it is full.
        pub(crate) fn full() -> (Self, Arc<AtomicBool>) {
            let is_full = Arc::new(AtomicBool::new(true));
            let disk = Self {
                bytes: Arc::default(),
                is_full: is_full.clone(),
            };
            (disk, is_full)
        }
    }

    impl Storage for Scarce {
        fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let is_full = self.is_full.load(Ordering::Relaxed);
            let len = if is_full { bytes.len() / 3 } else { bytes.len() };
            let (mut held, offset) = (self.bytes.lock().unwrap(), offset as usize);
            let end = held.len().max(offset + len);
            held.resize(end, 0);
            held[offset..offset + len].copy_from_slice(&bytes[..len]);
            if is_full {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        }

        fn cut(&mut self, len: u64) -> io::Result<()> {
            self.bytes.lock().unwrap().truncate(len as usize);
            Ok(())
        }
    }

    #[test]
    fn full_disk_loses_nothing_and_leaves_no_gap() {
        let (disk, is_full) = Scarce::full();
        let bytes = disk.bytes.clone();
        let mut file = ScoreFile::on(Box::new(disk), heading());
        let mut sequence = 0;
        while file.has_room(1) {
            sequence += 1;
            assert_eq!(file.put(record(sequence)), Put::New);
            if sequence % 1000 == 0 {
                assert!(file.flush().is_err());
            }
        }
        assert_eq!(sequence, PENDING_MAX as u64);
        is_full.store(false, Ordering::Relaxed);
        file.flush().unwrap();
        file.put(record(sequence + 1));
        file.flush().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.scores");
        std::fs::write(&path, &*bytes.lock().unwrap()).unwrap();
        assert_eq!(read(&path), (1..=sequence + 1).collect::<Vec<_>>());
    }
}
