//! What the rig drives: an engine, or the bare bus that it is compared with.
//!
//! ```text
//!   Node, in hand:   send ▶ [bus ▶ ingest … publish ▶ bus] ▶ receive     one thread, one duty cycle
//!   Node, threads:   send ▶ bus ▶ │ engine on its own cores │ ▶ bus ▶ receive
//!   PingPong:        send ▶ [Aeron ▶ echo ▶ Aeron] ▶ receive             one thread, one duty cycle
//! ```
//!
//! On two cores two spinning threads get in the way of the system's own work, and tails of milliseconds follow.
//! So the rig turns pipeline, bus and media driver in its own duty cycle, and the rival is turned in just the
//! same way. Only the whole engine with its journal has threads of its own; then the rig yields.
//!
//! Invariant: an answer is matched with its event by the publisher's sequence that the decision carries.

use std::time::{Duration, Instant};

use pinion_node::{Accounts, Pipeline};
use pinion_runtime::agent::{Agent, StartError};
use pinion_runtime::clock::Clock;
use pinion_runtime::counters::Counters;
use pinion_schemas::wire::{Frame, Lane, Limits, read};
use pinion_transport::driver::DriverAgent;
use pinion_transport::rusteron::RusteronBus;
use pinion_transport::{Bus, BusConfig, Endpoint, Publication, Subscription};

use crate::load::Load;
use crate::rig::{Answer, Transceiver};

/// How long the two sides may take to find each other, and the engine to take what comes before the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers taken in one turn at most.
const BATCH_MAX: usize = 64;

/// The side that decides.
pub trait System {
    /// Lets it work, if it has no thread of its own.
    fn turn(&mut self);

    /// Events and decisions so far.
    fn accounts(&self) -> Accounts;
}

/// A pipeline that is turned by the rig.
pub struct InHand(pub Pipeline);

/// An engine on threads of its own, seen through its counters.
pub struct Threads(pub Counters);

impl System for InHand {
    fn turn(&mut self) {
        self.0.turn();
        self.0.decisions().read_batch(usize::MAX, |_, _| ());
    }

    fn accounts(&self) -> Accounts {
        self.0.accounts()
    }
}

impl System for Threads {
    fn turn(&mut self) {
        std::thread::yield_now();
    }

    fn accounts(&self) -> Accounts {
        Accounts::of(&self.0.list())
    }
}

/// An engine with a publisher and a listener beside it.
pub struct Node<S, B: Bus> {
    system: S,
    bus: B,
    events: B::Publication,
    decisions: B::Subscription,
    load: Load,
    before_len: usize,
    clock: Clock,
}

impl<S: System, B: Bus> Node<S, B> {
    /// Connects to the engine and sends what comes before the run.
    ///
    /// # Errors
    /// The streams cannot be added, nobody is there in time, or the engine does not take what comes first.
    pub fn connect(
        system: S,
        mut bus: B,
        streams: &BusConfig,
        lane: Lane,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let load = Load::new(lane, 1);
        let events = bus.add_publication(load.endpoint(streams))?;
        let decisions = bus.add_subscription(&streams.decisions)?;
        let before_len = load.before_len();
        let mut node = Self {
            system,
            bus,
            events,
            decisions,
            load,
            before_len,
            clock,
        };
        node.wait("engine and rig to be connected", |node| {
            node.events.is_connected() && node.decisions.is_connected()
        })?;
        node.send_before()?;
        Ok(node)
    }

    /// Length of the frames that the rig sends. Unit: bytes.
    pub fn frame_len(&mut self) -> usize {
        self.load.frame(self.before_len).len()
    }

    /// Events and decisions so far.
    pub fn accounts(&self) -> Accounts {
        self.system.accounts()
    }

    fn send_before(&mut self) -> Result<(), StartError> {
        let mut sent = 0;
        self.wait("the engine to take the first events", |node| {
            if sent < node.before_len && node.events.offer(node.load.frame(sent)).is_accepted() {
                sent += 1;
            }
            let accounts = node.system.accounts();
            sent == node.before_len
                && (accounts.market.decided + accounts.payments.decided) as usize == node.before_len
        })
    }

