//! A second copy of what the payment lane knows, fed from the journal, away from the hot path.
//!
//! ```text
//!   journal ──inputs────▶ [Follower] ──entry──▶ [Replica]: ByHand intake ─▶ FeatureStore ─▶ vectors ─▶ Scorer: cases
//!           ──decisions─▶     ▲ up to where?        the engine's own code, no bus, no rings, no threads
//!   publish ──DecisionMark────┘
//! ```
//!
//! [`Replica`] is fed by whoever has a reader: a training set, a backfill. [`Follower`] keeps one at the heels of a
//! running engine: it is what `features get` reads and what checkpoints are made of. Only where the cases of the bank
//! are wanted, too, it has a scorer, which goes by what the engine's own found and scores what it was not told.
//!
//! Invariant: a follower stops at a mark of publish, and only once every decision up to that mark which must be
//! recorded is as safe in the journal as the journal's policy makes it. So a checkpoint never covers a payment
//! whose decision could be lost.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use pinion_features::Since;
use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore, FeaturesError, Formers};
use pinion_ingest::{ByHand, IngestError};
use pinion_journal::{Entry, FsyncPolicy, JournalError, JournalPosition, Reader};
use pinion_publish::DecisionMark;
use pinion_runtime::latest::Seen;
use pinion_runtime::pace::Pace;
use pinion_runtime::ring::Consumer;
use pinion_runtime::state::{self, Region, RegionMut, State};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, Score};
use pinion_schemas::wire::Lane;
use pinion_score::scorer::Finding;
use pinion_score::{ScoreConfig, ScoreError, Scorer};

use crate::config::Config;
use crate::feature_sets::{self, InForce};
use crate::models::Scoring;

/// Recorded decisions that a follower looks at in one turn at most.
const DECISIONS_MAX: usize = 1024;

/// How long it sleeps while what it waits for is not in the journal yet.
const PAUSE: Duration = Duration::from_millis(1);

/// Why a replica could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// Its intake.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Its feature store.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// Its model.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// How far a replica came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Position in the journal after the last input taken. Unit: bytes.
    pub position: u64,
    /// Index of the last input taken.
    pub input_index: u64,
    /// Sequence of the last payment taken.
    pub sequence: u64,
    /// Newest event time among them. Unit: ns since the Unix epoch.
    pub event_ns: i64,
}

/// From where on a scorer's model is in force, and what was done to its bank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScoringPlace {
    /// The last payment before those that the model scores.
    pub(crate) sequence: u64,
    /// The bank was laid out in cells anew behind this payment.
    pub(crate) clustered_behind: Option<u64>,
    /// It is still to be laid out.
    is_to_be_clustered: bool,
}

/// The payment lane's names, features and cases.
pub struct Replica {
    intake: ByHand,
    store: FeatureStore,
    /// None: cases are of no interest.
    scorer: Option<Box<Scorer>>,
    /// What the engine's own scorer found; none, or too late: it is found here once more.
    findings: Option<Consumer<Finding>>,
    /// The sets whose vectors the scorer was given before.
    formers: Formers,
    /// From where on the scorer's model is in force, and what was done to its bank.
    scoring: ScoringPlace,
    set: Arc<FeatureSet>,
    since: Option<Since>,
    place: Place,
    /// Payments taken here that left more than their names.
    counted: u64,
    vector: [f32; FEATURES_MAX],
    /// What the set that served the payment said of it.
    served: [f32; FEATURES_MAX],
    score: Score,
}

