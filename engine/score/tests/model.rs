//! The shipped models, run by both back ends. `fraud-v2.csv`: vectors of generated payments, each with the score that
//! `models/train` computes of it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use pinion_schemas::records::FEATURES_MAX;
use pinion_score::config::{Backend, ScoreConfig};
use pinion_score::encoder::Encoder;
use pinion_score::manifest::ModelFolder;
use pinion_score::native::NativeEncoder;
use pinion_score::{ScoreError, Scorer};
use proptest::prelude::*;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1")
}

fn config(backend: Backend) -> ScoreConfig {
    ScoreConfig {
        model: shipped().display().to_string(),
        backend,
        ..ScoreConfig::default()
    }
}

fn folder() -> ModelFolder {
    ModelFolder::open(&shipped()).unwrap()
}

fn load(backend: Backend) -> Scorer {
    Scorer::load(&config(backend), |_| Some(folder().feature_set_hash)).unwrap()
}

/// A copy of the shipped model that a test may damage.
fn copy(change: impl FnOnce(&Path)) -> (tempfile::TempDir, ScoreConfig) {
    let directory = tempfile::tempdir().unwrap();
    for file in ["manifest.toml", "encoder.onnx", "bank.bin"] {
        std::fs::copy(shipped().join(file), directory.path().join(file)).unwrap();
    }
    change(directory.path());
    let config = ScoreConfig {
        model: directory.path().display().to_string(),
        ..config(Backend::Native)
    };
    (directory, config)
}

#[track_caller]
fn check_refused(change: impl FnOnce(&Path), expected: &str) {
    let (_directory, config) = copy(change);
    let error = Scorer::load(&config, |_| Some(folder().feature_set_hash))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains(expected), "expected {expected:?} in: {error}");
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn onnx_runtime_and_own_loops_agree() {
    check_agreement(&folder());
}

#[test]
fn scores_of_the_default_model_are_the_trainers() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v2");
    let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
    let rows = include_str!("fraud-v2.csv")
        .lines()
        .map(|line| -> Vec<f32> { line.split(',').map(|value| value.parse().unwrap()).collect() });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 24);
    for backend in [Backend::Onnx, Backend::Native] {
        let config = ScoreConfig {
            model: model.display().to_string(),
            ..config(backend)
        };
        let mut scorer = Scorer::load(&config, |_| Some(hash)).unwrap();
        for row in &rows {
            let (expected, features) = row.split_last().unwrap();
            let mut vector = [0.0; FEATURES_MAX];
            vector[..features.len()].copy_from_slice(features);
            let score = scorer.score(&vector).score;
            // Of equally near cases the engine takes the newest, the trainer any.
            assert!(
                (score - expected).abs() < 1e-3,
                "{backend:?}: {score}, {expected}"
            );
        }
    }
}

#[test]
fn onnx_runtime_and_own_loops_agree_on_the_default_model() {
    check_agreement(
        &ModelFolder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v2")).unwrap(),
    );
}

/// A model of random weights whose features are cut into ramps.
fn ramps() -> ModelFolder {
    ModelFolder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ramps")).unwrap()
}

#[test]
fn onnx_runtime_and_own_loops_agree_on_ramps() {
    check_agreement(&ramps());
}

#[test]
fn features_in_ramps_have_centre_and_spread_of_their_ends() {
    let encoder = NativeEncoder::load(&ramps()).unwrap();
    let (centre, spread) = encoder.normalisation();
    // Ends of the ramps: 0, 10, 50, 90; -1, 2, 4; 0, 1 as one column; 0, 100, 220, 1000 and 5000 without the first.
    let deviation = |values: &[f32]| {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32;
        (mean, 1.0 / variance.sqrt())
    };
    let ends: [&[f32]; 4] = [
        &[0.0, 10.0, 50.0, 90.0],
        &[-1.0, 2.0, 4.0],
        &[],
        &[100.0, 220.0, 1000.0, 5000.0],
    ];
    for (feature, ends) in ends.into_iter().enumerate() {
        let (mean, scale) = if ends.is_empty() {
            (0.0, 1.0)
        } else {
            deviation(ends)
        };
        assert!(
            (centre[feature] - mean).abs() <= mean.abs() * 1e-5,
            "{feature}: {centre:?}"
        );
        assert!(
            (spread[feature] - scale).abs() <= scale * 1e-5,
            "{feature}: {spread:?}"
        );
    }
}

