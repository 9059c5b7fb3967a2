//! How well scores rank and how far they can be believed.
//!
//! Transactions of equal score are one step: they are found together or not at all, so that no figure depends on the
//! order in which they came. Definitions are those of `models/train/metrics.py` and of the Fraud Detection Handbook.
//!
//! Invariant: every figure is finite, or none where it is not defined.

use std::collections::{BTreeMap, BTreeSet};

/// Cards looked at on a day, as the Handbook has it.
pub const CARDS: usize = 100;

/// Bins of equal width in which scores are compared with what came of them.
pub const CALIBRATION_BINS: usize = 10;

/// What came of scored transactions, ranked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// Genuine transactions and frauds with this score or a higher one, for each score from the highest down.
    steps: Vec<[u64; 2]>,
}

impl Ranking {
    /// Of scores and whether each was a fraud.
    pub fn of(scored: impl Iterator<Item = (f32, bool)>) -> Self {
        let mut scored: Vec<(f32, bool)> = scored.collect();
        scored.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let (mut steps, mut so_far) = (Vec::new(), [0, 0]);
        for equal in scored.chunk_by(|(a, _), (b, _)| a == b) {
            equal
                .iter()
                .for_each(|(_, is_fraud)| so_far[usize::from(*is_fraud)] += 1);
            steps.push(so_far);
        }
        Self { steps }
    }

    /// Genuine transactions and frauds in all.
    pub fn totals(&self) -> [u64; 2] {
        self.steps.last().copied().unwrap_or_default()
    }

    fn is_defined(&self) -> bool {
        self.totals().iter().all(|&total| total > 0)
    }

    /// What each step adds, with what was there before it: `(before, added)`.
    fn added(&self) -> impl Iterator<Item = ([u64; 2], [u64; 2])> {
        let before = std::iter::once(&[0, 0]).chain(&self.steps);
        before
            .zip(&self.steps)
            .map(|(&before, &after)| (before, [after[0] - before[0], after[1] - before[1]]))
    }

    /// Area under the curve of recall over the false-positive rate: the chance that a fraud stands above a genuine
    /// transaction, half of it where they are equal.
    pub fn auc_roc(&self) -> Option<f64> {
        let [genuine, frauds] = self.totals();
        let area = self
            .added()
            .map(|(before, added)| added[0] as f64 * (before[1] as f64 + added[1] as f64 / 2.0));
        self.is_defined()
            .then(|| area.sum::<f64>() / (genuine as f64 * frauds as f64))
    }

    /// Precision at each step, weighed by the recall that it adds.
    pub fn average_precision(&self) -> Option<f64> {
        let [_, frauds] = self.totals();
        let sum = self.added().map(|(before, added)| {
            let found = (before[1] + added[1]) as f64;
            let seen = (before[0] + added[0]) as f64 + found;
            added[1] as f64 * found / seen
        });
        (frauds > 0).then(|| sum.sum::<f64>() / frauds as f64)
    }

    /// The largest share of frauds that a threshold finds while it takes no more than `rate` of the genuine
    /// transactions for frauds.
    pub fn recall_at(&self, rate: f64) -> Option<f64> {
        let [genuine, frauds] = self.totals();
        let within = self
            .steps
            .partition_point(|step| step[0] as f64 <= rate * genuine as f64);
        let found = within.checked_sub(1).map_or(0, |last| self.steps[last][1]);
        self.is_defined().then(|| found as f64 / frauds as f64)
    }
}

/// A transaction as card precision sees it.
#[derive(Clone, Copy, Debug)]
pub struct OfCard {
    /// The day.
    pub day: i64,
    /// The card, or the customer who stands for it.
    pub card: u32,
    /// Its score.
    pub score: f32,
    /// What came of it.
    pub is_fraud: bool,
}

