//! From a vector to a score, its neighbours and its reasons.
//!
//! ```text
//!   vector ─encoder─▶ embedding ─bank─▶ k neighbours ─vote─▶ fraud share ─Platt─▶ score
//!      └─▶ beside the entity's history ─▶ reasons
//! ```
//!
//! Start at [`Scorer::apply_all`], which takes the lane's events in order.
//!
//! With a device (see [`crate::device`]) the neighbours of a whole batch are proposed at once, and proved or searched for
//! one transaction after the other: they are the bank's all the same.
//!
//! Invariant: a score is finite and in 0..=1, or the event is marked degraded.

use std::path::Path;

use pinion_runtime::math::{exp, ln};
use pinion_runtime::state::{Region, RegionMut, State};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{
    FEATURES_MAX, FeatureRecord, NEIGHBOURS_MAX, PaymentRecord, Score, decision_flag, payment_kind,
};

use crate::bank::{Bank, Neighbour};
use crate::cases::{Cases, LabelTally};
use crate::config::{Backend, ScoreConfig};
use crate::device::search::DeviceSearch;
use crate::device::{Device, DeviceBank, Searches};
use crate::encoder::{Encoder, ROWS_MAX};
use crate::error::ScoreError;
use crate::histories::{Histories, Own};
use crate::manifest::{Calibration, ModelFolder, locate};
use crate::native::NativeEncoder;
use crate::reasons::{FRAUD_SHARE_MIN, Reasons};

/// How far the encoder may be from the oracle when it is checked at start.
const ORACLE_TOLERANCE: f32 = 1e-4;

/// How far the square of an embedding's length may be from 1.
const LENGTH_TOLERANCE: f32 = 0.01;

/// Shares are kept this far from 0 and 1, so that their logit is finite.
const SHARE_MARGIN: f64 = 1e-3;

/// A case of the bank that a payment resembled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearCase {
    /// The transaction that it was.
    pub name: Id,
    /// What it turned out to be.
    pub is_fraud: bool,
    /// Cases that it stands for.
    pub weight: f32,
    /// Cosine of the two embeddings, -1..=1.
    pub similarity: f32,
}

/// Vectors that are encoded at once, and what came of them.
struct Batch {
    /// Shape: [`ROWS_MAX`] rows of the model's features.
    inputs: Vec<f32>,
    /// Shape: [`ROWS_MAX`] rows of the embedding's dimensions.
    embeddings: Vec<f32>,
    is_encoded: [bool; ROWS_MAX],
    outcomes: [Outcome; ROWS_MAX],
    rows: usize,
}

/// What came of a row.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    score: f32,
    share: f32,
    flags: u8,
}

/// Values of an embedding that a [`Finding`] has room for.
pub const FINDING_DIMENSIONS_MAX: usize = 64;

/// What was found of a transaction on the way to its score: enough for another scorer to let it wait for its label
/// without scoring it again.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// The transaction, by its place in the lane.
    pub sequence: u64,
    score: f32,
    share: f32,
    flags: u8,
    embedding: [f32; FINDING_DIMENSIONS_MAX],
}

impl Default for Finding {
    fn default() -> Self {
        Self {
            sequence: 0,
            score: 0.0,
            share: 0.0,
            flags: 0,
            embedding: [0.0; FINDING_DIMENSIONS_MAX],
        }
    }
}

/// A loaded model.
pub struct Scorer {
    encoder: Encoder,
    oracle: NativeEncoder,
    cases: Cases,
    /// None: the bank is searched here.
    device: Option<Box<DeviceSearch>>,
    histories: Histories,
    reasons: Reasons,
    model: (String, u32),
    model_hash: u64,
    features: usize,
    temperature: f64,
    calibration: Calibration,
    batch: Batch,
    nearest: Vec<Neighbour>,
    /// Of each of them.
    votes: Vec<f64>,
    fraud_votes: f64,
    found: usize,
}

