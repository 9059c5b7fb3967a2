//! The rows by the time of their events, the earliest on top: a heap in an array of fixed length.
//!
//! Labels come in another order than events, so a list in order of insertion would not do. What is inserted is
//! mostly the latest, and stays where it is put: one comparison.
//!
//! Invariant: a row's event is not earlier than that of the row above it, and the row knows its place in the heap.

use super::case::Row;
use super::column::Column;

/// A heap of rows; empty if cases do not age.
#[derive(Clone, Debug)]
pub(super) struct Ages {
    pub(super) heap: Column<u32>,
}

impl Ages {
    /// Memory for `rows_max` rows, or none if cases do not age.
    pub(super) fn new(rows_max: u32, is_aging: bool) -> Self {
        Self {
            heap: Column::zeroed(if is_aging { rows_max as usize } else { 0 }),
        }
    }

    /// The row of the earliest event among `len`.
    pub(super) fn earliest(&self, len: usize) -> Option<u32> {
        if len == 0 {
            None
        } else {
            self.heap.first().copied()
        }
    }

    /// Adds a row to `len` others. Cost: one comparison for the latest event, the logarithm of `len` at most.
    pub(super) fn push(&mut self, rows: &mut [Row], len: usize, row: u32) {
        let heap = &mut *self.heap;
        if !heap.is_empty() {
            rise(heap, rows, len, row);
        }
    }

    /// Takes a row out of `len`. Cost: the logarithm of `len` at most.
    pub(super) fn take(&mut self, rows: &mut [Row], len: usize, row: u32) {
        let heap = &mut *self.heap;
        if heap.is_empty() {
            return;
        }
        let at = rows[row as usize].aged_at as usize;
        let last = heap[len - 1];
        heap[len - 1] = 0;
        if last != row {
            sink(&mut heap[..len - 1], rows, at, last);
            let settled = rows[last as usize].aged_at as usize;
            rise(heap, rows, settled, last);
        }
    }
}

fn event_ns(rows: &[Row], row: u32) -> i64 {
    rows[row as usize].event_ns
}

fn put(heap: &mut [u32], rows: &mut [Row], at: usize, row: u32) {
    heap[at] = row;
    rows[row as usize].aged_at = at as u32;
}

/// Puts a row at `at` or above, moving down what is later.
fn rise(heap: &mut [u32], rows: &mut [Row], mut at: usize, row: u32) {
    while at > 0 {
        let above = (at - 1) / 2;
        if event_ns(rows, heap[above]) <= event_ns(rows, row) {
            break;
        }
        put(heap, rows, at, heap[above]);
        at = above;
    }
    put(heap, rows, at, row);
}

/// Puts a row at `at` or below, moving up what is earlier.
fn sink(heap: &mut [u32], rows: &mut [Row], mut at: usize, row: u32) {
    loop {
        let mut below = 2 * at + 1;
        if below >= heap.len() {
            break;
        }
        let other = below + 1;
        if other < heap.len() && event_ns(rows, heap[other]) < event_ns(rows, heap[below]) {
            below = other;
        }
        if event_ns(rows, row) <= event_ns(rows, heap[below]) {
            break;
        }
        put(heap, rows, at, heap[below]);
        at = below;
    }
    put(heap, rows, at, row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prop_rows_leave_by_the_time_of_their_events(
            events in proptest::collection::vec(-20_i64..20, 1..60),
            gone in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut rows = vec![Row::NONE; events.len()];
            let mut ages = Ages::new(events.len() as u32, true);
            for (row, &event_ns) in events.iter().enumerate() {
                rows[row].event_ns = event_ns;
                ages.push(&mut rows, row, row as u32);
            }
            let mut left: Vec<u32> = (0..events.len() as u32).collect();
            for index in gone {
                if !left.is_empty() {
                    let row = left.swap_remove(index.index(left.len()));
                    ages.take(&mut rows, left.len() + 1, row);
                }
            }
            let mut expected: Vec<i64> = left.iter().map(|&row| events[row as usize]).collect();
            expected.sort_unstable();
            let mut found = Vec::new();
            for len in (1..=left.len()).rev() {
                let row = ages.earliest(len).unwrap();
                found.push(events[row as usize]);
                ages.take(&mut rows, len, row);
            }
            prop_assert_eq!(found, expected);
            prop_assert!(ages.heap.iter().all(|&row| row == 0));
        }
    }
}
