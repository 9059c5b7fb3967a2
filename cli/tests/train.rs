//! `pinion model train`: what is missing is told in a sentence, the trainer's exit code is passed on, and where its
//! packages are installed already, a model comes out that the engine takes.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use support::{Room, root};

/// A stand-in for Python: knows its version, makes an environment with itself inside, installs, trains.
/// Written with what pip and the trainer end with.
fn stand_in(room: &Room, version: &str, pip: u8, training: u8) {
    let text = format!(
        "#!/bin/sh\n\
         case \"$1 $2\" in\n\
         '-c '*) echo '{version}' ;;\n\
         '-m venv') mkdir -p \"$4/bin\" && cp \"$0\" \"$4/bin/python\" && echo made ;;\n\
         '-m pip') echo collecting; exit {pip} ;;\n\
         *) shift; echo \"trained $*\"; exit {training} ;;\n\
         esac\n"
    );
    room.write("python", &text);
    let path = room.path("python");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn train(room: &Room, more: &[&str]) -> Output {
    let trainer = root().join("models/train").display().to_string();
    let words = [
        "model",
        "train",
        "--features",
        "vectors",
        "--out",
        "mine",
        "--trainer",
        &trainer,
    ];
    let words = [&words, more].concat();
    room.command(&words).output().unwrap()
}

fn with_stand_in(room: &Room, more: &[&str]) -> Output {
    let words = ["--python", "./python", "--environment", "environment"];
    train(room, &[&words, more].concat())
}

#[track_caller]
fn check_refused(output: &Output, expected: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        last.starts_with("error: ") && last.contains(expected),
        "expected {expected:?} in: {stderr}"
    );
}

#[test]
fn missing_trainer_is_told_with_the_places_searched() {
    let room = Room::new("train-trainer");
    let words = "model train --features vectors --out mine --trainer no/trainer";
    let output = room
        .command(&words.split(' ').collect::<Vec<_>>())
        .output()
        .unwrap();
    check_refused(
        &output,
        "--trainer is no/trainer, expected a folder with train.py at one of: ",
    );
}

#[test]
fn missing_vectors_and_settings_are_told_before_anything_is_made() {
    let room = Room::new("train-vectors");
    let output = with_stand_in(&room, &[]);
    check_refused(&output, "--features is vectors, expected a folder or a file");
    std::fs::create_dir(room.path("vectors")).unwrap();
    let output = with_stand_in(&room, &["--config", "none.toml"]);
    check_refused(&output, "--config is none.toml, expected a file");
    assert!(!room.path("environment").exists());
}

#[test]
fn missing_and_old_pythons_are_told() {
    let room = Room::new("train-python");
    std::fs::create_dir(room.path("vectors")).unwrap();
    let output = train(&room, &["--python", "no-python", "--environment", "environment"]);
    check_refused(&output, "--python is no-python, expected Python 3.11 or later: ");
    for (version, expected) in [("3 9", "it is 3.9"), ("", "it does not say its version")] {
        stand_in(&room, version, 0, 0);
        check_refused(&with_stand_in(&room, &[]), expected);
    }
}

#[test]
fn failing_pip_is_told_and_tried_again_the_next_time() {
    let room = Room::new("train-pip");
    std::fs::create_dir(room.path("vectors")).unwrap();
    stand_in(&room, "3 12", 1, 0);
    for _ in 0..2 {
        let output = with_stand_in(&room, &[]);
        check_refused(
            &output,
            "failed with exit status: 1, expected the packages of the trainer to be installed",
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
}

#[test]
fn output_and_exit_code_are_the_trainers_and_the_environment_is_made_once() {
    let room = Room::new("train-code");
    std::fs::create_dir(room.path("vectors")).unwrap();
    stand_in(&room, "3 12", 0, 7);
    for is_first in [true, false] {
        let output = with_stand_in(&room, &["--precision", "int8", "--name", "m"]);
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "trained --features vectors --out mine --precision int8 --name m\n"
        );
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            stderr.contains("making a Python environment in "),
            is_first,
            "{stderr}"
        );
    }
}

#[test]
fn exported_features_become_a_model_that_the_engine_takes() {
    if !root().join(".tools/trainer/requirements.txt").is_file() {
        eprintln!("skipped: .tools/trainer is not there; `pinion model train` makes it");
        return;
    }
    let room = Room::new("train-whole");
    let days = "generate payments --customers 150 --days 30 --seed 3 --out days.csv";
    let set = root().join("features/payments-v2.toml").display().to_string();
    let export = format!("export features --in days.csv --set {set} --out vectors");
    for line in [days, &export] {
        room.stdout(&line.split(' ').collect::<Vec<_>>(), 0);
    }
    room.write(
        "settings.toml",
        "[split]\nwarm_up_days = 2\ntrain_days = 12\nvalidation_days = 4\ntest_days = 5\n\
         [recipe]\npieces = 4\nhidden = [16]\ndimensions = 8\nepochs = 2\nbatch = 128\n\
         [bank]\nrows = 300\nneighbours = 16\ntemperatures = [0.1]\n",
    );
    let output = train(&room, &["--config", "settings.toml", "--precision", "int8"]);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("mine: test_transactions "), "{stdout}");
    assert!(stdout.contains("\n| int8 | "), "{stdout}");
    let model = format!("score.model={}", room.path("mine").display());
    let shown = room.stdout(&["features", "check", "--set", &model, &set], 0);
    assert!(shown.contains("mine version 1 takes it"), "{shown}");
}
