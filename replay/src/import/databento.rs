//! Databento's DBN files of market-by-order records, plain or packed by zstd.
//!
//! ```text
//!   A C M R ──▶ BookOrder add, cancel, modify, clear       T ──▶ Trade
//!   F ──▶ BookOrder fill, N ──▶ BookOrder none: they never change the book
//! ```
//!
//! A trade comes as T (aggressor), F (resting order) and then the C or M that changes the book. A reader that
//! lets F change it takes the quantity away twice.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use dbn::decode::{DbnMetadata as _, DecodeRecordRef as _, DynReader};
use dbn::{Action, MboMsg, Side as VenueSide, SymbolIndex as _, UNDEF_PRICE, VersionUpgradePolicy};
use pinion_schemas::encode::{BookOrderEvent, Event, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};

use super::EventClock;
use super::error::{FileName, ImportError, Place};
use super::source::{FLAG_MORE, FLAG_SNAPSHOT, RecordDecoder, SourceEvent, Step};

/// One contract or share in the unit of quantities.
const WHOLE: i64 = 1_000_000_000;

/// Reads the records of one file.
pub(crate) struct DatabentoDecoder {
    name: FileName,
    decoder: dbn::decode::dbn::Decoder<EndWatch<DynReader<'static, BufReader<File>>>>,
    was_cut: Rc<Cell<bool>>,
    clock: EventClock,
    symbols: dbn::TsSymbolMap,
    instruments: HashMap<u32, Id>,
    record: u64,
}

/// Passes reads on, and notes that the packed stream ended in its middle: the decoder behind it takes such an
/// end for the end of the file.
struct EndWatch<R> {
    reader: R,
    was_cut: Rc<Cell<bool>>,
}

impl<R: Read> Read for EndWatch<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(bytes);
        if let Err(error) = &result {
            self.was_cut
                .set(self.was_cut.get() || error.kind() == io::ErrorKind::UnexpectedEof);
        }
        result
    }
}

impl DatabentoDecoder {
    pub(crate) fn open(path: &Path, clock: EventClock) -> Result<Self, ImportError> {
        let name = FileName::new(&path.display().to_string());
        let file = File::open(path).map_err(|error| name.read(error))?;
        let damaged = |error: dbn::Error| name.damaged(Place::Offset(0), error, "a DBN file");
        let reader = DynReader::inferred_with_buffer(BufReader::new(file)).map_err(damaged)?;
        let was_cut = Rc::new(Cell::new(false));
        let watched = EndWatch {
            reader,
            was_cut: was_cut.clone(),
        };
        let policy = VersionUpgradePolicy::default();
        let decoder = dbn::decode::dbn::Decoder::with_upgrade_policy(watched, policy).map_err(damaged)?;
        let symbols = decoder.metadata().symbol_map().map_err(damaged)?;
        Ok(Self {
            name,
            decoder,
            was_cut,
            clock,
            symbols,
            instruments: HashMap::new(),
            record: 0,
        })
    }

    fn instrument_of(&mut self, message: &MboMsg) -> Result<Id, ImportError> {
        let number = message.hd.instrument_id;
        if let Some(&instrument) = self.instruments.get(&number) {
            return Ok(instrument);
        }
        let symbol = self
            .symbols
            .get_for_rec(message)
            .cloned()
            .unwrap_or_else(|| number.to_string());
        let Some(instrument) = Id::new(&symbol) else {
            let expected = "a name of up to 36 printable characters";
            return Err(self
                .name
                .bad(Place::Record(self.record), format!("symbol {symbol:?}"), expected));
        };
        self.instruments.insert(number, instrument);
        Ok(instrument)
    }

    fn event_of(&mut self, message: &MboMsg) -> Result<SourceEvent, ImportError> {
        let place = Place::Record(self.record);
        let instrument = self.instrument_of(message)?;
        let action = message
            .action()
            .map_err(|error| self.name.bad(place, error, "an action of DBN"))?;
        let side = message
            .side()
            .map_err(|error| self.name.bad(place, error, "a side of DBN"))?;
        let time = match self.clock {
            EventClock::Received => message.ts_recv,
            EventClock::Venue => message.hd.ts_event,
        };
        let event_ns = i64::try_from(time).map_err(|_| self.name.bad(place, time, "a time in 64 bits"))?;
        let place = PlacedMessage {
            event_ns,
            instrument,
            side: side_of(side),
            message,
        };
        Ok(SourceEvent {
            event: place.event_of(action),
            flags: flags_of(message),
        })
    }
}

/// A message with what was looked up for it.
struct PlacedMessage<'a> {
    event_ns: i64,
    instrument: Id,
    side: Side,
    message: &'a MboMsg,
}

impl PlacedMessage<'_> {
    fn event_of(&self, action: Action) -> Event {
        let book_action = match action {
            Action::Add => BookAction::Add,
            Action::Cancel => BookAction::Cancel,
            Action::Modify => BookAction::Modify,
            Action::Clear => BookAction::Clear,
            Action::Fill => BookAction::Fill,
            Action::Trade => return Event::Trade(self.trade()),
            _ => BookAction::None,
        };
        Event::BookOrder(BookOrderEvent {
            event_ns: self.event_ns,
            instrument: self.instrument,
            order_id: self.message.order_id,
            price: price_of(self.message),
            quantity: quantity_of(self.message),
            venue_sequence: self.message.sequence.into(),
            action: book_action,
            side: self.side,
        })
    }

    fn trade(&self) -> TradeEvent {
        TradeEvent {
            event_ns: self.event_ns,
            instrument: self.instrument,
            price: price_of(self.message),
            quantity: quantity_of(self.message),
            trade_id: 0,
            venue_sequence: self.message.sequence.into(),
            aggressor: self.side,
        }
    }
}

fn price_of(message: &MboMsg) -> i64 {
    if message.price == UNDEF_PRICE {
        0
    } else {
        message.price
    }
}

fn quantity_of(message: &MboMsg) -> i64 {
    i64::from(message.size) * WHOLE
}

fn side_of(side: VenueSide) -> Side {
    match side {
        VenueSide::Bid => Side::Bid,
        VenueSide::Ask => Side::Ask,
        _ => Side::None,
    }
}

fn flags_of(message: &MboMsg) -> u16 {
    let more = if message.flags.is_last() { 0 } else { FLAG_MORE };
    let snapshot = if message.flags.is_snapshot() {
        FLAG_SNAPSHOT
    } else {
        0
    };
    more | snapshot
}

impl RecordDecoder for DatabentoDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        self.record += 1;
        let place = Place::Record(self.record);
        let record = self.decoder.decode_record_ref();
        let record = record.map_err(|error| self.name.damaged(place, error, "a DBN record"))?;
        let Some(record) = record else {
            if self.was_cut.get() {
                return Err(self.name.damaged(place, "a packed stream cut short", "its end"));
            }
            return Ok(Step::End);
        };
        let Some(message) = record.get::<MboMsg>().cloned() else {
            let found = format!("a record of type {:#04x}", record.header().rtype);
            return Err(self.name.bad(place, found, "a market-by-order record"));
        };
        out.push_back(self.event_of(&message)?);
        Ok(Step::Record)
    }

    fn describe(&self) -> String {
        format!("Databento market-by-order records of {}", self.name.as_str())
    }
}
