//! Memory in a file that other processes read while we write: counters and the error log live in it.
//!
//! ```text
//!   one process writes ──▶ [ word | word | word | … ] ◀── any number of processes read
//!                          a file, preferably on tmpfs
//! ```
//!
//! Everything is a 64-bit word, written and read whole. Words are in the machine's byte order; a file of the
//! other order fails on its magic. Texts are eight bytes to the word, first byte lowest, padded with zero bytes.
//!
//! The writer holds a lock on the file (`flock`), which the system drops when the process ends, however it ends.
//! A file that nobody holds is stale and is replaced by a new one of the same name: whoever reads the old one
//! keeps it. The new one takes its name only when it is complete, so a reader never sees a half-made file. If
//! somebody shortens the file while it is mapped, the process that touches the lost part is ended by the system.
//!
//! Invariant: a word is only ever accessed as an atomic, so no access is torn or a data race.

// The mapping is a raw pointer; reading it as atomics is what this file is for.
#![allow(unsafe_code)]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use thiserror::Error;

/// Bytes of a word.
const WORD_LEN: usize = size_of::<u64>();

/// Words of a 64-byte line.
pub(crate) const LINE_WORDS: usize = 8;

/// Words that every file begins with: one line that is fixed at creation, one for the heartbeat.
pub(crate) const HEADER_WORDS: usize = 2 * LINE_WORDS;

const MAGIC_WORD: usize = 0;
const VERSION_WORD: usize = 1;
const CAPACITY_WORD: usize = 2;
const PID_WORD: usize = 3;
const CREATED_WORD: usize = 4;
const HEARTBEAT_WORD: usize = LINE_WORDS;

/// What went wrong with a mapped file.
#[derive(Debug, Error)]
pub enum MappedFileError {
    /// The file could not be made, opened or mapped.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A running process writes this file.
    #[error("{path} is being written by another process, expected none: is the engine already running?", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another kind.
    #[error("{path} begins with {found:#018x}, expected {expected:#018x}", path = path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The first word.
        found: u64,
        /// The first word of a file of this kind.
        expected: u64,
    },
    /// The file is of another layout version.
    #[error("{path} has layout version {found}, expected {expected}", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version.
        found: u64,
        /// The version that this build reads.
        expected: u64,
    },
    /// The file is shorter than its header says.
    #[error("{path} is {found} bytes long, expected {expected}", path = path.display())]
    Len {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Bytes expected.
        expected: u64,
    },
}

/// What tells one kind of file from another.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// The first word.
    pub(crate) magic: u64,
    /// The second word.
    pub(crate) version: u64,
    /// Words that each of the items after the header takes.
    pub(crate) item_words: usize,
}

impl Format {
    /// Words of a file for `capacity` items, or `None` if that is more than a machine has.
    fn words(&self, capacity: usize) -> Option<usize> {
        capacity.checked_mul(self.item_words)?.checked_add(HEADER_WORDS)
    }

    /// Length of such a file in bytes.
    fn file_len(&self, capacity: usize) -> u64 {
        self.words(capacity)
            .map_or(u64::MAX, |words| (words as u64).saturating_mul(WORD_LEN as u64))
    }
}

/// A mapped file, or memory of the same shape that nobody else sees.
pub(crate) struct Region {
    map: MmapRaw,
    words: usize,
    item_words: usize,
    /// Holds the lock while somebody writes.
    _file: Option<File>,
}

impl Region {
    /// Memory that only this process sees.
    pub(crate) fn in_memory(format: Format, capacity: usize) -> Self {
        let len =
            usize::try_from(format.file_len(capacity)).expect("the capacity fits this machine's memory");
        let map = MmapMut::map_anon(len).expect("the system gives memory").into();
        Self::with_header(map, None, format, capacity)
    }

    /// A new file at `path`; a stale one is replaced, one that is being written is refused.
    pub(crate) fn create(path: &Path, format: Format, capacity: usize) -> Result<Self, MappedFileError> {
        refuse_if_in_use(path)?;
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let named = Self::create_part(&part, format, capacity).and_then(|region| {
            fs::rename(&part, path)
                .map(|()| region)
                .map_err(io_error("name", path))
        });
        if named.is_err() {
            // What the caller must know is why it failed, not that cleaning up failed too.
            let _ = fs::remove_file(&part);
        }
        named
    }

