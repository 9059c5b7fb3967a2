//! Straightforward order books to compare the engine's with: sorted maps, no bounds, nothing clever.
//!
//! One [`ReferenceBook`] follows one instrument, by order or by price level. It says of every event whether it
//! fitted, and can tell at any time whether the book is crossed.
//!
//! Invariant: a level's quantity is the sum of its orders' quantities; no level is empty.

use std::collections::{BTreeMap, HashMap};

use pinion_schemas::encode::{BookLevelEvent, BookOrderEvent, Event};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};

/// How an event went with the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The book changed, or the event never changes a book.
    Yes,
    /// A cancel or modify of an order that is not open.
    UnknownOrder,
    /// An add of an order that is open already.
    DuplicateOrder,
    /// The action has no meaning for this kind of event, or the side is missing.
    Meaningless,
}

#[derive(Clone, Copy, Debug)]
struct RestingOrder {
    side: Side,
    price: i64,
    quantity: i64,
}

/// The book of one instrument. Prices and quantities as on the wire.
#[derive(Clone, Debug, Default)]
pub struct ReferenceBook {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    orders: HashMap<u64, RestingOrder>,
}

impl ReferenceBook {
    /// Applies an update by order.
    pub fn apply_order(&mut self, event: &BookOrderEvent) -> Applied {
        match event.action {
            BookAction::None | BookAction::Fill => Applied::Yes,
            BookAction::Clear => {
                *self = Self::default();
                Applied::Yes
            }
            BookAction::Add => self.add(event),
            BookAction::Modify => self.modify(event),
            BookAction::Cancel => self.cancel(event),
            _ => Applied::Meaningless,
        }
    }

    /// Applies an update by price level.
    pub fn apply_level(&mut self, event: &BookLevelEvent) -> Applied {
        match (event.action, event.side) {
            (BookAction::Clear, Side::None) => *self = Self::default(),
            (BookAction::Clear, Side::Bid) => self.bids.clear(),
            (BookAction::Clear, Side::Ask) => self.asks.clear(),
            (BookAction::Modify, Side::Bid) => set_level(&mut self.bids, event.price, event.quantity),
            (BookAction::Modify, Side::Ask) => set_level(&mut self.asks, event.price, event.quantity),
            _ => return Applied::Meaningless,
        }
        Applied::Yes
    }

    /// Price and quantity of the best bid.
    pub fn best_bid(&self) -> Option<(i64, i64)> {
        self.bids
            .last_key_value()
            .map(|(price, quantity)| (*price, *quantity))
    }

    /// Price and quantity of the best ask.
    pub fn best_ask(&self) -> Option<(i64, i64)> {
        self.asks
            .first_key_value()
            .map(|(price, quantity)| (*price, *quantity))
    }

    /// Whether the best bid is above the best ask.
    pub fn is_crossed(&self) -> bool {
        matches!((self.best_bid(), self.best_ask()), (Some((bid, _)), Some((ask, _))) if bid > ask)
    }

    /// Whether the best bid and the best ask are the same price.
    pub fn is_locked(&self) -> bool {
        matches!((self.best_bid(), self.best_ask()), (Some((bid, _)), Some((ask, _))) if bid == ask)
    }

    /// The bid levels, best first.
    pub fn bids(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.bids
            .iter()
            .rev()
            .map(|(price, quantity)| (*price, *quantity))
    }

    /// The ask levels, best first.
    pub fn asks(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.asks.iter().map(|(price, quantity)| (*price, *quantity))
    }

    /// Open orders; 0 of a book that is kept by price level.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    fn add(&mut self, event: &BookOrderEvent) -> Applied {
        if event.side == Side::None {
            return Applied::Meaningless;
        }
        if self.orders.contains_key(&event.order_id) {
            return Applied::DuplicateOrder;
        }
        self.insert(event);
        Applied::Yes
    }

    fn modify(&mut self, event: &BookOrderEvent) -> Applied {
        let Some(old) = self.orders.remove(&event.order_id) else {
            return Applied::UnknownOrder;
        };
        self.change_level(old.side, old.price, -old.quantity);
        if event.quantity > 0 {
            self.insert(event);
        }
        Applied::Yes
    }

    fn cancel(&mut self, event: &BookOrderEvent) -> Applied {
        let Some(order) = self.orders.get_mut(&event.order_id) else {
            return Applied::UnknownOrder;
        };
        let taken = event.quantity.min(order.quantity);
        order.quantity -= taken;
        let order = *order;
        if order.quantity == 0 {
            self.orders.remove(&event.order_id);
        }
        self.change_level(order.side, order.price, -taken);
        Applied::Yes
    }

    fn insert(&mut self, event: &BookOrderEvent) {
        let order = RestingOrder {
            side: event.side,
            price: event.price,
            quantity: event.quantity,
        };
        self.orders.insert(event.order_id, order);
        self.change_level(order.side, order.price, order.quantity);
    }

    fn change_level(&mut self, side: Side, price: i64, change: i64) {
        let levels = if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        };
        let quantity = levels.get(&price).copied().unwrap_or(0) + change;
        set_level(levels, price, quantity);
    }
}

fn set_level(levels: &mut BTreeMap<i64, i64>, price: i64, quantity: i64) {
    if quantity > 0 {
        levels.insert(price, quantity);
    } else {
        levels.remove(&price);
    }
}

/// The books of many instruments.
#[derive(Clone, Debug, Default)]
pub struct ReferenceBooks {
    books: BTreeMap<Id, ReferenceBook>,
}

impl ReferenceBooks {
    /// Applies an event to its instrument's book and gives the book back; `None` if the event changes no book.
    pub fn apply(&mut self, event: &Event) -> Option<(Applied, &ReferenceBook)> {
        match event {
            Event::BookOrder(event) => {
                let book = self.books.entry(event.instrument).or_default();
                Some((book.apply_order(event), book))
            }
            Event::BookLevel(event) => {
                let book = self.books.entry(event.instrument).or_default();
                Some((book.apply_level(event), book))
            }
            _ => None,
        }
    }

    /// The book of an instrument, once it had an event.
    pub fn book(&self, instrument: Id) -> Option<&ReferenceBook> {
        self.books.get(&instrument)
    }

    /// The instruments and their books in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &ReferenceBook)> + '_ {
        self.books.iter().map(|(instrument, book)| (*instrument, book))
    }
}
