//! A market day, order by order, of several instruments: orders of no intelligence around a mid that wanders.
//!
//! ```text
//!   opening: Clear and the resting orders, as a snapshot
//!   then, at random times, of a random instrument one venue message:
//!     add ──▶ BookOrder add          cancel ──▶ BookOrder cancel          modify ──▶ BookOrder modify
//!     market order ──▶ Trade, then per resting order: fill, and its cancel or modify
//! ```
//!
//! Adds rest a few ticks from the wandering mid and never reach the other side's best price; market orders take
//! from the best level only. Distances and sizes are exponential, so most of the book is near its top. Instrument
//! `n` trades about `1 / n` as often as the first.
//!
//! Invariants: no cancel, modify or fill of an order that is not open; after the last frame of a venue message
//! the book is not crossed; times never step back; the events are a function of the configuration.

use std::collections::VecDeque;

use pinion_schemas::encode::{BookOrderEvent, Event, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};
use serde::{Deserialize, Serialize};

use super::book::{GeneratedBook, Order};
use super::error::{GenerateError, require};
use super::random::Random;
use crate::import::ImportError;
use crate::import::source::{EventSource, FLAG_SNAPSHOT, SourceEvent, Tally, mark_message};
use crate::import::time::{SECOND_NS, parse_time};

/// Prices of an instrument's first mid. Unit: ticks.
const FIRST_MID_TICKS: (u64, u64) = (2_000, 50_000);

/// The mid never falls below this. Unit: ticks.
const MID_TICKS_MIN: f64 = 500.0;

/// How far the mid wanders per venue message of its instrument: the standard deviation. Unit: ticks.
const WANDER_TICKS: f64 = 0.15;

/// Mean distance of an add from the wandering mid, and mean size. Unit: ticks, lots.
const DISTANCE_TICKS_MEAN: f64 = 6.0;
const SIZE_LOTS_MEAN: f64 = 8.0;

/// Orders that rest at the opening, on each side.
const OPENING_ORDERS: u32 = 50;

/// Fewer open orders than this, and nothing is cancelled or executed.
const OPEN_MIN: usize = 40;

/// More open orders than this, and nothing is added.
const OPEN_MAX: usize = 2_000;

/// What is generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarketConfig {
    /// Every random number follows from it.
    pub seed: u64,
    /// Instruments, named `PNA`, `PNB` and so on. 1 to 1,000.
    pub instruments: u32,
    /// Events, the opening included; the venue message that reaches it is finished. 1 to 10,000,000,000.
    pub events: u64,
    /// Time of the opening, as `2024-03-01T14:30:00Z`.
    pub start_time: String,
    /// How long the day lasts. Unit: seconds. 1 to 604,800.
    pub duration_s: u32,
    /// Smallest step of a price. Unit: 1e-9 of the quote currency. 1 to 1,000,000,000,000.
    pub tick: i64,
    /// Smallest step of a quantity. Unit: 1e-9 of the instrument's unit. 1 to 1,000,000,000,000.
    pub lot: i64,
}

impl Default for MarketConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            instruments: 4,
            events: 1_000_000,
            start_time: "2024-03-01T14:30:00Z".to_owned(),
            duration_s: 23_400,
            tick: 10_000_000,
            lot: 1_000_000_000,
        }
    }
}

impl MarketConfig {
    /// Refuses what cannot be generated, naming the key.
    pub fn validate(&self) -> Result<(), GenerateError> {
        const STEP: &str = "1 to 1000000000000";
        const STEPS: std::ops::RangeInclusive<i64> = 1..=1_000_000_000_000;
        require(
            (1..=1_000).contains(&self.instruments),
            "market.instruments",
            self.instruments,
            "1 to 1000",
        )?;
        let is_count = (1..=10_000_000_000).contains(&self.events);
        require(is_count, "market.events", self.events, "1 to 10000000000")?;
        let time = &self.start_time;
        require(
            parse_time(time).is_some(),
            "market.start_time",
            time,
            "a time like 2024-03-01T14:30:00Z",
        )?;
        let is_duration = (1..=604_800).contains(&self.duration_s);
        require(is_duration, "market.duration_s", self.duration_s, "1 to 604800")?;
        require(STEPS.contains(&self.tick), "market.tick", self.tick, STEP)?;
        require(STEPS.contains(&self.lot), "market.lot", self.lot, STEP)
    }
}

/// Generates the day one venue message after another.
pub struct MarketGenerator {
    config: MarketConfig,
    instruments: Vec<Instrument>,
    arrivals: Random,
    /// Sums of the instruments' shares of the messages.
    share_sums: Vec<f64>,
    now_ns: i64,
    end_ns: i64,
    opened: usize,
    event_count: u64,
    queue: VecDeque<SourceEvent>,
    tally: Tally,
}

struct Instrument {
    name: Id,
    random: Random,
    book: GeneratedBook,
    mid_ticks: f64,
    tick: i64,
    lot: i64,
    last_order_id: u64,
    last_trade_id: u64,
    venue_sequence: u64,
}

