//! The way of one frame: read, judged, numbered, written; or refused, and nothing else happens.
//!
//! ```text
//!   bytes ─▶ wire::read ─▶ fields ─▶ session ─▶ a place in every table ┃ numbers ─▶ record ─▶ ring
//!               │            │          │                 │            ┃    └─▶ bytes ─▶ journal
//!               └────────────┴──────────┴─────────────────┘            ┃
//!                    refused: no trace                                 ┃  accepted: cannot fail any more
//! ```
//!
//! Live and recorded frames go the same way. A recorded one brings its numbers and its stamp along and is not
//! journaled again.
//!
//! Invariant: what becomes of a frame, and the record it becomes beside its stamp, is a function of the lane's
//! accepted frames before it and of itself.

use pinion_journal::Entry;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::faults::{ErrorLog, Fault, FaultKind};
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{EntryProducer, Producer, lines_needed};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{
    EntryHeader, MarketRecord, Origin, PaymentRecord, RejectRecord, decision_flag, entry_kind, fresh,
};
use pinion_schemas::wire::{self, Frame, FrameHeader, Lane, Limits, RejectReason};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::config::{IngestConfig, SECOND_NS, TableConfig, WhenFull};
use crate::counters::{LaneCounters, RefusalCounters, TableCounters};
use crate::dead_letters::DeadLetters;
use crate::error::IngestError;
use crate::interning::{IdTable, Interned, Place};
use crate::refusal::{Field, Refusal, not_negative};
use crate::sessions::{Identity, Sessions, Standing, Verdict};
use crate::shedding::{Pressure, Shedding};
use crate::{market, payment};

/// Bits of a frame's flags that have a meaning.
const FRAME_FLAGS: u16 = 0b11;

/// What is decided of an input at its acceptance: journaled with it, and gone by whenever it is run again.
const AT_ACCEPTANCE: u8 = decision_flag::SHED | decision_flag::DEGRADED;

/// The rings and files that ingest writes to, and what else it is handed at start.
pub struct Ports {
    /// Market records, to the book.
    pub market: Producer<MarketRecord>,
    /// Payment records, to the features.
    pub payments: Producer<PaymentRecord>,
    /// Received frames, to the journal; none: nothing is journaled.
    pub journal: Option<EntryProducer>,
    /// Refused frames, to be answered.
    pub rejects: Producer<RejectRecord>,
    /// Refused frames, to be kept.
    pub dead_letters: DeadLetters,
    /// Names of the instruments, for whoever publishes them.
    pub instruments: NameTable,
    /// What goes wrong.
    pub faults: ErrorLog,
    /// Closed when no more frames shall be taken.
    pub gate: IngestGate,
    /// How long payments wait for their score; none: nothing is shed.
    pub pressure: Option<Pressure>,
}

/// Where a frame comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Live,
    Recorded {
        input_index: u64,
        sequence: u64,
        flags: u8,
    },
}

/// A frame on its way: its bytes, and what is known before it is read.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    bytes: &'a [u8],
    stamp_ns: i64,
    source: Source,
}

/// What became of a frame that was not refused.
enum Outcome {
    Accepted { origin: Origin, standing: Standing },
    Duplicate { sequence: u64 },
}

/// The numbers of the last frame of a lane that was accepted or recorded; all 0 before the first.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Last {
    pub(crate) sequence: u64,
    pub(crate) input_index: u64,
    /// Unit: ns since the Unix epoch. Clock: the engine's.
    pub(crate) stamp_ns: i64,
}

/// What both lanes have.
pub(crate) struct LaneState {
    lane: Lane,
    pub(crate) sessions: Sessions,
    pub(crate) last: Last,
    /// How far ahead of its acceptance an event may be; none: as far as it likes.
    ahead_ns_max: Option<i64>,
    counters: LaneCounters,
}

/// A table of ids with its name and counters.
pub(crate) struct Table {
    pub(crate) ids: IdTable,
    /// What its counters begin with, and the name of its regions.
    pub(crate) name: &'static str,
    field: Field,
    counters: TableCounters,
}

struct MarketLane {
    state: LaneState,
    instruments: Table,
    names: NameTable,
    output: Producer<MarketRecord>,
}

