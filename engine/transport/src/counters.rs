//! A bus's counters, for `stat`, `top` and the metrics page.
//!
//! Invariant: they only repeat what [`Health`] says; nothing decides by them.

use pinion_runtime::counters::{Counter, Counters};

use crate::bus::{Health, Link};

/// The counters of one bus.
pub struct BusCounters {
    up: Counter,
    pending: Counter,
    refused: Counter,
    reconnects: Counter,
    losses: Counter,
    contained: Counter,
}

impl BusCounters {
    /// Makes `<prefix>.up`, `.pending`, `.refused`, `.reconnects`, `.losses` and `.contained`.
    #[must_use]
    pub fn new(counters: &Counters, prefix: &str) -> Self {
        let counter = |name: &str| counters.counter(&format!("{prefix}.{name}"));
        BusCounters {
            up: counter("up"),
            pending: counter("pending"),
            refused: counter("refused"),
            reconnects: counter("reconnects"),
            losses: counter("losses"),
            contained: counter("contained"),
        }
    }

    /// Writes down how the bus is. Cost: six stores.
    pub fn set(&self, health: &Health) {
        self.up.set(u64::from(health.link == Link::Up));
        self.pending.set(health.pending_count as u64);
        self.refused.set(health.refused_count as u64);
        self.reconnects.set(health.reconnect_count);
        self.losses.set(health.lost_count);
        self.contained.set(health.contained_count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::in_process::InProcessBus;

    #[test]
    fn health_is_written_down() {
        let counters = Counters::in_memory(16);
        let bus_counters = BusCounters::new(&counters, "bus.ingest");
        let health = Health {
            reconnect_count: 3,
            ..InProcessBus::new().health()
        };
        bus_counters.set(&health);
        assert_eq!(counters.value("bus.ingest.up"), Some(1));
        assert_eq!(counters.value("bus.ingest.reconnects"), Some(3));
        assert_eq!(counters.value("bus.ingest.losses"), Some(0));
    }
}
