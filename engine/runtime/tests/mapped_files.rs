//! Counters and the error log are read by another process while they are written.
//!
//! The other process is this program again, told by [`ROLE`] and [`FOLDER`] what to do and where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use pinion_runtime::counters::{Counters, LABEL_LEN_MAX, REFUSED_LABEL, Reader};
use pinion_runtime::faults::{ErrorLog, ErrorLogReader, Fault, FaultKind};
use pinion_runtime::mapped::MappedFileError;

const ROLE: &str = "PINION_TEST_ROLE";
const FOLDER: &str = "PINION_TEST_FOLDER";

/// Starts this program again as `role`.
fn spawn(role: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test by itself: what the other process does.
#[test]
fn other_process() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    match role.as_str() {
        "reader" => read_until_done(&folder),
        "writer" => write_until_killed(&folder),
        role => panic!("unknown role {role}"),
    }
}

/// Reads what the first process writes until it says that it is done; the values never go back.
fn read_until_done(folder: &Path) {
    let reader = Reader::open(folder.join("counters")).unwrap();
    let mut last = 0;
    while reader.value("done") != Some(1) {
        for (label, _) in reader.list() {
            let is_whole =
                label == REFUSED_LABEL || label == "done" || label == "steps" || label == long_label(&label);
            assert!(is_whole, "torn label {label:?}");
        }
        let steps = reader.value("steps").unwrap();
        assert!(steps >= last, "{steps} after {last}");
        last = steps;
    }
    assert_eq!(reader.value("steps"), Some(100_000));
    assert_eq!(reader.heartbeat_ns(), 77);
    assert_ne!(reader.pid(), std::process::id());
    let faults = ErrorLogReader::open(folder.join("errors")).unwrap();
    let [fault] = &faults.list()[..] else {
        panic!("one kind of fault happened")
    };
    assert_eq!(
        (fault.name.as_str(), fault.count),
        (FaultKind::JournalSync.name(), 100)
    );
    assert_eq!((fault.first_ns, fault.last_ns, fault.detail), (1, 100, 5));
}

/// Holds the file until it is killed.
fn write_until_killed(folder: &Path) {
    let counters = Counters::create(folder.join("counters"), 4).unwrap();
    counters.counter("alive").increment();
    thread::sleep(Duration::from_secs(3_600));
}

/// A label as long as can be, told from others by the number it begins with.
fn long_label(label: &str) -> String {
    let number = label.split('.').next().unwrap_or_default();
    format!("{number}.{}", "x".repeat(LABEL_LEN_MAX - number.len() - 1))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not happen in 30 s");
}

#[test]
fn another_process_reads_counters_and_faults_while_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Counters::create(folder.path().join("counters"), 300).unwrap();
    let errors = ErrorLog::create(folder.path().join("errors")).unwrap();
    let (steps, done) = (counters.counter("steps"), counters.counter("done"));
    (1..=100).for_each(|now_ns| errors.record(Fault::new(FaultKind::JournalSync, 5), now_ns));
    counters.heartbeat(77);
    let mut reader = spawn("reader", folder.path());
    for step in 0..100_000 {
        if step % 500 == 0 {
            counters.counter(&long_label(&step.to_string())).set(step);
            thread::yield_now();
        }
        steps.increment();
    }
    done.set(1);
    assert!(reader.wait().unwrap().success());
}

#[test]
fn file_of_a_living_process_is_refused_and_that_of_a_dead_one_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters");
    let mut writer = spawn("writer", folder.path());
    wait_until("the other process counts", || {
        Reader::open(&path).is_ok_and(|reader| reader.value("alive") == Some(1))
    });
    assert!(matches!(
        Counters::create(&path, 4),
        Err(MappedFileError::InUse { .. })
    ));
    writer.kill().unwrap();
    writer.wait().unwrap();
    let old = Reader::open(&path).unwrap();
    assert_eq!(old.pid(), writer.id());
    let counters = Counters::create(&path, 4).unwrap();
    assert_eq!(Reader::open(&path).unwrap().pid(), std::process::id());
    assert_eq!(counters.value("alive"), None);
    assert_eq!(old.value("alive"), Some(1), "who reads the old file keeps it");
}

#[test]
fn file_is_refused_while_a_counter_of_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters");
    let counter = Counters::create(&path, 1).unwrap().counter("one");
    let message = Counters::create(&path, 1).err().unwrap().to_string();
    assert!(
        message
            .ends_with("is being written by another process, expected none: is the engine already running?")
    );
    drop(counter);
    assert!(Counters::create(&path, 1).is_ok());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing else is left behind"
    );
}

