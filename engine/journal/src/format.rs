//! The bytes of a segment.
//!
//! ```text
//!   0                      4096                                            segment_len
//!   ┌──────────────────────┬─────────────────────┬─────────────┬──────────────┐
//!   │ header block         │ entry               │ entry       │ zeros        │
//!   └──────────────────────┴─────────────────────┴─────────────┴──────────────┘
//!   SegmentHeader (PNSG)     EntryHeader 64 bytes
//!   zeros                    payload, zeros up to a whole line
//!   CRC32C of bytes 0..4092
//! ```
//!
//! An entry's checksum is CRC32C over everything after the checksum itself: the rest of the header line, the
//! payload and its padding. It is seeded with the journal, the segment and the line in the segment, so bytes
//! of another journal, of an older use of the file, or from another place do not pass.
//!
//! A line of zeros ends a segment. The next segment's `start_position` tells where exactly it must stand.
//!
//! Invariant: an entry whose checksum is right is, but for a chance of 2^-32, one that was appended there.

use std::ptr;

use flatbuffers::FlatBufferBuilder;
use pinion_schemas::ids::SCHEMA_VERSION;
use pinion_schemas::records::{EntryHeader, LINE_LEN};
use pinion_schemas::wire::{SegmentHeader, SegmentHeaderArgs, SegmentHeaderHot};
use zerocopy::FromBytes as _;

/// Length of the header block.
pub const HEADER_LEN: usize = 4096;

/// Version of the entries' layout that this build reads and writes.
pub const FORMAT_VERSION: u16 = 1;

/// The longest payload that a reader accepts, in bytes.
pub const PAYLOAD_LEN_LIMIT: usize = 65_536;

/// Where the header block's checksum stands.
const HEADER_CHECKSUM_OFFSET: usize = HEADER_LEN - 4;

/// The FlatBuffers file identifier of a segment.
const IDENTIFIER: &str = "PNSG";

/// The longest name of a build that is kept.
const BUILD_LEN_MAX: usize = 256;

// Entries are memory images of little-endian records.
const _: () = assert!(cfg!(target_endian = "little"));
// Segments have whole pages, and entries start at a line.
const _: () = assert!(HEADER_LEN.is_multiple_of(LINE_LEN));

/// Length of an entry with a payload of `payload_len` bytes, in bytes.
///
/// ```
/// use pinion_journal::format::entry_len;
/// assert_eq!((entry_len(0), entry_len(1), entry_len(64)), (64, 128, 128));
/// ```
pub const fn entry_len(payload_len: usize) -> usize {
    LINE_LEN + payload_len.next_multiple_of(LINE_LEN)
}

/// Who wrote a segment and what came before it: the fixed part of its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Names the journal: drawn once, when it was created.
    pub journal_id: u64,
    /// Counts the segments from 1.
    pub segment_id: u64,
    /// Position of its first entry.
    pub start_position: u64,
    /// Entries before it, the journal's own included.
    pub start_index: u64,
    /// When it was begun. Unit: ns since the Unix epoch.
    pub created_ns: i64,
    /// Hash of every configuration key that can change a decision.
    pub config_hash: u64,
    /// Length of the file, header block included. Unit: bytes.
    pub segment_len: u64,
    /// Version of the entries' layout.
    pub format_version: u16,
    /// Version of the frames' schemas.
    pub schema_version: u16,
}

impl SegmentInfo {
    /// Position in the journal of the byte `offset` of the file.
    pub(crate) fn position_at(&self, offset: usize) -> u64 {
        self.start_position + offset.saturating_sub(HEADER_LEN) as u64
    }

    /// What its entries' checksums are seeded with.
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.journal_id, self.segment_id)
    }

    fn to_wire(self) -> SegmentHeaderHot {
        SegmentHeaderHot::new(
            self.journal_id,
            self.segment_id,
            self.start_position,
            self.start_index,
            self.created_ns,
            self.config_hash,
            self.segment_len,
            self.format_version,
            self.schema_version,
        )
    }

    fn from_wire(hot: &SegmentHeaderHot) -> Self {
        Self {
            journal_id: hot.journal_id(),
            segment_id: hot.segment_id(),
            start_position: hot.start_position(),
            start_index: hot.start_index(),
            created_ns: hot.created_ns(),
            config_hash: hot.config_hash(),
            segment_len: hot.segment_len(),
            format_version: hot.format_version(),
            schema_version: hot.schema_version(),
        }
    }
}

/// A header block that is encoded once and then only patched, so that a new segment costs no heap call.
pub(crate) struct HeaderTemplate {
    block: Box<[u8]>,
    hot_offset: usize,
}

