//! Lays configuration sources over each other: defaults < file < environment < flags.
//!
//! ```text
//!   T::default() ──▶ tree ◀── file leaves ◀── PINION_SECTION__KEY ◀── --set section.key=value
//!                     │          each leaf is placed alone, so a refusal names its own place
//!                     ▼
//!                    T ──validate──▶ findings ──"section.key …"──▶ the place that set the key
//! ```
//!
//! The defaults are the schema: a key that they do not have is unknown. Tables named in `open_tables` take
//! any key (parameters of strategies, the table of cores).
//!
//! Invariant: either a whole, validated value comes out, or findings that each name a place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::finding::{Finding, Origin};

/// Where values come from, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file, if any.
    pub file: Option<PathBuf>,
    /// Environment variables, already filtered to those that begin with `PINION_`.
    pub environment: Vec<(String, String)>,
    /// `section.key=value` as given on the command line.
    pub flags: Vec<String>,
}

impl Sources {
    /// The process's environment and a file.
    pub fn from_process(file: Option<&Path>, flags: &[String]) -> Self {
        let environment = std::env::vars()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        Self {
            file: file.map(Path::to_path_buf),
            environment,
            flags: flags.to_vec(),
        }
    }
}

/// Environment variables that begin so are read: `PINION_JOURNAL__FSYNC=never` sets `journal.fsync`.
pub const ENVIRONMENT_PREFIX: &str = "PINION_";

/// Variables with the prefix that are not configuration keys.
const ENVIRONMENT_OTHER: [&str; 1] = ["PINION_LOG"];

/// One leaf of a source.
struct Leaf {
    path: Vec<String>,
    value: Value,
    /// Of each part of the path.
    key_origins: Vec<Origin>,
    value_origin: Origin,
}

/// Reads the sources over the defaults of `T` and checks the outcome with `validate`, which returns
/// messages that begin with the path of the key they speak of.
///
/// # Errors
/// All findings of the file, the environment and the flags together; or those of `validate`.
pub fn load<T>(
    sources: &Sources,
    open_tables: &[&str],
    validate: impl Fn(&T) -> Vec<String>,
) -> Result<T, Vec<Finding>>
where
    T: Default + Serialize + DeserializeOwned,
{
    let (leaves, mut findings) = collect(sources);
    let mut tree = defaults::<T>();
    let mut origins = BTreeMap::new();
    for leaf in leaves {
        match place::<T>(&mut tree, leaf, open_tables) {
            Ok((path, origin)) => drop(origins.insert(path, origin)),
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let value: T = Value::Table(tree)
        .try_into()
        .map_err(|error| vec![Finding::unplaced(&error)])?;
    let refusals = validate(&value);
    if refusals.is_empty() {
        return Ok(value);
    }
    Err(refusals
        .into_iter()
        .map(|message| placed(message, &origins))
        .collect())
}

/// The defaults of `T` as a tree of values.
pub fn defaults<T: Default + Serialize>() -> Table {
    Table::try_from(T::default()).expect("every configuration struct serialises to a table")
}

fn collect(sources: &Sources) -> (Vec<Leaf>, Vec<Finding>) {
    let mut leaves = Vec::new();
    let mut findings = Vec::new();
    if let Some(path) = &sources.file {
        match file_leaves(path) {
            Ok(found) => leaves.extend(found),
            Err(finding) => findings.push(finding),
        }
    }
    for (name, text) in &sources.environment {
        if !ENVIRONMENT_OTHER.contains(&name.as_str()) {
            leaves.push(environment_leaf(name, text));
        }
    }
    for flag in &sources.flags {
        match flag_leaf(flag) {
            Ok(leaf) => leaves.push(leaf),
            Err(finding) => findings.push(finding),
        }
    }
    (leaves, findings)
}

fn file_leaves(path: &Path) -> Result<Vec<Leaf>, Finding> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Finding::new(format!("cannot read {}: {error}", path.display()), Origin::None))?;
    let source = std::sync::Arc::new((path.to_path_buf(), text));
    let place = |span: Range<usize>| Origin::File {
        source: source.clone(),
        span,
    };
    let spanned = DeTable::parse(&source.1)
        .map_err(|error| Finding::new(error.message().to_owned(), place(error.span().unwrap_or(0..0))))?;
    let values: Table = toml::from_str(&source.1)
        .map_err(|error| Finding::new(error.message().to_owned(), place(error.span().unwrap_or(0..0))))?;
    let mut leaves = Vec::new();
    walk(spanned.get_ref(), &values, &mut Vec::new(), &place, &mut leaves);
    Ok(leaves)
}

