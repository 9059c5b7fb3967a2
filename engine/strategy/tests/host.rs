//! What the host does with a module that fails.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer, ring};
use pinion_schemas::records::{DecisionRecord, ScoredRecord, decision_flag, payment_kind};
use pinion_strategies_api::{Action, Answer, Descriptor, PaymentStrategy, kit, reasons};
use pinion_strategy::{PaymentStrategyAgent, StrategyConfig};

/// Panics at one amount, gives NaN at another.
struct Moody;

const PANIC_AT: i64 = 666;
const NAN_AT: i64 = 777;

impl PaymentStrategy for Moody {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "moody",
            version: 1,
            parameters: String::new(),
        }
    }

    fn on_payment(&mut self, payment: &ScoredRecord, answer: &mut Answer) {
        assert_ne!(payment.payment.amount_minor, PANIC_AT, "moody");
        answer.action = Action::Approve;
        answer.score = if payment.payment.amount_minor == NAN_AT {
            f32::NAN
        } else {
            0.25
        };
    }
}

struct Bench {
    feed: Producer<ScoredRecord>,
    agent: PaymentStrategyAgent,
    drain: Consumer<DecisionRecord>,
    counters: Counters,
}

fn bench() -> Bench {
    let counters = Counters::in_memory(64);
    let (feed, input) = ring(8);
    let (output, drain) = ring(8);
    let config = StrategyConfig::default();
    let agent = PaymentStrategyAgent::new(&config, 9, Box::new(Moody), input, output, &counters).unwrap();
    Bench {
        feed,
        agent,
        drain,
        counters,
    }
}

impl Bench {
    fn decide(&mut self, payment: &ScoredRecord) -> DecisionRecord {
        assert!(self.feed.try_push(payment));
        assert_eq!(self.agent.do_work(500), 1);
        self.drain.try_pop().unwrap()
    }

    #[track_caller]
    fn check(&mut self, amount_minor: i64, action: Action, reasons: &[u16], flags: u8) {
        let decision = self.decide(&kit::payment(0.1, amount_minor));
        let found = &decision.reasons[..usize::from(decision.reason_count)];
        assert_eq!(
            (decision.action, found, decision.flags),
            (action.0, reasons, flags)
        );
        assert!(decision.score.is_finite());
    }

    #[track_caller]
    fn check_counter(&self, name: &str, expected: u64) {
        assert_eq!(
            self.counters.value(&format!("strategy.payments.{name}")),
            Some(expected),
            "{name}"
        );
    }
}

#[test]
fn invalid_answer_falls_back_for_one_event() {
    let mut bench = bench();
    bench.check(1, Action::Approve, &[], 0);
    bench.check(
        NAN_AT,
        Action::Review,
        &[reasons::INVALID_ANSWER],
        decision_flag::DEGRADED,
    );
    bench.check(2, Action::Approve, &[], 0);
    bench.check_counter("invalid_answers", 1);
    bench.check_counter("quarantined", 0);
}

#[test]
fn panic_quarantines_the_module_and_the_fallback_decides() {
    let mut bench = bench();
    bench.check(
        PANIC_AT,
        Action::Review,
        &[reasons::QUARANTINED],
        decision_flag::DEGRADED,
    );
    bench.check(
        1,
        Action::Review,
        &[reasons::QUARANTINED],
        decision_flag::DEGRADED,
    );
    bench.check_counter("panics", 1);
    bench.check_counter("quarantined", 1);
    bench.check_counter("fallbacks", 2);
}

#[test]
fn label_asks_for_no_answer_even_in_quarantine() {
    let mut bench = bench();
    let mut label = kit::payment(0.0, 1);
    label.payment.origin.kind = payment_kind::LABEL;
    assert_eq!(bench.decide(&label).action, Action::None.0);
    bench.check(
        PANIC_AT,
        Action::Review,
        &[reasons::QUARANTINED],
        decision_flag::DEGRADED,
    );
    assert_eq!(bench.decide(&label).action, Action::None.0);
}

#[test]
fn decision_carries_the_events_identity_and_ordered_stamps() {
    let mut bench = bench();
    let mut payment = kit::payment(0.1, 42);
    payment.payment.origin.sequence = 7;
    payment.payment.origin.publisher_session = 3;
    payment.payment.origin.publisher_sequence = 4;
    payment.payment.origin.publisher_id = 5;
    payment.payment.origin.event_ns = 100;
    payment.payment.origin.ingest_ns = 600;
    payment.score.scored_ns = 700;
    let decision = bench.decide(&payment);
    assert_eq!(
        (decision.sequence, decision.input_session, decision.input_sequence),
        (7, 3, 4)
    );
    assert_eq!(
        (decision.input_publisher_id, decision.value, decision.config_hash),
        (5, 42, 9)
    );
    assert_eq!(
        (decision.ingest_ns, decision.scored_ns, decision.decided_ns),
        (600, 700, 700)
    );
}

#[test]
fn full_output_holds_the_input_back_and_is_counted() {
    let mut bench = bench();
    for _ in 0..8 {
        assert!(bench.feed.try_push(&kit::payment(0.1, 1)));
    }
    assert_eq!(bench.agent.do_work(1), 8);
    assert!(bench.feed.try_push(&kit::payment(0.1, 1)));
    assert_eq!(bench.agent.do_work(1), 0);
    bench.check_counter("output_full", 1);
    while bench.drain.try_pop().is_some() {}
    assert_eq!(bench.agent.do_work(1), 1);
}
