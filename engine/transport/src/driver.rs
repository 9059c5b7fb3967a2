//! The Aeron media driver: run in this process, watched wherever it runs.
//!
//! ```text
//!   own folder 0750, locked by one node
//!     └── aeron 0750 ◀── [EmbeddedDriver] a thread of its own that backs off
//!           └── cnc.dat   [DriverAgent]   or a duty cycle of the engine
//!                 │       [run_standalone] or a process of its own
//!            [DriverWatch] heartbeat, seen from every bus
//! ```
//!
//! The C driver makes its directory with all permissions less the umask, and the umask belongs to the whole
//! process. So the driver is put inside a folder that is ours and closed to other users before it starts, and
//! its own directory is closed as soon as it is there; both are checked. Files inside take the umask as it is:
//! publishers that run as another user of the same group need the driver under umask 007.
//!
//! Invariant: no two drivers of ours run in one directory: its folder is locked for as long as the driver lives,
//! and the kernel drops the lock however the process ends.

pub mod agent;
mod directory;
mod embedded;
mod media_driver;
pub mod watch;

pub use agent::DriverAgent;
pub(crate) use directory::user_id;
pub use embedded::{EmbeddedDriver, run_standalone};
pub use watch::DriverWatch;
