//! Which terminals or customers are compromised today.

use std::collections::{HashMap, VecDeque};

use super::random::Random;

/// Members of a group, each compromised from its day on for a number of days.
#[derive(Clone, Debug)]
pub(crate) struct Compromises {
    lasts_days: u32,
    /// Day and member, oldest first.
    begun: VecDeque<(u32, u32)>,
    /// How many times each member is compromised today.
    active: HashMap<u32, u32>,
}

impl Compromises {
    pub(crate) fn new(lasts_days: u32) -> Self {
        Self {
            lasts_days,
            begun: VecDeque::new(),
            active: HashMap::new(),
        }
    }

    /// Ends what is over and draws `count` different members out of `of_count`.
    pub(crate) fn start_day(&mut self, day: u32, count: u32, of_count: u32, random: &mut Random) {
        while let Some(&(begun_day, member)) = self.begun.front()
            && begun_day + self.lasts_days <= day
        {
            self.begun.pop_front();
            self.end_one(member);
        }
        for member in draw_different(count, of_count, random) {
            self.begun.push_back((day, member));
            *self.active.entry(member).or_default() += 1;
        }
        if self.lasts_days == 0 {
            self.active.clear();
        }
    }

    pub(crate) fn contains(&self, member: u32) -> bool {
        self.active.contains_key(&member)
    }

    fn end_one(&mut self, member: u32) {
        let Some(count) = self.active.get_mut(&member) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.active.remove(&member);
        }
    }
}

/// `count` different numbers below `of_count`, each set as likely (Floyd's method). `count` is at most `of_count`.
fn draw_different(count: u32, of_count: u32, random: &mut Random) -> Vec<u32> {
    let mut drawn = Vec::with_capacity(count as usize);
    let mut is_drawn = std::collections::HashSet::new();
    for last in of_count - count..of_count {
        let candidate = random.below(u64::from(last) + 1) as u32;
        let member = if is_drawn.contains(&candidate) {
            last
        } else {
            candidate
        };
        is_drawn.insert(member);
        drawn.push(member);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compromise_lasts_its_days() {
        let mut random = Random::new(1, *b"test\0\0\0\0", 0);
        let mut compromises = Compromises::new(14);
        for day in 0..100 {
            compromises.start_day(day, 3, 5_000, &mut random);
            let active: u32 = compromises.active.values().sum();
            assert_eq!(active, 3 * (day + 1).min(14));
        }
    }

    #[test]
    fn members_of_one_day_differ() {
        let mut random = Random::new(1, *b"test\0\0\0\0", 0);
        for _ in 0..1_000 {
            let mut drawn = draw_different(5, 7, &mut random);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 5);
            assert!(drawn.iter().all(|member| *member < 7));
        }
    }
}
