//! Approves, reviews or declines a payment by the band that its score falls into.
//!
//! ```text
//!   score  0 ────────── review_at ────────── decline_at ────────── 1
//!            approve        │      review         │     decline
//! ```
//!
//! An amount above `review_above_minor` is reviewed at least. A payment without a score is reviewed, unless its amount is at
//! most `approve_unscored_minor`.
//!
//! Invariant: a higher score never gives a milder answer.

use pinion_strategies_api::{
    Action, Answer, Descriptor, ParameterError, Parameters, PaymentStrategy, ScoredRecord, decision_flag,
    reasons,
};

/// The module.
#[derive(Clone, Debug)]
pub struct ScoreBands {
    review_at: f32,
    decline_at: f32,
    review_above_minor: i64,
    approve_unscored_minor: i64,
    parameters: String,
}

impl ScoreBands {
    /// Name in the configuration.
    pub const NAME: &'static str = "score-bands";

    /// Reads `review_at` (0..=1, default 0.3), `decline_at` (0..=1, default 0.7), `review_above_minor`
    /// (minor currency units, 0 for none, default 0) and `approve_unscored_minor` (minor currency units, default 0:
    /// every payment without a score is reviewed).
    ///
    /// # Errors
    /// [`ParameterError`] for a key that is unknown or out of range, or bands in the wrong order.
    pub fn new(mut parameters: Parameters) -> Result<Self, ParameterError> {
        let review_at = parameters.number("review_at", 0.3, 0.0..=1.0)?;
        let decline_at = parameters.number("decline_at", 0.7, 0.0..=1.0)?;
        let review_above = parameters.number("review_above_minor", 0.0, 0.0..=9e15)?;
        let approve_unscored = parameters.number("approve_unscored_minor", 0.0, 0.0..=9e15)?;
        parameters.finish()?;
        if decline_at < review_at {
            return Err(ParameterError {
                key: "decline_at".to_owned(),
                found: decline_at.to_string(),
                expected: format!("at least review_at, which is {review_at}"),
            });
        }
        Ok(Self {
            review_at: review_at as f32,
            decline_at: decline_at as f32,
            review_above_minor: if review_above > 0.0 {
                review_above as i64
            } else {
                i64::MAX
            },
            approve_unscored_minor: approve_unscored as i64,
            parameters: parameters.canonical(),
        })
    }

    /// The band of the score alone, or what a payment without one gets, and why.
    fn band(&self, payment: &ScoredRecord) -> (Action, Option<u16>) {
        let unscored = if payment.payment.amount_minor <= self.approve_unscored_minor {
            Action::Approve
        } else {
            Action::Review
        };
        if payment.score.flags & decision_flag::SHED != 0 {
            return (unscored, Some(reasons::SHED));
        }
        if payment.score.flags & decision_flag::DEGRADED != 0 {
            return (unscored, Some(reasons::DEGRADED));
        }
        match payment.score.score {
            score if score >= self.decline_at => (Action::Decline, Some(reasons::SCORE_HIGH)),
            score if score >= self.review_at => (Action::Review, Some(reasons::SCORE_MEDIUM)),
            _ => (Action::Approve, None),
        }
    }
}

impl PaymentStrategy for ScoreBands {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: Self::NAME,
            version: 1,
            parameters: self.parameters.clone(),
        }
    }

    fn on_payment(&mut self, payment: &ScoredRecord, answer: &mut Answer) {
        let (action, reason) = self.band(payment);
        let is_large = payment.payment.amount_minor > self.review_above_minor;
        answer.score = payment.score.score;
        answer.action = if is_large && action == Action::Approve {
            Action::Review
        } else {
            action
        };
        reason.into_iter().for_each(|reason| answer.add_reason(reason));
        if is_large {
            answer.add_reason(reasons::AMOUNT_HIGH);
        }
        if answer.action != Action::Approve {
            let count = usize::from(payment.score.reason_count).min(payment.score.reasons.len());
            answer.add_reasons(&payment.score.reasons[..count]);
        }
    }

    fn is_stateless(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_strategies_api::kit;

    fn strategy(settings: &[(&str, f64)]) -> Result<ScoreBands, ParameterError> {
        let mut parameters = Parameters::default();
        settings
            .iter()
            .for_each(|&(key, value)| parameters.set_number(key, value));
        ScoreBands::new(parameters)
    }

    #[track_caller]
    fn check(score: f32, amount_minor: i64, action: Action, expected: &[u16]) {
        let mut bands = strategy(&[("review_above_minor", 50_000.0)]).unwrap();
        let answer = kit::decide(&mut bands, &kit::payment(score, amount_minor));
        assert_eq!((answer.action, answer.reasons()), (action, expected));
    }

    #[test]
    fn bands_begin_at_their_thresholds() {
        check(0.299, 100, Action::Approve, &[]);
        check(0.3, 100, Action::Review, &[reasons::SCORE_MEDIUM]);
        check(0.7, 100, Action::Decline, &[reasons::SCORE_HIGH]);
    }

    #[test]
    fn large_amount_is_reviewed_at_least() {
        check(0.0, 50_000, Action::Approve, &[]);
        check(0.0, 50_001, Action::Review, &[reasons::AMOUNT_HIGH]);
        check(
            0.9,
            50_001,
            Action::Decline,
            &[reasons::SCORE_HIGH, reasons::AMOUNT_HIGH],
        );
    }

    #[track_caller]
    fn check_unscored(settings: &[(&str, f64)], amount_minor: i64, flags: u8, expected: (Action, &[u16])) {
        let mut payment = kit::payment(0.0, amount_minor);
        payment.score.flags = flags;
        let answer = kit::decide(&mut strategy(settings).unwrap(), &payment);
        assert_eq!((answer.action, answer.reasons()), expected);
    }

    #[test]
    fn payment_without_a_score_is_decided_by_its_amount() {
        let (degraded, shed) = (
            decision_flag::DEGRADED,
            decision_flag::DEGRADED | decision_flag::SHED,
        );
        check_unscored(&[], 100, degraded, (Action::Review, &[reasons::DEGRADED]));
        check_unscored(&[], 100, shed, (Action::Review, &[reasons::SHED]));
        let small = [("approve_unscored_minor", 100.0)];
        check_unscored(&small, 100, shed, (Action::Approve, &[reasons::SHED]));
        check_unscored(&small, 101, degraded, (Action::Review, &[reasons::DEGRADED]));
        let both = [("approve_unscored_minor", 100.0), ("review_above_minor", 50.0)];
        check_unscored(
            &both,
            100,
            shed,
            (Action::Review, &[reasons::SHED, reasons::AMOUNT_HIGH]),
        );
    }

    #[test]
    fn higher_score_is_never_milder() {
        let mut bands = strategy(&[]).unwrap();
        let severity =
            |score: u8| match kit::decide(&mut bands, &kit::payment(f32::from(score) / 100.0, 1)).action {
                Action::Approve => 0,
                Action::Review => 1,
                _ => 2,
            };
        assert!((0..=100).map(severity).is_sorted());
    }

    #[test]
    fn bands_in_the_wrong_order_are_refused() {
        let error = strategy(&[("review_at", 0.8), ("decline_at", 0.5)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "decline_at is 0.5, expected at least review_at, which is 0.8"
        );
        assert!(strategy(&[("review", 0.8)]).is_err());
    }
}
