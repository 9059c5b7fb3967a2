//! A publisher that none of this code wrote: Python with `pyaeron` and `flatbuffers`, in a process of its own.
//! Skipped with a note where there is no Python 3.12 or later, or its packages cannot be had.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use support::{Room, root};

/// Events of each kind that the publisher sends.
const COUNT: u64 = 200;
/// The oldest Python that `pyaeron` runs on.
const MINOR_MIN: u32 = 12;

fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--config", "pinion.toml", "--output", "json"]].concat()
}

/// Pythons by name, and those that pyenv keeps.
fn pythons() -> Vec<PathBuf> {
    let named = ["python3.15", "python3.14", "python3.13", "python3.12", "python3"];
    let mut pythons: Vec<PathBuf> = named.map(PathBuf::from).into();
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let kept = pyenv.and_then(|pyenv| std::fs::read_dir(pyenv.join("versions")).ok());
    for version in kept.into_iter().flatten().flatten() {
        pythons.push(version.path().join("bin/python3"));
    }
    pythons
}

/// The first Python that is young enough.
fn python() -> Option<PathBuf> {
    let test = format!("import sys, venv; sys.exit(not (3, {MINOR_MIN}) <= sys.version_info < (3, 16))");
    pythons().into_iter().find(|python| {
        let output = Command::new(python).args(["-c", &test]).output();
        output.is_ok_and(|output| output.status.success())
    })
}

/// Runs it; what it printed last is told if it fails.
fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(stderr.lines().last().unwrap_or("it said nothing").to_owned())
}

/// A Python with the packages of the example, made once.
fn environment(python: &Path, example: &Path) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-publisher");
    let own = folder.join("bin/python3");
    run(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(&own);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]);
    pip.args(["--timeout", "20", "--retries", "1", "--requirement"]);
    run(pip.arg(example.join("requirements.txt")))?;
    Ok(own)
}

#[test]
fn a_publisher_in_python_gets_an_answer_to_every_payment() {
    let example = root().join("examples/python-publisher");
    let Some(python) = python() else {
        println!("skipped: no Python 3.{MINOR_MIN} or later is at hand");
        return;
    };
    let python = match environment(&python, &example) {
        Ok(python) => python,
        Err(error) => {
            println!("skipped: {} has no packages: {error}", python.display());
            return;
        }
    };
    let room = Room::new("python");
    let engine = room.spawn(&words(&["run"]));
    let bus = engine.wait_for("  bus ");
    engine.wait_for("ready");
    let (aeron_dir, _) = bus.trim().trim_start_matches("bus ").split_once(": ").unwrap();

    let mut publisher = Command::new(python);
    publisher.arg(example.join("publisher.py"));
    publisher.args(["--aeron-dir", aeron_dir, "--count", &COUNT.to_string()]);
    let output = publisher.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{stderr}");
    assert!(output.status.success(), "{stderr}");
    check_answers(&String::from_utf8(output.stdout).unwrap());

    engine.terminate();
    let (code, stdout, stderr) = engine.end();
    assert_eq!(code, Some(0), "{stderr}");
    let summary: Value = serde_json::from_str(&stdout[0]).unwrap();
    for lane in ["market", "payments"] {
        let value = |name: &str| summary["accounts"][lane][name].as_u64().unwrap();
        assert_eq!((value("accepted"), value("decided")), (COUNT, COUNT), "{summary}");
        let irregular = ["rejected", "duplicates", "missing"];
        assert_eq!(irregular.map(value), [0; 3], "{summary}");
    }
}

/// What the publisher read back: a decision for each payment in order, and no reject.
fn check_answers(stdout: &str) {
    let answers = stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answers: Vec<Value> = answers.collect();
    assert!(
        answers.iter().all(|answer| answer["decision"].is_u64()),
        "{stdout}"
    );
    let payments = answers.iter().filter(|answer| answer["lane"] == 2);
    let inputs: Vec<u64> = payments
        .map(|answer| answer["input_sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(inputs, (1..=COUNT).collect::<Vec<_>>());
    for answer in &answers {
        let stamp = |name: &str| answer[name].as_i64().unwrap();
        let stamps = ["ingest_ns", "scored_ns", "decided_ns", "published_ns"].map(stamp);
        assert!(stamps.is_sorted(), "{answer}");
        // The publisher reads another clock, which the engine's follows.
        assert!(stamps[0].abs_diff(stamp("event_ns")) < 1_000_000_000, "{answer}");
    }
}
