//! What each entity's payments were like so far: the mean and the variance of every feature that the model takes.
//!
//! ```text
//!   entity ─▶ one of four places, its own or that of the one seen longest ago ─▶ count, means, variances
//!                                                             ▲ an event's vector, once its reasons are named
//! ```
//!
//! The first [`SPAN`] vectors count alike; from then on each new one counts one in [`SPAN`], so that habits may change
//! and a fraud is forgotten. Dense numbers are given one after another: as long as there are no more entities than
//! places, none makes room.
//!
//! Invariant: the memory is reserved at start; a history is a function of the lane's events before it, computed in `f32`
//! in the order of the features, so it has the same bits everywhere.

use pinion_runtime::state::{Region, RegionMut, State};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::bank::column::{self, Column};
use crate::cases::CaseEntity;

/// Vectors from which on an entity has habits.
pub const OWN_MIN: u32 = 5;

/// Vectors from which on each new one counts one in as many.
pub const SPAN: u32 = 64;

/// Places that an entity may have: their keys are one line of memory.
const WAYS: usize = 4;

/// How far a value may count as being from the mean, so that a variance stays finite.
const FAR: f32 = 1e18;

/// Who has a place.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Key {
    /// When it was last seen. Unit: transactions that were noted.
    seen: u64,
    /// 1 + its dense number; 0: nobody.
    entity: u32,
    /// Vectors that its history was made of.
    count: u32,
}

const _: () = assert!(
    size_of::<Key>() == 16,
    "the configuration's documentation says 16"
);

/// Moments of one feature stand together with those of the others.
const MOMENTS: usize = 2;

/// What the payments of one entity were like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History<'a> {
    /// How many it was made of.
    pub(crate) count: u32,
    /// Mean of each feature of the model.
    pub(crate) means: &'a [f32],
    /// Mean squared distance from it.
    pub(crate) variances: &'a [f32],
}

/// What is usual for an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// Transactions that it was made of.
    pub transactions: u32,
    /// Mean of each feature of the model.
    pub means: Vec<f32>,
    /// One over the standard deviation of each.
    pub(crate) scale: Vec<f32>,
}

impl Own {
    /// How far each feature of the model is from its mean. Unit: standard deviations.
    pub fn deviations(&self, vector: &[f32; FEATURES_MAX]) -> Vec<f32> {
        let usual = self.means.iter().zip(&self.scale);
        usual
            .zip(vector)
            .map(|((mean, scale), value)| (value - mean) * scale)
            .collect()
    }
}

/// The histories of the entities seen last.
pub(crate) struct Histories {
    /// Transactions that were noted: one number.
    noted: Column<u64>,
    keys: Column<Key>,
    /// For each place the means, then the variances.
    moments: Column<f32>,
    features: usize,
    entity: CaseEntity,
}

impl Histories {
    /// Room for `entities_max` entities, or a few more; 0: for none.
    pub(crate) fn new(entities_max: u32, features: usize, entity: CaseEntity) -> Self {
        let places = (entities_max as usize).next_multiple_of(WAYS);
        Self {
            noted: Column::zeroed(1),
            keys: Column::zeroed(places),
            moments: Column::zeroed(places * MOMENTS * features),
            features,
            entity,
        }
    }

    pub(crate) fn prefault(&mut self) {
        self.noted.prefault();
        self.keys.prefault();
        self.moments.prefault();
    }

    /// Forgets what is known under a dense number that was given to another entity with this event.
    pub(crate) fn keep_names(&mut self, payment: &PaymentRecord) {
        if self.entity.is_fresh(payment)
            && let Some(place) = self.find(payment)
        {
            self.clear(place);
        }
    }

