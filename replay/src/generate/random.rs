//! Seeded random numbers whose values never change: not with a library's version, not with the platform.
//!
//! The bits are those of ChaCha with 8 rounds (RFC 8439's layout, nonce 0), which `rand_chacha` promises to keep.
//! Everything above the bits is here, and uses only operations that IEEE 754 fixes to the last bit (`+ - * /` and
//! the square root): no `ln` or `cos` of a platform's library, no distribution of another crate. Golden hashes of
//! generated days hold it to that.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    bits: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Random {
    /// The stream of a seed for one purpose and one index within it: streams do not overlap.
    ///
    /// ChaCha's key is the seed, then the purpose, then the index, each little endian, then zeros.
    pub fn new(seed: u64, purpose: [u8; 8], index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&purpose);
        key[16..24].copy_from_slice(&index.to_le_bytes());
        Self {
            bits: ChaCha8Rng::from_seed(key),
            spare_normal: None,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.bits.next_u64()
    }

    /// A number in `0..below`, each as likely: multiplication with rejection. `below` is not 0.
    pub fn below(&mut self, below: u64) -> u64 {
        assert!(below > 0);
        let rejected_below = below.wrapping_neg() % below;
        loop {
            let product = u128::from(self.bits()) * u128::from(below);
            if product as u64 >= rejected_below {
                return (product >> 64) as u64;
            }
        }
    }

    /// An index into something of `len` parts; `len` is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number in 0 (inclusive) to 1 (exclusive), in steps of 2 to the -53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number from `low` to `high`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number of the normal distribution: the polar method, two at a time.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let standard = self
            .spare_normal
            .take()
            .unwrap_or_else(|| self.standard_normal_pair());
        mean + deviation * standard
    }

    /// A number of the exponential distribution with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * natural_logarithm(1.0 - self.unit())
    }

    /// A number of the Poisson distribution: exponential steps that fit into `mean`. Cost: grows with `mean`.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        let mut count = 0;
        let mut reached = self.exponential(1.0);
        while reached <= mean {
            count += 1;
            reached += self.exponential(1.0);
        }
        count
    }

    fn standard_normal_pair(&mut self) -> f64 {
        loop {
            let (x, y) = (self.uniform(-1.0, 1.0), self.uniform(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * natural_logarithm(square) / square).sqrt();
                self.spare_normal = Some(y * factor);
                return x * factor;
            }
        }
    }
}

/// The natural logarithm of a positive, normal number, the same bits everywhere; off by at most 1e-15 of the
/// result or so.
///
/// `x = m * 2^e` with `m` in sqrt(1/2)..sqrt(2), and `ln m = 2 artanh((m - 1) / (m + 1))` by its series.
fn natural_logarithm(x: f64) -> f64 {
    const MANTISSA_BITS: u32 = 52;
    const TERMS: u32 = 12;
    let bits = x.to_bits();
    let mut exponent = (bits >> MANTISSA_BITS) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & ((1 << MANTISSA_BITS) - 1) | 1023 << MANTISSA_BITS);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for term in (0..TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * ratio * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: [u8; 8] = *b"test\0\0\0\0";

    #[test]
    fn golden_bits_are_those_of_chacha8() {
        let mut random = Random::new(7, PURPOSE, 3);
        assert_eq!([random.bits(), random.bits()], GOLDEN_BITS);
        let mut random = Random::new(7, PURPOSE, 3);
        let numbers = [random.unit(), random.normal(0.0, 1.0), random.exponential(1.0)];
        assert_eq!(numbers.map(f64::to_bits), GOLDEN_NUMBERS);
    }

    /// As an independent implementation of ChaCha with 8 rounds gives them.
    const GOLDEN_BITS: [u64; 2] = [2_020_778_527_935_914_434, 17_491_653_178_514_810_605];
    const GOLDEN_NUMBERS: [u64; 3] = [
        4_592_558_086_787_914_592,
        4_601_073_180_490_452_234,
        4_600_597_704_283_638_185,
    ];

    #[test]
    fn logarithm_agrees_with_the_platform() {
        let mut random = Random::new(1, PURPOSE, 0);
        for _ in 0..100_000 {
            let x = random.unit() + 1e-12;
            assert!(
                (natural_logarithm(x) - x.ln()).abs() <= 1e-15 + x.ln().abs() * 4e-16,
                "{x}"
            );
        }
    }

    /// Mean and variance of many draws.
    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        const DRAWS: u32 = 200_000;
        let (mut sum, mut square_sum) = (0.0, 0.0);
        for _ in 0..DRAWS {
            let x = draw();
            sum += x;
            square_sum += x * x;
        }
        let mean = sum / f64::from(DRAWS);
        (mean, square_sum / f64::from(DRAWS) - mean * mean)
    }

    #[track_caller]
    fn check((mean, variance): (f64, f64), expected_mean: f64, expected_variance: f64) {
        assert!(
            (mean - expected_mean).abs() < 0.02 * (1.0 + expected_variance.sqrt()),
            "{mean}"
        );
        assert!(
            (variance - expected_variance).abs() < 0.03 * expected_variance,
            "{variance}"
        );
    }

    #[test]
    fn distributions_have_their_means_and_variances() {
        let mut random = Random::new(2, PURPOSE, 0);
        check(moments(|| random.unit()), 0.5, 1.0 / 12.0);
        check(moments(|| random.below(10) as f64), 4.5, 8.25);
        check(moments(|| random.normal(3.0, 2.0)), 3.0, 4.0);
        check(moments(|| random.exponential(2.0)), 2.0, 4.0);
        check(moments(|| f64::from(random.poisson(3.5))), 3.5, 3.5);
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let first = |seed, purpose, index| Random::new(seed, purpose, index).bits();
        let base = first(1, PURPOSE, 0);
        assert_ne!(base, first(2, PURPOSE, 0));
        assert_ne!(base, first(1, *b"other\0\0\0", 0));
        assert_ne!(base, first(1, PURPOSE, 1));
    }
}
