//! The system's packages: checked with `dpkg-query`, installed with `apt-get` where that is allowed.
//!
//! Start at [`packages`]. Invariant: nothing is installed that is there, and a user who may not install is told
//! the one command that does it.

use std::process::Command;

use super::python;
use crate::workspace::{Result, Workspace, failure, quiet, run, say};

/// What compiles and links Aeron's C code and its binding: a C compiler, libclang for bindgen, two libraries.
const PACKAGES: [&str; 4] = ["build-essential", "libclang-dev", "uuid-dev", "libbsd-dev"];
/// What makes the virtual environment; only asked for where no Python on the path can.
const PYTHON_PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// Installs what is missing, or fails with the command that the user has to run.
pub(super) fn packages(workspace: &Workspace) -> Result {
    if quiet(workspace.command("dpkg-query").arg("--version")).is_none() {
        say(format_args!(
            "setup: no dpkg-query, so not a Debian system: expecting what there is {} to be installed",
            PACKAGES.join(", ")
        ));
        return Ok(());
    }
    let mut wanted = PACKAGES.to_vec();
    if python::interpreter(workspace).is_none() {
        wanted.extend(PYTHON_PACKAGES);
    }
    let mut query = workspace.command("dpkg-query");
    query
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(&wanted);
    // It fails if it knows nothing of one of them; what it prints about the others counts all the same.
    let found = query
        .output()
        .map_err(|error| failure!("dpkg-query: could not be started: {error}"))?;
    let missing = missing(&wanted, &String::from_utf8_lossy(&found.stdout));
    if missing.is_empty() {
        say(format_args!(
            "setup: Debian packages {}: present",
            wanted.join(", ")
        ));
        return Ok(());
    }
    install(workspace, &missing)
}

/// The packages that are not installed according to lines of `package status`.
fn missing<'a>(wanted: &[&'a str], statuses: &str) -> Vec<&'a str> {
    let installed = |package: &str| {
        statuses
            .lines()
            .any(|line| line.split_once(' ') == Some((package, "installed")))
    };
    wanted
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect()
}

fn install(workspace: &Workspace, missing: &[&str]) -> Result {
    let names = missing.join(" ");
    let Some(privileged) = privilege(workspace) else {
        return Err(failure!(
            "setup: Debian packages are missing and only root may install them; run this, then try again:\n  \
             sudo apt-get update && sudo apt-get install --yes --no-install-recommends {names}"
        ));
    };
    say(format_args!(
        "setup: Debian packages {}: installing",
        missing.join(", ")
    ));
    let apt = || -> Command {
        let mut command = workspace.command(privileged.first().copied().unwrap_or("env"));
        command.args(privileged.get(1..).unwrap_or_default());
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
        command
    };
    if run(apt().arg("update")).is_err() {
        say("setup: apt-get update failed; going on with the package lists that are there");
    }
    run(apt()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(missing))
    .map_err(|error| {
        failure!("setup: Debian packages could not be installed (is the package mirror reachable?): {error}")
    })
}

/// How to become root without being asked: not at all, by sudo, or (`None`) in no way.
fn privilege(workspace: &Workspace) -> Option<&'static [&'static str]> {
    let is_root = quiet(workspace.command("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if is_root {
        return Some(&["env"]);
    }
    quiet(workspace.command("sudo").args(["-n", "true"])).map(|_| ["sudo", "-n", "env"].as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statuses: &str, expected: &[&str]) {
        assert_eq!(missing(&["uuid-dev", "libbsd-dev"], statuses), expected);
    }

    #[test]
    fn installed_packages_are_not_missing() {
        check("uuid-dev installed\nlibbsd-dev installed\n", &[]);
    }

    #[test]
    fn unknown_and_removed_packages_are_missing() {
        check("", &["uuid-dev", "libbsd-dev"]);
        check("uuid-dev config-files\nlibbsd-dev installed\n", &["uuid-dev"]);
        check("uuid-dev-doc installed\nlibbsd-dev installed\n", &["uuid-dev"]);
    }
}
