//! Scored transactions that wait for their label: what the bank will need of them by then.
//!
//! ```text
//!   remember ─▶ slot ─▶ slot ─▶ … ─▶ the oldest makes room            label ── id ─▶ index ─▶ slot
//! ```
//!
//! A slot stays when its label has come, so that a label which is reversed later still finds it.
//!
//! Invariant: the memory is reserved at start; a slot that nobody has is all zero.

use pinion_runtime::state::{Region, RegionMut, State};
use pinion_schemas::ids::Id;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::bank::Label;
use crate::bank::column::{self, Column};
use crate::bank::index::{Identified, Index};

/// A transaction, without its embedding.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Slot {
    /// See [`crate::bank::Case::entity`].
    pub(crate) entity: u64,
    /// When it happened. Unit: ns since 1970.
    pub(crate) event_ns: i64,
    /// Share of fraud among its neighbours when it was scored.
    pub(crate) share: f32,
    /// 0: none yet; else 1 plus [`Label`] as a number.
    label: u32,
    pub(crate) id: Id,
    is_taken: u32,
}

const _: () = assert!(
    size_of::<Slot>() == 64,
    "the configuration's documentation says 64"
);

impl Slot {
    const NONE: Self = Self {
        entity: 0,
        event_ns: 0,
        share: 0.0,
        label: 0,
        id: Id::NONE,
        is_taken: 0,
    };

    /// Of a transaction without a label.
    pub(crate) fn new(id: Id, entity: u64, event_ns: i64, share: f32) -> Self {
        Self {
            entity,
            event_ns,
            share,
            id,
            is_taken: 1,
            ..Self::NONE
        }
    }

    /// The last label that came.
    pub(crate) fn label(&self) -> Option<Label> {
        match self.label {
            0 => None,
            1 => Some(Label::Genuine),
            _ => Some(Label::Fraud),
        }
    }
}

impl Identified for Slot {
    fn id(&self) -> &Id {
        &self.id
    }
}

/// Who made room for a transaction.
pub(crate) struct Left {
    /// The oldest; without any room the transaction itself.
    pub(crate) oldest: Option<Slot>,
    /// The one that had its id.
    pub(crate) same_id: Option<Slot>,
}

/// How far the table came.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Turns {
    /// Transactions that were ever remembered.
    remembered: u64,
    /// Of these, how many were looked at by [`Waiting::next_due`].
    looked_at: u64,
}

/// The transactions, in the order in which they were scored.
pub(crate) struct Waiting {
    turns: Column<Turns>,
    slots: Column<Slot>,
    index: Index,
    embeddings: Column<f32>,
    dimensions: usize,
}

impl Waiting {
    /// Room for `slots_max` transactions.
    pub(crate) fn new(slots_max: u32, dimensions: usize) -> Self {
        Self {
            turns: Column::zeroed(1),
            slots: Column::zeroed(slots_max as usize),
            index: Index::new(slots_max),
            embeddings: Column::zeroed(slots_max as usize * dimensions),
            dimensions,
        }
    }

    pub(crate) fn prefault(&mut self) {
        self.turns.prefault();
        self.slots.prefault();
        self.index.buckets.prefault();
        self.embeddings.prefault();
    }

    /// Puts a transaction in the place of the oldest. One that had its id leaves, too.
    ///
    /// Cost: about four lines and those of the embedding, 0.1 µs.
    pub(crate) fn remember(&mut self, slot: Slot, embedding: &[f32]) -> Left {
        if self.slots.is_empty() {
            return Left {
                oldest: Some(slot),
                same_id: None,
            };
        }
        let same_id = self.forget(&slot.id);
        let place = self.place(self.turns[0].remembered);
        let oldest = self.slots[place];
        if oldest.is_taken == 1 {
            self.index.remove(&self.slots, &oldest.id);
        }
        self.slots[place] = slot;
        self.embeddings[place * self.dimensions..][..self.dimensions].copy_from_slice(embedding);
        self.index.add(&self.slots, &slot.id, place as u32);
        self.turns[0].remembered += 1;
        Left {
            oldest: (oldest.is_taken == 1).then_some(oldest),
            same_id,
        }
    }

    fn place(&self, number: u64) -> usize {
        (number % self.slots.len() as u64) as usize
    }

