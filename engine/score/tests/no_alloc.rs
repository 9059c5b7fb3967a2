//! In steady state the stage takes and frees no memory of its own.

use std::path::Path;

use pinion_runtime::agent::Agent;
use pinion_runtime::control;
use pinion_runtime::counters::Counters;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_runtime::ring::ring;
use pinion_schemas::ids::Id;
use pinion_schemas::records::{FeatureRecord, ScoredRecord, decision_flag, payment_kind};
use pinion_score::bank::{Bank, BankConfig, Case, Label, Neighbour};
use pinion_score::device::{Device, DeviceBank, Libraries, Sizes};
use pinion_score::exchange::Swap;
use pinion_score::manifest::ModelFolder;
use pinion_score::{Backend, Exchanges, ScoreAgent, ScoreCommand, ScoreConfig, ScoreRetired, Scorer};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn heap_calls_of_1000_events(backend: Backend, has_device: bool) -> u64 {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v2");
    let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
    let config = ScoreConfig {
        model: model.display().to_string(),
        backend,
        waiting_max: 100,
        histories_max: 16,
        ..ScoreConfig::default()
    };
    let (mut feed, input) = ring::<FeatureRecord>(64);
    let (output, mut drain) = ring::<ScoredRecord>(64);
    let counters = Counters::in_memory(32);
    let mut scorer = Scorer::load(&config, |_| Some(hash)).unwrap();
    if has_device {
        let sizes = Sizes {
            rows_max: config.bank.rows_max,
            batch: 1,
            proposals: 1_024,
            threads: 1,
        };
        let folder = ModelFolder::open(&model).unwrap();
        let device = DeviceBank::open(Device::Cpu, &Libraries::default(), &folder, &sizes).unwrap();
        scorer = scorer.with_device(device);
    }
    let usual = scorer.usual().to_vec();
    let mut agent = ScoreAgent::new(&config, scorer, input, output, &counters).unwrap();
    let (mut near_fraud, mut unusual, mut others) = (0, 0, 0);
    let heap_calls = count_heap_calls(|| {
        for sequence in 1..=1_000 {
            let mut record = record(sequence);
            if sequence.is_multiple_of(2) {
                // Some customers make room for others. Payments are large, usual, or at a busy terminal.
                record.payment.customer = (sequence as u32 / 2).wrapping_pow(2) % 37;
                record.features[..usual.len()].copy_from_slice(&usual);
                match sequence % 6 {
                    0 => record.features[0] *= 9.0,
                    2 => record.features[29] *= 5.0 + (sequence % 7) as f32,
                    _ => {}
                }
            }
            assert!(feed.try_push(&record));
            assert_eq!(agent.do_work(1), 1);
            let scored = drain.try_pop().unwrap();
            assert_eq!(scored.payment.origin.sequence, sequence);
            *match (scored.score.fraud_share >= 0.01, scored.score.reason_count > 0) {
                (true, true) => &mut near_fraud,
                (false, true) => &mut unusual,
                _ => &mut others,
            } += 1;
        }
    });
    assert!(near_fraud > 50 && unusual > 50, "{near_fraud} {unusual} {others}");
    heap_calls
}

#[test]
fn no_alloc_in_steady_state() {
    assert_eq!(heap_calls_of_1000_events(Backend::Native, false), 0);
}

#[test]
fn onnx_runtime_adds_a_bounded_number_of_its_own() {
    // The library takes memory by its own allocator; what it does through Rust's is ort's wrapping of the
    // outputs. More than a handful per run would be ours.
    assert!(heap_calls_of_1000_events(Backend::Onnx, false) <= 8 * 1_000);
}

/// As above, of a run of the graph and of writing the rows of a label.
#[test]
fn device_adds_a_bounded_number_of_its_own() {
    let calls = heap_calls_of_1000_events(Backend::Native, true);
    assert!(calls <= 20 * 500, "{calls}");
}

/// A transaction, or a label of the one before.
fn record(sequence: u64) -> FeatureRecord {
    let mut record = FeatureRecord::default();
    record.payment.origin.sequence = sequence;
    record.payment.transaction_id.0[..4].copy_from_slice(&format_digits(sequence as u32 / 2));
    if sequence.is_multiple_of(2) {
        record.payment.origin.kind = payment_kind::TRANSACTION;
        record.features[0] = sequence as f32;
    } else {
        record.payment.origin.kind = payment_kind::LABEL;
        record.payment.verdict = 1 + (sequence % 3) as u8;
    }
    record
}

