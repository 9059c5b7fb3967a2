//! A buy or sell signal from the imbalance of the order book
