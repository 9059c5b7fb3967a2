//! Puts entries into batches and batches into segments.
//!
//! ```text
//!   try_append ─▶ batch (owned, whole lines) ─flush: pwrite─▶ segment ─full─▶ roll: header, next segment
//! ```
//!
//! Invariant: nothing is appended after a failure, and no bytes are written twice.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pinion_schemas::records::{EntryHeader, LINE_LEN, entry_kind};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::config::{FsyncPolicy, JournalConfig};
use crate::error::{Failure, FailureKind, JournalError};
use crate::format::{HEADER_LEN, HeaderTemplate, Seed, SegmentInfo, entry_len, new_info};
use crate::helper::{Preparer, PreparerOptions, Syncer};
use crate::lock::DirectoryLock;
use crate::position::JournalPosition;
use crate::recovery::Recovery;
use crate::segments;

/// Who writes; it stands in the header of every segment begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Hash of every configuration key that can change a decision. A start with another one begins a segment.
    pub config_hash: u64,
    /// Version of the program; the first 256 bytes are kept.
    pub build: String,
    /// Now, for the first segment's header. Unit: ns since the Unix epoch.
    pub started_ns: i64,
}

/// The writing end of a journal.
pub(crate) struct Writer {
    batch: Box<[EntryHeader]>,
    batch_len: usize,
    file: Arc<File>,
    info: SegmentInfo,
    seed: Seed,
    /// Bytes of the file that are written.
    offset: usize,
    /// The last entry did not fit into the segment.
    is_full: bool,
    /// Entries appended, in all segments.
    index: u64,
    /// Highest input appended.
    last_index: u64,
    /// The segment to follow, once it is ready.
    next: Option<Arc<File>>,
    header: HeaderTemplate,
    dir: PathBuf,
    payload_len_max: usize,
    segment_len: u64,
    syncs_batches: bool,
    preparer: Preparer,
    syncer: Option<Syncer>,
    progress: Arc<JournalPosition>,
    /// Given back last.
    _lock: DirectoryLock,
}

impl Writer {
    /// Continues what was recovered: in its last segment if that was written by the same `identity`, else in a
    /// new one. Starts the helper threads.
    pub(crate) fn open(
        config: &JournalConfig,
        recovery: Recovery,
        identity: &Identity,
    ) -> Result<Self, JournalError> {
        let mut header = HeaderTemplate::new(&identity.build);
        let (file, info, offset) = open_segment(config, &recovery, identity, &mut header)?;
        let file = Arc::new(file);
        let progress = recovery.position;
        let preparer = Preparer::spawn(PreparerOptions {
            dir: config.dir.clone(),
            segment_id: info.segment_id + 1,
            segment_len: u64::from(config.segment_len),
            syncs: config.fsync != FsyncPolicy::Never,
        });
        let syncer = (config.fsync == FsyncPolicy::Interval).then(|| {
            let interval = Duration::from_millis(u64::from(config.fsync_interval_ms));
            Syncer::spawn(
                interval,
                info.segment_id,
                Arc::clone(&file),
                Arc::clone(&progress),
            )
        });
        let spawn_error = || JournalError::io(&config.dir, "start a helper thread");
        Ok(Self {
            batch: zeroed_lines(config.batch_len_max as usize / LINE_LEN),
            batch_len: 0,
            file,
            info,
            seed: info.seed(),
            offset,
            is_full: false,
            index: recovery.next_entry_index,
            last_index: recovery.last_index,
            next: None,
            header,
            dir: config.dir.clone(),
            payload_len_max: config.payload_len_max as usize,
            segment_len: u64::from(config.segment_len),
            syncs_batches: config.fsync == FsyncPolicy::EveryBatch,
            preparer: preparer.map_err(spawn_error())?,
            syncer: syncer.transpose().map_err(spawn_error())?,
            progress,
            _lock: recovery.lock,
        })
    }

    /// Position of the next entry that is written; what is in the batch is not counted.
    pub(crate) fn position(&self) -> u64 {
        self.info.position_at(self.offset)
    }

