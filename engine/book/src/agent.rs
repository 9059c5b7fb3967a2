//! The stage's duty cycle.
//!
//! Invariant: every event that comes in goes out once, in order, with its instrument's book after it.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{BookRecord, MarketRecord, market_kind};

use crate::books::Books;
use crate::config::BookConfig;
use crate::counters::BookCounters;
use crate::error::BookError;

/// Keeps the books of the market lane.
pub struct BookAgent {
    input: Consumer<MarketRecord>,
    output: Producer<BookRecord>,
    books: Books,
    counters: BookCounters,
    batch_max: usize,
}

impl BookAgent {
    /// An agent with its memory taken.
    ///
    /// # Errors
    /// [`BookError`] if the configuration is refused.
    pub fn new(
        config: &BookConfig,
        input: Consumer<MarketRecord>,
        output: Producer<BookRecord>,
        counters: &Counters,
    ) -> Result<Self, BookError> {
        config.validate()?;
        let books = Books::new(config);
        let counters = BookCounters::new(counters);
        Ok(Self {
            input,
            output,
            books,
            counters,
            batch_max: config.batch_max as usize,
        })
    }

    /// The books.
    pub fn books(&self) -> &Books {
        &self.books
    }
}

impl Agent for BookAgent {
    fn name(&self) -> &str {
        "book"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        let Self {
            input,
            output,
            books,
            counters,
            batch_max,
        } = self;
        if input.is_empty() {
            return 0;
        }
        let room = output.room(*batch_max);
        counters.output_full.add(u64::from(room == 0));
        let work_count = input.read_batch(room, |market| {
            let is_own = matches!(market.origin.kind, market_kind::OWN_ORDER | market_kind::OWN_FILL);
            counters.own_events.add(u64::from(is_own));
            let pushed = output.push_with(|slot| {
                slot.market = *market;
                slot.top = books.apply(market);
                slot.top.booked_ns = now_ns.max(market.origin.ingest_ns);
            });
            assert!(pushed, "the room was asked for before the batch was read");
        });
        counters.events.add(work_count as u64);
        counters.show(books);
        work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}
