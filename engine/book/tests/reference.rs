//! The books against a reference of sorted maps that keeps everything.

use std::collections::{BTreeMap, HashMap};

use pinion_book::{BookConfig, Books};
use pinion_schemas::records::{MarketRecord, market_kind};
use pinion_schemas::wire::{BookAction, Side};
use proptest::prelude::*;

const INSTRUMENTS: u32 = 2;

fn config() -> BookConfig {
    BookConfig {
        instruments_max: INSTRUMENTS,
        depth_instruments_max: INSTRUMENTS,
        levels_max: 16,
        orders_max: 512,
        ..BookConfig::default()
    }
}

/// Levels per side and open orders of one instrument.
#[derive(Default)]
struct Reference {
    levels: [BTreeMap<i64, i64>; 2],
    orders: HashMap<u64, (usize, i64, i64)>,
}

impl Reference {
    fn apply(&mut self, market: &MarketRecord) {
        match (market.origin.kind, BookAction(market.action), Side(market.side)) {
            (market_kind::BOOK_LEVEL, BookAction::Modify, Side::Bid | Side::Ask) => {
                self.levels[side(market)].insert(market.price, market.quantity);
            }
            (market_kind::BOOK_LEVEL, BookAction::Clear, Side::Bid | Side::Ask) => {
                self.levels[side(market)].clear();
            }
            (market_kind::BOOK_LEVEL | market_kind::BOOK_ORDER, BookAction::Clear, _) => {
                *self = Self::default()
            }
            (market_kind::BOOK_ORDER, BookAction::Add | BookAction::Modify, _) => {
                let order = (side(market), market.price, market.quantity);
                self.orders.insert(market.order_id, order);
            }
            (market_kind::BOOK_ORDER, BookAction::Cancel, _) => {
                if let Some(order) = self.orders.get_mut(&market.order_id) {
                    order.2 -= market.quantity;
                }
            }
            _ => {}
        }
        self.orders.retain(|_, order| order.2 > 0);
        if market.origin.kind == market_kind::BOOK_ORDER {
            self.levels = Default::default();
            for (side, price, quantity) in self.orders.values() {
                *self.levels[*side].entry(*price).or_default() += quantity;
            }
        }
        self.levels
            .iter_mut()
            .for_each(|side| side.retain(|_, quantity| *quantity > 0));
    }

    /// Best last.
    fn side(&self, is_bid: bool) -> Vec<(i64, i64)> {
        let levels = self.levels[usize::from(!is_bid)]
            .iter()
            .map(|(price, quantity)| (*price, *quantity));
        if is_bid {
            levels.collect()
        } else {
            levels.rev().collect()
        }
    }

    fn imbalance(&self, count: usize) -> f32 {
        let sum =
            |side: Vec<(i64, i64)>| side.iter().rev().take(count).map(|level| level.1).sum::<i64>() as f64;
        let (bids, asks) = (sum(self.side(true)), sum(self.side(false)));
        if bids == 0.0 || asks == 0.0 {
            0.0
        } else {
            ((bids - asks) / (bids + asks)) as f32
        }
    }
}

fn side(market: &MarketRecord) -> usize {
    usize::from(Side(market.side) == Side::Ask)
}

/// An event of one kind of feed; quotes, trades and one's own orders come between.
fn event(kind: u8) -> impl Strategy<Value = MarketRecord> {
    let kind = prop_oneof![
        12 => Just(kind),
        1 => Just(market_kind::TRADE),
        1 => Just(market_kind::QUOTE),
        1 => Just(market_kind::OWN_FILL),
    ];
    let actions = [
        BookAction::Add,
        BookAction::Modify,
        BookAction::Cancel,
        BookAction::Fill,
        BookAction::None,
    ];
    let action = prop_oneof![40 => prop::sample::select(actions.to_vec()), 1 => Just(BookAction::Clear)];
    let by = (0..INSTRUMENTS, 1_u64..40, 1_u8..3);
    (kind, action, by, 1_i64..13, 0_i64..6).prop_map(
        |(kind, action, (instrument, order_id, side), price, quantity)| {
            let mut market = MarketRecord {
                instrument,
                order_id,
                side,
                price,
                quantity,
                ..MarketRecord::default()
            };
            market.price_2 = price + 1;
            market.quantity_2 = quantity;
            market.origin.kind = kind;
            market.action = action.0;
            market
        },
    )
}

