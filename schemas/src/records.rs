//! The records that stages hand to each other through the rings.
//!
//! ```text
//!   ingest ──MarketRecord──▶ book ──BookRecord──▶ strategy ──┐
//!                                                            ├─DecisionRecord──▶ publish
//!   ingest ──PaymentRecord─▶ features ──FeatureRecord──▶ score ──ScoredRecord──▶ strategy
//! ```
//!
//! A record is `repr(C)`, a whole number of 64-byte lines, has no padding, and is valid for any bytes:
//! numbers that stand for an enum are plain integers, named in [`crate::wire`]'s generated enums.
//! Ids are dense numbers given by ingest ([`crate::ids::DENSE_ID_NONE`]: absent); the names stay in its tables.
//!
//! Invariant: what a record holds beside its `*_ns` stamps of the engine's clock is a function of the lane's
//! events alone, so that a replay can be compared byte for byte.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use crate::ids::Id;

/// A record is made of lines of this many bytes, the unit of coherence between cores.
pub const LINE_LEN: usize = 64;

/// Features in a vector at most.
pub const FEATURES_MAX: usize = 64;

/// Neighbours named with a score at most.
pub const NEIGHBOURS_MAX: usize = 8;

/// Reason codes on a decision at most.
pub const REASONS_MAX: usize = 8;

/// Kinds of market event: the value of [`Origin::kind`] in the market lane.
pub mod market_kind {
    /// Best bid and ask.
    pub const QUOTE: u8 = 1;
    /// A trade between others.
    pub const TRADE: u8 = 2;
    /// Book update by order.
    pub const BOOK_ORDER: u8 = 3;
    /// Book update by price level.
    pub const BOOK_LEVEL: u8 = 4;
    /// State of an own order.
    pub const OWN_ORDER: u8 = 5;
    /// Fill of an own order.
    pub const OWN_FILL: u8 = 6;
}

/// Kinds of payment event: the value of [`Origin::kind`] in the payment lane.
pub mod payment_kind {
    /// A payment to decide on.
    pub const TRANSACTION: u8 = 1;
    /// What became known of a transaction.
    pub const LABEL: u8 = 2;
    /// A change of an account.
    pub const ACCOUNT: u8 = 3;
}

/// Bits of [`PaymentRecord::fresh`].
pub mod fresh {
    /// The customer.
    pub const CUSTOMER: u8 = 1;
    /// The terminal.
    pub const TERMINAL: u8 = 2;
    /// The card.
    pub const CARD: u8 = 4;
    /// The merchant.
    pub const MERCHANT: u8 = 8;
    /// The device.
    pub const DEVICE: u8 = 16;
    /// The account.
    pub const ACCOUNT: u8 = 32;
}

/// Kinds of journal entry: the value of [`EntryHeader::kind`].
pub mod entry_kind {
    /// A frame as it was received. `sequence`, `input_index`, `stamp_ns` are those given at ingest.
    pub const INPUT: u8 = 1;
    /// A [`super::DecisionRecord`]; its action is never `None`.
    pub const DECISION: u8 = 2;
    /// The journal's own, without a payload, written at an orderly close: it carries the last durable position.
    /// Its readers skip it.
    pub const MARK: u8 = 3;
}

/// Bits of [`DecisionRecord::flags`] and [`DecisionRecord::run_flags`].
pub mod decision_flag {
    /// Decided after a restart; it may have been published before with the same sequence.
    pub const RECOVERED: u8 = 1;
    /// Decided without a score.
    pub const DEGRADED: u8 = 2;
    /// Not scored, because those before it left no time for it; never without [`DEGRADED`].
    pub const SHED: u8 = 4;
    /// Scored after an odd number of exchanges of the model or its bank: says where in the lane one took place.
    pub const EXCHANGED: u8 = 8;
}

