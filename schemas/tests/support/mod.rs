//! Events of any values, for the property tests.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code)]

use pinion_schemas::encode::{
    AccountUpdateEvent, BookLevelEvent, BookOrderEvent, Event, LabelEvent, OwnFillEvent, OwnOrderEvent,
    QuoteEvent, Stamp, TradeEvent, TransactionEvent, TransactionText,
};
use pinion_schemas::ids::{ID_LEN_MAX, Id};
use pinion_schemas::wire::{
    AccountChange, BookAction, Channel, Frame, LabelSource, Liquidity, OrderState, Outcome, Side, Verdict,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Any 36 bytes: the wire carries them whether or not they are a name.
pub(crate) fn any_id() -> impl Strategy<Value = Id> {
    prop_oneof![Just(Id::NONE), any_name(), any::<[u8; 32]>().prop_map(id_of)]
}

/// A name as publishers should send it.
pub(crate) fn any_name() -> impl Strategy<Value = Id> {
    "[!-~]{1,36}".prop_map(|text| Id::new(&text).unwrap())
}

fn id_of(bytes: [u8; 32]) -> Id {
    let mut id = [0xFF; ID_LEN_MAX];
    id[..32].copy_from_slice(&bytes);
    Id(id)
}

pub(crate) fn any_stamp() -> impl Strategy<Value = Stamp> {
    any::<(u32, u64, u64, u16)>().prop_map(|(publisher_id, session, sequence, flags)| Stamp {
        publisher_id,
        session,
        sequence,
        flags,
    })
}

/// Any event, with any values: numbers of all sizes, unknown enum values, names that are none.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<[i64; 5]>(), any::<u64>(), any_id()).prop_map(|(n, u, id)| Event::Quote(quote(n, u, id))),
        (any::<[i64; 3]>(), any::<[u64; 2]>(), any::<u8>(), any_id())
            .prop_map(|(n, u, byte, id)| Event::Trade(trade(n, u, byte, id))),
        (any::<[i64; 3]>(), any::<[u64; 2]>(), any::<[u8; 2]>(), any_id())
            .prop_map(|(n, u, bytes, id)| Event::BookOrder(book_order(n, u, bytes, id))),
        (
            any::<[i64; 3]>(),
            any::<u64>(),
            any::<u32>(),
            any::<[u8; 2]>(),
            any_id()
        )
            .prop_map(|(n, u, count, bytes, id)| Event::BookLevel(book_level(n, u, count, bytes, id))),
        (any::<[i64; 4]>(), any::<u64>(), any::<[u8; 2]>(), any_id())
            .prop_map(|(n, u, bytes, id)| Event::OwnOrder(own_order(n, u, bytes, id))),
        (any::<[i64; 4]>(), any::<[u64; 2]>(), any::<[u8; 2]>(), any_id())
            .prop_map(|(n, u, bytes, id)| Event::OwnFill(own_fill(n, u, bytes, id))),
        any_transaction().prop_map(Event::Transaction),
        (
            any::<[i64; 3]>(),
            any::<[u8; 2]>(),
            [any_id(), any_id(), any_id()],
            [any_id(), any_id(), any_id(), any_id()],
        )
            .prop_map(|(n, bytes, ids, more)| Event::Label(label(n, bytes, ids, more))),
        (any::<[i64; 2]>(), any::<u16>(), any::<u8>(), [any_id(), any_id()]).prop_map(
            |(n, currency, byte, ids)| Event::AccountUpdate(account_update(n, currency, byte, ids))
        ),
    ]
}

pub(crate) fn any_transaction() -> impl Strategy<Value = TransactionEvent> {
    let ids = [
        any_id(),
        any_id(),
        any_id(),
        any_id(),
        any_id(),
        any_id(),
        any_id(),
    ];
    let text = option::of(any_text().prop_map(Box::new));
    (any::<[i64; 2]>(), any::<[u16; 2]>(), any::<[u8; 2]>(), ids, text).prop_map(
        |(n, codes, [channel, outcome], ids, text)| TransactionEvent {
            event_ns: n[0],
            amount_minor: n[1],
            currency: codes[0],
            merchant_category: codes[1],
            channel: Channel(channel),
            transaction_id: ids[0],
            customer: ids[1],
            terminal: ids[2],
            card: ids[3],
            merchant: ids[4],
            device: ids[5],
            account: ids[6],
            outcome: Outcome(outcome),
            text,
        },
    )
}

