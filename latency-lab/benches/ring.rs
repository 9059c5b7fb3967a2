//! What a hop between two stages costs: our ring beside `rtrb` itself and the channel of the standard library.
//!
//! `one_thread` hands records on within one thread, in batches of 16 as stages on one core do; `one_to_one`
//! moves them from one thread to another as fast as they go.
//!
//! Invariant: every case moves the same records and looks at one word of each.

use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::thread;

use pinion_latency_lab::bench::{Bench, is_smoke};
use pinion_runtime::ring::ring;
use pinion_schemas::records::DecisionRecord;

const BATCH: usize = 16;
const CAPACITY: usize = 512;

fn main() {
    let records = if is_smoke() { 1_600 } else { 400_000 };
    one_thread(records);
    one_to_one(records);
}

fn record(sequence: u64) -> DecisionRecord {
    DecisionRecord {
        sequence,
        ..DecisionRecord::default()
    }
}

fn one_thread(records: u64) {
    let mut bench = Bench::new("ring/one_thread_256_bytes");
    let (mut producer, mut consumer) = rtrb::RingBuffer::<DecisionRecord>::new(CAPACITY);
    bench.case("rtrb", records, move || {
        for first in (0..records).step_by(BATCH) {
            for sequence in first..first + BATCH as u64 {
                producer.push(record(sequence)).expect("there is room");
            }
            while let Ok(record) = consumer.pop() {
                black_box(record.sequence);
            }
        }
    });
    let (mut producer, mut consumer) = ring::<DecisionRecord>(CAPACITY);
    bench.case("pinion", records, move || {
        for first in (0..records).step_by(BATCH) {
            for sequence in first..first + BATCH as u64 {
                assert!(producer.push_with(|slot| slot.sequence = sequence));
            }
            consumer.read_batch(BATCH, |record| {
                black_box(record.sequence);
            });
        }
    });
    let (sender, receiver) = sync_channel::<DecisionRecord>(CAPACITY);
    bench.case("std_mpsc", records, move || {
        for first in (0..records).step_by(BATCH) {
            for sequence in first..first + BATCH as u64 {
                sender.send(record(sequence)).expect("there is a receiver");
            }
            while let Ok(record) = receiver.try_recv() {
                black_box(record.sequence);
            }
        }
    });
    bench.finish(15);
}

fn one_to_one(records: u64) {
    let mut bench = Bench::new("ring/one_to_one_256_bytes");
    bench.case("rtrb", records, || {
        let (mut producer, mut consumer) = rtrb::RingBuffer::<DecisionRecord>::new(CAPACITY);
        let writer = thread::spawn(move || {
            for sequence in 0..records {
                while producer.push(record(sequence)).is_err() {
                    thread::yield_now();
                }
            }
        });
        let mut left = records;
        while left > 0 {
            match consumer.pop() {
                Ok(record) => left -= black_box(u64::from(record.sequence < records)),
                Err(_) => thread::yield_now(),
            }
        }
        writer.join().expect("the writer ends");
    });
    bench.case("pinion", records, || {
        let (mut producer, mut consumer) = ring::<DecisionRecord>(CAPACITY);
        let writer = thread::spawn(move || {
            for sequence in 0..records {
                while !producer.push_with(|slot| slot.sequence = sequence) {
                    thread::yield_now();
                }
            }
        });
        let mut left = records;
        while left > 0 {
            let count = consumer.read_batch(BATCH, |record| {
                black_box(record.sequence);
            });
            left -= count as u64;
            if count == 0 {
                thread::yield_now();
            }
        }
        writer.join().expect("the writer ends");
    });
    bench.case("std_mpsc", records, || {
        let (sender, receiver) = sync_channel::<DecisionRecord>(CAPACITY);
        let writer = thread::spawn(move || {
            for sequence in 0..records {
                sender.send(record(sequence)).expect("there is a receiver");
            }
        });
        for _ in 0..records {
            black_box(receiver.recv().expect("there is a sender").sequence);
        }
        writer.join().expect("the writer ends");
    });
    bench.finish(9);
}
