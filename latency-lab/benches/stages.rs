//! What the stages do to one event: books, features, encoder, bank.
//!
//! Invariant: each case does the work of one event per operation, on state that has some history.

use std::hint::black_box;
use std::path::Path;

use pinion_book::BookConfig;
use pinion_book::books::Books;
use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, TimelinesConfig};
use pinion_latency_lab::bench::{Bench, is_smoke};
use pinion_latency_lab::model::vectors;
use pinion_schemas::records::{FEATURES_MAX, MarketRecord, PaymentRecord, market_kind, payment_kind};
use pinion_schemas::wire::{BookAction, Side};
use pinion_score::encoder::Encoder;
use pinion_score::manifest::ModelFolder;
use pinion_score::{Backend, ScoreConfig, Scorer};

fn main() {
    let smoke = is_smoke();
    books(if smoke { 500 } else { 100_000 });
    features(if smoke { 500 } else { 50_000 });
    score(if smoke { 20 } else { 2_000 });
}

/// A change of one of the five best levels of a book of 40.
fn level(index: u64) -> MarketRecord {
    let is_bid = index.is_multiple_of(2);
    let distance = (index / 2 % 20) as i64;
    let mut market = MarketRecord {
        price: if is_bid {
            1_000 - distance
        } else {
            1_001 + distance
        },
        quantity: 1 + (index * 7 % 50) as i64,
        side: if is_bid { Side::Bid.0 } else { Side::Ask.0 },
        action: BookAction::Modify.0,
        ..MarketRecord::default()
    };
    market.origin.kind = market_kind::BOOK_LEVEL;
    market
}

/// Orders come and, sixteen later, go.
fn order(index: u64) -> MarketRecord {
    let is_add = index.is_multiple_of(2);
    let number = if is_add { index } else { index.saturating_sub(31) };
    let mut market = MarketRecord {
        instrument: 1,
        order_id: number,
        action: if is_add {
            BookAction::Add.0
        } else {
            BookAction::Cancel.0
        },
        ..level(number)
    };
    market.quantity = 10;
    market.origin.kind = market_kind::BOOK_ORDER;
    market
}

fn books(events: u64) {
    let mut bench = Bench::new("stages/book");
    type Make = fn(u64) -> MarketRecord;
    for (name, event) in [("by_level", level as Make), ("by_order", order)] {
        let mut books = Books::new(&BookConfig::default());
        let mut next = 0;
        bench.case(name, events, move || {
            for index in next..next + events {
                black_box(books.apply(&event(index)));
            }
            next += events;
        });
    }
    bench.finish(15);
}

fn payment(index: u64, entities: u32) -> PaymentRecord {
    let draw = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut payment = PaymentRecord::default();
    payment.origin.kind = payment_kind::TRANSACTION;
    payment.origin.event_ns = 1_767_225_600_000_000_000 + index as i64 * 1_000_000_000;
    payment.amount_minor = 100 + (draw >> 50) as i64;
    payment.customer = (draw >> 32) as u32 % entities;
    payment.terminal = (draw >> 20) as u32 % entities;
    payment
}

fn features(events: u64) {
    let mut bench = Bench::new("stages/features_update_and_read");
    for (name, entities) in [("1_000_entities", 1_000), ("100_000_entities", 100_000)] {
        let table = || TimelinesConfig {
            entities_max: entities,
            ..TimelinesConfig::default()
        };
        let config = FeaturesConfig {
            customers: table(),
            terminals: table(),
            ..FeaturesConfig::default()
        };
        let mut store =
            FeatureStore::new(&config, &FeatureSet::payments_v1()).expect("the sizes are in range");
        store.prefault();
        let (mut vector, mut next) = ([0.0; FEATURES_MAX], 0);
        bench.case(name, events, move || {
            for index in next..next + events {
                store.apply(&payment(index, entities), &mut vector);
                black_box(&vector);
            }
            next += events;
        });
    }
    bench.finish(15);
}

/// The model's configuration with a back end, if there is a library for it.
fn score_config(backend: Backend) -> ScoreConfig {
    ScoreConfig {
        model: Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../models/fraud-v2")
            .display()
            .to_string(),
        backend,
        ..ScoreConfig::default()
    }
}

fn score(calls: u64) {
    let mut bench = Bench::new("stages/score");
    for (name, backend) in [("onnx_runtime", Backend::Onnx), ("native", Backend::Native)] {
        let config = score_config(backend);
        let set = FeatureSet::payments_v2();
        let scored = Scorer::load(&config, |slots| canonical::hash_of_first(&set, slots));
        let Ok(mut scorer) = scored.map_err(|error| eprintln!("{name} is left out: {error}")) else {
            continue;
        };
        let model = ModelFolder::open(Path::new(&config.model)).expect("the scorer has loaded it");
        let mut encoder = Encoder::load(&config, &model).expect("the scorer has loaded it");
        let mut embedding = vec![0.0; model.manifest.encoder.dimensions];
        let (inputs, features) = (vectors(&set), model.manifest.features.len());
        bench.case(&format!("encoder/{name}"), calls, move || {
            for vector in inputs.iter().cycle().take(calls as usize) {
                encoder
                    .encode(&vector[..features], &mut embedding)
                    .expect("it encodes");
                black_box(&embedding);
            }
        });
        let inputs = vectors(&set);
        bench.case(&format!("encoder_bank_and_vote/{name}"), calls, move || {
            for vector in inputs.iter().cycle().take(calls as usize) {
                black_box(scorer.score(vector));
            }
        });
    }
    bench.finish(15);
}
