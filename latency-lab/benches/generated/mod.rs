//! `flatc`'s output for `latency-lab/benches/generic_payment.fbs`. Written by `cargo xtask codegen`; do not edit.

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
mod generic_payment;

pub(crate) use generic_payment::pinion::generic::*;
