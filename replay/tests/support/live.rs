//! Deciding a day live: by a whole engine over Aeron, or by hand over the bus of this process.

use std::time::{Duration, Instant};

use pinion_journal::Reader;
use pinion_node::bus::{AeronC, Connect as _, InProcess};
use pinion_node::{Accounts, Config, Engine, Pipeline, Summary};
use pinion_runtime::clock::Clock;
use pinion_transport::in_process::{InProcessBus, InProcessPublication};
use pinion_transport::{Bus as _, Offer, Publication};

use super::Day;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts an engine, publishes the day from another thread, waits until all of it is decided, stops the engine.
pub fn decide(config: &Config, day: &Day) -> Summary {
    let engine = Engine::start(config).unwrap();
    let (publisher_config, publisher_day) = (config.clone(), day.clone());
    let publisher = std::thread::spawn(move || publish(&publisher_config, &publisher_day));
    publisher.join().unwrap();
    let started = Instant::now();
    while seen(&engine.accounts()) < expected(day) {
        assert!(started.elapsed() < PATIENCE, "{:?}", engine.accounts());
        std::thread::sleep(Duration::from_millis(5));
    }
    let summary = engine.stop().unwrap();
    assert_eq!(summary.accounts.inside(), 0);
    summary
}

fn seen(accounts: &Accounts) -> u64 {
    let lanes = [&accounts.market, &accounts.payments];
    lanes
        .iter()
        .map(|lane| lane.accepted + lane.duplicates + lane.rejected)
        .sum()
}

fn expected(day: &Day) -> u64 {
    day.accepted + day.duplicates + day.rejected
}

/// Publishes both streams over Aeron, each as fast as the engine takes it.
fn publish(config: &Config, day: &Day) {
    let mut bus = AeronC(config.bus.clone()).connect().unwrap();
    let mut market = bus.add_publication(&config.bus.market).unwrap();
    let mut payments = bus.add_publication(&config.bus.payments).unwrap();
    let (mut market_sent, mut payments_sent) = (0, 0);
    let started = Instant::now();
    while market_sent < day.market.len() || payments_sent < day.payments.len() {
        assert!(
            started.elapsed() < PATIENCE,
            "{market_sent} and {payments_sent} frames were taken"
        );
        bus.do_work(started.elapsed().as_nanos() as i64);
        if !(market.is_connected() && payments.is_connected()) {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let taken = send(&mut market, &day.market, &mut market_sent, 20)
            + send(&mut payments, &day.payments, &mut payments_sent, 20);
        if taken == 0 {
            std::thread::yield_now();
        }
    }
}

/// Offers up to `count_max` frames from `next` on; returns how many were taken.
fn send(publication: &mut impl Publication, frames: &[Vec<u8>], next: &mut usize, count_max: usize) -> usize {
    let first = *next;
    while *next < frames.len() && *next - first < count_max {
        match publication.offer(&frames[*next]) {
            Offer::Accepted(_) => *next += 1,
            _ => break,
        }
    }
    *next - first
}

/// The node's topology by hand, with a publisher of both streams.
pub struct ByHand<'a> {
    day: &'a Day,
    pipeline: Pipeline,
    market: (InProcessPublication, usize),
    payments: (InProcessPublication, usize),
}

impl<'a> ByHand<'a> {
    /// `ring_len` bytes of room on the bus; `recorded` comes before everything.
    pub fn new(config: &Config, day: &'a Day, ring_len: usize, recorded: Option<Reader>) -> Self {
        let mut bus = InProcessBus::with_ring_len(ring_len);
        let (clock, _) = Clock::manual(1);
        let pipeline = Pipeline::new(config, InProcess(bus.clone()), &clock, recorded, Vec::new()).unwrap();
        let market = (bus.add_publication(&config.bus.market).unwrap(), 0);
        let payments = (bus.add_publication(&config.bus.payments).unwrap(), 0);
        Self {
            day,
            pipeline,
            market,
            payments,
        }
    }

    /// Sends some frames of either stream and turns the pipeline some times.
    pub fn step(&mut self, market: usize, payments: usize, turns: usize) {
        send(&mut self.market.0, &self.day.market, &mut self.market.1, market);
        send(
            &mut self.payments.0,
            &self.day.payments,
            &mut self.payments.1,
            payments,
        );
        for _ in 0..turns {
            self.turn();
        }
    }

    fn turn(&mut self) -> usize {
        let work = self.pipeline.turn();
        self.pipeline.decisions().read_batch(usize::MAX, |_, _| ());
        work
    }

    /// Sends what is left, and gives the accounts once all of it was decided.
    pub fn finish(mut self) -> Accounts {
        loop {
            self.step(50, 50, 0);
            let is_sent =
                self.market.1 == self.day.market.len() && self.payments.1 == self.day.payments.len();
            if self.turn() == 0 && is_sent && self.pipeline.accounts().inside() == 0 {
                return self.pipeline.accounts();
            }
        }
    }
}
