//! What becomes of each kind of frame, seen from the rings around the agent.

mod common;

use std::collections::HashMap;

use common::{
    Rig, Rings, account_update, config, frame, id, label, payment_frame, quote, quote_frame, stamp,
    transaction,
};
use pinion_ingest::IngestConfig;
use pinion_ingest::config::{TableConfig, WhenFull};
use pinion_ingest::refusal::Field;
use pinion_runtime::agent::Agent as _;
use pinion_runtime::faults::FaultKind;
use pinion_schemas::encode::{
    BookLevelEvent, BookOrderEvent, Encoder, Event, LabelEvent, OwnFillEvent, OwnOrderEvent, QuoteEvent,
    Stamp, TradeEvent, TransactionEvent,
};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{
    DecisionRecord, MarketRecord, Origin, PaymentRecord, entry_kind, fresh, market_kind, payment_kind,
};
use pinion_schemas::wire::{
    BookAction, Channel, Lane, Liquidity, OrderState, Outcome, RejectReason, Side, Verdict,
};

#[test]
fn quote_becomes_a_record_and_a_journal_entry() {
    let mut rig = Rig::new(&config());
    let bytes = frame(
        &Stamp {
            flags: 1,
            ..stamp(7, 70, 1)
        },
        &quote("BTCUSDT"),
    );
    rig.offer_market(&bytes);
    assert_eq!(rig.run(), 1);
    let origin = Origin {
        sequence: 1,
        input_index: 1,
        publisher_session: 70,
        publisher_sequence: 1,
        event_ns: 5,
        ingest_ns: 1_001,
        publisher_id: 7,
        frame_flags: 1,
        kind: market_kind::QUOTE,
        lane: Lane::Market.0,
        ..Origin::default()
    };
    let expected = MarketRecord {
        origin,
        price: 99,
        quantity: 1,
        price_2: 101,
        quantity_2: 2,
        venue_sequence: 7,
        instrument: 0,
        ..MarketRecord::default()
    };
    assert_eq!(rig.take_market(), [expected]);
    assert_eq!(rig.names.get(0), Some(id("BTCUSDT")));
    let entries = rig.take_journal();
    let [(header, payload)] = &entries[..] else {
        panic!("one frame is one entry")
    };
    assert_eq!((header.kind, header.lane), (entry_kind::INPUT, Lane::Market.0));
    assert_eq!(
        (header.sequence, header.input_index, header.stamp_ns),
        (1, 1, 1_001)
    );
    assert_eq!(*payload, bytes);
}

/// Sends one market event and compares its record, origin aside.
#[track_caller]
fn check_market(event: Event, kind: u8, expected: MarketRecord) {
    let mut rig = Rig::new(&config());
    rig.offer_market(&frame(&stamp(1, 1, 1), &event));
    rig.run();
    let found = rig.take_market()[0];
    assert_eq!(found.origin.kind, kind);
    assert_eq!(
        MarketRecord {
            origin: Origin::default(),
            ..found
        },
        expected
    );
}

#[test]
fn market_events_fill_the_fields_of_their_kind() {
    let instrument = id("A");
    let blank = MarketRecord {
        price: 10,
        quantity: 3,
        ..MarketRecord::default()
    };
    let (event_ns, price, quantity, venue_sequence) = (1, 10, 3, 4);
    check_market(
        Event::Trade(TradeEvent {
            event_ns,
            instrument,
            price,
            quantity,
            trade_id: 5,
            venue_sequence,
            aggressor: Side::Ask,
        }),
        market_kind::TRADE,
        MarketRecord {
            order_id: 5,
            venue_sequence,
            side: Side::Ask.0,
            ..blank
        },
    );
    let (side, action) = (Side::Bid, BookAction::Add);
    check_market(
        Event::BookOrder(BookOrderEvent {
            event_ns,
            instrument,
            order_id: 5,
            price,
            quantity,
            venue_sequence,
            action,
            side,
        }),
        market_kind::BOOK_ORDER,
        MarketRecord {
            order_id: 5,
            venue_sequence,
            side: side.0,
            action: action.0,
            ..blank
        },
    );
    check_market(
        Event::BookLevel(BookLevelEvent {
            event_ns,
            instrument,
            price,
            quantity,
            venue_sequence,
            order_count: 6,
            side,
            action,
        }),
        market_kind::BOOK_LEVEL,
        MarketRecord {
            order_count: 6,
            venue_sequence,
            side: side.0,
            action: action.0,
            ..blank
        },
    );
}

