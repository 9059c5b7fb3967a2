//! Which features to name with a score, and how far they are from what is usual.
//!
//! ```text
//!   history of the entity, or training ─▶ usual ─┐
//!   vector ──────────────────────────────────────┴─▶ way through the encoder ─▶ what each feature adds ─▶ reasons
//!   fraud among the nearest cases ─▶ their middle ──────────────┘ towards it
//! ```
//!
//! Where fraud is among the nearest cases, the features that put the payment near it are named, those that did most
//! first. Elsewhere there is nothing to be near to, and the features that are furthest from usual are named.
//! `docs/models.md` has how well that agrees with Shapley values of the fraud share, which would cost some thousand
//! scores.
//!
//! Invariant: reasons are a function of the vector, the model, the cases and the entity's history before the payment.

use pinion_schemas::records::{REASONS_MAX, Score};

use crate::histories::{History, Own};
use crate::native::NativeEncoder;

/// Share of fraud among the nearest cases from which on the features that put the payment near it are looked for.
pub(crate) const FRAUD_SHARE_MIN: f32 = 0.01;

/// Elsewhere a feature is named when it stands this many standard deviations from what is usual.
const DEVIATIONS_MIN: f32 = 2.0;

/// A feature is named when it does at least this part of what the first one does.
const PART_MIN: f32 = 0.01;

/// The least standard deviation of an entity's feature, as a part of that in training: what never changed so far is
/// not infinitely far when it does.
const SPREAD_MIN: f32 = 0.1;

/// Units of [`Score::deviations`] in a standard deviation.
const HUNDREDTHS: f32 = 100.0;

/// What is usual for one payment, and what its features do.
pub(crate) struct Reasons {
    /// What each feature usually is.
    usual: Vec<f32>,
    /// One over the standard deviation of each.
    scale: Vec<f32>,
    /// Middle of the frauds among the nearest cases.
    middle: Vec<f32>,
    /// One of them.
    case: Vec<f32>,
    /// What each feature does towards it; or how far it is from usual.
    weights: Vec<f32>,
}

impl Reasons {
    pub(crate) fn new(features: usize, dimensions: usize) -> Self {
        Self {
            usual: vec![0.0; features],
            scale: vec![0.0; features],
            middle: vec![0.0; dimensions],
            case: vec![0.0; dimensions],
            weights: vec![0.0; features],
        }
    }

    /// Goes by the history of an entity, or without one by training: mean of each feature, and one over its standard
    /// deviation.
    pub(crate) fn set_usual(&mut self, history: Option<History<'_>>, training: (&[f32], &[f32])) {
        let (mean, scale) = training;
        let Some(history) = history else {
            self.usual.copy_from_slice(mean);
            self.scale.copy_from_slice(scale);
            return;
        };
        self.usual.copy_from_slice(history.means);
        for ((own, variance), scale) in self.scale.iter_mut().zip(history.variances).zip(scale) {
            *own = (1.0 / variance.sqrt()).min(scale / SPREAD_MIN);
        }
    }

    /// What is usual, which was made of so many transactions.
    pub(crate) fn own(&self, transactions: u32) -> Own {
        Own {
            transactions,
            means: self.usual.clone(),
            scale: self.scale.clone(),
        }
    }

    /// Forgets the frauds.
    pub(crate) fn begin(&mut self) {
        self.middle.fill(0.0);
    }

    /// Takes in a fraud among the nearest cases: `embed` writes its embedding; `part` is its part of their votes.
    pub(crate) fn add_fraud(&mut self, part: f32, embed: impl FnOnce(&mut [f32])) {
        embed(&mut self.case);
        for (middle, value) in self.middle.iter_mut().zip(&self.case) {
            *middle += part * value;
        }
    }

    /// Names the features that put the payment near the frauds that were taken in.
    pub(crate) fn name_nearing(&mut self, score: &mut Score, vector: &[f32], encoder: &mut NativeEncoder) {
        encoder.contributions(&self.usual, vector, &self.middle, &mut self.weights);
        let first = self.weights.iter().copied().fold(0.0, f32::max);
        self.name(score, vector, (PART_MIN * first).max(f32::MIN_POSITIVE));
    }

    /// Names the features that are furthest from usual.
    pub(crate) fn name_unusual(&mut self, score: &mut Score, vector: &[f32]) {
        let usual = self.usual.iter().zip(&self.scale);
        for ((weight, (usual, scale)), value) in self.weights.iter_mut().zip(usual).zip(vector) {
            *weight = ((value - usual) * scale).abs();
        }
        self.name(score, vector, DEVIATIONS_MIN);
    }

    /// The features of the highest weights from `weight_min` on, highest first; ties to the lower index.
    fn name(&self, score: &mut Score, vector: &[f32], weight_min: f32) {
        let mut highest = [0.0_f32; REASONS_MAX];
        let mut count = 0;
        for (index, &weight) in self.weights.iter().enumerate() {
            if weight < weight_min || (count == REASONS_MAX && weight <= highest[REASONS_MAX - 1]) {
                continue;
            }
            let at = highest[..count].partition_point(|&other| other >= weight);
            count = (count + 1).min(REASONS_MAX);
            highest[at..count].rotate_right(1);
            score.reasons[at..count].rotate_right(1);
            highest[at] = weight;
            score.reasons[at] = 1 + index as u16;
        }
        score.reason_count = count as u8;
        for (code, deviation) in score.reasons[..count].iter().zip(&mut score.deviations) {
            let index = usize::from(*code) - 1;
            let far = (vector[index] - self.usual[index]) * self.scale[index];
            *deviation = (far * HUNDREDTHS).round() as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use pinion_schemas::records::FEATURES_MAX;

    use super::*;

    fn usual_of_ones(features: usize) -> Reasons {
        let mut reasons = Reasons::new(features, 1);
        reasons.set_usual(None, (&vec![0.0; features], &vec![1.0; features]));
        reasons
    }

    #[test]
    fn reasons_are_the_furthest_features_first() {
        let mut score = Score::default();
        usual_of_ones(5).name_unusual(&mut score, &[0.0, 3.0, -5.0, 1.0, 3.0]);
        assert_eq!((score.reason_count, &score.reasons[..4]), (3, &[3, 2, 5, 0][..]));
        assert_eq!(score.deviations[..4], [-500, 300, 300, 0]);
        let many: Vec<f32> = (0..20).map(|index| 2.0 + index as f32).collect();
        usual_of_ones(20).name_unusual(&mut score, &many);
        assert_eq!(
            (score.reason_count, score.reasons),
            (8, [20, 19, 18, 17, 16, 15, 14, 13])
        );
    }

    #[test]
    fn what_never_changed_is_not_infinitely_far() {
        let mut reasons = Reasons::new(3, 1);
        let history = History {
            count: 9,
            means: &[1.0, 1.0, 1.0],
            variances: &[0.0, 4.0, 1e30],
        };
        reasons.set_usual(Some(history), (&[0.0; 3], &[0.5; 3]));
        let mut vector = [0.0; FEATURES_MAX];
        vector[..3].copy_from_slice(&[3.0, 3.0, f32::MAX]);
        let deviations = reasons.own(9).deviations(&vector);
        assert_eq!(deviations[..2], [2.0 / (SPREAD_MIN * 2.0), 1.0]);
        let mut score = Score::default();
        reasons.name_unusual(&mut score, &[3.0, 3.0, f32::MAX]);
        assert_eq!((score.reasons[0], score.deviations[0]), (3, i16::MAX));
    }
}
