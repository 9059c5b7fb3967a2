//! The events of both lanes as plain values.
//!
//! Units are those of the wire: prices 1e-9 of the quote currency, quantities 1e-9 of the instrument's unit,
//! amounts minor currency units, times ns since the Unix epoch. An absent name is [`Id::NONE`].
//!
//! Invariant: an event holds everything its frame says of it, so that [`Event::of_frame`] gives back what was
//! encoded.

use crate::ids::Id;
use crate::wire::{
    self, AccountChange, BookAction, Channel, Frame, LabelSource, Lane, Liquidity, OrderState, Outcome, Side,
    Verdict,
};

/// Who sends a frame and where it stands in the sender's order. The time stands in the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Unique among the publishers of a bus; 0 is not valid.
    pub publisher_id: u32,
    /// Differs at each fresh start of the publisher; its start time in ns is customary.
    pub session: u64,
    /// Counts the publisher's frames within its session, from 1, without gaps.
    pub sequence: u64,
    /// Bit 0: more frames of the same venue message follow. Bit 1: part of a snapshot.
    pub flags: u16,
}

/// Best bid and best ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuoteEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's, or the venue's it relays.
    pub event_ns: i64,
    /// What is quoted.
    pub instrument: Id,
    /// Best bid. Unit: 1e-9 of the quote currency; 0 with quantity 0: no bid.
    pub bid_price: i64,
    /// Unit: 1e-9 of the instrument's unit; not negative.
    pub bid_quantity: i64,
    /// Best ask. Unit: 1e-9 of the quote currency; 0 with quantity 0: no ask.
    pub ask_price: i64,
    /// Unit: 1e-9 of the instrument's unit; not negative.
    pub ask_quantity: i64,
    /// The venue's own sequence number, 0 if it has none.
    pub venue_sequence: u64,
}

/// A trade between others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TradeEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's, or the venue's it relays.
    pub event_ns: i64,
    /// What was traded.
    pub instrument: Id,
    /// Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// Unit: 1e-9 of the instrument's unit; not negative.
    pub quantity: i64,
    /// The venue's trade number, 0 if it has none.
    pub trade_id: u64,
    /// The venue's own sequence number, 0 if it has none.
    pub venue_sequence: u64,
    /// The side that took liquidity; `None` if the venue does not tell.
    pub aggressor: Side,
}

/// A book update by order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookOrderEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's, or the venue's it relays.
    pub event_ns: i64,
    /// Whose book.
    pub instrument: Id,
    /// The venue's order number; unique within the instrument.
    pub order_id: u64,
    /// Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// Add, modify: the open quantity afterwards. Cancel: the quantity taken away. Unit: 1e-9 of the
    /// instrument's unit; not negative.
    pub quantity: i64,
    /// The venue's own sequence number, 0 if it has none.
    pub venue_sequence: u64,
    /// What it does to the book.
    pub action: BookAction,
    /// The order's side.
    pub side: Side,
}

/// A book update by price level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookLevelEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's, or the venue's it relays.
    pub event_ns: i64,
    /// Whose book.
    pub instrument: Id,
    /// Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// The level's whole quantity afterwards; 0 removes it. Unit: 1e-9 of the instrument's unit.
    pub quantity: i64,
    /// The venue's own sequence number, 0 if it has none.
    pub venue_sequence: u64,
    /// Orders at the level, 0 if the venue does not tell.
    pub order_count: u32,
    /// The level's side.
    pub side: Side,
    /// `Modify` sets the level; `Clear` empties the book (of one side if `side` is set).
    pub action: BookAction,
}

/// The state of an own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnOrderEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the gateway's.
    pub event_ns: i64,
    /// What is ordered.
    pub instrument: Id,
    /// The client's order number.
    pub order_id: u64,
    /// Limit. Unit: 1e-9 of the quote currency; 0: market order.
    pub price: i64,
    /// Ordered quantity. Unit: 1e-9 of the instrument's unit.
    pub quantity: i64,
    /// Still open. Unit: 1e-9 of the instrument's unit.
    pub leaves_quantity: i64,
    /// The order's side.
    pub side: Side,
    /// Where it stands.
    pub state: OrderState,
}

/// A fill of an own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFillEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the gateway's.
    pub event_ns: i64,
    /// What was traded.
    pub instrument: Id,
    /// The client's order number.
    pub order_id: u64,
    /// The venue's execution number.
    pub execution_id: u64,
    /// Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// Unit: 1e-9 of the instrument's unit.
    pub quantity: i64,
    /// Fee paid (positive) or rebate (negative). Unit: 1e-9 of the quote currency.
    pub fee: i64,
    /// The order's side.
    pub side: Side,
    /// Who provided the liquidity.
    pub liquidity: Liquidity,
}

