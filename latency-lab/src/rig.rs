//! The open loop: sends when due, and measures from the intended time.
//!
//! Invariant: a late send is not forgiven; its latency counts from when it should have gone out.

use hdrhistogram::Histogram;

/// Highest latency that is told apart. Unit: ns.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What the rig makes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The event that it answers.
    pub index: usize,
    /// From the event's arrival in the engine to its decision, by the engine's own stamps. Unit: ns.
    pub inside_ns: Option<u64>,
}

/// What the rig drives.
pub trait Transceiver {
    /// Tries to send event `index`. `false`: not accepted, try again.
    fn send(&mut self, index: usize) -> bool;

    /// Lets the system under test work if it has no thread of its own, and calls `received` with each answer
    /// that came.
    fn receive(&mut self, received: impl FnMut(Answer));
}

/// The outcome of one run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Latencies from the intended time. Unit: ns.
    pub latency_ns: Histogram<u64>,
    /// [`Answer::inside_ns`] of those that say it. Unit: ns.
    pub inside_ns: Histogram<u64>,
    /// Events sent.
    pub sent: usize,
    /// Answers received; less than `sent` only if the run ended by its deadline.
    pub received: usize,
    /// From the first intended time to the last answer. Unit: ns.
    pub elapsed_ns: u64,
    /// Sends that were not accepted at once.
    pub refused: u64,
}

/// A histogram with three significant digits up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds are valid")
}

/// Sends one event at each of the `intended` times (ns from the start), ascending, and waits for its answer
/// until `deadline_ns` after the last. The first `warm_up` events are sent but not measured.
pub fn run(
    transceiver: &mut impl Transceiver,
    intended: &[u64],
    warm_up: usize,
    deadline_ns: u64,
) -> Measured {
    let clock = quanta::Clock::new();
    let mut measured = Measured {
        latency_ns: histogram(),
        inside_ns: histogram(),
        sent: 0,
        received: 0,
        elapsed_ns: 0,
        refused: 0,
    };
    let end_ns = intended.last().map_or(0, |last| last + deadline_ns);
    let started = clock.raw();
    while measured.received < intended.len() {
        let now_ns = clock.delta_as_nanos(started, clock.raw());
        if measured.sent < intended.len() && intended[measured.sent] <= now_ns {
            match transceiver.send(measured.sent) {
                true => measured.sent += 1,
                false => measured.refused += 1,
            }
        }
        transceiver.receive(|Answer { index, inside_ns }| {
            let now_ns = clock.delta_as_nanos(started, clock.raw());
            measured.received += 1;
            measured.elapsed_ns = now_ns;
            if index >= warm_up {
                measured
                    .latency_ns
                    .saturating_record(now_ns.saturating_sub(intended[index]));
                if let Some(inside_ns) = inside_ns {
                    measured.inside_ns.saturating_record(inside_ns);
                }
            }
        });
        if now_ns > end_ns {
            break;
        }
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at once, but refuses every send of event 5 until it was tried `refusals` times.
    struct Echo {
        pending: Vec<usize>,
        refusals: u32,
    }

    impl Transceiver for Echo {
        fn send(&mut self, index: usize) -> bool {
            if index == 5 && self.refusals > 0 {
                self.refusals -= 1;
                return false;
            }
            self.pending.push(index);
            true
        }

        fn receive(&mut self, mut received: impl FnMut(Answer)) {
            for index in self.pending.drain(..) {
                let inside_ns = (index % 2 == 0).then_some(500);
                received(Answer { index, inside_ns });
            }
        }
    }

    #[test]
    fn every_event_is_sent_once_and_measured_after_the_warm_up() {
        let mut echo = Echo {
            pending: Vec::new(),
            refusals: 3,
        };
        let intended: Vec<u64> = (0..100).map(|index| index * 1_000).collect();
        let measured = run(&mut echo, &intended, 10, 1_000_000_000);
        assert_eq!(
            (measured.sent, measured.received, measured.refused),
            (100, 100, 3)
        );
        assert_eq!(measured.latency_ns.len(), 90);
        assert_eq!(
            (measured.inside_ns.len(), measured.inside_ns.max()),
            (45, 500),
            "of those that say it"
        );
    }

    #[test]
    fn lost_answers_end_by_the_deadline() {
        struct Silent;
        impl Transceiver for Silent {
            fn send(&mut self, _index: usize) -> bool {
                true
            }
            fn receive(&mut self, _received: impl FnMut(Answer)) {}
        }
        let measured = run(&mut Silent, &[0, 10], 0, 1_000_000);
        assert_eq!((measured.sent, measured.received), (2, 0));
    }
}
