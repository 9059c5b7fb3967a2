//! Gives the entries of a journal back, in order, checked.
//!
//! ```text
//!   line ──▶ intact entry ───────────────────────────────────────────▶ Some(entry)
//!        └─▶ zeros or damage: does the next segment start here? ─yes─▶ go on there
//!                 │ no: look at everything behind
//!                 ├─ nothing behind ─────────────────────────────────▶ None, Tail::Clean
//!                 ├─ nothing behind says that this was durable ──────▶ None, Tail::Torn
//!                 └─ something does ─────────────────────────────────▶ JournalError::Corrupt
//! ```
//!
//! A reader may follow an engine that writes: at the end [`Reader::next`] returns `None`, and later more. Before
//! it takes anything for damage it looks again, for the writer may have come along.
//!
//! Invariant: reading alone changes nothing on disk, and no byte behind a defect is ever returned.

use std::ops::Range;
use std::path::{Path, PathBuf};

use pinion_schemas::records::{EntryHeader, LINE_LEN, entry_kind};

use crate::error::{Damage, JournalError};
use crate::format::{
    FORMAT_VERSION, Found, HEADER_LEN, HeaderState, Seed, SegmentInfo, data_end, entry_at, entry_len,
    is_zero, read_header,
};
use crate::mapping::Mapping;
use crate::segments;

/// One entry, where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Position of its header in the journal. Unit: bytes.
    pub position: u64,
    /// Its header; `kind` is one of [`entry_kind`].
    pub header: &'a EntryHeader,
    /// The frame as it was received, or the decision's record.
    pub payload: &'a [u8],
}

/// What stands behind the last entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    #[default]
    Clean,
    /// Bytes that were never known to be durable, and that begin with an unfinished entry.
    Torn(Tear),
}

/// Where a journal is torn and what is lost by cutting it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tear {
    /// Position after the last intact entry.
    pub position: u64,
    /// Its segment.
    pub segment_id: u64,
    /// Its byte in the segment's file; 0 if the segment has no header.
    pub offset: u64,
    /// Bytes from there to the last that is not zero, over all segments; header blocks are not counted.
    pub len: u64,
    /// Intact entries among them.
    pub entries_after: u64,
    /// Segments behind the torn one that were in use.
    pub segments_after: u64,
}

/// A segment being read.
struct OpenSegment {
    info: SegmentInfo,
    seed: Seed,
    path: PathBuf,
    bytes: Mapping,
}

/// Where an entry lies in the open segment.
#[derive(Clone, Copy)]
struct Location {
    offset: usize,
    payload_len: usize,
}

/// Reads a journal from its first entry.
pub struct Reader {
    dir: PathBuf,
    segment: Option<OpenSegment>,
    /// The next line in the segment's file.
    offset: usize,
    /// Entries before it, the journal's own included.
    index: u64,
    /// The highest that the entries so far tell of.
    durable_position: u64,
    limit: u64,
    /// The last entry so far is the mark of an orderly close.
    is_closed: bool,
    tail: Tail,
    /// Position for which `tail` was found.
    judged_position: Option<u64>,
}

