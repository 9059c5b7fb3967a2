//! The last refused frames, in a file of fixed length that another process can read.
//!
//! ```text
//!   byte 0       64                              slot_len = 80 + kept_len, rounded up to 64
//!   [FileHeader][slot 0][slot 1] … [slot n - 1]
//!                  │
//!                  ├─ index: u64        counts the refused frames from 1; 0: never used
//!                  ├─ checksum: u32     CRC32C of the slot with this field zero
//!                  ├─ kept_len: u32     bytes of the frame that follow
//!                  ├─ RejectRecord      64 bytes: reason, found, expected, time, identity, length
//!                  └─ the frame's first bytes
//! ```
//!
//! Numbers are little-endian. Refused frame number `i` stands in slot `(i - 1) % n`; a slot whose checksum
//! does not fit was being written and is left out. The file is filled with zeros at start, so that its space
//! is there: a full disk is an error of the start and no signal later.
//!
//! Invariant: the file never grows, and keeping a frame costs the copy of one slot however long the frame is.

// The file is mapped, so that keeping a frame in the duty cycle is a copy and no system call.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::mem::size_of;
use std::path::Path;

use memmap2::MmapMut;
use pinion_schemas::records::RejectRecord;
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use crate::config::DeadLettersConfig;
use crate::error::DeadLettersError;

const MAGIC: u64 = u64::from_le_bytes(*b"PNDEADLT");
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FileHeader {
    magic: u64,
    version: u32,
    slot_len: u32,
    slot_count: u32,
    reserved: [u32; 11],
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SlotHeader {
    index: u64,
    checksum: u32,
    kept_len: u32,
}

const HEADER_LEN: usize = size_of::<FileHeader>();
const PREFIX_LEN: usize = size_of::<SlotHeader>();
const FRAME_OFFSET: usize = PREFIX_LEN + size_of::<RejectRecord>();

const _: () = assert!(HEADER_LEN == 64);
const _: () = assert!(PREFIX_LEN == 16);
const _: () = assert!(
    cfg!(target_endian = "little"),
    "the file's numbers are little-endian"
);

/// One refused frame as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Counts the refused frames from 1 since the file was made.
    pub index: u64,
    /// Why and when it was refused, and what is known of it.
    pub reject: RejectRecord,
    /// The frame's first bytes; [`RejectRecord::frame_len`] is its whole length.
    pub frame_start: Vec<u8>,
}

/// The writing side: a ring of slots in a mapped file.
#[derive(Debug)]
pub struct DeadLetters {
    map: MmapMut,
    slot_len: usize,
    slot_count: usize,
    next_index: u64,
}

impl DeadLetters {
    /// Opens the file, or makes it. One of other measures, or that is no such file, is moved aside to the
    /// same name with `.old` behind it.
    ///
    /// # Errors
    /// If the file cannot be made, filled or mapped.
    ///
    /// Cost: the whole file is written once when it is made.
    pub fn open(config: &DeadLettersConfig) -> Result<Self, DeadLettersError> {
        let path = &config.path;
        let header = FileHeader::of(config);
        Self::map(path, &header).map_err(|source| DeadLettersError::Io {
            path: path.clone(),
            source,
        })
    }

    /// The same without a file: for replay and tests.
    ///
    /// # Errors
    /// If the system gives no memory.
    pub fn in_memory(config: &DeadLettersConfig) -> io::Result<Self> {
        let header = FileHeader::of(config);
        let mut map = MmapMut::map_anon(header.file_len())?;
        map.fill(0);
        Ok(Self::new(map, &header))
    }

    /// Keeps one refused frame, in the place of the oldest.
    ///
    /// Cost: the copy and checksum of one slot; no system call. The first write to a page after the system
    /// has written it out may wait for that.
    pub fn keep(&mut self, reject: &RejectRecord, frame: &[u8]) {
        let start = HEADER_LEN + (self.next_index - 1) as usize % self.slot_count * self.slot_len;
        let slot = &mut self.map[start..start + self.slot_len];
        let kept_len = frame.len().min(slot.len() - FRAME_OFFSET);
        let mut prefix = SlotHeader {
            index: self.next_index,
            checksum: 0,
            kept_len: kept_len as u32,
        };
        slot[..PREFIX_LEN].copy_from_slice(prefix.as_bytes());
        slot[PREFIX_LEN..FRAME_OFFSET].copy_from_slice(reject.as_bytes());
        slot[FRAME_OFFSET..FRAME_OFFSET + kept_len].copy_from_slice(&frame[..kept_len]);
        slot[FRAME_OFFSET + kept_len..].fill(0);
        prefix.checksum = crc32c::crc32c(slot);
        slot[..PREFIX_LEN].copy_from_slice(prefix.as_bytes());
        self.next_index += 1;
    }