pub(crate) struct PaymentLane {
    pub(crate) state: LaneState,
    /// Recorded inputs up to this sequence are known already.
    resumed_sequence: u64,
    recorded_skipped: Counter,
    customers: Table,
    terminals: Table,
    cards: Table,
    merchants: Table,
    devices: Table,
    accounts: Table,
    shedding: Shedding,
    output: Producer<PaymentRecord>,
}

/// What becomes of refused frames.
struct Refusals {
    letters: DeadLetters,
    output: Producer<RejectRecord>,
    counters: RefusalCounters,
}

/// Everything that a frame passes through.
pub(crate) struct Acceptor {
    limits: Limits,
    market: MarketLane,
    payments: PaymentLane,
    journal: Option<EntryProducer>,
    journal_lines_max: usize,
    /// The last index given.
    input_index: u64,
    /// The last stamp given.
    stamp_ns: i64,
    refusals: Refusals,
    faults: ErrorLog,
}

impl Acceptor {
    /// Reserves all memory; a page of it is taken when it is first written.
    pub(crate) fn new(config: &IngestConfig, ports: Ports, counters: &Counters) -> Result<Self, IngestError> {
        config.validate()?;
        let limits = Limits {
            frame_len_max: config.frame_len_max,
            ..Limits::default()
        };
        let journal_lines_max = lines_needed(config.frame_len_max as usize);
        check_ports(config, &ports, journal_lines_max)?;
        Ok(Self {
            limits,
            market: MarketLane::new(config, ports.market, ports.instruments, counters),
            payments: PaymentLane::new(config, (ports.payments, ports.pressure), counters),
            journal: ports.journal,
            journal_lines_max,
            input_index: 0,
            stamp_ns: 0,
            refusals: Refusals {
                letters: ports.dead_letters,
                output: ports.rejects,
                counters: RefusalCounters::new(counters),
            },
            faults: ports.faults,
        })
    }

    /// Frames of `lane` that can be accepted now without any ring running full, up to `count_max`. 0 is
    /// counted.
    pub(crate) fn room(&self, lane: Lane, count_max: usize) -> usize {
        let output = if lane == Lane::Market {
            self.market.output.free()
        } else {
            self.payments.output.free()
        };
        let room = count_max.min(output).min(self.journal_room());
        if room == 0 {
            self.state(lane).counters.back_pressured.increment();
        }
        room
    }

    /// Whether a recorded input of either lane can be accepted now.
    pub(crate) fn has_room_for_recorded(&self) -> bool {
        self.market.output.free() > 0 && self.payments.output.free() > 0
    }

    /// Takes one live frame of `lane`.
    ///
    /// Bound: at most as many frames as [`Self::room`] said since it was asked.
    /// Cost:  see [`wire::read`], plus a line or two per id and the copies into the two rings; no heap call.
    pub(crate) fn take_live(&mut self, lane: Lane, bytes: &[u8], now_ns: i64) {
        self.stamp_ns = self.stamp_ns.max(now_ns);
        let arrival = Arrival {
            bytes,
            stamp_ns: self.stamp_ns,
            source: Source::Live,
        };
        match self.accept(lane, arrival) {
            Ok(Outcome::Accepted { origin, standing }) => {
                self.write_to_journal(&origin, bytes);
                self.note_standing(lane, standing, &origin);
                self.state(lane).counters.accepted.increment();
            }
            Ok(Outcome::Duplicate { sequence }) => {
                self.state(lane).counters.duplicates.increment();
                self.record(FaultKind::PublisherDuplicate, sequence);
            }
            Err(refusal) => self.refuse(lane, bytes, refusal),
        }
    }

    /// Takes all memory now, so that no frame waits for the system.
    pub(crate) fn prefault(&mut self) {
        self.market.state.sessions.prefault();
        self.market.instruments.ids.prefault();
        self.payments.state.sessions.prefault();
        for table in self.payments.tables_mut() {
            table.ids.prefault();
        }
    }

    /// Sequence of the last event of `lane` that was accepted.
    pub(crate) fn sequence(&self, lane: Lane) -> u64 {
        self.state(lane).last.sequence
    }

