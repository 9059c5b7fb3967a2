//! What leaves, when, and how it is accounted for.

mod common;

use std::path::Path;

use common::{Rig, Setting, decision, heard, market, payment};
use pinion_journal::{Gate, GateMode, Identity, JournalAgent, JournalConfig, recover};
use pinion_publish::{DecisionMark, LaneResume, PublishConfig, Resume, WhenUnheard};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::{ErrorLog, FaultKind};
use pinion_runtime::latest::latest;
use pinion_runtime::ring::{EntryProducer, entry_ring};
use pinion_schemas::hash::DecisionHash;
use pinion_schemas::records::{DecisionRecord, EntryHeader, RejectRecord, decision_flag, entry_kind};
use pinion_schemas::wire::{self, Action, Frame, Lane, Limits, RejectReason};

/// What a listener reads: lane, sequence, flags, the engine's own count.
fn read(frames: &[Vec<u8>]) -> Vec<(Lane, u64, u8, u64)> {
    let read_one = |bytes: &Vec<u8>| match wire::read(bytes, &Limits::default()).unwrap() {
        Frame::Decision(decision) => {
            let hot = decision.hot();
            (
                hot.lane(),
                hot.sequence(),
                hot.flags(),
                hot.header().publisher_sequence(),
            )
        }
        other => panic!("heard a {:?}", other.kind()),
    };
    frames.iter().map(read_one).collect()
}

fn sequences(frames: &[Vec<u8>], lane: Lane) -> Vec<u64> {
    read(frames)
        .into_iter()
        .filter(|frame| frame.0 == lane)
        .map(|frame| frame.1)
        .collect()
}

#[test]
fn decision_leaves_with_its_stamp_and_is_journaled_with_the_same() {
    let mut rig = Rig::new(Setting::default());
    let mut listener = rig.listen();
    rig.decide(payment(1, 1));
    rig.decide(market(1, 2));
    rig.now_ns = 5_000;
    assert_eq!(rig.cycle(), 2);
    let frames = heard(&mut listener);
    for bytes in &frames {
        let Frame::Decision(decision) = wire::read(bytes, &Limits::default()).unwrap() else {
            panic!()
        };
        let hot = decision.hot();
        let subject = if hot.lane() == Lane::Market {
            "BTCUSDT"
        } else {
            "tx-1"
        };
        assert_eq!(pinion_schemas::ids::Id::from(hot.subject()).as_str(), subject);
        assert_eq!(
            (hot.header().publisher_id(), hot.header().publisher_session()),
            (42, 77)
        );
        let stamps = [
            hot.event_ns(),
            hot.ingest_ns(),
            hot.scored_ns(),
            hot.decided_ns(),
            hot.published_ns(),
        ];
        assert_eq!(stamps, [100, 200, 300, 400, 5_001]);
    }
    let counted: Vec<u64> = read(&frames).iter().map(|frame| frame.3).collect();
    assert_eq!(counted, [1, 2]);
    for (header, record) in rig.take_journal() {
        assert_eq!((header.kind, header.lane), (entry_kind::DECISION, record.lane));
        assert_eq!(
            (header.sequence, header.input_index),
            (record.sequence, record.input_index)
        );
        assert_eq!((header.stamp_ns, record.published_ns), (400, 5_001));
    }
}

#[test]
fn stamp_is_never_before_the_decision() {
    let mut rig = Rig::new(Setting::default());
    let mut listener = rig.listen();
    rig.decide(payment(1, 1));
    rig.agent.do_work(10);
    assert_eq!(heard(&mut listener).len(), 1);
    assert_eq!(rig.take_journal()[0].1.published_ns, 400);
}

#[test]
fn decision_without_action_is_counted_and_hashed_and_goes_nowhere() {
    let mut rig = Rig::new(Setting::default());
    let mut listener = rig.listen();
    let silent = DecisionRecord {
        action: Action::None.0,
        ..payment(1, 1)
    };
    rig.decide(silent);
    rig.cycle();
    assert!(heard(&mut listener).is_empty());
    assert!(rig.take_journal().is_empty());
    assert_eq!(
        (
            rig.count("publish.payment.decided"),
            rig.count("publish.payment.action.none")
        ),
        (1, 1)
    );
    let mut expected = DecisionHash::new();
    expected.add(silent.core());
    assert_eq!(rig.agent.hashes().payment, expected.value());
    assert_eq!(rig.count("publish.payment.decision_hash"), expected.value());
    assert_ne!(rig.agent.hashes().payment, rig.agent.hashes().market);
}

