//! The section `[journal]` of the configuration.
//!
//! Invariant: what [`JournalConfig::validate`] accepts, the agent can run with: an entry fits into a batch and
//! a batch's entries fit into a segment.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::JournalError;
use crate::format::{HEADER_LEN, PAYLOAD_LEN_LIMIT, entry_len};

/// When a decision may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateMode {
    /// Once its input is written: the input survives the death of the process.
    #[default]
    Written,
    /// Once its input is durable: the input survives the loss of power.
    Durable,
    /// At once.
    Off,
}

/// When written entries are made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FsyncPolicy {
    /// At an orderly stop only; until then it is the system's choice.
    Never,
    /// Every `fsync_interval_ms`, on a thread of its own.
    #[default]
    Interval,
    /// After every batch, by the agent itself; what arrives meanwhile makes up the next batch.
    EveryBatch,
}

/// The section `[journal]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Directory of the segments; made if it is not there. One engine at a time. Default: "journal".
    pub dir: PathBuf,
    /// When a decision may leave: "written", "durable" or "off". Default: "written".
    pub gate: GateMode,
    /// When written entries are made durable: "never", "interval" or "every-batch". Default: "interval".
    pub fsync: FsyncPolicy,
    /// Time between two syncs of the policy "interval". Unit: milliseconds. Default: 20, range 1 to 60000.
    pub fsync_interval_ms: u32,
    /// Length of a segment file; the next one is always prepared, so the disk holds one more. Unit: bytes.
    /// Default: 67108864 (64 MiB), a multiple of 4096 from 16384 to 1073741824.
    pub segment_len: u32,
    /// Bytes written at once at most. Default: 262144, range 4096 to 16777216.
    pub batch_len_max: u32,
    /// The longest payload of an entry: at least `ingest.frame_len_max` and the length of a decision. Unit: bytes.
    /// Default: 4096, range 256 to 65536.
    pub payload_len_max: u32,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("journal"),
            gate: GateMode::default(),
            fsync: FsyncPolicy::default(),
            fsync_interval_ms: 20,
            segment_len: 64 << 20,
            batch_len_max: 256 << 10,
            payload_len_max: 4096,
        }
    }
}

impl JournalConfig {
    /// Checks every range and what the keys demand of each other.
    ///
    /// Error: names the key, what it is and what was expected.
    pub fn validate(&self) -> Result<(), JournalError> {
        check(
            "fsync_interval_ms",
            self.fsync_interval_ms,
            (1..=60_000).contains(&self.fsync_interval_ms),
            "1 to 60000",
        )?;
        let segment_len_is_good =
            self.segment_len.is_multiple_of(4096) && (16_384..=1 << 30).contains(&self.segment_len);
        check(
            "segment_len",
            self.segment_len,
            segment_len_is_good,
            "a multiple of 4096 from 16384 to 1073741824",
        )?;
        check(
            "batch_len_max",
            self.batch_len_max,
            (4096..=16 << 20).contains(&self.batch_len_max),
            "4096 to 16777216",
        )?;
        let payload_range = 256..=PAYLOAD_LEN_LIMIT as u32;
        check(
            "payload_len_max",
            self.payload_len_max,
            payload_range.contains(&self.payload_len_max),
            "256 to 65536",
        )?;
        self.validate_sizes()?;
        let gate_can_open = self.gate != GateMode::Durable || self.fsync != FsyncPolicy::Never;
        check(
            "fsync",
            "\"never\"",
            gate_can_open,
            "\"interval\" or \"every-batch\" with journal.gate = \"durable\"",
        )
    }

    /// Each of two rings may fill half of a batch, and one entry must fit into that and into a segment.
    fn validate_sizes(&self) -> Result<(), JournalError> {
        let longest = entry_len(self.payload_len_max as usize);
        let batch_is_good = self.batch_len_max as usize >= 2 * longest;
        check(
            "batch_len_max",
            self.batch_len_max,
            batch_is_good,
            "at least twice journal.payload_len_max and 128 more",
        )?;
        let segment_is_good = self.segment_len as usize >= HEADER_LEN + longest;
        check(
            "segment_len",
            self.segment_len,
            segment_is_good,
            "at least journal.payload_len_max and 4224 more",
        )
    }
}

/// An error for `key` unless `is_good`.
fn check(
    key: &'static str,
    found: impl ToString,
    is_good: bool,
    expected: &'static str,
) -> Result<(), JournalError> {
    if is_good {
        Ok(())
    } else {
        Err(JournalError::Config {
            key,
            found: found.to_string(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut JournalConfig), message: &str) {
        let mut config = JournalConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), message);
    }

    #[test]
    fn defaults_are_valid() {
        JournalConfig::default().validate().unwrap();
    }

    #[test]
    fn out_of_range_is_refused_by_name() {
        check_refused(
            |c| c.fsync_interval_ms = 0,
            "journal.fsync_interval_ms is 0, expected 1 to 60000",
        );
        check_refused(
            |c| c.segment_len = 20_000,
            "journal.segment_len is 20000, expected a multiple of 4096 from 16384 to 1073741824",
        );
        check_refused(
            |c| c.batch_len_max = 1,
            "journal.batch_len_max is 1, expected 4096 to 16777216",
        );
        check_refused(
            |c| c.payload_len_max = 70_000,
            "journal.payload_len_max is 70000, expected 256 to 65536",
        );
    }

    #[test]
    fn an_entry_must_fit_into_batch_and_segment() {
        check_refused(
            |c| c.batch_len_max = 8192,
            "journal.batch_len_max is 8192, expected at least twice journal.payload_len_max and 128 more",
        );
        check_refused(
            |c| (c.payload_len_max, c.segment_len) = (16_384, 16_384),
            "journal.segment_len is 16384, expected at least journal.payload_len_max and 4224 more",
        );
    }

    #[test]
    fn a_durable_gate_without_syncs_would_never_open() {
        check_refused(
            |c| (c.gate, c.fsync) = (GateMode::Durable, FsyncPolicy::Never),
            "journal.fsync is \"never\", expected \"interval\" or \"every-batch\" with journal.gate = \"durable\"",
        );
    }

    #[test]
    fn toml_uses_kebab_case_and_refuses_unknown_keys() {
        let config: JournalConfig = toml::from_str("fsync = \"every-batch\"\ngate = \"durable\"").unwrap();
        assert_eq!(
            (config.fsync, config.gate),
            (FsyncPolicy::EveryBatch, GateMode::Durable)
        );
        assert!(toml::from_str::<JournalConfig>("fsnyc = \"never\"").is_err());
    }
}
