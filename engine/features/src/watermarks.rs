//! How far each publisher has come in event time, and which of them is furthest behind.
//!
//! Invariant: what stands here is shown to people and changes no vector.

/// Publishers told apart; the last place is shared by all the others.
const PUBLISHERS_MAX: usize = 64;

/// The newest event time of each publisher since the start.
pub(crate) struct Watermarks {
    /// Publisher and newest event time (ns since the Unix epoch) of the first `len`.
    newest: [(u32, i64); PUBLISHERS_MAX],
    len: usize,
    last: usize,
}

impl Watermarks {
    pub(crate) fn new() -> Self {
        Self {
            newest: [(0, 0); PUBLISHERS_MAX],
            len: 0,
            last: 0,
        }
    }

    /// Notes an event. Cost: one comparison if the publisher is that of the event before, else a short search.
    #[inline]
    pub(crate) fn note(&mut self, publisher: u32, event_ns: i64) {
        if self.len == 0 || self.newest[self.last].0 != publisher {
            self.last = self.place(publisher);
        }
        let newest_ns = &mut self.newest[self.last].1;
        *newest_ns = event_ns.max(*newest_ns);
    }

    fn place(&mut self, publisher: u32) -> usize {
        let known = self.newest[..self.len].iter();
        if let Some(place) = known.into_iter().position(|(other, _)| *other == publisher) {
            return place;
        }
        if self.len < PUBLISHERS_MAX {
            self.newest[self.len] = (publisher, i64::MIN);
            self.len += 1;
        }
        self.len - 1
    }

    /// The newest event time of the publisher that is furthest behind, 0 before the first event.
    /// Unit: ns since the Unix epoch.
    pub(crate) fn oldest_ns(&self) -> i64 {
        let newest = self.newest[..self.len].iter().map(|(_, newest_ns)| *newest_ns);
        newest.min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_is_that_of_the_publisher_furthest_behind() {
        let mut watermarks = Watermarks::new();
        assert_eq!(watermarks.oldest_ns(), 0);
        for (publisher, event_ns) in [(1, 50), (2, 10), (1, 40), (2, 30), (3, 45)] {
            watermarks.note(publisher, event_ns);
        }
        assert_eq!(watermarks.oldest_ns(), 30);
        watermarks.note(2, 90);
        assert_eq!(watermarks.oldest_ns(), 45);
    }

    #[test]
    fn publishers_beyond_the_bound_share_a_place() {
        let mut watermarks = Watermarks::new();
        for publisher in 0..1000 {
            watermarks.note(publisher, 7);
        }
        assert_eq!(watermarks.oldest_ns(), 7);
    }
}
