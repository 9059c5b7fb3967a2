//! A ring of entries: a header line and a payload of any length, always in one piece.
//!
//! ```text
//!   line 0   1   2    3    4   5   6          9  (end of memory)
//!   [header|pay|load][header|payload|…] … [padding──▶]   an entry that does not fit before the end
//!   ▲ continues here                                      starts again at line 0
//! ```
//!
//! An entry takes one line for its header and whole lines for its payload. The one that would straddle the
//! end of the memory is put at the start, and a padding entry fills the gap; both are sent together.
//!
//! Invariant: no entry straddles the end of the memory, so the reader gets its payload as one slice.

use pinion_schemas::records::{EntryHeader, LINE_LEN};
use zerocopy::IntoBytes as _;

use super::slots::{self, Slots};

/// The kind of the entry that fills the gap before the end of the memory; never shown to a reader.
const PADDING_KIND: u8 = u8::MAX;

/// Lines that an entry with a payload of `payload_len` bytes takes.
pub const fn lines_needed(payload_len: usize) -> usize {
    1 + payload_len.div_ceil(LINE_LEN)
}

/// Makes a ring of `line_capacity` lines of 64 bytes.
///
/// Bound: at least 1 line, else it panics. The longest entry takes half of the lines, rounded up:
///        see [`EntryProducer::payload_len_max`].
/// Cost:  all memory is taken and written once.
pub fn entry_ring(line_capacity: usize) -> (EntryProducer, EntryConsumer) {
    assert!(line_capacity > 0, "an entry ring holds at least one line");
    let (slots, consumer) = slots::prefilled(line_capacity);
    (
        EntryProducer {
            slots,
            next_line: 0,
            full_count: 0,
        },
        EntryConsumer { inner: consumer },
    )
}

/// The writing end of an entry ring. One thread owns it.
pub struct EntryProducer {
    slots: Slots<EntryHeader>,
    /// Where the next entry starts, in `0..capacity`.
    next_line: usize,
    full_count: u64,
}

impl EntryProducer {
    /// Writes one entry; its header's `payload_len` is set here. `false`: full, counted, nothing written.
    ///
    /// Bound: `payload` is at most [`EntryProducer::payload_len_max`] long, else it panics: check the limit
    ///        that the payloads keep when you make the ring.
    /// Cost:  one copy of header and payload; the reader's position is loaded only when the ring may be full.
    #[must_use]
    pub fn try_write(&mut self, header: &EntryHeader, payload: &[u8]) -> bool {
        self.try_write_with(header, payload.len(), |place| place.copy_from_slice(payload))
    }

