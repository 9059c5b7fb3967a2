//! The whole topology on the calling thread, turned by hand: for replays, the lab and tests.
//!
//! Invariant: the agents, their order and their rings are those of the node; a turn gives each of them one
//! duty cycle.

use std::sync::Arc;

use pinion_ingest::DeadLetters;
use pinion_journal::{Gate, Reader};
use pinion_publish::Resume;
use pinion_runtime::agent::{Agent, StartError};
use pinion_runtime::clock::Clock;
use pinion_runtime::composite::Composite;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::invoker::Invoker;
use pinion_runtime::ring::EntryConsumer;

use crate::accounts::Accounts;
use crate::bus::Connect;
use crate::config::Config;
use crate::feature_sets::InForce;
use crate::models::Lane;
use crate::topology::{self, Surroundings};

/// Cells for the counters of one pipeline.
const COUNTERS_MAX: usize = 1024;

/// A journal with what served it.
pub struct Recorded {
    /// Its inputs.
    pub inputs: Reader,
    /// The feature sets, in order; none: the configured one.
    pub sets: Vec<InForce>,
    /// The models.
    pub models: Lane,
}

/// A topology under one hand.
pub struct Pipeline {
    invoker: Invoker<Composite>,
    decisions: EntryConsumer,
    intake: IngestGate,
    counters: Counters,
    faults: ErrorLog,
}

impl Pipeline {
    /// Builds every agent on this thread. Inputs come from `recorded` first, then from the bus; nothing is
    /// journaled, and decisions are handed to [`Self::decisions`] in the place of the journal.
    ///
    /// `extra` agents (a media driver, say) are turned with the others.
    ///
    /// # Errors
    /// What an agent could not be built for.
    pub fn new<C: Connect>(
        config: &Config,
        connect: C,
        clock: &Clock,
        recorded: Option<Reader>,
        extra: Vec<Box<dyn Agent>>,
    ) -> Result<Self, StartError> {
        let recorded = recorded.map(|inputs| Recorded {
            inputs,
            sets: Vec::new(),
            models: Lane::default(),
        });
        Self::over(config, connect, clock, recorded, extra)
    }

    /// As [`Self::new`], over a journal that other sets and models than the configured ones may have served.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn over<C: Connect>(
        config: &Config,
        connect: C,
        clock: &Clock,
        recorded: Option<Recorded>,
        extra: Vec<Box<dyn Agent>>,
    ) -> Result<Self, StartError> {
        let (recorded, sets, models) = match recorded {
            Some(Recorded { inputs, sets, models }) => (Some(inputs), sets, models),
            None => (None, Vec::new(), Lane::default()),
        };
        let (counters, faults) = (Counters::in_memory(COUNTERS_MAX), ErrorLog::in_memory());
        let surroundings = Surroundings {
            connect,
            recorded,
            begin: None,
            set: Arc::new(config.features.load_set()?),
            sets,
            features: None,
            models,
            scores: None,
            resume: Resume::default(),
            findings: None,
            progress: None,
            gate: Gate::open(),
            dead_letters: DeadLetters::in_memory(&config.ingest.dead_letters)?,
            journals_inputs: false,
            started_ns: clock.now_ns(),
            counters: counters.clone(),
            faults: faults.clone(),
        };
        let mut config = config.clone();
        // Nothing else comes in while an event waits for more; the outcome is the same.
        config.score.batch_wait_us = 0;
        let topology = topology::build(&config, surroundings);
        let mut agents = extra;
        for stage in topology.stages {
            agents.push((stage.build)()?);
        }
        let composite = Composite::new("pipeline", agents, clock.clone());
        let invoker = Invoker::new(composite, clock.clone())?;
        Ok(Self {
            invoker,
            decisions: topology.decisions,
            intake: topology.intake,
            counters,
            faults,
        })
    }

    /// Gives every agent one duty cycle. Returns the work done.
    pub fn turn(&mut self) -> usize {
        self.invoker.invoke()
    }

    /// Decisions with an action, as the journal would get them: entries whose payload is a `DecisionRecord`.
    pub fn decisions(&mut self) -> &mut EntryConsumer {
        &mut self.decisions
    }

    /// Takes no more from the bus.
    pub fn close_intake(&self) {
        self.intake.close();
    }

    /// Events and decisions so far.
    pub fn accounts(&self) -> Accounts {
        Accounts::of(&self.counters.list())
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its error log.
    pub fn faults(&self) -> &ErrorLog {
        &self.faults
    }
}
