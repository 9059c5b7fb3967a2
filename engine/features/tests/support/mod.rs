//! What the tests of the feature store share: a reference that computes by hand, random sets and events, and
//! the comparison of the two.

#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod generate;
pub(crate) mod random;
pub(crate) mod reference;
