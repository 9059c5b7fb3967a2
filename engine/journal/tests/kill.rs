//! A writer process killed at random moments: what it reported as written is there, and it can go on.

mod support;

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pinion_journal::{FsyncPolicy, Tail, recover};
use support::*;

const DIR_KEY: &str = "PINION_TEST_JOURNAL_DIR";
const ROUNDS: u64 = 40;

fn policy(round: u64) -> FsyncPolicy {
    [FsyncPolicy::Never, FsyncPolicy::Interval, FsyncPolicy::EveryBatch][round as usize % 3]
}

/// The process that will be killed: continues the journal and says how far it is written.
fn write_until_killed(dir: &Path) {
    let round: u64 = env::var("PINION_TEST_ROUND").unwrap().parse().unwrap();
    let mut config = config(dir, policy(round));
    config.fsync_interval_ms = 1;
    let first = recover(&config).unwrap().last_index + 1;
    let mut session = Session::start(&config);
    let mut out = std::io::stdout().lock();
    for index in first..first + 3000 {
        session.write(&input(index));
        writeln!(out, "written {}", session.journal.position().written_index()).unwrap();
    }
    loop {
        thread::park();
    }
}

/// Runs the writer, kills it after `delay` and returns what it last reported.
fn run_and_kill(dir: &Path, round: u64, delay: Duration) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "killed_writer_loses_nothing_it_reported",
            "--nocapture",
        ])
        .env(DIR_KEY, dir)
        .env("PINION_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let reports = thread::spawn(move || {
        let numbers = lines.split(b'\n').map_while(Result::ok);
        // The last line may be cut off; a number without its end is not a report, and smaller anyway.
        numbers
            .filter_map(|line| {
                String::from_utf8(line)
                    .ok()?
                    .strip_prefix("written ")?
                    .parse()
                    .ok()
            })
            .max()
            .unwrap_or(0)
    });
    thread::sleep(delay);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    reports.join().unwrap()
}

#[test]
fn killed_writer_loses_nothing_it_reported() {
    if let Some(dir) = env::var_os(DIR_KEY) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut written = 0;
    for round in 0..ROUNDS {
        // Early ones hit the recovery and the first segment, later ones the writing.
        let delay = Duration::from_micros(1500 + (round * 7919) % 60_000);
        let reported: u64 = run_and_kill(dir.path(), round, delay);
        written = reported.max(written);
        let recovery = recover(&config(dir.path(), policy(round))).unwrap();
        assert!(
            recovery.last_index >= written,
            "round {round}: {} of {written}",
            recovery.last_index
        );
        written = recovery.last_index;
        let (items, tail) = read_all(dir.path()).unwrap();
        assert_eq!(tail, Tail::Clean);
        assert!(
            items.iter().zip(1..).all(|(item, index)| *item == input(index)),
            "round {round}"
        );
        assert_eq!(items.len() as u64, written);
    }
    println!("{ROUNDS} kills, {written} entries, none lost");
    assert!(written > 0, "every round was killed before it wrote");
}
