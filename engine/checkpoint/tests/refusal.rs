//! Checkpoints that are whole and must not be used, and what sits in the place of one.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use pinion_checkpoint::{
    Backend, CheckpointConfig, Identity, Limits, Outcome, PROBE_KEY, Probe, Reason, Source, Writer,
    restore_by,
};
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// A store with the checkpoint of `sequence`.
fn with_checkpoint(backend: Backend, sequence: u64) -> (tempfile::TempDir, CheckpointConfig) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), backend);
    write(&mut Writer::new(&config, &identity()), &Model::at(sequence));
    (dir, config)
}

/// Restores and checks that the state was left alone; the reasons in order, and whether anything was moved.
#[track_caller]
fn check_refused(probe: &Probe, config: &CheckpointConfig, identity: &Identity, limits: Limits) -> Outcome {
    let mut model = Model::new();
    let outcome = restore_by(probe, config, identity, limits, &mut model);
    assert_eq!(outcome.restored, None);
    assert!(model == Model::new(), "the state was touched");
    outcome
}

#[test]
fn checkpoint_of_another_engine_is_foreign_and_stays() {
    for backend in BACKENDS {
        let (_dir, config) = with_checkpoint(backend, 9);
        let other = Identity {
            set_hash: 99,
            ..identity()
        };
        let outcome = check_refused(&probe(), &config, &other, NO_LIMITS);
        let [refusal] = outcome.refused.as_slice() else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            refusal.reason.to_string(),
            "foreign: its set hash is 22, expected 99"
        );
        assert_eq!(refusal.moved_to, None);
        assert_eq!(check_whole(&config, "its own engine").0, 9);

        // The first write of the other engine takes its place as a whole.
        let model = Model::at(3);
        let written = Writer::new(&config, &other).write(&model, mark(3)).unwrap();
        assert!(written.removed > 0 && written.manifest.generation == 2);
        let mut restored = Model::new();
        let outcome = restore_by(&probe(), &config, &other, NO_LIMITS, &mut restored);
        assert!(
            outcome.restored.is_some() && outcome.refused.is_empty(),
            "{outcome:?}"
        );
        restored.sequence = 3;
        assert!(restored == model);
    }
}

#[test]
fn other_builds_checkpoint_is_used() {
    let (_dir, config) = with_checkpoint(Backend::Sled, 9);
    let newer = Identity {
        build: "newer".to_owned(),
        ..identity()
    };
    let outcome = restore_by(&probe(), &config, &newer, NO_LIMITS, &mut Model::new());
    assert_eq!(outcome.restored.unwrap().manifest.identity.build, "test");
}

#[test]
fn checkpoint_ahead_of_the_journal_is_moved_aside() {
    for backend in BACKENDS {
        let (_dir, config) = with_checkpoint(backend, 9);
        let outcome = check_refused(&probe(), &config, &identity(), limits(8));
        let refusal = &outcome.refused[0];
        assert_eq!(
            refusal.reason.to_string(),
            "ahead of the journal: its position is 1152, expected at most 1024"
        );
        assert!(refusal.moved_to.as_ref().unwrap().is_dir());
        // A journal that has grown past it since may be another one.
        assert_eq!(check_whole(&config, "grown"), (0, Outcome::default()));
    }
}

#[test]
fn checkpoint_ahead_of_the_decisions_gives_way_to_an_older_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let config = CheckpointConfig {
        snapshot_every: 5,
        ..config(dir.path(), Backend::Sled)
    };
    let mut writer = Writer::new(&config, &identity());
    for sequence in 1..=12 {
        write(&mut writer, &Model::at(sequence));
    }
    drop(writer);
    let decided = |decided_sequence| Limits {
        decided_sequence,
        ..NO_LIMITS
    };
    let (model, outcome) = restore(&config, decided(11));
    assert!(model == Model::at(10));
    assert_eq!(outcome.restored.unwrap().source, Source::Snapshot);
    let expected = Reason::AheadOfDecisions {
        sequence: 12,
        decided_sequence: 11,
    };
    assert_eq!(
        (&outcome.refused[0].reason, &outcome.refused[0].moved_to),
        (&expected, &None)
    );
    assert_eq!(
        restore(&config, decided(12)).0.sequence,
        12,
        "it is used once they are recorded"
    );
    assert_eq!(restore(&config, decided(9)).0.sequence, 5, "the older snapshot");
    assert_eq!(restore(&config, decided(4)).0.sequence, 0, "none is old enough");
}

#[test]
fn nothing_there_is_no_refusal() {
    let dir = tempfile::tempdir().unwrap();
    for backend in BACKENDS {
        let config = config(&dir.path().join("none"), backend);
        assert_eq!(
            check_refused(&probe(), &config, &identity(), NO_LIMITS),
            Outcome::default()
        );
    }
}

#[test]
fn switched_off_looks_at_nothing() {
    let (_dir, mut config) = with_checkpoint(Backend::Sled, 9);
    config.enabled = false;
    assert_eq!(
        check_refused(&probe(), &config, &identity(), NO_LIMITS),
        Outcome::default()
    );
}