    fn wait(
        &mut self,
        what: &'static str,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), StartError> {
        let started = Instant::now();
        while !is_done(self) {
            if started.elapsed() > PATIENCE {
                return Err(StartError::message(format!("waited {PATIENCE:?} for {what}")));
            }
            self.receive(|_| ());
        }
        Ok(())
    }
}

impl<S: System, B: Bus> Transceiver for Node<S, B> {
    fn send(&mut self, index: usize) -> bool {
        self.events
            .offer(self.load.frame(self.before_len + index))
            .is_accepted()
    }

    fn receive(&mut self, mut received: impl FnMut(Answer)) {
        self.bus.do_work(self.clock.now_ns());
        self.system.turn();
        let first_sequence = self.before_len as u64 + 1;
        self.decisions.poll(BATCH_MAX, |bytes| {
            if let Ok(Frame::Decision(decision)) = read(bytes, &Limits::default())
                && let hot = decision.hot()
                && let Some(index) = hot.input_sequence().checked_sub(first_sequence)
            {
                received(Answer {
                    index: index as usize,
                    inside_ns: hot
                        .decided_ns()
                        .checked_sub(hot.ingest_ns())
                        .map(|ns| ns.max(0) as u64),
                });
            }
        });
    }
}

/// Aeron alone: a message there and back over IPC between two clients, driver and both in one duty cycle.
pub struct PingPong {
    driver: DriverAgent,
    near: RusteronBus,
    far: RusteronBus,
    ping_out: <RusteronBus as Bus>::Publication,
    ping_in: <RusteronBus as Bus>::Subscription,
    pong_out: <RusteronBus as Bus>::Publication,
    pong_in: <RusteronBus as Bus>::Subscription,
    message: Vec<u8>,
    clock: Clock,
}

impl PingPong {
    /// Starts a driver as `config` says and connects two clients over two of its streams. Messages have
    /// `message_len` bytes, at least 8.
    ///
    /// # Errors
    /// The driver does not start or the clients do not find each other in time.
    pub fn start(config: &BusConfig, message_len: usize) -> Result<Self, StartError> {
        let mut driver = DriverAgent::new(config);
        driver.on_start()?;
        let (mut near, mut far) = (RusteronBus::new(config), RusteronBus::new(config));
        let (ping, pong): (&Endpoint, &Endpoint) = (&config.market, &config.decisions);
        let mut ping_pong = Self {
            ping_out: near.add_publication(ping)?,
            ping_in: far.add_subscription(ping)?,
            pong_out: far.add_publication(pong)?,
            pong_in: near.add_subscription(pong)?,
            driver,
            near,
            far,
            message: vec![0; message_len],
            clock: Clock::system(),
        };
        let started = Instant::now();
        while !(ping_pong.ping_out.is_connected() && ping_pong.pong_out.is_connected()) {
            if started.elapsed() > PATIENCE {
                return Err(StartError::message(format!(
                    "waited {PATIENCE:?} for the two clients to be connected"
                )));
            }
            ping_pong.receive(|_| ());
        }
        Ok(ping_pong)
    }
}

impl Transceiver for PingPong {
    fn send(&mut self, index: usize) -> bool {
        self.message[..8].copy_from_slice(&(index as u64).to_le_bytes());
        self.ping_out.offer(&self.message).is_accepted()
    }

    fn receive(&mut self, mut received: impl FnMut(Answer)) {
        let now_ns = self.clock.now_ns();
        self.driver.do_work(now_ns);
        self.near.do_work(now_ns);
        self.far.do_work(now_ns);
        let pong_out = &mut self.pong_out;
        self.ping_in.poll(BATCH_MAX, |bytes| {
            // A pong that is refused is lost, and shows as an answer that is missing.
            let _ = pong_out.offer(bytes);
        });
        self.pong_in.poll(BATCH_MAX, |bytes| {
            if let Some((index, _)) = bytes.split_first_chunk::<8>() {
                received(Answer {
                    index: u64::from_le_bytes(*index) as usize,
                    inside_ns: None,
                });
            }
        });
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        self.driver.on_close();
    }
}
