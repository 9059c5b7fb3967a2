//! Reading in order, by kind, up to a position, and while an engine writes.

mod support;

use pinion_journal::{FsyncPolicy, Reader, Tail, recover};
use pinion_runtime::agent::Agent as _;
use pinion_schemas::records::entry_kind;
use support::*;

#[test]
fn each_kind_comes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let items: Vec<_> = (1..=50)
        .map(|index| Item {
            kind: if index % 3 == 0 {
                entry_kind::DECISION
            } else {
                entry_kind::INPUT
            },
            ..input(index)
        })
        .collect();
    record(&config(dir.path(), FsyncPolicy::Never), &items, true);
    for kind in [entry_kind::INPUT, entry_kind::DECISION] {
        let mut reader = Reader::open(dir.path()).unwrap();
        let mut found = Vec::new();
        while let Some(entry) = reader.next_of(kind).unwrap() {
            found.push(entry.header.input_index);
        }
        let expected: Vec<_> = items
            .iter()
            .filter(|item| item.kind == kind)
            .map(|item| item.input_index)
            .collect();
        assert_eq!(found, expected);
        assert_eq!(reader.tail(), Tail::Clean);
    }
}

#[test]
fn reader_follows_a_live_journal_and_stops_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::start(&config(dir.path(), FsyncPolicy::Interval));
    let mut reader = Reader::open(dir.path()).unwrap();
    for index in 1..=400 {
        assert!(reader.next().unwrap().is_none());
        assert_eq!(reader.tail(), Tail::Clean);
        session.write(&input(index));
        let entry = reader.next().unwrap().unwrap();
        assert_eq!(
            (entry.header.input_index, entry.payload),
            (index, &input(index).payload[..])
        );
        assert_eq!(reader.position(), session.journal.position().written_position());
    }
    assert!(!reader.is_closed());
    session.close();
    assert!(reader.next().unwrap().is_none(), "the mark is not shown");
    assert!(reader.is_closed(), "but it is known of");
}

#[test]
fn reader_beside_a_writing_thread_never_sees_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), FsyncPolicy::Interval);
    config.fsync_interval_ms = 1;
    let mut session = Session::start(&config);
    let writer = std::thread::spawn(move || {
        for index in 1..=1500 {
            session.write(&input(index));
        }
        session.close();
    });
    let mut reader = Reader::open(dir.path()).unwrap();
    let mut expected = 1;
    while expected <= 1500 {
        if let Some(entry) = reader.next().unwrap() {
            assert_eq!(
                (entry.header.input_index, entry.payload),
                (expected, &input(expected).payload[..])
            );
            expected += 1;
        }
    }
    writer.join().unwrap();
}

#[test]
fn recovered_part_is_read_while_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), FsyncPolicy::Never);
    let items: Vec<_> = (1..=100).map(input).collect();
    record(&config, &items, false);
    let end = recover(&config).unwrap().next_position;
    let mut reader = Reader::open(dir.path()).unwrap().until(end);
    let mut session = Session::start(&config);
    session.write(&input(101));
    let mut count = 0;
    while reader.next_input().unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, reader.position()), (100, end));
    session.close();
}

#[test]
fn reader_opened_at_a_position_goes_on_as_one_that_came_there() {
    let dir = tempfile::tempdir().unwrap();
    let items: Vec<_> = (1..=300).map(input).collect();
    record(&config(dir.path(), FsyncPolicy::Never), &items, true);
    let mut from_start = Reader::open(dir.path()).unwrap();
    loop {
        let position = from_start.position();
        let mut opened = Reader::open_at(dir.path(), position).unwrap().unwrap();
        assert_eq!(
            (opened.position(), opened.entry_index()),
            (position, from_start.entry_index())
        );
        let header = |reader: &mut Reader| reader.next().unwrap().map(|entry| *entry.header);
        let expected = header(&mut from_start);
        assert_eq!(header(&mut opened), expected);
        if expected.is_none() {
            break;
        }
        assert!(Reader::open_at(dir.path(), position + 1).unwrap().is_none());
    }
    assert!(Reader::open_at(dir.path(), 1 << 40).unwrap().is_none());
    assert!(
        from_start.segment().unwrap().segment_id > 2,
        "the journal rolled over"
    );
}

#[test]
fn empty_directory_is_an_empty_journal() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read_all(dir.path()).unwrap(), (vec![], Tail::Clean));
    assert!(read_all(&dir.path().join("absent")).is_err());
}

#[test]
fn stop_writes_what_waits_in_the_rings() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::start(&config(dir.path(), FsyncPolicy::Never));
    let items: Vec<_> = (1..=100).map(input).collect();
    for item in &items {
        assert!(session.inputs.try_write(&item.header(), &item.payload));
    }
    let progress = session.journal.position();
    session.journal.on_close();
    assert_eq!(progress.durable_index(), 100);
    assert_eq!(progress.durable_position(), progress.written_position());
    assert_eq!(read_all(dir.path()).unwrap(), (items, Tail::Clean));
}
