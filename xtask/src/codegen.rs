//! Runs the pinned `flatc` over the schemas and keeps the committed code equal to what it writes.
//!
//! ```text
//!   schemas/fbs/*.fbs ──included by──▶ wire.fbs (temporary) ──flatc──▶ schemas/src/generated/wire.rs
//!                                                                 └──▶ examples/python-publisher/generated/wire.py
//!   latency-lab/benches/generic_payment.fbs ─────────────────flatc──▶ latency-lab/benches/generated/generic_payment.rs
//! ```
//!
//! All schemas go through one umbrella file with `--gen-all`, because `flatc` writes Rust for several files of
//! one namespace that does not compile: a type of an included file is named as if it stood in the same module.
//!
//! Start at [`codegen`]. Invariant: the output is a function of the schemas and of `flatc`'s version alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::setup;
use crate::workspace::{Result, Workspace, failure, read, run, say, write};

/// The schemas, relative to the workspace root.
const SCHEMAS: &str = "schemas/fbs";
/// The generated Rust module.
const RUST: &str = "schemas/src/generated";
/// The generated Python module.
const PYTHON: &str = "examples/python-publisher/generated";
/// The generated Rust module of a bench.
const BENCH: &str = "latency-lab/benches/generated";
/// The schema of that bench, and the name of what is generated of it.
const BENCH_SCHEMA: (&str, &str) = ("latency-lab/benches/generic_payment.fbs", "generic_payment");
/// The name of the umbrella schema, and so of the generated files.
const UMBRELLA: &str = "wire";

/// The module around `flatc`'s Rust, which is neither formatted nor linted: it is not ours to change.
fn rust_module(schemas: &str, file: &str, visibility: &str, namespace: &str) -> String {
    format!(
        "//! `flatc`'s output for `{schemas}`. Written by `cargo xtask codegen`; do not edit.

#[rustfmt::skip]
#[allow(
    clippy::all,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    deprecated,
    mismatched_lifetime_syntaxes,
    missing_docs,
    rustdoc::all,
    unreachable_pub,
    unsafe_code,
    unused_imports,
    unused_qualifications
)]
mod {file};

{visibility} use {file}::{namespace}::*;
"
    )
}

/// Says in the folder itself where the Python comes from.
const PYTHON_MODULE: &str = "# Written by `cargo xtask codegen` from `schemas/fbs/*.fbs`; do not edit.\n";

/// Files by their path relative to the workspace root.
type Files = BTreeMap<String, Vec<u8>>;

/// Writes the generated code, or with `check` compares it with what is committed.
pub(crate) fn codegen(workspace: &Workspace, check: bool) -> Result {
    let schemas = schema_names(&workspace.path(SCHEMAS))?;
    setup::build_tools(workspace)?;
    let generated = generate(workspace, &schemas)?;
    let committed = committed(workspace)?;
    if check {
        if let Some(difference) = first_difference(&generated, &committed) {
            return Err(failure!(
                "{difference}; `cargo xtask codegen` brings it up to date"
            ));
        }
        say(format_args!(
            "codegen: {} files are what flatc writes",
            generated.len()
        ));
        return Ok(());
    }
    for (path, contents) in &generated {
        if committed.get(path) != Some(contents) {
            write(&workspace.path(path), contents)?;
            say(format_args!("codegen: wrote {path}"));
        }
    }
    for path in committed.keys().filter(|path| !generated.contains_key(*path)) {
        fs::remove_file(workspace.path(path)).map_err(|error| failure!("{path}: {error}"))?;
        say(format_args!(
            "codegen: removed {path}, which flatc no longer writes"
        ));
    }
    say(format_args!("codegen: {} files are current", generated.len()));
    Ok(())
}

/// The schema files' names in alphabetical order.
fn schema_names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if folder.is_dir() {
        let files = file_names(folder)?;
        names.extend(files.into_iter().filter(|name| name.ends_with(".fbs")));
    }
    if names.is_empty() {
        return Err(failure!(
            "{}: no schema there, expected files that end in .fbs",
            folder.display()
        ));
    }
    let umbrella = format!("{UMBRELLA}.fbs");
    if names.contains(&umbrella) {
        return Err(failure!(
            "{}/{umbrella}: this name is kept for the umbrella schema",
            folder.display()
        ));
    }
    Ok(names)
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let broken = |error| failure!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if entry.file_type().map_err(broken)?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// The umbrella schema: includes every other.
fn umbrella(schemas: &BTreeSet<String>) -> String {
    schemas
        .iter()
        .map(|name| format!("include \"{name}\";\n"))
        .collect()
}

