//! What is read back is an exact prefix of what was appended, and damage is never silent.

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use pinion_journal::error::Damage;
use pinion_journal::{
    FsyncPolicy, Identity, JournalConfig, JournalError, LaneSequences, Reader, Tail, recover,
};
use pinion_schemas::records::entry_kind;
use proptest::prelude::*;
use support::*;

const HEADER_LEN: usize = 4096;

fn inputs(range: std::ops::RangeInclusive<u64>) -> Vec<Item> {
    range.map(input).collect()
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

fn any_items() -> impl Strategy<Value = Vec<Item>> {
    let item = (1_u8..=2, 1_u8..=2, prop::collection::vec(any::<u8>(), 0..700));
    prop::collection::vec(item, 1..60).prop_map(|items| {
        let numbered = items.into_iter().zip(1..);
        numbered
            .map(|((kind, lane, payload), input_index)| Item {
                kind,
                lane,
                input_index,
                payload,
            })
            .collect()
    })
}

fn any_policy() -> impl Strategy<Value = FsyncPolicy> {
    prop::sample::select(vec![
        FsyncPolicy::Never,
        FsyncPolicy::Interval,
        FsyncPolicy::EveryBatch,
    ])
}

/// Cuts the journal at a share of its bytes: what follows is gone, by a shorter file or by zeros.
fn cut(dir: &Path, share: f64, shortens: bool) {
    let files = segment_files(dir);
    let lens: Vec<u64> = files
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .collect();
    let mut left = (lens.iter().sum::<u64>() as f64 * share) as u64;
    for (file, len) in files.iter().zip(lens) {
        if left == 0 {
            fs::remove_file(file).unwrap();
        } else if left < len {
            let open = OpenOptions::new().write(true).open(file).unwrap();
            open.set_len(left).unwrap();
            if !shortens {
                open.set_len(len).unwrap();
            }
        }
        left = left.saturating_sub(len);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn prop_any_cut_leaves_an_exact_prefix_that_can_be_continued(
        items in any_items(),
        policy in any_policy(),
        closes in any::<bool>(),
        share in 0.0..1.0_f64,
        shortens in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), policy);
        record(&config, &items, closes);
        cut(dir.path(), share, shortens);

        let (before, _) = read_all(dir.path()).unwrap();
        prop_assert_eq!(&before[..], &items[..before.len()]);
        let recovery = recover(&config).unwrap();
        prop_assert_eq!(recovery.inputs + recovery.decisions, before.len() as u64);
        drop(recovery);

        let more = inputs(1001..=1020);
        record(&config, &more, true);
        let (after, tail) = read_all(dir.path()).unwrap();
        prop_assert_eq!(tail, Tail::Clean);
        prop_assert_eq!(&after[..before.len()], &before[..]);
        prop_assert_eq!(&after[before.len()..], &more[..]);
    }

    #[test]
    fn prop_flipped_bit_is_never_silent(
        items in any_items(),
        policy in any_policy(),
        closes in any::<bool>(),
        file in any::<prop::sample::Index>(),
        bit in 0..16_384_usize * 8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), policy);
        record(&config, &items, closes);
        let files = segment_files(dir.path());
        flip(&files[file.index(files.len())], bit);

        match read_all(dir.path()) {
            Err(JournalError::Corrupt { .. }) => prop_assert!(recover(&config).is_err()),
            Err(other) => prop_assert!(false, "{other}"),
            Ok((read, tail)) => {
                prop_assert_eq!(&read[..], &items[..read.len()]);
                prop_assert!(matches!(tail, Tail::Torn(_)));
                let recovery = recover(&config).unwrap();
                prop_assert!(recovery.truncated_len > 0 || recovery.truncated_segments > 0);
            }
        }
    }
}

