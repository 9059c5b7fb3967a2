//! Several agents as one: the neighbours on a core take turns in one duty cycle.
//!
//! ```text
//!   do_work ──▶ ingest.do_work ──▶ book.do_work ──▶ strategy.do_work ──▶ publish.do_work ──▶ sum
//!               now₀               now₁             now₂                 now₃
//! ```
//!
//! Agents stand in the order of the data path, so an event passes all of them in one cycle.
//!
//! Invariant: what an agent of a composite sees and gives is what it would on a thread of its own.

use crate::agent::{Agent, StartError};
use crate::clock::Clock;

/// Agents that share one duty cycle.
pub struct Composite {
    name: String,
    agents: Vec<Box<dyn Agent>>,
    clock: Clock,
}

impl Composite {
    /// Joins `agents`, in the order of the data path.
    ///
    /// `clock` is read for each of them, so that the stamps of the later ones are as true as on own threads.
    pub fn new(name: impl Into<String>, agents: Vec<Box<dyn Agent>>, clock: Clock) -> Self {
        Self {
            name: name.into(),
            agents,
            clock,
        }
    }
}

impl Agent for Composite {
    fn name(&self) -> &str {
        &self.name
    }

    /// Starts all, or none: those that had started are closed, last first, when one refuses.
    fn on_start(&mut self) -> Result<(), StartError> {
        for index in 0..self.agents.len() {
            if let Err(error) = self.agents[index].on_start() {
                self.agents[..index]
                    .iter_mut()
                    .rev()
                    .for_each(|agent| agent.on_close());
                return Err(error);
            }
        }
        Ok(())
    }

    /// One cycle of each. Cost: one reading of the clock for each, beside their own.
    fn do_work(&mut self, now_ns: i64) -> usize {
        self.agents
            .iter_mut()
            .map(|agent| agent.do_work(self.clock.now_ns().max(now_ns)))
            .sum()
    }

    fn is_drained(&self) -> bool {
        self.agents.iter().all(|agent| agent.is_drained())
    }

    /// Closes all in the order of the data path: what one flushes, the next may still have to hand on.
    fn on_close(&mut self) {
        self.agents.iter_mut().for_each(|agent| agent.on_close());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    type Calls = Rc<RefCell<Vec<String>>>;

    struct Diary {
        name: &'static str,
        calls: Calls,
        starts: bool,
    }

    impl Diary {
        fn note(&self, call: &str) {
            self.calls.borrow_mut().push(format!("{} {call}", self.name));
        }
    }

    impl Agent for Diary {
        fn name(&self) -> &str {
            self.name
        }

        fn on_start(&mut self) -> Result<(), StartError> {
            self.note("start");
            if self.starts {
                Ok(())
            } else {
                Err(StartError::message("no"))
            }
        }

        fn do_work(&mut self, now_ns: i64) -> usize {
            self.note(&format!("work at {now_ns}"));
            1
        }

        fn on_close(&mut self) {
            self.note("close");
        }
    }

    fn composite(second_starts: bool) -> (Composite, Calls) {
        let calls = Calls::default();
        let diary = |name, starts| {
            Box::new(Diary {
                name,
                calls: calls.clone(),
                starts,
            }) as Box<dyn Agent>
        };
        let (clock, _) = Clock::manual(7);
        (
            Composite::new("both", vec![diary("a", true), diary("b", second_starts)], clock),
            calls,
        )
    }

    #[test]
    fn agents_work_and_close_in_the_order_of_the_data_path() {
        let (mut both, calls) = composite(true);
        both.on_start().unwrap();
        assert_eq!(both.do_work(7), 2);
        both.on_close();
        let expected = [
            "a start",
            "b start",
            "a work at 7",
            "b work at 7",
            "a close",
            "b close",
        ];
        assert_eq!(*calls.borrow(), expected);
    }

    #[test]
    fn agent_that_does_not_start_closes_those_before_it() {
        let (mut both, calls) = composite(false);
        assert!(both.on_start().is_err());
        assert_eq!(*calls.borrow(), ["a start", "b start", "a close"]);
    }

    /// Moves the clock on while it works.
    struct Slow(crate::clock::VirtualClock);

    impl Agent for Slow {
        fn name(&self) -> &str {
            "slow"
        }

        fn do_work(&mut self, _now_ns: i64) -> usize {
            self.0.advance(100);
            1
        }
    }

    #[test]
    fn later_agent_gets_a_later_time() {
        let calls = Calls::default();
        let (clock, virtual_clock) = Clock::manual(0);
        let diary = Diary {
            name: "b",
            calls: calls.clone(),
            starts: true,
        };
        let agents: Vec<Box<dyn Agent>> = vec![Box::new(Slow(virtual_clock)), Box::new(diary)];
        Composite::new("both", agents, clock).do_work(0);
        assert_eq!(*calls.borrow(), ["b work at 100"]);
    }
}
