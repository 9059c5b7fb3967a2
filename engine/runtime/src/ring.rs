//! Single-producer single-consumer rings: the only way from one agent to the next.
//!
//! ```text
//!   Producer ──push_with / write_batch──▶ [ slot | slot | slot | … ] ──read_batch──▶ Consumer
//!   one thread                            bounded, all memory taken              one thread
//!                                         and touched in `ring`
//! ```
//!
//! **Parts.** [`ring`] carries records of one size ([`Producer`], [`Consumer`]); [`entry_ring`] carries entries
//! of varying length, each in one piece ([`EntryProducer`], [`EntryConsumer`]). Both stand on `rtrb`.
//!
//! **Memory** is taken, written and so mapped in the constructor; nothing allocates or frees afterwards. The
//! capacity is any number from 1; it need not be a power of two.
//!
//! **Cost.** Every call is wait-free. A batch costs one acquiring load of the other side's position and one
//! releasing store of the own one, however many records it moves: move many. Records are read where they
//! lie and can be built where they lie; nothing is copied on the way unless you copy it. The slots are used in
//! turn, so a ring that outgrows the cache misses it at every record: make it as large as a burst, not larger.
//!
//! **Full**: a write returns `false` (or a smaller count), the record is not taken, and
//! [`Producer::full_count`] grows by one. Nothing is overwritten. **Empty**: a read returns 0 or `None`.
//! Nobody waits and nobody is woken: agents come round again.
//!
//! **Cannot**: have two writers or two readers, grow, wait.
//!
//! ```
//! use pinion_runtime::ring::ring;
//!
//! let (mut producer, mut consumer) = ring::<u64>(2);
//! assert!(producer.try_push(&1));
//! assert!(producer.push_with(|slot| *slot = 2));
//! assert!(!producer.try_push(&3)); // full
//! assert_eq!(producer.full_count(), 1);
//!
//! let mut seen = Vec::new();
//! assert_eq!(consumer.read_batch(16, |record| seen.push(*record)), 2);
//! assert_eq!(seen, [1, 2]);
//! ```
//!
//! Invariant: the reader gets every accepted record once, in the order of writing.

mod entry;
mod slots;

pub use entry::{EntryConsumer, EntryProducer, entry_ring, lines_needed};

use slots::Slots;

/// Makes a ring for `capacity` records.
///
/// Bound: `capacity` is at least 1, else it panics.
/// Cost:  `capacity` × the record's size of memory, all of it written once.
pub fn ring<T: Copy + Default>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a ring holds at least one record");
    let (slots, consumer) = slots::prefilled(capacity);
    (Producer { slots, full_count: 0 }, Consumer { inner: consumer })
}

/// The writing end of a ring. One thread owns it.
pub struct Producer<T> {
    slots: Slots<T>,
    full_count: u64,
}

impl<T: Copy> Producer<T> {
    /// Copies one record into the ring. `false`: full, and counted.
    ///
    /// Cost: one copy; the reader's position is loaded only when the ring may be full.
    #[inline]
    #[must_use]
    pub fn try_push(&mut self, record: &T) -> bool {
        self.push_with(|slot| *slot = *record)
    }

    /// Lets `build` write the next record in its slot. `false`: full, counted, and `build` was not called.
    ///
    /// The slot holds an older record: `build` must set every field that the reader will look at.
    /// A panic in `build` leaves the record unsent.
    ///
    /// Cost: none beyond `build`'s own writes; see [`Producer::try_push`].
    #[inline]
    #[must_use]
    pub fn push_with(&mut self, build: impl FnOnce(&mut T)) -> bool {
        let Some(mut claim) = self.slots.claim(1) else {
            self.full_count += 1;
            return false;
        };
        build(&mut claim.slices().0[0]);
        claim.commit();
        true
    }

    /// Copies as many of `records` as there is room for and returns how many. Fewer than all: full, and
    /// counted once.
    ///
    /// Cost: one copy each, one releasing store in all.
    #[inline]
    #[must_use]
    pub fn write_batch(&mut self, records: &[T]) -> usize {
        let count = self.free_up_to(records.len());
        self.full_count += u64::from(count < records.len());
        let Some(mut claim) = self.slots.claim(count) else {
            return 0;
        };
        let (first, second) = claim.slices();
        let (head, tail) = records[..count].split_at(first.len());
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
        claim.commit();
        count
    }