    /// The dense number of a payment's entity, or [`DENSE_ID_NONE`]; nothing is changed.
    pub(crate) fn dense_of(&self, field: Field, id: &Id) -> u32 {
        let tables = self.payments.tables();
        let table = tables.into_iter().find(|table| table.field == field);
        match table.map(|table| table.ids.find_optional(id)) {
            Some(Place::Known(dense)) => dense,
            _ => DENSE_ID_NONE,
        }
    }

    /// What the payment lane knows.
    pub(crate) fn payments(&self) -> &PaymentLane {
        &self.payments
    }

    /// What the payment lane knows, to be filled; then [`Self::resume_payments`].
    pub(crate) fn payments_mut(&mut self) -> &mut PaymentLane {
        &mut self.payments
    }

    /// Goes on behind what was filled in: recorded payments up to `sequence`, its last one, are passed over.
    pub(crate) fn resume_payments(&mut self, sequence: u64) {
        self.payments.resume(sequence);
        self.input_index = self.input_index.max(self.payments.state.last.input_index);
        self.stamp_ns = self.stamp_ns.max(self.payments.state.last.stamp_ns);
    }

    /// Takes one input from the journal. One that this configuration does not accept is counted; the numbers
    /// of those after it stay as they were recorded. One that was known at the resumption is passed over.
    pub(crate) fn take_recorded(&mut self, entry: &Entry<'_>) {
        let header = entry.header;
        let lane = Lane(header.lane);
        if lane == Lane::Payment && header.sequence <= self.payments.resumed_sequence {
            self.payments.recorded_skipped.increment();
        } else {
            let outcome = self.accept_recorded(lane, entry);
            self.state_mut(lane).last = Last::recorded(header);
            self.count_recorded(lane, outcome, header.input_index);
        }
        self.stamp_ns = self.stamp_ns.max(header.stamp_ns);
        self.input_index = header.input_index;
    }

    /// From here on frames are live. A journal without inputs counts as none.
    pub(crate) fn end_recovery(&mut self) {
        if self.input_index > 0 {
            self.market.state.sessions.end_recovery();
            self.payments.state.sessions.end_recovery();
        }
    }

    fn accept_recorded(&mut self, lane: Lane, entry: &Entry<'_>) -> Result<Outcome, Refusal> {
        let source = Source::Recorded {
            input_index: entry.header.input_index,
            sequence: entry.header.sequence,
            flags: entry.header.flags & AT_ACCEPTANCE,
        };
        let arrival = Arrival {
            bytes: entry.payload,
            stamp_ns: entry.header.stamp_ns,
            source,
        };
        self.accept(lane, arrival)
    }

    fn count_recorded(&self, lane: Lane, outcome: Result<Outcome, Refusal>, input_index: u64) {
        let counters = &self.state(lane).counters;
        match outcome {
            Ok(Outcome::Accepted { .. }) => counters.recorded.increment(),
            Ok(Outcome::Duplicate { .. }) | Err(_) => {
                counters.recorded_refused.increment();
                self.record(FaultKind::RecordedRefused, input_index);
            }
        }
    }

    fn accept(&mut self, lane: Lane, arrival: Arrival<'_>) -> Result<Outcome, Refusal> {
        let frame = wire::read(arrival.bytes, &self.limits)?;
        if lane == Lane::Market {
            self.market
                .accept(&frame, arrival, self.input_index + 1, &self.faults)
        } else {
            self.payments
                .accept(&frame, arrival, self.input_index + 1, &self.faults)
        }
        .inspect(|outcome| {
            if let Outcome::Accepted { origin, .. } = outcome {
                self.input_index = origin.input_index;
            }
        })
    }

    fn refuse(&mut self, lane: Lane, bytes: &[u8], refusal: Refusal) {
        let (publisher_id, session, sequence) = wire::peek_header(bytes).unwrap_or_default();
        let state = self.state_mut(lane);
        state.sessions.refuse(Identity {
            publisher_id,
            session,
            sequence,
        });
        state.counters.rejected.increment();
        let reject = RejectRecord {
            input_session: session,
            input_sequence: sequence,
            found: refusal.found,
            expected: refusal.expected,
            ingest_ns: self.stamp_ns,
            input_publisher_id: publisher_id,
            frame_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            reason: refusal.reason.0,
            lane: lane.0,
            ..RejectRecord::default()
        };
        self.refusals.take(&reject, refusal.reason, bytes);
        self.record(fault_kind(refusal), refusal.found);
    }

