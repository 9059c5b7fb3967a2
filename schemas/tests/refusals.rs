//! Every way in which bytes are not a frame has its reason, and says what was found and what was expected.

use flatbuffers::FlatBufferBuilder;
use pinion_schemas::encode::{
    Encoder, Event, QuoteEvent, Stamp, TradeEvent, TransactionEvent, TransactionText,
};
use pinion_schemas::wire::{
    self, FRAME_LEN_LIMIT, FileKind, FrameHeader, Limits, QuoteHot, RejectReason, Unreadable,
};

/// Where the identifier of a frame stands.
const IDENTIFIER: std::ops::Range<usize> = 4..8;

fn quote() -> Vec<u8> {
    let stamp = Stamp {
        publisher_id: 3,
        session: 4,
        sequence: 5,
        flags: 0,
    };
    Encoder::new()
        .encode(&stamp, &Event::Quote(QuoteEvent::default()))
        .to_vec()
}

fn transaction(tags: usize, tag_len: usize) -> Vec<u8> {
    let tag = ("k".repeat(tag_len), "v".repeat(tag_len));
    let text = TransactionText {
        tags: vec![tag; tags],
        ..TransactionText::default()
    };
    let event = TransactionEvent {
        text: Some(Box::new(text)),
        ..TransactionEvent::default()
    };
    Encoder::new()
        .encode(&Stamp::default(), &Event::Transaction(event))
        .to_vec()
}

#[track_caller]
fn check(bytes: &[u8], limits: &Limits, reason: RejectReason, found: u64, expected: u64) {
    let unreadable = wire::read(bytes, limits).unwrap_err();
    assert_eq!(
        unreadable,
        Unreadable {
            reason,
            found,
            expected
        }
    );
}

#[test]
fn length_is_looked_at_first() {
    let limits = Limits {
        frame_len_max: 100,
        ..Limits::default()
    };
    check(&[0; 101], &limits, RejectReason::Oversized, 101, 100);
    check(
        &quote(),
        &limits,
        RejectReason::Oversized,
        quote().len() as u64,
        100,
    );
    let ten_mebibytes = vec![0xAB; 10 << 20];
    check(
        &ten_mebibytes,
        &Limits::default(),
        RejectReason::Oversized,
        10 << 20,
        4096,
    );
}

#[test]
fn no_limit_is_above_the_limit_of_all() {
    let limits = Limits {
        frame_len_max: u32::MAX,
        ..Limits::default()
    };
    let len = u64::from(FRAME_LEN_LIMIT) + 1;
    check(
        &vec![0; len as usize],
        &limits,
        RejectReason::Oversized,
        len,
        FRAME_LEN_LIMIT.into(),
    );
}

#[test]
fn frame_without_room_for_an_identifier_is_malformed() {
    for len in 0..IDENTIFIER.end {
        check(
            &quote()[..len],
            &Limits::default(),
            RejectReason::Malformed,
            len as u64,
            8,
        );
    }
}

#[test]
fn cut_frame_is_malformed() {
    let quote = quote();
    let expected = 4 + 4 + 6 + 4 + size_of::<QuoteHot>() as u64;
    for len in IDENTIFIER.end..quote.len() {
        check(
            &quote[..len],
            &Limits::default(),
            RejectReason::Malformed,
            len as u64,
            expected,
        );
    }
}

#[test]
fn frame_of_another_type_is_malformed() {
    let mut trade = Encoder::new()
        .encode(&Stamp::default(), &Event::Trade(TradeEvent::default()))
        .to_vec();
    trade[IDENTIFIER].copy_from_slice(b"PNTX");
    assert_eq!(
        wire::read(&trade, &Limits::default()).unwrap_err().reason,
        RejectReason::Malformed
    );
}

#[test]
fn unknown_identifier_is_told_as_found() {
    for identifier in [*b"PNSG", *b"PNZZ", *b"\0\0\0\0", [0xFF; 4]] {
        let mut quote = quote();
        quote[IDENTIFIER].copy_from_slice(&identifier);
        let found = u32::from_le_bytes(identifier).into();
        check(&quote, &Limits::default(), RejectReason::UnknownType, found, 0);
    }
}

