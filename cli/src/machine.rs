//! What the machine has and allows.
//!
//! Invariant: looking changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Bit of `CAP_SYS_NICE` in a set of capabilities.
const CAP_SYS_NICE: u32 = 23;

/// Memory that this process has asked for, in bytes: private and writable, touched or not. 0 where the system
/// does not tell.
pub fn memory_len() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = field(&status, "VmData:").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Bytes that this user may still write where `path` is, or will be: the nearest folder above it that exists.
pub fn free_space(path: &Path) -> Option<(PathBuf, u64)> {
    let absolute = std::path::absolute(path).ok()?;
    let folder = absolute.ancestors().find(|folder| folder.is_dir())?;
    let answer = rustix::fs::statvfs(folder).ok()?;
    Some((
        folder.to_path_buf(),
        answer.f_bavail.saturating_mul(answer.f_frsize),
    ))
}

/// Whether a thread of this process may enter the real-time class at `priority`.
///
/// # Errors
/// Why not, and what would allow it.
pub fn may_run_in_realtime(priority: u8) -> Result<(), String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if has_capability(&status, CAP_SYS_NICE) || realtime_limit(&limits) >= u64::from(priority) {
        return Ok(());
    }
    let limit = realtime_limit(&limits);
    Err(format!(
        "this process may go up to {limit}: expected CAP_SYS_NICE, or a higher limit (ulimit -r)"
    ))
}

fn has_capability(status: &str, bit: u32) -> bool {
    let set = field(status, "CapEff:").and_then(|text| u64::from_str_radix(text, 16).ok());
    set.is_some_and(|set| set >> bit & 1 == 1)
}

fn realtime_limit(limits: &str) -> u64 {
    let line = field(limits, "Max realtime priority");
    match line.and_then(|text| text.split_whitespace().next()) {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().unwrap_or(0),
        None => 0,
    }
}

/// What follows `name` at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_needs_the_capability_or_the_limit() {
        assert!(has_capability(
            "Name:\tx\nCapEff:\t0000000000800000\n",
            CAP_SYS_NICE
        ));
        assert!(!has_capability("CapEff:\t00000000007fffff\n", CAP_SYS_NICE));
        let limits = "Max realtime priority     40                   50                   \n";
        assert_eq!((realtime_limit(limits), realtime_limit("")), (40, 0));
    }

    #[test]
    fn free_space_is_that_of_the_nearest_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (found, free) = free_space(&folder.path().join("not/there/yet")).unwrap();
        assert_eq!(found, folder.path());
        assert!(free > 0);
    }

    #[test]
    fn memory_is_told() {
        assert!(memory_len() > 0);
    }
}