fn walk(
    spanned: &DeTable<'_>,
    values: &Table,
    path: &mut Vec<(String, Origin)>,
    place: &impl Fn(Range<usize>) -> Origin,
    leaves: &mut Vec<Leaf>,
) {
    for (key, value) in spanned {
        path.push((key.get_ref().to_string(), place(key.span())));
        match (value.get_ref(), &values[key.get_ref().as_ref()]) {
            (DeValue::Table(inner), Value::Table(table)) if !table.is_empty() => {
                walk(inner, table, path, place, leaves);
            }
            (_, plain) => leaves.push(Leaf {
                path: path.iter().map(|(key, _)| key.clone()).collect(),
                value: plain.clone(),
                key_origins: path.iter().map(|(_, origin)| origin.clone()).collect(),
                value_origin: place(value.span()),
            }),
        }
        path.pop();
    }
}

fn environment_leaf(name: &str, text: &str) -> Leaf {
    let path = name[ENVIRONMENT_PREFIX.len()..].to_lowercase();
    let origin = Origin::Environment {
        name: name.to_owned(),
    };
    let path: Vec<String> = path.split("__").map(str::to_owned).collect();
    Leaf {
        key_origins: vec![origin.clone(); path.len()],
        path,
        value: parse_value(text),
        value_origin: origin,
    }
}

fn flag_leaf(flag: &str) -> Result<Leaf, Finding> {
    let origin = Origin::Flag {
        text: flag.to_owned(),
    };
    let Some((path, text)) = flag.split_once('=') else {
        let message = format!("found \"{flag}\", expected section.key=value");
        return Err(Finding::new(message, origin));
    };
    let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
    Ok(Leaf {
        key_origins: vec![origin.clone(); path.len()],
        path,
        value: parse_value(text.trim()),
        value_origin: origin,
    })
}

/// A value as TOML if it reads as TOML, else as text.
fn parse_value(text: &str) -> Value {
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) => table
            .remove("value")
            .unwrap_or_else(|| Value::String(text.to_owned())),
        Err(_) => Value::String(text.to_owned()),
    }
}

/// Sets one leaf in the tree if `T` takes it.
fn place<T: DeserializeOwned>(
    tree: &mut Table,
    leaf: Leaf,
    open_tables: &[&str],
) -> Result<(String, Origin), Finding> {
    let dotted = leaf.path.join(".");
    let open = open_tables
        .iter()
        .any(|table| dotted.starts_with(&format!("{table}.")));
    if !open {
        known(tree, &leaf)?;
    }
    let mut candidate = tree.clone();
    if !set(&mut candidate, &leaf.path, leaf.value.clone()) {
        let message = format!("{dotted} is below a value, expected a table there");
        return Err(Finding::new(message, leaf.value_origin));
    }
    if let Err(error) = Value::Table(candidate.clone()).try_into::<T>() {
        let reason = error.message().trim().to_owned();
        let help = nearest_variant(&reason).map(|variant| format!("did you mean \"{variant}\"?"));
        let finding = Finding::new(format!("{dotted}: {reason}"), leaf.value_origin);
        return Err(help.into_iter().fold(finding, Finding::with_help));
    }
    *tree = candidate;
    Ok((dotted, leaf.value_origin))
}

