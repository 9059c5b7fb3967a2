//! `flatc`'s output for `schemas/fbs/*.fbs`. Written by `cargo xtask codegen`; do not edit.

#[rustfmt::skip]
#[allow(
    clippy::all,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    deprecated,
    mismatched_lifetime_syntaxes,
    missing_docs,
    rustdoc::all,
    unreachable_pub,
    unsafe_code,
    unused_imports,
    unused_qualifications
)]
mod wire;

pub use wire::pinion::wire::*;