impl Reader {
    /// Opens the journal in `dir`. A directory without segments is an empty journal.
    ///
    /// Error: the directory cannot be read, a segment is missing, the first header is damaged or of another
    ///        format.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let mut reader = Self {
            dir: dir.to_owned(),
            segment: None,
            offset: 0,
            index: 0,
            durable_position: 0,
            limit: u64::MAX,
            is_closed: false,
            tail: Tail::Clean,
            judged_position: None,
        };
        reader.open_first()?;
        Ok(reader)
    }

    /// Opens the journal in `dir` at `position`, which [`Reader::position`] gave of this very journal. `None`: no
    /// entry of it ends there.
    ///
    /// Error: as [`Reader::open`] and [`Reader::next`].
    /// Cost:  a look at the headers of the segments behind, and one pass over the segment up to `position`.
    pub fn open_at(dir: &Path, position: u64) -> Result<Option<Self>, JournalError> {
        let mut reader = Self::open(dir)?;
        if reader.segment.is_some() {
            reader.pass_segments(position)?;
        }
        while reader.position() < position {
            if reader.next()?.is_none() {
                return Ok(None);
            }
        }
        Ok((reader.position() == position).then_some(reader))
    }

    /// Ends at `position`, so that what an engine appends behind is not seen. [`Reader::tail`] stays clean.
    pub fn until(mut self, position: u64) -> Self {
        self.set_end(position);
        self
    }

    /// As [`Reader::until`], for a reader that follows an engine: moves the end on.
    pub fn set_end(&mut self, position: u64) {
        self.limit = position;
    }

    /// The next entry, or `None` at the end; then [`Reader::tail`] says what stands behind it.
    ///
    /// Error: [`JournalError::Corrupt`] with the damaged bytes. It comes again if called again.
    /// Cost:  one pass of CRC32C; at an end that was not seen before, a look at the rest of the segment.
    #[expect(
        clippy::should_implement_trait,
        reason = "an entry borrows from the reader: no iterator can do that"
    )]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, JournalError> {
        let location = self.advance()?;
        Ok(location.and_then(|location| self.entry(location)))
    }

    /// The next entry of `kind`, or `None` at the end. Others are checked and passed over.
    ///
    /// Error and cost: as [`Reader::next`], for each entry passed over.
    pub fn next_of(&mut self, kind: u8) -> Result<Option<Entry<'_>>, JournalError> {
        loop {
            let Some(location) = self.advance()? else {
                return Ok(None);
            };
            if self
                .entry(location)
                .is_some_and(|entry| entry.header.kind == kind)
            {
                return Ok(self.entry(location));
            }
        }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Result<Option<Entry<'_>>, JournalError> {
        self.next_of(entry_kind::INPUT)
    }

    /// The next decision.
    pub fn next_decision(&mut self) -> Result<Option<Entry<'_>>, JournalError> {
        self.next_of(entry_kind::DECISION)
    }

    /// Position after the last entry returned.
    pub fn position(&self) -> u64 {
        self.segment
            .as_ref()
            .map_or(0, |segment| segment.info.position_at(self.offset))
    }

    /// Entries up to there, the journal's own included.
    pub fn entry_index(&self) -> u64 {
        self.index
    }

    /// Everything below was durable when the entries so far were written.
    pub fn durable_position(&self) -> u64 {
        self.durable_position
    }

    /// Whether what was read so far ends with the mark of an orderly close. A journal that was closed in order
    /// may lack it, if there was no room for it in the segment.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What stands behind the last entry, as found when [`Reader::next`] last returned `None`.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// The header of the segment being read; `None` while the journal is empty.
    pub fn segment(&self) -> Option<&SegmentInfo> {
        self.segment.as_ref().map(|segment| &segment.info)
    }

    /// The next line in the segment's file.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The entry at a place that [`Reader::advance`] has checked.
    fn entry(&self, location: Location) -> Option<Entry<'_>> {
        use zerocopy::FromBytes as _;
        let segment = self.segment.as_ref()?;
        let (header, payload) = EntryHeader::ref_from_prefix(&segment.bytes[location.offset..]).ok()?;
        let position = segment.info.position_at(location.offset);
        Some(Entry {
            position,
            header,
            payload: &payload[..location.payload_len],
        })
    }

    /// Passes the next entry that is not the journal's own.
    fn advance(&mut self) -> Result<Option<Location>, JournalError> {
        loop {
            if self.position() >= self.limit || (self.segment.is_none() && !self.open_first()?) {
                return Ok(None);
            }
            let found = self
                .segment
                .as_ref()
                .map(|s| entry_at(&s.bytes, self.offset, s.seed));
            let Some(Found::Entry(header, payload)) = found else {
                if self.pass_end()? {
                    continue;
                } else {
                    return Ok(None);
                }
            };
            let location = Location {
                offset: self.offset,
                payload_len: payload.len(),
            };
            let is_mark = header.kind == entry_kind::MARK;
            self.durable_position = self.durable_position.max(header.durable_position);
            self.offset += entry_len(location.payload_len);
            self.index += 1;
            self.is_closed = is_mark;
            if !is_mark {
                return Ok(Some(location));
            }
        }
    }

    /// Opens the first segment, if there is one in use.
    fn open_first(&mut self) -> Result<bool, JournalError> {
        let ids = segments::list(&self.dir)?;
        check_contiguous(&self.dir, &ids)?;
        let Some(&first_id) = ids.first() else {
            return Ok(false);
        };
        let path = segments::path(&self.dir, first_id);
        let bytes = Mapping::open(&path)?;
        let state = read_header(&bytes);
        if let HeaderState::Valid(info) = state {
            check_header(&path, &info, info.journal_id, first_id)?;
            self.index = info.start_index;
            self.enter(info, path, bytes)?;
            return Ok(true);
        }
        // Only a journal whose creation was interrupted starts without a header.
        if ids.len() > 1 || !is_zero(bytes.get(HEADER_LEN..).unwrap_or_default()) {
            let range = (0, HEADER_LEN as u64);
            return Err(corrupt(path, first_id, range, 0, Damage::FirstHeader));
        }
        if state == HeaderState::Unreadable {
            let len = data_end(&bytes, 0) as u64;
            self.tail = Tail::Torn(Tear {
                position: 0,
                segment_id: first_id,
                offset: 0,
                len,
                entries_after: 0,
                segments_after: 0,
            });
        }
        Ok(false)
    }

    /// Goes on at the last segment in use that does not begin behind `position`.
    fn pass_segments(&mut self, position: u64) -> Result<(), JournalError> {
        let first = self.segment.as_ref().map_or(0, |segment| segment.info.segment_id);
        let later = segments::list(&self.dir)?.into_iter().rev();
        for id in later.filter(|&id| id > first) {
            let path = segments::path(&self.dir, id);
            let bytes = Mapping::open(&path)?;
            let HeaderState::Valid(info) = read_header(&bytes) else {
                continue;
            };
            if info.start_position <= position {
                let journal_id = self
                    .segment
                    .as_ref()
                    .map_or(info.journal_id, |s| s.info.journal_id);
                check_header(&path, &info, journal_id, id)?;
                self.index = info.start_index;
                return self.enter(info, path, bytes);
            }
        }
        Ok(())
    }

    /// Goes on at the first entry of a segment.
    fn enter(&mut self, info: SegmentInfo, path: PathBuf, mut bytes: Mapping) -> Result<(), JournalError> {
        if (bytes.len() as u64) < info.segment_len {
            // It was still being made when it was mapped, and came into use before its header was looked at.
            bytes = Mapping::open(&path)?;
        }
        self.offset = HEADER_LEN;
        self.tail = Tail::Clean;
        self.segment = Some(OpenSegment {
            info,
            seed: info.seed(),
            path,
            bytes,
        });
        Ok(())
    }

    /// Called where no intact entry stands. `true`: reading can go on.
    fn pass_end(&mut self) -> Result<bool, JournalError> {
        if self.go_on()? {
            return Ok(true);
        }
        if self.judged_position == Some(self.position()) {
            return Ok(false);
        }
        let Some(segment) = &self.segment else {
            return Ok(false);
        };
        let survey = Survey::of(&self.dir, segment, self.offset)?;
        // A writer may have come along during the survey.
        if self.go_on()? {
            return Ok(true);
        }
        self.tail = self.judge(&survey)?;
        self.judged_position = Some(self.position());
        Ok(false)
    }

    /// Whether an entry stands here by now, or the next segment starts here, which is then entered.
    fn go_on(&mut self) -> Result<bool, JournalError> {
        let Some(segment) = &self.segment else {
            return Ok(false);
        };
        let next_id = segment.info.segment_id + 1;
        let path = segments::path(&self.dir, next_id);
        let next = Mapping::open_if_present(&path)?;
        // Looked at after the next segment: once that has a header, nothing is appended here.
        if matches!(
            entry_at(&segment.bytes, self.offset, segment.seed),
            Found::Entry(..)
        ) {
            return Ok(true);
        }
        let Some(bytes) = next else { return Ok(false) };
        let HeaderState::Valid(info) = read_header(&bytes) else {
            return Ok(false);
        };
        check_header(&path, &info, segment.info.journal_id, next_id)?;
        if info.start_position > self.position() {
            return Ok(false);
        }
        self.check_finished(segment, &path, &info)?;
        self.enter(info, path, bytes)?;
        Ok(true)
    }

    /// Checks that `segment`, read to its end, is what the header of the `next` one says of it.
    fn check_finished(
        &self,
        segment: &OpenSegment,
        next_path: &Path,
        next: &SegmentInfo,
    ) -> Result<(), JournalError> {
        check_field(
            next_path,
            next,
            "start_position",
            next.start_position,
            self.position(),
        )?;
        check_field(next_path, next, "start_index", next.start_index, self.index)?;
        let end = data_end(&segment.bytes, self.offset);
        if end == self.offset {
            return Ok(());
        }
        let range = (self.offset as u64, end as u64);
        Err(corrupt(
            segment.path.clone(),
            segment.info.segment_id,
            range,
            self.position(),
            Damage::Remainder,
        ))
    }

    /// Tells end, torn tail and damage apart by what stands behind.
    fn judge(&self, survey: &Survey) -> Result<Tail, JournalError> {
        let Some(segment) = &self.segment else {
            return Ok(Tail::Clean);
        };
        let position = self.position();
        let durable_position = self.durable_position.max(survey.durable_position);
        if durable_position > position {
            let damage = Damage::BelowDurable { durable_position };
            return Err(match survey.header_to_blame(self.offset) {
                Some(id) => corrupt(
                    segments::path(&self.dir, id),
                    id,
                    (0, HEADER_LEN as u64),
                    position,
                    damage,
                ),
                None => {
                    let range = (self.offset as u64, survey.damage_end(self.offset) as u64);
                    corrupt(
                        segment.path.clone(),
                        segment.info.segment_id,
                        range,
                        position,
                        damage,
                    )
                }
            });
        }
        let len = (survey.data_end - self.offset) as u64 + survey.later_len;
        if len == 0 && survey.later_segments == 0 {
            return Ok(Tail::Clean);
        }
        Ok(Tail::Torn(Tear {
            position,
            segment_id: segment.info.segment_id,
            offset: self.offset as u64,
            len,
            entries_after: survey.entries,
            segments_after: survey.later_segments,
        }))
    }
}