impl HeaderTemplate {
    /// Encodes the parts that stay. `build` is cut off after 256 bytes.
    pub(crate) fn new(build: &str) -> Self {
        let mut builder = FlatBufferBuilder::with_capacity(HEADER_LEN);
        let build = builder.create_string(&build[..build.floor_char_boundary(BUILD_LEN_MAX)]);
        let hot = SegmentHeaderHot::default();
        let args = SegmentHeaderArgs {
            hot: Some(&hot),
            build: Some(build),
        };
        let root = SegmentHeader::create(&mut builder, &args);
        builder.finish(root, Some(IDENTIFIER));

        let mut block = vec![0; HEADER_LEN].into_boxed_slice();
        block[..builder.finished_data().len()].copy_from_slice(builder.finished_data());
        let header = flatbuffers::root::<SegmentHeader<'_>>(&block).expect("a header just built is valid");
        let hot_offset = ptr::from_ref(header.hot()).addr() - block.as_ptr().addr();
        Self { block, hot_offset }
    }

    /// The header block of the segment `info`.
    pub(crate) fn fill(&mut self, info: &SegmentInfo) -> &[u8] {
        let hot = info.to_wire();
        self.block[self.hot_offset..][..hot.0.len()].copy_from_slice(&hot.0);
        let checksum = crc32c::crc32c(&self.block[..HEADER_CHECKSUM_OFFSET]);
        self.block[HEADER_CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        &self.block
    }
}

/// What the start of a segment file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderState {
    /// Nothing but zeros, or nothing: prepared, not in use.
    Blank,
    /// A header whose checksum is right.
    Valid(SegmentInfo),
    /// Anything else.
    Unreadable,
}

/// Reads the header block at the start of a segment file, which may be short.
pub(crate) fn read_header(file: &[u8]) -> HeaderState {
    let block = &file[..file.len().min(HEADER_LEN)];
    if is_zero(block) {
        return HeaderState::Blank;
    }
    read_valid_header(block).map_or(HeaderState::Unreadable, HeaderState::Valid)
}

fn read_valid_header(block: &[u8]) -> Option<SegmentInfo> {
    let (checked, checksum) = block.split_at_checked(HEADER_CHECKSUM_OFFSET)?;
    if checksum != crc32c::crc32c(checked).to_le_bytes() {
        return None;
    }
    let header = flatbuffers::root::<SegmentHeader<'_>>(checked).ok()?;
    flatbuffers::buffer_has_identifier(checked, IDENTIFIER, false)
        .then(|| SegmentInfo::from_wire(header.hot()))
}

/// What every checksum of a segment starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(journal_id: u64, segment_id: u64) -> Self {
        let journal = crc32c::crc32c(&journal_id.to_le_bytes());
        Self(crc32c::crc32c_append(journal, &segment_id.to_le_bytes()))
    }

    /// The checksum of the whole lines of `entry`, which stands at `offset` in its file.
    ///
    /// Cost: 3 to 7 ns for two lines.
    #[inline]
    pub(crate) fn checksum(self, offset: usize, entry: &[u8]) -> u32 {
        let line = (offset / LINE_LEN) as u32;
        crc32c::crc32c_append(self.0 ^ line, &entry[size_of::<u32>()..])
    }
}

/// What stands at a line of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// An entry whose checksum is right.
    Entry(&'a EntryHeader, &'a [u8]),
    /// A line of zeros, or the end of the file.
    Blank,
    /// Anything else.
    Defect,
}

/// Reads what stands at `offset`, a multiple of a line, of a segment's bytes.
///
/// Cost: one pass of CRC32C over the entry.
pub(crate) fn entry_at(file: &[u8], offset: usize, seed: Seed) -> Found<'_> {
    let rest = file.get(offset..).unwrap_or_default();
    let Some((line, _)) = rest.split_at_checked(LINE_LEN) else {
        return if is_zero(rest) {
            Found::Blank
        } else {
            Found::Defect
        };
    };
    match read_entry(rest, offset, seed) {
        Some((header, payload)) => Found::Entry(header, payload),
        None if is_zero(line) => Found::Blank,
        None => Found::Defect,
    }
}

/// The entry at the start of `rest`, if its checksum is right.
#[inline]
fn read_entry(rest: &[u8], offset: usize, seed: Seed) -> Option<(&EntryHeader, &[u8])> {
    let (header, payload) = EntryHeader::ref_from_prefix(rest).ok()?;
    let payload_len = header.payload_len as usize;
    if header.kind == 0 || payload_len > PAYLOAD_LEN_LIMIT {
        return None;
    }
    let entry = rest.get(..entry_len(payload_len))?;
    (seed.checksum(offset, entry) == header.checksum).then_some((header, &payload[..payload_len]))
}

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Blocks without a branch inside: the compiler makes vectors of them.
    bytes
        .chunks(4096)
        .all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
}

