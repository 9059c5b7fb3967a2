//! Raw websocket messages of Binance, spot and futures: one line each, the local receive time in ns, a space
//! and the JSON message.
//!
//! ```text
//!   depthUpdate ──▶ BookLevel per level, one venue message        trade ──▶ Trade      bookTicker ──▶ Quote
//!   snapshot ──▶ Clear, BookLevel per level, and again the levels of the updates that it does not hold yet
//! ```
//!
//! The order-book snapshot comes by another way than the updates and is late: updates that were received
//! before it may be newer than it (`u` above its `lastUpdateId`). To apply it alone would take the book back
//! in time, so these updates are given once more, as part of the snapshot's message.
//!
//! Invariant: after a snapshot's last frame the book is that of the newest update received.

use std::collections::VecDeque;

use pinion_schemas::encode::{BookLevelEvent, Event, QuoteEvent, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::EventClock;
use super::error::{ImportError, quoted};
use super::input::Input;
use super::number::{PRICE_PLACES, parse_scaled};
use super::source::{FLAG_SNAPSHOT, RecordDecoder, SourceEvent, Step, mark_message};

/// Updates remembered for the next snapshot. A snapshot's lag is well below this many messages.
const UPDATES_KEPT_MAX: usize = 256;

const MILLISECOND_NS: i64 = 1_000_000;

/// Reads the lines of one file.
pub(crate) struct BinanceDecoder {
    input: Input,
    clock: EventClock,
    line: Vec<u8>,
    recent_updates: VecDeque<(u64, Vec<BookLevelEvent>)>,
    instrument: Option<Id>,
}

/// Why a line is refused: what was found, what was expected.
type Refusal = (String, String);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(rename = "T")]
    transaction_ms: Option<i64>,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    u: u64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "T")]
    transaction_ms: i64,
    s: &'a str,
    t: u64,
    p: &'a str,
    q: &'a str,
    m: bool,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(rename = "T")]
    transaction_ms: Option<i64>,
    s: &'a str,
    u: u64,
    b: &'a str,
    #[serde(rename = "B")]
    bid_quantity: &'a str,
    a: &'a str,
    #[serde(rename = "A")]
    ask_quantity: &'a str,
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    #[serde(rename = "T")]
    transaction_ms: Option<i64>,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

impl BinanceDecoder {
    pub(crate) fn new(input: Input, clock: EventClock) -> Self {
        Self {
            input,
            clock,
            line: Vec::new(),
            recent_updates: VecDeque::new(),
            instrument: None,
        }
    }

    fn decode_line(&mut self, line: &str, out: &mut VecDeque<SourceEvent>) -> Result<(), Refusal> {
        let (received, json) = line
            .split_once(' ')
            .ok_or_else(|| refusal(line, "a time, a space and a message"))?;
        let received_ns = received.parse().map_err(|_| refusal(received, "a time in ns"))?;
        let envelope: Envelope<'_> = parse(json)?;
        let (Some(stream), Some(data)) = (envelope.stream, envelope.data) else {
            return self.decode_snapshot(parse(json)?, received_ns, out);
        };
        let kind = stream.split('@').nth(1).unwrap_or("");
        match kind {
            "depth" => self.decode_depth(&parse(data.get())?, received_ns, out),
            "trade" => self.decode_trade(&parse(data.get())?, received_ns, out),
            "bookTicker" => self.decode_ticker(&parse(data.get())?, received_ns, out),
            _ => Err(refusal(stream, "a stream of depth, trade or bookTicker")),
        }
    }

    fn event_ns(&self, received_ns: i64, venue_ms: Option<i64>) -> i64 {
        match (self.clock, venue_ms) {
            (EventClock::Venue, Some(venue_ms)) => venue_ms.saturating_mul(MILLISECOND_NS),
            _ => received_ns,
        }
    }

    fn decode_depth(
        &mut self,
        depth: &Depth<'_>,
        received_ns: i64,
        out: &mut VecDeque<SourceEvent>,
    ) -> Result<(), Refusal> {
        let event_ns = self.event_ns(received_ns, depth.transaction_ms.or(Some(depth.event_ms)));
        let instrument = self.instrument_of(depth.s)?;
        let mut levels = Vec::with_capacity(depth.b.len() + depth.a.len());
        append_levels(&mut levels, &depth.b, Side::Bid, depth.u)?;
        append_levels(&mut levels, &depth.a, Side::Ask, depth.u)?;
        append_message(&levels, event_ns, instrument, 0, out);
        if self.recent_updates.len() == UPDATES_KEPT_MAX {
            self.recent_updates.pop_front();
        }
        self.recent_updates.push_back((depth.u, levels));
        Ok(())
    }

