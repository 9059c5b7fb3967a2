//! IEX DEEP 1.0 in a packet capture: price levels and trades of many instruments.
//!
//! ```text
//!   pcap ▷ Ethernet ▷ IPv4 ▷ UDP ▷ IEX-TP ▷ messages:   8, 5 ──▶ BookLevel of bid, ask      T ──▶ Trade
//! ```
//!
//! A record is one message; kinds without a place in the book (status, auction, administration) give no event.
//! Source: IEX DEEP Specification 1.0, IEX Transport Specification.

use std::collections::VecDeque;

use pinion_schemas::encode::{BookLevelEvent, Event, TradeEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Side};

use super::error::{ImportError, Place};
use super::input::{Input, bytes};
use super::source::{FLAG_MORE, RecordDecoder, SourceEvent, Step};

/// The longest packet that is read. Unit: bytes.
const PACKET_LEN_MAX: usize = 1 << 16;

/// Times in microseconds, little endian: the only kind of capture that is read.
const PCAP_MAGIC: [u8; 4] = [0xd4, 0xc3, 0xb2, 0xa1];
const LINK_ETHERNET: u32 = 1;
const DEEP_PROTOCOL: u16 = 0x8004;

const ETHERNET_LEN: usize = 14;
const UDP_LEN: usize = 8;
const TRANSPORT_LEN: usize = 40;
const LEVEL_LEN: usize = 30;
const TRADE_LEN: usize = 38;

/// Prices come in 1e-4, quantities in whole shares.
const PRICE_UNIT: i64 = 100_000;
const WHOLE: i64 = 1_000_000_000;

/// Reads the messages of one capture.
pub(crate) struct IexDecoder {
    input: Input,
    packet: Vec<u8>,
    packet_place: Place,
    next_message: usize,
    payload_end: usize,
    /// Bytes of the packet that were not recorded: the capture kept its beginning, or was stopped within it.
    missing_len: usize,
    started: bool,
}

impl IexDecoder {
    pub(crate) fn new(input: Input) -> Self {
        let packet_place = Place::Offset(0);
        let packet = Vec::new();
        Self {
            input,
            packet,
            packet_place,
            next_message: 0,
            payload_end: 0,
            missing_len: 0,
            started: false,
        }
    }

    fn read_file_header(&mut self) -> Result<(), ImportError> {
        let mut header = [0; 24];
        self.input.read(&mut header)?;
        let link = bytes::u32_le(&header, 20);
        if header[..4] != PCAP_MAGIC || link != LINK_ETHERNET {
            let found = format!("a header of {:02x?} and link type {link}", &header[..4]);
            let expected = "a little-endian pcap of Ethernet with times in microseconds";
            return Err(self.input.name.damaged(Place::Offset(0), found, expected));
        }
        self.started = true;
        Ok(())
    }

    /// Reads on to the next packet with messages; false at the end.
    fn read_packet(&mut self) -> Result<bool, ImportError> {
        if !self.started {
            self.read_file_header()?;
        }
        let place = Place::Offset(self.input.offset());
        let mut header = [0; 16];
        if !self.input.read_or_end(&mut header)? {
            return Ok(false);
        }
        let (kept_len, sent_len) = (
            bytes::u32_le(&header, 8) as usize,
            bytes::u32_le(&header, 12) as usize,
        );
        if kept_len > PACKET_LEN_MAX {
            let found = format!("a packet of {kept_len} bytes");
            return Err(self
                .input
                .name
                .damaged(place, found, format!("at most {PACKET_LEN_MAX}")));
        }
        self.packet.resize(kept_len, 0);
        let read_len = self.input.read_what_is_left(&mut self.packet)?;
        self.packet.truncate(read_len);
        self.packet_place = place;
        (self.next_message, self.payload_end) = (0, 0);
        self.missing_len = kept_len.max(sent_len) - read_len;
        self.find_messages()?;
        Ok(true)
    }