/// A payment to decide on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's.
    pub event_ns: i64,
    /// Unit: minor currency units (cents); negative for a refund.
    pub amount_minor: i64,
    /// ISO 4217 numeric code.
    pub currency: u16,
    /// ISO 18245 merchant category code, 0 if unknown.
    pub merchant_category: u16,
    /// How the card or account was presented.
    pub channel: Channel,
    /// Unique among the publisher's transactions; labels refer to it.
    pub transaction_id: Id,
    /// Who pays.
    pub customer: Id,
    /// Where.
    pub terminal: Id,
    /// With which card.
    pub card: Id,
    /// To whom.
    pub merchant: Id,
    /// From which device.
    pub device: Id,
    /// Out of which account.
    pub account: Id,
    /// What was answered to the attempt, if that is known already.
    pub outcome: Outcome,
    /// What people read of it.
    pub text: Option<Box<TransactionText>>,
}

/// Cold text of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionText {
    /// As printed on the statement.
    pub merchant_name: Option<String>,
    /// Where the merchant is.
    pub merchant_city: Option<String>,
    /// ISO 3166 alpha-2.
    pub merchant_country: Option<String>,
    /// The payer's own words.
    pub reference: Option<String>,
    /// Keys with values.
    pub tags: Vec<(String, String)>,
}

/// What became known of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelEvent {
    /// When it became known. Unit: ns since the Unix epoch. Clock: the publisher's.
    pub event_ns: i64,
    /// Time of the transaction it speaks of. Unit: ns since the Unix epoch.
    pub transaction_ns: i64,
    /// Amount of that transaction. Unit: minor currency units.
    pub amount_minor: i64,
    /// Fraud or genuine.
    pub verdict: Verdict,
    /// Who said so.
    pub source: LabelSource,
    /// The transaction.
    pub transaction_id: Id,
    /// As in the transaction.
    pub customer: Id,
    /// As in the transaction.
    pub terminal: Id,
    /// As in the transaction; absent: the label does not reach the card's features.
    pub card: Id,
    /// As in the transaction; absent: the label does not reach the merchant's features.
    pub merchant: Id,
    /// As in the transaction; absent: the label does not reach the device's features.
    pub device: Id,
    /// As in the transaction; absent: the label does not reach the account's features.
    pub account: Id,
}

/// A change of a customer's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountUpdateEvent {
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's.
    pub event_ns: i64,
    /// The limit afterwards. Unit: minor currency units; 0 if the change is not about a limit.
    pub limit_minor: i64,
    /// ISO 4217 numeric code.
    pub currency: u16,
    /// What happened.
    pub change: AccountChange,
    /// Whose account.
    pub customer: Id,
    /// Which.
    pub account: Id,
}

/// Any event that a publisher can send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Best bid and ask.
    Quote(QuoteEvent),
    /// A trade between others.
    Trade(TradeEvent),
    /// Book update by order.
    BookOrder(BookOrderEvent),
    /// Book update by price level.
    BookLevel(BookLevelEvent),
    /// State of an own order.
    OwnOrder(OwnOrderEvent),
    /// Fill of an own order.
    OwnFill(OwnFillEvent),
    /// A payment to decide on.
    Transaction(TransactionEvent),
    /// What became known of a transaction.
    Label(LabelEvent),
    /// A change of an account.
    AccountUpdate(AccountUpdateEvent),
}

impl Event {
    /// When it happened. Unit: ns since the Unix epoch. Clock: the publisher's, or the venue's it relays.
    #[must_use]
    pub fn event_ns(&self) -> i64 {
        match self {
            Self::Quote(quote) => quote.event_ns,
            Self::Trade(trade) => trade.event_ns,
            Self::BookOrder(update) => update.event_ns,
            Self::BookLevel(update) => update.event_ns,
            Self::OwnOrder(order) => order.event_ns,
            Self::OwnFill(fill) => fill.event_ns,
            Self::Transaction(transaction) => transaction.event_ns,
            Self::Label(label) => label.event_ns,
            Self::AccountUpdate(update) => update.event_ns,
        }
    }

    /// The lane that takes it.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Transaction(_) | Self::Label(_) | Self::AccountUpdate(_) => Lane::Payment,
            _ => Lane::Market,
        }
    }

    /// The event of a frame with its stamp; `None` for a decision or a reject.
    ///
    /// Tags outside of a transaction's text are left out: an event does not hold them.
    #[must_use]
    pub fn of_frame(frame: &Frame<'_>) -> Option<(Stamp, Self)> {
        let header = frame.header();
        let event_ns = header.event_ns();
        let event = match frame {
            Frame::Quote(quote) => Self::Quote(quote_of(quote.hot(), event_ns)),
            Frame::Trade(trade) => Self::Trade(trade_of(trade.hot(), event_ns)),
            Frame::BookOrder(update) => Self::BookOrder(book_order_of(update.hot(), event_ns)),
            Frame::BookLevel(update) => Self::BookLevel(book_level_of(update.hot(), event_ns)),
            Frame::OwnOrder(order) => Self::OwnOrder(own_order_of(order.hot(), event_ns)),
            Frame::OwnFill(fill) => Self::OwnFill(own_fill_of(fill.hot(), event_ns)),
            Frame::Transaction(transaction) => Self::Transaction(transaction_of(transaction, event_ns)),
            Frame::Label(label) => Self::Label(label_of(label, event_ns)),
            Frame::AccountUpdate(update) => Self::AccountUpdate(account_update_of(update.hot(), event_ns)),
            Frame::Decision(_) | Frame::Reject(_) => return None,
        };
        let stamp = Stamp {
            publisher_id: header.publisher_id(),
            session: header.publisher_session(),
            sequence: header.publisher_sequence(),
            flags: header.flags(),
        };
        Some((stamp, event))
    }
}

