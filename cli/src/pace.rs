//! When a publisher sends its next event.
//!
//! Invariant: a pace never sends early; what cannot be sent in time is sent as soon as the bus takes it.

use std::time::{Duration, Instant};

/// How fast a source is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as back pressure allows.
    Unbounded,
    /// Events per second.
    Rate(f64),
    /// Times real time, by the events' own times.
    Speed(f64),
}

/// A pace under way.
pub struct Pacer {
    pace: Pace,
    started: Instant,
    first_event_ns: Option<i64>,
    sent: u64,
}

impl Pacer {
    /// Starts now.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            started: Instant::now(),
            first_event_ns: None,
            sent: 0,
        }
    }

    /// Waits until the next event, which happened at `event_ns`, is due. Long waits are cut short after
    /// `patience`, so that the caller can look whether it should stop: `false` then, call again.
    pub fn wait(&mut self, event_ns: i64, patience: Duration) -> bool {
        if self.pace == Pace::Unbounded {
            return true;
        }
        let due = self.due(event_ns);
        let elapsed = self.started.elapsed();
        if due > elapsed + patience {
            std::thread::sleep(patience);
            return false;
        }
        if due > elapsed + Duration::from_micros(200) {
            std::thread::sleep(due - elapsed - Duration::from_micros(100));
        }
        while self.started.elapsed() < due {
            std::thread::yield_now();
        }
        self.sent += 1;
        true
    }

    /// When the next event is due, from the start.
    fn due(&mut self, event_ns: i64) -> Duration {
        match self.pace {
            Pace::Unbounded => Duration::ZERO,
            Pace::Rate(per_second) => Duration::from_secs_f64(self.sent as f64 / per_second),
            Pace::Speed(times) => {
                let first_ns = *self.first_event_ns.get_or_insert(event_ns);
                let real_ns = event_ns.saturating_sub(first_ns).max(0);
                Duration::from_secs_f64(real_ns as f64 / 1e9 / times)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_speed_set_the_due_times() {
        let mut pacer = Pacer::new(Pace::Rate(100.0));
        pacer.sent = 50;
        assert_eq!(pacer.due(0), Duration::from_millis(500));
        let mut pacer = Pacer::new(Pace::Speed(10.0));
        assert_eq!(pacer.due(5_000_000_000), Duration::ZERO);
        assert_eq!(pacer.due(6_000_000_000), Duration::from_millis(100));
        assert_eq!(pacer.due(4_000_000_000), Duration::ZERO);
    }

    #[test]
    fn a_far_event_is_not_sent_yet() {
        let mut pacer = Pacer::new(Pace::Rate(1.0));
        assert!(pacer.wait(0, Duration::from_millis(1)));
        assert!(!pacer.wait(0, Duration::from_millis(1)));
    }
}
