//! Wiring.
mod config;
fn main() {}
