//! Transactions of customers and terminals that are picked at random, evenly in time.
//!
//! Invariant: an event is a function of its index and of how many entities there are, so every case of a bench
//! is given the same events.

use pinion_features::set::DAY_NS;
use pinion_schemas::ids::Id;
use pinion_schemas::records::{PaymentRecord, payment_kind};

/// The longest window of payments-v1, its delay, and the default lateness: what a ring holds. Unit: days.
pub(crate) const REACH_DAYS: i64 = 38;

/// Noon of some Thursday. Unit: ns since the Unix epoch.
const START_NS: i64 = 1_767_268_800_000_000_000;

/// The events of one world, in order.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    /// Customers; terminals are as many.
    pub(crate) entities: u32,
    /// Time between two events. Unit: ns.
    pub(crate) step_ns: i64,
    /// Index of the next event.
    pub(crate) next: u64,
}

impl Traffic {
    /// Traffic in which an entity has `events_each` events, in the mean, within [`REACH_DAYS`].
    pub(crate) fn new(entities: u32, events_each: u32) -> Self {
        let events = i64::from(entities) * i64::from(events_each);
        // Whole microseconds, which Redis can tell apart.
        let step_ns = (REACH_DAYS * DAY_NS / events / 1000).max(1) * 1000;
        Self {
            entities,
            step_ns,
            next: 0,
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> PaymentRecord {
        let index = self.next;
        self.next += 1;
        let (entities, events) = (draw(2 * index), draw(2 * index + 1));
        let mut payment = PaymentRecord {
            amount_minor: 100 + (events >> 48) as i64,
            customer: pick(entities as u32, self.entities),
            terminal: pick((entities >> 32) as u32, self.entities),
            ..PaymentRecord::default()
        };
        payment.origin.kind = payment_kind::TRANSACTION;
        payment.origin.event_ns = START_NS + index as i64 * self.step_ns;
        payment.transaction_id = id(index);
        payment
    }
}

/// The id of a transaction.
fn id(index: u64) -> Id {
    let mut id = Id::NONE;
    id.0[..8].copy_from_slice(&index.to_be_bytes());
    id
}

/// Random bits: splitmix64.
pub(crate) fn draw(index: u64) -> u64 {
    let state = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

/// A number below `count`.
fn pick(bits: u32, count: u32) -> u32 {
    ((u64::from(bits) * u64::from(count)) >> 32) as u32
}
