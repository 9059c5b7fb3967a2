//! What a module answers.

use pinion_schemas::records::REASONS_MAX;
use pinion_schemas::wire::Action;

/// An answer to one event. No heap: filled in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// What to do. Payments: approve, review or decline. Market: none, buy or sell.
    pub action: Action,
    /// Payments: the score that the decision rests on, 0..=1. Market: strength of the signal, -1..=1.
    /// A value that is not finite is a fault of the module.
    pub score: f32,
    /// Market: limit price. Unit: 1e-9 of the quote currency. Payments: left 0, the amount is filled in.
    pub value: i64,
    /// Market: quantity. Unit: 1e-9 of the instrument's unit. Payments: 0.
    pub quantity: i64,
    reasons: [u16; REASONS_MAX],
    reason_count: u8,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            action: Action::None,
            score: 0.0,
            value: 0,
            quantity: 0,
            reasons: [0; REASONS_MAX],
            reason_count: 0,
        }
    }
}

impl Answer {
    /// Adds a reason behind those there are; past the eighth it is left out.
    ///
    /// ```
    /// use pinion_strategies_api::{Answer, reasons};
    /// let mut answer = Answer::default();
    /// answer.add_reason(reasons::SCORE_HIGH);
    /// assert_eq!(answer.reasons(), [reasons::SCORE_HIGH]);
    /// ```
    pub fn add_reason(&mut self, reason: u16) {
        if let Some(slot) = self.reasons.get_mut(usize::from(self.reason_count)) {
            *slot = reason;
            self.reason_count += 1;
        }
    }

    /// Adds several reasons, most telling first.
    pub fn add_reasons(&mut self, reasons: &[u16]) {
        reasons.iter().for_each(|&reason| self.add_reason(reason));
    }

    /// The reasons so far, most telling first.
    pub fn reasons(&self) -> &[u16] {
        &self.reasons[..usize::from(self.reason_count)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninth_reason_is_left_out() {
        let mut answer = Answer::default();
        answer.add_reasons(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(answer.reasons(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
