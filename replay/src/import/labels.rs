//! Labels that become known after their transaction, put into the order of time.
//!
//! Invariant: a label known at time `t` comes before a transaction of time `t`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use pinion_schemas::encode::{Event, LabelEvent, TransactionEvent};
use pinion_schemas::wire::{LabelSource, Verdict};

use super::source::SourceEvent;

/// Labels on their way, earliest first, equal times in the order in which they were put in.
#[derive(Debug, Default)]
pub(crate) struct PendingLabels {
    labels: Vec<Option<LabelEvent>>,
    free: Vec<usize>,
    order: BinaryHeap<Reverse<(i64, u64, usize)>>,
    put_count: u64,
}

impl PendingLabels {
    /// Puts in a label; its `event_ns` is when it becomes known.
    pub(crate) fn put(&mut self, label: LabelEvent) {
        let known_ns = label.event_ns;
        let place = self.free.pop().unwrap_or_else(|| {
            self.labels.push(None);
            self.labels.len() - 1
        });
        self.labels[place] = Some(label);
        self.order.push(Reverse((known_ns, self.put_count, place)));
        self.put_count += 1;
    }

    /// Moves out what is known at `now_ns`.
    pub(crate) fn release_until(&mut self, now_ns: i64, out: &mut VecDeque<SourceEvent>) {
        while let Some(&Reverse((known_ns, _, _))) = self.order.peek()
            && known_ns <= now_ns
        {
            out.extend(self.release_one());
        }
    }

    /// Moves out what is left.
    pub(crate) fn release_all(&mut self, out: &mut VecDeque<SourceEvent>) {
        self.release_until(i64::MAX, out);
    }

    fn release_one(&mut self) -> Option<SourceEvent> {
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.labels[place].take().map(|label| Event::Label(label).into())
    }
}

/// The label of a transaction that becomes known `delay_ns` after it; it names the customer and the terminal.
pub(crate) fn label_of(
    transaction: &TransactionEvent,
    delay_ns: i64,
    verdict: Verdict,
    source: LabelSource,
) -> LabelEvent {
    LabelEvent {
        event_ns: transaction.event_ns.saturating_add(delay_ns),
        transaction_ns: transaction.event_ns,
        amount_minor: transaction.amount_minor,
        verdict,
        source,
        transaction_id: transaction.transaction_id,
        customer: transaction.customer,
        terminal: transaction.terminal,
        ..LabelEvent::default()
    }
}