    fn write_to_journal(&mut self, origin: &Origin, bytes: &[u8]) {
        if let Some(journal) = &mut self.journal {
            let header = EntryHeader {
                input_index: origin.input_index,
                sequence: origin.sequence,
                stamp_ns: origin.ingest_ns,
                kind: entry_kind::INPUT,
                lane: origin.lane,
                flags: origin.flags & AT_ACCEPTANCE,
                ..EntryHeader::default()
            };
            assert!(
                journal.try_write(&header, bytes),
                "the journal's ring has room for every frame polled"
            );
        }
    }

    fn note_standing(&self, lane: Lane, standing: Standing, origin: &Origin) {
        if standing == Standing::default() {
            return;
        }
        let counters = &self.state(lane).counters;
        if standing.is_restart {
            counters.restarts.increment();
            self.record(FaultKind::PublisherRestart, u64::from(origin.publisher_id));
        }
        if standing.missing > 0 && standing.is_first_after_recovery {
            counters.lost_unacknowledged.add(standing.missing);
            self.record(FaultKind::LostUnacknowledged, standing.missing);
        } else if standing.missing > 0 {
            counters.gaps.increment();
            counters.missing.add(standing.missing);
            self.record(FaultKind::PublisherGap, standing.missing);
        }
    }

    fn journal_room(&self) -> usize {
        // Each frame may take the longest entry, and one gap at the end of the ring's memory may be left.
        self.journal.as_ref().map_or(usize::MAX, |journal| {
            (journal.free_lines() + 1).saturating_sub(self.journal_lines_max) / self.journal_lines_max
        })
    }

    fn record(&self, kind: FaultKind, detail: u64) {
        self.faults.record(Fault::new(kind, detail), self.stamp_ns);
    }

    fn state(&self, lane: Lane) -> &LaneState {
        if lane == Lane::Market {
            &self.market.state
        } else {
            &self.payments.state
        }
    }

    fn state_mut(&mut self, lane: Lane) -> &mut LaneState {
        if lane == Lane::Market {
            &mut self.market.state
        } else {
            &mut self.payments.state
        }
    }
}

impl MarketLane {
    fn new(
        config: &IngestConfig,
        output: Producer<MarketRecord>,
        names: NameTable,
        counters: &Counters,
    ) -> Self {
        let table = TableConfig {
            ids_max: config.instruments_max,
            when_full: WhenFull::Reject,
        };
        Self {
            state: LaneState::new(Lane::Market, "market", config, counters),
            instruments: Table::new(&table, Field::Instrument, "ingest.instruments", counters),
            names,
            output,
        }
    }

    fn accept(
        &mut self,
        frame: &Frame<'_>,
        arrival: Arrival<'_>,
        next_index: u64,
        faults: &ErrorLog,
    ) -> Result<Outcome, Refusal> {
        let facts =
            market::check(frame).unwrap_or_else(|| Err(foreign(frame, arrival.bytes, Lane::Market)))?;
        let identity = self.state.identity(frame.header(), arrival)?;
        let Some(standing) = self.state.judge(identity)? else {
            return Ok(Outcome::Duplicate {
                sequence: identity.sequence,
            });
        };
        let place = self.instruments.place(&facts.instrument)?;

        let origin = self.state.enter(frame.header(), facts.kind, arrival, next_index);
        let instrument = self
            .instruments
            .commit(&facts.instrument, place, faults, origin.ingest_ns);
        if instrument.is_fresh {
            assert!(
                self.names.set(instrument.dense, facts.instrument),
                "a number is given to one instrument"
            );
        }
        let is_written = self
            .output
            .push_with(|record| market::fill(record, frame, origin, instrument.dense));
        assert!(is_written, "the ring to the book has room for every frame polled");
        Ok(Outcome::Accepted { origin, standing })
    }
}

