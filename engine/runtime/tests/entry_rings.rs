//! The entry ring hands over entries of any length, each in one piece, in order.

use std::collections::VecDeque;
use std::thread;

use pinion_runtime::ring::{EntryConsumer, EntryProducer, entry_ring, lines_needed};
use pinion_schemas::records::{EntryHeader, entry_kind};
use proptest::prelude::*;

fn header(sequence: u64) -> EntryHeader {
    EntryHeader {
        sequence,
        kind: entry_kind::INPUT,
        ..EntryHeader::default()
    }
}

fn payload(sequence: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|place| (sequence.wrapping_mul(31) ^ place) as u8)
        .collect()
}

fn write(producer: &mut EntryProducer, sequence: u64, len: usize) -> bool {
    producer.try_write(&header(sequence), &payload(sequence, len))
}

/// Sequence and payload length of up to `max` entries; their contents are compared here.
fn read(consumer: &mut EntryConsumer, max: usize) -> Vec<(u64, usize)> {
    let mut seen = Vec::new();
    let count = consumer.read_batch(max, |header, bytes| {
        assert_eq!(header.payload_len as usize, bytes.len());
        assert_eq!(bytes, payload(header.sequence, bytes.len()));
        seen.push((header.sequence, bytes.len()));
    });
    assert_eq!(count, seen.len());
    seen
}

#[test]
fn entry_takes_a_line_for_its_header_and_whole_lines_for_its_payload() {
    assert_eq!([0, 1, 64, 65, 128].map(lines_needed), [1, 2, 2, 3, 3]);
}

#[test]
fn entry_that_would_straddle_the_end_starts_again_at_the_beginning() {
    let (mut producer, mut consumer) = entry_ring(8);
    assert!(write(&mut producer, 1, 100)); // 3 lines
    assert!(write(&mut producer, 2, 100)); // 6
    assert_eq!(read(&mut consumer, 9), [(1, 100), (2, 100)]);
    assert!(write(&mut producer, 3, 150)); // 2 of padding, then 4 from the start
    assert_eq!(consumer.lines(), 6);
    assert_eq!(read(&mut consumer, 9), [(3, 150)]);
    assert!(consumer.is_empty());
}

#[test]
fn full_ring_takes_nothing_and_counts_it() {
    let (mut producer, mut consumer) = entry_ring(4);
    assert!(write(&mut producer, 1, 64));
    assert!(producer.can_write(64));
    assert!(write(&mut producer, 2, 64));
    assert!(!producer.can_write(0));
    assert!(!write(&mut producer, 3, 0));
    assert_eq!((producer.full_count(), producer.free_lines()), (1, 0));
    assert_eq!(read(&mut consumer, 1), [(1, 64)]);
    assert!(write(&mut producer, 3, 0));
    assert_eq!(read(&mut consumer, 9), [(2, 64), (3, 0)]);
}

#[test]
fn entry_that_is_not_taken_stays_in_the_ring() {
    let (mut producer, mut consumer) = entry_ring(16);
    (1..=3).for_each(|sequence| assert!(write(&mut producer, sequence, 10)));
    assert_eq!(consumer.read_while(9, |header, _| header.sequence < 2), 1);
    assert_eq!(read(&mut consumer, 9), [(2, 10), (3, 10)]);
}

#[test]
fn payload_is_written_where_it_is_read() {
    let (mut producer, mut consumer) = entry_ring(8);
    assert!(producer.try_write_with(&header(5), 3, |place| place.copy_from_slice(&payload(5, 3))));
    assert_eq!(read(&mut consumer, 9), [(5, 3)]);
}

#[test]
#[should_panic(expected = "an entry of 5 lines, expected 4 at most")]
fn entry_longer_than_half_the_ring_is_a_broken_invariant() {
    let (mut producer, _consumer) = entry_ring(8);
    assert_eq!(producer.payload_len_max(), 192);
    write(&mut producer, 1, 193);
}

#[test]
fn longest_entry_fits_an_empty_ring_wherever_the_last_one_ended() {
    for capacity in 1..if cfg!(miri) { 8 } else { 40 } {
        for offset in 0..capacity {
            let (mut producer, mut consumer) = entry_ring(capacity);
            (0..offset).for_each(|_| {
                assert!(write(&mut producer, 0, 0));
                read(&mut consumer, 1);
            });
            let len_max = producer.payload_len_max();
            assert!(
                producer.can_write(len_max),
                "capacity {capacity}, offset {offset}"
            );
            assert!(write(&mut producer, 1, len_max));
            assert_eq!(read(&mut consumer, 1), [(1, len_max)]);
            assert!(consumer.is_empty());
        }
    }
}

#[test]
fn entries_of_one_thread_are_read_in_order_by_another() {
    const COUNT: u64 = if cfg!(miri) { 200 } else { 200_000 };
    let len_of = |sequence: u64| (sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
    let (mut producer, mut consumer) = entry_ring(67);
    thread::scope(|scope| {
        scope.spawn(move || {
            for sequence in 0..COUNT {
                while !write(&mut producer, sequence, len_of(sequence)) {
                    thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while !consumer.is_finished() {
            let batch = read(&mut consumer, 16);
            for (sequence, len) in &batch {
                assert_eq!((*sequence, *len), (next, len_of(next)));
                next += 1;
            }
            if batch.is_empty() {
                thread::yield_now();
            }
        }
        assert_eq!(next, COUNT);
    });
}

proptest! {
    /// Steps: write an entry of this length, or read up to so many.
    #[test]
    fn prop_entry_ring_does_what_a_queue_does(
        line_capacity in 1_usize..40,
        steps in prop::collection::vec(prop_oneof![
            (0_usize..2_000).prop_map(Ok),
            (0_usize..8).prop_map(Err),
        ], 1..300),
    ) {
        let (mut producer, mut consumer) = entry_ring(line_capacity);
        let mut queue = VecDeque::new();
        for (step, sequence) in steps.into_iter().zip(1..) {
            match step {
                Ok(len) => {
                    let len = len % (producer.payload_len_max() + 1);
                    let (can_write, full_count) = (producer.can_write(len), producer.full_count());
                    prop_assert!(can_write || !queue.is_empty(), "an empty ring takes what it takes at all");
                    prop_assert_eq!(write(&mut producer, sequence, len), can_write);
                    prop_assert_eq!(producer.full_count() - full_count, u64::from(!can_write));
                    if can_write {
                        queue.push_back((sequence, len));
                    }
                }
                Err(max) => {
                    let expected: Vec<_> = queue.drain(..max.min(queue.len())).collect();
                    prop_assert_eq!(read(&mut consumer, max), expected);
                }
            }
        }
        prop_assert_eq!(read(&mut consumer, usize::MAX), Vec::from(queue));
        prop_assert!(consumer.is_empty());
        prop_assert_eq!(producer.free_lines(), line_capacity);
    }
}
