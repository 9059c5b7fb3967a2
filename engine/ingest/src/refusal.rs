//! Why a frame is not accepted, in a form that costs nothing to raise.
//!
//! Invariant: a [`Refusal`] is raised before anything is changed, so the refused frame leaves no trace in the
//! sessions, the tables or the sequences.

use std::fmt;

use pinion_schemas::ids::Id;
use pinion_schemas::wire::{Lane, RejectReason, Unreadable};

/// Why one frame is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason that is published.
    pub reason: RejectReason,
    /// What was found; see the reason.
    pub found: u64,
    /// What was expected; see the reason. With `InvalidField` and `TableFull`: the [`Field`] as a number.
    pub expected: u64,
}

impl Refusal {
    /// A field is out of its range. `found` is its value, of a text the first eight bytes.
    pub(crate) fn invalid(field: Field, found: u64) -> Self {
        Self {
            reason: RejectReason::InvalidField,
            found,
            expected: field as u64,
        }
    }

    /// The table in which `field` is looked up is full.
    pub(crate) fn full(field: Field, capacity: u64) -> Self {
        Self {
            reason: RejectReason::TableFull,
            found: capacity,
            expected: field as u64,
        }
    }

    /// The frame belongs to the other lane.
    pub(crate) fn wrong_lane(found: Lane, expected: Lane) -> Self {
        Self {
            reason: RejectReason::WrongLane,
            found: u64::from(found.0),
            expected: u64::from(expected.0),
        }
    }

    /// The frame is of a type that the engine sends and does not take.
    pub(crate) fn not_an_input(frame: &[u8]) -> Self {
        let identifier = frame
            .get(4..8)
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default();
        let found = u64::from(u32::from_le_bytes(identifier));
        Self {
            reason: RejectReason::UnknownType,
            found,
            expected: 0,
        }
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        let Unreadable {
            reason,
            found,
            expected,
        } = unreadable;
        Self {
            reason,
            found,
            expected,
        }
    }
}

/// A field that can be refused: what `expected` of a reject with reason `InvalidField` or `TableFull` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// `header.publisher_id`: 0, or a new one while the table of publishers is full.
    PublisherId = 1,
    /// `header.publisher_sequence`: 0.
    PublisherSequence = 2,
    /// `header.event_ns`: before 1970, or too far ahead of the engine's clock.
    EventTime = 3,
    /// `header.flags`: a bit that has no meaning.
    Flags = 4,
    /// `instrument`: absent, or no name.
    Instrument = 5,
    /// `side` or `aggressor`.
    Side = 6,
    /// `action`.
    Action = 7,
    /// `state`.
    State = 8,
    /// `liquidity`.
    Liquidity = 9,
    /// A quantity: negative.
    Quantity = 10,
    /// `transaction_id`: absent, or no name.
    TransactionId = 11,
    /// `customer`: no name.
    Customer = 12,
    /// `terminal`: no name.
    Terminal = 13,
    /// `card`: no name.
    Card = 14,
    /// `merchant`: no name.
    Merchant = 15,
    /// `device`: no name.
    Device = 16,
    /// `account`: no name, or absent where one is needed.
    Account = 17,
    /// `channel`.
    Channel = 18,
    /// `verdict`.
    Verdict = 19,
    /// `source`.
    Source = 20,
    /// `change`.
    Change = 21,
    /// `outcome`.
    Outcome = 22,
}

/// Every field with its name, in the order of the numbers.
const FIELDS: [(Field, &str); 22] = [
    (Field::PublisherId, "publisher_id"),
    (Field::PublisherSequence, "publisher_sequence"),
    (Field::EventTime, "event_ns"),
    (Field::Flags, "flags"),
    (Field::Instrument, "instrument"),
    (Field::Side, "side"),
    (Field::Action, "action"),
    (Field::State, "state"),
    (Field::Liquidity, "liquidity"),
    (Field::Quantity, "quantity"),
    (Field::TransactionId, "transaction_id"),
    (Field::Customer, "customer"),
    (Field::Terminal, "terminal"),
    (Field::Card, "card"),
    (Field::Merchant, "merchant"),
    (Field::Device, "device"),
    (Field::Account, "account"),
    (Field::Channel, "channel"),
    (Field::Verdict, "verdict"),
    (Field::Source, "source"),
    (Field::Change, "change"),
    (Field::Outcome, "outcome"),
];

impl Field {
    /// The field with this number, if there is one.
    ///
    /// ```
    /// use pinion_ingest::refusal::Field;
    /// assert_eq!(Field::from_code(6).unwrap().to_string(), "side");
    /// assert_eq!(Field::from_code(99), None);
    /// ```
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        FIELDS
            .iter()
            .map(|(field, _)| *field)
            .find(|&field| field as u64 == code)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIELDS[*self as usize - 1].1)
    }
}

/// Refuses a number above `max`, the largest that has a meaning.
pub(crate) fn at_most(field: Field, found: u8, max: u8) -> Result<(), Refusal> {
    if found <= max {
        Ok(())
    } else {
        Err(Refusal::invalid(field, u64::from(found)))
    }
}

/// Refuses a negative number.
pub(crate) fn not_negative(field: Field, found: i64) -> Result<(), Refusal> {
    if found >= 0 {
        Ok(())
    } else {
        Err(Refusal::invalid(field, found as u64))
    }
}

/// Refuses what is no name; the absent name passes.
pub(crate) fn name(field: Field, id: &Id) -> Result<(), Refusal> {
    if id.is_valid() {
        Ok(())
    } else {
        Err(Refusal::invalid(field, first_bytes(id)))
    }
}

/// Refuses what is no name, and the absent name too.
pub(crate) fn present_name(field: Field, id: &Id) -> Result<(), Refusal> {
    name(field, id)?;
    if id.is_none() {
        Err(Refusal::invalid(field, 0))
    } else {
        Ok(())
    }
}

fn first_bytes(id: &Id) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.0[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_number_and_name() {
        for (index, (field, name)) in FIELDS.iter().enumerate() {
            assert_eq!(*field as usize, index + 1);
            assert_eq!(field.to_string(), *name);
            assert_eq!(Field::from_code(index as u64 + 1), Some(*field));
        }
        assert_eq!(Field::from_code(0), None);
    }

    #[test]
    fn absent_name_passes_where_it_may() {
        assert_eq!(name(Field::Terminal, &Id::NONE), Ok(()));
        assert!(present_name(Field::Instrument, &Id::NONE).is_err());
        let mut id = Id::new("abc").unwrap();
        assert_eq!(present_name(Field::Instrument, &id), Ok(()));
        id.0[1] = 0xC3;
        assert_eq!(name(Field::Terminal, &id).unwrap_err().found, 0x63_C3_61);
    }
}
