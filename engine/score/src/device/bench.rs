//! What a device reaches at most, measured by the same library: the floor that a search is stated against.
//!
//! Invariant: what is measured does nothing but copy, or multiply.

use std::time::{Duration, Instant};

use ort::value::Tensor;

use super::session::{Way, failed};
use super::{Device, Libraries, graph, place};
use crate::error::ScoreError;

/// Values that are copied. Unit: f32, 256 MiB of them: beyond any cache.
const COPIED: usize = 1 << 26;

/// Rows and columns of the matrices that are multiplied.
const SIZE: usize = 2048;

/// How often each is done; the quickest counts.
const ROUNDS: usize = 7;

/// What a device reaches.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes read and written per second, by copying 256 MiB from its memory to its memory.
    pub bytes_per_s: f64,
    /// Multiplications and additions of f32 per second, in the product of two matrices of 2048 by 2048.
    pub operations_per_s: f64,
}

/// Measures them.
///
/// # Errors
/// As [`super::DeviceBank::open`].
///
/// Cost: half a GiB of the device's memory, and some seconds on a CPU.
pub fn measure(device: Device, libraries: &Libraries, threads: usize) -> Result<Limits, ScoreError> {
    let place = place(device, libraries, threads)?;
    let mut session = place.session(&graph::product(SIZE), Way::Launched)?;
    let memory = place.memory(&session, false)?;
    let from = zeros(
        memory.on_device([COPIED / SIZE, SIZE])?,
        memory.on_host([COPIED / SIZE, SIZE])?,
    )?;
    let mut to: Tensor<f32> = memory.on_device([COPIED / SIZE, SIZE])?;
    let copied = quickest(|| from.copy_into(&mut to)).map_err(failed("copying in the device's memory"))?;
    drop((from, to));
    let square = || zeros(memory.on_device([SIZE, SIZE])?, memory.on_host([SIZE, SIZE])?);
    let (a, b, c) = (square()?, square()?, square()?);
    let mut binding = session.create_binding().map_err(failed("making a binding"))?;
    let bound = failed("binding a tensor");
    binding.bind_input("a", &a).map_err(&bound)?;
    binding.bind_input("b", &b).map_err(&bound)?;
    binding.bind_output("c", c).map_err(&bound)?;
    let multiplied = quickest(|| session.run_binding(&binding).map(drop)).map_err(failed("multiplying"))?;
    Ok(Limits {
        bytes_per_s: (2 * COPIED * size_of::<f32>()) as f64 / copied.as_secs_f64(),
        operations_per_s: 2.0 * (SIZE as f64).powi(3) / multiplied.as_secs_f64(),
    })
}

/// A tensor on the device, filled from one beside it.
fn zeros(mut device: Tensor<f32>, host: Tensor<f32>) -> Result<Tensor<f32>, ScoreError> {
    host.copy_into(&mut device)
        .map_err(failed("copying to the device"))?;
    Ok(device)
}

fn quickest(mut act: impl FnMut() -> ort::Result<()>) -> ort::Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        act()?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}