impl Replica {
    /// One that knows nothing, without cases. Cost: reserves the memory of the lane's tables; most is mapped when it is
    /// written.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn new(config: &Config, set: Arc<FeatureSet>) -> Result<Self, ReplicaError> {
        Ok(Self {
            intake: ByHand::new(&config.ingest)?,
            store: feature_store(config, &set)?,
            scorer: None,
            findings: None,
            formers: Formers::default(),
            scoring: ScoringPlace::default(),
            set,
            since: None,
            place: Place::default(),
            counted: 0,
            vector: [0.0; FEATURES_MAX],
            served: [0.0; FEATURES_MAX],
            score: Score::default(),
        })
    }

    /// One of the last of `sets`, which is in force, that knows the cases, too: those of the model. The transactions that
    /// a former set served come to the scorer with that set's vectors. It scores on the CPU: a GPU is the engine's own.
    /// Cost: as [`Self::new`] for each set, and loads the
    /// model.
    ///
    /// # Errors
    /// The configuration or the model is refused.
    ///
    /// Panics: if there is no set.
    pub fn with_cases(config: &Config, sets: &[InForce]) -> Result<Self, ReplicaError> {
        let in_force = sets.last().expect("one set is in force");
        let scorer = load(&config.score.on_cpu(), &in_force.set)?;
        Ok(Self {
            scorer: Some(scorer),
            formers: feature_sets::formers(config, sets, &[])?,
            since: in_force.since,
            ..Self::new(config, in_force.set.clone())?
        })
    }

    /// Says from where on its model is in force. What was done to the bank then is done when it comes there.
    pub fn set_scoring(&mut self, scoring: &Scoring) {
        self.scoring = ScoringPlace {
            sequence: scoring.sequence,
            clustered_behind: scoring.clustered_behind,
            is_to_be_clustered: scoring.clustered_behind.is_some(),
        };
        self.cluster_if_due();
    }

    /// Says that its model is in force behind the payment `sequence`.
    pub(crate) fn came_into_force(&mut self, sequence: u64) {
        self.scoring.sequence = sequence;
    }

    /// From where on its model is in force.
    pub(crate) fn scoring(&self) -> ScoringPlace {
        self.scoring
    }

    /// Lays the bank out in cells anew, here and now.
    pub(crate) fn cluster(&mut self) {
        if let Some(scorer) = &mut self.scorer {
            scorer.bank_mut().cluster();
        }
        self.scoring.clustered_behind = Some(self.place.sequence);
        self.scoring.is_to_be_clustered = false;
    }

    fn cluster_if_due(&mut self) {
        let behind = self.scoring.clustered_behind;
        if self.scoring.is_to_be_clustered && behind.is_some_and(|behind| self.place.sequence >= behind) {
            self.cluster();
            self.scoring.clustered_behind = behind;
        }
    }

    /// What knows the cases, alone.
    pub(crate) fn into_scorer(self) -> Option<Box<Scorer>> {
        self.scorer
    }

    /// Lets it go by what the engine's scorer found, of the same model and cases.
    pub(crate) fn set_findings(&mut self, findings: Consumer<Finding>) {
        self.findings = Some(findings);
    }

    /// What knows the cases.
    pub fn scorer(&self) -> Option<&Scorer> {
        self.scorer.as_deref()
    }

    /// What knows the cases, to ask it about vectors.
    pub fn scorer_mut(&mut self) -> Option<&mut Scorer> {
        self.scorer.as_deref_mut()
    }

    /// Forgets all cases, for its regions to be filled in.
    pub(crate) fn clear_cases(&mut self) {
        if let Some(scorer) = &mut self.scorer {
            scorer.clear();
        }
    }

    /// Score of the payment that [`Self::run`] last came to; all zero if it was no transaction or there is no scorer.
    pub fn score(&self) -> &Score {
        &self.score
    }

    /// Lets events before a time leave nothing but their names.
    pub fn set_since(&mut self, since: Option<Since>) {
        self.since = since;
    }

    /// What of the journal counts.
    pub fn since(&self) -> Option<Since> {
        self.since
    }

    /// Says how far it came, after its regions were filled in.
    ///
    /// Panics: if the regions are of another sequence.
    pub fn resume_at(&mut self, place: Place) {
        self.intake.resume_payments(place.sequence);
        self.place = place;
        self.scoring.is_to_be_clustered = false;
    }

    /// Takes inputs until it has taken the payment `until_sequence`, `inputs_max` inputs, or what there is. Returns
    /// the inputs taken, of both lanes. Each payment goes to `handle` with its vector, all zero but for
    /// transactions.
    ///
    /// # Errors
    /// As [`Reader::next`].
    ///
    /// Cost: the engine's own per payment; no heap call.
    pub fn run(
        &mut self,
        inputs: &mut Reader,
        until_sequence: u64,
        inputs_max: usize,
        mut handle: impl FnMut(&PaymentRecord, &[f32; FEATURES_MAX]),
    ) -> Result<usize, JournalError> {
        self.run_by(
            inputs,
            (until_sequence, inputs_max),
            false,
            |payment, (vector, _), _| {
                handle(payment, vector);
            },
        )
    }

    /// As [`Self::run`], with the vector that each payment was served with, which may be a former set's.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub(crate) fn run_served(
        &mut self,
        inputs: &mut Reader,
        inputs_max: usize,
        mut handle: impl FnMut(&PaymentRecord, &[f32; FEATURES_MAX]),
    ) -> Result<usize, JournalError> {
        self.run_by(
            inputs,
            (u64::MAX, inputs_max),
            false,
            |payment, (_, served), _| {
                handle(payment, served);
            },
        )
    }

    /// As [`Self::run`], with the score of each payment: all zero but for transactions, and without a scorer.
    /// ([`Self::run`] scores only the last one, and others as far as the cases depend on it.)
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn run_scored(
        &mut self,
        inputs: &mut Reader,
        until_sequence: u64,
        inputs_max: usize,
        mut handle: impl FnMut(&PaymentRecord, &[f32; FEATURES_MAX], &Score),
    ) -> Result<usize, JournalError> {
        self.run_by(
            inputs,
            (until_sequence, inputs_max),
            true,
            |payment, (vector, _), score| {
                handle(payment, vector, score);
            },
        )
    }

    fn run_by(
        &mut self,
        inputs: &mut Reader,
        (until_sequence, inputs_max): (u64, usize),
        scores_all: bool,
        mut handle: impl FnMut(&PaymentRecord, (&[f32; FEATURES_MAX], &[f32; FEATURES_MAX]), &Score),
    ) -> Result<usize, JournalError> {
        for taken in 0..inputs_max {
            if self.place.sequence >= until_sequence {
                return Ok(taken);
            }
            let Some(entry) = inputs.next_input()? else {
                return Ok(taken);
            };
            if let Some(record) = self.take(&entry, until_sequence, scores_all) {
                handle(&record, (&self.vector, &self.served), &self.score);
            }
            self.cluster_if_due();
            self.place.position = inputs.position();
        }
        Ok(inputs_max)
    }

    /// Takes one input; its vector stands in `self.vector`, and its score, if it is wanted, in `self.score`.
    fn take(&mut self, entry: &Entry<'_>, last_sequence: u64, scores_all: bool) -> Option<PaymentRecord> {
        self.place.input_index = entry.header.input_index;
        let record = self.intake.take(entry);
        self.place.sequence = self.intake.sequence();
        let record = record?;
        let shaped = self.since.map_or(record, |since| since.shape(&record));
        self.counted += u64::from(self.since.is_none_or(|since| since.counts(&record)));
        self.store.apply(&shaped, &mut self.vector);
        if let Some(scorer) = &mut self.scorer {
            self.served = self.vector;
            self.formers.apply(&record, &mut self.served);
            self.score = Score::default();
            let findings = self.findings.as_mut();
            if let Some(finding) = findings.and_then(|findings| of(findings, record.origin.sequence)) {
                self.score = scorer.adopt(&record, &self.served, &finding);
            } else if scores_all || record.origin.sequence == last_sequence {
                self.score = scorer.apply(&record, &self.served);
            } else {
                scorer.follow(&record, &self.served);
            }
        }
        self.place.event_ns = self.place.event_ns.max(record.origin.event_ns);
        Some(record)
    }

    /// How far it came.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Payments taken, since it was made, that left more than their names.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// The names' numbers.
    pub fn intake(&self) -> &ByHand {
        &self.intake
    }

    /// The features.
    pub fn store(&self) -> &FeatureStore {
        &self.store
    }

    /// Hash of the feature set that it computes.
    pub fn set_hash(&self) -> u64 {
        self.store.set_hash()
    }

    /// The feature set that it computes.
    pub fn set(&self) -> &Arc<FeatureSet> {
        &self.set
    }

    /// One hash over everything it knows. Cost: about 1 µs for each 4 KiB in use.
    pub fn digest(&self) -> [u8; 32] {
        state::digest(self)
    }
}

