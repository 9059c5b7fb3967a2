//! The events that a scenario sends, made so that every one of them is answered by exactly one decision.
//!
//! | lane | before the run | then, over and over | answer |
//! |---|---|---|---|
//! | market | 20 levels a side of 16 instruments, the bids light | one of the five best bids is made heavy, then light again | buy when the book tips to the bid, sell when it tips back: `book-imbalance` with its defaults |
//! | payments | nothing | transactions of 2,000 customers at 1,000 terminals, without labels | approve, review or decline: `score-bands` |
//!
//! Invariant: frame `n` of a load is a function of `n` alone, and making it takes no memory.

use pinion_schemas::encode::{BookLevelEvent, Encoder, Stamp, TransactionEvent};
use pinion_schemas::ids::{ID_LEN_MAX, Id};
use pinion_schemas::wire::{BookAction, Channel, Lane, Side};
use pinion_transport::{BusConfig, Endpoint};

/// Publisher number in the frames.
const PUBLISHER_ID: u32 = 900;

/// Start of the loads' event time: 2026-01-01. Unit: ns since the Unix epoch.
const START_NS: i64 = 1_767_225_600_000_000_000;

const INSTRUMENTS: usize = 16;
const LEVELS: i64 = 20;
/// Bids that take turns in being heavy: those that `imbalance_5` looks at.
const NEAR_LEVELS: i64 = 5;
/// One unit of price, and one of quantity.
const UNIT: i64 = 1_000_000_000;
const ASK_QUANTITY: i64 = 20 * UNIT;
const HEAVY: i64 = 1_000 * UNIT;
const LIGHT: i64 = UNIT;

const CUSTOMERS: u64 = 2_000;
const TERMINALS: u64 = 1_000;
/// Event time between two payments: at this pace a customer pays twelve times a day.
const PAYMENT_GAP_NS: i64 = 3_600_000_000;
/// Payments prepared; the stream repeats them with new names and times.
const PAYMENTS: usize = 8_192;
const _: () = assert!(PAYMENTS.is_power_of_two());

/// A stream of frames for one lane.
pub struct Load {
    stream: Stream,
    encoder: Encoder,
    session: u64,
}

enum Stream {
    Market {
        before: Vec<BookLevelEvent>,
        turns: Vec<BookLevelEvent>,
    },
    Payments(Vec<TransactionEvent>),
}

impl Load {
    /// The load of a lane; anything but `Lane::Payment` is the market's.
    pub fn new(lane: Lane, session: u64) -> Self {
        let stream = if lane == Lane::Payment {
            Stream::Payments(payments())
        } else {
            let (before, turns) = market();
            Stream::Market { before, turns }
        };
        Self {
            stream,
            encoder: Encoder::new(),
            session,
        }
    }

    /// Where its frames go.
    pub fn endpoint<'a>(&self, bus: &'a BusConfig) -> &'a Endpoint {
        match self.stream {
            Stream::Market { .. } => &bus.market,
            Stream::Payments(_) => &bus.payments,
        }
    }

    /// Frames that come first and are not answered one by one.
    pub fn before_len(&self) -> usize {
        match &self.stream {
            Stream::Market { before, .. } => before.len(),
            Stream::Payments(_) => 0,
        }
    }

    /// Frame `index`, those that come first included; its publisher sequence is `index + 1`.
    ///
    /// Cost: a copy of the event and its encoding, 20 to 40 ns.
    pub fn frame(&mut self, index: usize) -> &[u8] {
        let stamp = Stamp {
            publisher_id: PUBLISHER_ID,
            session: self.session,
            sequence: index as u64 + 1,
            flags: 0,
        };
        match &mut self.stream {
            Stream::Market { before, turns } => {
                let event = match index.checked_sub(before.len()) {
                    None => &mut before[index],
                    Some(turn) => {
                        let turn = turn % turns.len();
                        &mut turns[turn]
                    }
                };
                event.event_ns = START_NS + index as i64 * 1_000;
                event.venue_sequence = index as u64 + 1;
                self.encoder.encode_book_level(&stamp, event)
            }
            Stream::Payments(payments) => {
                let event = &mut payments[index % PAYMENTS];
                event.event_ns = START_NS + index as i64 * PAYMENT_GAP_NS;
                write_hexadecimal(&mut event.transaction_id, index as u64);
                self.encoder.encode_transaction(&stamp, event)
            }
        }
    }
}

