//! How a command ends: exit codes and the one line that says why.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | done, and it found something (`check`, `replay --verify`) |
//! | 2 | wrong usage, or it could not run |
//! | 3 | the configuration was refused |
//! | 4 | stored data is corrupt |
//! | 5 | an objective was missed |

use std::fmt;
use std::process::ExitCode;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 0.
    Well,
    /// 1: something was found.
    WithFindings,
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// 2: could not run.
    CouldNotRun(String),
    /// 3: the configuration was refused; each finding is shown already rendered.
    Configuration(Vec<String>),
    /// 4: stored data is corrupt.
    Corrupt(String),
    /// 5: an objective was missed.
    ObjectiveMissed(String),
}

impl Failure {
    /// A failure to run, of anything that can be shown.
    pub fn could_not(error: impl fmt::Display) -> Self {
        Self::CouldNotRun(error.to_string())
    }

    fn code(&self) -> u8 {
        match self {
            Self::CouldNotRun(_) => 2,
            Self::Configuration(_) => 3,
            Self::Corrupt(_) => 4,
            Self::ObjectiveMissed(_) => 5,
        }
    }
}

/// Says on stderr why a command failed, and gives the process's exit code.
pub fn report(outcome: Result<Ended, Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(Ended::Well) => return ExitCode::SUCCESS,
        Ok(Ended::WithFindings) => return ExitCode::from(1),
        Err(failure) => failure,
    };
    match &failure {
        Failure::CouldNotRun(text) | Failure::Corrupt(text) | Failure::ObjectiveMissed(text) => {
            eprintln!("error: {text}");
        }
        Failure::Configuration(findings) => findings.iter().for_each(|finding| eprintln!("{finding}")),
    }
    ExitCode::from(failure.code())
}
