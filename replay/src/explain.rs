//! Why a payment of a journal got its score: the cases that it resembled, and what put it near them.
//!
//! ```text
//!   journal ─▶ which payment? ─▶ replica, with set and model of then ─▶ vector, cases, score ─▶ Explained
//!           └─▶ its recorded decision, if it has one ──────────────────────────────────────┘
//! ```
//!
//! Invariant: names, features and cases are computed by the serving code from the journal's start, so the vector is the
//! one that was scored, and the bank the one of that moment; that the score is, too, is said by
//! [`Explained::is_as_recorded`].

use std::path::Path;
use std::sync::Arc;

use pinion_features::set::FeatureSet;
use pinion_features::set::file::SetError;
use pinion_journal::JournalError;
use pinion_node::Config;
use pinion_node::feature_sets::{History, HistoryError, InForce};
use pinion_node::models::{Known, ModelLog, ModelsError, Scoring};
use pinion_node::replica::{Replica, ReplicaError};
use pinion_runtime::hash;
use pinion_schemas::ids::Id;
use pinion_schemas::records::{DecisionRecord, FEATURES_MAX, PaymentRecord, Score, payment_kind};
use pinion_schemas::wire::Lane;
use pinion_score::Scorer;
use pinion_score::cases::CaseEntity;
use pinion_score::histories::Own;
use pinion_score::scorer::NearCase;

use crate::export::ExportError;
use crate::export::payments::{JournalPayments, Payments as _};
use crate::session::Progress;
use crate::sources::RecordedJournal;

/// Inputs between two reports of progress.
const PROGRESS_INPUTS: usize = 8192;

/// Orders over which an effect is a mean.
pub const ORDERS: u64 = 64;

/// Why a payment could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The journal cannot be read, or is corrupt.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log of the feature sets, or of the models, that served it cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The model that scored it cannot be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// Its payments cannot be read.
    #[error(transparent)]
    Payments(#[from] ExportError),
    /// The configured feature set cannot be read.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The configuration or the model is refused.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

impl ExplainError {
    /// Whether stored data is corrupt, as opposed to the rest being impossible to run.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_corruption(),
            Self::Payments(error) => error.is_corruption(),
            Self::Models(error) => error.is_corruption(),
            _ => false,
        }
    }
}

/// Which payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The last transaction of this id.
    Transaction(Id),
    /// The event at this place of the payments lane, from 1.
    Sequence(u64),
}

impl Wanted {
    fn is(self, payment: &PaymentRecord) -> bool {
        payment.origin.kind == payment_kind::TRANSACTION
            && match self {
                Self::Transaction(id) => payment.transaction_id == id,
                Self::Sequence(sequence) => payment.origin.sequence == sequence,
            }
    }
}

/// A payment with its score and what stands behind it.
pub struct Explained {
    /// The payment.
    pub payment: PaymentRecord,
    /// The set that served it.
    pub set: Arc<FeatureSet>,
    /// Its vector; features past the set's length are 0.
    pub vector: [f32; FEATURES_MAX],
    /// What the model says of it that scored it.
    pub score: Score,
    /// The nearest cases, nearest first.
    pub cases: Vec<NearCase>,
    /// How far each feature of the model is from its mean in training. Unit: standard deviations.
    pub deviations: Vec<f32>,
    /// What the entity's earlier transactions were like, as the scorer knew it; none: there are fewer than
    /// [`pinion_score::histories::OWN_MIN`].
    pub own: Option<Own>,
    /// Whose they are.
    pub entity: CaseEntity,
    /// What each feature of the model adds to the share of fraud among the nearest cases, from a payment that is as usual
    /// for the entity, or without [`Self::own`] as in training: its Shapley value, a mean over [`ORDERS`] orders in
    /// which the features become this payment's. They add up to the share less that of the usual payment. Unit: share
    /// of the votes, -1..=1.
    pub effects: Vec<f32>,
    /// Name and version of the model.
    pub model: (String, u32),
    /// The decision that was recorded; none: the engine did not live to record one.
    pub recorded: Option<DecisionRecord>,
}

impl Explained {
    /// Whether the recorded decision has this score, of this model, to the last bit. None: no decision is recorded.
    pub fn is_as_recorded(&self) -> Option<bool> {
        let recorded = self.recorded.as_ref()?;
        Some(
            recorded.model_hash == self.score.model_hash
                && recorded.score.to_bits() == self.score.score.to_bits(),
        )
    }
}

/// Explains a payment of the journal in `dir` with the model that scored it; with that of `config` if that one never
/// scored there. `None`: the journal has no such
/// transaction.
///
/// # Errors
/// The journal is damaged, or set, model or tables of `config` are refused.
///
/// Cost: one pass over the journal to find its end, one to find the payment, one up to it through features and scorer,
///       and one up to its recorded decision.
pub fn explain(
    config: &Config,
    dir: &Path,
    wanted: Wanted,
    mut progress: impl FnMut(Progress),
) -> Result<Option<Explained>, ExplainError> {
    let journal = RecordedJournal::open(dir)?;
    let Some(payment) = find(config, dir, wanted)? else {
        return Ok(None);
    };
    let served = served(config, &journal, payment.origin.sequence)?;
    let scoring = scoring(config, &journal, payment.origin.sequence)?;
    let known = (served.as_slice(), scoring.as_ref());
    let (mut replica, vector, own) = replica_at(config, &journal, known, &payment, &mut progress)?;
    let score = *replica.score();
    let scorer = replica.scorer_mut().expect("it knows the cases");
    let usual = own.as_ref().map_or(scorer.usual(), |own| &own.means).to_vec();
    let effects = effects(scorer, &vector, &usual);
    let scorer = replica.scorer().expect("it knows the cases");
    Ok(Some(Explained {
        payment,
        own,
        entity: config.score.case_entity,
        effects,
        set: replica.set().clone(),
        vector,
        score,
        cases: scorer.cases(&score).collect(),
        deviations: scorer.deviations(&vector),
        model: scorer.model(),
        recorded: recorded(&journal, payment.origin.sequence)?,
    }))
}

