//! Which agents share a thread, and which core it gets.
//!
//! ```text
//!   cores   housekeeping (never spins)          hot path (each thread alone on its core, spinning)
//!   1       everything, backing off             -
//!   2       driver, journal, control            [everything else]
//!   3       driver, journal, control            [ingest book market-strategy publish] [features score payment-strategy]
//!   4       driver, journal, control            [ingest publish] [book market-strategy] [features score payment-strategy]
//!   5       driver, control   journal           as on 4
//!   6, 7    driver, control   journal           [ingest] [book market-strategy] [features score payment-strategy] [publish]
//!   8, 9    driver, control   journal           … [features] [score] [payment-strategy] …
//!   10 …    control  driver   journal           one each
//! ```
//!
//! Two threads that spin on one core get turns of milliseconds, and with a spinning thread on every core the
//! system's own work has nowhere to go, which costs milliseconds too. So the first core never spins, and a plan
//! with two spinning threads on one core is refused unless [`Layout::allow_shared_spin`] is set.
//!
//! Invariant: in a plan every role has exactly one place, and without that permission a core has at most one
//! spinning thread.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::idle::IdleStrategy;
use crate::runner;

/// What a thread can be asked to do. The order is that of the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes events in.
    Ingest,
    /// Keeps the order books.
    Book,
    /// Decides on market events.
    MarketStrategy,
    /// Keeps the feature store.
    Features,
    /// Scores payments.
    Score,
    /// Decides on payments.
    PaymentStrategy,
    /// Sends decisions out.
    Publish,
    /// Writes the journal.
    Journal,
    /// Drives the bus.
    Driver,
    /// The control plane, which is no agent and is not pinned harder than to its core.
    Control,
}

impl Role {
    /// Every role, in the order of the data path.
    pub const ALL: [Self; 10] = [
        Self::Ingest,
        Self::Book,
        Self::MarketStrategy,
        Self::Features,
        Self::Score,
        Self::PaymentStrategy,
        Self::Publish,
        Self::Journal,
        Self::Driver,
        Self::Control,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Book => "book",
            Self::MarketStrategy => "market-strategy",
            Self::Features => "features",
            Self::Score => "score",
            Self::PaymentStrategy => "payment-strategy",
            Self::Publish => "publish",
            Self::Journal => "journal",
            Self::Driver => "driver",
            Self::Control => "control",
        }
    }

    /// Whether an event waits for this role on its way to a decision.
    pub const fn is_hot(self) -> bool {
        !matches!(self, Self::Journal | Self::Driver | Self::Control)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = CoresError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| CoresError::Role {
            found: text.to_owned(),
        })
    }
}

/// Roles that share one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name of the thread.
    pub name: String,
    /// Its roles, in the order of the data path.
    pub roles: Vec<Role>,
    /// Its core; `None` leaves that to the system.
    pub core: Option<usize>,
    /// What it does when there is nothing to do.
    pub idle: IdleStrategy,
    /// Priority in the real-time class, or `None` for the ordinary class.
    pub realtime_priority: Option<u8>,
}

/// What the configuration says of cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// By the number of cores, or by hand.
    pub placement: Placement,
    /// Real-time priority of the spinning threads that [`Placement::Auto`] makes; `None` for the ordinary class.
    pub realtime_priority: Option<u8>,
    /// Lets two spinning threads share a core: for trying things out, never for a figure.
    pub allow_shared_spin: bool,
}

/// By the number of cores, or by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The table at the head of this module.
    #[default]
    Auto,
    /// These threads. Every role has one place; driver and control may have none (an external driver; the
    /// control plane on whatever core is free).
    Table(Vec<Group>),
}

/// Where everything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The agents' threads, in the order of the data path.
    pub groups: Vec<Group>,
    /// The core of the control plane; `None` leaves that to the system.
    pub control_core: Option<usize>,
    /// Cores without a spinning thread. Empty: the system's own work has nowhere to go, and tails of
    /// milliseconds are to be expected from spinning threads in the ordinary class.
    pub quiet_cores: Vec<usize>,
}

