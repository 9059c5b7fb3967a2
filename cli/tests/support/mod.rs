//! The program under test, in a folder of its own.

#![allow(dead_code)] // Each test binary uses its own part.

pub(crate) mod golden;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a process may take to say something or to end, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a configuration that shares nothing with other tests: bus, data, small tables, one core.
pub(crate) struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let room = Self { folder };
        let mut text = String::new();
        for table in [
            "customers",
            "terminals",
            "cards",
            "merchants",
            "devices",
            "accounts",
        ] {
            text += &format!("[ingest.{table}]\nids_max = 8192\n");
        }
        text += &format!(
            "[engine]\ndir = \"{}\"\n\
             [cores]\ncores_max = 1\n\
             [bus]\nnode = \"cli-{name}-{}\"\nterm_length = 1048576\n\
             [journal]\nsegment_len = 4194304\n\
             [score]\nmodel = \"{}\"\nbackend = \"native\"\n\
             [features]\nset = \"{}\"\n\
             [strategy.market.parameters]\nenter_at = 0.3\nrelease_at = 0.1\n\
             [publish]\nwhen_unheard = \"wait\"\n",
            room.path("data").display(),
            std::process::id(),
            root().join("models/fraud-v1").display(),
            root().join("features/payments-v1.toml").display(),
        );
        std::fs::write(room.path("pinion.toml"), text).unwrap();
        room
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The program with these words, to be run in the room.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("PINION_")) {
            command.env_remove(name);
        }
        command.args(words).current_dir(self.folder.path());
        command
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .env("PINION_LOG", "error");
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end: the words, exit code, stdout and stderr in one text without what differs from run
    /// to run.
    pub(crate) fn shown(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let code = output
            .status
            .code()
            .map_or("none".to_owned(), |code| code.to_string());
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let text = format!(
            "$ pinion {}\n\nexit code: {code}\n\n--- stdout\n{}\n--- stderr\n{}",
            words.join(" "),
            stdout.trim_end(),
            stderr.trim_end()
        );
        self.redacted(&text)
    }

    fn redacted(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let root = root().display().to_string();
        let text = text.replace(&folder, "[room]").replace(&root, "[root]");
        let lines = text.lines().map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Runs it to its end and gives stdout; the exit code must be this one.
    #[track_caller]
    pub(crate) fn stdout(&self, words: &[&str], code: i32) -> String {
        let output = self.command(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "pinion {}: {stderr}",
            words.join(" ")
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts it.
    pub(crate) fn spawn(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        Running::of(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }
}

/// Runs of digits, with what holds them together, as `N`: for figures of the machine.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit() && c != '.') {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
            out += part;
        } else {
            out += "N";
            out += &part[digits.len()..];
        }
    }
    out
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// A process with the lines that it writes. It is ended when the test is.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    fn of(mut child: Child) -> Self {
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits until it writes a line to stderr that holds `part`, and returns the line.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(error) => panic!("no line with {part:?} ({error}); before: {before:#?}"),
            }
        }
    }

    /// Waits until it writes a line to stdout, and returns the line.
    #[track_caller]
    pub(crate) fn next_line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap()
    }

    /// Asks it to end, as `kill` does.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end. Gives the exit code, every line of stdout, and what is left of stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>, String) {
        let status: ExitStatus = self.child.wait().unwrap();
        let stderr: Vec<String> = self.stderr.iter().collect();
        (status.code(), self.stdout.iter().collect(), stderr.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