/// Refuses a key that the tree does not have, with the nearest one that it has.
fn known(tree: &Table, leaf: &Leaf) -> Result<(), Finding> {
    let mut table = tree;
    for (depth, key) in leaf.path.iter().enumerate() {
        match table.get(key) {
            Some(Value::Table(inner)) if depth + 1 < leaf.path.len() => table = inner,
            Some(_) => return Ok(()),
            None => {
                let prefix = leaf.path[..depth]
                    .iter()
                    .map(|key| format!("{key}."))
                    .collect::<String>();
                let message = format!("unknown key {prefix}{key}");
                let help = suggestion(tree, table, &prefix, key);
                return Err(Finding::new(message, leaf.key_origins[depth].clone()).with_help(help));
            }
        }
    }
    Ok(())
}

/// Of a message "unknown variant `x`, expected `y` or `z`", the expected one that is nearest to the one found.
fn nearest_variant(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown variant ")?;
    let mut named = rest.split('`').skip(1).step_by(2);
    let found = named.next()?;
    let nearest = named
        .map(|variant| (strsim::damerau_levenshtein(variant, found), variant))
        .min()?;
    Some(nearest)
        .filter(|(distance, variant)| *distance <= 1 + variant.len() / 3)
        .map(|(_, variant)| variant)
}

/// The nearest sibling, else the same key in another section, else all siblings.
fn suggestion(tree: &Table, siblings: &Table, prefix: &str, key: &str) -> String {
    let nearest = siblings
        .keys()
        .map(|sibling| (strsim::damerau_levenshtein(sibling, key), sibling))
        .min()
        .filter(|(distance, sibling)| *distance <= 1 + sibling.len() / 3);
    if let Some((_, sibling)) = nearest {
        return format!("did you mean {prefix}{sibling}?");
    }
    let elsewhere = tree.iter().find(|(_, value)| value.get(key).is_some());
    if let Some((section, _)) = elsewhere {
        return format!("did you mean {section}.{key}?");
    }
    let all: Vec<&str> = siblings.keys().map(String::as_str).collect();
    format!("expected one of: {}", all.join(", "))
}

fn set(table: &mut Table, path: &[String], value: Value) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    let mut table = table;
    for key in parents {
        let entry = table
            .entry(key.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        match entry {
            Value::Table(inner) => table = inner,
            _ => return false,
        }
    }
    table.insert(last.clone(), value);
    true
}

