//! SIGTERM and Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::time::{Duration, Instant};

use pinion_runtime::shutdown::Signal;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Failure;

/// The exit code of an end at once.
const CUT_SHORT: i32 = 2;

/// Signals that come this soon after the first are taken for the same one: a shell or a supervisor often signals
/// a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// A request to end that is set by SIGTERM and Ctrl-C.
///
/// # Errors
/// The system does not let us handle them.
pub fn watch() -> Result<Signal, Failure> {
    let signal = Signal::new();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::could_not)?;
    let asked = signal.clone();
    let wait = move || {
        let mut first: Option<Instant> = None;
        for _ in signals.forever() {
            let begun = *first.get_or_insert_with(Instant::now);
            asked.set();
            if begun.elapsed() > SAME_SIGNAL {
                eprintln!("error: cut short by a second signal; the journal was not closed in order");
                std::process::exit(CUT_SHORT);
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map_err(Failure::could_not)?;
    Ok(signal)
}