impl Plan {
    /// The group that has `role`, if one has.
    pub fn group_of(&self, role: Role) -> Option<&Group> {
        self.groups.iter().find(|group| group.roles.contains(&role))
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoresError {
    /// The text names no role.
    #[error(
        "role is {found:?}, expected one of ingest, book, market-strategy, features, score, payment-strategy, publish, journal, driver, control"
    )]
    Role {
        /// The text.
        found: String,
    },
    /// The process may use no core.
    #[error("no core is available, expected at least 1")]
    NoCores,
    /// A thread has nothing to do.
    #[error("cores.layout: thread {group:?} has no role, expected at least 1")]
    NoRole {
        /// The thread.
        group: String,
    },
    /// A role has two places.
    #[error("cores.layout: role {role} is on thread {first:?} and on thread {second:?}, expected one")]
    RoleTwice {
        /// The role.
        role: Role,
        /// The one thread.
        first: String,
        /// The other.
        second: String,
    },
    /// A role has no place.
    #[error("cores.layout: role {role} is on no thread, expected one")]
    RoleMissing {
        /// The role.
        role: Role,
    },
    /// The control plane shares a thread with an agent.
    #[error("cores.layout: thread {group:?} has the role control and others, expected control alone")]
    ControlShared {
        /// The thread.
        group: String,
    },
    /// The process may not use the core.
    #[error("cores.layout: thread {group:?} is on core {core}, expected one of {available:?}")]
    CoreNotAvailable {
        /// The thread.
        group: String,
        /// The core.
        core: usize,
        /// The cores that the process may use.
        available: Vec<usize>,
    },
    /// Two spinning threads are on one core.
    #[error(
        "cores.layout: threads {first:?} and {second:?} both busy-spin on core {core}, expected one \
         (cores.allow_shared_spin permits it)"
    )]
    SharedSpin {
        /// The one thread.
        first: String,
        /// The other.
        second: String,
        /// The core.
        core: usize,
    },
    /// A spinning thread may land on any core.
    #[error(
        "cores.layout: thread {group:?} busy-spins on no core of its own, expected a core \
         (cores.allow_shared_spin permits it)"
    )]
    FloatingSpin {
        /// The thread.
        group: String,
    },
    /// The priority does not exist.
    #[error("cores.layout: thread {group:?} has real-time priority {priority}, expected 1 to 99")]
    Priority {
        /// The thread.
        group: String,
        /// The priority.
        priority: u8,
    },
}

/// The cores that this process may use, lowest first. Call it on a thread that is not pinned.
pub fn available() -> Vec<usize> {
    let mut cores = runner::open_cores();
    cores.sort_unstable();
    cores
}

/// Plans `layout` on `cores_available`. The first of them does the housekeeping when there are several.
///
/// Error: names the thread and role that cannot be placed.
pub fn plan(layout: &Layout, cores_available: &[usize]) -> Result<Plan, CoresError> {
    let cores = without_repeats(cores_available);
    if cores.is_empty() {
        return Err(CoresError::NoCores);
    }
    let groups = match &layout.placement {
        Placement::Auto => auto(&cores, layout.realtime_priority),
        Placement::Table(groups) => groups.clone(),
    };
    check_roles(&groups)?;
    check_places(&groups, &cores)?;
    if !layout.allow_shared_spin {
        check_spin(&groups)?;
    }
    Ok(assemble(groups, &cores))
}

/// Splits the control plane off, which is no agent's thread, and puts the others in order.
fn assemble(groups: Vec<Group>, cores: &[usize]) -> Plan {
    let is_quiet = |core: &usize| !groups.iter().any(|group| is_spinning_on(group, *core));
    let quiet_cores: Vec<usize> = cores.iter().copied().filter(is_quiet).collect();
    let (control, mut groups): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|group| group.roles == [Role::Control]);
    groups.iter_mut().for_each(|group| group.roles.sort_unstable());
    groups.sort_by_key(|group| group.roles[0]);
    let named_core = control.first().map(|group| group.core);
    Plan {
        groups,
        control_core: named_core.unwrap_or(quiet_cores.first().copied()),
        quiet_cores,
    }
}