/// Offset after the last byte that is not zero, at least `start`.
pub(crate) fn data_end(file: &[u8], start: usize) -> usize {
    let mut end = file.len().max(start);
    while end > start {
        let block_start = end.saturating_sub(4096).max(start);
        if !is_zero(&file[block_start..end]) {
            break;
        }
        end = block_start;
    }
    (start..end)
        .rev()
        .find(|&offset| file[offset] != 0)
        .map_or(start, |offset| offset + 1)
}

/// The header that a segment of this build starts with.
pub(crate) fn new_info(journal_id: u64, segment_id: u64) -> SegmentInfo {
    SegmentInfo {
        journal_id,
        segment_id,
        format_version: FORMAT_VERSION,
        schema_version: SCHEMA_VERSION,
        ..SegmentInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes as _;

    fn info() -> SegmentInfo {
        SegmentInfo {
            start_position: 640,
            start_index: 5,
            created_ns: 1_700_000_000_000_000_000,
            config_hash: 77,
            segment_len: 16_384,
            ..new_info(0x1234, 2)
        }
    }

    /// A segment with one entry, in lines so that it is aligned.
    fn segment() -> Vec<EntryHeader> {
        let mut lines = vec![EntryHeader::default(); HEADER_LEN / LINE_LEN + 4];
        lines.as_mut_bytes()[..HEADER_LEN].copy_from_slice(HeaderTemplate::new("test 1").fill(&info()));
        let bytes = lines.as_mut_bytes();
        let header = EntryHeader {
            payload_len: 70,
            kind: 1,
            input_index: 6,
            ..EntryHeader::default()
        };
        bytes[HEADER_LEN..HEADER_LEN + LINE_LEN].copy_from_slice(header.as_bytes());
        bytes[HEADER_LEN + LINE_LEN..][..70].fill(0xAB);
        let checksum = info()
            .seed()
            .checksum(HEADER_LEN, &bytes[HEADER_LEN..HEADER_LEN + 192]);
        bytes[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&checksum.to_le_bytes());
        lines
    }

    #[test]
    fn header_comes_back_as_it_was_written() {
        let lines = segment();
        assert_eq!(read_header(lines.as_bytes()), HeaderState::Valid(info()));
        let header = flatbuffers::root::<SegmentHeader<'_>>(lines.as_bytes()).unwrap();
        assert_eq!(header.build(), Some("test 1"));
    }

    #[test]
    fn flipped_bit_anywhere_in_the_header_is_seen() {
        let mut block = HeaderTemplate::new("test").fill(&info()).to_vec();
        for bit in 0..HEADER_LEN * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_header(&block), HeaderState::Unreadable, "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn short_and_blank_headers_are_told_apart() {
        let block = HeaderTemplate::new("test").fill(&info()).to_vec();
        assert_eq!(read_header(&block[..100]), HeaderState::Unreadable);
        assert_eq!(read_header(&[]), HeaderState::Blank);
        assert_eq!(read_header(&[0; HEADER_LEN]), HeaderState::Blank);
    }

    #[test]
    fn flipped_bit_anywhere_in_an_entry_is_seen() {
        let mut lines = segment();
        let whole = lines.clone();
        assert!(
            matches!(entry_at(whole.as_bytes(), HEADER_LEN, info().seed()), Found::Entry(_, p) if p == [0xAB; 70])
        );
        for bit in 0..192 * 8 {
            lines.as_mut_bytes()[HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
            let found = entry_at(lines.as_bytes(), HEADER_LEN, info().seed());
            assert!(matches!(found, Found::Defect), "bit {bit}");
            lines.as_mut_bytes()[HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn entry_of_another_journal_segment_or_place_does_not_pass() {
        let mut lines = segment();
        for seed in [Seed::new(0x1234, 3), Seed::new(0x1235, 2)] {
            assert!(matches!(
                entry_at(lines.as_bytes(), HEADER_LEN, seed),
                Found::Defect
            ));
        }
        lines
            .as_mut_bytes()
            .copy_within(HEADER_LEN..HEADER_LEN + 192, HEADER_LEN + LINE_LEN);
        let moved = entry_at(lines.as_bytes(), HEADER_LEN + LINE_LEN, info().seed());
        assert!(matches!(moved, Found::Defect));
    }

    #[test]
    fn end_of_data_is_found_at_any_byte() {
        for end in [0, 1, 4095, 4096, 4097, 9000] {
            let mut file = vec![0; 9000];
            file[..end].fill(1);
            assert_eq!(data_end(&file, 0), end);
            assert_eq!(data_end(&file, 64), end.max(64));
            assert_eq!(is_zero(&file), end == 0);
        }
    }
}
