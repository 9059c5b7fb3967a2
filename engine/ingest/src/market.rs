//! Reads market frames: what is checked of them, and the record they become.
//!
//! Invariant: [`check`] looks at every field that has a range, [`fill`] writes every byte of the record that
//! does not stand in its origin.

use pinion_schemas::ids::Id;
use pinion_schemas::records::{MarketRecord, Origin, market_kind};
use pinion_schemas::wire::{BookAction, Frame, Liquidity, OrderState, Side};

use crate::refusal::{Field, Refusal, at_most, not_negative, present_name};

/// What ingest must know of a market frame before it accepts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: u8,
    pub(crate) instrument: Id,
}

/// Checks the fields of a market frame; `None` if it is of another lane.
///
/// Cost: a few comparisons and one scan over the 36 bytes of the instrument.
pub(crate) fn check(frame: &Frame<'_>) -> Option<Result<Facts, Refusal>> {
    let (kind, checked, instrument) = match frame {
        Frame::Quote(quote) => {
            let hot = quote.hot();
            let quantities = [hot.bid_quantity(), hot.ask_quantity()];
            (
                market_kind::QUOTE,
                check_quantities(&quantities),
                hot.instrument().0,
            )
        }
        Frame::Trade(trade) => {
            let hot = trade.hot();
            let checked = check_quantities(&[hot.quantity()]).and_then(|()| check_side(hot.aggressor()));
            (market_kind::TRADE, checked, hot.instrument().0)
        }
        Frame::BookOrder(update) => {
            let hot = update.hot();
            let checked = check_update(hot.quantity(), hot.side(), hot.action());
            (market_kind::BOOK_ORDER, checked, hot.instrument().0)
        }
        Frame::BookLevel(update) => {
            let hot = update.hot();
            let checked = check_update(hot.quantity(), hot.side(), hot.action());
            (market_kind::BOOK_LEVEL, checked, hot.instrument().0)
        }
        Frame::OwnOrder(order) => {
            let hot = order.hot();
            let checked = check_quantities(&[hot.quantity(), hot.leaves_quantity()])
                .and_then(|()| check_side(hot.side()))
                .and_then(|()| at_most(Field::State, hot.state().0, OrderState::ENUM_MAX));
            (market_kind::OWN_ORDER, checked, hot.instrument().0)
        }
        Frame::OwnFill(fill) => {
            let hot = fill.hot();
            let checked = check_quantities(&[hot.quantity()])
                .and_then(|()| check_side(hot.side()))
                .and_then(|()| at_most(Field::Liquidity, hot.liquidity().0, Liquidity::ENUM_MAX));
            (market_kind::OWN_FILL, checked, hot.instrument().0)
        }
        _ => return None,
    };
    let facts = Facts {
        kind,
        instrument: Id(instrument),
    };
    Some(
        checked
            .and_then(|()| present_name(Field::Instrument, &facts.instrument))
            .map(|()| facts),
    )
}

/// Writes the record of a frame that was checked, in its place in the ring.
pub(crate) fn fill(record: &mut MarketRecord, frame: &Frame<'_>, origin: Origin, instrument: u32) {
    let blank = MarketRecord {
        origin,
        instrument,
        ..MarketRecord::default()
    };
    *record = match frame {
        Frame::Quote(quote) => {
            let hot = quote.hot();
            MarketRecord {
                price: hot.bid_price(),
                quantity: hot.bid_quantity(),
                price_2: hot.ask_price(),
                quantity_2: hot.ask_quantity(),
                venue_sequence: hot.venue_sequence(),
                ..blank
            }
        }
        Frame::Trade(trade) => {
            let hot = trade.hot();
            MarketRecord {
                price: hot.price(),
                quantity: hot.quantity(),
                order_id: hot.trade_id(),
                venue_sequence: hot.venue_sequence(),
                side: hot.aggressor().0,
                ..blank
            }
        }
        Frame::BookOrder(update) => {
            let hot = update.hot();
            MarketRecord {
                price: hot.price(),
                quantity: hot.quantity(),
                order_id: hot.order_id(),
                venue_sequence: hot.venue_sequence(),
                side: hot.side().0,
                action: hot.action().0,
                ..blank
            }
        }
        Frame::BookLevel(update) => {
            let hot = update.hot();
            MarketRecord {
                price: hot.price(),
                quantity: hot.quantity(),
                venue_sequence: hot.venue_sequence(),
                order_count: hot.order_count(),
                side: hot.side().0,
                action: hot.action().0,
                ..blank
            }
        }
        _ => own(frame, blank),
    };
}

/// The record of a frame about an own order.
fn own(frame: &Frame<'_>, blank: MarketRecord) -> MarketRecord {
    match frame {
        Frame::OwnOrder(order) => {
            let hot = order.hot();
            MarketRecord {
                price: hot.price(),
                quantity: hot.quantity(),
                quantity_2: hot.leaves_quantity(),
                order_id: hot.order_id(),
                side: hot.side().0,
                action: hot.state().0,
                ..blank
            }
        }
        Frame::OwnFill(fill) => {
            let hot = fill.hot();
            MarketRecord {
                price: hot.price(),
                quantity: hot.quantity(),
                price_2: hot.fee(),
                order_id: hot.order_id(),
                venue_sequence: hot.execution_id(),
                side: hot.side().0,
                action: hot.liquidity().0,
                ..blank
            }
        }
        _ => unreachable!("a frame of another lane does not pass the check"),
    }
}

fn check_quantities(quantities: &[i64]) -> Result<(), Refusal> {
    quantities
        .iter()
        .try_for_each(|&quantity| not_negative(Field::Quantity, quantity))
}

fn check_side(side: Side) -> Result<(), Refusal> {
    at_most(Field::Side, side.0, Side::ENUM_MAX)
}

fn check_update(quantity: i64, side: Side, action: BookAction) -> Result<(), Refusal> {
    not_negative(Field::Quantity, quantity)?;
    check_side(side)?;
    at_most(Field::Action, action.0, BookAction::ENUM_MAX)
}
