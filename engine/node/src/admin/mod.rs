//! Questions to a running engine that never touch its hot path, over a socket in its folder.
//!
//! ```text
//!   pinion features get ─▶ [Client] ══ control.sock, one JSON object per line ══▶ [Server] threads
//!                             ▲                                                       │ bounded queue
//!                             └── progress … progress, result or error ◀── snapshotter's thread, backfill's
//! ```
//!
//! A request is one line, answered by any number of lines `{"progress": …}` and one line `{"result": …}` or
//! `{"error": "…"}`. The socket is the owner's alone.
//!
//! Start at [`Request`] and [`Response`], the whole protocol; [`client`] asks, [`server`] listens.
//!
//! Invariant: nothing that comes over the socket stops the engine: what is not understood is answered with an error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub mod client;
pub(crate) mod features;
pub mod server;

pub use client::Client;
pub use server::Server;
pub(crate) use server::{Job, Reply};

/// The socket's name in the engine's folder.
pub const SOCKET_NAME: &str = "control.sock";

/// The longest request. Unit: bytes.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The current values of an entity's features.
    FeaturesGet {
        /// Names by kind: "customer", "terminal", "card", "merchant", "device", "account".
        entity: BTreeMap<String, String>,
        /// Read the windows as of then; none: as of the newest event, but not later than now. Unit: ns since the Unix
        /// epoch.
        #[serde(default)]
        as_of_ns: Option<i64>,
    },
    /// One hash over all that the payment lane knows.
    FeaturesDigest,
    /// Compute another feature set from the journal and put it in force.
    FeaturesBackfill {
        /// The file of the set, as the engine sees it.
        set: PathBuf,
        /// The first day whose events count, such as "2026-01-31"; none: all.
        #[serde(default)]
        from: Option<String>,
    },
    /// Bring another model up from the journal and put it in force; the one in force: make its bank anew.
    ModelSwap {
        /// The model's folder, as the engine sees it.
        model: PathBuf,
    },
    /// Write a checkpoint now.
    Checkpoint,
    /// How far replica and checkpoints are.
    Status,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// How far a backfill, or the exchange of a model, is.
    Progress(Progress),
    /// The end: what was asked for.
    Result(Answer),
    /// The end: why not.
    Error(String),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of [`Request::FeaturesGet`].
    Features(Features),
    /// Of [`Request::FeaturesDigest`].
    Digest(Digest),
    /// Of [`Request::FeaturesBackfill`].
    Backfilled(Backfilled),
    /// Of [`Request::ModelSwap`].
    Swapped(Swapped),
    /// Of [`Request::Checkpoint`].
    Checkpoint(Checkpointed),
    /// Of [`Request::Status`].
    Status(Status),
}

/// A feature set by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its hash, 16 hexadecimal digits.
    pub hash: String,
}

/// Where the replica stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Sequence of the last payment that it has taken.
    pub sequence: u64,
    /// Newest event time that it has seen. Unit: ns since the Unix epoch.
    pub event_ns: i64,
    /// Payments that the engine has accepted and it has not taken yet.
    pub lag_events: u64,
    /// How much later the newest transaction is that the engine's own features have seen. Unit: ns of event time.
    pub lag_ns: i64,
}

/// The values of one entity, or of several that were asked for together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// The set in force.
    pub set: SetName,
    /// Where the replica stands.
    pub replica: Standing,
    /// The windows end here, less their delay. Unit: ns since the Unix epoch.
    pub as_of_ns: i64,
    /// The entities that were asked for.
    pub entities: Vec<EntityAnswer>,
    /// The features over them, in the order of the vector.
    pub slots: Vec<SlotValue>,
}

/// What is known of one entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityAnswer {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether the engine holds the name.
    pub is_known: bool,
    /// Time of its newest event. Unit: ns since the Unix epoch. None: no event is held.
    pub newest_ns: Option<i64>,
}

/// One place of the vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotValue {
    /// From 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f32,
    /// The unit of the value; empty if it has none.
    pub unit: String,
}

/// One hash over the payment lane's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Where it was taken.
    pub replica: Standing,
    /// 64 hexadecimal digits.
    pub digest: String,
}

/// How far a backfill, or the exchange of a model, is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done: "load", "journal", "cluster", "copy", "catch up", "swap".
    pub phase: String,
    /// Payments taken.
    pub done: u64,
    /// Payments decided by the engine so far.
    pub of: u64,
}

/// A set that was computed and put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfilled {
    /// The set now in force.
    pub set: SetName,
    /// The set before.
    pub former: SetName,
    /// Sequence of the first payment whose vector is the new set's.
    pub first_sequence: u64,
    /// Payments of the journal that it was computed from; those that were too old to count are not among them.
    pub payments: u64,
    /// How often it was begun anew because the ring ran full or the agent was too busy.
    pub retries: u32,
    /// How long it took. Unit: ms.
    pub took_ms: u64,
}

/// A model by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its hash, as it stands in decisions, 16 hexadecimal digits.
    pub hash: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// A model that was put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// The model now in force.
    pub model: ModelName,
    /// The model before.
    pub former: ModelName,
    /// Sequence of the first payment whose score is the new model's.
    pub first_sequence: u64,
    /// Cases in its bank.
    pub cases: u64,
    /// How often it was begun anew because the ring ran full or the agent was too busy.
    pub retries: u32,
    /// How long it took. Unit: ms.
    pub took_ms: u64,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpointed {
    /// Sequence of the last payment in it.
    pub sequence: u64,
    /// Position in the journal after its last input. Unit: bytes.
    pub position: u64,
    /// Pages written: those that changed since the last one.
    pub pages: u64,
    /// Unit: bytes.
    pub bytes: u64,
    /// Unit: ms.
    pub took_ms: u64,
}

/// How far replica and checkpoints are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The set in force.
    pub set: SetName,
    /// Where the replica stands.
    pub replica: Standing,
    /// Sequence of the newest checkpoint; none: there is none of this run, nor was one restored.
    pub checkpoint_sequence: Option<u64>,
    /// Since it was written. Unit: s.
    pub checkpoint_age_s: Option<u64>,
    /// Checkpoints that could not be written.
    pub checkpoint_failures: u64,
    /// Why the last one could not.
    pub checkpoint_error: Option<String>,
    /// Whether a backfill is under way.
    pub is_backfilling: bool,
    /// Whether the exchange of a model is under way.
    #[serde(default)]
    pub is_swapping_model: bool,
}

/// Why an engine could not be asked, or what it answered instead.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens.
    #[error("{}: {source}, expected the socket of a running engine", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("{}: {source}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine said no.
    #[error("{0}")]
    Refused(String),
    /// The answer is of another version.
    #[error("answer {found:?}, expected one of this version: {reason}")]
    Answer {
        /// The line.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A hash as it is shown.
pub(crate) fn hash_text(hash: u64) -> String {
    format!("{hash:016x}")
}
