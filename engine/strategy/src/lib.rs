//! The host of strategy modules