impl Scorer {
    /// Loads the model that `config` names and checks that the feature set in force begins with the features
    /// that it was trained on; `hash_of_first` is the hash of the set's first slots, none if it has fewer.
    ///
    /// # Errors
    /// Whatever is wrong with the folder, the library, or the feature set.
    pub fn load(
        config: &ScoreConfig,
        hash_of_first: impl Fn(usize) -> Option<u64>,
    ) -> Result<Self, ScoreError> {
        let model = ModelFolder::open(&locate(Path::new(&config.model))?)?;
        let slots = model.manifest.features.len();
        let expected = hash_of_first(slots).unwrap_or_default();
        if model.feature_set_hash != expected {
            let path = model.manifest_path();
            return Err(ScoreError::FeatureSet {
                path,
                slots,
                found: model.feature_set_hash,
                expected,
            });
        }
        let manifest = &model.manifest;
        let (features, dimensions) = (manifest.features.len(), manifest.encoder.dimensions);
        let mut cases = Cases::new(config, read_bank(config, &model)?, manifest.bank.admission);
        cases.prefault();
        let mut histories = Histories::new(config.histories_max, features, config.case_entity);
        histories.prefault();
        let oracle = NativeEncoder::load(&model)?;
        let mut scorer = Self {
            encoder: Encoder::load(config, &model)?,
            oracle,
            cases,
            device: None,
            histories,
            reasons: Reasons::new(features, dimensions),
            model: (manifest.name.clone(), manifest.version),
            model_hash: model.hash,
            features,
            temperature: f64::from(manifest.bank.temperature),
            calibration: manifest.calibration,
            batch: Batch::new(features, dimensions),
            nearest: vec![Neighbour::default(); manifest.bank.neighbours],
            votes: vec![0.0; manifest.bank.neighbours],
            fraud_votes: 0.0,
            found: 0,
        };
        scorer.compare_with_oracle(&model)?;
        scorer.open_device(config, &model)?;
        Ok(scorer)
    }

    /// Has the bank searched on `device`, which was opened for this model. Neighbours and scores stay what they are.
    ///
    /// Panics: if the device has no room for the bank, or search is approximate.
    pub fn with_device(mut self, device: DeviceBank) -> Self {
        assert!(device.fits(self.bank(), self.features), "a device of this model");
        assert!(
            !self.cases.counts_searches(),
            "a device finds what an exact search finds"
        );
        self.device = Some(Box::new(DeviceSearch::new(device)));
        self
    }

    /// Makes a scorer that followed one that serves: it searches where `config`, of the same model, says, and holds all
    /// that it needs there.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::prepare`].
    pub fn serve(&mut self, config: &ScoreConfig) -> Result<(), ScoreError> {
        if self.device.is_none() {
            self.open_device(config, &ModelFolder::open(&locate(Path::new(&config.model))?)?)?;
        }
        self.prepare()
    }

    /// Has a device hold the whole bank, so that the next batch need not wait for that. Without one nothing is done.
    ///
    /// # Errors
    /// [`ScoreError::Onnx`]: the device failed.
    pub fn prepare(&mut self) -> Result<(), ScoreError> {
        let Some(device) = &mut self.device else {
            return Ok(());
        };
        let filled = device.fill(self.cases.bank_mut());
        filled.map_err(|error| ScoreError::Onnx {
            action: "copying the bank to the device",
            reason: error.to_string(),
        })
    }

    /// What a device was asked since this was last called; none: there is no device.
    pub fn take_searches(&mut self) -> Option<Searches> {
        self.device.as_mut().map(|device| device.take_searches())
    }

    /// Opens the GPU, if `config` asks for it.
    fn open_device(&mut self, config: &ScoreConfig, model: &ModelFolder) -> Result<(), ScoreError> {
        if config.backend != Backend::Cuda {
            return Ok(());
        }
        config.validate_device()?;
        let opened = DeviceBank::open(Device::Cuda, &config.libraries(), model, &config.device_sizes());
        let device = opened.map_err(|error| ScoreError::Cuda(Box::new(error)))?;
        tracing::info!("score.backend is \"cuda\": {}", device.way());
        self.device = Some(Box::new(DeviceSearch::new(device)));
        Ok(())
    }

    /// The model's hash, as it stands in decisions.
    pub fn model_hash(&self) -> u64 {
        self.model_hash
    }

    /// The model's name and version.
    pub fn model(&self) -> (String, u32) {
        self.model.clone()
    }

