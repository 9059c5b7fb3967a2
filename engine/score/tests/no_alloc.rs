//! In steady state the stage takes and frees no memory of its own.

use std::path::Path;

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_runtime::ring::ring;
use pinion_schemas::records::{FeatureRecord, ScoredRecord, payment_kind};
use pinion_score::manifest::ModelFolder;
use pinion_score::{Backend, ScoreAgent, ScoreConfig};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn heap_calls_of_1000_events(backend: Backend) -> u64 {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1");
    let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
    let config = ScoreConfig {
        model: model.display().to_string(),
        backend,
        ..ScoreConfig::default()
    };
    let (mut feed, input) = ring::<FeatureRecord>(64);
    let (output, mut drain) = ring::<ScoredRecord>(64);
    let counters = Counters::in_memory(16);
    let mut agent = ScoreAgent::new(&config, |_| Some(hash), input, output, &counters).unwrap();
    count_heap_calls(|| {
        for sequence in 1..=1_000 {
            let mut record = FeatureRecord::default();
            record.payment.origin.kind = payment_kind::TRANSACTION;
            record.payment.origin.sequence = sequence;
            record.features[0] = sequence as f32;
            assert!(feed.try_push(&record));
            assert_eq!(agent.do_work(1), 1);
            assert_eq!(drain.try_pop().unwrap().payment.origin.sequence, sequence);
        }
    })
}

#[test]
fn no_alloc_in_steady_state() {
    assert_eq!(heap_calls_of_1000_events(Backend::Native), 0);
}

#[test]
fn onnx_runtime_adds_a_bounded_number_of_its_own() {
    // The library takes memory by its own allocator; what it does through Rust's is ort's wrapping of the
    // outputs. More than a handful per run would be ours.
    assert!(heap_calls_of_1000_events(Backend::Onnx) <= 8 * 1_000);
}
