//! After its start the agent neither allocates nor frees.

mod common;

use common::{Rig, Setting, market, payment};
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_schemas::records::{DecisionRecord, RejectRecord};
use pinion_schemas::wire::Action;
use pinion_transport::Subscription as _;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ROUNDS: u64 = 20_000;

/// Two decisions, one without an action, and a reject.
fn round(rig: &mut Rig, sequence: u64) {
    rig.decide(payment(2 * sequence - 1, sequence));
    rig.decide(DecisionRecord {
        action: Action::None.0,
        ..payment(2 * sequence, sequence)
    });
    rig.decide(market(sequence, sequence));
    assert!(rig.rejects.try_push(&RejectRecord::default()));
    assert_eq!(rig.cycle(), 4);
    rig.journal.read_batch(usize::MAX, |_, _| ());
}

#[test]
fn no_alloc_in_steady_state() {
    let mut rig = Rig::new(Setting::default());
    let mut listener = rig.listen();
    let mut heard = 0;
    round(&mut rig, 1);
    heard += listener.poll(64, |_| ());
    let heap_calls = count_heap_calls(|| {
        for sequence in 2..=ROUNDS {
            round(&mut rig, sequence);
            heard += listener.poll(64, |_| ());
        }
    });
    assert_eq!(heap_calls, 0);
    assert_eq!(heard as u64, 3 * ROUNDS);
}

#[test]
fn no_alloc_while_nobody_listens() {
    let mut rig = Rig::new(Setting::default());
    round(&mut rig, 1);
    let heap_calls = count_heap_calls(|| (2..=ROUNDS).for_each(|sequence| round(&mut rig, sequence)));
    assert_eq!(heap_calls, 0);
    assert_eq!(rig.count("publish.payment.unheard"), ROUNDS);
}
