//! Watches a driver's heartbeat in its CnC file, without help from any client.
//!
//! ```text
//!   cnc.dat: │ metadata 128 B │ commands to the driver … │ trailer 768 B: … heartbeat (ms since the epoch) │ …
//! ```
//!
//! Invariant: a driver is alive only if its heartbeat has moved within the timeout, whatever a client thinks.

// The file is mapped, and its words are read as atomics, because the driver writes them from another process.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memmap2::{MmapOptions, MmapRaw};

/// Length of the metadata at the start of the file: two cache lines of Aeron's.
const METADATA_LEN: usize = 128;
/// Length of the ring's trailer, and where the heartbeat stands in it.
const TRAILER_LEN: usize = 768;
const HEARTBEAT_OFFSET: usize = 640;
/// Where the length of the ring to the driver stands in the metadata.
const RING_LEN_OFFSET: usize = 4;
/// Major version of the file's layout that is understood.
const CNC_VERSION_MAJOR: i32 = 0;
/// How often the file's place in the directory is looked at.
const PLACE_INTERVAL: Duration = Duration::from_millis(100);

/// A mapped CnC file whose driver was alive when it was opened.
#[derive(Debug)]
pub struct DriverWatch {
    map: MmapRaw,
    path: PathBuf,
    heartbeat_offset: usize,
    /// Device and inode of the mapped file, to notice that another one took its place.
    identity: (u64, u64),
    timeout: Duration,
    last_value: i64,
    last_moved: Instant,
    last_placed: Instant,
}

impl DriverWatch {
    /// Maps the CnC file of a driver that is alive.
    ///
    /// # Errors
    /// Says in words why there is no living driver in `aeron_dir`: no file, another layout, or no heartbeat
    /// within `timeout`.
    pub fn open(aeron_dir: &Path, timeout: Duration) -> Result<Self, String> {
        let path = aeron_dir.join("cnc.dat");
        let file = File::open(&path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        let file_len = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if file_len < METADATA_LEN + TRAILER_LEN {
            return Err(format!("its control file has {file_len} bytes"));
        }
        let map = MmapOptions::new()
            .map_raw_read_only(&file)
            .map_err(|error| error.to_string())?;
        let heartbeat_offset = heartbeat_offset(&map, file_len)?;
        let now = Instant::now();
        let mut watch = DriverWatch {
            map,
            path,
            heartbeat_offset,
            identity: (metadata.dev(), metadata.ino()),
            timeout,
            last_value: 0,
            last_moved: now,
            last_placed: now,
        };
        watch.last_value = watch.heartbeat_ms();
        let age_ms = now_ms().saturating_sub(watch.last_value);
        if watch.last_value <= 0 || u128::try_from(age_ms).unwrap_or(0) >= timeout.as_millis() {
            return Err(format!("its heartbeat is {age_ms} ms old"));
        }
        Ok(watch)
    }

    /// Looks whether the driver is still alive. Says in words why not.
    ///
    /// Cost: one load; every 100 ms also one look at the directory (about 1 µs).
    ///
    /// # Errors
    /// If the heartbeat has not moved within the timeout, or the file is no longer in its place.
    pub fn check(&mut self, now: Instant) -> Result<(), String> {
        let value = self.heartbeat_ms();
        if value != self.last_value {
            self.last_value = value;
            self.last_moved = now;
        }
        if now.duration_since(self.last_placed) >= PLACE_INTERVAL {
            self.last_placed = now;
            self.check_place()?;
        }
        let silence = now.duration_since(self.last_moved);
        if silence >= self.timeout {
            return Err(format!("no heartbeat for {} ms", silence.as_millis()));
        }
        Ok(())
    }

    fn check_place(&self) -> Result<(), String> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == self.identity => Ok(()),
            Ok(_) => Err("another driver has taken its place".to_owned()),
            Err(error) => Err(format!("its control file is gone: {error}")),
        }
    }

    fn heartbeat_ms(&self) -> i64 {
        let place = self
            .map
            .as_mut_ptr()
            .wrapping_add(self.heartbeat_offset)
            .cast::<i64>();
        // SAFETY: `open` has checked that the eight bytes lie inside the map; the map starts on a page, the
        // offset is a multiple of eight, and the driver only writes them atomically.
        let heartbeat = unsafe { AtomicI64::from_ptr(place) };
        heartbeat.load(Ordering::Acquire)
    }
}

