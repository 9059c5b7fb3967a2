//! The media driver as an agent: it gets its turns in a duty cycle of the engine.
//!
//! Best over UDP on two cores, where a driver thread beside two busy ones melts down, and in tests, where it
//! makes the driver's turns part of the test.
//!
//! Invariant: a driver that fails is not turned again; its heartbeat stops and every bus sees it go.

use pinion_runtime::agent::{Agent, StartError};

use crate::config::BusConfig;
use crate::driver::media_driver::MediaDriver;
use crate::error::DriverError;

/// Turns an embedded driver. Build it on the thread that will turn it.
pub struct DriverAgent {
    config: BusConfig,
    driver: Option<MediaDriver>,
    failure: Option<DriverError>,
}

impl DriverAgent {
    /// Takes the settings; the driver starts in `on_start`.
    #[must_use]
    pub fn new(config: &BusConfig) -> Self {
        DriverAgent {
            config: config.clone(),
            driver: None,
            failure: None,
        }
    }

    /// Why the driver stopped by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&DriverError> {
        self.failure.as_ref()
    }
}

impl Agent for DriverAgent {
    fn name(&self) -> &str {
        "media-driver"
    }

    fn on_start(&mut self) -> Result<(), StartError> {
        self.driver = Some(MediaDriver::start(&self.config)?);
        Ok(())
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        let Some(driver) = &self.driver else { return 0 };
        match driver.do_work() {
            Ok(work_count) => work_count,
            Err(error) => {
                tracing::error!(%error, "media driver given up");
                self.failure = Some(error);
                self.driver = None;
                0
            }
        }
    }

    fn on_close(&mut self) {
        self.driver = None;
    }
}
