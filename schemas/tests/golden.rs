//! The bytes of every kind of frame are committed under `tests/golden`: what publishers send and journals hold
//! stays readable, and what this build writes stays the same.
//!
//! A change of schema on purpose: `PINION_GOLDEN=write cargo test -p pinion-schemas --test golden` writes the
//! files anew, and `SCHEMA_VERSION` goes up. `python_transaction.hex` was written by PyPI's `flatbuffers` 25.12.19
//! and stays.

use std::fs;
use std::path::PathBuf;

use pinion_schemas::encode::{
    AccountUpdateEvent, BookLevelEvent, BookOrderEvent, Encoder, Event, LabelEvent, OwnFillEvent,
    OwnOrderEvent, QuoteEvent, Stamp, TradeEvent, TransactionEvent, TransactionText,
};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{DecisionRecord, RejectRecord};
use pinion_schemas::wire::{
    self, AccountChange, Action, BookAction, Channel, Frame, LabelSource, Lane, Limits, Liquidity,
    OrderState, Outcome, RejectReason, Side, Verdict,
};

const STAMP: Stamp = Stamp {
    publisher_id: 7,
    session: 0x1122_3344_5566_7788,
    sequence: 42,
    flags: 1,
};
const EVENT_NS: i64 = 1_780_000_000_123_456_789;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
        .with_extension("hex")
}

