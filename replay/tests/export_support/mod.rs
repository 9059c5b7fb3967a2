//! Payments made by hand, served by the engine's own agents, and exports read back.
#![allow(dead_code, unreachable_pub)] // Each test file is a program of its own and uses a part of this one.

pub mod events;
pub mod rows;
pub mod serve;
