//! Open orders of by-order feeds: a table of fixed capacity.
//!
//! ```text
//!   (instrument, order id) ──hash──▶ buckets (open addressing, half full at most)
//!                                        │ node
//!                                        ▼
//!                                     nodes: price, quantity, side; neighbours of the same instrument
//! ```
//!
//! The orders of an instrument form a list, so that clearing its book touches them alone.
//!
//! Invariant: every node in use is found by its key, and stands in exactly one instrument's list.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;

/// Fixed, so that two runs over the same orders also touch the same memory.
const HASH_SEED: u64 = 0x5049_4E49_4F4E_0003;

/// A bucket that holds nothing. A used one holds the hash in the upper half and the node in the lower.
const EMPTY: u64 = u64::MAX;

/// No node.
pub const NOWHERE: u32 = u32::MAX;

/// An open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The venue's order number.
    pub order_id: u64,
    /// Unit: 1e-9 of the quote currency.
    pub price: i64,
    /// Open quantity. Unit: 1e-9 of the instrument's unit.
    pub quantity: i64,
    /// Dense instrument.
    pub instrument: u32,
    /// Bid or ask.
    pub is_bid: bool,
}

#[derive(Clone, Copy)]
struct Node {
    order: Order,
    /// Neighbours in the instrument's list; of a free node, `next` is the next free one.
    previous: u32,
    next: u32,
}

const FREE: Order = Order {
    order_id: u64::MAX,
    price: 0,
    quantity: 0,
    instrument: u32::MAX,
    is_bid: false,
};

const _: () = assert!(size_of::<Node>() <= 48);

/// All open orders.
pub struct Orders {
    buckets: Vec<u64>,
    nodes: Vec<Node>,
    free: u32,
    len: u32,
    hashes: FixedState,
}

impl Orders {
    /// Takes all memory: room for `orders_max` orders.
    pub fn new(orders_max: u32) -> Self {
        let bucket_count = (2 * orders_max as usize).next_power_of_two();
        let node = |index: u32| Node {
            order: FREE,
            previous: NOWHERE,
            next: if index + 1 < orders_max {
                index + 1
            } else {
                NOWHERE
            },
        };
        Self {
            buckets: vec![EMPTY; bucket_count],
            nodes: (0..orders_max).map(node).collect(),
            free: if orders_max == 0 { NOWHERE } else { 0 },
            len: 0,
            hashes: FixedState::with_seed(HASH_SEED),
        }
    }

    /// Open orders.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no open order.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The node of an order.
    pub fn find(&self, instrument: u32, order_id: u64) -> Option<u32> {
        let hash = self.hash(instrument, order_id);
        let mut bucket = self.home(hash);
        loop {
            let content = self.buckets[bucket];
            if content == EMPTY {
                return None;
            }
            let order = &self.nodes[content as u32 as usize].order;
            if (content >> 32) as u32 == hash && order.order_id == order_id && order.instrument == instrument
            {
                return Some(content as u32);
            }
            bucket = self.after(bucket);
        }
    }

    /// The order at a node.
    pub fn order(&self, node: u32) -> &Order {
        &self.nodes[node as usize].order
    }

    /// Changes what may change of an open order.
    pub fn change(&mut self, node: u32, price: i64, quantity: i64, is_bid: bool) {
        let order = &mut self.nodes[node as usize].order;
        (order.price, order.quantity, order.is_bid) = (price, quantity, is_bid);
    }

    /// Adds an order that is not in the table, at the front of its instrument's list that begins at `first`.
    /// `false`: the table is full.
    pub fn insert(&mut self, order: Order, first: &mut u32) -> bool {
        let node = self.free;
        if node == NOWHERE {
            return false;
        }
        self.free = self.nodes[node as usize].next;
        self.nodes[node as usize] = Node {
            order,
            previous: NOWHERE,
            next: *first,
        };
        if *first != NOWHERE {
            self.nodes[*first as usize].previous = node;
        }
        *first = node;
        self.len += 1;
        self.occupy(self.hash(order.instrument, order.order_id), node);
        true
    }

    /// Removes the order at a node from the table and from its instrument's list that begins at `first`.
    pub fn remove(&mut self, node: u32, first: &mut u32) {
        let Node {
            order,
            previous,
            next,
        } = self.nodes[node as usize];
        match previous {
            NOWHERE => *first = next,
            _ => self.nodes[previous as usize].next = next,
        }
        if next != NOWHERE {
            self.nodes[next as usize].previous = previous;
        }
        self.vacate(self.hash(order.instrument, order.order_id), node);
        self.nodes[node as usize] = Node {
            order: FREE,
            previous: NOWHERE,
            next: self.free,
        };
        self.free = node;
        self.len -= 1;
    }

    /// The order after `node` in its instrument's list, or [`NOWHERE`].
    pub fn after_node(&self, node: u32) -> u32 {
        self.nodes[node as usize].next
    }

    fn hash(&self, instrument: u32, order_id: u64) -> u32 {
        (self.hashes.hash_one((instrument, order_id)) >> 32) as u32
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn after(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    fn occupy(&mut self, hash: u32, node: u32) {
        let mut bucket = self.home(hash);
        while self.buckets[bucket] != EMPTY {
            bucket = self.after(bucket);
        }
        self.buckets[bucket] = u64::from(hash) << 32 | u64::from(node);
    }

    /// Empties the node's bucket and closes the gap, so that every other order is still found.
    fn vacate(&mut self, hash: u32, node: u32) {
        let mut gap = self.home(hash);
        while self.buckets[gap] as u32 != node {
            gap = self.after(gap);
        }
        let mut bucket = self.after(gap);
        while self.buckets[bucket] != EMPTY {
            let home = self.home((self.buckets[bucket] >> 32) as u32);
            let mask = self.buckets.len() - 1;
            if bucket.wrapping_sub(home) & mask >= bucket.wrapping_sub(gap) & mask {
                self.buckets[gap] = self.buckets[bucket];
                gap = bucket;
            }
            bucket = self.after(bucket);
        }
        self.buckets[gap] = EMPTY;
    }
}
