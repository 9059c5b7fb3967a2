//! Which event changes what.
//!
//! | event | effect |
//! |---|---|
//! | quote | the top of an instrument without depth; an instrument with depth is not changed |
//! | trade | the last price |
//! | book level, `Modify` | sets the level |
//! | book level, `Clear` | empties the side, or both if none is named, and forgets its orders |
//! | book order, `Add` | a new order; one that is known is replaced, counted |
//! | book order, `Modify` | the order's price, quantity and side; one that is not known is added, counted |
//! | book order, `Cancel` | takes the quantity away; one that is not known is counted and left |
//! | book order, `Clear` | forgets all orders and levels of the instrument |
//! | book order, `None` or `Fill` | nothing: the venue sends the cancel or modify besides |
//! | own order, own fill | nothing |
//!
//! An instrument has depth from its first book update on. It is fed by order or by level; if both come, a
//! level is what was told last, and by-order changes add to it.
//!
//! Invariant: with no level or order dropped, a level of a by-order instrument is the sum of its orders.

use pinion_schemas::records::{MarketRecord, TopOfBook, market_kind};
use pinion_schemas::wire::{BookAction, Side};

use crate::config::BookConfig;
use crate::ladder::{Ladder, Level, Outcome, UNUSED};
use crate::orders::{NOWHERE, Order, Orders};

/// Levels that `imbalance_5` looks at.
const NEAR_LEVELS: usize = 5;

/// What was out of the ordinary, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Updates that named no side, an action that means nothing for their kind, or a negative quantity.
    pub ignored: u64,
    /// Events of an instrument past `instruments_max`: passed on with an empty book.
    pub unknown_instruments: u64,
    /// Book updates of an instrument past `depth_instruments_max`: left out.
    pub depth_refused: u64,
    /// Levels dropped because their side was full.
    pub levels_dropped: u64,
    /// Orders left out because the table was full.
    pub orders_refused: u64,
    /// Adds of an order that was open.
    pub orders_replaced: u64,
    /// Modifies and cancels of an order that was not open.
    pub orders_unknown: u64,
    /// Books left crossed or locked after the last frame of a venue message.
    pub crossed: u64,
}

/// What is known of one instrument.
#[derive(Clone, Copy)]
struct Instrument {
    /// Top quote: bid, ask.
    quote: [Level; 2],
    last_price: i64,
    /// Which pair of ladders is its own.
    depth: u32,
    /// Levels on each side.
    levels: [u32; 2],
    /// Its first open order.
    first_order: u32,
}

const NO_LEVEL: Level = Level {
    price: 0,
    quantity: 0,
};

const UNSEEN: Instrument = Instrument {
    quote: [NO_LEVEL; 2],
    last_price: 0,
    depth: NOWHERE,
    levels: [0; 2],
    first_order: NOWHERE,
};

const _: () = assert!(size_of::<Instrument>() <= 64);

/// A side's place in arrays of two.
const BID: usize = 0;
const ASK: usize = 1;

/// The books of all instruments.
pub struct Books {
    instruments: Vec<Instrument>,
    /// Two runs of `levels_max` per instrument with depth: bids, asks.
    levels: Vec<Level>,
    levels_max: usize,
    depth_used: u32,
    depth_max: u32,
    orders: Orders,
    tally: Tally,
}

impl Books {
    /// Empty books.
    ///
    /// Cost: takes and writes all memory, [`BookConfig::memory_len`] bytes.
    pub fn new(config: &BookConfig) -> Self {
        let levels_max = config.levels_max as usize;
        Self {
            instruments: vec![UNSEEN; config.instruments_max as usize],
            levels: vec![UNUSED; config.depth_instruments_max as usize * 2 * levels_max],
            levels_max,
            depth_used: 0,
            depth_max: config.depth_instruments_max,
            orders: Orders::new(config.orders_max),
            tally: Tally::default(),
        }
    }