    /// Free slots up to `count_max`. 0: full, and counted once.
    ///
    /// This is how a stage limits its batch, asked when there is input: `input.read_batch(output.room(max), …)`.
    ///
    /// Cost: loads the reader's position only when fewer than `count_max` slots were free at the last look.
    #[inline]
    #[must_use]
    pub fn room(&mut self, count_max: usize) -> usize {
        let count = self.free_up_to(count_max);
        self.full_count += u64::from(count == 0 && count_max > 0);
        count
    }

    /// Free slots at this moment; the reader may free more at any time, nobody takes them.
    ///
    /// Cost: one load of the reader's position.
    pub fn free(&self) -> usize {
        self.slots.producer().slots()
    }

    /// How often a write or [`Producer::room`] found no room.
    pub fn full_count(&self) -> u64 {
        self.full_count
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.slots.producer().buffer().capacity()
    }

    /// Whether the reader is gone: what is written now will not be read.
    pub fn is_abandoned(&self) -> bool {
        self.slots.producer().is_abandoned()
    }

    /// Free slots up to `count_max`, by the last known position of the reader if that is enough.
    #[inline]
    fn free_up_to(&self, count_max: usize) -> usize {
        let producer = self.slots.producer();
        let known = producer.cached_slots();
        if known >= count_max {
            count_max
        } else {
            producer.slots().min(count_max)
        }
    }
}

/// The reading end of a ring. One thread owns it.
pub struct Consumer<T> {
    inner: rtrb::Consumer<T>,
}

impl<T: Copy> Consumer<T> {
    /// Copies the next record out, if there is one.
    ///
    /// Cost: one copy at least, more when the compiler cannot place the result; for long records prefer
    ///       [`Consumer::read_batch`].
    #[inline]
    pub fn try_pop(&mut self) -> Option<T> {
        let mut popped = None;
        self.read_batch(1, |record| popped = Some(*record));
        popped
    }

    /// The next record where it lies, if there is one; it stays in the ring.
    #[inline]
    pub fn peek(&self) -> Option<&T> {
        self.inner.peek().ok()
    }

    /// Shows up to `count_max` records to `handle`, oldest first, where they lie. Returns how many.
    ///
    /// Their slots are freed together after the last. A panic in `handle` leaves the whole batch in the ring.
    ///
    /// Cost: one acquiring load and one releasing store per batch.
    #[inline]
    pub fn read_batch(&mut self, count_max: usize, mut handle: impl FnMut(&T)) -> usize {
        self.read_while(count_max, |record| {
            handle(record);
            true
        })
    }

    /// As [`Consumer::read_batch`], but ends at the first record for which `handle` returns `false`; that one
    /// stays in the ring. Returns how many were taken.
    #[inline]
    pub fn read_while(&mut self, count_max: usize, mut handle: impl FnMut(&T) -> bool) -> usize {
        let count = self.inner.slots().min(count_max);
        if count == 0 {
            return 0;
        }
        let Ok(chunk) = self.inner.read_chunk(count) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        let mut taken = 0;
        for record in first.iter().chain(second) {
            if !handle(record) {
                break;
            }
            taken += 1;
        }
        chunk.commit(taken);
        taken
    }

    /// Shows up to `count_max` records to `handle` at once, oldest first, where they lie: the second slice follows
    /// the first. Returns how many; their slots are freed together.
    ///
    /// For a reader that looks ahead, to ask for memory that later records will need.
    #[inline]
    pub fn read_slices(&mut self, count_max: usize, handle: impl FnOnce(&[T], &[T])) -> usize {
        let count = self.inner.slots().min(count_max);
        let Ok(chunk) = self.inner.read_chunk(count) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        handle(first, second);
        chunk.commit_all();
        count
    }

    /// Records waiting at this moment; the writer may add more at any time, nobody takes them.
    ///
    /// Cost: one load of the writer's position.
    pub fn len(&self) -> usize {
        self.inner.slots()
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.inner.buffer().capacity()
    }

    /// Whether the writer is gone. Records may still wait: see [`Consumer::is_finished`].
    pub fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned()
    }

    /// Whether the writer is gone and everything it wrote was read.
    pub fn is_finished(&self) -> bool {
        self.is_abandoned() && self.is_empty()
    }
}
