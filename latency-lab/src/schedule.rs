//! When events are meant to be sent.
//!
//! Invariant: a schedule is a function of its rate and seed alone, made before the run.

/// How the gaps between events are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All gaps equal. Can lock in phase with the machine's timer tick.
    Uniform,
    /// Exponential gaps (a Poisson process), which cannot.
    Random,
}

impl Arrivals {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Random => "random",
        }
    }
}

/// The intended times of `count` events at `rate` per second, in ns from the start of the run.
///
/// ```
/// use pinion_latency_lab::schedule::{Arrivals, intended_times};
/// assert_eq!(intended_times(Arrivals::Uniform, 1_000_000.0, 3, 0), [0, 1_000, 2_000]);
/// ```
pub fn intended_times(arrivals: Arrivals, rate: f64, count: usize, seed: u64) -> Vec<u64> {
    let gap_ns = 1e9 / rate;
    match arrivals {
        Arrivals::Uniform => (0..count).map(|index| (index as f64 * gap_ns) as u64).collect(),
        Arrivals::Random => {
            let mut random = SplitMix(seed);
            let mut at = 0.0;
            (0..count)
                .map(|_| {
                    at += -gap_ns * random.unit().ln();
                    at as u64
                })
                .collect()
        }
    }
}

/// SplitMix64: a schedule needs no better random numbers, and no library's can change it.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_arrivals_keep_the_rate_and_the_seed() {
        let times = intended_times(Arrivals::Random, 1e6, 100_000, 7);
        let mean_gap_ns = times[times.len() - 1] as f64 / times.len() as f64;
        assert!((mean_gap_ns - 1_000.0).abs() < 20.0, "{mean_gap_ns}");
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(times, intended_times(Arrivals::Random, 1e6, 100_000, 7));
        assert_ne!(times, intended_times(Arrivals::Random, 1e6, 100_000, 8));
    }
}
