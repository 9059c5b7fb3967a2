//! The C driver with our settings, turned by hand: one call, one duty cycle.
//!
//! Invariant: the driver is closed, and its directory removed, before the folder's lock is given up.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rusteron_media_driver::{
    AeronDriver, AeronDriverContext, AeronIdleStrategyKind, bindings::aeron_threading_mode_enum,
};

use crate::config::{BusConfig, DriverThreading};
use crate::driver::directory::OwnDir;
use crate::error::DriverError;

/// How often the driver moves its heartbeat and looks at its clients' timeouts.
const TIMER_INTERVAL_NS_MAX: u64 = 1_000_000_000;
/// Aeron's own default for giving up a claim that was never finished.
const UNBLOCK_TIMEOUT_NS_MIN: u64 = 15_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// A started driver. Fields drop in order: driver, context, folder.
pub(crate) struct MediaDriver {
    driver: AeronDriver,
    _context: AeronDriverContext,
    aeron_dir: PathBuf,
    _own_dir: OwnDir,
}

impl MediaDriver {
    /// Makes the folder, starts the driver in it, closes its directory to other users.
    pub(crate) fn start(config: &BusConfig) -> Result<Self, DriverError> {
        let own_dir = OwnDir::open(&config.own_dir())?;
        let aeron_dir = own_dir.aeron_dir();
        let (context, driver) = launch(config, &aeron_dir).map_err(|reason| DriverError::Start {
            dir: aeron_dir.clone(),
            reason,
        })?;
        own_dir.close_aeron_dir()?;
        tracing::info!(dir = %aeron_dir.display(), "media driver started");
        Ok(MediaDriver {
            driver,
            _context: context,
            aeron_dir,
            _own_dir: own_dir,
        })
    }

    /// One duty cycle of conductor, sender and receiver. Returns how much was done.
    pub(crate) fn do_work(&self) -> Result<usize, DriverError> {
        match self.driver.main_do_work() {
            Ok(work_count) => Ok(usize::try_from(work_count).unwrap_or(0)),
            Err(error) => Err(DriverError::Failed {
                dir: self.aeron_dir.clone(),
                reason: error.get_last_err_message().to_owned(),
            }),
        }
    }

    /// Spins, yields or sleeps as the back-off asks, after a cycle that did `work_count`.
    pub(crate) fn idle(&self, work_count: usize) {
        self.driver
            .main_idle_strategy(i32::try_from(work_count).unwrap_or(i32::MAX));
    }

    pub(crate) fn aeron_dir(&self) -> &Path {
        &self.aeron_dir
    }
}

fn launch(config: &BusConfig, aeron_dir: &Path) -> Result<(AeronDriverContext, AeronDriver), String> {
    let dir = aeron_dir.to_str().ok_or("its path is not UTF-8")?;
    let dir = CString::new(dir).map_err(|_| "its path holds a zero byte")?;
    let context = AeronDriverContext::new().map_err(words)?;
    context.set_dir(&dir).map_err(words)?;
    set(&context, config).map_err(words)?;
    let driver = AeronDriver::new(&context).map_err(words)?;
    driver.start(true).map_err(words)?;
    Ok((context, driver))
}

fn words(error: rusteron_media_driver::AeronCError) -> String {
    error.get_last_err_message().to_owned()
}

fn set(context: &AeronDriverContext, config: &BusConfig) -> Result<(), rusteron_media_driver::AeronCError> {
    let term_length = config.term_length as usize;
    let mtu_len = config.mtu_len as usize;
    let client_timeout_ns = config.client_timeout_ms * NS_PER_MS;
    let timer_interval_ns = (config.driver_timeout_ms * NS_PER_MS / 5).min(TIMER_INTERVAL_NS_MAX);
    // The folder is ours and locked, so whatever lies in it is left over.
    context.set_dir_delete_on_start(true)?;
    context.set_dir_delete_on_shutdown(true)?;
    context.set_threading_mode(match config.driver_threading {
        DriverThreading::Shared => aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED,
        DriverThreading::Invoker => aeron_threading_mode_enum::AERON_THREADING_MODE_INVOKER,
    })?;
    context.set_shared_idle_strategy_kind(AeronIdleStrategyKind::Backoff)?;
    context.set_term_buffer_length(term_length)?;
    context.set_ipc_term_buffer_length(term_length)?;
    context.set_term_buffer_sparse_file(config.terms_sparse)?;
    context.set_perform_storage_checks(true)?;
    context.set_mtu_length(mtu_len)?;
    context.set_ipc_mtu_length(mtu_len)?;
    context.set_driver_timeout_ms(config.driver_timeout_ms)?;
    context.set_timer_interval_ns(timer_interval_ns)?;
    context.set_client_liveness_timeout_ns(client_timeout_ns)?;
    context.set_publication_unblock_timeout_ns((3 * client_timeout_ns).max(UNBLOCK_TIMEOUT_NS_MIN))?;
    Ok(())
}