#[test]
fn hash_covers_the_core_and_not_the_run() {
    let hash_of = |record: DecisionRecord| {
        let mut rig = Rig::new(Setting::default());
        rig.decide(record);
        rig.cycle();
        rig.agent.hashes()
    };
    let record = payment(1, 1);
    let other_run = DecisionRecord {
        decided_ns: 999,
        input_index: 50,
        run_flags: 1,
        ..record
    };
    assert_eq!(hash_of(record), hash_of(other_run));
    assert_ne!(
        hash_of(record).combined(),
        hash_of(DecisionRecord { score: 0.5, ..record }).combined()
    );
}

/// A journal in a folder, driven by hand.
struct Journal {
    agent: JournalAgent,
    inputs: EntryProducer,
    gate: Gate,
}

impl Journal {
    fn new(dir: &Path, mode: GateMode) -> Self {
        let config = JournalConfig {
            dir: dir.to_owned(),
            segment_len: 1 << 20,
            ..JournalConfig::default()
        };
        let recovery = recover(&config).unwrap();
        let gate = Gate::new(mode, recovery.position());
        let (inputs, consumer) = entry_ring(1024);
        let (counters, faults) = (Counters::in_memory(64), ErrorLog::in_memory());
        let identity = Identity::default();
        let agent =
            JournalAgent::new(&config, recovery, vec![consumer], &identity, &counters, &faults).unwrap();
        Self { agent, inputs, gate }
    }

    /// Writes the input of this index.
    fn cover(&mut self, input_index: u64) {
        let header = EntryHeader {
            input_index,
            kind: entry_kind::INPUT,
            ..EntryHeader::default()
        };
        assert!(self.inputs.try_write(&header, b"input"));
        while self.agent.do_work(1) > 0 {}
    }
}

#[test]
fn decision_waits_for_the_journal_and_each_lane_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::new(folder.path(), GateMode::Written);
    let mut rig = Rig::new(Setting {
        gate: journal.gate.clone(),
        ..Setting::default()
    });
    let mut listener = rig.listen();
    rig.decide(payment(1, 3));
    rig.decide(payment(2, 4));
    rig.decide(market(1, 1));
    rig.decide(market(2, 2));
    assert_eq!(rig.cycle(), 0);
    assert!(!rig.agent.is_drained());
    journal.cover(1);
    assert_eq!(rig.cycle(), 1);
    journal.cover(2);
    journal.cover(3);
    assert_eq!(rig.cycle(), 2);
    let frames = heard(&mut listener);
    assert_eq!(
        (
            sequences(&frames, Lane::Market),
            sequences(&frames, Lane::Payment)
        ),
        (vec![1, 2], vec![1])
    );
    assert_eq!(rig.cycle(), 0);
    journal.cover(4);
    assert_eq!(rig.cycle(), 1);
    assert!(rig.agent.is_drained());
    assert_eq!(
        (
            rig.count("publish.market.gated"),
            rig.count("publish.payment.gated")
        ),
        (2, 2)
    );
}

#[test]
fn head_without_action_does_not_wait_for_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path(), GateMode::Written);
    let mut rig = Rig::new(Setting {
        gate: journal.gate,
        ..Setting::default()
    });
    rig.decide(DecisionRecord {
        action: Action::None.0,
        ..payment(1, 1)
    });
    rig.decide(payment(2, 2));
    assert_eq!(rig.cycle(), 1);
    assert_eq!(rig.count("publish.payment.action.none"), 1);
}

#[test]
fn stalled_gate_is_a_fault_once() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path(), GateMode::Written);
    let config = PublishConfig {
        stalled_after_ms: 1,
        ..PublishConfig::default()
    };
    let mut rig = Rig::new(Setting {
        config,
        gate: journal.gate,
        ..Setting::default()
    });
    rig.decide(payment(1, 9));
    rig.cycle();
    assert_eq!(rig.faults.count(FaultKind::GateStalled), 0);
    rig.now_ns += 1_000_000;
    rig.cycle();
    rig.cycle();
    assert_eq!(rig.faults.count(FaultKind::GateStalled), 1);
    assert_eq!(rig.faults.list()[0].detail, 9);
}

