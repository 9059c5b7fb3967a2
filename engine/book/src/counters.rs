//! What the books count.

use pinion_runtime::counters::{Counter, Counters};

use crate::books::Books;

/// The stage's counters.
pub struct BookCounters {
    /// Events applied and passed on.
    pub events: Counter,
    /// Own orders and own fills among them.
    pub own_events: Counter,
    /// Duty cycles that waited because the ring to the strategy was full.
    pub output_full: Counter,
    /// See [`crate::books::Tally::ignored`].
    pub ignored: Counter,
    /// See [`crate::books::Tally::unknown_instruments`].
    pub unknown_instruments: Counter,
    /// See [`crate::books::Tally::depth_refused`].
    pub depth_refused: Counter,
    /// See [`crate::books::Tally::levels_dropped`].
    pub levels_dropped: Counter,
    /// See [`crate::books::Tally::orders_refused`].
    pub orders_refused: Counter,
    /// See [`crate::books::Tally::orders_replaced`].
    pub orders_replaced: Counter,
    /// See [`crate::books::Tally::orders_unknown`].
    pub orders_unknown: Counter,
    /// See [`crate::books::Tally::crossed`].
    pub crossed: Counter,
    /// Open orders.
    pub orders: Counter,
    /// Instruments that have depth.
    pub depth_instruments: Counter,
}

impl BookCounters {
    /// Takes the stage's cells.
    pub fn new(counters: &Counters) -> Self {
        Self {
            events: counters.counter("book.events"),
            own_events: counters.counter("book.own_events"),
            output_full: counters.counter("book.output_full"),
            ignored: counters.counter("book.ignored"),
            unknown_instruments: counters.counter("book.unknown_instruments"),
            depth_refused: counters.counter("book.depth_refused"),
            levels_dropped: counters.counter("book.levels_dropped"),
            orders_refused: counters.counter("book.orders_refused"),
            orders_replaced: counters.counter("book.orders_replaced"),
            orders_unknown: counters.counter("book.orders_unknown"),
            crossed: counters.counter("book.crossed"),
            orders: counters.counter("book.orders"),
            depth_instruments: counters.counter("book.depth_instruments"),
        }
    }

    /// Shows what the books tell of themselves.
    ///
    /// Cost: ten stores, once per batch.
    pub(crate) fn show(&self, books: &Books) {
        let tally = books.tally();
        self.ignored.set(tally.ignored);
        self.unknown_instruments.set(tally.unknown_instruments);
        self.depth_refused.set(tally.depth_refused);
        self.levels_dropped.set(tally.levels_dropped);
        self.orders_refused.set(tally.orders_refused);
        self.orders_replaced.set(tally.orders_replaced);
        self.orders_unknown.set(tally.orders_unknown);
        self.crossed.set(tally.crossed);
        self.orders.set(u64::from(books.orders().len()));
        self.depth_instruments.set(u64::from(books.depth_used()));
    }
}