/// Gives a message of `validate` the place that set the key which the message begins with.
fn placed(message: String, origins: &BTreeMap<String, Origin>) -> Finding {
    let key = message.split([' ', ':']).next().unwrap_or_default();
    let origin = origins.get(key).cloned().unwrap_or(Origin::Default);
    Finding::new(message, origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Toy {
        journal: Journal,
        open: Table,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Journal {
        fsync: Fsync,
        segment_len: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Fsync {
        Never,
        EveryBatch,
    }

    impl Default for Toy {
        fn default() -> Self {
            Self {
                journal: Journal::default(),
                open: Table::new(),
            }
        }
    }

    impl Default for Journal {
        fn default() -> Self {
            Self {
                fsync: Fsync::Never,
                segment_len: 64,
            }
        }
    }

    fn validate(toy: &Toy) -> Vec<String> {
        if toy.journal.segment_len == 0 {
            return vec!["journal.segment_len is 0, expected 1 or more".to_owned()];
        }
        Vec::new()
    }

    fn read(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Toy, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pinion.toml");
        std::fs::write(&path, file).unwrap();
        let sources = Sources {
            file: Some(path),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        load(&sources, &["open"], validate)
            .map_err(|findings| findings.iter().map(|finding| format!("{finding}\n")).collect())
    }

    #[track_caller]
    fn check_refused(file: &str, environment: &[(&str, &str)], flags: &[&str], expected: &[&str]) {
        let shown = read(file, environment, flags).unwrap_err();
        for part in expected {
            assert!(shown.contains(part), "expected {part:?} in:\n{shown}");
        }
    }

    #[test]
    fn later_sources_win() {
        let file = "[journal]\nsegment_len = 1\nfsync = \"every-batch\"\n";
        let toy = read(file, &[("PINION_JOURNAL__SEGMENT_LEN", "2")], &[]).unwrap();
        assert_eq!(
            (toy.journal.segment_len, toy.journal.fsync),
            (2, Fsync::EveryBatch)
        );
        let toy = read(
            file,
            &[("PINION_JOURNAL__SEGMENT_LEN", "2")],
            &["journal.segment_len=3"],
        )
        .unwrap();
        assert_eq!(toy.journal.segment_len, 3);
        let toy = read("", &[("PINION_JOURNAL__FSYNC", "every-batch")], &["open.any=1"]).unwrap();
        assert_eq!(
            (toy.journal.fsync, toy.open["any"].as_integer()),
            (Fsync::EveryBatch, Some(1))
        );
    }

    #[test]
    fn misspelt_key_is_refused_with_its_place_and_a_suggestion() {
        let file = "[journal]\n\nsegment_lne = 1\n";
        check_refused(
            file,
            &[],
            &[],
            &[
                "pinion.toml:3:1",
                "unknown key journal.segment_lne",
                "did you mean journal.segment_len?",
            ],
        );
        check_refused(
            "segment_len = 1\n",
            &[],
            &[],
            &["pinion.toml:1:1", "did you mean journal.segment_len?"],
        );
        check_refused(
            "",
            &[("PINION_JORNAL__FSYNC", "never")],
            &[],
            &["PINION_JORNAL__FSYNC", "did you mean journal?"],
        );
    }

    #[test]
    fn misspelt_section_is_refused_at_its_heading() {
        check_refused(
            "[jurnal]\n\nfsync = \"never\"\n",
            &[],
            &[],
            &["pinion.toml:1:2", "did you mean journal?"],
        );
    }

    #[test]
    fn misspelt_value_is_refused_with_a_suggestion() {
        check_refused(
            "",
            &[],
            &["journal.fsync=nevr"],
            &["unknown variant", "did you mean \"never\"?"],
        );
    }

    #[test]
    fn wrong_type_is_refused_with_its_place() {
        check_refused(
            "[journal]\nsegment_len = \"x\"\n",
            &[],
            &[],
            &[
                "pinion.toml:2:15",
                "journal.segment_len: invalid type: string \"x\", expected u32",
            ],
        );
        check_refused(
            "",
            &[],
            &["journal.fsync=sometimes"],
            &["--set journal.fsync=sometimes", "every-batch"],
        );
        check_refused(
            "",
            &[],
            &["journal.segment_len=-1"],
            &["invalid value: integer `-1`, expected u32"],
        );
        check_refused("", &[], &["nonsense"], &["expected section.key=value"]);
    }

    #[test]
    fn value_out_of_range_is_placed_where_it_was_set() {
        let message = "journal.segment_len is 0, expected 1 or more";
        check_refused(
            "[journal]\nsegment_len = 0\n",
            &[],
            &[],
            &["pinion.toml:2:15", message],
        );
        check_refused(
            "",
            &[("PINION_JOURNAL__SEGMENT_LEN", "0")],
            &[],
            &["PINION_JOURNAL__SEGMENT_LEN", message],
        );
    }

    #[test]
    fn broken_toml_is_refused_with_its_place() {
        check_refused("[journal]\nsegment_len = = 1\n", &[], &[], &["pinion.toml:2:"]);
    }

    #[test]
    fn all_findings_come_at_once() {
        check_refused(
            "a = 1\n[journal]\nb = 2\n",
            &[],
            &["c=3"],
            &["unknown key a", "journal.b", "unknown key c"],
        );
    }
}
