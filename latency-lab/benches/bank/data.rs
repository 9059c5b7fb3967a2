//! What is searched: clustered vectors, cases and banks of them.
//!
//! Invariant: the same for a seed, on every machine.

use pinion_schemas::ids::Id;
use pinion_score::bank::{Bank, BankConfig, Case, Label};

pub(crate) const DIMENSIONS: usize = 64;
const CLUSTERS: usize = 1_000;
/// Length of what is added to a cluster's centre, of length 1: cases of a cluster are about 0.73 similar.
const SPREAD: f32 = 0.6;

/// Vectors of length 1 around common centres, the same for a seed.
pub(crate) struct Clustered {
    state: u64,
    centres: Vec<Vec<f32>>,
}

impl Clustered {
    pub(crate) fn new(seed: u64) -> Self {
        let mut clustered = Self {
            state: seed,
            centres: Vec::new(),
        };
        clustered.centres = (0..CLUSTERS)
            .map(|_| unit((0..DIMENSIONS).map(|_| clustered.normal()).collect()))
            .collect();
        clustered
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut draw = self.state;
        draw = (draw ^ draw >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ draw >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        draw ^ draw >> 31
    }

    /// Mean 0, variance 1, near enough to normal: the sum of four even draws.
    pub(crate) fn normal(&mut self) -> f32 {
        let even = (0..4).map(|_| (self.draw() >> 40) as f32 / (1 << 24) as f32 - 0.5);
        even.sum::<f32>() * 3.0_f32.sqrt()
    }

    fn vector(&mut self) -> Vec<f32> {
        let scale = SPREAD / (DIMENSIONS as f32).sqrt();
        let cluster = self.draw() as usize % CLUSTERS;
        let noise: Vec<f32> = (0..DIMENSIONS).map(|_| scale * self.normal()).collect();
        let centre = &self.centres[cluster];
        unit(
            centre
                .iter()
                .zip(noise)
                .map(|(value, noise)| value + noise)
                .collect(),
        )
    }

    pub(crate) fn vectors(&mut self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.vector()).collect()
    }
}

pub(crate) fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

/// A bank without cases, all of its memory there.
pub(crate) fn empty(config: &BankConfig, dimensions: usize) -> Bank {
    let mut bank = Bank::new(config, dimensions).expect("the sizes are in range");
    bank.prefault();
    bank
}

pub(crate) fn id(row: usize) -> Id {
    Id::new(&format!("{row:08x}-7c1a-4a52-9a0a-0f6f3a1c9d2e")).expect("a valid name")
}

/// Inserts a case for each vector, the first of them number `first`.
pub(crate) fn fill<'a>(bank: &mut Bank, ids: &[Id], vectors: impl Iterator<Item = &'a [f32]>, first: usize) {
    for (row, (&id, embedding)) in (first..).zip(ids.iter().zip(vectors)) {
        let case = Case {
            id,
            entity: 1 + row as u64 / 4,
            label: if row.is_multiple_of(10) {
                Label::Fraud
            } else {
                Label::Genuine
            },
            weight: 1.0,
            event_ns: row as i64,
            embedding,
        };
        bank.insert(&case).expect("the case is in range");
    }
}