fn is_spinning_on(group: &Group, core: usize) -> bool {
    group.core == Some(core) && group.idle.is_spinning()
}

fn without_repeats(cores: &[usize]) -> Vec<usize> {
    let mut kept = Vec::with_capacity(cores.len());
    for &core in cores {
        if !kept.contains(&core) {
            kept.push(core);
        }
    }
    kept
}

/// The table at the head of this module.
fn auto(cores: &[usize], realtime_priority: Option<u8>) -> Vec<Group> {
    let house = cores[0];
    let quiet = |name: &str, roles: &[Role], core, idle| Group {
        name: name.to_owned(),
        roles: roles.to_vec(),
        core: Some(core),
        idle,
        realtime_priority: None,
    };
    let control = quiet("control", &[Role::Control], house, IdleStrategy::SLEEP);
    let [_, rest @ ..] = cores else {
        unreachable!("a plan is made for at least one core")
    };
    if rest.is_empty() {
        let agents: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|&role| role != Role::Control)
            .collect();
        return vec![quiet("engine", &agents, house, ALONE), control];
    }
    let spinning = |roles: &[Role], core| Group {
        idle: IdleStrategy::BusySpin,
        realtime_priority,
        ..quiet(&thread_name(roles), roles, core, IdleStrategy::BusySpin)
    };
    let mut free = rest.iter().copied();
    let mut groups = vec![control];
    let hot = hot_groups(cores.len());
    groups.extend(
        hot.iter()
            .zip(&mut free)
            .map(|(roles, core)| spinning(roles, core)),
    );
    groups.push(match free.next() {
        Some(core) => spinning(&[Role::Journal], core),
        None => quiet("journal", &[Role::Journal], house, IdleStrategy::Yield),
    });
    groups.push(match free.next() {
        Some(core) if cores.len() >= ONE_EACH => spinning(&[Role::Driver], core),
        _ => quiet("driver", &[Role::Driver], house, IdleStrategy::BACK_OFF),
    });
    groups
}

/// How everything on the only core idles: it lets others run at once and sleeps for 50 µs at most.
const ALONE: IdleStrategy = IdleStrategy::BackOff {
    spins: 0,
    yields: 100,
    park_ns_min: 1_000,
    park_ns_max: 50_000,
};

/// Cores from which on every role has its own.
const ONE_EACH: usize = 10;

/// How the hot path is cut for a number of cores; at least the first core and this many are there.
fn hot_groups(core_count: usize) -> &'static [&'static [Role]] {
    use Role::{Book, Features, Ingest, MarketStrategy, PaymentStrategy, Publish, Score};
    match core_count {
        0..=2 => &[&[
            Ingest,
            Book,
            MarketStrategy,
            Features,
            Score,
            PaymentStrategy,
            Publish,
        ]],
        3 => &[
            &[Ingest, Book, MarketStrategy, Publish],
            &[Features, Score, PaymentStrategy],
        ],
        4..=5 => &[
            &[Ingest, Publish],
            &[Book, MarketStrategy],
            &[Features, Score, PaymentStrategy],
        ],
        6..=7 => &[
            &[Ingest],
            &[Book, MarketStrategy],
            &[Features, Score, PaymentStrategy],
            &[Publish],
        ],
        8..=9 => &[
            &[Ingest],
            &[Book, MarketStrategy],
            &[Features],
            &[Score],
            &[PaymentStrategy],
            &[Publish],
        ],
        _ => &[
            &[Ingest],
            &[Book],
            &[MarketStrategy],
            &[Features],
            &[Score],
            &[PaymentStrategy],
            &[Publish],
        ],
    }
}

/// A thread is called after its only role, or after its first with a plus for the others.
fn thread_name(roles: &[Role]) -> String {
    match roles {
        [role] => role.name().to_owned(),
        roles if roles.len() + 3 == Role::ALL.len() => "hot-path".to_owned(),
        roles => format!("{}+{}", roles[0], roles.len() - 1),
    }
}