    fn decode_snapshot(
        &mut self,
        snapshot: Snapshot<'_>,
        received_ns: i64,
        out: &mut VecDeque<SourceEvent>,
    ) -> Result<(), Refusal> {
        let event_ns = self.event_ns(received_ns, snapshot.transaction_ms);
        let expected = "a message of a stream before it, which names the instrument";
        let instrument = self
            .instrument
            .ok_or_else(|| ("a snapshot".to_owned(), expected.to_owned()))?;
        let clear = BookLevelEvent {
            venue_sequence: snapshot.last_update_id,
            action: BookAction::Clear,
            ..BookLevelEvent::default()
        };
        let mut levels = vec![clear];
        append_levels(&mut levels, &snapshot.bids, Side::Bid, snapshot.last_update_id)?;
        append_levels(&mut levels, &snapshot.asks, Side::Ask, snapshot.last_update_id)?;
        let newer = self
            .recent_updates
            .iter()
            .filter(|(update_id, _)| *update_id > snapshot.last_update_id);
        levels.extend(newer.flat_map(|(_, update)| update.iter().cloned()));
        append_message(&levels, event_ns, instrument, FLAG_SNAPSHOT, out);
        Ok(())
    }

    fn decode_trade(
        &mut self,
        trade: &Trade<'_>,
        received_ns: i64,
        out: &mut VecDeque<SourceEvent>,
    ) -> Result<(), Refusal> {
        let event = TradeEvent {
            event_ns: self.event_ns(received_ns, Some(trade.transaction_ms)),
            instrument: self.instrument_of(trade.s)?,
            price: number(trade.p)?,
            quantity: number(trade.q)?,
            trade_id: trade.t,
            venue_sequence: 0,
            aggressor: if trade.m { Side::Ask } else { Side::Bid },
        };
        out.push_back(Event::Trade(event).into());
        Ok(())
    }

    fn decode_ticker(
        &mut self,
        ticker: &Ticker<'_>,
        received_ns: i64,
        out: &mut VecDeque<SourceEvent>,
    ) -> Result<(), Refusal> {
        let event = QuoteEvent {
            event_ns: self.event_ns(received_ns, ticker.transaction_ms),
            instrument: self.instrument_of(ticker.s)?,
            bid_price: number(ticker.b)?,
            bid_quantity: number(ticker.bid_quantity)?,
            ask_price: number(ticker.a)?,
            ask_quantity: number(ticker.ask_quantity)?,
            venue_sequence: ticker.u,
        };
        out.push_back(Event::Quote(event).into());
        Ok(())
    }

    /// The instrument's name; the file's snapshots, which do not tell it, are of the last one named.
    fn instrument_of(&mut self, symbol: &str) -> Result<Id, Refusal> {
        let instrument = Id::new(symbol).ok_or_else(|| refusal(symbol, "an instrument's name"))?;
        self.instrument = Some(instrument);
        Ok(instrument)
    }
}

impl RecordDecoder for BinanceDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        let mut line = std::mem::take(&mut self.line);
        if !self.input.read_line(&mut line)? {
            return Ok(Step::End);
        }
        let result = match std::str::from_utf8(&line) {
            Ok(text) => self.decode_line(text, out),
            Err(error) => Err((error.to_string(), "UTF-8 text".to_owned())),
        };
        self.line = line;
        let place = self.input.line_place();
        result
            .map(|()| Step::Record)
            .map_err(|(found, expected)| self.input.name.bad(place, found, expected))
    }

    fn describe(&self) -> String {
        format!("Binance websocket messages of {}", self.input.name.as_str())
    }
}

fn refusal(found: &str, expected: &str) -> Refusal {
    (quoted(found), expected.to_owned())
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|error| (error.to_string(), "a message of Binance as JSON".to_owned()))
}

fn number(text: &str) -> Result<i64, Refusal> {
    parse_scaled(text, PRICE_PLACES).map_err(|error| refusal(text, &error.to_string()))
}

/// Appends levels without instrument and time, which belong to their message.
fn append_levels(
    levels: &mut Vec<BookLevelEvent>,
    pairs: &[[&str; 2]],
    side: Side,
    venue_sequence: u64,
) -> Result<(), Refusal> {
    for [price, quantity] in pairs {
        levels.push(BookLevelEvent {
            price: number(price)?,
            quantity: number(quantity)?,
            venue_sequence,
            side,
            action: BookAction::Modify,
            ..BookLevelEvent::default()
        });
    }
    Ok(())
}

fn append_message(
    levels: &[BookLevelEvent],
    event_ns: i64,
    instrument: Id,
    flags: u16,
    out: &mut VecDeque<SourceEvent>,
) {
    let first = out.len();
    for level in levels {
        let event = BookLevelEvent {
            event_ns,
            instrument,
            ..level.clone()
        };
        out.push_back(SourceEvent {
            event: Event::BookLevel(event),
            flags,
        });
    }
    mark_message(out, first);
}
