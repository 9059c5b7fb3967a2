//! The names behind dense ids: given by one agent, read by others.
//!
//! ```text
//!   ingest ──set(7, "BTCUSDT")──▶ [ - | - | … | name 7 | - ] ◀──get(7)── publish
//! ```
//!
//! Invariant: a name, once set, never changes; a dense id is not reused while the table lives.

use std::sync::{Arc, OnceLock};

use pinion_schemas::ids::Id;

/// Names by dense id, of fixed capacity. Clones are the same table.
///
/// ```
/// use pinion_runtime::names::NameTable;
/// use pinion_schemas::ids::Id;
///
/// let names = NameTable::new(2);
/// assert!(names.set(1, Id::new("BTCUSDT").unwrap()));
/// assert_eq!(names.get(1).unwrap().as_str(), "BTCUSDT");
/// assert!(!names.set(1, Id::new("ETHUSDT").unwrap())); // taken
/// assert!(!names.set(2, Id::new("ETHUSDT").unwrap())); // past the end
/// ```
#[derive(Clone)]
pub struct NameTable(Arc<[OnceLock<Id>]>);

impl NameTable {
    /// A table for the dense ids `0..names_max`. Cost: 40 bytes each, taken here.
    pub fn new(names_max: usize) -> Self {
        Self((0..names_max).map(|_| OnceLock::new()).collect())
    }

    /// Sets the name of `dense`. `false`: it has one already (the same one is fine), or it is past the end.
    ///
    /// Cost: no heap call.
    #[must_use]
    pub fn set(&self, dense: u32, name: Id) -> bool {
        self.0
            .get(dense as usize)
            .is_some_and(|cell| *cell.get_or_init(|| name) == name)
    }

    /// The name of `dense`, if it has one. Cost: one line, no lock.
    #[inline]
    pub fn get(&self, dense: u32) -> Option<Id> {
        self.0.get(dense as usize)?.get().copied()
    }

    /// Dense ids there is room for.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_set_once_and_the_same_name_again_is_fine() {
        let names = NameTable::new(1);
        let (first, second) = (Id::new("first").unwrap(), Id::new("second").unwrap());
        assert_eq!(names.get(0), None);
        assert!(names.set(0, first));
        assert!(names.set(0, first));
        assert!(!names.set(0, second));
        assert_eq!(names.get(0), Some(first));
    }

    #[test]
    fn absent_id_has_no_name() {
        assert_eq!(NameTable::new(4).get(pinion_schemas::ids::DENSE_ID_NONE), None);
    }
}
