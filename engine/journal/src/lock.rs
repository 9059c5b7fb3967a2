//! One writer per directory.
//!
//! Invariant: while a [`DirectoryLock`] lives, no other process and no other engine in this one can get it. The
//! operating system gives it back when the process dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::JournalError;

/// Name of the locked file in the journal's directory. It stays there; its presence means nothing.
const LOCK_NAME: &str = "lock";

/// How long a lock that another holds is waited for, and how often it is looked at.
const WAIT_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The right to write a journal; given back when dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `dir` or says that another holds it. A process that was killed keeps its locks until
    /// the system has taken it apart, so a restart right after it waits for up to two seconds.
    pub(crate) fn take(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(LOCK_NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(JournalError::io(&path, "open the lock file"))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if begun.elapsed() < WAIT_MAX => thread::sleep(LOOK_EVERY),
                Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path }),
                Err(TryLockError::Error(source)) => {
                    return Err(JournalError::Io {
                        path,
                        action: "lock",
                        source,
                    });
                }
            }
        }
    }
}
