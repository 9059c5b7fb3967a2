//! Which payments there is no time to score: said once, at acceptance, and journaled with the input.
//!
//! ```text
//!   score ─── taken, time per payment ──▶ Pressure      handed on − taken = waiting
//!   waiting · time per payment > deadline? ── no ─▶ scored
//!        └ yes ─▶ a token left? ── yes ─▶ shed: decided by the strategy's rules alone, in its turn, marked degraded
//!                       └ no ──────────▶ scored, late, counted
//! ```
//!
//! The tokens bound what a flood can do: whoever sends so much that payments are shed gets no more of them through
//! unscored than the configuration allows. Where they are used up, the ring fills and the bus holds publishers back.
//!
//! Invariant: nothing but a live payment's acceptance looks at time or pressure; whatever runs a journal again goes by
//! what its entries say.

use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::latest::Seen;
use pinion_schemas::records::{decision_flag, payment_kind};

use crate::config::{SECOND_NS, SheddingConfig};

/// What the scoring stage shows of itself: payments taken to be scored since the start, and the time each takes it at
/// present, in nanoseconds; 0: not known yet.
pub type Pressure = Seen<2>;

/// Decides for each live payment.
pub(crate) struct Shedding {
    /// None: everything is scored.
    pressure: Option<Pressure>,
    deadline_ns: u64,
    tokens: Tokens,
    /// Payments handed on to be scored since the start.
    handed_on: u64,
    counters: SheddingCounters,
}

struct SheddingCounters {
    shed: Counter,
    late: Counter,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    /// Time in which one token comes.
    interval_ns: i64,
    /// Time in which an empty bucket is full.
    full_ns: i64,
    /// When the bucket was empty, or would have been, had it not run over.
    empty_ns: i64,
}

impl Shedding {
    pub(crate) fn new(config: &SheddingConfig, pressure: Option<Pressure>, counters: &Counters) -> Self {
        Self {
            pressure: pressure.filter(|_| config.deadline_us > 0),
            deadline_ns: u64::from(config.deadline_us) * 1_000,
            tokens: Tokens::new(config.payments_per_s, config.burst),
            handed_on: 0,
            counters: SheddingCounters {
                shed: counters.counter("ingest.payment.shed"),
                late: counters.counter("ingest.payment.late"),
            },
        }
    }

    /// Flags of the live payment event that is accepted at `now_ns`.
    ///
    /// Cost: one line that the scoring stage writes once in each of its duty cycles; nothing while shedding is off.
    pub(crate) fn judge(&mut self, kind: u8, now_ns: i64) -> u8 {
        if kind != payment_kind::TRANSACTION || self.has_time() {
            return 0;
        }
        if self.tokens.take(now_ns) {
            self.counters.shed.increment();
            return decision_flag::SHED | decision_flag::DEGRADED;
        }
        self.counters.late.increment();
        0
    }

    /// Takes note of a payment event that went on its way.
    pub(crate) fn note(&mut self, kind: u8, flags: u8) {
        let is_to_be_scored = kind == payment_kind::TRANSACTION && flags & decision_flag::SHED == 0;
        self.handed_on += u64::from(is_to_be_scored);
    }

    fn has_time(&self) -> bool {
        let Some(pressure) = &self.pressure else {
            return true;
        };
        let [taken, each_ns] = pressure.get();
        let waiting = self.handed_on.saturating_sub(taken);
        waiting.saturating_mul(each_ns) <= self.deadline_ns
    }
}

impl Tokens {
    fn new(per_s: u32, burst: u32) -> Self {
        let interval_ns = SECOND_NS / i64::from(per_s.max(1));
        Self {
            interval_ns,
            full_ns: interval_ns * i64::from(burst),
            empty_ns: i64::MIN,
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now_ns: i64) -> bool {
        let after = self.empty_ns.max(now_ns - self.full_ns) + self.interval_ns;
        let has_one = after <= now_ns;
        if has_one {
            self.empty_ns = after;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use pinion_runtime::latest::{Latest, latest};

    use super::*;

    const SHED: u8 = decision_flag::SHED | decision_flag::DEGRADED;

    fn shedding(deadline_us: u32) -> (Shedding, Latest<2>, Counters) {
        let (show, see) = latest([0; 2]);
        let counters = Counters::in_memory(8);
        let config = SheddingConfig {
            deadline_us,
            payments_per_s: 1_000,
            burst: 3,
        };
        (Shedding::new(&config, Some(see), &counters), show, counters)
    }

    /// Hands on what comes and returns its flags.
    fn next(shedding: &mut Shedding, kind: u8, now_ns: i64) -> u8 {
        let flags = shedding.judge(kind, now_ns);
        shedding.note(kind, flags);
        flags
    }

    #[test]
    fn payment_is_shed_where_those_before_it_take_too_long() {
        let (mut shedding, mut show, counters) = shedding(100);
        let mut payment = |now_ns| next(&mut shedding, payment_kind::TRANSACTION, now_ns);
        assert_eq!(
            [0; 4].map(|_: u8| payment(0)),
            [0; 4],
            "nothing is known of the scorer"
        );
        show.set([1, 30_000]);
        assert_eq!(payment(0), 0, "three wait, 90 µs");
        assert_eq!(payment(0), SHED, "four wait, 120 µs");
        assert_eq!(payment(0), SHED, "a shed one lets nobody wait");
        show.set([2, 30_000]);
        assert_eq!((payment(0), payment(0)), (0, SHED), "three waited, then four");
        assert_eq!(payment(0), 0, "no token is left: late");
        assert_eq!(
            next(&mut shedding, payment_kind::LABEL, 0),
            0,
            "a label is learnt from in any case"
        );
        let counted = ["shed", "late"].map(|name| counters.value(&format!("ingest.payment.{name}")));
        assert_eq!(counted, [Some(3), Some(1)]);
    }

    #[test]
    fn nothing_is_shed_without_a_deadline() {
        let (mut shedding, mut show, _) = shedding(0);
        show.set([0, 1_000_000_000]);
        assert!((0..100).all(|now_ns| next(&mut shedding, payment_kind::TRANSACTION, now_ns) == 0));
    }

    #[test]
    fn tokens_come_at_their_rate_and_no_more_than_the_bucket_holds_are_there_at_once() {
        let mut tokens = Tokens::new(1_000, 3);
        let mut take = |now_ns: i64, count: usize| (0..count).filter(|_| tokens.take(now_ns)).count();
        let second = 1_700_000_000 * SECOND_NS;
        assert_eq!(take(second, 10), 3);
        assert_eq!(take(second + 999_999, 10), 0);
        assert_eq!(take(second + 1_000_000, 10), 1);
        assert_eq!(take(second + 3_500_000, 10), 2);
        assert_eq!(take(second + 4_000_000, 10), 1, "the half of one is not lost");
        assert_eq!(take(second + 60 * SECOND_NS, 10), 3, "what runs over is lost");
    }
}
