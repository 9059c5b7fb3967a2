//! One file per command.
//!
//! Invariant: a command takes its arguments and the form of its output, and ends as [`crate::exit`] says.

pub mod check;
pub mod config;
pub mod dead_letters;
pub mod demo;
pub mod export;
pub mod features;
pub mod generate;
pub mod lab;
pub mod listen;
pub mod model;
pub mod model_bench;
pub mod model_compare;
pub mod model_swap;
pub mod publish;
pub mod replay;
pub mod run;
pub mod stat;
pub mod train;
