//! A process killed at random moments while it writes or opens: what it reported is there, whole, and it goes on.
//!
//! `PINION_KILLS` is the number of kills per store and test, 40 if it is not set.

mod support;

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pinion_checkpoint::{Backend, Writer};
use support::*;

const DIR_KEY: &str = "PINION_TEST_CHECKPOINT_DIR";
const BACKEND_KEY: &str = "PINION_TEST_CHECKPOINT_BACKEND";

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

fn kills() -> u64 {
    env::var("PINION_KILLS").map_or(40, |text| text.parse().unwrap())
}

/// The directory and library that the parent named, if this is the process that will be killed.
fn orders() -> Option<(std::path::PathBuf, Backend)> {
    let dir = env::var_os(DIR_KEY)?;
    let is_redb = env::var(BACKEND_KEY).unwrap() == "redb";
    Some((dir.into(), if is_redb { Backend::Redb } else { Backend::Sled }))
}

/// Goes on from the checkpoint, one for each event, and says which are written.
fn write_until_killed(dir: &Path, backend: Backend) {
    let config = config(dir, backend);
    let (mut model, _) = restore(&config, NO_LIMITS);
    let mut writer = Writer::new(&config, &identity());
    let mut out = std::io::stdout().lock();
    loop {
        model.step();
        write(&mut writer, &model);
        writeln!(out, "written {}", model.sequence).unwrap();
    }
}

/// When a process is killed.
#[derive(Clone, Copy)]
enum When {
    /// This long after its start.
    AfterStart(Duration),
    /// This long after its first report.
    AfterReport(Duration),
}

/// Runs `test` in a process of its own, kills it and returns what it last reported.
fn run_and_kill(test: &str, dir: &Path, backend: Backend, when: When) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR_KEY, dir)
        .env(BACKEND_KEY, backend.name())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The last line may be cut off; a number without its end is smaller.
    let mut reports = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("written ")?.parse().ok());
    let delay = match when {
        When::AfterStart(delay) => delay,
        When::AfterReport(delay) => {
            reports.next().expect("it reports");
            delay
        }
    };
    let rest = thread::spawn(move || reports.max().unwrap_or(0));
    thread::sleep(delay);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    rest.join().unwrap()
}

fn check_killed_writer(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let mut written = 0;
    let mut moves = 0;
    for round in 0..kills() {
        let delay = |max| Duration::from_micros(mix(round) % max);
        let when = match round % 4 {
            0 => When::AfterStart(delay(150_000)),
            _ => When::AfterReport(delay(50_000)),
        };
        let reported = run_and_kill(
            "killed_writer_leaves_a_whole_checkpoint",
            dir.path(),
            backend,
            when,
        );
        let (sequence, outcome) = check_whole(&config(dir.path(), backend), &format!("round {round}"));
        assert_eq!(outcome.refused, [], "round {round}");
        assert!(
            sequence >= written.max(reported),
            "round {round}: {sequence} of {reported}"
        );
        moves += u64::from(sequence > written);
        written = sequence;
    }
    println!(
        "{backend:?}: {} kills, {written} checkpoints, {moves} rounds wrote, none lost",
        kills()
    );
    assert!(written > 0, "every round was killed before it wrote");
}

#[test]
fn killed_writer_leaves_a_whole_checkpoint() {
    match orders() {
        Some((dir, backend)) => write_until_killed(&dir, backend),
        None => BACKENDS.into_iter().for_each(check_killed_writer),
    }
}

/// Opens the store, writes nothing new, closes it, and so on.
fn open_until_killed(dir: &Path, backend: Backend) {
    let config = config(dir, backend);
    let model = Model::at(40);
    println!("written 0");
    loop {
        write(&mut Writer::new(&config, &identity()), &model);
    }
}

fn check_killed_opener(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), backend);
    let mut writer = Writer::new(&config, &identity());
    let mut model = Model::new();
    while model.sequence < 40 {
        model.step();
        write(&mut writer, &model);
    }
    drop(writer);
    for round in 0..kills() {
        let when = When::AfterReport(Duration::from_micros(mix(round) % 60_000));
        run_and_kill("killed_while_it_opens_nothing_is_lost", dir.path(), backend, when);
        let (sequence, outcome) = check_whole(&config, &format!("round {round}"));
        let found = (sequence, outcome.refused.len());
        assert_eq!(found, (40, 0), "{backend:?}, round {round}: {outcome:?}");
    }
}

#[test]
fn killed_while_it_opens_nothing_is_lost() {
    match orders() {
        Some((dir, backend)) => open_until_killed(&dir, backend),
        None => BACKENDS.into_iter().for_each(check_killed_opener),
    }
}
