//! Rows that whoever has a copy of the bank does not have as the bank does.
//!
//! Invariant: a row is listed once, and listed exactly if it is marked.

/// The rows.
#[derive(Clone, Debug)]
pub(crate) struct Stale {
    rows: Vec<u32>,
    is_stale: Vec<bool>,
}

impl Stale {
    /// All of `rows_max` rows.
    pub(crate) fn all(rows_max: u32) -> Self {
        Self {
            rows: (0..rows_max).collect(),
            is_stale: vec![true; rows_max as usize],
        }
    }

    /// Cost: one byte, and four more if the row was not listed.
    pub(crate) fn add(&mut self, row: u32) {
        if !std::mem::replace(&mut self.is_stale[row as usize], true) {
            self.rows.push(row);
        }
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        self.is_stale[row as usize]
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The rows, the lowest first.
    pub(crate) fn sorted(&mut self) -> &[u32] {
        self.rows.sort_unstable();
        &self.rows
    }

    pub(crate) fn clear(&mut self) {
        for row in self.rows.drain(..) {
            self.is_stale[row as usize] = false;
        }
    }
}
