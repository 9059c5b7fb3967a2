//! Writes `config/reference.toml` out of the code: every key with its default and its doc comment.
//!
//! The comments are read from the sources of the configuration structs, which are compiled in as text; so
//! the manual of a key is written once, beside the key.
//!
//! Invariant: the reference has exactly the keys of [`Config`], and reading it gives the defaults.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::{Config, layers};

/// The sources that define the sections.
const SOURCES: [&str; 13] = [
    include_str!("engine.rs"),
    include_str!("cores.rs"),
    concat!(
        include_str!("../../../transport/src/config.rs"),
        include_str!("../../../transport/src/bus.rs")
    ),
    include_str!("../../../ingest/src/config.rs"),
    include_str!("../../../journal/src/config.rs"),
    include_str!("../../../checkpoint/src/config.rs"),
    include_str!("../../../book/src/config.rs"),
    include_str!("../../../features/src/config.rs"),
    concat!(
        include_str!("../../../score/src/config.rs"),
        include_str!("../../../score/src/bank/config.rs")
    ),
    include_str!("challengers.rs"),
    include_str!("drift.rs"),
    include_str!("../../../strategy/src/config.rs"),
    include_str!("../../../publish/src/config.rs"),
];

/// Sections in the order of the data path.
const SECTIONS: [&str; 13] = [
    "engine",
    "cores",
    "bus",
    "ingest",
    "journal",
    "checkpoint",
    "book",
    "features",
    "score",
    "challengers",
    "drift",
    "strategy",
    "publish",
];

const HEAD: &str = "\
# Every key of Pinion's configuration with its default. Written by `pinion config reference`; a test compares
# it with the code. Values are laid over each other: defaults < this file < environment < flags:
#
#   PINION_JOURNAL__FSYNC=never pinion run --config pinion.toml --set journal.gate=durable
#
# A file needs only the keys that differ. `pinion check --config FILE` says what is wrong with one, and where.
";

/// The text of `config/reference.toml`.
pub fn text() -> String {
    let defaults = layers::defaults::<Config>();
    let docs = docs();
    let mut out = String::from(HEAD);
    for section in SECTIONS {
        let Some(Value::Table(table)) = defaults.get(section) else {
            continue;
        };
        write_table(&mut out, section, table, &docs);
    }
    out
}

/// Keys of the defaults that have no comment in the sources.
pub fn undocumented_keys() -> Vec<String> {
    fn walk(prefix: &str, table: &Table, docs: &Docs, missing: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{prefix}.{key}");
            if doc_of(docs, prefix, key).is_none() {
                missing.push(path.clone());
            }
            if let Value::Table(inner) = value {
                walk(&path, inner, docs, missing);
            }
        }
    }
    let defaults = layers::defaults::<Config>();
    let mut missing = Vec::new();
    for section in SECTIONS {
        if let Some(Value::Table(table)) = defaults.get(section) {
            walk(section, table, &docs(), &mut missing);
        }
    }
    missing
}

/// Doc comments by source index and field name; a field name that occurs with different comments in one
/// source is told apart by the struct.
type Docs = Vec<BTreeMap<String, Vec<(String, String)>>>;

fn docs() -> Docs {
    SOURCES.iter().map(|source| fields_of(source)).collect()
}

/// `field → [(struct, comment)]` of a source.
fn fields_of(source: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let (mut comment, mut name) = (String::new(), String::new());
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text.strip_prefix(' ').unwrap_or(text));
            comment.push('\n');
        } else if let Some(rest) = line.strip_prefix("pub struct ") {
            name = rest
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default()
                .to_owned();
            comment.clear();
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
            if !field.contains(['(', ' ']) {
                let entry = (name.clone(), std::mem::take(&mut comment));
                found.entry(field.to_owned()).or_default().push(entry);
            }
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    found
}

/// The comment of `key` in the table `path`: the section's source gives it. When several structs of the
/// source have the field, the one named after the last part of the path wins, else the first.
fn doc_of<'a>(docs: &'a Docs, path: &str, key: &str) -> Option<&'a str> {
    let mut parts = path.split('.');
    let section = parts.next().unwrap_or_default();
    let last = parts.next_back().unwrap_or_default().replace('_', "");
    let index = SECTIONS.iter().position(|name| *name == section)?;
    let candidates = docs[index].get(key)?;
    let named = candidates
        .iter()
        .find(|(name, _)| !last.is_empty() && name.to_lowercase().contains(&last));
    let (_, comment) = named.or_else(|| candidates.first())?;
    (!comment.is_empty()).then_some(comment)
}

fn write_table(out: &mut String, path: &str, table: &Table, docs: &Docs) {
    let _ = writeln!(out, "\n[{path}]");
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        write_comment(out, doc_of(docs, path, key));
        let _ = writeln!(out, "{key} = {value}");
    }
    for (key, value) in table {
        if let Value::Table(inner) = value {
            out.push('\n');
            write_comment(out, doc_of(docs, path, key));
            let mut text = String::new();
            write_table(&mut text, &format!("{path}.{key}"), inner, docs);
            out.push_str(text.trim_start_matches('\n'));
        }
    }
}

fn write_comment(out: &mut String, comment: Option<&str>) {
    for line in comment.unwrap_or_default().trim_end().lines() {
        let _ = writeln!(out, "{}", format!("# {line}").trim_end());
    }
}