#[test]
fn own_events_fill_the_fields_of_their_kind() {
    let instrument = id("A");
    let blank = MarketRecord {
        price: 10,
        quantity: 3,
        side: Side::Bid.0,
        ..MarketRecord::default()
    };
    let (event_ns, price, quantity, side) = (1, 10, 3, Side::Bid);
    let state = OrderState::Filled;
    check_market(
        Event::OwnOrder(OwnOrderEvent {
            event_ns,
            instrument,
            order_id: 5,
            price,
            quantity,
            leaves_quantity: 2,
            side,
            state,
        }),
        market_kind::OWN_ORDER,
        MarketRecord {
            order_id: 5,
            quantity_2: 2,
            action: state.0,
            ..blank
        },
    );
    let liquidity = Liquidity::Taker;
    check_market(
        Event::OwnFill(OwnFillEvent {
            event_ns,
            instrument,
            order_id: 5,
            execution_id: 6,
            price,
            quantity,
            fee: -7,
            side,
            liquidity,
        }),
        market_kind::OWN_FILL,
        MarketRecord {
            order_id: 5,
            price_2: -7,
            venue_sequence: 6,
            action: liquidity.0,
            ..blank
        },
    );
}

#[test]
fn payments_carry_dense_ids_and_say_which_are_fresh() {
    let mut rig = Rig::new(&config());
    let with_card = TransactionEvent {
        card: id("card-1"),
        ..transaction("ann", "shop")
    };
    let events = [
        Event::Transaction(transaction("ann", "shop")),
        Event::Transaction(with_card),
        Event::Label(label("ann", "kiosk")),
        Event::AccountUpdate(account_update("bob", "account-1")),
    ];
    for (sequence, event) in (1..).zip(&events) {
        rig.offer_payment(&frame(&stamp(1, 1, sequence), event));
    }
    rig.run();
    let records = rig.take_payments();
    let dense = |record: &PaymentRecord| [record.customer, record.terminal, record.card, record.account];
    let none = DENSE_ID_NONE;
    assert_eq!(dense(&records[0]), [0, 0, none, none]);
    assert_eq!(dense(&records[1]), [0, 0, 0, none]);
    assert_eq!(dense(&records[2]), [0, 1, none, none]);
    assert_eq!(dense(&records[3]), [1, none, none, 0]);
    let bits: Vec<u8> = records.iter().map(|record| record.fresh).collect();
    let expected = [
        fresh::CUSTOMER | fresh::TERMINAL,
        fresh::CARD,
        fresh::TERMINAL,
        fresh::CUSTOMER | fresh::ACCOUNT,
    ];
    assert_eq!(bits, expected);
}

#[test]
fn label_reaches_the_entities_that_it_names() {
    let mut rig = Rig::new(&config());
    let event = TransactionEvent {
        card: id("card-1"),
        device: id("device-1"),
        ..transaction("ann", "shop")
    };
    let named = LabelEvent {
        card: id("card-1"),
        merchant: id("merchant-1"),
        device: id("device-1"),
        account: id("account-1"),
        ..label("ann", "shop")
    };
    rig.offer_payment(&frame(&stamp(1, 1, 1), &Event::Transaction(event)));
    rig.offer_payment(&frame(&stamp(1, 1, 2), &Event::Label(named)));
    rig.run();
    let record = rig.take_payments()[1];
    let dense = [record.card, record.merchant, record.device, record.account];
    assert_eq!((dense, record.customer, record.terminal), ([0; 4], 0, 0));
    assert_eq!(record.fresh, fresh::MERCHANT | fresh::ACCOUNT);
}