/// Where an event came from, when, and its place in its lane. The first line of every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Origin {
    /// Place in the lane, from 1, without gaps.
    pub sequence: u64,
    /// Place among all accepted inputs of both lanes, from 1: what the journal's gate counts.
    pub input_index: u64,
    /// The publisher's session.
    pub publisher_session: u64,
    /// The publisher's count within its session.
    pub publisher_sequence: u64,
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's.
    pub event_ns: i64,
    /// Time of acceptance. Unit: ns since the Unix epoch. Clock: the engine's.
    pub ingest_ns: i64,
    /// The publisher.
    pub publisher_id: u32,
    /// The frame's flags: bit 0 more follow, bit 1 snapshot.
    pub frame_flags: u16,
    /// [`market_kind`] or [`payment_kind`].
    pub kind: u8,
    /// [`crate::wire::Lane`] as a number.
    pub lane: u8,
    /// Bits of [`decision_flag`] that the decision inherits.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// A market event with a dense instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct MarketRecord {
    /// Line 0.
    pub origin: Origin,
    /// Quote: bid price. Else: price. Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// Quote: bid quantity. Else: quantity. Unit: 1e-9 of the instrument's unit.
    pub quantity: i64,
    /// Quote: ask price. Own fill: fee. Unit: 1e-9 of the quote currency.
    pub price_2: i64,
    /// Quote: ask quantity. Own order: leaves quantity. Unit: 1e-9 of the instrument's unit.
    pub quantity_2: i64,
    /// Book and own orders: the order. Trade: trade id.
    pub order_id: u64,
    /// The venue's sequence, 0 if none. Own fill: execution id.
    pub venue_sequence: u64,
    /// Dense instrument.
    pub instrument: u32,
    /// Book level: orders at the level.
    pub order_count: u32,
    /// [`crate::wire::Side`] as a number; trade: the aggressor.
    pub side: u8,
    /// [`crate::wire::BookAction`], or [`crate::wire::OrderState`] of an own order, or
    /// [`crate::wire::Liquidity`] of an own fill.
    pub action: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// A payment event with dense entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct PaymentRecord {
    /// Line 0.
    pub origin: Origin,
    /// Amount; account update: the limit. Unit: minor currency units.
    pub amount_minor: i64,
    /// Label: time of the transaction it speaks of. Unit: ns since the Unix epoch. Else 0.
    pub transaction_ns: i64,
    /// Dense customer.
    pub customer: u32,
    /// Dense terminal.
    pub terminal: u32,
    /// Dense card.
    pub card: u32,
    /// Dense merchant.
    pub merchant: u32,
    /// Dense device.
    pub device: u32,
    /// Dense account.
    pub account: u32,
    /// ISO 4217 numeric code.
    pub currency: u16,
    /// ISO 18245 code.
    pub merchant_category: u16,
    /// [`crate::wire::Channel`] as a number.
    pub channel: u8,
    /// Label: [`crate::wire::Verdict`] as a number.
    pub verdict: u8,
    /// Label: [`crate::wire::LabelSource`]; account update: [`crate::wire::AccountChange`].
    pub detail: u8,
    /// Bits of [`fresh`]: these dense ids were given with this event, so what is known under them is of
    /// another entity or of none, and must be forgotten first.
    pub fresh: u8,
    /// Transaction: [`crate::wire::Outcome`] as a number.
    pub outcome: u8,
    /// Zero.
    pub reserved: [u8; 15],
    /// The transaction (of a label: the one it speaks of).
    pub transaction_id: Id,
    /// Zero.
    pub reserved_2: [u8; 20],
    /// Hash of the feature set that the vector behind the record was read by; 0 before the features.
    pub feature_set_hash: u64,
}

impl Default for PaymentRecord {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

/// A payment event with its features; a label's or account update's vector is all zero.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct FeatureRecord {
    /// The event.
    pub payment: PaymentRecord,
    /// The vector; features past the set's length are 0.
    pub features: [f32; FEATURES_MAX],
}