    /// What is kept now, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<DeadLetter> {
        list_slots(&self.map[HEADER_LEN..], self.slot_len)
    }

    fn new(map: MmapMut, header: &FileHeader) -> Self {
        let slot_len = header.slot_len as usize;
        let last = list_slots(&map[HEADER_LEN..], slot_len)
            .last()
            .map_or(0, |letter| letter.index);
        Self {
            map,
            slot_len,
            slot_count: header.slot_count as usize,
            next_index: last + 1,
        }
    }

    fn map(path: &Path, header: &FileHeader) -> io::Result<Self> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) if is_of(&file, header)? => file,
            Ok(_) => {
                std::fs::rename(path, path.with_added_extension("old"))?;
                make(path, header)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, header)?,
            Err(error) => return Err(error),
        };
        // SAFETY: the file has its whole length and space, only this program shortens such a file, and it does
        // so never while it is mapped; other processes read it through a copy.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self::new(map, header))
    }
}

impl FileHeader {
    fn of(config: &DeadLettersConfig) -> Self {
        let slot_len = (FRAME_OFFSET + config.kept_len as usize).next_multiple_of(64);
        Self {
            magic: MAGIC,
            version: VERSION,
            slot_len: slot_len as u32,
            slot_count: config.entries_max,
            reserved: [0; 11],
        }
    }

    fn file_len(&self) -> usize {
        HEADER_LEN + self.slot_len as usize * self.slot_count as usize
    }
}

/// Reads a file of dead letters, oldest first, while the engine may be writing it.
///
/// # Errors
/// If the file cannot be read or is not such a file.
///
/// Cost: the whole file is read into memory.
pub fn read_dead_letters(path: &Path) -> Result<Vec<DeadLetter>, DeadLettersError> {
    let path_buf = || path.to_owned();
    let bytes = std::fs::read(path).map_err(|source| DeadLettersError::Io {
        path: path_buf(),
        source,
    })?;
    let found = bytes.len() as u64;
    let Ok((header, slots)) = FileHeader::read_from_prefix(&bytes) else {
        return Err(DeadLettersError::Length {
            path: path_buf(),
            found,
            expected: HEADER_LEN as u64,
        });
    };
    if header.magic != MAGIC {
        return Err(DeadLettersError::Magic {
            path: path_buf(),
            found: header.magic,
            expected: MAGIC,
        });
    }
    if header.version != VERSION {
        return Err(DeadLettersError::Version {
            path: path_buf(),
            found: header.version,
            expected: VERSION,
        });
    }
    let expected = header.file_len() as u64;
    if found != expected || (header.slot_len as usize) < FRAME_OFFSET {
        return Err(DeadLettersError::Length {
            path: path_buf(),
            found,
            expected,
        });
    }
    Ok(list_slots(slots, header.slot_len as usize))
}

fn is_of(file: &File, header: &FileHeader) -> io::Result<bool> {
    let mut found = FileHeader::new_zeroed();
    if file.metadata()?.len() != header.file_len() as u64 {
        return Ok(false);
    }
    io::Read::read_exact(&mut &*file, found.as_mut_bytes())?;
    Ok(found == *header)
}

fn make(path: &Path, header: &FileHeader) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    let slot = vec![0; header.slot_len as usize];
    let mut writer = io::BufWriter::with_capacity(1 << 16, &file);
    writer.write_all(header.as_bytes())?;
    for _ in 0..header.slot_count {
        writer.write_all(&slot)?;
    }
    writer.flush()?;
    drop(writer);
    file.flush()?;
    Ok(file)
}

fn list_slots(slots: &[u8], slot_len: usize) -> Vec<DeadLetter> {
    let mut letters: Vec<DeadLetter> = slots.chunks_exact(slot_len).filter_map(read_slot).collect();
    letters.sort_unstable_by_key(|letter| letter.index);
    letters
}