impl PaymentLane {
    fn new(
        config: &IngestConfig,
        (output, pressure): (Producer<PaymentRecord>, Option<Pressure>),
        counters: &Counters,
    ) -> Self {
        Self {
            state: LaneState::new(Lane::Payment, "payment", config, counters),
            resumed_sequence: 0,
            recorded_skipped: counters.counter("ingest.payment.recorded_skipped"),
            customers: Table::new(&config.customers, Field::Customer, "ingest.customers", counters),
            terminals: Table::new(&config.terminals, Field::Terminal, "ingest.terminals", counters),
            cards: Table::new(&config.cards, Field::Card, "ingest.cards", counters),
            merchants: Table::new(&config.merchants, Field::Merchant, "ingest.merchants", counters),
            devices: Table::new(&config.devices, Field::Device, "ingest.devices", counters),
            accounts: Table::new(&config.accounts, Field::Account, "ingest.accounts", counters),
            shedding: Shedding::new(&config.shedding, pressure, counters),
            output,
        }
    }

    fn accept(
        &mut self,
        frame: &Frame<'_>,
        arrival: Arrival<'_>,
        next_index: u64,
        faults: &ErrorLog,
    ) -> Result<Outcome, Refusal> {
        let facts =
            payment::check(frame).unwrap_or_else(|| Err(foreign(frame, arrival.bytes, Lane::Payment)))?;
        let identity = self.state.identity(frame.header(), arrival)?;
        let Some(standing) = self.state.judge(identity)? else {
            return Ok(Outcome::Duplicate {
                sequence: identity.sequence,
            });
        };
        let places = self.places(&facts)?;

        let mut origin = self.state.enter(frame.header(), facts.kind, arrival, next_index);
        if matches!(arrival.source, Source::Live) {
            origin.flags |= self.shedding.judge(facts.kind, origin.ingest_ns);
        }
        self.shedding.note(facts.kind, origin.flags);
        let entities = self.commit(&facts, places, faults, origin.ingest_ns);
        let is_written = self.output.push_with(|record| {
            *record = PaymentRecord {
                origin,
                ..entities.into_record(payment::record(frame))
            };
        });
        assert!(
            is_written,
            "the ring to the features has room for every frame polled"
        );
        Ok(Outcome::Accepted { origin, standing })
    }

    /// The tables in the order of their regions.
    pub(crate) fn tables(&self) -> [&Table; 6] {
        [
            &self.customers,
            &self.terminals,
            &self.cards,
            &self.merchants,
            &self.devices,
            &self.accounts,
        ]
    }

    /// As [`Self::tables`].
    pub(crate) fn tables_mut(&mut self) -> [&mut Table; 6] {
        self.state_and_tables_mut().1
    }

    /// Everything that is kept, to be filled.
    pub(crate) fn state_and_tables_mut(&mut self) -> (&mut LaneState, [&mut Table; 6]) {
        let tables = [
            &mut self.customers,
            &mut self.terminals,
            &mut self.cards,
            &mut self.merchants,
            &mut self.devices,
            &mut self.accounts,
        ];
        (&mut self.state, tables)
    }

    fn resume(&mut self, sequence: u64) {
        assert_eq!(
            sequence, self.state.last.sequence,
            "a state is of the sequence that it was kept with"
        );
        self.resumed_sequence = sequence;
        self.state.sessions.resume();
        self.state.count_publishers();
        self.tables().into_iter().for_each(Table::count_ids);
    }

    /// Looks every name up; a full table refuses before any is changed.
    fn places(&self, facts: &payment::Facts) -> Result<[Place; 6], Refusal> {
        Ok([
            self.customers.place(&facts.customer)?,
            self.terminals.place(&facts.terminal)?,
            self.cards.place(&facts.card)?,
            self.merchants.place(&facts.merchant)?,
            self.devices.place(&facts.device)?,
            self.accounts.place(&facts.account)?,
        ])
    }