fn heartbeat_offset(map: &MmapRaw, file_len: usize) -> Result<usize, String> {
    let version = read_i32(map, 0);
    if version == 0 || version >> 16 != CNC_VERSION_MAJOR {
        return Err(format!("its control file has version {version:#x}"));
    }
    let ring_len = usize::try_from(read_i32(map, RING_LEN_OFFSET)).unwrap_or(0);
    let end = METADATA_LEN + ring_len;
    if ring_len < TRAILER_LEN || ring_len % 8 != 0 || end > file_len {
        return Err(format!("its control file has a ring of {ring_len} bytes"));
    }
    Ok(end - TRAILER_LEN + HEARTBEAT_OFFSET)
}

fn read_i32(map: &MmapRaw, offset: usize) -> i32 {
    let place = map.as_mut_ptr().wrapping_add(offset).cast::<i32>();
    // SAFETY: the offset is one of two constants inside the metadata, whose length `open` has checked; it is a
    // multiple of four, and the driver writes the word atomically.
    let word = unsafe { AtomicI32::from_ptr(place) };
    word.load(Ordering::Acquire)
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING_LEN: usize = 1024 + TRAILER_LEN;

    fn write_control_file(dir: &Path, version: i32, heartbeat_ms: i64) {
        let mut bytes = vec![0; METADATA_LEN + RING_LEN];
        bytes[..4].copy_from_slice(&version.to_ne_bytes());
        bytes[4..8].copy_from_slice(&(RING_LEN as i32).to_ne_bytes());
        let place = METADATA_LEN + 1024 + HEARTBEAT_OFFSET;
        bytes[place..place + 8].copy_from_slice(&heartbeat_ms.to_ne_bytes());
        std::fs::write(dir.join("new"), bytes).unwrap();
        std::fs::rename(dir.join("new"), dir.join("cnc.dat")).unwrap();
    }

    #[test]
    fn heartbeat_that_stands_still_is_death() {
        let dir = tempfile::tempdir().unwrap();
        write_control_file(dir.path(), 0x200, now_ms());
        let mut watch = DriverWatch::open(dir.path(), Duration::from_secs(2)).unwrap();
        let start = Instant::now();
        assert_eq!(watch.check(start + Duration::from_millis(1_900)), Ok(()));
        let reason = watch.check(start + Duration::from_millis(2_100)).unwrap_err();
        assert!(reason.starts_with("no heartbeat for"), "{reason}");
    }

    #[test]
    fn driver_that_left_or_was_replaced_is_noticed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        write_control_file(dir.path(), 0x200, now_ms());
        let mut watch = DriverWatch::open(dir.path(), Duration::from_secs(60)).unwrap();
        write_control_file(dir.path(), 0x200, now_ms());
        let soon = Instant::now() + PLACE_INTERVAL;
        assert_eq!(
            watch.check(soon),
            Err("another driver has taken its place".to_owned())
        );
        std::fs::remove_file(dir.path().join("cnc.dat")).unwrap();
        assert!(
            watch
                .check(soon + PLACE_INTERVAL)
                .unwrap_err()
                .starts_with("its control file is gone")
        );
    }

    #[test]
    fn dead_foreign_or_torn_control_file_is_no_driver() {
        let dir = tempfile::tempdir().unwrap();
        let open = || DriverWatch::open(dir.path(), Duration::from_secs(1)).unwrap_err();
        assert!(open().contains("No such file"));
        write_control_file(dir.path(), 0x200, now_ms() - 1_500);
        assert!(open().starts_with("its heartbeat is 15"), "{}", open());
        write_control_file(dir.path(), 0x1_0000, now_ms());
        assert_eq!(open(), "its control file has version 0x10000");
        std::fs::write(dir.path().join("cnc.dat"), [0; 100]).unwrap();
        assert_eq!(open(), "its control file has 100 bytes");
    }
}
