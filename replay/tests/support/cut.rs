//! What becomes of a journal in a crash, and what somebody could do to it.

use std::fs;
use std::path::{Path, PathBuf};

use pinion_journal::Reader;
use pinion_journal::format::{HEADER_LEN, entry_len};
use pinion_schemas::records::{EntryHeader, LINE_LEN};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::files;

/// Where an entry lies, and its header.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    pub offset: usize,
    pub header: EntryHeader,
}

impl Place {
    fn len(&self) -> usize {
        entry_len(self.header.payload_len as usize)
    }
}

/// Every entry, the journal's own included, in order.
pub fn entries(dir: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    for path in files(dir, "segment") {
        let bytes = fs::read(&path).unwrap();
        let mut offset = HEADER_LEN;
        while offset < bytes.len() {
            let (header, _) = EntryHeader::read_from_prefix(&bytes[offset..]).unwrap();
            if header.kind == 0 {
                break;
            }
            let place = Place {
                path: path.clone(),
                offset,
                header,
            };
            offset += place.len();
            places.push(place);
        }
    }
    places
}

/// Ends the journal behind `kept` entries as a crash does: the rest was never written, and of the next entry only
/// the first `torn_len` bytes.
pub fn cut(dir: &Path, kept: usize, torn_len: usize) {
    let places = entries(dir);
    let Some(first_lost) = places.get(kept) else {
        return;
    };
    let mut bytes = fs::read(&first_lost.path).unwrap();
    bytes[first_lost.offset + torn_len..].fill(0);
    fs::write(&first_lost.path, bytes).unwrap();
    for path in files(dir, "segment")
        .into_iter()
        .filter(|path| *path > first_lost.path)
    {
        fs::remove_file(path).unwrap();
    }
}

/// Changes one entry and makes its checksum right again.
pub fn tamper(dir: &Path, place: &Place, change: impl FnOnce(&mut EntryHeader, &mut [u8])) {
    let journal_id = Reader::open(dir).unwrap().segment().unwrap().journal_id;
    let segment_id: u64 = place.path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut bytes = fs::read(&place.path).unwrap();
    let entry = &mut bytes[place.offset..][..place.len()];
    let (line, payload) = entry.split_at_mut(LINE_LEN);
    let mut header = place.header;
    change(&mut header, payload);
    line.copy_from_slice(header.as_bytes());
    let journal = crc32c::crc32c(&journal_id.to_le_bytes());
    let seed = crc32c::crc32c_append(journal, &segment_id.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed ^ (place.offset / LINE_LEN) as u32, &entry[4..]);
    entry[..4].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&place.path, bytes).unwrap();
}

/// Flips one bit of an entry and leaves the checksum as it is.
pub fn damage(place: &Place) {
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[place.offset + LINE_LEN] ^= 1;
    fs::write(&place.path, bytes).unwrap();
}
