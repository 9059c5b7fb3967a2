//! The records' layout is written down here a second time: what lies in journals and rings does not move.

use std::mem::{align_of, offset_of, size_of};

use pinion_schemas::ids::Id;
use pinion_schemas::records::{
    BookRecord, DECISION_CORE_LEN, DecisionRecord, EntryHeader, FeatureRecord, LINE_LEN, MarketRecord,
    Origin, PaymentRecord, RejectRecord, Score, ScoredRecord, TopOfBook,
};
use pinion_schemas::wire;
use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Compares the offset of every field with the number beside it.
macro_rules! check {
    ($record:ident: $len:literal, $($field:ident: $offset:literal),+ $(,)?) => {
        assert_eq!(size_of::<$record>(), $len, stringify!($record));
        $(assert_eq!(offset_of!($record, $field), $offset, concat!(stringify!($record), ".", stringify!($field)));)+
    };
}

#[test]
fn journaled_records_stand_where_they_stood() {
    check!(EntryHeader: 64, checksum: 0, payload_len: 4, input_index: 8, sequence: 16, stamp_ns: 24,
        durable_position: 32, kind: 40, lane: 41, flags: 42, reserved: 43);
    check!(DecisionRecord: 256, sequence: 0, input_session: 8, input_sequence: 16, event_ns: 24, value: 32,
        quantity: 40, model_hash: 48, strategy_hash: 56, config_hash: 64, reasons: 72, input_publisher_id: 88,
        score: 92, lane: 96, action: 97, reason_count: 98, flags: 99, reserved: 100, subject: 104, instrument: 140,
        deviations: 144, reserved_2: 160, ingest_ns: 192, scored_ns: 200, decided_ns: 208, published_ns: 216, input_index: 224,
        run_flags: 232, reserved_3: 233);
    assert_eq!(DECISION_CORE_LEN, 192);
}

#[test]
fn ring_records_stand_where_they_stood() {
    check!(Origin: 64, sequence: 0, input_index: 8, publisher_session: 16, publisher_sequence: 24, event_ns: 32,
        ingest_ns: 40, publisher_id: 48, frame_flags: 52, kind: 54, lane: 55, flags: 56, reserved: 57);
    check!(MarketRecord: 128, origin: 0, price: 64, quantity: 72, price_2: 80, quantity_2: 88, order_id: 96,
        venue_sequence: 104, instrument: 112, order_count: 116, side: 120, action: 121, reserved: 122);
    check!(PaymentRecord: 192, origin: 0, amount_minor: 64, transaction_ns: 72, customer: 80, terminal: 84,
        card: 88, merchant: 92, device: 96, account: 100, currency: 104, merchant_category: 106, channel: 108,
        verdict: 109, detail: 110, fresh: 111, outcome: 112, reserved: 113, transaction_id: 128, reserved_2: 164);
    check!(FeatureRecord: 448, payment: 0, features: 192);
    check!(Score: 128, model_hash: 0, scored_ns: 8, score: 16, fraud_share: 20, neighbour_count: 24,
        reason_count: 25, flags: 26, reserved: 27, reasons: 32, deviations: 48, neighbour_rows: 64,
        similarities: 96);
    check!(ScoredRecord: 576, payment: 0, score: 192, features: 320);
    check!(TopOfBook: 64, bid_price: 0, bid_quantity: 8, ask_price: 16, ask_quantity: 24, last_price: 32,
        booked_ns: 40, bid_levels: 48, ask_levels: 52, imbalance: 56, imbalance_5: 60);
    check!(BookRecord: 192, market: 0, top: 128);
    check!(RejectRecord: 64, input_session: 0, input_sequence: 8, found: 16, expected: 24, ingest_ns: 32,
        input_publisher_id: 40, frame_len: 44, reason: 48, lane: 49, reserved: 50);
}

#[test]
fn records_are_whole_lines() {
    let layouts = [
        (size_of::<MarketRecord>(), align_of::<MarketRecord>()),
        (size_of::<PaymentRecord>(), align_of::<PaymentRecord>()),
        (size_of::<FeatureRecord>(), align_of::<FeatureRecord>()),
        (size_of::<ScoredRecord>(), align_of::<ScoredRecord>()),
        (size_of::<BookRecord>(), align_of::<BookRecord>()),
        (size_of::<DecisionRecord>(), align_of::<DecisionRecord>()),
        (size_of::<RejectRecord>(), align_of::<RejectRecord>()),
        (size_of::<EntryHeader>(), align_of::<EntryHeader>()),
    ];
    for (size, align) in layouts {
        assert_eq!((size % LINE_LEN, align), (0, LINE_LEN));
    }
}

#[test]
fn structs_of_the_wire_keep_their_lengths() {
    let lengths = wire::FileKind::ALL.map(wire::FileKind::hot_len);
    assert_eq!(lengths, [112, 104, 104, 104, 104, 112, 160, 160, 120, 200, 88]);
    assert_eq!(
        (size_of::<wire::FrameHeader>(), size_of::<wire::Id>()),
        (32, size_of::<Id>())
    );
}

#[test]
fn outcome_takes_a_byte_that_was_padding() {
    let hot = |byte: u8| {
        let mut hot = wire::TransactionHot([0; 160]);
        for (number, byte_at) in (1..).zip([0, 32, 40, 42, 44, 45, 81, 117, 153]) {
            hot.0[byte_at] = number;
        }
        hot.0[153] = byte;
        hot
    };
    let found = hot(2);
    assert_eq!(found.header().publisher_session(), 1);
    assert_eq!(
        (found.amount_minor(), found.currency(), found.merchant_category()),
        (2, 3, 4)
    );
    assert_eq!(found.channel(), wire::Channel(5));
    let ids = [found.transaction_id(), found.customer(), found.terminal()];
    assert_eq!(ids.map(|id| id.0[0]), [6, 7, 8]);
    assert_eq!(found.outcome(), wire::Outcome::Declined);
    assert_eq!(hot(0).outcome(), wire::Outcome::Unknown);
}

fn check_any_bytes<T: FromBytes + IntoBytes + Immutable + KnownLayout>(bytes: &[u8]) {
    let bytes = &bytes[..size_of::<T>()];
    assert_eq!(T::read_from_bytes(bytes).unwrap().as_bytes(), bytes);
}

proptest! {
    #[test]
    fn prop_records_are_valid_for_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 576)) {
        check_any_bytes::<MarketRecord>(&bytes);
        check_any_bytes::<PaymentRecord>(&bytes);
        check_any_bytes::<FeatureRecord>(&bytes);
        check_any_bytes::<ScoredRecord>(&bytes);
        check_any_bytes::<BookRecord>(&bytes);
        check_any_bytes::<DecisionRecord>(&bytes);
        check_any_bytes::<RejectRecord>(&bytes);
        check_any_bytes::<EntryHeader>(&bytes);
    }
}
