//! LOBSTER message files: one line per order event of one instrument, without a heading.
//!
//! Columns: seconds after midnight, type, order id, size, price × 10,000, direction (1 buy, -1 sell order).
//!
//! ```text
//!   1 ──▶ add    2 ──▶ cancel of a part    3 ──▶ cancel    4 ──▶ Trade, fill, cancel    5 6 ──▶ Trade    7 ──▶ –
//! ```
//!
//! An excerpt does not begin with an empty book: orders that were open before it are unknown to a book that
//! follows it.

use std::collections::VecDeque;

use pinion_schemas::encode::{BookOrderEvent, Event, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};

use super::error::{ImportError, quoted};
use super::input::Input;
use super::number::parse_scaled;
use super::source::{RecordDecoder, SourceEvent, Step, mark_message};

/// Prices come in 1e-4, quantities in whole shares.
const PRICE_UNIT: i64 = 100_000;
const WHOLE: i64 = 1_000_000_000;

const TIME_PLACES: u32 = 9;

/// Reads the lines of one file.
pub(crate) struct LobsterDecoder {
    input: Input,
    instrument: Id,
    day_start_ns: i64,
    line: Vec<u8>,
}

/// One line as numbers.
struct Line {
    after_midnight_ns: i64,
    kind: i64,
    order_id: u64,
    quantity: i64,
    price: i64,
    side: Side,
}

impl LobsterDecoder {
    /// `day_start_ns` is the venue's midnight, from which its times count.
    pub(crate) fn new(input: Input, instrument: Id, day_start_ns: i64) -> Self {
        Self {
            input,
            instrument,
            day_start_ns,
            line: Vec::new(),
        }
    }

    fn parse_line(&self) -> Result<Line, ImportError> {
        let place = self.input.line_place();
        let text = String::from_utf8_lossy(&self.line);
        let columns: Vec<&str> = text.split(',').collect();
        let &[time, kind, order_id, size, price, direction] = columns.as_slice() else {
            return Err(self
                .input
                .name
                .bad(place, format!("{} columns", columns.len()), "6 columns"));
        };
        let bad = |name: &str, found: &str, expected: &str| {
            self.input
                .name
                .bad(place, format!("{name} {}", quoted(found)), expected)
        };
        let whole =
            |name, text: &str| parse_scaled(text, 0).map_err(|error| bad(name, text, &error.to_string()));
        let side = match direction {
            "1" => Side::Bid,
            "-1" => Side::Ask,
            _ => return Err(bad("direction", direction, "1 or -1")),
        };
        Ok(Line {
            after_midnight_ns: parse_scaled(time, TIME_PLACES)
                .map_err(|error| bad("time", time, &error.to_string()))?,
            kind: whole("type", kind)?,
            order_id: order_id
                .parse()
                .map_err(|_| bad("order id", order_id, "a number not below 0"))?,
            quantity: whole("size", size)?.saturating_mul(WHOLE),
            price: whole("price", price)?.saturating_mul(PRICE_UNIT),
            side,
        })
    }

    fn append_events(&self, line: &Line, out: &mut VecDeque<SourceEvent>) -> Result<(), ImportError> {
        let first = out.len();
        match line.kind {
            1 => out.push_back(self.book_event(line, BookAction::Add)),
            2 | 3 => out.push_back(self.book_event(line, BookAction::Cancel)),
            4 => {
                out.push_back(self.trade(line));
                out.push_back(self.book_event(line, BookAction::Fill));
                out.push_back(self.book_event(line, BookAction::Cancel));
            }
            5 | 6 => out.push_back(self.trade(line)),
            7 => {}
            kind => {
                let place = self.input.line_place();
                return Err(self
                    .input
                    .name
                    .bad(place, format!("type {kind}"), "a type from 1 to 7"));
            }
        }
        mark_message(out, first);
        Ok(())
    }

    fn book_event(&self, line: &Line, action: BookAction) -> SourceEvent {
        let event = BookOrderEvent {
            event_ns: self.event_ns(line),
            instrument: self.instrument,
            order_id: line.order_id,
            price: line.price,
            quantity: line.quantity,
            venue_sequence: 0,
            action,
            side: line.side,
        };
        Event::BookOrder(event).into()
    }

    fn trade(&self, line: &Line) -> SourceEvent {
        let event = TradeEvent {
            event_ns: self.event_ns(line),
            instrument: self.instrument,
            price: line.price,
            quantity: line.quantity,
            aggressor: if line.side == Side::Bid {
                Side::Ask
            } else {
                Side::Bid
            },
            ..TradeEvent::default()
        };
        Event::Trade(event).into()
    }

    fn event_ns(&self, line: &Line) -> i64 {
        self.day_start_ns.saturating_add(line.after_midnight_ns)
    }
}

impl RecordDecoder for LobsterDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        if !self.input.read_line(&mut self.line)? {
            return Ok(Step::End);
        }
        let line = self.parse_line()?;
        self.append_events(&line, out)?;
        Ok(Step::Record)
    }

    fn describe(&self) -> String {
        format!("LOBSTER messages of {}", self.input.name.as_str())
    }
}
