//! Challengers: models that score every transaction in the shadow of the one that decides.
//!
//! ```text
//!   start: [[challengers.models]] ─▶ Replica with the challenger's model ── refused? the engine does not start
//!   then:  journal ─▶ [worker] Replica, the engine's own code ─▶ [file] journal/challengers/<name>-<identity>.scores
//! ```
//!
//! A challenger is a replica of the payments lane with another model. It reads the journal as far as it is safe and
//! touches nothing else of the engine, so that it can be late, stand before a full disk or end, and no decision is.
//! It has no checkpoint: each start runs the journal from its beginning, at the pace of a thread that gives way.
//!
//! Start at [`load`]; [`mod@file`] holds what is written and how it survives a crash.
//!
//! Invariant: a record is what the engine would have said, had the challenger been its model from the first payment.

pub mod file;
mod worker;

use std::path::{Path, PathBuf};

use pinion_features::set::canonical;
use pinion_features::set::file::SetError;
use pinion_runtime::hash;
use pinion_score::ScoreError;
use pinion_score::manifest::{ModelFolder, locate};

use crate::checkpoints::SCHEMA;
use crate::config::Config;
use crate::config::challengers::ChallengerConfig;
use crate::feature_sets::InForce;
use crate::replica::{Replica, ReplicaError};

use self::file::{Heading, SUFFIX};

pub use worker::ChallengerStart;
pub(crate) use worker::{Beside, Challenger};

/// The folder of the files, in the journal's.
pub const DIR_NAME: &str = "challengers";

/// Why a challenger is refused.
#[derive(Debug, thiserror::Error)]
#[error("challengers.models: \"{name}\": {reason}")]
pub struct ChallengerError {
    name: String,
    reason: Reason,
}

impl ChallengerError {
    /// What is wrong with it.
    pub fn reason(&self) -> String {
        self.reason.to_string()
    }
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("model is \"{}\", expected a folder with manifest.toml at one of: {searched}", found.display())]
    ModelMissing { found: PathBuf, searched: String },
    #[error("set: {0}")]
    Set(#[from] SetError),
    #[error("{0}")]
    Replica(#[from] ReplicaError),
}

impl From<ScoreError> for Reason {
    fn from(error: ScoreError) -> Self {
        match error {
            ScoreError::ModelMissing { found, searched } => Self::ModelMissing { found, searched },
            other => Self::Replica(other.into()),
        }
    }
}

/// A challenger that was found sound and runs nowhere yet.
pub struct Loaded {
    pub(crate) name: String,
    pub(crate) replica: Replica,
    /// What its scores follow from, but for the journal.
    text: String,
}

impl Loaded {
    /// What its file in the journal `journal_id` begins with.
    pub(crate) fn heading(&self, journal_id: u64) -> Heading {
        let identity = hash::short(format!("{}journal {journal_id:016x}\n", self.text).as_bytes());
        let model_hash = self.replica.scorer().map_or(0, |scorer| scorer.model_hash());
        Heading::new(journal_id, identity, (model_hash, self.replica.set_hash()))
    }
}

/// Its file in the journal's folder `dir`.
pub(crate) fn path(dir: &Path, name: &str, heading: &Heading) -> PathBuf {
    dir.join(DIR_NAME)
        .join(format!("{name}-{:016x}{SUFFIX}", heading.identity))
}

/// The name in the path of a challenger's file.
pub fn name_of(path: &Path) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    stem.rsplit_once('-').map(|(name, _)| name)
}

/// Loads the configured challengers; `sets` served the journal, the last is in force.
///
/// # Errors
/// The first that is refused, by its name.
///
/// Cost: reserves the memory of the payments lane for each.
pub fn load(config: &Config, sets: &[InForce]) -> Result<Vec<Loaded>, ChallengerError> {
    let load = |challenger: &ChallengerConfig| {
        load_one(config, sets, challenger).map_err(|reason| ChallengerError {
            name: challenger.name.clone(),
            reason,
        })
    };
    config.challengers.models.iter().map(load).collect()
}

/// A replica with a challenger's model; `sets` served the journal, the last is in force. `config` is the champion's.
///
/// # Errors
/// Set or model is refused.
pub fn replica(
    config: &Config,
    sets: &[InForce],
    challenger: &ChallengerConfig,
) -> Result<Replica, ChallengerError> {
    let loaded = load_one(config, sets, challenger);
    loaded
        .map(|loaded| loaded.replica)
        .map_err(|reason| ChallengerError {
            name: challenger.name.clone(),
            reason,
        })
}

fn load_one(config: &Config, sets: &[InForce], challenger: &ChallengerConfig) -> Result<Loaded, Reason> {
    let config = config_of(config, challenger);
    let sets = match challenger.set {
        Some(_) => vec![InForce::always(config.features.load_set()?.into())],
        None => sets.to_vec(),
    };
    let folder = ModelFolder::open(&locate(Path::new(&config.score.model))?)?;
    Ok(Loaded {
        name: challenger.name.clone(),
        replica: Replica::with_cases(&config, &sets)?,
        text: text_of(&config, &sets, folder.hash),
    })
}

/// The configuration under which the challenger would be the champion.
pub fn config_of(config: &Config, challenger: &ChallengerConfig) -> Config {
    let mut config = config.clone();
    config.score.model = challenger.model.clone();
    if let Some(backend) = challenger.backend {
        config.score.backend = backend;
    }
    if let Some(set) = &challenger.set {
        config.features.set = set.clone();
    }
    config
}

fn text_of(config: &Config, sets: &[InForce], model_hash: u64) -> String {
    let mut text = config.payment_state_text();
    text.push_str(&format!("schema {SCHEMA}\nmodel {model_hash:016x}\n"));
    for InForce { sequence, set, since } in sets {
        let hash = canonical::hash(set);
        let since = since.map(|since| (since.from_ns, since.until_sequence));
        text.push_str(&format!("set {hash:016x} behind {sequence} since {since:?}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_read_from_the_path_as_it_was_written() {
        let heading = Heading::new(1, 2, (3, 4));
        let path = path(Path::new("journal"), "fraud-v2", &heading);
        assert_eq!(
            path,
            Path::new("journal/challengers/fraud-v2-0000000000000002.scores")
        );
        assert_eq!(name_of(&path), Some("fraud-v2"));
        assert_eq!(name_of(Path::new("challengers/other.txt")), None);
    }
}
