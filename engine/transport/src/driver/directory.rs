//! The folder of ours that an embedded driver lives in: made, closed to others, locked.
//!
//! Invariant: whoever holds an [`OwnDir`] is the only one that runs a driver in it.

// The process's user id is asked of the C library.
#![allow(unsafe_code)]

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pinion_runtime::locks::lock_alone;

use crate::error::DriverError;

/// Mode of our folder and of the driver's directory in it.
pub(crate) const DIR_MODE: u32 = 0o750;

/// Our folder, locked until this is dropped.
#[derive(Debug)]
pub(crate) struct OwnDir {
    path: PathBuf,
    _lock: File,
}

impl OwnDir {
    /// Makes the folder if it is not there, checks who may enter it, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DriverError> {
        make(path)?;
        check(path)?;
        let lock = lock(path)?;
        Ok(OwnDir {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where the driver's own directory is.
    pub(crate) fn aeron_dir(&self) -> PathBuf {
        self.path.join("aeron")
    }

    /// Closes the driver's directory, which it has just made, to other users, and checks that it is closed.
    pub(crate) fn close_aeron_dir(&self) -> Result<(), DriverError> {
        let aeron_dir = self.aeron_dir();
        set_mode(&aeron_dir)?;
        check(&aeron_dir)
    }
}

/// The user that this process acts for.
pub(crate) fn user_id() -> u32 {
    // SAFETY: `geteuid` takes nothing, has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

fn make(path: &Path) -> Result<(), DriverError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| unusable(parent, error.to_string()))?;
    }
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => set_mode(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(path, error.to_string())),
    }
}

fn set_mode(path: &Path) -> Result<(), DriverError> {
    std::fs::set_permissions(path, Permissions::from_mode(DIR_MODE))
        .map_err(|error| unusable(path, error.to_string()))
}

fn check(path: &Path) -> Result<(), DriverError> {
    let metadata = std::fs::symlink_metadata(path).map_err(|error| unusable(path, error.to_string()))?;
    if !metadata.is_dir() {
        return Err(unusable(path, "it is not a directory".to_owned()));
    }
    if metadata.uid() != user_id() {
        let reason = format!("it belongs to user {}, expected {}", metadata.uid(), user_id());
        return Err(unusable(path, reason));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(unusable(
            path,
            format!("its mode is {mode:04o}, expected 0750 or less"),
        ));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, DriverError> {
    let place = path.join("driver.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&place)
        .map_err(|error| unusable(&place, error.to_string()))?;
    match lock_alone(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DriverError::InUse { dir: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unusable(&place, error.to_string())),
    }
}

fn unusable(path: &Path, reason: String) -> DriverError {
    DriverError::Directory {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn folder_is_made_closed_and_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below").join("node");
        let own = OwnDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o750);
        assert_eq!(
            OwnDir::open(&path).unwrap_err(),
            DriverError::InUse { dir: path.clone() }
        );
        drop(own);
        OwnDir::open(&path).unwrap();
    }

    #[test]
    fn folder_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let error = OwnDir::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("its mode is 0755, expected 0750 or less"),
            "{error}"
        );
    }

    #[test]
    fn folder_behind_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        let error = OwnDir::open(&dir.path().join("link")).unwrap_err().to_string();
        assert!(error.ends_with("it is not a directory"), "{error}");
    }
}
