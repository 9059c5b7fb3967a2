//! Agents, duty cycles, rings, clocks and counters