/// What was found of a payment, if it was and was told.
fn of(findings: &mut Consumer<Finding>, sequence: u64) -> Option<Finding> {
    while findings.peek()?.sequence < sequence {
        let _ = findings.try_pop();
    }
    findings.peek().filter(|finding| finding.sequence == sequence)?;
    findings.try_pop()
}

/// A replica that several threads copy from, one after another.
pub type SharedReplica = Arc<Mutex<Replica>>;

/// The replica for this thread alone. Whoever panicked with it was only reading.
pub(crate) fn lock(replica: &SharedReplica) -> MutexGuard<'_, Replica> {
    replica.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State for Replica {
    fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = self.intake.payments_state().regions();
        regions.extend(self.store.regions());
        regions.extend(self.scorer.iter().flat_map(|scorer| scorer.regions()));
        regions
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        let mut regions = self.intake.payments_state_mut().regions_mut();
        regions.extend(self.store.regions_mut());
        regions.extend(self.scorer.iter_mut().flat_map(|scorer| scorer.regions_mut()));
        regions
    }
}

/// An empty feature store of `config`, for `set`.
///
/// # Errors
/// The configuration is refused, or too small for the set.
pub fn feature_store(config: &Config, set: &FeatureSet) -> Result<FeatureStore, FeaturesError> {
    FeatureStore::new(&config.features, set)
}

