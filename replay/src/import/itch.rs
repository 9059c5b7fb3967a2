//! NASDAQ TotalView-ITCH 5.0: messages with two bytes of length before each.
//!
//! ```text
//!   A F ──▶ add      E C ──▶ Trade, fill, cancel of the executed part     X D ──▶ cancel
//!   U ──▶ cancel and add as one venue message        P Q ──▶ Trade        the rest ──▶ no event
//! ```
//!
//! Files exist whose length bytes are 0: the length is read from the message's type, and the length bytes
//! must be 0 or agree. Executions do not repeat the order's price, so open orders are remembered.
//! Source: NASDAQ TotalView-ITCH 5.0 specification.

use std::collections::{HashMap, VecDeque};

use pinion_schemas::encode::{BookOrderEvent, Event, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};

use super::error::{ImportError, Place};
use super::input::{Input, bytes};
use super::source::{RecordDecoder, SourceEvent, Step, mark_message};

/// Prices come in 1e-4, quantities in whole shares.
const PRICE_UNIT: i64 = 100_000;
const WHOLE: i64 = 1_000_000_000;

const MESSAGE_LEN_MAX: usize = 64;

/// An order that is open.
#[derive(Clone, Copy)]
struct OpenOrder {
    instrument: Id,
    side: Side,
    price: i64,
    quantity: i64,
}

/// Reads the messages of one file.
pub(crate) struct ItchDecoder {
    input: Input,
    day_start_ns: i64,
    orders: HashMap<u64, OpenOrder>,
    place: Place,
}

impl ItchDecoder {
    /// `day_start_ns` is the venue's midnight, from which its times count.
    pub(crate) fn new(input: Input, day_start_ns: i64) -> Self {
        Self {
            input,
            day_start_ns,
            orders: HashMap::new(),
            place: Place::Offset(0),
        }
    }

    /// Reads a message into `message` and gives its length; 0 at the end.
    fn read_message(&mut self, message: &mut [u8; MESSAGE_LEN_MAX]) -> Result<usize, ImportError> {
        self.place = Place::Offset(self.input.offset());
        let mut start = [0; 3];
        if !self.input.read_or_end(&mut start)? {
            return Ok(0);
        }
        let (written_len, kind) = (usize::from(bytes::u16_be(&start, 0)), start[2]);
        let Some(len) = message_len(kind) else {
            let found = format!("message type {:?}", char::from(kind));
            return Err(self.input.name.damaged(self.place, found, "a type of ITCH 5.0"));
        };
        if written_len != 0 && written_len != len {
            let found = format!("length {written_len} of message {:?}", char::from(kind));
            return Err(self.input.name.damaged(self.place, found, len));
        }
        message[0] = kind;
        self.input.read(&mut message[1..len])?;
        Ok(len)
    }

