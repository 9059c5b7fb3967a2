//! A driver in a thread of its own, and a driver that is a process of its own.
//!
//! Invariant: [`EmbeddedDriver::start`] returns when clients can connect, or with the reason why not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::config::BusConfig;
use crate::driver::media_driver::MediaDriver;
use crate::error::DriverError;

/// A media driver in a thread of this process. Dropping it stops the driver and removes its directory.
#[derive(Debug)]
pub struct EmbeddedDriver {
    aeron_dir: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), DriverError>>>,
}

impl EmbeddedDriver {
    /// Starts the driver that `config` describes; takes some 100 ms, most of it for files.
    ///
    /// # Errors
    /// If its folder cannot be used or is in use, or the driver does not start.
    pub fn start(config: &BusConfig) -> Result<Self, DriverError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (started, wait) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("media-driver".to_owned())
            .spawn({
                let config = config.clone();
                let stop = Arc::clone(&stop);
                move || drive(&config, &stop, |outcome| drop(started.send(outcome)))
            })
            .map_err(|error| DriverError::Start {
                dir: config.aeron_dir(),
                reason: error.to_string(),
            })?;
        match wait.recv() {
            Ok(Ok(())) => Ok(EmbeddedDriver {
                aeron_dir: config.aeron_dir(),
                stop,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let reason = "its thread ended while starting".to_owned();
                Err(DriverError::Start {
                    dir: config.aeron_dir(),
                    reason,
                })
            }
        }
    }

    /// The directory that clients connect to.
    #[must_use]
    pub fn aeron_dir(&self) -> &Path {
        &self.aeron_dir
    }

    /// Whether the driver's thread still turns.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the driver and waits for it.
    ///
    /// # Errors
    /// If the driver had failed before it was stopped.
    pub fn stop(mut self) -> Result<(), DriverError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), DriverError> {
        self.stop.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => {
                let reason = "its thread panicked".to_owned();
                Err(DriverError::Failed {
                    dir: self.aeron_dir.clone(),
                    reason,
                })
            }
        }
    }
}

impl Drop for EmbeddedDriver {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "media driver ended badly");
        }
    }
}

/// Runs the driver that `config` describes on this thread until `stop` is set, backing off when idle.
/// `started` is called once clients can connect.
///
/// # Errors
/// If the driver does not start, or fails.
pub fn run_standalone(
    config: &BusConfig,
    stop: &AtomicBool,
    started: impl FnOnce(&Path),
) -> Result<(), DriverError> {
    let aeron_dir = config.aeron_dir();
    let mut failure = None;
    let outcome = drive(config, stop, |start| match start {
        Ok(()) => started(&aeron_dir),
        Err(error) => failure = Some(error),
    });
    failure.map_or(outcome, Err)
}

/// Starts the driver, reports how that went, and turns it until `stop` is set.
fn drive(
    config: &BusConfig,
    stop: &AtomicBool,
    report: impl FnOnce(Result<(), DriverError>),
) -> Result<(), DriverError> {
    let driver = match MediaDriver::start(config) {
        Ok(driver) => driver,
        Err(error) => {
            report(Err(error));
            return Ok(());
        }
    };
    report(Ok(()));
    while !stop.load(Ordering::Acquire) {
        driver.idle(driver.do_work()?);
    }
    tracing::info!(dir = %driver.aeron_dir().display(), "media driver stops");
    Ok(())
}
