//! The open-loop rig and the benches
