//! A flood: payments that there is no time to score are decided without, and every run of the journal says the same.

mod support;

use pinion_journal::Reader;
use pinion_node::Config;
use pinion_node::config::cores::ThreadConfig;
use pinion_schemas::records::{DecisionRecord, decision_flag, entry_kind};
use pinion_schemas::wire::Lane;
use support::*;
use zerocopy::FromBytes as _;

const PAYMENTS: u64 = 4_000;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// As an engine that cannot score so fast: two payments that wait are too many.
fn config(folder: &std::path::Path) -> Config {
    let mut config = support::config(folder);
    config.ingest.shedding.deadline_us = 1;
    config.ingest.shedding.payments_per_s = 1_000_000;
    config.ingest.shedding.burst = 1_000_000;
    config.strategy.payments.parameters.insert(
        "approve_unscored_minor".to_owned(),
        pinion_strategy::config::Parameter::Integer(30_000),
    );
    config
}

/// Of the journal: inputs that were shed, and decisions that say so.
fn shed(config: &Config) -> (Vec<u64>, Vec<u64>) {
    let mut reader = Reader::open(&config.journal().dir).unwrap();
    let (mut inputs, mut decisions) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next().unwrap() {
        let header = entry.header;
        match header.kind {
            entry_kind::INPUT if header.flags & decision_flag::SHED != 0 => inputs.push(header.sequence),
            entry_kind::DECISION if header.lane == Lane::Payment.0 => {
                let record = DecisionRecord::read_from_bytes(entry.payload).unwrap();
                if record.flags & decision_flag::SHED != 0 {
                    assert!(record.flags & decision_flag::DEGRADED != 0 && record.score == 0.0);
                    decisions.push(record.sequence);
                }
            }
            _ => {}
        }
    }
    (inputs, decisions)
}

#[test]
fn flood_is_shed_in_order_and_a_run_of_the_journal_goes_by_what_it_says() {
    let (folder, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(PAYMENTS);
    let count = |light: &Light, name: &str| light.engine.counters().value(name).unwrap();
    let [shed_count, late, scored, degraded] = [
        "ingest.payment.shed",
        "ingest.payment.late",
        "score.scored",
        "score.degraded",
    ]
    .map(|name| count(&light, name));
    let transactions =
        (1..=PAYMENTS).filter(|number| !number.is_multiple_of(31) && !number.is_multiple_of(9));
    assert_eq!(count(&light, "score.shed"), shed_count);
    assert_eq!(
        scored + shed_count,
        transactions.count() as u64,
        "each is decided one way"
    );
    assert!(
        shed_count > 100 && scored > 10 && late == 0 && degraded == 0,
        "{shed_count} {scored}"
    );
    let digest = light.digest_at(PAYMENTS).digest;
    let hash = light.stop();

    let (inputs, decisions) = shed(&config);
    assert_eq!((inputs.len() as u64, &inputs), (shed_count, &decisions));
    copy_folder(folder.path(), whole.path());
    std::fs::remove_dir_all(whole.path().join("data/checkpoint")).unwrap();
    // No time is short now, and one thread is two.
    let mut again = support::config(whole.path());
    again.strategy = config.strategy.clone();
    let all = again.cores.threads[0].roles.clone();
    let (first, second) = all.split_at(4);
    again.cores.threads = [("front", first), ("back", second)]
        .map(|(name, roles)| ThreadConfig {
            name: name.to_owned(),
            roles: roles.to_vec(),
            ..again.cores.threads[0].clone()
        })
        .into();
    for config in [&config, &again] {
        let light = Light::start(config);
        assert_eq!(light.digest_at(PAYMENTS).digest, digest);
        assert_eq!(light.stop(), hash);
    }
}

#[test]
fn flood_gets_no_more_past_the_model_than_there_are_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.ingest.shedding.payments_per_s = 1;
    config.ingest.shedding.burst = 5;
    let mut light = Light::start(&config);
    light.run(2_000);
    let count = |name: &str| light.engine.counters().value(name).unwrap();
    let (shed, late) = (count("ingest.payment.shed"), count("ingest.payment.late"));
    assert!(
        (5..5 + PATIENCE.as_secs()).contains(&shed) && late > 100,
        "{shed} {late}"
    );
    light.stop();
}
