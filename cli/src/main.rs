//! The program `pinion`.

fn main() {}
