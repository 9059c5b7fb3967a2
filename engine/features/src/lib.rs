//! The feature store of the payments lane
