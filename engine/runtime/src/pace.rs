//! Long work on a core that others wait for: done in short slices with rests between.
//!
//! Threads that yield when they are idle hand the whole of their turn to one that computes; it would keep them
//! waiting for milliseconds, however nice it is. One that sleeps gives the core back at once.
//!
//! Invariant: between two calls of [`Pace::step`] that find the slice used up there is a rest.

use std::thread;
use std::time::{Duration, Instant};

/// How long work may keep a core that is shared with agents.
pub const SLICE: Duration = Duration::from_micros(50);

/// How long it then rests at least; the system adds some 50 µs.
pub const REST: Duration = Duration::from_micros(50);

/// Slices and rests of one piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    slice: Duration,
    rest: Duration,
    begun: Option<Instant>,
}

impl Pace {
    /// Work on a core that is shared with agents: [`SLICE`] and [`REST`].
    pub const GENTLE: Self = Self::new(SLICE, REST);

    /// Work on a core that nobody waits for.
    pub const NONE: Self = Self::new(Duration::MAX, Duration::ZERO);

    /// A rest of `rest` after each `slice`.
    pub const fn new(slice: Duration, rest: Duration) -> Self {
        Self {
            slice,
            rest,
            begun: None,
        }
    }

    /// Rests if the slice is used up. Call it every few microseconds of work; the first slice begins with the
    /// first call.
    pub fn step(&mut self) {
        match self.begun {
            Some(begun) if begun.elapsed() < self.slice => return,
            Some(_) => thread::sleep(self.rest),
            None => {}
        }
        self.begun = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_after_each_slice_and_not_before() {
        let rest = Duration::from_millis(20);
        let mut pace = Pace::new(Duration::ZERO, rest);
        let started = Instant::now();
        pace.step();
        pace.step();
        pace.step();
        assert!(started.elapsed() >= 2 * rest, "a sleep is never shorter");
    }

    #[test]
    fn without_a_pace_it_never_rests() {
        let mut pace = Pace {
            rest: Duration::from_secs(3600),
            ..Pace::NONE
        };
        (0..1000).for_each(|_| pace.step());
    }
}
