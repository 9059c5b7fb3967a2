//! What can go wrong with a bus or a driver, named for people. Errors are cold: duty cycles only see
//! [`crate::Offer`] and [`crate::Health`].

use std::path::PathBuf;
use std::time::Duration;

use crate::bus::{Endpoint, Health};

/// A key of the `bus` section that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number is outside its range.
    #[error("bus.{key} is {found}, expected {expected}")]
    OutOfRange {
        /// Key inside the section.
        key: &'static str,
        /// The value that was found.
        found: u64,
        /// The range, in words.
        expected: &'static str,
    },
    /// A text cannot be used.
    #[error("bus.{key} is {found:?}, expected {expected}")]
    Text {
        /// Key inside the section.
        key: String,
        /// The value that was found.
        found: String,
        /// What would do, in words.
        expected: &'static str,
    },
}

/// Something a bus could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The endpoint cannot be right, whatever the driver says.
    #[error("channel {:?} stream {} is not usable: {reason}", endpoint.channel, endpoint.stream_id)]
    Endpoint {
        /// The endpoint that was asked for.
        endpoint: Endpoint,
        /// What is wrong with it.
        reason: String,
    },
    /// The driver answered with an error.
    #[error("the driver refused {endpoint}: {reason}")]
    Refused {
        /// The endpoint that was asked for.
        endpoint: Endpoint,
        /// The driver's words.
        reason: String,
    },
    /// The client could not be connected to a driver that seemed alive.
    #[error("no client for the driver in {}: {reason}", dir.display())]
    Connect {
        /// Aeron directory.
        dir: PathBuf,
        /// The client's words.
        reason: String,
    },
    /// The driver's heartbeat stopped, or it said that it was closing.
    #[error("the driver in {} is gone: {reason}", dir.display())]
    DriverLost {
        /// Aeron directory.
        dir: PathBuf,
        /// How it was noticed.
        reason: String,
    },
    /// The client library gave up by itself; a new client is being made.
    #[error("the {client} client ended: {reason}")]
    ClientEnded {
        /// Name of the client, as in `bus.client`.
        client: &'static str,
        /// What it said.
        reason: String,
    },
    /// The client library broke its own rules; the client was given up and a new one is being made.
    #[error("the {client} client failed and was replaced: {reason}")]
    Contained {
        /// Name of the client, as in `bus.client`.
        client: &'static str,
        /// What it said.
        reason: String,
    },
    /// The driver did not answer in time.
    #[error(
        "the bus is not ready after {waited:?}: driver {}, {} handles unanswered",
        if health.link == crate::Link::Up { "up" } else { "absent" },
        health.pending_count
    )]
    NotReady {
        /// How long was waited.
        waited: Duration,
        /// The state at the end.
        health: Health,
    },
}

/// Why a media driver of ours could not be started or had to stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The folder it should live in cannot be used.
    #[error("{} cannot hold a media driver: {reason}", path.display())]
    Directory {
        /// The folder, or something in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process runs a driver there.
    #[error("{} is in use by another media driver", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The driver did not start.
    #[error("the media driver in {} did not start: {reason}", dir.display())]
    Start {
        /// Aeron directory.
        dir: PathBuf,
        /// The driver's words.
        reason: String,
    },
    /// The driver stopped by itself.
    #[error("the media driver in {} failed: {reason}", dir.display())]
    Failed {
        /// Aeron directory.
        dir: PathBuf,
        /// The driver's words.
        reason: String,
    },
}
