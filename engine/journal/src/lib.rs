//! The append-only record of every input and decision