/// Writes `number` into the last sixteen bytes of a name.
fn write_hexadecimal(id: &mut Id, number: u64) {
    for (place, digit) in id.0.iter_mut().rev().zip(0..16) {
        *place = b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15];
    }
}

fn market() -> (Vec<BookLevelEvent>, Vec<BookLevelEvent>) {
    let level = |instrument: usize, side: Side, distance: i64, quantity: i64| BookLevelEvent {
        instrument: name("LAB", instrument as u64),
        price: match side {
            Side::Bid => (1_000 - distance) * UNIT,
            _ => (1_001 + distance) * UNIT,
        },
        quantity,
        order_count: 3,
        side,
        action: BookAction::Modify,
        ..BookLevelEvent::default()
    };
    let mut before = Vec::new();
    for instrument in 0..INSTRUMENTS {
        before.extend((0..LEVELS).map(|distance| level(instrument, Side::Ask, distance, ASK_QUANTITY)));
        before.extend((0..LEVELS).map(|distance| level(instrument, Side::Bid, distance, LIGHT)));
    }
    let mut turns = Vec::new();
    for distance in 0..NEAR_LEVELS {
        for quantity in [HEAVY, LIGHT] {
            turns.extend((0..INSTRUMENTS).map(|instrument| level(instrument, Side::Bid, distance, quantity)));
        }
    }
    (before, turns)
}

fn payments() -> Vec<TransactionEvent> {
    (0..PAYMENTS as u64)
        .map(|index| {
            let draw = mix(index);
            TransactionEvent {
                amount_minor: 100 + (draw >> 40) as i64 % 20_000,
                currency: 978,
                merchant_category: 5_411,
                channel: Channel::CardPresent,
                transaction_id: Id([b'0'; ID_LEN_MAX]),
                customer: name("customer-", draw % CUSTOMERS),
                terminal: name("terminal-", (draw >> 20) % TERMINALS),
                ..TransactionEvent::default()
            }
        })
        .collect()
}

fn name(prefix: &str, number: u64) -> Id {
    Id::new(&format!("{prefix}{number}")).expect("a short prefix and a number make a name")
}

/// SplitMix64's output function.
fn mix(index: u64) -> u64 {
    let mut z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_schemas::wire::{Frame, Limits, read};

    #[track_caller]
    fn check(lane: Lane, index: usize, look: impl FnOnce(Frame<'_>)) {
        let mut load = Load::new(lane, 7);
        look(read(load.frame(index), &Limits::default()).unwrap());
    }

    #[test]
    fn frames_are_numbered_without_gaps() {
        for lane in [Lane::Market, Lane::Payment] {
            for index in [0, 1, 5_000, 20_000] {
                check(lane, index, |frame| {
                    assert_eq!(frame.header().publisher_sequence(), index as u64 + 1)
                });
            }
        }
    }

    #[test]
    fn payments_repeat_under_new_names_and_times() {
        let mut load = Load::new(Lane::Payment, 7);
        let first = load.frame(0).to_vec();
        let again = load.frame(PAYMENTS).to_vec();
        let (Ok(Frame::Transaction(first)), Ok(Frame::Transaction(again))) =
            (read(&first, &Limits::default()), read(&again, &Limits::default()))
        else {
            panic!("expected two transactions");
        };
        assert_eq!(first.hot().customer(), again.hot().customer());
        assert_ne!(first.hot().transaction_id(), again.hot().transaction_id());
        assert!(first.hot().header().event_ns() < again.hot().header().event_ns());
    }
}
