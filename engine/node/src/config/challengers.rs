//! Section `[challengers]`: models that score in the shadow of the one in force.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pinion_score::Backend;
use serde::{Deserialize, Serialize};

/// Challengers at most: each is a thread, and the payments lane's memory once more.
pub const CHALLENGERS_MAX: usize = 8;

/// The longest name. Unit: bytes.
pub const NAME_LEN_MAX: usize = 32;

/// Models that score in the shadow. They change no decision, so nothing here is part of the decision hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChallengersConfig {
    /// Models that score every transaction of the journal beside the one in force, each on a thread of its own behind
    /// all others, and note it in the journal's folder under challengers/. One table `[[challengers.models]]` each:
    /// `name` (lower-case letters, digits, hyphens; in counters and file names), `model` (as score.model), and, where
    /// they differ from the champion's, `set` (as features.set) and `backend` (as score.backend). All else is as
    /// `[score]` says. Costs the memory of the payments lane once more for each, and at each start one pass over the
    /// journal. At most 8. Default: [].
    pub models: Vec<ChallengerConfig>,
}

/// One challenger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengerConfig {
    /// Its name in counters, files and reports.
    pub name: String,
    /// Folder of its model.
    pub model: String,
    /// File of its feature set; none: the set in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<PathBuf>,
    /// What runs its encoder; none: what runs the champion's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

impl ChallengersConfig {
    /// Refuses what is out of range; the message begins with the key.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        const KEY: &str = "challengers.models";
        if self.models.len() > CHALLENGERS_MAX {
            let found = self.models.len();
            return Err(format!(
                "{KEY} has {found} tables, expected at most {CHALLENGERS_MAX}"
            ));
        }
        let mut names = BTreeSet::new();
        for ChallengerConfig { name, model, .. } in &self.models {
            if !is_name(name) {
                return Err(format!(
                    "{KEY}: name is \"{name}\", expected 1 to {NAME_LEN_MAX} lower-case letters, digits and hyphens"
                ));
            }
            if !names.insert(name) {
                return Err(format!(
                    "{KEY}: name is \"{name}\" twice, expected a name for each"
                ));
            }
            if model.is_empty() {
                return Err(format!("{KEY}: model of \"{name}\" is empty, expected a path"));
            }
        }
        Ok(())
    }
}

/// Whether it can stand in a counter's label and in a file's name.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenger(name: &str) -> ChallengerConfig {
        ChallengerConfig {
            name: name.to_owned(),
            model: "models/fraud-v1".to_owned(),
            set: None,
            backend: None,
        }
    }

    #[track_caller]
    fn check_refused(models: Vec<ChallengerConfig>, expected: &str) {
        let error = ChallengersConfig { models }.validate().unwrap_err();
        assert_eq!(error, expected);
    }

    #[test]
    fn names_and_numbers_out_of_range_are_refused_by_key() {
        let models = vec![challenger("new-2"), challenger("newer")];
        ChallengersConfig { models }.validate().unwrap();
        let bad_name = |name: &str| {
            format!(
                "challengers.models: name is \"{name}\", expected 1 to 32 lower-case letters, digits and hyphens"
            )
        };
        let long = "a".repeat(33);
        for name in ["", "New", "a/b", "a.b", &long] {
            check_refused(vec![challenger(name)], &bad_name(name));
        }
        check_refused(
            vec![challenger("a"), challenger("b"), challenger("a")],
            "challengers.models: name is \"a\" twice, expected a name for each",
        );
        check_refused(
            vec![ChallengerConfig {
                model: String::new(),
                ..challenger("a")
            }],
            "challengers.models: model of \"a\" is empty, expected a path",
        );
        check_refused(
            (0..9).map(|number| challenger(&format!("m{number}"))).collect(),
            "challengers.models has 9 tables, expected at most 8",
        );
    }
}
