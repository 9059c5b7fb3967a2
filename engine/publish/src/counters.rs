//! What publish counts.
//!
//! Invariant: of each lane, `decided` = `none` + `published` + `unheard` + `too_long` + `resumed`, where `none` is
//! the count of the action of that name; every decision counts as exactly one action.

use pinion_runtime::counters::{Counter, Counters};
use pinion_schemas::wire::Action;
use pinion_transport::{Health, Link};

/// Names of the actions in the order of their numbers, and one for a number without a name.
const ACTIONS: [&str; 7] = ["none", "approve", "review", "decline", "buy", "sell", "other"];

const _: () = assert!(ACTIONS.len() == Action::ENUM_MAX as usize + 2);

/// What happened to the decisions of one lane.
pub(crate) struct LaneCounters {
    /// Decisions taken from the lane, those without an action too.
    pub(crate) decided: Counter,
    actions: [Counter; ACTIONS.len()],
    /// Decisions handed to the bus.
    pub(crate) published: Counter,
    /// Of these, decisions that may have been published before a restart.
    pub(crate) recovered: Counter,
    /// Decisions that nobody listened to.
    pub(crate) unheard: Counter,
    /// Decisions that no message of this bus can hold.
    pub(crate) too_long: Counter,
    /// Decisions of recorded inputs that were published before the restart, and are not published again.
    pub(crate) resumed: Counter,
    /// Decisions that had to wait for the journal to cover their input.
    pub(crate) gated: Counter,
    /// The rolling hash over all decisions.
    pub(crate) decision_hash: Counter,
}

impl LaneCounters {
    pub(crate) fn new(counters: &Counters, lane: &str) -> Self {
        let counter = |name: &str| counters.counter(&format!("publish.{lane}.{name}"));
        Self {
            decided: counter("decided"),
            actions: ACTIONS.map(|action| counter(&format!("action.{action}"))),
            published: counter("published"),
            recovered: counter("recovered"),
            unheard: counter("unheard"),
            too_long: counter("too_long"),
            resumed: counter("resumed"),
            gated: counter("gated"),
            decision_hash: counter("decision_hash"),
        }
    }

    pub(crate) fn action(&self, action: Action) -> &Counter {
        self.actions
            .get(usize::from(action.0))
            .unwrap_or(&self.actions[ACTIONS.len() - 1])
    }
}

/// What both lanes and the rejects share.
pub(crate) struct PublishCounters {
    /// Rejects handed to the bus.
    pub(crate) rejects_published: Counter,
    /// Rejects that nobody listened to, or that no message of this bus can hold.
    pub(crate) rejects_unheard: Counter,
    /// Duty cycles that ended because the bus had no room.
    pub(crate) back_pressured: Counter,
    /// Duty cycles that ended because the journal's ring had no room.
    pub(crate) journal_full: Counter,
    /// Duty cycles that ended because the publication was closed.
    pub(crate) closed: Counter,
    bus_up: Counter,
    bus_reconnects: Counter,
    bus_driver_lost: Counter,
}

impl PublishCounters {
    pub(crate) fn new(counters: &Counters) -> Self {
        let counter = |name: &str| counters.counter(&format!("publish.{name}"));
        Self {
            rejects_published: counter("rejects_published"),
            rejects_unheard: counter("rejects_unheard"),
            back_pressured: counter("back_pressured"),
            journal_full: counter("journal_full"),
            closed: counter("closed"),
            bus_up: counter("bus.up"),
            bus_reconnects: counter("bus.reconnects"),
            bus_driver_lost: counter("bus.driver_lost"),
        }
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.bus_up.set(u64::from(health.link == Link::Up));
        self.bus_reconnects.set(health.reconnect_count);
        self.bus_driver_lost.set(health.lost_count);
    }
}
