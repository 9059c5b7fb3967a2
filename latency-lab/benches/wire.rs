//! What it costs to take a frame off the bus: our reader beside its alternatives, in one interleaved run.
//!
//! ```text
//!   64 frames of each kind ──▶ every case once per round, in turn ──▶ median over the rounds ──▶ JSON lines
//! ```
//!
//! | access | what it does |
//! |---|---|
//! | `read` | `pinion_schemas::wire::read`: length cap, identifier, bounds, version |
//! | `flatc_verifier` | the verifier that `flatc` writes, with the same limits |
//! | `remembering` | the same bounds, but the vtable is compared with a known-good copy |
//! | `unchecked` | no check at all: the floor |
//!
//! Every access then reads all hot fields. `generic_payment` is a payment as one table of 20 fields, four of
//! them strings.
//! `--smoke` or `--test` runs each case a few times, to see that it works; so does a run without `--bench`.
//!
//! Invariant: all accesses of a kind read the same fields, and their checksums are compared.

#![allow(unsafe_code)] // To read without a check is what two of the accesses are about.

#[path = "generated/mod.rs"]
mod generated;

use std::hint::black_box;
use std::time::Instant;

use flatbuffers::{FlatBufferBuilder, Follow, Verifiable, VerifierOptions};
use generated::{Payment, PaymentArgs};
use pinion_schemas::encode::{
    self, BookLevelEvent, Encoder, Event, Stamp, TransactionEvent, TransactionText,
};
use pinion_schemas::hash::DecisionHash;
use pinion_schemas::ids::Id;
use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::{
    self, BookAction, BookLevel, BookLevelHot, Channel, Frame, FrameHeader, Limits, Side, Transaction,
    TransactionHot,
};

/// Frames of each kind; together they stay within the first cache, as fresh frames of the bus do.
const FRAMES: u64 = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_smoke = !has("--bench") || has("--smoke") || has("--test");
    let plan = if is_smoke {
        Plan { rounds: 3, passes: 2 }
    } else {
        Plan {
            rounds: 301,
            passes: 32,
        }
    };
    let mut cases = reading_cases();
    cases.extend(writing_cases());
    for report in plan.run(&mut cases) {
        println!("{report}");
    }
}

/// How often everything is done.
struct Plan {
    rounds: usize,
    /// Passes over the frames of a case in each round: 64 times as many operations are timed as one.
    passes: u64,
}

/// One thing to measure.
struct Case {
    name: &'static str,
    frame_len: usize,
    /// One pass: 64 operations; returns a checksum of what was read.
    pass: Box<dyn FnMut() -> u64>,
}

impl Plan {
    /// Runs each case once per round, in turn, so that a slow moment of the machine meets all of them.
    fn run(&self, cases: &mut [Case]) -> Vec<String> {
        let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(self.rounds); cases.len()];
        for _ in 0..self.rounds {
            for (case, times) in cases.iter_mut().zip(&mut times) {
                times.push(self.time(case));
            }
        }
        cases
            .iter()
            .zip(&mut times)
            .map(|(case, times)| self.report(case, times))
            .collect()
    }

    /// Unit: ns per operation.
    fn time(&self, case: &mut Case) -> f64 {
        let start = Instant::now();
        for _ in 0..self.passes {
            black_box((case.pass)());
        }
        start.elapsed().as_nanos() as f64 / (self.passes * FRAMES) as f64
    }

    fn report(&self, case: &Case, times: &mut [f64]) -> String {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
        let Case { name, frame_len, .. } = case;
        format!(
            r#"{{"bench":"wire","case":"{name}","frame_len":{frame_len},"median_ns":{:.2},"min_ns":{:.2},"p90_ns":{:.2},"rounds":{},"batch":{}}}"#,
            at(0.5),
            at(0.0),
            at(0.9),
            self.rounds,
            self.passes * FRAMES,
        )
    }
}

fn case(name: &'static str, frames: &[Vec<u8>], access: impl Fn(&[u8]) -> u64 + 'static) -> Case {
    let frames = frames.to_vec();
    let frame_len = frames[0].len();
    let pass = move || {
        frames
            .iter()
            .fold(0, |sum: u64, bytes| sum.wrapping_add(access(black_box(bytes))))
    };
    Case {
        name,
        frame_len,
        pass: Box::new(pass),
    }
}

/// The same cases, after a look that all of them read the same.
fn same<const N: usize>(mut cases: [Case; N]) -> [Case; N] {
    let sums = cases.each_mut().map(|case| (case.pass)());
    assert!(
        sums[0] != 0 && sums.iter().all(|sum| *sum == sums[0]),
        "{}: {sums:?}",
        cases[0].name
    );
    cases
}

