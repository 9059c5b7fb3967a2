//! The bank as it lives: a transaction waits for its label, and comes into the bank with it.
//!
//! ```text
//!   scored transaction ─▶ Waiting ── its label, in sequence ─▶ drawn? ─▶ Bank        the next search sees it
//!                            │ none for so long that it counts as good ──▶ as if that had been its label
//!                            │ the label is reversed ────────────────────▶ relabelled, or drawn again
//!                            └ erased ───────────────────────────────────▶ gone from both
//! ```
//!
//! Not every case is worth its row: an [`Admission`] draws more of those that stand where frauds and genuine cases
//! meet, and each counts one over its chance, so that sums over the bank stand for sums over all. What is drawn is
//! told by the transaction's id alone, not by a source of random numbers.
//!
//! Invariant: the cases are a function of the configuration, the model and the lane's events up to here.

use pinion_runtime::math::{exp, ln};
use pinion_runtime::state::{Region, RegionMut, State};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{PaymentRecord, fresh};
use pinion_schemas::wire::Verdict;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::bank::column::{self, Column};
use crate::bank::{Bank, Case, Label, Relabelled, index};
use crate::config::ScoreConfig;
use crate::manifest::Admission;
use crate::waiting::{Slot, Waiting};

/// Cases that leave by age, and transactions that count as genuine by now, at one event at most: no event waits for
/// many.
const DUE_MAX: u32 = 4;

/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// Whose cases are limited together, and by whose history reasons are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseEntity {
    /// Who pays.
    #[default]
    Customer,
    /// Where.
    Terminal,
    /// With which card.
    Card,
    /// To whom.
    Merchant,
    /// From which device.
    Device,
    /// Which account.
    Account,
}

impl CaseEntity {
    /// As it is written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Terminal => "terminal",
            Self::Card => "card",
            Self::Merchant => "merchant",
            Self::Device => "device",
            Self::Account => "account",
        }
    }

    /// Whether its dense number was given with this event: what is known under it is of another entity.
    pub(crate) fn is_fresh(self, payment: &PaymentRecord) -> bool {
        let bit = match self {
            Self::Customer => fresh::CUSTOMER,
            Self::Terminal => fresh::TERMINAL,
            Self::Card => fresh::CARD,
            Self::Merchant => fresh::MERCHANT,
            Self::Device => fresh::DEVICE,
            Self::Account => fresh::ACCOUNT,
        };
        payment.fresh & bit != 0
    }

    /// The entity of a payment; 0: none.
    pub(crate) fn of(self, payment: &PaymentRecord) -> u64 {
        let dense = match self {
            Self::Customer => payment.customer,
            Self::Terminal => payment.terminal,
            Self::Card => payment.card,
            Self::Merchant => payment.merchant,
            Self::Device => payment.device,
            Self::Account => payment.account,
        };
        if dense == DENSE_ID_NONE {
            0
        } else {
            1 + u64::from(dense)
        }
    }
}

/// What became of labels since the engine first started; state, like the cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LabelTally {
    /// Labelled transactions that came into the bank.
    pub admitted: u64,
    /// Labelled transactions that were not drawn, or that the bank refused.
    pub passed_over: u64,
    /// Labels that reversed an earlier one.
    pub reversed: u64,
    /// Labels that said once more what was known.
    pub repeated: u64,
    /// Labels of transactions that neither wait nor are in the bank.
    pub unmatched: u64,
    /// Transactions erased.
    pub erased: u64,
    /// Transactions that made room for later ones before their label came.
    pub forgotten: u64,
    /// Transactions that wait without a label.
    pub waiting: u64,
    /// Transactions that were taken for genuine because no label had come in time.
    pub presumed: u64,
}

/// Tally, and the lane's time.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Account {
    tally: LabelTally,
    /// Newest event time of a transaction. Unit: ns since 1970.
    newest_ns: i64,
}

/// The bank, and what may come into it.
pub struct Cases {
    bank: Bank,
    waiting: Waiting,
    account: Column<Account>,
    admission: Option<Admission>,
    entity: CaseEntity,
    /// None: only a label says so.
    genuine_after_ns: Option<i64>,
    is_approximate: bool,
}

impl Cases {
    /// Begins with the cases of a model. `admission`: none draws all.
    pub fn new(config: &ScoreConfig, bank: Bank, admission: Option<Admission>) -> Self {
        Self {
            waiting: Waiting::new(config.waiting_max, bank.dimensions()),
            bank,
            account: Column::zeroed(1),
            admission,
            entity: config.case_entity,
            is_approximate: config.bank.approximate_from_rows > 0,
            genuine_after_ns: (config.genuine_after_s > 0).then(|| SECOND_NS * config.genuine_after_s as i64),
        }
    }

    /// Has all memory there.
    pub fn prefault(&mut self) {
        self.bank.prefault();
        self.waiting.prefault();
    }

    /// The bank.
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The bank, to be searched or changed.
    pub fn bank_mut(&mut self) -> &mut Bank {
        &mut self.bank
    }

    /// What became of labels.
    pub fn tally(&self) -> LabelTally {
        self.account[0].tally
    }

