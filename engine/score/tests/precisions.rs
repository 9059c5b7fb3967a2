//! Encoders stored in f32, f16 and int8, as `models/train/fixtures.py` wrote them: both back ends compute what the
//! trainer computed, for one row and for many.

use std::path::{Path, PathBuf};

use pinion_score::config::{Backend, ScoreConfig};
use pinion_score::encoder::Encoder;
use pinion_score::library;
use pinion_score::manifest::{ModelFolder, Precision};
use pinion_score::native::NativeEncoder;
use pinion_score::onnx::OnnxEncoder;

/// How far two embeddings of one vector may be apart, in each dimension.
const TOLERANCE: f32 = 1e-5;

const PRECISIONS: [(&str, Precision); 3] = [
    ("f32", Precision::F32),
    ("f16", Precision::F16),
    ("int8", Precision::Int8),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/precisions")
        .join(name)
}

fn config(backend: Backend) -> ScoreConfig {
    ScoreConfig {
        backend,
        ..ScoreConfig::default()
    }
}

fn session(model: &ModelFolder) -> OnnxEncoder {
    let encoder = &model.manifest.encoder;
    let bytes = model.read(&encoder.file, &encoder.sha256).unwrap();
    let library = library::find(Path::new("auto")).unwrap();
    OnnxEncoder::load(&library, &bytes, &model.manifest).unwrap()
}

/// Vectors, and the embeddings that the trainer computed of them.
fn expected(model: &ModelFolder) -> Vec<(Vec<f32>, Vec<f32>)> {
    let text = std::fs::read_to_string(model.path("expected.csv")).unwrap();
    let features = model.manifest.features.len();
    let rows = text.lines().map(|line| {
        let values: Vec<f32> = line.split(',').map(|value| value.parse().unwrap()).collect();
        (values[..features].to_vec(), values[features..].to_vec())
    });
    rows.collect()
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn both_back_ends_compute_what_the_trainer_did() {
    for (name, precision) in PRECISIONS {
        let model = ModelFolder::open(&folder(name)).unwrap();
        assert_eq!(model.manifest.encoder.precision, precision);
        for backend in [Backend::Onnx, Backend::Native] {
            let mut encoder = Encoder::load(&config(backend), &model).unwrap();
            let mut found = vec![0.0; model.manifest.encoder.dimensions];
            for (vector, embedding) in expected(&model) {
                encoder.encode(&vector, &mut found).unwrap();
                let off = worst(&found, &embedding);
                assert!(off <= TOLERANCE, "{name}, {backend:?}: off by {off}");
            }
        }
    }
}

#[test]
fn row_has_the_same_embedding_in_every_batch() {
    for (name, _) in PRECISIONS {
        let model = ModelFolder::open(&folder(name)).unwrap();
        let rows = expected(&model);
        let vectors: Vec<f32> = rows.iter().flat_map(|(vector, _)| vector.clone()).collect();
        let embeddings: Vec<f32> = rows.iter().flat_map(|(_, embedding)| embedding.clone()).collect();
        let (features, dimensions) = (model.manifest.features.len(), model.manifest.encoder.dimensions);
        let mut encoder = session(&model);
        println!("{name}: sizes {:?}", encoder.sizes().collect::<Vec<_>>());
        assert!(encoder.sizes().eq([encoder.sizes().next().unwrap(), 8, 32]));
        let mut alone = vec![0.0; embeddings.len()];
        for (vector, found) in vectors.chunks(features).zip(alone.chunks_mut(dimensions)) {
            encoder.encode(vector, found).unwrap();
        }
        assert!(worst(&alone, &embeddings) <= TOLERANCE);
        for count in 2..=32 {
            let mut together = vec![0.0; embeddings.len()];
            let parts = vectors.chunks(count * features);
            for (part, found) in parts.zip(together.chunks_mut(count * dimensions)) {
                encoder.encode(part, found).unwrap();
            }
            assert!(
                together
                    .iter()
                    .map(|value| value.to_bits())
                    .eq(alone.iter().map(|value| value.to_bits())),
                "{name}, {count} rows"
            );
        }
    }
}

#[test]
fn deviations_are_from_the_mean_that_the_manifest_says() {
    let model = ModelFolder::open(&folder("f16")).unwrap();
    let reasons = model.manifest.reasons.clone().unwrap();
    let encoder = NativeEncoder::load(&model).unwrap();
    let (centre, spread) = encoder.normalisation();
    assert_eq!(centre, reasons.mean);
    for (spread, deviation) in spread.iter().zip(&reasons.deviation) {
        assert!((spread * deviation - 1.0).abs() < 1e-6, "{spread}, {deviation}");
    }
}

#[test]
fn weights_in_another_precision_than_the_manifest_says_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for file in ["manifest.toml", "encoder.onnx", "bank.bin"] {
        std::fs::copy(folder("f16").join(file), directory.path().join(file)).unwrap();
    }
    let path = directory.path().join("manifest.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"f16\"", "\"int8\"", 1)).unwrap();
    let model = ModelFolder::open(directory.path()).unwrap();
    let error = NativeEncoder::load(&model).err().unwrap().to_string();
    assert!(
        error.ends_with("encoder.onnx: weights are stored in f16, expected int8 as encoder.precision says"),
        "{error}"
    );
}
