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
use std::ops::Range;
use std::path::{Path, PathBuf};

use pinion_schemas::records::FEATURES_MAX;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::feature::Others;
use self::source::{Section, Source};
use super::{Feature, FeatureSet};

pub(in crate::set) use self::feature::{KEYS, TRANSFORMS};
pub(in crate::set) use self::rules::{RULES, rule_of};

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
        source: std::io::Error,
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
    /// The file cannot be read, or [`Self::parse`] refuses what stands in it.
    pub fn load(path: &Path) -> Result<Self, SetError> {
        let path = path.to_path_buf();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(SetError::Read { path, source }),
        };
        Self::parse(&text).map_err(|findings| SetError::Refused { path, text, findings })
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
