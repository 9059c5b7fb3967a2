//! The sets that served the payments before the one in force, for whoever takes a journal's payments again.
//!
//! ```text
//!   payment ─▶ each former store that may still serve        the first of them whose time is not over gives the vector
//! ```
//!
//! Invariant: the vector of a payment is that of the set that served it, computed from everything before it.

use std::collections::VecDeque;

use pinion_schemas::records::{FEATURES_MAX, PaymentRecord};

use crate::since::Since;
use crate::store::FeatureStore;

/// A set that served earlier payments.
pub struct Former {
    /// The last payment that it served.
    pub last_sequence: u64,
    /// It has every payment before the next one.
    pub store: Box<FeatureStore>,
    /// What counts for it.
    pub since: Option<Since>,
}

impl Former {
    fn apply(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        let shaped = self.since.map_or(*payment, |since| since.shape(payment));
        self.store.apply(&shaped, vector);
    }
}

/// The former sets, in the order in which they served.
#[derive(Default)]
pub struct Formers(VecDeque<Former>);

impl Formers {
    /// These, in the order in which they served.
    pub fn new(formers: impl IntoIterator<Item = Former>) -> Self {
        Self(formers.into_iter().collect())
    }

    /// Whether all payments from here on are served by the set in force.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a payment. If a former set served it, `vector` becomes that set's, whose hash is returned.
    ///
    /// Cost: that of each former store; nothing once there is none. A set whose time is over gives back its memory.
    pub fn apply(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) -> Option<u64> {
        let sequence = payment.origin.sequence;
        while self
            .0
            .pop_front_if(|former| former.last_sequence < sequence)
            .is_some()
        {}
        let (serving, later) = self.0.as_mut_slices();
        let (serving, coming) = serving.split_first_mut()?;
        serving.apply(payment, vector);
        let mut unread = [0.0; FEATURES_MAX];
        for former in coming.iter_mut().chain(later) {
            former.apply(payment, &mut unread);
        }
        Some(serving.store.set_hash())
    }
}