fn quote_of(hot: &wire::QuoteHot, event_ns: i64) -> QuoteEvent {
    QuoteEvent {
        event_ns,
        instrument: hot.instrument().into(),
        bid_price: hot.bid_price(),
        bid_quantity: hot.bid_quantity(),
        ask_price: hot.ask_price(),
        ask_quantity: hot.ask_quantity(),
        venue_sequence: hot.venue_sequence(),
    }
}

fn trade_of(hot: &wire::TradeHot, event_ns: i64) -> TradeEvent {
    TradeEvent {
        event_ns,
        instrument: hot.instrument().into(),
        price: hot.price(),
        quantity: hot.quantity(),
        trade_id: hot.trade_id(),
        venue_sequence: hot.venue_sequence(),
        aggressor: hot.aggressor(),
    }
}

fn book_order_of(hot: &wire::BookOrderHot, event_ns: i64) -> BookOrderEvent {
    BookOrderEvent {
        event_ns,
        instrument: hot.instrument().into(),
        order_id: hot.order_id(),
        price: hot.price(),
        quantity: hot.quantity(),
        venue_sequence: hot.venue_sequence(),
        action: hot.action(),
        side: hot.side(),
    }
}

fn book_level_of(hot: &wire::BookLevelHot, event_ns: i64) -> BookLevelEvent {
    BookLevelEvent {
        event_ns,
        instrument: hot.instrument().into(),
        price: hot.price(),
        quantity: hot.quantity(),
        venue_sequence: hot.venue_sequence(),
        order_count: hot.order_count(),
        side: hot.side(),
        action: hot.action(),
    }
}

fn own_order_of(hot: &wire::OwnOrderHot, event_ns: i64) -> OwnOrderEvent {
    OwnOrderEvent {
        event_ns,
        instrument: hot.instrument().into(),
        order_id: hot.order_id(),
        price: hot.price(),
        quantity: hot.quantity(),
        leaves_quantity: hot.leaves_quantity(),
        side: hot.side(),
        state: hot.state(),
    }
}

fn own_fill_of(hot: &wire::OwnFillHot, event_ns: i64) -> OwnFillEvent {
    OwnFillEvent {
        event_ns,
        instrument: hot.instrument().into(),
        order_id: hot.order_id(),
        execution_id: hot.execution_id(),
        price: hot.price(),
        quantity: hot.quantity(),
        fee: hot.fee(),
        side: hot.side(),
        liquidity: hot.liquidity(),
    }
}

fn transaction_of(transaction: &wire::Transaction<'_>, event_ns: i64) -> TransactionEvent {
    let hot = transaction.hot();
    TransactionEvent {
        event_ns,
        amount_minor: hot.amount_minor(),
        currency: hot.currency(),
        merchant_category: hot.merchant_category(),
        channel: hot.channel(),
        transaction_id: hot.transaction_id().into(),
        customer: hot.customer().into(),
        terminal: hot.terminal().into(),
        card: name(transaction.card()),
        merchant: name(transaction.merchant()),
        device: name(transaction.device()),
        account: name(transaction.account()),
        outcome: hot.outcome(),
        text: transaction.text().map(|text| Box::new(text_of(&text))),
    }
}

fn text_of(text: &wire::TransactionText<'_>) -> TransactionText {
    let part = |part: Option<&str>| part.map(str::to_owned);
    let word = |part: Option<&str>| part.unwrap_or("").to_owned();
    let tags = text.tags().into_iter().flatten();
    TransactionText {
        merchant_name: part(text.merchant_name()),
        merchant_city: part(text.merchant_city()),
        merchant_country: part(text.merchant_country()),
        reference: part(text.reference()),
        tags: tags.map(|tag| (word(tag.key()), word(tag.value()))).collect(),
    }
}

fn label_of(label: &wire::Label<'_>, event_ns: i64) -> LabelEvent {
    let hot = label.hot();
    LabelEvent {
        event_ns,
        transaction_ns: hot.transaction_ns(),
        amount_minor: hot.amount_minor(),
        verdict: hot.verdict(),
        source: hot.source(),
        transaction_id: hot.transaction_id().into(),
        customer: hot.customer().into(),
        terminal: hot.terminal().into(),
        card: name(label.card()),
        merchant: name(label.merchant()),
        device: name(label.device()),
        account: name(label.account()),
    }
}

/// A name that may be left out of a frame.
fn name(id: Option<&wire::Id>) -> Id {
    id.map_or(Id::NONE, Id::from)
}

fn account_update_of(hot: &wire::AccountUpdateHot, event_ns: i64) -> AccountUpdateEvent {
    AccountUpdateEvent {
        event_ns,
        limit_minor: hot.limit_minor(),
        currency: hot.currency(),
        change: hot.change(),
        customer: hot.customer().into(),
        account: hot.account().into(),
    }
}
