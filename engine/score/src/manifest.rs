//! A model's folder: `manifest.toml` says what the other files are and how their outcome is read.
//!
//! Invariant: a manifest that was read has shapes that agree with each other, and files with its hashes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinion_runtime::{hash, paths};
use pinion_schemas::records::{FEATURES_MAX, NEIGHBOURS_MAX};
use serde::Deserialize;

use crate::error::ScoreError;

/// Name of the manifest in a model's folder.
pub const MANIFEST_FILE: &str = "manifest.toml";

/// Edges of a distribution at most.
pub const REFERENCE_EDGES_MAX: usize = 10;

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
    /// When to alarm; a model of before 2 has none.
    pub thresholds: Option<Thresholds>,
    /// What is usual of each feature; without it, what the encoder's inputs tell.
    pub reasons: Option<Reasons>,
    /// Measured at training; shown to people.
    #[serde(default)]
    pub metrics: toml::Table,
    /// What inputs and scores were like in training, for their drift; none: the first that are served stand for it.
    pub reference: Option<Reference>,
}

/// How inputs and scores were distributed on the validation days of the training.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Each feature by its name.
    pub features: BTreeMap<String, Distribution>,
    /// The scores.
    pub score: Distribution,
}

/// Edges of bins, and the share of values in each: `shares[i]` is above edge `i − 1` and not above edge `i`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// Ascending; 1 to 10.
    pub edges: Vec<f32>,
    /// One more than edges; they sum up to 1.
    pub shares: Vec<f64>,
}

/// The encoder's file and shapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderManifest {
    /// File in the folder.
    pub file: String,
    /// SHA-256 hash of the file, hexadecimal.
    pub sha256: String,
    /// Name of the graph's input, shape `[rows, features]`, f32. `rows` is symbolic, or 1 in a graph of before.
    pub input: String,
    /// Name of the graph's output, shape `[rows, dimensions]`, f32, each row of length 1.
    pub output: String,
    /// Length of an embedding.
    pub dimensions: usize,
    /// In what the matrices are stored.
    #[serde(default)]
    pub precision: Precision,
}

/// In what an encoder's matrices are stored. They are widened to f32 when they are read, so that nothing else depends
/// on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As trained.
    #[default]
    F32,
    /// Rounded to half precision.
    F16,
    /// Whole numbers of -127 to 127 with one scale per output.
    Int8,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
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
    /// Event time of the newest case that could become a row: the end of the training range. The file has no times,
    /// so all rows count as of then; none: they never leave by age. Unit: ns since the Unix epoch.
    pub as_of_ns: Option<i64>,
    /// By which rule the rows were drawn, and labelled cases are; none: all of them come in.
    pub admission: Option<Admission>,
}

/// By which chance a labelled case becomes a row, and counts one over it; `Admission` in `models/train/bank.py`.
///
/// With `p`, the fraud share of the vote before the label was known: `fraud_factor · max(1 − p, 0.01)^0.5` for a
/// fraud, `genuine_factor · max(p, 0.00001)^0.7` for a genuine case, at most 1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Of frauds; above 0.
    pub fraud_factor: f64,
    /// Of genuine cases; above 0.
    pub genuine_factor: f64,
}

/// When an alarm costs less than none, on the validation days of the training.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Score at or above which an alarm is cheapest, 0 to 1; 1: alarms cost more than they save.
    pub alarm: f64,
    /// What an alarm for a genuine case costs; a missed fraud costs its amount. Unit: whole units of the amounts'
    /// currency, 5.0 is 5.00 EUR.
    pub false_alarm_cost: f64,
}

/// What is usual of each feature in training: what reasons compare with where an entity has no history.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasons {
    /// Mean of each feature.
    pub mean: Vec<f32>,
    /// Standard deviation of each feature; above 0.
    pub deviation: Vec<f32>,
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
    if manifest.name.is_empty() || manifest.name.chars().any(char::is_control) {
        let name = &manifest.name;
        return Err(format!("name is {name:?}, expected a line of text"));
    }
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
    check_bank(&manifest.bank)?;
    let Calibration { slope, intercept } = manifest.calibration;
    check_positive("calibration.slope", f64::from(slope))?;
    if !intercept.is_finite() {
        return Err(format!(
            "calibration.intercept is {intercept}, expected a finite number"
        ));
    }
    manifest.thresholds.as_ref().map_or(Ok(()), check_thresholds)?;
    let reasons = manifest.reasons.as_ref();
    reasons.map_or(Ok(()), |reasons| check_reasons(reasons, features))?;
    manifest
        .reference
        .as_ref()
        .map_or(Ok(()), |reference| check_reference(reference, &manifest.features))
}

