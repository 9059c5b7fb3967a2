//! The whole pipeline, from frame to decision, makes no heap call in steady state.

use std::path::Path;

use pinion_latency_lab::rig::Transceiver;
use pinion_latency_lab::subject::{InHand, Node};
use pinion_node::bus::InProcess;
use pinion_node::{Config, Pipeline};
use pinion_runtime::clock::Clock;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_schemas::wire::Lane;
use pinion_score::Backend;
use pinion_transport::in_process::InProcessBus;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

type Subject = Node<InHand, InProcessBus>;

fn subject(lane: Lane, backend: Backend) -> Subject {
    let mut config = Config::default();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fraud-v2");
    config.score.model = model.display().to_string();
    config.score.backend = backend;
    let (bus, clock) = (InProcessBus::new(), Clock::system());
    let pipeline = Pipeline::new(&config, InProcess(bus.clone()), &clock, None, Vec::new()).unwrap();
    Node::connect(InHand(pipeline), bus, &config.bus, lane, clock).unwrap()
}

/// Sends events `from..to`, each once the one before was answered.
fn play(subject: &mut Subject, from: usize, to: usize) {
    for index in from..to {
        assert!(subject.send(index));
        let mut answered = None;
        while answered.is_none() {
            subject.receive(|answer| answered = Some(answer.index));
        }
        assert_eq!(answered, Some(index));
    }
}

#[track_caller]
fn check(lane: Lane, backend: Backend, events: usize, heap_calls_max: u64) {
    let warm_up = events / 5;
    let mut subject = subject(lane, backend);
    play(&mut subject, 0, warm_up);
    let heap_calls = count_heap_calls(|| play(&mut subject, warm_up, warm_up + events));
    assert!(
        heap_calls <= heap_calls_max,
        "{heap_calls}, expected at most {heap_calls_max}"
    );
}

#[test]
fn no_alloc_from_market_frame_to_decision() {
    check(Lane::Market, Backend::Native, 100_000, 0);
}

#[test]
fn no_alloc_from_payment_frame_to_decision() {
    check(Lane::Payment, Backend::Native, 30_000, 0);
}

#[test]
fn onnx_runtime_adds_a_bounded_number_of_its_own() {
    check(Lane::Payment, Backend::Onnx, 3_000, 8 * 3_000);
}
