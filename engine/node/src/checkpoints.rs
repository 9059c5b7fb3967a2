//! What a checkpoint of the payment lane is of, and how a start uses one.
//!
//! ```text
//!   journal recovered ─▶ identity, limits ─▶ restore ─▶ Replica at mark ─▶ the live agents, the snapshotter
//!                                                └─ nothing usable: told, and the whole journal is run
//! ```
//!
//! Invariant: whatever the checkpoint's folder holds, the engine comes to the state that the journal says.

use std::fmt;
use std::time::{Duration, Instant};

use pinion_checkpoint::{CheckpointConfig, Identity, Limits, Mark, Outcome, Probe, Source, restore_by};
use pinion_journal::{Reader, Recovery};
use pinion_publish::DecisionMark;
use pinion_runtime::hash;
use pinion_runtime::state::State as _;
use pinion_schemas::hash::DecisionHash;

use crate::config::Config;
use crate::feature_sets::InForce;
use crate::launch::NodeError;
use crate::models::Scoring;
use crate::replica::{Place, Replica, ScoringPlace};

/// Version of what the bytes of the payment lane's regions mean. To be raised with every change of that.
pub const SCHEMA: u32 = 3;

/// What a start found in the folder of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The sequence that it holds payments up to.
    pub sequence: u64,
    /// When it was written. Unit: ns since the Unix epoch.
    pub written_ns: i64,
    /// The count of checkpoints at that time.
    pub generation: u64,
    /// Where it was found: "sled", "redb" or "snapshot".
    pub source: &'static str,
    /// How long that took.
    pub took: Duration,
    /// Whether the live agents began there too; else they ran the whole journal.
    pub is_live: bool,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            generation,
            source,
            took,
            ..
        } = self;
        let written = jiff::Timestamp::from_nanosecond(self.written_ns.into()).unwrap_or_default();
        write!(
            f,
            "restored payments to sequence {sequence} from a checkpoint of {written:.0} (generation {generation}, \
             {source}) in {} ms",
            took.as_millis()
        )
    }
}

/// A replica as it stands at a start, and how far decisions had come there.
pub(crate) struct Begun {
    pub(crate) replica: Replica,
    pub(crate) mark: DecisionMark,
    /// None: the replica knows nothing.
    pub(crate) restored: Option<Restored>,
}

/// A replica from the newest checkpoint that can be used, or one that knows nothing; of the last of `sets` and of the
/// model `scoring`, which are in force, behind those that served before.
///
/// # Errors
/// The configuration of the replica is refused, or the journal's first segment cannot be read.
pub(crate) fn begin(
    config: &Config,
    (sets, scoring): (&[InForce], &Scoring),
    recovery: &Recovery,
    probe: &Probe,
) -> Result<Begun, NodeError> {
    let section = config.checkpoint();
    let fresh = || {
        // Cases are kept for checkpoints alone.
        if section.enabled {
            let mut replica = Replica::with_cases(config, sets)?;
            replica.set_scoring(scoring);
            return Ok::<_, NodeError>(replica);
        }
        let in_force = sets.last().expect("one set is in force");
        let mut replica = Replica::new(config, in_force.set.clone())?;
        replica.set_since(in_force.since);
        Ok(replica)
    };
    let mut replica = fresh()?;
    let journal_id = journal_id(config)?;
    let Some(journal) = journal_id.filter(|_| section.enabled) else {
        return Ok(Begun::new(replica));
    };
    replica.clear_cases();
    let started = Instant::now();
    let limits = Limits {
        durable_position: recovery.next_position,
        decided_sequence: recovery.last_decision_sequence.payment,
    };
    let identity = identity(config, &replica, journal);
    let outcome = restore_by(probe, &section, &identity, limits, &mut replica);
    tell_refused(&outcome);
    let Some(found) = outcome.restored else {
        return Ok(Begun::new(fresh()?));
    };
    let mark = found.manifest.mark;
    if Reader::open_at(&config.journal().dir, mark.position)?.is_none() {
        tracing::warn!(
            "checkpoint: its position is {}, where no entry of the journal ends; the whole journal is run",
            mark.position
        );
        return Ok(Begun::new(fresh()?));
    }
    replica.resume_at(Place {
        position: mark.position,
        input_index: mark.input_index,
        sequence: mark.sequence,
        event_ns: mark.event_ns,
    });
    Ok(Begun {
        replica,
        mark: decisions_of(&mark),
        restored: Some(Restored {
            sequence: mark.sequence,
            written_ns: mark.written_ns,
            generation: found.manifest.generation,
            source: source_name(&section, found.source),
            took: started.elapsed(),
            is_live: false,
        }),
    })
}

