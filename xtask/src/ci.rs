//! Every gate in one run: cheap ones first, so that a slip is known within seconds.
//!
//! Start at [`ci`]; [`STEPS`] is the order. [`deny`] is the one step that may leave something out, and says so.
//!
//! Invariant: all steps share one target folder and one profile, so that Aeron's C code is compiled once. The
//! first step that fails ends the run, names itself and the command that repeats it.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::programs::{NO_TRAINER, Runner, trainer_tests};
use crate::workspace::{Result, Workspace, failure, run, say, shown};
use crate::{codegen, layers, setup, tidy};

/// One gate.
struct Step {
    name: &'static str,
    /// What repeats it.
    again: &'static str,
    run: fn(&Workspace, &mut Report) -> Result,
}

/// What the summary repeats from the steps.
#[derive(Default)]
struct Report {
    /// How long each finished step took.
    times: Vec<(&'static str, Duration)>,
    /// What was left out, and why.
    skipped: Vec<String>,
    /// The closing lines of the test runners, as they wrote them.
    closing: Vec<String>,
}

const CLIPPY: &str = "cargo clippy --workspace --all-targets -- -D warnings";
const CLIPPY_CUDA: [&str; 9] = [
    "clippy",
    "--package",
    "pinion-score",
    "--all-targets",
    "--features",
    "cuda",
    "--",
    "-D",
    "warnings",
];
const BENCHES: &str = "cargo test --workspace --bench '*' -- --smoke";

/// The gates in the order they run.
const STEPS: [Step; 10] = [
    Step {
        name: "setup",
        again: "cargo xtask setup",
        run: |workspace, _| setup::setup(workspace),
    },
    Step {
        name: "format",
        again: "cargo fmt --all --check",
        run: format,
    },
    Step {
        name: "tidy",
        again: "cargo xtask tidy",
        run: |workspace, _| tidy::tidy(workspace),
    },
    Step {
        name: "layers",
        again: "cargo xtask layers",
        run: |workspace, _| layers::layers(workspace),
    },
    Step {
        name: "codegen",
        again: "cargo xtask codegen --check",
        run: codegen,
    },
    Step {
        name: "clippy",
        again: CLIPPY,
        run: clippy,
    },
    Step {
        name: "docs",
        again: "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps",
        run: docs,
    },
    Step {
        name: "deny",
        again: "cargo xtask deny",
        run: dependencies,
    },
    Step {
        name: "tests",
        again: "cargo xtask test",
        run: tests,
    },
    Step {
        name: "benches",
        again: BENCHES,
        run: benches,
    },
];

/// Runs every gate and prints the time of each, what was left out and how the tests closed.
pub(crate) fn ci(workspace: &Workspace) -> Result {
    let mut report = Report::default();
    for (index, step) in STEPS.iter().enumerate() {
        say(format_args!(
            "ci: {} of {}: {}",
            index + 1,
            STEPS.len(),
            step.name
        ));
        let start = Instant::now();
        let outcome = (step.run)(workspace, &mut report);
        report.times.push((step.name, start.elapsed()));
        if let Err(error) = outcome {
            summary(&report);
            return Err(failure!(
                "{error}\nci: {} failed; to repeat it: {}",
                step.name,
                step.again
            ));
        }
        say(format_args!(
            "ci: {}: {:.1} s",
            step.name,
            start.elapsed().as_secs_f64()
        ));
    }
    summary(&report);
    println!("ci: all {} steps passed", STEPS.len());
    Ok(())
}

fn summary(report: &Report) {
    println!("\nci: summary");
    for (name, time) in &report.times {
        println!("{:>10.1} s  {name}", time.as_secs_f64());
    }
    let total: Duration = report.times.iter().map(|(_, time)| time).sum();
    println!("{:>10.1} s  in all", total.as_secs_f64());
    for line in &report.skipped {
        println!("   skipped: {line}");
    }
    for line in &report.closing {
        println!("{line}");
    }
}

fn format(workspace: &Workspace, _: &mut Report) -> Result {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn codegen(workspace: &Workspace, report: &mut Report) -> Result {
    if !setup::has_flatc() {
        let architecture = std::env::consts::ARCH;
        report.skipped.push(format!(
            "codegen: the pinned flatc is not published for {architecture}"
        ));
        return Ok(());
    }
    codegen::codegen(workspace, true)
}

fn clippy(workspace: &Workspace, _: &mut Report) -> Result {
    run(workspace
        .cargo()
        .args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Code for GPUs is compiled by whoever asks for it; here it is seen to compile.
    run(workspace.cargo().args(CLIPPY_CUDA))
}

fn docs(workspace: &Workspace, _: &mut Report) -> Result {
    run(workspace
        .cargo()
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["doc", "--workspace", "--no-deps"]))
}

fn dependencies(workspace: &Workspace, report: &mut Report) -> Result {
    report.skipped.extend(deny(workspace)?);
    Ok(())
}

/// Checks licences, duplicates and sources, and known vulnerabilities where their database can be had; returns
/// why they were left out where it cannot.
pub(crate) fn deny(workspace: &Workspace) -> Result<Option<String>> {
    let program = setup::cargo_deny(workspace)?;
    let cargo_deny = |arguments: &[&str]| {
        let mut command = workspace.command(&program);
        command.args(arguments);
        command
    };
    run(&mut cargo_deny(&[
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    let mut fetch = cargo_deny(&["fetch", "db"]);
    let fetched = fetch
        .output()
        .map_err(|error| failure!("`{}`: could not be started: {error}", shown(&fetch)))?;
    if fetched.status.success() {
        return run(&mut cargo_deny(&["check", "--disable-fetch", "advisories"])).map(|()| None);
    }
    let said = String::from_utf8_lossy(&fetched.stderr);
    if !said.contains("failed to fetch advisory database") {
        return Err(failure!("`{}`: {}\n{said}", shown(&fetch), fetched.status));
    }
    let reason = said
        .lines()
        .find(|line| line.starts_with("fatal:"))
        .unwrap_or("it could not be fetched");
    let skipped = format!(
        "advisories: the database of known vulnerabilities is out of reach ({})",
        reason.trim()
    );
    say(format_args!("deny: skipped {skipped}"));
    Ok(Some(skipped))
}

fn tests(workspace: &Workspace, report: &mut Report) -> Result {
    for command in Runner::at_hand(workspace).all_tests(workspace) {
        through(command, &mut io::stdout().lock(), report)?;
    }
    match trainer_tests(workspace) {
        Some(command) => through(command, &mut io::stdout().lock(), report),
        None => {
            report.skipped.push(NO_TRAINER.to_owned());
            Ok(())
        }
    }
}

/// Runs every bench at smoke size, in the profile of the tests. The glob keeps to bench targets: `--benches`
/// would also run the unit tests' binaries, which know no `--smoke`.
fn benches(workspace: &Workspace, report: &mut Report) -> Result {
    if bench_count(&workspace.metadata()?) == 0 {
        report.skipped.push("benches: the workspace has none".to_owned());
        return Ok(());
    }
    run(workspace
        .cargo()
        .args(["test", "--workspace", "--bench", "*", "--", "--smoke"]))
}

/// How many bench targets `cargo metadata` lists.
fn bench_count(metadata: &serde_json::Value) -> usize {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    let kinds = targets.filter_map(|target| target["kind"].as_array());
    kinds
        .filter(|kinds| kinds.iter().any(|kind| kind == "bench"))
        .count()
}

/// Runs a test runner with all it says going to `out`, and keeps its closing lines.
fn through(mut command: Command, out: &mut impl Write, report: &mut Report) -> Result {
    let name = shown(&command);
    let broken = |error: io::Error| failure!("`{name}`: {error}");
    let (reader, writer) = io::pipe().map_err(broken)?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(broken)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(broken)?;
    // The command holds our ends of the pipe; the loop below ends when the child's alone are closed.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(broken)?;
        let line = String::from_utf8_lossy(&line);
        writeln!(out, "{line}").map_err(broken)?;
        if is_closing(&line) {
            report.closing.push(line.into_owned());
        }
    }
    let status = child.wait().map_err(broken)?;
    if status.success() {
        Ok(())
    } else {
        Err(failure!("`{name}`: {status}"))
    }
}

/// Whether a test runner sums up with this line. Binaries without tests need no mention.
fn is_closing(line: &str) -> bool {
    let line = line.trim_start();
    let empty = line.contains(" 0 passed; 0 failed; 0 ignored");
    line.starts_with("Summary [") || line.starts_with("test result: ") && !empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_told_from_others() {
        let check = |line: &str, expected: bool| assert_eq!(is_closing(line), expected, "{line}");
        check(
            "     Summary [   0.012s] 24 tests run: 24 passed, 0 skipped",
            true,
        );
        check(
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            true,
        );
        check(
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            false,
        );
        check(
            "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            true,
        );
        check("test tests::x ... ok", false);
    }

    #[test]
    fn runner_output_passes_and_its_status_counts() {
        let mut report = Report::default();
        let script = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut out = Vec::new();
        through(
            script("echo a; echo '  Summary [ 1s] 1 test run' >&2"),
            &mut out,
            &mut report,
        )
        .unwrap();
        assert_eq!(out, b"a\n  Summary [ 1s] 1 test run\n");
        assert_eq!(report.closing, ["  Summary [ 1s] 1 test run"]);
        let error = through(script("exit 3"), &mut out, &mut report).unwrap_err();
        assert_eq!(error.0, "`sh -c 'exit 3'`: exit status: 3");
    }

    #[test]
    fn benches_are_counted_in_the_metadata() {
        let metadata = |kind: &str| serde_json::json!({ "packages": [{ "targets": [{ "kind": ["lib"] }, { "kind": [kind] }] }] });
        assert_eq!(bench_count(&metadata("bench")), 1);
        assert_eq!(bench_count(&metadata("test")), 0);
    }
}