fn check(events: &[MarketRecord]) -> Result<(), TestCaseError> {
    let mut books = Books::new(&config());
    let mut references: Vec<Reference> = (0..INSTRUMENTS).map(|_| Reference::default()).collect();
    let mut last_prices = [0; INSTRUMENTS as usize];
    let mut has_depth = [false; INSTRUMENTS as usize];
    for market in events {
        let index = market.instrument as usize;
        references[index].apply(market);
        let is_update = !matches!(BookAction(market.action), BookAction::None | BookAction::Fill);
        has_depth[index] |= market.origin.kind == market_kind::BOOK_LEVEL
            || market.origin.kind == market_kind::BOOK_ORDER && is_update;
        if market.origin.kind == market_kind::TRADE {
            last_prices[index] = market.price;
        }
        let top = books.apply(market);
        prop_assert_eq!(top.last_price, last_prices[index]);
        for is_bid in [true, false] {
            let found: Vec<_> = books
                .side(market.instrument, is_bid)
                .iter()
                .map(|level| (level.price, level.quantity))
                .collect();
            prop_assert_eq!(found, references[index].side(is_bid));
        }
        if has_depth[index] {
            let bid = references[index].side(true).last().copied().unwrap_or_default();
            let ask = references[index].side(false).last().copied().unwrap_or_default();
            prop_assert_eq!((top.bid_price, top.bid_quantity), bid);
            prop_assert_eq!((top.ask_price, top.ask_quantity), ask);
            prop_assert_eq!(top.imbalance, references[index].imbalance(1));
            prop_assert_eq!(top.imbalance_5, references[index].imbalance(5));
        }
    }
    let open: usize = references.iter().map(|reference| reference.orders.len()).sum();
    prop_assert_eq!(books.orders().len() as usize, open);
    prop_assert_eq!(books.tally().levels_dropped, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_book_by_order_equals_the_reference(events in prop::collection::vec(event(market_kind::BOOK_ORDER), 1..300)) {
        check(&events)?;
    }

    #[test]
    fn prop_book_by_level_equals_the_reference(events in prop::collection::vec(event(market_kind::BOOK_LEVEL), 1..300)) {
        check(&events)?;
    }

    /// Any bytes in the fields, tables too small: nothing breaks, sides stay sorted and positive.
    #[test]
    fn prop_any_record_leaves_a_sorted_book(
        records in prop::collection::vec((any::<[u8; 5]>(), any::<[i64; 4]>(), any::<bool>()), 1..400),
    ) {
        let mut books = Books::new(&BookConfig { orders_max: 8, depth_instruments_max: 1, ..config() });
        for ([kind, action, side, instrument, order], [price, quantity, price_2, quantity_2], is_wild) in records {
            let near = |value: i64| if is_wild { value } else { value.rem_euclid(64) };
            let mut market = MarketRecord {
                price: near(price),
                quantity: near(quantity),
                price_2,
                quantity_2,
                order_id: u64::from(order % 16),
                instrument: u32::from(instrument % 4),
                side: side % 4,
                action: action % 7,
                ..MarketRecord::default()
            };
            market.origin.kind = kind % 8;
            let top = books.apply(&market);
            prop_assert!(top.imbalance.abs() <= 1.0 && top.imbalance_5.abs() <= 1.0);
            for instrument in 0..INSTRUMENTS {
                let (bids, asks) = (books.side(instrument, true), books.side(instrument, false));
                prop_assert!(bids.windows(2).all(|pair| pair[0].price < pair[1].price));
                prop_assert!(asks.windows(2).all(|pair| pair[0].price > pair[1].price));
                prop_assert!(bids.iter().chain(asks).all(|level| level.quantity > 0));
            }
        }
    }
}

fn market(kind: u8, action: BookAction, side: Side, price: i64, quantity: i64) -> MarketRecord {
    let mut market = MarketRecord {
        price,
        quantity,
        side: side.0,
        action: action.0,
        ..MarketRecord::default()
    };
    market.origin.kind = kind;
    market
}

#[test]
fn quotes_are_the_top_until_depth_is_seen() {
    let mut books = Books::new(&config());
    let mut quote = market(market_kind::QUOTE, BookAction::None, Side::None, 100, 30);
    (quote.price_2, quote.quantity_2) = (101, 10);
    let top = books.apply(&quote);
    assert_eq!(
        (top.bid_price, top.ask_price, top.bid_levels, top.imbalance_5),
        (100, 101, 1, 0.5)
    );
    let top = books.apply(&market(
        market_kind::BOOK_LEVEL,
        BookAction::Modify,
        Side::Bid,
        99,
        5,
    ));
    assert_eq!((top.bid_price, top.ask_quantity), (99, 0));
    assert_eq!(books.apply(&quote).bid_price, 99);
}

#[test]
fn full_order_table_leaves_orders_out_and_counts_them() {
    let mut books = Books::new(&BookConfig {
        orders_max: 1,
        ..config()
    });
    let mut order = market(market_kind::BOOK_ORDER, BookAction::Add, Side::Bid, 100, 5);
    order.order_id = 1;
    assert_eq!(books.apply(&order).bid_quantity, 5);
    order.order_id = 2;
    assert_eq!(books.apply(&order).bid_quantity, 5);
    assert_eq!(books.tally().orders_refused, 1);
    order.action = BookAction::Cancel.0;
    assert_eq!(books.apply(&order).bid_quantity, 5);
    assert_eq!(books.tally().orders_unknown, 1);
}

#[test]
fn crossed_book_is_counted_once_the_venue_message_is_complete() {
    let mut books = Books::new(&config());
    books.apply(&market(
        market_kind::BOOK_LEVEL,
        BookAction::Modify,
        Side::Ask,
        100,
        5,
    ));
    let mut bid = market(market_kind::BOOK_LEVEL, BookAction::Modify, Side::Bid, 101, 5);
    bid.origin.frame_flags = 1;
    books.apply(&bid);
    assert_eq!(books.tally().crossed, 0);
    bid.origin.frame_flags = 0;
    books.apply(&bid);
    assert_eq!(books.tally().crossed, 1);
}
