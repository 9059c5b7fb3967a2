//! Sessions of ONNX Runtime on a device, and tensors in its memory and beside it.
//!
//! Invariant: on CUDA every node runs on the device, or it is said why not; a session that should be on
//! the device and is not is an error.

use ort::environment::Environment;
use ort::memory::Allocator;
#[cfg(feature = "cuda")]
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::Device;
use crate::error::ScoreError;

/// How a session runs on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Captured once and played back: no launch of its own for each node.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "a CPU has no graph to capture")
    )]
    Captured,
    /// Node by node.
    Launched,
    /// Node by node, some of them on the CPU.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "a CPU has no other CPU"))]
    Mixed,
}

/// How a session runs, and in what memory the CPU fills its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) way: Way,
    /// Whether the device copies from and to the CPU's memory by itself. On the CPU there is nothing to pin.
    pub(super) is_pinned: bool,
}

/// A device that is ready: the library is loaded.
#[derive(Clone, Copy)]
pub(super) struct Place {
    device: Device,
    environment: &'static Environment,
    threads: usize,
}

/// Memory of a session's device, and memory of the CPU, pinned if it was to be.
pub(super) struct Memory {
    device: Allocator,
    host: Allocator,
}

impl Place {
    pub(super) fn new(device: Device, environment: &'static Environment, threads: usize) -> Self {
        Self {
            device,
            environment,
            threads,
        }
    }

    /// How sessions may run here, the quickest first.
    pub(super) fn manners(&self) -> Vec<Manner> {
        let manner = |is_pinned| move |way| Manner { way, is_pinned };
        match self.device {
            Device::Cpu => vec![manner(false)(Way::Launched)],
            #[cfg(feature = "cuda")]
            Device::Cuda => {
                let pinned = [Way::Captured, Way::Launched].map(manner(true));
                let pageable = [Way::Captured, Way::Launched, Way::Mixed].map(manner(false));
                pinned.into_iter().chain(pageable).collect()
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda => Vec::new(),
        }
    }

    /// A session of the graph `onnx`.
    pub(super) fn session(&self, onnx: &[u8], way: Way) -> Result<Session, ScoreError> {
        let builder = Session::builder(self.environment).map_err(failed("setting up a session"))?;
        let mut builder = self
            .settle(builder, way)
            .map_err(failed("setting up a session"))?;
        builder
            .commit_from_memory(onnx)
            .map_err(failed("reading the graph of encoder and search"))
    }

    #[expect(
        clippy::result_large_err,
        reason = "ort's builder errors carry the builder back"
    )]
    fn settle(&self, builder: SessionBuilder, way: Way) -> ort::session::builder::BuilderResult {
        let builder = builder
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // Weights of int8 are widened once, here, instead of in every run.
            .with_config_entry("session.disable_quant_qdq", "1")?;
        match self.device {
            Device::Cpu => Ok(builder),
            Device::Cuda => on_cuda(builder, way),
        }
    }

    /// Memory for a session's tensors.
    pub(super) fn memory(&self, session: &Session, is_pinned: bool) -> Result<Memory, ScoreError> {
        match self.device {
            Device::Cpu => Ok(Memory {
                device: Allocator::default(),
                host: Allocator::default(),
            }),
            Device::Cuda => cuda_memory(session, is_pinned),
        }
    }
}

impl Memory {
    /// A tensor that the device reads and writes without a copy. Its values are whatever the memory held.
    pub(super) fn on_device<T: PrimitiveTensorElementType + std::fmt::Debug>(
        &self,
        shape: [usize; 2],
    ) -> Result<Tensor<T>, ScoreError> {
        allocate(&self.device, shape)
    }

    /// A tensor of zeros that the CPU reads and writes.
    pub(super) fn on_host<T: PrimitiveTensorElementType + std::fmt::Debug>(
        &self,
        shape: [usize; 2],
    ) -> Result<Tensor<T>, ScoreError> {
        allocate(&self.host, shape)
    }
}

/// A second owner of the same tensor, for a binding.
pub(super) fn shared<T: PrimitiveTensorElementType + std::fmt::Debug>(
    tensor: &Tensor<T>,
) -> Result<Tensor<T>, ScoreError> {
    tensor.view().try_upgrade().map_err(|_| ScoreError::Onnx {
        action: "binding a tensor",
        reason: "it has an owner that lends it only".to_owned(),
    })
}

/// What the library said, in one line.
pub(super) fn failed<E: std::fmt::Display>(action: &'static str) -> impl Fn(E) -> ScoreError {
    move |error| ScoreError::Onnx {
        action,
        reason: error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}

fn allocate<T: PrimitiveTensorElementType + std::fmt::Debug>(
    allocator: &Allocator,
    shape: [usize; 2],
) -> Result<Tensor<T>, ScoreError> {
    Tensor::new(allocator, shape.map(|size| size as i64)).map_err(failed("allocating a tensor"))
}

#[cfg(feature = "cuda")]
#[expect(
    clippy::result_large_err,
    reason = "ort's builder errors carry the builder back"
)]
fn on_cuda(builder: SessionBuilder, way: Way) -> ort::session::builder::BuilderResult {
    let provider = ort::ep::CUDA::default()
        .with_device_id(0)
        // Its products have ten bits: what is proved of a similarity needs all of f32.
        .with_tf32(false)
        .with_cuda_graph(way == Way::Captured)
        .build()
        .error_on_failure();
    let builder = builder.with_execution_providers([provider])?;
    if way == Way::Mixed {
        return Ok(builder);
    }
    builder.with_disable_cpu_fallback()
}

#[cfg(feature = "cuda")]
fn cuda_memory(session: &Session, is_pinned: bool) -> Result<Memory, ScoreError> {
    let allocator = |device, kind| {
        MemoryInfo::new(device, 0, AllocatorType::Device, kind)
            .and_then(|info| Allocator::new(session, info))
            .map_err(failed("asking for memory of the device"))
    };
    Ok(Memory {
        device: allocator(AllocationDevice::CUDA, MemoryType::Default)?,
        host: if is_pinned {
            allocator(AllocationDevice::CUDA_PINNED, MemoryType::CPUOutput)?
        } else {
            Allocator::default()
        },
    })
}

#[cfg(not(feature = "cuda"))]
#[expect(
    clippy::result_large_err,
    reason = "ort's builder errors carry the builder back"
)]
fn on_cuda(builder: SessionBuilder, _: Way) -> ort::session::builder::BuilderResult {
    Ok(builder)
}

#[cfg(not(feature = "cuda"))]
fn cuda_memory(_: &Session, _: bool) -> Result<Memory, ScoreError> {
    Err(ScoreError::NoCuda)
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;
    use crate::device::graph;
    use crate::library;

    /// The library of the CPU knows no provider for GPUs: a session without one would be on the CPU.
    #[test]
    fn provider_that_cannot_be_registered_is_no_silent_cpu() {
        let library = library::find(std::path::Path::new("auto")).unwrap();
        let place = Place::new(Device::Cuda, library::environment(&library).unwrap(), 1);
        for way in [Way::Captured, Way::Launched, Way::Mixed] {
            let error = place.session(&graph::product(64), way).unwrap_err().to_string();
            assert!(
                error.starts_with("ONNX Runtime, setting up a session: "),
                "{error}"
            );
        }
    }
}
