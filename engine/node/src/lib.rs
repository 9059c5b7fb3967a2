//! Configuration, topology, conductor and launch
