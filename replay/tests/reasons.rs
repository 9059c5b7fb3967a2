//! Which features a score names beside what each of them really does: Shapley values of the fraud share, from a payment
//! that is as usual for the customer, over generated payments that stand above the model's alarm.
//!
//! `cargo test -p pinion-replay --test reasons -- --nocapture` prints the table that `docs/models.md` shows.

mod support;

use std::path::Path;

use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig};
use pinion_ingest::IngestConfig;
use pinion_replay::explain::{Wanted, effects, explain};
use pinion_replay::export::payments::{EventPayments, Payments as _};
use pinion_replay::generate::{PaymentsConfig, PaymentsGenerator};
use pinion_schemas::records::{FEATURES_MAX, Score, payment_kind};
use pinion_schemas::wire::Lane;
use pinion_score::Scorer;
use pinion_score::config::{Backend, ScoreConfig};
use pinion_score::histories::Own;
use pinion_score::manifest::ModelFolder;
use pinion_score::native::NativeEncoder;
use support::{Golden, decisions, of_lane};

/// Payments that are looked at.
const PAYMENTS: usize = 60;

/// Days before the first of them: the longest window of a feature is a month, and ends a week before the payment.
const DAYS_BEFORE: i64 = 50;

/// Of the alarms, every third is looked at.
const EVERY: usize = 3;

/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

/// What the shipped model calls an alarm.
const ALARM: f32 = 0.0436;

/// A short way back from the payment, along which the encoder is as good as straight.
const SHORT: f32 = 1e-3;

fn model() -> ModelFolder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fraud-v2");
    ModelFolder::open(&folder).unwrap()
}

fn payments() -> EventPayments {
    let config = PaymentsConfig {
        seed: 11,
        customers: 500,
        terminals: 1_000,
        radius: 16.0,
        days: 75,
        terminals_compromised_per_day: 1,
        customers_compromised_per_day: 1,
        ..PaymentsConfig::default()
    };
    let source = Box::new(PaymentsGenerator::new(config).unwrap());
    EventPayments::once(source, &IngestConfig::default()).unwrap()
}

/// The features of the highest weights above 0, highest first.
fn highest(weights: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).filter(|&slot| weights[slot] > 0.0).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// How well an order agrees with the true one, as means over payments.
#[derive(Default)]
struct Agreement {
    first: f64,
    of_three: f64,
    of_eight: f64,
    effect: f64,
    payments: f64,
}

impl Agreement {
    fn add(&mut self, named: &[usize], truth: &[f32]) {
        let share = |count: usize| {
            let expected = highest(truth, count);
            let hits = named
                .iter()
                .take(count)
                .filter(|&slot| expected.contains(slot))
                .count();
            hits as f64 / expected.len().max(1) as f64
        };
        let effect =
            |slots: &mut dyn Iterator<Item = usize>| -> f32 { slots.map(|slot| truth[slot].max(0.0)).sum() };
        self.first += share(1);
        self.of_three += share(3);
        self.of_eight += share(8);
        self.effect += f64::from(effect(&mut named.iter().copied()) / effect(&mut (0..truth.len())));
        self.payments += 1.0;
    }

    fn row(&self) -> [f64; 4] {
        [self.first, self.of_three, self.of_eight, self.effect].map(|sum| sum / self.payments)
    }
}

/// The orders that were considered.
struct Considered<'a> {
    scorer: &'a Scorer,
    encoder: &'a mut NativeEncoder,
}

impl Considered<'_> {
    fn furthest_from_training(&self, vector: &[f32; FEATURES_MAX]) -> Vec<usize> {
        let far: Vec<f32> = self.scorer.deviations(vector).into_iter().map(f32::abs).collect();
        highest(&far, 8)
    }

    fn furthest_from_own(own: &Own, vector: &[f32; FEATURES_MAX]) -> Vec<usize> {
        let far: Vec<f32> = own.deviations(vector).into_iter().map(f32::abs).collect();
        highest(&far, 8)
    }

    /// Slope at the payment, towards the nearest fraud, times the way from the customer's mean.
    fn by_slope(&mut self, score: &Score, own: &Own, vector: &[f32; FEATURES_MAX]) -> Vec<usize> {
        let Some(fraud) = self.scorer.cases(score).find(|case| case.is_fraud) else {
            return Vec::new();
        };
        let bank = self.scorer.bank();
        let mut there = vec![0.0; bank.dimensions()];
        bank.embedding(bank.find(&fraud.name).unwrap(), &mut there);
        let vector = &vector[..own.means.len()];
        let near: Vec<f32> = vector
            .iter()
            .zip(&own.means)
            .map(|(value, mean)| value - SHORT * (value - mean))
            .collect();
        let mut weights = vec![0.0; vector.len()];
        self.encoder.contributions(&near, vector, &there, &mut weights);
        highest(&weights, 8)
    }
}

