//! The order of the stages, and the rings between them. No other place knows it.
//!
//! ```text
//!   ingest ─┬─▶ book ─────────────────▶ market-strategy ──┐
//!           ├─▶ features ─▶ score ────▶ payment-strategy ─┼─▶ publish
//!           ├─▶ (rejects) ────────────────────────────────┘
//!           └─▶ journal ◀──────────────────────────────────── (decisions)
//! ```
//!
//! The node, a replay and the lab build this same topology; what differs stands in [`Surroundings`]: the bus,
//! the recorded inputs, what the payment lane begins with, and who reads the two rings to the journal.
//!
//! Invariant: every agent is built on the thread that will run it, and every ring has one writer and one
//! reader.

use std::sync::Arc;

use pinion_book::BookAgent;
use pinion_features::{FeatureAgent, FeatureControl, FeatureSet, Formers};
use pinion_ingest::{DeadLetters, IngestAgent, Intake};
use pinion_journal::{Gate, Reader};
use pinion_publish::{Engine, Outlet, PublishAgent, Resume};
use pinion_runtime::agent::{Agent, StartError};
use pinion_runtime::control::IngestGate;
use pinion_runtime::cores::Role;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::latest::{Latest, latest};
use pinion_runtime::names::NameTable;
use pinion_runtime::pace::Pace;
use pinion_runtime::ring::{Consumer, EntryConsumer, Producer, entry_ring, ring};
use pinion_schemas::records::{DecisionRecord, FeatureRecord, MarketRecord, PaymentRecord, ScoredRecord};
use pinion_score::scorer::Finding;
use pinion_score::{Exchanges, ScoreAgent, ScoreControl};
use pinion_strategy::{MarketStrategyAgent, PaymentStrategyAgent};
use pinion_transport::{Bus as _, Endpoint};

use crate::bus::Connect;
use crate::config::Config;
use crate::feature_sets::{self, InForce};
use crate::models::Lane;
use crate::replica::{SharedReplica, copy_into_fresh, feature_store, lock, scorer};
use crate::strategies;

/// Builds an agent on the thread that will run it.
pub type Build = Box<dyn FnOnce() -> Result<Box<dyn Agent>, StartError> + Send>;

/// An agent to be built, and what it is.
pub struct Stage {
    /// What it does; the plan of cores places it by this.
    pub role: Role,
    /// Builds it.
    pub build: Build,
}

impl Stage {
    /// A stage that `build` makes.
    pub fn new<A: Agent + 'static>(
        role: Role,
        build: impl FnOnce() -> Result<A, StartError> + Send + 'static,
    ) -> Self {
        Self {
            role,
            build: Box::new(move || Ok(Box::new(build()?) as Box<dyn Agent>)),
        }
    }
}

/// What differs between a node, a replay and a rig.
pub struct Surroundings<C> {
    /// Makes connections to the bus.
    pub connect: C,
    /// Inputs to be taken first, with the numbers and stamps they were given before.
    pub recorded: Option<Reader>,
    /// What the payment lane begins with; the recorded payments in it are passed over. None: nothing.
    pub begin: Option<SharedReplica>,
    /// The feature set in force.
    pub set: Arc<FeatureSet>,
    /// The sets that served what is recorded, in order, with what counts for them, the last one in force; none: `set`
    /// and everything.
    pub sets: Vec<InForce>,
    /// The feature agent's end of the way by which another set takes over.
    pub features: Option<FeatureControl>,
    /// The models that score what the payment lane takes.
    pub models: Lane,
    /// The score agent's end of the way by which another model takes over.
    pub scores: Option<ScoreControl>,
    /// What the journal knew of decisions at the start.
    pub resume: Resume,
    /// Tells the follower what the scorer found.
    pub findings: Option<Producer<Finding>>,
    /// Shows how far the payment lane came.
    pub progress: Option<Latest<3>>,
    /// Holds decisions back until the journal has their input.
    pub gate: Gate,
    /// Where refused frames are kept.
    pub dead_letters: DeadLetters,
    /// Whether received frames are journaled.
    pub journals_inputs: bool,
    /// When the engine started. Unit: ns since the Unix epoch.
    pub started_ns: i64,
    /// Counters.
    pub counters: Counters,
    /// What goes wrong.
    pub faults: ErrorLog,
}

/// A topology ready to be run.
pub struct Topology {
    /// The stages in the order of the data path. The journal is not among them.
    pub stages: Vec<Stage>,
    /// Received frames for the journal, if they are journaled.
    pub inputs: Option<EntryConsumer>,
    /// Decisions for the journal.
    pub decisions: EntryConsumer,
    /// Closes the intake.
    pub intake: IngestGate,
}

