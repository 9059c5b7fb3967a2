//! What the host does with a module that fails.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer, ring};
use pinion_schemas::records::BookRecord;
use pinion_schemas::records::{DecisionRecord, ScoredRecord, decision_flag, payment_kind};
use pinion_strategies_api::{Action, Answer, Descriptor, MarketStrategy, PaymentStrategy, kit, reasons};
use pinion_strategy::{
    MarketStrategyAgent, PaymentStrategyAgent, StrategyConfig, config_hash_under, strategy_hash,
};

/// Panics at some amounts, gives NaN at another, reasons at a third, and an action of its own choice below zero.
struct Moody;

const PANIC_AT: i64 = 666;
const WORSE_PANIC_AT: i64 = 667;
const NAN_AT: i64 = 777;
const REASONS_AT: i64 = 888;

/// A panic's payload that panics once more when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("and another thing");
    }
}

/// The amount at which [`Moody`] answers `action`, right or wrong.
fn amount_for(action: Action) -> i64 {
    -1 - i64::from(action.0)
}

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
        if payment.payment.amount_minor == WORSE_PANIC_AT {
            std::panic::panic_any(Grudge);
        }
        if payment.payment.amount_minor == REASONS_AT {
            answer.add_reason(reasons::SCORE_HIGH);
            answer.add_reasons(&payment.score.reasons[1..3]);
            answer.add_reason(40);
        }
        answer.action = match payment.payment.amount_minor {
            amount @ ..=-1 => Action((-1 - amount) as u8),
            _ => Action::Approve,
        };
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
fn deviations_stand_beside_the_models_reasons_and_no_other() {
    let mut payment = kit::payment(0.1, REASONS_AT);
    payment.score.reasons = [9, 7, 8, 0, 0, 0, 0, 0];
    payment.score.deviations = [100, -812, i16::MAX, 0, 0, 0, 0, 0];
    payment.score.reason_count = 3;
    let decision = bench().decide(&payment);
    assert_eq!(decision.reason_count, 4);
    assert_eq!(decision.reasons[..5], [reasons::SCORE_HIGH, 7, 8, 40, 0]);
    assert_eq!(decision.deviations, [0, -812, i16::MAX, 0, 0, 0, 0, 0]);
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
fn panic_whose_payload_panics_quarantines_too() {
    let mut bench = bench();
    let quarantined = &[reasons::QUARANTINED];
    bench.check(
        WORSE_PANIC_AT,
        Action::Review,
        quarantined,
        decision_flag::DEGRADED,
    );
    bench.check(1, Action::Review, quarantined, decision_flag::DEGRADED);
    bench.check_counter("panics", 1);
}

#[test]
fn transaction_admits_approve_review_and_decline_alone() {
    let mut bench = bench();
    for action in [Action::Approve, Action::Review, Action::Decline] {
        bench.check(amount_for(action), action, &[], 0);
    }
    for action in [Action::None, Action::Buy, Action::Sell, Action(200)] {
        let invalid = &[reasons::INVALID_ANSWER];
        bench.check(
            amount_for(action),
            Action::Review,
            invalid,
            decision_flag::DEGRADED,
        );
    }
    bench.check_counter("invalid_answers", 4);
    bench.check_counter("answers", 3);
}

/// Answers the action that the book's bid quantity names.
struct Parrot;

impl MarketStrategy for Parrot {
    fn descriptor(&self) -> Descriptor {
        Moody.descriptor()
    }

    fn on_market(&mut self, event: &BookRecord, answer: &mut Answer) {
        answer.action = Action(event.top.bid_quantity as u8);
    }
}

#[test]
fn market_event_admits_none_buy_and_sell_alone() {
    let counters = Counters::in_memory(64);
    let (mut feed, input) = ring(8);
    let (output, mut drain) = ring(8);
    let config = StrategyConfig::default();
    let mut agent = MarketStrategyAgent::new(&config, 9, Box::new(Parrot), input, output, &counters).unwrap();
    let mut decide = |action: Action| {
        let mut event = kit::book(1, 0.5);
        event.top.bid_quantity = action.0.into();
        assert!(feed.try_push(&event));
        agent.do_work(1);
        Action(drain.try_pop().unwrap().action)
    };
    for action in [Action::None, Action::Buy, Action::Sell] {
        assert_eq!(decide(action), action);
    }
    for action in [Action::Approve, Action::Review, Action::Decline, Action(200)] {
        assert_eq!(decide(action), Action::None);
    }
    assert_eq!(counters.value("strategy.market.invalid_answers"), Some(4));
}

/// Journals and decisions hold this hash: a change of it makes every recorded decision differ.
#[test]
fn golden_strategy_hash() {
    let descriptor = Descriptor {
        name: "score-bands",
        version: 1,
        parameters: "decline_at=0.7".to_owned(),
    };
    let hash = blake3::hash(b"score-bands\x001\0decline_at=0.7");
    assert_eq!(strategy_hash(&descriptor).to_le_bytes(), hash.as_bytes()[..8]);
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
    payment.payment.feature_set_hash = 77;
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
        (5, 42, config_hash_under(9, Some(77)))
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