/// Everything that should stand in the generated folders.
fn generate(workspace: &Workspace, schemas: &BTreeSet<String>) -> Result<Files> {
    let scratch = std::env::temp_dir().join(format!("pinion-codegen-{}", std::process::id()));
    let generated = generate_in(workspace, schemas, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    generated
}

fn generate_in(workspace: &Workspace, schemas: &BTreeSet<String>, scratch: &Path) -> Result<Files> {
    let source = scratch.join(format!("{UMBRELLA}.fbs"));
    write(&source, umbrella(schemas).as_bytes())?;
    let flatc = |source: &Path, options: &[&str], into: &str| {
        let mut command = workspace.command(setup::flatc(workspace)?);
        command
            .args(options)
            .args(["--gen-all", "--filename-suffix", "", "-I", SCHEMAS, "-o"]);
        run(command.arg(scratch.join(into)).arg(source))?;
        Ok(scratch.join(into))
    };
    let rust = flatc(&source, &["--rust"], "rust")?.join(format!("{UMBRELLA}.rs"));
    let python = flatc(&source, &["--python", "--gen-onefile"], "python")?.join(format!("{UMBRELLA}.py"));
    let (bench_schema, bench_file) = BENCH_SCHEMA;
    let bench = flatc(&workspace.path(bench_schema), &["--rust"], "bench")?.join(format!("{bench_file}.rs"));
    let rust_mod = rust_module("schemas/fbs/*.fbs", UMBRELLA, "pub", "pinion::wire");
    let bench_mod = rust_module(bench_schema, bench_file, "pub(crate)", "pinion::generic");
    Ok(Files::from([
        (format!("{RUST}/mod.rs"), rust_mod.into_bytes()),
        (format!("{RUST}/{UMBRELLA}.rs"), read(&rust)?.into_bytes()),
        (format!("{PYTHON}/__init__.py"), PYTHON_MODULE.as_bytes().to_vec()),
        (format!("{PYTHON}/{UMBRELLA}.py"), read(&python)?.into_bytes()),
        (format!("{BENCH}/mod.rs"), bench_mod.into_bytes()),
        (format!("{BENCH}/{bench_file}.rs"), read(&bench)?.into_bytes()),
    ]))
}

/// Everything that does stand in the generated folders.
fn committed(workspace: &Workspace) -> Result<Files> {
    let mut files = Files::new();
    for folder in [RUST, PYTHON, BENCH] {
        let absolute = workspace.path(folder);
        if !absolute.is_dir() {
            continue;
        }
        for name in file_names(&absolute)? {
            let contents =
                fs::read(absolute.join(&name)).map_err(|error| failure!("{folder}/{name}: {error}"))?;
            files.insert(format!("{folder}/{name}"), contents);
        }
    }
    Ok(files)
}

/// The first file that is not as generated, in alphabetical order, and in which way.
fn first_difference(generated: &Files, committed: &Files) -> Option<String> {
    let paths: BTreeSet<&String> = generated.keys().chain(committed.keys()).collect();
    paths
        .into_iter()
        .find_map(|path| match (generated.get(path), committed.get(path)) {
            (Some(expected), Some(found)) if expected == found => None,
            (Some(expected), Some(found)) => {
                let same = expected
                    .iter()
                    .zip(found)
                    .take_while(|(left, right)| left == right);
                let line = same.filter(|(byte, _)| **byte == b'\n').count() + 1;
                Some(format!("{path}:{line}: differs from what flatc writes"))
            }
            (Some(_), None) => Some(format!("{path}: missing, expected what flatc writes")),
            (None, _) => Some(format!(
                "{path}: not written by flatc, expected no other file there"
            )),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    fn check(generated: &[(&str, &str)], committed: &[(&str, &str)], expected: Option<&str>) {
        let found = first_difference(&files(generated), &files(committed));
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn equal_files_do_not_differ() {
        check(&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "2")], None);
    }

    #[test]
    fn first_differing_file_is_named_with_its_line() {
        let expected = Some("a:2: differs from what flatc writes");
        check(
            &[("a", "x\ny\n"), ("b", "1")],
            &[("a", "x\nz\n"), ("b", "2")],
            expected,
        );
    }

    #[test]
    fn missing_and_surplus_files_are_found() {
        check(&[("a", "1")], &[], Some("a: missing, expected what flatc writes"));
        check(
            &[],
            &[("a", "1")],
            Some("a: not written by flatc, expected no other file there"),
        );
    }

    #[test]
    fn umbrella_includes_in_alphabetical_order() {
        let names = BTreeSet::from(["market.fbs".to_owned(), "common.fbs".to_owned()]);
        assert_eq!(
            umbrella(&names),
            "include \"common.fbs\";\ninclude \"market.fbs\";\n"
        );
    }

    #[test]
    fn folder_without_schemas_is_refused() {
        let error = schema_names(Path::new("no-such-folder")).unwrap_err();
        assert_eq!(
            error.0,
            "no-such-folder: no schema there, expected files that end in .fbs"
        );
    }
}
