//! How many different values: exactly while they are few, by HyperLogLog beyond.
//!
//! ```text
//!   Sketch (one bucket of events, 264 bytes)      Union (while a feature is read)
//!     1 to 64 values as they are   ──add_sketch──▶  a set of values, exact up to 16,384
//!     then 256 registers           ──add_sketch──▶  256 registers
//! ```
//!
//! Beyond the exact bounds an estimate has a standard error of 1.04 / √256 = 6.5 %.
//!
//! Invariant: an estimate is a function of the set of values alone, whatever their order and grouping; it is
//! exact as long as no sketch in it holds registers and the set holds no more than [`EXACT_MAX`] values.

use pinion_runtime::math::ln;

/// Words of a sketch: a header and 256 bytes.
pub const SKETCH_WORDS: usize = 33;

/// The most values that a read counts one by one.
pub const EXACT_MAX: usize = 16_384;

/// Values that a sketch holds as they are.
const VALUES_MAX: usize = 64;

const REGISTERS: usize = 256;

/// Header of a sketch that holds registers; else it is the number of values.
const IN_REGISTERS: u64 = u64::MAX;

type Registers = [u8; REGISTERS];

/// Adds a value to the sketch in `words`, which begins as zeros.
pub fn add(words: &mut [u64], value: u32) {
    if words[0] == IN_REGISTERS {
        raise(words, value);
        return;
    }
    let count = words[0] as usize;
    if (0..count).any(|index| value_at(words, index) == value) {
        return;
    }
    if count < VALUES_MAX {
        let shift = 32 * (count % 2);
        words[1 + count / 2] |= u64::from(value) << shift;
        words[0] += 1;
        return;
    }
    into_registers(words);
    raise(words, value);
}

/// Adds everything in `other` to the sketch in `words`.
pub fn merge(words: &mut [u64], other: &[u64]) {
    if other[0] != IN_REGISTERS {
        for index in 0..other[0] as usize {
            add(words, value_at(other, index));
        }
        return;
    }
    if words[0] != IN_REGISTERS {
        into_registers(words);
    }
    for (word, other) in words[1..].iter_mut().zip(&other[1..]) {
        let (mut mine, theirs) = (word.to_le_bytes(), other.to_le_bytes());
        for (register, other) in mine.iter_mut().zip(theirs) {
            *register = (*register).max(other);
        }
        *word = u64::from_le_bytes(mine);
    }
}

fn value_at(words: &[u64], index: usize) -> u32 {
    (words[1 + index / 2] >> (32 * (index % 2))) as u32
}

fn into_registers(words: &mut [u64]) {
    let mut old = [0; SKETCH_WORDS];
    old.copy_from_slice(words);
    words.fill(0);
    words[0] = IN_REGISTERS;
    for index in 0..old[0] as usize {
        raise(words, value_at(&old, index));
    }
}

fn raise(words: &mut [u64], value: u32) {
    let (register, rank) = place(value);
    let (word, shift) = (1 + register / 8, 8 * (register % 8));
    let found = (words[word] >> shift) as u8;
    if rank > found {
        words[word] = words[word] & !(0xFF << shift) | u64::from(rank) << shift;
    }
}

/// The register of a value, and the place of the first set bit of the rest of its hash, from 1.
fn place(value: u32) -> (usize, u8) {
    let hash = mix(value);
    let rank = (hash << 8 | 1 << 7).leading_zeros() as u8 + 1;
    ((hash >> 56) as usize, rank)
}

/// 64 bits in which every bit of `value` counts.
fn mix(value: u32) -> u64 {
    let mut hash = u64::from(value)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ hash >> 31
}

/// Counts the different values among single ones and sketches. Its memory is taken once and used again.
///
/// ```
/// use pinion_features::sketch::Union;
///
/// let mut union = Union::new();
/// union.begin();
/// for value in [7, 9, 7] {
///     union.add(value);
/// }
/// assert_eq!(union.count(), 2.0);
/// ```
#[derive(Clone, Debug)]
pub struct Union {
    /// A value in the lower half, the round in which it was added in the upper.
    slots: Vec<u64>,
    round: u32,
    count: usize,
    registers: Registers,
    is_estimate: bool,
}

impl Default for Union {
    fn default() -> Self {
        Self::new()
    }
}