impl Default for FeatureRecord {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

/// What the model said of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Score {
    /// First eight bytes of the BLAKE3 hash of the model's manifest.
    pub model_hash: u64,
    /// The score was known. Unit: ns since the Unix epoch. Clock: the engine's.
    pub scored_ns: i64,
    /// Fraud score in 0..=1.
    pub score: f32,
    /// Share of fraud among the neighbours' votes, 0..=1.
    pub fraud_share: f32,
    /// Neighbours set in the arrays below.
    pub neighbour_count: u8,
    /// Reasons set in `reasons`.
    pub reason_count: u8,
    /// Bits of [`decision_flag`].
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// Reason codes of the model: 1 + index of the feature.
    pub reasons: [u16; REASONS_MAX],
    /// How far each of these features is from what it was in the entity's earlier payments, or without such from its
    /// mean in training. Unit: hundredths of a standard deviation; saturates.
    pub deviations: [i16; REASONS_MAX],
    /// Bank row of each neighbour, nearest first.
    pub neighbour_rows: [u32; NEIGHBOURS_MAX],
    /// Cosine similarity of each, -1..=1.
    pub similarities: [f32; NEIGHBOURS_MAX],
}

/// A payment with its score. Its lines are what a payment strategy sees.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct ScoredRecord {
    /// The event.
    pub payment: PaymentRecord,
    /// What the model said; all zero for labels and account updates.
    pub score: Score,
    /// The vector it said it of.
    pub features: [f32; FEATURES_MAX],
}

impl Default for ScoredRecord {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

/// Top of book and what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct TopOfBook {
    /// Best bid, 0 with quantity 0 if none. Unit: 1e-9 of the quote currency.
    pub bid_price: i64,
    /// Quantity at the best bid. Unit: 1e-9 of the instrument's unit.
    pub bid_quantity: i64,
    /// Best ask, 0 with quantity 0 if none.
    pub ask_price: i64,
    /// Quantity at the best ask.
    pub ask_quantity: i64,
    /// Price of the last trade, 0 before the first.
    pub last_price: i64,
    /// The event had been applied. Unit: ns since the Unix epoch. Clock: the engine's.
    pub booked_ns: i64,
    /// Levels on the bid side.
    pub bid_levels: u32,
    /// Levels on the ask side.
    pub ask_levels: u32,
    /// (bid - ask) / (bid + ask) of the quantities over the nearest levels, -1..=1; 0 if one side is empty.
    pub imbalance: f32,
    /// The same over the five best levels.
    pub imbalance_5: f32,
}

/// A market event with the book after it. Its lines are what a market strategy sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct BookRecord {
    /// The event.
    pub market: MarketRecord,
    /// The book of its instrument after it.
    pub top: TopOfBook,
}

/// A decision on its way out. The first [`DECISION_CORE_LEN`] bytes are a function of the lane's events;
/// the last line holds the stamps of the engine's clock and the inputs of the gate.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct DecisionRecord {
    /// Place of the event in its lane, from 1, without gaps.
    pub sequence: u64,
    /// Identity of the event.
    pub input_session: u64,
    /// Identity of the event.
    pub input_sequence: u64,
    /// Time of the event. Unit: ns since the Unix epoch. Clock: the publisher's.
    pub event_ns: i64,
    /// See `DecisionHot.value`.
    pub value: i64,
    /// See `DecisionHot.quantity`.
    pub quantity: i64,
    /// See `DecisionHot.model_hash`.
    pub model_hash: u64,
    /// See `DecisionHot.strategy_hash`.
    pub strategy_hash: u64,
    /// See `DecisionHot.config_hash`.
    pub config_hash: u64,
    /// Reason codes; `reason_count` of them are set.
    pub reasons: [u16; REASONS_MAX],
    /// Identity of the event.
    pub input_publisher_id: u32,
    /// See `DecisionHot.score`.
    pub score: f32,
    /// [`crate::wire::Lane`] as a number.
    pub lane: u8,
    /// [`crate::wire::Action`] as a number.
    pub action: u8,
    /// Reasons set.
    pub reason_count: u8,
    /// [`decision_flag::DEGRADED`] and [`decision_flag::SHED`] only; what depends on the run stands in `run_flags`.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 4],
    /// The transaction, or all zero: a market decision's instrument is filled in at the way out.
    pub subject: Id,
    /// Market: dense instrument, else [`crate::ids::DENSE_ID_NONE`].
    pub instrument: u32,
    /// Beside `reasons`: see [`Score::deviations`]; 0 where a reason is no feature.
    pub deviations: [i16; REASONS_MAX],
    /// Zero.
    pub reserved_2: [u8; 32],
    /// End of the core: time of acceptance.
    pub ingest_ns: i64,
    /// The score, or the state of the book, was known.
    pub scored_ns: i64,
    /// The strategy had answered.
    pub decided_ns: i64,
    /// Handed to the bus; 0 until then.
    pub published_ns: i64,
    /// What the gate waits for: see [`Origin::input_index`].
    pub input_index: u64,
    /// Bits of [`decision_flag`] that depend on the run.
    pub run_flags: u8,
    /// Zero.
    pub reserved_3: [u8; 23],
}

