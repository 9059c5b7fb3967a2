//! Slots of an `rtrb` ring that are all initialised, so that a record can be built where it will be read.
//!
//! Invariant: every slot holds a valid `T` from [`prefilled`] on. Safe code outside this file can neither
//! make a [`Slots`] another way nor undo that.

// `rtrb` hands out unread slots as `MaybeUninit`; that ours are initialised is known here alone.
#![allow(unsafe_code)]

use rtrb::chunks::WriteChunkUninit;
use rtrb::{Consumer, Producer, RingBuffer};

/// The writing end of a ring whose slots are all initialised.
pub(super) struct Slots<T>(Producer<T>);

/// Takes the memory of a ring, writes every slot once and gives both ends.
pub(super) fn prefilled<T: Copy + Default>(capacity: usize) -> (Slots<T>, Consumer<T>) {
    let (mut producer, mut consumer) = RingBuffer::new(capacity);
    for _ in 0..capacity {
        assert!(
            producer.push(T::default()).is_ok(),
            "a new ring has room for its capacity"
        );
    }
    for _ in 0..capacity {
        assert!(consumer.pop().is_ok(), "a filled ring holds its capacity");
    }
    (Slots(producer), consumer)
}

impl<T: Copy> Slots<T> {
    /// Claims the next `count` slots, or none if fewer are free.
    pub(super) fn claim(&mut self, count: usize) -> Option<Claim<'_, T>> {
        self.0.write_chunk_uninit(count).ok().map(Claim)
    }

    /// The `rtrb` end, to ask it.
    pub(super) fn producer(&self) -> &Producer<T> {
        &self.0
    }
}

/// Claimed slots, holding whatever was written there last. Dropping them gives them back unsent.
pub(super) struct Claim<'a, T>(WriteChunkUninit<'a, T>);

impl<T: Copy> Claim<'_, T> {
    /// The slots in order: those before the end of the ring's memory, then those from its start.
    pub(super) fn slices(&mut self) -> (&mut [T], &mut [T]) {
        let (first, second) = self.0.as_mut_slices();
        // SAFETY: `prefilled` wrote every slot, and reading a `Copy` value leaves it valid.
        let first = unsafe { first.assume_init_mut() };
        // SAFETY: as above.
        let second = unsafe { second.assume_init_mut() };
        (first, second)
    }

    /// Sends all claimed slots at once.
    pub(super) fn commit(self) {
        // SAFETY: every slot is initialised, see `slices`.
        unsafe { self.0.commit_all() };
    }
}
