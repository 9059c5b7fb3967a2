//! The `bus` section of the configuration.
//!
//! ```text
//!   [bus]  driver, dir, client, term_length, …        where the media driver is and how it is set
//!   [bus.market] [bus.payments] [bus.decisions]        channel and stream_id of each stream
//! ```
//!
//! Invariant: a configuration that [`BusConfig::validate`] accepts can be started; what then fails is the
//! machine (no space, no permission, port taken) and is said by the driver.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bus::Endpoint;
use crate::error::ConfigError;

/// Smallest and largest `term_length` that Aeron knows, in bytes.
const TERM_LENGTH_MIN: u32 = 64 * 1024;
const TERM_LENGTH_MAX: u32 = 512 * 1024 * 1024;
/// Smallest and largest `mtu_len`, in bytes.
const MTU_LEN_MIN: u32 = 256;
const MTU_LEN_MAX: u32 = 65_504;

/// Who runs the media driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverKind {
    /// This process does.
    #[default]
    Embedded,
    /// Another process does; `dir` names its directory.
    External,
}

/// How an embedded driver gets its turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverThreading {
    /// In one thread of its own, which backs off when idle.
    #[default]
    Shared,
    /// Inside a duty cycle of the engine: deterministic, and best over UDP on two cores.
    Invoker,
}

/// Which Aeron client the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientKind {
    /// The Rust client `aeron-rs`, contained.
    #[serde(rename = "aeron-rs")]
    AeronRs,
    /// Aeron's own C client, through `rusteron-client`.
    #[serde(rename = "c")]
    C,
}

/// Where an embedded driver's directory is made when `dir` is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirBase {
    /// In shared memory (`/dev/shm`) where the system has it, otherwise as `temporary`.
    #[default]
    SharedMemory,
    /// In the system's folder for temporary files (`TMPDIR`): slower when that is a disk.
    Temporary,
}

/// The bus: which media driver, which client, which streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// Who runs the Aeron media driver: `embedded` in this process, or `external`.
    pub driver: DriverKind,
    /// Aeron directory. With an external driver: its directory, which must be given. With the embedded
    /// driver: a folder of ours, in which the driver's own is `aeron`; empty means
    /// `<dir_base>/pinion-<user id>-<node>`.
    pub dir: PathBuf,
    /// Where an empty `dir` is placed: `shared-memory` or `temporary`.
    pub dir_base: DirBase,
    /// Name of this node among those of the same user on this machine: letters, digits, `-` and `_`, at most
    /// 32. Two nodes with one name cannot run at the same time.
    pub node: String,
    /// Aeron client: `c` (Aeron's own, the default) or `aeron-rs`. Both are equally fast. `aeron-rs` passes
    /// the conformance suite but for one case: an event of the driver that it does not know, which any other
    /// client of the same driver can cause, makes it panic. The bus then replaces it and goes on, but
    /// messages may be missing in between, and the logs that it had mapped stay in memory until the process
    /// ends.
    pub client: ClientKind,
    /// How the embedded driver gets its turns: `shared` (a thread of its own that backs off) or `invoker`
    /// (inside a duty cycle).
    pub driver_threading: DriverThreading,
    /// Length of a log buffer's term in bytes: a power of two, 64 KiB to 512 MiB. Each publication over IPC and
    /// each publisher's image over UDP takes three terms of `/dev/shm`. 16 MiB hold about 60,000 payment
    /// events; on two cores shorter terms let a driver that is short of CPU hold the publishers up. The
    /// longest message is an eighth of a term.
    pub term_length: u32,
    /// Whether terms are made sparse: they then take memory only when first written, at the price of page
    /// faults (1.3 µs per 4 KiB) in the first round, and of a crash (SIGBUS) if memory runs out meanwhile.
    /// When `false` the driver takes all of it at once and says so when there is too little.
    pub terms_sparse: bool,
    /// Largest packet in bytes, Aeron's header included: 256 to 65504, a multiple of 32. Larger messages
    /// travel in fragments.
    pub mtu_len: u32,
    /// After how many milliseconds without a heartbeat a driver counts as dead: 200 to 60000, and at least
    /// 2000 with an external driver, whose heart beats once a second; an embedded one's beats five times in
    /// that span, at least once a second. One that removes its directory when it stops, as ours
    /// does, or that is replaced, is noticed within 100 ms.
    pub driver_timeout_ms: u64,
    /// After how many milliseconds without a sign of life the embedded driver drops a client: 500 to 60000.
    pub client_timeout_ms: u64,
    /// How often a bus without a driver looks for one, in milliseconds: 1 to 10000.
    pub reconnect_interval_ms: u64,
    /// Market events in: quotes, trades, book updates.
    pub market: Endpoint,
    /// Payment events in: transactions, labels, account updates.
    pub payments: Endpoint,
    /// Decisions and rejects out.
    pub decisions: Endpoint,
}

