//! Figures of each model, over all and by day.

use std::collections::BTreeMap;

use pinion_node::drift::{Bins, Counts};
use pinion_schemas::ids::DENSE_ID_NONE;
use serde::Serialize;

use super::metrics::{CALIBRATION_BINS, Calibration, OfCard, Ranking, card_precision};
use super::rows::{Known, Rows};
use super::{Entrant, RATES};
use crate::import::time::{DAY_NS, format_time};

/// Between these scores transactions are counted for the histogram; close together where most scores are.
pub const SCORE_EDGES: [f32; 11] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99];

/// False-positive rates at which the curve is drawn: ten to a power of ten, from 0.0001 on.
const CURVE_POINTS: i32 = 40;

/// A score that differs by more from the champion's has moved.
const MOVED: f32 = 0.1;

/// How a model did on some transactions. None: not defined, for lack of frauds or of genuine transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Transactions.
    pub transactions: u64,
    /// Frauds among them.
    pub frauds: u64,
    /// Area under the ROC curve.
    pub auc_roc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// Card precision@100; of all days: the mean of the days.
    pub card_precision: Option<f64>,
    /// Recall at the false-positive rates of [`RATES`].
    pub recall: [Option<f64>; RATES.len()],
    /// Brier score.
    pub brier: Option<f64>,
    /// Expected calibration error.
    pub calibration_error: Option<f64>,
    /// Population stability index of the scores against the champion's of the same transactions.
    pub stability: f64,
}

/// Figures of a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiguresOfDay {
    /// The day, UTC.
    pub day: String,
    /// Its figures.
    pub figures: Figures,
}

/// How far a model's scores are from the champion's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shift {
    /// Mean of the differences.
    pub mean: f64,
    /// Share of transactions whose score differs by more than 0.1.
    pub moved: f64,
}

/// A bin of scores and what came of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// Transactions.
    pub count: u64,
    /// Mean of their scores.
    pub score: f64,
    /// Share of frauds among them.
    pub fraud_share: f64,
}

/// A model, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Name and version, or how a live challenger is called.
    pub name: String,
    /// The model's hash.
    #[serde(serialize_with = "as_hash")]
    pub model_hash: u64,
    /// Over all days.
    pub overall: Figures,
    /// By day.
    pub days: Vec<FiguresOfDay>,
    /// By score, from 0 to 1 in ten equal steps.
    pub reliability: Vec<Reliability>,
    /// False-positive rate and recall.
    pub curve: Vec<(f64, f64)>,
    /// Transactions between [`SCORE_EDGES`]: at or below the first, …, above the last.
    pub histogram: Vec<u64>,
    /// Against the champion.
    pub shift: Shift,
}

fn as_hash<S: serde::Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{hash:016x}"))
}

/// How many transactions were left out, and why.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftOut {
    pub(super) measured: u64,
    pub(super) frauds: u64,
    pub(super) erased: u64,
    pub(super) open: u64,
    pub(super) unscored: u64,
}

/// The rows that all models are measured on.
pub(super) struct Scored<'a> {
    rows: &'a Rows,
    entrants: &'a [Entrant],
    /// In the order of days.
    measured: Vec<usize>,
    counts: LeftOut,
}

impl<'a> Scored<'a> {
    pub(super) fn new(rows: &'a Rows, entrants: &'a [Entrant], label_days: u32) -> Self {
        let (mut measured, mut counts) = (Vec::new(), LeftOut::default());
        for row in 0..rows.len() {
            let is_scored = |entrant: &Entrant| entrant.scores.get(row).is_some_and(|score| !score.is_nan());
            match rows.known(row) {
                Known::Erased => counts.erased += 1,
                _ if rows.is_open(row, label_days) => counts.open += 1,
                _ if !entrants.iter().all(is_scored) => counts.unscored += 1,
                known => {
                    counts.measured += 1;
                    counts.frauds += u64::from(known == Known::Fraud);
                    measured.push(row);
                }
            }
        }
        measured.sort_by_key(|&row| rows.day(row));
        Self {
            rows,
            entrants,
            measured,
            counts,
        }
    }

    pub(super) fn counts(&self) -> LeftOut {
        self.counts
    }

    pub(super) fn models(&self) -> Vec<Measured> {
        let Some(champion) = self.entrants.first() else {
            return Vec::new();
        };
        let mut scores: Vec<f32> = self.measured.iter().map(|&row| champion.scores[row]).collect();
        let bins = Bins::of(&mut scores, || ());
        let measure = |entrant| self.measure(entrant, champion, &bins);
        self.entrants.iter().map(measure).collect()
    }