fn check_reasons(reasons: &Reasons, features: usize) -> Result<(), String> {
    for (key, values) in [("mean", &reasons.mean), ("deviation", &reasons.deviation)] {
        if values.len() != features {
            let found = values.len();
            return Err(format!("reasons.{key} has {found} values, expected {features}"));
        }
        let is_in_range = |value: &f32| value.is_finite() && (key == "mean" || *value > 0.0);
        if let Some(place) = values.iter().position(|value| !is_in_range(value)) {
            let (found, expected) = (values[place], if key == "mean" { "finite" } else { "positive" });
            return Err(format!(
                "reasons.{key}[{place}] is {found}, expected a {expected} number"
            ));
        }
    }
    Ok(())
}

fn check_reference(reference: &Reference, features: &[String]) -> Result<(), String> {
    if let Some(missing) = features
        .iter()
        .find(|name| !reference.features.contains_key(*name))
    {
        return Err(format!(
            "reference.features has no {missing}, expected every feature"
        ));
    }
    let of_features = reference.features.iter();
    let named = of_features.map(|(name, found)| (format!("reference.features.{name}"), found));
    for (key, Distribution { edges, shares }) in
        named.chain([("reference.score".to_owned(), &reference.score)])
    {
        let ascend = edges.is_sorted_by(|a, b| a < b) && edges.iter().all(|edge| edge.is_finite());
        if !ascend || !(1..=REFERENCE_EDGES_MAX).contains(&edges.len()) {
            return Err(format!(
                "{key}.edges is {edges:?}, expected 1 to {REFERENCE_EDGES_MAX} ascending numbers"
            ));
        }
        let sum: f64 = shares.iter().sum();
        let is_whole = (sum - 1.0).abs() < 1e-6 && shares.iter().all(|&share| share >= 0.0);
        if !is_whole || shares.len() != edges.len() + 1 {
            return Err(format!(
                "{key}.shares is {shares:?}, expected {} numbers from 0 on that sum up to 1",
                edges.len() + 1
            ));
        }
    }
    Ok(())
}

fn check_bank(bank: &BankManifest) -> Result<(), String> {
    let neighbours = bank.neighbours;
    if !(NEIGHBOURS_MAX..=256).contains(&neighbours) {
        return Err(format!(
            "bank.neighbours is {neighbours}, expected {NEIGHBOURS_MAX} to 256"
        ));
    }
    if bank.rows < neighbours {
        return Err(format!(
            "bank.rows is {}, expected at least {neighbours}",
            bank.rows
        ));
    }
    check_positive("bank.temperature", f64::from(bank.temperature))?;
    if let Some(as_of_ns) = bank.as_of_ns.filter(|&as_of_ns| as_of_ns < 0) {
        return Err(format!("bank.as_of_ns is {as_of_ns}, expected a time since 1970"));
    }
    if let Some(admission) = &bank.admission {
        check_positive("bank.admission.fraud_factor", admission.fraud_factor)?;
        check_positive("bank.admission.genuine_factor", admission.genuine_factor)?;
    }
    Ok(())
}

fn check_thresholds(thresholds: &Thresholds) -> Result<(), String> {
    let alarm = thresholds.alarm;
    if !(0.0..=1.0).contains(&alarm) {
        return Err(format!("thresholds.alarm is {alarm}, expected 0 to 1"));
    }
    check_positive("thresholds.false_alarm_cost", thresholds.false_alarm_cost)
}