/// What stands behind the last intact entry.
#[derive(Debug, Default)]
struct Survey {
    /// After the last byte of the segment that is not zero.
    data_end: usize,
    /// The first intact entry in the segment.
    resume_offset: Option<usize>,
    /// Intact entries in all, the journal's own not counted.
    entries: u64,
    /// The highest that they tell of.
    durable_position: u64,
    /// The first later segment in use, if its header is unreadable.
    unreadable_id: Option<u64>,
    /// Later segments in use.
    later_segments: u64,
    /// Bytes of entries in them.
    later_len: u64,
}

impl Survey {
    /// Looks at everything from `offset` of `segment` on.
    fn of(dir: &Path, segment: &OpenSegment, offset: usize) -> Result<Self, JournalError> {
        let mut survey = Self {
            data_end: data_end(&segment.bytes, offset),
            ..Self::default()
        };
        survey.resume_offset = survey.count_entries(&segment.bytes, offset..survey.data_end, segment.seed);

        let mut ids = segments::list(dir)?;
        ids.retain(|&id| id >= segment.info.segment_id);
        check_contiguous(dir, &ids)?;
        for &id in &ids[1..] {
            let Some(bytes) = Mapping::open_if_present(&segments::path(dir, id))? else {
                continue;
            };
            survey.add_later(id, &bytes, Seed::new(segment.info.journal_id, id));
        }
        Ok(survey)
    }