impl MarketGenerator {
    /// Errors: a parameter is out of its range.
    pub fn new(config: MarketConfig) -> Result<Self, GenerateError> {
        config.validate()?;
        let start_ns = parse_time(&config.start_time).unwrap_or(0);
        let mut share_sum = 0.0;
        let shares = (1..=config.instruments).map(|rank| {
            share_sum += 1.0 / f64::from(rank);
            share_sum
        });
        Ok(Self {
            share_sums: shares.collect(),
            instruments: (0..config.instruments)
                .map(|index| Instrument::new(&config, index))
                .collect(),
            arrivals: Random::new(config.seed, *b"arrivals", 0),
            now_ns: start_ns,
            end_ns: start_ns.saturating_add(i64::from(config.duration_s) * SECOND_NS),
            opened: 0,
            event_count: 0,
            queue: VecDeque::new(),
            tally: Tally::default(),
            config,
        })
    }

    /// The next event, `None` at the end of the day.
    pub fn next_event(&mut self) -> Option<SourceEvent> {
        if self.queue.is_empty() && self.event_count < self.config.events {
            self.generate_message();
        }
        let event = self.queue.pop_front();
        self.tally.events += u64::from(event.is_some());
        event
    }

    fn generate_message(&mut self) {
        if let Some(instrument) = self.instruments.get_mut(self.opened) {
            instrument.open(self.now_ns, &mut self.queue);
            self.opened += 1;
        } else {
            self.advance_time();
            let share = self
                .arrivals
                .uniform(0.0, self.share_sums[self.share_sums.len() - 1]);
            let index = self.share_sums.partition_point(|sum| *sum <= share);
            self.instruments[index].send_message(self.now_ns, &mut self.queue);
        }
        mark_message(&mut self.queue, 0);
        self.event_count += self.queue.len() as u64;
        self.tally.records += 1;
    }

    /// Spreads what is left of the events over what is left of the day, at random.
    fn advance_time(&mut self) {
        let left_ns = (self.end_ns - self.now_ns) as f64;
        let left_events = (self.config.events - self.event_count) as f64;
        let gap_ns = self.arrivals.exponential(left_ns / left_events);
        self.now_ns = (self.now_ns + gap_ns as i64).min(self.end_ns);
    }
}

impl Instrument {
    fn new(config: &MarketConfig, index: u32) -> Self {
        let mut random = Random::new(config.seed, *b"instrum\0", index.into());
        let (low, high) = FIRST_MID_TICKS;
        let mid_ticks = (low + random.below(high - low)) as f64;
        Self {
            name: Id::new(&instrument_name(index)).unwrap_or(Id::NONE),
            random,
            book: GeneratedBook::default(),
            mid_ticks,
            tick: config.tick,
            lot: config.lot,
            last_order_id: 0,
            last_trade_id: 0,
            venue_sequence: 0,
        }
    }

    /// The opening snapshot.
    fn open(&mut self, now_ns: i64, out: &mut VecDeque<SourceEvent>) {
        self.venue_sequence += 1;
        let nothing = Order {
            order_id: 0,
            side: Side::None,
            tick: 0,
            lots: 0,
        };
        out.push_back(self.book_event(now_ns, BookAction::Clear, nothing));
        for _ in 0..OPENING_ORDERS {
            self.add(now_ns, Side::Bid, out);
            self.add(now_ns, Side::Ask, out);
        }
        out.iter_mut().for_each(|event| event.flags |= FLAG_SNAPSHOT);
    }

    fn send_message(&mut self, now_ns: i64, out: &mut VecDeque<SourceEvent>) {
        self.venue_sequence += 1;
        self.mid_ticks = (self.mid_ticks + self.random.normal(0.0, WANDER_TICKS)).max(MID_TICKS_MIN);
        let side = if self.random.chance(0.5) {
            Side::Bid
        } else {
            Side::Ask
        };
        let kind = self.random.unit();
        let open_count = self.book.open_count();
        if open_count < OPEN_MIN || (kind < 0.48 && open_count < OPEN_MAX) {
            self.add(now_ns, side, out);
        } else if kind < 0.82 {
            self.cancel(now_ns, out);
        } else if kind < 0.90 {
            self.modify(now_ns, out);
        } else {
            self.execute(now_ns, side, out);
        }
    }

    fn add(&mut self, now_ns: i64, side: Side, out: &mut VecDeque<SourceEvent>) {
        self.last_order_id += 1;
        let order = Order {
            order_id: self.last_order_id,
            side,
            tick: self.draw_tick(side),
            lots: self.draw_lots(),
        };
        self.book.add(order);
        out.push_back(self.book_event(now_ns, BookAction::Add, order));
    }