#[test]
fn payments_fill_the_fields_of_their_kind() {
    let mut rig = Rig::new(&config());
    rig.offer_payment(&payment_frame(1, "ann", "shop"));
    rig.offer_payment(&frame(&stamp(1, 1, 2), &Event::Label(label("ann", "shop"))));
    rig.offer_payment(&frame(
        &stamp(1, 1, 3),
        &Event::AccountUpdate(account_update("ann", "account-1")),
    ));
    rig.run();
    let records = rig.take_payments();
    let kinds: Vec<u8> = records.iter().map(|record| record.origin.kind).collect();
    assert_eq!(
        kinds,
        [
            payment_kind::TRANSACTION,
            payment_kind::LABEL,
            payment_kind::ACCOUNT
        ]
    );
    let [payment, label, update] = &records[..] else {
        panic!("three events are three records")
    };
    assert_eq!(
        (payment.amount_minor, payment.currency, payment.merchant_category),
        (1_250, 978, 5_411)
    );
    assert_eq!(
        (payment.channel, payment.transaction_id),
        (Channel::CardPresent.0, id("tx-1"))
    );
    assert_eq!(
        (label.transaction_ns, label.verdict, label.detail),
        (5, Verdict::Fraud.0, 1)
    );
    assert_eq!((label.amount_minor, label.transaction_id), (1_250, id("tx-1")));
    assert_eq!(
        (update.amount_minor, update.detail, update.transaction_id),
        (100_000, 2, Id::NONE)
    );
}

/// Sends a frame on the market stream and compares the answer.
#[track_caller]
fn check_refused(bytes: &[u8], reason: RejectReason, found: u64, expected: u64) {
    let mut rig = Rig::new(&config());
    rig.offer_market(bytes);
    rig.run();
    let rejects = rig.take_rejects();
    assert_eq!(rejects.len(), 1, "{:?}", rig.counts());
    let reject = &rejects[0];
    assert_eq!(
        (RejectReason(reject.reason), reject.found, reject.expected),
        (reason, found, expected)
    );
    assert_eq!(
        (reject.lane, reject.frame_len as usize),
        (Lane::Market.0, bytes.len())
    );
    assert_eq!(reject.ingest_ns, 1_001);
    assert_eq!(rig.count("ingest.market.rejected"), 1);
    assert!(rig.take_market().is_empty());
    assert!(rig.take_journal().is_empty());
    assert_eq!(rig.faults.list().len(), 1);
}