    /// The segment being written.
    pub(crate) fn segment_id(&self) -> u64 {
        self.info.segment_id
    }

    /// Length of a batch at most.
    pub(crate) fn batch_len_max(&self) -> usize {
        self.batch.len() * LINE_LEN
    }

    pub(crate) fn progress(&self) -> &Arc<JournalPosition> {
        &self.progress
    }

    /// Whether a roll-over is due before anything can be appended.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Adds an entry to the batch. `false`: it would make the batch longer than `batch_limit`, or does not fit
    /// into the segment.
    ///
    /// Panics if the payload is longer than `payload_len_max`: the launcher compares the limits.
    /// Cost: one copy and one pass of CRC32C.
    pub(crate) fn try_append(&mut self, header: &EntryHeader, payload: &[u8], batch_limit: usize) -> bool {
        assert!(
            payload.len() <= self.payload_len_max,
            "payload of {} bytes, expected {} at most (journal.payload_len_max)",
            payload.len(),
            self.payload_len_max
        );
        let len = entry_len(payload.len());
        let offset = self.offset + self.batch_len;
        self.is_full = offset + len > self.info.segment_len as usize;
        if self.is_full || self.batch_len + len > batch_limit {
            return false;
        }
        let entry = &mut self.batch.as_mut_bytes()[self.batch_len..][..len];
        let header = EntryHeader {
            payload_len: payload.len() as u32,
            durable_position: self.progress.durable_position(),
            ..*header
        };
        write_entry(entry, header, payload, self.seed, offset);
        self.batch_len += len;
        self.index += 1;
        if header.kind == entry_kind::INPUT {
            self.last_index = self.last_index.max(header.input_index);
        }
        true
    }

    /// Writes the batch; with the policy "every-batch" makes it durable. Error: the journal has stopped.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.batch_len == 0 {
            return Ok(());
        }
        let batch = &self.batch.as_bytes()[..self.batch_len];
        let written = self.file.write_all_at(batch, self.offset as u64);
        written.map_err(|error| self.failure(FailureKind::Write, &error))?;
        self.offset += self.batch_len;
        self.batch_len = 0;
        self.progress.set_written(self.position(), self.last_index);
        if self.syncs_batches { self.sync() } else { Ok(()) }
    }

    /// Goes on to the next segment. `false`: it is not ready; try again later. The batch must be flushed.
    pub(crate) fn roll(&mut self, now_ns: i64) -> Result<bool, Failure> {
        if self.next.is_none() {
            let Some(next) = self.preparer.try_next() else {
                return Ok(false);
            };
            self.next = Some(next.map_err(|error| self.failure(FailureKind::Prepare, &error))?);
        }
        let info = SegmentInfo {
            start_position: self.position(),
            start_index: self.index,
            created_ns: now_ns,
            config_hash: self.info.config_hash,
            segment_len: self.segment_len,
            ..new_info(self.info.journal_id, self.info.segment_id + 1)
        };
        let Some(next) = self.next.take_if(|next| {
            self.syncer
                .as_ref()
                .is_none_or(|syncer| syncer.try_add(info.segment_id, next))
        }) else {
            return Ok(false);
        };
        let written = next.write_all_at(self.header.fill(&info), 0);
        written.map_err(|error| self.failure(FailureKind::Write, &error))?;
        self.preparer.retire(std::mem::replace(&mut self.file, next));
        self.seed = info.seed();
        self.info = info;
        self.offset = HEADER_LEN;
        self.is_full = false;
        Ok(true)
    }

    /// Ends the helper threads. Unless the journal has failed, makes everything durable, and appends a mark that
    /// says so where there is room for it.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        self.preparer.close();
        if let Some(syncer) = &mut self.syncer {
            syncer.close();
        }
        if let Some(failure) = self.progress.failure() {
            return Err(failure);
        }
        // All segments: a thread that was ended may have left an earlier one unsynced.
        segments::sync_all(&self.dir).map_err(|error| self.failure(FailureKind::Sync, &os_error(error)))?;
        self.sync()?;
        let mark = EntryHeader {
            kind: entry_kind::MARK,
            ..EntryHeader::default()
        };
        if self.try_append(&mark, &[], self.batch_len_max()) {
            self.flush()?;
            self.sync()?;
        }
        // A prepared segment that stays is removed at the next start.
        let _ = fs::remove_file(segments::path(&self.dir, self.info.segment_id + 1));
        Ok(())
    }

    /// Makes everything written durable.
    fn sync(&mut self) -> Result<(), Failure> {
        let synced = self.file.sync_data();
        synced.map_err(|error| self.failure(FailureKind::Sync, &error))?;
        self.progress.set_durable(self.position(), self.last_index);
        Ok(())
    }

    fn failure(&self, kind: FailureKind, error: &io::Error) -> Failure {
        let (segment_id, position) = match kind {
            FailureKind::Write => (self.info.segment_id, self.position()),
            FailureKind::Sync => (self.info.segment_id, self.progress.durable_position()),
            FailureKind::Prepare => (self.info.segment_id + 1, self.position()),
        };
        Failure::new(kind, error, segment_id, position)
    }
}

