//! What the payment lane knows, taken out of one agent and filled into another: that one goes on as if it had seen
//! everything itself.

mod common;

use std::path::Path;

use common::{
    Rig, Rings, account_update, config, frame, id, label, payment_frame, quote_frame, stamp, transaction,
    write_journal,
};
use pinion_ingest::config::{TableConfig, WhenFull};
use pinion_ingest::interning::IdTable;
use pinion_ingest::{ByHand, IngestConfig};
use pinion_journal::Reader;
use pinion_runtime::faults::FaultKind;
use pinion_runtime::state::digest;
use pinion_schemas::encode::{Event, LabelEvent, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::records::PaymentRecord;
use proptest::prelude::*;

/// Tables that are full after a few names.
fn tiny(when_full: WhenFull) -> IngestConfig {
    let table = TableConfig {
        ids_max: 4,
        when_full,
    };
    IngestConfig {
        publishers_max: 3,
        customers: table.clone(),
        terminals: table.clone(),
        cards: table.clone(),
        merchants: table.clone(),
        devices: table.clone(),
        accounts: table,
        ..config()
    }
}

/// Copies every region and goes on behind it.
fn hand_over(from: &Rig, to: &mut Rig) {
    let from = from.agent.payments_state().regions();
    let sequence = u64::from_le_bytes(*from[0].bytes.first_chunk().unwrap());
    let mut to_regions = to.agent.payments_state_mut().regions_mut();
    assert_eq!(from.len(), to_regions.len());
    for (region, target) in from.iter().zip(&mut to_regions) {
        assert_eq!((region.name, region.index), (target.name, target.index));
        target.bytes.copy_from_slice(region.bytes);
    }
    to.agent.resume_payments(sequence);
}

/// The state as recorded frames alone leave it.
fn settled_digest(rig: &mut Rig) -> [u8; 32] {
    let sequence = rig.agent.payments_state().regions()[0].bytes[..8].try_into();
    rig.agent.resume_payments(u64::from_le_bytes(sequence.unwrap()));
    digest(rig.agent.payments_state())
}

/// What one publisher does on the stream of payments.
#[derive(Clone, Copy, Debug)]
struct Step {
    publisher_id: u32,
    session: u64,
    sequence: u64,
    kind: u8,
    names: [u8; 6],
}

fn any_step() -> impl Strategy<Value = Step> {
    (1_u32..6, 1_u64..4, 1_u64..40, 0_u8..10, any::<[u8; 6]>()).prop_map(
        |(publisher_id, session, sequence, kind, names)| Step {
            publisher_id,
            session,
            sequence,
            kind,
            names: names.map(|name| name % 9),
        },
    )
}

/// One name in nine is absent.
fn name(number: u8) -> Id {
    if number == 0 {
        Id::NONE
    } else {
        id(&format!("name-{number}"))
    }
}

fn bytes_of(step: &Step) -> Vec<u8> {
    let names = step.names.map(name);
    let event = match step.kind {
        0 => return b"garbage".to_vec(),
        1 => Event::AccountUpdate(account_update("someone", &format!("account-{}", step.names[5]))),
        2 | 3 => Event::Label(LabelEvent {
            customer: names[0],
            terminal: names[1],
            card: names[2],
            device: names[4],
            ..label("ann", "shop")
        }),
        _ => Event::Transaction(TransactionEvent {
            customer: names[0],
            terminal: names[1],
            card: names[2],
            merchant: names[3],
            device: names[4],
            account: names[5],
            ..transaction("ann", "shop")
        }),
    };
    frame(&stamp(step.publisher_id, step.session, step.sequence), &event)
}

/// What an agent makes of frames: the records, and by how much its counters grew.
#[derive(Debug, PartialEq)]
struct Outcome {
    records: Vec<PaymentRecord>,
    counts: [u64; 4],
    evicted: u64,
}

fn counts(rig: &Rig) -> ([u64; 4], u64) {
    let lane = ["accepted", "duplicates", "rejected", "restarts"];
    let evicted = [
        "customers",
        "terminals",
        "cards",
        "merchants",
        "devices",
        "accounts",
    ];
    (
        lane.map(|name| rig.count(&format!("ingest.payment.{name}"))),
        evicted
            .map(|table| rig.count(&format!("ingest.{table}.evicted")))
            .iter()
            .sum(),
    )
}

/// Feeds each frame in its own duty cycle.
fn feed(rig: &mut Rig, steps: &[Step]) -> Outcome {
    let (before, evicted_before) = counts(rig);
    for step in steps {
        rig.offer_payment(&bytes_of(step));
        rig.run();
    }
    rig.take_journal();
    rig.take_rejects();
    let (after, evicted) = counts(rig);
    Outcome {
        records: rig.take_payments(),
        counts: std::array::from_fn(|index| after[index] - before[index]),
        evicted: evicted - evicted_before,
    }
}

/// The counters that show what is known, not what happened.
fn known(rig: &Rig) -> Vec<u64> {
    let gauges = ["payment.publishers", "customers.ids", "cards.ids", "accounts.ids"];
    gauges
        .iter()
        .map(|name| rig.count(&format!("ingest.{name}")))
        .collect()
}

proptest! {
    #[test]
    fn prop_state_handed_over_goes_on_as_if_it_had_seen_everything(
        steps in prop::collection::vec(any_step(), 0..200),
        cut in 0_usize..200,
        may_evict: bool,
    ) {
        let config = tiny(if may_evict { WhenFull::EvictOldestIdle } else { WhenFull::Reject });
        let (before, after) = steps.split_at(cut.min(steps.len()));
        let mut whole = Rig::new(&config);
        feed(&mut whole, before);
        let mut fresh = Rig::new(&config);
        hand_over(&whole, &mut fresh);
        fresh.now_ns = whole.now_ns;

        prop_assert_eq!(feed(&mut fresh, after), feed(&mut whole, after));
        prop_assert_eq!(known(&fresh), known(&whole));
        prop_assert_eq!(settled_digest(&mut fresh), settled_digest(&mut whole));
    }
}

/// A day of both lanes, with names that are evicted and come back: what was journaled of it.
fn journal_of_a_day(config: &IngestConfig) -> Vec<(pinion_schemas::records::EntryHeader, Vec<u8>)> {
    let mut live = Rig::new(config);
    for sequence in 1..=120 {
        live.offer_market(&quote_frame(sequence, ["A", "B", "C"][sequence as usize % 3]));
        let customer = format!("customer-{}", sequence * sequence % 11);
        live.offer_payment(&payment_frame(sequence, &customer, "shop"));
        live.offer_payment(b"garbage");
        live.run();
    }
    live.take_journal()
}

fn recorded(config: &IngestConfig, folder: &Path) -> Rig {
    Rig::with(config, Rings::default(), Some(Reader::open(folder).unwrap()))
}

/// Goes on live behind what is recorded: frames 119 to 125 of publisher 1 without 122, and one of publisher 2.
fn go_on_live(rig: &mut Rig) -> (Vec<PaymentRecord>, Vec<u64>, u64) {
    for sequence in [119, 120, 121, 123, 124, 125] {
        rig.offer_payment(&payment_frame(sequence, "customer-3", "shop"));
    }
    rig.offer_payment(&frame(&stamp(2, 5, 3), &Event::Label(label("ann", "kiosk"))));
    rig.run();
    let names = [
        "accepted",
        "duplicates",
        "restarts",
        "missing",
        "lost_unacknowledged",
    ];
    let counts = names.map(|name| rig.count(&format!("ingest.payment.{name}")));
    let lost = rig.faults.count(FaultKind::LostUnacknowledged);
    (rig.take_payments(), counts.to_vec(), lost)
}

#[test]
fn resumed_agent_skips_what_it_knows_and_goes_on_as_after_a_whole_recovery() {
    let config = tiny(WhenFull::EvictOldestIdle);
    let entries = journal_of_a_day(&config);
    let (folder, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_journal(folder.path(), &entries);
    write_journal(part.path(), &entries[..151]);

    let mut whole = recorded(&config, folder.path());
    whole.run();
    let expected = whole.take_payments();
    let mut kept = recorded(&config, part.path());
    kept.run();
    let known = kept.take_payments().len();

    let mut resumed = recorded(&config, folder.path());
    hand_over(&kept, &mut resumed);
    resumed.run();
    assert_eq!(resumed.count("ingest.payment.recorded_skipped"), known as u64);
    assert_eq!(resumed.count("ingest.payment.recorded"), 120 - known as u64);
    assert_eq!(resumed.count("ingest.payment.recorded_refused"), 0);
    assert_eq!(resumed.count("ingest.market.recorded"), 120);
    assert_eq!(resumed.take_market(), whole.take_market());
    assert_eq!(resumed.take_payments(), expected[known..]);
    assert_eq!(
        digest(resumed.agent.payments_state()),
        digest(whole.agent.payments_state())
    );

    resumed.now_ns = whole.now_ns;
    assert_eq!(go_on_live(&mut resumed), go_on_live(&mut whole));
    assert_eq!(settled_digest(&mut resumed), settled_digest(&mut whole));
}

#[test]
fn everything_recorded_may_be_known() {
    let config = tiny(WhenFull::EvictOldestIdle);
    let folder = tempfile::tempdir().unwrap();
    write_journal(folder.path(), &journal_of_a_day(&config));
    let mut whole = recorded(&config, folder.path());
    whole.run();
    whole.take_payments();
    let mut resumed = recorded(&config, folder.path());
    hand_over(&whole, &mut resumed);
    resumed.run();
    assert_eq!(resumed.count("ingest.payment.recorded_skipped"), 120);
    assert!(resumed.take_payments().is_empty());
    resumed.now_ns = whole.now_ns;
    assert_eq!(go_on_live(&mut resumed), go_on_live(&mut whole));
}

#[test]
fn live_run_recorded_run_and_copy_leave_the_same_state() {
    let config = tiny(WhenFull::EvictOldestIdle);
    let folder = tempfile::tempdir().unwrap();
    let mut live = Rig::new(&config);
    for sequence in 1..=60 {
        live.offer_payment(&payment_frame(
            2 * sequence,
            &format!("customer-{}", sequence % 7),
            "shop",
        ));
        live.offer_payment(&frame(
            &stamp(9, 1, sequence),
            &Event::Label(label("ann", "shop")),
        ));
        live.offer_payment(b"garbage");
        live.run();
    }
    write_journal(folder.path(), &live.take_journal());
    let mut again = recorded(&config, folder.path());
    again.run();
    let expected = settled_digest(&mut live);
    assert_eq!(digest(again.agent.payments_state()), expected);

    let mut copy = ByHand::new(&config).unwrap();
    let mut journal = Reader::open(folder.path()).unwrap();
    let mut records = Vec::new();
    while let Some(entry) = journal.next_input().unwrap() {
        records.extend(copy.take(&entry));
    }
    assert_eq!(records, again.take_payments());
    assert_eq!(digest(copy.payments_state()), expected);
}

#[test]
#[should_panic(expected = "a state is of the sequence that it was kept with")]
fn state_of_another_sequence_is_not_resumed() {
    Rig::new(&config()).agent.resume_payments(7);
}

#[test]
fn fresh_state_is_zero_bytes_of_the_size_that_the_layout_tells() {
    let rig = Rig::new(&config());
    let regions = rig.agent.payments_state().regions();
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    assert!(regions.iter().all(|region| is_zero(region.bytes)));
    let lens: Vec<usize> = regions.iter().map(|region| region.bytes.len()).collect();
    let table = [12, 128 * 8, 65 * 48];
    let expected: Vec<usize> = [24, 8, 8 * 56].into_iter().chain(table.repeat(6)).collect();
    assert_eq!(lens, expected);

    let mut names: Vec<_> = regions.iter().map(|region| (region.name, region.index)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), regions.len());
}

#[test]
fn layout_tells_sizes_and_rules_apart() {
    let same = config();
    assert_eq!(config().payments_layout(), same.payments_layout());
    let mut others = [config(), config(), config(), config()];
    others[0].publishers_max += 1;
    others[1].cards.ids_max += 1;
    others[2].accounts.when_full = WhenFull::Reject;
    others[3].customers.ids_max += 1;
    for other in &others {
        assert_ne!(other.payments_layout(), same.payments_layout());
    }
    let unrelated = IngestConfig {
        batch_max: 7,
        ..config()
    };
    assert_eq!(unrelated.payments_layout(), same.payments_layout());
}

/// Memory of this process that the system has given out. Unit: bytes.
#[cfg(target_os = "linux")]
fn resident_len() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
#[cfg(target_os = "linux")]
fn memory_of_a_table_is_taken_when_it_is_written_or_at_once_on_request() {
    const MIB: usize = 1 << 20;
    let before = resident_len();
    let mut table = IdTable::new(1 << 20, WhenFull::EvictOldestIdle);
    let lazy = resident_len();
    assert!(lazy < before + 16 * MIB, "{} bytes taken", lazy - before);
    table.prefault();
    assert!(resident_len() > lazy + 48 * MIB);
}
