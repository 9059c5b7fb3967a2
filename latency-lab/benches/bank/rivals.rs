//! FAISS, usearch and hnswlib in one Python process beside this one, told when to run.
//!
//! Invariant: they search for the same neighbours of the same queries among the same rows as we do.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use pinion_latency_lab::bench::is_smoke;
use serde::Deserialize;

use crate::NEAREST;
use crate::data::DIMENSIONS;

/// Additions that one round of a rival takes; the script says so, too.
pub(crate) const ADDED: usize = 50;

/// What the process says first.
#[derive(Deserialize)]
struct Hello {
    rivals: Vec<Rival>,
    missing: Vec<String>,
}

/// A rival, tuned.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rival {
    pub(crate) name: String,
    /// "exact" or "approximate".
    pub(crate) kind: String,
    pub(crate) recall: f64,
}

/// What all search: the rivals' process reads it from a file.
pub(crate) struct Task<'a> {
    pub(crate) vectors: &'a [Vec<f32>],
    pub(crate) queries: &'a [Vec<f32>],
    pub(crate) additions: &'a [Vec<f32>],
    /// The rows that are nearest to each query.
    pub(crate) exact: &'a [[u32; NEAREST]],
}

/// The process of the rivals; none of them if it cannot be started.
pub(crate) struct Rivals {
    pub(crate) all: Vec<Rival>,
    process: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Rivals {
    pub(crate) fn start(task: &Task<'_>) -> Self {
        let none = Self {
            all: Vec::new(),
            process: None,
        };
        if is_smoke() {
            eprintln!("FAISS, usearch and hnswlib are left out of a smoke run");
            return none;
        }
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        write(file.path(), task).expect("the vectors are written");
        match Self::spawn(file.path()) {
            Ok(rivals) => rivals,
            Err(reason) => {
                eprintln!("FAISS, usearch and hnswlib are left out: {reason}");
                none
            }
        }
    }

    fn spawn(file: &Path) -> Result<Self, String> {
        let python = std::env::var("PINION_RIVALS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals/bank.py");
        let mut command = Command::new(&python);
        command
            .arg(script)
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // One thread each, whatever library of linear algebra they bring.
        command
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1");
        if std::env::args().any(|argument| argument == "--exact-only") {
            command.arg("--exact-only");
        }
        let mut child = command.spawn().map_err(|error| format!("{python}: {error}"))?;
        let input = child.stdin.take().expect("its input is piped");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| error.to_string())?;
        let hello: Hello =
            serde_json::from_str(&line).map_err(|error| format!("{python} said {line:?}: {error}"))?;
        if !hello.missing.is_empty() {
            eprintln!("{python} has no {}: left out", hello.missing.join(", "));
        }
        Ok(Self {
            all: hello.rivals,
            process: Some((child, input, output)),
        })
    }

    /// All queries, `count` nearest.
    pub(crate) fn search(&mut self, name: &str, count: usize) -> Duration {
        self.round(name, &count.to_string())
    }

    /// The next [`ADDED`] additions.
    pub(crate) fn add(&mut self, name: &str) -> Duration {
        self.round(name, "add")
    }

    fn round(&mut self, name: &str, what: &str) -> Duration {
        let (_, input, output) = self.process.as_mut().expect("a rival has a process");
        writeln!(input, "{name} {what}").expect("the process listens");
        let mut line = String::new();
        output.read_line(&mut line).expect("the process answers");
        Duration::from_nanos(line.trim().parse().expect("a number of ns"))
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        if let Some((mut child, input, output)) = self.process.take() {
            drop((input, output));
            let _ = child.wait();
        }
    }
}

/// The file that `latency-lab/rivals/bank.py` reads.
fn write(path: &Path, task: &Task<'_>) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let (rows, queries) = (task.vectors.len(), task.queries.len());
    for number in [rows, DIMENSIONS, queries, NEAREST, task.additions.len()] {
        file.write_all(&(number as u32).to_le_bytes())?;
    }
    let all = task.vectors.iter().chain(task.queries).chain(task.additions);
    for value in all.flatten() {
        file.write_all(&value.to_le_bytes())?;
    }
    for row in task.exact.iter().flatten() {
        file.write_all(&row.to_le_bytes())?;
    }
    file.flush()
}
