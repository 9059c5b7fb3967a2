//! Reads a feature set's file.
//!
//! ```text
//!   text ──TOML──▶ tables with places ──feature──▶ features ──names, slots──▶ FeatureSet
//!                        └─────── findings, all of them, each with its place ───────▶ Err
//! ```
//!
//! Start at [`FeatureSet::parse`]; `file/feature.rs` reads a feature, `file/rules.rs` says what goes together.
//!
//! Invariant: either a whole, valid set comes out, or findings.

mod feature;
mod filter;
mod rules;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, FileType};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use pinion_schemas::records::FEATURES_MAX;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::feature::Others;
use self::source::{Section, Source};
use super::{Feature, FeatureSet};

#[cfg(test)]
pub(in crate::set) use self::feature::KEYS;
pub(in crate::set) use self::feature::{TRANSFORMS, WINDOW_KEYS};
pub(in crate::set) use self::rules::RULES;

/// The longest file of a feature set. Unit: bytes.
pub const FILE_LEN_MAX: u64 = 1 << 20;

/// The keys of a set.
pub(in crate::set) const SET_KEYS: [&str; 4] = ["name", "version", "description", "feature"];

/// One thing that is wrong in a feature set's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFinding {
    /// The feature, the key, what was found and what was expected.
    pub message: String,
    /// Where: bytes of the text.
    pub span: Option<Range<usize>>,
    /// A suggestion.
    pub help: Option<String>,
}

impl fmt::Display for SetFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Why a feature set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not say what a feature set's file should.
    #[error("{}", placed(path, text, findings))]
    Refused {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        text: String,
        /// What is wrong with it, at least one thing, in the order of the text.
        findings: Vec<SetFinding>,
    },
}

/// One line for each finding: `file:line:column: message; help`.
fn placed(path: &Path, text: &str, findings: &[SetFinding]) -> String {
    let line = |finding: &SetFinding| {
        let (line, column) = line_and_column(text, finding.span.as_ref().map_or(0, |span| span.start));
        format!("{}:{line}:{column}: {finding}", path.display())
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Both count from 1; the column counts characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

impl FeatureSet {
    /// Reads and checks a set.
    ///
    /// # Errors
    /// Everything that is wrong, at least one thing, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<SetFinding>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(syntax).collect());
        }
        let source = Source::new(text);
        let section = Section {
            source: &source,
            label: String::new(),
            prefix: String::new(),
            table: document.get_ref(),
            span: 0..0,
        };
        let set = read(&section);
        let findings = source.take_findings();
        match set {
            Some(set) if findings.is_empty() => Ok(set),
            _ => Err(findings),
        }
    }

    /// Reads and checks the set in a file.
    ///
    /// # Errors
    /// The file cannot be read, is no regular file or longer than [`FILE_LEN_MAX`], or [`Self::parse`] refuses what
    /// stands in it.
    pub fn load(path: &Path) -> Result<Self, SetError> {
        Self::load_with_text(path).map(|(set, _)| set)
    }

    /// As [`Self::load`], with what stands in the file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_text(path: &Path) -> Result<(Self, String), SetError> {
        let path = path.to_path_buf();
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(source) => return Err(SetError::Read { path, source }),
        };
        match Self::parse(&text) {
            Ok(set) => Ok((set, text)),
            Err(findings) => Err(SetError::Refused { path, text, findings }),
        }
    }
}

