//! What an operator can set of the scoring stage.

use serde::{Deserialize, Serialize};

use crate::bank::{BankConfig, ROWS_MAX};
use crate::cases::CaseEntity;
use crate::device::{Libraries, Sizes};
use crate::encoder;
use crate::error::ScoreError;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Cases that a GPU proposes at most.
const PROPOSALS_MAX: u64 = 4096;

/// Which code computes scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// ONNX Runtime on the CPU.
    Onnx,
    /// Our own loops over the same weights: needs no library, gives the same bits on every machine.
    Native,
    /// As native, but a GPU searches the bank for each batch; gives the same bits.
    Cuda,
}

/// The scoring stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConfig {
    /// Folder of the model: manifest.toml, encoder.onnx, bank.bin. A relative path is looked for in the working
    /// directory, then in the folders above the program and above the working directory.
    pub model: String,
    /// What computes scores: "onnx" (ONNX Runtime on the CPU), "native" (own code, no library needed, same bits on every
    /// machine; the two agree to 1e-5), or "cuda" (as native, to the bit, but an NVIDIA GPU searches the bank; for large
    /// banks, and for a program that was built with it).
    pub backend: Backend,
    /// Path of the ONNX Runtime library, or "auto": beside the program, in its lib folder, or where
    /// `cargo xtask setup` puts it. With "cuda" the folder of the GPU build, or "auto": where
    /// `cargo xtask setup --gpu` puts it.
    pub library: String,
    /// Events scored in one duty cycle at most; of these, up to 32 are encoded at once. 1 to 1024.
    pub batch_max: u32,
    /// How long two events and more wait for others to be encoded with, until there are `batch_max`: from the acceptance
    /// of the first of them on. One that is there alone is scored at once. A longer batch costs less per event and holds
    /// up its first. 0: what is there is scored. Unit: microseconds. 0 to 1000000.
    pub batch_wait_us: u32,
    /// Scored transactions that wait for their label; it takes them into the bank. One more and the oldest can be
    /// learnt from no more, counted. Sizes the table once at start: 80 bytes each, and 4 per value of the embedding.
    /// 0: the bank stays the model's own, but for corrections and erasures. 0 to 1048576.
    pub waiting_max: u32,
    /// A transaction without a label counts as genuine after this time by the events' clock; a later label takes that
    /// back. score.waiting_max must hold the transactions of that time. 0: only a label says so, and where there are
    /// labels of frauds alone, the bank fills with frauds. Unit: seconds. 0 to 31536000.
    pub genuine_after_s: u64,
    /// Whose cases score.bank.entity_rows_max limits together, and whose earlier payments reasons compare with:
    /// "customer", "terminal", "card", "merchant", "device" or "account".
    pub case_entity: CaseEntity,
    /// Entities whose earlier payments are known; one more, and of a few the one seen longest ago makes room. Sizes the
    /// table once at start: 16 bytes each, and 8 per feature of the model. 0: reasons compare with training alone.
    /// 0 to 1048576.
    pub histories_max: u32,
    /// The cases that scores are made of.
    pub bank: BankConfig,
    /// The GPU of "cuda". Nothing here changes a score.
    pub device: DeviceConfig,
}

/// Section `[score.device]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Cases that the GPU proposes for each transaction. Where more cases than these are as near as rounding can tell,
    /// the CPU searches the bank as well, counted in score.device_left; more of them cost each run more.
    /// Range: 1 to 4096. Default: 1024.
    pub proposals: u32,
    /// Folder of CUDA's libraries, or "auto": beside the GPU build of ONNX Runtime, else where the system's loader finds
    /// them.
    pub cuda: String,
    /// SHA-256 of the CUDA provider, or "pinned": that of the build which `cargo xtask setup --gpu` fetches.
    pub provider_sha256: String,
}

/// What of the section can change a score, as it goes into hashes. What is left out stands here as its default, if it
/// stood here when hashes were first recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deciding {
    model: String,
    backend: Backend,
    library: String,
    batch_max: u32,
    batch_wait_us: u32,
    waiting_max: u32,
    genuine_after_s: u64,
    case_entity: CaseEntity,
    histories_max: u32,
    bank: BankConfig,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            proposals: 1024,
            cuda: "auto".to_owned(),
            provider_sha256: "pinned".to_owned(),
        }
    }
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            model: "models/fraud-v2".to_owned(),
            backend: Backend::Onnx,
            library: "auto".to_owned(),
            batch_max: 32,
            batch_wait_us: 0,
            waiting_max: 65_536,
            genuine_after_s: 7 * DAY_S,
            case_entity: CaseEntity::default(),
            histories_max: 65_536,
            bank: BankConfig::default(),
            device: DeviceConfig::default(),
        }
    }
}

impl ScoreConfig {
    /// The section without what cannot change a score: which model it is, its hash says; where the library lies, whether
    /// a GPU searches, and how many events are scored at once and how long they wait for that, makes no difference.
    pub fn deciding(&self) -> Deciding {
        let Self {
            model,
            library,
            batch_max,
            batch_wait_us,
            ..
        } = Self::default();
        let Self {
            waiting_max,
            genuine_after_s,
            case_entity,
            histories_max,
            ..
        } = *self;
        Deciding {
            model,
            backend: self.on_cpu().backend,
            library,
            batch_max,
            batch_wait_us,
            waiting_max,
            genuine_after_s,
            case_entity,
            histories_max,
            bank: self.bank.clone(),
        }
    }

