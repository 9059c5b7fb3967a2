//! The two commands that people run: the demo and the tests.
//!
//! Start at [`demo()`] and [`test()`]; [`Runner`] says which test runner is at hand.
//!
//! Invariant: both set up what is missing first, so that they work from a fresh clone.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::setup;
use crate::workspace::{Result, Workspace, failure, quiet, run, say};

/// Builds the program for release and becomes `pinion demo` with the given arguments.
pub(crate) fn demo(workspace: &Workspace, arguments: &[&str]) -> Result {
    setup::setup(workspace)?;
    say("demo: building the program for release; the first time takes some minutes");
    run(workspace
        .cargo()
        .args(["build", "--release", "--package", "pinion-cli"]))?;
    let program = workspace.target_dir()?.join("release/pinion");
    let error = workspace.command(&program).arg("demo").args(arguments).exec();
    Err(failure!("{}: could not be started: {error}", program.display()))
}

/// Runs all tests of the workspace; with arguments, the test runner alone with those.
pub(crate) fn test(workspace: &Workspace, arguments: &[&str]) -> Result {
    setup::setup(workspace)?;
    let runner = Runner::at_hand(workspace);
    if !arguments.is_empty() {
        return run(runner.command(workspace).args(arguments));
    }
    for command in &mut runner.all_tests(workspace) {
        run(command)?;
    }
    match trainer_tests(workspace) {
        Some(mut command) => run(&mut command),
        None => {
            say(NO_TRAINER);
            Ok(())
        }
    }
}

/// Why the trainer's tests are left out.
pub(crate) const NO_TRAINER: &str =
    "trainer's tests: no .tools/trainer, which the first `pinion model train` makes";

/// The tests of `models/train`, where there is an environment to run them in: 430 MB that nothing else needs.
pub(crate) fn trainer_tests(workspace: &Workspace) -> Option<Command> {
    let python = workspace.path(".tools/trainer/bin/python");
    python.exists().then(|| {
        let mut command = workspace.command(python);
        command.args(["-m", "unittest", "discover", "models/train"]);
        command
    })
}

/// What runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// Each test in its own process. Knows no doctests.
    Nextest,
    /// Cargo's own.
    Cargo,
}

impl Runner {
    /// nextest where it is installed. It is not installed for this: compiling it costs more than it saves.
    pub(crate) fn at_hand(workspace: &Workspace) -> Self {
        match quiet(workspace.cargo().args(["nextest", "--version"])) {
            Some(_) => Self::Nextest,
            None => Self::Cargo,
        }
    }

    fn command(self, workspace: &Workspace) -> Command {
        let mut command = workspace.cargo();
        match self {
            Self::Nextest => command.args(["nextest", "run"]),
            Self::Cargo => command.arg("test"),
        };
        command
    }

    /// The commands that run every test, doctests last.
    pub(crate) fn all_tests(self, workspace: &Workspace) -> Vec<Command> {
        let mut tests = self.command(workspace);
        tests.arg("--workspace");
        let mut doctests = workspace.cargo();
        doctests.args(["test", "--workspace", "--doc"]);
        match self {
            Self::Nextest => vec![tests, doctests],
            Self::Cargo => vec![tests],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::shown;

    fn check(runner: Runner, expected: &[&str]) {
        let commands = runner.all_tests(&Workspace::locate().unwrap());
        // The program is the cargo that runs this test, wherever it lies.
        let words = |command: &Command| shown(command).split_once(' ').unwrap().1.to_owned();
        assert_eq!(commands.iter().map(words).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn doctests_run_with_either_runner() {
        check(
            Runner::Nextest,
            &["nextest run --workspace", "test --workspace --doc"],
        );
        check(Runner::Cargo, &["test --workspace"]);
    }
}