#[test]
fn back_pressure_waits_and_drops_nothing() {
    let mut rig = Rig::new(Setting {
        bus_len: 8_192,
        ..Setting::default()
    });
    let mut listener = rig.listen();
    let mut frames = Vec::new();
    for sequence in 1..=200 {
        rig.decide(payment(sequence, sequence));
        rig.decide(market(sequence, sequence));
    }
    while frames.len() < 400 {
        rig.cycle();
        rig.cycle();
        let more = heard(&mut listener);
        assert!(!more.is_empty(), "stuck after {}", frames.len());
        frames.extend(more);
        rig.take_journal();
    }
    let all: Vec<u64> = (1..=200).collect();
    assert_eq!(sequences(&frames, Lane::Payment), all);
    assert_eq!(sequences(&frames, Lane::Market), all);
    assert_eq!(
        read(&frames).iter().map(|frame| frame.3).collect::<Vec<_>>(),
        (1..=400).collect::<Vec<_>>()
    );
    assert!(rig.count("publish.back_pressured") > 0);
}

#[test]
fn full_journal_ring_waits_and_drops_nothing() {
    let mut rig = Rig::new(Setting {
        journal_lines: 12,
        ..Setting::default()
    });
    let mut listener = rig.listen();
    (1..=20).for_each(|sequence| rig.decide(payment(sequence, sequence)));
    let mut journaled = Vec::new();
    while journaled.len() < 20 {
        rig.cycle();
        let more = rig.take_journal();
        assert!(!more.is_empty());
        journaled.extend(more.iter().map(|(header, _)| header.sequence));
    }
    assert_eq!(journaled, (1..=20).collect::<Vec<_>>());
    assert_eq!(heard(&mut listener).len(), 20);
    assert!(rig.count("publish.journal_full") > 0);
}

#[test]
fn unheard_decision_is_counted_journaled_and_dropped() {
    let mut rig = Rig::new(Setting::default());
    rig.decide(payment(1, 1));
    assert_eq!(rig.cycle(), 1);
    assert_eq!(
        (
            rig.count("publish.payment.unheard"),
            rig.count("publish.payment.published")
        ),
        (1, 0)
    );
    assert_eq!(rig.take_journal()[0].1.published_ns, 0);
    let mut listener = rig.listen();
    rig.decide(payment(2, 2));
    rig.cycle();
    assert_eq!(read(&heard(&mut listener)), [(Lane::Payment, 2, 0, 1)]);
    assert_eq!(rig.faults.count(FaultKind::PublishNotConnected), 1);
}

#[test]
fn unheard_decision_may_wait_for_a_listener() {
    let config = PublishConfig {
        when_unheard: WhenUnheard::Wait,
        ..PublishConfig::default()
    };
    let mut rig = Rig::new(Setting {
        config,
        ..Setting::default()
    });
    rig.decide(payment(1, 1));
    rig.decide(payment(2, 2));
    assert_eq!((rig.cycle(), rig.cycle()), (0, 0));
    let mut listener = rig.listen();
    assert_eq!(rig.cycle(), 2);
    assert_eq!(sequences(&heard(&mut listener), Lane::Payment), [1, 2]);
    assert_eq!(rig.count("publish.payment.unheard"), 0);
}

#[test]
fn refused_frames_are_answered() {
    let mut rig = Rig::new(Setting::default());
    let mut listener = rig.listen();
    let record = RejectRecord {
        input_session: 1,
        input_sequence: 2,
        found: 3,
        expected: 4,
        ingest_ns: 5,
        input_publisher_id: 6,
        frame_len: 7,
        reason: RejectReason::Oversized.0,
        lane: Lane::Market.0,
        ..RejectRecord::default()
    };
    assert!(rig.rejects.try_push(&record));
    assert_eq!(rig.cycle(), 1);
    let frames = heard(&mut listener);
    let Frame::Reject(reject) = wire::read(&frames[0], &Limits::default()).unwrap() else {
        panic!()
    };
    let hot = reject.hot();
    assert_eq!(
        (hot.reason(), hot.lane(), hot.frame_len()),
        (RejectReason::Oversized, Lane::Market, 7)
    );
    assert_eq!(
        (
            hot.input_session(),
            hot.input_sequence(),
            hot.input_publisher_id()
        ),
        (1, 2, 6)
    );
    assert_eq!(
        (hot.found(), hot.expected(), hot.header().publisher_id()),
        (3, 4, 42)
    );
    assert_eq!(rig.count("publish.rejects_published"), 1);
    drop(listener);
    assert!(rig.rejects.try_push(&record));
    rig.cycle();
    assert_eq!(rig.count("publish.rejects_unheard"), 1);
}

