//! A model's folder: `manifest.toml` says what the other files are and how their outcome is read.
//!
//! Invariant: a manifest that was read has shapes that agree with each other, and files with its hashes.

use std::path::{Path, PathBuf};

use pinion_runtime::{hash, paths};
use pinion_schemas::records::{FEATURES_MAX, NEIGHBOURS_MAX};
use serde::Deserialize;

use crate::error::ScoreError;

/// Name of the manifest in a model's folder.
pub const MANIFEST_FILE: &str = "manifest.toml";

/// The manifest as written by `models/train/train.py`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: u32,
    /// First and last day of the training data, as text.
    pub trained_on: String,
    /// The features in the order of the encoder's input.
    pub features: Vec<String>,
    /// Hash of the feature set, 16 hexadecimal digits.
    pub feature_set_hash: String,
    /// The encoder.
    pub encoder: EncoderManifest,
    /// The bank and the vote.
    pub bank: BankManifest,
    /// From the vote to a probability.
    pub calibration: Calibration,
    /// Measured at training; shown to people.
    #[serde(default)]
    pub metrics: toml::Table,
}

/// The encoder's file and shapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderManifest {
    /// File in the folder.
    pub file: String,
    /// SHA-256 hash of the file, hexadecimal.
    pub sha256: String,
    /// Name of the graph's input, shape `[1, features]`, f32.
    pub input: String,
    /// Name of the graph's output, shape `[1, dimensions]`, f32, of length 1.
    pub output: String,
    /// Length of an embedding.
    pub dimensions: usize,
}

/// The bank's file and the vote over its rows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankManifest {
    /// File in the folder.
    pub file: String,
    /// SHA-256 hash of the file, hexadecimal.
    pub sha256: String,
    /// Rows.
    pub rows: usize,
    /// Neighbours that vote.
    pub neighbours: usize,
    /// A neighbour's vote is `weight · exp(−(1 − similarity) / temperature)`.
    pub temperature: f32,
    /// When the rows count as of; none: they never leave by age. Unit: ns since 1970.
    pub as_of_ns: Option<i64>,
    /// How labelled cases are drawn; none: all come in.
    pub admission: Option<Admission>,
}

/// The chance of a case that comes into the bank: `fraud_factor · (1 − s) ^ 0.5` of a fraud and
/// `genuine_factor · s ^ 0.7` of a genuine case, at most 1, where `s` is the share of fraud that its neighbours had.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// For frauds; more than 0.
    pub fraud_factor: f64,
    /// For genuine cases; more than 0.
    pub genuine_factor: f64,
}

/// Platt scaling of the vote's fraud share `s`: `1 / (1 + exp(−(slope · logit(s) + intercept)))`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Slope.
    pub slope: f32,
    /// Intercept.
    pub intercept: f32,
}

/// A manifest with the folder it was read from.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// What it says.
    pub manifest: Manifest,
    /// First eight bytes of the BLAKE3 hash of its text, little endian: the model's hash in decisions.
    pub hash: u64,
    /// Hash of the feature set it was trained on.
    pub feature_set_hash: u64,
    folder: PathBuf,
}

/// Finds the folder that `configured` names, as [`paths::locate`] does.
///
/// # Errors
/// [`ScoreError::ModelMissing`] with the places searched.
pub fn locate(configured: &Path) -> Result<PathBuf, ScoreError> {
    let is_model = |folder: &Path| folder.join(MANIFEST_FILE).is_file();
    paths::locate(configured, is_model).map_err(|searched| {
        let places: Vec<String> = searched
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        ScoreError::ModelMissing {
            found: configured.to_path_buf(),
            searched: places.join(", "),
        }
    })
}

impl ModelFolder {
    /// Reads and checks the manifest in `folder`. The other files are read and checked by [`Self::read`].
    ///
    /// # Errors
    /// [`ScoreError::Read`], [`ScoreError::Manifest`].
    pub fn open(folder: &Path) -> Result<Self, ScoreError> {
        let path = folder.join(MANIFEST_FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| ScoreError::Read {
            path: path.clone(),
            source,
        })?;
        let refuse = |reason: String| ScoreError::Manifest {
            path: path.clone(),
            reason,
        };
        let manifest: Manifest = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        check(&manifest).map_err(refuse)?;
        let feature_set_hash = u64::from_str_radix(&manifest.feature_set_hash, 16).map_err(|_| {
            refuse(format!(
                "feature_set_hash is \"{}\", expected 16 hexadecimal digits",
                manifest.feature_set_hash
            ))
        })?;
        let hash = hash::short(text.as_bytes());
        Ok(Self {
            manifest,
            hash,
            feature_set_hash,
            folder: folder.to_path_buf(),
        })
    }

    /// Path of the manifest.
    pub fn manifest_path(&self) -> PathBuf {
        self.folder.join(MANIFEST_FILE)
    }

    /// Path of a file of the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Reads a file of the folder and compares its hash with the manifest's.
    ///
    /// # Errors
    /// [`ScoreError::Read`], [`ScoreError::FileHash`].
    pub fn read(&self, file: &str, expected: &str) -> Result<Vec<u8>, ScoreError> {
        let path = self.path(file);
        let bytes = std::fs::read(&path).map_err(|source| ScoreError::Read {
            path: path.clone(),
            source,
        })?;
        let found = crate::library::sha256(&bytes);
        if found != expected {
            return Err(ScoreError::FileHash {
                path,
                found,
                expected: expected.to_owned(),
            });
        }
        Ok(bytes)
    }
}

fn check(manifest: &Manifest) -> Result<(), String> {
    let features = manifest.features.len();
    if !(1..=FEATURES_MAX).contains(&features) {
        return Err(format!(
            "features has {features} names, expected 1 to {FEATURES_MAX}"
        ));
    }
    let dimensions = manifest.encoder.dimensions;
    if !(1..=256).contains(&dimensions) {
        return Err(format!("encoder.dimensions is {dimensions}, expected 1 to 256"));
    }
    let neighbours = manifest.bank.neighbours;
    if !(NEIGHBOURS_MAX..=256).contains(&neighbours) {
        return Err(format!(
            "bank.neighbours is {neighbours}, expected {NEIGHBOURS_MAX} to 256"
        ));
    }
    if manifest.bank.rows < neighbours {
        return Err(format!(
            "bank.rows is {}, expected at least {neighbours}",
            manifest.bank.rows
        ));
    }
    let temperature = manifest.bank.temperature;
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(format!(
            "bank.temperature is {temperature}, expected a positive number"
        ));
    }
    let Calibration { slope, intercept } = manifest.calibration;
    if !(slope.is_finite() && intercept.is_finite()) {
        return Err(format!(
            "calibration is {slope}, {intercept}, expected finite numbers"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_folder_is_found_above_the_program() {
        let found = locate(Path::new("models/fraud-v1")).unwrap();
        assert!(
            found.is_absolute() && found.join(MANIFEST_FILE).is_file(),
            "{}",
            found.display()
        );
    }

    #[test]
    fn missing_folder_is_refused_with_the_places_searched() {
        let error = locate(Path::new("models/none")).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "score.model is \"models/none\", expected a folder with manifest.toml at one of: "
            ),
            "{error}"
        );
        assert!(error.contains("score/models/none"), "{error}");
    }

    #[test]
    fn absolute_folder_is_taken_as_it_is() {
        assert_eq!(locate(Path::new("/no/such")).unwrap(), Path::new("/no/such"));
    }
}
