//! The banks that the shipped models begin with, and queries like those of an engine: close to their rows.
//!
//! Invariant: the same for a model, on every machine.

use std::path::Path;

use pinion_schemas::ids::Id;
use pinion_score::bank::{Bank, BankConfig, Case, Label};
use pinion_score::manifest::ModelFolder;

/// Length of what is added to a row's embedding, of length 1: the nearest rows of `fraud-v2` are so far apart.
const AWAY: f32 = 2e-3;

/// A bank and what is searched for.
pub(crate) struct Shipped {
    pub(crate) bank: Bank,
    pub(crate) queries: Vec<Vec<f32>>,
}

impl Shipped {
    pub(crate) fn new(model: &str, queries: usize) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../models")
            .join(model);
        let model = ModelFolder::open(&folder).expect("the model is part of the repository");
        let manifest = &model.manifest;
        let bytes = std::fs::read(folder.join(&manifest.bank.file)).expect("the model has been opened");
        let bank = Bank::parse(&bytes, manifest.bank.rows, manifest.encoder.dimensions);
        let mut bank = bank.expect("the bank is right");
        bank.prefault();
        let mut state = 7;
        let queries = (0..queries)
            .map(|number| beside(&bank, number, &mut state))
            .collect();
        Self { bank, queries }
    }

    /// Inserts cases beside its own, until it is full.
    #[allow(dead_code, reason = "instructions are counted of the banks as they ship")]
    pub(crate) fn grow(&mut self) {
        let mut state = 9;
        let own = self.bank.len();
        for number in own..BankConfig::default().rows_max as usize {
            let embedding = beside(&self.bank, number % own, &mut state);
            let case = Case {
                id: Id::new(&format!("grown-{number}")).expect("a valid name"),
                entity: 0,
                label: Label::Genuine,
                weight: 1.0,
                event_ns: 0,
                embedding: &embedding,
            };
            self.bank.insert(&case).expect("the case is in range");
        }
    }
}

/// A direction beside that of one of the bank's rows.
fn beside(bank: &Bank, number: usize, state: &mut u64) -> Vec<f32> {
    let mut values = vec![0.0; bank.dimensions()];
    bank.embedding((number * 7919 % bank.len()) as u32, &mut values);
    let scale = AWAY / (values.len() as f32).sqrt();
    values.iter_mut().for_each(|value| *value += scale * even(state));
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

/// Mean 0, variance 1.
fn even(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((*state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 3.0_f32.sqrt()
}