#[test]
fn restart_publishes_nothing_twice_and_marks_what_may_have_been() {
    let payment_resume = LaneResume {
        decided_sequence: 3,
        recorded_sequence: 5,
        ..LaneResume::default()
    };
    let resume = Resume {
        payment: payment_resume,
        ..Resume::default()
    };
    let mut rig = Rig::new(Setting {
        resume,
        ..Setting::default()
    });
    let mut listener = rig.listen();
    (1..=7).for_each(|sequence| rig.decide(payment(sequence, sequence)));
    rig.decide(market(1, 8));
    rig.cycle();
    let frames = heard(&mut listener);
    let flags: Vec<(u64, u8)> = read(&frames)
        .into_iter()
        .filter(|frame| frame.0 == Lane::Payment)
        .map(|frame| (frame.1, frame.2))
        .collect();
    let marked = decision_flag::RECOVERED;
    assert_eq!(flags, [(4, marked), (5, marked), (6, 0), (7, 0)]);
    assert_eq!(sequences(&frames, Lane::Market), [1]);
    assert_eq!(
        (
            rig.count("publish.payment.resumed"),
            rig.count("publish.payment.recovered")
        ),
        (3, 2)
    );
    assert_eq!(
        (
            rig.count("publish.payment.decided"),
            rig.count("publish.payment.published")
        ),
        (7, 4)
    );
    let journaled: Vec<u64> = rig
        .take_journal()
        .iter()
        .filter(|(header, _)| header.lane == Lane::Payment.0)
        .map(|(header, _)| header.sequence)
        .collect();
    assert_eq!(journaled, [4, 5, 6, 7]);
}

#[test]
fn hash_is_the_same_after_a_restart() {
    let hashes = |resume| {
        let mut rig = Rig::new(Setting {
            resume,
            ..Setting::default()
        });
        (1..=9).for_each(|sequence| rig.decide(payment(sequence, sequence)));
        rig.cycle();
        rig.agent.hashes()
    };
    let payment = LaneResume {
        decided_sequence: 4,
        recorded_sequence: 6,
        ..LaneResume::default()
    };
    assert_eq!(
        hashes(Resume::default()),
        hashes(Resume {
            payment,
            ..Resume::default()
        })
    );
}

#[test]
fn every_decision_is_accounted_for() {
    let mut rig = Rig::new(Setting::default());
    let mut listener = rig.listen();
    let actions = [
        Action::None,
        Action::Approve,
        Action::Review,
        Action::Decline,
        Action(200),
    ];
    for (sequence, action) in (1..).zip(actions) {
        rig.decide(DecisionRecord {
            action: action.0,
            ..decision(Lane::Payment, sequence, sequence)
        });
    }
    rig.cycle();
    let count = |name: &str| rig.count(&format!("publish.payment.{name}"));
    for action in ["none", "approve", "review", "decline", "other"] {
        assert_eq!(count(&format!("action.{action}")), 1, "{action}");
    }
    assert_eq!(count("decided"), count("action.none") + count("published"));
    assert_eq!(heard(&mut listener).len() as u64, count("published"));
}

#[test]
fn lane_that_goes_on_from_a_mark_comes_to_the_same_mark() {
    let marks = |mark, first| {
        let (progress, seen) = latest(DecisionMark::default().words());
        let payment = LaneResume {
            mark,
            ..LaneResume::default()
        };
        let mut rig = Rig::new(Setting {
            resume: Resume {
                payment,
                ..Resume::default()
            },
            progress: Some(progress),
            ..Setting::default()
        });
        let mut marks = Vec::new();
        for sequence in first..=9 {
            rig.decide(payment_of(sequence));
            rig.cycle();
            marks.push(DecisionMark::from_words(seen.get()));
        }
        marks
    };
    let whole = marks(DecisionMark::default(), 1);
    assert_eq!(marks(whole[4], 6), whole[5..]);
    let answered: Vec<u64> = whole.iter().map(|mark| mark.answered_sequence).collect();
    assert_eq!(
        answered,
        [1, 2, 2, 4, 5, 5, 7, 8, 8],
        "a decision without an action is not recorded"
    );
    assert!(whole.iter().map(|mark| mark.sequence).eq(1..=9));
}

/// Every third has no action, as a label's.
fn payment_of(sequence: u64) -> DecisionRecord {
    let mut record = payment(sequence, sequence);
    if sequence.is_multiple_of(3) {
        record.action = Action::None.0;
    }
    record
}
