//! The order book inside the generator: price-time priority, and every open order at hand for a random pick.
//!
//! Invariant: `open` names exactly the resting orders, in an order that depends on the events alone.

use std::collections::{BTreeMap, VecDeque};

use pinion_schemas::wire::Side;

/// A resting order. Price in ticks, quantity in lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) order_id: u64,
    pub(crate) side: Side,
    pub(crate) tick: i64,
    pub(crate) lots: i64,
}

/// A part of a resting order that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    /// The order as it was before.
    pub(crate) order: Order,
    pub(crate) lots: i64,
}

/// The resting orders of one instrument.
#[derive(Clone, Debug, Default)]
pub(crate) struct GeneratedBook {
    bids: BTreeMap<i64, VecDeque<u64>>,
    asks: BTreeMap<i64, VecDeque<u64>>,
    /// By order: the order and its place in `open`.
    orders: BTreeMap<u64, (Order, usize)>,
    open: Vec<u64>,
}

impl GeneratedBook {
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// An open order by its place among them, which changes with every order that leaves.
    pub(crate) fn open_order(&self, place: usize) -> Order {
        self.orders[&self.open[place]].0
    }

    pub(crate) fn best_bid(&self) -> Option<i64> {
        self.bids.last_key_value().map(|(tick, _)| *tick)
    }

    pub(crate) fn best_ask(&self) -> Option<i64> {
        self.asks.first_key_value().map(|(tick, _)| *tick)
    }

    pub(crate) fn add(&mut self, order: Order) {
        let place = self.open.len();
        self.open.push(order.order_id);
        self.orders.insert(order.order_id, (order, place));
        self.levels(order.side)
            .entry(order.tick)
            .or_default()
            .push_back(order.order_id);
    }

    pub(crate) fn remove(&mut self, order_id: u64) {
        let Some((order, place)) = self.orders.remove(&order_id) else {
            return;
        };
        self.open.swap_remove(place);
        if let Some(moved) = self.open.get(place).and_then(|moved| self.orders.get_mut(moved)) {
            moved.1 = place;
        }
        let levels = self.levels(order.side);
        let Some(queue) = levels.get_mut(&order.tick) else {
            return;
        };
        queue.retain(|other| *other != order_id);
        if queue.is_empty() {
            levels.remove(&order.tick);
        }
    }

    /// Sets the open quantity; the order keeps its place in the queue.
    pub(crate) fn set_lots(&mut self, order_id: u64, lots: i64) {
        if let Some((order, _)) = self.orders.get_mut(&order_id) {
            order.lots = lots;
        }
    }

    /// Executes up to `lots` of the best level that rests on `side`, oldest order first.
    pub(crate) fn execute_best(&mut self, side: Side, lots: i64) -> Vec<Execution> {
        let tick = if side == Side::Bid {
            self.best_bid()
        } else {
            self.best_ask()
        };
        let queue = tick
            .and_then(|tick| self.levels(side).get(&tick))
            .cloned()
            .unwrap_or_default();
        let mut left = lots;
        let mut executions = Vec::new();
        for order_id in queue {
            if left == 0 {
                break;
            }
            let order = self.orders[&order_id].0;
            let executed = left.min(order.lots);
            left -= executed;
            executions.push(Execution {
                order,
                lots: executed,
            });
            if executed == order.lots {
                self.remove(order_id);
            } else {
                self.set_lots(order_id, order.lots - executed);
            }
        }
        executions
    }

    fn levels(&mut self, side: Side) -> &mut BTreeMap<i64, VecDeque<u64>> {
        if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_order_of_the_best_level_is_executed_first() {
        let mut book = GeneratedBook::default();
        for (order_id, tick, lots) in [(1, 10, 5), (2, 11, 3), (3, 11, 4)] {
            book.add(Order {
                order_id,
                side: Side::Bid,
                tick,
                lots,
            });
        }
        let executions = book.execute_best(Side::Bid, 5);
        let parts: Vec<_> = executions
            .iter()
            .map(|part| (part.order.order_id, part.lots))
            .collect();
        assert_eq!(parts, [(2, 3), (3, 2)]);
        assert_eq!((book.best_bid(), book.open_count()), (Some(11), 2));
    }
}
