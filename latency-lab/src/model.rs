//! The model alone, call after call: the time that a payment's latency is stated against.
//!
//! Invariant: it scores vectors of the feature store over payments such as the scenarios send.

use std::path::Path;

use hdrhistogram::Histogram;
use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};
use pinion_score::encoder::Encoder;
use pinion_score::manifest::{ModelFolder, locate};
use pinion_score::{ScoreConfig, ScoreError, Scorer};

use crate::rig::histogram;

/// Vectors that take turns.
const VECTORS: usize = 1_024;

/// What is measured of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One run of the encoder.
    Encoder,
    /// Encoder, search of the bank, vote, reasons.
    Whole,
}

/// Times `calls` calls, one after the other, after a fifth of them as warm-up. Unit: ns.
///
/// # Errors
/// The model or the library cannot be loaded.
pub fn measure(config: &ScoreConfig, part: Part, calls: usize) -> Result<Histogram<u64>, ScoreError> {
    let model = ModelFolder::open(&locate(Path::new(&config.model))?)?;
    let set = set_of(&model);
    let vectors = vectors(&set);
    match part {
        Part::Encoder => {
            let mut encoder = Encoder::load(config, &model)?;
            let mut embedding = vec![0.0; model.manifest.encoder.dimensions];
            let features = model.manifest.features.len();
            Ok(time(calls, &vectors, |vector| {
                encoder.encode(&vector[..features], &mut embedding).is_ok()
            }))
        }
        Part::Whole => {
            let mut scorer = Scorer::load(config, |slots| canonical::hash_of_first(&set, slots))?;
            Ok(time(calls, &vectors, |vector| scorer.score(vector).flags == 0))
        }
    }
}

/// The set that ships which the model takes; the default if it takes none, which the scorer then says.
fn set_of(model: &ModelFolder) -> FeatureSet {
    let small = FeatureSet::payments_v1();
    match canonical::hash_of_first(&small, model.manifest.features.len()) {
        Some(hash) if hash == model.feature_set_hash => small,
        _ => FeatureSet::payments_v2(),
    }
}

fn time(
    calls: usize,
    vectors: &[[f32; FEATURES_MAX]],
    mut call: impl FnMut(&[f32; FEATURES_MAX]) -> bool,
) -> Histogram<u64> {
    let clock = quanta::Clock::new();
    let mut taken = histogram();
    let warm_up = calls / 5;
    for index in 0..calls + warm_up {
        let started = clock.raw();
        let is_scored = call(&vectors[index % vectors.len()]);
        let ended = clock.raw();
        assert!(is_scored, "vector {index} was not scored");
        if index >= warm_up {
            taken.saturating_record(clock.delta_as_nanos(started, ended));
        }
    }
    taken
}

/// Vectors of customers and terminals that have some history.
pub fn vectors(set: &FeatureSet) -> Vec<[f32; FEATURES_MAX]> {
    let mut store = FeatureStore::new(&small(), set).expect("the sizes are in range");
    let mut vectors = vec![[0.0; FEATURES_MAX]; VECTORS];
    for index in 0..8 * VECTORS {
        let draw = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut payment = PaymentRecord::default();
        payment.origin.kind = payment_kind::TRANSACTION;
        payment.origin.event_ns = 1_767_225_600_000_000_000 + index as i64 * 60_000_000_000;
        payment.amount_minor = 100 + (draw >> 40) as i64 % 20_000;
        payment.customer = (draw >> 32) as u32 % 200;
        payment.terminal = (draw >> 48) as u32 % 100;
        store.apply(&payment, &mut vectors[index % VECTORS]);
    }
    vectors
}

fn small() -> FeaturesConfig {
    let mut config = FeaturesConfig::default();
    for table in [&mut config.customers, &mut config.terminals] {
        table.entities_max = 256;
        table.pool_events_max = 1 << 16;
    }
    config
}
