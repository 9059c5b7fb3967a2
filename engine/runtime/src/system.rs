//! What a thread asks of the scheduler beyond a single core: another class, and its freedom back.
//!
//! Invariant: only the calling thread is changed.

// The scheduler is reached through libc.
#![allow(unsafe_code)]

use std::io;
use std::mem;

use libc::{cpu_set_t, sched_param};

/// Puts the calling thread into the real-time class at `priority`; threads that it spawns are ordinary again.
pub(crate) fn set_realtime(priority: u8) -> io::Result<()> {
    let param = sched_param {
        sched_priority: i32::from(priority),
    };
    // SAFETY: 0 names the calling thread; the call only reads `param`, which lives here.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &param) })
}

/// Puts the calling thread, and those that it spawns, into the class that gets what no other wants. Without
/// privileges there is no way back.
pub(crate) fn set_idle_class() -> io::Result<()> {
    let param = sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread; the call only reads `param`, which lives here.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &param) })
}

/// Lets the calling thread run wherever the process's main thread may.
pub(crate) fn unpin() -> io::Result<()> {
    // SAFETY: a CPU set is plain bits, for which zero is valid.
    let mut cores: cpu_set_t = unsafe { mem::zeroed() };
    let main_thread = std::process::id().cast_signed();
    // SAFETY: the call writes at most the length it is told to `cores`, which lives here.
    check(unsafe { libc::sched_getaffinity(main_thread, size_of::<cpu_set_t>(), &mut cores) })?;
    // SAFETY: 0 names the calling thread; the call only reads `cores`.
    check(unsafe { libc::sched_setaffinity(0, size_of::<cpu_set_t>(), &cores) })
}

/// The system's error if `result` says so.
fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
