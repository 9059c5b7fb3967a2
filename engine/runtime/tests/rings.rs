//! The rings hand over every record once, in order, and say so when they are full.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use pinion_runtime::ring::{Consumer, Producer, ring};
use proptest::prelude::*;

/// Records that pass between two threads; Miri is slow and looks closely.
const COUNT: u64 = if cfg!(miri) { 300 } else { 200_000 };

/// As long as the longest record: nine lines.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
struct Record([u64; 72]);

impl Default for Record {
    fn default() -> Self {
        Self([0; 72])
    }
}

impl Record {
    fn numbered(number: u64) -> Self {
        Self(std::array::from_fn(|word| {
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word as u64
        }))
    }
}

/// Sends `count` records one way or the other while they are read in batches on another thread.
fn check_two_threads(
    capacity: usize,
    count: u64,
    mut send: impl FnMut(&mut Producer<Record>, u64) -> u64 + Send,
) {
    let (mut producer, mut consumer) = ring::<Record>(capacity);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while sent < count {
                let more = send(&mut producer, sent);
                sent += more;
                if more == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut seen = 0;
        while !consumer.is_finished() {
            let batch = consumer.read_batch(7, |record| {
                assert_eq!(*record, Record::numbered(seen));
                seen += 1;
            });
            if batch == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(seen, count);
    });
}

#[test]
fn records_pushed_by_one_thread_are_read_in_order_by_another() {
    check_two_threads(31, COUNT, |producer, sent| {
        u64::from(producer.try_push(&Record::numbered(sent)))
    });
}

#[test]
fn records_built_in_place_are_read_in_order_by_another_thread() {
    let build = |producer: &mut Producer<Record>, sent: u64| {
        u64::from(producer.push_with(|slot| *slot = Record::numbered(sent)))
    };
    check_two_threads(64, COUNT, build);
}

#[test]
fn records_written_in_batches_are_read_in_order_by_another_thread() {
    let mut batch = Vec::new();
    check_two_threads(50, COUNT, move |producer, sent| {
        batch.clear();
        batch.extend((sent..(sent + 16).min(COUNT)).map(Record::numbered));
        producer.write_batch(&batch) as u64
    });
}

#[test]
fn full_ring_takes_nothing_and_counts_it() {
    let (mut producer, mut consumer) = ring::<u64>(3);
    assert_eq!(producer.write_batch(&[1, 2]), 2);
    assert_eq!((producer.free(), producer.full_count()), (1, 0));
    assert_eq!(producer.write_batch(&[3, 4]), 1);
    assert_eq!(producer.full_count(), 1);
    assert!(!producer.try_push(&5));
    assert!(!producer.push_with(|_| panic!("there is no slot to write to")));
    assert_eq!(producer.room(8), 0);
    assert_eq!(
        (producer.free(), producer.full_count(), producer.capacity()),
        (0, 4, 3)
    );
    assert_eq!(consumer.try_pop(), Some(1));
    assert_eq!(producer.room(8), 1);
    assert_eq!(producer.full_count(), 4);
    assert!(producer.try_push(&6));
    assert_eq!(
        [consumer.try_pop(), consumer.try_pop(), consumer.try_pop()],
        [Some(2), Some(3), Some(6)]
    );
    assert_eq!(consumer.try_pop(), None);
}

#[test]
fn no_room_asked_is_no_full_count() {
    let (mut producer, _consumer) = ring::<u64>(1);
    assert!(producer.try_push(&1));
    assert_eq!(producer.room(0), 0);
    assert_eq!(producer.write_batch(&[]), 0);
    assert_eq!(producer.full_count(), 0);
}

fn filled() -> (Producer<u64>, Consumer<u64>) {
    let (mut producer, consumer) = ring(4);
    assert_eq!(producer.write_batch(&[1, 2, 3, 4]), 4);
    (producer, consumer)
}

#[test]
fn record_that_is_not_taken_stays_in_the_ring() {
    let (producer, mut consumer) = filled();
    assert_eq!(consumer.read_while(9, |record| *record < 3), 2);
    assert_eq!(consumer.peek(), Some(&3));
    assert_eq!((consumer.len(), producer.free()), (2, 2));
}