    /// The history of a payment's entity, if it has one of at least [`OWN_MIN`].
    pub(crate) fn of(&self, payment: &PaymentRecord) -> Option<History<'_>> {
        if self.entity.is_fresh(payment) {
            return None;
        }
        let place = self.find(payment)?;
        let count = self.keys[place].count;
        let (means, variances) = self.moments_of(place).split_at(self.features);
        (count >= OWN_MIN).then_some(History {
            count,
            means,
            variances,
        })
    }

    /// Takes the vector of a transaction into its entity's history. All of it is finite.
    ///
    /// Cost: the line of the keys, and 8 bytes for each feature, read and written.
    pub(crate) fn note(&mut self, payment: &PaymentRecord, vector: &[f32; FEATURES_MAX]) {
        let Some(entity) = self.entity_of(payment) else {
            return;
        };
        let place = self.find(payment).unwrap_or_else(|| self.make_room(entity));
        self.noted[0] += 1;
        let seen = self.noted[0];
        let key = &mut self.keys[place];
        key.seen = seen;
        key.count = key.count.saturating_add(1);
        let weight = 1.0 / key.count.min(SPAN) as f32;
        let features = self.features;
        let moments = &mut self.moments[place * MOMENTS * features..][..MOMENTS * features];
        let (means, variances) = moments.split_at_mut(features);
        for ((mean, variance), value) in means.iter_mut().zip(variances).zip(vector) {
            let from_mean = (value - *mean).clamp(-FAR, FAR);
            let step = weight * from_mean;
            *mean += step;
            *variance = (1.0 - weight) * (*variance + step * from_mean);
        }
    }

    /// Asks for the lines of a payment's entity, to be there soon.
    #[inline]
    pub(crate) fn prefetch(&self, payment: &PaymentRecord) {
        if let Some(place) = self.find(payment) {
            let len = MOMENTS * self.features;
            self.moments.prefetch(place * len, len);
        }
    }

    /// 1 + the dense number; none: the payment names no entity, or there is no room for any.
    fn entity_of(&self, payment: &PaymentRecord) -> Option<u32> {
        let entity = self.entity.of(payment) as u32;
        (entity > 0 && !self.keys.is_empty()).then_some(entity)
    }

    /// The first of the places that an entity may have.
    fn first_place(&self, entity: u32) -> usize {
        entity as usize % (self.keys.len() / WAYS) * WAYS
    }

    fn find(&self, payment: &PaymentRecord) -> Option<usize> {
        let entity = self.entity_of(payment)?;
        let first = self.first_place(entity);
        let keys = &self.keys[first..first + WAYS];
        keys.iter()
            .position(|key| key.entity == entity)
            .map(|way| first + way)
    }

    /// A place that is nobody's, or of the four the one of the entity seen longest ago.
    fn make_room(&mut self, entity: u32) -> usize {
        let first = self.first_place(entity);
        let longest_ago = (first..first + WAYS).min_by_key(|&place| self.keys[place].seen);
        let place = longest_ago.expect("an entity may have several places");
        self.clear(place);
        self.keys[place].entity = entity;
        place
    }

    fn clear(&mut self, place: usize) {
        self.keys[place] = Key::default();
        let len = MOMENTS * self.features;
        self.moments[place * len..][..len].fill(0.0);
    }

    fn moments_of(&self, place: usize) -> &[f32] {
        let len = MOMENTS * self.features;
        &self.moments[place * len..][..len]
    }
}