/// Lays the rings and prepares every stage.
pub fn build<C: Connect>(config: &Config, around: Surroundings<C>) -> Topology {
    let counters = &around.counters;
    let records_max = config.engine.ring_records_max as usize;
    let lines_max = config.engine.journal_ring_lines_max as usize;
    let (to_market, market_events) = ring(records_max);
    let (to_publish_market, market_decisions) = ring(records_max);
    let (to_payments, payment_events) = ring(records_max);
    let (to_publish_payments, payment_decisions) = ring(records_max);
    let (to_publish_rejects, rejects) = ring(config.ingest.rejects_max as usize);
    let (input_entries, inputs) = around.journals_inputs.then(|| entry_ring(lines_max)).unzip();
    let (decision_entries, decisions) = entry_ring(lines_max);
    let intake = IngestGate::new();
    let instruments = NameTable::new(config.ingest.instruments_max as usize);
    let (show_pressure, pressure) = latest([0; 2]);

    let ingest_ports = pinion_ingest::Ports {
        market: to_market,
        payments: to_payments,
        journal: input_entries,
        rejects: to_publish_rejects,
        dead_letters: around.dead_letters,
        instruments: instruments.clone(),
        faults: around.faults.clone(),
        gate: intake.clone(),
        pressure: Some(pressure),
    };
    let publish_ports = pinion_publish::Ports {
        market: market_decisions,
        payments: payment_decisions,
        rejects,
        journal: Some(decision_entries),
        gate: around.gate,
        instruments,
        progress: around.progress,
        faults: around.faults,
    };
    let mut stages = vec![ingest_stage(
        config,
        around.connect.clone(),
        ingest_ports,
        (around.recorded, around.begin.clone()),
        counters,
    )];
    stages.extend(market_lane(config, counters, market_events, to_publish_market));
    let knowledge = Knowledge {
        set: around.set,
        sets: around.sets,
        begin: around.begin,
        control: around.features,
        models: around.models,
        scores: around.scores,
        findings: around.findings,
        pressure: Some(show_pressure),
    };
    let rings = (payment_events, to_publish_payments);
    stages.extend(payment_lane(config, counters, knowledge, rings));
    stages.push(publish_stage(
        config,
        around.connect,
        publish_ports,
        (around.started_ns, around.resume),
        counters,
    ));
    Topology {
        stages,
        inputs,
        decisions,
        intake,
    }
}

/// From market events to their decisions.
fn market_lane(
    config: &Config,
    counters: &Counters,
    events: Consumer<MarketRecord>,
    decisions: Producer<DecisionRecord>,
) -> [Stage; 2] {
    let (to_strategy, from_book) = ring(config.engine.ring_records_max as usize);
    [
        staged(config, counters, Role::Book, |config, counters| {
            Ok(BookAgent::new(&config.book, events, to_strategy, counters)?)
        }),
        staged(config, counters, Role::MarketStrategy, |config, counters| {
            let (section, hash) = (&config.strategy, config.decision_hash());
            let strategy = strategies::market(section)?;
            let agent = MarketStrategyAgent::new(section, hash, strategy, from_book, decisions, counters);
            Ok(agent?)
        }),
    ]
}

/// What the stages of the payment lane compute, begin with, obey and show.
struct Knowledge {
    set: Arc<FeatureSet>,
    sets: Vec<InForce>,
    begin: Option<SharedReplica>,
    control: Option<FeatureControl>,
    models: Lane,
    scores: Option<ScoreControl>,
    findings: Option<Producer<Finding>>,
    pressure: Option<Latest<2>>,
}

/// From payment events to their decisions.
fn payment_lane(
    config: &Config,
    counters: &Counters,
    mut knowledge: Knowledge,
    (events, decisions): (Consumer<PaymentRecord>, Producer<DecisionRecord>),
) -> [Stage; 3] {
    let (to_score, from_features) = ring(config.engine.ring_records_max as usize);
    let (to_strategy, from_score) = ring(config.engine.ring_records_max as usize);
    let score = score_stage(config, counters, &mut knowledge, (from_features, to_strategy));
    [
        features_stage(config, counters, knowledge, (events, to_score)),
        score,
        staged(config, counters, Role::PaymentStrategy, |config, counters| {
            let (section, hash) = (&config.strategy, config.decision_hash());
            let strategy = strategies::payments(section)?;
            let agent = PaymentStrategyAgent::new(section, hash, strategy, from_score, decisions, counters);
            Ok(agent?)
        }),
    ]
}

