//! What one event costs from frame to decision: the whole pipeline in process, as fast as it goes.
//!
//! `pipeline_7` is named by its stages; a batch of 64 frames is sent, and the next one when all are answered.
//!
//! Invariant: every event is answered by one decision.

use std::path::Path;

use pinion_latency_lab::bench::{Bench, is_smoke};
use pinion_latency_lab::rig::Transceiver;
use pinion_latency_lab::subject::{InHand, Node};
use pinion_node::bus::InProcess;
use pinion_node::{Config, Pipeline};
use pinion_runtime::clock::Clock;
use pinion_schemas::wire::Lane;
use pinion_score::Backend;
use pinion_transport::in_process::InProcessBus;

const BATCH: usize = 64;

fn main() {
    let smoke = is_smoke();
    let mut bench = Bench::new("pipeline_7");
    let cases = [
        ("market", Lane::Market, Backend::Native, 200_000),
        ("payments/native", Lane::Payment, Backend::Native, 10_000),
        ("payments/onnx_runtime", Lane::Payment, Backend::Onnx, 10_000),
    ];
    for (name, lane, backend, events) in cases {
        let events = if smoke { BATCH } else { events };
        let mut subject = subject(lane, backend);
        let mut next = 0;
        bench.case(name, events as u64, move || {
            play(&mut subject, next, next + events);
            next += events;
        });
    }
    bench.finish(9);
}

fn subject(lane: Lane, backend: Backend) -> Node<InHand, InProcessBus> {
    let mut config = Config::default();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fraud-v2");
    config.score.model = model.display().to_string();
    config.score.backend = backend;
    let (bus, clock) = (InProcessBus::new(), Clock::system());
    let pipeline = Pipeline::new(&config, InProcess(bus.clone()), &clock, None, Vec::new());
    let pipeline = pipeline.expect("model and library are there");
    Node::connect(InHand(pipeline), bus, &config.bus, lane, clock).expect("the pipeline takes the load")
}

fn play(subject: &mut Node<InHand, InProcessBus>, from: usize, to: usize) {
    for first in (from..to).step_by(BATCH) {
        let count = BATCH.min(to - first);
        for index in first..first + count {
            assert!(subject.send(index), "there is room for a batch");
        }
        let mut answered = 0;
        while answered < count {
            subject.receive(|_| answered += 1);
        }
    }
}