/// Bytes at the start of a [`DecisionRecord`] that a replay must reproduce.
pub const DECISION_CORE_LEN: usize = offset_of!(DecisionRecord, ingest_ns);

impl Default for DecisionRecord {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl DecisionRecord {
    /// The bytes that a replay must reproduce.
    pub fn core(&self) -> &[u8] {
        &self.as_bytes()[..DECISION_CORE_LEN]
    }
}

/// A frame that was not accepted, on its way to the publisher of rejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct RejectRecord {
    /// As far as it could be read, else 0.
    pub input_session: u64,
    /// As far as it could be read, else 0.
    pub input_sequence: u64,
    /// See `RejectHot.found`.
    pub found: u64,
    /// See `RejectHot.expected`.
    pub expected: u64,
    /// The engine saw it. Unit: ns since the Unix epoch. Clock: the engine's.
    pub ingest_ns: i64,
    /// As far as it could be read, else 0.
    pub input_publisher_id: u32,
    /// Length of the frame in bytes.
    pub frame_len: u32,
    /// [`crate::wire::RejectReason`] as a number.
    pub reason: u8,
    /// [`crate::wire::Lane`] as a number: the stream it came on.
    pub lane: u8,
    /// Zero.
    pub reserved: [u8; 14],
}

/// Stands before every payload in the journal's ring and in its segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct EntryHeader {
    /// CRC32C of the rest of the header and the payload, seeded with the segment; filled in by the journal.
    pub checksum: u32,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// Input: place among all inputs. Decision: that of its input.
    pub input_index: u64,
    /// Place of the event in its lane.
    pub sequence: u64,
    /// Input: time of acceptance. Decision: when it was decided. Unit: ns since the Unix epoch.
    pub stamp_ns: i64,
    /// The journal's durable position when the entry's block was written; filled in by the journal.
    pub durable_position: u64,
    /// [`entry_kind`].
    pub kind: u8,
    /// [`crate::wire::Lane`] as a number.
    pub lane: u8,
    /// Input: bits of [`decision_flag`] that were decided at its acceptance, [`decision_flag::SHED`] and what goes with it.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 21],
}

const _: () = assert!(size_of::<RejectRecord>() == LINE_LEN);
const _: () = assert!(size_of::<EntryHeader>() == LINE_LEN);
const _: () = assert!(size_of::<Origin>() == LINE_LEN);
const _: () = assert!(size_of::<MarketRecord>() == 2 * LINE_LEN);
const _: () = assert!(offset_of!(MarketRecord, price) == LINE_LEN);
const _: () = assert!(size_of::<PaymentRecord>() == 3 * LINE_LEN);
const _: () = assert!(offset_of!(PaymentRecord, amount_minor) == LINE_LEN);
const _: () = assert!(offset_of!(PaymentRecord, transaction_id) == 2 * LINE_LEN);
const _: () = assert!(size_of::<FeatureRecord>() == 7 * LINE_LEN);
const _: () = assert!(size_of::<Score>() == 2 * LINE_LEN);
const _: () = assert!(offset_of!(Score, neighbour_rows) == LINE_LEN);
const _: () = assert!(size_of::<ScoredRecord>() == 9 * LINE_LEN);
const _: () = assert!(size_of::<TopOfBook>() == LINE_LEN);
const _: () = assert!(size_of::<BookRecord>() == 3 * LINE_LEN);
const _: () = assert!(size_of::<DecisionRecord>() == 4 * LINE_LEN);
const _: () = assert!(DECISION_CORE_LEN == 3 * LINE_LEN);