    /// The cases that a score names, nearest first.
    pub fn cases<'a>(&'a self, score: &'a Score) -> impl Iterator<Item = NearCase> + 'a {
        let named = usize::from(score.neighbour_count);
        let rows = score.neighbour_rows.iter().zip(score.similarities);
        rows.take(named).map(|(&row, similarity)| NearCase {
            name: self.bank().name(row),
            is_fraud: self.bank().is_fraud(row),
            weight: self.bank().weight(row),
            similarity,
        })
    }

    /// How far each feature that the model takes is from its mean in training. Unit: standard deviations.
    pub fn deviations(&self, vector: &[f32; FEATURES_MAX]) -> Vec<f32> {
        deviations(vector, self.oracle.normalisation()).collect()
    }

    /// What the payments of a payment's entity were like before it; none: there are fewer than [`OWN_MIN`], or the entity
    /// made room for others.
    ///
    /// [`OWN_MIN`]: crate::histories::OWN_MIN
    pub fn own(&mut self, payment: &PaymentRecord) -> Option<Own> {
        let history = self.histories.of(payment)?;
        self.reasons.set_usual(Some(history), self.oracle.normalisation());
        Some(self.reasons.own(history.count))
    }

    /// What each feature that the model takes usually is: its mean in training, or what stands for it in the manifest.
    pub fn usual(&self) -> &[f32] {
        self.oracle.normalisation().0
    }

    /// The bank.
    pub fn bank(&self) -> &Bank {
        self.cases.bank()
    }

    /// The bank, to be changed by hand: what is inserted, relabelled or removed is seen by the next [`Self::score`]. A
    /// device is filled anew after this.
    pub fn bank_mut(&mut self) -> &mut Bank {
        self.forget_device();
        self.cases.bank_mut()
    }

    /// What became of labels.
    pub fn labels(&self) -> LabelTally {
        self.cases.tally()
    }

    /// Forgets all cases, those of the model, too, and all histories: for a state to be filled in.
    pub fn clear(&mut self) {
        let regions = self.regions_mut();
        regions.into_iter().for_each(|region| region.bytes.fill(0));
    }

    /// Takes an event of the lane: scores a transaction and remembers it, unless it was shed; learns from a label. All
    /// zero for the others.
    ///
    /// Cost: a transaction as [`Self::score`] and 0.2 µs, two and a half runs of the native encoder if fraud is near, and
    ///       0.5 µs for each of at most four others that count as genuine by now; a label at most 0.5 µs.
    pub fn apply(&mut self, payment: &PaymentRecord, vector: &[f32; FEATURES_MAX]) -> Score {
        if is_to_be_scored(payment) {
            self.encode_one(vector);
        }
        self.take(payment, vector, &mut 0)
    }

    /// Takes events of the lane in order as [`Self::apply`] does, with the same outcome to the bit, but encodes their
    /// vectors at once. `handle` gets each event with its score.
    ///
    /// Panics: if there are more than [`ROWS_MAX`].
    pub fn apply_all(&mut self, records: &[FeatureRecord], mut handle: impl FnMut(&FeatureRecord, Score)) {
        self.batch.rows = 0;
        self.begin_searches(true);
        for record in records {
            if is_to_be_scored(&record.payment) {
                self.batch.put(&record.features[..self.features]);
                self.histories.prefetch(&record.payment);
            }
        }
        self.encode();
        let mut row = 0;
        for record in records {
            let score = self.take(&record.payment, &record.features, &mut row);
            handle(record, score);
        }
    }

    /// Whether another scorer may go by what this one found. Not if searches are counted, for it would not have searched.
    pub fn gives_findings(&self) -> bool {
        self.bank().dimensions() <= FINDING_DIMENSIONS_MAX && !self.cases.counts_searches()
    }

    /// What was found of the transactions that were scored among the `records` that [`Self::apply_all`] took last.
    pub fn findings<'a>(&'a self, records: &'a [FeatureRecord]) -> impl Iterator<Item = Finding> + 'a {
        let scored = records.iter().filter(|record| is_to_be_scored(&record.payment));
        scored.enumerate().map(|(row, record)| {
            let Outcome { score, share, flags } = self.batch.outcomes[row];
            let mut finding = Finding {
                sequence: record.payment.origin.sequence,
                score,
                share,
                flags,
                ..Finding::default()
            };
            let embedding = self.batch.embedding(row);
            finding.embedding[..embedding.len()].copy_from_slice(embedding);
            finding
        })
    }