    /// As [`EntryProducer::try_write`], but lets `fill` write the payload where it will be read.
    ///
    /// The place holds old bytes: `fill` must write all of them.
    #[must_use]
    pub fn try_write_with(
        &mut self,
        header: &EntryHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> bool {
        let lines = lines_needed(payload_len);
        let padding = self.padding_before(lines);
        let capacity = self.line_capacity();
        let Some(mut claim) = self.slots.claim(padding + lines) else {
            self.full_count += 1;
            return false;
        };
        let (first, second) = claim.slices();
        let place = if padding == 0 { first } else { pad(first, second) };
        place[0] = EntryHeader {
            payload_len: payload_len as u32,
            ..*header
        };
        fill(&mut place[1..].as_mut_bytes()[..payload_len]);
        claim.commit();
        self.next_line = (self.next_line + padding + lines) % capacity;
        true
    }

    /// Whether an entry with a payload of `payload_len` bytes would be accepted now. Not counted.
    ///
    /// Bound and cost: as [`EntryProducer::try_write`].
    pub fn can_write(&self, payload_len: usize) -> bool {
        let lines = lines_needed(payload_len);
        let needed = self.padding_before(lines) + lines;
        let producer = self.slots.producer();
        producer.cached_slots() >= needed || producer.slots() >= needed
    }

    /// The longest payload, in bytes, that is ever accepted: it fits wherever the last entry ended.
    pub fn payload_len_max(&self) -> usize {
        (self.lines_max() - 1) * LINE_LEN
    }

    /// Free lines at this moment, before padding.
    pub fn free_lines(&self) -> usize {
        self.slots.producer().slots()
    }

    /// How often a write found no room.
    pub fn full_count(&self) -> u64 {
        self.full_count
    }

    /// Lines in all.
    pub fn line_capacity(&self) -> usize {
        self.slots.producer().buffer().capacity()
    }

    /// Whether the reader is gone: what is written now will not be read.
    pub fn is_abandoned(&self) -> bool {
        self.slots.producer().is_abandoned()
    }

    /// Lines to the end of the memory if an entry of `lines` does not fit before it, else 0.
    fn padding_before(&self, lines: usize) -> usize {
        assert!(
            lines <= self.lines_max(),
            "an entry of {lines} lines, expected {} at most",
            self.lines_max()
        );
        let lines_to_end = self.line_capacity() - self.next_line;
        if lines <= lines_to_end { 0 } else { lines_to_end }
    }

    /// Lines of the longest entry: with the longest padding before it, one line less, it fills the ring.
    fn lines_max(&self) -> usize {
        self.line_capacity().div_ceil(2)
    }
}

/// Marks `gap` as padding and gives the lines after it.
fn pad<'a>(gap: &mut [EntryHeader], place: &'a mut [EntryHeader]) -> &'a mut [EntryHeader] {
    let payload_len = ((gap.len() - 1) * LINE_LEN) as u32;
    gap[0] = EntryHeader {
        kind: PADDING_KIND,
        payload_len,
        ..EntryHeader::default()
    };
    place
}

/// The reading end of an entry ring. One thread owns it.
pub struct EntryConsumer {
    inner: rtrb::Consumer<EntryHeader>,
}

impl EntryConsumer {
    /// Shows up to `count_max` entries to `handle`, oldest first, where they lie. Returns how many.
    ///
    /// Their lines are freed together after the last. A panic in `handle` leaves the whole batch in the ring.
    ///
    /// Cost: one acquiring load and one releasing store per batch.
    pub fn read_batch(&mut self, count_max: usize, mut handle: impl FnMut(&EntryHeader, &[u8])) -> usize {
        self.read_while(count_max, |header, payload| {
            handle(header, payload);
            true
        })
    }

    /// As [`EntryConsumer::read_batch`], but ends at the first entry for which `handle` returns `false`; that
    /// one stays in the ring. Returns how many were taken.
    pub fn read_while(
        &mut self,
        count_max: usize,
        mut handle: impl FnMut(&EntryHeader, &[u8]) -> bool,
    ) -> usize {
        let Ok(chunk) = self.inner.read_chunk(self.inner.slots()) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        let mut batch = Batch {
            count_left: count_max,
            lines: 0,
        };
        if batch.read(first, &mut handle) {
            batch.read(second, &mut handle);
        }
        chunk.commit(batch.lines);
        count_max - batch.count_left
    }

    /// Lines waiting at this moment, padding included.
    pub fn lines(&self) -> usize {
        self.inner.slots()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Whether the writer is gone. Entries may still wait: see [`EntryConsumer::is_finished`].
    pub fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned()
    }

    /// Whether the writer is gone and everything it wrote was read.
    pub fn is_finished(&self) -> bool {
        self.is_abandoned() && self.is_empty()
    }
}

/// How far a batch has come.
struct Batch {
    count_left: usize,
    lines: usize,
}

impl Batch {
    /// Reads the entries in `lines`, which holds whole ones. Returns whether it came to their end.
    fn read(
        &mut self,
        mut lines: &[EntryHeader],
        handle: &mut impl FnMut(&EntryHeader, &[u8]) -> bool,
    ) -> bool {
        while let [header, rest @ ..] = lines {
            let payload_len = header.payload_len as usize;
            let entry_lines = lines_needed(payload_len);
            if header.kind != PADDING_KIND {
                if self.count_left == 0 || !handle(header, &rest.as_bytes()[..payload_len]) {
                    return false;
                }
                self.count_left -= 1;
            }
            self.lines += entry_lines;
            lines = &lines[entry_lines..];
        }
        true
    }
}
