//! Which transactions of a journal models are measured on, and what came of them.

mod export_support;

use std::path::Path;

use export_support::events::{at, label, pay};
use export_support::serve::serve;
use pinion_features::FeatureSet;
use pinion_node::Config;
use pinion_replay::contest::{Contender, Contest, Request, compare, page};
use pinion_schemas::encode::Event;
use pinion_schemas::wire::Verdict;
use pinion_score::Backend;

fn root(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join(path).display().to_string()
}

fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.engine.dir = dir.to_path_buf();
    config.score.model = root("models/fraud-v1");
    config.score.backend = Backend::Native;
    config.features.set = root("features/payments-v1.toml").into();
    config
}

/// Champion and another model over `events`.
fn contest(events: &[Event], change: impl FnOnce(&mut Request)) -> Contest {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    serve(&config, &FeatureSet::payments_v1(), &config.journal().dir, events);
    let mut request = Request {
        contenders: vec![Contender {
            model: root("replay/tests/golden/model"),
            set: None,
        }],
        label_days: 7,
        reference_days: 1,
        ..Request::of(&config.journal().dir)
    };
    change(&mut request);
    compare(&config, &request, |_| ()).unwrap()
}

fn hour(hours: i64) -> i64 {
    at(0) + hours * 3_600_000_000_000
}

fn events() -> Vec<Event> {
    vec![
        pay("fraud", hour(1), 1_000),
        pay("taken-back", hour(2), 1_000),
        pay("erased", hour(3), 1_000),
        pay("late", hour(4), 1_000),
        pay("unlabelled", hour(5), 1_000),
        label("fraud", hour(1), at(1), Verdict::Fraud),
        label("taken-back", hour(2), at(2), Verdict::Fraud),
        label("taken-back", hour(2), at(3), Verdict::Genuine),
        label("erased", hour(3), at(3), Verdict::Fraud),
        label("erased", hour(3), at(4), Verdict::Erased),
        label("late", hour(4), at(8), Verdict::Fraud),
        pay("open", at(9), 1_000),
        label("open", at(9), at(10), Verdict::Fraud),
        pay("last", at(11), 1_000),
    ]
}

#[test]
fn last_label_in_time_wins_and_without_one_it_was_genuine() {
    let found = contest(&events(), |_| ());
    assert_eq!((found.transactions, found.measured, found.frauds), (7, 4, 1));
    assert_eq!((found.erased, found.open, found.unscored), (1, 2, 0));
    assert_eq!(found.models.len(), 2);
    for model in &found.models {
        assert_eq!((model.overall.transactions, model.overall.frauds), (4, 1));
        let days: Vec<(&str, u64)> = model
            .days
            .iter()
            .map(|day| (day.day.as_str(), day.figures.transactions))
            .collect();
        assert_eq!(days, [("2018-04-01", 4)]);
        assert_eq!(model.days[0].figures.auc_roc, model.overall.auc_roc);
    }
    assert_ne!(found.models[0].model_hash, found.models[1].model_hash);
}

#[test]
fn longer_patience_knows_more() {
    let found = contest(&events(), |request| request.label_days = 8);
    assert_eq!((found.measured, found.frauds, found.open), (4, 2, 2));
    let found = contest(&events(), |request| request.label_days = 2);
    // The label that takes back came after the third day began.
    assert_eq!(
        (found.measured, found.frauds),
        (5, 3),
        "and \"open\" is known by then"
    );
}

#[test]
fn days_asked_for_are_measured_and_all_before_them_are_applied() {
    let found = contest(&events(), |request| {
        (request.from_ns, request.label_days) = (at(9), 1);
    });
    assert_eq!((found.transactions, found.measured, found.frauds), (2, 1, 1));
    let inputs: Vec<&str> = found.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(inputs.len(), 16, "the model's features and the score: {inputs:?}");
}

#[test]
fn page_needs_nothing_from_outside_and_escapes_what_it_is_told() {
    let found = contest(&events(), |_| ());
    let text = page::text(&found, "journal <script>\"");
    assert!(text.contains("journal &lt;script&gt;&quot;"));
    for outside in [
        "<script", "http:", "https:", "src=", "url(", "@import", "NaN", "inf",
    ] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert_eq!(text.matches("<svg").count(), text.matches("</svg>").count());
    assert!(text.matches("<svg").count() >= 8);
}