    /// Takes a transaction as [`Self::apply`] does, going by what another scorer of the same model and cases found.
    /// Neighbours and reasons are left out.
    pub fn adopt(
        &mut self,
        payment: &PaymentRecord,
        vector: &[f32; FEATURES_MAX],
        finding: &Finding,
    ) -> Score {
        self.histories.keep_names(payment);
        self.cases.keep_time(payment.origin.event_ns);
        if finding.flags & decision_flag::DEGRADED == 0 {
            let embedding = &finding.embedding[..self.bank().dimensions()];
            self.cases.remember(payment, finding.share, embedding);
            self.histories.note(payment, vector);
        }
        Score {
            model_hash: self.model_hash,
            score: finding.score,
            fraud_share: finding.share,
            flags: finding.flags,
            ..Score::default()
        }
    }

    /// Takes an event as [`Self::apply`] does, for its cases and histories alone: what is said of it is left out where
    /// no case depends on it.
    pub fn follow(&mut self, payment: &PaymentRecord, vector: &[f32; FEATURES_MAX]) {
        if !is_to_be_scored(payment) || self.cases.needs_search() {
            self.apply(payment, vector);
            return;
        }
        self.encode_one(vector);
        self.histories.keep_names(payment);
        self.cases.keep_time(payment.origin.event_ns);
        if self.is_sound(vector, 0) {
            self.cases.remember(payment, 0.0, self.batch.embedding(0));
            self.histories.note(payment, vector);
        }
    }

    /// Scores one vector, without remembering it. `scored_ns` is left 0; reasons, which depend on whose payment it is,
    /// are left out.
    ///
    /// A vector that is not finite, or that the encoder fails on, gives score 0 with
    /// [`decision_flag::DEGRADED`]: the strategy's rules decide alone.
    ///
    /// Cost: the encoder's run, one pass over the bank, about 0.3 µs for the vote.
    pub fn score(&mut self, vector: &[f32; FEATURES_MAX]) -> Score {
        self.encode_one(vector);
        self.rate(vector, 0)
    }

    /// `row`: of the next transaction in the batch.
    fn take(&mut self, payment: &PaymentRecord, vector: &[f32; FEATURES_MAX], row: &mut usize) -> Score {
        self.histories.keep_names(payment);
        match payment.origin.kind {
            payment_kind::TRANSACTION if payment.origin.flags & decision_flag::SHED != 0 => {
                self.cases.keep_time(payment.origin.event_ns);
                self.blank(decision_flag::SHED | decision_flag::DEGRADED)
            }
            payment_kind::TRANSACTION => {
                self.cases.keep_time(payment.origin.event_ns);
                let mut score = self.rate(vector, *row);
                self.batch.outcomes[*row] = Outcome {
                    score: score.score,
                    share: score.fraud_share,
                    flags: score.flags,
                };
                if score.flags & decision_flag::DEGRADED == 0 {
                    self.name_reasons(&mut score, payment, vector);
                    let embedding = self.batch.embedding(*row);
                    self.cases.remember(payment, score.fraud_share, embedding);
                    self.histories.note(payment, vector);
                }
                *row += 1;
                score
            }
            payment_kind::LABEL => {
                self.cases.learn(payment);
                Score::default()
            }
            _ => Score::default(),
        }
    }

    fn encode_one(&mut self, vector: &[f32; FEATURES_MAX]) {
        self.batch.rows = 0;
        self.begin_searches(false);
        self.batch.put(&vector[..self.features]);
        self.encode();
    }

    /// Another batch is next. `is_waiting`: a device searches for it, if there is one; who takes events one by one follows,
    /// and leaves the device to those who serve.
    fn begin_searches(&mut self, is_waiting: bool) {
        if let Some(device) = &mut self.device {
            device.begin(is_waiting);
        }
    }

