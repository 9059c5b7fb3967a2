//! The fraud model: encoder and similarity bank