    fn add_later(&mut self, id: u64, bytes: &[u8], seed: Seed) {
        let end = data_end(bytes, HEADER_LEN);
        let state = read_header(bytes);
        if state == HeaderState::Blank && end == HEADER_LEN {
            return; // prepared
        }
        if self.later_segments == 0 && !matches!(state, HeaderState::Valid(_)) {
            self.unreadable_id = Some(id);
        }
        self.later_segments += 1;
        self.later_len += (end - HEADER_LEN) as u64;
        self.count_entries(bytes, HEADER_LEN..end, seed);
    }

    /// Counts the intact entries that begin in `range`, trying every line; returns where the first stands.
    fn count_entries(&mut self, bytes: &[u8], range: Range<usize>, seed: Seed) -> Option<usize> {
        let mut first = None;
        let mut offset = range.start;
        while offset < range.end {
            let Found::Entry(header, payload) = entry_at(bytes, offset, seed) else {
                offset += LINE_LEN;
                continue;
            };
            first = first.or(Some(offset));
            self.entries += u64::from(header.kind != entry_kind::MARK);
            self.durable_position = self.durable_position.max(header.durable_position);
            offset += entry_len(payload.len());
        }
        first
    }

    /// The later segment whose header is the damage, if the segment itself ends well at `offset`.
    fn header_to_blame(&self, offset: usize) -> Option<u64> {
        self.unreadable_id.filter(|_| self.data_end == offset)
    }