fn check_roles(groups: &[Group]) -> Result<(), CoresError> {
    for group in groups {
        if group.roles.is_empty() {
            return Err(CoresError::NoRole {
                group: group.name.clone(),
            });
        }
        if group.roles.contains(&Role::Control) && group.roles.len() > 1 {
            return Err(CoresError::ControlShared {
                group: group.name.clone(),
            });
        }
    }
    Role::ALL
        .into_iter()
        .try_for_each(|role| check_role(groups, role))
}

/// One place for `role`, or none where that is allowed.
fn check_role(groups: &[Group], role: Role) -> Result<(), CoresError> {
    let mut places = groups.iter().flat_map(|group| {
        group
            .roles
            .iter()
            .filter(move |&&placed| placed == role)
            .map(move |_| group.name.clone())
    });
    match (places.next(), places.next()) {
        (Some(first), Some(second)) => Err(CoresError::RoleTwice { role, first, second }),
        (None, _) if !matches!(role, Role::Driver | Role::Control) => Err(CoresError::RoleMissing { role }),
        _ => Ok(()),
    }
}

fn check_places(groups: &[Group], cores: &[usize]) -> Result<(), CoresError> {
    for group in groups {
        let name = || group.name.clone();
        if let Some(core) = group.core.filter(|core| !cores.contains(core)) {
            return Err(CoresError::CoreNotAvailable {
                group: name(),
                core,
                available: cores.to_vec(),
            });
        }
        if let Some(priority) = group
            .realtime_priority
            .filter(|priority| !(1..=99).contains(priority))
        {
            return Err(CoresError::Priority {
                group: name(),
                priority,
            });
        }
    }
    Ok(())
}

