//! Locks on files, taken by one process at a time.
//!
//! Invariant: a lock is given back when its file is closed, however the process ends.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a lock that another holds is waited for, and how often it is looked at.
const WAIT_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Locks `file` for this process alone. A process that was killed keeps its locks until the system has taken it
/// apart, so a lock that another holds is waited for, two seconds at most.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if another still holds it then, or what the system refused.
pub fn lock_alone(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < WAIT_MAX => thread::sleep(LOOK_EVERY),
            outcome => return outcome,
        }
    }
}