    /// Applies one event and returns the top of its instrument's book after it, `booked_ns` not set.
    ///
    /// Cost: no heap call; a level that comes or goes moves the better ones; clearing a by-order book visits
    /// its orders.
    pub fn apply(&mut self, market: &MarketRecord) -> TopOfBook {
        if market.instrument as usize >= self.instruments.len() {
            self.tally.unknown_instruments += 1;
            return TopOfBook::default();
        }
        match market.origin.kind {
            market_kind::QUOTE => self.set_quote(market),
            market_kind::TRADE => self.instruments[market.instrument as usize].last_price = market.price,
            market_kind::BOOK_LEVEL => self.update_by_level(market),
            market_kind::BOOK_ORDER => self.update_by_order(market),
            _ => {}
        }
        let top = self.top(market.instrument);
        let is_complete = market.origin.frame_flags & 1 == 0;
        let is_two_sided = top.bid_quantity > 0 && top.ask_quantity > 0;
        self.tally.crossed += u64::from(is_complete && is_two_sided && top.bid_price >= top.ask_price);
        top
    }

    /// What was out of the ordinary so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Open orders.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Instruments that have depth.
    pub fn depth_used(&self) -> u32 {
        self.depth_used
    }

    /// The levels of one side, best last; none for an instrument without depth.
    pub fn side(&self, instrument: u32, is_bid: bool) -> &[Level] {
        let known = &self.instruments[instrument as usize];
        let side = side_index(is_bid);
        if known.depth == NOWHERE {
            return &[];
        }
        &self.levels[self.start(known.depth, side)..][..known.levels[side] as usize]
    }

    fn top(&self, instrument: u32) -> TopOfBook {
        let known = &self.instruments[instrument as usize];
        let (bids, asks) = match known.depth {
            NOWHERE => (quoted(&known.quote[BID]), quoted(&known.quote[ASK])),
            _ => (self.side(instrument, true), self.side(instrument, false)),
        };
        let (bid, ask) = (bids.last().unwrap_or(&NO_LEVEL), asks.last().unwrap_or(&NO_LEVEL));
        TopOfBook {
            bid_price: bid.price,
            bid_quantity: bid.quantity,
            ask_price: ask.price,
            ask_quantity: ask.quantity,
            last_price: known.last_price,
            booked_ns: 0,
            bid_levels: bids.len() as u32,
            ask_levels: asks.len() as u32,
            imbalance: imbalance(bids, asks, 1),
            imbalance_5: imbalance(bids, asks, NEAR_LEVELS),
        }
    }

    fn set_quote(&mut self, market: &MarketRecord) {
        let level = |price, quantity| {
            if quantity > 0 {
                Level { price, quantity }
            } else {
                NO_LEVEL
            }
        };
        self.instruments[market.instrument as usize].quote = [
            level(market.price, market.quantity),
            level(market.price_2, market.quantity_2),
        ];
    }

    fn update_by_level(&mut self, market: &MarketRecord) {
        if !self.has_depth(market.instrument) {
            return;
        }
        let is_bid = is_bid(market.side);
        match (BookAction(market.action), is_bid) {
            (BookAction::Modify, Some(is_bid)) if market.quantity >= 0 => {
                let outcome = self
                    .ladder(market.instrument, is_bid)
                    .set(market.price, market.quantity);
                self.count(outcome);
            }
            (BookAction::Clear, Some(is_bid)) => self.clear(market.instrument, is_bid),
            (BookAction::Clear, None) => self.clear_both(market.instrument),
            _ => self.tally.ignored += 1,
        }
    }

    fn update_by_order(&mut self, market: &MarketRecord) {
        if matches!(BookAction(market.action), BookAction::None | BookAction::Fill)
            || !self.has_depth(market.instrument)
        {
            return;
        }
        let node = self.orders.find(market.instrument, market.order_id);
        match (BookAction(market.action), is_bid(market.side)) {
            (BookAction::Clear, _) => self.clear_both(market.instrument),
            _ if market.quantity < 0 => self.tally.ignored += 1,
            (BookAction::Cancel, _) => self.cancel(market, node),
            (BookAction::Add, Some(is_bid)) => {
                self.tally.orders_replaced += u64::from(node.is_some());
                self.put(market, node, is_bid);
            }
            (BookAction::Modify, Some(is_bid)) => {
                self.tally.orders_unknown += u64::from(node.is_none());
                self.put(market, node, is_bid);
            }
            _ => self.tally.ignored += 1,
        }
    }

