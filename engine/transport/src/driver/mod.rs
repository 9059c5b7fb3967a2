//! The media driver.
#![allow(unsafe_code)]

/// User id.
pub(crate) fn user_id() -> u32 {
    // SAFETY: `geteuid` has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}
