//! Market events as CSV: what `pinion generate market` writes and `pinion publish` reads.
//!
//! One row per event in the order of publication. Columns, by name, in any order; of those that do not apply
//! to the row's kind the values are empty:
//!
//! | column | kinds | content |
//! |---|---|---|
//! | `kind` | all | `quote`, `trade`, `book-order` or `book-level` |
//! | `event_time` | all | RFC 3339 in UTC |
//! | `instrument` | all | up to 36 printable characters |
//! | `price`, `quantity` | all | decimal with at most 9 places; of a quote, the bid |
//! | `ask_price`, `ask_quantity` | quote | the same |
//! | `side` | all but quote | empty, `bid`, `ask`; of a trade, the aggressor |
//! | `action` | book-order, book-level | empty, `add`, `modify`, `cancel`, `clear`, `fill` |
//! | `order_id` | book-order | number; of a trade, its own number |
//! | `order_count` | book-level | number, 0 if unknown |
//! | `venue_sequence` | all | number, 0 if none |
//! | `flags` | all | number: 1 more frames of the venue's message follow, 2 part of a snapshot |
//!
//! The first five must be there. Own orders and fills come from a gateway, not from a file.
//!
//! Invariant: an event that was written reads back equal.

use std::collections::VecDeque;
use std::io::Write;

use pinion_schemas::encode::{BookLevelEvent, BookOrderEvent, Event, QuoteEvent, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};

use super::error::{ImportError, quoted};
use super::input::Input;
use super::names::{BOOK_ACTIONS, SIDES, expected, value_of, word_of};
use super::number::{PRICE_PLACES, format_scaled, parse_scaled};
use super::source::{RecordDecoder, SourceEvent, Step};
use super::table::{CsvTable, OtherColumns};
use super::time::{format_time, parse_time};

/// The columns in the order in which they are written.
pub const COLUMNS: &[&str] = &[
    "kind",
    "event_time",
    "instrument",
    "price",
    "quantity",
    "ask_price",
    "ask_quantity",
    "side",
    "action",
    "order_id",
    "order_count",
    "venue_sequence",
    "flags",
];

const REQUIRED_COUNT: usize = 5;

const KIND: usize = 0;
const EVENT_TIME: usize = 1;
const INSTRUMENT: usize = 2;
const PRICE: usize = 3;
const QUANTITY: usize = 4;
const ASK_PRICE: usize = 5;
const ASK_QUANTITY: usize = 6;
const SIDE: usize = 7;
const ACTION: usize = 8;
const ORDER_ID: usize = 9;
const ORDER_COUNT: usize = 10;
const VENUE_SEQUENCE: usize = 11;
const FLAGS: usize = 12;

const _: () = assert!(COLUMNS.len() == FLAGS + 1);

/// Writes market events as rows.
pub struct MarketWriter<W: Write> {
    writer: csv::Writer<W>,
}

type Row = [String; COLUMNS.len()];

impl<W: Write> MarketWriter<W> {
    /// Writes the heading.
    pub fn new(output: W) -> csv::Result<Self> {
        let mut writer = csv::Writer::from_writer(output);
        writer.write_record(COLUMNS)?;
        Ok(Self { writer })
    }

    /// Writes one event. False, and nothing is written, if it has no form in this file: a payment, an own order
    /// or fill.
    pub fn write(&mut self, event: &SourceEvent) -> csv::Result<bool> {
        let mut row = match &event.event {
            Event::Quote(event) => quote_row(event),
            Event::Trade(event) => trade_row(event),
            Event::BookOrder(event) => order_row(event),
            Event::BookLevel(event) => level_row(event),
            _ => return Ok(false),
        };
        row[EVENT_TIME] = format_time(event.event.event_ns());
        row[FLAGS] = event.flags.to_string();
        self.writer.write_record(&row)?;
        Ok(true)
    }

    /// Writes out what is buffered and gives the output back.
    pub fn finish(self) -> std::io::Result<W> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

fn row_of(kind: &str, instrument: Id, price: i64, quantity: i64, venue_sequence: u64) -> Row {
    let mut row = Row::default();
    row[KIND] = kind.to_owned();
    row[INSTRUMENT] = instrument.to_string();
    row[PRICE] = format_scaled(price, PRICE_PLACES);
    row[QUANTITY] = format_scaled(quantity, PRICE_PLACES);
    row[VENUE_SEQUENCE] = venue_sequence.to_string();
    row
}

fn quote_row(event: &QuoteEvent) -> Row {
    let mut row = row_of(
        "quote",
        event.instrument,
        event.bid_price,
        event.bid_quantity,
        event.venue_sequence,
    );
    row[ASK_PRICE] = format_scaled(event.ask_price, PRICE_PLACES);
    row[ASK_QUANTITY] = format_scaled(event.ask_quantity, PRICE_PLACES);
    row
}

fn trade_row(event: &TradeEvent) -> Row {
    let mut row = row_of(
        "trade",
        event.instrument,
        event.price,
        event.quantity,
        event.venue_sequence,
    );
    row[SIDE] = word_of(SIDES, &event.aggressor).to_owned();
    row[ORDER_ID] = event.trade_id.to_string();
    row
}

fn order_row(event: &BookOrderEvent) -> Row {
    let mut row = row_of(
        "book-order",
        event.instrument,
        event.price,
        event.quantity,
        event.venue_sequence,
    );
    row[SIDE] = word_of(SIDES, &event.side).to_owned();
    row[ACTION] = word_of(BOOK_ACTIONS, &event.action).to_owned();
    row[ORDER_ID] = event.order_id.to_string();
    row
}

fn level_row(event: &BookLevelEvent) -> Row {
    let mut row = row_of(
        "book-level",
        event.instrument,
        event.price,
        event.quantity,
        event.venue_sequence,
    );
    row[SIDE] = word_of(SIDES, &event.side).to_owned();
    row[ACTION] = word_of(BOOK_ACTIONS, &event.action).to_owned();
    row[ORDER_COUNT] = event.order_count.to_string();
    row
}

/// Reads the rows of one file.
pub(crate) struct MarketCsvDecoder {
    table: CsvTable,
}

impl MarketCsvDecoder {
    pub(crate) fn open(input: Input) -> Result<Self, ImportError> {
        Ok(Self {
            table: CsvTable::open(input, COLUMNS, REQUIRED_COUNT, OtherColumns::Refused)?,
        })
    }