/// The operating system's part of an error.
fn os_error(error: JournalError) -> io::Error {
    match error {
        JournalError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

/// Builds one entry in place, its checksum last.
fn write_entry(entry: &mut [u8], header: EntryHeader, payload: &[u8], seed: Seed, offset: usize) {
    let (line, rest) = entry.split_at_mut(LINE_LEN);
    line.copy_from_slice(header.as_bytes());
    let (place, padding) = rest.split_at_mut(payload.len());
    place.copy_from_slice(payload);
    padding.fill(0);
    let checksum = seed.checksum(offset, entry);
    entry[..size_of::<u32>()].copy_from_slice(checksum.as_bytes());
}

/// Lines of memory that are written, and so mapped, now.
fn zeroed_lines(count: usize) -> Box<[EntryHeader]> {
    let mut lines = vec![EntryHeader::default(); count].into_boxed_slice();
    lines.as_mut_bytes().zero();
    lines
}

/// Opens the segment to continue, or begins one: its file, header and next free byte.
fn open_segment(
    config: &JournalConfig,
    recovery: &Recovery,
    identity: &Identity,
    header: &mut HeaderTemplate,
) -> Result<(File, SegmentInfo, usize), JournalError> {
    let (journal_id, segment_id) = match recovery.tail {
        Some((info, offset)) if is_same_writer(&info, identity) => {
            let path = segments::path(&config.dir, info.segment_id);
            return Ok((segments::open_to_continue(&path, info.segment_len)?, info, offset));
        }
        Some((info, _)) => (info.journal_id, info.segment_id + 1),
        None => (draw_journal_id(identity), 1),
    };
    let info = SegmentInfo {
        start_position: recovery.next_position,
        start_index: recovery.next_entry_index,
        created_ns: identity.started_ns,
        config_hash: identity.config_hash,
        segment_len: u64::from(config.segment_len),
        ..new_info(journal_id, segment_id)
    };
    let path = segments::path(&config.dir, segment_id);
    let file = begin_segment(&config.dir, &info, header).map_err(JournalError::io(&path, "create"))?;
    Ok((file, info, HEADER_LEN))
}

/// Whether a segment's header is true of what this writer would append to it.
fn is_same_writer(info: &SegmentInfo, identity: &Identity) -> bool {
    let own = new_info(info.journal_id, info.segment_id);
    info.config_hash == identity.config_hash && info.schema_version == own.schema_version
}

/// Makes a segment whose header is durable before any entry.
fn begin_segment(dir: &Path, info: &SegmentInfo, header: &mut HeaderTemplate) -> io::Result<File> {
    let file = segments::create_zeroed(dir, info.segment_id, info.segment_len, true, || ())?;
    file.write_all_at(header.fill(info), 0)?;
    file.sync_data()?;
    Ok(file)
}

/// A number that no other journal has, but for a chance of 2^-64. The standard library's hasher is seeded by the
/// operating system.
fn draw_journal_id(identity: &Identity) -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_i64(identity.started_ns);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::thread;

    use super::*;
    use crate::config::GateMode;
    use crate::position::Gate;
    use crate::recovery::recover;

    const ENOSPC: i32 = 28;
    const EINVAL: i32 = 22;

    fn writer(dir: &Path, fsync: FsyncPolicy) -> Writer {
        let config = JournalConfig {
            dir: dir.to_owned(),
            segment_len: 16_384,
            fsync,
            fsync_interval_ms: 1,
            ..JournalConfig::default()
        };
        Writer::open(&config, recover(&config).unwrap(), &Identity::default()).unwrap()
    }

    /// A device in the place of the segment: the system's own errors, without a disk that has them.
    fn device(path: &str) -> Arc<File> {
        Arc::new(OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    fn append(writer: &mut Writer, input_index: u64) -> Result<(), Failure> {
        let header = EntryHeader {
            kind: entry_kind::INPUT,
            input_index,
            ..EntryHeader::default()
        };
        assert!(writer.try_append(&header, b"payload", 4096));
        writer.flush()
    }

    #[test]
    fn full_disk_is_a_failure_of_the_write() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), FsyncPolicy::Never);
        append(&mut writer, 1).unwrap();
        writer.file = device("/dev/full");
        let failure = append(&mut writer, 2).unwrap_err();
        let expected = Failure {
            kind: FailureKind::Write,
            os_error: ENOSPC,
            segment_id: 1,
            position: 128,
        };
        assert_eq!(failure, expected);
        assert_eq!(
            failure.to_string(),
            "journal: could not write segment 1 at position 128: No space left on device (os error 28); \
             nothing after is acknowledged"
        );
        assert_eq!(
            (
                writer.progress.written_index(),
                writer.progress.written_position()
            ),
            (1, 128)
        );
    }

    #[test]
    fn failed_sync_of_a_batch_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), FsyncPolicy::EveryBatch);
        append(&mut writer, 1).unwrap();
        writer.file = device("/dev/zero"); // takes every write and refuses every sync
        let failure = append(&mut writer, 2).unwrap_err();
        assert_eq!(
            (failure.kind, failure.os_error, failure.position),
            (FailureKind::Sync, EINVAL, 128)
        );
        assert_eq!(writer.progress.durable_index(), 1);
    }

    #[test]
    fn failed_sync_on_the_second_thread_shuts_the_gate() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), FsyncPolicy::Interval);
        let gate = Gate::new(GateMode::Written, Arc::clone(&writer.progress));
        append(&mut writer, 1).unwrap();
        assert!(gate.covers(1));
        writer.syncer = None;
        let interval = Duration::from_millis(1);
        let progress = Arc::clone(&writer.progress);
        writer.syncer = Some(Syncer::spawn(interval, 1, device("/dev/zero"), progress).unwrap());
        append(&mut writer, 2).unwrap();
        while !writer.progress.has_failed() {
            thread::yield_now();
        }
        assert!(!gate.covers(1));
        assert_eq!(writer.close().unwrap_err().kind, FailureKind::Sync);
        assert!(writer.progress.durable_index() < 2);
    }

    #[test]
    fn interval_makes_what_is_written_durable() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), FsyncPolicy::Interval);
        append(&mut writer, 7).unwrap();
        while writer.progress.durable_index() < 7 {
            thread::yield_now();
        }
        assert_eq!(writer.progress.durable_position(), writer.position());
    }

    #[test]
    fn without_syncs_nothing_is_durable_before_the_close() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), FsyncPolicy::Never);
        let mut index = 0;
        while writer.segment_id() < 3 {
            let header = EntryHeader {
                kind: entry_kind::INPUT,
                input_index: index + 1,
                ..EntryHeader::default()
            };
            index += u64::from(writer.try_append(&header, &[1; 1000], 4096));
            writer.flush().unwrap();
            if writer.is_full() && !writer.roll(5).unwrap() {
                thread::yield_now();
            }
        }
        assert_eq!(
            (writer.progress.written_index(), writer.progress.durable_index()),
            (index, 0)
        );
        writer.close().unwrap();
        assert_eq!(writer.progress.durable_index(), index);
    }
}