/// The configured model, for `set`, as it begins.
///
/// # Errors
/// The model, its library or the configuration is refused.
pub(crate) fn scorer(config: &Config, set: &FeatureSet) -> Result<Box<Scorer>, ScoreError> {
    load(&config.score, set)
}

fn load(config: &ScoreConfig, set: &FeatureSet) -> Result<Box<Scorer>, ScoreError> {
    let hash_of_first = |slots| canonical::hash_of_first(set, slots);
    Scorer::load(config, hash_of_first).map(Box::new)
}

/// Copies a state into another of the same configuration. What is zero in both is not written, so that memory nobody
/// uses stays unmapped.
///
/// Cost: reads both, writes what is not zero, at `pace`.
pub fn copy_into_fresh(from: &dyn State, to: &mut dyn State, mut pace: Pace) {
    let (from, to) = (from.regions(), to.regions_mut());
    assert_eq!(from.len(), to.len(), "one configuration gives the same regions");
    for (region, target) in from.into_iter().zip(to) {
        assert_eq!((region.name, region.index), (target.name, target.index));
        assert_eq!(region.bytes.len(), target.bytes.len(), "region {}", region.name);
        let pages = region.bytes.chunks(state::PAGE_LEN);
        for (page, place) in pages.zip(target.bytes.chunks_mut(state::PAGE_LEN)) {
            if !(state::is_zero(page) && state::is_zero(place)) {
                place.copy_from_slice(page);
            }
            pace.step();
        }
    }
}

/// What a follower must know of the engine that it follows.
pub struct Followed {
    /// The journal's directory.
    pub dir: PathBuf,
    /// The journal's progress.
    pub journal: Arc<JournalPosition>,
    /// What the journal makes of its writes.
    pub fsync: FsyncPolicy,
    /// How far publish came: [`DecisionMark::words`].
    pub progress: Seen<3>,
}

impl Followed {
    /// Up to here the journal may be read: what is below survives as the journal's policy says.
    pub(crate) fn end(&self) -> u64 {
        match self.fsync {
            FsyncPolicy::Never => self.journal.written_position(),
            _ => self.journal.durable_position(),
        }
    }
}

/// Keeps a replica at the heels of a running engine.
pub struct Follower {
    replica: Replica,
    followed: Arc<Followed>,
    inputs: Reader,
    decisions: Reader,
    /// Sequence of the last payment whose recorded decision was seen.
    recorded_sequence: u64,
    /// Where it goes; reached once the replica's sequence is the mark's.
    target: DecisionMark,
}

impl Follower {
    /// Follows from where `replica` is; `mark` is how far decisions had come there.
    ///
    /// # Errors
    /// The journal cannot be read, or no entry of it ends at the replica's position.
    pub fn new(
        replica: Replica,
        mark: DecisionMark,
        followed: Arc<Followed>,
    ) -> Result<Option<Self>, JournalError> {
        let position = replica.place.position;
        let open = || Reader::open_at(&followed.dir, position);
        let (Some(inputs), Some(decisions)) = (open()?, open()?) else {
            return Ok(None);
        };
        Ok(Some(Self {
            replica,
            inputs,
            decisions,
            recorded_sequence: mark.answered_sequence,
            target: mark,
            followed,
        }))
    }

