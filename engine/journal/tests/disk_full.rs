//! A disk that takes no more: the journal stops with a clear error, the process lives.
//!
//! Stood in for by the limit on a file's size, which needs no privileges: a process of its own sets it.
#![allow(unsafe_code)] // two calls of the C library without a safe wrapper

mod support;

use std::env;
use std::path::Path;
use std::process::Command;

use pinion_journal::{FailureKind, FsyncPolicy, Gate, GateMode, Identity, Tail};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::faults::FaultKind;
use support::*;

const DIR_KEY: &str = "PINION_TEST_JOURNAL_DIR";

/// Lets no file of this process grow or be written beyond `len` bytes.
fn limit_file_len(len: u64) {
    let limit = libc::rlimit {
        rlim_cur: len,
        rlim_max: len,
    };
    // SAFETY: the default action of the signal would end the process; to ignore it is always allowed.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: `limit` is a valid rlimit that lives during the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    assert_eq!(result, 0);
}

/// Runs `test` again in a process of its own, over `dir`.
fn run_alone(test: &str, dir: &Path) {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR_KEY, dir)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Writes until the journal stops, and checks that it does so for good.
fn write_until_stopped(mut session: Session, kind: FailureKind) {
    let progress = session.journal.position();
    let gate = Gate::new(GateMode::Written, session.journal.position());
    let mut index = 100;
    while progress.failure().is_none() {
        index += 1;
        session.write(&input(index));
    }
    let failure = progress.failure().unwrap();
    assert_eq!((failure.kind, failure.os_error), (kind, libc::EFBIG));
    let message = failure.to_string();
    assert!(
        message.starts_with(&format!("journal: could not {kind} segment ")),
        "{message}"
    );
    assert!(message.contains("File too large"), "{message}");
    assert!(!gate.covers(1));
    assert_eq!(session.faults.count(FaultKind::JournalWrite), 1);
    assert_eq!(session.counters.value("journal.failed"), Some(1));

    let written = progress.written_position();
    assert!(session.inputs.try_write(&input(1).header(), &input(1).payload));
    assert_eq!(session.journal.do_work(1), 0);
    session.journal.on_close();
    assert_eq!(
        (progress.written_position(), progress.failure()),
        (written, Some(failure))
    );
    assert_eq!(session.faults.count(FaultKind::JournalWrite), 1, "not retried");
}

#[test]
fn full_disk_under_a_batch_stops_the_journal() {
    if let Some(dir) = env::var_os(DIR_KEY) {
        let session = Session::start(&config(Path::new(&dir), FsyncPolicy::Interval));
        limit_file_len(9000);
        write_until_stopped(session, FailureKind::Write);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_alone("full_disk_under_a_batch_stops_the_journal", dir.path());
    // The limit is gone, as if room had been made: what was acknowledged is there and the journal goes on.
    let config = config(dir.path(), FsyncPolicy::Interval);
    let (before, _) = read_all(dir.path()).unwrap();
    assert!(!before.is_empty());
    record(&config, &[input(1000)], true);
    let (after, tail) = read_all(dir.path()).unwrap();
    assert_eq!((after.len(), tail), (before.len() + 1, Tail::Clean));
}

#[test]
fn full_disk_under_the_next_segment_stops_the_journal() {
    if let Some(dir) = env::var_os(DIR_KEY) {
        let mut config = config(Path::new(&dir), FsyncPolicy::Interval);
        config.segment_len = 65_536;
        limit_file_len(20_000);
        write_until_stopped(Session::start(&config), FailureKind::Prepare);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Interval);
    record(&config, &[input(100)], true);
    run_alone("full_disk_under_the_next_segment_stops_the_journal", dir.path());
    assert_eq!(
        segment_files(dir.path()).len(),
        1,
        "the unfinished segment is removed"
    );
    let (items, tail) = read_all(dir.path()).unwrap();
    assert!(items.len() > 10 && tail == Tail::Clean);
}

#[test]
fn full_disk_at_the_start_is_an_error_with_the_path() {
    if let Some(dir) = env::var_os(DIR_KEY) {
        limit_file_len(1000);
        let config = config(Path::new(&dir), FsyncPolicy::Interval);
        let error = Session::try_start(&config, &Identity::default()).err().unwrap();
        let message = error.to_string();
        assert!(
            message.contains("0000000000000001.segment") && message.contains("create"),
            "{message}"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_alone("full_disk_at_the_start_is_an_error_with_the_path", dir.path());
    assert_eq!(segment_files(dir.path()).len(), 0);
}
