//! In steady state the stage takes and frees no memory.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_runtime::ring::ring;
use pinion_schemas::records::{BookRecord, DecisionRecord, ScoredRecord};
use pinion_strategies_api::{
    Action, Answer, Descriptor, MarketStrategy, PaymentStrategy, kit, reasons::SCORE_HIGH,
};
use pinion_strategy::{MarketStrategyAgent, PaymentStrategyAgent, StrategyConfig};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Always;

fn descriptor() -> Descriptor {
    Descriptor {
        name: "always",
        version: 1,
        parameters: String::new(),
    }
}

impl PaymentStrategy for Always {
    fn descriptor(&self) -> Descriptor {
        descriptor()
    }

    fn on_payment(&mut self, payment: &ScoredRecord, answer: &mut Answer) {
        answer.action = Action::Decline;
        answer.score = payment.score.score;
        answer.add_reason(SCORE_HIGH);
    }
}

impl MarketStrategy for Always {
    fn descriptor(&self) -> Descriptor {
        descriptor()
    }

    fn on_market(&mut self, _: &BookRecord, answer: &mut Answer) {
        answer.action = Action::Buy;
    }
}

#[test]
fn no_alloc_in_steady_state() {
    let (config, counters) = (StrategyConfig::default(), Counters::in_memory(64));
    let (mut payments, input) = ring::<ScoredRecord>(64);
    let (output, mut payment_decisions) = ring::<DecisionRecord>(64);
    let mut payment_agent =
        PaymentStrategyAgent::new(&config, 1, Box::new(Always), input, output, &counters).unwrap();
    let (mut events, input) = ring::<BookRecord>(64);
    let (output, mut market_decisions) = ring::<DecisionRecord>(64);
    let mut market_agent =
        MarketStrategyAgent::new(&config, 1, Box::new(Always), input, output, &counters).unwrap();
    let (payment, event) = (kit::payment(0.9, 100), kit::book(1, 0.5));
    let heap_calls = count_heap_calls(|| {
        for _ in 0..10_000 {
            assert!(payments.try_push(&payment) && events.try_push(&event));
            assert_eq!((payment_agent.do_work(1), market_agent.do_work(1)), (1, 1));
            assert_eq!(payment_decisions.try_pop().unwrap().action, Action::Decline.0);
            assert_eq!(market_decisions.try_pop().unwrap().action, Action::Buy.0);
        }
    });
    assert_eq!(heap_calls, 0);
}
