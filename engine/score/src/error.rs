//! What can be wrong with a model, its library, or the stage's configuration.

use std::path::PathBuf;

/// Why the scoring stage cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// `batch_max` is outside 1..=1024.
    #[error("score.batch_max is {got}, expected 1 to 1024")]
    BatchMax {
        /// The value found.
        got: u32,
    },
    /// A value of the bank's configuration is out of range.
    #[error("{key} is {got}, expected {min} to {max}")]
    Bank {
        /// The configuration key.
        key: &'static str,
        /// The value found.
        got: u64,
        /// The lowest that is allowed.
        min: u64,
        /// The highest that is allowed.
        max: u64,
    },
    /// A path is empty.
    #[error("{key} is empty, expected a path")]
    Empty {
        /// The configuration key.
        key: &'static str,
    },
    /// No folder of the configured name is a model's.
    #[error("score.model is \"{}\", expected a folder with manifest.toml at one of: {searched}", found.display())]
    ModelMissing {
        /// As configured.
        found: PathBuf,
        /// The folders.
        searched: String,
    },
    /// A file of the model cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not what a manifest should be.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// A file is not the one that the manifest was written for.
    #[error("{} has the SHA-256 hash {found}, expected {expected} as its manifest says", path.display())]
    FileHash {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The manifest's.
        expected: String,
    },
    /// The model was trained on other features than the engine computes.
    #[error(
        "{} was trained on {slots} features with hash {found:016x}, expected {expected:016x}, that of the first \
         {slots} of the feature set in force",
        path.display()
    )]
    FeatureSet {
        /// The manifest.
        path: PathBuf,
        /// How many features the model takes.
        slots: usize,
        /// The model's.
        found: u64,
        /// The engine's, 0 if it has fewer features.
        expected: u64,
    },
    /// A file of the model is malformed.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// The inference library is nowhere.
    #[error(
        "found no {name} in any of: {searched}; run `cargo xtask setup`, set score.library, or set score.backend = \"native\""
    )]
    LibraryMissing {
        /// File name.
        name: String,
        /// The folders.
        searched: String,
    },
    /// The library is not the pinned one.
    #[error("{} has the SHA-256 hash {found}, expected {expected} of ONNX Runtime {version}", path.display())]
    LibraryHash {
        /// The library.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The pinned one.
        expected: Box<str>,
        /// The pinned version.
        version: &'static str,
    },
    /// There is no pinned library for this kind of machine.
    #[error("score.backend is \"onnx\", expected \"native\": no ONNX Runtime is pinned for {arch}")]
    LibraryArch {
        /// The machine.
        arch: &'static str,
    },
    /// The GPU that is to search the bank cannot be used.
    #[error("score.backend is \"cuda\", expected \"native\", which gives the same scores: {0}")]
    Cuda(#[source] Box<Self>),
    /// A device cannot take part in a search that may miss some.
    #[error(
        "score.bank.approximate_from_rows is {got}, expected 0: with score.backend = \"cuda\" every search is exact"
    )]
    ApproximateOnDevice {
        /// The value found.
        got: u32,
    },
    /// The program cannot use a GPU.
    #[error("device is cuda, expected cpu: this program was built without the feature \"cuda\"")]
    NoCuda,
    /// There is no driver of a GPU.
    #[error("device is cuda, expected cpu: this machine has no NVIDIA driver ({reason})")]
    Driver {
        /// What the system's loader said.
        reason: String,
    },
    /// A library that the provider needs is nowhere.
    #[error("cannot load {}: {reason}", path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// What the system's loader said.
        reason: String,
    },
    /// The GPU build of the inference library is nowhere.
    #[error("found no {name} in any of: {searched}; run `cargo xtask setup --gpu`, or give the folder")]
    CudaMissing {
        /// File name.
        name: String,
        /// The folders.
        searched: String,
    },
    /// The library refused.
    #[error("ONNX Runtime, {action}: {reason}")]
    Onnx {
        /// What it was asked to do.
        action: &'static str,
        /// What it said.
        reason: String,
    },
}