/// The letter in a slot, or `None` if it was never used or was being written.
fn read_slot(slot: &[u8]) -> Option<DeadLetter> {
    let (prefix, rest) = SlotHeader::read_from_prefix(slot).ok()?;
    let (reject, frame) = RejectRecord::read_from_prefix(rest).ok()?;
    if prefix.index == 0 || checksum_of(&prefix, rest) != prefix.checksum {
        return None;
    }
    let frame_start = frame.get(..prefix.kept_len as usize)?.to_vec();
    Some(DeadLetter {
        index: prefix.index,
        reject,
        frame_start,
    })
}

fn checksum_of(prefix: &SlotHeader, rest: &[u8]) -> u32 {
    let cleared = SlotHeader {
        checksum: 0,
        ..*prefix
    };
    crc32c::crc32c_append(crc32c::crc32c(cleared.as_bytes()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries_max: u32) -> DeadLettersConfig {
        DeadLettersConfig {
            entries_max,
            kept_len: 48,
            ..DeadLettersConfig::default()
        }
    }

    fn open(path: &Path, entries_max: u32) -> DeadLetters {
        DeadLetters::open(&DeadLettersConfig {
            path: path.to_owned(),
            ..config(entries_max)
        })
        .unwrap()
    }

    fn reject(number: u64) -> RejectRecord {
        RejectRecord {
            found: number,
            frame_len: 100,
            reason: 2,
            ..RejectRecord::default()
        }
    }

    fn keep(letters: &mut DeadLetters, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            letters.keep(&reject(number), &[number as u8; 100]);
        }
    }

    #[track_caller]
    fn check(found: &[DeadLetter], expected: std::ops::RangeInclusive<u64>) {
        let numbers: Vec<u64> = found.iter().map(|letter| letter.index).collect();
        assert_eq!(numbers, expected.collect::<Vec<_>>());
        for letter in found {
            assert_eq!(letter.reject, reject(letter.index));
            assert_eq!(letter.frame_start, [letter.index as u8; 48]);
        }
    }

    #[test]
    fn last_letters_are_kept_and_read_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead-letters");
        let mut letters = open(&path, 4);
        assert_eq!(read_dead_letters(&path).unwrap(), []);
        keep(&mut letters, 1..=3);
        check(&read_dead_letters(&path).unwrap(), 1..=3);
        keep(&mut letters, 4..=10);
        check(&read_dead_letters(&path).unwrap(), 7..=10);
        check(&letters.list(), 7..=10);
    }

    #[test]
    fn reopened_file_goes_on_counting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead-letters");
        keep(&mut open(&path, 4), 1..=6);
        keep(&mut open(&path, 4), 7..=7);
        check(&read_dead_letters(&path).unwrap(), 4..=7);
    }

    #[test]
    fn file_of_other_measures_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead-letters");
        keep(&mut open(&path, 4), 1..=2);
        keep(&mut open(&path, 8), 1..=1);
        check(&read_dead_letters(&path).unwrap(), 1..=1);
        check(
            &read_dead_letters(&folder.path().join("dead-letters.old")).unwrap(),
            1..=2,
        );
    }

    #[test]
    fn torn_slot_is_left_out() {
        let mut letters = DeadLetters::in_memory(&config(4)).unwrap();
        keep(&mut letters, 1..=4);
        letters.map[HEADER_LEN + FRAME_OFFSET + 3] ^= 1;
        check(&letters.list(), 2..=4);
    }

    #[test]
    fn file_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead-letters");
        let said = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = read_dead_letters(&path).unwrap_err().to_string();
            error.split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(said(&[1; 10]), "length is 10, expected 64");
        assert_eq!(
            said(&[0; 64]),
            "begins with 0x0000000000000000, expected 0x544c444145444e50"
        );
        let mut header = FileHeader::of(&config(2));
        assert_eq!(said(header.as_bytes()), "length is 64, expected 320");
        header.version = 9;
        assert_eq!(said(header.as_bytes()), "version is 9, expected 1");
    }

    #[test]
    fn slots_at_the_defaults_are_256_bytes() {
        assert_eq!(FileHeader::of(&DeadLettersConfig::default()).slot_len, 256);
    }
}
