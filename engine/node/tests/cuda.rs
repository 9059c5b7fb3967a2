//! `score.backend = "cuda"`: refused where there is no GPU, and elsewhere a back end that nobody can tell from "native".

mod support;

use std::sync::Arc;

use pinion_journal::Reader;
use pinion_node::bus::InProcess;
use pinion_node::feature_sets::InForce;
use pinion_node::replica::copy_into_fresh;
use pinion_node::{Config, Engine, Replica};
use pinion_runtime::pace::Pace;
use pinion_runtime::state::digest;
use pinion_schemas::records::FeatureRecord;
use pinion_score::device::{Device, DeviceBank, Libraries, Searches, Sizes};
use pinion_score::manifest::{ModelFolder, locate};
use pinion_score::{Backend, Scorer};
use pinion_transport::in_process::InProcessBus;
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// The sentence that `pinion model bench --device cuda` gives, too.
#[test]
fn engine_without_a_gpu_is_refused_at_its_start_with_one_sentence() {
    let Err(reason) = pinion_score::library::cuda::find(&Libraries::default()) else {
        return; // There is one.
    };
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.score.backend = Backend::Cuda;
    let started = Engine::start_on(&config, &probe(), InProcess(InProcessBus::new()));
    let said = started.err().unwrap().to_string();
    let expected =
        format!("score.backend is \"cuda\", expected \"native\", which gives the same scores: {reason}");
    assert!(said.ends_with(&expected), "{said}");
}

/// What the engine begins with comes from a replica that scores natively; a device, here the CPU, then has the replica's
/// cases and not the model's.
#[test]
fn scorer_on_a_device_begins_where_a_replica_is_and_goes_on_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(1_500);
    light.stop();
    // A replica of an engine with a GPU needs none.
    config.score.backend = Backend::Cuda;
    let set = Arc::new(config.features.load_set().unwrap());
    let mut replica = Replica::with_cases(&config, &[InForce::always(set)]).unwrap();
    let mut inputs = Reader::open(&config.journal().dir).unwrap();
    replica.run(&mut inputs, 900, usize::MAX, |_, _| ()).unwrap();
    let mut scorer = on_device(&config);
    scorer.prepare().unwrap();
    copy_into_fresh(replica.scorer().unwrap(), &mut scorer, Pace::NONE);
    let mut expected = Vec::new();
    let mut records = Vec::new();
    let taken = replica.run_scored(&mut inputs, u64::MAX, usize::MAX, |payment, features, score| {
        expected.push(*score);
        records.push(FeatureRecord {
            payment: *payment,
            features: *features,
        });
    });
    taken.unwrap();
    let mut found = Vec::new();
    for batch in records.chunks(32) {
        scorer.apply_all(batch, |_, score| found.push(score));
    }
    assert_eq!(found, expected);
    assert_eq!(digest(&scorer), digest(replica.scorer().unwrap()));
    let Searches { proved, left, failed } = scorer.take_searches().unwrap();
    assert!(
        proved > 9 * left && proved > 100 && failed == 0,
        "{proved} {left}"
    );
}

fn on_device(config: &Config) -> Scorer {
    let model = ModelFolder::open(&locate(config.score.model.as_ref()).unwrap()).unwrap();
    let sizes = Sizes {
        rows_max: config.score.bank.rows_max,
        batch: 32,
        proposals: 1_024,
        threads: 1,
    };
    let device = DeviceBank::open(Device::Cpu, &Libraries::default(), &model, &sizes).unwrap();
    let scorer = Scorer::load(&config.score.on_cpu(), |_| Some(model.feature_set_hash)).unwrap();
    scorer.with_device(device)
}
