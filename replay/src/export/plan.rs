//! The first pass: which days there are, where each ends, and what became known of their transactions.
//!
//! Invariant: after the last row of a day, no other one of that day comes, so its file can be closed.

use std::collections::BTreeMap;

use pinion_schemas::records::{PaymentRecord, payment_kind};
use pinion_schemas::wire::Verdict;

use super::labels::DayLabels;
use super::payments::Payments;
use super::{ExportError, PROGRESS_EVENTS, Progress, Request, day_of, is_row};

/// What is known of a day before it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Day {
    pub(crate) rows: u64,
    pub(crate) last_sequence: u64,
}

/// What is known of the source before the second pass.
pub(crate) struct Plan {
    /// By their number from the Unix epoch.
    pub(crate) days: BTreeMap<i64, Day>,
    pub(crate) labels: DayLabels,
    pub(crate) labels_late: u64,
    pub(crate) events: u64,
    pub(crate) refused: u64,
}

impl Plan {
    /// Reads everything once.
    pub(crate) fn of(
        request: &Request,
        payments: &mut dyn Payments,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Self, ExportError> {
        let mut plan = Self {
            days: BTreeMap::new(),
            labels: DayLabels::new(&request.spill),
            labels_late: 0,
            events: 0,
            refused: 0,
        };
        let total = payments.len_hint().map(|events| 2 * events);
        while let Some(payment) = payments.next_payment()? {
            plan.events += 1;
            if plan.events.is_multiple_of(PROGRESS_EVENTS) {
                let done = plan.events;
                progress(Progress { done, total });
            }
            plan.take(request, &payment)?;
        }
        plan.refused = payments.refused();
        Ok(plan)
    }

    /// Rows to be written.
    pub(crate) fn transactions(&self) -> u64 {
        self.days.values().map(|day| day.rows).sum()
    }

    pub(crate) fn is_last_of_its_day(&self, payment: &PaymentRecord) -> bool {
        let day = self.days.get(&day_of(payment));
        day.is_some_and(|day| day.last_sequence == payment.origin.sequence)
    }

    fn take(&mut self, request: &Request, payment: &PaymentRecord) -> Result<(), ExportError> {
        if is_row(request, payment) {
            let day = self.days.entry(day_of(payment)).or_default();
            day.rows += 1;
            day.last_sequence = payment.origin.sequence;
        }
        if payment.origin.kind != payment_kind::LABEL || !request.has(payment.transaction_ns) {
            return Ok(());
        }
        let delay_ns = payment.origin.event_ns.saturating_sub(payment.transaction_ns);
        // What is to be erased is, however late.
        if delay_ns > request.label_reach_ns() && payment.verdict != Verdict::Erased.0 {
            self.labels_late += 1;
            return Ok(());
        }
        self.labels.take(payment)
    }
}