#[test]
fn same_label_gives_the_same_cell() {
    let counters = Counters::in_memory(2);
    counters.counter("one").add(3);
    counters.counter("one").increment();
    assert_eq!(
        counters.list(),
        [(REFUSED_LABEL.to_owned(), 0), ("one".to_owned(), 4)]
    );
}

#[test]
fn label_without_room_is_counted_and_still_counts() {
    let counters = Counters::in_memory(1);
    counters.counter("first").increment();
    let second = counters.counter("second");
    second.add(7);
    assert_eq!(second.get(), 7);
    assert_eq!(counters.refused_count(), 1);
    assert_eq!(counters.value("first"), Some(1));
    assert_eq!(counters.value("second"), None);
}

#[test]
fn labels_of_every_length_are_read_back() {
    let counters = Counters::in_memory(LABEL_LEN_MAX);
    let labels: Vec<String> = (1..=LABEL_LEN_MAX)
        .map(|len| "ü".repeat(len / 2) + &"y".repeat(len % 2))
        .collect();
    labels
        .iter()
        .for_each(|label| counters.counter(label).set(label.len() as u64));
    let listed = counters.list();
    assert_eq!(listed.len(), labels.len() + 1);
    for (label, (listed, value)) in labels.iter().zip(&listed[1..]) {
        assert_eq!((listed, *value), (label, label.len() as u64));
    }
}

#[test]
#[should_panic(expected = "has 1 to 128 bytes")]
fn label_that_is_too_long_is_a_broken_invariant() {
    Counters::in_memory(1).counter(&"x".repeat(LABEL_LEN_MAX + 1));
}

#[test]
fn count_wraps_and_does_not_panic() {
    let counter = Counters::in_memory(1).counter("one");
    counter.set(u64::MAX);
    counter.increment();
    assert_eq!(counter.get(), 0);
}

#[test]
fn threads_register_side_by_side() {
    let counters = Counters::in_memory(400);
    thread::scope(|scope| {
        for thread in 0..4 {
            let counters = counters.clone();
            scope.spawn(move || (0..100).for_each(|n| counters.counter(&format!("{thread}.{n}")).set(n)));
        }
    });
    assert_eq!(counters.list().len(), 401);
    assert_eq!(counters.value("3.99"), Some(99));
}

/// What opening a file of `words` says, with its path cut off.
fn refusal(words: &[u64]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(
        &path,
        words
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    let message = Reader::open(&path).err().unwrap().to_string();
    message
        .strip_prefix(&format!("{} ", path.display()))
        .unwrap()
        .to_owned()
}

#[test]
fn file_that_is_none_of_ours_is_refused_with_what_was_found() {
    let magic = u64::from_le_bytes(*b"PINCOUNT");
    let file = |magic, version, counters_max| {
        let mut words = [0; 16];
        words[..3].copy_from_slice(&[magic, version, counters_max]);
        words
    };
    assert_eq!(refusal(&[]), "is 0 bytes long, expected 128");
    assert_eq!(
        refusal(&file(1, 1, 0)),
        "begins with 0x0000000000000001, expected 0x544e554f434e4950"
    );
    assert_eq!(refusal(&file(magic, 2, 0)), "has layout version 2, expected 1");
    assert_eq!(refusal(&file(magic, 1, 1)), "is 128 bytes long, expected 320");
    assert!(refusal(&file(magic, 1, u64::MAX)).starts_with("is 128 bytes long, expected "));
}

#[test]
fn count_beyond_the_file_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    drop(Counters::create(&path, 2).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[40..48].copy_from_slice(&u64::MAX.to_ne_bytes());
    fs::write(&path, bytes).unwrap();
    assert_eq!(Reader::open(&path).unwrap().list().len(), 3);
}

#[test]
fn missing_folder_is_named() {
    let message = Counters::create("/nowhere/to/be/found", 1)
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.starts_with("cannot create /nowhere/to/be/found."),
        "{message}"
    );
    let message = Reader::open("/nowhere/to/be/found").err().unwrap().to_string();
    assert!(
        message.starts_with("cannot open /nowhere/to/be/found: "),
        "{message}"
    );
}

#[test]
fn file_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("errors");
    let _errors = ErrorLog::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}
