//! Section `[cores]`: which agent runs on which core.

use pinion_runtime::cores::{Group, Layout, Placement, Role};
use serde::{Deserialize, Serialize};

/// Who says where agents run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayoutKind {
    /// The number of cores.
    Auto,
    /// `cores.threads`.
    Threads,
}

/// One thread of a layout made by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadConfig {
    /// Name of the thread.
    pub name: String,
    /// Its roles: ingest, book, market-strategy, features, score, payment-strategy, publish, journal, driver,
    /// control.
    pub roles: Vec<String>,
    /// The core it is pinned to; -1 leaves that to the system.
    #[serde(default = "no_core")]
    pub core: i32,
    /// What it does when idle: "busy-spin", "yield", "back-off" or "sleep".
    #[serde(default = "back_off")]
    pub idle: String,
    /// Priority in the real-time class SCHED_FIFO, 1 to 99; 0 is the ordinary class.
    #[serde(default)]
    pub realtime_priority: u8,
}

fn no_core() -> i32 {
    -1
}

fn back_off() -> String {
    "back-off".to_owned()
}

/// Which agent runs on which core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoresConfig {
    /// "auto" maps the agents to the cores there are: 1 all in one thread, 2 the whole hot path on one pinned
    /// core and the rest on the other, more on 4, 8 and up. "threads" takes `threads`. Default: "auto".
    pub layout: LayoutKind,
    /// Cores that "auto" uses at most; 0 uses all that the process may use. Default: 0.
    pub cores_max: u32,
    /// Real-time priority (SCHED_FIFO) of the spinning threads of "auto", 1 to 99; 0 is the ordinary class.
    /// Needs the permission, which is checked at start. Default: 0.
    pub realtime_priority: u8,
    /// Lets two busy-spinning threads share a core: for trying things out, never for a figure. Default: false.
    pub allow_shared_spin: bool,
    /// The threads of layout "threads": { name, roles, core, idle, realtime_priority } each. Every role has
    /// one place; driver and control may have none. Default: none.
    pub threads: Vec<ThreadConfig>,
}

impl Default for CoresConfig {
    fn default() -> Self {
        Self {
            layout: LayoutKind::Auto,
            cores_max: 0,
            realtime_priority: 0,
            allow_shared_spin: false,
            threads: Vec::new(),
        }
    }
}

impl CoresConfig {
    /// Refuses what cannot be a layout on any machine; the message begins with the key.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        if self.realtime_priority > 99 {
            return Err(format!(
                "cores.realtime_priority is {}, expected 0 to 99",
                self.realtime_priority
            ));
        }
        if self.layout == LayoutKind::Threads && self.threads.is_empty() {
            return Err("cores.threads is empty, expected threads for layout \"threads\"".to_owned());
        }
        self.layout().map(drop)
    }

    /// The layout as the planner takes it.
    ///
    /// # Errors
    /// A role or an idle strategy that does not exist.
    pub fn layout(&self) -> Result<Layout, String> {
        let placement = match self.layout {
            LayoutKind::Auto => Placement::Auto,
            LayoutKind::Threads => {
                Placement::Table(self.threads.iter().map(group).collect::<Result<Vec<_>, _>>()?)
            }
        };
        Ok(Layout {
            placement,
            realtime_priority: priority(self.realtime_priority),
            allow_shared_spin: self.allow_shared_spin,
        })
    }

    /// The cores to plan for: those available, cut to `cores_max`.
    pub fn cores(&self) -> Vec<usize> {
        let mut cores = pinion_runtime::cores::available();
        if self.cores_max > 0 {
            cores.truncate(self.cores_max as usize);
        }
        cores
    }
}

fn group(thread: &ThreadConfig) -> Result<Group, String> {
    let named = |error: &dyn std::fmt::Display| format!("cores.threads: thread \"{}\": {error}", thread.name);
    let roles = thread
        .roles
        .iter()
        .map(|role| role.parse::<Role>().map_err(|error| named(&error)));
    Ok(Group {
        name: thread.name.clone(),
        roles: roles.collect::<Result<_, _>>()?,
        core: usize::try_from(thread.core).ok(),
        idle: thread.idle.parse().map_err(|error| named(&error))?,
        realtime_priority: priority(thread.realtime_priority),
    })
}

fn priority(configured: u8) -> Option<u8> {
    (configured > 0).then_some(configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(role: &str, idle: &str) -> CoresConfig {
        let thread = ThreadConfig {
            name: "hot".to_owned(),
            roles: vec![role.to_owned()],
            core: 1,
            idle: idle.to_owned(),
            realtime_priority: 0,
        };
        CoresConfig {
            layout: LayoutKind::Threads,
            threads: vec![thread],
            ..CoresConfig::default()
        }
    }

    #[track_caller]
    fn check_refused(config: &CoresConfig, expected: &str) {
        let error = config.validate().unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn wrong_threads_are_refused_by_name() {
        thread("ingest", "busy-spin").validate().unwrap();
        check_refused(
            &thread("ingets", "yield"),
            "cores.threads: thread \"hot\": role is \"ingets\"",
        );
        check_refused(&thread("ingest", "lazy"), "cores.threads: thread \"hot\": ");
        let empty = CoresConfig {
            layout: LayoutKind::Threads,
            ..CoresConfig::default()
        };
        check_refused(&empty, "cores.threads is empty");
        let high = CoresConfig {
            realtime_priority: 100,
            ..CoresConfig::default()
        };
        check_refused(&high, "cores.realtime_priority is 100");
    }
}