/// For each day the share of compromised cards among the [`CARDS`] with the highest score of the day; the Handbook's
/// figure is the mean over the days.
///
/// A card is compromised on a day if one of its transactions is a fraud; once found, it leaves the days after. Of
/// equal scores the card with the lower number comes first.
pub fn card_precision(transactions: impl Iterator<Item = OfCard>) -> BTreeMap<i64, f64> {
    let mut days: BTreeMap<i64, BTreeMap<u32, (f32, bool)>> = BTreeMap::new();
    for OfCard {
        day,
        card,
        score,
        is_fraud,
    } in transactions
    {
        let cards = days.entry(day).or_default();
        let (best, is_bad) = cards.entry(card).or_insert((score, is_fraud));
        *best = best.max(score);
        *is_bad |= is_fraud;
    }
    let mut found = BTreeSet::new();
    let of_day = |(day, cards): (i64, BTreeMap<u32, (f32, bool)>)| {
        let mut cards: Vec<_> = cards
            .into_iter()
            .filter(|(card, _)| !found.contains(card))
            .collect();
        // Stable: cards come by their number.
        cards.sort_by(|(_, (a, _)), (_, (b, _))| b.total_cmp(a));
        let bad = cards.iter().take(CARDS).filter(|(_, (_, is_bad))| *is_bad);
        let before = found.len();
        found.extend(bad.map(|(card, _)| *card));
        (day, (found.len() - before) as f64 / CARDS as f64)
    };
    days.into_iter().map(of_day).collect()
}

/// Scores of a bin, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalibrationBin {
    /// Transactions.
    pub count: u64,
    /// Mean of their scores; 0 without any.
    pub score: f64,
    /// Share of frauds among them; 0 without any.
    pub fraud_share: f64,
}

/// How far a score is a probability.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// By score, from 0 to 1 in equal steps.
    pub bins: [CalibrationBin; CALIBRATION_BINS],
    /// Mean of the squared distance of score and outcome.
    pub brier: f64,
    /// Mean distance of a bin's score from its share of frauds, each by its transactions.
    pub error: f64,
}