/// The text of a regular file. Whoever names the file may be a stranger, so it is neither waited for, as a pipe would
/// be, nor read without an end, as a device would be.
fn read_bounded(path: &Path) -> io::Result<String> {
    // Before it is opened, for that may block or do something; and after, for it may have been exchanged.
    check_regular(fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_regular(metadata.file_type())?;
    let mut text = String::new();
    let len = file.take(FILE_LEN_MAX + 1).read_to_string(&mut text)? as u64;
    if len > FILE_LEN_MAX {
        let found = metadata.len().max(len);
        let message = format!("it has {found} bytes, expected at most {FILE_LEN_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(text)
}

fn check_regular(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let message = format!("it is {}, expected a regular file", kind_name(kind));
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

fn syntax(error: &toml::de::Error) -> SetFinding {
    SetFinding {
        message: error.message().to_owned(),
        span: error.span(),
        help: None,
    }
}

fn read(at: &Section<'_>) -> Option<FeatureSet> {
    at.refuse_unknown(&SET_KEYS);
    let name = at.require("name", NAME).and_then(|found| {
        let text = found.text(NAME)?;
        if is_kebab_case(text) {
            Some(text)
        } else {
            found.refuse(NAME)
        }
    });
    let version = at
        .require("version", "a whole number, 1 or more")
        .and_then(|found| found.integer(1..=i64::from(u32::MAX)));
    let description = at.optional("description", "", |found| found.text("text"));
    let features = features(at);
    Some(FeatureSet {
        name: name?.to_owned(),
        version: version? as u32,
        description: description?.to_owned(),
        features: features?,
    })
}

const NAME: &str = "lower-case words joined by hyphens";

fn is_kebab_case(text: &str) -> bool {
    let is_word = |word: &str| {
        let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(is_lower)
    };
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('-').all(is_word)
}

fn features(at: &Section<'_>) -> Option<Vec<Feature>> {
    let sections = sections(at)?;
    let names: Vec<Option<String>> = sections.iter().map(|section| name_of(section.table)).collect();
    let mut read: Vec<Option<Feature>> = Vec::new();
    for section in &sections {
        let others = Others {
            names: &names,
            earlier: &read,
        };
        let feature = feature::read(section, &others);
        read.push(feature);
    }
    refuse_repeated(&sections, &names, &read);
    refuse_too_many(&sections, &read);
    read.into_iter().collect()
}

/// The tables of the features.
fn sections<'a>(at: &Section<'a>) -> Option<Vec<Section<'a>>> {
    let expected = "one [[feature]] or more";
    let found = at.require("feature", expected)?;
    let list = found.list().filter(|list| !list.is_empty());
    let Some(list) = list else {
        return found.refuse(expected);
    };
    let sections = list.iter().enumerate().map(|(index, found)| {
        let Some(section) = found.section() else {
            return found.refuse("a table, [[feature]]");
        };
        let name =
            name_of(section.table).map_or_else(|| (index + 1).to_string(), |name| format!("\"{name}\""));
        Some(Section {
            label: format!("feature {name}: "),
            prefix: String::new(),
            ..section
        })
    });
    sections.collect::<Vec<_>>().into_iter().collect()
}

fn name_of(table: &DeTable<'_>) -> Option<String> {
    match table.get("name").map(Spanned::get_ref) {
        Some(DeValue::String(name)) => Some(name.to_string()),
        _ => None,
    }
}

/// Refuses a name that another feature or one of its slots has.
fn refuse_repeated(sections: &[Section<'_>], names: &[Option<String>], read: &[Option<Feature>]) {
    let mut slots: BTreeMap<String, String> = BTreeMap::new();
    for (index, section) in sections.iter().enumerate() {
        let Some(name) = &names[index] else {
            continue;
        };
        if names[..index].contains(&names[index]) {
            section.refuse("name", "is taken, expected a name that no other feature has");
            continue;
        }
        let own = read[index].as_ref().map_or_else(Vec::new, Feature::slot_names);
        for slot in own {
            if let Some(other) = slots.insert(slot.clone(), name.clone()) {
                let wrong =
                    format!("gives a slot \"{slot}\", as feature \"{other}\" does, expected another name");
                section.refuse("name", &wrong);
                break;
            }
        }
    }
}

/// Refuses the first feature that has no place in a vector.
fn refuse_too_many(sections: &[Section<'_>], read: &[Option<Feature>]) {
    let mut slots = 0;
    let mut past = None;
    for (section, feature) in sections.iter().zip(read) {
        slots += feature.as_ref().map_or(1, Feature::slot_count);
        if slots > FEATURES_MAX {
            past = past.or(Some(section));
        }
    }
    if let Some(section) = past {
        let wrong = format!("is past the last slot: the set has {slots}, expected at most {FEATURES_MAX}");
        section.refuse("name", &wrong);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::set::names::FILTER_FIELDS;
    use crate::set::{
        Aggregate, Condition, DAY_NS, Entity, EntityKey, EventKind, FeatureKind, Field, Filter, FilterField,
        Precision, Test, Transform, Window, WindowFeature,
    };

    const SET: &str = "name = \"s\"\nversion = 1\n";

    /// A count to which a case adds keys.
    const COUNT: &str = "aggregate = \"count\"\nentity = \"card\"\nwindow = \"1d\"\n";

    /// A set of features named a, b, c and so on, each with the keys given.
    fn set_of(features: &[&str]) -> String {
        let names = ('a'..='z').map(String::from);
        let tables = names
            .zip(features)
            .map(|(name, keys)| format!("\n[[feature]]\nname = \"{name}\"\n{keys}"));
        SET.chars().chain(tables.collect::<String>().chars()).collect()
    }

    /// What is found in a text, one line each, with the line and column of its place.
    fn findings(text: &str) -> Vec<String> {
        let placed = |finding: SetFinding| {
            let (line, column) = line_and_column(text, finding.span.clone().expect("a place").start);
            format!("{line}:{column}: {finding}")
        };
        let found = FeatureSet::parse(text).expect_err("a text that is refused");
        found.into_iter().map(placed).collect()
    }

    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        assert_eq!(findings(text), expected, "{text}");
    }

    /// One feature, named a, with one thing wrong.
    #[track_caller]
    fn check(keys: &str, expected: &str) {
        let found = FeatureSet::parse(&set_of(&[keys])).expect_err(keys);
        let found: Vec<String> = found.iter().map(SetFinding::to_string).collect();
        assert_eq!(found, [format!("feature \"a\": {expected}")], "{keys}");
    }

    /// The same of a count that has further keys.
    #[track_caller]
    fn check_count(keys: &str, expected: &str) {
        check(&format!("{COUNT}{keys}"), expected);
    }

    /// The kind of one feature that is accepted.
    #[track_caller]
    fn accepted(keys: &str) -> FeatureKind {
        let set = FeatureSet::parse(&set_of(&[keys])).expect(keys);
        set.features[0].kind.clone()
    }

    #[test]
    fn set_without_name_version_or_features_is_refused() {
        check_text(
            "",
            &[
                "1:1: name is missing, expected lower-case words joined by hyphens",
                "1:1: version is missing, expected a whole number, 1 or more",
                "1:1: feature is missing, expected one [[feature]] or more",
            ],
        );
        check_text(
            "name = \"S 1\"\nversion = 0\nfeature = []\ndescripton = 1\n",
            &[
                "1:8: name is \"S 1\", expected lower-case words joined by hyphens",
                "2:11: version is 0, expected a whole number, 1 to 4294967295",
                "3:11: feature is [], expected one [[feature]] or more",
                "4:1: unknown key descripton; did you mean description?",
            ],
        );
        let expected = "feature is \"a\", expected one [[feature]] or more";
        check_text(
            &format!("{SET}feature = \"a\"\n"),
            &[&format!("3:11: {expected}")],
        );
    }

    #[test]
    fn broken_toml_is_refused_with_its_place() {
        let found = FeatureSet::parse("name = \"s\nversion = 1\nversion = 2\n").unwrap_err();
        assert!(found.len() > 1, "{found:?}");
        assert!(found.iter().all(|finding| finding.span.is_some()), "{found:?}");
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once_with_its_place() {
        let text = set_of(&[
            "agregate = \"count\"\n",
            "aggregate = \"cuont\"\nentity = [\"card\", \"terminl\"]\nwindow = \"10x\"\ndelay = \"366d\"\n",
            "ratio = [\"a\", \"d\"]\n",
        ]);
        check_text(
            &text,
            &[
                "6:1: feature \"a\": unknown key agregate; did you mean aggregate?",
                "10:13: feature \"b\": aggregate is \"cuont\", expected one of count, sum, mean, variance, \
                 standard_deviation, min, max, first, last, time_since_last, distinct, decayed_sum, decayed_mean, \
                 rate, z_score; did you mean \"count\"?",
                "11:19: feature \"b\": entity is \"terminl\", expected one of customer, terminal, card, merchant, \
                 device, account; did you mean \"terminal\"?",
                "12:10: feature \"b\": window is \"10x\", expected a whole number and a unit of ns, us, ms, s, m, \
                 h, d, such as \"10m\"",
                "13:9: feature \"b\": delay is \"366d\", expected 0s to 365d",
                "17:15: feature \"c\": ratio is \"d\", expected the name of a feature before this one; did you \
                 mean \"a\"?",
            ],
        );
    }

    #[test]
    fn name_that_is_no_name_or_is_taken_is_refused() {
        let weekend = "transform = \"is_weekend\"\n";
        let named = |names: &[&str]| {
            let table = |name: &&str| format!("[[feature]]\nname = {name}\n{weekend}");
            SET.to_owned() + &names.iter().map(table).collect::<String>()
        };
        for name in ["", "A", "a b", "a__b", "_a", "a_", "1a", "a-b", "ä"] {
            let expected = "expected lower-case words joined by underscores";
            let expected = format!("4:8: feature \"{name}\": name is \"{name}\", {expected}");
            check_text(&named(&[&format!("\"{name}\"")]), &[&expected]);
        }
        check_text(
            &named(&["\"a\"", "1"]),
            &["7:8: feature 2: name is 1, expected lower-case words joined by underscores"],
        );
        check_text(
            &format!("{SET}[[feature]]\n{weekend}"),
            &["3:1: feature 1: name is missing, expected lower-case words joined by underscores"],
        );
        check_text(
            &named(&["\"a\"", "\"a\""]),
            &["7:8: feature \"a\": name is taken, expected a name that no other feature has"],
        );
        check_text(
            &format!(
                "{}[[feature]]\nname = \"a_cos\"\n{weekend}",
                set_of(&["transform = \"hour\"\n"])
            ),
            &[
                "8:8: feature \"a_cos\": name gives a slot \"a_cos\", as feature \"a\" does, expected another name",
            ],
        );
        let one_hot = set_of(&["transform = \"one_hot\"\nsource = \"channel\"\n"]);
        check_text(
            &format!("{one_hot}[[feature]]\nname = \"a_atm\"\n{weekend}"),
            &[
                "9:8: feature \"a_atm\": name gives a slot \"a_atm\", as feature \"a\" does, expected another name",
            ],
        );
    }

    #[test]
    fn feature_of_no_kind_or_of_two_is_refused() {
        check(
            "",
            "transform is missing, expected one of transform, aggregate, ratio",
        );
        check(
            &format!("transform = \"hour\"\n{COUNT}"),
            "aggregate stands beside transform, expected one of them",
        );
        check("colour = 1\ntransform = \"hour\"\n", &unknown("colour"));
        check(
            "transform = \"huor\"\n",
            &format!("transform is \"huor\", {TRANSFORM}; did you mean \"hour\"?"),
        );
        check("transform = 1\n", &format!("transform is 1, {TRANSFORM}"));
    }

    const TRANSFORM: &str = "expected one of raw, log, hour, weekday, is_night, is_weekend, one_hot";

    fn unknown(key: &str) -> String {
        format!("unknown key {key}; expected one of: {}", KEYS.join(", "))
    }

    #[test]
    fn transform_without_its_keys_or_with_others_is_refused() {
        let numbers = "one of amount_minor, currency, merchant_category, channel, outcome";
        check(
            "transform = \"raw\"\n",
            &format!("source is missing, expected {numbers} with transform = \"raw\""),
        );
        check(
            "transform = \"log\"\nsource = \"fraud\"\n",
            &format!("source is \"fraud\", expected {numbers} with transform = \"log\""),
        );
        check(
            "transform = \"one_hot\"\nsource = \"currency\"\n",
            "source is \"currency\", expected channel or outcome with transform = \"one_hot\"",
        );
        check(
            "transform = \"is_night\"\n",
            "hour_max is missing, expected a whole number, 0 to 23",
        );
        check(
            "transform = \"is_night\"\nhour_max = 24\n",
            "hour_max is 24, expected a whole number, 0 to 23",
        );
        check(
            "transform = \"hour\"\nhour_max = 6\n",
            "hour_max has no meaning for transform = \"hour\"",
        );
        check(
            "transform = \"hour\"\nsource = \"channel\"\n",
            "source has no meaning for transform = \"hour\"",
        );
        for key in [
            "entity",
            "event",
            "filter",
            "window",
            "delay",
            "precision",
            "includes_current",
        ] {
            let keys = format!("transform = \"hour\"\n{key} = \"1d\"\n");
            check(&keys, &format!("{key} has no meaning for a transform"));
        }
        check(
            "transform = \"hour\"\nmissing = 0\n",
            "missing has no meaning for a transform",
        );
    }

    #[test]
    fn aggregate_without_its_keys_or_with_others_is_refused() {
        check(
            "aggregate = \"count\"\nwindow = \"1d\"\n",
            "entity is missing, expected an id field or a list of two",
        );
        check(
            "aggregate = \"count\"\nentity = \"card\"\n",
            "window is missing, expected a duration, \"forever\", { tumbling = \"1d\" } or { last = 100 }",
        );
        let sum = COUNT.replace("count", "sum");
        check(
            &sum,
            "source is missing, expected amount_minor or fraud with aggregate = \"sum\"",
        );
        check(
            &format!("{sum}source = \"amount\"\n"),
            "source is \"amount\", expected amount_minor or fraud with aggregate = \"sum\"",
        );
        check(
            &format!("{}half_life = \"1h\"\n", COUNT.replace("count", "decayed_sum")),
            "source is missing, expected amount_minor with aggregate = \"decayed_sum\"",
        );
        check(
            &format!(
                "{}source = \"amount_minor\"\n",
                COUNT.replace("count", "decayed_mean")
            ),
            "half_life is missing, expected a duration, such as \"1h\"",
        );
        check(
            &COUNT.replace("count", "rate"),
            "per is missing, expected a duration, such as \"1h\"",
        );
        for key in ["source", "half_life", "per"] {
            let expected = format!("{key} has no meaning for aggregate = \"count\"");
            check_count(&format!("{key} = \"1h\"\n"), &expected);
        }
        check_count("hour_max = 6\n", "hour_max has no meaning for an aggregate");
        check_count(
            "event = \"label\"\nincludes_current = true\n",
            "includes_current has no meaning for event = \"label\"",
        );
    }

    #[test]
    fn value_of_the_wrong_type_or_range_is_refused() {
        check_count("missing = nan\n", "missing is nan, expected a finite number");
        check_count("missing = -inf\n", "missing is -inf, expected a finite number");
        check_count("missing = 1e39\n", "missing is 1e39, expected a finite number");
        check_count("missing = \"0\"\n", "missing is \"0\", expected a finite number");
        check_count(
            "includes_current = 1\n",
            "includes_current is 1, expected true or false",
        );
        check_count("description = 1\n", "description is 1, expected text");
        check_count("delay = 7\n", &format!("delay is 7, expected {DURATION}"));
        check_count("delay = \"7\"\n", &format!("delay is \"7\", expected {DURATION}"));
        check_count(
            "delay = \"-7d\"\n",
            &format!("delay is \"-7d\", expected {DURATION}"),
        );
        check_count(
            "event = \"labels\"\n",
            "event is \"labels\", expected one of transaction, label, account; did you mean \"label\"?",
        );
        check_count(
            "precision = \"exat\"\n",
            &format!("precision is \"exat\", {PRECISION}; did you mean \"exact\"?"),
        );
        check_count("precision = 1\n", &format!("precision is 1, {PRECISION}"));
        check_count("precision = {}\n", &format!("precision is {{}}, {PRECISION}"));
        check_count(
            "precision = { bucket = \"1m\" }\n",
            "unknown key precision.bucket; did you mean precision.bucketed?",
        );
        check_count(
            "precision = { bucketed = \"0s\" }\n",
            "precision.bucketed is \"0s\", expected 1ns to 365d",
        );
    }

    const DURATION: &str = "a whole number and a unit of ns, us, ms, s, m, h, d, such as \"10m\"";
    const PRECISION: &str = "expected \"exact\" or { bucketed = \"1m\" }";

    #[test]
    fn window_that_is_none_is_refused() {
        let check = |window: &str, expected: &str| check(&COUNT.replace("\"1d\"", window), expected);
        let windows = "expected a duration, \"forever\", { tumbling = \"1d\" } or { last = 100 }";
        check("\"0d\"", "window is \"0d\", expected 1ns to 365d");
        check("\"366d\"", "window is \"366d\", expected 1ns to 365d");
        check("\"1 d\"", &format!("window is \"1 d\", expected {DURATION}"));
        check(
            "\"for_ever\"",
            &format!("window is \"for_ever\", {windows}; did you mean \"forever\"?"),
        );
        check("86400", &format!("window is 86400, {windows}"));
        check(
            "{ last = 1, tumbling = \"1d\" }",
            &format!("window is {{ last = 1, tumbling = \"1d\" }}, {windows}"),
        );
        check(
            "{ last = 16385 }",
            "window.last is 16385, expected a whole number, 1 to 16384",
        );
        check(
            "{ lats = 5 }",
            "unknown key window.lats; did you mean window.last?",
        );
        check(
            "{ tumbling = \"366d\" }",
            "window.tumbling is \"366d\", expected 1ns to 365d",
        );
    }

    #[test]
    fn entity_that_is_none_is_refused() {
        let check = |entity: &str, expected: &str| check(&COUNT.replace("\"card\"", entity), expected);
        check(
            "[\"card\"]",
            "entity is [\"card\"], expected an id field or a list of two",
        );
        check(
            "[\"card\", \"card\"]",
            "entity is [\"card\", \"card\"], expected two different id fields",
        );
        let entities = "expected one of customer, terminal, card, merchant, device, account";
        check("\"issuer\"", &format!("entity is \"issuer\", {entities}"));
        check(
            "\"custmer\"",
            &format!("entity is \"custmer\", {entities}; did you mean \"customer\"?"),
        );
    }

    #[test]
    fn filter_that_is_none_is_refused() {
        let check = |filter: &str, expected: &str| check_count(&format!("filter = {filter}\n"), expected);
        check(
            "\"declined\"",
            "filter is \"declined\", expected a table of fields, such as { outcome = \"declined\" }",
        );
        check("{}", "filter is {}, expected at least one field");
        check(
            "{ outcme = \"declined\" }",
            "unknown key filter.outcme; did you mean filter.outcome?",
        );
        check(
            "{ outcome = \"decline\" }",
            "filter.outcome is \"decline\", expected one of unknown, approved, declined; did you mean \"declined\"?",
        );
        check(
            "{ outcome = [] }",
            "filter.outcome is [], expected at least one value",
        );
        check(
            "{ outcome = { min = 1 } }",
            "filter.outcome is { min = 1 }, expected one of unknown, approved, declined",
        );
        check(
            "{ currency = \"EUR\" }",
            "filter.currency is \"EUR\", expected a whole number, 0 to 999",
        );
        check(
            "{ merchant_category = [5411, 10000] }",
            "filter.merchant_category is 10000, expected a whole number, 0 to 9999",
        );
        check(
            "{ amount_minor = {} }",
            "filter.amount_minor is {}, expected min or max or both",
        );
        check(
            "{ amount_minor = { mn = 1 } }",
            "unknown key filter.amount_minor.mn; did you mean filter.amount_minor.min?",
        );
        check(
            "{ amount_minor = { min = 2, max = 1 } }",
            "filter.amount_minor is { min = 2, max = 1 }, expected min no greater than max",
        );
        check(
            "{ fraud = true }",
            "unknown key filter.fraud; expected one of: amount_minor, currency, merchant_category, channel, outcome",
        );
        check_count(
            "event = \"label\"\nfilter = { channel = \"atm\" }\n",
            "unknown key filter.channel; expected one of: amount_minor, verdict, label_source",
        );
        check_count(
            "filter = { verdict = \"fraud\" }\n",
            "unknown key filter.verdict; expected one of: amount_minor, currency, merchant_category, channel, outcome",
        );
    }

    #[test]
    fn ratio_of_what_is_not_before_it_is_refused() {
        let check = |ratio: &str, expected: &str| {
            let weekend = "transform = \"is_weekend\"\n";
            let text = set_of(&[weekend, "transform = \"hour\"\n", ratio, weekend]);
            let found = FeatureSet::parse(&text).expect_err(ratio);
            let found: Vec<String> = found.iter().map(SetFinding::to_string).collect();
            assert_eq!(found, [format!("feature \"c\": {expected}")], "{ratio}");
        };
        check(
            "ratio = \"a\"\n",
            "ratio is \"a\", expected a list of two features before this one",
        );
        check(
            "ratio = [\"a\"]\n",
            "ratio is [\"a\"], expected a list of two features before this one",
        );
        check(
            "ratio = [\"a\", \"d\"]\n",
            "ratio is \"d\", expected a feature before this one",
        );
        check(
            "ratio = [\"c\", \"a\"]\n",
            "ratio is \"c\", expected a feature before this one",
        );
        check(
            "ratio = [\"a\", \"amount\"]\n",
            "ratio is \"amount\", expected the name of a feature before this one",
        );
        check(
            "ratio = [\"b\", \"a\"]\n",
            "ratio is \"b\", expected a feature of one slot, it has 2",
        );
        check(
            "ratio = [\"a\", \"a\"]\nwindow = \"1d\"\n",
            "window has no meaning for a ratio",
        );
        check(
            "ratio = [\"a\", \"a\"]\nsource = \"fraud\"\n",
            "source has no meaning for a ratio",
        );
    }

    #[test]
    fn combination_that_cannot_be_computed_is_refused() {
        let check = |keys: &str, expected: &str| check(&format!("entity = \"card\"\n{keys}\n"), expected);
        check(
            "aggregate = \"mean\"\nsource = \"currency\"\nwindow = \"1d\"",
            "source is \"currency\", expected amount_minor or fraud with aggregate = \"mean\"",
        );
        check(
            "aggregate = \"variance\"\nsource = \"fraud\"\nwindow = \"1d\"",
            "source is \"fraud\", expected amount_minor with aggregate = \"variance\"",
        );
        check(
            "aggregate = \"last\"\nsource = \"device\"\nwindow = \"1d\"",
            "source is \"device\", expected one of amount_minor, currency, merchant_category, channel, outcome with \
             aggregate = \"last\"",
        );
        check(
            "aggregate = \"distinct\"\nsource = \"amount_minor\"\nwindow = \"1d\"",
            "source is \"amount_minor\", expected one of currency, merchant_category, channel, outcome, customer, \
             terminal, card, merchant, device, account with aggregate = \"distinct\"",
        );
        check(
            "aggregate = \"rate\"\nper = \"1h\"\nwindow = \"forever\"",
            "window is \"forever\", expected a duration with aggregate = \"rate\"",
        );
        check(
            "aggregate = \"decayed_sum\"\nsource = \"amount_minor\"\nhalf_life = \"1h\"\nwindow = { last = 5 }",
            "window is { last = 5 }, expected a duration or \"forever\" with aggregate = \"decayed_sum\"",
        );
        check(
            "aggregate = \"decayed_mean\"\nsource = \"amount_minor\"\nhalf_life = \"1h\"\nwindow = \"forever\"\ndelay = \"1d\"",
            "delay is \"1d\", expected none with aggregate = \"decayed_mean\" and window = \"forever\"",
        );
    }

    #[test]
    fn event_without_what_a_feature_needs_is_refused() {
        let check = |keys: &str, expected: &str| check(&format!("window = \"1d\"\n{keys}\n"), expected);
        check(
            "entity = \"card\"\nevent = \"label\"\naggregate = \"sum\"\nsource = \"fraud\"",
            "source is \"fraud\", expected amount_minor with event = \"label\"",
        );
        check(
            "entity = \"customer\"\nevent = \"account\"\naggregate = \"distinct\"\nsource = \"channel\"",
            "source is \"channel\", expected amount_minor or currency with event = \"account\"",
        );
        check(
            "entity = \"card\"\nevent = \"account\"\naggregate = \"count\"",
            "entity is \"card\", expected customer or account with event = \"account\"",
        );
        check(
            "entity = [\"customer\", \"account\"]\nevent = \"account\"\naggregate = \"count\"",
            "entity is [\"customer\", \"account\"], expected customer or account with event = \"account\"",
        );
        check(
            "entity = \"card\"\nevent = \"label\"\naggregate = \"z_score\"\nsource = \"amount_minor\"",
            "event is \"label\", expected transaction with aggregate = \"z_score\"",
        );
    }

    #[test]
    fn precision_that_an_aggregate_does_not_have_is_refused() {
        let check = |keys: &str, expected: &str| {
            let keys = format!("entity = \"card\"\nprecision = {{ bucketed = \"1h\" }}\n{keys}\n");
            check(
                &keys,
                &format!("precision is {{ bucketed = \"1h\" }}, expected {expected}"),
            );
        };
        for aggregate in ["first", "last", "z_score"] {
            let keys = format!("aggregate = \"{aggregate}\"\nsource = \"amount_minor\"\nwindow = \"1d\"");
            check(&keys, &format!("\"exact\" with aggregate = \"{aggregate}\""));
        }
        check(
            "aggregate = \"time_since_last\"\nwindow = \"1d\"",
            "\"exact\" with aggregate = \"time_since_last\"",
        );
        check(
            "aggregate = \"decayed_sum\"\nsource = \"amount_minor\"\nhalf_life = \"1h\"\nwindow = \"1d\"",
            "\"exact\" with aggregate = \"decayed_sum\"",
        );
        check(
            "aggregate = \"mean\"\nsource = \"fraud\"\nwindow = \"1d\"",
            "\"exact\" with source = \"fraud\"",
        );
        check(
            "aggregate = \"count\"\nwindow = { last = 10 }",
            "\"exact\" with window = { last = 10 }",
        );
        check(
            "aggregate = \"count\"\nwindow = \"1d\"\nincludes_current = false",
            "\"exact\" with includes_current = false",
        );
        check(
            "aggregate = \"count\"\nwindow = \"10m\"",
            "buckets of at most \"10m\", the window",
        );
    }

    #[test]
    fn more_buckets_than_an_entity_can_hold_are_refused() {
        let keys = |window: &str, delay: &str| {
            format!(
                "entity = \"card\"\naggregate = \"count\"\nprecision = {{ bucketed = \"1s\" }}\nwindow = \"{window}\"\n\
                 delay = \"{delay}\"\n"
            )
        };
        let text = |keys: &str| format!("name = \"s\"\nversion = 1\n[[feature]]\nname = \"a\"\n{keys}");
        assert!(FeatureSet::parse(&text(&keys("16000s", "384s"))).is_ok());
        check(
            &keys("16000s", "385s"),
            "precision is { bucketed = \"1s\" }, expected at most 16384 buckets in \"16385s\", the window and its delay",
        );
    }

    #[test]
    fn sixty_four_slots_are_accepted_and_the_next_is_refused() {
        let table = |index: usize| format!("[[feature]]\nname = \"f{index}\"\ntransform = \"is_weekend\"\n");
        let text = SET.to_owned() + &(1..=64).map(table).collect::<String>();
        assert_eq!(FeatureSet::parse(&text).unwrap().slot_count(), 64);
        check_text(
            &format!(
                "{text}{}[[feature]]\nname = \"hour\"\ntransform = \"hour\"\n",
                table(65)
            ),
            &["196:8: feature \"f65\": name is past the last slot: the set has 67, expected at most 64"],
        );
    }

    #[test]
    fn key_that_is_left_out_has_its_default() {
        let FeatureKind::Window(feature) = accepted(COUNT) else {
            panic!("a window feature");
        };
        let expected = WindowFeature {
            entity: EntityKey::One(Entity::Card),
            event: EventKind::Transaction,
            filter: Filter::default(),
            aggregate: Aggregate::Count,
            window: Window::Sliding(DAY_NS),
            delay_ns: 0,
            precision: Precision::Exact,
            includes_current: true,
        };
        assert_eq!(feature, expected);
        for aggregate in ["last", "z_score"] {
            let keys = COUNT.replace("count", aggregate) + "source = \"amount_minor\"\n";
            let FeatureKind::Window(feature) = accepted(&keys) else {
                panic!("a window feature");
            };
            assert!(!feature.includes_current, "{aggregate}");
        }
        let set = FeatureSet::parse(&set_of(&[COUNT])).unwrap();
        assert_eq!((set.description.as_str(), set.features[0].missing), ("", 0.0));
    }

    /// The conditions of a filter over events of a kind.
    fn filter_of(event: &str, filter: &str) -> Vec<Condition> {
        match accepted(&format!("{COUNT}event = \"{event}\"\nfilter = {filter}\n")) {
            FeatureKind::Window(feature) => feature.filter.conditions,
            _ => panic!("a window feature"),
        }
    }

    #[test]
    fn filter_is_sorted_and_its_names_are_numbers() {
        let is = |field, test| Condition { field, test };
        let (channel, outcome) = (
            FilterField::Field(Field::Channel),
            FilterField::Field(Field::Outcome),
        );
        assert_eq!(
            filter_of(
                "transaction",
                "{ outcome = \"declined\", channel = [\"atm\", \"card_present\", \"atm\"] }"
            ),
            [
                is(channel, Test::AnyOf(vec![1, 3])),
                is(outcome, Test::AnyOf(vec![2]))
            ],
        );
        let amount = FilterField::Field(Field::AmountMinor);
        assert_eq!(
            filter_of("transaction", "{ amount_minor = { min = 1 } }"),
            [is(amount, Test::Between(1, i64::MAX))]
        );
        assert_eq!(
            filter_of("transaction", "{ merchant_category = { max = 5_411 } }"),
            [is(
                FilterField::Field(Field::MerchantCategory),
                Test::Between(0, 5411)
            )]
        );
        assert_eq!(
            filter_of("label", "{ label_source = \"chargeback\", verdict = \"fraud\" }"),
            [
                is(FilterField::Verdict, Test::AnyOf(vec![2])),
                is(FilterField::LabelSource, Test::AnyOf(vec![1]))
            ],
        );
        for (name, field) in FILTER_FIELDS {
            for (value, number) in field.values().into_iter().flatten() {
                let event = match field {
                    FilterField::Field(_) => "transaction",
                    FilterField::Verdict | FilterField::LabelSource => "label",
                    FilterField::Change => continue, // of account updates, which have no card
                };
                let found = filter_of(event, &format!("{{ {name} = \"{value}\" }}"));
                assert_eq!(found, [is(*field, Test::AnyOf(vec![*number]))]);
            }
        }
    }

    #[test]
    fn transforms_and_ratios_are_read() {
        let night = Transform::IsNight { hour_max: 6 };
        let cases = [
            ("raw\"\nsource = \"currency", Transform::Raw(Field::Currency)),
            (
                "log\"\nsource = \"amount_minor",
                Transform::Log(Field::AmountMinor),
            ),
            ("one_hot\"\nsource = \"outcome", Transform::OneHot(Field::Outcome)),
            ("is_night\"\nhour_max = 6 #\"", night),
            ("is_weekend", Transform::IsWeekend),
            ("weekday", Transform::Weekday),
            ("hour", Transform::Hour),
        ];
        for (text, expected) in cases {
            assert_eq!(
                accepted(&format!("transform = \"{text}\"\n")),
                FeatureKind::Current(expected)
            );
        }
        let weekend = "transform = \"is_weekend\"\n";
        let set = set_of(&[weekend, weekend, "ratio = [\"b\", \"a\"]\nmissing = -1\n"]);
        let ratio = FeatureSet::parse(&set).unwrap().features.pop().unwrap();
        let expected = FeatureKind::Ratio {
            numerator: 1,
            denominator: 0,
        };
        assert_eq!((ratio.kind, ratio.missing), (expected, -1.0));
    }

    #[test]
    fn entities_of_a_pair_stand_in_one_order() {
        for pair in ["[\"terminal\", \"customer\"]", "[\"customer\", \"terminal\"]"] {
            let FeatureKind::Window(feature) = accepted(&COUNT.replace("\"card\"", pair)) else {
                panic!("a window feature");
            };
            assert_eq!(
                feature.entity,
                EntityKey::Pair(Entity::Customer, Entity::Terminal)
            );
        }
    }

    #[test]
    fn file_that_cannot_be_loaded_is_named_with_the_lines() {
        let missing = Path::new("features/none.toml");
        let error = FeatureSet::load(missing).unwrap_err().to_string();
        assert!(error.starts_with("cannot read features/none.toml: "), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("set.toml");
        fs::write(&path, "name = \"s\"\nversion = 1\n\nfeture = 1\n").unwrap();
        let error = FeatureSet::load(&path).unwrap_err().to_string();
        let expected = [
            "set.toml:1:1: feature is missing, expected one [[feature]] or more",
            "set.toml:4:1: unknown key feture; did you mean feature?",
        ];
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{error}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.ends_with(expected), "{line}");
        }
    }

    #[test]
    fn file_that_is_endless_or_none_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let check = |path: &Path, expected: &str| {
            let error = FeatureSet::load(path).unwrap_err().to_string();
            let expected = format!("cannot read {}: {expected}", path.display());
            assert_eq!(error, expected);
        };
        check(Path::new("/dev/zero"), "it is a device, expected a regular file");
        check(directory.path(), "it is a directory, expected a regular file");
        let fifo = directory.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        check(&fifo, "it is a pipe, expected a regular file");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        check(&link, "it is a device, expected a regular file");
        let long = directory.path().join("long.toml");
        fs::write(&long, vec![b'#'; FILE_LEN_MAX as usize + 1]).unwrap();
        check(&long, "it has 1048577 bytes, expected at most 1048576");
        fs::write(
            &long,
            SET.to_owned() + "[[feature]]\nname = \"a\"\ntransform = \"is_weekend\"\n",
        )
        .unwrap();
        assert_eq!(FeatureSet::load(&long).unwrap().slot_count(), 1);
    }

    const SHIPPED: &str = include_str!("../../../../features/payments-attempts.toml");

    /// What may stand for a value, right somewhere and wrong elsewhere.
    const VALUES: [&str; 16] = [
        "0",
        "-1",
        "1e40",
        "nan",
        "true",
        "\"\"",
        "\"1d\"",
        "\"é\"",
        "\"count\"",
        "[]",
        "[\"card\", 1]",
        "{}",
        "{ last = 1 }",
        "{ a.b = 1 }",
        "1979-05-27",
        "\"\"\"\na\"\"\"",
    ];

    proptest! {
        /// Whatever is written, every finding has words and a place in the text.
        #[test]
        fn prop_changed_text_is_read_or_refused_at_a_place(
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..VALUES.len() + 2), 1..4)
        ) {
            let mut lines: Vec<String> = SHIPPED.lines().map(str::to_owned).collect();
            for (line, change) in changes {
                let line = &mut lines[line.index(SHIPPED.lines().count())];
                let key = line.split(" = ").next().unwrap_or_default().to_owned();
                *line = match VALUES.get(change) {
                    Some(value) => format!("{key} = {value}"),
                    None if change == VALUES.len() => String::new(),
                    None => line.replacen('e', "", 1),
                };
            }
            let text = lines.join("\n");
            for finding in FeatureSet::parse(&text).err().unwrap_or_default() {
                let span = finding.span.clone().unwrap();
                prop_assert!(text.get(span).is_some(), "{finding}");
                prop_assert!(!finding.message.is_empty());
            }
        }
    }
}
