//! How the control plane speaks with an agent: commands in, retired objects out, a gate before the intake.
//!
//! ```text
//!   conductor ── command (a new bank, a new limit) ──▶ agent
//!   conductor ◀── retired object (the old bank) ────── agent       dropped here, off the hot path
//! ```
//!
//! Invariant: an agent that has taken a command can retire one object at once, so it is never left holding
//! something that it may not free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// Makes a pair of ends for commands `C` and retired objects `R`, `capacity` of each.
///
/// ```
/// use pinion_runtime::control;
///
/// let (mut conductor, mut agent) = control::channel::<Vec<u8>, Vec<u8>>(4);
/// let mut bank = vec![1];
/// conductor.send(vec![2, 3]).unwrap();
///
/// let new_bank = agent.next_command().unwrap(); // in the duty cycle
/// agent.retire(std::mem::replace(&mut bank, new_bank)).unwrap();
///
/// assert_eq!(conductor.next_retired(), Some(vec![1])); // dropped on the conductor's thread
/// ```
///
/// Bound: `capacity` is at least 1, else it panics.
/// Cost:  the memory of both rings is taken here.
pub fn channel<C, R>(capacity: usize) -> (ConductorEnd<C, R>, AgentEnd<C, R>) {
    assert!(capacity > 0, "a control channel holds at least one command");
    let (commands_in, commands_out) = RingBuffer::new(capacity);
    let (retired_in, retired_out) = RingBuffer::new(capacity);
    (
        ConductorEnd {
            commands: commands_in,
            retired: retired_out,
        },
        AgentEnd {
            commands: commands_out,
            retired: retired_in,
        },
    )
}

/// The conductor's end.
pub struct ConductorEnd<C, R> {
    commands: Producer<C>,
    retired: Consumer<R>,
}

impl<C, R> ConductorEnd<C, R> {
    /// Sends a command. Error: the ring is full, and the command comes back.
    pub fn send(&mut self, command: C) -> Result<(), C> {
        self.commands
            .push(command)
            .map_err(|PushError::Full(command)| command)
    }

    /// The next retired object, if there is one; dropping it is the caller's work.
    pub fn next_retired(&mut self) -> Option<R> {
        self.retired.pop().ok()
    }

    /// Whether the agent is gone. Retired objects may still wait.
    pub fn is_abandoned(&self) -> bool {
        self.commands.is_abandoned()
    }
}

/// The agent's end.
pub struct AgentEnd<C, R> {
    commands: Consumer<C>,
    retired: Producer<R>,
}

impl<C, R> AgentEnd<C, R> {
    /// The next command, if there is one and there is room to retire an object. Look once per duty cycle.
    ///
    /// Cost: one load when nothing waits.
    #[inline]
    pub fn next_command(&mut self) -> Option<C> {
        if self.commands.is_empty() || self.retired.is_full() {
            None
        } else {
            self.commands.pop().ok()
        }
    }

    /// Hands an object back to be dropped elsewhere. Error: no room, and the object comes back; after
    /// [`AgentEnd::next_command`] gave a command there is room for one.
    pub fn retire(&mut self, object: R) -> Result<(), R> {
        self.retired
            .push(object)
            .map_err(|PushError::Full(object)| object)
    }

    /// Whether the conductor is gone.
    pub fn is_abandoned(&self) -> bool {
        self.commands.is_abandoned()
    }
}

/// Says whether new events may be taken in. Clones are the same gate.
///
/// The first step of an orderly shutdown: close it, and what is inside the engine drains.
///
/// ```
/// use pinion_runtime::control::IngestGate;
///
/// let gate = IngestGate::new();
/// assert!(gate.is_open());
/// gate.clone().close();
/// assert!(!gate.is_open());
/// ```
#[derive(Clone, Default)]
pub struct IngestGate {
    closed: Arc<AtomicBool>,
}

impl IngestGate {
    /// An open gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Closes the gate; it does not open again.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether events may be polled. Cost: one load.
    #[inline]
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_ring_gives_the_command_back() {
        let (mut conductor, _agent) = channel::<u8, u8>(1);
        assert_eq!(conductor.send(1), Ok(()));
        assert_eq!(conductor.send(2), Err(2));
    }

    #[test]
    fn no_command_is_given_without_room_to_retire() {
        let (mut conductor, mut agent) = channel::<u8, u8>(1);
        conductor.send(1).unwrap();
        assert_eq!(agent.next_command(), Some(1));
        agent.retire(1).unwrap();
        conductor.send(2).unwrap();
        assert_eq!(agent.next_command(), None);
        assert_eq!(conductor.next_retired(), Some(1));
        assert_eq!(agent.next_command(), Some(2));
    }

    #[test]
    fn each_end_sees_that_the_other_is_gone() {
        let (conductor, agent) = channel::<u8, u8>(1);
        assert!(!conductor.is_abandoned());
        assert!(!agent.is_abandoned());
        drop(agent);
        assert!(conductor.is_abandoned());
        let (conductor, agent) = channel::<u8, u8>(1);
        drop(conductor);
        assert!(agent.is_abandoned());
    }
}
