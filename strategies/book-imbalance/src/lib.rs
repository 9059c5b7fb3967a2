//! A buy or sell signal when the order book leans to one side.
//!
//! ```text
//!   imbalance of the five best levels
//!    +1 ┤        ╭─╮ buy, once                         armed again below release_at
//!  enter_at ─────╯ ╰──╮
//!  release_at ─ ─ ─ ─ ╰─ ─ ─ ─ ╮
//! -enter_at ───────────────────╰─── sell, once
//! ```
//!
//! One signal per crossing and instrument; the next one only after the imbalance came back inside
//! `release_at`, or when it crosses to the other side. A book in the middle of a venue message, one-sided or
//! crossed gives none.
//!
//! Invariant: between two signals of one instrument to the same side the imbalance was inside `release_at`.

use pinion_strategies_api::{
    Action, Answer, BookRecord, Descriptor, MarketStrategy, ParameterError, Parameters, market_kind, reasons,
};

/// Bit of `Origin::frame_flags`: more frames of the same venue message follow.
const MORE_FOLLOW: u16 = 1;

/// Instruments that the module can tell apart unless it is told otherwise.
const INSTRUMENTS_MAX: f64 = 4096.0;

/// The side that an instrument last gave a signal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaning {
    None,
    Bid,
    Ask,
}

/// The module.
#[derive(Clone, Debug)]
pub struct BookImbalance {
    enter_at: f32,
    release_at: f32,
    quantity: i64,
    leanings: Vec<Leaning>,
    parameters: String,
}

impl BookImbalance {
    /// Name in the configuration.
    pub const NAME: &'static str = "book-imbalance";

    /// Reads `enter_at` (0..=1, default 0.6), `release_at` (0..=1, default 0.2), `quantity` (in units of the
    /// instrument, default 1) and `instruments_max` (default 4096; instruments past it give no signals).
    ///
    /// # Errors
    /// [`ParameterError`] for a key that is unknown or out of range, or thresholds in the wrong order.
    pub fn new(mut parameters: Parameters) -> Result<Self, ParameterError> {
        let enter_at = parameters.number("enter_at", 0.6, 0.0..=1.0)?;
        let release_at = parameters.number("release_at", 0.2, 0.0..=1.0)?;
        let quantity = parameters.number("quantity", 1.0, 1e-9..=9e9)?;
        let instruments_max = parameters.number("instruments_max", INSTRUMENTS_MAX, 1.0..=1_048_576.0)?;
        parameters.finish()?;
        if release_at >= enter_at {
            return Err(ParameterError {
                key: "release_at".to_owned(),
                found: release_at.to_string(),
                expected: format!("less than enter_at, which is {enter_at}"),
            });
        }
        Ok(Self {
            enter_at: enter_at as f32,
            release_at: release_at as f32,
            quantity: (quantity * 1e9).round() as i64,
            leanings: vec![Leaning::None; instruments_max as usize],
            parameters: parameters.canonical(),
        })
    }

    /// Which way the book leans now, given the way it leant before.
    fn leaning(&self, before: Leaning, imbalance: f32) -> Leaning {
        if imbalance >= self.enter_at {
            Leaning::Bid
        } else if imbalance <= -self.enter_at {
            Leaning::Ask
        } else if imbalance.abs() <= self.release_at {
            Leaning::None
        } else {
            before
        }
    }
}

/// Whether the book after the event is one to act on.
fn is_settled(event: &BookRecord) -> bool {
    let top = &event.top;
    let is_book = matches!(
        event.market.origin.kind,
        market_kind::QUOTE | market_kind::BOOK_ORDER | market_kind::BOOK_LEVEL
    );
    is_book
        && event.market.origin.frame_flags & MORE_FOLLOW == 0
        && top.bid_quantity > 0
        && top.ask_quantity > 0
        && top.bid_price < top.ask_price
}

