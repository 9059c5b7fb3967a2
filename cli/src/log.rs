//! The log on stderr.

use std::io::IsTerminal;

use tracing::Level;

use crate::exit::Failure;

/// The variable that says how much is logged.
const VARIABLE: &str = "PINION_LOG";

/// Writes what is at least as grave as `PINION_LOG` says (error, warn, info, debug, trace; default info).
///
/// # Errors
/// The variable holds another word.
pub fn start() -> Result<(), Failure> {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level()?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // Only the first subscriber of a process counts, and this is the first.
    let _ = subscriber.try_init();
    Ok(())
}

fn level() -> Result<Level, Failure> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Ok(Level::INFO);
    };
    let refused = |_| {
        Failure::could_not(format!(
            "{VARIABLE} is \"{text}\", expected error, warn, info, debug or trace"
        ))
    };
    text.parse().map_err(refused)
}
