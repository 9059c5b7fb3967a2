//! Moves what cannot be trusted aside, for people to look at.
//!
//! Invariant: the engine never reads what lies there, and at most [`KEPT_MAX`] of one name are kept.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many of one name are kept: each may be as long as the state, or several times that.
const KEPT_MAX: usize = 1;

const MARK: &str = ".quarantined-";

/// Renames `path`, a file or a directory, to `<path>.quarantined-<n>` and returns that.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut kept = kept(path)?;
    let next = kept.last().map_or(1, |last| last + 1);
    let target = numbered(path, next);
    fs::rename(path, &target)?;
    kept.push(next);
    let surplus = kept.len().saturating_sub(KEPT_MAX);
    for number in &kept[..surplus] {
        remove(&numbered(path, *number))?;
    }
    Ok(target)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!("{MARK}{number}"));
    PathBuf::from(name)
}

/// The numbers in use, ascending.
fn kept(path: &Path) -> io::Result<Vec<u64>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(io::Error::other("expected a name in a directory"));
    };
    let prefix = format!("{name}{MARK}");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes `path`, a file or a directory.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        for round in 1..=5_u64 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("db"), round.to_string()).unwrap();
            assert_eq!(set_aside(&path).unwrap(), numbered(&path, round));
        }
        assert_eq!(kept(&path).unwrap(), [5]);
        assert_eq!(fs::read(numbered(&path, 5).join("db")).unwrap(), b"5");
    }

    #[test]
    fn a_file_is_moved_like_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot-a.bin");
        for _ in 0..4 {
            fs::write(&path, "damaged").unwrap();
            set_aside(&path).unwrap();
        }
        assert_eq!(kept(&path).unwrap(), [4]);
        assert!(set_aside(&path).is_err(), "there is nothing left to move");
    }
}