impl MarketStrategy for BookImbalance {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: Self::NAME,
            version: 1,
            parameters: self.parameters.clone(),
        }
    }

    fn on_market(&mut self, event: &BookRecord, answer: &mut Answer) {
        let instrument = event.market.instrument as usize;
        let Some(&before) = self.leanings.get(instrument) else {
            return;
        };
        if !is_settled(event) {
            return;
        }
        let after = self.leaning(before, event.top.imbalance_5);
        self.leanings[instrument] = after;
        if after == before || after == Leaning::None {
            return;
        }
        let (action, price, reason) = match after {
            Leaning::Bid => (Action::Buy, event.top.ask_price, reasons::BOOK_LEANS_TO_BID),
            _ => (Action::Sell, event.top.bid_price, reasons::BOOK_LEANS_TO_ASK),
        };
        answer.action = action;
        answer.score = event.top.imbalance_5;
        answer.value = price;
        answer.quantity = self.quantity;
        answer.add_reason(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_strategies_api::kit;

    fn strategy() -> BookImbalance {
        BookImbalance::new(Parameters::default()).unwrap()
    }

    #[track_caller]
    fn check(imbalances: &[f32], expected: &[Action]) {
        let mut strategy = strategy();
        let found: Vec<Action> = imbalances
            .iter()
            .map(|&value| kit::signal(&mut strategy, &kit::book(3, value)).action)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn one_signal_per_crossing() {
        const NONE: Action = Action::None;
        check(&[0.5, 0.6, 0.7, 0.3, 0.8], &[NONE, Action::Buy, NONE, NONE, NONE]);
        check(&[0.7, 0.1, 0.7], &[Action::Buy, NONE, Action::Buy]);
        check(
            &[0.7, -0.7, -0.3, 0.9],
            &[Action::Buy, Action::Sell, NONE, Action::Buy],
        );
    }

    #[test]
    fn buys_at_the_ask_and_sells_at_the_bid() {
        let mut strategy = strategy();
        let buy = kit::signal(&mut strategy, &kit::book(0, 0.9));
        assert_eq!(
            (buy.value, buy.quantity, buy.reasons()[0]),
            (100_500_000_000, 1_000_000_000, 1200)
        );
        assert_eq!(
            kit::signal(&mut strategy, &kit::book(0, -0.9)).value,
            99_500_000_000
        );
    }

    #[test]
    fn instruments_do_not_share_state() {
        let mut strategy = strategy();
        assert_eq!(kit::signal(&mut strategy, &kit::book(1, 0.9)).action, Action::Buy);
        assert_eq!(kit::signal(&mut strategy, &kit::book(2, 0.9)).action, Action::Buy);
        assert_eq!(
            kit::signal(&mut strategy, &kit::book(5_000, 0.9)).action,
            Action::None
        );
    }

    #[test]
    fn unsettled_book_gives_no_signal() {
        let mut strategy = strategy();
        let mut event = kit::book(0, 0.9);
        event.market.origin.frame_flags = MORE_FOLLOW;
        assert_eq!(kit::signal(&mut strategy, &event).action, Action::None);
        let mut event = kit::book(0, 0.9);
        event.top.bid_price = event.top.ask_price;
        assert_eq!(kit::signal(&mut strategy, &event).action, Action::None);
        let mut event = kit::book(0, 0.9);
        event.market.origin.kind = market_kind::TRADE;
        assert_eq!(kit::signal(&mut strategy, &event).action, Action::None);
        assert_eq!(kit::signal(&mut strategy, &kit::book(0, 0.9)).action, Action::Buy);
    }

    #[test]
    fn thresholds_in_the_wrong_order_are_refused() {
        let mut parameters = Parameters::default();
        parameters.set_number("release_at", 0.6);
        let error = BookImbalance::new(parameters).unwrap_err();
        assert_eq!(
            error.to_string(),
            "release_at is 0.6, expected less than enter_at, which is 0.6"
        );
    }
}
