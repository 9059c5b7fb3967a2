//! The duty cycles of the two lanes.
//!
//! Invariant: a batch is as large as the ring to publish has room for, so no decision is ever held back here.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{BookRecord, DecisionRecord, ScoredRecord, payment_kind};
use pinion_schemas::wire::Lane;
use pinion_strategies_api::{Answer, MarketStrategy, PaymentStrategy};

use crate::config::StrategyConfig;
use crate::counters::StrategyCounters;
use crate::error::StrategyError;
use crate::host::{Host, Question, Subject};

/// Decides on the market lane.
pub struct MarketStrategyAgent {
    input: Consumer<BookRecord>,
    output: Producer<DecisionRecord>,
    strategy: Box<dyn MarketStrategy>,
    host: Host,
    batch_max: usize,
}

impl MarketStrategyAgent {
    /// An agent that hosts `strategy`. `config_hash` stands in every decision.
    ///
    /// # Errors
    /// [`StrategyError`] if the configuration is refused.
    pub fn new(
        config: &StrategyConfig,
        config_hash: u64,
        strategy: Box<dyn MarketStrategy>,
        input: Consumer<BookRecord>,
        output: Producer<DecisionRecord>,
        counters: &Counters,
    ) -> Result<Self, StrategyError> {
        config.validate()?;
        let counters = StrategyCounters::new(counters, "market");
        let host = Host::new(
            &strategy.descriptor(),
            config.market.on_fault,
            config_hash,
            counters,
        );
        Ok(Self {
            input,
            output,
            strategy,
            host,
            batch_max: config.batch_max as usize,
        })
    }
}

impl Agent for MarketStrategyAgent {
    fn name(&self) -> &str {
        "market-strategy"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        let Self {
            input,
            output,
            strategy,
            host,
            batch_max,
        } = self;
        let room = room(input.is_empty(), output, host, *batch_max);
        input.read_batch(room, |event| {
            let (answer, is_modules) = host.ask(Question::Signal, |answer| strategy.on_market(event, answer));
            let subject = Subject::instrument(event.market.instrument, event.top.booked_ns);
            let about = (Lane::Market, &event.market.origin, &subject);
            push(output, |decision| {
                host.write(decision, about, (&answer, is_modules), now_ns)
            });
        })
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}

/// Decides on the payments lane.
pub struct PaymentStrategyAgent {
    input: Consumer<ScoredRecord>,
    output: Producer<DecisionRecord>,
    strategy: Box<dyn PaymentStrategy>,
    host: Host,
    batch_max: usize,
}

impl PaymentStrategyAgent {
    /// An agent that hosts `strategy`. `config_hash` stands in every decision, together with the hash of the feature
    /// set in force: see [`crate::config_hash_under`].
    ///
    /// # Errors
    /// [`StrategyError`] if the configuration is refused.
    pub fn new(
        config: &StrategyConfig,
        config_hash: u64,
        strategy: Box<dyn PaymentStrategy>,
        input: Consumer<ScoredRecord>,
        output: Producer<DecisionRecord>,
        counters: &Counters,
    ) -> Result<Self, StrategyError> {
        config.validate()?;
        let counters = StrategyCounters::new(counters, "payments");
        let host = Host::new(
            &strategy.descriptor(),
            config.payments.on_fault,
            config_hash,
            counters,
        );
        Ok(Self {
            input,
            output,
            strategy,
            host,
            batch_max: config.batch_max as usize,
        })
    }
}

impl Agent for PaymentStrategyAgent {
    fn name(&self) -> &str {
        "payment-strategy"
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        let Self {
            input,
            output,
            strategy,
            host,
            batch_max,
        } = self;
        let room = room(input.is_empty(), output, host, *batch_max);
        input.read_batch(room, |event| {
            let payment = &event.payment;
            let question = match payment.origin.kind {
                payment_kind::TRANSACTION => Question::Payment,
                _ => Question::Nothing,
            };
            let (answer, is_modules) = host.ask(question, |answer| show(strategy.as_mut(), event, answer));
            let subject = Subject::payment(event);
            let about = (Lane::Payment, &payment.origin, &subject);
            push(output, |decision| {
                host.write(decision, about, (&answer, is_modules), now_ns)
            });
        })
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}

/// Shows a payment event to the module by its kind. What a module answers to a label or an account change is
/// left out: no answer was asked.
fn show(strategy: &mut dyn PaymentStrategy, event: &ScoredRecord, answer: &mut Answer) {
    match event.payment.origin.kind {
        payment_kind::TRANSACTION => strategy.on_payment(event, answer),
        payment_kind::LABEL => strategy.on_label(event),
        _ => strategy.on_account(event),
    }
}

/// How many events this cycle may take; a full output is counted when there is input.
fn room(is_idle: bool, output: &mut Producer<DecisionRecord>, host: &Host, batch_max: usize) -> usize {
    if is_idle {
        return 0;
    }
    let room = output.room(batch_max);
    if room == 0 {
        host.counters().output_full.increment();
    }
    room
}

fn push(output: &mut Producer<DecisionRecord>, build: impl FnOnce(&mut DecisionRecord)) {
    let pushed = output.push_with(build);
    assert!(pushed, "the room was asked for before the batch was read");
}