fn check_agreement(model: &ModelFolder) {
    let (features, dimensions) = (model.manifest.features.len(), model.manifest.encoder.dimensions);
    let onnx = RefCell::new(Encoder::load(&config(Backend::Onnx), model).unwrap());
    let native = RefCell::new(Encoder::load(&config(Backend::Native), model).unwrap());
    let strategy = proptest::collection::vec(-100.0_f32..2_000.0, features);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let outcome = runner.run(&strategy, |vector| {
        let (mut a, mut b) = (vec![0.0; dimensions], vec![0.0; dimensions]);
        onnx.borrow_mut().encode(&vector, &mut a).unwrap();
        native.borrow_mut().encode(&vector, &mut b).unwrap();
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        prop_assert!(worst <= 1e-5, "off by {}", worst);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_score_does_not_depend_on_what_was_scored_before() {
    let mut scorer = load(Backend::Onnx);
    let vector = |seed: usize| -> [f32; FEATURES_MAX] {
        std::array::from_fn(|index| ((seed * 31 + index * 17) % 97) as f32)
    };
    let alone: Vec<_> = (0..50).map(|seed| scorer.score(&vector(seed))).collect();
    let backwards: Vec<_> = (0..50).rev().map(|seed| scorer.score(&vector(seed))).collect();
    assert!(alone.iter().eq(backwards.iter().rev()));
    assert!(
        alone
            .iter()
            .all(|score| (0.0..=1.0).contains(&score.score) && score.neighbour_count == 8)
    );
}

#[test]
fn a_vector_that_is_not_finite_is_degraded_not_scored() {
    let mut scorer = load(Backend::Native);
    let score = scorer.score(&[f32::NAN; FEATURES_MAX]);
    assert_eq!(
        (score.score, score.flags),
        (0.0, pinion_schemas::records::decision_flag::DEGRADED)
    );
}

#[test]
fn another_feature_set_is_refused() {
    let error = Scorer::load(&config(Backend::Native), |_| Some(1)).err().unwrap();
    assert!(
        matches!(error, ScoreError::FeatureSet { expected: 1, .. }),
        "{error}"
    );
}

#[test]
fn damaged_models_are_refused_with_their_place() {
    check_refused(
        |path| std::fs::remove_file(path.join("manifest.toml")).unwrap(),
        "cannot read",
    );
    check_refused(
        |path| edit(&path.join("manifest.toml"), "neighbours = 64", "neighbours = 0"),
        "bank.neighbours is 0",
    );
    check_refused(
        |path| edit(&path.join("manifest.toml"), "version", "verzion"),
        "unknown field `verzion`",
    );
    check_refused(
        |path| std::fs::write(path.join("bank.bin"), b"cut").unwrap(),
        "has the SHA-256 hash",
    );
    check_refused(
        |path| std::fs::write(path.join("encoder.onnx"), b"cut").unwrap(),
        "has the SHA-256 hash",
    );
    check_refused(
        |path| edit(&path.join("manifest.toml"), "dimensions = 16", "dimensions = 17"),
        "bank.bin",
    );
}

#[test]
fn a_missing_library_is_one_clear_sentence() {
    let config = ScoreConfig {
        library: "nowhere/lib.so".to_owned(),
        ..config(Backend::Onnx)
    };
    let error = Scorer::load(&config, |_| Some(folder().feature_set_hash))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("score.backend = \"native\""), "{error}");
}

/// One transaction: amount; weekend, night; count and mean of the customer over 1, 7, 30 days; count and share of
/// fraud of the terminal over the same, seven days ago.
type Case = ([f32; 15], u32);

/// The bits of each score. They change with the model, and with nothing else.
#[rustfmt::skip]
const GOLDEN: [Case; 5] = [
    // An ordinary payment.
    ([4200.0, 0.0, 0.0, 2.0, 4100.0, 13.0, 4300.0, 55.0, 4250.0, 1.0, 0.0, 7.0, 0.0, 30.0, 0.0], 0x3a9a_92e3),
    // A customer's first, at a terminal never seen.
    ([999.0, 1.0, 1.0, 1.0, 999.0, 1.0, 999.0, 1.0, 999.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0x3b15_9707),
    // An amount near the limit above which all are frauds.
    ([20500.0, 0.0, 0.0, 1.0, 20500.0, 9.0, 9000.0, 40.0, 7600.0, 1.0, 0.0, 6.0, 0.0, 28.0, 0.0], 0x3efe_eb28),
    // A terminal where half of the last week's payments were frauds.
    ([5100.0, 0.0, 0.0, 2.0, 5000.0, 12.0, 5200.0, 50.0, 5100.0, 1.0, 1.0, 8.0, 0.5, 29.0, 0.125], 0x3f7e_f922),
    // Two and a half times what the customer usually pays, at night.
    ([8000.0, 0.0, 1.0, 3.0, 7200.0, 14.0, 4100.0, 60.0, 3200.0, 0.0, 0.0, 5.0, 0.0, 25.0, 0.0], 0x3f47_e0f1),
];

#[test]
fn golden_scores_of_the_native_back_end() {
    let mut scorer = load(Backend::Native);
    let found = GOLDEN.map(|(features, _)| {
        let mut vector = [0.0; FEATURES_MAX];
        vector[..features.len()].copy_from_slice(&features);
        scorer.score(&vector).score
    });
    let bits = found.map(f32::to_bits);
    assert_eq!(
        bits,
        GOLDEN.map(|(_, bits)| bits),
        "scores {found:?}, bits {bits:#x?}"
    );
}