impl Union {
    /// Takes 256 KiB.
    pub fn new() -> Self {
        Self {
            slots: vec![0; 2 * EXACT_MAX],
            round: 0,
            count: 0,
            registers: [0; REGISTERS],
            is_estimate: false,
        }
    }

    /// Forgets everything. Cost: constant, but for one in 2^32 times.
    pub fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots.fill(0);
            self.round = 1;
        }
        self.count = 0;
        self.registers = [0; REGISTERS];
        self.is_estimate = false;
    }

    /// Adds one value. Cost: one slot, about 3 ns, plus a register.
    pub fn add(&mut self, value: u32) {
        let hash = mix(value);
        self.raise(value);
        let mask = self.slots.len() - 1;
        let entry = u64::from(self.round) << 32 | u64::from(value);
        let mut index = hash as usize & mask;
        while self.slots[index] >> 32 == u64::from(self.round) {
            if self.slots[index] == entry {
                return;
            }
            index = (index + 1) & mask;
        }
        if self.count == EXACT_MAX {
            self.is_estimate = true;
            return;
        }
        self.slots[index] = entry;
        self.count += 1;
    }

    /// Adds a sketch.
    pub fn add_sketch(&mut self, words: &[u64]) {
        if words[0] != IN_REGISTERS {
            for index in 0..words[0] as usize {
                self.add(value_at(words, index));
            }
            return;
        }
        self.is_estimate = true;
        let bytes = words[1..].iter().flat_map(|word| word.to_le_bytes());
        for (register, other) in self.registers.iter_mut().zip(bytes) {
            *register = (*register).max(other);
        }
    }

    /// How many different values were added since [`Self::begin`].
    pub fn count(&self) -> f64 {
        if self.is_estimate {
            estimate(&self.registers)
        } else {
            self.count as f64
        }
    }

    fn raise(&mut self, value: u32) {
        let (register, rank) = place(value);
        self.registers[register] = self.registers[register].max(rank);
    }
}

/// HyperLogLog with linear counting where registers are still empty.
fn estimate(registers: &Registers) -> f64 {
    const SIZE: f64 = REGISTERS as f64;
    const ALPHA: f64 = 0.7213 / (1.0 + 1.079 / SIZE);
    let (mut sum, mut empty) = (0.0, 0_u32);
    for &register in registers {
        sum += f64::from_bits((1023 - u64::from(register)) << 52);
        empty += u32::from(register == 0);
    }
    let raw = ALPHA * SIZE * SIZE / sum;
    if raw <= 2.5 * SIZE && empty > 0 {
        SIZE * ln(SIZE / f64::from(empty))
    } else {
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: impl Iterator<Item = u32>, expected: f64, tolerance: f64) {
        let mut sketch = [0; SKETCH_WORDS];
        let mut union = Union::new();
        for value in values {
            add(&mut sketch, value);
        }
        union.begin();
        union.add_sketch(&sketch);
        let error = union.count() / expected - 1.0;
        assert!(error.abs() <= tolerance, "{} of {expected}", union.count());
    }

    #[test]
    fn few_values_are_counted_exactly() {
        check([5, 0, 5, u32::MAX, 0].into_iter(), 3.0, 0.0);
        check((0..64).chain(0..64), 64.0, 0.0);
    }

    #[test]
    fn many_values_are_estimated_within_four_standard_errors() {
        for exponent in 7..20 {
            check(0..1 << exponent, f64::from(1 << exponent), 4.0 * 0.065);
        }
    }

    #[test]
    fn estimate_does_not_depend_on_order_or_grouping() {
        let mut whole = [0; SKETCH_WORDS];
        let mut parts = [[0; SKETCH_WORDS]; 7];
        for value in 0..5000_u32 {
            add(&mut whole, value);
            add(&mut parts[value as usize % 7], 4999 - value);
        }
        let (first, rest) = parts.split_first_mut().unwrap();
        for part in rest {
            merge(first, part);
        }
        assert_eq!(&whole, first);
    }

    #[test]
    fn exact_set_becomes_an_estimate_when_it_is_full() {
        let mut union = Union::new();
        union.begin();
        for value in 0..40_000 {
            union.add(value);
        }
        assert!((union.count() / 40_000.0 - 1.0).abs() < 0.26, "{}", union.count());
        union.begin();
        union.add(1);
        assert_eq!(union.count(), 1.0);
    }
}
