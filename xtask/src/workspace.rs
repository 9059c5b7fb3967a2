//! Where the checkout is, and how a task runs another program or fails.
//!
//! Start at [`Workspace`]; [`run`], [`output`] and [`quiet`] start programs; [`Failure`] is what every task
//! returns when it could not do its work.
//!
//! Invariant: a task never guesses a path: all of them hang from [`Workspace::path`].

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

/// Why a task stopped: a sentence for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a task returns.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// A [`Failure`] made like `format!`.
macro_rules! failure {
    ($($argument:tt)*) => { $crate::workspace::Failure(format!($($argument)*)) };
}
pub(crate) use failure;

/// The checkout that this program was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout: the folder above this package's.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().ok_or_else(|| {
            failure!(
                "{}: has no parent folder, expected the workspace",
                manifest.display()
            )
        })?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// A path below the workspace root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// `program`, to be run in the workspace root, without what cargo told *this* program about itself: some
    /// build scripts watch those variables and would run again for nothing.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let about_us = name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
            if about_us {
                command.env_remove(name);
            }
        }
        command
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// `cargo metadata` of the workspace's own packages.
    pub(crate) fn metadata(&self) -> Result<serde_json::Value> {
        let text = output(
            self.cargo()
                .args(["metadata", "--format-version", "1", "--no-deps"]),
        )?;
        serde_json::from_str(&text).map_err(|error| failure!("cargo metadata: not JSON: {error}"))
    }

    /// Where cargo puts what it builds, by environment or configuration.
    pub(crate) fn target_dir(&self) -> Result<PathBuf> {
        let metadata = self.metadata()?;
        let target_dir = metadata["target_directory"].as_str();
        target_dir
            .map(PathBuf::from)
            .ok_or_else(|| failure!("cargo metadata: no target_directory"))
    }
}

/// Says one line about what a task does or finds. Goes to stderr, as everything that is not data.
pub(crate) fn say(line: impl fmt::Display) {
    eprintln!("{line}");
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

/// Runs a command with the terminal as it is; fails if it does.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| failure!("`{}`: could not be started: {error}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(failure!("`{}`: {status}", shown(command)))
    }
}

/// Runs a command and returns its standard output; what it says on stderr goes through.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failure!("`{}`: could not be started: {error}", shown(command)))?;
    if !output.status.success() {
        return Err(failure!("`{}`: {}", shown(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| failure!("`{}`: {error}", shown(command)))
}

/// Runs a command unseen and returns its standard output, or nothing if it could not run or failed.
pub(crate) fn quiet(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads a text file; the failure names it.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| failure!("{}: {error}", path.display()))
}

/// Writes a file, and the folders above it where they are missing; the failure names it.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result {
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, contents));
    written.map_err(|error| failure!("{}: {error}", path.display()))
}

/// The SHA-256 of some bytes in lower-case hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_nothing_is_the_published_one() {
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256_hex(b""), expected);
    }

    #[test]
    fn shown_command_can_be_typed_again() {
        let mut command = Command::new("cargo");
        command.args(["test", "--bench", "*", "--", "--smoke"]);
        assert_eq!(shown(&command), "cargo test --bench '*' -- --smoke");
    }

    #[test]
    fn failed_command_names_itself() {
        let error = run(&mut Command::new("false")).unwrap_err();
        assert!(error.0.starts_with("`false`: "), "{error}");
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.0.contains("could not be started"), "{error}");
    }
}