    /// Where damage at `offset` ends, as far as it can be told: at an intact entry or after the data.
    fn damage_end(&self, offset: usize) -> usize {
        self.resume_offset.unwrap_or(self.data_end).max(offset + LINE_LEN)
    }
}

/// An error unless every segment from the first to the last is there.
fn check_contiguous(dir: &Path, ids: &[u64]) -> Result<(), JournalError> {
    match ids.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        None => Ok(()),
        Some(pair) => Err(JournalError::MissingSegment {
            dir: dir.to_owned(),
            segment_id: pair[0] + 1,
            present_id: pair[1],
        }),
    }
}

/// An error unless the header belongs into this file of this journal, in a format that is understood.
fn check_header(
    path: &Path,
    info: &SegmentInfo,
    journal_id: u64,
    segment_id: u64,
) -> Result<(), JournalError> {
    if info.format_version != FORMAT_VERSION {
        let path = path.to_owned();
        return Err(JournalError::Version {
            path,
            found: info.format_version,
            expected: FORMAT_VERSION,
        });
    }
    check_field(path, info, "journal_id", info.journal_id, journal_id)?;
    check_field(path, info, "segment_id", info.segment_id, segment_id)
}

fn check_field(
    path: &Path,
    info: &SegmentInfo,
    field: &'static str,
    found: u64,
    expected: u64,
) -> Result<(), JournalError> {
    if found == expected {
        return Ok(());
    }
    let range = (0, HEADER_LEN as u64);
    let damage = Damage::Header {
        field,
        found,
        expected,
    };
    Err(corrupt(
        path.to_owned(),
        info.segment_id,
        range,
        info.start_position,
        damage,
    ))
}

fn corrupt(path: PathBuf, segment_id: u64, range: (u64, u64), position: u64, reason: Damage) -> JournalError {
    JournalError::Corrupt {
        path,
        segment_id,
        start: range.0,
        end: range.1,
        position,
        reason,
    }
}