#[test]
fn anything_in_the_place_of_a_store_is_survived() {
    let (redb, _) = with_checkpoint(Backend::Redb, 9);
    let (sled, _) = with_checkpoint(Backend::Sled, 9);
    let redb_file = fs::read(redb.path().join(main_file(Backend::Redb))).unwrap();
    let sled_file = fs::read(sled.path().join(main_file(Backend::Sled))).unwrap();
    let mut noise = vec![0; 300_000];
    fill(&mut noise, 5);
    for backend in BACKENDS {
        for (name, bytes) in [("redb", &redb_file), ("sled", &sled_file), ("noise", &noise)] {
            if name == backend.name() {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let config = config(dir.path(), backend);
            let path = dir.path().join(main_file(backend));
            fs::create_dir(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::write(path.with_file_name("conf"), "what is this").unwrap();
            fs::write(path.with_file_name("snap.0000000000000000"), "and this").unwrap();
            let outcome = check_refused(&probe(), &config, &identity(), NO_LIMITS);
            println!("{backend:?} finds {name}: {:?}", outcome.refused);
            write(&mut Writer::new(&config, &identity()), &Model::at(4));
            assert_eq!(check_whole(&config, name).0, 4);
        }
    }
}

#[test]
fn summary_that_sled_did_not_finish_is_no_damage() {
    let (_dir, config) = with_checkpoint(Backend::Sled, 4);
    // As a process leaves it that is killed while it opens.
    fs::write(config.dir.join("sled/snap.00000000FFFFFFFF.generating"), b"torn").unwrap();
    let (model, outcome) = restore(&config, NO_LIMITS);
    assert_eq!((model.sequence, outcome.refused), (4, vec![]));
}

#[test]
fn file_in_the_place_of_the_directory_is_moved_aside() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), backend);
        fs::write(dir.path().join(backend.name()), "a file").unwrap();
        let outcome = check_refused(&probe(), &config, &identity(), NO_LIMITS);
        assert!(outcome.refused[0].moved_to.is_some(), "{outcome:?}");
        write(&mut Writer::new(&config, &identity()), &Model::at(4));
        assert_eq!(check_whole(&config, "afterwards").0, 4);
    }
}

#[test]
fn open_that_hangs_is_ended_at_the_deadline() {
    let (dir, mut config) = with_checkpoint(Backend::Sled, 9);
    config.open_ms_max = 300;
    // A pipe that nobody writes to: opening it to read waits for ever.
    let settings = dir.path().join("sled/conf");
    fs::remove_file(&settings).unwrap();
    assert!(Command::new("mkfifo").arg(&settings).status().unwrap().success());
    let outcome = check_refused(&probe(), &config, &identity(), NO_LIMITS);
    let refusal = &outcome.refused[0];
    assert_eq!(refusal.reason, Reason::Silent { ms: 2300 });
    assert!(refusal.moved_to.is_some());
}

/// Runs as a probe that greets and dies.
#[test]
fn probe_that_dies() {
    if std::env::var_os(PROBE_KEY).is_some() {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        fs::File::from(socket).write_all(&[1, 0, 0, 0, 0]).unwrap();
        std::process::abort();
    }
}

#[test]
fn death_of_the_process_that_opens_is_a_refusal() {
    let (_dir, config) = with_checkpoint(Backend::Sled, 9);
    let outcome = check_refused(&probe_by("probe_that_dies"), &config, &identity(), NO_LIMITS);
    let refusal = &outcome.refused[0];
    assert!(
        matches!(&refusal.reason, Reason::Died(how) if how.contains("signal: 6")),
        "{outcome:?}"
    );
    assert!(refusal.moved_to.is_some());
}

#[test]
fn program_that_is_no_probe_costs_no_checkpoint() {
    let (_dir, config) = with_checkpoint(Backend::Sled, 9);
    for program in ["true", "none-such"] {
        let stranger = Probe {
            program: Some(PathBuf::from(program)),
            arguments: Vec::new(),
        };
        let outcome = check_refused(&stranger, &config, &identity(), NO_LIMITS);
        let refusal = &outcome.refused[0];
        assert!(matches!(refusal.reason, Reason::Unreachable(_)), "{outcome:?}");
        assert_eq!(refusal.moved_to, None);
    }
    assert_eq!(check_whole(&config, "a probe").0, 9);
}

#[test]
fn store_in_use_is_refused_and_stays() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), backend);
        let mut writer = Writer::new(&config, &identity());
        write(&mut writer, &Model::at(9));
        let outcome = check_refused(&probe(), &config, &identity(), NO_LIMITS);
        assert_eq!(outcome.refused[0].reason, Reason::Locked, "{backend:?}");
        assert_eq!(outcome.refused[0].moved_to, None);
        drop(writer);
        assert_eq!(check_whole(&config, "let go").0, 9);
    }
}