impl Default for BusConfig {
    fn default() -> Self {
        BusConfig {
            driver: DriverKind::Embedded,
            dir: PathBuf::new(),
            dir_base: DirBase::SharedMemory,
            node: "main".to_owned(),
            client: ClientKind::C,
            driver_threading: DriverThreading::Shared,
            term_length: 16 * 1024 * 1024,
            terms_sparse: false,
            mtu_len: 1408,
            driver_timeout_ms: 5_000,
            client_timeout_ms: 5_000,
            reconnect_interval_ms: 50,
            market: Endpoint::new("aeron:ipc", 1001),
            payments: Endpoint::new("aeron:ipc", 1002),
            decisions: Endpoint::new("aeron:ipc", 1003),
        }
    }
}

impl BusConfig {
    /// Says what cannot be used, before anything is started.
    ///
    /// # Errors
    /// The first key that is out of range, with what was found and what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_place()?;
        self.validate_sizes()?;
        self.validate_times()?;
        validate_endpoint("market", &self.market)?;
        validate_endpoint("payments", &self.payments)?;
        validate_endpoint("decisions", &self.decisions)
    }

    /// The directory that Aeron clients are given. For an embedded driver it is `aeron` inside our own folder.
    #[must_use]
    pub fn aeron_dir(&self) -> PathBuf {
        match self.driver {
            DriverKind::External => self.dir.clone(),
            DriverKind::Embedded => self.own_dir().join("aeron"),
        }
    }

    /// The folder of ours, closed to other users, that an embedded driver's directory lies in.
    #[must_use]
    pub fn own_dir(&self) -> PathBuf {
        if self.dir.as_os_str().is_empty() {
            base_dir(self.dir_base).join(format!("pinion-{}-{}", crate::driver::user_id(), self.node))
        } else {
            self.dir.clone()
        }
    }

    fn validate_place(&self) -> Result<(), ConfigError> {
        let named = !self.node.is_empty() && self.node.len() <= 32;
        let plain = self
            .node
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !named || !plain {
            return Err(text("node", &self.node, "1 to 32 letters, digits, - or _"));
        }
        if self.driver == DriverKind::External && self.dir.as_os_str().is_empty() {
            return Err(text("dir", "", "the directory of the external driver"));
        }
        if self.dir.to_str().is_none() {
            return Err(text("dir", &self.dir.display().to_string(), "a path in UTF-8"));
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let term_fits = (TERM_LENGTH_MIN..=TERM_LENGTH_MAX).contains(&self.term_length);
        if !term_fits || !self.term_length.is_power_of_two() {
            let expected = "a power of two from 65536 to 536870912";
            return Err(out_of_range("term_length", u64::from(self.term_length), expected));
        }
        let mtu_fits = (MTU_LEN_MIN..=MTU_LEN_MAX).contains(&self.mtu_len);
        if !mtu_fits || !self.mtu_len.is_multiple_of(32) {
            return Err(out_of_range(
                "mtu_len",
                u64::from(self.mtu_len),
                "a multiple of 32 from 256 to 65504",
            ));
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), ConfigError> {
        if self.driver == DriverKind::External && self.driver_timeout_ms < 2_000 {
            let expected = "2000 to 60000 with an external driver";
            return Err(out_of_range(
                "driver_timeout_ms",
                self.driver_timeout_ms,
                expected,
            ));
        }
        if !(200..=60_000).contains(&self.driver_timeout_ms) {
            return Err(out_of_range(
                "driver_timeout_ms",
                self.driver_timeout_ms,
                "200 to 60000",
            ));
        }
        if !(500..=60_000).contains(&self.client_timeout_ms) {
            return Err(out_of_range(
                "client_timeout_ms",
                self.client_timeout_ms,
                "500 to 60000",
            ));
        }
        if !(1..=10_000).contains(&self.reconnect_interval_ms) {
            return Err(out_of_range(
                "reconnect_interval_ms",
                self.reconnect_interval_ms,
                "1 to 10000",
            ));
        }
        Ok(())
    }
}

fn validate_endpoint(key: &str, endpoint: &Endpoint) -> Result<(), ConfigError> {
    let known = endpoint.channel == "aeron:ipc"
        || endpoint.channel.starts_with("aeron:ipc?")
        || endpoint.channel.starts_with("aeron:udp?");
    if !known || endpoint.channel.bytes().any(|byte| byte == 0) {
        let expected = "aeron:ipc or aeron:udp?…";
        return Err(text(&format!("{key}.channel"), &endpoint.channel, expected));
    }
    if endpoint.stream_id == 0 {
        return Err(text(&format!("{key}.stream_id"), "0", "a number other than 0"));
    }
    Ok(())
}

fn base_dir(base: DirBase) -> PathBuf {
    let shared = Path::new("/dev/shm");
    if base == DirBase::SharedMemory && shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}

fn text(key: &str, found: &str, expected: &'static str) -> ConfigError {
    ConfigError::Text {
        key: key.to_owned(),
        found: found.to_owned(),
        expected,
    }
}

fn out_of_range(key: &'static str, found: u64, expected: &'static str) -> ConfigError {
    ConfigError::OutOfRange { key, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut BusConfig), expected: &str) {
        let mut config = BusConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn default_is_valid() {
        assert_eq!(BusConfig::default().validate(), Ok(()));
    }

    #[test]
    fn unusable_values_are_named() {
        check(
            |config| config.term_length = 100_000,
            "bus.term_length is 100000, expected a power of two from 65536 to 536870912",
        );
        check(
            |config| config.mtu_len = 1400,
            "bus.mtu_len is 1400, expected a multiple of 32 from 256 to 65504",
        );
        check(
            |config| config.driver_timeout_ms = 0,
            "bus.driver_timeout_ms is 0, expected 200 to 60000",
        );
        check(
            |config| config.client_timeout_ms = 1,
            "bus.client_timeout_ms is 1, expected 500 to 60000",
        );
        check(
            |config| config.reconnect_interval_ms = 0,
            "bus.reconnect_interval_ms is 0, expected 1 to 10000",
        );
        check(
            |config| config.driver = DriverKind::External,
            "bus.dir is \"\", expected the directory of the external driver",
        );
        check(
            |config| {
                config.driver = DriverKind::External;
                config.dir = PathBuf::from("place");
                config.driver_timeout_ms = 1_000;
            },
            "bus.driver_timeout_ms is 1000, expected 2000 to 60000 with an external driver",
        );
        check(
            |config| config.node = "a/b".to_owned(),
            "bus.node is \"a/b\", expected 1 to 32 letters, digits, - or _",
        );
        check(
            |config| config.market.channel = "tcp://x".to_owned(),
            "bus.market.channel is \"tcp://x\", expected aeron:ipc or aeron:udp?…",
        );
        check(
            |config| config.decisions.stream_id = 0,
            "bus.decisions.stream_id is \"0\", expected a number other than 0",
        );
    }

    #[test]
    fn embedded_driver_lies_inside_our_own_folder() {
        let config = BusConfig {
            dir: PathBuf::from("place"),
            ..BusConfig::default()
        };
        assert_eq!(config.aeron_dir(), Path::new("place").join("aeron"));
        let external = BusConfig {
            driver: DriverKind::External,
            ..config
        };
        assert_eq!(external.aeron_dir(), Path::new("place"));
    }
}
