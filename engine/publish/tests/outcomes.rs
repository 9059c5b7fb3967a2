//! What each outcome of an offer means for the decision that was offered.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use common::payment;
use pinion_journal::Gate;
use pinion_publish::{Engine, Outlet, Ports, PublishAgent, PublishConfig, Resume};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::ring;
use pinion_schemas::wire::{self, Frame, Limits};
use pinion_transport::{Bus, BusError, Endpoint, Health, Link, Offer, Publication, Subscription};

/// A bus that answers as it was told, and remembers what it accepted.
#[derive(Clone, Default)]
struct Scripted {
    answers: Rc<RefCell<VecDeque<Offer>>>,
    accepted: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Publication for Scripted {
    fn offer(&mut self, bytes: &[u8]) -> Offer {
        self.claim(bytes.len(), |place| place.copy_from_slice(bytes))
    }

    fn claim(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Offer {
        let answer = self
            .answers
            .borrow_mut()
            .pop_front()
            .unwrap_or(Offer::Accepted(0));
        if answer.is_accepted() {
            let mut bytes = vec![0; len];
            fill(&mut bytes);
            self.accepted.borrow_mut().push(bytes);
        }
        answer
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn payload_len_max(&self) -> usize {
        1_376
    }

    fn message_len_max(&self) -> usize {
        65_536
    }
}

impl Subscription for Scripted {
    fn poll(&mut self, _fragment_limit: usize, _handler: impl FnMut(&[u8])) -> usize {
        0
    }

    fn image_count(&self) -> usize {
        0
    }
}

impl Bus for Scripted {
    type Publication = Self;
    type Subscription = Self;

    fn add_publication(&mut self, _endpoint: &Endpoint) -> Result<Self, BusError> {
        Ok(self.clone())
    }

    fn add_subscription(&mut self, _endpoint: &Endpoint) -> Result<Self, BusError> {
        Ok(self.clone())
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        0
    }

    fn health(&self) -> Health {
        Health {
            link: Link::Down,
            pending_count: 0,
            refused_count: 0,
            reconnect_count: 2,
            lost_count: 3,
            contained_count: 0,
        }
    }

    fn last_error(&self) -> Option<&BusError> {
        None
    }
}

/// Offers three decisions while the bus answers so, then accepts; compares what left, and the counters.
#[track_caller]
fn check(answers: &[Offer], expected: &[(u64, u64)], counts: &[(&str, u64)]) {
    let bus = Scripted {
        answers: Rc::new(RefCell::new(answers.iter().copied().collect())),
        ..Scripted::default()
    };
    let (mut payments, input) = ring(8);
    let counters = Counters::in_memory(64);
    let ports = Ports {
        market: ring(1).1,
        payments: input,
        rejects: ring(1).1,
        journal: None,
        gate: Gate::open(),
        instruments: NameTable::new(1),
        faults: ErrorLog::in_memory(),
        progress: None,
    };
    let outlet = Outlet {
        publication: bus.clone(),
        bus: bus.clone(),
    };
    let engine = Engine {
        node_id: 1,
        started_ns: 1,
    };
    let config = PublishConfig::default();
    let mut agent = PublishAgent::new(&config, engine, outlet, ports, Resume::default(), &counters).unwrap();
    (1..=3).for_each(|sequence| assert!(payments.try_push(&payment(sequence, sequence))));
    (0..=answers.len() as i64).for_each(|now| {
        agent.do_work(now);
    });
    assert!(agent.is_drained());
    let accepted = bus.accepted.borrow();
    let found: Vec<(u64, u64)> = accepted.iter().map(|bytes| numbers(bytes)).collect();
    assert_eq!(found, expected, "{answers:?}");
    for (label, count) in counts {
        assert_eq!(
            counters.value(&format!("publish.{label}")),
            Some(*count),
            "{label} after {answers:?}"
        );
    }
}

/// The decision's sequence and the engine's own count.
fn numbers(bytes: &[u8]) -> (u64, u64) {
    let Frame::Decision(decision) = wire::read(bytes, &Limits::default()).unwrap() else {
        panic!()
    };
    (
        decision.hot().sequence(),
        decision.hot().header().publisher_sequence(),
    )
}

#[test]
fn each_outcome_is_waited_for_or_counted() {
    let all = [(1, 1), (2, 2), (3, 3)];
    check(
        &[],
        &all,
        &[
            ("payment.published", 3),
            ("bus.reconnects", 2),
            ("bus.driver_lost", 3),
        ],
    );
    check(
        &[Offer::BackPressured, Offer::BackPressured],
        &all,
        &[("back_pressured", 2)],
    );
    check(
        &[Offer::Accepted(0), Offer::Closed, Offer::Closed],
        &all,
        &[("closed", 2)],
    );
    let unheard = [Offer::Accepted(0), Offer::NotConnected];
    check(
        &unheard,
        &[(1, 1), (3, 2)],
        &[("payment.unheard", 1), ("payment.published", 2)],
    );
    check(
        &[Offer::TooLong],
        &[(2, 1), (3, 2)],
        &[("payment.too_long", 1), ("payment.decided", 3)],
    );
}
