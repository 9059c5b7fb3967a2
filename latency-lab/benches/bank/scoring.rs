//! The whole scoring stage beside its parts in a bare loop: encoder, then search.
//!
//! The bank's rows are what the encoder of `models/fraud-v1` makes of drawn features.
//!
//! Invariant: both encode the same vectors and search the same bank for as many neighbours.

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;

use pinion_features::FeatureSet;
use pinion_features::set::canonical;
use pinion_latency_lab::bench::{Bench, is_smoke};
use pinion_schemas::records::FEATURES_MAX;
use pinion_score::bank::{Bank, BankConfig, Neighbour};
use pinion_score::encoder::Encoder;
use pinion_score::manifest::ModelFolder;
use pinion_score::native::NativeEncoder;
use pinion_score::{Backend, ScoreConfig, Scorer};

use crate::data::{Clustered, empty, fill, id};
use crate::table::{Entry, Work};
use crate::{QUERIES, approximate, exact, rounds};

type Vector = [f32; FEATURES_MAX];

/// Entries of one size.
pub(crate) fn score(rows: usize) -> Vec<Entry> {
    let config = config();
    let model = ModelFolder::open(Path::new(&config.model)).expect("the model is part of the repository");
    let drawn = Drawn::new(&model, rows);
    let mut cases = Vec::new();
    for (name, bank) in [("exact", exact(rows)), ("approximate", approximate(rows))] {
        let scorer = RefCell::new(load(&config));
        *scorer.borrow_mut().bank_mut() = drawn.bank(&bank);
        let encoder = Encoder::load(&config, &model).expect("the scorer has loaded it");
        cases.push((name, scorer, RefCell::new(encoder)));
    }
    let mut bench = Bench::new(format!("bank/score_{rows}"));
    let features = model.manifest.features.len();
    let neighbours = model.manifest.bank.neighbours;
    let queries = &drawn.queries;
    for (name, scorer, encoder) in &cases {
        let mut nearest = vec![Neighbour::default(); neighbours];
        let mut embedding = vec![0.0; model.manifest.encoder.dimensions];
        bench.case(&format!("bare_{name}"), queries.len() as u64, move || {
            let (mut scorer, mut encoder) = (scorer.borrow_mut(), encoder.borrow_mut());
            for vector in queries {
                let encoded = encoder.encode(&vector[..features], &mut embedding);
                encoded.expect("the encoder works");
                black_box(scorer.bank_mut().search(&embedding, &mut nearest));
            }
        });
        bench.case(&format!("score_{name}"), queries.len() as u64, move || {
            let mut scorer = scorer.borrow_mut();
            for vector in queries {
                black_box(scorer.score(vector));
            }
        });
    }
    let mut encoder = Encoder::load(&config, &model).expect("the scorer has loaded it");
    let mut embedding = vec![0.0; model.manifest.encoder.dimensions];
    bench.case("encoder", queries.len() as u64, move || {
        for vector in queries {
            black_box(encoder.encode(&vector[..features], &mut embedding)).expect("the encoder works");
        }
    });
    let lines = bench.finish(rounds(rows));
    entries(rows, lines, &cases)
}

fn entries(
    rows: usize,
    lines: Vec<pinion_latency_lab::bench::Case>,
    cases: &[(&str, RefCell<Scorer>, RefCell<Encoder>)],
) -> Vec<Entry> {
    let recall = |case: &str| {
        let scorer = cases.iter().find(|(name, ..)| case.ends_with(name));
        scorer.and_then(|(_, scorer, _)| scorer.borrow().bank().recall())
    };
    // A bare loop is the rival of the stage with the same search.
    let entry = |mut line: pinion_latency_lab::bench::Case| {
        if line.case.ends_with("approximate") {
            line.bench += "_approximate";
        }
        Entry {
            rows,
            work: if line.case == "encoder" {
                Work::Encode
            } else {
                Work::Score
            },
            case: line.case.clone(),
            is_rival: line.case.starts_with("bare"),
            recall: recall(&line.case),
            line,
        }
    };
    lines.into_iter().map(entry).collect()
}

/// ONNX Runtime, as the engine is by default, or own loops where the library is missing.
fn config() -> ScoreConfig {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fraud-v1");
    let mut config = ScoreConfig {
        model: model.display().to_string(),
        ..ScoreConfig::default()
    };
    let model = ModelFolder::open(&model).expect("the model is part of the repository");
    if let Err(error) = Encoder::load(&config, &model) {
        eprintln!("the native encoder runs, as {error}");
        config.backend = Backend::Native;
    }
    config
}

fn load(config: &ScoreConfig) -> Scorer {
    let set = FeatureSet::payments_v1();
    Scorer::load(config, |slots| canonical::hash_of_first(&set, slots)).expect("the model fits the set")
}

/// Feature vectors about where training had them, and what the encoder makes of them.
struct Drawn {
    dimensions: usize,
    embeddings: Vec<f32>,
    queries: Vec<Vector>,
}

impl Drawn {
    fn new(model: &ModelFolder, rows: usize) -> Self {
        let mut encoder = NativeEncoder::load(model).expect("the model is sound");
        let (mean, scale) = encoder.normalisation();
        let (mean, scale) = (mean.to_vec(), scale.to_vec());
        let mut random = Clustered::new(11);
        let mut vector = || {
            let mut vector = [0.0; FEATURES_MAX];
            for ((value, mean), scale) in vector.iter_mut().zip(&mean).zip(&scale) {
                *value = mean + random.normal() / scale;
            }
            vector
        };
        let (features, dimensions) = (mean.len(), model.manifest.encoder.dimensions);
        let mut embeddings = vec![0.0; rows * dimensions];
        for embedding in embeddings.chunks_mut(dimensions) {
            encoder.encode(&vector()[..features], embedding);
        }
        let queries = (0..if is_smoke() { 5 } else { QUERIES }).map(|_| vector());
        Self {
            dimensions,
            embeddings,
            queries: queries.collect(),
        }
    }

    fn bank(&self, config: &BankConfig) -> Bank {
        let mut bank = empty(config, self.dimensions);
        let ids: Vec<_> = (0..config.rows_max as usize).map(id).collect();
        fill(&mut bank, &ids, self.embeddings.chunks(self.dimensions), 0);
        bank.cluster();
        bank
    }
}
