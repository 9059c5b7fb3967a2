//! One writer per directory.
//!
//! Invariant: while a [`DirectoryLock`] lives, no other process and no other engine in this one can get it. The
//! operating system gives it back when the process dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use pinion_runtime::locks::lock_alone;

use crate::error::JournalError;

/// Name of the locked file in the journal's directory. It stays there; its presence means nothing.
const LOCK_NAME: &str = "lock";

/// The right to write a journal; given back when dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `dir`, or says that another holds it, after the wait of [`lock_alone`].
    pub(crate) fn take(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(LOCK_NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(JournalError::io(&path, "open the lock file"))?;
        match lock_alone(&file) {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(JournalError::Io {
                path,
                action: "lock",
                source,
            }),
        }
    }
}