    fn create_part(part: &Path, format: Format, capacity: usize) -> Result<Self, MappedFileError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(part)
            .map_err(io_error("create", part))?;
        lock(&file, part)?;
        write_zeros(&file, format.file_len(capacity)).map_err(io_error("fill", part))?;
        let map = MmapOptions::new()
            .populate()
            .map_raw(&file)
            .map_err(io_error("map", part))?;
        Ok(Self::with_header(map, Some(file), format, capacity))
    }

    /// A file that another process writes, for reading.
    pub(crate) fn open(path: &Path, format: Format) -> Result<Self, MappedFileError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let found = file.metadata().map_err(io_error("read", path))?.len();
        let checked_len = |expected: u64| {
            if found >= expected {
                Ok(())
            } else {
                Err(MappedFileError::Len {
                    path: path.into(),
                    found,
                    expected,
                })
            }
        };
        checked_len(format.file_len(0))?;
        let map = MmapOptions::new()
            .map_raw_read_only(&file)
            .map_err(io_error("map", path))?;
        let words = map.len() / WORD_LEN;
        let region = Self {
            map,
            words,
            item_words: format.item_words,
            _file: None,
        };
        region.check_header(path, format)?;
        checked_len(format.file_len(region.capacity()))?;
        Ok(region)
    }

    fn check_header(&self, path: &Path, format: Format) -> Result<(), MappedFileError> {
        let (found, expected) = (self.get(MAGIC_WORD), format.magic);
        if found != expected {
            return Err(MappedFileError::Magic {
                path: path.into(),
                found,
                expected,
            });
        }
        let (found, expected) = (self.get(VERSION_WORD), format.version);
        if found != expected {
            return Err(MappedFileError::Version {
                path: path.into(),
                found,
                expected,
            });
        }
        Ok(())
    }

    fn with_header(map: MmapRaw, file: Option<File>, format: Format, capacity: usize) -> Self {
        let words = map.len() / WORD_LEN;
        let region = Self {
            map,
            words,
            item_words: format.item_words,
            _file: file,
        };
        region.set(VERSION_WORD, format.version);
        region.set(CAPACITY_WORD, capacity as u64);
        region.set(PID_WORD, u64::from(std::process::id()));
        region.set(CREATED_WORD, crate::clock::system_utc_ns() as u64);
        region.set(MAGIC_WORD, format.magic);
        region
    }

    /// The word at `index`.
    ///
    /// Bound: `index` is in the mapping, else it panics.
    #[inline]
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words);
        let pointer = self.map.as_mut_ptr().cast::<u64>().wrapping_add(index);
        // SAFETY: the word is inside the mapping by the check above and aligned because the mapping begins at a
        // page; the mapping lives as long as `self`; everybody accesses it as an atomic, readers by loads only.
        unsafe { AtomicU64::from_ptr(pointer) }
    }

    /// Reads a word that is fixed, or whose order against others does not matter.
    pub(crate) fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }

    /// Writes a word whose order against others does not matter.
    pub(crate) fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Relaxed);
    }

    /// The first word of an item.
    pub(crate) fn item(&self, index: usize) -> usize {
        HEADER_WORDS + index * self.item_words
    }

    /// Items there is room for.
    pub(crate) fn capacity(&self) -> usize {
        usize::try_from(self.get(CAPACITY_WORD)).unwrap_or(usize::MAX)
    }

    /// The process that writes.
    pub(crate) fn pid(&self) -> u32 {
        self.get(PID_WORD) as u32
    }

    /// When the file was made. Unit: ns since the Unix epoch.
    pub(crate) fn created_ns(&self) -> i64 {
        self.get(CREATED_WORD) as i64
    }

    /// The writer's last sign of life. Unit: ns since the Unix epoch; 0 before the first.
    pub(crate) fn heartbeat_ns(&self) -> i64 {
        self.get(HEARTBEAT_WORD) as i64
    }

    /// Gives a sign of life.
    pub(crate) fn set_heartbeat_ns(&self, now_ns: i64) {
        self.set(HEARTBEAT_WORD, now_ns as u64);
    }

    /// Writes `text`, cut to `words` words, from word `index` on.
    pub(crate) fn set_text(&self, index: usize, words: usize, text: &str) {
        let mut chunks = text.as_bytes().chunks(WORD_LEN);
        for word in index..index + words {
            let mut bytes = [0; WORD_LEN];
            let chunk = chunks.next().unwrap_or_default();
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.set(word, u64::from_le_bytes(bytes));
        }
    }

    /// Reads the text in `words` words from word `index` on; what is not UTF-8 reads as replacement characters.
    pub(crate) fn text(&self, index: usize, words: usize) -> String {
        let bytes: Vec<u8> = (index..index + words)
            .flat_map(|word| self.get(word).to_le_bytes())
            .collect();
        let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MappedFileError {
    move |source| MappedFileError::Io {
        action,
        path: path.into(),
        source,
    }
}

/// Refuses a file whose writer lives.
fn refuse_if_in_use(path: &Path) -> Result<(), MappedFileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error("open", path)(source)),
    };
    lock(&file, path)
}

/// Takes the lock that says "somebody writes this file", until the file is closed.
fn lock(file: &File, path: &Path) -> Result<(), MappedFileError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(MappedFileError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}

/// Writes `len` zero bytes, so that the blocks exist and a full disk is an error here and not a signal later.
fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), len), &mut &*file).map(|_| ())
}
