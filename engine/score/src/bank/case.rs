//! A labelled case as it is given, and as it is kept beside its embedding.
//!
//! Invariant: a row that no case has is all zero, but for the link to the next such row.

use pinion_schemas::ids::Id;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::index::Identified;

/// What a case turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Nothing was wrong.
    Genuine,
    /// A fraud.
    Fraud,
}

impl Label {
    /// Where the class stands in pairs of things that there are one per class of.
    pub(super) const fn class(self) -> usize {
        self as usize
    }

    pub(super) const fn of(is_fraud: bool) -> Self {
        if is_fraud { Self::Fraud } else { Self::Genuine }
    }
}

/// A case to be inserted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case<'a> {
    /// The transaction; not [`Id::NONE`].
    pub id: Id,
    /// The entity whose cases are limited together, such as a card; 0: none.
    pub entity: u64,
    /// What it turned out to be.
    pub label: Label,
    /// How much its vote counts; finite and not negative.
    pub weight: f32,
    /// When it happened. Unit: ns since 1970.
    pub event_ns: i64,
    /// Shape: the bank's dimensions, of length 1 to within [`super::LENGTH_TOLERANCE`].
    pub embedding: &'a [f32],
}

/// Neighbours of a row in a list, each plus one; 0: none.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Links {
    pub(super) older: u32,
    pub(super) newer: u32,
}

/// Oldest and newest row of a list, each plus one, and how many there are.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Ends {
    pub(super) oldest: u32,
    pub(super) newest: u32,
    pub(super) count: u32,
    pub(super) spare: u32,
}

/// What is known of a row's case besides its embedding. A row that no case has keeps the next such row in `place`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Row {
    pub(super) entity: u64,
    pub(super) event_ns: i64,
    /// Number of the operation that gave the label.
    pub(super) sequence: u64,
    pub(super) weight: f32,
    pub(super) is_fraud: u32,
    /// Where the embedding stands.
    pub(super) place: u32,
    /// Where the row stands among the ages.
    pub(super) aged_at: u32,
    /// By [`CLASS`] and [`KIN`].
    pub(super) links: [Links; 2],
    pub(super) id: Id,
    pub(super) is_taken: u32,
}

const _: () = assert!(size_of::<Row>() == 96);

/// The list of the rows of one class.
pub(super) const CLASS: usize = 0;
/// The list of the rows of one entity.
pub(super) const KIN: usize = 1;

impl Row {
    pub(super) const NONE: Self = Self {
        entity: 0,
        event_ns: 0,
        sequence: 0,
        weight: 0.0,
        is_fraud: 0,
        place: 0,
        aged_at: 0,
        links: [Links { older: 0, newer: 0 }; 2],
        id: Id::NONE,
        is_taken: 0,
    };

    pub(super) fn label(&self) -> Label {
        Label::of(self.is_fraud == 1)
    }
}

impl Identified for Row {
    fn id(&self) -> &Id {
        &self.id
    }
}

impl Ends {
    /// Adds a row as the newest.
    pub(super) fn push(&mut self, rows: &mut [Row], list: usize, row: u32) {
        let newest = self.newest;
        rows[row as usize].links[list] = Links {
            older: newest,
            newer: 0,
        };
        match newest {
            0 => self.oldest = row + 1,
            _ => rows[newest as usize - 1].links[list].newer = row + 1,
        }
        self.newest = row + 1;
        self.count += 1;
    }

    /// Takes a row out.
    pub(super) fn take(&mut self, rows: &mut [Row], list: usize, row: u32) {
        let Links { older, newer } = std::mem::take(&mut rows[row as usize].links[list]);
        match older {
            0 => self.oldest = newer,
            _ => rows[older as usize - 1].links[list].newer = newer,
        }
        match newer {
            0 => self.newest = older,
            _ => rows[newer as usize - 1].links[list].older = older,
        }
        self.count -= 1;
    }

    /// The oldest row.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.oldest.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_keeps_the_order_in_which_rows_came() {
        let mut rows = [Row::NONE; 4];
        let mut ends = Ends::default();
        for row in [2, 0, 3, 1] {
            ends.push(&mut rows, KIN, row);
        }
        ends.take(&mut rows, KIN, 0);
        let mut order = Vec::new();
        while let Some(row) = ends.oldest() {
            order.push(row);
            ends.take(&mut rows, KIN, row);
        }
        assert_eq!(order, [2, 3, 1]);
        assert_eq!((ends.oldest, ends.newest, ends.count), (0, 0, 0));
    }
}
