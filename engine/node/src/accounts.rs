//! The books of an engine: every event that came in, and what became of it.
//!
//! Invariant: once nothing is inside, `received = accepted + duplicates + rejected` and
//! `accepted + recorded = decided`, of each lane.

use serde::Serialize;

/// The decisions of a lane by action, in the order of their numbers.
const ACTIONS: [&str; 6] = ["none", "approve", "review", "decline", "buy", "sell"];

/// One lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneAccount {
    /// Live events accepted.
    pub accepted: u64,
    /// Recorded events taken again at the start.
    pub recorded: u64,
    /// Recorded inputs that this configuration does not accept.
    pub recorded_refused: u64,
    /// Recorded events that a checkpoint held: neither taken nor decided again.
    pub restored: u64,
    /// Frames that were duplicates.
    pub duplicates: u64,
    /// Frames refused.
    pub rejected: u64,
    /// Frames missing in the publishers' own counts while the engine ran.
    pub missing: u64,
    /// Frames missing between the last recorded one and the first after a restart: sent while the engine was
    /// down, and never acknowledged.
    pub lost_unacknowledged: u64,
    /// Events decided.
    pub decided: u64,
    /// Decisions handed to the bus.
    pub published: u64,
    /// Decisions that nobody listened to.
    pub unheard: u64,
    /// Decisions by action: none, approve, review, decline, buy, sell.
    pub actions: [u64; ACTIONS.len()],
    /// Rolling hash over all decisions since the journal began, those for the events of a checkpoint as they were
    /// made then.
    pub decision_hash: u64,
}

/// Both lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accounts {
    /// The market lane.
    pub market: LaneAccount,
    /// The payments lane.
    pub payments: LaneAccount,
}

impl LaneAccount {
    fn of(counters: &[(String, u64)], lane: &str) -> Self {
        let value = |label: String| {
            counters
                .iter()
                .find(|(name, _)| *name == label)
                .map_or(0, |(_, value)| *value)
        };
        let ingest = |name: &str| value(format!("ingest.{lane}.{name}"));
        let publish = |name: &str| value(format!("publish.{lane}.{name}"));
        // Decided is read before accepted, so that what is inside never reads as less than nothing.
        let decided = publish("decided");
        Self {
            decided,
            accepted: ingest("accepted"),
            recorded: ingest("recorded"),
            recorded_refused: ingest("recorded_refused"),
            restored: ingest("recorded_skipped"),
            duplicates: ingest("duplicates"),
            rejected: ingest("rejected"),
            missing: ingest("missing"),
            lost_unacknowledged: ingest("lost_unacknowledged"),
            published: publish("published"),
            unheard: publish("unheard"),
            actions: ACTIONS.map(|action| publish(&format!("action.{action}"))),
            decision_hash: publish("decision_hash"),
        }
    }

    /// Accepted and not decided yet.
    pub fn inside(&self) -> u64 {
        (self.accepted + self.recorded).saturating_sub(self.decided)
    }

    /// Recorded inputs taken, whatever became of them.
    pub fn recorded_taken(&self) -> u64 {
        self.recorded + self.recorded_refused + self.restored
    }

    /// Whether every recorded input taken so far is decided: they come before all others.
    pub fn has_decided_recorded(&self) -> bool {
        self.decided >= self.recorded
    }

    /// The count of an action by its name; 0 if there is no such action.
    pub fn action(&self, name: &str) -> u64 {
        ACTIONS
            .iter()
            .position(|action| *action == name)
            .map_or(0, |index| self.actions[index])
    }
}

impl Accounts {
    /// Reads the accounts out of a list of counters.
    pub fn of(counters: &[(String, u64)]) -> Self {
        Self {
            market: LaneAccount::of(counters, "market"),
            payments: LaneAccount::of(counters, "payment"),
        }
    }

    /// One after the other.
    pub fn lanes(self) -> [LaneAccount; 2] {
        [self.market, self.payments]
    }

    /// Accepted and not decided yet.
    pub fn inside(&self) -> u64 {
        self.market.inside() + self.payments.inside()
    }

    /// Both lanes' decision hashes in one.
    pub fn decision_hash(&self) -> u64 {
        pinion_schemas::hash::combine(self.market.decision_hash, self.payments.decision_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_by_label() {
        let counter = |label: &str, value| (label.to_owned(), value);
        let counters = [
            counter("ingest.market.accepted", 10),
            counter("ingest.market.recorded", 5),
            counter("publish.market.decided", 12),
            counter("publish.market.action.buy", 3),
        ];
        let accounts = Accounts::of(&counters);
        assert_eq!(
            (
                accounts.inside(),
                accounts.market.action("buy"),
                accounts.payments.decided
            ),
            (3, 3, 0)
        );
    }

    #[test]
    fn lane_is_recovered_when_the_recorded_are_decided_whatever_comes_live() {
        let lane = |recorded, accepted, decided| LaneAccount {
            recorded,
            accepted,
            decided,
            ..LaneAccount::default()
        };
        assert!(!lane(5, 100, 4).has_decided_recorded());
        assert!(lane(5, 100, 5).has_decided_recorded());
        assert!(lane(5, 100, 60).has_decided_recorded());
    }
}
