//! The one configuration: what every section holds, how it is read, and what of it can change a decision.
//!
//! Start at [`Config`]; [`layers`] lays the sources over each other; [`finding`] says what is wrong and where.
//! `config/reference.toml` lists every key with its default and comment; a test compares it with the code.
//!
//! Invariant: an engine is only built from a configuration that [`Config::load`] accepted as a whole.

pub mod challengers;
pub mod cores;
pub mod drift;
pub mod engine;
pub mod finding;
pub mod layers;
pub mod reference;

use pinion_book::BookConfig;
use pinion_checkpoint::CheckpointConfig;
use pinion_features::set::file::SetError;
use pinion_features::{FeatureSet, FeaturesConfig};
use pinion_ingest::IngestConfig;
use pinion_ingest::config::DeadLettersConfig;
use pinion_journal::JournalConfig;
use pinion_publish::PublishConfig;
use pinion_runtime::hash;
use pinion_schemas::records::LINE_LEN;
use pinion_score::{Backend, ScoreConfig};
use pinion_strategy::{StrategyConfig, StrategyError};
use pinion_transport::BusConfig;
use serde::{Deserialize, Serialize};

use crate::strategies;
use challengers::ChallengerConfig;

pub use challengers::ChallengersConfig;
pub use cores::CoresConfig;
pub use drift::DriftConfig;
pub use engine::EngineConfig;
pub use finding::{Finding, Origin};
pub use layers::Sources;

/// Tables that take any key: the parameters of strategy modules.
const OPEN_TABLES: [&str; 2] = ["strategy.payments.parameters", "strategy.market.parameters"];

/// Everything that can be set of an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The node as a whole.
    pub engine: EngineConfig,
    /// Which agent runs on which core.
    pub cores: CoresConfig,
    /// The media driver and the streams.
    pub bus: BusConfig,
    /// Sessions, verification, ids.
    pub ingest: IngestConfig,
    /// The record of inputs and decisions.
    pub journal: JournalConfig,
    /// What a start begins with in the place of the journal's first part.
    pub checkpoint: CheckpointConfig,
    /// Order books.
    pub book: BookConfig,
    /// The feature store.
    pub features: FeaturesConfig,
    /// The fraud model.
    pub score: ScoreConfig,
    /// Models in the shadow of the one in force.
    pub challengers: ChallengersConfig,
    /// How far the model's inputs and scores have moved.
    pub drift: DriftConfig,
    /// Strategy modules.
    pub strategy: StrategyConfig,
    /// Decisions out.
    pub publish: PublishConfig,
}

