//! What was encoded is what is read: every event with any values, decisions and rejects.

mod support;

use pinion_schemas::encode::{self, Encoder, Event, Stamp};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{DecisionRecord, RejectRecord};
use pinion_schemas::wire::{self, FileKind, Frame, Lane, Limits};
use proptest::prelude::*;
use zerocopy::FromBytes as _;

use support::{any_event, any_name, any_stamp};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn prop_event_is_read_as_it_was_encoded(stamp in any_stamp(), event in any_event()) {
        let mut encoder = Encoder::new();
        let bytes = encoder.encode(&stamp, &event);
        let frame = wire::read(bytes, &Limits::default()).unwrap();
        prop_assert_eq!(frame.kind().lane(), event.lane());
        prop_assert_eq!(frame.header().event_ns(), event.event_ns());
        prop_assert_eq!(Event::of_frame(&frame), Some((stamp, event)));
    }

    #[test]
    fn prop_header_is_found_without_verification(stamp in any_stamp(), event in any_event()) {
        let mut encoder = Encoder::new();
        let bytes = encoder.encode(&stamp, &event);
        let expected = (stamp.publisher_id, stamp.session, stamp.sequence);
        prop_assert_eq!(wire::peek_header(bytes), Some(expected));
    }

    #[test]
    fn prop_encoder_keeps_nothing_of_the_frame_before(before in any_event(), event in any_event()) {
        let stamp = Stamp::default();
        let expected = Encoder::new().encode(&stamp, &event).to_vec();
        let mut encoder = Encoder::new();
        encoder.encode(&stamp, &before);
        prop_assert_eq!(encoder.encode(&stamp, &event), expected);
    }

    #[test]
    fn prop_decision_is_read_as_it_was_encoded(
        bytes in any::<[[u8; 32]; 8]>(), stamp in any_stamp(), published_ns: i64, instrument in any_name(),
    ) {
        let record = DecisionRecord::read_from_bytes(bytes.as_flattened()).unwrap();
        let mut encoder = Encoder::new();
        let bytes = encoder.encode_decision(&stamp, &record, published_ns, instrument);
        prop_assert_eq!(bytes.len(), encode::decision_len());
        let Frame::Decision(decision) = wire::read(bytes, &Limits::default()).unwrap() else { panic!() };
        check_decision(decision.hot(), &record, published_ns, instrument)?;
        let deviations = decision.deviations().unwrap();
        prop_assert!(deviations.hundredths().iter().eq(record.deviations));
        prop_assert_eq!(header_of(decision.hot().header()), (stamp, record.event_ns));
    }

    #[test]
    fn prop_reject_is_read_as_it_was_encoded(bytes in any::<[[u8; 32]; 2]>(), stamp in any_stamp()) {
        let record = RejectRecord::read_from_bytes(bytes.as_flattened()).unwrap();
        let mut encoder = Encoder::new();
        let bytes = encoder.encode_reject(&stamp, &record);
        prop_assert_eq!(bytes.len(), encode::reject_len());
        let Frame::Reject(reject) = wire::read(bytes, &Limits::default()).unwrap() else { panic!() };
        check_reject(reject.hot(), &record)?;
        prop_assert_eq!(header_of(reject.hot().header()), (stamp, record.ingest_ns));
    }
}

fn header_of(header: &wire::FrameHeader) -> (Stamp, i64) {
    let stamp = Stamp {
        publisher_id: header.publisher_id(),
        session: header.publisher_session(),
        sequence: header.publisher_sequence(),
        flags: header.flags(),
    };
    (stamp, header.event_ns())
}

fn check_decision(
    hot: &wire::DecisionHot,
    record: &DecisionRecord,
    published_ns: i64,
    instrument: Id,
) -> Result<(), TestCaseError> {
    let subject = if record.lane == Lane::Market.0 {
        instrument
    } else {
        record.subject
    };
    let found_times = (
        hot.event_ns(),
        hot.ingest_ns(),
        hot.scored_ns(),
        hot.decided_ns(),
        hot.published_ns(),
    );
    let times = (
        record.event_ns,
        record.ingest_ns,
        record.scored_ns,
        record.decided_ns,
        published_ns,
    );
    let found_input = (
        hot.input_publisher_id(),
        hot.input_session(),
        hot.input_sequence(),
    );
    let hashes = (record.model_hash, record.strategy_hash, record.config_hash);
    prop_assert_eq!(found_times, times);
    prop_assert_eq!(
        found_input,
        (
            record.input_publisher_id,
            record.input_session,
            record.input_sequence
        )
    );
    prop_assert_eq!((hot.model_hash(), hot.strategy_hash(), hot.config_hash()), hashes);
    prop_assert_eq!(
        (hot.sequence(), hot.value(), hot.quantity()),
        (record.sequence, record.value, record.quantity)
    );
    prop_assert_eq!(hot.score().to_bits(), record.score.to_bits());
    prop_assert_eq!((hot.lane().0, hot.action().0), (record.lane, record.action));
    prop_assert_eq!(
        (hot.reason_count(), hot.flags()),
        (record.reason_count, record.flags | record.run_flags)
    );
    prop_assert!(hot.reasons().iter().eq(record.reasons));
    prop_assert_eq!(Id::from(hot.subject()), subject);
    Ok(())
}

fn check_reject(hot: &wire::RejectHot, record: &RejectRecord) -> Result<(), TestCaseError> {
    let found_input = (
        hot.input_publisher_id(),
        hot.input_session(),
        hot.input_sequence(),
    );
    prop_assert_eq!(
        found_input,
        (
            record.input_publisher_id,
            record.input_session,
            record.input_sequence
        )
    );
    prop_assert_eq!((hot.found(), hot.expected()), (record.found, record.expected));
    prop_assert_eq!(
        (hot.ingest_ns(), hot.frame_len()),
        (record.ingest_ns, record.frame_len)
    );
    prop_assert_eq!((hot.reason().0, hot.lane().0), (record.reason, record.lane));
    Ok(())
}

#[test]
fn decision_and_reject_are_not_events() {
    let mut encoder = Encoder::new();
    let stamp = Stamp::default();
    let bytes = encoder.encode_decision(&stamp, &DecisionRecord::default(), 0, Id::NONE);
    let frame = wire::read(bytes, &Limits::default()).unwrap();
    assert_eq!(
        (frame.kind(), Event::of_frame(&frame)),
        (FileKind::Decision, None)
    );
    let bytes = encoder.encode_reject(&stamp, &RejectRecord::default());
    let frame = wire::read(bytes, &Limits::default()).unwrap();
    assert_eq!((frame.kind(), Event::of_frame(&frame)), (FileKind::Reject, None));
}

#[test]
fn identifiers_name_their_kinds() {
    for kind in FileKind::ALL {
        let identifier = u32::from_le_bytes(kind.identifier().as_bytes().try_into().unwrap());
        assert_eq!(FileKind::from_identifier(identifier), Some(kind));
    }
    assert_eq!(FileKind::from_identifier(u32::from_le_bytes(*b"PNSG")), None);
}
