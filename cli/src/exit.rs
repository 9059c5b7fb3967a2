//! How a command ends: exit codes and the one line that says why.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | done, and it found something (`check`, `publish --skip-bad-rows`, `replay --verify`), or not what was asked for (`features get`) |
//! | 2 | wrong usage, or it could not run |
//! | 3 | the configuration was refused |
//! | 4 | data is corrupt: the journal, a file of the engine, a source of events |
//! | 5 | an objective was missed |
//!
//! `model train` ends with the code of the trainer, which has 0 and 1 alone.
//!
//! Invariant: whoever closes our stdout early (`pinion listen | head`) has had what they wanted: that is 0.

use std::fmt;
use std::io;
use std::process::ExitCode;

use pinion_node::NodeError;
use pinion_replay::contest::ContestError;
use pinion_replay::explain::ExplainError;
use pinion_replay::import::ImportError;
use pinion_replay::session::ReplayError;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 0.
    Well,
    /// 1: something was found.
    WithFindings,
    /// As a program did that it ran.
    As(u8),
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// 2: could not run.
    CouldNotRun(String),
    /// 3: the configuration was refused; each finding is shown already rendered.
    Configuration(Vec<String>),
    /// 4: data is corrupt.
    Corrupt(String),
    /// 5: an objective was missed.
    ObjectiveMissed(String),
    /// 0: nobody reads our stdout any more.
    NobodyReads,
}

impl Failure {
    /// A failure to run, of anything that can be shown.
    pub fn could_not(error: impl fmt::Display) -> Self {
        Self::CouldNotRun(error.to_string())
    }

    /// What it means that stdout could not be written.
    pub fn of_stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::CouldNotRun(format!("stdout: {error}")),
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::CouldNotRun(_) => 2,
            Self::Configuration(_) => 3,
            Self::Corrupt(_) => 4,
            Self::ObjectiveMissed(_) => 5,
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match &error {
            NodeError::Cores(text) => Self::Configuration(vec![format!("error: {text}")]),
            NodeError::Challenger(error) => Self::Configuration(vec![format!("error: {error}")]),
            _ if error.is_corruption() => Self::Corrupt(error.to_string()),
            _ => Self::could_not(error),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Damaged { .. } | ImportError::BadRecord { .. } => Self::Corrupt(error.to_string()),
            _ => Self::could_not(error),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        if error.is_corruption() {
            Self::Corrupt(error.to_string())
        } else {
            Self::could_not(error)
        }
    }
}

impl From<ContestError> for Failure {
    fn from(error: ContestError) -> Self {
        if error.is_corruption() {
            Self::Corrupt(error.to_string())
        } else {
            Self::could_not(error)
        }
    }
}

impl From<ExplainError> for Failure {
    fn from(error: ExplainError) -> Self {
        if error.is_corruption() {
            Self::Corrupt(error.to_string())
        } else {
            Self::could_not(error)
        }
    }
}

/// Says on stderr why a command failed, and gives the process's exit code.
pub fn report(outcome: Result<Ended, Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(Ended::Well) => return ExitCode::SUCCESS,
        Ok(Ended::WithFindings) => return ExitCode::from(1),
        Ok(Ended::As(code)) => return ExitCode::from(code),
        Err(failure) => failure,
    };
    match &failure {
        Failure::CouldNotRun(text) | Failure::Corrupt(text) | Failure::ObjectiveMissed(text) => {
            eprintln!("error: {text}");
        }
        Failure::Configuration(findings) => findings.iter().for_each(|finding| eprintln!("{finding}")),
        Failure::NobodyReads => {}
    }
    ExitCode::from(failure.code())
}