    /// Encodes the batch. If that fails, each row by itself, so that none suffers for another.
    fn encode(&mut self) {
        let Self { encoder, batch, .. } = self;
        let rows = batch.rows;
        let (inputs, embeddings) = (batch.inputs.len() / ROWS_MAX, batch.embeddings.len() / ROWS_MAX);
        let mut run = |from: usize, to: usize| {
            let input = &batch.inputs[from * inputs..to * inputs];
            let embedding = &mut batch.embeddings[from * embeddings..to * embeddings];
            encoder.encode(input, embedding).is_ok()
        };
        let are_all_encoded = rows == 0 || run(0, rows);
        for row in 0..rows {
            batch.is_encoded[row] = are_all_encoded || run(row, row + 1);
        }
    }

    /// A score that says nothing yet, or of a transaction that has none.
    fn blank(&self, flags: u8) -> Score {
        Score {
            model_hash: self.model_hash,
            flags,
            ..Score::default()
        }
    }

    /// What the encoded row `row`, whose vector is `vector`, resembles.
    fn rate(&mut self, vector: &[f32; FEATURES_MAX], row: usize) -> Score {
        if !self.is_sound(vector, row) {
            return self.blank(decision_flag::DEGRADED);
        }
        let mut score = self.blank(0);
        self.search(row);
        let (fraud, all) = self.vote();
        let share = if all > 0.0 { fraud / all } else { 0.0 };
        self.fraud_votes = fraud;
        score.fraud_share = share as f32;
        score.score = calibrate(share, self.calibration);
        self.name_neighbours(&mut score);
        score
    }

    /// Finds what is nearest to the encoded row `row`.
    fn search(&mut self, row: usize) {
        let (bank, embedding) = (self.cases.bank_mut(), self.batch.embedding(row));
        self.found = match &mut self.device {
            None => bank.search(embedding, &mut self.nearest),
            Some(device) => {
                let vectors = &self.batch.inputs[..self.batch.rows * self.features];
                device.search(bank, (vectors, row), embedding, &mut self.nearest)
            }
        };
    }

    fn forget_device(&mut self) {
        if let Some(device) = &mut self.device {
            device.forget();
        }
    }

    /// Whether row `row`, whose vector is `vector`, has an embedding that can be used.
    fn is_sound(&self, vector: &[f32; FEATURES_MAX], row: usize) -> bool {
        let embedding = self.batch.embedding(row);
        let is_finite = vector[..self.features].iter().all(|value| value.is_finite());
        self.batch.is_encoded[row] && is_finite && is_direction(embedding)
    }

    /// Votes of fraud among the neighbours, and all their votes.
    fn vote(&mut self) -> (f64, f64) {
        let (mut fraud, mut all) = (0.0, 0.0);
        for (neighbour, vote) in self.nearest[..self.found].iter().zip(&mut self.votes) {
            let distance = 1.0 - f64::from(neighbour.similarity);
            let bank = self.cases.bank();
            *vote = f64::from(bank.weight(neighbour.row)) * exp(-distance / self.temperature);
            all += *vote;
            if bank.is_fraud(neighbour.row) {
                fraud += *vote;
            }
        }
        (fraud, all)
    }

    /// Names the reasons of a transaction whose nearest cases were just found.
    ///
    /// Cost: some 2,000 instructions for 52 features; where fraud is near, those of two and a half runs of the native
    ///       encoder more.
    fn name_reasons(&mut self, score: &mut Score, payment: &PaymentRecord, vector: &[f32; FEATURES_MAX]) {
        let vector = &vector[..self.features];
        let history = self.histories.of(payment);
        self.reasons.set_usual(history, self.oracle.normalisation());
        if score.fraud_share < FRAUD_SHARE_MIN {
            self.reasons.name_unusual(score, vector);
            return;
        }
        self.reasons.begin();
        let bank = self.cases.bank();
        for (neighbour, vote) in self.nearest[..self.found].iter().zip(&self.votes) {
            if bank.is_fraud(neighbour.row) {
                let part = (vote / self.fraud_votes) as f32;
                self.reasons
                    .add_fraud(part, |case| bank.embedding(neighbour.row, case));
            }
        }
        self.reasons.name_nearing(score, vector, &mut self.oracle);
    }

