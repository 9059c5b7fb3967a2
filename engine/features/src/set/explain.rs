//! Says in words what a feature is.