impl Config {
    /// Reads the sources over the defaults and checks the outcome.
    ///
    /// # Errors
    /// Every finding, each with its place.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Finding>> {
        layers::load(sources, &OPEN_TABLES, Self::validate)
    }

    /// The same with the feature set that it names: what an engine is built from.
    ///
    /// # Errors
    /// Every finding of the configuration; if there is none, every finding of the set, at its place in the
    /// set's file.
    pub fn load_with_set(sources: &Sources) -> Result<(Self, FeatureSet), Vec<Finding>> {
        let config = layers::load(sources, &OPEN_TABLES, Self::validate_with_set)?;
        let set = config.features.load_set().map_err(Finding::of_set)?;
        Ok((config, set))
    }

    /// [`Self::validate`], and whether there is a file where `features.set` says.
    fn validate_with_set(&self) -> Vec<String> {
        let unread = match self.features.load_set() {
            Err(error @ SetError::Read { .. }) => Some(format!("features.set: {error}")),
            Ok(_) | Err(SetError::Refused { .. }) => None,
        };
        self.validate().into_iter().chain(unread).collect()
    }

    /// What is out of range: messages that begin with the path of the key.
    pub fn validate(&self) -> Vec<String> {
        let outcomes = [
            self.engine.validate(),
            self.cores.validate(),
            self.bus.validate().map_err(|error| error.to_string()),
            self.ingest.validate().map_err(|error| error.to_string()),
            self.journal.validate().map_err(|error| error.to_string()),
            self.checkpoint.validate().map_err(|error| error.to_string()),
            self.book.validate().map_err(|error| error.to_string()),
            self.features.validate().map_err(|error| error.to_string()),
            self.score.validate().map_err(|error| error.to_string()),
            self.challengers.validate(),
            self.drift.validate(),
            self.validate_strategies().map_err(|error| error.to_string()),
            self.publish.validate().map_err(|error| error.to_string()),
            self.validate_between_sections(),
            self.validate_back_ends(),
        ];
        outcomes.into_iter().filter_map(Result::err).collect()
    }

    /// First eight bytes of the BLAKE3 hash of everything that can change a decision, in TOML: the sections
    /// `ingest`, `book`, `features` and `strategy`, and the score's back end. Cores, bus, journal, and how much is
    /// done at a time cannot, so that a replay on another layout has the same hash; the model and the feature set
    /// have hashes of their own.
    pub fn decision_hash(&self) -> u64 {
        #[derive(Serialize)]
        struct Deciding {
            ingest: IngestConfig,
            book: BookConfig,
            features: FeaturesConfig,
            score: pinion_score::config::Deciding,
            strategy: StrategyConfig,
        }
        let defaults = Self::default();
        let deciding = Deciding {
            ingest: IngestConfig {
                batch_max: defaults.ingest.batch_max,
                rejects_max: defaults.ingest.rejects_max,
                dead_letters: defaults.ingest.dead_letters,
                // What was accepted, and what was shed, stands in the journal.
                ahead_s_max: defaults.ingest.ahead_s_max,
                shedding: defaults.ingest.shedding,
                ..self.ingest.clone()
            },
            book: BookConfig {
                batch_max: defaults.book.batch_max,
                ..self.book.clone()
            },
            features: FeaturesConfig {
                batch_max: defaults.features.batch_max,
                // The set in force has a hash of its own. This is what stood here when hashes were first recorded:
                // another default must not make journals foreign.
                set: std::path::PathBuf::from("features/payments-v1.toml"),
                ..self.features.clone()
            },
            score: self.score.deciding(),
            strategy: StrategyConfig {
                batch_max: defaults.strategy.batch_max,
                ..self.strategy.clone()
            },
        };
        let text = toml::to_string(&deciding).expect("every configuration struct serialises");
        hash::short(text.as_bytes())
    }

    /// The journal's section with its folder inside the engine's.
    pub fn journal(&self) -> JournalConfig {
        JournalConfig {
            dir: self.engine.dir.join(&self.journal.dir),
            ..self.journal.clone()
        }
    }

    /// The section of checkpoints with its folder inside the engine's.
    pub fn checkpoint(&self) -> CheckpointConfig {
        CheckpointConfig {
            dir: self.engine.dir.join(&self.checkpoint.dir),
            ..self.checkpoint.clone()
        }
    }

    /// What decides which bytes the payment lane's state has, as text: of a state kept under the same text the bytes
    /// mean the same.
    pub fn payment_state_text(&self) -> String {
        #[derive(Serialize)]
        struct Deciding {
            ingest: Vec<u64>,
            frame_len_max: u32,
            features: FeaturesConfig,
            score: pinion_score::config::Deciding,
        }
        let defaults = FeaturesConfig::default();
        let deciding = Deciding {
            ingest: self.ingest.payments_layout(),
            frame_len_max: self.ingest.frame_len_max,
            features: FeaturesConfig {
                batch_max: defaults.batch_max,
                set: defaults.set,
                ..self.features.clone()
            },
            score: self.score.deciding(),
        };
        toml::to_string(&deciding).expect("every configuration struct serialises")
    }

    /// The section of refused frames with its file inside the engine's folder.
    pub fn dead_letters(&self) -> DeadLettersConfig {
        let section = &self.ingest.dead_letters;
        DeadLettersConfig {
            path: self.engine.dir.join(&section.path),
            ..section.clone()
        }
    }

    /// The section alone, then whether its modules exist and take their parameters.
    fn validate_strategies(&self) -> Result<(), StrategyError> {
        self.strategy.validate()?;
        strategies::payments(&self.strategy)?;
        strategies::market(&self.strategy).map(drop)
    }

    /// One process has one build of ONNX Runtime, whichever is loaded first.
    fn validate_back_ends(&self) -> Result<(), String> {
        let is_other = |model: &&ChallengerConfig| model.backend == Some(Backend::Onnx);
        let other = self.challengers.models.iter().find(is_other);
        match other.filter(|_| self.score.backend == Backend::Cuda) {
            None => Ok(()),
            Some(ChallengerConfig { name, .. }) => Err(format!(
                "challengers.models: backend of \"{name}\" is \"onnx\", expected \"native\" beside score.backend = \"cuda\""
            )),
        }
    }

    /// What the sections demand of each other.
    fn validate_between_sections(&self) -> Result<(), String> {
        let (ingest, features) = (&self.ingest, &self.features);
        let ring_payload_len = (self.engine.journal_ring_lines_max / 2).saturating_sub(1) * LINE_LEN as u32;
        let at_most = [
            (
                "ingest.frame_len_max",
                ingest.frame_len_max,
                "journal.payload_len_max",
                self.journal.payload_len_max,
            ),
            (
                "ingest.frame_len_max",
                ingest.frame_len_max,
                "what half of engine.journal_ring_lines_max holds",
                ring_payload_len,
            ),
            (
                "ingest.customers.ids_max",
                ingest.customers.ids_max,
                "features.customers.entities_max",
                features.customers.entities_max,
            ),
            (
                "ingest.terminals.ids_max",
                ingest.terminals.ids_max,
                "features.terminals.entities_max",
                features.terminals.entities_max,
            ),
            (
                "ingest.cards.ids_max",
                ingest.cards.ids_max,
                "features.cards.entities_max",
                features.cards.entities_max,
            ),
            (
                "ingest.merchants.ids_max",
                ingest.merchants.ids_max,
                "features.merchants.entities_max",
                features.merchants.entities_max,
            ),
            (
                "ingest.devices.ids_max",
                ingest.devices.ids_max,
                "features.devices.entities_max",
                features.devices.entities_max,
            ),
            (
                "ingest.accounts.ids_max",
                ingest.accounts.ids_max,
                "features.accounts.entities_max",
                features.accounts.entities_max,
            ),
            (
                "ingest.instruments_max",
                ingest.instruments_max,
                "book.instruments_max",
                self.book.instruments_max,
            ),
        ];
        match at_most.into_iter().find(|(_, found, _, limit)| found > limit) {
            None => Ok(()),
            Some((key, found, other, limit)) => Err(format!(
                "{key} is {found}, expected at most {other}, which is {limit}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Config::default().validate(), Vec::<String>::new());
    }

    #[test]
    fn layout_does_not_change_the_decision_hash_but_strategies_do() {
        let base = Config::default();
        let mut other = base.clone();
        other.engine.ring_records_max *= 2;
        other.bus.term_length *= 2;
        other.strategy.batch_max *= 2;
        other.ingest.dead_letters.entries_max *= 2;
        other.drift.window_transactions = 0;
        other.challengers.models.push(ChallengerConfig {
            name: "a".to_owned(),
            model: "models/a".to_owned(),
            set: None,
            backend: None,
        });
        other.score.device.proposals = 64;
        assert_eq!(base.decision_hash(), other.decision_hash());
        other.book.instruments_max += 1;
        assert_ne!(base.decision_hash(), other.decision_hash());
    }

    #[test]
    fn journal_and_state_of_a_gpu_are_those_of_the_native_back_end() {
        let with = |backend: Backend| {
            let mut config = Config::default();
            config.score.backend = backend;
            (config.decision_hash(), config.payment_state_text())
        };
        assert_eq!(with(Backend::Cuda), with(Backend::Native));
        assert_ne!(with(Backend::Cuda), with(Backend::Onnx));
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut Config), expected: &str) {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(config.validate(), [expected]);
    }

    #[test]
    fn sections_that_do_not_fit_each_other_are_refused() {
        check_refused(
            |config| {
                config.score.backend = Backend::Cuda;
                config.challengers.models.push(ChallengerConfig {
                    name: "a".to_owned(),
                    model: "models/a".to_owned(),
                    set: None,
                    backend: Some(Backend::Onnx),
                });
            },
            "challengers.models: backend of \"a\" is \"onnx\", expected \"native\" beside score.backend = \"cuda\"",
        );
        check_refused(
            |config| config.ingest.frame_len_max = 8192,
            "ingest.frame_len_max is 8192, expected at most journal.payload_len_max, which is 4096",
        );
        check_refused(
            |config| config.features.terminals.entities_max = 10,
            "ingest.terminals.ids_max is 262144, expected at most features.terminals.entities_max, which is 10",
        );
        check_refused(
            |config| config.ingest.instruments_max = 5000,
            "ingest.instruments_max is 5000, expected at most book.instruments_max, which is 4096",
        );
    }
}
