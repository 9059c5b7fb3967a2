//! Instructions of a case, by running this program again under callgrind, which counts within `measured` alone.
//!
//! ```text
//!   all ─ for each case ─▶ valgrind … <this program> <case> ─▶ totals / operations ─▶ a line on stdout
//! ```
//!
//! Invariant: what is printed is what was counted; a run that fails is no line.

use std::io;
use std::process::{Command, ExitCode};

/// A bench whose cases are pairs, as `payments-v1/late` is of a set and an event.
pub(crate) struct Instructions {
    pub(crate) bench: &'static str,
    /// What the first and the second part of a case are called.
    pub(crate) keys: [&'static str; 2],
    /// Operations of a case.
    pub(crate) operations: usize,
}

/// Prints a line for each case, to be appended to `results/instructions.jsonl`; with a case as argument, runs that one.
pub(crate) fn all(bench: &Instructions, cases: &[&str], run: impl Fn(&str, &str)) -> ExitCode {
    if let Some(case) = std::env::args().nth(1) {
        let (first, second) = parts(&case);
        run(first, second);
        return ExitCode::SUCCESS;
    }
    for case in cases {
        match count(case) {
            Ok(total) => println!("{}", line(bench, case, total)),
            Err(error) => {
                eprintln!("{case} cannot be counted: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn parts(case: &str) -> (&str, &str) {
    case.split_once('/').expect("a case is a pair")
}

/// Instructions of a case.
fn count(case: &str) -> io::Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .arg(case)
        .output()?;
    if !done.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&done.stderr).into_owned(),
        ));
    }
    let text = std::fs::read_to_string(&file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: Option<f64> = total.and_then(|total| total.trim().parse().ok());
    total
        .filter(|total| *total > 0.0)
        .ok_or_else(|| io::Error::other("callgrind's file has no total"))
}

fn line(bench: &Instructions, case: &str, total: f64) -> String {
    let (first, second) = parts(case);
    let line = serde_json::json!({
        "bench": bench.bench,
        "date": text_of("date", &["-u", "+%F"]),
        "revision": text_of("git", &["describe", "--always", "--dirty"]),
        bench.keys[0]: first,
        bench.keys[1]: second,
        "instructions": (total / bench.operations as f64).round(),
    });
    line.to_string()
}

/// What a command says, or nothing.
fn text_of(command: &str, arguments: &[&str]) -> String {
    let done = Command::new(command).args(arguments).output();
    done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
        .unwrap_or_default()
}
