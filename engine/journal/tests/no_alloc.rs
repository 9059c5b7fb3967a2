//! The duty cycle makes no heap call, roll-overs included: segments are made by a helper thread.

mod support;

use pinion_journal::FsyncPolicy;
use pinion_runtime::agent::Agent as _;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use support::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn check(fsync: FsyncPolicy) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), fsync);
    config.fsync_interval_ms = 1;
    let mut session = Session::start(&config);
    let items: Vec<_> = (1..=600).map(input).collect();
    let heap_calls = count_heap_calls(|| session.write_all(&items));
    assert_eq!(heap_calls, 0, "{fsync:?}");
    assert!(session.counters.value("journal.segment").unwrap() > 5);
    assert_eq!(session.counters.value("journal.entries"), Some(600));
    session.journal.on_close();
    assert_eq!(read_all(dir.path()).unwrap().0, items);
}

#[test]
fn no_alloc_in_steady_state_and_roll_over() {
    check(FsyncPolicy::Never);
    check(FsyncPolicy::Interval);
    check(FsyncPolicy::EveryBatch);
}