#[test]
fn panic_while_reading_leaves_the_batch_in_the_ring() {
    let (_producer, mut consumer) = filled();
    let read = catch_unwind(AssertUnwindSafe(|| {
        consumer.read_batch(4, |record| assert!(*record < 3))
    }));
    assert!(read.is_err());
    assert_eq!(consumer.len(), 4);
}

#[test]
fn panic_while_building_sends_nothing() {
    let (mut producer, consumer) = ring::<u64>(2);
    let built = catch_unwind(AssertUnwindSafe(|| producer.push_with(|_| panic!("half done"))));
    assert!(built.is_err());
    assert!(consumer.is_empty());
    assert!(producer.push_with(|slot| *slot = 7));
    assert_eq!(consumer.peek(), Some(&7));
}

#[test]
fn reader_is_finished_when_the_writer_is_gone_and_all_is_read() {
    let (producer, mut consumer) = filled();
    drop(producer);
    assert!(consumer.is_abandoned());
    assert!(!consumer.is_finished());
    assert_eq!(consumer.read_batch(9, |_| ()), 4);
    assert!(consumer.is_finished());
}

#[test]
fn writer_sees_that_the_reader_is_gone() {
    let (producer, consumer) = filled();
    assert!(!producer.is_abandoned());
    drop(consumer);
    assert!(producer.is_abandoned());
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    Build,
    Write(usize),
    Pop,
    Read(usize),
    ReadWhile(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Push),
        Just(Step::Build),
        (0_usize..12).prop_map(Step::Write),
        Just(Step::Pop),
        (0_usize..12).prop_map(Step::Read),
        (0_usize..12, 0_usize..12).prop_map(|(max, take)| Step::ReadWhile(max, take)),
    ]
}

/// A ring beside a queue that does the same.
struct Pair {
    producer: Producer<u64>,
    consumer: Consumer<u64>,
    queue: VecDeque<u64>,
    next: u64,
}

impl Pair {
    fn write(&mut self, records: &[u64], write: impl Fn(&mut Producer<u64>, &[u64]) -> usize) {
        let free = self.producer.capacity() - self.queue.len();
        let full_count = self.producer.full_count();
        assert_eq!(self.producer.free(), free);
        let count = write(&mut self.producer, records);
        assert_eq!(count, records.len().min(free));
        assert_eq!(
            self.producer.full_count() - full_count,
            u64::from(count < records.len())
        );
        self.queue.extend(&records[..count]);
    }

    fn take(&mut self, step: &Step) {
        let records: Vec<u64> = (self.next..self.next + 12).collect();
        self.next += 12;
        match *step {
            Step::Push => self.write(&records[..1], |producer, one| producer.try_push(&one[0]).into()),
            Step::Build => {
                self.write(&records[..1], |producer, one| {
                    producer.push_with(|slot| *slot = one[0]).into()
                });
            }
            Step::Write(count) => self.write(&records[..count], |producer, some| producer.write_batch(some)),
            Step::Pop => assert_eq!(self.consumer.try_pop(), self.queue.pop_front()),
            Step::Read(max) => self.read(max, max),
            Step::ReadWhile(max, take) => self.read(max, take),
        }
        assert_eq!(self.consumer.len(), self.queue.len());
        assert_eq!(self.consumer.peek(), self.queue.front());
    }

    fn read(&mut self, max: usize, take: usize) {
        let mut seen = Vec::new();
        let count = self.consumer.read_while(max, |record| {
            let takes = seen.len() < take;
            if takes {
                seen.push(*record);
            }
            takes
        });
        let expected: Vec<u64> = self.queue.drain(..max.min(take).min(self.queue.len())).collect();
        assert_eq!((count, seen), (expected.len(), expected));
    }
}

proptest! {
    #[test]
    fn prop_ring_does_what_a_queue_does(
        capacity in 1_usize..10,
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let (producer, consumer) = ring(capacity);
        let mut pair = Pair { producer, consumer, queue: VecDeque::new(), next: 1 };
        steps.iter().for_each(|step| pair.take(step));
    }
}