    /// Goes on by at most `inputs_max` inputs, unless `is_held` says no: it is asked after the last look at how far the
    /// engine came. Returns the inputs taken.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn turn(&mut self, inputs_max: usize, is_held: impl Fn() -> bool) -> Result<usize, JournalError> {
        match self.next_target(is_held)? {
            Some(sequence) => self
                .replica
                .run(&mut self.inputs, sequence, inputs_max, |_, _| ()),
            None => Ok(0),
        }
    }

    /// As [`Self::turn`]; each payment goes to `handle` as in [`Replica::run_scored`].
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn turn_scored(
        &mut self,
        inputs_max: usize,
        is_held: impl Fn() -> bool,
        handle: impl FnMut(&PaymentRecord, &[f32; FEATURES_MAX], &Score),
    ) -> Result<usize, JournalError> {
        match self.next_target(is_held)? {
            Some(sequence) => self
                .replica
                .run_scored(&mut self.inputs, sequence, inputs_max, handle),
            None => Ok(0),
        }
    }

    /// Up to which payment it may go now.
    fn next_target(&mut self, is_held: impl Fn() -> bool) -> Result<Option<u64>, JournalError> {
        let end = self.followed.end();
        self.look_at_decisions(end)?;
        if self.replica.place.sequence >= self.target.sequence {
            self.target = DecisionMark::from_words(self.followed.progress.get());
        }
        if self.target.answered_sequence > self.recorded_sequence || is_held() {
            return Ok(None);
        }
        self.inputs.set_end(end);
        Ok(Some(self.target.sequence))
    }

    fn look_at_decisions(&mut self, end: u64) -> Result<(), JournalError> {
        self.decisions.set_end(end);
        for _ in 0..DECISIONS_MAX {
            let Some(entry) = self.decisions.next_decision()? else {
                break;
            };
            if entry.header.lane == Lane::Payment.0 {
                self.recorded_sequence = self.recorded_sequence.max(entry.header.sequence);
            }
        }
        Ok(())
    }

    /// How far decisions had come where the replica is, if it is at a mark: then it may be written.
    pub fn mark(&self) -> Option<DecisionMark> {
        let is_there = self.replica.place.sequence == self.target.sequence
            && self.target.answered_sequence <= self.recorded_sequence;
        is_there.then_some(self.target)
    }

    /// Sequence of the last payment that publish has decided.
    pub fn decided_sequence(&self) -> u64 {
        DecisionMark::from_words(self.followed.progress.get()).sequence
    }

    /// The replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What is followed.
    pub fn followed(&self) -> &Arc<Followed> {
        &self.followed
    }

    /// Goes on with another replica from behind the payment `sequence`, which neither has taken yet or taken last. What
    /// the former one knows of cases goes with it, unless the other one has its own; if the former one keeps none, the
    /// other one does not either. `None`: no entry of the journal ends at its position, or one of them
    /// was further, or they do not come there within `limit`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn with(
        mut self,
        mut replica: Replica,
        sequence: u64,
        limit: Duration,
    ) -> Result<Option<Self>, JournalError> {
        let Some(mut inputs) = Reader::open_at(&self.followed.dir, replica.place.position)? else {
            return Ok(None);
        };
        let started = Instant::now();
        loop {
            let end = self.followed.end();
            for (reader, replica) in [(&mut self.inputs, &mut self.replica), (&mut inputs, &mut replica)] {
                reader.set_end(end);
                while replica.run(reader, sequence, DECISIONS_MAX, |_, _| ())? > 0 {}
            }
            let places = [self.replica.place.sequence, replica.place.sequence];
            if places == [sequence; 2] {
                break;
            }
            if places.iter().any(|&place| place > sequence) || started.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
        let cases = (self.replica.scorer.take(), replica.scorer.take());
        replica.scorer = match cases {
            (None, _) => None,
            (former, None) => {
                replica.scoring = self.replica.scoring;
                former
            }
            (_, new) => new,
        };
        replica.findings = self.replica.findings.take();
        Ok(Some(Self {
            replica,
            inputs,
            ..self
        }))
    }
}
