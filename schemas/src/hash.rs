//! One number for all decisions of a lane, so that two runs can be compared at a glance.
//!
//! The hash is defined by arithmetic alone and the same on every machine. It finds differences that happen, not
//! ones that are forged. All numbers are unsigned 64-bit; `·` is the full 128-bit product:
//!
//! ```text
//!   G = 0x9E3779B97F4A7C15                                    key(i) = (i + 1) × G mod 2^64
//!   fold(a, b) = high(a · b) xor low(a · b) xor a xor b
//!   digest(core) = Σ fold(word(2j) xor key(2j), word(2j + 1) xor key(2j + 1))  mod 2^64, j from 0
//!   state = fold(state xor digest(core), G)                   at first: state = G
//! ```
//!
//! `word(i)` are bytes 8i to 8i + 7 of the core, little endian; a core whose length is no multiple of 16 is filled
//! up with zero bytes. In Python, which needs nothing beside the language:
//!
//! ```python
//! G, MASK = 0x9E3779B97F4A7C15, 2**64 - 1
//!
//! def fold(a, b):
//!     product = a * b
//!     return (product >> 64) ^ (product & MASK) ^ a ^ b
//!
//! def add(state, core):
//!     core += bytes(-len(core) % 16)
//!     words = [int.from_bytes(core[i : i + 8], "little") for i in range(0, len(core), 8)]
//!     keyed = [word ^ ((i + 1) * G & MASK) for i, word in enumerate(words)]
//!     digest = sum(fold(a, b) for a, b in zip(keyed[::2], keyed[1::2])) & MASK
//!     return fold(state ^ digest, G)
//!
//! def decision_hash(cores):  # each 192 bytes: DecisionRecord, up to ingest_ns
//!     state = G
//!     for core in cores:
//!         state = add(state, core)
//!     return state
//! ```
//!
//! Start at [`DecisionHash`]. Invariant: the value depends on every bit of every core and on their order.

/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bytes that one multiplication takes in.
const PAIR_LEN: usize = 16;

/// A rolling hash of decision cores, in the order of their sequence.
///
/// ```
/// use pinion_schemas::hash::DecisionHash;
/// use pinion_schemas::records::DecisionRecord;
///
/// let mut hash = DecisionHash::new();
/// hash.add(DecisionRecord::default().core());
/// assert_ne!(hash, DecisionHash::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionHash(u64);

impl Default for DecisionHash {
    fn default() -> Self {
        Self::new()
    }
}

impl DecisionHash {
    /// The hash of no decision.
    #[must_use]
    pub const fn new() -> Self {
        Self(GOLDEN)
    }

    /// The hash whose [`Self::value`] was `value`, to go on from there.
    #[must_use]
    pub const fn resumed(value: u64) -> Self {
        Self(value)
    }

    /// Takes in the next decision's core; see [`crate::records::DecisionRecord::core`].
    ///
    /// Cost: about 10 ns for the 192 bytes of a core, of which the next one waits for 2.
    #[inline]
    pub fn add(&mut self, core: &[u8]) {
        self.0 = fold(self.0 ^ digest(core), GOLDEN);
    }

    /// The hash of all cores so far.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.0
    }
}

/// One number for the decisions of both lanes, given each lane's. The order of the arguments matters.
#[must_use]
pub const fn combine(market: u64, payment: u64) -> u64 {
    fold(fold(market, GOLDEN) ^ payment, GOLDEN)
}

#[inline]
fn digest(core: &[u8]) -> u64 {
    let (pairs, rest) = core.as_chunks::<PAIR_LEN>();
    let mut key = 0_u64;
    let mut digest = 0_u64;
    let mut take = |pair: &[u8; PAIR_LEN]| {
        let pair = u128::from_le_bytes(*pair);
        let (first, second) = (key.wrapping_add(GOLDEN), key.wrapping_add(GOLDEN.wrapping_mul(2)));
        digest = digest.wrapping_add(fold(pair as u64 ^ first, (pair >> 64) as u64 ^ second));
        key = second;
    };
    pairs.iter().for_each(&mut take);
    if !rest.is_empty() {
        let mut last = [0; PAIR_LEN];
        last[..rest.len()].copy_from_slice(rest);
        take(&last);
    }
    digest
}

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product >> 64) as u64 ^ product as u64 ^ a ^ b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{DECISION_CORE_LEN, DecisionRecord};

    /// The expected values come from the Python program in the module's documentation.
    #[track_caller]
    fn check(cores: &[&[u8]], expected: u64) {
        assert_eq!(value_of(cores), expected);
    }

    fn counting() -> [u8; DECISION_CORE_LEN] {
        std::array::from_fn(|index| index as u8)
    }

    #[test]
    fn golden_value_is_what_python_computes() {
        let mut reversed = counting();
        reversed.reverse();
        check(&[], GOLDEN);
        check(&[DecisionRecord::default().core()], 0x0425_9ca6_b3bc_af6e);
        check(&[&counting(), &reversed], 0x561e_c299_de3c_6fa5);
        check(&[&counting()[..21]], 0x6e25_e7ee_261f_108c);
        assert_eq!(combine(1, 2), 0x4491_1495_0295_0828);
    }

    #[test]
    fn every_bit_of_a_core_counts() {
        let core = counting();
        let mut seen = std::collections::HashSet::from([value_of(&[&core])]);
        for bit in 0..DECISION_CORE_LEN * 8 {
            let mut changed = core;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(value_of(&[&changed])), "bit {bit}");
        }
    }

    #[test]
    fn order_of_cores_and_of_lanes_counts() {
        let (one, two) = (counting(), [7; DECISION_CORE_LEN]);
        assert_ne!(value_of(&[&one, &two]), value_of(&[&two, &one]));
        assert_ne!(value_of(&[&one]), value_of(&[&one, &one]));
        assert_ne!(combine(1, 2), combine(2, 1));
    }

    fn value_of(cores: &[&[u8]]) -> u64 {
        let mut hash = DecisionHash::new();
        cores.iter().for_each(|core| hash.add(core));
        hash.value()
    }
}
