//! What the author of a strategy module sees