    fn measure(&self, entrant: &Entrant, champion: &Entrant, bins: &Bins) -> Measured {
        let scores = &entrant.scores;
        let cards = self.card_precision(scores);
        let against = Against { champion, bins };
        let by_day = self
            .measured
            .chunk_by(|&a, &b| self.rows.day(a) == self.rows.day(b));
        let days = by_day.map(|rows| {
            let day = self.rows.day(rows[0]);
            FiguresOfDay {
                day: day_text(day),
                figures: Figures {
                    card_precision: cards.get(&day).copied(),
                    ..self.figures(scores, rows, &against)
                },
            }
        });
        let mean = cards.values().sum::<f64>() / cards.len() as f64;
        let ranking = self.ranking(scores, &self.measured);
        Measured {
            name: entrant.name.clone(),
            model_hash: entrant.model_hash,
            overall: Figures {
                card_precision: Some(mean).filter(|mean| mean.is_finite()),
                ..self.figures(scores, &self.measured, &against)
            },
            days: days.collect(),
            reliability: self.reliability(scores),
            curve: curve(&ranking),
            histogram: self.histogram(scores),
            shift: self.shift(scores, champion),
        }
    }

    fn is_fraud(&self, row: usize) -> bool {
        self.rows.known(row) == Known::Fraud
    }

    fn outcomes<'s>(
        &'s self,
        scores: &'s [f32],
        rows: &'s [usize],
    ) -> impl Iterator<Item = (f32, bool)> + 's {
        rows.iter().map(|&row| (scores[row], self.is_fraud(row)))
    }

    fn ranking(&self, scores: &[f32], rows: &[usize]) -> Ranking {
        Ranking::of(self.outcomes(scores, rows))
    }

    fn figures(&self, scores: &[f32], rows: &[usize], against: &Against<'_>) -> Figures {
        let ranking = self.ranking(scores, rows);
        let calibration = Calibration::of(self.outcomes(scores, rows));
        let [genuine, frauds] = ranking.totals();
        Figures {
            transactions: genuine + frauds,
            frauds,
            auc_roc: ranking.auc_roc(),
            average_precision: ranking.average_precision(),
            card_precision: None,
            recall: RATES.map(|rate| ranking.recall_at(rate)),
            brier: calibration.as_ref().map(|calibration| calibration.brier),
            calibration_error: calibration.as_ref().map(|calibration| calibration.error),
            stability: against.stability(scores, rows),
        }
    }

    /// Transactions without a customer stand for no card.
    fn card_precision(&self, scores: &[f32]) -> BTreeMap<i64, f64> {
        let named = self
            .measured
            .iter()
            .filter(|&&row| self.rows.customer(row) != DENSE_ID_NONE);
        card_precision(named.map(|&row| OfCard {
            day: self.rows.day(row),
            card: self.rows.customer(row),
            score: scores[row],
            is_fraud: self.is_fraud(row),
        }))
    }

    fn reliability(&self, scores: &[f32]) -> Vec<Reliability> {
        let calibration = Calibration::of(self.outcomes(scores, &self.measured)).unwrap_or_default();
        let bins: [_; CALIBRATION_BINS] = calibration.bins;
        bins.map(|bin| Reliability {
            count: bin.count,
            score: bin.score,
            fraud_share: bin.fraud_share,
        })
        .to_vec()
    }

    fn histogram(&self, scores: &[f32]) -> Vec<u64> {
        let mut counts = vec![0; SCORE_EDGES.len() + 1];
        for &row in &self.measured {
            counts[SCORE_EDGES.partition_point(|&edge| scores[row] > edge)] += 1;
        }
        counts
    }

    fn shift(&self, scores: &[f32], champion: &Entrant) -> Shift {
        let count = self.measured.len().max(1) as f64;
        let differences = || {
            self.measured
                .iter()
                .map(|&row| scores[row] - champion.scores[row])
        };
        Shift {
            mean: differences().map(f64::from).sum::<f64>() / count,
            moved: differences()
                .filter(|difference| difference.abs() > MOVED)
                .count() as f64
                / count,
        }
    }
}

/// The champion's scores, and their deciles.
struct Against<'a> {
    champion: &'a Entrant,
    bins: &'a Bins,
}

impl Against<'_> {
    fn stability(&self, scores: &[f32], rows: &[usize]) -> f64 {
        let counts = |scores: &[f32]| -> Counts { self.bins.counts_of(rows.iter().map(|&row| scores[row])) };
        self.bins
            .stability_index(&counts(&self.champion.scores), &counts(scores))
    }
}

fn curve(ranking: &Ranking) -> Vec<(f64, f64)> {
    let rates = (0..=CURVE_POINTS).map(|point| 10_f64.powf(f64::from(point) / 10.0 - 4.0));
    rates
        .filter_map(|rate| Some((rate, ranking.recall_at(rate)?)))
        .collect()
}

/// A day from the Unix epoch as 2018-04-01.
pub(super) fn day_text(day: i64) -> String {
    let text = format_time(day.saturating_mul(DAY_NS));
    text.split('T').next().unwrap_or_default().to_owned()
}