#[test]
fn flipped_bit_anywhere_below_the_durable_position_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    record(
        &config(dir.path(), FsyncPolicy::EveryBatch),
        &inputs(1..=10),
        true,
    );
    let file = segment_files(dir.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let data_end = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    // The last line is the mark; nothing behind it can say that it was durable.
    let mark = (data_end - 1) / 64 * 64;
    let open = OpenOptions::new().write(true).open(&file).unwrap();
    for byte in 0..whole.len() {
        open.write_all_at(&[whole[byte] ^ (1 << (byte % 8))], byte as u64)
            .unwrap();
        match read_all(dir.path()) {
            Err(JournalError::Corrupt { start, end, .. }) => {
                assert!(
                    (start..end).contains(&(byte as u64)),
                    "byte {byte} is not in {start}..{end}"
                );
                assert!(byte < mark, "byte {byte}, mark {mark}, {start}..{end}");
            }
            Ok((items, Tail::Torn(tear))) => {
                assert!(byte >= mark, "byte {byte}");
                assert_eq!(items.len(), 10);
                assert!(tear.offset <= byte as u64);
            }
            other => panic!("byte {byte}: {other:?}"),
        }
        open.write_all_at(&whole[byte..=byte], byte as u64).unwrap();
    }
}

#[test]
fn entries_roll_over_from_segment_to_segment_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let items = inputs(1..=500);
    record(&config(dir.path(), FsyncPolicy::Never), &items, true);
    assert!(segment_files(dir.path()).len() > 5);
    assert_eq!(read_all(dir.path()).unwrap(), (items, Tail::Clean));
}

#[test]
fn reopened_journal_is_continued_in_its_segment() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Interval);
    for start in 0..20 {
        let recovery = recover(&config).unwrap();
        assert_eq!(
            (recovery.inputs, recovery.last_index, recovery.truncated_len),
            (start, start, 0)
        );
        drop(recovery);
        record(&config, &[input(start + 1)], start % 2 == 0);
    }
    assert_eq!(read_all(dir.path()).unwrap(), (inputs(1..=20), Tail::Clean));
    assert_eq!(
        segment_files(dir.path()).len(),
        2,
        "one in use, one prepared by the last, which was killed"
    );
}

#[test]
fn another_configuration_begins_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    for config_hash in [1, 2] {
        let identity = Identity {
            config_hash,
            ..Identity::default()
        };
        let mut session = Session::start_as(&config, &identity);
        session.write(&input(config_hash));
        session.close();
    }
    let mut reader = Reader::open(dir.path()).unwrap();
    let mut hashes = Vec::new();
    while reader.next().unwrap().is_some() {
        hashes.push(reader.segment().unwrap().config_hash);
    }
    assert_eq!(hashes, [1, 2]);
}

#[test]
fn stale_bytes_of_a_segment_are_not_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    record(&config, &inputs(1..=100), true);
    let files = segment_files(dir.path());
    let old = fs::read(&files[0]).unwrap();
    let last = files.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() / 64 * 64 + 64;
    // As if the file had been used before: the same bytes at the same place, but of another segment.
    bytes[end..].copy_from_slice(&old[end..]);
    fs::write(last, &bytes).unwrap();

    let (items, Tail::Torn(tear)) = read_all(dir.path()).unwrap() else {
        panic!("stale bytes are not clean")
    };
    assert_eq!(
        (items, tear.entries_after, tear.offset),
        (inputs(1..=100), 0, end as u64)
    );
    let recovery = recover(&config).unwrap();
    assert_eq!(recovery.truncated_len, tear.len);
    drop(recovery);
    assert_eq!(read_all(dir.path()).unwrap(), (inputs(1..=100), Tail::Clean));
}

/// Zeroes a line in the middle of the first of several segments.
fn punch_hole(config: &JournalConfig) -> (u64, usize) {
    record(config, &inputs(1..=200), false);
    let files = segment_files(&config.dir);
    let offset = HEADER_LEN + 4096;
    let mut bytes = fs::read(&files[0]).unwrap();
    let hole = (offset..)
        .step_by(64)
        .find(|&at| bytes[at..at + 64] != [0; 64])
        .unwrap();
    bytes[hole..hole + 64].fill(0);
    fs::write(&files[0], bytes).unwrap();
    (hole as u64, files.len())
}

