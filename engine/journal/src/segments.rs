//! Segment files: their names, and how they are made, lengthened and removed.
//!
//! Invariant: a file that is listed as a segment is either in use, or prepared: all zeros as far as it goes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::JournalError;

/// Ends the name of every segment.
const SUFFIX: &str = ".segment";

/// Zeros written at once.
const ZEROS: &[u8] = &[0; 64 << 10];

/// The file of a segment.
pub(crate) fn path(dir: &Path, segment_id: u64) -> PathBuf {
    dir.join(format!("{segment_id:016}{SUFFIX}"))
}

/// Numbers of the segment files in `dir`, ascending. Other files are left alone.
pub(crate) fn list(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut ids = Vec::new();
    for item in fs::read_dir(dir).map_err(JournalError::io(dir, "list the segments"))? {
        let item = item.map_err(JournalError::io(dir, "list the segments"))?;
        ids.extend(item.file_name().to_str().and_then(parse_name));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The number in a segment file's name.
fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_canonical = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_canonical { digits.parse().ok() } else { None }
}

/// Makes a segment file of `len` zeros, so that writing into it later neither allocates blocks nor changes its
/// length; `syncs`: they are on the disk. `rest` is called between two pieces. A file that could not be finished is
/// removed again.
pub(crate) fn create_zeroed(
    dir: &Path,
    segment_id: u64,
    len: u64,
    syncs: bool,
    rest: impl FnMut(),
) -> io::Result<File> {
    let path = path(dir, segment_id);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    let sync = |()| {
        if syncs {
            file.sync_all().and_then(|()| sync_dir(dir))
        } else {
            Ok(())
        }
    };
    let filled = write_zeros(&file, 0, len, rest).and_then(sync);
    match filled {
        Ok(()) => Ok(file),
        Err(error) => {
            // The first error is the one to tell; a file left behind is all zeros and removed at the next start.
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Opens a segment to continue it. One that is shorter than `len` is filled up with zeros.
pub(crate) fn open_to_continue(path: &Path, len: u64) -> Result<File, JournalError> {
    let file = open_to_repair(path)?;
    let found = file
        .metadata()
        .map_err(JournalError::io(path, "ask for the length"))?
        .len();
    if found < len {
        write_zeros(&file, found, len, || ()).map_err(JournalError::io(path, "fill up with zeros"))?;
        file.sync_all().map_err(JournalError::io(path, "sync"))?;
    }
    Ok(file)
}

/// Opens a segment to overwrite a part of it.
pub(crate) fn open_to_repair(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(JournalError::io(path, "open for writing"))
}

/// Removes a segment file.
pub(crate) fn remove(dir: &Path, segment_id: u64) -> Result<(), JournalError> {
    let path = path(dir, segment_id);
    fs::remove_file(&path).map_err(JournalError::io(&path, "remove"))
}

/// Renames a segment file, so that it is no segment any more, and returns its new name.
pub(crate) fn set_aside(dir: &Path, segment_id: u64) -> Result<PathBuf, JournalError> {
    let (path, aside) = (path(dir, segment_id), free_aside_path(dir, segment_id));
    fs::rename(&path, &aside).map_err(JournalError::io(&path, "rename"))?;
    Ok(aside)
}

/// Copies a segment file to a name that is no segment's, and returns that.
pub(crate) fn copy_aside(dir: &Path, segment_id: u64) -> Result<PathBuf, JournalError> {
    let (path, aside) = (path(dir, segment_id), free_aside_path(dir, segment_id));
    fs::copy(&path, &aside).map_err(JournalError::io(&path, "copy"))?;
    Ok(aside)
}

/// The first name for a torn segment's copy that is not taken.
fn free_aside_path(dir: &Path, segment_id: u64) -> PathBuf {
    let names = (1_u64..).map(|count| dir.join(format!("{segment_id:016}.torn-{count}")));
    names
        .into_iter()
        .find(|path| !path.exists())
        .expect("there are 2^64 names")
}

/// Makes every segment durable, and the list of their names. One that is durable already costs microseconds.
pub(crate) fn sync_all(dir: &Path) -> Result<(), JournalError> {
    for segment_id in list(dir)? {
        let path = path(dir, segment_id);
        open_to_repair(&path)?
            .sync_all()
            .map_err(JournalError::io(&path, "sync"))?;
    }
    sync_dir(dir).map_err(JournalError::io(dir, "sync"))
}

/// Makes the directory's list of names durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes zeros from `start` up to `end`. `rest` is called between two pieces.
pub(crate) fn write_zeros(file: &File, start: u64, end: u64, mut rest: impl FnMut()) -> io::Result<()> {
    let mut offset = start;
    while offset < end {
        let len = (end - offset).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..len as usize], offset)?;
        offset += len;
        rest();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<u64>) {
        assert_eq!(parse_name(name), expected, "{name}");
    }

    #[test]
    fn only_full_names_are_segments() {
        check("0000000000000012.segment", Some(12));
        check("12.segment", None);
        check("0000000000000012.segment.bak", None);
        check("+000000000000012.segment", None);
        check("lock", None);
    }
}