    /// Sets the bounds of the packet's messages.
    fn find_messages(&mut self) -> Result<(), ImportError> {
        let packet = &self.packet;
        let is_udp = packet.len() > ETHERNET_LEN + 20
            && bytes::u16_be(packet, 12) == 0x0800
            && packet[ETHERNET_LEN + 9] == 17;
        if !is_udp {
            return Err(self
                .input
                .name
                .bad(self.packet_place, "another kind of packet", "UDP over IPv4"));
        }
        let transport = ETHERNET_LEN + usize::from(packet[ETHERNET_LEN] & 0x0f) * 4 + UDP_LEN;
        let messages = transport + TRANSPORT_LEN;
        if packet.len() < messages || bytes::u16_le(packet, transport + 2) != DEEP_PROTOCOL {
            return Err(self
                .input
                .name
                .bad(self.packet_place, "another protocol", "IEX DEEP 1.0"));
        }
        let end = messages + usize::from(bytes::u16_le(packet, transport + 12));
        let recorded_end = end.min(packet.len());
        self.missing_len = end - recorded_end;
        (self.next_message, self.payload_end) = (messages, recorded_end);
        Ok(())
    }

    /// Takes the bounds of the next message from the packet. One that was not recorded to its end is a bad record.
    fn take_message(&mut self) -> Result<(usize, usize), ImportError> {
        let start = self.next_message + 2;
        let len_is_there = start <= self.payload_end;
        let end = if len_is_there {
            start + usize::from(bytes::u16_le(&self.packet, self.next_message))
        } else {
            usize::MAX
        };
        if end > self.payload_end || end == start {
            self.next_message = self.payload_end;
            let missing_len = std::mem::take(&mut self.missing_len);
            let found =
                format!("a message that does not fit its packet, of which {missing_len} bytes are missing");
            return Err(self
                .input
                .name
                .bad(self.packet_place, found, "a length and that many bytes"));
        }
        self.next_message = end;
        Ok((start, end))
    }

    fn event_of(&self, message: &[u8]) -> Result<Option<SourceEvent>, ImportError> {
        let expected_len = match message[0] {
            b'8' | b'5' => LEVEL_LEN,
            b'T' => TRADE_LEN,
            _ => return Ok(None),
        };
        if message.len() != expected_len {
            let found = format!("{} bytes of message {:?}", message.len(), char::from(message[0]));
            return Err(self.input.name.bad(self.packet_place, found, expected_len));
        }
        let symbol = String::from_utf8_lossy(&message[10..18]);
        let Some(instrument) = Id::new(symbol.trim_end()) else {
            return Err(self.input.name.bad(
                self.packet_place,
                format!("symbol {symbol:?}"),
                "an instrument's name",
            ));
        };
        Ok(Some(if message[0] == b'T' {
            trade(message, instrument)
        } else {
            level(message, instrument)
        }))
    }
}

fn level(message: &[u8], instrument: Id) -> SourceEvent {
    let event = BookLevelEvent {
        event_ns: bytes::i64_le(message, 2),
        instrument,
        price: bytes::i64_le(message, 22).saturating_mul(PRICE_UNIT),
        quantity: i64::from(bytes::u32_le(message, 18)) * WHOLE,
        side: if message[0] == b'8' { Side::Bid } else { Side::Ask },
        action: BookAction::Modify,
        ..BookLevelEvent::default()
    };
    let is_complete = message[1] & 1 == 1;
    SourceEvent {
        event: Event::BookLevel(event),
        flags: if is_complete { 0 } else { FLAG_MORE },
    }
}

fn trade(message: &[u8], instrument: Id) -> SourceEvent {
    let event = TradeEvent {
        event_ns: bytes::i64_le(message, 2),
        instrument,
        price: bytes::i64_le(message, 22).saturating_mul(PRICE_UNIT),
        quantity: i64::from(bytes::u32_le(message, 18)) * WHOLE,
        trade_id: bytes::i64_le(message, 30) as u64,
        ..TradeEvent::default()
    };
    Event::Trade(event).into()
}

impl RecordDecoder for IexDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        while self.next_message == self.payload_end && self.missing_len == 0 {
            if !self.read_packet()? {
                return Ok(Step::End);
            }
        }
        let (start, end) = self.take_message()?;
        out.extend(self.event_of(&self.packet[start..end])?);
        Ok(Step::Record)
    }

    fn describe(&self) -> String {
        format!("IEX DEEP messages of {}", self.input.name.as_str())
    }
}
