//! One side of one book: price levels in a sorted array of fixed capacity, the best last.
//!
//! ```text
//!   bids   [ 99.7 | 99.8 | 99.9 | 100.0 ·· ]      asks  [ 100.4 | 100.3 | 100.2 | 100.1 ·· ]
//!            worst               best                    worst                    best
//! ```
//!
//! Updates come near the best price, so a level that comes or goes moves few others.
//!
//! Invariant: prices are strictly better towards the end, and no level has a quantity of 0 or less.

/// A price level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// Unit: 1e-9 of the instrument's unit; above 0.
    pub quantity: i64,
}

/// Fills the arrays at start; not zero, so that every page is written and so mapped.
pub(crate) const UNUSED: Level = Level {
    price: i64::MIN,
    quantity: i64::MIN,
};

const _: () = assert!(size_of::<Level>() == 16);

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The level is as it was told, or was not there to be removed.
    Done,
    /// There was no room: the worst level was dropped, or the new one was the worst.
    Dropped,
}

/// The order of prices on a side: larger is better.
#[inline]
fn rank(is_bid: bool, price: i64) -> i64 {
    // `!price` is `-price - 1`: it turns the order round and cannot overflow.
    if is_bid { price } else { !price }
}

/// A side in the making: the memory of its levels, how many there are, and which way is better.
pub struct Ladder<'a> {
    /// All memory of the side.
    pub levels: &'a mut [Level],
    /// Levels set.
    pub len: &'a mut u32,
    /// Bids: higher is better.
    pub is_bid: bool,
}

impl Ladder<'_> {
    /// The levels set, best last.
    pub fn held(&self) -> &[Level] {
        &self.levels[..*self.len as usize]
    }

    /// Sets the whole quantity of a level; 0 or less removes it.
    ///
    /// Cost: a search from the best level down, or binary; moves the better levels by one if the level is new
    /// or gone.
    pub fn set(&mut self, price: i64, quantity: i64) -> Outcome {
        match (self.find(price), quantity > 0) {
            (Ok(index), true) => self.levels[index].quantity = quantity,
            (Ok(index), false) => self.remove(index),
            (Err(index), true) => return self.insert(index, Level { price, quantity }),
            (Err(_), false) => {}
        }
        Outcome::Done
    }

    /// Adds to the quantity of a level, negative to take away; a level left with 0 or less is removed.
    /// Saturates at `i64::MAX`.
    ///
    /// Taking from a level that is not there does nothing.
    pub fn add(&mut self, price: i64, quantity: i64) -> Outcome {
        let held = self.find(price).map_or(0, |index| self.levels[index].quantity);
        self.set(price, held.saturating_add(quantity))
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        *self.len = 0;
    }

    /// Where the level is, or where it would be.
    fn find(&self, price: i64) -> Result<usize, usize> {
        const NEAR: usize = 8;
        let (held, is_bid) = (self.held(), self.is_bid);
        let wanted = rank(is_bid, price);
        let near = held.len().saturating_sub(NEAR);
        let is_worse = |level: &Level| rank(is_bid, level.price) < wanted;
        let index = match held.get(near) {
            Some(level) if is_worse(level) => near + held[near..].iter().take_while(|l| is_worse(l)).count(),
            _ => held[..near].partition_point(is_worse),
        };
        match held.get(index) {
            Some(level) if level.price == price => Ok(index),
            _ => Err(index),
        }
    }

    fn remove(&mut self, index: usize) {
        let len = *self.len as usize;
        self.levels.copy_within(index + 1..len, index);
        *self.len -= 1;
    }

    fn insert(&mut self, index: usize, level: Level) -> Outcome {
        let len = *self.len as usize;
        if len < self.levels.len() {
            self.levels.copy_within(index..len, index + 1);
            self.levels[index] = level;
            *self.len += 1;
            return Outcome::Done;
        }
        if index > 0 {
            self.levels.copy_within(1..index, 0);
            self.levels[index - 1] = level;
        }
        Outcome::Dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is_bid: bool, updates: &[(i64, i64)], expected: &[(i64, i64)], dropped: usize) {
        let (mut levels, mut len, mut found) = (vec![UNUSED; 16], 0, 0);
        let mut ladder = Ladder {
            levels: &mut levels,
            len: &mut len,
            is_bid,
        };
        for &(price, quantity) in updates {
            found += usize::from(ladder.set(price, quantity) == Outcome::Dropped);
        }
        let held: Vec<_> = ladder
            .held()
            .iter()
            .map(|level| (level.price, level.quantity))
            .collect();
        assert_eq!(held, expected);
        assert_eq!(found, dropped);
    }

    #[test]
    fn best_level_is_last_on_either_side() {
        check(
            true,
            &[(10, 1), (12, 1), (11, 1)],
            &[(10, 1), (11, 1), (12, 1)],
            0,
        );
        check(
            false,
            &[(10, 1), (12, 1), (11, 1)],
            &[(12, 1), (11, 1), (10, 1)],
            0,
        );
    }

    #[test]
    fn quantity_of_zero_or_less_removes_the_level() {
        check(true, &[(10, 1), (11, 1), (10, 0), (12, 0)], &[(11, 1)], 0);
        check(false, &[(10, 1), (10, -5)], &[], 0);
    }

    #[test]
    fn side_that_is_full_keeps_its_best_levels() {
        let ascending: Vec<_> = (0..20).map(|price| (price, 1)).collect();
        check(true, &ascending, &ascending[4..], 4);
        check(
            true,
            &ascending.iter().rev().copied().collect::<Vec<_>>(),
            &ascending[4..],
            4,
        );
    }

    #[test]
    fn extreme_prices_have_an_order() {
        check(
            false,
            &[(i64::MIN, 1), (i64::MAX, 1), (0, 1)],
            &[(i64::MAX, 1), (0, 1), (i64::MIN, 1)],
            0,
        );
    }

    #[test]
    fn taking_from_a_level_leaves_the_rest() {
        let (mut levels, mut len) = (vec![UNUSED; 16], 0);
        let mut ladder = Ladder {
            levels: &mut levels,
            len: &mut len,
            is_bid: true,
        };
        for (price, quantity) in [
            (10, 5),
            (10, 3),
            (10, -6),
            (11, -1),
            (12, i64::MAX),
            (12, i64::MAX),
        ] {
            assert_eq!(ladder.add(price, quantity), Outcome::Done);
        }
        assert_eq!(
            ladder.held(),
            [
                Level {
                    price: 10,
                    quantity: 2
                },
                Level {
                    price: 12,
                    quantity: i64::MAX
                }
            ]
        );
    }
}
