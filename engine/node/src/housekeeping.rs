//! Threads that work beside the engine and never on a core that spins.
//!
//! Invariant: what such a thread starts in its turn is on its core and as nice as it is.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};

use core_affinity::CoreId;
use pinion_runtime::cores::Plan;
use pinion_runtime::runner::spawn_helper;

/// Where such threads run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Housekeeping {
    /// Their core; none: wherever the process may run.
    pub core: Option<usize>,
}

impl Housekeeping {
    /// The core that a plan gives to the control plane, or one that no thread spins on.
    pub fn of(plan: &Plan) -> Self {
        Self {
            core: plan.control_core.or(plan.quiet_cores.first().copied()),
        }
    }

    /// Starts a thread that gives way to others by `niceness`, 0 to 19. Neither core nor niceness is needed for its
    /// work to be right: what the system refuses is told.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn spawn<R: Send + 'static>(
        self,
        name: &'static str,
        niceness: i32,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<JoinHandle<R>> {
        spawn_helper(name, move || {
            self.enter();
            if let Err(error) = rustix::process::nice(niceness) {
                tracing::warn!("{name}: could not be made nice: {error}");
            }
            work()
        })
    }

    /// Runs `work` on such a thread and waits for it; the threads that it starts are on that core, too.
    pub(crate) fn run<R: Send>(self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let placed = scope.spawn(|| {
                self.enter();
                work()
            });
            placed.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Moves the calling thread to the core.
    fn enter(self) {
        if let Some(id) = self.core
            && !core_affinity::set_for_current(CoreId { id })
        {
            let thread = thread::current();
            tracing::warn!(
                "{}: could not be moved to core {id}",
                thread.name().unwrap_or("a thread")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_is_on_its_core_and_as_nice_as_was_asked() {
        let core = core_affinity::get_core_ids().and_then(|cores| cores.first().map(|core| core.id));
        let seen = || {
            let cores = core_affinity::get_core_ids().unwrap_or_default();
            let cores: Vec<usize> = cores.into_iter().map(|core| core.id).collect();
            (cores, rustix::process::nice(0).unwrap())
        };
        let before = rustix::process::nice(0).unwrap();
        let (cores, niceness) = Housekeeping { core }
            .spawn("tidy", 3, seen)
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(cores, core.into_iter().collect::<Vec<_>>());
        assert_eq!(niceness, (before + 3).min(19));
        assert_eq!(
            rustix::process::nice(0).unwrap(),
            before,
            "this thread stays as it was"
        );
    }
}