    fn commit(
        &mut self,
        facts: &payment::Facts,
        places: [Place; 6],
        faults: &ErrorLog,
        now_ns: i64,
    ) -> Entities {
        let [customer, terminal, card, merchant, device, account] = places;
        Entities {
            customer: self.customers.commit(&facts.customer, customer, faults, now_ns),
            terminal: self.terminals.commit(&facts.terminal, terminal, faults, now_ns),
            card: self.cards.commit(&facts.card, card, faults, now_ns),
            merchant: self.merchants.commit(&facts.merchant, merchant, faults, now_ns),
            device: self.devices.commit(&facts.device, device, faults, now_ns),
            account: self.accounts.commit(&facts.account, account, faults, now_ns),
        }
    }
}

/// The numbers of a payment event's entities.
#[derive(Clone, Copy)]
struct Entities {
    customer: Interned,
    terminal: Interned,
    card: Interned,
    merchant: Interned,
    device: Interned,
    account: Interned,
}

impl Entities {
    fn into_record(self, record: PaymentRecord) -> PaymentRecord {
        PaymentRecord {
            customer: self.customer.dense,
            terminal: self.terminal.dense,
            card: self.card.dense,
            merchant: self.merchant.dense,
            device: self.device.dense,
            account: self.account.dense,
            fresh: self.fresh(),
            ..record
        }
    }

    fn fresh(&self) -> u8 {
        let bits = [
            (self.customer, fresh::CUSTOMER),
            (self.terminal, fresh::TERMINAL),
            (self.card, fresh::CARD),
            (self.merchant, fresh::MERCHANT),
            (self.device, fresh::DEVICE),
            (self.account, fresh::ACCOUNT),
        ];
        bits.iter()
            .map(|(interned, bit)| if interned.is_fresh { *bit } else { 0 })
            .sum()
    }
}

impl LaneState {
    fn new(lane: Lane, name: &str, config: &IngestConfig, counters: &Counters) -> Self {
        Self {
            lane,
            sessions: Sessions::new(config.publishers_max as usize),
            last: Last::default(),
            ahead_ns_max: (config.ahead_s_max > 0).then(|| i64::from(config.ahead_s_max) * SECOND_NS),
            counters: LaneCounters::new(counters, name),
        }
    }

    /// Whose frame it is and which, if its header can be believed; of a recorded one the time was, once.
    fn identity(&self, header: &FrameHeader, arrival: Arrival<'_>) -> Result<Identity, Refusal> {
        let identity = identity(header)?;
        let event_ns = header.event_ns();
        let is_ahead = |ahead_ns_max: i64| event_ns.saturating_sub(arrival.stamp_ns) > ahead_ns_max;
        if matches!(arrival.source, Source::Live) && self.ahead_ns_max.is_some_and(is_ahead) {
            return Err(Refusal::invalid(Field::EventTime, event_ns as u64));
        }
        Ok(identity)
    }

    /// How the frame stands to what came before it; `None` for a duplicate.
    fn judge(&self, identity: Identity) -> Result<Option<Standing>, Refusal> {
        match self.sessions.judge(identity) {
            Verdict::New(standing) => Ok(Some(standing)),
            Verdict::Duplicate => Ok(None),
            Verdict::Full => Err(Refusal::full(Field::PublisherId, self.sessions.len() as u64)),
        }
    }

    /// Gives the frame its numbers and takes note of its publisher.
    fn enter(&mut self, header: &FrameHeader, kind: u8, arrival: Arrival<'_>, next_index: u64) -> Origin {
        let (sequence, input_index, flags) = match arrival.source {
            Source::Live => (self.last.sequence + 1, next_index, 0),
            Source::Recorded {
                input_index,
                sequence,
                flags,
            } => (sequence, input_index, flags | decision_flag::RECOVERED),
        };
        let identity = Identity {
            publisher_id: header.publisher_id(),
            session: header.publisher_session(),
            sequence: header.publisher_sequence(),
        };
        self.last = Last {
            sequence,
            input_index,
            stamp_ns: arrival.stamp_ns,
        };
        self.sessions
            .accept(identity, matches!(arrival.source, Source::Live));
        self.count_publishers();
        Origin {
            sequence,
            input_index,
            publisher_session: identity.session,
            publisher_sequence: identity.sequence,
            event_ns: header.event_ns(),
            ingest_ns: arrival.stamp_ns,
            publisher_id: identity.publisher_id,
            frame_flags: header.flags(),
            kind,
            lane: self.lane.0,
            flags,
            reserved: [0; 7],
        }
    }

