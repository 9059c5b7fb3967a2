//! In steady state the stage makes no heap call.

use pinion_book::{BookAgent, BookConfig};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_runtime::ring::ring;
use pinion_schemas::records::{BookRecord, MarketRecord};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn config() -> BookConfig {
    BookConfig {
        instruments_max: 4,
        depth_instruments_max: 2,
        levels_max: 16,
        orders_max: 64,
        ..BookConfig::default()
    }
}

/// Every kind, action and side in turn, over more instruments, levels and orders than there is room for.
fn event(sequence: u64) -> MarketRecord {
    let mut market = MarketRecord {
        instrument: (sequence % 5) as u32,
        order_id: sequence * 7 % 101,
        price: (sequence * 31 % 97) as i64,
        quantity: (sequence % 11) as i64,
        side: (sequence % 3) as u8,
        action: if sequence.is_multiple_of(503) {
            4
        } else {
            [1, 1, 2, 3, 5, 0, 2][(sequence % 7) as usize]
        },
        ..MarketRecord::default()
    };
    market.origin.sequence = sequence;
    market.origin.kind = [4, 4, 3, 1, 4, 2, 3, 4, 5, 6, 3][(sequence % 11) as usize];
    market.origin.ingest_ns = sequence as i64;
    market
}

#[test]
fn no_alloc_in_steady_state() {
    let (mut feed, input) = ring::<MarketRecord>(16);
    let (output, mut drain) = ring::<BookRecord>(16);
    let mut agent = BookAgent::new(&config(), input, output, &Counters::in_memory(32)).unwrap();
    let heap_calls = count_heap_calls(|| {
        for sequence in 1..=100_000 {
            assert!(feed.try_push(&event(sequence)));
            assert_eq!(agent.do_work(50_000), 1);
            let record = drain.try_pop().unwrap();
            assert_eq!(record.market.origin.sequence, sequence);
            assert_eq!(record.top.booked_ns, 50_000.max(sequence as i64));
        }
    });
    assert_eq!(heap_calls, 0);
    let tally = agent.books().tally();
    assert!(
        tally.levels_dropped > 0 && tally.depth_refused > 0,
        "the bounds were met: {tally:?}"
    );
}

#[test]
fn full_output_holds_the_stage_back_and_nothing_is_lost() {
    let (mut feed, input) = ring::<MarketRecord>(16);
    let (output, mut drain) = ring::<BookRecord>(2);
    let counters = Counters::in_memory(32);
    let mut agent = BookAgent::new(&config(), input, output, &counters).unwrap();
    for sequence in 1..=5 {
        assert!(feed.try_push(&event(sequence)));
    }
    assert_eq!(agent.do_work(0), 2);
    assert_eq!(agent.do_work(0), 0);
    assert_eq!(counters.value("book.output_full"), Some(1));
    let mut sequences = Vec::new();
    while !agent.is_drained() || !drain.is_empty() {
        agent.do_work(0);
        drain.read_batch(16, |record| sequences.push(record.market.origin.sequence));
    }
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
}
