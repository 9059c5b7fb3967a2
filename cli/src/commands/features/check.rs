//! `pinion features check`: is a set well, does the model take it, and what memory does it need?
//!
//! Invariant: nothing is started; the store is laid out as an engine lays it out, and thrown away unused.

use std::path::Path;

use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore};
use pinion_node::Config;
use pinion_score::manifest::{self, ModelFolder};
use serde::Serialize;

use super::SetFile;
use crate::args::{FeatureSetArguments, Output};
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, mebibytes};

/// Checks it.
///
/// # Errors
/// The configuration or the set is refused.
pub fn run(arguments: &FeatureSetArguments, output: Output) -> Result<Ended, Failure> {
    let (config, file) = super::open(arguments)?;
    let report = Report::new(&config, &file);
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&report)?,
        Output::Text => report.lines().iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()?;
    Ok(match report.finding {
        None => Ended::Well,
        Some(_) => Ended::WithFindings,
    })
}

/// What is said of a set.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    name: String,
    version: u32,
    features: usize,
    slots: usize,
    hash: String,
    model: Model,
    memory: Vec<Memory>,
    memory_len: u64,
    finding: Option<String>,
}

/// Whether the configured model could be served from the set.
#[derive(Debug, Serialize)]
struct Model {
    is_accepting: bool,
    words: String,
}

/// What a stream, or a table of pairs, takes at most.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct Memory {
    what: String,
    len: u64,
}

/// What the feature store takes at most.
pub(in crate::commands) fn memory(store: &FeatureStore) -> Vec<Memory> {
    let parts = store.memory().into_iter();
    parts.map(|(what, len)| Memory { what, len }).collect()
}

/// The memory as lines: each part, then all together.
pub(in crate::commands) fn memory_lines(memory: &[Memory]) -> Vec<String> {
    let total: u64 = memory.iter().map(|part| part.len).sum();
    let part = |part: &Memory| format!("{}: {}", part.what, mebibytes(part.len));
    let all = format!(
        "features in all: {}; as much again for the replica, mapped as it is used",
        mebibytes(total)
    );
    memory.iter().map(part).chain([all]).collect()
}

impl Report {
    fn new(config: &Config, file: &SetFile) -> Self {
        let set = &file.set;
        let (memory, finding) = match FeatureStore::new(&config.features, set) {
            Ok(store) => (memory(&store), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Self {
            file: file.path.display().to_string(),
            name: set.name.clone(),
            version: set.version,
            features: set.features.len(),
            slots: set.slot_count(),
            hash: hash_text(canonical::hash(set)),
            model: Model::of(config, set),
            memory_len: memory.iter().map(|part| part.len).sum(),
            memory,
            finding,
        }
    }

    fn lines(&self) -> Vec<String> {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let mut lines = vec![
            format!(
                "{}: {} version {}, {} in {}, hash {}",
                self.file,
                self.name,
                self.version,
                counted(self.features, "feature"),
                counted(self.slots, "slot"),
                self.hash
            ),
            format!("model    {}", self.model.words),
        ];
        match &self.finding {
            Some(finding) => lines.push(format!("finding  {finding}")),
            None => lines.extend(
                memory_lines(&self.memory)
                    .iter()
                    .map(|line| format!("memory   {line}")),
            ),
        }
        lines
    }
}

impl Model {
    fn of(config: &Config, set: &FeatureSet) -> Self {
        let folder = manifest::locate(Path::new(&config.score.model));
        let refusal = match folder.and_then(|folder| ModelFolder::open(&folder)) {
            Ok(model) => return Self::judge(&model, set),
            Err(error) => error,
        };
        Self {
            is_accepting: false,
            words: format!("none to compare with: {refusal}"),
        }
    }

    fn judge(model: &ModelFolder, set: &FeatureSet) -> Self {
        let trained = &model.manifest.features;
        let name = format!("{} version {}", model.manifest.name, model.manifest.version);
        let is_accepting = canonical::hash_of_first(set, trained.len()) == Some(model.feature_set_hash);
        let words = match is_accepting {
            true => format!(
                "{name} takes it: its first {} slots are those of the model",
                trained.len()
            ),
            false => format!("{name} refuses it: {}", difference(trained, &set.slot_names())),
        };
        Self { is_accepting, words }
    }
}

/// The first slot in which a set is not what a model was trained on, in words.
fn difference(trained: &[String], slots: &[String]) -> String {
    let place = trained
        .iter()
        .zip(slots)
        .position(|(expected, found)| expected != found);
    match place {
        Some(slot) => format!("slot {slot} is {}, expected {}", slots[slot], trained[slot]),
        None if slots.len() < trained.len() => {
            format!("it has {} slots, expected {} or more", slots.len(), trained.len())
        }
        None => format!(
            "one of its first {} slots has the name of the model's, and means something else",
            trained.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(trained: &[&str], slots: &[&str], expected: &str) {
        let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        assert_eq!(difference(&owned(trained), &owned(slots)), expected);
    }

    #[test]
    fn first_slot_that_differs_is_named() {
        check(&["a", "b"], &["a", "c"], "slot 1 is c, expected b");
        check(&["a", "b"], &["a"], "it has 1 slots, expected 2 or more");
        let other = "one of its first 1 slots has the name of the model's, and means something else";
        check(&["a"], &["a", "b"], other);
    }
}
