//! Drives an agent by hand: replay, tests, the simulator.
//!
//! Invariant: the agent sees the same calls in the same order as on a thread of its own.

use crate::agent::{Agent, StartError};
use crate::clock::Clock;

/// An agent that is driven when [`Invoker::invoke`] is called, on whatever thread calls it.
///
/// ```
/// use pinion_runtime::agent::Agent;
/// use pinion_runtime::clock::Clock;
/// use pinion_runtime::invoker::Invoker;
///
/// struct Echo(i64);
/// impl Agent for Echo {
///     fn name(&self) -> &str { "echo" }
///     fn do_work(&mut self, now_ns: i64) -> usize { self.0 = now_ns; 1 }
/// }
///
/// let (clock, virtual_clock) = Clock::manual(100);
/// let mut echo = Invoker::new(Echo(0), clock).unwrap();
/// virtual_clock.advance(23);
/// assert_eq!(echo.invoke(), 1);
/// assert_eq!(echo.close().0, 123);
/// ```
pub struct Invoker<A: Agent> {
    /// Present until closed.
    agent: Option<A>,
    clock: Clock,
}

impl<A: Agent> Invoker<A> {
    /// Starts the agent.
    ///
    /// Error: what its [`Agent::on_start`] said.
    pub fn new(mut agent: A, clock: Clock) -> Result<Self, StartError> {
        agent.on_start()?;
        Ok(Self {
            agent: Some(agent),
            clock,
        })
    }

    /// One duty cycle. Returns the work count.
    ///
    /// Cost: one reading of the clock beside the agent's own.
    pub fn invoke(&mut self) -> usize {
        let now_ns = self.clock.now_ns();
        self.agent_mut().do_work(now_ns)
    }

    /// Duty cycles until one does no work and the agent is drained, but `cycles_max` at most.
    /// Returns the sum of the work counts.
    pub fn drain(&mut self, cycles_max: usize) -> usize {
        let mut work_count = 0;
        for _ in 0..cycles_max {
            let work = self.invoke();
            work_count += work;
            if work == 0 && self.agent().is_drained() {
                break;
            }
        }
        work_count
    }

    /// The agent.
    pub fn agent(&self) -> &A {
        self.agent
            .as_ref()
            .expect("the agent is present until close consumes the invoker")
    }

    /// The agent, to change it between cycles.
    pub fn agent_mut(&mut self) -> &mut A {
        self.agent
            .as_mut()
            .expect("the agent is present until close consumes the invoker")
    }

    /// Closes the agent and hands it back. Dropping the invoker closes it too.
    pub fn close(mut self) -> A {
        let mut agent = self
            .agent
            .take()
            .expect("the agent is present until close consumes the invoker");
        agent.on_close();
        agent
    }
}

impl<A: Agent> Drop for Invoker<A> {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.on_close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    struct Diary {
        calls: Rc<RefCell<Vec<&'static str>>>,
        work_left: usize,
        refuses: bool,
    }

    impl Agent for Diary {
        fn name(&self) -> &str {
            "diary"
        }

        fn on_start(&mut self) -> Result<(), StartError> {
            self.calls.borrow_mut().push("start");
            if self.refuses {
                Err(StartError::message("no"))
            } else {
                Ok(())
            }
        }

        fn do_work(&mut self, _now_ns: i64) -> usize {
            self.calls.borrow_mut().push("work");
            let work = self.work_left.min(1);
            self.work_left -= work;
            work
        }

        fn on_close(&mut self) {
            self.calls.borrow_mut().push("close");
        }
    }

    fn diary(refuses: bool) -> (Diary, Rc<RefCell<Vec<&'static str>>>) {
        let calls = Rc::new(RefCell::new(Vec::new()));
        (
            Diary {
                calls: calls.clone(),
                work_left: 3,
                refuses,
            },
            calls,
        )
    }

    #[test]
    fn dropped_invoker_closes_its_agent_once() {
        let (agent, calls) = diary(false);
        let mut invoker = Invoker::new(agent, Clock::manual(0).0).unwrap();
        assert_eq!(invoker.invoke(), 1);
        drop(invoker);
        assert_eq!(*calls.borrow(), ["start", "work", "close"]);
    }

    #[test]
    fn closed_invoker_hands_the_agent_back() {
        let (agent, calls) = diary(false);
        let agent = Invoker::new(agent, Clock::manual(0).0).unwrap().close();
        assert_eq!(agent.work_left, 3);
        assert_eq!(*calls.borrow(), ["start", "close"]);
    }

    #[test]
    fn agent_that_did_not_start_is_not_closed() {
        let (agent, calls) = diary(true);
        assert_eq!(
            Invoker::new(agent, Clock::manual(0).0).err().unwrap().to_string(),
            "no"
        );
        assert_eq!(*calls.borrow(), ["start"]);
    }

    #[test]
    fn drain_stops_at_the_first_idle_cycle() {
        let (agent, calls) = diary(false);
        let mut invoker = Invoker::new(agent, Clock::manual(0).0).unwrap();
        assert_eq!(invoker.drain(100), 3);
        assert_eq!(calls.borrow().len(), 1 + 4);
    }
}
