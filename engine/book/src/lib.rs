//! Order books and market features