impl Begun {
    fn new(replica: Replica) -> Self {
        Self {
            replica,
            mark: DecisionMark::default(),
            restored: None,
        }
    }
}

/// The id of the journal in the engine's folder; `None` while it has no segment.
///
/// # Errors
/// Its first segment cannot be read.
pub fn journal_id(config: &Config) -> Result<Option<u64>, NodeError> {
    let reader = Reader::open(&config.journal().dir)?;
    Ok(reader.segment().map(|segment| segment.journal_id))
}

/// Whose state a replica of `config` is.
pub(crate) fn identity(config: &Config, replica: &Replica, journal: u64) -> Identity {
    Identity {
        journal,
        set_hash: replica.set_hash(),
        layout_hash: layout_hash(config, replica),
        schema: SCHEMA,
        build: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// First eight bytes of the BLAKE3 hash of what decides which regions there are and what their bytes mean: the
/// sections `ingest`, `features` and `score` without what cannot change a record, a vector or a case, the model and
/// how it came to be in force, the regions themselves, and what of the journal does not count.
fn layout_hash(config: &Config, replica: &Replica) -> u64 {
    let mut text = config.payment_state_text();
    if let Some(scorer) = replica.scorer() {
        text.push_str(&format!("model {:016x}\n", scorer.model_hash()));
    }
    for region in replica.regions() {
        text.push_str(&format!(
            "{} {} {}\n",
            region.name,
            region.index,
            region.bytes.len()
        ));
    }
    let scoring = replica.scoring();
    if scoring != ScoringPlace::default() {
        let (sequence, clustered) = (scoring.sequence, scoring.clustered_behind);
        text.push_str(&format!(
            "scores behind {sequence}, clustered behind {clustered:?}\n"
        ));
    }
    if let Some(since) = replica.since() {
        text.push_str(&format!("since {} {}\n", since.from_ns, since.until_sequence));
    }
    hash::short(text.as_bytes())
}

/// What is written beside a replica's state.
pub(crate) fn mark_of(place: Place, decisions: DecisionMark, written_ns: i64) -> Mark {
    Mark {
        position: place.position,
        input_index: place.input_index,
        sequence: place.sequence,
        event_ns: place.event_ns,
        answered_sequence: decisions.answered_sequence,
        decision_hash: decisions.hash.value(),
        written_ns,
    }
}

fn decisions_of(mark: &Mark) -> DecisionMark {
    DecisionMark {
        sequence: mark.sequence,
        answered_sequence: mark.answered_sequence,
        hash: DecisionHash::resumed(mark.decision_hash),
    }
}

fn source_name(section: &CheckpointConfig, source: Source) -> &'static str {
    match source {
        Source::Store => section.backend.name(),
        Source::Snapshot => "snapshot",
    }
}

fn tell_refused(outcome: &Outcome) {
    for refusal in &outcome.refused {
        let kept = refusal
            .moved_to
            .as_ref()
            .map(|path| format!("; kept as {}", path.display()));
        tracing::warn!(
            "checkpoint {}: {}{}; the journal brings back what it held",
            refusal.path.display(),
            refusal.reason,
            kept.unwrap_or_default()
        );
    }
}