#[test]
fn unknown_version_is_told_as_found() {
    for version in [0, 2, u16::MAX] {
        let header = FrameHeader::new(1, 2, 3, 4, version, 0);
        let hot = QuoteHot::new(&header, 1, 2, 3, 4, 5, &wire::Id::default());
        let mut builder = FlatBufferBuilder::new();
        let root = wire::Quote::create(
            &mut builder,
            &wire::QuoteArgs {
                hot: Some(&hot),
                tags: None,
            },
        );
        builder.finish(root, Some(FileKind::Quote.identifier()));
        let bytes = builder.finished_data();
        check(
            bytes,
            &Limits::default(),
            RejectReason::UnknownVersion,
            version.into(),
            1,
        );
        assert_eq!(wire::peek_header(bytes), Some((4, 1, 2)));
    }
}

#[test]
fn frame_without_its_hot_struct_is_malformed() {
    let mut builder = FlatBufferBuilder::new();
    let table = builder.start_table();
    let root = builder.end_table(table);
    builder.finish(root, Some(FileKind::Quote.identifier()));
    let unreadable = wire::read(builder.finished_data(), &Limits::default()).unwrap_err();
    assert_eq!(unreadable.reason, RejectReason::Malformed);
}

#[test]
fn more_tables_than_allowed_are_malformed() {
    // The transaction and its text are two tables.
    assert!(wire::read(&transaction(62, 1), &Limits::default()).is_ok());
    let unreadable = wire::read(&transaction(63, 1), &Limits::default()).unwrap_err();
    assert_eq!(unreadable.reason, RejectReason::Malformed);
    let limits = Limits {
        depth_max: 2,
        ..Limits::default()
    };
    assert!(wire::read(&transaction(1, 1), &limits).is_err());
    assert!(wire::read(&transaction(0, 1), &limits).is_ok());
}

#[test]
fn shared_text_counts_as_often_as_it_is_referred_to() {
    let mut builder = FlatBufferBuilder::new();
    let long = builder.create_string(&"x".repeat(3_000));
    let args = wire::TagArgs {
        key: Some(long),
        value: Some(long),
    };
    let tags: Vec<_> = (0..12).map(|_| wire::Tag::create(&mut builder, &args)).collect();
    let tags = builder.create_vector(&tags);
    let hot = QuoteHot::new(
        &FrameHeader::new(1, 2, 3, 4, 1, 0),
        1,
        2,
        3,
        4,
        5,
        &wire::Id::default(),
    );
    let root = wire::Quote::create(
        &mut builder,
        &wire::QuoteArgs {
            hot: Some(&hot),
            tags: Some(tags),
        },
    );
    builder.finish(root, Some(FileKind::Quote.identifier()));
    let bytes = builder.finished_data();
    assert_eq!(
        wire::read(bytes, &Limits::default()).unwrap_err().reason,
        RejectReason::Malformed
    );
    let limits = Limits {
        apparent_size_max: 100_000,
        ..Limits::default()
    };
    assert!(wire::read(bytes, &limits).is_ok());
}

#[test]
fn header_of_a_refused_frame_is_found_where_it_lies_within() {
    assert_eq!(wire::peek_header(&quote()), Some((3, 4, 5)));
    let mut unknown = quote();
    unknown[IDENTIFIER].copy_from_slice(b"PNZZ");
    assert_eq!(wire::peek_header(&unknown), Some((3, 4, 5)));
    unknown[IDENTIFIER].copy_from_slice(b"ZZZZ");
    assert_eq!(wire::peek_header(&unknown), None);
    assert_eq!(wire::peek_header(&quote()[..40]), None);
    assert_eq!(wire::peek_header(&[]), None);
}

#[test]
fn message_says_what_was_found_and_expected() {
    let unreadable = wire::read(&[0; 3], &Limits::default()).unwrap_err();
    assert_eq!(unreadable.to_string(), "Malformed: found 0x3, expected 0x8");
}