    fn append_events(&mut self, message: &[u8], out: &mut VecDeque<SourceEvent>) -> Result<(), ImportError> {
        let order_id = || bytes::u64_be(message, 11);
        match message[0] {
            b'A' | b'F' => self.append_new(message, out),
            b'E' => self.append_execution(message, None, out),
            b'C' => self.append_execution(message, Some(price(message, 32)), out),
            b'X' => self.append_cancel(message, order_id(), quantity(message, 19), out),
            b'D' => self.append_cancel(message, order_id(), i64::MAX, out),
            b'U' => self.append_replace(message, out),
            b'P' => {
                let instrument = self.instrument_of(&message[24..32])?;
                let side = self.side_of(message[19])?;
                let trade = self.trade(message, instrument, price(message, 32), quantity(message, 20), 36);
                out.push_back(
                    Event::Trade(TradeEvent {
                        aggressor: opposite(side),
                        ..trade
                    })
                    .into(),
                );
                Ok(())
            }
            b'Q' => {
                let shares = i64::try_from(bytes::u64_be(message, 11)).unwrap_or(i64::MAX);
                let instrument = self.instrument_of(&message[19..27])?;
                let trade = self.trade(
                    message,
                    instrument,
                    price(message, 27),
                    shares.saturating_mul(WHOLE),
                    31,
                );
                out.extend((shares > 0).then(|| Event::Trade(trade).into()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn append_new(&mut self, message: &[u8], out: &mut VecDeque<SourceEvent>) -> Result<(), ImportError> {
        let order = OpenOrder {
            instrument: self.instrument_of(&message[24..32])?,
            side: self.side_of(message[19])?,
            price: price(message, 32),
            quantity: quantity(message, 20),
        };
        let order_id = bytes::u64_be(message, 11);
        self.orders.insert(order_id, order);
        out.push_back(self.book_event(message, order_id, &order, BookAction::Add, order.quantity));
        Ok(())
    }

    fn append_execution(
        &mut self,
        message: &[u8],
        own_price: Option<i64>,
        out: &mut VecDeque<SourceEvent>,
    ) -> Result<(), ImportError> {
        let (order_id, executed) = (bytes::u64_be(message, 11), quantity(message, 19));
        let order = self.reduce(order_id, executed)?;
        let first = out.len();
        let is_printed = own_price.is_none() || message[31] == b'Y';
        if is_printed {
            let trade = self.trade(
                message,
                order.instrument,
                own_price.unwrap_or(order.price),
                executed,
                23,
            );
            out.push_back(
                Event::Trade(TradeEvent {
                    aggressor: opposite(order.side),
                    ..trade
                })
                .into(),
            );
        }
        out.push_back(self.book_event(message, order_id, &order, BookAction::Fill, executed));
        out.push_back(self.book_event(message, order_id, &order, BookAction::Cancel, executed));
        mark_message(out, first);
        Ok(())
    }

    fn append_cancel(
        &mut self,
        message: &[u8],
        order_id: u64,
        cancelled: i64,
        out: &mut VecDeque<SourceEvent>,
    ) -> Result<(), ImportError> {
        let order = self.reduce(order_id, cancelled)?;
        let cancelled = cancelled.min(order.quantity);
        out.push_back(self.book_event(message, order_id, &order, BookAction::Cancel, cancelled));
        Ok(())
    }

    fn append_replace(&mut self, message: &[u8], out: &mut VecDeque<SourceEvent>) -> Result<(), ImportError> {
        let first = out.len();
        let old_id = bytes::u64_be(message, 11);
        let old = self.reduce(old_id, i64::MAX)?;
        let new = OpenOrder {
            price: price(message, 31),
            quantity: quantity(message, 27),
            ..old
        };
        let new_id = bytes::u64_be(message, 19);
        self.orders.insert(new_id, new);
        out.push_back(self.book_event(message, old_id, &old, BookAction::Cancel, old.quantity));
        out.push_back(self.book_event(message, new_id, &new, BookAction::Add, new.quantity));
        mark_message(out, first);
        Ok(())
    }

    /// Takes `quantity` from an open order and gives the order as it was.
    fn reduce(&mut self, order_id: u64, quantity: i64) -> Result<OpenOrder, ImportError> {
        let Some(order) = self.orders.get_mut(&order_id) else {
            return Err(self.input.name.bad(
                self.place,
                format!("order {order_id}"),
                "an order that is open",
            ));
        };
        let before = *order;
        order.quantity = order.quantity.saturating_sub(quantity);
        if order.quantity <= 0 {
            self.orders.remove(&order_id);
        }
        Ok(before)
    }

    fn book_event(
        &self,
        message: &[u8],
        order_id: u64,
        order: &OpenOrder,
        action: BookAction,
        quantity: i64,
    ) -> SourceEvent {
        let event = BookOrderEvent {
            event_ns: self.event_ns(message),
            instrument: order.instrument,
            order_id,
            price: order.price,
            quantity,
            venue_sequence: 0,
            action,
            side: order.side,
        };
        Event::BookOrder(event).into()
    }

    fn trade(&self, message: &[u8], instrument: Id, price: i64, quantity: i64, id_at: usize) -> TradeEvent {
        TradeEvent {
            event_ns: self.event_ns(message),
            instrument,
            price,
            quantity,
            trade_id: bytes::u64_be(message, id_at),
            venue_sequence: 0,
            aggressor: Side::None,
        }
    }

    fn event_ns(&self, message: &[u8]) -> i64 {
        self.day_start_ns.saturating_add(bytes::u48_be(message, 5) as i64)
    }

    fn instrument_of(&self, symbol: &[u8]) -> Result<Id, ImportError> {
        let symbol = String::from_utf8_lossy(symbol);
        Id::new(symbol.trim_end()).ok_or_else(|| {
            self.input
                .name
                .bad(self.place, format!("symbol {symbol:?}"), "an instrument's name")
        })
    }

    fn side_of(&self, side: u8) -> Result<Side, ImportError> {
        match side {
            b'B' => Ok(Side::Bid),
            b'S' => Ok(Side::Ask),
            _ => Err(self
                .input
                .name
                .bad(self.place, format!("side {:?}", char::from(side)), "'B' or 'S'")),
        }
    }
}

fn opposite(side: Side) -> Side {
    if side == Side::Bid { Side::Ask } else { Side::Bid }
}

fn price(message: &[u8], at: usize) -> i64 {
    i64::from(bytes::u32_be(message, at)) * PRICE_UNIT
}

fn quantity(message: &[u8], at: usize) -> i64 {
    i64::from(bytes::u32_be(message, at)) * WHOLE
}

/// Length of a message with its type, by type.
fn message_len(kind: u8) -> Option<usize> {
    Some(match kind {
        b'S' => 12,
        b'R' => 39,
        b'H' => 25,
        b'Y' => 20,
        b'L' => 26,
        b'V' => 35,
        b'W' => 12,
        b'K' => 28,
        b'J' => 35,
        b'h' => 21,
        b'A' => 36,
        b'F' => 40,
        b'E' => 31,
        b'C' => 36,
        b'X' => 23,
        b'D' => 19,
        b'U' => 35,
        b'P' => 44,
        b'Q' => 40,
        b'B' => 19,
        b'I' => 50,
        b'N' => 20,
        b'O' => 48,
        _ => return None,
    })
}

impl RecordDecoder for ItchDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        let mut message = [0; MESSAGE_LEN_MAX];
        let len = self.read_message(&mut message)?;
        if len == 0 {
            return Ok(Step::End);
        }
        self.append_events(&message[..len], out)?;
        Ok(Step::Record)
    }

    fn describe(&self) -> String {
        format!("NASDAQ ITCH 5.0 messages of {}", self.input.name.as_str())
    }
}