    fn name_neighbours(&self, score: &mut Score) {
        for (index, neighbour) in self.nearest[..self.found].iter().take(NEIGHBOURS_MAX).enumerate() {
            score.neighbour_rows[index] = neighbour.row;
            score.similarities[index] = neighbour.similarity;
        }
        score.neighbour_count = self.found.min(NEIGHBOURS_MAX) as u8;
    }

    /// Encodes a vector of ones with both: a library that computes something else is found at start.
    fn compare_with_oracle(&mut self, model: &ModelFolder) -> Result<(), ScoreError> {
        let vector = vec![1.0; self.features];
        let mut expected = vec![0.0; self.bank().dimensions()];
        self.oracle.encode(&vector, &mut expected);
        self.batch.rows = 0;
        self.batch.put(&vector);
        self.encode();
        let found = self.batch.embedding(0).iter().zip(&expected);
        let worst = found.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let is_like_oracle = self.batch.is_encoded[0] && worst <= ORACLE_TOLERANCE;
        if is_like_oracle && is_direction(self.batch.embedding(0)) {
            return Ok(());
        }
        let path = model.path(&model.manifest.encoder.file);
        let reason = if is_like_oracle {
            let length = squared_length(self.batch.embedding(0)).sqrt();
            format!("the embedding of a test vector has length {length}, expected 1")
        } else {
            format!("the embedding of a test vector is off by {worst}, expected at most {ORACLE_TOLERANCE}")
        };
        Err(ScoreError::Malformed { path, reason })
    }
}

impl Batch {
    fn new(features: usize, dimensions: usize) -> Self {
        Self {
            inputs: vec![0.0; ROWS_MAX * features],
            embeddings: vec![0.0; ROWS_MAX * dimensions],
            is_encoded: [false; ROWS_MAX],
            outcomes: [Outcome::default(); ROWS_MAX],
            rows: 0,
        }
    }

    fn put(&mut self, vector: &[f32]) {
        self.inputs[self.rows * vector.len()..][..vector.len()].copy_from_slice(vector);
        self.rows += 1;
    }

    fn embedding(&self, row: usize) -> &[f32] {
        let dimensions = self.embeddings.len() / ROWS_MAX;
        &self.embeddings[row * dimensions..][..dimensions]
    }
}

/// Whether an embedding is finite and of about length 1, as the bank's are: sums that overflow in the encoder leave one
/// that is near to nothing.
fn is_direction(embedding: &[f32]) -> bool {
    (squared_length(embedding) - 1.0).abs() <= LENGTH_TOLERANCE
}

fn squared_length(embedding: &[f32]) -> f32 {
    embedding.iter().map(|value| value * value).sum()
}

/// Whether a payment event is a transaction that there is time to score.
pub(crate) fn is_to_be_scored(payment: &PaymentRecord) -> bool {
    payment.origin.kind == payment_kind::TRANSACTION && payment.origin.flags & decision_flag::SHED == 0
}

/// What a scorer must keep to go on later, under the same configuration and model: its cases, and what the entities'
/// payments were like.
impl State for Scorer {
    fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = self.cases.regions();
        regions.extend(self.histories.regions());
        regions
    }

    /// A device is filled anew after this.
    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        self.forget_device();
        let mut regions = self.cases.regions_mut();
        regions.extend(self.histories.regions_mut());
        regions
    }
}

fn read_bank(config: &ScoreConfig, model: &ModelFolder) -> Result<Bank, ScoreError> {
    let manifest = &model.manifest.bank;
    let (rows, dimensions) = (manifest.rows, model.manifest.encoder.dimensions);
    let as_of_ns = manifest.as_of_ns.unwrap_or(i64::MAX);
    let bytes = model.read(&manifest.file, &manifest.sha256)?;
    Bank::start(&config.bank, &bytes, rows, dimensions, as_of_ns).map_err(|reason| ScoreError::Malformed {
        path: model.path(&manifest.file),
        reason,
    })
}

fn calibrate(share: f64, calibration: Calibration) -> f32 {
    let share = share.clamp(SHARE_MARGIN, 1.0 - SHARE_MARGIN);
    let logit = ln(share) - ln(1.0 - share);
    let scaled = f64::from(calibration.slope) * logit + f64::from(calibration.intercept);
    (1.0 / (1.0 + exp(-scaled))) as f32
}