    /// The next transaction in order, if it happened no later than `until_ns`; each is given once.
    ///
    /// One that happened later holds up those behind it until its own time has come.
    pub(crate) fn next_due(&mut self, until_ns: i64) -> Option<Slot> {
        let Turns {
            remembered,
            looked_at,
        } = self.turns[0];
        let oldest = remembered.saturating_sub(self.slots.len() as u64);
        for number in looked_at.max(oldest)..remembered {
            let slot = self.slots[self.place(number)];
            if slot.is_taken == 1 && slot.event_ns > until_ns {
                self.turns[0].looked_at = number;
                return None;
            }
            if slot.is_taken == 1 {
                self.turns[0].looked_at = number + 1;
                return Some(slot);
            }
        }
        self.turns[0].looked_at = remembered;
        None
    }

    /// A transaction and its embedding, whose label is `label` from now on.
    pub(crate) fn labelled(&mut self, id: &Id, label: Label) -> Option<(Slot, &[f32])> {
        let place = self.index.find(&self.slots, id)? as usize;
        let before = self.slots[place];
        self.slots[place].label = 1 + label as u32;
        Some((
            before,
            &self.embeddings[place * self.dimensions..][..self.dimensions],
        ))
    }

    /// Overwrites a transaction with zeros. Returns what it was, if it was there.
    pub(crate) fn forget(&mut self, id: &Id) -> Option<Slot> {
        let place = self.index.find(&self.slots, id)? as usize;
        self.index.remove(&self.slots, id);
        self.embeddings[place * self.dimensions..][..self.dimensions].fill(0.0);
        Some(std::mem::replace(&mut self.slots[place], Slot::NONE))
    }

    fn memory(&self) -> [(&'static str, &[u8]); 4] {
        [
            ("waiting turns", self.turns.bytes()),
            ("waiting", self.slots.bytes()),
            ("waiting ids", self.index.buckets.bytes()),
            ("waiting embeddings", self.embeddings.bytes()),
        ]
    }
}

impl State for Waiting {
    fn regions(&self) -> Vec<Region<'_>> {
        column::regions(self.memory())
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        let parts = [
            ("waiting turns", self.turns.bytes_mut()),
            ("waiting", self.slots.bytes_mut()),
            ("waiting ids", self.index.buckets.bytes_mut()),
            ("waiting embeddings", self.embeddings.bytes_mut()),
        ];
        column::regions_mut(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u32) -> Slot {
        let id = Id::new(&format!("payment-{number}")).unwrap();
        Slot::new(id, 0, i64::from(number), 0.5)
    }

    #[test]
    fn oldest_makes_room_and_leaves_nothing() {
        let mut waiting = Waiting::new(3, 2);
        for number in 0..20 {
            let left = waiting.remember(slot(number), &[number as f32, 0.0]);
            let expected = number.checked_sub(3).map(i64::from);
            assert_eq!(left.oldest.map(|slot| slot.event_ns), expected);
        }
        assert!(waiting.labelled(&slot(16).id, Label::Fraud).is_none());
        let (before, embedding) = waiting.labelled(&slot(17).id, Label::Fraud).unwrap();
        assert_eq!((before.label(), embedding), (None, &[17.0, 0.0][..]));
        let (before, _) = waiting.labelled(&slot(17).id, Label::Genuine).unwrap();
        assert_eq!(before.label(), Some(Label::Fraud));
        for number in 17..20 {
            assert!(waiting.forget(&slot(number).id).is_some());
        }
        assert!(waiting.forget(&slot(17).id).is_none());
        let is_zero = |region: &Region<'_>| region.bytes.iter().all(|&byte| byte == 0);
        assert!(waiting.regions().iter().skip(1).all(is_zero));
    }

    #[test]
    fn later_transaction_of_an_id_takes_its_place() {
        let mut waiting = Waiting::new(4, 1);
        waiting.remember(slot(1), &[1.0]);
        waiting.remember(slot(2), &[2.0]);
        waiting.remember(slot(1), &[3.0]);
        let (_, embedding) = waiting.labelled(&slot(1).id, Label::Fraud).unwrap();
        assert_eq!(embedding, [3.0]);
        assert!(waiting.forget(&slot(1).id).is_some() && waiting.forget(&slot(1).id).is_none());
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut waiting = Waiting::new(0, 2);
        assert!(waiting.remember(slot(1), &[1.0, 0.0]).oldest.is_some());
        assert!(waiting.labelled(&slot(1).id, Label::Fraud).is_none());
    }
}