fn reading_cases() -> Vec<Case> {
    let named = frames(|index| {
        Event::Transaction(TransactionEvent {
            text: None,
            ..full_transaction(index)
        })
    });
    let full = frames(|index| Event::Transaction(full_transaction(index)));
    let mut cases = Vec::from(reading_transactions());
    cases.extend(reading_levels());
    cases.extend(reading_generic_payments());
    cases.push(case("transaction_with_4_names/read", &named, read_transaction));
    cases.push(case("transaction_with_text/read", &full, read_transaction));
    cases
}

fn reading_transactions() -> [Case; 4] {
    let frames = frames(|index| Event::Transaction(transaction(index)));
    let memory = VtableMemory::of(&frames, &[]);
    same([
        case("transaction/read", &frames, read_transaction),
        case("transaction/flatc_verifier", &frames, |bytes| {
            verified::<Transaction<'_>>(bytes).map_or(0, |transaction| transaction_sum(transaction.hot()))
        }),
        case("transaction/remembering", &frames, move |bytes| {
            if memory.accepts(bytes) {
                transaction_sum(unchecked::<Transaction<'_>>(bytes).hot())
            } else {
                0
            }
        }),
        case("transaction/unchecked", &frames, |bytes| {
            transaction_sum(unchecked::<Transaction<'_>>(bytes).hot())
        }),
    ])
}

fn reading_levels() -> [Case; 4] {
    let frames = frames(|index| Event::BookLevel(level(index)));
    let memory = VtableMemory::of(&frames, &[]);
    same([
        case("book_level/read", &frames, |bytes| {
            match wire::read(bytes, &Limits::default()) {
                Ok(Frame::BookLevel(level)) => level_sum(level.hot()),
                _ => 0,
            }
        }),
        case("book_level/flatc_verifier", &frames, |bytes| {
            verified::<BookLevel<'_>>(bytes).map_or(0, |level| level_sum(level.hot()))
        }),
        case("book_level/remembering", &frames, move |bytes| {
            if memory.accepts(bytes) {
                level_sum(unchecked::<BookLevel<'_>>(bytes).hot())
            } else {
                0
            }
        }),
        case("book_level/unchecked", &frames, |bytes| {
            level_sum(unchecked::<BookLevel<'_>>(bytes).hot())
        }),
    ])
}

fn reading_generic_payments() -> Vec<Case> {
    let frames: Vec<Vec<u8>> = (1..=FRAMES).map(generic_payment).collect();
    let memory = VtableMemory::of(&frames, &STRINGS);
    let mut cases = Vec::from(same([
        case("generic_payment/flatc_verifier", &frames, |bytes| {
            verified::<Payment<'_>>(bytes).map_or(0, |payment| payment_sum(&payment))
        }),
        case("generic_payment/remembering", &frames, move |bytes| {
            if memory.accepts(bytes) {
                payment_sum(&unchecked::<Payment<'_>>(bytes))
            } else {
                0
            }
        }),
        case("generic_payment/unchecked", &frames, |bytes| {
            payment_sum(&unchecked::<Payment<'_>>(bytes))
        }),
    ]));
    let verify = |bytes: &[u8]| u64::from(verified::<Payment<'_>>(bytes).is_some());
    cases.push(case(
        "generic_payment/flatc_verifier_without_reading",
        &frames,
        verify,
    ));
    cases
}

/// What else is done to every frame or decision.
fn writing_cases() -> Vec<Case> {
    let plain = |index| Event::Transaction(transaction(index));
    let (encode_plain, encode_level) = (encoding(plain), encoding(|index| Event::BookLevel(level(index))));
    let record = DecisionRecord {
        sequence: 7,
        score: 0.5,
        ..DecisionRecord::default()
    };
    let mut out = vec![0; encode::decision_len()];
    let filling = move |index| {
        encode::fill_decision(&mut out, &stamp(index), black_box(&record), 1, Id::NONE);
        out[24].into()
    };
    let mut hash = DecisionHash::new();
    let hashing = move |_| {
        hash.add(black_box(record.core()));
        hash.value()
    };
    let ids: Vec<Id> = (1..=FRAMES).map(|index| id("transaction", index)).collect();
    vec![
        written("id/is_valid", move |index| {
            black_box(&ids[index as usize - 1]).is_valid().into()
        }),
        written("transaction/encode", encode_plain),
        written("book_level/encode", encode_level),
        written("decision/fill", filling),
        written("decision_core/hash", hashing),
    ]
}

fn encoding(event: impl Fn(u64) -> Event) -> impl FnMut(u64) -> u64 {
    let events: Vec<Event> = (1..=FRAMES).map(event).collect();
    let mut encoder = Encoder::new();
    move |index| {
        encoder
            .encode(&stamp(index), black_box(&events[index as usize - 1]))
            .len() as u64
    }
}

fn written(name: &'static str, mut write: impl FnMut(u64) -> u64 + 'static) -> Case {
    let pass = move || (1..=FRAMES).fold(0, |sum: u64, index| sum.wrapping_add(write(index)));
    Case {
        name,
        frame_len: 0,
        pass: Box::new(pass),
    }
}

// The accesses.

fn read_transaction(bytes: &[u8]) -> u64 {
    match wire::read(bytes, &Limits::default()) {
        Ok(Frame::Transaction(transaction)) => transaction_sum(transaction.hot()),
        _ => 0,
    }
}

fn verified<'a, T: Follow<'a> + Verifiable + 'a>(bytes: &'a [u8]) -> Option<T::Inner> {
    let options = VerifierOptions {
        max_depth: 8,
        max_tables: 64,
        max_apparent_size: 65_536,
        ignore_missing_null_terminator: false,
    };
    flatbuffers::root_with_opts::<T>(&options, bytes).ok()
}

fn unchecked<'a, T: Follow<'a> + 'a>(bytes: &'a [u8]) -> T::Inner {
    // SAFETY: every caller's frames come from the encoders below.
    unsafe { flatbuffers::root_unchecked::<T>(bytes) }
}

/// A verifier that takes frames with vtables it has seen before. A table's layout depends on the lengths of the
/// strings before it, so that even one publisher's frames have several.
#[derive(Default)]
struct VtableMemory {
    known: Vec<Known>,
}

/// A vtable and what follows from it.
struct Known {
    vtable: Vec<u8>,
    /// Length of the table itself, its distance to the vtable included.
    table_len: usize,
    /// Where the strings' offsets stand in the table.
    strings: Vec<usize>,
}

impl VtableMemory {
    fn of(frames: &[Vec<u8>], string_slots: &[u16]) -> Self {
        let mut memory = Self::default();
        for bytes in frames {
            let vtable = vtable(bytes).unwrap();
            let number =
                |at: u16| usize::from(u16::from_le_bytes(*vtable[at.into()..].first_chunk().unwrap()));
            if memory.known(vtable).is_none() {
                let strings = string_slots.iter().map(|&slot| number(slot)).collect();
                memory.known.push(Known {
                    vtable: vtable[..number(0)].to_vec(),
                    table_len: number(2),
                    strings,
                });
            }
        }
        memory
    }

    /// Whether everything of the frame that can be read lies within it.
    fn accepts(&self, bytes: &[u8]) -> bool {
        let Some((known, table)) = vtable(bytes)
            .and_then(|vtable| self.known(vtable))
            .zip(word(bytes, 0))
        else {
            return false;
        };
        table + known.table_len <= bytes.len()
            && known.strings.iter().all(|place| is_string(bytes, table + place))
    }

    fn known(&self, vtable: &[u8]) -> Option<&Known> {
        self.known.iter().find(|known| vtable.starts_with(&known.vtable))
    }
}

/// The frame from its root's vtable on.
fn vtable(bytes: &[u8]) -> Option<&[u8]> {
    let table = word(bytes, 0)?;
    let back = word(bytes, table)? as u32 as i32;
    bytes.get(usize::try_from(table as i64 - i64::from(back)).ok()?..)
}

fn is_string(bytes: &[u8], place: usize) -> bool {
    let text = word(bytes, place).and_then(|offset| {
        let (start, len) = (place + offset + 4, word(bytes, place + offset)?);
        let text = bytes.get(start..start + len)?;
        (*bytes.get(start + len)? == 0).then_some(text)
    });
    text.is_some_and(|text| std::str::from_utf8(text).is_ok())
}

fn word(bytes: &[u8], place: usize) -> Option<usize> {
    bytes
        .get(place..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes) as usize)
}

// What is read.

fn header_sum(header: &FrameHeader) -> u64 {
    header.publisher_session()
        ^ header.publisher_sequence()
        ^ header.event_ns() as u64
        ^ u64::from(header.publisher_id())
        ^ u64::from(header.flags())
}

/// Reads all 36 bytes.
fn id_sum(id: &wire::Id) -> u64 {
    let (words, rest) = id.0.as_chunks();
    let rest = u32::from_le_bytes(*rest.first_chunk().unwrap());
    words
        .iter()
        .fold(rest.into(), |sum, word| sum ^ u64::from_le_bytes(*word))
}

fn transaction_sum(hot: &TransactionHot) -> u64 {
    header_sum(hot.header())
        ^ hot.amount_minor() as u64
        ^ u64::from(hot.currency())
        ^ u64::from(hot.merchant_category())
        ^ u64::from(hot.channel().0)
        ^ u64::from(hot.outcome().0)
        ^ id_sum(hot.transaction_id())
        ^ id_sum(hot.customer())
        ^ id_sum(hot.terminal())
}

fn level_sum(hot: &BookLevelHot) -> u64 {
    header_sum(hot.header())
        ^ hot.price() as u64
        ^ hot.quantity() as u64
        ^ hot.venue_sequence()
        ^ u64::from(hot.order_count())
        ^ u64::from(hot.side().0)
        ^ u64::from(hot.action().0)
        ^ id_sum(hot.instrument())
}

fn payment_sum(payment: &Payment<'_>) -> u64 {
    let text = |text: Option<&str>| text.map_or(0, |text| text.len() as u64 ^ u64::from(text.as_bytes()[0]));
    payment.publisher_session()
        ^ payment.publisher_sequence()
        ^ payment.event_ns() as u64
        ^ u64::from(payment.publisher_id())
        ^ u64::from(payment.schema_version())
        ^ u64::from(payment.flags())
        ^ payment.amount_minor() as u64
        ^ u64::from(payment.currency())
        ^ u64::from(payment.merchant_category())
        ^ u64::from(payment.channel())
        ^ payment.latitude() as u64
        ^ payment.longitude() as u64
        ^ text(payment.transaction_id())
        ^ text(payment.customer())
        ^ text(payment.terminal())
        ^ text(payment.merchant_name())
        ^ payment.card()
        ^ payment.device()
        ^ payment.account()
        ^ u64::from(payment.country())
}

// The frames.

fn frames(event: impl Fn(u64) -> Event) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    (1..=FRAMES)
        .map(|index| encoder.encode(&stamp(index), &event(index)).to_vec())
        .collect()
}

fn stamp(index: u64) -> Stamp {
    Stamp {
        publisher_id: 7,
        session: 1_780_000_000_000_000_000,
        sequence: index,
        flags: 0,
    }
}

fn id(kind: &str, index: u64) -> Id {
    Id::new(&format!("{kind}-{}", index * 7919)).unwrap()
}

fn transaction(index: u64) -> TransactionEvent {
    TransactionEvent {
        event_ns: 1_780_000_000_000_000_000 + index as i64,
        amount_minor: 1_995 + index as i64,
        currency: 978,
        merchant_category: 5411,
        channel: Channel::CardPresent,
        transaction_id: id("transaction", index),
        customer: id("customer", index),
        terminal: id("terminal", index),
        ..TransactionEvent::default()
    }
}

fn full_transaction(index: u64) -> TransactionEvent {
    let text = TransactionText {
        merchant_name: Some("Corner Shop".to_owned()),
        merchant_city: Some("Leipzig".to_owned()),
        merchant_country: Some("DE".to_owned()),
        ..TransactionText::default()
    };
    TransactionEvent {
        card: id("card", index),
        merchant: id("merchant", index),
        device: id("device", index),
        account: id("account", index),
        text: Some(Box::new(text)),
        ..transaction(index)
    }
}

fn level(index: u64) -> BookLevelEvent {
    BookLevelEvent {
        event_ns: 1_780_000_000_000_000_000 + index as i64,
        instrument: Id::new("BTCUSDT").unwrap(),
        price: 97_000_000_000_000 + 10_000_000 * index as i64,
        quantity: 1_500_000_000,
        venue_sequence: index,
        order_count: 3,
        side: Side::Bid,
        action: BookAction::Modify,
    }
}

/// The slots of the strings in the vtable of a generic payment.
const STRINGS: [u16; 4] = [
    Payment::VT_TRANSACTION_ID,
    Payment::VT_CUSTOMER,
    Payment::VT_TERMINAL,
    Payment::VT_MERCHANT_NAME,
];

fn generic_payment(index: u64) -> Vec<u8> {
    let event = transaction(index);
    let mut builder = FlatBufferBuilder::new();
    let mut text = |text: &str| Some(builder.create_string(text));
    let args = PaymentArgs {
        publisher_session: stamp(index).session,
        publisher_sequence: index,
        event_ns: event.event_ns,
        publisher_id: 7,
        schema_version: 1,
        flags: 1,
        amount_minor: event.amount_minor,
        currency: event.currency,
        merchant_category: event.merchant_category,
        channel: event.channel.0,
        latitude: 51_340_000,
        longitude: 12_380_000,
        card: index,
        device: index + 1,
        account: index + 2,
        country: 276,
        transaction_id: text(event.transaction_id.as_str()),
        customer: text(event.customer.as_str()),
        terminal: text(event.terminal.as_str()),
        merchant_name: text("Corner Shop"),
    };
    let root = Payment::create(&mut builder, &args);
    builder.finish(root, Some("PNGP"));
    builder.finished_data().to_vec()
}
