//! Every scenario runs, and every event of it is answered.

use std::path::Path;

use pinion_latency_lab::{LabError, Options, run};
use pinion_node::Config;
use pinion_score::Backend;

fn options() -> Options {
    let mut config = Config::default();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fraud-v2");
    config.score.model = model.display().to_string();
    config.score.backend = Backend::Native;
    config.bus.term_length = 1 << 20;
    config.journal.segment_len = 4 << 20;
    Options {
        rate: 2_000.0,
        ..Options::smoke(config)
    }
}

#[test]
fn every_event_of_every_scenario_is_answered() {
    let mut told = Vec::new();
    let report = run(&options(), |scenario, _, _| told.push(scenario.to_owned())).unwrap();
    let names: Vec<&str> = report
        .scenarios
        .iter()
        .map(|scenario| scenario.scenario.as_str())
        .collect();
    assert_eq!(told, names);
    for scenario in &report.scenarios {
        assert!(scenario.sent > 0, "{scenario:?}");
        assert_eq!(scenario.sent, scenario.received, "{scenario:?}");
        assert!(scenario.latency.p50_ns > 0, "{scenario:?}");
    }
}

#[test]
fn a_rate_of_nothing_is_refused() {
    let options = Options {
        rate: 0.0,
        ..options()
    };
    let error = run(&options, |_, _, _| ()).unwrap_err();
    assert!(matches!(error, LabError::Option { what: "rate", .. }));
    assert_eq!(error.to_string(), "lab: rate is 0, expected more than 0");
}