    /// The same without a GPU; the scores are the same to the bit.
    pub fn on_cpu(&self) -> Self {
        let mut config = self.clone();
        if self.backend == Backend::Cuda {
            config.backend = Backend::Native;
        }
        config
    }

    /// Where the libraries of a GPU are.
    pub(crate) fn libraries(&self) -> Libraries {
        let unless = |value: &str, name: &str| (value != name).then(|| value.to_owned());
        Libraries {
            library: self.library.clone(),
            cuda: unless(&self.device.cuda, "auto").map(Into::into),
            provider_sha256: unless(&self.device.provider_sha256, "pinned"),
        }
    }

    /// What the memory of a GPU is for: as many vectors as are encoded at once.
    pub(crate) fn device_sizes(&self) -> Sizes {
        Sizes {
            rows_max: self.bank.rows_max,
            batch: encoder::ROWS_MAX.min(self.batch_max as usize),
            proposals: self.device.proposals as usize,
            threads: 1,
        }
    }

    /// Refuses what a GPU cannot do.
    ///
    /// # Errors
    /// [`ScoreError::ApproximateOnDevice`].
    pub(crate) fn validate_device(&self) -> Result<(), ScoreError> {
        let got = self.bank.approximate_from_rows;
        if self.backend == Backend::Cuda && got > 0 {
            return Err(ScoreError::ApproximateOnDevice { got });
        }
        Ok(())
    }

    /// Refuses values that are out of range.
    ///
    /// # Errors
    /// [`ScoreError::BatchMax`], [`ScoreError::Empty`], [`ScoreError::Bank`], [`ScoreError::ApproximateOnDevice`].
    pub fn validate(&self) -> Result<(), ScoreError> {
        if !(1..=1024).contains(&self.batch_max) {
            return Err(ScoreError::BatchMax { got: self.batch_max });
        }
        if self.model.is_empty() {
            return Err(ScoreError::Empty { key: "score.model" });
        }
        let paths = [
            ("score.library", &self.library),
            ("score.device.cuda", &self.device.cuda),
        ];
        if let Some((key, _)) = paths.into_iter().find(|(_, path)| path.is_empty()) {
            return Err(ScoreError::Empty { key });
        }
        let limits = [
            ("score.batch_wait_us", self.batch_wait_us.into(), 0, 1_000_000),
            ("score.waiting_max", self.waiting_max.into(), 0, ROWS_MAX.into()),
            (
                "score.histories_max",
                self.histories_max.into(),
                0,
                ROWS_MAX.into(),
            ),
            ("score.genuine_after_s", self.genuine_after_s, 0, 365 * DAY_S),
            (
                "score.device.proposals",
                self.device.proposals.into(),
                1,
                PROPOSALS_MAX,
            ),
        ];
        for (key, got, min, max) in limits {
            if !(min..=max).contains(&got) {
                return Err(ScoreError::Bank { key, got, min, max });
            }
        }
        self.bank.validate()?;
        self.validate_device()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Journals and checkpoints of one serve the other.
    #[test]
    fn gpu_decides_nothing() {
        let mut config = ScoreConfig {
            backend: Backend::Native,
            ..ScoreConfig::default()
        };
        let expected = config.deciding();
        config.backend = Backend::Cuda;
        config.device.proposals = 7;
        assert_eq!(config.deciding(), expected);
        config.backend = Backend::Onnx;
        assert_ne!(config.deciding(), expected);
    }

    /// As it was hashed before there was a GPU.
    #[test]
    fn what_decides_is_written_as_the_section_without_the_device() {
        let config = ScoreConfig::default();
        let (mut whole, deciding) = (
            toml::Table::try_from(&config).unwrap(),
            toml::to_string(&config.deciding()).unwrap(),
        );
        whole.remove("device");
        assert_eq!(toml::from_str::<toml::Table>(&deciding).unwrap(), whole);
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut ScoreConfig), expected: &str) {
        let mut config = ScoreConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        ScoreConfig::default().validate().unwrap();
        check(
            |config| config.batch_max = 0,
            "score.batch_max is 0, expected 1 to 1024",
        );
        check(
            |config| config.model.clear(),
            "score.model is empty, expected a path",
        );
        check(
            |config| config.library.clear(),
            "score.library is empty, expected a path",
        );
        check(
            |config| config.batch_wait_us = 1_000_001,
            "score.batch_wait_us is 1000001, expected 0 to 1000000",
        );
        check(
            |config| config.waiting_max = ROWS_MAX + 1,
            "score.waiting_max is 1048577, expected 0 to 1048576",
        );
        check(
            |config| config.histories_max = ROWS_MAX + 1,
            "score.histories_max is 1048577, expected 0 to 1048576",
        );
        check(
            |config| config.genuine_after_s = 365 * DAY_S + 1,
            "score.genuine_after_s is 31536001, expected 0 to 31536000",
        );
        check(
            |config| config.device.proposals = 0,
            "score.device.proposals is 0, expected 1 to 4096",
        );
        check(
            |config| config.device.cuda.clear(),
            "score.device.cuda is empty, expected a path",
        );
        check(
            |config| {
                config.backend = Backend::Cuda;
                config.bank.approximate_from_rows = 1_000;
            },
            "score.bank.approximate_from_rows is 1000, expected 0: with score.backend = \"cuda\" every search is exact",
        );
        check(
            |config| config.bank.rows_max = 0,
            "score.bank.rows_max is 0, expected 1 to 1048576",
        );
    }
}