impl Calibration {
    /// Of scores and whether each was a fraud. `None`: there are none.
    pub fn of(scored: impl Iterator<Item = (f32, bool)>) -> Option<Self> {
        let mut sums = [(0_u64, 0.0, 0_u64); CALIBRATION_BINS];
        let mut squares = 0.0;
        for (score, is_fraud) in scored {
            let score = f64::from(score);
            let bin = ((score * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
            sums[bin].0 += 1;
            sums[bin].1 += score;
            sums[bin].2 += u64::from(is_fraud);
            squares += (score - f64::from(u8::from(is_fraud))).powi(2);
        }
        let count = sums.iter().map(|sum| sum.0).sum::<u64>();
        if count == 0 {
            return None;
        }
        let bins = sums.map(|(count, score, frauds)| CalibrationBin {
            count,
            score: score / count.max(1) as f64,
            fraud_share: frauds as f64 / count.max(1) as f64,
        });
        let distance = |bin: &CalibrationBin| bin.count as f64 * (bin.score - bin.fraud_share).abs();
        Some(Self {
            bins,
            brier: squares / count as f64,
            error: bins.iter().map(distance).sum::<f64>() / count as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(scored: &[(f32, u8)]) -> Ranking {
        Ranking::of(scored.iter().map(|&(score, fraud)| (score, fraud == 1)))
    }

    #[track_caller]
    fn check(scored: &[(f32, u8)], auc: f64, average_precision: f64) {
        let mut reversed = scored.to_vec();
        reversed.reverse();
        for scored in [scored, &reversed] {
            let ranking = ranking(scored);
            let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
            assert!(close(ranking.auc_roc(), auc), "{:?}", ranking.auc_roc());
            let found = ranking.average_precision();
            assert!(close(found, average_precision), "{found:?}");
        }
    }

    #[test]
    fn area_and_precision_are_as_computed_by_hand() {
        check(&[(0.9, 1), (0.8, 1), (0.2, 0), (0.1, 0)], 1.0, 1.0);
        check(
            &[(0.9, 0), (0.8, 0), (0.2, 1), (0.1, 1)],
            0.0,
            (1.0 / 3.0 + 2.0 / 4.0) / 2.0,
        );
        // Of four pairs one is the wrong way round; precision 1/1 and 2/3.
        check(
            &[(0.9, 1), (0.8, 0), (0.7, 1), (0.1, 0)],
            0.75,
            (1.0 + 2.0 / 3.0) / 2.0,
        );
    }

    #[test]
    fn equal_scores_are_one_step() {
        check(&[(0.5, 1), (0.5, 0), (0.5, 0), (0.5, 1)], 0.5, 0.5);
        // 0.9: a fraud; 0.5: a fraud and a genuine one; 0.1: a genuine one. Pairs: 1, 1, 0.5, 1.
        check(
            &[(0.9, 1), (0.5, 0), (0.5, 1), (0.1, 0)],
            3.5 / 4.0,
            (1.0 + 2.0 / 3.0) / 2.0,
        );
    }

    #[test]
    fn recall_is_that_of_a_threshold_within_the_rate() {
        let mut scored = vec![(0.9, 1), (0.8, 0), (0.7, 1), (0.6, 0), (0.6, 1), (0.5, 1)];
        scored.extend([(0.1, 0); 8]);
        let ranking = ranking(&scored);
        let recall = |rate| ranking.recall_at(rate).unwrap();
        assert_eq!(ranking.totals(), [10, 4]);
        assert_eq!(recall(0.0), 0.25);
        assert_eq!(recall(0.099), 0.25);
        assert_eq!(recall(0.1), 0.5, "one false alarm of ten");
        assert_eq!(recall(0.19), 0.5, "the fraud at 0.6 comes with its equal");
        assert_eq!(recall(0.2), 1.0);
        assert_eq!(recall(1.0), 1.0);
    }

    #[test]
    fn without_both_kinds_nothing_is_said() {
        for scored in [&[][..], &[(0.5, 0)]] {
            assert_eq!(ranking(scored).average_precision(), None);
        }
        for scored in [&[][..], &[(0.5, 0)], &[(0.5, 1)]] {
            assert_eq!(
                (ranking(scored).auc_roc(), ranking(scored).recall_at(0.5)),
                (None, None)
            );
        }
        assert_eq!(Calibration::of(std::iter::empty()), None);
    }

    fn of_card((day, card, score, fraud): (i64, u32, f32, u8)) -> OfCard {
        OfCard {
            day,
            card,
            score,
            is_fraud: fraud == 1,
        }
    }

    #[test]
    fn cards_that_were_found_leave_the_days_after() {
        let transactions = [
            (1, 7, 0.2, 1),
            (1, 7, 0.1, 0),
            (1, 8, 0.9, 0),
            (2, 7, 0.9, 1),
            (2, 8, 0.5, 1),
        ];
        let days = card_precision(transactions.into_iter().map(of_card));
        assert_eq!(days, BTreeMap::from([(1, 0.01), (2, 0.01)]));
    }

    #[test]
    fn hundred_cards_are_looked_at_and_of_equal_scores_the_lower_number() {
        // Cards 0 to 149 with one score: 0 to 99 are looked at, of which every second is bad.
        let equal = (0..150).rev().map(|card| (1, card, 0.5, (card % 2) as u8));
        assert_eq!(card_precision(equal.map(of_card))[&1], 0.5);
        // A bad card counts with its highest score, even if the fraud is another of its transactions.
        let mut scored: Vec<_> = (0..100).map(|card| (1, card, 0.5, 0)).collect();
        scored.extend([(1, 200, 0.6, 0), (1, 200, 0.0, 1), (1, 201, 0.4, 1)]);
        assert_eq!(card_precision(scored.into_iter().map(of_card))[&1], 0.01);
    }

    #[test]
    fn calibration_is_as_computed_by_hand() {
        let scored = [
            (0.0, false),
            (0.05, false),
            (0.1, true),
            (1.0, true),
            (0.95, false),
        ];
        let found = Calibration::of(scored.into_iter()).unwrap();
        let counts = found.bins.map(|bin| bin.count);
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
        assert!(close(found.bins[0].score, 0.025) && close(found.bins[9].score, 0.975));
        assert_eq!((found.bins[0].fraud_share, found.bins[9].fraud_share), (0.0, 0.5));
        assert!(close(
            found.brier,
            (0.05_f64.powi(2) + 0.81 + 0.95_f64.powi(2)) / 5.0
        ));
        assert!(close(found.error, (2.0 * 0.025 + 0.9 + 2.0 * 0.475) / 5.0));
    }
}
