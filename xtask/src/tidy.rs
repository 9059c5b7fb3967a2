//! Holds what the compiler and clippy do not: where unsafe code may stand, how long a function may be, which
//! words and paths may not appear, and which files a stage has.
//!
//! Start at [`tidy`]. Each rule has its module: [`unsafe_code`], [`length`], [`words`], [`layout`]; [`source`]
//! tells code from comments and strings for them. [`UNSAFE`] is the list of modules that may be unsafe.
//!
//! A line of text that breaks a rule of [`words`] on purpose says so on itself or on the line above:
//! `tidy:allow(<rule>) <reason>`.
//!
//! Invariant: a rule looks at nothing but the files that git tracks or would track, so that it says the same on
//! every machine.

mod layout;
mod length;
mod source;
mod unsafe_code;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use source::Source;

use crate::workspace::{Result, Workspace, failure, output, read, say};

/// The modules that may contain unsafe code, each with its reason. The workspace denies `unsafe_code`; such a
/// module opens with `#![allow(unsafe_code)]`.
const UNSAFE: &[(&str, &str)] = &[
    (
        "engine/ingest/src/dead_letters.rs",
        "the file of refused frames is mapped, so that keeping one is a copy",
    ),
    ("engine/journal/src/mapping.rs", "a segment is mapped to be read"),
    (
        "engine/journal/tests/disk_full.rs",
        "the C library sets the limit that stands in for a full disk",
    ),
    (
        "engine/runtime/src/heap.rs",
        "an allocator that counts is an unsafe trait to implement",
    ),
    (
        "engine/runtime/src/mapped.rs",
        "counters are atomics in a mapped file",
    ),
    (
        "engine/runtime/src/memory.rs",
        "the mapped bytes of a table are seen as words",
    ),
    (
        "engine/runtime/src/ring/slots.rs",
        "a ring's slots are written in place",
    ),
    (
        "engine/runtime/src/system.rs",
        "the scheduler is reached through the C library",
    ),
    (
        "engine/score/src/bank/kernel.rs",
        "the scan is compiled for vector instructions that the machine was asked for",
    ),
    (
        "engine/transport/src/driver/directory.rs",
        "the process's user id is asked of the C library",
    ),
    (
        "engine/transport/src/driver/watch.rs",
        "the driver's heartbeat is an atomic in a mapped file",
    ),
    (
        "engine/transport/tests/conformance/other_client.rs",
        "the binding has no function of its own for static counters",
    ),
    (
        "latency-lab/benches/generated/mod.rs",
        "flatc's output reads tables out of bytes",
    ),
    (
        "latency-lab/benches/wire.rs",
        "reading without a check is one of the accesses that are compared",
    ),
    (
        "schemas/src/generated/mod.rs",
        "flatc's output reads tables and structs out of verified bytes",
    ),
    (
        "schemas/src/wire/verify.rs",
        "a frame is read after the one check that this file makes",
    ),
    (
        "schemas/tests/no_alloc.rs",
        "an allocator that counts is an unsafe trait to implement",
    ),
];

/// What a generator wrote: not ours to tidy.
const GENERATED: [&str; 3] = [
    "latency-lab/benches/generated/generic_payment.rs",
    "schemas/src/generated/wire.rs",
    "examples/python-publisher/generated/",
];

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Relative to the workspace root.
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, message } = self;
        if *line == 0 {
            write!(formatter, "{path}: {message}")
        } else {
            write!(formatter, "{path}:{line}: {message}")
        }
    }
}

/// The text files of the checkout by their path relative to the workspace root.
type Texts = BTreeMap<String, String>;

/// Checks every rule and lists everything that breaks one.
pub(crate) fn tidy(workspace: &Workspace) -> Result {
    let texts = texts(workspace)?;
    let sources: Vec<Source> = texts
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let ratchet = read(&workspace.path(length::RATCHET))?;
    let mut findings = unsafe_code::check(&sources, UNSAFE);
    findings.extend(length::check(&sources, &ratchet));
    findings.extend(words::check(&texts, &sources));
    findings.extend(layout::check(&texts));
    findings.sort();
    if findings.is_empty() {
        say(format_args!("tidy: {} files, nothing to mend", texts.len()));
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Err(failure!(
        "tidy: {} findings\n  {}",
        findings.len(),
        lines.join("\n  ")
    ))
}

/// Reads what git tracks or would track and people write: code, configuration, documentation.
fn texts(workspace: &Workspace) -> Result<Texts> {
    let mut list = workspace.command("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut texts = Texts::new();
    for path in output(&mut list)?.split_terminator('\0') {
        let is_generated = GENERATED.iter().any(|generated| path.starts_with(generated));
        if is_generated || !is_text(path) {
            continue;
        }
        // A file that was deleted and not yet committed as such is still listed.
        if let Ok(bytes) = fs::read(workspace.path(path)) {
            let text = String::from_utf8(bytes).map_err(|error| failure!("{path}: {error}"))?;
            texts.insert(path.to_owned(), text);
        }
    }
    Ok(texts)
}

/// Whether people write files of this name. Data, snapshots and the lock file are written by programs.
fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let extensions = ["rs", "toml", "md", "py", "sh", "fbs", "yml", "yaml", "gitignore"];
    extensions.contains(&extension) || path == ".ci/run"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_code_and_pages_and_programs_write_data() {
        let check = |path: &str, expected: bool| assert_eq!(is_text(path), expected, "{path}");
        check("engine/book/src/lib.rs", true);
        check(".ci/run", true);
        check(".gitignore", true);
        check("Cargo.lock", false);
        check("cli/tests/snapshots/help.snap", false);
        check("models/encoder.onnx", false);
    }

    #[test]
    fn finding_names_its_place() {
        assert_eq!(Finding::new("a.rs", 7, "is long").to_string(), "a.rs:7: is long");
        assert_eq!(
            Finding::new("a.rs", 0, "is missing").to_string(),
            "a.rs: is missing"
        );
    }
}
