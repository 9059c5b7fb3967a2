//! Section `[engine]`: the node as a whole.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The node as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Number of this node; it stands as publisher in the decisions. Range: 1 to 4294967295. Default: 1.
    pub node_id: u32,
    /// Folder for everything the engine keeps: journal, checkpoints, counters, refused frames, error log, and the
    /// socket that it answers questions on.
    /// Default: "pinion-data".
    pub dir: PathBuf,
    /// Records in each ring between two stages. Small rings stay in the cache; a full one pushes back to the
    /// publishers. Range: 16 to 1048576. Default: 512.
    pub ring_records_max: u32,
    /// Lines of 64 bytes in each of the two rings to the journal. Range: 1024 to 16777216.
    /// Default: 32768 (2 MiB).
    pub journal_ring_lines_max: u32,
    /// How long an orderly stop waits for what is inside to drain. Unit: ms. Range: 100 to 600000.
    /// Default: 10000.
    pub drain_ms_max: u64,
    /// How long a start waits for the agents, the model and the bus, and for a recovery that does not go on: running
    /// the journal itself may take as long as it takes. Unit: ms. Range: 1000 to 600000. Default: 60000.
    pub start_ms_max: u64,
    /// How often the conductor looks after agents and clock and tells what happened. Unit: ms. Range: 10 to
    /// 60000. Default: 500.
    pub conductor_interval_ms: u64,
    /// What a start does when `score.model` still is what it was when another model was swapped in (`pinion model
    /// swap`): go on with the one that was swapped in (true), or put `score.model` in force, as a start with any other
    /// model does (false). Default: true.
    pub keeps_swapped_model: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            node_id: 1,
            dir: PathBuf::from("pinion-data"),
            ring_records_max: 512,
            journal_ring_lines_max: 32_768,
            drain_ms_max: 10_000,
            start_ms_max: 60_000,
            conductor_interval_ms: 500,
            keeps_swapped_model: true,
        }
    }
}

impl EngineConfig {
    /// Refuses what is out of range; the message begins with the key.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn validate(&self) -> Result<(), String> {
        check("node_id", u64::from(self.node_id), 1..=u64::from(u32::MAX))?;
        check("ring_records_max", u64::from(self.ring_records_max), 16..=1 << 20)?;
        check(
            "journal_ring_lines_max",
            u64::from(self.journal_ring_lines_max),
            1024..=1 << 24,
        )?;
        check("drain_ms_max", self.drain_ms_max, 100..=600_000)?;
        check("start_ms_max", self.start_ms_max, 1_000..=600_000)?;
        check("conductor_interval_ms", self.conductor_interval_ms, 10..=60_000)
    }

    /// Path of the file of counters.
    pub fn counters_path(&self) -> PathBuf {
        self.dir.join("counters.dat")
    }

    /// Path of the distinct error log.
    pub fn error_log_path(&self) -> PathBuf {
        self.dir.join("errors.dat")
    }
}

fn check(key: &str, got: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), String> {
    if range.contains(&got) {
        return Ok(());
    }
    Err(format!(
        "engine.{key} is {got}, expected {} to {}",
        range.start(),
        range.end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        let config = EngineConfig {
            node_id: 0,
            ..EngineConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err(),
            "engine.node_id is 0, expected 1 to 4294967295"
        );
        let config = EngineConfig {
            ring_records_max: 8,
            ..EngineConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err(),
            "engine.ring_records_max is 8, expected 16 to 1048576"
        );
    }
}