    /// Makes an order what the update says.
    fn put(&mut self, market: &MarketRecord, node: Option<u32>, is_bid: bool) {
        let &MarketRecord {
            instrument,
            order_id,
            price,
            quantity,
            ..
        } = market;
        if let Some(node) = node {
            let old = *self.orders.order(node);
            self.shift(instrument, old.is_bid, old.price, -old.quantity);
            if quantity == 0 {
                return self.forget(node, instrument);
            }
            self.orders.change(node, price, quantity, is_bid);
        } else if quantity > 0 {
            let order = Order {
                order_id,
                price,
                quantity,
                instrument,
                is_bid,
            };
            if !self
                .orders
                .insert(order, &mut self.instruments[instrument as usize].first_order)
            {
                self.tally.orders_refused += 1;
                return;
            }
        }
        self.shift(instrument, is_bid, price, quantity);
    }

    fn cancel(&mut self, market: &MarketRecord, node: Option<u32>) {
        let Some(node) = node else {
            self.tally.orders_unknown += 1;
            return;
        };
        let order = *self.orders.order(node);
        let taken = market.quantity.min(order.quantity);
        self.shift(order.instrument, order.is_bid, order.price, -taken);
        if taken == order.quantity {
            self.forget(node, order.instrument);
        } else {
            self.orders
                .change(node, order.price, order.quantity - taken, order.is_bid);
        }
    }

    fn forget(&mut self, node: u32, instrument: u32) {
        self.orders
            .remove(node, &mut self.instruments[instrument as usize].first_order);
    }

    /// Changes a level's quantity by `quantity`.
    fn shift(&mut self, instrument: u32, is_bid: bool, price: i64, quantity: i64) {
        let outcome = self.ladder(instrument, is_bid).add(price, quantity);
        self.count(outcome);
    }

    fn clear_both(&mut self, instrument: u32) {
        self.clear(instrument, true);
        self.clear(instrument, false);
    }

    /// Empties a side and forgets its orders.
    fn clear(&mut self, instrument: u32, is_bid: bool) {
        self.ladder(instrument, is_bid).clear();
        let mut node = self.instruments[instrument as usize].first_order;
        while node != NOWHERE {
            let next = self.orders.after_node(node);
            if self.orders.order(node).is_bid == is_bid {
                self.forget(node, instrument);
            }
            node = next;
        }
    }

    fn count(&mut self, outcome: Outcome) {
        self.tally.levels_dropped += u64::from(outcome == Outcome::Dropped);
    }

    /// Whether the instrument has ladders, now that it needs them.
    fn has_depth(&mut self, instrument: u32) -> bool {
        let known = &mut self.instruments[instrument as usize];
        if known.depth != NOWHERE {
            return true;
        }
        if self.depth_used == self.depth_max {
            self.tally.depth_refused += 1;
            return false;
        }
        known.depth = self.depth_used;
        self.depth_used += 1;
        true
    }

    /// One side of an instrument that has depth.
    fn ladder(&mut self, instrument: u32, is_bid: bool) -> Ladder<'_> {
        let side = side_index(is_bid);
        let start = self.start(self.instruments[instrument as usize].depth, side);
        Ladder {
            levels: &mut self.levels[start..start + self.levels_max],
            len: &mut self.instruments[instrument as usize].levels[side],
            is_bid,
        }
    }

    fn start(&self, depth: u32, side: usize) -> usize {
        (depth as usize * 2 + side) * self.levels_max
    }
}

fn side_index(is_bid: bool) -> usize {
    if is_bid { BID } else { ASK }
}

/// `None`: the update names no side.
fn is_bid(side: u8) -> Option<bool> {
    match Side(side) {
        Side::Bid => Some(true),
        Side::Ask => Some(false),
        _ => None,
    }
}

/// A quote's side as levels: one, or none if it has no quantity.
fn quoted(level: &Level) -> &[Level] {
    if level.quantity > 0 {
        std::slice::from_ref(level)
    } else {
        &[]
    }
}

/// (bids − asks) / (bids + asks) of the quantities over the `count` best levels; 0 if a side is empty.
fn imbalance(bids: &[Level], asks: &[Level], count: usize) -> f32 {
    if bids.is_empty() || asks.is_empty() {
        return 0.0;
    }
    let sum = |levels: &[Level]| -> f64 {
        levels
            .iter()
            .rev()
            .take(count)
            .map(|level| level.quantity as f64)
            .sum()
    };
    let (bids, asks) = (sum(bids), sum(asks));
    ((bids - asks) / (bids + asks)) as f32
}
