//! Everything that an agent may touch in its duty cycle makes no heap call.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pinion_runtime::agent::Agent;
use pinion_runtime::clock::{CachedClock, Clock};
use pinion_runtime::composite::Composite;
use pinion_runtime::control::{self, AgentEnd, IngestGate};
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::faults::{ErrorLog, Fault, FaultKind};
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_runtime::idle::{IdleStrategy, Idler};
use pinion_runtime::invoker::Invoker;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{Consumer, EntryProducer, Producer, entry_ring, ring};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{EntryHeader, MarketRecord};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Passes records on and uses all that an agent is offered.
struct Stage {
    input: Consumer<MarketRecord>,
    output: Producer<MarketRecord>,
    journal: EntryProducer,
    commands: AgentEnd<Box<u64>, Box<u64>>,
    limit: Box<u64>,
    gate: IngestGate,
    names: NameTable,
    passed: Counter,
    errors: ErrorLog,
}

impl Agent for Stage {
    fn name(&self) -> &str {
        "stage"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        if let Some(limit) = self.commands.next_command() {
            let old_limit = std::mem::replace(&mut self.limit, limit);
            assert!(self.commands.retire(old_limit).is_ok());
        }
        if !self.gate.is_open() || self.input.is_empty() {
            return 0;
        }
        let room = self.output.room(16);
        let Self {
            input,
            output,
            journal,
            names,
            errors,
            ..
        } = self;
        let work_count = input.read_batch(room, |record| {
            assert!(output.push_with(|slot| *slot = *record));
            assert!(journal.try_write(&EntryHeader::default(), &[7; 100]));
            assert!(names.set(record.instrument, Id::NONE));
            errors.record(Fault::new(FaultKind::BookCrossed, record.origin.sequence), now_ns);
        });
        self.passed.add(work_count as u64);
        work_count
    }
}

#[test]
fn no_alloc_in_steady_state() {
    let counters = Counters::in_memory(8);
    let (mut feed, input) = ring(64);
    let (output, mut drain) = ring(64);
    let (journal, mut entries) = entry_ring(256);
    let (mut conductor, commands) = control::channel(2);
    let (clock, virtual_clock) = Clock::manual(0);
    let stage = Stage {
        input,
        output,
        journal,
        commands,
        limit: Box::new(1),
        gate: IngestGate::new(),
        names: NameTable::new(10),
        passed: counters.counter("stage.passed"),
        errors: ErrorLog::in_memory(),
    };
    let composite = Composite::new("composite", vec![Box::new(stage)], clock.clone());
    let mut composite = Invoker::new(composite, clock).unwrap();
    let mut commands: Vec<Box<u64>> = (0..100).map(Box::new).collect();
    let mut retired = Vec::with_capacity(commands.len());

    let heap_calls = count_heap_calls(|| {
        for sequence in 1..=100_000 {
            virtual_clock.advance(1);
            let instrument = (sequence % 10) as u32;
            let mut record = MarketRecord {
                instrument,
                ..MarketRecord::default()
            };
            record.origin.sequence = sequence;
            assert!(feed.try_push(&record));
            if sequence.is_multiple_of(1_000) {
                assert!(conductor.send(commands.pop().unwrap()).is_ok());
            }
            assert_eq!(composite.invoke(), 1);
            assert_eq!(drain.try_pop(), Some(record));
            assert_eq!(
                entries.read_batch(1, |_, payload| assert_eq!(payload, [7; 100])),
                1
            );
            retired.extend(conductor.next_retired());
        }
    });
    assert_eq!(heap_calls, 0);
    assert_eq!(retired.len(), 100);
    assert_eq!(counters.value("stage.passed"), Some(100_000));
}

#[test]
fn idling_and_reading_the_clock_make_no_heap_call() {
    let clock = Clock::system();
    let cached = CachedClock::new(clock.clone());
    let back_off = IdleStrategy::BackOff {
        spins: 5,
        yields: 5,
        park_ns_min: 100,
        park_ns_max: 1_000,
    };
    for strategy in [
        IdleStrategy::BusySpin,
        IdleStrategy::Yield,
        back_off,
        IdleStrategy::Sleep { ns: 100 },
    ] {
        let mut idler = Idler::new(strategy);
        let heap_calls = count_heap_calls(|| {
            for work_count in 0..200_usize {
                idler.idle(work_count % 50 / 49);
                assert!(cached.refresh() <= clock.now_ns());
            }
        });
        assert_eq!(heap_calls, 0, "{strategy}");
    }
}

#[test]
fn frees_count_as_well_as_allocations() {
    let boxed = Box::new(1);
    assert_eq!(count_heap_calls(|| drop(boxed)), 1);
    let mut bytes = Vec::<u8>::with_capacity(1);
    assert_eq!(count_heap_calls(|| bytes.reserve_exact(100)), 1);
}

#[test]
fn calls_of_another_thread_do_not_count() {
    let (is_asked, is_done) = (AtomicBool::new(false), AtomicBool::new(false));
    let wait_for = |flag: &AtomicBool| {
        while !flag.load(Ordering::Acquire) {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for(&is_asked);
            assert_eq!(count_heap_calls(|| drop(black_box(vec![0_u8; 1_000]))), 2);
            is_done.store(true, Ordering::Release);
        });
        let heap_calls = count_heap_calls(|| {
            is_asked.store(true, Ordering::Release);
            wait_for(&is_done);
        });
        assert_eq!(heap_calls, 0);
    });
}