    fn event(&self) -> Result<Event, ImportError> {
        match self.table.text(KIND) {
            "quote" => Ok(Event::Quote(self.quote()?)),
            "trade" => Ok(Event::Trade(self.trade()?)),
            "book-order" => Ok(Event::BookOrder(self.order()?)),
            "book-level" => Ok(Event::BookLevel(self.level()?)),
            other => {
                let found = format!("kind {}", quoted(other));
                Err(self.table.name.bad(
                    self.table.place(),
                    found,
                    "quote, trade, book-order or book-level",
                ))
            }
        }
    }

    fn quote(&self) -> Result<QuoteEvent, ImportError> {
        Ok(QuoteEvent {
            event_ns: self.time()?,
            instrument: self.instrument()?,
            bid_price: self.decimal(PRICE)?,
            bid_quantity: self.decimal(QUANTITY)?,
            ask_price: self.decimal(ASK_PRICE)?,
            ask_quantity: self.decimal(ASK_QUANTITY)?,
            venue_sequence: self.count(VENUE_SEQUENCE)?,
        })
    }

    fn trade(&self) -> Result<TradeEvent, ImportError> {
        Ok(TradeEvent {
            event_ns: self.time()?,
            instrument: self.instrument()?,
            price: self.decimal(PRICE)?,
            quantity: self.decimal(QUANTITY)?,
            trade_id: self.count(ORDER_ID)?,
            venue_sequence: self.count(VENUE_SEQUENCE)?,
            aggressor: self.side()?,
        })
    }

    fn order(&self) -> Result<BookOrderEvent, ImportError> {
        Ok(BookOrderEvent {
            event_ns: self.time()?,
            instrument: self.instrument()?,
            order_id: self.count(ORDER_ID)?,
            price: self.decimal(PRICE)?,
            quantity: self.decimal(QUANTITY)?,
            venue_sequence: self.count(VENUE_SEQUENCE)?,
            action: self.action()?,
            side: self.side()?,
        })
    }

    fn level(&self) -> Result<BookLevelEvent, ImportError> {
        Ok(BookLevelEvent {
            event_ns: self.time()?,
            instrument: self.instrument()?,
            price: self.decimal(PRICE)?,
            quantity: self.decimal(QUANTITY)?,
            venue_sequence: self.count(VENUE_SEQUENCE)?,
            order_count: self.count(ORDER_COUNT)?,
            side: self.side()?,
            action: self.action()?,
        })
    }

    fn time(&self) -> Result<i64, ImportError> {
        self.table
            .value(EVENT_TIME, "a time like 2018-04-01T00:00:31Z", parse_time)
    }

    fn instrument(&self) -> Result<Id, ImportError> {
        self.table
            .value(INSTRUMENT, "1 to 36 printable characters without spaces", Id::new)
    }

    fn decimal(&self, column: usize) -> Result<i64, ImportError> {
        let expected = "a number with at most 9 decimals";
        self.table
            .value(column, expected, |text| parse_scaled(text, PRICE_PLACES).ok())
    }

    fn side(&self) -> Result<Side, ImportError> {
        self.table
            .value(SIDE, &expected(SIDES), |word| value_of(SIDES, word))
    }

    fn action(&self) -> Result<BookAction, ImportError> {
        self.table.value(ACTION, &expected(BOOK_ACTIONS), |word| {
            value_of(BOOK_ACTIONS, word)
        })
    }

    /// A number not below 0; empty is 0.
    fn count<T: std::str::FromStr + Default>(&self, column: usize) -> Result<T, ImportError> {
        self.table.value(column, "a number not below 0", |text| {
            if text.is_empty() {
                Some(T::default())
            } else {
                text.parse().ok()
            }
        })
    }
}

impl RecordDecoder for MarketCsvDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        if !self.table.next_row()? {
            return Ok(Step::End);
        }
        let event = self.event()?;
        out.push_back(SourceEvent {
            event,
            flags: self.count(FLAGS)?,
        });
        Ok(Step::Record)
    }

    fn describe(&self) -> String {
        format!("market events of {}", self.table.name.as_str())
    }
}
