//! Drift of the model's inputs is counted beside a running engine, and starts anew with it.

mod support;

use pinion_node::Config;
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

#[test]
fn inputs_and_scores_are_counted_window_by_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.drift.reference_transactions = 200;
    config.drift.window_transactions = 100;
    let mut light = Light::start(&config);
    light.run(2_000);
    let counters = light.engine.counters().clone();
    let transactions = counters.value("score.scored").unwrap();
    let windows = (transactions - 200) / 100;
    wait_for(|| counters.value("drift.windows") == Some(windows));
    light.stop();
    let indices: Vec<(String, u64)> = counters
        .list()
        .into_iter()
        .filter(|(label, _)| label.starts_with("drift.feature.") || label == "drift.score")
        .collect();
    assert_eq!(
        indices.len(),
        16,
        "the features of the model and its score: {indices:?}"
    );
    let index = |name: &str| counters.value(&format!("drift.feature.{name}")).unwrap();
    // Amounts are drawn alike all along; windows of 30 days go on filling for 30 days.
    assert!(index("amount_minor") < 400, "{indices:?}");
    assert!(index("customer_count_30d") > 2_000, "{indices:?}");
}

#[test]
fn shipped_model_has_drift_from_its_first_window_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.score.model = Config::default().score.model;
    config.features.set = set_path("payments-v2");
    config.drift.window_transactions = 100;
    let mut light = Light::start(&config);
    light.run(300);
    let counters = light.engine.counters().clone();
    let transactions = counters.value("score.scored").unwrap();
    assert!(
        transactions < u64::from(config.drift.reference_transactions),
        "the first transactions cannot be the reference"
    );
    wait_for(|| counters.value("drift.windows") == Some(transactions / 100));
    light.stop();
    let index = |name: &str| counters.value(&format!("drift.{name}")).unwrap();
    // No terminal here has a label that is older than its delay, and amounts are drawn from up to 900.00.
    assert!(index("feature.amount_minor") > 250);
    assert!(index("feature.terminal_known_age_s") > 250);
    assert!(index("score") > 0);
}