/// Every spinning thread has a core, and no other spinning thread on it.
fn check_spin(groups: &[Group]) -> Result<(), CoresError> {
    let spinning: Vec<&Group> = groups.iter().filter(|group| group.idle.is_spinning()).collect();
    for (place, group) in spinning.iter().enumerate() {
        let Some(core) = group.core else {
            return Err(CoresError::FloatingSpin {
                group: group.name.clone(),
            });
        };
        if let Some(other) = spinning[..place].iter().find(|other| other.core == Some(core)) {
            let (first, second) = (other.name.clone(), group.name.clone());
            return Err(CoresError::SharedSpin { first, second, core });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn plan_auto(core_count: usize) -> Plan {
        let cores: Vec<usize> = (0..core_count).collect();
        plan(&Layout::default(), &cores).unwrap()
    }

    /// `thread@core` of each thread, and an exclamation mark if it spins.
    fn picture(plan: &Plan) -> String {
        let thread = |group: &Group| {
            let core = group.core.map_or("-".to_owned(), |core| core.to_string());
            format!(
                "{}@{core}{}",
                group.name,
                if group.idle.is_spinning() { "!" } else { "" }
            )
        };
        plan.groups.iter().map(thread).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check_auto(core_count: usize, expected: &str) {
        let plan = plan_auto(core_count);
        assert_eq!(picture(&plan), expected, "{core_count} cores");
        assert_eq!(plan.control_core, Some(0));
        assert_eq!(plan.quiet_cores[0], 0);
    }

    #[test]
    fn auto_follows_its_table() {
        check_auto(1, "engine@0");
        check_auto(2, "hot-path@1! journal@0 driver@0");
        check_auto(3, "ingest+3@1! features+2@2! journal@0 driver@0");
        check_auto(4, "ingest+1@1! book+1@2! features+2@3! journal@0 driver@0");
        check_auto(5, "ingest+1@1! book+1@2! features+2@3! journal@4! driver@0");
        check_auto(
            6,
            "ingest@1! book+1@2! features+2@3! publish@4! journal@5! driver@0",
        );
        check_auto(
            8,
            "ingest@1! book+1@2! features@3! score@4! payment-strategy@5! publish@6! journal@7! driver@0",
        );
        let one_each = "ingest@1! book@2! market-strategy@3! features@4! score@5! payment-strategy@6! \
                        publish@7! journal@8! driver@9!";
        check_auto(10, one_each);
        check_auto(16, one_each);
    }

    #[test]
    fn auto_takes_the_cores_it_is_given_and_keeps_the_first_quiet() {
        let plan = plan(&Layout::default(), &[7, 3, 7]).unwrap();
        assert_eq!(picture(&plan), "hot-path@3! journal@7 driver@7");
        assert_eq!(plan.quiet_cores, [7]);
    }

    #[test]
    fn realtime_priority_goes_to_spinning_threads_alone() {
        let layout = Layout {
            realtime_priority: Some(50),
            ..Layout::default()
        };
        for group in plan(&layout, &[0, 1, 2, 3]).unwrap().groups {
            assert_eq!(
                group.realtime_priority.is_some(),
                group.idle.is_spinning(),
                "{}",
                group.name
            );
        }
    }

    fn group(name: &str, roles: &[Role], core: Option<usize>) -> Group {
        let idle = IdleStrategy::BusySpin;
        Group {
            name: name.to_owned(),
            roles: roles.to_vec(),
            core,
            idle,
            realtime_priority: None,
        }
    }

    fn table(groups: &[Group]) -> Layout {
        Layout {
            placement: Placement::Table(groups.to_vec()),
            ..Layout::default()
        }
    }

    #[track_caller]
    fn check_refused(groups: &[Group], message: &str) {
        assert_eq!(plan(&table(groups), &[0, 1]).unwrap_err().to_string(), message);
    }

    const FEED: &[Role] = &[Role::Ingest, Role::Publish, Role::Journal];
    const LANES: &[Role] = &[
        Role::PaymentStrategy,
        Role::Book,
        Role::MarketStrategy,
        Role::Features,
        Role::Score,
    ];

    #[test]
    fn table_is_taken_as_it_is() {
        let plan = plan(
            &table(&[group("lanes", LANES, Some(0)), group("feed", FEED, Some(1))]),
            &[0, 1],
        )
        .unwrap();
        assert_eq!(picture(&plan), "feed@1! lanes@0!");
        assert_eq!(plan.group_of(Role::Score).unwrap().name, "lanes");
        assert_eq!(plan.group_of(Role::Driver), None);
        assert!(plan.quiet_cores.is_empty());
        assert_eq!(plan.control_core, None);
    }

    #[test]
    fn table_that_cannot_be_is_refused_with_its_thread_and_role() {
        let (feed, lanes) = (group("feed", FEED, Some(0)), group("lanes", LANES, Some(1)));
        check_refused(
            &[feed.clone(), group("lanes", LANES, Some(0))],
            "cores.layout: threads \"feed\" and \"lanes\" both busy-spin on core 0, expected one \
             (cores.allow_shared_spin permits it)",
        );
        check_refused(
            &[feed.clone(), group("lanes", LANES, None)],
            "cores.layout: thread \"lanes\" busy-spins on no core of its own, expected a core \
             (cores.allow_shared_spin permits it)",
        );
        check_refused(
            &[feed.clone(), group("lanes", LANES, Some(2))],
            "cores.layout: thread \"lanes\" is on core 2, expected one of [0, 1]",
        );
        check_refused(
            &[feed.clone(), lanes.clone(), group("third", &[Role::Book], None)],
            "cores.layout: role book is on thread \"lanes\" and on thread \"third\", expected one",
        );
        check_refused(
            &[feed.clone(), group("lanes", &LANES[1..], Some(1))],
            "cores.layout: role payment-strategy is on no thread, expected one",
        );
        check_refused(
            &[feed.clone(), lanes.clone(), group("empty", &[], None)],
            "cores.layout: thread \"empty\" has no role, expected at least 1",
        );
        check_refused(
            &[
                feed.clone(),
                lanes.clone(),
                group("mixed", &[Role::Control, Role::Driver], None),
            ],
            "cores.layout: thread \"mixed\" has the role control and others, expected control alone",
        );
        check_refused(
            &[
                feed,
                Group {
                    realtime_priority: Some(100),
                    ..lanes
                },
            ],
            "cores.layout: thread \"lanes\" has real-time priority 100, expected 1 to 99",
        );
    }

    #[test]
    fn shared_spin_is_had_by_name() {
        let groups = [group("feed", FEED, Some(0)), group("lanes", LANES, Some(0))];
        let layout = Layout {
            allow_shared_spin: true,
            ..table(&groups)
        };
        assert_eq!(picture(&plan(&layout, &[0]).unwrap()), "feed@0! lanes@0!");
    }

    #[test]
    fn no_core_is_no_plan() {
        assert_eq!(plan(&Layout::default(), &[]), Err(CoresError::NoCores));
    }

    #[test]
    fn every_role_reads_back_from_its_name() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!(
            "clerk"
                .parse::<Role>()
                .unwrap_err()
                .to_string()
                .ends_with("driver, control")
        );
    }

    /// What the module promises of any plan that is given.
    fn assert_sound(plan: &Plan, cores: &[usize]) {
        for role in Role::ALL {
            let places = plan
                .groups
                .iter()
                .filter(|group| group.roles.contains(&role))
                .count();
            assert!(places <= 1, "{role} has {places} places");
            assert!(places == 1 || !role.is_hot(), "{role} has no place");
        }
        for core in cores {
            let spinning = plan
                .groups
                .iter()
                .filter(|group| is_spinning_on(group, *core))
                .count();
            assert!(spinning <= 1, "{spinning} threads spin on core {core}");
            assert_eq!(plan.quiet_cores.contains(core), spinning == 0);
        }
        for group in &plan.groups {
            assert!(group.core.is_none_or(|core| cores.contains(&core)));
            assert!(
                group.roles.is_sorted(),
                "{} is out of the order of the data path",
                group.name
            );
        }
    }

    fn any_idle() -> impl Strategy<Value = IdleStrategy> {
        prop::sample::select(vec![
            IdleStrategy::BusySpin,
            IdleStrategy::Yield,
            IdleStrategy::BACK_OFF,
        ])
    }

    fn any_group() -> impl Strategy<Value = Group> {
        (
            vec(prop::sample::select(Role::ALL.to_vec()), 0..6),
            prop::option::of(0_usize..6),
            any_idle(),
        )
            .prop_map(|(roles, core, idle)| Group {
                idle,
                ..group("any", &roles, core)
            })
    }

    /// Every role on one of up to six threads, so that most tables are whole.
    fn whole_table() -> impl Strategy<Value = Vec<Group>> {
        let threads = vec((prop::option::of(0_usize..6), any_idle()), 1..6);
        (threads, vec(any::<prop::sample::Index>(), Role::ALL.len() - 1)).prop_map(|(threads, places)| {
            let mut groups: Vec<Group> = threads
                .iter()
                .map(|&(core, idle)| Group {
                    idle,
                    ..group("some", &[], core)
                })
                .collect();
            for (role, place) in Role::ALL.into_iter().zip(places) {
                let place = place.index(groups.len());
                groups[place].roles.push(role);
            }
            groups.retain(|group| !group.roles.is_empty());
            groups
        })
    }

    proptest! {
        #[test]
        fn prop_auto_is_sound_on_any_cores(cores in vec(0_usize..1_024, 1..40)) {
            let plan = plan(&Layout::default(), &cores).unwrap();
            let cores = without_repeats(&cores);
            assert_sound(&plan, &cores);
            prop_assert!(plan.quiet_cores.contains(&cores[0]));
            prop_assert!(plan.group_of(Role::Driver).is_some());
        }

        #[test]
        fn prop_table_is_refused_or_sound(
            groups in prop_oneof![vec(any_group(), 0..6).boxed(), whole_table().boxed()],
            core_count in 1_usize..6,
        ) {
            let cores: Vec<usize> = (0..core_count).collect();
            if let Ok(plan) = plan(&table(&groups), &cores) {
                assert_sound(&plan, &cores);
            }
        }
    }
}
