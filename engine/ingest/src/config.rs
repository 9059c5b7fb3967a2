//! What can be set of ingest: section `[ingest]` of the configuration.
//!
//! Invariant: [`IngestConfig::validate`] runs before any memory is taken, and what it lets pass fits the
//! types that the stage counts with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::interning::IDS_MAX;

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// What a table of ids does with a new one when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The event is refused with reason `TableFull`; what is known stays known.
    Reject,
    /// The id that was unused for longest is forgotten, with everything known of it.
    EvictOldestIdle,
}

/// The size of one table of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// Ids held. Sizes the table once at start: 64 to 80 bytes each. Range: 1 to 67108864.
    /// Default: 262144.
    pub ids_max: u32,
    /// What happens to a new id when the table is full: "reject" refuses the event, "evict-oldest-idle"
    /// forgets the id unused for longest. Default: "evict-oldest-idle".
    pub when_full: WhenFull,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            ids_max: 262_144,
            when_full: WhenFull::EvictOldestIdle,
        }
    }
}

/// What happens to payments that would wait too long for their score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SheddingConfig {
    /// A payment that would wait longer than this for its score, from its acceptance on, by how many wait and how long
    /// each takes at present, is not scored: it is decided in its turn by the strategy's rules alone, marked degraded
    /// and shed. The journal says so, and whatever runs the journal again goes by it. 0: every payment is scored,
    /// however late, and the bus holds publishers back. Unit: microseconds. Range: 0 to 10000000. Default: 0.
    pub deadline_us: u32,
    /// Payments shed per second at most, on the average, so that a flood does not get everything past the model; more
    /// are scored, late, and counted. Range: 1 to 1000000. Default: 1000.
    pub payments_per_s: u32,
    /// Payments shed at once at most. Range: 1 to 1000000. Default: 1000.
    pub burst: u32,
}

impl Default for SheddingConfig {
    fn default() -> Self {
        Self {
            deadline_us: 0,
            payments_per_s: 1_000,
            burst: 1_000,
        }
    }
}

/// The file in which refused frames are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLettersConfig {
    /// The file; its folder must be there. Default: "dead-letters".
    pub path: PathBuf,
    /// Refused frames kept; the oldest make room for new ones. Range: 1 to 1048576. Default: 4096.
    pub entries_max: u32,
    /// How much is kept of each frame, from its beginning. Unit: bytes. Range: 16 to 65536. Default: 176,
    /// which makes a slot of 256 bytes.
    pub kept_len: u32,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("dead-letters"),
            entries_max: 4096,
            kept_len: 176,
        }
    }
}

/// Section `[ingest]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// Frames taken from each stream in one duty cycle. Range: 1 to 4096. Default: 64.
    pub batch_max: u32,
    /// Longest frame accepted; a longer one is refused before it is looked at. Unit: bytes. Range: 256 to
    /// 65536. Default: 4096.
    pub frame_len_max: u32,
    /// How far an event's time may be ahead of the engine's clock at its acceptance. One that is further is refused: it
    /// would take everything before it for old, in windows of event time and in the bank of cases. 0: as far as it
    /// likes. Unit: seconds. Range: 0 to 4294967295. Default: 86400.
    pub ahead_s_max: u32,
    /// Publishers known on each stream. When the table is full, frames of others are refused. Range: 1 to
    /// 65536. Default: 256.
    pub publishers_max: u32,
    /// Instruments known. They are never forgotten, since what left under an instrument's number must stay
    /// readable: when the table is full, frames of other instruments are refused. Range: 1 to 1048576.
    /// Default: 4096.
    pub instruments_max: u32,
    /// Refused frames that wait for their answer to be published. When it is full, answers are left out and
    /// counted; good frames are never held up. Range: 1 to 65536. Default: 1024.
    pub rejects_max: u32,
    /// Table of customers.
    pub customers: TableConfig,
    /// Table of terminals.
    pub terminals: TableConfig,
    /// Table of cards.
    pub cards: TableConfig,
    /// Table of merchants.
    pub merchants: TableConfig,
    /// Table of devices.
    pub devices: TableConfig,
    /// Table of accounts.
    pub accounts: TableConfig,
    /// Payments that would wait too long for their score.
    pub shedding: SheddingConfig,
    /// The file of refused frames.
    pub dead_letters: DeadLettersConfig,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            batch_max: 64,
            frame_len_max: 4096,
            ahead_s_max: 86_400,
            publishers_max: 256,
            instruments_max: 4096,
            rejects_max: 1024,
            customers: TableConfig::default(),
            terminals: TableConfig::default(),
            cards: TableConfig::default(),
            merchants: TableConfig::default(),
            devices: TableConfig::default(),
            accounts: TableConfig::default(),
            shedding: SheddingConfig::default(),
            dead_letters: DeadLettersConfig::default(),
        }
    }
}

impl IngestConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key that is out of its range, with what was found and expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("ingest.batch_max", self.batch_max, 1, 4096),
            ("ingest.frame_len_max", self.frame_len_max, 256, 65_536),
            ("ingest.publishers_max", self.publishers_max, 1, 65_536),
            ("ingest.instruments_max", self.instruments_max, 1, 1 << 20),
            ("ingest.rejects_max", self.rejects_max, 1, 65_536),
            ("ingest.customers.ids_max", self.customers.ids_max, 1, IDS_MAX),
            ("ingest.terminals.ids_max", self.terminals.ids_max, 1, IDS_MAX),
            ("ingest.cards.ids_max", self.cards.ids_max, 1, IDS_MAX),
            ("ingest.merchants.ids_max", self.merchants.ids_max, 1, IDS_MAX),
            ("ingest.devices.ids_max", self.devices.ids_max, 1, IDS_MAX),
            ("ingest.accounts.ids_max", self.accounts.ids_max, 1, IDS_MAX),
            (
                "ingest.shedding.deadline_us",
                self.shedding.deadline_us,
                0,
                10_000_000,
            ),
            (
                "ingest.shedding.payments_per_s",
                self.shedding.payments_per_s,
                1,
                1_000_000,
            ),
            ("ingest.shedding.burst", self.shedding.burst, 1, 1_000_000),
            (
                "ingest.dead_letters.entries_max",
                self.dead_letters.entries_max,
                1,
                1 << 20,
            ),
            (
                "ingest.dead_letters.kept_len",
                self.dead_letters.kept_len,
                16,
                65_536,
            ),
        ];
        for (key, found, low, high) in ranges {
            if !(low..=high).contains(&found) {
                return Err(ConfigError {
                    key,
                    found,
                    low,
                    high,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut IngestConfig), expected: &str) {
        let mut config = IngestConfig::default();
        change(&mut config);
        let found = config
            .validate()
            .map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(found, expected);
    }

    #[test]
    fn value_out_of_range_is_refused_by_its_key() {
        check(|_| (), "");
        check(
            |config| config.batch_max = 0,
            "ingest.batch_max is 0, expected 1 to 4096",
        );
        check(
            |config| config.frame_len_max = 100,
            "ingest.frame_len_max is 100, expected 256 to 65536",
        );
        check(
            |config| config.cards.ids_max = 0,
            "ingest.cards.ids_max is 0, expected 1 to 67108864",
        );
        check(
            |config| config.shedding.burst = 0,
            "ingest.shedding.burst is 0, expected 1 to 1000000",
        );
        check(
            |config| config.dead_letters.kept_len = 70_000,
            "ingest.dead_letters.kept_len is 70000, expected 16 to 65536",
        );
    }
}
