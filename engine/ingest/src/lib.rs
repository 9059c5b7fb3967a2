//! Sessions, verification, interning and routing