impl State for Histories {
    fn regions(&self) -> Vec<Region<'_>> {
        column::regions([
            ("histories noted", self.noted.bytes()),
            ("histories", self.keys.bytes()),
            ("history moments", self.moments.bytes()),
        ])
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        column::regions_mut([
            ("histories noted", self.noted.bytes_mut()),
            ("histories", self.keys.bytes_mut()),
            ("history moments", self.moments.bytes_mut()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use pinion_runtime::hash;
    use pinion_schemas::ids::DENSE_ID_NONE;
    use pinion_schemas::records::fresh;

    use super::*;

    const FEATURES: usize = 3;

    fn histories(entities_max: u32) -> Histories {
        Histories::new(entities_max, FEATURES, CaseEntity::Customer)
    }

    fn of(customer: u32) -> PaymentRecord {
        PaymentRecord {
            customer,
            ..PaymentRecord::default()
        }
    }

    /// A number that looks like chance, 0..1.
    fn chance(number: u64) -> f64 {
        hash::short(&number.to_le_bytes()) as f64 / u64::MAX as f64
    }

    /// An amount, something that hardly varies, and something that mostly is not there.
    fn vector(number: u64) -> [f32; FEATURES_MAX] {
        let mut vector = [0.0; FEATURES_MAX];
        vector[0] = (5_000.0 * chance(3 * number)) as f32;
        vector[1] = (-40.0 + 0.01 * chance(3 * number + 1)) as f32;
        vector[2] = f32::from(chance(3 * number + 2) < 0.05);
        vector
    }

    /// Mean and variance of all values, each with its weight: the last one counts one in [`SPAN`] at least.
    fn reference(values: &[f64]) -> (f64, f64) {
        let mut weights: Vec<f64> = Vec::new();
        for count in 1..=values.len() {
            let newest = 1.0 / count.min(SPAN as usize) as f64;
            weights.iter_mut().for_each(|weight| *weight *= 1.0 - newest);
            weights.push(newest);
        }
        let weighed = || weights.iter().zip(values);
        let mean: f64 = weighed().map(|(weight, value)| weight * value).sum();
        let variance = weighed()
            .map(|(weight, value)| weight * (value - mean).powi(2))
            .sum();
        (mean, variance)
    }

    #[test]
    fn moments_are_those_of_each_entitys_own_values() {
        const ENTITIES: u32 = 11;
        let mut histories = histories(ENTITIES);
        let mut values = vec![Vec::new(); ENTITIES as usize];
        for number in 0..3_000_u64 {
            // The first ones have hundreds, the last ones a few.
            let customer = (f64::from(ENTITIES) * chance(u64::MAX - number).powi(6)) as u32;
            histories.note(&of(customer), &vector(number));
            values[customer as usize].push(vector(number));
        }
        assert!(values[0].len() > 10 * SPAN as usize && values[10].len() < SPAN as usize);
        for (customer, values) in (0..).zip(&values) {
            let history = histories.of(&of(customer)).unwrap();
            assert_eq!(history.count as usize, values.len());
            for feature in 0..FEATURES {
                let values: Vec<f64> = values.iter().map(|vector| f64::from(vector[feature])).collect();
                let (mean, variance) = reference(&values);
                let off_mean = (f64::from(history.means[feature]) - mean).abs();
                let off = (f64::from(history.variances[feature]) - variance).abs();
                assert!(
                    off_mean <= 1e-6 * (mean.abs() + variance.sqrt()),
                    "{customer} {feature}"
                );
                // A value of 40 is known to 4e-6 in f32, and its spread no better.
                let known = f64::from(f32::EPSILON) * mean.abs() * variance.sqrt();
                assert!(
                    off <= 1e-5 * variance + 8.0 * known,
                    "{customer} {feature}: {off} {variance}"
                );
            }
        }
    }

    #[test]
    fn values_of_any_size_leave_finite_moments() {
        let mut histories = histories(1);
        for number in 0..200 {
            let value = if number % 2 == 0 { f32::MAX } else { f32::MIN };
            histories.note(&of(1), &[value; FEATURES_MAX]);
        }
        let history = histories.of(&of(1)).unwrap();
        let mut moments = history.means.iter().chain(history.variances);
        assert!(moments.all(|moment| moment.is_finite()), "{history:?}");
    }

    #[test]
    fn few_payments_and_no_entity_have_no_history() {
        let mut histories = histories(8);
        for count in 1..=OWN_MIN {
            histories.note(&of(1), &vector(1));
            histories.note(&of(DENSE_ID_NONE), &vector(1));
            assert_eq!(histories.of(&of(1)).is_some(), count >= OWN_MIN);
        }
        assert!(histories.of(&of(DENSE_ID_NONE)).is_none());
        let mut none = Histories::new(0, FEATURES, CaseEntity::Customer);
        for _ in 0..OWN_MIN {
            none.note(&of(1), &vector(1));
        }
        assert!(none.of(&of(1)).is_none() && none.keys.is_empty());
    }

    #[test]
    fn of_four_entities_the_one_seen_longest_ago_makes_room() {
        let mut histories = histories(4);
        let mut seen = |customers: &[u32]| {
            for &customer in customers {
                for _ in 0..OWN_MIN {
                    histories.note(&of(customer), &vector(u64::from(customer)));
                }
            }
            let known = (0..9).filter(|&customer| histories.of(&of(customer)).is_some());
            known.collect::<Vec<_>>()
        };
        assert_eq!(seen(&[0, 1, 2, 3]), [0, 1, 2, 3]);
        assert_eq!(seen(&[0, 4]), [0, 2, 3, 4]);
        assert_eq!(seen(&[2, 5, 6]), [2, 4, 5, 6]);
        assert_eq!(seen(&[3]), [2, 3, 5, 6]);
        let history = histories.of(&of(3)).unwrap();
        assert_eq!((history.count, history.means), (OWN_MIN, &vector(3)[..FEATURES]));
    }

    #[test]
    fn dense_numbers_up_to_the_limit_do_not_make_room_for_each_other() {
        let mut histories = histories(1_000);
        for customer in (0..1_000).cycle().take(5_000) {
            histories.note(&of(customer), &vector(1));
        }
        assert!((0..1_000).all(|customer| histories.of(&of(customer)).is_some()));
    }

    #[test]
    fn number_that_was_given_anew_has_no_history() {
        let mut histories = histories(8);
        for _ in 0..OWN_MIN {
            histories.note(&of(1), &vector(1));
            histories.note(&of(2), &vector(2));
        }
        let given = |bits| PaymentRecord { fresh: bits, ..of(1) };
        assert!(histories.of(&given(fresh::CUSTOMER)).is_none());
        histories.keep_names(&given(fresh::TERMINAL | fresh::CARD));
        assert!(histories.of(&of(1)).is_some());
        histories.keep_names(&given(fresh::CUSTOMER));
        assert!(histories.of(&of(1)).is_none() && histories.of(&of(2)).is_some());
        histories.note(&of(1), &vector(3));
        let place = histories.find(&of(1)).unwrap();
        assert_eq!(
            (histories.keys[place].count, histories.moments_of(place)[0]),
            (1, vector(3)[0])
        );
    }
}
