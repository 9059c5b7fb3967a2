//! SIGTERM and Ctrl-C: the first asks for an orderly end, the second ends at once.

use pinion_runtime::shutdown::Signal;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Failure;

/// The exit code of an end at once.
const CUT_SHORT: i32 = 2;

/// A request to end that is set by SIGTERM and Ctrl-C.
///
/// # Errors
/// The system does not let us handle them.
pub fn watch() -> Result<Signal, Failure> {
    let signal = Signal::new();
    for number in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, sets it, and does no more.
        flag::register_conditional_shutdown(number, CUT_SHORT, signal.flag()).map_err(Failure::could_not)?;
        flag::register(number, signal.flag()).map_err(Failure::could_not)?;
    }
    Ok(signal)
}