#[test]
fn exchange_of_the_scorer_takes_and_frees_nothing() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v2");
    let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
    let config = ScoreConfig {
        model: model.display().to_string(),
        backend: Backend::Native,
        waiting_max: 100,
        ..ScoreConfig::default()
    };
    let (mut feed, input) = ring::<FeatureRecord>(64);
    let (output, mut drain) = ring::<ScoredRecord>(64);
    let load = || Scorer::load(&config, |_| Some(hash)).unwrap();
    let (mut conductor, control) = control::channel(4);
    let exchanges = Exchanges {
        control: Some(control),
        ..Exchanges::default()
    };
    let agent = ScoreAgent::new(&config, load(), input, output, &Counters::in_memory(32)).unwrap();
    let mut agent = agent.with_exchanges(exchanges);
    let (copies, catch_up) = ring(64);
    let swap = Box::new(Swap {
        scorer: load(),
        next_sequence: 1,
        catch_up,
    });
    let (mut copy, mut swap) = (Some(ScoreCommand::Copy(copies)), Some(ScoreCommand::Swap(swap)));
    let mut retired = Vec::with_capacity(2);
    let mut flags = [0; 200];
    let heap_calls = count_heap_calls(|| {
        for sequence in 1..=200 {
            let command = match sequence {
                1 => copy.take(),
                50 => swap.take(),
                _ => None,
            };
            if let Some(command) = command {
                assert!(conductor.send(command).is_ok());
            }
            assert!(feed.try_push(&record(sequence)));
            agent.do_work(1);
            let scored = drain.try_pop().unwrap();
            assert_eq!(scored.payment.origin.sequence, sequence);
            flags[sequence as usize - 1] = scored.payment.origin.flags & decision_flag::EXCHANGED;
            retired.extend(conductor.next_retired());
        }
    });
    assert_eq!(heap_calls, 0);
    let Some(ScoreRetired::Swap {
        is_done: true,
        sequence,
        ..
    }) = retired.first()
    else {
        panic!("expected the former scorer back");
    };
    assert!(matches!(retired.last(), Some(ScoreRetired::Copy(_))));
    let (before, behind) = flags.split_at(*sequence as usize);
    assert!((50..200).contains(sequence), "{sequence}");
    assert!(before.iter().all(|&flag| flag == 0));
    assert!(behind.iter().all(|&flag| flag == decision_flag::EXCHANGED));
}

fn heap_calls_of_1000_cases(bank: &mut Bank) -> u64 {
    let mut nearest = [Neighbour::default(); 64];
    count_heap_calls(|| {
        for number in 0..1_000_u32 {
            let mut id = Id::new("case").unwrap();
            id.0[4..8].copy_from_slice(&format_digits(number));
            let turn = number as f32 / 100.0;
            let embedding = [turn.cos(), turn.sin(), 0.0, 0.0];
            let case = Case {
                id,
                entity: u64::from(number % 40),
                label: if number.is_multiple_of(3) {
                    Label::Fraud
                } else {
                    Label::Genuine
                },
                weight: 1.0,
                event_ns: i64::from(number) * 1_000_000_000,
                embedding: &embedding,
            };
            assert!(bank.insert(&case).is_ok());
            assert!(bank.search(&embedding, &mut nearest) > 0);
            bank.relabel(&id, Label::Fraud);
            if number.is_multiple_of(7) {
                assert!(bank.remove(&id));
            }
            bank.expire(case.event_ns);
        }
    })
}

/// Four digits, without taking memory.
fn format_digits(number: u32) -> [u8; 4] {
    [1_000, 100, 10, 1].map(|place| b'0' + (number / place % 10) as u8)
}

#[test]
fn bank_takes_no_memory_after_start() {
    check_bank_takes_no_memory(0);
}

#[test]
fn bank_with_cells_takes_no_memory_after_start() {
    check_bank_takes_no_memory(50);
}

#[track_caller]
fn check_bank_takes_no_memory(approximate_from_rows: u32) {
    let config = BankConfig {
        rows_max: 300,
        age_s_max: 200,
        entity_rows_max: 20,
        approximate_from_rows,
        cells: 8,
        probes: 2,
        recall_every: 4,
        ..BankConfig::default()
    };
    let mut bank = Bank::new(&config, 4).unwrap();
    if approximate_from_rows > 0 {
        heap_calls_of_1000_cases(&mut bank);
        assert!(bank.cluster() > 1);
    }
    let mut copy = bank.clone();
    assert_eq!(heap_calls_of_1000_cases(&mut bank), 0);
    assert_eq!(heap_calls_of_1000_cases(&mut copy), 0);
    let tally = bank.tally();
    assert!(
        tally.evicted_age > 0 && tally.relabelled > 0 && tally.removed > 0,
        "{tally:?}"
    );
    assert_eq!(
        approximate_from_rows > 0,
        tally.approximate > 0 && tally.compared > 0
    );
}
