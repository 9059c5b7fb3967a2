//! The section `[checkpoint]` of the configuration.
//!
//! Invariant: what [`CheckpointConfig::validate`] accepts, writer and restore can run with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::CheckpointError;

/// The library that keeps checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// A log of changed pages, cleaned as it goes.
    #[default]
    Sled,
    /// A copy-on-write tree in one file.
    Redb,
}

impl Backend {
    /// As in the configuration; also the name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }
}

/// The section `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Whether checkpoints are written and used at start. Without them a start replays the whole journal.
    /// Default: true.
    pub enabled: bool,
    /// The library that keeps them: "sled" or "redb". Default: "sled".
    pub backend: Backend,
    /// Time from one checkpoint to the next; a start replays about this much of the journal's payments. Market events
    /// are always replayed from the journal's start: books are in no checkpoint. Unit: seconds. Default: 60, range 1 to
    /// 86400.
    pub interval_s: u32,
    /// Every how many checkpoints a plain copy of the whole state is written, too, for when the library's files
    /// cannot be used. Two are kept. Default: 10, range 0 to 10000; 0: never.
    pub snapshot_every: u32,
    /// Memory that the library may hold pages in. Unit: MiB. Default: 64, range 8 to 4096.
    pub cache_mib: u32,
    /// The longest that the library may be silent at a start, while it opens and from page to page; then its files
    /// are moved aside. Two seconds more if another process holds them. Unit: milliseconds. Default: 10000, range 100 to 600000.
    pub open_ms_max: u64,
    /// Where everything is kept; made if it is not there. No key of the section: the node sets it.
    #[serde(skip)]
    pub dir: PathBuf,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            backend: Backend::default(),
            interval_s: 60,
            snapshot_every: 10,
            cache_mib: 64,
            open_ms_max: 10_000,
            dir: PathBuf::from("checkpoint"),
        }
    }
}

impl CheckpointConfig {
    /// Checks every range.
    ///
    /// Error: names the key, what it is and what was expected.
    pub fn validate(&self) -> Result<(), CheckpointError> {
        check("interval_s", self.interval_s.into(), 1, 86_400)?;
        check("snapshot_every", self.snapshot_every.into(), 0, 10_000)?;
        check("cache_mib", self.cache_mib.into(), 8, 4096)?;
        check("open_ms_max", self.open_ms_max, 100, 600_000)
    }

    /// The folder of the library in force.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.dir.join(self.backend.name())
    }
}

/// An error for `key` unless `found` lies within `min` and `max`.
fn check(key: &'static str, found: u64, min: u64, max: u64) -> Result<(), CheckpointError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(CheckpointError::Config { key, found, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut CheckpointConfig), message: &str) {
        let mut config = CheckpointConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), message);
    }

    #[test]
    fn defaults_are_valid() {
        CheckpointConfig::default().validate().unwrap();
    }

    #[test]
    fn out_of_range_is_refused_by_name() {
        check_refused(
            |c| c.interval_s = 0,
            "checkpoint.interval_s is 0, expected 1 to 86400",
        );
        check_refused(
            |c| c.snapshot_every = 10_001,
            "checkpoint.snapshot_every is 10001, expected 0 to 10000",
        );
        check_refused(
            |c| c.cache_mib = 7,
            "checkpoint.cache_mib is 7, expected 8 to 4096",
        );
        check_refused(
            |c| c.open_ms_max = 99,
            "checkpoint.open_ms_max is 99, expected 100 to 600000",
        );
    }

    #[test]
    fn toml_names_the_backend_and_refuses_unknown_keys() {
        let config: CheckpointConfig = toml::from_str("backend = \"redb\"\nenabled = false").unwrap();
        assert_eq!((config.backend, config.enabled), (Backend::Redb, false));
        assert!(toml::from_str::<CheckpointConfig>("backend = \"rocks\"").is_err());
        assert!(toml::from_str::<CheckpointConfig>("intervall_s = 1").is_err());
        assert!(toml::from_str::<CheckpointConfig>("dir = \"elsewhere\"").is_err());
    }
}