/// How far each feature is from its mean in training. Unit: standard deviations.
fn deviations(vector: &[f32], (mean, scale): (&[f32], &[f32])) -> impl Iterator<Item = f32> {
    let known = mean.iter().zip(scale).zip(vector);
    known.map(|((mean, scale), value)| (value - mean) * scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::Libraries;

    proptest! {
        #[test]
        fn prop_calibrated_score_is_a_probability(share in 0.0_f64..=1.0, slope in 0.1_f32..4.0) {
            let score = calibrate(share, Calibration { slope, intercept: -1.0 });
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }

    /// The small model, with a library that fails above a limit of the first feature.
    fn failing(limit: f32) -> Scorer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1");
        let model = ModelFolder::open(&folder).unwrap();
        let config = ScoreConfig {
            model: folder.display().to_string(),
            backend: Backend::Native,
            ..ScoreConfig::default()
        };
        let mut scorer = Scorer::load(&config, |_| Some(model.feature_set_hash)).unwrap();
        scorer.encoder = Encoder::Failing(Box::new(NativeEncoder::load(&model).unwrap()), limit);
        scorer
    }

    fn transactions(numbers: std::ops::RangeInclusive<u8>) -> Vec<FeatureRecord> {
        let transaction = |number: u8| {
            let mut record = FeatureRecord::default();
            record.payment.origin.kind = payment_kind::TRANSACTION;
            record.payment.transaction_id.0[0] = b'a' + number;
            record.features[0] = f32::from(number);
            record
        };
        numbers.map(transaction).collect()
    }

    #[test]
    fn batch_that_the_device_fails_on_is_the_banks_and_the_next_is_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1");
        let model = ModelFolder::open(&folder).unwrap();
        let sizes = ScoreConfig::default().device_sizes();
        let device = DeviceBank::open(Device::Cpu, &Libraries::default(), &model, &sizes).unwrap();
        let (mut scorer, mut sound) = (failing(100.0).with_device(device), failing(100.0));
        let searches = [false, true, false].map(|is_broken| {
            scorer.device.as_mut().unwrap().device.is_broken = is_broken;
            let records = transactions(1..=9);
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            scorer.apply_all(&records, |_, score| found.push(score));
            sound.apply_all(&records, |_, score| expected.push(score));
            assert_eq!(found, expected);
            scorer.take_searches().unwrap()
        });
        let (well, badly) = (
            Searches {
                proved: 9,
                ..Searches::default()
            },
            Searches {
                left: 9,
                failed: 1,
                ..Searches::default()
            },
        );
        assert_eq!(searches, [well, badly, well]);
    }

    #[test]
    fn embedding_that_is_no_direction_is_told() {
        let embeddings = [
            [0.6, -0.8],
            [0.0, 0.0],
            [1e-20, 0.0],
            [f32::NAN, 1.0],
            [f32::INFINITY, 0.0],
            [1.1, 0.0],
        ];
        let expected = [true, false, false, false, false, false];
        assert_eq!(embeddings.map(|embedding| is_direction(&embedding)), expected);
    }

    #[test]
    fn row_that_the_library_fails_on_is_degraded_and_no_other() {
        let records = transactions(1..=20);
        let scores = |limit: f32| {
            let (mut scorer, mut scores) = (failing(limit), Vec::new());
            scorer.apply_all(&records, |_, score| scores.push(score));
            (scores, scorer.labels().waiting)
        };
        let ((sound, all), (broken, waiting)) = (scores(100.0), scores(17.0));
        assert_eq!((all, waiting), (20, 17), "what has no score is not learnt from");
        assert!(sound.iter().all(|score| score.flags == 0));
        for (number, (broken, sound)) in (1..).zip(broken.iter().zip(&sound)) {
            let expected = if number > 17 {
                Score {
                    model_hash: sound.model_hash,
                    flags: decision_flag::DEGRADED,
                    ..Score::default()
                }
            } else {
                *sound
            };
            assert_eq!(*broken, expected, "{number}");
        }
    }
}
