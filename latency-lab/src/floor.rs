//! What the machine itself costs: a cache line to another core and back, and its interruptions.
//!
//! Both are measured just before and just after a comparison, because a hypervisor may move the cores in
//! between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use serde::{Deserialize, Serialize};

/// The time of one cache line's way to another core and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Best batch. Unit: ns.
    pub min_ns: u64,
    /// Median batch. Unit: ns.
    pub median_ns: u64,
}

/// How often a spinning pinned thread did not run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hiccups {
    /// Gaps of at least 1 µs per second.
    pub over_1_us_per_s: f64,
    /// Gaps of at least 10 µs per second.
    pub over_10_us_per_s: f64,
    /// Gaps of at least 100 µs per second.
    pub over_100_us_per_s: f64,
    /// Longest gap. Unit: ns.
    pub longest_ns: u64,
}

/// Bounces a counter between two pinned threads; batches of 1,000 round trips, `None` with fewer than two
/// cores.
pub fn core_round_trip(cores: &[usize]) -> Option<RoundTrip> {
    const BATCH: u64 = 1_000;
    const BATCHES: usize = 64;
    let [first, second, ..] = *cores else { return None };
    let line = Arc::new(AtomicU64::new(0));
    let echo_line = line.clone();
    let total = BATCH * BATCHES as u64;
    let echo = std::thread::spawn(move || {
        core_affinity::set_for_current(CoreId { id: second });
        for turn in 0..total {
            wait_for(&echo_line, 2 * turn + 1);
            echo_line.store(2 * turn + 2, Ordering::Release);
        }
    });
    let bounce = std::thread::spawn(move || {
        core_affinity::set_for_current(CoreId { id: first });
        let mut batches = Vec::with_capacity(BATCHES);
        for batch in 0..BATCHES as u64 {
            let started = Instant::now();
            for turn in batch * BATCH..(batch + 1) * BATCH {
                line.store(2 * turn + 1, Ordering::Release);
                wait_for(&line, 2 * turn + 2);
            }
            batches.push(started.elapsed().as_nanos() as u64 / BATCH);
        }
        batches
    });
    let mut batches = bounce.join().ok()?;
    echo.join().ok()?;
    batches.sort_unstable();
    Some(RoundTrip {
        min_ns: batches[0],
        median_ns: batches[BATCHES / 2],
    })
}

fn wait_for(line: &AtomicU64, value: u64) {
    while line.load(Ordering::Acquire) != value {
        std::hint::spin_loop();
    }
}

/// Spins on `core` for `duration` and counts the gaps between two readings of the clock.
pub fn hiccups(core: usize, duration: Duration) -> Hiccups {
    let spin = std::thread::spawn(move || {
        core_affinity::set_for_current(CoreId { id: core });
        let clock = quanta::Clock::new();
        let started = clock.raw();
        let (mut counts, mut longest_ns, mut last) = ([0_u64; 3], 0, started);
        loop {
            let now = clock.raw();
            let gap_ns = clock.delta_as_nanos(last, now);
            last = now;
            if gap_ns >= 1_000 {
                counts[0] += 1;
                counts[1] += u64::from(gap_ns >= 10_000);
                counts[2] += u64::from(gap_ns >= 100_000);
                longest_ns = longest_ns.max(gap_ns);
            }
            if clock.delta_as_nanos(started, now) >= duration.as_nanos() as u64 {
                return (counts, longest_ns);
            }
        }
    });
    let (counts, longest_ns) = spin.join().unwrap_or(([0; 3], 0));
    let per_s = |count: u64| count as f64 / duration.as_secs_f64();
    Hiccups {
        over_1_us_per_s: per_s(counts[0]),
        over_10_us_per_s: per_s(counts[1]),
        over_100_us_per_s: per_s(counts[2]),
        longest_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_has_no_round_trip() {
        assert_eq!(core_round_trip(&[0]), None);
    }

    #[test]
    fn two_cores_have_one() {
        let cores: Vec<usize> = core_affinity::get_core_ids()
            .unwrap_or_default()
            .iter()
            .map(|core| core.id)
            .collect();
        if cores.len() >= 2 {
            let trip = core_round_trip(&cores).unwrap();
            assert!(0 < trip.min_ns && trip.min_ns <= trip.median_ns, "{trip:?}");
        }
    }

    #[test]
    fn hiccups_are_counted_into_nested_classes() {
        let found = hiccups(0, Duration::from_millis(20));
        assert!(found.over_1_us_per_s >= found.over_10_us_per_s);
        assert!(found.over_10_us_per_s >= found.over_100_us_per_s);
    }
}