fn any_text() -> impl Strategy<Value = TransactionText> {
    let part = || option::of(".{0,40}");
    let parts = (part(), part(), part(), part());
    (parts, vec((".{0,10}", ".{0,20}"), 0..6)).prop_map(|((name, city, country, reference), tags)| {
        TransactionText {
            merchant_name: name,
            merchant_city: city,
            merchant_country: country,
            reference,
            tags,
        }
    })
}

fn quote(n: [i64; 5], venue_sequence: u64, instrument: Id) -> QuoteEvent {
    QuoteEvent {
        event_ns: n[0],
        instrument,
        bid_price: n[1],
        bid_quantity: n[2],
        ask_price: n[3],
        ask_quantity: n[4],
        venue_sequence,
    }
}

fn trade(n: [i64; 3], u: [u64; 2], aggressor: u8, instrument: Id) -> TradeEvent {
    TradeEvent {
        event_ns: n[0],
        instrument,
        price: n[1],
        quantity: n[2],
        trade_id: u[0],
        venue_sequence: u[1],
        aggressor: Side(aggressor),
    }
}

fn book_order(n: [i64; 3], u: [u64; 2], [action, side]: [u8; 2], instrument: Id) -> BookOrderEvent {
    BookOrderEvent {
        event_ns: n[0],
        instrument,
        order_id: u[0],
        price: n[1],
        quantity: n[2],
        venue_sequence: u[1],
        action: BookAction(action),
        side: Side(side),
    }
}

fn book_level(
    n: [i64; 3],
    u: u64,
    order_count: u32,
    [side, action]: [u8; 2],
    instrument: Id,
) -> BookLevelEvent {
    BookLevelEvent {
        event_ns: n[0],
        instrument,
        price: n[1],
        quantity: n[2],
        venue_sequence: u,
        order_count,
        side: Side(side),
        action: BookAction(action),
    }
}

fn own_order(n: [i64; 4], order_id: u64, [side, state]: [u8; 2], instrument: Id) -> OwnOrderEvent {
    OwnOrderEvent {
        event_ns: n[0],
        instrument,
        order_id,
        price: n[1],
        quantity: n[2],
        leaves_quantity: n[3],
        side: Side(side),
        state: OrderState(state),
    }
}

fn own_fill(n: [i64; 4], u: [u64; 2], [side, liquidity]: [u8; 2], instrument: Id) -> OwnFillEvent {
    OwnFillEvent {
        event_ns: n[0],
        instrument,
        order_id: u[0],
        execution_id: u[1],
        price: n[1],
        quantity: n[2],
        fee: n[3],
        side: Side(side),
        liquidity: Liquidity(liquidity),
    }
}

fn label(
    n: [i64; 3],
    [verdict, source]: [u8; 2],
    [transaction_id, customer, terminal]: [Id; 3],
    [card, merchant, device, account]: [Id; 4],
) -> LabelEvent {
    LabelEvent {
        event_ns: n[0],
        transaction_ns: n[1],
        amount_minor: n[2],
        verdict: Verdict(verdict),
        source: LabelSource(source),
        transaction_id,
        customer,
        terminal,
        card,
        merchant,
        device,
        account,
    }
}

fn account_update(
    n: [i64; 2],
    currency: u16,
    change: u8,
    [customer, account]: [Id; 2],
) -> AccountUpdateEvent {
    AccountUpdateEvent {
        event_ns: n[0],
        limit_minor: n[1],
        currency,
        change: AccountChange(change),
        customer,
        account,
    }
}

/// Reads every field there is, the cold ones too, and returns the length of what it saw.
pub(crate) fn read_everything(frame: &Frame<'_>) -> usize {
    // `flatc`'s debug output of a table goes through all its fields.
    format!("{frame:?} {:?}", Event::of_frame(frame)).len()
}
