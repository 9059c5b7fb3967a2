//! How each agent gets its own connection to the bus, on its own thread.
//!
//! Invariant: the only place that knows which kinds of bus there are.

use pinion_runtime::agent::StartError;
use pinion_transport::aeron_rs::AeronRsBus;
use pinion_transport::in_process::InProcessBus;
use pinion_transport::rusteron::RusteronBus;
use pinion_transport::{Bus, BusConfig};

/// Makes connections; each agent that needs one calls it on its own thread.
pub trait Connect: Clone + Send + 'static {
    /// The connection.
    type Bus: Bus + 'static;

    /// Opens one.
    ///
    /// # Errors
    /// Why it could not be opened.
    fn connect(&self) -> Result<Self::Bus, StartError>;
}

/// Connects to Aeron with its own C client.
#[derive(Clone)]
pub struct AeronC(pub BusConfig);

/// Connects to Aeron with the Rust client `aeron-rs`.
#[derive(Clone)]
pub struct AeronRs(pub BusConfig);

/// Connects within this process: replays, tests, the lab.
#[derive(Clone)]
pub struct InProcess(pub InProcessBus);

impl Connect for AeronC {
    type Bus = RusteronBus;

    fn connect(&self) -> Result<Self::Bus, StartError> {
        Ok(RusteronBus::new(&self.0))
    }
}

impl Connect for AeronRs {
    type Bus = AeronRsBus;

    fn connect(&self) -> Result<Self::Bus, StartError> {
        Ok(AeronRsBus::new(&self.0))
    }
}

impl Connect for InProcess {
    type Bus = InProcessBus;

    fn connect(&self) -> Result<Self::Bus, StartError> {
        Ok(self.0.clone())
    }
}
