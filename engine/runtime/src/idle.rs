//! What an agent's thread does when there was nothing to do.
//!
//! | strategy | when idle | wakes within | costs |
//! |---|---|---|---|
//! | busy-spin | looks again | some ns | a whole core |
//! | yield | lets others on this core run | some µs | what others leave of the core |
//! | back-off | spins, then yields, then sleeps ever longer | the sleep + 60 µs | little |
//! | sleep | sleeps | the sleep + 60 µs | least |
//!
//! Invariant: an idle strategy makes no heap call, and any work starts it over.

use std::fmt;
use std::hint;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use thiserror::Error;

/// Which way to be idle. Its text form has the default numbers: `busy-spin`, `yield`, `back-off`, `sleep`.
///
/// ```
/// use pinion_runtime::idle::IdleStrategy;
///
/// let idle: IdleStrategy = "back-off".parse().unwrap();
/// assert_eq!(idle, IdleStrategy::BACK_OFF);
/// assert_eq!(
///     "spin".parse::<IdleStrategy>().unwrap_err().to_string(),
///     "idle strategy is \"spin\", expected \"busy-spin\", \"yield\", \"back-off\" or \"sleep\"",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleStrategy {
    /// Looks again at once. The thread must have its core to itself.
    BusySpin,
    /// Lets another thread of this core run.
    Yield,
    /// Spins, then yields, then sleeps, twice as long each time.
    BackOff {
        /// Idle cycles that spin.
        spins: u32,
        /// Idle cycles after those that yield.
        yields: u32,
        /// The first sleep. Unit: ns.
        park_ns_min: u64,
        /// The longest sleep. Unit: ns.
        park_ns_max: u64,
    },
    /// Sleeps.
    Sleep {
        /// How long. Unit: ns; the system adds some 60 µs.
        ns: u64,
    },
}

impl IdleStrategy {
    /// `back-off` with its default numbers: 10 spins, 20 yields, sleeps from 1 µs to 1 ms.
    pub const BACK_OFF: Self = Self::BackOff {
        spins: 10,
        yields: 20,
        park_ns_min: 1_000,
        park_ns_max: 1_000_000,
    };

    /// `sleep` with its default number: 1 ms.
    pub const SLEEP: Self = Self::Sleep { ns: 1_000_000 };

    /// Whether a thread that idles so never leaves its core.
    pub fn is_spinning(&self) -> bool {
        *self == Self::BusySpin
    }
}

impl fmt::Display for IdleStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BusySpin => "busy-spin",
            Self::Yield => "yield",
            Self::BackOff { .. } => "back-off",
            Self::Sleep { .. } => "sleep",
        })
    }
}

impl FromStr for IdleStrategy {
    type Err = UnknownIdleStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "busy-spin" => Ok(Self::BusySpin),
            "yield" => Ok(Self::Yield),
            "back-off" => Ok(Self::BACK_OFF),
            "sleep" => Ok(Self::SLEEP),
            _ => Err(UnknownIdleStrategy {
                found: text.to_owned(),
            }),
        }
    }
}

/// The text names no idle strategy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("idle strategy is {found:?}, expected \"busy-spin\", \"yield\", \"back-off\" or \"sleep\"")]
pub struct UnknownIdleStrategy {
    /// The text.
    pub found: String,
}

/// An idle strategy at work: how long nothing has happened. One thread owns it.
#[derive(Clone, Debug)]
pub struct Idler {
    strategy: IdleStrategy,
    idle_cycles: u32,
}

/// What to do about one idle cycle.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Spin,
    Yield,
    Park { ns: u64 },
}

impl Idler {
    /// An idler that has just seen work.
    pub fn new(strategy: IdleStrategy) -> Self {
        Self {
            strategy,
            idle_cycles: 0,
        }
    }

    /// Ends a duty cycle that did `work_count` of work: returns at once if it was more than 0, else idles.
    /// `thread.unpark()` ends a sleep.
    #[inline]
    pub fn idle(&mut self, work_count: usize) {
        if work_count > 0 {
            self.idle_cycles = 0;
            return;
        }
        match self.step() {
            Step::Spin => hint::spin_loop(),
            Step::Yield => thread::yield_now(),
            Step::Park { ns } => thread::park_timeout(Duration::from_nanos(ns)),
        }
    }

    /// Decides on one more idle cycle.
    fn step(&mut self) -> Step {
        let idle_cycles = self.idle_cycles;
        self.idle_cycles = idle_cycles.saturating_add(1);
        match self.strategy {
            IdleStrategy::BusySpin => Step::Spin,
            IdleStrategy::Yield => Step::Yield,
            IdleStrategy::Sleep { ns } => Step::Park { ns },
            IdleStrategy::BackOff { spins, .. } if idle_cycles < spins => Step::Spin,
            IdleStrategy::BackOff { spins, yields, .. } if idle_cycles - spins < yields => Step::Yield,
            IdleStrategy::BackOff {
                spins,
                yields,
                park_ns_min,
                park_ns_max,
            } => {
                let doublings = (idle_cycles - spins - yields).min(63);
                Step::Park {
                    ns: park_ns_min.saturating_mul(1 << doublings).min(park_ns_max),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(strategy: IdleStrategy, count: usize) -> Vec<Step> {
        let mut idler = Idler::new(strategy);
        (0..count).map(|_| idler.step()).collect()
    }

    #[test]
    fn back_off_spins_then_yields_then_sleeps_twice_as_long_up_to_its_limit() {
        let strategy = IdleStrategy::BackOff {
            spins: 2,
            yields: 1,
            park_ns_min: 300,
            park_ns_max: 1_000,
        };
        let park = |ns| Step::Park { ns };
        assert_eq!(
            steps(strategy, 7),
            [
                Step::Spin,
                Step::Spin,
                Step::Yield,
                park(300),
                park(600),
                park(1_000),
                park(1_000)
            ]
        );
    }

    #[test]
    fn back_off_stays_at_its_limit_for_ever() {
        let mut idler = Idler {
            strategy: IdleStrategy::BACK_OFF,
            idle_cycles: u32::MAX - 1,
        };
        for _ in 0..3 {
            assert_eq!(idler.step(), Step::Park { ns: 1_000_000 });
        }
    }

    #[test]
    fn work_starts_the_back_off_over() {
        let mut idler = Idler {
            strategy: IdleStrategy::BACK_OFF,
            idle_cycles: 1_000,
        };
        idler.idle(1);
        assert_eq!(idler.step(), Step::Spin);
    }

    #[test]
    fn every_strategy_reads_back_from_its_text() {
        for strategy in [
            IdleStrategy::BusySpin,
            IdleStrategy::Yield,
            IdleStrategy::BACK_OFF,
            IdleStrategy::SLEEP,
        ] {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
    }

    #[test]
    fn only_busy_spin_never_leaves_its_core() {
        assert!(IdleStrategy::BusySpin.is_spinning());
        assert!(!IdleStrategy::Yield.is_spinning());
        assert!(!IdleStrategy::BACK_OFF.is_spinning());
        assert!(!IdleStrategy::SLEEP.is_spinning());
    }
}