/// The last payment that is wanted.
fn find(config: &Config, dir: &Path, wanted: Wanted) -> Result<Option<PaymentRecord>, ExplainError> {
    let mut payments = JournalPayments::open(dir, &config.ingest)?;
    let mut found = None;
    while let Some(payment) = payments.next_payment()? {
        if wanted.is(&payment) {
            found = Some(payment);
            if matches!(wanted, Wanted::Sequence(_)) {
                break;
            }
        }
    }
    Ok(found)
}

/// The sets that served the journal up to the payment, its own last: of the log beside the journal, or the configured
/// one.
fn served(config: &Config, journal: &RecordedJournal, sequence: u64) -> Result<Vec<InForce>, ExplainError> {
    let mut sets = match History::of_journal(journal.dir())? {
        Some(history) => history.in_force(journal.survey().end_position)?,
        None => Vec::new(),
    };
    sets.retain(|set| set.sequence < sequence);
    if sets.is_empty() {
        sets.push(InForce::always(Arc::new(config.features.load_set()?)));
    }
    Ok(sets)
}

/// The model that scored the payment, if the configured one is among those that scored the journal; else none: the
/// configured one is tried.
fn scoring(
    config: &Config,
    journal: &RecordedJournal,
    sequence: u64,
) -> Result<Option<(Config, Scoring)>, ExplainError> {
    let Some(log) = ModelLog::of_journal(journal.dir())? else {
        return Ok(None);
    };
    let configured = Known::find(&config.score.model).map_err(ModelsError::from)?;
    if !log.knows(configured.hash) {
        return Ok(None);
    }
    let scorings = log.recorded(journal.survey().end_position)?;
    let later = scorings.iter().map(|scoring| scoring.sequence);
    let last = later.filter(|&behind| behind >= sequence).min();
    let scoring = scorings.into_iter().rfind(|scoring| scoring.sequence < sequence);
    let with_config = |scoring: Scoring| Ok((scoring.config(config, last)?, scoring));
    scoring.map(with_config).transpose()
}

/// See [`Explained::effects`]; `usual` are the model's features of a payment that is as usual.
///
/// Cost: as many scores as there are features, in each order.
pub fn effects(scorer: &mut Scorer, vector: &[f32; FEATURES_MAX], usual: &[f32]) -> Vec<f32> {
    let mut start = *vector;
    start[..usual.len()].copy_from_slice(usual);
    let mut order: Vec<usize> = (0..usual.len()).collect();
    let mut sums = vec![0.0_f64; usual.len()];
    let mut share_of = |vector: &[f32; FEATURES_MAX]| f64::from(scorer.score(vector).fraud_share);
    let start_share = share_of(&start);
    for number in 0..ORDERS {
        shuffle(&mut order, number);
        let (mut changed, mut before) = (start, start_share);
        for &slot in &order {
            changed[slot] = vector[slot];
            let share = share_of(&changed);
            sums[slot] += share - before;
            before = share;
        }
    }
    sums.into_iter().map(|sum| (sum / ORDERS as f64) as f32).collect()
}

/// Another order for each number, always the same.
fn shuffle(order: &mut [usize], number: u64) {
    for last in (1..order.len()).rev() {
        let text = (number << 32 | last as u64).to_le_bytes();
        order.swap(last, (hash::short(&text) % (last as u64 + 1)) as usize);
    }
}

/// A replica that has just taken the payment, the payment's vector, and what those of its entity were like before.
fn replica_at(
    config: &Config,
    journal: &RecordedJournal,
    (served, scoring): (&[InForce], Option<&(Config, Scoring)>),
    payment: &PaymentRecord,
    progress: &mut impl FnMut(Progress),
) -> Result<(Replica, [f32; FEATURES_MAX], Option<Own>), ExplainError> {
    let sequence = payment.origin.sequence;
    let mut replica = match scoring {
        Some((config, scoring)) => {
            let mut replica = Replica::with_cases(config, served)?;
            replica.set_scoring(scoring);
            replica
        }
        None => Replica::with_cases(config, served)?,
    };
    let mut inputs = journal.reader()?;
    while replica.place().sequence + 1 < sequence {
        if replica.run(&mut inputs, sequence - 1, PROGRESS_INPUTS, |_, _| ())? == 0 {
            break;
        }
        progress(Progress {
            done: replica.place().sequence,
            inputs: sequence,
        });
    }
    let scorer = replica.scorer_mut().expect("it knows the cases");
    let own = scorer.own(payment);
    let mut vector = [0.0; FEATURES_MAX];
    let mut is_there = false;
    while !is_there && replica.run(&mut inputs, sequence, 1, |_, features| vector = *features)? > 0 {
        is_there = replica.place().sequence >= sequence;
    }
    Ok((replica, vector, own))
}

fn recorded(journal: &RecordedJournal, sequence: u64) -> Result<Option<DecisionRecord>, JournalError> {
    let mut decisions = journal.decisions(Lane::Payment)?;
    while let Some(decision) = decisions.next_decision()? {
        if decision.sequence == sequence {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}