    /// Does what is due at the time of a transaction: cases that are too old leave, and transactions that have waited
    /// long enough without a label count as genuine.
    pub fn keep_time(&mut self, event_ns: i64) {
        let newest_ns = self.account[0].newest_ns.max(event_ns);
        self.account[0].newest_ns = newest_ns;
        self.bank.expire_some(newest_ns, DUE_MAX);
        let Some(after_ns) = self.genuine_after_ns else {
            return;
        };
        for _ in 0..DUE_MAX {
            let Some(slot) = self.waiting.next_due(newest_ns.saturating_sub(after_ns)) else {
                return;
            };
            if slot.label().is_none() {
                self.set_label(&slot.id, Label::Genuine);
                self.account[0].tally.presumed += 1;
            }
        }
    }

    /// Whether the cases depend on each transaction being searched for: by the share of fraud among its neighbours, or
    /// because searches count where they are approximate.
    pub fn needs_search(&self) -> bool {
        self.admission.is_some() || self.counts_searches()
    }

    /// Whether a search changes the bank.
    pub fn counts_searches(&self) -> bool {
        self.is_approximate
    }

    /// Lets a scored transaction wait for its label. `share`: of fraud among its neighbours, if it is needed.
    pub fn remember(&mut self, payment: &PaymentRecord, share: f32, embedding: &[f32]) {
        let id = payment.transaction_id;
        if id.is_none() {
            return;
        }
        let share = if self.needs_search() { share } else { 0.0 };
        let slot = Slot::new(id, self.entity.of(payment), payment.origin.event_ns, share);
        let before = self.waiting.remember(slot, embedding);
        let tally = &mut self.account[0].tally;
        tally.waiting += 1;
        let made_room = |slot: &Slot| u64::from(slot.label().is_none());
        let forgotten = before.oldest.as_ref().map_or(0, made_room);
        tally.forgotten += forgotten;
        tally.waiting -= forgotten + before.same_id.as_ref().map_or(0, made_room);
    }

    /// Takes what a label says; the next search sees it.
    ///
    /// Cost: 0.1 µs if the case is known or not drawn, 0.5 µs if it comes into the bank.
    pub fn learn(&mut self, label: &PaymentRecord) {
        let id = label.transaction_id;
        match Verdict(label.verdict) {
            Verdict::Genuine => self.set_label(&id, Label::Genuine),
            Verdict::Fraud => self.set_label(&id, Label::Fraud),
            Verdict::Erased => self.erase(&id),
            _ => {}
        }
    }

    /// A label that reverses an earlier one counts as if it had been the first; of a case whose transaction waits no
    /// more nothing is known to draw it by, and it stays.
    fn set_label(&mut self, id: &Id, label: Label) {
        let tally = &mut self.account[0].tally;
        let Some((slot, embedding)) = self.waiting.labelled(id, label) else {
            let count = match self.bank.relabel(id, label) {
                Relabelled::Unknown => &mut tally.unmatched,
                Relabelled::Confirmed => &mut tally.repeated,
                Relabelled::Reversed => &mut tally.reversed,
            };
            *count += 1;
            return;
        };
        match slot.label() {
            None => tally.waiting -= 1,
            Some(former) if former == label => {
                tally.repeated += 1;
                return;
            }
            Some(_) => tally.reversed += 1,
        }
        let chance_by = |admission: Admission| admission.chance(label, slot.share);
        let chance = self.admission.map_or(1.0, chance_by);
        let case = Case {
            id: *id,
            entity: slot.entity,
            label,
            weight: (1.0 / chance) as f32,
            event_ns: slot.event_ns,
            embedding,
        };
        if drawn(id) < chance && self.bank.insert(&case).is_ok() {
            tally.admitted += 1;
        } else {
            self.bank.remove(id);
            tally.passed_over += 1;
        }
    }

    fn erase(&mut self, id: &Id) {
        let waited = self.waiting.forget(id);
        let was_case = self.bank.remove(id);
        let tally = &mut self.account[0].tally;
        tally.waiting -= waited.map_or(0, |slot| u64::from(slot.label().is_none()));
        let was_there = was_case || waited.is_some();
        *(if was_there {
            &mut tally.erased
        } else {
            &mut tally.unmatched
        }) += 1;
    }
}

/// A number in 0..1 that an id always has.
fn drawn(id: &Id) -> f64 {
    const BITS: u32 = 53;
    let hash = index::hash_number(index::hash(id));
    (hash >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}

impl Admission {
    /// The chance of a case that comes into the bank, more than 0 and at most 1; `share` is what was thought of it
    /// before its label was known. As in `models/train/bank.py`.
    fn chance(self, label: Label, share: f32) -> f64 {
        let share = f64::from(share);
        let raw = match label {
            Label::Fraud => self.fraud_factor * (1.0 - share).max(0.01).sqrt(),
            Label::Genuine => self.genuine_factor * exp(0.7 * ln(share.max(1e-5))),
        };
        raw.min(1.0)
    }
}

/// All that the cases must keep to go on later.
impl State for Cases {
    fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = column::regions([("labels", self.account.bytes())]);
        regions.extend(self.waiting.regions());
        regions.extend(self.bank.regions());
        regions
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        let mut regions = column::regions_mut([("labels", self.account.bytes_mut())]);
        regions.extend(self.waiting.regions_mut());
        regions.extend(self.bank.regions_mut());
        regions
    }
}
