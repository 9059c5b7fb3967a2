//! The latest of a few numbers that belong together, shown by one thread to any other.
//!
//! ```text
//!   writer ── version odd ─ words ─ version even ──▶ [Latest] ──▶ reader: the same even version before and after
//! ```
//!
//! A writer never waits. A reader that meets a writer looks again.
//!
//! Invariant: what a reader gets was shown together, in one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// `N` numbers and the count of their changes, on lines of their own.
#[repr(align(128))]
struct Cell<const N: usize> {
    version: AtomicU64,
    words: [AtomicU64; N],
}

/// Makes both ends; what is shown at first is `words`.
///
/// ```
/// let (mut show, see) = pinion_runtime::latest::latest([1, 2]);
/// show.set([3, 4]);
/// assert_eq!(see.clone().get(), [3, 4]);
/// ```
pub fn latest<const N: usize>(words: [u64; N]) -> (Latest<N>, Seen<N>) {
    let cell = Arc::new(Cell {
        version: AtomicU64::new(0),
        words: words.map(AtomicU64::new),
    });
    (Latest(cell.clone()), Seen(cell))
}

/// The end that shows. There is one.
pub struct Latest<const N: usize>(Arc<Cell<N>>);

/// The end that sees. Clones see the same.
#[derive(Clone)]
pub struct Seen<const N: usize>(Arc<Cell<N>>);

impl<const N: usize> Latest<N> {
    /// Shows `words` in the place of those before. Cost: `N` + 2 stores; never waits.
    pub fn set(&mut self, words: [u64; N]) {
        let version = self.0.version.load(Ordering::Relaxed);
        self.0.version.store(version + 1, Ordering::Relaxed);
        // Whoever sees one of the words sees the odd version as well.
        fence(Ordering::Release);
        for (cell, word) in self.0.words.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        self.0.version.store(version + 2, Ordering::Release);
    }
}

impl<const N: usize> Seen<N> {
    /// What was shown last. Cost: `N` + 2 loads; again while a writer is at it.
    pub fn get(&self) -> [u64; N] {
        loop {
            let before = self.0.version.load(Ordering::Acquire);
            let words = self.0.words.each_ref().map(|word| word.load(Ordering::Relaxed));
            // The words are read before the version is looked at again.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.0.version.load(Ordering::Relaxed) == before {
                return words;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_never_seen_apart() {
        let (mut show, see) = latest([0; 4]);
        let writer = std::thread::spawn(move || (1..=200_000).for_each(|n| show.set([n, n * 3, n ^ 7, !n])));
        let mut last = 0;
        while !writer.is_finished() {
            let [n, triple, mixed, inverse] = see.get();
            if n > 0 {
                assert_eq!([triple, mixed, inverse], [n * 3, n ^ 7, !n]);
            }
            assert!(n >= last, "what is seen never goes back");
            last = n;
        }
        writer.join().unwrap();
        assert_eq!(see.get()[0], 200_000);
    }
}