    fn count_publishers(&self) {
        self.counters.publishers.set(self.sessions.len() as u64);
    }
}

impl Last {
    fn recorded(header: &EntryHeader) -> Self {
        Self {
            sequence: header.sequence,
            input_index: header.input_index,
            stamp_ns: header.stamp_ns,
        }
    }
}

impl Table {
    fn new(config: &TableConfig, field: Field, name: &'static str, counters: &Counters) -> Self {
        Self {
            ids: IdTable::new(config.ids_max, config.when_full),
            name,
            field,
            counters: TableCounters::new(counters, name),
        }
    }

    fn place(&self, id: &Id) -> Result<Place, Refusal> {
        match self.ids.find_optional(id) {
            Place::Full => Err(Refusal::full(self.field, u64::from(self.ids.capacity()))),
            place => Ok(place),
        }
    }

    fn commit(&mut self, id: &Id, place: Place, faults: &ErrorLog, now_ns: i64) -> Interned {
        let interned = self.ids.commit(id, place);
        if interned.is_evicted {
            self.counters.evicted.increment();
            faults.record(
                Fault::new(FaultKind::IdEvicted, u64::from(interned.dense)),
                now_ns,
            );
        } else if interned.is_fresh {
            self.count_ids();
        }
        interned
    }

    fn count_ids(&self) {
        self.counters.ids.set(u64::from(self.ids.len()));
    }
}

impl Refusals {
    /// Counts, keeps and answers one refused frame; the answer is left out when its ring is full.
    fn take(&mut self, reject: &RejectRecord, reason: RejectReason, bytes: &[u8]) {
        self.counters.reason(reason).increment();
        self.letters.keep(reject, bytes);
        if !self.output.try_push(reject) {
            self.counters.unanswered.increment();
        }
    }
}

fn check_ports(config: &IngestConfig, ports: &Ports, journal_lines_max: usize) -> Result<(), IngestError> {
    let (found, expected) = (ports.instruments.capacity(), config.instruments_max as usize);
    if found < expected {
        return Err(IngestError::InstrumentNames { found, expected });
    }
    let expected = 2 * journal_lines_max - 1;
    match ports.journal.as_ref().map(EntryProducer::line_capacity) {
        Some(found) if found < expected => Err(IngestError::JournalRing { found, expected }),
        _ => Ok(()),
    }
}

fn identity(header: &FrameHeader) -> Result<Identity, Refusal> {
    let identity = Identity {
        publisher_id: header.publisher_id(),
        session: header.publisher_session(),
        sequence: header.publisher_sequence(),
    };
    if identity.publisher_id == 0 {
        return Err(Refusal::invalid(Field::PublisherId, 0));
    }
    if identity.sequence == 0 {
        return Err(Refusal::invalid(Field::PublisherSequence, 0));
    }
    if header.flags() & !FRAME_FLAGS != 0 {
        return Err(Refusal::invalid(Field::Flags, u64::from(header.flags())));
    }
    not_negative(Field::EventTime, header.event_ns())?;
    Ok(identity)
}

/// Why a frame that is not of `lane` is refused.
fn foreign(frame: &Frame<'_>, bytes: &[u8], lane: Lane) -> Refusal {
    match frame.kind().lane() {
        Lane::None => Refusal::not_an_input(bytes),
        other => Refusal::wrong_lane(other, lane),
    }
}

fn fault_kind(refusal: Refusal) -> FaultKind {
    match refusal.reason {
        RejectReason::Oversized => FaultKind::FrameTooLong,
        RejectReason::UnknownVersion => FaultKind::FrameVersion,
        RejectReason::UnknownType | RejectReason::WrongLane => FaultKind::FrameKind,
        RejectReason::InvalidField => FaultKind::FrameValue,
        RejectReason::TableFull if refusal.expected == Field::PublisherId as u64 => FaultKind::SessionsFull,
        RejectReason::TableFull => FaultKind::IdsFull,
        _ => FaultKind::FrameMalformed,
    }
}