fn named(score: &Score) -> Vec<usize> {
    let codes = score.reasons[..usize::from(score.reason_count)].iter();
    codes.map(|&code| usize::from(code) - 1).collect()
}

#[test]
fn reasons_are_the_features_that_moved_the_score() {
    let (model, set) = (model(), FeatureSet::payments_v2());
    let config = ScoreConfig {
        model: model.path("").display().to_string(),
        backend: Backend::Native,
        ..ScoreConfig::default()
    };
    let mut scorer = Scorer::load(&config, |slots| canonical::hash_of_first(&set, slots)).unwrap();
    let mut encoder = NativeEncoder::load(&model).unwrap();
    let mut store = FeatureStore::new(&FeaturesConfig::default(), &set).unwrap();
    let (mut payments, mut vector, mut alarms) = (payments(), [0.0; FEATURES_MAX], 0);
    let mut started_ns = None;
    let mut table: [Agreement; 4] = Default::default();
    while table[0].payments < PAYMENTS as f64 {
        let payment = payments.next_payment().unwrap().expect("there are enough alarms");
        store.apply(&payment, &mut vector);
        let own = scorer.own(&payment);
        let score = scorer.apply(&payment, &vector);
        let known_ns = payment.origin.event_ns - *started_ns.get_or_insert(payment.origin.event_ns);
        let is_alarm = payment.origin.kind == payment_kind::TRANSACTION
            && score.score >= ALARM
            && known_ns >= DAYS_BEFORE * DAY_NS;
        alarms += usize::from(is_alarm);
        let Some(own) = own.filter(|_| is_alarm && alarms.is_multiple_of(EVERY)) else {
            continue;
        };
        let truth = effects(&mut scorer, &vector, &own.means);
        let mut considered = Considered {
            scorer: &scorer,
            encoder: &mut encoder,
        };
        let orders = [
            considered.furthest_from_training(&vector),
            Considered::furthest_from_own(&own, &vector),
            considered.by_slope(&score, &own, &vector),
            named(&score),
        ];
        for (agreement, order) in table.iter_mut().zip(&orders) {
            agreement.add(order, &truth);
        }
    }
    let names = [
        "furthest from training",
        "furthest from own",
        "slope towards the fraud",
        "reasons",
    ];
    println!(
        "{:<26}{:>8}{:>8}{:>8}{:>8}",
        "", "first", "of 3", "of 8", "effect"
    );
    for (name, agreement) in names.iter().zip(&table) {
        let row = agreement.row().map(|value| format!("{value:>8.2}")).concat();
        println!("{name:<26}{row}");
    }
    let [first, of_three, of_eight, effect] = table[3].row();
    assert!(first > 0.75 && of_three > 0.9 && of_eight > 0.8 && effect > 0.85);
    for other in &table[..3] {
        assert!(other.row()[1] < of_three - 0.15);
    }
}

#[test]
fn recorded_deviations_are_from_the_history_that_explain_finds() {
    let Golden { config, journal, .. } = &Golden::new();
    let (records, _) = decisions(config, journal);
    let mut seen = [0; 2];
    let with_reasons = of_lane(&records, Lane::Payment)
        .into_iter()
        .filter(|record| record.deviations[1] != 0);
    for record in with_reasons {
        let wanted = Wanted::Sequence(record.sequence);
        let explained = explain(config, journal, wanted, |_| ()).unwrap().unwrap();
        assert_eq!(explained.recorded.unwrap().deviations, record.deviations);
        let own = explained
            .own
            .as_ref()
            .map(|own| own.deviations(&explained.vector));
        seen[usize::from(own.is_some())] += 1;
        let from_usual = own.unwrap_or(explained.deviations);
        for (&code, &deviation) in record.reasons.iter().zip(&record.deviations) {
            let slot = usize::from(code).wrapping_sub(1);
            let expected = from_usual.get(slot).map_or(0, |far| (far * 100.0).round() as i16);
            assert_eq!(deviation, expected, "payment {}, code {code}", record.sequence);
        }
    }
    assert!(
        seen[0] > 10 && seen[1] > 10,
        "without and with a history: {seen:?}"
    );
}