    /// A whole order, or with one chance in five half of it.
    fn cancel(&mut self, now_ns: i64, out: &mut VecDeque<SourceEvent>) {
        let order = self.draw_open();
        let is_part = self.random.chance(0.2) && order.lots > 1;
        let lots = if is_part { order.lots / 2 } else { order.lots };
        if is_part {
            self.book.set_lots(order.order_id, order.lots - lots);
        } else {
            self.book.remove(order.order_id);
        }
        out.push_back(self.book_event(now_ns, BookAction::Cancel, Order { lots, ..order }));
    }

    /// Another price and quantity: the order goes to the end of its queue.
    fn modify(&mut self, now_ns: i64, out: &mut VecDeque<SourceEvent>) {
        let old = self.draw_open();
        self.book.remove(old.order_id);
        let order = Order {
            tick: self.draw_tick(old.side),
            lots: self.draw_lots(),
            ..old
        };
        self.book.add(order);
        out.push_back(self.book_event(now_ns, BookAction::Modify, order));
    }

    /// A market order of `side`.
    fn execute(&mut self, now_ns: i64, side: Side, out: &mut VecDeque<SourceEvent>) {
        let resting_side = if side == Side::Bid { Side::Ask } else { Side::Bid };
        let lots = self.draw_lots();
        let executions = self.book.execute_best(resting_side, lots);
        let Some(first) = executions.first() else {
            return self.add(now_ns, side, out);
        };
        let executed = executions.iter().map(|execution| execution.lots).sum();
        out.push_back(self.trade(now_ns, side, first.order.tick, executed));
        for execution in executions {
            let order = execution.order;
            out.push_back(self.book_event(
                now_ns,
                BookAction::Fill,
                Order {
                    lots: execution.lots,
                    ..order
                },
            ));
            let left = order.lots - execution.lots;
            let (action, lots) = if left == 0 {
                (BookAction::Cancel, order.lots)
            } else {
                (BookAction::Modify, left)
            };
            out.push_back(self.book_event(now_ns, action, Order { lots, ..order }));
        }
    }

    fn draw_open(&mut self) -> Order {
        let place = self.random.index(self.book.open_count());
        self.book.open_order(place)
    }

    /// A price on the given side of the mid that does not reach the other side's best.
    fn draw_tick(&mut self, side: Side) -> i64 {
        let distance = self.random.exponential(DISTANCE_TICKS_MEAN) as i64;
        let mid = self.mid_ticks as i64;
        if side == Side::Bid {
            let highest = self.book.best_ask().map_or(i64::MAX, |ask| ask - 1);
            (mid - distance).min(highest).max(1)
        } else {
            let lowest = self.book.best_bid().map_or(1, |bid| bid + 1);
            (mid + 1 + distance).max(lowest)
        }
    }

    fn draw_lots(&mut self) -> i64 {
        1 + self.random.exponential(SIZE_LOTS_MEAN) as i64
    }

    fn book_event(&self, event_ns: i64, action: BookAction, order: Order) -> SourceEvent {
        let event = BookOrderEvent {
            event_ns,
            instrument: self.name,
            order_id: order.order_id,
            price: order.tick * self.tick,
            quantity: order.lots * self.lot,
            venue_sequence: self.venue_sequence,
            action,
            side: order.side,
        };
        Event::BookOrder(event).into()
    }

    fn trade(&mut self, event_ns: i64, aggressor: Side, tick: i64, lots: i64) -> SourceEvent {
        self.last_trade_id += 1;
        let event = TradeEvent {
            event_ns,
            instrument: self.name,
            price: tick * self.tick,
            quantity: lots * self.lot,
            trade_id: self.last_trade_id,
            venue_sequence: self.venue_sequence,
            aggressor,
        };
        Event::Trade(event).into()
    }
}

/// `PNA` to `PNZ`, then `PNBA` and so on: the number in letters.
fn instrument_name(index: u32) -> String {
    let mut letters = Vec::new();
    let mut left = index;
    loop {
        letters.push(char::from(b'A' + (left % 26) as u8));
        left /= 26;
        if left == 0 {
            break;
        }
    }
    letters.push('N');
    letters.push('P');
    letters.iter().rev().collect()
}

impl EventSource for MarketGenerator {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        Ok(self.next_event())
    }

    fn len_hint(&self) -> Option<u64> {
        Some(self.config.events)
    }

    fn describe(&self) -> String {
        let config = &self.config;
        format!(
            "a market day of {} instruments from {} on, {} events in {} s, seed {}",
            config.instruments, config.start_time, config.events, config.duration_s, config.seed
        )
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instrument_names_are_distinct() {
        let names: std::collections::HashSet<_> = (0..1_000).map(instrument_name).collect();
        assert_eq!(names.len(), 1_000);
        assert_eq!(instrument_name(0), "PNA");
        assert_eq!(instrument_name(26), "PNBA");
    }

    #[test]
    fn wrong_parameters_are_named() {
        let config = MarketConfig {
            instruments: 0,
            ..MarketConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "market.instruments is 0, expected 1 to 1000"
        );
        let config = MarketConfig {
            start_time: "noon".into(),
            ..MarketConfig::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("market.start_time is noon")
        );
    }
}
