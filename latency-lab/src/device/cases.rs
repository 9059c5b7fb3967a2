//! What is searched: vectors about where training had them, and a bank of what the encoder makes of such.
//!
//! Invariant: the same for a model and its sizes, on every machine.

use std::time::Instant;

use pinion_runtime::math::exp;
use pinion_schemas::ids::Id;
use pinion_score::ScoreError;
use pinion_score::bank::{Bank, BankConfig, Case, Label, Neighbour};
use pinion_score::manifest::ModelFolder;
use pinion_score::native::NativeEncoder;

use super::DeviceError;

/// Batches of vectors that take turns.
const TURNS: usize = 16;

/// One case in so many is a fraud.
const FRAUD_EVERY: usize = 10;

/// Words that are read to measure how fast: 256 MiB, beyond any cache.
const READ_WORDS: usize = 1 << 25;

/// A bank, and the vectors that ask it.
pub(crate) struct Cases {
    bank: Bank,
    encoder: NativeEncoder,
    features: usize,
    temperature: f64,
    neighbours: usize,
    /// Shape: [`TURNS`] batches of vectors.
    vectors: Vec<f32>,
    batch_max: usize,
    random: Random,
    inserted: usize,
}

impl Cases {
    /// Fills a bank of `rows`. `batch_max`: vectors of a run at most.
    pub(crate) fn new(model: &ModelFolder, rows: u32, batch_max: usize) -> Result<Self, ScoreError> {
        let config = BankConfig {
            rows_max: rows,
            ..BankConfig::default()
        };
        let mut bank = Bank::new(&config, model.manifest.encoder.dimensions)?;
        bank.prefault();
        let mut cases = Self {
            bank,
            encoder: NativeEncoder::load(model)?,
            features: model.manifest.features.len(),
            temperature: f64::from(model.manifest.bank.temperature),
            neighbours: model.manifest.bank.neighbours,
            vectors: Vec::new(),
            batch_max,
            random: Random(11),
            inserted: 0,
        };
        for _ in 0..rows {
            cases.replace_one();
        }
        let vectors: Vec<f32> = (0..TURNS * batch_max).flat_map(|_| cases.vector()).collect();
        cases.vectors = vectors;
        Ok(cases)
    }

    pub(crate) fn bank(&self) -> &Bank {
        &self.bank
    }

    pub(crate) fn rows(&self) -> u32 {
        self.bank.tally().rows as u32
    }

    /// Vectors of a run at most.
    pub(crate) fn batch_max(&self) -> usize {
        self.batch_max
    }

    /// How many neighbours are wanted.
    pub(crate) fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// The vectors of a run.
    pub(crate) fn batch(&self, batch: usize, round: usize) -> &[f32] {
        let first = round % TURNS * self.batch_max * self.features;
        &self.vectors[first..][..batch * self.features]
    }

    /// Encodes a vector of a run. Shape: as many values as the bank's embeddings have.
    pub(crate) fn encode(&mut self, batch: usize, round: usize, index: usize, embedding: &mut [f32]) {
        let first = (round % TURNS * self.batch_max + index) * self.features;
        debug_assert!(index < batch);
        self.encoder
            .encode(&self.vectors[first..][..self.features], embedding);
    }

    /// Our own search.
    pub(crate) fn search(&mut self, embedding: &[f32], nearest: &mut [Neighbour]) -> usize {
        self.bank.search(embedding, nearest)
    }

    /// Share of fraud among the neighbours' votes, as a scorer takes it.
    pub(crate) fn share(&self, nearest: &[Neighbour]) -> f64 {
        let (mut fraud, mut all) = (0.0, 0.0);
        for neighbour in nearest {
            let distance = 1.0 - f64::from(neighbour.similarity);
            let vote = f64::from(self.bank.weight(neighbour.row)) * exp(-distance / self.temperature);
            all += vote;
            if self.bank.is_fraud(neighbour.row) {
                fraud += vote;
            }
        }
        if all > 0.0 { fraud / all } else { 0.0 }
    }

    /// Inserts one more case; of a full bank the oldest leaves, and it takes that one's row, which is returned.
    pub(crate) fn replace_one(&mut self) -> u32 {
        let vector = self.vector();
        let mut embedding = vec![0.0; self.bank.dimensions()];
        self.encoder.encode(&vector, &mut embedding);
        let number = self.inserted;
        self.inserted += 1;
        let label = if number.is_multiple_of(FRAUD_EVERY) {
            Label::Fraud
        } else {
            Label::Genuine
        };
        let case = Case {
            id: Id::new(&format!("{number:08x}")).expect("a valid name"),
            entity: 0,
            label,
            weight: 1.0,
            event_ns: number as i64,
            embedding: &embedding,
        };
        self.bank.insert(&case).expect("the case is in range").row()
    }

    pub(crate) fn failed(&self, batch: usize) -> DeviceError {
        DeviceError::Failed {
            batch,
            rows: self.rows(),
        }
    }

    /// About one standard deviation from each feature's mean.
    fn vector(&mut self) -> Vec<f32> {
        let (mean, scale) = self.encoder.normalisation();
        let random = &mut self.random;
        let pairs = mean.iter().zip(scale);
        pairs
            .map(|(mean, scale)| mean + random.normal() / scale)
            .collect()
    }
}

/// A generator of numbers that look drawn.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut draw = self.0;
        draw = (draw ^ draw >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ draw >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        draw ^ draw >> 31
    }

    /// Mean 0, variance 1, near enough to normal: the sum of four even draws.
    fn normal(&mut self) -> f32 {
        let even = (0..4).map(|_| (self.draw() >> 40) as f32 / (1 << 24) as f32 - 0.5);
        even.sum::<f32>() * 3.0_f32.sqrt()
    }
}

/// Bytes per second that one core reads, the quickest of a few passes over 256 MiB.
pub(crate) fn bytes_read_per_s() -> f64 {
    let words = vec![1_u64; READ_WORDS];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let started = Instant::now();
        let mut sums = [0; 64];
        for words in words.as_chunks::<64>().0 {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum ^= word;
            }
        }
        std::hint::black_box(sums);
        best = best.min(started.elapsed().as_secs_f64());
    }
    (READ_WORDS * size_of::<u64>()) as f64 / best
}