#[test]
fn unreadable_frames_are_refused_by_their_reason() {
    let good = quote_frame(1, "A");
    let len = good.len() as u64;
    check_refused(&vec![1; 5_000], RejectReason::Oversized, 5_000, 4_096);
    check_refused(b"PNQ", RejectReason::Malformed, 3, 8);
    let mut unknown = good.clone();
    unknown[4..8].copy_from_slice(b"XXXX");
    check_refused(
        &unknown,
        RejectReason::UnknownType,
        u64::from(u32::from_le_bytes(*b"XXXX")),
        0,
    );
    let mut pointing_out = good.clone();
    pointing_out[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut rig = Rig::new(&config());
    rig.offer_market(&pointing_out);
    rig.offer_market(&good[..good.len() - 40]);
    rig.run();
    for reject in rig.take_rejects() {
        assert_eq!(RejectReason(reject.reason), RejectReason::Malformed);
        assert!(reject.found <= len);
    }
    assert_eq!(rig.count("ingest.rejected.malformed"), 2);
}

#[test]
fn frame_of_another_version_is_refused() {
    let good = quote_frame(1, "A");
    let version_at = good.len() - (112 - 28);
    let mut bytes = good;
    assert_eq!(
        bytes[version_at..version_at + 2],
        [1, 0],
        "the version stands at byte 28 of the hot struct"
    );
    bytes[version_at] = 9;
    check_refused(&bytes, RejectReason::UnknownVersion, 9, 1);
}

#[test]
fn frame_of_the_other_lane_is_refused() {
    let bytes = payment_frame(1, "ann", "shop");
    check_refused(
        &bytes,
        RejectReason::WrongLane,
        u64::from(Lane::Payment.0),
        u64::from(Lane::Market.0),
    );
    let mut encoder = Encoder::new();
    let decision = encoder.encode_decision(&stamp(1, 1, 1), &DecisionRecord::default(), 0, Id::NONE);
    check_refused(
        decision,
        RejectReason::UnknownType,
        u64::from(u32::from_le_bytes(*b"PNDC")),
        0,
    );
}

#[track_caller]
fn check_field(stamp: &Stamp, event: &Event, field: Field, found: u64) {
    check_refused(
        &frame(stamp, event),
        RejectReason::InvalidField,
        found,
        field as u64,
    );
}

#[test]
fn event_from_the_future_is_refused() {
    let second_ns = 1_000_000_000;
    let mut rig = Rig::new(&IngestConfig {
        ahead_s_max: 60,
        ..config()
    });
    // The engine's clock is counted up from 1,000 by the rig.
    let mut offer = |sequence: u64, event_ns: i64| {
        let Event::Quote(event) = quote("A") else {
            unreachable!()
        };
        let event = Event::Quote(QuoteEvent { event_ns, ..event });
        rig.now_ns = 1_000;
        rig.offer_market(&frame(&stamp(1, 1, sequence), &event));
        rig.run();
        (
            rig.take_market().len(),
            rig.take_rejects()
                .first()
                .map(|reject| (reject.found, reject.expected)),
        )
    };
    assert_eq!(offer(1, 60 * second_ns + 1_001), (1, None));
    let ahead_ns = 60 * second_ns + 1_002;
    assert_eq!(
        offer(2, ahead_ns),
        (0, Some((ahead_ns as u64, Field::EventTime as u64)))
    );
    assert_eq!(offer(3, i64::MAX).0, 0);
    let mut any = Rig::new(&IngestConfig {
        ahead_s_max: 0,
        ..config()
    });
    let Event::Quote(event) = quote("A") else {
        unreachable!()
    };
    any.offer_market(&frame(
        &stamp(1, 1, 1),
        &Event::Quote(QuoteEvent {
            event_ns: i64::MAX,
            ..event
        }),
    ));
    any.run();
    assert_eq!(any.take_market().len(), 1);
}

#[test]
fn fields_out_of_range_are_refused_by_name() {
    let good = stamp(1, 1, 1);
    let Event::Quote(event) = quote("A") else {
        unreachable!()
    };
    check_field(&stamp(0, 1, 1), &quote("A"), Field::PublisherId, 0);
    check_field(&stamp(1, 1, 0), &quote("A"), Field::PublisherSequence, 0);
    check_field(&Stamp { flags: 4, ..good }, &quote("A"), Field::Flags, 4);
    check_field(
        &good,
        &Event::Quote(QuoteEvent {
            event_ns: -1,
            ..event
        }),
        Field::EventTime,
        u64::MAX,
    );
    check_field(
        &good,
        &Event::Quote(QuoteEvent {
            ask_quantity: -2,
            ..event
        }),
        Field::Quantity,
        u64::MAX - 1,
    );
    check_field(
        &good,
        &Event::Quote(QuoteEvent {
            instrument: Id::NONE,
            ..event
        }),
        Field::Instrument,
        0,
    );
    let mut broken = id("AB");
    broken.0[1] = 0xFF;
    check_field(
        &good,
        &Event::Quote(QuoteEvent {
            instrument: broken,
            ..event
        }),
        Field::Instrument,
        0xFF41,
    );
    let trade = TradeEvent {
        event_ns: 1,
        instrument: id("A"),
        price: 1,
        quantity: 1,
        trade_id: 0,
        venue_sequence: 0,
        aggressor: Side(9),
    };
    check_field(&good, &Event::Trade(trade), Field::Side, 9);
}

#[test]
fn payment_fields_out_of_range_are_refused_by_name() {
    let payment = || transaction("ann", "shop");
    let mut broken = id("AB");
    broken.0[5] = b'x';
    let cases = [
        (
            Event::Transaction(TransactionEvent {
                channel: Channel(99),
                ..payment()
            }),
            Field::Channel,
        ),
        (
            Event::Transaction(TransactionEvent {
                outcome: Outcome(3),
                ..payment()
            }),
            Field::Outcome,
        ),
        (
            Event::Label(LabelEvent {
                merchant: broken,
                ..label("ann", "shop")
            }),
            Field::Merchant,
        ),
        (
            Event::Transaction(TransactionEvent {
                transaction_id: Id::NONE,
                ..payment()
            }),
            Field::TransactionId,
        ),
        (
            Event::Transaction(TransactionEvent {
                customer: broken,
                ..payment()
            }),
            Field::Customer,
        ),
        (
            Event::Transaction(TransactionEvent {
                card: broken,
                ..payment()
            }),
            Field::Card,
        ),
        (
            Event::Transaction(TransactionEvent {
                device: broken,
                ..payment()
            }),
            Field::Device,
        ),
    ];
    let mut rig = Rig::new(&config());
    for (event, _) in &cases {
        rig.offer_payment(&frame(&stamp(1, 1, 1), event));
    }
    rig.run();
    let found: Vec<_> = rig
        .take_rejects()
        .iter()
        .map(|reject| Field::from_code(reject.expected))
        .collect();
    let expected: Vec<_> = cases.iter().map(|(_, field)| Some(*field)).collect();
    assert_eq!(found, expected);
    assert_eq!(rig.count("ingest.customers.ids"), 0);
}

#[test]
fn absent_customer_and_terminal_are_no_fault() {
    let mut rig = Rig::new(&config());
    let event = TransactionEvent {
        customer: Id::NONE,
        terminal: Id::NONE,
        ..transaction("ann", "shop")
    };
    rig.offer_payment(&frame(&stamp(1, 1, 1), &Event::Transaction(event)));
    rig.run();
    let record = rig.take_payments()[0];
    assert_eq!(
        (record.customer, record.terminal, record.fresh),
        (DENSE_ID_NONE, DENSE_ID_NONE, 0)
    );
}

/// Sends frames of (publisher, session, sequence) and compares the counters of the market lane.
#[track_caller]
fn check_sessions(frames: &[(u32, u64, u64)], expected: &[(&str, u64)]) {
    let mut rig = Rig::new(&config());
    for &(publisher_id, session, sequence) in frames {
        rig.offer_market(&frame(&stamp(publisher_id, session, sequence), &quote("A")));
    }
    rig.run();
    let counts = rig.counts();
    for (name, count) in expected {
        assert_eq!(
            counts.get(&format!("market.{name}")).copied().unwrap_or(0),
            *count,
            "{name}: {counts:?}"
        );
    }
}

#[test]
fn gaps_duplicates_and_restarts_are_counted() {
    check_sessions(
        &[(1, 1, 1), (1, 1, 2)],
        &[("accepted", 2), ("gaps", 0), ("duplicates", 0)],
    );
    check_sessions(
        &[(1, 1, 1), (1, 1, 5), (1, 1, 7)],
        &[("accepted", 3), ("gaps", 2), ("missing", 4)],
    );
    check_sessions(
        &[(1, 1, 1), (1, 1, 1), (1, 1, 1)],
        &[("accepted", 1), ("duplicates", 2)],
    );
    check_sessions(
        &[(1, 1, 1), (1, 1, 2), (1, 2, 1)],
        &[("accepted", 3), ("restarts", 1), ("gaps", 0)],
    );
    check_sessions(
        &[(1, 1, 1), (2, 1, 1)],
        &[("accepted", 2), ("restarts", 0), ("publishers", 2)],
    );
    check_sessions(
        &[(1, 1, 3)],
        &[
            ("accepted", 1),
            ("gaps", 1),
            ("missing", 2),
            ("lost_unacknowledged", 0),
        ],
    );
}

#[test]
fn what_happens_to_a_session_is_logged_once_per_kind() {
    let mut rig = Rig::new(&config());
    for (session, sequence) in [(1, 1), (1, 5), (1, 5), (2, 1)] {
        rig.offer_market(&frame(&stamp(3, session, sequence), &quote("A")));
    }
    rig.run();
    let details: HashMap<_, _> = rig
        .faults
        .list()
        .into_iter()
        .map(|it| (it.name, it.detail))
        .collect();
    assert_eq!(details[FaultKind::PublisherGap.name()], 3);
    assert_eq!(details[FaultKind::PublisherDuplicate.name()], 5);
    assert_eq!(details[FaultKind::PublisherRestart.name()], 3);
}

#[test]
fn refused_frame_is_no_gap_and_may_come_again_mended() {
    let mut rig = Rig::new(&config());
    let Event::Quote(event) = quote("A") else {
        unreachable!()
    };
    let bad = Event::Quote(QuoteEvent {
        bid_quantity: -1,
        ..event
    });
    rig.offer_market(&quote_frame(1, "A"));
    rig.offer_market(&frame(&stamp(1, 1, 2), &bad));
    rig.offer_market(&quote_frame(2, "A"));
    rig.offer_market(&frame(&stamp(1, 1, 3), &bad));
    rig.offer_market(&quote_frame(4, "A"));
    rig.run();
    let counts = rig.counts();
    assert_eq!((counts["market.accepted"], counts["market.rejected"]), (3, 2));
    assert_eq!(counts.get("market.gaps"), None);
    assert_eq!(
        rig.take_market()
            .iter()
            .map(|record| record.origin.sequence)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[test]
fn lanes_are_numbered_apart_and_indexed_together() {
    let mut rig = Rig::new(&config());
    for sequence in 1..=3 {
        rig.offer_market(&quote_frame(sequence, "A"));
        rig.offer_payment(&payment_frame(sequence, "ann", "shop"));
        rig.run();
    }
    let numbers = |origin: Origin| (origin.sequence, origin.input_index);
    let market: Vec<_> = rig
        .take_market()
        .iter()
        .map(|record| numbers(record.origin))
        .collect();
    let payments: Vec<_> = rig
        .take_payments()
        .iter()
        .map(|record| numbers(record.origin))
        .collect();
    assert_eq!(market.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(payments.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2, 3]);
    let mut indices: Vec<_> = market.iter().chain(&payments).map(|it| it.1).collect();
    indices.sort_unstable();
    assert_eq!(indices, [1, 2, 3, 4, 5, 6]);
    let journaled: Vec<_> = rig
        .take_journal()
        .iter()
        .map(|(header, _)| header.input_index)
        .collect();
    assert_eq!(journaled, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn stamps_never_step_back() {
    let mut rig = Rig::new(&config());
    rig.offer_market(&quote_frame(1, "A"));
    rig.agent.do_work(500);
    rig.offer_market(&quote_frame(2, "A"));
    rig.agent.do_work(400);
    assert_eq!(
        rig.take_market()
            .iter()
            .map(|it| it.origin.ingest_ns)
            .collect::<Vec<_>>(),
        [500, 500]
    );
}

#[test]
fn full_table_refuses_and_leaves_no_trace() {
    let small = TableConfig {
        ids_max: 1,
        when_full: WhenFull::Reject,
    };
    let mut rig = Rig::new(&IngestConfig {
        terminals: small,
        ..config()
    });
    rig.offer_payment(&payment_frame(1, "ann", "shop"));
    rig.offer_payment(&payment_frame(2, "bob", "kiosk"));
    rig.offer_payment(&payment_frame(3, "cid", "shop"));
    rig.run();
    let records = rig.take_payments();
    assert_eq!(
        records
            .iter()
            .map(|it| (it.customer, it.terminal))
            .collect::<Vec<_>>(),
        [(0, 0), (1, 0)]
    );
    assert_eq!(records[1].fresh, fresh::CUSTOMER);
    let reject = rig.take_rejects()[0];
    assert_eq!(RejectReason(reject.reason), RejectReason::TableFull);
    assert_eq!(
        (reject.found, Field::from_code(reject.expected)),
        (1, Some(Field::Terminal))
    );
    assert_eq!(rig.count("ingest.payment.gaps"), 0);
}

#[test]
fn full_table_evicts_the_oldest_idle_and_says_fresh() {
    let small = TableConfig {
        ids_max: 2,
        when_full: WhenFull::EvictOldestIdle,
    };
    let mut rig = Rig::new(&IngestConfig {
        customers: small,
        ..config()
    });
    for (sequence, customer) in (1..).zip(["ann", "bob", "ann", "cid", "bob"]) {
        rig.offer_payment(&payment_frame(sequence, customer, "shop"));
    }
    rig.run();
    let found: Vec<_> = rig
        .take_payments()
        .iter()
        .map(|it| (it.customer, it.fresh & fresh::CUSTOMER))
        .collect();
    assert_eq!(found, [(0, 1), (1, 1), (0, 0), (1, 1), (0, 1)]);
    assert_eq!(
        (
            rig.count("ingest.customers.ids"),
            rig.count("ingest.customers.evicted")
        ),
        (2, 2)
    );
}

#[test]
fn full_tables_of_instruments_and_publishers_refuse() {
    let mut rig = Rig::new(&IngestConfig {
        instruments_max: 1,
        publishers_max: 1,
        ..config()
    });
    rig.offer_market(&quote_frame(1, "A"));
    rig.offer_market(&quote_frame(2, "B"));
    rig.offer_market(&frame(&stamp(2, 1, 1), &quote("A")));
    rig.offer_market(&quote_frame(3, "A"));
    rig.run();
    let found: Vec<_> = rig
        .take_rejects()
        .iter()
        .map(|it| (it.found, Field::from_code(it.expected).unwrap()))
        .collect();
    assert_eq!(found, [(1, Field::Instrument), (1, Field::PublisherId)]);
    assert_eq!(rig.count("ingest.market.accepted"), 2);
    assert_eq!(rig.faults.count(FaultKind::SessionsFull), 1);
    assert_eq!(rig.faults.count(FaultKind::IdsFull), 1);
}

#[test]
fn full_ring_holds_back_and_drops_nothing() {
    let mut rig = Rig::with(
        &config(),
        Rings {
            records: 4,
            ..Rings::default()
        },
        None,
    );
    for sequence in 1..=50 {
        rig.offer_market(&quote_frame(sequence, "A"));
    }
    let mut sequences = Vec::new();
    while sequences.len() < 50 {
        rig.run();
        let taken = rig.take_market();
        assert!((1..=4).contains(&taken.len()));
        sequences.extend(taken.iter().map(|record| record.origin.sequence));
        rig.take_journal();
    }
    assert_eq!(sequences, (1..=50).collect::<Vec<_>>());
    assert!(rig.count("ingest.market.back_pressured") > 0);
}

#[test]
fn full_journal_ring_holds_back_both_lanes() {
    let mut rig = Rig::with(
        &config(),
        Rings {
            journal_lines: 2 * 65 - 1,
            ..Rings::default()
        },
        None,
    );
    for sequence in 1..=50 {
        rig.offer_market(&quote_frame(sequence, "A"));
        rig.offer_payment(&payment_frame(sequence, "ann", "shop"));
    }
    let mut journaled = 0;
    while journaled < 100 {
        assert!(rig.run() > 0, "stuck after {journaled}");
        journaled += rig.take_journal().len();
    }
    assert_eq!((rig.take_market().len(), rig.take_payments().len()), (50, 50));
}

#[test]
fn good_frames_go_on_while_answers_have_no_room() {
    let mut rig = Rig::new(&IngestConfig {
        rejects_max: 2,
        ..config()
    });
    for sequence in 1..=5 {
        rig.offer_market(b"garbage");
        rig.offer_market(&quote_frame(sequence, "A"));
    }
    rig.run();
    assert_eq!((rig.take_market().len(), rig.take_rejects().len()), (5, 2));
    assert_eq!(
        (
            rig.count("ingest.market.rejected"),
            rig.count("ingest.rejects_unanswered")
        ),
        (5, 3)
    );
}

#[test]
fn closed_gate_takes_nothing_more() {
    let mut rig = Rig::new(&config());
    rig.offer_market(&quote_frame(1, "A"));
    rig.run();
    rig.gate.close();
    rig.offer_market(&quote_frame(2, "A"));
    assert_eq!(rig.run(), 0);
    assert_eq!(rig.take_market().len(), 1);
}

#[test]
fn very_long_frame_is_refused_and_good_ones_go_on() {
    let mut rig = Rig::new(&config());
    let long = vec![0x50; 100_000];
    rig.offer_market(&long);
    rig.offer_market(&quote_frame(1, "A"));
    rig.run();
    assert_eq!(rig.take_market().len(), 1);
    assert_eq!(rig.take_rejects()[0].found, 100_000);
}