/// Takes what is the stage's out of `knowledge`.
fn score_stage(
    config: &Config,
    counters: &Counters,
    knowledge: &mut Knowledge,
    (input, output): (Consumer<FeatureRecord>, Producer<ScoredRecord>),
) -> Stage {
    let begin = knowledge.begin.clone();
    let (findings, pressure) = (knowledge.findings.take(), knowledge.pressure.take());
    let lane = &mut knowledge.models;
    let first = lane.first.take();
    let mut exchanges = Exchanges {
        control: knowledge.scores.take(),
        successors: std::mem::take(&mut lane.successors),
        last_sequence: 0,
        is_odd: lane.is_odd,
    };
    // The set in force may have features that the first model does not know.
    let set = match (&first, knowledge.sets.first()) {
        (Some(_), Some(served)) => served.set.clone(),
        _ => knowledge.set.clone(),
    };
    staged(config, counters, Role::Score, move |config, counters| {
        let mut scorer = scorer(first.as_deref().unwrap_or(config), &set)?;
        if let Some(replica) = begin {
            let replica = lock(&replica);
            exchanges.last_sequence = replica.place().sequence;
            if let Some(known) = replica.scorer() {
                copy_into_fresh(known, scorer.as_mut(), Pace::NONE);
            }
        }
        let agent = ScoreAgent::new(&config.score, *scorer, input, output, counters)?;
        let agent = agent.with_findings(findings).with_pressure(pressure);
        Ok(agent.with_exchanges(exchanges))
    })
}

fn features_stage(
    config: &Config,
    counters: &Counters,
    knowledge: Knowledge,
    (events, to_score): (Consumer<PaymentRecord>, Producer<FeatureRecord>),
) -> Stage {
    let Knowledge {
        set,
        sets,
        begin,
        control,
        models,
        ..
    } = knowledge;
    let (set, since) = match sets.last() {
        Some(in_force) => (in_force.set.clone(), in_force.since),
        None => (set, None),
    };
    staged(config, counters, Role::Features, move |config, counters| {
        let mut store = Box::new(feature_store(config, &set)?);
        store.prefault();
        let mut formers = Formers::default();
        let begun = match begin {
            Some(replica) => {
                let replica = lock(&replica);
                copy_into_fresh(replica.store(), store.as_mut(), Pace::NONE);
                replica.place().sequence
            }
            None => {
                formers = feature_sets::formers(config, &sets, &models.reads)?;
                0
            }
        };
        let section = &config.features;
        let agent = FeatureAgent::new(section, store, begun, control, events, to_score, counters)?;
        Ok(agent.with_since(since).with_formers(formers))
    })
}

/// A stage that needs only its part of the configuration and the counters.
fn staged<A: Agent + 'static>(
    config: &Config,
    counters: &Counters,
    role: Role,
    build: impl FnOnce(&Config, &Counters) -> Result<A, StartError> + Send + 'static,
) -> Stage {
    let (config, counters) = (config.clone(), counters.clone());
    Stage::new(role, move || build(&config, &counters))
}

fn ingest_stage<C: Connect>(
    config: &Config,
    connect: C,
    ports: pinion_ingest::Ports,
    (recorded, begin): (Option<Reader>, Option<SharedReplica>),
    counters: &Counters,
) -> Stage {
    staged(config, counters, Role::Ingest, move |config, counters| {
        let mut bus = connect.connect()?;
        let mut subscribe = |endpoint: &Endpoint| bus.add_subscription(endpoint);
        let market = Some(subscribe(&config.bus.market)?);
        let payments = Some(subscribe(&config.bus.payments)?);
        let intake = Intake {
            market,
            payments,
            bus,
        };
        let mut agent = IngestAgent::new(&config.ingest, intake, ports, recorded, counters)?;
        if let Some(replica) = begin {
            let replica = lock(&replica);
            copy_into_fresh(
                replica.intake().payments_state(),
                agent.payments_state_mut(),
                Pace::NONE,
            );
            agent.resume_payments(replica.place().sequence);
        }
        Ok(agent)
    })
}

fn publish_stage<C: Connect>(
    config: &Config,
    connect: C,
    ports: pinion_publish::Ports,
    (started_ns, resume): (i64, Resume),
    counters: &Counters,
) -> Stage {
    let engine = Engine {
        node_id: config.engine.node_id,
        started_ns,
    };
    staged(config, counters, Role::Publish, move |config, counters| {
        let mut bus = connect.connect()?;
        let publication = bus.add_publication(&config.bus.decisions)?;
        let outlet = Outlet { publication, bus };
        Ok(PublishAgent::new(
            &config.publish,
            engine,
            outlet,
            ports,
            resume,
            counters,
        )?)
    })
}
