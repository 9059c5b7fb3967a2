//! How much of what an exact search finds a search by cells finds, measured while it runs.
//!
//! ```text
//!   every n-th search ─▶ both ways, top 10 ─▶ share found ─▶ mean ── below the floor ──▶ exact search takes over
//!                                                             └──── well above it ─────▶ search by cells comes back
//! ```
//!
//! Searches are counted, not time, and all of it is state: a bank that is replayed decides the same at the same search.
//!
//! Invariant: whole numbers only.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Neighbours that are compared.
pub(super) const RECALL_AT: usize = 10;

/// The unit of the mean: a recall of 1.
const ONE: i64 = 1 << 20;

/// A sample's share of the mean, one in so many; before there are so many, all count alike.
const WINDOW: u32 = 16;

/// With fewer samples nothing is decided.
const SAMPLES_MIN: u32 = 8;

/// What is measured.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Recall {
    /// Searches that were or could have been by cells.
    searches: u64,
    /// Unit: 2^-20.
    mean: u32,
    /// Samples since cells were laid out; stays at [`WINDOW`].
    samples: u32,
    is_low: u32,
    spare: u32,
}

impl Recall {
    /// Counts a search; whether it is one to be made both ways.
    pub(super) fn is_due(&mut self, every: u32) -> bool {
        self.searches += 1;
        every > 0 && self.searches.is_multiple_of(u64::from(every))
    }

    /// Whether exact search has taken over.
    pub(super) fn is_low(&self) -> bool {
        self.is_low == 1
    }

    /// The mean, if there is a sample.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.samples > 0).then(|| f64::from(self.mean) / ONE as f64)
    }

    /// Takes a sample; whether exact search takes over by it.
    pub(super) fn take(&mut self, hits: usize, of: usize, floor_permille: u32) -> bool {
        self.samples = WINDOW.min(self.samples + 1);
        let sample = hits as i64 * ONE / of as i64;
        let mean = i64::from(self.mean);
        self.mean = (mean + (sample - mean) / i64::from(self.samples)) as u32;
        let floor = i64::from(floor_permille) * ONE / 1000;
        let well_above = floor + (ONE - floor) / 2;
        let was_low = self.is_low();
        if self.samples >= SAMPLES_MIN {
            let bar = if was_low { well_above } else { floor };
            self.is_low = u32::from(i64::from(self.mean) < bar);
        }
        self.is_low() && !was_low
    }

    /// Begins to measure anew: the cells are other ones. Who is below the floor stays there until it is known better.
    pub(super) fn restart(&mut self) {
        self.mean = 0;
        self.samples = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_takes_over_once_and_gives_way_well_above() {
        let mut recall = Recall::default();
        assert_eq!(recall.mean(), None);
        let fell = |recall: &mut Recall, hits: usize, count: u32| {
            (0..count).filter(|_| recall.take(hits, 10, 900)).count()
        };
        assert_eq!((fell(&mut recall, 8, 7), recall.is_low()), (0, false));
        assert_eq!((fell(&mut recall, 8, 1), recall.is_low()), (1, true));
        assert_eq!((fell(&mut recall, 8, 20), recall.is_low()), (0, true));
        assert!((recall.mean().unwrap() - 0.8).abs() < 1e-4);
        // 0.92 and more is above the floor, not well above.
        fell(&mut recall, 10, 17);
        assert!(recall.mean().unwrap() > 0.92 && recall.is_low());
        fell(&mut recall, 10, 10);
        assert!(!recall.is_low());
        recall.restart();
        assert_eq!((recall.mean(), recall.is_low()), (None, false));
    }

    #[test]
    fn every_nth_search_is_due() {
        let mut recall = Recall::default();
        let due: Vec<bool> = (0..6).map(|_| recall.is_due(3)).collect();
        assert_eq!(due, [false, false, true, false, false, true]);
        assert!((0..6).all(|_| !recall.is_due(0)));
    }
}