#[test]
fn hole_that_was_never_durable_is_a_tear_and_what_follows_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    punch_hole(&config);
    let (items, Tail::Torn(tear)) = read_all(dir.path()).unwrap() else {
        panic!("a hole is not clean")
    };
    assert_eq!(tear.segment_id, 1);
    assert!(tear.segments_after >= 2);
    let torn = fs::read(&segment_files(dir.path())[0]).unwrap();

    let recovery = recover(&config).unwrap();
    assert_eq!(recovery.inputs, items.len() as u64);
    assert_eq!(recovery.inputs + recovery.truncated_entries + 1, 200);
    assert_eq!(recovery.truncated_segments, tear.segments_after);
    drop(recovery);
    assert_eq!(segment_files(dir.path()).len(), 1);
    assert_eq!(read_all(dir.path()).unwrap(), (items, Tail::Clean));
    let aside = dir.path().join("0000000000000001.torn-1");
    assert_eq!(
        fs::read(aside).unwrap(),
        torn,
        "intact entries are kept for people"
    );
    assert!(dir.path().join("0000000000000002.torn-1").exists());
}

#[test]
fn hole_below_the_durable_position_halts_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::EveryBatch);
    let (hole, _) = punch_hole(&config);
    let before: Vec<_> = segment_files(dir.path())
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();

    let error = recover(&config).unwrap_err();
    let JournalError::Corrupt {
        segment_id: 1,
        start,
        end,
        reason,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!((*start..*end).contains(&hole));
    assert!(matches!(reason, Damage::BelowDurable { .. }));
    assert!(
        error.to_string().contains("segment 1 is damaged at bytes"),
        "{error}"
    );
    let after: Vec<_> = segment_files(dir.path())
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    assert!(before == after);
}

#[test]
fn missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    record(&config, &inputs(1..=200), true);
    fs::remove_file(&segment_files(dir.path())[1]).unwrap();
    let error = recover(&config).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::MissingSegment {
                segment_id: 2,
                present_id: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn segment_of_another_journal_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        record(&config(dir.path(), FsyncPolicy::Never), &inputs(1..=200), true);
    }
    fs::copy(&segment_files(other.path())[1], &segment_files(dir.path())[1]).unwrap();
    let error = read_all(dir.path()).unwrap_err();
    let JournalError::Corrupt {
        reason: Damage::Header { field, .. },
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(field, "journal_id");
}

#[test]
fn recovery_tells_where_each_lane_stands() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    let item = |kind, lane, input_index| Item {
        kind,
        lane,
        input_index,
        payload: vec![1; 200],
    };
    let items = [
        item(entry_kind::INPUT, MARKET, 1),
        item(entry_kind::INPUT, PAYMENT, 2),
        item(entry_kind::DECISION, MARKET, 1),
        item(entry_kind::INPUT, PAYMENT, 3),
        item(entry_kind::DECISION, PAYMENT, 2),
        // Its input was lost, and its sequence will be given to another event.
        item(entry_kind::DECISION, MARKET, 9),
    ];
    record(&config, &items, true);
    let recovery = recover(&config).unwrap();
    assert_eq!(
        (recovery.inputs, recovery.decisions, recovery.last_index),
        (3, 3, 3)
    );
    assert_eq!(
        recovery.last_sequence,
        LaneSequences {
            market: 1,
            payment: 3
        }
    );
    assert_eq!(
        recovery.last_decision_sequence,
        LaneSequences {
            market: 1,
            payment: 2
        }
    );
    assert_eq!(recovery.last_stamp_ns, 9);
}

#[test]
fn interrupted_creation_starts_again() {
    for len in [0, 100, 4096, 10_000] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), FsyncPolicy::Never);
        fs::write(dir.path().join("0000000000000001.segment"), vec![0; len]).unwrap();
        record(&config, &inputs(1..=3), true);
        assert_eq!(read_all(dir.path()).unwrap(), (inputs(1..=3), Tail::Clean));
    }
}

#[test]
fn one_engine_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    let session = Session::start(&config);
    let error = recover(&config).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }));
    assert!(
        error
            .to_string()
            .ends_with("lock: in use by another engine, expected to be its only writer")
    );
    session.close();
    recover(&config).unwrap();
}
