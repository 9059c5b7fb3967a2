//! The gate and the decisions out
