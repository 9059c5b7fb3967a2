//! A program's own connection to the engine's bus.
//!
//! Invariant: the bus is turned at least every 100 ms, so that the driver never takes this program for dead.

use std::time::{Duration, Instant};

use pinion_node::Config;
use pinion_node::bus::{AeronC, AeronRs, Connect};
use pinion_transport::config::ClientKind;
use pinion_transport::{Bus, Endpoint, Link};

use crate::exit::Failure;

/// After so long people are told what is waited for.
const WONDER_AFTER: Duration = Duration::from_secs(1);

/// What is done with a connection, whichever client it has.
pub trait Task {
    /// What comes out.
    type Outcome;

    /// Does it.
    ///
    /// # Errors
    /// Why it could not be done.
    fn run<B: Bus>(self, connection: Connection<B>) -> Result<Self::Outcome, Failure>;
}

/// Connects with the client that `config` names, and runs `task`.
///
/// # Errors
/// Why there is no connection, or what the task failed with.
pub fn with<T: Task>(config: &Config, task: T) -> Result<T::Outcome, Failure> {
    match config.bus.client {
        ClientKind::C => task.run(Connection::open(config, &AeronC(config.bus.clone()))?),
        ClientKind::AeronRs => task.run(Connection::open(config, &AeronRs(config.bus.clone()))?),
    }
}

/// A bus with the clock that it is turned by.
pub struct Connection<B: Bus> {
    /// The bus.
    pub bus: B,
    place: String,
    started: Instant,
}

impl<B: Bus> Connection<B> {
    fn open<C: Connect<Bus = B>>(config: &Config, connect: &C) -> Result<Self, Failure> {
        let bus = connect.connect().map_err(Failure::could_not)?;
        Ok(Self {
            bus,
            place: config.bus.aeron_dir().display().to_string(),
            started: Instant::now(),
        })
    }

    /// One turn of the bus. Returns how much was done.
    pub fn turn(&mut self) -> usize {
        self.bus
            .do_work(i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }

    /// Whether there is a media driver.
    pub fn has_driver(&self) -> bool {
        self.bus.health().link == Link::Up
    }

    /// Why nobody is at the other end of `endpoint`, as far as can be told from here.
    pub fn absence(&self, endpoint: &Endpoint) -> String {
        if !self.has_driver() {
            return format!(
                "no media driver lives in {}: is the engine running with this bus.node?",
                self.place
            );
        }
        match self.bus.last_error() {
            Some(error) if self.bus.health().refused_count > 0 => error.to_string(),
            _ => format!("no engine takes {endpoint} of the media driver in {}", self.place),
        }
    }
}

/// Waits a little, longer the longer nothing has happened.
pub struct Patience {
    since: Instant,
    turns: u32,
    is_told: bool,
}

impl Patience {
    /// Something has just happened.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            turns: 0,
            is_told: false,
        }
    }

    /// How long nothing has happened.
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// `true` once, when a person begins to wonder.
    pub fn is_long(&mut self) -> bool {
        let is_first = !self.is_told && self.waited() > WONDER_AFTER;
        self.is_told |= is_first;
        is_first
    }

    /// Gives the core away: a few times at once, then for 50 µs, then for 1 ms.
    pub fn pause(&mut self) {
        self.turns += 1;
        match self.turns {
            0..=20 => std::thread::yield_now(),
            21..=2_000 => std::thread::sleep(Duration::from_micros(50)),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