/// Lines of 32 bytes, so that a difference can be seen.
fn hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[track_caller]
fn check_bytes(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = golden(name);
    if std::env::var_os("PINION_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, hex(bytes)).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert_eq!(committed, hex(bytes), "{name}");
    bytes_of(&committed)
}

/// The event is encoded as committed, and what is committed is read as the event.
#[track_caller]
fn check(name: &str, event: Event) {
    let bytes = check_bytes(name, Encoder::new().encode(&STAMP, &event));
    let frame = wire::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(Event::of_frame(&frame), Some((STAMP, event)));
}

#[test]
fn golden_quote() {
    let event = QuoteEvent {
        event_ns: EVENT_NS,
        instrument: id("BTCUSDT"),
        bid_price: 97_000_120_000_000,
        bid_quantity: 1_500_000_000,
        ask_price: 97_000_130_000_000,
        ask_quantity: 250_000_000,
        venue_sequence: 1001,
    };
    check("quote", Event::Quote(event));
}

#[test]
fn golden_trade() {
    let event = TradeEvent {
        event_ns: EVENT_NS,
        instrument: id("AAPL"),
        price: 201_370_000_000,
        quantity: 100_000_000_000,
        trade_id: 55,
        venue_sequence: 1002,
        aggressor: Side::Ask,
    };
    check("trade", Event::Trade(event));
}

#[test]
fn golden_book_order() {
    let event = BookOrderEvent {
        event_ns: EVENT_NS,
        instrument: id("MSFT"),
        order_id: 987_654_321,
        price: 455_010_000_000,
        quantity: 300_000_000_000,
        venue_sequence: 1003,
        action: BookAction::Add,
        side: Side::Bid,
    };
    check("book_order", Event::BookOrder(event));
}

#[test]
fn golden_book_level() {
    let event = BookLevelEvent {
        event_ns: EVENT_NS,
        instrument: id("ESM6"),
        price: -37_630_000_000,
        quantity: 12_000_000_000,
        venue_sequence: 1004,
        order_count: 9,
        side: Side::Ask,
        action: BookAction::Modify,
    };
    check("book_level", Event::BookLevel(event));
}

#[test]
fn golden_own_order() {
    let event = OwnOrderEvent {
        event_ns: EVENT_NS,
        instrument: id("ESM6"),
        order_id: 31,
        price: 5_300_250_000_000,
        quantity: 5_000_000_000,
        leaves_quantity: 2_000_000_000,
        side: Side::Bid,
        state: OrderState::PartiallyFilled,
    };
    check("own_order", Event::OwnOrder(event));
}

#[test]
fn golden_own_fill() {
    let event = OwnFillEvent {
        event_ns: EVENT_NS,
        instrument: id("ESM6"),
        order_id: 31,
        execution_id: 77,
        price: 5_300_250_000_000,
        quantity: 3_000_000_000,
        fee: -1_250_000_000,
        side: Side::Bid,
        liquidity: Liquidity::Maker,
    };
    check("own_fill", Event::OwnFill(event));
}

fn transaction() -> TransactionEvent {
    TransactionEvent {
        event_ns: EVENT_NS,
        amount_minor: 19_95,
        currency: 978,
        merchant_category: 5411,
        channel: Channel::CardPresent,
        transaction_id: id("3f2b8c1e-7c1a-4a52-9a0a-0f6f3a1c9d2e"),
        customer: id("4711"),
        terminal: id("terminal-9"),
        ..TransactionEvent::default()
    }
}

#[test]
fn golden_transaction() {
    check("transaction", Event::Transaction(transaction()));
}

#[test]
fn golden_transaction_with_everything() {
    let text = TransactionText {
        merchant_name: Some("Bäckerei Müller".to_owned()),
        merchant_city: Some("Leipzig".to_owned()),
        merchant_country: Some("DE".to_owned()),
        reference: Some("thank you".to_owned()),
        tags: vec![
            ("till".to_owned(), "3".to_owned()),
            ("shift".to_owned(), "early".to_owned()),
        ],
    };
    let event = TransactionEvent {
        card: id("card-1"),
        merchant: id("merchant-1"),
        device: id("device-1"),
        account: id("DE89370400440532013000"),
        text: Some(Box::new(text)),
        ..transaction()
    };
    check("transaction_with_everything", Event::Transaction(event));
}

#[test]
fn golden_transaction_declined() {
    let event = TransactionEvent {
        outcome: Outcome::Declined,
        ..transaction()
    };
    check("transaction_declined", Event::Transaction(event));
}

#[test]
fn golden_transaction_without_an_answer_is_that_of_before_the_field() {
    let [before, after] = ["transaction", "transaction_declined"]
        .map(|name| bytes_of(&fs::read_to_string(golden(name)).unwrap()));
    let differing: Vec<usize> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
    let hot_at = before.len() - size_of::<wire::TransactionHot>();
    assert_eq!((before.len(), differing), (after.len(), vec![hot_at + 153]));
}

fn label() -> LabelEvent {
    LabelEvent {
        event_ns: EVENT_NS + 604_800_000_000_000,
        transaction_ns: EVENT_NS,
        amount_minor: 19_95,
        verdict: Verdict::Fraud,
        source: LabelSource::Chargeback,
        transaction_id: id("3f2b8c1e-7c1a-4a52-9a0a-0f6f3a1c9d2e"),
        customer: id("4711"),
        terminal: id("terminal-9"),
        ..LabelEvent::default()
    }
}

#[test]
fn golden_label() {
    check("label", Event::Label(label()));
}

#[test]
fn golden_label_with_every_name() {
    let event = LabelEvent {
        card: id("card-1"),
        merchant: id("merchant-1"),
        device: id("device-1"),
        account: id("DE89370400440532013000"),
        ..label()
    };
    check("label_with_every_name", Event::Label(event));
}

#[test]
fn golden_account_update() {
    let event = AccountUpdateEvent {
        event_ns: EVENT_NS,
        limit_minor: 500_000,
        currency: 840,
        change: AccountChange::LimitChanged,
        customer: id("4711"),
        account: id("DE89370400440532013000"),
    };
    check("account_update", Event::AccountUpdate(event));
}

#[test]
fn golden_decision() {
    let record = DecisionRecord {
        sequence: 9,
        input_session: STAMP.session,
        input_sequence: 42,
        event_ns: EVENT_NS,
        value: 19_95,
        model_hash: 0xA1,
        strategy_hash: 0xB2,
        config_hash: 0xC3,
        reasons: [3, 1, 4, 0, 0, 0, 0, 0],
        deviations: [812, -205, 199, 0, 0, 0, 0, 0],
        input_publisher_id: 7,
        score: 0.875,
        lane: Lane::Payment.0,
        action: Action::Decline.0,
        reason_count: 3,
        subject: id("3f2b8c1e-7c1a-4a52-9a0a-0f6f3a1c9d2e"),
        ingest_ns: EVENT_NS + 1,
        scored_ns: EVENT_NS + 2,
        decided_ns: EVENT_NS + 3,
        run_flags: 1,
        ..DecisionRecord::default()
    };
    let mut encoder = Encoder::new();
    let bytes = check_bytes(
        "decision",
        encoder.encode_decision(&STAMP, &record, EVENT_NS + 4, Id::NONE),
    );
    let Ok(Frame::Decision(decision)) = wire::read(&bytes, &Limits::default()) else {
        panic!()
    };
    assert_eq!(
        (decision.hot().action(), decision.hot().flags()),
        (Action::Decline, 1)
    );
    assert_eq!(decision.hot().published_ns(), EVENT_NS + 4);
    let deviations = decision.deviations().unwrap();
    assert!(deviations.hundredths().iter().eq(record.deviations));

    // Engines before the field was added.
    let before = bytes_of(&fs::read_to_string(golden("decision_without_deviations")).unwrap());
    let Ok(Frame::Decision(former)) = wire::read(&before, &Limits::default()) else {
        panic!()
    };
    assert_eq!((former.hot(), former.deviations()), (decision.hot(), None));
}

#[test]
fn golden_reject() {
    let record = RejectRecord {
        input_session: STAMP.session,
        input_sequence: 42,
        found: 2,
        expected: 1,
        ingest_ns: EVENT_NS,
        input_publisher_id: 7,
        frame_len: 184,
        reason: RejectReason::UnknownVersion.0,
        lane: Lane::Payment.0,
        ..RejectRecord::default()
    };
    let mut encoder = Encoder::new();
    let bytes = check_bytes("reject", encoder.encode_reject(&STAMP, &record));
    let Ok(Frame::Reject(reject)) = wire::read(&bytes, &Limits::default()) else {
        panic!()
    };
    assert_eq!(
        (reject.hot().reason(), reject.hot().found()),
        (RejectReason::UnknownVersion, 2)
    );
}

#[test]
fn golden_frame_of_another_encoder_is_read() {
    let bytes = bytes_of(&fs::read_to_string(golden("python_transaction")).unwrap());
    let expected = TransactionEvent {
        event_ns: -33,
        amount_minor: -1995,
        currency: 978,
        merchant_category: 5411,
        channel: Channel::Atm,
        outcome: Outcome::Unknown,
        transaction_id: id("tx-1"),
        customer: id("customer-1"),
        terminal: id("terminal-1"),
        card: id("card-1"),
        ..TransactionEvent::default()
    };
    let stamp = Stamp {
        publisher_id: 44,
        session: 11,
        sequence: 22,
        flags: 2,
    };
    let frame = wire::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(
        Event::of_frame(&frame),
        Some((stamp, Event::Transaction(expected)))
    );
}