fn check_positive(key: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(format!("{key} is {value}, expected a positive number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"
name = "m"
version = 1
trained_on = "2018-05-09 to 2018-07-31"
features = ["a"]
feature_set_hash = "00000000000000ff"
[encoder]
file = "encoder.onnx"
sha256 = ""
input = "features"
output = "embedding"
dimensions = 4
"#;
    const BANK: &str =
        "\n[bank]\nfile = \"bank.bin\"\nsha256 = \"\"\nrows = 9\nneighbours = 8\ntemperature = 0.1\n";
    const TAIL: &str = "\n[calibration]\nslope = 1.0\nintercept = 0.0\n";

    /// What comes of a manifest with these lines after its encoder, its bank and its last table.
    fn open(encoder: &str, bank: &str, last: &str) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().unwrap();
        let text = [HEAD, encoder, BANK, bank, TAIL, last].concat();
        std::fs::write(folder.path().join(MANIFEST_FILE), text).unwrap();
        let opened = ModelFolder::open(folder.path()).map_err(|error| error.to_string());
        opened.map(|model| model.manifest)
    }

    #[test]
    fn calibration_that_turns_the_ranking_round_is_refused() {
        let calibrated = |slope: &str| {
            let folder = tempfile::tempdir().unwrap();
            let text = [
                HEAD,
                BANK,
                &TAIL.replace("slope = 1.0", &format!("slope = {slope}")),
            ]
            .concat();
            std::fs::write(folder.path().join(MANIFEST_FILE), text).unwrap();
            ModelFolder::open(folder.path()).map_err(|error| error.to_string())
        };
        let error = calibrated("-1.0").unwrap_err();
        assert!(
            error.contains("calibration.slope is -1, expected a positive number"),
            "{error}"
        );
        assert!(calibrated("0.5").is_ok());
    }

    const ADMISSION: &str = "[bank.admission]\nfraud_factor = 0.5\ngenuine_factor = 4.0\n";
    const THRESHOLDS: &str = "[thresholds]\nalarm = 0.25\nfalse_alarm_cost = 5.0\n";

    #[test]
    fn manifest_of_before_loads_without_the_newer_keys() {
        let manifest = open("", "", "").unwrap();
        assert_eq!(manifest.encoder.precision, Precision::F32);
        assert!(manifest.bank.as_of_ns.is_none());
        assert!(manifest.bank.admission.is_none());
        assert!(manifest.thresholds.is_none());
    }

    #[test]
    fn newer_keys_are_read() {
        let bank = format!("as_of_ns = 1533081599000000000\n{ADMISSION}");
        let manifest = open("precision = \"int8\"", &bank, THRESHOLDS).unwrap();
        assert_eq!(manifest.encoder.precision, Precision::Int8);
        assert_eq!(manifest.bank.as_of_ns, Some(1_533_081_599_000_000_000));
        let admission = manifest.bank.admission.unwrap();
        assert_eq!((admission.fraud_factor, admission.genuine_factor), (0.5, 4.0));
        let thresholds = manifest.thresholds.unwrap();
        assert_eq!((thresholds.alarm, thresholds.false_alarm_cost), (0.25, 5.0));
    }

    #[track_caller]
    fn check_refused(encoder: &str, bank: &str, last: &str, expected: &str) {
        let error = open(encoder, bank, last).unwrap_err();
        assert!(
            error.contains("manifest.toml: ") && error.contains(expected),
            "{error}"
        );
    }

    #[test]
    fn newer_keys_out_of_range_are_refused_by_name() {
        check_refused(
            "precision = \"f8\"",
            "",
            "",
            "unknown variant `f8`, expected one of `f32`, `f16`, `int8`",
        );
        check_refused("", "as_of_ns = \"never\"", "", "as_of_ns");
        check_refused(
            "",
            "as_of_ns = -5",
            "",
            "bank.as_of_ns is -5, expected a time since 1970",
        );
        for (from, to, expected) in [
            (
                "0.5",
                "0.0",
                "bank.admission.fraud_factor is 0, expected a positive number",
            ),
            (
                "4.0",
                "inf",
                "bank.admission.genuine_factor is inf, expected a positive number",
            ),
            ("genuine_factor", "genuin_factor", "unknown field `genuin_factor`"),
        ] {
            check_refused("", &ADMISSION.replace(from, to), "", expected);
        }
        for (mean, deviation, expected) in [
            ("[1.0, 2.0]", "[1.0]", "reasons.mean has 2 values, expected 1"),
            (
                "[inf]",
                "[1.0]",
                "reasons.mean[0] is inf, expected a finite number",
            ),
            (
                "[1.0]",
                "[0.0]",
                "reasons.deviation[0] is 0, expected a positive number",
            ),
        ] {
            let reasons = format!("[reasons]\nmean = {mean}\ndeviation = {deviation}\n");
            check_refused("", "", &reasons, expected);
        }
        for (from, to, expected) in [
            ("0.25", "1.5", "thresholds.alarm is 1.5, expected 0 to 1"),
            ("0.25", "nan", "thresholds.alarm is NaN, expected 0 to 1"),
            (
                "5.0",
                "-5.0",
                "thresholds.false_alarm_cost is -5, expected a positive number",
            ),
        ] {
            check_refused("", "", &THRESHOLDS.replace(from, to), expected);
        }
    }

    #[test]
    fn relative_folder_is_found_above_the_program() {
        let found = locate(Path::new("models/fraud-v2")).unwrap();
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

    fn reference(edges: &[f32], shares: &[f64]) -> Reference {
        let found = Distribution {
            edges: edges.to_vec(),
            shares: shares.to_vec(),
        };
        Reference {
            features: BTreeMap::from([("a".to_owned(), found.clone())]),
            score: found,
        }
    }

    #[test]
    fn reference_that_is_no_distribution_of_every_feature_is_refused() {
        let features = ["a".to_owned()];
        check_reference(&reference(&[0.0, 1.0], &[0.2, 0.5, 0.3]), &features).unwrap();
        let refused = |edges: &[f32], shares: &[f64]| {
            check_reference(&reference(edges, shares), &features).unwrap_err()
        };
        for edges in [&[][..], &[1.0, 1.0], &[f32::NAN], &[0.0; 11]] {
            assert!(refused(edges, &[1.0]).starts_with("reference.features.a.edges is "));
        }
        for shares in [&[1.0][..], &[0.5, 0.4], &[1.5, -0.5], &[0.2, 0.2, 0.6]] {
            assert!(refused(&[0.0], shares).starts_with("reference.features.a.shares is "));
        }
        let more = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            check_reference(&reference(&[0.0], &[0.5, 0.5]), &more).unwrap_err(),
            "reference.features has no b, expected every feature"
        );
    }
}
